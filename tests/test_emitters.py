"""How many emitters: truth, coverage, what the data cannot tell, and the words."""

import itertools
import json

import numpy as np
import pytest
from scipy import stats

import photonstats as ps
from emitter_light import drawn_pairs, light
from photonstats.background import Background
from photonstats.correlations.emitter_gates import blinking_overlaps, choose_gates, lifetime_of
from photonstats.correlations.emitter_posterior import (
    Background2,
    GatedPairs,
    different_likelihood,
    highest,
    normal_background,
    number_posterior,
    plateau_likelihood,
)
from photonstats.simulate import Blinking, Emitter, Exponential, Level, continuous, pulsed

NO_BACKGROUND = Background2(np.zeros((1, 2)), np.ones(1))
FLAT = np.full(10, 0.1)


def posterior(pairs, background=NO_BACKGROUND):
    return number_posterior(pairs, plateau_likelihood(pairs, background), FLAT)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
@pytest.mark.parametrize("beta", [0.0, 0.5])
def test_many_pairs_name_the_number(n, beta):
    rng = np.random.default_rng([n, int(10 * beta)])
    found = posterior(drawn_pairs(rng, np.full(n, 1 / n), photons=4e6, beta=beta))
    assert found[n - 1] > 0.9
    assert found.sum() == pytest.approx(1.0)


def test_a_dot_whose_biexcitons_emit_is_one_and_two_dots_with_biexcitons_are_two():
    """Both have a bare g2(0) of one half and more."""
    rng = np.random.default_rng(20)
    one = ps.estimate_emitters(light(rng, [1.0], beta=0.5, background=500.0))
    two = ps.estimate_emitters(light(rng, [0.5, 0.5], beta=0.3, rate=4e4, background=1000.0))
    assert one.centre[0] / one.side[0] > 0.45
    assert one.best == 1
    assert one.probability[1] > 0.99
    assert one.yield_ratio_ci[0] < 0.5 < one.yield_ratio_ci[1]
    assert two.best == 2
    assert two.probability[2] > 0.9
    assert two.effective_ci[0] < 2.0 < two.effective_ci[1]


def test_a_biexciton_that_no_gate_clears_spreads_the_probability():
    """At k_BX = 2 k_X the dot with beta = 1/2 gives the counts of two dots; the data cannot favour one by much."""
    rng = np.random.default_rng(3)
    found = posterior(drawn_pairs(rng, [1.0], photons=1e6, beta=0.5, tau_bx=10e-9))
    assert found[0] > 1e-3
    assert found[1] > 0.3


@pytest.mark.parametrize("seed", range(4))
def test_a_dim_partner_is_not_talked_away(seed):
    """A fifth of the light from a second dot leaves a third of the pairs, as biexcitons that no gate clears would."""
    found = posterior(drawn_pairs(np.random.default_rng(seed), [0.79, 0.21], photons=1e6))
    assert found[0] < 0.5
    assert found[1] > 0.3


def test_a_small_residue_is_no_second_emitter():
    rng = np.random.default_rng(4)
    pairs = drawn_pairs(rng, [1.0], photons=2e7, leak=0.003)
    assert posterior(pairs)[0] > 0.999
    low, high = highest(*different_likelihood(pairs, plateau_likelihood(pairs, NO_BACKGROUND))[:2])[2]
    assert low == 0.0
    assert high < 0.01


def test_three_emitters_on_two_fifths_of_the_time_near_and_far():
    """Near 1/(1 - P) = 1.8, far 3: 3 (1 - 1/3) = B P with B = 1/3 / 0.4 + 2/3 = 1.5."""
    rng = np.random.default_rng(5)
    found = ps.estimate_emitters(light(rng, np.full(3, 1 / 3), rate=6e4, seconds=20.0, blink=(4e-3, 6e-3)))
    assert found.best == 3
    assert found.effective_near_ci[0] < 1.8 < found.effective_near_ci[1]
    assert found.effective_far_ci[0] < 3.0 < found.effective_far_ci[1]
    assert found.effective_near_ci[1] < 2.2
    assert abs(found.bunching - 1.5) < 4 * found.bunching_err


