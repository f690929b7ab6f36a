"""Figures that judge clusterings of images by classes, conditions, alterations and planted outliers."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score

from matlas.errors import ConfigError, DataError
from matlas.evaluate.conditions import conditions
from matlas.evaluate.external import scores
from matlas.figures.classes import class_numbers, cluster_numbers, matched_classes
from matlas.figures.draw import FIGURES, draw, tabulate
from matlas.figures.parameters import narrowed
from matlas.figures.study_data import NOISE, load_study_data
from matlas.figures.style import FAINT, PALETTE, colour
from matlas.lineage import Lineage
from matlas.tables import write_table
from schemas.config.datasets import FolderLabels, ImageDataset
from schemas.config.studies import FIGURE_KEYS
from schemas.tables.analysis import (
    CONDITIONS,
    CONTINGENCY,
    INSPECTIONS,
    METRICS,
    SCORES,
    cluster_schema,
    representation_schema,
    sensitivity_schema,
)
from schemas.tables.dataset import dataset_schema

CLASSES = ("crazing", "inclusion", "patches", "pitted_surface", "rolled-in_scale", "scratches")
DATASET = ImageDataset(kind="image", path="images", title="Toy steel", labels=FolderLabels(by="folder"))
SCHEMA = dataset_schema("toy", DATASET)
KEY = SCHEMA.fields[0]
# how often a view puts an image into the cluster of its class
VIEWS = {"raw_pixels": 0.3, "resnet18_stage1": 0.5, "resnet18_stage2": 0.8, "resnet18": 0.6}
CLUSTERINGS = {"kmeans": 0.0, "ward": -0.05, "hdbscan": -0.1}
ALTERATIONS = ("quarter_turn", "darker", "blurred")
SEEDS = {"kmeans": (0, 1, 2), "ward": (0,), "hdbscan": (0,)}
KS = (2, 4, 6)
FOUND = 8
CONDITION = "brightness"
WEIGHTS = "ResNet18 weights; licence NON-COMMERCIAL"
SVG = "{http://www.w3.org/2000/svg}"


def spec(kind: str, **keys) -> dict:
    return {"name": f"a_{kind}", "kind": kind, **keys}


SPECS = {
    "cluster_map": {"clustering": "kmeans", "k": 6},
    "cluster_map_on_map": {"kind": "cluster_map", "clustering": "hdbscan", "map": "tsne"},
    "label_map": {"map": "tsne"},
    "property_map": {"property": CONDITION, "map": "tsne"},
    "property_boxes": {"clustering": "hdbscan", "properties": [CONDITION]},
    "score_summary": {"k": 6},
    "contingency": {"clustering": "kmeans"},
    "score_by_stage": {"k": 6},
    "condition_effects": {"clustering": "kmeans", "k": 6},
    "sensitivity": {},
    "outlier_recall": {},
}


def labelled(rng, truth, k, quality) -> np.ndarray:
    """Labels at k: those of the class with this probability, otherwise any."""
    at_random = rng.integers(k, size=len(truth))
    return np.where(rng.random(len(truth)) < quality, truth * k // len(CLASSES), at_random)


def write_study(
    folder, *, rows=180, views=VIEWS, clusterings=CLUSTERINGS, ks=KS, seeds=SEEDS, representations=("unit_rows",),
    alterations=ALTERATIONS, evaluated=True, unlabelled=0,
) -> list:  # fmt: skip
    """The tables of a study of images, in which clusters of pixels follow brightness."""
    rng = np.random.default_rng(5)
    truth = np.arange(rows) * len(CLASSES) // rows
    names = np.array(CLASSES)[truth]
    entities = pd.DataFrame(
        {
            "image_id": [f"{name}/{name}_{i}.jpg" for i, name in enumerate(names)], "label": names.astype(object),
            "width": 200, "height": 200, "bits": 8, "channels": 1, "conversion": "",
            "brightness": np.clip(0.3 + 0.05 * truth + rng.normal(0, 0.1, rows), 0, 1),
            "contrast": rng.uniform(0.05, 0.3, rows), "sharpness": rng.gamma(2, 0.01, rows),
            "sha256": [f"{i:064x}" for i in range(rows)], "similar_to": None, "duplicate": False,
            "near_duplicate": False,
        }
    )  # fmt: skip
    entities.loc[entities.index[:unlabelled], "label"] = None
    paths, runs = [], []

    def write(name, frame, schema, **attributes):
        paths.append(folder / f"{name}.parquet")
        write_table(frame, paths[-1], schema, lineage=Lineage(), attributes=attributes)

    def metric(space, method, name, value):
        row = {**space, "method": method, "k": pd.NA, "metric": name, "value": value, "seed": 0, "split": "all"}
        return pd.DataFrame([row]).astype({"k": "Int64", "seed": "Int64"})[METRICS.columns]

    write("dataset", entities, SCHEMA, dataset="toy")
    keys = entities[["image_id"]]
    for number, (view, quality) in enumerate(views.items()):
        centres = rng.normal(0, 3, (len(CLASSES), 2))
        for name in (*representations, "tsne"):
            space = {"dataset": "toy", "view": view, "representation": name}
            place = centres[truth] + rng.normal(0, 1 / quality, (rows, 2))
            frame = keys.assign(z_0=place[:, 0], z_1=place[:, 1])
            write(f"{name}_{view}", frame, representation_schema(name, KEY, 2, rebuilt=False), **space)
            what = ("trustworthiness", 0.9 + number / 100) if name == "tsne" else ("n_features", 2.0)
            write(f"{name}_{view}_metrics", metric(space, name, *what), METRICS, **space)
            for clustering, better in clusterings.items() if name != "tsne" else ():
                own = clustering == "hdbscan"
                labels = {
                    (seed, k): labelled(rng, truth, k, max(0.0, quality + better + (k == FOUND) * 0.1))
                    for seed in seeds[clustering]
                    for k in ([FOUND] if own else ks)
                }
                if own:
                    labels[0, FOUND][rng.random(rows) < 0.1] = NOISE
                best = labels[0, FOUND if own else max(ks)]
                swept = {} if own else {f"k_{k}": labels[0, k] for k in ks}
                frame = keys.assign(cluster=best, distance=1.0, **swept)
                about = {**space, "clustering": clustering}
                write(
                    f"{clustering}_{name}_{view}", frame, cluster_schema(clustering, KEY, [*ks][: len(swept)]), **about
                )
                columns = {f"seed_{s}_k_{k}": values for (s, k), values in labels.items()}
                runs.append((about, pd.DataFrame(columns, index=entities.set_index("image_id").index)))
    if not evaluated:
        return paths
    by_key = entities.set_index("image_id")
    scored, counted = scores("steel", runs, by_key["label"])
    write("scores", scored, SCORES, study="steel")
    write("contingency", counted, CONTINGENCY, study="steel")
    swept = [(about, frame) for about, frame in runs if about["clustering"] != "hdbscan"]
    if swept:
        split_on = by_key[["brightness", "contrast", "sharpness"]]
        write("conditions", conditions("steel", swept, split_on, by_key["label"]), CONDITIONS, study="steel")
    copies = [
        {"study": "steel", "dataset": "toy", "view": view, "image_id": key, "alteration": alteration,
         "travel": travel, "spread": 2.0, "ratio": travel / 2}
        for v, view in enumerate(views)
        for a, alteration in enumerate(alterations)
        for key, travel in zip(keys["image_id"][:40], rng.gamma(4, 1.5 / (1 + a + v), 40), strict=True)
    ]  # fmt: skip
    write("sensitivity", pd.DataFrame(copies), sensitivity_schema(KEY), study="steel")
    recalls = [
        {"study": "steel", "dataset": "toy", "view": view, "inspection": "tiny_clusters", "order": order,
         "seed": seed, "inspected": n, "recall": min(1.0, n / 60 * speed * (0.6 + v / 10) + seed / 100)}
        for v, view in enumerate(views)
        for order, speed in (("tiny_clusters", 1.0), ("distance", 1.4), ("random", 0.2))
        for seed in range(3)
        for n in range(1, 61)
    ]  # fmt: skip
    write("inspections", pd.DataFrame(recalls), INSPECTIONS, study="steel")
    return paths


def loaded(paths, **about):
    about = {"label": "label", "described_by": "label"} | about
    return load_study_data(paths, "steel", "Steel surfaces", **about)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    restrictions = {view: WEIGHTS for view in VIEWS if view.startswith("resnet18")}
    return loaded(write_study(tmp_path_factory.mktemp("tables")), restrictions=restrictions)


def drawn(name_or_spec, data, folder) -> tuple[str, pd.DataFrame]:
    """The text of the SVG as one line, so that wrapping does not matter, and the CSV."""
    keys = SPECS[name_or_spec] if isinstance(name_or_spec, str) else name_or_spec
    a_spec = spec(**({"kind": name_or_spec} | keys)) if isinstance(name_or_spec, str) else keys
    svg, csv = folder / "figure.svg", folder / "figure.csv"
    draw(a_spec, data, svg, csv)
    root = ET.fromstring(svg.read_text(encoding="utf-8"))
    text = " ".join("".join(node.itertext()) for node in root.iter(f"{SVG}text"))
    return text, pd.read_csv(csv, keep_default_na=False, na_values=[""])


def truth_of(data) -> pd.Series:
    return data.entities["label"]


def best_matching(counts: pd.DataFrame) -> int:
    """Most entities that any one-to-one matching of classes (rows) and clusters puts together, by trying all."""
    if counts.shape[0] > counts.shape[1]:
        counts = counts.T
    values = counts.to_numpy()
    columns = itertools.permutations(range(values.shape[1]), values.shape[0])
    return max(sum(values[i, j] for i, j in enumerate(chosen)) for chosen in columns)


def test_every_kind_that_a_study_may_ask_for_is_drawn_by_a_function():
    assert set(FIGURES) == set(FIGURE_KEYS)


@pytest.mark.parametrize("name", SPECS)
def test_every_kind_draws_the_same_bytes_twice_and_a_csv_of_what_it_shows(name, study, tmp_path):
    text, csv = drawn(name, study, tmp_path)
    first = (tmp_path / "figure.svg").read_bytes()
    assert len(csv) and "raw pixels" in text and "resnet18" in text and set(VIEWS) == set(csv["view"])
    drawn(name, study, tmp_path)
    assert (tmp_path / "figure.svg").read_bytes() == first


@pytest.mark.parametrize("name", SPECS)
def test_the_licence_of_weights_stands_below_exactly_those_figures_that_show_their_views(name, study, tmp_path):
    said = "resnet18_stage1, resnet18_stage2 and resnet18: ResNet18 weights; licence NON-COMMERCIAL."
    assert drawn(name, study, tmp_path)[0].count(said) == 1
    if name == "score_by_stage":
        return
    keys = {"kind": name, **SPECS[name]}
    text, csv = drawn(spec(**keys, views=["raw_pixels"]), study, tmp_path)
    assert set(csv["view"]) == {"raw_pixels"} and "NON-COMMERCIAL" not in text
    text, _ = drawn(spec(**keys, views=["raw_pixels", "resnet18"]), study, tmp_path)
    assert "resnet18: ResNet18 weights; licence NON-COMMERCIAL." in text and "resnet18_stage1" not in text


def test_a_view_that_a_figure_could_show_but_does_not_brings_no_licence(study, tmp_path):
    spaces = dict(study.spaces)
    spaces["resnet18", "unit_rows"] = replace(spaces["resnet18", "unit_rows"], clusters={})
    text, csv = drawn("cluster_map", replace(study, spaces=spaces), tmp_path)
    assert "resnet18" not in set(csv["view"]) and "resnet18_stage1 and resnet18_stage2: ResNet18" in text


def test_maps_stand_apart_from_the_spaces_that_are_clustered(study):
    assert list(study.spaces) == [(view, "unit_rows") for view in VIEWS]
    assert list(study.maps) == [(view, "tsne") for view in VIEWS]
    assert [space.trustworthiness for space in study.maps.values()] == [0.9, 0.91, 0.92, 0.93]


def test_a_study_without_clusterings_still_has_its_representations_as_spaces(tmp_path):
    data = loaded(write_study(tmp_path, clusterings={}, evaluated=False))
    assert list(data.spaces) == [(view, "unit_rows") for view in VIEWS] and len(data.maps) == len(VIEWS)
    _, csv = drawn(spec("property_map", property=CONDITION), data, tmp_path)
    assert set(csv["representation"]) == {"unit_rows"}


def test_figures_at_k_show_the_labels_of_that_k(study, tmp_path):
    text, csv = drawn(spec("cluster_map", clustering="kmeans", k=2, views=["resnet18"]), study, tmp_path)
    stored = study.spaces["resnet18", "unit_rows"].clusters["kmeans"]
    points = csv[csv["mark"] == "entity"]
    assert points["cluster"].tolist() == stored["k_2"].tolist() != stored["cluster"].tolist()
    assert "kmeans at K = 2" in text and "1 · " in text and "2 · " not in text
    with pytest.raises(ConfigError, match=r"no labels at K = 5 \(raw_pixels / unit_rows / kmeans\).*\[2, 4, 6\]"):
        drawn(spec("cluster_map", clustering="kmeans", k=5), study, tmp_path)
    with pytest.raises(ConfigError, match="finds its own number"):
        drawn(spec("cluster_map", clustering="hdbscan", k=6), study, tmp_path)


def test_a_cluster_has_the_colour_of_its_class_whatever_its_number(study):
    codes = truth_of(study).map({name: i for i, name in enumerate(CLASSES)})
    renamed = codes.map(dict(enumerate([3, 5, 0, 1, 4, 2])))
    assert class_numbers(study) == {name: i for i, name in enumerate(CLASSES)}
    assert cluster_numbers(study, renamed) == {3: 0, 5: 1, 0: 2, 1: 3, 4: 4, 2: 5}
    split = renamed.where(np.arange(len(renamed)) % 10 > 0, 9)  # a tenth of every class in a cluster of no class
    split[codes == 5] = NOISE
    numbers = cluster_numbers(study, split)
    assert {c: numbers[c] for c in (3, 5, 0, 1, 4)} == {3: 0, 5: 1, 0: 2, 1: 3, 4: 4}
    assert 9 in numbers and numbers[NOISE] == NOISE and colour(NOISE) == FAINT not in PALETTE


def test_clusters_of_no_class_take_colours_that_no_class_has(study):
    labels = study.labels(("resnet18", "unit_rows"), "hdbscan")
    numbers = cluster_numbers(study, labels)
    matched = matched_classes(study, labels)
    others = {cluster: number for cluster, number in numbers.items() if cluster not in matched and cluster != NOISE}
    assert len(matched) == 6 and sorted(others.values()) == [6, 7]
    assert {numbers[cluster] for cluster in matched} == set(range(6))


def test_the_matching_of_clusters_to_classes_is_the_best_there_is(study):
    for view, k in itertools.product(VIEWS, KS):
        labels = study.labels((view, "unit_rows"), "kmeans", k)
        counts = pd.crosstab(truth_of(study), labels)
        stands_for = matched_classes(study, labels)
        assert len(set(stands_for.values())) == len(stands_for) <= min(k, 6)
        assert sum(counts.at[label, cluster] for cluster, label in stands_for.items()) == best_matching(counts)


def test_without_classes_clusters_keep_the_colours_of_their_numbers(study):
    bare = replace(study, label=None, described_by=None)
    labels = bare.labels(("resnet18", "unit_rows"), "kmeans")
    assert cluster_numbers(bare, labels) == {c: c for c in range(6)}
    assert set(bare.cluster_names(labels).values()) == set("012345")


def test_without_a_describing_column_tables_have_none_and_clusters_plain_numbers(study, tmp_path):
    bare = replace(study, label=None, described_by=None)
    text, csv = drawn(spec("cluster_map", clustering="kmeans"), bare, tmp_path)
    assert "label" not in csv and "most common" not in text
    text, csv = drawn(spec("property_boxes", clustering="kmeans", properties=[CONDITION]), bare, tmp_path)
    assert list(csv)[:6] == ["view", "representation", "clustering", "property", "cluster", "rows"]
    tabulate({"name": "t", "kind": "cluster_ranking", "clustering": "kmeans", "rank_by": CONDITION}, study,
             tmp_path / "t.csv")  # fmt: skip
    ranked = pd.read_csv(tmp_path / "t.csv")
    assert "labels" in ranked and "compounds" not in ranked and ranked["labels"].str.contains(" %").all()


def test_clusters_on_a_map_stand_at_the_places_of_the_map_and_noise_has_no_centroid(study, tmp_path):
    text, csv = drawn("cluster_map_on_map", study, tmp_path)
    points, centroids = (csv[csv["mark"] == mark] for mark in ("entity", "centroid"))
    for view in VIEWS:
        places = study.maps[view, "tsne"].scores
        here = points[points["view"] == view]
        assert np.allclose(here[["z_0", "z_1"]], places[["z_0", "z_1"]]) and here["image_id"].notna().all()
        inside = (here["cluster"] == 3).to_numpy()
        centroid = centroids[(centroids["view"] == view) & (centroids["cluster"] == 3)]
        assert np.allclose(centroid[["z_0", "z_1"]], places.loc[inside, ["z_0", "z_1"]].mean())
    assert (points["cluster"] == NOISE).any() and not (centroids["cluster"] == NOISE).any()
    assert "trustworthiness of 0.91" in text and "A 2-D map is not evidence for groups" in text
    assert "hdbscan, which finds its own K" in text and "Grey: noise" in text
    with pytest.raises(ConfigError, match=r"unknown map \(a_cluster_map: map\): expected 'tsne' \(nearest\)"):
        FIGURES["cluster_map"](spec("cluster_map", clustering="kmeans", map="tsme"), study)
    with pytest.raises(ConfigError, match=r"unknown clustering \(a_cluster_map: clustering\).*'kmeans' \(nearest\)"):
        FIGURES["cluster_map"](spec("cluster_map", clustering="kmean"), study)


def test_true_classes_stand_on_the_map_and_entities_without_one_are_counted(tmp_path):
    data = loaded(write_study(tmp_path, unlabelled=7, views={"raw_pixels": 0.3}, evaluated=False))
    text, csv = drawn("label_map", data, tmp_path)
    assert csv["label"].isna().sum() == 7 and "Grey: 7 rows without a class" in text
    assert csv["label"].dropna().tolist() == data.entities["label"].dropna().tolist()
    assert np.allclose(csv[["z_0", "z_1"]], data.maps["raw_pixels", "tsne"].scores[["z_0", "z_1"]])
    assert all(name in text for name in CLASSES) and "trustworthiness of 0.90" in text
    with pytest.raises(DataError, match="a label_map needs classes"):
        drawn("label_map", replace(data, label=None), tmp_path)


def test_the_summary_holds_the_spread_over_seeds_of_every_clustering_of_every_view(study, tmp_path):
    text, csv = drawn("score_summary", study, tmp_path)
    assert len(csv) == len(VIEWS) * len(CLUSTERINGS) * 3 and set(csv["metric"]) == {"ari", "nmi", "purity"}
    ari = csv[csv["metric"] == "ari"].set_index(["view", "clustering"])
    for view in VIEWS:
        space = (view, "unit_rows")
        ward = adjusted_rand_score(truth_of(study), study.labels(space, "ward", 6))
        found = adjusted_rand_score(truth_of(study), study.labels(space, "hdbscan"))
        assert np.allclose(ari.loc[(view, "ward"), ["median", "low", "high"]].astype(float), ward)
        assert np.isclose(ari.at[(view, "hdbscan"), "median"], found)
        stored = study.scores.query("view == @view and clustering == 'kmeans' and k == 6 and metric == 'ari'")["value"]
        low, middle, high = sorted(stored)
        assert np.allclose(ari.loc[(view, "kmeans"), ["low", "median", "high"]].astype(float), [low, middle, high])
    assert set(csv.loc[csv["found_k"], "clustering"]) == {"hdbscan"}
    assert set(csv.loc[csv["found_k"], "k"]) == {FOUND} and set(csv.loc[~csv["found_k"], "k"]) == {6}
    view, clustering = ari["median"].idxmax()
    assert f"Nearest to the classes: {clustering} on {view.replace('_', ' ')}" in text
    assert "hdbscan found the K beside the dot" in text and text.count("K = 8") == len(VIEWS) + ("K = 8 it" in text)


def test_how_far_view_and_algorithm_move_the_score_is_said_by_pairs_that_differ_in_one_of_them(study, tmp_path):
    value = {("raw_pixels", "kmeans"): 0.1, ("raw_pixels", "ward"): 0.2, ("resnet18", "kmeans"): 0.5,
             ("resnet18", "ward"): 0.9, ("resnet18_stage1", "kmeans"): 0.3}  # fmt: skip
    planted = study.scores[study.scores["metric"] == "ari"].copy()
    planted["value"] = [value.get(place) for place in zip(planted["view"], planted["clustering"], strict=True)]
    planted = replace(study, scores=planted.dropna(subset="value"))
    text, _ = drawn("score_summary", planted, tmp_path)
    view = np.mean([0.4, 0.7, 0.2, 0.2])  # kmeans raw-resnet, ward raw-resnet, kmeans with stage1: 0.3-0.1, 0.5-0.3
    algorithm = np.mean([0.1, 0.4])
    assert f"with the view by {view:.2f} and with the algorithm by {algorithm:.2f}" in text


def test_a_k_that_has_no_scores_is_an_error_that_names_those_there_are(study, tmp_path):
    asked = replace(study, scores=study.scores[study.scores["clustering"] == "kmeans"])
    with pytest.raises(DataError, match=r"no scores at K = 7 .*\[2, 4, 6\]"):
        drawn(spec("score_summary", k=7), asked, tmp_path)
    with pytest.raises(DataError, match="no scores to draw"):
        drawn(spec("score_summary", k=6), replace(study, scores=None), tmp_path)


@pytest.mark.parametrize(("clustering", "k"), [("kmeans", 6), ("kmeans", 4), ("hdbscan", None)])
def test_the_contingency_counts_each_class_in_each_cluster_of_the_reference_run(clustering, k, study, tmp_path):
    keys = {} if k in (None, 6) else {"k": k}
    text, csv = drawn(spec("contingency", clustering=clustering, **keys), study, tmp_path)
    for view in VIEWS:
        counts = pd.crosstab(truth_of(study), study.labels((view, "unit_rows"), clustering, k))
        here = csv[csv["view"] == view]
        assert (here.pivot(index="label", columns="cluster", values="entities") == counts).all(axis=None)
        clusters = counts.drop(columns=NOISE, errors="ignore")
        assert here.loc[here["matched"], "entities"].sum() == best_matching(clusters)
        assert not (here["matched"] & (here["cluster"] == NOISE)).any()
        assert np.allclose(here.groupby("label")["share"].sum(), 1)
    seeds = study.scores.query("clustering == @clustering and view == 'resnet18' and metric == 'ari'")
    ari = seeds.loc[seeds["k"] == (k or FOUND), "value"]
    spread = f"({ari.min():.2f} to {ari.max():.2f}, 3 seeds)" if clustering == "kmeans" else "(one run)"
    assert f"ARI {ari.median():.2f} {spread}" in text
    assert ("noise" in text) == (clustering == "hdbscan")


def test_the_contingency_puts_matched_cells_on_the_diagonal(study):
    for view, k in itertools.product(VIEWS, (4, 6)):
        asked = spec("contingency", clustering="kmeans", k=k, views=[view])
        figure, table = FIGURES["contingency"](asked, narrowed(asked, study))
        (ax,) = figure.axes
        assert [tick.get_text() for tick in ax.get_yticklabels()] == list(CLASSES)
        shown = [int(tick.get_text()) for tick in ax.get_xticklabels()]
        matched = table[(table["view"] == view) & table["matched"]].set_index("cluster")["label"]
        assert [matched[cluster] for cluster in shown] == sorted(matched) and len(shown) == k


@pytest.mark.parametrize("views", [["resnet18"], ["raw_pixels", "resnet18"], list(VIEWS)])
def test_the_title_of_the_contingency_speaks_of_all_seeds_and_of_each_view(views, study, tmp_path):
    text, _ = drawn(spec("contingency", clustering="kmeans", views=views), study, tmp_path)
    runs = study.contingency.query("clustering == 'kmeans' and k == 6 and matched")
    medians = {}
    for view in views:
        counts = runs[runs["view"] == view].set_index(["seed", "label"])["entities"].unstack("label", fill_value=0)
        medians[view] = (100 * counts / 30).median()
    best = max(views, key=lambda view: medians[view].mean())
    for view in views if 1 < len(views) < 4 else [best]:
        (high, low), (kept, lost) = medians[view].agg(["max", "min"]), medians[view].agg(["idxmax", "idxmin"])
        if 1 < len(views) < 4:
            assert f"{kept} ({high:.0f} %) and {lost} ({low:.0f} %) on {view.replace('_', ' ')}" in text
        else:
            said = f"keeps {kept} together best ({high:.0f} % in its own cluster) and {lost} least ({low:.0f} %)"
            assert said in text
    assert ("On resnet18 stage2, kmeans" in text) == (len(views) == 4)


def test_stages_of_a_network_stand_in_order_and_other_views_beside_them(study, tmp_path):
    text, csv = drawn("score_by_stage", study, tmp_path)
    stages = csv.dropna(subset="stage").drop_duplicates("view").set_index("view")["stage"]
    assert stages.to_dict() == {"resnet18_stage1": 1, "resnet18_stage2": 2, "resnet18": 3}
    assert csv.loc[csv["stage"].isna(), "view"].unique().tolist() == ["raw_pixels"]
    assert set(csv["clustering"]) == {"kmeans", "ward"}  # hdbscan was not asked for 6
    peak = csv.loc[csv["median"].idxmax()]
    assert f"best at stage 2 of 3 ({peak['clustering']}, ARI {peak['median']:.2f}) in resnet18" in text
    assert "Dashed: raw pixels" in text and "3 (last)" in text
    with pytest.raises(DataError, match="no network with several stages"):
        drawn(spec("score_by_stage", k=6, views=["raw_pixels", "resnet18"]), study, tmp_path)


def test_condition_effects_hold_the_spread_over_seeds_and_say_what_clusters_split_on(study, tmp_path):
    text, csv = drawn("condition_effects", study, tmp_path)
    stored = study.conditions.query("view == 'raw_pixels' and clustering == 'kmeans' and k == 6")
    for condition, effect in itertools.product(("brightness", "contrast", "sharpness"), ("of_cluster", "within_label")):
        low, middle, high = sorted(stored.loc[stored["condition"] == condition, f"effect_{effect}"])
        row = csv.query("view == 'raw_pixels' and condition == @condition and effect == @effect").iloc[0]
        assert np.allclose([row["low"], row["median"], row["high"]], [low, middle, high]) and row["seeds"] == 3
    assert "split on no condition more than the classes do" in text
    planted = study.conditions.copy()
    planted.loc[(planted["condition"] == "contrast") & (planted["view"] == "raw_pixels"), "effect_of_cluster"] = 0.9
    text, _ = drawn("condition_effects", replace(study, conditions=planted), tmp_path)
    assert "split more than the classes do" in text and "contrast in 1 of 4" in text and "sharpness in 0 of 4" in text
    assert "; within a class" not in text
    planted.loc[(planted["condition"] == "sharpness") & (planted["view"] == "resnet18"), "effect_within_label"] = 0.91
    text, _ = drawn("condition_effects", replace(study, conditions=planted), tmp_path)
    assert "; within a class, clusters of resnet18 explain up to 91 % of sharpness" in text
    with pytest.raises(DataError, match=r"no effects of kmeans at K = 3.*\[2, 4, 6\]"):
        drawn(spec("condition_effects", clustering="kmeans", k=3), study, tmp_path)


def test_condition_effects_without_classes_speak_of_clusters_alone(study, tmp_path):
    nothing = study.conditions.assign(effect_of_label=np.nan, effect_within_label=np.nan)
    text, csv = drawn("condition_effects", replace(study, conditions=nothing, label=None), tmp_path)
    assert set(csv["effect"]) == {"of_cluster"} and "classes" not in text and "explain most of brightness" in text


def test_sensitivity_holds_quantiles_of_travel_over_spread_and_names_the_worst(study, tmp_path):
    text, csv = drawn("sensitivity", study, tmp_path)
    for row in csv.itertuples():
        ratios = study.sensitivity.query("view == @row.view and alteration == @row.alteration")["ratio"]
        expected = np.percentile(ratios, [5, 25, 50, 75, 95])
        assert np.allclose([row.p5, row.q25, row.median, row.q75, row.p95], expected) and row.copies == 40
    worst = csv.loc[csv["median"].idxmax()]
    assert (worst["alteration"], worst["view"]) == ("quarter_turn", "raw_pixels")
    assert f"Quarter turn moves copies furthest: in raw pixels {worst['median']:.2f} times the spread" in text
    assert "At 1 (dashed)" in text and "another of its class" in text


@pytest.mark.parametrize(("factor", "scale"), [(1.0, "linear"), (1000.0, "log")])
def test_the_sensitivity_axis_is_logarithmic_only_where_views_differ_by_orders_of_magnitude(factor, scale, study):
    wide = study.sensitivity.copy()
    wide.loc[wide["view"] == "raw_pixels", "ratio"] *= factor
    figure, _ = FIGURES["sensitivity"](spec("sensitivity"), replace(study, sensitivity=wide))
    low, high = figure.axes[0].get_xlim()
    assert figure.axes[0].get_xscale() == scale and low < 1 < high


def test_recall_holds_median_and_range_over_plantings_and_says_what_each_order_found(study, tmp_path):
    text, csv = drawn("outlier_recall", study, tmp_path)
    row = csv.query("view == 'resnet18_stage2' and order == 'tiny_clusters' and inspected == 30").iloc[0]
    base = 30 / 60 * 0.8  # seeds add 0, 0.01 and 0.02
    assert np.allclose([row["low"], row["median"], row["high"]], [base, base + 0.01, base + 0.02]) and row["seeds"] == 3
    assert "first 60 entities: tiny clusters 61 to 91 %, distance 85 to 100 % and random 13 to 19 %" in text
    assert "planted artefacts" in text


def test_filters_narrow_what_a_figure_shows_to_views_representations_and_clusterings(tmp_path):
    data = loaded(write_study(tmp_path, representations=("as_is", "unit_rows"), rows=60))
    text, csv = drawn(spec("score_summary", k=6, representations=["as_is"], clusterings=["ward"]), data, tmp_path)
    assert set(csv["representation"]) == {"as_is"} and set(csv["clustering"]) == {"ward"}
    assert "raw pixels, as is" in text or "as is" in text
    _, csv = drawn(spec("cluster_map", clusterings=["ward"], views=["resnet18"]), data, tmp_path)
    assert set(csv["clustering"]) == {"ward"} and set(csv["view"]) == {"resnet18"}


@pytest.mark.parametrize(
    ("keys", "column", "names"),
    [
        ({"kind": "score_by_stage", "k": 6, "views": ["vgg16", "vgg16_stage1"]}, "view", ["vgg16", "vgg16_stage1"]),
        ({"kind": "score_summary", "k": 6, "representations": ["pca50"]}, "representation", ["pca50"]),
        ({"kind": "score_summary", "k": 6, "clusterings": ["gmm"]}, "clustering", ["gmm"]),
        ({"kind": "contingency", "clustering": "gmm"}, "clustering", ["gmm"]),
        ({"kind": "exemplars", "clustering": "ward", "views": ["raw_pixels", "vgg16"]}, "clustering", ["ward"]),
        ({"kind": "label_map", "map": "umap"}, "map", ["umap"]),
        ({"kind": "cluster_map", "clustering": "ward", "map": "tsne"}, "map", ["tsne"]),
    ],
)
def test_a_figure_of_what_only_left_out_views_have_says_so_instead_of_stopping_the_study(
    keys, column, names, study, tmp_path
):
    raw = study.spaces["raw_pixels", "unit_rows"]
    without = {name: labels for name, labels in raw.clusters.items() if name != "ward"}
    spaces = study.spaces | {("raw_pixels", "unit_rows"): replace(raw, clusters=without)}
    maps = {("raw_pixels", "tsne"): study.maps["raw_pixels", "tsne"]}
    text, csv = drawn(spec(**keys), replace(study, spaces=spaces, maps=maps), tmp_path)
    assert "Not drawn" in text and " and ".join(names) in text and "This run has no" in text
    assert csv[[column, "drawn"]].to_dict("list") == {column: names, "drawn": [False] * len(names)}


def test_stages_and_searches_of_views_that_are_left_out_are_not_drawn(study, tmp_path):
    raw = narrowed(spec("score_by_stage", views=["raw_pixels"]), study)
    for views in ({}, {"views": ["raw_pixels", "resnet18", "resnet18_stage1"]}):
        text, csv = drawn(spec("score_by_stage", k=6, **views), raw, tmp_path)
        assert "Not drawn" in text and not csv["drawn"].any()
    text, _ = drawn("outlier_recall", replace(raw, inspections=None), tmp_path)
    assert "Not drawn" in text
    assert "Not drawn" not in drawn("outlier_recall", raw, tmp_path)[0]


def test_a_table_of_a_clustering_that_is_left_out_holds_its_name(study, tmp_path):
    asked = {"name": "t", "kind": "cluster_ranking", "clustering": "gmm", "rank_by": CONDITION}
    tabulate(asked, study, tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text() == "clustering,drawn\ngmm,False\n"


def test_rows_of_a_restricted_view_carry_the_terms_of_its_weights_into_the_csv(study, tmp_path):
    _, csv = drawn("score_summary", study, tmp_path)
    assert set(csv.loc[csv["view"] != "raw_pixels", "weights"]) == {WEIGHTS}
    assert csv.loc[csv["view"] == "raw_pixels", "weights"].isna().all()
    assert "weights" not in drawn("score_summary", replace(study, restrictions={}), tmp_path)[1]


def test_a_cluster_on_a_map_is_named_after_the_class_whose_colour_it_has(study, tmp_path):
    # three clusters, of which 0 and 1 are mostly crazing: only one of them can stand for it
    space, truth = ("raw_pixels", "unit_rows"), truth_of(study)
    labels = np.where(truth == "crazing", 0, 2)
    labels[truth == "crazing"] = np.arange(30) % 5 >= 3  # 18 in cluster 0, 12 in cluster 1
    labels[np.flatnonzero(truth == "inclusion")[:8]] = 1
    held = study.spaces[space].clusters["kmeans"].assign(cluster=labels)
    data = replace(study, spaces={space: replace(study.spaces[space], clusters={"kmeans": held})})
    text, csv = drawn(spec("cluster_map", clustering="kmeans"), data, tmp_path)
    centroid = csv[csv["mark"] == "centroid"].set_index("cluster").loc[1]
    assert (centroid["label"], centroid["stands_for"]) == ("crazing", "inclusion")
    assert "1 · inclusion" in text and "1 · crazing" not in text and "0 · crazing" in text
    assert cluster_numbers(data, pd.Series(labels))[1] == class_numbers(data)["inclusion"]
    assert "the class that it is matched with and has the colour of; without one its most common label" in text


def test_a_label_or_description_that_the_dataset_lacks_is_refused(tmp_path):
    paths = write_study(tmp_path, views={"raw_pixels": 0.5}, rows=30, evaluated=False)
    with pytest.raises(DataError, match="unknown column 'lable'.*'label' \\(nearest\\)"):
        loaded(paths, label="lable")
    with pytest.raises(DataError, match="unknown column 'dominant_element'"):
        loaded(paths, described_by="dominant_element")


def test_scores_of_another_dataset_are_refused(tmp_path):
    paths = write_study(tmp_path, views={"raw_pixels": 0.5}, rows=60, clusterings={"kmeans": 0.0})
    (scores_path,) = [path for path in paths if path.stem == "scores"]
    other = pd.read_parquet(scores_path).assign(dataset="other")
    write_table(other, scores_path, SCORES)
    with pytest.raises(DataError, match="table is about another dataset.*expected toy, found other"):
        loaded(paths)
