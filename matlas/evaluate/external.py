"""Agreement of labelings with known classes that no clustering has seen.

A cluster number means nothing by itself, so the scores compare partitions: the adjusted Rand index (0 by chance),
normalised mutual information and purity, which both grow with the number of clusters whatever the labels. Each comes
with the score of the same labels shuffled over the rows: what chance gives at that number and size of clusters.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from matlas.cluster.reruns import rerun_labels
from matlas.cluster.silhouette import label_columns
from matlas.errors import DataError
from matlas.evaluate.alignment import class_codes, rows_of

log = logging.getLogger(__name__)

SPACE = ("dataset", "view", "representation", "clustering")
METRICS = ("ari", "nmi", "purity")


def external_scores(truth: Sequence, labels: np.ndarray, *, seed: int = 0) -> pd.DataFrame:
    """Scores of labelings against classes, one row a labeling.

    truth : (n,) class of each row, None or NaN where it is unknown: such rows are left out; labels : (n, m) integer
    cluster names, one labeling a column, where -1 (noise) counts as one more cluster; seed : of the shuffles.
    Columns: ari, adjusted Rand index (Hubert and Arabie 1985, doi:10.1007/BF01908075); nmi, mutual information over the
    geometric mean of the entropies (Strehl and Ghosh 2002, JMLR 3, 583); purity, the share of rows whose class is the
    most common one of their cluster; ari_chance, nmi_chance and purity_chance, the same after one random permutation of
    each labeling; rows, how many have a class. Equal to scikit-learn's scores to 1e-12.
    Raises DataError when labels are not (n, m) integers or no row has a class.
    """
    classes, _ = class_codes(truth)
    labels = label_columns(labels, len(classes))
    known = classes >= 0
    classes, labels = classes[known], labels[known]
    shuffled = np.random.default_rng(seed).permuted(labels, axis=0)
    scores = _scores(_tables(classes, labels)) | {
        f"{m}_chance": v for m, v in _scores(_tables(classes, shuffled)).items()
    }
    return pd.DataFrame(scores).assign(rows=len(classes))


def contingency(truth: Sequence, labels: np.ndarray) -> pd.DataFrame:
    """How the rows of each class fall into clusters: label, cluster, entities (count), matched, one row a pair.

    truth : (n,) classes, None or NaN where unknown; labels : (n,) integers. Every class appears with every cluster,
    sorted, zeros too. matched : the pair is in the one-to-one matching of clusters to classes with the most rows
    (Kuhn 1955, doi:10.1002/nav.3800020109); pairs without a row are never matched, and with more clusters than classes
    some clusters have no match, or the other way round. Raises DataError as `external_scores` does.
    """
    classes, names = class_codes(truth)
    clusters, codes = np.unique(label_columns(np.asarray(labels)[:, None], len(classes)), return_inverse=True)
    codes, known = codes.ravel(), classes >= 0
    counts = np.zeros((len(names), len(clusters)), dtype=np.int64)
    np.add.at(counts, (classes[known], codes[known]), 1)
    matched = np.zeros(counts.shape, dtype=bool)
    matched[linear_sum_assignment(counts, maximize=True)] = True
    return pd.DataFrame(
        {
            "label": np.repeat(names, len(clusters)),
            "cluster": np.tile(clusters, len(names)),
            "entities": counts.ravel(),
            "matched": (matched & (counts > 0)).ravel(),
        }
    )


def classes_of_clusters(truth: Sequence, labels: np.ndarray) -> np.ndarray:
    """(n,) class that each row's cluster stands for in the matching of `contingency`; None where it has no match."""
    pairs = contingency(truth, labels)
    stands_for = dict(pairs.loc[pairs["matched"], ["cluster", "label"]].itertuples(index=False))
    return np.array([stands_for.get(label) for label in labels], dtype=object)