def test_the_package_s_own_simulator():
    dot = Blinking((Level(1.0), Level(0.0)), (Exponential(2e-3), Exponential(3e-3)))
    emitter = Emitter(20e-9, biexciton_lifetime=1e-9, biexciton_yield=0.2, blinking=dot)
    photons, truth = pulsed([emitter] * 2, duration=20.0, rate=8e4, background=600.0, irf_sigma=0.1e-9, seed=8)
    found = ps.estimate_emitters(photons, {0: 600.0, 1: 600.0})
    assert found.best == 2
    assert found.probability[2] > 0.9
    assert abs(found.bunching - truth.bunching) < 4 * found.bunching_err


@pytest.mark.parametrize("photons", [3e3, 3e4])
def test_few_pairs_spread_the_probability(photons):
    rng = np.random.default_rng(6)
    found = np.array([posterior(drawn_pairs(rng, [0.5, 0.5], photons=photons)) for _ in range(4)])
    assert found.max() < 0.95
    assert np.all(found > 0)


def test_background_unknown_within_its_error_is_carried_on():
    """A rate given 10 % too high with its error leaves the truth possible; an error widens the interval."""
    rng = np.random.default_rng(7)
    pairs = drawn_pairs(rng, [0.5, 0.5], photons=4e6, dark=20000.0)
    rates = pairs.photons[0] / pairs.duration

    def interval(value, error):
        background = normal_background(np.full(2, value), np.full(2, error), rates)
        return highest(*different_likelihood(pairs, plateau_likelihood(pairs, background))[:2])[2]

    assert np.diff(interval(2.0e4, 2000.0)) > 1.1 * np.diff(interval(2.0e4, 1.0))
    low, high = interval(2.2e4, 2000.0)
    assert low < 0.5 < high


def shares_of(rng, n):
    brightness = np.maximum(rng.normal(1.0, 0.15, n), 0.3)
    return brightness / brightness.sum()


def covered(seed, n_sets):
    rng = np.random.default_rng(seed)
    held = 0
    for _ in range(n_sets):
        shares = shares_of(rng, rng.integers(2, 5))
        pairs = drawn_pairs(rng, shares, photons=10 ** rng.uniform(4.5, 6.2), beta=rng.uniform(0.0, 0.5), dark=500.0)
        background = normal_background(np.full(2, rng.normal(500.0, 10.0)), np.full(2, 10.0), pairs.photons[0] / 10.0)
        low, high = highest(*different_likelihood(pairs, plateau_likelihood(pairs, background))[:2])[2]
        held += low <= 1.0 - np.sum(shares**2) <= high
    return held


def test_the_interval_of_the_effective_number_holds_the_truth():
    assert stats.binomtest(covered(9, 12), 12, 0.95).pvalue > 1e-3


@pytest.mark.slow
def test_probabilities_are_those_of_being_right():
    """Over draws from the prior the mean probability of the truth's complement is the share of errors."""
    rng = np.random.default_rng(10)
    right, claimed = 0, []
    for _ in range(40):
        n = int(rng.integers(1, 11))
        brightness = rng.gamma(1 / 0.1**2, size=n)
        found = posterior(
            drawn_pairs(rng, brightness / brightness.sum(), photons=10 ** rng.uniform(4, 6.3), beta=rng.uniform())
        )
        right += np.argmax(found) + 1 == n
        claimed.append(found.max())
    expected, spread = np.sum(claimed), np.sqrt(np.sum(np.array(claimed) * (1 - np.array(claimed))))
    assert abs(right - expected) < 3.3 * spread


