"""How networks were trained, and what they rebuild of rows that they have not seen."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from matlas.errors import DataError
from matlas.figures.learning.points import DASHED, error_axis, reference
from matlas.figures.learning.words import held_out_from
from matlas.figures.study_data import SpaceKey, StudyData, in_words
from matlas.figures.style import INK, MUTED, PALETTE, beside, count, listed, number, page

WORST = 3  # columns named
CELLS = 60  # of the density, along each axis
_ROUNDING = 1e-12  # variance, in standardised units
_INSIDE = 0.995  # share of the values that the axes reach


def training_curves(spec: Mapping, data: StudyData) -> tuple[Figure, pd.DataFrame]:
    """Loss on training rows and error on validation rows over the epochs, and the epoch whose weights were kept; a
    panel a network.

    The table: view, representation, epoch, train_loss, validation_loss, learning_rate, kept.
    """
    tables = {}
    for space, history in _of_networks(spec, data, "histories").items():
        tables[space] = _about(space, history)
    table = pd.concat(tables.values(), ignore_index=True)
    best = table.loc[table["kept"]].sort_values("validation_loss", kind="stable").iloc[0]
    epochs = {space: int(here["epoch"].max()) for space, here in tables.items()}
    named = (best["view"], best["representation"])
    title = (
        f"Smallest validation error: {best['validation_loss']:.3f} by {_name(data, named)}, kept from epoch "
        f"{best['epoch']} of {epochs[named]}"
    )
    notes = [
        "Mean squared error in standardised units; 1 is what the mean of each column would leave. Validation rows are "
        "kept from training and decide which epoch's weights are kept, unless a network is trained to the end. "
        "Training: the network's own loss as it met the batches, with noise on its input and the price of its code "
        "where it has these, so that the two lines need not meet.",
        held_out_from(data, [representation for _, representation in tables]),
    ]
    handles = [
        Line2D([], [], color=PALETTE[0], lw=1.4, label="training loss"),
        Line2D([], [], color=PALETTE[3], lw=1.4, ls=DASHED, label="validation error"),
        Line2D([], [], color=PALETTE[3], marker="o", ms=6, mec=INK, ls="none", label="kept epoch"),
    ]
    figure, axes = page(
        data, title, notes, columns=len(tables), across=2, panel=(4.6, 2.9), sharey=True, legend=handles
    )
    for ax, (space, here) in zip(axes[0], tables.items(), strict=True):
        kept = here[here["kept"]].iloc[0]
        ax.plot(here["epoch"], here["train_loss"], color=PALETTE[0], lw=1.4)
        ax.plot(here["epoch"], here["validation_loss"], color=PALETTE[3], lw=1.4, ls=DASHED)
        ax.axvline(kept["epoch"], color=MUTED, lw=0.8, zorder=1)
        ax.plot(kept["epoch"], kept["validation_loss"], marker="o", ms=6, color=PALETTE[3], mec=INK, ls="none")
        ax.set_title(data.space_name(space))
        ax.set_xlabel(f"Epoch (kept: {kept['epoch']} of {epochs[space]})")
        ax.set_xlim(0, epochs[space] * 1.03 + 1)
        ax.tick_params(labelleft=True)
    error_axis(axes[0, 0], table[["train_loss", "validation_loss"]].to_numpy())
    for ax in axes[0, :: beside(len(tables), 2)]:
        ax.set_ylabel("Mean squared error\n(standardised units)")
    return figure, table


def reconstruction_parity(spec: Mapping, data: StudyData) -> tuple[Figure, pd.DataFrame]:
    """Values of test rows against what each network rebuilds of them, as a density over all columns; a panel a network.

    The table: view, representation, mark (cell, column or all), truth and rebuilt (of a cell: its centre), values (how
    many), feature (of a column), mse, r2 (1 less the squared error over the spread around the mean of the column's
    sampled test rows; of all: both summed over the columns). Both in standardised units of the training rows.
    """
    rebuilt = _of_networks(spec, data, "rebuilt")
    columns = {space: _by_column(space, rows) for space, rows in rebuilt.items()}
    whole = {space: table[table["mark"] == "all"].iloc[0] for space, table in columns.items()}
    shown = np.concatenate([rows[["truth", "rebuilt"]].abs().to_numpy().ravel() for rows in rebuilt.values()])
    limit = max(float(np.quantile(shown, _INSIDE)), 1e-9)
    cells = {space: _cells(space, rows, limit) for space, rows in rebuilt.items()}
    best = max(whole, key=lambda space: whole[space]["r2"])
    title = (
        f"{_name(data, best)} rebuilds {100 * whole[best]['r2']:.0f} % of the variance of rows it has not seen"
    ) + (f"; {_others(data, whole, best)}" if len(whole) > 1 else "")
    rows = max(table[data.key].nunique() for table in rebuilt.values())
    beyond = sum(int((table[["truth", "rebuilt"]].abs() > limit).any(axis=1).sum()) for table in rebuilt.values())
    notes = [
        f"{count(rows, 'test row')} drawn at random, all columns; standardised by the training rows. Diagonal: rebuilt "
        "as it was. R² against the mean of each column."
        + (f" {count(beyond, 'value')} of {len(shown) // 2:,} lie beyond the axes." if beyond else ""),
        f"Columns rebuilt worst: {_worst(data, columns)}.",
        _selected(data, rebuilt),
        held_out_from(data, [representation for _, representation in rebuilt]),
    ]
    figure, axes = page(
        data, title, notes, columns=len(rebuilt), panel=(3.4, 3.2), across=2, sharex=True, sharey=True,
        legend=[reference("rebuilt as it was")],
    )  # fmt: skip
    most = max(int(table["values"].max()) for table in cells.values())
    for ax, (space, table) in zip(axes[0], cells.items(), strict=True):
        grid = table.pivot(index="rebuilt", columns="truth", values="values").reindex(
            index=_centres(limit), columns=_centres(limit)
        )
        edges = np.linspace(-limit, limit, CELLS + 1)
        drawn = ax.pcolormesh(edges, edges, grid.to_numpy(), cmap="viridis", norm=LogNorm(1, max(most, 2)),
                              rasterized=True)  # fmt: skip
        ax.plot([-limit, limit], [-limit, limit], color=INK, lw=0.9, ls=DASHED)
        ax.set_title(data.space_name(space))
        ax.text(0.03, 0.97, f"R² = {whole[space]['r2']:.3f}", transform=ax.transAxes, va="top")
        ax.set(xlabel="Value in the row (standard deviations)", xlim=(-limit, limit), ylim=(-limit, limit))
        ax.set_aspect("equal")
        ax.tick_params(labelbottom=True, labelleft=True)
    for ax in axes[0, :: beside(len(rebuilt), 2)]:
        ax.set_ylabel("Rebuilt (standard deviations)")
    bar = figure.colorbar(drawn, ax=list(axes[0]), pad=0.02, aspect=30, label="Values in a cell")
    bar.ax.minorticks_off()
    powers = [10**i for i in range(int(np.log10(max(most, 2))) + 1)]
    bar.set_ticks(powers, labels=[f"{n:,}" for n in powers])
    parts = [part for space in rebuilt for part in (cells[space], columns[space])]
    return figure, pd.concat(parts, ignore_index=True)


def _of_networks(spec: Mapping, data: StudyData, layer: str) -> dict[SpaceKey, pd.DataFrame]:
    tables = {space: table for space, table in getattr(data, layer).items() if len(table)}
    if not tables:
        raise DataError(
            "no network to draw", where=f"study {data.study}, {spec['name']}", expected=f"tables of layer {layer}",
            do="name an autoencoder under `representations` of the study, and filters that leave one",
        )  # fmt: skip
    return tables


def _about(space: SpaceKey, table: pd.DataFrame) -> pd.DataFrame:
    table = table.assign(view=space[0], representation=space[1])
    return table[["view", "representation", *(c for c in table if c not in ("view", "representation"))]]


def _name(data: StudyData, space: SpaceKey) -> str:
    """The network, with its view where there are several."""
    several = len({view for view, _ in data.histories | data.rebuilt}) > 1
    return in_words(space[1]) + (f" of {in_words(space[0])}" if several else "")


def _by_column(space: SpaceKey, rows: pd.DataFrame) -> pd.DataFrame:
    """Of each column, then of all."""
    spread = (rows["truth"] - rows.groupby("feature")["truth"].transform("mean")) ** 2
    sums = pd.DataFrame({"feature": rows["feature"], "error": (rows["rebuilt"] - rows["truth"]) ** 2, "spread": spread})
    sums = sums.groupby("feature", sort=False).agg(
        error=("error", "sum"), spread=("spread", "sum"), values=("error", "size")
    )
    sums = pd.concat([sums.assign(mark="column"), pd.DataFrame([{**sums.sum(), "mark": "all"}])])
    sums = sums.rename_axis("feature").reset_index()
    sums["feature"] = sums["feature"].where(sums["mark"] == "column")
    table = pd.DataFrame({
        "mark": sums["mark"], "values": sums["values"].astype(int), "feature": sums["feature"],
        "mse": sums["error"] / sums["values"],
        # of a column that is constant among these rows but for rounding there is no R²
        "r2": 1 - sums["error"] / sums["spread"].where(sums["spread"] > _ROUNDING * sums["values"]),
    })  # fmt: skip
    return _about(space, table)


def _centres(limit: float) -> np.ndarray:
    return (np.arange(CELLS) + 0.5) * (2 * limit / CELLS) - limit


def _cells(space: SpaceKey, rows: pd.DataFrame, limit: float) -> pd.DataFrame:
    """The cells with values in them."""
    edges = np.linspace(-limit, limit, CELLS + 1)
    counts = np.histogram2d(rows["truth"], rows["rebuilt"], bins=[edges, edges])[0].astype(int)
    i, j = np.nonzero(counts)
    centres = _centres(limit)
    table = pd.DataFrame({"mark": "cell", "truth": centres[i], "rebuilt": centres[j], "values": counts[i, j]})
    return _about(space, table)


def _others(data: StudyData, whole: Mapping[SpaceKey, pd.Series], best: SpaceKey) -> str:
    return listed(f"{_name(data, s)} {100 * row['r2']:.0f} %" for s, row in whole.items() if s != best)


def _worst(data: StudyData, columns: Mapping[SpaceKey, pd.DataFrame]) -> str:
    said = []
    for space, table in columns.items():
        worst = table[table["mark"] == "column"].sort_values("r2", kind="stable").head(WORST)
        names = listed(f"{row.feature} (R² {number(row.r2)})" for row in worst.itertuples() if np.isfinite(row.r2))
        said.append(f"by {_name(data, space)} {names}")
    return "; ".join(said)


def _selected(data: StudyData, rebuilt: Mapping[SpaceKey, pd.DataFrame]) -> str:
    """How many columns the views took, where they were chosen."""
    said = []
    for view in dict.fromkeys(view for view, _ in rebuilt):
        if view in data.selections:
            taken = data.selections[view].dropna(subset="rank").sort_values("rank")
            share = taken["explained"].dropna()
            explained = f", which explain {100 * share.iloc[-1]:.0f} % of the variance of all" if len(share) else ""
            said.append(f"{in_words(view)} has {len(taken)} of {len(data.selections[view])} columns{explained}.")
    return " ".join(said)
