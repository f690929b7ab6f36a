"""config/methods.yaml: every method once, by name."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from schemas.config.base import Model, Name


class Preprocessing(Model):
    """What is done to a view first: rows to unit length (`normalise`), then columns to zero mean and unit variance
    (`standardise`)."""

    normalise: bool = False
    standardise: bool = False


class Identity(Preprocessing):
    """The view itself; `standardise` goes by all rows, or by the training rows of `split`."""

    algorithm: Literal["identity"]
    split: Name | None = None


class Pca(Preprocessing):
    """Principal components of a view: of all rows, or of the training rows of `split`."""

    algorithm: Literal["pca"]
    n_components: int = Field(ge=1)
    standardise: bool = True
    split: Name | None = None
    random_state: int = 0


class FactorAnalysis(Model):
    """Factors of a standardised view (a linear model with a noise variance for each column), of the training rows of
    `split`."""

    algorithm: Literal["factor_analysis"]
    n_components: int = Field(ge=1)
    split: Name
    random_state: int = 0


class Autoencoder(Model):
    """A network that is trained to rebuild the standardised rows of a view from a narrow code, on the training rows of
    `split`. `layers` are the widths down to the code, which the decoder mirrors: [32, 10] on 100 columns is
    100-32-10-32-100. A linear one has no activation; a variational one a penalty `beta` on the divergence of its code
    from N(0, I); a denoising one sees its input with noise of standard deviation `noise`. Training ends when the
    error on the validation rows has not fallen for `patience` epochs, and the weights of the smallest are kept; with
    null it goes on to the last epoch, whose weights are kept."""

    algorithm: Literal["autoencoder"]
    kind: Literal["plain", "linear", "variational", "denoising"] = "plain"
    layers: list[Annotated[int, Field(ge=1)]] = Field(default=[32, 10], min_length=1)
    activation: Literal["relu", "gelu", "silu", "tanh"] = "relu"
    beta: float = Field(default=0.1, ge=0)
    noise: float = Field(default=0.1, ge=0)
    split: Name
    epochs: int = Field(default=300, ge=1)
    batch_size: int = Field(default=256, ge=2)
    learning_rate: float = Field(default=1e-3, gt=0)
    patience: int | None = Field(default=30, ge=1)
    mixed_precision: bool = False
    random_state: int = 0


class Map(Preprocessing):
    """A 2-D map of the first `n_components` principal components of a view, or of its representation `of` (of all
    columns where there are no more): of all rows, or of `rows` drawn at random. With `shuffle` the values of each
    column change places first, which leaves no structure at all: what the method draws then, it has made up."""

    of: Name | None = None
    n_components: int = Field(default=50, ge=2)
    rows: int | None = Field(default=None, ge=10)
    shuffle: bool = False
    random_state: int = 0


class Tsne(Map):
    """A map by t-SNE."""

    algorithm: Literal["tsne"]
    perplexity: float = Field(default=30.0, gt=1)
    init: Literal["pca", "random"] = "pca"


class Umap(Map):
    """A map by UMAP."""

    algorithm: Literal["umap"]
    n_neighbors: int = Field(default=15, ge=2)
    min_dist: float = Field(default=0.1, ge=0)


class Stability(Model):
    """How far labels depend on the seed and on the sample. Bootstrap samples are drawn by `group`, a dataset column,
    since rows of one group are not independent; by default the column that the kind of dataset names (composition),
    or row by row."""

    seeds: int = Field(default=0, ge=0)
    bootstraps: int = Field(default=0, ge=0)
    group: Name | None = None


class Clustering(Model):
    """Rows grouped by their coordinates. Silhouettes are those of all rows, or where there are more of
    `silhouette_rows` drawn at random, each against all others (null: of all rows, in time that grows with their
    square)."""

    silhouette_rows: int | None = Field(default=20_000, ge=100)


class KMeans(Clustering):
    """k-means++ over a range of K."""

    algorithm: Literal["kmeans"]
    k: list[Annotated[int, Field(ge=2)]] = Field(min_length=1)
    n_init: int = Field(default=10, ge=1)
    random_state: int = 0
    stability: Stability = Stability()


class Gmm(Clustering):
    """Gaussian mixtures over a range of K. Random starts by default: scikit-learn's own default starts from k-means,
    which would make agreement with k-means true by construction."""

    algorithm: Literal["gmm"]
    k: list[Annotated[int, Field(ge=2)]] = Field(min_length=1)
    n_init: int = Field(default=5, ge=1)
    covariance_type: Literal["full", "diag", "tied", "spherical"] = "full"
    init_params: Literal["random_from_data", "kmeans", "k-means++", "random"] = "random_from_data"
    random_state: int = 0
    stability: Stability = Stability()


class Agglomerative(Clustering):
    """One tree of merges, cut at each K."""

    algorithm: Literal["agglomerative"]
    k: list[Annotated[int, Field(ge=2)]] = Field(min_length=1)
    linkage: Literal["ward", "average", "complete"] = "ward"


class Hdbscan(Clustering):
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


class EndmemberCount(Model):
    """How many endmembers the counts of a view support: numbers up to `largest` are tried, each against the counting
    noise of so many `simulations`, at a `level` of the test."""

    largest: int = Field(default=8, ge=1)
    simulations: int = Field(default=99, ge=1)
    level: float = Field(default=0.99, gt=0, lt=1)
    random_state: int = 0


class BlindUnmixing(Model):
    """Spectra as shares of a few endmembers, which are found as well. `endmembers` is their number, or the name of the
    count (`endmember_counts`) that finds it; `seeds`: how often it is done, each time from another seed, to see what
    hangs on it."""

    endmembers: int | Name
    seeds: int = Field(default=5, ge=1)
    random_state: int = 0

    @field_validator("endmembers")
    @classmethod
    def _several(cls, value: int | str) -> int | str:
        if isinstance(value, int) and value < 2:
            raise ValueError("2 or more, or the name of a count")
        return value


class Vca(BlindUnmixing):
    """Endmembers from the purest pixels by vertex component analysis, shares by FCLS (non-negative, sum 1)."""

    algorithm: Literal["vca"]


class Nmf(BlindUnmixing):
    """Non-negative matrix factorisation by the squared error or, for counts, the Kullback-Leibler divergence; the best
    of `n_starts`."""

    algorithm: Literal["nmf"]
    loss: Literal["frobenius", "kullback-leibler"] = "frobenius"
    n_starts: int = Field(default=3, ge=1)


class NmfFcls(BlindUnmixing):
    """NMF whose endmembers are refined so that shares sum to 1 in each pixel (FCLS)."""

    algorithm: Literal["nmf_fcls"]
    loss: Literal["frobenius", "kullback-leibler"] = "frobenius"
    n_starts: int = Field(default=3, ge=1)


class SoftmaxAutoencoder(BlindUnmixing):
    """A network whose encoder ends in a softmax, so that shares are non-negative with sum 1, and whose decoder is
    linear and non-negative, so that its weights are the endmembers."""

    algorithm: Literal["softmax_autoencoder"]
    hidden: list[Annotated[int, Field(ge=1)]] = Field(default=[64], min_length=1)
    loss: Literal["frobenius", "kullback-leibler"] = "frobenius"
    epochs: int = Field(default=1000, ge=1)
    batch_size: int = Field(default=256, ge=2)
    learning_rate: float = Field(default=5e-3, gt=0)


class GivenEndmembers(Model):
    """Shares by FCLS of the endmembers that the source of the dataset gives."""

    algorithm: Literal["given"]


Unmixing = Annotated[Vca | Nmf | NmfFcls | SoftmaxAutoencoder | GivenEndmembers, Field(discriminator="algorithm")]


class HoldOut(Model):
    """One fold: shares of the groups of column `by` (of the rows without it) are kept for testing and for deciding when
    a training ends."""

    kind: Literal["holdout"]
    by: Name | None = None
    test: float = Field(default=0.2, gt=0, lt=1)
    validation: float = Field(default=0.1, ge=0, lt=1)
    random_state: int = 0


class Folds(Model):
    """Every row is tested once; rows that share a value of `by` together."""

    kind: Literal["folds"]
    by: Name | None = None
    folds: int = Field(default=5, ge=2)
    random_state: int = 0


class LeaveOut(Model):
    """A fold for each value of `by` that at least `least` rows have: tested on those, trained on all others but for a
    share of the groups of `validation_by`, kept for calibration."""

    kind: Literal["leave_out"]
    by: Name
    least: int = Field(default=200, ge=2)
    validation: float = Field(default=0.0, ge=0, lt=1)
    validation_by: Name | None = None
    random_state: int = 0


class Ordered(Model):
    """One fold: trained on the rows with the smaller values of `by`, tested on the share with the larger ones."""

    kind: Literal["ordered"]
    by: Name
    test: float = Field(default=0.25, gt=0, lt=1)


class Extremes(Model):
    """One fold: the `share` of rows with the most extreme values of `by` is withheld, and a share `ordinary` of the
    others, among which they are to be found."""

    kind: Literal["extremes"]
    by: Name
    share: float = Field(default=0.05, gt=0, lt=1)
    end: Literal["high", "low"] = "high"
    ordinary: float = Field(default=0.2, ge=0, lt=1)
    random_state: int = 0


Split = Annotated[HoldOut | Folds | LeaveOut | Ordered | Extremes, Field(discriminator="kind")]


class ChosenInside(Model):
    """What chooses its settings inside the training rows, by a cross-validation with so many folds."""

    inner_folds: int = Field(default=3, ge=2)


class Ridge(ChosenInside):
    """Linear regression (for classes: of ±1) with a penalty, chosen inside the training rows."""

    algorithm: Literal["ridge"]
    alphas: list[Annotated[float, Field(gt=0)]] = Field(min_length=1)


class KernelRidge(ChosenInside):
    """Ridge in the space of a Gaussian kernel; `gammas` are in units of 1/(number of columns)."""

    algorithm: Literal["kernel_ridge"]
    alphas: list[Annotated[float, Field(gt=0)]] = Field(min_length=1)
    gammas: list[Annotated[float, Field(gt=0)]] = Field(min_length=1)
    max_rows: int = Field(default=3000, ge=10)


class Mlp(ChosenInside):
    """A multi-layer perceptron; one of several penalties `alphas` is chosen inside the training rows, by about
    `selection_rows` of them."""

    algorithm: Literal["mlp"]
    hidden: list[Annotated[int, Field(ge=1)]] = Field(min_length=1)
    alphas: list[Annotated[float, Field(gt=0)]] = Field(default=[1e-4], min_length=1)
    max_rows: int = Field(default=4000, ge=10)
    selection_rows: int | None = Field(default=None, ge=10)
    max_iter: int = Field(default=100, ge=1)


class Boosting(ChosenInside):
    """Gradient-boosted trees on histograms; one of several learning rates is chosen inside the training rows, by about
    `selection_rows` of them."""

    algorithm: Literal["boosting"]
    max_rows: int | None = Field(default=None, ge=10)
    selection_rows: int | None = Field(default=None, ge=10)
    max_iter: int = Field(default=150, ge=1)
    learning_rates: list[Annotated[float, Field(gt=0)]] = Field(min_length=1)


Head = Annotated[Ridge | KernelRidge | Mlp | Boosting, Field(discriminator="algorithm")]


Clustering = Annotated[KMeans | Gmm | Agglomerative | Hdbscan, Field(discriminator="algorithm")]


class Methods(Model):
    """config/methods.yaml: every method once, by name. Representations are clustered; maps are only looked at;
    unmixings take the spectra of pixels apart; heads read a property out of representations, under splits."""

    splits: dict[Name, Split] = {}
    representations: dict[
        Name, Annotated[Identity | Pca | FactorAnalysis | Autoencoder, Field(discriminator="algorithm")]
    ] = {}
    maps: dict[Name, Annotated[Tsne | Umap, Field(discriminator="algorithm")]] = {}
    clusterings: dict[Name, Clustering] = {}
    endmember_counts: dict[Name, EndmemberCount] = {}
    unmixings: dict[Name, Unmixing] = {}
    inspections: dict[Name, Inspection] = {}
    heads: dict[Name, Head] = {}
