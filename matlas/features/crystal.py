"""Geometry features of crystals: density, radial distribution, Voronoi neighbourhoods (Ward et al. 2017), symmetry.

The values are those of matminer 0.10.1, from one list of neighbours and one tessellation a crystal, without matminer.
What differs: the radial distribution function is that of one site (matminer's grows with the number of sites of the
cell); an element without atomic radius, at which matminer fails, is given its covalent radius; and the tessellation is
that of the infinite crystal also where matminer's, of the atoms up to 13 Å away, is not.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from pymatgen.core import Element
from scipy.constants import atomic_mass
from scipy.spatial import QhullError

from matlas.composition import SYMBOLS
from matlas.crystals.descriptors import (
    EDGE_TOLERANCE,
    beyond_rounding,
    bond_length_variation,
    bond_lengths,
    effective_coordination,
    local_differences,
    mean_deviation,
    nearest_distances,
    ordering,
    packing_efficiency,
    radial_distribution,
)
from matlas.crystals.limits import TimeLimitExceeded, time_limit
from matlas.crystals.neighbours import neighbours_within, reduced_cell
from matlas.crystals.order import SHELLS
from matlas.crystals.structure import Crystal, Crystals
from matlas.crystals.voronoi import GeometryError, tessellate
from matlas.errors import ConfigError, DataError
from matlas.features.elements import ElementTable, snake_case
from matlas.threads import Progress
from schemas.fields import FIELDS
from schemas.table import Field

log = logging.getLogger(__name__)

# matminer's GlobalSymmetryFeatures
SYSTEM_NUMBER = {
    "cubic": 1, "hexagonal": 2, "trigonal": 3, "tetragonal": 4, "orthorhombic": 5, "monoclinic": 6, "triclinic": 7,
}  # fmt: skip
_PASSED_ON = (
    "space_group_number", "centrosymmetric", "point_group_order", "standard_a", "standard_b", "standard_c",
    "standard_alpha", "standard_beta", "standard_gamma", "n_sites_primitive", "n_orbits",
)  # fmt: skip
SYMMETRY_COLUMNS = ("crystal_system", *_PASSED_ON)  # of a clean dataset: what `geometry_batches` needs

_WARD = "Ward et al. 2017, 10.1103/PhysRevB.96.024104"
_OVER_SITES = {
    "minimum": "smallest value among the sites",
    "maximum": "largest value among the sites",
    "range": "largest minus smallest value among the sites",
    "mean": "mean over the sites",
    "avg_dev": "mean absolute deviation over the sites",
}
# ours: no peer has them in Å
_BONDS = {
    "nearest_distance": "Distance of a site to the nearest other",
    "bond_length": "Mean distance of a site to its Voronoi neighbours, weighted by the area of the face",
}
_OVER_BONDS = {s: _OVER_SITES[s] for s in ("mean", "minimum", "maximum")} | {
    "std_dev": "standard deviation over the sites"
}
_G_PER_CM3 = atomic_mass * 1e3 * 1e24  # of 1 u/Å³
SHOWN_FAILURES = 10


def geometry_fields(spec: Mapping, table: ElementTable) -> tuple[Field, ...]:
    """The columns of the view, in order: first those that `crystal_features` returns, then symmetry.

    spec : a schemas.config.views.GeometryView as plain values; table : the element table that it names. A label is that
    of the equal feature of matminer. Raises ConfigError for a cutoff that is no multiple of the bins, or a table other
    than the one the spec names.
    """
    if table.name != spec["table"]:
        raise ConfigError("wrong element table for the view", expected=repr(spec["table"]), found=repr(table.name))
    shells = _radial_fields(_edges(spec["cutoff"], spec["bin_size"]))
    return (*_density_fields(), *shells, *_voronoi_fields(table), *_bond_fields(), *_symmetry_fields())


def crystal_features(crystal: Crystal, table: ElementTable, *, cutoff: float, bin_size: float) -> np.ndarray:
    """(q,) float64 features of an ordered crystal, in the order of `geometry_fields` up to the symmetry.

    cutoff, bin_size : Å, of the radial distribution function. Raises GeometryError for a crystal with partly occupied
    sites, and as `tessellate` does.
    """
    if crystal.disordered:
        raise GeometryError("partly occupied sites have no geometry", where=crystal.key)
    edges = _edges(cutoff, bin_size)
    lattice, frac = reduced_cell(crystal.lattice, crystal.frac)
    near = neighbours_within(lattice, frac, edges[-1] + EDGE_TOLERANCE)
    t = tessellate(lattice, frac, near, edges[-1])
    lengths, nearest = bond_lengths(t), nearest_distances(t)
    relative = lengths / lengths.mean()
    return np.concatenate(
        [
            _density(crystal, table),
            radial_distribution(near.distance, len(frac), crystal.volume, edges),
            [mean_deviation(relative), relative.max(), relative.min()],
            _over_sites(bond_length_variation(t)),
            [mean_deviation(t.volume) / t.volume.mean()],
            ordering(t, crystal.z),
            [packing_efficiency(t)],
            _over_sites(effective_coordination(t)),
            _over_sites(local_differences(t, crystal.z, table.values)),
            *([v.mean(), v.min(), v.max(), beyond_rounding(v.std(), v)] for v in (nearest, lengths)),
        ]
    )


def geometry_batches(
    crystals: Crystals, symmetry: pd.DataFrame, spec: Mapping, table: ElementTable, *, key: str = "material_id"
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The view of all crystals: the key and the columns of `geometry_fields`; and those left out: the key and `reason`.

    symmetry : SYMMETRY_COLUMNS, indexed by the key. Left out are crystals that are disordered, that take longer than
    spec["seconds_per_crystal"], or whose tessellation fails; any other error ends it. Runs in the main thread only.
    Raises DataError for a crystal without symmetry, and as `geometry_fields` does.
    """
    names = [f.name for f in geometry_fields(spec, table)]
    keys, rows, reasons = [], [], {}
    progress = Progress("crystals described", len(crystals), verb="")
    for done, crystal in enumerate(crystals, 1):
        try:
            with time_limit(spec["seconds_per_crystal"]):
                row = crystal_features(crystal, table, cutoff=spec["cutoff"], bin_size=spec["bin_size"])
        except GeometryError as error:
            reasons[crystal.key] = error.what
        except TimeLimitExceeded as error:
            reasons[crystal.key] = str(error)
        except QhullError as error:
            reasons[crystal.key] = f"no tessellation: {str(error).splitlines()[0]}"
        else:
            keys.append(crystal.key)
            rows.append(row)
        progress.reached(done)
    progress.finished(f", {len(reasons)} left out")
    of_symmetry = _symmetry(symmetry, keys)
    computed = np.array(rows).reshape(len(rows), len(names) - of_symmetry.shape[1])
    features = pd.DataFrame(np.column_stack([computed, of_symmetry]), columns=names)
    features.insert(0, key, np.array(keys, dtype=object))
    failures = pd.DataFrame({key: list(reasons), "reason": list(reasons.values())}, dtype=object)
    return features, failures


