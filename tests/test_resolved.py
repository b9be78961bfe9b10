"""Decays of stretches, windows of intensity and bursts, and yields of levels."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import photonstats as ps
from photonstats import Decay, GaussianIRF, IntensityTrace, PhotonStream

NS = 1e-9


def blinking(rng, seconds=4.0, period=200 * NS, rates=(20e3, 4e3), taus=(20 * NS, 3 * NS), dwell=0.1):
    """Draw a dot that is bright and dim in turns of `dwell` s, with the pulse at 10 ns."""
    times, nano = [], []
    for k in range(round(seconds / dwell)):
        n = rng.poisson(rates[k % 2] * dwell)
        times.append(np.sort(rng.uniform(k * dwell, (k + 1) * dwell, n)))
        nano.append(10 * NS + rng.exponential(taus[k % 2], n) + rng.normal(0, 0.15 * NS, n))
    nano = np.concatenate(nano) % period
    return PhotonStream(
        (np.concatenate(times) / period).astype(np.int64), rng.integers(0, 2, nano.size).astype(np.uint8),
        (nano / 64e-12).astype(np.uint16), timestamps_unit=period, tcspc_unit=64e-12, laser_period=period,
        duration=seconds,
    )  # fmt: skip


def test_levels_have_the_lifetimes_that_made_them():
    photons = blinking(np.random.default_rng(1))
    edges = np.arange(41) * 0.1
    stretches = np.stack([edges[:-1], edges[1:]], axis=1)
    bright, dim = ps.decays_of_stretches(photons, stretches, np.arange(40) % 2)
    assert bright.n_photons + dim.n_photons == len(photons)
    assert (bright.duration, dim.duration) == (pytest.approx(2.0), pytest.approx(2.0))
    for curve, tau in ((bright, 20 * NS), (dim, 3 * NS)):
        fit = ps.fit_decay(curve, irf=GaussianIRF(0.15 * NS))
        assert abs(fit.lifetimes[0] - tau) < 4 * fit.lifetimes_err[0]
        assert fit.p_value > 1e-3


def test_windows_of_intensity_part_the_levels():
    photons = blinking(np.random.default_rng(2))
    dim, bright, all_of_it = ps.decays_of_intensity(photons, [(0, 10e3), (10e3, math.inf), (0, math.inf)], 20e-3)
    assert dim.n_photons + bright.n_photons == all_of_it.n_photons
    assert bright.duration == pytest.approx(2.0, abs=0.05)
    fits = ps.fit_decays([dim, bright], 2, irf=GaussianIRF(0.15 * NS), shared=("lifetimes", "shift"))
    assert np.all(np.abs(fits.lifetimes - np.array([3, 20]) * NS) < 4 * fits.lifetimes_err)
    assert fits.fractions[0, 0] > 0.98
    assert fits.fractions[1, 1] > 0.98
    trace = ps.intensity_trace(photons, 20e-3)
    again = ps.decays_of_intensity(iter([photons]), [(0, 10e3)], trace=trace, detectors=0, decay_bin_width=1e-9)
    assert again[0].bin_width == pytest.approx(16 * 64e-12)
    with pytest.raises(ValueError, match="give trace="):
        ps.decays_of_intensity(iter([photons]), [(0, 10e3)])


@settings(max_examples=20)
@given(cuts=st.lists(st.floats(0.01, 0.99), max_size=4), shift=st.integers(-(10**6), 10**9))
def test_neither_the_cuts_nor_the_origin_of_time_matter(cuts, shift):
    photons = blinking(np.random.default_rng(3), seconds=1.0)
    stretches = np.array([[0.05, 0.15], [0.31, 0.47], [0.9, 1.0]])
    whole = ps.decays_of_stretches(photons, stretches, [0, 1, 0], detectors=1)
    edges = [0.0, *sorted(set(cuts)), 1.0]
    parts = [photons.between(a, b) for a, b in pairwise(edges)]
    in_parts = ps.decays_of_stretches(iter(parts), stretches, [0, 1, 0], detectors=1)
    unit = photons.timestamps_unit
    moved = PhotonStream(
        photons.timestamps + shift, photons.detectors, photons.nanotimes, timestamps_unit=unit, tcspc_unit=64e-12,
        laser_period=unit, duration=1.0, start=shift * unit,
    )  # fmt: skip
    later = ps.decays_of_stretches(moved, stretches + shift * unit, [0, 1, 0], detectors=1)
    for a, b, c in zip(whole, in_parts, later, strict=True):
        assert np.array_equal(a.counts, b.counts)
        # a border in seconds of a late start may fall on the neighbouring pulse
        assert abs(a.n_photons - c.n_photons) <= 2
        assert a.duration == pytest.approx(b.duration)
        assert a.duration == pytest.approx(c.duration, abs=1e-6)


def test_only_recorded_time_counts():
    photons = blinking(np.random.default_rng(4), seconds=1.0)
    first, none = ps.decays_of_stretches(photons, [(-5.0, 0.2), (3.0, 4.0)], [0, 1])
    assert first.duration == pytest.approx(0.2)
    assert (none.n_photons, none.duration) == (0, None)
    assert len(ps.decays_of_stretches(photons, [(0.0, 0.1), (0.2, 0.3)], [-1, 1])) == 2


def test_bursts_are_joined_and_short_ones_left_out():
    trace = IntensityTrace([0, 9, 9, 0, 9, 0, 0, 0, 9, 9, 9], 0.01)
    assert ps.bursts(trace, 500.0).tolist() == pytest.approx(np.array([[0.01, 0.03], [0.04, 0.05], [0.08, 0.11]]))
    assert ps.bursts(trace, 500.0, max_gap=0.01) == pytest.approx(np.array([[0.01, 0.05], [0.08, 0.11]]))
    assert ps.bursts(trace, 500.0, min_duration=0.025) == pytest.approx(np.array([[0.08, 0.11]]))
    assert ps.bursts(trace, 5000.0).shape == (0, 2)


def test_ratio_of_yields_by_lifetime_and_by_brightness():
    rng = np.random.default_rng(5)
    irf = GaussianIRF(0.15 * NS)

    def ratio(rates, taus):
        bright, dim = ps.decays_of_stretches(
            blinking(rng, rates=rates, taus=taus), [(0.1 * k, 0.1 * (k + 1)) for k in range(40)], np.arange(40) % 2
        )
        return ps.quantum_yield_ratio(ps.fit_decay(dim, irf=irf), ps.fit_decay(bright, irf=irf))

    auger = ratio((20e3, 4e3), (20 * NS, 4 * NS))  # a nonradiative channel: both fall together
    assert abs(auger.from_lifetimes - 0.2) < 4 * auger.from_lifetimes_err
    assert abs(auger.from_rates - 0.2) < 4 * auger.from_rates_err
    hot = ratio((20e3, 4e3), (20 * NS, 20 * NS))  # carriers lost before the band edge: only the brightness falls
    assert abs(hot.from_lifetimes - 1.0) < 4 * hot.from_lifetimes_err
    assert abs(hot.from_rates - 0.2) < 4 * hot.from_rates_err
    assert hot.from_rates_ci[0] < 0.2 < hot.from_rates_ci[1]
    assert "standard errors apart" in hot.summary()


def test_rates_of_a_level():
    counts = np.random.default_rng(6).poisson(1000 * np.exp(-np.arange(200) / 20.0) + 2)
    fit = ps.fit_decay(Decay(counts, 1e-9), fit_range=(0, 200e-9))
    plain, parts = ps.decay_rates(fit), ps.decay_rates(fit, 0.4, 0.05)
    assert plain.total == pytest.approx(1 / fit.lifetimes[0])
    assert math.isnan(plain.radiative)
    assert parts.radiative + parts.nonradiative == pytest.approx(parts.total)
    assert parts.radiative_err == pytest.approx(math.hypot(0.4 * parts.total_err, 0.05 * parts.total))
    assert "nonradiative" in parts.summary()
    with pytest.raises(ValueError, match="between 0 and 1"):
        ps.decay_rates(fit, 1.4)


def test_messages():
    photons = blinking(np.random.default_rng(7), seconds=0.4)
    with pytest.raises(ValueError, match="must rise and not overlap"):
        ps.decays_of_stretches(photons, [(0.0, 0.2), (0.1, 0.3)])
    with pytest.raises(ValueError, match="labels must be"):
        ps.decays_of_stretches(photons, [(0.0, 0.2)], [0, 1])
    with pytest.raises(ValueError, match="labels must be"):
        ps.decays_of_stretches(photons, [(0.0, 0.2)], [math.nan])
    bare = PhotonStream([1], [0], timestamps_unit=1e-9, duration=1.0)
    with pytest.raises(ValueError, match="no nanotimes"):
        ps.decays_of_stretches(bare, [(0.0, 0.5)])


def test_time_between_pieces_was_not_recorded():
    photons = blinking(np.random.default_rng(8), seconds=1.0)
    parts = [photons.between(0.0, 0.2), photons.between(0.8, 1.0)]
    (found,) = ps.decays_of_stretches(iter(parts), [(0.1, 0.9)])
    assert found.duration == pytest.approx(0.2)


def test_a_stretch_over_everything_is_the_decay():
    photons = PhotonStream(
        [1, 5, 10], [0] * 3, [1] * 3, timestamps_unit=1e-7, tcspc_unit=1e-9, duration=0.85e-6, start=1.5e-7
    )
    (found,) = ps.decays_of_stretches(photons, [(photons.start, photons.start + photons.duration)])
    assert np.array_equal(found.counts, ps.decay(photons).counts)
    assert found.duration == pytest.approx(photons.duration)


@pytest.mark.parametrize("seed", range(5))
def test_one_pass_is_the_sum_of_masks(seed):
    rng = np.random.default_rng(seed)
    photons = blinking(rng, seconds=0.4)
    stretches, labels = np.sort(rng.uniform(0, 0.4, 40)).reshape(-1, 2), rng.integers(-1, 3, 20)
    first = np.ceil(stretches / photons.timestamps_unit)
    for k, found in enumerate(ps.decays_of_stretches(photons, stretches, labels, detectors=1)):
        mask = np.zeros(len(photons), bool)
        for low, high in first[labels == k]:
            mask |= (photons.timestamps >= low) & (photons.timestamps < high)
        assert np.array_equal(found.counts, ps.decay(photons[mask], detectors=1).counts)
