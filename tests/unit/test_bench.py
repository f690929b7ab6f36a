"""The bench: how two sides are timed, what the numbers are held to, and what its page says of them."""

import itertools

import lxml.html
import pandas as pd
import pytest

from bench import measure
from bench.page import write_page
from bench.targets import judged, read_targets
from matlas.errors import ConfigError
from matlas.tables import read_table, write_table
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
