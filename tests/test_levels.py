"""Levels of segments: their number, rates, lifetimes, order, and when there is only one."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import level_dots as dots
import photonstats as ps
from photonstats.kernels.levels import merge_neighbours, merge_pairs, peak
from photonstats.switching import level_clustering

mpl.use("Agg")


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def at_least(hits, n, share):
    return stats.binomtest(int(hits), n, share, alternative="less").pvalue > 1e-3


def ladder(rng, k, rates, seconds=1.0, lifetimes=None):
    which = np.arange(k) % len(rates)
    times = rng.uniform(0.2, 2.0, k) * seconds
    counts = rng.poisson(np.array(rates)[which] * times)
    extra = {}
    if lifetimes is not None:
        n = np.maximum(counts, 1)
        found = rng.gamma(n, np.array(lifetimes)[which] / n)
        extra = {"lifetimes": found, "lifetimes_err": found / np.sqrt(n)}
    return ps.Segments(np.append(0.0, np.cumsum(times)), counts, **extra), which


@pytest.mark.parametrize("kind", ["true", "shifted", "missed", "searched"])
@pytest.mark.parametrize("m", [1, 2, 3, 4, 5])
def test_number_of_levels(kind, m):
    right = 0
    for s in range(15):
        segments, seen = dots.dot(np.random.default_rng([m, s]), m, 3e5, kind)
        right += ps.levels(segments).n == seen
    assert at_least(right, 15, 0.95)


@pytest.mark.slow
@pytest.mark.parametrize(("photons", "dots_of_each"), [(2e5, 40), (1e6, 24)])
def test_number_of_levels_and_its_probability(photons, dots_of_each):
    right, said = np.zeros((5, dots_of_each)), np.zeros((5, dots_of_each))
    for m in range(1, 6):
        for s in range(dots_of_each):
            segments, seen = dots.dot(np.random.default_rng([m, s, 5]), m, photons)
            found = ps.levels(segments)
            right[m - 1, s], said[m - 1, s] = found.n == seen, found.probability[found.n]
    assert np.all(right.sum(axis=1) >= stats.binom.ppf(1e-3, dots_of_each, 0.95))
    low = (said - right).sum() / np.sqrt((said * (1 - said)).sum())
    assert low < 3.1  # never surer than right


def test_levels_of_few_visits_are_found():
    """Dots of 3e4 photons, some levels of which are seen two or three times: a rate costs what those tell of it."""
    found = [dots.dot(np.random.default_rng([s, 5]), 5, 3e4, "true") for s in range(200)]
    away = np.array([ps.levels(segments).n - seen for segments, seen in found])
    assert np.mean(away == 0) > 0.52
    assert np.mean(away > 0) < 0.02


def test_steady_light_is_one_level_however_it_is_cut():
    rng = np.random.default_rng(3)
    wrong = 0
    for s in range(200):
        edges = np.unique(np.append([0.0, 100.0], rng.uniform(0, 100, 1 + s % 60)))
        wrong += ps.levels(ps.Segments(edges, rng.poisson(50 * np.diff(edges)))).n > 1
    assert wrong <= stats.binom.ppf(0.999, 200, 0.02)


def test_intervals_of_rates_hold_the_truth():
    rng, hits, n = np.random.default_rng(4), 0, 0
    for _ in range(150):
        found = ps.levels(ladder(rng, 24, [60.0, 200.0, 500.0])[0])
        if found.n == 3:
            hits += np.sum((found.rates_ci[:, 0] <= [60, 200, 500]) & (found.rates_ci[:, 1] >= [60, 200, 500]))
            n += 3
    assert n > 400
    assert at_least(hits, n, 0.95)
    assert hits / n < 0.995


def test_intervals_of_occupancy_hold_the_long_time_mean():
    rng, hits = np.random.default_rng(5), 0
    for _ in range(200):
        k = 60
        times = rng.exponential(np.where(np.arange(k) % 2, 2.0, 1.0))
        segments = ps.Segments(
            np.append(0, np.cumsum(times)), rng.poisson(times * np.where(np.arange(k) % 2, 900, 200))
        )
        low, high = ps.levels(segments, 2).occupancy_ci[1]
        hits += low <= 2 / 3 <= high
    assert stats.binomtest(hits, 200, 0.95).pvalue > 1e-3


def test_levels_of_one_rate_differ_in_lifetime():
    rng = np.random.default_rng(6)
    segments, which = ladder(rng, 60, [500.0, 500.0, 100.0], lifetimes=[20e-9, 8e-9, 8e-9])
    assert ps.levels(segments, use_lifetime=False).n == 2
    found = ps.levels(segments)
    assert found.n == 3
    assert np.all((found.lifetimes_ci[:, 0] < found.lifetimes) & (found.lifetimes < found.lifetimes_ci[:, 1]))
    np.testing.assert_allclose(np.sort(found.lifetimes), [8e-9, 8e-9, 20e-9], rtol=0.05)
    assert np.mean(found.lifetimes[found.assignment] == found.lifetimes.max()) == pytest.approx(1 / 3, abs=0.05)
    assert np.all((found.assignment == 0) == (which == 2))


def test_background_in_the_lifetimes_makes_no_levels():
    """A twentieth of background that nobody told of makes lifetimes scatter beyond their errors."""
    rng = np.random.default_rng(21)
    rates, lifetimes, dark, period = np.geomspace(1.5e3, 2e4, 4), np.geomspace(2e-9, 20e-9, 4), 1e3, 400e-9
    right = 0
    for _ in range(8):
        dwells = rng.exponential(0.1, 250)
        which = np.cumsum(rng.integers(1, 4, dwells.size)) % 4
        counts = rng.poisson(dwells * rates[which])
        edges = np.concatenate([[0.0], np.cumsum(dwells)])
        times = np.repeat(edges[:-1], counts) + rng.random(counts.sum()) * np.repeat(dwells, counts)
        delays = 20e-9 + rng.exponential(np.repeat(lifetimes[which], counts))
        n = rng.poisson(dark * edges[-1])
        times = np.concatenate([times, rng.random(n) * edges[-1]])
        delays = np.concatenate([delays, rng.random(n) * period]) % period
        order = np.argsort(times)
        photons = ps.PhotonStream(
            (times / period).astype(np.int64)[order], np.zeros(times.size, np.uint8),
            (delays / 100e-12).astype(np.uint16)[order], timestamps_unit=period, tcspc_unit=100e-12,
            laser_period=period, duration=float(edges[-1]) + 1e-3,
        )  # fmt: skip
        right += ps.levels(ps.change_points(photons, use_lifetime=True)).n == 4
    assert right >= 6


def test_intervals_of_lifetimes_hold_the_truth():
    rng, hits, n = np.random.default_rng(7), 0, 0
    for _ in range(100):
        found = ps.levels(ladder(rng, 20, [100.0, 400.0], lifetimes=[5e-9, 20e-9])[0])
        if found.n == 2:
            hits += np.sum((found.lifetimes_ci[:, 0] <= [5e-9, 20e-9]) & (found.lifetimes_ci[:, 1] >= [5e-9, 20e-9]))
            n += 2
    assert n > 180
    assert at_least(hits, n, 0.95)


@given(st.lists(st.tuples(st.integers(0, 50), st.floats(0.1, 5.0)), min_size=2, max_size=9))
def test_merging_is_the_cheapest_pair_each_time(rows):
    a, b = np.array(rows, dtype=float).T
    order = np.argsort(a / b, kind="stable")
    a, b = a[order].copy(), b[order].copy()
    removed = np.zeros(a.size - 1, np.int64)
    merge_neighbours(a, b, removed)
    groups = [[i] for i in range(a.size)]
    while len(groups) > 1:
        costs = [lost(a, b, groups[i], groups[i + 1]) for i in range(len(groups) - 1)]
        mine = int(np.argmin(removed + (removed < a.size - len(groups)) * 99))
        i = next(i for i in range(len(groups) - 1) if groups[i][-1] == mine)
        assert costs[i] <= min(costs) + 1e-9
        groups[i : i + 2] = [groups[i] + groups[i + 1]]


def lost(a, b, one, other):
    both = one + other
    return sum(peak(a[g].sum(), b[g].sum()) for g in (one, other)) - peak(a[both].sum(), b[both].sum())


def test_pairs_merge_as_neighbours_do_where_there_is_one_number():
    rng = np.random.default_rng(8)
    b = rng.uniform(0.5, 2, 30)
    a = np.sort(rng.uniform(1, 400, 30)) * b
    a, b = a[np.argsort(a / b)], b[np.argsort(a / b)]
    removed, labels = np.zeros(29, np.int64), np.zeros((6, 30), np.int64)
    merge_neighbours(a, b, removed)
    merge_pairs(a[:, None].copy(), b[:, None].copy(), labels)
    for m in range(1, 7):
        assert np.array_equal(labels[m - 1], np.concatenate([[0], np.cumsum(removed >= 30 - m)]))


def test_switches_and_dwells():
    found = ps.levels(ps.Segments(np.arange(8.0), [500, 100, 510, 490, 95, 505, 102]))
    assert found.assignment.tolist() == [1, 0, 1, 1, 0, 1, 0]
    assert found.transitions.tolist() == [[0, 2], [3, 0]]
    times, censored = found.dwell_times(1)
    assert times.tolist() == [1, 2, 1]
    assert censored.tolist() == [True, False, False]
    assert found.occupancy.tolist() == pytest.approx([3 / 7, 4 / 7])
    assert found.transition_probability[0, 1] == 1


def test_dwell_times_of_levels():
    found = ps.levels(ps.Segments(np.arange(10.0), [1000, 10, 800, 1000, 12, 1010, 15, 790, 810]))
    dwells = ps.dwell_times(found)
    assert dwells.on.tolist() == [1, 2, 1, 2]
    assert dwells.off.tolist() == [1, 1, 1]
    assert dwells.on_censored.tolist() == [True, False, False, True]
    assert dwells.on_fraction == pytest.approx(6 / 9)
    steady = ps.dwell_times(ps.levels(ps.Segments([0.0, 1.0], [100])))
    assert np.isnan(steady.threshold)
    assert "one level" in steady.note
    with pytest.raises(ValueError, match="positive rate"):
        ps.dwell_times(found, -1.0)


@pytest.mark.parametrize("counts", [[0], [0, 0], [0, 5000], [7], [10**9, 1], [0] * 50, [1] * 30])
def test_odd_segments(counts):
    found = ps.levels(ps.Segments(np.arange(len(counts) + 1.0), counts))
    assert np.all(found.rates_ci[:, 0] <= found.rates)
    assert np.all(found.rates <= found.rates_ci[:, 1])
    assert sum(found.probability.values()) == pytest.approx(1)
    assert found.n == (2 if max(counts) > 1000 else 1)
    found.plot()
    found.plot(kind="transitions")
    assert found.to_dict()["n"] == found.n


def test_a_continuum_is_doubted():
    rng = np.random.default_rng(9)
    rates = rng.uniform(1e3, 2e4, 300)
    found = ps.levels(ps.Segments(np.arange(301.0), rng.poisson(rates)), 6)
    assert found.note


def test_messages():
    segments = ps.Segments([0.0, 1.0], [5])
    with pytest.raises(ValueError, match="max_levels must be at least 1"):
        ps.levels(segments, 0)
    with pytest.raises(ValueError, match="no lifetimes"):
        ps.levels(segments, use_lifetime=True)
    with pytest.raises(ValueError, match="between 0 and 1"):
        ps.levels(segments, level=2.0)
    with pytest.raises(ValueError, match="0 to 0"):
        ps.levels(segments).dwell_times(1)
    with pytest.raises(ValueError, match="transitions"):
        ps.levels(segments).plot(kind="other")


def test_plot_shows_levels():
    found = ps.levels(ps.Segments(np.arange(5.0), [5000, 100, 5000, 100]))
    ax = found.plot()
    assert ax.get_xlabel() == "time (s)"
    assert ax.get_xlim() == (0, 4)


@pytest.mark.parametrize(("name", "least", "darkest", "brightest"), [
    ("blinking_trace3.pt3", 2, (100.0, 300.0), (4230.0, 4940.0)), ("blinking_trace4.pt3", 3, (100.0, 300.0), None),
])  # fmt: skip
def test_measured_dots_have_the_levels_that_are_known(shared_data, name, least, darkest, brightest):
    photons = ps.read(shared_data / name).select(detectors=1)
    found = ps.levels(ps.change_points(photons))
    assert found.n >= least
    assert darkest[0] < found.rates[0] < darkest[1]
    if brightest is not None:
        assert brightest[0] < found.rates[-1] < brightest[1]
        assert (
            found.occupancy[found.rates > brightest[0]].sum() > 0.5
        )  # it drifts from 4.7 to 4.4 kcps within the minute


def test_a_level_without_light_of_its_own_has_no_lifetime():
    # the decay rates of segments that are background alone have no limit; their mean lies outside of its interval
    rates, intervals = np.array([1e12, 1e8]), np.array([[2e13, 3e15], [0.9e8, 1.1e8]])
    lifetimes, ends = level_clustering._lifetimes(rates, intervals)
    assert np.isnan(lifetimes[0])
    assert np.isnan(ends[0]).all()
    assert lifetimes[1] == pytest.approx(1e-8)
    assert ends[1] == pytest.approx([1 / 1.1e8, 1 / 0.9e8])


@pytest.mark.parametrize(("dwell", "doubted"), [(20e-3, False), (1e-3, True)])
def test_dwells_too_short_to_be_found_are_told(dwell, doubted):
    """Between 3 and 40 kHz dwells of a millisecond make levels that are not there: the note must say so."""
    rng = np.random.default_rng(8)
    edges = np.concatenate([[0.0], np.cumsum(rng.exponential(dwell, round(4.0 / dwell)))])
    t = dots.arrivals(rng, edges, np.where(np.arange(edges.size - 1) % 2, 40e3, 3e3))
    photons = ps.PhotonStream(
        (t / 1e-8).astype(np.int64), np.zeros(t.size, np.uint8), timestamps_unit=1e-8, duration=float(edges[-1])
    )
    found = ps.levels(ps.change_points(photons))
    assert (found.n > 2) == doubted
    assert ("too short to be found" in found.note) == doubted


def test_levels_of_one_rate_are_told_apart_by_their_lifetimes_without_doubt():
    rng = np.random.default_rng(1)
    edges = np.concatenate([[0.0], np.cumsum(rng.exponential(0.2, 60))])
    counts = rng.poisson(1e4 * np.diff(edges))
    tau = np.where(np.arange(60) % 2, 20e-9, 8e-9)
    error = tau / np.sqrt(counts)
    found = ps.levels(ps.Segments(edges, counts, lifetimes=rng.normal(tau, error), lifetimes_err=error))
    assert found.n == 2
    assert not found.note
