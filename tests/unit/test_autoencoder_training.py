"""Training against a loop by hand, early stopping, and a killed run that ends with the same bits."""

from __future__ import annotations

import itertools
import logging
import math
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch.nn import functional

from matlas.autoencoders.feed import epoch_order
from matlas.autoencoders.networks import KINDS, build_network
from matlas.autoencoders.training import train
from matlas.errors import DataError

SETTINGS = dict(epochs=12, batch_size=32, learning_rate=1e-2, patience=None, random_state=3)


pytestmark = pytest.mark.usefixtures("one_thread")


def rows(n=200, p=6, seed=0):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, 2)) @ rng.normal(size=(2, p)) + 0.1 * rng.normal(size=(n, p))
    return torch.tensor(values, dtype=torch.float32)


def network(kind="plain", layers=(5, 2), seed=0, width=6):
    return build_network(kind, width, layers, activation="tanh", beta=0.2, noise=0.3, random_state=seed)


def weights(net):
    return torch.cat([value.flatten() for value in net.state_dict().values()])


def mean_error(net, values):
    with torch.no_grad():
        return float(((net.decode(net.encode(values)) - values) ** 2).mean())


@contextmanager
def interrupted(kind, after):
    """The loss of networks of a kind raises KeyboardInterrupt after so many calls (batches and held-out rows)."""
    calls, loss = itertools.count(1), KINDS[kind].loss

    def limited(self, *arguments):
        if next(calls) > after:
            raise KeyboardInterrupt
        return loss(self, *arguments)

    with pytest.MonkeyPatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(KINDS[kind], "loss", limited)
        yield


def test_training_is_adam_over_shuffled_batches_with_a_cosine_schedule():
    data, trained, by_hand = rows(), network(), network()
    history = train(trained, data, **SETTINGS).history
    optimiser = torch.optim.Adam(by_hand.parameters(), lr=1e-2, foreach=False)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=12)
    for epoch in range(1, 13):
        assert history["learning_rate"][epoch - 1] == pytest.approx(optimiser.param_groups[0]["lr"])
        losses, seen = [], 0
        for chosen in epoch_order(200, 3, epoch).split(32):
            loss = functional.mse_loss(by_hand.decoder(by_hand.encoder(data[chosen])), data[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item() * len(chosen))
            seen += len(chosen)
        schedule.step()
        assert history["train_loss"][epoch - 1] == pytest.approx(sum(losses) / seen, rel=1e-4)
    np.testing.assert_allclose(weights(trained), weights(by_hand), atol=1e-4)


def test_each_epoch_takes_every_row_once_in_an_order_of_its_own():
    first, second = epoch_order(500, 0, 1), epoch_order(500, 0, 2)
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(500))
    assert (first == second).float().mean() < 0.05
    assert torch.equal(first, epoch_order(500, 0, 1)) and not torch.equal(first, epoch_order(500, 1, 1))


def test_early_stopping_keeps_the_weights_with_the_smallest_held_out_loss():
    data, held_out = torch.randn(40, 6, generator=torch.Generator().manual_seed(0)), rows(60, seed=9)
    net = network(layers=(30, 5))
    result = train(net, data, held_out, **SETTINGS | {"epochs": 400, "patience": 15, "batch_size": 8})
    losses = result.history["validation_loss"]
    assert result.stopped_early and len(losses) < 400
    assert result.best_epoch == losses.idxmin() + 1 == len(losses) - 15
    assert result.history.loc[result.history["kept"], "epoch"].tolist() == [result.best_epoch]
    assert mean_error(net, held_out) == pytest.approx(losses.min(), rel=1e-5)
    assert mean_error(net, held_out) < 0.99 * losses.iloc[-1]


def test_without_patience_all_epochs_run_and_the_last_weights_stay():
    net = network()
    result = train(net, rows(), **SETTINGS)
    assert (len(result.history), result.best_epoch, result.stopped_early) == (12, 12, False)
    assert result.history["validation_loss"].isna().all()
    data, held_out = torch.randn(40, 6, generator=torch.Generator().manual_seed(0)), rows(60, seed=9)
    net = network(layers=(30, 5))  # learns the 40 rows by heart
    result = train(net, data, held_out, **SETTINGS | {"epochs": 60, "batch_size": 8})
    losses = result.history["validation_loss"]
    assert (len(losses), result.best_epoch, result.stopped_early) == (60, 60, False)
    assert result.history.loc[result.history["kept"], "epoch"].tolist() == [60]
    assert losses.min() < 0.99 * losses.iloc[-1]
    assert mean_error(net, held_out) == pytest.approx(losses.iloc[-1], rel=1e-5)


def test_training_leaves_the_global_random_stream_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(network("variational"), rows(), rows(seed=1), **SETTINGS | {"epochs": 2})
    assert torch.equal(torch.rand(3), expected)


