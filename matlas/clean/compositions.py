"""From a raw table of formulas to a clean dataset and the rows that were refused."""

from __future__ import annotations

import json
import logging

import numpy as np
import pandas as pd

from matlas.clean.rejects import as_rejects, within_share
from matlas.composition import (
    chemical_family,
    dominant_element,
    n_elements,
    parse_formulas,
    reduced_formulas,
)  # fmt: skip
from matlas.errors import DataError
from matlas.expressions import add_columns
from schemas.config.datasets import Column, CompositionDataset
from schemas.tables.dataset import column_field, dataset_schema

log = logging.getLogger(__name__)


def clean_compositions(
    raw: pd.DataFrame, dataset: CompositionDataset, name: str = "dataset"
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split raw rows into a clean table and rejects; every raw row is in exactly one of the two.

    raw : one row a measurement, cells of any type; dataset : which columns mean what.
    Returns (clean, rejects): clean as `dataset_schema` has it; rejects with row, reason, column, value, raw.
    Raises DataError when a named column is missing or more than `max_reject_share` of the rows are refused.
    """
    columns = {c: Column(source=d) if isinstance(d, str) else d for c, d in dataset.columns.items()}
    _require_columns(raw, {dataset.formula, *(d.source for d in columns.values())}, name)
    rows = np.arange(1, len(raw) + 1)
    problems: list[pd.DataFrame] = []

    formulas = raw[dataset.formula].map(lambda v: v.strip() if isinstance(v, str) else v)
    compositions, unparsed = parse_formulas(formulas.tolist())
    problems += [_problem([i], reason, dataset.formula, raw) for i, reason in unparsed.items()]

    clean = pd.DataFrame({dataset.key: rows})
    clean["composition"] = formulas
    for column, definition in columns.items():
        field = column_field(column, dataset.columns[column])
        convert = _numbers if field.dtype == "float64" else _texts
        clean[column], found = convert(raw[definition.source], definition, field)
        problems += [
            _problem(np.flatnonzero(bad), reason, definition.source, raw) for bad, reason in found if bad.any()
        ]

    rejects = as_rejects(problems)
    good = ~np.isin(rows, rejects["row"])
    within_share(rejects, len(raw), dataset.max_reject_share, name)
    kept = np.delete(np.arange(len(raw)), list(unparsed))  # rows that `compositions` describes, in order
    clean.loc[kept, "reduced_formula"] = reduced_formulas(compositions)
    clean.loc[kept, "n_elements"] = n_elements(compositions)
    clean.loc[kept, "chemical_family"] = chemical_family(compositions)
    clean.loc[kept, "dominant_element"] = dominant_element(compositions)
    clean = clean[good].reset_index(drop=True).astype({"n_elements": "int64"})
    if not good.any():
        raise DataError("no row is left", where=name, found=f"{len(raw)} rows, all refused")
    clean = add_columns(clean, dataset.derived, dataset.flags)
    if dataset.repeats:
        clean["repeated"] = clean.duplicated(dataset.repeats, keep="first").to_numpy()
    log.info("%s: %d rows read, %d kept, %d refused", name, len(raw), int(good.sum()), int((~good).sum()))
    return clean[dataset_schema(name, dataset).columns], rejects


def _require_columns(raw: pd.DataFrame, needed: set[str], name: str) -> None:
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


def _numbers(cells: pd.Series, definition: Column, field) -> tuple[np.ndarray, list[tuple[np.ndarray, str]]]:
    """Cells as float64 in the field's unit, and per kind of fault which rows have it."""
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


def _texts(cells: pd.Series, definition: Column, field) -> tuple[pd.Series, list[tuple[np.ndarray, str]]]:
    """Cells as stripped text; an empty cell is a fault unless the column is nullable."""
    nested = _nested(cells)
    flat = cells.where(~nested, "")
    texts = flat.map(lambda v: None if pd.isna(v) or not str(v).strip() else str(v).strip()).astype(object)
    faults = [(nested, "not text")]
    return texts, faults if definition.nullable else [*faults, (texts.isna().to_numpy() & ~nested, "missing value")]


def _nested(cells: pd.Series) -> np.ndarray:
    """Which cells hold a list or the like, as JSON and Parquet can."""
    return cells.map(lambda v: isinstance(v, list | tuple | dict | set | np.ndarray)).to_numpy(dtype=bool)


def _problem(positions, reason: str, column: str, raw: pd.DataFrame) -> pd.DataFrame:
    positions = list(positions)
    cells = raw[column].iloc[positions]
    return pd.DataFrame({
        "row": np.array(positions, dtype=np.int64) + 1,
        "reason": reason.strip(),
        "column": column,
        "value": [None if pd.api.types.is_scalar(v) and pd.isna(v) else str(v) for v in cells],
        "raw": [json.dumps(row, ensure_ascii=False, default=str) for row in raw.iloc[positions].to_dict("records")],
    })  # fmt: skip
