"""A NEU-DET-like archive: six kinds of grey surface, 200 x 200, two lighting conditions, planted defects and bad files.

The textures are caricatures that look like their names. Lighting is independent of the class and shifts the grey
values more than the class does, so that raw pixels cluster by lighting first: what a texture feature has to overcome.
Every frame has its own random stream: frames can be drawn in any order, one at a time.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy import fft, ndimage
from scipy.spatial import cKDTree

from matlas.errors import ConfigError
from matlas.files import atomic_path
from matlas.threads import Progress

SIZE = 200  # pixels a side, as in NEU-DET
CLASSES = ("cracks", "inclusions", "patches", "pits", "scale", "scratches")
ARTEFACTS = ("saturated band", "out of focus", "dead region")
LEAST_ROWS = 2 * len(CLASSES)  # a copy needs another frame of its class
JPEG_QUALITY = 90
ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # fixed: equal seeds give equal bytes
NEAR_COPY_NOISE = 2.0  # grey levels

_X, _Y = np.meshgrid(np.linspace(-1, 1, SIZE, dtype=np.float32), np.linspace(-1, 1, SIZE, dtype=np.float32))


@dataclass(frozen=True)
class Lighting:
    """Grey level of a mid-grey surface, its spread from frame to frame, and the side that the lamp is on (radians)."""

    level: float
    spread: float
    lamp: float


LIGHTING = {"dim": Lighting(85, 8, np.pi), "bright": Lighting(155, 10, -np.pi / 2)}


@dataclass(frozen=True)
class Micrographs:
    """images : (n, 200, 200) uint8 grey values before JPEG, whole even where the file is truncated.
    truth : one row an image: `file` (name in the archive), `label` (in CLASSES), `lighting` ("dim" or "bright"),
    `artefact` (in ARTEFACTS or ""), `fault` ("", "truncated", "copy", "near copy"), `copy_of` (a file name or "")."""

    images: np.ndarray
    truth: pd.DataFrame


def micrographs(rows: int = 240, seed: int = 0) -> Micrographs:
    """Generate `rows` frames, split evenly over CLASSES and, within each, over LIGHTING: 1 % (2 at least) with an
    artefact, one truncated, one copy and one near copy. Raises ConfigError for fewer than LEAST_ROWS rows."""
    truth = _plan(rows, seed)
    images = np.empty((rows, SIZE, SIZE), dtype=np.uint8)
    for row in range(rows):
        images[row] = _frame(truth, row, seed)
    return Micrographs(images, truth)


def write_micrographs(path: str | Path, *, rows: int, seed: int) -> None:
    """Write the frames of `micrographs` as JPEG files in a ZIP archive, as the source has them; one in memory at a
    time. Raises ConfigError for fewer than LEAST_ROWS rows."""
    truth = _plan(rows, seed)
    progress = Progress("micrographs", rows, verb=" written")
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for row, (name, fault) in enumerate(zip(truth["file"], truth["fault"], strict=True)):
            content = _jpeg(_frame(truth, row, seed))
            if fault == "truncated":
                content = content[: len(content) // 2]
            entry = zipfile.ZipInfo(name, ZIP_DATE)
            entry.create_system, entry.external_attr = 3, 0o100644 << 16  # a Unix file, whatever the machine
            archive.writestr(entry, content)
            progress.reached(row + 1)
    progress.finished()


def _plan(rows: int, seed: int) -> pd.DataFrame:
    """The truth table: what each frame is to be."""
    if rows < LEAST_ROWS:
        raise ConfigError("too few sample micrographs", expected=f"rows of at least {LEAST_ROWS}", found=rows)
    rng = np.random.default_rng(seed)
    label = np.sort(np.arange(rows) % len(CLASSES))
    number = np.arange(rows) - np.searchsorted(label, label) + 1
    lighting = rng.integers(2, size=len(CLASSES))[label] + number  # alternates within a class, then shuffled there
    for c in range(len(CLASSES)):
        lighting[label == c] = rng.permutation(lighting[label == c])
    truth = pd.DataFrame({
        "file": [f"NEU-DET/{CLASSES[c]}_{n}.jpg" for c, n in zip(label, number, strict=True)],
        "label": np.array(CLASSES)[label],
        "lighting": np.array(list(LIGHTING))[lighting % 2],
        "artefact": "", "fault": "", "copy_of": "",
    })  # fmt: skip

    free = np.ones(rows, dtype=bool)
    for fault, c in zip(("copy", "near copy"), rng.permutation(len(CLASSES))[:2], strict=True):
        original, copy = rng.choice(np.flatnonzero(label == c), size=2, replace=False)
        truth.loc[copy, "fault"] = fault
        truth.loc[copy, ["lighting", "copy_of"]] = truth.loc[original, ["lighting", "file"]].to_numpy()
        free[[original, copy]] = False
    truncated, *spoiled = rng.choice(np.flatnonzero(free), size=1 + max(2, rows // 100), replace=False)
    truth.loc[truncated, "fault"] = "truncated"
    truth.loc[spoiled, "artefact"] = [ARTEFACTS[i % len(ARTEFACTS)] for i in range(len(spoiled))]
    return truth


def _frame(truth: pd.DataFrame, row: int, seed: int) -> np.ndarray:
    """The (200, 200) uint8 frame of one row of the truth table."""
    plan = truth.loc[row]
    if plan["copy_of"]:
        original = int(truth.index[truth["file"] == plan["copy_of"]][0])
        frame = _frame(truth, original, seed).astype(np.float32)
        if plan["fault"] == "near copy":
            frame += np.random.default_rng((seed, row)).normal(0, NEAR_COPY_NOISE, frame.shape)
        return _grey(frame)
    rng = np.random.default_rng((seed, row))
    reflectance = 1 + 0.25 * TEXTURES[plan["label"]](rng)
    frame = reflectance * _illumination(LIGHTING[plan["lighting"]], rng)
    if plan["artefact"] == "out of focus":
        frame = ndimage.gaussian_filter(frame, rng.uniform(4, 7))
    frame += 2 * rng.standard_normal(frame.shape, dtype=np.float32)  # the camera's noise, grey levels
    if plan["artefact"] == "saturated band":
        top = rng.integers(20, 140)
        frame[top : top + rng.integers(25, 50)] = 255
    elif plan["artefact"] == "dead region":
        top, left = rng.integers(0, 100, size=2)
        frame[top : top + rng.integers(70, 110), left : left + rng.integers(70, 110)] = 0
    return _grey(frame)


def _illumination(lighting: Lighting, rng: np.random.Generator) -> np.ndarray:
    """Grey level of a mid-grey surface at each pixel: a level of the condition and a mild gradient from its lamp."""
    lamp = rng.normal(lighting.lamp, 0.3)
    slope = rng.uniform(0.08, 0.18)
    level = rng.normal(lighting.level, lighting.spread)
    return (level * (1 + slope * (np.cos(lamp) * _X + np.sin(lamp) * _Y))).astype(np.float32)


def _grey(frame: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(frame), 0, 255).astype(np.uint8)


def _jpeg(frame: np.ndarray) -> bytes:
    """The frame as a JPEG in RGB with equal channels, as NEU-DET stores its grey images."""
    buffer = io.BytesIO()
    Image.fromarray(frame).convert("RGB").save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


# Textures: (200, 200) float32 deviations of the reflectance, in units of the typical contrast.


def _cracks(rng: np.random.Generator) -> np.ndarray:
    """A network of thin dark cracks: warped Voronoi edges that fade in and out, on a rough surface."""
    angle, stretch = rng.uniform(0, np.pi), rng.uniform(1, 1.6)
    half = slice(None, None, 2)  # edges are looked for on every other pixel: four times as fast, and as thin
    warp = rng.uniform(0.02, 0.05)
    along, across = _turned(_X + warp * _noise(rng, 7), _Y + warp * _noise(rng, 7), angle)
    points = rng.uniform(-1.6, 1.6, size=(rng.integers(60, 200), 2))
    pixels = np.stack([along[half, half] / stretch, across[half, half]], axis=-1)
    distance, owner = cKDTree(points).query(pixels, k=2)
    between = np.linalg.norm(points[owner[..., 1]] - points[owner[..., 0]], axis=-1)
    to_edge = (distance[..., 1] ** 2 - distance[..., 0] ** 2) / (2 * between)
    to_edge = ndimage.zoom(to_edge.astype(np.float32), 2, order=1)
    crack = np.exp(-((to_edge / rng.uniform(0.009, 0.015)) ** 2)) * _step(_noise(rng, 18) + rng.uniform(0.3, 1.2), 0.5)
    return 0.45 * _noise(rng, 1) + 0.25 * _noise(rng, 25) - rng.uniform(1.8, 2.8) * crack


def _inclusions(rng: np.random.Generator) -> np.ndarray:
    """Elongated dark inclusions in stringers along the rolling direction, on a smooth surface."""
    rolling = rng.normal(np.pi / 2, 0.25)
    n = rng.integers(6, 22)
    stringer = rng.uniform(-0.8, 0.8, size=rng.integers(2, 5))
    across = rng.choice(stringer, size=n) + rng.normal(0, 0.07, size=n)
    along = rng.uniform(-1, 1, size=n)
    x, y = _turned(along, across, -rolling)
    length = rng.lognormal(np.log(10), 0.5, size=n)
    dark = _ellipses(rng, x, y, length, length * rng.uniform(0.12, 0.3, size=n), np.full(n, rolling))
    return 0.2 * _noise(rng, 1) + 0.2 * _noise(rng, 40, 2, rolling) - rng.uniform(1.1, 1.9) * dark


def _patches(rng: np.random.Generator) -> np.ndarray:
    """Large dark and bright blotches with ragged, diffuse edges."""
    field = _noise(rng, rng.uniform(14, 22)) + 0.15 * _noise(rng, 4)
    blotch = 2 * _step(field - rng.uniform(-0.6, 0.6), rng.uniform(0.25, 0.5)) - 1
    return rng.uniform(0.9, 1.5) * blotch + 0.3 * _noise(rng, 10) + (0.35 + 0.15 * blotch) * _noise(rng, 1)


def _pits(rng: np.random.Generator) -> np.ndarray:
    """Small dark round pits, scattered and denser in places, each with a bright rim."""
    n = int(rng.integers(120, 450))
    x, y = rng.uniform(-1, 1, size=(2, n))
    density = _step(_noise(rng, 30) + rng.uniform(-0.5, 1.0), 0.4)
    kept = rng.random(n) < density[_pixel(y), _pixel(x)] + 0.1
    x, y = x[kept], y[kept]
    radius = rng.lognormal(np.log(rng.uniform(1.8, 3.0)), 0.3, size=len(x))
    dark = _ellipses(rng, x, y, radius * rng.uniform(1, 1.4, size=len(x)), radius, rng.uniform(0, np.pi, size=len(x)))
    rim = ndimage.gaussian_filter(dark, 2.5) - dark
    return 0.25 * _noise(rng, 0.8) + 0.2 * _noise(rng, 30) + rng.uniform(1.3, 1.9) * (0.7 * np.maximum(rim, 0) - dark)


def _scale(rng: np.random.Generator) -> np.ndarray:
    """Rolled-in scale: coarse mottling drawn out along the rolling direction, with dark flakes."""
    rolling = rng.normal(0, 0.35)
    long = rng.uniform(8, 14)
    mottling = _noise(rng, long, long / rng.uniform(2.2, 3.5), rolling)
    flakes = _step(_noise(rng, 5, 2, rolling) - rng.uniform(1.4, 2.0), 0.15)
    grain = 0.3 * _noise(rng, 3, 0.7, rolling) + 0.2 * _noise(rng, 0.7)
    return rng.uniform(0.5, 0.8) * mottling + grain - rng.uniform(0.8, 1.6) * flakes


def _scratches(rng: np.random.Generator) -> np.ndarray:
    """Bright straight scratches, nearly parallel, of different widths, on a finely ground surface."""
    direction = rng.uniform(0, np.pi)
    surface = 0.25 * _noise(rng, 25, 0.7, direction) + 0.15 * _noise(rng, 1) - 0.15
    for _ in range(rng.integers(2, 8)):
        along, across = _turned(_X, _Y, direction + rng.normal(0, 0.04))
        width = rng.lognormal(np.log(0.012), 0.6)
        line = np.exp(-(((across - rng.uniform(-0.9, 0.9)) / width) ** 2))
        ends = _step(rng.uniform(0.3, 1.3) - np.abs(along - rng.uniform(-0.6, 0.6)), 0.05)
        surface += rng.uniform(1.0, 3.0) * line * ends
    return surface


TEXTURES = {
    "cracks": _cracks, "inclusions": _inclusions, "patches": _patches,
    "pits": _pits, "scale": _scale, "scratches": _scratches,
}  # fmt: skip


def _noise(rng: np.random.Generator, long: float, short: float | None = None, angle: float = 0.0) -> np.ndarray:
    """Gaussian noise of unit variance, smooth over `long` pixels along `angle` and `short` (as long if None) across."""
    u, v = _turned(_COLUMN_FREQUENCY, _ROW_FREQUENCY, angle)
    transfer = np.exp(-2 * np.pi**2 * ((long * u) ** 2 + ((short or long) * v) ** 2))
    transfer[0, 0] = 0
    noise = fft.irfft2(fft.rfft2(rng.standard_normal((SIZE, SIZE), dtype=np.float32)) * transfer, s=(SIZE, SIZE))
    return noise / noise.std()


def _ellipses(rng, x: np.ndarray, y: np.ndarray, long: np.ndarray, short: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """How far each pixel is inside one of n ellipses with soft, rough outlines: 0 outside, 1 within. Centres in frame
    units (-1 to 1), half axes in pixels, angles in radians."""
    inside = np.zeros((SIZE, SIZE), dtype=np.float32)
    roughness = 0.25 * _noise(rng, 2)
    for centre_x, centre_y, a, b, turn in zip(_pixel(x), _pixel(y), long, short, angle, strict=True):
        reach = int(1.5 * a) + 2
        rows = slice(max(centre_y - reach, 0), centre_y + reach + 1)
        columns = slice(max(centre_x - reach, 0), centre_x + reach + 1)
        dy, dx = np.ogrid[rows.start - centre_y : min(rows.stop, SIZE) - centre_y,
                          columns.start - centre_x : min(columns.stop, SIZE) - centre_x]  # fmt: skip
        along, across = _turned(dx, dy, turn)
        distance = np.sqrt((along / a) ** 2 + (across / b) ** 2)
        window = inside[rows, columns]
        np.maximum(window, _step(1 + roughness[rows, columns] - distance, 0.12), out=window)
    return inside


def _turned(x, y, angle: float):
    """Coordinates along and across a direction."""
    return np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x


def _pixel(position: np.ndarray) -> np.ndarray:
    """The index of the pixel at a position in frame units, at the edge for positions outside."""
    return np.clip((position + 1) / 2 * SIZE, 0, SIZE - 1).astype(int)


def _step(value: np.ndarray, softness: float) -> np.ndarray:
    """A smooth step from 0 to 1 where `value` changes sign."""
    return 0.5 + 0.5 * np.tanh(value / softness)


_ROW_FREQUENCY = fft.fftfreq(SIZE).astype(np.float32)[:, None]
_COLUMN_FREQUENCY = fft.rfftfreq(SIZE).astype(np.float32)[None, :]
