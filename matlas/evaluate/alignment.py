"""The rows of one table in the order of another."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import pandas as pd

from matlas.errors import DataError

Table = TypeVar("Table", pd.Series, pd.DataFrame)


def rows_of(table: Table, entities: pd.Index, what: str) -> Table:
    """Rows of `table`, which is indexed by the entity key, for `entities` in their order; `what` is its name in
    messages. Raises DataError for a key that the table lacks or holds twice."""
    doubled = table.index[table.index.duplicated()]
    if len(doubled):
        raise DataError(f"{what} name an entity twice", found=f"{doubled[0]!r} and {len(doubled) - 1} more")
    missing = entities[~entities.isin(table.index)]
    if len(missing):
        raise DataError(
            f"{what} lack entities", expected=f"all of {len(entities)}",
            found=f"{len(missing)} missing, as {missing[0]!r}", do="take both from the same dataset",
        )  # fmt: skip
    return table.loc[entities]


def class_codes(truth: np.ndarray | pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Codes (n,) of the class of each row, -1 where it has none, and the sorted names of the classes.

    Raises DataError when no row has a class.
    """
    codes, names = pd.factorize(np.asarray(truth, dtype=object), sort=True)
    if not len(names):
        raise DataError("no row has a class", expected="one or more with a label", found=f"none of {len(codes)}")
    return codes.astype(np.int64), np.asarray(names, dtype=object)
