"""Backgrounds: measured, estimated from the decay and from the darkest level; truth, coverage, invariance, messages."""

import math
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

import photonstats as ps
from photonstats.background_sources import DARKEST, FLAT_PART, dark_bins, poisson_mixture

PERIOD, TICK = 200e-9, 256e-12


def dot(rng, seconds, rate, background, *, dwell=None, lifetimes=(20e-9,), shares=(1.0,), dim=0.0, t2=False, slow=0.0):
    """Independent truth: one dot that is on or off for exponential times, and flat background on both detectors."""
    n = rng.poisson(rate * seconds)
    time = rng.uniform(0, seconds - 1e-5, n)
    if dwell is not None:
        switches = np.cumsum(rng.exponential(dwell, int(3 * seconds / dwell) + 100))
        on = (np.searchsorted(switches, time) + rng.integers(2)) % 2 == 0
        time = time[on | (rng.random(n) < dim)]
    pulse = np.floor(time / PERIOD)
    late = rng.exponential(rng.choice(lifetimes, time.size, p=shares)) + np.where(
        rng.random(time.size) < slow, rng.exponential(2e-6, time.size), 0.0
    )
    time = (pulse * PERIOD + 20e-9 + rng.normal(0, 0.3e-9, time.size) + late).clip(0, seconds - PERIOD)
    detector = rng.integers(0, 2, time.size)
    for d, b in enumerate(background):
        more = rng.uniform(0, seconds - PERIOD, rng.poisson(b * seconds))
        time, detector = np.concatenate([time, more]), np.concatenate([detector, np.full(more.size, d)])
    order = np.argsort(time)
    time, detector = time[order], detector[order]
    if t2:
        return ps.PhotonStream((time / 1e-12).astype(np.int64), detector, timestamps_unit=1e-12, duration=seconds)
    pulse = np.floor(time / PERIOD).astype(np.int64)
    nanotime = ((time - pulse * PERIOD) / TICK).clip(0).astype(np.int64)
    return ps.PhotonStream(pulse, detector, nanotime, timestamps_unit=PERIOD, tcspc_unit=TICK, duration=seconds)


def dark_recording(rng, rates, seconds):
    times, detectors = [], []
    for d, rate in enumerate(rates):
        n = rng.poisson(rate * seconds)
        times.append(rng.uniform(0, seconds, n))
        detectors.append(np.full(n, d))
    time, detector = np.concatenate(times), np.concatenate(detectors)
    order = np.argsort(time)
    return ps.PhotonStream(
        (time[order] / 1e-9).astype(np.int64), detector[order], timestamps_unit=1e-9, duration=seconds
    )


def check_pulls(found, errors, truth, wide=1.15):
    """Check values of one truth: no bias beyond half an error, errors not smaller than the scatter."""
    pulls = (np.asarray(found) - truth) / np.asarray(errors)
    assert abs(pulls.mean()) < 0.5 + 4 / math.sqrt(pulls.size)
    assert stats.chi2.sf(np.sum((pulls / wide) ** 2), pulls.size) > 1e-3


def test_measured_rates_have_the_errors_of_counting():
    rng, found, errors, notes = np.random.default_rng(1), [], [], 0
    for _ in range(60):
        background = ps.measure_background(dark_recording(rng, (20.0, 300.0), 2.0))
        notes += bool(background.note)
        found.append([background.rate[0], background.rate[1]])
        errors.append([background.rate_err[0], background.rate_err[1]])
    assert notes < 4  # a drift is seen once in a thousand where there is none
    pulls = (np.array(found) - (20.0, 300.0)) / np.array(errors)
    assert stats.chi2.sf(np.sum(pulls**2), pulls.size) > 1e-3
    assert stats.chi2.cdf(np.sum(pulls**2), pulls.size) > 1e-3


def test_measured_in_pieces_is_the_same():
    photons = dark_recording(np.random.default_rng(2), (50.0, 80.0), 3.0)
    bounds = [0.0, 0.0131, 1.1, 1.10001, 2.99, 3.0]
    parts = ps.measure_background(photons.between(a, b) for a, b in pairwise(bounds))
    whole = ps.measure_background(photons)
    assert parts.rate == pytest.approx(whole.rate)
    assert parts.rate_err == pytest.approx(whole.rate_err)
    assert whole.method == "recording without the emitter"


