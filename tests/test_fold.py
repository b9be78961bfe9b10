"""Folding T2 with recorded laser pulses into T3."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from photonstats.errors import AnalysisWarning
from photonstats.io.folding import fold
from photonstats.stream import Markers, PhotonStream


def quiet_fold(*args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AnalysisWarning)
        return fold(*args, **kwargs)


def laser(rng, n_pulses, period=12_500.3, jitter=20.0):
    """Return the ticks of laser pulses."""
    return np.rint(np.arange(n_pulses) * period + rng.uniform(-jitter, jitter, n_pulses) + jitter).astype(np.int64)


def t2(rng, pulses, n, *, keep=None, least=0, **more):
    """Return a T2 stream of photons with known pulse and delay, and that truth."""
    number = np.sort(rng.integers(0, pulses.size - 1, n))
    delay = rng.integers(least, 12_000, n)
    order = np.argsort(pulses[number] + delay, kind="stable")
    number, delay = number[order], delay[order]
    times = pulses[number] + delay
    syncs = pulses if keep is None else pulses[keep]
    stream = PhotonStream(
        times,
        rng.integers(0, 2, n),
        timestamps_unit=1e-12,
        duration=float(pulses[-1] + 20_000) * 1e-12,
        syncs=syncs,
        **more,
    )
    return stream, number, delay


def test_every_photon_gets_its_pulse_and_delay():
    rng = np.random.default_rng(1)
    pulses = laser(rng, 20_000)
    photons, number, delay = t2(rng, pulses, 5_000)
    folded = fold(photons)
    np.testing.assert_array_equal(folded.timestamps, number)
    np.testing.assert_array_equal(folded.nanotimes, delay)
    np.testing.assert_array_equal(folded.detectors, photons.detectors)
    assert folded.timestamps_unit == folded.laser_period == pytest.approx(12_500.3e-12, rel=1e-6)
    assert folded.tcspc_unit == 1e-12
    assert folded.duration == photons.duration
    assert folded.pulse_clock


@pytest.mark.parametrize("share", [0.05, 0.6, 0.9])
def test_pulse_numbers_stay_true_where_sync_pulses_were_missed(share):
    rng = np.random.default_rng(2)
    pulses = laser(rng, 40_000, jitter=0.5)
    keep = rng.random(pulses.size) > share
    keep[[0, -1]] = True
    photons, number, delay = t2(rng, pulses, 5_000, keep=keep)
    with pytest.warns(AnalysisWarning, match=rf"{np.count_nonzero(~keep)} sync pulses .* were missed"):
        folded = fold(photons)
    np.testing.assert_array_equal(folded.timestamps, number)
    assert np.abs(folded.nanotimes.astype(int) - delay).max() <= 2
    at_recorded = keep[number]
    np.testing.assert_array_equal(folded.nanotimes[at_recorded], delay[at_recorded])


def test_a_long_gap_in_the_sync_is_bridged():
    rng = np.random.default_rng(3)
    pulses = laser(rng, 300_000, jitter=5.0)
    keep = np.ones(pulses.size, bool)
    keep[100_000:200_000] = False
    photons, number, _ = t2(rng, pulses, 5_000, keep=keep)
    folded = quiet_fold(photons)
    np.testing.assert_array_equal(folded.timestamps, number)


def test_a_period_given_finds_pulses_where_nearly_all_are_missing():
    rng = np.random.default_rng(4)
    pulses = laser(rng, 200_000, jitter=20.0)
    keep = rng.random(pulses.size) < 0.002
    keep[0] = True
    keep[7] = keep[8] = True
    photons, number, _ = t2(rng, pulses, 3_000, keep=keep, least=100)
    folded = quiet_fold(photons, laser_period=12_450e-12)  # 0.4 % off, gaps of thousands of periods
    np.testing.assert_array_equal(folded.timestamps, number)


@pytest.mark.parametrize("divider", [2, 8])
def test_a_divided_sync_is_multiplied(divider):
    rng = np.random.default_rng(5)
    pulses = laser(rng, 32_001, jitter=0.5)
    photons, number, delay = t2(rng, pulses, 5_000)
    photons = PhotonStream(
        photons.timestamps,
        photons.detectors,
        timestamps_unit=1e-12,
        duration=photons.duration,
        syncs=pulses[::divider],
    )
    folded = fold(photons, divider=divider)
    np.testing.assert_array_equal(folded.timestamps, number)
    assert np.abs(folded.nanotimes.astype(int) - delay).max() <= 2
    assert folded.laser_period == pytest.approx(12_500.3e-12, rel=1e-6)


def brute(times, syncs, period, divider, first, factor):
    """Fold photon by photon."""
    numbers, delays = [], []
    for t in times:
        j = max(k for k in range(len(syncs)) if syncs[k] <= t)
        number = first
        for k in range(j):
            number += round((syncs[k + 1] - syncs[k]) / period) * divider
        last = j + 1 == len(syncs)
        n = 10**6 if last else round((syncs[j + 1] - syncs[j]) / period) * divider
        step = period / divider if last else (syncs[j + 1] - syncs[j]) / n
        m = max(m for m in range(min(n, 200)) if syncs[j] + round(m * step) <= t)
        numbers.append(number + m)
        delays.append((t - syncs[j] - round(m * step)) // factor)
    return numbers, delays


@settings(max_examples=80)
@given(
    gaps=st.lists(st.tuples(st.integers(1, 4), st.integers(-3, 3)), min_size=1, max_size=12),
    times=st.lists(st.integers(0, 4000), max_size=30),
    divider=st.integers(1, 3),
    factor=st.integers(1, 5),
)
def test_kernel_is_the_plain_loop(gaps, times, divider, factor):
    from photonstats.kernels.fold import fold_times

    syncs = np.cumsum([0] + [100 * k + jitter for k, jitter in gaps])
    times = np.sort(np.array(times, np.int64))
    pulses, delays = np.empty(times.size, np.int64), np.empty(times.size, np.uint16)
    fold_times(times, syncs, 100.0, divider, 7, factor, pulses, delays)
    expected = brute(times.tolist(), syncs.tolist(), 100.0, divider, 7, factor)
    assert (pulses.tolist(), delays.tolist()) == expected


def test_pulses_between_divided_syncs_lie_on_whole_ticks():
    photons = PhotonStream(np.arange(100), np.zeros(100, int), timestamps_unit=1e-9, duration=2e-7, syncs=[0, 100, 200])
    folded = fold(photons, divider=3)  # pulses at 0, 33, 67, 100
    assert np.flatnonzero(folded.nanotimes == 0).tolist() == [0, 33, 67]
    assert np.flatnonzero(np.diff(folded.timestamps)).tolist() == [32, 66]


def test_sync_on_a_detector():
    rng = np.random.default_rng(6)
    pulses = laser(rng, 5_000)
    photons, number, delay = t2(rng, pulses, 2_000)
    times = np.concatenate([pulses, photons.timestamps])
    detectors = np.concatenate([np.zeros(pulses.size, int), photons.detectors + 1])
    order = np.argsort(times, kind="stable")
    mixed = PhotonStream(times[order], detectors[order], timestamps_unit=1e-12, duration=photons.duration)
    folded = fold(mixed, sync=0)
    np.testing.assert_array_equal(folded.timestamps, number)
    np.testing.assert_array_equal(folded.nanotimes, delay)
    assert folded.counts_per_detector == {d + 1: n for d, n in photons.counts_per_detector.items()}


def test_photons_before_the_first_pulse_are_dropped_and_counted():
    photons = PhotonStream([3, 20, 115], [0, 1, 2], timestamps_unit=1e-9, duration=4e-7, syncs=[10, 110, 210, 310])
    with pytest.warns(AnalysisWarning, match="2 photons before the first sync|1 photons before the first sync"):
        folded = fold(photons)
    assert folded.timestamps.tolist() == [0, 1]
    assert folded.nanotimes.tolist() == [10, 5]
    assert folded.detectors.tolist() == [1, 2]


def test_numbers_start_at_the_time_of_the_first_pulse():
    times = np.arange(1000) * 100 + 50_000
    photons = PhotonStream(times + 3, times * 0, timestamps_unit=1e-9, start=5e-5, duration=1e-4, syncs=times)
    folded = fold(photons)
    assert folded.timestamps[0] == 500
    assert folded.start == photons.start
    assert np.abs(folded.arrival_times - photons.arrival_times).max() < 1e-12


def test_photons_after_the_last_pulse_are_folded_with_the_mean_period():
    photons = PhotonStream([205, 480], [0, 0], timestamps_unit=1e-9, duration=5e-7, syncs=[0, 100, 200])
    with pytest.warns(AnalysisWarning, match="2 sync pulses"):
        folded = fold(photons)
    assert folded.timestamps.tolist() == [2, 4]
    assert folded.nanotimes.tolist() == [5, 80]


def test_markers_move_with_the_photons():
    markers = Markers([5, 110, 250, 999], [1, 2, 4, 8])
    photons = PhotonStream(
        [150], [0], timestamps_unit=1e-9, duration=1e-6, syncs=np.arange(10, 1000, 100), markers=markers
    )
    folded = fold(photons)
    assert folded.markers.timestamps.tolist() == [-1, 1, 2, 9]
    assert folded.markers.bits.tolist() == [1, 2, 4, 8]


def test_long_periods_get_coarser_nanotimes():
    syncs = np.arange(100) * 1_000_000  # 1 MHz at 1 ps
    photons = PhotonStream([999_999, 1_000_015], [0, 0], timestamps_unit=1e-12, duration=1e-4, syncs=syncs)
    folded = fold(photons)
    assert folded.tcspc_unit == pytest.approx(16e-12)
    assert folded.nanotimes.tolist() == [999_999 // 16, 0]
    assert fold(photons, tcspc_unit=32e-12).nanotimes.tolist() == [999_999 // 32, 0]
    with pytest.raises(ValueError, match=r"tcspc_unit 4e-12 s is too short.* 1\.6e-11 s or more"):
        fold(photons, tcspc_unit=4e-12)
    with pytest.raises(ValueError, match="must be a whole multiple of the resolution of the recording, 1e-12 s"):
        fold(photons, tcspc_unit=16.5e-12)


def test_random_times_are_no_sync():
    rng = np.random.default_rng(7)
    syncs = np.cumsum(rng.exponential(1e4, 2000)).astype(np.int64)
    photons = PhotonStream([5], [0], timestamps_unit=1e-12, duration=1.0, syncs=syncs)
    with pytest.raises(ValueError, match=r"the sync is not periodic: \d+ of 1999 intervals .* Is this the laser"):
        fold(photons)


def test_one_stray_pulse_is_named():
    syncs = np.sort(np.append(np.arange(1000) * 10_000, 4_004_000))
    photons = PhotonStream([5], [0], timestamps_unit=1e-12, duration=1.0, syncs=syncs)
    with pytest.raises(ValueError, match=r"2 of 1000 intervals .*between sync pulses 40[01] and 40[12]"):
        fold(photons)


def test_pulses_that_stand_still_are_no_sync():
    photons = PhotonStream([5], [0], timestamps_unit=1e-12, duration=1.0, syncs=[3, 3, 3])
    with pytest.raises(ValueError, match="not periodic: 2 of 2"):
        fold(photons)


@pytest.mark.parametrize(
    ("photons", "settings", "message"),
    [
        (
            PhotonStream([1, 9], [0, 3], timestamps_unit=1e-12, duration=1.0),
            {},
            r"photons.syncs holds 0 sync pulses.* sync= \(rates of the detectors: 0: 1 Hz, 3: 1 Hz\)",
        ),
        (
            PhotonStream([1, 9], [0, 3], timestamps_unit=1e-12, duration=1.0),
            {"sync": 3},
            "detector 3 holds 1 sync pulses",
        ),
        (
            PhotonStream([1], [0], [1], timestamps_unit=1e-7, tcspc_unit=1e-12, duration=1.0),
            {},
            "have nanotimes already",
        ),
        (
            PhotonStream([1], [0], timestamps_unit=1e-12, duration=1.0, syncs=[1, 2]),
            {"divider": 0},
            "divider must be a whole number",
        ),
        (
            PhotonStream([1], [0], timestamps_unit=1e-12, duration=1.0, syncs=[1, 2]),
            {"laser_period": -1.0},
            "laser_period must be a positive time",
        ),
    ],
)
def test_what_cannot_be_folded_is_said(photons, settings, message):
    with pytest.raises(ValueError, match=message):
        fold(photons, **settings)


def test_no_photons():
    photons = PhotonStream([], [], timestamps_unit=1e-12, duration=1.0, syncs=[0, 100, 200])
    assert len(fold(photons)) == 0
