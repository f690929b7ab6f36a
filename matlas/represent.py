"""Representations of a feature view: as it is, by its principal components, or as a 2-D map (matlas.maps)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from matlas.errors import DataError
from matlas.orientation import signs_of

_ROWS_AT_ONCE = 4096  # rows reconstructed at a time, so that wide views (pixels) are not held twice


@dataclass(frozen=True)
class Representation:
    """n rows with p features in a space of d dimensions.

    scores : (n, d) coordinates of the rows; rows : positions of the rows that they belong to, where they are not all of
    them in order; records : metrics (schema METRICS) of the space. Where the space is linear
    loadings : (d, p) unit vectors, one principal axis a row; reconstruction_error : (n,) mean over the p columns of
    the squared residual that the d components leave in a row, in units of the preprocessed features. Otherwise None.
    """

    scores: np.ndarray
    records: list[dict]
    loadings: np.ndarray | None = None
    reconstruction_error: np.ndarray | None = None
    rows: np.ndarray | None = None

    def scores_frame(self, entities: pd.Index) -> pd.DataFrame:
        """Scores as `representation_schema` has them; entities : keys in the order of the rows that were given."""
        entities = entities if self.rows is None else entities[self.rows]
        frame = pd.DataFrame(self.scores, columns=[f"z_{i}" for i in range(self.scores.shape[1])])
        frame.insert(0, entities.name, entities)
        rebuilt = self.reconstruction_error is not None
        return frame.assign(reconstruction_error=self.reconstruction_error) if rebuilt else frame

    def loadings_frame(self, features: Sequence[str]) -> pd.DataFrame:
        """Loadings as schema LOADINGS has them; features : (p,) column names of the view."""
        d, p = self.loadings.shape
        return pd.DataFrame(
            {
                "component": np.repeat(np.arange(d), p),
                "feature": np.tile(np.asarray(features, dtype=object), d),
                "loading": self.loadings.ravel(),
            }
        )


def coordinates(table: pd.DataFrame) -> pd.DataFrame:
    """The columns z_0, z_1 … of a table of scores."""
    return table[[column for column in table if column.startswith("z_")]]


def finite_matrix(values: np.ndarray, what: str) -> np.ndarray:
    """`values` as a C-contiguous float64 matrix; `what` is its name in messages.

    Raises DataError when it is not two-dimensional or holds NaN or infinity (says how many, in which columns).
    """
    matrix = np.ascontiguousarray(values, dtype=np.float64)
    if matrix.ndim != 2:
        raise DataError(f"{what} are not a table of rows and columns", expected="2 dimensions", found=matrix.ndim)
    if not np.isfinite(matrix).all():
        bad = ~np.isfinite(matrix)
        columns = np.flatnonzero(bad.any(axis=0)).tolist()
        shown = ", ".join(map(str, columns[:20])) + (f" and {len(columns) - 20} more" if len(columns) > 20 else "")
        raise DataError(
            f"{what} hold NaN or infinity",
            where=f"column index {shown}",
            expected="finite numbers",
            found=f"{int(bad.sum())} of {bad.size} values",
            do="drop these columns or rows, or fill them, before this step",
        )
    return matrix


def preprocessed(features: np.ndarray, *, normalise: bool = False, standardise: bool = False) -> np.ndarray:
    """Features (n, p) with rows of unit length if `normalise`, then columns of zero mean and unit variance if
    `standardise` (a constant column becomes zero).

    Raises DataError for NaN or infinity, for features without variance, and for a row of zeros that has no direction.
    """
    matrix = finite_matrix(features, "features")
    if (matrix == matrix[0]).all():
        raise DataError(
            "features have no variance", expected="rows that differ", found="the same row everywhere",
            do="leave this view out of the study, or give it rows that differ",
        )  # fmt: skip
    if normalise:
        matrix = unit_rows(matrix)
    return StandardScaler().fit_transform(matrix) if standardise else matrix


def unit_rows(matrix: np.ndarray) -> np.ndarray:
    """Rows (n, p) at unit length. Raises DataError for a row of zeros, which has no direction."""
    lengths = np.linalg.norm(matrix, axis=1)
    if not lengths.all():
        raise DataError(
            "rows of zeros have no direction", expected="rows that are not zero",
            found=f"{int((lengths == 0).sum())} of {len(matrix)}", do="use a representation without normalise",
        )  # fmt: skip
    return matrix / lengths[:, None]


def identity(matrix: np.ndarray) -> Representation:
    """The preprocessed features themselves."""
    return Representation(matrix, as_records({"n_features": matrix.shape[1]}, None))


def pca(matrix: np.ndarray, *, n_components: int, random_state: int = 0) -> Representation:
    """Rows on the first principal components of their columns.

    matrix : (n, p) preprocessed features; n_components : d, at most min(n, p); random_state : used by the randomised
    solver that scikit-learn picks for large matrices. The sign of each component makes its largest loading positive.
    records : width of the input, share of variance kept in all and by each component, mean reconstruction error.
    Raises DataError for fewer rows or columns than components. Source: Pearson 1901; scikit-learn's PCA.
    """
    check_components(n_components, matrix.shape)
    model = PCA(n_components, random_state=random_state)
    scores = model.fit_transform(matrix)
    signs = signs_of(model.components_)
    error = np.empty(len(matrix))
    for start in range(0, len(matrix), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        error[rows] = ((matrix[rows] - model.inverse_transform(scores[rows])) ** 2).mean(axis=1)
    records = pca_records(matrix.shape[1], model.explained_variance_ratio_, error, random_state)
    return Representation(scores * signs, records, model.components_ * signs[:, None], error)


def pca_records(n_features: int, shares: np.ndarray, error: np.ndarray, seed: int | None) -> list[dict]:
    """What metrics say of principal components: shares (d,) of the variance that each keeps, error (n,) of each row."""
    each = {f"explained_variance_ratio_{i}": share for i, share in enumerate(shares)}
    values = {"n_features": n_features, "explained_variance_ratio": shares.sum(), **each}
    return as_records({**values, "reconstruction_error": error.mean()}, seed)


def map_in_two_dimensions(
    matrix: np.ndarray,
    *,
    algorithm: str,
    n_components: int,
    random_state: int,
    rows: int | None = None,
    shuffle: bool = False,
    **options,
) -> Representation:
    """A 2-D map of the first principal components (all columns where there are no more than n_components).

    rows : how many are drawn at random and mapped, all by default; shuffle : whether the values of each column change
    places first, so that nothing is left but the distribution of each.
    records : width of the input and trustworthiness of the map with respect to the preprocessed features.
    """
    from matlas.maps import MAPS, trustworthiness_of  # t-SNE and UMAP take seconds to import

    rng = np.random.default_rng(random_state)
    drawn = None
    if rows is not None and rows < len(matrix):
        drawn = np.sort(rng.choice(len(matrix), rows, replace=False))
        matrix = matrix[drawn]
    if shuffle:
        matrix = rng.permuted(matrix, axis=0)
    d = min(n_components, *matrix.shape)
    start = pca(matrix, n_components=d, random_state=random_state).scores if d < matrix.shape[1] else matrix
    places = MAPS[algorithm](start, random_state=random_state, **options)
    values = {"n_features": matrix.shape[1], "trustworthiness": trustworthiness_of(matrix, places, random_state)}
    if drawn is not None:
        values["n_rows"] = rows
    return Representation(places, as_records(values, random_state), rows=drawn)


def fit(
    features: np.ndarray, *, algorithm: str, normalise: bool = False, standardise: bool = False, **parameters
) -> Representation:
    """The representation that config/methods.yaml describes: features are preprocessed, `algorithm` does the rest."""
    matrix = preprocessed(features, normalise=normalise, standardise=standardise)
    if algorithm in ALGORITHMS:
        return ALGORITHMS[algorithm](matrix, **parameters)
    return map_in_two_dimensions(matrix, algorithm=algorithm, **parameters)


def check_components(n_components: int, shape: tuple[int, int]) -> None:
    """Raise DataError for more components than rows or columns of features of `shape` (n, p)."""
    if not 1 <= n_components <= min(shape):
        raise DataError(
            "the number of components does not fit the features",
            expected=f"1 to {min(shape)} for {shape[0]} rows and {shape[1]} columns",
            found=n_components,
            do="ask for fewer components",
        )


def as_records(values: Mapping[str, float], seed: int | None) -> list[dict]:
    """Numbers by metric as records (schema METRICS)."""
    return [{"metric": name, "value": float(value), "seed": seed} for name, value in values.items()]


ALGORITHMS = {"identity": identity, "pca": pca}
