"""Claims: the verdict's arithmetic, and SQL that does not answer the question."""

import duckdb
import pandas as pd
import pytest

from matlas.claims import measure, verdict
from matlas.errors import ConfigError
from matlas.sandbox import lock


def claim(sql: str, expect=1.0, tolerance=0.0, variants=()) -> dict:
    about = {"id": "a", "says": "s", "cites": "c", "variants": list(variants)}
    return {**about, "sql": sql, "expect": expect, "tolerance": tolerance}


@pytest.fixture
def catalog(tmp_path):
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t AS SELECT range AS n FROM range(10)")
        lock(connection, tmp_path)
        yield connection


def evaluate(catalog, *arguments, **options) -> dict:
    (row,) = measure(catalog, [claim(*arguments, **options)], "study", simulated=False, skipped=None).to_dict("records")
    return row


def test_a_number_within_the_tolerance_is_reproduced_and_beyond_it_contradicted(catalog):
    row = evaluate(catalog, "SELECT avg(n), 'of ten' AS detail FROM t", expect=4.4, tolerance=0.1)
    assert (row["measured"], row["verdict"], row["detail"]) == (4.5, "reproduced", "of ten")
    assert evaluate(catalog, "SELECT avg(n) FROM t", expect=4.4, tolerance=0.09)["verdict"] == "contradicted"


@pytest.mark.parametrize(
    ("sql", "expected"), [("SELECT max(n) = 9 FROM t", "reproduced"), ("SELECT false", "contradicted")]
)
def test_a_statement_is_true_or_false(catalog, sql, expected):
    row = evaluate(catalog, sql, expect=True)
    assert (row["verdict"], row["quantity"]) == (expected, "true or false")


def test_simulated_data_never_reproduce_and_a_skipped_source_is_not_evaluated(catalog):
    assert verdict(1.0, 1.0, 0.0, simulated=True) == "agrees on simulated data"
    assert verdict(2.0, 1.0, 0.0, simulated=True) == "differs on simulated data"
    skipped = measure(catalog, [claim("SELECT 1")], "study", simulated=False, skipped="ore").iloc[0]
    assert skipped["verdict"] == "not evaluated" and "ore" in skipped["detail"]


def test_a_claim_with_variants_is_measured_once_on_each_view(catalog):
    sql = "SELECT length('{variant}'), 'on {variant}' AS detail"
    rows = measure(catalog, [claim(sql, 4.0, variants=["mono", "stereo"])], "study", simulated=False, skipped=None)
    assert rows[["variant", "measured", "verdict", "detail"]].values.tolist() == [
        ["mono", 4.0, "reproduced", "on mono"], ["stereo", 6.0, "contradicted", "on stereo"]
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="claim a, variant mono"):
        measure(catalog, [claim("SELECT {variant}", variants=["mono"])], "study", simulated=False, skipped=None)


def test_a_variant_whose_weights_are_left_out_is_not_evaluated_and_the_others_are(catalog):
    claims = [claim("SELECT length('{variant}')", 4.0, variants=["mono", "stereo"]), claim("SELECT 1")]
    left_out = {"stereo": "big_network", "unused": "other_network"}
    rows = measure(catalog, claims, "study", simulated=False, skipped=None, left_out=left_out)
    assert rows["verdict"].tolist() == ["reproduced", "not evaluated", "reproduced"]
    assert rows["measured"].isna().tolist() == [False, True, False]
    assert rows["detail"][1].startswith("source big_network was left out")


def test_a_claim_about_rows_that_are_missing_is_not_evaluated_and_says_so(catalog, caplog):
    sql = "SELECT max(n) FILTER (n > 99) > 1, 'of many' AS detail FROM t"
    row = measure(catalog, [claim(sql, True)], "study", simulated=False, skipped=None).iloc[0]
    assert row["verdict"] == "not evaluated" and pd.isna(row["measured"]) and "NULL" in row["detail"]
    assert "study study, claim a: not evaluated" in caplog.text


@pytest.mark.parametrize(
    ("sql", "expect", "words"),
    [
        ("SELECT n FROM t", 1.0, "one row"),
        ("SELECT n FROM t WHERE n > 99", 1.0, "no rows"),
        ("SELECT 'one'", 1.0, "wrong type"),
        ("SELECT DATE '2020-01-01'", 1.0, "wrong type"),
        ("SELECT INTERVAL 1 DAY", 1.0, "wrong type"),
        ("SELECT [1]", 1.0, "wrong type"),
        ("SELECT 1", True, "wrong type"),
        ("SELECT true", 1.0, "wrong type"),
        ("SELECT 'nan'::DOUBLE", 1.0, "no finite number"),
        ("SELECT m FROM t", 1.0, '"m" not found'),
        ("WITH x AS (COPY (SELECT 1) TO 'made.csv') SELECT 1", 1.0, "only read"),
        ("SELECT count(*) FROM read_text('/etc/hostname')", 1.0, "hostname"),
    ],
)
def test_sql_that_does_not_give_one_value_of_the_right_type_is_refused_by_the_claims_name(catalog, sql, expect, words):
    with pytest.raises(ConfigError, match=words) as caught:
        evaluate(catalog, sql, expect=expect)
    assert "claim a" in str(caught.value)
