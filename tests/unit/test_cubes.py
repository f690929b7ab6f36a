"""Cubes: pixels and their maps, and what files become, against arrays laid out by hand."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat
from scipy.sparse import csc_array

from matlas.cubes import cube as cube_module
from matlas.cubes import read
from matlas.cubes.cube import Axis, Cube
from matlas.cubes.read import read_cube
from matlas.errors import ConfigError, DataError

H, W, C = 2, 3, 4
MIRROR = os.environ.get("MATLAS_MIRROR")
real = pytest.mark.skipif(not MIRROR, reason="needs the mirror of real sources (MATLAS_MIRROR)")
ENERGY = {"unit": "eV", "offset": 100.0, "scale": 10.0}
YXS = ["y", "x", "signal"]


def planted(dtype=np.float64):
    """Value 100 y + 10 x + channel: each says where it belongs."""
    y, x, channel = np.indices((H, W, C))
    return (100 * y + 10 * x + channel).astype(dtype)


def cube_of(data, counts=False, offset=0.0, scale=1.0, unit="eV"):
    h, w, c = data.shape
    return Cube(data, Axis("y", "px", 0, 1, h), Axis("x", "px", 0, 1, w), Axis("E", unit, offset, scale, c), counts)


@pytest.fixture
def saved(tmp_path):
    def save(array, name="cube.npy"):
        np.save(tmp_path / name, array)
        return tmp_path / name

    return save


def plain(path, **options):
    return read_cube(path, **{"counts": False, "axes": YXS, "signal": ENERGY, **options})


# the cube


def test_an_axis_gives_its_positions_and_the_channels_of_a_window():
    axis = Axis("E", "eV", 100.0, 0.1, 6)
    assert axis.values == pytest.approx([100, 100.1, 100.2, 100.3, 100.4, 100.5])
    assert axis.window(100.1, 100.3) == slice(1, 4)
    assert Axis("E", "eV", 0, 0.1, 6).window(0.1, 0.3) == slice(1, 4)  # though 0.1 * 3 > 0.3
    assert axis.cut(slice(1, 4)).values == pytest.approx([100.1, 100.2, 100.3])
    assert axis.binned(2).values == pytest.approx([100.05, 100.25, 100.45])
    downwards = Axis("shift", "cm^-1", 300.0, -100.0, 4)
    assert downwards.window(50, 250) == slice(1, 3)
    assert downwards.span == "0 to 300 cm^-1"


def test_a_window_beyond_the_axis_and_an_axis_without_steps_are_refused():
    with pytest.raises(DataError, match=r"expected a part of 0 to 3 eV, found 8 to 9"):
        Axis("E", "eV", 0, 1, 4).window(8, 9)
    for offset, scale, size in ((0, 0, 3), (np.nan, 1, 3), (0, np.inf, 3), (0, 1, 0)):
        with pytest.raises(DataError, match="axis 'E' can't be"):
            Axis("E", "eV", offset, scale, size)


def test_pixels_become_rows_and_rows_become_the_map_again_where_the_image_is_not_square():
    data = planted()
    cube = cube_of(data)
    assert np.shares_memory(cube.spectra, data)
    for position, spectrum in enumerate(cube.spectra):
        y, x = cube.pixel(position)
        assert spectrum.tolist() == [100 * y + 10 * x + c for c in range(C)]
    assert [cube.pixel(p) for p in range(6)] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    np.testing.assert_array_equal(cube.image(cube.spectra[:, 0]), [[0, 10, 20], [100, 110, 120]])
    np.testing.assert_array_equal(cube.image(cube.spectra), data)
    with pytest.raises(IndexError):
        cube.pixel(6)
    with pytest.raises(IndexError):
        cube.pixel(-1)


def test_sums_by_blocks_are_the_sums_and_small_whole_numbers_do_not_overflow(monkeypatch):
    data = np.random.default_rng(0).integers(0, 256, (7, 5, 9), dtype=np.uint8)
    monkeypatch.setattr(cube_module, "_BLOCK_VALUES", 9 * 4)  # 35 pixels in blocks of 4
    cube = cube_of(data, counts=True)
    assert len(list(cube.blocks())) == 9
    assert cube.sum_image.tolist() == data.astype(int).sum(axis=2).tolist()
    assert cube.sum_spectrum.tolist() == data.astype(int).sum(axis=(0, 1)).tolist()
    assert cube.sum_image.dtype == np.int64 and cube_of(data.astype(np.float32)).sum_spectrum.dtype == np.float64


def test_sums_of_a_memory_mapped_cube_take_a_fraction_of_its_size(tmp_path):
    target = np.lib.format.open_memmap(tmp_path / "large.npy", "w+", np.uint16, (64, 64, 4096))
    target[:, :, 7] = 3
    target.flush()
    cube = cube_of(np.load(tmp_path / "large.npy", mmap_mode="r"), counts=True)
    tracemalloc.start()
    try:
        assert cube.sum_spectrum[7] == 3 * 64 * 64 and (cube.sum_image == 3).all()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 0.1 * target.nbytes


def test_a_cube_refuses_axes_that_do_not_fit_and_values_that_are_no_numbers():
    with pytest.raises(DataError, match="axes don't fit"):
        Cube(planted(), Axis("y", "", 0, 1, W), Axis("x", "", 0, 1, H), Axis("E", "", 0, 1, C), False)
    with pytest.raises(DataError, match="complex128"):
        cube_of(planted(complex))
    with pytest.raises(ValueError):  # rows of pixels must be a view
        cube_of(planted().transpose(1, 0, 2))


# arrays with declared axes


@pytest.mark.parametrize("order", [("y", "x", "signal"), ("signal", "y", "x"), ("x", "signal", "y")])
def test_the_declared_order_of_the_axes_is_brought_to_y_x_signal(saved, order):
    path = saved(planted().transpose([YXS.index(name) for name in order]))
    cube = plain(path, axes=order)
    np.testing.assert_array_equal(cube.data, planted())
    assert (cube.y, cube.x) == (Axis("y", "px", 0, 1, H), Axis("x", "px", 0, 1, W))
    assert cube.signal.values.tolist() == [100, 110, 120, 130]


@pytest.mark.parametrize("pixel_first", [True, False])
@pytest.mark.parametrize("pixel_order", ["row", "column"])
@pytest.mark.parametrize("into", [False, True])
def test_a_line_of_pixels_becomes_the_image_in_the_declared_order(
    saved, tmp_path, monkeypatch, pixel_first, pixel_order, into
):
    monkeypatch.setattr(read, "_BLOCK_BYTES", 100)  # several blocks
    places = [(y, x) for y in range(H) for x in range(W)]
    places.sort(key=lambda place: place if pixel_order == "row" else place[::-1])
    line = np.array([[100 * y + 10 * x + c for c in range(C)] for y, x in places])
    path = saved(line if pixel_first else line.T)
    axes = ["pixel", "signal"] if pixel_first else ["signal", "pixel"]
    target = tmp_path / "cube_out.npy" if into else None
    cube = plain(path, axes=axes, shape=(H, W), pixel_order=pixel_order, into=target)
    np.testing.assert_array_equal(cube.data, planted())
    if into:
        assert isinstance(cube.data, np.memmap)
        np.testing.assert_array_equal(np.load(target), planted())


def test_an_npy_file_in_order_stays_memory_mapped(saved):
    cube = plain(saved(planted()))
    base = cube.data
    while base is not None and not isinstance(base, np.memmap):
        base = base.base
    assert base is not None


def test_npz_and_matlab_files_give_the_array_of_their_key(tmp_path):
    np.savez(tmp_path / "a.npz", other=np.zeros(3), cube=planted(">u2"))
    savemat(tmp_path / "a.mat", {"other": np.zeros(3), "cube": planted()})
    savemat(tmp_path / "sparse.mat", {"cube": csc_array(planted().reshape(-1, C))})
    for name in ("a.npz", "a.mat"):
        cube = plain(tmp_path / name, key="cube")
        np.testing.assert_array_equal(cube.data, planted())
        assert cube.data.dtype.isnative
        with pytest.raises(DataError, match=r"no array 'cub'.*expected one of \['other', 'cube'\]"):
            plain(tmp_path / name, key="cub")
        with pytest.raises(DataError, match=r"several arrays.*\['other', 'cube'\].*Choose one by `key`"):
            plain(tmp_path / name)
    line = plain(tmp_path / "sparse.mat", axes=["pixel", "signal"], shape=(H, W), pixel_order="row")
    np.testing.assert_array_equal(line.data, planted())


@pytest.mark.parametrize("chunks", [None, (2, 1, 1)])
def test_matlab_7_3_files_are_read_in_the_order_that_matlab_shows(tmp_path, monkeypatch, chunks):
    h5py = pytest.importorskip("h5py")
    monkeypatch.setattr(read, "_BLOCK_BYTES", 100)
    path = tmp_path / "v73.mat"
    with h5py.File(path, "w", userblock_size=512) as file:  # MATLAB's axes lie the other way round
        file.create_dataset("cube", data=planted().transpose(), chunks=chunks)
        file.create_dataset("n", data=np.zeros((1, 1)))
    with open(path, "r+b") as handle:
        handle.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    np.testing.assert_array_equal(plain(path, key="cube").data, planted())
    with pytest.raises(DataError, match=r"no array 'cubes'.*\['cube', 'n'\]"):
        plain(path, key="cubes")


def test_arrays_of_objects_are_never_unpickled(tmp_path):
    np.save(tmp_path / "o.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "o.npz", cube=np.array([{"a": 1}], dtype=object))
    for name in ("o.npy", "o.npz"):
        with pytest.raises(DataError, match="Python objects in dtype|allow_pickle=False"):
            plain(tmp_path / name)


# calibration


def test_listed_positions_make_an_even_axis_and_uneven_ones_are_refused(saved):
    path = saved(planted())
    assert plain(path, signal=[1.0, 1.5, 2.0, 2.5], unit="nm").signal == Axis("signal", "nm", 1.0, 0.5, 4)
    assert plain(path, signal={"unit": "nm", "values": [4, 3, 2, 1]}).signal.scale == -1
    with pytest.raises(DataError, match=r"not evenly spaced.*1.7 at position 1, 0.4 steps off"):
        plain(path, signal=[1.0, 1.7, 2.0, 2.5], unit="nm")
    with pytest.raises(DataError, match=r"expected 4 positions.*found 3 values"):
        plain(path, signal=[1.0, 1.5, 2.0], unit="nm")
    with pytest.raises(ConfigError, match="`signal` can't be"):
        plain(path, signal=[1.0, 1.5, 2.0, 2.5])
    with pytest.raises(ConfigError, match="`signal` can't be"):
        plain(path, signal={"unit": "nm", "offset": 1})
    with pytest.raises(ConfigError, match="no signal axis with a unit"):
        plain(path, signal=None)


@pytest.mark.parametrize(
    ("given", "wanted", "offset", "scale"),
    [("eV", "keV", 0.1, 0.01), ("keV", "eV", 1e5, 1e4), ("nm", "um", 0.1, 0.01), ("um", "nm", 1e5, 1e4),
     ("1/cm", "cm^-1", 100, 10), ("\N{GREEK SMALL LETTER MU}m", "\N{MICRO SIGN}m", 100, 10)],
)  # fmt: skip
def test_a_unit_is_converted_to_the_declared_one(saved, caplog, given, wanted, offset, scale):
    with caplog.at_level(logging.INFO):
        axis = plain(saved(planted()), signal={"unit": given, "offset": 100, "scale": 10}, unit=wanted).signal
    assert (axis.offset, axis.scale) == (pytest.approx(offset), pytest.approx(scale))
    assert ("converted" in caplog.text) == (offset != 100)


@pytest.mark.parametrize(("given", "wanted"), [("eV", "nm"), ("cm^-1", "eV"), ("counts", "eV")])
def test_a_unit_of_another_kind_is_refused(saved, given, wanted):
    with pytest.raises(DataError, match=f"expected {wanted}, found {given}".replace("^", r"\^")):
        plain(saved(planted()), signal={"unit": given, "offset": 100, "scale": 10}, unit=wanted)


def test_the_step_of_pixels_is_declared_where_the_file_has_none(saved):
    cube = plain(saved(planted()), pixel_size=(5, "um"))
    assert cube.x == Axis("x", "µm", 0.0, 5.0, W) and cube.y == Axis("y", "µm", 0.0, 5.0, H)


# what is wrong


def test_layouts_that_can_not_be_are_refused(saved):
    path, line = saved(planted()), saved(planted().reshape(-1, C), "line.npy")
    pixels = {"axes": ["pixel", "signal"]}
    with pytest.raises(ConfigError, match="declare `axes`|Declare `axes`"):
        plain(path, axes=None)
    with pytest.raises(ConfigError, match="`axes` of a cube can't be"):
        plain(path, axes=["y", "x", "energy"])
    with pytest.raises(DataError, match=r"wrong number of axes.*expected 3.*found 2: shape \(6, 4\)"):
        plain(line)
    with pytest.raises(DataError, match=r"wrong number of axes.*expected 2.*found 3: shape \(2, 3, 4\)"):
        plain(path, **pixels, shape=(H, W), pixel_order="row")
    with pytest.raises(DataError, match=r"axes don't fit the array.*3 x 3 = 9 pixels, found 6"):
        plain(line, **pixels, shape=(3, 3), pixel_order="row")
    with pytest.raises(ConfigError, match="row or column"):
        plain(line, **pixels, shape=(H, W))
    with pytest.raises(ConfigError, match="`shape` and `pixel_order` are for an axis `pixel`"):
        plain(path, shape=(H, W))
    with pytest.raises(ConfigError, match="Leave out `key`"):
        plain(path, key="cube")
    with pytest.raises(DataError, match="empty"):
        plain(saved(np.zeros((0, 3, 4)), "empty.npy"))


def test_values_that_can_not_be_are_named_with_their_place(saved, tmp_path):
    data = planted()
    data[1, 2, 3] = np.nan
    data[0, 1, 0] = np.inf
    with pytest.raises(DataError, match=r"NaN or infinity.*2 values: inf at y 0, x 1, channel 0, nan at y 1, x 2"):
        plain(saved(data))
    below = planted(np.int16)
    below[1, 0, 2] = -5
    with pytest.raises(DataError, match=r"negative counts.*1 values: -5 at y 1, x 0, channel 2"):
        plain(saved(below), counts=True, into=tmp_path / "into.npy")
    assert not list(tmp_path.glob("*into*"))  # neither the file nor a part of it
    assert plain(saved(below), counts=False).data.min() == -5
    with pytest.raises(DataError, match="complex values"):
        plain(saved(planted(complex)))
    with pytest.raises(DataError, match="doesn't hold numbers"):
        plain(saved(planted(bool)))


def test_values_that_can_not_be_are_counted_over_all_blocks(saved, monkeypatch):
    monkeypatch.setattr(cube_module, "_BLOCK_VALUES", 8)  # two pixels
    data = planted()
    data[-1, -1, -1], data[1, 0, 0] = -np.inf, np.nan
    last, channel = f"y {H - 1}, x {W - 1}", data.shape[2] - 1
    with pytest.raises(DataError, match=f"2 values: nan at y 1, x 0, channel 0, -inf at {last}, channel {channel}"):
        plain(saved(data))


def test_missing_damaged_and_unknown_files_are_each_named(saved, tmp_path):
    with pytest.raises(DataError, match="file of the cube is missing"):
        plain(tmp_path / "none.npy")
    np.savez(tmp_path / "cut.npz", cube=planted())
    savemat(tmp_path / "cut.mat", {"cube": planted()}, do_compression=True)
    for path in (saved(planted(), "cut.npy"), tmp_path / "cut.npz", tmp_path / "cut.mat"):
        path.write_bytes(path.read_bytes()[:-60])
        with pytest.raises(DataError, match="the file is damaged, or not what its name says"):
            plain(path)


# RosettaSciIO's formats


def hspy(path, signals, chunks=True):
    """A HyperSpy file as its format says: {title: (data, [(name, units, offset, scale, navigate)])}."""
    pytest.importorskip("rsciio")
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        file.attrs.update({"file_format": "HyperSpy", "file_format_version": "3.3"})
        for i, (title, (data, axes)) in enumerate(signals.items()):
            group = file.create_group(f"Experiments/signal{i}")
            group.create_dataset("data", data=data, chunks=chunks)
            group.create_group("metadata/General").attrs["title"] = title
            group.create_group("original_metadata")
            for d, (name, units, offset, scale, navigate) in enumerate(axes):
                described = {"name": name, "offset": offset, "scale": scale, "navigate": navigate}
                group.create_group(f"axis-{d}").attrs.update(
                    described | {"size": data.shape[d], "units": units or "_None_"}
                )
    return path


NAVIGATED = [("height", "um", 1.0, 0.5, True), ("width", "um", 2.0, 0.25, True), ("Energy", "keV", 0.2, 0.01, False)]


@pytest.mark.parametrize("chunks", [(1, 2, 4), None])
@pytest.mark.parametrize("into", [False, True])
def test_a_hyperspy_file_gives_its_axes_and_counts(tmp_path, monkeypatch, into, chunks):
    monkeypatch.setattr(read, "_BLOCK_BYTES", 1)
    path = hspy(tmp_path / "a.hspy", {"EDX": (planted(np.uint8), NAVIGATED)}, chunks)
    cube = read_cube(path, counts=True, unit="eV", into=tmp_path / "into.npy" if into else None)
    np.testing.assert_array_equal(cube.data, planted(np.uint8))
    assert cube.data.dtype == np.uint8
    assert (cube.y, cube.x) == (Axis("y", "µm", 1.0, 0.5, H), Axis("x", "µm", 2.0, 0.25, W))
    assert (cube.signal.name, cube.signal.unit) == ("Energy", "eV")
    assert cube.signal.values == pytest.approx([200, 210, 220, 230])
    with pytest.raises(ConfigError, match="the file has a signal axis of its own"):
        read_cube(path, counts=True, signal=ENERGY)
    with pytest.raises(ConfigError, match="Leave out `pixel_size`"):
        read_cube(path, counts=True, pixel_size=(1, "nm"))
    with pytest.raises(DataError, match="expected nm, found keV"):
        read_cube(path, counts=True, unit="nm")


def test_of_several_signals_one_is_chosen_by_its_title(tmp_path):
    other = planted(np.int16) + 1
    path = hspy(tmp_path / "b.hspy", {"EDX": (planted(np.uint8), NAVIGATED), "EELS": (other, NAVIGATED)})
    np.testing.assert_array_equal(read_cube(path, counts=True, key="EELS").data, other)
    with pytest.raises(DataError, match=r"several arrays.*\['EDX', 'EELS'\]"):
        read_cube(path, counts=True)
    with pytest.raises(DataError, match=r"no array 'Raman'.*one of \['EDX', 'EELS'\]"):
        read_cube(path, counts=True, key="Raman")


def test_signals_of_the_same_title_are_told_apart_by_their_place(tmp_path):
    titles = {"EDX": (planted(np.uint8), NAVIGATED), "EDX ": (planted(np.uint8) + 1, NAVIGATED)}
    path = hspy(tmp_path / "b.hspy", titles)
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "r+") as file:
        file["Experiments/signal1/metadata/General"].attrs["title"] = "EDX"
    with pytest.raises(DataError, match=r"several arrays.*\['EDX', 'EDX \(2\)'\]"):
        read_cube(path, counts=True)
    assert read_cube(path, counts=True, key="EDX (2)").data[0, 0, 0] == 1


def test_an_image_stack_without_a_signal_axis_needs_declared_axes(tmp_path):
    stack = [("E", None, 0.0, 1.0, True), ("height", "nm", 0.0, 2.0, False), ("width", "nm", 0.0, 2.0, False)]
    path = hspy(tmp_path / "c.hspy", {"stack": (planted().transpose(2, 0, 1), stack)})
    with pytest.raises(ConfigError, match=r"shape \(4, 2, 3\) \['E', 'height', 'width'\]. Declare `axes`"):
        read_cube(path, counts=False, signal=ENERGY)
    cube = read_cube(path, counts=False, axes=["signal", "y", "x"], signal=ENERGY)
    np.testing.assert_array_equal(cube.data, planted())
    assert (cube.x.unit, cube.x.scale, cube.signal.offset) == ("nm", 2.0, 100.0)


def test_damaged_files_of_microscopes_unknown_formats_and_ambiguous_ones_are_refused(tmp_path):
    path = hspy(tmp_path / "d.hspy", {"EDX": (planted(), NAVIGATED)})
    path.write_bytes(path.read_bytes()[:900])
    for name in ("d.dm4", "d.dm3", "d.bcf", "d.emd", "d.rpl"):
        (tmp_path / name).write_bytes(b"no such thing" * 20)
    for name in ("d.hspy", "d.dm4", "d.dm3", "d.bcf", "d.emd", "d.rpl"):
        with pytest.raises(DataError, match="the file is damaged, or not what its name says"):
            read_cube(tmp_path / name, counts=False)
    for name in ("d.xyz", "d.h5", "pickled.prz"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(ConfigError, match=r"unknown format of a cube.*'hspy'.*found '.xyz'"):
        read_cube(tmp_path / "d.xyz", counts=False)
    with pytest.raises(ConfigError, match=r"unknown format of a cube.*found '.prz'"):
        read_cube(tmp_path / "pickled.prz", counts=False)
    with pytest.raises(ConfigError, match=r"several readers for .h5 files.*'USID'"):
        read_cube(tmp_path / "d.h5", counts=False)
    with pytest.raises(ConfigError, match=r"unknown reader 'HSPI'.*'HSPY'"):
        read_cube(tmp_path / "d.h5", counts=False, reader="HSPI")


def test_a_ripple_file_is_read_with_its_raw_neighbour(tmp_path):
    pytest.importorskip("rsciio")
    planted(np.uint16).tofile(tmp_path / "map.raw")
    lines = ["key value", "width 3", "height 2", "depth 4", "offset 0", "data-length 2", "data-type unsigned",
             "byte-order little-endian", "record-by vector", "ev-per-chan 10", "depth-origin 100", "depth-scale 10",
             "depth-units eV"]  # fmt: skip
    (tmp_path / "map.rpl").write_text("\n".join(line.replace(" ", "\t") for line in lines))
    cube = read_cube(tmp_path / "map.rpl", counts=True, unit="keV")
    np.testing.assert_array_equal(cube.data, planted(np.uint16))
    assert cube.signal.values == pytest.approx([0.1, 0.11, 0.12, 0.13])


def test_reading_an_array_does_not_import_rosettasciio(saved):
    code = (
        "import sys; from matlas.cubes.read import read_cube;"
        f"read_cube({str(saved(planted()))!r}, counts=False, axes={YXS}, signal={ENERGY});"
        "print([m for m in ('rsciio', 'h5py', 'dask') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_without_rosettasciio_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rsciio", None)
    (tmp_path / "a.hspy").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"Run make cubes.*requirements-cubes\.lock"):
        read_cube(tmp_path / "a.hspy", counts=True)


# real data


@real
def test_the_mantle_map_is_read_as_its_description_says():
    pytest.importorskip("rsciio")
    path = Path(MIRROR) / "stem-edxs-mantle" / "88_ES-LP_G8_selection2_cropped2.hspy"
    cube = read_cube(path, counts=True, unit="keV")
    assert (cube.data.shape, cube.data.dtype) == ((80, 80, 1917), np.uint8)
    assert cube.sum_image.mean() == pytest.approx(112, abs=0.5)
    assert (cube.data > 0).mean() == pytest.approx(0.032, abs=0.0005)
    assert cube.signal.values[[0, -1]] == pytest.approx([0.83, 20.0], abs=0.005)
    silicon = cube.signal.window(1.6, 1.9)  # Si K alpha at 1.740 keV
    peak = cube.signal.values[silicon][cube.sum_spectrum[silicon].argmax()]
    assert peak == pytest.approx(1.740, abs=0.01)


@real
def test_the_pixels_of_samson_lie_column_by_column_as_its_abundances_confirm():
    path = Path(MIRROR) / "samson" / "Samson.mat"
    abundances = loadmat(path)["S_GT"].reshape(-1, 3)

    def unexplained(pixel_order):
        cube = read_cube(path, counts=False, key="Y", axes=["signal", "pixel"], shape=(95, 95),
                         pixel_order=pixel_order, signal={"unit": "nm", "offset": 401, "scale": 3.13})  # fmt: skip
        spectra = cube.spectra / np.linalg.norm(cube.spectra, axis=1, keepdims=True)  # brightness is no abundance
        fitted = abundances @ np.linalg.lstsq(abundances, spectra, rcond=None)[0]
        return ((spectra - fitted) ** 2).sum() / ((spectra - spectra.mean(axis=0)) ** 2).sum()

    assert unexplained("column") < 0.02  # of the variance
    assert unexplained("row") > 0.9
