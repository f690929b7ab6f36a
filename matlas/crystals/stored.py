"""Crystals from the tables that the clean stage wrote."""

from __future__ import annotations

from os import PathLike

import numpy as np
import pandas as pd

from matlas.composition import SYMBOLS
from matlas.crystals.structure import Crystals, lattice_of
from matlas.errors import DataError
from matlas.tables import RowGroups, read_table, table_info
from schemas.tables.dataset import CELL, SYMMETRY


def read_crystals(dataset: str | PathLike, sites: str | PathLike, *, shard: int = 0, shards: int = 1) -> Crystals:
    """Every `shards`-th crystal of a dataset, from number `shard` on, in the order of the dataset.

    dataset, sites : the tables' files. Lattices are those that `lattice_of` makes of the parameters, so a crystal is
    turned in space against its source. Raises DataError for crystals without sites and for sites of none.
    """
    (key,) = table_info(dataset).key
    cells = read_table(dataset, [key, *CELL[:6]])
    owners = read_table(sites, [key])[key]
    number = pd.Index(cells[key]).get_indexer(owners)
    count = np.bincount(number[number >= 0], minlength=len(cells))
    if (number < 0).any() or not count.all():
        stray = owners[number < 0].unique().tolist() or cells.loc[count == 0, key].tolist()
        raise DataError(
            "the sites are not those of the crystals", where=f"{sites}, {dataset}", expected="sites of every crystal",
            found=f"{len(stray)} that stand in one table only: {', '.join(map(str, stray[:5]))}", do="rerun clean",
        )  # fmt: skip
    order = np.argsort(number, kind="stable")
    order = order[number[order] % shards == shard]
    table = RowGroups(sites, ["element", "occupancy", "frac_x", "frac_y", "frac_z"]).frame(order)
    cells, count = cells.iloc[shard::shards], count[shard::shards]
    z_of = pd.Series(np.arange(len(SYMBOLS)), index=SYMBOLS)
    return Crystals(
        keys=cells[key].to_numpy(dtype=object),
        lattice=lattice_of(*(cells[column].to_numpy() for column in CELL[:6])),
        indptr=np.concatenate([[0], np.cumsum(count)]),
        z=z_of.loc[table["element"]].to_numpy(dtype=np.int64),
        frac=table[["frac_x", "frac_y", "frac_z"]].to_numpy(dtype=np.float64),
        occupancy=table["occupancy"].to_numpy(dtype=np.float64),
    )


def symmetry_frame(dataset: str | PathLike) -> pd.DataFrame:
    """The columns SYMMETRY and n_sites of a dataset's table, by its key."""
    (key,) = table_info(dataset).key
    return read_table(dataset, [key, *SYMMETRY, "n_sites"]).set_index(key)
