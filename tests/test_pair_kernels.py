"""The pair kernels against readable loops: every pair, in the same bin, for any cut of the stream and any threads."""

from __future__ import annotations

import math
import threading
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import photonstats as ps
from photonstats.correlations import pairing
from photonstats.kernels import pairs as kernels

A, B = 2, 5
quick = settings(max_examples=150, deadline=None, derandomize=True)
periods = st.sampled_from([1.0, 7.0, 12.5, 16.000273, 1000.0 / 3.0])


@st.composite
def photon_lists(draw, most=60):
    """Photons of detectors a, b and another, crowded or thin, with ties; nanotimes go beyond the period."""
    gaps = draw(st.lists(st.sampled_from([0, 0, 1, 1, 2, 3, 7, 40]), min_size=1, max_size=most))
    start = draw(st.sampled_from([0, -13, 2**45]))
    n = len(gaps)
    times = start + np.cumsum(np.array(gaps, np.int64))
    detectors = np.array(draw(st.lists(st.sampled_from([A, B, B, A, 3]), min_size=n, max_size=n)), np.uint8)
    nanotimes = np.array(draw(st.lists(st.integers(0, 40), min_size=n, max_size=n)), np.uint16)
    return times, nanotimes, detectors


def lags_of(times, nanotimes, detectors, a, b, first, last, reach, period, delay):
    for i in range(first, last):
        for j in range(i):
            if times[i] - times[j] > reach or {detectors[i], detectors[j]} != {a, b}:
                continue
            on_a, on_b = (i, j) if detectors[i] == a else (j, i)
            dn = int(nanotimes[on_b]) - int(nanotimes[on_a]) if nanotimes.size else 0
            yield float(times[on_b] - times[on_a]) * period + dn - delay


def lag_loop(*photons_to_delay, width, half):
    pairs = np.zeros(2 * half + 1, np.int64)
    for x in lags_of(*photons_to_delay):
        step = math.floor(abs(x) / width)
        pairs[2 * half if step >= half else half + step if x >= 0 else half - 1 - step] += 1
    return pairs


def peak_loop(times, nanotimes, detectors, a, b, first, last, reach, steps, lowest, n_peaks):
    pairs = np.zeros(n_peaks + 1, np.int64)
    for i in range(first, last):
        for j in range(i):
            if times[i] - times[j] > reach or {detectors[i], detectors[j]} != {a, b}:
                continue
            on_a, on_b = (i, j) if detectors[i] == a else (j, i)
            dn = int(nanotimes[on_b]) - int(nanotimes[on_a])
            peak = times[on_b] - times[on_a] + sum(dn >= e for e in steps) - len(steps) // 2 - lowest
            pairs[peak if 0 <= peak < n_peaks else n_peaks] += 1
    return pairs


def by_lag(photons, a, b, first, last, reach, period, delay, width, half):
    pairs, counts = np.zeros(2 * half + 1, np.int64), np.zeros(2, np.int64)
    times, nanotimes, detectors = photons
    kernels.lag_pairs(
        times, nanotimes, detectors, a, b, first, last, reach, period, delay, width, pairs, counts
    )  # fmt: skip
    return pairs, counts


def by_peak(photons, a, b, first, last, reach, steps, lowest, n_peaks):
    pairs, counts = np.zeros(n_peaks + 1, np.int64), np.zeros(2, np.int64)
    times, nanotimes, detectors = photons
    kernels.pulsed_pairs(times, nanotimes, detectors, a, b, first, last, reach, np.array(steps), lowest, pairs, counts)
    return pairs, counts


def random_photons(n, rate, seed, ticks=16):
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.geometric(rate, n) - 1)
    detectors = rng.choice(np.array([A, B, 3], np.uint8), n, p=[0.5, 0.4, 0.1])
    return times, rng.integers(0, ticks, n).astype(np.uint16), detectors


@quick
@given(photon_lists(), st.data())
def test_lags_are_those_of_the_loop(photons, data):
    period, width = data.draw(periods), data.draw(st.sampled_from([1.0, 2.0, 0.5, 3.7, 1.0 / 3.0, 250.0]))
    delay = data.draw(st.sampled_from([0.0, 1.0, -2.5, 16.0, 0.1]))
    reach, half = data.draw(st.integers(0, 90)), data.draw(st.integers(1, 40))
    n = photons[0].size
    first = data.draw(st.integers(0, n))
    if data.draw(st.booleans()):
        photons = photons[0], np.zeros(0, np.uint16), photons[2]
    pairs, counts = by_lag(photons, A, B, first, n, reach, period, delay, width, half)
    expected = lag_loop(*photons, A, B, first, n, reach, period, delay, width=width, half=half)
    # which of the pairs off the grid were looked at is the kernel's own affair
    np.testing.assert_array_equal(pairs[:-1], expected[:-1])
    new = photons[2][first:]
    assert counts.tolist() == [np.sum(new == A), np.sum(new == B)]


