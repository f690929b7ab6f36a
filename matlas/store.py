"""The feature store: what the catalog lists, joined features, read-only SQL, lineage, and features of new compounds.

store = open_store("results")
store.features("estm", ["magpie"], columns=["zt"])
store.sql("SELECT chemical_family, median(zt) FROM datasets.estm GROUP BY ALL")
store.featurize(["Bi2Te3", "SnSe"], ["magpie"])
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import pandas as pd
import pyarrow as pa

from matlas.catalog import table_name
from matlas.composition import parse_formulas
from matlas.errors import ConfigError, DataError, QueryError
from matlas.features.composition import feature_fields, featurize
from matlas.features.elements import ElementTable, load_element_table, read_element_table
from matlas.lineage import PROJECT
from matlas.retrieval import join_views
from matlas.sandbox import MEMORY_LIMIT, checked, nearest, open_catalog, run_query
from matlas.tables import SHOWN_FAILURES, table_info
from schemas.strict_yaml import read_yaml

CATALOG = "matlas.duckdb"
VIEWS = PROJECT / "config" / "views.yaml"
_PREFERRED_LAYERS = ("features", "datasets")  # for a name given without its layer


def open_store(root: str | PathLike = "results") -> Store:
    """The store of a results folder. Raises QueryError when the folder or its catalog is not there."""
    store = Store(Path(root))
    for path, what in [(store.root, "no results folder"), (store.catalog, "the results folder has no catalog")]:
        if not path.exists():
            raise QueryError(
                what,
                where=path.absolute(),
                do="make it (make demo, make reproduce or snakemake --cores all), or name another folder with "
                "--results or MATLAS_RESULTS",
            )
    return store


@dataclass(frozen=True)
class Store:
    """A results folder. Each call opens the catalog anew, so it sees what the last run of the workflow wrote."""

    root: Path

    @property
    def catalog(self) -> Path:
        return self.root / CATALOG

    def features(self, dataset: str, views: Sequence[str], columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Key, dataset columns and features of each row of a dataset, in its order.

        views : stored or joined views. columns : dataset columns to put beside the features; where it names features
        too, only what it names is returned. Raises QueryError for an unknown dataset, view or column.
        """
        registry = self._registry()
        datasets = registry.short_names("datasets.")
        base = datasets[_known(dataset, datasets, "dataset")]
        known_views = registry.short_names(f"features.{dataset}__")
        own, key = registry.columns[base], table_info(self.root / registry.paths[base]).key
        stored, beside, features = [], [], []  # tables to join, dataset columns that the views bring, their features
        for view in views:
            table = known_views[_known(view, known_views, f"view of dataset {dataset}")]
            parts = registry.parts(table)
            stored += [part for part in parts or [table] if part not in stored]
            brought = [c for c in registry.columns[table] if c in own] if parts else []
            beside += [c for c in brought if c not in (*key, *beside)]
            features += [c for c in registry.columns[table] if c not in own]
        for column in columns or []:
            _known(column, {*own, *features}, f"column of dataset {dataset} or its views {', '.join(views)}")
        asked = [c for c in dict.fromkeys(columns or []) if c not in key]
        asked_features = [c for c in asked if c in features]
        return join_views(
            self.root / registry.paths[base],
            [self.root / registry.paths[table] for table in stored],
            columns=[c for c in dict.fromkeys([*(() if asked_features else beside), *asked]) if c in own],
            feature_columns=asked_features or None,
        )

    def sql(self, query: str, parameters: Sequence = ()) -> pd.DataFrame:
        """The rows of one SELECT or EXPLAIN (matlas.sandbox); `parameters` are the values for `?`.

        Many keys are one parameter: sql("… WHERE row_id IN (SELECT unnest(?))", [keys]). Written out in the query,
        each would be a part of it to plan, which takes longer than reading the rows.
        """
        return self.query(query, parameters).to_pandas()

    def query(self, query: str, parameters: Sequence = (), memory_limit: str = MEMORY_LIMIT) -> pa.Table:
        """As `sql`, as an Arrow table. Raises QueryError for a query that is malformed, or not a query."""
        return run_query(self.catalog, query, self.root, parameters=parameters, memory_limit=memory_limit)

    def tables(self) -> pd.DataFrame:
        """Every table and joined view: name, layer, dataset, view, key, rows, bytes, version, hashes, created."""
        return self.sql("SELECT * FROM registry.tables ORDER BY name")

    def columns(self, table: str) -> pd.DataFrame:
        """The columns of a table: name, dtype, unit, description, null_share, min, max, citation."""
        query = "SELECT * EXCLUDE (table_name) FROM registry.columns WHERE table_name = ? ORDER BY rowid"
        return self.sql(query, [self.resolve(table)])

    def definition(self, table: str) -> dict:
        """How a feature view is defined: as in its configuration, or the views that it joins; otherwise empty."""
        registry = self._registry()
        name = registry.resolve(table)
        if name in registry.paths:
            return json.loads(table_info(self.root / registry.paths[name]).attributes.get("spec", "{}"))
        return {"kind": "joined", "of": registry.parts(name)}

    def claims(self) -> pd.DataFrame:
        """The published statements and what was measured here."""
        return self.sql("SELECT * FROM claims ORDER BY study, id, variant")

    def lineage(self, table: str) -> pd.DataFrame:
        """Everything upstream of a table, depth first, itself at depth 0.

        hash : the content that the table above was made from; current : whether the file still holds it (empty for
        raw files, which are verified when they are fetched); code_hash, config_hash, created, simulated : of the table.
        """
        registry = self._registry()
        names = {path: name for name, path in registry.paths.items()}
        rows = []

        def visit(name: str, content_hash: str | None, depth: int) -> None:
            about = registry.tables.get(name, {})
            row = {"depth": depth, "table": name, "hash": content_hash, "current": None}
            if name in registry.paths:
                file = self.root / registry.paths[name]
                row["current"] = file.is_file() and table_info(file).content_hash == content_hash
            row |= {column: about.get(column) for column in ("code_hash", "config_hash", "created")}
            rows.append({**row, "simulated": registry.simulated.get(name)})
            for path, input_hash in registry.inputs.get(name, []):
                visit(names.get(path, path), input_hash, depth + 1)

        top = registry.resolve(table)
        visit(top, registry.hashes.get(top), 0)
        return pd.DataFrame(rows)

    def featurize(self, formulas: Sequence[str], views: Sequence[str]) -> pd.DataFrame:
        """Features of compounds that need not be in the store, by the element tables of this store."""
        return featurize_formulas(formulas, views, elements=self.root / "elements")

    def resolve(self, name: str) -> str:
        """The full name of a table, given that, its path below the root, or its last part where that is clear."""
        return self._registry().resolve(name)

    def is_simulated(self, tables: Iterable[str]) -> bool:
        """Whether any of these tables holds generated data."""
        simulated = self._registry().simulated
        return any(simulated[table] for table in tables)

    def weights(self, tables: Iterable[str]) -> pd.DataFrame:
        """The weights of networks behind any of these tables: table_name, view, weights (their source), licence.

        Raises QueryError for a catalog that was made before these were registered.
        """
        known = "SELECT 1 FROM duckdb_tables() WHERE schema_name = 'registry' AND table_name = 'weights'"
        if self.query(known).num_rows == 0:
            raise QueryError(
                "the catalog is of an older version", where=self.catalog, found="no registry.weights",
                do="make it again: snakemake --cores all (with the same --configfile as before)",
            )  # fmt: skip
        query = "SELECT * FROM registry.weights WHERE list_contains(?, table_name) ORDER BY table_name, weights"
        return self.sql(query, [list(tables)])

    def reads_simulated(self, query: str) -> bool:
        """Whether a query may show generated data: it names such a table, or reads what can't be told by name (files,
        claims, metrics, the registry) while the store holds some."""
        with open_catalog(self.catalog, self.root) as connection:
            parsed = checked(connection, query)
        simulated = self._registry().simulated
        named = [simulated[name] for name in parsed.relations if name in simulated]
        untold = parsed.reads_files or len(named) < len(parsed.relations)
        return any(named) or (untold and any(simulated.values()))

    def _registry(self) -> _Registry:
        with open_catalog(self.catalog, self.root) as connection:

            def rows(name: str) -> list[dict]:
                return run_query(connection, f"SELECT * FROM registry.{name} ORDER BY rowid").to_pylist()

            columns, inputs = defaultdict(list), defaultdict(list)
            for row in rows("columns"):
                columns[row["table_name"]].append(row["name"])
            for row in rows("lineage"):
                inputs[row["table_name"]].append((row["input"], row["input_hash"]))
            files = rows("files")
            return _Registry(
                tables={row["name"]: row for row in rows("tables")},
                columns=columns,
                inputs=inputs,
                paths={row["table_name"]: row["path"] for row in files},
                hashes={row["table_name"]: row["content_hash"] for row in files},
                simulated={row["table_name"]: row["simulated"] for row in rows("simulated")},
            )


