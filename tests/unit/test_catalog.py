"""The catalog holds one relation a table, a registry that agrees with the data, and never half of anything."""

import json
import os
import subprocess
import sys

import duckdb
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from matlas import catalog
from matlas.catalog import build_catalog, catalog_connection
from matlas.errors import DataError
from matlas.sandbox import run_query
from matlas.tables import read_table, table_info
from schemas.tables.analysis import CLAIMS
from tests.unit.results_folder import (
    DATASET_SCHEMA,
    IMAGE_STUDY,
    JOINED,
    ORES,
    RESTRICTED,
    SIZES,
    SIZES_SCHEMA,
    STUDIES,
    WEIGHTS,
    make_results,
    put,
    write_image_results,
    write_results,
)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_results(tmp_path_factory.mktemp("store") / "results")


@pytest.fixture
def ask(root):
    return lambda sql: run_query(root / "matlas.duckdb", sql).to_pandas()


def columns_of(ask, relation):
    return ask(f"DESCRIBE {relation}")["column_name"].tolist()


@pytest.mark.parametrize(
    ("relation", "columns"),
    [
        ("claims", "id variant study says cites expected tolerance measured verdict"),
        ("claim_details", "id variant quantity difference detail"),
        ("metrics", "study dataset view representation method metric value seed split"),
        ("clustering_sweep", "dataset view representation clustering k metric value seed split"),
        ("registry.tables", "name layer dataset view key rows bytes version code_hash config_hash created"),
        ("registry.columns", "table_name name dtype unit description null_share min max citation"),
        ("registry.lineage", "table_name input input_hash"),
        ("registry.labels", "table_name name label"),
        ("registry.simulated", "table_name simulated"),
        ("registry.weights", "table_name view weights licence"),
        ("registry.jobs", "rule wildcards startup_s work_s peak_rss_mb finished notes"),
        ("scores", "study dataset view representation clustering k seed metric value"),
        ("contingency", "study dataset view representation clustering k seed label cluster entities matched"),
        (
            "conditions",
            "study dataset view representation clustering k seed condition effect_of_cluster effect_of_label "
            "effect_within_label",
        ),
        ("inspections", "study dataset view inspection order seed inspected recall"),
    ],
)
def test_relations_that_others_rely_on_have_exactly_these_columns(ask, tmp_path, relation, columns):
    assert columns_of(ask, relation) == columns.split()
    build_catalog(tmp_path / "empty.duckdb", [], tmp_path, studies={})
    assert columns_of(lambda sql: run_query(tmp_path / "empty.duckdb", sql).to_pandas(), relation) == columns.split()


def test_each_table_is_a_relation_named_by_its_path(ask, root):
    names = ask("SELECT name FROM registry.tables")["name"].tolist()
    assert {"datasets.ores", "features.ores__weights", "clusters.ores__weights_temperature__pca1__kmeans",
            "metrics.clustering__ores__weights_temperature__pca1__kmeans", "claims.first"} <= set(names)  # fmt: skip
    for path in root.rglob("*.parquet"):
        layer, *rest = path.relative_to(root).with_suffix("").parts
        found = ask(f"SELECT * FROM {layer}.{'__'.join(rest)}")
        assert found.columns.tolist() == table_info(path).columns
        assert len(found) == len(read_table(path))


def test_a_joined_view_holds_key_columns_and_features_of_every_row(ask):
    expected = ORES[["row_id", "composition", "temperature"]].merge(WEIGHTS).merge(SIZES).drop(columns="composition")
    found = ask("SELECT * FROM features.ores__weights_temperature ORDER BY row_id")
    assert_frame_equal(found, expected.sort_values("row_id", ignore_index=True))
    (row,) = ask("FROM registry.tables WHERE name = 'features.ores__weights_temperature'").to_dict("records")
    assert (row["key"], row["rows"], row["bytes"], row["view"]) == ("row_id", 5, 0, "weights_temperature")


def test_a_joined_view_that_no_study_uses_is_not_made(ask):
    assert ask("FROM registry.tables WHERE view = 'unused'").empty


def test_the_registry_describes_columns_as_their_data_is(ask):
    found = ask("FROM registry.columns WHERE table_name = 'datasets.ores'").set_index("name")
    assert found.loc["zt", ["unit", "citation", "null_share", "min", "max"]].tolist() == ["1", "a paper", 0.2, 0.1, 1.2]
    assert found.loc["temperature", ["unit", "min", "max"]].tolist() == ["K", 300.0, 600.0]
    assert found.index.tolist() == list(ORES)
    labels = ask("FROM registry.labels WHERE table_name = 'features.ores__weights'")
    assert labels[["name", "label"]].values.tolist() == [["mean_weight", "PeerData mean Weight"]]


