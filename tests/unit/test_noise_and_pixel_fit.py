"""A simulation made again at other doses, and clusters beside the fit of each pixel, on small images."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score

from matlas.cluster.sweep import sweep
from matlas.cubes.cube import Axis, Cube
from matlas.cubes.plasmons import Plasmon, drude_loss
from matlas.errors import ConfigError
from matlas.evaluate import records
from matlas.evaluate.external import classes_of_clusters
from matlas.evaluate.noise import noise_records
from matlas.evaluate.pixel_fit import pixel_fit_records
from matlas.tables import read_table, write_table
from schemas.config.datasets import CubeDataset
from schemas.config.methods import KMeans, Nmf, Pca
from schemas.config.simulated import SimulatedDuplexSteel, SimulatedMineralMap
from schemas.config.studies import NoiseTest, PixelFitTest
from schemas.tables.learning import TESTS

# noise

MINERALS = CubeDataset(
    kind="cube", title="Minerals", source="simulated", array="counts", axes=["y", "x", "signal"], counts=True,
    signal={"unit": "keV", "offset": 0.83151949728, "scale": 0.01000467828},
    truth={"array": "abundances", "materials": ["bridgmanite", "ferropericlase", "davemaoite"],
           "spectra": "endmembers"},
)  # fmt: skip
STEEL = CubeDataset(
    kind="cube", title="Steel", source="simulated", array="counts", axes=["y", "x", "signal"], counts=True,
    signal={"unit": "eV", "offset": 10.0, "scale": 0.1},
    truth={"array": "abundances", "materials": ["ferrite", "austenite", "sigma"]},
)  # fmt: skip
VIEWS = {"lines": {"steps": [{"crop": {"low": 1.0, "high": 8.0}}, {"rebin": {"signal": 5, "leftovers": "drop"}}]},
         "shape": {"steps": [{"scaled": {"by": "sum"}}, {"rebin": {"signal": 5, "leftovers": "drop"}}]}}  # fmt: skip
PLAIN = {
    "representations": {"pca": Pca(algorithm="pca", n_components=2, standardise=False).model_dump()},
    "clusterings": {"kmeans": KMeans(algorithm="kmeans", k=[2, 3], n_init=2, stability={"seeds": 3}).model_dump()},
    "unmixings": {"nmf": Nmf(algorithm="nmf", endmembers=3, n_starts=1, seeds=4, random_state=9).model_dump()},
}


def simulated(dataset=MINERALS, simulation=None, **test) -> pd.DataFrame:
    simulation = simulation or SimulatedMineralMap(generator="mineral_map", rows=144, seed=1)
    test = {"spaces": ["shape/pca"], "clusterings": ["kmeans"], "unmixings": ["lines/nmf"], "seeds": 2} | test
    found = noise_records(simulation.model_dump(), dataset, "made.npz", NoiseTest(**test).model_dump(), VIEWS, **PLAIN)
    return records.tests_frame("a_study", "a_dataset", found)


@pytest.fixture(scope="module")
def minerals():
    return simulated(doses=[100.0, 20_000.0])


def test_there_is_a_record_of_each_dose_seed_method_and_metric(minerals, tmp_path):
    found = minerals.groupby(["x", "seed", "view", "representation", "case"])["metric"].agg(sorted)
    expected = {}
    for dose in (100.0, 20_000.0):
        for seed in (0, 1):
            expected[dose, seed, "shape", "pca", "kmeans"] = ["accuracy", "ari", "best_k"]
            expected[dose, seed, "lines", "", "nmf"] = ["abundance_rmse", "spectral_angle"]
    assert found.to_dict() == expected
    assert set(minerals["test"]) == {"noise"} and set(minerals["group"]) == {""} and set(minerals["n"]) == {144}
    write_table(minerals, tmp_path / "noise.parquet", TESTS)
    assert len(read_table(tmp_path / "noise.parquet")) == 2 * 2 * 5


def test_more_counts_bring_clusters_and_shares_nearer_to_the_truth(minerals):
    median = minerals.groupby(["metric", "x"])["value"].median().unstack()
    faint, bright = median[100.0], median[20_000.0]
    for metric in ("abundance_rmse", "spectral_angle"):
        assert bright[metric] < 0.5 * faint[metric], metric
    for metric in ("ari", "accuracy"):
        assert bright[metric] > faint[metric] + 0.05, metric  # pixels of so small a map are mixed


def test_other_seeds_are_other_simulations_and_the_same_arguments_give_the_same_records(minerals):
    errors = minerals[minerals["metric"] == "abundance_rmse"]
    assert errors["value"].nunique() == len(errors)
    pd.testing.assert_frame_equal(simulated(doses=[100.0, 20_000.0]), minerals)


def test_the_number_of_pixels_is_that_of_the_test_and_contrasts_are_groups():
    steel = SimulatedDuplexSteel(generator="duplex_steel", rows=10_000)
    found = simulated(STEEL, steel, doses=[1e6], contrasts=[0.5, 4], rows=900, seeds=1, unmixings=[])
    assert set(found["n"]) == {900} and set(found["group"]) == {"contrast 0.5", "contrast 4"}
    ari = found[found["metric"] == "ari"].set_index("group")["value"]
    assert ari["contrast 4"] > 0.85 and ari["contrast 0.5"] < 0.75


# clusters as classes


def test_a_cluster_stands_for_the_class_of_the_best_matching_and_one_too_many_for_none():
    truth = ["a"] * 5 + ["b"] * 4
    labels = np.array([7, 7, 7, 7, 2, 2, 2, 3, 3])
    assert classes_of_clusters(truth, labels).tolist() == ["a"] * 4 + ["b"] * 3 + [None] * 2
    # a greedy choice would give cluster 0 to b, which holds most of both
    truth, labels = ["a"] * 4 + ["b"] * 6, np.array([0, 0, 0, 1] + [0] * 4 + [1] * 2)
    assert classes_of_clusters(truth, labels).tolist() == ["a"] * 3 + ["b"] + ["a"] * 4 + ["b"] * 2


# the fit of each pixel

ENERGIES = 10 + 0.1 * np.arange(251)
PHASES = {"soft": (17.0, 5.0), "hard": (23.0, 5.0), "harder": (27.0, 5.0)}
PLANTED = ["soft"] * 4 + ["hard"] * 5
HEIGHT, WIDTH = 3, 4  # of which three pixels were refused
PLACES = np.array([0, 1, 2, 3, 5, 6, 8, 10, 11])


@pytest.fixture(scope="module")
def cube():
    """Bright spectra of the planted phases, so that a fit can't be wrong about them."""
    means = np.zeros((HEIGHT * WIDTH, len(ENERGIES)))
    for place, phase in zip(PLACES, PLANTED, strict=True):
        means[place] = 4000 * drude_loss(ENERGIES, Plasmon(*PHASES[phase])) + 20 * (10 / ENERGIES) ** 3
    means[[4, 7, 9]] = 1000
    counts = np.random.default_rng(0).poisson(means).reshape(HEIGHT, WIDTH, -1)
    axes = [Axis("y", "px", 0, 1, HEIGHT), Axis("x", "px", 0, 1, WIDTH), Axis("E", "eV", 10.0, 0.1, len(ENERGIES))]
    return Cube(counts, *axes, True)


