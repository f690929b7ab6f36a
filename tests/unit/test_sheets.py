"""Figures that show images: which images are chosen, and that they stand there as they are."""

from __future__ import annotations

import base64
import io
import math
import statistics
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import AxesImage
from matplotlib.text import Text
from PIL import Image

from matlas.errors import ConfigError, DataError
from matlas.figures.sheets import PIXELS, evenly_spaced, exemplars, image_examples, outliers, short_names
from matlas.figures.study_data import Space, StudyData
from matlas.figures.style import look, save
from schemas.fields import FIELDS

CLASSES = ("pearlite", "spheroidite+widmanstatten", "scratches")
SPACE = ("pixels", "pca2")
HREF = "{http://www.w3.org/1999/xlink}href"
SVG = "{http://www.w3.org/2000/svg}"


def make_study(folder, *, n=60, sizes=((20, 20),), spaces=(SPACE,), label="label", noise=0, **changes) -> StudyData:
    """n images of a grey of their own, in shuffled order, in three classes and clusters at the best K, two at K = 2;
    the first `noise` rows are in no cluster."""
    rng = np.random.default_rng(5)
    order = rng.permutation(n)
    keys = [f"part_{i % 2}/{CLASSES[i % 3]}_{i:03d}.png" for i in order]
    for i, key in zip(order, keys, strict=True):
        (folder / key).parent.mkdir(exist_ok=True)
        width, height = sizes[i % len(sizes)]
        Image.fromarray(np.full((height, width), 60 + i % 100, dtype=np.uint8)).save(folder / key)
    classes = [CLASSES[i % 3] for i in order]
    made = {}
    for space in spaces:
        scores = rng.normal(0, 1, (n, 2)) + 6 * np.array([[i % 3, (i % 3) ** 2] for i in order])
        cluster = np.array([i % 3 if row >= noise else -1 for row, i in enumerate(order)])
        frame = pd.DataFrame({"image_id": keys, "z_0": scores[:, 0], "z_1": scores[:, 1]})
        frame["reconstruction_error"] = rng.gamma(2, 20, n)  # no coordinate
        labels = {"image_id": keys, "cluster": cluster, "k_2": order % 2, "k_3": cluster}
        made[space] = Space(frame, {"kmeans": pd.DataFrame(labels)})
    return StudyData(
        study="s", title="S", dataset="toy", fields={name: FIELDS[name] for name in ("image_id", "label")},
        entities=pd.DataFrame({"image_id": keys, "label": classes}), simulated=False, key="image_id", spaces=made,
        label=label, images=folder, **changes,
    )  # fmt: skip


def spec(**keys) -> dict:
    return {"name": "sheet", "kind": "exemplars", "clustering": "kmeans", **keys}


def texts(figure) -> str:
    return " ".join(text.get_text() for text in figure.findobj(Text))


def points_by_cluster(data, column) -> dict[int, dict[str, tuple[float, float]]]:
    """Cluster -> key -> place, as plain numbers."""
    scores, labels = data.spaces[SPACE].scores, data.spaces[SPACE].clusters["kmeans"][column]
    found: dict = {}
    for key, x, y, cluster in zip(scores["image_id"], scores["z_0"], scores["z_1"], labels, strict=True):
        found.setdefault(int(cluster), {})[key] = (float(x), float(y))
    return found


def mean_of(points) -> tuple[float, ...]:
    return tuple(statistics.fmean(coordinate) for coordinate in zip(*points, strict=True))


def drawn_images(figure, path) -> list[tuple[np.ndarray, float, float]]:
    """Grey values of each image in the SVG, and its width and height on the page in points."""
    save(figure, path, "sheet")
    found = []
    for node in ET.parse(path).iter(f"{SVG}image"):
        png = base64.b64decode(node.get(HREF).split(",", 1)[1])
        a, b, c, d, *_ = (float(x) for x in node.get("transform").removeprefix("matrix(").removesuffix(")").split())
        size = float(node.get("width")) * math.hypot(a, b), float(node.get("height")) * math.hypot(c, d)
        found.append((np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))[:, :, 0], *size))
    return found


