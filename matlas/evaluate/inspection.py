"""How many planted outliers an inspector finds who looks at the first rows of a ranking.

Tiny clusters as outlier detectors: k-means with generously many clusters leaves strange rows in clusters of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans

from matlas.errors import ConfigError, DataError
from matlas.represent import finite_matrix
from matlas.threads import map_in_threads

TINY_CLUSTERS, CENTROID, RANDOM = ORDERS = ("tiny_clusters", "distance_to_centroid", "random")


def inspect(
    features: pd.DataFrame,
    planted: pd.DataFrame,
    *,
    k: int,
    k_few: int,
    outliers: int,
    frames: int,
    seeds: Sequence[int],
    n_init: int = 10,
    threads: int | None = None,
) -> pd.DataFrame:
    """Recall of planted outliers among the first 1 … frames inspected rows, for each seed and way of ranking.

    features : (n, d) finite numbers indexed by the entity key; planted : the key, `alteration` and the same columns:
    altered copies of some entities. For each seed, copies of `outliers` different entities are drawn and put in place
    of the originals, and all rows are ranked without knowing which they are: "tiny_clusters" by k-means with `k`
    clusters (`rank_by_tiny_clusters`), "distance_to_centroid" by k-means with `k_few`, "random" by a permutation, whose
    expected recall is inspected / n. n_init : starts of each k-means; threads : seeds at a time (results do not depend
    on it), by default the current BLAS limit.
    Returns order (one of ORDERS), seed, inspected, recall. Raises ConfigError for more frames or clusters than rows or
    less than one outlier, DataError for other columns or entities than those of `features`, for fewer planted entities
    than outliers, NaN and infinity.
    """
    n = len(features)
    for name, value in {"k": k, "k_few": k_few, "outliers": outliers, "frames": frames}.items():
        if not 1 <= value <= n:
            raise ConfigError(
                f"an inspection does not fit a table of {n} rows", where=name, expected=f"1 to {n}", found=value,
                do="use an inspection made for fewer rows (config/methods.yaml), or leave it out",
            )  # fmt: skip
    origin, copies = _copies(features, planted, outliers)
    matrix = finite_matrix(features.to_numpy(), "features")

    def recall(seed: int) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(seed)
        drawn = rng.permutation(len(copies))
        _, first = np.unique(origin[drawn], return_index=True)  # one copy of an entity, the first drawn
        drawn = drawn[np.sort(first)[:outliers]]
        table = matrix.copy()
        table[origin[drawn]] = copies[drawn]
        ranked = {
            TINY_CLUSTERS: rank_by_tiny_clusters(table, k=k, n_init=n_init, random_state=seed),
            CENTROID: rank_by_distance(table, k=k_few, n_init=n_init, random_state=seed),
            RANDOM: rng.permutation(n),
        }
        strange = np.zeros(n, dtype=bool)
        strange[origin[drawn]] = True
        return {order: strange[rows[:frames]].cumsum() / outliers for order, rows in ranked.items()}

    found = list(map_in_threads(recall, list(seeds), what="inspections", threads=threads))
    return pd.concat(
        [
            pd.DataFrame(
                {"order": order, "seed": seed, "inspected": np.arange(1, frames + 1), "recall": recalls[order]}
            )
            for order in ORDERS
            for seed, recalls in zip(seeds, found, strict=True)
        ],
        ignore_index=True,
    )


def inspections(
    study: str,
    searches: Sequence[tuple[str, Mapping, Mapping[str, str], pd.DataFrame, pd.DataFrame]],
    alterations: Sequence[str],
) -> pd.DataFrame:
    """`inspect` for several views and settings of a study: study, dataset, view, inspection, order, seed, inspected,
    recall.

    searches : (name of the inspection, its settings, attributes, features, altered); settings are the arguments of
    `inspect`, but for `seeds`, the number of them, which begin at `random_state`; attributes name dataset and view;
    features and altered are indexed by the key, altered with a column `alteration`, of which rows with one of
    `alterations` are the planted ones. Raises ConfigError and DataError as `inspect` does.
    """
    frames = []
    for inspection, settings, about, features, altered in searches:
        options = dict(settings)
        first, count = options.pop("random_state"), options.pop("seeds")
        planted = altered[altered["alteration"].isin(alterations)].reset_index()
        found = inspect(features, planted, seeds=range(first, first + count), **options)
        place = {"study": study, "dataset": about["dataset"], "view": about["view"], "inspection": inspection}
        frames.append(found.assign(**place)[[*place, *found.columns]])
    if not frames:
        raise DataError("no view to inspect", where=f"study {study}")
    return pd.concat(frames, ignore_index=True)


def rank_by_tiny_clusters(rows: np.ndarray, *, k: int, n_init: int = 10, random_state: int = 0) -> np.ndarray:
    """(n,) row numbers, those of the smallest clusters of a k-means first, within a cluster the furthest from its
    centroid first; clusters of one size in the order of their numbers."""
    labels, distance = _fitted(rows, k, n_init, random_state)
    return np.lexsort((-distance, labels, np.bincount(labels, minlength=k)[labels]))


def rank_by_distance(rows: np.ndarray, *, k: int, n_init: int = 10, random_state: int = 0) -> np.ndarray:
    """(n,) row numbers, the furthest from the centroid of its k-means cluster first."""
    return np.argsort(-_fitted(rows, k, n_init, random_state)[1], kind="stable")


def _fitted(rows: np.ndarray, k: int, n_init: int, random_state: int) -> tuple[np.ndarray, np.ndarray]:
    model = KMeans(k, init="k-means++", n_init=n_init, random_state=random_state).fit(rows)
    return model.labels_, np.linalg.norm(rows - model.cluster_centers_[model.labels_], axis=1)


def _copies(features: pd.DataFrame, planted: pd.DataFrame, outliers: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the originals (p,), and features of the planted copies (p, d)."""
    key = features.index.name
    missing = [name for name in (key, "alteration", *features.columns) if name not in planted.columns]
    if missing or len(planted.columns) != features.shape[1] + 2:
        raise DataError(
            "planted rows are not of the same features", expected=f"{key}, alteration and {features.shape[1]} features",
            found=f"{len(planted.columns)} columns, missing {missing[:20]}",
        )  # fmt: skip
    origin = features.index.get_indexer(pd.Index(planted[key]))
    if (origin < 0).any():
        raise DataError("planted rows of unknown entities", found=repr(planted[key].to_numpy()[origin < 0][0]))
    entities = len(np.unique(origin))
    if entities < outliers:
        raise DataError(
            "too few planted entities", expected=f"{outliers} or more", found=entities,
            do="use an inspection with fewer outliers (config/methods.yaml), or more entities: a tenth is planted",
        )  # fmt: skip
    return origin, finite_matrix(planted[features.columns].to_numpy(), "planted features")
