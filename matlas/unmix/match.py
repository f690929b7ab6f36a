"""How near unmixing came to the truth: spectral angles, matched endmembers, errors of abundances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from matlas.errors import DataError
from matlas.represent import finite_matrix


@dataclass(frozen=True)
class Matched:
    """Pairs of found endmembers and references, in the order of the references; (k,) each, k the smaller number.

    found, reference : positions; angles : spectral angles in degrees.
    """

    found: np.ndarray
    reference: np.ndarray
    angles: np.ndarray


def spectral_angle(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Angle in degrees (p, q) between each spectrum of a (p, c) and each of b (q, c); brightness does not matter.

    By the half-angle formula of Kahan, exact for small angles, where the arccosine loses half of the digits.
    Raises DataError for NaN, infinity, unequal channels, and spectra of zeros, which have no direction.
    Source: Kruse et al. 1993, doi:10.1016/0034-4257(93)90013-N.
    """
    a, b = finite_matrix(a, "spectra"), finite_matrix(b, "reference spectra")
    if a.shape[1] != b.shape[1]:
        raise DataError("spectra have other channels than the references", expected=b.shape[1], found=a.shape[1])
    a, b = _directions(a, "spectra"), _directions(b, "reference spectra")
    halves = [np.arctan2(np.linalg.norm(a - one, axis=1), np.linalg.norm(a + one, axis=1)) for one in b]
    return np.degrees(2 * np.stack(halves, axis=1)) if halves else np.empty((len(a), 0))


def match_endmembers(found: np.ndarray, references: np.ndarray) -> Matched:
    """One-to-one pairs of found (p, c) and reference (q, c) spectra with the smallest sum of spectral angles.

    Where p and q differ, the spectra left over are in no pair. Raises DataError as `spectral_angle`.
    """
    angles = spectral_angle(found, references)
    reference, place = linear_sum_assignment(angles.T)
    return Matched(place, reference, angles[place, reference])


def abundance_rmse(found: np.ndarray, true: np.ndarray) -> float:
    """Root of the mean squared difference of abundances (n, m) over all pixels and endmembers, in the same order.

    Raises DataError for NaN, infinity and unequal shapes.
    """
    found, true = finite_matrix(found, "abundances"), finite_matrix(true, "true abundances")
    if found.shape != true.shape or not found.size:
        raise DataError("abundances can't be compared", expected=true.shape, found=found.shape)
    return float(np.sqrt(np.mean((found - true) ** 2)))


def _directions(spectra: np.ndarray, what: str) -> np.ndarray:
    """Rows at unit length, by way of their largest value, whose square may overflow."""
    largest = np.abs(spectra).max(axis=1, keepdims=True, initial=0)
    if not largest.all():
        raise DataError(
            f"{what} of zeros have no direction", where=f"row index {np.flatnonzero(largest == 0)[:20].tolist()}",
            do="leave them out",
        )  # fmt: skip
    scaled = spectra / largest
    return scaled / np.linalg.norm(scaled, axis=1, keepdims=True)
