"""From a raw table of formulas to a clean dataset and the rows that were refused."""

from __future__ import annotations

import logging

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
from matlas.expressions import add_columns
from schemas.config.datasets import CompositionDataset
from schemas.tables.dataset import dataset_schema

log = logging.getLogger(__name__)


def clean_compositions(
    raw: pd.DataFrame, dataset: CompositionDataset, name: str = "dataset"
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split raw rows into a clean table and rejects; every raw row is in exactly one of the two.

    raw : one row a measurement, cells of any type; dataset : which columns mean what.
    Returns (clean, rejects): clean as `dataset_schema` has it; rejects with row, reason, column, value, raw.
    Raises DataError when a named column is missing or more than `max_reject_share` of the rows are refused.
    """
    sources = {d if isinstance(d, str) else d.source for d in dataset.columns.values()}
    require_columns(raw, {dataset.formula, *sources}, name)
    rows = np.arange(1, len(raw) + 1)
    problems: list[pd.DataFrame] = []

    formulas = raw[dataset.formula].map(lambda v: v.strip() if isinstance(v, str) else v)
    compositions, unparsed = parse_formulas(formulas.tolist())
    problems += [problem([i], reason, dataset.formula, raw) for i, reason in unparsed.items()]

    clean = pd.DataFrame({dataset.key: rows})
    clean["composition"] = formulas
    values, found = convert(raw, dataset.columns)
    for column in values:
        clean[column] = values[column].to_numpy()
    problems += [problem(np.flatnonzero(bad), reason, source, raw) for source, bad, reason in found]

    rejects = as_rejects(problems)
    good = ~np.isin(rows, rejects["row"])
    within_share(rejects, len(raw), dataset.max_reject_share, name)
    kept = np.delete(np.arange(len(raw)), list(unparsed))  # rows that `compositions` describes, in order
    clean.loc[kept, "reduced_formula"] = reduced_formulas(compositions)
    clean.loc[kept, "n_elements"] = n_elements(compositions)
    clean.loc[kept, "chemical_family"] = chemical_family(compositions)
    clean.loc[kept, "dominant_element"] = dominant_element(compositions)
    clean = clean[good].reset_index(drop=True).astype({"n_elements": "int64"})
    if not good.any():
        raise DataError("no row is left", where=name, found=f"{len(raw)} rows, all refused")
    clean = add_columns(clean, dataset.derived, dataset.flags)
    if dataset.repeats:
        clean["repeated"] = clean.duplicated(dataset.repeats, keep="first").to_numpy()
    log.info("%s: %d rows read, %d kept, %d refused", name, len(raw), int(good.sum()), int((~good).sum()))
    return clean[dataset_schema(name, dataset).columns], rejects
