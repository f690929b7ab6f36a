"""Rows that are read batch by batch: what is read is what a join gives, and who learns from batches learns the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.preprocessing import StandardScaler

from matlas import retrieval, tables
from matlas.autoencoders import estimator as estimator_module
from matlas.autoencoders import feed as feed_module
from matlas.autoencoders.estimator import Autoencoder
from matlas.autoencoders.feed import StreamedRows
from matlas.autoencoders.networks import build_network
from matlas.autoencoders.training import train
from matlas.encoders import Factors, PrincipalComponents, Unchanged
from matlas.errors import DataError
from matlas.moments import Moments
from matlas.retrieval import StoredRows, join_views, rows_of_views
from matlas.rows import HeldRows, held, taken
from matlas.tables import RowGroups, write_table
from matlas.trained import represent_rows, train_on
from schemas.table import Field, TableSchema
from schemas.tables.features import feature_schema

KEY, COMPOSITION = Field("row_id", "int64", "", "row"), Field("composition", "string", "", "formula")
DATASET = TableSchema("rows", "datasets", ("row_id",), (KEY, COMPOSITION, Field("hours", "float64", "h", "hours")))
CPU = torch.device("cpu")

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """A dataset of 40 rows of 25 compositions in no order, and two views in orders of their own; row groups of 7."""
    monkeypatch.setattr(tables, "BATCH_ROWS", 7)
    monkeypatch.setattr(retrieval, "ROWS_AT_ONCE", 6)
    rng = np.random.default_rng(0)
    names = np.array([f"Ti{i}O" for i in range(25)], dtype=object)
    of_row = np.concatenate([rng.permutation(25), rng.integers(25, size=15)])
    frame = pd.DataFrame(
        {"row_id": rng.permutation(1000)[:40], "composition": names[of_row], "hours": rng.normal(size=40)}
    )
    write_table(frame, tmp_path / "rows.parquet", DATASET)
    paths = [tmp_path / "rows.parquet"]
    for view, width in (("wide", 5), ("narrow", 2)):
        fields = [Field(f"{view}_{i}", "float64", "1", "number", nullable=True) for i in range(width)]
        features = pd.DataFrame(rng.normal(size=(25, width)), columns=[f.name for f in fields])
        features.insert(0, "composition", names)
        path = tmp_path / f"{view}.parquet"
        write_table(features.sample(frac=1, random_state=1), path, feature_schema(view, COMPOSITION, fields))
        paths.append(path)
    return paths


def test_batches_of_stored_rows_are_the_rows_of_the_join(stored):
    rows = StoredRows(stored[0], stored[1:], columns=["hours"])
    joined = join_views(stored[0], stored[1:], columns=["hours"]).set_index("row_id")
    batches = list(rows.batches())
    assert [len(batch) for batch in batches] == [6] * 6 + [4]
    np.testing.assert_array_equal(np.concatenate(batches), joined.to_numpy())
    assert rows.shape == joined.shape and rows.columns == list(joined.columns) and rows.index.equals(joined.index)
    which = np.array([0, 5, 6, 30, 39])
    np.testing.assert_array_equal(taken(rows, which), joined.to_numpy()[which])


def test_entities_that_a_view_does_not_describe_are_left_out_of_stored_rows(stored, tmp_path):
    fields = [Field("radius", "float64", "Å", "radius")]
    described = pd.DataFrame({"row_id": tables.read_table(stored[0])["row_id"][3:], "radius": np.arange(37.0)})
    path = tmp_path / "some.parquet"
    write_table(described, path, feature_schema("some", KEY, fields), attributes={"left_out": "3"})
    rows = StoredRows(stored[0], [stored[1], path])
    joined = join_views(stored[0], [stored[1], path]).set_index("row_id")
    np.testing.assert_array_equal(taken(rows), joined.to_numpy())
    assert rows.index.equals(joined.index)


def test_stored_rows_refuse_what_a_join_refuses(stored):
    with pytest.raises(DataError, match="unknown column 'days'"):
        StoredRows(stored[0], stored[1:], columns=["days"])
    with pytest.raises(DataError, match="stands in two views"):
        StoredRows(stored[0], [stored[1], stored[1]])


def test_a_table_is_held_while_it_is_small_enough(stored, monkeypatch):
    assert isinstance(rows_of_views(stored[0], stored[1:]), HeldRows)
    monkeypatch.setattr(retrieval, "HELD_BYTES", 8 * 40 * 7)
    assert isinstance(rows_of_views(stored[0], stored[1:]), StoredRows)


def test_missing_numbers_of_a_row_group_are_nan(tmp_path):
    schema = replace(DATASET, fields=(KEY, COMPOSITION, Field("hours", "float64", "h", "hours", nullable=True)))
    frame = pd.DataFrame({"row_id": [3, 1, 2], "composition": "TiO", "hours": [1.0, np.nan, 3.0]})
    write_table(frame, tmp_path / "t.parquet", schema)
    found = RowGroups(tmp_path / "t.parquet", ["hours", "row_id"]).values(np.array([2, 0, 1]))
    np.testing.assert_array_equal(found, [[3.0, 2.0], [1.0, 3.0], [np.nan, 1.0]])
    with pytest.raises(DataError, match="unknown column 'days'"):
        RowGroups(tmp_path / "t.parquet", ["days"])


# who learns from batches


class InBatches:
    """Rows of a frame in batches of 50, as if they were read from a table."""

    def __init__(self, frame: pd.DataFrame):
        self.frame, self.index, self.columns, self.shape = frame, frame.index, list(frame.columns), frame.shape

    def batches(self, which=None):
        positions = np.arange(len(self.frame)) if which is None else which
        for start in range(0, len(positions), 50):
            yield self.frame.to_numpy()[positions[start : start + 50]]


@pytest.fixture(scope="module")
def frame():
    """330 rows near a plane in 7 columns of different units, far from the origin."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(330, 2)) @ rng.normal(size=(2, 7)) + 0.3 * rng.normal(size=(330, 7))
    key = pd.Index([f"m{i}" for i in range(330)], name="material_id")
    return pd.DataFrame(values * np.logspace(-2, 3, 7) + 1e4, key, [f"column_{i}" for i in range(7)])


