"""The one writer and the one reader of tables: Parquet, validated, atomic, with units and lineage in the footer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from matlas.errors import DataError
from matlas.files import atomic_path
from matlas.lineage import Lineage, digest
from matlas.transpose import put_rows
from schemas.table import DTYPES, Field, TableSchema

BATCH_ROWS = 100_000
SHOWN_FAILURES = 20
_ARROW = {"float64": pa.float64(), "int64": pa.int64(), "bool": pa.bool_(), "string": pa.string()}


@dataclass(frozen=True)
class TableInfo:
    """What the footer of a table says about it, readable without its rows."""

    name: str
    layer: str
    key: tuple[str, ...]
    rows: int
    bytes: int
    created: str  # UTC, from the time of the file
    fields: tuple[Field, ...]
    statistics: dict[str, dict]  # column -> null_share, min, max
    attributes: dict[str, str]  # dataset, view, representation … as far as they apply
    lineage: Lineage
    content_hash: str
    schema_version: str

    @property
    def version(self) -> str:
        """Changes when the definition or the code behind the table changes."""
        return digest([self.schema_version, self.lineage.code, self.lineage.config])

    @property
    def columns(self) -> list[str]:
        return [f.name for f in self.fields]

    @property
    def key_field(self) -> Field:
        """The field of a key of one column. Raises ValueError for a longer key."""
        (name,) = self.key
        return next(f for f in self.fields if f.name == name)


def write_table(
    data: pd.DataFrame | Iterable[pd.DataFrame],
    path: str | PathLike,
    schema: TableSchema,
    *,
    lineage: Lineage | None = None,
    attributes: dict[str, str] | None = None,
) -> None:
    """Validate every row against `schema` and write one Parquet file (zstd, row groups of at most 100,000 rows).

    data : one frame, or an iterable of frames of any size; columns in any order, none missing, none more.
    Raises DataError with up to 20 failures a check (column, row, value) and their count; then nothing is written.
    """
    frames = [data] if isinstance(data, pd.DataFrame) else data
    arrow_schema = pa.schema([pa.field(f.name, _ARROW[f.dtype]) for f in schema.fields])
    totals = {f.name: _ColumnTotals(f) for f in schema.fields}
    keys: list[pd.DataFrame] = []
    rows = 0
    with (
        atomic_path(path) as temporary,
        pq.ParquetWriter(temporary, arrow_schema, **_encodings(schema)) as writer,
    ):
        for batch in _batches(frames):
            batch = _in_order(batch, schema)
            if batch.empty:  # pandas has no dtypes for what isn't there
                continue
            table = _validated(batch, schema, arrow_schema, first_row=rows)
            for name, total in totals.items():
                total.add(table.column(name))
            keys.append(batch[list(schema.key)])
            rows += len(batch)
            writer.write_table(table)
        _check_key(keys, schema)
        recorded = lineage or Lineage()
        footer = {
            "table": {"name": schema.name, "layer": schema.layer, "key": schema.key, "version": schema.version},
            "fields": [asdict(f) for f in schema.fields],
            "statistics": {name: total.statistics(rows) for name, total in totals.items()},
            "attributes": attributes or {},
            "lineage": recorded.as_dict(),
            "content_hash": digest([[name, total.hexdigest()] for name, total in totals.items()]),
        }
        writer.add_key_value_metadata({"matlas": json.dumps(footer, ensure_ascii=False)})


def _encodings(schema: TableSchema) -> dict:
    """How columns are laid out: measured numbers hardly repeat, so that a dictionary of them is only one more look-up.
    Their bytes side by side by significance, and differences of whole numbers, compress to three quarters and are read
    in half the time; small pages let a reader skip what it doesn't need."""
    split = {"float64": "BYTE_STREAM_SPLIT", "int64": "DELTA_BINARY_PACKED"}
    return {
        "compression": "zstd",
        "use_dictionary": [f.name for f in schema.fields if f.dtype not in split],
        "column_encoding": {f.name: split[f.dtype] for f in schema.fields if f.dtype in split},
        "data_page_size": 128 * 1024,
    }


def read_table(path: str | PathLike, columns: list[str] | None = None) -> pd.DataFrame:
    """Read a table, or some of its columns in the order asked for. Raises DataError for an unknown column."""
    info = table_info(path)
    try:
        table = pq.read_table(path, columns=None if columns is None else _known(columns, info.columns, path))
    except (pa.ArrowInvalid, OSError) as error:
        raise _damaged(path, error) from error
    return _frame(table, info.fields)


