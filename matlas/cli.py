"""The `matlas` command: query, describe and export what the workflow computed.

Commands import what they need when they run, so that `matlas --help` answers at once.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from matlas.errors import MatlasError, QueryError

if TYPE_CHECKING:
    import pandas as pd

    from matlas.store import Store

app = typer.Typer(
    help="Query, describe and export what the matlas workflow computed.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
features = typer.Typer(help="Feature views: list, describe, get.", no_args_is_help=True)
app.add_typer(features, name="features")

SAMPLE_NOTICE = "SAMPLE DATA: generated, not measured"


class Format(StrEnum):
    """How a table is written; `table` is for people."""

    table = "table"
    csv = "csv"
    json = "json"
    parquet = "parquet"


FormatOption = Annotated[
    Format | None, typer.Option("--format", help="By default a table for people, or what the suffix of -o says.")
]
OutputOption = Annotated[Path | None, typer.Option("--output", "-o", help="Write to this file.", show_default=False)]
ForceOption = Annotated[bool, typer.Option("--force", help="Overwrite the file of -o.")]
LimitOption = Annotated[int, typer.Option("--limit", min=1, help="Rows shown in a table for people.")]


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; an error that the user can mend is one line on stderr and exit status 1."""
    try:
        app(args=arguments)
    except MatlasError as error:
        print(f"matlas: {error}", file=sys.stderr)
        sys.exit(1)


