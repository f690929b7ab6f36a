"""One unmixing as a study uses it: names, shares, scores and seeds against planted mixtures and numbers by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score

from matlas.errors import ConfigError, DataError
from matlas.tables import read_table, write_table
from matlas.unmix import study
from matlas.unmix.study import ALL, Known, Mixture, matching, score_mixture, unmix
from matlas.unmix.tables import counted, known_of, number_of, unmixings_frame
from schemas.fields import FIELDS
from schemas.tables.unmixing import ENDMEMBER_COUNTS, UNMIXINGS, abundance_schema, endmember_schema

MATERIALS = ("iron", "slag", "void")
CHANNELS = 60
SPACE = {"dataset": "toy", "view": "spectrum", "unmixing": "vca3"}


def peaks(*centres: float) -> np.ndarray:
    """(m, CHANNELS) spectra, each a Gaussian peak on a level of its own."""
    distance = np.arange(CHANNELS) - np.array(centres)[:, None]
    return np.exp(-0.5 * (distance / 5) ** 2) + 0.1 * (1 + np.arange(len(centres)))[:, None]


ENDMEMBERS = peaks(12, 30, 48)


@pytest.fixture(scope="module")
def shares() -> np.ndarray:
    """(150, 3) with pixels that are pure, and the first material the rarest."""
    drawn = np.random.default_rng(0).dirichlet([0.3, 0.6, 1.0], size=150)
    drawn[:3] = np.eye(3)
    return drawn


def vca(seeds: int = 1, random_state: int = 0) -> dict:
    return {"algorithm": "vca", "seeds": seeds, "random_state": random_state}


def values(records: list[dict], metric: str, endmember: str = ALL) -> dict:
    """{seed: value}."""
    return {r["seed"]: r["value"] for r in records if (r["metric"], r["endmember"]) == (metric, endmember)}


# names and order


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 0, 2)])
@pytest.mark.parametrize("told", ["spectra", "shares", "both"])
def test_endmembers_bear_the_names_of_the_materials_and_stand_in_their_order(shares, order, told):
    order = list(order)
    materials = tuple(MATERIALS[i] for i in order)
    spectra = ENDMEMBERS[order] if told in ("spectra", "both") else None
    known = Known(materials, spectra, shares[:, order] if told in ("shares", "both") else None)
    found = unmix(shares @ ENDMEMBERS, vca(), known, endmembers=3)
    assert found.names == materials
    np.testing.assert_allclose(found.mixture.endmembers, ENDMEMBERS[order], atol=1e-8)
    np.testing.assert_allclose(found.mixture.shares, shares[:, order], atol=1e-6)
    assert found.residual.max() < 1e-8


def test_where_nothing_is_known_endmembers_are_numbers_by_falling_share(shares):
    found = unmix(shares @ ENDMEMBERS, vca(), Known(), endmembers=3)
    assert found.names == ("1", "2", "3")
    means = found.mixture.shares.mean(axis=0)
    assert (np.diff(means) < 0).all()
    np.testing.assert_allclose(means, np.sort(shares.mean(axis=0))[::-1], atol=1e-6)
    assert {r["metric"] for r in found.records} == {"relative_error"}


def test_endmembers_beyond_the_materials_follow_them_as_numbers():
    more = peaks(8, 22, 38, 52)
    drawn = np.random.default_rng(1).dirichlet(np.ones(4), size=120)
    drawn[:4] = np.eye(4)
    known = Known(("slag", "void"), more[[3, 1]], None)
    found = unmix(drawn @ more, vca(), known, endmembers=4)
    assert found.names == ("slag", "void", "3", "4")
    rest = sorted((0, 2), key=lambda i: -drawn[:, i].mean())
    np.testing.assert_allclose(found.mixture.endmembers, more[[3, 1, *rest]], atol=1e-8)


@pytest.mark.parametrize(("angle", "names"), [(29.0, ("far", "near")), (31.0, ("near", "2"))])
def test_an_endmember_far_from_a_computed_reference_is_a_number_where_shares_are_not_known(angle, names):
    endmembers = np.eye(2, CHANNELS)  # the reference of the second is turned away from it by the angle
    turned = np.cos(np.radians(angle)) * endmembers[1] + np.sin(np.radians(angle)) * np.eye(CHANNELS)[2]
    drawn = np.random.default_rng(0).dirichlet([1, 1], size=50)
    drawn[:2] = np.eye(2)
    known = Known(("far", "near"), np.array([turned, endmembers[0]]), None)
    found = unmix(drawn @ endmembers, vca(), known, endmembers=2)
    assert found.names == names
    assert values(found.records, "spectral_angle", "near") == {0: pytest.approx(0, abs=1e-5)}
    assert values(found.records, "spectral_angle", "far") == ({0: pytest.approx(29)} if angle < 30 else {})


def test_an_endmember_far_from_its_reference_is_named_where_the_shares_say_that_it_is_there(shares):
    elsewhere = ENDMEMBERS.copy()
    elsewhere[2] = peaks(2)[0]
    found = unmix(shares @ ENDMEMBERS, vca(), Known(MATERIALS, elsewhere, shares), endmembers=3)
    assert found.names == MATERIALS
    assert values(found.records, "spectral_angle", "void")[0] > 30


def test_by_shares_alone_endmembers_are_matched_by_correlation_and_constant_shares_by_what_is_left():
    truth = np.random.default_rng(0).dirichlet(np.ones(3), size=40)
    found = np.column_stack([truth[:, 2] + 0.1, np.full(40, 0.5), truth[:, 0]])
    with np.errstate(invalid="ignore"):
        places, materials = matching(np.eye(3), found, Known(MATERIALS, None, truth))
    assert dict(zip(places, materials, strict=True)) == {0: 2, 1: 1, 2: 0}


# shares and residual


def test_shares_are_abundances_over_their_sum_and_equal_where_nothing_was_found():
    mixture = Mixture(np.array([[1.0, 3.0], [0.0, 0.0], [0.2, 0.0]]), np.eye(2))
    np.testing.assert_allclose(mixture.brightness, [4, 0, 0.2])
    np.testing.assert_allclose(mixture.shares, [[0.25, 0.75], [0.5, 0.5], [1, 0]])


def test_the_residual_is_the_root_mean_square_of_each_pixel():
    mixture = Mixture(np.array([[1.0, 2.0], [0.0, 1.0]]), np.array([[1.0, 0, 0, 0], [0, 1, 0, 0]]))
    spectra = np.array([[1.0, 2.0, 0.0, 4.0], [3.0, 1.0, 0.0, 4.0]])
    np.testing.assert_allclose(mixture.residual(spectra), [2.0, 2.5])  # √(16/4), √((9 + 16)/4)


def test_the_residual_does_not_depend_on_the_blocks_that_pixels_are_taken_in():
    wide = 2**20  # two pixels a block
    mixture = Mixture(np.arange(1.0, 6.0)[:, None], np.ones((1, wide)))
    np.testing.assert_allclose(mixture.residual(np.zeros((5, wide))), [1, 2, 3, 4, 5])


# scores


def test_scores_are_those_by_hand():
    truth = np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.1, 0.3, 0.6], [0.6, 0.4, 0.0]])
    found = np.array([[0.7, 0.3], [0.5, 0.5], [0.2, 0.8], [0.1, 0.9]])
    mixture = Mixture(3 * found, np.array([[1.0, 1.0], [0.0, 2.0]]))  # only shares count
    known = Known(MATERIALS, np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 2.0]]), truth)
    scores = score_mixture(mixture, ("iron", "slag"), known, blind=True)
    assert scores["iron", "abundance_rmse"] == pytest.approx(np.sqrt((0.2**2 + 0.3**2 + 0.1**2 + 0.5**2) / 4))
    assert scores["slag", "abundance_rmse"] == pytest.approx(np.sqrt((0.2**2 + 0.3**2 + 0.5**2 + 0.5**2) / 4))
    assert scores["void", "abundance_rmse"] == pytest.approx(np.sqrt(0.6**2 / 4))  # for which nothing stands
    squares = sum(4 * scores[m, "abundance_rmse"] ** 2 for m in MATERIALS)
    assert scores[ALL, "abundance_rmse"] == pytest.approx(np.sqrt(squares / 12))
    assert scores[ALL, "accuracy"] == 0.25  # iron, then iron for slag, slag for void, slag for iron
    assert scores[ALL, "ari"] == pytest.approx(adjusted_rand_score([0, 1, 2, 0], [0, 0, 1, 1]))
    assert scores["iron", "spectral_angle"] == pytest.approx(45)
    assert scores["slag", "spectral_angle"] == pytest.approx(0)
    assert ("void", "spectral_angle") not in scores and scores[ALL, "spectral_angle"] == pytest.approx(22.5)
    given = score_mixture(mixture, ("iron", "slag"), known, blind=False)
    assert given == {key: value for key, value in scores.items() if key[1] != "spectral_angle"}


def test_a_pixel_whose_largest_endmember_stands_for_no_material_is_not_right():
    truth = np.array([[1.0, 0.0], [0.0, 1.0]])
    mixture = Mixture(np.array([[0.1, 0.2, 0.7], [0.2, 0.5, 0.3]]), np.eye(3))
    scores = score_mixture(mixture, ("iron", "slag", "3"), Known(("iron", "slag"), None, truth), blind=True)
    assert scores[ALL, "accuracy"] == 0.5
    assert scores[ALL, "abundance_rmse"] == pytest.approx(np.sqrt((0.9**2 + 0.2**2 + 0.2**2 + 0.5**2) / 4))


def test_equal_shares_are_scored_once_for_comparison(shares):
    for spec in (vca(seeds=2), {"algorithm": "given"}):
        found = unmix(shares @ ENDMEMBERS, spec, Known(MATERIALS, ENDMEMBERS, shares), endmembers=3)
        by_hand = np.sqrt(((shares - 1 / 3) ** 2).mean())
        assert values(found.records, "abundance_rmse_constant") == {None: pytest.approx(by_hand)}


def test_the_relative_error_is_the_norm_of_what_is_left_over_that_of_the_spectra(shares):
    noisy = shares @ ENDMEMBERS + np.random.default_rng(0).normal(0, 0.05, (len(shares), CHANNELS))
    found = unmix(noisy, vca(), Known(), endmembers=3)
    left = noisy - found.mixture.abundances @ found.mixture.endmembers
    assert values(found.records, "relative_error") == {0: pytest.approx(np.linalg.norm(left) / np.linalg.norm(noisy))}
    np.testing.assert_allclose(found.residual, np.sqrt((left**2).mean(axis=1)))


# seeds


def test_other_seeds_are_compared_with_the_first_after_matching(shares, monkeypatch):
    turned = ENDMEMBERS / np.linalg.norm(ENDMEMBERS, axis=1)[:, None]
    away = turned[0] - turned[1] * (turned[0] @ turned[1])  # in the plane of the two, orthogonal to the second
    turned[1] = np.cos(np.radians(7)) * turned[1] + np.sin(np.radians(7)) * away / np.linalg.norm(away)
    apart = shares.copy()
    apart[:, 0], apart[:, 1] = 0.9 * shares[:, 0], shares[:, 1] + 0.1 * shares[:, 0]
    runs = {5: ([1, 2, 0], ENDMEMBERS, shares), 6: ([2, 0, 1], turned, apart), 7: ([0, 2, 1], ENDMEMBERS, shares)}
    weights = {5: {"decoder": np.ones(1)}, 6: {"decoder": np.zeros(1)}, 7: {"decoder": np.zeros(1)}}

    def planted(spectra, spec, known, endmembers, seed, device):
        order, found, abundances = runs[seed]
        return Mixture(abundances[:, order], found[order]), weights[seed]

    monkeypatch.setitem(study.METHODS, "vca", planted)
    found = unmix(shares @ ENDMEMBERS, vca(3, 5), Known(MATERIALS, ENDMEMBERS, shares), endmembers=3)
    np.testing.assert_array_equal(found.mixture.endmembers, ENDMEMBERS)  # the first run, in the order of the names
    assert sorted(values(found.records, "relative_error")) == [5, 6, 7]
    assert values(found.records, "angle_to_reference", "slag") == pytest.approx({6: 7, 7: 0}, abs=1e-6)
    for other in ("iron", "void"):
        assert values(found.records, "angle_to_reference", other) == pytest.approx({6: 0, 7: 0}, abs=1e-6)
    by_hand = np.sqrt(2 * ((0.1 * shares[:, 0]) ** 2).sum() / shares.size)
    assert values(found.records, "rmse_to_reference") == pytest.approx({6: by_hand, 7: 0})
    assert values(found.records, "abundance_rmse") == pytest.approx({5: 0, 6: by_hand, 7: 0})
    assert values(found.records, "spectral_angle", "slag")[6] == pytest.approx(7)
    assert found.weights["decoder"] == [1] and found.weights["order"].tolist() == [2, 0, 1]  # of the encoder's outputs


def test_the_order_of_the_weights_of_a_network_is_that_of_its_endmembers(shares):
    spec = {"algorithm": "softmax_autoencoder", "seeds": 1, "random_state": 0, "hidden": [8], "loss": "frobenius",
            "epochs": 20, "batch_size": 64, "learning_rate": 0.01}  # fmt: skip
    found = unmix(shares @ ENDMEMBERS, spec, Known(MATERIALS, ENDMEMBERS, shares), endmembers=3)
    assert sorted(found.names) == sorted(MATERIALS) and sorted(found.weights["order"]) == [0, 1, 2]
    np.testing.assert_allclose(found.mixture.shares.sum(axis=1), 1, rtol=1e-5)


# given endmembers


def test_given_endmembers_are_those_of_the_materials_and_have_no_angle_to_themselves(shares):
    found = unmix(shares @ ENDMEMBERS, {"algorithm": "given"}, Known(MATERIALS, ENDMEMBERS, shares), endmembers=None)
    assert found.names == MATERIALS and found.weights is None
    np.testing.assert_array_equal(found.mixture.endmembers, ENDMEMBERS)
    np.testing.assert_allclose(found.mixture.shares, shares, atol=1e-7)
    assert values(found.records, "abundance_rmse") == {None: pytest.approx(0, abs=1e-7)}
    assert {r["metric"] for r in found.records} == {
        "relative_error", "abundance_rmse", "accuracy", "ari", "abundance_rmse_constant"
    }  # fmt: skip


def test_given_endmembers_that_are_not_there_or_have_other_channels_are_refused(shares):
    spectra = shares @ ENDMEMBERS
    with pytest.raises(ConfigError, match=r"no reference spectra to unmix by.*`truth.spectra`"):
        unmix(spectra, {"algorithm": "given"}, Known(MATERIALS, None, shares), endmembers=None)
    with pytest.raises(DataError, match="other channels than the view: expected 60, found 50"):
        unmix(spectra, {"algorithm": "given"}, Known(MATERIALS, ENDMEMBERS[:, :50], None), endmembers=None)


# tables


def references(materials, channels=3) -> pd.DataFrame:
    """The channel says in which order a spectrum was put together: 10 * place of the material + channel."""
    return pd.DataFrame(
        [(m, c, 0.5 * c, 10.0 * i + c) for i, m in enumerate(materials) for c in range(channels)],
        columns=["material", "channel", "position", "intensity"],
    )


def test_materials_stand_in_the_order_of_their_shares_whatever_the_order_of_their_spectra():
    pixels = pd.DataFrame({"total": [5.0, 6.0], "abundance_void": [0.1, 0.7], "abundance_iron": [0.9, 0.3]})
    known = known_of(pixels, references(["iron", "slag", "void"]).sample(frac=1, random_state=0))
    assert known.materials == ("void", "iron")
    np.testing.assert_array_equal(known.spectra, [[20, 21, 22], [0, 1, 2]])
    np.testing.assert_array_equal(known.shares, [[0.1, 0.9], [0.7, 0.3]])
    only_spectra = known_of(pixels[["total"]], references(["slag", "iron"]))
    assert only_spectra.materials == ("slag", "iron") and only_spectra.shares is None
    np.testing.assert_array_equal(only_spectra.spectra[:, 0], [0, 10])
    assert known_of(pixels[["total"]], references([])) == Known()


def count_table(path, accepted: list[bool]):
    n = len(accepted)
    frame = pd.DataFrame({
        "dataset": "toy", "view": "counts", "endmember_count": "bootstrap", "endmembers": np.arange(1, n + 1),
        "singular_value": 2.0, "noise_up_to": 1.0, "accepted": accepted,
    })  # fmt: skip
    write_table(frame, path, ENDMEMBER_COUNTS)
    return path


def test_the_number_of_endmembers_is_given_or_that_which_the_counts_support(tmp_path):
    assert number_of({"endmembers": 4}, []) == 4
    assert number_of({"algorithm": "given"}, []) is None
    path = count_table(tmp_path / "count.parquet", [False, False, True])
    assert number_of({"endmembers": "bootstrap"}, [path]) == 3


@pytest.mark.parametrize(("accepted", "found"), [([False] * 4, "none up to 4"), ([True], "1")])
def test_counts_that_support_no_number_or_one_endmember_are_refused(tmp_path, accepted, found):
    path = count_table(tmp_path / "count.parquet", accepted)
    with pytest.raises(DataError, match=rf"no number of endmembers.*count.parquet.*2 or more, found {found}\. Give `"):
        number_of({"endmembers": "bootstrap"}, [path])


def test_a_table_of_counts_has_a_row_for_each_number_tried_and_marks_the_one_found():
    random = np.random.default_rng(0)
    mean = random.dirichlet([0.5, 0.5], size=300) @ (40 * peaks(15, 45))
    spec = {"largest": 4, "simulations": 19, "level": 0.95, "random_state": 0}
    space = {"dataset": "toy", "view": "counts", "endmember_count": "bootstrap"}
    frame = counted(random.poisson(mean).astype(float), space, spec, are_counts=True)
    assert frame["endmembers"].tolist() == [1, 2] and frame["accepted"].tolist() == [False, True]
    assert (frame["singular_value"] > frame["noise_up_to"]).tolist() == [True, False]
    one = counted(random.poisson(mean).astype(float), space, spec | {"largest": 1}, are_counts=True)
    assert one["accepted"].tolist() == [False]  # all that were tried are rejected
    with pytest.raises(ConfigError, match=r"this view holds no counts \(toy/counts\).*counts: true"):
        counted(mean, space, spec, are_counts=False)


def test_tables_of_an_unmixing_are_those_of_its_schemas(shares, tmp_path):
    found = unmix(shares @ ENDMEMBERS, vca(seeds=2), Known(MATERIALS, ENDMEMBERS, shares), endmembers=3)
    pixels = pd.Index(np.arange(1, len(shares) + 1), name="pixel_id")
    paths = [tmp_path / f"{name}.parquet" for name in ("abundances", "endmembers", "scores")]
    schema = abundance_schema("vca3", FIELDS["pixel_id"], found.names)
    write_table(found.abundances_frame(pixels), paths[0], schema)
    positions = 0.5 + 0.01 * np.arange(CHANNELS)
    write_table(found.endmembers_frame(positions), paths[1], endmember_schema("vca3", "keV"))
    write_table(unmixings_frame(SPACE, found.records), paths[2], UNMIXINGS)
    abundances, endmembers, scores = map(read_table, paths)
    np.testing.assert_allclose(abundances[[f"share_{m}" for m in MATERIALS]], shares, atol=1e-6)
    np.testing.assert_allclose(abundances["brightness"], 1, atol=1e-6)
    iron = endmembers[endmembers["endmember"] == "iron"].sort_values("channel")
    np.testing.assert_allclose(iron["intensity"], ENDMEMBERS[0], atol=1e-8)
    np.testing.assert_allclose(iron["position"], positions)
    overall = scores[(scores["endmember"] == ALL) & (scores["metric"] == "relative_error")]
    assert overall["seed"].tolist() == [0, 1] and (scores[["dataset", "view", "unmixing"]] == list(SPACE.values())).all(
        axis=None
    )
