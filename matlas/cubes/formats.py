"""What reads which file of a cube, and its array as it lies there."""

from __future__ import annotations

import importlib
import logging
import struct
import unicodedata
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from scipy.io import loadmat, whosmat
from scipy.sparse import issparse

from matlas.cubes.cube import Axis
from matlas.errors import ConfigError, DataError

log = logging.getLogger(__name__)

_INSTALL = "run make cubes; outside of a checkout, pip install -r requirements-cubes.lock"
_EVEN = 0.01  # of a step: how far a listed position may lie from an evenly spaced one
# what parsers of binary files raise for one that is cut short or not what its name says
_DAMAGE = (
    OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, EOFError, SyntaxError, AssertionError,
    struct.error, zlib.error, BadZipFile,
)  # fmt: skip
# NFKC has made one sign of the two for micro, of the two for ångström, and plain digits of raised ones
_SPELLINGS = {
    "μm": "µm", "um": "µm", "micron": "µm", "microns": "µm", "ev": "eV", "kev": "keV", "angstrom": "Å",
    "1/cm": "cm^-1", "cm-1": "cm^-1", "cm\N{MINUS SIGN}1": "cm^-1", "<undefined>": "", "undefined": "",
}  # fmt: skip


@dataclass(frozen=True)
class Raw:
    """An array as it lies in a file.

    data : an array, or what gives arrays when it is sliced (of dask, of h5py); axes : what the file says of each of
    its axes, None where it says nothing; order : which of them is y, x, signal, where the file says so.
    """

    data: object
    axes: tuple[Axis, ...] | None = None
    order: tuple[str, ...] | None = None


@contextmanager
def opened(path: Path, key: str | None, reader: str | None) -> Iterator[Raw]:
    """Open a file for as long as its array is read.

    key : which of its arrays or signals, needed where there are several; reader : the name of RosettaSciIO's plugin,
    needed where several read the same extension.
    Raises ConfigError for an unknown format and for a package that is not installed, DataError for a file that is
    missing or damaged and for an unknown key.
    """
    if not path.is_file():
        raise DataError("file of the cube is missing", where=path, do="check the path, or fetch the source")
    own = {".npy": _npy, ".npz": _npz, ".mat": _mat}.get(path.suffix.lower())
    if own is None or reader is not None:
        yield _by_rosettasciio(path, key, reader)
    else:
        with own(path, key) as raw:
            yield raw


@contextmanager
def readable(path: Path, *more: type[Exception]) -> Iterator[None]:
    """What a parser raises for a damaged file becomes a DataError."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"reading {path.suffix} files needs the package {error.name}", where=path, do=_INSTALL
        ) from error
    except (*_DAMAGE, *more) as error:
        raise DataError(
            "can't read the cube: the file is damaged, or not what its name says", where=path,
            found=f"{type(error).__name__}: {error}", do="fetch it again",
        ) from error  # fmt: skip


def unit_of(text: object) -> str:
    """One spelling for each unit: µm for um, cm^-1 for 1/cm; "" for none."""
    text = unicodedata.normalize("NFKC", text).strip() if isinstance(text, str) else ""
    return _SPELLINGS.get(text, _SPELLINGS.get(text.lower(), text))


def even_axis(name: str, unit: str, values: Sequence[float], where: object) -> Axis:
    """The axis through listed positions. Raises DataError where they aren't evenly spaced, to a hundredth of a step."""
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise DataError(f"axis {name!r} needs a list of two finite positions or more", where=where, found=values.shape)
    scale = (values[-1] - values[0]) / (len(values) - 1)
    off = np.abs(values - (values[0] + scale * np.arange(len(values))))
    if off.max() > _EVEN * abs(scale):
        worst = int(off.argmax())
        raise DataError(
            f"axis {name!r} is not evenly spaced", where=where, expected=f"steps of {scale:g}",
            found=f"{values[worst]:g} at position {worst}, {off[worst] / abs(scale or 1):.2g} steps off",
            do="resample the spectra to even steps first",
        )  # fmt: skip
    return Axis(name, unit, float(values[0]), float(scale), len(values))


def _chosen(names: Sequence[str], key: str | None, path: Path) -> str:
    if key is None and len(names) == 1:
        return names[0]
    if key is None:
        raise DataError("the file holds several arrays", where=path, found=list(names), do="choose one by `key`")
    if key not in names:
        raise DataError(f"no array {key!r} in the file", where=path, expected=f"one of {list(names)}")
    return key


@contextmanager
def _npy(path: Path, key: str | None) -> Iterator[Raw]:
    if key is not None:
        raise ConfigError("an .npy file holds one array, without a name", where=path, do="leave out `key`")
    with readable(path):
        data = np.load(path, mmap_mode="r", allow_pickle=False)
    yield Raw(data)


