"""Rows that a training draws its batches from: all on the device, or shards of them from disk where they don't fit."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from matlas.autoencoders.streams import ORDER, generator_of
from matlas.threads import in_order

CPU_BYTES = 2**30  # of float32 rows that a training on the CPU keeps in memory
GPU_SHARE = 0.5  # of the memory of a GPU, of which the rest is left to the network
SHARD_BYTES = 64 * 2**20
MOST_SHARDS = 512  # files open at a time while rows are dealt out
_EVALUATED_AT_ONCE = 16_384  # bounds memory


class Feed(Protocol):
    """n standardised rows of float32 for a network on `device`. len() : n."""

    device: torch.device

    def __len__(self) -> int: ...

    def batches(self, batch_size: int, random_state: int, epoch: int) -> Iterator[Tensor]:
        """The rows of an epoch, on the device, in an order that follows from random_state and epoch."""
        ...

    def parts(self) -> Iterator[Tensor]:
        """All rows, on the device, always in the same order."""
        ...

    def update(self, digest: hashlib._Hash) -> None:
        """Add the rows to a digest."""
        ...


class ResidentRows:
    """All rows in one tensor on the device; batches are drawn from it without copies to and fro."""

    def __init__(self, rows: Tensor) -> None:
        self.rows, self.device = rows, rows.device

    def __len__(self) -> int:
        return len(self.rows)

    def batches(self, batch_size: int, random_state: int, epoch: int) -> Iterator[Tensor]:
        for chosen in epoch_order(len(self.rows), random_state, epoch).to(self.device).split(batch_size):
            yield self.rows.index_select(0, chosen)

    def parts(self) -> Iterator[Tensor]:
        yield from self.rows.split(_EVALUATED_AT_ONCE)

    def update(self, digest: hashlib._Hash) -> None:
        digest.update(repr(tuple(self.rows.shape)).encode())
        digest.update(self.rows.detach().cpu().contiguous().numpy())


class StreamedRows:
    """Rows in shards on disk, each a random part of all, of which two are in memory at a time: one in use, and the
    next, which a thread reads meanwhile.

    An epoch takes the shards in random order and the rows of each in random order, so that a batch holds rows of one
    shard, or of two. As chance alone brings a row to its shard, a batch is a random sample nevertheless.
    """

    def __init__(
        self,
        batches: Iterable[np.ndarray],
        shape: tuple[int, int],
        device: torch.device,
        folder: Path,
        random_state: int,
        shard_bytes: int = SHARD_BYTES,
    ) -> None:
        """batches : prepared rows (b, p), of `shape` (n, p) all together; folder : where shards are written, and left
        to the caller."""
        self.device, self._shape, self._digest = device, shape, hashlib.sha256()
        shards = min(MOST_SHARDS, -(-4 * shape[0] * shape[1] // shard_bytes))
        self._files = [folder / f"{shard}.float32" for shard in range(shards)]
        folder.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(random_state)
        with ExitStack() as stack:
            files = [stack.enter_context(file.open("wb")) for file in self._files]
            for batch in batches:
                rows = np.ascontiguousarray(batch, dtype=np.float32)
                self._digest.update(rows)
                of_row = rng.integers(len(files), size=len(rows))
                for shard, file in enumerate(files):
                    file.write(rows[of_row == shard])

    def __len__(self) -> int:
        return self._shape[0]

    def batches(self, batch_size: int, random_state: int, epoch: int) -> Iterator[Tensor]:
        draws = generator_of(torch.device("cpu"), random_state, ORDER, epoch)
        rest = torch.empty(0, self._shape[1], device=self.device)  # of the last shard, too few for a batch
        for shard in self._read_ahead(torch.randperm(len(self._files), generator=draws).tolist()):
            order = torch.randperm(len(shard), generator=draws).to(self.device)
            if len(rest):
                head, order = order[: batch_size - len(rest)], order[batch_size - len(rest) :]
                rest = torch.cat([rest, shard.index_select(0, head)])
                if len(rest) < batch_size:
                    continue
                yield rest
            whole = len(order) - len(order) % batch_size
            for chosen in order[:whole].split(batch_size) if whole else ():
                yield shard.index_select(0, chosen)
            rest = shard.index_select(0, order[whole:])
        if len(rest):
            yield rest

    def parts(self) -> Iterator[Tensor]:
        for shard in self._read_ahead(range(len(self._files))):
            yield from shard.split(_EVALUATED_AT_ONCE)

    def update(self, digest: hashlib._Hash) -> None:
        digest.update(repr(self._shape).encode() + self._digest.digest())

    def _read_ahead(self, order: Sequence[int]) -> Iterator[Tensor]:
        return in_order(self._read, order, threads=1, ahead=2)

    def _read(self, shard: int) -> Tensor:
        rows = np.fromfile(self._files[shard], dtype=np.float32).reshape(-1, self._shape[1])
        return torch.from_numpy(rows).to(self.device)


def fits_on(device: torch.device, shape: tuple[int, int]) -> bool:
    """Whether a training keeps float32 rows of a shape (n, p) on the device. It hangs on what that has, not on what
    happens to be free, so that it is the same for every run on a machine."""
    if device.type == "cpu":
        return 4 * shape[0] * shape[1] <= CPU_BYTES
    return 4 * shape[0] * shape[1] <= GPU_SHARE * torch.cuda.get_device_properties(device).total_memory


def feed_of(
    batches: Iterable[np.ndarray], shape: tuple[int, int], device: torch.device, folder: Path, random_state: int
) -> ResidentRows | StreamedRows:
    """Prepared rows (b, p) that come in batches, of `shape` (n, p) all together: resident where they fit (`fits_on`),
    otherwise streamed from `folder`."""
    if not fits_on(device, shape):
        return StreamedRows(batches, shape, device, folder, random_state)
    rows, start = torch.empty(shape, device=device), 0
    for batch in batches:
        rows[start : start + len(batch)] = torch.tensor(batch, dtype=torch.float32, device=device)
        start += len(batch)
    return ResidentRows(rows)


def epoch_order(n: int, random_state: int, epoch: int) -> Tensor:
    """The order in which an epoch takes n rows; the same on every device."""
    return torch.randperm(n, generator=generator_of(torch.device("cpu"), random_state, ORDER, epoch))
