"""Figures of spectrum images: their numbers against values computed another way, and what they refuse."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from matlas.cubes.cube import Axis
from matlas.cubes.eds import Detector, family_spectra
from matlas.errors import ConfigError, DataError
from matlas.figures.draw import draw
from matlas.figures.image_maps import percent
from matlas.figures.phases import phase_map, soft_map
from matlas.figures.quantities import noise_sweep, pixel_fit, quantities
from matlas.figures.spectra import centroid_spectra, cube_overview
from matlas.figures.study_data import load_study_data
from matlas.figures.style import colour
from matlas.figures.unmixing import abundance_maps, endmember_count, endmembers, residual_maps, unmixing_scores
from matlas.lineage import Lineage
from matlas.tables import write_table
from matlas.unmix.match import spectral_angle
from schemas.config.datasets import CubeDataset
from schemas.table import Field
from schemas.tables.analysis import METRICS, cluster_schema, representation_schema
from schemas.tables.dataset import dataset_schema
from schemas.tables.features import feature_schema
from schemas.tables.learning import TESTS
from schemas.tables.unmixing import (
    ENDMEMBER_COUNTS,
    QUANTITIES,
    UNMIXINGS,
    abundance_schema,
    endmember_schema,
    reference_schema,
)

HEIGHT, WIDTH, CHANNELS = 8, 12, 480
REFUSED = (1, 2)
SVG = "{http://www.w3.org/2000/svg}"
AXIS = Axis("energy", "keV", 0.3, 0.02, CHANNELS)
DETECTOR = {"variance_offset": 0.0008, "variance_slope": 0.00042, "thickness_mm": 0.45, "dead_layer_nm": 10.0,
            "elevation_deg": 20.0}  # fmt: skip
EDS = {"beam_energy": 200.0, "elements": ["O", "Si", "Fe", "Mg"], "detector": DETECTOR}
MATERIALS = ("iron_oxide", "silicate")
DATASET = CubeDataset(
    kind="cube", title="Toy", path="toy.npz", array="Y", axes=["y", "x", "signal"], counts=True,
    signal={"unit": "keV", "offset": 0.3, "scale": 0.02}, pixel_size=(2.5, "nm"),
    truth={"array": "S", "materials": list(MATERIALS)},
)  # fmt: skip
VCA = {"iron_oxide": (3.0, 5.0), "silicate": (1.0, 4.0)}  # spectral angles of two seeds
DOSES, CONTRASTS, SEEDS = (1.0, 10.0, 100.0), ("contrast 0.5", "contrast 1"), (0, 1, 2)


def planted() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Spectra of the two materials (2, c), shares (n, 2), and counts (n, c) of pixels on the left and right half, with
    a copper line, which nobody listed."""
    families, lines = family_spectra(["O", "Si", "Fe", "Mg", "Cu"], AXIS, Detector(**DETECTOR), 200.0)
    row = dict(zip(families, lines, strict=True))
    pure = np.stack([
        300 * row["Fe", "K"] + 100 * row["O", "K"] + 40 * row["Cu", "K"],
        300 * row["Si", "K"] + 200 * row["Mg", "K"] + 100 * row["O", "K"] + 40 * row["Cu", "K"],
    ])  # fmt: skip
    x = np.tile(np.arange(WIDTH), HEIGHT)
    left = np.where(x < 4, 0.9, 0.2)
    shares = np.stack([left, 1 - left], axis=1)
    counts = np.random.default_rng(5).poisson(shares @ (pure + 0.05)).astype(float)
    return pure, shares, counts


