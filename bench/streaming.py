"""A training on a million rows: streamed from disk beside resident in memory, and beside the roofline of the machine.

Both train the same network from the same weights for one epoch; what differs is where the rows are. The roofline is
what no implementation can pass: the arithmetic of a step at the speed of the machine's own matrix product, or its rows
at the speed of its memory, whichever takes longer.
Source of the roofline: Williams, Waterman and Patterson 2009, doi:10.1145/1498765.1498785.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from bench.measure import compare, measured
from matlas.autoencoders.feed import Feed, ResidentRows, StreamedRows
from matlas.autoencoders.networks import PlainNetwork, build_network
from matlas.autoencoders.training import train
from matlas.device import choose_device, device_title

ROWS, WIDTH, LAYERS, BATCH, RATE = 1_000_000, 132, (32, 10), 1024, 2e-3
WRITTEN_AT_ONCE = 50_000


def run(repeats: int = 5) -> list[dict]:
    """Rows of the comparison, as `bench.measure.compare` gives them; and samples a second beside the most that the
    machine could do."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            return _compared(Path(folder), repeats)
    finally:
        torch.set_num_threads(threads)


def _compared(folder: Path, repeats: int) -> list[dict]:
    device = choose_device("auto")
    streamed = StreamedRows(_batches(), (ROWS, WIDTH), device, folder, 0)
    resident = ResidentRows(torch.tensor(np.concatenate(list(_batches())), dtype=torch.float32, device=device))
    sample = resident.rows[:10_000]

    def agree(ours: PlainNetwork, peer: PlainNetwork) -> None:  # each takes the rows in an order of its own
        torch.testing.assert_close(_error(ours, sample), _error(peer, sample), rtol=5e-2, atol=0)

    where = f"{ROWS:,} x {WIDTH}, batches of {BATCH}, {device_title(device)}, 1 thread"
    title = f"Training on {where}, rows streamed from disk: beside rows in memory"
    found = compare(
        "training_streamed", title, lambda: _trained(streamed), lambda: _trained(resident), agree, repeats=repeats
    )
    seconds = {row["metric"]: row for row in found}
    flops, limit = _roofline(device)
    title = f"Training on {where}: samples a second, and the most that the machine's arithmetic and memory allow"
    for side, metric in (("ours", "streamed"), ("peer", "resident")):
        samples = ROWS / seconds[side]["value"]
        found.append(measured("training_roofline", title, f"{metric}_samples", [samples], "1/s"))
        found.append(measured("training_roofline", title, f"{metric}_share_of_limit", [samples / limit]))
    found.append(measured("training_roofline", title, "limit", [limit], "1/s"))
    return [*found, measured("training_roofline", title, "matrix_product", [flops / 1e9], "GFLOP/s")]


def _batches() -> Iterator[np.ndarray]:
    """Rows near ten directions."""
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(10, WIDTH)) / np.sqrt(10)
    for _ in range(ROWS // WRITTEN_AT_ONCE):
        rows = rng.normal(size=(WRITTEN_AT_ONCE, 10)) @ directions
        yield rows + 0.3 * rng.normal(size=rows.shape)


def _trained(rows: Feed) -> PlainNetwork:
    network = build_network("plain", WIDTH, LAYERS, activation="relu", beta=0.0, noise=0.0, random_state=0)
    network = network.to(rows.device)
    train(network, rows, epochs=1, batch_size=BATCH, learning_rate=RATE, patience=None, random_state=0)
    return network


@torch.no_grad()
def _error(network: PlainNetwork, rows: torch.Tensor) -> torch.Tensor:
    return ((network.decode(network.encode(rows)) - rows) ** 2).mean()


def _roofline(device: torch.device) -> tuple[float, float]:
    """Floating-point operations a second of a large matrix product, and samples a second that these or reading the rows
    once allow. A weight takes two operations forward and four backward."""
    widths = (WIDTH, *LAYERS, *LAYERS[-2::-1], WIDTH)
    weights = sum(a * b for a, b in zip(widths, widths[1:], strict=False))
    n = 2048
    a, b, out = (torch.randn(n, n, device=device) for _ in range(3))
    flops = 2 * n**3 / _fastest(lambda: torch.mm(a, b, out=out), device)
    block = torch.randn(2**26, device=device)  # 256 MiB: larger than any cache
    bandwidth = 4 * block.numel() / _fastest(block.sum, device)
    return flops, min(flops / (6 * weights), bandwidth / (4 * WIDTH))


def _fastest(work: Callable, device: torch.device, repeats: int = 5) -> float:
    took = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        took.append(time.perf_counter() - start)
    return min(took[1:])
