"""Geometry features of crystals equal matminer's, and don't depend on how the crystal is written down."""

import os
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matminer.featurizers.structure import (
    ChemicalOrdering,
    DensityFeatures,
    GlobalSymmetryFeatures,
    MaximumPackingEfficiency,
    RadialDistributionFunction,
    SiteStatsFingerprint,
    StructuralHeterogeneity,
)
from pymatgen.core import Lattice, Structure, SymmOp

from matlas.crystals import symmetry
from matlas.crystals.structure import Crystal, Crystals
from matlas.errors import ConfigError, DataError
from matlas.features.crystal import (
    SYMMETRY_COLUMNS,
    SYSTEM_NUMBER,
    crystal_features,
    geometry_batches,
    geometry_fields,
    within_failure_share,
)
from matlas.features.elements import ElementTable, load_element_table

SPEC = {
    "kind": "crystal", "features": "geometry", "table": "magpie", "cutoff": 10.0, "bin_size": 0.5,
    "seconds_per_crystal": 10.0, "max_failure_share": 0.01,
}  # fmt: skip
PEERS = [
    DensityFeatures(), RadialDistributionFunction(cutoff=10.0, bin_size=0.5), StructuralHeterogeneity(),
    ChemicalOrdering(shells=(1, 2, 3)), MaximumPackingEfficiency(),
    SiteStatsFingerprint.from_preset("CoordinationNumber_ward-prb-2017"),
    SiteStatsFingerprint.from_preset("LocalPropertyDifference_ward-prb-2017"),
]  # fmt: skip
RDF = slice(3, 23)
PROTOTYPES = {
    "rock salt": Structure.from_spacegroup(225, Lattice.cubic(5.6402), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
    "zinc blende": Structure.from_spacegroup(216, Lattice.cubic(5.4093), ["Zn", "S"], [[0, 0, 0], [0.25] * 3]),
    "diamond": Structure.from_spacegroup(227, Lattice.cubic(5.4309), ["Si"], [[0, 0, 0]]),
    "perovskite": Structure.from_spacegroup(
        221, Lattice.cubic(3.9051), ["Sr", "Ti", "O"], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]
    ),
    "hcp": Structure.from_spacegroup(194, Lattice.hexagonal(3.2094, 5.2108), ["Mg"], [[1 / 3, 2 / 3, 0.25]]),
    "wurtzite": Structure.from_spacegroup(
        186, Lattice.hexagonal(3.2495, 5.2069), ["Zn", "O"], [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.3825]]
    ),
    "rutile": Structure.from_spacegroup(
        136, Lattice.tetragonal(4.5937, 2.9587), ["Ti", "O"], [[0, 0, 0], [0.3053, 0.3053, 0]]
    ),
    "triclinic": Structure(
        Lattice.from_parameters(4.137, 5.312, 6.725, 77.1, 83.3, 68.2), ["Cu", "Fe", "S", "O", "O"],
        [[0.02, 0.11, 0.07], [0.47, 0.63, 0.21], [0.81, 0.29, 0.66], [0.35, 0.12, 0.58], [0.75, 0.81, 0.33]],
    ),
    "one atom": Structure(Lattice.cubic(2.8665).get_niggli_reduced_lattice(), ["Fe"], [[0.1, 0.2, 0.3]]),
}  # fmt: skip
MIRROR = os.environ.get("MATLAS_MIRROR")
N_REAL, CHUNKS = 200, 4


@pytest.fixture(scope="module")
def table():
    return load_element_table("magpie")


def crystal_of(s, key="one"):
    return Crystal(key, s.lattice.matrix, np.array(s.atomic_numbers), s.frac_coords, np.ones(len(s)))


def crystals_of(structures, occupancy=1.0):
    indptr = np.cumsum([0, *(len(s) for s in structures)])
    return Crystals(
        np.array(list("abcdefgh")[: len(structures)], dtype=object), np.array([s.lattice.matrix for s in structures]),
        indptr, np.concatenate([s.atomic_numbers for s in structures]),
        np.concatenate([s.frac_coords for s in structures]), np.full(indptr[-1], occupancy),
    )  # fmt: skip


def features(s, table):
    return crystal_features(crystal_of(s), table, cutoff=10.0, bin_size=0.5)


