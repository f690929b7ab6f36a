"""Clean datasets, and the rows that were refused."""

from __future__ import annotations

from dataclasses import replace

from schemas.config import Column, Dataset, Derived
from schemas.fields import FIELDS
from schemas.table import Field, TableSchema

IDENTITY = ("composition", "reduced_formula", "n_elements", "chemical_family", "dominant_element")


def dataset_schema(name: str, dataset: Dataset) -> TableSchema:
    """The contract of a clean table. Raises KeyError for a column that neither the dictionary nor the dataset
    describes (config loading refuses it earlier)."""
    key = FIELDS.get(dataset.key) or replace(FIELDS["row_id"], name=dataset.key)
    fields = [key, *(FIELDS[column] for column in IDENTITY)]
    fields += [column_field(column, d) for column, d in dataset.columns.items()]
    fields += [derived_field(column, d) for column, d in dataset.derived.items()]
    fields += [derived_field(column, d, dtype="bool") for column, d in dataset.flags.items()]
    if dataset.repeats:
        fields.append(FIELDS["repeated"])
    return TableSchema(name, "datasets", (dataset.key,), tuple(fields), description=dataset.title)


def column_field(name: str, column: str | Column) -> Field:
    """The dictionary's field, with what the dataset says about it on top."""
    if isinstance(column, str):
        return FIELDS[name]
    known = FIELDS.get(name) or Field(name, "float64", "1", "")
    said = {
        a: getattr(column, a)
        for a in ("unit", "description", "dtype", "minimum", "maximum")
        if getattr(column, a) is not None
    }
    return replace(known, nullable=column.nullable, **said)


def derived_field(name: str, derived: str | Derived, dtype: str = "float64") -> Field:
    """A column computed by SQL: a number, or a flag. It may be empty where its inputs are."""
    known = FIELDS.get(name)
    sql, unit, description = (derived, None, None) if isinstance(derived, str) else (
        derived.sql, derived.unit, derived.description)  # fmt: skip
    if known is not None:
        return known
    default_unit = "" if dtype == "bool" else "1"
    return Field(name, dtype, unit or default_unit, description or f"Computed as {sql}", nullable=dtype != "bool")


REJECTS = TableSchema(
    "rejects", "rejects", ("row", "column"), tuple(FIELDS[f] for f in ("row", "reason", "column", "value", "raw")),
    description="Rows refused by the clean stage",
)  # fmt: skip
