"""The report page: everything it shows is read from the catalog, the figures and the configuration, then rendered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from matlas.catalog import table_name
from matlas.files import write_text
from matlas.jobs import read_costs
from matlas.report import formats
from matlas.report.provenance import (
    cost,
    dictionary,
    quality,
    range_of,
    simulated_datasets,
    source_entries,
    tables,
)
from matlas.report.studies import TONES, Section, claims, sections
from matlas.store import Store, open_store
from matlas.tables import table_info

DATA_FILES = ("report.html", "report.css")
_FILTERS = ("number", "share", "duration", "size", "words", "instant", "linked")  # functions of matlas.report.formats


def render(
    output: Path,
    root: Path,
    studies: Mapping[str, Mapping],
    skipped: Mapping[str, str | None],
    sources: Mapping[str, Mapping],
    datasets: Mapping[str, Mapping],
    logs: Path,
) -> None:
    """Write the report of the results folder `root` as one HTML page that needs no network and no script.

    studies, sources, datasets : configuration as plain values (schemas.config); skipped : for each study the source
    that the settings leave out, or None; logs : the folder of job logs. The page depends on the results alone: only
    their times and costs differ between two runs. Raises DataError for a figure or table that is missing or not
    self-contained, QueryError when the catalog can't be read.
    """
    root = Path(root)
    store = open_store(root)
    simulated = simulated_datasets(store)
    all_claims = claims(store, studies)
    made = sections(store, root, studies, skipped, simulated, all_claims)
    inventory = tables(store)
    stored = {layer: [t for t in inventory if t["layer"] == layer and t["bytes"]] for layer in ("datasets", "features")}
    page = {
        "root": root,
        "simulated": simulated,
        "studies": made,
        "claims": {study.name: [claim for claim in all_claims if claim.study == study.name] for study in made},
        "contradicted": [claim for claim in all_claims if claim.verdict == "contradicted"],
        "verdicts": Counter(claim.verdict for claim in all_claims),
        "tones": TONES,
        "qualities": quality(store, datasets, simulated),
        "origins": {name: dataset["source"] or dataset["path"] for name, dataset in datasets.items()},
        "dictionaries": dictionary(store, stored["datasets"]),
        "views": dictionary(store, stored["features"]),
        "joined": [table["name"] for table in inventory if not table["bytes"]],
        "cost": cost(read_costs(Path(logs))),
        "tables": inventory,
        "versions": package_versions(root, inventory),
        "sources": source_entries(sources, datasets, studies, skipped, simulated),
        "queries": example_queries(store, studies, made, inventory),
    }
    write_text(output, _environment().get_template("report.html").render(page))


def package_versions(root: Path, inventory: Sequence[Mapping]) -> dict[str, dict[str, int]]:
    """{package: {version: number of tables computed with it}}, from the footers of the stored tables."""
    names = {table["name"] for table in inventory}
    found: dict[str, Counter] = {}
    for layer in sorted({table["layer"] for table in inventory}):
        for path in sorted((root / layer).rglob("*.parquet")):
            if table_name(path.relative_to(root)) in names:
                for package, version in table_info(path).lineage.versions.items():
                    found.setdefault(package, Counter())[version] += 1
    return {package: dict(sorted(versions.items())) for package, versions in found.items()}


def example_queries(
    store: Store, studies: Mapping[str, Mapping], made: Sequence[Section], inventory: Sequence[Mapping]
) -> list[tuple[str, str]]:
    """Questions and the SQL that answers them in this catalog."""
    found = [("Which claims hold?", "SELECT id, expected, measured, verdict FROM claims ORDER BY id")]
    keys = {table["name"]: table["key"] for table in inventory}
    measured = [study for study in made if not study.skipped]
    if not measured:
        return [*found, ("What is in the catalog?", "SELECT name, layer, rows FROM registry.tables ORDER BY name")]
    study = measured[0]
    dataset = f"datasets.{study.dataset}"
    columns = store.sql(f"SELECT name, dtype, unit FROM registry.columns WHERE table_name = '{dataset}'")
    found.append((
        "What do its columns mean?",
        f"SELECT name, unit, description FROM registry.columns WHERE table_name = '{dataset}'",
    ))  # fmt: skip
    properties = columns[columns["dtype"] == "float64"]["name"].tolist()
    clustered = [f"clusters.{study.dataset}__{s.view}__{s.representation}__{s.clustering}" for s in study.sweeps]
    if clustered and properties:
        value = next((table["rank_by"] for table in studies[study.name]["tables"]), properties[0])
        found.append((
            f"Which clusters have the largest {formats.words(value)}?",
            f"SELECT cluster, count(*) AS rows, median({value}) AS {value}\nFROM {dataset} JOIN {clustered[0]}\n"
            f"  USING ({keys[dataset]})\nGROUP BY cluster ORDER BY {value} DESC",
        ))  # fmt: skip
    else:
        found.append(("What does a row look like?", f"SELECT * FROM {dataset} LIMIT 5"))
    return found


def _environment() -> Environment:
    here = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(here), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {name: getattr(formats, name) for name in _FILTERS} | {"range_of": range_of}
    environment.globals["css"] = Markup((here / "report.css").read_text(encoding="utf-8"))
    return environment