def test_a_joined_view_claims_no_share_of_nulls_that_it_can_not_know(ask):
    shares = ask("FROM registry.columns WHERE table_name = 'features.ores__weights_temperature'").set_index("name")
    assert shares["null_share"]["mean_weight"] == 0.0  # no composition lacks it, so no row does
    assert pd.isna(shares["null_share"]["mean_radius"])  # 1 of 3 compositions lacks it, which is 2 of 5 rows
    assert shares["max"]["mean_radius"] == 142.0


def test_the_registry_agrees_with_the_files(ask, root):
    tables = ask("FROM registry.tables").set_index("name")
    info = table_info(root / "features/ores/weights.parquet")
    row = tables.loc["features.ores__weights"]
    hashes = ["version", "code_hash", "config_hash", "created"]
    assert row["bytes"] == os.path.getsize(root / "features/ores/weights.parquet")
    assert row[hashes].tolist() == [
        info.version,
        "c0de",
        "c0f1",
        info.created,
    ]
    lineage = ask("FROM registry.lineage WHERE table_name = 'features.ores__weights'")
    dataset_hash = table_info(root / "datasets/ores.parquet").content_hash
    assert lineage[["input", "input_hash"]].values.tolist() == [["datasets/ores.parquet", dataset_hash]]


def test_metrics_have_one_row_for_each_study_that_uses_the_method(ask):
    rows = ask("SELECT study, method, metric, value FROM metrics ORDER BY ALL").values.tolist()
    expected = [
        ["first", "gmm(k=2)", "silhouette", 0.25],  # only the first study clusters with gmm
        ["first", "kmeans", "best_k", 2.0],
        ["first", "kmeans(k=2)", "silhouette", 0.75],
        ["first", "kmeans(k=3)", "silhouette", 0.5],
        ["first", "pca1", "n_features", 4.0],
    ]
    expected += [["second", *row[1:]] for row in expected[1:]]
    assert rows == expected


def test_a_sweep_has_one_row_for_each_k_whoever_uses_it(ask):
    rows = ask("SELECT clustering, k, value FROM clustering_sweep ORDER BY ALL").values.tolist()
    assert rows == [["gmm", 2, 0.25], ["kmeans", 2, 0.75], ["kmeans", 3, 0.5]]


def test_what_judges_a_study_of_images_is_found_by_the_name_of_the_study(tmp_path):
    tables = write_image_results(tmp_path)
    build_catalog(tmp_path / "c.duckdb", tables, tmp_path, studies={"cracks": IMAGE_STUDY})

    def ask(sql):
        return run_query(tmp_path / "c.duckdb", sql, tmp_path).to_pandas()

    for name in ("scores", "contingency", "conditions", "inspections"):
        stored = read_table(tmp_path / name / "cracks.parquet")
        assert_frame_equal(ask(f"FROM {name} ORDER BY ALL"), ask(f"FROM {name}.cracks ORDER BY ALL"))
        assert len(stored) == ask(f"SELECT count(*) AS n FROM {name} WHERE study = 'cracks'")["n"][0] > 0
    assert len(read_table(tmp_path / "sensitivity/cracks.parquet")) == len(ask("FROM sensitivity.cracks"))


def test_the_registry_knows_what_a_study_is_made_of_and_makes_up_nothing(tmp_path):
    build_catalog(tmp_path / "c.duckdb", write_image_results(tmp_path), tmp_path, studies={"cracks": IMAGE_STUDY})
    found = run_query(tmp_path / "c.duckdb", "SELECT * EXCLUDE (study, dataset) FROM registry.studies").to_pylist()
    expected = [(v, r, r) for v, r in IMAGE_STUDY["spaces"] + IMAGE_STUDY["maps"]] + IMAGE_STUDY["clustered"]
    assert sorted(tuple(row.values()) for row in found) == sorted(expected)


def test_claims_and_their_details_stand_in_two_relations(ask):
    assert ask("SELECT id, verdict FROM claims ORDER BY id").values.tolist() == [
        ["ores-rows", "reproduced"], ["ores-zt", "contradicted"],
    ]  # fmt: skip
    details = ask("SELECT difference, detail FROM claim_details ORDER BY id").values.tolist()
    assert details == [[0.0, ""], [-0.75, "mean 0.65"]]
    assert ask("SELECT ari FROM agreement")["ari"].tolist() == [0.5]


def test_simulated_data_is_marked_in_everything_made_from_it(tmp_path):
    root = make_results(tmp_path / "results", simulated=True)
    marked = run_query(root / "matlas.duckdb", "FROM registry.simulated").to_pandas()
    assert len(marked) == 11 and marked["simulated"].all()


