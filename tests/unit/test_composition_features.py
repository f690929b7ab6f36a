"""Composition features equal matminer's, NaN positions included."""

import os
import warnings

import numpy as np
import pytest
from matminer.featurizers.composition import ElementFraction, ElementProperty
from matminer.featurizers.utils.stats import PropertyStats
from pymatgen.core import Composition, Element

from matlas.composition import SYMBOLS, parse_formulas
from matlas.errors import ConfigError, DataError
from matlas.features.composition import STATISTICS, feature_batches, feature_fields, featurize
from matlas.features.elements import CITATIONS, PRESETS, SOURCES, ElementTable, load_element_table, snake_case
from schemas.table import Field

FRACTIONS = {"kind": "composition", "features": "element_fractions"}
TRICKY = [
    *SYMBOLS[1:],  # single elements, those that the tables leave out included
    *("Fe2O3", "Li0.95Mn1.05O2", "CH3CH2OH", "NaCl", "SiGe", "BiSb", "NaN", "CCo", "Fe0O3", "Fe02O3", "Fe.5O.5"),
    *("Fe1O1.000009", "O1Fe1.000009", "Fe1O1.00002", "O1Fe1.00002", "Fe1O1.00001", "Fe100O100.0009"),  # np.isclose
    *("Fe0.1Fe0.2O0.3", "Na0.1Cl0.1O0.1", "O0.1Cl0.1Na0.1", "Fe0.00002O0.00001", "Fe0.00000002O0.00000001"),
    *("Ca(OH)2", "Mg[OH]2", "K4{Fe(CN)6}", "Al2((SO4)3)3", "((Fe2)3O)0.5", "(PbTe)0.05(Ag2Te)0.95", "Fe2 O3"),
    *("(Ag0.05Sb0.05Sn0.9)(S0.05Se0.05Te0.9)", "LaCo0.5(Ni0.5Fe0.5)0.5O3", "Fe1e2O", "OgTs", "NhO2", "HeNe", "UO2F2"),
    *("Fe1000O", "Fe0.001Ni0.999", "FeCoNiCrMn", "FeCoNiCrMnAlTiVCuZnGaGe", "Fe1Co2Ni3Cr4Mn5Al6Ti7V8Cu9Zn10"),
]


@pytest.fixture(scope="module")
def tables():
    return {name: load_element_table(name) for name in PRESETS}


def spec_of(name, statistics=None):
    spec = {"kind": "composition", "features": "element_statistics", "table": name}
    return spec if statistics is None else spec | {"statistics": list(statistics)}


def peer(featurizer, formulas):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.array([featurizer.featurize(Composition(f)) for f in formulas], dtype=float)


def ours(formulas, spec, table=None):
    compositions, refused = parse_formulas(formulas)
    assert refused == {}
    return featurize(compositions, spec, table)


def assert_equal(found, expected):
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", PRESETS)
def test_element_statistics_equal_matminers_preset(name, tables):
    assert_equal(ours(TRICKY, spec_of(name), tables[name]), peer(ElementProperty.from_preset(name), TRICKY))


@pytest.mark.parametrize("name", PRESETS)
def test_all_statistics_in_any_order_equal_matminers(name, tables):
    formulas = TRICKY[110:]
    statistics = tuple(reversed(STATISTICS))
    preset = ElementProperty.from_preset(name)
    everything = ElementProperty(preset.data_source, preset.features[:16], statistics, impute_nan=False)
    table = ElementTable(name, tables[name].properties[:16], tables[name].values[:, :16])
    assert_equal(ours(formulas, spec_of(name, statistics), table), peer(everything, formulas))


