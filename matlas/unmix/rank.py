"""How many endmembers counted spectra support: a parametric bootstrap of the counting noise."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigvalsh
from sklearn.decomposition import NMF
from sklearn.exceptions import ConvergenceWarning

from matlas.errors import ConfigError, DataError
from matlas.represent import finite_matrix
from matlas.threads import Progress

log = logging.getLogger(__name__)

_VALUES_AT_ONCE = 2**21
_FIT_ITERATIONS = 300
_LEAST_COUNTS = 50  # as in matlas.cubes.noise, and for the reason given there


@dataclass(frozen=True)
class EndmemberNumber:
    """number : the first k that is not rejected, or None where all k tried are; of k = 1, 2 … that were tried,
    singular_values : the (k + 1)-th of the data; quantiles : what those of the simulated counts rarely exceed."""

    number: int | None
    singular_values: np.ndarray
    quantiles: np.ndarray


def endmember_number(
    counts: np.ndarray, largest: int, n_bootstrap: int = 99, random_state: int = 0, level: float = 0.99
) -> EndmemberNumber:
    """The smallest number of endmembers whose counting noise explains all that is left of the counts.

    counts : (n, c) whole numbers >= 0; largest : k to try at most; n_bootstrap : simulations for each k; random_state :
    of these; level : of the test.
    For each k the mean of the counts is modelled by k non-negative endmembers of greatest Poisson likelihood
    (Kullback–Leibler NMF), and counts are drawn from it. k is rejected when the (k + 1)-th singular value of the
    counts, scaled to unit noise by their row and column means, exceeds the `level` quantile (the next larger
    simulated value) of those drawn. One test rejects a true k with probability about 1 - level, so too many endmembers
    are found at that rate; too few where the counts don't show them.
    The statistic of the data does not depend on the fit, and the noise hardly: the fit need not have converged.
    Raises ConfigError for settings out of range; DataError for values that are no counts.
    Source: scaling of Keenan & Kotula 2004, doi:10.1002/sia.1657.
    """
    counts = _counted(counts)
    if not 1 <= largest < min(counts.shape):
        raise ConfigError(
            "largest number of endmembers is out of range", found=largest,
            expected=f"1 to {min(counts.shape) - 1} for {counts.shape[0]} x {counts.shape[1]} non-empty counts",
        )  # fmt: skip
    if not 0 < level < 1 or n_bootstrap < 1 / (1 - level) - 1 - 1e-9:
        raise ConfigError(
            "a quantile of so few simulations is not known", found=f"level {level}, n_bootstrap {n_bootstrap}",
            expected="a level between 0 and 1, and at least level / (1 - level) simulations",
        )  # fmt: skip
    random = np.random.default_rng(random_state)
    observed, quantiles = [], []
    for k in range(1, largest + 1):
        observed.append(_singular_value(counts.__getitem__, counts.shape, k))
        abundances, endmembers = _fit(counts, k, random_state)
        progress, drawn = Progress(f"simulations with {k} endmembers", n_bootstrap), []
        for done in range(1, n_bootstrap + 1):
            drawn.append(_simulated(abundances, endmembers, k, random))
            progress.reached(done)
        quantiles.append(float(np.quantile(drawn, level, method="higher")))
        log.info("%d endmembers: singular value %.4g, noise up to %.4g", k, observed[-1], quantiles[-1])
        if observed[-1] <= quantiles[-1]:
            return EndmemberNumber(k, np.array(observed), np.array(quantiles))
    return EndmemberNumber(None, np.array(observed), np.array(quantiles))


def _counted(counts: np.ndarray) -> np.ndarray:
    """Counts without empty pixels and channels, which say nothing; channels are the shorter side."""
    counts = finite_matrix(counts, "counts")
    if counts.size and (counts.min() < 0 or (counts != np.rint(counts)).any()):
        raise DataError(
            "values are no counts", expected="whole numbers of 0 or more", found=f"a smallest of {counts.min():g}"
            if counts.min() < 0 else "fractions", do="give counts as they were measured, neither scaled nor corrected",
        )  # fmt: skip
    counts = counts[counts.any(axis=1)][:, counts.any(axis=0)]
    return counts if counts.shape[0] >= counts.shape[1] else np.ascontiguousarray(counts.T)


def _fit(counts: np.ndarray, k: int, random_state: int) -> tuple[np.ndarray, np.ndarray]:
    """Factors (n, k), (k, c) of the mean of greatest Poisson likelihood; of one endmember it is known."""
    if k == 1:
        return counts.sum(axis=1, keepdims=True) / counts.sum(), counts.sum(axis=0, keepdims=True)
    model = NMF(
        k, init="nndsvda", solver="mu", beta_loss="kullback-leibler", max_iter=_FIT_ITERATIONS,
        random_state=random_state,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # see endmember_number
        return model.fit_transform(counts), model.components_


def _simulated(abundances: np.ndarray, endmembers: np.ndarray, k: int, random: np.random.Generator) -> float:
    def draw(rows: slice) -> np.ndarray:
        return random.poisson(abundances[rows] @ endmembers).astype(float)

    return _singular_value(draw, (len(abundances), endmembers.shape[1]), k)


def _singular_value(rows_of: Callable[[slice], np.ndarray], shape: tuple[int, int], k: int) -> float:
    """The (k + 1)-th singular value of counts x_ij scaled by the square root of row mean times column mean over mean,
    which a mean of one endmember gives as the standard deviation of x_ij; columns of fewer than 50 counts are
    scaled as if they had 50, else the noise of two counts in one pixel would hide a phase. Counts are asked for once,
    block by block."""
    n, c = shape
    moments, columns = np.zeros((c, c)), np.zeros(c)
    block = max(1, _VALUES_AT_ONCE // c)
    for start in range(0, n, block):
        rows = rows_of(slice(start, start + block))
        sums = rows.sum(axis=1, keepdims=True)
        scaled = np.divide(rows, np.sqrt(sums), out=np.zeros_like(rows), where=sums > 0)
        moments += scaled.T @ scaled
        columns += rows.sum(axis=0)
    weights = 1 / np.sqrt(np.maximum(columns, _LEAST_COUNTS))
    moments *= columns.sum() * weights[:, None] * weights
    square = eigvalsh(moments, subset_by_index=(c - k - 1, c - k - 1))[0]
    return float(np.sqrt(max(square, 0)))
