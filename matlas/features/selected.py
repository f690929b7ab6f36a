"""Views that are chosen from others: columns that explain most of all of them, by the training rows of a split."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from matlas.errors import DataError
from matlas.probe.selection import DescriptorSelector
from matlas.probe.splits import TRAIN, part_of
from schemas.tables.learning import SELECTION


def select(features: pd.DataFrame, parts: pd.DataFrame, spec: Mapping) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The chosen columns of `features`, in the order in which they were chosen, and what became of every column
    (schema SELECTION).

    features : (n, p), indexed by the entity key; parts : key, fold, part of a split with one fold; spec : n_features
    and max_correlation. Raises DataError for a split of several folds, and when too few columns are left.
    """
    if parts["fold"].nunique() != 1:
        raise DataError("columns are chosen on one fold", found=f"{parts['fold'].nunique()} folds")
    train = (part_of(features.index, parts) == TRAIN).to_numpy()
    selector = DescriptorSelector(spec["n_features"], spec["max_correlation"]).fit(features[train])
    report = selector.report(list(features.columns)).rename(columns={"variance_explained": "explained"})
    return features.iloc[:, selector.support_], report[SELECTION.columns]
