"""Rows that the clean stage refuses: how they are recorded, and how many there may be."""

from __future__ import annotations

import logging

import pandas as pd

from matlas.errors import DataError
from schemas.tables.dataset import REJECTS

log = logging.getLogger(__name__)
SHOWN_ROWS = 3  # of each kind of fault, in the message of a refusal


def as_rejects(problems: list[pd.DataFrame]) -> pd.DataFrame:
    """One table, as REJECTS has it, of problems with row (from 1), reason, column, value and raw; sorted, and the first
    reason for each cell."""
    if not problems:
        return REJECTS.empty()
    rejects = pd.concat(problems, ignore_index=True).sort_values(["row", "column"], kind="stable")
    return rejects.drop_duplicates(["row", "column"]).reset_index(drop=True)[REJECTS.columns]


def within_share(rejects: pd.DataFrame, total: int, allowed: float, name: str, *, unit: str = "row") -> None:
    """Raise DataError when more than the share `allowed` of `total` rows of dataset `name` is refused; the log then
    lists every one. unit : what a row stands for."""
    refused = rejects["row"].nunique()
    if refused <= allowed * total:
        return
    for reject in rejects.itertuples():
        log.error("refused %s %d, %s: %s, %r", unit, reject.row, reject.column, reject.reason, reject.value)
    faults = sorted(rejects.groupby(["column", "reason"], sort=False), key=lambda fault: -len(fault[1]))
    shown = "; ".join(f"{column}: {reason} ({_some(group, unit)})" for (column, reason), group in faults[:5])
    raise DataError(
        f"too many bad {unit}s",
        where=f"dataset {name}",
        expected=f"at most {allowed:.1%} of {total} {unit}s refused, that is {int(allowed * total)}",
        found=f"{refused}: {shown}{'; …' if len(faults) > 5 else ''}",
        do="mend the source; or raise max_reject_share in the dataset's definition, or let a column be empty there "
        "(nullable: true); the log lists them all",
    )


def _some(rejects: pd.DataFrame, unit: str) -> str:
    shown = ", ".join(f"{unit} {r.row}: {r.value}" for r in rejects.head(SHOWN_ROWS).itertuples())
    return f"{shown}, … {len(rejects):,} {unit}s" if len(rejects) > SHOWN_ROWS else shown
