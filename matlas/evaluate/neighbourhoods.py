"""Whether neighbours in a space are neighbours in the features it was made of, and whether they are of one class.

Nothing here looks at a map by eye: the same numbers are taken in every space, in the features themselves (the
yardstick) and by chance.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist
from sklearn.metrics import silhouette_samples
from sklearn.preprocessing import StandardScaler

from matlas.errors import ConfigError, DataError
from matlas.evaluate.alignment import rows_of
from matlas.evaluate.resampling import Interval, mean_over_groups
from matlas.represent import finite_matrix
from matlas.threads import Progress

log = logging.getLogger(__name__)

TEST = "neighbourhood"
SPACE, FEATURES = "space", "features"  # cases
_ROWS_AT_ONCE = 512


def neighbourhoods(
    spaces: Mapping[tuple[str, str], pd.DataFrame],
    references: Mapping[str, pd.DataFrame],
    labels: pd.DataFrame,
    groups: pd.Series | None = None,
    *,
    k: int = 10,
    rows: int = 4000,
    seed: int = 0,
) -> list[dict]:
    """Records (schema TESTS, but for study and dataset) of the k nearest neighbours of a random sample of entities.

    spaces : {(view, representation): (n, d) coordinates}, taken as they are; references : {view: (n, p) features},
    which are standardised over the sample; labels : (n, m) columns of classes, None or NaN where unknown, maybe none;
    groups : group of each entity, for intervals (by default each is its own); all indexed by the entity key. rows :
    size of the sample, drawn by seed from the entities of `labels`.

    Case "space", with x = k and the view as reference: trustworthiness, continuity (`trustworthiness_and_continuity`),
    neighbourhood_consistency (mean share of the k neighbours in one that are neighbours in the other too), and
    neighbourhood_consistency_chance, k / (n - 1). Case "space", and "features" for the view itself, for each column of
    labels (the record's group) over the entities that have one: knn_purity (mean share of the k neighbours with the
    same label) with an interval over groups; knn_purity_chance, the share of pairs with the same label; silhouette of
    the labels, without those that only one entity has, with an interval over groups, and absent where fewer than two
    labels are left.
    Raises ConfigError unless k is below half the sample; DataError for entities that a table lacks, a view without
    features, NaN and infinity, and a label column that k entities or fewer have.
    """
    entities = _sample(labels.index, rows, seed)
    n = len(entities)
    if not 1 <= k < n / 2:
        raise ConfigError("neighbours don't fit the sample", expected=f"1 to below {n / 2:g} of {n} rows", found=k)
    labels = rows_of(labels, entities, "labels")
    group = np.arange(n) if groups is None else rows_of(groups, entities, "groups").to_numpy()
    absent = sorted({view for view, _ in spaces} - set(references))
    if absent:
        raise DataError("a space has no view to be compared with", where=f"view {absent[0]}")
    records, done, progress = [], 0, Progress("spaces", len(spaces), " measured")
    for view in dict.fromkeys(view for view, _ in spaces):  # the ranks of one view are held at a time
        features = finite_matrix(rows_of(references[view], entities, f"features of {view}").to_numpy(), view)
        features = StandardScaler().fit_transform(features)
        near = neighbour_ranks(features)
        place = {"test": TEST, "view": view, "seed": seed}
        for made in _by_label(features, near, labels, group, k, seed):
            records.append({**place, "representation": FEATURES, "case": FEATURES, **made})
        for (of, representation), z in spaces.items():
            if of != view:
                continue
            codes = finite_matrix(rows_of(z, entities, representation).to_numpy(), f"{view}/{representation}")
            in_space = neighbour_ranks(codes)
            for made in [*_preserved(near, in_space, k), *_by_label(codes, in_space, labels, group, k, seed)]:
                records.append({**place, "representation": representation, "case": SPACE, **made})
            done += 1
            progress.reached(done)
    progress.finished()
    return records


def neighbour_ranks(matrix: np.ndarray) -> np.ndarray:
    """(n, n) int32: entry (i, j) is the place of row j among the neighbours of row i of matrix (n, d), from 1 for the
    nearest by Euclidean distance; 0 for itself. Equally distant rows follow in the order of the table, in every space,
    so that doubled rows don't differ by rounding."""
    n = len(matrix)
    ranks = np.empty((n, n), dtype=np.int32)
    places = np.broadcast_to(np.arange(n, dtype=np.int32), (min(_ROWS_AT_ONCE, n), n))
    for start in range(0, n, _ROWS_AT_ONCE):
        own = np.arange(start, min(start + _ROWS_AT_ONCE, n))
        distances = cdist(matrix[own], matrix, "sqeuclidean")
        distances[own - start, own] = -1
        order = np.argsort(distances, axis=1, kind="stable")
        np.put_along_axis(ranks[own[0] : own[-1] + 1], order, places[: len(own)], axis=1)
    return ranks


