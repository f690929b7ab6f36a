"""The command line: tables for people and for programs, one line for each error, and a doctor that finds faults."""

import csv
import io
import json
import subprocess
import sys
from collections import namedtuple

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from matlas import doctor
from matlas.catalog import build_catalog
from matlas.cli import main
from matlas.printing import print_table
from matlas.store import open_store
from schemas.table import Field
from schemas.tables.analysis import CLAIMS
from schemas.tables.features import feature_schema
from tests.unit.results_folder import (
    IMAGE_KEY,
    IMAGE_STUDY,
    IMAGES,
    RESTRICTED,
    SIZES,
    SIZES_SCHEMA,
    make_results,
    put,
    write_image_results,
)

Result = namedtuple("Result", "code out err")
NOTICE = "SAMPLE DATA: generated, not measured"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_results(tmp_path_factory.mktemp("store") / "results")


@pytest.fixture
def matlas(root, capsys, monkeypatch):
    monkeypatch.setenv("MATLAS_RESULTS", str(root))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main([str(a) for a in arguments])
        captured = capsys.readouterr()
        return Result(end.value.code, captured.out, captured.err)

    return run


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


# --- what the commands show -----------------------------------------------------------------------------------------


def test_views_are_listed_with_their_size(matlas):
    found = rows_of(matlas("features", "list", "--format", "csv").out)
    assert [(r["dataset"], r["view"], r["features"], r["rows"], r["key"]) for r in found] == [
        ("ores", "sizes", "1", "3", "composition"),
        ("ores", "weights", "2", "3", "composition"),
        ("ores", "weights_temperature", "4", "5", "row_id"),  # temperature, and the features of both
    ]


def test_a_view_is_described_with_units_and_definition(matlas):
    shown = matlas("features", "describe", "weights").out
    for text in ("features.ores__weights", "What the atoms weigh", "g/mol", "Mean atomic weight", "167.4"):
        assert text in shown
    columns = json.loads(matlas("features", "describe", "weights", "--format", "json").out)
    assert [c["name"] for c in columns] == ["composition", "mean_weight", "n_atoms"]
    assert columns[0]["min"] is None and columns[1]["min"] == 98.8
    assert "features.ores__weights, features.ores__sizes" in matlas("features", "describe", "weights_temperature").out


def test_features_are_those_of_the_python_api(matlas, root, tmp_path):
    expected = open_store(root).features("ores", ["weights", "sizes"], ["zt"])
    arguments = ("features", "get", "ores", "--views", "weights,sizes", "--columns", "zt")
    assert_frame_equal(pd.read_csv(io.StringIO(matlas(*arguments, "--format", "csv").out)), expected)
    assert matlas(*arguments, "-o", tmp_path / "f.parquet").code == 0
    assert_frame_equal(pd.read_parquet(tmp_path / "f.parquet"), expected)
    assert matlas(*arguments, "-o", tmp_path / "f.json").code == 0
    found = json.loads((tmp_path / "f.json").read_text(encoding="utf-8"))
    assert found[3] == {"row_id": 4, "zt": None, "mean_weight": 167.4, "n_atoms": 2, "mean_radius": 142.0}


def test_a_table_for_people_has_units_and_says_what_it_leaves_out(matlas, monkeypatch):
    shown = matlas("features", "get", "ores", "--views", "weights_temperature", "--limit", "2").out
    lines = [line.rstrip() for line in shown.splitlines()]
    assert lines[0].split() == ["row_id", "temperature", "mean_weight", "n_atoms", "mean_radius"]
    assert lines[1].split() == ["K", "g/mol", "pm"]
    assert lines[2].split() == ["1", "300", "98.8", "2", "129.5"]
    assert lines[0].index("mean_weight") + len("mean_weight") == lines[2].index("98.8") + len("98.8")  # to the right
    assert lines[4].startswith("… 3 more rows:")
    monkeypatch.setenv("COLUMNS", "36")
    narrow = matlas("features", "get", "ores", "--views", "weights_temperature").out
    assert "mean_weight" in narrow and "n_atoms" not in narrow and "… 2 more columns:" in narrow


def test_text_in_a_table_is_shown_as_it_stands(matlas):
    assert "[red]x[/red] :smile:" in matlas("query", "SELECT '[red]x[/red] :smile:' AS a").out


