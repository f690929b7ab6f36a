"""An ESTM-like spreadsheet: families of doped thermoelectrics, transport from a simple model, planted bad rows.

The model is a caricature that is right in kind: carriers n from the dopant, S falls and σ rises with n (Jonker),
σ falls and S rises with temperature (degenerate semiconductor), κ = lattice part ~ 1/T + Wiedemann-Franz part.
It is no substitute for measurements, and everything made from it is marked SAMPLE DATA.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from matlas.files import atomic_path

LORENZ = 2.0e-8  # W Ω/K², between the degenerate and the non-degenerate limit
COLUMNS = (
    "Formula", "temperature(K)", "seebeck_coefficient(μV/K)", "electrical_conductivity(S/m)",
    "thermal_conductivity(W/mK)", "power_factor(W/mK2)", "ZT", "reference",
)  # fmt: skip


@dataclass(frozen=True)
class Family:
    """A host compound, its dopants, and its transport at 300 K: |S| µV/K, σ S/m, κ of the lattice W/(m K)."""

    name: str
    formula: Callable[[str, float], str]  # (dopant, amount) -> formula
    dopants: tuple[str, ...]
    seebeck: float
    conductivity: float
    lattice: float
    sign: int
    hottest: int


FAMILIES = (
    Family("bismuth_telluride", lambda d, x: f"Bi{2 - x:g}{d}{x:g}Te3", ("Sb", "In", "Ga"), 190, 9e4, 1.1, 1, 500),
    Family("lead_telluride", lambda d, x: f"Pb{1 - x:g}{d}{x:g}Te", ("Na", "K", "Tl"), 120, 1.6e5, 1.9, 1, 850),
    Family("tin_selenide", lambda d, x: f"Sn{1 - x:g}{d}{x:g}Se", ("Ag", "Na", "Cu"), 260, 2.5e4, 0.8, 1, 850),
    Family("skutterudite", lambda d, x: f"{d}{x:g}Co4Sb12", ("Yb", "Ba", "Ce"), 150, 1.3e5, 3.0, -1, 850),
    Family("half_heusler", lambda d, x: f"Ti{1 - x:g}{d}{x:g}NiSn", ("Zr", "Hf", "V"), 170, 8e4, 4.5, -1, 900),
    Family("magnesium_silicide", lambda d, x: f"Mg2Si{1 - x:g}{d}{x:g}", ("Sn", "Ge", "Sb"), 140, 1.1e5, 4.0, -1, 850),
    Family("cobalt_oxide", lambda d, x: f"Ca{3 - x:g}{d}{x:g}Co4O9", ("Bi", "La", "Sr"), 140, 1.2e4, 2.2, 1, 1100),
    Family("copper_selenide", lambda d, x: f"Cu{2 - x:g}{d}{x:g}Se", ("Ag", "Li", "Ni"), 110, 1.2e5, 0.7, 1, 950),
)  # fmt: skip

# what is wrong with each planted bad row: column -> what stands there
BAD_ROWS = (
    ("unparseable formula", "Formula", "Bi2(Te3"),
    ("unknown element", "Formula", "Xx2Te3"),
    ("negative temperature", "temperature(K)", -300.0),
    ("missing value", "thermal_conductivity(W/mK)", None),
    ("text in a number column", "seebeck_coefficient(μV/K)", "n.a."),
)


@dataclass(frozen=True)
class Thermoelectrics:
    """raw : the spreadsheet, columns COLUMNS; truth : one row a raw row with `family`, `fault` (a name in BAD_ROWS or
    ""), `inconsistent` (PF and ZT were altered by 20 %) and `repeated` (repeats an earlier row's identity)."""

    raw: pd.DataFrame
    truth: pd.DataFrame


def thermoelectrics(rows: int = 1000, seed: int = 0) -> Thermoelectrics:
    """Generate `rows` rows: 2 % inconsistent, 1 % repeated, and each kind of BAD_ROWS once in 400 rows."""
    rng = np.random.default_rng(seed)
    samples, number = [], 0
    while sum(len(sample) for sample in samples) < rows:
        samples.append(_sample(FAMILIES[number % len(FAMILIES)], number, rng))
        number += 1
    frame = pd.concat(samples, ignore_index=True).iloc[:rows].copy()
    truth = pd.DataFrame({"family": frame.pop("family"), "fault": "", "inconsistent": False, "repeated": False})

    n_inconsistent, n_repeated, n_bad = rows // 50, rows // 100, max(1, rows // 400)
    chosen = rng.permutation(rows - n_repeated)
    altered, repeats = chosen[:n_inconsistent], chosen[n_inconsistent : n_inconsistent + n_repeated]
    frame.loc[altered, ["power_factor(W/mK2)", "ZT"]] *= 1.2
    truth.loc[altered, "inconsistent"] = True
    kept = np.concatenate([np.arange(rows - n_repeated), repeats])  # the last rows repeat earlier ones
    frame, truth = frame.iloc[kept].reset_index(drop=True).astype(object), truth.iloc[kept].reset_index(drop=True)

    keys = ["Formula", "temperature(K)", "reference"]
    truth["repeated"] = frame.duplicated(keys, keep="first")
    healthy = np.flatnonzero(~truth["inconsistent"] & ~frame.duplicated(keys, keep=False))
    spoiled = rng.choice(healthy, size=n_bad * len(BAD_ROWS), replace=False)
    for row, (fault, column, value) in zip(spoiled, BAD_ROWS * n_bad, strict=True):
        frame.at[row, column] = value
        truth.at[row, "fault"] = fault
    return Thermoelectrics(frame[list(COLUMNS)], truth)


def write_thermoelectrics(path: str | Path, *, rows: int, seed: int) -> None:
    """Write the generated spreadsheet as .xlsx, as the source has it."""
    with atomic_path(path) as temporary:
        thermoelectrics(rows, seed).raw.to_excel(temporary, index=False)


def _sample(family: Family, number: int, rng: np.random.Generator) -> pd.DataFrame:
    """One compound measured from 300 K up, in steps of 50 K."""
    dopant = family.dopants[rng.integers(len(family.dopants))]
    amount = round(float(rng.uniform(0.01, 0.3)), 2)
    temperature = np.arange(300.0, family.hottest + 1, 50.0)
    carriers = np.exp(rng.normal(0.0, 0.35)) * (1 + 2 * amount)
    hot = temperature / 300.0
    noise = lambda: np.exp(rng.normal(0.0, 0.03, len(temperature)))  # noqa: E731
    conductivity = family.conductivity * carriers * hot**-0.8 * noise()
    seebeck = family.sign * np.clip(family.seebeck - 86.2 * np.log(carriers), 20, None) * hot**0.5 * noise()
    thermal = (family.lattice / hot + LORENZ * conductivity * temperature) * noise()
    power_factor = (seebeck * 1e-6) ** 2 * conductivity
    return pd.DataFrame({
        "Formula": family.formula(dopant, amount),
        "temperature(K)": temperature,
        "seebeck_coefficient(μV/K)": np.round(seebeck, 3),
        "electrical_conductivity(S/m)": np.round(conductivity, 1),
        "thermal_conductivity(W/mK)": np.round(thermal, 5),
        "power_factor(W/mK2)": power_factor,
        "ZT": power_factor * temperature / thermal,
        "reference": f"sample-data/{number:04d}",
        "family": family.name,
    })  # fmt: skip