def test_weights_are_known_behind_everything_made_with_them(tmp_path):
    joined = {"seen": {"kind": "joined", "of": ["resnet18_pq", "raw_pixels"], "columns": ["brightness"]}}
    studies = {"cracks": IMAGE_STUDY | {"views": [*IMAGE_STUDY["views"], "seen"]}}
    tables = write_image_results(tmp_path)
    build_catalog(tmp_path / "c.duckdb", tables, tmp_path, studies=studies, joined_views=joined)
    found = run_query(tmp_path / "c.duckdb", "FROM registry.weights").to_pylist()
    made = [t.relative_to(tmp_path).with_suffix("").parts for t in tables if "resnet18_pq" in str(t)]
    made = [(f"{layer}.{'__'.join(rest)}", "resnet18_pq") for layer, *rest in made if layer != "metrics"]
    assert {"features", "representations", "clusters"} == {name.split(".")[0] for name, _ in made}
    expected = [(*row, "plate_weights", "CC-BY-NC-4.0") for row in [*made, ("features.plates__seen", "seen")]]
    assert sorted(tuple(row.values()) for row in found) == sorted(expected)


def test_weights_behind_a_view_say_nothing_of_its_name_in_another_dataset(tmp_path):
    put(tmp_path, "features/ores/sizes.parquet", SIZES, SIZES_SCHEMA, dataset="ores", view="sizes", **RESTRICTED)
    put(tmp_path, "features/gems/sizes.parquet", SIZES, SIZES_SCHEMA, dataset="gems", view="sizes")
    build_catalog(tmp_path / "c.duckdb", list(tmp_path.rglob("*.parquet")), tmp_path, studies={})
    assert [r["table_name"] for r in run_query(tmp_path / "c.duckdb", "FROM registry.weights").to_pylist()] == [
        "features.ores__sizes"
    ]


def test_costs_come_from_the_logs(tmp_path):
    cost = {"rule": "clean", "wildcards": {"dataset": "ores"}, "startup_s": 0.5, "work_s": 2.0, "peak_rss_mb": 99.0,
            "finished": "2024-02-29T12:00:00+00:00", "notes": {"images_per_s": 42.1}}  # fmt: skip
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "clean.log").write_text(f"12:00:00 INFO cost {json.dumps(cost)}\n")
    build_catalog(tmp_path / "c.duckdb", [], tmp_path, studies={}, logs=tmp_path / "logs")
    (row,) = run_query(tmp_path / "c.duckdb", "FROM registry.jobs").to_pylist()
    assert row == {**cost, "wildcards": '{"dataset": "ores"}', "notes": '{"images_per_s": 42.1}'}


def test_the_relations_exist_before_the_catalog_does(root):
    tables = sorted(root.rglob("*.parquet"))
    with catalog_connection(tables, root, STUDIES, JOINED) as connection:
        (row,) = connection.execute("SELECT count(*), max(zt) FROM datasets.ores").fetchall()
        assert row == (5, 1.2)
        assert connection.execute("SELECT count(*) FROM metrics").fetchall() == [(9,)]
        assert connection.execute("SELECT current_setting('threads')").fetchall() == [(1,)]  # sums in one order
        with pytest.raises(duckdb.PermissionException):
            connection.execute("SELECT * FROM read_text('/etc/passwd')")


def test_any_duckdb_reads_the_file_from_any_folder_once_it_knows_the_root(root, tmp_path, monkeypatch):
    program = (
        "import duckdb, sys; c = duckdb.connect(sys.argv[1], read_only=True); "
        "len(sys.argv) > 2 and c.execute(f\"SET VARIABLE root = '{sys.argv[2]}'\"); "
        "print(c.execute('SELECT sum(mean_weight) FROM features.ores__weights_temperature').fetchone()[0])"
    )

    def run(folder, *arguments):
        command = [sys.executable, "-c", program, *map(str, arguments)]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True)

    expected = 2 * 98.8 + 2 * 160.2 + 167.4
    beside = run(root.parent, root / "matlas.duckdb")
    elsewhere = run(tmp_path, root / "matlas.duckdb", root)
    assert float(beside.stdout) == pytest.approx(expected)
    assert float(elsewhere.stdout) == pytest.approx(expected)
    assert "No files found" in run(tmp_path, root / "matlas.duckdb").stderr


def test_the_file_is_written_in_the_older_storage_format(root):
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{root / 'matlas.duckdb'}' AS c (READ_ONLY)")
        (tags,) = connection.execute("SELECT tags FROM duckdb_databases() WHERE database_name = 'c'").fetchone()
    assert tags["storage_version"].startswith("v1.5.0")


