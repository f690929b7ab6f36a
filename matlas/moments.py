"""Mean and covariance of rows that come in batches, to the accuracy of one pass over all of them at once."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


class Moments:
    """n, mean (p,) and comoments (p, p), the sum of (x - mean)(x - mean)ᵀ over all rows added so far.

    Batches are centred by themselves and then put together, so that a mean far from zero costs no digits.
    Source: Chan, Golub and LeVeque 1983, doi:10.1080/00031305.1983.10483115.
    """

    def __init__(self, batches: Iterable[np.ndarray]) -> None:
        """batches : rows (b, p), at least one row in all."""
        self.n = 0
        for rows in batches:
            mean = rows.mean(axis=0)
            centred = rows - mean
            if not self.n:
                self.mean, self.comoments = np.zeros(rows.shape[1]), np.zeros((rows.shape[1],) * 2)
            apart, n = mean - self.mean, self.n + len(rows)
            self.comoments += centred.T @ centred + np.outer(apart, apart) * (self.n * len(rows) / n)
            self.mean += apart * (len(rows) / n)
            self.n = n

    @property
    def covariance(self) -> np.ndarray:
        """(p, p), with n - 1 in the denominator."""
        return self.comoments / (self.n - 1)