def write_study(folder, *, truth=True) -> list:
    """The tables of a study of an image of 8 x 12 pixels, one of which was refused."""
    pure, shares, counts = planted()
    keep = np.arange(HEIGHT * WIDTH) != REFUSED[0] * WIDTH + REFUSED[1]
    y, x = (place[keep] for place in np.divmod(np.arange(HEIGHT * WIDTH), WIDTH))
    pixel, shares, counts = (np.flatnonzero(keep) + 1), shares[keep], counts[keep]
    entities = pd.DataFrame({"pixel_id": pixel, "pixel_y": y, "pixel_x": x, "total": counts.sum(axis=1)})
    dataset = DATASET if truth else DATASET.model_copy(update={"truth": None})
    if truth:
        for material, share in zip(MATERIALS, shares.T, strict=True):
            entities[f"abundance_{material}"] = share
        entities["material"] = np.array(MATERIALS, dtype=object)[shares.argmax(axis=1)]
    schema = dataset_schema("toy", dataset)
    key, view = schema.fields[0], {"dataset": "toy", "view": "spectrum"}
    paths = []

    def write(name, frame, of, shuffled=True, **attributes):
        paths.append(folder / f"{name}.parquet")
        frame = frame.sample(frac=1, random_state=3, ignore_index=True) if shuffled else frame
        write_table(frame, paths[-1], of, lineage=Lineage(), attributes={"dataset": "toy", **attributes})

    image = {"height": str(HEIGHT), "width": str(WIDTH), "pixel_step": "2.5", "pixel_unit": "nm"}
    write("toy", entities, schema, shuffled=False, **image)
    fields = [Field(f"channel_{i}", "float64", "counts", f"Channel {i}") for i in range(CHANNELS)]
    channels = pd.DataFrame(counts, columns=[f.name for f in fields])
    axis = {"signal_unit": "keV", "signal_offset": repr(AXIS.offset), "signal_scale": repr(AXIS.scale)}
    frame = pd.concat([entities[["pixel_id"]], channels], axis=1)
    write("features", frame, feature_schema("spectrum", key, fields), shuffled=False, **view, **axis, counts="true")

    def spectra(names, values, column):
        return pd.DataFrame({
            column: np.repeat(np.array(names, dtype=object), CHANNELS), "channel": np.tile(np.arange(CHANNELS), 2),
            "position": np.tile(AXIS.values, 2), "intensity": values.ravel(),
        })  # fmt: skip

    known = spectra(MATERIALS, pure, "material")
    write("references", known if truth else known.iloc[:0], reference_schema("spectrum", "keV"), **view)
    space = {**view, "representation": "pca1"}
    scores = pd.DataFrame({"pixel_id": pixel, "z_0": shares[:, 0]})
    write("scores", scores, representation_schema("pca1", key, 1, rebuilt=False), **space)
    right = (x >= 4).astype("int64")
    labels = pd.DataFrame({"pixel_id": pixel, "cluster": 1 - right, "distance": 0.0, "k_2": 1 - right})
    write("kmeans", labels, cluster_schema("kmeans", key, [2]), **space, clustering="kmeans")
    soft = np.where(x < 4, 0.25, 0.95)  # of cluster 0
    mixture = labels.assign(responsibility_0=soft, responsibility_1=1 - soft)
    write("gmm", mixture, cluster_schema("gmm", key, [2], 2), **space, clustering="gmm")
    best = [{**space, "method": m, "k": None, "metric": "best_k", "value": 2.0, "seed": 0, "split": "all"}
            for m in ("kmeans", "gmm")]  # fmt: skip
    write("metrics", pd.DataFrame(best).astype({"k": "Int64", "seed": "Int64"}), METRICS, **space)
    names = MATERIALS if truth else ("1", "2")
    for number, unmixing in enumerate(("vca", "nmf")):
        found = np.clip(shares + 0.1 * number * np.array([-1, 1]), 0, 1)
        found = pd.DataFrame(found, columns=[f"share_{n}" for n in names])
        found = found.assign(pixel_id=pixel, brightness=1.0, residual=(1.0 + number) * (1 + x))
        about = {**view, "unmixing": unmixing}
        write(f"abundances_{unmixing}", found, abundance_schema(unmixing, key, names), **about)
        made = spectra(names, 2 * pure + np.array([[0.0], [1.0]]), "endmember")
        write(f"endmembers_{unmixing}", made, endmember_schema(unmixing, "keV"), shuffled=False, **about)
    write("unmixings", unmixing_rows(truth), UNMIXINGS, shuffled=False)
    tried = pd.DataFrame({
        "endmembers": [1, 2, 3], "singular_value": [90.0, 11.0, 9.0], "noise_up_to": [12.0, 11.5, 11.0],
        "accepted": [False, True, False],
    })  # fmt: skip
    write("counts", tried.assign(dataset="toy", view="spectrum", endmember_count="rank"), ENDMEMBER_COUNTS)
    write("quantities", quantity_rows(), QUANTITIES, shuffled=False)
    write("tests", test_rows(), TESTS, shuffled=False)
    return paths