def test_a_query_prints_its_rows_at_full_precision(matlas):
    sql = "SELECT 0.1::DOUBLE + 0.2::DOUBLE AS a, 'a,\"b\"' AS b, NULL AS c, [1, 2] AS d, true AS e, 'NaN'::DOUBLE AS f"
    (row,) = rows_of(matlas("query", sql, "--format", "csv").out)
    assert float(row["a"]) == 0.1 + 0.2
    assert row["b"] == 'a,"b"' and row["c"] == "" and row["d"] == "[1, 2]" and row["e"] == "true" and row["f"] == ""
    (record,) = json.loads(matlas("query", sql, "--format", "json").out)
    assert record == {"a": 0.1 + 0.2, "b": 'a,"b"', "c": None, "d": [1, 2], "e": True, "f": None}
    assert json.loads(matlas("query", "SELECT 1 AS a WHERE false", "--format", "json").out) == []


def test_a_plan_is_printed_as_it_is(matlas):
    assert "Function: READ_PARQUET" in matlas("query", "EXPLAIN FROM datasets.ores").out


def test_lineage_is_a_tree_down_to_the_raw_file(matlas):
    lines = matlas("lineage", "features.ores__sizes").out.splitlines()
    names = ["features.ores__sizes", "datasets.ores", "sources/ores/ores.csv"]
    assert [line.index(name) for line, name in zip(lines, names, strict=True)] == [0, 4, 8]
    found = rows_of(matlas("lineage", "sizes", "--format", "csv").out)
    assert [(r["depth"], r["table"]) for r in found] == [
        ("0", "features.ores__sizes"), ("1", "datasets.ores"), ("2", "sources/ores/ores.csv"),
    ]  # fmt: skip


def test_lineage_marks_what_has_changed_since(matlas, tmp_path, monkeypatch):
    root = make_results(tmp_path / "results")
    put(root, "features/ores/sizes.parquet", SIZES.assign(mean_radius=1.0), SIZES_SCHEMA)
    shown = matlas("--results", root, "lineage", "representations.ores__weights_temperature__pca1").out
    (changed,) = [line for line in shown.splitlines() if "changed since" in line]
    assert "features.ores__sizes" in changed


def test_claims_are_shown_with_their_verdict(matlas):
    shown = matlas("claims").out
    assert "ores-rows" in shown and "reproduced" in shown and "contradicted" in shown and "There are 5 ores" in shown
    columns = list(rows_of(matlas("claims", "--format", "csv").out)[0])
    assert columns == "id variant study says cites expected tolerance measured verdict".split()


def test_generated_data_is_announced_on_stderr_only(matlas, tmp_path):
    root = make_results(tmp_path / "results", simulated=True)
    for line in ("features list", "features describe sizes", "features get ores --views sizes",
                 "query FROM\tdatasets.ores", "lineage sizes", "claims"):  # fmt: skip
        command = line.split(" ")
        marked = matlas("--results", root, *command)
        assert marked.err.strip() == NOTICE and NOTICE not in marked.out
        assert NOTICE not in matlas(*command).err


@pytest.fixture(scope="module")
def plates(tmp_path_factory):
    """Two views by weights that are not for commercial use, one by weights that are, one by none; claims about each."""
    root = tmp_path_factory.mktemp("plates") / "results"
    tables = write_image_results(root)
    free = {"weights": "free_weights", "weights_licence": "BSD-3-Clause"}
    for view, about in [("resnet18_pq_stage1", RESTRICTED), ("resnet18", free)]:
        frame, field = pd.DataFrame({"image_id": IMAGES, view: 0.5}), Field(view, "float64", "1", "A feature")
        schema = feature_schema(view, IMAGE_KEY, [field])
        tables.append(put(root, f"features/plates/{view}.parquet", frame, schema, dataset="plates", view=view, **about))
    claims = pd.DataFrame({
        "id": "ari", "variant": ["resnet18", "resnet18_pq", "resnet18_pq_stage1"], "study": "cracks", "says": "Good",
        "cites": "A", "expected": 0.5, "tolerance": 0.0, "measured": [0.5, 0.5, None],
        "verdict": ["reproduced", "reproduced", "not evaluated"], "quantity": "number", "detail": "",
    })[CLAIMS.columns]  # fmt: skip
    tables.append(put(root, "claims/cracks.parquet", claims, CLAIMS, study="cracks"))
    build_catalog(root / "matlas.duckdb", tables, root, studies={"cracks": IMAGE_STUDY})
    return root


