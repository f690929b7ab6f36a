"""SQL from users: one SELECT or EXPLAIN that can read the results folder and nothing else, and can write nothing.

DuckDB's own settings close the world outside the folder: no file beyond it (links and `..` included), no network, no
extension, no change of a setting. Inside the folder DuckDB would still write, even from what it calls a SELECT
(`WITH x AS (COPY … TO …)`, `json_execute_serialized_sql(…)`; tried with 2.0.0). So the syntax tree of every query is
checked against a list of what may stand in it, and only then run.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from matlas.errors import QueryError

MEMORY_LIMIT = "2GB"
_QUERY_NODES = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}
_FILE_FUNCTIONS = {  # without glob, which would list a folder outside that a link inside leads to
    *("read_parquet", "parquet_scan", "read_csv", "read_csv_auto", "sniff_csv", "read_text", "read_blob"),
    *("read_json", "read_json_auto", "read_json_objects", "read_ndjson", "read_ndjson_auto", "read_ndjson_objects"),
    *("parquet_schema", "parquet_metadata", "parquet_file_metadata", "parquet_kv_metadata"),
}
_TABLE_FUNCTIONS = _FILE_FUNCTIONS | {
    *("range", "generate_series", "unnest", "repeat", "histogram", "histogram_values", "json_each", "json_tree"),
    *("duckdb_columns", "duckdb_tables", "duckdb_views", "duckdb_schemas", "duckdb_functions", "duckdb_keywords"),
    *("pragma_table_info", "pragma_version"),
}
_COMMENT = r"(?:\s|--[^\n]*\n|/\*.*?\*/)"
_EXPLAIN = re.compile(rf"{_COMMENT}*+(EXPLAIN(?:{_COMMENT}++ANALYZE)?)\b", re.IGNORECASE | re.DOTALL)
_NO_SUCH_FILE = re.compile(r"No files found that match the pattern \"([^\"]+)\"")
_NO_SUCH_TABLE = re.compile(r'Table with name "?([^"\s]+)"? does not exist')

# One locked DuckDB that nobody uses, with its root and memory limit: to start one and warm it up takes as long as a
# query. Never a cursor of one in use: a cursor has settings of its own, which nobody locked (tried with 2.0.0).
_RESTING: deque[tuple[tuple[Path, str], duckdb.DuckDBPyConnection]] = deque(maxlen=1)
os.register_at_fork(before=_RESTING.clear)  # a forked process would have it without its threads


@dataclass(frozen=True)
class Query:
    """A query that may run. relations : the tables it names, as written; reads_files : it calls a reader of files."""

    sql: str
    relations: frozenset[str]
    reads_files: bool


@contextmanager
def open_catalog(catalog: Path, root: Path, memory_limit: str = MEMORY_LIMIT) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that can read the catalog and the files below `root`, where the catalog must be; for one user alone.

    The catalog is attached anew each time and then let go: each user sees what was last swapped in, and nobody is kept
    from opening the file. The locked DuckDB itself rests until the next user of this root and limit. Raises QueryError
    when the file can't be read.
    """
    kind = Path(root).resolve(), memory_limit
    with ExitStack() as on_failure:
        connection = _rested(kind) or duckdb.connect()
        on_failure.callback(connection.close)
        try:
            if not _is_locked(connection):
                lock(connection, *kind)
            connection.execute(f"ATTACH {literal(Path(catalog).resolve())} AS catalog (READ_ONLY); USE catalog")
        except duckdb.Error as error:
            raise QueryError(
                "the catalog can't be read", where=catalog, found=str(error).splitlines()[0],
                do="delete it and rebuild it with make demo or make reproduce",
            ) from error  # fmt: skip
        yield connection
        connection.execute("USE memory; DETACH catalog")
        _RESTING.append((kind, connection))
        on_failure.pop_all()


def _rested(kind: tuple[Path, str]) -> duckdb.DuckDBPyConnection | None:
    """The connection at rest, if it is of this kind; one of another kind closes."""
    try:
        found, connection = _RESTING.pop()  # at once: another thread may be asking too
    except IndexError:
        return None
    if found == kind:
        return connection
    connection.close()
    return None


def lock(connection: duckdb.DuckDBPyConnection, root: Path, memory_limit: str | None = None) -> None:
    """Shut a connection in: from here on it reads below `root` only, and its settings can't be changed again."""
    root = Path(root).resolve()
    if memory_limit is not None:
        _set_memory(connection, memory_limit)
    connection.execute(f"""
        SET VARIABLE root = {literal(root)};
        SET autoinstall_known_extensions = false;
        SET autoload_known_extensions = false;
        SET python_enable_replacements = false;
        SET temp_directory = '';
        SET allowed_directories = [{literal(root)}];
        SET enable_external_access = false;
        SET lock_configuration = true;
    """)


