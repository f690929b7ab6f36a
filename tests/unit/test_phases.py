"""What phases consist of, against counts that were drawn from planted compositions."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
import xraylib

from matlas.composition import ATOMIC_NUMBER
from matlas.cubes.cube import Axis, Cube
from matlas.cubes.eds import Detector, bremsstrahlung, family_spectra, sensitivity
from matlas.cubes.phases import computed_spectrum, phase_quantities
from matlas.cubes.quantify import fit_lines
from matlas.errors import ConfigError, DataError
from matlas.tables import read_table, write_table
from schemas.config.datasets import Eds
from schemas.config.studies import Quantification
from schemas.tables.unmixing import QUANTITIES

AXIS = Axis("Energy", "keV", 0.83151949728, 0.01000467828, 1917)
WAY = {"variance_offset": 0.00046645, "variance_slope": 0.00048069, "thickness_mm": 0.45, "dead_layer_nm": 10.0,
       "elevation_deg": 22.0}  # fmt: skip
DETECTOR, BEAM = Detector(**WAY), 200.0
ELEMENTS = ["Mg", "Si", "Ca", "Fe", "Nd", "Sm", "Cu"]
EDS = Eds(beam_energy=BEAM, elements=ELEMENTS, not_in_sample=["Cu"], detector=WAY).model_dump(mode="json")
ATOMS = {  # of the cations
    "bridgmanite": {"Mg": 0.46, "Fe": 0.05, "Si": 0.48, "Ca": 0.01},
    "davemaoite": {"Ca": 0.48, "Mg": 0.02, "Fe": 0.02, "Si": 0.48},
    "periclase": {"Mg": 0.87, "Fe": 0.13},
}
PPM = {"davemaoite": {"Sm": 20000.0}}
HEIGHT, WIDTH = 3, 7
PLACES = {"bridgmanite": range(0, 12), "davemaoite": range(12, 18), "periclase": range(18, 21)}
RATIO = {"name": "(Mg + Fe) / Si", "above": ["Mg", "Fe"], "below": ["Si"], "stated": {"bridgmanite": 1.0}}
COUNTS = 12_000  # of a pixel's lines


def weight(element: str) -> float:
    return xraylib.AtomicWeight(ATOMIC_NUMBER[element])


def composition(phase: str) -> dict[str, float]:
    """Atoms, with the traces by mass of the cations."""
    atoms, traces = ATOMS[phase], PPM.get(phase, {})
    mass = sum(n * weight(e) for e, n in atoms.items()) / (1 - sum(traces.values()) * 1e-6)
    return atoms | {e: ppm * 1e-6 * mass / weight(e) for e, ppm in traces.items()}


def mean_spectrum(phase: str) -> np.ndarray:
    """(C,) expected counts of a pixel: lines, copper of the grid, and a background."""
    atoms = composition(phase) | {"Cu": 0.05}
    families, spectra = family_spectra(list(atoms), AXIS, DETECTOR, BEAM)
    lines = (sensitivity(families, DETECTOR, BEAM) * [atoms[e] for e, _ in families]) @ spectra
    background = bremsstrahlung(AXIS, DETECTOR, BEAM, powers=(1,))[0]
    return COUNTS * (lines / lines.sum() + 0.2 * background / background.sum())


def cube_of(means: dict[str, np.ndarray], seed: int = 0, counts: bool = True) -> Cube:
    data = np.empty((HEIGHT * WIDTH, AXIS.size))
    for phase, places in PLACES.items():
        data[list(places)] = means[phase]
    drawn = np.random.default_rng(seed).poisson(data).reshape(HEIGHT, WIDTH, -1)
    return Cube(drawn, Axis("y", "px", 0, 1, HEIGHT), Axis("x", "px", 0, 1, WIDTH), AXIS, counts)


def shares_of(pixels: list[int] | None = None) -> pd.DataFrame:
    """A share of 0.9 in its own pixels, with one of them mixed; the index is the place among the cube's spectra."""
    shares = pd.DataFrame(0.05, index=range(HEIGHT * WIDTH), columns=list(PLACES))
    for phase, places in PLACES.items():
        shares.loc[list(places), phase] = 0.9
    shares.loc[0, ["bridgmanite", "davemaoite"]] = 0.5
    return shares if pixels is None else shares.loc[pixels]


def spec(**changes) -> dict:
    asked = {"view": "counts", "unmixing": "nmf", "least_share": 0.7, "least_pixels": 5, "ratios": [RATIO]}
    return Quantification(**asked | changes).model_dump(mode="json")


@pytest.fixture(scope="module")
def means():
    return {phase: mean_spectrum(phase) for phase in PLACES}


@pytest.fixture(scope="module")
def found(means):
    stated = {"Sm": {"davemaoite": 20000.0}}
    return phase_quantities(cube_of(means), shares_of(), EDS, spec(stated_ppm=stated))


