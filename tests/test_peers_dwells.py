"""Dwell times beside powerlaw and change points beside ruptures: the same where both hold, and where they do not."""

import warnings

import numpy as np
import pytest
from scipy import stats

import photonstats as ps
from peers import peer, still_wrong

T_MIN, BIN = 1e-3, 10e-3


@pytest.fixture(scope="module")
def powerlaw():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what it imports
        return peer("powerlaw")


def power_law(rng, alpha, n, t_min=T_MIN):
    return t_min * (1.0 - rng.random(n)) ** (-1.0 / (alpha - 1.0))


def by_powerlaw(module, dwells, t_min, **options):
    fit = module.Fit(dwells, xmin=t_min, verbose=False, **options)
    return float(fit.power_law.alpha), float(fit.power_law.standard_err)


def ours(dwells, t_min, **options):
    """Return the exponent of a plain power law, and its error as a quarter of the 95 % interval, nearly."""
    fit = ps.fit_dwell_times(dwells, "power_law", t_min=t_min, n_bootstrap=0, **options)
    return fit.alpha, (fit.alpha_ci[1] - fit.alpha_ci[0]) / (2.0 * stats.norm.ppf(0.975))


def p_of_mean(z):
    """Return the two-sided p-value of the mean of standard normal numbers."""
    return 2.0 * stats.norm.sf(abs(np.mean(z)) * np.sqrt(np.size(z)))


def biased(z):
    """Return whether estimates are off by more than their own error, and their 95 % intervals miss the truth."""
    inside = int(np.sum(np.abs(z) < 1.96))
    return abs(np.mean(z)) > 1.0 and stats.binomtest(inside, np.size(z), 0.95).pvalue < 1e-6


def holds(z):
    """Return whether estimates scatter about the truth as their errors say."""
    inside = int(np.sum(np.abs(z) < 1.96))
    return p_of_mean(z) > 1e-3 and stats.binomtest(inside, np.size(z), 0.95).pvalue > 1e-3


@pytest.mark.parametrize("alpha", [1.2, 1.5, 2.0, 2.8])
@pytest.mark.parametrize("n", [200, 20_000])
def test_powerlaw_finds_the_same_exponent_of_continuous_dwells(powerlaw, alpha, n):
    dwells = power_law(np.random.default_rng(1), alpha, n)
    (value, err), (their_value, their_err) = ours(dwells, T_MIN), by_powerlaw(powerlaw, dwells, T_MIN)
    assert value == pytest.approx(their_value, abs=1e-4 * err)
    assert err == pytest.approx(their_err, rel=1.0 / n + 1e-3)  # half of a profile interval
    assert abs(value - alpha) < 3.3 * err


def test_powerlaw_finds_the_same_exponent_above_any_shortest_dwell(powerlaw):
    dwells = power_law(np.random.default_rng(2), 1.6, 5000)
    for t_min in (2e-3, 10e-3, 0.1):
        (value, err), (theirs, _) = ours(dwells, t_min), by_powerlaw(powerlaw, dwells, t_min)
        assert value == pytest.approx(theirs, abs=1e-4 * err)


@pytest.mark.parametrize(("alpha", "cutoff"), [(1.5, 1.0), (1.2, 0.1)])
def test_powerlaw_finds_the_same_truncated_law(powerlaw, alpha, cutoff):
    """Both maximise one likelihood: the searches end within a hundredth of the error of each other."""
    law = ps.simulate.TruncatedPowerLaw(alpha, cutoff, T_MIN)
    dwells = law.sample(3000, np.random.default_rng(3))
    found = ps.fit_dwell_times(dwells, "truncated", t_min=T_MIN, n_bootstrap=0)
    fit = powerlaw.Fit(dwells, xmin=T_MIN, verbose=False)
    theirs = fit.truncated_power_law
    err = (found.alpha_ci[1] - found.alpha_ci[0]) / 3.92
    log_err = np.log(found.cutoff_ci[1] / found.cutoff_ci[0]) / 3.92
    assert found.alpha == pytest.approx(float(theirs.alpha), abs=0.01 * err)
    assert np.log(found.cutoff) == pytest.approx(-np.log(float(theirs.Lambda)), abs=0.01 * log_err)
    assert abs(found.alpha - alpha) < 3.3 * err
    assert abs(np.log(found.cutoff / cutoff)) < 3.3 * log_err
    ratio, _ = fit.distribution_compare("truncated_power_law", "power_law", nested=True)
    gained = found.table["truncated"]["log_likelihood"] - found.table["power_law"]["log_likelihood"]
    assert gained == pytest.approx(float(ratio), abs=1e-3)


@pytest.mark.parametrize("alpha", [1.5, 2.0])
def test_powerlaw_is_biased_for_dwells_in_bins(powerlaw, alpha):
    """Dwells of whole bins enter as if they were exact: the many of 2 bins stand at the very begin of its range."""
    z, theirs = [], []
    for seed in range(40):
        whole = np.rint(power_law(np.random.default_rng(seed), alpha, 20_000) / BIN)
        dwells = whole[whole >= 2] * BIN
        value, err = ours(dwells, 2 * BIN, bin_width=BIN)
        z.append((value - alpha) / err)
        value, err = by_powerlaw(powerlaw, dwells, 2 * BIN)
        theirs.append((value - alpha) / err)
    assert holds(z)
    still_wrong("powerlaw", biased(theirs) and np.mean(theirs) > 5.0, "is biased for dwells in bins")