def test_no_counts_give_the_upper_limit_as_error():
    silent = ps.PhotonStream([], [], timestamps_unit=1e-9, duration=10.0)
    found = ps.measure_background(silent, detectors=(0, 1))
    assert found.rate == {0: 0.0, 1: 0.0}
    assert 1.96 * found.rate_err[1] * 10.0 == pytest.approx(3.689, abs=1e-3)
    with pytest.raises(ValueError, match="name its detectors"):
        ps.measure_background(silent)
    with pytest.raises(ValueError, match="no duration"):
        ps.measure_background(ps.PhotonStream([], [], timestamps_unit=1e-9, duration=0.0), detectors=0)
    with pytest.raises(ValueError, match="no pieces"):
        ps.measure_background(iter([]))


def test_a_drift_is_noted():
    rng = np.random.default_rng(3)
    time = np.sort(10.0 * rng.random(3000) ** 0.7)
    drifting = ps.PhotonStream((time / 1e-9).astype(np.int64), np.zeros(3000, int), timestamps_unit=1e-9, duration=10.0)
    found = ps.measure_background(drifting)
    assert "detector 0 drifts" in found.note
    assert found.note in found.summary()
    assert found.to_dict()["note"] == found.note


@pytest.mark.parametrize("method", ["decay", "darkest", "auto"])
@pytest.mark.parametrize(("rate", "background"), [(3e4, (300.0, 800.0)), (2e3, (100.0, 40.0)), (3e4, (7000.0, 7000.0))])
def test_estimates_of_a_blinking_dot(method, rate, background):
    rng, found, errors = np.random.default_rng(4), [], []
    for _ in range(12):
        estimate = ps.estimate_background(dot(rng, 6.0, rate, background, dwell=0.3), method)
        found += [estimate.rate[d] - background[d] for d in (0, 1)]
        errors += [estimate.rate_err[d] for d in (0, 1)]
    check_pulls(found, errors, 0.0)
    assert estimate.method == (DARKEST if method == "darkest" else FLAT_PART)


def test_three_lifetimes_leave_no_background_behind():
    rng, found, errors = np.random.default_rng(5), [], []
    for _ in range(10):
        photons = dot(rng, 5.0, 4e4, (300.0, 300.0), lifetimes=(2e-9, 10e-9, 40e-9), shares=(0.3, 0.4, 0.3))
        estimate = ps.estimate_background(photons, "decay")
        found += estimate.rate.values()
        errors += estimate.rate_err.values()
    check_pulls(found, errors, 300.0)


@pytest.mark.parametrize("t2", [False, True])
def test_a_steady_dot_is_no_background(t2):
    photons = dot(np.random.default_rng(6), 4.0, 3e4, (300.0, 300.0), t2=t2)
    with pytest.raises(ValueError, match="intensity is steady: its one level is the emitter"):
        ps.estimate_background(photons, "darkest")
    if t2:
        with pytest.raises(ValueError, match=r"no nanotimes.*steady"):
            ps.estimate_background(photons)
    else:
        found = ps.estimate_background(photons)
        assert found.method == FLAT_PART
        assert "steady" in found.note


def test_of_time_tags_the_darkest_level_is_taken():
    found = ps.estimate_background(dot(np.random.default_rng(7), 6.0, 3e4, (300.0, 500.0), dwell=0.3, t2=True))
    assert found.method == DARKEST
    assert "no nanotimes" in found.note
    for d, truth in ((0, 300.0), (1, 500.0)):
        assert abs(found.rate[d] - truth) < 4 * found.rate_err[d]


@pytest.mark.parametrize(("dwell", "dim", "words"), [
    (0.003, 0.0, "a dark level may show in narrower ones"), (0.3, 0.7, "a dim state of the emitter rather than"),
])  # fmt: skip
def test_what_is_no_dark_level_is_refused(dwell, dim, words):
    photons = dot(np.random.default_rng(8), 6.0, 3e4, (300.0, 300.0), dwell=dwell, dim=dim)
    with pytest.raises(ValueError, match=words):
        ps.estimate_background(photons, "darkest")
    assert words in ps.estimate_background(photons).note


