"""Work that several jobs share: whose share is what, and how shares are put together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from os import PathLike

import numpy as np
import pandas as pd

from matlas.errors import DataError
from matlas.tables import RowGroups, read_table

ROWS_AT_ONCE = 100_000


def share_of(scatteritem: str) -> tuple[int, int]:
    """(number of the share, from 0, and number of shares) of "1-of-4"."""
    number, shares = map(int, scatteritem.split("-of-"))
    return number - 1, shares


def gathered(shares: Sequence[str | PathLike], entities: pd.Series) -> Iterator[pd.DataFrame]:
    """The rows of the tables of all shares in the order of `entities`, whose name is the key's column; entities may be
    absent, and have several rows, which keep their order.

    In batches of about ROWS_AT_ONCE rows, at least one: beyond them, memory is 24 bytes a row. Raises DataError for
    rows of another entity.
    """
    place, sorted_shares = pd.Index(entities), []
    for path in shares:
        found = place.get_indexer(read_table(path, [entities.name])[entities.name])
        if (found < 0).any():
            raise DataError(
                "a share holds entities that the dataset lacks", where=path, expected=f"{entities.name} of the dataset",
                found=f"{int((found < 0).sum())} rows of others", do="run all shards of one raw table",
            )  # fmt: skip
        order = np.argsort(found, kind="stable")
        sorted_shares.append((RowGroups(path), order, found[order]))
    rows = sum(len(order) for _, order, _ in sorted_shares)
    step = max(1, len(entities) * ROWS_AT_ONCE // max(rows, 1))
    for start in range(0, max(len(entities), 1), step):
        frames, places = [], []
        for table, order, found in sorted_shares:
            here = slice(*np.searchsorted(found, [start, start + step]))
            frames.append(table.frame(order[here]))
            places.append(found[here])
        order = np.concatenate(places).argsort(kind="stable")
        yield pd.concat(frames, ignore_index=True).iloc[order].reset_index(drop=True)
