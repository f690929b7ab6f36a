"""A low-loss EELS spectrum image of an aged duplex stainless steel with known shares of each phase, laid out as that of
Castro Riglos et al. 2024, which is not public: 10 to 35 eV in steps of 0.1 eV, pixels of 0.18 µm, 18 µm a side at
10,000 of them.

Planted: ferrite and austenite in bands, half of the area each, from a smooth random field cut at its median; round
precipitates of sigma, about 200 nm across, on their interface. Shares of a pixel are counted over 5 x 5 points in it.
Electrons of a pixel pass one phase or the other, so spectra mix linearly. Each is a Drude plasmon scattered 1 to 3
times with Poisson weights, at a thickness t/λ that varies smoothly from 0.3 to 0.7, plus the tail of the zero-loss
peak, and Poisson noise. Not in it: drift of the energy, gain and read-out noise of a camera, surface plasmons,
interband transitions, and the dependence of the scattering angle on energy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from matlas.cubes.plasmons import TAIL_EXPONENT, Plasmon, drude_area, drude_loss
from matlas.errors import ConfigError
from matlas.files import atomic_path

# Nominal, none of it measured on these phases. E_p goes with the root of the density of the electrons that take part.
# Each element brings as many as in its metal, E_p² times the volume of an atom (Fe 23.0 eV, 11.78 Å³; Cr 24.9, 12.00;
# Ni 20.7, 10.94; Mo 25.2, 15.58; plasmons as tabulated in Egerton 2011, appendix C); the volume of an atom in the phase
# follows from its lattice (2.88 Å; 3.60 Å; 8.80 and 4.56 Å), and its composition is that of grade 2205 (COMPOSITIONS).
# Γ is broad as in all 3d metals, about half of E_p; that it grows by 1 eV from phase to phase is assumed, and is most
# of what tells ferrite from austenite here.
PHASES: Mapping[str, Plasmon] = {
    "ferrite": Plasmon(23.45, 11.0),
    "austenite": Plasmon(23.54, 12.0),
    "sigma": Plasmon(23.95, 13.0),
}
COMPOSITIONS: Mapping[str, Mapping[str, float]] = {  # atomic fractions
    "ferrite": {"Fe": 0.67, "Cr": 0.26, "Ni": 0.045, "Mo": 0.025},
    "austenite": {"Fe": 0.68, "Cr": 0.225, "Ni": 0.075, "Mo": 0.02},
    "sigma": {"Fe": 0.58, "Cr": 0.33, "Ni": 0.04, "Mo": 0.05},
}

ENERGIES = np.round(10 + 0.1 * np.arange(251), 1)  # eV
STEP = 0.1  # eV
PIXEL = 0.18  # µm
LEAST_ROWS = 900  # 5.4 µm a side: smaller images may have no interface
# Counts a pixel in the window. A camera of 16 bits holds about 600,000 in a zero-loss peak of 1 eV at 0.1 eV a channel
# before it saturates, of which t/λ = 0.5 puts some 150,000 here; 0.1 nA for 1 ms brings 600,000 electrons too.
DOSE = 100_000.0

_POINTS = 5  # a side of a pixel, at which phases are drawn
_BAND = (0.7, 1.75)  # µm, smoothing of the field across and along the rolling direction
_DIAMETER, _SPREAD = 0.2, 0.03  # µm, of precipitates
_APART = 0.4  # µm, the least distance of their centres
_SIGMA_SHARE = 0.02  # of the area, where the interface has room for it
THICKNESS = (0.3, 0.5, 0.7)  # t/λ: least, mean and most
_ORDERS = 3  # of scattering: four plasmons lie above 90 eV
_TAIL = 1e-3  # per eV at 10 eV, of electrons without loss


@dataclass(frozen=True, eq=False)
class DuplexSteel:
    """counts : (H, W, C) uint32; abundances : (H, W, 3) share of ferrite, austenite and sigma, sum 1;
    endmembers : (3, C) expected counts of each at the mean thickness; expected : (H, W, C) counts without noise;
    thickness : (H, W) t/λ; phases : the plasmons drawn."""

    counts: np.ndarray
    abundances: np.ndarray
    endmembers: np.ndarray
    expected: np.ndarray
    thickness: np.ndarray
    phases: Mapping[str, Plasmon]


def duplex_steel(rows: int = 10_000, seed: int = 0, dose: float = DOSE, contrast: float = 1.0) -> DuplexSteel:
    """A square image of about `rows` pixels.

    dose : expected counts of the mean pixel, over all channels; contrast : how far the plasmons of the phases lie from
    their mean, 1 as in PHASES, 0 all the same. The microstructure depends on neither.
    Raises ConfigError for fewer than LEAST_ROWS, a dose not above 0, and a contrast below 0 or above 5.
    """
    if rows < LEAST_ROWS:
        raise ConfigError("impossible number of sample pixels", expected=f"at least {LEAST_ROWS}", found=rows)
    if not (0 < dose < math.inf and 0 <= contrast <= 5):
        raise ConfigError("can't be simulated", expected="a dose above 0 and a contrast of 0 to 5",
                          found=f"dose {dose}, contrast {contrast}")  # fmt: skip
    structure, noise = np.random.default_rng(seed).spawn(2)
    side = round(rows**0.5)
    abundances = _abundances(side, structure)
    thickness = _between(_smooth(structure, (side, side), side / 5), THICKNESS[0], THICKNESS[2])
    phases = _contrasted(contrast)
    scattered = _scattered(phases)
    expected = np.einsum("yxo,yxp,poc->yxc", _weights(thickness), abundances, scattered, optimize=True)
    scale = dose / expected.sum(axis=-1).mean()
    endmembers = np.einsum("o,poc->pc", _weights(np.array(THICKNESS[1])), scattered)
    counts = noise.poisson(scale * expected).astype(np.uint32)
    return DuplexSteel(counts, abundances, scale * endmembers, scale * expected, thickness, phases)


def write_duplex_steel(
    path: str | Path, *, rows: int, seed: int = 0, dose: float = DOSE, contrast: float = 1.0
) -> None:
    """Write counts (y, x, channel), abundances (y, x, phase) and endmembers (phase, channel) as an .npz file, of the
    same bytes for the same arguments."""
    made = duplex_steel(rows, seed, dose, contrast)
    with atomic_path(path) as temporary, open(temporary, "wb") as file:  # NumPy gives all entries the same date
        np.savez(file, counts=made.counts, abundances=made.abundances, endmembers=made.endmembers)


def _contrasted(contrast: float) -> dict[str, Plasmon]:
    energy = np.mean([phase.energy for phase in PHASES.values()])
    width = np.mean([phase.width for phase in PHASES.values()])
    return {
        name: Plasmon(energy + contrast * (phase.energy - energy), width + contrast * (phase.width - width))
        for name, phase in PHASES.items()
    }


def _scattered(phases: Mapping[str, Plasmon]) -> np.ndarray:
    """(3, 1 + _ORDERS, C) of each phase: counts a channel per electron that excites 0 (the tail), 1, 2 … plasmons."""
    first = round(ENERGIES[0] / STEP)
    grid = STEP * np.arange(first + len(ENERGIES))
    result = np.empty((len(phases), 1 + _ORDERS, len(ENERGIES)))
    for phase, plasmon in enumerate(phases.values()):
        once = STEP * drude_loss(grid, plasmon) / drude_area(plasmon)
        result[phase, 0] = STEP * _TAIL * (ENERGIES[0] / ENERGIES) ** TAIL_EXPONENT
        many = once
        for order in range(1, 1 + _ORDERS):
            result[phase, order] = many[first:]
            many = np.convolve(many, once)[: len(grid)]
    return result


def _weights(thickness: np.ndarray) -> np.ndarray:
    """(…, 1 + _ORDERS) Poisson probabilities of exciting 0, 1, 2 … plasmons at t/λ (Egerton 2011, 3.4)."""
    orders = np.arange(1 + _ORDERS)
    factorials = np.array([math.factorial(order) for order in orders])
    return np.exp(-thickness)[..., None] * thickness[..., None] ** orders / factorials


def _abundances(side: int, rng: np.random.Generator) -> np.ndarray:
    """(side, side, 3) shares of the phases."""
    pitch = PIXEL / _POINTS
    field = _smooth(rng, (side * _POINTS,) * 2, [length / pitch for length in _BAND])
    phase = (field > np.median(field)).astype(np.uint8)
    _precipitate(phase, pitch, rng)
    pixels = phase.reshape(side, _POINTS, side, _POINTS)
    return np.stack([(pixels == label).mean(axis=(1, 3)) for label in range(3)], axis=-1)


def _precipitate(phase: np.ndarray, pitch: float, rng: np.random.Generator) -> None:
    """Draw discs of sigma around points of the interface, apart from each other, until they have their share."""
    edge = np.zeros(phase.shape, bool)
    edge[:, :-1] |= phase[:, 1:] != phase[:, :-1]
    edge[:-1] |= phase[1:] != phase[:-1]
    places = rng.permutation(np.argwhere(edge)).astype(np.float64)
    places = pitch * (places + rng.uniform(-0.5, 0.5, places.shape))  # µm; on points of the grid, areas come out small
    diameters = np.maximum(rng.normal(_DIAMETER, _SPREAD, len(places)), _DIAMETER / 2)
    near = cKDTree(places)
    free, area = np.ones(len(places), bool), 0.0
    for position, (place, diameter) in enumerate(zip(places, diameters, strict=True)):
        if area >= _SIGMA_SHARE * phase.size * pitch**2:
            break
        if not free[position]:
            continue
        free[near.query_ball_point(place, _APART)] = False
        area += math.pi / 4 * diameter**2
        low = np.maximum(np.floor((place - diameter) / pitch).astype(int), 0)
        high = np.ceil((place + diameter) / pitch).astype(int) + 1
        box = phase[low[0] : high[0], low[1] : high[1]]
        y, x = np.indices(box.shape)
        inside = np.hypot((y + low[0]) * pitch - place[0], (x + low[1]) * pitch - place[1]) <= diameter / 2
        box[inside] = 2


def _smooth(rng: np.random.Generator, shape: tuple[int, int], lengths) -> np.ndarray:
    return gaussian_filter(rng.normal(size=shape), lengths, mode="wrap")


def _between(field: np.ndarray, low: float, high: float) -> np.ndarray:
    return low + (high - low) * (field - field.min()) / np.ptp(field)
