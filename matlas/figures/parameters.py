"""What a figure or table of a study asks for, checked against the data it is drawn from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from matlas.errors import ConfigError, DataError, nearest
from matlas.figures.classes import class_numbers
from matlas.figures.study_data import STUDY_TABLES, Space, SpaceKey, StudyData, in_words

_STAGE = re.compile(r"(?P<network>.+)_stage(?P<stage>\d+)")
_FILTERS = {"view": "views", "representation": "representations", "clustering": "clusterings", "unmixing": "unmixings"}


def narrowed(spec: Mapping, data: StudyData) -> StudyData:
    """What the keys `views`, `representations`, `clusterings` and `unmixings` leave of a study; all of it without them.

    Maps have no representation, so only `views` narrows them; of the tests, what is about no view or representation of
    the study (the features themselves, inputs of probes) stays. A name that the study lacks is no error, because views
    may be left out by a setting, and with them what is used on no other view (`left_out`).
    """
    wanted = {column: list(spec[key]) for column, key in _FILTERS.items() if spec.get(key)}
    if not wanted:
        return data
    views, representations, clusterings, unmixings = (wanted.get(column) for column in _FILTERS)
    spaces = {
        (view, name): replace(space, clusters=_among(space.clusters, clusterings))
        for (view, name), space in data.spaces.items()
        if (views is None or view in views) and (representations is None or name in representations)
    }
    return replace(
        data,
        spaces=spaces,
        maps={place: space for place, space in data.maps.items() if views is None or place[0] in views},
        spectra=_among(data.spectra, views),
        unmixed={
            (view, name): found
            for (view, name), found in data.unmixed.items()
            if (views is None or view in views) and (unmixings is None or name in unmixings)
        },
        restrictions=_among(data.restrictions, views),
        histories={place: table for place, table in data.histories.items() if place in spaces},
        rebuilt={place: table for place, table in data.rebuilt.items() if place in spaces},
        selections=_among(data.selections, views),
        **{name: _rows_among(getattr(data, name), wanted) for name in STUDY_TABLES if name != "tests"},
        tests=_rows_among(data.tests, _with_others(data, wanted)),
    )


def left_out(spec: Mapping, data: StudyData) -> tuple[str, list[str]] | None:
    """What a figure asks for and the run has nothing of, as a column of tables and the names in it; None where
    something is left to draw.

    Names are checked against the study when the configuration is loaded, so what is missing here was on views that are
    left out: the views themselves, or a representation, clustering or map of theirs, or all stages of networks.
    """
    for column, key in (*_FILTERS.items(), ("clustering", "clustering"), ("map", "map")):
        names = [spec[key]] if isinstance(spec.get(key), str) else list(spec.get(key) or [])
        if names and not _there(spec, data, column) & set(names):
            return column, names
        if column in _FILTERS:
            data = narrowed({_FILTERS[column]: names}, data)
    if spec["kind"] == "score_by_stage" and not network_stages(view for view, _ in data.spaces):
        asked = list(network_stages(spec.get("views") or ["network_stage1"]))  # a filter without any is a mistake
        return ("view", asked) if asked else None
    if spec["kind"] == "outlier_recall" and (data.inspections is None or not len(data.inspections)):
        return "inspection", ["search for outliers"]
    return None


def network_stages(views: Iterable[str]) -> dict[str, tuple[str, int]]:
    """(network, stage) of each view of a network with several stages; the network's own view is the last stage."""
    views = list(dict.fromkeys(views))
    found = {view: match for view in views if (match := _STAGE.fullmatch(view))}
    stages = {view: (match["network"], int(match["stage"])) for view, match in found.items()}
    for network in {network for network, _ in stages.values()} & set(views):
        stages[network] = (network, 1 + max(stage for name, stage in stages.values() if name == network))
    return {view: stages[view] for view in views if view in stages}


def required(spec: Mapping, parameter: str) -> object:
    """The value of a parameter; ConfigError that names figure and key when it is not given."""
    value = spec.get(parameter)
    if value is None or value == []:
        raise ConfigError(f"{spec['kind']} needs the key {parameter!r}", where=spec["name"], found="nothing")
    return value


