"""Tables for people (rich) and for programs (CSV, JSON, Parquet)."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from matlas.errors import QueryError
from matlas.files import atomic_path

WRAPPED_WIDTH = 24  # a longer text may be wrapped to this,
UNBROKEN_WIDTH = 60  # but a name, which has no spaces, is kept whole up to this
_BATCH = 10_000


def print_table(table: pd.DataFrame | pa.Table, *, limit: int, units: Mapping[str, str] | None = None) -> None:
    """At most `limit` rows and the columns that fit the terminal (all of them where the output goes elsewhere), and a
    line that says what is left out."""
    table = _arrow(table)
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = 10_000
    shown = table.slice(0, limit)
    columns = [_Column(field, shown[i], (units or {}).get(field.name, "")) for i, field in enumerate(shown.schema)]
    fitting, width = [], 0
    for column in columns:
        width += column.width + 2
        if fitting and width > console.width:
            break
        fitting.append(column)
    grid = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    unit_line = "\n" * any("\n" in column.header for column in fitting)
    for column in fitting:
        justify, overflow = ("right", "ellipsis") if column.numeric else ("left", "fold")
        header = column.header if "\n" in column.header else column.header + unit_line
        grid.add_column(Text(header), justify=justify, overflow=overflow, no_wrap=column.numeric)
    for row in zip(*(column.texts for column in fitting), strict=True):
        grid.add_row(*map(Text, row))
    console.print(grid)
    more_rows, more_columns = table.num_rows - shown.num_rows, len(columns) - len(fitting)
    more = [f"{n:,} more {what}{'s' * (n > 1)}" for n, what in ((more_rows, "row"), (more_columns, "column")) if n]
    if more:
        ways = (["--limit"] if more_rows else ["a wider terminal"]) + ["--format csv", "-o FILE"]
        console.print(Text(f"… {' and '.join(more)}: {', '.join(ways[:-1])} or {ways[-1]}", style="dim"))


class _Column:
    """One column as text. Numbers keep six significant digits."""

    def __init__(self, field: pa.Field, values: pa.ChunkedArray, unit: str):
        self.numeric = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        self.header = f"{field.name}\n{unit}" if unit not in ("", "1") else field.name
        self.texts = [_text(value) for value in values.to_pylist()]
        longest = max((len(text) for text in self.texts), default=0)
        if not self.numeric:
            word = max((len(word) for text in self.texts for word in text.split()), default=0)
            longest = min(longest, max(WRAPPED_WIDTH, min(word, UNBROKEN_WIDTH)))
        self.width = max(longest, *(len(line) for line in self.header.split("\n")))


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return str(value)


def print_lineage(lineage: pd.DataFrame) -> None:
    """The rows of Store.lineage as a tree: inputs below what was made from them."""
    branches: list[Tree] = []
    width = 0  # lines are never cut, since a cut hash is of no use
    for row in lineage.itertuples():
        hashes = {"data": row.hash, "code": row.code_hash, "config": row.config_hash}
        label = Text(row.table, style="bold" if row.depth == 0 else "")
        label.append("  " + ", ".join(f"{name} {value[:8]}" for name, value in hashes.items() if value), style="dim")
        if row.current is False:
            label.append("  changed since", style="red")
        branch = branches[row.depth - 1].add(label) if row.depth else Tree(label)
        branches[row.depth :] = [branch]
        width = max(width, 4 * row.depth + label.cell_len)
    Console(highlight=False, width=width).print(branches[0])


def write_file(table: pd.DataFrame | pa.Table, format: str, path: Path) -> None:
    """CSV, JSON (a list of objects) or Parquet; the file is whole or absent."""
    table = _arrow(table)
    if not path.parent.is_dir():
        raise QueryError("no such folder", where=path.parent)
    with atomic_path(path) as temporary:
        if format == "parquet":
            pa.parquet.write_table(table, temporary, compression="zstd")
        else:
            with open(temporary, "wb") as handle:
                write_stream(table, format, handle)


def write_stream(table: pd.DataFrame | pa.Table, format: str, stream: BinaryIO) -> None:
    """CSV or JSON, at full precision; missing values are empty in CSV and null in JSON."""
    table = _arrow(table)
    if format == "csv":
        pa.csv.write_csv(_flat(table), stream)
        return
    separator = "[\n"
    for batch in table.to_batches(max_chunksize=_BATCH):
        for row in batch.to_pylist():
            text = json.dumps({name: _plain(value) for name, value in row.items()}, ensure_ascii=False, default=str)
            stream.write(f"{separator}{text}".encode())
            separator = ",\n"
    stream.write(b"[]\n" if separator == "[\n" else b"\n]\n")


def _arrow(table: pd.DataFrame | pa.Table) -> pa.Table:
    return pa.Table.from_pandas(table, preserve_index=False) if isinstance(table, pd.DataFrame) else table


def _flat(table: pa.Table) -> pa.Table:
    """Lists, structs and what else CSV can't hold as JSON text; NaN as missing."""
    flat = []
    for column in table.columns:
        if pa.types.is_floating(column.type):
            column = pa.compute.if_else(pa.compute.is_nan(column), pa.scalar(None, column.type), column)
        elif (
            pa.types.is_nested(column.type) or pa.types.is_dictionary(column.type) or pa.types.is_interval(column.type)
        ):
            column = pa.array([_as_text(value) for value in column.to_pylist()], pa.string())
        flat.append(column)
    return pa.table(flat, names=table.column_names)


def _as_text(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _plain(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value
