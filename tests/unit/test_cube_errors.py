"""What is wrong with a cube, met as the workflow meets it: one message that says what, where, expected, found and what
to do, or a repair that the log states. Parsers and layouts are tested one by one in test_cubes.py, rows and maps of an
image that isn't square there and in test_cube_dataset.py.
"""

from __future__ import annotations

import logging

import numpy as np
import pytest
from scipy.io import savemat

from matlas.clean.cubes import clean_cube, reference_spectra
from matlas.cubes.cube import Axis, Cube
from matlas.cubes.prepare import PIXELWISE, STEPS, prepare, scaled
from matlas.errors import ConfigError, DataError
from matlas.features.spectrum import about_axis, reference_frame, spectrum_features
from schemas.config.datasets import CubeDataset

HEIGHT, WIDTH, CHANNELS = 4, 6, 5
TOY = {"kind": "cube", "title": "toy", "path": "toy.npz", "array": "Y", "axes": ["y", "x", "signal"], "counts": True,
       "signal": {"unit": "keV", "offset": 0.5, "scale": 0.01}, "max_reject_share": 0.1}  # fmt: skip


def planted(dtype=np.int64) -> np.ndarray:
    return 1 + np.arange(HEIGHT * WIDTH * CHANNELS, dtype=dtype).reshape(HEIGHT, WIDTH, CHANNELS)


@pytest.fixture
def clean(tmp_path):
    """Write an array and clean it by the definition with some changes; what `clean_cube` returns."""

    def clean(data: np.ndarray, **changes):
        np.savez(tmp_path / "toy.npz", Y=data)
        return clean_cube(str(tmp_path / "toy.npz"), CubeDataset(**TOY | changes), "toy")

    return clean


def refused(kind: type[Exception], *fragments: str):
    """A single sentence or two, with all fragments in their order."""
    return pytest.raises(kind, match=r"^(?!.*\n)" + ".*".join(fragments) + r".*[.?!]$")


# stated repairs


def test_dead_channels_are_stated_with_their_energies_and_stay(clean, caplog):
    data = planted()
    data[:, :, 1], data[:, :, 3] = 0, 9
    with caplog.at_level(logging.WARNING):
        pixels, rejects, cube = clean(data)
    assert "2 of 5 channels are dead: 0.51, 0.53 keV" in caplog.text
    assert len(pixels) == HEIGHT * WIDTH and rejects.empty
    np.testing.assert_array_equal(cube.data, data)


def test_pixels_of_zeros_are_refused_by_number_and_place(clean, caplog):
    data = planted()
    data[1, 2] = data[3, 0] = 0
    with caplog.at_level(logging.WARNING):
        pixels, rejects, _ = clean(data)
    assert "2 of 24 pixels are 0 in every channel, at first (y, x) [(1, 2), (3, 0)]" in caplog.text
    assert rejects["row"].tolist() == [9, 19] and set(rejects["reason"]) == {"0 in every channel"}
    assert rejects["raw"].tolist() == ['{"pixel_y": 1, "pixel_x": 2}', '{"pixel_y": 3, "pixel_x": 0}']
    assert not {9, 19} & set(pixels["pixel_id"]) and len(pixels) == 22


def test_too_many_pixels_of_zeros_and_an_empty_image_are_refused(clean):
    data = planted()
    data[0, :3] = 0
    with refused(
        DataError,
        "too many bad pixels: 0 in every channel",
        "toy",
        "at most 10.0% of 24 pixels",
        "found 3, at first pixel 1, 2, 3; the file was read as 4 x 6 pixels of",
        "Check `axes`",
    ):
        clean(data)
    with refused(DataError, "no pixel is left", "toy", "found 24 pixels, all of them 0"):
        clean(data * 0, max_reject_share=1)


def test_an_axis_in_another_unit_of_its_kind_is_converted_and_the_log_says_so(clean, caplog):
    with caplog.at_level(logging.INFO):
        _, _, cube = clean(planted(), signal={"unit": "eV", "offset": 500, "scale": 10}, unit="keV")
    assert "toy.npz: axis signal converted from eV to keV" in caplog.text
    assert cube.signal.unit == "keV" and cube.signal.values == pytest.approx([0.5, 0.51, 0.52, 0.53, 0.54])


# refusals


