"""The labels of every seed at every number of clusters, as one table."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from matlas.errors import DataError

_COLUMN = r"seed_(\d+)_k_(\d+)"


def reruns_frame(entities: pd.Index, reruns: Iterable[tuple[int, int, np.ndarray]]) -> pd.DataFrame:
    """Columns: the key, then `seed_<s>_k_<k>` for each (seed, k, labels (n,)), int64, in the order given."""
    columns = {f"seed_{seed}_k_{k}": labels.astype(np.int64) for seed, k, labels in reruns}
    return pd.concat([entities.to_frame(index=False), pd.DataFrame(columns)], axis=1)


def rerun_labels(reruns: pd.DataFrame) -> tuple[list[int], list[int], np.ndarray]:
    """Seeds (m,), cluster numbers (m,) and labels (n, m) of a table of reruns that is indexed by its key.

    Raises DataError when a column is not one of `reruns_frame`.
    """
    named = reruns.columns.to_series().str.extract(f"^{_COLUMN}$")
    if named.isna().to_numpy().any() or not len(named):
        raise DataError(
            "not a table of reruns", expected="columns seed_<seed>_k_<k>", found=list(reruns.columns)[:20],
            do="index it by its key first",
        )  # fmt: skip
    seeds, ks = (named[i].astype(int).tolist() for i in (0, 1))
    return seeds, ks, reruns.to_numpy(dtype=np.int64)
