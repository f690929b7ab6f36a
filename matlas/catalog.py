"""The catalog: one DuckDB file of views over the Parquet tables, with a registry of what they hold and come from.

Relations
    <layer>.<name>           each table; the name is its path, joined by "__": features.estm__magpie
    metrics, claims, …       in the main schema: all tables of one kind as one relation (RELATIONS)
    registry.*               what the footers say, which study uses what, what each job cost (REGISTRY);
                             weights: the weights of networks behind tables of features and all that has their view;
                             origins: which copy of which database a dataset is

Views read `coalesce(getvariable('root'), 'results') || '/…'`: from the folder above results as they are, and from
anywhere else after SET VARIABLE root = '…'. A joined view is a view in SQL too, and stored nowhere.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path, PurePath

import duckdb
import pyarrow as pa

from matlas.errors import DataError
from matlas.files import atomic_path
from matlas.jobs import read_costs
from matlas.lineage import Lineage, digest
from matlas.sandbox import literal, lock
from matlas.tables import TableInfo, table_info
from schemas.table import TableSchema
from schemas.tables.analysis import AGREEMENT, CLAIMS, CONDITIONS, CONTINGENCY, INSPECTIONS, METRICS, SCORES
from schemas.tables.learning import COMPARISONS, PROBES, TESTS
from schemas.tables.unmixing import ENDMEMBER_COUNTS, QUANTITIES, UNMIXINGS

_S, _I, _F, _B = pa.string(), pa.int64(), pa.float64(), pa.bool_()
REGISTRY = {
    "tables": {
        "name": _S, "layer": _S, "dataset": _S, "view": _S, "key": _S, "rows": _I, "bytes": _I, "version": _S,
        "code_hash": _S, "config_hash": _S, "created": _S,
    },
    "columns": {
        "table_name": _S, "name": _S, "dtype": _S, "unit": _S, "description": _S, "null_share": _F, "min": _F,
        "max": _F, "citation": _S,
    },
    "labels": {"table_name": _S, "name": _S, "label": _S},
    "origins": {"table_name": _S, "provider": _S, "source": _S, "release": _S, "retrieved": _S},
    "lineage": {"table_name": _S, "input": _S, "input_hash": _S},
    "simulated": {"table_name": _S, "simulated": _B},
    "weights": {"table_name": _S, "view": _S, "weights": _S, "licence": _S},
    "files": {"table_name": _S, "path": _S, "content_hash": _S},
    "studies": {"study": _S, "dataset": _S, "view": _S, "representation": _S, "method": _S},
    "jobs": {
        "rule": _S, "wildcards": _S, "startup_s": _F, "work_s": _F, "peak_rss_mb": _F, "finished": _S, "notes": _S,
    },
}  # fmt: skip

_STACKED = (AGREEMENT, SCORES, CONTINGENCY, CONDITIONS, INSPECTIONS, PROBES, COMPARISONS, TESTS, UNMIXINGS,
            ENDMEMBER_COUNTS, QUANTITIES)  # fmt: skip
# Each view of the main schema: the schema of the tables that it is made of, and the SQL over all of them ({rows}).
RELATIONS = {
    "claims": (CLAIMS, "SELECT id, variant, study, says, cites, expected, tolerance, measured, verdict FROM {rows}"),
    "claim_details": (CLAIMS, "SELECT id, variant, quantity, measured - expected AS difference, detail FROM {rows}"),
    "metrics": (
        METRICS,
        "SELECT study, dataset, view, representation, method || coalesce('(k=' || k || ')', '') AS method, metric, "
        "value, seed, split FROM {rows} JOIN registry.studies USING (dataset, view, representation, method)",
    ),
    "clustering_sweep": (
        METRICS,
        "SELECT dataset, view, representation, method AS clustering, k, metric, value, seed, split FROM {rows} "
        "WHERE k IS NOT NULL",
    ),
    **{schema.layer: (schema, "SELECT * FROM {rows}") for schema in _STACKED},
}
_SQL_TYPES = {"float64": "DOUBLE", "int64": "BIGINT", "bool": "BOOLEAN", "string": "VARCHAR"}


@dataclass(frozen=True)
class _Table:
    """A table of the catalog: its name in SQL, its footer, and the SQL of its rows. `path` below the root is None for
    a joined view, which is stored nowhere."""

    name: str
    info: TableInfo
    path: str | None
    sql: str


def build_catalog(
    path: str | PathLike,
    tables: Sequence[Path],
    root: Path,
    *,
    studies: Mapping[str, Mapping],
    joined_views: Mapping[str, Mapping] | None = None,
    logs: Path | None = None,
) -> None:
    """Write the catalog to a new file and swap it in: a reader sees the old one or the new one, whole.

    tables : Parquet files below `root`; studies : {name: {dataset, views, spaces, maps, clustered}};
    joined_views : {view: {of, columns}}; logs : the folder of job logs, for `registry.jobs`.
    Only footers are read. Raises DataError for a missing table, or two tables of one name.
    """
    path = Path(path)
    with atomic_path(path) as temporary:
        with closing(duckdb.connect()) as connection:
            # an older storage format, so that the duckdb shells that are about can open the file
            connection.execute(f"ATTACH {literal(temporary)} AS catalog (STORAGE_VERSION 'v1.5.0'); USE catalog")
            _fill(connection, tables, root, studies, joined_views or {}, logs)
            connection.execute("USE memory; DETACH catalog")
        # what a shell that was killed has written to the old file: DuckDB would refuse the new one beside it
        path.with_name(path.name + ".wal").unlink(missing_ok=True)


@contextmanager
def catalog_connection(
    tables: Sequence[Path],
    root: Path,
    studies: Mapping[str, Mapping],
    joined_views: Mapping[str, Mapping] | None = None,
    logs: Path | None = None,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """The relations of `build_catalog` in memory, for a job that queries tables before there is a catalog.

    The connection can read below `root` only (matlas.sandbox), and has one thread, so that sums don't depend on the
    number of cores.
    """
    with closing(duckdb.connect(config={"threads": 1})) as connection:
        _fill(connection, tables, root, studies, joined_views or {}, logs)
        lock(connection, root)
        yield connection


def table_name(path: str | PurePath) -> str:
    """The name in SQL of a table, from its path below the root: features/estm/magpie.parquet, features.estm__magpie."""
    layer, *parts = PurePath(path).with_suffix("").parts
    return f"{layer}.{'__'.join(parts)}"


def _fill(
    connection: duckdb.DuckDBPyConnection,
    paths: Sequence[Path],
    root: Path,
    studies: Mapping[str, Mapping],
    joined_views: Mapping[str, Mapping],
    logs: Path | None,
) -> None:
    stored = [_stored_table(Path(path), Path(root)) for path in sorted(set(map(Path, paths)))]
    tables = stored + _joined_tables({t.name: t for t in stored}, studies, joined_views)
    seen: dict[str, _Table] = {}
    for table in tables:
        if table.name in seen:
            raise DataError(f"two tables are named {table.name}", found=f"{seen[table.name].path} and {table.path}")
        seen[table.name] = table
    connection.execute(f"SET VARIABLE root = {literal(Path(root).resolve())}; CREATE SCHEMA registry")
    for name, rows in _registry(tables, studies, logs).items():
        connection.register("registry_rows", pa.Table.from_pylist(rows, schema=pa.schema(REGISTRY[name].items())))
        connection.execute(f"CREATE TABLE registry.{name} AS SELECT * FROM registry_rows")
        connection.unregister("registry_rows")
    for schema in sorted({t.name.split(".")[0] for t in tables}):
        connection.execute(f"CREATE SCHEMA {_identifier(schema)}")
    for table in tables:
        connection.execute(f"CREATE VIEW {_relation(table.name)} AS {table.sql}")
    for name, (schema, sql) in RELATIONS.items():
        files = [t.path for t in stored if t.info.layer == schema.layer]
        connection.execute(f"CREATE VIEW {name} AS {sql.format(rows=_all_rows(files, schema))}")


def _stored_table(path: Path, root: Path) -> _Table:
    info = table_info(path)
    try:
        relative = path.resolve().relative_to(root.resolve())
    except ValueError:
        raise DataError("table stands outside the results folder", where=path, expected=f"below {root}") from None
    name = table_name(relative)
    if name.split(".")[0] != info.layer:
        raise DataError("table stands in the folder of another layer", where=path, expected=f"{info.layer}/")
    return _Table(name, info, relative.as_posix(), f"SELECT * FROM read_parquet({_file(relative.as_posix())})")


def _joined_tables(
    stored: Mapping[str, _Table], studies: Mapping[str, Mapping], joined_views: Mapping[str, Mapping]
) -> list[_Table]:
    """One for each joined view and dataset that a study uses together; none for a dataset that is not there (its
    source was left out)."""
    used = dict.fromkeys((s["dataset"], v) for s in studies.values() for v in s["views"] if v in joined_views)
    found = []
    for dataset, view in used:
        base = stored.get(f"datasets.{dataset}")
        if base is None:
            continue
        definition = joined_views[view]
        missing = [part for part in definition["of"] if f"features.{dataset}__{part}" not in stored]
        if missing:
            raise DataError(f"view {view} joins a view that is not there", where=f"dataset {dataset}", found=missing[0])
        parts = [stored[f"features.{dataset}__{part}"] for part in definition["of"]]
        found.append(_joined_table(dataset, view, definition, base, parts))
    return found


def _joined_table(dataset: str, view: str, definition: Mapping, base: _Table, parts: Sequence[_Table]) -> _Table:
    known = {f.name: f for f in base.info.fields}
    fields = [known[name] for name in [*base.info.key, *definition["columns"]]]
    statistics = {f.name: base.info.statistics[f.name] for f in fields}
    selected, joins = [f"d.{_identifier(f.name)}" for f in fields], []
    for i, part in enumerate(parts):
        key = part.info.key
        on = " AND ".join(f"d.{_identifier(name)} = v{i}.{_identifier(name)}" for name in key)
        # entities that a view can't describe are left out, as on reading (matlas.retrieval)
        joins.append(f"{'' if _lacking(part) else 'LEFT '}JOIN {_relation(part.name)} v{i} ON {on}")
        for f in part.info.fields:
            if f.name not in key:
                fields.append(f)
                selected.append(f"v{i}.{_identifier(f.name)}")
                statistics[f.name] = _per_row(part.info.statistics[f.name])
    names = [f.name for f in fields]
    if len(set(names)) < len(names):
        doubled = next(n for n in names if names.count(n) > 1)
        raise DataError(f"column {doubled!r} stands in two parts of view {view}", where=f"dataset {dataset}")
    infos = [base.info, *(part.info for part in parts)]
    config = digest([dict(definition), view])
    info = replace(
        base.info,
        name=view,
        layer="features",
        rows=base.info.rows - max(map(_lacking, parts)),
        bytes=0,
        fields=tuple(fields),
        statistics=statistics,
        attributes={"dataset": dataset, "view": view},
        lineage=Lineage(
            inputs={t.path: t.info.content_hash for t in [base, *parts]},
            code=digest([i.lineage.code for i in infos]),
            config=config,
            simulated=any(i.lineage.simulated for i in infos),
        ),
        created=max(i.created for i in infos),
        schema_version=digest([i.version for i in infos]),
    )
    sql = f"SELECT {', '.join(selected)} FROM {_relation(base.name)} d {' '.join(joins)}"
    return _Table(f"features.{dataset}__{view}", info, None, sql)


def _lacking(view: _Table) -> int:
    """How many entities of its dataset a view can't describe."""
    return int(view.info.attributes.get("left_out", 0))


