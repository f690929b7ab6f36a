"""Figures and tables of a study: their numbers, their files, and what they refuse."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from sklearn.metrics import adjusted_rand_score

from matlas.errors import ConfigError, DataError
from matlas.figures.draw import draw, tabulate
from matlas.figures.labels import spread_boxes, spread_line
from matlas.figures.properties import round_step
from matlas.figures.study_data import load_study_data
from matlas.figures.style import GENERATED, PALETTE, page
from matlas.lineage import Lineage
from matlas.tables import write_table
from schemas.config.datasets import CompositionDataset
from schemas.tables.analysis import AGREEMENT, METRICS, cluster_schema, representation_schema
from schemas.tables.dataset import REJECTS, dataset_schema

FAMILIES = {
    "Te": "chalcogenide", "Se": "chalcogenide", "Sb": "pnictide", "O": "oxide", "Ge": "tetrelide", "Fe": "pnictide",
    "Cu": "chalcogenide", "Co": "pnictide", "Mg": "tetrelide", "Ni": "tetrelide", "S": "chalcogenide", "Bi": "pnictide",
}  # fmt: skip
DATASET = CompositionDataset(
    kind="composition", path="toy.csv", key="measurement_id", formula="Formula",
    title="Toy", columns={"temperature": "T", "zt": "ZT", "electrical_conductivity": "s", "seebeck_coefficient": "S"},
    derived={"gap": {"sql": "zt", "unit": "eV", "description": "Gap, where known"}},
    flags={"odd": {"sql": "zt > 1", "description": "Odd"}},
)  # fmt: skip
VIEWS = ("element_fractions", "magpie")
KS = range(2, 13)
SVG = "{http://www.w3.org/2000/svg}"


def specs(**changes) -> dict[str, dict]:
    """One figure of each kind that needs no classes, as a study writes them."""
    boxes = {"properties": ["zt", "electrical_conductivity"], "log": ["electrical_conductivity"]}
    parameters = {
        "cluster_sweep": {}, "cluster_map": {}, "agreement": {}, "seed_spread": {},
        "property_map": {"property": "zt", "quantile": 0.9},
        "property_trend": {"property": "zt", "against": "temperature", "min_rows": 20},
        "property_boxes": boxes,
    }  # fmt: skip
    return {k: {"name": f"a_{k}", "kind": k, "clustering": "kmeans", **p, **changes} for k, p in parameters.items()}


def write_study(folder, *, rows=600, views=VIEWS, ks=KS, seeds=6, simulated=False, constant=False) -> list:
    """The tables of a study with as many families as the largest K; labels differ a little between views."""
    rng = np.random.default_rng(7)
    n_clusters, lineage = max(ks), Lineage(simulated=simulated)
    compounds = max(2, rows // 6)
    compound = np.sort(rng.integers(compounds, size=rows))
    family = compound * n_clusters // compounds
    elements = np.array(list(FAMILIES))[family % len(FAMILIES)]
    temperature = rng.choice([300.0, 373.0, 473.5, 600.0, 700.0, 810.0, 900.0], size=rows)
    zt = np.zeros(rows) if constant else rng.gamma(2, 0.1, rows) * (1 + family / 4) * temperature / 500
    conductivity = np.where(rng.random(rows) < 0.03, 0.0, 10 ** rng.normal(4, 1, rows))
    entities = pd.DataFrame(
        {
            "measurement_id": np.arange(1, rows + 1),
            "composition": [f"{e}{c + 1}X" for e, c in zip(elements, compound, strict=True)],
            "reduced_formula": [f"{e}{c // 2 + 1}X" for e, c in zip(elements, compound, strict=True)],
            "n_elements": 2, "chemical_family": [FAMILIES[e] for e in elements], "dominant_element": elements,
            "temperature": temperature, "zt": zt, "electrical_conductivity": conductivity,
            "seebeck_coefficient": rng.normal(0, 100, rows), "gap": np.where(rng.random(rows) < 0.5, np.nan, zt),
            "odd": zt > 1,
        }
    )  # fmt: skip
    paths = []

    def write(name, frame, schema, shuffled=True, **attributes):
        paths.append(folder / f"{name}.parquet")
        frame = frame.sample(frac=1, random_state=3, ignore_index=True) if shuffled else frame
        write_table(frame, paths[-1], schema, lineage=lineage, attributes=attributes)

    write("dataset", entities, dataset_schema("toy", DATASET), shuffled=False, dataset="toy")
    key = dataset_schema("toy", DATASET).fields[0]
    labelings = {}
    for number, view in enumerate(views):
        space = {"dataset": "toy", "view": view, "representation": "pca2"}
        angle = 2 * np.pi * family / n_clusters + number
        centre = np.stack([np.cos(angle), np.sin(angle)], axis=1) * (4 + family % 3)[:, None]
        scores = centre + rng.normal(0, 0.7, (rows, 2))
        frame = pd.DataFrame({"measurement_id": entities["measurement_id"], "z_0": scores[:, 0], "z_1": scores[:, 1]})
        write(f"scores_{view}", frame.assign(reconstruction_error=0.1), representation_schema("pca2", key, 2), **space)
        at_k = {k: np.where(rng.random(rows) < 0.1, rng.integers(k, size=rows), family * k // n_clusters) for k in ks}
        labelings |= {(view, k): labels for k, labels in at_k.items()}
        frame = pd.DataFrame({"measurement_id": entities["measurement_id"], "cluster": at_k[max(ks)], "distance": 1.0})
        frame = frame.assign(**{f"k_{k}": labels for k, labels in at_k.items()})
        write(f"labels_{view}", frame, cluster_schema("kmeans", key, list(ks)), **space, clustering="kmeans")
        ratios = [("explained_variance_ratio_0", 0.4 - number / 10), ("explained_variance_ratio_1", 0.2)]
        measured = [("pca2", pd.NA, metric, value, 0, "all") for metric, value in ratios]
        for seed in range(max(1, seeds)):
            split = "seed" if seed else "all"
            best = max(ks) - (seed % 3 if len(ks) > 3 else 0)
            measured.append(("kmeans", pd.NA, "best_k", best, seed, split))
            for k in ks:
                measured.append(("kmeans", k, "silhouette", 0.02 * min(k, best) + 0.004 * seed, seed, split))
                measured.append(("kmeans", k, "inertia", 1e5 / k + 100 * seed, seed, split))
        metrics = pd.DataFrame(measured, columns=["method", "k", "metric", "value", "seed", "split"]).assign(**space)
        metrics = metrics.astype({"k": "Int64", "seed": "Int64", "value": float})
        write(f"metrics_{view}", metrics, METRICS, **space)
    pairs = [
        ("toy_study", "kmeans", a[0], "pca2", a[1], b[0], "pca2", b[1], adjusted_rand_score(labelings[a], labelings[b]))
        for a, b in itertools.combinations(labelings, 2)
    ]
    write("agreement", pd.DataFrame(pairs, columns=AGREEMENT.columns), AGREEMENT, study="toy_study")
    rejects = pd.DataFrame(columns=REJECTS.columns).astype({"row": "int64"})
    write("rejects", rejects, REJECTS, dataset="toy")
    return paths


def loaded(paths, study, title, **about):
    return load_study_data(paths, study, title, described_by="dominant_element", **about)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return loaded(write_study(tmp_path_factory.mktemp("tables")), "toy_study", "A toy study")


def drawn(spec, data, folder) -> tuple[str, pd.DataFrame]:
    svg, csv = folder / f"{spec['name']}.svg", folder / f"{spec['name']}.csv"
    draw(spec, data, svg, csv)
    return svg.read_text(encoding="utf-8"), pd.read_csv(csv, keep_default_na=False, na_values=[""])


def texts(svg: str) -> str:
    """All text of an SVG as one line, so that wrapping does not matter."""
    return " ".join("".join(node.itertext()) for node in ET.fromstring(svg).iter(f"{SVG}text"))


def rows_of(data, view="magpie") -> pd.DataFrame:
    """Entities beside their cluster, joined by key from the tables as written."""
    clusters = data.spaces[view, "pca2"].clusters["kmeans"][["measurement_id", "cluster"]]
    return data.entities.merge(clusters, on="measurement_id")


@pytest.mark.parametrize("kind", specs())
def test_every_kind_draws_readable_xml_with_a_title_and_a_tidy_csv(kind, study, tmp_path):
    svg, csv = drawn(specs()[kind], study, tmp_path)
    root = ET.fromstring(svg)
    assert root.tag == f"{SVG}svg" and root.find(f"{SVG}title").text == f"A toy study: a_{kind}"
    assert len(csv) and not csv.columns.str.startswith("Unnamed").any()
    assert "element fractions" in texts(svg) and "magpie" in texts(svg)
    assert len(svg) < 400_000
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"a_{kind}.csv", f"a_{kind}.svg"]


@pytest.mark.parametrize("kind", specs())
def test_drawing_twice_gives_the_same_bytes_whatever_the_users_matplotlib_settings(kind, study, tmp_path):
    import matplotlib

    first = drawn(specs()[kind], study, tmp_path)[0]
    with matplotlib.rc_context({"font.size": 20, "svg.fonttype": "path", "axes.facecolor": "red"}):
        assert drawn(specs()[kind], study, tmp_path)[0] == first


@pytest.mark.parametrize("kind", specs())
def test_the_sample_data_mark_stands_in_figure_and_csv_exactly_when_data_are_simulated(kind, study, tmp_path):
    svg, csv = drawn(specs()[kind], study, tmp_path)
    assert "SAMPLE DATA" not in svg and "sample_data" not in csv
    study = replace(study, simulated=True)
    svg, csv = drawn(specs()[kind], study, tmp_path)
    assert texts(svg).count(f"SAMPLE DATA — {GENERATED}") == 1
    assert set(csv["sample_data"]) == {"generated, not measured"}


def test_one_simulated_table_makes_the_study_simulated(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "sample").mkdir()
    real = write_study(tmp_path / "real", rows=100, ks=[2, 3])
    sample = write_study(tmp_path / "sample", rows=100, ks=[2, 3], simulated=True)
    assert not loaded(real, "s", "S").simulated
    assert loaded([*real[:-2], sample[-2], real[-1]], "s", "S").simulated


def test_tables_are_aligned_by_key_though_each_stands_in_its_own_order(tmp_path):
    paths = write_study(tmp_path, rows=120, ks=[2, 3])
    data = loaded(reversed(paths), "s", "S")
    stored = pd.read_parquet(tmp_path / "labels_magpie.parquet").set_index("measurement_id")["cluster"]
    assert stored.index.tolist() != data.entities["measurement_id"].tolist()
    assert data.labels(("magpie", "pca2"), "kmeans").tolist() == stored.loc[data.entities["measurement_id"]].tolist()


def test_a_table_of_other_rows_or_of_another_dataset_is_refused(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    paths, shorter = write_study(tmp_path / "a", rows=100), write_study(tmp_path / "b", rows=99)
    with pytest.raises(DataError, match="missing \\[100\\]"):
        loaded([paths[0], *shorter[1:]], "s", "S")
    with pytest.raises(DataError, match="one dataset"):
        loaded([paths[0], *shorter], "s", "S")
    with pytest.raises(DataError, match="space without scores"):
        loaded([paths[0], *paths[2:]], "s", "S")


def test_sweep_csv_holds_the_reference_and_the_spread_over_all_seeds(study, tmp_path):
    svg, csv = drawn(specs()["cluster_sweep"], study, tmp_path)
    curve = csv[(csv["view"] == "magpie") & (csv["metric"] == "inertia")].set_index("k")
    assert curve.index.tolist() == list(KS)
    assert np.allclose(curve["value"], [1e5 / k for k in KS])
    # values of seeds 0…5 stand 100 apart: 5 % of the way from 0 to 500 is 25
    assert np.allclose(curve["low"] - curve["value"], 25) and np.allclose(curve["high"] - curve["value"], 475)
    assert set(csv["seeds"]) == {6} and set(csv.loc[csv["is_best_k"], "k"]) == {12}
    assert "largest at K = 12 for each view, the end of the sweep" in texts(svg)
    assert "can't be compared" in texts(svg)


def test_sweep_without_reruns_has_no_band(tmp_path):
    data = loaded(write_study(tmp_path, rows=100, seeds=0, views=["magpie"]), "s", "S")
    svg, csv = drawn(specs()["cluster_sweep"], data, tmp_path)
    assert csv["low"].isna().all() and set(csv["seeds"]) == {1}
    assert "Band" not in svg and "compared" not in svg
    with pytest.raises(
        ConfigError, match=r"seed_spread needs runs with other seeds \(a_seed_spread\).*stability.seeds"
    ):
        drawn(specs()["seed_spread"], data, tmp_path)


def test_seed_spread_csv_counts_the_reference_once_among_the_seeds(study, tmp_path):
    svg, csv = drawn(specs()["seed_spread"], study, tmp_path)
    best = csv[(csv["metric"] == "best_k") & (csv["view"] == "magpie")]
    assert best.set_index("seed")["value"].to_dict() == {0: 12, 1: 11, 2: 10, 3: 12, 4: 11, 5: 10}
    assert best[best["is_reference"]]["seed"].tolist() == [0]
    assert len(csv[csv["metric"] == "silhouette"]) == 2 * 6 * len(KS)
    assert "Over 6 seeds the silhouette picks K = 10 to 12 for each view" in texts(svg)


def test_cluster_map_csv_holds_each_row_and_the_mean_of_each_cluster(study, tmp_path):
    svg, csv = drawn(specs()["cluster_map"], study, tmp_path)
    csv = csv[csv["view"] == "magpie"]
    scores = study.spaces["magpie", "pca2"].scores.merge(rows_of(study), on="measurement_id")
    points = csv[csv["mark"] == "entity"]
    assert points["measurement_id"].tolist() == study.entities["measurement_id"].tolist()
    centroids = csv[csv["mark"] == "centroid"].set_index("cluster")
    assert sorted(centroids.index) == list(range(12))
    for cluster in range(12):
        members = scores[scores["cluster"] == cluster]
        assert np.isclose(centroids.loc[cluster, "z_0"], members["z_0"].sum() / len(members))
        counts = {e: (members["dominant_element"] == e).sum() for e in sorted(set(members["dominant_element"]))}
        element = max(counts, key=counts.get)
        assert centroids.loc[cluster, "dominant_element"] == element
        assert f"{cluster} · {element}" in texts(svg)
    assert "Component 1 (30.0 % of the variance)" in texts(svg) and "Component 2 (20.0 % of the variance)" in texts(svg)


def test_property_map_clips_at_the_quantile_and_says_so(study, tmp_path):
    svg, csv = drawn(specs()["property_map"], study, tmp_path)
    zt = study.entities["zt"].sort_values().to_numpy()
    place = 0.9 * (len(zt) - 1)
    top = zt[int(place)] + (place % 1) * (zt[int(place) + 1] - zt[int(place)])
    assert np.isclose(csv["shown"].max(), top)
    assert (csv["value"] > top).sum() == 2 * 60 and (csv["shown"] == csv["value"])[csv["value"] <= top].all()
    assert f"≥ {top:.3g}" in texts(svg) and "60 rows above" in texts(svg) and "ZT (dimensionless)" in texts(svg)


def test_property_map_shows_rows_without_the_property_in_grey_and_counts_them(study, tmp_path):
    svg, csv = drawn(specs(property="gap", quantile=1.0)["property_map"], study, tmp_path)
    missing = int(study.entities["gap"].isna().sum())
    assert f"Grey: {missing} rows without gap" in texts(svg) and csv["value"].isna().sum() == 2 * missing
    assert "≥" not in texts(svg) and "Gap (eV)" in texts(svg)


def test_trend_csv_holds_the_median_of_each_step_and_leaves_small_clusters_out(study, tmp_path):
    sizes = rows_of(study)["cluster"].value_counts()
    limit = int(sizes.sort_values().iloc[3]) + 1
    svg, csv = drawn(specs(min_rows=limit)["property_trend"], study, tmp_path)
    csv = csv[csv["view"] == "magpie"]
    assert set(csv["cluster"]) == set(sizes.index[sizes >= limit])
    small = [(rows_of(study, v)["cluster"].value_counts() < limit).sum() for v in VIEWS]
    each = f"{small[0]} for element fractions and {small[1]} for magpie"
    said = f"{small[0]} for each view" if small[0] == small[1] else each
    assert f"with fewer than {limit} rows: {said}." in texts(svg)
    assert sorted(set(csv["temperature"])) == [300, 350, 450, 600, 700, 800, 900]
    rows = rows_of(study)
    for line in csv.itertuples():
        inside = rows["temperature"].between(line.temperature - 25, line.temperature + 25, inclusive="left")
        values = sorted(rows.loc[inside & (rows["cluster"] == line.cluster), "zt"])
        assert line.rows == len(values)
        assert np.isclose(line.median, (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2)
    peaks = csv[csv["rows"] >= 5].groupby("cluster")["median"].max().sort_values(ascending=False)
    ranks = csv.drop_duplicates("cluster").set_index("cluster")["rank"]
    assert ranks.sort_values().index[: len(peaks)].tolist() == peaks.index.tolist()


def test_a_trend_with_more_lines_than_labels_fit_names_the_highlighted_ones_only(tmp_path):
    data = loaded(write_study(tmp_path, rows=1500, ks=[2, 36], views=["magpie"]), "s", "S")
    svg, csv = drawn(specs()["property_trend"], data, tmp_path)
    lines = csv.drop_duplicates("cluster")
    assert len(lines) > 30
    for line in lines.itertuples():
        named = f" {line.cluster} · {line.dominant_element} " in f" {texts(svg)} "
        assert named == (line.rank <= 4), line


def test_rows_without_a_value_are_counted_in_the_trend(study, tmp_path):
    svg, csv = drawn(specs(property="gap")["property_trend"], study, tmp_path)
    missing = int(study.entities["gap"].isna().sum())
    assert f"{missing} rows without one of the two values" in texts(svg)
    small = rows_of(study).dropna(subset="gap")["cluster"].value_counts()
    assert csv.loc[csv["view"] == "magpie", "rows"].sum() == small[small >= 20].sum()


def test_box_csv_counts_what_a_log_axis_cannot_show_and_keeps_it_in_the_quantiles(study, tmp_path):
    svg, csv = drawn(specs()["property_boxes"], study, tmp_path)
    rows = rows_of(study)
    zeros = int((rows["electrical_conductivity"] <= 0).sum())
    assert zeros > 0 and f"{zeros} rows with electrical conductivity of 0 or less" in texts(svg)
    csv = csv[csv["view"] == "magpie"]
    assert csv[csv["property"] == "electrical_conductivity"]["non_positive"].sum() == zeros
    for box in csv.itertuples():
        values = rows.loc[rows["cluster"] == box.cluster, box.property].to_numpy()
        assert box.rows == len(values)
        expected = np.percentile(values, [5, 25, 50, 75, 95])
        assert np.allclose([box.p5, box.q25, box.median, box.q75, box.p95], expected)
    for name in ("zt", "electrical_conductivity"):
        assert np.isclose(csv.loc[csv["property"] == name, "median_of_all"].iloc[0], np.median(rows[name]))
    first = csv[csv["property"] == "zt"]
    assert first["median"].is_monotonic_decreasing
    assert csv[csv["property"] == "electrical_conductivity"]["cluster"].tolist() == first["cluster"].tolist()


def test_agreement_csv_holds_every_pair_within_a_view_and_pairs_at_equal_k_between_views(study, tmp_path):
    svg, csv = drawn(specs()["agreement"], study, tmp_path)
    n = len(KS)
    assert csv["group"].value_counts().to_dict() == {
        "Between element fractions and magpie": n,
        "Within element fractions": n * (n - 1) // 2,
        "Within magpie": n * (n - 1) // 2,
    }
    between = csv[csv["comparison"] == "between"]
    assert (between["k_a"] == between["k_b"]).all()
    a, b = (study.spaces[view, "pca2"].clusters["kmeans"] for view in VIEWS)
    for pair in between.itertuples():
        assert np.isclose(pair.ari, adjusted_rand_score(a[f"k_{pair.k_a}"], b[f"k_{pair.k_a}"]))
    for _, values in csv.groupby("group")["ari"]:
        assert f"median {np.median(values):.2f}" in texts(svg)


def test_pairs_of_many_views_are_pooled_rather_than_drawn_in_dozens_of_panels(tmp_path):
    views = [*VIEWS, "deml", "megnet_el"]
    data = loaded(write_study(tmp_path, rows=60, views=views, ks=[2, 3, 4], seeds=1), "s", "S")
    svg, csv = drawn(specs()["agreement"], data, tmp_path)
    assert csv["group"].value_counts().to_dict() == {"Between two views": 6 * 3, "Within one view": 4 * 3}
    assert "Between two views (18 pairs)" in texts(svg)


def test_a_page_with_many_columns_goes_on_below_and_keeps_shared_scales(study):
    figure, axes = page(study, "Five", columns=5, rows=2, sharex="col", sharey="row")
    axes[0, 4].plot([0, 1], [0, 70])
    figure.draw_without_rendering()
    boxes = [ax.get_position().bounds for ax in axes.flat]
    assert axes.shape == (2, 5) and len({(round(x, 3), round(y, 3)) for x, y, *_ in boxes}) == 10
    assert axes[0, 3].get_position().y1 < axes[1, 0].get_position().y0  # the second band stands below the first
    assert axes[0, 0].get_ylim() == axes[0, 4].get_ylim() != axes[1, 0].get_ylim()


def test_ranking_orders_clusters_by_median_with_the_window_of_their_best_quarter(study, tmp_path):
    spec = {"name": "t", "kind": "cluster_ranking", "clustering": "kmeans", "rank_by": "zt", "window": "temperature"}
    tabulate(spec, study, tmp_path / "t.csv")
    table = pd.read_csv(tmp_path / "t.csv").query("view == 'magpie'").set_index("cluster")
    rows = rows_of(study)
    medians = {c: np.median(g["zt"]) for c, g in rows.groupby("cluster")}
    assert table.sort_values("rank").index.tolist() == sorted(medians, key=medians.get, reverse=True)
    for cluster, line in table.iterrows():
        own = rows[rows["cluster"] == cluster]
        assert line["rows"] == len(own) and line["compounds"] == len(set(own["composition"]))
        assert np.allclose(
            line[["zt_q25", "zt_median", "zt_q75"]].astype(float), np.percentile(own["zt"], [25, 50, 75])
        )
        best = own[own["zt"] >= np.percentile(own["zt"], 75)]
        window = line[["temperature_top_p5", "temperature_top_median", "temperature_top_p95"]].astype(float)
        assert line["top_rows"] == len(best) and np.allclose(window, np.percentile(best["temperature"], [5, 50, 95]))
        by_formula = {f: own.loc[own["reduced_formula"] == f, "zt"] for f in sorted(set(own["reduced_formula"]))}
        most = sorted(by_formula, key=lambda f, v=by_formula: -len(v[f]))[:3]
        finest = sorted(by_formula, key=lambda f, v=by_formula: -np.median(v[f]))[:3]
        assert line["compounds_most_measured"] == ", ".join(most) and line["compounds_best"] == ", ".join(finest)
        shares = own["dominant_element"].value_counts()
        assert line["dominant_elements"].startswith(f"{shares.index[0]} {100 * shares.iloc[0] / len(own):.0f} %")
        assert np.isclose(line["chemical_family_share"], np.mean(own["chemical_family"] == line["chemical_family"]))


@pytest.mark.parametrize("kind", specs())
def test_few_rows_one_view_and_a_constant_property_still_draw(kind, tmp_path):
    paths = write_study(tmp_path, rows=8, views=["magpie"], ks=[2, 3, 4], seeds=2, constant=True)
    data = loaded(paths, "small", "Small")
    svg, csv = drawn(specs(min_rows=1)[kind], data, tmp_path)
    assert len(csv) and "magpie" in texts(svg)


def test_a_property_without_positive_values_leaves_its_log_panel_empty_and_says_why(tmp_path):
    data = loaded(write_study(tmp_path, rows=60, ks=[2, 3, 4], constant=True), "s", "S")
    svg, csv = drawn(specs(properties=["zt"], log=["zt"])["property_boxes"], data, tmp_path)
    assert "no positive value" in texts(svg) and (csv["non_positive"] == csv["rows"]).all()


@pytest.mark.parametrize(
    ("kind", "changes", "says"),
    [
        ("property_map", {"property": None}, r"property_map needs the key 'property' \(a_property_map\)"),
        ("property_trend", {"against": None}, r"property_trend needs the key 'against' \(a_property_trend\)"),
        ("property_boxes", {"properties": []}, r"needs the key 'properties' \(a_property_boxes\)"),
        ("property_boxes", {"log": ["temperature"]}, r"log axis for 'temperature'.*\(a_property_boxes: log\)"),
        ("property_map", {"property": "ztt"}, r"unknown column 'ztt' \(a_property_map: property\): expected 'zt'"),
        ("property_map", {"property": "dominant_element"}, "not a column of numbers"),
        ("property_map", {"property": "odd"}, "not a column of numbers.*found bool"),
        ("property_map", {"quantile": 0.0}, r"bad value for 'quantile' \(a_property_map\)"),
        (
            "cluster_map",
            {"kind": "cluster_maps"},
            r"unknown kind of figure \(a_cluster_map\).*'cluster_map' \(nearest\)",
        ),
    ],
)
def test_a_bad_parameter_is_an_error_that_names_figure_and_key_and_leaves_no_file(kind, changes, says, study, tmp_path):
    with pytest.raises(ConfigError, match=says):
        drawn(specs(**changes)[kind], study, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_bad_table_is_an_error_too(study, tmp_path):
    with pytest.raises(ConfigError, match=r"cluster_ranking needs the key 'rank_by' \(t\)"):
        tabulate({"name": "t", "kind": "cluster_ranking", "clustering": "kmeans"}, study, tmp_path / "t.csv")
    with pytest.raises(ConfigError, match="unknown kind of table"):
        tabulate({"name": "t", "kind": "ranking"}, study, tmp_path / "t.csv")


def test_a_figure_that_fails_while_saving_leaves_the_old_one(study, tmp_path, monkeypatch):
    old, _ = drawn(specs()["cluster_sweep"], study, tmp_path)

    def full_disk(self, path, **_):
        path.write_text("half")
        raise OSError("no space left")

    monkeypatch.setattr(Figure, "savefig", full_disk)
    with pytest.raises(OSError, match="no space"):
        draw(specs()["cluster_sweep"], study, tmp_path / "a_cluster_sweep.svg", tmp_path / "new.csv")
    assert (tmp_path / "a_cluster_sweep.svg").read_text(encoding="utf-8") == old
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a_cluster_sweep.csv", "a_cluster_sweep.svg"]


@pytest.mark.parametrize(("low", "high", "step"), [(300, 900, 50), (0, 1.4, 0.1), (10, 1275, 100), (5, 5, 1)])
def test_steps_are_round_and_at_most_fifteen(low, high, step):
    assert np.isclose(round_step(pd.Series([low, high], dtype=float)), step)


def test_labels_beside_a_panel_keep_their_distance_and_their_order():
    wanted = np.array([0.5, 0.5, 0.52, 0.9, 0.0, 1.0])
    places = spread_line(wanted, 0.1, 0.0, 1.0)
    assert np.diff(np.sort(places)).min() >= 0.1 - 1e-12 and places.min() >= 0 and places.max() <= 1
    assert (places.argsort(kind="stable") == wanted.argsort(kind="stable")).all()
    assert np.allclose(places[:3], [0.5067 - 0.1, 0.5067, 0.5067 + 0.1], atol=1e-4)  # centred on their mean
    assert np.allclose(spread_line(np.zeros(5), 1.0, 0.0, 1.0), [0, 0.25, 0.5, 0.75, 1])


def test_labels_on_a_map_do_not_cover_one_another_even_where_centroids_coincide():
    rng = np.random.default_rng(0)
    anchors = np.concatenate([rng.uniform(0, 300, (6, 2)), np.full((6, 2), 150.0)])
    sizes = np.full((12, 2), (44.0, 15.0))
    places = spread_boxes(anchors, sizes, (0, 0, 300, 300))
    for a, b in itertools.combinations(range(12), 2):
        assert (np.abs(places[a] - places[b]) >= sizes[a]).any(), (a, b)
    assert (places - sizes / 2 >= 0).all() and (places + sizes / 2 <= 300).all()


def test_any_two_cluster_colours_stay_apart_for_colour_blind_readers():
    # simulation of full protanopia and deuteranopia: Machado et al. 2009; OKLab: Ottosson 2020
    sights = [
        np.eye(3),
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    ]
    to_lms = [[0.41222, 0.53633, 0.05145], [0.21190, 0.68070, 0.10740], [0.08830, 0.28172, 0.62998]]
    to_lab = [[0.21045, 0.79362, -0.00407], [1.97800, -2.42859, 0.45059], [0.02590, 0.78277, -0.80868]]
    srgb = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in PALETTE]) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    for sight in sights:
        seen = np.clip(linear @ np.transpose(sight), 0, 1)
        lab = np.cbrt(seen @ np.transpose(to_lms)) @ np.transpose(to_lab)
        assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(lab, 2)) > 0.09
