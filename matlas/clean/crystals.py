"""From raw tables of crystals to a clean dataset, its sites, and the rows that were refused: shards parse, one
gathers."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pymatgen.core import Composition

from matlas.clean.rejects import as_rejects, within_share
from matlas.composition import (
    SYMBOLS,
    Compositions,
    chemical_family,
    dominant_element,
    n_elements,
    parse_formulas,
    reduced_formulas,
)  # fmt: skip
from matlas.crystals.limits import TimeLimitExceeded, time_limit
from matlas.crystals.read import CrystalError, check_crystal, read_crystal, site_numbers
from matlas.crystals.structure import Crystal, parameters_of
from matlas.crystals.symmetry import prototype_of, symmetry_of
from matlas.errors import DataError
from matlas.expressions import add_columns
from matlas.threads import Progress
from schemas.config.datasets import CrystalDataset
from schemas.fields import FIELDS
from schemas.tables.dataset import CELL, CRYSTAL, crystal_columns, dataset_schema, flag_of

log = logging.getLogger(__name__)

SITE = ("site", "element", "occupancy", "frac_x", "frac_y", "frac_z")
LARGEST_DENOMINATOR = 10_000  # of the atomic fractions of a disordered crystal
ROUNDING = 1e-4  # of its amounts, in atoms of the formula
DIFFERENT = 1e-3  # of the unit, or of the larger value where that is above 1
_DTYPES = {"float64": np.float64, "int64": np.int64, "bool": np.bool_, "string": object}


@dataclass(frozen=True, eq=False)
class Parsed:
    """What one shard makes of its crystals.

    crystals : the key and the columns CRYSTAL, a row a crystal; sites : the key and the columns SITE, sites in the
    order of the source; rejects : as REJECTS has it.
    """

    crystals: pd.DataFrame
    sites: pd.DataFrame
    rejects: pd.DataFrame


def parse_shard(raw: pd.DataFrame, dataset: CrystalDataset, key: str, shard: int = 0, shards: int = 1) -> Parsed:
    """Parse, check and describe every `shards`-th crystal, from number `shard` on, in the order in which identifiers
    first occur.

    raw : of `raw_crystals`; key : the name of the column of identifiers in the result. The structure of a crystal is
    that of its first row whose structure is good; bad ones before it are refused, with the reason. Each has
    `seconds_per_crystal`, which is counted in the main thread only (SIGALRM).
    """
    rows_of = raw.groupby("id", sort=False).indices
    ids = raw["id"].drop_duplicates().tolist()[shard::shards]
    described, good, problems = [], [], []
    progress = Progress(f"crystals parsed, shard {shard + 1} of {shards}", len(ids))
    for done, id in enumerate(ids, 1):
        for position in rows_of[id]:
            row = raw.iloc[position]
            try:
                with time_limit(dataset.seconds_per_crystal):
                    crystal = read_crystal(row["structure"], id)
                    check_crystal(crystal, dataset.shortest_distance, dataset.volume_per_atom)
                    description = _describe(crystal, dataset.symmetry_tolerance)
            except (CrystalError, TimeLimitExceeded) as error:
                problems.append(_problem(row, dataset, str(error)))
            else:
                described.append({key: id, **description})
                good.append(crystal)
                break
        progress.reached(done)
    progress.finished()
    fields = [FIELDS[column] for column in CRYSTAL]
    crystals = pd.DataFrame(described, columns=[key, *CRYSTAL])
    crystals = _with_composition(crystals).astype({f.name: _DTYPES[f.dtype] for f in fields} | {key: object})
    return Parsed(crystals, _sites(good, key), as_rejects(problems))


def clean_crystals(
    raw: pd.DataFrame,
    rejects_of_raw: pd.DataFrame,
    crystals: Sequence[pd.DataFrame],
    rejects: Sequence[pd.DataFrame],
    dataset: CrystalDataset,
    name: str = "dataset",
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One row a crystal, in the order in which their identifiers first occur.

    raw, rejects_of_raw : of `raw_crystals`; crystals, rejects : of all shards, in any order (`Parsed`). A column has
    the value of the first table, in the order of the definition, that gives one. `values_differ` is true where two
    tables give different texts, or numbers further apart than 1e-3 of the column's unit and 1e-3 of the larger of the
    two (so 1 meV/atom, and 0.1 % of a modulus above 1 GPa). A refused row gives nothing: no structure, no value, no
    in_<table>.
    Returns (clean, rejects), as `dataset_schema` and REJECTS have them.
    Raises DataError when a shard is missing or given twice, when more than `max_reject_share` of all rows are refused,
    and when no crystal is left.
    """
    key = dataset.key
    rejects = as_rejects([rejects_of_raw, *rejects])
    good = raw[~raw["row"].isin(rejects["row"])]
    crystals = pd.concat(crystals, ignore_index=True)
    ids = pd.Index(good["id"].unique(), name=key)
    if crystals[key].duplicated().any() or set(crystals[key]) != set(ids):
        raise DataError(
            "shards don't add up to the dataset", where=f"dataset {name}", expected=f"{len(ids)} crystals, each once",
            found=f"{crystals[key].nunique()} crystals in {len(crystals)} rows", do="run all shards of one raw table",
        )  # fmt: skip
    rows = raw["row"].nunique() + rejects_of_raw["row"].nunique()
    within_share(rejects, rows, dataset.max_reject_share, name)
    if not len(ids):
        raise DataError("no crystal is left", where=name, found=f"{rows} rows, all refused")

    clean = crystals.set_index(key).loc[ids].reset_index()
    by_id = good.groupby("id", sort=False)
    differ = np.zeros(len(ids), dtype=bool)
    for column in crystal_columns(dataset):
        values = by_id[column].first().loc[ids]
        if values.dtype == object:
            values = values.where(values.notna(), None)
            differ |= by_id[column].nunique().loc[ids].to_numpy() > 1
        else:
            low, high = (by_id[column].agg(extreme).loc[ids].to_numpy() for extreme in ("min", "max"))
            size = np.fmax(1.0, np.fmax(np.abs(low), np.abs(high)))
            differ |= high - low > DIFFERENT * size  # false where there is no value
        clean[column] = values.to_numpy()
    for table in dataset.tables:
        clean[flag_of(table)] = ids.isin(good.loc[good["table"] == table, "id"])
    if dataset.tables:
        clean["values_differ"] = differ
    clean = add_columns(clean, dataset.derived, dataset.flags)

    log.info(
        "%s: %d rows read, %d refused; %d crystals, %d of them in several tables, %d disordered, %d with values that "
        "differ", name, rows, rejects["row"].nunique(), len(clean), int((by_id["table"].nunique() > 1).sum()),
        int(clean["disordered"].sum()), int(differ.sum()),
    )  # fmt: skip
    return clean[dataset_schema(name, dataset).columns], rejects


