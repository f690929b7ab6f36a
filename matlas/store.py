"""The feature store: what the catalog lists, joined features, read-only SQL, lineage, and features of new compounds.

    store = open_store("results")
    store.features("estm", ["magpie"], columns=["zt"])
    store.sql("SELECT chemical_family, median(zt) FROM datasets.estm GROUP BY ALL")
    store.featurize(["Bi2Te3", "SnSe"], ["magpie"])
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
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
from schemas.loading import read_yaml

CATALOG = "matlas.duckdb"
VIEWS = PROJECT / "config" / "views.yaml"
_PREFERRED_LAYERS = ("features", "datasets")  # for a name given without its layer


def open_store(root: str | PathLike = "results") -> Store:
    """The store of a results folder. Raises QueryError when the folder or its catalog is not there."""
    store = Store(Path(root))
    for path, what in [(store.root, "no results folder"), (store.catalog, "the results folder has no catalog")]:
        if not path.exists():
            raise QueryError(what, where=path, do="run make demo (sample data) or make reproduce (real data) to make it")
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

        views : stored or joined views. columns : dataset columns to put beside the views; as soon as it names columns
        of the views too, only those are returned. Raises QueryError for an unknown dataset, view or column.
        """
        names = self._names()
        base = _known(f"datasets.{dataset}", names, "dataset")
        own = self._column_names(base)
        stored, offered, features = [], [], []  # tables; dataset columns and features that the views offer
        for view in views:
            table = _known(f"features.{dataset}__{view}", names, f"view of dataset {dataset}")
            parts = self._parts(table)
            stored += [part for part in parts or [table] if part not in stored]
            listed = self._column_names(table)
            offered += [c for c in listed if parts and c in own and c not in offered]
            features += [c for c in listed if c not in own]
        key = table_info(self._path(base)).key
        asked = list(dict.fromkeys(c for c in columns or [] if c not in key))
        for column in asked:
            _known(column, {*own, *features}, f"column of dataset {dataset} or views {', '.join(views)}")
        asked_features = [c for c in asked if c in features]
        selected = bool(asked_features or set(asked) & set(offered))
        beside = asked if selected else [*(c for c in offered if c not in key), *(c for c in asked if c not in offered)]
        return join_views(
            self._path(base),
            [self._path(table) for table in stored],
            columns=[c for c in beside if c in own],
            feature_columns=asked_features if selected else None,
        )

    def sql(self, query: str, parameters: Sequence = ()) -> pd.DataFrame:
        """The rows of one SELECT or EXPLAIN (matlas.sandbox); `parameters` are the values for `?`."""
        return self.query(query, parameters).to_pandas()

    def query(self, query: str, parameters: Sequence = (), memory_limit: str = MEMORY_LIMIT) -> pa.Table:
        """As `sql`, as an Arrow table. Raises QueryError for a query that is malformed, or not a query."""
        return run_query(self.catalog, query, self.root, parameters=parameters, memory_limit=memory_limit)

    def tables(self) -> pd.DataFrame:
        """Every table and joined view: name, layer, dataset, view, key, rows, bytes, version, hashes, created."""
        return self.sql("SELECT * FROM registry.tables ORDER BY name")

    def columns(self, table: str) -> pd.DataFrame:
        """The columns of a table: name, dtype, unit, description, null_share, min, max, citation."""
        return self.sql(
            "SELECT * EXCLUDE (table_name) FROM registry.columns WHERE table_name = ? ORDER BY rowid",
            [self.resolve(table)],
        )

    def claims(self) -> pd.DataFrame:
        """The published statements and what was measured here."""
        return self.sql("SELECT * FROM claims ORDER BY study, id, variant")

    def lineage(self, table: str) -> pd.DataFrame:
        """Everything upstream of a table, depth first, itself at depth 0.

        hash : the content that the table above was made from; current : whether the file still holds it (empty for
        raw files, which are verified when they are fetched); code_hash, config_hash, created, simulated : of the table.
        """
        registered = self.tables().set_index("name")
        simulated = dict(self.sql("SELECT * FROM registry.simulated").itertuples(index=False))
        inputs = self.sql("SELECT * FROM registry.lineage ORDER BY rowid")
        by_table = {name: group for name, group in inputs.groupby("table_name")}
        rows = []

        def visit(name: str, path: str | None, content_hash: str | None, depth: int) -> None:
            known = name in registered.index
            about = {"depth": depth, "table": name, "hash": content_hash, "current": None}
            if known and path is not None:
                file = self.root / path
                about["current"] = file.is_file() and table_info(file).content_hash == content_hash
            for column in ("code_hash", "config_hash", "created"):
                about[column] = registered.at[name, column] if known else None
            rows.append({**about, "simulated": simulated.get(name)})
            for row in by_table[name].itertuples() if name in by_table else []:
                upstream = table_name(row.input) if row.input.endswith(".parquet") else row.input
                upstream = upstream if upstream in registered.index else row.input
                visit(upstream, row.input, row.input_hash, depth + 1)

        visit(self.resolve(table), None, None, 0)
        return pd.DataFrame(rows)

    def featurize(self, formulas: Sequence[str], views: Sequence[str]) -> pd.DataFrame:
        """Features of compounds that need not be in the store, by the element tables of this store."""
        return featurize_formulas(formulas, views, elements=self.root / "elements")

    def resolve(self, name: str) -> str:
        """The full name of a table, given that, its path below the root, or its last part where that is clear."""
        names = self._names()
        if name.endswith(".parquet") and table_name(name) in names:
            return table_name(name)
        if name in names:
            return name
        short = [n for n in names if name in (n.split(".", 1)[1], n.split("__")[-1])]
        for layer in _PREFERRED_LAYERS:
            preferred = [n for n in short if n.startswith(f"{layer}.")]
            short = preferred or short if len(preferred) < 2 else preferred
            if len(short) == 1:
                return short[0]
        if short:
            raise QueryError(f"several tables are named {name!r}", found=", ".join(sorted(short)), do="say which")
        return _known(name, names, "table")

    def is_simulated(self, tables: Iterable[str]) -> bool:
        """Whether any of these tables holds generated data."""
        rows = self.sql("SELECT table_name FROM registry.simulated WHERE simulated")
        return not set(rows["table_name"]).isdisjoint(tables)

    def reads_simulated(self, query: str) -> bool:
        """Whether a query may show generated data: it names such a table, or reads what can't be told by name (files,
        claims, metrics, the registry) while the store holds some."""
        with closing(open_catalog(self.catalog, self.root)) as connection:
            parsed = checked(connection, query)
        marked = dict(self.sql("SELECT * FROM registry.simulated").itertuples(index=False))
        named = [marked[name] for name in parsed.relations if name in marked]
        if any(named):
            return True
        untold = parsed.reads_files or len(named) < len(parsed.relations)
        return untold and any(marked.values())

    def _names(self) -> list[str]:
        return self.sql("SELECT name FROM registry.tables")["name"].tolist()

    def _column_names(self, table: str) -> list[str]:
        rows = self.sql("SELECT name FROM registry.columns WHERE table_name = ? ORDER BY rowid", [table])
        return rows["name"].tolist()

    def _parts(self, table: str) -> list[str]:
        """The stored views that a joined view reads; none for a stored one."""
        rows = self.sql(
            "SELECT input FROM registry.lineage JOIN registry.tables ON name = table_name "
            "WHERE table_name = ? AND bytes = 0 AND input LIKE 'features/%' ORDER BY registry.lineage.rowid",
            [table],
        )
        return [table_name(path) for path in rows["input"]]

    def _path(self, table: str) -> Path:
        layer, name = table.split(".", 1)
        return self.root / layer / f"{name.replace('__', '/')}.parquet"


def featurize_formulas(
    formulas: Sequence[str], views: Sequence[str], *, elements: Path | None = None
) -> pd.DataFrame:
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

    from schemas.config import JoinedView, View

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


def _known(name: str, names: Iterable[str], what: str) -> str:
    if name not in names:
        layers = (f"{name.split('.')[0]}.", "") if "." in name else ("",)
        offered = next(filter(None, ([n for n in names if n.startswith(layer)] for layer in layers)), [])
        raise QueryError(f"unknown {what}", found=repr(name), do=nearest(name, offered))
    return name
