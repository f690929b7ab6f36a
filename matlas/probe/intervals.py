"""Scores of predictions with 95 % intervals by a bootstrap over groups of entities.

Rows of one group (a chemical system, an image) err together, so whole groups are drawn, with replacement, as many as
there are (Davison and Hinkley 1997, section 3.8); intervals are percentiles of the draws (Efron 1979,
doi:10.1214/aos/1176344552). All inputs and heads share the draws, so their differences are paired.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from matlas.errors import ConfigError, DataError, nearest
from matlas.evaluate.alignment import rows_of

ALL = "all"  # the fold that pools all
RANK_DRAWS = 200  # of metrics that order the rows, which cost more than sums over groups
TASK_METRICS = {
    "regression": ("mae", "rmse", "r2", "spearman"),
    "classification": ("roc_auc", "average_precision", "balanced_accuracy"),
    "extremes": ("top_k_recall", "mae"),
}
_MODEL = ["input", "head"]
_DRAWS_AT_ONCE = 32
_LIMITS = (0.025, 0.975)


def score_table(
    predictions: pd.DataFrame,
    groups: pd.Series,
    task: str,
    metrics: Sequence[str] | None = None,
    *,
    n_bootstrap: int = 1000,
    seed: int = 0,
    top_share: float = 0.1,
    largest: bool = True,
) -> pd.DataFrame:
    """Scores of every input and head in each fold and in all of them pooled.

    predictions : the key, input, head, fold, truth, predicted, as `probe` returns them; groups : group of each entity,
    indexed by the key; task : one of TASK_METRICS, whose metrics are computed unless `metrics` names some of them:
    mae, rmse (in units of the target), r2, spearman (ρ of ranks); roc_auc, average_precision, balanced_accuracy
    (scores above 0 are positive; truth 0 or 1); top_k_recall : share of the truly most extreme rows among as many
    predicted ones, the `top_share` of them (rounded up), the largest or else the smallest; equal values at the edge
    count in part, as a random order would have it on average. n_bootstrap : draws, at most RANK_DRAWS for spearman,
    roc_auc, average_precision and top_k_recall; seed : of the draws.

    Returns input, head, fold ("all" is the pool), metric, value, low, high (95 % interval), n (rows), groups (how
    many). NaN where a metric is not defined: r2 of equal truths, spearman of equal ranks, the metrics of classification
    with one class; draws in which it is not are left out of the interval.
    Raises ConfigError for an unknown task or metric; DataError for entities without a group, and where inputs and heads
    of a fold differ in their entities or truths.
    """
    if task not in TASK_METRICS:
        raise ConfigError(f"unknown task {task!r}", expected=nearest(task, TASK_METRICS))
    metrics = TASK_METRICS[task] if metrics is None else metrics
    for metric in metrics:
        if metric not in TASK_METRICS[task]:
            raise ConfigError(f"unknown metric {metric!r}", where=task, expected=nearest(metric, TASK_METRICS[task]))
    tables = []
    for fold, draws in _folds_drawn(predictions, groups, metrics, n_bootstrap, seed, _Top(top_share, largest)):
        for metric in metrics:
            low, high = _interval(draws[metric])
            table = pd.DataFrame(fold.models, columns=_MODEL)
            tables.append(
                table.assign(
                    fold=fold.name, metric=metric, value=draws[metric][0], low=low, high=high, n=len(fold.truth),
                    groups=fold.n_groups,
                )
            )  # fmt: skip
    return pd.concat(tables, ignore_index=True)


def paired_differences(
    predictions: pd.DataFrame,
    pairs: Sequence[tuple[str, str, str, str]],
    groups: pd.Series,
    metric: str,
    *,
    n_bootstrap: int = 1000,
    seed: int = 0,
    top_share: float = 0.1,
    largest: bool = True,
) -> pd.DataFrame:
    """How much a metric of one input and head exceeds that of another, over the same draws of groups.

    pairs : (input_a, head_a, input_b, head_b); the other arguments as for `score_table`.
    Returns input_a, head_a, input_b, head_b, fold, metric, difference (a less b), low, high, share_above_0 (of the
    draws), n, groups. Raises ConfigError and DataError as `score_table` does, and DataError for a pair without
    predictions.
    """
    if metric not in _SUMS and metric not in _RANKED:
        raise ConfigError(f"unknown metric {metric!r}", expected=nearest(metric, [*_SUMS, *_RANKED]))
    wanted = {pair[i : i + 2] for pair in map(tuple, pairs) for i in (0, 2)}
    models = pd.MultiIndex.from_frame(predictions[_MODEL])
    missing = wanted - set(models.unique())
    if missing:
        raise DataError("no predictions of an input and head to compare", found=sorted(missing)[0])
    rows = []
    compared, top = predictions[models.isin(wanted)], _Top(top_share, largest)
    for fold, of_metrics in _folds_drawn(compared, groups, [metric], n_bootstrap, seed, top):
        draws = of_metrics[metric]
        place = {model: i for i, model in enumerate(fold.models)}
        a, b = ([place[tuple(pair[i : i + 2])] for pair in pairs] for i in (0, 2))
        differences = draws[:, a] - draws[:, b]
        low, high = _interval(differences)
        defined = np.isfinite(differences[1:])
        above = np.divide(
            (differences[1:] > 0).sum(axis=0), defined.sum(axis=0), out=np.full(len(pairs), np.nan),
            where=defined.any(axis=0),
        )  # fmt: skip
        table = pd.DataFrame(pairs, columns=["input_a", "head_a", "input_b", "head_b"])
        rows.append(
            table.assign(
                fold=fold.name, metric=metric, difference=differences[0], low=low, high=high, share_above_0=above,
                n=len(fold.truth), groups=fold.n_groups,
            )
        )  # fmt: skip
    return pd.concat(rows, ignore_index=True)


@dataclass(frozen=True)
class _Fold:
    """Predictions (n, m) of m models for n rows with truths (n,) in groups 0 … n_groups - 1, in the order of those."""

    name: str
    models: list[tuple[str, str]]
    truth: np.ndarray
    predicted: np.ndarray
    group: np.ndarray

    @property
    def n_groups(self) -> int:
        return int(self.group[-1]) + 1


@dataclass(frozen=True)
class _Top:
    share: float
    largest: bool


def _folds(predictions: pd.DataFrame, groups: pd.Series) -> Iterator[_Fold]:
    """Each fold, then all as one."""
    key = groups.index.name
    if (predictions["fold"] == ALL).any():
        raise DataError("a fold has the name of the pool of all folds", found=ALL, do="rename the fold")
    group = rows_of(groups, pd.Index(predictions[key].unique(), name=key), "groups")
    parts = []
    for fold, rows in predictions.groupby("fold", sort=False):
        tables = {model: table for model, table in rows.groupby(_MODEL, sort=False)}
        first = next(iter(tables.values()))
        for model, table in tables.items():
            if not all(np.array_equal(table[c], first[c]) for c in (key, "truth")):
                raise DataError(
                    "inputs and heads are tested on different entities or truths", where=f"fold {fold}",
                    expected=f"the {len(first)} of {next(iter(tables))}", found=f"{len(table)} of {model}",
                )  # fmt: skip
        predicted = np.stack([table["predicted"].to_numpy() for table in tables.values()], axis=1)
        parts.append((fold, list(tables), first[key], first["truth"].to_numpy(), predicted))
        if parts[-1][1] != parts[0][1]:
            raise DataError("folds have different inputs and heads", where=f"fold {fold}", expected=parts[0][1])
    names, models, keys, truths, predicted = zip(*parts, strict=True)
    whole = (ALL, models[0], pd.concat(keys), np.concatenate(truths), np.concatenate(predicted))
    for name, columns, entities, truth, values in (*zip(names, models, keys, truths, predicted, strict=True), whole):
        codes = pd.factorize(entities.map(group), sort=True)[0]
        if (codes < 0).any():
            raise DataError("entities without a group", where=f"fold {name}", found=int((codes < 0).sum()))
        order = np.argsort(codes, kind="stable")
        yield _Fold(name, columns, truth[order].astype(np.float64), values[order], codes[order])


def _folds_drawn(
    predictions: pd.DataFrame, groups: pd.Series, *options
) -> Iterator[tuple[_Fold, dict[str, np.ndarray]]]:
    """Folds, each with its draws (`_draws`); the pool of a single fold is that fold."""
    drawn = []
    for fold in _folds(predictions, groups):
        again = fold.name == ALL and len(drawn) == 1
        drawn.append(drawn[0] if again else _draws(fold, *options))
        yield fold, drawn[-1]


def _draws(fold: _Fold, metrics: Sequence[str], n_bootstrap: int, seed: int, top: _Top) -> dict[str, np.ndarray]:
    """(1 + draws, m) of each metric: first that of the rows as they are, then of draws of groups."""
    starts = np.flatnonzero(np.diff(fold.group, prepend=-1))
    sums = {m: np.add.reduceat(_SUMS[m].terms(fold), starts, axis=1) for m in metrics if m in _SUMS}
    ranked = {m: _RANKED[m](fold, top) for m in metrics if m in _RANKED}
    values = {m: [] for m in metrics}
    done = 0
    for counts in _counts(fold.n_groups, n_bootstrap, seed):
        for m, totals in sums.items():
            values[m].append(_SUMS[m].value(*np.einsum("bg,qgm->qbm", counts, totals, optimize=True)))
        left = 1 + RANK_DRAWS - done
        if ranked and left > 0:
            weights = np.ascontiguousarray(counts[:left].T)[fold.group]
            for m, score in ranked.items():
                values[m].append(score(weights))
        done += len(counts)
    return {m: np.concatenate(chunks) for m, chunks in values.items()}


def _counts(n_groups: int, n_bootstrap: int, seed: int) -> Iterator[np.ndarray]:
    """(b, n_groups) how often each group is drawn, some draws at a time; in the very first, each once."""
    rng = np.random.default_rng(seed)
    for start in range(0, n_bootstrap + 1, _DRAWS_AT_ONCE):
        counts = np.empty((min(_DRAWS_AT_ONCE, n_bootstrap + 1 - start), n_groups))
        for i, row in enumerate(counts, start):
            row[:] = np.bincount(rng.integers(n_groups, size=n_groups), minlength=n_groups) if i else 1.0
        yield counts


def _interval(draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Limits (m,) of the draws after the first row, NaN for a column whose first is not defined."""
    limits = np.full((2, draws.shape[1]), np.nan)
    for i, column in enumerate(draws.T):
        defined = column[1:][np.isfinite(column[1:])]
        if np.isfinite(column[0]) and len(defined):
            limits[:, i] = np.quantile(defined, _LIMITS)
    return limits[0], limits[1]


