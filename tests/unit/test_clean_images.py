"""A folder of images becomes a clean table and rejects: faults are named, repeats flagged, nothing lost between."""

import hashlib
import json
import os
import zipfile

import numpy as np
import pandas as pd
import pytest
import scipy.ndimage
from PIL import Image

from matlas.clean.images import clean_images
from matlas.errors import ConfigError, DataError
from matlas.tables import read_table, write_table
from schemas.config.datasets import ImageDataset
from schemas.tables.dataset import REJECTS, dataset_schema


def toy(**changes) -> ImageDataset:
    return ImageDataset(**({"kind": "image", "title": "toy", "path": "images", "max_reject_share": 1.0} | changes))


def spots(seed: int, size: int = 64) -> np.ndarray:
    rng = np.random.default_rng(seed)
    smooth = scipy.ndimage.gaussian_filter(rng.normal(size=(size, size)), 2)
    return ((smooth - smooth.min()) / np.ptp(smooth) * 255).astype(np.uint8)


def save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


@pytest.fixture
def folder(tmp_path):
    """Six images of two steels, by name and by folder."""
    for i in range(6):
        save(tmp_path / "images" / ("ferrite" if i % 2 else "pearlite") / f"m{i}.png", spots(i))
    return tmp_path / "images"


def test_each_image_is_described_and_each_bad_file_refused_with_its_reason(tmp_path):
    save(tmp_path / "a.png", np.array([[0, 0, 0, 0], [0, 255, 0, 0], [0, 0, 0, 0]], dtype=np.uint8))
    save(tmp_path / "b.tif", np.array([[0, 13107], [13107, 65535]], dtype=np.uint16))
    save(tmp_path / "c.png", np.array([[[255, 0, 0], [0, 255, 0]]], dtype=np.uint8))
    save(tmp_path / "d.jpg", spots(0))
    truncated = (tmp_path / "d.jpg").read_bytes()[:-100]
    (tmp_path / "d.jpg").write_bytes(truncated)
    (tmp_path / "e.png").write_bytes(b"not an image")
    clean, rejects = clean_images(tmp_path, toy())

    assert clean["image_id"].tolist() == ["a.png", "b.tif", "c.png"]
    assert clean[["width", "height", "bits", "channels"]].to_numpy().tolist() == [
        [4, 3, 8, 1],
        [2, 2, 16, 1],
        [2, 1, 8, 3],
    ]
    assert clean["conversion"].tolist() == ["", "", "colour to grey"]
    np.testing.assert_allclose(clean["brightness"], [1 / 12, 0.35, (0.299 + 0.587) / 2], rtol=1e-6)
    np.testing.assert_allclose(
        clean["contrast"], [11**0.5 / 12, (0.2**2 / 2 + 1 / 4 - 0.35**2) ** 0.5, 0.144], rtol=1e-6
    )
    np.testing.assert_allclose(clean["sharpness"], [6.25, 0, 0])
    assert clean["sha256"].tolist() == [
        hashlib.sha256((tmp_path / f).read_bytes()).hexdigest() for f in clean["image_id"]
    ]
    assert clean["similar_to"].isna().all() and not clean[["duplicate", "near_duplicate"]].to_numpy().any()

    assert rejects[["row", "reason", "column", "value"]].to_numpy().tolist() == [
        [4, "truncated or damaged file", "file", "d.jpg"],
        [5, "not a PNG, JPEG or TIFF file", "file", "e.png"],
    ]
    assert json.loads(rejects["raw"][0]) == {"file": "d.jpg", "bytes": len(truncated)}


def test_both_tables_keep_their_schemas_and_survive_writing(folder, tmp_path):
    (folder / "bad.png").write_bytes(b"")
    dataset = toy(
        labels={"by": "folder"},
        key="micrograph",
        derived={"dark": "1 - brightness"},
        flags={"lamellar": "similar_to = 'x' OR contains(micrograph, 'pearlite')"},
    )
    clean, rejects = clean_images(folder, dataset, "toy")
    write_table(clean, tmp_path / "clean.parquet", dataset_schema("toy", dataset))
    write_table(rejects, tmp_path / "rejects.parquet", REJECTS)
    read = read_table(tmp_path / "clean.parquet")
    assert list(read.columns)[:2] == ["micrograph", "label"] and list(read.columns)[-2:] == ["dark", "lamellar"]
    np.testing.assert_allclose(read["dark"], 1 - read["brightness"])
    assert (read["lamellar"] == (read["label"] == "pearlite")).all() and read["lamellar"].sum() == 3
    assert len(read) == 6 and read["similar_to"].isna().all()
    assert read_table(tmp_path / "rejects.parquet")["reason"].tolist() == ["empty file"]


