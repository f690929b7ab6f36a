"""Models that read a property from a design matrix; what they leave open is chosen by an inner cross-validation that
keeps groups together.

A head predicts a number. In regression that is the property. In classification it is the share of the positive class
that it expects, less that share among its training rows: a score that ranks and that, above 0, says "more likely than
at random": the rule with the best balanced accuracy where the expected shares are right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from warnings import catch_warnings, simplefilter

import numpy as np
from scipy.linalg import solve, svd
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.neural_network import MLPClassifier, MLPRegressor

from matlas.errors import ConfigError, DataError, nearest
from matlas.probe.splits import balanced_folds

REGRESSION, CLASSIFICATION = TASKS = ("regression", "classification")

_ROWS_AT_ONCE = 4096  # rows whose kernel is held at a time in prediction
_BINS = 255  # of a feature in boosting, as scikit-learn has them
_FEW_BINS = 63  # to choose a learning rate: on few rows a tree takes as long as it has bins

Predictor = Callable[[np.ndarray], np.ndarray]


def head_of(spec: Mapping, task: str, seed: int = 0) -> Head:
    """The unfitted head that `spec` describes: {"algorithm": one of HEADS, …}, the rest being its arguments; seed : of
    all that it draws. Raises ConfigError for an unknown algorithm or task."""
    options = dict(spec)
    algorithm = options.pop("algorithm")
    for name, valid in ((algorithm, HEADS), (task, TASKS)):
        if name not in valid:
            raise ConfigError(f"unknown head or task {name!r}", expected=nearest(name, valid))
    return HEADS[algorithm](task=task, random_state=seed, **options)


@dataclass(kw_only=True, eq=False, repr=False)
class Head(BaseEstimator):
    """What all heads share; a subclass says which settings it tries and how it fits one.

    task : one of TASKS; inner_folds : of the cross-validation that chooses among settings by squared error, where there
    is more than one; max_rows : above this many training rows it fits on so many, drawn without replacement;
    selection_rows : above this many of those, the inner folds hold whole groups that are drawn until they have so many
    rows, and the setting that is best there is fitted on all; all by random_state. Attributes after `fit`: chosen_ :
    the setting; rows_used_ : the training rows fitted on; errors_ : mean squared error of each setting in the inner
    folds (None where there is no choice); prior_ : mean target of the rows used.
    """

    task: str
    inner_folds: int = 3
    max_rows: int | None = None
    selection_rows: int | None = None
    random_state: int = 0

    def fit(self, X: np.ndarray, y: np.ndarray, groups: np.ndarray) -> Head:
        """X : (n, p) standardised features; y : (n,) finite numbers, in classification 0 or 1; groups : (n,) group of
        each row, never in two inner folds.

        Raises DataError for other targets, for training rows of one class, and for fewer groups than inner folds.
        """
        y = np.asarray(y, dtype=np.float64)
        rng = np.random.default_rng(self.random_state)
        if self.max_rows is not None and len(y) > self.max_rows:
            rows = np.sort(rng.choice(len(y), self.max_rows, replace=False))
            X, y, groups = X[rows], y[rows], np.asarray(groups)[rows]
        self._check(y, "training rows")
        self.rows_used_, self.prior_ = len(y), float(y.mean())
        settings = self._settings()
        self.errors_ = None
        if len(settings) > 1:
            codes = np.unique(groups, return_inverse=True)[1]
            rows = self._chosen_by(codes, rng)
            folds = balanced_folds(np.unique(codes[rows], return_inverse=True)[1], self.inner_folds, rng)
            self.errors_ = self._inner_errors(X[rows], y[rows], folds, settings)
        self.chosen_ = settings[0 if self.errors_ is None else int(self.errors_.argmin())]
        self._predictor = self._fitted(X, y, **self.chosen_)
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """(n,) the property, or in classification the score, of each row of X (n, p)."""
        raw = self._predictor(X)
        return raw - self.prior_ if self.task == CLASSIFICATION else raw

    def _chosen_by(self, codes: np.ndarray, rng: np.random.Generator) -> np.ndarray | slice:
        """Rows that the setting is chosen by, of groups 0 … G - 1."""
        if self.selection_rows is None or len(codes) <= self.selection_rows:
            return slice(None)
        order = rng.permutation(codes.max() + 1)
        enough = np.searchsorted(np.cumsum(np.bincount(codes)[order]), self.selection_rows) + 1
        # few large groups may have enough rows for less than a group an inner fold
        return np.flatnonzero(np.isin(codes, order[: max(enough, self.inner_folds)]))

    def _inner_errors(self, X: np.ndarray, y: np.ndarray, folds: np.ndarray, settings: list[dict]) -> np.ndarray:
        squares = np.zeros(len(settings))
        for fold in range(self.inner_folds):
            held, rest = folds == fold, folds != fold
            self._check(y[rest], "training rows of an inner fold")
            squares += ((self._path(X[rest], y[rest], X[held], settings) - y[held]) ** 2).sum(axis=1)
        return squares / len(y)

    def _check(self, y: np.ndarray, what: str) -> None:
        if not np.isfinite(y).all():
            raise DataError(f"targets of {what} are not finite", found=int((~np.isfinite(y)).sum()))
        classes = np.unique(y)
        if self.task == CLASSIFICATION and classes.tolist() != [0.0, 1.0]:
            raise DataError(
                f"{what} are not of two classes", expected="targets 0 and 1", found=classes[:10].tolist(),
                do="take a split or a target with more of both",
            )  # fmt: skip

    def _settings(self) -> list[dict]:
        """Arguments of `_fitted` to choose from; the first of equally good ones is taken."""
        raise NotImplementedError

    def _fitted(self, X: np.ndarray, y: np.ndarray, **setting) -> Predictor:
        """What predicts targets from rows after a fit with one setting."""
        raise NotImplementedError

    def _path(self, X: np.ndarray, y: np.ndarray, held: np.ndarray, settings: list[dict]) -> np.ndarray:
        """(settings, rows) predictions for `held` after a fit on X and y with each setting."""
        return np.stack([self._fitted(X, y, **setting)(held) for setting in settings])


@dataclass(kw_only=True, eq=False, repr=False)
class Mean(Head):
    """The mean of the training targets whatever the features: what a head has to beat."""

    def _settings(self) -> list[dict]:
        return [{}]

    def _fitted(self, X: np.ndarray, y: np.ndarray) -> Predictor:
        return partial(_constant, y.mean())


@dataclass(kw_only=True, eq=False, repr=False)
class Ridge(Head):
    """Linear least squares with the penalty alpha · |w|² (scikit-learn's Ridge; on 0 and 1 in classification).

    One decomposition serves all alphas: of the (p, p) products of columns where rows are many, else of the rows.
    """

    alphas: Sequence[float] = (1.0,)

    def _settings(self) -> list[dict]:
        return [{"alpha": alpha} for alpha in self.alphas]

    def _fitted(self, X: np.ndarray, y: np.ndarray, alpha: float) -> Predictor:
        coefficients, intercepts = _ridge_path(X, y, [alpha])
        return partial(_linear, coefficients[0], intercepts[0])

    def _path(self, X: np.ndarray, y: np.ndarray, held: np.ndarray, settings: list[dict]) -> np.ndarray:
        coefficients, intercepts = _ridge_path(X, y, [s["alpha"] for s in settings])
        return coefficients @ held.T + intercepts[:, None]


@dataclass(kw_only=True, eq=False, repr=False)
class KernelRidge(Head):
    """Ridge regression in the space of the kernel exp(-(gamma / p) · |x - x'|²), p columns, about the mean target
    (scikit-learn's KernelRidge on centred targets)."""

    alphas: Sequence[float] = (1.0,)
    gammas: Sequence[float] = (1.0,)

    def _settings(self) -> list[dict]:
        return [{"alpha": alpha, "gamma": gamma} for gamma, alpha in product(self.gammas, self.alphas)]

    def _fitted(self, X: np.ndarray, y: np.ndarray, alpha: float, gamma: float) -> Predictor:
        kernel = _kernel(euclidean_distances(X, squared=True), gamma / X.shape[1])
        return partial(_kernel_sum, X, _dual(kernel, y, alpha), gamma / X.shape[1], y.mean())

    def _path(self, X: np.ndarray, y: np.ndarray, held: np.ndarray, settings: list[dict]) -> np.ndarray:
        near, far = euclidean_distances(X, squared=True), euclidean_distances(held, X, squared=True)
        paths = []
        for gamma in self.gammas:
            kernel = _kernel(near, gamma / X.shape[1])
            duals = np.stack([_dual(kernel, y, alpha) for alpha in self.alphas])
            paths.append(duals @ _kernel(far, gamma / X.shape[1]).T + y.mean())
        return np.concatenate(paths)


@dataclass(kw_only=True, eq=False, repr=False)
class Boosting(Head):
    """Gradient-boosted trees on binned features (scikit-learn's HistGradientBoosting), always max_iter trees: its own
    early stopping would set aside rows without regard to groups."""

    max_iter: int = 150
    learning_rates: Sequence[float] = (0.1,)

    def _settings(self) -> list[dict]:
        return [{"learning_rate": rate} for rate in self.learning_rates]

    def _fitted(self, X: np.ndarray, y: np.ndarray, learning_rate: float, bins: int = _BINS) -> Predictor:
        kind = HistGradientBoostingClassifier if self.task == CLASSIFICATION else HistGradientBoostingRegressor
        model = kind(
            learning_rate=learning_rate, max_iter=self.max_iter, max_bins=bins, early_stopping=False,
            random_state=self.random_state,
        ).fit(X, y)  # fmt: skip
        return partial(_share, model) if self.task == CLASSIFICATION else model.predict

    def _path(self, X: np.ndarray, y: np.ndarray, held: np.ndarray, settings: list[dict]) -> np.ndarray:
        return super()._path(X, y, held, [setting | {"bins": _FEW_BINS} for setting in settings])


@dataclass(kw_only=True, eq=False, repr=False)
class MLP(Head):
    """Multi-layer perceptron (scikit-learn's), at most max_iter passes over the rows, converged or not."""

    hidden: Sequence[int] = (64,)
    max_iter: int = 100
    alphas: Sequence[float] = (1e-4,)

    def _settings(self) -> list[dict]:
        return [{"alpha": alpha} for alpha in self.alphas]

    def _fitted(self, X: np.ndarray, y: np.ndarray, alpha: float) -> Predictor:
        options = {
            "hidden_layer_sizes": tuple(self.hidden),
            "max_iter": self.max_iter,
            "alpha": alpha,
            "random_state": self.random_state,
        }
        with catch_warnings():
            simplefilter("ignore", ConvergenceWarning)  # the number of passes is part of what this head is
            if self.task == CLASSIFICATION:
                return partial(_share, MLPClassifier(**options).fit(X, y))
            mean, scale = y.mean(), y.std() or 1.0  # its steps suit targets of about unit size
            return partial(_rescaled, MLPRegressor(**options).fit(X, (y - mean) / scale), mean, scale)


HEADS = {"ridge": Ridge, "kernel_ridge": KernelRidge, "mlp": MLP, "boosting": Boosting, "mean": Mean}


def _ridge_path(X: np.ndarray, y: np.ndarray, alphas: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients (a, p) and intercepts (a,) for each alpha, the intercept without penalty."""
    means = X.mean(axis=0)
    centred = X - means
    if X.shape[1] <= X.shape[0]:
        squares, axes = np.linalg.eigh(centred.T @ centred)
    else:
        _, lengths, transposed = svd(centred, full_matrices=False)
        squares, axes = lengths**2, transposed.T
    products = axes.T @ (centred.T @ (y - y.mean()))
    shrunk = products / (np.maximum(squares, 0) + np.asarray(alphas, dtype=np.float64)[:, None])
    coefficients = shrunk @ axes.T
    return coefficients, y.mean() - coefficients @ means


def _kernel(squared_distances: np.ndarray, gamma: float) -> np.ndarray:
    return np.exp(-gamma * squared_distances)


def _dual(kernel: np.ndarray, y: np.ndarray, alpha: float) -> np.ndarray:
    # Cholesky: an eigendecomposition, which would serve all alphas, takes as long as eight of them (2,000 rows)
    kernel[np.diag_indices_from(kernel)] = 1 + alpha
    return solve(kernel, y - y.mean(), assume_a="pos", check_finite=False)


def _constant(value: float, X: np.ndarray) -> np.ndarray:
    return np.full(len(X), value)


def _linear(coefficients: np.ndarray, intercept: float, X: np.ndarray) -> np.ndarray:
    return X @ coefficients + intercept


def _kernel_sum(train: np.ndarray, dual: np.ndarray, gamma: float, offset: float, X: np.ndarray) -> np.ndarray:
    sums = np.empty(len(X))
    for start in range(0, len(X), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        sums[rows] = _kernel(euclidean_distances(X[rows], train, squared=True), gamma) @ dual
    return sums + offset


def _share(model: BaseEstimator, X: np.ndarray) -> np.ndarray:
    return model.predict_proba(X)[:, 1]


def _rescaled(model: BaseEstimator, mean: float, scale: float, X: np.ndarray) -> np.ndarray:
    return model.predict(X) * scale + mean
