"""Training an autoencoder; a killed training goes on from its last checkpoint.

Steps are not compiled: on a CPU those of a 132-32-10-32-132 network took as long by `torch.compile` (0.95 and 0.98 of
the speed, batches of 256 and 1,024), and the first 25 s. bfloat16 was 0.76 and 1.23 times as fast; it is off by
default.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from matlas.autoencoders.feed import Feed, ResidentRows
from matlas.autoencoders.networks import PlainNetwork
from matlas.autoencoders.streams import DRAWS, HELD_OUT_DRAWS, generator_of
from matlas.device import device_title
from matlas.errors import DataError
from matlas.files import atomic_path
from matlas.threads import Progress

log = logging.getLogger(__name__)

CHECKPOINT_EVERY_S = 60.0
_LARGE = 1_000_000  # parameters from which several threads are faster than one


@dataclass(frozen=True)
class Training:
    """What became of a training.

    history : one row an epoch: epoch (from 1), train_loss (mean over its batches, as they were met), validation_loss
    (NaN without held-out rows), learning_rate, and kl (nats, training rows) of a variational network. best_epoch :
    whose weights the network has.
    """

    history: pd.DataFrame
    best_epoch: int
    stopped_early: bool


def train(
    network: PlainNetwork,
    rows: Tensor | Feed,
    held_out: Tensor | Feed | None = None,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    patience: int | None,
    random_state: int,
    mixed_precision: bool = False,
    checkpoint: str | PathLike | None = None,
    checkpoint_every: float = CHECKPOINT_EVERY_S,
) -> Training:
    """Fit `network` in place by Adam, its learning rate falling to 0 along a half cosine over `epochs`.

    rows : n standardised rows, a float32 tensor (n, p) on the device of the network or a feed of batches. held_out :
    likewise; with it the weights of the epoch with the smallest held-out loss are kept, and
    training ends after `patience` epochs without a smaller one (None: it goes on to the last, whose weights are kept).
    The held-out loss is the network's own, without noise on the input; a variational network's uses the same draws in
    each epoch.
    mixed_precision : forward passes of training in bfloat16. checkpoint : a file to which the state is written about
    every `checkpoint_every` seconds (0: each epoch) and from which a training with the same settings, rows and initial
    weights goes on; the caller removes it when the result is safe.
    All random numbers follow from `random_state` and the number of the epoch, so that a resumed training ends with
    the same bits as one that was never stopped, on the same machine and number of threads.
    Raises DataError when the loss is no longer finite.
    """
    rows, held_out = (ResidentRows(given) if isinstance(given, Tensor) else given for given in (rows, held_out))
    network.train()
    optimiser = torch.optim.Adam(network.parameters(), lr=learning_rate, fused=True)
    run = _Run(network, optimiser)
    identity = ""
    if checkpoint is not None:
        settings = [epochs, batch_size, learning_rate, patience, random_state, mixed_precision]
        identity = _identity(settings, network, rows, held_out)
        run.resume(Path(checkpoint), identity)
    begun_at, saved = run.epochs, time.monotonic()
    progress = Progress("epochs", epochs)
    with _threads_for(network):
        while run.epochs < epochs and not run.exhausted(patience):
            epoch = run.epochs + 1
            rate = learning_rate * 0.5 * (1 + math.cos(math.pi * (epoch - 1) / epochs))
            losses = _epoch(run, rows, batch_size, rate, random_state, mixed_precision)
            losses["validation_loss"] = (
                math.nan if held_out is None else _held_out_loss(network, held_out, random_state)
            )
            tracked = losses["loss"] if held_out is None else losses["validation_loss"]
            if not math.isfinite(losses["loss"] + tracked):
                raise DataError(
                    "training diverged: the loss is not finite", where=f"epoch {epoch}",
                    do="use a smaller learning_rate, and look for columns with extreme values",
                )  # fmt: skip
            run.record(epoch, rate, losses, keep=held_out is not None and patience is not None)
            shown = f"training loss {losses['loss']:.4g}, held-out loss {losses['validation_loss']:.4g}"
            progress.verb = f" done, {shown}"
            progress.reached(epoch, share=(epoch - begun_at) / (epochs - begun_at))
            if checkpoint is not None and time.monotonic() - saved >= checkpoint_every:
                run.save(Path(checkpoint), identity)
                saved = time.monotonic()
    stopped_early = run.epochs < epochs
    if stopped_early:
        log.info("held-out loss has not fallen for %d epochs: stopped after %d", patience, run.epochs)
    if run.best:
        network.load_state_dict(run.best)
    network.eval()
    best_epoch = run.best_epoch or run.epochs
    log.info("trained on %s: %d epochs, kept %d", device_title(rows.device), run.epochs, best_epoch)
    history = pd.DataFrame(run.history)
    return Training(history.assign(kept=history["epoch"] == best_epoch), best_epoch, stopped_early)


@contextmanager
def _threads_for(network: PlainNetwork) -> Iterator[None]:
    """One thread for a small network: it has nothing to divide, and threads that wait for each other cost most of the
    time where other jobs run too."""
    before = torch.get_num_threads()
    if sum(p.numel() for p in network.parameters()) < _LARGE:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _epoch(
    run: _Run, rows: Feed, batch_size: int, rate: float, random_state: int, mixed_precision: bool
) -> dict[str, float]:
    """One pass over the rows; the mean of each part of the loss."""
    device, epoch = rows.device, run.epochs + 1
    generator = generator_of(device, random_state, DRAWS, epoch)
    precision = torch.autocast(device.type, torch.bfloat16) if mixed_precision else nullcontext()
    for group in run.optimiser.param_groups:
        group["lr"] = rate
    totals: dict[str, Tensor] = {}
    for batch in rows.batches(batch_size, random_state, epoch):
        with precision:
            parts = run.network.loss(batch, generator)
        run.optimiser.zero_grad(set_to_none=True)
        parts["loss"].backward()
        run.optimiser.step()
        for name, value in parts.items():  # summed on the device: reading a number would wait for it
            totals[name] = totals.get(name, 0) + value.detach() * len(batch)
    return {name: total.item() / len(rows) for name, total in totals.items()}


def _held_out_loss(network: PlainNetwork, rows: Feed, random_state: int) -> float:
    generator = generator_of(rows.device, random_state, HELD_OUT_DRAWS)
    network.eval()
    with torch.no_grad():
        total = sum(network.loss(part, generator)["loss"] * len(part) for part in rows.parts())
    network.train()
    return float(total) / len(rows)


def _identity(settings: list, network: PlainNetwork, *feeds: Feed | None) -> str:
    """What a checkpoint must agree in: settings, architecture, initial weights, data, PyTorch and kind of device."""
    device = next(network.parameters()).device.type
    digest = hashlib.sha256(json.dumps([settings, repr(network), torch.__version__, device]).encode())
    for feed in (*map(ResidentRows, network.state_dict().values()), *feeds):
        if feed is not None:
            feed.update(digest)
    return digest.hexdigest()


@dataclass
class _Run:
    """A training between two epochs. Random states needn't be kept, since each epoch begins its own streams."""

    network: PlainNetwork
    optimiser: torch.optim.Optimizer
    history: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    best_epoch: int = 0
    best_loss: float = math.inf

    @property
    def epochs(self) -> int:
        return len(self.history)

    def exhausted(self, patience: int | None) -> bool:
        return bool(self.best) and patience is not None and self.epochs - self.best_epoch >= patience

    def record(self, epoch: int, rate: float, losses: dict[str, float], keep: bool) -> None:
        """Add an epoch to the history; keep the weights if they are the best so far."""
        row = {"epoch": epoch, "train_loss": losses["loss"], "validation_loss": losses["validation_loss"]}
        kl = {"kl": losses["kl"]} if "kl" in losses else {}
        self.history.append(row | {"learning_rate": rate} | kl)
        if keep and losses["validation_loss"] < self.best_loss:
            self.best_loss, self.best_epoch = losses["validation_loss"], epoch
            self.best = {name: value.clone() for name, value in self.network.state_dict().items()}

    def save(self, path: Path, identity: str) -> None:
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in self.best.items()}
        for index, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{name}": value for name, value in state.items()}
        scalars = {"history": self.history, "best_epoch": self.best_epoch, "best_loss": self.best_loss}
        with atomic_path(path) as temporary:
            save_file(tensors, temporary, {"identity": identity, "scalars": json.dumps(scalars)})

    def resume(self, path: Path, identity: str) -> None:
        """Go on from a checkpoint, if there is one of this very training."""
        if not path.exists():
            return
        device = str(next(self.network.parameters()).device)
        try:
            with safe_open(path, "pt", device) as file:
                found = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()} if "identity" in found else {}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            log.warning("checkpoint %s is damaged and not used: %s", path, error)
            return
        if found.get("identity") != identity:
            log.info("checkpoint %s belongs to other settings or data and is not used", path)
            return
        self.network.load_state_dict(_below("network.", tensors))
        self.best = _below("best.", tensors)
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in _below("optimiser.", tensors).items():
            index, _, part = name.partition(".")
            moments.setdefault(int(index), {})[part] = value
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": moments, "param_groups": groups})
        scalars = json.loads(found["scalars"])
        self.history, self.best_epoch, self.best_loss = (scalars[n] for n in ("history", "best_epoch", "best_loss"))
        log.info("going on after epoch %d, from checkpoint %s", self.epochs, path)


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
