"""The store joins, describes and traces what the workflow computed, and featurises what it has never seen."""

import duckdb
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from pandas.testing import assert_frame_equal

from matlas import store as store_module
from matlas.catalog import build_catalog
from matlas.errors import ConfigError, DataError, QueryError
from matlas.retrieval import join_views
from matlas.store import Store, featurize_formulas, open_store
from matlas.tables import table_info
from schemas.table import Field, TableSchema
from schemas.tables.features import element_schema
from tests.unit.results_folder import (
    DATASET_SCHEMA,
    IMAGE_STUDY,
    ORES,
    SIZES,
    SIZES_SCHEMA,
    WEIGHTS,
    WEIGHTS_SCHEMA,
    make_results,
    put,
    write_image_results,
    write_results,
)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return open_store(make_results(tmp_path_factory.mktemp("store") / "results"))


@pytest.fixture
def tables(tmp_path):
    """Paths of the dataset and its two views, to be joined or spoilt."""
    return write_results(tmp_path)[:3]


MERGED = ORES.merge(WEIGHTS, on="composition", how="left").merge(SIZES, on="composition", how="left")


# --- retrieval ------------------------------------------------------------------------------------------------------


def test_each_row_gets_the_features_of_its_composition_in_the_order_of_the_dataset(tables):
    found = join_views(tables[0], tables[1:], columns=["zt"])
    assert_frame_equal(found, MERGED[["row_id", "zt", "mean_weight", "n_atoms", "mean_radius"]])


def test_features_come_in_the_order_asked_for(tables):
    found = join_views(tables[0], tables[1:], feature_columns=["mean_radius", "mean_weight"])
    assert_frame_equal(found, MERGED[["row_id", "mean_radius", "mean_weight"]])


def test_a_dataset_can_be_read_without_a_view(tables):
    assert_frame_equal(join_views(tables[0], [], columns=["zt"]), ORES[["row_id", "zt"]])


def test_many_rows_join_as_pandas_joins_them(tmp_path):
    rng = np.random.default_rng(0)
    names = [f"X{i}" for i in range(3000)]
    weights = pd.DataFrame({"composition": rng.permutation(names), "mean_weight": rng.random(3000), "n_atoms": 1})
    rows = pd.DataFrame({"row_id": range(1, 250_001), "composition": rng.choice(names, 250_000)})
    rows = rows.assign(temperature=300.0, zt=rng.random(250_000)).sample(frac=1, random_state=0, ignore_index=True)
    dataset = put(tmp_path, "datasets/many.parquet", rows, DATASET_SCHEMA)
    view = put(tmp_path, "features/many/weights.parquet", weights, WEIGHTS_SCHEMA)
    expected = rows.merge(weights, on="composition", how="left")[["row_id", "zt", "mean_weight", "n_atoms"]]
    assert_frame_equal(join_views(dataset, [view], columns=["zt"]), expected)


def test_a_view_is_joined_on_its_own_key_whatever_that_is(tmp_path, tables):
    hours = Field("hours", "float64", "h", "Hours of annealing")
    schema = TableSchema("annealing", "features", ("composition", "temperature"), (*DATASET_SCHEMA.fields[1:3], hours))
    frame = ORES[["composition", "temperature"]].assign(hours=[1.0, 2.0, 3.0, 4.0, 5.0]).iloc[::-1]
    view = put(tmp_path, "features/ores/annealing.parquet", frame, schema)
    assert join_views(tables[0], [view])["hours"].tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]


def test_entities_without_features_are_named(tmp_path, tables):
    view = put(tmp_path, "features/ores/sizes.parquet", SIZES[SIZES["composition"] == "PbTe"], SIZES_SCHEMA)
    with pytest.raises(DataError, match=r"entities of ores have no row in sizes .*found 2: SnSe, Bi2Te3\."):
        join_views(tables[0], [view])


def test_of_many_missing_entities_twenty_are_named(tmp_path):
    rows = pd.DataFrame(
        {"row_id": range(1, 31), "composition": [f"X{i}" for i in range(30)], "temperature": 1.0, "zt": 1.0}
    )
    dataset = put(tmp_path, "datasets/many.parquet", rows, DATASET_SCHEMA)
    view = put(tmp_path, "features/many/sizes.parquet", SIZES, SIZES_SCHEMA)
    with pytest.raises(DataError, match=r"found 30: X0, X1, .*X19 and 10 more"):
        join_views(dataset, [view])


