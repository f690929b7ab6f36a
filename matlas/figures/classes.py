"""True classes, and colours that stay with them: a cluster that stands for a class has its colour."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from matlas.evaluate.external import contingency
from matlas.figures.study_data import NOISE, StudyData, cluster_name
from matlas.figures.style import colour, marker


def class_numbers(data: StudyData) -> dict[str, int]:
    """Number of each true class in the palette, in the order of their names; none where no classes are known."""
    if data.label is None:
        return {}
    return {str(name): number for number, name in enumerate(sorted(data.entities[data.label].dropna().unique()))}


def matched_classes(data: StudyData, labels: pd.Series) -> dict[int, str]:
    """The class that each cluster stands for, in the one-to-one matching that puts most entities into the cluster of
    their class; without noise, and without clusters that hold none of the class left for them.

    labels : cluster of each entity, indexed by its position. The matching: matlas.evaluate.external.
    """
    if data.label is None:
        return {}
    truth, clusters = data.entities.loc[labels.index, data.label].to_numpy(dtype=object), labels.to_numpy()
    told = (clusters != NOISE) & pd.notna(truth)
    if not told.any():
        return {}
    pairs = contingency(truth[told], clusters[told])
    return {int(pair.cluster): str(pair.label) for pair in pairs[pairs["matched"]].itertuples()}


def cluster_numbers(data: StudyData, labels: pd.Series) -> dict[int, int]:
    """Number of each cluster in the palette: that of the class it stands for, further ones for the other clusters;
    without classes its own; -1 for noise."""
    clusters = sorted(int(cluster) for cluster in labels.unique())
    classes = class_numbers(data)
    if not classes:
        return {cluster: cluster for cluster in clusters}
    stands_for = matched_classes(data, labels)
    others = [cluster for cluster in clusters if cluster not in stands_for and cluster != NOISE]
    numbers = {cluster: classes[name] for cluster, name in stands_for.items()}
    numbers |= {cluster: len(classes) + place for place, cluster in enumerate(others)}
    return {cluster: numbers.get(cluster, NOISE) for cluster in clusters}


def cluster_names(data: StudyData, labels: pd.Series) -> dict[int, str]:
    """Short name of each cluster, as "3 · scratches": the class whose colour it has, else its most common
    description."""
    matched = {cluster: cluster_name(cluster, name) for cluster, name in matched_classes(data, labels).items()}
    return data.cluster_names(labels) | matched


def class_handles(numbers: dict[str, int]) -> list[Line2D]:
    """Entries of a legend: a dot for each class."""
    return [
        Line2D([], [], ls="none", marker=marker(number), ms=7, color=colour(number), mec="none", label=name)
        for name, number in numbers.items()
    ]


def sorted_clusters(clusters: np.ndarray) -> list[int]:
    """Distinct clusters in order, noise last."""
    return sorted({int(cluster) for cluster in clusters}, key=lambda cluster: (cluster == NOISE, cluster))