def test_narrower_bins_find_the_dark_level_of_fast_blinking():
    photons = dot(np.random.default_rng(9), 6.0, 2e5, (3000.0, 3000.0), dwell=0.01)
    found = ps.estimate_background(photons, "darkest", bin_width=1e-3)
    for d in (0, 1):
        assert abs(found.rate[d] - 3000.0) < 5 * found.rate_err[d]


def test_a_dim_state_that_shines_gives_way_to_the_decay():
    photons = dot(np.random.default_rng(10), 6.0, 3e4, (300.0, 300.0), dwell=0.3, dim=0.1)
    dark, both = ps.estimate_background(photons, "darkest"), ps.estimate_background(photons)
    assert "upper limit" in dark.method
    for d in (0, 1):
        assert dark.rate[d] == pytest.approx(300.0 + 1500.0, rel=0.05)
        assert abs(both.rate[d] - 300.0) < 4 * both.rate_err[d]


def test_light_that_outlives_the_period_is_no_background():
    photons = dot(np.random.default_rng(11), 6.0, 3e4, (300.0, 300.0), dwell=0.3, slow=0.1)
    flat, both = ps.estimate_background(photons, "decay"), ps.estimate_background(photons)
    assert flat.rate[0] > 600.0
    assert both.method == DARKEST
    assert "lies above its darkest level: light that outlives the period or afterpulses" in both.note
    assert abs(both.rate[0] - 300.0) < 5 * both.rate_err[0]


def test_pieces_of_one_pass_give_the_same():
    photons = dot(np.random.default_rng(12), 4.0, 3e4, (300.0, 500.0), dwell=0.2)
    whole = ps.estimate_background(photons)
    bounds = [0.0, 0.00351, 0.4, 0.40001, 2.0, 3.9999, 4.0]
    parts = ps.estimate_background(photons.between(a, b) for a, b in pairwise(bounds))
    assert parts.rate == pytest.approx(whole.rate, rel=1e-9)
    assert parts.rate_err == pytest.approx(whole.rate_err, rel=1e-9)
    darkest = (
        ps.estimate_background(x, "darkest") for x in (photons, [photons.between(0, 1.5), photons.between(1.5, 4)])
    )
    assert next(darkest).rate == next(darkest).rate


def test_shift_of_time_changes_nothing_and_swapped_detectors_swap():
    photons = dot(np.random.default_rng(13), 4.0, 3e4, (300.0, 500.0), dwell=0.2)
    units = {"timestamps_unit": PERIOD, "tcspc_unit": TICK, "duration": 4.0}
    late = ps.PhotonStream(
        photons.timestamps + 5 * 10**10, photons.detectors, photons.nanotimes, start=5 * 10**10 * PERIOD, **units
    )
    swapped = ps.PhotonStream(photons.timestamps, 1 - photons.detectors, photons.nanotimes, **units)
    here = ps.estimate_background(photons)
    assert ps.estimate_background(late).rate == pytest.approx(here.rate, rel=1e-3)
    assert ps.estimate_background(swapped).rate == pytest.approx({1: here.rate[0], 0: here.rate[1]}, rel=1e-9)


def test_given_decays_are_used():
    photons = dot(np.random.default_rng(14), 4.0, 3e4, (300.0, 500.0), dwell=0.2)
    decays = {d: ps.decay(photons, d) for d in (0, 1)}
    assert ps.estimate_background(photons, "decay", decays=decays).rate == pytest.approx(
        ps.estimate_background(photons, "decay").rate, rel=1e-9
    )
    without = {d: ps.Decay(x.counts, x.bin_width, x.period) for d, x in decays.items()}
    with pytest.raises(ValueError, match="has no duration"):
        ps.estimate_background(photons, "decay", decays=without)


def test_mixture_finds_levels_and_shares():
    rng = np.random.default_rng(15)
    counts = rng.permutation(np.concatenate([rng.poisson(m, n) for m, n in ((3, 2000), (40, 1000), (200, 3000))]))
    means, shares = poisson_mixture(counts)
    assert means.size == 3
    np.testing.assert_allclose(means, [3, 40, 200], rtol=0.05)
    np.testing.assert_allclose(shares, [1 / 3, 1 / 6, 1 / 2], atol=0.02)
    assert np.mean([poisson_mixture(rng.poisson(30, 500))[0].size > 1 for _ in range(100)]) < 0.1


