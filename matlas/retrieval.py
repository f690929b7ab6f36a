"""Features of the rows of a dataset: views joined on their key, no row lost, none doubled."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from os import PathLike
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from matlas.errors import DataError
from matlas.rows import HeldRows, held
from matlas.tables import SHOWN_FAILURES, RowGroups, TableInfo, read_table, table_info
from matlas.threads import Progress

log = logging.getLogger(__name__)

HELD_BYTES = 250 * 2**20  # of a table as float64; learning from it takes up to ten times as much
ROWS_AT_ONCE = 50_000  # at most: of wide tables fewer, so that what is computed from a batch is small too
BATCH_BYTES = 64 * 2**20


def join_views(
    dataset: str | PathLike,
    views: Sequence[str | PathLike],
    *,
    columns: Sequence[str] = (),
    feature_columns: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Key, `columns` of the dataset, then features, for each row of the dataset in its order.

    dataset, views : tables; each view is joined on its own key, whose columns the dataset has too.
    feature_columns : features to take, in this order; all by default. Entities that a view says it can't describe (its
    attribute `left_out` counts them) are left out, and the log says how many. Raises DataError for any other entity
    without features or with several rows of them, for an unknown column, and for a name that two of the tables would
    give.
    """
    base, infos = table_info(dataset), [table_info(view) for view in views]
    columns = [c for c in columns if c not in base.key]
    _known(columns, base.columns, base)
    owners = _owners(infos, feature_columns)
    _no_collision([*base.key, *columns, *owners], [base, *infos])
    matching, described = _matched(dataset, base, views, infos)
    frame = read_table(dataset, [*base.key, *columns])[described].reset_index(drop=True)
    parts = []
    for view, info, rows in zip(views, infos, matching, strict=True):
        features = [name for name in info.columns if name in owners and owners[name] is info]
        if features:
            parts.append(read_table(view, features).take(rows[described]).set_axis(frame.index))
    frame = pd.concat([frame, *parts], axis=1) if parts else frame
    return frame[[*base.key, *columns, *owners]]


