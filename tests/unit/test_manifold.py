"""Holes found in a ring, with distances known from geometry, and a code that records what is asked of it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import cdist

from matlas.encoders import Unchanged, encoder_of
from matlas.errors import DataError
from matlas.evaluate.manifold import Nearest, manifold
from matlas.evaluate.records import tests_frame as frame_of
from matlas.evaluate.retraining import retrained
from matlas.tables import write_table
from schemas.tables.learning import TESTS

N = 1200
TEST = {"view": "view", "samples": 400, "lines": 300}


@pytest.fixture(scope="module")
def ring():
    """A thin ring, turned into four columns; the last quarter of the rows is held out."""
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, N)
    plane = np.stack([np.cos(angle), np.sin(angle)], axis=1) * (1 + 0.02 * rng.normal(size=(N, 1)))
    axes = np.linalg.qr(rng.normal(size=(4, 2)))[0].T
    key = pd.Index([f"m{i}" for i in range(N)], name="material_id")
    features = pd.DataFrame(plane @ axes, index=key, columns=list("abcd"))
    part = np.where(np.arange(N) < 0.65 * N, "train", np.where(np.arange(N) < 0.75 * N, "validation", "test"))
    return features, pd.DataFrame({"material_id": key, "fold": "holdout", "part": part})


def sampled(ring, encoders, **options):
    features, parts = ring
    pairs = {name: (encoder, {"features": list(features.columns)}) for name, encoder in encoders.items()}
    return frame_of("study", "crystals", manifold(features, parts, pairs, TEST, draws=60, **options))


def trained_rows(ring):
    features, parts = ring
    return features[(parts["part"] == "train").to_numpy()].to_numpy()


def value(records, case, metric, x=None, column="value"):
    at = records["x"].isna() if x is None else np.isclose(records["x"].astype(float), x)
    (found,) = records[(records["case"] == case) & (records["metric"] == metric) & at][column]
    return found


@pytest.fixture(scope="module")
def exact(ring):
    """A linear code of the plane, in which the ring is a ring."""
    encoder = encoder_of({"algorithm": "pca", "n_components": 2, "standardise": False}).fit(trained_rows(ring))
    return sampled(ring, {"plane": encoder})


@pytest.fixture(scope="module")
def learned(ring):
    spec = {
        "algorithm": "autoencoder", "kind": "variational", "layers": [16, 2], "activation": "tanh", "beta": 0.02,
        "epochs": 60, "batch_size": 64, "learning_rate": 0.01, "patience": 60, "random_state": 0,
    }  # fmt: skip
    return sampled(ring, {"vae": retrained(*ring, spec, device="cpu")[0]})


def test_held_out_rows_define_what_is_far(exact):
    assert value(exact, "held-out", "share_beyond") == pytest.approx(0.05, abs=0.005)
    assert value(exact, "held-out", "distance_p95") > value(exact, "held-out", "distance") > 0


def test_half_way_between_two_places_of_a_ring_is_as_far_from_it_as_geometry_says(exact, ring):
    # the middle of a chord over the angle t is 1 - |cos(t / 2)| from the ring; t is uniform, so the median is at 90°
    scale = trained_rows(ring).std(axis=0).mean()  # the columns are not quite as wide as each other
    expected = (1 - np.cos(np.pi / 4)) / scale / 2  # over the root of four columns
    assert value(exact, "line", "distance", 0.5) == pytest.approx(expected, rel=0.35)
    assert value(exact, "line", "distance", 0.5) > 5 * value(exact, "held-out", "distance")


def test_a_variational_code_of_a_ring_has_a_hole_in_its_middle(learned):
    limit = value(learned, "held-out", "distance_p95")
    assert value(learned, "reconstructed", "distance") < limit
    assert value(learned, "line", "share_beyond", 0.5, "low") > 0.3
    assert value(learned, "line", "share_beyond", 0.5, "low") > value(learned, "line", "share_beyond", 0, "high")
    assert value(learned, "line", "distance", 0.5, "low") > value(learned, "held-out", "distance", column="high")


def test_lines_begin_and_end_at_real_rows(exact):
    for end in (0, 1):
        at_end = value(exact, "line", "distance", end)
        assert at_end == pytest.approx(value(exact, "reconstructed", "distance"), rel=0.3)
    assert sorted(exact.loc[exact["case"] == "line", "x"].unique()) == pytest.approx(np.arange(11) / 10)


class Recorder(Unchanged):
    """The rows themselves as code; remembers what it was asked to decode."""

    def __init__(self):
        super().__init__(standardise=False)
        self.asked = []

    def inverse_transform(self, Z):
        self.asked.append(Z)
        return super().inverse_transform(Z)


def test_codes_are_drawn_from_the_prior_from_the_training_codes_and_along_lines(ring):
    recorder = Recorder()
    recorder.fit(trained_rows(ring))
    sampled(ring, {"rows": recorder})
    rebuilt, prior, fitted, *lines = recorder.asked
    tested = ring[0].to_numpy()[-N // 4 :]
    np.testing.assert_array_equal(rebuilt, tested)
    assert prior.shape == fitted.shape == (400, 4)
    np.testing.assert_allclose(np.cov(prior.T), np.eye(4), atol=0.25)
    train = trained_rows(ring)
    # the ring fills two of four dimensions: the covariance is singular
    np.testing.assert_allclose(np.cov(fitted.T), np.cov(train.T), atol=0.1)
    np.testing.assert_allclose(fitted.mean(axis=0), train.mean(axis=0), atol=0.1)
    assert np.linalg.svd(fitted - fitted.mean(axis=0))[1][2] < 1e-6
    assert len(lines) == 11 and all(len(line) == 300 for line in lines)
    assert set(map(tuple, lines[0])) <= set(map(tuple, tested)) and set(map(tuple, lines[-1])) <= set(
        map(tuple, tested)
    )
    assert (lines[0] != lines[-1]).any(axis=1).all()
    np.testing.assert_allclose(lines[3], 0.7 * lines[0] + 0.3 * lines[-1])


def test_distances_are_those_of_all_pairs():
    rng = np.random.default_rng(0)
    train, rows = rng.normal(size=(300, 5)) * [1, 2, 3, 4, 0], rng.normal(size=(40, 5)) * [1, 2, 3, 4, 0]
    rows[0] = train[7] + 1e-9
    scale = np.where(train.std(axis=0) > 0, train.std(axis=0), 1)
    expected = cdist(rows / scale, train / scale).min(axis=1) / np.sqrt(5)
    found = Nearest(train).distance(rows)
    np.testing.assert_allclose(found[1:], expected[1:], rtol=1e-12)
    assert found[0] == pytest.approx(expected[0], rel=1e-6) and found[0] < 2e-9


def test_intervals_of_real_rows_are_over_groups(ring, exact):
    encoder = encoder_of({"algorithm": "pca", "n_components": 2}).fit(trained_rows(ring))
    # rows of one place on the ring in one group
    angle = np.arctan2(*ring[0].to_numpy()[:, :2].T)
    groups = pd.Series(np.digitize(angle, np.linspace(-np.pi, np.pi, 6)), index=ring[0].index)
    grouped = sampled(ring, {"plane": encoder}, groups=groups)

    def width(records):
        low, high = (value(records, "held-out", "share_beyond", column=c) for c in ("low", "high"))
        return high - low

    assert value(grouped, "held-out", "share_beyond") == value(exact, "held-out", "share_beyond")
    assert width(grouped) != width(exact)


def test_the_same_seed_gives_the_same_table_and_it_is_valid(ring, exact, tmp_path):
    encoder = encoder_of({"algorithm": "pca", "n_components": 2, "standardise": False}).fit(trained_rows(ring))
    pd.testing.assert_frame_equal(sampled(ring, {"plane": encoder}), exact)
    write_table(exact, tmp_path / "manifold.parquet", TESTS)


def test_an_encoder_of_other_columns_is_refused(ring):
    features, parts = ring
    encoder = encoder_of({"algorithm": "pca", "n_components": 2}).fit(trained_rows(ring))
    with pytest.raises(DataError, match="other features"):
        manifold(features, parts, {"plane": (encoder, {"features": list("abdc")})}, TEST)
    with pytest.raises(DataError, match="two test rows"):
        manifold(features, parts[parts["part"] != "test"], {}, TEST)