def test_planted_repeats_are_flagged_with_the_earlier_image_and_kept(folder):
    original = spots(0)
    save(folder / "z" / "1_copy.tif", original)  # another format, the same pixels
    save(folder / "z" / "2_dimmed.png", (original * 0.6).astype(np.uint8))
    save(folder / "z" / "3_other.png", spots(99))
    clean, rejects = clean_images(folder, toy())
    clean = clean.set_index("image_id")
    assert len(clean) == 9 and rejects.empty
    repeated = clean[clean["similar_to"].notna()]
    assert repeated["similar_to"].to_dict() == dict.fromkeys(("z/1_copy.tif", "z/2_dimmed.png"), "pearlite/m0.png")
    assert repeated["duplicate"].tolist() == [True, False] and repeated["near_duplicate"].tolist() == [False, True]
    assert not clean.drop(repeated.index)[["duplicate", "near_duplicate"]].to_numpy().any()


def test_an_image_of_another_size_is_refused_and_one_without_contrast_is_kept(tmp_path):
    save(tmp_path / "flat.png", np.full((100, 200), 7, dtype=np.uint8))
    save(tmp_path / "turned.png", np.full((200, 100), 7, dtype=np.uint8))
    clean, rejects = clean_images(tmp_path, toy(size=(200, 100)))
    assert clean["image_id"].tolist() == ["flat.png"] and clean["contrast"].tolist() == [0]
    assert rejects["reason"].tolist() == ["size 100 x 200, expected 200 x 100"]


def test_the_white_level_of_the_dataset_is_used(tmp_path):
    save(tmp_path / "a.tif", np.array([[1000, 3000]], dtype=np.uint16))
    clean, _ = clean_images(tmp_path, toy(white_level=4000))
    assert clean["brightness"].item() == pytest.approx(0.5)


def test_labels_by_folder_are_the_folder_an_image_lies_in(folder):
    save(folder / "loose.png", spots(7))
    save(folder / "train" / "bainite" / "x.png", spots(8))
    clean, _ = clean_images(folder, toy(labels={"by": "folder"}))
    labels = clean.set_index("image_id")["label"]
    assert labels["ferrite/m1.png"] == "ferrite" and labels["train/bainite/x.png"] == "bainite"
    assert labels.isna().sum() == 1 and pd.isna(labels["loose.png"])


def test_labels_by_name_are_searched_in_the_path_and_an_image_without_one_is_kept_and_told(folder, caplog):
    save(folder / "scan.png", spots(7))
    with caplog.at_level("WARNING"):
        clean, rejects = clean_images(folder, toy(labels={"by": "name", "pattern": r"^(?P<label>[^/]+)/m\d"}))
    assert clean["label"].tolist() == ["ferrite"] * 3 + ["pearlite"] * 3 + [None]
    assert rejects.empty and "does not match 1 images, scan.png" in caplog.text


def test_a_label_can_not_become_a_feature_by_way_of_sql(folder):
    leak = {"sql": "(label = 'ferrite')::INT", "unit": "1", "description": "Leak"}
    dataset = toy(labels={"by": "folder"}, derived={"leak": leak})
    with pytest.raises(ConfigError, match="label"):
        clean_images(folder, dataset)


def test_a_pattern_that_matches_no_image_shows_some_of_the_paths(folder):
    with pytest.raises(DataError, match=r"pattern of labels matches no image.*toy.*ferrite/m1.png"):
        clean_images(folder, toy(labels={"by": "name", "pattern": r"(?P<label>\w+)\.bmp"}), "toy")


def labelled_by(tmp_path, text: str) -> ImageDataset:
    (tmp_path / "labels.csv").write_text(text)
    return toy(labels={"by": "table", "path": str(tmp_path / "labels.csv"), "file": "image", "label": "phase"})


