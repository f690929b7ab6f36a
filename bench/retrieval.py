"""Reading from a store of a million rows: one row, a join of three views on 10,000 keys, an aggregate by cluster.

Beside it pandas, in the fastest of its usual ways: from the same Parquet files it reads the columns and row groups that
a question needs, and merges them. Both sides answer in one process, in turn; then each all three questions in a process
of its own, for its peak memory. The values are random numbers.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from bench.measure import compare, in_new_process, measured
from matlas.catalog import build_catalog
from matlas.jobs import peak_rss_mb
from matlas.store import Store, open_store
from matlas.tables import write_table
from schemas.fields import FIELDS
from schemas.table import Field, TableSchema
from schemas.tables.analysis import cluster_schema
from schemas.tables.features import feature_schema

ROWS, BATCH = 1_000_000, 100_000
VIEWS = {"wide": 133, "middle": 40, "narrow": 8}  # columns
CLUSTERS, KEYS, SOUGHT = 12, 10_000, 654_321
KEY = FIELDS["measurement_id"]
SPACE = {"dataset": "rows", "view": "wide", "representation": "as_is"}
CLUSTERING = "clusters/rows/wide/as_is/kmeans"
JOINED = ["wide_7", "middle_3", "narrow_5"]


def run(repeats: int = 5) -> list[dict]:
    """Rows of the three comparisons, as `bench.measure.compare` gives them, and the memory of both sides."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _write(root)
        store = open_store(root)
        size = f"{ROWS:,} rows x {VIEWS['wide']} columns: beside pandas"
        titles = {
            "lookup": f"One row of {size}",
            "join": f"A column from each of three views on {KEYS:,} keys, {size}",
            "aggregate": f"Mean and count by cluster, {size}",
        }
        found = []
        for question, title in titles.items():
            ours, peer = partial(OURS[question], store), partial(PANDAS[question], root)
            found += compare(f"retrieval_{question}", title, ours, peer, _agree, repeats=repeats)
        peaks = {side: in_new_process("bench.retrieval", folder, side)["mb"] for side in ("ours", "pandas")}
    about = ("retrieval_memory", f"Peak memory of all three questions, {size}")
    found += [measured(*about, side, [peak], "MB") for side, peak in peaks.items()]
    return [*found, measured(*about, "pandas_by_ours", [peaks["pandas"] / peaks["ours"]])]


def _lookup(store: Store) -> pd.DataFrame:
    return store.sql(f"SELECT * FROM features.rows__wide WHERE {KEY.name} = ?", [SOUGHT])


def _join(store: Store) -> pd.DataFrame:
    return store.sql(
        f"SELECT {KEY.name}, {', '.join(JOINED)} FROM features.rows__wide JOIN features.rows__middle USING ({KEY.name})"
        f" JOIN features.rows__narrow USING ({KEY.name}) WHERE {KEY.name} IN (SELECT unnest(?)) ORDER BY {KEY.name}",
        [_keys()],
    )


def _aggregate(store: Store) -> pd.DataFrame:
    return store.sql(
        f"SELECT cluster, avg(wide_7) AS mean, count(*) AS n FROM features.rows__wide "
        f"JOIN clusters.rows__wide__as_is__kmeans USING ({KEY.name}) GROUP BY cluster ORDER BY cluster"
    )


def _pandas_lookup(root: Path) -> pd.DataFrame:
    return pd.read_parquet(_view(root, "wide"), filters=[(KEY.name, "==", SOUGHT)])


def _pandas_join(root: Path) -> pd.DataFrame:
    merged = pd.DataFrame({KEY.name: _keys()})
    for view, column in zip(VIEWS, JOINED, strict=True):
        merged = merged.merge(pd.read_parquet(_view(root, view), columns=[KEY.name, column]), on=KEY.name)
    return merged.sort_values(KEY.name, ignore_index=True)


def _pandas_aggregate(root: Path) -> pd.DataFrame:
    labels = pd.read_parquet(root / f"{CLUSTERING}.parquet", columns=[KEY.name, "cluster"])
    values = pd.read_parquet(_view(root, "wide"), columns=[KEY.name, "wide_7"])
    grouped = values.merge(labels, on=KEY.name).groupby("cluster")["wide_7"]
    return grouped.agg(mean="mean", n="size").reset_index()


OURS = {"lookup": _lookup, "join": _join, "aggregate": _aggregate}
PANDAS = {"lookup": _pandas_lookup, "join": _pandas_join, "aggregate": _pandas_aggregate}


def _agree(ours: pd.DataFrame, peer: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(ours, peer, check_dtype=False, rtol=1e-9)


def _keys() -> list[int]:
    return sorted((1 + np.random.default_rng(1).choice(ROWS, KEYS, replace=False)).tolist())


def _view(root: Path, name: str) -> Path:
    return root / "features" / "rows" / f"{name}.parquet"


def _write(root: Path) -> None:
    """The dataset, its views, a clustering and their catalog."""
    dataset = TableSchema("rows", "datasets", (KEY.name,), (KEY,))
    tables = {root / "datasets" / "rows.parquet": (dataset, 0, {})}
    for view, width in VIEWS.items():
        fields = [Field(f"{view}_{i}", "float64", "1", "A random number") for i in range(width)]
        tables[_view(root, view)] = (feature_schema(view, KEY, fields), width, {"view": view})
    for path, (schema, width, about) in tables.items():
        write_table(_random(schema, width), path, schema, attributes={"dataset": "rows", **about})
    labels = root / f"{CLUSTERING}.parquet"
    write_table(_labels(), labels, cluster_schema("kmeans", KEY, []), attributes={**SPACE, "clustering": "kmeans"})
    build_catalog(root / "matlas.duckdb", [*tables, labels], root, studies={})


def _random(schema: TableSchema, width: int) -> Iterator[pd.DataFrame]:
    rng = np.random.default_rng(width)
    for start in range(0, ROWS, BATCH):
        frame = pd.DataFrame(rng.normal(size=(BATCH, width)), columns=schema.columns[1:])
        frame.insert(0, KEY.name, np.arange(start + 1, start + BATCH + 1))  # keys begin at 1
        yield frame


def _labels() -> pd.DataFrame:
    cluster = np.random.default_rng(2).integers(0, CLUSTERS, ROWS)
    return pd.DataFrame({KEY.name: np.arange(1, ROWS + 1), "cluster": cluster, "distance": 1.0})


if __name__ == "__main__":
    folder, side = sys.argv[1:]
    questions, where = (OURS, open_store(folder)) if side == "ours" else (PANDAS, Path(folder))
    for question in questions.values():
        question(where)
    print(json.dumps({"mb": peak_rss_mb()}))
