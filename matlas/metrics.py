"""Measured numbers as rows of one long table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from matlas.cluster.sweep import Sweep
from matlas.represent import Projection
from schemas.tables.analysis import METRICS


def metrics_frame(space: Mapping[str, str], method: str, records: Iterable[dict]) -> pd.DataFrame:
    """Records (metric, value, and k, seed, split where they apply) as a table of schema METRICS.

    space : dataset, view and representation; split is "all" unless a record says otherwise.
    """
    frame = pd.DataFrame(list(records), columns=["k", "metric", "value", "seed", "split"])
    frame["split"] = frame["split"].fillna("all")
    frame = frame.assign(method=method, value=frame["value"].astype(float), **space)
    return frame.astype({"k": "Int64", "seed": "Int64"})[METRICS.columns]


def projection_metrics(projection: Projection, n_features: int, seed: int) -> list[dict]:
    """Width of the input, share of variance kept in all and by each component, and mean reconstruction error."""
    shares = projection.explained_variance_ratio
    values = {
        "n_features": n_features,
        "explained_variance_ratio": shares.sum(),
        **{f"explained_variance_ratio_{i}": share for i, share in enumerate(shares)},
        "reconstruction_error": projection.reconstruction_error.mean(),
    }
    return [{"metric": name, "value": float(value), "seed": seed} for name, value in values.items()]


def sweep_metrics(sweep: Sweep, split: str = "all") -> list[dict]:
    """Silhouette, inertia or BIC at each k, and the best k."""
    records = [
        {"k": k, "metric": metric, "value": value, "seed": sweep.random_state, "split": split}
        for metric in ("silhouette", "inertia", "bic")
        for k, value in zip(sweep.k, getattr(sweep, metric), strict=True)
        if not np.isnan(value)
    ]
    best = {"metric": "best_k", "value": sweep.best_k, "seed": sweep.random_state, "split": split}
    return [*records, best]


def agreement_metrics(agreement: pd.DataFrame, split: str) -> list[dict]:
    """Rows (k, seed, ari) of seed_stability or bootstrap_stability."""
    return [
        {"k": row.k, "metric": "ari_to_reference", "value": row.ari, "seed": row.seed, "split": split}
        for row in agreement.itertuples()
    ]