def run_query(
    source: duckdb.DuckDBPyConnection | Path,
    sql: str,
    root: Path | None = None,
    *,
    parameters: Sequence = (),
    memory_limit: str = MEMORY_LIMIT,
) -> pa.Table:
    """Run one SELECT or EXPLAIN and return its rows.

    source : a catalog file, or a connection (locked here if it isn't yet); root : the results folder, by default the
    catalog's own; parameters : values for `?`. Exact numbers of DuckDB that Arrow users rarely want (HUGEINT sums,
    DECIMAL literals) come as int64 where they fit, otherwise as float64. Raises QueryError for anything refused or
    malformed.
    """
    if isinstance(source, duckdb.DuckDBPyConnection):
        if not _is_locked(source):
            if root is None:
                raise ValueError("an open connection needs `root`")
            lock(source, root)
        return _run(source, sql, parameters)
    with open_catalog(source, root or Path(source).parent, memory_limit) as connection:
        return _run(connection, sql, parameters)


def checked(connection: duckdb.DuckDBPyConnection, sql: str) -> Query:
    """The query behind `sql`; raises QueryError unless it is exactly one SELECT or EXPLAIN of allowed parts."""
    kinds = _kinds(connection, sql)
    if len(kinds) != 1:
        raise QueryError("not one query", expected="one SELECT or EXPLAIN", found=f"{len(kinds)} statements")
    explain = _EXPLAIN.match(sql) if kinds == ["EXPLAIN"] else None
    select = sql[explain.end() :] if explain else sql
    # what follows EXPLAIN must be a SELECT by itself: `EXPLAIN ANALYZE COPY …` writes
    kinds = _kinds(connection, select) if explain else kinds
    if kinds != ["SELECT"]:
        raise QueryError(
            "a query may only read", expected="one SELECT or EXPLAIN of a SELECT",
            found=" of ".join(["EXPLAIN"] * bool(explain) + kinds), do=_advice(kinds),
        )  # fmt: skip
    tree = json.loads(connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [select]).fetchall()[0][0])
    if tree["error"] or len(tree["statements"]) != 1:
        raise QueryError("a query may only read", found=tree.get("error_message"))
    relations, own_names, reads_files = set(), set(), False
    for node in _nodes(tree["statements"]):
        kind = node.get("type")
        if isinstance(kind, str) and kind.endswith("_NODE") and kind not in _QUERY_NODES:
            raise QueryError("a query may only read", found=f"{kind.split('_')[0]} inside a SELECT")
        if kind == "TABLE_FUNCTION":
            name = node["function"]["function_name"].lower()
            if name not in _TABLE_FUNCTIONS:
                raise QueryError(f"function {name} is not allowed in FROM", do="read tables, or files by read_parquet")
            if name in _FILE_FUNCTIONS:
                reads_files = True
                for path in _paths(node["function"]):
                    _stays_inside(path)
        if kind == "BASE_TABLE":
            if node["table_name"].lower() == "pg_settings":
                raise QueryError("settings can't be queried")
            _stays_inside(node["table_name"])
            relations.add(".".join(node["qualified_name"]["path"]))
        own_names |= {entry["key"] for entry in node.get("cte_map", {}).get("map", [])}
    return Query(f"{explain[1]} {select}" if explain else sql, frozenset(relations - own_names), reads_files)


def _paths(function: dict) -> list[str]:
    """The files that a reader is given: they must be written out, so that they can be checked."""
    first = (function["arguments"] or [{}])[0].get("expression", {})
    given = [a["expression"] for a in first["arguments"]] if first.get("function_name") == "list_value" else [first]
    literals = [path.get("literal", {}) for path in given]
    if not literals or any(literal.get("kind") != "STRING" for literal in literals):
        name = function["function_name"]
        raise QueryError(f"the file of {name} must be written out", expected="a text or a list of texts", found="more")
    return [literal["text"] for literal in literals]


def _stays_inside(path: str) -> None:
    # behind a linked folder the operating system's `..` is not the textual one that DuckDB checks
    if ".." in re.split(r"[/\\]", path):
        raise QueryError(
            "a query can read the files below the results folder and no other",
            found=path,
            do="write the path without '..'",
        )