def judged(cube, material, scores=None, clustering=None, repeats=1, **test) -> pd.DataFrame:
    """The records of the fit, and of clusters in a space of one column."""
    scores = np.array([0.0] * 4 + [1.0] * 5)[:, None] if scores is None else scores
    test = {"low": 10, "high": 35, "thickness": 0.0, "phases": PHASES, "spaces": ["lines/as_is"], "k": 2,
            "clustering": "kmeans", "repeats": repeats} | test  # fmt: skip
    found = pixel_fit_records(
        cube, {("lines", "as_is"): scores}, PLACES, pd.Series(material, dtype=object),
        PixelFitTest(**test).model_dump(), clustering or PLAIN["clusterings"]["kmeans"],
    )  # fmt: skip
    return records.tests_frame("a_study", "a_dataset", found)


def values(table: pd.DataFrame, case: str) -> dict:
    """{(metric, group): value} but for seconds."""
    rows = table[(table["case"] == case) & (table["metric"] != "seconds")]
    return {(r.metric, r.group): r.value for r in rows.itertuples()}


def test_a_fit_finds_the_planted_plasmons_in_the_pixels_that_are_kept(cube):
    found = judged(cube, PLANTED)
    perfect = {("accuracy", "all"): 1, ("ari", "all"): 1, **{(m, p): 1 for m in ("precision", "recall")
               for p in ("soft", "hard")}}  # fmt: skip
    for case in ("pixel_fit", "batched_fit", "kmeans"):
        assert values(found, case) == perfect, case  # nothing of the phase that is nowhere, neither found nor there
    assert set(found["n"]) == {9}
    assert {(r.case, r.view, r.representation) for r in found.itertuples()} == {
        ("pixel_fit", "", ""), ("batched_fit", "", ""), ("kmeans", "lines", "as_is")
    }  # fmt: skip


