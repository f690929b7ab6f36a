"""Sample crystals: the formats of the source, real structure types, and planted rules that can be found again."""

import gzip
import json
import os
import warnings

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Composition, Element, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from matlas.composition import ATOMIC_NUMBER, chemical_family, parse_formulas
from matlas.errors import ConfigError
from matlas.simulate.crystals import FAULTS, FILES, LEAST_ROWS, MOST_ROWS, crystals, planted_properties, write_crystals
from matlas.simulate.generators import generate
from matlas.simulate.prototypes import POOLS, PROTOTYPES, atom, geometries

ROWS, SEED = 400, 3
MP_20 = ("mp_20_biternary-val.csv.gz", "mp_20_biternary-test.csv.gz")
MPTS_52 = ("mpts_52-val.csv.gz", "mpts_52-test.csv.gz")
ELASTICITY = "mp-binary-pbe-elasticity-2025.1.json.gz"
needs_mirror = pytest.mark.skipif(
    not os.environ.get("MATLAS_MIRROR"), reason="needs the mirror of real sources (MATLAS_MIRROR)"
)


@pytest.fixture(scope="module")
def sample():
    return crystals(ROWS, SEED)


@pytest.fixture(scope="module")
def many():
    return crystals(2000, SEED)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crystals")
    for name in FILES:
        write_crystals(folder / name, rows=ROWS, seed=SEED)
    return folder


@pytest.fixture(scope="module")
def tables(folder) -> dict[str, pd.DataFrame]:
    return {name: pd.read_csv(folder / name, index_col=0, float_precision="round_trip") for name in MP_20 + MPTS_52}


@pytest.fixture(scope="module")
def moduli(folder) -> list[dict]:
    return json.loads(gzip.decompress((folder / ELASTICITY).read_bytes()))


def parsed(cif: str) -> Structure:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Structure.from_str(cif, "cif")


def names(formula: str) -> set[str]:
    return {element.symbol for element in Composition(formula)}


def test_every_file_has_the_columns_of_the_real_one(tables, moduli):
    for name in MP_20:
        assert ",".join(tables[name].columns) == (
            "material_id,formation_energy_per_atom,band_gap,pretty_formula,e_above_hull,elements,cif,spacegroup.number"
        )
    for name in MPTS_52:
        assert ",".join(tables[name].columns) == (
            "material_id,theoretical,energy_above_hull,formation_energy_per_atom,year,cif"
        )
    assert {tuple(record) for record in moduli} == {
        ("mp_id", "formula", "structure", "bulk_modulus_vrh", "shear_modulus_vrh")
    }


@needs_mirror
def test_columns_and_cifs_look_like_those_of_the_mirror(tables, moduli, mirror):
    """But for the structural lines: of a CIF all up to the formula, by its first words, in the real order."""
    for name, table in tables.items():
        real = pd.read_csv(mirror / "materials-project" / name, index_col=0, nrows=20)
        assert list(real.columns) == list(table.columns)
        head = [
            [line.split()[0] for line in cif.splitlines()[2:24]]
            for cif in (real["cif"].iloc[0], table["cif"][:1].item())
        ]
        assert head[0] == head[1]
    real = json.loads(gzip.decompress((mirror / "materials-project" / ELASTICITY).read_bytes()))[0]
    assert list(real) == list(moduli[0])
    assert real["structure"].keys() == moduli[0]["structure"].keys()
    assert real["structure"]["sites"][0].keys() == moduli[0]["structure"]["sites"][0].keys()


def test_cifs_parse_to_the_crystals_that_were_drawn(sample, tables):
    position = {key: i for i, key in enumerate(sample.truth["material_id"])}
    for table in tables.values():
        for key, cif in zip(table["material_id"], table["cif"], strict=True):
            if sample.truth.at[position[key], "fault"]:
                continue
            drawn, read = sample.structure(position[key]), parsed(cif)
            np.testing.assert_allclose(read.lattice.parameters, drawn.lattice.parameters, rtol=1e-6)
            apart = read.lattice.get_all_distances(
                read.frac_coords, drawn.frac_coords
            )  # ordered anew, thirds made exact
            same = apart.argmin(axis=1)
            assert sorted(same) == list(range(len(drawn))) and apart.min(axis=1).max() < 1e-3
            assert read.species == [drawn.species[site] for site in same]


