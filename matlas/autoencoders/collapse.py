"""Which dimensions of a code carry anything: an autoencoder may leave some unused, a variational one all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matlas.autoencoders.estimator import Autoencoder

_ACTIVE = 0.01  # least variance of an active unit: Burda et al. 2015, arXiv:1509.00519, section 5.2


def active_dimensions(codes: np.ndarray, kind: str) -> np.ndarray:
    """Whether each dimension of codes (n, d) is active: (d,) bool.

    The prior of a variational autoencoder sets the scale of its code: the variance of the posterior mean over rows must
    exceed 0.01. The code of any other has a scale of its own: 0.01 of the variance of its largest dimension.
    """
    variance = codes.var(axis=0)
    return variance > _ACTIVE * (1.0 if kind == "variational" else variance.max())


def participation_ratio(codes: np.ndarray) -> float:
    """Effective number of dimensions of codes (n, d), from 1 to d: (Σλ)² / Σλ² of the eigenvalues λ of their
    covariance; 0 for codes that don't vary. Source: Gao et al. 2017, doi:10.1101/214262."""
    covariance = np.atleast_2d(np.cov(codes.T, ddof=0))
    squared = (covariance**2).sum()
    return float(np.trace(covariance) ** 2 / squared) if squared else 0.0


def collapse_report(estimator: Autoencoder, X: np.ndarray) -> dict:
    """How much of the code of a fitted autoencoder the rows X (n, p) use.

    "dimensions" : one record each, with dimension (from 0), variance of the code (variational: of the posterior mean),
    kl (mean KL to N(0, 1) over rows in nats; None unless variational) and active, as `active_dimensions` has it.
    "active_units" : their number; "code_width"; "participation_ratio".
    """
    codes, kl = estimator.transform(X), [None] * estimator.code_width_
    if estimator.kind == "variational":
        kl = estimator.divergence(X).mean(axis=0).tolist()
    active = active_dimensions(codes, estimator.kind)
    dimensions = [
        {"dimension": i, "variance": float(variance), "kl": kl[i], "active": bool(active[i])}
        for i, variance in enumerate(codes.var(axis=0))
    ]
    return {
        "dimensions": dimensions,
        "active_units": int(active.sum()),
        "code_width": estimator.code_width_,
        "participation_ratio": participation_ratio(codes),
    }
