"""Delay between detectors: from decays, from the missing peak, from the dip; how often it is wrong."""

import numpy as np
import pytest
from scipy import stats

import photonstats as ps
from photonstats.correlations.delay import centre_peak, decay_offset, find_dip, peak_that_differs, rise_of
from test_correlation import antibunched, poisson_stream
from test_pulsed_g2 import PERIOD, TICK, TICKS, emitter, stream


def decay(rng, n, rise, lifetime, background, period=TICKS, sigma=3.0):
    light = rise + rng.exponential(lifetime, n) + rng.normal(0, sigma, n)
    every = np.concatenate([light % period, rng.uniform(0, period, background)])
    return np.bincount(every.astype(int), minlength=1)


@pytest.mark.parametrize(
    ("n", "lifetime", "sigma"), [(20_000, 300.0, 3.0), (2_000, 300.0, 20.0), (100_000, 1500.0, 5.0)]
)
def test_offset_of_decays_with_its_error(n, lifetime, sigma):
    rng = np.random.default_rng(1)
    pulls = []
    for _ in range(60):
        shift = rng.uniform(-400, 400)
        a = decay(rng, n, 1000.0, lifetime, n // 10, sigma=sigma)
        b = decay(rng, n // 2, 1000.0 + shift, lifetime, n // 3, sigma=sigma)
        found, error = decay_offset(a, b, TICKS)
        pulls.append((found - shift) / error)
    assert 0.7 < np.std(pulls) < 1.4
    assert abs(np.mean(pulls)) < 4 * np.std(pulls) / np.sqrt(60)


def test_flat_decays_give_no_offset():
    rng = np.random.default_rng(2)
    flat = [decay(rng, 0, 0.0, 1.0, 50_000) for _ in range(2)]
    assert decay_offset(*flat, TICKS) is None
    with pytest.raises(ValueError, match="flat"):
        rise_of(flat[0], TICKS)


@pytest.mark.parametrize("rise", [3.0, 1000.0, 3100.0])
def test_rise_is_the_time_of_the_pulse(rise):
    rng = np.random.default_rng(3)
    found, guard = rise_of(decay(rng, 200_000, rise, 300.0, 20_000, sigma=5.0), TICKS)
    assert abs((found - rise + TICKS / 2) % TICKS - TICKS / 2) < 4
    assert 10 < guard < 60


def test_equal_peaks_are_rarely_taken_for_a_centre():
    rng = np.random.default_rng(4)
    for mean in (1.0, 20.0, 500.0):
        wrong = np.mean([centre_peak(rng.poisson(mean, 41), -20, 12)[1] < 0.01 for _ in range(800)])
        assert wrong < 0.01 + 3 * np.sqrt(0.01 * 0.99 / 800)


@pytest.mark.parametrize("k", [-3, 0, 5])
def test_missing_or_extra_peak_is_found(k):
    rng = np.random.default_rng(5)
    peaks = rng.poisson(60.0, 41)
    for n in (15, 150):
        peaks[k + 20] = n
        assert centre_peak(peaks, -20, 6)[0] == k
        assert centre_peak(peaks, -20, 6)[1] < 1e-6


def test_flat_correlation_rarely_has_a_dip():
    rng = np.random.default_rng(6)
    for mean in (3.0, 100.0):
        expected = np.full(4000, mean)
        wrong = np.mean([find_dip(rng.poisson(expected), expected, 600)[2] < 0.01 for _ in range(300)])
        assert wrong < 0.01 + 3 * np.sqrt(0.01 * 0.99 / 300)


def test_choosing_the_centre_does_not_bias_light_without_a_dip():
    rng = np.random.default_rng(7)
    pulls = []
    for _ in range(60):
        n = 20_000
        pulses = np.sort(rng.integers(0, 10**6, n))
        nanotimes = np.minimum(rng.exponential(200, n), TICKS - 1).astype(int)
        found = ps.g2_pulsed(stream(pulses, rng.integers(0, 2, n), nanotimes, 10**6 * PERIOD))
        assert abs(found.delay) < PERIOD / 2
        assert "smallest delay" in found.delay_note
        pulls.append((found.g2_zero - 1) / found.g2_zero_err)
    assert abs(np.mean(pulls)) < 4 / np.sqrt(60)


@pytest.mark.parametrize("delay", [-333e-9, -90e-9, 0.0, 12.34e-9, 260e-9])
def test_delay_of_a_pulsed_emitter(delay):
    photons = emitter(np.random.default_rng(8), 4.0, 6e4, background=300.0, delay=delay)
    found = ps.g2_pulsed(photons)
    assert abs(found.delay - delay) < max(5 * found.delay_err, TICK)
    assert found.delay_err < 1e-9
    assert found.g2_zero < 0.2
    by_lag = ps.g2(photons, window=2e-6, bin_width=2e-9)
    assert abs(by_lag.delay - delay) < (0.2e-9 if abs(delay) < 100e-9 else PERIOD)


@pytest.mark.parametrize("delay", [-80e-9, 0.0, 17.2e-9])
def test_delay_of_a_continuous_dip(delay):
    photons = antibunched(np.random.default_rng(9), 0.3, 1e7, 20e-9, 0.02, delay=delay)
    found = ps.g2(photons)
    assert abs(found.delay - delay) < max(4 * found.delay_err, 0.5e-9)
    assert "centre of the dip" in found.delay_note
    fit = found.fit()
    assert abs(fit.g2_zero) < max(4 * fit.g2_zero_err, 0.05)


def test_continuous_light_without_a_dip_has_no_delay():
    found = ps.g2(poisson_stream(np.random.default_rng(10), 3e4, 3.0))
    assert found.delay == 0.0
    assert "no dip or excess" in found.delay_note


def test_given_delay_is_used_as_it_is():
    photons = emitter(np.random.default_rng(11), 1.0, 4e4, delay=30e-9)
    found = ps.g2_pulsed(photons, delay=31.5e-9)
    assert found.delay == pytest.approx(31.5e-9, rel=1e-12)
    assert found.delay_note == "as given"
    swapped = ps.g2_pulsed(photons, detectors=(1, 0))
    assert swapped.delay == pytest.approx(-ps.g2_pulsed(photons).delay, abs=TICK)
    far = ps.g2_pulsed(photons, n_pulses=3, delay=30e-9 + 40 * PERIOD)
    shifted = ps.g2_pulsed(photons, n_pulses=43, delay=30e-9)
    np.testing.assert_array_equal(far.pairs, shifted.pairs[80:])
    assert stats.norm.sf(abs(found.g2_zero) / found.g2_zero_err) > 1e-6


def test_the_note_says_plainly_where_the_centre_is():
    assert peak_that_differs(0, 2e-9) == "the peak there differs from its neighbours (p = 2e-09)"
    assert peak_that_differs(-1, 0.004) == "the peak -1 period from it differs from its neighbours (p = 0.004)"
    assert peak_that_differs(3, 0.004).startswith("the peak +3 periods from it differs")
