"""Geometry features of crystals: matlas beside the matminer featurizers whose values it reproduces, in one process on
one machine, from a crystal in memory to its features.

With MATLAS_MIRROR the crystals are drawn from those of the Materials Project snapshot; otherwise they are synthetic, of
as many sites, and the rows say so.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from matminer.featurizers.structure import (
    ChemicalOrdering,
    DensityFeatures,
    MaximumPackingEfficiency,
    RadialDistributionFunction,
    SiteStatsFingerprint,
    StructuralHeterogeneity,
)
from pymatgen.core import Lattice, Structure

from bench.measure import compare
from matlas.crystals.structure import Crystal
from matlas.features.crystal import crystal_features
from matlas.features.elements import load_element_table

N_CRYSTALS = 40
_RDF = slice(3, 23)  # columns; matminer's are times the number of sites


def run(repeats: int = 3) -> list[dict]:
    """Rows of the comparison, as `bench.measure.compare` gives it."""
    structures, origin = _structures()
    table = load_element_table("magpie")
    crystals = [
        Crystal(str(i), s.lattice.matrix, np.array(s.atomic_numbers), s.frac_coords, np.ones(len(s)))
        for i, s in enumerate(structures)
    ]
    featurizers = [
        DensityFeatures(), RadialDistributionFunction(cutoff=10.0, bin_size=0.5), StructuralHeterogeneity(),
        ChemicalOrdering(shells=(1, 2, 3)), MaximumPackingEfficiency(),
        SiteStatsFingerprint.from_preset("CoordinationNumber_ward-prb-2017"),
        SiteStatsFingerprint.from_preset("LocalPropertyDifference_ward-prb-2017"),
    ]  # fmt: skip

    def ours():
        return np.array([crystal_features(c, table, cutoff=10.0, bin_size=0.5) for c in crystals])

    def matminer():
        return np.array([np.concatenate([f.featurize(s) for f in featurizers]) for s in structures], dtype=float)

    def agree(found: np.ndarray, expected: np.ndarray) -> None:
        expected = expected.copy()
        expected[:, _RDF] /= np.array([len(s) for s in structures])[:, None]
        np.testing.assert_allclose(found[:, : expected.shape[1]], expected, rtol=1e-7, atol=1e-7)

    sites = np.mean([len(s) for s in structures])
    title = f"Geometry of {len(structures)} crystals of {sites:.1f} sites ({origin}): beside matminer, one process"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return compare("crystal_geometry", title, ours, matminer, agree, repeats=repeats)


def _structures() -> tuple[list[Structure], str]:
    """With coordinates in [0, 1): pymatgen takes a site outside for two in its tessellation."""
    rng = np.random.default_rng(0)
    mirror = os.environ.get("MATLAS_MIRROR")
    if mirror:
        files = sorted(Path(mirror, "materials-project").glob("*.csv.gz"))
        cifs = pd.concat([pd.read_csv(f, usecols=["cif"])["cif"] for f in files], ignore_index=True)
        chosen = cifs.iloc[np.sort(rng.choice(len(cifs), N_CRYSTALS, replace=False))]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            structures = [Structure.from_str(cif, fmt="cif") for cif in chosen]
        origin = "Materials Project"
    else:
        structures = [_synthetic(rng, int(n)) for n in rng.integers(2, 24, N_CRYSTALS)]
        origin = "synthetic: MATLAS_MIRROR is not set"
    return [Structure(s.lattice, s.species, s.frac_coords % 1.0 % 1.0) for s in structures], origin


def _synthetic(rng: np.random.Generator, n: int) -> Structure:
    """n sites of a distorted grid, 16 Å³ each."""
    steps = int(np.ceil(n ** (1 / 3)))
    grid = np.stack(np.meshgrid(*[np.arange(steps)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    frac = (rng.permutation(grid)[:n] + rng.uniform(0.3, 0.7, (n, 3))) / steps
    lattice = Lattice(np.eye(3) + rng.uniform(-0.15, 0.15, (3, 3))).scale(16.0 * n)
    return Structure(lattice, rng.choice(["Na", "Mg", "Ti", "O", "S"], n).tolist(), frac)
