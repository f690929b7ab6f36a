"""Files become grey values between 0 and 1 by rules that can be checked by hand; what can't be read says why."""

import io
import os
import pickle
import struct
import threading
import time
import zlib

import numpy as np
import pytest
import scipy.ndimage
from PIL import Image

from matlas.errors import DataError
from matlas.images import read
from matlas.images.describe import describe
from matlas.images.duplicates import details, pixel_digest, repeats
from matlas.images.files import folder_fingerprint, image_files
from matlas.images.read import ImageError, read_image, read_images, resized
from matlas.threads import map_in_order

COLOUR = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [90, 90, 90]]], dtype=np.uint8)
COLOUR_AS_GREY = np.array([[0.299, 0.587], [0.114, 90 / 255]])  # BT.601


def save(path, pixels, **options):
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def png(bits: int, colour_type: int, rows: list[bytes], width: int) -> bytes:
    """A PNG put together by hand, for depths that Pillow can't write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, len(rows), bits, colour_type, 0, 0, 0)
    lines = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", lines) + chunk(b"IEND", b"")


def noise(seed: int, size: int = 64) -> np.ndarray:
    """Spots a few pixels wide, as float32 in 0…1."""
    spots = scipy.ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(size, size)), 2)
    return ((spots - spots.min()) / np.ptp(spots)).astype(np.float32)


# --- files


def test_images_are_found_in_folders_below_in_any_case_and_nothing_hidden_is(tmp_path):
    for name in (
        "b.PNG",
        "a/x.jpeg",
        "a/x.Tiff",
        ".hidden.png",
        ".git/x.png",
        "__MACOSX/a/x.png",
        "notes.txt",
        "a.gif",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert image_files(tmp_path) == ["a/x.Tiff", "a/x.jpeg", "b.PNG"]
    assert image_files(tmp_path, "a/*") == ["a/x.Tiff", "a/x.jpeg"]


def test_a_folder_without_images_says_what_is_there_instead(tmp_path):
    with pytest.raises(DataError, match="folder of images is missing"):
        image_files(tmp_path / "absent")
    with pytest.raises(DataError, match="no image matches.*no files"):
        image_files(tmp_path)
    for name in ("a.csv", "b.csv", "c.gif"):
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=r"found 3 files \(2 with .csv, 1 with .gif\), such as a.csv"):
        image_files(tmp_path)


@pytest.mark.parametrize("target", ["outside.png", "absent.png"])
def test_a_link_out_of_the_folder_or_to_nowhere_is_refused_and_one_within_is_followed(target, tmp_path):
    inside = tmp_path / "images"
    inside.mkdir()
    (inside / "a.png").touch()
    (tmp_path / "outside.png").touch()
    (inside / "b.png").symlink_to("a.png")
    assert image_files(inside) == ["a.png", "b.png"]
    (inside / "c.png").symlink_to(tmp_path / target)
    with pytest.raises(DataError, match="leads out of the folder.*c.png"):
        image_files(inside)


@pytest.mark.parametrize("pattern", ["", "/etc/*", "../*.png"])
def test_a_pattern_that_is_empty_or_leaves_the_folder_is_refused(pattern, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").touch()
    (tmp_path / "outside.png").touch()
    with pytest.raises(DataError, match="can't be used|leads out"):
        image_files(tmp_path / "images", pattern)


def test_the_fingerprint_changes_with_every_edit_and_only_with_one(tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"12")
    seen = [folder_fingerprint(tmp_path)]
    (tmp_path / "notes.txt").touch()
    assert folder_fingerprint(tmp_path) == seen[0]

    def edited():
        seen.append(folder_fingerprint(tmp_path))

    (tmp_path / "a.png").write_bytes(b"123"), edited()
    os.utime(tmp_path / "a.png", ns=(1, 1)), edited()  # same size, written again
    (tmp_path / "b.png").rename(tmp_path / "c.png"), edited()
    (tmp_path / "c.png").unlink(), edited()
    assert len(set(seen)) == 5


# --- reading


def test_grey_of_every_depth_is_divided_by_the_largest_number_of_that_many_bits(tmp_path):
    for suffix in ("png", "tif"):
        eight = read_image(save(tmp_path / f"8.{suffix}", np.array([[0, 51, 255]], dtype=np.uint8)))
        np.testing.assert_allclose(eight.grey, [[0, 0.2, 1]], rtol=1e-7)
        sixteen = read_image(save(tmp_path / f"16.{suffix}", np.array([[0, 13107, 65535]], dtype=np.uint16)))
        np.testing.assert_allclose(sixteen.grey, [[0, 0.2, 1]], rtol=1e-7)
        one = read_image(save(tmp_path / f"1.{suffix}", np.array([[True, False]])))
        assert one.grey.tolist() == [[1, 0]]
        assert [(p.bits, p.channels, p.conversion) for p in (eight, sixteen, one)] == [
            (8, 1, ""),
            (16, 1, ""),
            (1, 1, ""),
        ]
        assert {p.grey.dtype for p in (eight, sixteen, one)} == {np.dtype(np.float32)}
    (tmp_path / "4.png").write_bytes(png(4, 0, [bytes([0x0F, 0x30])], 4))
    four = read_image(tmp_path / "4.png")
    np.testing.assert_allclose(four.grey, [[0, 1, 0.2, 0]], rtol=1e-7)
    assert four.bits == 4


def test_a_white_level_says_which_stored_value_is_white_and_no_value_may_pass_it(tmp_path):
    sixteen = save(tmp_path / "16.tif", np.array([[0, 819, 4095]], dtype=np.uint16))
    np.testing.assert_allclose(read_image(sixteen, 4095).grey, [[0, 0.2, 1]], rtol=1e-7)
    with pytest.raises(ImageError, match="values outside 0 … 4000.*found 0 … 4095"):
        read_image(sixteen, 4000)
    eight = save(tmp_path / "8.png", np.array([[255]], dtype=np.uint8))
    assert read_image(eight, 4095).grey.item() == 1, "8 bits can't hold the level: their own white counts"


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_numbers_of_32_bits_are_read_with_a_white_level_only(dtype, tmp_path):
    path = save(tmp_path / "32.tif", np.array([[0, 50, 200]], dtype=dtype))
    picture = read_image(path, 200)
    assert picture.grey.tolist() == [[0, 0.25, 1]] and picture.bits == 32
    with pytest.raises(ImageError, match="32-bit (floating point|integers) without a white level.*0.* … 200"):
        read_image(path)
    with pytest.raises(ImageError, match="values outside 0 … 200"):
        read_image(save(tmp_path / "negative.tif", np.array([[-1, 50]], dtype=dtype)), 200)


def test_a_float_image_with_nan_is_refused(tmp_path):
    with pytest.raises(ImageError, match="values outside"):
        read_image(save(tmp_path / "nan.tif", np.array([[0, np.nan]], dtype=np.float32)), 1)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_colour_becomes_grey_by_its_weights_and_transparency_is_dropped(suffix, tmp_path):
    rgb = Image.fromarray(COLOUR)
    clear = rgb.copy()
    clear.putalpha(Image.fromarray(np.array([[0, 9], [99, 255]], dtype=np.uint8)))
    for image, conversion in (
        (rgb, "colour to grey"),
        (clear, "alpha dropped, colour to grey"),
        (rgb.quantize(4), "palette to colour, colour to grey"),
    ):
        picture = read_image(save(tmp_path / f"c.{suffix}", image))
        np.testing.assert_allclose(picture.grey, COLOUR_AS_GREY, rtol=1e-6)
        assert (picture.bits, picture.channels, picture.conversion) == (8, 3, conversion)
    grey = read_image(save(tmp_path / f"la.{suffix}", Image.fromarray(COLOUR[..., 0]).convert("LA")))
    assert (grey.channels, grey.conversion) == (1, "alpha dropped")
    assert grey.grey.tolist() == [[1, 0], [0, np.float32(90 / 255)]]


def test_equal_channels_give_exactly_the_grey_value(tmp_path):
    every = np.arange(256, dtype=np.uint8).reshape(16, 16)
    one = read_image(save(tmp_path / "grey.png", every)).grey
    three = read_image(save(tmp_path / "rgb.png", np.stack([every] * 3, axis=2))).grey
    assert np.array_equal(one, three) and len(np.unique(one)) == 256


@pytest.mark.parametrize(
    ("colour_type", "pixel", "channels", "conversion"),
    [(2, b"\x33\x99" * 3, 3, "16-bit colour read at 8 bits, colour to grey"),
     (6, b"\x33\x99" * 4, 3, "16-bit colour read at 8 bits, alpha dropped, colour to grey"),
     (4, b"\x33\x99" * 2, 1, "16-bit grey read at 8 bits, alpha dropped")],
)  # fmt: skip
def test_bits_that_pillow_drops_from_16_bit_colour_are_told(colour_type, pixel, channels, conversion, tmp_path):
    (tmp_path / "16.png").write_bytes(png(16, colour_type, [pixel], 1))
    picture = read_image(tmp_path / "16.png")
    assert picture.grey.item() == pytest.approx(0x33 / 255)
    assert (picture.bits, picture.channels, picture.conversion) == (16, channels, conversion)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["x.tif", "x.png", "x.jpg"])
def test_pixels_stay_as_stored_whatever_orientation_the_metadata_ask_for(orientation, name, tmp_path):
    pixels = np.repeat(np.repeat(np.array([[0, 80, 160], [40, 120, 240]], dtype=np.uint8), 8, axis=0), 8, axis=1)
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = read_image(save(tmp_path / name, pixels, exif=exif))
    np.testing.assert_allclose(picture.grey, pixels / 255, atol=0.02)  # JPEG is lossy


def test_a_16_bit_tiff_that_stores_white_as_zero_is_turned_around(tmp_path):
    saved = io.BytesIO()
    Image.fromarray(np.array([[0, 13107, 65535]], dtype=np.uint16)).save(saved, "TIFF")
    black_is_zero = struct.pack("<HHIH", 262, 3, 1, 1)  # tag PhotometricInterpretation, a short, one value
    assert saved.getvalue().count(black_is_zero) == 1
    (tmp_path / "x.tif").write_bytes(saved.getvalue().replace(black_is_zero, struct.pack("<HHIH", 262, 3, 1, 0)))
    np.testing.assert_allclose(read_image(tmp_path / "x.tif").grey, [[1, 0.8, 0]], rtol=1e-6)


def encoded(kind: str) -> bytes:
    saved = io.BytesIO()
    Image.fromarray((noise(0) * 255).astype(np.uint8)).save(saved, kind)
    return saved.getvalue()


def one_byte_changed(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


DAMAGED = {
    "empty.png": (b"", "empty file"),
    "text.png": (b"<html>404 not found</html>", "not a PNG, JPEG or TIFF file"),
    "animation.png": (encoded("GIF"), "not a PNG, JPEG or TIFF file"),
    "half.jpg": (encoded("JPEG")[: len(encoded("JPEG")) // 2], "truncated or damaged file"),
    "no_end.jpg": (encoded("JPEG")[:-2], "truncated or damaged file"),
    "half.png": (encoded("PNG")[: len(encoded("PNG")) // 2], "truncated or damaged file"),
    "no_end.png": (encoded("PNG")[:-12], "truncated or damaged file"),
    "sum.png": (one_byte_changed(encoded("PNG"), -14), "truncated or damaged file"),  # CRC of the pixel data
    "half.tif": (encoded("TIFF")[: len(encoded("TIFF")) // 2], "truncated or damaged file"),
    "head.tif": (encoded("TIFF")[:20], "truncated, damaged or unsupported file"),
    "bomb.png": (png(8, 0, [b""] * 1, 200_000_000), "more than 67108864 pixels"),
    "no_pixels.png": (png(8, 0, [], 10), "truncated, damaged or unsupported file"),
}


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("name", DAMAGED)
def test_a_file_that_is_no_whole_image_is_refused_with_the_reason(name, tmp_path):
    data, reason = DAMAGED[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ImageError, match=name) as caught:
        read_image(tmp_path / name)
    assert caught.value.reason == reason
    assert pickle.loads(pickle.dumps(caught.value)).reason == reason


def test_several_pages_cmyk_and_absent_files_are_refused_with_the_reason(tmp_path):
    page = Image.fromarray(COLOUR)
    save(tmp_path / "pages.tif", page, save_all=True, append_images=[page.copy()])
    save(tmp_path / "frames.png", page, save_all=True, append_images=[page.rotate(90)])
    save(tmp_path / "cmyk.jpg", page.convert("CMYK"))
    reasons = {}
    for name in ("pages.tif", "frames.png", "cmyk.jpg", "absent.png"):
        with pytest.raises(ImageError) as caught:
            read_image(tmp_path / name)
        reasons[name] = caught.value.reason
    several = "several pages in one file"
    assert reasons == {"pages.tif": several, "frames.png": several, "cmyk.jpg": "colour mode CMYK",
                       "absent.png": "file can't be opened"}  # fmt: skip


def test_the_cap_on_pixels_counts_before_anything_is_decoded(tmp_path, monkeypatch):
    path = save(tmp_path / "x.png", np.zeros((10, 11), dtype=np.uint8))
    monkeypatch.setattr(read, "MAX_PIXELS", 110)
    assert read_image(path).grey.shape == (10, 11)
    monkeypatch.setattr(read, "MAX_PIXELS", 109)
    with pytest.raises(ImageError, match="more than 109 pixels.*11 x 10"):
        read_image(path)


@pytest.mark.parametrize("threads", [1, 3])
def test_images_come_in_the_order_asked_for(threads, tmp_path):
    names = [f"{i}.png" for i in range(20)]
    for i, name in enumerate(names):
        save(tmp_path / name, np.full((2, 3), i, dtype=np.uint8))
    asked = names[::-1] + names[:3]
    values = [picture.grey[0, 0] for picture in read_images(tmp_path, asked, threads=threads)]
    np.testing.assert_allclose(values, [int(name.removesuffix(".png")) / 255 for name in asked], rtol=1e-6)
    (tmp_path / "7.png").write_bytes(b"")
    with pytest.raises(ImageError, match="7.png"):
        list(read_images(tmp_path, names, threads=threads))


def test_only_a_few_images_are_decoded_ahead_of_the_one_who_takes_them():
    started, lock = [], threading.Lock()

    def start(i):
        with lock:
            started.append(i)
        return i

    results = map_in_order(start, range(100), what="numbers", threads=2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    time.sleep(0.1)  # enough for all hundred, were they allowed to
    assert len(started) <= 3 + 2 * 2
    assert list(results) == list(range(3, 100))


def test_resizing_averages_when_it_shrinks_and_keeps_an_image_that_fits():
    board = (np.indices((40, 60)).sum(axis=0) % 2).astype(np.float32)
    assert resized(board, 60, 40) is board
    small = resized(board, 15, 10)
    assert small.shape == (10, 15) and small.dtype == np.float32
    np.testing.assert_allclose(small[1:-1, 1:-1], 0.5, atol=1e-3)  # without averaging: 0 or 1
    ramp = np.tile(np.linspace(0, 1, 12, dtype=np.float32), (4, 1))
    # triangle of half-width 2 around 2 k + 0.5: weights 1/8, 3/8, 3/8, 1/8
    expected = [ramp[0, 2 * k - 1 : 2 * k + 3] @ [1 / 8, 3 / 8, 3 / 8, 1 / 8] for k in range(1, 5)]
    np.testing.assert_allclose(resized(ramp, 6, 4)[0, 1:5], expected, rtol=1e-5)
    white = resized(np.ones((97, 89), dtype=np.float32), 31, 37)
    assert white.max() <= 1 and white.min() > 1 - 1e-5


# --- describing


def test_brightness_contrast_and_sharpness_agree_with_a_sum_by_hand_and_with_scipy():
    by_hand = np.zeros((3, 4), dtype=np.float32)
    by_hand[1, 1] = 1  # Laplacian inside: -4 at the dot, +1 beside it
    assert describe(by_hand) == pytest.approx({"brightness": 1 / 12, "contrast": np.sqrt(11) / 12, "sharpness": 6.25})
    grey = noise(1)
    inside = scipy.ndimage.laplace(grey.astype(float))[1:-1, 1:-1]
    assert describe(grey)["sharpness"] == pytest.approx(inside.var())
    assert describe(grey)["contrast"] == pytest.approx(grey.std(dtype=float))


def test_a_ramp_is_not_sharp_and_an_image_without_inner_pixels_has_no_sharpness():
    ramp = np.tile(np.linspace(0, 1, 9), (5, 1))
    assert describe(ramp)["sharpness"] == pytest.approx(0, abs=1e-30)
    assert describe(np.array([[0.0, 1.0]])) == {"brightness": 0.5, "contrast": 0.5, "sharpness": 0.0}


# --- repeats


def found(*images):
    earliest, exact = repeats([pixel_digest(i) for i in images], np.stack([details(i) for i in images]))
    return list(zip(earliest.tolist(), exact.tolist(), strict=True))


def stored_as_jpeg(grey, quality):
    saved = io.BytesIO()
    Image.fromarray((grey * 255).astype(np.uint8)).save(saved, "JPEG", quality=quality)
    return np.asarray(Image.open(saved), dtype=np.float32) / 255


def test_the_earliest_image_with_the_same_pixels_is_named():
    a, b = noise(0), noise(1)
    assert found(a, b, a.copy(), b, a) == [(-1, False), (-1, False), (0, True), (1, True), (0, True)]
    flat = np.zeros((40, 50), dtype=np.float32)
    assert found(flat, flat.reshape(50, 40), flat + 0.5, flat) == [(-1, False)] * 3 + [(0, True)]


@pytest.mark.parametrize(
    "altered",
    [lambda a: stored_as_jpeg(a, 50), lambda a: 0.5 * a + 0.2, lambda a: a**1.5, lambda a: resized(a, 100, 100),
     lambda a: scipy.ndimage.gaussian_filter(a, 1), lambda a: a[1:, 1:],
     lambda a: np.clip(a + np.linspace(-0.3, 0.3, 200, dtype=np.float32), 0, 1)],
    ids=["jpeg", "brightness", "gamma", "half size", "blur", "one pixel off", "uneven light"],
)  # fmt: skip
def test_an_altered_copy_is_nearly_the_same_as_its_original_and_as_no_other_image(altered):
    others = [scipy.ndimage.zoom(noise(seed, 50), 4, order=1)[:200, :200] for seed in range(6)]
    copy = np.ascontiguousarray(altered(others[3]), dtype=np.float32)
    assert found(*others, copy) == [(-1, False)] * 6 + [(3, False)]


def test_one_bright_feature_in_common_is_not_enough():
    bar = np.zeros((128, 128), dtype=bool)
    bar[112:118, 20:100] = bar[100:124, 18:22] = True  # a scale bar, far brighter than what the image shows
    images = [np.where(bar, np.float32(1), 0.1 * noise(seed, 128)) for seed in range(2)]
    whole = [details(image) for image in images]
    assert whole[0][768:] @ whole[1][768:] > 0.9, "the quarter with the bar is the same"
    assert found(*images) == [(-1, False)] * 2


def test_different_images_under_the_same_uneven_light_are_not_nearly_the_same():
    light = np.linspace(0.2, 0.8, 64, dtype=np.float32)
    images = [0.75 * light + 0.1 * noise(seed) for seed in range(2)]
    assert np.corrcoef([image.ravel() for image in images])[0, 1] > 0.95
    assert found(*images) == [(-1, False)] * 2


@pytest.mark.parametrize(("share", "near"), [(0.8, True), (0.6, False)])
def test_images_are_nearly_the_same_from_a_correlation_of_details_of_0_7(share, near):
    a, b = (noise(seed, 200) for seed in range(2))
    mixed = share * a + np.float32((1 - share**2) ** 0.5) * b  # correlates with a by about `share`
    quarters = (details(a) * details(mixed)).reshape(4, -1).sum(axis=1)
    assert (abs(quarters - share) < 0.1).all()
    assert found(a, mixed) == [(-1, False), (0 if near else -1, False)]


def test_flat_small_and_mirrored_images_have_no_near_duplicates():
    flat = [np.full((97, 89), value, dtype=np.float32) for value in np.linspace(0.01, 1, 20)]
    small = [noise(0, 31), noise(0, 31) * np.float32(0.9)]
    mirrored = [noise(0), np.ascontiguousarray(noise(0)[:, ::-1])]
    assert {pair for images in (flat, small, mirrored) for pair in found(*images)} == {(-1, False)}
    assert not any(details(image).any() for image in flat)


def test_an_exact_repeat_goes_before_an_earlier_near_one():
    a = noise(0)
    dimmed = a * np.float32(0.5)
    assert found(a, dimmed, dimmed.copy()) == [(-1, False), (0, False), (1, True)]


def test_repeats_are_the_same_however_images_fall_into_blocks(monkeypatch):
    images = [noise(seed) for seed in range(20)]
    images += [images[i] * np.float32(0.5) for i in (19, 0, 7)] + [images[3], noise(0) * np.float32(0.7)]
    whole = found(*images)
    assert whole[20:] == [(19, False), (0, False), (7, False), (3, True), (0, False)]
    monkeypatch.setattr("matlas.images.duplicates._BLOCK_ROWS", 3)
    assert found(*images) == whole


def test_a_dark_16_bit_image_says_that_its_white_may_lie_lower(tmp_path):
    twelve = save(tmp_path / "12.tif", np.array([[0, 819, 4095]], dtype=np.uint16))
    assert read_image(twelve).conversion == "no value above 4095 of 65535: is white_level lower?"
    assert read_image(twelve, white_level=4095).conversion == ""
