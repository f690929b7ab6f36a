"""The Voronoi tessellation of a crystal: the faces between its sites."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

import numpy as np
from scipy.spatial import Voronoi, cKDTree

from matlas.crystals.neighbours import Neighbours, neighbours_within
from matlas.errors import DataError

# Distance up to which atoms are taken at first, in units of the cube root of the volume per atom. Measured on the
# Materials Project: with less, more crystals are tessellated twice; with more, each tessellation takes longer.
_FIRST_REACH = 2.0
_AXES = np.concatenate([np.eye(3, dtype=np.int64), -np.eye(3, dtype=np.int64)])


class GeometryError(DataError):
    """A crystal that has no geometry, or none that can be computed."""


@dataclass(frozen=True, eq=False)
class Tessellation:
    """f faces of the Voronoi cells of n sites, seen from each of the two sites, sorted by `site`.

    site, neighbour : (f,) int64; image : (f, 3) int64, the cell of the neighbour; area : (f,) Å², 0 for one that only
    touches; distance : (f,) Å between the two sites; volume : (n,) Å³ of the Voronoi cells.
    """

    site: np.ndarray
    neighbour: np.ndarray
    image: np.ndarray
    area: np.ndarray
    distance: np.ndarray
    volume: np.ndarray


def tessellate(lattice: np.ndarray, frac: np.ndarray, near: Neighbours, cutoff: float) -> Tessellation:
    """The tessellation of a crystal. lattice : (3, 3) Å, a cell vector a row; frac : (n, 3).

    Both best as `reduced_cell` gives them, for speed. near : `neighbours_within` a `cutoff` (Å); more are found where
    they are needed. The atoms of the cell are tessellated among the nearest ones first. An atom that these leave out
    cuts a Voronoi cell if it is nearer to one of its corners than the site is: with those that do, it is done again.
    Raises GeometryError where the cells don't fill the crystal, as when two sites are at one place, and
    scipy.spatial.QhullError as SciPy does.
    """
    n, volume = len(frac), abs(float(np.linalg.det(lattice)))
    first = _FIRST_REACH * (volume / n) ** (1 / 3)
    if cutoff < first:
        near, cutoff = neighbours_within(lattice, frac, first), first
    # images of its own along the axes close the cell of each site
    axes = np.column_stack([np.repeat(np.arange(n), len(_AXES)), np.tile(_AXES, (n, 1))])
    atoms = _distinct(np.concatenate([_atoms_of(near.within(first)), axes]), n)
    tessellation, corners, radii = _tessellation(lattice, frac, atoms)
    reach = 2 * radii.max()
    if reach > first:
        if cutoff < reach:
            near = neighbours_within(lattice, frac, reach)
        others = _distinct(_atoms_of(near.within(reach)), n)
        # one on the sphere around a corner only touches
        cut = cKDTree(_positions(lattice, frac, others)).query_ball_point(corners, radii * (1 - 1e-9))
        cutting = others[np.unique(np.fromiter(chain.from_iterable(cut), dtype=np.int64))]
        if len(cutting):
            tessellation, _, _ = _tessellation(lattice, frac, _distinct(np.concatenate([atoms, cutting]), n))
    full = np.isclose(tessellation.volume.sum(), volume, rtol=1e-6, atol=0.0)
    if not full or tessellation.volume.min() <= 0:
        raise GeometryError(
            "the Voronoi cells don't fill the crystal", expected=f"{volume:.6g} Å³",
            found=f"{tessellation.volume.sum():.6g} Å³ in {np.count_nonzero(tessellation.volume)} cells of {n} sites",
        )  # fmt: skip
    return tessellation


def _atoms_of(near: Neighbours) -> np.ndarray:
    """(m, 4) the neighbours as site and cell."""
    return np.column_stack([near.neighbour, near.image])


def _distinct(atoms: np.ndarray, n: int) -> np.ndarray:
    """Those of the atoms (m, 4) that are not in the home cell, each once and sorted."""
    atoms = atoms[atoms[:, 1:].any(axis=1)]
    return atoms[np.unique(pair_keys(0, atoms[:, 0], atoms[:, 1:], n, np.abs(atoms).max()), return_index=True)[1]]


def pair_keys(site, neighbour: np.ndarray, image: np.ndarray, n: int, reach: int) -> np.ndarray:
    """One int64 for each pair of a site and a neighbour in cell `image` (m, 3), |image| <= reach, of n sites."""
    width = 2 * int(reach) + 1
    cell = ((image[:, 0] + reach) * width + image[:, 1] + reach) * width + image[:, 2] + reach
    return (site * n + neighbour) * width**3 + cell


def _positions(lattice: np.ndarray, frac: np.ndarray, atoms: np.ndarray) -> np.ndarray:
    return (frac[atoms[:, 0]] + atoms[:, 1:]) @ lattice


def _tessellation(
    lattice: np.ndarray, frac: np.ndarray, atoms: np.ndarray
) -> tuple[Tessellation, np.ndarray, np.ndarray]:
    """The cells of all sites among the `atoms` (m, 4) around them; the corners (c, 3) of all faces in Å, and their
    distances (c,) to the site."""
    n = len(frac)
    everything = np.concatenate([np.column_stack([np.arange(n), np.zeros((n, 3), dtype=np.int64)]), atoms])
    positions = _positions(lattice, frac, everything)
    voronoi = Voronoi(positions)
    ends = voronoi.ridge_points.astype(np.int64)
    ours = np.flatnonzero(ends.min(axis=1) < n)
    ends = np.sort(ends[ours], axis=1)  # a site of the home cell first
    loops = [voronoi.ridge_vertices[i] for i in ours.tolist()]
    size = np.fromiter(map(len, loops), dtype=np.int64, count=len(loops))
    corner = np.fromiter(chain.from_iterable(loops), dtype=np.int64, count=size.sum())
    start = np.cumsum(size) - size
    following = np.arange(1, len(corner) + 1)
    following[start + size - 1] = start  # the corners go round the face

    # the area as the sum of the triangles between an edge and the middle of the two sites, seen along the bond
    bond = positions[ends[:, 1]] - positions[ends[:, 0]]
    distance = np.sqrt((bond * bond).sum(axis=1))
    face = np.repeat(np.arange(len(loops)), size)
    arms = voronoi.vertices[corner] - (positions[ends[:, 0]] + bond / 2)[face]
    doubled = (np.cross(arms, arms[following]) * (bond / distance[:, None])[face]).sum(axis=1)
    area = np.abs(np.add.reduceat(doubled, start)) / 2

    both = ends[:, 1] < n  # a face within the home cell is seen from both sides
    site = np.concatenate([ends[:, 0], ends[both, 1]])
    order = np.argsort(site, kind="stable")
    other = np.concatenate([ends[:, 1], ends[both, 0]])[order]
    site = site[order]
    area, length = (np.concatenate([v, v[both]])[order] for v in (area, distance))
    volume = np.bincount(site, weights=area * length / 6, minlength=n)
    corners = voronoi.vertices[corner]
    radii = np.sqrt(((corners - positions[ends[face, 0]]) ** 2).sum(axis=1))
    return Tessellation(site, everything[other, 0], everything[other, 1:], area, length, volume), corners, radii