def test_columns_of_mp_20_agree_with_its_cifs(sample, tables):
    fault = sample.truth.set_index("material_id")["fault"]
    for name in MP_20:
        for row in tables[name].rename(columns={"spacegroup.number": "spacegroup"}).itertuples():
            if fault[row.material_id]:
                continue
            structure = parsed(row.cif)
            assert structure.composition.reduced_formula == row.pretty_formula
            assert row.elements == str(sorted(names(row.pretty_formula)))
            assert SpacegroupAnalyzer(structure).get_space_group_number() == row.spacegroup
            assert len(structure) <= 20 and len(names(row.pretty_formula)) in (2, 3)


def test_moduli_are_of_binaries_whose_structures_pymatgen_reads(sample, moduli):
    truth = sample.truth.set_index("material_id")
    for record in moduli:
        structure = Structure.from_dict(record["structure"])
        assert structure.composition.reduced_formula == record["formula"] == truth.at[record["mp_id"], "formula"]
        assert len(names(record["formula"])) == 2
        assert 0 < record["shear_modulus_vrh"] < record["bulk_modulus_vrh"]


def test_every_prototype_keeps_the_spacegroup_of_its_label_when_strained():
    found = {}
    for name, prototype in PROTOTYPES.items():
        geometry, chosen = geometries()[name], []
        for role in prototype.chemistries[0].split():
            chosen.append(next(symbol for symbol in POOLS[role] if symbol not in chosen))
        radius = np.array([float(Element(symbol).atomic_radius) for symbol in chosen])
        lattice = geometry.lattice_for(radius, 1.0 if prototype.cubic else 1.03)
        structure = Structure(lattice, [chosen[role] for role in geometry.role], geometry.frac)
        found[name] = SpacegroupAnalyzer(structure).get_space_group_number()
    assert found == {name: int(prototype.label.split("_")[2]) for name, prototype in PROTOTYPES.items()}


def test_a_prototype_with_its_own_elements_has_nearly_its_own_volume():
    """Slater's radii reproduce the distances in the library, so that no prototype has been read wrongly."""
    for name, prototype in PROTOTYPES.items():
        geometry = geometries()[name]
        radius = np.array([float(element.atomic_radius) for element in Composition(prototype.compound)])
        scaled = np.linalg.det(geometry.lattice_for(radius)) / np.linalg.det(geometry.lattice)
        assert 0.7 < scaled < 1.9, name


def test_prototypes_cover_the_crystal_systems_and_cells_up_to_52_atoms():
    numbers = np.array([prototype.spacegroup for prototype in PROTOTYPES.values()])
    starts = [1, 3, 16, 75, 143, 168, 195]  # triclinic to cubic
    assert set(np.searchsorted(starts, numbers, side="right")) == set(range(1, 8))
    sizes = np.array([len(geometry.role) for geometry in geometries().values()])
    assert (sizes <= 20).sum() >= 40 and (sizes > 20).sum() >= 12 and 40 < sizes.max() <= 52


def test_a_chemistry_names_a_role_for_every_element_of_its_prototype():
    for prototype in PROTOTYPES.values():
        for chemistry in prototype.chemistries:
            assert len(chemistry.split()) == len(Composition(prototype.compound)), prototype.name
            assert set(chemistry.split()) <= set(POOLS)
    assert {symbol for pool in POOLS.values() for symbol in pool} <= set(ATOMIC_NUMBER)


def test_rock_salts_have_bonds_of_the_sum_of_the_radii(many):
    rows = many.truth.index[many.truth["prototype"] == "rock salt"]
    bonds = [
        (many.structure(i).volume * 4) ** (1 / 3)
        / 2
        / sum(float(Element(x).atomic_radius) for x in many.truth.at[i, "elements"])
        for i in rows
    ]
    assert len(bonds) > 20 and abs(np.mean(bonds) - 1) < 0.01 and 0.003 < np.std(bonds) < 0.02


