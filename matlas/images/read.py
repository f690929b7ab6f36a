"""A PNG, JPEG or TIFF file as grey values between 0 (black) and 1 (white), or the reason why it can't be."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
from PIL import Image, UnidentifiedImageError

from matlas.errors import DataError
from matlas.threads import map_in_order

MAX_PIXELS = 2**26  # an image of 8192 x 8192, 256 MB as float32; Pillow warns from 89 million on
_FORMATS = ("PNG", "JPEG", "TIFF")
_SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# what Pillow 13 raises for damaged files (54,000 of them, bytes changed or cut off at random), and what its own
# `open` expects of its readers
_DAMAGE = (OSError, SyntaxError, ValueError, TypeError, IndexError, KeyError, EOFError, struct.error)
_GREY_MODES = ("1", "L", "LA", "I;16", "I;16B", "I;16L", "I", "F")
_COLOUR_MODES = ("RGB", "RGBA", "RGBX", "P", "PA")
_RED, _BLUE = 0.299, 0.114  # and green the rest: Recommendation ITU-R BT.601-7, luma
_ORIENTATION, _BITS_PER_SAMPLE, _PHOTOMETRIC = 0x0112, 0x0102, 0x0106  # tags of TIFF 6.0
_WHITE_IS_ZERO = 0
_UPRIGHT_TO_STORED = {  # the inverse of what each orientation asks for
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}  # fmt: skip

Item, Result = TypeVar("Item"), TypeVar("Result")


class ImageError(DataError):
    """A file that can't be used as an image."""

    @property
    def reason(self) -> str:
        """Why, in a few words, the same for every file with this fault."""
        return self.what


@dataclass(frozen=True)
class Picture:
    """The grey values of an image, and what the file held.

    grey : (height, width) float32, 0 black to 1 white; bits : per channel as stored (palette colours have 8);
    channels : 1 or 3 as stored, transparency not counted; conversion : what was done to make it grey, "" for nothing.
    """

    grey: np.ndarray
    bits: int
    channels: int
    conversion: str


def read_image(path: str | Path, white_level: float | None = None) -> Picture:
    """Read a file of one image, its pixels as stored: an orientation in the metadata is not applied.

    Grey values of up to 16 bits are divided by the largest number of that many bits. white_level : the stored value
    that is white in grey images of more than 8 bits (4095 for a 12-bit camera that writes 16 bits); needed for 32-bit
    and signed integers and for floating point. Values above it, or below 0, are refused rather than clipped: they mean
    that the level is another one. Colour becomes grey by the weights of ITU-R BT.601; transparency is dropped.
    Raises ImageError for a file that is not PNG, JPEG or TIFF, is empty, truncated or damaged, holds several pages or
    more than `MAX_PIXELS`, CMYK and other colour spaces, or values that no white level explains. Damage inside a JPEG
    can go unseen, as the format has no check sums.
    """
    path = Path(path)
    try:
        handle = open(path, "rb")  # noqa: SIM115
    except OSError as error:
        raise ImageError("file can't be opened", where=path, found=error.strerror) from error
    with handle:
        start = handle.read(4)
        if not start:
            raise ImageError("empty file", where=path)
        try:
            image, stored = _load(handle, path)
        except Image.DecompressionBombError as error:
            raise _too_large(path, str(error)) from error
        except UnidentifiedImageError as error:
            if start.startswith(_SIGNATURES):
                raise ImageError("truncated, damaged or unsupported file", where=path) from error
            raise ImageError("not a PNG, JPEG or TIFF file", where=path, found=f"it begins with {start!r}") from error
        except _DAMAGE as error:
            raise ImageError("truncated or damaged file", where=path, found=error) from error
    if image.mode in _GREY_MODES:
        return _from_grey(image, stored, white_level, path)
    return _from_colour(image, stored)


def read_images(
    folder: str | Path, names: Sequence[str], *, white_level: float | None = None, threads: int | None = None
) -> Iterator[Picture]:
    """The images `names` below `folder`, in this order, decoded in threads; only a few are in memory at any time.

    threads : defaults to the current BLAS limit. Raises ImageError as `read_image` does.
    """
    folder = Path(folder)
    return map_in_order(lambda name: read_image(folder / name, white_level), names, what="images read", threads=threads)


def resized(grey: np.ndarray, width: int, height: int) -> np.ndarray:
    """(height, width) float32 values: bilinear, with the triangle widened to average when it shrinks.

    grey : (h, w) float32, returned as it is when it has the size already. The ratio of the sides is not kept. Results
    are weighted means, summed in float64, and so stay within the range of the values.
    """
    if grey.shape == (height, width):
        return grey
    return np.asarray(Image.fromarray(grey).resize((width, height), Image.Resampling.BILINEAR))


@dataclass(frozen=True)
class _Stored:
    """What the file says of its pixels. cut : Pillow kept only the upper 8 of its bits."""

    bits: int
    channels: int
    cut: bool
    white_is_zero: bool = False


