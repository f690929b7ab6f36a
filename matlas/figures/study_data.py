"""What the tables of a study hold, loaded once and aligned row by row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from os import PathLike

import numpy as np
import pandas as pd

from matlas.errors import DataError
from matlas.tables import TableInfo, read_table, table_info
from schemas.table import Field

SpaceKey = tuple[str, str]  # view, representation

_LAYERS = ("datasets", "representations", "clusters", "metrics", "agreement")


@dataclass
class Space:
    """One representation of one view. Every frame has a row an entity, in the order of `StudyData.entities`.

    scores : key, z_0 …, reconstruction_error; clusters : clustering -> key, cluster, distance, k_2 …;
    metrics : rows of schema METRICS about the representation and about its clusterings.
    """

    scores: pd.DataFrame
    clusters: dict[str, pd.DataFrame] = field(default_factory=dict)
    metrics: pd.DataFrame = field(default_factory=pd.DataFrame)


@dataclass
class StudyData:
    """A study's dataset, spaces and agreement. `simulated` is true as soon as one table was generated."""

    study: str
    title: str
    dataset: str
    entities: pd.DataFrame
    fields: dict[str, Field]  # of the dataset's columns
    simulated: bool
    spaces: dict[SpaceKey, Space]
    agreement: pd.DataFrame | None
    key: str

    def labels(self, space: SpaceKey, clustering: str) -> pd.Series:
        """Cluster of each entity, in the order of `entities`."""
        return self.spaces[space].clusters[clustering]["cluster"]

    def space_name(self, space: SpaceKey) -> str:
        """The view in words; with the representation where the study has more than one."""
        view, representation = space
        several = len({r for _, r in self.spaces}) > 1
        return in_words(view) + (f", {in_words(representation)}" if several else "")

    def elements(self, labels: pd.Series) -> dict[int, str]:
        """Most common dominant element of each cluster; "" where the dataset has no such column."""
        if "dominant_element" not in self.entities:
            return {int(cluster): "" for cluster in sorted(labels.unique())}
        grouped = self.entities["dominant_element"].groupby(labels.to_numpy())
        return {int(cluster): most_common(elements) for cluster, elements in grouped}

    def cluster_names(self, labels: pd.Series) -> dict[int, str]:
        """Short name of each cluster, as "3 · Te"."""
        return {c: cluster_name(c, element) for c, element in self.elements(labels).items()}


def load_study_data(paths: Iterable[str | PathLike], study: str, title: str) -> StudyData:
    """Sort the tables of a study by their footers and read those that figures draw from; other layers (features,
    loadings, rejects …) only say whether they are simulated.

    paths : tables of one study; spaces keep the order in which their representations come. Raises DataError when the
    dataset is missing or double, a table is about another dataset or an unknown space, or rows don't match the
    dataset's key.
    """
    infos = [(path, table_info(path)) for path in paths]
    found = {layer: [(path, info) for path, info in infos if info.layer == layer] for layer in _LAYERS}
    if len(found["datasets"]) != 1:
        names = [info.name for _, info in found["datasets"]]
        raise DataError("a study has one dataset", where=f"study {study}", expected="1 dataset table", found=names)
    path, about = found["datasets"][0]
    entities = read_table(path)
    dataset, key = about.attributes.get("dataset", about.name), about.key_field.name

    spaces: dict[SpaceKey, Space] = {}
    for path, info in found["representations"]:
        space = _attributes(path, info, dataset, "view", "representation")
        spaces[space] = Space(_aligned(read_table(path), entities[key], path))
    for path, info in found["clusters"]:
        *space, clustering = _attributes(path, info, dataset, "view", "representation", "clustering")
        _known(spaces, tuple(space), path).clusters[clustering] = _aligned(read_table(path), entities[key], path)
    for path, _ in found["metrics"]:
        for (other, *space), rows in read_table(path).groupby(["dataset", "view", "representation"], sort=False):
            _same_dataset(other, dataset, path)
            target = _known(spaces, tuple(space), path)
            target.metrics = pd.concat([target.metrics, rows], ignore_index=True)
    agreement = [read_table(path) for path, _ in found["agreement"]]
    return StudyData(
        study=study,
        title=title,
        dataset=dataset,
        entities=entities,
        fields={f.name: f for f in about.fields},
        simulated=any(info.lineage.simulated for _, info in infos),
        spaces=spaces,
        agreement=pd.concat(agreement, ignore_index=True) if agreement else None,
        key=key,
    )


def in_words(name: str) -> str:
    """A snake_case name as words."""
    return name.replace("_", " ")


def cluster_name(cluster: int, element: str) -> str:
    """A cluster with its most common dominant element, if known: "3 · Te"."""
    return f"{cluster} · {element}" if element else str(cluster)


def most_common(values: pd.Series) -> str:
    """The most common value, the first in the alphabet of several; "" of none."""
    counts = values.value_counts()
    return str(counts.index[counts == counts.max()].min()) if len(counts) else ""


def _attributes(path: str | PathLike, info: TableInfo, dataset: str, *names: str) -> tuple[str, ...]:
    missing = [name for name in ("dataset", *names) if name not in info.attributes]
    if missing:
        raise DataError(f"table footer lacks the attribute {missing[0]!r}", where=path, do="delete it and rerun")
    _same_dataset(info.attributes["dataset"], dataset, path)
    return tuple(info.attributes[name] for name in names)


def _same_dataset(found: str, dataset: str, path: str | PathLike) -> None:
    if found != dataset:
        raise DataError("table is about another dataset", where=path, expected=dataset, found=found)


def _known(spaces: dict[SpaceKey, Space], space: SpaceKey, path: str | PathLike) -> Space:
    if space not in spaces:
        shown = [" / ".join(s) for s in spaces]
        raise DataError("table is about a space without scores", where=path, expected=f"one of {shown}", found=space)
    return spaces[space]


def _aligned(frame: pd.DataFrame, keys: pd.Series, path: str | PathLike) -> pd.DataFrame:
    """`frame` in the order of the dataset's rows; DataError unless both hold the same keys."""
    missing, extra = keys[~keys.isin(frame[keys.name])], frame[keys.name][~frame[keys.name].isin(keys)]
    if len(missing) or len(extra):
        raise DataError(
            "rows don't match the dataset",
            where=path,
            expected=f"{len(keys)} rows with the dataset's {keys.name}",
            found=f"{len(frame)} rows; missing {missing[:5].tolist()}, unexpected {extra[:5].tolist()}",
            do="rerun the steps that follow the dataset",
        )
    position = pd.Series(np.arange(len(frame)), index=frame[keys.name])
    return frame.iloc[position.loc[keys].to_numpy()].reset_index(drop=True)
