"""What the tables of a study hold, loaded once and aligned row by row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd

from matlas.errors import ConfigError, DataError, nearest
from matlas.tables import TableInfo, read_table, table_info
from schemas.table import Field

SpaceKey = tuple[str, str]  # view, representation; of a map: view, map

NOISE = -1  # the label of a row that is in no cluster
# about a study as a whole; those of several files are stacked
STUDY_TABLES = ("agreement", "scores", "contingency", "conditions", "sensitivity", "inspections", "probes",
                "comparisons", "unmixings", "endmember_counts", "quantities", "tests")  # fmt: skip
_LAYERS = ("datasets", "features", "representations", "clusters", "metrics", "failures", "histories", "rebuilt",
           "selections", "splits", "references", "abundances", "endmembers", *STUDY_TABLES)  # fmt: skip


@dataclass
class Space:
    """One representation, or map, of one view. Every frame has a row an entity, in the order of `StudyData.entities`,
    and as index its position there: of the entities that the view describes, and of a map those that it shows.

    scores : key, z_0 …, and reconstruction_error where the space is linear; clusters : clustering -> key, cluster,
    distance, k_2 …; metrics : rows of schema METRICS about the representation and about its clusterings.
    """

    scores: pd.DataFrame
    clusters: dict[str, pd.DataFrame] = field(default_factory=dict)
    metrics: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def trustworthiness(self) -> float | None:
        """How far a map can be trusted, 0 to 1; None for a space that is not a map."""
        if not len(self.metrics):
            return None
        found = self.metrics.loc[self.metrics["metric"] == "trustworthiness", "value"]
        return float(found.iloc[0]) if len(found) else None


@dataclass(frozen=True)
class Spectra:
    """A view of spectra, which stay on disk: `path` of its table, one row a pixel in the order of the dataset; unit of
    the spectral axis, positions (c,) of the channels on it; counts : whether they hold counts; references : spectra of
    known materials in the same preparation: material, channel, position, intensity."""

    path: str | PathLike
    unit: str
    positions: np.ndarray
    counts: bool
    references: pd.DataFrame

    @property
    def columns(self) -> list[str]:
        return [f"channel_{i}" for i in range(len(self.positions))]


@dataclass(frozen=True)
class Unmixed:
    """What an unmixing made of a view. abundances : key, share_<endmember> …, brightness and residual, a row a pixel in
    the order of `StudyData.entities`; endmembers : endmember, channel, position, intensity."""

    abundances: pd.DataFrame
    endmembers: pd.DataFrame

    @property
    def names(self) -> list[str]:
        """The endmembers in their order."""
        return [c.removeprefix("share_") for c in self.abundances.columns if c.startswith("share_")]


@dataclass(frozen=True)
class Definitions:
    """What the configuration says of what is learned and read out, as plain values by name.

    targets : unit and description; splits : kind and what goes with it (schemas.config.methods); trained_on :
    representation -> the split on whose training rows it was fitted; tests : schemas.config.studies.Tests; eds : how
    X-ray spectra were measured (schemas.config.datasets.Eds), empty for other data.
    """

    targets: Mapping[str, Mapping] = field(default_factory=dict)
    splits: Mapping[str, Mapping] = field(default_factory=dict)
    trained_on: Mapping[str, str] = field(default_factory=dict)
    tests: Mapping[str, Mapping | None] = field(default_factory=dict)
    eds: Mapping = field(default_factory=dict)


@dataclass
class StudyData:
    """A study's dataset, its spaces and maps, and the tables that compare and judge them.

    simulated : true as soon as one table was generated; mark : what is then said of it; label : column of `entities`
    with the true classes, which are for evaluation only; described_by : column that says in a word what an entity is;
    restrictions : what must be said of the network weights behind a view wherever it is shown; images : folder in which
    an entity's key is the path of its image; white_level : the pixel value shown as white, where it isn't the largest
    that a file can hold; attributes : what the footer of the dataset's table says of it, such as the size of the image
    that pixels come from. histories, rebuilt : how the network of a space was trained, and some test rows as it
    rebuilds them; selections : view -> the columns it took and left out; parts : split -> key, fold, part, of splits
    that a space was fitted on.
    """

    study: str
    title: str
    dataset: str
    entities: pd.DataFrame
    fields: dict[str, Field]  # of the dataset's columns
    simulated: bool
    key: str
    spaces: dict[SpaceKey, Space]
    maps: dict[SpaceKey, Space] = field(default_factory=dict)
    several_representations: bool = False  # whether the name of a space must say which
    label: str | None = None
    described_by: str | None = None
    restrictions: dict[str, str] = field(default_factory=dict)
    images: Path | None = None
    white_level: float | None = None
    mark: str = "SAMPLE DATA"
    attributes: dict[str, str] = field(default_factory=dict)
    agreement: pd.DataFrame | None = None
    scores: pd.DataFrame | None = None
    contingency: pd.DataFrame | None = None
    conditions: pd.DataFrame | None = None
    sensitivity: pd.DataFrame | None = None
    inspections: pd.DataFrame | None = None
    probes: pd.DataFrame | None = None
    comparisons: pd.DataFrame | None = None
    unmixings: pd.DataFrame | None = None
    endmember_counts: pd.DataFrame | None = None
    quantities: pd.DataFrame | None = None
    tests: pd.DataFrame | None = None
    spectra: dict[str, Spectra] = field(default_factory=dict)
    unmixed: dict[tuple[str, str], Unmixed] = field(default_factory=dict)
    histories: dict[SpaceKey, pd.DataFrame] = field(default_factory=dict)
    rebuilt: dict[SpaceKey, pd.DataFrame] = field(default_factory=dict)
    selections: dict[str, pd.DataFrame] = field(default_factory=dict)
    parts: dict[str, pd.DataFrame] = field(default_factory=dict)
    definitions: Definitions = field(default_factory=Definitions)

    def labels(self, space: SpaceKey, clustering: str, k: int | None = None) -> pd.Series:
        """Cluster of each entity of a space, indexed by its position among `entities`: at the best K, or at `k`.
        Raises ConfigError for a K that was not swept."""
        labelings = self.spaces[space].clusters[clustering]
        if k is not None and f"k_{k}" not in labelings:
            raise ConfigError(
                f"no labels at K = {k}", where=" / ".join((*space, clustering)),
                expected=f"one of {self.swept(space, clustering)}" if self.swept(space, clustering) else "no k at all, "
                "as this clustering finds its own number", found=k,
            )  # fmt: skip
        return labelings["cluster" if k is None else f"k_{k}"].rename("cluster")

    def swept(self, space: SpaceKey, clustering: str) -> list[int]:
        """The numbers of clusters that were asked for; none where the clustering finds its own."""
        columns = self.spaces[space].clusters[clustering].columns
        return [int(name[2:]) for name in columns[columns.str.fullmatch(r"k_\d+")]]

    def space_name(self, space: SpaceKey) -> str:
        """The view in words; with the representation where the study has more than one."""
        view, representation = space
        return in_words(view) + (f", {in_words(representation)}" if self.several_representations else "")

    def descriptions(self, labels: pd.Series) -> dict[int, str]:
        """Most common description of each cluster; "" for noise, and where nothing describes an entity."""
        if self.described_by is None:
            return {int(cluster): "" for cluster in sorted(labels.unique())}
        grouped = self.entities.loc[labels.index, self.described_by].groupby(labels.to_numpy())
        return {int(c): "" if c == NOISE else most_common(words) for c, words in grouped}

    def described(self, clusters: pd.Series, labels: pd.Series) -> dict[str, pd.Series]:
        """The column of a table that describes `clusters`, by its name; none where nothing describes an entity."""
        return {} if self.described_by is None else {self.described_by: clusters.map(self.descriptions(labels))}

    def cluster_names(self, labels: pd.Series) -> dict[int, str]:
        """Short name of each cluster, as "3 · Te"."""
        return {c: cluster_name(c, description) for c, description in self.descriptions(labels).items()}


def load_study_data(
    paths: Iterable[str | PathLike],
    study: str,
    title: str,
    *,
    label: str | None = None,
    described_by: str | None = None,
    restrictions: dict[str, str] | None = None,
    images: Path | None = None,
    white_level: float | None = None,
    definitions: Mapping[str, Mapping] | None = None,
    mark: str = "SAMPLE DATA",
) -> StudyData:
    """Sort the tables of a study by their footers and read those that figures draw from; other layers (features,
    loadings, reruns, rejects, predictions …) only say whether they are simulated.

    paths : tables of one study; spaces keep the order in which their representations come. A representation whose
    metrics say how far it can be trusted is a map; definitions : the fields of `Definitions`.
    A space may lack entities for which a view failed (layer failures), and a map shows as many as its metrics say
    (n_rows). Raises DataError when the dataset is missing or double or lacks the column `label` or `described_by`, a
    table is about another dataset or an unknown space, or rows otherwise don't match the dataset's key.
    """
    infos = [(path, table_info(path)) for path in paths]
    found = {layer: [(path, info) for path, info in infos if info.layer == layer] for layer in _LAYERS}
    if len(found["datasets"]) != 1:
        names = [info.name for _, info in found["datasets"]]
        raise DataError("a study has one dataset", where=f"study {study}", expected="1 dataset table", found=names)
    path, about = found["datasets"][0]
    entities = read_table(path)
    dataset, key = about.attributes.get("dataset", about.name), about.key_field.name
    for column in filter(None, (label, described_by)):
        if column not in entities:
            raise DataError(f"unknown column {column!r}", where=path, expected=nearest(column, entities.columns))

    failed = [read_table(path, [key])[key] for path in _of_dataset(found["failures"], dataset)]
    excused = pd.concat(failed) if failed else entities[key].iloc[:0]
    metrics: dict[SpaceKey, list[pd.DataFrame]] = {}
    told_by: dict[SpaceKey, str | PathLike] = {}
    for path, _ in found["metrics"]:
        for (other, *space), rows in read_table(path).groupby(["dataset", "view", "representation"], sort=False):
            _same_dataset(other, dataset, path)
            metrics.setdefault(tuple(space), []).append(rows)
            told_by[tuple(space)] = path
    known: dict[SpaceKey, Space] = {}
    for path, info in found["representations"]:
        space = _attributes(path, info, dataset, "view", "representation")
        about_it = pd.concat(metrics.pop(space), ignore_index=True) if space in metrics else pd.DataFrame()
        scores = read_table(path)
        drawn = entities[key] if _sample_size(about_it) == len(scores) else excused
        known[space] = Space(_aligned(scores, entities[key], path, may_lack=drawn), metrics=about_it)
    for space in metrics:
        _known(known, space, told_by[space])
    for path, info in found["clusters"]:
        *space, clustering = _attributes(path, info, dataset, "view", "representation", "clustering")
        of_space = _known(known, tuple(space), path)
        keys = entities[key].loc[of_space.scores.index]
        of_space.clusters[clustering] = _aligned(read_table(path), keys, path)
    defined = Definitions(**definitions or {})
    fitted_on = [(p, i) for p, i in found["splits"] if i.attributes.get("split") in defined.trained_on.values()]
    maps = {place: space for place, space in known.items() if space.trustworthiness is not None}
    spaces = {place: space for place, space in known.items() if place not in maps}
    return StudyData(
        study=study,
        title=title,
        dataset=dataset,
        entities=entities,
        fields={f.name: f for f in about.fields},
        simulated=any(info.lineage.simulated for _, info in infos),
        key=key,
        spaces=spaces,
        maps=maps,
        several_representations=len({representation for _, representation in spaces}) > 1,
        label=label,
        described_by=described_by,
        restrictions=dict(restrictions or {}),
        images=images,
        white_level=white_level,
        mark=mark,
        attributes=about.attributes,
        **{layer: _stacked(found[layer], dataset) for layer in STUDY_TABLES},
        **{
            layer: {
                _attributes(path, info, dataset, "view", "representation"): read_table(path)
                for path, info in found[layer]
            }
            for layer in ("histories", "rebuilt")
        },
        selections=_by_attribute(found["selections"], dataset, "view"),
        spectra=_spectra(found["features"], found["references"], dataset),
        unmixed=_unmixed(found["abundances"], found["endmembers"], dataset, entities[key]),
        parts=_by_attribute(fitted_on, dataset, "split"),
        definitions=defined,
    )


def in_words(name: str) -> str:
    """A snake_case name as words."""
    return name.replace("_", " ")


def cluster_name(cluster: int, description: str) -> str:
    """A cluster with its most common description, if there is one: "3 · Te"."""
    if cluster == NOISE:
        return "noise"
    return f"{cluster} · {description}" if description else str(cluster)


def most_common(values: pd.Series) -> str:
    """The most common value, the first in the alphabet of several; "" of none."""
    counts = values.value_counts()
    return str(counts.index[counts == counts.max()].min()) if len(counts) else ""


def _stacked(tables: list[tuple[str | PathLike, TableInfo]], dataset: str) -> pd.DataFrame | None:
    """The tables of one layer as one frame; None for none."""
    frames = []
    for path, _ in tables:
        frames.append(read_table(path))
        for other in frames[-1]["dataset"].unique() if "dataset" in frames[-1] else ():
            _same_dataset(other, dataset, path)
    return pd.concat(frames, ignore_index=True) if frames else None


def _of_dataset(tables: list[tuple[str | PathLike, TableInfo]], dataset: str) -> list[str | PathLike]:
    for path, info in tables:
        _attributes(path, info, dataset)
    return [path for path, _ in tables]


def _by_attribute(tables: list[tuple[str | PathLike, TableInfo]], dataset: str, name: str) -> dict[str, pd.DataFrame]:
    return {_attributes(path, info, dataset, name)[0]: read_table(path) for path, info in tables}


def _spectra(features: list, references: list, dataset: str) -> dict[str, Spectra]:
    given = _by_attribute(references, dataset, "view")
    found = {}
    for path, info in features:
        if "signal_unit" in info.attributes:
            (view,) = _attributes(path, info, dataset, "view")
            about = info.attributes
            channels = np.arange(len(info.columns) - 1)
            positions = float(about["signal_offset"]) + float(about["signal_scale"]) * channels
            found[view] = Spectra(path, about["signal_unit"], positions, about["counts"] == "true", given[view])
    return found


def _unmixed(abundances: list, endmembers: list, dataset: str, keys: pd.Series) -> dict[tuple[str, str], Unmixed]:
    spectra = {_attributes(p, info, dataset, "view", "unmixing"): read_table(p) for p, info in endmembers}
    found = {}
    for path, info in abundances:
        place = _attributes(path, info, dataset, "view", "unmixing")
        found[place] = Unmixed(_aligned(read_table(path), keys, path), spectra[place])
    return found


def _sample_size(metrics: pd.DataFrame) -> int | None:
    """How many rows a map shows, where it does not show all."""
    found = metrics.loc[metrics["metric"] == "n_rows", "value"] if len(metrics) else ()
    return int(found.iloc[0]) if len(found) else None


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


def _aligned(
    frame: pd.DataFrame, keys: pd.Series, path: str | PathLike, may_lack: pd.Series | None = None
) -> pd.DataFrame:
    """`frame` in the order of `keys`, whose index it takes; DataError unless both hold the same keys, but for those
    that it `may_lack`."""
    there = keys.isin(frame[keys.name])
    missing, extra = keys[~there], frame[keys.name][~frame[keys.name].isin(keys)]
    if may_lack is not None:
        missing = missing[~missing.isin(may_lack)]
    if len(missing) or len(extra):
        raise DataError(
            "rows don't match the dataset",
            where=path,
            expected=f"{len(keys)} rows with the dataset's {keys.name}",
            found=f"{len(frame)} rows; missing {missing[:5].tolist()}, unexpected {extra[:5].tolist()}",
            do="rerun the steps that follow the dataset",
        )
    keys = keys[there] if len(frame) < len(keys) else keys
    position = pd.Series(np.arange(len(frame)), index=frame[keys.name])
    return frame.iloc[position.loc[keys].to_numpy()].set_index(keys.index)
