"""What a table is: a key, columns from the data dictionary, and checks; rendered as a pandera schema."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandera.pandas as pa

DTYPES = ("float64", "int64", "bool", "string")


@dataclass(frozen=True)
class Field:
    """One column: what it means and which values it may hold.

    unit : as in SI, "1" for a dimensionless number, "" for text and flags; minimum, maximum : inclusive bounds;
    allowed : the values of an enumeration; label : the name in the literature or in a peer library.
    """

    name: str
    dtype: str
    unit: str
    description: str
    citation: str = ""
    minimum: float | None = None
    maximum: float | None = None
    allowed: tuple = ()
    nullable: bool = False
    label: str = ""

    def __post_init__(self):
        if self.dtype not in DTYPES:
            raise ValueError(f"field {self.name}: dtype {self.dtype!r} is not one of {DTYPES}")


@dataclass(frozen=True)
class TableSchema:
    """The contract of one table: `key` columns are unique together; no column beyond `fields`."""

    name: str
    layer: str
    key: tuple[str, ...]
    fields: tuple[Field, ...]
    version: str = "1"
    description: str = ""
    ordered: tuple[tuple[str, str], ...] = field(default=())  # pairs (a, b) of columns with a <= b in every row

    def __post_init__(self):
        names = self.columns
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ValueError(f"table {self.name}: columns declared twice: {doubled}")
        missing = [name for name in self.key if name not in names]
        if missing:
            raise ValueError(f"table {self.name}: key columns without a field: {missing}")

    @property
    def columns(self) -> list[str]:
        return [f.name for f in self.fields]

    def pandera(self) -> pa.DataFrameSchema:
        """The same contract as an eager pandera schema. The writer itself checks that the key is unique, over all
        batches, since one batch can't see a duplicate in another."""
        import pandera.pandas as pa

        def column(f: Field) -> pa.Column:
            checks = []
            if f.minimum is not None:
                checks.append(pa.Check.ge(f.minimum))
            if f.maximum is not None:
                checks.append(pa.Check.le(f.maximum))
            if f.allowed:
                checks.append(pa.Check.isin(list(f.allowed)))
            if f.dtype == "float64":
                checks.append(pa.Check(lambda s: ~s.isin([float("inf"), float("-inf")]), name="finite"))
            dtype = {"string": "object", "int64": "Int64" if f.nullable else "int64"}.get(f.dtype, f.dtype)
            if f.dtype == "string":
                checks.append(pa.Check(lambda s: s.map(lambda v: isinstance(v, str)), name="text"))
            return pa.Column(dtype, checks=checks, nullable=f.nullable)

        across = [
            pa.Check(lambda df, a=a, b=b: df[a] <= df[b], name=f"{a} <= {b}", ignore_na=True) for a, b in self.ordered
        ]
        return pa.DataFrameSchema(
            {f.name: column(f) for f in self.fields}, checks=across, strict=True, ordered=True, name=self.name
        )