@contextmanager
def _npz(path: Path, key: str | None) -> Iterator[Raw]:
    with readable(path), np.load(path, allow_pickle=False) as arrays:
        data = arrays[_chosen(arrays.files, key, path)]
    yield Raw(data)


@contextmanager
def _mat(path: Path, key: str | None) -> Iterator[Raw]:
    with readable(path), open(path, "rb") as handle:
        hdf5 = handle.read(124).startswith(b"MATLAB 7.3")
    if not hdf5:
        with readable(path):
            name = _chosen([name for name, *_ in whosmat(path)], key, path)
            data = loadmat(path, variable_names=[name])[name]
        yield Raw(data.toarray() if issparse(data) else data)
        return
    with readable(path):
        import h5py  # 0.1 s, and not every job reads HDF5

        file = h5py.File(path, "r")
    with file:
        names = [name for name, node in file.items() if isinstance(node, h5py.Dataset)]
        yield Raw(_Reversed(file[_chosen(names, key, path)]))


class _Reversed:
    """An array of MATLAB, whose axes lie in the HDF5 file the other way round."""

    def __init__(self, dataset):
        self._dataset, self.dtype, self.shape = dataset, dataset.dtype, dataset.shape[::-1]
        self.chunks = dataset.chunks and dataset.chunks[::-1]

    def __getitem__(self, first: slice) -> np.ndarray:
        return self._dataset[..., first].T


def _by_rosettasciio(path: Path, key: str | None, reader: str | None) -> Raw:
    try:
        from rsciio import IO_PLUGINS, exceptions  # here, since not every job reads a format of microscopes
    except ModuleNotFoundError as error:
        raise ConfigError(f"reading {path.suffix} files needs RosettaSciIO", where=path, do=_INSTALL) from error
    module = importlib.import_module(_plugin(path, reader, IO_PLUGINS)["api"])
    foreign = [e for e in vars(exceptions).values() if isinstance(e, type) and issubclass(e, Exception)]
    with readable(path, *foreign):
        try:  # only the signal that is chosen is then read, and no more of it at a time than is needed
            signals = module.file_reader(str(path), lazy=True)
        except _DAMAGE:  # not offered by readers of small files; and that of .hspy wants chunks
            signals = module.file_reader(str(path))
    titled: dict[str, dict] = {}
    for signal in signals:
        if "data" not in signal:  # a fitted model, which a .hspy file may hold by itself
            continue
        title = signal.get("metadata", {}).get("General", {}).get("title") or "untitled"
        alike = sum(name == title or name.startswith(f"{title} (") for name in titled)
        titled[f"{title} ({alike + 1})" if alike else title] = signal
    name = _chosen(list(titled), key, path)
    log.info("%s: signal %r", path.name, name)
    with readable(path, *foreign):
        return _from_rosettasciio(titled[name], path)


def _plugin(path: Path, reader: str | None, plugins: Sequence[Mapping]) -> Mapping:
    """The one that reads this extension, or that bears the name asked for."""
    plugins = [p for p in plugins if p["name"] != "PantaRhei"]  # whose files hold pickles
    if reader is not None:
        named = {p["name"]: p for p in plugins}
        if reader not in named:
            raise ConfigError(f"unknown reader {reader!r}", where=path, expected=f"one of {sorted(named)}")
        return named[reader]
    extension = path.suffix.lower().lstrip(".")
    known = {e.lower() for p in plugins for e in p["file_extensions"]}
    fitting = [p for p in plugins if extension in [e.lower() for e in p["file_extensions"]]]
    if not fitting:
        raise ConfigError(
            "unknown format of a cube", where=path, expected=f"one of {sorted(known | {'npz', 'mat'})}",
            found=repr(path.suffix), do="convert it, or give its `reader`",
        )  # fmt: skip
    if len(fitting) > 1:
        raise ConfigError(
            f"several readers for {path.suffix} files", where=path,
            expected=f"`reader`, one of {sorted(p['name'] for p in fitting)}",
        )  # fmt: skip
    return fitting[0]


def _from_rosettasciio(signal: Mapping, path: Path) -> Raw:
    described = sorted(signal["axes"], key=lambda a: a.get("index_in_array", 0))  # stable: most are in order
    axes, data = [], signal["data"]
    for size, d in zip(data.shape, described, strict=True):
        name, unit = str(d.get("name") or "unnamed"), unit_of(d.get("units"))
        if d.get("axis") is not None:  # positions listed one by one
            axes.append(even_axis(name, unit, d["axis"], path))
        else:
            axes.append(Axis(name, unit, float(d.get("offset", 0)), float(d.get("scale", 1)), size))
    spectra = [not d.get("navigate", False) for d in described]
    spatial = iter(("y", "x"))
    order = None
    if len(spectra) == 3 and sum(spectra) == 1:
        order = tuple("signal" if is_signal else next(spatial) for is_signal in spectra)
    return Raw(data, tuple(axes), order)
