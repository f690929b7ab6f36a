"""How much clusterings agree: between any labelings, between seeds, and under resampling of groups."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from matlas.cluster.silhouette import label_columns
from matlas.cluster.sweep import Sweep, estimator, fitted
from matlas.errors import DataError
from matlas.represent import finite_matrix
from matlas.threads import map_in_threads

_ROWS_AT_ONCE = 8192


def pairwise_ari(labelings: np.ndarray) -> np.ndarray:
    """Adjusted Rand index of each pair of labelings: (m, m), symmetric, 1 on the diagonal, about 0 for unrelated ones.

    labelings : (n, m) integer cluster names, one labeling a column. All contingency tables are blocks of one product
    of indicator columns; their counts are exact in float64. Equals scikit-learn's `adjusted_rand_score` to 1e-12.
    Source: Hubert and Arabie 1985, doi:10.1007/BF01908075.
    """
    labelings = label_columns(labelings)
    n = len(labelings)
    coded = [np.unique(column, return_inverse=True)[1] for column in labelings.T]
    clusters = [int(codes.max()) + 1 for codes in coded]
    starts = np.cumsum([0, *clusters[:-1]])
    table = np.zeros((sum(clusters), sum(clusters)))
    for first in range(0, n, _ROWS_AT_ONCE):
        rows = slice(first, first + _ROWS_AT_ONCE)
        part = np.concatenate([np.eye(k)[codes[rows]] for k, codes in zip(clusters, coded, strict=True)], axis=1)
        table += part.T @ part
    # pairs of rows (ordered, i != j) that share a cluster in both labelings, and in each one
    both = np.add.reduceat(np.add.reduceat(table**2, starts, axis=0), starts, axis=1) - n
    one = np.diagonal(both)
    only_a, only_b = one[:, None] - both, one[None, :] - both
    neither = n * (n - 1) - both - only_a - only_b
    above = 2 * (both * neither - only_a * only_b)
    below = (both + only_a) * (only_a + neither) + (both + only_b) * (only_b + neither)
    return np.divide(above, below, out=np.ones_like(both), where=(only_a != 0) | (only_b != 0))


def seed_stability(sweeps: list[Sweep], reference: Sweep) -> pd.DataFrame:
    """Adjusted Rand index of each sweep's labels to the reference's labels at the same k.

    Returns columns k (int64), seed (int64), ari (float64), one row a seed and k. Raises DataError when a sweep has
    other k or other rows than the reference.
    """
    for other in sweeps:
        if other.k != reference.k or other.labels.shape != reference.labels.shape:
            raise DataError(
                "sweeps are not of the same rows and k",
                where=f"seed {other.random_state}",
                expected=f"k = {reference.k}, {len(reference.labels)} rows",
                found=f"k = {other.k}, {len(other.labels)} rows",
            )
    return _agreement([(other.random_state, other.labels) for other in sweeps], reference.k, reference.labels)


def bootstrap_stability(
    scores: np.ndarray,
    groups: Sequence | None,
    reference: Sweep,
    *,
    n_bootstrap: int,
    random_state: int = 0,
    threads: int | None = None,
    **options,
) -> pd.DataFrame:
    """Adjusted Rand index to the reference labels after resampling whole groups, at each k of the reference.

    scores : (n, d) the rows that `reference` (kmeans or gmm) clustered; groups : (n,) the group of each row (its
    compound), never missing; None where no row is a near copy of another, so that single rows are drawn; options : as
    given to the reference sweep (n_init, covariance_type, init_params). Each bootstrap draws as many groups as there
    are, with replacement, refits on their rows, and labels *all* rows by the refitted model (nearest centroid, or
    largest responsibility). Rows of one compound are near copies of one another: resampling rows would put copies of
    most of them into every sample and make any clustering look stable.
    Returns columns k, seed (random_state + 0 … n_bootstrap - 1, which repeats that one bootstrap), ari.
    Raises DataError for missing groups, lengths that differ, and a resample with fewer rows than clusters.
    """
    scores = finite_matrix(scores, "scores")
    groups = np.arange(len(scores)) if groups is None else np.asarray(groups, dtype=object)
    if not len(scores) == len(groups) == len(reference.labels):
        raise DataError(
            "scores, groups and reference are not of the same rows",
            expected=f"{len(scores)} groups and labels",
            found=f"{len(groups)} groups, {len(reference.labels)} labels",
        )
    if pd.isna(groups).any():
        raise DataError("rows without a group", found=f"{int(pd.isna(groups).sum())} of {len(groups)}")
    seeds = [random_state + draw for draw in range(n_bootstrap)]
    samples = {seed: resample_groups(groups, np.random.default_rng(seed)) for seed in seeds}
    shortest = min(map(len, samples.values()), default=len(scores))
    if shortest < reference.k[-1]:
        raise DataError("a resample has fewer rows than clusters", expected=f">= {reference.k[-1]}", found=shortest)

    def refit(task: tuple[int, int]) -> np.ndarray:
        seed, k = task
        model = estimator(reference.algorithm, k, seed, **options)
        return fitted(model, scores[samples[seed]]).predict(scores)

    tasks = [(seed, k) for seed in seeds for k in reference.k]
    labels = dict(zip(tasks, map_in_threads(refit, tasks, what="bootstrap fits", threads=threads), strict=True))
    drawn = [(seed, np.stack([labels[seed, k] for k in reference.k], axis=1)) for seed in seeds]
    return _agreement(drawn, reference.k, reference.labels)


def resample_groups(groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Row indices of as many groups as there are, drawn with replacement: a group comes whole or not at all."""
    codes, names = pd.factorize(np.asarray(groups, dtype=object))
    members = np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])
    return np.concatenate([members[drawn] for drawn in rng.integers(len(names), size=len(names))])


def _agreement(labels_by_seed: list[tuple[int, np.ndarray]], k: tuple[int, ...], reference: np.ndarray) -> pd.DataFrame:
    rows = []
    for column, number in enumerate(k):
        together = [reference[:, column], *(labels[:, column] for _, labels in labels_by_seed)]
        to_reference = pairwise_ari(np.stack(together, axis=1))[0, 1:]
        rows += [(number, seed, ari) for (seed, _), ari in zip(labels_by_seed, to_reference, strict=True)]
    table = pd.DataFrame(rows, columns=["k", "seed", "ari"])
    return table.astype({"k": "int64", "seed": "int64", "ari": "float64"})
