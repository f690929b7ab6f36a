"""One crystal: read from every format, refused for what makes it none, and its symmetry however it is described."""

import json
import sys

import numpy as np
import pytest
import spglib
from pymatgen.core import Lattice, Structure
from scipy.spatial.transform import Rotation

from matlas.composition import ATOMIC_NUMBER, SYMBOLS
from matlas.crystals.read import CrystalError, check_crystal, read_crystal, site_numbers
from matlas.crystals.structure import Crystal, lattice_of, parameters_of
from matlas.crystals.symmetry import CENTROSYMMETRIC, POINT_GROUP_ORDERS, prototype_of, symmetry_of

CIF = """data_rocksalt
_cell_length_a 4
_cell_length_b 4
_cell_length_c 4
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P 1'
loop_
_atom_site_type_symbol
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
"""
CSCL = CIF + "Cs Cs1 0 0 0 1\nCl Cl1 0.5 0.5 0.5 1\n"
POSCAR = "CsCl\n1.0\n4 0 0\n0 4 0\n0 0 4\nCs Cl\n1 1\ndirect\n0 0 0\n0.5 0.5 0.5\n"


def as_json(sites, lattice=None, **more) -> dict:
    lattice = lattice or {"matrix": (4 * np.eye(3)).tolist()}
    return {"lattice": lattice, **more, "sites": [
        {"species": [{"element": e, "occu": share} for e, share in species.items()], "abc": at} for species, at in sites
    ]}  # fmt: skip


def crystal(structure: Structure) -> Crystal:
    """Of an ordered structure of pymatgen's."""
    z = np.array([s.Z for s in structure.species])
    return Crystal("", np.array(structure.lattice.matrix), z, structure.frac_coords, np.ones(len(z)))


def prototype(c: Crystal) -> str:
    z, counts = np.unique(c.z, return_counts=True)
    amounts = dict(zip(z.tolist(), (counts // np.gcd.reduce(counts)).tolist(), strict=True))
    found = symmetry_of(c, 0.01)
    return prototype_of("X", amounts, found["space_group_number"], found["wyckoff"]).removeprefix("X_")


# reading


@pytest.mark.parametrize(
    "structure",
    [CSCL, POSCAR, as_json([({"Cs": 1}, [0, 0, 0]), ({"Cl": 1}, [0.5, 0.5, 0.5])]),
     json.dumps(as_json([({"Cs": 1}, [0, 0, 0]), ({"Cl": 1}, [0.5, 0.5, 0.5])])),
     as_json([({"Cs": 1}, [0, 0, 0]), ({"Cl": 1}, [0.5] * 3)], dict(a=4, b=4, c=4, alpha=90, beta=90, gamma=90))],
    ids=["cif", "poscar", "json", "json text", "json of parameters"],
)  # fmt: skip
def test_the_same_crystal_is_read_from_every_format(structure):
    found = read_crystal(structure, "a")
    assert found.key == "a" and found.z.tolist() == [55, 17] and found.occupancy.tolist() == [1, 1]
    np.testing.assert_allclose(found.lattice @ found.lattice.T, 16 * np.eye(3), atol=1e-12)
    np.testing.assert_allclose(found.frac, [[0, 0, 0], [0.5, 0.5, 0.5]])


def test_json_is_read_as_pymatgen_reads_it_and_oxidation_states_fall_away():
    lattice = Lattice.from_parameters(3, 4, 5, 70, 80, 95)
    there = Structure(lattice, ["Fe2+", {"Fe3+": 0.25, "Fe2+": 0.25, "Co": 0.5}], [[0.1, 0.2, 0.3], [0.6, 0.7, 0.9]])
    found = read_crystal(json.loads(there.to_json()))
    assert [SYMBOLS[z] for z in found.z] == ["Fe", "Fe", "Co"]
    assert found.occupancy.tolist() == [1, 0.5, 0.5] and site_numbers(found)[0].tolist() == [0, 1, 1]
    np.testing.assert_allclose(found.frac, there.frac_coords[[0, 1, 1]])
    np.testing.assert_allclose(found.lattice, lattice.matrix)


def test_reading_json_imports_nothing_that_the_text_names():
    harmful = as_json([({"Cs": 1}, [0, 0, 0])], **{"@module": "this", "@class": "x"})
    harmful["properties"] = {"x": {"@module": "this", "@class": "s"}}
    harmful["sites"][0]["properties"] = {"x": {"@module": "this", "@class": "s"}}
    read_crystal(json.dumps(harmful))
    assert "this" not in sys.modules


def test_cif_symmetry_is_multiplied_out():
    structure = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0, 0]])
    text = structure.to(fmt="cif", symprec=0.01)
    assert text.count("Na+") + text.count("  Na ") < 4
    found = read_crystal(text)
    assert len(found.z) == 8 and found.volume == pytest.approx(5.64**3)


