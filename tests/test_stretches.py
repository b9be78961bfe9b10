"""g2 and g2_pulsed on stretches of a recording: truth, brute force, sums of separate calls, invariances, messages."""

import math
import time
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import photonstats as ps

PERIOD, TICK, TICKS = 200e-9, 64e-12, 3125


def merged(times, detectors, seconds, start=0.0):
    """T3 photons from arrival times in seconds."""
    order = np.argsort(times)
    times, detectors = times[order], detectors[order]
    pulses = np.floor(times / PERIOD).astype(np.int64)
    nanotimes = np.clip((times - pulses * PERIOD) / TICK, 0, TICKS - 1).astype(np.int64)
    return ps.PhotonStream(
        pulses + round(start / PERIOD), detectors, nanotimes, timestamps_unit=PERIOD, tcspc_unit=TICK,
        duration=seconds, start=start,
    )  # fmt: skip


def switching_dot(rng, seconds, bright, dim, block, background, start=0.0):
    """Single photons per pulse at a bright or a dim rate, drawn anew for each block, and a steady background."""
    n = rng.poisson(bright * seconds)
    pulses = np.unique(rng.integers(0, round(seconds / PERIOD), n))
    on = rng.random(math.ceil(seconds / block)) < 0.5
    here = on[np.minimum((pulses * PERIOD / block).astype(int), on.size - 1)]
    pulses = pulses[here | (rng.random(pulses.size) < dim / bright)]
    n_dark = rng.poisson(2 * background * seconds)
    times = np.concatenate(
        [pulses * PERIOD + 20e-9 + rng.exponential(5e-9, pulses.size), rng.uniform(0, seconds, n_dark)]
    )
    times = times[times < seconds]
    return merged(times, rng.integers(0, 2, times.size), seconds, start), on


def poisson_light(rng, rate, seconds, start=0):
    n = rng.poisson(2 * rate * seconds)
    times = np.sort(rng.integers(0, round(seconds / 1e-9), n)) + start
    return ps.PhotonStream(times, rng.integers(0, 2, n), timestamps_unit=1e-9, duration=seconds, start=start * 1e-9)


def brute_g2(photons, stretches, edges_s, delay=0.0):
    """Pairs and expected pairs, stretch by stretch, with every pair looked at; ticks of T2 light."""
    unit = photons.timestamps_unit
    edges = edges_s / unit
    pairs, expected = np.zeros(edges.size - 1, int), np.zeros(edges.size - 1)
    inside = [photons.between(*s).counts_per_detector for s in stretches]
    most, ticks = max(sum(c.get(d, 0) for c in inside) for d in (0, 1)), np.diff(stretches).sum() / unit
    n = 1 if most * np.diff(edges).mean() < 0.1 * ticks else 8
    lag = edges[:-1, None] + np.diff(edges)[:, None] * (np.arange(n) + 0.5) / n + delay / unit
    for start, stop in stretches:
        low, high = math.ceil(start / unit - 1e-6), math.ceil(stop / unit - 1e-6)
        here = (photons.timestamps >= low) & (photons.timestamps < high)
        a, b = (photons.timestamps[here & (photons.detectors == d)] - low for d in (0, 1))
        pairs += np.histogram((b[:, None] - a[None, :]).ravel() - delay / unit, edges)[0]
        for i, tau in np.ndenumerate(lag):
            if abs(tau) < high - low:
                n_a = np.sum((a + tau >= 0) & (a + tau <= high - low))
                n_b = np.sum((b - tau >= 0) & (b - tau <= high - low))
                expected[i[0]] += n_a * n_b / (high - low - abs(tau)) * (edges[i[0] + 1] - edges[i[0]]) / n
    return pairs, expected


