"""The k-means sweep against the scikit-learn loop it replaces: same labels, same silhouettes, less time.

Uses ESTM when MATLAS_MIRROR names the folder of real sources, otherwise blobs of the
same shape.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.metrics import silhouette_score
from threadpoolctl import threadpool_limits

from bench.measure import compare
from matlas.cluster.sweep import Sweep, sweep
from matlas.represent import pca

K = tuple(range(2, 13))
N_INIT = 10
THREADS = 2
REPEATS = 7


def run() -> list[dict]:
    """Rows of the comparison, as `bench.measure.compare` gives it."""
    name, scores = _scores()
    with threadpool_limits(THREADS):
        return compare(
            "kmeans_sweep", f"k-means for K = {K[0]} to {K[-1]} on {name}, {scores.shape[0]:,} x {scores.shape[1]}: "
            "beside a loop over scikit-learn",
            partial(_ours, scores), partial(_peer, scores), _agree, repeats=REPEATS,
        )  # fmt: skip


def _ours(scores: np.ndarray) -> Sweep:
    return sweep(scores, algorithm="kmeans", k=K, n_init=N_INIT, random_state=0, threads=THREADS)


def _peer(scores: np.ndarray) -> list[tuple[np.ndarray, float, float]]:
    fits = [KMeans(n_clusters=k, init="k-means++", n_init=N_INIT, random_state=0).fit(scores) for k in K]
    return [(fit.labels_, fit.inertia_, silhouette_score(scores, fit.labels_)) for fit in fits]


def _agree(ours: Sweep, peer: list[tuple[np.ndarray, float, float]]) -> None:
    labels, inertia, silhouette = zip(*peer, strict=True)
    np.testing.assert_array_equal(ours.labels, np.stack(labels, axis=1))
    np.testing.assert_allclose(ours.inertia, inertia, rtol=1e-12, atol=0)
    np.testing.assert_allclose(ours.silhouette, silhouette, rtol=0, atol=1e-12)


def _scores() -> tuple[str, np.ndarray]:
    mirror = os.environ.get("MATLAS_MIRROR")
    if mirror:
        features = _element_fractions_and_temperature(Path(mirror) / "estm" / "estm.xlsx")
        return "ESTM", pca(features, n_components=10).scores
    return "blobs (MATLAS_MIRROR is not set)", make_blobs(5205, 10, centers=12, cluster_std=4.0, random_state=0)[0]


def _element_fractions_and_temperature(workbook: Path) -> np.ndarray:
    """(rows, 119): atomic fractions of the elements 1 to 118, then the temperature in kelvin."""
    import pandas as pd
    from pymatgen.core import Composition

    table = pd.read_excel(workbook, usecols=["Formula", "temperature(K)"])
    features = np.zeros((len(table), 119))
    for row, formula in enumerate(table["Formula"].astype(str)):
        for element, fraction in Composition(formula).fractional_composition.items():
            features[row, element.Z - 1] = fraction
    features[:, 118] = table["temperature(K)"]
    return features
