"""Means with 95 % intervals: over groups of entities that err together, and over repetitions with other seeds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_LIMITS = (0.025, 0.975)


class Interval(NamedTuple):
    """A number, and the limits between which 95 % of its redraws lie, if it was redrawn."""

    value: float
    low: float | None = None
    high: float | None = None


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
