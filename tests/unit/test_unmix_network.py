"""The softmax autoencoder against planted mixtures, FCLS, PyTorch's own modules, and what it must refuse."""

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load, save
from scipy.special import kl_div

import matlas.unmix.network as network_module
from matlas.errors import ConfigError, DataError
from matlas.unmix.fcls import fcls
from matlas.unmix.match import abundance_rmse, match_endmembers
from matlas.unmix.network import abundances_of, softmax_autoencoder
from matlas.unmix.vca import vca

# no loss falls by a share of 0.99: four epochs of the encoder, two of the endmembers too
QUICK = dict(epochs=6, hidden=(8,), patience=4, tol=0.99)


def smooth_endmembers(m, c):
    """Peaks one beside another, on backgrounds of their own."""
    channel = np.arange(c)
    at = np.linspace(0.1, 0.9, m) * c
    return np.stack(
        [np.exp(-((channel - at[j]) ** 2) / 40) + 0.2 * (1 + np.sin(channel / (4 + 2 * j))) for j in range(m)]
    )


def planted(noise, *, concentration=0.5, n=1000, m=3, c=60, seed=0):
    """Spectra, abundances and endmembers; many pixels are nearly pure where the concentration is low."""
    random = np.random.default_rng(seed)
    endmembers, abundances = smooth_endmembers(m, c), random.dirichlet(np.full(m, concentration), n)
    spectra = abundances @ endmembers + noise * random.standard_normal((n, c))
    return np.maximum(spectra, 0), abundances, endmembers


def counted(counts_a_pixel, seed=0):
    _, abundances, endmembers = planted(0, seed=seed)
    endmembers = endmembers / endmembers.sum(axis=1, keepdims=True)
    return np.random.default_rng(seed).poisson(counts_a_pixel * abundances @ endmembers), abundances, endmembers


def errors(abundances, endmembers, true_abundances, true_endmembers):
    """RMSE of abundances and the largest spectral angle."""
    match = match_endmembers(endmembers, true_endmembers)
    return abundance_rmse(abundances[:, match.found], true_abundances), match.angles.max()


def of_network(found, truth):
    return errors(found.unmixed.abundances, found.unmixed.endmembers, *truth)


def of_vca(spectra, truth):
    endmembers = np.maximum(vca(spectra, len(truth[1]), 0)[0], 0)
    return errors(fcls(spectra, endmembers), endmembers, *truth)


@pytest.fixture(scope="module")
def clean():
    spectra, *truth = planted(0)
    return spectra, truth, softmax_autoencoder(spectra, 3)


@pytest.fixture(scope="module")
def noisy():
    spectra, *truth = planted(0.02)
    return spectra, truth, softmax_autoencoder(spectra, 3)


# --- planted mixtures ---


def test_mixtures_without_noise_are_rebuilt_nearly_to_zero_error(clean):
    spectra, truth, found = clean
    mean_alone = ((spectra - spectra.mean(axis=0)) ** 2).sum()
    assert found.unmixed.loss < 5e-4 * mean_alone
    rmse, angle = of_network(found, truth)
    assert rmse < 0.03 and angle < 3


def test_planted_mixtures_in_noise_are_found_about_as_well_as_by_vca_and_fcls(noisy):
    spectra, truth, found = noisy
    rmse, angle = of_network(found, truth)
    constant = abundance_rmse(np.full_like(truth[0], 1 / 3), truth[0])
    vca_rmse, vca_angle = of_vca(spectra, truth)
    assert rmse < 0.02 < 0.1 * constant
    assert rmse < vca_rmse + 0.01 and angle < vca_angle + 1.5
    assert found.unmixed.converged


def test_endmembers_without_pure_pixels_are_found_better_than_by_vca():
    spectra, *truth = planted(0.02, concentration=1.5)
    (rmse, angle), (vca_rmse, vca_angle) = of_network(softmax_autoencoder(spectra, 3), truth), of_vca(spectra, truth)
    assert rmse < 0.8 * vca_rmse and angle < vca_angle


