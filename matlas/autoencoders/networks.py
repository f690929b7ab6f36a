"""Autoencoders as torch modules. Rows are (n, p) float32, standardised; codes are (n, d)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from matlas.errors import ConfigError, nearest

ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh}

# exp() of what an encoder says of an outlier would overflow float32
_LOG_VARIANCE_RANGE = (-30.0, 20.0)


class PlainNetwork(nn.Module):
    """Encoder p-…-d and its mirror image d-…-p, without activation on code and output.

    width : p; layers : hidden widths down to the code, d the last; activation : a name in ACTIVATIONS, or None for a
    linear network. Source: Hinton & Salakhutdinov 2006, doi:10.1126/science.1127647.
    """

    formula = "mean over rows and columns of (x - x̂)²"

    def __init__(self, width: int, layers: Sequence[int], activation: str | None, code_outputs: int = 1):
        super().__init__()
        *hidden, code = layers
        self.encoder = _perceptron([width, *hidden, code_outputs * code], activation)
        self.decoder = _perceptron([code, *reversed(hidden), width], activation)

    def encode(self, rows: Tensor) -> Tensor:
        """The code of each row: (n, d)."""
        return self.encoder(rows)

    def decode(self, codes: Tensor) -> Tensor:
        """The rows that codes stand for: (n, p)."""
        return self.decoder(codes)

    def loss(self, rows: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Scalars by name: "loss", which training makes small, and its parts. generator : of the draws, where a
        network makes any."""
        return {"loss": _squared_error(self.decode(self.encode(rows)), rows)}


class DenoisingNetwork(PlainNetwork):
    """Rebuilds rows from rows with Gaussian noise of standard deviation `noise`; only in training mode.

    Source: Vincent et al. 2008, doi:10.1145/1390156.1390294.
    """

    formula = "mean over rows and columns of (x - x̂(x + noise ε))², ε ~ N(0, 1); without noise on held-out rows"

    def __init__(self, width: int, layers: Sequence[int], activation: str | None, noise: float):
        super().__init__(width, layers, activation)
        self.noise = noise

    def loss(self, rows: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        seen = rows + self.noise * _normal_like(rows, generator) if self.training else rows
        return {"loss": _squared_error(self.decode(self.encode(seen)), rows)}

    def extra_repr(self) -> str:
        return f"noise={self.noise}"


class VariationalNetwork(PlainNetwork):
    """The encoder gives mean and log-variance of a Gaussian over codes; `encode` gives the mean.

    Loss: mean over rows and columns of (x - x̂(z))² + beta * KL / p, with one draw z of each row, and the mean over rows
    of KL(q(z|x) ‖ N(0, I)) = ½ Σ_d (mean² + variance - 1 - log variance), in nats. That is the negative evidence
    lower bound, scaled, of a decoder with Gaussian noise of variance beta / 2 on each standardised column.
    Source: Kingma & Welling 2014, arXiv:1312.6114; beta: Higgins et al. 2017.
    """

    formula = "mean over rows and columns of (x - x̂(z))² + beta * KL(q(z|x) ‖ N(0, I)) / columns, one draw z a row"

    def __init__(self, width: int, layers: Sequence[int], activation: str | None, beta: float):
        super().__init__(width, layers, activation, code_outputs=2)
        self.beta = beta

    def posterior(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z|x), each (n, d)."""
        mean, log_variance = self.encoder(rows).float().chunk(2, dim=1)
        return mean, log_variance.clamp(*_LOG_VARIANCE_RANGE)

    def encode(self, rows: Tensor) -> Tensor:
        return self.posterior(rows)[0]

    def loss(self, rows: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        mean, log_variance = self.posterior(rows)
        codes = mean + (0.5 * log_variance).exp() * _normal_like(mean, generator)
        kl = divergence(mean, log_variance).sum(dim=1).mean()
        return {"loss": _squared_error(self.decode(codes), rows) + self.beta * kl / rows.shape[1], "kl": kl}

    def extra_repr(self) -> str:
        return f"beta={self.beta}"


KINDS = {
    "plain": PlainNetwork, "linear": PlainNetwork, "variational": VariationalNetwork, "denoising": DenoisingNetwork,
}  # fmt: skip


def build_network(
    kind: str, width: int, layers: Sequence[int], *, activation: str, beta: float, noise: float, random_state: int
) -> PlainNetwork:
    """A network on the CPU with PyTorch's initial weights, drawn by `random_state` alone.

    width : p columns of the rows. layers : e.g. (32, 10) for p-32-10-32-p. beta is used by "variational" and noise by
    "denoising" only; a "linear" one has no activations.
    Raises ConfigError for an unknown kind or activation, and for layers that don't narrow down to a code of at most p.
    """
    if kind not in KINDS:
        raise ConfigError("unknown kind of autoencoder", expected=nearest(kind, KINDS), found=repr(kind))
    if activation not in ACTIVATIONS:
        raise ConfigError("unknown activation", expected=nearest(activation, ACTIVATIONS), found=repr(activation))
    whole = isinstance(layers, list | tuple) and all(isinstance(w, int) and not isinstance(w, bool) for w in layers)
    if not whole or not layers or min(layers) < 1:
        raise ConfigError("layers make no network", expected="widths of at least 1, such as [32, 10]", found=layers)
    widest = min([width, *layers[:-1]])
    if layers[-1] > widest:
        raise ConfigError(
            "the code is no bottleneck", where="layers", expected=f"a last width of at most {widest}",
            found=f"{layers[-1]}, with {width} columns and layers {list(layers)}", do="narrow the last of the layers",
        )  # fmt: skip
    extra = {"variational": {"beta": beta}, "denoising": {"noise": noise}}.get(kind, {})
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(random_state)
        return KINDS[kind](width, layers, None if kind == "linear" else activation, **extra)


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) ‖ N(0, 1)) in nats, for each element."""
    return 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance)


def _perceptron(widths: Sequence[int], activation: str | None) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        if layers and activation:
            layers.append(ACTIVATIONS[activation]())
        layers.append(nn.Linear(before, after))
    return nn.Sequential(*layers)


def _squared_error(rebuilt: Tensor, rows: Tensor) -> Tensor:
    return functional.mse_loss(rebuilt.float(), rows)  # autocast may give bfloat16


def _normal_like(values: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(values.shape, generator=generator, device=values.device)
