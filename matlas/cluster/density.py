"""HDBSCAN: clusters are the dense regions that persist longest; rows between them are noise."""

from __future__ import annotations

import numpy as np
from sklearn.cluster import HDBSCAN

from matlas.errors import DataError


def hdbscan_labels(scores: np.ndarray, *, min_cluster_size: int, min_samples: int | None = None) -> np.ndarray:
    """Labels of rows: (n,) int64, 0 … found - 1, and -1 for noise; all -1 where no cluster persists.

    scores : (n, d) finite float64; min_cluster_size : rows from which on a group counts as a cluster (>= 2);
    min_samples : the row itself and its neighbours within whose reach a row is dense (None: min_cluster_size).
    Deterministic. Raises DataError with fewer rows than either number.
    Source: Campello, Moulavi and Sander 2013, doi:10.1007/978-3-642-37456-2_14; scikit-learn's HDBSCAN.
    """
    needed = max(min_cluster_size, min_samples or 0)
    if len(scores) < needed:
        raise DataError(
            "fewer rows than hdbscan's smallest cluster or neighbourhood", expected=f"{needed} or more",
            found=len(scores), do="lower min_cluster_size or min_samples",
        )  # fmt: skip
    model = HDBSCAN(min_cluster_size=min_cluster_size, min_samples=min_samples, copy=True)
    return model.fit(scores).labels_.astype(np.int64)
