"""Endmembers and abundances together: non-negative matrix factorisation, and its refinement by FCLS."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from scipy.special import kl_div
from sklearn.decomposition import non_negative_factorization

from matlas.errors import ConfigError, DataError, nearest
from matlas.represent import finite_matrix
from matlas.threads import Progress
from matlas.unmix.fcls import checked_spectra, fcls, nnls

log = logging.getLogger(__name__)

_LOSSES = ("frobenius", "kullback-leibler")
_ITERATIONS_AT_ONCE = 10  # between two looks at the loss
_VALUES_AT_ONCE = 2**21
_TINY = np.finfo(float).tiny
_LEAST_PART = 1e-3  # of an iterate that a step beyond it leaves: a factor that is 0 stays 0


@dataclass(frozen=True)
class Unmixed:
    """Spectra (n, c) ≈ abundances (n, m) @ endmembers (m, c), none negative.

    loss : of the whole matrix, the squared error or the Kullback–Leibler divergence; history : the loss from the start
    on, after every `_ITERATIONS_AT_ONCE` iterations of nmf, after every iteration of a refinement; iterations : how
    many it took; converged : whether the loss had stopped falling by then; starts : the losses at which all starts
    ended (one for a refinement of given endmembers).
    """

    abundances: np.ndarray
    endmembers: np.ndarray
    loss: float
    history: np.ndarray
    iterations: int
    converged: bool
    starts: np.ndarray


def nmf(
    spectra: np.ndarray,
    n_endmembers: int,
    *,
    loss: str = "frobenius",
    n_starts: int = 5,
    random_state: int = 0,
    max_iter: int = 2000,
    tol: float = 1e-6,
) -> Unmixed:
    """The factorisation of the smallest loss among several starts.

    spectra : (n, c), none negative; n_endmembers : m, at most min(n, c); loss : "frobenius" (the squared error, by
    scikit-learn's coordinate descent) or "kullback-leibler" (the likelihood of counts, by accelerated multiplicative
    updates at the values that aren't 0: counts are sparse); n_starts : the
    first from singular vectors (NNDSVDa), the others at random; random_state : of all; max_iter : of each start; tol :
    it has converged when ten iterations lower the loss by less than this share of the loss after the first ten.
    Factors have no scale of their own. Here all endmembers have the same sum over channels, and abundances sum to 1
    on the mean over pixels: for counts, an abundance is a share of the counts of a mean pixel.
    Raises ConfigError for another loss or number; DataError for NaN, infinity, negative spectra, or all zeros.
    Source: Lee & Seung 1999, doi:10.1038/44565; Févotte & Idier 2011, doi:10.1162/NECO_a_00168 (the losses);
    Varadhan & Roland 2008, doi:10.1111/j.1467-9469.2007.00585.x (the acceleration, SQUAREM).
    """
    spectra = positive(spectra)
    if loss not in _LOSSES:
        raise ConfigError(f"unknown loss {loss!r} of nmf", expected=nearest(loss, _LOSSES))
    for name, value, most in (("n_endmembers", n_endmembers, min(spectra.shape)), ("n_starts", n_starts, np.inf)):
        if not 1 <= value <= most:
            raise ConfigError(f"{name} of nmf is out of range", expected=f"1 to {most}", found=value)
    if max_iter < 1 or tol <= 0:
        raise ConfigError(
            "nmf can't converge so", expected="max_iter of 1 or more, tol above 0", found=f"{max_iter}, {tol}"
        )
    descents = {"frobenius": _coordinate_descent, "kullback-leibler": _accelerated_updates}
    progress, best, ends = Progress("starts of nmf", n_starts), None, []
    for start, seed in enumerate(np.random.SeedSequence(random_state).generate_state(n_starts)):
        init = "random" if start else "nndsvda"
        found = descents[loss](spectra, n_endmembers, init, int(seed), max_iter, tol)
        ends.append(found[2][-1])
        if best is None or ends[-1] < best[2][-1]:
            best = found
        progress.reached(start + 1)
    abundances, endmembers, history, iterations, converged = best
    if not converged:
        log.warning("nmf: the loss still fell after %d iterations", iterations)
    abundances, endmembers = _equal_sums(abundances, endmembers)
    return Unmixed(abundances, endmembers, float(history[-1]), np.array(history), iterations, converged, np.array(ends))


def refine_by_fcls(spectra: np.ndarray, endmembers: np.ndarray, *, max_iter: int = 200, tol: float = 1e-6) -> Unmixed:
    """Endmembers refined so that abundances sum to 1 in every pixel: alternate FCLS abundances and the non-negative
    endmembers of least squares, each to the exact optimum, so that the squared error never rises.

    spectra : (n, c) and endmembers to start from : (m, c), none negative, in one unit; tol : it has converged when an
    iteration lowers the squared error by less than this share of its first value.
    The abundances returned are those of `fcls` for the endmembers returned.
    Raises DataError as `fcls`, for negative values, and for an endmember that no pixel contains any more.
    Source: NMF whose phases FCLS refines, Chen et al. 2024 (STEM-EDXS of deep-mantle minerals); the alternation is
    block coordinate descent.
    """
    spectra, endmembers = checked_spectra(positive(spectra), positive(endmembers, "endmembers"))
    by_channel = np.ascontiguousarray(spectra.T)
    abundances = fcls(spectra, endmembers)
    history, converged, iterations = [loss_of(spectra, abundances, endmembers, "frobenius")], False, 0
    progress = Progress("iterations of the refinement", max_iter, " at most")
    while iterations < max_iter and not converged:
        empty = np.flatnonzero(~abundances.any(axis=0))
        if len(empty):
            raise DataError(
                "an endmember is in no pixel", where=f"endmember index {empty.tolist()}, iteration {iterations}",
                do="ask for fewer endmembers, or start from others",
            )  # fmt: skip
        updated = np.ascontiguousarray(nnls(by_channel, np.ascontiguousarray(abundances.T)).T)
        shares = fcls(spectra, updated)
        iterations += 1
        loss = loss_of(spectra, shares, updated, "frobenius")
        converged = history[-1] - loss <= tol * history[0]
        if loss <= history[-1]:  # no rise, not even by rounding
            abundances, endmembers = shares, updated
            history.append(loss)
        progress.reached(iterations)
    if not converged:
        log.warning("refinement by FCLS: the loss still fell after %d iterations", iterations)
    return Unmixed(
        abundances, endmembers, history[-1], np.array(history), iterations, converged, np.array(history[-1:])
    )


def nmf_then_fcls(
    spectra: np.ndarray, n_endmembers: int, *, refinements: int = 200, tol: float = 1e-6, **options
) -> Unmixed:
    """NMF endmembers refined by `refine_by_fcls`; refinements : its iterations at most; options : of `nmf`.

    NMF leaves the scale of each endmember open, and sum-to-one does not. Refinement starts from the scales by which
    the NMF abundances of pixels come nearest to 1 in sum (least squares), where these are positive and leave a
    smaller error after FCLS than those of `nmf`; otherwise from the latter.
    Raises what `nmf` and `refine_by_fcls` raise.
    """
    factors = nmf(spectra, n_endmembers, tol=tol, **options)
    starts = [factors.endmembers]
    scales = nnls(np.ones((1, len(factors.abundances))), factors.abundances.T)[0]
    if (scales > 0).all():
        starts.append(factors.endmembers / scales[:, None])
    losses = [loss_of(spectra, fcls(spectra, start), start, "frobenius") for start in starts]
    return refine_by_fcls(spectra, starts[int(np.argmin(losses))], max_iter=refinements, tol=tol)


Descent = tuple[np.ndarray, np.ndarray, list[float], int, bool]


def _coordinate_descent(spectra: np.ndarray, m: int, init: str, seed: int, max_iter: int, tol: float) -> Descent:
    """Abundances, endmembers, the history of the squared error, iterations and whether it converged, from one start.

    The solver goes on where it stopped, so ten iterations at a time are the same as all at once, but show the error.
    """
    abundances = endmembers = None
    history, iterations, converged = [], 0, False
    while iterations < max_iter and not converged:
        some = min(_ITERATIONS_AT_ONCE, max_iter - iterations)
        abundances, endmembers, _ = non_negative_factorization(
            spectra, abundances, endmembers, m, init="custom" if iterations else init, solver="cd", tol=0,
            max_iter=some, random_state=seed,
        )  # fmt: skip
        iterations += some
        history.append(loss_of(spectra, abundances, endmembers, "frobenius"))
        converged = len(history) > 1 and history[-2] - history[-1] <= tol * history[0]
    return abundances, endmembers, history, iterations, converged


def _accelerated_updates(spectra: np.ndarray, m: int, init: str, seed: int, max_iter: int, tol: float) -> Descent:
    """As `_coordinate_descent`, of the divergence: cycles of two multiplicative updates and a step along where they
    lead, which is shortened until the divergence does not rise; an iteration is one update."""
    counts = _Counts(spectra)
    abundances, endmembers, _ = non_negative_factorization(
        spectra,
        None,
        None,
        m,
        init=init,
        solver="mu",
        beta_loss="kullback-leibler",
        tol=0,
        max_iter=1,
        random_state=seed,
    )
    here = np.concatenate([abundances.ravel(), endmembers.ravel()])
    divergence = counts.divergence(here, m)
    history, iterations, converged = [divergence], 1, False
    while iterations < max_iter and not converged:
        for _ in range(_ITERATIONS_AT_ONCE // 2):
            once = counts.updated(here, m)
            twice = counts.updated(once, m)
            here, divergence = counts.extrapolated(here, once, twice, divergence, m)
        iterations += _ITERATIONS_AT_ONCE
        history.append(divergence)
        converged = history[-2] - history[-1] <= tol * history[0]
    abundances, endmembers = counts.factors(here, m)
    return abundances, endmembers, history[1:] or history, iterations, converged


class _Counts:
    """Spectra as the values that aren't 0, and the Kullback-Leibler divergence of a mixture from them; factors are
    given as one vector, abundances (n, m) before endmembers (m, c)."""

    def __init__(self, spectra: np.ndarray):
        self.shape = spectra.shape
        self.sparse = csr_array(spectra)
        self.values = self.sparse.data
        self.columns = self.sparse.indices
        self.rows = np.repeat(np.arange(len(spectra)), np.diff(self.sparse.indptr))
        self.total = self.values.sum()

    def factors(self, vector: np.ndarray, m: int) -> tuple[np.ndarray, np.ndarray]:
        n, c = self.shape
        return vector[: n * m].reshape(n, m), vector[n * m :].reshape(m, c)

    def _mixture(self, abundances: np.ndarray, endmembers: np.ndarray) -> np.ndarray:
        """Of the values that aren't 0."""
        found = np.einsum("ij,ij->i", abundances[self.rows], endmembers.T[self.columns])
        return np.maximum(found, _TINY)

    def _ratio(self, abundances: np.ndarray, endmembers: np.ndarray) -> csr_array:
        ratio = self.values / self._mixture(abundances, endmembers)
        return csr_array((ratio, self.columns, self.sparse.indptr), shape=self.shape)

    def updated(self, vector: np.ndarray, m: int) -> np.ndarray:
        """One multiplicative update of the abundances, and one of the endmembers."""
        abundances, endmembers = self.factors(vector, m)
        sums = np.maximum(endmembers.sum(axis=1), _TINY)
        abundances = abundances * (self._ratio(abundances, endmembers) @ endmembers.T) / sums
        sums = np.maximum(abundances.sum(axis=0), _TINY)
        endmembers = endmembers * (self._ratio(abundances, endmembers).T @ abundances).T / sums[:, None]
        return np.concatenate([abundances.ravel(), endmembers.ravel()])

    def divergence(self, vector: np.ndarray, m: int) -> float:
        abundances, endmembers = self.factors(vector, m)
        logs = np.log(self.values / self._mixture(abundances, endmembers))
        return float(self.values @ logs - self.total + abundances.sum(axis=0) @ endmembers.sum(axis=1))

    def extrapolated(
        self, here: np.ndarray, once: np.ndarray, twice: np.ndarray, before: float, m: int
    ) -> tuple[np.ndarray, float]:
        """The farthest point tried along the parabola through three iterates whose divergence is not above `before`, at
        worst the last iterate itself."""
        step = once - here
        bend = (twice - once) - step
        bent = np.linalg.norm(bend)
        length = max(1.0, np.linalg.norm(step) / bent) if bent > 0 else 1.0
        while length > 1:
            there = np.maximum(here + 2 * length * step + length**2 * bend, _LEAST_PART * twice)
            found = self.divergence(there, m)
            if found <= before:
                return there, found
            length = (length + 1) / 2 if length > 1.5 else 1.0
        return twice, self.divergence(twice, m)


def loss_of(spectra: np.ndarray, abundances: np.ndarray, endmembers: np.ndarray, loss: str) -> float:
    total, rows = 0.0, max(1, _VALUES_AT_ONCE // spectra.shape[1])
    for start in range(0, len(spectra), rows):
        here, model = spectra[start : start + rows], abundances[start : start + rows] @ endmembers
        total += float(((here - model) ** 2).sum() if loss == "frobenius" else kl_div(here, model).sum())
    return total


def _equal_sums(abundances: np.ndarray, endmembers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same product with endmembers of equal sums, and abundances that sum to 1 on the mean over pixels."""
    sums = endmembers.sum(axis=1)
    empty = (sums == 0) | ~abundances.any(axis=0)
    if empty.any():
        raise DataError(
            "an endmember of the factorisation is empty", where=f"endmember index {np.flatnonzero(empty).tolist()}",
            do="ask for fewer endmembers",
        )  # fmt: skip
    scale = (abundances * sums).sum(axis=1).mean()
    return abundances * sums / scale, endmembers * (scale / sums)[:, None]


def positive(values: np.ndarray, what: str = "spectra") -> np.ndarray:
    values = finite_matrix(values, what)
    if not values.size or values.min() < 0 or not values.any():
        raise DataError(
            f"{what} are not what a non-negative factorisation can describe", expected="values of 0 or more, not all 0",
            found=f"a smallest value of {values.min():g}" if values.size else "no values",
            do="subtract no background that exceeds the signal, or clip what noise makes negative",
        )  # fmt: skip
    return values
