"""Columns of a raw table as numbers or text in the stated units, and the rows where that can't be."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from matlas.errors import DataError
from schemas.config.datasets import Column
from schemas.table import Field
from schemas.tables.dataset import column_field

Faults = list[tuple[np.ndarray, str]]  # which rows have a kind of fault (n,), and the reason that it is


def require_columns(raw: pd.DataFrame, needed: set[str], name: str) -> None:
    """Raise DataError when the source of dataset `name` lacks a column or has it twice."""
    doubled = sorted(name for name in needed if list(raw.columns).count(name) > 1)
    if doubled:
        raise DataError(
            f"column {doubled[0]!r} stands twice in the header", where=f"source of dataset {name}",
            do="rename one of the two, so that it is clear which is meant",
        )  # fmt: skip
    missing = sorted(needed - set(raw.columns))
    if missing:
        raise DataError(
            f"column {missing[0]!r} is missing", where=f"source of dataset {name}",
            found=f"columns {list(raw.columns)}",
            do="name the column as the source's header has it",
        )  # fmt: skip


def convert(
    raw: pd.DataFrame, columns: Mapping[str, str | Column], *, nullable: bool = False
) -> tuple[pd.DataFrame, list[tuple[str, np.ndarray, str]]]:
    """The `columns` of a raw table as float64 or text, and the faults: in which column of the source, which rows (n,)
    have it, and the reason. nullable : whether any column may be empty, whatever its definition says."""
    converted, found = {}, []
    for name, definition in columns.items():
        field = column_field(name, definition)
        column = Column(source=definition) if isinstance(definition, str) else definition
        column = column.model_copy(update={"nullable": column.nullable or nullable})
        of_dtype = numbers if field.dtype == "float64" else texts
        converted[name], faults = of_dtype(raw[column.source], column, field)
        found += [(column.source, bad, reason) for bad, reason in faults if bad.any()]
    return pd.DataFrame(converted, index=raw.index), found


def numbers(cells: pd.Series, definition: Column, field: Field) -> tuple[np.ndarray, Faults]:
    """Cells as float64 in the field's unit; faults are text, infinity, values out of range, and emptiness unless the
    column is nullable."""
    missing = cells.isna().to_numpy() | cells.map(lambda v: isinstance(v, str) and not v.strip()).to_numpy(dtype=bool)
    boolean = cells.map(lambda v: isinstance(v, bool)).to_numpy(dtype=bool)
    values = pd.to_numeric(cells.where(~boolean & ~_nested(cells)), errors="coerce").to_numpy(dtype=np.float64)
    values = values * definition.scale + definition.offset
    text = ~missing & np.isnan(values)
    infinite = np.isinf(values)
    with np.errstate(invalid="ignore"):
        low = np.zeros(len(values), bool) if field.minimum is None else values < field.minimum
        high = np.zeros(len(values), bool) if field.maximum is None else values > field.maximum
    faults = [(text, "not a number"), (infinite, "not finite")]
    faults += [(low & ~infinite, f"below {field.minimum} {field.unit}")]
    faults += [(high & ~infinite, f"above {field.maximum} {field.unit}")]
    if not definition.nullable:
        faults.append((missing, "missing value"))
    return values, faults


def texts(cells: pd.Series, definition: Column, field: Field | None = None) -> tuple[pd.Series, Faults]:
    """Cells as stripped text; an empty cell is a fault unless the column is nullable."""
    nested = _nested(cells)
    flat = cells.where(~nested, "")
    stripped = flat.map(lambda v: None if pd.isna(v) or not str(v).strip() else str(v).strip()).astype(object)
    faults = [(nested, "not text")]
    empty = stripped.isna().to_numpy() & ~nested
    return stripped, faults if definition.nullable else [*faults, (empty, "missing value")]


def _nested(cells: pd.Series) -> np.ndarray:
    """Which cells hold a list or the like, as JSON and Parquet can."""
    return cells.map(lambda v: isinstance(v, list | tuple | dict | set | np.ndarray)).to_numpy(dtype=bool)


def problem(
    positions: Sequence[int], reason: str, column: str, raw: pd.DataFrame, *, rows: np.ndarray | None = None
) -> pd.DataFrame:
    """The rows of `raw` at `positions` as rejects. rows : the number of each row of `raw`, by default from 1."""
    positions = list(positions)
    cells = raw[column].iloc[positions]
    return pd.DataFrame({
        "row": np.array(positions, dtype=np.int64) + 1 if rows is None else rows[positions],
        "reason": reason.strip(),
        "column": column,
        "value": [None if pd.api.types.is_scalar(v) and pd.isna(v) else str(v) for v in cells],
        "raw": [json.dumps(row, ensure_ascii=False, default=str) for row in raw.iloc[positions].to_dict("records")],
    })  # fmt: skip
