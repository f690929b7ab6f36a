"""New rows by a trained model: their features are computed as those of its dataset were, and so are their codes."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from pymatgen.core import Composition, Lattice, Structure

from matlas.autoencoders.apply import embed_rows
from matlas.autoencoders.card import load_model, save_model
from matlas.autoencoders.estimator import Autoencoder
from matlas.clean.crystals import clean_crystals, parse_shard
from matlas.cli import main
from matlas.composition import SYMBOLS
from matlas.crystals.stored import read_crystals, symmetry_frame
from matlas.errors import DataError
from matlas.features import elements
from matlas.features.composition import feature_batches
from matlas.features.crystal import geometry_batches
from matlas.features.elements import snake_case
from matlas.new_rows import embed_file
from matlas.tables import read_table, write_table
from schemas.config.datasets import CrystalDataset
from schemas.tables.dataset import REJECTS, crystal_key, dataset_schema, sites_schema

FRACTIONS = {"kind": "composition", "features": "element_fractions"}
MAGPIE = {"kind": "composition", "features": "element_statistics", "table": "magpie",
          "statistics": ["minimum", "maximum", "range", "mean", "avg_dev", "mode"]}  # fmt: skip
GEOMETRY = {"kind": "crystal", "features": "geometry", "table": "magpie", "cutoff": 6.0, "bin_size": 0.5,
            "seconds_per_crystal": 30.0, "max_failure_share": 0.0}  # fmt: skip
CRYSTALS = CrystalDataset(kind="crystal", title="Made up", path="made_up.csv")
FORMULAS = ["NaCl", "Fe2O3", "SrTiO3", "Bi2Te3", "Mg", "CaF2", "Na0.5K0.5Cl", "Al2(SO4)3"]


pytestmark = pytest.mark.usefixtures("one_thread")


def model_of(folder, features, views, **data):
    """The folder of a small network trained on some features, with a card like those of the workflow."""
    network = Autoencoder(layers=(6, 2), epochs=5, validation_share=0, patience=None, device="cpu")
    about = {"data": {"views": views, "sample_data": False, **data}, "split": "by_system", "lineage": "0" * 16}
    save_model(folder, network.fit(features.to_numpy()), {"features": list(features.columns), **about})
    return folder


def fractions_of(formulas):
    """Atomic fractions as pymatgen has them."""
    rows = [[Composition(formula).get_atomic_fraction(symbol) for symbol in SYMBOLS[1:]] for formula in formulas]
    return pd.DataFrame(rows, columns=[f"fraction_{symbol.lower()}" for symbol in SYMBOLS[1:]])


@pytest.fixture(scope="module")
def of_fractions(tmp_path_factory):
    return model_of(tmp_path_factory.mktemp("model"), fractions_of(FORMULAS * 3), {"element_fractions": FRACTIONS})


def table(folder, file="new.csv", **columns):
    path = folder / file
    frame = pd.DataFrame(columns)
    {".csv": frame.to_csv, ".parquet": frame.to_parquet}[path.suffix](path, index=False)
    return path


# --- formulas ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["formula", "Composition"])
def test_rows_of_formulas_are_followed_by_the_codes_of_their_fractions(column, of_fractions, tmp_path):
    formulas = ["LiF", "NaCl", "K3.0Cl3", "Ca(OH)2"]
    path = table(tmp_path, note=["a", "b", "c", "d"], **{column: formulas})
    made, card = embed_file(of_fractions, path, "cpu")
    assert list(made.columns) == ["note", column, "z_0", "z_1", "reconstruction_error", "outside_range", "why"]
    assert made[column].tolist() == formulas and made["note"].tolist() == list("abcd")
    expected = embed_rows(*load_model(of_fractions, "cpu"), fractions_of(formulas))
    np.testing.assert_allclose(made[["z_0", "z_1"]], expected[["z_0", "z_1"]], atol=1e-6)
    np.testing.assert_allclose(made["reconstruction_error"], expected["reconstruction_error"], rtol=1e-5)
    assert made["outside_range"].tolist() == expected["outside_range"].tolist()
    assert made["outside_range"].tolist()[:2] == [True, False] and "fraction_li" in made["why"][0]
    assert card["data"]["views"] == {"element_fractions": FRACTIONS}


def test_a_feature_that_is_no_feature_of_a_view_is_taken_from_its_column(tmp_path):
    rng = np.random.default_rng(0)
    features = fractions_of(FORMULAS * 3).assign(temperature=rng.uniform(300, 900, 24))[
        ["temperature", *fractions_of([]).columns]
    ]
    model = model_of(tmp_path / "model", features, {"element_fractions": FRACTIONS})
    made, _ = embed_file(model, table(tmp_path, formula=["NaCl", "Mg"], temperature=["400", "500"]), "cpu")
    expected = embed_rows(
        *load_model(model, "cpu"), fractions_of(["NaCl", "Mg"]).assign(temperature=[400.0, 500.0])[features.columns]
    )
    np.testing.assert_allclose(made[["z_0", "z_1"]], expected[["z_0", "z_1"]], atol=1e-6)
    with pytest.raises(DataError, match="neither given nor computed.*expected temperature"):
        embed_file(model, table(tmp_path, formula=["NaCl"]), "cpu")
    with pytest.raises(DataError, match="feature 'temperature' is not a number.*'hot' in row 2"):
        embed_file(model, table(tmp_path, formula=["NaCl", "Mg"], temperature=["400", "hot"]), "cpu")


def test_all_features_by_name_need_no_formula(of_fractions, tmp_path):
    features = fractions_of(["NaCl", "Fe2O3"])
    shuffled = features.assign(name=["salt", "rust"]).iloc[:, ::-1]
    by_formula, _ = embed_file(of_fractions, table(tmp_path, formula=["NaCl", "Fe2O3"]), "cpu")
    for name in ("new.csv", "new.parquet"):
        made, _ = embed_file(of_fractions, table(tmp_path, name, **shuffled), "cpu")
        assert list(made.columns[:119]) == list(shuffled.columns) and made["name"].tolist() == ["salt", "rust"]
        np.testing.assert_allclose(made[["z_0", "z_1"]], by_formula[["z_0", "z_1"]], atol=1e-6)


@pytest.mark.parametrize("views", [{"raw_pixels": {"kind": "image", "features": "pixels"}}, {}])
def test_features_that_a_table_cannot_give_must_be_given_by_name(views, of_fractions, tmp_path):
    model = model_of(tmp_path / "model", fractions_of(FORMULAS), views or {"element_fractions": FRACTIONS})
    with pytest.raises(DataError, match="all features of the model by name"):
        embed_file(model, table(tmp_path, name=["NaCl"]), "cpu")


# --- rows that can't be used ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"formula": ["NaCl", "NaXx"]}, r"new\.csv, row 2\).*unknown element 'Xx'"),
        ({"formula": ["NaCl", "Mg", None], "n": [1, 2, 3]}, r"new\.csv, row 3\).*empty"),
        ({"name": ["NaCl"]}, "expected a column formula or composition.*found name"),
        ({"formula": []}, "no rows to embed"),
        ({"formula": ["NaCl"], "why": ["so"]}, "'why' would stand in the result twice"),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_embedded_is_named(columns, message, of_fractions, tmp_path):
    with pytest.raises(DataError, match=message):
        embed_file(of_fractions, table(tmp_path, **columns), "cpu")


@pytest.mark.parametrize(("value", "shown"), [("half", "'half'"), (None, "None"), ("inf", "'inf'")])
def test_a_feature_that_is_no_number_is_named_with_its_row(value, shown, of_fractions, tmp_path):
    features = fractions_of(["NaCl", "Mg"]).astype(object)
    features.loc[1, "fraction_mg"] = value
    with pytest.raises(DataError, match=f"'fraction_mg' is not a number in every row.*found {shown} in row 2"):
        embed_file(of_fractions, table(tmp_path, **features), "cpu")


def test_a_formula_with_an_element_that_the_table_knows_nothing_of_is_named(stored, tmp_path, monkeypatch):
    features = stored.features[[c for c in stored.features if c.startswith("magpie")]]
    model = model_of(tmp_path / "model", features, {"magpie": MAGPIE})
    table_of = elements.load_element_table("magpie")
    values = table_of.values.copy()
    values[SYMBOLS.index("Og"), 4] = np.nan
    monkeypatch.setattr(elements, "load_element_table", lambda name: replace(table_of, values=values))
    named = snake_case(f"MagpieData minimum {table_of.properties[4].label}")
    with pytest.raises(DataError, match=f"feature '{named}' is not a number in every row.*found nan in row 2"):
        embed_file(model, table(tmp_path, formula=["NaCl", "OgO", "Mg"]), "cpu")


# --- crystals ---------------------------------------------------------------------------------------------------------


def structures():
    """Crystals of four structure types, one without symmetry and, at the end, salt that is strained by a hundredth."""
    rock_salt = [("Na", "Cl", 5.64), ("K", "Cl", 6.29), ("Li", "F", 4.03), ("Mg", "O", 4.21), ("Ca", "S", 5.69)]
    perovskite = [("Sr", "Ti", 3.905), ("Ba", "Ti", 4.0), ("Ca", "Zr", 4.1), ("K", "Nb", 4.02), ("La", "Al", 3.79)]
    rutile = [("Ti", 4.594, 2.959), ("Sn", 4.737, 3.186), ("Mn", 4.4, 2.87), ("Ge", 4.4, 2.86), ("Pb", 4.95, 3.38)]
    close_packed = [("Mg", 3.209, 5.211), ("Zn", 2.665, 4.947), ("Ti", 2.95, 4.68), ("Co", 2.507, 4.07)]
    triclinic = Lattice.from_parameters(4.137, 5.312, 6.725, 77.1, 83.3, 68.2)
    half = [0.5, 0.5, 0.5]
    salt = Structure.from_spacegroup(225, Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], half])
    return [
        *(Structure.from_spacegroup(225, Lattice.cubic(a), [m, x], [[0, 0, 0], half]) for m, x, a in rock_salt),
        *(Structure.from_spacegroup(221, Lattice.cubic(a), [m, x, "O"], [[0, 0, 0], half, [0.5, 0.5, 0]])
          for m, x, a in perovskite),
        *(Structure.from_spacegroup(136, Lattice.tetragonal(a, c), [m, "O"], [[0, 0, 0], [0.305, 0.305, 0]])
          for m, a, c in rutile),
        *(Structure.from_spacegroup(194, Lattice.hexagonal(a, c), [m], [[1 / 3, 2 / 3, 0.25]])
          for m, a, c in close_packed),
        Structure(triclinic, ["Cu", "Fe", "S", "O"],
                  [[0.02, 0.11, 0.07], [0.47, 0.63, 0.21], [0.81, 0.29, 0.66], [0.35, 0.12, 0.58]]),
        Structure(Lattice.tetragonal(5.64, 5.70), salt.species, salt.frac_coords),
    ]  # fmt: skip


class Stored:
    """A dataset of crystals with its views, as the workflow stores them, and a model trained on both."""

    def __init__(self, folder):
        self.cifs = [s.to(fmt="cif") for s in structures()]
        self.keys = [f"mp-{i}" for i in range(len(self.cifs))]
        raw = pd.DataFrame({"table": "", "file": "made_up.csv", "row": range(1, len(self.cifs) + 1), "id": self.keys,
                            "structure": self.cifs})  # fmt: skip
        parsed = [parse_shard(raw, CRYSTALS, CRYSTALS.key, shard, 2) for shard in range(2)]
        none = pd.DataFrame({column: pd.Series(dtype=object) for column in REJECTS.columns})
        clean, _ = clean_crystals(raw, none, [p.crystals for p in parsed], [p.rejects for p in parsed], CRYSTALS)
        sites = pd.concat([part.sites for part in parsed])
        paths = folder / "dataset.parquet", folder / "sites.parquet"
        write_table(clean, paths[0], dataset_schema("made_up", CRYSTALS))
        write_table(sites, paths[1], sites_schema("made_up", crystal_key(CRYSTALS)))
        magpie = elements.load_element_table("magpie")
        geometry, _ = geometry_batches(read_crystals(*paths), symmetry_frame(paths[0]), GEOMETRY, magpie)
        formulas = read_table(paths[0], ["composition"])["composition"].tolist()
        of_formulas = pd.concat(feature_batches(formulas, MAGPIE, magpie)).drop(columns="composition")
        self.features = pd.concat([of_formulas, geometry.drop(columns="material_id")], axis=1)
        self.views = {"magpie": MAGPIE, "crystal_geometry": GEOMETRY}
        self.reading = CRYSTALS.model_dump(include={"shortest_distance", "volume_per_atom", "symmetry_tolerance"})
        self.model = model_of(folder / "model", self.features, self.views, crystals=self.reading)
        self.codes = embed_rows(*load_model(self.model, "cpu"), self.features)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    return Stored(tmp_path_factory.mktemp("crystals"))


def test_a_crystal_that_the_dataset_holds_has_its_stored_code(stored, tmp_path):
    last = len(stored.cifs) - 1
    order = np.array([last, *np.random.default_rng(0).permutation(last)[:8]])
    assert stored.features["space_group_number"][last] == 139  # not cubic: symmetry is found to the same tolerance
    path = table(
        tmp_path, cif=[stored.cifs[i] for i in order], formula="is that of the crystal",
        material_id=[stored.keys[i] for i in order],
    )  # fmt: skip
    made, _ = embed_file(stored.model, path, "cpu")
    expected = stored.codes.iloc[order].reset_index(drop=True)
    numbers = ["z_0", "z_1", "reconstruction_error"]
    np.testing.assert_allclose(made[numbers], expected[numbers], rtol=1e-6, atol=1e-6)
    assert np.ptp(made["z_0"]) > 0.1
    assert_frame_equal(made[["outside_range", "why"]], expected[["outside_range", "why"]])
    assert made["material_id"].tolist() == [stored.keys[i] for i in order]
    assert made.columns[:2].tolist() == ["formula", "material_id"]  # the texts of structures would fill the screen


def test_a_model_of_chosen_columns_takes_them_from_either_view_in_its_own_order(stored, tmp_path):
    chosen = stored.features[["density", "magpie_data_mean_number", "space_group_number", "magpie_data_range_row",
                              "vpa", "mean_bond_length"]]  # fmt: skip
    model = model_of(tmp_path / "model", chosen, stored.views, crystals=stored.reading)
    made, _ = embed_file(model, table(tmp_path, structure=stored.cifs[3:8]), "cpu")
    expected = embed_rows(*load_model(model, "cpu"), chosen.iloc[3:8])
    np.testing.assert_allclose(made[["z_0", "z_1"]], expected[["z_0", "z_1"]], rtol=1e-6, atol=1e-6)


def test_a_crystal_is_as_symmetric_as_the_dataset_of_the_model_would_say(stored, tmp_path):
    chosen, last = stored.features[["density", "space_group_number"]], len(stored.cifs) - 1
    reading = stored.reading | {"symmetry_tolerance": 0.1}  # Å: a cell of 5.64 and 5.70 Å then is cubic
    model = model_of(tmp_path / "model", chosen, stored.views, crystals=reading)
    made, _ = embed_file(model, table(tmp_path, cif=[stored.cifs[last]]), "cpu")
    cubic = chosen.iloc[[last]].assign(space_group_number=225.0)
    expected = embed_rows(*load_model(model, "cpu"), cubic)
    np.testing.assert_allclose(made[["z_0", "z_1"]], expected[["z_0", "z_1"]], rtol=1e-6, atol=1e-6)


def test_crystals_that_cannot_be_used_are_named(stored, tmp_path):
    good = stored.cifs[0]
    salt = structures()[0]
    for bad, message in (
        ("no crystal", r"row 2\).*unparseable"),
        (None, r"row 2\).*unparseable"),
        (Structure(salt.lattice, ["Na", "Cl"], [[0, 0, 0], [0.01, 0, 0]]).to(fmt="cif"), r"row 2\).*closer than 0\.5"),
        (Structure(salt.lattice, [{"Na": 0.5, "K": 0.5}, "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]).to(fmt="cif"),
         r"no geometry .*row 2\).*partly occupied"),
    ):  # fmt: skip
        with pytest.raises(DataError, match=message):
            embed_file(stored.model, table(tmp_path, cif=[good, bad, good]), "cpu")
    with pytest.raises(DataError, match="expected a column cif or structure or poscar"):
        embed_file(stored.model, table(tmp_path, formula=["NaCl"]), "cpu")


def test_a_crystal_without_symmetry_is_named(stored, tmp_path, monkeypatch):
    from matlas.crystals import symmetry
    from matlas.crystals.read import CrystalError

    found = symmetry.symmetry_of

    def none_for_the_second(crystal, symprec):
        if crystal.key == "2":
            raise CrystalError("no symmetry found")
        return found(crystal, symprec)

    monkeypatch.setattr(symmetry, "symmetry_of", none_for_the_second)
    with pytest.raises(DataError, match=r"a crystal can't be used .*row 2\).*no symmetry found"):
        embed_file(stored.model, table(tmp_path, cif=stored.cifs[:3]), "cpu")


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def matlas(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MATLAS_RESULTS", str(tmp_path / "results"))

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main([str(a) for a in arguments])
        captured = capsys.readouterr()
        return end.value.code, captured.out, captured.err

    return run


@pytest.mark.parametrize("simulated", [True, False])
def test_the_command_prints_the_codes_and_marks_a_model_of_generated_data(simulated, matlas, tmp_path):
    place = "ores/element_fractions/ae2"
    folder = tmp_path / "results" / "models" / place
    views = {"element_fractions": FRACTIONS}
    model_of(folder, fractions_of(FORMULAS), views, sample_data=simulated)
    path = table(tmp_path, formula=["NaCl", "LiF"])
    expected, _ = embed_file(folder, path, "cpu")
    for model in (place, folder):
        code, out, err = matlas("embed", model, "--entities", path, "--device", "cpu", "--format", "csv")
        assert code == 0 and ("SAMPLE DATA: generated, not measured" in err) == simulated
        rows = list(csv.DictReader(io.StringIO(out)))
        assert [row["formula"] for row in rows] == ["NaCl", "LiF"]
        np.testing.assert_allclose([float(row["z_0"]) for row in rows], expected["z_0"])
    assert matlas("embed", place, "--entities", path, "--device", "cpu", "-o", tmp_path / "codes.parquet")[0] == 0
    assert_frame_equal(pd.read_parquet(tmp_path / "codes.parquet"), expected)


def test_a_bad_row_or_model_ends_the_command_with_one_line(matlas, of_fractions, tmp_path):
    path = table(tmp_path, formula=["NaCl", "NaXx"])
    code, out, err = matlas("embed", of_fractions, "--entities", path, "--device", "cpu")
    assert code == 1 and not out and len(err.splitlines()) == 1 and "row 2" in err and "'Xx'" in err
    code, out, err = matlas("embed", "no/such/model", "--entities", path)
    assert code == 1 and not out and "there is no model" in err
    near = of_fractions.parent / f"{of_fractions.name}s"
    assert f"{of_fractions.name}' (nearest)" in matlas("embed", near, "--entities", path)[2]
