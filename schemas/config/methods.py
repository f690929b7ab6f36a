"""config/methods.yaml: every method once, by name."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.config.base import Model, Name


class Preprocessing(Model):
    """What is done to a view first: rows to unit length (`normalise`), then columns to zero mean and unit variance
    (`standardise`)."""

    normalise: bool = False
    standardise: bool = False


class Identity(Preprocessing):
    """The view itself."""

    algorithm: Literal["identity"]


class Pca(Preprocessing):
    """Principal components of a view."""

    algorithm: Literal["pca"]
    n_components: int = Field(ge=1)
    standardise: bool = True
    random_state: int = 0


class Tsne(Preprocessing):
    """A 2-D map by t-SNE, of the first `n_components` principal components where the view has more columns."""

    algorithm: Literal["tsne"]
    perplexity: float = Field(default=30.0, gt=1)
    init: Literal["pca", "random"] = "pca"
    n_components: int = Field(default=50, ge=2)
    random_state: int = 0


class Umap(Preprocessing):
    """A 2-D map by UMAP, of the first `n_components` principal components where the view has more columns."""

    algorithm: Literal["umap"]
    n_neighbors: int = Field(default=15, ge=2)
    min_dist: float = Field(default=0.1, ge=0)
    n_components: int = Field(default=50, ge=2)
    random_state: int = 0


class Stability(Model):
    """How far labels depend on the seed and on the sample. Bootstrap samples are drawn by `group`, a dataset column,
    since rows of one group are not independent; by default the column that the kind of dataset names (composition),
    or row by row."""

    seeds: int = Field(default=0, ge=0)
    bootstraps: int = Field(default=0, ge=0)
    group: Name | None = None


class KMeans(Model):
    """k-means++ over a range of K."""

    algorithm: Literal["kmeans"]
    k: list[Annotated[int, Field(ge=2)]] = Field(min_length=1)
    n_init: int = Field(default=10, ge=1)
    random_state: int = 0
    stability: Stability = Stability()


class Gmm(Model):
    """Gaussian mixtures over a range of K. Random starts by default: scikit-learn's own default starts from k-means,
    which would make agreement with k-means true by construction."""

    algorithm: Literal["gmm"]
    k: list[Annotated[int, Field(ge=2)]] = Field(min_length=1)
    n_init: int = Field(default=5, ge=1)
    covariance_type: Literal["full", "diag", "tied", "spherical"] = "full"
    init_params: Literal["random_from_data", "kmeans", "k-means++", "random"] = "random_from_data"
    random_state: int = 0
    stability: Stability = Stability()


class Agglomerative(Model):
    """One tree of merges, cut at each K."""

    algorithm: Literal["agglomerative"]
    k: list[Annotated[int, Field(ge=2)]] = Field(min_length=1)
    linkage: Literal["ward", "average", "complete"] = "ward"


class Hdbscan(Model):
    """Density clusters: their number is found, and rows that belong to none are noise (label -1)."""

    algorithm: Literal["hdbscan"]
    min_cluster_size: int = Field(default=15, ge=2)
    min_samples: int | None = Field(default=None, ge=1)


class Inspection(Model):
    """Tiny-cluster outlier detection: k-means with a generous `k`, rows of the smallest clusters inspected first.
    It is scored on `outliers` planted rows by their recall within `frames` inspected ones, for each of `seeds`
    plantings, against distance to the centroids of `k_few` clusters and against random inspection."""

    k: int = Field(ge=2)
    k_few: int = Field(ge=2)
    outliers: int = Field(default=30, ge=1)
    frames: int = Field(default=100, ge=1)
    seeds: int = Field(default=10, ge=1)
    n_init: int = Field(default=10, ge=1)
    random_state: int = 0


Clustering = Annotated[KMeans | Gmm | Agglomerative | Hdbscan, Field(discriminator="algorithm")]


class Methods(Model):
    """config/methods.yaml: every method once, by name. Representations are clustered; maps are only looked at."""

    representations: dict[Name, Annotated[Identity | Pca, Field(discriminator="algorithm")]] = {}
    maps: dict[Name, Annotated[Tsne | Umap, Field(discriminator="algorithm")]] = {}
    clusterings: dict[Name, Clustering] = {}
    inspections: dict[Name, Inspection] = {}