borders = st.lists(st.integers(0, 200), min_size=2, max_size=10, unique=True).map(
    lambda x: np.array(sorted(x)[: len(x) // 2 * 2], float).reshape(-1, 2)
)


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.integers(0, 199), st.integers(0, 1)), min_size=2, max_size=60), borders,
    st.integers(-20, 20), st.sampled_from([0, 10**12]), st.lists(st.integers(1, 199), max_size=4, unique=True),
)  # fmt: skip
def test_pairs_and_expected_are_those_of_brute_force(photons, stretches, delay, start, cuts):
    photons = sorted(photons)
    times, dets = (np.array(x) for x in zip(*photons, strict=True))
    for d in (0, 1):  # a photon of each inside the first stretch
        times, dets = np.append(times, stretches[0, 0]).astype(int), np.append(dets, d)
    order = np.argsort(times, kind="stable")
    unit, begin = 2.0**-30, start * 2.0**-30
    light = ps.PhotonStream(times[order] + start, dets[order], timestamps_unit=unit, duration=200 * unit, start=begin)
    stretches_s = (stretches + start) * unit
    bounds = [begin, *(begin + np.sort(cuts) * unit), begin + 200 * unit]
    pieces = [light.between(a, b) for a, b in pairwise(bounds)]
    found = ps.g2(pieces, 60 * unit, 3 * unit, detectors=(0, 1), delay=delay * unit, stretches=stretches_s)
    pairs, expected = brute_g2(light, stretches_s, found.lag_edges, delay * unit)
    np.testing.assert_array_equal(found.pairs, pairs)
    np.testing.assert_allclose(found.expected, expected, rtol=1e-9)
    assert found.duration == pytest.approx(np.diff(stretches, axis=1).sum() * unit)
    mirrored = ps.g2(light, 60 * unit, 3 * unit, detectors=(1, 0), delay=-delay * unit, stretches=stretches_s)
    np.testing.assert_array_equal(mirrored.pairs[::-1], found.pairs)
    np.testing.assert_allclose(mirrored.expected[::-1], found.expected, rtol=1e-9)


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 199), st.integers(0, 1), st.integers(0, 14)), min_size=2, max_size=60), borders,
    st.integers(-20, 20), st.sampled_from([0, 10**12]), st.lists(st.integers(1, 199), max_size=4, unique=True),
)  # fmt: skip
def test_peaks_are_those_of_brute_force(photons, stretches, delay, start, cuts):
    first = int(stretches[0, 0])
    rows = sorted([*photons, (first, 0, 0), (first, 1, 0)])
    pulses, dets, nanos = (np.array(x) for x in zip(*rows, strict=True))
    unit = 15 * 2.0**-30
    light = ps.PhotonStream(
        pulses + start, dets, nanos, timestamps_unit=unit, tcspc_unit=unit / 15, duration=200 * unit, start=start * unit
    )
    pieces = [light.between(a, b) for a, b in pairwise((start + np.array([0, *sorted(cuts), 200])) * unit)]
    options = {"delay": delay * unit / 15, "stretches": (stretches + start) * unit}
    found = ps.g2_pulsed(pieces, 4, detectors=(0, 1), **options)
    expected = np.zeros(9, int)
    for low, high in stretches:
        here = (pulses >= low) & (pulses < high)
        times = pulses * 15 + nanos
        lag = (times[here & (dets == 1)][:, None] - times[here & (dets == 0)][None, :]).ravel() - delay
        peak = np.floor(lag / 15 + 0.5).astype(int)
        expected += np.bincount(peak[np.abs(peak) <= 4] + 4, minlength=9)
    np.testing.assert_array_equal(found.pairs, expected)
    assert found._blocks.centres.sum() == found.pairs[4]
    assert found._blocks.seconds.sum() == pytest.approx(np.diff(stretches, axis=1).sum() * unit)
    whole = ps.g2_pulsed(light, 4, detectors=(0, 1), **options)
    np.testing.assert_allclose(found.expected_far, whole.expected_far, rtol=1e-9)
    assert found.g2_zero_err == pytest.approx(whole.g2_zero_err, nan_ok=True)


@pytest.mark.parametrize("start", [0.0, 1e5, 123.4567891])
def test_the_whole_recording_as_one_stretch_is_the_ungated_result(start):
    dot, _ = switching_dot(np.random.default_rng(1), 1.0, 4e4, 4e3, 20e-3, 500.0)
    light = ps.PhotonStream(
        dot.timestamps + math.ceil(start / PERIOD), dot.detectors, dot.nanotimes, timestamps_unit=PERIOD,
        tcspc_unit=TICK, duration=1.0000001, start=start,
    )  # fmt: skip
    whole = [(start, start + light.duration)]
    one, two = (ps.g2_pulsed(light, background=300.0, stretches=s) for s in (None, whole))
    assert one.to_dict() == two.to_dict()
    one, two = (ps.g2(light, 1e-6, 5e-9, background=300.0, stretches=s) for s in (None, whole))
    assert one.to_dict() == two.to_dict()
    wider = ps.g2(light, 1e-6, 5e-9, background=300.0, stretches=[(start - 5.0, start + 7.0)])
    assert one.to_dict() == wider.to_dict()
    assert "stretches" not in one.summary()
    assert "in 1 stretches of together 1 s" in wider.summary()


