"""Training an autoencoder: samples a second beside a loop written by hand, and beside PyTorch Lightning.

The same net (100-32-10-32-100) from the same initial weights, over the same rows, for the same epochs, by Adam with a
cosine schedule, without early stopping. The loop is as bare as it can be: rows in one tensor, the fused optimiser, the
same order of rows. Lightning is used as its manual shows, with a DataLoader over a TensorDataset and whatever only
reports switched off; where it isn't installed (it is pinned for this alone) its row says so.
"""

from __future__ import annotations

import logging
import math
import warnings

import numpy as np
import pytorch_lightning as pl
import torch
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from bench.measure import compare
from matlas.autoencoders.feed import epoch_order
from matlas.autoencoders.networks import PlainNetwork, build_network
from matlas.autoencoders.training import train
from matlas.device import choose_device, device_title

ROWS, WIDTH, LAYERS = 20_000, 100, (32, 10)
EPOCHS, BATCH, RATE = 10, 256, 1e-3


def run(repeats: int = 5) -> list[dict]:
    """Rows of both comparisons, as `bench.measure.compare` gives them, with the samples a second of ours."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # steps this small only wait for a second thread, on both sides
    try:
        return _compared(repeats)
    finally:
        torch.set_num_threads(threads)


def _compared(repeats: int) -> list[dict]:
    device = choose_device("auto")
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(ROWS, 8)) @ rng.normal(size=(8, WIDTH)) / math.sqrt(8)
    rows += 0.3 * rng.normal(size=rows.shape)
    rows = torch.tensor(rows, dtype=torch.float32, device=device)
    where = f"{ROWS:,} x {WIDTH}, {EPOCHS} epochs, batches of {BATCH}, on {device_title(device)}, 1 thread"

    def agree(ours: PlainNetwork, peer: PlainNetwork) -> None:
        torch.testing.assert_close(_error(ours, rows), _error(peer, rows), rtol=1e-3, atol=0)

    def agree_roughly(ours: PlainNetwork, peer: PlainNetwork) -> None:  # the DataLoader has an order of its own
        torch.testing.assert_close(_error(ours, rows), _error(peer, rows), rtol=5e-2, atol=0)

    def ours() -> PlainNetwork:
        return _ours(rows)

    title = f"Training, {where}: beside a loop by hand"
    found = compare("training_by_hand", title, ours, lambda: _loop(rows), agree, repeats=repeats)
    (seconds,) = (r for r in found if r["metric"] == "ours")
    value, low, high = (EPOCHS * ROWS / seconds[name] for name in ("value", "high", "low"))
    found.append({**seconds, "metric": "samples", "unit": "1/s", "value": value, "low": low, "high": high})
    title = f"Training, {where}: beside PyTorch Lightning"
    return found + compare("training_lightning", title, ours, lambda: _lightning(rows), agree_roughly, repeats=repeats)


def _network(device: torch.device) -> PlainNetwork:
    settings = dict(activation="relu", beta=0.0, noise=0.0, random_state=0)
    return build_network("plain", WIDTH, LAYERS, **settings).to(device)


def _ours(rows: torch.Tensor) -> PlainNetwork:
    network = _network(rows.device)
    train(network, rows, epochs=EPOCHS, batch_size=BATCH, learning_rate=RATE, patience=None, random_state=0)
    return network


def _loop(rows: torch.Tensor) -> PlainNetwork:
    network = _network(rows.device)
    optimiser = torch.optim.Adam(network.parameters(), lr=RATE, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=EPOCHS)
    for epoch in range(1, EPOCHS + 1):
        for chosen in epoch_order(len(rows), 0, epoch).to(rows.device).split(BATCH):
            batch = rows[chosen]
            optimiser.zero_grad()
            loss = functional.mse_loss(network.decoder(network.encoder(batch)), batch)
            loss.backward()
            optimiser.step()
        schedule.step()
    return network


def _lightning(rows: torch.Tensor) -> PlainNetwork:
    class Module(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.network = _network(rows.device)

        def training_step(self, batch, _):
            (batch,) = batch
            return functional.mse_loss(self.network.decoder(self.network.encoder(batch)), batch)

        def configure_optimizers(self):
            optimiser = torch.optim.Adam(self.parameters(), lr=RATE)
            return [optimiser], [torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=EPOCHS)]

    quiet = dict(logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    module = Module()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = pl.Trainer(max_epochs=EPOCHS, accelerator="gpu" if rows.is_cuda else "cpu", devices=1, **quiet)
        trainer.fit(module, DataLoader(TensorDataset(rows.cpu()), batch_size=BATCH, shuffle=True))
    return module.network.to(rows.device).eval()


@torch.no_grad()
def _error(network: PlainNetwork, rows: torch.Tensor) -> torch.Tensor:
    return ((network.decode(network.encode(rows)) - rows) ** 2).mean()