def test_a_loss_that_is_not_finite_stops_the_training():
    with pytest.raises(DataError, match="diverged.*epoch 1.*learning_rate"):
        train(network(), rows() * 1e30, **SETTINGS)


def test_mixed_precision_computes_in_bfloat16_and_still_learns():
    exact, mixed = network("linear"), network("linear")
    train(exact, rows(), **SETTINGS | {"epochs": 40})
    train(mixed, rows(), **SETTINGS | {"epochs": 40}, mixed_precision=True)
    assert not torch.equal(weights(exact), weights(mixed))
    assert weights(mixed).dtype == torch.float32
    assert mean_error(mixed, rows()) < 0.1 * float(rows().var())


@pytest.mark.parametrize("kind", ["plain", "variational", "denoising"])
def test_an_interrupted_training_ends_with_the_bits_of_one_that_was_not(kind, tmp_path, caplog):
    data, held_out, checkpoint = rows(), rows(50, seed=1), tmp_path / "state.safetensors"
    whole = network(kind)
    expected = train(whole, data, held_out, **SETTINGS)
    with interrupted(kind, after=5 * 8 + 3):  # 7 batches and a held-out loss an epoch
        train(network(kind), data, held_out, **SETTINGS, checkpoint=checkpoint, checkpoint_every=0)
    resumed = network(kind)
    with caplog.at_level(logging.INFO):
        result = train(resumed, data, held_out, **SETTINGS, checkpoint=checkpoint, checkpoint_every=0)
    assert "going on after epoch 5" in caplog.text
    assert torch.equal(weights(resumed), weights(whole))
    assert result.history.equals(expected.history) and result.best_epoch == expected.best_epoch


def test_a_resumed_training_still_knows_its_best_epoch_and_when_to_stop(tmp_path):
    settings = SETTINGS | {"epochs": 400, "patience": 15, "batch_size": 8}
    data, held_out = torch.randn(40, 6, generator=torch.Generator().manual_seed(0)), rows(60, seed=9)
    whole = network(layers=(30, 5))
    expected = train(whole, data, held_out, **settings)
    after = expected.best_epoch + 5  # epochs: the best one lies before the interruption, the end behind it
    with interrupted("plain", after * 6 + 2):
        train(network(layers=(30, 5)), data, held_out, **settings, checkpoint=tmp_path / "state", checkpoint_every=0)
    resumed = network(layers=(30, 5))
    result = train(resumed, data, held_out, **settings, checkpoint=tmp_path / "state", checkpoint_every=0)
    assert (result.best_epoch, len(result.history)) == (expected.best_epoch, len(expected.history))
    assert torch.equal(weights(resumed), weights(whole))


def denoising(layers=(5, 2), noise=0.3, seed=0):
    return build_network("denoising", 6, layers, activation="tanh", beta=0.0, noise=noise, random_state=seed)


@pytest.mark.parametrize(
    "other",
    [
        dict(data=rows(seed=2)), dict(held_out=rows(seed=2)), dict(held_out=None), dict(epochs=13),
        dict(random_state=4), dict(net=dict(noise=0.1)), dict(net=dict(seed=1)), dict(net=dict(layers=(5, 3))),
    ],
    ids=["rows", "held-out rows", "no held-out rows", "epochs", "seed", "noise", "initial weights", "layers"],
)  # fmt: skip
def test_a_checkpoint_of_another_training_is_ignored_with_a_word(other, tmp_path, caplog):
    def trained(data=rows(), held_out=rows(seed=1), net=None, checkpoint=None, **settings):  # noqa: B008
        built = denoising(**net or {})
        train(built, data, held_out, **SETTINGS | settings, checkpoint=checkpoint, checkpoint_every=0)
        return weights(built)

    trained(checkpoint=tmp_path / "state.safetensors")
    with caplog.at_level(logging.INFO):
        found = trained(**other, checkpoint=tmp_path / "state.safetensors")
    assert "belongs to other settings or data" in caplog.text and "going on" not in caplog.text
    assert torch.equal(found, trained(**other))


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", "cut"])
def test_a_damaged_checkpoint_is_ignored_with_a_word(content, tmp_path, caplog):
    checkpoint, whole = tmp_path / "state.safetensors", network()
    train(whole, rows(), **SETTINGS, checkpoint=checkpoint, checkpoint_every=0)
    checkpoint.write_bytes(checkpoint.read_bytes()[:-9] if content == "cut" else content)
    again = network()
    train(again, rows(), **SETTINGS, checkpoint=checkpoint)
    assert "damaged and not used" in caplog.text
    assert torch.equal(weights(again), weights(whole))


def test_checkpoints_are_not_written_more_often_than_asked(tmp_path):
    train(network(), rows(), **SETTINGS, checkpoint=tmp_path / "state.safetensors", checkpoint_every=3600)
    assert not list(tmp_path.iterdir())