def named(spec: Mapping, parameter: str, names: Iterable[str]) -> str:
    """The value of a required parameter, which is one of names; ConfigError with the nearest of them otherwise."""
    name, names = str(required(spec, parameter)), list(dict.fromkeys(names))
    if name not in names:
        raise ConfigError(
            f"unknown {parameter}", where=f"{spec['name']}: {parameter}", expected=nearest(name, names),
            found=repr(name),
        )  # fmt: skip
    return name


def column(spec: Mapping, parameter: str, data: StudyData) -> str:
    """The dataset's number column that a required parameter names."""
    return _number_column(spec, parameter, str(required(spec, parameter)), data)


def columns(spec: Mapping, parameter: str, data: StudyData) -> list[str]:
    """The dataset's number columns that a required parameter names."""
    return [_number_column(spec, parameter, name, data) for name in required(spec, parameter)]


def share(spec: Mapping, parameter: str, default: float) -> float:
    """A share above 0 and up to 1."""
    value = float(spec.get(parameter, default))
    if not 0 < value <= 1:
        raise ConfigError(f"bad value for {parameter!r}", where=spec["name"], expected="0 < share <= 1", found=value)
    return value


def clustering_of(spec: Mapping, data: StudyData) -> str:
    """The clustering that a figure names; it may leave it out where the study has only one."""
    names = list(dict.fromkeys(name for space in data.spaces.values() for name in space.clusters))
    name = spec.get("clustering")
    if name is None and len(names) == 1:
        return names[0]
    if name is None:
        raise ConfigError(
            f"{spec['kind']} needs the key 'clustering'",
            where=spec["name"],
            expected=f"one of {names}",
            found="nothing",
        )
    if name not in names:
        raise ConfigError(
            "unknown clustering", where=f"{spec['name']}: clustering", expected=nearest(name, names), found=repr(name)
        )
    return str(name)


def clustered_spaces(data: StudyData, clustering: str) -> list[SpaceKey]:
    """The spaces that have this clustering, in the study's order."""
    return [key for key, space in data.spaces.items() if clustering in space.clusters]


def labels_of(spec: Mapping, data: StudyData, space: SpaceKey, clustering: str) -> pd.Series:
    """Cluster of each entity at the K of the figure, or at the best K where it names none."""
    return data.labels(space, clustering, spec.get("k"))


def finds_k(data: StudyData, clustering: str) -> bool:
    """Whether a clustering finds its number of clusters, so that it is asked for none."""
    return not any(data.swept(space, clustering) for space in clustered_spaces(data, clustering))


def at_k(spec: Mapping, clustering: str, *, found: bool = False) -> str:
    """Clustering and K as a note begins with them; found : the clustering finds its number (`finds_k`)."""
    k = spec.get("k")
    if found:
        return f"{clustering}, which finds its own K"
    return f"{clustering} at {'its best K' if k is None else f'K = {k}'}"


def map_of(spec: Mapping, data: StudyData) -> dict[str, Space]:
    """The map that a figure names, of each view that has it."""
    name = str(required(spec, "map"))
    found = {view: space for (view, map_name), space in data.maps.items() if map_name == name}
    if not found:
        names = {map_name for _, map_name in data.maps}
        raise ConfigError(
            "unknown map", where=f"{spec['name']}: map", expected=nearest(name, names), found=repr(name),
            do="name it under `maps` of the study",
        )  # fmt: skip
    return found


def true_classes(spec: Mapping, data: StudyData) -> dict[str, int]:
    """The true classes with their numbers in the palette; DataError where none is known."""
    classes = class_numbers(data)
    if not classes:
        raise DataError(
            f"a {spec['kind']} needs classes", where=f"study {data.study}, {spec['name']}",
            do="name the column that holds them in evaluation.label of the study",
        )  # fmt: skip
    return classes


