"""An X-ray spectrum image of three minerals of the lower mantle in a thin foil, with known shares and compositions.

Follows the map of Chen et al. 2024, doi:10.1016/j.ultramic.2024.113981: its axis, detector, beam and counts a pixel.
Planted: bridgmanite, ferropericlase and davemaoite with compositions in cations like those that pyrolite has at lower
mantle conditions (Irifune et al. 2010, doi:10.1126/science.1181443, rounded), traces by mass of the cations mostly in
davemaoite, and stray copper of the grid. The foil is cut from a three-dimensional structure of grains (each voxel is
of the phase whose Gaussian random field is highest there), so that inclined borders overlap in projection. A pixel is
its phases' spectra weighted by their shares, times a thickness that varies by up to 30 % and has a wedge as large;
counts are Poisson. Lines and background are those of `matlas.cubes.eds`, without absorption in the foil.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xraylib
from scipy.ndimage import gaussian_filter

from matlas.composition import ATOMIC_NUMBER
from matlas.cubes.cube import Axis
from matlas.cubes.eds import Detector, bremsstrahlung, family_spectra, sensitivity
from matlas.errors import ConfigError
from matlas.files import atomic_path

AXIS = Axis("Energy", "keV", 0.83151949728, 0.01000467828, 1917)
BEAM_ENERGY = 200.0  # keV
DETECTOR = Detector(
    variance_offset=0.00046645, variance_slope=0.00048069, thickness_mm=0.45, dead_layer_nm=10.0, elevation_deg=22.0
)
PHASES = ("bridgmanite", "ferropericlase", "davemaoite")
FORMULAS = (  # atoms
    {"Mg": 0.89, "Fe": 0.05, "Al": 0.10, "Si": 0.94, "Ca": 0.02, "O": 3.0},
    {"Mg": 0.86, "Fe": 0.13, "Al": 0.01, "O": 1.0},
    {"Ca": 0.93, "Mg": 0.03, "Fe": 0.02, "Al": 0.06, "Si": 0.96, "O": 3.0},
)
CATIONS_PER_VOLUME = (0.082, 0.088, 0.073)  # mol/cm³ of the cations: 2, 1, 2 in 24.4, 11.3, 27.5 cm³/mol
TRACES_PPM = {  # by mass of the cations, in each phase
    "Nd": (1000.0, 0.0, 25000.0), "Lu": (6000.0, 500.0, 15000.0), "Hf": (6000.0, 500.0, 20000.0),
    "U": (0.0, 0.0, 12000.0),
}  # fmt: skip
SAMARIUM_PPM = (2000.0, 0.0, 30000.0)
COPPER = 0.08  # atoms of the grid for each cation
BACKGROUND_POWERS = (1, 2)
BACKGROUND_PER_Z2 = 0.0009  # it grows with the square of the atomic number; by this, 18 % of bridgmanite's counts
VOLUMES = (0.68, 0.24, 0.08)  # about what the phases take of the foil
DEPTHS, THICKNESS = 10, 0.3  # voxels of the foil's thickness; its variation, and its wedge from side to side
LEAST_ROWS = 100


@dataclass(frozen=True, eq=False)
class MineralMap:
    """counts : (H, W, C) Poisson counts, smallest unsigned dtype; abundances : (H, W, 3) of PHASES, sum 1; endmembers :
    (3, C) expected counts of a pixel of each phase, of thickness 1; thickness : (H, W), mean 1."""

    counts: np.ndarray
    abundances: np.ndarray
    endmembers: np.ndarray
    thickness: np.ndarray


def mineral_map(
    rows: int = 6400,
    seed: int = 0,
    dose: float = 112.0,
    samarium_ppm: tuple[float, float, float] = SAMARIUM_PPM,
) -> MineralMap:
    """A square map of about `rows` pixels, on AXIS.

    dose : expected, on the mean; samarium_ppm : in each of PHASES, by mass of the cations (oxygen, whose
    line is below the axis, left out), as `matlas.cubes.quantify.concentrations` has it.
    Raises ConfigError for fewer rows than LEAST_ROWS, and for counts or ppm that can't be.
    """
    if rows < LEAST_ROWS:
        raise ConfigError("impossible number of sample pixels", expected=f"at least {LEAST_ROWS}", found=rows)
    if not 0 < dose < np.inf:
        raise ConfigError("impossible number of counts in a pixel", expected="a number above 0", found=dose)
    if len(samarium_ppm) != len(PHASES) or not all(0 <= ppm <= 100_000 for ppm in samarium_ppm):
        raise ConfigError("impossible traces of samarium", expected=f"0 to 100000 ppm in each of {', '.join(PHASES)}",
                          found=samarium_ppm)  # fmt: skip
    rng, side = np.random.default_rng(seed), round(rows**0.5)
    abundances = _grains(rng, side)
    rough = gaussian_filter(rng.normal(size=(side, side)), side / 8)
    thickness = 1 + THICKNESS * (np.linspace(-1, 1, side) + rough / np.abs(rough).max())
    thickness /= thickness.mean()
    endmembers = np.array([_spectrum(cations(phase, samarium_ppm[phase]), phase) for phase in range(len(PHASES))])
    shares = thickness[..., None] * abundances
    endmembers *= dose / (shares @ endmembers.sum(axis=1)).mean()
    counts = np.empty((side, side, AXIS.size), np.int64)
    for y in range(side):
        counts[y] = rng.poisson(shares[y] @ endmembers)
    return MineralMap(counts.astype(np.min_scalar_type(counts.max())), abundances, endmembers, thickness)


def cations(phase: int, samarium_ppm: float) -> dict[str, float]:
    """Atomic fractions of the cations of one of PHASES, traces included."""
    traces = {"Sm": samarium_ppm, **{element: ppm[phase] for element, ppm in TRACES_PPM.items()}}
    weight = {element: xraylib.AtomicWeight(ATOMIC_NUMBER[element]) for element in [*FORMULAS[phase], *traces]}
    majors = {element: n for element, n in FORMULAS[phase].items() if element != "O"}
    mass = sum(n * weight[element] for element, n in majors.items()) / (1 - sum(traces.values()) * 1e-6)
    atoms = majors | {element: ppm * 1e-6 * mass / weight[element] for element, ppm in traces.items()}
    total = sum(atoms.values())
    return {element: n / total for element, n in atoms.items()}


def _grains(rng: np.random.Generator, side: int) -> np.ndarray:
    """(side, side, 3) shares of the phases in the foil's depth."""
    fields = np.stack([gaussian_filter(rng.normal(size=(DEPTHS, side, side)), side / 16) for _ in PHASES])
    fields /= fields.std(axis=(1, 2, 3), keepdims=True)
    level = np.zeros(len(PHASES))
    for _ in range(200):  # raise the fields of phases that take less than their volume
        highest = np.argmax(fields + level[:, None, None, None], axis=0)
        level += 0.2 * (np.array(VOLUMES) - np.bincount(highest.ravel(), minlength=len(PHASES)) / highest.size)
    return np.stack([(highest == phase).mean(axis=0) for phase in range(len(PHASES))], axis=-1)


