"""Dwells with hysteresis, from a hidden Markov path and from levels: order of time, truth, refusals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import photonstats as ps


def noisy_telegraph(rng, n_bins, mean_on, mean_off, on=20.0, off=6.0):
    """Return counts and the state of each bin; dwells geometric, in bins."""
    switch = rng.random(n_bins)
    states = np.empty(n_bins, bool)
    states[0] = rng.random() < mean_on / (mean_on + mean_off)
    for i in range(1, n_bins):
        states[i] = states[i - 1] ^ (switch[i] < 1.0 / (mean_on if states[i - 1] else mean_off))
    return rng.poisson(np.where(states, on, off)), states


def by_hand(counts, low, high):
    """Ten readable lines: a bin in the band keeps the state before it, at the begin that of the nearer limit."""
    state, found = counts[0] >= (low + high) / 2, []
    for n in counts:
        if n >= high:
            state = True
        elif n < low:
            state = False
        found.append(state)
    return found


@given(st.lists(st.integers(0, 20), min_size=1, max_size=40), st.integers(1, 10), st.integers(1, 9))
def test_hysteresis_is_that_of_ten_readable_lines(counts, low, more):
    dwells = ps.dwell_times(ps.IntensityTrace(counts, 1.0), threshold=(low, low + more))
    states = np.repeat(dwells.states, np.rint(dwells.durations).astype(int))
    assert states.tolist() == by_hand(counts, low, low + more)
    assert dwells.band == (low, low + more)


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.floats(0.0, 100.0))
def test_dwells_know_their_order(states, start):
    trace = ps.IntensityTrace([9 if s else 0 for s in states], 0.1, start)
    dwells = ps.dwell_times(trace, threshold=50.0)
    assert np.repeat(dwells.states, np.rint(dwells.durations / 0.1).astype(int)).tolist() == states
    assert dwells.edges[0] == start
    assert dwells.edges[-1] == pytest.approx(start + trace.duration)


def test_two_thresholds_make_fewer_false_switches_than_one():
    rng = np.random.default_rng(1)
    counts, states = noisy_telegraph(rng, 20_000, 100, 60)
    trace = ps.IntensityTrace(counts, 0.01)
    switches = np.count_nonzero(states[1:] != states[:-1])
    one, two = ps.dwell_times(trace, 1300.0), ps.dwell_times(trace, (1000.0, 1600.0))
    path = ps.dwell_times(ps.hidden_markov(trace, 2))
    assert one.n > 4 * switches
    assert two.n < 0.5 * one.n
    # visits of a few bins are missed, false ones are rare: the number of switches of the path is near the truth
    assert 0.8 * switches < path.n < 1.05 * switches


def test_hysteresis_is_set_between_the_levels():
    counts, _ = noisy_telegraph(np.random.default_rng(2), 6000, 60, 40, on=60.0, off=3.0)
    trace = ps.IntensityTrace(counts, 0.01)
    dwells, one = ps.dwell_times(trace, "hysteresis"), ps.dwell_times(trace)
    off, on = dwells.levels
    assert dwells.band == pytest.approx((off + (on - off) / 3, on - (on - off) / 3))
    assert dwells.threshold == pytest.approx(one.threshold)
    assert one.band is None
    assert "off below" in dwells.summary()


def test_mean_dwells_of_a_hidden_path_hold_the_truth():
    rng = np.random.default_rng(3)
    z = []
    for _ in range(12):
        counts, states = noisy_telegraph(rng, 8000, 80, 50, on=40.0)
        dwells = ps.dwell_times(ps.hidden_markov(ps.IntensityTrace(counts, 0.01), 2))
        times = dwells.off[~dwells.off_censored]
        z.append((times.mean() - 0.5) / (times.std() / np.sqrt(times.size)))
        found = np.repeat(dwells.states, np.rint(dwells.durations / 0.01).astype(int))
        assert np.mean(found == states) > 0.99
    assert stats.chi2.sf(np.sum(np.square(z)), 12) > 1e-3


def test_switches_of_levels_bring_their_intervals():
    light, _ = ps.simulate.recipe("blinking_dot", seed=4, duration=6.0)
    levels = ps.levels(ps.change_points(light))
    dwells = ps.dwell_times(levels)
    assert dwells.edges_ci.shape == (dwells.n - 1, 2)
    inner = dwells.edges[1:-1]
    assert np.all((dwells.edges_ci[:, 0] <= inner) & (inner <= dwells.edges_ci[:, 1]))
    assert "edges_ci" not in dwells.to_dict()


def test_one_hidden_level_has_no_dwells():
    trace = ps.IntensityTrace(np.random.default_rng(5).poisson(8.0, 500), 0.01)
    dwells = ps.dwell_times(ps.hidden_markov(trace, 1))
    assert np.isnan(dwells.threshold)
    assert dwells.note.startswith("the chain has one level")


def test_the_order_of_bare_dwells_may_be_unknown():
    no = np.zeros(1, bool)
    bare = ps.DwellTimes(np.ones(1), np.ones(1), no, no, 1.0, 0.5, 0.1, 0.1)
    with pytest.raises(ValueError, match="the order of these dwells is not known"):
        _ = bare.states
    more = ps.DwellTimes(np.ones(2), np.ones(1), np.zeros(2, bool), no, 1.0, 0.5, 0.1, 0.1)
    assert more.states.tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("threshold", "words"),
    [
        ((300.0, 200.0), "must come first"),
        ((1.0, 2.0, 3.0), "one rate or two in Hz, it holds 3"),
        ((0.0, 2.0), "positive rate in Hz, it is 0"),
        ("otsu", "hysteresis"),
        (np.nan, "positive rate"),
    ],
)
def test_thresholds_that_are_none_are_refused(threshold, words):
    with pytest.raises(ValueError, match=words):
        ps.dwell_times(ps.IntensityTrace([1, 2, 3], 0.01), threshold)


def test_levels_take_one_threshold():
    trace = ps.IntensityTrace(np.random.default_rng(5).poisson(8.0, 500), 0.01)
    with pytest.raises(ValueError, match="must be one rate in Hz"):
        ps.dwell_times(ps.hidden_markov(trace, 1), (1.0, 2.0))
    with pytest.raises(ValueError, match="of levels must be a rate"):
        ps.dwell_times(ps.hidden_markov(trace, 1), "hysteresis")
