"""Sample micrographs: the format of the source, and a planted truth that shows in the pixels."""

import hashlib
import inspect
import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage, stats
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from matlas.errors import ConfigError
from matlas.lineage import SCRIPTS, import_closure
from matlas.simulate.generators import GENERATORS, generate
from matlas.simulate.micrographs import ARTEFACTS, CLASSES, micrographs, write_micrographs
from matlas.unpack import unpack

ROWS = 300


@pytest.fixture(scope="module")
def sample():
    return micrographs(ROWS, seed=3)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    path = tmp_path_factory.mktemp("archive") / "surfaces.zip"
    write_micrographs(path, rows=ROWS, seed=3)
    return path


@pytest.fixture(scope="module")
def files(archive) -> dict[str, bytes]:
    with zipfile.ZipFile(archive) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


@pytest.fixture(scope="module")
def usual(sample):
    """Images and truth of the frames that have neither artefact nor fault."""
    kept = ((sample.truth["artefact"] == "") & (sample.truth["fault"] == "")).to_numpy()
    return sample.images[kept], sample.truth[kept]


def decoded(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("L")).astype(float)


def only(truth, column: str, value: str):
    (row,) = truth.index[truth[column] == value]
    return row


def test_the_archive_holds_numbered_rgb_files_of_equal_channels_as_the_source_does(files, sample):
    assert list(files) == list(sample.truth["file"])
    assert set(files) == {f"NEU-DET/{label}_{n}.jpg" for label in CLASSES for n in range(1, ROWS // 6 + 1)}
    for row in range(0, ROWS, 17):
        image = Image.open(io.BytesIO(files[sample.truth.at[row, "file"]]))
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (200, 200))
        red, green, blue = np.moveaxis(np.asarray(image), -1, 0)
        assert (red == green).all() and (red == blue).all()


def test_the_files_show_the_images_but_for_compression(files, sample):
    for row in sample.truth.index[(sample.truth["fault"] != "truncated")][::11]:
        error = decoded(files[sample.truth.at[row, "file"]]) - sample.images[row]
        assert np.sqrt((error**2).mean()) < 6


def test_the_archive_unpacks_as_a_source_does(archive, tmp_path):
    paths = unpack(archive, tmp_path / "out", kind="zip", max_bytes=40_000_000, max_files=ROWS, source_id="sample")
    assert len(paths) == ROWS


def test_equal_seeds_give_equal_bytes_and_other_seeds_other_images(archive, tmp_path):
    write_micrographs(tmp_path / "again.zip", rows=ROWS, seed=3)
    assert (tmp_path / "again.zip").read_bytes() == archive.read_bytes()
    assert (micrographs(12, seed=1).images != micrographs(12, seed=2).images).any(axis=(1, 2)).all()


def test_rows_are_split_evenly_over_classes_and_lighting_within_a_class():
    truth = micrographs(44, seed=5).truth
    sizes = truth.groupby("label").size()
    assert sizes.sum() == 44 and sizes.max() - sizes.min() == 1
    dim = (truth["lighting"] == "dim").groupby(truth["label"]).mean()
    assert dim.between(0.25, 0.75).all()  # one copy may take its lighting from its original


def test_too_few_rows_are_refused_with_the_least_number():
    assert len(micrographs(12).truth) == 12
    with pytest.raises(ConfigError, match="at least 12, found 11"):
        micrographs(11)


@pytest.mark.parametrize("k", [2, 6])
def test_raw_pixels_cluster_by_lighting_not_by_class(usual, k):
    images, truth = usual
    pixels = StandardScaler().fit_transform(images.reshape(len(images), -1).astype(float))
    labels = KMeans(k, n_init=5, random_state=0).fit_predict(PCA(20, random_state=0).fit_transform(pixels))
    brightness = images.mean(axis=(1, 2))
    within = sum(((brightness[labels == j] - brightness[labels == j].mean()) ** 2).sum() for j in range(k))
    assert 1 - within / ((brightness - brightness.mean()) ** 2).sum() > 0.8  # eta squared
    of_class, of_light = (adjusted_rand_score(truth[column], labels) for column in ("label", "lighting"))
    assert of_class < 0.1 and of_light > 0.3 and of_light > of_class + 0.25


def test_each_lamp_shines_from_its_own_side(usual):
    images, truth = usual
    dim, bright = (images[truth["lighting"] == name].mean(axis=0) for name in ("dim", "bright"))
    assert dim[:, :50].mean() > 1.1 * dim[:, -50:].mean()  # from the left
    assert bright[:50].mean() > 1.1 * bright[-50:].mean()  # from above
    assert bright.mean() > 1.5 * dim.mean()


def test_grey_values_of_the_classes_overlap(usual):
    images, truth = usual
    brightness = images.mean(axis=(1, 2))
    for _, rows in truth.reset_index(drop=True).groupby("lighting"):
        levels = rows.assign(brightness=brightness[rows.index]).groupby("label")["brightness"].agg(["mean", "std"])
        assert levels["mean"].max() - levels["mean"].min() < 2 * levels["std"].mean()


def texture_features(image: np.ndarray) -> np.ndarray:
    """Log energy and skewness in five bands of scale of the image over its local brightness, and its anisotropy."""
    flat = image / ndimage.gaussian_filter(image, 40)
    levels = [ndimage.gaussian_filter(flat, sigma) for sigma in (0.5, 1, 2, 4, 8, 16)]
    bands = [fine - coarse for fine, coarse in zip(levels, levels[1:], strict=False)]
    down, right = np.gradient(levels[2])
    tensor = np.cov(down.ravel(), right.ravel())
    small, large = np.linalg.eigvalsh(tensor)
    return np.array([*(np.log(b.std()) for b in bands), *(stats.skew(b.ravel()) for b in bands), np.log(large / small)])


def test_texture_tells_the_classes_apart_where_raw_pixels_do_not(usual):
    images, truth = usual[0][::2], usual[1][::2]
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    features = np.array([texture_features(image.astype(float)) for image in images])
    pixels = PCA(20, random_state=0).fit_transform(images.reshape(len(images), -1).astype(float))
    assert cross_val_score(model, features, truth["label"], cv=5).mean() > 0.85
    assert cross_val_score(model, pixels, truth["label"], cv=5).mean() < 0.5


def test_a_hundredth_of_the_frames_have_an_artefact_of_each_kind_in_turn(sample):
    assert sorted(sample.truth["artefact"].loc[lambda name: name != ""]) == sorted(ARTEFACTS)  # 1 % of 300
    assert (micrographs(12).truth["artefact"] != "").sum() == 2
    assert not ((sample.truth["artefact"] != "") & (sample.truth["fault"] != "")).any()


def test_each_artefact_shows_in_its_frame_and_in_no_other(sample):
    """Whole rows saturated; a large square without light; far less fine detail than any other frame."""
    saturated = (sample.images == 255).all(axis=2).sum(axis=1)
    dead = (sample.images == 0).sum(axis=(1, 2))
    detail = np.array([ndimage.gaussian_laplace(i.astype(float), 1.5).std() / i.mean() for i in sample.images])
    band, blurred, hole = (only(sample.truth, "artefact", name) for name in ARTEFACTS)
    assert list(np.flatnonzero(saturated >= 25)) == [band] and np.delete(saturated, band).max() == 0
    assert list(np.flatnonzero(dead >= 70 * 70)) == [hole] and np.delete(dead, hole).max() < 400
    assert detail.argmin() == blurred and detail[blurred] < 0.7 * np.delete(detail, blurred).min()


def test_one_file_alone_is_truncated(files, sample):
    broken = []
    for name, content in files.items():
        try:
            decoded(content)
        except OSError as error:
            assert "truncated" in str(error)
            broken.append(name)
    assert broken == [sample.truth.at[only(sample.truth, "fault", "truncated"), "file"]]


def test_one_pair_of_files_is_equal_and_the_truth_names_it(files, sample):
    by_hash: dict[str, set[str]] = {}
    for name, content in files.items():
        by_hash.setdefault(hashlib.sha256(content).hexdigest(), set()).add(name)
    copy = sample.truth.loc[only(sample.truth, "fault", "copy")]
    assert [names for names in by_hash.values() if len(names) > 1] == [{copy["file"], copy["copy_of"]}]


def test_one_pair_is_nearly_equal_and_a_copy_keeps_class_and_lighting(files, sample):
    truth = sample.truth.set_index("file")
    near = sample.truth.loc[only(sample.truth, "fault", "near copy")]
    first, second = decoded(files[near["file"]]), decoded(files[near["copy_of"]])
    assert 0.5 < (first - second).std() < 4
    small = sample.images.reshape(ROWS, 20, 10, 20, 10).mean(axis=(2, 4)).reshape(ROWS, -1)
    likeness = np.triu(np.corrcoef(small), 1)
    alike = {frozenset(truth.index[list(pair)]) for pair in np.argwhere(likeness > 0.999)}
    copies = truth[truth["copy_of"] != ""]
    assert alike == {frozenset(pair) for pair in copies["copy_of"].items()} and len(copies) == 2
    columns = ["label", "lighting", "artefact"]
    assert (copies[columns].to_numpy() == truth.loc[copies["copy_of"], columns].to_numpy()).all()


def test_the_names_match_the_pattern_of_the_real_archive(mirror, files):
    with zipfile.ZipFile(mirror / "neu-det" / "NEU-DET.zip") as real:
        assert {os.path.dirname(name) for name in real.namelist()} == {os.path.dirname(name) for name in files}
        image = Image.open(io.BytesIO(real.read(real.namelist()[0])))
    assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (200, 200))


