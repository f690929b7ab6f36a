"""The raw-pixel view from image files to coordinates, each size in a process of its own so that its peak memory is its
own. There is no peer: the goal is a number of megabytes, and memory that grows no faster than the number of images."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from threadpoolctl import threadpool_limits

from bench.measure import in_new_process, measured
from matlas.images.pixels import fit_pixels, stack_pixels
from matlas.images.read import read_images
from matlas.jobs import peak_rss_mb
from matlas.simulate.micrographs import micrographs

ROWS = (1_800, 18_000)  # images of 200 x 200, as many as NEU-DET has and ten times that
N_COMPONENTS = 50
THREADS = 2


def run() -> list[dict]:
    """Of each number of images: seconds, peak resident memory of the process, how many times that of the smaller
    number it is."""
    with tempfile.TemporaryDirectory() as folder:
        _write_images(Path(folder))
        cases = {rows: in_new_process("bench.pixels", folder, str(rows)) for rows in ROWS}
    smaller, found = cases[min(ROWS)], []
    for rows, case in cases.items():
        about = (f"pixels_{rows}", f"Raw pixels of {rows:,} images to {N_COMPONENTS} components")
        found += [
            measured(*about, "seconds", [case["seconds"]], "s"), measured(*about, "peak", [case["peak_mb"]], "MB"),
            measured(*about, "times_memory", [case["peak_mb"] / smaller["peak_mb"]]),
        ]  # fmt: skip
    return found


def _write_images(folder: Path) -> None:
    """Simulated micrographs as JPEG files, and for the larger number copies of them rolled by random distances."""
    frames = micrographs(min(ROWS), seed=0).images
    rng = np.random.default_rng(0)
    for row in range(max(ROWS)):
        frame = frames[row % len(frames)]
        if row >= len(frames):
            frame = np.roll(frame, rng.integers(frame.shape), axis=(0, 1))
        Image.fromarray(frame).save(folder / f"{row:06d}.jpg", quality=90)


def _measured(folder: Path, rows: int) -> dict:
    names = sorted(path.name for path in folder.glob("*.jpg"))[:rows]
    before = peak_rss_mb()
    with threadpool_limits(THREADS):
        started = time.perf_counter()
        stack = stack_pixels(read_images(folder, names, threads=THREADS), len(names))
        read = time.perf_counter()
        space = fit_pixels(stack, n_components=N_COMPONENTS, random_state=0)
        fitted = time.perf_counter()
        space.transform(stack)
        transformed = time.perf_counter()
    return {
        "read_s": read - started, "fit_s": fitted - read, "transform_s": transformed - fitted,
        "seconds": transformed - started, "peak_mb": peak_rss_mb(), "mb_before": before,
    }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(_measured(Path(sys.argv[1]), int(sys.argv[2]))))
