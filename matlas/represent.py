"""Linear representations of a feature view: principal components of standardised columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from matlas.errors import DataError

_ROWS_AT_ONCE = 4096  # rows reconstructed at a time, so that wide views (pixels) are not held twice


@dataclass(frozen=True)
class Projection:
    """Principal components of n rows with p features.

    scores : (n, d) coordinates of the rows; loadings : (d, p) unit vectors, one principal axis a row;
    explained_variance_ratio : (d,) shares of the total variance, largest first;
    reconstruction_error : (n,) mean over the p columns of the squared residual that the d components leave in a row,
    in standardised units (in squared feature units without standardisation).
    """

    scores: np.ndarray
    loadings: np.ndarray
    explained_variance_ratio: np.ndarray
    reconstruction_error: np.ndarray

    def scores_frame(self, entities: pd.Index) -> pd.DataFrame:
        """Scores as `representation_schema` has them; entities : (n,) keys in the order of the rows."""
        frame = pd.DataFrame(self.scores, columns=[f"z_{i}" for i in range(self.scores.shape[1])])
        frame.insert(0, entities.name, entities)
        return frame.assign(reconstruction_error=self.reconstruction_error)

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


def pca(features: np.ndarray, *, n_components: int, standardise: bool = True, random_state: int = 0) -> Projection:
    """Project rows onto the first principal components of their (standardised) columns.

    features : (n, p) finite numbers; n_components : d, at most min(n, p); standardise : give each column zero mean and
    unit variance first (a constant column becomes zero); random_state : used by the randomised solver that
    scikit-learn picks for large matrices. The sign of each component makes its largest loading positive.
    Raises DataError for NaN or infinity, for fewer rows or columns than components, and for features without variance.
    Source: Pearson 1901; scikit-learn's PCA.
    """
    matrix = finite_matrix(features, "features")
    if not 1 <= n_components <= min(matrix.shape):
        raise DataError(
            "the number of components does not fit the features",
            expected=f"1 to {min(matrix.shape)} for {matrix.shape[0]} rows and {matrix.shape[1]} columns",
            found=n_components,
            do="ask for fewer components",
        )
    if (matrix == matrix[0]).all():
        raise DataError(
            "features have no variance", expected="rows that differ", found="the same row everywhere",
            do="leave this view out of the study, or give it rows that differ",
        )  # fmt: skip
    if standardise:
        matrix = StandardScaler().fit_transform(matrix)
    model = PCA(n_components, random_state=random_state)
    scores = model.fit_transform(matrix)
    signs = np.sign(model.components_[np.arange(n_components), np.abs(model.components_).argmax(axis=1)])
    error = np.empty(len(matrix))
    for start in range(0, len(matrix), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        error[rows] = ((matrix[rows] - model.inverse_transform(scores[rows])) ** 2).mean(axis=1)
    return Projection(scores * signs, model.components_ * signs[:, None], model.explained_variance_ratio_, error)


def projection_metrics(projection: Projection, seed: int) -> list[dict]:
    """Records for `matlas.metrics`: width of the input, share of variance kept in all and by each component, and mean
    reconstruction error."""
    shares = projection.explained_variance_ratio
    values = {
        "n_features": projection.loadings.shape[1],
        "explained_variance_ratio": shares.sum(),
        **{f"explained_variance_ratio_{i}": share for i, share in enumerate(shares)},
        "reconstruction_error": projection.reconstruction_error.mean(),
    }
    return [{"metric": name, "value": float(value), "seed": seed} for name, value in values.items()]


def fit(features: np.ndarray, *, algorithm: str, **parameters) -> Projection:
    """The representation that config/methods.yaml describes: `algorithm` picks the function, the rest is its own."""
    return ALGORITHMS[algorithm](features, **parameters)


ALGORITHMS = {"pca": pca}
