"""The reduced cell of a crystal, and the neighbours of its sites within a distance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_STEPS = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)])
_BLOCK = 2_000_000  # distances held at a time


@dataclass(frozen=True, eq=False)
class Neighbours:
    """m directed pairs of sites at most a distance apart, sorted by `site`.

    site, neighbour : (m,) int64; image : (m, 3) int64, the cell of the neighbour; distance : (m,) Å. A site in the cell
    of its own is no pair.
    """

    site: np.ndarray
    neighbour: np.ndarray
    image: np.ndarray
    distance: np.ndarray

    def within(self, distance: float) -> Neighbours:
        """The pairs at most `distance` (Å) apart."""
        near = self.distance <= distance
        return Neighbours(self.site[near], self.neighbour[near], self.image[near], self.distance[near])


def reduced_cell(lattice: np.ndarray, frac: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same crystal with the shortest cell vectors there are, and coordinates in [0, 1).

    lattice : (3, 3) Å, a cell vector a row; frac : (m, 3). Returns both for the reduced cell. Minkowski's reduction in
    three dimensions: Nguyen & Stehlé 2009, ACM Trans. Algorithms 5, 46, doi:10.1145/1597036.1597050.
    """
    v = np.array(lattice, dtype=np.float64)
    while True:
        v = v[np.argsort((v * v).sum(axis=1), kind="stable")]
        gram = v @ v.T
        v[1] -= np.rint(gram[0, 1] / gram[0, 0]) * v[0]
        if v[1] @ v[1] < gram[0, 0] * (1 - 1e-12):
            continue
        # the longest, less the vector of the plane of the other two that is nearest to it
        nearest = np.rint(np.linalg.solve(v[:2] @ v[:2].T, v[:2] @ v[2]))
        candidates = v[2] - (nearest + _STEPS) @ v[:2]
        lengths = (candidates * candidates).sum(axis=1)
        if lengths.min() < gram[2, 2] * (1 - 1e-12):
            v[2] = candidates[lengths.argmin()]
        if v[2] @ v[2] >= v[1] @ v[1] * (1 - 1e-12):
            break
    wrapped = frac @ (lattice @ np.linalg.inv(v))
    wrapped -= np.floor(wrapped)
    return v, np.where(wrapped < 1.0, wrapped, 0.0)


def neighbours_within(lattice: np.ndarray, frac: np.ndarray, cutoff: float) -> Neighbours:
    """All pairs of sites at most `cutoff` (Å) apart. lattice, frac : best those of `reduced_cell`, for speed only."""
    n = len(frac)
    spacing = 1.0 / np.linalg.norm(np.linalg.inv(lattice), axis=0)  # between the planes of the lattice
    reach = np.floor(cutoff / spacing + 0.5).astype(np.int64)
    steps = np.stack(np.meshgrid(*(np.arange(-r, r + 1) for r in reach), indexing="ij"), axis=-1).reshape(-1, 3)
    step_vectors = steps @ lattice
    block = max(1, _BLOCK // (n * len(steps)))
    found = []
    for start in range(0, n, block):
        # to the image of each site that is nearest in fractional coordinates, so that few steps reach all others
        apart = frac[None, :, :] - frac[start : start + block, None, :]
        folded = np.rint(apart).astype(np.int64)
        vectors = ((apart - folded) @ lattice).reshape(-1, 3)
        squares = 2.0 * vectors @ step_vectors.T
        squares += (vectors * vectors).sum(axis=1)[:, None]
        squares += (step_vectors * step_vectors).sum(axis=1)
        pair, step = np.nonzero(squares <= cutoff * cutoff)
        separation = vectors[pair] + step_vectors[step]
        image = steps[step] - folded.reshape(-1, 3)[pair]
        site, neighbour = start + pair // n, pair % n
        found.append((site, neighbour, image, np.sqrt((separation * separation).sum(axis=1))))
    site, neighbour, image, distance = (np.concatenate(part) for part in zip(*found, strict=True))
    other = (site != neighbour) | image.any(axis=1)
    return Neighbours(site[other], neighbour[other], image[other], distance[other])