def test_missing_properties_give_nan_where_matminer_gives_nan():
    table = load_element_table("magpie", impute_nan=False)
    source = ElementProperty.from_preset("magpie", impute_nan=False).data_source
    labels = [f.label for f in table.properties]
    everything = ElementProperty(source, labels, tuple(STATISTICS), impute_nan=False)
    found = ours(TRICKY, spec_of("magpie", STATISTICS), table)
    assert np.isnan(found).any(axis=1).sum() > 20
    assert_equal(found, peer(everything, TRICKY))


def test_a_mode_needs_only_the_most_abundant_elements_and_one_element_has_no_spread():
    values = np.full((119, 1), np.nan)
    values[26] = 3.0
    table = ElementTable("magpie", (Field("x", "float64", "1", "planted", label="X"),), values)
    found = ours(["Fe2O", "FeO2", "FeO", "O"], spec_of("magpie", ["mode", "std_dev", "mean"]), table)
    nan = np.nan
    np.testing.assert_array_equal(found, [[3, nan, nan], [nan, nan, nan], [nan, nan, nan], [nan, 0, nan]])


def test_statistics_of_a_hand_computed_case(tables):
    # Fe2O3: atomic numbers 26, 8 with fractions 0.4, 0.6: mean 15.2; deviations 10.8, 7.2
    found = ours(["Fe2O3"], spec_of("magpie", STATISTICS), tables["magpie"])[0, : len(STATISTICS)]
    variance = (0.4 * 10.8**2 + 0.6 * 7.2**2) / (1 - 0.4**2 - 0.6**2)
    expected = {"minimum": 8, "maximum": 26, "range": 18, "mean": 15.2, "avg_dev": 8.64, "std_dev": variance**0.5}
    np.testing.assert_allclose(found, [*expected.values(), 8], rtol=1e-14)
    assert list(STATISTICS) == [*expected, "mode"]
    assert all(hasattr(PropertyStats, statistic) for statistic in STATISTICS)


def test_element_fractions_equal_matminers():
    formulas = [*TRICKY, "Fe10O0.00000005"]  # pymatgen drops the fraction 5e-9
    found = ours(formulas, FRACTIONS)
    np.testing.assert_allclose(found, peer(ElementFraction(), formulas), rtol=1e-12, atol=1e-15)
    assert found[-1].sum() == pytest.approx(1.0, abs=1e-8)


def test_every_row_keeps_its_place_among_thousands(tables):
    order = np.random.default_rng(3).integers(0, len(TRICKY), 5000)
    once = ours(TRICKY, spec_of("magpie"), tables["magpie"])
    np.testing.assert_array_equal(ours([TRICKY[i] for i in order], spec_of("magpie"), tables["magpie"]), once[order])


def test_no_compositions_give_no_rows(tables):
    assert ours([], spec_of("magpie"), tables["magpie"]).shape == (0, 132)
    assert ours([], FRACTIONS).shape == (0, 118)


@pytest.mark.parametrize("name", PRESETS)
def test_fields_carry_matminers_labels_and_unique_column_names(name, tables):
    fields = feature_fields(spec_of(name), tables[name])
    assert [f.label for f in fields] == ElementProperty.from_preset(name).feature_labels()
    assert len({f.name for f in fields}) == len(fields)
    assert all(f.name.isidentifier() and f.name == f.name.lower() for f in fields)
    assert all(f.unit and f.citation and f.description and not f.nullable for f in fields)


def test_fraction_fields_carry_matminers_labels_under_names_that_sql_accepts():
    fields = feature_fields(FRACTIONS)
    assert [f.label for f in fields] == ElementFraction().feature_labels()
    assert [f.name for f in fields[:2]] == ["fraction_h", "fraction_he"]
    assert {(f.minimum, f.maximum, f.unit) for f in fields} == {(0.0, 1.0, "1")}