@quick
@given(photon_lists(), st.data())
def test_lags_mirror_under_swap_to_the_last_pair(photons, data):
    period, width = data.draw(periods), data.draw(st.sampled_from([1.0, 2.0, 3.7]))
    delay, half = data.draw(st.sampled_from([0.0, 0.5, 2.0, -3.25])), data.draw(st.integers(1, 40))
    n = photons[0].size
    one, _ = by_lag(photons, A, B, 0, n, 60, period, delay, width, half)
    two, _ = by_lag(photons, B, A, 0, n, 60, period, -delay, width, half)
    at_zero = sum(x == 0 for x in lags_of(*photons, A, B, 0, n, 60, period, delay))  # has no mirror image
    mirrored = two[:-1][::-1].copy()
    mirrored[half - 1] -= at_zero
    mirrored[half] += at_zero
    np.testing.assert_array_equal(one[:-1], mirrored)


@quick
@given(photon_lists(), st.data())
def test_peaks_are_those_of_the_loop(photons, data):
    n_peaks, reach = data.draw(st.integers(1, 9)), data.draw(st.integers(0, 50))
    lowest = data.draw(st.integers(-8, 4))
    steps = sorted(data.draw(st.lists(st.integers(-45, 45), min_size=2, max_size=2)) * data.draw(st.integers(1, 2)))
    n = photons[0].size
    first = data.draw(st.integers(0, n))
    pairs, counts = by_peak(photons, A, B, first, n, reach, steps, lowest, n_peaks)
    expected = peak_loop(*photons, A, B, first, n, reach, steps, lowest, n_peaks)
    np.testing.assert_array_equal(pairs[:-1], expected[:-1])
    new = photons[2][first:]
    assert counts.tolist() == [np.sum(new == A), np.sum(new == B)]


@quick
@given(photon_lists(40), st.data())
def test_pairs_below_an_edge_are_those_of_the_loop(photons, data):
    times, nanotimes, detectors = photons
    period, delay = data.draw(periods), data.draw(st.sampled_from([0.0, 1.0, -2.5]))
    edges = np.sort(np.array(data.draw(st.lists(st.integers(-60, 60), min_size=1, max_size=6)), float))
    lists = []
    for d in (A, B):
        t, n = times[detectors == d], nanotimes[detectors == d].astype(np.int64)
        order = np.argsort((t - times[0]) * period + n, kind="stable")
        lists += [t[order], n[order]]
    below = np.zeros(edges.size, np.int64)
    kernels.edge_pairs(*lists, period, delay, edges, below)
    times_a, nanos_a, times_b, nanos_b = lists
    x = (times_b[:, None] - times_a) * period + (nanos_b[:, None] - nanos_a) - delay
    assert below.tolist() == [int(np.sum(x < e)) for e in edges]


@pytest.mark.parametrize("rate", [0.9, 0.3, 0.02])
@pytest.mark.parametrize("size", [kernels.BLOCK, kernels.BLOCK + 1, 2 * kernels.BLOCK + 77])
def test_many_blocks_are_one(size, rate):
    """Pairs across blocks; many and few partners take different ways through the kernel."""
    photons = random_photons(size, rate, 3)
    times, nanotimes, detectors = photons
    pairs, counts = by_lag(photons, A, B, 0, size, 6, 12.5, 3.0, 2.0, 35)
    peaks, _ = by_peak(photons, A, B, 0, size, 6, [-6, 7], -4, 9)
    lags, pulses = np.zeros(71, np.int64), np.zeros(10, np.int64)
    for s in range(1, size):
        near = np.flatnonzero(times[s:] - times[:-s] <= 6)
        if near.size == 0:
            break
        for late, early, sign in ((A, B, -1), (B, A, 1)):
            q = near[(detectors[near + s] == late) & (detectors[near] == early)]
            dt, dn = sign * (times[q + s] - times[q]), sign * (nanotimes[q + s].astype(int) - nanotimes[q])
            x = dt * 12.5 + dn - 3.0
            step = np.minimum(np.floor(np.abs(x) / 2.0), 35).astype(int)
            np.add.at(lags, np.where(step >= 35, 70, np.where(x >= 0, 35 + step, 34 - step)), 1)
            at = dt + (dn >= -6) + (dn >= 7) - 1 + 4
            np.add.at(pulses, np.where((at >= 0) & (at < 9), at, 9), 1)
    assert lags[:-1].sum() > 100
    assert pairs.tolist() == lags.tolist()
    assert peaks.tolist() == pulses.tolist()
    assert counts.tolist() == [np.sum(detectors == A), np.sum(detectors == B)]