def test_counts_are_unmixed_better_by_their_likelihood_than_by_the_squared_error():
    counts, *truth = counted(1000)
    rmse = {
        loss: of_network(softmax_autoencoder(counts, 3, loss=loss), truth)[0]
        for loss in ("frobenius", "kullback-leibler")
    }
    assert rmse["kullback-leibler"] < rmse["frobenius"] < 0.1
    assert rmse["kullback-leibler"] < of_vca(counts, truth)[0]


def test_endmembers_that_are_trained_from_the_first_step_leave_the_pure_pixels(noisy, monkeypatch):
    spectra, truth, found = noisy
    monkeypatch.setattr(network_module, "_STAGES", ((True, 1.0), (True, 0.1)))
    assert of_network(softmax_autoencoder(spectra, 3), truth)[0] > 1.5 * of_network(found, truth)[0]


# --- what holds of every result ---


@pytest.mark.parametrize("loss", ["frobenius", "kullback-leibler"])
@pytest.mark.parametrize("start", ["vca", "pixels"])
def test_abundances_sum_to_one_and_nothing_is_negative(loss, start):
    counts, *_ = counted(20)
    counts[:, 7] = 0  # a channel without counts
    unmixed = softmax_autoencoder(counts, 3, loss=loss, start=start, learning_rate=0.1, **QUICK).unmixed
    assert unmixed.abundances.shape == (1000, 3) and unmixed.endmembers.shape == (3, 60)
    assert unmixed.abundances.min() >= 0 and unmixed.endmembers.min() >= 0
    np.testing.assert_allclose(unmixed.abundances.sum(axis=1), 1, rtol=0, atol=1e-14)
    assert unmixed.endmembers[:, 7].max() < 0.02 * unmixed.endmembers.max()
    assert np.isfinite(unmixed.history).all()


def test_endmembers_are_exactly_zero_where_only_noise_would_make_them_positive():
    _, abundances, endmembers = planted(0)
    endmembers[:2, 20:30] = 0
    noise = 0.02 * np.random.default_rng(1).standard_normal((1000, 60))
    found = softmax_autoencoder(np.maximum(abundances @ endmembers + noise, 0), 3).unmixed.endmembers
    ours = found[match_endmembers(found, endmembers).found]
    assert (ours[:2, 20:30] == 0).any() and ours[:2, 20:30].max() < 0.05
    assert (np.delete(ours, range(20, 30), axis=1) > 0).mean() > 0.9


def test_the_weights_kept_are_those_of_the_smallest_loss_and_not_the_last(noisy):
    unmixed = softmax_autoencoder(noisy[0], 3, learning_rate=3.0, **{**QUICK, "epochs": 3}).unmixed
    assert unmixed.history[-1] > 2 * unmixed.loss
    assert unmixed.loss == pytest.approx(unmixed.history.min(), rel=1e-4)


@pytest.mark.parametrize("loss", ["frobenius", "kullback-leibler"])
def test_the_loss_is_that_of_the_factors_and_the_smallest_of_its_history(loss):
    counts, *_ = counted(100)
    unmixed = softmax_autoencoder(counts, 3, loss=loss, **QUICK).unmixed
    model = unmixed.abundances @ unmixed.endmembers
    expected = ((counts - model) ** 2).sum() if loss == "frobenius" else kl_div(counts, model).sum()
    assert unmixed.loss == pytest.approx(expected, rel=1e-12)
    assert unmixed.loss == pytest.approx(unmixed.history.min(), rel=1e-4)  # which is in float32
    assert unmixed.iterations == 6 == len(unmixed.history) - 1 and not unmixed.converged
    assert unmixed.history[0] > 1.1 * unmixed.loss


