import sys
import time
from pathlib import Path

from matlas.crystals.files import structures_fingerprint
from matlas.errors import ConfigError, DataError
from matlas.files import sha256_of
from matlas.images.files import folder_fingerprint
from matlas.jobs import read_failures, read_slurm_failures
from matlas.lineage import code_of
from schemas.config.views import NETWORK_STAGES
from schemas.loading import load_atlas

try:
    ATLAS = load_atlas(config, Path(workflow.basedir))
except ConfigError as error:
    raise WorkflowError(str(error)) from None


STARTED = time.time()


def print_failures():
    """What the failed jobs said, and what SLURM said of them, once more at the end, where it is seen."""
    failures = read_failures(Path(ATLAS.settings.pathvars.logs), STARTED)
    failures += read_slurm_failures(Path(".snakemake/slurm_logs"), STARTED)
    for failure in {f.splitlines()[0]: f for f in failures}.values():  # shards may all say the same
        print(f"\nmatlas: {failure}\n  Mend it and run the same command again.", file=sys.stderr)


# a user's file up to this size is known by its hash when jobs are planned, which takes a second; a larger one by its size
HASHED_BYTES = 500_000_000
# priority of the longest jobs and of what they wait for: begun last, they would run alone at the end
AHEAD = 10
# that a job which computes with a network asks for; none where the settings say that it is not to use one
GPUS = 0 if ATLAS.settings.runtime.device == "cpu" else 1
# what follows a network view's name in the names of the views of its stages; the last stage is the view itself
STAGES = [*(f"_stage{stage}" for stage in range(1, NETWORK_STAGES["resnet18"])), ""]
# sources whose files a generator writes
SIMULATED_SOURCES = {
    *ATLAS.settings.sample_sources,
    *(n for n, s in ATLAS.sources.items() if s.simulated),
}
REPRESENTATIONS = ATLAS.methods.representations
# views that the settings leave out, and the source of their weights
LEFT_OUT = {v: s for v in ATLAS.views if (s := ATLAS.left_out(v))}
LINEAR = {n for n, r in REPRESENTATIONS.items() if r.algorithm == "pca"}
NETWORKS = {n for n in REPRESENTATIONS if ATLAS.is_network(n)}
UNMIXING_NETWORKS = {
    n for n, u in ATLAS.methods.unmixings.items() if u.algorithm == "softmax_autoencoder"
}
SELECTED = {n for n, v in ATLAS.views.items() if v.kind == "selected"}


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
    file = definition.file or ATLAS.sources[definition.source].file_names[0]
    return f"<results>/sources/{definition.source}/{file}"


def raw_files(dataset):
    """The raw files that a dataset of crystals is read from."""
    definition = ATLAS.datasets[dataset]
    if definition.provider == "api":
        return [f"<results>/queries/{dataset}.jsonl.gz"]
    named = [f for table in definition.parts.values() for f in table.files]
    if not named:
        return [raw_file(dataset)]
    return [f"<results>/sources/{definition.source}/{file}" for file in dict.fromkeys(named)]


def query_origin(dataset):
    """What a database said of itself when it was asked for a dataset."""
    asked = ATLAS.datasets[dataset].provider == "api"
    return [f"<results>/queries/{dataset}.json"] if asked else []


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
    return f"<results>/sources/{source}/{ATLAS.sources[source].file_names[0]}"


def own_archive(path):
    """How to unpack a user's archive; the caps are there against archives that never end."""
    kind = "zip" if path.lower().endswith(".zip") else "tar"
    return {"unpack": kind, "max_unpacked_bytes": 100_000_000_000, "max_files": 1_000_000}


def fingerprint_of(dataset):
    """Of a user's files, what tells that one was edited: of a folder Snakemake sees only that files came and went, of
    files that a table names it knows nothing, and a file put in place of another it misses if that one is older.
    """
    definition = ATLAS.datasets[dataset]
    if not definition.path:
        return ""
    path = Path(definition.path)
    if definition.kind in ("composition", "cube"):
        size = path.stat().st_size
        return f"{size} bytes" if size > HASHED_BYTES else sha256_of(path)
    if definition.kind == "crystal":
        return structures_fingerprint(path if path.is_dir() else path.parent)
    try:
        return folder_fingerprint(path, definition.images) if path.is_dir() else ""
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
    source = ATLAS.datasets[dataset].source
    return source in SIMULATED_SOURCES


