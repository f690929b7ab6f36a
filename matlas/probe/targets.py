"""What probes predict: expressions over the columns of a dataset, as numbers or as two classes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from os import PathLike

import pandas as pd

from matlas.expressions import add_columns
from matlas.probe.heads import CLASSIFICATION, REGRESSION
from matlas.tables import read_keyed

log = logging.getLogger(__name__)


def target_values(
    dataset: str | PathLike | pd.DataFrame, targets: Mapping[str, Mapping]
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Values of the targets of a study for every entity, and the task of each.

    dataset : its table, or a frame indexed by the entity key; targets : {name: {"sql": an expression over the columns
    of the dataset (the key among them), "where": another one or None, …}}. All see the dataset alone, never each other.
    Returns (n, targets) float64 indexed by the key, and {name: task}: "classification" for a truth value, as 1 and 0,
    otherwise "regression". NaN where the expression is empty or not finite, or `where` is not true.
    Raises ConfigError for an expression that DuckDB refuses, as `expressions.add_columns` does.
    """
    frame = dataset if isinstance(dataset, pd.DataFrame) else read_keyed(dataset)[1]
    columns = frame.reset_index()
    values, tasks = {}, {}
    for name, target in targets.items():
        sql = target["sql"]
        chosen = f"CASE WHEN ({where}) THEN ({sql})::DOUBLE END" if (where := target.get("where")) else sql
        made = add_columns(columns, {name: chosen}, {})[name].to_numpy()
        # asked apart, so that a column of this name stays what it is
        truth = add_columns(columns, {name: f"typeof({sql}) = 'BOOLEAN'"}, {})[name]
        tasks[name] = CLASSIFICATION if len(truth) and truth.iloc[0] == 1 else REGRESSION
        values[name] = made
        known = int(pd.notna(made).sum())
        log.info("target %s (%s): %d of %d entities have a value", name, tasks[name], known, len(frame))
    return pd.DataFrame(values, index=frame.index), tasks
