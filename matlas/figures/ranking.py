"""Clusters ranked by a property: a shortlist of families, with their compounds where entities are compositions."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from matlas.figures.parameters import clustered_spaces, clustering_of, column
from matlas.figures.study_data import SpaceKey, StudyData, most_common

NAMED = 3  # compounds and descriptions listed for a cluster


def cluster_ranking(spec: Mapping, data: StudyData) -> pd.DataFrame:
    """Clusters of each space, from the largest median of `rank_by` down; a row a cluster.

    view, representation, clustering, rank, cluster, rows;
    <rank_by>_q25, _median, _q75 : quartiles over the rows of the cluster;
    <window>_top_p5, _top_median, _top_p95 and top_rows, with `window` only : the range in which the cluster is good,
    that is the 5, 50 and 95 % quantiles of `window` over the `top_rows` rows of the cluster whose `rank_by` is at or
    above its own upper quartile;
    <described_by>s : the 3 most common descriptions of entities (dominant_elements), with their share of rows.
    Of compositions also: compounds : distinct ones; compounds_most_measured : the 3 reduced formulas with the most
    rows; compounds_best : the 3 with the largest median of `rank_by`; ties in alphabetical order; chemical_family : the
    most common, and its share.
    A cluster without any value of `rank_by` comes last.
    """
    clustering = clustering_of(spec, data)
    rank_by = column(spec, "rank_by", data)
    window = column(spec, "window", data) if spec.get("window") is not None else None
    return pd.concat(
        [_ranked(data, space, clustering, rank_by, window) for space in clustered_spaces(data, clustering)],
        ignore_index=True,
    )


def _ranked(data: StudyData, space: SpaceKey, clustering: str, rank_by: str, window: str | None) -> pd.DataFrame:
    labels = data.labels(space, clustering)
    groups = data.entities.loc[labels.index].groupby(labels.to_numpy())
    rows = [{"cluster": c, **_summary(group, rank_by, window, data.described_by)} for c, group in groups]
    table = pd.DataFrame(rows).sort_values([f"{rank_by}_median", "cluster"], ascending=[False, True])
    table.insert(0, "rank", range(1, len(table) + 1))
    for name, value in (("clustering", clustering), ("representation", space[1]), ("view", space[0])):
        table.insert(0, name, value)
    return table


def _summary(group: pd.DataFrame, rank_by: str, window: str | None, described_by: str | None) -> dict:
    values = group[rank_by]
    found = {"rows": len(group)} | ({"compounds": group["composition"].nunique()} if "composition" in group else {})
    found |= {f"{rank_by}_{name}": values.quantile(q) for name, q in (("q25", 0.25), ("median", 0.5), ("q75", 0.75))}
    if window is not None:
        top = group.loc[values >= values.quantile(0.75), window]
        found["top_rows"] = len(top)
        found |= {f"{window}_top_{name}": top.quantile(q) for name, q in (("p5", 0.05), ("median", 0.5), ("p95", 0.95))}
    if "reduced_formula" in group:
        formulas = group.groupby("reduced_formula")[rank_by]
        found["compounds_most_measured"] = _first(formulas.size())
        found["compounds_best"] = _first(formulas.median().dropna())
    if described_by is not None:
        found[f"{described_by}s"] = _shares(group[described_by])
    if "chemical_family" in group:
        family = most_common(group["chemical_family"])
        found["chemical_family"] = family
        found["chemical_family_share"] = (group["chemical_family"] == family).mean()
    return found


def _first(score: pd.Series) -> str:
    """The names with the largest score, ties in alphabetical order."""
    return ", ".join(score.sort_index().sort_values(ascending=False, kind="stable").index[:NAMED])


def _shares(values: pd.Series) -> str:
    shares = values.value_counts(normalize=True).sort_index().sort_values(ascending=False, kind="stable")
    return ", ".join(f"{name} {100 * part:.0f} %" for name, part in shares.iloc[:NAMED].items())