def test_pieces_shift_and_swap_change_nothing():
    rng = np.random.default_rng(11)
    photons = light(rng, [0.5, 0.5], seconds=4.0, delay=1e-9)
    whole = ps.estimate_emitters(photons)
    edges = [0.0, 0.7, 0.7001, 2.5, photons.duration]
    parts = ps.estimate_emitters(photons.between(a, b) for a, b in itertools.pairwise(edges))
    assert parts.probability == pytest.approx(whole.probability, rel=1e-6)
    unit = photons.timestamps_unit
    values = {"timestamps_unit": unit, "tcspc_unit": photons.tcspc_unit, "duration": photons.duration}
    moved = ps.PhotonStream(
        photons.timestamps + 10**9,
        photons.detectors,
        photons.nanotimes,
        start=10**9 * unit,
        **values,
    )
    assert ps.estimate_emitters(moved).probability == pytest.approx(whole.probability, rel=1e-6)
    swapped = ps.PhotonStream(photons.timestamps, 1 - photons.detectors, photons.nanotimes, **values)
    assert ps.estimate_emitters(swapped).probability == pytest.approx(whole.probability, rel=0.02, abs=1e-4)


def test_no_pairs_give_the_prior_back_with_the_reason():
    rng = np.random.default_rng(12)
    found = ps.estimate_emitters(light(rng, [1.0], rate=3e3, seconds=0.01), max_emitters=5)
    assert found.best is None
    assert found.probability == pytest.approx(dict.fromkeys(range(1, 6), 0.2))
    assert "too few photons" in found.reason
    assert np.isnan(found.effective)
    assert found.to_dict()["best"] is None
    for n in (0, 1, 2):
        few = ps.PhotonStream(
            [5, 9][:n], [0, 1][:n], [100, 90][:n], timestamps_unit=2e-7, tcspc_unit=1e-10, duration=1.0
        )
        if n == 1:
            with pytest.raises(ValueError, match="detector 1 has no photons"):
                ps.estimate_emitters(few, detectors=(0, 1))
        else:
            assert ps.estimate_emitters(few, detectors=(0, 1)).best is None


def test_prior_and_largest_number():
    rng = np.random.default_rng(13)
    photons = light(rng, np.full(4, 0.25), rate=4e4)
    found = ps.estimate_emitters(photons, max_emitters=2)
    assert found.best == 2
    assert "2 or more" in found.note
    assert ps.estimate_emitters(photons, max_emitters=2, prior=[1.0, 0.0]).best == 1


def test_a_gate_drops_early_photons_and_given_gates_are_used():
    rng = np.random.default_rng(14)
    photons = light(rng, [1.0], beta=0.5)
    late = ps.estimate_emitters(photons, gate=6e-9)
    assert late.gates[0] == pytest.approx(6e-9)
    assert late.best == 1
    assert late.centre[0] < 0.05 * late.side[0]
    given = ps.estimate_emitters(photons, gates=[0.0, 1e-9, 4e-9, 8e-9])
    assert given.gates == pytest.approx([0.0, 1e-9, 4e-9, 8e-9])


def test_continuous_light_of_one_emitter_and_of_many():
    one, _ = continuous(Emitter(10e-9), duration=20.0, rate=1e5, excitation_rate=1e7, seed=1)
    found = ps.estimate_emitters(one)
    assert found.mode == "cw"
    assert found.best == 1
    assert found.probability[1] > 0.99
    assert "no gate" in found.note


def test_continuous_light_leaves_two_dots_and_one_with_biexcitons_open():
    two, _ = continuous([Emitter(10e-9)] * 2, duration=20.0, rate=1e5, excitation_rate=1e7, seed=2)
    found = ps.estimate_emitters(two)
    assert 0.02 < found.probability[1] < 0.6
    assert found.probability[2] > 0.3


def test_two_independent_detectors_are_not_one_emitter():
    rng = np.random.default_rng(15)
    times = np.sort(rng.integers(0, 10**13, 400_000))
    flat = ps.PhotonStream(times, rng.integers(0, 2, times.size), timestamps_unit=1e-12, duration=10.0)
    found = ps.estimate_emitters(flat)
    assert found.best != 1
    assert found.probability[1] < 0.3
    assert found.note or found.reason


def test_real_recordings(shared_data):
    with pytest.warns(ps.PhotonFileWarning):
        flat = ps.read(shared_data / "two_detector_no_dip_0.ht2")
    assert ps.estimate_emitters(flat).best != 1
    source = ps.estimate_emitters(ps.read(shared_data / "hbt_pulsed_80MHz_t3.ptu"))
    assert source.best == 1
    assert source.probability[1] > 0.9


