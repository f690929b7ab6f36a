"""What a finished run of the micrograph study on sample data must show."""

import re

import pytest
from sklearn.metrics import adjusted_rand_score

from matlas.simulate.micrographs import micrographs
from matlas.store import open_store
from matlas.tables import read_table, table_info
from tests.workflow.conftest import SMALL_IMAGES

pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def truth():
    sample = SMALL_IMAGES["sample_sources"]["neu_det"]
    return micrographs(sample["rows"], sample["seed"]).truth.set_index("file")


def test_every_file_is_either_an_image_of_the_dataset_or_refused_with_a_reason(built_images, truth):
    kept = read_table(built_images.results / "datasets" / "neu_det.parquet").set_index("image_id")
    refused = read_table(built_images.results / "rejects" / "neu_det.parquet")
    cut_short = truth.index[truth["fault"] == "truncated"]
    assert set(refused["value"]) == set(cut_short) and len(cut_short) == 1
    assert set(kept.index) == set(truth.index) - set(cut_short)
    assert (kept["label"] == truth.loc[kept.index, "label"]).all()


def test_planted_copies_are_flagged_with_the_image_that_they_repeat(built_images, truth):
    kept = read_table(built_images.results / "datasets" / "neu_det.parquet").set_index("image_id")
    for fault, flag in (("copy", "duplicate"), ("near copy", "near_duplicate")):
        (copy,) = truth.index[truth["fault"] == fault]
        pair = {copy, truth.loc[copy, "copy_of"]}
        (flagged,) = kept.index[kept[flag]]
        assert {flagged, kept.loc[flagged, "similar_to"]} == pair


def test_other_labels_change_no_view_no_representation_and_no_clustering(built_images, tmp_path):
    project = built_images.copy_to(tmp_path / "project")
    project.edit("config/datasets.yaml", "(?P<label>[^/]+)_\\d+", "(?P<label>[^/_])[^/]*")  # first letters
    tables = [
        f"results/{layer}.parquet"
        for layer in ("features/neu_det/raw_pixels", "altered/neu_det/raw_pixels",
                      "representations/neu_det/raw_pixels/as_is",
                      *(f"{kind}/neu_det/raw_pixels/as_is/{method}" for kind in ("clusters", "reruns")
                        for method in ("kmeans_k10", "gmm_diag", "ward")))
    ]  # fmt: skip
    assert "clean_images" in project.planned(*tables)
    run = project.snakemake(*tables)
    assert run.returncode == 0, run.stdout + run.stderr
    labels = read_table(project.results / "datasets" / "neu_det.parquet")["label"]
    assert set(labels) == {"c", "i", "p", "s"}
    for table in tables:
        before, after = (table_info(p.folder / table).content_hash for p in (built_images, project))
        assert before == after, table


def test_one_pass_of_the_network_gives_a_view_a_stage_that_names_its_weights(built_images):
    folder = built_images.results / "features" / "neu_det"
    for view, width in (("resnet18_pq_stage1", 64), ("resnet18_pq_stage2", 128), ("resnet18_pq_stage3", 256),
                        ("resnet18_pq", 512)):  # fmt: skip
        info = table_info(folder / f"{view}.parquet")
        assert len(info.columns) == 1 + width
        assert info.attributes["weights"] == "imagenet_resnet18_pq"
        assert "learned nothing" in info.fields[-1].citation, "the weights of a sample run are not the source's"
        assert info.lineage.simulated


def test_scores_are_those_of_scikit_learn_for_the_labels_in_the_store(built_images):
    store = open_store(built_images.results)
    scores = store.sql(
        "SELECT seed, value FROM scores WHERE view = 'raw_pixels' AND representation = 'as_is' "
        "AND clustering = 'kmeans_k10' AND k = 6 AND metric = 'ari' ORDER BY seed"
    )
    labels = store.sql(
        "SELECT label, r.* FROM reruns.neu_det__raw_pixels__as_is__kmeans_k10 r JOIN datasets.neu_det USING (image_id)"
    )
    expected = [adjusted_rand_score(labels["label"], labels[f"seed_{seed}_k_6"]) for seed in (0, 1)]
    assert scores["value"].tolist() == pytest.approx(expected, abs=1e-12)


def test_clusters_of_raw_pixels_split_on_the_planted_light_and_the_diagnostic_says_so(built_images):
    effects = open_store(built_images.results).sql(
        "SELECT condition, median(effect_within_label) AS within, median(effect_of_label) AS label FROM conditions "
        "WHERE view = 'raw_pixels' AND clustering = 'kmeans_k10' AND k = 6 GROUP BY condition"
    ).set_index("condition")  # fmt: skip
    assert effects.loc["brightness", "within"] > 0.5 > effects.loc["brightness", "label"]


def test_the_weights_that_are_left_out_leave_their_claims_not_evaluated(built_images):
    claims = open_store(built_images.results).claims().set_index(["id", "variant"])
    left_out = claims.xs("resnet18", level="variant")
    assert set(left_out["verdict"]) == {"not evaluated"} and left_out["measured"].isna().all()
    at_hand = claims.xs("resnet18_pq", level="variant")
    assert len(at_hand) == len(left_out) and at_hand["measured"].notna().all()
    assert set(at_hand["verdict"]) <= {"agrees on simulated data", "differs on simulated data"}


def test_every_figure_that_shows_the_network_names_its_weights_and_licence(built_images):
    shown = {
        path.stem: path.read_text(encoding="utf-8")
        for path in (built_images.results / "figures" / "neu_det_defects").glob("*.svg")
    }
    assert len(shown) >= 16
    for name, svg in shown.items():
        table = (built_images.results / "figures" / "neu_det_defects" / f"{name}.csv").read_text(encoding="utf-8")
        words = " ".join(re.findall(r">([^<>]+)</text>", svg))  # a sentence may run over several lines of text
        assert ("learned nothing" in words) == ("resnet18_pq" in table), name
        assert "CC-BY-NC" not in svg and "ImageNet" not in svg
        assert "SAMPLE DATA" in svg


def test_the_report_shows_the_study_its_weights_and_that_it_is_sample_data(built_images):
    report = (built_images.results / "report" / "index.html").read_text(encoding="utf-8")
    assert "SAMPLE DATA" in report and "resnet18_pq" in report and "learned nothing" in report
    assert "reproduced" not in report.lower().replace("not reproduced", "")
    assert "http://" not in report.replace("http://www.w3.org", "")


def test_a_second_run_says_that_nothing_is_to_be_done(built_images):
    run = built_images.snakemake("--dry-run")
    assert run.returncode == 0 and "Nothing to be done" in run.stdout + run.stderr


def test_with_every_network_left_out_the_study_still_ends_in_its_report(built_images, tmp_path):
    project = built_images.copy_to(tmp_path / "project")
    run = project.snakemake("--config", "skip_sources=[torchvision_resnet18,imagenet_resnet18_pq]")
    assert run.returncode == 0, run.stdout + run.stderr
    claims = open_store(project.results).claims()
    assert set(claims[claims["variant"] != ""]["verdict"]) == {"not evaluated"}
    assert claims[claims["variant"] == ""]["measured"].notna().all()
