"""The study of ESTM as a script without a workflow, which bench/overhead.py sets the workflow beside.

One process goes from the source's file to every table, figure and claim by the library's functions, whole tables held
in memory, and writes what the workflow's jobs write. The study's definitions are read from config/, so that the two
can't drift apart. Of lineage it keeps only whether the data are generated, since figures and verdicts say so; it can't
tell what a table was made from, nor what has to be computed again.

python -m bench.plain_script SOURCE OUTPUT [SETTINGS]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from threadpoolctl import threadpool_limits

from matlas.catalog import catalog_connection
from matlas.claims import measure
from matlas.clean.compositions import clean_compositions
from matlas.clean.raw import read_raw
from matlas.cluster.study import agreement, cluster
from matlas.features.composition import feature_batches, feature_fields
from matlas.features.elements import ElementTable, load_element_table
from matlas.figures.draw import draw, tabulate
from matlas.figures.study_data import load_study_data
from matlas.lineage import Lineage
from matlas.metrics import metrics_frame
from matlas.represent import fit
from matlas.retrieval import join_views
from matlas.tables import write_table
from schemas.config.atlas import Atlas
from schemas.fields import FIELDS
from schemas.loading import load_atlas
from schemas.strict_yaml import read_yaml
from schemas.table import Field, TableSchema
from schemas.tables.analysis import (
    AGREEMENT,
    CLAIMS,
    LOADINGS,
    METRICS,
    cluster_schema,
    representation_schema,
    reruns_schema,
)
from schemas.tables.dataset import REJECTS, dataset_schema
from schemas.tables.features import element_schema, feature_schema

STUDY, DATASET = "estm_families", "estm"
ROOT = Path(__file__).resolve().parent.parent


@dataclass
class Output:
    """The folder of results, laid out as the workflow's, and the tables that stand in it so far."""

    folder: Path
    simulated: bool
    tables: list[Path] = field(default_factory=list)

    def write(self, data, name: str, schema: TableSchema, **attributes: str) -> Path:
        path = self.folder / f"{name}.parquet"
        write_table(data, path, schema, lineage=Lineage(simulated=self.simulated), attributes=attributes)
        self.tables.append(path)
        return path


def run_study(source: Path, folder: Path, settings: Mapping) -> None:
    """Everything that the study `STUDY` is made of, below `folder`, from the source's file; settings : as
    config/config.yaml has them."""
    atlas = load_atlas({**settings, "studies": [STUDY]}, ROOT)
    output = Output(folder, simulated=atlas.datasets[DATASET].source in atlas.settings.sample_sources)
    with threadpool_limits(atlas.settings.runtime.blas_threads):
        dataset = _clean(source, atlas, output)
        views = _featurize(dataset["composition"].drop_duplicates().tolist(), atlas, output)
        labelings = []
        for view, representation in atlas.spaces_of(STUDY):
            features = _joined(view, views, atlas, output)
            space = {"dataset": DATASET, "view": view, "representation": representation}
            scores = _project(features, space, atlas, output)
            for clustering in (c for v, r, c in atlas.clustered_in(STUDY) if (v, r) == (view, representation)):
                labels = _cluster(scores, dataset, space, clustering, atlas, output)
                labelings.append(({**space, "clustering": clustering}, labels))
        output.write(agreement(labelings, STUDY), f"agreement/{STUDY}", AGREEMENT, study=STUDY)
        _draw(atlas, output)
        _measure_claims(atlas, output)


def _clean(source: Path, atlas: Atlas, output: Output) -> pd.DataFrame:
    definition = atlas.datasets[DATASET]
    clean, rejects = clean_compositions(read_raw(source, definition.sheet), definition, DATASET)
    output.write(rejects, f"rejects/{DATASET}", REJECTS, dataset=DATASET)
    output.write(clean, f"datasets/{DATASET}", dataset_schema(DATASET, definition), dataset=DATASET)
    return clean


def _featurize(formulas: list[str], atlas: Atlas, output: Output) -> dict[str, Path]:
    """The stored views of the study, by name."""
    stored = dict.fromkeys(s for view in atlas.views_of(STUDY) for s in atlas.stored_views(view))
    elements: dict[str, ElementTable] = {}
    for name in filter(None, (getattr(atlas.views[view], "table", None) for view in stored)):
        elements[name] = load_element_table(name)
        schema = element_schema(name, elements[name].properties)
        output.write(elements[name].to_frame(), f"elements/{name}", schema)
    views = {}
    for view in stored:
        spec = _plain(atlas.views[view])
        table = elements.get(spec.get("table"))
        views[view] = output.write(
            feature_batches(formulas, spec, table), f"features/{DATASET}/{view}",
            feature_schema(view, FIELDS["composition"], feature_fields(spec, table)),
            dataset=DATASET, view=view, spec=json.dumps(spec),
        )  # fmt: skip
    return views