def unmixing_rows(truth: bool) -> pd.DataFrame:
    rows = []
    for unmixing, errors in (("vca", (0.1, 0.2)), ("nmf", (0.6,))):
        for seed, error in enumerate(errors):
            rows.append((unmixing, "all", "relative_error", error / 2, seed))
            if seed:
                rows.append((unmixing, "all", "rmse_to_reference", 0.03, seed))
            if truth:
                rows.append((unmixing, "all", "abundance_rmse", error, seed))
                angles = {material: VCA[material][seed] for material in MATERIALS}
                rows += [(unmixing, material, "spectral_angle", angle, seed) for material, angle in angles.items()]
                rows.append((unmixing, "all", "spectral_angle", np.mean(list(angles.values())), seed))
        if truth:
            rows.append((unmixing, "all", "abundance_rmse_constant", 0.4, None))
    frame = pd.DataFrame(rows, columns=["unmixing", "endmember", "metric", "value", "seed"])
    return frame.astype({"seed": "Int64"}).assign(dataset="toy", view="spectrum")


def quantity_rows() -> pd.DataFrame:
    rows = [
        ("iron_oxide", "ratio", "Fe/O", 0.60, 0.03, None, None, True, 0.75),
        ("silicate", "ratio", "Fe/O", 0.02, 0.01, None, None, True, None),
        ("silicate", "ratio", "Mg/Si", 1.10, 0.05, None, None, True, 1.0),
        ("iron_oxide", "mass_ppm", "U", 900.0, 120.0, 150.0, 300.0, True, None),
        ("silicate", "mass_ppm", "U", None, 60.0, 80.0, 160.0, False, None),
        ("iron_oxide", "mass_ppm", "Lu", None, 20.0, 40.0, 80.0, False, None),
        ("iron_oxide", "atomic_fraction", "Fe", 0.4, 0.01, None, None, True, None),
    ]
    names = ["phase", "quantity", "subject", "value", "standard_error", "decision_limit", "detection_limit", "detected",
             "stated"]  # fmt: skip
    frame = pd.DataFrame(rows, columns=names).assign(study="toy", dataset="toy", pixels=31)
    numbers = [n for n in names[3:] if n != "detected"]
    return frame.astype({n: float for n in numbers})


def score(method: str, contrast: str, dose: float, seed: int) -> dict[str, float]:
    """What a run of the noise test gives."""
    better = (method == "fit") + (contrast == "contrast 1") + np.log10(dose)
    chosen = 2 if dose > 1 or seed == 2 else 3 + seed * (contrast == "contrast 1")
    return {"best_k": chosen, "ari": 0.1 * better + 0.01 * seed, "accuracy": 0.5 + 0.1 * better + 0.02 * seed,
            "abundance_rmse": 0.5 - 0.1 * better, "spectral_angle": 20 - 4 * better}  # fmt: skip


def test_rows() -> pd.DataFrame:
    rows = [
        ("noise", method, contrast, dose, metric, value, seed)
        for method in ("kmeans", "fit") for contrast in CONTRASTS for dose in DOSES for seed in SEEDS
        for metric, value in score(method, contrast, dose, seed).items() if (method, metric) != ("fit", "best_k")
    ]  # fmt: skip
    for method, right, seconds in (("clusters", 0.9, 2.0), ("line_fit", 0.95, 300.0)):
        rows += [("pixel_fit", method, "all", None, "accuracy", right, None),
                 ("pixel_fit", method, "all", None, "ari", right - 0.1, None),
                 *(("pixel_fit", method, "all", None, "seconds", seconds + extra, i)
                   for i, extra in enumerate((0.0, 1.0, -1.0)))]  # fmt: skip
        for place, phase in enumerate(MATERIALS):
            rows += [("pixel_fit", method, phase, None, "precision", right - 0.2 * place, None),
                     ("pixel_fit", method, phase, None, "recall", right - 0.3 * place, None)]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["test", "case", "group", "x", "metric", "value", "seed"])
    frame = frame.assign(study="toy", dataset="toy", view="", representation="", low=np.nan, high=np.nan, n=95)
    return frame.astype({"seed": "Int64", "x": float, "n": "Int64"})


