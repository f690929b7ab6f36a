"""What a finished run of the study of a spectrum image on sample data must show."""

import pytest
from sklearn.metrics import adjusted_rand_score

from matlas.simulate.spectrum_images import spectrum_image
from matlas.store import open_store
from matlas.tables import read_table
from tests.workflow.conftest import fresh_project

pytestmark = pytest.mark.workflow
ROWS = 400
SMALL_CUBE = {
    "sample_sources": {"samson": {"generator": "spectrum_image", "rows": ROWS, "seed": 0}},
    "studies": ["samson_unmixing"],
}


@pytest.fixture(scope="module")
def built_cube(repository, tmp_path_factory):
    project = fresh_project(repository, tmp_path_factory.mktemp("cube") / "project", SMALL_CUBE)
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
    assert all("simulated" in verdict for verdict in claims["verdict"])