def peer(s):
    """matminer's values, its radial distribution function for one site of the cell."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values = np.concatenate([np.asarray(f.featurize(s), dtype=float) for f in PEERS])
    values[RDF] /= len(s)
    return values


def symmetry_of(keys, **columns):
    values = {c: 1.0 for c in SYMMETRY_COLUMNS} | {"crystal_system": "cubic", "centrosymmetric": True} | columns
    return pd.DataFrame(values, index=list(keys))


@pytest.mark.parametrize("name", PROTOTYPES)
def test_features_of_structure_types_equal_matminers(name, table):
    expected = peer(PROTOTYPES[name])
    np.testing.assert_allclose(features(PROTOTYPES[name], table)[: len(expected)], expected, rtol=1e-9, atol=1e-9)


@pytest.fixture(scope="module")
def real():
    """Crystals of at most 10 sites, so that matminer is done in time; sites in the cell, as pymatgen's tessellation of
    all sites at once takes one outside for two."""
    files = sorted(Path(MIRROR, "materials-project").glob("*.csv.gz"))
    cifs = pd.concat([pd.read_csv(f, usecols=["material_id", "cif"]) for f in files]).drop_duplicates("material_id")
    few = cifs["cif"][cifs["cif"].str.count(r"\n  [A-Z][a-z]?  [A-Z]") <= 10]
    chosen = few.iloc[np.sort(np.random.default_rng(7).choice(len(few), N_REAL, replace=False))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        structures = [Structure.from_str(cif, fmt="cif") for cif in chosen]
    return [Structure(s.lattice, s.species, s.frac_coords % 1.0 % 1.0) for s in structures]


@pytest.mark.skipif(not MIRROR, reason="needs the mirror of real sources (MATLAS_MIRROR)")
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_features_of_real_crystals_equal_matminers(chunk, real, table):
    compared = 0
    for s in real[chunk::CHUNKS]:
        try:
            expected, found = peer(s), features(s, table)
        except RuntimeError as error:  # what is empty for 13 Å is open to pymatgen
            assert "infinite vertex" in str(error)
            continue
        compared += 1
        found = found[: len(expected)]
        near = np.concatenate([[pair[1] for pair in site] for site in s.get_all_neighbors(10.0 + 1e-4)])
        on_an_edge = np.abs(near / 0.5 - np.rint(near / 0.5)) < 4e-6  # rounding decides in which bin matminer counts
        if on_an_edge.any():
            found, expected = np.delete(found, RDF), np.delete(expected, RDF)
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-8, err_msg=s.formula)
    assert compared >= 48


@pytest.mark.skipif(not MIRROR, reason="needs the mirror of real sources (MATLAS_MIRROR)")
def test_the_symmetry_of_real_crystals_is_that_of_matminer(real):
    theirs = GlobalSymmetryFeatures(["spacegroup_num", "crystal_system", "is_centrosymmetric"])  # by 0.01 Å, too
    for s in real:
        ours = symmetry.symmetry_of(crystal_of(s), 0.01)
        found = [ours[name] for name in ("space_group_number", "crystal_system", "centrosymmetric")]
        assert found == theirs.featurize(s), s.formula


def test_labels_are_those_of_matminers_equal_features(table):
    labels = [f.label for f in geometry_fields(SPEC, table)]
    expected = [label for p in PEERS for label in p.feature_labels()]
    expected[RDF] = [""] * 20  # matminer's are not those of one site
    assert labels[: len(expected)] == expected
    assert GlobalSymmetryFeatures.crystal_idx == SYSTEM_NUMBER
    assert "crystal_system_int" in labels


def test_bond_statistics_are_those_of_the_known_bonds(table):
    names = [f.name for f in geometry_fields(SPEC, table)]
    statistics = ("mean", "minimum", "maximum", "std_dev")
    start = names.index("mean_nearest_distance")
    assert names[start : start + 8] == [f"{s}_{b}" for b in ("nearest_distance", "bond_length") for s in statistics]
    half = 5.6402 / 2
    found = features(PROTOTYPES["rock salt"], table)[start:]
    np.testing.assert_allclose(found, [half, half, half, 0, half, half, half, 0], atol=1e-12)
    # caesium chloride: 8 hexagons at a √3/2 and 6 squares at a, with areas as 3√3/16 to 1/8
    bcc = Structure(Lattice.cubic(4.0), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    hexagons, squares = 8 * 3 * np.sqrt(3) / 16, 6 / 8
    length = (hexagons * 2 * np.sqrt(3) + squares * 4) / (hexagons + squares)
    np.testing.assert_allclose(features(bcc, table)[start:], [2 * np.sqrt(3)] * 3 + [0] + [length] * 3 + [0], atol=1e-9)


def test_a_field_describes_each_column_with_its_unit_and_range(table):
    crystals = crystals_of(list(PROTOTYPES.values())[:8])
    frame, failures = geometry_batches(crystals, symmetry_of(crystals.keys), SPEC, table, key="id")
    fields = geometry_fields(SPEC, table)
    assert failures.empty and list(failures.columns) == ["id", "reason"]
    assert list(frame.columns) == ["id", *(f.name for f in fields)] and frame.columns.is_unique
    assert frame["id"].tolist() == list(crystals.keys)
    for f in fields:
        assert f.dtype == "float64" and f.unit and f.description
        assert frame[f.name].min() >= f.minimum - 1e-12
        assert f.maximum is None or frame[f.name].max() <= f.maximum
    units = {f.name: f.unit for f in fields}
    assert units["mean_local_difference_in_melting_t"] == "K" and units["standard_alpha"] == "°"


# how a crystal is written down


def _rotated(s, rng):
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    return Structure(s.lattice.matrix @ rotation, s.species, s.frac_coords)


def _shifted(s, rng):
    return Structure(s.lattice, s.species, s.frac_coords + rng.uniform(-2, 2, 3))


def _permuted(s, rng):
    order = rng.permutation(len(s))
    return Structure(s.lattice, [s.species[i] for i in order], s.frac_coords[order])


def _skewed(s, rng):
    skew = np.array([[1, 3, -2], [0, 1, 4], [0, 0, 1]])
    return Structure(skew @ s.lattice.matrix, s.species, s.frac_coords @ np.linalg.inv(skew))


def _niggli(s, rng):
    return s.get_reduced_structure("niggli")


def _doubled(s, rng):
    return s.make_supercell([2, 2, 2], in_place=False)


@pytest.mark.parametrize("name", PROTOTYPES)
@pytest.mark.parametrize("written", [_rotated, _shifted, _permuted, _skewed, _niggli, _doubled])
def test_features_do_not_depend_on_how_a_crystal_is_written_down(written, name, table):
    s = PROTOTYPES[name]
    found = features(written(s, np.random.default_rng(3)), table)
    np.testing.assert_allclose(found, features(s, table), rtol=1e-6, atol=1e-7)


def test_distances_on_the_edge_of_a_bin_are_counted_above_it_however_they_are_rounded(table):
    edge = Structure.from_spacegroup(221, Lattice.cubic(2.0), ["Po"], [[0, 0, 0]])  # all distances 2 √n
    for seed in range(5):
        rotated = _rotated(edge, np.random.default_rng(seed))
        rdf = features(rotated, table)[RDF]
        shell = 4 / 3 * np.pi * (2.5**3 - 2.0**3)
        np.testing.assert_allclose(rdf[3:5], [0, 6 * 8.0 / shell])  # of the 6 neighbours at 2 Å, none below
        last = sum(1 for x in np.ndindex(11, 11, 11) if 9.5 <= 2 * np.linalg.norm(np.array(x) - 5) <= 10)
        np.testing.assert_allclose(rdf[-1], last * 8.0 / (4 / 3 * np.pi * (10**3 - 9.5**3)))


def test_features_of_tessellations_do_not_jump_when_corners_split(table):
    rng = np.random.default_rng(5)
    for name in ("rock salt", "diamond", "perovskite", "hcp"):
        s = PROTOTYPES[name]
        shaken = Structure(s.lattice, s.species, s.frac_coords + rng.normal(scale=1e-6, size=(len(s), 3)))
        np.testing.assert_allclose(features(shaken, table), features(s, table), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", PROTOTYPES)
def test_the_spread_over_equal_sites_is_nothing_and_no_rounding(name, table):
    names = [f.name for f in geometry_fields(SPEC, table)]
    turned = PROTOTYPES[name].copy()
    turned.apply_operation(SymmOp.from_axis_angle_and_translation([1, 2, 3], 37.0))
    row = dict(zip(names, features(turned, table), strict=False))
    spreads = {n: v for n, v in row.items() if n.startswith(("range_", "avg_dev_", "std_"))}
    assert len(spreads) > 40
    assert {n: v for n, v in spreads.items() if 0 < abs(v) < 1e-9} == {}


def test_a_crystal_of_one_element_is_not_ordered(table):
    names = [f.name for f in geometry_fields(SPEC, table)]
    row = dict(zip(names, features(PROTOTYPES["hcp"], table), strict=False))
    assert [row[f"mean_ordering_parameter_shell_{shell}"] for shell in (1, 2, 3)] == [0, 0, 0]
    assert row["mean_local_difference_in_electronegativity"] == 0


def test_an_element_without_atomic_radius_is_as_large_as_its_covalent_radius(table):
    xenon = Structure.from_spacegroup(225, Lattice.cubic(6.2), ["Xe"], [[0, 0, 0]])
    assert xenon[0].specie.atomic_radius is None
    found = features(xenon, table)[2]
    assert found == pytest.approx(4 * 4 / 3 * np.pi * 1.40**3 / 6.2**3)  # Cordero et al. 2008: 140 pm


# crystals and views that can't be


def test_crystals_without_geometry_are_left_out_with_the_reason(table):
    s, twice = PROTOTYPES["triclinic"], PROTOTYPES["triclinic"].copy()
    twice.append("O", s.frac_coords[-1])
    crystals = crystals_of([s, s, twice, s])
    crystals.occupancy[6] = 0.5
    frame, failures = geometry_batches(crystals, symmetry_of("abcd"), SPEC, table)
    assert frame["material_id"].tolist() == ["a", "d"]
    np.testing.assert_array_equal(frame.iloc[0, 1:].to_numpy(float), frame.iloc[1, 1:].to_numpy(float))
    assert failures["material_id"].tolist() == ["b", "c"]
    assert failures["reason"].tolist() == [
        "partly occupied sites have no geometry", "the Voronoi cells don't fill the crystal",
    ]  # fmt: skip


def test_crystals_that_take_too_long_are_left_out_with_the_reason(table):
    crystals = crystals_of([PROTOTYPES["rutile"], PROTOTYPES["hcp"]])
    frame, failures = geometry_batches(crystals, symmetry_of("ab"), SPEC | {"seconds_per_crystal": 1e-6}, table)
    assert frame.empty and list(frame.columns)[1:] == [f.name for f in geometry_fields(SPEC, table)]
    assert failures["reason"].tolist() == ["took longer than 1e-06 s"] * 2


def test_any_other_error_ends_the_run(table):
    crystals = crystals_of([PROTOTYPES["hcp"]])
    crystals.z[:] = 200
    with pytest.raises(IndexError):
        geometry_batches(crystals, symmetry_of("a"), SPEC, table)


def test_symmetry_is_passed_on_as_numbers(table):
    crystals = crystals_of([PROTOTYPES["rutile"], PROTOTYPES["hcp"]])
    columns = {
        "crystal_system": ["hexagonal", "tetragonal"], "centrosymmetric": [False, True], "standard_a": [3.0, 4.0],
        "standard_b": [3.0, 6.0], "standard_c": [4.5, 10.0], "space_group_number": [194, 136], "n_orbits": [1, 2],
    }  # fmt: skip
    frame, _ = geometry_batches(crystals, symmetry_of("ba", **columns), SPEC, table)  # in another order
    assert frame["crystal_system_int"].tolist() == [4.0, 2.0]
    assert frame["centrosymmetric"].tolist() == [1.0, 0.0]
    assert frame["space_group_number"].tolist() == [136.0, 194.0]
    assert frame["n_orbits"].tolist() == [2.0, 1.0]
    assert frame["standard_b_over_a"].tolist() == [1.5, 1.0]
    assert frame["standard_c_over_a"].tolist() == [2.5, 1.5]


def test_a_crystal_without_symmetry_is_an_error(table):
    crystals = crystals_of([PROTOTYPES["rutile"], PROTOTYPES["hcp"]])
    with pytest.raises(DataError, match="1 crystals have no symmetry: found b"):
        geometry_batches(crystals, symmetry_of("a"), SPEC, table)


def test_more_failures_than_allowed_are_an_error(caplog):
    failures = pd.DataFrame({"material_id": ["mp-1", "mp-2"], "reason": ["too slow", "disordered"]})
    within_failure_share(failures, 200, 0.01, "geometry")
    with pytest.raises(DataError, match="at most 1.0% of 199 crystals left out, that is 1, found 2: mp-1: too slow"):
        within_failure_share(failures, 199, 0.01, "geometry")
    assert "left out mp-2: disordered" in caplog.text


def test_a_view_of_another_table_or_of_broken_bins_is_refused(table):
    with pytest.raises(ConfigError, match="wrong element table"):
        geometry_fields(SPEC, ElementTable("deml", table.properties, table.values))
    with pytest.raises(ConfigError, match="no multiple"):
        geometry_fields(SPEC | {"cutoff": 9.7}, table)
    assert (
        len(geometry_fields(SPEC | {"cutoff": 6.0, "bin_size": 0.1}, table)) == len(geometry_fields(SPEC, table)) + 40
    )