test_rows.__test__ = False


def loaded(paths, *, truth=True, eds=EDS):
    about = {"label": "material", "described_by": "material"} if truth else {}
    return load_study_data(paths, "toy", "A toy image", definitions={"eds": eds}, **about)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return loaded(write_study(tmp_path_factory.mktemp("tables")))


@pytest.fixture(scope="module")
def blind(tmp_path_factory):
    """The same without anything that the source gives, and without knowing that it is X-rays."""
    return loaded(write_study(tmp_path_factory.mktemp("blind"), truth=False), truth=False, eds={})


SPECS = {
    "cube_overview": {}, "centroid_spectra": {"clustering": "kmeans"}, "phase_map": {"clustering": "kmeans"},
    "soft_map": {"clustering": "gmm"}, "abundance_maps": {"unmixing": "vca"}, "endmembers": {"unmixing": "vca"},
    "residual_maps": {}, "unmixing_scores": {}, "endmember_count": {}, "quantities": {}, "noise_sweep": {},
    "pixel_fit": {},
}  # fmt: skip


def spec(kind: str, **changes) -> dict:
    return {"name": f"a_{kind}", "kind": kind, **SPECS[kind], **changes}


def drawn(of: dict, data, folder) -> tuple[str, pd.DataFrame]:
    svg, csv = folder / f"{of['name']}.svg", folder / f"{of['name']}.csv"
    draw(of, data, svg, csv)
    return svg.read_text(encoding="utf-8"), pd.read_csv(csv)


def texts(svg: str) -> str:
    """All text of an SVG as one line, so that wrapping does not matter."""
    return " ".join("".join(node.itertext()) for node in ET.fromstring(svg).iter(f"{SVG}text"))


def left(data) -> np.ndarray:
    return (data.entities["pixel_x"] < 4).to_numpy()


def counts_of_pixels() -> np.ndarray:
    return np.delete(planted()[2], REFUSED[0] * WIDTH + REFUSED[1], axis=0)


@pytest.mark.parametrize("kind", SPECS)
def test_every_kind_is_drawn_from_a_study_with_the_same_bytes_twice_and_with_the_mark(kind, study, tmp_path):
    data = replace(study, simulated=True, mark="SIMULATED")
    svg, csv = drawn(spec(kind), data, tmp_path)
    assert "SIMULATED — generated, not measured" in texts(svg)
    assert set(csv["simulated"]) == {"generated, not measured"} and not csv.columns.str.startswith("Unnamed").any()
    assert drawn(spec(kind), data, tmp_path)[0] == svg


# the image and its spectra


def test_the_overview_sums_channels_of_pixels_and_pixels_of_channels(study, tmp_path):
    counts = counts_of_pixels()
    figure, table = cube_overview(spec("cube_overview"), study)
    (image,) = [ax for ax in figure.axes if ax.images]
    shown = image.images[0].get_array()
    assert shown.shape == (HEIGHT, WIDTH) and shown.mask.sum() == 1 and shown.mask[REFUSED]
    assert shown[3, 5] == counts[3 * WIDTH + 5 - 1].sum()  # one pixel before it was refused
    np.testing.assert_allclose(table.loc[table["mark"] == "spectrum", "sum"], counts.sum(axis=0))
    (axis,) = [ax for ax in figure.axes if ax.get_xlabel() == "Energy (keV)"]
    np.testing.assert_allclose(axis.lines[0].get_ydata(), counts.sum(axis=0))
    svg, _ = drawn(spec("cube_overview"), study, tmp_path)
    assert "10 nm" in texts(svg) and "Sum spectrum of view spectrum" in texts(svg)


