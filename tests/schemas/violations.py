"""From any table schema: one frame that keeps it, and for each of its constraints frames that break just that one."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from schemas.table import Field, TableSchema

ROWS = 4


@dataclass(frozen=True)
class Violation:
    """A frame (or several, as batches) with one fault, and what a message about it must say."""

    constraint: str
    frames: list[pd.DataFrame]
    message: tuple[str, ...]
    field: Field | None = None  # the field whose contract is broken, if it is one field's

    @property
    def frame(self) -> pd.DataFrame:
        return pd.concat(self.frames, ignore_index=True)


def valid_frame(schema: TableSchema) -> pd.DataFrame:
    """Four rows that hold every bound and, where they may, an empty cell; key columns without a maximum are unique."""
    frame = pd.DataFrame({f.name: _valid_column(f, f.name in schema.key) for f in schema.fields})
    for low, high in schema.ordered:
        frame[high] = frame[low] + np.arange(ROWS)
    return frame


def violations(schema: TableSchema) -> Iterator[Violation]:
    """Every way to break the schema, once each."""
    good = valid_frame(schema)
    for f in schema.fields:
        for constraint, column, shown in _broken_columns(f, good[f.name]):
            yield Violation(constraint, [good.assign(**{f.name: column})], (f.name, *shown), f)
        yield Violation("missing column", [good.drop(columns=f.name)], (f"missing ['{f.name}']",))
    yield Violation("extra column", [good.assign(surplus=1)], ("unexpected ['surplus']",))
    doubled = pd.concat([good, good[[schema.columns[0]]]], axis=1)
    yield Violation("column twice", [doubled], (f"unexpected ['{schema.columns[0]}']",))
    for low, high in schema.ordered:
        raised = good.assign(**{low: np.where(good.index == 2, good[high] + 1, good[low])})
        yield Violation(
            f"{low} <= {high}", [raised], (low, high, f"row 2: {raised[low][2]}", f"row 2: {good[high][2]}")
        )
    key = list(schema.key)
    repeated = good.copy()
    repeated.loc[3, key] = repeated.loc[0, key].to_list()
    repeated = repeated.astype(good.dtypes)
    values = next(good[key].astype(object).itertuples(index=False, name=None))
    message = ("not unique", "2 rows", f"row 0: {values}, row 3: {values}")
    yield Violation("key", [repeated], message)
    yield Violation("key across batches", [repeated[:1], repeated[1:]], message)


def _valid_column(f: Field, key: bool) -> object:
    if f.dtype == "bool":
        return [True, False] * (ROWS // 2)
    if f.dtype == "string":
        texts = [f.allowed[i % len(f.allowed)] if f.allowed else f"{f.name} {i} µ" for i in range(ROWS)]
        return texts[:-1] + [None] if f.nullable else texts
    low = f.minimum if f.minimum is not None else -3 if f.maximum is None else f.maximum - 3
    high = f.maximum if f.maximum is not None else low + 3
    if f.dtype == "float64":
        return [*np.linspace(low, high, ROWS - 1), np.nan if f.nullable else high]
    numbers = [int(low) + i % (int(high - low) + 1) for i in range(ROWS)]
    return pd.array(numbers[:-1] + [None], dtype="Int64") if f.nullable else np.array(numbers, dtype="int64")


def _broken_columns(f: Field, good: pd.Series) -> Iterator[tuple[str, object, tuple[str, ...]]]:
    """(constraint, column, what the message shows) for every constraint of one field."""
    for dtype in {"float64": ("float32", "Float64", "str"), "int64": ("float64", "str"), "bool": ("int64", "str"),
                  "string": ("category", "bytes")}[f.dtype]:  # fmt: skip
        column = good.map(lambda v: str(v).encode()).astype(object) if dtype == "bytes" else good.astype(dtype)
        column = column.astype(object) if dtype == "str" else column
        found = f", {column.dtype} found" if dtype != "bytes" else "text, "
        yield f"dtype {f.dtype}, not {dtype}", column, (found, f"row 0: {_shown(column[0])}")
    stray = "stray" if f.dtype != "string" else 1
    yield f"one {type(stray).__name__} in {f.dtype}", _with(good.astype(object), stray), (f"row 1: {stray!r}",)
    if not f.nullable:
        column = _with(
            good.astype("Int64" if f.dtype == "int64" else object if f.dtype == "bool" else good.dtype), None
        )
        yield "not nullable", column, ("not_nullable, 1 failing", f"row 1: {_shown(column[1])}")
    if f.minimum is not None:
        low = f.minimum - 1 if f.dtype == "int64" else np.nextafter(f.minimum, -np.inf)
        yield "minimum", _with(good, low), (f"greater_than_or_equal_to({f.minimum}), 1 failing: row 1: {_shown(low)}",)
    if f.maximum is not None:
        high = f.maximum + 1 if f.dtype == "int64" else np.nextafter(f.maximum, np.inf)
        yield "maximum", _with(good, high), (f"less_than_or_equal_to({f.maximum}), 1 failing: row 1: {_shown(high)}",)
    if f.dtype == "float64":
        for infinite in (np.inf, -np.inf):
            yield f"finite, not {infinite}", _with(good, infinite), (f"finite, 1 failing: row 1: {infinite}",)
    if f.allowed:
        yield "allowed", _with(good, "neither"), ("isin(", "1 failing: row 1: 'neither'")


def _with(column: pd.Series, value: object) -> pd.Series:
    column = column.copy()
    column[1] = value
    return column


def _shown(value: object) -> str:
    return str(value.item()) if isinstance(value, np.generic) else repr(value)