def test_entities_that_a_view_says_it_leaves_out_are_left_out_and_the_log_says_how_many(tmp_path, tables, caplog):
    known = SIZES[SIZES["composition"] != "SnSe"]
    view = put(tmp_path, "features/ores/sizes.parquet", known, SIZES_SCHEMA, left_out="2")
    found = join_views(tables[0], [tables[1], view], columns=["zt"])
    expected = MERGED[MERGED["composition"] != "SnSe"].reset_index(drop=True)
    assert_frame_equal(found, expected[["row_id", "zt", "mean_weight", "n_atoms", "mean_radius"]])
    assert "2 of 5 entities of ores are left out" in caplog.text
    # and what another view leaves out as well
    weights = WEIGHTS[WEIGHTS["composition"] != "PbTe"]
    other = put(tmp_path, "features/ores/weights.parquet", weights, WEIGHTS_SCHEMA, left_out="1")
    assert join_views(tables[0], [other, view])["row_id"].tolist() == [2, 5]


@pytest.mark.parametrize("said", ["0", "1", "3", None])
def test_a_view_that_lacks_other_than_it_says_is_refused(said, tmp_path, tables):
    attributes = {} if said is None else {"left_out": said}
    known = SIZES[SIZES["composition"] != "SnSe"]
    view = put(tmp_path, "features/ores/sizes.parquet", known, SIZES_SCHEMA, **attributes)
    with pytest.raises(DataError, match=r"entities of ores have no row in sizes .*found 1: SnSe\."):
        join_views(tables[0], [view])


def test_a_view_that_says_it_leaves_some_out_but_has_them_is_refused(tmp_path, tables):
    view = put(tmp_path, "features/ores/sizes.parquet", SIZES, SIZES_SCHEMA, left_out="2")
    with pytest.raises(DataError, match="no row in sizes"):
        join_views(tables[0], [view])


def test_an_entity_with_two_rows_of_features_is_named(tables):
    doubled = pq.read_table(tables[2])
    rows = doubled.take([0, 1, 2, 1]).replace_schema_metadata(pq.read_metadata(tables[2]).metadata)
    pq.write_table(rows, tables[2])  # SnSe twice: the writer of tables would refuse it
    with pytest.raises(DataError, match=r"entities of ores have several rows in sizes .*found 1: SnSe\."):
        join_views(tables[0], tables[2:])


def test_a_name_that_would_stand_twice_is_refused(tmp_path, tables):
    again = put(tmp_path, "features/ores/again.parquet", SIZES, SIZES_SCHEMA)
    with pytest.raises(DataError, match="'mean_radius' stands in two views"):
        join_views(tables[0], [tables[2], again])
    zt = TableSchema("zts", "features", ("composition",), (SIZES_SCHEMA.fields[0], Field("zt", "float64", "1", "")))
    view = put(tmp_path, "features/ores/zts.parquet", WEIGHTS[["composition"]].assign(zt=1.0), zt)
    with pytest.raises(DataError, match="'zt' would stand in the result twice"):
        join_views(tables[0], [view], columns=["zt"])
    assert join_views(tables[0], [view])["zt"].tolist() == [1.0] * 5


@pytest.mark.parametrize("asked", [{"columns": ["nothing"]}, {"feature_columns": ["nothing"]}])
def test_an_unknown_column_is_refused(tables, asked):
    with pytest.raises(DataError, match="unknown column 'nothing'"):
        join_views(tables[0], tables[1:], **asked)


def test_a_view_of_other_entities_is_refused(tmp_path, tables):
    schema = TableSchema("cells", "features", ("cell",), (Field("cell", "string", "", ""), SIZES_SCHEMA.fields[1]))
    view = put(tmp_path, "features/ores/cells.parquet", SIZES.rename(columns={"composition": "cell"}), schema)
    with pytest.raises(DataError, match="cells can't be joined to ores.*no column 'cell'"):
        join_views(tables[0], [view])


# --- store ----------------------------------------------------------------------------------------------------------


def test_features_of_stored_views_are_those_that_a_merge_gives(store):
    found = store.features("ores", ["weights", "sizes"])
    assert_frame_equal(found, MERGED[["row_id", "mean_weight", "n_atoms", "mean_radius"]])