def _load(handle: BinaryIO, path: Path) -> tuple[Image.Image, _Stored]:
    """The image with its pixels decoded. Raises what Pillow does for a damaged file."""
    image = Image.open(handle, formats=_FORMATS)
    if image.width * image.height > MAX_PIXELS:
        raise _too_large(path, f"{image.width} x {image.height}")
    pages = getattr(image, "n_frames", 1)
    if pages > 1:
        raise ImageError("several pages in one file", where=path, found=pages, do="save each as a file of its own")
    if image.mode not in _GREY_MODES + _COLOUR_MODES:
        raise ImageError(f"colour mode {image.mode}", where=path, expected="grey or RGB", do="save it as one of these")
    if image.format == "PNG":
        image.verify()  # the check sums, and that the end is there: loading looks at neither
        image = Image.open(handle, formats=_FORMATS)
        stored = _stored_in_png(handle, image.mode)
        image.load()
    elif image.format == "TIFF":
        stored = _stored_in_tiff(image)
        orientation = image.getexif().get(_ORIENTATION)
        image.load()  # turns the image upright
        if orientation in _UPRIGHT_TO_STORED:
            image = image.transpose(_UPRIGHT_TO_STORED[orientation])
    else:
        stored = _Stored(8, 1 if image.mode == "L" else 3, cut=False)
        image.load()
    return image, stored


def _stored_in_png(handle: BinaryIO, mode: str) -> _Stored:
    position = handle.tell()
    handle.seek(24)  # in the first chunk, IHDR, behind width and height
    bits, colour_type = handle.read(2)
    handle.seek(position)
    channels = 3 if colour_type & 2 else 1
    return _Stored(8 if mode == "P" else bits, channels, cut=bits == 16 and mode.startswith("RGB"))


def _stored_in_tiff(image: Image.Image) -> _Stored:
    bits = image.tag_v2.get(_BITS_PER_SAMPLE, (1,))[0]
    channels = 1 if image.mode in _GREY_MODES else 3
    return _Stored(
        8 if image.mode in ("P", "PA") else bits, channels, cut=bits == 16 and image.mode.startswith("RGB"),
        white_is_zero=image.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO,
    )  # fmt: skip


def _from_grey(image: Image.Image, stored: _Stored, white_level: float | None, path: Path) -> Picture:
    dropped = image.mode == "LA" or "transparency" in image.info
    values = np.asarray(image.getchannel("L") if image.mode == "LA" else image)
    if image.mode == "1":
        values, white = values.astype(np.float64), 1
    elif values.dtype == np.uint8:  # fewer bits were spread over 0…255
        white = 255
    else:
        white = white_level or (2**stored.bits - 1 if values.dtype.kind == "u" else None)
        if white is None:
            numbers = "floating point" if values.dtype.kind == "f" else "integers"
            raise ImageError(
                f"{stored.bits}-bit {numbers} without a white level", where=path,
                found=f"values {values.min()} … {values.max()}",
                do="set white_level, the value that is white, in the dataset's definition",
            )  # fmt: skip
        if not (values.min() >= 0 and values.max() <= white):  # NaN too
            raise ImageError(
                f"values outside 0 … {white:g}", where=path, found=f"{values.min()} … {values.max()}",
                do="set white_level, the value that is white, in the dataset's definition",
            )  # fmt: skip
        if stored.white_is_zero:  # Pillow turns these around up to 8 bits only
            values = white - values.astype(np.float64)
    steps = ["alpha dropped"] if dropped else []
    if white == 2**16 - 1 and white_level is None and values.max() < 2**14:  # a camera of 14 bits or fewer, or dark
        steps.append(f"no value above {values.max()} of {white}: is white_level lower?")
    grey = (values / np.float64(white)).astype(np.float32)
    return Picture(grey, stored.bits, stored.channels, ", ".join(steps))


def _from_colour(image: Image.Image, stored: _Stored) -> Picture:
    steps = []
    if stored.cut:
        steps.append(f"16-bit {'colour' if stored.channels == 3 else 'grey'} read at 8 bits")
    if image.mode in ("P", "PA"):
        steps.append("palette to colour")
    if image.mode in ("RGBA", "RGBX", "PA") or "transparency" in image.info:
        steps.append("alpha dropped")
        image.info.pop("transparency", None)  # or Pillow warns that convert() loses it
    if stored.channels == 3:
        steps.append("colour to grey")
    red, green, blue = np.moveaxis(np.asarray(image.convert("RGB"), dtype=np.float64), 2, 0)
    # as differences, so that equal channels give exactly their value
    grey = (green + _RED * (red - green) + _BLUE * (blue - green)) / 255
    return Picture(grey.astype(np.float32), stored.bits, stored.channels, ", ".join(steps))


def _too_large(path: Path, found: str) -> ImageError:
    return ImageError(
        f"more than {MAX_PIXELS} pixels", where=path, found=found, do="cut it into tiles, each a file of its own"
    )