def test_the_tightest_contact_of_first_neighbours_is_the_sum_of_the_radii_but_for_strain(sample):
    """Neighbours found by pymatgen: none nearest is closer, and one of the first shell is no farther."""
    nearest_of_all, tightest = [], []
    for i in range(0, ROWS, 3):
        structure = sample.structure(i)
        start, end, _, distance = structure.get_neighbor_list(6.0)
        radius = np.array([float(site.specie.atomic_radius) for site in structure])
        nearest = np.array([distance[start == site].min() for site in range(len(structure))])
        ratio = distance / (radius[start] + radius[end])
        nearest_of_all.append(ratio[distance <= 1.001 * nearest[start]].min())
        tightest.append(ratio[distance <= 1.15 * nearest[start]].min())
    assert min(nearest_of_all) > 0.95 and max(tightest) < 1.05
    assert abs(np.median(tightest) - 1) < 0.01


def test_equal_seeds_give_equal_bytes_and_other_seeds_other_crystals(folder, tmp_path):
    for name in FILES:
        write_crystals(tmp_path / name, rows=ROWS, seed=SEED)
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    assert set(crystals(ROWS, SEED + 1).truth["material_id"]).isdisjoint(crystals(ROWS, SEED).truth["material_id"][:5])


def test_the_gzip_header_names_neither_time_nor_file(folder):
    for name in FILES:
        header = (folder / name).read_bytes()[:10]
        assert header[3] == 0 and header[4:8] == bytes(4)


def test_files_share_some_ids_and_halves_share_none(tables, moduli):
    val, test, early, late = (set(tables[name]["material_id"]) for name in MP_20 + MPTS_52)
    elastic = {record["mp_id"] for record in moduli}
    assert val.isdisjoint(test) and early.isdisjoint(late)
    assert len(val | test) == len(early | late) == 180
    assert len((val | test) & (early | late)) == 16
    nowhere_else = elastic - val - test - early - late
    assert len(nowhere_else) == 56 and len(elastic) > 1.5 * len(nowhere_else)
    assert all(elastic & part for part in (val, test, early | late))


def test_a_crystal_in_two_files_is_the_same_in_both(tables, moduli):
    mp_20, mpts_52 = (pd.concat([tables[name] for name in part]).set_index("material_id") for part in (MP_20, MPTS_52))
    both = mp_20.index.intersection(mpts_52.index)
    assert (mp_20.loc[both, "cif"] == mpts_52.loc[both, "cif"]).all()
    energies = mpts_52.loc[both, "formation_energy_per_atom"].astype(float)
    np.testing.assert_array_equal(mp_20.loc[both, "formation_energy_per_atom"].astype(float), energies)
    np.testing.assert_array_equal(mp_20.loc[both, "e_above_hull"], mpts_52.loc[both, "energy_above_hull"])
    for record in moduli:
        if record["mp_id"] in mp_20.index:
            volume = parsed(mp_20.at[record["mp_id"], "cif"]).volume
            assert Structure.from_dict(record["structure"]).volume == pytest.approx(volume, rel=1e-6)


def test_the_formation_energy_of_rock_salt_is_the_one_computed_by_hand():
    """χ 0.93 and 3.16, r 1.8 and 1.0 Å: σ(χ) = 1.115, σ(r)/mean = 0.4/1.4; rock salt gives -0.10."""
    nacl = planted_properties("NaCl", "rock salt", 22.0)
    assert nacl.formation_energy_per_atom == pytest.approx(-0.1 - 2 * 1.115**2 + 0.5 * (0.4 / 1.4) ** 2 - 0.10)
    assert nacl.band_gap == pytest.approx(7 * (1.115 - 0.65))
    assert nacl.bulk_modulus == pytest.approx(5 * 160.2 * 1 / 22)  # one bonding electron an atom
    assert nacl.shear_modulus == pytest.approx(0.38 * nacl.bulk_modulus)
    assert planted_properties("GaAs", "zincblende", 22.6).band_gap == 0.0


def test_published_formation_energies_follow_the_rule_within_the_noise(many):
    """The rule in NumPy over element fractions, not as the module has it."""
    truth, rest = many.truth, []
    for row in truth.itertuples():
        x = {e: n / sum(Composition(row.formula).values()) for e, n in Composition(row.formula).items()}
        chi, r, w = (np.array(v) for v in ([e.X for e in x], [float(e.atomic_radius) for e in x], list(x.values())))
        energy = -0.1 - 2 * np.cov(chi, aweights=w, ddof=0) + 0.5 * np.cov(r, aweights=w, ddof=0) / (w @ r) ** 2
        rest.append(row.formation_energy_per_atom - energy - PROTOTYPES[row.prototype].energy)
    assert abs(np.mean(rest)) < 0.003 and 0.027 < np.std(rest) < 0.033


