"""Columns that configuration computes with SQL expressions, evaluated by DuckDB with no access to files."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

import duckdb
import numpy as np
import pandas as pd

from matlas.errors import ConfigError, nearest
from schemas.config.datasets import Derived

_CLOSED = dict.fromkeys(
    ("enable_external_access", "autoinstall_known_extensions", "autoload_known_extensions"), "false"
)
_UNKNOWN_COLUMN = re.compile(r'Referenced column "(.+?)" not found')
_ROW = "_row"  # no column of a dataset starts with _


def add_columns(
    frame: pd.DataFrame, derived: Mapping[str, str | Derived], flags: Mapping[str, str | Derived]
) -> pd.DataFrame:
    """`frame` with `derived` (float64) and `flags` (bool) appended, in order; later ones may use earlier ones.

    A result that is not finite (0/0, an overflow) becomes null in a derived column; a flag that is null counts as
    false, and one that divides by zero is refused. Window functions may look at other rows (`max(x) OVER (PARTITION
    BY …)`). Raises ConfigError for an expression that DuckDB refuses, an aggregate over all rows included.
    """
    frame = frame.copy()
    with duckdb.connect(config=_CLOSED) as connection:
        for kind, columns in (("derived", derived), ("flags", flags)):
            # 0/0 as NaN would make a flag true: DuckDB holds NaN to be larger than any number
            connection.execute(f"SET ieee_floating_point_ops = {kind == 'derived'}")
            for name, definition in columns.items():
                sql = definition if isinstance(definition, str) else definition.sql
                frame[name] = _evaluate(connection, frame, sql, name, kind)
    return frame


def sql_of(dataset) -> list[str]:
    """The SQL of all derived columns and flags of a dataset's definition."""
    definitions = (*dataset.derived.values(), *dataset.flags.values())
    return [definition if isinstance(definition, str) else definition.sql for definition in definitions]


def looks_at_other_rows(sql: str) -> bool:
    """Whether an expression holds a window function; also true for one that isn't SQL, which `add_columns` refuses."""
    with duckdb.connect(config=_CLOSED) as connection:
        ((tree,),) = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [f"SELECT {sql}"]).fetchall()
    return '"class":"WINDOW"' in tree or json.loads(tree)["error"]


def check_expressions(empty: pd.DataFrame, expressions: Mapping[str, str]) -> None:
    """Whether expressions can be computed on a table, before there is one.

    empty : a table without rows, of the right columns and dtypes; expressions : {where it stands: SQL}. Raises
    ConfigError that names the place. What fails on some values only (a text that is no number) isn't found.
    """
    for where, sql in expressions.items():
        try:
            add_columns(empty, {"value": sql}, {})
        except ConfigError as error:
            raise ConfigError(
                "the SQL can't be computed", where=where, expected=error.expected, found=error.found, do=error.do
            ) from error


def _evaluate(connection: duckdb.DuckDBPyConnection, frame: pd.DataFrame, sql: str, name: str, kind: str):
    # a window function returns rows in an order of its own, so the order is asked for
    connection.register("clean", frame.assign(**{_ROW: np.arange(len(frame))}))
    typed = (
        f"CASE WHEN isfinite(({sql})::DOUBLE) THEN ({sql})::DOUBLE END"
        if kind == "derived"
        else f"coalesce(({sql})::BOOLEAN, false)"
    )
    try:
        result = connection.execute(f"SELECT {typed} AS result FROM clean ORDER BY {_ROW}").fetchnumpy()["result"]
    except duckdb.Error as error:
        what = f"{kind} column {name!r} can't be computed"
        if "GROUP BY" in str(error):
            raise ConfigError(
                what, expected="a value for each row", found=f"an aggregate: {sql}",
                do="write avg(x) OVER () to use the mean of all rows",
            ) from error  # fmt: skip
        if unknown := _UNKNOWN_COLUMN.search(str(error)):
            expected = f"a column of the dataset, {nearest(unknown[1], frame.columns)}"
            raise ConfigError(what, expected=expected, found=repr(unknown[1])) from error
        advice = f"use columns of the dataset: {list(frame.columns)}"
        if "Division by zero" in str(error):
            advice = "write x / nullif(y, 0), which is null where y is 0"
        raise ConfigError(what, found=str(error).splitlines()[0].split(" Use TRY")[0], do=advice) from error
    finally:
        connection.unregister("clean")
    if len(result) != len(frame):
        raise ConfigError(
            f"{kind} column {name!r} can't be computed", expected=f"{len(frame)} values, one a row", found=len(result)
        )
    if kind == "flags":
        return result.astype(bool)
    return result.filled(float("nan")) if hasattr(result, "filled") else result
