"""Fit a clustering for a range of cluster numbers, or for the number that it finds, and score each fit."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np
from sklearn.cluster import KMeans
from sklearn.mixture import GaussianMixture

from matlas.cluster.density import hdbscan_labels
from matlas.cluster.mixture import DiagonalMixture
from matlas.cluster.silhouette import one_hot, silhouettes
from matlas.cluster.tree import agglomerative_labels
from matlas.errors import ConfigError, DataError, nearest
from matlas.represent import finite_matrix
from matlas.threads import map_in_threads

log = logging.getLogger(__name__)

ALGORITHMS = ("kmeans", "gmm", "agglomerative", "hdbscan")
NOISE = -1  # the label of a row that hdbscan leaves out of every cluster


@dataclass(frozen=True)
class Sweep:
    """Clusterings of n rows for each number of clusters in `k`, from one seed.

    random_state : the seed; None where nothing is random; labels : (n, len(k)) int64; centers : (k, d) centroids or
    component means for each k; inertia : (len(k),) sum of squared distances to the centroids, NaN for gmm and hdbscan;
    bic : (len(k),) Bayesian information criterion (smaller is better), NaN but for gmm; silhouette : (len(k),), NaN
    where the fit left fewer than two clusters; best_k : the k of the largest silhouette, the smallest such k if several
    tie; responsibilities : (n, best_k) of the gmm with best_k components, otherwise None.

    hdbscan finds its number of clusters: k holds that number only, which may be 0; rows that are in no cluster have the
    label NOISE, and centers and silhouette are those of the other rows.
    """

    algorithm: str
    random_state: int | None
    k: tuple[int, ...]
    labels: np.ndarray
    centers: list[np.ndarray]
    inertia: np.ndarray
    bic: np.ndarray
    silhouette: np.ndarray
    best_k: int
    responsibilities: np.ndarray | None


def sweep(scores: np.ndarray, *, algorithm: str, random_state: int = 0, **options) -> Sweep:
    """`sweep_seeds` for one seed."""
    return sweep_seeds(scores, [random_state], algorithm=algorithm, **options)[0]


def sweep_seeds(
    scores: np.ndarray,
    seeds: Sequence[int],
    *,
    algorithm: str,
    k: Sequence[int] = (),
    silhouette_rows: int | None = None,
    threads: int | None = None,
    **options,
) -> list[Sweep]:
    """One `Sweep` a seed, with the silhouettes of all of them from one pass over the distances; one in all where
    nothing is random.

    scores : (n, d) finite coordinates; seeds : random states; algorithm : one of ALGORITHMS; k : increasing cluster
    numbers, 2 to n, except for hdbscan; silhouette_rows : of how many rows, drawn by the first seed, silhouettes are
    taken (None: of all); threads : fits at a time, by default the current BLAS limit (results do not depend on it);
    options : the algorithm's own, named in brackets here.

    kmeans (n_init) gives the labels of `KMeans(k, init="k-means++", n_init=n_init, random_state=seed)`, its inertia and
    `silhouette_score`; n_init : starts of each fit, of which the best is kept.
    gmm (n_init, covariance_type, init_params) gives those of a float64 `GaussianMixture`; a row's label is its largest
    responsibility. The default start draws the means from the data, because scikit-learn's own default, "kmeans",
    begins at the k-means clusters, and the mixture's agreement with k-means would then be true by construction.
    agglomerative (linkage) cuts one tree at each k: matlas.cluster.tree. hdbscan (min_cluster_size, min_samples)
    finds the number of clusters: matlas.cluster.density. Both are deterministic.
    Raises ConfigError for an unknown algorithm or a bad list of k, DataError for non-finite scores, more clusters than
    rows, a mixture that can't be fitted, and when no k that was asked for has a silhouette.
    """
    scores = finite_matrix(scores, "scores")
    scoring = {"rows": silhouette_rows, "random_state": seeds[0], "threads": threads}
    if algorithm == "hdbscan":
        return [_density_sweep(scores, hdbscan_labels(scores, **options), scoring)]
    if algorithm not in ALGORITHMS:  # shows before a bad list of k
        raise ConfigError(
            "unknown clustering algorithm", expected=nearest(algorithm, ALGORITHMS), found=repr(algorithm)
        )
    k = _cluster_numbers(k, len(scores))
    if algorithm == "agglomerative":
        return [_tree_sweep(scores, k, agglomerative_labels(scores, k, **options), scoring)]
    estimator(algorithm, k[0], 0, **options)  # an unknown option shows before the first fit
    tasks = [(seed, number) for seed in seeds for number in reversed(k)]  # largest first: no thread ends up alone

    def fit(task: tuple[int, int]) -> KMeans | GaussianMixture:
        seed, number = task
        return fitted(estimator(algorithm, number, seed, **options), scores)

    models = dict(zip(tasks, map_in_threads(fit, tasks, what=f"{algorithm} fits", threads=threads), strict=True))
    labels = {task: _labels(model, scores) for task, model in models.items()}
    columns = [(seed, number) for seed in seeds for number in k]
    silhouette = silhouettes(scores, np.stack([labels[task] for task in columns], axis=1), **scoring)
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
    """The unfitted scikit-learn estimator of "kmeans" or "gmm", the algorithms that begin at random."""
    if algorithm == "kmeans":
        return KMeans(n_clusters=k, init="k-means++", n_init=n_init, random_state=random_state)
    mixture = DiagonalMixture if covariance_type == "diag" else GaussianMixture
    return mixture(
        k, covariance_type=covariance_type, init_params=init_params, n_init=n_init, random_state=random_state
    )


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
    best = _best(silhouette, f"{algorithm}, seed {seed}", k)
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


def _tree_sweep(scores: np.ndarray, k: tuple[int, ...], labels: np.ndarray, scoring: dict) -> Sweep:
    silhouette = silhouettes(scores, labels, **scoring)
    centers = [_cluster_means(scores, column) for column in labels.T]
    return Sweep(
        algorithm="agglomerative",
        random_state=None,
        k=k,
        labels=labels,
        centers=centers,
        inertia=np.array([((scores - c[column]) ** 2).sum() for c, column in zip(centers, labels.T, strict=True)]),
        bic=np.full(len(k), np.nan),
        silhouette=silhouette,
        best_k=k[_best(silhouette, "agglomerative", k)],
        responsibilities=None,
    )


def _density_sweep(scores: np.ndarray, labels: np.ndarray, scoring: dict) -> Sweep:
    clustered = labels != NOISE
    found = len(np.unique(labels[clustered]))
    nothing = np.full(1, np.nan)
    scored = silhouettes(scores[clustered], labels[clustered, None], **scoring) if found else nothing
    log.info("hdbscan: %d clusters, %d of %d rows are noise", found, (~clustered).sum(), len(labels))
    return Sweep(
        algorithm="hdbscan",
        random_state=None,
        k=(found,),
        labels=labels[:, None],
        centers=[_cluster_means(scores[clustered], labels[clustered])],
        inertia=nothing,
        bic=nothing,
        silhouette=scored,
        best_k=found,
        responsibilities=None,
    )


def _best(silhouette: np.ndarray, where: str, k: tuple[int, ...]) -> int:
    """Index of the largest silhouette: the first, so of the smallest k, of equal values."""
    if np.isnan(silhouette).all():
        raise DataError(
            "no cluster number has a silhouette",
            where=f"{where}, k = {', '.join(map(str, k))}",
            expected="2 to n - 1 clusters with rows in them",
            do="check that the rows differ",
        )
    return int(np.nanargmax(silhouette))


def _cluster_means(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(k, d) means of the clusters 0 … k - 1, none of which is empty; (0, d) of no rows."""
    if not len(labels):
        return np.empty((0, scores.shape[1]))
    members = one_hot([labels])
    return members.T @ scores / members.sum(axis=0)[:, None]


def _cluster_numbers(k: Sequence[int], n_rows: int) -> tuple[int, ...]:
    numbers = list(k)
    whole = all(isinstance(number, Integral) and not isinstance(number, bool) for number in numbers)
    if not numbers or not whole or numbers[0] < 2 or any(a >= b for a, b in zip(numbers, numbers[1:], strict=False)):
        raise ConfigError("bad cluster numbers k", expected="increasing whole numbers from 2", found=numbers)
    if numbers[-1] > n_rows:
        raise DataError("more clusters than rows", expected=f"k up to {n_rows}", found=numbers[-1], do="sweep fewer")
    return tuple(int(number) for number in numbers)
