"""Spectrum images clustered for K = 2 … 8: the workflow on 1 GB of them, and beside HyperSpy's own cluster analysis.

Images are planted: five phases in grains, smooth spectra with lines, brightness that drifts over the field, and noise;
so the labels of both sides at K = 5 are scored against the truth. Three comparisons with HyperSpy, each in its favour
where there is a choice (its fast solver, told the number of components; its time begins after its import):

cube_exact    the same by both, in turn in one process, on a smaller image: principal components, k-means, and the
              silhouettes of all pixels at each K (`estimate_number_of_clusters`). Their values agree.
cube_choice   the same of HyperSpy on the whole image, beside all of the workflow, which takes silhouettes of 2,000
              pixels drawn at random against all: hours beside minutes, so HyperSpy is stopped at STOPPED_AT times ours,
              and the ratio is at least what it says. (Its default metric, "gap", asks for n² distances in memory.)
cube_labels   HyperSpy's labels at each K without anything by which to choose one of them, beside the same run of the
              workflow, which also repeats the sweep for five seeds, and writes tables, figures and a report.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from sklearn.metrics import adjusted_rand_score

from bench.measure import compare, in_new_process, measured, ratios
from bench.scale import CORES, copy_with_study, timed
from matlas.jobs import peak_rss_mb
from matlas.tables import read_table

SIZE, SMALLER = (512, 512, 1024), (128, 128, 1024)
K, STARTS, COMPONENTS = range(2, 9), 10, 10
STOPPED_AT = 5
PHASES, GRAINS = 5, 60
SIGNAL = {"unit": "keV", "offset": 0.0, "scale": 0.01}
STUDY = {
    "title": "A planted spectrum image",
    "dataset": {
        "name": "planted", "kind": "cube", "title": "Five planted phases", "path": "data/cube.npy",
        "axes": ["y", "x", "signal"], "signal": SIGNAL, "counts": False,
    },
    "views": ["spectrum"], "representations": ["pca10"], "clusterings": ["kmeans_pixels"],
    "figures": [
        {"name": "sweep", "kind": "cluster_sweep", "clustering": "kmeans_pixels"},
        {"name": "phases", "kind": "phase_map", "clustering": "kmeans_pixels"},
    ],
}  # fmt: skip
LABELS = "results/clusters/planted/spectrum/pca10/kmeans_pixels.parquet"

_ROWS_AT_ONCE = 16


def run(repeats: int = 3) -> list[dict]:
    """Seconds, peak memory and agreement with the truth (adjusted Rand index) of the workflow; and the ratios."""
    has_peer = find_spec("hyperspy") is not None
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        copy_with_study(project, STUDY)
        cube = project / "data" / "cube.npy"
        truth = write_cube(cube, SIZE)
        title = f"The workflow on a spectrum image of {_shape(SIZE)} float32, {CORES} cores"
        seconds, peak = timed(project, _shape(SIZE))
        ari = adjusted_rand_score(truth.ravel(), read_table(project / LABELS, [f"k_{PHASES}"]).iloc[:, 0])
        found = [
            measured("cube", title, "seconds", [seconds], "s"), measured("cube", title, "peak", [peak], "MB"),
            measured("cube", title, "ari_to_truth", [ari]),
        ]  # fmt: skip
        if not has_peer:
            title = "HyperSpy's cluster analysis: not compared, because it is not installed (make bench installs it)"
            return [*found, measured("cube_peer", title, "compared", [0.0])]
        return [*found, *_whole(cube, truth, seconds), *_exact(Path(folder) / "smaller.npy", repeats)]


def _whole(cube: Path, truth: np.ndarray, ours: float) -> list[dict]:
    """HyperSpy on the whole image, in processes of its own, beside the seconds of the workflow."""
    np.save(cube.with_name("truth.npy"), truth)
    labels = in_new_process("bench.cube", "labels", str(cube))
    of = f"HyperSpy on {_shape(SIZE)} beside the workflow"
    title = f"{of}: labels only, at K = {K[0]} … {K[-1]}"
    found = [
        *ratios("cube_labels", title, [ours], [labels["seconds"]]),
        measured("cube_labels", title, "peer_peak", [labels["peak"]], "MB"),
        measured("cube_labels", title, "peer_ari_to_truth", [labels["ari"]]),
    ]
    try:
        choice, at_least = in_new_process("bench.cube", "choice", str(cube), limit=STOPPED_AT * ours)["seconds"], ""
    except subprocess.TimeoutExpired:
        choice, at_least = STOPPED_AT * ours, f" (at least: stopped after {STOPPED_AT} times ours)"
    return [*found, *ratios("cube_choice", f"{of}: silhouettes by which to choose K{at_least}", [ours], [choice])]


def _exact(path: Path, repeats: int) -> list[dict]:
    truth = write_cube(path, SMALLER).ravel()

    def agree(ours: tuple, peer: tuple) -> None:
        np.testing.assert_allclose(ours[0], peer[0], rtol=0, atol=1e-3)
        for _, labels in (ours, peer):
            assert adjusted_rand_score(truth, labels) > 0.99

    title = f"Clusters of {_shape(SMALLER)} at K = {K[0]} … {K[-1]} with the silhouettes of all pixels: beside HyperSpy"
    return compare("cube_exact", title, lambda: _ours(path), lambda: _peer(path), agree, repeats=repeats)


def _ours(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Silhouettes at each K, and the labels at K = PHASES, by the library."""
    from matlas.cluster.sweep import sweep
    from matlas.cubes.read import read_cube
    from matlas.represent import fit

    cube = read_cube(path, counts=False, axes=["y", "x", "signal"], signal=SIGNAL)
    scores = fit(cube.spectra, algorithm="pca", n_components=COMPONENTS, random_state=0).scores
    found = sweep(scores, algorithm="kmeans", k=list(K), n_init=STARTS)
    return found.silhouette, found.labels[:, K.index(PHASES)]


