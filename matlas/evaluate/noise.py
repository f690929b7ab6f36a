"""What clusters and unmixing find of a simulation made again at other doses and contrasts: how far a method can be
trusted depends on the noise, and where the truth is planted that can be measured."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import adjusted_rand_score

from matlas.clean.cubes import clean_cube, reference_spectra
from matlas.cluster.sweep import sweep
from matlas.cubes.prepare import prepare
from matlas.evaluate.external import classes_of_clusters
from matlas.features.spectrum import reference_frame
from matlas.represent import fit
from matlas.simulate.generators import generate
from matlas.threads import Progress
from matlas.unmix.study import ALL, unmix
from matlas.unmix.tables import known_of
from schemas.config.datasets import CubeDataset

TEST = "noise"


def noise_records(
    simulation: Mapping,
    dataset: CubeDataset,
    file: str,
    test: Mapping,
    views: Mapping[str, Mapping],
    representations: Mapping[str, Mapping],
    clusterings: Mapping[str, Mapping],
    unmixings: Mapping[str, Mapping],
) -> list[dict]:
    """Records (schema TESTS, but for study and dataset), one a simulation, method and metric: x is the dose, group the
    contrast, case the method, n the pixels.

    simulation : what its generator is told (schemas.config.simulated); file : the name of what it writes; test :
    schemas.config.studies.NoiseTest; views, representations, clusterings, unmixings : definitions by name, as plain
    values. Of clusters best_k (of the largest silhouette), and at as many as there are materials ari and accuracy (by
    the best one-to-one matching) against the material with the largest share; of unmixing abundance_rmse and
    spectral_angle, by one run.
    """
    settings = list(product(test["contrasts"] or [None], test["doses"], range(test["seeds"])))
    progress, records = Progress("simulations", len(settings)), []
    with tempfile.TemporaryDirectory() as folder:
        for done, (contrast, dose, seed) in enumerate(settings, 1):
            changed = {"dose": dose, "seed": simulation["seed"] + seed}
            changed |= {"rows": test["rows"]} if test["rows"] else {}
            changed |= {} if contrast is None else {"contrast": contrast}
            path = str(Path(folder, file))
            generate(**{**simulation, **changed}, path=path)
            found = [
                *_clustered(path, dataset, test, views, representations, clusterings, seed),
                *_unmixed(path, dataset, test, views, unmixings, seed),
            ]
            group = "" if contrast is None else f"contrast {contrast:g}"
            where = {"test": TEST, "x": dose, "seed": seed, "group": group}
            records += [{**where, **record} for record in found]
            progress.reached(done)
    return records


def _clustered(path, dataset, test, views, representations, clusterings, seed) -> list[dict]:
    pixels, _, cube = clean_cube(path, dataset)
    records = []
    for space in test["spaces"]:
        view, representation = space.split("/")
        spectra = _spectra(cube, pixels, dataset, views[view])
        # of all pixels, as there is no split of a simulation
        scores = fit(spectra, **{n: v for n, v in representations[representation].items() if n != "split"}).scores
        for name in test["clusterings"]:
            options = {n: v for n, v in clusterings[name].items() if n not in ("stability", "random_state")}
            swept = sweep(scores, random_state=seed, **options)
            labels = swept.labels[:, swept.k.index(len(dataset.truth.materials))]
            values = {
                "best_k": swept.best_k, "ari": adjusted_rand_score(pixels["material"], labels),
                "accuracy": float((classes_of_clusters(pixels["material"], labels) == pixels["material"]).mean()),
            }  # fmt: skip
            where = {"view": view, "representation": representation, "case": name, "n": len(pixels)}
            records += [{**where, "metric": metric, "value": value} for metric, value in values.items()]
    return records


def _unmixed(path, dataset, test, views, unmixings, seed) -> list[dict]:
    pixels, _, cube = clean_cube(path, dataset)
    records = []
    for place in test["unmixings"]:
        view, name = place.split("/")
        known = known_of(pixels, reference_frame(*reference_spectra(path, dataset, cube), views[view]))
        one = {**unmixings[name], "seeds": 1, "random_state": seed}
        spectra = _spectra(cube, pixels, dataset, views[view])
        found = unmix(spectra, one, known, endmembers=unmixings[name].get("endmembers")).records
        records += [
            {"view": view, "case": name, "n": len(pixels), "metric": record["metric"], "value": record["value"]}
            for record in found
            if record["endmember"] == ALL and record["metric"] in ("abundance_rmse", "spectral_angle")
        ]
    return records


def _spectra(cube, pixels: pd.DataFrame, dataset: CubeDataset, view: Mapping) -> np.ndarray:
    prepared = prepare(cube, view["steps"])
    return prepared.spectra[pixels[dataset.key].to_numpy() - 1].astype(np.float64)