def test_a_photon_on_the_last_tick_belongs_to_the_stretch_that_reaches_it():
    light = ps.PhotonStream([3, 8, 10], [0, 1, 1], timestamps_unit=1e-9, duration=10e-9)
    bins = {"window": 8e-9, "bin_width": 1e-9, "delay": 0.0, "detectors": (0, 1)}
    one, two = (ps.g2(light, stretches=s, **bins) for s in (None, [(0.0, 10e-9)]))
    assert one.pairs.sum() == 2
    assert one.to_dict() == two.to_dict()
    assert ps.g2(light, stretches=[(0.0, 9e-9)], **bins).pairs.sum() == 1


@pytest.mark.parametrize("window", [1e-6, 20e-3])
def test_a_stretch_for_each_piece_is_the_sum_of_separate_calls(window):
    light = poisson_light(np.random.default_rng(2), 3e4, 0.4)
    bounds = np.array([0.0, 0.05, 0.2, 0.21, 0.4])
    cut = [light.between(a, b) for a, b in pairwise(bounds)]
    bins = {"window": window, "bin_width": window / 100, "detectors": (0, 1), "delay": 0.0, "background": 500.0}
    alone = [ps.g2(piece, **bins) for piece in cut]
    found = ps.g2(cut, stretches=np.stack([bounds[:-1], bounds[1:]], axis=1), **bins)
    for name in ("pairs", "expected", "pairs_background"):
        # the mean over a bin is taken at one point or at eight, by the mean rate
        np.testing.assert_allclose(getattr(found, name), sum(getattr(g, name) for g in alone), rtol=1e-5)


def test_peaks_of_a_stretch_for_each_piece_are_the_sum_of_separate_calls():
    light, _ = switching_dot(np.random.default_rng(3), 1.0, 6e4, 4e3, 20e-3, 500.0)
    bounds = np.array([0.0, 0.05, 0.2, 0.21, 0.6, 1.0])
    cut = [light.between(a, b) for a, b in pairwise(bounds)]
    options = {"detectors": (0, 1), "delay": 0.0, "background": 300.0, "gate": 2e-9}
    gates = ps.g2_pulsed(light, **options).open_fraction  # of the whole head, as with stretches
    alone = [ps.g2_pulsed(piece, **(options | {"gate": None})) for piece in cut]
    found = ps.g2_pulsed(cut, stretches=np.stack([bounds[:-1], bounds[1:]], axis=1), **(options | {"gate": None}))
    for name in ("pairs", "expected_far", "pairs_background"):
        np.testing.assert_allclose(getattr(found, name), sum(getattr(g, name) for g in alone), rtol=1e-9)
    gated = ps.g2_pulsed(light, stretches=[(0.1, 0.3)], **options)
    assert gated.open_fraction == gates


def test_bright_stretches_of_a_switching_dot_have_the_truth_of_the_bright_state():
    rng = np.random.default_rng(4)
    bright, background = 8e4, 3000.0
    photons, _ = switching_dot(rng, 10.0, bright, 4e3, 30e-3, background)
    stretches = ps.intensity_trace(photons, 10e-3).stretches(low=6e4)
    found = ps.g2_pulsed(photons, stretches=stretches, delay=0.0)
    share = bright / (bright + 2 * background)
    # bins that hold a border between blocks are mixed, and block borders are on bins: none
    truth = 1 - share**2
    assert abs(found.g2_zero - truth) < 4 * found.g2_zero_err
    assert abs(found.g2_zero_far - truth) < 4 * found.g2_zero_far_err
    assert abs(found.bunching - 1) < 4 * found.bunching_err
    assert found.bunching_err < 0.02
    corrected = found.corrected(background)
    assert abs(corrected.g2_zero) < 4 * corrected.g2_zero_err
    assert abs(corrected.bunching - 1) < 4 * corrected.bunching_err
    ungated = ps.g2_pulsed(photons, delay=0.0)
    assert ungated.bunching > 1.5
    dim = ps.g2_pulsed(photons, stretches=ps.intensity_trace(photons, 10e-3).stretches(high=3e4), delay=0.0)
    assert dim.g2_zero > 0.8  # 4 kHz of light on 6 kHz of background
    assert found.duration + dim.duration == pytest.approx(10.0, rel=0.01)


@pytest.mark.parametrize("start", [0, 10**15])
def test_steady_light_gives_one_at_every_lag(start):
    rng = np.random.default_rng(5)
    light = poisson_light(rng, 2e4, 4.0, start)
    bounds = start * 1e-9 + np.sort(rng.uniform(0, 4.0, 400)).reshape(-1, 2)
    found = ps.g2(light, 20e-3, 2e-4, delay=0.0, stretches=bounds)
    chi2 = np.sum((found.pairs - found.expected) ** 2 / found.expected)
    assert stats.chi2.sf(chi2, found.pairs.size) > 1e-3
    assert stats.chi2.cdf(chi2, found.pairs.size) > 1e-6
    assert found.rates[0] == pytest.approx(2e4, rel=0.02)