def one(table: pd.DataFrame, phase: str, quantity: str, subject: str) -> pd.Series:
    (row,) = table[(table[["phase", "quantity", "subject"]] == [phase, quantity, subject]).all(axis=1)].itertuples()
    return row


def test_the_counts_are_those_of_the_pixels_in_which_the_phase_has_its_share(found, means):
    spectra = cube_of(means).spectra
    assert one(found, "bridgmanite", "counts", "all").value == spectra[1:12].sum()  # without the mixed pixel
    assert one(found, "davemaoite", "counts", "all").value == spectra[12:18].sum()
    assert found.groupby("phase")["pixels"].unique().map(list).to_dict() == {
        "bridgmanite": [11], "davemaoite": [6], "periclase": [3]
    }  # fmt: skip


def test_shares_say_by_their_index_which_pixels_they_are_of(found, means):
    shuffled = np.random.default_rng(0).permutation(HEIGHT * WIDTH).tolist()
    again = phase_quantities(cube_of(means), shares_of(shuffled), EDS, spec(stated_ppm={"Sm": {"davemaoite": 20000.0}}))
    pd.testing.assert_frame_equal(again, found)
    without = phase_quantities(cube_of(means), shares_of([*range(5), *range(6, 21)]), EDS, spec())
    spectra = cube_of(means).spectra
    assert one(without, "bridgmanite", "counts", "all").value == spectra[[1, 2, 3, 4, *range(6, 12)]].sum()


def test_ratios_and_fractions_are_the_planted_ones_within_their_errors(means):
    deviations = []
    for seed in range(12):
        table = phase_quantities(cube_of(means, seed), shares_of(), EDS, spec())
        for phase in ("bridgmanite", "davemaoite"):
            atoms = composition(phase)
            rows = [(one(table, phase, "ratio", RATIO["name"]), (atoms["Mg"] + atoms["Fe"]) / atoms["Si"])]
            for element in ("Mg", "Fe", "Si", "Ca"):
                row = one(table, phase, "atomic_fraction", element)
                rows.append((row, atoms[element] / sum(atoms.values())))
            deviations.append([(row.value - truth) / row.standard_error for row, truth in rows])
    deviations = np.array(deviations)
    assert (np.abs(deviations.mean(axis=0)) < 4 / np.sqrt(len(deviations))).all(), deviations.mean(axis=0)
    assert 0.7 < deviations.std() < 1.3


def test_ratios_and_traces_stand_beside_what_is_stated_of_their_phase(found):
    assert one(found, "bridgmanite", "ratio", RATIO["name"]).stated == 1.0
    assert np.isnan(one(found, "davemaoite", "ratio", RATIO["name"]).stated)
    samarium = one(found, "davemaoite", "mass_ppm", "Sm")
    assert samarium.stated == 20000 and abs(samarium.value - 20000) < 3.5 * samarium.standard_error
    assert np.isnan(one(found, "davemaoite", "atomic_fraction", "Sm").stated)  # a fraction is no ppm
    assert np.isnan(one(found, "bridgmanite", "mass_ppm", "Sm").stated)


def test_an_element_that_is_not_detected_has_a_limit_and_neither_fraction_nor_ppm(found):
    for quantity in ("atomic_fraction", "mass_ppm"):
        row = one(found, "bridgmanite", quantity, "Nd")
        assert not row.detected and np.isnan(row.value) and np.isnan(row.standard_error) and row.detection_limit > 0
    lines = one(found, "bridgmanite", "counts", "Nd L")
    assert not lines.detected and lines.value <= lines.decision_limit < lines.detection_limit


def test_elements_of_the_grid_are_fitted_and_in_no_composition(found):
    assert one(found, "bridgmanite", "counts", "Cu K").detected
    assert "Cu" not in set(found.loc[found["quantity"].isin(["atomic_fraction", "mass_ppm"]), "subject"])
    fractions = found[(found["quantity"] == "atomic_fraction") & (found["phase"] == "bridgmanite")]
    assert fractions["value"].sum() == pytest.approx(1)


def test_a_phase_of_few_pixels_has_its_counts_and_no_other_row(means, caplog):
    with caplog.at_level(logging.WARNING):
        table = phase_quantities(cube_of(means), shares_of(), EDS, spec())
    rows = table[table["phase"] == "periclase"]
    assert rows[["quantity", "subject", "pixels"]].to_numpy().tolist() == [["counts", "all", 3]]
    assert "phase periclase is not quantified: 3 pixels have a share of 0.7 or more, 5 are asked for" in caplog.text
    nowhere = phase_quantities(cube_of(means), shares_of(), EDS, spec(least_share=0.95))
    assert nowhere["value"].tolist() == [0, 0, 0] and nowhere["pixels"].tolist() == [0, 0, 0]
    with_three = phase_quantities(cube_of(means), shares_of()[["periclase"]], EDS, spec(least_pixels=3, ratios=[]))
    assert len(with_three) > 10


