import sys
import time
from pathlib import Path

from matlas.errors import ConfigError, DataError
from matlas.images.files import folder_fingerprint
from matlas.jobs import read_failures
from matlas.lineage import code_of
from schemas.config.views import NETWORK_STAGES
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


# what follows a network view's name in the names of the views of its stages; the last stage is the view itself
STAGES = [*(f"_stage{stage}" for stage in range(1, NETWORK_STAGES["resnet18"])), ""]
REPRESENTATIONS = ATLAS.methods.representations
# views that the settings leave out, and the source of their weights
LEFT_OUT = {v: s for v in ATLAS.views if (s := ATLAS.left_out(v))}
LINEAR = {n for n, r in REPRESENTATIONS.items() if r.algorithm == "pca"}


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


def image_folder(dataset):
    """The folder that holds the images of a dataset."""
    definition = ATLAS.datasets[dataset]
    if not definition.path:
        source, file = raw_file(dataset).split("/")[-2:]
        return f"<results>/sources/{source}/unpacked/{file}"
    return definition.path if Path(definition.path).is_dir() else f"<results>/unpacked/{dataset}"


def label_table(dataset):
    """The user's table of labels, if there is one."""
    path = getattr(ATLAS.datasets[dataset].labels, "path", None)
    return [path] if path else []


def weights_file(view):
    """The file with the weights of a network view."""
    source = ATLAS.views[view].weights
    return f"<results>/sources/{source}/{next(iter(ATLAS.sources[source].files))}"


def own_archive(path):
    """How to unpack a user's archive; the caps are there against archives that never end."""
    kind = "zip" if path.lower().endswith(".zip") else "tar"
    return {"unpack": kind, "max_unpacked_bytes": 100_000_000_000, "max_files": 1_000_000}


def fingerprint_of(dataset):
    """Of a user's folder, what tells that a file in it was edited: Snakemake sees only that files came and went."""
    definition = ATLAS.datasets[dataset]
    if not definition.path or not Path(definition.path).is_dir():
        return ""
    try:
        return folder_fingerprint(definition.path, definition.images)
    except DataError as error:
        raise WorkflowError(f"dataset {dataset}: {error}") from None


def about_source(source):
    """What must be said of a source wherever its results stand."""
    if source in ATLAS.settings.sample_sources:
        return {
            "name": source,
            "title": "generated weights, a network that has learned nothing",
            "licence": "sample data",
        }
    definition = ATLAS.sources[source]
    return {"name": source, "title": definition.title, "licence": definition.terms}


def is_simulated(dataset):
    return ATLAS.datasets[dataset].source in ATLAS.settings.sample_sources


def view_files(dataset, view):
    """The stored views behind a view."""
    return [f"<results>/features/{dataset}/{stored}.parquet" for stored in ATLAS.stored_views(view)]


def is_of_images(view):
    return ATLAS.views[view].kind == "image"


def element_tables(view):
    """The element-property table that a view needs, if it needs one."""
    table = getattr(ATLAS.views[view], "table", None)
    return [f"<results>/elements/{table}.parquet"] if table else []


def tables_of(study):
    """Every table that a study is made of, in the order data flows."""
    if ATLAS.skipped(study):
        return []
    dataset = ATLAS.dataset_of(study)
    stored = stored_views_of(study)
    spaces = [f"{dataset}/{v}/{r}" for v, r in ATLAS.spaces_of(study)]
    linear = [s for s in spaces if s.split("/")[-1] in LINEAR]
    looked_at = [f"{dataset}/{v}/{m}" for v, m in ATLAS.maps_of(study)]
    clustered = ["/".join((dataset, *space)) for space in ATLAS.clustered_in(study)]
    return [
        f"<results>/datasets/{dataset}.parquet",
        f"<results>/rejects/{dataset}.parquet",
        *sorted({t for s in stored for t in element_tables(s)}),
        *(f"<results>/features/{dataset}/{s}.parquet" for s in stored),
        *(f"<results>/altered/{dataset}/{s}.parquet" for s in stored if is_of_images(s)),
        *(f"<results>/representations/{s}.parquet" for s in spaces + looked_at),
        *(f"<results>/loadings/{s}.parquet" for s in linear),
        *(f"<results>/metrics/representation/{s}.parquet" for s in spaces + looked_at),
        *(f"<results>/clusters/{c}.parquet" for c in clustered),
        *(f"<results>/reruns/{c}.parquet" for c in clustered),
        *(f"<results>/metrics/clustering/{c}.parquet" for c in clustered),
        *([f"<results>/agreement/{study}.parquet"] if clustered else []),
        *evaluations_of(study),
    ]


def stored_views_of(study):
    return sorted({s for v in ATLAS.views_of(study) for s in ATLAS.stored_views(v)})


def evaluations_of(study):
    """The tables that judge a study's views and clusterings."""
    evaluation = ATLAS.studies[study].evaluation
    clustered = ATLAS.clustered_in(study)
    layers = [
        *(["scores", "contingency"] if evaluation.label and clustered else []),
        *(["conditions"] if evaluation.conditions and clustered else []),
        *(["sensitivity"] if any(map(is_of_images, stored_views_of(study))) else []),
        *(["inspections"] if ATLAS.inspected_in(study) else []),
    ]
    return [f"<results>/{layer}/{study}.parquet" for layer in layers]


def tables_in(study, *layers):
    """The tables of a study that belong to some layers."""
    return [t for t in tables_of(study) if t.split("/")[1] in layers]


def inspected_tables(study, layer):
    """The tables of the views in which outliers are looked for, in the order of those searches."""
    dataset = ATLAS.dataset_of(study)
    return [f"<results>/{layer}/{dataset}/{view}.parquet" for view, _ in ATLAS.inspected_in(study)]


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


def images_of(study):
    """The folder of images that a study's figures show, if its entities are images."""
    dataset = ATLAS.dataset_of(study)
    return (
        [image_folder(dataset)]
        if ATLAS.datasets[dataset].kind == "image" and tables_of(study)
        else []
    )


def restrictions_of(study):
    """What must be said of the weights behind a view wherever its results stand: {view: title and licence}."""
    stored = [
        (v, ATLAS.network_of(s)) for v in ATLAS.views_of(study) for s in ATLAS.stored_views(v)
    ]
    weights = {v: about_source(network.weights) for v, network in stored if network}
    return {v: f"{about['title']}; licence {about['licence']}" for v, about in weights.items()}


def claims_of(study):
    return f"<results>/claims/{study}.parquet"


def study_structure(study):
    """Which dataset, views and methods belong to a study, for the catalog and the report."""
    definition = ATLAS.studies[study]
    return {
        "title": definition.title,
        "dataset": ATLAS.dataset_of(study),
        "views": ATLAS.views_of(study),
        "spaces": ATLAS.spaces_of(study),
        "maps": ATLAS.maps_of(study),
        "clustered": ATLAS.clustered_in(study),
    }
