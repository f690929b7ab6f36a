"""What a trained model says of rows that are in no dataset: their features, by the views that the model was trained on,
then its code of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike

import numpy as np
import pandas as pd

from matlas.autoencoders.apply import embed_rows
from matlas.autoencoders.card import load_model
from matlas.clean.raw import read_raw
from matlas.errors import DataError

FORMULAS, STRUCTURES = ("formula", "composition"), ("cif", "structure", "poscar")


def embed_file(model: str | PathLike, entities: str | PathLike, device: str = "auto") -> tuple[pd.DataFrame, dict]:
    """Rows of a table of entities, without the texts of structures, followed by z_0 …, reconstruction_error,
    outside_range and why; and the model's card.

    model : its folder; entities : a table (.csv, .tsv, .xlsx, .parquet, .json) that holds either all features of the
    model by name, or what they are computed from: a column formula, or for crystals cif (or structure, poscar), and by
    name what is not computed, such as a temperature.
    Raises DataError for a row whose features can't be computed, and names it: no row is left out.
    """
    network, card = load_model(model, device)
    given = read_raw(entities).reset_index(drop=True)
    if not len(given):
        raise DataError("no rows to embed", where=entities)
    features = _features(given, card["features"], card["data"], str(entities))
    made = embed_rows(network, card, features)
    if doubled := [column for column in made if column in given]:
        raise DataError(f"column {doubled[0]!r} would stand in the result twice", where=entities, do="rename it")
    texts = [c for c in given if str(c).lower() in STRUCTURES and given[c].astype(str).str.contains("\n").any()]
    return pd.concat([given.drop(columns=texts), made], axis=1), card


def _features(given: pd.DataFrame, wanted: Sequence[str], data: Mapping, where: str) -> pd.DataFrame:
    """The features `wanted` of each row: as given, or computed by the definitions of stored views in `data` (of the
    model's card) as they were for the model, beside the columns of the dataset that it was given with them."""
    views = data["views"]
    if set(wanted) <= set(given.columns):
        return given[list(wanted)].apply(_numbers, where=where)
    for name, view in views.items():
        if view["kind"] not in ("composition", "crystal"):
            raise DataError(
                f"view {name} can't be computed from a table", where=where, expected="all features of the model by name"
            )
    crystals, symmetry = [], None
    if any(view["kind"] == "crystal" for view in views.values()):
        crystals, symmetry = _crystals(given, data["crystals"], where)
        formulas = [_formula(crystal) for crystal in crystals]
    else:
        formulas = given[_column(given, FORMULAS, where)].tolist()
    parts = [
        _geometry(crystals, symmetry, view, where) if view["kind"] == "crystal" else _statistics(formulas, view, where)
        for view in views.values()
    ]
    computed = pd.concat(parts, axis=1)
    beside = [name for name in wanted if name not in computed]
    if missing := [name for name in beside if name not in given]:
        raise DataError("a feature of the model is neither given nor computed", where=where, expected=missing[0])
    return pd.concat([computed, given[beside]], axis=1)[list(wanted)].apply(_numbers, where=where)


def _numbers(column: pd.Series, where: str) -> pd.Series:
    numbers = pd.to_numeric(column, errors="coerce").astype(float)
    if (bad := np.flatnonzero(~np.isfinite(numbers))).size:
        found = f"{column.tolist()[bad[0]]!r} in row {bad[0] + 1}"
        raise DataError(f"feature {column.name!r} is not a number in every row", where=where, found=found)
    return numbers


def _column(given: pd.DataFrame, names: Sequence[str], where: str) -> str:
    found = next((c for c in given if str(c).lower() in names), None)
    if found is None:
        raise DataError(
            "no column to compute the features from", where=where, expected=f"a column {' or '.join(names)}, or all "
            "features of the model by name", found=", ".join(map(str, given.columns[:20])),
        )  # fmt: skip
    return found


def _statistics(formulas: list[str], view: Mapping, where: str) -> pd.DataFrame:
    from matlas.composition import parse_formulas
    from matlas.features.composition import feature_fields, featurize
    from matlas.features.elements import load_element_table

    table = load_element_table(view["table"]) if view.get("table") else None
    compositions, refused = parse_formulas(formulas)
    if refused:
        row, reason = next(iter(refused.items()))
        raise DataError("a formula can't be read", where=f"{where}, row {row + 1}", found=reason)
    return pd.DataFrame(featurize(compositions, view, table), columns=[f.name for f in feature_fields(view, table)])


def _crystals(given: pd.DataFrame, reading: Mapping, where: str) -> tuple[list, pd.DataFrame]:
    """The crystals of the rows, and their symmetry. reading : shortest_distance (Å), volume_per_atom (Å³) and
    symmetry_tolerance (Å) of the dataset of the model."""
    from matlas.crystals.read import CrystalError, check_crystal, read_crystal
    from matlas.crystals.symmetry import symmetry_of

    crystals, symmetry = [], {}
    for row, structure in enumerate(given[_column(given, STRUCTURES, where)], 1):
        try:
            crystal = read_crystal(structure, str(row))
            check_crystal(crystal, reading["shortest_distance"], reading["volume_per_atom"])
            symmetry[crystal.key] = symmetry_of(crystal, reading["symmetry_tolerance"])
        except CrystalError as error:
            raise DataError(
                "a crystal can't be used", where=f"{where}, row {row}",
                expected="the text of a CIF or POSCAR, or pymatgen's JSON, of atoms that can be where they are",
                found=error,
            ) from error  # fmt: skip
        crystals.append(crystal)
    return crystals, pd.DataFrame(list(symmetry.values()), index=list(symmetry))


def _formula(crystal) -> str:
    from matlas.clean.crystals import formula_amounts
    from matlas.composition import SYMBOLS

    return "".join(f"{SYMBOLS[z]}{amount}" for z, amount in formula_amounts(crystal).items())


def _geometry(crystals: list, symmetry: pd.DataFrame, view: Mapping, where: str) -> pd.DataFrame:
    from matlas.crystals.structure import Crystals
    from matlas.features.crystal import geometry_batches
    from matlas.features.elements import load_element_table

    features, failures = geometry_batches(
        Crystals.of(crystals), symmetry, view, load_element_table(view["table"]), key="_row"
    )
    if len(failures):
        first = failures.iloc[0]
        raise DataError("a crystal has no geometry", where=f"{where}, row {first['_row']}", found=first["reason"])
    return features.drop(columns="_row")
