"""Dwell times by threshold: exact cutting, censoring, and when the answer is that there is none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import photonstats as ps


def telegraph(rng, n_bins, mean_on, mean_off, on=50.0, off=2.0):
    """Return counts and the share of each bin that was on; dwells exponential, in bins."""
    time, state, edges = 0.0, rng.random() < mean_on / (mean_on + mean_off), [0.0]
    states = []
    while time < n_bins:
        time += rng.exponential(mean_on if state else mean_off)
        states.append(state)
        edges.append(min(time, n_bins))
        state = not state
    fine = np.concatenate([[0.0], np.cumsum(np.diff(edges) * states)])
    share = np.diff(np.interp(np.arange(n_bins + 1), edges, fine))
    return rng.poisson(off + (on - off) * share), share


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_dwells_are_the_runs_of_the_trace(states):
    dwells = ps.dwell_times(ps.IntensityTrace([9 if s else 0 for s in states], 0.1), threshold=50.0)
    runs, previous = [], None
    for state in states:
        if state is previous:
            runs[-1][1] += 1
        else:
            runs.append([state, 1])
        previous = state
    for state, found, censored in ((True, dwells.on, dwells.on_censored), (False, dwells.off, dwells.off_censored)):
        np.testing.assert_allclose(found, [0.1 * n for s, n in runs if s is state], rtol=1e-12)
        ends = [i in {0, len(runs) - 1} for i, (s, _) in enumerate(runs) if s is state]
        assert censored.tolist() == ends
    assert dwells.on.sum() + dwells.off.sum() == pytest.approx(0.1 * len(states))


def test_threshold_is_found_between_the_levels():
    rng = np.random.default_rng(5)
    counts, _ = telegraph(rng, 6000, 30, 20)
    dwells = ps.dwell_times(ps.IntensityTrace(counts, 0.01))
    assert dwells.levels == pytest.approx((200, 5000), rel=0.1)
    assert 2000 < dwells.threshold < 3200


def test_on_fraction_interval_holds_the_truth():
    rng = np.random.default_rng(6)
    hits = 0
    for _ in range(200):
        counts, _ = telegraph(rng, 4000, 30, 20)
        dwells = ps.dwell_times(ps.IntensityTrace(counts, 0.01), threshold=2600.0)
        hits += abs(dwells.on_fraction - 0.6) < 1.96 * dwells.on_fraction_err
    assert stats.binomtest(hits, 200, 0.95).pvalue > 1e-3


@pytest.mark.parametrize("mean", [0.3, 4.0, 50.0, 2000.0])
def test_a_steady_trace_has_no_threshold(mean):
    rng = np.random.default_rng(7)
    for _ in range(50):
        dwells = ps.dwell_times(ps.IntensityTrace(rng.poisson(mean, 2000), 0.01))
        assert np.isnan(dwells.threshold)
        assert dwells.on.size == dwells.off.size == 0
        assert "undetermined" in repr(dwells)


def test_a_continuum_of_intensities_has_no_threshold():
    rng = np.random.default_rng(8)
    dwells = ps.dwell_times(ps.IntensityTrace(rng.poisson(rng.uniform(5, 100, 6000)), 0.01))
    assert np.isnan(dwells.threshold)
    assert "no gap" in dwells.note


def test_levels_hidden_in_noise_are_not_invented():
    rng = np.random.default_rng(9)
    counts, _ = telegraph(rng, 20000, 30, 20, on=9.0, off=5.0)
    dwells = ps.dwell_times(ps.IntensityTrace(counts, 0.01))
    assert np.isnan(dwells.threshold)
    assert "wider bins" in dwells.note


def test_a_rarely_dark_dot_still_has_two_levels():
    rng = np.random.default_rng(10)
    counts, share = telegraph(rng, 6000, 300, 8)
    dwells = ps.dwell_times(ps.IntensityTrace(counts, 0.01))
    assert dwells.on_fraction == pytest.approx(share.mean(), abs=0.02)


def test_no_dwells_of_a_trace_that_is_always_on():
    dwells = ps.dwell_times(ps.IntensityTrace([5, 6, 7], 0.01), threshold=100.0)
    assert dwells.on.tolist() == pytest.approx([0.03])
    assert dwells.off.size == 0
    assert np.isnan(dwells.on_fraction_err)
    assert dwells.to_dict()["on_fraction_err"] is None


@pytest.mark.parametrize("threshold", [0.0, -1.0, np.nan])
def test_impossible_thresholds_are_refused(threshold):
    with pytest.raises(ValueError, match="positive rate in Hz"):
        ps.dwell_times(ps.IntensityTrace([5], 0.01), threshold=threshold)
    with pytest.raises(ValueError, match='"auto"'):
        ps.dwell_times(ps.IntensityTrace([5], 0.01), threshold="otsu")


def test_a_slow_swing_has_no_threshold():
    rng = np.random.default_rng(11)
    swing = 500.0 * (1 + 0.2 * np.sin(2 * np.pi * np.arange(6000) / 700.0))
    for _ in range(20):
        assert np.isnan(ps.dwell_times(ps.IntensityTrace(rng.poisson(swing), 0.01)).threshold)


def test_the_error_of_few_dwells_holds_the_truth():
    rng = np.random.default_rng(12)
    hits = 0
    for _ in range(300):
        counts, _ = telegraph(rng, 3000, 500, 100)
        dwells = ps.dwell_times(ps.IntensityTrace(counts, 0.01), threshold=2600.0)
        hits += dwells.on.size > 0 and not abs(dwells.on_fraction - 5 / 6) > 1.96 * dwells.on_fraction_err
    assert stats.binomtest(hits, 300, 0.95).pvalue > 1e-3


def test_dwells_of_few_bins_are_called_doubtful():
    rng = np.random.default_rng(13)
    counts, _ = telegraph(rng, 6000, 2, 2, on=200.0, off=10.0)
    assert "narrower bins" in ps.dwell_times(ps.IntensityTrace(counts, 0.01)).note
    counts, _ = telegraph(rng, 6000, 30, 20)
    assert not ps.dwell_times(ps.IntensityTrace(counts, 0.01)).note


def test_few_bins_are_undetermined():
    assert "too few" in ps.dwell_times(ps.IntensityTrace([5, 0], 0.01)).note
    assert "same number" in ps.dwell_times(ps.IntensityTrace([5] * 30, 0.01)).note