# --- metrics that are functions of sums over rows ---------------------------------------------------------------------


@dataclass(frozen=True)
class _Sum:
    """terms : of each row (q, n, m); value : of their q sums, each (b, m)."""

    terms: Callable[[_Fold], np.ndarray]
    value: Callable[..., np.ndarray]


def _error_terms(fold: _Fold, size: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    error = size(fold.predicted - fold.truth[:, None])
    return np.stack([np.ones_like(error), error])


def _variance_terms(fold: _Fold) -> np.ndarray:
    centred = np.broadcast_to((fold.truth - fold.truth.mean())[:, None], fold.predicted.shape)
    return np.concatenate([_error_terms(fold, np.square), [centred, centred**2]])


def _r2(n: np.ndarray, squares: np.ndarray, total: np.ndarray, total_squares: np.ndarray) -> np.ndarray:
    spread = total_squares - total**2 / n
    return 1 - _ratio(squares, np.where(spread > 1e-12 * total_squares, spread, 0))


def _confusion_terms(fold: _Fold) -> np.ndarray:
    true, called = (fold.truth == 1)[:, None], fold.predicted > 0
    right = called == true
    return np.stack(
        [right & true, np.broadcast_to(true, right.shape), right & ~true, np.broadcast_to(~true, right.shape)]
    ).astype(float)


_SUMS = {
    "mae": _Sum(lambda fold: _error_terms(fold, np.abs), lambda n, total: total / n),
    "rmse": _Sum(lambda fold: _error_terms(fold, np.square), lambda n, total: np.sqrt(total / n)),
    "r2": _Sum(_variance_terms, _r2),
    "balanced_accuracy": _Sum(_confusion_terms, lambda tp, p, tn, n: (_ratio(tp, p) + _ratio(tn, n)) / 2),
}


# --- metrics that order the rows --------------------------------------------------------------------------------------


class _Order:
    """Rows by ascending value, equal ones in one block; weights are (n, b), as many copies of each row in b draws."""

    def __init__(self, values: np.ndarray):
        self.rows = np.argsort(values, kind="stable")
        self.starts = np.flatnonzero(np.diff(values[self.rows], prepend=np.nan))
        self.distinct = len(self.starts) == len(values)
        self.sizes = np.diff(self.starts, append=len(values))

    def ordered(self, weights: np.ndarray) -> np.ndarray:
        return np.take(weights, self.rows, axis=0)  # several times faster than an index

    def blocks(self, ordered: np.ndarray) -> np.ndarray:
        """Sum over each block of ordered weights."""
        return ordered if self.distinct else np.add.reduceat(ordered, self.starts, axis=0)

    def spread(self, of_blocks: np.ndarray) -> np.ndarray:
        """What blocks have, for each row in this order."""
        return of_blocks if self.distinct else np.repeat(of_blocks, self.sizes, axis=0)


def _midranks(order: _Order, ordered: np.ndarray) -> np.ndarray:
    """Mean rank of the copies of each row, less that of all; ordered : weights in the order of `order`."""
    block = order.blocks(ordered)
    ranks = np.cumsum(block, axis=0)
    ranks -= (block + ranks[-1]) / 2
    return order.spread(ranks)


def _spearman(fold: _Fold, top: _Top) -> Callable[[np.ndarray], np.ndarray]:
    by_truth, orders = _Order(fold.truth), [_Order(column) for column in fold.predicted.T]

    def score(weights: np.ndarray) -> np.ndarray:
        ranks = np.empty_like(weights)
        ranks[by_truth.rows] = _midranks(by_truth, by_truth.ordered(weights))
        weighted = weights * ranks
        spread = np.einsum("nb,nb->b", weighted, ranks)
        values = []
        for order in orders:
            ordered = order.ordered(weights)
            others = _midranks(order, ordered)
            common = np.einsum("nb,nb->b", order.ordered(weighted), others)
            ordered *= others
            values.append(_ratio(common, np.sqrt(spread * np.einsum("nb,nb->b", ordered, others))))
        return np.stack(values, axis=1)

    return score


def _by_class(value: Callable[[np.ndarray, np.ndarray], np.ndarray]):
    """A metric of the weights (t, b) of positives and negatives at each distinct score, descending."""

    def prepared(fold: _Fold, top: _Top) -> Callable[[np.ndarray], np.ndarray]:
        orders, positive = [_Order(-column) for column in fold.predicted.T], (fold.truth == 1).astype(np.float64)

        def score(weights: np.ndarray) -> np.ndarray:
            values = []
            for order in orders:
                ordered = order.ordered(weights)
                positives = ordered * positive[order.rows, None]
                ordered -= positives
                values.append(value(order.blocks(positives), order.blocks(ordered)))
            return np.stack(values, axis=1)

        return score

    return prepared


def _roc_auc(positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    above = np.cumsum(negatives, axis=0)
    total = above[-1].copy()
    above -= negatives / 2
    misplaced = np.einsum("tb,tb->b", positives, above)  # pairs with the negative first, half of those tied
    return 1 - _ratio(misplaced, positives.sum(axis=0) * total)


def _average_precision(positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    found = np.cumsum(positives, axis=0)
    called = np.cumsum(positives + negatives, axis=0)
    total, negative = found[-1].copy(), called[-1] - found[-1]
    found /= np.maximum(called, 1)  # nothing is found where nothing is called
    value = _ratio(np.einsum("tb,tb->b", positives, found), total)
    return np.where(negative > 0, value, np.nan)  # no ranking to judge without negatives, as for roc_auc


def _top_k_recall(fold: _Fold, top: _Top) -> Callable[[np.ndarray], np.ndarray]:
    sign = -1 if top.largest else 1
    by_truth, orders = _Order(sign * fold.truth), [_Order(column) for column in sign * fold.predicted.T]

    def chosen(order: _Order, weights: np.ndarray, k: np.ndarray) -> np.ndarray:
        """Share of each row that is among the first k copies."""
        block = order.blocks(order.ordered(weights))
        share = np.clip(_ratio(k - np.cumsum(block, axis=0) + block, block, 0.0), 0, 1)
        rows = np.empty_like(weights)
        rows[order.rows] = order.spread(share)
        return rows

    def score(weights: np.ndarray) -> np.ndarray:
        k = np.ceil(top.share * weights.sum(axis=0) - 1e-9)
        extreme = weights * chosen(by_truth, weights, k)
        found = [np.einsum("nb,nb->b", extreme, chosen(order, weights, k)) for order in orders]
        return np.stack(found, axis=1) / k[:, None]

    return score


_RANKED = {
    "spearman": _spearman,
    "roc_auc": _by_class(_roc_auc),
    "average_precision": _by_class(_average_precision),
    "top_k_recall": _top_k_recall,
}


def _ratio(a: np.ndarray, b: np.ndarray, otherwise: float = np.nan) -> np.ndarray:
    return np.divide(a, b, out=np.full(np.broadcast_shapes(np.shape(a), np.shape(b)), otherwise), where=b != 0)
