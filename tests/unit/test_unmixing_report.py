"""What the page says of unmixing, of phases and of tests on simulations, against tables whose numbers are known."""

from __future__ import annotations

import pandas as pd
import pytest

from matlas.catalog import build_catalog
from matlas.claims import verdict
from matlas.errors import DataError
from matlas.evaluate.records import tests_frame as records_frame
from matlas.report.build import _environment, marked
from matlas.report.claims import TONES
from matlas.report.unmixing import noise_topic, pixel_fit_topic, unmixing_topics
from matlas.store import open_store
from schemas.tables.unmixing import ENDMEMBER_COUNTS, QUANTITIES, UNMIXINGS
from tests.unit.results_folder import put

DATASET, STUDY = "ores", "first"
STRUCTURE = {"dataset": DATASET, "counted": [("counts", "bootstrap"), ("few", "bootstrap")],
             "unmixed": [("counts", "nmf3"), ("shape", "given")]}  # fmt: skip
TO = "\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}"


def scores(unmixing: str, view: str, rows: list[tuple]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["endmember", "metric", "value", "seed"]).astype({"seed": "Int64"})
    return frame.assign(dataset=DATASET, view=view, unmixing=unmixing)[UNMIXINGS.columns]


NMF = [("all", "relative_error", v, s) for s, v in enumerate([0.25, 0.125, 0.5])]
NMF += [("all", "rmse_to_reference", 0.0625, 1), ("all", "rmse_to_reference", 0.0875, 2)]
NMF += [("iron", "angle_to_reference", 3.0, 1), ("iron", "angle_to_reference", 3.0, 2)]
JUDGED = [("all", "abundance_rmse", v, s) for s, v in enumerate([0.2, 0.3, 0.1])]
JUDGED += [("all", "accuracy", 0.75, s) for s in range(3)] + [("iron", "abundance_rmse", 0.15, 0)]
JUDGED += [("all", "spectral_angle", 12.5, 0), ("iron", "spectral_angle", 7.25, 0)]
JUDGED += [("all", "abundance_rmse_constant", 0.41421, None)]
GIVEN = [("all", "relative_error", 0.0312, None)]


def count_rows(view: str, accepted: list[bool]) -> pd.DataFrame:
    return pd.DataFrame({
        "dataset": DATASET, "view": view, "endmember_count": "bootstrap", "endmembers": range(1, len(accepted) + 1),
        "singular_value": [30.5, 12.25, 5.0][: len(accepted)], "noise_up_to": 9.75, "accepted": accepted,
    })[ENDMEMBER_COUNTS.columns]  # fmt: skip


def quantity(phase: str, what: str, subject: str, value: float | None, **more) -> dict:
    limits = {"standard_error": None, "decision_limit": None, "detection_limit": None, "stated": None}
    about = {"study": STUDY, "dataset": DATASET, "phase": phase, "quantity": what, "subject": subject, "pixels": 40}
    return {**about, "value": value, **limits, "detected": True, **more}


AMOUNTS = pd.DataFrame([
    quantity("bridgmanite", "counts", "all", 81234.0, pixels=1640),
    quantity("bridgmanite", "counts", "Fe K", 900.0, pixels=1640, standard_error=30.0),
    quantity("bridgmanite", "ratio", "Mg/Si", 0.951, pixels=1640, standard_error=0.0125, stated=0.9),
    quantity("bridgmanite", "mass_ppm", "Fe", 98765.0, pixels=1640, standard_error=4321.0, stated=104000.0),
    quantity("bridgmanite", "mass_ppm", "Sm", None, pixels=1640, detection_limit=4100.0, detected=False),
    quantity("davemaoite", "counts", "all", 500.0, pixels=7),
]).astype({name: float for name in ("value", "standard_error", "decision_limit", "detection_limit", "stated")})[
    QUANTITIES.columns
]  # fmt: skip
SPEC = {"quantification": {"least_share": 0.7}}


@pytest.fixture
def topics(tmp_path):
    """The topics of a study with these tables, by title."""

    def topics(nmf=NMF + JUDGED, given=GIVEN, quantities=AMOUNTS, spec=SPEC, structure=STRUCTURE):
        tables = [
            put(tmp_path, f"endmember_counts/{DATASET}/{view}/bootstrap.parquet", count_rows(view, accepted),
                ENDMEMBER_COUNTS, dataset=DATASET, view=view)
            for view, accepted in (("counts", [False, False, True]), ("few", [False, False]))
        ]  # fmt: skip
        for view, name, rows in (("counts", "nmf3", nmf), ("shape", "given", given)):
            if rows:
                path = f"unmixings/{DATASET}/{view}/{name}.parquet"
                tables.append(put(tmp_path, path, scores(name, view, rows), UNMIXINGS, dataset=DATASET, view=view))
        if quantities is not None:
            tables.append(put(tmp_path, f"quantities/{STUDY}.parquet", quantities, QUANTITIES, study=STUDY))
        studies = {STUDY: {"dataset": DATASET, "views": [], "spaces": [], "maps": [], "clustered": []}}
        build_catalog(tmp_path / "matlas.duckdb", tables, tmp_path, studies=studies)
        return {t.title: t for t in unmixing_topics(open_store(tmp_path), STUDY, spec, structure)}

    return topics