def test_a_left_handed_lattice_becomes_right_handed_and_its_crystal_no_mirror_image():
    there = crystal(Structure.from_spacegroup("P4_1", Lattice.tetragonal(4, 7), ["Si"], [[0.1, 0.23, 0.05]]))
    assert symmetry_of(there, 0.01)["space_group_number"] == 76
    swap = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1]])  # other vectors for the same atoms in space
    text = as_json(
        [({"Si": 1}, (at @ swap).tolist()) for at in there.frac], {"matrix": (swap @ there.lattice).tolist()}
    )
    found = read_crystal(text)
    assert np.linalg.det(found.lattice) > 0
    rebuilt = Crystal("", lattice_of(*parameters_of(found.lattice)), found.z, found.frac, found.occupancy)
    assert symmetry_of(rebuilt, 0.01)["space_group_number"] == 76
    # positions in space, up to lattice vectors
    apart = (found.frac @ found.lattice - there.frac @ there.lattice) @ np.linalg.inv(there.lattice)
    np.testing.assert_allclose(apart, np.rint(apart), atol=1e-9)


@pytest.mark.parametrize(
    ("structure", "reason"),
    [
        ("nonsense", "unparseable"),
        ("{not json", "unparseable"),
        ("{" * 100_000, "unparseable"),
        (7, "unparseable"),
        ("{}", "without 'lattice'"),
        (CIF, "unparseable"),
        (CSCL[: CSCL.index("loop_") + len("loop_")], "perhaps cut short"),
        (CIF + "Zz Zz1 0 0 0 1\n", "unknown element"),
        (CIF + "D D1 0 0 0 1\n", "isotope of H"),
        (CIF + "Cs Cs1 0 0 zero 1\n", "unparseable"),
        (CIF + "Cs Cs1 0 0 0 0.6\nRb Rb1 0 0 0 0.6\n", "add up to more than 1"),
        (CSCL + CSCL.replace("rocksalt", "again"), "2 structures in one CIF"),
        (CIF + "O-H O1 0 0 0 1\nCs Cs1 0.5 0.5 0.5 1\n", "hydrogen without coordinates"),
        (POSCAR.replace("Cs Cl\n", ""), "Elements in POSCAR"),
        (POSCAR.replace("1 1\n", "1 2\n"), "unparseable"),
        (as_json([({"X0+": 1}, [0, 0, 0])]), "unknown element 'X0+'"),
        (as_json([({"Cs": 0.7, "Rb": 0.7}, [0, 0, 0])]), "add up to more than 1"),
        (as_json([({"Cs": 1}, [0, 0])]), "unparseable"),
        (as_json([({"Cs": 1}, [0, 0, 0])], {"matrix": [[1, 0], [0, 1]]}), "not three vectors"),
    ],
)
def test_what_is_no_crystal_is_refused_with_its_reason(structure, reason):
    with pytest.raises(CrystalError) as refused:
        read_crystal(structure)
    assert reason in str(refused.value) and len(str(refused.value)) < 200 and "\n" not in str(refused.value)


def test_species_listed_apart_at_one_place_are_on_one_site():
    found = read_crystal(as_json([({"Cs": 0.5}, [0, 0, 0]), ({"Cl": 1}, [0.5] * 3), ({"Rb": 0.5}, [1, 0, -1e-9])]))
    assert found.z.tolist() == [37, 55, 17] and site_numbers(found)[0].tolist() == [0, 0, 1]
    thirds = read_crystal(as_json([({"Cs": 0.334, "Rb": 0.334, "K": 0.334}, [0, 0, 0])]))
    assert thirds.occupancy.sum() == pytest.approx(1, abs=1e-12)


# checks


def toy(*sites, lattice=None, occupancy=None) -> Crystal:
    frac = np.array([at for _, at in sites], dtype=float).reshape(-1, 3)
    z = np.array([ATOMIC_NUMBER[e] for e, _ in sites], dtype=np.int64)
    share = np.ones(len(z)) if occupancy is None else np.array(occupancy, dtype=float)
    return Crystal("", 4.0 * np.eye(3) if lattice is None else np.array(lattice, dtype=float), z, frac, share)


