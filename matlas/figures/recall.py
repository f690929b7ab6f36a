"""How soon planted outliers are found, by what is inspected first."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from matlas.figures.parameters import table_of
from matlas.figures.study_data import StudyData, in_words
from matlas.figures.style import PALETTE, beside, count, listed, page

_DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 2, 1, 2)))


def outlier_recall(spec: Mapping, data: StudyData) -> tuple[Figure, pd.DataFrame]:
    """Share of the planted outliers among the entities inspected first, a line an order, over all seeds; a panel a view
    and inspection.

    The table: view, inspection, order, inspected, median, low, high (over `seeds` plantings).
    """
    measured = table_of(spec, data, "inspections")
    over_seeds = measured.groupby(["view", "inspection", "order", "inspected"], sort=False)["recall"]
    table = over_seeds.agg(median="median", low="min", high="max", seeds="size").reset_index()
    panels = list(dict.fromkeys(zip(table["view"], table["inspection"], strict=True)))
    orders = list(dict.fromkeys(table["order"]))
    several = len({inspection for _, inspection in panels}) > 1
    seeds = int(table["seeds"].max())
    notes = [
        "The outliers are planted artefacts: altered copies in place of some entities, so that it is known which they "
        "are. "
        f"Line: median over {count(seeds, 'planting')}; band: smallest to largest. Random: what inspection in no order "
        "finds."
    ]
    styles = {o: (PALETTE[i % len(PALETTE)], _DASHES[i % len(_DASHES)]) for i, o in enumerate(orders)}
    legend = [
        Line2D([], [], color=shade, ls=dash, lw=1.7, label=f"inspected first: {in_words(order)}")
        for order, (shade, dash) in styles.items()
    ]
    figure, axes = page(
        data, _title(table, orders), notes, columns=len(panels), panel=(3.9, 3.3), sharex=True, sharey=True,
        legend=legend,
    )  # fmt: skip
    for ax, (view, inspection) in zip(axes[0], panels, strict=True):
        here = table[(table["view"] == view) & (table["inspection"] == inspection)]
        for order, line in here.groupby("order", sort=False):
            shade, dash = styles[order]
            line = line.sort_values("inspected")
            ax.fill_between(line["inspected"], line["low"], line["high"], color=shade, alpha=0.18, lw=0)
            ax.plot(line["inspected"], line["median"], color=shade, ls=dash, lw=1.7)
        ax.set_title(in_words(view) + (f", {in_words(inspection)}" if several else ""))
        ax.set(xlabel="Entities inspected", ylim=(-0.02, 1.02))
        ax.set_xlim(0, float(table["inspected"].max()))
        ax.tick_params(labelbottom=True, labelleft=True)
    for ax in axes[0, :: beside(len(panels))]:
        ax.set_ylabel("Recall of planted outliers")
    return figure, table


def _title(table: pd.DataFrame, orders: list[str]) -> str:
    """What each order has found at the end, over the views."""
    last = table[table["inspected"] == table["inspected"].max()]
    found = []
    for order in orders:
        ends = 100 * last.loc[last["order"] == order, "median"]
        low, high = round(ends.min()), round(ends.max())
        found.append(f"{in_words(order)} {low} %" if low == high else f"{in_words(order)} {low} to {high} %")
    return f"Planted outliers found among the first {table['inspected'].max():,} entities: {listed(found)}"