def test_powerlaw_of_whole_numbers_agrees_from_ten_bins_on(powerlaw):
    """Its discrete law is no law of rounded dwells, but comes near it where the bins are narrow beside the dwell."""
    z = []
    for seed in range(40):
        whole = np.rint(power_law(np.random.default_rng(seed), 1.5, 20_000) / BIN)
        whole = whole[whole >= 10].astype(int)
        value, err = ours(whole * BIN, 10 * BIN, bin_width=BIN)
        theirs, their_err = by_powerlaw(powerlaw, whole, 10, discrete=True)
        assert value == pytest.approx(theirs, abs=0.05 * err)
        assert err == pytest.approx(their_err, rel=0.02)
        z.append((value - 1.5) / err)
    assert holds(z)


def test_powerlaw_of_whole_numbers_is_biased_at_two_bins(powerlaw):
    z, theirs = [], []
    for seed in range(40):
        whole = np.rint(power_law(np.random.default_rng(seed), 2.0, 60_000) / BIN)
        whole = whole[whole >= 2].astype(int)
        value, err = ours(whole * BIN, 2 * BIN, bin_width=BIN)
        z.append((value - 2.0) / err)
        value, err = by_powerlaw(powerlaw, whole, 2, discrete=True)
        theirs.append((value - 2.0) / err)
    assert holds(z)
    still_wrong("powerlaw", p_of_mean(theirs) < 1e-6 and np.mean(theirs) > 1.0, "is biased at two whole bins")


def windows(rng, alpha, seconds, n):
    """Return the dwells of n recordings, and which were cut by the end of theirs."""
    dwells, cut = [], []
    for _ in range(n):
        left = seconds
        while left > 0.0:
            dwell = float(power_law(rng, alpha, 1, BIN)[0])
            dwells.append(min(dwell, left))
            cut.append(dwell > left)
            left -= dwell
    dwells, cut = np.array(dwells), np.array(cut)
    return dwells[dwells >= BIN], cut[dwells >= BIN]


def test_powerlaw_is_biased_for_recordings_that_end(powerlaw):
    """It knows no cut dwells: to leave them out drops the long ones, to keep them says that they ended then."""
    z, dropped, kept = [], [], []
    for seed in range(40):
        dwells, cut = windows(np.random.default_rng(seed), 1.5, 1.0, 40)
        value, err = ours(dwells, BIN, censored=cut)
        z.append((value - 1.5) / err)
        for found, part in ((dropped, dwells[~cut]), (kept, dwells)):
            value, err = by_powerlaw(powerlaw, part, BIN)
            found.append((value - 1.5) / err)
    assert holds(z)
    still_wrong("powerlaw", biased(dropped) and biased(kept), "is biased for dwells that were cut")


def switching_light(rng, n, seconds):
    """Return light between 10 and 40 kcps, the times of its changes, in s."""
    lengths = rng.uniform(0.5 * seconds, 1.5 * seconds, n)
    rates = np.where(np.arange(n) % 2, 10e3, 40e3)
    counts = rng.poisson(lengths * rates)
    starts = np.concatenate([[0.0], np.cumsum(lengths)])
    which = np.repeat(np.arange(n), counts)
    times = np.sort(starts[which] + rng.random(which.size) * lengths[which])
    photons = ps.PhotonStream(
        (times / 1e-9).astype(np.int64),
        np.zeros(times.size, np.uint8),
        timestamps_unit=1e-9,
        duration=float(starts[-1]),
    )
    return photons, starts[1:-1]


def test_ruptures_finds_the_same_changes_to_a_bin():
    """It works on bins, so that its changes lie on their edges; those from photons are nearer to the truth."""
    ruptures = peer("ruptures")
    width = 1e-3
    photons, truth = switching_light(np.random.default_rng(6), 60, 0.1)
    found = ps.change_points(photons, 0.01)
    assert found.edges.size - 2 == truth.size
    counts = ps.intensity_trace(photons, width).counts
    signal = 2.0 * np.sqrt(counts + 0.375)[:, None]  # variance 1, whatever the rate
    their = ruptures.KernelCPD(kernel="linear", min_size=2).fit(signal).predict(pen=3.0 * np.log(counts.size))
    theirs = np.array(their[:-1]) * width
    assert theirs.size == truth.size
    assert np.all(np.abs(found.edges[1:-1] - theirs) < 1.5 * width)
    nearer = int(np.sum(np.abs(found.edges[1:-1] - truth) < np.abs(theirs - truth)))
    assert stats.binomtest(nearer, truth.size).pvalue < 1e-3
    assert nearer > truth.size / 2
    inside = int(np.sum((found.times_ci[:, 0] <= truth) & (truth <= found.times_ci[:, 1])))
    assert stats.binomtest(inside, truth.size, 0.95).pvalue > 1e-3
