"""Pile-up, uneven bins and flat offsets against photons drawn one by one."""

import math

import numpy as np
import pytest

import photonstats as ps
from photonstats import Decay
from photonstats.kernels.pileup import pile_up

PERIOD, BINS = 50e-9, 100


def first_photons(rng, pulses, per_pulse, tau):
    """Return delays of the first photon of each pulse, and of all photons."""
    n = rng.poisson(per_pulse, pulses)
    each = np.repeat(np.arange(pulses), n)
    times = rng.exponential(tau, each.size)
    first = np.full(pulses, np.inf)
    np.minimum.at(first, each, times)
    return first[first < PERIOD], times[times < PERIOD]


def histogram(times, pulses):
    return Decay(np.bincount((times / PERIOD * BINS).astype(int), minlength=BINS)[:BINS], PERIOD / BINS, PERIOD,
                 pulses * PERIOD)  # fmt: skip


def test_coates_gives_back_what_was_hidden_with_errors_that_hold():
    rng = np.random.default_rng(1)
    pulses, truth = 20_000, []
    edges = np.arange(BINS + 1) * PERIOD / BINS
    expected = 0.4 * pulses * -np.diff(np.exp(-edges / 8e-9))
    pulls = []
    for _ in range(60):
        seen, _ = first_photons(rng, pulses, 0.4, 8e-9)
        found = ps.coates(histogram(seen, pulses))
        pulls.append((found.counts - expected)[:60] / found.counts_err[:60])
        truth.append(found.per_pulse)
    pulls = np.array(pulls)
    assert np.mean(truth) == pytest.approx(1 - math.exp(-0.4), abs=0.01)
    # the errors of bins with few counts follow the counts, hence the small bias
    assert abs(pulls[:, :30].mean()) < 0.1
    assert np.mean(np.abs(pulls[:, :30]) < 1.96) == pytest.approx(0.95, abs=0.015)
    assert "lost to" in found.summary()
    found.plot().figure.canvas.draw()


def test_the_model_of_pile_up_is_that_of_first_photons():
    rng = np.random.default_rng(2)
    pulses = 2_000_000
    seen, _ = first_photons(rng, pulses, 0.5, 8e-9)
    edges = np.arange(BINS + 1) * PERIOD / BINS
    model = 0.5 * pulses * -np.diff(np.exp(-edges / 8e-9))
    pile_up(model, np.zeros((1, BINS)), float(pulses))
    counts = histogram(seen, pulses).counts
    assert np.sum((counts - model) ** 2 / model) == pytest.approx(BINS, abs=5 * math.sqrt(2 * BINS))


def test_derivatives_of_pile_up():
    rng = np.random.default_rng(3)
    model, direction = rng.uniform(1, 50, 20), rng.normal(size=(2, 20))
    there, slopes = model.copy(), direction.copy()
    pile_up(there, slopes, 1000.0)
    for a in range(2):
        up, down = model + 1e-4 * direction[a], model - 1e-4 * direction[a]
        for each in (up, down):
            pile_up(each, np.zeros((1, 20)), 1000.0)
        assert slopes[a] == pytest.approx((up - down) / 2e-4, rel=1e-5, abs=1e-8)


def test_bins_of_a_flat_measurement():
    rng = np.random.default_rng(4)
    gain = 1 + 0.05 * np.cos(np.arange(BINS))
    found = ps.nonlinearity(Decay(rng.poisson(1e5 * gain), PERIOD / BINS, PERIOD))
    pull = (found.gain - gain / gain.mean()) / found.gain_err
    assert np.std(pull) == pytest.approx(1.0, abs=0.25)
    assert found.rms == pytest.approx(0.05 / math.sqrt(2), rel=0.1)
    assert found.p_value < 1e-6
    even = ps.nonlinearity(Decay(rng.poisson(np.full(BINS, 1000.0)), PERIOD / BINS, PERIOD))
    assert even.p_value > 1e-3
    assert "uneven" in found.summary()
    found.plot().figure.canvas.draw()
    coarse = found.of(Decay(np.ones(50, int), 2 * PERIOD / BINS, PERIOD))
    assert coarse == pytest.approx(found.gain.reshape(50, 2).mean(axis=1))
    with pytest.raises(ValueError, match="no whole multiple"):
        found.of(Decay(np.ones(50, int), 1.3 * PERIOD / BINS, PERIOD))
    with pytest.raises(ValueError, match="at least 25"):
        ps.nonlinearity(Decay(np.ones(50, int), 1e-9))


