"""Clusters of spectra beside what a fit of a plasmon to each pixel gives: how accurate each is, and how long it
takes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial

import numpy as np
import pandas as pd
from sklearn.metrics import adjusted_rand_score

from matlas.cluster.sweep import sweep
from matlas.cubes.cube import Cube
from matlas.cubes.plasmons import Plasmon, drude_fit, labelled_by_plasmon, vectorised_drude_fit
from matlas.evaluate.external import classes_of_clusters
from matlas.threads import Progress

TEST = "pixel_fit"
FIT, BATCHED_FIT, ALL = "pixel_fit", "batched_fit", "all"  # cases; the group of all phases


def pixel_fit_records(
    cube: Cube,
    spaces: Mapping[tuple[str, str], np.ndarray],
    places: np.ndarray,
    material: pd.Series,
    test: Mapping,
    clustering: Mapping,
) -> list[dict]:
    """Records (schema TESTS, but for study and dataset) of the fit of each pixel, of the same fit done for all pixels
    together, and of a clustering in each space: seconds of each of `repeats`, taken by turns in this process; accuracy,
    ari, and precision and recall of each phase, against the material with the largest share.

    cube : counts; spaces : {(view, representation): (n, d)} of the n pixels that are clustered; places : (n,) of those
    among the cube's spectra; material : (n,); test : schemas.config.studies.PixelFitTest; clustering : definition of
    test["clustering"], as plain values. The fit: bounded least squares with an analytic Jacobian, weighted by counting
    noise, from start values of the pixel's own (matlas.cubes.plasmons.drude_fit); its label is the phase whose plasmon
    is nearest in standard errors of the fit. Clusters stand for phases by the best one-to-one matching, which flatters
    them: the fit knows its phases beforehand, the clusters are told afterwards. Seconds of the clustering are those of
    one K, k, with all its starts; preparing spectra (a sum over channels) is in neither.
    """
    phases = {name: Plasmon(*values) for name, values in test["phases"].items()}
    options = {n: v for n, v in clustering.items() if n not in ("stability", "k", "silhouette_rows", "random_state")}
    names = np.array([*phases, None], dtype=object)  # the last: a fit that did not converge
    window = {"thickness": test["thickness"]}

    def fitted(fit) -> np.ndarray:
        labels = labelled_by_plasmon(fit(cube, test["low"], test["high"], **window), phases)
        return names[labels.ravel()[places]]

    def clustered(scores: np.ndarray) -> np.ndarray:
        found = sweep(scores, k=[test["k"]], random_state=clustering.get("random_state", 0), **options)
        return classes_of_clusters(material, found.labels[:, 0])

    methods = {(FIT, "", ""): lambda: fitted(drude_fit), (BATCHED_FIT, "", ""): lambda: fitted(vectorised_drude_fit)}
    methods |= {(test["clustering"], *space): partial(clustered, scores) for space, scores in spaces.items()}
    records, progress, done = [], Progress("timed runs", test["repeats"] * len(methods)), 0
    for repeat in range(test["repeats"]):
        for (case, view, representation), method in methods.items():
            start = time.perf_counter()
            labels = method()
            found = [{"metric": "seconds", "value": time.perf_counter() - start, "seed": repeat}]
            if repeat == 0:
                found += _judged(labels, material.to_numpy(), list(phases))
            here = {"test": TEST, "case": case, "view": view, "representation": representation, "group": ALL}
            records += [{**here, "n": len(material), **record} for record in found]
            done += 1
            progress.reached(done)
    return records


def _judged(labels: np.ndarray, truth: np.ndarray, phases: list[str]) -> list[dict]:
    named = np.where(labels == None, "", labels).astype(str)  # noqa: E711, elementwise
    records = [
        {"metric": "accuracy", "value": float((named == truth).mean())},
        {"metric": "ari", "value": float(adjusted_rand_score(truth, named))},
    ]
    for phase in phases:
        found, there = named == phase, truth == phase
        both = int((found & there).sum())
        # of a phase that is nowhere found, precision is not known
        if found.any():
            records.append({"metric": "precision", "value": both / int(found.sum()), "group": phase})
        if there.any():
            records.append({"metric": "recall", "value": both / int(there.sum()), "group": phase})
    return records