def _joined(view: str, views: Mapping[str, Path], atlas: Atlas, output: Output) -> pd.DataFrame:
    parts = [views[stored] for stored in atlas.stored_views(view)]
    dataset = output.folder / "datasets" / f"{DATASET}.parquet"
    columns = getattr(atlas.views[view], "columns", [])
    return join_views(dataset, parts, columns=columns).set_index(_key(atlas).name)


def _project(features: pd.DataFrame, space: dict, atlas: Atlas, output: Output) -> pd.DataFrame:
    """The scores, indexed by the dataset's key."""
    representation, place = space["representation"], "/".join(space.values())
    made = fit(features.to_numpy(), **_plain(atlas.methods.representations[representation], exclude={"split"}))
    schema = representation_schema(representation, _key(atlas), made.scores.shape[1])
    frame = made.scores_frame(features.index)
    output.write(frame, f"representations/{place}", schema, **space)
    output.write(made.loadings_frame(features.columns), f"loadings/{place}", LOADINGS, **space)
    records = metrics_frame(space, representation, made.records)
    output.write(records, f"metrics/representation/{place}", METRICS, **space)
    return frame.set_index(features.index.name).filter(like="z_")


def _cluster(
    scores: pd.DataFrame, dataset: pd.DataFrame, space: dict, clustering: str, atlas: Atlas, output: Output
) -> pd.DataFrame:
    """The labels, indexed by the dataset's key."""
    spec = _plain(atlas.methods.clusterings[clustering])
    group = (spec.get("stability") or {}).get("group") or atlas.datasets[DATASET].resampled_by
    groups = dataset.set_index(scores.index.name)[group].loc[scores.index] if group else None
    result = cluster(scores.to_numpy(), groups, **spec)
    about = {**space, "clustering": clustering}
    place, key = "/".join(about.values()), _key(atlas)
    labels, reruns = result.labels_frame(scores.index), result.reruns_frame(scores.index)
    schema = cluster_schema(clustering, key, result.swept, result.n_responsibilities)
    output.write(labels, f"clusters/{place}", schema, **about)
    output.write(reruns, f"reruns/{place}", reruns_schema(clustering, key, reruns.columns[1:]), **about)
    output.write(metrics_frame(space, clustering, result.records), f"metrics/clustering/{place}", METRICS, **about)
    return labels.set_index(key.name)


def _draw(atlas: Atlas, output: Output) -> None:
    study, described_by = atlas.studies[STUDY], atlas.datasets[DATASET].described_by
    data = load_study_data(
        output.tables, STUDY, study.title, label=study.evaluation.label, described_by=described_by
    )  # fmt: skip
    folder = output.folder / "figures" / STUDY
    for figure in study.figures:
        draw(_plain(figure), data, folder / f"{figure.name}.svg", folder / f"{figure.name}.csv")
    for table in study.tables:
        tabulate(_plain(table), data, folder / f"{table.name}.csv")


def _measure_claims(atlas: Atlas, output: Output) -> None:
    structure = {
        "dataset": DATASET, "views": atlas.views_of(STUDY), "spaces": atlas.spaces_of(STUDY), "maps": [],
        "clustered": atlas.clustered_in(STUDY),
    }  # fmt: skip
    joined = {view: _plain(atlas.views[view]) for view in atlas.views_of(STUDY) if atlas.views[view].kind == "joined"}
    claims = [_plain(claim) for claim in atlas.studies[STUDY].claims]
    with catalog_connection(output.tables, output.folder, {STUDY: structure}, joined) as catalog:
        measured = measure(catalog, claims, STUDY, simulated=output.simulated, skipped=None)
    output.write(measured, f"claims/{STUDY}", CLAIMS, study=STUDY)


def _key(atlas: Atlas) -> Field:
    schema = dataset_schema(DATASET, atlas.datasets[DATASET])
    return next(f for f in schema.fields if f.name == schema.key[0])


def _plain(definition, exclude: set[str] | None = None) -> dict:
    """A definition as plain values, which the library takes."""
    return definition.model_dump(mode="json", exclude=exclude)


if __name__ == "__main__":
    source, output, *settings = map(Path, sys.argv[1:])
    run_study(source, output, read_yaml(settings[0]) if settings else {})