def _known(columns: Sequence[str], known: Sequence[str], path: str | PathLike) -> list[str]:
    unknown = [c for c in columns if c not in known]
    if unknown:
        raise DataError(f"unknown column {unknown[0]!r}", where=path, expected=f"one of {list(known)}")
    return list(columns)


def _frame(table: pa.Table, fields: Iterable[Field]) -> pd.DataFrame:
    frame = table.to_pandas()
    for f in fields:  # through float64, where pandas puts integers with gaps, large ones would lose digits
        if f.dtype == "int64" and f.nullable and f.name in frame.columns:
            frame[f.name] = table.column(f.name).to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    return frame


class RowGroups:
    """Some rows of a table, of which one row group is held at a time."""

    def __init__(self, path: str | PathLike, columns: list[str] | None = None) -> None:
        """columns : which are read, all by default. Raises DataError for an unknown one."""
        info = table_info(path)
        self.columns = info.columns if columns is None else _known(columns, info.columns, path)
        self._fields = [f for f in info.fields if f.name in self.columns]
        self._file = pq.ParquetFile(path)
        groups = self._file.metadata
        self._ends = np.cumsum([groups.row_group(i).num_rows for i in range(groups.num_row_groups)])
        self._held: tuple[int, pa.Table] | None = None

    def values(self, rows: np.ndarray) -> np.ndarray:
        """(b, p) float64 of the rows at positions (b,), in any order; NaN stands for a missing number."""
        found = np.empty((len(rows), len(self.columns)))
        for here, table, within in self._parts(rows):
            put_rows(found, here, [table.column(name).to_numpy() for name in self.columns], within)
        return found

    def frame(self, rows: np.ndarray) -> pd.DataFrame:
        """The rows at positions (b,), in any order, as `read_table` gives them."""
        empty = self._file.schema_arrow.empty_table().select(self.columns)
        parts = [(here, table.take(within)) for here, table, within in self._parts(rows)]
        places = np.concatenate([np.empty(0, np.int64), *(here for here, _ in parts)])
        return _frame(pa.concat_tables([empty, *(part for _, part in parts)]).take(places.argsort()), self._fields)

    def _parts(self, rows: np.ndarray) -> Iterator[tuple[np.ndarray, pa.Table, np.ndarray]]:
        """For each row group that holds some: their places in `rows`, the group, and their places in it."""
        group = np.searchsorted(self._ends, rows, side="right")
        for number in np.unique(group):
            table = self._group(int(number))
            here = np.flatnonzero(group == number)
            yield here, table, rows[here] - (self._ends[number] - len(table))

    def _group(self, number: int) -> pa.Table:
        if self._held is None or self._held[0] != number:
            self._held = None  # the old one goes before the new one comes
            self._held = number, self._file.read_row_group(number, columns=self.columns).combine_chunks()
        return self._held[1]


def read_keyed(path: str | PathLike, columns: list[str] | None = None) -> tuple[dict[str, str], pd.DataFrame]:
    """The attributes of a table, and its columns (all, or some) indexed by the first column of its key."""
    info = table_info(path)
    wanted = None if columns is None else [info.key[0], *columns]
    return info.attributes, read_table(path, wanted).set_index(info.key[0])


