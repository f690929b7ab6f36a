"""What a finished run of the studies of spectrum images must show: one on sample data, one of a simulated map."""

import numpy as np
import pytest
from safetensors.numpy import load_file
from sklearn.metrics import adjusted_rand_score

from matlas.simulate.mineral_map import AXIS as mineral_map_axis
from matlas.simulate.mineral_map import mineral_map
from matlas.simulate.spectrum_images import spectrum_image
from matlas.store import open_store
from matlas.tables import read_table
from tests.workflow.conftest import fresh_project

pytestmark = pytest.mark.workflow
ROWS = 400
SMALL_CUBE = {
    "sample_sources": {"samson": {"generator": "spectrum_image", "rows": ROWS, "seed": 0}},
    "studies": ["samson_unmixing", "mantle_simulated"],
}
SIMULATION = {"generator": "mineral_map", "rows": ROWS, "seed": 7, "dose": 5000, "samarium_ppm": [0, 0, 30000]}
PHASES = ["bridgmanite", "ferropericlase", "davemaoite"]


@pytest.fixture(scope="module")
def built_cube(repository, tmp_path_factory):
    """Both studies, with fewer seeds, epochs and simulations, and the simulated one without all that is slow."""
    project = fresh_project(repository, tmp_path_factory.mktemp("cube") / "project", SMALL_CUBE)
    with project.configuration("methods") as methods:
        for unmixing in methods["unmixings"].values():
            unmixing |= {"seeds": 2} if "seeds" in unmixing else {}
            unmixing |= {"n_starts": 1} if "nmf" in unmixing["algorithm"] else {}
        methods["unmixings"]["nmf_kl3"]["seeds"] = 1
        methods["unmixings"]["softmax_ae3"]["epochs"] = 60
        methods["endmember_counts"]["bootstrap"] |= {"simulations": 19, "level": 0.95, "largest": 4}
    with project.configuration("sources") as sources:
        sources["simulated_mineral_map"]["simulated"]["mineral_map.npz"] = SIMULATION
    with project.configuration("studies/mantle_simulated") as study:
        study |= {
            "views": ["counts_4"], "representations": ["pca_scores4"], "clusterings": ["kmeans_pixels"],
            "unmixings": ["nmf_kl3", "given"], "tests": {},
            "claims": [claim for claim in study["claims"] if "samarium" in claim["id"]],
            "figures": [f for f in study["figures"] if f["kind"] in ("quantities", "endmembers", "endmember_count")],
        }  # fmt: skip
        study["quantification"] |= {"least_share": 0.6, "least_pixels": 3}
    run = project.snakemake()
    assert run.returncode == 0, run.stdout + run.stderr
    return project


def test_clusters_of_pixels_at_unit_length_are_the_planted_materials(built_cube):
    truth = spectrum_image(ROWS, seed=0).shares.reshape(ROWS, 3)
    pixels = read_table(built_cube.results / "datasets" / "samson.parquet")
    labels = read_table(built_cube.results / "clusters/samson/spectrum/unit_rows/kmeans_small.parquet")
    assert (pixels["pixel_id"] == labels["pixel_id"]).all() and len(pixels) == ROWS
    pure = truth.max(axis=1) > 0.9
    assert adjusted_rand_score(truth.argmax(axis=1)[pure], labels["k_3"][pure]) > 0.9


def test_pixels_are_asked_for_in_sql_like_any_other_entity(built_cube):
    store = open_store(built_cube.results)
    found = store.sql(
        "SELECT material, count(*) AS pixels, avg(channel_0) AS first FROM datasets.samson "
        "JOIN features.samson__spectrum USING (pixel_id) GROUP BY ALL ORDER BY material"
    )
    assert found["material"].tolist() == ["soil", "tree", "water"] and found["pixels"].sum() == ROWS
    assert store.columns("features.samson__spectrum")["description"].tolist()[2] == "Spectrum at 2 band"


def test_the_report_shows_the_phase_map_and_says_that_the_data_are_sample_data(built_cube):
    page = (built_cube.results / "report" / "index.html").read_text(encoding="utf-8")
    assert "Clusters on the image" in page and "SAMPLE DATA" in page
    claims = read_table(built_cube.results / "claims" / "samson_unmixing.parquet").set_index("id")
    assert claims.loc["samson-bands", "measured"] == 156
    assert set(claims["verdict"]) <= {"agrees on simulated data", "differs on simulated data"}


