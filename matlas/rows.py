"""Rows of features, held in memory or read from tables batch by batch (retrieval.StoredRows); who learns from them
need not know which."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

from matlas.errors import DataError


class Rows(Protocol):
    """n rows with p features. index : (n,) their entities; columns : (p,) names of the features."""

    index: pd.Index
    columns: list[str]

    @property
    def shape(self) -> tuple[int, int]: ...

    def batches(self, which: np.ndarray | None = None) -> Iterator[np.ndarray]:
        """Rows as float64 (b, p), in order: all, or those at the rising positions `which`."""
        ...


@dataclass(frozen=True, eq=False)
class HeldRows:
    """Rows in memory: one batch."""

    matrix: np.ndarray
    index: pd.Index
    columns: list[str]

    @property
    def shape(self) -> tuple[int, int]:
        return self.matrix.shape

    def batches(self, which: np.ndarray | None = None) -> Iterator[np.ndarray]:
        yield self.matrix if which is None else self.matrix[which]


def held(features: pd.DataFrame) -> HeldRows:
    """A frame indexed by the entity key as rows in memory."""
    return HeldRows(features.to_numpy(dtype=np.float64), features.index, list(features.columns))


def taken(rows: Rows, which: np.ndarray | None = None) -> np.ndarray:
    """All rows as one matrix (n, p), or those at some rising positions. Raises DataError for none."""
    batches = list(rows.batches(which))
    if not sum(map(len, batches)):
        raise DataError("no rows are asked for", expected="at least 1")
    return batches[0] if len(batches) == 1 else np.concatenate(batches)