def test_peaks_bear_element_and_line_and_one_that_nobody_listed_a_question_mark(study, tmp_path):
    svg, table = drawn(spec("cube_overview"), study, tmp_path)
    peaks = table[table["mark"] == "peak"]
    tabulated = {"O Kα": 0.525, "Mg Kα": 1.254, "Si Kα": 1.740, "Fe Kα": 6.40}  # keV, X-ray data booklet
    for name, energy in tabulated.items():
        nearest = peaks.loc[(peaks["position"] - energy).abs().idxmin()]
        assert abs(nearest["position"] - energy) < 0.03 and f"{nearest['element']} {nearest['line'][:2]}" == name
        assert f">{name}<" in svg
    copper = peaks.loc[(peaks["position"] - 8.05).abs().idxmin()]
    assert abs(copper["position"] - 8.05) < 0.03 and pd.isna(copper["element"]) and ">?<" in svg
    assert "O, Si, Fe and Mg in the sum spectrum" in texts(svg)


def test_peaks_are_not_labelled_where_the_dataset_says_nothing_of_x_rays(blind, tmp_path):
    svg, table = drawn(spec("cube_overview"), blind, tmp_path)
    assert set(table["mark"]) == {"pixel", "spectrum"} and "Kα" not in svg
    assert "is largest at" in texts(svg)


def test_centroid_spectra_are_means_and_standard_deviations_over_the_pixels(study, monkeypatch):
    monkeypatch.setattr("matlas.figures.spectra._VALUES_AT_ONCE", 7 * len(study.entities))  # 7 channels at a time
    figure, table = centroid_spectra(spec("centroid_spectra"), study)
    counts = counts_of_pixels()
    for cluster, pixels in ((1, left(study)), (0, ~left(study))):
        here = table[(table["cluster"] == cluster) & (table["mark"] == "spectrum")]
        np.testing.assert_allclose(here["mean"], counts[pixels].mean(axis=0))
        np.testing.assert_allclose(here["std"], counts[pixels].std(axis=0), atol=1e-12)
        np.testing.assert_allclose(here["position"], AXIS.values)
        assert set(here["pixels"]) == {pixels.sum()} and set(here["share"]) == {pixels.sum() / (HEIGHT * WIDTH)}
    upper, lower = figure.axes
    np.testing.assert_allclose(upper.lines[0].get_ydata(), counts[~left(study)].mean(axis=0))
    assert to_rgb(upper.lines[0].get_color()) == to_rgb(colour(1))  # that of the silicate, for which it stands
    assert "64 pixels, 67 %" in upper.get_title() and "31 pixels, 32 %" in lower.get_title()
    iron = table[(table["cluster"] == 1) & (table["mark"] == "peak") & (table["element"] == "Fe")]
    top = counts[left(study)].mean(axis=0)[np.argmin(abs(AXIS.values - 6.40))]
    assert iron.iloc[0]["height"] == pytest.approx(top, rel=0.1)  # of the mean, not of the sum


def test_views_that_are_named_and_not_clustered_show_their_spectra_of_the_same_clusters(study):
    spectra = {"spectrum": study.spectra["spectrum"], "other": study.spectra["spectrum"]}
    data = replace(study, spectra=spectra)
    alone = centroid_spectra(spec("centroid_spectra"), data)[1]
    both = centroid_spectra(spec("centroid_spectra", views=["spectrum", "other"]), data)[1]
    assert set(alone["spectra_of"]) == {"spectrum"} and set(both["spectra_of"]) == {"spectrum", "other"}
    assert set(both["view"]) == {"spectrum"} and len(both) == 2 * len(alone)


def test_spectra_in_another_order_than_the_pixels_are_refused(study):
    data = replace(study, entities=study.entities.iloc[::-1].reset_index(drop=True))
    with pytest.raises(DataError, match="not in the order of the dataset"):
        cube_overview(spec("cube_overview"), data)


def test_a_study_without_spectra_or_image_says_what_it_lacks(study):
    for draw_it, kind in ((cube_overview, "cube_overview"), (centroid_spectra, "centroid_spectra")):
        with pytest.raises(DataError, match=f"no spectra for a {kind} .*views"):
            draw_it(spec(kind), replace(study, spectra={}))
    with pytest.raises(DataError, match="not of the pixels of an image.*height"):
        phase_map(spec("phase_map"), replace(study, attributes={}))


# clusters on the image


