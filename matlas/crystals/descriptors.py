"""What matminer's featurizers of crystals compute, of a tessellation and arrays: values of sites, and of crystals."""

from __future__ import annotations

import numpy as np

from matlas.crystals.order import face_shares, shell_shares
from matlas.crystals.voronoi import Tessellation

ROUNDING = 1e-12  # of values among sites, in parts of the largest: they are equal but for rounding
EDGE_TOLERANCE = 1e-6  # Å; a distance this little below the edge of a bin is on it but for rounding


def radial_distribution(distance: np.ndarray, n: int, volume: float, edges: np.ndarray) -> np.ndarray:
    """(b,) number density of atoms in spherical shells around an atom, over the mean density n / volume.

    distance : (m,) Å of all pairs of the n sites of a cell of `volume` (Å³) with all atoms up to the last edge plus
    EDGE_TOLERANCE; edges : (b + 1,) Å of the shells. matminer's RadialDistributionFunction is n times this.
    """
    # on an edge is above it, but for the last, as in numpy's histogram
    shell = np.minimum(np.searchsorted(edges, distance + EDGE_TOLERANCE, side="right") - 1, len(edges) - 2)
    count = np.bincount(shell, minlength=len(edges) - 1)
    return count / (4 / 3 * np.pi * np.diff(edges**3)) / (n * n / volume)


def nearest_distances(t: Tessellation) -> np.ndarray:
    """(n,) Å from each site to the nearest other, with which it always shares a face."""
    nearest = np.full(len(t.volume), np.inf)
    np.minimum.at(nearest, t.site, t.distance)
    return nearest


def bond_lengths(t: Tessellation) -> np.ndarray:
    """(n,) mean distance (Å) of each site to its neighbours, weighted by the area of the face."""
    return _area_mean(t, t.distance)


def bond_length_variation(t: Tessellation) -> np.ndarray:
    """(n,) mean absolute deviation of the distances of each site to its neighbours over their mean, both weighted by
    the area of the face: the `neighbor distance variation` of matminer's StructuralHeterogeneity."""
    mean = bond_lengths(t)
    variation = _area_mean(t, np.abs(t.distance - mean[t.site])) / mean
    return np.where(variation > ROUNDING, variation, 0.0)


def effective_coordination(t: Tessellation) -> np.ndarray:
    """(n,) (ΣA)²/ΣA² over the areas of the faces of each site."""
    return np.bincount(t.site, t.area) ** 2 / np.bincount(t.site, t.area**2)


def local_differences(t: Tessellation, z: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(n, p) mean absolute difference of p properties between a site and its neighbours, weighted by the area of the
    face: matminer's LocalPropertyDifference. z : (n,) atomic numbers; values : (119, p), row z."""
    elements, kind = np.unique(z, return_inverse=True)
    values = values[elements]
    apart = np.abs(values[None, :, :] - values[:, None, :])  # (k, k, p)
    return np.einsum("nk,nkp->np", face_shares(t, kind), apart[kind])


def ordering(t: Tessellation, z: np.ndarray) -> list[float]:
    """Mean absolute Warren-Cowley parameter over sites and elements for each of matlas.crystals.order.SHELLS; 0 for one
    element. matminer's ChemicalOrdering. z : (n,) atomic numbers."""
    _, kind, count = np.unique(z, return_inverse=True, return_counts=True)
    share = count / len(z)
    return [float(np.abs(1.0 - met / share).mean()) for met in shell_shares(t, kind)]


def packing_efficiency(t: Tessellation) -> float:
    """Share of the volume in the largest spheres that stay in their Voronoi cells: MaximumPackingEfficiency."""
    return float(np.pi / 6 * (nearest_distances(t) ** 3).sum() / t.volume.sum())


def mean_deviation(values: np.ndarray) -> np.ndarray:
    """Mean absolute deviation from the mean, along the first axis."""
    return beyond_rounding(np.abs(values - values.mean(axis=0)).mean(axis=0), values)


def beyond_rounding(spread: np.ndarray, values: np.ndarray) -> np.ndarray:
    """`spread` of `values` (along the first axis), 0 where it is rounding only: a standardised column would show noise
    among equal sites at full size."""
    return np.where(spread > ROUNDING * np.abs(values).max(axis=0), spread, 0.0)


def _area_mean(t: Tessellation, values: np.ndarray) -> np.ndarray:
    return np.bincount(t.site, t.area * values) / np.bincount(t.site, t.area)
