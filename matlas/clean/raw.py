"""Raw tables as they stand, nothing converted."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from zipfile import BadZipFile

import openpyxl
import pandas as pd
import pyarrow.parquet as pq

from matlas.delimited import iter_rows
from matlas.errors import DataError

ROWS_AT_ONCE = 50_000
READERS = {
    ".xlsx": lambda path, sheet, _: _workbook(path, sheet),
    ".csv": lambda path, _, rows: _delimited(path, ",", rows),
    ".tsv": lambda path, _, rows: _delimited(path, "\t", rows),
    ".parquet": lambda path, _, rows: _parquet(path, rows),
    ".json": lambda path, *_: iter([pd.read_json(path, dtype=object).astype(object)]),
}


def read_raw(path: str | Path, sheet: str | None = None) -> pd.DataFrame:
    """All of `raw_batches` in one frame."""
    return pd.concat(raw_batches(path, sheet), ignore_index=True)


def raw_batches(path: str | Path, sheet: str | None = None, rows_at_once: int = ROWS_AT_ONCE) -> Iterator[pd.DataFrame]:
    """A raw table (.xlsx, .csv, .tsv, .parquet, .json) with every cell as it stands, nothing converted, in frames of
    at most `rows_at_once` rows (a workbook and JSON, which are read as a whole, in one); at least one frame.

    Raises DataError for a missing file, an unknown format, a missing sheet or a file that can't be parsed, some of it
    only when the frame is reached.
    """
    path = Path(path)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError("unknown table format", where=path, expected=f"one of {sorted(READERS)}", found=path.suffix)
    if not path.is_file():
        raise DataError("file is missing", where=path, do="check `path` in the study file")
    try:
        for frame in reader(path, sheet, rows_at_once):
            yield frame.set_axis([str(c).strip() for c in frame.columns], axis=1)
    except (ValueError, KeyError, OSError, BadZipFile) as error:
        raise DataError("can't read the table", where=path, found=error, do="check the format and the sheet") from error


def _workbook(path: Path, sheet: str | None) -> Iterator[pd.DataFrame]:
    """One sheet, cell by cell. Not by pandas, whose reader takes TRUE and 1 for the same value."""
    book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    try:
        if sheet is not None and sheet not in book.sheetnames:
            raise DataError("sheet is missing", where=path, expected=f"one of {book.sheetnames}", found=repr(sheet))
        rows = list((book[sheet] if sheet is not None else book.worksheets[0]).iter_rows(values_only=True))
    finally:
        book.close()
    while rows and all(cell is None for cell in rows[-1]):
        rows.pop()
    yield _frame(path, ["" if cell is None else str(cell) for cell in rows[0]] if rows else None, rows[1:])


def _delimited(path: Path, delimiter: str, rows_at_once: int) -> Iterator[pd.DataFrame]:
    """Cells as text, an empty one as missing."""
    rows = iter_rows(path, delimiter)
    header = next(rows, None)
    batches = iter(lambda: list(islice(rows, rows_at_once)), [])
    for batch in chain([next(batches, [])], batches):
        yield _frame(path, header, [[cell if cell != "" else None for cell in row] for row in batch])


def _parquet(path: Path, rows_at_once: int) -> Iterator[pd.DataFrame]:
    with pq.ParquetFile(path) as file:
        batches = file.iter_batches(rows_at_once)
        for batch in chain([next(batches, None)], batches):
            found = file.schema_arrow.empty_table() if batch is None else batch
            yield found.to_pandas().astype(object)


def _frame(path: Path, header: list | None, rows: list) -> pd.DataFrame:
    if header is None:
        raise DataError("the table is empty", where=path, expected="a header and one row a measurement")
    return pd.DataFrame(rows, columns=header, dtype=object)
