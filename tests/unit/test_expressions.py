"""Columns computed by SQL: right row, right type, null where there is no number, and no way out of the table."""

import numpy as np
import pandas as pd
import pytest

from matlas.errors import ConfigError
from matlas.expressions import add_columns, check_expressions
from schemas.config.datasets import Derived


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame({
        "x": [1.0, 0.0, np.nan, 4.0], "y": [0.0, 0.0, 1.0, 2.0], "n": [1, 2, 3, 4],
        "count": pd.array([5, None, 7, 8], dtype="Int64"), "family": ["oxide", "halide", None, "oxide"],
    })  # fmt: skip


def derived(frame: pd.DataFrame, sql: str) -> list:
    return add_columns(frame, {"new": sql}, {})["new"].tolist()


def flag(frame: pd.DataFrame, sql: str) -> list:
    return add_columns(frame, {}, {"new": sql})["new"].tolist()


@pytest.mark.parametrize(
    ("sql", "by_hand"),
    [
        ("x + y", [1.0, 0.0, np.nan, 6.0]),
        ("x / y", [np.nan, np.nan, np.nan, 2.0]),  # 1/0, 0/0, null, 4/2
        ("n / 2", [0.5, 1.0, 1.5, 2.0]),
        ("n / 0", [np.nan] * 4),
        ("ln(n - 1 + 1e-300) * 0 + exp(1000 * (n - 1))", [1.0, np.nan, np.nan, np.nan]),
        ("count * 2", [10.0, np.nan, 14.0, 16.0]),
        ("CASE WHEN family = 'oxide' THEN 1 ELSE 0 END", [1.0, 0.0, 0.0, 1.0]),
        ("3", [3.0] * 4),
        ("NULL", [np.nan] * 4),
        ("sqrt(-y - 1)", [np.nan] * 4),
    ],
)
def test_a_derived_column_is_what_one_computes_by_hand(frame, sql, by_hand):
    np.testing.assert_array_equal(derived(frame, sql), by_hand)
    assert add_columns(frame, {"new": sql}, {})["new"].dtype == np.float64


@pytest.mark.parametrize(
    ("sql", "by_hand"),
    [
        ("x > 0.5", [True, False, False, True]),  # a null is not above anything …
        ("x < 0.5", [False, True, False, False]),  # … nor below
        ("x / nullif(y, 0) > 1", [False, False, False, True]),
        ("family = 'oxide'", [True, False, False, True]),
        ("family IS NULL", [False, False, True, False]),
        ("NULL", [False] * 4),
    ],
)
def test_a_flag_is_true_only_where_its_condition_holds(frame, sql, by_hand):
    assert flag(frame, sql) == by_hand
    assert add_columns(frame, {}, {"new": sql})["new"].dtype == np.bool_


def test_later_columns_use_earlier_ones_and_the_frame_given_stays_as_it_was(frame):
    before = frame.copy()
    new = add_columns(
        frame, {"double": "x * 2", "more": Derived(sql="double + 1")}, {"big": "more > 2", "small": "NOT big"}
    )
    assert new.columns.tolist() == [*before.columns, "double", "more", "big", "small"]
    np.testing.assert_array_equal(new["more"], [3.0, 1.0, np.nan, 9.0])
    assert new["small"].tolist() == [False, True, True, False]
    pd.testing.assert_frame_equal(frame, before)


def test_a_value_stays_with_its_row_when_the_expression_looks_at_others(frame):
    assert derived(frame, "row_number() OVER (ORDER BY y DESC, n)") == [3.0, 4.0, 2.0, 1.0]
    assert derived(frame, "n + 0 * max(n) OVER (PARTITION BY family)") == [1.0, 2.0, 3.0, 4.0]
    big = pd.DataFrame({"n": np.arange(300_000), "group_id": np.arange(300_000) % 7})
    new = add_columns(big, {"new": "n - min(n) OVER (PARTITION BY group_id)"}, {"odd": "n % 2 = 1"})
    np.testing.assert_array_equal(new["new"], big["n"] - big["group_id"])  # the first of each group is its number
    np.testing.assert_array_equal(new["odd"], big["n"] % 2 == 1)


def test_an_index_of_the_frame_does_not_shift_values(frame):
    shuffled = frame.sample(frac=1, random_state=0)
    new = add_columns(shuffled, {"new": "n * 10"}, {})
    assert (new["new"] == new["n"] * 10).all()
    assert new.index.tolist() == shuffled.index.tolist()


def test_text_that_starts_late_in_a_mostly_empty_column_is_seen():
    frame = pd.DataFrame({"text": [None] * 4999 + ["late"]}, dtype=object)
    assert sum(flag(frame, "text = 'late'")) == 1


def test_an_empty_frame_gets_its_columns(frame):
    new = add_columns(frame[:0], {"new": "x * 2"}, {"big": "x > 1"})
    assert new.dtypes[["new", "big"]].tolist() == [np.float64, np.bool_]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("zz + 1", "expected a column of the dataset, one of .*'x', 'y'.*found 'zz'"),
        ("famly = 'a'", r"expected a column of the dataset, 'family' \(nearest\), found 'famly'"),
        ("x +", "syntax error"),
        ("x -- rest", "syntax error"),
        ("family", "Could not convert string"),
        ("avg(x)", r"expected a value for each row, found an aggregate: avg\(x\).*OVER"),
        ("x) FROM clean; SELECT (1", "syntax error"),
    ],
)
def test_an_expression_that_can_not_be_computed_is_named(frame, sql, message):
    with pytest.raises(ConfigError, match=rf"derived column 'new' can't be computed.*{message}"):
        derived(frame, sql)


def test_an_expression_is_checked_before_there_are_rows(frame):
    empty = frame[:0]
    check_expressions(empty, {"here": "x / 2", "there": "family = 'a'"})
    message = r"the SQL can't be computed \(study: there\): expected a column of the dataset, 'family' \(nearest\)"
    with pytest.raises(ConfigError, match=message):
        check_expressions(empty, {"study: here": "x / 2", "study: there": "famly = 'a'"})


def test_a_flag_that_divides_by_zero_is_refused_since_nan_would_count_as_large(frame):
    with pytest.raises(ConfigError, match=r"flags column 'new'.*Division by zero.*nullif\(y, 0\)"):
        flag(frame, "x / y > 1")


@pytest.mark.parametrize(
    "sql",
    [
        "(SELECT length(content) FROM read_text('{path}'))",
        "(SELECT count(*) FROM read_csv('{path}'))",
        "(SELECT count(*) FROM '{path}')",
        "(SELECT count(*) FROM glob('{folder}/*'))",
        "(SELECT count(*) FROM frame)",  # a variable of the Python that runs it
        "1)::DOUBLE) THEN 1 END FROM clean; SET enable_external_access = true; SELECT CASE WHEN isfinite((1",
        "1)::DOUBLE) THEN 1 END FROM clean; COPY clean TO '{folder}/leak.csv'; SELECT CASE WHEN isfinite((1",
        "1)::DOUBLE) THEN 1 END FROM clean; ATTACH '{folder}/leak.db'; SELECT CASE WHEN isfinite((1",
    ],
)
def test_an_expression_reaches_no_file_and_no_setting(frame, tmp_path, sql):
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    with pytest.raises(ConfigError, match="can't be computed"):
        derived(frame, sql.format(path=secret, folder=tmp_path))
    assert list(tmp_path.iterdir()) == [secret]
