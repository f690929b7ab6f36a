"""Fit a clustering for a range of cluster numbers, and score each fit."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np
from sklearn.cluster import KMeans
from sklearn.mixture import GaussianMixture

from matlas.cluster.silhouette import map_in_threads, silhouettes
from matlas.errors import ConfigError, DataError, nearest
from matlas.represent import finite_matrix

log = logging.getLogger(__name__)

ALGORITHMS = ("kmeans", "gmm")


@dataclass(frozen=True)
class Sweep:
    """Clusterings of n rows for each number of clusters in `k`, from one seed.

    labels : (n, len(k)) int64; centers : (k, d) centroids or component means for each k; inertia : (len(k),) sum of
    squared distances to the centroids, NaN for gmm; bic : (len(k),) Bayesian information criterion (smaller is
    better), NaN for kmeans; silhouette : (len(k),), NaN where the fit left fewer than two clusters;
    best_k : the k of the largest silhouette, the smallest such k if several tie;
    responsibilities : (n, best_k) of the gmm with best_k components, otherwise None.
    """

    algorithm: str
    random_state: int
    k: tuple[int, ...]
    labels: np.ndarray
    centers: list[np.ndarray]
    inertia: np.ndarray
    bic: np.ndarray
    silhouette: np.ndarray
    best_k: int
    responsibilities: np.ndarray | None


def sweep(scores: np.ndarray, *, algorithm: str, k: Sequence[int], random_state: int = 0, **options) -> Sweep:
    """`sweep_seeds` for one seed."""
    return sweep_seeds(scores, [random_state], algorithm=algorithm, k=k, **options)[0]


def sweep_seeds(
    scores: np.ndarray,
    seeds: Sequence[int],
    *,
    algorithm: str,
    k: Sequence[int],
    n_init: int = 10,
    covariance_type: str = "full",
    init_params: str = "random_from_data",
    threads: int | None = None,
) -> list[Sweep]:
    """One `Sweep` a seed, with the silhouettes of all of them from one pass over the distances.

    scores : (n, d) finite coordinates; seeds : random states; algorithm : "kmeans" or "gmm"; k : increasing cluster
    numbers, 2 to n; n_init : starts of each fit, of which the best is kept; threads : fits at a time, by default the
    current BLAS limit (results do not depend on it).

    kmeans gives the labels of `KMeans(k, init="k-means++", n_init=n_init, random_state=seed)`, its inertia and
    `silhouette_score`. gmm gives those of a float64 `GaussianMixture` with `covariance_type` and `init_params`; a row's
    label is its largest responsibility. The default start draws the means from the data, because scikit-learn's own
    default, "kmeans", begins at the k-means clusters, and the mixture's agreement with k-means would then be true by
    construction.
    Raises ConfigError for an unknown algorithm or a bad list of k, DataError for non-finite scores, more clusters than
    rows, a mixture that can't be fitted, and when no k has a silhouette.
    """
    scores = finite_matrix(scores, "scores")
    k = _cluster_numbers(k, len(scores))
    spec = {"n_init": n_init, "covariance_type": covariance_type, "init_params": init_params}
    estimator(algorithm, k[0], 0, **spec)  # an unknown name shows before the first fit
    tasks = [(seed, number) for seed in seeds for number in reversed(k)]  # largest first: no thread ends up alone

    def fit(task: tuple[int, int]) -> KMeans | GaussianMixture:
        seed, number = task
        return fitted(estimator(algorithm, number, seed, **spec), scores)

    models = dict(zip(tasks, map_in_threads(fit, tasks, what=f"{algorithm} fits", threads=threads), strict=True))
    labels = {task: _labels(model, scores) for task, model in models.items()}
    columns = [(seed, number) for seed in seeds for number in k]
    silhouette = silhouettes(scores, np.stack([labels[task] for task in columns], axis=1), threads=threads)
    silhouette = silhouette.reshape(len(seeds), len(k))
    return [
        _collect(algorithm, seed, k, [models[seed, number] for number in k], scores, labels, silhouette[row])
        for row, seed in enumerate(seeds)
    ]


def estimator(
    algorithm: str,
    k: int,
    random_state: int,
    *,
    n_init: int = 10,
    covariance_type: str = "full",
    init_params: str = "random_from_data",
) -> KMeans | GaussianMixture:
    """The unfitted scikit-learn estimator of `algorithm`; raises ConfigError for a name that is not in ALGORITHMS."""
    if algorithm == "kmeans":
        return KMeans(n_clusters=k, init="k-means++", n_init=n_init, random_state=random_state)
    if algorithm == "gmm":
        return GaussianMixture(
            k, covariance_type=covariance_type, init_params=init_params, n_init=n_init, random_state=random_state
        )
    raise ConfigError("unknown clustering algorithm", expected=nearest(algorithm, ALGORITHMS), found=repr(algorithm))


def fitted(model: KMeans | GaussianMixture, scores: np.ndarray) -> KMeans | GaussianMixture:
    """`model` after its fit to scores (n, d); raises DataError when a mixture component collapses."""
    try:
        return model.fit(scores)
    except ValueError as error:
        if "ill-defined empirical covariance" not in str(error):
            raise
        raise DataError(
            "a mixture component collapsed onto too few distinct rows",
            where=f"gmm with {model.n_components} components, seed {model.random_state}",
            found=f"{len(np.unique(scores, axis=0))} distinct rows in {scores.shape[1]} dimensions",
            do="use fewer components or dimensions, or covariance_type 'diag'",
        ) from error


def _labels(model: KMeans | GaussianMixture, scores: np.ndarray) -> np.ndarray:
    # KMeans.predict may differ from labels_ by a row that a start left unconverged: take what the fit reports
    return np.asarray(model.labels_ if isinstance(model, KMeans) else model.predict(scores), dtype=np.int64)


def _collect(algorithm, seed, k, models, scores, labels, silhouette) -> Sweep:
    if np.isnan(silhouette).all():
        raise DataError(
            "no cluster number has a silhouette",
            where=f"{algorithm}, seed {seed}, k = {', '.join(map(str, k))}",
            expected="2 to n - 1 clusters with rows in them",
            do="check that the rows differ",
        )
    best = int(np.nanargmax(silhouette))  # the first, so the smallest, of equal values
    mixture = algorithm == "gmm"
    nothing = np.full(len(k), np.nan)
    return Sweep(
        algorithm=algorithm,
        random_state=seed,
        k=k,
        labels=np.stack([labels[seed, number] for number in k], axis=1),
        centers=[model.means_ if mixture else model.cluster_centers_ for model in models],
        inertia=nothing if mixture else np.array([model.inertia_ for model in models]),
        bic=np.array([model.bic(scores) for model in models]) if mixture else nothing,
        silhouette=silhouette,
        best_k=k[best],
        responsibilities=models[best].predict_proba(scores) if mixture else None,
    )


def _cluster_numbers(k: Sequence[int], n_rows: int) -> tuple[int, ...]:
    numbers = list(k)
    whole = all(isinstance(number, Integral) and not isinstance(number, bool) for number in numbers)
    if not numbers or not whole or numbers[0] < 2 or any(a >= b for a, b in zip(numbers, numbers[1:], strict=False)):
        raise ConfigError("bad cluster numbers k", expected="increasing whole numbers from 2", found=numbers)
    if numbers[-1] > n_rows:
        raise DataError("more clusters than rows", expected=f"k up to {n_rows}", found=numbers[-1], do="sweep fewer")
    return tuple(int(number) for number in numbers)
