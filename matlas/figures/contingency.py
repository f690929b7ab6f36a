"""Which classes fall into which clusters."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from matlas.evaluate.external import contingency as counted
from matlas.figures.classes import matched_classes, sorted_clusters
from matlas.figures.parameters import at_k, clustered_spaces, clustering_of, finds_k, of_space, true_classes
from matlas.figures.study_data import NOISE, SpaceKey, StudyData
from matlas.figures.style import INK, count, not_all, page

_CELL = 0.4  # inches
_IN_TITLE = 3  # spaces; of more the title names the best alone


def contingency(spec: Mapping, data: StudyData) -> tuple[Figure, pd.DataFrame]:
    """Entities of each class (rows) in each cluster (columns), a panel a space; the reference run.

    K is `k`, or the number of classes, or what the clustering found where it is asked for none. Clusters stand in the
    order of the classes that they stand for, so that these cells lie on the diagonal; then the others, and noise. The
    table: view, representation, clustering, k, label, cluster, entities, matched (the cluster stands for the class),
    share (of the class).
    """
    clustering, classes = clustering_of(spec, data), true_classes(spec, data)
    spaces = clustered_spaces(data, clustering)
    asked = int(spec["k"]) if spec.get("k") is not None else len(classes)
    own = finds_k(data, clustering)
    tables = {space: _counts(data, space, clustering, None if own else asked) for space in spaces}
    table = pd.concat(tables.values(), ignore_index=True)
    unknown = int(data.entities[data.label].isna().sum())
    over_seeds = {data.space_name(s): _ari_over_seeds(data, s, clustering, t["k"].iloc[0]) for s, t in tables.items()}
    notes = [
        f"{at_k({'k': asked}, clustering, found=own)}. Colour: share of the class; framed: the cluster that stands for "
        "the class in the best one-to-one matching; – is 0. Shown is the reference run; below "
        "each panel the scores of all seeds."
        + (f" {count(unknown, 'row')} without a class." if unknown else "")
        + not_all(data, {space: len(data.labels(space, clustering)) for space in spaces})
    ]
    widest = max(t["cluster"].nunique() for t in tables.values())
    names = max(len(name) for name in classes) * 0.07
    panel = (max(2.9, _CELL * widest + 0.6 + names / min(len(spaces), 3)), _CELL * len(classes) + 1.0)
    figure, axes = page(data, _title(data, clustering, tables), notes, columns=len(spaces), panel=panel, sharey=True)
    for ax, (space, here) in zip(axes[0], tables.items(), strict=True):
        _heat_map(ax, here, list(classes))
        ax.set_title(data.space_name(space))
        ax.set_xlabel(f"Cluster\n{over_seeds[data.space_name(space)]}".rstrip())
    return figure, table


def _counts(data: StudyData, space: SpaceKey, clustering: str, k: int | None) -> pd.DataFrame:
    labels = data.labels(space, clustering, k)
    stands_for = matched_classes(data, labels)
    table = counted(data.entities.loc[labels.index, data.label], labels.to_numpy())
    matched = table["cluster"].map(stands_for) == table["label"]
    share = table["entities"] / table.groupby("label")["entities"].transform("sum")
    found = labels[labels != NOISE].nunique() if k is None else k
    about = {"view": space[0], "representation": space[1], "clustering": clustering, "k": found}
    return table.assign(**about, matched=matched, share=share)[[*about, *table.columns, "share"]]


def _ordered(here: pd.DataFrame, classes: list[str]) -> list[int]:
    """Clusters in the order of the classes that they stand for, then the others, then noise."""
    stands_for = here[here["matched"]].set_index("cluster")["label"]
    place = {cluster: classes.index(label) for cluster, label in stands_for.items()}
    return sorted(sorted_clusters(here["cluster"]), key=lambda c: (c == NOISE, place.get(c, len(classes))))


def _heat_map(ax: Axes, here: pd.DataFrame, classes: list[str]) -> None:
    clusters = _ordered(here, classes)
    wide = here.pivot(index="label", columns="cluster", values="entities").reindex(index=classes, columns=clusters)
    shares = here.pivot(index="label", columns="cluster", values="share").reindex(index=classes, columns=clusters)
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="none")
    for (i, j), n in np.ndenumerate(wide.to_numpy()):
        dark = shares.iat[i, j] > 0.55
        ax.text(j, i, f"{n:,}" if n else "–", ha="center", va="center", size=8, color="white" if dark else INK)
    for pair in here[here["matched"]].itertuples():
        at = clusters.index(pair.cluster) - 0.5, classes.index(pair.label) - 0.5
        ax.add_patch(Rectangle(at, 1, 1, fill=False, ec=INK, lw=1.6, zorder=3, clip_on=False))
    ax.set_xticks(range(len(clusters)), ["noise" if c == NOISE else str(c) for c in clusters])
    ax.set_yticks(range(len(classes)), classes, parse_math=False)
    ax.set(xlim=(-0.5, len(clusters) - 0.5), ylim=(len(classes) - 0.5, -0.5))
    ax.grid(visible=False)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def _ari_over_seeds(data: StudyData, space: SpaceKey, clustering: str, k: int) -> str:
    """Median and range of the ARI over seeds, so that no single run is quoted alone; "" without scores."""
    if data.scores is None:
        return ""
    rows = of_space(data.scores, space)
    ari = rows[(rows["clustering"] == clustering) & (rows["k"] == k) & (rows["metric"] == "ari")]["value"]
    if not len(ari):
        return ""
    if len(ari) == 1:
        return f"ARI {ari.iloc[0]:.2f} (one run)"
    return f"ARI {ari.median():.2f} ({ari.min():.2f} to {ari.max():.2f}, {count(len(ari), 'seed')})"


def _shares(data: StudyData, space: SpaceKey, here: pd.DataFrame, clustering: str) -> pd.Series:
    """Share of each class in the cluster that stands for it: median over seeds; of the reference run where the study's
    contingency table has no other."""
    runs, k = here.assign(seed=0), here["k"].iloc[0]
    if data.contingency is not None:
        stored = of_space(data.contingency, space)
        stored = stored[(stored["clustering"] == clustering) & (stored["k"] == k)]
        runs = stored if len(stored) else runs
    inside = runs["entities"].where(runs["matched"] & (runs["cluster"] != NOISE), 0)
    groups = [runs["label"], runs["seed"]]
    share = inside.groupby(groups).sum() / runs["entities"].groupby(groups).sum()
    return share.groupby("label").median()


def _title(data: StudyData, clustering: str, tables: Mapping[SpaceKey, pd.DataFrame]) -> str:
    """The class that is kept together best and least in each space; of many spaces, in that with the largest mean."""
    shares = {data.space_name(space): _shares(data, space, here, clustering) for space, here in tables.items()}
    if min(len(of_classes) for of_classes in shares.values()) < 2:
        return f"Classes in the clusters of {clustering}"
    if len(shares) > 1 and len(shares) <= _IN_TITLE:
        said = [
            f"{s.idxmax()} ({100 * s.max():.0f} %) and {s.idxmin()} ({100 * s.min():.0f} %) on {name}"
            for name, s in shares.items()
        ]
        return f"{clustering} keeps in the cluster that stands for them, best and least: {'; '.join(said)}"
    best = max(shares, key=lambda name: shares[name].mean())
    where, s = f"On {best}, " if len(shares) > 1 else "", shares[best]
    return (
        f"{where}{clustering} keeps {s.idxmax()} together best ({100 * s.max():.0f} % in its own cluster) "
        f"and {s.idxmin()} least ({100 * s.min():.0f} %)"
    )