@dataclass(frozen=True)
class _Registry:
    """The registry at one moment, by table name. A joined view has no path."""

    tables: Mapping[str, dict]
    columns: Mapping[str, list[str]]
    inputs: Mapping[str, list[tuple[str, str]]]
    paths: Mapping[str, str]
    hashes: Mapping[str, str]
    simulated: Mapping[str, bool]

    def short_names(self, prefix: str) -> dict[str, str]:
        """{what follows the prefix: full name} of the tables that have it."""
        return {name.removeprefix(prefix): name for name in self.tables if name.startswith(prefix)}

    def parts(self, table: str) -> list[str]:
        """The stored views that a joined view reads, in its order; none for a stored one."""
        if table in self.paths:
            return []
        return [table_name(path) for path, _ in self.inputs[table] if path.startswith("features/")]

    def resolve(self, name: str) -> str:
        """As Store.resolve."""
        full = table_name(name) if name.endswith(".parquet") else name
        if full in self.tables:
            return full
        short = [n for n in self.tables if name in (n.split(".", 1)[1], n.split("__")[-1])]
        for layer in _PREFERRED_LAYERS:
            preferred = [n for n in short if n.startswith(f"{layer}.")]
            if len(preferred) == 1:
                return preferred[0]
        if len(short) > 1:
            raise QueryError(f"several tables are named {name!r}", found=", ".join(sorted(short)), do="say which")
        return short[0] if short else _known(name, self.tables, "table")


