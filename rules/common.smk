import sys
import time
from pathlib import Path

from matlas.errors import ConfigError
from matlas.jobs import read_failures
from matlas.lineage import code_of
from schemas.loading import load_atlas

try:
    ATLAS = load_atlas(config, Path(workflow.basedir))
except ConfigError as error:
    raise WorkflowError(str(error)) from None


STARTED = time.time()


def print_failures():
    """What the failed jobs said, once more at the end, where it is seen."""
    for failure in read_failures(Path(ATLAS.settings.pathvars.logs), STARTED):
        print(f"\nmatlas: {failure}\n  Mend it and run the same command again.", file=sys.stderr)


def one_of(names):
    """A wildcard pattern that matches these names and nothing else (nothing at all for none)."""
    return "|".join(sorted(names)) or "(?!)"


def spec(model):
    """A definition as plain values, which Snakemake compares to decide what to rerun."""
    return model.model_dump(mode="json")


def raw_file(dataset):
    """The raw file that a dataset is read from."""
    definition = ATLAS.datasets[dataset]
    if definition.path:
        return definition.path
    file = definition.file or next(iter(ATLAS.sources[definition.source].files))
    return f"<results>/sources/{definition.source}/{file}"


def is_simulated(dataset):
    return ATLAS.datasets[dataset].source in ATLAS.settings.sample_sources


def view_files(dataset, view):
    """The stored views behind a view."""
    return [f"<results>/features/{dataset}/{stored}.parquet" for stored in ATLAS.stored_views(view)]


def element_tables(view):
    """The element-property table that a view needs, if it needs one."""
    table = getattr(ATLAS.views[view], "table", None)
    return [f"<results>/elements/{table}.parquet"] if table else []


def tables_of(study):
    """Every table that a study is made of, in the order data flows."""
    if ATLAS.skipped(study):
        return []
    dataset, views = ATLAS.dataset_of(study), ATLAS.views_of(study)
    stored = sorted({s for v in views for s in ATLAS.stored_views(v)})
    spaces = [f"{dataset}/{v}/{r}" for v in views for r in ATLAS.studies[study].representations]
    clustered = [f"{s}/{c}" for s in spaces for c in ATLAS.studies[study].clusterings]
    return [
        f"<results>/datasets/{dataset}.parquet",
        f"<results>/rejects/{dataset}.parquet",
        *sorted({t for s in stored for t in element_tables(s)}),
        *(f"<results>/features/{dataset}/{s}.parquet" for s in stored),
        *(f"<results>/representations/{s}.parquet" for s in spaces),
        *(f"<results>/loadings/{s}.parquet" for s in spaces),
        *(f"<results>/metrics/representation/{s}.parquet" for s in spaces),
        *(f"<results>/clusters/{c}.parquet" for c in clustered),
        *(f"<results>/metrics/clustering/{c}.parquet" for c in clustered),
        *([f"<results>/agreement/{study}.parquet"] if clustered else []),
    ]


def figures_of(study):
    """The figures and tables of a study."""
    if ATLAS.skipped(study):
        return []
    folder = f"<results>/figures/{study}"
    drawn = [
        f"{folder}/{f.name}.{suffix}"
        for f in ATLAS.studies[study].figures
        for suffix in ("svg", "csv")
    ]
    return drawn + [f"{folder}/{t.name}.csv" for t in ATLAS.studies[study].tables]


def claims_of(study):
    return f"<results>/claims/{study}.parquet"


def study_structure(study):
    """Which dataset, views and methods belong to a study, for the catalog and the report."""
    definition = ATLAS.studies[study]
    return {
        "title": definition.title,
        "dataset": ATLAS.dataset_of(study),
        "views": ATLAS.views_of(study),
        "representations": definition.representations,
        "clusterings": definition.clusterings,
    }