def scores(
    study: str, runs: Sequence[tuple[Mapping[str, str], pd.DataFrame]], truth: pd.Series, *, seed: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """External scores of every labeling of a study's clusterings, and contingency tables.

    runs : (attributes, reruns) of each clustering; attributes name dataset, view, representation and clustering, reruns
    is as matlas.cluster.reruns has it, indexed by the entity key; truth : class of each entity (None where unknown),
    indexed by the key; seed : of the shuffles.
    Returns (scores, contingency). scores : study, dataset, view, representation, clustering, k, seed, metric, value,
    one row a labeling and metric (ari, nmi, purity, each also as *_chance). contingency : study … seed, label,
    cluster, entities, matched, of the labelings whose k is the number of classes.
    Raises DataError when an entity is not in `truth`, and as `external_scores` does.
    """
    scored, tables = [], []
    for about, reruns in runs:
        classes = rows_of(truth, reruns.index, "labels").to_numpy(dtype=object)
        seeds, ks, labels = rerun_labels(reruns)
        here = {"study": study, **{name: about[name] for name in SPACE}}
        table = external_scores(classes, labels, seed=seed)
        log.info("%s: %d of %d entities have a class", "/".join(here.values()), table["rows"].iloc[0], len(reruns))
        wide = table.drop(columns="rows").assign(k=ks, seed=seeds, **here)
        scored.append(wide.melt([*here, "k", "seed"], var_name="metric", value_name="value", ignore_index=False))
        n_classes = len(class_codes(classes)[1])
        for i in np.flatnonzero(np.equal(ks, n_classes)):
            tables.append(contingency(classes, labels[:, i]).assign(k=ks[i], seed=seeds[i], **here))
    if not scored:
        raise DataError("no clustering to score", where=f"study {study}")
    key = ["study", *SPACE, "k", "seed"]
    columns = [*key, "label", "cluster", "entities", "matched"]
    nothing = pd.DataFrame(columns=columns).astype(
        {"k": "int64", "seed": "int64", "cluster": "int64", "entities": "int64", "matched": "bool"}
    )
    matches = pd.concat(tables, ignore_index=True)[columns] if tables else nothing
    # the labelings in the order of their columns, the metrics of one together
    ordered = [table.sort_index(kind="stable") for table in scored]
    return pd.concat(ordered, ignore_index=True)[[*key, "metric", "value"]], matches


def _tables(classes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(m, classes, clusters) counts; a labeling with fewer clusters than another has columns of zeros."""
    m = labels.shape[1]
    codes = np.stack([np.unique(column, return_inverse=True)[1] for column in labels.T])
    shape = (m, classes.max() + 1, codes.max() + 1)
    cells = (np.arange(m)[:, None] * shape[1] + classes) * shape[2] + codes
    return np.bincount(cells.ravel(), minlength=np.prod(shape)).reshape(shape).astype(float)


def _scores(tables: np.ndarray) -> dict[str, np.ndarray]:
    n = tables[0].sum()
    of_class, of_cluster = tables.sum(axis=2), tables.sum(axis=1)
    return {
        "ari": _adjusted_rand(tables, of_class, of_cluster, n),
        "nmi": _normalised_mutual_information(tables / n, of_class / n, of_cluster / n),
        "purity": tables.max(axis=1).sum(axis=1) / n,
    }


def _adjusted_rand(tables: np.ndarray, of_class: np.ndarray, of_cluster: np.ndarray, n: float) -> np.ndarray:
    pairs, same_class, same_cluster = (
        (counts * (counts - 1)).sum(axis=tuple(range(1, counts.ndim))) for counts in (tables, of_class, of_cluster)
    )
    expected = same_class * same_cluster / max(n * (n - 1), 1)
    largest = (same_class + same_cluster) / 2
    agree = (pairs == same_class) & (pairs == same_cluster)  # equal partitions, of one cluster each among them
    return np.divide(pairs - expected, largest - expected, out=np.ones(len(tables)), where=~agree)


def _normalised_mutual_information(joint: np.ndarray, p_class: np.ndarray, p_cluster: np.ndarray) -> np.ndarray:
    of_class, of_cluster = _entropy(p_class), _entropy(p_cluster)
    mutual = of_class + of_cluster - _entropy(joint.reshape(len(joint), -1))
    # less than rounding is none; two partitions of one cluster each are the same partition
    alike = (of_class == 0) & (of_cluster == 0)
    mean = np.sqrt(of_class * of_cluster)
    return np.divide(mutual, mean, out=alike.astype(float), where=(mutual > 1e-14) & (mean > 0))


def _entropy(p: np.ndarray) -> np.ndarray:
    """Of each row of probabilities (m, c), in nats."""
    return -(p * np.log(p, out=np.zeros_like(p), where=p > 0)).sum(axis=1)
