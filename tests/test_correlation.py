"""g2 by lag: truth, brute force, invariances, fit, real file, messages."""

import math
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import photonstats as ps
from photonstats.correlations.dip import cusp


def poisson_stream(rng, rate, seconds, start=0, unit=1e-12):
    n = rng.poisson(2 * rate * seconds)
    times = np.sort(rng.integers(0, round(seconds / unit), n)) + start
    return ps.PhotonStream(times, rng.integers(0, 2, n), timestamps_unit=unit, duration=seconds, start=start * unit)


def antibunched(rng, seconds, rate_up, lifetime, efficiency, *, background=0.0, delay=0.0, unit=1e-12, on=None):
    """Independent truth: one emitter, waiting for excitation, then for emission; g2 = 1 - exp(-|t| / t_a)."""
    n = int(seconds / (1 / rate_up + lifetime) * 1.1 + 1000)
    times = np.cumsum(rng.exponential(1 / rate_up, n) + rng.exponential(lifetime, n))
    times = times[(times < seconds) & (rng.random(n) < efficiency)]
    if on is not None:
        times = times[on(times)]
    det = rng.integers(0, 2, times.size)
    n_dark = rng.poisson(background * seconds, 2)
    times = np.concatenate([times + delay * det, rng.uniform(0, seconds, n_dark.sum())])
    det = np.concatenate([det, np.repeat([0, 1], n_dark)])
    keep = (times >= 0) & (times < seconds)
    times, det = times[keep], det[keep]
    order = np.argsort(times)
    return ps.PhotonStream((times[order] / unit).astype(np.int64), det[order], timestamps_unit=unit, duration=seconds)


def lags(photons, a, b, delay=0.0):
    t_a, t_b = (photons.timestamps[photons.detectors == d] for d in (a, b))
    return (t_b[:, None] - t_a[None, :]).ravel() * photons.timestamps_unit - delay


times_and_detectors = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 2)), min_size=2, max_size=60)


@settings(max_examples=80)
@given(
    times_and_detectors, st.integers(1, 9), st.integers(0, 9), st.integers(-30, 30),
    st.sampled_from([0.0, 0.25, 1 / 3]), st.sampled_from([0, 10**15]),
)  # fmt: skip
def test_pairs_are_those_of_brute_force(photons, width, share, delay, fraction, start):
    photons = sorted(photons)
    times, dets = (np.array(x) for x in zip(*photons, strict=True))
    dets[0], dets[-1] = 0, 1
    width_s = (width + share / 10) * 1e-9
    recorded = ps.PhotonStream(times + start, dets, timestamps_unit=1e-9, duration=200e-9 + 1e-9, start=start * 1e-9)
    shift = (delay + fraction) * 1e-9
    found = ps.g2(recorded, window=max(60e-9, width_s), bin_width=width_s, detectors=(0, 1), delay=shift)
    # edges lie midway between ticks, so a histogram of rounded times has no ties
    pairs = np.histogram(lags(recorded, 0, 1, shift), found.lag_edges)[0]
    np.testing.assert_array_equal(found.pairs, pairs)
    nominal = (np.arange(found.lag_edges.size) - found.lag_edges.size / 2 + 0.5) * width_s
    assert np.all(np.abs(found.lag_edges - nominal) <= 1.001e-9)
    mirrored = ps.g2(recorded, window=max(60e-9, width_s), bin_width=width_s, detectors=(1, 0), delay=-shift)
    np.testing.assert_array_equal(mirrored.pairs[::-1], found.pairs)
    np.testing.assert_allclose(mirrored.expected[::-1], found.expected, rtol=1e-9)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 1), st.integers(0, 12)), min_size=2, max_size=50),
    st.floats(0.0, 1.0), st.sampled_from([0, 10**13]),
)  # fmt: skip
def test_pulsed_times_are_those_of_brute_force(photons, delay, start):
    photons = sorted(photons)
    pulses, dets, nanos = (np.array(x) for x in zip(*photons, strict=True))
    dets[0], dets[-1] = 0, 1
    period, tick = 12.4955e-9, 1e-9
    recorded = ps.PhotonStream(
        pulses + start, dets, nanos, timestamps_unit=period, tcspc_unit=tick, duration=1e-6, start=start * period
    )
    found = ps.g2(recorded, window=100e-9, bin_width=3.3e-9, detectors=(0, 1), delay=delay * 1e-9)
    a, b = dets == 0, dets == 1
    lag = (pulses[b][:, None] - pulses[a]) * period + (nanos[b][:, None] - nanos[a]) * tick - delay * 1e-9
    on_edge = np.abs(lag.ravel()[:, None] - found.lag_edges) < 1e-15
    if not on_edge.any():
        np.testing.assert_array_equal(found.pairs, np.histogram(lag, found.lag_edges)[0])


