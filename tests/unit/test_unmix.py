"""Unmixing: FCLS and NNLS against enumeration and quadratic programming, VCA, NMF, matching and the number of
endmembers against planted truth."""

import itertools
import os
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat
from scipy.optimize import minimize
from scipy.optimize import nnls as scipy_nnls
from scipy.special import kl_div
from sklearn.decomposition import NMF

import matlas.unmix.fcls as fcls_module
import matlas.unmix.rank as rank_module
import matlas.unmix.vca as vca_module
from matlas.errors import ConfigError, DataError
from matlas.unmix.fcls import fcls, nnls
from matlas.unmix.match import abundance_rmse, match_endmembers, spectral_angle
from matlas.unmix.nmf import _Counts, nmf, nmf_then_fcls, refine_by_fcls
from matlas.unmix.rank import endmember_number
from matlas.unmix.vca import vca

MIRROR = os.environ.get("MATLAS_MIRROR")


def best_of_all_supports(spectra, endmembers, *, sum_to_one):
    """The optimum by trying every set of endmembers, and its squared error."""
    n, m = len(spectra), len(endmembers)
    best = np.zeros((n, m))
    least = np.full(n, np.inf) if sum_to_one else (spectra**2).sum(axis=1)
    for size in range(1, m + 1):
        for chosen in map(list, itertools.combinations(range(m), size)):
            a = np.zeros((n, m))
            if sum_to_one:
                first, others = chosen[0], chosen[1:]
                edges = endmembers[others] - endmembers[first]
                a[:, others] = np.linalg.lstsq(edges.T, (spectra - endmembers[first]).T, rcond=None)[0].T
                a[:, first] = 1 - a.sum(axis=1)
            else:
                a[:, chosen] = np.linalg.lstsq(endmembers[chosen].T, spectra.T, rcond=None)[0].T
            error = ((spectra - a @ endmembers) ** 2).sum(axis=1)
            better = (a >= 0).all(axis=1) & (error < least)
            best[better], least[better] = a[better], error[better]
    return best, least


def smooth_endmembers(m, c=60):
    """Peaks one beside another, on backgrounds of their own."""
    channel = np.arange(c)
    at = np.linspace(0.1, 0.9, m) * c
    return np.stack(
        [np.exp(-((channel - at[j]) ** 2) / 40) + 0.2 * (1 + np.sin(channel / (4 + 2 * j))) for j in range(m)]
    )


def mixed(endmembers, n, random, *, noise=0.0, concentration=1.0):
    abundances = random.dirichlet(np.full(len(endmembers), concentration), n)
    return abundances @ endmembers + noise * random.standard_normal((n, endmembers.shape[1])), abundances


# --- abundances of given endmembers ---