def table_of(spec: Mapping, data: StudyData, layer: str) -> pd.DataFrame:
    """A table of the study as a whole; DataError where it is missing or empty."""
    table = getattr(data, layer)
    if table is None or not len(table):
        raise DataError(
            f"no {in_words(layer)} to draw", where=f"study {data.study}, {spec['name']}",
            do=f"give the study's table of layer {layer}, and filters that leave rows of it",
        )  # fmt: skip
    return table


def of_space(table: pd.DataFrame, space: SpaceKey) -> pd.DataFrame:
    """The rows of a long table about one space."""
    return table[(table["view"] == space[0]) & (table["representation"] == space[1])]


def mapped_spaces(spec: Mapping, data: StudyData, spaces: Iterable[SpaceKey]) -> list[SpaceKey]:
    """Spaces for a map; DataError where there is none or one of them has fewer than two components."""
    spaces = list(spaces)
    if not spaces:
        raise DataError("no representation to draw", where=f"study {data.study}, {spec['name']}")
    for key in spaces:
        if "z_1" not in data.spaces[key].scores:
            raise DataError(
                "a map needs two components",
                where=f"study {data.study}, {spec['name']}: {' / '.join(key)}",
                expected="columns z_0 and z_1",
                found="z_0 alone",
                do="raise n_components of the representation",
            )
    return spaces


def sweep_rows(data: StudyData, space: SpaceKey, clustering: str) -> pd.DataFrame:
    """Metrics of a clustering in one space; DataError where there are none."""
    metrics = data.spaces[space].metrics
    rows = metrics[metrics["method"] == clustering] if len(metrics) else metrics
    if not len(rows):
        raise DataError(
            f"no metrics of clustering {clustering!r}", where=" / ".join(space), do="give its metrics table as well"
        )
    return rows


def _there(spec: Mapping, data: StudyData, column: str) -> set[str]:
    """The names in a column of a study's tables; of maps, those of clustered views where a clustering is asked for."""
    clustered = {view for (view, _), space in data.spaces.items() if spec.get("clustering") in space.clusters}
    if column == "view":
        tables = (table for table in (data.sensitivity, data.inspections) if table is not None)
        named = {view for view, _ in (*data.spaces, *data.maps, *data.unmixed)} | set(data.spectra)
        return named | {view for table in tables for view in table["view"]}
    if column == "representation":
        return {representation for _, representation in data.spaces}
    if column == "clustering":
        return {name for space in data.spaces.values() for name in space.clusters}
    if column == "unmixing":
        return {name for _, name in data.unmixed}
    return {name for view, name in data.maps if view in clustered or not spec.get("clustering")}


def _among(things: Mapping, names: list[str] | None) -> dict:
    return {name: thing for name, thing in things.items() if names is None or name in names}


def _rows_among(table: pd.DataFrame | None, wanted: Mapping[str, list[str]]) -> pd.DataFrame | None:
    """Rows about what is wanted; of a table about pairs, those with both sides wanted."""
    if table is None:
        return None
    keep = np.ones(len(table), dtype=bool)
    for column, names in wanted.items():
        for found in {column, f"{column}_a", f"{column}_b"} & set(table.columns):
            keep &= table[found].isin(names).to_numpy()
    return table[keep].reset_index(drop=True)


def _with_others(data: StudyData, wanted: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """What is wanted of the table of tests: also all names in it that are none of a view or representation."""
    found = {}
    for place, column in enumerate(("view", "representation")):
        if column in wanted and data.tests is not None:
            known = {space[place] for space in data.spaces}
            found[column] = [*wanted[column], *(set(data.tests[column]) - known)]
    return found


def _number_column(spec: Mapping, parameter: str, name: str, data: StudyData) -> str:
    numbers = [f.name for f in data.fields.values() if f.dtype in ("float64", "int64") and f.name != data.key]
    if name not in numbers:
        known = name in data.fields
        raise ConfigError(
            f"{name!r} is not a column of numbers" if known else f"unknown column {name!r}",
            where=f"{spec['name']}: {parameter}",
            expected=f"one of {numbers}" if known else nearest(name, numbers),
            found=data.fields[name].dtype if known else repr(name),
        )
    return name