def test_dataset_columns_stand_beside_all_features(store):
    found = store.features("ores", ["sizes"], columns=["zt", "composition"])
    assert_frame_equal(found, MERGED[["row_id", "zt", "composition", "mean_radius"]])


def test_naming_features_returns_only_what_is_named(store):
    found = store.features("ores", ["weights_temperature"], columns=["zt", "mean_radius", "row_id"])
    assert_frame_equal(found, MERGED[["row_id", "zt", "mean_radius"]])


def test_a_joined_view_brings_its_dataset_columns_and_shares_parts_with_others(store):
    expected = MERGED[["row_id", "temperature", "zt", "mean_weight", "n_atoms", "mean_radius"]]
    assert_frame_equal(store.features("ores", ["weights_temperature", "weights"], columns=["zt"]), expected)
    in_sql = store.sql("SELECT * FROM features.ores__weights_temperature ORDER BY row_id")
    assert_frame_equal(store.features("ores", ["weights_temperature"]), in_sql)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ore", ["weights"]), "unknown dataset: found 'ore'. Did you mean 'ores'?"),
        (("ores", ["weigths"]), "unknown view of dataset ores: found 'weigths'. Did you mean 'weights'?"),
        (("ores", ["weights"], ["mean_wieght"]), "found 'mean_wieght'. Did you mean 'mean_weight'?"),
        (("ores", ["weights"], ["mean_radius"]), "unknown column of dataset ores or its views weights"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(store, arguments, message):
    with pytest.raises(QueryError) as refused:
        store.features(*arguments)
    assert message in str(refused.value)


def test_a_store_that_is_not_there_says_how_to_make_it(tmp_path):
    with pytest.raises(QueryError, match="no results folder.*make demo.*make reproduce"):
        open_store(tmp_path / "absent")
    with pytest.raises(QueryError, match="no catalog.*make demo.*make reproduce"):
        open_store(tmp_path)


def test_sql_returns_what_pandas_computes(store):
    found = store.sql("SELECT composition, max(zt) AS zt FROM datasets.ores GROUP BY ALL ORDER BY composition")
    expected = ORES.groupby("composition", as_index=False)["zt"].max()
    assert_frame_equal(found, expected)
    assert store.sql("SELECT count(*) AS n FROM datasets.ores WHERE zt > ?", [0.5])["n"].item() == 2


def test_a_store_shows_what_was_last_swapped_in(tmp_path):
    root = tmp_path / "results"
    tables = write_results(root)
    count, store = "SELECT count(*) AS n FROM registry.tables", Store(root)
    for known in (tables, tables[:1], tables):
        build_catalog(store.catalog, known, root, studies={})
        assert store.sql(count)["n"].item() == len(store.tables()) == len(known)
    put(root, "features/ores/sizes.parquet", SIZES.assign(mean_radius=1.0), SIZES_SCHEMA)  # and in a file by itself
    assert store.sql("SELECT sum(mean_radius) AS r FROM features.ores__sizes")["r"].item() == 3.0


def test_many_keys_are_one_parameter(store):
    found = store.sql("SELECT row_id, zt FROM datasets.ores WHERE row_id IN (SELECT unnest(?)) ORDER BY ALL", [[5, 2]])
    assert_frame_equal(found, ORES.loc[[1, 4], ["row_id", "zt"]].reset_index(drop=True))


def test_the_store_works_from_another_folder(store, tmp_path, monkeypatch):
    monkeypatch.chdir(store.root.parent)
    relative = open_store()
    assert len(relative.features("ores", ["weights"])) == 5
    monkeypatch.chdir(tmp_path)
    with pytest.raises(QueryError):
        open_store()


def test_tables_and_columns_are_listed(store):
    tables = store.tables().set_index("name")
    assert tables.loc["features.ores__sizes", ["dataset", "view", "key", "rows"]].tolist() == [
        "ores", "sizes", "composition", 3,
    ]  # fmt: skip
    columns = store.columns("features.ores__weights").set_index("name")
    assert columns.index.tolist() == ["composition", "mean_weight", "n_atoms"]
    assert columns.loc["mean_weight", ["unit", "min", "max", "null_share"]].tolist() == ["g/mol", 98.8, 167.4, 0.0]


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("features.ores__sizes", "features.ores__sizes"),
        ("features/ores/sizes.parquet", "features.ores__sizes"),
        ("ores__sizes", "features.ores__sizes"),
        ("sizes", "features.ores__sizes"),
        ("weights_temperature", "features.ores__weights_temperature"),
        ("ores", "datasets.ores"),
    ],
)
def test_a_table_may_be_named_in_short(store, name, full):
    assert store.resolve(name) == full


