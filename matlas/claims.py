"""Published statements, measured by SQL over the catalog."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal

import duckdb
import pandas as pd

from matlas.errors import ConfigError, QueryError
from matlas.sandbox import checked
from schemas.tables.analysis import CLAIMS

log = logging.getLogger(__name__)


def measure(
    catalog: duckdb.DuckDBPyConnection,
    claims: Sequence[Mapping],
    study: str,
    *,
    simulated: bool,
    by_design: bool = False,
    skipped: str | None,
    left_out: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Each claim with its measured value and verdict, as schema CLAIMS has it; one with variants once for each.

    claims : definitions (schemas.config.studies.Claim as plain values); simulated : the tables hold generated data, so
    no verdict speaks about the publication; by_design : they are about a simulation, not about data that it stands in
    for; skipped : the source that the settings leave out: nothing is evaluated;
    left_out : {view: source of its weights that the settings leave out}, whose variants are not evaluated.
    A claim whose SQL gives NULL is not evaluated: the rows that it asks about are missing, as where data are few.
    Raises ConfigError for a claim whose SQL fails or does not return one row with one value of the right type.
    """
    rows = []
    for claim, variant in [(c, v) for c in claims for v in c["variants"] or [""]]:
        missing = skipped or (left_out or {}).get(variant)
        measured, detail = (
            (None, f"source {missing} was left out: it stands in skip_sources, or is optional and not in the mirror")
            if missing
            else _evaluate(catalog, claim, variant, study)
        )
        rows.append({
            **{name: claim[name] for name in ("id", "says", "cites", "tolerance")},
            "variant": variant,
            "study": study,
            "expected": float(claim["expect"]),
            "measured": measured,
            "verdict": verdict(measured, float(claim["expect"]), claim["tolerance"], simulated=simulated,
                               by_design=by_design),
            "quantity": "true or false" if isinstance(claim["expect"], bool) else "number",
            "detail": detail,
        })  # fmt: skip
    frame = pd.DataFrame(rows, columns=CLAIMS.columns)
    return frame.astype({"expected": float, "measured": float, "tolerance": float})


def verdict(
    measured: float | None, expected: float, tolerance: float, *, simulated: bool, by_design: bool = False
) -> str:
    """What a measurement says; the tolerance has room for rounding in the last bits. Sample data that stand in for
    measured ones say nothing about a statement; a simulation of what it is about does, and is named."""
    if measured is None:
        return "not evaluated"
    agrees = abs(measured - expected) <= tolerance + 1e-12 * max(abs(measured), abs(expected))
    if simulated and by_design:
        return f"{'reproduced' if agrees else 'contradicted'} on simulated data"
    if simulated:
        return "agrees on simulated data" if agrees else "differs on simulated data"
    return "reproduced" if agrees else "contradicted"


def _evaluate(catalog: duckdb.DuckDBPyConnection, claim: Mapping, variant: str, study: str) -> tuple[float | None, str]:
    where = f"study {study}, claim {claim['id']}" + (f", variant {variant}" if variant else "")
    sql = claim["sql"].replace("{variant}", variant)
    try:
        checked(catalog, sql)
    except QueryError as error:
        raise ConfigError("the SQL of a claim can't run", where=where, found=error) from error
    try:
        result = catalog.execute(sql)
        names = [column[0] for column in result.description]
        rows = result.fetchmany(2)
    except duckdb.Error as error:
        raise ConfigError("the SQL of a claim fails", where=where, found=str(error).splitlines()[0]) from error
    if len(rows) != 1:
        found = "no rows" if not rows else "several rows"
        raise ConfigError("the SQL of a claim must return one row with one value", where=where, found=found)
    value, detail = rows[0][0], rows[0][names.index("detail")] if "detail" in names else None
    if value is None:
        reason = "its SQL finds no value (NULL): the rows that it asks about are missing"
        log.warning(f"{where}: not evaluated: {reason}")
        return None, reason
    number = isinstance(value, int | float | Decimal)
    if not number or isinstance(value, bool) != isinstance(claim["expect"], bool):
        expected = "true or false" if isinstance(claim["expect"], bool) else "a number"
        raise ConfigError(
            "the SQL of a claim returns the wrong type", where=where, expected=expected, found=repr(value)
        )
    if not math.isfinite(value):
        raise ConfigError("the SQL of a claim returns no finite number", where=where, found=repr(value))
    return float(value), str(detail or "")
