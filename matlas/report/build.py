"""The report page: everything it shows is read from the catalog, the figures and the configuration, then rendered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from matlas.catalog import table_name
from matlas.files import write_text
from matlas.jobs import read_costs
from matlas.report import formats
from matlas.report.claims import TONES, claims
from matlas.report.provenance import (
    cost,
    dictionary,
    generated,
    quality,
    range_of,
    simulated_datasets,
    source_entries,
    tables,
    weights_of,
)
from matlas.report.studies import Section, sections
from matlas.store import Store, open_store
from matlas.tables import table_info

DATA_FILES = ("report.html", "report.css")
_FILTERS = ("number", "share", "duration", "size", "words", "notes", "instant", "linked")  # of matlas.report.formats


def render(
    output: Path,
    root: Path,
    *,
    studies: Mapping[str, Mapping],
    structures: Mapping[str, Mapping],
    skipped: Mapping[str, str | None],
    left_out: Mapping[str, str],
    restrictions: Mapping[str, Mapping[str, str]],
    sources: Mapping[str, Mapping],
    datasets: Mapping[str, Mapping],
    logs: Path,
    methods: Mapping[str, Mapping] | None = None,
    by_design: Collection[str] = (),
) -> None:
    """Write the report of the results folder `root` as one HTML page that needs no network and no script.

    studies, sources, datasets : configuration as plain values (schemas.config); structures : {study: {dataset, views,
    spaces, maps, clustered, networks, splits}}, what was computed of it; skipped : for each study the source that the
    settings leave out, or None; left_out : {view: source of its weights} that they leave out; restrictions : {study:
    {view: title and licence of its weights}}; logs : the folder of job logs; methods : {splits, representations: {name:
    definition}}, without which splits and networks have their numbers only; by_design : datasets that are simulations,
    rather than have sample data in their place. The page depends on the results alone: only
    their times and costs differ between two runs. Raises DataError for a figure or table that is missing or not
    self-contained, QueryError when the catalog can't be read.
    """
    root = Path(root)
    store = open_store(root)
    simulated, weights = simulated_datasets(store), weights_of(store, sources, datasets)
    made_up = generated(store, simulated, weights)
    all_claims = claims(store, studies, restrictions)
    made = sections(
        store, root, studies, structures, skipped, left_out, restrictions, made_up, all_claims, methods or {}
    )
    inventory = tables(store)
    stored = {layer: [t for t in inventory if t["layer"] == layer and t["bytes"]] for layer in ("datasets", "features")}
    page = {
        "root": root,
        "simulated": list(dict.fromkeys(name for names in made_up.values() for name in names.values())),
        "by_design": by_design,
        "studies": made,
        "claims": {study.name: [claim for claim in all_claims if claim.study == study.name] for study in made},
        "contradicted": [claim for claim in all_claims if claim.verdict.startswith("contradicted")],
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
        "sources": source_entries(sources, datasets, studies, skipped, left_out, simulated, weights),
        "queries": example_queries(store, studies, made, inventory),
        "bench": (Path(output).parent / "bench.html").is_file(),
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
    found = [(
        "Which claims hold?",
        "SELECT id, variant, expected, measured, verdict FROM claims ORDER BY id, variant",
    )]  # fmt: skip
    keys = {table["name"]: table["key"] for table in inventory}
    measured = [study for study in made if not study.skipped]
    if not measured:
        return [*found, ("What is in the catalog?", "SELECT name, layer, rows FROM registry.tables ORDER BY name")]
    study = measured[0]
    dataset = f"datasets.{study.dataset}"
    found.append((
        "What do its columns mean?",
        f"SELECT name, unit, description FROM registry.columns WHERE table_name = '{dataset}'",
    ))  # fmt: skip
    found.append(_about_clusters(store, studies[study.name], study, keys[dataset]))
    found += [
        (
            f"Which clusterings agree best with the classes of {judged.dataset}?",
            "SELECT view, representation, clustering, k, median(value) AS ari FROM scores\n"
            f"WHERE study = '{judged.name}' AND metric = 'ari' GROUP BY ALL ORDER BY ari DESC LIMIT 10",
        )
        for judged in [study for study in measured if study.scores][:1]
    ]
    return found


def _about_clusters(store: Store, spec: Mapping, study: Section, key: str) -> tuple[str, str]:
    """What the clusters of a study's first clustering hold: of a property, or of classes."""
    dataset = f"datasets.{study.dataset}"
    columns = store.sql(f"SELECT name, dtype FROM registry.columns WHERE table_name = '{dataset}' ORDER BY rowid")
    ranked = [table["rank_by"] for table in spec["tables"] if "rank_by" in table]
    properties = ranked or columns[columns["dtype"] == "float64"]["name"].tolist()
    label = spec["evaluation"]["label"]
    if not study.sweeps or not (properties or label):
        return "What does a row look like?", f"SELECT * FROM {dataset} LIMIT 5"
    first = study.sweeps[0]
    joined = (
        f"FROM {dataset} JOIN clusters.{study.dataset}__{first.view}__{first.representation}__{first.clustering}\n"
        f"  USING ({key})\nGROUP BY ALL ORDER BY"
    )
    if label and not ranked:
        return (
            "Which classes do the clusters hold?",
            f"SELECT cluster, {label}, count(*) AS entities\n{joined} cluster, entities DESC",
        )
    value = properties[0]
    return (
        f"Which clusters have the largest {formats.words(value)}?",
        f"SELECT cluster, count(*) AS rows, median({value}) AS {value}\n{joined} {value} DESC",
    )


def marked(names: Sequence[str], by_design: Collection[str]) -> list[tuple[str, list[str]]]:
    """What must be said of generated data, with the names that it is said of."""
    parts = {"SAMPLE DATA": [n for n in names if n not in by_design], "SIMULATED": [n for n in names if n in by_design]}
    return [(mark, part) for mark, part in parts.items() if part]


def _environment() -> Environment:
    here = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(here), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {name: getattr(formats, name) for name in _FILTERS}
    environment.filters |= {"range_of": range_of, "marked": marked}
    environment.globals["css"] = Markup((here / "report.css").read_text(encoding="utf-8"))
    return environment
