"""Redraws of groups against formulas and peer libraries, and records as a table."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from matlas.errors import DataError
from matlas.evaluate.records import tests_frame as frame_of
from matlas.evaluate.resampling import interval, redrawn, score
from matlas.tables import read_table, write_table
from schemas.tables.learning import TESTS


@pytest.fixture
def values():
    return np.random.default_rng(0).normal(size=400)


def test_the_interval_of_a_mean_of_independent_rows_is_that_of_its_standard_error(values):
    found = interval(redrawn(lambda rows: values[rows].mean(), np.arange(400), draws=2000))
    half = 1.96 * values.std() / 20
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.1 * half)


def test_rows_that_come_ten_times_in_a_group_make_a_number_no_surer(values):
    once = redrawn(lambda rows: np.median(values[rows]), np.arange(400), draws=50)
    ten = np.repeat(values, 10)
    again = redrawn(lambda rows: np.median(ten[rows]), np.repeat(np.arange(400), 10), draws=50)
    np.testing.assert_allclose(once, again)


def test_groups_are_drawn_whole_and_the_first_value_is_of_all_rows():
    groups = np.array(["b", "a", "b", "c", "c", "c"])
    drawn = []
    redrawn(lambda rows: drawn.append(rows) or 0.0, groups, draws=30)
    assert drawn[0].tolist() == list(range(6))
    for rows in drawn[1:]:
        counts = np.bincount(rows, minlength=6)
        assert counts[0] == counts[2] and counts[3] == counts[4] == counts[5]
        assert counts[1] + counts[0] + counts[3] == 3
    assert len({tuple(rows) for rows in drawn}) > 5


def test_redraws_in_which_a_number_is_not_defined_are_left_out():
    found = interval(np.array([1.0, np.nan, 2.0, 2.0, np.nan]))
    assert found == (1.0, 2.0, 2.0)
    assert np.isnan(interval(np.array([np.nan, 1.0])).value) and interval(np.array([np.nan, 1.0])).low is None


def test_scores_are_those_of_peer_libraries(values):
    truth = (values + np.random.default_rng(1).normal(size=400) > 0).astype(float)
    groups = np.arange(400) // 4
    found = score("roc_auc", truth, values, groups)
    assert found.value == pytest.approx(roc_auc_score(truth, values)) and found.low < found.value < found.high
    noisy = values + np.random.default_rng(2).normal(size=400)
    assert score("spearman", values, noisy, groups).value == pytest.approx(spearmanr(values, noisy).statistic)


def test_rows_without_a_group_are_refused():
    with pytest.raises(DataError, match="1 of 2 without"):
        redrawn(np.mean, np.array(["a", None], dtype=object))


def test_records_become_a_table_that_is_valid(tmp_path):
    records = [
        {"test": "manifold", "metric": "distance", "value": 1, "n": 5, "x": 0.1, "low": None},
        {"test": "manifold", "metric": "distance", "value": float("nan"), "n": 5, "seed": 3, "case": "line"},
    ]
    path = tmp_path / "tests.parquet"
    write_table(frame_of("study", "crystals", records), path, TESTS)
    first, second = read_table(path).to_dict("records")
    assert (first["study"], first["dataset"], first["group"], first["case"], first["x"]) == (
        "study", "crystals", "", "", 0.1)  # fmt: skip
    assert first["value"] == 1.0 and np.isnan(first["low"]) and np.isnan(second["value"]) and second["seed"] == 3


@pytest.mark.parametrize("record", [{"test": "a", "metric": "b"}, {"test": "a", "metric": "b", "n": 1, "colour": 2}])
def test_a_record_that_says_too_little_or_too_much_is_refused(record):
    with pytest.raises(DataError, match="colour|'n'"):
        frame_of("study", "crystals", [record])
