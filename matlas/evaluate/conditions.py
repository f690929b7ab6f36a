"""Do clusters split on a condition (how bright, when, at which temperature) rather than on class?

The measure is epsilon squared, the share of a condition's variance that groups explain, less what random groups of the
same number would: its expectation is 0 when groups are drawn at random, so it may be slightly negative, and grouping
finer does not raise it. Source: Kelley 1935, doi:10.1073/pnas.21.9.554.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from matlas.cluster.reruns import rerun_labels
from matlas.cluster.silhouette import label_columns
from matlas.errors import DataError
from matlas.evaluate.alignment import class_codes, rows_of
from matlas.evaluate.external import SPACE
from matlas.represent import finite_matrix

EFFECTS = ("effect_of_cluster", "effect_of_label", "effect_within_label")

MEDIUM_EFFECT = 0.06  # a difference that counts: a "medium" share of variance, f = 0.25 in Cohen 1988, is 0.0588

_NO_VARIANCE = 1e-24  # of standardised values: squares of rounding errors


def effects(values: np.ndarray, labels: np.ndarray, truth: Sequence | None = None) -> dict[str, float]:
    """Shares of the variance of a condition that clusters and classes explain, adjusted for chance (epsilon squared).

    values : (n,) finite numbers; labels : (n,) integer clusters (noise, -1, is one more); truth : (n,) classes, None or
    NaN where unknown. effect_of_cluster : clusters, over all rows; effect_of_label : classes; effect_within_label :
    clusters inside each class, as a share of the variance within classes: what cluster says about the condition beyond
    class. The last two are over the rows with a class, and NaN without `truth`. Any of them is NaN where there is no
    variance to explain, or a group for every row. Raises DataError for NaN, infinity, and lengths that differ.
    """
    table = _effects(np.asarray(values, dtype=float)[:, None], np.asarray(labels)[:, None], truth)
    return {name: float(column[0, 0]) for name, column in table.items()}


def conditions(
    study: str,
    runs: Sequence[tuple[Mapping[str, str], pd.DataFrame]],
    table: pd.DataFrame,
    truth: pd.Series | None = None,
) -> pd.DataFrame:
    """`effects` of every labeling of a study's clusterings on every condition.

    runs : (attributes, reruns) as in `matlas.evaluate.external.scores`; table : one numeric column a condition, truth :
    classes, both indexed by the entity key.
    Columns: study, dataset, view, representation, clustering, k, seed, condition, effect_of_cluster, effect_of_label,
    effect_within_label. Raises DataError for an entity that table or truth lacks, and as `effects` does.
    """
    frames = []
    for about, reruns in runs:
        values = rows_of(table, reruns.index, "conditions").to_numpy(dtype=float)
        classes = None if truth is None else rows_of(truth, reruns.index, "labels").to_numpy(dtype=object)
        seeds, ks, labels = rerun_labels(reruns)
        measured = _effects(values, labels, classes)
        c = table.shape[1]
        here = {"study": study, **{name: about[name] for name in SPACE}}
        frame = pd.DataFrame(
            {"k": np.repeat(ks, c), "seed": np.repeat(seeds, c), "condition": [*table.columns] * len(ks)}
        )
        frames.append(frame.assign(**here, **{name: effect.ravel() for name, effect in measured.items()}))
    if not frames:
        raise DataError("no clustering to compare with conditions", where=f"study {study}")
    return pd.concat(frames, ignore_index=True)[["study", *SPACE, "k", "seed", "condition", *EFFECTS]]


def _effects(values: np.ndarray, labels: np.ndarray, truth: Sequence | None) -> dict[str, np.ndarray]:
    """The three effects as (m, c) arrays for m labelings and c conditions."""
    values = finite_matrix(values, "conditions")
    labels = label_columns(labels, len(values))
    codes = [np.unique(column, return_inverse=True)[1] for column in labels.T]
    whole = _standardised(values)
    of_cluster = np.stack([_epsilon_squared(whole, 1, column) for column in codes])
    if truth is None:
        nothing = np.full(of_cluster.shape, np.nan)
        return dict(zip(EFFECTS, (of_cluster, nothing, nothing), strict=True))
    if len(truth) != len(values):
        raise DataError("classes are not of the same rows", expected=f"{len(values)} rows", found=len(truth))
    classes, names = class_codes(truth)
    known = classes >= 0
    classes = classes[known]
    whole = _standardised(values[known])
    of_label = _epsilon_squared(whole, 1, classes)
    inside = whole - (_sums(whole, classes) / np.bincount(classes)[:, None])[classes]
    cells = [np.unique(column[known] * len(names) + classes, return_inverse=True)[1] for column in codes]
    within = np.stack([_epsilon_squared(inside, len(names), cell) for cell in cells])
    return dict(zip(EFFECTS, (of_cluster, np.tile(of_label, (len(codes), 1)), within), strict=True))


def _standardised(values: np.ndarray) -> np.ndarray:
    """(n, c) values with mean 0 and variance 1; zeros for a constant column, whose mean is subject to rounding."""
    centred = np.where((values == values[0]).all(axis=0), 0.0, values - values.mean(axis=0))
    scale = centred.std(axis=0)
    return centred / np.where(scale > 0, scale, 1.0)


def _epsilon_squared(residuals: np.ndarray, parents: int, groups: np.ndarray) -> np.ndarray:
    """(c,) shares of the variance of residuals (n, c) that groups explain, adjusted for chance; residuals : from the
    means of `parents` groups, of which each of `groups` (n,), counted from 0 with no gap, is a part."""
    sizes = np.bincount(groups)
    total = (residuals**2).sum(axis=0)
    between = (_sums(residuals, groups) ** 2 / sizes[:, None]).sum(axis=0)
    within = np.maximum(total - between, 0.0)
    n = len(residuals)
    if n <= len(sizes) or n <= parents:
        return np.full(len(total), np.nan)
    unexplained = np.divide(within, total, out=np.full(len(total), np.nan), where=total > n * _NO_VARIANCE)
    return 1 - unexplained * (n - parents) / (n - len(sizes))


def _sums(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """(groups, c) sums of the values of each group."""
    return np.stack([np.bincount(groups, weights=column) for column in values.T], axis=1)
