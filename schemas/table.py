"""What a table is: a key, columns from the data dictionary, and checks; rendered as a pandera schema."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    import pandera.pandas as pa

# what a column of each dtype may be in pandas; text is held as objects or as one of pandas' string types
DTYPES = {
    "float64": ("float64",),
    "int64": ("int64", "Int64"),
    "bool": ("bool",),
    "string": ("object", "string", "str", "string[pyarrow]"),
}


_EMPTY = {"string": object}  # other dtypes bear pandas' own names


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
            raise ValueError(f"field {self.name}: dtype {self.dtype!r} is not one of {tuple(DTYPES)}")
        if self.dtype in ("bool", "string") and (self.minimum is not None or self.maximum is not None):
            raise ValueError(f"field {self.name}: a {self.dtype} has no minimum or maximum")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"field {self.name}: minimum {self.minimum} is above maximum {self.maximum}")
        if self.allowed and self.dtype != "string":
            raise ValueError(f"field {self.name}: only text can be an enumeration")
        if self.nullable and self.dtype == "bool":
            raise ValueError(f"field {self.name}: a flag is never empty")


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

    def empty(self) -> pd.DataFrame:
        """The table without rows, its columns of the right dtypes."""
        import pandas as pd

        return pd.DataFrame({f.name: pd.Series(dtype=_EMPTY.get(f.dtype, f.dtype)) for f in self.fields})

    def pandera(self) -> pa.DataFrameSchema:
        """The same contract as an eager pandera schema. The writer itself checks that the key is unique, over all
        batches, since one batch can't see a duplicate in another."""
        import pandera.pandas as pa

        def column(f: Field) -> pa.Column:
            # dtypes by name: pandera takes Float64 or Arrow's double for float64 as well
            checks = [pa.Check(lambda s: str(s.dtype) in DTYPES[f.dtype], name=f"dtype {f.dtype}")]
            if f.minimum is not None:
                checks.append(pa.Check.ge(f.minimum))
            if f.maximum is not None:
                checks.append(pa.Check.le(f.maximum))
            if f.allowed:
                checks.append(pa.Check.isin(list(f.allowed)))
            if f.dtype == "float64":
                checks.append(pa.Check(lambda s: ~s.isin([float("inf"), float("-inf")]), name="finite"))
            if f.dtype == "string":
                checks.append(pa.Check(lambda s: s.map(_is_text).astype(bool), name="text"))
            return pa.Column(checks=checks, nullable=f.nullable)

        across = [
            pa.Check(
                lambda df, a=a, b=b: df[a].isna() | df[b].isna() | (df[a] <= df[b]), name=f"{a} <= {b}", ignore_na=False
            )
            for a, b in self.ordered
        ]
        return pa.DataFrameSchema(
            {f.name: column(f) for f in self.fields}, checks=across, strict=True, ordered=True, name=self.name
        )


def _is_text(value: object) -> bool:
    """A string that UTF-8 can hold; JSON sources can smuggle in halves of surrogate pairs."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
