"""A few descriptors that stand for many, chosen by the training rows alone and without a target."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin

from matlas.errors import DataError
from matlas.represent import finite_matrix

_CONSTANT = 1e-12  # range of a column over its largest size below which it differs by rounding only
_SPANNED = 1e-9  # squared length of a unit column left outside the span below which it is in it
_TIE = 1e-9  # relative; squared lengths this near are equal, so that rounding chooses nothing


class DescriptorSelector(TransformerMixin, BaseEstimator):
    """Keeps `n_features` columns that span the standardised training data.

    1. Constant columns go. 2. Greedily from the first column to the last, a column goes when its Pearson correlation ρ
    with one that was kept before it exceeds `max_correlation` in size; a column that went takes no other with it.
    3. Of the rest, the pivots of a Cholesky decomposition of the correlation matrix: each next column is the one with
    the largest part outside the span of those chosen before, the first of equal ones (QR with column pivoting of the
    standardised data, Businger and Golub 1965, doi:10.1007/BF01436084). As all columns have unit length, the first
    chosen is the first one left.

    Attributes after `fit`: support_ : (n_features,) column indices in chosen order; explained_ : (n_features,) share of
    the variance of all standardised columns that are not constant which lies in the span of the first 1 … n chosen;
    reasons_ : for each input column "chosen", "constant", "duplicate of X (ρ=…)" or "not needed".
    """

    def __init__(self, n_features: int = 100, max_correlation: float = 0.95):
        self.n_features = n_features
        self.max_correlation = max_correlation

    def fit(self, X: np.ndarray, y: object = None) -> DescriptorSelector:
        """X : (n, p) training rows, a frame or an array; y is not looked at.

        Raises DataError for NaN and infinity, and when fewer than n_features columns are left, or independent.
        """
        names = list(X.columns) if isinstance(X, pd.DataFrame) else [f"column {i}" for i in range(np.shape(X)[1])]
        X = finite_matrix(X, "descriptors to select from")
        self.n_features_in_ = X.shape[1]
        varying = np.flatnonzero(np.ptp(X, axis=0) > _CONSTANT * np.abs(X).max(axis=0))
        correlation = _correlation(X[:, varying])
        kept, twins = _without_duplicates(correlation, self.max_correlation)
        if len(kept) < self.n_features:
            raise _too_few("columns that are neither constant nor duplicates", self.n_features, len(kept), len(X))
        chosen, explained = _pivots(correlation, kept, self.n_features, len(X))
        self.support_, self.explained_ = varying[chosen], explained
        self._twins = {int(varying[i]): (int(varying[j]), rho) for i, (j, rho) in twins.items()}
        self._varying = set(varying.tolist())
        self.reasons_ = self._reasons(names)
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        """(n, n_features) the chosen columns of X (n, p), in chosen order."""
        X = np.asarray(X)
        if X.shape[1] != self.n_features_in_:
            raise DataError(
                "rows have other columns than those selected from", expected=self.n_features_in_, found=X.shape[1]
            )
        return X[:, self.support_]

    def report(self, feature_names: Sequence[str]) -> pd.DataFrame:
        """One row an input column, the chosen ones first: feature, rank (1 … for the chosen, else missing), reason,
        variance_explained (cumulative over ranks, NaN for columns not chosen)."""
        frame = pd.DataFrame(
            {
                "feature": list(feature_names),
                "rank": pd.array([pd.NA] * self.n_features_in_, dtype="Int64"),
                "reason": self._reasons(feature_names),
                "variance_explained": np.nan,
            }
        )
        frame.loc[self.support_, "rank"] = np.arange(1, len(self.support_) + 1)
        frame.loc[self.support_, "variance_explained"] = self.explained_
        return frame.sort_values("rank", kind="stable", ignore_index=True)

    def _reasons(self, names: Sequence[str]) -> list[str]:
        chosen = set(self.support_.tolist())

        def reason(i: int) -> str:
            if i in chosen:
                return "chosen"
            if i not in self._varying:
                return "constant"
            if i in self._twins:
                twin, rho = self._twins[i]
                return f"duplicate of {names[twin]} (ρ={rho:.3f})"
            return "not needed"

        return [reason(i) for i in range(self.n_features_in_)]


def _correlation(X: np.ndarray) -> np.ndarray:
    centred = X - X.mean(axis=0)
    # scaled before squares are summed, or the tiniest columns would underflow
    centred /= np.abs(centred).max(axis=0)
    centred /= np.linalg.norm(centred, axis=0)
    correlation = centred.T @ centred
    np.fill_diagonal(correlation, 1.0)
    return correlation


def _without_duplicates(correlation: np.ndarray, limit: float) -> tuple[np.ndarray, dict[int, tuple[int, float]]]:
    """Columns kept, and for each other one the kept column before it that it is most like, with their ρ."""
    kept, twins = [], {}
    for i, row in enumerate(correlation):
        like = np.abs(row[kept])
        if len(kept) and like.max() > limit:
            twin = kept[int(like.argmax())]
            twins[i] = (twin, float(row[twin]))
        else:
            kept.append(i)
    return np.array(kept, dtype=np.int64), twins


def _pivots(correlation: np.ndarray, candidates: np.ndarray, count: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """The first `count` pivots among the candidates, and the cumulative share of the trace that they explain; rows :
    what the correlation is of, for the message when there are fewer."""
    p = len(correlation)
    left = np.ones(p)  # squared length of each column outside the span
    factor = np.zeros((p, count))
    chosen, explained = [], []
    for step in range(count):
        lengths = left[candidates]
        if lengths.max() < _SPANNED:
            raise _too_few("linearly independent columns", count, step, rows)
        pivot = int(candidates[np.flatnonzero(lengths >= lengths.max() * (1 - _TIE))[0]])
        column = (correlation[:, pivot] - factor[:, :step] @ factor[pivot, :step]) / np.sqrt(left[pivot])
        factor[:, step] = column
        left = np.maximum(left - column**2, 0)
        left[pivot] = 0
        chosen.append(pivot)
        explained.append(1 - left.sum() / p)
    return np.array(chosen, dtype=np.int64), np.array(explained)


def _too_few(what: str, expected: int, found: int, rows: int) -> DataError:
    return DataError(
        f"too few {what} to select from", expected=f"{expected} or more", found=f"{found}, of {rows} training rows",
        do=f"ask for at most {found} features (n_features of the view), or bring more rows",
    )  # fmt: skip