def test_shares_by_the_spectra_of_the_source_are_the_planted_ones_and_unmixing_is_nearer_than_equal_shares(built_cube):
    truth = spectrum_image(ROWS, seed=0).shares.reshape(ROWS, 3)
    folder = built_cube.results / "abundances" / "samson"
    given = read_table(folder / "spectrum_max" / "given.parquet")
    shares = given[[f"share_{material}" for material in ("soil", "tree", "water")]].to_numpy()
    assert given["pixel_id"].tolist() == list(range(1, ROWS + 1))
    assert np.sqrt(((shares - truth) ** 2).mean()) < 0.1
    found = open_store(built_cube.results).sql(
        "SELECT unmixing, metric, max(value) AS most FROM unmixings WHERE dataset = 'samson' AND view = 'spectrum_max' "
        "AND endmember = 'all' GROUP BY ALL"
    )
    most = found.pivot(index="unmixing", columns="metric", values="most")
    for unmixing in ("given", "vca3"):
        assert most.loc[unmixing, "abundance_rmse"] < most.loc[unmixing, "abundance_rmse_constant"], unmixing
    stored = np.sqrt(((shares - truth) ** 2).mean())
    assert most.loc["given", "abundance_rmse"] == pytest.approx(stored)


def test_a_network_that_unmixes_leaves_its_weights_and_the_order_of_its_endmembers(built_cube):
    (path,) = (built_cube.results / "models" / "samson").rglob("softmax_ae3/weights.safetensors")
    assert sorted(load_file(path)["order"]) == [0, 1, 2]


def test_phases_of_the_simulated_map_are_counted_unmixed_and_quantified(built_cube):
    made = mineral_map(ROWS, SIMULATION["seed"], SIMULATION["dose"], tuple(SIMULATION["samarium_ppm"]))
    pixels = read_table(built_cube.results / "datasets" / "mantle_simulated.parquet")
    np.testing.assert_array_equal(pixels["total"], made.counts.sum(axis=2).ravel())
    abundances = read_table(built_cube.results / "abundances/mantle_simulated/counts_4/nmf_kl3.parquet")
    shares = abundances[[f"share_{phase}" for phase in PHASES]].to_numpy()
    truth = made.abundances.reshape(-1, 3)
    assert all(np.corrcoef(shares[:, i], truth[:, i])[0, 1] > 0.9 for i in range(3))
    quantities = read_table(built_cube.results / "quantities" / "mantle_simulated.parquet")
    counts = quantities[(quantities["quantity"] == "counts") & (quantities["subject"] == "all")].set_index("phase")
    for i, phase in enumerate(PHASES):  # of the cube as it is measured, where the shares of the view say
        chosen = shares[:, i] >= 0.6
        assert counts.loc[phase, ["pixels", "value"]].tolist() == [chosen.sum(), pixels["total"][chosen].sum()]
    count = read_table(built_cube.results / "endmember_counts/mantle_simulated/counts_4/bootstrap.parquet")
    assert count.loc[count["accepted"], "endmembers"].tolist() == [3]


def test_endmembers_and_references_of_a_view_stand_on_the_axis_of_the_view(built_cube):
    axis = mineral_map_axis.values[: 1917 // 4 * 4].reshape(-1, 4).mean(axis=1)
    for layer, of in (("endmembers", "counts_4/nmf_kl3"), ("references", "counts_4")):
        spectra = read_table(built_cube.results / layer / "mantle_simulated" / f"{of}.parquet")
        for _, one in spectra.groupby(spectra.columns[0]):
            np.testing.assert_allclose(one.sort_values("channel")["position"], axis)
    store = open_store(built_cube.results)
    peak = store.sql(
        "SELECT endmember, arg_max(position, intensity) AS peak FROM endmembers.mantle_simulated__counts_4__nmf_kl3 "
        "GROUP BY ALL"
    ).set_index("endmember")["peak"]
    assert peak["bridgmanite"] == pytest.approx(1.74, abs=0.04)  # Si K
    assert peak["ferropericlase"] == pytest.approx(1.25, abs=0.04)  # Mg K


def test_what_is_found_of_a_simulation_by_design_is_said_to_hold_for_the_simulation(built_cube):
    claims = read_table(built_cube.results / "claims" / "mantle_simulated.parquet").set_index("id")
    assert set(claims["verdict"]) <= {"reproduced on simulated data", "contradicted on simulated data"}
    quantities = read_table(built_cube.results / "quantities" / "mantle_simulated.parquet")
    samarium = quantities[(quantities["quantity"] == "mass_ppm") & (quantities["subject"] == "Sm")].set_index("phase")
    for claim, holds in (
        ("mantle-no-samarium-where-none", not samarium.loc["ferropericlase", "detected"]),
        ("mantle-planted-samarium", abs(samarium.loc["davemaoite", "value"] - 30000)
         <= 2 * samarium.loc["davemaoite", "standard_error"]),
    ):  # fmt: skip
        assert claims.loc[claim, "verdict"].startswith("reproduced" if holds else "contradicted"), claim
    page = (built_cube.results / "report" / "index.html").read_text(encoding="utf-8")
    simulated = page[page.index('id="study-mantle_simulated"') :].partition("</section>")[0]
    assert "SIMULATED" in simulated and "SAMPLE DATA" not in simulated
    for title in ("How many endmembers?", "Unmixing", "What the phases consist of"):
        assert title in simulated, title