def test_lifetime_from_the_mean_after_the_rise():
    ticks = np.arange(2000)
    for tau in (50.0, 300.0, 900.0):
        decay = 1e5 * np.exp(-((ticks - 100) % 2000) / tau) + 300.0
        assert lifetime_of(decay.astype(np.int64), 2000.0) == pytest.approx(tau, rel=0.02)


def test_gates_are_denser_early_and_end_before_the_next_pulse():
    gates = choose_gates(0.0, None, 40e-9, 1e-9, 100e-9)
    assert gates[0] == 0.0
    assert np.all(np.diff(gates[1:], 2) > 0)
    assert gates[-1] <= 60e-9 + 1e-15


@pytest.mark.parametrize(("memory", "stretch"), [(50.0, 100), (200.0, 50), (5.0, 200)])
def test_blinking_periods_from_stretches_of_any_length(memory, stretch):
    """A telegraph on 40 % of the time: v = 1.5, and v^2 / n with n = T / 4 tau."""
    rng = np.random.default_rng(16)
    found = []
    for _ in range(15):
        state = np.zeros(64 * stretch)
        on = rng.random() < 0.4
        for i in range(state.size):
            on = on if rng.random() > 1.0 / memory else rng.random() < 0.4
            state[i] = on
        counts = rng.poisson(1000.0 * state.reshape(64, stretch).sum(axis=1))
        bunching = state.var() / state.mean() ** 2 + 1.0
        halves = np.stack([counts // 2, counts - counts // 2], axis=1)
        found.append(blinking_overlaps(halves, np.ones(64), np.zeros(2), bunching)[0])
    expected = 1.5**2 * 4.0 * memory / (64 * stretch)
    assert 0.5 * expected < np.median(found) < 2.0 * expected


def test_summary_names_what_each_number_counts():
    rng = np.random.default_rng(17)
    found = ps.estimate_emitters(
        light(rng, [1.0], seconds=4.0), Background({0: 5.0, 1: 5.0}, {0: 1.0, 1: 1.0}, "measured")
    )
    text = found.summary()
    assert "emitters on at the same time" in text
    assert "all emitters" in text
    assert "(measured)" in text
    assert len(text.splitlines()) < 15
    json.dumps(found.to_dict(), allow_nan=False)
    assert sum(found.probability.values()) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"max_emitters": 0}, "max_emitters=0"),
        ({"prior": [1.0, 2.0]}, "10 weights"),
        ({"gates": [1e-9, 0.5e-9]}, "rising"),
        ({"gate": (1e-9, 2e-9)}, "one time after the rise"),
        ({"gate": 199e-9}, "too little of the laser period"),
        ({"background": 1e9}, "no signal is left"),
        ({"detectors": (0, 0)}, "two different detectors"),
    ],
)
def test_bad_settings_are_named(settings, words):
    photons = light(np.random.default_rng(18), [1.0], seconds=1.0)
    with pytest.raises(ValueError, match=words):
        ps.estimate_emitters(photons, **settings)


def test_gates_need_pulses():
    times = np.sort(np.random.default_rng(19).integers(0, 10**12, 2000))
    flat = ps.PhotonStream(times, np.arange(2000) % 2, timestamps_unit=1e-12, duration=1.0)
    with pytest.raises(ValueError, match="this light is continuous"):
        ps.estimate_emitters(flat, gate=1e-9)
    with pytest.raises(ValueError, match="only detector 0 is live"):
        ps.estimate_emitters(flat.select(detectors=0))


def test_fewer_photons_after_a_later_gate_even_if_the_background_is_too_large():
    pairs = GatedPairs(
        np.array([0.0, 1e-8]), np.array([5.0, 1.0]), np.array([100.0, 20.0]), 20, np.array([[1e4, 1e4], [2e3, 2e3]]),
        np.ones((2, 2)), 1.0, 2e-7, 5e7,
    )  # fmt: skip
    light_, other = pairs.light(np.full(2, 3e3))
    assert light_[0] >= light_[1] >= 0
    assert np.all(other >= 0)