def within_failure_share(failures: pd.DataFrame, total: int, allowed: float, name: str) -> None:
    """Raise DataError when more than the share `allowed` of `total` crystals of view `name` is left out; the log then
    lists every one. failures : as `geometry_batches` returns it."""
    if len(failures) <= allowed * total:
        return
    for crystal, reason in failures.itertuples(index=False):
        log.error("left out %s: %s", crystal, reason)
    shown = [f"{crystal}: {reason}" for crystal, reason in failures.head(SHOWN_FAILURES).itertuples(index=False)]
    raise DataError(
        "too many crystals without geometry", where=f"view {name}",
        expected=f"at most {allowed:.1%} of {total} crystals left out, that is {int(allowed * total)}",
        found=f"{len(failures)}: {'; '.join(shown)}{'; …' if len(failures) > SHOWN_FAILURES else ''}",
        do="mend the dataset, or raise max_failure_share of the view; the log lists them all",
    )  # fmt: skip


def _density(crystal: Crystal, table: ElementTable) -> list[float]:
    elements = [Element(SYMBOLS[z]) for z in crystal.z]
    mass = sum(float(e.atomic_mass) for e in elements)
    covalent = [p.label for p in table.properties].index("CovalentRadius")
    radius = np.array(
        [
            float(e.atomic_radius) if e.atomic_radius else table.values[z, covalent] / 100  # from pm
            for e, z in zip(elements, crystal.z, strict=True)
        ]
    )
    volume = crystal.volume
    return [mass / volume * _G_PER_CM3, volume / len(elements), 4 / 3 * np.pi * (radius**3).sum() / volume]


def _over_sites(values: np.ndarray) -> np.ndarray:
    """The statistics _OVER_SITES of values (n,) or (n, p), those of each column together."""
    low, high = values.min(axis=0), values.max(axis=0)
    return np.stack(
        [low, high, beyond_rounding(high - low, values), values.mean(axis=0), mean_deviation(values)], axis=-1
    ).ravel()


def _edges(cutoff: float, bin_size: float) -> np.ndarray:
    bins = round(cutoff / bin_size)
    if bins < 1 or not np.isclose(bins * bin_size, cutoff, rtol=1e-9):
        raise ConfigError("the cutoff is no multiple of the bins", expected=f"a multiple of {bin_size}", found=cutoff)
    return np.arange(bins + 1) * bin_size


