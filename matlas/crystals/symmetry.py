"""The symmetry of a crystal by spglib, and the prototype that it belongs to."""

from __future__ import annotations

import gzip
import json
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from string import ascii_lowercase

import numpy as np
import spglib

from matlas.crystals.read import CrystalError, site_numbers
from matlas.crystals.structure import Crystal, parameters_of
from schemas.fields import CRYSTAL_SYSTEMS

LETTERS = ascii_lowercase + "A"  # of Wyckoff positions, in the order of the International Tables
LAST_NUMBERS = (2, 15, 74, 142, 167, 194, 230)  # the last space group of each crystal system

# Order of each of the 32 point groups, by its symbol: International Tables for Crystallography A (2016), table 3.2.1.
POINT_GROUP_ORDERS = {
    "1": 1, "-1": 2, "2": 2, "m": 2, "2/m": 4, "222": 4, "mm2": 4, "mmm": 8, "4": 4, "-4": 4, "4/m": 8, "422": 8,
    "4mm": 8, "-42m": 8, "4/mmm": 16, "3": 3, "-3": 6, "32": 6, "3m": 6, "-3m": 12, "6": 6, "-6": 6, "6/m": 12,
    "622": 12, "6mm": 12, "-6m2": 12, "6/mmm": 24, "23": 12, "m-3": 24, "432": 24, "-43m": 24, "m-3m": 48,
}  # fmt: skip
CENTROSYMMETRIC = frozenset({"-1", "2/m", "mmm", "4/m", "4/mmm", "-3", "-3m", "6/m", "6/mmm", "m-3", "m-3m"})

spglib.error.OLD_ERROR_HANDLING = False  # spglib's own way to have it raise what went wrong, until that is the default

Letters = dict[int, tuple[str, ...]]  # atomic number -> Wyckoff letter of each orbit that the element is on


def symmetry_of(crystal: Crystal, symprec: float) -> dict:
    """The columns SYMMETRY of schemas/tables/dataset.py, and `wyckoff`: for each element (by atomic number) the letters
    of the Wyckoff positions of its orbits, as spglib chooses the origin.

    symprec : how far (Å) atoms may be from where the symmetry puts them. Sites are alike when the same elements share
    them in the same amounts (to 1e-3). Lengths in Å, angles in degrees; they are those of the conventional cell that
    spglib standardises and idealises, and n_sites_primitive counts sites, however many species share them. Raises
    CrystalError where spglib finds none. Source: Togo et al. 2024, doi:10.1080/27660400.2024.2384822.
    """
    site, first = site_numbers(crystal)
    cell = (crystal.lattice, crystal.frac[first], _types(crystal, site, first))
    try:
        found = spglib.get_symmetry_dataset(cell, symprec=symprec)
    except spglib.SpglibError as error:
        raise CrystalError(f"no symmetry found: {' '.join(str(error).split())}") from error
    if found is None:  # where the environment asks for the old way
        raise CrystalError("no symmetry found")
    orbits, representative = np.unique(found.crystallographic_orbits, return_index=True)
    on_orbit = np.isin(site, representative)
    wyckoff: Letters = {}
    for z, s in zip(crystal.z[on_orbit].tolist(), site[on_orbit].tolist(), strict=True):
        wyckoff[z] = (*wyckoff.get(z, ()), found.wyckoffs[s])
    point_group = found.pointgroup.strip()
    lengths_and_angles = dict(
        zip(("a", "b", "c", "alpha", "beta", "gamma"), parameters_of(found.std_lattice).tolist(), strict=True)
    )
    return {
        "space_group_number": int(found.number),
        "space_group": found.international,
        "crystal_system": CRYSTAL_SYSTEMS[bisect_left(LAST_NUMBERS, found.number)],
        "centrosymmetric": point_group in CENTROSYMMETRIC,
        "point_group_order": POINT_GROUP_ORDERS[point_group],
        **{f"standard_{name}": value for name, value in lengths_and_angles.items()},
        "n_sites_primitive": len(np.unique(found.mapping_to_primitive)),
        "n_orbits": len(orbits),
        "wyckoff": wyckoff,
    }


def _types(crystal: Crystal, site: np.ndarray, first: np.ndarray) -> np.ndarray:
    """(n_sites,) a number for what occupies each site."""
    if len(first) == len(site) and not crystal.disordered:
        return crystal.z
    kinds: dict[tuple, int] = {}
    occupied: list[list] = [[] for _ in first]
    for s, z, share in zip(site.tolist(), crystal.z.tolist(), crystal.occupancy.round(3).tolist(), strict=True):
        occupied[s].append((z, share))
    return np.array([kinds.setdefault(tuple(sorted(by)), len(kinds)) for by in occupied])


def prototype_of(anonymous_formula: str, amounts: Mapping[int, int], number: int, wyckoff: Letters) -> str:
    """The isopointal class of a crystal, such as AB_225_a_b of rock salt: its anonymous formula, the number of its
    space group, and for each element, by rising amount, the letters of its Wyckoff positions (2c: two orbits on c).

    amounts : of each element (by atomic number) in the formula. Which origin or which axes of equal standing the cell
    has, changes the letters but not the crystal: of all choices that the affine normaliser of the space group allows
    (the relabelings that pymatgen took from aviary: Goodall et al. 2022, doi:10.1126/sciadv.abn4117) and of all orders
    of elements in equal amounts, the one that comes first in the alphabet names the class. An element that shares
    sites with others has the letters of all sites that it is on. What a letter can't tell remains: crystals with
    different free coordinates or axial ratios fall into one class; groups that are mirror images of each other (P4_1,
    P4_3) are two.
    """
    named = [(amount, [LETTERS.index(x) for x in wyckoff[z]]) for z, amount in amounts.items()]
    ways = (sorted((amount, sorted(way[x] for x in on)) for amount, on in named) for way in _relabelings()[number])
    return f"{anonymous_formula}_{number}_{'_'.join(_counted(on) for _, on in min(ways))}"


def _counted(on: list[int]) -> str:
    return "".join(f"{n if n > 1 else ''}{LETTERS[x]}" for x, n in sorted(Counter(on).items()))


@cache
def _relabelings() -> dict[int, list[dict[int, int]]]:
    """For each space group the ways to name its Wyckoff positions, as places in LETTERS."""
    # the file alone: importing pymatgen.analysis.prototypes loads AFLOW's library and matplotlib, which takes seconds
    packed = files("pymatgen.analysis") / "prototypes" / "wyckoff-position-relabelings.json.gz"
    found = json.loads(gzip.decompress(packed.read_bytes()))
    return {
        int(number): [{LETTERS.index(chr(int(old))): LETTERS.index(new) for old, new in way.items()} for way in ways]
        for number, ways in found.items()
    }
