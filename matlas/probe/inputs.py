"""The inputs of a study's probes, from tables: raw columns, and codes of encoders that were trained for each fold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd

from matlas.encoders import encoder_of
from matlas.probe.preparation import Preparation
from matlas.represent import coordinates
from matlas.retrieval import join_views
from matlas.tables import read_table, table_info

_PLAIN = {"identity"}  # every block is standardised anyway


def read_inputs(
    dataset: str | PathLike,
    views: Sequence[str | PathLike],
    encodings: Sequence[str | PathLike],
    inputs: Mapping[str, Sequence[Mapping]],
) -> tuple[pd.DataFrame, dict[str, Preparation]]:
    """All columns that inputs are made of, indexed by the entity key, and how each input is made of them in a fold.

    views : tables of the stored views; encodings : tables of codes, one for each view and network; inputs : {name: its
    parts}, a part with view, representation, stored (views), columns (of the dataset), select (None, or n_features and
    max_correlation) and spec (of the representation).
    """
    columns = dict.fromkeys(c for parts in inputs.values() for part in parts for c in part["columns"])
    infos = {Path(view).stem: table_info(view) for view in views}
    key = table_info(dataset).key_field.name
    raw = join_views(dataset, views, columns=list(columns)).set_index(key)
    codes = {(Path(path).parts[-3], Path(path).parts[-2]): _by_fold(path, raw.index) for path in encodings}

    def part_of(part: Mapping) -> dict:
        if (space := (part["view"], part["representation"])) in codes:
            return {"encoder": codes[space]}
        stored = [c for v in part["stored"] for c in infos[v].columns if c not in infos[v].key]
        encoder = None if part["spec"]["algorithm"] in _PLAIN else encoder_of(part["spec"])
        return {
            "columns": raw.columns.get_indexer([*part["columns"], *stored]),
            "select": part["select"],
            "encoder": encoder,
        }

    return raw, {name: Preparation([part_of(part) for part in parts]) for name, parts in inputs.items()}


def _by_fold(path: str | PathLike, entities: pd.Index) -> dict[str, np.ndarray]:
    """Codes (n, d) for each fold, in the order of the entities; zeros for those that a fold has no use for."""
    table = read_table(path)
    width = coordinates(table).columns
    by_fold = {}
    for fold, rows in table.groupby("fold", sort=False):
        by_fold[fold] = np.zeros((len(entities), len(width)))
        at = entities.get_indexer(rows[entities.name])
        known = at >= 0  # another view may not describe an entity that has a code
        by_fold[fold][at[known]] = rows.loc[known, width].to_numpy()
    return by_fold


def folds_with(target: pd.Series, parts: pd.DataFrame, least: int) -> tuple[pd.DataFrame, list[str]]:
    """Parts of the folds in which at least `least` entities of part train and of part test have the target, and the
    names of the other folds."""
    known = parts[parts[target.index.name].isin(target.index[target.notna()])]
    counts = (
        known.groupby(["fold", "part"]).size().unstack(fill_value=0).reindex(columns=["train", "test"], fill_value=0)
    )
    enough = counts.index[(counts >= least).all(axis=1)]
    return parts[parts["fold"].isin(enough)], sorted(set(parts["fold"]) - set(enough))


def pairs_of(compare: Iterable[Sequence[str]], inputs: Iterable[str], heads: Iterable[str]) -> list[tuple]:
    """(input, head, against, head) of each comparison between inputs that are there."""
    there = set(inputs)
    return [(a, head, b, head) for a, b in compare if {a, b} <= there for head in heads]
