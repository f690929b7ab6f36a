"""How far an entity travels in a feature view when it is altered, against the spread of its class."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.spatial.distance import pdist

from matlas.errors import DataError
from matlas.evaluate.alignment import class_codes, rows_of
from matlas.represent import finite_matrix

log = logging.getLogger(__name__)

EXACT_ENTITIES = 1000  # the spread of a larger class is that of all pairs of a random sample of so many
_ROWS_AT_ONCE = 512


def sensitivity(
    features: pd.DataFrame, altered: pd.DataFrame, truth: pd.Series | None = None, *, view: str, seed: int = 0
) -> pd.DataFrame:
    """Distance between each altered entity and its original, in units of the spread of its class.

    features : (n, d) finite numbers indexed by the entity key; altered : the key, `alteration` (what was done) and the
    same d columns, one row an altered copy; truth : classes indexed by the key, None where unknown; view : its name;
    seed : of the sample of entities in a class of more than EXACT_ENTITIES.
    Returns view, the key, alteration, travel (the Euclidean distance between copy and original in the features as they
    are: nothing is scaled), spread (the median distance between two different entities of its class, or of all where
    it has none), ratio = travel / spread. spread and ratio are NaN where the class has one entity, ratio where all of
    the class are equal. Raises DataError for columns or keys that differ, a copy that is there twice, NaN and infinity.
    """
    key = features.index.name
    expected = {key, "alteration", *features.columns}
    if set(altered.columns) != expected or altered.columns.has_duplicates:
        differing = sorted(map(str, expected.symmetric_difference(altered.columns)))
        raise DataError(
            "altered features are not those of the view", where=view, expected=f"{key}, alteration and its features",
            found=f"{len(differing)} columns that only one has, as {', '.join(differing[:20])}",
        )  # fmt: skip
    doubled = altered[altered.duplicated([key, "alteration"])]
    if len(doubled):
        one = doubled.iloc[0]
        raise DataError("an altered copy is there twice", where=view, found=f"{one['alteration']} of {one[key]!r}")
    if features.index.has_duplicates:
        raise DataError(
            "features name an entity twice", where=view, found=repr(features.index[features.index.duplicated()][0])
        )
    copies = pd.Index(altered[key])
    origin = features.index.get_indexer(copies)
    if (origin < 0).any():
        raise DataError("altered copies of unknown entities", where=view, found=repr(copies[origin < 0][0]))

    matrix = finite_matrix(features.to_numpy(), f"features of {view}")
    moved = finite_matrix(altered[features.columns].to_numpy(), f"altered features of {view}")
    travel = np.empty(len(moved))
    for start in range(0, len(moved), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        travel[rows] = np.linalg.norm(moved[rows] - matrix[origin[rows]], axis=1)
    spread = _spread(matrix, None if truth is None else rows_of(truth, features.index, "labels"), seed)[origin]
    ratio = np.divide(travel, spread, out=np.full(len(travel), np.nan), where=spread > 0)
    about = {"view": view, key: copies, "alteration": altered["alteration"].to_numpy()}
    return pd.DataFrame({**about, "travel": travel, "spread": spread, "ratio": ratio})


def sensitivities(
    study: str,
    views: Sequence[tuple[Mapping[str, str], pd.DataFrame, pd.DataFrame]],
    alterations: Sequence[str],
    truth: pd.Series | None,
    seed: int,
) -> pd.DataFrame:
    """`sensitivity` of several views of a study to some alterations, with columns study and dataset in front.

    views : (attributes, features, altered) of each view; attributes name dataset and view; features and altered are
    indexed by the key, altered with a column `alteration`, of which rows with one of `alterations` are taken. truth and
    seed : as there. Raises DataError where a view has no such row, and as `sensitivity` does.
    """
    frames = []
    for about, features, altered in views:
        chosen = altered[altered["alteration"].isin(alterations)].reset_index()
        if chosen.empty:
            raise DataError(
                "no altered copies", where=about["view"], expected=f"some of {list(alterations)}", found="none"
            )
        frame = sensitivity(features, chosen, truth, view=about["view"], seed=seed)
        frame.insert(0, "dataset", about["dataset"])
        frames.append(frame)
    if not frames:
        raise DataError("no view to alter", where=f"study {study}")
    table = pd.concat(frames, ignore_index=True)
    table.insert(0, "study", study)
    return table


def _spread(matrix: np.ndarray, truth: pd.Series | None, seed: int) -> np.ndarray:
    """(n,) the spread that belongs to each row."""
    spread = np.full(len(matrix), np.nan)
    codes = np.full(len(matrix), -1) if truth is None else class_codes(truth)[0]
    for code in np.unique(codes):
        members = np.flatnonzero(codes == code) if code >= 0 else np.arange(len(matrix))
        if len(members) > EXACT_ENTITIES:
            log.info("spread of %d entities: over a sample of %d of them", len(members), EXACT_ENTITIES)
            members = np.sort(np.random.default_rng(seed).choice(members, EXACT_ENTITIES, replace=False))
        spread[codes == code] = median_distance(matrix[members])
    return spread


def median_distance(rows: np.ndarray) -> float:
    """Median Euclidean distance between two different rows of (n, d); NaN for one row."""
    # differences, not a product of the rows: equal rows are exactly 0 apart
    return float(np.median(pdist(rows))) if len(rows) > 1 else float("nan")