OBLIQUE = [[4, 0, 0], [27.9, 4, 0], [0, 0, 4]]  # the same cubic lattice but for 0.1 Å, by vectors far from orthogonal


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (toy(), "no sites"),
        (toy(("Cs", [0, 0, np.nan])), "coordinates"),
        (toy(("Cs", [0, 0, 0]), lattice=np.full((3, 3), np.inf)), "lattice"),
        (toy(("Cs", [0, 0, 0]), lattice=np.zeros((3, 3))), "volume"),
        (toy(("Cs", [0, 0, 0]), lattice=9 * np.eye(3)), "volume"),
        (toy(("Cs", [0, 0, 0]), ("Cl", [0, 0, 0.1])), "closer than 0.5"),
        (toy(("Cs", [0.05, 0, 0]), ("Cl", [0.96, 0, 0])), "closer than 0.5"),
        (toy(("Cs", [5.05, 0, 0]), ("Cl", [-3.04, 0, 0])), "closer than 0.5"),
        (toy(("Cs", [0, 0, 0]), ("Cl", [0.025, 1, 0.99])), "closer than 0.5"),
        (toy(("Cs", [0.3, 0.3, 0.3]), ("Cs", [0.3, 0.3, 0.3])), "closer than 0.5"),
        (toy(("Cs", [0, 0, 0]), lattice=[[0.4, 0, 0], [0, 8, 0], [0, 0, 8]]), "closer than 0.5"),
        (toy(("Cs", [0, 0, 0]), ("Cl", [6.975, -1.0, 0.02]), lattice=OBLIQUE), "closer than 0.5"),
        (toy(("Cs", [0, 0, 0]), ("Rb", [0, 0, 0]), occupancy=[0.8, 0.8]), "more than 1"),
        (toy(("Cs", [0, 0, 0]), ("Rb", [0, 0, 0.05]), occupancy=[0.8, 0.8]), "closer than 0.5"),
        (toy(("Cs", [0, 0, 0]), occupancy=[-0.5]), "occupancy"),
    ],
)
def test_an_impossible_crystal_is_refused(wrong, reason):
    with pytest.raises(CrystalError, match=reason):
        check_crystal(wrong, 0.5, (2.0, 400.0))


@pytest.mark.parametrize(
    "right",
    [
        toy(("Cs", [0, 0, 0]), ("Cl", [0.5, 0.5, 0.5])),
        toy(("Cs", [0, 0, 0]), ("Cl", [0, 0, 0.126])),
        toy(("Cs", [0, 0, 0]), ("Rb", [0, 0, 0.05]), occupancy=[0.5, 0.5]),  # one or the other
        toy(("Cs", [0, 0, 0]), ("Rb", [0, 0, 0]), occupancy=[0.5, 0.5]),
        toy(("Cs", [0, 0, 0]), lattice=[[0.6, 0, 0], [0, 8, 0], [0, 0, 8]]),
    ],
)
def test_a_possible_crystal_passes(right):
    check_crystal(right, 0.5, (2.0, 400.0))


# symmetry