def test_an_axis_in_a_unit_of_another_kind_is_refused(clean):
    with refused(DataError, "unit of axis 'signal' is not the declared one", "toy.npz", "expected keV", "found nm",
                 "Declare the unit that the file has"):  # fmt: skip
        clean(planted(), signal={"unit": "nm", "offset": 500, "scale": 10}, unit="keV")


def test_nan_is_refused_with_its_place(clean):
    data = planted(np.float64)
    data[2, 5, 3] = np.nan
    with refused(DataError, "NaN or infinity in the cube", "toy.npz", "1 values: nan at y 2, x 5, channel 3",
                 "Mend the file"):  # fmt: skip
        clean(data, counts=False)


def test_negative_counts_are_refused_with_their_place(clean):
    data = planted()
    data[0, 4, 2] = -3
    with refused(DataError, "negative counts in the cube", "toy.npz", "1 values: -3 at y 0, x 4, channel 2", "Mend"):
        clean(data)


@pytest.mark.parametrize("suffix", ["npz", "npy", "mat", "hspy"])
def test_a_file_that_is_cut_short_is_named_with_what_to_do(tmp_path, suffix):
    path, data = tmp_path / f"cut.{suffix}", planted()
    if suffix == "npz":
        np.savez(path, Y=data)
    elif suffix == "npy":
        np.save(path, data)
    elif suffix == "mat":
        savemat(path, {"Y": data}, do_compression=True)
    else:
        pytest.importorskip("rsciio")
        h5py = pytest.importorskip("h5py")
        with h5py.File(path, "w") as file:
            file.create_dataset("Experiments/signal/data", data=np.repeat(data, 1000, axis=0))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    definition = TOY | {"array": None if suffix in ("npy", "hspy") else "Y"}
    with refused(DataError, "can't read the cube: the file is damaged", f"cut.{suffix}", "found", "Fetch it again"):
        clean_cube(str(path), CubeDataset(**definition))


def test_a_key_that_is_not_there_and_axes_in_number_are_refused(clean):
    with refused(DataError, "no array 'Z' in the file", "toy.npz", r"expected one of \['Y'\]"):
        clean(planted(), array="Z")
    with refused(DataError, "wrong number of axes", "toy.npz", "expected 2", r"found 3: shape \(4, 6, 5\)", "`axes`"):
        clean(planted(), axes=["pixel", "signal"], shape=(HEIGHT, WIDTH), pixel_order="row")
    with refused(DataError, "axes don't fit the array", "toy.npz", "expected 5 x 5 = 25 pixels", "found 24", "`shape`"):
        clean(planted().reshape(-1, CHANNELS), axes=["pixel", "signal"], shape=(5, 5), pixel_order="row")


def test_axes_in_a_wrong_order_show_where_the_shares_of_the_file_are_of_another_image(tmp_path):
    shares = np.full((HEIGHT, WIDTH, 2), 0.5)
    np.savez(tmp_path / "toy.npz", Y=planted().transpose(2, 0, 1), S=shares)
    truth = {"array": "S", "materials": ["iron", "slag"]}
    right = CubeDataset(**TOY | {"axes": ["signal", "y", "x"]}, truth=truth)
    assert len(clean_cube(str(tmp_path / "toy.npz"), right)[0]) == HEIGHT * WIDTH
    with refused(DataError, "abundances don't fit the cube", "toy.npz: S", r"expected \(y, x, material\) \(5, 4, 2\)",
                 r"found \(4, 6, 2\)", "Check `truth`"):  # fmt: skip
        clean_cube(str(tmp_path / "toy.npz"), CubeDataset(**TOY, truth=truth))


# reference spectra


@pytest.fixture
def with_spectra(tmp_path):
    def clean(spectra: np.ndarray, **changes):
        path = str(tmp_path / "toy.npz")
        np.savez(path, Y=planted(), S=np.full((HEIGHT, WIDTH, 2), 0.5), M=spectra)
        truth = {"array": "S", "materials": ["iron", "slag"], "spectra": "M"}
        dataset = CubeDataset(**TOY | changes, truth=truth)
        return reference_spectra(path, dataset, clean_cube(path, dataset)[2])

    return clean


