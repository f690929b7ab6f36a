"""One clustering as a study uses it: a sweep, the labels of every entity, and what reruns say about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from matlas.cluster.stability import bootstrap_stability, pairwise_ari, seed_stability
from matlas.cluster.sweep import Sweep, sweep_seeds
from matlas.errors import DataError


@dataclass(frozen=True)
class Clustering:
    """A reference sweep of n rows, and records (schema METRICS) of it and of its reruns."""

    sweep: Sweep
    distance: np.ndarray  # (n,) to the centroid of the row's cluster at the best k
    records: list[dict]

    @property
    def n_responsibilities(self) -> int:
        return 0 if self.sweep.responsibilities is None else self.sweep.responsibilities.shape[1]

    def labels_frame(self, entities: pd.Index) -> pd.DataFrame:
        """Labels as `cluster_schema` has them; entities : (n,) keys in the order of the scores."""
        best = self.sweep.k.index(self.sweep.best_k)
        frame = pd.DataFrame(
            {entities.name: entities, "cluster": self.sweep.labels[:, best], "distance": self.distance}
        )
        columns = {f"k_{k}": self.sweep.labels[:, i] for i, k in enumerate(self.sweep.k)}
        columns |= {f"responsibility_{i}": self.sweep.responsibilities[:, i] for i in range(self.n_responsibilities)}
        return pd.concat([frame, pd.DataFrame(columns)], axis=1)


def cluster(
    scores: np.ndarray,
    groups: Sequence,
    *,
    algorithm: str,
    k: Sequence[int],
    random_state: int,
    stability: Mapping,
    **options,
) -> Clustering:
    """Cluster scores (n, d) at each k, once for the labels, and again with other seeds and on bootstrap samples of
    `groups` (n,) as `stability` asks (seeds, bootstraps); options go to the algorithm (matlas.cluster.sweep)."""
    seeds = [random_state + i for i in range(max(1, stability["seeds"]))]
    reference, *others = sweeps = sweep_seeds(scores, seeds, algorithm=algorithm, k=k, **options)
    records = _sweep_metrics(reference)
    if stability["seeds"]:
        records += [record for other in sweeps for record in _sweep_metrics(other, split="seed")]
        records += _agreement_metrics(seed_stability(others, reference), "seed")
    if stability["bootstraps"]:
        drawn = bootstrap_stability(
            scores, groups, reference, n_bootstrap=stability["bootstraps"], random_state=random_state, **options
        )
        records += _agreement_metrics(drawn, "bootstrap")
    best = reference.k.index(reference.best_k)
    distance = np.linalg.norm(scores - reference.centers[best][reference.labels[:, best]], axis=1)
    return Clustering(reference, distance, records)


def agreement(labelings: Sequence[tuple[Mapping[str, str], pd.DataFrame]], study: str) -> pd.DataFrame:
    """Adjusted Rand index between every two labelings of the same clustering method, as schema AGREEMENT has it.

    labelings : (attributes, labels) of each clustering table, indexed by the entity key; attributes name view,
    representation and clustering. Raises DataError when two tables are not about the same entities.
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
        ari = pairwise_ari(np.stack(stack, axis=1))
        for i, j in zip(*np.triu_indices(len(columns), k=1), strict=True):
            rows.append((study, method, *columns[i], *columns[j], ari[i, j]))
    names = ["study", "clustering", "view_a", "representation_a", "k_a", "view_b", "representation_b", "k_b", "ari"]
    return pd.DataFrame(rows, columns=names)


def _sweep_metrics(sweep: Sweep, split: str = "all") -> list[dict]:
    """Silhouette, inertia or BIC at each k, and the best k."""
    records = [
        {"k": k, "metric": metric, "value": value, "seed": sweep.random_state, "split": split}
        for metric in ("silhouette", "inertia", "bic")
        for k, value in zip(sweep.k, getattr(sweep, metric), strict=True)
        if not np.isnan(value)
    ]
    best = {"metric": "best_k", "value": sweep.best_k, "seed": sweep.random_state, "split": split}
    return [*records, best]


def _agreement_metrics(agreement: pd.DataFrame, split: str) -> list[dict]:
    """Rows (k, seed, ari) of seed_stability or bootstrap_stability."""
    return [
        {"k": row.k, "metric": "ari_to_reference", "value": row.ari, "seed": row.seed, "split": split}
        for row in agreement.itertuples()
    ]