def test_uneven_bins_are_corrected_in_a_fit():
    rng = np.random.default_rng(5)
    gain = 1 + 0.1 * np.cos(np.arange(BINS) / 2)
    flat = ps.nonlinearity(Decay(rng.poisson(1e5 * gain), PERIOD / BINS, PERIOD))
    edges = np.arange(BINS + 1) * PERIOD / BINS
    shape = -np.diff(np.exp(-edges / 8e-9)) / -np.expm1(-PERIOD / 8e-9)
    curve = Decay(rng.poisson(1e6 * shape * gain), PERIOD / BINS, PERIOD)
    fit = ps.fit_decay(curve, fit_range=(0, PERIOD), nonlinearity=flat.of(curve))
    assert abs(fit.lifetimes[0] - 8e-9) < 4 * fit.lifetimes_err[0]
    assert fit.p_value > 1e-4
    assert ps.fit_decay(curve, fit_range=(0, PERIOD)).p_value < 1e-10


def test_offset_of_dark_counts_and_afterpulses():
    rng = np.random.default_rng(6)
    seconds, light, dark, share = 5.0, 40_000, 200.0, 0.02
    n = rng.poisson(light * seconds)
    late = rng.poisson((n * share) / (1 - share))  # afterpulses of afterpulses too
    flat = rng.uniform(0, PERIOD, rng.poisson(dark * seconds) + late)
    times = np.concatenate([rng.exponential(5e-9, n) % PERIOD, flat])
    curve = Decay(np.bincount((times / PERIOD * BINS).astype(int), minlength=BINS), PERIOD / BINS, PERIOD, seconds)
    offset, error = ps.expected_offset(curve, dark, afterpulsing=share, dark_rate_err=20.0, afterpulsing_err=0.002)
    assert abs(offset - flat.size / BINS) < 4 * math.sqrt(flat.size) / BINS
    assert error == pytest.approx(math.hypot(seconds / BINS * 20.0, n * 0.002 / BINS), rel=0.05)
    with pytest.raises(ValueError, match="below 1"):
        ps.expected_offset(curve, 1.0, afterpulsing=1.0)
    with pytest.raises(ValueError, match="period and duration"):
        ps.expected_offset(Decay([1], 1e-9), 10.0)
    with pytest.raises(ValueError, match="must not be negative"):
        ps.expected_offset(curve, -1.0)


def test_messages_of_coates():
    with pytest.raises(ValueError, match="give n_pulses, or a decay"):
        ps.coates(Decay([5, 5], 1e-9))
    with pytest.raises(ValueError, match="must exceed"):
        ps.coates(Decay([5, 5], 1e-9), n_pulses=10)


def test_every_detection_may_have_an_afterpulse():
    rng = np.random.default_rng(7)
    n, share, late = 200_000, 0.2, 0
    newest = n
    while newest:
        newest = rng.binomial(newest, share)
        late += newest
    times = np.concatenate([rng.exponential(5e-9, n) % PERIOD, rng.uniform(0, PERIOD, late)])
    curve = Decay(np.bincount((times / PERIOD * BINS).astype(int), minlength=BINS), PERIOD / BINS, PERIOD, 5.0)
    assert abs(ps.expected_offset(curve, 0.0, afterpulsing=share)[0] - late / BINS) < 4 * math.sqrt(late) / BINS


def test_lifetime_at_thirty_percent_detections_per_pulse():
    rng = np.random.default_rng(8)
    pulses, tau, centres = 20_000, 8e-9, (np.arange(BINS) + 0.5) * PERIOD / BINS
    use = centres < 30e-9
    edges = np.arange(BINS + 1) * PERIOD / BINS
    truth = -np.diff(np.exp(-edges / tau))[use]
    mean = truth @ centres[use] / truth.sum()
    pulls, raw = [], []
    for _ in range(300):
        curve = histogram(first_photons(rng, pulses, -math.log(0.7), tau)[0], pulses)
        found = ps.coates(curve)
        ours = found.counts[use] @ centres[use] / found.counts[use].sum()
        error = math.sqrt(np.sum(((centres[use] - ours) * found.counts_err[use]) ** 2)) / found.counts[use].sum()
        pulls.append((ours - mean) / error)
        raw.append((curve.counts[use] @ centres[use] / curve.counts[use].sum() - mean) / error)
    assert abs(np.mean(pulls)) < 4 / math.sqrt(300)
    assert np.std(pulls) == pytest.approx(1.0, abs=4 / math.sqrt(600))
    assert np.mean(raw) < -3


def test_gain_of_a_shorter_decay_has_mean_one_and_a_dead_bin_has_an_error():
    counts = np.linspace(5000, 20000, 200).astype(int)
    counts[7] = 0
    found = ps.nonlinearity(Decay(counts, 0.25e-9, PERIOD))
    assert found.of(Decay(np.ones(50, int), 0.25e-9, 12.5e-9)).mean() == pytest.approx(1.0)
    assert found.gain_err[7] > 0
