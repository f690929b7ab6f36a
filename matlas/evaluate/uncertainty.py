"""Whether a prediction says how wrong it may be, for materials like those it was learned from and for others.

Split-conformal intervals (Vovk, Gammerman and Shafer 2005; Lei et al. 2018, doi:10.1080/01621459.2017.1307116) hold
what they promise on entities that are exchangeable with those they were calibrated on. A family that was left out is
not, so here it is measured what is left of the promise there, and whether the distance to the training rows knows.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from sklearn.neighbors import NearestNeighbors

from matlas.encoders import PrincipalComponents
from matlas.errors import DataError
from matlas.evaluate.alignment import rows_of
from matlas.evaluate.resampling import Interval, interval, redrawn
from matlas.probe.heads import REGRESSION, head_of
from matlas.probe.inputs import folds_with
from matlas.probe.intervals import ALL, score_table
from matlas.probe.preparation import Preparation
from matlas.probe.splits import TEST as TEST_PART
from matlas.probe.splits import TRAIN, VALIDATION, balanced_folds
from matlas.tables import read_table, table_info
from matlas.threads import Progress

log = logging.getLogger(__name__)

TEST = "uncertainty"
INSIDE, OUTSIDE = SIDES = ("inside", "outside")
SCALED = "scaled by distance"  # follows the side in the case of a record
NEIGHBOURS = 5  # training rows whose mean distance counts
COMPONENTS = 10  # principal components that stand in for the code of an input without a network
_LEAST_ROWS = 20  # with the target, that a fold must train and test on
_LEAST_SCALE = 0.1  # of the mean distance: a row that is in the training rows too must not get an interval of 0


def uncertainty(
    raw: np.ndarray,
    inputs: Mapping[str, Preparation],
    target: pd.Series,
    groups: pd.Series,
    parts: pd.DataFrame,
    head: Mapping,
    *,
    level: float = 0.9,
    errors: Mapping[str, pd.Series] | None = None,
    draws: int = 500,
    seed: int = 0,
) -> list[dict]:
    """Records (schema TESTS, but for study and dataset) of conformal intervals and of what goes with errors.

    raw : (n, p) wide matrix of all columns that inputs take; inputs : their preparations; target : (n,) numbers, NaN
    where unknown, indexed by the entity key; groups : group of each entity; parts : as `fold_parts` returns them, each
    fold with validation rows; head : spec as `head_of` takes it; level : share that intervals shall cover; errors :
    {input: reconstruction error, indexed by (key, fold)}, of inputs that a network encodes; of any other it is that of
    COMPONENTS principal components (of half the columns, where there are fewer than twice as many) of its training
    rows; draws, seed : of the bootstrap over groups, and of the halves.

    In each fold the head is fitted on the training rows. Half of the groups of the validation rows calibrate
    intervals prediction ± q; "inside" is judged on the other half, "outside" on the test rows. With "scaled by
    distance", q is a multiple of the mean distance of a row to the nearest NEIGHBOURS training rows in the standardised
    input. Both halves of the validation rows may have told a network when to stop, so that they stay exchangeable.

    A record's representation is the input, its group the fold (empty: all of them, pooled), its case the side, or side
    and "scaled by distance". Metrics, with intervals over groups of entities: coverage (share of the truths within
    the interval); width (median, in units of the target); mae; rho_reconstruction and rho_distance, Spearman's ρ of the
    size of the error with the reconstruction error and with the distance; explained_by_both, the share of variance of
    the rank of the error that a linear function of both ranks explains. Pooled ranks are ranks within each fold.
    Folds with fewer than 20 rows to train or to test on are left out and named in the log. Raises DataError where all
    are, for too few validation rows to calibrate on, for entities without a group and as heads and preparations do.
    """
    key = target.index
    truth, group = target.to_numpy(dtype=np.float64), rows_of(groups, key, "groups")
    parts, without = folds_with(target, parts, _LEAST_ROWS)
    if parts.empty:
        raise DataError(
            "no fold has enough of the target", where=target.name, do="take a target that more entities have",
            expected=f"{_LEAST_ROWS} rows to train and to test on",
        )  # fmt: skip
    if without:
        log.info("too few rows with the target in folds %s", ", ".join(without))
    folds = [_Fold.of(name, rows, key, truth, group, level, seed) for name, rows in parts.groupby("fold", sort=False)]
    judged, done, progress = [], 0, Progress("heads", len(folds) * len(inputs), " fitted")
    for fold in folds:
        for name, preparation in inputs.items():
            X = preparation.fit(raw, fold.prepared, group.to_numpy(), fold.name).transform(raw)
            model = head_of(head, REGRESSION, seed).fit(X[fold.train], truth[fold.train], group.to_numpy()[fold.train])
            error = np.full(len(key), np.nan)
            rows = np.concatenate([fold.calibration, *fold.sides.values()])
            error[rows] = np.abs(truth[rows] - model.predict(X[rows]))
            strange = _strangeness(X, fold, rows, (errors or {}).get(name), key)
            judged.append(_judged(error, strange, fold, level, key).assign(input=name))
            done += 1
            progress.reached(done)
    progress.finished()
    table = pd.concat(judged, ignore_index=True)
    return [record for side in SIDES for record in _records(table[table["side"] == side], group, side, draws, seed)]


def reconstruction_errors(
    encodings: Iterable[str | PathLike], inputs: Mapping[str, Sequence[Mapping]]
) -> dict[str, pd.Series]:
    """Reconstruction error, indexed by (key, fold), of each input that networks encode; of several networks the mean.

    encodings : tables of codes, …/<view>/<representation>/<split>.parquet; inputs : {name: its parts}, each with view
    and representation.
    """
    columns = {}
    for path in encodings:
        at = [table_info(path).key[0], "fold"]
        table = read_table(path, [*at, "reconstruction_error"]).set_index(at)
        columns[Path(path).parts[-3], Path(path).parts[-2]] = table["reconstruction_error"]
    found = {}
    for name, parts in inputs.items():
        networks = [columns[space] for p in parts if (space := (p["view"], p["representation"])) in columns]
        if networks:
            found[name] = pd.concat(networks, axis=1).mean(axis=1, skipna=False)
    return found


def conformal_quantile(scores: np.ndarray, level: float) -> float:
    """The bound that the score of one more exchangeable row is below with probability `level` or a little more: the
    ⌈(n + 1) · level⌉-th smallest of scores (n,). Raises DataError where n is too small for any."""
    place = int(np.ceil((len(scores) + 1) * level - 1e-9))
    if place > len(scores):
        least = int(np.ceil(level / (1 - level) - 1e-9))
        raise DataError(
            "too few validation rows to calibrate intervals on", expected=f"{least} or more for a level of {level:g}",
            found=len(scores), do="give the split a larger share of validation rows (`validation:`)",
        )  # fmt: skip
    return float(np.partition(scores, place - 1)[place - 1])


@dataclass(frozen=True)
class _Fold:
    """Row numbers of one fold, all with a target; but prepared : (n,) bool, all of part train."""

    name: str
    prepared: np.ndarray
    train: np.ndarray
    calibration: np.ndarray
    sides: dict[str, np.ndarray]

    @classmethod
    def of(
        cls, name: str, parts: pd.DataFrame, key: pd.Index, truth: np.ndarray, group: pd.Series, level: float, seed: int
    ) -> _Fold:
        places = key.get_indexer(parts[key.name])
        if (places < 0).any():
            raise DataError("a split names unknown entities", where=f"fold {name}", found=int((places < 0).sum()))
        part = np.full(len(key), "", dtype=object)
        part[places] = parts["part"].to_numpy()
        known = np.isfinite(truth)
        rows = {which: np.flatnonzero((part == which) & known) for which in (TRAIN, VALIDATION, TEST_PART)}
        codes = np.unique(group.to_numpy()[rows[VALIDATION]].astype(str), return_inverse=True)[1]
        if not len(codes) or codes.max() < 1:
            raise DataError(
                "too few validation groups to calibrate on and to judge", where=f"fold {name}", expected="2 or more",
                found=len(np.unique(codes)), do="give the split a share of validation rows (`validation:`)",
            )  # fmt: skip
        half = balanced_folds(codes, 2, np.random.default_rng(seed))
        conformal_quantile(np.zeros((half == 0).sum()), level)  # raises before anything is fitted
        sides = {INSIDE: rows[VALIDATION][half == 1], OUTSIDE: rows[TEST_PART]}
        return cls(name, part == TRAIN, rows[TRAIN], rows[VALIDATION][half == 0], sides)


def _strangeness(
    X: np.ndarray, fold: _Fold, rows: np.ndarray, errors: pd.Series | None, key: pd.Index
) -> dict[str, np.ndarray]:
    """How unlike the training rows each row is, in two ways, each (n,) in units of its mean over the calibration rows;
    NaN for rows not asked for."""
    neighbours = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(fold.train))).fit(X[fold.train])
    found = {"distance": neighbours.kneighbors(X[rows])[0].mean(axis=1)}
    if errors is None:
        components = min(COMPONENTS, (X.shape[1] + 1) // 2, len(fold.train))
        found["reconstruction"] = PrincipalComponents(components).fit(X[fold.train]).reconstruction_error(X[rows])
    else:
        at = pd.MultiIndex.from_arrays([key[rows], [fold.name] * len(rows)])
        found["reconstruction"] = rows_of(errors, at, "reconstruction errors").to_numpy()
    table = {}
    for name, values in found.items():
        table[name] = np.full(len(X), np.nan)
        table[name][rows] = values
        table[name] /= table[name][fold.calibration].mean() or 1.0
    return table


def _judged(
    error: np.ndarray, strange: Mapping[str, np.ndarray], fold: _Fold, level: float, key: pd.Index
) -> pd.DataFrame:
    """What came of each judged row of a fold."""
    scale = np.maximum(strange["distance"], _LEAST_SCALE)
    q = conformal_quantile(error[fold.calibration], level)
    q_scaled = conformal_quantile((error / scale)[fold.calibration], level)
    tables = []
    for side, rows in fold.sides.items():
        about = {"fold": fold.name, "side": side, "mae": error[rows], "half_width": q}
        about |= {"half_width_scaled": q_scaled * scale[rows]}
        about |= {name: values[rows] for name, values in strange.items()}
        tables.append(pd.DataFrame({key.name: key[rows], **about}))
    return pd.concat(tables, ignore_index=True)


def _records(table: pd.DataFrame, groups: pd.Series, side: str, draws: int, seed: int) -> Iterator[dict]:
    """Of the rows of one side."""
    options = {"n_bootstrap": draws, "seed": seed}
    scaled = f"{side}, {SCALED}"
    means = {
        (side, "mae"): table["mae"],
        (side, "coverage"): table["mae"] <= table["half_width"],
        (scaled, "coverage"): table["mae"] <= table["half_width_scaled"],
    }
    plain = table[[groups.index.name, "fold", "input"]]
    # the mean of numbers that are not negative is their mean absolute error as predictions of 0
    made = [
        plain.assign(head=f"{case}/{metric}", truth=0.0, predicted=v.astype(float))
        for (case, metric), v in means.items()
    ]
    scores = [score_table(pd.concat(made, ignore_index=True), groups, REGRESSION, ["mae"], **options)]
    for _, rows in table.groupby("input", sort=False):
        ranks = rows.groupby("fold", sort=False)[["mae", "reconstruction", "distance"]].transform(_rank_share)
        plain = rows[[groups.index.name, "fold", "input"]].assign(truth=ranks["mae"])
        made = [
            plain.assign(head=f"{side}/rho_{by}", predicted=ranks[by].to_numpy())
            for by in ("reconstruction", "distance")
        ]
        scores.append(score_table(pd.concat(made, ignore_index=True), groups, REGRESSION, ["spearman"], **options))
        both = plain.assign(head=f"{side}/explained_by_both", predicted=_fitted(ranks, rows["fold"]))
        scores.append(score_table(both, groups, REGRESSION, ["r2"], **options))
    place = {"view": "", "test": TEST, "x": None, "seed": seed}
    for score in pd.concat(scores, ignore_index=True).itertuples():
        case, metric = score.head.split("/")
        about = {"representation": score.input, "case": case, "group": "" if score.fold == ALL else score.fold}
        limits = {"value": score.value, "low": score.low, "high": score.high, "n": score.n}
        yield {**place, **about, "metric": metric, **limits}
    folds = [("", table), *table.groupby("fold", sort=False)]
    for fold, of_fold in folds:
        for name, rows in of_fold.groupby("input", sort=False):
            group = groups[rows[groups.index.name]].to_numpy()
            for case, half_width in ((side, "half_width"), (scaled, "half_width_scaled")):
                found = _median(2 * rows[half_width].to_numpy(), group, draws, seed)
                about = {"representation": name, "case": case, "group": fold, "metric": "width", "n": len(rows)}
                yield {**place, **about, **found._asdict()}


def _median(values: np.ndarray, groups: np.ndarray, draws: int, seed: int) -> Interval:
    return interval(redrawn(lambda rows: np.median(values[rows]), groups, draws=draws, seed=seed))


def _rank_share(values: pd.Series) -> np.ndarray:
    return rankdata(values) / len(values)


def _fitted(ranks: pd.DataFrame, folds: pd.Series) -> np.ndarray:
    """Least squares of the rank of the error on both other ranks, in each fold."""
    fitted = pd.Series(np.nan, index=ranks.index)
    for _, rows in ranks.groupby(folds, sort=False):
        design = np.column_stack([np.ones(len(rows)), rows["reconstruction"], rows["distance"]])
        fitted[rows.index] = design @ np.linalg.lstsq(design, rows["mae"], rcond=None)[0]
    return fitted.to_numpy()
