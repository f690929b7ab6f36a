"""What the page says of spectra that were taken apart: endmembers, shares, and what phases consist of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from matlas.report.formats import MISSING, number, score, words
from matlas.report.tables import Part
from matlas.report.topics import TO, Folded, Topic, listed, missing

if TYPE_CHECKING:
    from matlas.store import Store

_ALL = "all"
_OVER_NOISE = {
    "best_k": "K with the largest silhouette", "accuracy": "Share of pixels in the right cluster",
    "abundance_rmse": "RMSE of shares", "spectral_angle": "Spectral angle (°)",
}  # fmt: skip


def unmixing_topics(store: Store, study: str, spec: Mapping, structure: Mapping) -> list[Topic]:
    """The topics of a study whose spectra are unmixed, in their order; none for others. Raises DataError where results
    are missing."""
    made = [_number(store, structure), _unmixings(store, study, structure), _composition(store, study, spec)]
    return [topic for topic in made if topic is not None]


def _number(store: Store, structure: Mapping) -> Topic | None:
    if not structure.get("counted"):
        return None
    rows = store.sql(
        f"SELECT * FROM endmember_counts WHERE dataset = '{structure['dataset']}' ORDER BY view, endmembers"
    )
    said, parts = [], []
    for view, count in structure["counted"]:
        tried = rows[(rows["view"] == view) & (rows["endmember_count"] == count)]
        accepted = tried.loc[tried["accepted"], "endmembers"]
        found = f"the counts support {accepted.iloc[0]}" if len(accepted) else f"none up to {len(tried)} is enough"
        said.append(
            f"{words(view)}: {found}. A number is enough where counting noise explains what it leaves: the next "
            "singular value of the counts is no larger than in counts drawn from the model."
        )
        body = [[number(r.endmembers), number(r.singular_value), number(r.noise_up_to), "yes" if r.accepted else "no"]
                for r in tried.itertuples()]  # fmt: skip
        parts.append(Part(words(view), ["#Endmembers", "#Next singular value", "#Noise reaches", "Enough"], body))
    return Topic("How many endmembers?", said, parts=parts)


def _unmixings(store: Store, study: str, structure: Mapping) -> Topic | None:
    unmixed = structure.get("unmixed") or ()
    if not unmixed:
        return None
    rows = store.sql(f"SELECT * FROM unmixings WHERE dataset = '{structure['dataset']}'")
    overall = rows[rows["endmember"] == _ALL]
    judged = bool((overall["metric"] == "abundance_rmse").any())
    known = bool((rows["metric"] == "spectral_angle").any())
    headers = ["View", "Unmixing", "#Seeds", "#Relative error", "#Other seeds differ by"]
    headers += ["#RMSE of shares", "#Right in the largest"] if judged else []
    headers += ["#Spectral angle (°)"] if known else []
    body, by_endmember = [], []
    for view, unmixing in unmixed:
        here = overall[(overall["view"] == view) & (overall["unmixing"] == unmixing)]
        if here.empty:
            raise missing("scores of an unmixing are", study, f"{view}/{unmixing}")
        seeds = here.loc[here["metric"] == "relative_error", "seed"]
        cells = [view, unmixing, number(len(seeds)), _range(here, "relative_error"),
                 _range(here, "rmse_to_reference")]  # fmt: skip
        cells += [_range(here, "abundance_rmse"), _range(here, "accuracy")] if judged else []
        cells += [_range(here, "spectral_angle", number)] if known else []
        body.append(cells)
        by_endmember += _of_endmembers(rows, view, unmixing)
    said = [
        "Spectra as shares of a few endmembers. Relative error: what the mixture leaves of the spectra, in their "
        "norm; a smaller one is no sign of better shares. Ranges are over seeds."
    ]
    if missed := _not_found(store, structure, rows):
        said.append(f"No endmember comes within 30° of what was expected: {'; '.join(missed)}.")
    if judged:
        constant = overall.loc[overall["metric"] == "abundance_rmse_constant", "value"].iloc[0]
        said.append(f"No method but the one with given endmembers has seen the true shares. Equal shares in all pixels "
                    f"have an RMSE of {score(constant)}: what is not below that has found nothing.")  # fmt: skip
    part = Part("Each unmixing of each view", headers, body)
    headers = ["View", "Unmixing", "Endmember", "#RMSE of its share", "#Spectral angle (°)", "#Other seeds' angle (°)"]
    folded = (
        [Folded("Each endmember by itself", [Part("Errors by endmember", headers, by_endmember)])]
        if by_endmember
        else []
    )
    return Topic("Unmixing", said, parts=[part], folded=folded)


def _not_found(store: Store, structure: Mapping, rows: pd.DataFrame) -> list[str]:
    """The materials with a reference spectrum that no endmember of an unmixing stands for."""
    missed, dataset = [], structure["dataset"]
    there = set(store.sql("SELECT name FROM registry.tables WHERE layer = 'references'")["name"])
    for view, unmixing in structure["unmixed"]:
        if f"references.{dataset}__{view}" in there:
            known = store.sql(f'SELECT DISTINCT material FROM "references"."{dataset}__{view}" ORDER BY ALL')[
                "material"
            ]
            here = rows[(rows["view"] == view) & (rows["unmixing"] == unmixing) & (rows["metric"] == "spectral_angle")]
            lacking = [material for material in known if material not in set(here["endmember"])]
            if lacking and len(here):
                missed.append(f"{listed(lacking)} ({view}, {unmixing})")
    return missed


def _of_endmembers(rows: pd.DataFrame, view: str, unmixing: str) -> list[list[str]]:
    here = rows[(rows["view"] == view) & (rows["unmixing"] == unmixing) & (rows["endmember"] != _ALL)]
    return [
        [view, unmixing, endmember, _range(own, "abundance_rmse"), _range(own, "spectral_angle", number),
         _range(own, "angle_to_reference", number)]
        for endmember, own in here.groupby("endmember", sort=False)
    ]  # fmt: skip


def _composition(store: Store, study: str, spec: Mapping) -> Topic | None:
    asked = spec.get("quantification")
    if not asked:
        return None
    rows = store.sql(f"SELECT * FROM quantities WHERE study = '{study}'")
    if rows.empty:
        raise missing("quantities are", study, "quantification")
    pixels = rows.groupby("phase", sort=False)["pixels"].first()
    few = [p for p in pixels.index if not (rows.loc[rows["phase"] == p, "subject"] != _ALL).any()]
    said = [f"All lines fitted at once to the summed counts of the pixels in which a phase has at least "
            f"{number(asked['least_share'])} of the spectrum ({listed([f'{p}: {n:,}' for p, n in pixels.items()])}). "
            "Errors are those of counting; computed sensitivities add about 10 % for ratios of K lines, 20 % where an "
            "L line takes part, and a factor of 2 for M lines."]  # fmt: skip
    if few:
        said.append(f"Not quantified, for want of pixels: {listed(few)}.")
    ratios = rows[rows["quantity"] == "ratio"]
    parts = []
    if len(ratios):
        body = [[r.phase, r.subject, f"{number(r.value)} ± {number(r.standard_error)}" if r.detected
                 else "not detected", number(r.stated)]
                for r in ratios.itertuples()]  # fmt: skip
        parts.append(Part("Ratios of atoms", ["Phase", "Ratio", "#Measured", "#Formula"], body))
    return Topic("What the phases consist of", said, parts=[*parts, _in_ppm(rows)])


def _in_ppm(rows: pd.DataFrame) -> Part:
    """Elements by phase, ppm by mass of the elements that were fitted."""
    ppm = rows[rows["quantity"] == "mass_ppm"]
    phases = list(dict.fromkeys(ppm["phase"]))
    body = []
    for element, found in ppm.groupby("subject", sort=False):
        by_phase = found.set_index("phase")
        body.append(
            [element, *(_amount(by_phase.loc[phase]) if phase in by_phase.index else MISSING for phase in phases)]
        )
    heading = "Elements in ppm by mass of those that are fitted; a phase's formula or planted value in brackets"
    return Part(heading, ["Element", *(f"#{phase}" for phase in phases)], body)


def _amount(row: pd.Series) -> str:
    stated = "" if pd.isna(row["stated"]) else f" ({row['stated']:,.0f})"
    if not row["detected"]:
        return f"not detected, limit {row['detection_limit']:,.0f}{stated}"
    return f"{row['value']:,.0f} ± {row['standard_error']:,.0f}{stated}"


def _range(rows: pd.DataFrame, metric: str, shown=score) -> str:
    """The median over seeds, with the smallest and the largest where they differ as shown."""
    values = rows.loc[rows["metric"] == metric, "value"].dropna()
    if values.empty:
        return MISSING
    low, middle, high = (shown(v) for v in (values.min(), values.median(), values.max()))
    return middle if low == high else f"{middle} ({low}{TO}{high})"


def noise_topic(rows: pd.DataFrame, asked: Mapping, probing: Mapping) -> Topic:
    """What was found of the simulation made again at other doses and contrasts."""
    groups: Sequence[str] = list(dict.fromkeys(rows["group"]))
    parts = []
    for metric, named in _OVER_NOISE.items():
        found = rows[rows["metric"] == metric]
        if found.empty:
            continue
        body = []
        for place, own in found.groupby(["view", "representation", "case", "group"], sort=False):
            cells = [_range(own[own["x"] == dose], metric, number if metric in ("best_k", "spectral_angle") else score)
                     for dose in sorted(found["x"].unique())]  # fmt: skip
            body.append([" · ".join(words(part) for part in place[:3] if part), place[3] or "as it is", *cells])
        doses = [f"#{number(dose)}" for dose in sorted(found["x"].unique())]
        parts.append(Part(named, ["Method", "Contrast", *doses], body))
    seeds = rows["seed"].nunique()
    varied = "(columns) and contrasts" if any(groups) else "(columns)"
    said = [
        f"The simulation made again at other counts of a mean pixel {varied}, {seeds} times each: medians, smallest "
        "and largest."
    ]
    return Topic("How it depends on the noise", said, parts=parts)


def pixel_fit_topic(rows: pd.DataFrame, asked: Mapping, probing: Mapping) -> Topic:
    """Clusters beside the fit of each pixel."""
    names = {"pixel_fit": "fit of each pixel", "batched_fit": "the same fit, all pixels together"}
    phases = [group for group in dict.fromkeys(rows["group"]) if group != _ALL]
    body = []
    for (case, view, representation), own in rows.groupby(["case", "view", "representation"], sort=False):
        of_all = own[own["group"] == _ALL]
        name = names.get(case, f"{words(case)}, K = {asked['k']}: {words(view)}, {words(representation)}")
        cells = [_range(of_all, "seconds", number), _range(of_all, "accuracy"), _range(of_all, "ari")]
        for phase in phases:
            here = own[own["group"] == phase]
            cells.append(f"{_range(here, 'precision')} / {_range(here, 'recall')}")
        body.append([name, *cells])
    headers = ["Method", "#Seconds", "#Right", "#ARI", *(f"#{p}: precision / recall" for p in phases)]
    said = [
        "A plasmon fitted to each pixel (bounded least squares, analytic Jacobian, weights by counting noise, start "
        "values from the pixel itself), labelled by the nearest of the phases' plasmons in standard errors of the "
        "fit. Clusters stand for phases by the best one-to-one matching with the truth, which flatters them. Timed "
        f"by turns in one job, {asked['repeats']} times."
    ]
    return Topic("Clusters beside the fit of each pixel", said, parts=[Part("Accuracy and time", headers, body)])