def test_precision_and_recall_are_those_by_hand(cube):
    # the fit finds soft in 4 pixels and hard in 5; said of them: 3 soft and 1 hard, 2 soft and 2 hard and 1 harder
    material = ["soft", "soft", "soft", "hard", "soft", "soft", "hard", "hard", "harder"]
    found = judged(cube, material)
    by_hand = {
        ("accuracy", "all"): 5 / 9, ("ari", "all"): adjusted_rand_score(material, PLANTED),
        ("precision", "soft"): 3 / 4, ("recall", "soft"): 3 / 5,
        ("precision", "hard"): 2 / 5, ("recall", "hard"): 2 / 3,
        ("recall", "harder"): 0,  # which the fit finds nowhere: its precision is not known
    }  # fmt: skip
    for case in ("pixel_fit", "batched_fit"):
        assert values(found, case) == pytest.approx(by_hand), case
    assert values(found, "kmeans") == pytest.approx(by_hand)  # the same partition, soft and hard by the matching


def test_a_cluster_that_stands_for_no_material_is_wrong_and_of_no_phase(cube):
    scores = np.array([0.0, 0, 0, 9, 1, 1, 1, 1, 1])[:, None]
    found = values(judged(cube, PLANTED, scores, k=3), "kmeans")
    assert found["accuracy", "all"] == pytest.approx(8 / 9) and found["recall", "soft"] == 3 / 4
    assert found["precision", "soft"] == found["precision", "hard"] == found["recall", "hard"] == 1


def test_seconds_are_recorded_for_each_repeat_and_scores_once(cube, tmp_path):
    found = judged(cube, PLANTED, repeats=3)
    seconds = found[found["metric"] == "seconds"]
    assert seconds.groupby(["case", "view"])["seed"].agg(list).to_dict() == {
        ("pixel_fit", ""): [0, 1, 2], ("batched_fit", ""): [0, 1, 2], ("kmeans", "lines"): [0, 1, 2]
    }  # fmt: skip
    assert (seconds["value"] > 0).all() and set(seconds["group"]) == {"all"}
    assert not found[found["metric"] != "seconds"].duplicated(["case", "metric", "group"]).any()
    write_table(found, tmp_path / "fit.parquet", TESTS)
    assert len(read_table(tmp_path / "fit.parquet")) == len(found)


def test_the_clustering_is_that_of_the_definition_at_the_asked_k(cube):
    scores = np.random.default_rng(0).normal(size=(9, 3))
    spec = KMeans(algorithm="kmeans", k=[2, 4, 6], n_init=3, random_state=5, stability={"seeds": 9}).model_dump()
    found = judged(cube, PLANTED, scores, clustering=spec, k=3)
    labels = sweep(scores, algorithm="kmeans", k=[3], n_init=3, random_state=5).labels[:, 0]
    assert values(found, "kmeans")["ari", "all"] == pytest.approx(adjusted_rand_score(PLANTED, labels))
    assert math.isfinite(values(found, "kmeans")["accuracy", "all"])


def test_a_fit_needs_counts(cube):
    plain = Cube(cube.data, cube.y, cube.x, cube.signal, False)
    with pytest.raises(ConfigError, match="a Drude fit is for counts"):
        judged(plain, PLANTED)
