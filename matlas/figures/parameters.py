"""What a figure or table of a study asks for, checked against the data it is drawn from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd

from matlas.errors import ConfigError, DataError, nearest
from matlas.figures.study_data import SpaceKey, StudyData


def required(spec: Mapping, parameter: str) -> object:
    """The value of a parameter; ConfigError that names figure and key when it is not given."""
    value = spec.get(parameter)
    if value is None or value == []:
        raise ConfigError(f"{spec['kind']} needs the key {parameter!r}", where=spec["name"], found="nothing")
    return value


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
