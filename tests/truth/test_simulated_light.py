"""Simulated light against closed forms and against simulations of every pulse and every jump."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import integrate, stats

import photonstats as ps
from photonstats.simulate import Blinking, Emitter, Exponential, Level
from photonstats.simulate.expected import pulse_chances, pulse_moments

P_LEAST = 1e-3


def pairs_at(photons, lags, detectors=(0, 1)):
    """Return pairs (photon of the first detector in pulse p, of the second in pulse p + lag) for each lag."""
    first, n_first = np.unique(photons.timestamps[photons.detectors == detectors[0]], return_counts=True)
    second, n_second = np.unique(photons.timestamps[photons.detectors == detectors[1]], return_counts=True)
    found = []
    for lag in lags:
        at = np.searchsorted(second, first + lag).clip(max=second.size - 1)
        found.append(int(np.sum(n_first * n_second[at] * (second[at] == first + lag))))
    return np.array(found)


def near_p_value(photons, g2_zero, n_side=8):
    """Return the p-value of the central peak against g2_zero times the mean of n_side side peaks."""
    lags = [lag for lag in range(-n_side // 2, n_side // 2 + 1) if lag]
    centre, sides = pairs_at(photons, [0])[0], pairs_at(photons, lags).sum()
    return stats.binomtest(int(centre), int(centre + sides), g2_zero / (g2_zero + n_side)).pvalue


def histogram_p_value(counts, expected):
    """Return the chi-square p-value, with thin neighbouring bins joined."""
    expected = expected * counts.sum() / expected.sum()
    edges = np.unique(np.searchsorted(np.cumsum(expected), np.arange(0, expected.sum(), 20.0)))
    edges = edges[edges < counts.size]
    observed, mean = np.add.reduceat(counts, edges), np.add.reduceat(expected, edges)
    return stats.chi2.sf(np.sum((observed - mean) ** 2 / mean), mean.size - 1)


@pytest.mark.parametrize("n_emitters", [1, 2, 3])
def test_equal_emitters_give_one_minus_one_over_m(n_emitters):
    photons, truth = ps.simulate.pulsed(
        [Emitter(10e-9)] * n_emitters, duration=10.0, excitation=0.05, efficiency=0.25, seed=n_emitters
    )
    assert truth.g2_zero == pytest.approx(1 - 1 / n_emitters)
    if n_emitters == 1:
        assert pairs_at(photons, [0])[0] == 0
    else:
        assert near_p_value(photons, 1 - 1 / n_emitters) > P_LEAST


def test_unequal_emitters_give_one_minus_sum_of_squares():
    dots = [Emitter(10e-9), Emitter(10e-9, brightness=0.3)]
    photons, truth = ps.simulate.pulsed(dots, duration=20.0, excitation=0.05, efficiency=0.3, seed=4)
    assert truth.g2_zero == pytest.approx(1 - (1 + 0.09) / 1.3**2)
    assert near_p_value(photons, truth.g2_zero) > P_LEAST


def test_one_dot_gives_the_ratio_of_yields():
    dot = Emitter(10e-9, quantum_yield=0.8, biexciton_yield=0.24, biexciton_lifetime=1e-9)
    photons, truth = ps.simulate.pulsed(dot, duration=20.0, excitation=0.02, efficiency=0.9, seed=5)
    assert truth.g2_zero == pytest.approx(0.3, rel=0.02)
    assert near_p_value(photons, truth.g2_zero) > P_LEAST


def test_gate_removes_the_biexciton_as_in_the_monte_carlo_table():
    gates = [0.0, 1e-9, 2e-9, 4e-9, 6e-9]
    table = [0.485, 0.333, 0.227, 0.105, 0.048]
    dot = Emitter(20e-9, biexciton_yield=0.5, biexciton_lifetime=2e-9)
    photons, truth = ps.simulate.pulsed(
        dot, duration=10.0, laser_period=400e-9, excitation=0.2, efficiency=0.5, tcspc_unit=50e-12, seed=6
    )
    np.testing.assert_allclose(truth.gated_g2_zero(gates), table, atol=0.004)
    for gate, expected in zip(gates, truth.gated_g2_zero(gates), strict=True):
        assert near_p_value(photons.gate(gate), expected) > P_LEAST


def test_three_emitters_on_two_fifths_of_the_time_look_like_1_8_near_and_3_far():
    blinking = Blinking([Level(), Level(0.0)], [Exponential(4e-3), Exponential(6e-3)])
    dots = [Emitter(10e-9, blinking=blinking)] * 3
    photons, truth = ps.simulate.pulsed(dots, duration=60.0, excitation=0.1, efficiency=0.1, seed=7)
    # 60 s hold about 6000 independent stretches: the ensemble values hold to a few percent
    assert 1 / (1 - truth.g2_zero) == pytest.approx(1.8, abs=0.06)
    assert 1 / (1 - truth.g2_zero_far) == pytest.approx(3.0, abs=0.15)
    assert truth.bunching == pytest.approx(1.5, abs=0.06)
    assert near_p_value(photons, truth.g2_zero) > P_LEAST
    side = pairs_at(photons, [lag for lag in range(-10, 11) if lag]).mean()
    counts = photons.counts_per_detector
    far = counts[0] * counts[1] * photons.laser_period / photons.duration
    assert side / far == pytest.approx(truth.bunching, abs=4 * truth.bunching / np.sqrt(20 * side))


def test_background_and_scatter_fill_the_centre():
    dot = Emitter(10e-9, biexciton_yield=0.1, biexciton_lifetime=1e-9)
    photons, truth = ps.simulate.pulsed(
        dot, duration=20.0, excitation=0.2, efficiency=0.1, background={0: 9e3, 1: 4e3}, scatter=6e3, seed=8
    )
    assert truth.g2_zero_raw > truth.g2_zero + 0.1
    assert near_p_value(photons, truth.g2_zero_raw) > P_LEAST
    for d, n in photons.counts_per_detector.items():
        mean = 20.0 * (truth.signal_rate[d] + truth.background_rate[d] + truth.scatter_rate[d])
        assert abs(n - mean) < 4 * np.sqrt(mean)


def every_pulse(rng, n_pulses, excitation, efficiency, dot, split):
    """Count photons of both detectors in each pulse, all of them simulated one step at a time."""
    excitons = rng.poisson(excitation, n_pulses)
    first = (excitons >= 2) & (rng.random(n_pulses) < dot.biexciton_yield * efficiency)
    second = (excitons >= 1) & (rng.random(n_pulses) < dot.quantum_yield * efficiency)
    left = [rng.random(n_pulses) < split for _ in range(2)]
    a = (first & left[0]).astype(int) + (second & left[1])
    return a, first.astype(int) + second - a


def test_outcomes_of_a_pulse_match_a_simulation_of_every_pulse():
    dot = Emitter(1e-9, quantum_yield=0.9, biexciton_yield=0.6, biexciton_lifetime=0.3e-9)
    n = 400_000
    photons, _ = ps.simulate.pulsed(dot, duration=n * 200e-9, excitation=1.3, efficiency=0.8, split=(0.3, 0.7), seed=9)
    counts = [np.bincount(photons.timestamps[photons.detectors == d], minlength=n) for d in (0, 1)]
    brute = every_pulse(np.random.default_rng(10), n, 1.3, 0.8, dot, 0.3)
    table = [np.bincount(a * 3 + b, minlength=9) for a, b in (counts, brute)]
    used = np.sum(table, axis=0) > 0
    assert used.sum() == 6
    assert stats.chi2_contingency(np.array(table)[:, used]).pvalue > P_LEAST


@pytest.mark.parametrize("mean", [1e-6, 0.9e-4, 1.1e-4, 0.3, 4.0])
def test_chances_of_a_pulse(mean):
    chances = pulse_chances(Emitter(biexciton_yield=0.5).levels[0], mean, 0.2)
    two = stats.poisson.sf(1, mean)
    assert chances.one == pytest.approx(0.2 * mean * np.exp(-mean))
    assert chances.pair_both == pytest.approx(two * 0.1 * 0.2, rel=1e-6)
    assert chances.pair_first == pytest.approx(two * 0.1 * 0.8, rel=1e-6)
    assert chances.pair_second == pytest.approx(two * 0.9 * 0.2, rel=1e-6)


@pytest.mark.parametrize("gate", [0.0, 1.5, 7.0])
@pytest.mark.parametrize("lifetimes", [(20.0, 2.0), (3.0, 5.0), (4.0, 4.0), (20.0, 0.0)])
def test_gate_by_numerical_integration(lifetimes, gate):
    x, b = lifetimes
    level = replace(Emitter(x).levels[0], biexciton_yield=0.6 if b else 0.0, biexciton_lifetime=b, quantum_yield=0.7)
    one, two = (stats.poisson.pmf(1, 0.8), stats.poisson.sf(1, 0.8))
    late_b = np.exp(-gate / b) if b else float(gate == 0)
    # the exciton after a biexciton that decayed at t is late if it lives for gate - t
    until = integrate.quad(lambda t: np.exp(-t / b) / b * np.exp(-(gate - t) / x), 0, gate)[0] if b else 0
    late_second = late_b + until if b else np.exp(-gate / x)
    photons, pairs = pulse_moments(level, 0.8, 0.5, gate)
    first = two * level.biexciton_yield * 0.5 * late_b
    assert photons == pytest.approx(0.35 * (one * np.exp(-gate / x) + two * late_second) + first)
    assert pairs == pytest.approx(2 * first * 0.35)


def test_decay_is_the_folded_convolved_sum_of_exponentials():
    dot = Emitter(40e-9, biexciton_yield=0.8, biexciton_lifetime=3e-9)
    period, unit = 100e-9, 64e-12
    photons, truth = ps.simulate.pulsed(
        dot, duration=5.0, laser_period=period, excitation=0.8, efficiency=0.02, t0=6e-9, irf_sigma=0.3e-9,
        background=5e3, delay=1.7e-9, tcspc_unit=unit, seed=11,
    )  # fmt: skip
    assert truth.fractions.sum() == pytest.approx(1.0)
    edges = np.minimum(np.arange(1564) * unit, period)
    for d, delay in ((0, 0.0), (1, 1.7e-9)):
        expected = truth.background_rate[d] * np.diff(edges) / period
        for lifetime, fraction in zip(truth.lifetimes, truth.fractions, strict=True):
            law = stats.exponnorm(K=lifetime / 0.3e-9, loc=6e-9 + delay, scale=0.3e-9)
            folded = sum(np.diff(law.cdf(edges + n * period)) for n in range(-1, 12))
            expected += truth.signal_rate[d] * fraction * folded
        counts = np.bincount(photons.nanotimes[photons.detectors == d], minlength=edges.size - 1)
        assert histogram_p_value(counts, expected) > P_LEAST


def test_tail_of_the_response():
    photons, _ = ps.simulate.pulsed(
        [], duration=5.0, scatter=20e3, t0=50e-9, irf_tail=2e-9, irf_tail_fraction=0.25, seed=12
    )
    late = (photons.nanotimes + 0.5) * photons.tcspc_unit - 50e-9
    tail = late[late > 0.2e-9] - 0.2e-9
    assert stats.binomtest(tail.size, late.size, 0.25 * np.exp(-0.2 / 2)).pvalue > 1e-4
    assert abs(tail.mean() - 2e-9) < 4 * 2e-9 / np.sqrt(tail.size)


def short_lags(photons, reach, n_bins):
    """Return the histogram of differences (detector 1 minus 0) up to `reach` seconds, all pairs."""
    t0, t1 = (photons.timestamps[photons.detectors == d] for d in (0, 1))
    ticks = round(reach / photons.timestamps_unit)
    low, high = np.searchsorted(t1, t0 - ticks), np.searchsorted(t1, t0 + ticks)
    n = high - low
    which = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n) + np.repeat(low, n)
    return np.histogram((t1[which] - np.repeat(t0, n)) * photons.timestamps_unit, n_bins, (-reach, reach))


@pytest.mark.parametrize(
    ("dots", "settings"),
    [
        (Emitter(20e-9), {}),
        ([Emitter(20e-9), Emitter(10e-9, brightness=0.5)], {"background": 40e3}),
        (Emitter(20e-9, quantum_yield=0.7, biexciton_yield=0.4, biexciton_lifetime=4e-9), {}),
        (Emitter(10e-9, biexciton_yield=0.3, biexciton_lifetime=5e-9, shelving_rate=20e6, shelving_time=30e-9), {}),
    ],
)
def test_continuous_light_has_its_closed_correlation(dots, settings):
    photons, truth = ps.simulate.continuous(
        dots, duration=1.5, excitation_rate=30e6, efficiency=0.08, seed=13, **settings
    )
    counts, edges = short_lags(photons, 200e-9, 200)
    # bins at the cusp see the mean of g2, not its middle
    fine = (edges[:-1, None] + np.diff(edges)[:, None] * (np.arange(10) + 0.5) / 10).ravel()
    if dots == Emitter(20e-9):
        np.testing.assert_allclose(truth.g2(fine), 1 - np.exp(-(30e6 + 50e6) * np.abs(fine)), atol=1e-9)
    g2 = truth.g2(fine).reshape(-1, 10).mean(axis=1)
    rates = [truth.signal_rate[d] + truth.background_rate[d] for d in (0, 1)]
    light = truth.signal_rate[0] * truth.signal_rate[1]
    expected = (rates[0] * rates[1] + light * (g2 - 1)) * 1.5 * np.diff(edges)
    assert stats.chi2.sf(np.sum((counts - expected) ** 2 / expected), counts.size) > P_LEAST
    for d, n in photons.counts_per_detector.items():
        assert n == pytest.approx(1.5 * rates[d], rel=0.01)


def every_jump(rng, n_photons, excite, dot, efficiency):
    """Return the times of detected photons from a walk through all jumps of the ladder."""
    time, state, found = 0.0, 0, []
    while len(found) < n_photons:
        if state == 0:
            time += rng.exponential(1 / excite)
            state = 1
        elif state == 2:
            time += rng.exponential(dot.biexciton_lifetime)
            state = 1
            if rng.random() < dot.biexciton_yield * efficiency:
                found.append(time)
        elif state == 3:
            time += rng.exponential(dot.shelving_time)
            state = 0
        else:
            rates = np.array([1 / dot.lifetime, excite, dot.shelving_rate])
            time += rng.exponential(1 / rates.sum())
            state = int(np.searchsorted(np.cumsum(rates), rng.random() * rates.sum()))
            state = (0, 2, 3)[state]
            if state == 0 and rng.random() < dot.quantum_yield * efficiency:
                found.append(time)
    return np.array(found)


def test_waiting_times_match_a_walk_through_all_jumps():
    dot = Emitter(
        10e-9, quantum_yield=0.9, biexciton_yield=0.5, biexciton_lifetime=5e-9, shelving_rate=20e6, shelving_time=60e-9
    )
    walk = np.diff(every_jump(np.random.default_rng(14), 8000, 40e6, dot, 0.4))
    photons, _ = ps.simulate.continuous(
        dot, duration=2e-3, excitation_rate=40e6, efficiency=0.4, split=[1.0], timestamps_unit=1e-12, seed=15
    )
    waits = np.diff(photons.timestamps) * 1e-12
    assert stats.ks_2samp(waits, walk).pvalue > P_LEAST
    # neighbouring waits are correlated through the state that a photon leaves behind
    pairs = [np.corrcoef(w[1:], w[:-1])[0, 1] for w in (waits, walk)]
    assert abs(pairs[0] - pairs[1]) < 4 * np.sqrt(1 / waits.size + 1 / walk.size)


def test_blinking_under_continuous_excitation_follows_the_path():
    blinking = Blinking([Level(), Level(0.1, 2e-9)], [Exponential(0.05), Exponential(0.03)])
    photons, truth = ps.simulate.continuous(Emitter(blinking=blinking), duration=4.0, rate=50e3, seed=16)
    edges = truth.paths[0].edges
    counts = np.histogram(photons.arrival_times, edges)[0]
    expected = truth.level_rates[0][truth.paths[0].levels] * np.diff(edges)
    assert truth.level_rates[0][0] == pytest.approx(50e3)
    assert stats.chi2.sf(np.sum((counts - expected) ** 2 / expected), counts.size) > P_LEAST


def test_blinking_under_pulses_follows_the_path_in_rate_and_lifetime():
    blinking = ps.simulate.auger_blinking(Exponential(0.05), Exponential(0.03), lifetime=20e-9, auger_lifetime=2e-9)
    photons, truth = ps.simulate.pulsed(Emitter(20e-9, blinking=blinking), duration=4.0, rate=50e3, seed=17)
    path = truth.paths[0]
    expected = truth.level_rates[0][path.levels] * np.diff(path.edges)
    counts = np.histogram(photons.timestamps * photons.laser_period, path.edges)[0]
    assert stats.chi2.sf(np.sum((counts - expected) ** 2 / expected), counts.size) > P_LEAST
    dim = 1 / (2 / 20e-9 + 1 / 2e-9)
    assert truth.level_rates[0][1] / 50e3 == pytest.approx(2 * dim / 20e-9)
    level = path.level_at(photons.arrival_times)
    for number, lifetime in enumerate((20e-9, dim)):
        delays = (photons.nanotimes[level == number] + 0.5) * photons.tcspc_unit
        assert abs(delays.mean() - lifetime) < 4 * lifetime / np.sqrt(delays.size) + 1e-3 * lifetime


def test_hot_carriers_dim_at_unchanged_lifetime_and_flickering_is_proportional():
    hot = ps.simulate.hot_carrier_blinking(Exponential(0.1), Exponential(0.1), capture=0.2)
    photons, truth = ps.simulate.pulsed(Emitter(15e-9, blinking=hot), duration=8.0, rate=50e3, seed=18)
    assert truth.level_rates[0][1] / truth.level_rates[0][0] == pytest.approx(0.2, rel=0.1)
    level = truth.paths[0].level_at(photons.arrival_times)
    means = [((photons.nanotimes[level == k] + 0.5) * photons.tcspc_unit).mean() for k in (0, 1)]
    assert means == pytest.approx([15e-9, 15e-9], rel=0.02)
    wander = ps.simulate.flickering(lifetime=20e-9, n_levels=10)
    photons, truth = ps.simulate.pulsed(Emitter(20e-9, blinking=wander), duration=20.0, rate=50e3, seed=19)
    level = truth.paths[0].level_at(photons.arrival_times)
    lifetimes = [((photons.nanotimes[level == k] + 0.5) * photons.tcspc_unit).mean() for k in range(10)]
    rates = np.bincount(level, minlength=10) / (20.0 * truth.paths[0].occupancy(10))
    np.testing.assert_allclose(rates / 50e3, np.array(lifetimes) / 20e-9, rtol=0.05)
    assert np.abs(np.diff(truth.paths[0].levels)).max() == 1


def test_whole_decay_of_a_blinking_dot():
    photons, truth = ps.simulate.recipe("blinking_dot", seed=20, duration=20.0)
    assert truth.fractions.sum() == pytest.approx(1.0)
    for d, delay in ((0, 0.0), (1, 3.2e-9)):
        late = 8e-9 + delay
        # the dead time removes nothing here: two photons within 80 ns on one detector are one in a thousand
        edges = np.arange(0, 6251) * 64e-12
        expected = truth.background_rate[d] * np.diff(edges) / 400e-9
        for lifetime, fraction in zip(truth.lifetimes, truth.fractions, strict=True):
            law = stats.exponnorm(K=lifetime / 0.15e-9, loc=late, scale=0.15e-9)
            expected += truth.signal_rate[d] * fraction * np.diff(law.cdf(edges))
        counts = np.bincount(photons.nanotimes[photons.detectors == d], minlength=6250)
        assert histogram_p_value(counts, expected) > P_LEAST
