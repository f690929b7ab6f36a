"""Work that several jobs share: whose share is what, and how shares are put together."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd


def share_of(scatteritem: str) -> tuple[int, int]:
    """(number of the share, from 0, and number of shares) of "1-of-4"."""
    number, shares = map(int, scatteritem.split("-of-"))
    return number - 1, shares


def gathered(frames: Iterable[pd.DataFrame], entities: pd.Series) -> pd.DataFrame:
    """The rows of all shares in the order of `entities`, whose name is the key's column; entities may be absent."""
    rows = pd.concat([frame for frame in frames], ignore_index=True)
    place = pd.Series(range(len(entities)), index=entities.to_numpy())
    order = place.reindex(rows[entities.name]).to_numpy().argsort(kind="stable")
    return rows.iloc[order].reset_index(drop=True)
