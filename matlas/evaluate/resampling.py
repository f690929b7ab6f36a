"""Any statistic of rows with 95 % intervals: by a bootstrap over groups of rows that err together, or over seeds.

Scores of predictions have theirs in matlas.probe.intervals, which `score` calls; `redrawn` is for what no sum over
rows gives: medians, ratios, the bend of a curve.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd

from matlas.errors import DataError
from matlas.probe.intervals import ALL, score_table

DRAWS = 300
_LIMITS = (0.025, 0.975)
_TASKS = {"roc_auc": "classification", "spearman": "regression", "r2": "regression"}


class Interval(NamedTuple):
    """A number, and the limits between which 95 % of its redraws lie, if it was redrawn."""

    value: float
    low: float | None = None
    high: float | None = None


def redrawn(
    statistic: Callable[[np.ndarray], np.ndarray | float], groups: np.ndarray, *, draws: int = DRAWS, seed: int = 0
) -> np.ndarray:
    """(1 + draws, …) what `statistic` says of all rows, then of draws of whole groups, as many as there are, with
    replacement (Davison and Hinkley 1997, section 3.8).

    statistic : of row numbers (m,), some of them several times; groups : (n,) group of each row.
    Raises DataError for rows without a group, and for none.
    """
    codes = pd.factorize(np.asarray(groups), sort=True)[0]
    if not len(codes) or (codes < 0).any():
        found = f"{int((codes < 0).sum())} of {len(codes)} without"
        raise DataError("rows can't be redrawn by groups", expected="a group for each of them", found=found)
    order, sizes = np.argsort(codes, kind="stable"), np.bincount(codes)
    starts = np.cumsum(sizes) - sizes
    rng = np.random.default_rng(seed)
    values = [statistic(np.arange(len(codes)))]
    for _ in range(draws):
        drawn = rng.integers(len(sizes), size=len(sizes))
        ends = np.cumsum(sizes[drawn])
        within = np.arange(ends[-1]) - np.repeat(ends - sizes[drawn], sizes[drawn])
        values.append(statistic(order[np.repeat(starts[drawn], sizes[drawn]) + within]))
    return np.array(values, dtype=np.float64)


def interval(redraws: np.ndarray) -> Interval:
    """The first of `redrawn` values (1 + draws,), and the limits of 95 % of the others that are defined."""
    defined = redraws[1:][np.isfinite(redraws[1:])]
    if not np.isfinite(redraws[0]) or not len(defined):
        return Interval(float(redraws[0]))
    return Interval(float(redraws[0]), *map(float, np.quantile(defined, _LIMITS)))


def score(
    metric: str, truth: np.ndarray, predicted: np.ndarray, groups: np.ndarray, *, draws: int = DRAWS, seed: int = 0
) -> Interval:
    """roc_auc, spearman or r2 of predictions (n,) of truths (n,), as `probe.intervals.score_table` has them."""
    rows = pd.RangeIndex(len(truth), name="row")
    about = {"row": rows, "input": "", "head": "", "fold": "rows", "truth": truth, "predicted": predicted}
    group = pd.Series(np.asarray(groups), index=rows)
    table = score_table(pd.DataFrame(about), group, _TASKS[metric], [metric], n_bootstrap=draws, seed=seed)
    found = table[table["fold"] == ALL].iloc[0]
    return Interval(*(float(found[name]) for name in ("value", "low", "high")))


def mean_over_groups(values: np.ndarray, groups: np.ndarray, *, draws: int = 500, seed: int = 0) -> Interval:
    """Mean of values (n,), with percentiles of a bootstrap that draws whole groups (n,), as many as there are, with
    replacement (Davison and Hinkley 1997, section 3.8)."""
    codes = np.unique(groups, return_inverse=True)[1]
    sums, sizes = np.bincount(codes, values), np.bincount(codes)
    rng = np.random.default_rng(seed)
    means = np.empty(draws)
    for i in range(draws):
        drawn = rng.integers(len(sizes), size=len(sizes))
        means[i] = sums[drawn].sum() / sizes[drawn].sum()
    return Interval(float(np.mean(values)), *map(float, np.quantile(means, _LIMITS)))


def median_over_seeds(values: np.ndarray) -> Interval:
    """Median of repetitions (s,) and the range in which 95 % of them lie: how far another seed may be off."""
    return Interval(float(np.median(values)), *map(float, np.quantile(values, _LIMITS)))


def mean_over_seeds(values: np.ndarray, *, draws: int = 1000, seed: int = 0) -> Interval:
    """Mean of repetitions (s,), with percentiles of a bootstrap over them: how well their mean is known."""
    return mean_over_groups(np.asarray(values), np.arange(len(values)), draws=draws, seed=seed)
