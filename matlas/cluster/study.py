"""One clustering as a study uses it: a sweep, the labels of every entity, and what reruns say about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist

from matlas.cluster.reruns import reruns_frame
from matlas.cluster.stability import bootstrap_stability, pairwise_ari, seed_stability
from matlas.cluster.sweep import NOISE, Sweep, sweep_seeds
from matlas.errors import DataError


@dataclass(frozen=True)
class Clustering:
    """A reference sweep of n rows, the sweeps of other seeds, and records (schema METRICS) of all of them.

    distance : (n,) to the centroid of the row's cluster at the best k; of a noise row to the nearest centroid, NaN
    where there is no cluster.
    """

    sweep: Sweep
    others: list[Sweep]
    distance: np.ndarray
    records: list[dict]

    @property
    def swept(self) -> tuple[int, ...]:
        """The cluster numbers that were asked for; none for hdbscan, which finds its own."""
        return () if self.sweep.algorithm == "hdbscan" else self.sweep.k

    @property
    def n_responsibilities(self) -> int:
        return 0 if self.sweep.responsibilities is None else self.sweep.responsibilities.shape[1]

    def labels_frame(self, entities: pd.Index) -> pd.DataFrame:
        """Labels as `cluster_schema` has them; entities : (n,) keys in the order of the scores."""
        best = self.sweep.k.index(self.sweep.best_k)
        frame = pd.DataFrame(
            {entities.name: entities, "cluster": self.sweep.labels[:, best], "distance": self.distance}
        )
        columns = {f"k_{k}": self.sweep.labels[:, i] for i, k in enumerate(self.swept)}
        columns |= {f"responsibility_{i}": self.sweep.responsibilities[:, i] for i in range(self.n_responsibilities)}
        return pd.concat([frame, pd.DataFrame(columns)], axis=1)

    def reruns_frame(self, entities: pd.Index) -> pd.DataFrame:
        """Labels of every seed at every k, `seed_<s>_k_<k>` after the key, the reference first; seed 0 stands for
        an algorithm without a seed. entities : (n,) keys in the order of the scores."""
        return reruns_frame(
            entities,
            [
                (sweep.random_state or 0, k, sweep.labels[:, i])
                for sweep in (self.sweep, *self.others)
                for i, k in enumerate(sweep.k)
            ],
        )


def cluster(
    scores: np.ndarray,
    groups: Sequence | None,
    *,
    algorithm: str,
    k: Sequence[int] = (),
    random_state: int = 0,
    stability: Mapping | None = None,
    silhouette_rows: int | None = None,
    **options,
) -> Clustering:
    """Cluster scores (n, d) at each k, once for the labels, and again with other seeds and on bootstrap samples of
    `groups` (n,) (None: of single rows) as `stability` asks (seeds, bootstraps; None: neither); k, random_state,
    silhouette_rows and options go to the algorithm (matlas.cluster.sweep). Where silhouettes are those of a part of
    the rows, the record silhouette_rows says of how many."""
    n_seeds, n_bootstrap = (0, 0) if stability is None else (stability["seeds"], stability["bootstraps"])
    seeds = [random_state + i for i in range(max(1, n_seeds))]
    reference, *others = sweep_seeds(
        scores, seeds, algorithm=algorithm, k=k, silhouette_rows=silhouette_rows, **options
    )
    records = _sweep_metrics(reference)
    if silhouette_rows is not None and silhouette_rows < len(scores):
        of_rows = {"metric": "silhouette_rows", "value": silhouette_rows, "seed": reference.random_state}
        records.append({**of_rows, "split": "all"})
    if n_seeds:
        records += [record for sweep in (reference, *others) for record in _sweep_metrics(sweep, split="seed")]
        records += _agreement_metrics(seed_stability(others, reference), "seed")
    if n_bootstrap:
        drawn = bootstrap_stability(
            scores, groups, reference, n_bootstrap=n_bootstrap, random_state=random_state, **options
        )
        records += _agreement_metrics(drawn, "bootstrap")
    best = reference.k.index(reference.best_k)
    distance = _centroid_distance(scores, reference.centers[best], reference.labels[:, best])
    return Clustering(reference, others, distance, records)


def agreement(labelings: Sequence[tuple[Mapping[str, str], pd.DataFrame]], study: str) -> pd.DataFrame:
    """Adjusted Rand index between every two labelings of the same clustering method, as schema AGREEMENT has it.

    labelings : (attributes, labels) of each clustering table, indexed by the entity key; attributes name view,
    representation and clustering. A method that asks for no number of clusters, so has no columns k_<k>, is left out.
    Raises DataError when two tables are not about the same entities.
    """
    rows = []
    for method in sorted({about["clustering"] for about, _ in labelings}):
        members = [(about, labels) for about, labels in labelings if about["clustering"] == method]
        entities = members[0][1].index
        columns, stack = [], []
        for about, labels in members:
            if not labels.index.equals(entities):
                raise DataError("clusterings of different entities can't be compared", where=f"study {study}, {method}")
            for column in labels.columns[labels.columns.str.fullmatch(r"k_\d+")]:
                columns.append((about["view"], about["representation"], int(column[2:])))
                stack.append(labels[column].to_numpy())
        if not stack:
            continue
        ari = pairwise_ari(np.stack(stack, axis=1))
        for i, j in zip(*np.triu_indices(len(columns), k=1), strict=True):
            rows.append((study, method, *columns[i], *columns[j], ari[i, j]))
    names = ["study", "clustering", "view_a", "representation_a", "k_a", "view_b", "representation_b", "k_b", "ari"]
    # an empty table has its types too
    return pd.DataFrame(rows, columns=names).astype({"k_a": "int64", "k_b": "int64", "ari": "float64"})


def _centroid_distance(scores: np.ndarray, centers: np.ndarray, labels: np.ndarray) -> np.ndarray:
    noise = labels == NOISE
    distance = np.full(len(scores), np.nan)
    distance[~noise] = np.linalg.norm(scores[~noise] - centers[labels[~noise]], axis=1)
    if len(centers):
        distance[noise] = cdist(scores[noise], centers).min(axis=1)
    return distance


def _sweep_metrics(sweep: Sweep, split: str = "all") -> list[dict]:
    """Silhouette, inertia or BIC at each k, and the best k; of hdbscan the share of noise too."""
    records = [
        {"k": k, "metric": metric, "value": value, "seed": sweep.random_state, "split": split}
        for metric in ("silhouette", "inertia", "bic")
        for k, value in zip(sweep.k, getattr(sweep, metric), strict=True)
        if not np.isnan(value)
    ]
    overall = {"best_k": sweep.best_k}
    if sweep.algorithm == "hdbscan":
        overall["noise_share"] = float((sweep.labels == NOISE).mean())
    overall = [{"metric": m, "value": v, "seed": sweep.random_state, "split": split} for m, v in overall.items()]
    return [*records, *overall]


def _agreement_metrics(agreement: pd.DataFrame, split: str) -> list[dict]:
    """Rows (k, seed, ari) of seed_stability or bootstrap_stability."""
    return [
        {"k": row.k, "metric": "ari_to_reference", "value": row.ari, "seed": row.seed, "split": split}
        for row in agreement.itertuples()
    ]