@pytest.fixture(scope="module")
def parts(frame):
    part = np.random.default_rng(1).choice(["train", "validation", "test"], size=330, p=[0.7, 0.1, 0.2])
    return pd.DataFrame({"material_id": frame.index, "fold": "0", "part": part})


def test_moments_of_batches_are_those_of_all_rows(frame):
    values = frame.to_numpy() + 1e6
    found = Moments(InBatches(frame + 1e6).batches())
    np.testing.assert_allclose(found.mean, values.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(found.covariance, np.cov(values.T), rtol=1e-7)


@pytest.mark.parametrize("spec", [
    {"algorithm": "pca", "n_components": 3, "standardise": True, "random_state": 0},
    {"algorithm": "pca", "n_components": 3, "standardise": False, "random_state": 0},
    {"algorithm": "pca", "n_components": 2, "normalise": True, "random_state": 0},
    {"algorithm": "identity", "standardise": True}, {"algorithm": "identity"},
])  # fmt: skip
def test_a_space_learned_from_batches_is_that_of_the_whole_table(spec, frame):
    whole, found = represent_rows(held(frame), spec), represent_rows(InBatches(frame), spec)
    np.testing.assert_allclose(found.scores, whole.scores, rtol=1e-7, atol=1e-7 * np.abs(whole.scores).max())
    assert [r["metric"] for r in found.records] == [r["metric"] for r in whole.records]
    assert [r["value"] for r in found.records] == pytest.approx([r["value"] for r in whole.records], rel=1e-7)
    if spec["algorithm"] == "pca":
        np.testing.assert_allclose(found.loadings, whole.loadings, atol=1e-7)
        np.testing.assert_allclose(found.reconstruction_error, whole.reconstruction_error, rtol=1e-6)


def test_components_of_a_split_learned_from_batches_know_its_training_rows_only(frame, parts):
    spec = {"algorithm": "pca", "n_components": 2, "standardise": True, "split": "rows"}
    encoder, made, _ = train_on(InBatches(frame), parts, spec)
    train_rows = frame.to_numpy()[(parts["part"] == "train").to_numpy()]
    np.testing.assert_allclose(encoder.mean_, StandardScaler().fit(train_rows).mean_, rtol=1e-13)
    expected = PrincipalComponents(2).fit(train_rows).transform(frame.to_numpy())
    np.testing.assert_allclose(made.scores, expected, atol=1e-7)


def test_rows_that_never_differ_have_no_components_in_batches_either(frame):
    with pytest.raises(DataError, match="no variance"):
        PrincipalComponents(2).fit_rows(InBatches(frame * 0 + 1.0), np.arange(330))


def test_an_encoder_that_needs_all_rows_gets_them_and_says_so(frame, caplog):
    found = Factors(2).fit_rows(InBatches(frame), np.arange(200))
    np.testing.assert_allclose(found.transform(frame), Factors(2).fit(frame[:200]).transform(frame))
    assert "Factors holds all 200 training rows in memory" in caplog.text
    assert Unchanged().fit_rows(InBatches(frame), np.arange(200)).code_width_ == 7


NETWORK = dict(layers=(5, 2), epochs=8, patience=None, learning_rate=0.02, random_state=4, device="cpu", batch_size=32)


def test_an_autoencoder_learns_from_batches_what_it_learns_from_the_whole_table(frame):
    train_rows, validation = np.arange(0, 330, 2), np.arange(1, 330, 4)
    expected = Autoencoder(**NETWORK).fit_rows(held(frame), train_rows, validation=validation)
    found = Autoencoder(**NETWORK).fit_rows(InBatches(frame), train_rows, validation=validation)
    assert (found.n_train_, found.n_validation_) == (165, 83)
    np.testing.assert_allclose(found.transform(frame), expected.transform(frame), rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(found.ranges_.maximum, frame.to_numpy()[train_rows].max(axis=0))
    assert found.ranges_.error_limit == pytest.approx(expected.ranges_.error_limit, rel=1e-2)


def test_an_autoencoder_holds_out_the_same_rows_of_batches(frame):
    settings = NETWORK | {"patience": 3}
    found = Autoencoder(**settings).fit_rows(InBatches(frame), np.arange(330))
    expected = Autoencoder(**settings).fit_rows(held(frame), np.arange(330))
    assert found.n_validation_ == expected.n_validation_ == 33
    np.testing.assert_allclose(found.history_["validation_loss"], expected.history_["validation_loss"], rtol=1e-3)


# rows on disk


def shards(folder, rows, **options) -> StreamedRows:
    batches = (rows[start : start + 50] for start in range(0, len(rows), 50))
    settings = {"random_state": 0, "shard_bytes": 4 * rows.shape[1] * 60} | options
    return StreamedRows(batches, rows.shape, CPU, folder, **settings)


def test_each_epoch_of_streamed_rows_takes_every_row_once_in_an_order_of_its_own(tmp_path):
    rows = np.arange(330.0)[:, None] * [1, -1]
    streamed = shards(tmp_path, rows)
    assert len(streamed) == 330 and len(list(tmp_path.iterdir())) == 6
    epochs = [list(streamed.batches(32, 7, epoch)) for epoch in (1, 2, 1)]
    for epoch in epochs:
        assert [len(batch) for batch in epoch] == [32] * 10 + [10]
        seen = torch.cat(epoch)
        np.testing.assert_array_equal(seen[seen[:, 0].argsort()], rows)
    first, second, again = map(torch.cat, epochs)
    assert torch.equal(first, again) and not torch.equal(first, second)
    whole = torch.cat(list(streamed.parts()))
    np.testing.assert_array_equal(whole[whole[:, 0].argsort()], rows)


def test_a_batch_of_streamed_rows_is_a_random_sample_of_a_sorted_table(tmp_path):
    rows = np.linspace(-1, 1, 6000)[:, None]
    streamed = shards(tmp_path, rows, shard_bytes=4 * 1000)
    means = torch.stack([batch.mean() for batch in streamed.batches(100, 0, 1)])
    # of 100 of uniform numbers in [-1, 1]: 0 with a standard deviation of 1/sqrt(300)
    assert means.std().item() == pytest.approx(1 / np.sqrt(300), rel=0.4) and means.abs().max() < 5 / np.sqrt(300)


def test_a_training_from_disk_ends_near_one_from_memory_and_goes_on_after_a_kill(tmp_path, frame):
    rows = StandardScaler().fit_transform(frame).astype(np.float32)
    settings = dict(epochs=30, batch_size=32, learning_rate=1e-2, patience=None, random_state=3)

    def network():
        return build_network("plain", 7, (5, 2), activation="relu", beta=0.0, noise=0.0, random_state=0)

    streamed, whole = shards(tmp_path / "rows", rows), network()
    found = train(whole, streamed, streamed, **settings).history
    resident = train(network(), torch.tensor(rows), torch.tensor(rows), **settings).history
    assert found["validation_loss"].iloc[-1] == pytest.approx(resident["validation_loss"].iloc[-1], rel=0.15)

    class Killed(Exception):
        pass

    class Dying(StreamedRows):
        def batches(self, batch_size, random_state, epoch):
            if epoch == 12:
                raise Killed
            yield from super().batches(batch_size, random_state, epoch)

    resumed, checkpoint = network(), tmp_path / "state.safetensors"
    dying = shards(tmp_path / "rows", rows)
    dying.__class__ = Dying
    with pytest.raises(Killed):
        train(network(), dying, dying, **settings, checkpoint=checkpoint, checkpoint_every=0)
    again = shards(tmp_path / "again", rows)
    history = train(resumed, again, again, **settings, checkpoint=checkpoint, checkpoint_every=0).history
    pd.testing.assert_frame_equal(history, found)
    assert all(torch.equal(a, b) for a, b in zip(resumed.parameters(), whole.parameters(), strict=True))


def test_an_autoencoder_streams_rows_that_do_not_fit_and_cleans_up(frame, tmp_path, monkeypatch):
    monkeypatch.setattr(feed_module, "CPU_BYTES", 4 * 7 * 100)
    made = []
    monkeypatch.setattr(
        estimator_module, "feed_of", lambda *given: made.append(feed_module.feed_of(*given)) or made[-1]
    )
    found = Autoencoder(**NETWORK, checkpoint=tmp_path / "new" / "state").fit_rows(
        InBatches(frame), np.arange(200), validation=np.arange(200, 260)
    )
    assert [type(feed).__name__ for feed in made] == ["StreamedRows", "ResidentRows"]  # 200 rows, and 60
    expected = Autoencoder(**NETWORK).fit_rows(held(frame), np.arange(200), validation=np.arange(200, 260))
    losses = (found.history_["validation_loss"].iloc[-1], expected.history_["validation_loss"].iloc[-1])
    assert losses[0] == pytest.approx(losses[1], rel=0.25)
    assert not list(tmp_path.rglob("*rows*"))