def _per_row(statistics: Mapping) -> dict:
    """Statistics of an entity's feature, repeated for its rows: the range stays, a share of nulls is unknown but 0."""
    return {**statistics, "null_share": 0.0 if statistics["null_share"] == 0 else None}


def _weights(tables: Sequence[_Table]) -> Iterator[dict]:
    """The weights of networks behind tables: those that a footer names stand behind every table of the same view and
    dataset, and behind the joined views that it is part of. Tables of many views (scores, claims, …) have a column
    for the view."""
    stored = {t.path: t.info for t in tables if t.path is not None}
    behind: dict[tuple, dict[str, str]] = defaultdict(dict)  # (dataset, view) -> {weights: licence}
    for table in tables:
        attributes = table.info.attributes
        parts = [table.info] if table.path is not None else [stored[path] for path in table.info.lineage.inputs]
        for said in (part.attributes for part in parts):
            if "weights" in said:
                behind[attributes["dataset"], attributes["view"]][said["weights"]] = said["weights_licence"]
    for table in tables:
        view = table.info.attributes.get("view")
        for weights, licence in behind.get((table.info.attributes.get("dataset"), view), {}).items():
            yield {"table_name": table.name, "view": view, "weights": weights, "licence": licence}


def _registry(tables: Sequence[_Table], studies: Mapping[str, Mapping], logs: Path | None) -> dict[str, list[dict]]:
    rows: dict[str, list[dict]] = {name: [] for name in REGISTRY}
    rows["weights"] += _weights(tables)
    for table in tables:
        info, lineage = table.info, table.info.lineage
        rows["tables"].append({
            "name": table.name, "layer": info.layer, "dataset": info.attributes.get("dataset"),
            "view": info.attributes.get("view"), "key": ", ".join(info.key), "rows": info.rows, "bytes": info.bytes,
            "version": info.version, "code_hash": lineage.code, "config_hash": lineage.config,
            "created": info.created,
        })  # fmt: skip
        if "provider" in info.attributes:
            origin = {name: info.attributes[name] for name in ("provider", "source", "release", "retrieved")}
            rows["origins"].append({"table_name": table.name, **origin})
        rows["simulated"].append({"table_name": table.name, "simulated": lineage.simulated})
        if table.path is not None:
            rows["files"].append({"table_name": table.name, "path": table.path, "content_hash": info.content_hash})
        for f in info.fields:
            about = {"table_name": table.name, "name": f.name}
            described = {"dtype": f.dtype, "unit": f.unit, "description": f.description, "citation": f.citation}
            rows["columns"].append({**about, **described, **info.statistics[f.name]})
            if f.label:
                rows["labels"].append({**about, "label": f.label})
        for name, content_hash in lineage.inputs.items():
            rows["lineage"].append({"table_name": table.name, "input": name, "input_hash": content_hash})
    for study, parts in studies.items():
        spaces = [(view, method, method) for view, method in [*parts["spaces"], *parts["maps"]]]
        rows["studies"] += [
            {"study": study, "dataset": parts["dataset"], "view": v, "representation": r, "method": m}
            for v, r, m in [*spaces, *parts["clustered"]]
        ]
    if logs is not None:
        rows["jobs"] = [
            {**cost, "wildcards": json.dumps(cost["wildcards"]), "notes": json.dumps(cost["notes"])}
            for cost in read_costs(Path(logs))
        ]
        fetched = {
            json.loads(job["wildcards"]).get("source"): job["finished"][:10]
            for job in rows["jobs"] if job["rule"] in ("download_source", "simulate_source")
        }  # fmt: skip
        for origin in rows["origins"]:
            origin["retrieved"] = origin["retrieved"] or fetched.get(origin["source"], "")
    return rows


def _all_rows(files: Sequence[str], schema: TableSchema) -> str:
    """The rows of some files of one schema as one SQL relation, empty where there is no file."""
    if files:
        return f"read_parquet([{', '.join(map(_file, files))}])"
    columns = ", ".join(f"NULL::{_SQL_TYPES[f.dtype]} AS {_identifier(f.name)}" for f in schema.fields)
    return f"(SELECT {columns} WHERE false)"


def _file(relative: str) -> str:
    return f"coalesce(getvariable('root'), 'results') || {literal('/' + relative)}"


def _relation(name: str) -> str:
    return ".".join(map(_identifier, name.split(".", 1)))


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
