"""Encoders of tables with one interface, from the simplest to networks: fitted on some rows, applied to others."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from scipy.linalg import eigh
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from matlas.errors import ConfigError, DataError, nearest
from matlas.moments import Moments
from matlas.orientation import signs_of
from matlas.represent import check_components, finite_matrix, unit_rows
from matlas.rows import HeldRows, Rows, taken

log = logging.getLogger(__name__)

_ROWS_AT_ONCE = 8192  # rows rebuilt at a time, so that wide tables are not held twice


class Encoder(TransformerMixin, BaseEstimator):
    """Rows (n, p) to codes (n, d) and back; for scikit-learn's clone and Pipeline.

    Rows are prepared with what the training rows gave: divided by their own length where `normalise` is set, then
    each column by mean and standard deviation of the training rows where `standardise` is (a constant column is only
    shifted). mean_, scale_ : (p,) of that; n_features_in_ : p; code_width_ : d.
    A subclass has `_fit(prepared)`, `_encode(prepared)` and `_decode(codes)`, and `_fit_batches` where it can learn
    from rows that are not held in memory.
    All raise DataError for NaN, infinity or another number of columns, and scikit-learn's NotFittedError before `fit`.
    """

    normalise = False
    standardise = True

    def fit(self, X, y=None, *, validation=None, groups=None):
        """Learn from rows X (n, p), n at least 2. y, validation and groups are ignored here."""
        self._fit(self._learn_scale(self._rows(training_matrix(X))))
        return self

    def fit_rows(
        self, rows: Rows, train: np.ndarray, *, validation: np.ndarray | None = None, groups: np.ndarray | None = None
    ) -> Encoder:
        """As `fit`, from the rows at rising positions `train` (and `validation`, if any). Rows that are read in batches
        are never held together by "identity", "pca" and autoencoders; other encoders need them in memory, and the log
        says so. groups : as `fit` takes them, of the training rows."""
        if len(train) < 2:
            raise DataError("too little to learn from", expected="at least 2 rows", found=len(train))
        if not isinstance(rows, HeldRows):
            return self._fit_batches(rows, train, validation, groups)
        held_out = None if validation is None else rows.matrix[validation]
        return self.fit(rows.matrix[train], validation=held_out, groups=groups)

    def transform(self, X) -> np.ndarray:
        """Codes (n, d) of rows (n, p)."""
        return self._encode(self._prepared(X))

    def inverse_transform(self, Z) -> np.ndarray:
        """Rows (n, p) that codes (n, d) stand for, in units of X (of its rows at unit length where `normalise`)."""
        check_is_fitted(self)
        codes = self._of_width(finite_matrix(Z, "codes"), self.code_width_, "codes")
        return self._decode(codes) * self.scale_ + self.mean_

    def reconstruction_error(self, X) -> np.ndarray:
        """(n,) mean over columns of the squared difference between prepared rows and what their codes stand for."""
        rows = self._prepared(X)
        error = np.empty(len(rows))
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            part = rows[start : start + _ROWS_AT_ONCE]
            error[start : start + _ROWS_AT_ONCE] = ((part - self._decode(self._encode(part))) ** 2).mean(axis=1)
        return error

    def score(self, X, y=None) -> float:
        """Minus the mean reconstruction error: larger is better."""
        return -float(self.reconstruction_error(X).mean())

    def _fit_batches(
        self, rows: Rows, train: np.ndarray, validation: np.ndarray | None, groups: np.ndarray | None
    ) -> Encoder:
        log.warning("%s holds all %d training rows in memory", type(self).__name__, len(train))
        held_out = None if validation is None else taken(rows, validation)
        return self.fit(taken(rows, train), validation=held_out, groups=groups)

    def _learn_scale(self, rows: np.ndarray) -> np.ndarray:
        """Mean and scale from training rows (n, p); returns the rows prepared with them."""
        self._learn_scale_of([rows])
        return (rows - self.mean_) / self.scale_

    def _learn_scale_of(self, batches: Iterable[np.ndarray]) -> None:
        scaler = StandardScaler()
        for rows in batches:
            scaler.partial_fit(rows)
        width = scaler.n_features_in_
        self.n_features_in_, self.mean_, self.scale_ = width, np.zeros(width), np.ones(width)
        if self.standardise:
            self.mean_, self.scale_ = scaler.mean_, scaler.scale_

    def _checked(self, rows: Rows, which: np.ndarray) -> Iterator[np.ndarray]:
        """Batches as `fit` would take them, not prepared yet."""
        return (self._rows(finite_matrix(batch, "features")) for batch in rows.batches(which))

    def _prepared(self, X) -> np.ndarray:
        check_is_fitted(self)
        rows = self._of_width(finite_matrix(X, "features"), self.n_features_in_, "features")
        return (self._rows(rows) - self.mean_) / self.scale_

    def _rows(self, matrix: np.ndarray) -> np.ndarray:
        """Rows at unit length where `normalise` asks for it."""
        return unit_rows(matrix) if self.normalise else matrix

    @staticmethod
    def _of_width(matrix: np.ndarray, width: int, what: str) -> np.ndarray:
        if matrix.shape[1] != width:
            raise DataError(f"{what} have another number of columns", expected=width, found=matrix.shape[1])
        return matrix


class Unchanged(Encoder):
    """The prepared rows are their own code."""

    def __init__(self, normalise=False, standardise=True):
        self.normalise, self.standardise = normalise, standardise

    def _fit(self, prepared: np.ndarray) -> None:
        self.code_width_ = prepared.shape[1]

    def _fit_batches(
        self, rows: Rows, train: np.ndarray, validation: np.ndarray | None, groups: np.ndarray | None
    ) -> Encoder:
        self._learn_scale_of(self._checked(rows, train))
        self.code_width_ = self.n_features_in_
        return self

    def _encode(self, prepared: np.ndarray) -> np.ndarray:
        return prepared

    def _decode(self, codes: np.ndarray) -> np.ndarray:
        return codes


class PrincipalComponents(Encoder):
    """Codes are scores on the first principal components of the training rows, as `represent.pca` gives them: the
    sign of each component makes its largest loading positive; of rows that come in batches, from their covariance.
    loadings_ : (d, p); explained_variance_ratio_ : (d,). Source: Pearson 1901."""

    def __init__(self, n_components, standardise=True, random_state=0, normalise=False):
        self.n_components, self.standardise, self.normalise = n_components, standardise, normalise
        self.random_state = random_state

    def _fit(self, prepared: np.ndarray) -> None:
        check_components(self.n_components, prepared.shape)
        model = PCA(self.n_components, random_state=self.random_state).fit(prepared)
        self.loadings_, self.centre_ = model.components_ * signs_of(model.components_)[:, None], model.mean_
        self.explained_variance_ratio_, self.code_width_ = model.explained_variance_ratio_, self.n_components

    def _fit_batches(
        self, rows: Rows, train: np.ndarray, validation: np.ndarray | None, groups: np.ndarray | None
    ) -> Encoder:
        check_components(self.n_components, (len(train), rows.shape[1]))
        self._learn_scale_of(self._checked(rows, train))
        moments = Moments((batch - self.mean_) / self.scale_ for batch in self._checked(rows, train))
        variances, directions = eigh(moments.covariance)
        components = directions.T[::-1][: self.n_components]
        self.loadings_, self.centre_ = components * signs_of(components)[:, None], moments.mean
        kept = np.maximum(variances[::-1], 0.0)  # rounding may leave -1e-16
        if not kept.any():
            raise DataError("features have no variance", expected="rows that differ", found="the same row everywhere")
        self.explained_variance_ratio_ = kept[: self.n_components] / kept.sum()
        self.code_width_ = self.n_components
        return self

    def _encode(self, prepared: np.ndarray) -> np.ndarray:
        return (prepared - self.centre_) @ self.loadings_.T

    def _decode(self, codes: np.ndarray) -> np.ndarray:
        return codes @ self.loadings_ + self.centre_


class Factors(Encoder):
    """Codes are posterior means of the factors of x = W f + mean + noise, with a noise variance for each column;
    they stand for W f + mean. Source: Barber 2012, algorithm 21.1; scikit-learn's FactorAnalysis."""

    def __init__(self, n_components, standardise=True, random_state=0, normalise=False):
        self.n_components, self.standardise, self.normalise = n_components, standardise, normalise
        self.random_state = random_state

    def _fit(self, prepared: np.ndarray) -> None:
        check_components(self.n_components, prepared.shape)
        self.model_ = FactorAnalysis(self.n_components, random_state=self.random_state).fit(prepared)
        self.code_width_ = self.n_components

    def _encode(self, prepared: np.ndarray) -> np.ndarray:
        return self.model_.transform(prepared)

    def _decode(self, codes: np.ndarray) -> np.ndarray:
        return codes @ self.model_.components_ + self.model_.mean_