def test_columns_of_a_property_that_lacks_values_are_nullable():
    fields = feature_fields(spec_of("magpie", ["mean"]), load_element_table("magpie", impute_nan=False))
    assert all(f.nullable for f in fields)


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("MagpieData minimum Number", "magpie_data_minimum_number"),
        ("MagpieData avg_dev GSvolume_pa", "magpie_data_avg_dev_gsvolume_pa"),
        ("DemlData mean FERE correction", "deml_data_mean_fere_correction"),
        ("MEGNetElementData range embedding 16", "megnet_element_data_range_embedding_16"),
    ],
)
def test_a_label_becomes_a_column_name(label, name):
    assert snake_case(label) == name


@pytest.mark.parametrize("name", PRESETS)
def test_a_table_holds_the_values_that_the_preset_uses(name, tables):
    preset = ElementProperty.from_preset(name)
    table = tables[name]
    assert PRESETS[name] == tuple(preset.stats)
    assert SOURCES[name] == type(preset.data_source).__name__
    assert [f.label for f in table.properties] == preset.features
    assert table.values.shape == (119, len(preset.features))
    assert np.isnan(table.values[0]).all()
    expected = [
        [preset.data_source.get_elemental_property(Element.from_Z(z), p) for p in preset.features]
        for z in range(1, 119)
    ]
    np.testing.assert_array_equal(table.values[1:], np.array(expected, dtype=float))


@pytest.mark.parametrize("name", ["magpie", "deml"])
def test_a_table_cites_the_first_author_that_matminer_cites(name):
    surname = CITATIONS[name].split(",")[0]
    assert surname.lower() in ElementProperty.from_preset(name).citations()[0].split(",")[0]


def test_an_unknown_table_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigError, match=r"'magpie' \(nearest\)"):
        load_element_table("magpy")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"features": "element_fraction"}, r"'element_fractions' \(nearest\)"),
        ({}, "unknown composition features"),
        (spec_of("deml"), "expected 'deml', found 'magpie'"),
        (spec_of("magpie", ["mena"]), r"'mean' \(nearest\)"),
    ],
)
def test_a_wrong_spec_is_refused(spec, message, tables):
    with pytest.raises(ConfigError, match=message):
        feature_fields(spec, tables["magpie"])
    with pytest.raises(ConfigError, match=message):
        featurize(parse_formulas(["Fe"])[0], spec, tables["magpie"])


def test_batches_hold_the_formulas_and_the_features_in_order(tables):
    spec = spec_of("magpie")
    batches = list(feature_batches(TRICKY, spec, tables["magpie"], batch=64))
    assert [len(b) for b in batches] == [64] * (len(TRICKY) // 64) + [len(TRICKY) % 64]
    assert [f for b in batches for f in b["composition"]] == TRICKY
    assert list(batches[0]) == ["composition", *(f.name for f in feature_fields(spec, tables["magpie"]))]
    stacked = np.vstack([b.drop(columns="composition").to_numpy() for b in batches])
    np.testing.assert_array_equal(stacked, ours(TRICKY, spec, tables["magpie"]))


def test_a_batch_with_an_unparseable_formula_names_its_position_and_the_reason():
    batches = feature_batches(["Fe", "Co", "Ni", "Xx"], FRACTIONS, batch=2)
    assert len(next(batches)) == 2
    with pytest.raises(DataError, match=r"formula 3.*unknown element 'Xx'"):
        next(batches)


@pytest.mark.skipif(not os.environ.get("MATLAS_MIRROR"), reason="needs the mirror of real sources (MATLAS_MIRROR)")
@pytest.mark.parametrize("name", PRESETS)
def test_features_of_a_published_thermoelectric_table_equal_matminers(name, tables):
    import pandas as pd

    formulas = pd.read_excel(os.path.join(os.environ["MATLAS_MIRROR"], "estm", "estm.xlsx"))["Formula"].unique()
    assert_equal(ours(formulas, spec_of(name), tables[name]), peer(ElementProperty.from_preset(name), formulas))
    np.testing.assert_allclose(ours(formulas, FRACTIONS), peer(ElementFraction(), formulas), rtol=1e-12, atol=1e-15)