def test_a_generator_is_found_by_name_and_an_unknown_one_is_refused(tmp_path):
    generate(generator="micrographs", path=str(tmp_path / "by_name.zip"), rows=12, seed=4)
    write_micrographs(tmp_path / "direct.zip", rows=12, seed=4)
    assert (tmp_path / "by_name.zip").read_bytes() == (tmp_path / "direct.zip").read_bytes()
    with pytest.raises(ConfigError, match="micrographs.*found micrograph"):
        generate(generator="micrograph", path=str(tmp_path / "none.zip"))


@pytest.mark.parametrize("generator, file", [("thermoelectrics", "raw.xlsx"), ("micrographs", "raw.zip")])
def test_a_generator_that_needs_no_torch_runs_without_it(generator, file, tmp_path):
    code = (
        "import sys; from matlas.simulate.generators import generate;"
        f"generate(generator={generator!r}, path={str(tmp_path / file)!r}, rows=100, seed=0);"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    assert (tmp_path / file).stat().st_size > 0


def test_the_code_hash_of_simulated_sources_covers_every_generator():
    closure = import_closure(SCRIPTS / "acquire" / "simulate_source.py")
    used = {Path(inspect.getfile(choose())) for choose in GENERATORS.values()}
    assert len(used) == len(GENERATORS) and used <= set(closure)