def _spectrum(atoms: dict[str, float], phase: int) -> np.ndarray:
    """(C,) counts of a foil of this phase, in a unit that all phases share."""
    atoms = {element: n for element, n in atoms.items() if n > 0} | {"Cu": COPPER}
    lines = _lines(atoms)
    cation_z2 = sum(n * ATOMIC_NUMBER[element] ** 2 for element, n in atoms.items() if element != "Cu")
    oxygen = FORMULAS[phase]["O"] / sum(n for element, n in FORMULAS[phase].items() if element != "O")
    background = bremsstrahlung(AXIS, DETECTOR, BEAM_ENERGY, powers=BACKGROUND_POWERS).mean(axis=0)
    spectrum = lines + BACKGROUND_PER_Z2 * (cation_z2 + oxygen * ATOMIC_NUMBER["O"] ** 2) * background
    return spectrum * CATIONS_PER_VOLUME[phase]


def _lines(atoms: dict[str, float]) -> np.ndarray:
    families, spectra = family_spectra(list(atoms), AXIS, DETECTOR, BEAM_ENERGY)
    amounts = np.array([atoms[element] for element, _ in families])
    return (amounts * sensitivity(families, DETECTOR, BEAM_ENERGY) * 1e22) @ spectra


def write_mineral_map(
    path: str | Path,
    *,
    rows: int,
    seed: int = 0,
    dose: float = 112.0,
    samarium_ppm: tuple[float, float, float] = SAMARIUM_PPM,
) -> None:
    """Write counts, abundances and endmembers of a `mineral_map` as .npz, the same bytes for the same arguments."""
    made = mineral_map(rows, seed, dose, samarium_ppm)
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("counts", "abundances", "endmembers"):
            entry = zipfile.ZipInfo(f"{name}.npy")  # of 1980: numpy's own would hold the time of writing
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w", force_zip64=True) as file:
                np.lib.format.write_array(file, getattr(made, name), allow_pickle=False)