def mark_of(study):
    """What stands on whatever is made of a study's data, if they were generated."""
    return "SIMULATED" if ATLAS.simulated_by_design(ATLAS.dataset_of(study)) else "SAMPLE DATA"


def of_kind(kind):
    """A wildcard pattern that matches the datasets of one kind."""
    return one_of(name for name, d in ATLAS.datasets.items() if d.kind == kind)


def split_files(dataset, *names):
    """The tables of splits, of those names that are given."""
    return [f"<results>/splits/{dataset}/{name}.parquet" for name in names if name]


def raw_view_files(dataset, *views):
    """The stored views that everything in `views` is chosen from or made of."""
    stored = dict.fromkeys(s for view in views for s in ATLAS.raw_views(view))
    return [f"<results>/features/{dataset}/{s}.parquet" for s in stored]


def split_of(representation):
    """The split that a representation is fitted on, if it is."""
    return getattr(REPRESENTATIONS.get(representation), "split", None)


def how_crystals_are_read(dataset):
    """What a dataset of crystals takes for a mistake, and for symmetric; nothing for other kinds."""
    named = {"shortest_distance", "volume_per_atom", "symmetry_tolerance"}
    return ATLAS.datasets[dataset].model_dump(mode="json", include=named)


def mapped_space(dataset, view, map):
    """The table that a map is drawn of, where that is not the view itself."""
    of = getattr(ATLAS.methods.maps.get(map), "of", None)
    return [f"<results>/representations/{dataset}/{view}/{of}.parquet"] if of else []


def how_selected(view):
    """How a view's columns are chosen, for work that must choose again inside a fold."""
    if view not in SELECTED:
        return None
    return ATLAS.views[view].model_dump(include={"n_features", "max_correlation"})


def view_files(dataset, view):
    """The stored views behind a view."""
    return [f"<results>/features/{dataset}/{stored}.parquet" for stored in ATLAS.stored_views(view)]


def counted_for(dataset, view, unmixing):
    """The count of endmembers that an unmixing needs, if it needs one."""
    count = ATLAS.count_of(unmixing)
    return [f"<results>/endmember_counts/{dataset}/{view}/{count}.parquet"] if count else []


def unmixed_for_quantities(study):
    """The shares by which the phases of a study are told apart."""
    asked = ATLAS.studies[study].quantification
    return f"<results>/abundances/{ATLAS.dataset_of(study)}/{asked.view}/{asked.unmixing}.parquet"


def is_of_spectra(view):
    return ATLAS.views[view].kind == "cube"


def is_of_images(view):
    return ATLAS.views[view].kind == "image"


def is_of_crystals(view):
    return ATLAS.views[view].kind == "crystal"


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
    trained = [s for s in spaces if s.split("/")[-1] in NETWORKS]
    looked_at = [f"{dataset}/{v}/{m}" for v, m in ATLAS.maps_of(study)]
    clustered = ["/".join((dataset, *space)) for space in ATLAS.clustered_in(study)]
    unmixed = [f"{dataset}/{v}/{u}" for v, u in ATLAS.unmixed_in(study)]
    counted = [f"{dataset}/{v}/{c}" for v, c in ATLAS.counted_in(study)]
    return [
        f"<results>/datasets/{dataset}.parquet",
        f"<results>/rejects/{dataset}.parquet",
        *sorted({t for s in stored for t in element_tables(s)}),
        *(
            [f"<results>/sites/{dataset}.parquet"]
            if ATLAS.datasets[dataset].kind == "crystal"
            else []
        ),
        *split_files(dataset, *splits_of(study)),
        *(f"<results>/features/{dataset}/{s}.parquet" for s in stored),
        *(f"<results>/failures/{dataset}/{s}.parquet" for s in stored if is_of_crystals(s)),
        *(f"<results>/selections/{dataset}/{s}.parquet" for s in stored if s in SELECTED),
        *(f"<results>/altered/{dataset}/{s}.parquet" for s in stored if is_of_images(s)),
        *(f"<results>/references/{dataset}/{s}.parquet" for s in stored if is_of_spectra(s)),
        *(f"<results>/representations/{s}.parquet" for s in spaces + looked_at),
        *(f"<results>/loadings/{s}.parquet" for s in linear),
        *(f"<results>/{layer}/{s}.parquet" for s in trained for layer in ("histories", "rebuilt")),
        *(f"<results>/metrics/representation/{s}.parquet" for s in spaces + looked_at),
        *(f"<results>/clusters/{c}.parquet" for c in clustered),
        *(f"<results>/reruns/{c}.parquet" for c in clustered),
        *(f"<results>/metrics/clustering/{c}.parquet" for c in clustered),
        *([f"<results>/agreement/{study}.parquet"] if clustered else []),
        *(f"<results>/endmember_counts/{c}.parquet" for c in counted),
        *(
            f"<results>/{layer}/{u}.parquet"
            for u in unmixed
            for layer in ("abundances", "endmembers", "unmixings")
        ),
        *([f"<results>/quantities/{study}.parquet"] if ATLAS.studies[study].quantification else []),
        *evaluations_of(study),
    ]