def test_a_reader_keeps_the_old_catalog_while_a_new_one_is_swapped_in(tmp_path):
    root = make_results(tmp_path / "results")
    with duckdb.connect() as reader:
        reader.execute(f"ATTACH '{root / 'matlas.duckdb'}' AS c (READ_ONLY); USE c")
        before = reader.execute("SELECT count(*) FROM registry.tables").fetchone()
        put(root, "datasets/more.parquet", ORES, DATASET_SCHEMA)
        build_catalog(
            root / "matlas.duckdb", sorted(root.rglob("*.parquet")), root, studies=STUDIES, joined_views=JOINED
        )
        assert reader.execute("SELECT count(*) FROM registry.tables").fetchone() == before == (11,)
        assert run_query(root / "matlas.duckdb", "SELECT count(*) AS n FROM registry.tables").to_pylist() == [{"n": 12}]


def test_a_failed_build_leaves_the_old_catalog_and_nothing_else(tmp_path):
    root = make_results(tmp_path / "results")
    before = (root / "matlas.duckdb").read_bytes()
    with pytest.raises(DataError, match="table is missing"):
        build_catalog(root / "matlas.duckdb", [root / "datasets/absent.parquet"], root, studies=STUDIES)
    assert (root / "matlas.duckdb").read_bytes() == before
    assert [p.name for p in root.iterdir() if p.is_file()] == ["matlas.duckdb"]


def test_a_build_that_fails_half_way_leaves_nothing(tmp_path, monkeypatch):
    tables = write_results(tmp_path / "results")
    monkeypatch.setattr(catalog, "RELATIONS", {"broken": (CLAIMS, "SELECT nothing FROM {rows}")})
    with pytest.raises(duckdb.BinderException):
        build_catalog(tmp_path / "c.duckdb", tables, tmp_path / "results", studies=STUDIES)
    assert [p.name for p in tmp_path.iterdir()] == ["results"]


def test_what_a_killed_shell_left_beside_the_old_catalog_does_not_spoil_the_new_one(tmp_path):
    root = make_results(tmp_path / "results")
    shell = "import duckdb, os; c = duckdb.connect('matlas.duckdb'); c.execute('CREATE TABLE a (b INT)'); os._exit(9)"
    subprocess.run([sys.executable, "-c", shell], cwd=root)
    assert (root / "matlas.duckdb.wal").exists()
    build_catalog(root / "matlas.duckdb", sorted(root.rglob("*.parquet")), root, studies={})
    assert run_query(root / "matlas.duckdb", "FROM registry.tables").num_rows == 10


def test_two_tables_of_one_name_are_refused(tmp_path):
    for path in ("features/ores/a__b.parquet", "features/ores/a/b.parquet"):
        put(tmp_path, path, SIZES, SIZES_SCHEMA)
    with pytest.raises(DataError, match="two tables are named features.ores__a__b"):
        build_catalog(tmp_path / "c.duckdb", list(tmp_path.rglob("*.parquet")), tmp_path, studies={})


def test_a_table_outside_the_root_is_refused(tmp_path):
    table = put(tmp_path, "elsewhere/datasets/ores.parquet", ORES, DATASET_SCHEMA)
    with pytest.raises(DataError, match="outside the results folder"):
        build_catalog(tmp_path / "c.duckdb", [table], tmp_path / "results", studies={})


def test_a_table_in_the_folder_of_another_layer_is_refused(tmp_path):
    table = put(tmp_path, "datasets/sizes.parquet", SIZES, SIZES_SCHEMA)
    with pytest.raises(DataError, match="folder of another layer.*expected features/"):
        build_catalog(tmp_path / "c.duckdb", [table], tmp_path, studies={})


def test_a_joined_view_needs_its_parts_but_a_study_left_out_needs_nothing(tmp_path):
    dataset, *_ = write_results(tmp_path)
    with pytest.raises(DataError, match="weights_temperature joins a view that is not there.*found weights"):
        build_catalog(tmp_path / "c.duckdb", [dataset], tmp_path, studies=STUDIES, joined_views=JOINED)
    build_catalog(tmp_path / "c.duckdb", [], tmp_path, studies=STUDIES, joined_views=JOINED)
    assert run_query(tmp_path / "c.duckdb", "FROM registry.tables").num_rows == 0


def test_two_parts_with_a_column_of_one_name_can_not_be_joined(tmp_path):
    dataset, weights, *_ = write_results(tmp_path)
    twice = put(tmp_path, "features/ores/again.parquet", SIZES, SIZES_SCHEMA)
    sizes = tmp_path / "features/ores/sizes.parquet"
    joined = {"weights_temperature": {"of": ["sizes", "again"], "columns": []}}
    study = {"s": STUDIES["second"]}
    with pytest.raises(DataError, match="'mean_radius' stands in two parts"):
        build_catalog(
            tmp_path / "c.duckdb", [dataset, weights, sizes, twice], tmp_path, studies=study, joined_views=joined
        )
