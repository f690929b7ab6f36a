"""Volume plasmons: the Drude loss function, its fit to every pixel of counts, and phases told apart by it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.ndimage import uniform_filter1d
from scipy.optimize import least_squares, leastsq

from matlas.cubes.cube import Cube
from matlas.errors import ConfigError, DataError
from matlas.threads import Progress

log = logging.getLogger(__name__)

TAIL_EXPONENT = 3.0  # nominal: how steeply what the zero-loss peak leaves behind falls with energy
LEAST_WIDTH = 0.5  # eV: narrower than any plasmon of a metal but the alkali ones
_TOLERANCE = 1e-6  # of chi² and of the parameters: the optimum to a hundredth of a standard error
_MOST_STEPS = 100
_LEAST_DETERMINANT = 1e-10  # of the correlations of the derivatives: below, the counts can't tell parameters apart
_BLOCK_PIXELS = 100  # fitted together: their spectra and derivatives stay in the cache


@dataclass(frozen=True)
class Plasmon:
    """energy : E_p, the energy of the plasmon of free electrons; width : Γ, the damping; both in eV."""

    energy: float
    width: float


@dataclass(frozen=True, eq=False)
class DrudeFit:
    """What the fit of each pixel found; all (H, W), errors being one standard deviation.

    energy, width : E_p and Γ in eV; amplitude : counts a channel where the loss function is 1; tail : counts a channel
    at the lowest fitted energy that the zero-loss peak left; correlation : of the errors of E_p and Γ;
    reduced_chi2 : 1 where the model holds; converged : where False, the other values are where the fit stopped.
    """

    energy: np.ndarray
    width: np.ndarray
    amplitude: np.ndarray
    tail: np.ndarray
    energy_error: np.ndarray
    width_error: np.ndarray
    amplitude_error: np.ndarray
    tail_error: np.ndarray
    correlation: np.ndarray
    reduced_chi2: np.ndarray
    converged: np.ndarray


def drude_loss(energies: np.ndarray, plasmon: Plasmon) -> np.ndarray:
    """Im(-1/ε) = E Γ E_p² / ((E² - E_p²)² + (E Γ)²), dimensionless, E_p / Γ at E_p; energies in eV.

    Source: Egerton 2011, Electron Energy-Loss Spectroscopy in the Electron Microscope, 3.3.1.
    """
    squared, damped = plasmon.energy**2, energies * plasmon.width
    return damped * squared / ((energies**2 - squared) ** 2 + damped**2)


def drude_area(plasmon: Plasmon) -> float:
    """Integral of `drude_loss` over all energies, in eV: E_p φ / sin φ where cos φ = Γ / (2 E_p) < 1."""
    phi = np.arccos(plasmon.width / (2 * plasmon.energy))
    return float(plasmon.energy * phi / np.sin(phi))


def drude_fit(
    cube: Cube, low: float, high: float, *, thickness: float | np.ndarray, tail_exponent: float = TAIL_EXPONENT
) -> DrudeFit:
    """Fit to each pixel, at low … high eV, of an axis in eV, the counts
    amplitude (L(E) + t/λ / 2 (L ∗ L)(E) / ∫L) + tail (E_low / E)^tail_exponent, where L is `drude_loss`: electrons
    that excite one plasmon, or two (Egerton 2011, 3.4), and what the zero-loss peak left. Returns a DrudeFit.

    thickness : t/λ, one number for the map or (H, W), 0 for electrons that excite one plasmon only. A window that
    starts above the zero-loss peak hardly tells it from the width: fitted in each pixel of simulated steel too, it
    cost 2 % of the labels at 10,000 counts a pixel, and gained 1 % at 100,000; the true map gained 5 % and 1 %.
    Weights: counting noise, its variance the mean spectrum scaled to the counts of the pixel: that of the pixel itself
    (Neyman's) draws the fit towards channels that happen to have few counts.
    Start: E_p where the spectrum, smoothed over 2 eV, is highest, Γ from its half height, amplitude and tail by linear
    least squares. Bounds: E_p in the window, Γ from 0.5 eV to 1.9 E_low (beyond 2 E_p nothing oscillates), amplitude
    and tail not below 0.
    Solver: MINPACK's Levenberg-Marquardt with the analytic Jacobian; a pixel whose optimum lies outside the bounds is
    fitted again inside of them, by the trust-region reflective method. That gives what the latter alone gives, sooner.
    Errors are those of the unbounded optimum, from the curvature, with the noise known (not scaled by reduced_chi2).
    Pixels that don't converge are marked, and their number is logged.

    Raises ConfigError where the numbers are not counts and for a thickness below 0 or of another shape, DataError for
    an axis that isn't in eV or runs downwards, a window not above 0 or of fewer than 8 channels, and for pixels
    without a count in it.
    """
    model, spectra, weights = _problem(cube, low, high, thickness, tail_exponent)
    values, progress = _start(model, spectra, weights), Progress("Drude fits", len(spectra))
    converged = np.empty(len(spectra), bool)
    for pixel, start in enumerate(values):
        values[pixel], converged[pixel] = _fitted(model.of([pixel]), spectra[pixel], weights[pixel], start)
        progress.reached(pixel + 1)
    progress.finished()
    return _summarised(cube, model, spectra, weights, values, converged)


def vectorised_drude_fit(
    cube: Cube, low: float, high: float, *, thickness: float | np.ndarray, tail_exponent: float = TAIL_EXPONENT
) -> DrudeFit:
    """`drude_fit`, and the same optimum, by Levenberg-Marquardt steps of a hundred pixels at a time; a parameter that
    a step would take over its bound stays there while the gradient points outwards."""
    model, spectra, weights = _problem(cube, low, high, thickness, tail_exponent)
    values, progress = _start(model, spectra, weights), Progress("Drude fits", len(spectra))
    converged = np.empty(len(spectra), bool)
    for block in _blocks(len(spectra)):
        values[block], converged[block] = _fitted_together(
            model.of(block), spectra[block], weights[block], values[block]
        )
        progress.reached(block.stop)
    progress.finished()
    return _summarised(cube, model, spectra, weights, values, converged)


def labelled_by_plasmon(fit: DrudeFit, phases: Mapping[str, Plasmon], *, floor: float = 0.02) -> np.ndarray:
    """(H, W) label of each pixel, the position in `phases` of the nearest in E_p and Γ; -1 where the fit didn't
    converge, and their number is logged.

    Distances are Mahalanobis ones, in the standard errors of the pixel's fit with their correlation. floor : eV that
    is added to both errors in quadrature, for what is not counting noise (calibration, bonding). Raises ConfigError
    for fewer than 2 phases.
    """
    if len(phases) < 2:
        raise ConfigError("labels need phases to choose from", expected="2 or more", found=len(phases))
    energy_error, width_error = np.hypot(fit.energy_error, floor), np.hypot(fit.width_error, floor)
    covariance = fit.correlation * fit.energy_error * fit.width_error
    r = covariance / (energy_error * width_error)
    distances = []
    for phase in phases.values():
        e, w = (fit.energy - phase.energy) / energy_error, (fit.width - phase.width) / width_error
        distances.append((e**2 - 2 * r * e * w + w**2) / (1 - r**2))
    usable = fit.converged & np.isfinite(distances).all(axis=0)
    if not usable.all():
        log.warning("%d of %d pixels have no label: their fits give none", (~usable).sum(), usable.size)
    return np.where(usable, np.argmin(distances, axis=0), -1)


class _Model:
    """Expected counts of n pixels and their derivatives by E_p, Γ, amplitude, tail, at evenly spaced energies.

    thickness : (n,) t/λ."""

    def __init__(self, energies: np.ndarray, step: float, thickness: np.ndarray, tail_exponent: float):
        self.energies, self.step, self.half, self.plural = energies, step, thickness[:, None] / 2, thickness.any()
        self.tail = (energies[0] / energies) ** tail_exponent
        # L ∗ L needs L from 0 on, at multiples of the step; between them, the result is interpolated
        self.places = np.floor(energies / step + 1e-6).astype(int)
        self.part = np.maximum(energies / step - self.places, 0.0)
        self.grid = step * np.arange(self.places[-1] + 2)
        self.padded = next_fast_len(2 * len(self.grid), real=True)
        self.lower = np.array([energies[0], LEAST_WIDTH, 0.0, 0.0])
        self.upper = np.array([energies[-1], 1.9 * energies[0], np.inf, np.inf])

    def of(self, pixels: slice | np.ndarray | list[int]) -> _Model:
        """The model of some of the pixels."""
        some = copy(self)
        some.half = self.half[pixels]
        return some

    def plasmons(self, energy: np.ndarray, width: np.ndarray) -> np.ndarray:
        """(3, n, C) of n plasmons: their spectra at amplitude 1, and the derivatives by E_p and Γ."""
        energy, width = energy[:, None], width[:, None]
        grid = self.grid if self.plural else self.energies
        squares, squared, damped = grid**2, energy**2, grid * width
        inverse = 1 / ((squares - squared) ** 2 + damped**2)
        loss = damped * squared * inverse
        by_energy = loss * (2 / energy + 4 * energy * (squares - squared) * inverse)
        by_width = loss * (1 / width - 2 * grid * damped * inverse)
        once = np.stack([loss, by_energy, by_width])
        if not self.plural:
            return once
        waves = rfft(once, self.padded)
        waves *= waves[0].copy()
        twice = irfft(waves, self.padded)[..., : len(grid)] * self.step  # L ∗ L, and half its derivatives
        cosine = width / (2 * energy)
        ratio = np.arccos(cosine) / np.sqrt(1 - cosine**2)
        slope = (cosine * ratio - 1) / (1 - cosine**2)
        area = energy * ratio  # drude_area, whose derivatives follow
        spectra = once + self.half / area * twice * np.array([1, 2, 2])[:, None, None]
        spectra[1] -= self.half / area**2 * (ratio - cosine * slope) * twice[0]
        spectra[2] -= self.half / area**2 * slope / 2 * twice[0]
        below, above = spectra[..., self.places], spectra[..., self.places + 1]
        return below + self.part * (above - below) if self.part.any() else below

    def both(self, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n, C) expected counts and (n, C, 4) derivatives at the (n, 4) parameters."""
        loss, by_energy, by_width = self.plasmons(p[:, 0], p[:, 1])
        amplitude, tail = p[:, 2:3], np.broadcast_to(self.tail, loss.shape)
        slopes = np.stack([amplitude * by_energy, amplitude * by_width, loss, tail], axis=-1)
        return amplitude * loss + p[:, 3:] * tail, slopes


def _problem(cube: Cube, low: float, high: float, thickness: float | np.ndarray, tail_exponent: float):
    """The model at the channels of the window, and (H * W, C) counts and weights, 1 / standard deviation."""
    if not cube.counts:
        raise ConfigError(
            "a Drude fit is for counts, whose noise it weighs by", do="declare `counts: true` if these are"
        )
    thickness = np.asarray(thickness, np.float64)
    if thickness.shape not in ((), cube.data.shape[:2]) or not ((thickness >= 0) & (thickness < np.inf)).all():
        raise ConfigError("thickness t/λ can't be", expected=f"a number or {cube.data.shape[:2]} of 0 or above",
                          found=f"{thickness.shape} from {thickness.min()} to {thickness.max()}")  # fmt: skip
    thickness = np.broadcast_to(thickness, cube.data.shape[:2]).ravel()
    axis = cube.signal
    window = axis.window(low, high)
    energies = axis.values[window]
    if axis.unit != "eV" or axis.scale < 0 or energies[0] <= 0 or len(energies) < 8:
        raise DataError(
            "window can't hold a plasmon", expected="8 channels or more, rising, at energies above 0, in eV",
            found=f"{len(energies)} channels of {axis.span}",
        )  # fmt: skip
    spectra = cube.spectra[:, window].astype(np.float64)
    sums = spectra.sum(axis=1)
    if dark := np.flatnonzero(sums == 0).tolist():
        raise DataError("a fit needs counts in its window", found=f"{len(dark)} pixels without, at first (y, x) "
                        f"{cube.pixel(dark[0])}", do="leave these pixels out when preparing the cube")  # fmt: skip
    mean = np.maximum(spectra.mean(axis=0), 1 / len(spectra))  # half-empty channels weigh as if they had a count
    weights = np.sqrt(mean.sum() / (mean * sums[:, None]))
    return _Model(energies, axis.scale, thickness, tail_exponent), spectra, weights


def _start(model: _Model, spectra: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(n, 4) start values, inside the bounds."""
    smooth = uniform_filter1d(spectra, max(1, round(2 / model.step)), axis=1, mode="nearest")
    peaks, channels = smooth.argmax(axis=1)[:, None], np.arange(smooth.shape[1])
    low = smooth < smooth.max(axis=1, keepdims=True) / 2
    most = len(channels) // 2
    half = np.minimum(np.where(low, abs(channels - peaks), most).min(axis=1), most)  # on the side that gets there first
    values = np.empty((len(spectra), 4))
    values[:, 0] = np.clip(model.energies[peaks[:, 0]], model.lower[0] + model.step, model.upper[0] - model.step)
    values[:, 1] = np.clip(2 * model.step * half, 2 * LEAST_WIDTH, model.upper[1] / 1.1)
    for block in _blocks(len(spectra)):
        loss = model.of(block).plasmons(values[block, 0], values[block, 1])[0]
        linear = np.stack([loss, np.broadcast_to(model.tail, loss.shape)], axis=-1) * weights[block, :, None]
        normal = np.einsum("nci,ncj->nij", linear, linear)
        wanted = np.einsum("nci,nc->ni", linear, spectra[block] * weights[block])
        values[block, 2:] = np.linalg.solve(normal, wanted[..., None])[..., 0]
    least = 1e-3 * smooth.max(axis=1, keepdims=True)  # on a bound, the reflective method can't start
    values[:, 2:] = np.maximum(values[:, 2:], least)
    return values


def _fitted(model: _Model, counts: np.ndarray, weights: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, bool]:
    """The optimum of a pixel, and whether it was reached."""
    known: dict[bytes, np.ndarray] = {}  # the solver asks for the derivatives where it has just asked for the counts

    def residuals(p: np.ndarray) -> np.ndarray:
        expected, slopes = model.both(p[None])
        known.clear()
        known[p.tobytes()] = slopes[0] * weights[:, None]
        return (expected[0] - counts) * weights

    def jacobian(p: np.ndarray) -> np.ndarray:
        if p.tobytes() not in known:
            residuals(p)
        return known[p.tobytes()]

    limits = {"ftol": _TOLERANCE, "xtol": _TOLERANCE}
    with np.errstate(invalid="ignore"):  # a trial beyond Γ = 2 E_p has no spectrum; the pixel is fitted again
        values, _, _, _, status = leastsq(
            residuals, start, Dfun=jacobian, full_output=True, maxfev=_MOST_STEPS, **limits
        )
    if status in (1, 2, 3, 4) and (values >= model.lower).all() and (values <= model.upper).all():
        return values, True
    again = least_squares(residuals, start, jac=jacobian, bounds=(model.lower, model.upper), method="trf",
                          x_scale="jac", max_nfev=_MOST_STEPS, **limits)  # fmt: skip
    return again.x, again.status > 0


def _fitted_together(
    model: _Model, spectra: np.ndarray, weights: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(n, 4) optima and (n,) whether they were reached."""
    values, done, damping = values.copy(), np.zeros(len(values), bool), np.full(len(values), 1e-3)
    gradient, normal, chi2 = _normal_equations(model, spectra, weights, values)
    for _ in range(_MOST_STEPS):
        at = np.flatnonzero(~done)
        if not at.size:
            break
        p, g, h = values[at], gradient[at], normal[at].copy()
        held = ((p <= model.lower) & (g > 0)) | ((p >= model.upper) & (g < 0))
        diagonal = np.einsum("nii->ni", h)  # a view
        diagonal *= 1 + damping[at, None]
        free = ~held[:, :, None] & ~held[:, None, :]
        h = np.where(free, h, np.eye(4))
        step = -np.linalg.solve(h, np.where(held, 0, g)[..., None])[..., 0]
        trial = np.clip(p + step, model.lower, model.upper)
        new_gradient, new_normal, new_chi2 = _normal_equations(model.of(at), spectra[at], weights[at], trial)
        better = new_chi2 <= chi2[at]
        small = (abs(trial - p) <= _TOLERANCE * (abs(p) + _TOLERANCE)).all(axis=1)
        done[at] = (better & (chi2[at] - new_chi2 <= _TOLERANCE * chi2[at])) | small
        damping[at] *= np.where(better, 0.1, 10.0)
        for old, new in ((values, trial), (gradient, new_gradient), (normal, new_normal), (chi2, new_chi2)):
            old[at[better]] = new[better]
    return values, done


def _normal_equations(model: _Model, spectra: np.ndarray, weights: np.ndarray, values: np.ndarray):
    """(n, 4) half the gradient of chi², (n, 4, 4) half its curvature (Gauss-Newton) and (n,) chi²."""
    expected, slopes = model.both(values)
    slopes *= weights[..., None]
    residuals = (expected - spectra) * weights
    turned = slopes.transpose(0, 2, 1)
    return (turned @ residuals[..., None])[..., 0], turned @ slopes, (residuals**2).sum(axis=1)


def _summarised(
    cube: Cube, model: _Model, spectra: np.ndarray, weights: np.ndarray, values: np.ndarray, converged: np.ndarray
) -> DrudeFit:
    """The fit as maps. Where the counts don't determine a parameter, its errors are infinite, and the pixel counts as
    one that didn't converge."""
    covariance, chi2 = np.full((len(values), 4, 4), np.inf), np.empty(len(values))
    for block in _blocks(len(values)):
        _, normal, chi2[block] = _normal_equations(model.of(block), spectra[block], weights[block], values[block])
        scale = np.sqrt(np.einsum("nii->ni", normal))
        scale = scale[:, :, None] * scale[:, None, :]
        scaled = np.divide(normal, scale, out=np.zeros_like(normal), where=scale > 0)
        known = np.linalg.det(scaled) > _LEAST_DETERMINANT
        covariance[block][known] = np.linalg.inv(scaled[known]) / scale[known]
    errors = np.sqrt(np.einsum("nii->ni", covariance))
    known = np.isfinite(errors).all(axis=1)
    correlation = np.zeros(len(values))
    correlation[known] = covariance[known, 0, 1] / (errors[known, 0] * errors[known, 1])
    converged = converged & known
    if not converged.all():
        log.warning("%d of %d fits did not converge; they are marked", (~converged).sum(), converged.size)
    rows = (*values.T, *errors.T, correlation, chi2 / (spectra.shape[1] - 4), converged)
    return DrudeFit(*(cube.image(np.ascontiguousarray(row)) for row in rows))


def _blocks(n: int) -> list[slice]:
    return [slice(start, min(start + _BLOCK_PIXELS, n)) for start in range(0, n, _BLOCK_PIXELS)]
