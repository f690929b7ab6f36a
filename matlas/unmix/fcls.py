"""Abundances of given endmembers in every pixel: constrained least squares to the exact optimum.

Pixels that share a support (the endmembers whose abundance is not zero) share one small least-squares system, so each
round of the active-set method solves a few systems for all pixels, where a loop would solve one a pixel. Spectra are
first projected on the m directions that the endmembers span, by QR: the normal equations (the Gram matrix of the
endmembers) would square the condition number. With sum-to-one, only differences of endmembers matter: they, and not
the endmembers, must be independent, so a spectrum of zeros (shade) may be an endmember.
"""

from __future__ import annotations

import numpy as np

from matlas.errors import DataError
from matlas.represent import finite_matrix

_VALUES_AT_ONCE = 2**21  # of the spectra: 16 MB of differences a block
_PIXELS_AT_ONCE = 2**16  # in the active-set rounds, which hold a dozen arrays of pixels x endmembers
_MOST_ENDMEMBERS = 62  # a support is the bits of one integer
_LEAST_SINGULAR = 1e-8  # of unit rows: below, rounding alone moves abundances by more than a percent
_NOTHING = 8 * np.finfo(float).eps  # a multiplier that is rounding, of its largest possible value
_OPTIMAL = 1e-10  # what the multipliers may miss in the end, of the same
_ROUNDS = 30  # an endmember: many times what is needed


def fcls(spectra: np.ndarray, endmembers: np.ndarray) -> np.ndarray:
    """Abundances (n, m), none negative, each pixel's summing to 1, that minimise the squared error |s - a E|².

    spectra : (n, c) pixels s; endmembers : (m, c) spectra E, m <= c; both in the same unit, of either sign.
    The solution is unique and exact: the Karush–Kuhn–Tucker conditions are verified for every pixel. Spectra that are
    not float64 are copied as such; beyond that, memory is that of about two results. Endmembers that nearly depend on
    one another are solved as they are, with abundances as uncertain as that makes them.
    Raises DataError for NaN, infinity or shapes that disagree; for endmembers of which one is another, or an affine
    combination of others, within 1e-8 (then no abundances are the best); for a pixel without optimum (overflow).
    Source: fully constrained least squares, Heinz & Chang 2001, doi:10.1109/36.911111.
    """
    spectra, endmembers = checked_spectra(spectra, endmembers)
    largest = np.abs(endmembers).max() or 1.0
    # differences from the smallest endmember lose no digit that the spectra have
    order = np.argsort(np.linalg.norm(endmembers / largest, axis=1), kind="stable")
    origin = endmembers[order[0]]
    edges = endmembers[order] - origin  # the first is zero
    unit = np.abs(edges).max() or 1.0
    basis, corners = _basis(edges[1:] / unit, order[1:], order[0])
    corners = np.concatenate([np.zeros((1, corners.shape[1])), corners])
    abundances = np.empty((len(spectra), len(endmembers)))
    abundances[:, order] = _optima(_projected(spectra, basis, origin, unit), _Problem(corners, sum_to_one=True))
    return abundances


def nnls(spectra: np.ndarray, endmembers: np.ndarray) -> np.ndarray:
    """Abundances (n, m), none negative, that minimise the squared error |s - a E|²; they may sum to anything.

    As `fcls` otherwise, but that DataError is raised for endmembers that are linearly dependent.
    Source: the problem of Lawson & Hanson 1974, Solving Least Squares Problems, chapter 23.
    """
    spectra, endmembers = checked_spectra(spectra, endmembers)
    lengths = np.abs(endmembers).max(axis=1, keepdims=True)
    lengths = lengths * np.linalg.norm(endmembers / np.where(lengths > 0, lengths, 1), axis=1, keepdims=True)
    rows = endmembers / np.where(lengths > 0, lengths, 1)
    basis, rows = _basis(rows, np.arange(len(rows)))
    y = _projected(spectra, basis, 0.0, 1.0)
    units = np.abs(y).max(axis=1, keepdims=True)  # abundances grow with the pixel, whose square may overflow
    y = np.divide(y, units, out=y, where=units > 0)
    return _optima(y, _Problem(rows, sum_to_one=False)) * (units / lengths.T)


