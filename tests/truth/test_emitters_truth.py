"""Number of emitters over set-ups drawn at random: named right, intervals that hold, probabilities that mean it."""

import numpy as np
import pytest
from scipy import stats

import photonstats as ps
from emitter_light import drawn_pairs, light
from photonstats.correlations.emitter_posterior import (
    different_likelihood,
    highest,
    normal_background,
    number_posterior,
    plateau_likelihood,
)


def shares_of(rng, n, spread):
    brightness = np.maximum(rng.normal(1.0, spread, n), 0.3)
    return brightness / brightness.sum()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_dots_of_many_set_ups_are_named_right(seed):
    """Pulses, lifetimes, biexcitons, blinking, delay, response, background: at least 95 % right but for chance."""
    rng = np.random.default_rng([31, seed])
    right, n_sets = 0, 14
    for _ in range(n_sets):
        n = int(rng.integers(1, 5))
        tau = 5e-9 * 8 ** rng.random()
        rate = 6e4
        background = rate / (10 * 10 ** rng.random()) / 2
        photons = light(
            rng, shares_of(rng, n, 0.2 * rng.random()), rate=rate, seconds=25.0,
            period=max(1e-7 * 10 ** rng.random(), 2.5 * tau), tau=tau, beta=rng.uniform(0.0, 0.5),
            tau_bx=min(0.3e-9 * 10 ** rng.random(), tau / 5), background=background, irf=rng.uniform(50e-12, 300e-12),
            delay=rng.uniform(0.0, 5e-9), split=rng.uniform(0.3, 0.5),
            blink=[None, (5e-3, 5e-3), (4e-3, 6e-3)][rng.integers(3)],
        )  # fmt: skip
        given = {0: background, 1: background} if rng.random() < 0.5 else None
        right += ps.estimate_emitters(photons, given).best == n
    assert stats.binomtest(right, n_sets, 0.95, alternative="less").pvalue > 0.01


@pytest.mark.slow
def test_intervals_of_the_effective_number_hold():
    rng = np.random.default_rng(32)
    held, n_sets = 0, 80
    for _ in range(n_sets):
        shares = shares_of(rng, rng.integers(2, 6), 0.15)
        pairs = drawn_pairs(
            rng, shares, photons=10 ** rng.uniform(4.0, 6.5), beta=rng.uniform(0.0, 0.6), dark=500.0,
            tau_bx=rng.uniform(0.3e-9, 3e-9),
        )  # fmt: skip
        given = normal_background(np.full(2, rng.normal(500.0, 10.0)), np.full(2, 10.0), pairs.photons[0] / 10.0)
        low, high = highest(*different_likelihood(pairs, plateau_likelihood(pairs, given))[:2])[2]
        held += low <= 1.0 - np.sum(shares**2) <= high
    assert stats.binomtest(held, n_sets, 0.95).pvalue > 0.005


@pytest.mark.slow
def test_nine_of_ten_that_are_called_with_nine_tenths_are_right():
    """Numbers 1 ... 10 alike, 1e3 to 1e7 photons: in classes of the probability as many are right as it says."""
    rng = np.random.default_rng(33)
    claimed, right = [], []
    for _ in range(100):
        n = int(rng.integers(1, 11))
        brightness = rng.gamma(1.0 / 0.15**2, size=n)
        pairs = drawn_pairs(
            rng, brightness / brightness.sum(), photons=10 ** rng.uniform(3.0, 7.0), beta=rng.uniform(), dark=300.0,
            tau_bx=20e-9 / rng.uniform(4.5, 40.0),
        )  # fmt: skip
        given = normal_background(np.full(2, 300.0), np.full(2, 5.0), pairs.photons[0] / 10.0)
        found = number_posterior(pairs, plateau_likelihood(pairs, given), np.full(10, 0.1))
        claimed.append(found.max())
        right.append(np.argmax(found) + 1 == n)
    claimed, right = np.array(claimed), np.array(right)
    for low, high in ((0.0, 0.4), (0.4, 0.7), (0.7, 0.95), (0.95, 1.01)):
        these = (claimed >= low) & (claimed < high)
        expected, spread = claimed[these].sum(), np.sqrt(np.sum(claimed[these] * (1 - claimed[these])))
        assert abs(right[these].sum() - expected) < 3.0 * spread + 1.0
