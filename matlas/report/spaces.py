"""What the metrics say of a study: its spaces, its maps, and how many clusters there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from matlas.cluster.verdict import verdict
from matlas.errors import DataError
from matlas.report.formats import MISSING, number, score, share

if TYPE_CHECKING:
    from matlas.store import Store

_CLUSTERING = ["view", "representation", "clustering"]


@dataclass(frozen=True)
class Space:
    """A representation of a view: width of the view, of the space, and what the space keeps of the view, if known."""

    view: str
    representation: str
    columns: str
    components: str
    variance: str
    error: str


@dataclass(frozen=True)
class Map:
    """A 2-D map of a view."""

    view: str
    map: str
    trustworthiness: str


UNSTABLE = 0.5  # adjusted Rand index between seeds below which clusters are not to be relied on: our threshold


@dataclass(frozen=True)
class Sweep:
    """A clustering of a space: the swept K, the best K and how it spreads over seeds, agreement of reruns at the best
    K, and the verdict in words (None with fewer than three K). One that finds its own number of clusters has that in
    `best_k`, and a share of noise."""

    view: str
    representation: str
    clustering: str
    swept: str
    best_k: str
    silhouette: str
    over_seeds: str = MISSING
    seed_ari: str = MISSING
    bootstrap_ari: str = MISSING
    noise: str | None = None
    verdict: str | None = None


def spaces(store: Store, study: str, structure: Mapping) -> list[Space]:
    """One a (view, representation) of the study. Raises DataError where its metrics are missing."""
    found = _of_spaces(store, study, {
        "columns": "max(value) FILTER (metric = 'n_features')",
        "variance": "max(value) FILTER (metric = 'explained_variance_ratio')",
        "error": "max(value) FILTER (metric = 'reconstruction_error')",
    })  # fmt: skip
    widths = dict(store.sql(r"""
        SELECT table_name, count(*) AS columns FROM registry.columns
        WHERE starts_with(table_name, 'representations.') AND regexp_full_match(name, 'z_\d+') GROUP BY ALL
        """).itertuples(index=False))  # fmt: skip
    made = []
    for view, representation in structure["spaces"]:
        row = present(found, (view, representation), study)
        width = widths.get(f"representations.{structure['dataset']}__{view}__{representation}")
        texts = [number(row["columns"]), number(width), share(row["variance"]), number(row["error"])]
        made.append(Space(view, representation, *texts))
    return made


def maps(store: Store, study: str, structure: Mapping) -> list[Map]:
    """One a (view, map) of the study. Raises DataError where its metrics are missing."""
    found = _of_spaces(store, study, {"trustworthiness": "max(value) FILTER (metric = 'trustworthiness')"})
    return [
        Map(view, name, score(present(found, (view, name), study)["trustworthiness"]))
        for view, name in structure["maps"]
    ]


def _of_spaces(store: Store, study: str, wanted: Mapping[str, str]) -> dict[tuple[str, str], dict]:
    """Aggregates of the metrics of each representation or map: {(view, representation): row}."""
    columns = ", ".join(f"{sql} AS {name}" for name, sql in wanted.items())
    rows = store.query(f"""
        SELECT view, representation, {columns} FROM metrics
        WHERE study = '{study}' AND method = representation AND split = 'all' GROUP BY ALL""").to_pylist()
    return {(row["view"], row["representation"]): row for row in rows}


def sweeps(store: Store, study: str, structure: Mapping) -> list[Sweep]:
    """One a clustering of the study. Raises DataError where its metrics are missing."""
    dataset = structure["dataset"]
    by_k = store.sql(f"""
        SELECT view, representation, clustering, k,
               max(value) FILTER (metric = 'silhouette' AND split = 'all') AS silhouette,
               median(value) FILTER (metric = 'ari_to_reference' AND split = 'seed') AS seed_ari,
               median(value) FILTER (metric = 'ari_to_reference' AND split = 'bootstrap') AS bootstrap_ari
        FROM clustering_sweep WHERE dataset = '{dataset}' GROUP BY ALL ORDER BY k""")
    best = store.query(f"""
        SELECT view, representation, method AS clustering,
               max(value) FILTER (metric = 'best_k' AND split = 'all')::BIGINT AS best_k,
               max(value) FILTER (metric = 'noise_share') AS noise,
               max(value) FILTER (metric = 'silhouette_rows')::BIGINT AS silhouette_rows,
               count(*) FILTER (metric = 'best_k' AND split = 'seed') AS seeds,
               min(value) FILTER (metric = 'best_k' AND split = 'seed')::BIGINT AS low,
               median(value) FILTER (metric = 'best_k' AND split = 'seed') AS mid,
               max(value) FILTER (metric = 'best_k' AND split = 'seed')::BIGINT AS high
        FROM metrics WHERE study = '{study}' AND metric IN ('best_k', 'noise_share', 'silhouette_rows') GROUP BY ALL""")
    chosen = {tuple(row[name] for name in _CLUSTERING): row for row in best.to_pylist()}
    swept = dict(iter(by_k.groupby(_CLUSTERING)))
    made = []
    for space in map(tuple, structure["clustered"]):
        row = present(chosen, space, study)
        if row["noise"] is None:
            made.append(sweep_of(space, present(swept, space, study), row))
        else:
            made.append(_found(space, swept.get(space), row))
    return made


def present(found: Mapping, space: Sequence[str], study: str):
    """What was found of a space or clustering. Raises DataError where that is nothing."""
    if tuple(space) not in found:
        raise DataError(
            "metrics of a study are missing", where=f"study {study}, {' / '.join(space)}",
            do="run the workflow (snakemake --cores all)",
        )  # fmt: skip
    return found[tuple(space)]


def sweep_of(space: tuple[str, str, str], by_k: pd.DataFrame, best: Mapping) -> Sweep:
    """A swept clustering in words. by_k : k, silhouette, seed_ari, bootstrap_ari; best : best_k, seeds, low, mid, high,
    silhouette_rows."""
    at_best = by_k[by_k["k"] == best["best_k"]].iloc[0]
    k, silhouette = by_k["k"].astype(int).tolist(), by_k["silhouette"].astype(float)
    judged = verdict(k, silhouette).words if silhouette.notna().sum() >= 3 else None
    if judged and at_best["seed_ari"] < UNSTABLE:
        judged += (
            f" Other seeds find other clusters there (adjusted Rand index {number(at_best['seed_ari'])}): these are "
        )
        judged += "not to be relied on."
    over_seeds = MISSING
    if best["seeds"] > 1:
        low, middle, high = (number(best[name]) for name in ("low", "mid", "high"))
        over_seeds = f"{low if low == high else f'{low} to {high}, median {middle}'} ({best['seeds']} seeds)"
    return Sweep(
        *space, swept=f"{k[0]} to {k[-1]}" if len(k) > 1 else number(k[0]), best_k=number(best["best_k"]),
        silhouette=_silhouette(at_best["silhouette"], best), over_seeds=over_seeds,
        seed_ari=number(at_best["seed_ari"]), bootstrap_ari=number(at_best["bootstrap_ari"]), verdict=judged,
    )  # fmt: skip


def _silhouette(value: float | None, best: Mapping) -> str:
    rows = best["silhouette_rows"]
    return number(value) if rows is None else f"{number(value)} (of {number(rows)} rows)"


def _found(space: tuple[str, str, str], by_k: pd.DataFrame | None, best: Mapping) -> Sweep:
    """A clustering that found its number of clusters; with fewer than two of them it has no silhouette."""
    silhouette = None if by_k is None else by_k["silhouette"].max()
    return Sweep(
        *space, swept="finds its own", best_k=number(best["best_k"]),
        silhouette=_silhouette(silhouette, best), noise=share(best["noise"]),
    )  # fmt: skip
