"""Pulses with two photons: lifetimes and yield of the biexciton against an independent cascade and the simulation."""

import numpy as np
import pytest
from scipy import stats

import photonstats as ps
from photonstats import simulate
from photonstats.correlations.cascade_fit import fit_pairs


def dot(beta=0.5, lifetime=2e-9):
    return simulate.Emitter(lifetime=20e-9, biexciton_yield=beta, biexciton_lifetime=lifetime)


def light(emitters, seed, *, rate=8e4, duration=10.0, excitation=0.1, **more):
    settings = {"laser_period": 400e-9, "duration": duration, "rate": rate, "excitation": excitation, "seed": seed}
    return simulate.pulsed(emitters, **settings, **more)[0]


def holds(interval, truth):
    return interval[0] <= truth <= interval[1]


def near(found, name, truth, reach=4.0):
    """Whether a value lies within `reach` of its errors, the side of the interval towards the truth counting."""
    value, (low, high) = getattr(found, name), getattr(found, f"{name}_ci")
    return abs(value - truth) < reach * max(high - value, value - low) / 1.96


def test_an_independent_cascade_gives_its_lifetimes_and_yield():
    rng = np.random.default_rng(23)
    n, beta = 3_000_000, 0.3
    excitons = np.minimum(rng.poisson(0.1, n), 2)
    two, x = np.flatnonzero(excitons == 2), np.flatnonzero(excitons >= 1)
    step = np.zeros(n)
    step[two] = rng.exponential(1.5, two.size)
    first = two[rng.random(two.size) < beta]
    pulse = np.concatenate([first, x])
    time = np.concatenate([step[first], step[x] + rng.exponential(25.0, x.size)]) + rng.normal(0.0, 0.1, pulse.size)
    kept = np.flatnonzero(time < 380)
    kept = kept[np.argsort(pulse[kept], kind="stable")]
    tick = ((time[kept] + 6.4) / 0.064).astype(np.int64)
    photons = ps.PhotonStream(
        pulse[kept], rng.integers(0, 2, kept.size), tick, timestamps_unit=400e-9, tcspc_unit=64e-12, duration=n * 400e-9
    )
    found = ps.biexciton(photons)
    assert found.converged
    assert near(found, "biexciton_lifetime", 1.5e-9)
    assert near(found, "exciton_lifetime", 25e-9)
    # P(2 and more) = 0.00468 against P(1 and more)^2 / 2 = 0.00453
    assert near(found, "yield_ratio", beta * 0.00468 / 0.00453)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_clusters_differ_by_their_accidental_pairs(n):
    found = ps.biexciton(light([dot(0.4)] * n, 30 + n, duration=20.0, irf_sigma=150e-12))
    assert near(found, "biexciton_lifetime", 2e-9)
    assert near(found, "exciton_lifetime", 20e-9)
    assert abs(found.accidental - (1 - 1 / n)) < 4 * found.accidental_err + 0.02


def test_background_is_taken_off_given_or_fitted():
    photons = light(dot(), 51, duration=20.0, background=4e3)
    for given in ({}, {"background": 4e3}, {"background": 4e3, "background_err": 400.0}):
        found = ps.biexciton(photons, **given)
        assert near(found, "biexciton_lifetime", 2e-9)
        assert near(found, "yield_ratio", 0.49)
    sure, unsure = ps.biexciton(photons, background=4e3), ps.biexciton(photons, background=4e3, background_err=400.0)
    assert unsure.yield_ratio_err > sure.yield_ratio_err


def test_pieces_and_swapped_detectors_do_not_change_it():
    photons = light(dot(), 3, duration=4.0)
    whole = ps.biexciton(photons)
    pieces = [photons.between(a, b) for a, b in ((0.0, 1.3), (1.3, 1.3004), (1.3004, 4.0))]
    for other in (ps.biexciton(iter(pieces)), ps.biexciton(photons, detectors=(1, 0))):
        assert np.array_equal(other.first, whole.first)
        assert np.array_equal(other.second, whole.second)
        assert other.biexciton_lifetime == pytest.approx(whole.biexciton_lifetime, rel=1e-6)


def test_what_does_not_show_is_not_named():
    few = ps.biexciton(light(dot(), 3, duration=0.2, rate=1e4))
    assert not few.converged
    assert "too few" in few.reason
    assert np.isnan(few.biexciton_lifetime)
    assert few.biexciton_lifetime_ci.tolist() == [0.0, np.inf]
    two = ps.biexciton(light([dot(1e-9)] * 2, 4))
    assert not two.converged
    assert "no cascade stands out" in two.reason


