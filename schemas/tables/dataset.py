"""Clean datasets, and the rows that were refused."""

from __future__ import annotations

from dataclasses import replace

from schemas.config.datasets import (
    Column,
    CompositionDataset,
    CrystalDataset,
    CubeDataset,
    Dataset,
    Derived,
    ImageDataset,
)
from schemas.fields import FIELDS
from schemas.table import Field, TableSchema

COMPOSITION = ("composition", "reduced_formula", "n_elements", "chemical_family", "dominant_element")
SYMMETRY = (
    "space_group_number", "space_group", "crystal_system", "centrosymmetric", "point_group_order", "standard_a",
    "standard_b", "standard_c", "standard_alpha", "standard_beta", "standard_gamma", "n_sites_primitive", "n_orbits",
)  # fmt: skip
CELL = ("cell_a", "cell_b", "cell_c", "cell_alpha", "cell_beta", "cell_gamma", "cell_volume")
CRYSTAL = (
    *COMPOSITION, "chemical_system", "anonymous_formula", "prototype", "n_sites", *CELL, "disordered", *SYMMETRY,
)  # fmt: skip
IMAGE = (
    "width", "height", "bits", "channels", "conversion", "brightness", "contrast", "sharpness", "sha256", "similar_to",
    "duplicate", "near_duplicate",
)  # fmt: skip
PIXEL = ("pixel_y", "pixel_x", "total")


def dataset_schema(name: str, dataset: Dataset) -> TableSchema:
    """The contract of a clean table. Raises KeyError for a column that neither the dictionary nor the dataset
    describes, ValueError for one that they describe in different ways (loading config/ refuses both)."""
    of_kind = {
        "image": _image_fields, "crystal": _crystal_fields, "composition": _composition_fields, "cube": _cube_fields
    }  # fmt: skip
    fields = of_kind[dataset.kind](dataset)
    fields += [derived_field(column, d) for column, d in dataset.derived.items()]
    fields += [derived_field(column, d, dtype="bool") for column, d in dataset.flags.items()]
    if getattr(dataset, "repeats", None):
        fields.append(FIELDS["repeated"])
    return TableSchema(name, "datasets", (dataset.key,), tuple(fields), description=dataset.title)


def fixed_columns(dataset: Dataset) -> tuple[str, ...]:
    """Names that a dataset of this kind has anyway, which a definition can't give to columns of its own."""
    of_kind = {
        "image": (*IMAGE, "label"),
        "crystal": (*CRYSTAL, "values_differ", *(flag_of(name) for name in getattr(dataset, "tables", {}))),
        "composition": (*COMPOSITION, "formula", "repeated"),
        "cube": (*PIXEL, *abundances_of(dataset), "material"),
    }
    return (dataset.key, *of_kind[dataset.kind])


def _composition_fields(dataset: CompositionDataset) -> list[Field]:
    key = _key(dataset, "row_id", "the number of a row")
    columns = [column_field(column, d) for column, d in dataset.columns.items()]
    return [key, *(FIELDS[column] for column in COMPOSITION), *columns]


def _image_fields(dataset: ImageDataset) -> list[Field]:
    key = _key(dataset, "image_id", "the path of an image")
    return [key, *([FIELDS["label"]] if dataset.labels else []), *(FIELDS[column] for column in IMAGE)]


def abundances_of(dataset: Dataset) -> list[str]:
    """The columns with the abundance of each material that a dataset of pixels gives, in their order."""
    truth = getattr(dataset, "truth", None)
    return [f"abundance_{material}" for material in truth.materials] if truth else []


def _cube_fields(dataset: CubeDataset) -> list[Field]:
    key = _key(dataset, "pixel_id", "the number of a pixel")
    shares = [
        Field(name, "float64", "1", f"Share of {name.removeprefix('abundance_')} in the pixel, as the source gives it")
        for name in abundances_of(dataset)
    ]
    return [key, *(FIELDS[column] for column in PIXEL), *shares, *([FIELDS["material"]] if shares else [])]


def flag_of(table: str) -> str:
    """The column that says whether a table of a dataset of crystals holds the crystal."""
    return f"in_{table}"


def crystal_columns(dataset: CrystalDataset) -> dict[str, str | Column]:
    """What the tables of a dataset of crystals give, each column by its first definition."""
    return {column: d for part in reversed(dataset.parts.values()) for column, d in part.columns.items()}


def crystal_key(dataset: CrystalDataset) -> Field:
    return _key(dataset, "material_id", "the identifier of a crystal")


def parsed_schema(name: str, key: Field) -> TableSchema:
    """What the structures of some crystals say: the columns that every dataset of crystals has."""
    return TableSchema(name, "parsed", (key.name,), (key, *(FIELDS[column] for column in CRYSTAL)))


def _crystal_fields(dataset: CrystalDataset) -> list[Field]:
    key = crystal_key(dataset)
    # no table need hold all crystals, so any of its columns can be empty
    columns = [replace(column_field(c, d), nullable=True) for c, d in crystal_columns(dataset).items()]
    flags = [Field(flag_of(t), "bool", "", f"Table {t} of the source holds the crystal") for t in dataset.tables]
    differ = [FIELDS["values_differ"]] if dataset.tables else []
    return [key, *(FIELDS[column] for column in CRYSTAL), *columns, *flags, *differ]


def sites_schema(name: str, key: Field) -> TableSchema:
    """The sites of the crystals of a dataset, a row a species on a site; the cell stands in the dataset's own table."""
    fields = tuple(FIELDS[f] for f in ("site", "element", "occupancy", "frac_x", "frac_y", "frac_z"))
    return TableSchema(name, "sites", (key.name, "site", "element"), (key, *fields))


def _key(dataset: Dataset, usual: str, meaning: str) -> Field:
    key = FIELDS.get(dataset.key) or replace(FIELDS[usual], name=dataset.key)
    if key.dtype != FIELDS[usual].dtype:
        raise ValueError(f"key {dataset.key!r} holds {key.dtype} in the data dictionary, not {meaning}")
    return key


def column_field(name: str, column: str | Column) -> Field:
    """The dictionary's field, with what the dataset says about it on top."""
    if isinstance(column, str):
        return FIELDS[name]
    dtype = column.dtype or "float64"
    known = FIELDS.get(name) or Field(name, dtype, "" if dtype == "string" else "1", "")
    said = {
        a: getattr(column, a)
        for a in ("unit", "description", "dtype", "minimum", "maximum")
        if getattr(column, a) is not None
    }
    return replace(known, nullable=column.nullable, **said)


def derived_field(name: str, derived: str | Derived, dtype: str = "float64") -> Field:
    """A column computed by SQL: a number, or a flag. A number may be empty where its inputs are.

    Raises ValueError for a name that the dictionary gives to a column of another dtype.
    """
    sql = derived if isinstance(derived, str) else derived.sql
    known = FIELDS.get(name) or Field(name, dtype, "" if dtype == "bool" else "1", f"Computed as {sql}")
    if known.dtype != dtype:
        raise ValueError(f"column {name!r} holds {known.dtype} in the data dictionary, not {dtype}")
    said = {} if isinstance(derived, str) else derived.model_dump(include={"unit", "description"}, exclude_none=True)
    return replace(known, nullable=dtype != "bool", **said)


REJECTS = TableSchema(
    "rejects", "rejects", ("row", "column"), tuple(FIELDS[f] for f in ("row", "reason", "column", "value", "raw")),
    description="Rows refused by the clean stage",
)  # fmt: skip