def test_the_legend_of_a_phase_map_says_the_share_of_the_image(study, tmp_path):
    svg, table = drawn(spec("phase_map"), study, tmp_path)
    shares = table.groupby("cluster")[["pixels", "share"]].first()
    assert shares["pixels"].to_dict() == {0: 64, 1: 31}
    np.testing.assert_allclose(shares["share"], [64 / 96, 31 / 96])  # the refused pixel is part of the image
    assert "0 · silicate, 67 %" in texts(svg) and "1 · iron_oxide, 32 %" in texts(svg)
    assert [percent(s) for s in (0.0, 0.0004, 0.021, 0.0996, 0.5)] == ["0.0 %", "<0.1 %", "2.1 %", "10 %", "50 %"]


def test_a_soft_map_shows_responsibilities_and_their_entropy_in_units_of_log_k(study):
    figure, table = soft_map(spec("soft_map"), study)
    likeliest, first, second, entropy = [ax for ax in figure.axes if ax.images]
    assert first.images[0].get_array()[4, 0] == 0.25 and second.images[0].get_array()[4, 0] == 0.75
    of_quarter = -(0.25 * np.log2(0.25) + 0.75 * np.log2(0.75))  # base k = 2
    assert entropy.images[0].get_array()[4, 0] == pytest.approx(of_quarter)
    assert set(table.loc[left(study), "cluster"]) == {1} and set(table.loc[~left(study), "cluster"]) == {0}
    np.testing.assert_allclose(likeliest.images[0].get_array()[4, 0], to_rgb(colour(0)))  # stands for iron oxide
    assert "67 %" in "".join(text.get_text() for text in figure.texts)  # 64 of 95 pixels are above 0.9
    even = study.spaces["spectrum", "pca1"].clusters["gmm"].assign(responsibility_0=0.5, responsibility_1=0.5)
    space = replace(study.spaces["spectrum", "pca1"], clusters={"gmm": even})
    table = soft_map(spec("soft_map"), replace(study, spaces={("spectrum", "pca1"): space}))[1]
    np.testing.assert_allclose(table["entropy"], 1)


def test_a_clustering_without_responsibilities_has_no_soft_map(study):
    with pytest.raises(ConfigError, match=r"'kmeans' has no responsibilities \(a_soft_map.*a mixture \(gmm\)"):
        soft_map(spec("soft_map", clustering="kmeans"), study)


# unmixing


def test_abundance_maps_show_what_was_found_above_what_the_source_gives(study, blind):
    figure, table = abundance_maps(spec("abundance_maps", unmixing="nmf"), study)
    maps = [ax.images[0] for ax in figure.axes if ax.images]
    found = [image.get_array()[5, 1] for image in maps]
    np.testing.assert_allclose(found, [0.8, 0.2, 0.9, 0.1])  # planted less 0.1, then planted
    assert {image.get_clim() for image in maps} == {(0, 1)}
    assert table["source"].value_counts().to_dict() == {"nmf": 95, "given by the source": 95}
    truth = table[table["source"] != "nmf"]
    np.testing.assert_allclose(truth["share_silicate"], np.where(left(study), 0.1, 0.8))
    figure, table = abundance_maps(spec("abundance_maps"), blind)
    assert set(table["source"]) == {"vca"} and len([ax for ax in figure.axes if ax.images]) == 2
    assert any(ax.get_title() == "endmember 1, spectrum" for ax in figure.axes)


def test_endmembers_are_normalised_and_stand_beside_their_references_with_the_angle_of_the_first_seed(study):
    figure, table = endmembers(spec("endmembers"), study)
    pure = planted()[0]
    for ax, material, number in zip(figure.axes, MATERIALS, (0, 1), strict=True):
        made, reference = 2 * pure[number] + number, pure[number]
        np.testing.assert_allclose(ax.lines[0].get_ydata(), made / made.max())
        np.testing.assert_allclose(ax.lines[1].get_ydata(), reference / reference.max())
        assert f"{material}, found: spectral angle {VCA[material][0]:.1f}°" in ax.get_legend().get_texts()[0].get_text()
        # normalising leaves the angle between the two as it was
        drawn_lines = [line.get_ydata()[None] for line in ax.lines[:2]]
        assert spectral_angle(*drawn_lines)[0, 0] == pytest.approx(spectral_angle(made[None], reference[None])[0, 0])
    assert table.groupby("endmember")["spectral_angle"].first().to_dict() == {m: VCA[m][0] for m in MATERIALS}
    iron = table[(table["mark"] == "peak") & (table["endmember"] == "iron_oxide")]
    assert {"Fe", "O"} <= set(iron["element"]) and not {"Si", "Mg"} & set(iron["element"])