def _describe(crystal: Crystal, symprec: float) -> dict:
    """The columns CRYSTAL but for those that `_with_composition` adds to all crystals at once."""
    amounts = formula_amounts(crystal)
    composition = Composition({SYMBOLS[z]: amount for z, amount in amounts.items()})
    anonymous = composition.anonymized_formula
    symmetry = symmetry_of(crystal, symprec)
    wyckoff = symmetry.pop("wyckoff")
    _, first = site_numbers(crystal)
    return {
        "composition": composition.reduced_formula,
        "chemical_system": composition.chemical_system,
        "anonymous_formula": anonymous,
        "prototype": prototype_of(anonymous, amounts, symmetry["space_group_number"], wyckoff),
        "n_sites": len(first),
        **dict(zip(CELL, [*parameters_of(crystal.lattice).tolist(), crystal.volume], strict=True)),
        "disordered": crystal.disordered,
        **symmetry,
    }


def formula_amounts(crystal: Crystal) -> dict[int, int]:
    """The smallest whole amounts of its elements, by rising atomic number.

    Where sites are partly occupied, those of the smallest formula that has the amounts to 1e-4 of an atom: half iron
    and half cobalt are Fe1Co1, and La1.85Sr0.15CuO4 is La37Sr3Cu20O80.
    """
    filled = np.bincount(crystal.z, weights=crystal.occupancy)
    z = np.flatnonzero(filled)
    if not crystal.disordered:
        counts = np.rint(filled[z]).astype(np.int64)
        counts //= np.gcd.reduce(counts)
        return dict(zip(z.tolist(), counts.tolist(), strict=True))
    amounts = np.arange(1, LARGEST_DENOMINATOR + 1)[:, None] * (filled[z] / filled.sum())
    whole = np.rint(amounts)
    fits = ((np.abs(amounts - whole) <= ROUNDING) & (whole > 0)).all(axis=1)
    # where none fits, an element is rarer than 1 in 10,000 or the amounts have no common measure
    best = whole[fits.argmax()] if fits.any() else np.maximum(whole[-1], 1.0)
    return dict(zip(z.tolist(), best.astype(np.int64).tolist(), strict=True))


def _with_composition(crystals: pd.DataFrame) -> pd.DataFrame:
    compositions, unread = parse_formulas(crystals["composition"].tolist())
    if unread:  # as every formula was written by pymatgen
        raise RuntimeError(f"formula {crystals['composition'].iloc[next(iter(unread))]!r} can't be read back")
    return crystals.assign(**_columns_of(compositions))


def _columns_of(compositions: Compositions) -> dict[str, list]:
    return {
        "reduced_formula": reduced_formulas(compositions),
        "n_elements": n_elements(compositions),
        "chemical_family": chemical_family(compositions),
        "dominant_element": dominant_element(compositions),
    }


def _sites(crystals: list[Crystal], key: str) -> pd.DataFrame:
    """The table of sites, a row a species on a site."""

    def joined(parts: list[np.ndarray], dtype) -> np.ndarray:
        return np.concatenate([np.empty(0, dtype), *parts])

    frac = np.concatenate([np.empty((0, 3)), *(c.frac for c in crystals)])
    z = joined([c.z for c in crystals], np.int64)
    columns = {
        key: np.repeat(np.array([c.key for c in crystals], dtype=object), [len(c.z) for c in crystals]),
        "site": joined([site_numbers(c)[0] for c in crystals], np.int64),
        "element": np.array(SYMBOLS, dtype=object)[z],
        "occupancy": joined([c.occupancy for c in crystals], np.float64),
        **dict(zip(("frac_x", "frac_y", "frac_z"), frac.T, strict=True)),
    }
    return pd.DataFrame(columns)[[key, *SITE]]


def _problem(row: pd.Series, dataset: CrystalDataset, reason: str) -> pd.DataFrame:
    known = row[row.notna()].to_dict() | {"row": int(row["row"])}
    return pd.DataFrame({
        "row": [row["row"]], "reason": [reason], "column": [dataset.parts[row["table"]].structure],
        "value": [row["id"]], "raw": [json.dumps(known, ensure_ascii=False, default=str)],
    })  # fmt: skip
