"""How well properties are read from each input, by which head, and under which split."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from matlas.errors import DataError
from matlas.figures.learning.points import DASHED, DOTTED, handle, offsets, point, reference, row_axis, styles
from matlas.figures.learning.words import (
    ALL,
    INTERVAL,
    MEAN,
    METRICS,
    SMALL_IS_GOOD,
    held_out,
    in_units,
    is_control,
    is_shuffled,
    judged_by,
    metric_axis,
    of_head,
    probed,
)
from matlas.figures.parameters import required
from matlas.figures.study_data import StudyData, in_words
from matlas.figures.style import INK, count, listed, number, page

_COLUMNS = ["split", "target", "input", "head", "metric", "value", "low", "high", "n"]


def probe_leaderboard(spec: Mapping, data: StudyData) -> tuple[Figure, pd.DataFrame]:
    """How well `target` is read under `split` from each input by each head (or one), with intervals, beside the mean of
    the training rows and heads that learned from shuffled targets; a panel a metric.

    The table: split, target, input, head (mean and … (shuffled) are controls), metric, value, low, high, n, rows_used;
    the best input first.
    """
    rows = of_head(spec, probed(spec, data, "probes"))
    split, target = str(spec["split"]), str(spec["target"])
    metrics = judged_by(rows)
    rows = rows[(rows["fold"] == ALL) & (rows["group"] == "") & rows["metric"].isin(metrics)]
    heads = [head for head in dict.fromkeys(rows["head"]) if not is_control(head)]
    compared = rows[rows["head"].isin(heads)]
    inputs = _ranked(compared, metrics[0])
    place = {name: i for i, name in enumerate(inputs)}
    table = rows.assign(_place=rows["input"].map(place)).sort_values("_place", kind="stable")
    table = table[[*_COLUMNS, "rows_used"]]
    look, at = styles(heads), dict(zip(heads, offsets(len(heads)), strict=True))
    handles = [handle(in_words(head), *look[head]) for head in heads]
    handles += [reference("mean of the training rows"), reference("best of all on shuffled targets", DOTTED)]
    n = int(compared["n"].max())
    notes = [
        f"{count(n, 'tested row')} that no head, encoder or choice of columns has seen; point: all folds together; "
        f"line: {INTERVAL}. {held_out(data, split)}",
        _from_fewer_rows(rows, heads),
        _description(data, target),
    ]
    panel = (7.4 if len(metrics) == 1 else 4.3, (0.22 + 0.13 * len(heads)) * len(inputs) + 0.8)
    figure, axes = page(
        data, _leader(data, compared, metrics[0], target), notes, columns=len(metrics), panel=panel, sharey=True,
        legend=handles,
    )  # fmt: skip
    for ax, metric in zip(axes[0], metrics, strict=True):
        here = rows[rows["metric"] == metric]
        for row in here[here["head"].isin(heads)].itertuples():
            point(ax, place[row.input] + at[row.head], row, *look[row.head])
        for value in here.loc[here["head"] == MEAN, "value"]:
            ax.axvline(value, color=INK, lw=0.9, ls=DASHED, zorder=1)
        shuffled = here.loc[here["head"].map(is_shuffled), "value"]
        if len(shuffled):
            best = shuffled.min() if metric in SMALL_IS_GOOD else shuffled.max()
            ax.axvline(best, color=INK, lw=1.1, ls=DOTTED, zorder=1)
        row_axis(ax, [in_words(name) for name in inputs])
        ax.set_xlabel(f"{metric_axis(data, metric, target)}\n{_better(metric)}")
    return figure, table.reset_index(drop=True)


def split_comparison(spec: Mapping, data: StudyData) -> tuple[Figure, pd.DataFrame]:
    """How well `head` reads `target` from the same inputs under every split, with intervals; a row a split.

    Inputs that were not tried under each of them are left out. The table: split, target, input, head, metric, value,
    low, high, n; the mean of the training rows (input none) is there for each split.
    """
    required(spec, "head")
    rows = of_head(spec, probed(spec, data, "probes", split=False))
    target, head = str(spec["target"]), str(spec["head"])
    metric = judged_by(rows)[-1]  # of extremes as of all others the error
    rows = rows[(rows["fold"] == ALL) & (rows["group"] == "") & (rows["metric"] == metric)]
    compared = rows[rows["head"] == head]
    splits = list(dict.fromkeys(compared["split"]))
    everywhere = compared.groupby("input", sort=False)["split"].nunique()
    inputs, partly = (list(everywhere.index[where]) for where in (everywhere == len(splits), everywhere < len(splits)))
    if not inputs:
        raise DataError(
            "no input was tried under every split", where=f"study {data.study}, {spec['name']}: {target}, {head}",
            expected=f"an input under all of {splits}", do="name it in all trials of the probing",
        )  # fmt: skip
    compared, means = compared[compared["input"].isin(inputs)], rows[rows["head"] == MEAN]
    look, at = styles(inputs), dict(zip(inputs, offsets(len(inputs)), strict=True))
    handles = [handle(in_words(name), *look[name]) for name in inputs] + [reference("mean of the training rows")]
    notes = [
        f"Head: {in_words(head)}; point: all folds together; line: {INTERVAL}."
        + (f" Not under every split, so not shown: {listed(map(in_words, partly))}." if partly else "")
        + " Splits test other rows, so that their errors differ also where nothing is harder: compare with the mean.",
        *(held_out(data, split) for split in splits),
    ]
    panel = (7.4, (0.3 + 0.12 * len(inputs)) * len(splits) + 0.8)
    figure, axes = page(data, _spread(data, compared, metric, target), notes, panel=panel, legend=handles)
    ax = axes[0, 0]
    for y, split in enumerate(splits):
        for row in compared[compared["split"] == split].itertuples():
            point(ax, y + at[row.input], row, *look[row.input])
        for value in means.loc[means["split"] == split, "value"]:
            ax.plot([value, value], [y - 0.42, y + 0.42], color=INK, lw=1.1, ls=DASHED)
    sizes = compared.groupby("split", sort=False)["n"].max()
    row_axis(ax, [f"{in_words(split)}\n({sizes[split]:,} rows)" for split in splits])
    ax.set_xlabel(f"{metric_axis(data, metric, target)}\n{_better(metric)}")
    return figure, pd.concat([compared, means[means["split"].isin(splits)]], ignore_index=True)[_COLUMNS]


def _ranked(compared: pd.DataFrame, metric: str) -> list[str]:
    """Inputs from the one that any head reads best."""
    rows = compared[compared["metric"] == metric].groupby("input", sort=False)["value"]
    best = rows.min() if metric in SMALL_IS_GOOD else -rows.max()
    return list(best.sort_values(kind="stable").index)


def _from_fewer_rows(rows: pd.DataFrame, heads: list[str]) -> str:
    """Which heads learned from a part of the training rows, all of which the mean uses."""
    used = rows.groupby("head")["rows_used"].max()
    fewer = [f"{in_words(head)} used {used[head]:,}" for head in heads if used[head] < used.max()]
    return f"Of up to {used.max():,} training rows {listed(fewer)}." if fewer else ""


def _better(metric: str) -> str:
    return "← better" if metric in SMALL_IS_GOOD else "better →"


def _leader(data: StudyData, compared: pd.DataFrame, metric: str, target: str) -> str:
    rows = compared[compared["metric"] == metric]
    best = rows.loc[rows["value"].idxmin() if metric in SMALL_IS_GOOD else rows["value"].idxmax()]
    unit = in_units(data, target).strip("()") if metric == "mae" else ""
    unit = "" if unit in ("dimensionless", "unit of the target") else f" {unit}"
    limits = f" (95 %: {number(best['low'])} to {number(best['high'])})" if pd.notna(best["low"]) else ""
    return (
        f"{_start(in_words(target))} is read best from {in_words(best['input'])} by {in_words(best['head'])}: "
        f"{METRICS[metric].lower().replace('roc', 'ROC')} {number(best['value'])}{unit}{limits}"
    )


def _spread(data: StudyData, compared: pd.DataFrame, metric: str, target: str) -> str:
    """The range over the splits of the input that is best under the first of them."""
    first = compared[compared["split"] == compared["split"].iloc[0]]
    best = first.loc[first["value"].idxmin() if metric in SMALL_IS_GOOD else first["value"].idxmax(), "input"]
    rows = compared[compared["input"] == best].set_index("split")["value"]
    low, high = rows.idxmin(), rows.idxmax()
    what = "error" if metric in SMALL_IS_GOOD else METRICS[metric].lower().replace("roc", "ROC")
    return (
        f"What is held out decides: {what} of {in_words(target)} from {in_words(best)} between {number(rows[low])} "
        f"({in_words(low)}) and {number(rows[high])} ({in_words(high)})"
    )


def _description(data: StudyData, target: str) -> str:
    said = data.definitions.targets.get(target, {}).get("description")
    words = _start(in_words(target))
    return f"{words}: {said.rstrip('.')}." if said and said != words else ""


def _start(words: str) -> str:
    return words[0].upper() + words[1:]