@quick
@given(st.lists(st.integers(1, 3 * kernels.BLOCK), max_size=5), st.sampled_from([0.8, 0.1]))
def test_ranges_add_up(cuts, rate):
    size = 3 * kernels.BLOCK
    photons = random_photons(size, rate, 11)
    whole = by_lag(photons, A, B, 0, size, 5, 12.5, 0.0, 2.0, 30)
    bounds = [0, *sorted(cuts), size]
    parts = [by_lag(photons, A, B, i, j, 5, 12.5, 0.0, 2.0, 30) for i, j in pairwise(bounds)]
    for k in (0, 1):
        np.testing.assert_array_equal(sum(p[k] for p in parts), whole[k])


@pytest.mark.parametrize("cores", [1, 2, 7])
def test_threads_do_not_change_the_answer(monkeypatch, cores):
    times, nanotimes, detectors = random_photons(200_000, 0.2, 7)
    photons = ps.PhotonStream(
        times, np.where(detectors == A, 0, 1), nanotimes, timestamps_unit=16e-9, tcspc_unit=1e-9, duration=0.02
    )

    def answers():
        return ps.g2(photons, 400e-9, 4e-9), ps.g2_pulsed(photons, 10)

    alone = answers()
    monkeypatch.setattr(pairing, "_THREADED", 1000)
    monkeypatch.setattr(pairing.os, "cpu_count", lambda: cores)
    for one, other in zip(alone, answers(), strict=True):
        assert one.pairs.sum() > 1000
        np.testing.assert_array_equal(one.pairs, other.pairs)
        assert one.delay == other.delay
        assert one.rates == other.rates


def test_ranges_cover_a_segment_once(monkeypatch):
    monkeypatch.setattr(pairing, "_THREADED", 10)
    blank = np.zeros(0)
    for first, last in ((0, 0), (3, 4), (3, 12), (0, 1001)):
        ranges = pairing.split(pairing.Segment(blank, blank, blank, first, last), 4)
        assert [i for part in ranges for i in range(*part)] == list(range(first, last))
        assert len(ranges) <= 4


@pytest.mark.parametrize("cores", [1, 2])
def test_each_range_is_taken_once(monkeypatch, cores):
    monkeypatch.setattr(pairing, "_THREADED", 1)
    monkeypatch.setattr(pairing.os, "cpu_count", lambda: cores)
    ranges = [(i, i + 1) for i in range(1000)]
    taken = pairing.in_threads(list, ranges)
    assert len(taken) == cores
    assert sorted(part for each in taken for part in each) == ranges


@pytest.mark.parametrize("mine", [False, True])
def test_an_error_in_either_thread_is_raised(monkeypatch, mine):
    monkeypatch.setattr(pairing, "_THREADED", 1)
    monkeypatch.setattr(pairing.os, "cpu_count", lambda: 2)
    main = threading.current_thread()

    def fail(parts):
        if (threading.current_thread() is main) == mine:
            raise RuntimeError("no more")
        return list(parts)

    with pytest.raises(RuntimeError, match="no more"):
        pairing.in_threads(fail, [(0, 5), (5, 10)])


def test_widths_of_a_lattice_are_counts_of_its_points():
    """Against a list of all lags of pulses and nanotimes, weighted as steady light meets them."""
    for period, delay, width, half in ((7.0, 0.0, 4.0, 9), (12.5, 3.3, 2.5, 20), (100.25, -31.0, 16.0, 30)):
        widths = np.zeros(2 * half)
        kernels.lattice_widths(period, delay, width, widths)
        pulses = np.arange(-400, 401)[:, None] * period
        dn = np.arange(1 - np.ceil(period), np.ceil(period))
        x = (pulses + dn - delay).ravel()
        weight = np.broadcast_to(1 - np.abs(dn) / period, (801, dn.size)).ravel()
        step = np.floor(np.abs(x) / width)
        place = np.where(x >= 0, half + step, half - 1 - step).astype(int)
        kept = step < half
        np.testing.assert_allclose(widths, np.bincount(place[kept], weight[kept], 2 * half), rtol=1e-12)
        assert widths.mean() == pytest.approx(width, rel=0.02)
