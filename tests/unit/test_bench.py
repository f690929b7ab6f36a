"""The bench: how two sides are timed, what the numbers are held to, and what its page says of them."""

import itertools
import subprocess

import lxml.html
import numpy as np
import pandas as pd
import pytest

from bench import cube, measure, overhead
from bench.page import write_page
from bench.targets import judged, read_targets
from matlas.errors import ConfigError
from matlas.tables import read_table, write_table
from schemas.fields import FIELDS
from schemas.tables.analysis import cluster_schema
from schemas.tables.bench import BENCH


def test_both_sides_are_timed_in_turn_and_paired(monkeypatch):
    # what each call takes, in the order of the calls: peer, ours, then ours, peer
    took = iter([8.0, 2.0, 1.0, 6.0])
    clock = itertools.count()
    now = 0.0

    def perf_counter():
        nonlocal now
        now += next(took) if next(clock) % 2 else 0.0
        return now

    monkeypatch.setattr(measure.time, "perf_counter", perf_counter)
    order = []
    rows = measure.compare(
        "sorting", "Sorting", lambda: order.append("ours"), lambda: order.append("peer"), lambda a, b: None, repeats=2
    )
    assert order == ["ours", "peer", "peer", "ours", "ours", "peer"]  # the first two prove that they agree
    by_metric = {row["metric"]: (row["value"], row["low"], row["high"]) for row in rows}
    assert by_metric == {
        "ratio": (5.0, 4.0, 6.0), "ratio_of_fastest": (6.0, 6.0, 6.0), "ours": (1.5, 1.0, 2.0), "peer": (7.0, 6.0, 8.0)
    }  # fmt: skip


def test_sides_that_disagree_are_not_timed():
    def agree(ours, peer):
        assert ours == peer

    with pytest.raises(AssertionError):
        measure.compare("sums", "Sums", lambda: 1, lambda: 2, agree)


def measured() -> pd.DataFrame:
    """A ratio that meets its target but for the fastest times, one that meets it, and a limit that is passed."""
    return pd.DataFrame([
        measure.measured("uneven", "Uneven work", "ratio", [4.0, 5.0, 6.0]),
        measure.measured("uneven", "Uneven work", "ratio_of_fastest", [2.5]),
        measure.measured("uneven", "Uneven work", "peer", [123.5], "s"),
        measure.measured("even", "Even work", "ratio", [3.5]),
        measure.measured("even", "Even work", "ratio_of_fastest", [3.25]),
        measure.measured("alone", "Lonely work", "peak", [1500.0], "MB"),
        measure.measured("alone", "Lonely work", "seconds", [10.0], "s"),
    ])  # fmt: skip


TARGETS = {
    "uneven": {"ratio": {"least": 3}}, "even": {"ratio": {"least": 3}}, "alone": {"peak": {"most": 1000}},
    "not_run": {"ratio": {"least": 1}},
}  # fmt: skip


def test_a_ratio_must_reach_its_target_by_median_and_by_fastest_times():
    rows = judged(measured(), TARGETS).set_index(["comparison", "metric"])
    assert rows["met"].to_dict() == {
        ("uneven", "ratio"): True, ("uneven", "ratio_of_fastest"): False, ("uneven", "peer"): True,
        ("even", "ratio"): True, ("even", "ratio_of_fastest"): True, ("alone", "peak"): False,
        ("alone", "seconds"): True,
    }  # fmt: skip
    assert rows.loc[("alone", "peak"), ["least", "most"]].isna().tolist() == [True, False]


def test_a_target_of_something_that_is_not_measured_is_refused():
    with pytest.raises(ConfigError, match="peek"):
        judged(measured(), {"alone": {"peek": {"most": 1000}}})


def test_targets_are_read_as_they_stand_and_other_limits_refused(tmp_path):
    assert read_targets()["crystal_geometry"] == {"ratio": {"least": 20}}
    (tmp_path / "targets.yaml").write_text("sorting: {ratio: {lest: 3}}")
    with pytest.raises(ConfigError, match="lest"):
        read_targets(tmp_path / "targets.yaml")


def test_the_page_shows_ratios_with_their_spread_and_what_falls_short(tmp_path):
    about = {"bench": "work", "finished": "2026-01-01T00:00:00+00:00", "took": "9 s", "commit": "c0ffee", "cores": "2",
             "machine": "x86_64", "numpy": "9.9"}  # fmt: skip
    path = tmp_path / "bench" / "work.parquet"
    write_table(judged(measured(), TARGETS), path, BENCH, attributes=about)
    assert len(read_table(path)) == 7
    page = lxml.html.parse(str(write_page(tmp_path))).getroot()
    ratios, limits, runs = ([[cell.text_content() for cell in row.iter("td")] for row in table.iter("tr")][1:]
                            for table in page.iter("table"))  # fmt: skip
    assert ratios == [["Uneven work", "5", "4 to 6 (3)", "2.5", "≥ 3", "falls short"],
                      ["Even work", "3.5", "–", "3.25", "≥ 3", "met"]]  # fmt: skip
    assert limits[0] == ["Lonely work", "peak", "1,500 MB", "–", "≤ 1,000 MB", "falls short"]
    assert runs == [["work", about["finished"], "9 s", "c0ffee", "2", "x86_64"]]
    text = page.text_content()
    assert "Falls short: Uneven work; Lonely work." in text and "numpy 9.9" in text
    assert "123.5" not in text  # bare seconds of a side


