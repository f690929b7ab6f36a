"""The codes of networks on their first two principal components, coloured by a column of the dataset."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from matlas.errors import DataError
from matlas.figures.classes import class_handles, class_numbers
from matlas.figures.learning.words import held_out
from matlas.figures.maps import scatter, scatter_values
from matlas.figures.parameters import named
from matlas.figures.study_data import NOISE, SpaceKey, StudyData, in_words
from matlas.figures.style import axis_label, count, listed, number, page, property_name
from matlas.orientation import signs_of

MOST_CLASSES = 12  # that colours tell apart; the rarer ones are grey
TEST = "test"
_QUANTILE = 0.99  # at which the colours of numbers end


def latent_map(spec: Mapping, data: StudyData) -> tuple[Figure, pd.DataFrame]:
    """Test rows on the first two principal components of the code of each network, coloured by `property`: a class each
    (text and flags) or a scale (numbers); a panel a network. All rows, where the split of a network is not known.

    The table: view, representation, the key, component_1, component_2 (of the rows shown, centred), property, value.
    """
    name = named(spec, "property", [f for f in data.fields if f != data.key])
    spaces = [space for space in data.spaces if space in data.histories]
    if not spaces:
        raise DataError(
            "no network to draw", where=f"study {data.study}, {spec['name']}",
            do="name an autoencoder under `representations` of the study, and filters that leave one",
        )  # fmt: skip
    rows = {space: _rows(data, space) for space in spaces}
    numeric = data.fields[name].dtype in ("float64", "int64")
    values = data.entities[name] if numeric else _as_text(data.entities[name])
    if values.isna().all():
        raise DataError(f"property {name!r} has no values", where=f"study {data.study}, {spec['name']}")
    shares, tables = {}, {}
    for space in spaces:
        places, shares[space] = principal_components(_codes(data, space, rows[space]))
        tables[space] = pd.DataFrame(
            {
                "view": space[0], "representation": space[1],
                data.key: data.entities.loc[rows[space], data.key], "component_1": places[:, 0],
                "component_2": places[:, 1], "property": name, "value": values[rows[space]],
            }, index=rows[space],
        )  # fmt: skip
    classes = {} if numeric else _classes(data, name, pd.concat([table["value"] for table in tables.values()]))
    words = property_name(data, name)
    notes = [
        _which_rows(data, rows) + " Two components of a code are a view of it, not evidence for groups.",
        _what_is_grey(tables, classes, numeric, words),
    ]
    title = f"{words[0].upper() + words[1:]} in the codes of {listed(in_words(r) for _, r in spaces)}"
    panel = (4.6, 4.0) if len(spaces) > 1 else (5.6, 4.6)
    figure, axes = page(data, title, notes, columns=len(spaces), across=2, panel=panel, legend=class_handles(classes))
    scale = _scale(pd.concat([table["value"] for table in tables.values()])) if numeric else None
    for ax, (space, table) in zip(axes[0], tables.items(), strict=True):
        x, y = table["component_1"], table["component_2"]
        if numeric:
            points = scatter_values(ax, x, y, table["value"].astype(float), scale)
        else:
            scatter(ax, x, y, table["value"].map(classes).fillna(NOISE).astype(int))
        ax.set_title(data.space_name(space))
        for i, label in enumerate((ax.set_xlabel, ax.set_ylabel)):
            label(f"Component {i + 1} of the code ({100 * shares[space][i]:.0f} % of its variance)")
    if numeric:
        bar = figure.colorbar(
            points, ax=list(axes[0]), extend="both", label=axis_label(data, name), pad=0.02, aspect=30
        )
        bar.solids.set_alpha(1)
        bar.set_ticks(ticks := [t for t in bar.get_ticks() if scale.vmin <= t <= scale.vmax],
                      labels=[number(t) for t in ticks])  # fmt: skip
    return figure, pd.concat(tables.values(), ignore_index=True)


def principal_components(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places (n, 2) of codes (n, d) on their first two principal components, and the shares (2,) of the variance; 0 for
    a second one that a code of one dimension lacks. The largest weight of each component is positive."""
    centred = codes - codes.mean(axis=0)
    _, singular, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes[:2] * signs_of(axes[:2])[:, None]
    places, shares = np.zeros((len(codes), 2)), np.zeros(2)
    places[:, : len(axes)] = centred @ axes.T
    total = (singular**2).sum()
    shares[: len(axes)] = (singular[:2] ** 2) / total if total > 0 else 0
    return places, shares


def _codes(data: StudyData, space: SpaceKey, rows: pd.Index) -> np.ndarray:
    return data.spaces[space].scores.loc[rows].filter(regex=r"^z_\d+$").to_numpy(dtype=float)


def _rows(data: StudyData, space: SpaceKey) -> pd.Index:
    """Positions of the test rows of the split that the network was trained on, or of all."""
    scores, parts = data.spaces[space].scores, data.parts.get(data.definitions.trained_on.get(space[1], ""))
    if parts is None:
        return scores.index
    return scores.index[scores[data.key].isin(parts.loc[parts["part"] == TEST, data.key])]


def _as_text(values: pd.Series) -> pd.Series:
    """Classes as text; flags as yes and no."""
    if pd.api.types.is_bool_dtype(values):
        return values.map({True: "yes", False: "no"})
    return values.astype(object)


def _classes(data: StudyData, name: str, values: pd.Series) -> dict[str, int]:
    """Number of each class in the palette, the most common ones where there are too many; those of the study's classes
    as in every figure."""
    counts = values.value_counts().sort_index().sort_values(ascending=False, kind="stable")
    shown = sorted(counts.index[:MOST_CLASSES])
    if name == data.label and len(every := class_numbers(data)) <= MOST_CLASSES:
        return {label: every[label] for label in shown}
    return {label: place for place, label in enumerate(shown)}


def _scale(values: pd.Series) -> Normalize:
    """From quantile to quantile, so that a few extremes don't take all colours."""
    low, high = values.quantile(1 - _QUANTILE), values.quantile(_QUANTILE)
    return Normalize(low, high) if high > low else Normalize(low - 0.5, low + 0.5)


def _which_rows(data: StudyData, rows: Mapping[SpaceKey, pd.Index]) -> str:
    splits = {space: data.definitions.trained_on.get(space[1]) for space in rows}
    said: dict[str, list[str]] = {}
    for space, shown in rows.items():
        what = "test rows" if splits[space] in data.parts else "all rows that the view describes, trained on or not"
        said.setdefault(f"{what}, {len(shown):,} of {count(len(data.entities), 'row')}", []).append(space[1])
    shown = "; ".join(f"{what}, of {listed(map(in_words, names))}" for what, names in said.items())
    known = dict.fromkeys(split for split in splits.values() if split in data.parts)
    return " ".join([f"Shown: {shown}.", *(held_out(data, split) for split in known)])


def _what_is_grey(tables: Mapping, classes: Mapping[str, int], numeric: bool, words: str) -> str:
    values = pd.concat([table["value"] for table in tables.values()])
    empty, rare = bool(values.isna().any()), 0 if numeric else values.nunique() - len(classes)
    said = [f"no {words}"] if empty else []
    said += [f"one of the {rare:,} rarer classes"] if rare else []
    ends = f"Colours end at the {100 * (1 - _QUANTILE):.0f} and {100 * _QUANTILE:.0f} % quantiles. " if numeric else ""
    return ends + (f"Grey: {' or '.join(said)}." if said else "")