@pytest.mark.parametrize(
    ("line", "views"),
    [
        ("features list", "resnet18_pq, resnet18_pq_stage1"),
        ("features describe resnet18_pq", "resnet18_pq"),
        ("features describe representations.plates__resnet18_pq__pca2", "resnet18_pq"),
        ("features describe resnet18", ""),
        ("features get plates --views resnet18_pq_stage1,resnet18_pq,raw_pixels", "resnet18_pq, resnet18_pq_stage1"),
        ("features get plates --views raw_pixels,resnet18 --columns brightness", ""),
        ("features get plates --views raw_pixels,resnet18_pq --columns raw_pixels_0,brightness", ""),
        ("features get plates --views raw_pixels,resnet18_pq --columns resnet18_pq_0", "resnet18_pq"),
        ("claims", "resnet18_pq"),  # that of stage 1 was not measured
    ],
)
def test_weights_that_are_not_for_commercial_use_are_announced_on_stderr_where_they_are_shown(
    matlas, plates, line, views
):
    shown = matlas("--results", plates, *line.split(), "--format", "csv")
    licence = "weights plate_weights, licence CC-BY-NC-4.0 (non-commercial use only)"
    assert shown.code == 0 and shown.err == (f"{views}: {licence}\n" if views else "")
    assert "CC-BY" not in shown.out and rows_of(shown.out)


def test_a_licence_that_says_so_in_words_is_not_told_twice(matlas, tmp_path):
    said = RESTRICTED | {"weights_licence": "CC-BY-NC-4.0 (non-commercial use only)"}
    table = put(tmp_path, "features/ores/sizes.parquet", SIZES, SIZES_SCHEMA, dataset="ores", view="sizes", **said)
    build_catalog(tmp_path / "matlas.duckdb", [table], tmp_path, studies={})
    shown = matlas("--results", tmp_path, "features", "list")
    assert shown.err == "sizes: weights plate_weights, licence CC-BY-NC-4.0 (non-commercial use only)\n"


# --- compounds of one's own -----------------------------------------------------------------------------------------


@pytest.fixture
def compounds(tmp_path):
    def write(text, encoding="utf-8"):
        path = tmp_path / "my.csv"
        path.write_text(text, encoding=encoding)
        return path

    return write


def get(matlas, file, *options):
    return matlas("features", "get", "--entities", file, "--views", "element_fractions", *options)


def test_compounds_of_a_file_are_featurised_beside_their_columns(matlas, compounds, tmp_path, monkeypatch):
    monkeypatch.setenv("MATLAS_RESULTS", str(tmp_path / "absent"))  # no results folder is needed
    file = compounds('id,Formula,note\n007,H2O,\n008,NaN,"a, b"\n\n009,H2O,x\n', "utf-8-sig")
    found = rows_of(get(matlas, file, "--format", "csv").out)
    assert [(r["id"], r["Formula"], r["note"]) for r in found] == [
        ("007", "H2O", ""), ("008", "NaN", "a, b"), ("009", "H2O", "x"),
    ]  # fmt: skip
    assert float(found[0]["fraction_h"]) == pytest.approx(2 / 3)
    assert float(found[1]["fraction_na"]) == 0.5  # sodium nitride, no missing value
    assert len(found[0]) == 3 + 118


def test_the_column_of_formulas_can_be_named(matlas, compounds):
    file = compounds("ore,composition\nSnSe,unknown\n")
    found = rows_of(get(matlas, file, "--formula-column", "ore", "--format", "csv").out)
    assert float(found[0]["fraction_sn"]) == 0.5 and found[0]["composition"] == "unknown"


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("formula\nH2O\nXx2\n", [], "row 2: unknown element 'Xx'"),
        ("a,b\nH2O,1\n", [], "no column of formulas"),
        ("formula\nH2O\n", ["--formula-column", "formla"], "Did you mean 'formula'?"),
        ("formula,b\nH2O,1\nNa,Cl,1\n", [], "row 2): expected 2 values as in the header, found 3"),
        ("", [], "the file is empty"),
        ("formula,fraction_h\nH2O,1\n", [], "'fraction_h' would stand in the result twice"),
        ('formula\n"H2O\n', [], "not a CSV file"),
    ],
)
def test_a_file_that_can_not_be_used_is_refused_in_one_line(matlas, compounds, text, options, message):
    found = get(matlas, compounds(text), *options)
    assert found.code == 1 and message in found.err and found.err.count("\n") == 1 and found.out == ""