def test_geometry_tells_what_the_composition_does_not(many):
    """Without the structure type three times the noise is left over."""
    planted = pd.DataFrame(map(vars, _planted(many)))
    of_type = np.array([PROTOTYPES[name].energy for name in many.truth["prototype"]])
    by_composition = many.truth["formation_energy_per_atom"] - (planted["formation_energy_per_atom"] - of_type)
    assert by_composition.std() > 3 * 0.03


def _planted(sample):
    volume = np.abs(np.linalg.det(sample.lattice)) / sample.truth["n_atoms"]
    return map(planted_properties, sample.truth["formula"], sample.truth["prototype"], volume)


def test_moduli_follow_volume_and_bonding_electrons_within_the_noise(many):
    planted = pd.DataFrame(map(vars, _planted(many)))
    for column in ("bulk_modulus", "shear_modulus"):
        ratio = np.log(many.truth[column] / planted[column])
        assert abs(ratio.mean()) < 0.01 and 0.07 < ratio.std() < 0.09
    bonds = [np.mean([atom(e.symbol).bonds for e in many.structure(i).species]) for i in range(50)]
    volume = np.abs(np.linalg.det(many.lattice))[:50] / many.truth["n_atoms"][:50]
    np.testing.assert_allclose(planted["bulk_modulus"][:50], 801 * np.array(bonds) / volume, rtol=1e-6)


def test_about_seven_in_ten_are_metals_and_gaps_grow_with_polarity(many):
    gap, planted = many.truth["band_gap"], np.array([p.band_gap for p in _planted(many)])
    assert 0.65 < (gap == 0).mean() < 0.85
    assert (gap[planted == 0] == 0).all() and (gap >= 0).all()
    assert 0.15 < (gap - planted)[planted > 0.6].std() < 0.25


def test_energies_above_the_hull_are_small_in_mp_20_with_a_tail_in_mpts_52(many):
    mp_20 = many.truth.loc[many.truth["mp_20"] != "", "e_above_hull"]
    other = many.truth.loc[(many.truth["mpts_52"] != "") & (many.truth["mp_20"] == ""), "e_above_hull"]
    assert mp_20.min() == 0 and mp_20.max() <= 0.0800001 and other.min() == 0 and other.max() > 0.8
    assert 0.4 < (mp_20 == 0).mean() < 0.6 and 0.4 < (other == 0).mean() < 0.6


def test_polymorphs_share_a_formula_and_differ_by_the_energies_of_their_types(many):
    truth = many.truth.set_index("material_id")
    pairs = truth[truth["polymorph"] != ""]
    assert len(pairs) > 0.05 * len(truth)
    for key, row in pairs.iterrows():
        other = truth.loc[row["polymorph"]]
        assert other["polymorph"] == key and other["formula"] == row["formula"]
        assert other["prototype"] != row["prototype"]
        apart = PROTOTYPES[row["prototype"]].energy - PROTOTYPES[other["prototype"]].energy
        assert row["formation_energy_per_atom"] - other["formation_energy_per_atom"] == pytest.approx(apart)
        assert (
            row["e_above_hull"] == pytest.approx(max(0.0, apart))
            and min(row["e_above_hull"], other["e_above_hull"]) == 0
        )
    alone = truth.loc[truth["polymorph"] == "", "formula"]
    assert alone.is_unique and set(alone).isdisjoint(pairs["formula"])


def test_polymorph_pairs_stand_in_the_files_of_either_source(tables):
    mp_20 = pd.concat([tables[name] for name in MP_20])
    pairs = mp_20[mp_20.duplicated("pretty_formula", keep=False)].groupby("pretty_formula")
    assert len(pairs) >= 3
    for _, pair in pairs:
        assert len(pair) == 2 and pair["spacegroup.number"].nunique() == 2
        assert pair["e_above_hull"].min() == 0 < pair["e_above_hull"].max() <= 0.0800001