def test_spectra_of_the_materials_go_through_the_steps_of_a_view(with_spectra):
    spectra = np.array([[1.0, 2, 3, 4, 10], [0, 0, 5, 5, 0]])
    references, materials = with_spectra(spectra)
    assert materials == ("iron", "slag") and references.data.shape == (1, 2, CHANNELS) and references.counts
    view = {"steps": [{"crop": {"low": 0.5, "high": 0.53}}, {"rebin": {"signal": 2}}, {"scaled": {"by": "sum"}}]}
    frame = reference_frame(references, materials, view)
    assert frame[["material", "channel"]].to_numpy().tolist() == [["iron", 0], ["iron", 1], ["slag", 0], ["slag", 1]]
    np.testing.assert_allclose(frame["intensity"], [0.3, 0.7, 0, 1])
    np.testing.assert_allclose(frame["position"], [0.505, 0.525, 0.505, 0.525])


def test_steps_that_look_at_the_whole_image_leave_no_reference_spectra_and_the_log_says_so(with_spectra, caplog):
    references, materials = with_spectra(np.ones((2, CHANNELS)))
    with caplog.at_level(logging.INFO):
        frame = reference_frame(
            references, materials, {"steps": [{"crop": {"low": 0, "high": 1}}, {"variance_scaled": {}}]}
        )
    assert frame.empty and "no reference spectra in this view: step variance_scaled looks at the whole" in caplog.text
    assert reference_frame(None, (), {"steps": []}).empty


@pytest.mark.parametrize("name", PIXELWISE)
def test_what_is_done_pixel_by_pixel_does_not_depend_on_the_other_pixels(name):
    arguments = {"crop": {"low": 0.51, "high": 0.53}, "rebin": {"signal": 5}, "scaled": {"by": "max"}}.get(name, {})
    axes = [Axis(n, "px", 0, 1, size) for n, size in (("y", HEIGHT), ("x", WIDTH))]
    signal = Axis("signal", "keV", 0.5, 0.01, CHANNELS)
    whole = prepare(Cube(planted(), *axes, signal, True), [{name: arguments}])
    alone = Cube(planted()[1:2, 2:3], *(Axis(n, "px", 0, 1, 1) for n in "yx"), signal, True)
    np.testing.assert_array_equal(prepare(alone, [{name: arguments}]).data[0, 0], whole.data[1, 2])
    assert set(PIXELWISE) < set(STEPS)


def test_spectra_of_the_materials_that_do_not_fit_or_are_empty_are_refused(with_spectra):
    with refused(DataError, "spectra of the materials don't fit the cube", "toy.npz: M", r"\(2, 5\)", r"\(5, 2\)",
                 "Check `truth.spectra`"):  # fmt: skip
        with_spectra(np.ones((CHANNELS, 2)))
    for wrong in (0.0, np.nan):
        spectra = np.ones((2, CHANNELS))
        spectra[1] = wrong
        with refused(DataError, "a spectrum of a material is empty, NaN or infinite", "toy.npz: M"):
            with_spectra(spectra)


def test_computed_spectra_of_phases_are_as_bright_as_a_mean_pixel_and_stand_in_their_order(tmp_path):
    size, path = 500, str(tmp_path / "map.npz")
    np.savez(path, Y=np.random.default_rng(0).poisson(0.2, (3, 4, size)))
    detector = {"variance_offset": 0.00047, "variance_slope": 0.00048, "elevation_deg": 22.0}
    eds = {"beam_energy": 200, "elements": ["Ca", "Si"], "detector": detector,
           "phases": {"quartz": "SiO2", "wollastonite": "CaSiO3"}}  # fmt: skip
    definition = TOY | {"signal": {"unit": "keV", "offset": 0.9, "scale": 0.01}}
    dataset = CubeDataset(**definition, eds=eds)
    references, phases = reference_spectra(path, dataset, clean_cube(path, dataset)[2])
    assert phases == ("quartz", "wollastonite")
    cube = clean_cube(path, dataset)[2]
    np.testing.assert_allclose(references.spectra.sum(axis=1), cube.sum_image.mean())
    peaks = references.signal.values[references.spectra.argmax(axis=1)]
    assert peaks[0] == pytest.approx(1.74, abs=0.01)  # Si K
    calcium = references.signal.window(3.5, 4.2)  # Ca K
    assert references.spectra[0, calcium].sum() == pytest.approx(0, abs=1e-6 * references.spectra[0].sum())
    assert references.spectra[1, calcium].sum() > 0.3 * references.spectra[1].sum()
    wrong = CubeDataset(**definition, eds=eds | {"phases": {"quartz": "SiXx2"}})
    with refused(ConfigError, "formula of a phase can't be read", "eds.phases", "'quartz': .*'Xx'"):
        reference_spectra(path, wrong, cube)