def test_an_ambiguous_or_unknown_table_is_refused(store):
    with pytest.raises(QueryError, match="several tables are named 'kmeans'.*clusters.ores.*, metrics.clustering"):
        store.resolve("kmeans")
    with pytest.raises(QueryError, match="unknown table: found 'wieghts'. Did you mean 'features.ores__weights'"):
        store.resolve("wieghts")


def test_lineage_reaches_the_raw_file(store):
    found = store.lineage("clusters.ores__weights_temperature__pca1__kmeans")
    tree = list(zip(found["depth"], found["table"], strict=True))
    dataset, raw = "datasets.ores", "sources/ores/ores.csv"
    assert tree == [
        (0, "clusters.ores__weights_temperature__pca1__kmeans"),
        (1, "representations.ores__weights_temperature__pca1"),
        (2, dataset), (3, raw),
        (2, "features.ores__weights"), (3, dataset), (4, raw),
        (2, "features.ores__sizes"), (3, dataset), (4, raw),
    ]  # fmt: skip
    assert found["current"].tolist() == [True, True, True, None, True, True, None, True, True, None]
    assert found["code_hash"][0] == "c0de" and found["code_hash"][3] is None
    assert found["hash"][2] == table_info(store.root / "datasets/ores.parquet").content_hash


def test_lineage_of_a_joined_view_names_its_parts(store):
    found = store.lineage("weights_temperature")
    assert found.loc[found["depth"] == 1, "table"].tolist() == [
        "datasets.ores", "features.ores__weights", "features.ores__sizes",
    ]  # fmt: skip


def test_lineage_tells_when_an_input_has_changed_since(tmp_path):
    store = open_store(make_results(tmp_path / "results"))
    put(store.root, "datasets/ores.parquet", ORES.assign(zt=2.0), DATASET_SCHEMA)
    found = store.lineage("sizes")
    assert found["current"].tolist() == [True, False, None]


def test_claims_are_listed(store):
    assert store.claims()["verdict"].tolist() == ["reproduced", "contradicted"]


def test_generated_data_is_known_by_what_a_query_reads(tmp_path):
    root = tmp_path / "results"
    tables = write_results(root)
    tables.append(put(root, "datasets/made_up.parquet", ORES, DATASET_SCHEMA, simulated=True))
    build_catalog(root / "matlas.duckdb", tables, root, studies={})
    store = open_store(root)
    assert store.is_simulated(["datasets.made_up", "datasets.ores"]) and not store.is_simulated(["datasets.ores"])
    assert store.reads_simulated("FROM datasets.made_up")
    assert not store.reads_simulated("WITH a AS (FROM datasets.ores) FROM a, features.ores__sizes")
    for untold in ["FROM claims", f"FROM '{root}/datasets/made_up.parquet'", "FROM datasets.ores, registry.tables",
                   f"FROM datasets.ores, read_parquet('{root}/datasets/made_up.parquet')"]:  # fmt: skip
        assert store.reads_simulated(untold)


def test_a_store_of_measured_data_shows_no_generated_data(store):
    assert not store.reads_simulated("FROM claims") and not store.is_simulated(["datasets.ores"])


def test_weights_are_told_for_the_tables_asked_for_and_an_older_catalog_is_refused(tmp_path):
    root = tmp_path / "results"
    build_catalog(root / "matlas.duckdb", write_image_results(root), root, studies={"cracks": IMAGE_STUDY})
    found = open_store(root).weights(["features.plates__raw_pixels", "representations.plates__resnet18_pq__pca2"])
    assert found.values.tolist() == [
        ["representations.plates__resnet18_pq__pca2", "resnet18_pq", "plate_weights", "CC-BY-NC-4.0"]
    ]
    with duckdb.connect(root / "matlas.duckdb") as connection:
        connection.execute("DROP TABLE registry.weights")
    with pytest.raises(QueryError, match="catalog is of an older version.*[Mm]ake it again: snakemake"):
        open_store(root).weights([])
    assert len(open_store(root).features("plates", ["raw_pixels"])) == 6