@pytest.mark.parametrize("start", [0, 10**18])
@pytest.mark.parametrize(("rate", "window", "bin_width"), [(1e4, 4.4, 5e-3), (2e4, 100e-6, 1e-6), (300.0, 1.0, 0.2)])
def test_independent_photons_give_one(start, rate, window, bin_width):
    photons = poisson_stream(np.random.default_rng(1), rate, 5.0, start)
    found = ps.g2(photons, window=window, bin_width=bin_width)
    chi2 = np.sum((found.pairs - found.expected) ** 2 / found.expected)
    assert stats.chi2.sf(chi2, found.pairs.size) > 1e-3
    assert stats.chi2.cdf(chi2, found.pairs.size) > 1e-6
    assert np.mean((found.g2_ci[:, 0] <= 1) & (found.g2_ci[:, 1] >= 1)) > 0.9


@pytest.mark.parametrize(("unit", "delay"), [(1e-12, 1e-5), (1e-4, 0.0), (1e-4, 3e-4)])
def test_counting_by_edges_and_by_pairs_agree(monkeypatch, unit, delay):
    photons = poisson_stream(np.random.default_rng(2), 3000.0, 1.0, unit=unit)
    by_edges = ps.g2(photons, window=0.9, bin_width=20e-3, delay=delay)
    monkeypatch.setattr("photonstats.correlations.lags.Counter._is_dense", lambda *_: False)
    by_pairs = ps.g2(photons, window=0.9, bin_width=20e-3, delay=delay)
    np.testing.assert_array_equal(by_edges.pairs, by_pairs.pairs)


def test_width_of_a_bin_is_its_number_of_ticks():
    # 2.5 ticks to a bin: bins of 2 and 3 ticks, which a nominal width would make a zigzag of +-20 %
    photons = poisson_stream(np.random.default_rng(3), 2e6, 0.05, unit=1e-9)
    found = ps.g2(photons, window=100e-9, bin_width=2.5e-9, delay=0.0)
    assert set(np.rint(np.diff(found.lag_edges) / 1e-9)) == {2.0, 3.0}
    chi2 = np.sum((found.pairs - found.expected) ** 2 / found.expected)
    assert stats.chi2.sf(chi2, found.pairs.size) > 1e-3


@pytest.mark.parametrize(("period", "bin_width"), [(20e-9, 4e-9), (200.4e-9, 2.5e-9), (20e-9, 1e-9)])
def test_width_of_a_bin_in_pulsed_time_of_steady_light(period, bin_width):
    rng = np.random.default_rng(13)
    n = 200_000
    times = np.sort(rng.uniform(0, 0.05, n))
    pulses = np.floor(times / period).astype(np.int64)
    nanotimes = np.floor((times - pulses * period) / 1e-9).clip(0).astype(np.int64)
    photons = ps.PhotonStream(
        pulses, rng.integers(0, 2, n), nanotimes, timestamps_unit=period, tcspc_unit=1e-9, duration=0.05
    )
    found = ps.g2(photons, window=100e-9, bin_width=bin_width)
    assert not found.pulsed
    chi2 = np.sum((found.pairs - found.expected) ** 2 / found.expected)
    assert stats.chi2.sf(chi2, found.pairs.size) > 1e-3


def test_shift_of_time_changes_nothing():
    rng = np.random.default_rng(4)
    photons = antibunched(rng, 1.0, 1e7, 20e-9, 0.005, delay=13e-9)
    late = ps.PhotonStream(
        photons.timestamps + 10**18, photons.detectors, timestamps_unit=1e-12, duration=1.0, start=1e6
    )
    one, two = ps.g2(photons), ps.g2(late)
    np.testing.assert_array_equal(one.pairs, two.pairs)
    np.testing.assert_array_equal(one.expected, two.expected)
    assert one.delay == two.delay


@pytest.mark.parametrize("n_cuts", [1, 6, 400])
@pytest.mark.parametrize(("window", "bin_width"), [(1e-6, 1e-9), (5e-3, 1e-4), (0.3, 0.01)])
def test_pieces_cut_anywhere_give_the_same(n_cuts, window, bin_width):
    rng = np.random.default_rng(5)
    photons = antibunched(rng, 0.5, 1e7, 20e-9, 0.002, delay=-31e-9)
    whole = ps.g2(photons, window=window, bin_width=bin_width)
    bounds = [0.0, *np.sort(rng.uniform(0, 0.5, n_cuts)), 0.5]
    parts = ps.g2((photons.between(a, b) for a, b in pairwise(bounds)), window=window, bin_width=bin_width)
    np.testing.assert_array_equal(whole.pairs, parts.pairs)
    np.testing.assert_allclose(whole.expected, parts.expected, rtol=1e-9)
    assert parts.delay == whole.delay