def test_residuals_of_a_view_share_one_colour_scale(study):
    figure, table = residual_maps(spec("residual_maps"), study)
    nmf, vca = [ax.images[0] for ax in figure.axes if ax.images]
    assert nmf.norm is vca.norm
    both = np.concatenate([(1 + n) * (1 + study.entities["pixel_x"]) for n in (0, 1)])
    np.testing.assert_allclose(vca.get_clim(), np.quantile(both, [0.01, 0.99]))
    shown = {ax.get_title().split(":")[0]: ax.images[0].get_array()[2, 7] for ax in figure.axes if ax.images}
    assert shown == {"vca": 8.0, "nmf": 16.0}
    assert "Least is left by vca" in figure.texts[0].get_text()


def test_unmixing_scores_hold_mean_and_range_over_seeds_beside_equal_shares(study, tmp_path):
    svg, table = drawn(spec("unmixing_scores"), study, tmp_path)
    rows = table.set_index(["unmixing", "metric"])
    vca = rows.loc[("vca", "abundance_rmse")]
    assert (vca["value"], vca["low"], vca["high"]) == pytest.approx((0.15, 0.1, 0.2)) and vca["seeds"] == 2
    assert vca["constant"] == 0.4 and rows.loc[("vca", "spectral_angle"), "value"] == pytest.approx((2 + 4.5) / 2)
    assert set(table["metric"]) == {"abundance_rmse", "spectral_angle"}
    assert "1 of 2 results worse than these" in texts(svg)  # nmf, 0.6


def test_without_truth_scores_say_what_is_left_and_how_seeds_differ(blind):
    _, table = unmixing_scores(spec("unmixing_scores"), blind)
    values = table.set_index(["unmixing", "metric"])["value"]
    assert values["vca", "relative_error"] == pytest.approx(0.075) and values["vca", "rmse_to_reference"] == 0.03
    assert set(table["metric"]) == {"relative_error", "rmse_to_reference"} and table["constant"].isna().all()


def test_the_accepted_number_of_endmembers_is_marked_and_said(study):
    figure, table = endmember_count(spec("endmember_count"), study)
    (ax,) = figure.axes
    (mark,) = [line for line in ax.lines if len(set(line.get_xdata())) == 1]
    assert set(mark.get_xdata()) == {2}
    assert "support 2 endmembers" in figure.texts[0].get_text()
    none = study.endmember_counts.assign(accepted=False)
    figure, _ = endmember_count(spec("endmember_count"), replace(study, endmember_counts=none))
    assert "support more than 3 endmembers" in figure.texts[0].get_text()


def test_figures_of_unmixing_name_what_is_missing(study):
    with pytest.raises(ConfigError, match="unknown unmixing.*'vca'"):
        endmembers(spec("endmembers", unmixing="vcs"), study)
    with pytest.raises(DataError, match="no unmixing for a residual_maps"):
        residual_maps(spec("residual_maps"), replace(study, unmixed={}))
    layers = {unmixing_scores: "unmixings", endmember_count: "endmember_counts", quantities: "quantities",
              noise_sweep: "tests", pixel_fit: "tests"}  # fmt: skip
    for draw_it, layer in layers.items():
        with pytest.raises(DataError, match=f"{layer.replace('_', ' ')} to draw"):
            draw_it(spec(draw_it.__name__), replace(study, **{layer: None}))
    only_noise = study.tests[study.tests["test"] == "noise"]
    with pytest.raises(DataError, match="no results of the test 'pixel_fit'"):
        pixel_fit(spec("pixel_fit"), replace(study, tests=only_noise))


# quantities and tests


