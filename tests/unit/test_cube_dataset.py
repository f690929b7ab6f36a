"""From the file of a spectrum image to pixels, their spectra as features, and clusters back on the image."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from scipy.io import savemat

from matlas.clean.cubes import about_image, clean_cube, cube_of
from matlas.errors import ConfigError, DataError
from matlas.features.spectrum import spectrum_batches, spectrum_features
from matlas.figures.draw import draw
from matlas.figures.phases import phase_map
from matlas.figures.study_data import load_study_data
from matlas.figures.style import colour
from matlas.simulate.spectrum_images import spectrum_image, write_spectrum_image
from matlas.tables import write_table
from schemas.config.datasets import CubeDataset
from schemas.loading import load_atlas
from schemas.strict_yaml import read_yaml
from schemas.tables.analysis import METRICS, cluster_schema, representation_schema
from schemas.tables.dataset import dataset_schema
from schemas.tables.features import feature_schema

MATERIALS = ["soil", "tree", "water"]
HEIGHT, WIDTH, CHANNELS = 4, 6, 5
TOY = {"kind": "cube", "title": "toy", "path": "toy.npz", "array": "Y", "axes": ["y", "x", "signal"], "counts": True,
       "signal": {"unit": "keV", "offset": 0.5, "scale": 0.01}, "pixel_size": (2.5, "nm")}  # fmt: skip


@pytest.fixture
def toy(tmp_path):
    """Counts that say which pixel and channel they are of, and one pixel of zeros."""
    data = 1 + np.arange(HEIGHT * WIDTH * CHANNELS).reshape(HEIGHT, WIDTH, CHANNELS)
    data[1, 2] = 0
    np.savez(tmp_path / "toy.npz", Y=data)
    return tmp_path / "toy.npz", data


def test_every_pixel_is_a_row_or_refused_with_the_reason(toy):
    path, data = toy
    dataset = CubeDataset(**TOY, max_reject_share=0.1)
    clean, rejects, cube = clean_cube(path, dataset)
    assert len(clean) == HEIGHT * WIDTH - 1
    assert rejects[["row", "reason"]].to_numpy().tolist() == [[1 * WIDTH + 2 + 1, "0 in every channel"]]
    for row in clean.itertuples():  # round trip on an image that isn't square
        assert row.pixel_id == row.pixel_y * WIDTH + row.pixel_x + 1
        assert row.total == data[row.pixel_y, row.pixel_x].sum()
    assert about_image(cube) == {"height": "4", "width": "6", "pixel_step": "2.5", "pixel_unit": "nm"}
    write_table(clean, path.with_suffix(".parquet"), dataset_schema("toy", dataset))
    with pytest.raises(DataError, match="too many bad pixels: 0 in every channel.*read as 4 x 6 pixels"):
        clean_cube(path, CubeDataset(**TOY))


def test_channels_are_columns_that_say_where_they_stand(toy):
    path, data = toy
    dataset = CubeDataset(**TOY, max_reject_share=0.1)
    clean, _, cube = clean_cube(path, dataset)
    prepared, fields = spectrum_features(cube, {"steps": [{"crop": {"low": 0.51, "high": 0.53}}]})
    assert [(f.name, f.label, f.unit) for f in fields] == [
        ("channel_0", "0.510 keV", "counts"), ("channel_1", "0.520 keV", "counts"),
        ("channel_2", "0.530 keV", "counts"),
    ]  # fmt: skip
    batches = list(spectrum_batches(prepared, fields, clean["pixel_id"], rows_at_once=7))
    found = pd.concat(batches, ignore_index=True)
    np.testing.assert_array_equal(found.drop(columns="pixel_id"), data[clean["pixel_y"], clean["pixel_x"], 1:4])
    write_table(
        found, path.with_suffix(".parquet"), feature_schema("spectrum", dataset_schema("t", dataset).fields[0], fields)
    )
    with pytest.raises(DataError, match=r"can't change the pixels.*\(4, 6\), found \(2, 3\)"):
        spectrum_features(cube, {"steps": [{"rebin": {"y": 2, "x": 2}}]})


@pytest.fixture(scope="module")
def samson(repository, tmp_path_factory):
    """The definition of the shipped dataset, and a sample of its file."""
    path = tmp_path_factory.mktemp("samson") / "Samson.mat"
    write_spectrum_image(path, rows=900, seed=3)
    return load_atlas(read_yaml(repository / "config" / "config.yaml"), repository).datasets["samson"], path


def test_the_sample_of_samson_is_read_as_it_was_planted(samson):
    dataset, path = samson
    clean, rejects, cube = clean_cube(path, dataset, "samson")
    made = spectrum_image(900, seed=3)
    np.testing.assert_allclose(cube.data, made.spectra)
    shares = clean[[f"abundance_{m}" for m in MATERIALS]].to_numpy()
    np.testing.assert_allclose(shares, made.shares.reshape(-1, 3))
    assert clean["material"].tolist() == [MATERIALS[i] for i in made.shares.reshape(-1, 3).argmax(axis=1)]
    assert rejects.empty and len(clean) == 900


def test_planted_spectra_are_mixtures_and_most_pixels_nearly_pure():
    made = spectrum_image(2500, seed=0)
    np.testing.assert_allclose(made.shares.sum(axis=-1), 1)
    assert made.endmembers.min() == 0 and (made.endmembers.max(axis=1) == 1).all()
    assert 0.5 < (made.shares.max(axis=-1) > 0.9).mean() < 0.95
    mixtures = made.shares @ made.endmembers
    brightness = (made.spectra * mixtures).sum(axis=-1) / (mixtures**2).sum(axis=-1)
    assert 0.88 < brightness.min() < 0.92 and 1.08 < brightness.max() < 1.12
    left = made.spectra - brightness[..., None] * mixtures
    assert left[mixtures > 0.2].std() == pytest.approx(0.01, rel=0.05)  # where no noise was cut off at 0
    with pytest.raises(ConfigError, match="at least 100"):
        spectrum_image(50)


def test_shares_that_fit_neither_the_cube_nor_one_are_refused(samson, tmp_path):
    dataset, _ = samson
    made = spectrum_image(100, seed=0)
    Y = made.spectra.transpose(1, 0, 2).reshape(100, -1).T
    for shares, message in [(made.shares[..., :2], "abundances don't fit the cube"), (made.shares * 2, "no shares")]:
        savemat(tmp_path / "bad.mat", {"Y": Y, "S_GT": shares})
        with pytest.raises(DataError, match=message):
            clean_cube(tmp_path / "bad.mat", dataset)


def test_the_real_samson_has_the_published_size_and_its_shares_fit_its_spectra(samson, mirror):
    dataset, _ = samson
    path = mirror / "samson" / "Samson.mat"
    clean, rejects, cube = clean_cube(path, dataset, "samson")
    assert (len(clean), cube.signal.size, len(rejects)) == (9025, 156, 0)
    spectra = cube_of(path, dataset).spectra
    for material in MATERIALS:  # nearly pure pixels of a material look alike; in another order of pixels they don't
        pure = spectra[(clean[f"abundance_{material}"] > 0.98).to_numpy()]
        unit = pure / np.linalg.norm(pure, axis=1)[:, None]
        assert np.median(unit @ unit.mean(axis=0)) > 0.99


# phase map


@pytest.fixture
def study(tmp_path):
    """Two clusters, left and right half of an image of 4 x 6 pixels whose pixel (1, 2) was refused."""
    dataset = CubeDataset(**TOY, truth={"array": "S", "materials": ["iron", "slag"]})
    schema = dataset_schema("toy", dataset)
    y, x = np.divmod(np.arange(HEIGHT * WIDTH), WIDTH)
    entities = pd.DataFrame({"pixel_id": y * WIDTH + x + 1, "pixel_y": y, "pixel_x": x, "total": 1.0})
    entities["abundance_iron"], entities["abundance_slag"] = (x < 3) * 1.0, (x >= 3) * 1.0
    entities["material"] = np.where(x < 3, "iron", "slag").astype(object)
    entities = entities.drop(index=1 * WIDTH + 2).reset_index(drop=True)
    right = (entities["pixel_x"] >= 3).astype("int64")
    space = {"dataset": "toy", "view": "spectrum", "representation": "as_is"}
    image = {"height": "4", "width": "6", "pixel_step": "2.5", "pixel_unit": "nm"}
    paths = [tmp_path / f"{name}.parquet" for name in ("toy", "scores", "labels", "metrics")]
    key = schema.fields[0]
    write_table(entities, paths[0], schema, attributes={"dataset": "toy", **image})
    scores = pd.DataFrame({"pixel_id": entities["pixel_id"], "z_0": right * 1.0})
    write_table(scores, paths[1], representation_schema("as_is", key, 1, rebuilt=False), attributes=space)
    labels = pd.DataFrame({"pixel_id": entities["pixel_id"], "cluster": 1 - right, "distance": 0.0, "k_2": 1 - right})
    about = {**space, "clustering": "kmeans"}
    write_table(labels, paths[2], cluster_schema("kmeans", key, [2]), attributes=about)
    best = {**space, "method": "kmeans", "k": None, "metric": "best_k", "value": 2.0, "seed": 0, "split": "all"}
    write_table(pd.DataFrame([best]).astype({"k": "Int64", "seed": "Int64"}), paths[3], METRICS, attributes=space)
    return load_study_data(paths, "toy", "Toy", label="material", described_by="material")


def test_a_phase_map_shows_each_pixel_in_the_colour_of_its_cluster_beside_the_truth(study):
    figure, table = phase_map({"name": "phases", "kind": "phase_map", "clustering": "kmeans"}, study)
    clusters, truth = (ax.images[0].get_array() for ax in figure.axes)
    assert clusters.shape == (HEIGHT, WIDTH, 3)
    np.testing.assert_allclose(clusters, truth)  # a cluster has the colour of the class that it stands for
    np.testing.assert_allclose(clusters[1, 2], to_rgb("white"))  # refused
    np.testing.assert_allclose(clusters[0, 0], to_rgb(colour(0)))
    np.testing.assert_allclose(clusters[3, 5], to_rgb(colour(1)))
    assert len(table) == HEIGHT * WIDTH - 1
    right = table[table["pixel_x"] >= 3]
    assert set(right["cluster"]) == {0} and set(right["label"]) == {"slag"}
    (bar,) = figure.axes[0].lines
    assert np.ptp(bar.get_xdata()) * 2.5 == pytest.approx(5.0)  # nm: the longest of 1, 2, 5 … within a third of 15


def test_the_same_phase_map_gives_the_same_bytes(study, tmp_path):
    spec = {"name": "phases", "kind": "phase_map", "clustering": "kmeans"}
    for name in ("a", "b"):
        draw(spec, study, tmp_path / f"{name}.svg", tmp_path / f"{name}.csv")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert "5 nm" in (tmp_path / "a.svg").read_text()


# configuration


@pytest.fixture
def config(repository, tmp_path):
    """A copy of what the configuration is read from, and a function that loads it after an edit."""
    for part in ("config", "rules"):
        shutil.copytree(repository / part, tmp_path / part)

    def load(file: str, old: str, new: str):
        path = tmp_path / "config" / file
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        return load_atlas(read_yaml(tmp_path / "config" / "config.yaml"), tmp_path)

    return load


SLIPS = [
    ("views.yaml", "  features: spectrum\n", "  features: spectrum\n  steps: [{crp: {low: 1, high: 2}}]\n",
     r"unknown step 'crp'.*views.yaml: spectrum: steps.*'crop' \(nearest\)"),
    ("views.yaml", "  features: spectrum\n", "  features: spectrum\n  steps: [{crop: {low: 1}}]\n",
     "arguments of step 1, crop, don't fit.*missing a required argument: 'high'"),
    ("studies/samson_unmixing.yaml", "views: [spectrum, spectrum_max]", "views: [magpie, spectrum_max]",
     "does not fit the dataset.*kind cube"),
    ("studies/estm_families.yaml", "kind: agreement", "kind: phase_map", "needs a dataset of pixels"),
    ("datasets.yaml", "array: Y", "array: Y\n  derived: {material: '1'}", "'material' is defined twice"),
    ("datasets.yaml", "materials: [soil, tree, water]", "materials: [soil]", "at least 2"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "old", "new", "message"), SLIPS)
def test_a_slip_in_what_is_said_of_pixels_is_one_clear_error(file, old, new, message, config):
    with pytest.raises(ConfigError, match=message):
        config(file, old, new)
