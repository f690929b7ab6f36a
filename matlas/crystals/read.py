"""One crystal from the text that describes it, and what makes it no crystal."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterable, Mapping

import numpy as np
from pymatgen.core import DummySpecies, Element, Species
from pymatgen.io.cif import CifParser
from pymatgen.io.vasp.inputs import Poscar

from matlas.composition import ATOMIC_NUMBER
from matlas.crystals.neighbours import neighbours_within
from matlas.crystals.structure import FULL, Crystal, lattice_of

LONGEST_TEXT = 16 * 2**20  # characters of one structure
# A site may be overfull by the rounding of its parts, 3 x 0.334: as in pymatgen, its occupancies are then scaled to 1.
OCCUPANCY_TOLERANCE = 1e-2
SHOWN = 120  # characters of a parser's message

_CIF = re.compile(r"^\s*(?:_cell_|_atom_site_|loop_)", re.MULTILINE | re.IGNORECASE)
_OVERFULL = "occupancies of a site add up to more than 1"
# what pymatgen's parsers raise on text that they don't understand; a parser that stumbles says nothing of the text
_STUMBLES = (LookupError, AttributeError, ArithmeticError, AssertionError, StopIteration)
_UNPARSEABLE = (*_STUMBLES, ValueError, TypeError, RuntimeError, NotImplementedError, UserWarning)

Sites = list[tuple[dict[str, float], Iterable[float]]]  # symbol -> occupancy, and fractional coordinates


class CrystalError(Exception):
    """Why one crystal is refused, in a few words."""


def read_crystal(structure: str | Mapping, key: str = "") -> Crystal:
    """The crystal that a text describes: a CIF with one structure, a POSCAR that names its elements, or pymatgen's JSON
    (also as a mapping).

    Oxidation states, labels and moments are dropped; D and T are unknown elements, as in `parse_formulas`. A
    left-handed lattice is turned into the right-handed one of the same lengths and angles (all vectors and coordinates
    negated), so that the parameters of the cell and the fractional coordinates describe the crystal and not its mirror
    image. Nothing in the text is imported or run.
    Raises CrystalError for text that can't be parsed, unknown elements and overfull sites.
    """
    try:
        if isinstance(structure, Mapping):
            lattice, sites = _from_json(structure)
        elif len(structure) > LONGEST_TEXT:
            raise CrystalError(f"longer than {LONGEST_TEXT} characters")
        elif structure.lstrip().startswith("{"):
            lattice, sites = _from_json(json.loads(structure))
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                lattice, sites = (_from_cif if _CIF.search(structure) else _from_poscar)(structure)
        return _crystal(key, lattice, sites)
    except _UNPARSEABLE as error:
        guess = ", perhaps cut short" if isinstance(error, _STUMBLES) else ""
        raise CrystalError(f"unparseable{guess}: {_in_a_line(error)}") from error


def check_crystal(crystal: Crystal, shortest_distance: float, volume_per_atom: tuple[float, float]) -> None:
    """Raise CrystalError for a crystal that can't be one: no sites, an unknown element, values that are not finite, a
    volume per atom (Å³; by occupancies) out of range, or sites closer than `shortest_distance` (Å), images in other
    cells included. Sites that are alternatives of each other, with occupancies that add up to 1 at most, may be close.
    """
    if not len(crystal.z):
        raise CrystalError("no sites")
    if not np.isfinite(crystal.lattice).all():
        raise CrystalError("lattice that is not finite")
    if not np.isfinite(crystal.frac).all():
        raise CrystalError("coordinates that are not finite")
    if not ((crystal.occupancy > 0) & (crystal.occupancy <= 1 + 1e-9)).all():
        raise CrystalError("occupancy not in (0, 1]")
    low, high = volume_per_atom
    if not low <= crystal.volume / crystal.occupancy.sum() <= high:
        raise CrystalError(f"volume per atom outside {low:g} to {high:g} Å³")
    site, first = site_numbers(crystal)
    filled = np.bincount(site, weights=crystal.occupancy)
    if (filled > 1 + 1e-9).any():
        raise CrystalError(_OVERFULL)
    near = neighbours_within(crystal.lattice, crystal.frac[first], shortest_distance)
    both = filled[near.site] + filled[near.neighbour] > 1 + OCCUPANCY_TOLERANCE
    if ((near.distance < shortest_distance) & both).any():
        raise CrystalError(f"atoms closer than {shortest_distance:g} Å")


def site_numbers(crystal: Crystal) -> tuple[np.ndarray, np.ndarray]:
    """(m,) int64 site of each entry, from 0, and (n_sites,) the first entry of each site: entries that follow each
    other with equal coordinates are species on one site."""
    new = np.ones(len(crystal.z), dtype=bool)
    # two full atoms at one place are two sites, too close to each other
    new[1:] = (crystal.frac[1:] != crystal.frac[:-1]).any(axis=1) | (crystal.occupancy[1:] >= FULL)
    return np.cumsum(new) - 1, np.flatnonzero(new)


def _from_json(structure: Mapping) -> tuple[np.ndarray, Sites]:
    """Not by pymatgen's `from_dict`, which imports the classes that the text names."""
    for needed in ("lattice", "sites"):
        if structure.get(needed) is None:
            raise CrystalError(f"JSON without {needed!r}: no structure of pymatgen's")
    cell = structure["lattice"]
    if cell.get("matrix") is not None:
        lattice = np.array([[float(x) for x in row] for row in cell["matrix"]])
    else:
        lattice = lattice_of(*(float(cell[p]) for p in ("a", "b", "c", "alpha", "beta", "gamma")))
    if lattice.shape != (3, 3):
        raise CrystalError("lattice that is not three vectors")
    sites: Sites = []
    for site in structure["sites"]:
        species: dict[str, float] = {}
        for one in site["species"]:
            species[one["element"]] = species.get(one["element"], 0.0) + float(one["occu"])
        at = site["abc"] if site.get("abc") is not None else np.linalg.solve(lattice.T, np.array(site["xyz"], float))
        sites.append((species, at))
    return lattice, sites


