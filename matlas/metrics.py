"""Measured numbers as rows of one long table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd

from schemas.tables.analysis import METRICS


def metrics_frame(space: Mapping[str, str], method: str, records: Iterable[dict]) -> pd.DataFrame:
    """Records (metric, value, and k, seed, split where they apply) as a table of schema METRICS.

    space : dataset, view and representation; split is "all" unless a record says otherwise.
    """
    frame = pd.DataFrame(list(records), columns=["k", "metric", "value", "seed", "split"])
    frame["split"] = frame["split"].fillna("all")
    frame = frame.assign(method=method, value=frame["value"].astype(float), **space)
    return frame.astype({"k": "Int64", "seed": "Int64"})[METRICS.columns]