@app.callback(invoke_without_command=True)
def common(
    context: typer.Context,
    results: Annotated[Path, typer.Option(envvar="MATLAS_RESULTS", help="The results folder.")] = Path("results"),
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        from importlib import metadata

        try:
            print(f"matlas {metadata.version('matlas')}")
        except metadata.PackageNotFoundError:
            print("matlas (not installed as a package)")
        raise typer.Exit
    context.obj = results


@features.command("list")
def list_views(
    context: typer.Context,
    format: FormatOption = None,
    output: OutputOption = None,
    force: ForceOption = False,
    limit: LimitOption = 50,
) -> None:
    """The feature views of each dataset; joined ones take no space."""
    store = _store(context)
    views = store.sql("""
        SELECT t.dataset, t.view, count(*) FILTER (NOT list_contains(string_split(t.key, ', '), c.name)) AS features,
               t.rows, t.key, t.bytes, t.created
        FROM registry.tables t JOIN registry.columns c ON c.table_name = t.name
        WHERE t.layer = 'features' GROUP BY ALL ORDER BY t.dataset, t.view
    """)
    listed = store.sql("SELECT name FROM registry.tables WHERE layer = 'features'")["name"]
    _mark_sample(store.is_simulated(listed))
    _mark_weights(store, listed)
    _write(views, format, output, force, limit)


@features.command()
def describe(
    context: typer.Context,
    table: Annotated[str, typer.Argument(metavar="VIEW|TABLE", help="Such as magpie, estm or clusters.estm__….")],
    format: FormatOption = None,
    output: OutputOption = None,
    force: ForceOption = False,
    limit: LimitOption = 50,
) -> None:
    """What a table holds: its columns with unit, meaning, range, share of missing values and citation."""
    store = _store(context)
    name = store.resolve(table)
    _mark_sample(store.is_simulated([name]))
    _mark_weights(store, [name])
    columns = store.columns(name)
    if format in (None, Format.table) and output is None:
        (about,) = store.query("SELECT * FROM registry.tables WHERE name = ?", [name]).to_pylist()
        for label, value in {**about, **store.definition(name)}.items():
            if value not in (None, "", []):
                print(f"{label:<12} {', '.join(value) if isinstance(value, list) else value}")
        print()
        first = ["name", "unit", "min", "max", "description"]  # what fits a narrow terminal
        columns = columns[[*first, *(c for c in columns.columns if c not in first)]]
    _write(columns, format, output, force, limit)


@features.command()
def get(
    context: typer.Context,
    dataset: Annotated[str | None, typer.Argument(help="A dataset of the store.", show_default=False)] = None,
    views: Annotated[str, typer.Option("--views", help="Views, separated by commas.")] = "",
    columns: Annotated[
        str,
        typer.Option(help="Dataset columns to add; if any feature is named, only the named columns. With commas."),
    ] = "",
    entities: Annotated[
        Path | None, typer.Option(help="A CSV of compounds to featurise instead of a dataset.", show_default=False)
    ] = None,
    formula_column: Annotated[
        str | None, typer.Option(help="Its column of formulas, if not formula or composition.", show_default=False)
    ] = None,
    format: FormatOption = None,
    output: OutputOption = None,
    force: ForceOption = False,
    limit: LimitOption = 20,
) -> None:
    """Features of each row of a dataset, or of the compounds in a CSV file of yours."""
    if (dataset is None) == (entities is None):
        raise typer.BadParameter("give either a dataset of the store, or --entities FILE.csv")
    wanted = [name.strip() for name in views.split(",") if name.strip()]
    if not wanted:
        raise typer.BadParameter("name at least one view", param_hint="--views")
    if entities is not None:
        if columns:
            raise typer.BadParameter("columns of a dataset don't go with --entities", param_hint="--columns")
        _write(_featurised(entities, formula_column, wanted, context.obj), format, output, force, limit)
        return
    store = _store(context)
    asked = [name.strip() for name in columns.split(",") if name.strip()]
    table = store.features(dataset, wanted, asked or None)
    names = [f"features.{dataset}__{view}" for view in wanted]
    _mark_sample(store.is_simulated([f"datasets.{dataset}", *names]))
    features_shown = set(table.columns) - set(store.columns(f"datasets.{dataset}")["name"])
    _mark_weights(store, [name for name in names if not features_shown.isdisjoint(store.columns(name)["name"])])
    _write(table, format, output, force, limit, units=_units(store))


@app.command()
def query(
    context: typer.Context,
    sql: Annotated[str, typer.Argument(help="One SELECT or EXPLAIN, in the SQL of DuckDB.")],
    memory: Annotated[str, typer.Option(help="The memory that the query may use.")] = "2GB",
    format: FormatOption = None,
    output: OutputOption = None,
    force: ForceOption = False,
    limit: LimitOption = 50,
) -> None:
    """Ask the catalog in SQL. It can read the results folder and nothing else, and can write nothing."""
    store = _store(context)
    table = store.query(sql, memory_limit=memory)
    _mark_sample(store.reads_simulated(sql))
    if format in (None, Format.table) and output is None and table.column_names == ["explain_key", "explain_value"]:
        print(table["explain_value"][0].as_py())
    else:
        _write(table, format, output, force, limit, units=_units(store))


@app.command()
def lineage(
    context: typer.Context,
    table: Annotated[str, typer.Argument(help="A table or view.")],
    format: FormatOption = None,
    output: OutputOption = None,
    force: ForceOption = False,
) -> None:
    """What a table was made from, back to the raw files, with the hashes of data, code and configuration."""
    store = _store(context)
    upstream = store.lineage(table)
    _mark_sample(upstream["simulated"].eq(True).any())
    if format in (None, Format.table) and output is None:
        from matlas.printing import print_lineage

        print_lineage(upstream)
    else:
        _write(upstream, format, output, force)


@app.command()
def claims(
    context: typer.Context,
    format: FormatOption = None,
    output: OutputOption = None,
    force: ForceOption = False,
    limit: LimitOption = 200,
) -> None:
    """The published statements, what was measured here, and the verdict."""
    store = _store(context)
    table = store.claims()
    _mark_sample(store.reads_simulated("FROM claims"))
    measured = store.sql("""
        SELECT DISTINCT 'features.' || s.dataset || '__' || c.variant AS name
        FROM claims c JOIN registry.studies s USING (study) WHERE c.variant <> '' AND c.measured IS NOT NULL
    """)
    _mark_weights(store, measured["name"])
    if format in (None, Format.table) and output is None:
        table["id"] = table["id"].where(table["variant"] == "", table["id"] + " (" + table["variant"] + ")")
        table = table[["verdict", "says", "expected", "measured", "tolerance", "id"]]
    _write(table, format, output, force, limit)


@app.command()
def embed(
    context: typer.Context,
    model: Annotated[Path, typer.Argument(help="Folder of a trained model, or its path below <results>/models.")],
    entities: Annotated[Path, typer.Option("--entities", help="Table of formulas, crystals (cif) or features.")],
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    format: FormatOption = None,
    output: OutputOption = None,
    force: ForceOption = False,
    limit: LimitOption = 50,
) -> None:
    """Apply a trained model to new rows: code, reconstruction error, and which rows are outside what it has seen."""
    from matlas.new_rows import embed_file

    folder = model if (model / "model.json").is_file() else context.obj / "models" / model
    rows, card = embed_file(folder, entities, device)
    _mark_sample(card["data"].get("sample_data", False))
    _write(rows, format, output, force, limit)


@app.command()
def doctor(context: typer.Context) -> None:
    """Check the installation and the results; exit status 1 if something fails."""
    from matlas.doctor import checks

    failed = False
    for check in checks(context.obj):
        failed |= check.status == "fail"
        print(f"{check.status:<5} {check.subject:<9} {check.detail}")
        if check.do:
            print(f"{'':<15} → {check.do}")
    raise typer.Exit(1 if failed else 0)


def _store(context: typer.Context) -> Store:
    from matlas.store import open_store

    return open_store(context.obj)


def _mark_sample(simulated: bool) -> None:
    if simulated:
        print(SAMPLE_NOTICE, file=sys.stderr)


def _mark_weights(store: Store, tables: Iterable[str]) -> None:
    """One line for each set of weights behind these tables whose licence forbids commercial use."""
    from matlas.report.restrictions import Restriction

    views = defaultdict(dict)  # (weights, licence) -> the views, each once
    for row in store.weights(tables).itertuples():
        views[row.weights, row.licence][row.view] = None
    for (weights, licence), shown in views.items():
        if Restriction(list(shown), licence).non_commercial:
            words = "" if "non-commercial" in licence.lower() else " (non-commercial use only)"
            print(f"{', '.join(shown)}: weights {weights}, licence {licence}{words}", file=sys.stderr)


def _units(store: Store) -> dict[str, str]:
    """{column: unit} of the columns that have one unit in all tables."""
    rows = store.sql("SELECT name, min(unit) AS unit FROM registry.columns GROUP BY name HAVING min(unit) = max(unit)")
    return dict(rows.itertuples(index=False))


def _featurised(file: Path, column: str | None, views: list[str], results: Path) -> pd.DataFrame:
    """The rows of a CSV, as text that stays as it stands, followed by the features of their formulas."""
    import pandas as pd

    from matlas.delimited import read_rows
    from matlas.sandbox import nearest
    from matlas.store import featurize_formulas

    if not file.is_file():
        raise QueryError("no such file", where=file)
    header, *rows = read_rows(file) or [[]]
    if not header:
        raise QueryError("the file is empty", where=file, expected="a header and one row a compound")
    column = column or next((c for c in header if c.lower() in ("formula", "composition")), None)
    if column is None:
        expected = "a column formula or composition, or --formula-column"
        raise QueryError("no column of formulas", where=file, expected=expected, found=", ".join(header))
    if column not in header:
        raise QueryError("unknown column", where=file, found=repr(column), do=nearest(column, header))
    given = pd.DataFrame(rows, columns=header, dtype=object)
    features = featurize_formulas(given[column].tolist(), views, elements=results / "elements").iloc[:, 1:]
    names = [*header, *features]
    if doubled := [name for name in names if names.count(name) > 1]:
        raise QueryError(f"column {doubled[0]!r} would stand in the result twice", where=file, do="rename it")
    return pd.concat([given, features], axis=1)


def _write(table, format: Format | None, output: Path | None, force: bool, limit: int = 50, units=None) -> None:
    """Print or save a data frame or Arrow table, after checking that format and file go together."""
    from matlas import printing

    if output is None:
        if format is Format.parquet:
            raise QueryError("parquet is not for the terminal", do="give a file with -o")
        if format in (None, Format.table):
            printing.print_table(table, limit=limit, units=units)
        else:
            printing.write_stream(table, format, sys.stdout.buffer)
            sys.stdout.flush()
        return
    suffix = output.suffix.lstrip(".").lower()
    if format is None and suffix in ("csv", "json", "parquet"):
        format = Format(suffix)
    if format in (None, Format.table):
        raise QueryError("which format?", where=output, expected="--format csv, json or parquet, or such a suffix")
    if output.exists() and not force:
        raise QueryError("the file exists", where=output, do="choose another name, or add --force to overwrite it")
    printing.write_file(table, format, output)
    rows, columns = table.shape
    print(f"wrote {output}: {rows:,} rows, {columns:,} columns", file=sys.stderr)


if __name__ == "__main__":
    main()
