"""The five files of a Materials-Project-like source: halves of MP-20 (to 20 atoms a cell, two or three elements), of
MPTS-52 (to 52 atoms, split by year), and elastic moduli of binaries; all drawn from one universe of crystals.

A crystal is a structure type (matlas/simulate/prototypes.py) with elements placed by role: cations and anions, mostly
of balanced charge, or partners in an intermetallic. It is scaled until the tightest contact of first neighbours is the
sum of Slater's radii, then strained by 1 %; if not cubic, it is first stretched along z by 2 %: no symmetry forbids it.

Planted rules, with x the atomic fractions, χ Pauling's electronegativities, r Slater's radii, and σ(·) the standard
deviation over the atoms; `planted_properties` computes them without noise:

- formation energy, eV/atom: -0.1 - 2 σ(χ)² + 0.5 (σ(r) / mean r)² + the structure type's `energy` + noise of 0.03,
  equal for polymorphs. The composition can't tell the third term: geometry is needed.
- band gap, eV: 7 (σ(χ) - 0.65), ± 0.2, where that is positive; the others, 70 to 80 %, are metals with 0.
- energy above hull, eV/atom: of two polymorphs, 0 and the difference of their types' energies. Of the others, 0 for
  half, else at most 0.08 in MP-20, with a tail beyond 1 in MPTS-52: not predictable.
- bulk modulus, GPa: 5 eV a bonding electron, spread over the volume (1 eV/Å³ = 160 GPa), ± 8 %; shear modulus: 0.3 +
  0.08 times the bonding electrons an atom, of the bulk modulus, ± 8 %.
- year, 1990 to 2013: from the first to the last, structure types with `drift` 1 grow e⁴ times as likely relative to
  the rest and those with -1 e⁴ times less: a model of early years meets unfamiliar crystals in later ones.

Planted bad rows: each of FAULTS once in 400 `rows` (once at least), in MP-20 and MPTS-52 alternately ("disordered" in
MPTS-52 alone, and valid), of crystals that are in no other file and have no polymorph. None is in the elastic moduli.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from pymatgen.core import Composition, Structure
from pymatgen.io.cif import CifWriter

from matlas.composition import chemical_family, parse_formulas
from matlas.errors import ConfigError
from matlas.files import atomic_path
from matlas.simulate.prototypes import POOLS, PROTOTYPES, atom, geometries

LEAST_ROWS, MOST_ROWS = 60, 4000  # room for every fault; distinct formulas run short beyond
SHARES = {"mp_20": 0.45, "mpts_52": 0.41, "elasticity": 0.14}  # of the crystals, by the file that they are drawn for
SHARED = 0.04  # of the crystals: of MP-20 and in MPTS-52 too
WITH_MODULI = 0.35  # of the binaries in MP-20 and MPTS-52
POLYMORPHS = 0.15  # chance that a crystal drawn gets a second structure, where there is one
VALIDATION = {"mp_20": 0.5, "mpts_52": 0.38}  # share of the crystals, in the real files; the first years in MPTS-52
YEARS = (1990, 2013)
ENERGY_NOISE, GAP_NOISE, MODULUS_NOISE = 0.03, 0.2, 0.08  # eV/atom, eV, relative
Z_STRAIN, STRAIN = 0.02, 0.01  # of the cell: along z, and of all lengths
EV_PER_A3 = 160.2  # GPa

# what is wrong with each planted bad row
FAULTS = (
    "unparseable CIF", "atoms 0.2 Å apart", "unknown element", "5 Å³ per 8 atoms", "10000 Å³ per atom",
    "text as energy", "disordered",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class SampleCrystals:
    """lattice : (n, 3, 3) Å, a cell vector a row; truth : one row a crystal, with

    material_id; formula (reduced); prototype (in PROTOTYPES); elements (a tuple, in the order of the roles); family
    (schemas.fields.FAMILIES); n_atoms; year; formation_energy_per_atom, e_above_hull (eV/atom); band_gap (eV);
    bulk_modulus, shear_modulus (GPa); mp_20, mpts_52 ("val", "test" or ""); elasticity (bool); polymorph (the other's
    material_id or ""); fault (in FAULTS or "": the values stand for the crystal before it).
    """

    lattice: np.ndarray
    truth: pd.DataFrame

    def structure(self, i: int) -> Structure:
        """Crystal i, before a fault."""
        geometry = geometries()[self.truth.at[i, "prototype"]]
        elements = self.truth.at[i, "elements"]
        return Structure(self.lattice[i], [elements[role] for role in geometry.role], geometry.frac)


@dataclass(frozen=True)
class Planted:
    """Properties without noise: eV/atom, eV, GPa, GPa."""

    formation_energy_per_atom: float
    band_gap: float
    bulk_modulus: float
    shear_modulus: float


def planted_properties(formula: str, prototype: str, volume_per_atom: float) -> Planted:
    """What the rules at the top of this module say of a crystal. prototype : in PROTOTYPES; volume_per_atom : Å³."""
    composition = Composition(formula).fractional_composition
    share = np.array(list(composition.values()))
    atoms = [atom(element.symbol) for element in composition]
    chi, radius, bonds = np.array([(a.electronegativity, a.radius, a.bonds) for a in atoms]).T
    mean = lambda values: float((share * values).sum())  # noqa: E731
    polarity = np.sqrt(mean((chi - mean(chi)) ** 2))
    mismatch = np.sqrt(mean((radius / mean(radius) - 1) ** 2))
    bulk = 5 * EV_PER_A3 * mean(bonds) / volume_per_atom
    return Planted(
        formation_energy_per_atom=-0.1 - 2 * polarity**2 + 0.5 * mismatch**2 + PROTOTYPES[prototype].energy,
        band_gap=max(0.0, 7 * (polarity - 0.65)),
        bulk_modulus=bulk,
        shear_modulus=(0.3 + 0.08 * mean(bonds)) * bulk,
    )


def crystals(rows: int = 400, seed: int = 0) -> SampleCrystals:
    """Draw `rows` crystals of distinct formulas, but for pairs of polymorphs. Raises ConfigError for fewer rows than
    LEAST_ROWS or more than MOST_ROWS."""
    if not LEAST_ROWS <= rows <= MOST_ROWS:
        raise ConfigError("impossible number of sample crystals", expected=f"{LEAST_ROWS} to {MOST_ROWS}", found=rows)
    rng = np.random.default_rng(seed)
    ends = dict(zip(SHARES, np.rint(np.cumsum(list(SHARES.values())) * rows).astype(int), strict=True))
    drawn: list[dict] = []
    taken: set[str] = set()
    for home, end in ends.items():
        _draw(drawn, home, end, taken, rng)
    truth = pd.DataFrame(drawn)
    truth["material_id"] = [f"mp-{number}" for number in 1 + rng.choice(2_000_000, rows, replace=False)]
    truth["family"] = chemical_family(parse_formulas(truth["formula"])[0])
    along_z, strain = 1 + Z_STRAIN * rng.normal(size=rows), 1 + STRAIN * rng.normal(size=rows)
    lattice = np.empty((rows, 3, 3))
    for i, (name, elements) in enumerate(zip(truth["prototype"], truth["elements"], strict=True)):
        radius = np.array([atom(symbol).radius for symbol in elements])
        stretch = 1.0 if PROTOTYPES[name].cubic else along_z[i]
        lattice[i] = strain[i] * geometries()[name].lattice_for(radius, stretch)
    truth["n_atoms"] = [len(geometries()[prototype].role) for prototype in truth["prototype"]]

    volume = np.abs(np.linalg.det(lattice)) / truth["n_atoms"]
    planted = pd.DataFrame(map(planted_properties, truth["formula"], truth["prototype"], volume))
    energy_noise, gap_noise, bulk_noise, shear_noise = rng.normal(size=(4, rows))
    stable = np.where(truth["stable"] >= 0, truth["stable"], np.arange(rows))
    truth["formation_energy_per_atom"] = planted["formation_energy_per_atom"] + ENERGY_NOISE * energy_noise[stable]
    gap = planted["band_gap"] + GAP_NOISE * gap_noise
    truth["band_gap"] = gap.clip(lower=0).where(planted["band_gap"] > 0, 0.0).round(4)
    truth["bulk_modulus"] = (planted["bulk_modulus"] * np.exp(MODULUS_NOISE * bulk_noise)).round(3)
    truth["shear_modulus"] = (planted["shear_modulus"] * np.exp(MODULUS_NOISE * shear_noise)).round(3)

    truth["e_above_hull"] = np.where(truth["home"] == "mp_20", *_above_hull(rows, rng))
    truth["polymorph"] = ""
    for i, j in truth.loc[truth["stable"] >= 0, "stable"].items():
        energies = truth.loc[[i, j], "formation_energy_per_atom"]
        truth.loc[[i, j], "e_above_hull"] = energies - energies.min()
        truth.loc[[i, j], "polymorph"] = truth.loc[[j, i], "material_id"].to_numpy()
    _share_out(truth, rng)
    return SampleCrystals(lattice, truth.drop(columns=["home", "stable"]))


def _draw(drawn: list[dict], home: str, end: int, taken: set[str], rng: np.random.Generator) -> None:
    """Append crystals for the files of `home` until there are `end`, of formulas not in `taken`. `stable` of a second
    polymorph is the position of the first, else -1."""
    size = {name: len(geometry.role) for name, geometry in geometries().items()}
    small = [p for p in PROTOTYPES.values() if size[p.name] <= 20 and p.n_elements <= 3]
    allowed = {
        "mp_20": small,
        "mpts_52": list(PROTOTYPES.values()),
        "elasticity": [p for p in small if p.n_elements == 2],
    }[home]
    likelihood = np.array([6.0 if size[p.name] > 20 else 1.0 for p in allowed])
    drift = np.array([p.drift for p in allowed])
    while len(drawn) < end:
        year = int(rng.integers(YEARS[0], YEARS[1] + 1))
        late = (year - YEARS[0]) / (YEARS[1] - YEARS[0])
        weight = likelihood * np.exp(4 * drift * (late - 0.5))
        prototype = allowed[rng.choice(len(allowed), p=weight / weight.sum())]
        chemistry = prototype.chemistries[rng.integers(len(prototype.chemistries))]
        elements = tuple(POOLS[role][rng.integers(len(POOLS[role]))] for role in chemistry.split())
        amounts = geometries()[prototype.name].amounts
        formula = Composition(dict(zip(elements, amounts, strict=False))).reduced_formula
        if len(set(elements)) < len(elements) or formula in taken:
            continue
        taken.add(formula)
        crystal = {"formula": formula, "prototype": prototype.name, "elements": elements, "year": year, "home": home}
        drawn.append({**crystal, "stable": -1})
        others = [
            p for p in allowed
            if p is not prototype and chemistry in p.chemistries and geometries()[p.name].amounts == amounts
            and (home == "mpts_52" or abs(p.energy - prototype.energy) <= 0.08)
        ]  # fmt: skip
        if home != "elasticity" and others and len(drawn) < end and rng.random() < POLYMORPHS:
            other = others[rng.integers(len(others))]
            drawn.append({**crystal, "prototype": other.name, "stable": len(drawn) - 1})


def _above_hull(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(n,) energies above the hull, eV/atom, for MP-20 and for MPTS-52."""
    on_hull = rng.random(n) < 0.5
    near = 0.08 * rng.beta(1, 2.2, n)
    far = rng.exponential(np.where(rng.random(n) < 0.1, 0.6, 0.04))
    return np.where(on_hull, 0.0, near), np.where(on_hull, 0.0, far)


