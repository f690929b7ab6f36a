"""Endmembers and abundances together by an autoencoder: its code is the abundances, its decoder the endmembers."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from scipy.special import softmax
from torch import Tensor, nn

from matlas.autoencoders.feed import epoch_order
from matlas.device import choose_device, device_title
from matlas.errors import ConfigError, DataError, nearest
from matlas.represent import finite_matrix
from matlas.threads import Progress
from matlas.unmix.nmf import Unmixed, loss_of, positive
from matlas.unmix.vca import vca

log = logging.getLogger(__name__)

FORMAT = 1
LOSSES = {
    "frobenius": "sum over pixels and channels of (s - a E)²",
    "kullback-leibler": "sum over pixels and channels of s log(s / a E) - s + a E",
}
STARTS = ("vca", "pixels")

# Whether endmembers are trained, and at which share of the learning rate. An encoder that has learned nothing yet
# gives every pixel a mixture, and would draw the endmembers of the start to the mean: with both from the start, planted
# mixtures of three pure endmembers in noise of 2 % were found at three times the error of abundances.
_STAGES = ((False, 1.0), (True, 0.1))
# For counts, of the mean value: the divergence is infinite where the model is 0 and the count is not.
_FLOOR = 1e-6
# For counts, of the mean spectrum: gradients near the floor are so steep that Adam would hardly move for long.
_FAINTEST = 0.01
_PIXELS_AT_ONCE = 16_384


@dataclass(frozen=True)
class Trained:
    """A trained autoencoder and what it makes of the spectra that it was trained on.

    weights : "encoder.0.weight" … (float32), "mean" (c,), "scale" (1,) and "endmembers" (m, c) (float64), to be stored
    as safetensors; about : what they are, and how they were trained, as JSON.
    """

    unmixed: Unmixed
    weights: dict[str, np.ndarray]
    about: dict


def softmax_autoencoder(
    spectra: np.ndarray,
    n_endmembers: int,
    *,
    loss: str = "frobenius",
    hidden: Sequence[int] = (64,),
    epochs: int = 1000,
    batch_size: int = 256,
    learning_rate: float = 5e-3,
    patience: int = 20,
    tol: float = 1e-3,
    start: str = "vca",
    n_starts: int = 1,
    random_state: int = 0,
    device: str = "cpu",
) -> Trained:
    """Abundances a as the softmax at the end of an encoder, endmembers E as the weights of a linear decoder a E without
    bias, kept at 0 or above: the training of the smallest loss among several starts.

    spectra : (n, c), none negative, all at one brightness, as abundances sum to 1; n_endmembers : m of 2 to min(n, c);
    loss : "frobenius" (the squared error) or "kullback-leibler" (half the Poisson deviance, for counts); hidden :
    widths of the encoder's layers before the last, with ReLU; epochs : of each start at most; batch_size,
    learning_rate : of Adam; start : what endmembers begin as, by `vca` or random "pixels"; random_state : of all.
    The encoder sees each spectrum less the mean spectrum, divided by the largest standard deviation of a channel
    (divided by its own, a channel of noise would count as much as one of signal). It is trained alone until the loss
    of all pixels has not fallen by the share `tol` for `patience` epochs, then together with the endmembers, at a tenth
    of the learning rate, until that holds again: then it has converged. The weights of the smallest loss are kept.
    In the result, iterations are epochs; history has the loss at the start and after each epoch, in float32.
    A softmax comes near to 0 and 1 but not there, and nothing keeps the simplex of endmembers small: expect endmembers
    slightly beyond the purest pixels. Where the spectrum of a material varies, the smallest loss may be far from pure
    pixels, as it is for `nmf`: compare with `vca` and `fcls`. On the CPU the same seed gives the same bytes.
    Raises ConfigError for settings out of range; DataError for NaN, infinity, negative spectra, pixels that are all the
    same, what `vca` refuses, and a training that diverges.
    Source: Palsson et al. 2018, doi:10.1109/ACCESS.2018.2818280 (the autoencoder). Decoder weights are clamped after
    each step; a softplus of free ones would never reach 0, and its gradient vanishes near it.
    """
    _check_settings(loss, start, hidden, epochs, batch_size, learning_rate, patience, tol, n_starts, random_state)
    spectra, chosen = positive(spectra), choose_device(device)
    n, c = spectra.shape
    if not isinstance(n_endmembers, int | np.integer) or not 2 <= n_endmembers <= min(n, c):
        raise ConfigError(
            "n_endmembers of the autoencoder is out of range",
            expected=f"2 to {min(n, c)} for {n} pixels of {c} channels", found=n_endmembers,
        )  # fmt: skip
    if (spectra == spectra[0]).all():
        raise DataError(
            "all pixels are the same", where=f"{n} pixels", do="there is nothing to unmix: look at the source"
        )
    unit, mean, scale = spectra.mean(), spectra.mean(axis=0), spectra.std(axis=0).max()
    # what the mean spectrum alone leaves: the unit of the loss in training
    power, null = 2 if loss == "frobenius" else 1, loss_of(spectra / unit, np.ones((n, 1)), mean[None] / unit, loss)
    inputs, targets = (
        torch.tensor(values, dtype=torch.float32, device=chosen)
        for values in ((spectra - mean) / scale, spectra / unit)
    )
    found: list[tuple[Unmixed, dict]] = []
    for k, seed in enumerate(np.random.SeedSequence(random_state).generate_state(n_starts).tolist(), 1):
        first = _first_endmembers(spectra, n_endmembers, start, seed, loss) / unit
        network = _Network(hidden, first, loss, seed).to(chosen)
        with _one_thread():
            history, converged = _train(
                network, inputs, targets, null, epochs, batch_size, learning_rate, patience, tol, seed,
                Progress(f"epochs of start {k} of {n_starts}", epochs, " at most"),
            )  # fmt: skip
        weights = {**network.encoder_arrays(), "mean": mean, "scale": np.array([scale])}
        endmembers = weights["endmembers"] = network.endmembers.detach().cpu().numpy().astype(np.float64) * unit
        abundances = _abundances(weights, spectra, len(hidden) + 1)
        total = loss_of(spectra, abundances, endmembers, loss)
        history = np.array(history) * null * unit**power
        unmixed = Unmixed(abundances, endmembers, total, history, len(history) - 1, converged, np.array([total]))
        found.append((unmixed, weights))
    starts = np.array([unmixed.loss for unmixed, _ in found])
    unmixed, weights = found[int(np.argmin(starts))]
    if not unmixed.converged:
        log.warning("softmax autoencoder: the loss still fell after %d epochs", unmixed.iterations)
    about = {
        "format": FORMAT,
        "model": "softmax autoencoder with a linear non-negative decoder",
        "loss": LOSSES[loss],
        "architecture": [c, *map(int, hidden), int(n_endmembers)],
        "activation": "relu",
        "parameters": {
            "loss": loss, "epochs": int(epochs), "batch_size": int(batch_size), "learning_rate": float(learning_rate),
            "patience": int(patience), "tol": float(tol), "start": start, "n_starts": int(n_starts),
            "random_state": int(random_state),
        },
        "results": {
            "n_pixels": n, "epochs_run": unmixed.iterations, "converged": unmixed.converged, "loss": unmixed.loss,
            "loss_of_starts": starts.tolist(), "device": device_title(chosen),
        },
    }  # fmt: skip
    return Trained(replace(unmixed, starts=starts), weights, about)


def abundances_of(weights: Mapping[str, np.ndarray], about: Mapping, spectra: np.ndarray) -> np.ndarray:
    """Abundances (n, m) that a stored encoder gives to spectra (n, c), none negative, each pixel's summing to 1.

    weights, about : as in `Trained`; spectra : on the channels, in the unit and at the brightness of those trained on.
    Computed in float64. Raises DataError for NaN, infinity, other channels, values so large that they overflow, and
    weights that are not those that `about` describes.
    """
    spectra = finite_matrix(spectra, "spectra")
    if about.get("format") != FORMAT:
        raise DataError("autoencoder of another format", expected=f"format {FORMAT}", found=about.get("format"))
    widths = list(about["architecture"])
    layout = {"mean": (widths[0],), "scale": (1,), "endmembers": (widths[-1], widths[0])}
    for i, (before, after) in enumerate(pairwise(widths)):
        layout |= {f"encoder.{i}.weight": (after, before), f"encoder.{i}.bias": (after,)}
    shapes = {name: np.shape(value) for name, value in weights.items()}
    if odd := sorted(name for name in layout.keys() | shapes.keys() if layout.get(name) != shapes.get(name)):
        raise DataError(
            "weights don't fit the architecture", where=odd[0], expected=layout.get(odd[0], "none"),
            found=shapes.get(odd[0], "none"), do="train the model again",
        )  # fmt: skip
    if spectra.shape[1] != widths[0]:
        raise DataError(
            "spectra have other channels than those trained on", expected=widths[0], found=spectra.shape[1],
            do="give spectra on the channels of the model",
        )  # fmt: skip
    return _abundances(weights, spectra, len(widths) - 1)


class _Network(nn.Module):
    """Perceptron c-…-m with ReLU, softmax, and endmembers (m, c); all in float32, drawn by `seed` alone."""

    def __init__(self, hidden: Sequence[int], endmembers: np.ndarray, loss: str, seed: int):
        super().__init__()
        m, c = endmembers.shape
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.encoder = nn.ModuleList(nn.Linear(before, after) for before, after in pairwise([c, *hidden, m]))
        self.endmembers = nn.Parameter(torch.tensor(endmembers, dtype=torch.float32))
        self.squared, self.floor = loss == "frobenius", 0.0 if loss == "frobenius" else _FLOOR

    def loss(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """The sum over pixels and channels."""
        for layer in self.encoder[:-1]:
            inputs = torch.relu(layer(inputs))
        model = torch.softmax(self.encoder[-1](inputs), dim=1) @ self.endmembers
        if self.squared:
            return ((targets - model) ** 2).sum()
        return (torch.xlogy(targets, targets) - torch.xlogy(targets, model) - targets + model).sum()

    def state(self) -> dict[str, Tensor]:
        return {name: value.clone() for name, value in self.state_dict().items()}

    def encoder_arrays(self) -> dict[str, np.ndarray]:
        return {f"encoder.{name}": v.cpu().numpy().copy() for name, v in self.encoder.state_dict().items()}


def _train(
    network: _Network, inputs: Tensor, targets: Tensor, null: float, epochs: int, batch_size: int,
    learning_rate: float, patience: int, tol: float, seed: int, progress: Progress,
) -> tuple[list[float], bool]:  # fmt: skip
    """Fit the network in place; the loss at the start and after each epoch, as a share of `null`, and whether it has
    stopped falling."""
    n = len(inputs)

    @torch.no_grad()
    def of_all() -> float:
        parts = zip(inputs.split(_PIXELS_AT_ONCE), targets.split(_PIXELS_AT_ONCE), strict=True)
        return sum(float(network.loss(*part)) for part in parts) / null

    history = [of_all()]
    best, kept = history[0], network.state()
    for joint, share in _STAGES:
        network.load_state_dict(kept)
        network.endmembers.requires_grad_(joint)
        trained = [p for p in network.parameters() if p.requires_grad]
        optimiser = torch.optim.Adam(trained, lr=share * learning_rate, fused=True)
        mark, since = best, 0
        while since < patience and len(history) <= epochs:
            for rows in epoch_order(n, seed, len(history)).to(inputs.device).split(batch_size):
                optimiser.zero_grad(set_to_none=True)
                (network.loss(inputs[rows], targets[rows]) * (n / len(rows) / null)).backward()
                optimiser.step()
                with torch.no_grad():
                    network.endmembers.clamp_(min=network.floor)
            history.append(of_all())
            if not math.isfinite(history[-1]):
                raise DataError(
                    "training diverged: the loss is not finite", where=f"epoch {len(history) - 1}",
                    do="use a smaller learning_rate, and look for pixels with extreme values",
                )  # fmt: skip
            if history[-1] < best:
                best, kept = history[-1], network.state()
            mark, since = (best, 0) if best < (1 - tol) * mark else (mark, since + 1)
            progress.reached(len(history) - 1)
        if since < patience:
            break
    network.load_state_dict(kept)
    return history, since >= patience


def _abundances(weights: Mapping[str, np.ndarray], spectra: np.ndarray, layers: int) -> np.ndarray:
    result = np.empty((len(spectra), len(weights["endmembers"])))
    for start in range(0, len(spectra), _PIXELS_AT_ONCE):
        block = slice(start, start + _PIXELS_AT_ONCE)
        with np.errstate(over="ignore", invalid="ignore"):
            values = (spectra[block] - weights["mean"]) / weights["scale"]
            for i in range(layers):
                values = np.maximum(values, 0) if i else values
                weight, bias = (weights[f"encoder.{i}.{name}"].astype(np.float64) for name in ("weight", "bias"))
                values = values @ weight.T + bias
        if not np.isfinite(values).all():
            bad = start + np.flatnonzero(~np.isfinite(values).all(axis=1))
            raise DataError(
                "spectra overflow in the encoder", where=f"pixel index {', '.join(map(str, bad[:20]))}",
                do="check the unit of these pixels: they are far outside what the autoencoder was trained on",
            )  # fmt: skip
        result[block] = softmax(values, axis=1)
    return result


def _first_endmembers(spectra: np.ndarray, m: int, start: str, seed: int, loss: str) -> np.ndarray:
    if start == "vca":
        found, _ = vca(spectra, m, seed)
    else:
        found = spectra[np.random.default_rng(seed).choice(len(spectra), m, replace=False)]
    if loss == "frobenius":
        return np.maximum(found, 0)
    return np.maximum(found, np.maximum(_FAINTEST * spectra.mean(axis=0), _FLOOR * spectra.mean()))


@contextmanager
def _one_thread() -> Iterator[None]:
    """A network this small has nothing to divide, and sums in one order give the same bytes everywhere."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _check_settings(
    loss: str, start: str, hidden: Sequence[int], epochs: int, batch_size: int, learning_rate: float, patience: int,
    tol: float, n_starts: int, random_state: int,
) -> None:  # fmt: skip
    for name, value, valid in (("loss", loss, LOSSES), ("start", start, STARTS)):
        if value not in valid:
            raise ConfigError(f"unknown {name} of the autoencoder", expected=nearest(value, valid), found=repr(value))
    if not isinstance(hidden, list | tuple):
        raise ConfigError("hidden of the autoencoder is no list", expected="widths, such as [64]", found=repr(hidden))
    whole = [("epochs", epochs, 1), ("batch_size", batch_size, 1), ("patience", patience, 1)]
    whole += [("n_starts", n_starts, 1), ("random_state", random_state, 0), *(("hidden", width, 1) for width in hidden)]
    for name, value, least in whole:
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise ConfigError(
                f"{name} of the autoencoder is out of range",
                expected=f"a whole number of at least {least}",
                found=value,
            )
    if not 0 < learning_rate < math.inf or not 0 < tol < 1:
        raise ConfigError(
            "the autoencoder can't be trained so", expected="learning_rate above 0, tol between 0 and 1",
            found=f"{learning_rate}, {tol}",
        )  # fmt: skip
