"""Columns that configuration computes with SQL expressions, evaluated by DuckDB with no access to files."""

from __future__ import annotations

from collections.abc import Mapping

import duckdb
import pandas as pd

from matlas.errors import ConfigError
from schemas.config import Derived


def add_columns(
    frame: pd.DataFrame, derived: Mapping[str, str | Derived], flags: Mapping[str, str | Derived]
) -> pd.DataFrame:
    """`frame` with `derived` (float64) and `flags` (bool) appended, in order; later ones may use earlier ones.

    A result that is not finite (0/0, an overflow) becomes null in a derived column; a flag that is null counts as
    false. Raises ConfigError for an expression that DuckDB refuses.
    """
    frame = frame.copy()
    with duckdb.connect(config={"enable_external_access": "false"}) as connection:
        for kind, columns in (("derived", derived), ("flags", flags)):
            for name, definition in columns.items():
                sql = definition if isinstance(definition, str) else definition.sql
                frame[name] = _evaluate(connection, frame, sql, name, kind)
    return frame


def _evaluate(connection: duckdb.DuckDBPyConnection, frame: pd.DataFrame, sql: str, name: str, kind: str):
    connection.register("clean", frame)
    typed = (
        f"CASE WHEN isfinite(({sql})::DOUBLE) THEN ({sql})::DOUBLE END"
        if kind == "derived"
        else f"coalesce(({sql})::BOOLEAN, false)"
    )
    try:
        result = connection.execute(f"SELECT {typed} AS result FROM clean").fetchnumpy()["result"]
    except duckdb.Error as error:
        raise ConfigError(
            f"{kind} column {name!r} can't be computed", found=str(error).splitlines()[0],
            do=f"use columns of the dataset: {list(frame.columns)}",
        ) from error  # fmt: skip
    finally:
        connection.unregister("clean")
    if kind == "flags":
        return result.astype(bool)
    return result.filled(float("nan")) if hasattr(result, "filled") else result
