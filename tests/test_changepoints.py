"""Change points: exactness of the search, false positives, power, intervals, and what changed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

import photonstats as ps
from photonstats.decays.tilted_decay import mean_cost, observed_cost, score_bins
from photonstats.kernels import changes as kernels
from photonstats.kernels import events as event_kernels
from photonstats.switching.changepoints import critical_values

NONE, NO_COST = np.empty(0), np.zeros((3, 2))
TABLE = np.zeros((2, 257))
kernels.moments_of_one_side(TABLE)


def light(rng, parts, *, nanotimes=False, background=0.05, unit=1e-8):
    """Poisson light of parts (seconds, Hz, lifetime s), nanotimes in 256 bins of a 100 ns period, two detectors."""
    times, delays, which, start = [], [], [], 0.0
    for seconds, rate, lifetime in parts:
        n = rng.poisson(seconds * rate)
        d = (rng.random(n) < 0.4).astype(np.uint8)
        u = 10e-9 + 4e-9 * d + rng.normal(0, 0.2e-9, n) + rng.exponential(lifetime, n)
        u = np.where(rng.random(n) < background, rng.uniform(0, 100e-9, n), u) % 100e-9
        times.append(start + rng.uniform(0, seconds, n))
        delays.append(u)
        which.append(d)
        start += seconds
    times, delays, which = (np.concatenate(x) for x in (times, delays, which))
    order = np.argsort(times)
    nano = np.minimum(delays[order] / 100e-9 * 256, 255).astype(np.uint16) if nanotimes else None
    extra = {"nanotimes": nano, "tcspc_unit": 100e-9 / 256, "laser_period": 100e-9} if nanotimes else {}
    ticks = (times[order] / unit).astype(np.int64)
    return ps.PhotonStream(ticks, which[order], timestamps_unit=unit, duration=start, **extra)


def plain_ratio(times):
    """All scaled ratios, as the formula reads."""
    n = times.size - 1
    k = np.arange(1, n)
    m = n - k
    share = (times[1:-1] - times[0]) / (times[-1] - times[0])
    ratio = 2 * k * np.log(k / (n * share)) + 2 * m * np.log(m / (n * (1 - share)))
    psi, psi1 = special.digamma, lambda x: special.polygamma(1, x)
    mean = 2 * k * (psi(n) - psi(k) - np.log(n / k)) + 2 * m * (psi(n) - psi(m) - np.log(n / m))
    variance = 4 * (k**2 * (psi1(k) - psi1(n)) + m**2 * (psi1(m) - psi1(n)) - 2 * k * m * psi1(n))
    return (ratio - mean) / np.sqrt(variance) + 0.5 * np.log(4 * k * m / n**2)


@given(st.integers(2, 900), st.floats(0.01, 100.0), st.floats(0.0, 1.0), st.integers(0, 2**31))
@settings(max_examples=150, deadline=None)
def test_skipping_blocks_finds_the_same_maximum(n, contrast, where, seed):
    gaps = np.random.default_rng(seed).exponential(size=n)
    gaps[int(where * n) :] *= contrast
    times = np.concatenate([[0.0], np.cumsum(gaps)])
    at, value = kernels.best_change(times, NONE, NO_COST, 0, n, TABLE)
    wanted = plain_ratio(times)
    assert at == 1 + np.argmax(wanted)
    assert value == pytest.approx(wanted.max(), rel=1e-6, abs=1e-6)


@given(st.integers(70, 1500), st.floats(0.3, 3.0), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_skipping_blocks_finds_the_same_maximum_with_lifetimes(n, contrast, seed):
    rng = np.random.default_rng(seed)
    times = np.concatenate([[0.0], np.cumsum(rng.exponential(size=n))])
    scores = np.minimum(rng.exponential(0.15, n), 0.999)
    scores[n // 3 :] *= min(contrast, 1.0)
    bins = (np.arange(256) + 0.5) / 256
    cost = mean_cost(bins, np.exp(-bins / 0.15))
    summed = np.concatenate([[0.0], np.cumsum(scores)])
    at, value = kernels.best_change(times, summed, cost, 0, n, TABLE)
    wanted = [_both(times, summed, cost, k) for k in range(1, n)]
    assert value == pytest.approx(max(wanted), rel=1e-5, abs=1e-4)
    assert wanted[at - 1] == pytest.approx(max(wanted), rel=1e-5, abs=1e-4)


def _both(times, summed, cost, k):
    n = times.size - 1
    rate, decay = kernels.ratios_at(times, summed, cost, 0, k, n)
    psi = special.digamma
    mean = 2 * k * (psi(n) - psi(k) - math.log(n / k)) + 2 * (n - k) * (psi(n) - psi(n - k) - math.log(n / (n - k)))
    psi1 = [float(special.polygamma(1, x)) for x in (k, n - k, n)]
    variance = 4 * (k**2 * (psi1[0] - psi1[2]) + (n - k) ** 2 * (psi1[1] - psi1[2]) - 2 * k * (n - k) * psi1[2])
    return (rate + decay - 2 * mean) / math.sqrt(2 * variance) + 0.5 * math.log(4 * k * (n - k) / n**2)


def test_tilting_an_exponential_costs_what_another_exponential_gains():
    s = (np.arange(4000) + 0.5) / 4000  # of a period that is long against the lifetime
    cost = mean_cost(s, np.exp(-s / 0.02))
    for mean in (0.005, 0.01, 0.02, 0.03, 0.05):
        assert kernels.score_cost(mean, cost) == pytest.approx(mean / 0.02 - 1 - math.log(mean / 0.02), abs=2e-3)


def test_observed_scatter_of_two_levels_gives_back_each_of_them():
    rng = np.random.default_rng(3)
    bins = (np.arange(256) + 0.5) / 256
    scores = bins[np.concatenate([_drawn(rng, bins, 0.05, 40000), _drawn(rng, bins, 0.15, 40000)])]
    pooled = mean_cost(bins, np.bincount((scores * 256).astype(int), minlength=256).astype(float))
    seen = observed_cost(pooled, np.concatenate([[0.0], np.cumsum(scores)]))
    for part in (scores[:40000], scores[40000:]):
        x = part.mean()
        bend = (kernels.score_cost(x + 0.004, seen) + kernels.score_cost(x - 0.004, seen)
                - 2 * kernels.score_cost(x, seen)) / 0.004**2  # fmt: skip
        assert 1 / bend == pytest.approx(part.var(), rel=0.15)


def _drawn(rng, bins, lifetime, n):
    p = np.exp(-bins / lifetime)
    return rng.choice(bins.size, n, p=p / p.sum())


def test_background_does_not_count_as_a_late_photon():
    counts = 1000 * np.exp(-np.arange(256) / 20) + 50
    score = score_bins(counts, 0, 50.0)
    assert score[0] < 0.1
    assert score[250] == pytest.approx(score[20], abs=0.06)  # like a photon at the mean time, which says nothing
    assert np.argmax(score) in range(30, 120)


@pytest.mark.parametrize(("n", "traces"), [(50, 2500), (1000, 1200), (100_000, 200)])
def test_steady_light_changes_in_at_most_the_share_asked_for(n, traces):
    rng = np.random.default_rng(n)
    critical = critical_values(1)
    false = 0
    for _ in range(traces):
        times = np.concatenate([[0.0], np.cumsum(rng.exponential(size=n))])
        false += kernels.find_changes(times, NONE, NO_COST, 0.05, critical, TABLE).size > 0
    assert stats.binom.cdf(false, traces, 0.05) < 0.999
    assert stats.binom.sf(false, traces, 0.03) < 0.9999  # nor is it far safer than asked, which would cost power


@pytest.mark.parametrize("rate", [500, 4000])
def test_steady_light_with_lifetimes_changes_in_at_most_the_share_asked_for(rate):
    rng = np.random.default_rng(rate)
    false = [len(ps.change_points(light(rng, [(1.0, rate, 15e-9)], nanotimes=True), use_lifetime=True)) > 1
             for _ in range(150)]  # fmt: skip
    assert stats.binom.sf(sum(false) - 1, 150, 0.05) > 1e-3


def test_a_few_photons_of_background_after_a_short_decay_make_no_changes():
    rng, false = np.random.default_rng(41), 0
    for _ in range(40):
        photons = light(rng, [(1.0, 30_000, 0.25e-9)], nanotimes=True, background=0.01)
        false += len(ps.change_points(photons, use_lifetime=True)) > 1
    assert stats.binom.sf(false - 1, 40, 0.05) > 1e-3, false


@pytest.mark.parametrize(("before", "ratio", "photons", "share"), [(1.0, 2.0, 100, 0.9), (1.0, 1.5, 200, 0.85),
                                                                 (1.0, 0.5, 100, 0.9)])  # fmt: skip
def test_power_and_intervals(before, ratio, photons, share):
    rng = np.random.default_rng(int(10 * ratio))
    found, inside, single = 0, 0, 0
    for _ in range(400):
        segments = ps.change_points(light(rng, [(before, photons, 0.0), (before / ratio, photons * ratio, 0.0)]))
        found += len(segments) > 1
        if len(segments) == 2:
            single += 1
            inside += segments.times_ci[0, 0] <= 1.0 <= segments.times_ci[0, 1]
    assert stats.binom.cdf(found, 400, share) > 0.05
    assert 1e-3 < stats.binom.cdf(inside, single, 0.95) < 0.9999


@pytest.mark.parametrize("ratio", [0.005, 0.05, 20.0, 200.0])
def test_intervals_hold_at_high_contrast(ratio):
    rng = np.random.default_rng(5)
    inside = single = 0
    for _ in range(300):
        segments = ps.change_points(light(rng, [(1.0, 300, 0.0), (1.0 / ratio, 300 * ratio, 0.0)], unit=1e-12))
        if len(segments) == 2:
            single += 1
            inside += segments.times_ci[0, 0] <= 1.0 <= segments.times_ci[0, 1]
    assert single > 250
    assert 1e-3 < stats.binom.cdf(inside, single, 0.95) < 0.9999


def test_a_lifetime_step_at_constant_rate_is_found_and_named():
    rng = np.random.default_rng(11)
    kinds = []
    for _ in range(40):
        photons = light(rng, [(1.0, 2000, 20e-9), (1.0, 2000, 8e-9)], nanotimes=True)
        segments = ps.change_points(photons, use_lifetime=True)
        nearest = int(np.argmin(abs(segments.edges[1:-1] - 1.0)))
        assert abs(segments.edges[1:-1][nearest] - 1.0) < 0.05
        kinds.append(segments.change_kinds[nearest])
    assert set(kinds) <= {"lifetime", "both"}
    assert stats.binom.sf(kinds.count("both") - 1, 40, 0.05) > 1e-3
    last = ps.change_points(photons, use_lifetime=True, background={0: 60.0, 1: 40.0})
    assert last.lifetimes[0] == pytest.approx(20e-9, rel=0.15)
    assert last.lifetimes[-1] == pytest.approx(8e-9, rel=0.15)


def test_a_rate_step_is_not_called_one_of_the_lifetime():
    rng = np.random.default_rng(12)
    kinds = []
    for _ in range(60):
        photons = light(rng, [(1.0, 400, 12e-9), (1.0, 1200, 12e-9)], nanotimes=True)
        kinds += ps.change_points(photons, use_lifetime=True).change_kinds[:1]
    assert kinds.count("rate") >= 50
    assert stats.binom.sf(kinds.count("both") - 1, len(kinds), 0.05) > 1e-3


def test_dark_and_bleached_stretches_are_found_to_the_photon():
    rng = np.random.default_rng(4)
    photons = light(rng, [(1.0, 2e4, 0.0), (0.2, 0.0, 0.0), (1.0, 2e4, 0.0), (5.0, 0.0, 0.0)])
    segments = ps.change_points(photons)
    assert len(segments) == 4
    assert np.allclose(segments.edges, [0, 1.0, 1.2, 2.2, 7.2], atol=5e-4)
    assert segments.counts[1] <= 1
    assert segments.counts[3] <= 1
    assert segments.counts.sum() == len(photons)


def test_pieces_and_shifted_times_change_nothing(tmp_path):
    rng = np.random.default_rng(6)
    photons = light(rng, [(0.5, 2e4, 20e-9), (0.5, 5e3, 8e-9), (0.5, 2e4, 20e-9)], nanotimes=True)
    whole = ps.change_points(photons, use_lifetime=True)
    parts = [photons.between(a, a + 0.3) for a in np.arange(5) * 0.3]
    again = ps.change_points(parts, use_lifetime=True)
    assert np.allclose(whole.edges, again.edges)
    assert whole.change_kinds == again.change_kinds
    later = ps.PhotonStream(photons.timestamps + 10**12, photons.detectors, timestamps_unit=1e-8, duration=1.5,
                            start=1e4)  # fmt: skip
    assert np.allclose(ps.change_points(later).edges - 1e4, ps.change_points(photons).edges, atol=1e-7)


def test_many_changes_are_found_with_few_false_ones():
    rng = np.random.default_rng(8)
    parts = [(float(d), 4e4 if i % 2 else 1e4, 0.0) for i, d in enumerate(rng.uniform(0.02, 0.1, 300))]
    segments = ps.change_points(light(rng, parts))
    truth = np.cumsum([p[0] for p in parts])[:-1]
    off = np.abs(segments.edges[1:-1][:, None] - truth)
    assert np.mean(off.min(axis=0) < 1e-3) > 0.98
    assert np.mean(off.min(axis=1) > 1e-3) < 0.02
    inside = [(segments.times_ci[:, 0] <= t) & (t <= segments.times_ci[:, 1]) for t in truth]
    assert 1e-3 < stats.binom.cdf(sum(x.any() for x in inside), truth.size, 0.95) < 0.9999


def test_penalised_segmentation_agrees_where_changes_are_clear():
    rng = np.random.default_rng(9)
    photons = light(rng, [(1.0, 3e4 if i % 2 else 8e3, 0.0) for i in range(12)])
    one, two = ps.change_points(photons), ps.change_points(photons, method="penalised")
    assert len(one) == len(two) == 12
    assert np.allclose(one.edges, two.edges, atol=2e-3)
    steady = light(rng, [(1.0, 2e4, 0.0)])
    assert len(ps.change_points(steady, method="penalised")) == 1


def test_dead_time_is_taken_from_the_clock():
    rng = np.random.default_rng(10)
    times = np.sort(rng.uniform(0, 1.0, 400))
    which = (rng.random(400) < 0.5).astype(np.uint8)
    dead = np.zeros(256)
    dead[:2] = 2e-3, 1e-3
    share = np.zeros(256)
    share[:2] = 0.5, 0.5
    live = np.empty(402)
    clock = np.concatenate([[0.0], times, [1.0]])
    event_kernels.live_times(clock, which, dead, share, 1.0, live)
    grid = np.linspace(0, 1, 200_001)
    sees = np.zeros(grid.size)
    for d in (0, 1):
        own = times[which == d]
        last = own[np.maximum(np.searchsorted(own, grid, side="right") - 1, 0)]
        sees += 0.5 * ((grid - last >= dead[d]) | (grid < own[0]))
    wanted = np.interp(clock, grid, np.concatenate([[0.0], np.cumsum(sees[:-1])]) * (grid[1] - grid[0]))
    assert np.allclose(live, wanted, atol=2e-4)


def test_dead_time_does_not_hide_the_contrast():
    rng = np.random.default_rng(13)
    photons = light(rng, [(1.0, 2e5, 0.0), (1.0, 1e5, 0.0)])
    kept, last = [], {0: -1.0, 1: -1.0}
    for i, (t, d) in enumerate(zip(photons.timestamps * 1e-8, photons.detectors, strict=True)):
        if t - last[int(d)] >= 2e-6:
            kept.append(i)
            last[int(d)] = t
    seen = ps.PhotonStream(photons.timestamps[kept], photons.detectors[kept], timestamps_unit=1e-8, duration=2.0)
    found = ps.change_points(seen, dead_time=2e-6)
    assert len(found) == 2
    assert abs(found.edges[1] - 1.0) < 1e-3


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_few_photons_are_one_segment(n):
    photons = ps.PhotonStream(np.arange(n) * 300, np.zeros(n, int), timestamps_unit=1e-3, duration=1.0)
    segments = ps.change_points(photons)
    assert len(segments) == 1
    assert segments.counts.tolist() == [n]
    assert segments.edges.tolist() == [0.0, 1.0]


@pytest.mark.parametrize("joint", [False, True])
def test_a_short_flash_in_a_long_trace_is_found(joint):
    rng = np.random.default_rng(17)
    found = 0
    for _ in range(40):
        photons = light(rng, [(5.0, 2000, 9e-9), (0.05, 4000, 9e-9), (5.0, 2000, 9e-9)], nanotimes=joint)
        edges = ps.change_points(photons, use_lifetime=joint).edges[1:-1]
        found += bool(edges.size) and min(abs(edges - 5.0)) < 0.02 and min(abs(edges - 5.05)) < 0.02
    assert found >= 30  # splitting alone finds 3 of them


def test_flashes_do_not_make_steady_light_change():
    rng = np.random.default_rng(18)
    false = [len(ps.change_points(light(rng, [(1.0, 20_000, 0.0)]))) > 1 for _ in range(300)]
    assert stats.binom.sf(sum(false) - 1, 300, 0.05) > 1e-3


def test_dead_time_keeps_the_false_positive_rate():
    rng = np.random.default_rng(19)
    false = 0
    for _ in range(200):
        waits = 1e-7 + rng.exponential(5e-7, 2000)  # at the end of the window the detector may be blind
        times = np.cumsum(waits)
        stop = times[-200] + rng.random() * 1e-7
        ticks = (times[times < stop] / 1e-9).astype(np.int64)
        photons = ps.PhotonStream(ticks, np.zeros(ticks.size, int), timestamps_unit=1e-9, duration=stop)
        false += len(ps.change_points(photons, dead_time=1e-7)) > 1
    assert stats.binom.sf(false - 1, 200, 0.05) > 1e-3


def test_a_dead_time_longer_than_the_waits_is_refused():
    photons = ps.PhotonStream(np.arange(1000), np.zeros(1000, int), timestamps_unit=1e-3, duration=1.0)
    with pytest.raises(ValueError, match=r"dead_time of detector 0 is 0\.1 s, but 999 of its 999 waits are shorter"):
        ps.change_points(photons, dead_time=0.1)


def test_known_background_takes_no_power():
    rng = np.random.default_rng(20)
    parts = [(1.0, 4000, 20e-9), (1.0, 4000, 8e-9)]
    found = [len(ps.change_points(light(rng, parts, nanotimes=True, background=0.5), use_lifetime=True,
                                  background={0: 800.0, 1: 1200.0})) > 1 for _ in range(40)]  # fmt: skip
    assert sum(found) == 40


@pytest.mark.parametrize("unit", [1e-5, 1e-4])
def test_a_coarse_clock_makes_no_changes(unit):
    rng = np.random.default_rng(15)
    false = [len(ps.change_points(light(rng, [(1.0, 5000, 0.0)], unit=unit))) > 1 for _ in range(200)]
    assert stats.binom.sf(sum(false) - 1, 200, 0.05) > 1e-3
    found = ps.change_points(light(rng, [(1.0, 5000, 0.0), (1.0, 2500, 0.0)], unit=unit))
    assert len(found) == 2
    assert abs(found.edges[1] - 1.0) < 0.02


def test_a_window_cut_at_its_first_and_last_photon_is_steady():
    rng = np.random.default_rng(16)
    ticks = np.cumsum(rng.integers(1, 10**6, 3000))
    photons = ps.PhotonStream(ticks - ticks[0], np.zeros(3000, int), timestamps_unit=1e-12,
                              duration=float(ticks[-1] - ticks[0]) * 1e-12)  # fmt: skip
    segments = ps.change_points(photons)
    assert len(segments) == 1
    assert segments.counts.tolist() == [3000]


def test_the_result_tells_its_changes():
    rng = np.random.default_rng(14)
    segments = ps.change_points(light(rng, [(1.0, 2000, 20e-9), (1.0, 6000, 8e-9)], nanotimes=True), use_lifetime=True)
    assert "changes: 1 both" in segments.summary()
    plain = segments.to_dict()
    assert plain["change_kinds"] == ["both"]
    assert plain["false_positive_rate"] == 0.05
    assert plain["p_lifetime"][0] < 1e-6


@pytest.mark.parametrize(
    ("settings_", "words"),
    [
        ({"false_positive_rate": 0.0}, "between 0 and 0.5"),
        ({"method": "window"}, '"recursive" or "penalised"'),
        ({"dead_time": -1.0}, "dead_time must be a time >= 0"),
        ({"use_lifetime": True}, "needs nanotimes"),
        ({"method": "penalised", "penalty": -3.0}, "penalty must be positive"),
    ],
)
def test_errors_say_what_to_do(settings_, words):
    photons = ps.PhotonStream([1, 2, 3], [0, 0, 0], timestamps_unit=1e-3, duration=1.0)
    with pytest.raises(ValueError, match=words):
        ps.change_points(photons, **settings_)
    with pytest.raises(ValueError, match="no recording"):
        ps.change_points([])


@pytest.mark.slow
@pytest.mark.parametrize(("n", "traces"), [(200, 20_000), (10_000, 3000), (1_000_000, 400)])
def test_false_positives_at_length(n, traces):
    rng = np.random.default_rng(n + 1)
    critical = critical_values(1)
    false = 0
    for _ in range(traces):
        times = np.concatenate([[0.0], np.cumsum(rng.exponential(size=n))])
        false += kernels.find_changes(times, NONE, NO_COST, 0.05, critical, TABLE).size > 0
    assert stats.binom.cdf(false, traces, 0.05) < 0.999
    assert false > 0.02 * traces  # windows and splits share the rate, and mostly see the same: 4 % in all


@pytest.mark.slow
@pytest.mark.parametrize("rate", [50, 1000, 20_000])
def test_false_positives_with_lifetimes_at_length(rate):
    rng = np.random.default_rng(rate)
    traces = 1000 if rate < 10_000 else 300
    false = [len(ps.change_points(light(rng, [(1.0, rate, 15e-9)], nanotimes=True), use_lifetime=True)) > 1
             for _ in range(traces)]  # fmt: skip
    assert stats.binom.cdf(sum(false), traces, 0.05) < 0.999