def test_quantities_stand_beside_what_is_stated_and_undetected_ones_at_their_limit(study):
    figure, table = quantities(spec("quantities"), study)
    # of a ratio with no stated value, beside others that have one, nothing is shown
    assert set(table["quantity"]) == {"ratio", "mass_ppm"} and len(table) == 5
    assert not ((table["phase"] == "silicate") & (table["subject"] == "Fe/O")).any()
    ratios, _, iron_traces, silicate_traces = figure.axes
    bars = ratios.containers[0]
    assert bars.lines[0].get_xdata() == [0.60]
    np.testing.assert_allclose(bars.lines[2][0].get_segments()[0][:, 0], [0.57, 0.63])
    assert [0.75] in [list(line.get_xdata()) for line in ratios.lines]  # stated
    words = [text for text in silicate_traces.texts if text.get_text() == "not detected"]
    assert [text.xy[0] for text in words] == [160.0] and not silicate_traces.containers
    assert iron_traces.get_xscale() == "log" and "(ppm)" in iron_traces.get_xlabel()
    low, high = ratios.get_xlim()
    assert low == 0 and high > 1.15  # Mg/Si and its bar, in the panel beside, are on the same axis
    # |0.6 - 0.75| / 0.75 = 20 % and |1.1 - 1| = 10 %
    title = " ".join(text.get_text() for text in figure.texts)
    assert "differ by 15 %" in title and "U detected in iron oxide and Lu detected in no phase" in title


def test_without_ratios_and_traces_there_are_no_quantities(study):
    other = study.quantities[study.quantities["quantity"] == "atomic_fraction"]
    with pytest.raises(DataError, match="no ratios and no trace elements"):
        quantities(spec("quantities"), replace(study, quantities=other))


def test_a_noise_sweep_has_medians_over_seeds_and_the_most_frequent_number_of_clusters(study):
    figure, table = noise_sweep(spec("noise_sweep"), study)
    for row in table[table["metric"] != "best_k"].itertuples():
        values = [score(row.method, row.contrast, row.dose, seed)[row.metric] for seed in SEEDS]
        assert (row.value, row.low, row.high) == pytest.approx((sorted(values)[1], min(values), max(values)))
    chosen = table[table["metric"] == "best_k"].set_index(["contrast", "dose"])
    assert set(chosen["method"]) == {"kmeans"}
    # seeds choose 3, 3, 2; and 3, 4, 2, of which the smallest stands for all
    assert chosen.loc[("contrast 0.5", 1.0), "value"] == 3 and chosen.loc[("contrast 0.5", 1.0), "share"] == 2 / 3
    assert chosen.loc[("contrast 1", 1.0), "value"] == 2 and chosen.loc[("contrast 1", 100.0), "share"] == 1
    grid = figure.axes[0]
    np.testing.assert_array_equal(grid.images[0].get_array(), [[3, 2, 2], [2, 2, 2]])
    assert [label.get_text() for label in grid.get_yticklabels()] == list(CONTRASTS)
    assert all(ax.get_xscale() == "log" for ax in figure.axes[1:]) and len(figure.axes) == 5


def test_with_one_contrast_the_number_of_clusters_is_a_line(study):
    tests = study.tests[study.tests["group"] == "contrast 1"].assign(group="")
    figure, _ = noise_sweep(spec("noise_sweep"), replace(study, tests=tests))
    (ax,) = [ax for ax in figure.axes if ax.get_title() == "Number of clusters chosen"]
    assert not ax.images and list(ax.lines[0].get_ydata()) == [2, 2, 2]


def test_pixel_fits_are_compared_by_phase_and_by_time(study, tmp_path):
    svg, table = drawn(spec("pixel_fit"), study, tmp_path)
    rows = table.set_index(["method", "phase", "metric"])["value"]
    assert rows["line_fit", "silicate", "recall"] == pytest.approx(0.65)
    assert rows["line_fit", "all", "seconds"] == 300  # median of 300, 301 and 299
    assert "line fit takes 150 times as long as clusters" in texts(svg)
    assert "clusters 90.0 % and line fit 95.0 %" in texts(svg)


def test_a_method_applied_to_several_spaces_says_on_which(study):
    again = study.tests[study.tests["case"] == "clusters"].assign(view="spectrum", representation="pca1")
    other = again.assign(representation="as_is")
    fit = study.tests[study.tests["case"] == "line_fit"]
    _, table = pixel_fit(spec("pixel_fit"), replace(study, tests=pd.concat([again, other, fit], ignore_index=True)))
    assert set(table["method"]) == {"clusters on pca1", "clusters on as is", "line_fit"}