@pytest.mark.parametrize(("k", "column"), [(None, "cluster"), (2, "k_2")])
def test_exemplars_are_the_images_nearest_to_the_mean_of_their_cluster(k, column, tmp_path):
    data = make_study(tmp_path)
    _, table = exemplars(spec(images=4, k=k), data)
    expected = []
    for cluster, members in sorted(points_by_cluster(data, column).items()):
        centre = mean_of(members.values())
        by_distance = sorted((math.dist(place, centre), key) for key, place in members.items())
        expected += [(cluster, rank + 1, key, d) for rank, (d, key) in enumerate(by_distance[:4])]
    assert list(table[["cluster", "rank", "image_id"]].itertuples(index=False, name=None)) == [e[:3] for e in expected]
    assert table["distance"].tolist() == pytest.approx([e[3] for e in expected])
    assert set(table["k"]) == {k or 3}
    classes = data.entities.set_index("image_id")["label"]
    assert table["label"].tolist() == classes[table["image_id"]].tolist()


def test_every_space_has_its_own_exemplars_below_its_name(tmp_path):
    data = make_study(tmp_path, spaces=(SPACE, ("resnet18", "pca2")))
    figure, table = exemplars(spec(images=2), data)
    assert table.groupby("view", sort=False).size().to_dict() == {"pixels": 6, "resnet18": 6}
    assert "pixels" in texts(figure) and "resnet18" in texts(figure) and "3 clusters for each view" in texts(figure)
    assert len(drawn_images(figure, tmp_path / "sheet.svg")) == 12


def test_a_row_title_counts_the_cluster_and_says_100_percent_only_of_a_pure_one(tmp_path):
    data = make_study(tmp_path, n=900)
    other = data.entities.index[data.labels(SPACE, "kmeans") == 1][0]
    data.entities.loc[other, "label"] = CLASSES[0]
    words = texts(exemplars(spec(images=1), data)[0])
    assert "cluster 0" in words and words.count("300 images") == 3
    assert f"100 % {CLASSES[0]}" in words and f"99 % {CLASSES[1]}" in words  # 299 of 300
    assert "%" not in texts(exemplars(spec(images=1), make_study(tmp_path, label=None))[0])


def test_outliers_are_ordered_by_the_distance_to_the_nearest_centroid(tmp_path):
    data = make_study(tmp_path, noise=5)
    data.spaces[SPACE].scores.loc[2, ["z_0", "z_1"]] = (80.0, -70.0)  # far from everything, and in no cluster
    _, table = outliers(spec(images=3), data)
    points = points_by_cluster(data, "cluster")
    centres = {cluster: mean_of(members.values()) for cluster, members in points.items() if cluster != -1}
    everything = {key: place for members in points.values() for key, place in members.items()}
    found = {key: min((math.dist(place, at), c) for c, at in centres.items()) for key, place in everything.items()}
    order = sorted(found, key=lambda key: -found[key][0])[:6]
    median = statistics.median(distance for distance, _ in found.values())
    assert table["image_id"].tolist() == order and order[0] == data.entities["image_id"][2]
    assert table["rank"].tolist() == [1, 2, 3, 4, 5, 6]
    assert table["cluster"].tolist() == [found[key][1] for key in order]
    assert table["distance"].tolist() == pytest.approx([found[key][0] for key in order])
    assert table["relative_distance"].tolist() == pytest.approx([found[key][0] / median for key in order])


def test_an_outlier_is_captioned_with_its_key_and_its_distance_in_medians(tmp_path):
    figure, table = outliers(spec(images=3), make_study(tmp_path))
    captions = [text.get_text() for text in figure.axes[0].texts]
    at = captions.index(f"{table['relative_distance'][0]:.2f} × median")
    key = table["image_id"][0]
    start, end = captions[at - 1].split("…") if "…" in captions[at - 1] else (captions[at - 1], "")
    stem = key.split("/")[1].removesuffix(".png")
    assert stem.startswith(start) and stem.endswith(end)


