"""Crystals in arrays: a lattice and sites each, many crystals one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

FULL = 1.0 - 1e-8  # an occupancy from which a site counts as full


@dataclass(frozen=True, eq=False)
class Crystal:
    """One crystal. lattice : (3, 3) Å, a cell vector a row; z : (m,) int64 atomic numbers; frac : (m, 3) fractional
    coordinates; occupancy : (m,) in (0, 1]. Species that share a site are entries with equal coordinates."""

    key: str
    lattice: np.ndarray
    z: np.ndarray
    frac: np.ndarray
    occupancy: np.ndarray

    @property
    def volume(self) -> float:
        """Volume of the cell in Å³."""
        return abs(float(np.linalg.det(self.lattice)))

    @property
    def disordered(self) -> bool:
        """Whether a site is partly occupied or shared."""
        return bool((self.occupancy < FULL).any())


@dataclass(frozen=True, eq=False)
class Crystals:
    """n crystals in compressed rows: crystal i holds the sites indptr[i]:indptr[i + 1], at least one.

    keys : (n,) object; lattice : (n, 3, 3) Å; indptr : (n + 1,) int64; z : (m,) int64 atomic numbers; frac : (m, 3)
    fractional coordinates; occupancy : (m,) in (0, 1].
    """

    keys: np.ndarray
    lattice: np.ndarray
    indptr: np.ndarray
    z: np.ndarray
    frac: np.ndarray
    occupancy: np.ndarray

    @classmethod
    def of(cls, crystals: Sequence[Crystal]) -> Crystals:
        """Some crystals put one after the other."""
        keys = np.empty(len(crystals), dtype=object)
        keys[:] = [crystal.key for crystal in crystals]
        return cls(
            keys, np.array([c.lattice for c in crystals]), np.cumsum([0, *(len(c.z) for c in crystals)]),
            *(np.concatenate([getattr(c, name) for c in crystals]) for name in ("z", "frac", "occupancy")),
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, i: int) -> Crystal:
        at = slice(self.indptr[i], self.indptr[i + 1])
        return Crystal(self.keys[i], self.lattice[i], self.z[at], self.frac[at], self.occupancy[at])

    def __iter__(self) -> Iterator[Crystal]:
        return (self[i] for i in range(len(self)))


def lattice_of(a, b, c, alpha, beta, gamma) -> np.ndarray:
    """(n, 3, 3) cell vectors (rows, Å) of n lattices given by lengths (Å) and angles (degrees), each (n,): c along z, a
    in the xz plane (the orientation that pymatgen's `Lattice.from_parameters` chooses)."""
    a, b, c = (np.asarray(v, dtype=np.float64) for v in (a, b, c))
    alpha, beta, gamma = (np.radians(np.asarray(v, dtype=np.float64)) for v in (alpha, beta, gamma))
    star = (np.cos(alpha) * np.cos(beta) - np.cos(gamma)) / (np.sin(alpha) * np.sin(beta))
    star = np.arccos(np.clip(star, -1.0, 1.0))
    zero = np.zeros_like(a)
    rows = [
        np.stack([a * np.sin(beta), zero, a * np.cos(beta)], axis=-1),
        np.stack([-b * np.sin(alpha) * np.cos(star), b * np.sin(alpha) * np.sin(star), b * np.cos(alpha)], axis=-1),
        np.stack([zero, zero, c], axis=-1),
    ]
    return np.stack(rows, axis=-2)


def parameters_of(lattice: np.ndarray) -> np.ndarray:
    """(…, 6) lengths a, b, c (Å) and angles α, β, γ (degrees) of lattices (…, 3, 3) with a cell vector a row."""
    lengths = np.linalg.norm(lattice, axis=-1)
    unit = lattice / lengths[..., None]
    cosines = [(unit[..., i, :] * unit[..., j, :]).sum(axis=-1) for i, j in ((1, 2), (0, 2), (0, 1))]
    return np.concatenate([lengths, np.degrees(np.arccos(np.clip(np.stack(cosines, axis=-1), -1.0, 1.0)))], axis=-1)