def test_a_file_that_is_not_there_or_not_text_is_refused(matlas, tmp_path):
    assert "no such file" in get(matlas, tmp_path / "absent.csv").err
    (tmp_path / "binary.csv").write_bytes(b"formula\n\xff\xfe\n")
    assert "not a CSV file in UTF-8" in get(matlas, tmp_path / "binary.csv").err


# --- errors and files -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--results", "/absent", "claims"], "no results folder (/absent). Make it (make demo"),
        (["query", "SELEC 1"], 'syntax error at or near "SELEC"'),
        (["query", "COPY claims TO 'x.csv'"], "a query may only read"),
        (["query", "SELECT 1", "--memory", "much"], "not an amount of memory"),
        (["features", "describe", "weihgts"], "Did you mean 'features.ores__weights'?"),
        (["features", "get", "ores", "--views", "weight"], "Did you mean 'weights'?"),
        (["features", "get", "ores", "--views", "weights", "--columns", "ztt"], "Did you mean 'zt'?"),
        (["features", "get", "gold", "--views", "weights"], "unknown dataset: found 'gold'"),
        (["lineage", "nothing"], "unknown table"),
        (["claims", "--format", "parquet"], "Give a file with -o"),
        (["claims", "-o", "claims.txt"], "which format?"),
        (["claims", "-o", "/absent/claims.csv"], "no such folder (/absent)"),
    ],
)
def test_an_error_is_one_line_and_exit_status_1(matlas, arguments, message):
    found = matlas(*arguments)
    assert found.code == 1 and found.out == ""
    assert found.err.startswith("matlas: ") and found.err.count("\n") == 1 and message in found.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["features", "get", "--views", "weights"],
        ["features", "get", "ores"],
        ["features", "get", "ores", "--views", "weights", "--entities", "my.csv"],
        ["features", "get", "--entities", "my.csv", "--views", "weights", "--columns", "zt"],
        ["claims", "--format", "xml"],
        ["clams"],
    ],
)
def test_a_misused_command_is_told_how_to_be_used(matlas, arguments):
    found = matlas(*arguments)
    assert found.code == 2 and "Usage" in found.err


def test_a_file_is_overwritten_only_when_asked_for(matlas, tmp_path):
    file = tmp_path / "claims.csv"
    file.write_text("mine")
    refused = matlas("claims", "-o", file)
    assert refused.code == 1 and "the file exists" in refused.err and file.read_text() == "mine"
    written = matlas("claims", "-o", file, "--force")
    assert written.code == 0 and "wrote" in written.err and "2 rows, 9 columns" in written.err
    assert len(rows_of(file.read_text())) == 2
    assert list(tmp_path.iterdir()) == [file]


def test_numbers_in_a_table_for_people_have_six_digits(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    print_table(pd.DataFrame({"a": [1 / 3, 1e-9, float("nan")], "b": [True, False, None]}), limit=9)
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["a", "b"], ["0.333333", "true"], ["1e-09", "false"], [],
    ]  # fmt: skip