def table_info(path: str | PathLike) -> TableInfo:
    """Read a table's footer. Raises DataError when the file is absent or was not written by `write_table`."""
    path = Path(path)
    if not path.is_file():
        raise DataError("table is missing", where=path, do="run the workflow that makes it (snakemake --cores all)")
    try:
        parquet = pq.read_metadata(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise _damaged(path, error) from error
    raw = (parquet.metadata or {}).get(b"matlas")
    if raw is None:
        raise DataError("Parquet file without matlas metadata", where=path, do="write it with write_table")
    footer = json.loads(raw)
    table = footer["table"]
    return TableInfo(
        name=table["name"],
        layer=table["layer"],
        key=tuple(table["key"]),
        rows=parquet.num_rows,
        bytes=path.stat().st_size,
        created=datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds"),
        fields=tuple(Field(**{**f, "allowed": tuple(f["allowed"])}) for f in footer["fields"]),
        statistics=footer["statistics"],
        attributes=footer["attributes"],
        lineage=Lineage(**footer["lineage"]),
        content_hash=footer["content_hash"],
        schema_version=table["version"],
    )


def _damaged(path: str | PathLike, error: Exception) -> DataError:
    return DataError("not a Parquet file, or a damaged one", where=path, found=str(error), do="delete it and rerun")


def _batches(frames: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    for frame in frames:
        for start in range(0, max(len(frame), 1), BATCH_ROWS):  # an empty frame is a batch: its columns are checked
            yield frame.iloc[start : start + BATCH_ROWS]


def _in_order(frame: pd.DataFrame, schema: TableSchema) -> pd.DataFrame:
    wanted, found = schema.columns, list(frame.columns)
    missing = [c for c in wanted if c not in found]
    extra = [c for i, c in enumerate(found) if c not in wanted or c in found[:i]]
    if missing or extra:
        raise DataError(
            "columns differ from the schema", where=f"table {schema.name}", expected=f"{len(wanted)} columns",
            found=f"missing {missing[:SHOWN_FAILURES]}, unexpected {extra[:SHOWN_FAILURES]}",
        )  # fmt: skip
    return frame if wanted == found else frame[wanted]


def _validated(frame: pd.DataFrame, schema: TableSchema, arrow_schema: pa.Schema, first_row: int) -> pa.Table:
    """The batch as Arrow. NumPy decides quickly; only a batch that fails goes through pandera, which names the rows."""
    failing = [(f,) for f in schema.fields if not _holds(frame[f.name], f)]
    if not failing:
        by_name = {f.name: f for f in schema.fields}
        failing = [(by_name[a], by_name[b]) for a, b in schema.ordered if not _in_pairwise_order(frame[a], frame[b])]
    if not failing:
        try:
            return pa.Table.from_pandas(frame, schema=arrow_schema, preserve_index=False)
        except UnicodeEncodeError:
            failing = [(f,) for f in schema.fields if f.dtype == "string"]
    raise _failures(frame, schema, failing, first_row)


def _holds(column: pd.Series, f: Field) -> bool:
    """Whether a column keeps its field's contract; the same rules as TableSchema.pandera()."""
    if f.dtype == "float64":
        if column.dtype != np.float64:
            return False
        values = column.to_numpy()
        if len(values) == 0:
            return True
        # one NaN makes both extremes NaN, so the common case of a full column needs two passes only
        low, high = values.min(), values.max()
        if np.isnan(low):
            if not f.nullable:
                return False
            values = values[~np.isnan(values)]
            if len(values) == 0:
                return True
            low, high = values.min(), values.max()
        return bool(np.isfinite(low) and np.isfinite(high)) and _in_range(low, high, f)
    if f.dtype == "int64":
        if str(column.dtype) not in DTYPES["int64"]:
            return False
        present = column.dropna()
        if len(present) < len(column) and not f.nullable:
            return False
        return len(present) == 0 or _in_range(present.min(), present.max(), f)
    if f.dtype == "bool":
        return column.dtype == np.bool_
    if str(column.dtype) not in DTYPES["string"]:
        return False
    present = column.dropna()
    if len(present) < len(column) and not f.nullable:
        return False
    if pd.api.types.infer_dtype(present, skipna=False) not in ("string", "empty"):
        return False
    return not f.allowed or bool(present.isin(f.allowed).all())


def _in_range(low: float, high: float, f: Field) -> bool:
    return (f.minimum is None or low >= f.minimum) and (f.maximum is None or high <= f.maximum)


def _in_pairwise_order(a: pd.Series, b: pd.Series) -> bool:
    return bool((a.isna() | b.isna() | (a <= b)).all())


def _failures(frame: pd.DataFrame, schema: TableSchema, failing: list[tuple[Field, ...]], first_row: int) -> DataError:
    """What pandera says about the columns that fail (a pair of columns for an order between two); one at a time, as
    it keeps every failing value in memory."""
    from pandera.errors import SchemaErrors

    frame, lines = frame.reset_index(drop=True), []
    for fields in failing:
        names = tuple(f.name for f in fields)
        part = replace(schema, key=(), fields=fields, ordered=tuple(p for p in schema.ordered if p == names))
        try:
            part.pandera().validate(frame[list(names)], lazy=True)
        except SchemaErrors as error:
            cases = error.failure_cases.sort_values("index", kind="stable")
            lines += [
                _failure_line(frame[column], check, group, first_row)
                for (column, check), group in cases.groupby(["column", "check"], sort=False)
                if not str(group["failure_case"].iloc[0]).startswith("TypeError(")  # a check upset by a wrong dtype
            ]
    if not lines:
        raise RuntimeError(f"table {schema.name}: the quick check and pandera disagree")
    return DataError(
        f"table {schema.name} breaks its schema", where=f"rows {first_row}…{first_row + len(frame) - 1}",
        found="\n  " + "\n  ".join(lines), do="mend the step that computed these values; nothing was written",
    )  # fmt: skip


def _failure_line(column: pd.Series, check: str, cases: pd.DataFrame, first_row: int) -> str:
    if check.startswith("dtype "):
        check, rows = f"{check} expected, {column.dtype} found", column.index[_foreign(column, check.split()[1])]
    else:
        rows = cases["index"].astype(int)
    shown = []
    for row in rows[:SHOWN_FAILURES]:
        value = column[row]
        shown.append(f"row {first_row + row}: {value.item() if isinstance(value, np.generic) else value!r}")
    return f"{column.name}, {check}, {len(rows)} failing: {', '.join(shown)}"


def _foreign(column: pd.Series, dtype: str) -> np.ndarray:
    """Which values keep a column from having this dtype: all of them, but for strays among Python objects."""
    kinds = {"float64": (float, np.floating), "int64": (int, np.integer), "bool": (bool, np.bool_), "string": str}
    strays = np.array([not isinstance(v, kinds[dtype]) for v in column], dtype=bool)
    return strays if column.dtype == object and strays.any() else np.ones(len(column), dtype=bool)


def _check_key(keys: list[pd.DataFrame], schema: TableSchema) -> None:
    if not keys:
        return
    key = pd.concat(keys, ignore_index=True)
    doubled = key.duplicated(keep=False)
    if doubled.any():
        rows = key[doubled].head(SHOWN_FAILURES)
        values = rows.astype(object).itertuples(index=False, name=None)  # objects: 3, not np.int64(3)
        shown = [f"row {row}: {value}" for row, value in zip(rows.index, values, strict=True)]
        raise DataError(
            f"key {schema.key} of table {schema.name} is not unique",
            found=f"{int(doubled.sum())} rows: {', '.join(shown)}", do="one row an entity is required",
        )  # fmt: skip


class _ColumnTotals:
    """Running hash, null count and range of one column; the hash doesn't depend on how rows fall into batches."""

    def __init__(self, f: Field):
        self.numeric = f.dtype in ("float64", "int64")
        # apart, so that it doesn't matter in which order batches interleave them
        self.values, self.lengths, self.nulls_at = (hashlib.blake2b(digest_size=16) for _ in range(3))
        self.rows = self.nulls = 0
        self.low = self.high = None

    def add(self, column: pa.ChunkedArray) -> None:
        for chunk in column.chunks:
            self.nulls += chunk.null_count
            first_row, self.rows = self.rows, self.rows + len(chunk)
            if chunk.null_count:
                self.nulls_at.update(np.flatnonzero(np.asarray(chunk.is_null())) + first_row)
                chunk = chunk.drop_null()
            if pa.types.is_string(chunk.type):
                lengths = pc.binary_length(chunk).to_numpy(zero_copy_only=False)
                self.lengths.update(np.ascontiguousarray(lengths, dtype=np.int32))
                self.values.update("".join(chunk.to_pylist()).encode())
                continue
            values = np.ascontiguousarray(chunk.to_numpy(zero_copy_only=False))
            self.values.update(values.data if values.dtype != np.bool_ else values.view(np.uint8).data)
            if self.numeric and len(values):
                low, high = float(values.min()), float(values.max())
                self.low = low if self.low is None else min(self.low, low)
                self.high = high if self.high is None else max(self.high, high)

    def hexdigest(self) -> str:
        return "".join(part.hexdigest() for part in (self.values, self.lengths, self.nulls_at))

    def statistics(self, rows: int) -> dict:
        return {"null_share": self.nulls / rows if rows else 0.0, "min": self.low, "max": self.high}
