"""Where the training rows lie: in each feature, in reconstruction error, and in the code."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_QUANTILE = 0.999


@dataclass(frozen=True)
class TrainingRanges:
    """minimum, maximum : (p,) of each feature, in its own units. code_mean : (d,); code_precision : (d, d), inverse of
    the covariance of the codes (a pseudo-inverse: directions in which no training row differs don't count).
    error_limit, distance_limit : 99.9 % quantiles of reconstruction error and of `distance` over the training rows."""

    minimum: np.ndarray
    maximum: np.ndarray
    code_mean: np.ndarray
    code_precision: np.ndarray
    error_limit: float
    distance_limit: float

    @classmethod
    def of(cls, minimum: np.ndarray, maximum: np.ndarray, codes: np.ndarray, errors: np.ndarray) -> TrainingRanges:
        """Of the extremes (p,) of the training rows, their codes (n, d) and reconstruction errors (n,)."""
        mean = codes.mean(axis=0)
        covariance = (codes - mean).T @ (codes - mean) / len(codes)
        precision = np.linalg.pinv(covariance, hermitian=True)
        limits = (float(np.quantile(values, _QUANTILE)) for values in (errors, mahalanobis(codes, mean, precision)))
        return cls(minimum, maximum, mean, precision, *limits)

    def distance(self, codes: np.ndarray) -> np.ndarray:
        """Mahalanobis distance (n,) of codes (n, d) from the mean of the training codes."""
        return mahalanobis(codes, self.code_mean, self.code_precision)


def mahalanobis(codes: np.ndarray, mean: np.ndarray, precision: np.ndarray) -> np.ndarray:
    """(n,) distances of codes (n, d) from mean (d,). Source: Mahalanobis 1936."""
    offset = codes - mean
    squared = ((offset @ precision) * offset).sum(axis=1)
    return np.sqrt(np.maximum(squared, 0))  # rounding may leave -1e-16
