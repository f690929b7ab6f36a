"""Fully constrained unmixing of a spectrum image against the usual loop over pixels: less time, nearer to the optimum.

The loop solves each pixel with scipy.optimize.nnls, and brings the sum of abundances to 1 by one more channel of large
weight, `DELTA` for endmembers of at most 1: the sum then misses 1 by about 1 / DELTA².
"""

from __future__ import annotations

from functools import partial
from itertools import combinations

import numpy as np
from scipy.optimize import nnls

from bench.measure import compare, measured
from matlas.unmix.fcls import fcls

PIXELS, BANDS, ENDMEMBERS = 100_000, 156, 3
DELTA = 1e3
NOISE = 0.05


def run(repeats: int = 5) -> list[dict]:
    """Rows of the comparison, as `bench.measure.compare` gives it, and how far both sides are from the optimum."""
    spectra, endmembers = _image()
    ours, peer = partial(fcls, spectra, endmembers), partial(_loop, spectra, endmembers)
    optimum = _best_of_all_supports(spectra, endmembers)
    missed = {}

    def agree(found: np.ndarray, expected: np.ndarray) -> None:
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
        missed.update(ours=np.abs(found - optimum).max(), peer=np.abs(expected - optimum).max())
        assert missed["ours"] <= missed["peer"], missed

    title = f"FCLS abundances, {PIXELS:,} pixels x {BANDS} bands x {ENDMEMBERS} endmembers: "
    title += f"beside scipy's nnls pixel by pixel, sum-to-one weighted {DELTA:g}"
    rows = compare("fcls", title, ours, peer, agree, repeats=repeats)
    return rows + [measured("fcls", title, f"{side}_from_optimum", [value]) for side, value in missed.items()]


def _loop(spectra: np.ndarray, endmembers: np.ndarray) -> np.ndarray:
    system = np.vstack([endmembers.T, np.full(len(endmembers), DELTA)])
    weighted = np.column_stack([spectra, np.full(len(spectra), DELTA)])
    return np.array([nnls(system, pixel)[0] for pixel in weighted])


def _best_of_all_supports(spectra: np.ndarray, endmembers: np.ndarray) -> np.ndarray:
    """The optimum by trying every set of endmembers: least squares with sum-to-one, kept where none is negative."""
    best, least = np.empty((len(spectra), len(endmembers))), np.full(len(spectra), np.inf)
    for size in range(1, len(endmembers) + 1):
        for first, *others in combinations(range(len(endmembers)), size):
            a = np.zeros_like(best)
            a[:, others] = np.linalg.lstsq(
                (endmembers[others] - endmembers[first]).T, (spectra - endmembers[first]).T, rcond=None
            )[0].T
            a[:, first] = 1 - a.sum(axis=1)
            error = ((spectra - a @ endmembers) ** 2).sum(axis=1)
            better = (a >= 0).all(axis=1) & (error < least)
            best[better], least[better] = a[better], error[better]
    return best


def _image() -> tuple[np.ndarray, np.ndarray]:
    """Spectra (PIXELS, BANDS) of smooth endmembers (ENDMEMBERS, BANDS) between 0 and 1, a third on the border of the
    simplex, with noise that takes many out of it."""
    random = np.random.default_rng(0)
    band = np.linspace(0, 1, BANDS)
    endmembers = np.stack([0.5 + 0.5 * np.sin(2 * np.pi * (f * band + f / 7)) for f in (0.4, 0.9, 1.5)])
    abundances = random.dirichlet(np.ones(ENDMEMBERS), PIXELS)
    border = np.arange(0, PIXELS, 3)
    abundances[border, random.integers(ENDMEMBERS, size=len(border))] = 0
    abundances /= abundances.sum(axis=1, keepdims=True)
    return abundances @ endmembers + NOISE * random.standard_normal((PIXELS, BANDS)), endmembers