def test_labels_by_table_go_by_path_or_bare_name_and_may_be_missing(folder, tmp_path, caplog):
    dataset = labelled_by(tmp_path, "phase,image\nbeta,./pearlite/m0.png\nalpha,m1.png\n,m2.png\n 7 ,m3.png\n")
    clean, rejects = clean_images(folder, dataset, "toy")
    labels = clean.set_index("image_id")["label"].dropna()
    assert labels.to_dict() == {"pearlite/m0.png": "beta", "ferrite/m1.png": "alpha", "ferrite/m3.png": "7"}
    assert len(clean) == 6 and rejects.empty
    assert "3 of 6 images have no label" in caplog.text


@pytest.mark.parametrize(
    ("rows", "message"),
    [("a,m1.png\nb,gone.png\nc,away.png", "2: gone.png, away.png"),
     ("a,m1.png\nb,ferrite/m1.png", "named twice.*1: ferrite/m1.png"),
     ("a,same.png", "names of several images.*same.png.*Give their paths")],
)  # fmt: skip
def test_a_table_that_names_absent_ambiguous_or_doubled_images_is_refused(rows, message, folder, tmp_path):
    for parent in ("ferrite", "pearlite"):
        save(folder / parent / "same.png", spots(9))
    with pytest.raises(DataError, match=message):
        clean_images(folder, labelled_by(tmp_path, f"phase,image\n{rows}\n"))


def test_a_bare_name_means_the_image_at_the_top_where_there_is_one(folder, tmp_path):
    save(folder / "m1.png", spots(9))
    clean, _ = clean_images(folder, labelled_by(tmp_path, "phase,image\nalpha,m1.png\n"))
    assert clean.dropna(subset=["label"])["image_id"].tolist() == ["m1.png"]


def test_a_table_without_the_named_columns_is_refused(folder, tmp_path):
    with pytest.raises(DataError, match=r"one column 'image' is needed.*\['file', 'phase'\]"):
        clean_images(folder, labelled_by(tmp_path, "file,phase\nm1.png,alpha\n"))


def test_too_many_bad_images_stop_the_job_and_say_which(folder):
    for i in range(2):
        (folder / f"bad{i}.png").write_bytes(b"")
    message = (
        r"too many bad images.*at most 20.0% of 8 images refused, that is 1, found 2: file: empty file \(image 1: bad0"
    )
    with pytest.raises(DataError, match=message):
        clean_images(folder, toy(max_reject_share=0.2))
    assert len(clean_images(folder, toy(max_reject_share=0.25))[0]) == 6


def test_a_folder_of_nothing_but_bad_images_is_an_error_whatever_share_is_allowed(tmp_path):
    (tmp_path / "bad.png").write_bytes(b"")
    with pytest.raises(DataError, match="no image is left"):
        clean_images(tmp_path, toy())


@pytest.mark.parametrize("threads", [1, 3])
def test_the_number_of_threads_changes_nothing(threads, folder):
    (folder / "bad.png").write_bytes(b"")
    clean, rejects = clean_images(folder, toy(), threads=threads)
    reference = clean_images(folder, toy(), threads=2)
    pd.testing.assert_frame_equal(clean, reference[0])
    pd.testing.assert_frame_equal(rejects, reference[1])


@pytest.mark.skipif(not os.environ.get("MATLAS_MIRROR"), reason="needs the mirror of real sources (MATLAS_MIRROR)")
def test_the_steel_surfaces_have_their_published_counts_and_the_repeats_seen_by_eye(mirror, tmp_path):
    with zipfile.ZipFile(mirror / "neu-det" / "NEU-DET.zip") as archive:
        archive.extractall(tmp_path)
    dataset = toy(
        images="NEU-DET/*.jpg", labels={"by": "name", "pattern": r"(?P<label>[^/]+)_\d+\.jpg$"}, size=(200, 200)
    )
    clean, rejects = clean_images(tmp_path, dataset, "neu_det")
    assert rejects.empty and (clean["label"].value_counts() == 300).all() and clean["label"].nunique() == 6
    assert (clean[["bits", "channels"]] == [8, 3]).all(axis=None)
    repeated = clean.dropna(subset=["similar_to"]).set_index("image_id")
    assert repeated["similar_to"].to_dict() == {
        "NEU-DET/inclusion_210.jpg": "NEU-DET/inclusion_188.jpg",
        "NEU-DET/patches_105.jpg": "NEU-DET/patches_101.jpg",
        "NEU-DET/pitted_surface_292.jpg": "NEU-DET/pitted_surface_171.jpg",
    }
    assert repeated["duplicate"].tolist() == [False, True, False]
