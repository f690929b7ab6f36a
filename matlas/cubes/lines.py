"""Characteristic X-ray lines of the elements, and which of them the peaks of a spectrum are."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import pandas as pd
import xraylib

from matlas.composition import ATOMIC_NUMBER, SYMBOLS
from matlas.cubes.cube import Axis
from matlas.errors import ConfigError, DataError, closest

FAMILIES = {"K": ("K",), "L": ("L1", "L2", "L3"), "M": ("M1", "M2", "M3", "M4", "M5")}
_SIEGBAHN = {  # Jenkins et al. 1991, doi:10.1002/xrs.1300200308, table VIII.2; other lines go by their IUPAC name
    "K-L3": "Kα1", "K-L2": "Kα2", "K-M3": "Kβ1", "K-M2": "Kβ3", "K-N3": "Kβ2", "K-N2": "Kβ2′", "L3-M5": "Lα1",
    "L3-M4": "Lα2", "L2-M4": "Lβ1", "L3-N5": "Lβ2", "L1-M3": "Lβ3", "L1-M2": "Lβ4", "L3-N1": "Lβ6", "L3-O1": "Lβ7",
    "L1-M5": "Lβ9", "L1-M4": "Lβ10", "L3-N4": "Lβ15", "L2-M3": "Lβ17", "L2-N4": "Lγ1", "L1-N2": "Lγ2", "L1-N3": "Lγ3",
    "L1-O3": "Lγ4", "L2-N1": "Lγ5", "L2-O4": "Lγ6", "L2-M1": "Lη", "L3-M1": "Lℓ", "L3-M3": "Ls", "L3-M2": "Lt",
    "M5-N7": "Mα1", "M5-N6": "Mα2", "M4-N6": "Mβ", "M3-N5": "Mγ", "M5-N3": "Mζ1", "M4-N2": "Mζ2",
}  # fmt: skip
# (b, c) of the Bethe cross-section. K and L: Powell 1976, doi:10.1103/RevModPhys.48.33, as tabulated by Goldstein et
# al., Scanning Electron Microscopy and X-ray Microanalysis; for M no constants are agreed on, and those of L stand in
_BETHE = {"K": (0.9, 0.65), "L": (0.75, 0.60), "M": (0.75, 0.60)}
_BETHE_UNIT = 6.51e-20  # π e⁴ in cm² keV²
_WITHOUT_M_ALPHA, _GADOLINIUM = (
    range(58, 64),
    64,
)  # Ce to Eu: xraylib 4.3 has no rate of Mα and Mβ, though it has f electrons
_REST_ENERGY = 510.999  # of an electron, keV
_LEAST_WEIGHT = 0.01  # of a line that may explain a peak: fainter ones of heavy elements lie almost everywhere
_REACH = 4.0  # standard deviations to either side that the filter of peaks sees

_TRANSITIONS: dict[str, list[tuple[str, int]]] = {}
for _constant in dir(xraylib):
    if _match := re.fullmatch(r"(K|L\d|M\d)([LMNOP]\d)_LINE", _constant):
        _TRANSITIONS.setdefault(_match[1], []).append((f"{_match[1]}-{_match[2]}", getattr(xraylib, _constant)))


class Emission(NamedTuple):
    """Lines of one family: names, energies in keV, and the cross-section of the emission of each by a thin foil, cm²
    an atom (with no beam energy, relative)."""

    lines: tuple[str, ...]
    energies: np.ndarray
    cross_sections: np.ndarray


def xray_lines(elements: Sequence[str], low: float, high: float, beam_energy: float | None = None) -> pd.DataFrame:
    """Lines at low … high (keV): element, family ("K", "L", "M"), line (Siegbahn's name, else IUPAC's), energy (keV)
    and weight, the share of the line in all emission of its family, which sums to 1 before the cut to low … high.

    elements : symbols; beam_energy : of the electrons, keV: shells that it can't ionise emit nothing; by default far
    above all edges.
    K lines have xraylib's radiative rates. Vacancies of the L and M subshells come from `ionisation_cross_section` and
    Coster–Kronig transfers, and emit by fluorescence yield and radiative rate, all of xraylib. Vacancies that emission
    from inner shells leaves behind (K to L, L to M) are left out: at 200 keV they are a few per cent of the L
    vacancies and roughly a tenth of the M vacancies, and they move weight between lines of a family by less. Ce to Eu,
    of whose Mα and Mβ xraylib has no radiative rate, have those of Gd for M.
    Raises ConfigError for what is no element.
    Source: Schoonjans et al. 2011, doi:10.1016/j.sab.2011.09.011 (xraylib).
    """
    rows = []
    for element, z in zip(elements, atomic_numbers(elements), strict=True):
        for family in FAMILIES:
            found = emission(z, family, beam_energy)
            total = found.cross_sections.sum()
            rows += [
                (element, family, line, energy, cross_section / total)
                for line, energy, cross_section in zip(*found, strict=True) if low <= energy <= high
            ]  # fmt: skip
    return pd.DataFrame(rows, columns=["element", "family", "line", "energy", "weight"])


def atomic_numbers(elements: Sequence[str]) -> list[int]:
    """Atomic numbers of symbols. Raises ConfigError for what is no element that has lines, and for one named twice."""
    if len(set(elements)) != len(elements):
        raise ConfigError("an element is named twice", found=list(elements))
    for element in elements:
        if ATOMIC_NUMBER.get(element, 0) not in range(3, 99):
            near = closest(element, [symbol.lower() for symbol in SYMBOLS[3:99]])
            raise ConfigError("not an element with X-ray lines", expected=f"{near.capitalize()!r} (nearest)" if near
                              else "a symbol from Li to Cf", found=repr(element))  # fmt: skip
    return [ATOMIC_NUMBER[element] for element in elements]


def ionisation_cross_section(electrons: float, edge: float, family: str, beam_energy: float) -> float:
    """Cross-section, cm², for the ionisation of a subshell of so many electrons and an edge in keV: Bethe's, with the
    relativistic terms and T = m v² / 2,  π e⁴ n b / (E T) (ln(c T / E) - ln(1 - β²) - β²), and 0 below the edge.

    b and c are those of the shell (Powell). Within about 10 % of measured ones for K, 20 % for L and a factor of 2 for
    M at 100 to 300 keV; ratios of subshells are better known. Below some 3 times the edge, where Bethe's logarithm
    breaks down, half of ln(beam energy / E) stands in: no more than that the cross-section falls to 0 at the edge.
    Source: Powell 1976, doi:10.1103/RevModPhys.48.33; relativistic terms as in Zaluzec 1984 and Egerton 2011, 4.5.1.
    """
    b, c = _BETHE[family]
    beta2 = 1 - (1 + beam_energy / _REST_ENERGY) ** -2
    t = _REST_ENERGY * beta2 / 2
    logarithm = np.log(c * t / edge) - np.log(1 - beta2) - beta2
    logarithm = max(logarithm, np.log(beam_energy / edge) / 2, 0.0)
    return float(_BETHE_UNIT * electrons * b / (edge * t) * logarithm)


@cache
def emission(z: int, family: str, beam_energy: float | None) -> Emission:
    """What one family of an element emits; no lines where its shells are empty or can't be ionised."""
    vacancies = {shell: _ionised(z, shell, family, beam_energy) for shell in FAMILIES[family]}
    for target in FAMILIES[family]:  # a hole moves outwards, so the shells within have theirs by now
        for origin in FAMILIES[family][: FAMILIES[family].index(target)]:
            transfer = f"F{family}{origin[1]}{target[1]}_TRANS"
            vacancies[target] += vacancies[origin] * _known(xraylib.CosKronTransProb, z, getattr(xraylib, transfer))
    found, rated = [], (_GADOLINIUM if family == "M" and z in _WITHOUT_M_ALPHA else z)
    for shell, holes in vacancies.items():
        photons = holes * _known(xraylib.FluorYield, z, getattr(xraylib, f"{shell}_SHELL"))
        for name, constant in _TRANSITIONS[shell]:
            energy = _known(xraylib.LineEnergy, z, constant)
            strength = photons * _known(xraylib.RadRate, rated, constant)
            if strength > 0 and energy > 0:
                found.append((_SIEGBAHN.get(name, name), energy, strength))
    names, energies, strengths = zip(*found, strict=True) if found else ((), (), ())
    return Emission(names, np.array(energies), np.array(strengths))