def test_mpts_52_is_split_by_year_and_has_the_larger_cells(tables, many):
    early, late = (tables[name]["year"] for name in MPTS_52)
    assert early.is_monotonic_increasing and late.is_monotonic_increasing and early.max() <= late.min()
    assert early.min() == 1990 and late.max() == 2013
    assert len(early) / (len(early) + len(late)) == pytest.approx(0.38, abs=0.01)
    sizes = many.truth["n_atoms"]
    assert (sizes[many.truth["mpts_52"] != ""] > 20).mean() > 0.35
    assert sizes[many.truth["mp_20"] != ""].max() == 20


def test_the_mix_of_prototypes_drifts_from_the_early_half_to_the_late(many):
    drift = many.truth["prototype"].map(lambda name: PROTOTYPES[name].drift)
    rising, falling = ((drift == sign).groupby(many.truth["mpts_52"]).mean() for sign in (1, -1))
    assert rising["test"] > 2 * rising["val"] and falling["val"] > 2 * falling["test"]


def test_every_family_of_crystals_is_there(many):
    assert set(many.truth["family"]) >= {
        "oxide", "chalcogenide", "halide", "pnictide", "carbide", "hydride", "boride", "tetrelide", "intermetallic"
    }  # fmt: skip
    assert list(many.truth["family"]) == chemical_family(parse_formulas(many.truth["formula"])[0])


def fault_of(row) -> str:
    """What is wrong with a row of a file, as pymatgen sees it."""
    try:
        float(row.formation_energy_per_atom)
    except ValueError:
        return "text as energy"
    try:
        structure = parsed(row.cif)
    except ValueError:
        return "unparseable CIF"
    if not all(isinstance(species, Element) for species in structure.composition):
        return "unknown element"
    if not structure.is_ordered:
        return "disordered"
    volume = structure.volume / len(structure)
    if not 3 < volume < 500:
        assert volume == pytest.approx(5 / 8 if volume < 3 else 1e4, rel=1e-6)
        return "5 Å³ per 8 atoms" if volume < 3 else "10000 Å³ per atom"
    if not structure.is_valid(0.5):
        distances = structure.distance_matrix[np.triu_indices(len(structure), 1)]
        assert distances.min() == pytest.approx(0.2, abs=1e-6)
        return "atoms 0.2 Å apart"
    return ""


def test_the_files_hold_the_planted_faults_and_no_others(sample, tables):
    truth = sample.truth.set_index("material_id")
    for table in tables.values():
        found = {row.material_id: fault_of(row) for row in table.itertuples()}
        assert found == truth.loc[list(found), "fault"].to_dict()
    faulty = truth[truth["fault"] != ""]
    assert sorted(faulty["fault"]) == sorted(FAULTS)
    assert ((faulty["mp_20"] != "") ^ (faulty["mpts_52"] != "")).all() and not faulty["elasticity"].any()
    assert (faulty.loc[faulty["fault"] == "disordered", "mp_20"] == "").all()


@pytest.mark.parametrize("rows, each", [(LEAST_ROWS, 1), (799, 1), (1200, 3)])
def test_each_fault_is_planted_once_in_400_rows_in_both_parts(rows, each):
    truth = crystals(rows, seed=1).truth
    assert truth["fault"][truth["fault"] != ""].value_counts().to_dict() == dict.fromkeys(FAULTS, each)
    parts = truth[(truth["fault"] != "") & (truth["fault"] != "disordered")]
    assert abs((parts["mp_20"] != "").sum() - len(parts) / 2) <= 0.5 * each


def test_the_ends_of_the_range_of_rows_can_be_drawn_and_what_is_beyond_is_refused():
    for rows in (LEAST_ROWS, MOST_ROWS):
        assert len(crystals(rows).truth) == rows
    for rows in (LEAST_ROWS - 1, MOST_ROWS + 1):
        with pytest.raises(ConfigError, match=f"expected {LEAST_ROWS} to {MOST_ROWS}, found {rows}"):
            crystals(rows)


def test_the_generator_is_found_by_name_and_refuses_an_unknown_file(folder, tmp_path):
    generate(generator="crystals", path=str(tmp_path / MP_20[0]), rows=ROWS, seed=SEED)
    assert (tmp_path / MP_20[0]).read_bytes() == (folder / MP_20[0]).read_bytes()
    with pytest.raises(ConfigError, match="mp_20_biternary-train.csv.gz"):
        write_crystals(tmp_path / "mp_20_biternary-train.csv.gz", rows=ROWS)
