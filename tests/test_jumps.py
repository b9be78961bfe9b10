"""Jumps of the intensity: shot noise exactly, telegraph light by its known variance, intervals by coverage."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import photonstats as ps

WIDTH = 0.01


def telegraph(rng, n_bins, flip, levels):
    """Return counts of light that takes the other level before a bin with probability `flip`, and its switches."""
    flips = rng.random(n_bins) < flip
    state = (np.cumsum(flips) + rng.integers(2)) % 2
    return rng.poisson(np.array(levels)[state]), int(flips[1:].sum())


@pytest.mark.parametrize("mean", [0.5, 5.0, 60.0])
def test_steady_light_has_ratio_one_and_no_switches(mean):
    rng = np.random.default_rng(1)
    inside, still = np.zeros(3), np.zeros(3)
    for _ in range(100):
        trace = ps.IntensityTrace(rng.poisson(mean, 3000), WIDTH)
        jumps = ps.jump_statistics(trace, [WIDTH, 2 * WIDTH, 16 * WIDTH])
        inside += (jumps.excess_ci[:, 0] <= 1) & (jumps.excess_ci[:, 1] >= 1)
        still += (jumps.switching_frequency_ci[:, 0] <= 0) & (jumps.switching_frequency_ci[:, 1] >= 0)
    assert min(stats.binom.cdf(inside, 100, 0.95)) > 1e-3
    assert min(stats.binom.cdf(still, 100, 0.95)) > 1e-3


def test_expected_switches_are_those_of_shot_noise():
    rng = np.random.default_rng(2)
    trace = ps.IntensityTrace(rng.poisson(30.0, 400_000), WIDTH)
    jumps = ps.jump_statistics(trace, [WIDTH, 3 * WIDTH], k_sigma=2.5)
    # an event shares a bin with its neighbours: the variance of their number is a little above a Poisson one
    assert np.all(np.abs(jumps.n_switches - jumps.expected_switches) < 4 * np.sqrt(1.5 * jumps.expected_switches))


def test_jumps_of_a_telegraph_have_the_known_variance():
    rng = np.random.default_rng(3)
    levels, flip, lags = (20.0, 100.0), 0.07, np.array([1, 2, 8, 32])
    rho = (1 - 2 * flip) ** lags
    truth = 1 + 0.25 * (levels[1] - levels[0]) ** 2 * 2 * (1 - rho) / 2 * 2 / sum(levels)
    hits = np.zeros(4)
    for _ in range(100):
        counts, _ = telegraph(rng, 5000, flip, levels)
        jumps = ps.jump_statistics(ps.IntensityTrace(counts, WIDTH), lags * WIDTH)
        hits += (jumps.excess_ci[:, 0] <= truth) & (truth <= jumps.excess_ci[:, 1])
    assert min(stats.binom.cdf(hits, 100, 0.95)) > 1e-3


def test_switches_of_a_telegraph_are_counted():
    rng = np.random.default_rng(4)
    hits = 0
    for _ in range(100):
        counts, switches = telegraph(rng, 4000, 0.01, (20.0, 100.0))
        jumps = ps.jump_statistics(ps.IntensityTrace(counts, WIDTH), WIDTH)
        assert abs(jumps.n_switches[0] - jumps.expected_switches[0] - switches) < 20
        hits += jumps.switching_frequency_ci[0, 0] <= 1.0 <= jumps.switching_frequency_ci[0, 1]
    assert stats.binom.cdf(hits, 100, 0.95) > 1e-3


def test_a_switch_counts_once_at_every_lag():
    trace = ps.IntensityTrace(np.repeat([20, 200, 20, 200], 50), WIDTH)
    assert ps.jump_statistics(trace, [WIDTH, 2 * WIDTH, 8 * WIDTH]).n_switches.tolist() == [3, 3, 3]


@given(st.lists(st.integers(0, 30), min_size=5, max_size=40), st.integers(1, 3), st.floats(0.5, 4.0))
def test_numbers_are_those_of_the_plain_loop(counts, lag, k_sigma):
    jumps = ps.jump_statistics(ps.IntensityTrace(counts, 1.0), float(lag), k_sigma=k_sigma)
    squares, totals, events, tails, before = 0, 0, 0, [], 0
    for a, b in zip(counts, counts[lag:], strict=False):
        squares, totals = squares + (b - a) ** 2, totals + a + b
        side = int(np.sign(b - a)) if abs(b - a) > k_sigma * np.sqrt(a + b) else 0
        events += side not in (0, before)
        before = side
        tails.append(
            sum(
                stats.binom.pmf(m, a + b, 0.5)
                for m in range(a + b + 1)
                if abs(2 * m - a - b) > k_sigma * np.sqrt(a + b)
            )
        )
    n = len(counts) - lag
    assert jumps.jump_variance[0] == pytest.approx(squares / n)
    assert jumps.shot_variance[0] == pytest.approx(totals / n)
    assert jumps.n_switches[0] == events
    shared = [0.0] + [t / 2 for t in tails[:-1]] if lag > 1 else [0.0] * n
    assert jumps.expected_switches[0] == pytest.approx(sum(t * (1 - s) for t, s in zip(tails, shared, strict=True)))
    assert jumps.jumps.sum() == pytest.approx(jumps.expected_jumps.sum())


def test_histogram_of_steady_light_is_that_of_shot_noise():
    rng = np.random.default_rng(5)
    jumps = ps.jump_statistics(ps.IntensityTrace(rng.poisson(40.0, 100_000), WIDTH), 2 * WIDTH)
    seen, by_noise = jumps.jumps[0], jumps.expected_jumps[0]
    kept = by_noise > 30
    # every bin of the trace is in two pairs, hence twice the variance at most
    statistic = np.sum((seen - by_noise)[kept] ** 2 / by_noise[kept]) / 2
    assert stats.chi2.sf(statistic, kept.sum()) > 1e-3


def test_photons_and_trace_say_the_same():
    photons, _ = ps.simulate.poisson([5e3], duration=3.0, seed=1)
    of_photons = ps.jump_statistics(photons, 0.02, bin_width=0.005)
    of_trace = ps.jump_statistics(ps.intensity_trace(photons, 0.005), 0.02)
    assert of_photons.excess[0] == of_trace.excess[0]
    assert ps.jump_statistics(photons).bin_width == 0.01


def test_dark_and_short_traces_have_no_interval():
    dark = ps.jump_statistics(ps.IntensityTrace(np.zeros(500, int), WIDTH), WIDTH)
    assert np.isnan(dark.excess[0])
    assert dark.n_switches[0] == 0
    assert dark.to_dict()["excess"] == [None]
    short = ps.jump_statistics(ps.IntensityTrace([3, 5, 4, 6, 5], WIDTH), WIDTH)
    assert np.isnan(short.excess_ci).all()
    assert np.isnan(short.switching_frequency_ci).all()


def test_a_silent_stretch_of_rare_photons_keeps_its_interval_finite():
    rng = np.random.default_rng(6)
    jumps = ps.jump_statistics(ps.IntensityTrace(rng.poisson(0.01, 4000), WIDTH))
    assert np.isfinite(jumps.excess_ci).all()
    assert np.all(jumps.excess_ci[:, 0] <= jumps.excess_ci[:, 1])


def test_what_is_wrong_is_said():
    trace = ps.IntensityTrace([3, 5, 4, 6, 5], WIDTH)
    with pytest.raises(ValueError, match=r"lag 0\.001 s"):
        ps.jump_statistics(trace, 1e-3)
    with pytest.raises(ValueError, match="lag 1 s"):
        ps.jump_statistics(trace, 1.0)
    with pytest.raises(ValueError, match="k_sigma"):
        ps.jump_statistics(trace, k_sigma=0.0)
    with pytest.raises(ValueError, match="leave out bin_width"):
        ps.jump_statistics(trace, bin_width=0.02)
    with pytest.raises(ValueError, match="2 bins"):
        ps.jump_statistics(ps.IntensityTrace([1, 2], WIDTH))


def test_pictures_show_the_numbers():
    rng = np.random.default_rng(7)
    counts, _ = telegraph(rng, 4000, 0.02, (20.0, 100.0))
    jumps = ps.jump_statistics(ps.IntensityTrace(counts, WIDTH))
    ax = jumps.plot(lag=1)
    assert ax.patches[0].get_data().values.sum() == 4000 - 2
    assert "shot noise" in ax.get_legend().get_texts()[1].get_text()
    curve = jumps.plot_curve()
    assert curve.get_ylabel() == "jump variance / shot noise"
    assert "switches per second" in repr(jumps)