def _ionised(z: int, shell: str, family: str, beam_energy: float | None) -> float:
    number = getattr(xraylib, f"{shell}_SHELL")
    electrons, edge = _known(xraylib.ElectronConfig, z, number), _known(xraylib.EdgeEnergy, z, number)
    if not electrons or not edge:
        return 0.0
    if beam_energy is None:  # where the logarithm hardly depends on the subshell
        return electrons / edge
    return ionisation_cross_section(electrons, edge, family, beam_energy)


def _known(quantity: Callable[..., float], *what) -> float:
    """A value of xraylib, or 0 where it has none: a shell without electrons, a line or transfer that doesn't occur."""
    try:
        return quantity(*what)
    except ValueError:
        return 0.0


def labelled_peaks(
    spectrum: np.ndarray,
    axis: Axis,
    elements: Sequence[str],
    resolution: float | Callable[[np.ndarray], np.ndarray],
    least_significance: float = 5.0,
    beam_energy: float | None = None,
) -> pd.DataFrame:
    """Peaks that stand out of a spectrum: position (keV), height (in the spectrum's unit), significance (in standard
    deviations of counting noise), and the element and line that explain each, or "" where none of `elements` does.

    spectrum : (C,) none negative: counts, or anything in proportion to them, such as an endmember, whose noise is then
    gauged by the differences of neighbouring channels; axis : in keV; resolution : full width at half maximum of a
    peak, keV, or a function of energies in keV; least_significance : of a peak; beam_energy : as in `xray_lines`.
    A peak is a maximum of the spectrum filtered by a Gaussian's second derivative, which lets no straight background
    through. A line explains a peak within half the resolution if it is the strongest of its family on the axis, or that
    one is a peak too; of several, the one of the largest weight times Gaussian closeness does.
    Raises ConfigError as `xray_lines`, and for a width of 0 or less; DataError for another axis or spectrum.
    Source: Mariscotti 1967, doi:10.1016/0029-554X(67)90058-4 (the filter).
    """
    spectrum = np.asarray(spectrum, dtype=np.float64)
    if spectrum.shape != (axis.size,) or not np.isfinite(spectrum).all() or spectrum.min() < 0 or axis.scale < 0:
        raise DataError("not a spectrum with peaks", expected=f"{axis.size} values of 0 or more, on a rising axis",
                        found=f"shape {spectrum.shape}, {np.isfinite(spectrum).sum()} finite")  # fmt: skip
    energies = axis.values
    widths = resolution(energies) if callable(resolution) else np.full(axis.size, float(resolution))
    if not (np.min(widths) > 0 and np.isfinite(widths).all()):
        raise ConfigError("`resolution` can't be", expected="a width above 0 keV", found=np.min(widths))
    significance, smooth = _significance(spectrum, axis, widths / 2.3548)
    inner = significance[1:-1]
    places = 1 + np.flatnonzero(
        (inner >= significance[:-2]) & (inner > significance[2:]) & (inner >= least_significance)
    )
    lines = xray_lines(elements, energies[0], energies[-1], beam_energy)
    lines = lines[lines.weight >= _LEAST_WEIGHT]
    peaks = energies[places] + axis.scale * _vertex(significance, places)
    half = widths[places] / 2
    labels = [_explanation(at, near, lines, peaks, half) for at, near in zip(peaks, half, strict=True)]
    return pd.DataFrame({
        "position": peaks, "height": smooth[places], "significance": significance[places],
        "element": [element for element, _ in labels], "line": [line for _, line in labels],
    })  # fmt: skip


