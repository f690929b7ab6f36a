"""From a raw table of formulas to a clean dataset and the rows that were refused."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from matlas.clean.columns import convert, problem, require_columns
from matlas.clean.rejects import as_rejects, within_share
from matlas.composition import (
    chemical_family,
    dominant_element,
    n_elements,
    parse_formulas,
    reduced_formulas,
)  # fmt: skip
from matlas.errors import DataError
from matlas.expressions import add_columns, looks_at_other_rows, sql_of
from schemas.config.datasets import CompositionDataset
from schemas.tables.dataset import dataset_schema

log = logging.getLogger(__name__)


def clean_compositions(
    raw: pd.DataFrame, dataset: CompositionDataset, name: str = "dataset"
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All of `clean_batches` of one raw table, and its rejects; every raw row is in exactly one of the two."""
    rejects: list[pd.DataFrame] = []
    clean = pd.concat(clean_batches([raw], dataset, name, rejects), ignore_index=True)
    return clean, as_rejects(rejects)


def clean_batches(
    raw: Iterable[pd.DataFrame], dataset: CompositionDataset, name: str, rejects: list[pd.DataFrame]
) -> Iterator[pd.DataFrame]:
    """Raw rows as `dataset_schema` has them, batch by batch; those that are refused are appended to `rejects`, as
    REJECTS has them.

    raw : one row a measurement, cells of any type, at least one frame; dataset : which columns mean what. Memory is
    that of a batch, unless a column of the dataset looks at other rows (`repeats`, a window function): then all clean
    rows are one batch.
    Raises DataError when a named column is missing, and at the end when more than `max_reject_share` of the rows are
    refused or none is left.
    """
    refused: list[pd.DataFrame] = []
    rows = kept = 0

    def good() -> Iterator[pd.DataFrame]:
        nonlocal rows, kept
        for batch in raw:
            clean, found = _cleaned(batch, dataset, name, first_row=rows + 1)
            refused.append(found)
            rows, kept = rows + len(batch), kept + len(clean)
            if len(clean):
                yield clean
        rejects.extend(refused)
        within_share(as_rejects(refused), rows, dataset.max_reject_share, name)
        if not kept:
            raise DataError("no row is left", where=name, found=f"{rows} rows, all refused")
        log.info("%s: %d rows read, %d kept, %d refused", name, rows, kept, rows - kept)

    batches = good()
    if dataset.repeats or any(map(looks_at_other_rows, sql_of(dataset))):
        batches = iter([pd.concat(batches, ignore_index=True)])
    for clean in batches:
        clean = add_columns(clean, dataset.derived, dataset.flags)
        if dataset.repeats:
            clean["repeated"] = clean.duplicated(dataset.repeats, keep="first").to_numpy()
        yield clean[dataset_schema(name, dataset).columns]


def _cleaned(
    raw: pd.DataFrame, dataset: CompositionDataset, name: str, *, first_row: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The good rows of a batch without the columns that SQL computes, and the rejects."""
    sources = {d if isinstance(d, str) else d.source for d in dataset.columns.values()}
    require_columns(raw, {dataset.formula, *sources}, name)
    rows = np.arange(first_row, first_row + len(raw))
    formulas = raw[dataset.formula].map(lambda v: v.strip() if isinstance(v, str) else v)
    compositions, unparsed = parse_formulas(formulas.tolist())
    problems = [problem([i], reason, dataset.formula, raw, rows=rows) for i, reason in unparsed.items()]

    clean = pd.DataFrame({dataset.key: rows})
    clean["composition"] = formulas.to_numpy()
    values, found = convert(raw, dataset.columns)
    for column in values:
        clean[column] = values[column].to_numpy()
    problems += [problem(np.flatnonzero(bad), reason, source, raw, rows=rows) for source, bad, reason in found]

    rejects = as_rejects(problems)
    described = np.delete(np.arange(len(raw)), list(unparsed))  # rows that `compositions` describes, in order
    clean.loc[described, "reduced_formula"] = reduced_formulas(compositions)
    clean.loc[described, "n_elements"] = n_elements(compositions)
    clean.loc[described, "chemical_family"] = chemical_family(compositions)
    clean.loc[described, "dominant_element"] = dominant_element(compositions)
    good = ~np.isin(rows, rejects["row"])
    return clean[good].reset_index(drop=True).astype({"n_elements": "int64"}), rejects