def write_results(folder, cluster=1, distance=0.5, figure="<svg/>"):
    """A source, a table of labels and a figure, as a side of the comparison leaves them; the folder."""
    labels = pd.DataFrame({"measurement_id": [1, 2], "cluster": [0, cluster], "distance": [distance, 2.0]})
    write_table(labels, folder / "clusters" / "kmeans.parquet", cluster_schema("kmeans", FIELDS["measurement_id"], []))
    for name, text in {"figures/map.svg": figure, "sources/rows.csv": str(folder)}.items():
        (folder / name).parent.mkdir()
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize("other", [{"cluster": 0}, {"distance": 0.5 + 1e-6}, {"figure": "<svg></svg>"}])
def test_the_workflow_and_the_script_agree_to_nine_digits_in_every_file_but_the_source(tmp_path, other):
    ours = write_results(tmp_path / "ours")
    overhead.agree(ours, write_results(tmp_path / "same", distance=0.5 + 1e-12))
    with pytest.raises(AssertionError):
        overhead.agree(ours, write_results(tmp_path / "other", **other))


def test_a_file_that_only_one_side_wrote_is_named(tmp_path):
    ours, script = write_results(tmp_path / "ours"), write_results(tmp_path / "script")
    (script / "figures" / "map.svg").unlink()
    with pytest.raises(AssertionError, match="map.svg"):
        overhead.agree(ours, script)


def test_the_cost_of_the_workflow_is_its_time_less_the_script_s_by_jobs(monkeypatch):
    monkeypatch.delenv("MATLAS_MIRROR", raising=False)
    monkeypatch.setattr(overhead, "_snakemake", lambda folder, target: None)
    monkeypatch.setattr(
        overhead, "in_turn", lambda ours, peer, agree, repeats: ([30.0, 40.0, 20.0], [15.0, 30.0, 16.0])
    )
    monkeypatch.setattr(overhead, "read_costs", lambda logs: [{}] * 5)
    rows = {row["metric"]: row for row in overhead.run()}
    assert [rows["seconds_a_job"][name] for name in ("low", "value", "high")] == [0.8, 2.0, 3.0]
    assert [rows["share"][name] for name in ("low", "value", "high")] == [0.2, 0.25, 0.5]
    assert rows["ratio"]["value"] == 0.75 and rows["ratio_of_fastest"]["value"] == 0.75  # the script is faster
    assert "5 jobs" in rows["seconds_a_job"]["title"] and "sample data" in rows["ratio"]["title"]
    assert judged(pd.DataFrame(rows.values()), read_targets())["met"].all()


def test_a_process_that_takes_too_long_is_stopped(tmp_path, monkeypatch):
    (tmp_path / "napping.py").write_text("import time; time.sleep(60)")
    (tmp_path / "counting.py").write_text("import sys, json; print('hello'); print(json.dumps(sys.argv[1:]))")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(subprocess.TimeoutExpired):
        measure.in_new_process("napping", limit=0.5)
    assert measure.in_new_process("counting", "1", "2", limit=60) == ["1", "2"]


def test_the_planted_image_is_five_phases_that_differ_by_more_than_their_noise(tmp_path):
    phase = cube.write_cube(tmp_path / "cube.npy", (40, 50, 256))
    image = np.load(tmp_path / "cube.npy")
    assert image.shape == (40, 50, 256) and image.dtype == np.float32 and set(phase.ravel()) == set(range(5))
    shapes = image / image.mean(axis=2, keepdims=True)  # without the brightness
    means = np.array([shapes[phase == number].mean(axis=0) for number in range(5)])
    nearest = ((shapes[..., None, :] - means) ** 2).sum(axis=-1).argmin(axis=-1)
    assert (nearest == phase).all()
    corners = image.mean(axis=2)[[0, -1], [0, -1]]
    expected = means[phase] * image.mean(axis=2, keepdims=True)
    assert 0.95 < ((image - expected) ** 2 / expected).mean() < 1.05  # variance: as of counts
    assert corners[1] < 0.9 * corners[0]


SMALL = (6, 7, 16)


def test_without_hyperspy_the_image_is_clustered_and_the_page_says_why_nothing_stands_beside_it(monkeypatch):
    def clustered(project, what):
        truth = cube.write_cube(project / "again.npy", SMALL).ravel()
        labels = pd.DataFrame({"pixel_id": np.arange(truth.size) + 1, "cluster": truth, "distance": 0.0, "k_5": truth})
        write_table(labels, project / cube.LABELS, cluster_schema("kmeans", FIELDS["pixel_id"], [5]))
        return 12.0, 345.0

    monkeypatch.setattr(cube, "find_spec", lambda name: None)
    monkeypatch.setattr(cube, "SIZE", SMALL)
    monkeypatch.setattr(cube, "copy_with_study", lambda project, study: (project / "data").mkdir(parents=True))
    monkeypatch.setattr(cube, "timed", clustered)
    rows = pd.DataFrame(cube.run())
    assert dict(zip(rows["metric"], rows["value"], strict=True)) == {
        "seconds": 12.0, "peak": 345.0, "ari_to_truth": 1.0, "compared": 0.0
    }  # fmt: skip
    assert "not installed" in rows["title"].iloc[-1]
    assert judged(rows, read_targets())["met"].all()
