"""Agglomerative clustering: one tree, cut at every number of clusters that is asked for."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
from scipy.cluster import hierarchy

from matlas.errors import ConfigError, DataError, nearest

log = logging.getLogger(__name__)

LINKAGES = ("ward", "average", "complete")
MOST_ROWS = 30_000  # their distances take 3.6 GB


def agglomerative_labels(scores: np.ndarray, k: Sequence[int], *, linkage: str = "ward") -> np.ndarray:
    """Labels of rows at each number of clusters: (n, len(k)) int64, clusters counted in the order of their first rows.

    scores : (n, d) finite float64, n > 1; k : numbers from 1 to n; linkage : what is smallest between the two clusters
    merged next: "ward" the growth of the sum of squares within clusters, "average" or "complete" the mean or largest
    Euclidean distance of their rows. The partitions are those of scikit-learn's `AgglomerativeClustering(k, linkage=…)`
    which cuts the same tree of SciPy's, but builds it anew for each k. Memory: 4 n² bytes for the distances.
    Raises ConfigError for an unknown linkage, DataError for more than MOST_ROWS rows.
    Source: Müllner 2011, arXiv:1109.2378; Ward 1963, doi:10.1080/01621459.1963.10500845.
    """
    if linkage not in LINKAGES:
        raise ConfigError("unknown linkage", expected=nearest(linkage, LINKAGES), found=repr(linkage))
    if len(scores) > MOST_ROWS:
        raise DataError(
            "too many rows for a tree, which needs the distances of all pairs", expected=f"at most {MOST_ROWS:,} rows",
            found=f"{len(scores):,}", do="cluster them with kmeans or hdbscan",
        )  # fmt: skip
    log.info("%s linkage of %d rows", linkage, len(scores))
    merged = hierarchy.linkage(scores, method=linkage, metric="euclidean")[:, :2].astype(np.int64)
    return np.stack([_cut(merged, number) for number in k], axis=1)


def _cut(merged: np.ndarray, k: int) -> np.ndarray:
    """(n,) labels after the first n - k merges of a tree; merged : (n - 1, 2), of which row i makes node n + i."""
    n = len(merged) + 1
    top = np.arange(2 * n - k)  # of each node that the cut leaves: the largest node above it that is left as well
    for node in range(2 * n - k - 1, n - 1, -1):
        top[merged[node - n]] = top[node]
    _, first, inverse = np.unique(top[:n], return_index=True, return_inverse=True)
    return first.argsort().argsort()[inverse]