def test_help_needs_neither_pandas_nor_duckdb():
    program = (
        "import sys\nfrom matlas.cli import main\ntry: main(['--help'])\n"
        "finally: print(sorted({'pandas', 'duckdb', 'pyarrow', 'numpy', 'pydantic', 'matminer'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "lineage" in shown.stdout and shown.stdout.strip().endswith("[]")


def test_a_reader_that_leaves_early_hears_nothing(root):
    program = f"{sys.executable} -c 'from matlas.cli import main; main()' --results {root} query"
    sql = "SELECT * FROM range(30000)"
    for options in ("--format csv", "--format json", "--limit 5000"):
        shell = f'set -o pipefail; {program} "{sql}" {options} | head -1'
        found = subprocess.run(["bash", "-c", shell], capture_output=True, text=True)
        assert found.stdout.count("\n") == 1 and found.stderr == ""


def test_the_version_is_printed(matlas):
    assert matlas("--version").out.startswith("matlas ")


def test_an_unexpected_error_keeps_its_traceback():
    program = "from matlas import cli, store; store.open_store = lambda root: 1 / 0; cli.main(['claims'])"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert found.returncode == 1 and "Traceback" in found.stderr and "ZeroDivisionError" in found.stderr


# --- doctor ---------------------------------------------------------------------------------------------------------


def statuses(results):
    return {c.subject: c.status for c in doctor.check_results(results)}


def test_a_sound_store_passes(root):
    assert [(c.status, c.subject) for c in doctor.check_results(root)] == [("ok", "results"), ("ok", "tables")]


def test_results_that_are_not_there_fail_with_what_to_do(tmp_path):
    (check,) = doctor.check_results(tmp_path / "absent")
    assert check.status == "fail" and "make demo" in check.do
    (tmp_path / "matlas.duckdb").write_bytes(b"x" * 20_000)
    (check,) = doctor.check_results(tmp_path)
    assert check.status == "fail" and "can't be read" in check.detail


def test_a_missing_spoilt_or_changed_table_is_found(tmp_path):
    root = make_results(tmp_path / "results")
    put(root, "features/ores/sizes.parquet", SIZES.iloc[:2], SIZES_SCHEMA)
    (root / "features/ores/weights.parquet").unlink()
    (root / "claims/first.parquet").write_bytes(b"not Parquet")
    (check,) = [c for c in doctor.check_results(root) if c.subject == "tables"]
    assert check.status == "fail" and check.detail.startswith("3 of 10")
    assert "features/ores/sizes.parquet: 2 rows, the catalog says 3" in check.detail
    assert "features/ores/weights.parquet: table is missing" in check.detail
    assert "claims/first.parquet: not a Parquet file" in check.detail


def test_the_python_version_is_checked():
    versions = [(3, 10, 9), (3, 11, 0), (3, 13, 5), (3, 14, 0)]
    assert [doctor.check_python(v).status for v in versions] == ["fail", "ok", "ok", "fail"]


def test_packages_are_compared_with_the_lock_file(tmp_path):
    from importlib.metadata import version

    lock = tmp_path / "requirements.lock"
    assert doctor.check_packages(lock).status == "warn"
    lock.write_text(
        f"# made by a tool\nDuckDB=={version('duckdb')} \\\n    --hash=sha256:00\n"
        "absent-on-this-system==1.0 ; sys_platform == 'nowhere'\n"
    )
    assert doctor.check_packages(lock) == doctor.Check("ok", "packages", "1 as locked")
    lock.write_text("duckdb==0.0.1\n")
    check = doctor.check_packages(lock)
    assert check.status == "warn" and f"duckdb {version('duckdb')} (locked ==0.0.1)" in check.detail
    lock.write_text("duckdb==0.0.1\nno-such-package-anywhere==1\n")
    check = doctor.check_packages(lock)
    assert check.status == "fail" and "no-such-package-anywhere" in check.detail


def test_a_mirror_must_be_a_folder_or_an_address(tmp_path):
    found = [doctor.check_mirror(m).status for m in (None, "https://example.org/data", str(tmp_path), "/absent")]
    assert found == ["ok", "ok", "ok", "fail"]


def test_a_lock_left_behind_is_found(tmp_path):
    assert doctor.check_lock(tmp_path).status == "ok"
    (tmp_path / ".snakemake" / "locks").mkdir(parents=True)
    (tmp_path / ".snakemake" / "locks" / "0.output.lock").write_text("results/x")
    assert doctor.check_lock(tmp_path).status == "warn" and "--unlock" in doctor.check_lock(tmp_path).do


@pytest.mark.parametrize(("free", "status"), [(0.5e9, "fail"), (2e9, "warn"), (50e9, "ok")])
def test_a_full_disk_is_found(tmp_path, monkeypatch, free, status):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: namedtuple("Usage", "free")(free))
    assert doctor.check_disk(tmp_path / "not" / "yet").status == status


def test_the_doctor_ends_with_status_1_when_a_check_fails(matlas, tmp_path, monkeypatch):
    sound = matlas("doctor")
    subjects = [line.split()[1] for line in sound.out.splitlines() if not line.startswith(" ")]
    assert subjects == ["Python", "packages", "mirror", "disk", "workflow", "results", "tables"]
    failing = matlas("--results", tmp_path / "absent", "doctor")
    assert failing.code == 1 and "fail  results" in failing.out and "→" in failing.out