# --- new compounds --------------------------------------------------------------------------------------------------

VIEWS = """
element_fractions: {kind: composition, features: element_fractions}
tiny: {kind: composition, features: element_statistics, table: magpie, statistics: [mean, maximum]}
both: {kind: joined, of: [tiny, element_fractions]}
hot: {kind: joined, of: [tiny], columns: [temperature]}
bad: {kind: composition, features: element_statistics, table: magpie, statistics: [median]}
"""


@pytest.fixture
def elements(tmp_path, monkeypatch):
    """Views in a configuration of their own, and an element table as the workflow stores it: magpie with two elements
    and one property, so that what is computed shows where the values came from."""
    (tmp_path / "views.yaml").write_text(VIEWS)
    monkeypatch.setattr(store_module, "VIEWS", tmp_path / "views.yaml")
    frame = pd.DataFrame({"symbol": ["H", "O"], "atomic_number": [1, 8], "mass": [1.0, 16.0]})
    schema = element_schema("magpie", [Field("mass", "float64", "g/mol", "Atomic mass", label="mass")])
    return put(tmp_path, "elements/magpie.parquet", frame, schema).parent


def test_new_compounds_get_one_row_each_in_their_order(elements):
    found = featurize_formulas(["H2O", "O2", "H2O", "H"], ["tiny"], elements=elements)
    assert found.columns.tolist() == ["composition", "magpie_data_mean_mass", "magpie_data_maximum_mass"]
    assert found["composition"].tolist() == ["H2O", "O2", "H2O", "H"]
    np.testing.assert_allclose(found["magpie_data_mean_mass"], [6.0, 16.0, 6.0, 1.0])
    assert found["magpie_data_maximum_mass"].tolist() == [16.0, 16.0, 16.0, 1.0]


def test_a_joined_view_of_formulas_alone_is_its_parts_side_by_side(elements):
    found = featurize_formulas(["H2O"], ["both"], elements=elements)
    assert found.shape == (1, 1 + 2 + 118)
    assert found["fraction_h"].item() == pytest.approx(2 / 3)


def test_no_formulas_give_no_rows_but_all_columns(elements):
    assert featurize_formulas([], ["tiny"], elements=elements).shape == (0, 3)


def test_all_formulas_that_can_not_be_parsed_are_listed_with_row_and_reason(elements):
    with pytest.raises(DataError) as refused:
        featurize_formulas(["H2O", "Xx2", "", "O2"], ["tiny"], elements=elements)
    assert "2 of 4 formulas can't be parsed" in str(refused.value)
    assert "row 2: unknown element 'Xx'; row 3: empty" in str(refused.value)
    with pytest.raises(DataError, match="row 20: .* and 5 more"):
        featurize_formulas(["Xx"] * 25, ["tiny"], elements=elements)


@pytest.mark.parametrize(
    ("view", "message"),
    [
        ("tinny", "unknown view: found 'tinny'. Did you mean 'tiny'?"),
        ("hot", "view hot needs more than a formula: found columns temperature. Use tiny."),
        ("bad", "or 'mode' ("),
    ],
)
def test_a_view_that_can_not_be_computed_is_refused(elements, view, message):
    with pytest.raises((QueryError, ConfigError)) as refused:
        featurize_formulas(["H2O"], [view], elements=elements)
    assert message in str(refused.value)


def test_views_with_a_column_in_common_are_refused(elements, tmp_path):
    (tmp_path / "views.yaml").write_text(VIEWS + "again: {kind: composition, features: element_fractions}\n")
    with pytest.raises(QueryError, match="column of the same name: found 'fraction_h'"):
        featurize_formulas(["H2O"], ["element_fractions", "again"], elements=elements)


def test_the_views_of_the_project_give_what_matminer_gives(store):
    from matminer.featurizers.composition import ElementProperty
    from pymatgen.core import Composition

    formulas = ["Bi2Te3", "Na0.01Pb0.99Te", "SnSe"]
    peer = ElementProperty.from_preset("magpie", impute_nan=True)
    expected = np.array([peer.featurize(Composition(f)) for f in formulas])
    found = store.featurize(formulas, ["magpie"])
    np.testing.assert_allclose(found.iloc[:, 1:].to_numpy(), expected, rtol=1e-9, atol=1e-9)
    assert found["composition"].tolist() == formulas