def test_background_of_a_blinking_emitter_is_taken_off():
    rng = np.random.default_rng(6)
    on = lambda t: (t // 0.01) % 2 == 0  # noqa: E731
    dark = 15_000.0
    photons = antibunched(rng, 4.0, 1e7, 20e-9, 0.004, background=dark, on=on)
    bare = ps.g2(photons, window=200e-9, bin_width=2e-9, delay=0.0)
    found = ps.g2(photons, window=200e-9, bin_width=2e-9, delay=0.0, background=dark)
    again = bare.corrected({0: dark, 1: dark})
    np.testing.assert_array_equal(found.g2, again.g2)
    np.testing.assert_allclose((found.pairs - found.pairs_background) / found.expected, found.g2)
    far = np.abs(found.lag) > 150e-9
    level = found.g2[far].mean()
    # on half of the time: <I^2>/<I>^2 = 2 for the light alone
    assert abs(level - 2.0) < 4 * math.sqrt(np.sum(found.g2_err[far] ** 2)) / far.sum()
    fit = found.fit()
    assert abs(fit.g2_zero) < 4 * fit.g2_zero_err
    assert bare.fit().g2_zero > 0.1
    doubtful = bare.corrected(dark, background_err=500.0)
    assert np.all(doubtful.g2_err >= found.g2_err)


@pytest.mark.parametrize("sigma", [0.0, 1e-9, 8e-9])
@pytest.mark.parametrize("time", [0.3e-9, 15e-9])
def test_bin_averages_of_the_cusp(sigma, time):
    edges = np.linspace(-50e-9, 50e-9, 38)
    fine = np.linspace(-400e-9, 400e-9, 800_001)
    step = fine[1] - fine[0]
    curve = np.exp(-np.abs(fine) / time)
    if sigma:
        spread = np.arange(-round(6 * sigma / step), round(6 * sigma / step) + 1) * step
        kernel = np.exp(-(spread**2) / 2 / sigma**2)
        from scipy.signal import fftconvolve

        curve = fftconvolve(curve, kernel / kernel.sum(), mode="same")
    area = np.concatenate([[0], np.cumsum((curve[1:] + curve[:-1]) / 2 * step)])
    expected = np.diff(np.interp(edges, fine, area)) / np.diff(edges)
    np.testing.assert_allclose(cusp(edges, time, sigma), expected, atol=2e-5)


def check_fit_coverage(n_runs, seed, efficiency, *, few=False):
    """Light of one emitter and steady background: 1 - A = 1 - rho^2."""
    rng = np.random.default_rng(seed)
    rate_up, lifetime, signal = 2e7, 20e-9, 0.8
    time, truth = 1 / (rate_up + 1 / lifetime), 1 - signal**2
    dark = (1 / signal - 1) * efficiency / (1 / rate_up + lifetime) / 2
    rows = []
    for _ in range(n_runs):
        photons = antibunched(rng, 0.05, rate_up, lifetime, efficiency, background=dark)
        fit = ps.g2(photons, window=150e-9, bin_width=1e-9, delay=0.0).fit()
        zero, scale = (fit.g2_zero - truth) / fit.g2_zero_err, (fit.lifetime - time) / fit.lifetime_err
        rows.append(
            (fit.g2_zero_ci[0] <= truth <= fit.g2_zero_ci[1], zero, scale, (fit.level - 1) / fit.level_err, fit.p_value)
        )
    covered, zero, scale, level, p_values = np.array(rows).T
    lowest = 0.95 - 3 * math.sqrt(0.95 * 0.05 / n_runs)
    assert np.mean(covered) > lowest
    assert np.mean(np.abs(level) < 1.96) > lowest
    assert stats.kstest(p_values, "uniform").pvalue > 1e-3
    if not few:  # symmetric errors are those of a parabola, which few pairs do not make
        assert np.mean(np.abs(zero) < 1.96) > lowest - 0.02
        assert np.mean(np.abs(scale) < 1.96) > lowest - 0.02


def test_fit_recovers_a_dip():
    check_fit_coverage(20, 41, 0.06)


@pytest.mark.slow
def test_fit_recovers_a_dip_many():
    check_fit_coverage(250, 42, 0.06)


@pytest.mark.slow
def test_interval_of_a_dip_of_few_pairs_covers():
    check_fit_coverage(250, 43, 0.02, few=True)


def test_fit_with_the_response_of_the_detectors():
    rng = np.random.default_rng(44)
    sharp = antibunched(rng, 0.3, 2e7, 20e-9, 0.03)
    jitter = np.rint(rng.normal(0, 4000, len(sharp))).astype(np.int64)
    times = np.clip(sharp.timestamps + jitter, 0, None)
    order = np.argsort(times, kind="stable")
    photons = ps.PhotonStream(times[order], sharp.detectors[order], timestamps_unit=1e-12, duration=0.3001)
    found = ps.g2(photons, window=150e-9, bin_width=1e-9, delay=0.0)
    right, wrong = found.fit(irf_sigma=4e-9 * math.sqrt(2)), found.fit()
    assert abs(right.g2_zero) < 4 * right.g2_zero_err
    assert abs(right.lifetime - 1 / (2e7 + 5e7)) < 4 * right.lifetime_err
    assert wrong.g2_zero > max(2 * wrong.g2_zero_err, right.g2_zero)
    with pytest.raises(ValueError, match="irf_sigma=-1"):
        found.fit(irf_sigma=-1)


def test_fit_says_when_there_is_nothing():
    fit = ps.g2(poisson_stream(np.random.default_rng(7), 2e4, 5.0), window=1e-6, bin_width=10e-9).fit()
    assert not fit.converged
    assert "stands out" in fit.reason
    assert fit.g2_zero_ci[0] < 1 < fit.g2_zero_ci[1]
    assert fit.p_value > 1e-3
    assert "not usable" in fit.summary()


def test_real_file_without_antibunching(shared_data):
    with pytest.warns(ps.PhotonFileWarning):
        photons = ps.read(shared_data / "two_detector_no_dip_0.ht2")
    found = ps.g2(photons, window=1e-6, bin_width=20e-9)
    assert found.delay == 0.0
    assert "no dip" in found.delay_note
    near = np.abs(found.lag) < 50e-9
    assert found.pairs[near].sum() > 0
    # the plateau is 0.86: the two detectors see slowly anticorrelated light
    level = found.pairs.sum() / found.expected.sum()
    n, mean = found.pairs[near].sum(), level * found.expected[near].sum()
    assert stats.poisson.cdf(n, mean) > 1e-3
    assert not found.fit().converged


def test_few_photons():
    empty = ps.PhotonStream([], [], timestamps_unit=1e-9, duration=1.0)
    found = ps.g2(empty, detectors=(0, 1))
    assert found.pairs.sum() == 0
    assert found.to_dict()["g2"][0] is None
    two = ps.PhotonStream([1005, 1008], [1, 0], timestamps_unit=1e-9, duration=1.0)
    found = ps.g2(two, window=10e-9)
    assert found.lag[found.pairs == 1] == pytest.approx([-3e-9])
    assert found.g2_ci[0, 0] == 0.0
    assert found.g2_ci[0, 1] > 0
    with pytest.raises(ValueError, match="too few for a fit"):
        found.fit()


def test_pulsed_light_refuses_the_fit():
    rng = np.random.default_rng(8)
    n = 4000
    photons = ps.PhotonStream(
        np.sort(rng.integers(0, 10**6, n)), rng.integers(0, 2, n), rng.exponential(100, n).clip(0, 3124).astype(int),
        timestamps_unit=200e-9, tcspc_unit=64e-12, duration=0.2,
    )  # fmt: skip
    found = ps.g2(photons, window=2e-6, bin_width=10e-9)
    assert found.pulsed
    with pytest.raises(ValueError, match="use g2_pulsed"):
        found.fit()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (partial(ps.g2, bin_width=1e-10), "at least one tick"),
        (partial(ps.g2, window=1e-10), "at least one bin_width"),
        (partial(ps.g2, window=1.0, bin_width=1e-9), "take wider bins"),
        (partial(ps.g2, delay="find"), "delay='find'"),
        (partial(ps.g2, delay=math.inf), "must be a time in seconds"),
        (partial(ps.g2, detectors=(0, 0)), "two different detectors"),
        (partial(ps.g2, detectors=(0, 7)), "detector 7 has no photons"),
        (partial(ps.g2, gate=1e-9), "gate needs nanotimes"),
        (partial(ps.g2, background=1e9), "no signal is left"),
    ],
)
def test_messages(call, message):
    photons = ps.PhotonStream([5, 8, 20], [1, 0, 1], timestamps_unit=1e-9, duration=1.0)
    with pytest.raises(ValueError, match=message):
        call(photons)


def test_message_of_one_detector():
    photons = ps.PhotonStream([5, 8, 20], [1, 1, 1], timestamps_unit=1e-9, duration=1.0)
    with pytest.raises(ValueError, match=r"only detector 1 is live \(1: 3 Hz\)"):
        ps.g2(photons)
    with pytest.raises(TypeError, match="expected a PhotonStream"):
        ps.g2([1, 2])