def featurize_formulas(formulas: Sequence[str], views: Sequence[str], *, elements: Path | None = None) -> pd.DataFrame:
    """One row a formula, in order: `composition`, then the features of each view. Needs no results folder.

    views : names in config/views.yaml; a joined view counts if it needs no column of a dataset. elements : a folder of
    element tables that the workflow wrote; a table that is not there is built from matminer. Raises DataError for
    formulas that can't be parsed, QueryError for a view that is unknown or needs more than a formula.
    """
    formulas = list(formulas)
    specs = _composition_views(views)
    compositions, refused = parse_formulas(formulas)
    if refused:
        shown = [f"row {i + 1}: {reason}" for i, reason in list(refused.items())[:SHOWN_FAILURES]]
        more = f" and {len(refused) - len(shown)} more" if len(refused) > len(shown) else ""
        raise DataError(
            f"{len(refused)} of {len(formulas)} formulas can't be parsed", where="rows counted from 1",
            found=f"{'; '.join(shown)}{more}", do="mend or remove these rows",
        )  # fmt: skip
    frames = [pd.DataFrame({"composition": formulas}, dtype=object)]
    for spec in specs.values():
        table = _element_table(spec["table"], elements) if "table" in spec else None
        names = [f.name for f in feature_fields(spec, table)]
        frames.append(pd.DataFrame(featurize(compositions, spec, table), columns=names, copy=False))
    result = pd.concat(frames, axis=1)
    if not result.columns.is_unique:
        doubled = result.columns[result.columns.duplicated()][0]
        raise QueryError("two of the views have a column of the same name", found=repr(doubled), do="ask for one view")
    return result


def _composition_views(views: Sequence[str]) -> dict[str, dict]:
    """{stored view: definition} of views that formulas alone suffice for."""
    from pydantic import TypeAdapter, ValidationError

    from schemas.config.views import JoinedView, View

    defined = read_yaml(VIEWS)
    found = {}
    waiting = list(views)
    while waiting:
        view = waiting.pop(0)
        _known(view, defined, "view")
        try:
            definition = TypeAdapter(View).validate_python(defined[view])
        except ValidationError as error:
            first = error.errors()[0]
            raise ConfigError(first["msg"], where=f"{VIEWS}: {view}", found=first["input"]) from error
        if definition.kind == "image":
            raise QueryError(f"view {view} is of images", expected="a view of compositions", found="formulas")
        if not isinstance(definition, JoinedView):
            found[view] = definition.model_dump()
        elif definition.columns:
            raise QueryError(
                f"view {view} needs more than a formula", found=f"columns {', '.join(definition.columns)}",
                do=f"use {', '.join(definition.of)}",
            )  # fmt: skip
        else:
            waiting = [*definition.of, *waiting]
    return found


def _element_table(name: str, elements: Path | None) -> ElementTable:
    stored = elements / f"{name}.parquet" if elements else None
    return read_element_table(stored) if stored and stored.is_file() else load_element_table(name)


def _known(name: str, valid: Iterable[str], what: str) -> str:
    if name not in valid:
        raise QueryError(f"unknown {what}", found=repr(name), do=nearest(name, valid))
    return name