def nearest(name: str, valid: Iterable[str]) -> str:
    """Advice for a misspelt name: the valid one that resembles it most, or all of them while they are few."""
    valid = sorted(valid)

    def resemblance(candidate: str) -> float:
        # a name given without its schema or dataset: the rest is what was misspelt
        ends = name.split(".")[-1], re.split(r"\.|__", candidate)[-1]
        return max(difflib.SequenceMatcher(None, *pair).ratio() for pair in ((name, candidate), ends))

    close = max(valid, key=resemblance, default=None)
    if close and resemblance(close) >= 0.6:
        return f"did you mean {close!r}?"
    return f"one of {', '.join(valid)}" if 0 < len(valid) <= 8 else ""


def _is_locked(connection: duckdb.DuckDBPyConnection) -> bool:
    return connection.execute("SELECT current_setting('lock_configuration')").fetchall()[0][0]


def _kinds(connection: duckdb.DuckDBPyConnection, sql: str) -> list[str]:
    try:
        return [statement.type.name for statement in connection.extract_statements(sql)]
    except duckdb.Error as error:
        raise _explained(error, connection) from error


def _nodes(tree: object) -> Iterator[dict]:
    """Every mapping in a JSON tree, however deep (without recursion, which a deep query could exhaust)."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node


def _run(connection: duckdb.DuckDBPyConnection, sql: str, parameters: Sequence) -> pa.Table:
    query = checked(connection, sql)
    try:
        return _plain(connection.sql(query.sql, params=list(parameters)).to_arrow_table())
    except duckdb.Error as error:
        raise _explained(error, connection) from error


def _plain(table: pa.Table) -> pa.Table:
    """Decimals as int64 or float64, and column names made unique."""
    names = [name if name not in table.column_names[:i] else f"{name}_{i}" for i, name in enumerate(table.column_names)]
    return pa.table([_plain_number(column) for column in table.columns], names=names)


def _plain_number(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if not pa.types.is_decimal(column.type):
        return column
    if column.type.scale == 0:
        extremes = pc.min_max(column).as_py().values()
        if all(value is None or abs(value) < 2**63 for value in extremes):
            return column.cast(pa.int64())
    return column.cast(pa.float64())


def _explained(error: duckdb.Error, connection: duckdb.DuckDBPyConnection) -> QueryError:
    """DuckDB's message in one sentence, with the nearest name that exists here."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    what = re.sub(r"^[A-Z][A-Za-z ]*? Error: ", "", lines[0]).rstrip("!. ")
    do = next((line for line in lines[1:] if line.startswith(("Did you mean", "Candidate bindings"))), "")
    if isinstance(error, duckdb.PermissionException):
        file = re.search(r'"([^"]+)"', what)
        return QueryError(
            "a query can read the files below the results folder and no other", found=file[1] if file else what
        )
    if isinstance(error, duckdb.OutOfMemoryException):
        do = "select fewer columns or rows, aggregate, or allow more memory (matlas query --memory)"
        return QueryError("the query needs more memory than it may use", found=what, do=do)
    if absent := _NO_SUCH_FILE.search(what):
        return QueryError("the file behind a table is missing", where=absent[1], do="run snakemake --cores all again")
    if missing := _NO_SUCH_TABLE.search(what):
        what, do = f"no relation named {missing[1]!r}", nearest(missing[1], _relation_names(connection))
        do = do or "SELECT name FROM registry.tables lists them; a new study enters with snakemake --cores all"
    return QueryError(what, do=do)


def _relation_names(connection: duckdb.DuckDBPyConnection) -> list[str]:
    rows = connection.execute(
        "SELECT schema_name, view_name FROM duckdb_views() WHERE NOT internal "
        "UNION ALL SELECT schema_name, table_name FROM duckdb_tables()"
    ).fetchall()
    return [name if schema == "main" else f"{schema}.{name}" for schema, name in rows]


def _advice(kinds: list[str]) -> str:
    return "name the values of a PIVOT: ON column IN (…)" if kinds == ["MULTI"] else ""


def _set_memory(connection: duckdb.DuckDBPyConnection, limit: str) -> None:
    try:
        connection.execute(f"SET memory_limit = {literal(limit)}")
    except duckdb.Error as error:
        raise QueryError("not an amount of memory", expected="such as 2GB or 500MB", found=repr(limit)) from error


def literal(value: object) -> str:
    """Text as SQL writes it."""
    return "'" + str(value).replace("'", "''") + "'"
