"""Forward model of energy-dispersive X-ray spectra of a thin foil: lines, background and sensitivity."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xraylib
from scipy.special import ndtr

from matlas.cubes.cube import Axis
from matlas.cubes.lines import FAMILIES, atomic_numbers, emission
from matlas.errors import ConfigError, DataError

_SILICON, _SILICON_DENSITY = 14, 2.329  # g/cm³
_FWHM = 2 * math.sqrt(2 * math.log(2))  # of a Gaussian, in standard deviations

Family = tuple[str, str]  # element and "K", "L" or "M"


@dataclass(frozen=True)
class Detector:
    """A silicon drift detector without window.

    variance_offset (keV²), variance_slope (keV): variance of a peak = variance_offset + variance_slope * energy;
    thickness_mm : of the silicon; dead_layer_nm : silicon that absorbs and doesn't count; elevation_deg : take-off
    angle above the plane of the foil. Incomplete charge collection, escape and sum peaks are left out.
    Raises ConfigError for values that can't be.
    """

    variance_offset: float
    variance_slope: float
    thickness_mm: float
    dead_layer_nm: float
    elevation_deg: float

    def __post_init__(self):
        least = (self.variance_offset, self.variance_slope, self.dead_layer_nm)
        if min(least) < 0 or sum(least[:2]) == 0 or self.thickness_mm <= 0 or not 0 < self.elevation_deg <= 90:
            raise ConfigError("no such detector", expected="lengths and variances of 0 or more, a thickness and peaks' "
                              "width above 0, an elevation above 0 up to 90 degrees", found=self)  # fmt: skip

    def width(self, energies: np.ndarray) -> np.ndarray:
        """Full width at half maximum of peaks at these energies, both in keV."""
        return _FWHM * np.sqrt(self.variance_offset + self.variance_slope * np.asarray(energies))

    def efficiency(self, energies: np.ndarray) -> np.ndarray:
        """Share of the photons of these energies (keV) that are counted: those that the dead layer lets through and
        that the silicon behind it stops. Attenuation of xraylib."""
        attenuation = _attenuation({_SILICON: 1.0}, energies) * _SILICON_DENSITY  # 1/cm
        through = np.exp(-attenuation * self.dead_layer_nm * 1e-7)
        return through * -np.expm1(-attenuation * self.thickness_mm * 0.1)


@dataclass(frozen=True)
class Foil:
    """What absorbs on the way out of the sample.

    mass_fractions : of the elements, by symbol, brought to a sum of 1; mass_thickness : density times
    thickness, g/cm².
    Raises ConfigError for unknown elements and values that can't be.
    """

    mass_fractions: Mapping[str, float]
    mass_thickness: float

    def __post_init__(self):
        atomic_numbers(list(self.mass_fractions))
        fractions = list(self.mass_fractions.values())
        if self.mass_thickness < 0 or min(fractions, default=0) < 0 or sum(fractions) <= 0:
            raise ConfigError("no such foil", expected="fractions and thickness of 0 or more", found=self)

    def escape(self, energies: np.ndarray, elevation_deg: float) -> np.ndarray:
        """Share of the photons of these energies (keV), made evenly over the depth, that leave at this elevation."""
        total = sum(self.mass_fractions.values())
        numbers = atomic_numbers(list(self.mass_fractions))
        shares = {z: f / total for z, f in zip(numbers, self.mass_fractions.values(), strict=True)}
        depth = _attenuation(shares, energies) * self.mass_thickness / math.sin(math.radians(elevation_deg))
        return np.divide(-np.expm1(-depth), depth, out=np.ones_like(depth), where=depth > 0)


def family_spectra(
    elements: Sequence[str],
    axis: Axis,
    detector: Detector,
    beam_energy: float,
    foil: Foil | None = None,
    least_share: float = 0.05,
) -> tuple[list[Family], np.ndarray]:
    """The F families whose lines reach the axis, and the counts (F, C) that one detected photon of each leaves there.

    elements : symbols; axis : in keV, rising, a channel from half a step below its position to half a step above;
    beam_energy : keV; foil : what absorbs, by default nothing; least_share : of a family that reaches the axis.
    Lines (as `matlas.cubes.lines.xray_lines` has them) are Gaussians, integrated over each channel, weighted by what
    is emitted, leaves the foil and is counted. A row sums to the share of its family's detected photons on the axis.
    Raises ConfigError for what is no element, for none at all, and for an element without such a family; DataError for
    another axis.
    """
    edges = _edges(axis)
    if not len(elements):
        raise ConfigError("no elements to look for", expected="at least one symbol")
    families, rows, absent = [], [], []
    for element, z in zip(elements, atomic_numbers(elements), strict=True):
        reached = 0
        for family in FAMILIES:
            found = emission(z, family, beam_energy)
            detected = found.cross_sections * _seen(found.energies, detector, foil)
            if not detected.sum():
                continue
            sigmas = detector.width(found.energies)[:, None] / _FWHM
            parts = np.diff(ndtr((edges - found.energies[:, None]) / sigmas), axis=1)
            row = detected @ parts / detected.sum()
            if row.sum() >= least_share:
                families.append((element, family))
                rows.append(row)
                reached += 1
        if not reached:
            absent.append(element)
    if absent:
        raise ConfigError(
            f"no line of {', '.join(absent)} is on the axis", expected=f"lines at {axis.span}, which a beam of "
            f"{beam_energy:g} keV excites", found=f"less than {least_share:g} of each family",
            do="leave these elements out: this spectrum says nothing about them",
        )  # fmt: skip
    return families, np.array(rows)


def sensitivity(
    families: Sequence[Family], detector: Detector, beam_energy: float, foil: Foil | None = None
) -> np.ndarray:
    """(F,) counts of each family per atom, electron and steradian over 4π, in cm²: the cross-section for emission of
    each line, times the detector's efficiency and what the foil lets out. Ratios are what matters: those are the
    k-factors of Cliff & Lorimer, as atoms.

    With Bethe's cross-section (`matlas.cubes.lines.ionisation_cross_section`), ratios of two K families are good to
    about 10 %, of K and L to 20 %, of any to M to a factor of 2; no error given elsewhere includes that.
    Raises ConfigError as `family_spectra`, and for a family that this beam doesn't excite.
    Source: Cliff & Lorimer 1975, doi:10.1111/j.1365-2818.1975.tb03895.x.
    """
    values = []
    for element, family in families:
        found = emission(*atomic_numbers([element]), family, beam_energy)
        values.append(float(found.cross_sections @ _seen(found.energies, detector, foil)))
        if not values[-1]:
            raise ConfigError(f"{element} {family} has no line", found=f"a beam of {beam_energy:g} keV")
    return np.array(values)


def bremsstrahlung(
    axis: Axis, detector: Detector, beam_energy: float, foil: Foil | None = None, powers: Sequence[float] = (0, 1, 2)
) -> np.ndarray:
    """(T, C) smooth positive terms, each of sum 1, of which a background is a sum with amplitudes of 0 or more:
    (E0 - E) / E^p for each of `powers`, as the foil and the detector let it through.

    p = 1 is Kramers' law; 0 flattens it, and 2 steepens it towards low energies, as measured backgrounds of foils are.
    Raises DataError for an axis that isn't positive, rising and below the beam's energy.
    Source: Kramers 1923, doi:10.1080/14786442308565244; more terms as in Lifshin 1974 and Small et al. 1987.
    """
    energies = axis.values
    _edges(axis)
    if energies[-1] >= beam_energy:
        raise DataError("background beyond the beam's energy", expected=f"below {beam_energy:g} keV", found=axis.span)
    terms = (beam_energy - energies) * energies ** -np.array(powers, dtype=float)[:, None]
    terms = terms * _seen(energies, detector, foil)
    return terms / terms.sum(axis=1, keepdims=True)


def _edges(axis: Axis) -> np.ndarray:
    if axis.scale < 0 or axis.offset <= 0 or axis.unit != "keV":
        raise DataError("not an axis of X-ray energies", expected="rising, above 0, in keV", found=axis.span)
    return axis.offset + axis.scale * (np.arange(axis.size + 1) - 0.5)


def _seen(energies: np.ndarray, detector: Detector, foil: Foil | None) -> np.ndarray:
    """Share of the photons that leave the foil and are counted."""
    share = detector.efficiency(energies)
    return share if foil is None else share * foil.escape(energies, detector.elevation_deg)


def _attenuation(shares: Mapping[int, float], energies: np.ndarray) -> np.ndarray:
    """Mass attenuation, cm²/g, of a mixture by atomic number. xraylib has none below 0.1 keV, where no photon of a
    foil is counted: there the value at 0.1 keV stands in."""
    energies = np.atleast_1d(np.asarray(energies, dtype=np.float64))
    return sum(share * np.array([xraylib.CS_Total(z, max(e, 0.1)) for e in energies]) for z, share in shares.items())