def encoder_of(spec: Mapping[str, Any]) -> Encoder:
    """The encoder, not fitted, that a representation of config/methods.yaml describes.

    spec : "algorithm" (a name in ALGORITHMS) and the encoder's parameters; "split" is for the caller and ignored.
    Raises ConfigError for an unknown algorithm or parameter, and for one that is missing.
    """
    algorithm = spec.get("algorithm")
    if algorithm not in ALGORITHMS:
        raise ConfigError(
            "no encoder has this algorithm", expected=nearest(str(algorithm), ALGORITHMS), found=repr(algorithm)
        )
    if algorithm == "autoencoder":
        from matlas.autoencoders.estimator import Autoencoder  # imports torch, which takes seconds

        kind = Autoencoder
    else:
        kind = _WITHOUT_TORCH[algorithm]
    given = {name: value for name, value in spec.items() if name not in ("algorithm", "split")}
    known = inspect.signature(kind).parameters
    for name in given:
        if name not in known:
            raise ConfigError(f"{algorithm} has no parameter {name!r}", expected=nearest(name, known))
    missing = [n for n, parameter in known.items() if parameter.default is parameter.empty and n not in given]
    if missing:
        raise ConfigError(f"{algorithm} lacks a parameter", expected=missing[0])
    return kind(**given)


def training_matrix(X) -> np.ndarray:
    """X as a float64 matrix of at least 2 rows and a column. Raises DataError otherwise, and for NaN or infinity."""
    matrix = finite_matrix(X, "features")
    if len(matrix) < 2 or not matrix.shape[1]:
        found = f"{matrix.shape[0]} x {matrix.shape[1]}"
        raise DataError("too little to learn from", expected="at least 2 rows and 1 column", found=found)
    return matrix


_WITHOUT_TORCH = {"identity": Unchanged, "pca": PrincipalComponents, "factor_analysis": Factors}
ALGORITHMS = (*_WITHOUT_TORCH, "autoencoder")
