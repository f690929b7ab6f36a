"""Shares of the work of several jobs, and what becomes of them together."""

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from matlas import shards as shards_module
from matlas import tables
from matlas.errors import DataError
from matlas.shards import gathered, share_of
from matlas.tables import write_table
from schemas.table import Field, TableSchema

ENTITIES = pd.Series(["m3", "m1", "m9", "m2", "m7"], name="material_id")


def test_shares_count_from_one_in_file_names_and_from_zero_in_code():
    assert [share_of(f"{i}-of-4") for i in (1, 2, 3, 4)] == [(0, 4), (1, 4), (2, 4), (3, 4)]
    assert share_of("10-of-12") == (9, 12)


SITES = TableSchema("sites", "sites", ("material_id", "site"),
                    (Field("material_id", "string", "", "crystal"), Field("site", "int64", "1", "site"),
                     Field("density", "float64", "1", "density", nullable=True)))  # fmt: skip


def stored(folder, frames) -> list:
    paths = [folder / f"{number}.parquet" for number in range(len(frames))]
    for frame, path in zip(frames, paths, strict=True):
        write_table(frame.astype({"density": "float64", "site": "int64"}), path, SITES)
    return paths


@pytest.mark.parametrize("shards", [1, 2, 3, 5])
@pytest.mark.parametrize("rows_at_once", [1, 2, 100])
def test_shares_in_any_order_become_the_table_in_the_order_of_the_dataset(shards, rows_at_once, tmp_path, monkeypatch):
    monkeypatch.setattr(shards_module, "ROWS_AT_ONCE", rows_at_once)
    whole = pd.DataFrame({"material_id": ENTITIES, "site": 0, "density": [3.0, np.nan, 9.0, 2.0, 7.0]})
    numbers = [share_of(f"{i}-of-{shards}")[0] for i in range(1, shards + 1)]
    batches = list(gathered(stored(tmp_path, [whole.iloc[i::shards] for i in reversed(numbers)]), ENTITIES))
    assert max(map(len, batches)) <= rows_at_once
    assert_frame_equal(pd.concat(batches, ignore_index=True), whole)


def test_what_no_share_describes_is_absent_and_rows_of_one_entity_keep_their_order(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "BATCH_ROWS", 2)
    rows = [
        pd.DataFrame({"material_id": ["m7", "m1", "m1"], "site": [0, 1, 0], "density": 1.0}),
        pd.DataFrame({"material_id": ["m3"], "site": [0], "density": 2.0}),
    ]
    expected = pd.DataFrame({"material_id": ["m3", "m1", "m1", "m7"], "site": [0, 1, 0, 0], "density": [2.0, 1, 1, 1]})
    assert_frame_equal(pd.concat(gathered(stored(tmp_path, rows), ENTITIES), ignore_index=True), expected)


def test_shares_without_rows_make_a_table_without_rows(tmp_path):
    empty = SITES.empty()
    (together,) = gathered(stored(tmp_path, [empty, empty]), ENTITIES)
    assert together.empty and list(together.columns) == ["material_id", "site", "density"]


def test_a_share_of_another_dataset_is_noticed(tmp_path):
    stray = pd.DataFrame({"material_id": ["m3", "m4"], "site": 0, "density": 1.0})
    with pytest.raises(DataError, match="entities that the dataset lacks.*1 rows of others"):
        list(gathered(stored(tmp_path, [stray]), ENTITIES))
