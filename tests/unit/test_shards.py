"""Shares of the work of several jobs, and what becomes of them together."""

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from matlas.shards import gathered, share_of

ENTITIES = pd.Series(["m3", "m1", "m9", "m2", "m7"], name="material_id")


def test_shares_count_from_one_in_file_names_and_from_zero_in_code():
    assert [share_of(f"{i}-of-4") for i in (1, 2, 3, 4)] == [(0, 4), (1, 4), (2, 4), (3, 4)]
    assert share_of("10-of-12") == (9, 12)


@pytest.mark.parametrize("shards", [1, 2, 3, 5])
def test_shares_in_any_order_become_the_table_in_the_order_of_the_dataset(shards):
    whole = pd.DataFrame({"material_id": ENTITIES, "density": [3.0, 1.0, 9.0, 2.0, 7.0]})
    numbers = [share_of(f"{i}-of-{shards}")[0] for i in range(1, shards + 1)]
    assert_frame_equal(gathered([whole.iloc[i::shards] for i in reversed(numbers)], ENTITIES), whole)


def test_what_no_share_describes_is_absent_and_rows_of_one_entity_keep_their_order():
    rows = [
        pd.DataFrame({"material_id": ["m7", "m1", "m1"], "site": [0, 0, 1]}),
        pd.DataFrame({"material_id": ["m3"], "site": [0]}),
    ]
    expected = pd.DataFrame({"material_id": ["m3", "m1", "m1", "m7"], "site": [0, 0, 1, 0]})
    assert_frame_equal(gathered(rows, ENTITIES), expected)


def test_shares_without_rows_make_a_table_without_rows():
    empty = pd.DataFrame({"material_id": pd.Series(dtype=object), "reason": pd.Series(dtype=object)})
    together = gathered([empty, empty], ENTITIES)
    assert together.empty and list(together.columns) == ["material_id", "reason"]
