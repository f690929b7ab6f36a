"""Raw tables as they stand, nothing converted."""

from __future__ import annotations

from pathlib import Path
from zipfile import BadZipFile

import openpyxl
import pandas as pd

from matlas.delimited import read_rows
from matlas.errors import DataError

READERS = {
    ".xlsx": lambda path, sheet: _workbook(path, sheet),
    ".csv": lambda path, _: _delimited(path, ","),
    ".tsv": lambda path, _: _delimited(path, "\t"),
    ".parquet": lambda path, _: pd.read_parquet(path).astype(object),
    ".json": lambda path, _: pd.read_json(path, dtype=object).astype(object),
}


def read_raw(path: str | Path, sheet: str | None = None) -> pd.DataFrame:
    """A raw table (.xlsx, .csv, .tsv, .parquet, .json) with every cell as it stands, nothing converted.

    Raises DataError for a missing file, an unknown format, a missing sheet or a file that can't be parsed.
    """
    path = Path(path)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError("unknown table format", where=path, expected=f"one of {sorted(READERS)}", found=path.suffix)
    if not path.is_file():
        raise DataError("file is missing", where=path, do="check `path` in the study file")
    try:
        raw = reader(path, sheet)
    except (ValueError, KeyError, OSError, BadZipFile) as error:
        raise DataError("can't read the table", where=path, found=error, do="check the format and the sheet") from error
    raw.columns = [str(c).strip() for c in raw.columns]
    return raw


def _workbook(path: Path, sheet: str | None) -> pd.DataFrame:
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
    return _frame(path, [["" if cell is None else str(cell) for cell in rows[0]], *rows[1:]] if rows else [])


def _delimited(path: Path, delimiter: str) -> pd.DataFrame:
    """Cells as text, an empty one as missing."""
    rows = read_rows(path, delimiter)
    return _frame(path, rows[:1] + [[cell if cell != "" else None for cell in row] for row in rows[1:]])


def _frame(path: Path, rows: list) -> pd.DataFrame:
    if not rows:
        raise DataError("the table is empty", where=path, expected="a header and one row a measurement")
    return pd.DataFrame(rows[1:], columns=rows[0], dtype=object)