def test_training_begins_with_the_endmembers_of_vca_and_moves_them_only_after_the_encoder(noisy, monkeypatch):
    spectra = noisy[0]
    monkeypatch.setattr(network_module, "_STAGES", ((False, 1.0),))
    unmixed = softmax_autoencoder(spectra, 3, **QUICK).unmixed
    seed = int(np.random.SeedSequence(0).generate_state(1)[0])
    np.testing.assert_allclose(unmixed.endmembers, np.maximum(vca(spectra, 3, seed)[0], 0), rtol=0, atol=1e-6)


def test_a_learning_that_stalls_ends_each_stage_after_its_patience(noisy):
    # at this learning rate the loss never falls by a share of 0.5
    unmixed = softmax_autoencoder(noisy[0], 3, learning_rate=1e-9, tol=0.5, patience=3).unmixed
    assert unmixed.converged and unmixed.iterations == 6


def test_the_best_of_several_starts_is_returned(noisy):
    found = softmax_autoencoder(noisy[0], 3, start="pixels", n_starts=3, **QUICK)
    assert len(set(found.unmixed.starts)) == 3 and found.unmixed.loss == found.unmixed.starts.min()
    assert found.about["results"]["loss_of_starts"] == found.unmixed.starts.tolist()


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(noisy):
    def bytes_of(seed):
        found = softmax_autoencoder(noisy[0], 3, random_state=seed, **QUICK)
        unmixed = found.unmixed
        parts = (unmixed.abundances, unmixed.endmembers, unmixed.history)
        return b"".join(p.tobytes() for p in parts) + save(found.weights) + json.dumps(found.about).encode()

    torch.manual_seed(1)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    first = bytes_of(3)
    assert torch.equal(torch.get_rng_state(), state) and torch.get_num_threads() == threads
    torch.manual_seed(2)  # of no account
    assert bytes_of(3) == first != bytes_of(4)


def test_results_do_not_depend_on_the_unit(noisy):
    spectra = noisy[0]
    plain, other = (softmax_autoencoder(spectra * unit, 3, **QUICK).unmixed for unit in (1, 2.0**20))
    np.testing.assert_allclose(other.abundances, plain.abundances, rtol=0, atol=1e-6)
    np.testing.assert_allclose(other.endmembers, plain.endmembers * 2.0**20, rtol=1e-5)
    np.testing.assert_allclose(other.history, plain.history * 2.0**40, rtol=1e-5)


# --- a stored encoder ---


def test_stored_weights_give_the_same_abundances(noisy):
    spectra, _, found = noisy
    weights, about = load(save(found.weights)), json.loads(json.dumps(found.about, allow_nan=False))
    np.testing.assert_array_equal(abundances_of(weights, about, spectra), found.unmixed.abundances)
    np.testing.assert_array_equal(weights["endmembers"], found.unmixed.endmembers)
    np.testing.assert_allclose(abundances_of(weights, about, spectra[5:7]), found.unmixed.abundances[5:7], atol=1e-14)


def test_a_stored_encoder_is_that_of_pytorch(noisy):
    spectra, _, _ = noisy
    found = softmax_autoencoder(spectra, 3, hidden=(9, 5), epochs=3)
    peer = torch.nn.Sequential(
        torch.nn.Linear(60, 9), torch.nn.ReLU(), torch.nn.Linear(9, 5), torch.nn.ReLU(), torch.nn.Linear(5, 3),
        torch.nn.Softmax(dim=1),
    ).double()  # fmt: skip
    layers = {name: torch.tensor(value) for name, value in found.weights.items() if name.startswith("encoder")}
    peer.load_state_dict({f"{2 * int(name.split('.')[1])}.{name.split('.')[2]}": v for name, v in layers.items()})
    inputs = (spectra - spectra.mean(axis=0)) / spectra.std(axis=0).max()
    expected = peer(torch.tensor(inputs)).detach().numpy()
    np.testing.assert_allclose(found.unmixed.abundances, expected, rtol=0, atol=1e-12)
    assert found.about["architecture"] == [60, 9, 5, 3]