def _symmetry(symmetry: pd.DataFrame, keys: list) -> np.ndarray:
    unknown = [k for k in keys if k not in symmetry.index]
    if unknown:
        shown = ", ".join(map(str, unknown[:SHOWN_FAILURES]))
        raise DataError(f"{len(unknown)} crystals have no symmetry", found=shown)
    known = symmetry.loc[keys]
    columns = [known[name] for name in _PASSED_ON]
    columns += [known["crystal_system"].map(SYSTEM_NUMBER)]
    columns += [known[f"standard_{axis}"] / known["standard_a"] for axis in "bc"]
    return np.column_stack([column.to_numpy(dtype=np.float64) for column in columns])


def _density_fields() -> tuple[Field, ...]:
    return (
        Field("density", "float64", "g/cm³", "Mass density", minimum=0.0, label="density"),
        Field("vpa", "float64", "Å³/atom", "Volume per atom", minimum=0.0, label="vpa"),
        Field(
            "packing_fraction", "float64", "1", "Volume of spheres of atomic radius (pymatgen's; covalent radius where "
            "it has none) over that of the cell", minimum=0.0, label="packing fraction",
        ),
    )  # fmt: skip


def _radial_fields(edges: np.ndarray) -> list[Field]:
    return [
        Field(
            snake_case(f"rdf {low:g} to {high:g}"), "float64", "1", f"Radial distribution function from {low:g} to "
            f"{high:g} Å: number density of atoms around an atom, over that of the crystal", minimum=0.0,
        )
        for low, high in zip(edges[:-1], edges[1:], strict=True)
    ]  # fmt: skip


def _voronoi_fields(table: ElementTable) -> list[Field]:
    length = "mean distance to the Voronoi neighbours, weighted by area of the face and relative to its mean over all"
    labels = {
        "mean absolute deviation in relative bond length": f"Mean absolute deviation over the sites of the {length}",
        "max relative bond length": f"Largest value among the sites of the {length}",
        "min relative bond length": f"Smallest value among the sites of the {length}",
        **{
            f"{statistic} neighbor distance variation": "Mean absolute deviation of the distances of a site to its "
            f"Voronoi neighbours over their mean, weighted by the area of the face: {words}"
            for statistic, words in _OVER_SITES.items()
        },
        "mean absolute deviation in relative cell size": "Mean absolute deviation of the volume of the Voronoi cells "
        "over their mean",
        **{
            f"mean ordering parameter shell {shell}": f"How far the elements {shell} steps over Voronoi faces away are "
            "from a random arrangement: absolute Warren-Cowley parameter, mean over sites and elements"
            for shell in SHELLS
        },
        "max packing efficiency": "Share of the volume in the largest spheres that stay in their Voronoi cells",
        **{
            f"{statistic} CN_VoronoiNN": f"Effective coordination number (ΣA)²/ΣA² of the Voronoi faces: {words}"
            for statistic, words in _OVER_SITES.items()
        },
    }
    fields = [
        Field(snake_case(label), "float64", "1", words, citation=_WARD, minimum=0.0, label=label)
        for label, words in labels.items()
    ]
    for column, prop in enumerate(table.properties):
        missing = bool(np.isnan(table.values[1:, column]).any())
        for statistic, words in _OVER_SITES.items():
            label = f"{statistic} local difference in {prop.label}"
            fields.append(
                Field(
                    snake_case(label), "float64", prop.unit, "Mean absolute difference between a site and its Voronoi "
                    f"neighbours in {prop.description}, weighted by the area of the face: {words}",
                    citation=f"{_WARD}; {prop.citation}", minimum=0.0, nullable=missing, label=label,
                )
            )  # fmt: skip
    return fields


def _bond_fields() -> list[Field]:
    return [
        Field(f"{statistic}_{name}", "float64", "Å", f"{bond}: {words}", citation="matlas's own", minimum=0.0)
        for name, bond in _BONDS.items()
        for statistic, words in _OVER_BONDS.items()
    ]


def _symmetry_fields() -> list[Field]:
    passed = {name: replace(FIELDS[name], dtype="float64") for name in _PASSED_ON if name != "centrosymmetric"}
    inversion = FIELDS["centrosymmetric"]
    passed["centrosymmetric"] = Field(
        inversion.name, "float64", "1", f"{inversion.description} (1) or does not (0)", minimum=0.0, maximum=1.0
    )
    system = "Crystal system: " + ", ".join(f"{number} {name}" for name, number in SYSTEM_NUMBER.items())
    ratios = [
        Field(f"standard_{axis}_over_a", "float64", "1", f"{axis}/a of the standardised cell", minimum=0.0)
        for axis in "bc"
    ]
    return [
        *(passed[name] for name in _PASSED_ON),
        Field("crystal_system_int", "float64", "1", system, minimum=1.0, maximum=7.0, label="crystal_system_int"),
        *ratios,
    ]