def _from_cif(text: str) -> tuple[np.ndarray, Sites]:
    # check_cif: against the formula in the file, which the sites decide here; it takes a third of the time
    parser = CifParser.from_str(text, check_cif=False, occupancy_tolerance=1 + OCCUPANCY_TOLERANCE)
    try:
        structures = parser.parse_structures(primitive=False, on_error="ignore")
    except ValueError as error:  # that there are none; why stands in the warnings
        why = parser.warnings[-1].splitlines()[-1] if parser.warnings else error
        raise CrystalError(
            _OVERFULL if "exceeded tolerance" in str(why) else f"unparseable: {_in_a_line(why)}"
        ) from None
    if len(structures) > 1:
        raise CrystalError(f"{len(structures)} structures in one CIF")
    if any(structures[0].site_properties.get("implicit_hydrogens", [])):
        raise CrystalError("hydrogen without coordinates")
    return _from_pymatgen(structures[0])


def _from_poscar(text: str) -> tuple[np.ndarray, Sites]:
    warnings.filterwarnings("error", message="Elements in POSCAR cannot be determined")  # it would guess H, He, Li …
    return _from_pymatgen(Poscar.from_str(text).structure)


def _from_pymatgen(structure) -> tuple[np.ndarray, Sites]:
    sites: Sites = []
    for site in structure:
        species: dict[str, float] = {}
        for one, occupancy in site.species.items():  # ions of an element in different states are one species here
            symbol = _symbol(one)
            species[symbol] = species.get(symbol, 0.0) + float(occupancy)
        sites.append((species, site.frac_coords))
    return np.array(structure.lattice.matrix), sites


def _symbol(one: Element | Species) -> str:
    if isinstance(one, DummySpecies):
        return str(one)
    return (one.element if isinstance(one, Species) else one).name  # D, whose `symbol` is H


def _crystal(key: str, lattice: np.ndarray, sites: Sites) -> Crystal:
    z, frac, occupancy = [], [], []
    for species, at in _merged(sites):
        present = {symbol: share for symbol, share in species.items() if share != 0}
        unknown = [symbol for symbol in present if symbol not in ATOMIC_NUMBER]
        if unknown:
            raise CrystalError(f"unknown element {unknown[0]!r}" + " (an isotope of H)" * (unknown[0] in ("D", "T")))
        total = sum(present.values())
        if total > 1 + OCCUPANCY_TOLERANCE:
            raise CrystalError(_OVERFULL)
        for symbol in sorted(present, key=ATOMIC_NUMBER.get):
            z.append(ATOMIC_NUMBER[symbol])
            frac.append(at)
            occupancy.append(present[symbol] / max(total, 1.0))
    coordinates = np.array(frac, dtype=np.float64).reshape(len(z), 3)
    if np.linalg.det(lattice) < 0:
        lattice, coordinates = -lattice, -coordinates
    return Crystal(key, lattice, np.array(z, np.int64), coordinates, np.array(occupancy, np.float64))


def _merged(sites: Sites) -> Sites:
    """Sites with species that are listed apart, at equal coordinates, as one; full atoms stay apart, for the check."""
    if all(sum(species.values()) >= FULL for species, _ in sites):
        return sites
    by_place: dict[tuple, tuple[dict[str, float], Iterable[float]]] = {}
    for i, (species, at) in enumerate(sites):
        place = tuple(np.round(np.asarray(at, dtype=np.float64) % 1.0, 6) % 1.0)
        if sum(species.values()) >= FULL:
            by_place[(i,)] = species, at
            continue
        there, where = by_place.get(place, ({}, at))
        by_place[place] = {s: there.get(s, 0.0) + species.get(s, 0.0) for s in {**there, **species}}, where
    return list(by_place.values())


def _in_a_line(message: object) -> str:
    text = " ".join(str(message).split()) or type(message).__name__
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