def test_the_number_of_endmembers_is_said_for_each_view_with_what_was_tried(topics):
    topic = topics()["How many endmembers?"]
    assert topic.said[0].startswith("counts: the counts support 3.")
    assert topic.said[1].startswith("few: none up to 2 is enough.")
    assert [part.heading for part in topic.parts] == ["counts", "few"]
    assert topic.parts[0].rows == [["1", "30.5", "9.75", "no"], ["2", "12.25", "9.75", "no"], ["3", "5", "9.75", "yes"]]


def test_unmixings_have_the_median_and_the_range_over_seeds(topics):
    topic = topics()["Unmixing"]
    (part,) = topic.parts
    assert part.headers == ["View", "Unmixing", "#Seeds", "#Relative error", "#Other seeds differ by",
                            "#RMSE of shares", "#Right in the largest", "#Spectral angle (°)"]  # fmt: skip
    assert part.rows == [
        ["counts", "nmf3", "3", f"0.250 (0.125{TO}0.500)", f"0.075 (0.062{TO}0.087)", f"0.200 (0.100{TO}0.300)",
         "0.750", "12.5"],
        ["shape", "given", "1", "0.031", "–", "–", "–", "–"],
    ]  # fmt: skip
    assert "Equal shares in all pixels have an RMSE of 0.414" in topic.said[1]
    (folded,) = topic.folded
    assert folded.parts[0].rows == [["counts", "nmf3", "iron", "0.150", "7.25", "3"]]


def test_without_a_truth_nothing_is_said_of_right_and_wrong(topics):
    topic = topics(nmf=NMF)["Unmixing"]
    assert topic.parts[0].headers == ["View", "Unmixing", "#Seeds", "#Relative error", "#Other seeds differ by"]
    assert len(topic.said) == 1 and "RMSE" not in topic.said[0]


def test_only_the_unmixings_of_the_study_are_shown_and_missing_ones_are_named(topics):
    one = topics(structure=STRUCTURE | {"unmixed": [("shape", "given")], "counted": []})
    assert "How many endmembers?" not in one
    assert [row[:2] for row in one["Unmixing"].parts[0].rows] == [["shape", "given"]]
    with pytest.raises(
        DataError, match="scores of an unmixing are missing.*study first, shape/given.*Run the workflow"
    ):
        topics(given=None)


def test_phases_have_ratios_and_amounts_beside_what_is_stated(topics):
    topic = topics()["What the phases consist of"]
    assert "at least 0.7" in topic.said[0] and "bridgmanite: 1,640 and davemaoite: 7" in topic.said[0]
    assert topic.said[1] == "Not quantified, for want of pixels: davemaoite."
    ratios, amounts = topic.parts
    assert ratios.rows == [["bridgmanite", "Mg/Si", "0.951 ± 0.0125", "0.9"]]
    assert amounts.headers == ["Element", "#bridgmanite"]
    assert amounts.rows == [["Fe", "98,765 ± 4,321 (104,000)"], ["Sm", "not detected, limit 4,100"]]


def test_a_study_that_takes_nothing_apart_says_nothing_of_it(topics):
    assert topics(spec={"quantification": None}, structure={"dataset": DATASET}) == {}
    with pytest.raises(DataError, match="quantities are missing.*study first, quantification"):
        topics(quantities=AMOUNTS.assign(study="other"))


# tests on simulations


def records(rows: list[dict]) -> pd.DataFrame:
    return records_frame(STUDY, DATASET, rows)


def test_the_noise_topic_has_a_column_a_dose_and_a_row_a_method_and_contrast():
    at = {"test": "noise", "view": "shape", "representation": "pca4", "case": "kmeans", "n": 900}
    rows = [
        {**at, "x": dose, "seed": seed, "group": f"contrast {contrast}", "metric": metric, "value": value + 0.01 * seed}
        for metric, base in (("accuracy", 0.5), ("best_k", 2.0), ("ari", 0.1))
        for contrast in (1, 2)
        for dose, value in ((50.0, base), (200.0, base + 0.25 * contrast))
        for seed in range(3)
    ]  # fmt: skip
    topic = noise_topic(records(rows), {}, {})
    assert "other counts of a mean pixel (columns) and contrasts, 3 times each" in topic.said[0]
    k, right = topic.parts
    assert k.heading == "K with the largest silhouette" and k.headers == ["Method", "Contrast", "#50", "#200"]
    assert right.rows == [
        ["shape · pca4 · kmeans", "contrast 1", f"0.510 (0.500{TO}0.520)", f"0.760 (0.750{TO}0.770)"],
        ["shape · pca4 · kmeans", "contrast 2", f"0.510 (0.500{TO}0.520)", f"1.010 (1.000{TO}1.020)"],
    ]
    assert k.rows[0][2] == f"2.01 (2{TO}2.02)"