def test_the_log_says_epoch_losses_and_time_left(monkeypatch, caplog):
    monkeypatch.setattr("matlas.threads._LOG_EVERY_S", 0.0)
    with caplog.at_level(logging.INFO):
        history = train(network(), rows(), rows(seed=1), **SETTINGS).history
    line = next(record.getMessage() for record in caplog.records if "epochs: 5 of 12" in record.getMessage())
    assert f"training loss {history['train_loss'][4]:.4g}" in line
    assert f"held-out loss {history['validation_loss'][4]:.4g}" in line and "s left" in line


TRAINING = """
import logging, sys
import numpy as np, torch
from matlas.autoencoders.networks import build_network
from matlas.autoencoders.training import train
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
torch.set_num_threads(1)
rows = torch.tensor(np.random.default_rng(0).normal(size=(1500, 8)), dtype=torch.float32)
for checkpoint, every, result in zip(*[iter(sys.argv[1:])] * 3):
    network = build_network("variational", 8, (16, 3), activation="relu", beta=0.1, noise=0.0, random_state=0)
    train(network, rows[150:], rows[:150], epochs=100, batch_size=32, learning_rate=1e-3, patience=None,
          random_state=0, checkpoint=checkpoint or None, checkpoint_every=float(every))
    np.save(result, torch.cat([value.flatten() for value in network.state_dict().values()]))
"""


def test_a_training_killed_by_sigkill_goes_on_and_ends_with_the_same_bits(tmp_path, repository):
    def command(*arguments):
        return [sys.executable, "-c", TRAINING, *map(str, arguments)]

    checkpoint, killed, resumed, whole = (
        tmp_path / name for name in ("state", "killed.npy", "resumed.npy", "whole.npy")
    )
    process = subprocess.Popen(command(checkpoint, 0, killed), cwd=repository, stdout=subprocess.DEVNULL)
    while not checkpoint.exists() and process.poll() is None:
        time.sleep(0.01)
    time.sleep(0.2)
    process.kill()
    assert process.wait() == -signal.SIGKILL and not killed.exists()
    both = command(checkpoint, 3600, resumed, "", 3600, whole)
    said = subprocess.run(both, cwd=repository, check=True, capture_output=True, text=True).stdout
    assert said.count("going on after epoch") == 1 and said.count("trained on cpu: 100 epochs") == 2
    assert resumed.read_bytes() == whole.read_bytes()


def test_the_variational_loss_is_squared_error_plus_beta_times_divergence_over_columns():
    net, data = network("variational"), rows(20000)
    parts = net.loss(data, torch.Generator().manual_seed(0))
    mean, log_variance = (value.detach().double() for value in net.posterior(data))
    posterior = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    kl = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).sum(dim=1).mean()
    assert parts["kl"].item() == pytest.approx(kl.item(), rel=1e-5)
    torch.manual_seed(1)  # other draws of the same posterior
    with torch.no_grad():
        error = ((net.decode(posterior.sample().float()) - data) ** 2).mean()
    assert parts["loss"].item() == pytest.approx(error.item() + 0.2 * kl.item() / 6, rel=2e-2)


def test_denoising_sees_noise_of_the_given_size_in_training_only_and_is_judged_by_the_clean_rows():
    net, data = network("denoising"), torch.zeros(50_000, 6)
    seen = []
    net.encoder.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    loss = net.train().loss(data, torch.Generator().manual_seed(0))["loss"].item()
    assert seen[0].std().item() == pytest.approx(0.3, rel=0.01) and abs(seen[0].mean().item()) < 0.01
    with torch.no_grad():
        assert loss == pytest.approx((net.decoder(net.encoder(seen[0])) ** 2).mean().item(), rel=1e-4)
    seen.clear()
    net.eval().loss(data, torch.Generator().manual_seed(0))
    assert torch.equal(seen[0], data)


def test_held_out_rows_of_a_denoising_network_are_clean_and_each_epoch_draws_new_noise():
    net, data, held_out, seen = network("denoising"), rows(40), rows(50, seed=1), []
    net.encoder.register_forward_pre_hook(lambda module, given: seen.append(given[0]) if module.training else None)
    history = train(net, data, held_out, **SETTINGS | {"epochs": 2, "batch_size": 40}).history
    assert mean_error(net, held_out) == pytest.approx(history["validation_loss"].min(), rel=1e-5)
    first, second = (noisy - data[epoch_order(40, 3, epoch)] for epoch, noisy in enumerate(seen, 1))
    assert first.std().item() == pytest.approx(0.3, rel=0.1) and second.std().item() == pytest.approx(0.3, rel=0.1)
    assert abs(torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1]) < 0.25


def test_history_of_a_variational_network_has_its_divergence():
    history = train(network("variational"), rows(), **SETTINGS).history
    assert history.columns.tolist() == ["epoch", "train_loss", "validation_loss", "learning_rate", "kl", "kept"]
    assert (history["kl"] > 0).all() and not math.isnan(history["train_loss"].iloc[-1])