def _significance(spectrum: np.ndarray, axis: Axis, sigmas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The filtered spectrum over its standard deviation, and the spectrum smoothed over half a peak's width."""
    filtered, variance, smooth = (np.empty(axis.size) for _ in range(3))
    for channel, sigma in enumerate(sigmas / axis.scale):
        reach = max(2, int(np.ceil(_REACH * sigma)))
        part = slice(max(0, channel - reach), channel + reach + 1)
        distance = (np.arange(axis.size)[part] - channel) / sigma
        bell = np.exp(-(distance**2) / 2)
        kernel = (1 - distance**2) * bell
        for line in (np.ones_like(distance), distance - distance.mean()):  # at an end, part of the kernel is missing
            kernel -= (kernel @ line) / (line @ line) * line
        filtered[channel], variance[channel] = kernel @ spectrum[part], kernel**2 @ spectrum[part]
        smooth[channel] = bell**2 @ spectrum[part] / (bell**2).sum()
    if (spectrum != np.rint(spectrum)).any():
        bends = np.diff(spectrum, 2) ** 2
        # a bend has 6 times the variance of a channel, and its square over that a median of 0.455 (χ² of 1)
        variance *= np.median(bends / np.maximum(smooth[1:-1], smooth.max() * 1e-9)) / (6 * 0.455)
    least = variance.max() * 1e-12
    return filtered / np.sqrt(np.maximum(variance, least if least > 0 else 1.0)), smooth


def _vertex(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    before, here, after = values[places - 1], values[places], values[places + 1]
    return (before - after) / (2 * (before - 2 * here + after))


def _explanation(at: float, near: float, lines: pd.DataFrame, peaks: np.ndarray, half: np.ndarray) -> tuple[str, str]:
    best = ("", "")
    most = 0.0
    for (element, _), family in lines.groupby(["element", "family"], sort=False):
        strongest = family.energy[family.weight.idxmax()]
        if not (np.abs(peaks - strongest) <= half).any():
            continue
        distance = (family.energy - at).abs()
        scores = family.weight * np.exp(-np.log(2) * (distance / near) ** 2) * (distance <= near)
        if scores.max() > most:
            most, best = scores.max(), (element, family.line[scores.idxmax()])
    return best
