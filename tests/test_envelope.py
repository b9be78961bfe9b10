"""Side peaks that fall off with the lag: the near value of g2(0) when a dot blinks within a few pulses."""

import math

import numpy as np
import pytest

import photonstats as ps
from photonstats.correlations.envelope import find_envelope
from photonstats.correlations.peaks import Peaks, Scatter
from photonstats.correlations.pulsed import _near

PERIOD, TICK, TICKS = 200e-9, 64e-12, 3125


def together(rng, seconds, emitters, share, dwell, *, chance=0.01):
    """Emitters that switch on and off together, each giving a photon per pulse with `chance` while on; two arms."""
    n = round(seconds / PERIOD)
    n_turns = round(1.25 * seconds / dwell) + 10
    lengths = np.stack([np.ones(n_turns), np.full(n_turns, (1 - share) / share)], axis=1).ravel() * dwell
    turns = np.cumsum(lengths * rng.exponential(1.0, lengths.size))
    pulses = np.concatenate([np.sort(rng.choice(n, rng.binomial(n, chance), replace=False)) for _ in range(emitters)])
    if share < 1:
        pulses = pulses[np.searchsorted(turns, pulses * PERIOD) % 2 == 0]
    pulses.sort()
    nanotimes = np.clip(200 + rng.exponential(80, pulses.size), 0, TICKS - 1).astype(int)
    order = np.lexsort((nanotimes, pulses))
    return ps.PhotonStream(
        pulses[order], rng.integers(0, 2, pulses.size), nanotimes[order], timestamps_unit=PERIOD, tcspc_unit=TICK,
        duration=seconds,
    )  # fmt: skip


@pytest.mark.parametrize("seed", [1, 2])
def test_five_emitters_that_blink_within_microseconds(seed):
    photons = together(np.random.default_rng(seed), 1.0, 5, 0.5, 3e-6)
    found = ps.g2_pulsed(photons, delay=0.0)
    side = np.delete(found.pairs, 10).mean()
    assert found.pairs[10] / side > 1.0  # what the mean of the side peaks says
    assert abs(found.g2_zero - 0.8) < 3.5 * found.g2_zero_err
    assert found.g2_zero_err < 0.05
    assert found.envelope_p < 1e-6
    # P(on after k pulses | on) = (1 + exp(-2 k T_p / dwell)) / 2
    lag = np.abs(found.pulse_lag)
    truth = (1 + np.exp(-2 * lag * PERIOD / 3e-6)) / 2
    np.testing.assert_allclose(found.envelope / found.envelope[10], truth / truth[10], atol=0.06)
    assert "at lag 0, to which they rise" in found.summary()
    assert len(found.to_dict()["envelope"]) == 21


@pytest.mark.parametrize(("share", "dwell"), [(1.0, 1e-3), (0.5, 5e-3)])
def test_steady_and_slowly_blinking_light_keep_the_mean_of_the_side_peaks(share, dwell):
    photons = together(np.random.default_rng(4), 1.0, 5, share, dwell)
    found = ps.g2_pulsed(photons, delay=0.0)
    assert found.envelope is None
    assert math.isnan(found.envelope_p)
    assert found.g2_zero == pytest.approx(found.pairs[10] / np.delete(found.pairs, 10).mean())
    assert abs(found.g2_zero - 0.8) < 4 * found.g2_zero_err


def test_a_lower_first_side_peak_is_no_blinking():
    pairs = np.full(21, 1000)
    pairs[[9, 11]] = 500
    assert find_envelope(pairs, np.zeros(21)) is None


@pytest.mark.parametrize("pairs", [np.zeros(21), np.full(7, 1000), np.full(21, 3)])
def test_too_little_to_see_a_fall(pairs):
    assert find_envelope(pairs.astype(np.int64), np.zeros(pairs.size)) is None


def test_background_lies_under_the_envelope():
    lag = np.abs(np.arange(-10, 11))
    light = 4e4 * (1 + np.exp(-lag / 5.0))
    dark = np.full(21, 3e4)
    found = find_envelope(np.rint(light + dark).astype(np.int64), dark)
    net = np.delete(light, 10).mean()
    assert found.ratio == pytest.approx(light[10] / net, abs=3 * found.ratio_err)
    assert found.ratio_err < 0.02
    np.testing.assert_allclose(found.curve, (light + dark)[10:], rtol=0.02)


def check_coverage(n_runs, seed, g2, level, height, time):
    rng = np.random.default_rng(seed)
    lag = np.abs(np.arange(-10, 11))
    mean = level * (1 + height * np.exp(-lag / time))
    mean[10] *= g2
    inside, values, none = [], [], np.zeros(21)
    for _ in range(n_runs):
        pairs = rng.poisson(mean)
        peaks = Peaks(pairs, none, np.full(21, float(level)))
        value, _, (low, high) = _near(peaks, 0.0, Scatter(), find_envelope(pairs, none))
        inside.append(low <= g2 <= high)
        values.append(value)
    return np.mean(inside), (np.mean(values) - g2) / (np.std(values, ddof=1) / math.sqrt(n_runs))


COVERED = [
    (0.1, 1000, 0.0, 1.0),
    (0.8, 1000, 0.0, 1.0),
    (0.1, 1000, 1.0, 7.5),
    (0.8, 1000, 1.0, 7.5),
    (0.8, 1000, 1.0, 2.0),
    (0.8, 3000, 0.3, 3.0),
]


@pytest.mark.parametrize("case", COVERED[1:5:3])
def test_interval_with_an_envelope_holds_the_truth(case):
    inside, _ = check_coverage(100, 61, *case)
    assert inside > 0.95 - 3 * math.sqrt(0.95 * 0.05 / 100)


@pytest.mark.slow
@pytest.mark.parametrize("case", COVERED)
def test_interval_with_an_envelope_holds_the_truth_many(case):
    inside, bias = check_coverage(2000, 62, *case)
    assert 0.93 < inside < 0.975
    assert abs(bias) < 6  # in errors of the mean of 2000: 0.13 of one error bar


def check_streams(n_runs, seed, share, dwell):
    rng = np.random.default_rng(seed)
    found = [ps.g2_pulsed(together(rng, 0.4, 5, share, dwell), delay=0.0) for _ in range(n_runs)]
    return np.mean([f.g2_zero_ci[0] <= 0.8 <= f.g2_zero_ci[1] for f in found])


@pytest.mark.slow
@pytest.mark.parametrize(("share", "dwell"), [(1.0, 1e-3), (0.5, 3e-6), (0.5, 2e-3)])
def test_interval_of_photons_holds_the_truth(share, dwell):
    assert 0.92 < check_streams(250, 63, share, dwell) < 0.99  # blocks add some width where nothing blinks slowly