def test_background_of_stretches_of_different_brightness_is_taken_off():
    rng = np.random.default_rng(6)
    dark, parts, at = 8000.0, [], 0.0
    for rate in (4e4, 5e3, 9e4):
        n = rng.poisson(2 * rate * 1.0)
        parts.append(at + rng.uniform(0, 1.0, n))
        at += 1.0
    times = np.concatenate([*parts, rng.uniform(0, 3.0, rng.poisson(2 * dark * 3.0))])
    times = np.sort((times / 1e-9).astype(np.int64))
    light = ps.PhotonStream(times, rng.integers(0, 2, times.size), timestamps_unit=1e-9, duration=3.0)
    bounds = [(0.0, 1.0), (1.0, 2.0), (2.0, 3.0)]
    found = ps.g2(light, 1e-4, 2e-6, delay=0.0, background=dark, stretches=bounds)
    alone = [ps.g2(light.between(*b), 1e-4, 2e-6, delay=0.0, background=dark) for b in bounds]
    np.testing.assert_allclose(found.expected, sum(g.expected for g in alone), rtol=1e-5)
    chi2 = np.sum((found.g2 - 1) ** 2 / found.g2_err**2)
    assert stats.chi2.sf(chi2, found.pairs.size) > 1e-3
    step = 1.0
    again = found.corrected({0: dark, 1: dark}, background_err={0: 100.0, 1: 0.0})
    slope = (found.corrected({0: dark + step, 1: dark}).pairs_background - found.pairs_background) / step
    added = np.sqrt(again.g2_err**2 - found.g2_err**2) * found.expected / np.abs(found.g2 - 1)
    np.testing.assert_allclose(added, 100.0 * slope, rtol=1e-3)


def test_ten_thousand_stretches_take_seconds():
    rng = np.random.default_rng(7)
    light = poisson_light(rng, 1e4, 110.0)
    begin = np.arange(10_000) * 11e-3
    stretches = np.stack([begin, begin + 10e-3], axis=1)
    ps.g2(light, 1e-6, 1e-9, stretches=stretches[:2])
    began = time.perf_counter()
    found = ps.g2(light, 1e-6, 1e-9, stretches=stretches)
    assert time.perf_counter() - began < 10.0
    level = found.pairs.sum() / found.expected.sum()
    assert abs(level - 1) < 4 / math.sqrt(found.expected.sum())


def test_stretches_of_a_trace():
    trace = ps.IntensityTrace([9, 8, 1, 0, 7, 5, 0], 0.01, start=2.0)
    np.testing.assert_allclose(trace.stretches(low=500.0), [(2.0, 2.02), (2.04, 2.06)])
    np.testing.assert_allclose(trace.stretches(high=500.0), [(2.02, 2.04), (2.06, 2.07)])
    assert trace.stretches().tolist() == [[2.0, 2.07]]
    assert trace.stretches(low=1e6).shape == (0, 2)
    with pytest.raises(ValueError, match=r"stretches\(low=5.0, high=2.0\)"):
        trace.stretches(5.0, 2.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (partial(ps.g2, stretches=[]), "pairs \\(start, stop\\) in seconds"),
        (partial(ps.g2, stretches=np.zeros((0, 2))), "stretches is empty"),
        (partial(ps.g2, stretches=[(0.2, 0.1)]), "rise and not overlap"),
        (partial(ps.g2, stretches=[(0.1, 0.3), (0.2, 0.4)]), "rise and not overlap"),
        (partial(ps.g2, stretches=[(-2.0, -1.0)]), "lie before the recording"),
        (partial(ps.g2, stretches=[(7.0, 8.0)]), "outside of the recording"),
        (partial(ps.g2, stretches=[(0.5, 0.6)]), "hold no photons of detector 0"),
        (partial(ps.g2_pulsed, stretches=[(0.5, 0.6)]), "hold no photons of detector 0"),
        (partial(ps.g2_pulsed, stretches=[(0.1, math.nan)]), "in seconds"),
        (partial(ps.g2_pulsed, stretches=[(7.0, 8.0)]), "outside of the recording"),
        (partial(ps.g2_pulsed, stretches=[(1e30, 1e31)]), "beyond what timestamps"),
    ],
)
def test_messages(call, message):
    photons = ps.PhotonStream([1, 2, 3], [0, 1, 0], [1, 2, 3], timestamps_unit=1e-7, tcspc_unit=1e-10, duration=1.0)
    with pytest.raises(ValueError, match=message):
        call(photons, detectors=(0, 1))