def test_images_at_their_centroids_have_no_relative_distance(tmp_path):
    data = make_study(tmp_path, n=6)
    data.spaces[SPACE].scores[["z_0", "z_1"]] = 1.5
    figure, table = outliers(spec(images=3), data)
    assert table["relative_distance"].isna().all() and "distance 0" in texts(figure)


def test_noise_is_in_no_row_of_exemplars_and_counted_below_them(tmp_path):
    data = make_study(tmp_path, noise=7)
    figure, table = exemplars(spec(images=12), data)
    assert table["cluster"].min() == 0 and not table["image_id"].isin(data.entities["image_id"][:7]).any()
    assert "7 images" in texts(figure).split("In no cluster")[1]


@pytest.mark.parametrize("kind", [exemplars, outliers])
def test_a_clustering_that_found_no_cluster_is_said_to_have_none_beside_those_that_did(kind, tmp_path):
    alone = make_study(tmp_path, noise=60)
    alone.spaces[SPACE].clusters["kmeans"] = alone.spaces[SPACE].clusters["kmeans"][["image_id", "cluster"]]
    figure, table = kind(spec(images=2), alone)
    assert "no cluster" in texts(figure) and "finds its own K" in texts(figure) and "best K" not in texts(figure)
    assert len(table) == 1 and table["view"].tolist() == ["pixels"] and table["k"].tolist() == [0]
    assert table[["image_id", "cluster", "rank", "distance"]].isna().all(axis=None)
    assert drawn_images(figure, tmp_path / "sheet.svg") == []
    both = make_study(tmp_path, spaces=(SPACE, ("resnet18", "pca2")))
    expected = kind(spec(images=2), both)[1].query("view == 'resnet18'")
    both.spaces[SPACE].clusters["kmeans"]["cluster"] = -1
    figure, table = kind(spec(images=2), both)
    assert "no cluster" in texts(figure) and table["image_id"].dropna().tolist() == expected["image_id"].tolist()
    assert list(table) == list(expected) and table["cluster"].dropna().tolist() == expected["cluster"].tolist()


@pytest.mark.parametrize(
    ("n", "m", "expected"), [(10, 3, [1, 5, 8]), (300, 6, [25, 75, 125, 175, 225, 275]), (3, 6, [0, 1, 2]), (7, 1, [3])]
)
def test_examples_are_the_middles_of_equal_parts(n, m, expected):
    assert evenly_spaced(n, m).tolist() == expected