def _share_out(truth: pd.DataFrame, rng: np.random.Generator) -> None:
    """Add the columns `fault`, `mp_20`, `mpts_52` and `elasticity`."""
    rows, home = len(truth), truth["home"]
    truth["fault"] = ""
    alone = {part: rng.permutation(np.flatnonzero((home == part) & (truth["polymorph"] == ""))) for part in VALIDATION}
    alone = {part: iter(candidates) for part, candidates in alone.items()}
    for turn in range(max(1, rows // 400)):
        for number, fault in enumerate(FAULTS):
            part = ("mp_20", "mpts_52")[1 if fault == "disordered" else (turn + number) % 2]
            truth.loc[next(alone[part]), "fault"] = fault

    sound = truth["fault"] == ""
    mp_20 = rng.permutation(np.flatnonzero(home == "mp_20"))
    shared = rng.choice(np.flatnonzero((home == "mp_20") & sound), round(SHARED * rows), replace=False)
    mpts_52 = np.sort(np.concatenate([np.flatnonzero(home == "mpts_52"), shared]))
    by_year = mpts_52[np.argsort(truth["year"].to_numpy()[mpts_52], kind="stable")]
    for part, members in {"mp_20": mp_20, "mpts_52": by_year}.items():
        truth[part] = ""
        first = round(VALIDATION[part] * len(members))
        truth.loc[members[:first], part], truth.loc[members[first:], part] = "val", "test"
    binary = truth["elements"].map(len) == 2
    truth["elasticity"] = (home == "elasticity") | (binary & sound & (rng.random(rows) < WITH_MODULI))


def write_crystals(path: str | Path, *, rows: int, seed: int = 0) -> None:
    """Write one of the five files (those of FILES; the name of `path` says which) about the `rows` crystals of `seed`.
    Raises ConfigError for another name, and as `crystals` does."""
    name = Path(path).name
    if name not in FILES:
        raise ConfigError("unknown file of sample crystals", expected=f"one of {sorted(FILES)}", found=name)
    text = FILES[name](crystals(rows, seed))
    with atomic_path(path) as temporary:
        temporary.write_bytes(gzip.compress(text.encode(), mtime=0))  # no time: equal seeds give equal bytes


def _mp_20(sample: SampleCrystals, half: str) -> str:
    whole = sample.truth[sample.truth["mp_20"] != ""].reset_index(names="crystal")
    rows = whole[whole["mp_20"] == half]
    return pd.DataFrame({
        "material_id": rows["material_id"],
        "formation_energy_per_atom": _energies(rows),
        "band_gap": rows["band_gap"],
        "pretty_formula": rows["formula"],
        "e_above_hull": rows["e_above_hull"],
        "elements": [str(sorted(elements)) for elements in rows["elements"]],
        "cif": [_cif(sample, crystal) for crystal in rows["crystal"]],
        "spacegroup.number": [PROTOTYPES[prototype].spacegroup for prototype in rows["prototype"]],
    }).to_csv()  # fmt: skip


def _mpts_52(sample: SampleCrystals, half: str) -> str:
    rows = sample.truth[sample.truth["mpts_52"] == half].sort_values("year", kind="stable").reset_index(names="crystal")
    return pd.DataFrame({
        "material_id": rows["material_id"],
        "theoretical": False,
        "energy_above_hull": rows["e_above_hull"],
        "formation_energy_per_atom": _energies(rows),
        "year": rows["year"],
        "cif": [_cif(sample, crystal) for crystal in rows["crystal"]],
    }).set_index(rows["material_id"].str.removeprefix("mp-").rename(None)).to_csv()  # fmt: skip


def _elasticity(sample: SampleCrystals) -> str:
    rows = sample.truth[sample.truth["elasticity"]].sort_values("material_id")
    return json.dumps([
        {
            "mp_id": row.material_id,
            "formula": row.formula,
            "structure": sample.structure(row.Index).as_dict(),
            "bulk_modulus_vrh": row.bulk_modulus,
            "shear_modulus_vrh": row.shear_modulus,
        }
        for row in rows.itertuples()
    ])  # fmt: skip


FILES: dict[str, Callable[[SampleCrystals], str]] = {
    "mp_20_biternary-val.csv.gz": lambda sample: _mp_20(sample, "val"),
    "mp_20_biternary-test.csv.gz": lambda sample: _mp_20(sample, "test"),
    "mpts_52-val.csv.gz": lambda sample: _mpts_52(sample, "val"),
    "mpts_52-test.csv.gz": lambda sample: _mpts_52(sample, "test"),
    "mp-binary-pbe-elasticity-2025.1.json.gz": _elasticity,
}


def _energies(rows: pd.DataFrame) -> pd.Series:
    return rows["formation_energy_per_atom"].astype(object).mask(rows["fault"] == "text as energy", "not converged")


def _cif(sample: SampleCrystals, i: int) -> str:
    """The CIF of crystal i, with its fault."""
    structure, fault = sample.structure(i), sample.truth.at[i, "fault"]
    symbol = structure[0].specie.symbol
    if fault == "atoms 0.2 Å apart":
        structure.replace(1, structure[1].specie, structure[0].coords + [0.2, 0, 0], coords_are_cartesian=True)
    elif fault == "5 Å³ per 8 atoms":
        structure.scale_lattice(5 / 8 * len(structure))
    elif fault == "10000 Å³ per atom":
        structure.scale_lattice(1e4 * len(structure))
    elif fault == "disordered":
        structure.replace(0, {symbol: 0.5})
    text = str(CifWriter(structure))
    if fault == "unparseable CIF":
        return text[: text.rindex(".")]  # ends within a number of the last atom
    if fault == "unknown element":
        return re.sub(rf"^  {symbol}  {symbol}", "  Zz  Zz", text, flags=re.MULTILINE)
    return text