def test_new_spectra_of_the_same_endmembers_get_their_abundances(noisy):
    found = noisy[2]
    spectra, abundances, endmembers = planted(0.02, seed=9)
    match = match_endmembers(found.unmixed.endmembers, endmembers)
    assert abundance_rmse(abundances_of(found.weights, found.about, spectra)[:, match.found], abundances) < 0.03


def test_blocks_of_pixels_do_not_change_abundances(noisy, monkeypatch):
    spectra, _, found = noisy
    monkeypatch.setattr(network_module, "_PIXELS_AT_ONCE", 13)
    again = abundances_of(found.weights, found.about, spectra)
    np.testing.assert_allclose(again, found.unmixed.abundances, rtol=0, atol=1e-14)


def test_a_stored_encoder_refuses_what_it_was_not_trained_for(noisy):
    spectra, _, found = noisy
    weights, about = found.weights, found.about
    with pytest.raises(DataError, match="other channels.*expected 60, found 59"):
        abundances_of(weights, about, spectra[:, 1:])
    with pytest.raises(DataError, match="spectra hold NaN"):
        abundances_of(weights, about, np.full((2, 60), np.nan))
    with pytest.raises(DataError, match=r"overflow in the encoder \(pixel index 1\)"):
        abundances_of(weights, about, spectra[:3] * np.array([[1], [1e308], [1]]))
    with pytest.raises(DataError, match=r"don't fit the architecture \(encoder.1.bias\).*found none"):
        abundances_of({name: v for name, v in weights.items() if name != "encoder.1.bias"}, about, spectra)
    with pytest.raises(DataError, match=r"\(mean\): expected \(60,\), found \(59,\)"):
        abundances_of({**weights, "mean": weights["mean"][1:]}, about, spectra)
    with pytest.raises(DataError, match="another format.*format 1, found 7"):
        abundances_of(weights, {**about, "format": 7}, spectra)


# --- input that can't be unmixed ---


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"loss": "kullback"}, "unknown loss.*'kullback-leibler'"),
        ({"start": "pixel"}, "unknown start.*'pixels'"),
        ({"n_endmembers": 1}, "2 to 60 for 1000 pixels of 60 channels, found 1"),
        ({"n_endmembers": 61}, "2 to 60"),
        ({"epochs": 0}, "epochs.*at least 1, found 0"),
        ({"batch_size": 2.5}, "batch_size.*found 2.5"),
        ({"n_endmembers": 2.5}, "2 to 60.*found 2.5"),
        ({"hidden": 64}, "hidden.*no list.*found 64"),
        ({"hidden": (64, 0)}, "hidden.*found 0"),
        ({"n_starts": 0}, "n_starts"),
        ({"random_state": -1}, "random_state"),
        ({"learning_rate": 0.0}, "learning_rate above 0"),
        ({"tol": 1.0}, "tol between 0 and 1"),
        ({"device": "gpu0"}, "unknown device"),
    ],
)
def test_settings_that_make_no_training_are_refused(noisy, options, says):
    with pytest.raises(ConfigError, match=says):
        softmax_autoencoder(noisy[0], **{"n_endmembers": 3, **options})


@pytest.mark.parametrize(
    ("spectra", "says"),
    [
        (np.full((5, 4), np.nan), "spectra hold NaN"),
        (np.ones(5), "not a table"),
        (np.eye(5) - 0.5, "a smallest value of -0.5"),
        (np.zeros((5, 4)), "not all 0"),
        (np.full((5, 4), 0.1), "all pixels are the same"),
        (np.linspace(1, 2, 20)[:, None] * [[1.0, 2.0, 3.0]], "fewer dimensions than endmembers"),
    ],
)
def test_spectra_that_are_no_mixtures_are_refused(spectra, says):
    with pytest.raises(DataError, match=says):
        softmax_autoencoder(spectra, 2, **QUICK)


def test_a_training_that_diverges_says_so(noisy):
    with pytest.raises(DataError, match="training diverged.*epoch 1.*smaller learning_rate"):
        softmax_autoencoder(noisy[0], 3, learning_rate=1e30, **QUICK)