def test_a_slow_biexciton_is_marked():
    found = ps.biexciton(light(dot(0.5, 10e-9), 6, duration=20.0))
    assert "near 2 k_X" in found.reason


def test_what_cannot_be_is_said():
    photons = light(dot(), 3, duration=0.2)
    with pytest.raises(ValueError, match=r"bin_width=1\.0 s: must be from one tick"):
        ps.biexciton(photons, bin_width=1.0)
    with pytest.raises(ValueError, match="only detector 1 is live"):
        ps.biexciton(photons.select(detectors=[1]))
    plain, _ = simulate.poisson([1e4, 1e4], duration=0.1, seed=1)
    with pytest.raises(ValueError, match="needs laser pulses and nanotimes"):
        ps.biexciton(plain)


@pytest.mark.slow
@pytest.mark.parametrize("rate", [2e4, 8e4])
def test_coverage_of_the_lifetimes(rate):
    found = [ps.biexciton(light(dot(), seed, rate=rate, duration=5.0)) for seed in range(6000, 6030)]
    for name, truth in (("biexciton_lifetime_ci", 2e-9), ("exciton_lifetime_ci", 20e-9)):
        assert stats.binom.cdf(sum(holds(getattr(f, name), truth) for f in found), len(found), 0.95) > 1e-3


def test_a_known_background_leaves_the_same_decays_and_other_lifetimes_only_within_errors():
    photons = light(dot(), 53, duration=10.0, background=2e3)
    fitted, given = ps.biexciton(photons), ps.biexciton(photons, background=2e3)
    assert np.array_equal(given.first, fitted.first)
    assert abs(given.biexciton_lifetime - fitted.biexciton_lifetime) < 3 * fitted.biexciton_lifetime_err
    # two rates of the same background: the lower one leaves more for the cascade and for other emitters
    assert ps.biexciton(photons, background=1e3).yield_ratio != given.yield_ratio
    unsure = ps.biexciton(photons, background=2e3, background_err=1e3)
    assert unsure.biexciton_lifetime == given.biexciton_lifetime
    assert np.ptp(unsure.biexciton_lifetime_ci) > np.ptp(given.biexciton_lifetime_ci)


def coverage(n, first_seed, **more):
    photons = [light(dot(), seed, rate=4e4, duration=5.0, **more) for seed in range(first_seed, first_seed + n)]
    given = {"background": more["background"]} if more else {}
    found = [ps.biexciton(p, **given) for p in photons]
    truths = {"biexciton_lifetime_ci": 2e-9, "exciton_lifetime_ci": 20e-9}
    return [sum(holds(getattr(f, name), truth) for f in found) for name, truth in truths.items()]


def test_a_few_intervals_hold_the_lifetimes():
    assert np.all(stats.binom.cdf(coverage(4, 6400), 4, 0.95) > 1e-3)


@pytest.mark.slow
def test_coverage_of_the_lifetimes_with_known_background():
    assert np.all(stats.binom.cdf(coverage(60, 26400, background=400.0), 60, 0.95) > 1e-3)


def test_expected_counts_give_back_what_they_were_made_of():
    width, n, pairs, rho, share = 0.4e-9, 250, 1e7, 0.5, 0.05
    edges = np.arange(n + 1) * width

    def falls(lifetime):
        return -np.diff(np.exp(-edges / lifetime))

    clean, dark = falls(10e-9), falls(15e-9)
    side = pairs * ((1 - share) * clean + share * dark)
    first = 2e6 * falls(2e-9) + rho * pairs * (1 - share) * clean + share * pairs * dark
    gap_side = pairs * ((1 - share) * falls(20e-9) + share * falls(30e-9))
    second = 2e6 * falls(20e-9) + rho * pairs * (1 - share) * falls(20e-9) + share * pairs * falls(30e-9)
    found = fit_pairs(
        first=np.rint(first).astype(np.int64), second=np.rint(second).astype(np.int64), n_pairs=int(first.sum()),
        first_side=side, second_side=gap_side, first_dark=dark, second_dark=falls(30e-9), n_sides=20, side_pairs=pairs,
        dark=share * pairs, dark_err=0.0, width=width, begin=0.0,
    )  # fmt: skip
    assert found.biexciton_lifetime == pytest.approx(2e-9, rel=2e-3)
    assert found.exciton_lifetime == pytest.approx(20e-9, rel=5e-3)
    assert found.accidental == pytest.approx(rho * (1 - share) + share, rel=2e-3)
    # pairs of one emitter in a side peak: half of those without background
    assert found.yield_ratio == pytest.approx(2e6 / (pairs * (1 - share) * (1 - rho)), rel=5e-3)
