"""The kinds of figures and tables by name, and their files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from matlas.errors import ConfigError, nearest
from matlas.figures.agreement import agreement
from matlas.figures.contingency import contingency
from matlas.figures.effects import condition_effects, sensitivity
from matlas.figures.learning.audits import failure_modes
from matlas.figures.learning.benefit import family_benefit, family_benefit_table
from matlas.figures.learning.curves import learning_curves
from matlas.figures.learning.latent import latent_map
from matlas.figures.learning.probes import probe_leaderboard, split_comparison
from matlas.figures.learning.spaces import manifold_holes, neighbourhoods
from matlas.figures.learning.training import reconstruction_parity, training_curves
from matlas.figures.learning.trust import coverage
from matlas.figures.learning.widths import width_sweep
from matlas.figures.maps import cluster_map, label_map, property_map
from matlas.figures.parameters import left_out, narrowed
from matlas.figures.phases import phase_map, soft_map
from matlas.figures.properties import property_boxes, property_trend
from matlas.figures.quantities import noise_sweep, pixel_fit, quantities
from matlas.figures.ranking import cluster_ranking
from matlas.figures.recall import outlier_recall
from matlas.figures.scores import score_by_stage, score_summary
from matlas.figures.sheets import exemplars, image_examples, outliers
from matlas.figures.spectra import centroid_spectra, cube_overview
from matlas.figures.study_data import StudyData
from matlas.figures.style import GENERATED, listed, look, page, save
from matlas.figures.sweeps import cluster_sweep, seed_spread
from matlas.figures.unmixing import abundance_maps, endmember_count, endmembers, residual_maps, unmixing_scores
from matlas.files import atomic_path

FIGURES: dict[str, Callable] = {
    "cluster_sweep": cluster_sweep,
    "cluster_map": cluster_map,
    "label_map": label_map,
    "property_map": property_map,
    "property_trend": property_trend,
    "property_boxes": property_boxes,
    "agreement": agreement,
    "seed_spread": seed_spread,
    "score_summary": score_summary,
    "contingency": contingency,
    "score_by_stage": score_by_stage,
    "condition_effects": condition_effects,
    "sensitivity": sensitivity,
    "outlier_recall": outlier_recall,
    "image_examples": image_examples,
    "exemplars": exemplars,
    "cube_overview": cube_overview,
    "centroid_spectra": centroid_spectra,
    "phase_map": phase_map,
    "soft_map": soft_map,
    "abundance_maps": abundance_maps,
    "endmembers": endmembers,
    "residual_maps": residual_maps,
    "unmixing_scores": unmixing_scores,
    "endmember_count": endmember_count,
    "quantities": quantities,
    "noise_sweep": noise_sweep,
    "pixel_fit": pixel_fit,
    "outliers": outliers,
    "training_curves": training_curves,
    "reconstruction_parity": reconstruction_parity,
    "width_sweep": width_sweep,
    "manifold_holes": manifold_holes,
    "latent_map": latent_map,
    "probe_leaderboard": probe_leaderboard,
    "family_benefit": family_benefit,
    "split_comparison": split_comparison,
    "neighbourhoods": neighbourhoods,
    "coverage": coverage,
    "learning_curves": learning_curves,
    "failure_modes": failure_modes,
}
TABLES: dict[str, Callable] = {"cluster_ranking": cluster_ranking, "family_benefit": family_benefit_table}


def draw(spec: Mapping, data: StudyData, svg: Path, csv: Path) -> None:
    """Draw one figure of a study: a self-contained SVG, and the CSV of what it shows.

    spec : name, kind and the parameters of the kind (schemas.config.studies.Figure). Equal data give equal bytes. A
    figure for which nothing is there, because the source of the weights is left out, is a page that says so.
    Raises ConfigError for an unknown kind, a parameter that the kind needs and does not get, or an unknown column.
    """
    function = _kind(spec, FIGURES, "figure")
    with look(f"{data.study}/{spec['name']}"):
        figure, table = _drawn(function, spec, data)
        with atomic_path(svg) as temporary:
            save(figure, temporary, f"{data.title}: {spec['name']}")
    _write_csv(table, data, csv)


def tabulate(spec: Mapping, data: StudyData, csv: Path) -> None:
    """Write one table of a study as CSV; spec as in schemas.config.studies.StudyTable, errors as in `draw`. Of what is
    left out it holds the names."""
    function, missing = _kind(spec, TABLES, "table"), left_out(spec, data)
    _write_csv(_missing_table(*missing) if missing else function(spec, narrowed(spec, data)), data, csv)


def _drawn(function: Callable, spec: Mapping, data: StudyData) -> tuple[Figure, pd.DataFrame]:
    if missing := left_out(spec, data):
        return _not_drawn(*missing, data)
    data = narrowed(spec, data)
    figure, table = function(spec, data)
    views = {view for column in ("view", "view_a", "view_b") if column in table for view in table[column]}
    shown = {view: said for view, said in data.restrictions.items() if view in views}
    if shown != data.restrictions:  # which views a figure shows is known once it is drawn; its foot speaks of no others
        figure, table = function(spec, replace(data, restrictions=shown))
    return figure, table


def _not_drawn(column: str, names: list[str], data: StudyData) -> tuple[Figure, pd.DataFrame]:
    what = listed(names) if column == "view" else f"{column} {listed(names)} on the views of this figure"
    notes = [f"This run has no {what}: the source of the weights is left out."]
    figure, axes = page(replace(data, restrictions={}), "Not drawn: the views are left out", notes, panel=(6.4, 0.3))
    axes[0, 0].set_axis_off()
    return figure, _missing_table(column, names)


def _missing_table(column: str, names: list[str]) -> pd.DataFrame:
    return pd.DataFrame({column: names, "drawn": False})


def _kind(spec: Mapping, kinds: Mapping[str, Callable], what: str) -> Callable:
    kind, where = spec.get("kind"), spec.get("name", f"a {what} without a name")
    if kind not in kinds:
        raise ConfigError(f"unknown kind of {what}", where=where, expected=nearest(kind, kinds), found=repr(kind))
    return kinds[kind]


def _write_csv(table: pd.DataFrame, data: StudyData, csv: Path) -> None:
    """Full precision; a table that leaves the results folder must still say that its numbers were generated, and
    under which terms the weights behind a view may be used."""
    if data.restrictions and "view" in table:
        table = table.assign(weights=table["view"].map(data.restrictions).fillna(""))
    if data.simulated:
        table = table.assign(**{data.mark.lower().replace(" ", "_"): GENERATED})
    with atomic_path(csv) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