# scaled


@pytest.mark.parametrize(("by", "size"), [("max", 4.0), ("sum", 7.0), ("norm", 5.0)])
def test_a_scaled_spectrum_is_divided_by_its_maximum_sum_or_length_and_zeros_stay(by, size):
    data = np.array([[[3, 4, 0], [0, 0, 0]]])
    cube = Cube(data, Axis("y", "", 0, 1, 1), Axis("x", "", 0, 1, 2), Axis("E", "eV", 0, 1, 3), True)
    made = scaled(cube, by)
    np.testing.assert_allclose(made.data, [[[3 / size, 4 / size, 0], [0, 0, 0]]])
    assert not made.counts


def test_a_spectrum_without_a_scale_is_refused_with_its_place():
    data = np.array([[[3.0, 4, 0], [1, 2, 3]], [[1, 1, 1], [-3, 1, 1]]])
    cube = Cube(data, Axis("y", "", 0, 1, 2), Axis("x", "", 0, 1, 2), Axis("E", "eV", 0, 1, 3), False)
    with refused(
        DataError, "a spectrum can't be divided by its sum", r"\(y, x\) \(1, 1\)", "expected above 0, found -1", "scale"
    ):
        scaled(cube, "sum")
    with refused(ConfigError, "`by` of step scaled can't be", r"'sum' \(nearest\)", "found 'sums'"):
        scaled(cube, "sums")
    assert scaled(cube, "norm").data[1, 1] == pytest.approx(np.array([-3, 1, 1]) / np.sqrt(11))


def test_a_table_of_spectra_says_where_its_channels_stand(clean):
    _, _, cube = clean(planted())
    prepared, _ = spectrum_features(cube, {"steps": [{"crop": {"low": 0.51, "high": 0.53}}, {"scaled": {"by": "sum"}}]})
    about = about_axis(prepared)
    assert (about["signal"], about["signal_unit"], about["counts"]) == ("signal", "keV", "false")
    positions = float(about["signal_offset"]) + float(about["signal_scale"]) * np.arange(3)
    np.testing.assert_allclose(positions, [0.51, 0.52, 0.53])
    assert about_axis(cube)["counts"] == "true"


# what the definition leaves out, and bins


def test_pixels_left_out_by_the_mask_are_listed_and_do_not_count_as_bad(tmp_path):
    kept = np.ones((HEIGHT, WIDTH), dtype=np.uint8)
    kept[0], kept[2, 3] = 0, 0
    data = planted()
    data[1, 1] = 0
    path = tmp_path / "toy.npz"
    np.savez(path, Y=data, valid=kept)
    pixels, rejects, _ = clean_cube(str(path), CubeDataset(**TOY, mask="valid"), "toy")
    assert rejects.groupby("reason")["row"].apply(list).to_dict() == {
        "left out by the mask": [1, 2, 3, 4, 5, 6, 2 * WIDTH + 3 + 1], "0 in every channel": [WIDTH + 1 + 1],
    }  # fmt: skip
    assert set(pixels["pixel_id"]) == set(range(1, HEIGHT * WIDTH + 1)) - set(rejects["row"])
    np.savez(path, Y=data, valid=kept.T)
    with refused(
        DataError, "the mask doesn't fit the cube", r"toy.npz: valid", r"\(4, 6\)", r"uint8 \(6, 4\)", "Check"
    ):
        clean_cube(str(path), CubeDataset(**TOY, mask="valid"), "toy")


def test_the_dataset_bins_pixels_before_anything_else(tmp_path):
    data, path = planted(), tmp_path / "toy.npz"
    np.savez(path, Y=data)
    definition = CubeDataset(**TOY, steps=[{"rebin": {"y": 2, "x": 3}}])
    pixels, _, cube = clean_cube(str(path), definition, "toy")
    assert cube.counts and cube.data.shape == (2, 2, CHANNELS)
    assert pixels["total"].tolist() == [data[a : a + 2, b : b + 3].sum() for a in (0, 2) for b in (0, 3)]
    np.testing.assert_array_equal(cube.spectra[1], data[:2, 3:].sum(axis=(0, 1)))
