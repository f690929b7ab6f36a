"""CSV and TSV files as they stand."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from matlas.errors import DataError


def read_rows(path: Path, delimiter: str = ",") -> list[list[str]]:
    """All of `iter_rows`."""
    return list(iter_rows(path, delimiter))


def iter_rows(path: Path, delimiter: str = ",") -> Iterator[list[str]]:
    """Header and rows, all of the header's length; empty lines don't count. pandas would guess types, take NaN (sodium
    nitride) for a missing value, and a row that is too long for one with a label.

    Raises DataError for a file that is not text in UTF-8 or has a row of another length than the header.
    """
    width = None
    try:
        with open(path, newline="", encoding="utf-8-sig") as handle:
            rows = (row for row in csv.reader(handle, delimiter=delimiter, strict=True) if row)
            for number, row in enumerate(rows):
                width = width or len(row)
                if len(row) != width:
                    raise DataError(
                        "row of another length", where=f"{path}, row {number}",
                        expected=f"{width} values as in the header", found=len(row),
                        do="quote cells that hold the delimiter",
                    )  # fmt: skip
                yield row
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError("not a CSV file in UTF-8", where=path, found=error, do="save it as CSV (UTF-8)") from error