def checked_spectra(spectra: np.ndarray, endmembers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64 matrices; raises DataError where `fcls` says."""
    spectra, endmembers = finite_matrix(spectra, "spectra"), finite_matrix(endmembers, "endmembers")
    if not len(endmembers) or endmembers.shape[1] != spectra.shape[1]:
        raise DataError(
            "endmembers do not fit the spectra", expected=f"(m, {spectra.shape[1]}), m > 0", found=endmembers.shape,
            do="give one spectrum a row, on the channels of the pixels",
        )  # fmt: skip
    most = min(endmembers.shape[1], _MOST_ENDMEMBERS)
    if len(endmembers) > most:
        raise DataError(
            "too many endmembers", expected=f"at most {most} for {endmembers.shape[1]} channels", found=len(endmembers),
            do="give fewer endmembers, or spectra on more channels",
        )  # fmt: skip
    return spectra, endmembers


def _basis(rows: np.ndarray, names: np.ndarray, centre: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Orthonormal directions (c, k) that k rows span, and the coordinates (k, k) of the rows along them.

    names : (k,) positions of the endmembers that the rows are, or lead to from that at `centre`.
    """
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    lengths[lengths == 0] = 1
    left, singular, _ = np.linalg.svd(rows / lengths, full_matrices=False)
    if len(rows) and singular[-1] < _LEAST_SINGULAR:
        weights = dict(zip(names.tolist(), left[:, -1] / lengths[:, 0], strict=True))
        if centre is not None:
            weights[int(centre)] = -sum(weights.values())
        least = 0.01 * max(map(abs, weights.values()))
        raise DataError(
            f"an endmember is {'zero' if centre is None else 'another'}, or a combination of others",
            where=f"endmember index {', '.join(str(i) for i in sorted(weights) if abs(weights[i]) > least)}",
            expected=f"{'linear' if centre is None else 'affine'} independence within {_LEAST_SINGULAR:g}",
            found=f"{singular[-1]:.1g}", do="leave out one of these endmembers: no abundances would be the best",
        )  # fmt: skip
    basis, coordinates = np.linalg.qr(rows.T)
    return basis, coordinates.T


def _projected(spectra: np.ndarray, basis: np.ndarray, origin: np.ndarray | float, unit: float) -> np.ndarray:
    """Coordinates (n, k) of the spectra from `origin` along the basis, in `unit`."""
    found = np.empty((len(spectra), basis.shape[1]))
    rows = max(1, _VALUES_AT_ONCE // spectra.shape[1])
    for start in range(0, len(spectra), rows):
        block = slice(start, start + rows)
        found[block] = (spectra[block] - origin) @ basis
    return found / unit


class _Problem:
    """min |y - a R|² over a >= 0, with sum(a) = 1 or without, for any y; R : (m, k) rows."""

    def __init__(self, rows: np.ndarray, *, sum_to_one: bool):
        self.rows, self.sum_to_one = rows, sum_to_one
        self.lengths = np.linalg.norm(rows, axis=1)
        self._bits = 1 << np.arange(len(rows))
        self._systems: dict[int, tuple[int, np.ndarray]] = {}

    def solutions(self, y: np.ndarray, passive: np.ndarray) -> np.ndarray:
        """Minimisers (n, m) over the abundances that `passive` (n, m) marks, of either sign; the others are 0."""
        found = np.empty(passive.shape)
        supports = passive @ self._bits
        order = np.argsort(supports, kind="stable")
        for pixels in np.split(order, np.flatnonzero(np.diff(supports[order])) + 1) if len(order) else ():
            reference, system = self._system(passive[pixels[0]], int(supports[pixels[0]]))
            here, a = y[pixels], np.zeros((len(pixels), len(self.rows)))
            if self.sum_to_one:
                a[:, reference] = 1
            for _ in range(2):  # the second time corrects the rounding of the first
                a += (here - a @ self.rows) @ system
                if self.sum_to_one:
                    a[:, reference] += 1 - a.sum(axis=1)
            found[pixels] = a
        return found

    def _system(self, support: np.ndarray, name: int) -> tuple[int, np.ndarray]:
        """The endmember whose abundance is what the others leave of 1 (-1 without sum-to-one), and the (k, m) map from
        what a solution leaves of y to the change of the other abundances."""
        if name not in self._systems:
            free, reference, origin = np.flatnonzero(support), -1, 0.0
            if self.sum_to_one:
                reference, free = int(free[0]), free[1:]
                origin = self.rows[reference]
            directions = self.rows[free] - origin
            lengths = np.linalg.norm(directions, axis=1)
            system = np.zeros(self.rows.shape[::-1])
            system[:, free] = np.linalg.pinv(directions / lengths[:, None]) / lengths
            self._systems[name] = reference, system
        return self._systems[name]

    def multipliers(self, y: np.ndarray, a: np.ndarray) -> np.ndarray:
        """How fast the error falls as each abundance grows (n, m), of the fastest that it could: at the optimum 0
        where a > 0 and not above 0 elsewhere."""
        model = a @ self.rows
        left = y - model
        fall = left @ self.rows.T
        size = a @ self.lengths
        most = self.lengths + np.zeros_like(a)
        with np.errstate(over="ignore", invalid="ignore"):
            if self.sum_to_one:  # what one gains the others lose
                fall -= np.einsum("ij,ij->i", left, model)[:, None]
                most += size[:, None]
            most *= (np.linalg.norm(y, axis=1) + size)[:, None]
        most[np.isinf(most)] = np.nan  # not 0 of an overflow, which would look like an optimum
        return np.divide(fall, most, out=np.zeros_like(fall), where=most != 0)


def _optima(y: np.ndarray, problem: _Problem) -> np.ndarray:
    """Abundances (n, m) of the pixels y (n, k); raises DataError for pixels without optimum."""
    found = np.empty((len(y), len(problem.rows)))
    for start in range(0, len(y), _PIXELS_AT_ONCE):
        block = slice(start, start + _PIXELS_AT_ONCE)
        found[block] = a = _active_set(y[block], problem)
        slack = problem.multipliers(y[block], a)
        missed = np.where(a > 0, np.abs(slack), slack).max(axis=1)
        if problem.sum_to_one:
            missed = np.maximum(missed, np.abs(a.sum(axis=1) - 1))
        wrong = ~((missed <= _OPTIMAL) & (a >= 0).all(axis=1))  # a NaN is wrong
        if wrong.any():
            raise DataError(
                "no optimum was found for some pixels",
                where=f"pixel index {', '.join(map(str, start + np.flatnonzero(wrong)[:20]))}",
                expected=f"optimality within {_OPTIMAL:g}", found=f"{missed[wrong].max():.1g} in {wrong.sum()} pixels",
                do="bring spectra and endmembers to one unit, and leave out endmembers that hardly differ",
            )  # fmt: skip
    return found


def _active_set(y: np.ndarray, problem: _Problem) -> np.ndarray:
    """Abundances (n, m) by the primal active-set method of Lawson & Hanson, all pixels in step.

    The support of a pixel starts as the endmembers that the solution without non-negativity gives a positive
    abundance. Each round solves for the support. A negative abundance in the solution stops the way there at the
    first abundance that reaches 0, which leaves the support; otherwise the solution is taken, and the endmember that
    lowers the error fastest joins the support; where none does, the pixel is done. The error falls from each solution
    taken to the next, so no support comes twice; the caller verifies.
    """
    found = np.empty((len(y), len(problem.rows)))
    a = problem.solutions(y, np.ones(found.shape, dtype=bool))
    passive = a > 0
    inside = passive.all(axis=1)
    found[inside] = a[inside]
    pixel = np.flatnonzero(~inside)
    y, a, passive = y[pixel], np.where(passive, a, 0)[pixel], passive[pixel]
    if problem.sum_to_one:
        a /= a.sum(axis=1, keepdims=True)
    joined = np.full(len(pixel), -1)  # the endmember that joined the support in the round before
    for _ in range(_ROUNDS * len(problem.rows)):
        if not len(pixel):
            break
        target = problem.solutions(y, passive)
        negative = passive & (target <= 0)
        rows = np.arange(len(pixel))
        # rounding alone made this endmember, the best, seem to lower the error: no other does
        refuse = (joined >= 0) & negative[rows, joined]
        passive[rows[refuse], joined[refuse]] = False

        taken = ~negative.any(axis=1)
        a[taken] = target[taken]

        short = np.flatnonzero(~taken & ~refuse)
        a[short], passive[short] = _to_the_border(a[short], target[short], negative[short])

        joined[:] = -1
        rest = np.flatnonzero(taken)
        slack = problem.multipliers(y[rest], a[rest])
        slack[passive[rest]] = -np.inf
        best = slack.argmax(axis=1)
        better = slack[np.arange(len(rest)), best] > _NOTHING
        joined[rest[better]] = best[better]
        passive[rest[better], best[better]] = True

        done = refuse
        done[rest[~better]] = True
        found[pixel[done]] = a[done]
        pixel, y, a, passive, joined = (each[~done] for each in (pixel, y, a, passive, joined))
    found[pixel] = a
    return found


def _to_the_border(a: np.ndarray, target: np.ndarray, negative: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`a` moved towards `target` until the first abundance is 0, and which are not 0."""
    share = np.full(a.shape, np.inf)
    np.divide(a, a - target, out=share, where=negative)
    least = share.min(axis=1, keepdims=True)
    moved = np.where(share <= least, 0, np.maximum(a + least * (target - a), 0))
    return moved, moved > 0
