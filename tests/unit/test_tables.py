"""Writing and reading tables: what goes in comes out, with its meaning; what breaks the contract leaves no trace."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from matlas.errors import DataError
from matlas.lineage import Lineage
from matlas.tables import BATCH_ROWS, RowGroups, read_table, table_info, write_table
from matlas.transpose import transposed
from schemas.table import Field, TableSchema

SCHEMA = TableSchema(
    "ores", "datasets", ("id",),
    (
        Field("id", "int64", "1", "Number", minimum=1),
        Field("name", "string", "", "Name", nullable=True),
        Field("mass", "float64", "kg", "Mass", citation="Newton 1687", minimum=0.0, nullable=True, label="m"),
        Field("grade", "int64", "1", "Grade", nullable=True),
        Field("sold", "bool", "", "Sold"),
        Field("kind", "string", "", "Kind", allowed=("oxide", "halide")),
    ),
    version="3",
)  # fmt: skip
NUMBER = TableSchema("numbers", "test", ("id",), (SCHEMA.fields[0], SCHEMA.fields[2]))


@pytest.fixture
def ores() -> pd.DataFrame:
    return pd.DataFrame({
        "id": [1, 2, 3, 4, 5],
        "name": ["µ-Fe₂O₃", None, "", "日本 😀", None],
        "mass": [0.0, np.nan, 1e-300, 1.7e308, 2.5],
        "grade": pd.array([2**60 + 1, None, -(2**63), 0, None], dtype="Int64"),
        "sold": [True, False, False, True, True],
        "kind": ["oxide", "halide", "oxide", "oxide", "halide"],
    })  # fmt: skip


def content_hash(data, path, schema=SCHEMA) -> str:
    write_table(data, path, schema)
    return table_info(path).content_hash


def batches(frame: pd.DataFrame, size: int):
    return (frame[start : start + size] for start in range(0, len(frame), size))


def test_values_and_dtypes_survive_the_round_trip(ores, tmp_path):
    write_table(ores, tmp_path / "ores.parquet", SCHEMA)
    pd.testing.assert_frame_equal(read_table(tmp_path / "ores.parquet"), ores)


def test_columns_come_in_the_schema_s_order_and_leave_in_the_reader_s(ores, tmp_path):
    write_table(ores[ores.columns[::-1]], tmp_path / "ores.parquet", SCHEMA)
    assert pq.read_schema(tmp_path / "ores.parquet").names == SCHEMA.columns
    some = read_table(tmp_path / "ores.parquet", ["grade", "id"])
    pd.testing.assert_frame_equal(some, ores[["grade", "id"]])


def test_an_index_is_not_written(ores, tmp_path):
    write_table(ores.set_index(ores["id"] * 10), tmp_path / "ores.parquet", SCHEMA)
    pd.testing.assert_frame_equal(read_table(tmp_path / "ores.parquet"), ores)


def test_text_may_come_as_any_of_pandas_string_types(ores, tmp_path):
    for dtype in ("string[python]", "string[pyarrow]", pd.ArrowDtype(pa.string())):
        write_table(ores.astype({"name": dtype, "kind": dtype}), tmp_path / "ores.parquet", SCHEMA)
        pd.testing.assert_frame_equal(read_table(tmp_path / "ores.parquet"), ores)


def test_the_footer_tells_meaning_statistics_and_lineage_without_the_rows(ores, tmp_path):
    lineage = Lineage({"raw.csv": "ab12"}, "code1", "config1", seed=7, simulated=True, versions={"numpy": "2.0"})
    write_table(ores, tmp_path / "ores.parquet", SCHEMA, lineage=lineage, attributes={"dataset": "ores"})
    info = table_info(tmp_path / "ores.parquet")
    assert (info.name, info.layer, info.key, info.rows, info.schema_version) == ("ores", "datasets", ("id",), 5, "3")
    assert info.bytes == (tmp_path / "ores.parquet").stat().st_size
    assert info.fields == SCHEMA.fields
    assert info.columns == SCHEMA.columns
    assert info.attributes == {"dataset": "ores"}
    assert info.lineage == lineage
    assert info.statistics["mass"] == {"null_share": 0.2, "min": 0.0, "max": 1.7e308}
    assert info.statistics["name"] == {"null_share": 0.4, "min": None, "max": None}
    assert info.statistics["grade"]["min"] == -(2.0**63)


def test_the_version_follows_schema_code_and_configuration_but_not_the_data(ores, tmp_path):
    def version(frame, **lineage):
        write_table(frame, tmp_path / "ores.parquet", SCHEMA, lineage=Lineage(**lineage))
        return table_info(tmp_path / "ores.parquet").version

    base = version(ores, code="a", config="b")
    assert version(ores[:2], code="a", config="b", inputs={"x": "y"}) == base
    assert len({base, version(ores, code="c", config="b"), version(ores, code="a", config="c")}) == 3


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_the_content_hash_does_not_depend_on_batches(ores, tmp_path, size):
    whole = content_hash(ores, tmp_path / "whole.parquet")
    assert content_hash(batches(ores, size), tmp_path / "parts.parquet") == whole


CHANGES = {
    "number": ("mass", 0, 5e-324), "number to null": ("mass", 0, np.nan), "null to number": ("mass", 1, 0.0),
    "integer": ("grade", 0, 2**60), "integer to null": ("grade", 3, None), "null to integer": ("grade", 1, 0),
    "text": ("name", 0, "µ-Fe₃O₃"), "text to null": ("name", 2, None), "null to text": ("name", 1, ""),
    "flag": ("sold", 1, True), "key": ("id", 4, 6), "enumeration": ("kind", 4, "oxide"),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_the_content_hash_changes_with_any_one_value(ores, tmp_path, change):
    before = content_hash(ores, tmp_path / "before.parquet")
    column, row, value = CHANGES[change]
    ores.loc[row, column] = value
    assert content_hash(ores, tmp_path / "after.parquet") != before


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["ab", "c"], ["a", "bc"]),
        (["", None, "a"], [None, "", "a"]),
        (["a", None], [None, "a"]),
        ([None, None], ["", ""]),
    ],
)
def test_the_content_hash_tells_texts_of_equal_letters_apart(tmp_path, one, other):
    schema = TableSchema("t", "test", ("id",), (SCHEMA.fields[0], SCHEMA.fields[1]))
    hashes = [
        content_hash(pd.DataFrame({"id": range(1, len(texts) + 1), "name": pd.Series(texts, dtype=object)}),
                     tmp_path / "t.parquet", schema)
        for texts in (one, other)
    ]  # fmt: skip
    assert hashes[0] != hashes[1]


def test_the_content_hash_changes_with_the_order_of_rows_and_of_columns(ores, tmp_path):
    before = content_hash(ores, tmp_path / "a.parquet")
    assert content_hash(ores[::-1].reset_index(drop=True), tmp_path / "b.parquet") != before
    swapped = TableSchema("ores", "datasets", ("id",), SCHEMA.fields[::-1])
    assert content_hash(ores, tmp_path / "c.parquet", swapped) != before


def test_equal_tables_are_equal_files(ores, tmp_path):
    for name in ("a", "b"):
        write_table(ores, tmp_path / f"{name}.parquet", SCHEMA)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


@pytest.mark.parametrize("data", [pd.DataFrame(columns=SCHEMA.columns), [], iter(())])
def test_an_empty_table_keeps_its_columns(data, tmp_path):
    write_table(data, tmp_path / "empty.parquet", SCHEMA)
    empty, info = read_table(tmp_path / "empty.parquet"), table_info(tmp_path / "empty.parquet")
    assert (list(empty.columns), len(empty), info.rows) == (SCHEMA.columns, 0, 0)
    assert empty.dtypes.astype(str).to_dict() == {
        "id": "int64", "name": "object", "mass": "float64", "grade": "Int64", "sold": "bool", "kind": "object"
    }  # fmt: skip
    assert info.statistics["mass"] == {"null_share": 0.0, "min": None, "max": None}


def test_an_empty_frame_must_still_have_the_columns(tmp_path):
    with pytest.raises(DataError, match=r"missing \['id', 'name'"):
        write_table(pd.DataFrame(), tmp_path / "empty.parquet", SCHEMA)


def test_an_all_null_column_survives(ores, tmp_path):
    ores = ores.assign(mass=np.nan, name=None, grade=pd.array([None] * 5, dtype="Int64"))
    write_table(ores, tmp_path / "ores.parquet", SCHEMA)
    pd.testing.assert_frame_equal(read_table(tmp_path / "ores.parquet"), ores)
    assert table_info(tmp_path / "ores.parquet").statistics["mass"] == {"null_share": 1.0, "min": None, "max": None}


def test_a_quarter_of_a_million_rows_in_odd_batches_is_one_table_in_bounded_row_groups(tmp_path):
    n, rng = 250_000, np.random.default_rng(0)
    frame = pd.DataFrame({"id": np.arange(1, n + 1), "mass": rng.random(n)})
    frame.loc[rng.integers(0, n, 1000), "mass"] = np.nan
    edges = [0, 1, 8, 99_999, 100_000, 233_333, n]
    whole = content_hash(frame, tmp_path / "whole.parquet", NUMBER)
    parts = (frame[a:b] for a, b in zip(edges, edges[1:], strict=False))
    assert content_hash(parts, tmp_path / "parts.parquet", NUMBER) == whole
    pd.testing.assert_frame_equal(read_table(tmp_path / "parts.parquet"), frame)
    for name in ("whole", "parts"):
        footer = pq.read_metadata(tmp_path / f"{name}.parquet")
        assert max(footer.row_group(i).num_rows for i in range(footer.num_row_groups)) <= BATCH_ROWS
    assert table_info(tmp_path / "parts.parquet").statistics["mass"]["max"] == frame["mass"].max()


def test_rows_of_many_groups_in_any_order_are_those_of_the_whole_table(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"id": np.arange(1, 20_001), "mass": rng.random(20_000)})
    frame.loc[rng.integers(0, 20_000, 100), "mass"] = np.nan
    write_table(batches(frame, 6000), tmp_path / "numbers.parquet", NUMBER)
    groups = RowGroups(tmp_path / "numbers.parquet", ["mass", "id"])
    for rows in (rng.permutation(20_000)[:15_001], np.arange(20_000), np.array([7, 7, 19_999])):
        np.testing.assert_array_equal(groups.values(rows), frame[["mass", "id"]].to_numpy()[rows])
    assert RowGroups(tmp_path / "numbers.parquet", []).values(np.arange(3)).shape == (3, 0)


@pytest.mark.parametrize("shape", [(1, 1), (64, 64), (65, 200), (130, 3), (0, 4), (4, 0)])
def test_rows_turned_into_columns_are_numpys_transpose_with_contiguous_rows(shape):
    matrix = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    turned = transposed(matrix)
    np.testing.assert_array_equal(turned, matrix.T)
    assert turned.dtype == np.float64 and turned.flags.c_contiguous


def test_twenty_failures_are_shown_and_all_are_counted(tmp_path):
    frame = pd.DataFrame({"id": np.arange(1, 101), "mass": np.where(np.arange(100) % 2, -1.0, 1.0)})
    with pytest.raises(DataError) as caught:
        write_table(frame, tmp_path / "numbers.parquet", NUMBER)
    message = str(caught.value)
    assert "mass, greater_than_or_equal_to(0.0), 50 failing: row 1: -1.0, row 3: -1.0" in message
    assert message.count("row ") == 20
    assert "row 39: -1.0" in message and "row 41" not in message


def test_twenty_repeated_keys_are_shown_and_all_are_counted(tmp_path):
    frame = pd.DataFrame({"id": np.arange(100) // 2 + 1, "mass": 1.0})
    with pytest.raises(DataError, match="found 100 rows") as caught:
        write_table(batches(frame, 7), tmp_path / "numbers.parquet", NUMBER)
    assert "row 0: (1,), row 1: (1,), row 2: (2,)" in str(caught.value)
    assert str(caught.value).count(",),") == 19


def test_every_failing_column_is_reported_at_once(ores, tmp_path):
    bad = ores.assign(id=[1, 2, 3, 4, 0], mass=[0.0, np.nan, -1.0, np.inf, 2.5], kind="salt")
    with pytest.raises(DataError) as caught:
        write_table(bad, tmp_path / "ores.parquet", SCHEMA)
    for part in ("id, greater", "row 4: 0", "mass, greater", "row 2: -1.0", "mass, finite", "row 3: inf", "kind, isin"):
        assert part in str(caught.value)


def test_rows_are_counted_from_the_start_of_the_table_not_of_the_batch(tmp_path):
    frame = pd.DataFrame({"id": np.arange(1, 101), "mass": 1.0})
    frame.loc[77, "mass"] = -5.0
    with pytest.raises(DataError, match="row 77: -5.0"):
        write_table(batches(frame, 10), tmp_path / "numbers.parquet", NUMBER)


def test_text_that_is_not_unicode_is_named(ores, tmp_path):
    ores.loc[3, "name"] = "half a pair \ud800"
    with pytest.raises(DataError, match=r"name, text, 1 failing: row 3: 'half a pair \\ud800'"):
        write_table(ores, tmp_path / "ores.parquet", SCHEMA)
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_dies_in_the_middle_leaves_nothing(ores, tmp_path):
    def dying():
        yield ores
        raise OSError("disk gone")

    with pytest.raises(OSError, match="disk gone"):
        write_table(dying(), tmp_path / "ores.parquet", SCHEMA)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_table_as_it_was(ores, tmp_path):
    write_table(ores, tmp_path / "ores.parquet", SCHEMA)
    before = (tmp_path / "ores.parquet").read_bytes()
    with pytest.raises(DataError):
        write_table(ores.assign(id=1), tmp_path / "ores.parquet", SCHEMA)
    assert (tmp_path / "ores.parquet").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["ores.parquet"]


def test_an_unknown_column_is_named_with_those_there_are(ores, tmp_path):
    write_table(ores, tmp_path / "ores.parquet", SCHEMA)
    with pytest.raises(DataError, match=r"unknown column 'mas'.*'mass'"):
        read_table(tmp_path / "ores.parquet", ["id", "mas"])


def test_a_missing_table_says_how_to_make_it(tmp_path):
    with pytest.raises(DataError, match=r"table is missing.*Run the workflow"):
        read_table(tmp_path / "ores.parquet")


def test_a_parquet_file_of_another_writer_is_refused(ores, tmp_path):
    ores.to_parquet(tmp_path / "foreign.parquet")
    for read in (read_table, table_info):
        with pytest.raises(DataError, match="without matlas metadata"):
            read(tmp_path / "foreign.parquet")


@pytest.mark.parametrize("keep", [0, 3, 0.5, -1, -100])
def test_a_truncated_file_is_named_as_damaged(ores, tmp_path, keep):
    path = tmp_path / "ores.parquet"
    write_table(ores, path, SCHEMA)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * keep) if isinstance(keep, float) else keep])
    for read in (read_table, table_info):
        with pytest.raises(DataError, match=r"damaged one \(.*ores\.parquet\).*Delete it and rerun"):
            read(path)


def test_a_file_with_broken_pages_is_named_as_damaged(ores, tmp_path):
    path = tmp_path / "ores.parquet"
    write_table(ores, path, SCHEMA)
    broken = bytearray(path.read_bytes())
    broken[4:200] = bytes(196)
    path.write_bytes(broken)
    with pytest.raises(DataError, match="damaged one"):
        read_table(path)


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        ({"dtype": "float32"}, "dtype 'float32' is not one of"),
        ({"dtype": "string", "minimum": 0}, "a string has no minimum"),
        ({"dtype": "bool", "nullable": True}, "a flag is never empty"),
        ({"dtype": "float64", "minimum": 2, "maximum": 1}, "minimum 2 is above maximum 1"),
        ({"dtype": "int64", "allowed": (1, 2)}, "only text can be an enumeration"),
    ],
)
def test_a_field_that_contradicts_itself_is_refused(definition, message):
    with pytest.raises(ValueError, match=message):
        Field("x", unit="1", description="", **definition)


def test_a_schema_needs_its_key_among_columns_that_differ():
    with pytest.raises(ValueError, match=r"declared twice: \['id'\]"):
        TableSchema("t", "test", ("id",), SCHEMA.fields[:1] * 2)
    with pytest.raises(ValueError, match=r"key columns without a field: \['mass'\]"):
        TableSchema("t", "test", ("mass",), SCHEMA.fields[:1])
