"""Traces: counts against a readable loop, whole bins, pieces, exact intervals."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import photonstats as ps


def stream_of(times, detectors=None, unit=1e-3, duration=None, start=0.0):
    times = np.sort(np.asarray(times, dtype=np.int64))
    detectors = np.zeros(times.size, np.uint8) if detectors is None else detectors
    duration = (times[-1] + 1) * unit - start if duration is None else duration
    return ps.PhotonStream(times, detectors, timestamps_unit=unit, duration=duration, start=start)


def cut_in_pieces(photons, cuts):
    edges = [photons.start, *sorted(cuts), photons.start + photons.duration]
    return [photons.between(a, b) for a, b in pairwise(edges) if b > a]


@given(
    times=st.lists(st.integers(0, 999), max_size=60),
    bin_ticks=st.integers(1, 400),
    wanted=st.sampled_from([None, 0, (1,), (0, 2)]),
    cuts=st.lists(st.integers(1, 999), max_size=3),
)
def test_counts_are_those_of_a_readable_loop(times, bin_ticks, wanted, cuts):
    times = sorted(times)
    detectors = [t % 3 for t in times]
    photons = stream_of(times, detectors, duration=1.0)
    chosen = {0, 1, 2} if wanted is None else set(np.atleast_1d(wanted).tolist())
    n_bins = 1000 // bin_ticks
    expected = [0] * n_bins
    for t, d in zip(times, detectors, strict=True):
        if t // bin_ticks < n_bins and d in chosen:
            expected[t // bin_ticks] += 1
    trace = ps.intensity_trace(photons, bin_ticks * 1e-3, wanted)
    assert trace.counts.tolist() == expected
    pieces = cut_in_pieces(photons, {c * 1e-3 for c in cuts})
    assert ps.intensity_trace(iter(pieces), bin_ticks * 1e-3, wanted).counts.tolist() == expected


def test_a_partial_last_bin_is_left_out():
    trace = ps.intensity_trace(stream_of([1, 2, 24], duration=0.025), 0.01)
    assert trace.counts.tolist() == [2, 0]
    assert trace.duration == pytest.approx(0.02)


@pytest.mark.parametrize("start", [0.0, 1e6])
def test_shifting_all_times_changes_nothing_but_the_axis(start):
    times = np.random.default_rng(1).integers(0, 1000, 200)
    here = ps.intensity_trace(stream_of(times, duration=1.0), 0.05)
    there = ps.intensity_trace(stream_of(times + round(start * 1000), duration=1.0, start=start), 0.05)
    assert np.array_equal(here.counts, there.counts)
    np.testing.assert_allclose(there.time - start, here.time, atol=1e-9)


def test_dark_seconds_at_both_ends_count():
    trace = ps.intensity_trace(stream_of([500], duration=1.0), 0.1)
    assert trace.counts.tolist() == [0, 0, 0, 0, 0, 1, 0, 0, 0, 0]
    assert trace.mean_rate == pytest.approx(1.0)


def test_real_bins_of_a_laser_clock_that_does_not_divide_them():
    rng = np.random.default_rng(2)
    unit = 12.4955e-9
    times = np.sort(rng.integers(0, int(1.0 / unit), 5000))
    photons = ps.PhotonStream(times, np.zeros(5000, int), timestamps_unit=unit, duration=1.0)
    expected, _ = np.histogram(times * unit, np.arange(101) * 0.01)
    assert np.array_equal(ps.intensity_trace(photons, 0.01).counts, expected)


def test_garwood_interval_of_the_rate_holds_the_truth():
    rng = np.random.default_rng(3)
    for mean in (0.5, 3.0, 30.0):
        trace = ps.IntensityTrace(rng.poisson(mean, 4000), 0.01)
        inside = np.mean((trace.rate_ci[:, 0] <= mean / 0.01) & (mean / 0.01 <= trace.rate_ci[:, 1]))
        assert stats.binom.sf(round(inside * 4000), 4000, 0.95) < 1 - 1e-3


def test_no_photons_and_one_photon():
    empty = ps.PhotonStream([], [], timestamps_unit=1e-3, duration=1.0)
    assert ps.intensity_trace(empty, 0.1).counts.tolist() == [0] * 10
    assert ps.intensity_trace(stream_of([3], duration=1.0), 0.5).counts.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("width", "message"),
    [
        (0.0, "positive time"),
        (np.nan, "positive time"),
        (2.0, "longer than the recording"),
        (1e-12, "bins; the most is"),
    ],
)
def test_impossible_bins_are_refused(width, message):
    with pytest.raises(ValueError, match=message):
        ps.intensity_trace(stream_of([1], duration=1.0), width)


def test_an_iterable_of_something_else_is_named():
    with pytest.raises(TypeError, match="found a int"):
        ps.intensity_trace([1, 2], 0.1)


def test_result_is_plain_json_and_prints():
    trace = ps.intensity_trace(stream_of([1, 2], duration=1.0), 0.5)
    assert trace.to_dict()["counts"] == [2, 0]
    assert "2 bins of 500 ms" in repr(trace)
