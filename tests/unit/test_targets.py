"""Targets of probes as DuckDB computes them: numbers, classes, and what is empty."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from matlas.errors import ConfigError
from matlas.probe.targets import target_values
from matlas.tables import write_table
from schemas.table import Field, TableSchema


@pytest.fixture
def crystals():
    columns = {
        "band_gap": [0.0, 1.5, np.nan, 3.0],
        "energy": [1.0, -2.0, 0.5, 0.0],
        "tested": [True, True, True, False],
    }
    return pd.DataFrame(columns, index=pd.Index(["a", "b", "c", "d"], name="material_id"))


def values_of(crystals, **target):
    values, tasks = target_values(crystals, {"target": target})
    return values["target"].tolist(), tasks["target"]


def test_a_number_is_what_the_expression_says_of_each_row(crystals):
    values, task = values_of(crystals, sql="2 * energy + 1")
    assert values == [3.0, -3.0, 2.0, 1.0] and task == "regression"


def test_a_truth_value_is_a_class_and_empty_where_it_can_not_be_told(crystals):
    values, task = values_of(crystals, sql="band_gap = 0")
    np.testing.assert_array_equal(values, [1, 0, np.nan, 0])
    assert task == "classification"


def test_rows_that_the_condition_leaves_out_have_no_value(crystals):
    np.testing.assert_array_equal(values_of(crystals, sql="energy", where="tested")[0], [1, -2, 0.5, np.nan])
    # a condition that can't be told is not met
    np.testing.assert_array_equal(values_of(crystals, sql="energy", where="band_gap > 0")[0], [np.nan, -2, np.nan, 0])


def test_what_is_not_finite_is_empty(crystals):
    np.testing.assert_array_equal(values_of(crystals, sql="1 / energy")[0], [1, -0.5, 2, np.nan])


def test_a_target_named_as_a_column_leaves_the_column_to_the_others(crystals):
    targets = {"band_gap": {"sql": "band_gap * 0"}, "gap": {"sql": "band_gap", "where": None}}
    values, _ = target_values(crystals, targets)
    assert list(values) == ["band_gap", "gap"]
    np.testing.assert_array_equal(values["gap"], crystals["band_gap"])


def test_the_key_is_a_column_too_and_rows_keep_their_order(crystals):
    values, _ = target_values(crystals.iloc[::-1], {"first": {"sql": "material_id = 'a'"}})
    assert values["first"].to_dict() == {"d": 0, "c": 0, "b": 0, "a": 1}


def test_a_table_gives_what_its_frame_gives(crystals, tmp_path):
    fields = (
        Field("material_id", "string", "", "key"), Field("band_gap", "float64", "eV", "gap", nullable=True),
        Field("energy", "float64", "eV", "energy"), Field("tested", "bool", "", "flag"),
    )  # fmt: skip
    path = tmp_path / "crystals.parquet"
    write_table(crystals.reset_index(), path, TableSchema("crystals", "datasets", ("material_id",), fields))
    targets = {"gap": {"sql": "band_gap"}, "metal": {"sql": "band_gap = 0", "where": "tested"}}
    (values, tasks), (expected, of_frame) = target_values(path, targets), target_values(crystals, targets)
    pd.testing.assert_frame_equal(values, expected)
    assert tasks == of_frame == {"gap": "regression", "metal": "classification"}


def test_an_expression_that_is_refused_names_the_target_and_the_columns(crystals):
    with pytest.raises(ConfigError, match=r"target.*band_gap.*bandgap"):
        values_of(crystals, sql="bandgap = 0")