CUBIC = Lattice.cubic(5.0)
KNOWN = {  # AFLOW's prototypes: Mehl et al. 2017, doi:10.1016/j.commatsci.2017.01.017
    "225_a_b": ("Fm-3m", CUBIC, ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
    "221_a_b": ("Pm-3m", CUBIC, ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
    "216_a_c": ("F-43m", CUBIC, ["Zn", "S"], [[0, 0, 0], [0.25, 0.25, 0.25]]),
    "225_a_c": ("Fm-3m", CUBIC, ["Ca", "F"], [[0, 0, 0], [0.25, 0.25, 0.25]]),
    "227_a": ("Fd-3m", CUBIC, ["C"], [[0, 0, 0]]),
    "186_b_b": ("P6_3mc", Lattice.hexagonal(3.8, 6.2), ["Zn", "S"], [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.374]]),
    "221_a_b_c": ("Pm-3m", CUBIC, ["Ti", "Sr", "O"], [[0.5, 0.5, 0.5], [0, 0, 0], [0.5, 0.5, 0]]),
    "194_c": ("P6_3/mmc", Lattice.hexagonal(3.2, 5.2), ["Mg"], [[1 / 3, 2 / 3, 0.25]]),
    "136_a_f": ("P4_2/mnm", Lattice.tetragonal(4.6, 2.96), ["Ti", "O"], [[0, 0, 0], [0.305, 0.305, 0]]),
}


@pytest.mark.parametrize("label", KNOWN)
def test_known_structure_types_get_the_published_prototype_and_their_conventional_cell(label):
    group, lattice, species, at = KNOWN[label]
    structure = Structure.from_spacegroup(group, lattice, species, at)
    primitive = crystal(structure.get_primitive_structure())
    assert prototype(primitive) == label
    found = symmetry_of(primitive, 0.01)
    assert found["space_group_number"] == int(label.split("_")[0])
    assert found["space_group"].replace(" ", "") == group
    standard = [found[f"standard_{p}"] for p in ("a", "b", "c", "alpha", "beta", "gamma")]
    np.testing.assert_allclose(standard, lattice.parameters, rtol=1e-6)
    assert found["n_orbits"] == len(species) and found["n_sites_primitive"] == len(primitive.z)


GENERAL = {
    "P-1": Lattice.from_parameters(4, 5, 6, 80, 85, 95),
    "P2_1/c": Lattice.monoclinic(5, 6, 7, 100),
    "C2/m": Lattice.monoclinic(9, 4, 6, 108),
    "Pmmm": Lattice.orthorhombic(4, 5, 6),
    "Pnma": Lattice.orthorhombic(5.5, 7.7, 5.3),
    "P2_12_12_1": Lattice.orthorhombic(4.5, 5.5, 6.5),
    "I4/mmm": Lattice.tetragonal(4, 13),
    "P4_1": Lattice.tetragonal(5, 8),
    "R-3m": Lattice.hexagonal(4.4, 30),
    "P6_3/mmc": Lattice.hexagonal(4, 9),
    "Fd-3m": Lattice.cubic(8.4),
}
PLACES = [[0.5, 0, 0], [0.5, 0.5, 0.5], [0.137, 0.271, 0.389]]  # special and general


@pytest.mark.parametrize("group", GENERAL)
def test_the_description_of_a_crystal_does_not_hang_on_its_cell_origin_order_or_direction(group):
    lattice = GENERAL[group]
    structure = Structure.from_spacegroup(group, lattice, ["Ba", "Ti", "O"], PLACES)
    here = crystal(structure)
    expected, label = symmetry_of(here, 0.01), prototype(here)
    rng = np.random.default_rng(0)
    other_cells = [
        np.eye(3), [[0, 1, 0], [0, 0, 1], [1, 0, 0]], [[1, 1, 0], [0, 1, 0], [0, -1, 1]], np.diag([2, 1, 1]),
        [[1, 1, 0], [-1, 1, 0], [0, 0, 1]],
    ]  # fmt: skip
    for vectors in other_cells:
        scaled = structure.copy().make_supercell(np.array(vectors), in_place=False)
        there = crystal(scaled)
        order = rng.permutation(len(there.z))
        turned = there.lattice @ Rotation.random(random_state=rng).as_matrix()
        copy = Crystal("", turned, there.z[order], there.frac[order] + rng.random(3), there.occupancy)
        found = symmetry_of(copy, 0.01)
        assert prototype(copy) == label
        for column in expected.keys() - {"wyckoff"}:
            assert found[column] == (
                pytest.approx(expected[column], rel=1e-4) if isinstance(found[column], float) else expected[column]
            ), column


def test_elements_of_equal_amount_may_trade_places_but_not_of_different_amounts():
    group, lattice, species, at = KNOWN["225_a_c"]
    anti = crystal(Structure.from_spacegroup(group, lattice, species[::-1], at[::-1]))
    assert prototype(anti) == "225_a_c"
    other = Structure.from_spacegroup(group, lattice, ["F", "Ca"], at)  # fluorine now on the place of calcium
    assert prototype(crystal(other)) == "225_a_c", "the rarer element is A in both"
    sodium = Structure.from_spacegroup("Fm-3m", CUBIC, ["Cl", "Na"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert prototype(crystal(sodium)) == "225_a_b"


def test_the_table_of_point_groups_is_that_of_all_530_settings_in_spglib():
    seen = set()
    for hall in range(1, 531):
        rotations = np.unique(spglib.get_symmetry_from_database(hall)["rotations"], axis=0)
        symbol = spglib.get_pointgroup(rotations)[0].strip()
        assert POINT_GROUP_ORDERS[symbol] == len(rotations)
        assert (symbol in CENTROSYMMETRIC) == any((r == -np.eye(3)).all() for r in rotations)
        seen.add(symbol)
    assert seen == set(POINT_GROUP_ORDERS)


def test_sites_are_alike_only_when_the_same_elements_share_them_in_the_same_amounts():
    at = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]).repeat(2, axis=0)
    z = np.tile([26, 27], 4)
    alloy = Crystal("", 3.6 * np.eye(3), z, at, np.full(8, 0.5))
    found = symmetry_of(alloy, 0.01)
    assert (found["space_group_number"], found["n_orbits"], found["n_sites_primitive"]) == (225, 1, 1)
    assert found["wyckoff"] == {26: ("a",), 27: ("a",)}
    assert prototype_of("AB", {26: 1, 27: 1}, 225, found["wyckoff"]) == "AB_225_a_a"
    richer = np.array([0.9, 0.1, *[0.5] * 6])
    found = symmetry_of(Crystal("", 3.6 * np.eye(3), z, at, richer), 0.01)
    assert (found["space_group_number"], found["n_orbits"], found["n_sites_primitive"]) == (221, 2, 4)


def test_a_crystal_in_which_spglib_finds_no_symmetry_is_refused():
    with pytest.raises(CrystalError, match="no symmetry found"):
        symmetry_of(toy(("Cs", [0, 0, 0]), ("Cs", [0, 0, 1e-5])), 0.01)