class StoredRows:
    """Rows of a dataset joined with feature views, as `join_views` joins them, read when they are asked for.

    Memory: a batch of ROWS_AT_ONCE rows, a row group of each table, and 8 bytes a row and view. Each view is read once
    in a pass where its rows stand in the order of the dataset, as those of the workflow do; in any other order its row
    groups are read again for each batch that needs them.
    """

    def __init__(
        self, dataset: str | PathLike, views: Sequence[str | PathLike], *, columns: Sequence[str] = ()
    ) -> None:
        """Raises as `join_views` does."""
        base, infos = table_info(dataset), [table_info(view) for view in views]
        columns = [c for c in columns if c not in base.key]
        _known(columns, base.columns, base)
        _no_collision([*base.key, *columns, *_owners(infos, None)], [base, *infos])
        matching, described = _matched(dataset, base, views, infos)
        key = base.key_field.name
        self.index = pd.Index(read_table(dataset, [key])[key][described], name=key)
        self._tables = [(RowGroups(dataset, columns), np.flatnonzero(described))] if columns else []
        for view, info, rows in zip(views, infos, matching, strict=True):
            features = [name for name in info.columns if name not in info.key]
            self._tables.append((RowGroups(view, features), rows[described]))
        self.columns = [name for groups, _ in self._tables for name in groups.columns]

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.index), len(self.columns)

    def batches(self, which: np.ndarray | None = None) -> Iterator[np.ndarray]:
        progress = Progress("rows", len(self.index), " read")
        step = min(ROWS_AT_ONCE, max(1, BATCH_BYTES // (8 * max(1, len(self.columns)))))
        for start in range(0, len(self.index), step):
            here = np.arange(start, min(start + step, len(self.index)))
            progress.reached(int(here[-1]) + 1)
            if which is not None:
                here = which[np.searchsorted(which, here[0]) : np.searchsorted(which, here[-1], side="right")]
            if len(here):
                parts = [groups.values(rows[here]) for groups, rows in self._tables]
                yield parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def rows_of_views(
    dataset: str | PathLike, views: Sequence[str | PathLike], *, columns: Sequence[str] = ()
) -> HeldRows | StoredRows:
    """The rows of a dataset with their features (`join_views`), in memory where they take at most HELD_BYTES."""
    n = table_info(dataset).rows
    width = len(columns) + sum(len(table_info(view).columns) for view in views)
    if 8 * n * width > HELD_BYTES:
        return StoredRows(dataset, views, columns=columns)
    return held(join_views(dataset, views, columns=columns).set_index(table_info(dataset).key_field.name))


def _matched(
    dataset: str | PathLike, base: TableInfo, views: Sequence[str | PathLike], infos: Sequence[TableInfo]
) -> tuple[list[np.ndarray], np.ndarray]:
    """For each view the row that belongs to each row of the dataset, and which of those all views describe."""
    matching = [_matching_rows(dataset, base, view, info) for view, info in zip(views, infos, strict=True)]
    described = np.all([rows >= 0 for rows in matching], axis=0) if matching else np.full(base.rows, True)
    if not described.all():
        log.warning("%d of %d entities of %s are left out: not every view describes them", (~described).sum(),
                    base.rows, base.name)  # fmt: skip
    return matching, described


def _owners(infos: Sequence[TableInfo], wanted: Sequence[str] | None) -> dict[str, TableInfo]:
    """{feature: its view} in the order of the result."""
    found = [(name, info) for info in infos for name in info.columns if name not in info.key]
    if wanted is not None:
        names = {name for name, _ in found}
        _known(wanted, names, *infos)
        found = [(name, info) for name, info in found if name in set(wanted)]
    doubled = _doubled(name for name, _ in found)
    if doubled:
        raise DataError(
            f"column {doubled[0]!r} stands in two views", found=", ".join(i.name for n, i in found if n == doubled[0])
        )
    owners = dict(found)
    return owners if wanted is None else {name: owners[name] for name in dict.fromkeys(wanted)}


def _known(wanted: Sequence[str], known: Iterable[str], *infos: TableInfo) -> None:
    unknown = [name for name in wanted if name not in set(known)]
    if unknown:
        raise DataError(f"unknown column {unknown[0]!r}", where=f"table {', '.join(info.name for info in infos)}")


def _no_collision(names: Sequence[str], infos: Sequence[TableInfo]) -> None:
    doubled = _doubled(names)
    if doubled:
        raise DataError(
            f"column {doubled[0]!r} would stand in the result twice",
            where=f"tables {', '.join(info.name for info in infos)}", do="leave it out of the columns asked for",
        )  # fmt: skip


def _doubled(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


def _matching_rows(dataset: str | PathLike, base: TableInfo, view: str | PathLike, info: TableInfo) -> np.ndarray:
    """(rows of the dataset,) the row of the view that belongs to each, -1 for none where the view says that it lacks
    some. Only keys are joined; features are gathered."""
    absent = [name for name in info.key if name not in base.columns]
    if absent:
        raise DataError(
            f"view {info.name} can't be joined to {base.name}",
            where=f"key {info.key}",
            found=f"no column {absent[0]!r}",
        )
    key = [f'"{name}"' for name in info.key]
    on = " AND ".join(f"d.{name} = v.{name}" for name in key)
    files = [str(Path(dataset)), str(Path(view))]
    with closing(duckdb.connect(config={"temp_directory": ""})) as connection:
        pairs = connection.execute(
            f"""SELECT d.file_row_number AS dataset_row, v.file_row_number AS view_row
                FROM read_parquet(?, file_row_number = true) d
                LEFT JOIN read_parquet(?, file_row_number = true) v ON {on} ORDER BY ALL""",
            files,
        ).fetchnumpy()
    rows, matches = pairs["dataset_row"], np.ma.asarray(pairs["view_row"])
    missing = rows[np.ma.getmaskarray(matches)]
    if len(missing) != int(info.attributes.get("left_out", 0)):
        raise _entities_error(f"entities of {base.name} have no row in {info.name}", dataset, info.key, missing)
    if len(rows) != base.rows:
        repeated = rows[1:][rows[1:] == rows[:-1]]
        raise _entities_error(f"entities of {base.name} have several rows in {info.name}", dataset, info.key, repeated)
    return np.asarray(np.ma.filled(matches, -1), dtype=np.int64)


def _entities_error(what: str, dataset: str | PathLike, key: Sequence[str], rows: np.ndarray) -> DataError:
    entities = pq.read_table(dataset, columns=list(key)).take(pa.array(rows)).to_pandas().drop_duplicates()
    shown = [
        row[0] if len(row) == 1 else row for row in entities.head(SHOWN_FAILURES).itertuples(index=False, name=None)
    ]
    more = f" and {len(entities) - len(shown)} more" if len(entities) > len(shown) else ""
    return DataError(
        what, where=f"key {', '.join(key)}", found=f"{len(entities)}: {', '.join(map(str, shown))}{more}",
        do="compute the view again for this dataset",
    )  # fmt: skip
