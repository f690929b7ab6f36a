"""In which families, and for which targets, one input serves better than another."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from matlas.errors import DataError
from matlas.figures.learning.points import handle, offsets, point, row_axis, styles
from matlas.figures.learning.words import (
    ALL,
    INTERVAL,
    METRICS,
    SMALL_IS_GOOD,
    held_out,
    in_units,
    of_head,
    pair_of,
    probed,
)
from matlas.figures.parameters import named, table_of
from matlas.figures.study_data import StudyData, in_words
from matlas.figures.style import INK, MUTED, count, listed, page

HELPS, HURTS, UNDECIDED = "helps", "hurts", "no difference shown"
_EVERY = "all"  # what a table calls the rows of all families together


def family_benefit(spec: Mapping, data: StudyData) -> tuple[Figure, pd.DataFrame]:
    """Difference of the error of `target` between two inputs (`compare`: the first less the second) in each family
    under `split`, with intervals; a row a family, below that of all rows.

    The table: split, target, head, input, against, family (all: all rows together), metric, n, difference, low, high,
    verdict (helps: the first input is better for certain, hurts, or no difference shown).
    """
    rows = of_head(spec, probed(spec, data, "comparisons"))
    first, second = pair_of(spec, rows)
    rows = _judged(_of_pair(spec, data, rows, first, second))
    target, heads = str(spec["target"]), list(dict.fromkeys(rows["head"]))
    families = rows[rows["family"] != _EVERY]
    if not len(families):
        raise DataError(
            "no families to compare in", where=f"study {data.study}, {spec['name']}",
            do="name the column of families in `probing: families`; classes are not compared by family",
        )  # fmt: skip
    order = families[families["head"] == heads[0]].sort_values("difference", kind="stable")["family"]
    names = [_EVERY, *dict.fromkeys([*order, *families["family"]])]
    place = {name: i for i, name in enumerate(names)}
    look, at = styles(heads), dict(zip(heads, offsets(len(heads)), strict=True))
    expected = 0.05 * len(families)
    notes = [
        f"Difference on the same rows, of all folds; line: {INTERVAL}; filled where it excludes 0. Of "
        f"{count(len(families), 'interval')} about {expected:.1f} would do so by chance alone. n: rows of the family. "
        + held_out(data, str(spec["split"]))
    ]
    handles = [handle(in_words(head), *look[head]) for head in heads]
    panel = (7.0, (0.2 + 0.12 * len(heads)) * len(names) + 0.85)
    figure, axes = page(data, _title(families, first, second, target), notes, panel=panel, legend=handles)
    ax = axes[0, 0]
    for row in rows.rename(columns={"difference": "value"}).itertuples():
        shade, shape = look[row.head]
        point(ax, place[row.family] + at[row.head], row, shade, shape, hollow=row.verdict == UNDECIDED)
    ax.axvline(0, color=INK, lw=0.9, zorder=1)
    row_axis(ax, ["all rows" if name == _EVERY else in_words(name) for name in names], strong=[0])
    for name, n in rows.groupby("family")["n"].max().items():
        ax.text(1.01, place[name], f"n = {n:,}", transform=ax.get_yaxis_transform(), va="center", size=8, color=MUTED)
    metric = rows["metric"].iloc[0]
    ends = (first, second) if metric in SMALL_IS_GOOD else (second, first)
    ax.set_xlabel(
        f"{METRICS[metric]}, {in_words(first)} less {in_words(second)} "
        f"{in_units(data, target) if metric == 'mae' else '(dimensionless)'}\n"
        f"← {in_words(ends[0])} better | {in_words(ends[1])} better →"
    )
    ax.margins(x=0.06)
    return figure, rows.sort_values("family", key=lambda f: f.map(place), kind="stable").reset_index(drop=True)


def family_benefit_table(spec: Mapping, data: StudyData) -> pd.DataFrame:
    """Whether the first of two inputs (`compare`) helps, for each target and head under `split`, in each family and in
    all rows together (family all).

    split, target, head, family, metric (mae; roc_auc of classes, which are not compared by family), unit (of the
    target), n, input, against, value_input, value_against, difference, low, high (95 %), verdict (helps, hurts, no
    difference shown). Raises ConfigError for a split or an input that was not compared.
    """
    rows = table_of(spec, data, "comparisons")
    rows = rows[rows["split"] == named(spec, "split", rows["split"])]
    first, second = pair_of(spec, rows)
    table = _judged(_of_pair(spec, data, rows, first, second))
    scores = table_of(spec, data, "probes")
    scores = scores[(scores["split"] == spec["split"]) & (scores["fold"] == ALL)]
    scores = scores.assign(family=scores["group"].replace("", _EVERY))
    at = ["target", "head", "family", "metric"]
    for side, name in (("value_input", first), ("value_against", second)):
        of_input = scores[scores["input"] == name].set_index(at)["value"].rename(side)
        table = table.join(of_input, on=at)
    units = {target: in_units(data, target).strip("()") for target in table["target"].unique()}
    table["unit"] = table["target"].map(units).where(table["metric"] == "mae", "dimensionless")
    return table[
        ["split", *at, "unit", "n", "input", "against", "value_input", "value_against", "difference", "low", "high",
         "verdict"]
    ]  # fmt: skip


def _of_pair(spec: Mapping, data: StudyData, rows: pd.DataFrame, first: str, second: str) -> pd.DataFrame:
    """Comparisons of the first input with the second; turned round where they were made the other way."""
    pair = rows[(rows["input"] == first) & (rows["against"] == second)]
    if not len(pair):
        other = rows[(rows["input"] == second) & (rows["against"] == first)]
        pair = other.assign(input=first, against=second, value=-other["value"], low=-other["high"], high=-other["low"])
    if not len(pair):
        compared = [f"{a} and {b}" for a, b in dict.fromkeys(zip(rows["input"], rows["against"], strict=True))]
        raise DataError(
            "two inputs were not compared", where=f"study {data.study}, {spec['name']}: {first} and {second}",
            expected=f"one of {listed(compared)}", do="name the pair in `probing: compare`",
        )  # fmt: skip
    return pair


def _judged(rows: pd.DataFrame) -> pd.DataFrame:
    """With the family, the difference and a verdict; one metric a target, that of comparisons."""
    sign = rows["metric"].map(lambda metric: 1 if metric in SMALL_IS_GOOD else -1)
    low, high = rows[["low", "high"]].min(axis=1), rows[["low", "high"]].max(axis=1)
    below, above = (sign * rows["value"] < 0), (sign * rows["value"] > 0)
    certain = (low > 0) | (high < 0)
    verdict = pd.Series(UNDECIDED, index=rows.index, dtype=object)
    verdict = verdict.mask(certain & below, HELPS).mask(certain & above, HURTS)
    rows = rows.assign(family=rows["group"].replace("", _EVERY), verdict=verdict)
    rows = rows.rename(columns={"value": "difference"})
    return rows[["split", "target", "head", "input", "against", "family", "metric", "n", "difference", "low", "high",
                 "verdict"]].reset_index(drop=True)  # fmt: skip


def _title(families: pd.DataFrame, first: str, second: str, target: str) -> str:
    """In how many families the first input is better or worse with each head."""
    said = []
    for head, rows in families.groupby("head", sort=False):
        counts = rows["verdict"].value_counts()
        by = f" by {in_words(head)}" if families["head"].nunique() > 1 else ""
        said.append(f"in {counts.get(HELPS, 0)} better and in {counts.get(HURTS, 0)} worse{by}")
    return (
        f"{in_words(target)[0].upper() + in_words(target)[1:]} from {in_words(first)}, against {in_words(second)}: of "
        f"{count(families['family'].nunique(), 'family').replace('familys', 'families')} {listed(said)}"
    )