def _peer(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The same by HyperSpy."""
    signal = _decomposed(path)
    about = {"number_of_components": COMPONENTS, "n_init": STARTS, "random_state": 0}
    signal.estimate_number_of_clusters("decomposition", max_clusters=K[-1], metric="silhouette", **about)
    silhouette = np.array(signal.learning_results.cluster_metric_data)
    signal.cluster_analysis("decomposition", n_clusters=PHASES, **about)
    return silhouette, signal.learning_results.cluster_labels.argmax(axis=0)


def _peer_labels(path: Path) -> np.ndarray:
    """HyperSpy's labels at each K; those at K = PHASES."""
    signal, found = _decomposed(path), {}
    for k in K:
        about = {"number_of_components": COMPONENTS, "n_init": STARTS, "random_state": 0}
        signal.cluster_analysis("decomposition", n_clusters=k, **about)
        found[k] = signal.learning_results.cluster_labels.argmax(axis=0)
    return found[PHASES]


def _decomposed(path: Path):
    """A signal of HyperSpy with its principal components. In memory: its lazy decompositions take longer."""
    import hyperspy.api as hs

    hs.preferences.General.show_progressbar = False
    signal = hs.signals.Signal1D(np.load(path))
    signal.decomposition(output_dimension=COMPONENTS, centre="navigation", print_info=False)
    return signal


def _in_own_process(task: str, path: Path) -> dict:
    import hyperspy.api  # noqa: F401  its import is not timed

    truth = np.load(path.with_name("truth.npy")).ravel()
    start = time.perf_counter()
    labels = _peer_labels(path) if task == "labels" else _peer(path)[1]
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "peak": peak_rss_mb(), "ari": adjusted_rand_score(truth, labels)}


def _shape(size: tuple[int, int, int]) -> str:
    return " x ".join(f"{n:,}" for n in size)


def write_cube(path: Path, size: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    """Write an .npy of `size` (height, width, channels) float32, a few rows at a time; returns the phase
    (height, width) of each pixel.

    Grains are Voronoi cells of random points, each of one phase; brightness falls by a third from corner to corner;
    noise is normal, its variance the expected number of counts (5 to 60 a channel).
    """
    height, width, channels = size
    rng = np.random.default_rng(seed)
    position = np.linspace(0.0, 1.0, channels)
    background = 20 * np.exp(-2 * position) + 5
    centres, heights = rng.uniform(0.05, 0.95, (PHASES, 4)), rng.uniform(5, 30, (PHASES, 4))
    lines = np.exp(-(((position - centres[..., None]) / 0.015) ** 2) / 2)
    spectra = background + (heights[..., None] * lines).sum(axis=1)

    points, phase_of = rng.uniform(0, 1, (GRAINS, 2)), np.arange(GRAINS) % PHASES
    y, x = np.meshgrid(np.linspace(0, 1, height), np.linspace(0, 1, width), indexing="ij")
    nearest = ((y[..., None] - points[:, 0]) ** 2 + (x[..., None] - points[:, 1]) ** 2).argmin(axis=-1)
    phase = phase_of[nearest]
    brightness = 1 - (y + x) / 6

    cube = np.lib.format.open_memmap(path, "w+", np.float32, (height, width, channels))
    for start in range(0, height, _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        expected = (brightness[rows, :, None] * spectra[phase[rows]]).astype(np.float32)
        noise = rng.standard_normal(expected.shape, dtype=np.float32)
        cube[rows] = expected + np.sqrt(expected) * noise
    cube.flush()
    return phase


if __name__ == "__main__":
    print(json.dumps(_in_own_process(sys.argv[1], Path(sys.argv[2]))))