def test_examples_are_evenly_spaced_among_the_sorted_keys_of_each_class_whatever_the_order_of_rows(tmp_path):
    data = make_study(tmp_path)
    data.entities.loc[0, "label"] = None
    figure, table = image_examples(spec(images=2), data)
    for name in CLASSES:
        keys = sorted(data.entities.loc[data.entities["label"] == name, "image_id"])
        chosen = table[table["label"] == name]
        expected = [len(keys) // 4 + 1, 3 * len(keys) // 4 + 1]
        assert chosen["position"].tolist() == expected
        assert chosen["image_id"].tolist() == [keys[position - 1] for position in expected]
    assert "1 image without a class" in texts(figure) and "evenly spaced" in texts(figure)


def test_without_classes_there_are_four_rows_of_examples(tmp_path):
    data = make_study(tmp_path, label=None)
    figure, table = image_examples(spec(images=3), data)
    keys = sorted(data.entities["image_id"])
    assert list(table) == ["position", "image_id"]
    assert table["image_id"].tolist() == keys[2::5] and table["position"].tolist() == list(range(3, 61, 5))
    tops = {round(image.get_extent()[3], 3) for image in figure.findobj(AxesImage)}
    assert len(tops) == 4 and len(figure.findobj(AxesImage)) == 12


def test_images_keep_their_shape_in_equal_cells_and_their_grey_values(tmp_path):
    data = make_study(tmp_path, n=12, sizes=((40, 20), (16, 16), (30, 60), (8, 2)))
    figure, table = image_examples(spec(images=4), data)
    drawn = drawn_images(figure, tmp_path / "sheet.svg")
    assert len(drawn) == len(table) == 12
    for key, (grey, width, height) in zip(table["image_id"], drawn, strict=True):
        stored = np.asarray(Image.open(tmp_path / key))
        np.testing.assert_array_equal(grey, stored)  # not stretched: each has one grey of its own
        assert width / height == pytest.approx(stored.shape[1] / stored.shape[0], rel=1e-3)
        assert max(width, height) == pytest.approx(PIXELS * 0.75, rel=1e-3)


def test_a_large_image_is_scaled_down_to_the_size_of_a_thumbnail(tmp_path):
    data = make_study(tmp_path, n=3, sizes=((880, 440),))
    figure, table = image_examples(spec(images=1), data)
    drawn = drawn_images(figure, tmp_path / "sheet.svg")
    assert [grey.shape for grey, *_ in drawn] == [(55, 110)] * 3
    assert [int(grey[0, 0]) for grey, *_ in drawn] == [60 + int(key[-7:-4]) for key in table["image_id"]]


@pytest.mark.parametrize("kind", [image_examples, exemplars, outliers])
def test_no_label_covers_an_image_or_another_label_or_leaves_the_page(kind, tmp_path):
    data = make_study(tmp_path, sizes=((30, 5), (20, 20)), spaces=(SPACE, ("resnet18", "pca2")))
    long = {CLASSES[0]: "a class with a name that is much longer than any column of names can be"}
    data.entities["label"] = data.entities["label"].replace(long)
    with look("sheet"):
        figure, _ = kind(spec(), data)
        page = figure.bbox
        boxes = [text.get_window_extent() for text in [*figure.axes[0].texts, *figure.texts] if text.get_text()]
        images = [image.get_window_extent() for image in figure.findobj(AxesImage)]
    assert len(boxes) > 6 and len(images) >= 18
    for i, box in enumerate(boxes):
        assert box.x0 >= 0 and box.x1 <= page.x1 and box.y0 >= 0 and box.y1 <= page.y1
        assert not any(_overlap(box, other) for other in [*boxes[:i], *images])
    for i, image in enumerate(images):
        assert image.x0 >= 0 and image.x1 <= page.x1 and image.y0 >= 0 and image.y1 <= page.y1
        assert not any(_overlap(image, other) for other in images[:i])


def _overlap(a, b) -> bool:
    """Whether two boxes share more than a hair; lines of text stand as close as their descenders."""
    return min(a.x1, b.x1) - max(a.x0, b.x0) > 0.5 and min(a.y1, b.y1) - max(a.y0, b.y0) > 2


def test_a_sheet_of_36_noisy_images_stays_under_a_megabyte_and_has_the_same_bytes_twice(tmp_path):
    data = make_study(tmp_path, n=36)
    rng = np.random.default_rng(0)
    for key in data.entities["image_id"]:  # as rough as the roughest classes of steel surfaces
        Image.fromarray(rng.normal(128, 25, (200, 200)).clip(0, 255).astype(np.uint8)).save(tmp_path / key)
    files = [tmp_path / "a.svg", tmp_path / "b.svg"]
    for path in files:
        with look("sheet"):
            save(image_examples(spec(images=12), data)[0], path, "sheet")
    assert files[0].stat().st_size < 1_000_000
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_missing_image_stops_with_its_path_and_what_to_do(tmp_path):
    data = make_study(tmp_path)
    key = exemplars(spec(images=1), data)[1]["image_id"][1]
    (tmp_path / key).unlink()
    with pytest.raises(DataError, match="image of the dataset is missing") as caught:
        exemplars(spec(images=1), data)
    assert str(tmp_path / key) in str(caught.value) and "2 of them" in str(caught.value) and caught.value.do


def test_a_dataset_without_images_has_no_sheet(tmp_path):
    data = make_study(tmp_path)
    data.images = None
    with pytest.raises(ConfigError, match="datasets of images"):
        image_examples(spec(), data)


def test_keys_lose_folder_and_suffix_only_where_they_stay_apart():
    keys = ["a/x_1.jpg", "a/x_2.jpg", "b/x_2.jpg", "c/y.png", "c/y.jpg", "z"]
    assert short_names(keys) == ["x_1", "a/x_2", "b/x_2", "c/y.png", "c/y.jpg", "z"]
