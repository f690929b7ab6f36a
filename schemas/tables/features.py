"""Feature views and the element tables that they are computed from."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.fields import FIELDS
from schemas.table import Field, TableSchema


def feature_schema(view: str, key: Field, fields: Sequence[Field]) -> TableSchema:
    """A feature view: one row a distinct entity (a composition, an image)."""
    return TableSchema(view, "features", (key.name,), (key, *fields))


def altered_schema(view: str, key: Field, fields: Sequence[Field]) -> TableSchema:
    """The features of altered copies of some entities."""
    alteration = FIELDS["alteration"]
    return TableSchema(view, "altered", (key.name, alteration.name), (key, alteration, *fields))


def element_schema(table: str, properties: Sequence[Field]) -> TableSchema:
    """An element-property table: one row an element."""
    symbol = Field("symbol", "string", "", "Chemical symbol")
    number = Field("atomic_number", "int64", "1", "Atomic number", minimum=1, maximum=118)
    return TableSchema(table, "elements", ("symbol",), (symbol, number, *properties))