@pytest.mark.parametrize("m", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("more_channels", [0, 1, 20])
def test_abundances_are_those_of_the_best_of_all_supports(m, more_channels):
    random = np.random.default_rng(m)
    endmembers = random.normal(size=(m, m + more_channels))
    spectra = random.normal(size=(300, m + more_channels)) * random.choice([0.01, 1, 10], size=(300, 1))
    constrained, _ = best_of_all_supports(spectra, endmembers, sum_to_one=True)
    np.testing.assert_allclose(fcls(spectra, endmembers), constrained, rtol=0, atol=1e-9)
    non_negative, _ = best_of_all_supports(spectra, endmembers, sum_to_one=False)
    np.testing.assert_allclose(nnls(spectra, endmembers), non_negative, rtol=1e-9, atol=1e-9)
    assert m == 1 or ((constrained > 0).sum(axis=1) < m).any()  # the constraints bind somewhere


def test_abundances_are_those_of_quadratic_programming():
    random = np.random.default_rng(0)
    endmembers = smooth_endmembers(6)
    spectra, _ = mixed(endmembers, 15, random, noise=0.3)
    found = fcls(spectra, endmembers)
    for pixel, abundances in zip(spectra, found, strict=True):
        result = minimize(
            lambda a, pixel=pixel: ((pixel - a @ endmembers) ** 2).sum(), np.full(6, 1 / 6), method="SLSQP",
            jac=lambda a, pixel=pixel: 2 * (a @ endmembers - pixel) @ endmembers.T, bounds=[(0, None)] * 6,
            constraints={"type": "eq", "fun": lambda a: a.sum() - 1, "jac": np.ones_like},
            options={"ftol": 1e-15, "maxiter": 1000},
        )  # fmt: skip
        np.testing.assert_allclose(abundances, result.x, rtol=0, atol=1e-6)


def test_non_negative_abundances_are_those_of_scipy_with_many_endmembers():
    random = np.random.default_rng(1)
    endmembers = random.random((12, 40))
    spectra = random.random((500, 40))
    expected = np.array([scipy_nnls(endmembers.T, pixel)[0] for pixel in spectra])
    np.testing.assert_allclose(nnls(spectra, endmembers), expected, rtol=0, atol=1e-10)


def test_optimality_conditions_hold_for_many_endmembers():
    random = np.random.default_rng(2)
    endmembers = random.random((12, 40))
    spectra = random.random((2000, 40))
    abundances = fcls(spectra, endmembers)
    assert (abundances >= 0).all()
    np.testing.assert_allclose(abundances.sum(axis=1), 1, rtol=0, atol=1e-14)
    fall = (spectra - abundances @ endmembers) @ endmembers.T
    fastest = fall.max(axis=1, keepdims=True)  # nothing may fall faster than what is used already
    assert np.abs(np.where(abundances > 0, fall - fastest, 0)).max() < 1e-10


def test_a_pixel_that_is_an_endmember_has_only_that():
    endmembers = smooth_endmembers(4)
    np.testing.assert_allclose(fcls(endmembers, endmembers), np.eye(4), rtol=0, atol=1e-13)
    np.testing.assert_allclose(nnls(3 * endmembers, endmembers), 3 * np.eye(4), rtol=0, atol=1e-12)


def test_a_single_endmember_takes_the_whole_pixel():
    spectra = np.random.default_rng(0).normal(size=(5, 7))
    assert (fcls(spectra, np.ones((1, 7))) == 1).all()
    np.testing.assert_allclose(nnls(spectra, np.ones((1, 7)))[:, 0], np.maximum(spectra.mean(axis=1), 0), atol=1e-14)


def test_a_pixel_of_zeros_contains_nothing_or_what_is_nearest_to_zero():
    endmembers = np.array([[3.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    zeros = np.zeros((2, 3))
    assert (nnls(zeros, endmembers) == 0).all()
    # (3 a)² + (1 - a)² is least at a = 0.1
    np.testing.assert_allclose(fcls(zeros, endmembers), [[0.1, 0.9]] * 2, rtol=0, atol=1e-15)


def test_shade_may_be_an_endmember_of_fcls_but_not_of_nnls():
    endmembers = np.vstack([smooth_endmembers(2), np.zeros(60)])
    truth = np.array([[0.2, 0.3, 0.5], [0.0, 0.6, 0.4]])
    np.testing.assert_allclose(fcls(truth @ endmembers, endmembers), truth, rtol=0, atol=1e-14)
    with pytest.raises(DataError, match=r"zero, or a combination of others \(endmember index 2\)"):
        nnls(truth @ endmembers, endmembers)


@pytest.mark.parametrize(
    ("rows", "named"), [((0, 1, 1), "1, 2"), ((0, 0, 1), "0, 1"), ((0, 1, 2, "mean"), "0, 1, 2, 3")]
)
@pytest.mark.parametrize("function", [fcls, nnls])
def test_dependent_endmembers_are_refused_and_named(function, rows, named):
    distinct = smooth_endmembers(3)
    endmembers = np.array([distinct.mean(axis=0) if row == "mean" else distinct[row] for row in rows])
    with pytest.raises(DataError, match=rf"endmember index {named}\)"):
        function(distinct, endmembers)


@pytest.mark.parametrize("apart", [1e-3, 1e-5, 1e-7])
def test_endmembers_that_hardly_differ_still_give_the_smallest_error(apart):
    random = np.random.default_rng(5)
    endmembers = smooth_endmembers(4)
    endmembers[3] = endmembers[2] + apart * random.normal(size=60)
    spectra, _ = mixed(endmembers, 300, random, noise=0.01)
    for function, sum_to_one in ((fcls, True), (nnls, False)):
        found = function(spectra, endmembers)
        error = ((spectra - found @ endmembers) ** 2).sum(axis=1)
        _, least = best_of_all_supports(spectra, endmembers, sum_to_one=sum_to_one)
        np.testing.assert_allclose(error, least, rtol=1e-10)


def test_abundances_do_not_depend_on_the_unit():
    random = np.random.default_rng(6)
    endmembers = smooth_endmembers(4)
    spectra, _ = mixed(endmembers, 300, random, noise=0.2)
    for unit in (1e-200, 1e-9, 1e12, 1e200):
        np.testing.assert_allclose(fcls(spectra * unit, endmembers * unit), fcls(spectra, endmembers), atol=1e-12)
        np.testing.assert_allclose(nnls(spectra * unit, endmembers * unit), nnls(spectra, endmembers), atol=1e-12)


def test_endmembers_of_very_different_size_keep_their_abundances():
    random = np.random.default_rng(7)
    endmembers = smooth_endmembers(4) * np.array([[1e-4], [1.0], [1e4], [1e2]])
    spectra, _ = mixed(endmembers, 300, random)
    spectra *= 1 + 0.01 * random.standard_normal(spectra.shape)
    expected, _ = best_of_all_supports(spectra, endmembers, sum_to_one=True)
    np.testing.assert_allclose(fcls(spectra, endmembers), expected, rtol=0, atol=1e-6)
    far = 1e9 * spectra  # pixels far outside of the simplex
    expected, _ = best_of_all_supports(far, endmembers, sum_to_one=True)
    np.testing.assert_allclose(fcls(far, endmembers), expected, rtol=0, atol=1e-9)


def test_faint_endmembers_keep_their_digits_beside_bright_ones():
    random = np.random.default_rng(4)
    faint, bright = 1e-4 * smooth_endmembers(2), 1e6 * smooth_endmembers(4)[2:]
    truth = np.column_stack([random.dirichlet(np.ones(2), 50), np.zeros((50, 2))])
    endmembers = np.concatenate([faint, bright])
    np.testing.assert_allclose(fcls(truth @ endmembers, endmembers), truth, rtol=0, atol=1e-11)


def test_optima_are_found_where_endmembers_differ_by_little_more_than_rounding():
    # edges of 1e-8 make abundances of 1e8 out of rounding on the way
    random = np.random.default_rng(8)
    for _ in range(60):
        endmembers = random.random((4, 30))
        endmembers[3] = endmembers[0] + 10 ** random.uniform(-7.2, -6) * random.normal(size=30)
        spectra, _ = mixed(endmembers, 100, random, noise=10 ** random.uniform(-16, 0))
        np.testing.assert_allclose(fcls(spectra, endmembers).sum(axis=1), 1, rtol=0, atol=1e-14)


def test_blocks_of_pixels_do_not_change_abundances(monkeypatch):
    endmembers = smooth_endmembers(5)
    spectra, _ = mixed(endmembers, 1001, np.random.default_rng(8), noise=0.1)
    whole = fcls(spectra, endmembers)
    monkeypatch.setattr(fcls_module, "_VALUES_AT_ONCE", 60 * 7)
    monkeypatch.setattr(fcls_module, "_PIXELS_AT_ONCE", 13)
    np.testing.assert_allclose(fcls(spectra, endmembers), whole, rtol=0, atol=1e-13)


def test_a_pixel_without_optimum_is_never_returned(monkeypatch):
    endmembers = smooth_endmembers(5)
    with pytest.raises(DataError, match="no optimum was found for some pixels.*pixel index 1"):
        fcls(endmembers[:2] * np.array([[1.0], [1e200]]), endmembers)  # the square overflows
    spectra, _ = mixed(endmembers, 200, np.random.default_rng(9), noise=0.5)
    monkeypatch.setattr(fcls_module, "_ROUNDS", 0)  # gives up at once
    with pytest.raises(DataError, match="no optimum was found for some pixels"):
        fcls(spectra, endmembers)


@pytest.mark.parametrize("function", [fcls, nnls])
@pytest.mark.parametrize(
    ("spectra", "endmembers", "says"),
    [
        (np.full((2, 4), np.nan), np.eye(2, 4), "spectra hold NaN"),
        (np.ones((2, 4)), np.full((2, 4), np.inf), "endmembers hold NaN or infinity"),
        (np.ones(4), np.eye(2, 4), "spectra are not a table"),
        (np.ones((2, 4)), np.eye(2, 5), "endmembers do not fit the spectra"),
        (np.ones((2, 4)), np.empty((0, 4)), "endmembers do not fit the spectra"),
        (np.ones((2, 2)), np.eye(3, 2), "too many endmembers"),
    ],
)
def test_input_that_is_no_unmixing_problem_is_refused(function, spectra, endmembers, says):
    with pytest.raises(DataError, match=says):
        function(spectra, endmembers)


# --- vertex component analysis ---


@pytest.mark.parametrize("m", [2, 3, 5, 8])
@pytest.mark.parametrize("lit", [False, True])
def test_vca_finds_pure_pixels_exactly(m, lit):
    random = np.random.default_rng(m)
    endmembers = smooth_endmembers(m)
    spectra, _ = mixed(endmembers, 1000, random)
    pure = random.choice(1000, m, replace=False)
    spectra[pure] = endmembers
    if lit:
        spectra *= random.uniform(0.5, 1.5, size=(1000, 1))  # illumination that varies
    for seed in range(3):
        found, positions = vca(spectra, m, seed)
        assert sorted(positions) == sorted(pure)
        np.testing.assert_allclose(found, spectra[positions], rtol=0, atol=1e-10)


@pytest.mark.parametrize(("noise", "most"), [(0.003, 0.5), (0.06, 6.0)])  # on both sides of the threshold
def test_vca_comes_near_the_endmembers_in_noise(noise, most):
    random = np.random.default_rng(0)
    endmembers = smooth_endmembers(3, c=150)
    spectra, _ = mixed(endmembers, 2000, random, concentration=0.3)
    spectra[:3] = endmembers
    spectra += noise * random.standard_normal(spectra.shape)
    found, positions = vca(spectra, 3, 0)
    angles = match_endmembers(found, endmembers).angles
    assert angles.max() < most
    # the projection takes noise away
    assert angles.sum() < match_endmembers(spectra[positions], endmembers).angles.sum()


def test_vca_takes_illumination_away_where_noise_is_low():
    random = np.random.default_rng(1)
    endmembers = smooth_endmembers(3, c=150)
    spectra, _ = mixed(endmembers, 2000, random)
    spectra[:3] = endmembers
    spectra *= random.uniform(0.2, 1.8, size=(2000, 1))
    spectra += 1e-4 * random.standard_normal(spectra.shape)
    assert match_endmembers(vca(spectra, 3, 0)[0], endmembers).angles.max() < 0.2


def test_vca_does_not_scale_dark_pixels_up_where_noise_is_high():
    random = np.random.default_rng(1)
    spectra, _ = mixed(smooth_endmembers(3, c=150), 2000, random)
    spectra[7] = 0
    _, positions = vca(spectra + 0.3 * random.standard_normal(spectra.shape), 3, 0)
    assert len(set(positions)) == 3


def test_vca_estimates_the_signal_to_noise_ratio_that_was_planted():
    random = np.random.default_rng(0)
    spectra, _ = mixed(smooth_endmembers(3, c=30), 5000, random)
    for noise in (0.001, 0.03, 0.3, 0.6):
        planted = 10 * np.log10((spectra**2).sum(axis=1).mean() / (30 * noise**2))
        noisy = spectra + noise * random.standard_normal(spectra.shape)
        assert vca_module._signal_to_noise(noisy, noisy.mean(axis=0), 3)[0] == pytest.approx(planted, abs=0.2)


def test_vca_depends_on_its_seed_alone():
    spectra, _ = mixed(smooth_endmembers(4), 300, np.random.default_rng(0), noise=0.05)
    for first, again in zip(vca(spectra, 4, 7), vca(spectra.copy(), 4, 7), strict=True):
        np.testing.assert_array_equal(first, again)


def test_vca_refuses_what_it_cannot_answer():
    spectra, _ = mixed(smooth_endmembers(3), 50, np.random.default_rng(0))
    for m in (1, 51):
        with pytest.raises(ConfigError, match="2 to 50"):
            vca(spectra, m, 0)
    with pytest.raises(DataError, match="fewer dimensions than endmembers"):
        vca(spectra, 5, 0)
    spectra[[4, 9]] = 0
    with pytest.raises(DataError, match=r"without brightness.*pixel index 4, 9"):
        vca(spectra, 3, 0)


# --- factorisation ---


@pytest.fixture(scope="module")
def separable():
    """Counts whose factors are unique: each endmember has a channel of its own and pure pixels."""
    random = np.random.default_rng(0)
    endmembers = smooth_endmembers(3, c=40)
    for j in range(3):
        endmembers[:, 10 * j + 5] = 0
        endmembers[j, 10 * j + 5] = 1
    endmembers /= endmembers.sum(axis=1, keepdims=True)
    spectra, abundances = mixed(endmembers, 300, random, concentration=0.4)
    spectra[:3], abundances[:3] = endmembers, np.eye(3)
    return spectra, abundances, endmembers


@pytest.mark.parametrize(("loss", "most"), [("frobenius", 0.5), ("kullback-leibler", 3.0)])
def test_nmf_finds_factors_that_are_unique(separable, loss, most):
    spectra, abundances, endmembers = separable
    found = nmf(spectra, 3, loss=loss, n_starts=3, tol=1e-9, max_iter=1500)
    match = match_endmembers(found.endmembers, endmembers)
    assert match.angles.max() < most
    assert abundance_rmse(found.abundances[:, match.found], abundances) < 0.03


def test_nmf_keeps_the_best_start_and_reports_how_it_converged(separable):
    random = np.random.default_rng(1)
    counts = random.poisson(200 * separable[0])
    found = nmf(counts, 5, n_starts=4, random_state=3)
    assert np.ptp(found.starts) > 100 and found.starts[-1] > found.loss  # starts differ, and the last isn't the best
    assert found.loss == found.starts.min() == found.history[-1] and len(found.starts) == 4
    assert found.converged and len(found.history) == -(-found.iterations // 10)
    assert (np.diff(found.history) <= 1e-9 * found.history[0]).all()
    assert found.loss == pytest.approx(((counts - found.abundances @ found.endmembers) ** 2).sum(), rel=1e-12)
    stopped = nmf(counts, 3, n_starts=1, max_iter=15)
    assert not stopped.converged and stopped.iterations == 15


def test_nmf_ten_iterations_at_a_time_is_scikit_learn_at_once(separable):
    spectra = separable[0]
    seed = int(np.random.SeedSequence(0).generate_state(1)[0])
    peer = NMF(3, init="nndsvda", solver="cd", tol=0, max_iter=40, random_state=seed)
    product = peer.fit_transform(spectra) @ peer.components_
    found = nmf(spectra, 3, loss="frobenius", n_starts=1, max_iter=40, tol=1e-15)
    np.testing.assert_allclose(found.abundances @ found.endmembers, product, rtol=0, atol=1e-12)


@pytest.fixture(scope="module")
def few_counts(separable):
    """300 pixels of a dozen counts, most channels empty."""
    return np.random.default_rng(4).poisson(2 * separable[0] / separable[0].mean(axis=1).mean() / 10)


def test_one_update_on_the_values_that_are_not_0_is_one_of_scikit_learn_on_all(few_counts):
    start = NMF(3, init="nndsvda", solver="mu", beta_loss="kullback-leibler", tol=0, max_iter=5, random_state=0)
    abundances = start.fit_transform(few_counts)
    peer = NMF(3, init="custom", solver="mu", beta_loss="kullback-leibler", tol=0, max_iter=1)
    theirs = peer.fit_transform(few_counts.astype(float), W=abundances.copy(), H=start.components_.copy())
    counts = _Counts(few_counts.astype(float))
    ours = counts.updated(np.concatenate([abundances.ravel(), start.components_.ravel()]), 3)
    np.testing.assert_allclose(counts.factors(ours, 3)[0], theirs, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(counts.factors(ours, 3)[1], peer.components_, rtol=1e-9, atol=1e-12)
    full = kl_div(few_counts, theirs @ peer.components_).sum()
    assert counts.divergence(ours, 3) == pytest.approx(full, rel=1e-12)


def test_accelerated_updates_end_no_higher_than_many_plain_ones(few_counts):
    seed = int(np.random.SeedSequence(0).generate_state(1)[0])
    peer = NMF(3, init="nndsvda", solver="mu", beta_loss="kullback-leibler", tol=0, max_iter=2000, random_state=seed)
    reached = kl_div(few_counts, peer.fit_transform(few_counts) @ peer.components_).sum()
    found = nmf(few_counts, 3, loss="kullback-leibler", n_starts=4, max_iter=600, tol=1e-9)
    assert found.loss <= reached * (1 + 1e-5)
    assert found.loss == pytest.approx(kl_div(few_counts, found.abundances @ found.endmembers).sum(), rel=1e-9)
    assert (np.diff(found.history) <= 1e-9 * found.history[0]).all()


def test_nmf_endmembers_have_equal_sums_and_abundances_sum_to_one_on_the_mean(separable):
    found = nmf(separable[0] * np.linspace(0.5, 2, 300)[:, None], 3, n_starts=1)
    np.testing.assert_allclose(found.endmembers.sum(axis=1), found.endmembers[0].sum(), rtol=1e-12)
    assert found.abundances.sum(axis=1).mean() == pytest.approx(1, rel=1e-12)


def test_the_likelihood_of_counts_finds_a_faint_endmember_better_than_the_squared_error(separable):
    # channels of many counts are noisier, which the squared error does not know
    _, abundances, endmembers = separable
    bright = endmembers.copy()
    bright[:, 0] += 20  # a background line that all share
    counts = np.random.default_rng(4).poisson(60 * abundances @ bright)
    angle = {
        loss: match_endmembers(nmf(counts, 3, loss=loss, n_starts=2).endmembers[:, 1:], endmembers[:, 1:]).angles.sum()
        for loss in ("frobenius", "kullback-leibler")
    }
    assert angle["kullback-leibler"] < angle["frobenius"]


def test_refinement_never_raises_the_error_and_comes_nearer_to_the_planted_abundances():
    random = np.random.default_rng(3)
    endmembers = smooth_endmembers(3)
    spectra, abundances = mixed(endmembers, 500, random, concentration=0.3)
    spectra[:3], abundances[:3] = endmembers, np.eye(3)
    start = np.clip(endmembers + 0.1 * random.standard_normal(endmembers.shape), 0, None)
    found = refine_by_fcls(spectra, start, max_iter=500, tol=1e-6)
    assert found.converged and 3 < found.iterations < 500
    assert (np.diff(found.history) <= 0).all()
    first = ((spectra - fcls(spectra, start) @ start) ** 2).sum()
    assert found.history[0] == pytest.approx(first, rel=1e-12) and found.loss < 1e-3 * first
    assert found.loss == pytest.approx(((spectra - found.abundances @ found.endmembers) ** 2).sum(), rel=1e-12)
    np.testing.assert_array_equal(found.abundances, fcls(spectra, found.endmembers))
    assert abundance_rmse(found.abundances, abundances) < abundance_rmse(fcls(spectra, start), abundances)


def test_refined_factors_of_unequal_brightness_are_on_the_simplex():
    # equal sums of endmembers, the convention of nmf, are wrong here by a factor of 15
    random = np.random.default_rng(1)
    endmembers = smooth_endmembers(3) * np.array([[1.0], [0.2], [3.0]])
    for j in range(3):
        endmembers[:, 20 * j + 5] = 0
        endmembers[j, 20 * j + 5] = 1
    spectra, abundances = mixed(endmembers, 600, random, concentration=0.4)
    spectra[:3], abundances[:3] = endmembers, np.eye(3)
    found = nmf_then_fcls(spectra, 3, n_starts=2)
    match = match_endmembers(found.endmembers, endmembers)
    assert (np.diff(found.history) <= 0).all()
    np.testing.assert_allclose(found.abundances.sum(axis=1), 1, rtol=0, atol=1e-13)
    assert match.angles.max() < 2 and abundance_rmse(found.abundances[:, match.found], abundances) < 0.03


def test_an_endmember_that_no_pixel_contains_ends_the_refinement():
    endmembers = smooth_endmembers(2)
    spectra, _ = mixed(0.9 * endmembers, 50, np.random.default_rng(0))
    with pytest.raises(DataError, match=r"in no pixel.*endmember index \[2\]"):  # any of it makes a pixel too bright
        refine_by_fcls(spectra, np.vstack([endmembers, endmembers.sum(axis=0)]))


def test_factorisation_refuses_what_it_cannot_describe():
    spectra, _ = mixed(smooth_endmembers(2), 20, np.random.default_rng(0))
    with pytest.raises(ConfigError, match="unknown loss 'kullback'.*kullback-leibler"):
        nmf(spectra, 2, loss="kullback")
    with pytest.raises(ConfigError, match="1 to 20"):
        nmf(spectra, 21)
    with pytest.raises(DataError, match="a smallest value of -1"):
        nmf(np.where(spectra == spectra.max(), -1, spectra), 2)
    with pytest.raises(DataError, match="not all 0"):
        nmf(np.zeros((4, 5)), 2)
    with pytest.raises(DataError, match="endmembers are not what"):
        refine_by_fcls(spectra, -smooth_endmembers(2))


# --- comparison with references ---


def test_spectral_angle_is_that_between_directions():
    a = np.array([[1.0, 0.0], [3.0, 3.0]])
    b = np.array([[0.0, 2.0], [5.0, 0.0], [-1.0, 0.0]])
    np.testing.assert_allclose(spectral_angle(a, b), [[90, 0, 180], [45, 45, 135]], rtol=0, atol=1e-12)


def test_spectral_angle_keeps_the_digits_of_small_angles():
    for angle in (1e-4, 1e-8, 1e-12):  # radians; 1 - cos(1e-8) is rounding
        found = spectral_angle([[1e200, 0.0]], [[np.cos(angle), np.sin(angle)]])[0, 0]
        assert found == pytest.approx(np.degrees(angle), rel=1e-9)


def test_endmembers_are_matched_by_the_smallest_total_angle():
    # degrees from the first axis: each reference alone would take the found 10
    def at(*degrees):
        return np.stack([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], axis=1)

    match = match_endmembers(at(10, 90, 40), at(12, 8))
    # 10 with 12 and 40 with 8: 2 + 32; 10 with 8 and 40 with 12: 2 + 28
    assert match.found.tolist() == [2, 0] and match.reference.tolist() == [0, 1]
    np.testing.assert_allclose(match.angles, [28, 2], rtol=0, atol=1e-12)
    fewer = match_endmembers(at(85), at(12, 80))
    assert fewer.found.tolist() == [0] and fewer.reference.tolist() == [1]


def test_abundance_error_is_the_root_of_the_mean_square():
    assert abundance_rmse([[1, 0], [0.5, 0.5]], [[0, 1], [0.5, 0.5]]) == pytest.approx(np.sqrt(2 / 4))


def test_comparisons_refuse_spectra_without_direction_and_unequal_shapes():
    with pytest.raises(DataError, match=r"zeros have no direction.*\[1\]"):
        spectral_angle(np.eye(2), [[1.0, 2.0], [0.0, 0.0]])
    with pytest.raises(DataError, match="other channels"):
        spectral_angle(np.eye(2), np.eye(3))
    with pytest.raises(DataError, match="can't be compared"):
        abundance_rmse(np.eye(2), np.eye(3))


# --- number of endmembers ---


def counted(k, counts_a_pixel, seed, n=250, c=40):
    random = np.random.default_rng(seed)
    endmembers = smooth_endmembers(k, c) if k > 1 else smooth_endmembers(2, c)[:1]
    endmembers = endmembers / endmembers.sum(axis=1, keepdims=True)
    abundances = random.dirichlet(np.ones(k), n)
    return random.poisson(counts_a_pixel * abundances @ endmembers)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_number_of_planted_endmembers_is_found_in_adequate_counts(k):
    found = endmember_number(counted(k, 1000, seed=k), 5)
    assert found.number == k
    assert (found.singular_values[:-1] > found.quantiles[:-1]).all()
    assert found.singular_values[-1] <= found.quantiles[-1]


@pytest.mark.parametrize("k", [1, 2, 3])
def test_hopeless_counts_show_fewer_endmembers_and_never_more(k):
    numbers = [endmember_number(counted(k, 2, seed=seed), 4, 99, seed).number for seed in range(8)]
    assert numbers.count(1) >= 7  # the test errs once in a hundred


def test_one_endmember_is_rejected_at_the_rate_of_the_level():
    rejected = [endmember_number(counted(1, 50, seed, 80, 20), 1, 19, seed, 0.8).number is None for seed in range(100)]
    assert 10 <= sum(rejected) <= 33  # of a binomial of 100 and 0.2, but for 1 in 1,000


def test_the_quantile_is_the_next_larger_of_the_simulated(monkeypatch):
    drawn = iter([3.0, 9.0, 1.0, 2.0, 4.0, 5.0, 6.0, 7.0, 8.0])
    monkeypatch.setattr(rank_module, "_simulated", lambda *_: next(drawn))
    # of nine, the largest is exceeded by chance once in ten
    assert endmember_number(counted(1, 50, seed=0), 1, 9, 0, 0.9).quantiles.tolist() == [9.0]


def test_no_number_is_given_where_all_are_rejected():
    found = endmember_number(counted(3, 1000, seed=0), 2, 19, 0, 0.9)
    assert found.number is None and len(found.singular_values) == 2


def test_singular_values_are_those_of_the_matrix_scaled_to_unit_noise():
    counts = counted(2, 20, seed=5).astype(float)
    columns = np.maximum(counts.sum(axis=0), 50)  # those of fewer counts are scaled as if they had 50
    assert (columns == 50).any() and (columns > 50).any()
    scale = np.outer(counts.sum(axis=1), columns) / counts.sum()
    expected = np.linalg.svd(counts / np.sqrt(scale), compute_uv=False)
    for k in (1, 2, 3):
        found = rank_module._singular_value(counts.__getitem__, counts.shape, k)
        assert found == pytest.approx(expected[k], rel=1e-10)


def test_empty_channels_and_the_order_of_the_axes_do_not_matter():
    counts = counted(2, 300, seed=6)
    wide = np.insert(np.insert(counts, 3, 0, axis=1), 9, 0, axis=0)
    plain = endmember_number(counts, 3, 19, 0, 0.9)
    for other in (wide, counts.T):
        found = endmember_number(other, 3, 19, 0, 0.9)
        assert found.number == plain.number == 2
        np.testing.assert_allclose(found.singular_values, plain.singular_values, rtol=1e-10)


def test_the_number_of_endmembers_needs_counts_and_enough_simulations():
    counts = counted(2, 20, seed=0)
    with pytest.raises(DataError, match="values are no counts.*fractions"):
        endmember_number(counts + 0.5, 3)
    with pytest.raises(DataError, match="values are no counts.*-1"):
        endmember_number(counts - 1, 3)
    with pytest.raises(ConfigError, match="1 to 39"):
        endmember_number(counts, 40)
    with pytest.raises(ConfigError, match="a quantile of so few simulations"):
        endmember_number(counts, 3, 50, 0, 0.99)


# --- real data ---


@pytest.mark.skipif(not MIRROR, reason="needs the mirror of real sources (MATLAS_MIRROR)")
def test_abundances_of_samson_are_far_better_than_constant_ones_where_brightness_is_taken_away():
    content = loadmat(Path(MIRROR) / "samson" / "Samson.mat")
    spectra, endmembers = content["Y"].T, content["GT"]  # the endmembers have a largest value of 1
    true = content["S_GT"].transpose(1, 0, 2).reshape(-1, 3)
    constant = abundance_rmse(np.broadcast_to(true.mean(axis=0), true.shape), true)
    assert constant == pytest.approx(0.369, abs=0.001)
    normalised = spectra / spectra.max(axis=1, keepdims=True)
    assert abundance_rmse(fcls(normalised, endmembers), true) < 0.06
    # dark water can't be made of endmembers as bright as soil
    assert abundance_rmse(fcls(spectra, endmembers), true) > constant
    # the given abundances are shares of non-negative least squares
    amounts = nnls(spectra, endmembers)
    assert abundance_rmse(amounts / amounts.sum(axis=1, keepdims=True), true) < 0.005