def test_dark_bins_are_not_chosen_by_their_own_count():
    rng, pulls = np.random.default_rng(16), []
    for _ in range(200):
        on = np.repeat(rng.random(60) < 0.5, 20)
        counts = rng.poisson(np.where(on, 8.0, 2.0))
        chosen, reason = dark_bins(counts)
        if not reason:
            assert chosen.sum() >= 10
            pulls.append((counts[chosen].mean() - 2.0) * math.sqrt(chosen.sum() / 2.0))
    assert len(pulls) > 150
    assert abs(np.mean(pulls)) < 0.5
    assert np.std(pulls) < 1.25


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (partial(ps.estimate_background, method="guess"), "method='guess'"),
        (partial(ps.estimate_background, bin_width=0.0), "bin_width must be a positive time"),
        (partial(ps.estimate_background, method="darkest", bin_width=0.1), "fewer than 20 bins of 0.1 s"),
        (partial(ps.estimate_background, method="decay"), "fewer than 100 photons"),
    ],
)
def test_messages(call, message):
    photons = dot(np.random.default_rng(17), 1.0, 20.0, (1.0, 1.0))
    with pytest.raises(ValueError, match=message):
        call(photons)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_hardly_any_photons(n):
    photons = ps.PhotonStream([5, 9][:n], [0, 1][:n], [3, 4][:n], timestamps_unit=1e-7, tcspc_unit=1e-9, duration=1.0)
    with pytest.raises(ValueError, match="no photons" if n == 0 else "no background can be estimated"):
        ps.estimate_background(photons)
    with pytest.raises(ValueError, match="no pieces"):
        ps.estimate_background(iter([]))


def test_many_lifetimes_leave_a_bias_of_few_errors():
    rng = np.random.default_rng(18)
    photons = dot(rng, 10.0, 1.5e5, (300.0, 300.0), lifetimes=np.geomspace(1e-9, 40e-9, 12), shares=np.full(12, 1 / 12))
    found = ps.estimate_background(photons, "decay")
    # a continuum of lifetimes cannot be told from few: the bias stays within a few errors, far below the level before
    # the pulse, 850 Hz
    for d in (0, 1):
        assert abs(found.rate[d] - 300.0) < 5 * found.rate_err[d]
        assert found.rate[d] < 600.0


def test_pulses_with_an_echo_have_a_flat_part_of_larger_error():
    rng, n = np.random.default_rng(19), 400_000
    echo = rng.random(n) < 0.02
    late = np.where(echo, 60e-9 + rng.normal(0, 1e-9, n), rng.exponential(10e-9, n)) + 20e-9
    pulse = np.sort(rng.integers(0, 5 * 10**7, n + 3000))
    nanotime = np.concatenate([late / TICK, rng.uniform(0, PERIOD / TICK, 3000)]).astype(int).clip(0, 780)
    photons = ps.PhotonStream(
        pulse,
        np.zeros(n + 3000, int),
        rng.permutation(nanotime),
        timestamps_unit=PERIOD,
        tcspc_unit=TICK,
        duration=10.0,
    )
    found = ps.estimate_background(photons, "decay")
    assert "the error of its flat part reaches to the level before the pulse" in found.note
    assert abs(found.rate[0] - 300.0) < 3 * found.rate_err[0]
    assert found.rate_err[0] > 8.0


def test_superfluous_lifetimes_of_few_photons_end_in_a_verdict(capfd):
    rng = np.random.default_rng(1)
    for _ in range(12):
        time = np.concatenate([20e-9 + rng.exponential(25e-9, 3000), rng.uniform(0, PERIOD, 18000)])
        curve = ps.Decay(np.bincount((time % PERIOD / TICK).astype(int), minlength=782), TICK, PERIOD, 60.0)
        fit = ps.fit_decay(curve, 4, errors="hessian")
        assert not fit.converged or fit.p_value > 0
    assert capfd.readouterr().err == ""
