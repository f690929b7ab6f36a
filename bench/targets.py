"""What the numbers are held to: bench/targets.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from matlas.errors import ConfigError, nearest

PATH = Path(__file__).parent / "targets.yaml"
_ALSO = {"ratio": "ratio_of_fastest"}  # held to the same


def read_targets(path: Path = PATH) -> dict[str, dict[str, dict[str, float]]]:
    """{comparison: {metric: {"least" or "most": number}}}. Raises ConfigError for another limit."""
    targets = yaml.safe_load(path.read_text(encoding="utf-8"))
    for comparison, metrics in targets.items():
        for metric, limits in metrics.items():
            if not limits or not set(limits) <= {"least", "most"}:
                raise ConfigError(
                    "a target is neither a least nor a most", where=f"{path}: {comparison}: {metric}",
                    expected="least, most or both", found=sorted(limits),
                )  # fmt: skip
    return targets


def judged(rows: pd.DataFrame, targets: Mapping) -> pd.DataFrame:
    """Rows of `bench.measure.measured` with least, most and met. Raises ConfigError for a target whose metric was not
    measured, although its comparison was."""
    least, most = [], []
    for comparison, here in rows.groupby("comparison", sort=False):
        for metric in targets.get(comparison, {}):
            if metric not in set(here["metric"]):
                raise ConfigError(
                    f"a target of {comparison} was not measured", where=PATH,
                    expected=nearest(metric, here["metric"].tolist()), found=metric,
                )  # fmt: skip
    for comparison, metric in zip(rows["comparison"], rows["metric"], strict=True):
        limits = targets.get(comparison, {})
        of_metric = next((limits[name] for name in limits if metric in (name, _ALSO.get(name))), {})
        least.append(of_metric.get("least"))
        most.append(of_metric.get("most"))
    held = rows.assign(least=np.array(least, dtype=float), most=np.array(most, dtype=float))  # None: NaN
    return held.assign(met=~((held["value"] < held["least"]) | (held["value"] > held["most"])))