def stored_views_of(study):
    """The stored views of a study, and those that its selected views are chosen from."""
    read = {s for v in ATLAS.views_of(study) for s in ATLAS.stored_views(v)}
    return sorted(read | {s for v in read for s in ATLAS.raw_views(v)})


def splits_of(study):
    """The splits that a study's views, representations and probes are fitted on."""
    definition = ATLAS.studies[study]
    named = [getattr(ATLAS.views[s], "split", None) for s in stored_views_of(study)]
    named += [split_of(r) for _, r in ATLAS.spaces_of(study)]
    if definition.probing:
        named += [trial.split for trial in definition.probing.trials]
    if definition.tests.active_learning:
        named.append(definition.tests.active_learning.split)
    return sorted(set(filter(None, named)))


def models_of(study):
    """The trained networks of a study: weights and model card."""
    if ATLAS.skipped(study):
        return []
    dataset = ATLAS.dataset_of(study)
    folders = [
        f"<results>/models/{dataset}/{v}/{r}" for v, r in ATLAS.spaces_of(study) if r in NETWORKS
    ]
    unmixed = [(v, u) for v, u in ATLAS.unmixed_in(study) if u in UNMIXING_NETWORKS]
    return [
        *(
            f"{folder}/{file}"
            for folder in folders
            for file in ("weights.safetensors", "model.json")
        ),
        *(f"<results>/models/{dataset}/{v}/{u}/weights.safetensors" for v, u in unmixed),
    ]


def evaluations_of(study):
    """The tables that judge a study's views and clusterings."""
    evaluation = ATLAS.studies[study].evaluation
    clustered = ATLAS.clustered_in(study)
    splits = [t.split for t in probing.trials] if (probing := ATLAS.studies[study].probing) else []
    tests = [name for name, test in ATLAS.studies[study].tests if test]
    layers = [
        *(["scores", "contingency"] if evaluation.label and clustered else []),
        *(["conditions"] if evaluation.conditions and clustered else []),
        *(["sensitivity"] if any(map(is_of_images, stored_views_of(study))) else []),
        *(["inspections"] if ATLAS.inspected_in(study) else []),
    ]
    return [
        *(f"<results>/{layer}/{study}.parquet" for layer in layers),
        *(
            f"<results>/{layer}/{study}/{split}.parquet"
            for split in splits
            for layer in ("predictions", "probes", "comparisons")
        ),
        *(f"<results>/tests/{study}/{test}.parquet" for test in tests),
    ]


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


def definitions_of(study):
    """What figures must say of a study's targets, splits, encoders and tests, and its tables don't hold."""
    definition, dataset = ATLAS.studies[study], ATLAS.datasets[ATLAS.dataset_of(study)]
    probing = definition.probing
    spaces = [] if ATLAS.skipped(study) else ATLAS.spaces_of(study)
    return {
        "targets": {n: spec(t) for n, t in probing.targets.items()} if probing else {},
        "splits": {s: spec(ATLAS.methods.splits[s]) for s in splits_of(study)},
        "trained_on": {r: split_of(r) for _, r in spaces if split_of(r)},
        "tests": spec(definition.tests),
        "eds": spec(eds) if (eds := getattr(dataset, "eds", None)) else {},
    }


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
        "unmixed": ATLAS.unmixed_in(study),
        "counted": ATLAS.counted_in(study),
        "networks": [space for space in ATLAS.spaces_of(study) if space[1] in NETWORKS],
        "splits": splits_of(study),
    }