def test_the_noise_topic_of_shares_alone_knows_no_contrast():
    at = {"test": "noise", "view": "counts", "case": "nmf3", "n": 900, "seed": 0, "group": ""}
    rows = [{**at, "x": 50.0, "metric": m, "value": v} for m, v in (("abundance_rmse", 0.25), ("spectral_angle", 12.5))]
    topic = noise_topic(records(rows), {}, {})
    assert "mean pixel (columns), 1 times each" in topic.said[0]
    assert [(part.heading, part.rows) for part in topic.parts] == [
        ("RMSE of shares", [["counts · nmf3", "as it is", "0.250"]]),
        ("Spectral angle (°)", [["counts · nmf3", "as it is", "12.5"]]),
    ]


def test_the_pixel_fit_topic_has_a_row_a_method_with_precision_and_recall_of_each_phase():
    def rows(case, seconds, accuracy, precision, view="", representation=""):
        at = {"test": "pixel_fit", "case": case, "view": view, "representation": representation, "n": 9}
        found = [{**at, "group": "all", "metric": "seconds", "value": v, "seed": i} for i, v in enumerate(seconds)]
        found += [{**at, "group": "all", "metric": m, "value": accuracy} for m in ("accuracy", "ari")]
        found.append({**at, "group": "soft", "metric": "recall", "value": 0.5})
        return found + [{**at, "group": "soft", "metric": "precision", "value": p} for p in precision]

    table = records([
        *rows("pixel_fit", [8.0, 9.0, 8.5], 0.875, []), *rows("batched_fit", [2.0, 2.0], 0.75, [0.25]),
        *rows("kmeans", [0.125], 0.625, [0.5], "shape", "pca4"),
    ])  # fmt: skip
    topic = pixel_fit_topic(table, {"k": 3, "repeats": 3}, {})
    (part,) = topic.parts
    assert part.headers == ["Method", "#Seconds", "#Right", "#ARI", "#soft: precision / recall"]
    assert part.rows == [
        ["fit of each pixel", f"8.5 (8{TO}9)", "0.875", "0.875", "– / 0.500"],
        ["the same fit, all pixels together", "2", "0.750", "0.750", "0.250 / 0.500"],
        ["kmeans, K = 3: shape, pca4", "0.125", "0.625", "0.625", "0.500 / 0.500"],
    ]
    assert "by turns in one job, 3 times" in topic.said[0]


# what is simulated by design


@pytest.mark.parametrize(
    ("names", "by_design", "said"),
    [
        (["ores"], [], [("SAMPLE DATA", ["ores"])]),
        (["map"], ["map", "steel"], [("SIMULATED", ["map"])]),
        (["map", "ores"], {"map"}, [("SAMPLE DATA", ["ores"]), ("SIMULATED", ["map"])]),
        ([], ["map"], []),
    ],
)
def test_a_simulation_that_is_the_subject_is_not_called_sample_data(names, by_design, said):
    assert marked(names, by_design) == said


def test_the_page_marks_either_by_its_name():
    template = "{% for mark, names in made|marked(by_design) %}{{ mark }}: {{ names|join(', ') }}. {% endfor %}"
    page = _environment().from_string(template).render(made=["ores", "map"], by_design=["map"])
    assert page == "SAMPLE DATA: ores. SIMULATED: map. "


def test_a_simulation_by_design_reproduces_or_contradicts_and_every_verdict_has_a_tone():
    given = {(simulated, design): [verdict(measured, 1.0, 0.1, simulated=simulated, by_design=design)
                                   for measured in (1.05, 1.2, None)]
             for simulated in (False, True) for design in (False, True)}  # fmt: skip
    assert given == {
        (False, False): ["reproduced", "contradicted", "not evaluated"],
        (False, True): ["reproduced", "contradicted", "not evaluated"],  # weights or parts of it may be measured
        (True, False): ["agrees on simulated data", "differs on simulated data", "not evaluated"],
        (True, True): ["reproduced on simulated data", "contradicted on simulated data", "not evaluated"],
    }
    assert {v for verdicts in given.values() for v in verdicts} == set(TONES)