def test_a_trace_in_a_window_of_its_own_is_not_the_tail_of_iron(means):
    tail = np.where(AXIS.values < 6.4, np.exp((AXIS.values - 6.4) / 0.1), 0)  # of incomplete charge collection
    iron = family_spectra(["Fe"], AXIS, DETECTOR, BEAM)[1][0]
    strong = means["bridgmanite"] + 10 * COUNTS * (iron + 0.05 * tail / tail.sum())
    cube = cube_of(means | {"bridgmanite": strong})
    shares = shares_of()[["bridgmanite"]]
    whole = phase_quantities(cube, shares, EDS, spec(ratios=[]))
    window = {"elements": ["Sm"], "low": 4.3, "high": 6.0}
    apart = phase_quantities(cube, shares, EDS, spec(ratios=[], windows=[window]))
    for quantity, subject in (("counts", "Sm L"), ("mass_ppm", "Sm"), ("atomic_fraction", "Sm")):
        assert one(whole, "bridgmanite", quantity, subject).detected, quantity
        assert not one(apart, "bridgmanite", quantity, subject).detected, quantity
    assert np.isnan(one(apart, "bridgmanite", "mass_ppm", "Sm").value)
    others = [t[~t["subject"].isin(["Sm", "Sm L"])].reset_index(drop=True) for t in (whole, apart)]
    pd.testing.assert_frame_equal(*others)  # of nothing else


def test_a_trace_in_a_window_has_the_counts_of_a_fit_there_and_the_scale_of_the_whole_fit(means):
    cube, shares = cube_of(means), shares_of()[["davemaoite"]]
    window = {"elements": ["Sm"], "low": 4.3, "high": 6.0}
    whole = phase_quantities(cube, shares, EDS, spec(ratios=[]))
    apart = phase_quantities(cube, shares, EDS, spec(ratios=[], windows=[window]))
    part = AXIS.window(4.3, 6.0)
    spectrum = cube.spectra[12:18].sum(axis=0)
    by_hand = fit_lines(spectrum[part], AXIS.cut(part), ["Nd", "Sm"], DETECTOR, BEAM).families.loc[("Sm", "L")]
    counts = one(apart, "davemaoite", "counts", "Sm L")
    assert counts.value == by_hand["counts"] != one(whole, "davemaoite", "counts", "Sm L").value
    for column in ("standard_error", "decision_limit", "detection_limit"):
        assert getattr(counts, column) == by_hand[column]
    for quantity in ("mass_ppm", "atomic_fraction"):
        scale = one(whole, "davemaoite", quantity, "Sm").value / one(whole, "davemaoite", "counts", "Sm L").value
        row = one(apart, "davemaoite", quantity, "Sm")
        assert row.value == pytest.approx(scale * counts.value)
        assert row.standard_error == pytest.approx(scale * counts.standard_error)
        assert row.detection_limit == pytest.approx(scale * counts.detection_limit, rel=1e-6)
    ppm = one(apart, "davemaoite", "mass_ppm", "Sm")
    assert abs(ppm.value - 20000) < 3.5 * ppm.standard_error


def test_quantities_are_a_table_of_their_schema(found, tmp_path):
    write_table(found.assign(study="s", dataset="d")[QUANTITIES.columns], tmp_path / "q.parquet", QUANTITIES)
    assert len(read_table(tmp_path / "q.parquet")) == len(found)


def test_lines_are_fitted_to_counts_only(means):
    with pytest.raises(DataError, match="lines are fitted to counts.*`counts: true`"):
        phase_quantities(cube_of(means, counts=False), shares_of(), EDS, spec())


# computed spectra


def test_a_computed_spectrum_is_the_sum_of_its_elements_lines_at_unit_sum(means):
    formula = {"Ca": 1.0, "Fe": 0.5, "Si": 1.0, "O": 3.0}  # oxygen has no line on the axis, and is not asked for
    by_hand = np.zeros(AXIS.size)
    for element in ("Ca", "Fe", "Si"):
        families, rows = family_spectra([element], AXIS, DETECTOR, BEAM)
        for strength, row in zip(sensitivity(families, DETECTOR, BEAM), rows, strict=True):
            by_hand += formula[element] * strength * row
    spectrum = computed_spectrum(formula, cube_of(means), EDS)
    np.testing.assert_allclose(spectrum, by_hand / by_hand.sum(), rtol=1e-10, atol=1e-18)
    assert AXIS.values[spectrum.argmax()] in (pytest.approx(3.69, abs=0.02), pytest.approx(1.74, abs=0.02))


def test_elements_that_are_not_among_those_asked_for_have_no_lines(means):
    cube, fewer = cube_of(means), EDS | {"elements": ["Ca"], "not_in_sample": []}
    np.testing.assert_allclose(
        computed_spectrum({"Ca": 2.0, "Si": 1.0}, cube, fewer), computed_spectrum({"Ca": 1.0}, cube, EDS)
    )
    with pytest.raises(ConfigError, match=r"no element of the phase is among `elements`.*'Mg'"):
        computed_spectrum({"Mg": 1.0, "O": 1.0}, cube, fewer)
