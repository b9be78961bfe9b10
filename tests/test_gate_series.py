"""Time gates: counts by brute force, the table of one dot by an independent cascade, errors, claims of fits."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import photonstats as ps
from photonstats import simulate
from photonstats.correlations.delay import rise_of

GATES = np.array([0.0, 1e-9, 2e-9, 4e-9, 6e-9])
UNITS = {"timestamps_unit": 400e-9, "tcspc_unit": 64e-12}


def dot(beta=0.5, lifetime=2e-9):
    return simulate.Emitter(lifetime=20e-9, biexciton_yield=beta, biexciton_lifetime=lifetime)


def light(emitters, seed, *, rate=8e4, duration=10.0, excitation=0.1, **more):
    settings_ = {"laser_period": 400e-9, "duration": duration, "rate": rate, "excitation": excitation, "seed": seed}
    return simulate.pulsed(emitters, **settings_, **more)


def cascades(n_pulses, seed, *, mean=0.2, beta=0.5, k_x=0.05, k_bx=0.5, efficiency=0.5):
    """Draw single photons of one dot, ns after the pulse; at most two excitons, as in a cascade of two steps."""
    rng = np.random.default_rng(seed)
    excitons = np.minimum(rng.poisson(mean, n_pulses), 2)
    two = np.flatnonzero(excitons == 2)
    step = np.zeros(n_pulses)
    step[two] = rng.exponential(1 / k_bx, two.size)
    x = np.flatnonzero(excitons >= 1)
    pulse = np.concatenate([two[rng.random(two.size) < beta], x])
    time = np.concatenate([step[pulse[: pulse.size - x.size]], step[x] + rng.exponential(1 / k_x, x.size)])
    seen = rng.random(pulse.size) < efficiency
    pulse, time = pulse[seen], time[seen]
    order = np.lexsort((time, pulse))
    return pulse[order], time[order], rng.integers(0, 2, pulse.size)[order]


def stream_of(pulse, time, detector, n_pulses):
    tick = (time / 0.064).astype(np.int64) + 100
    kept = tick < 6250
    return ps.PhotonStream(pulse[kept], detector[kept], tick[kept], duration=n_pulses * 400e-9, **UNITS)


@settings(max_examples=15)
@given(st.integers(0, 2**32), st.integers(1, 4))
def test_counts_are_those_of_ten_lines(seed, n_pulses):
    rng = np.random.default_rng(seed)
    n = 400
    pulse = np.sort(rng.integers(0, 150, n))
    detector = rng.integers(0, 2, n)
    tick = 40 + np.minimum(rng.exponential(30, n).astype(np.int64), 140)
    photons = ps.PhotonStream(pulse, detector, tick, timestamps_unit=200e-9, tcspc_unit=1e-9, duration=150 * 200e-9)
    gates = np.array([0.0, 5e-9, 31e-9])
    found = ps.gate_series(photons, gates, n_pulses, delay=0.0)
    rise = [rise_of(np.bincount(tick[detector == d], minlength=200), 200.0) for d in (0, 1)]
    late = [(t - rise[d][0] + rise[d][1]) % 200 - rise[d][1] for t, d in zip(tick, detector, strict=True)]
    turn = [np.floor((t - rise[d][0] + rise[d][1]) / 200) for t, d in zip(tick, detector, strict=True)]
    expected = np.zeros_like(found.pairs)
    for i in np.flatnonzero(detector == 0):
        for j in np.flatnonzero(detector == 1):
            lag = int(pulse[j] + turn[j] - pulse[i] - turn[i])
            if abs(lag) <= n_pulses:
                # gate 0 takes the whole rise
                expected[:, lag + n_pulses] += (gates == 0) | (min(late[i], late[j]) >= gates / 1e-9 - 1e-9)
    assert np.array_equal(found.pairs, expected)


def test_the_table_of_one_dot_by_an_independent_cascade():
    n_pulses = 12_000_000
    found = ps.gate_series(stream_of(*cascades(n_pulses, 91), n_pulses), GATES)
    table = np.array([0.485, 0.333, 0.227, 0.105, 0.048])
    # the table has three digits and a Monte Carlo error of its own, and gates move by up to a tick at the rise
    allowed = np.hypot(found.g2_zero_err, 0.01 * table + 0.0005)
    assert stats.chi2.sf(np.sum(((found.g2_zero - table) / allowed) ** 2), 5) > 1e-3
    assert np.all(np.abs(found.g2_zero - table) < 4 * allowed)


def test_the_truth_of_the_simulation_gives_the_table_too():
    _, truth = light(dot(), 1, excitation=0.2, duration=0.1)
    assert np.allclose(truth.gated_g2_zero(GATES), [0.485, 0.333, 0.227, 0.105, 0.048], atol=0.002)


def test_a_series_is_g2_pulsed_gate_by_gate_where_peaks_do_not_overlap():
    photons, _ = light(dot(), 71, excitation=0.2, rate=1.5e5, duration=4.0)
    series = ps.gate_series(photons, GATES)
    for i, gate in enumerate(GATES):
        one = ps.g2_pulsed(photons, gate=float(gate))
        # pairs whose delays differ by more than half a period: exp(-10) of them
        assert np.abs(one.pairs - series.pairs[i]).max() <= 5
        assert series.g2_zero[i] == pytest.approx(one.g2_zero, rel=0.01)
        assert np.allclose(series.expected_far[i], one.expected_far, rtol=1e-3)


def test_pulses_and_not_lags_tell_the_peak():
    lone = simulate.Emitter(lifetime=20e-9, biexciton_yield=1e-9, biexciton_lifetime=2e-9)
    photons, _ = simulate.pulsed(lone, duration=10.0, laser_period=200e-9, rate=8e4, seed=5)
    by_pulse, by_lag = ps.gate_series(photons, [0.0]), ps.g2_pulsed(photons)
    assert by_pulse.g2_zero[0] < 0.3 * by_lag.g2_zero
    assert by_lag.g2_zero == pytest.approx(np.exp(-5.0), rel=0.35)


def test_pieces_and_a_shift_do_not_change_the_counts_and_swapped_detectors_mirror_them():
    photons, _ = light(dot(), 7, duration=3.0)
    whole = ps.gate_series(photons, GATES)
    pieces = [photons.between(a, b) for a, b in ((0.0, 0.7), (0.7, 0.7004), (0.7004, 3.0))]
    assert np.array_equal(ps.gate_series(iter(pieces), GATES).pairs, whole.pairs)
    swapped = ps.gate_series(photons, GATES, detectors=(1, 0))
    assert np.array_equal(swapped.pairs, whole.pairs[:, ::-1])
    assert np.allclose(swapped.g2_zero, whole.g2_zero)


def test_background_goes_off_at_each_gate():
    photons, truth = light(dot(), 11, duration=20.0, rate=1e5, background=5e3)
    bare = ps.gate_series(photons, GATES)
    found = bare.corrected(5e3, 50.0)
    pull = (found.g2_zero - truth.gated_g2_zero(GATES)) / found.g2_zero_err
    assert np.all(np.abs(pull) < 4)
    assert np.all(bare.g2_zero[1:] > found.g2_zero[1:])
    assert np.all(np.diff(found.signal_fraction, axis=0) < 0)


def test_the_covariance_is_that_of_repeated_measurements():
    rows, told = [], []
    for seed in range(60):
        series = ps.gate_series(light(dot(), 700 + seed, duration=1.0)[0], GATES)
        rows.append(series.g2_zero)
        told.append(series.covariance)
    seen, told = np.cov(np.array(rows).T), np.mean(told, axis=0)
    assert np.all(np.linalg.eigvalsh(told) > 0)
    # a variance from 60 draws has a relative error of 18 %
    assert np.all(np.abs(np.log(np.diag(seen) / np.diag(told))) < 0.75)
    assert np.corrcoef(np.array(rows).T)[0, 1] == pytest.approx(told[0, 1] / np.sqrt(told[0, 0] * told[1, 1]), abs=0.3)


def held(rate, n, first_seed):
    inside = np.zeros(GATES.size)
    for seed in range(n):
        photons, truth = light(dot(), first_seed + seed, rate=rate, duration=1.0)
        ci = ps.gate_series(photons, GATES).g2_zero_ci
        true = truth.gated_g2_zero(GATES)
        inside += (ci[:, 0] <= true) & (true <= ci[:, 1])
    return inside


@pytest.mark.parametrize("rate", [2e4, 8e4])
def test_intervals_hold_the_truth_at_each_gate(rate):
    n = 60
    assert np.all(stats.binom.cdf(held(rate, n, 3100), n, 0.95) > 1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("rate", [1e4, 2e4, 8e4])
def test_coverage_of_each_gate(rate):
    assert np.all(stats.binom.cdf(held(rate, 300, 9000), 300, 0.95) > 1e-3)


@pytest.mark.parametrize(("n", "plateau"), [(1, 0.0), (2, 0.5), (3, 2 / 3)])
def test_plateaus_of_clusters_with_biexcitons(n, plateau):
    photons, _ = light([dot(0.4)] * n, 40 + n, duration=20.0)
    fit = ps.gate_series(photons, np.linspace(0, 15e-9, 16)).fit(exciton_lifetime=20e-9)
    low, high = fit.plateau_ci
    assert low - 0.01 <= plateau <= high + 0.01  # 1 % from three excitons at finite excitation
    assert high - low < 0.15
    assert abs(fit.biexciton_lifetime - 2e-9) < 4 * fit.biexciton_lifetime_err
    assert abs(fit.yield_ratio - 0.4) < 4 * fit.yield_ratio_err + 0.02


@pytest.mark.parametrize("lifetime", [10e-9, 14e-9])
@pytest.mark.parametrize("seed", [6, 7, 8])
def test_a_slow_biexciton_is_not_called_two_emitters(lifetime, seed):
    photons, _ = light(dot(0.5, lifetime), seed, duration=20.0)
    series = ps.gate_series(photons, np.linspace(0, 15e-9, 20))
    with pytest.warns(ps.AnalysisWarning, match="k_BX <= 2 k_X"):
        fit = series.fit()
    assert fit.plateau_ci[0] == 0.0
    assert np.isnan(fit.n_emitters)
    assert fit.n_emitters_ci[0] == 1.0
    assert fit.yield_ratio_ci[1] > 0.45
    assert "look alike" in fit.reason


def test_two_dots_without_biexcitons_are_no_proof_of_two():
    photons, _ = light([dot(1e-9)] * 2, 17)
    with pytest.warns(ps.AnalysisWarning, match="k_BX <= 2 k_X"):
        fit = ps.gate_series(photons, np.linspace(0, 15e-9, 16)).fit()
    assert fit.plateau_ci[0] == 0.0
    assert fit.plateau_ci[1] > 0.5


def test_a_lone_dot_has_an_upper_limit():
    photons, _ = light(dot(1e-9), 19)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = ps.gate_series(photons, np.linspace(0, 15e-9, 16)).fit()
    assert fit.plateau_ci[1] < 0.01
    assert np.isnan(fit.biexciton_lifetime)
    assert np.isnan(fit.p_value)


def test_a_gate_that_leaves_no_pairs_is_a_row_without_value():
    photons, _ = light(dot(), 3, duration=0.2, rate=2e4)
    series = ps.gate_series(photons, [0.0, 390e-9])
    assert np.isfinite(series.g2_zero[0])
    assert np.isnan(series.g2_zero[1])
    assert series.g2_zero_ci[1].tolist() == [0.0, np.inf]
    with pytest.raises(ValueError, match="too few for a fit"):
        series.fit()


def test_what_cannot_be_is_said():
    photons, _ = light(dot(), 3, duration=0.2)
    for gates, words in (
        ([2e-9, 1e-9], "must rise"),
        ([-1e-9], "must rise from 0"),
        ([0.0, 500e-9], "below the laser period of 4e-07 s"),
        ([], "1 to 1000 times"),
        ([np.nan], "1 to 1000 times"),
    ):
        with pytest.raises(ValueError, match=words):
            ps.gate_series(photons, gates)
    with pytest.raises(ValueError, match="n_pulses=0"):
        ps.gate_series(photons, GATES, 0)
    with pytest.raises(ValueError, match="only detector 0 is live"):
        ps.gate_series(photons.select(detectors=[0]), GATES)
    with pytest.raises(ValueError, match="leaves no signal"):
        ps.gate_series(photons, GATES, background=1e6)
    plain, _ = simulate.poisson([1e4, 1e4], duration=0.1, seed=1)
    with pytest.raises(ValueError, match="needs laser pulses and nanotimes"):
        ps.gate_series(plain, GATES)


def test_photons_later_than_a_period_leave_the_pairs_of_their_formula():
    rng = np.random.default_rng(5)
    n, period, lifetime = 8_000_000, 200.0, 60.0
    pulse = np.flatnonzero(rng.random(n) < 0.08)
    time = rng.exponential(lifetime, pulse.size)
    pulse, tick = pulse + (time // period).astype(int), (time % period / 0.064).astype(int)
    order = np.lexsort((tick, pulse))
    units = {"timestamps_unit": 200e-9, "tcspc_unit": 64e-12, "duration": (n + 100) * 200e-9}
    found = ps.gate_series(ps.PhotonStream(pulse[order], rng.integers(0, 2, pulse.size), tick[order], **units), [0.0])
    w = np.exp(-period / lifetime)
    # the side peaks miss the pairs that one pulse cannot give either
    sides = 1 - (1 - w) / (1 + w) * (w / (1 - w)) * (1 - w**10) / 10
    assert abs(found.g2_zero[0] - 2 * w / (1 + w) / sides) < 4 * found.g2_zero_err[0]
    assert abs(found.g2_zero[0] - w) > 6 * found.g2_zero_err[0]


def test_the_vector_of_gates_scatters_as_its_covariance():
    total = 0.0
    for seed in range(40):
        photons, truth = light(dot(), 12_000 + seed, duration=2.0)
        series = ps.gate_series(photons, GATES)
        off = series.g2_zero - truth.gated_g2_zero(GATES)
        total += float(off @ np.linalg.solve(series.covariance, off))
    dof = 40 * GATES.size
    assert 1e-3 < stats.chi2.sf(total, dof) < 1 - 1e-3


def test_the_plot_shows_the_series():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    photons, _ = light(dot(), 3, duration=2.0)
    series = ps.gate_series(photons, GATES)
    ax = series.plot()
    drawn = [line.get_xydata() for line in ax.get_lines()]
    points = np.column_stack([GATES * 1e9, series.g2_zero])
    assert any(xy.shape == points.shape and np.allclose(xy, points) for xy in drawn)
    matplotlib.pyplot.close(ax.figure)
