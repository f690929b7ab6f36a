"""The kinds of figures and tables by name, and their files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd

from matlas.errors import ConfigError
from matlas.figures.agreement import agreement
from matlas.figures.maps import cluster_map, property_map
from matlas.figures.parameters import nearest
from matlas.figures.properties import property_boxes, property_trend
from matlas.figures.ranking import cluster_ranking
from matlas.figures.study_data import StudyData
from matlas.figures.style import look, save
from matlas.figures.sweeps import cluster_sweep, seed_spread
from matlas.files import atomic_path

FIGURES: dict[str, Callable] = {
    "cluster_sweep": cluster_sweep,
    "cluster_map": cluster_map,
    "property_map": property_map,
    "property_trend": property_trend,
    "property_boxes": property_boxes,
    "agreement": agreement,
    "seed_spread": seed_spread,
}
TABLES: dict[str, Callable] = {"cluster_ranking": cluster_ranking}


def draw(spec: Mapping, data: StudyData, svg: Path, csv: Path) -> None:
    """Draw one figure of a study: a self-contained SVG, and the CSV of what it shows.

    spec : name, kind and the parameters of the kind (schemas.config.Figure). Equal data give equal bytes. Raises
    ConfigError for an unknown kind, a parameter that the kind needs and does not get, or an unknown column.
    """
    function = _kind(spec, FIGURES, "figure")
    with look(f"{data.study}/{spec['name']}"):
        figure, table = function(spec, data)
        with atomic_path(svg) as temporary:
            save(figure, temporary, f"{data.title}: {spec['name']}")
    _write_csv(table, data, csv)


def tabulate(spec: Mapping, data: StudyData, csv: Path) -> None:
    """Write one table of a study as CSV; spec as in schemas.config.StudyTable, errors as in `draw`."""
    _write_csv(_kind(spec, TABLES, "table")(spec, data), data, csv)


def _kind(spec: Mapping, kinds: Mapping[str, Callable], what: str) -> Callable:
    kind, where = spec.get("kind"), spec.get("name", f"a {what} without a name")
    if kind not in kinds:
        raise ConfigError(f"unknown kind of {what}", where=where, expected=nearest(kind, kinds), found=repr(kind))
    return kinds[kind]


def _write_csv(table: pd.DataFrame, data: StudyData, csv: Path) -> None:
    """Full precision; a table that leaves the results folder must still say that its numbers were generated."""
    if data.simulated:
        table = table.assign(sample_data="generated, not measured")
    with atomic_path(csv) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
