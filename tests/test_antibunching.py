"""Fits of continuous g2: truth, coverage, responses, shelving, centre, background, what must not be called a dip."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.signal import fftconvolve

import photonstats as ps
from photonstats.correlations.antibunching import profile_of_g2_zero
from photonstats.correlations.correlation import G2
from photonstats.correlations.pair_response import PairResponse, pair_response
from photonstats.curve import Decay
from photonstats.decays.decay_model import GaussianIRF

RATE = 1e4


def bins(window, width):
    n = round(window / width)
    return (np.arange(2 * n + 2) - n - 0.5) * width


def curve(edges, depth, time, *, a=0.0, shelf=1e-6, sigma=0.0, centre=0.0):
    """Average the three-level formula over the bins on a fine grid: no closed form."""
    width = edges[1] - edges[0]
    n = 2 * max(math.ceil(width / (time / 10)), math.ceil(4 * width / sigma) if sigma else 1, 2)
    step = width / n
    m = math.ceil(6 * sigma / step)
    x = edges[0] - centre + (np.arange(-m, n * (edges.size - 1) + m) + 0.5) * step
    g2 = 1 - depth * ((1 + a) * np.exp(-np.abs(x) / time) - a * np.exp(-np.abs(x) / shelf))
    if m:
        smear = np.exp(-0.5 * (np.arange(-m, m + 1) * step / sigma) ** 2)
        g2 = fftconvolve(g2, smear / smear.sum(), mode="valid")
    return g2.reshape(-1, n).mean(axis=1)


def counted(rng, edges, shape, pairs, *, light=1.0, light_err=0.0, delay_err=math.nan):
    """Draw the pairs of a known g2; a share `light` of independent pairs is that of light, known to `light_err`."""
    every = np.full(shape.size, pairs / shape.size)
    counts = rng.poisson(every * (light * shape + 1 - light))
    believed = light + light_err * rng.normal()
    expected = every * believed
    return G2(
        lag=(edges[1:] + edges[:-1]) / 2, lag_edges=edges, pairs=counts, expected=expected,
        pairs_background=every - expected, g2=counts / expected, g2_err=np.sqrt(counts) / expected,
        g2_ci=np.zeros((shape.size, 2)), delay=0.0, delay_err=delay_err, delay_note="", detectors=(0, 1),
        window=float(edges[-1]), bin_width=float(edges[1] - edges[0]), duration=1.0, pulsed=False,
        rates={0: RATE, 1: RATE}, background={0: (1 - believed) * RATE, 1: 0.0},
        background_err={0: light_err * RATE, 1: 0.0}, open_fraction={0: 1.0, 1: 1.0}, _every=every,
        _rates_at=np.full((shape.size, 2), RATE),
    )  # fmt: skip


def most_misses(runs, chance=0.05, p=1e-3):
    """Return the number of misses that an honest interval passes once in 1000 studies."""
    return stats.binom.isf(p, runs, chance)


def covered(interval, truth):
    return interval[0] <= truth <= interval[1]


# --- the response of two detectors


@pytest.mark.parametrize("kind", ["sharp", "gaussian", "points"])
@pytest.mark.parametrize("time", [0.4e-9, 6e-9])
def test_smeared_cusp_and_its_derivatives(kind, time):
    rng = np.random.default_rng(1)
    edges = bins(20e-9, 0.7e-9)
    weight = rng.random(9)
    response = {
        "sharp": PairResponse(),
        "gaussian": PairResponse(sigma=0.9e-9),
        "points": PairResponse(sigma=1e-9, weight=weight / weight.sum(), first=-1.6e-9, step=0.41e-9),
    }[kind]
    mean, to_time, to_centre = response.cusp(edges, time, 0.13e-9)
    if kind == "points":
        single = [PairResponse().cusp(edges, time, 0.13e-9 - 1.6e-9 + 0.41e-9 * k)[0] * w for k, w in enumerate(weight)]
        np.testing.assert_allclose(mean, np.sum(single, axis=0) / weight.sum(), rtol=1e-10, atol=1e-14)
    else:
        brute = 1 - curve(edges, 1.0, time, sigma=response.sigma, centre=0.13e-9)
        np.testing.assert_allclose(mean, brute, atol=2e-3)
    h = 1e-5
    up, down = (response.cusp(edges, time * math.exp(x), 0.13e-9)[0] for x in (h, -h))
    np.testing.assert_allclose(to_time, (up - down) / (2 * h), atol=1e-8)
    up, down = (response.cusp(edges, time, 0.13e-9 + x)[0] for x in (h * 1e-9, -h * 1e-9))
    np.testing.assert_allclose(to_centre * 1e-9, (up - down) / (2 * h), atol=1e-5)


@settings(max_examples=40)
@given(st.floats(0.2, 6.0), st.floats(0.2, 6.0), st.floats(0.0, 50.0), st.integers(0, 2**32 - 1))
def test_measured_responses_keep_their_width(wide_a, wide_b, level, seed):
    rng = np.random.default_rng(seed)
    irfs = {}
    for d, (wide, at) in enumerate(((wide_a, 60.3), (wide_b, 71.8))):
        share = np.diff(stats.norm.cdf(np.arange(201), at, wide))
        irfs[d] = Decay(rng.poisson(2e6 * share + level), 0.1e-9, 20e-9)
    found = pair_response(irfs, 0.0, (0, 1))
    assert found.weight.sum() == pytest.approx(1.0)
    places = found.first + found.step * np.arange(found.weight.size)
    assert abs(found.weight @ places) < 1e-15
    # a response narrower than a bin keeps the width of one: it cannot be known better
    bin_part = sum(1 / 12 for wide in (wide_a, wide_b) if wide < 1.0)
    assert found.sigma / 0.1e-9 == pytest.approx(math.hypot(wide_a, wide_b), rel=0.03, abs=math.sqrt(bin_part) * 1.1)


def test_the_pair_response_is_a_cross_correlation():
    x = np.arange(200)
    skewed_one = Decay(np.rint(1e6 * np.exp(-np.maximum(x - 30, 0) / 12) * (x >= 30)).astype(int), 1e-10)
    sharp = Decay(np.where(x == 50, 10**6, 0), 1e-10)
    both = pair_response(skewed_one, 0.0, (0, 1))
    places = both.first + both.step * np.arange(both.weight.size)
    assert abs(both.weight @ places**3) < 1e-3 * both.sigma**3
    # detector b with the tail: long lags of b after a
    for irfs, sign in (({0: sharp, 1: skewed_one}, 1), ({0: skewed_one, 1: sharp}, -1)):
        one = pair_response(irfs, 0.0, (0, 1))
        places = one.first + one.step * np.arange(one.weight.size)
        assert sign * (one.weight @ places**3) > one.sigma**3


def test_gaussians_of_both_detectors_add_in_squares():
    both = pair_response(GaussianIRF(3e-10), 0.0, (0, 1))
    assert both.weight is None
    assert both.sigma == pytest.approx(math.sqrt(2) * 3e-10)
    mixed = pair_response({3: GaussianIRF(3e-10), 1: GaussianIRF(4e-10)}, 0.0, (1, 3))
    assert mixed.sigma == pytest.approx(5e-10)
    share = np.diff(stats.norm.cdf(np.arange(101), 40.2, 4.0))
    half = pair_response({1: GaussianIRF(3e-10), 0: Decay(np.rint(1e7 * share), 0.1e-9)}, 0.0, (0, 1))
    assert half.sigma == pytest.approx(5e-10, rel=2e-3)


@pytest.mark.parametrize(
    ("irf", "irf_sigma", "message"),
    [
        (GaussianIRF(), 0.0, "has no sigma"),
        (GaussianIRF(1e-10), 1e-10, "not both"),
        ({0: GaussianIRF(1e-10)}, 0.0, r"names detectors \[0\], but not 1"),
        (None, -1.0, "irf_sigma=-1"),
        (Decay(np.zeros(50), 1e-10), 0.0, "no photons"),
    ],
)
def test_a_response_that_is_none_is_refused(irf, irf_sigma, message):
    with pytest.raises(ValueError, match=message):
        pair_response(irf, irf_sigma, (0, 1))
    with pytest.raises(TypeError, match="irf must be a Decay"):
        pair_response(3.0, 0.0, (0, 1))


def skewed(rng, n, sigma):
    """Draw times of a response with a tail."""
    return rng.normal(0, 0.8 * sigma, n) + rng.exponential(0.6 * sigma, n)


def one_emitter(rng, n, rate_up, lifetime, spread):
    """Record every photon of one emitter with probability 1/25; g2 = 1 - exp(-|x| (rate_up + 1/lifetime))."""
    times = np.cumsum(rng.exponential(1 / rate_up, n) + rng.exponential(lifetime, n))
    times = times[rng.random(n) < 0.04]
    seconds = float(times[-1])
    times = times + spread(times.size)
    order = np.argsort(times)
    ticks = np.clip(np.rint(times[order] * 1e12), 0, None).astype(np.int64)
    return ps.PhotonStream(ticks, rng.integers(0, 2, times.size), timestamps_unit=1e-12, duration=seconds * 1.0001)


@pytest.mark.parametrize("counts", [600, 100_000])
def test_the_light_itself_is_recovered_with_a_measured_response(counts):
    rng = np.random.default_rng(11)
    sigma, time = 4e-9, 1 / (2e7 + 1 / 12e-9)
    misses = 0
    for _ in range(8):
        photons = one_emitter(rng, 2_000_000, 2e7, 12e-9, lambda n: skewed(rng, n, sigma))
        found = ps.g2(photons, window=120e-9, bin_width=1e-9, delay=0.0)
        irf = Decay(np.bincount(((skewed(rng, counts, sigma) + 50e-9) / 0.5e-9).astype(int), minlength=300), 0.5e-9)
        fit = found.fit(irf=irf)
        assert fit.converged
        misses += not covered(fit.g2_zero_ci, 0.0)
        misses += abs(fit.lifetime - time) > 3.3 * fit.lifetime_err
    assert misses <= most_misses(16, 0.03)
    bare = found.fit()
    assert bare.g2_zero > 0.1
    assert bare.g2_zero_ci[0] > 0


# --- coverage

CASES = {
    "one": ({"depth": 1.0, "time": 15e-9}, 1e4, {}, {}),
    "one few": ({"depth": 0.95, "time": 25e-9}, 400, {}, {}),
    "two": ({"depth": 0.5, "time": 15e-9}, 1e4, {}, {}),
    "three fine": ({"depth": 1 / 3, "time": 2e-9}, 4e5, {}, {"width": 0.25e-9, "window": 50e-9}),
    "response": ({"depth": 0.9, "time": 6e-9, "sigma": 4e-9}, 3e4, {}, {}),
    "background": ({"depth": 0.8, "time": 15e-9}, 3e4, {"light": 0.7, "light_err": 0.04}, {}),
    "centre": ({"depth": 0.9, "time": 3e-9}, 1e4, {"delay_err": 1e-10}, {}),
}


def study(case, runs, seed):
    rng = np.random.default_rng(seed)
    shape, pairs, known, grid = CASES[case]
    edges = bins(grid.get("window", 150e-9), grid.get("width", 1e-9))
    missed = np.zeros(2, int)
    errors = []
    for _ in range(runs):
        centre = rng.uniform(-0.5e-9, 0.5e-9) if "delay_err" in known else 0.0
        found = counted(rng, edges, curve(edges, **shape, centre=centre), pairs, **known)
        fit = found.fit(irf_sigma=shape.get("sigma", 0.0))
        missed += [not covered(fit.g2_zero_ci, 1 - shape["depth"]), not covered(fit.lifetime_ci, shape["time"])]
        errors.append(abs(fit.g2_zero - 1 + shape["depth"]) > 1.96 * fit.g2_zero_err)
    return missed, sum(errors)


@pytest.mark.parametrize("case", CASES)
def test_intervals_cover(case):
    missed, beyond = study(case, 20, 21)
    assert max(*missed, beyond) <= most_misses(20)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_intervals_cover_many(case):
    missed, beyond = study(case, 400, 22)
    assert max(*missed, beyond) <= most_misses(400)
    # a dip that reaches its bound 0 is covered more often, from above alone
    if CASES[case][0]["depth"] < 0.9:
        assert min(missed) >= stats.binom.ppf(1e-3, 400, 0.05)


def test_background_of_uncertain_rates_widens_the_interval():
    rng = np.random.default_rng(3)
    edges = bins(150e-9, 1e-9)
    known = counted(rng, edges, curve(edges, 0.6, 15e-9), 1e6, light=0.7)
    doubtful = counted(np.random.default_rng(3), edges, curve(edges, 0.6, 15e-9), 1e6, light=0.7, light_err=0.05)
    sure, unsure = known.fit(), doubtful.fit()
    # d g2(0) / d light = A / light
    assert unsure.g2_zero_err == pytest.approx(math.hypot(sure.g2_zero_err, 0.6 / 0.7 * 0.05), rel=0.2)
    assert unsure.lifetime_err == pytest.approx(sure.lifetime_err, rel=0.05)


def test_no_pairs_in_the_centre_make_an_upper_limit():
    edges = bins(100e-9, 2e-9)
    found = counted(np.random.default_rng(4), edges, curve(edges, 1.0, 25e-9), 300)
    fit = found.fit()
    assert fit.g2_zero < 0.1
    assert fit.g2_zero_ci[0] == 0.0
    assert 0.05 < fit.g2_zero_ci[1] < 0.7
    assert fit.g2_zero_err > 0.02


# --- shelving


def shelving_study(runs, seed, pairs=4e4, depth=0.9, **options):
    rng = np.random.default_rng(seed)
    edges = bins(1e-6, 4e-9)
    truth = {"g2_zero": 1 - depth, "lifetime": 9e-9, "shelving_amplitude": 1.2, "shelving_time": 150e-9}
    truth["g2_zero_shoulder"] = (1 - depth) / (1 + depth * 1.2)
    shape = curve(edges, depth, 9e-9, a=1.2, shelf=150e-9)
    missed = dict.fromkeys([*truth, "level"], 0)
    for _ in range(runs):
        fit = counted(rng, edges, shape, pairs).fit(**options)
        assert fit.model_name == "shelving"
        for name, value in truth.items():
            missed[name] += not covered(getattr(fit, f"{name}_ci"), value)
        missed["level"] += abs(fit.level - 1) > 1.96 * fit.level_err
    return missed


@pytest.mark.parametrize("model", ["shelving", "auto"])
def test_shelving_is_recovered(model):
    assert max(shelving_study(12, 31, model=model).values()) <= most_misses(12)


@pytest.mark.slow
@pytest.mark.parametrize("depth", [0.9, 0.45])
def test_shelving_is_recovered_many(depth):
    missed = shelving_study(150, 32, depth=depth, model="shelving")
    assert max(missed.values()) <= most_misses(150)


def test_the_simpler_model_is_chosen_where_there_is_no_shoulder():
    rng = np.random.default_rng(33)
    edges = bins(1e-6, 4e-9)
    fits = [counted(rng, edges, curve(edges, 0.9, 9e-9), 4e4).fit("auto") for _ in range(15)]
    assert [fit.model_name for fit in fits].count("antibunching") >= 14
    fit = fits[0]
    assert set(fit.candidates) == {"antibunching", "shelving"}
    assert fit.bic == min(fit.candidates.values())
    assert math.isnan(fit.shelving_time)
    assert np.isnan(fit.shelving_amplitude_ci).all()
    assert fit.g2_zero_shoulder == fit.g2_zero
    assert "BIC antibunching" in fit.summary()


def test_a_shoulder_beyond_the_window_is_said_to_be_one():
    rng = np.random.default_rng(36)
    edges = bins(400e-9, 2e-9)
    fit = counted(rng, edges, curve(edges, 0.9, 9e-9, a=1.5, shelf=3e-6), 2e5).fit("shelving")
    assert "cannot be told apart" in fit.reason
    assert "g2_zero_shoulder" in fit.reason
    assert covered(fit.shelving_time_ci, 3e-6)
    near = 0.1 / (1 + 0.9 * 1.5)
    assert covered(fit.g2_zero_shoulder_ci, near)
    assert np.ptp(fit.g2_zero_shoulder_ci) < 0.1 < np.ptp(fit.g2_zero_ci)


def test_shelving_of_a_simulated_emitter():
    dot = ps.simulate.Emitter(lifetime=10e-9, shelving_rate=2e7, shelving_time=200e-9)
    photons, truth = ps.simulate.continuous(dot, duration=3.0, excitation_rate=3e7, rate=6e4, seed=5)
    found = ps.g2(photons, window=1.5e-6, bin_width=4e-9, delay=0.0)
    fit = found.fit("auto")
    assert fit.model_name == "shelving"
    assert fit.antibunched
    assert covered(fit.g2_zero_ci, 0.0)
    expected = truth.g2(fit.lag)
    away = np.abs(fit.lag) > 30e-9
    assert np.max(np.abs(fit.model - expected)[away]) < 0.15


# --- the centre


def test_the_centre_is_fitted_where_the_delay_was_found():
    rng = np.random.default_rng(41)
    edges = bins(80e-9, 1e-9)
    shape = curve(edges, 0.95, 2.5e-9, centre=0.8e-9)
    found = counted(rng, edges, shape, 1e5, delay_err=3e-10)
    fit = found.fit()
    assert abs(fit.centre - 0.8e-9) < 4 * fit.centre_err
    assert covered(fit.g2_zero_ci, 0.05)
    held = found.fit(centre=0.0)
    assert math.isnan(held.centre_err)
    assert held.g2_zero > 0.2
    right = found.fit(centre=0.8e-9)
    assert right.centre == pytest.approx(0.8e-9)
    assert covered(right.g2_zero_ci, 0.05)
    assert np.ptp(right.g2_zero_ci) < 1.05 * np.ptp(fit.g2_zero_ci)
    given = counted(rng, edges, shape, 1e5)
    assert math.isnan(given.fit().centre_err)
    assert abs(given.fit(centre="free").centre - 0.8e-9) < 1e-9


def test_swapped_detectors_give_the_mirrored_fit():
    rng = np.random.default_rng(42)
    photons = one_emitter(rng, 600_000, 2e7, 12e-9, np.zeros)
    for delay in ("auto", 2e-10):
        one = ps.g2(photons, 100e-9, 1e-9, detectors=(0, 1), delay=delay).fit()
        other = ps.g2(photons, 100e-9, 1e-9, detectors=(1, 0), delay=delay if delay == "auto" else -delay).fit()
        assert other.g2_zero == pytest.approx(one.g2_zero, abs=0.02 * one.g2_zero_err + 1e-9)
        assert other.lifetime == pytest.approx(one.lifetime, rel=1e-3)


def test_left_out_lags_do_not_matter():
    rng = np.random.default_rng(43)
    edges = bins(150e-9, 1e-9)
    clean = counted(rng, edges, curve(edges, 0.9, 20e-9), 3e4)
    flashes = np.abs(np.abs(clean.lag) - 8e-9) < 1.6e-9
    clean.pairs[flashes] += 400
    spoiled = clean.fit()
    assert not covered(spoiled.g2_zero_ci, 0.1)
    fit = clean.fit(exclude=[(-9.5e-9, -6.5e-9), (6.5e-9, 9.5e-9)])
    assert covered(fit.g2_zero_ci, 0.1)
    assert fit.p_value > 1e-3
    assert fit.dof == clean.pairs.size - flashes.sum() - 3
    clean.pairs[flashes] = 0
    again = clean.fit(exclude=((-9.5e-9, -6.5e-9), (6.5e-9, 9.5e-9)))
    assert again.g2_zero == fit.g2_zero


# --- what is no antibunching


@pytest.mark.parametrize("model", ["antibunching", "shelving", "auto"])
@pytest.mark.parametrize("law", ["exponential", "gaussian", "slow"])
def test_bunching_is_not_called_antibunching(model, law):
    rng = np.random.default_rng(51)
    edges = bins(500e-9, 4e-9)
    x = (edges[1:] + edges[:-1]) / 2
    shape = {
        "exponential": 1 + np.exp(-np.abs(x) / 40e-9),
        "gaussian": 1 + np.exp(-((x / 60e-9) ** 2)),
        "slow": 1 + 0.5 * np.exp(-np.abs(x) / 20e-6) + 0.3 * np.exp(-np.abs(x) / 100e-9),
    }[law]
    for pairs in (3e3, 3e4):
        fit = counted(rng, edges, shape, pairs).fit(model)
        assert not fit.antibunched
        assert fit.reason
        if fit.model_name == "shelving" and fit.g2_zero > 1:
            assert math.isnan(fit.shelving_amplitude)


@pytest.mark.parametrize("model", ["antibunching", "auto"])
def test_flat_data_are_called_flat(model):
    rng = np.random.default_rng(52)
    edges = bins(200e-9, 2e-9)
    for pairs in (30, 300, 3e3, 3e4):
        fits = [counted(rng, edges, np.ones(edges.size - 1), pairs).fit(model) for _ in range(5)]
        assert not any(fit.converged for fit in fits)
        assert all("stands out" in fit.reason for fit in fits)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["antibunching", "auto"])
def test_false_alarms_are_rare(model):
    rng = np.random.default_rng(53)
    edges = bins(200e-9, 2e-9)
    alarms = sum(
        counted(rng, edges, np.ones(edges.size - 1), 10 ** rng.uniform(2, 5)).fit(model).converged for _ in range(250)
    )
    assert alarms <= most_misses(250, 0.01)


@pytest.mark.parametrize("model", ["antibunching", "shelving", "auto"])
@pytest.mark.parametrize(("window", "width"), [(100e-9, 1e-9), (1e-6, 2e-9), (1e-6, 20e-9), (10e-6, 100e-9)])
def test_real_file_without_antibunching(shared_data, model, window, width):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ps.PhotonFileWarning)
        photons = ps.read(shared_data / "two_detector_no_dip_0.ht2")
    for delay in ("auto", 0.0):
        fit = ps.g2(photons, window, width, delay=delay).fit(model)
        assert not fit.antibunched
        assert not fit.converged


# --- the profile, and messages


@pytest.mark.parametrize("model", ["antibunching", "shelving"])
@pytest.mark.parametrize("relative_to", ["plateau", "shoulder"])
def test_the_profile_meets_the_interval(model, relative_to):
    rng = np.random.default_rng(61)
    edges = bins(1e-6, 4e-9)
    found = counted(rng, edges, curve(edges, 0.6, 12e-9, a=1.0, shelf=150e-9), 4e4, light=0.9, light_err=0.02)
    fit = found.fit(model)
    near = relative_to == "shoulder"
    value, ends = (fit.g2_zero_shoulder, fit.g2_zero_shoulder_ci) if near else (fit.g2_zero, fit.g2_zero_ci)
    rise = profile_of_g2_zero(found, [value, *ends, 1.0], model, relative_to=relative_to)
    assert rise[0] == pytest.approx(0.0, abs=1e-3)
    np.testing.assert_allclose(rise[1:3], 3.84, rtol=0.03)
    assert rise[3] > 10


def test_the_profile_is_that_of_brute_force():
    rng = np.random.default_rng(62)
    edges = bins(60e-9, 3e-9)
    found = counted(rng, edges, curve(edges, 0.7, 10e-9), 800)
    values = np.array([0.0, 0.2, 0.5, 0.9])
    lowest = np.full(values.size, np.inf)
    levels = np.geomspace(0.5, 8.0, 500)
    for time in np.geomspace(0.3e-9, 300e-9, 120):
        dip = 1 - curve(edges, 1.0, time)
        for k, value in enumerate(values):
            mean = found.expected[:, None] * (1 - (1 - value) * dip)[:, None] * levels
            lowest[k] = min(lowest[k], -2 * stats.poisson.logpmf(found.pairs[:, None], mean).sum(axis=0).max())
    rise = profile_of_g2_zero(found, values)
    np.testing.assert_allclose(rise - rise[1], lowest - lowest[1], atol=0.05)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "lorentzian"}, "model='lorentzian'"),
        ({"model": 4e-9}, "model=4e-09"),
        ({"centre": 1.0}, "must be a lag within the window"),
        ({"centre": "left"}, "centre='left'"),
        ({"exclude": (2e-9, 1e-9)}, "must rise"),
        ({"exclude": (1e-9,)}, "give lags"),
        ({"exclude": (-1.0, 1.0)}, "too few for a fit"),
    ],
)
def test_messages(options, message):
    edges = bins(60e-9, 3e-9)
    found = counted(np.random.default_rng(7), edges, curve(edges, 0.7, 10e-9), 800)
    with pytest.raises(ValueError, match=message):
        found.fit(**options)
    with pytest.raises(ValueError, match="finite and >= 0"):
        profile_of_g2_zero(found, [-0.1])