def trustworthiness_and_continuity(near: np.ndarray, in_space: np.ndarray, k: int) -> tuple[float, float]:
    """1 for a space that keeps all k-neighbourhoods, less for each intruder: about 0.5 by chance.

    near, in_space : (n, n) `neighbour_ranks` in the features and in the space, k below n / 2. Trustworthiness falls
    with neighbours in the space that are far in the features, continuity with neighbours in the features that are far
    in the space. Equal to scikit-learn's trustworthiness, and to that with the two exchanged.
    Source: Venna and Kaski 2001, doi:10.1007/3-540-44668-0_68.
    """
    n = len(near)
    unit = 2 / (n * k * (2 * n - 3 * k - 1))

    def kept(judged: np.ndarray, neighbours: np.ndarray) -> float:
        intruders = judged[(neighbours >= 1) & (neighbours <= k)].astype(np.int64) - k
        return float(1 - unit * intruders[intruders > 0].sum())

    return kept(near, in_space), kept(in_space, near)


def _sample(entities: pd.Index, rows: int, seed: int) -> pd.Index:
    if len(entities) <= rows:
        return entities
    return entities[np.sort(np.random.default_rng(seed).choice(len(entities), rows, replace=False))]


def _preserved(near: np.ndarray, in_space: np.ndarray, k: int) -> Iterator[dict]:
    n = len(near)
    trustworthiness, continuity = trustworthiness_and_continuity(near, in_space, k)
    both = (near >= 1) & (near <= k) & (in_space >= 1) & (in_space <= k)
    for metric, value in {
        "trustworthiness": trustworthiness,
        "continuity": continuity,
        "neighbourhood_consistency": both.sum() / (n * k),
        "neighbourhood_consistency_chance": k / (n - 1),
    }.items():
        yield _record("", metric, Interval(float(value)), n, k)


def _by_label(
    codes: np.ndarray, ranks: np.ndarray, labels: pd.DataFrame, group: np.ndarray, k: int, seed: int
) -> Iterator[dict]:
    for name, column in labels.items():
        classes = pd.factorize(column, sort=True)[0]
        known = np.flatnonzero(classes >= 0)
        classes, n = classes[known], len(known)
        if n <= k:
            raise DataError(
                "too few entities have a label", where=f"column {name}", expected=f"more than {k} neighbours", found=n
            )
        among = ranks[np.ix_(known, known)]
        nearest = np.argpartition(among, k, axis=1)[:, : k + 1]  # the entity itself is one of them, and always alike
        alike = ((classes[nearest] == classes[:, None]).sum(axis=1) - 1) / k
        sizes = np.bincount(classes)
        chance = (sizes * (sizes - 1.0)).sum() / (n * (n - 1))
        yield _record(name, "knn_purity", mean_over_groups(alike, group[known], seed=seed), n, k)
        yield _record(name, "knn_purity_chance", Interval(float(chance)), n, k)
        several = (sizes >= 2)[classes]
        if len(np.unique(classes[several])) < 2:
            log.info("label %s: no silhouette, as fewer than two classes have two entities", name)
            continue
        widths = silhouette_samples(codes[known[several]], classes[several])
        found = mean_over_groups(widths, group[known[several]], seed=seed)
        yield _record(name, "silhouette", found, int(several.sum()), None)


def _record(group: str, metric: str, found: Interval, n: int, k: int | None) -> dict:
    return {"group": group, "x": None if k is None else float(k), "metric": metric, **found._asdict(), "n": n}
