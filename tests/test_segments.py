"""Lifetimes of segments: truth, a second way to the same numbers, cuts, shifts, detectors, edges and messages."""

import json
import math

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize_scalar

import photonstats as ps
from photonstats.decays.segment_fit import collect_entries
from photonstats.decays.segments import Segments, fit_segments
from photonstats.kernels.segments import threshold

PERIOD, UNIT, SIGMA, PULSE, LENGTH = 100e-9, 64e-12, 300e-12, 10e-9, 1e-2
IRF = ps.GaussianIRF(sigma=SIGMA, center=PULSE)
FIELDS = ("counts", "lifetimes", "lifetimes_err", "lifetimes_ci")


def draw(rng, means, lifetime, background=0.0, *, delays=(0.0,), poisson=True, start=0):
    """Return a stream and edges; background: expected photons of each segment, on all detectors alike.

    `means`: expected photons of each segment without background; `lifetime` one or one for each segment, s.
    """
    means = np.asarray(means, float)
    signal = rng.poisson(means) if poisson else means.astype(int)
    flat = rng.poisson(np.broadcast_to(background, means.shape))
    segment = np.repeat(np.arange(means.size), signal)
    times = rng.exponential(1.0, segment.size) * np.broadcast_to(lifetime, means.shape)[segment]
    times += PULSE + rng.normal(0.0, SIGMA, segment.size)
    segment = np.concatenate([segment, np.repeat(np.arange(means.size), flat)])
    detectors = rng.integers(0, len(delays), segment.size)
    times = np.concatenate([times, rng.uniform(0, PERIOD, flat.sum())]) + np.array(delays)[detectors]
    pulses = np.floor((segment + rng.uniform(0, 1, segment.size)) * (LENGTH / PERIOD)).astype(np.int64) + start
    order = np.argsort(pulses, kind="stable")
    nanotimes = np.minimum(times % PERIOD / UNIT, np.ceil(PERIOD / UNIT) - 1).astype(int)
    edges = start * PERIOD + np.arange(means.size + 1) * LENGTH
    stream = ps.PhotonStream(
        pulses[order], detectors[order], nanotimes[order], timestamps_unit=PERIOD, tcspc_unit=UNIT,
        duration=means.size * LENGTH, start=start * PERIOD,
    )  # fmt: skip
    return stream, edges


def inside(interval, truth):
    """Return the share of intervals [k, 2] that hold the truth."""
    return np.mean((interval[:, 0] <= truth) & (truth <= interval[:, 1]))


def same(a, b):
    return all(np.array_equal(getattr(a, name), getattr(b, name), equal_nan=True) for name in FIELDS)


def pieces_of(photons, cuts):
    """Cut a stream at these photons into pieces that tile its window."""
    times = photons.timestamps[np.asarray(cuts, int)] * photons.timestamps_unit
    borders = [photons.start, *times, photons.start + photons.duration]
    ends = [0, *cuts, len(photons)]
    for i in range(len(ends) - 1):
        part = photons[ends[i] : ends[i + 1]]
        yield ps.PhotonStream(
            part.timestamps, part.detectors, part.nanotimes, timestamps_unit=PERIOD, tcspc_unit=UNIT,
            start=borders[i], duration=borders[i + 1] - borders[i],
        )  # fmt: skip


@pytest.mark.parametrize("background", [0.0, 40.0])
@pytest.mark.parametrize("irf", [None, "gaussian", "width fitted", "measured"])
def test_pulls_of_lifetimes_are_normal(irf, background):
    rng = np.random.default_rng(7)
    truth = rng.choice([4e-9, 15e-9, 50e-9], 300)
    photons, edges = draw(rng, np.full(300, 300), truth, background)
    response = {"gaussian": IRF, "width fitted": ps.GaussianIRF()}.get(irf)
    if irf == "measured":
        response = ps.decay(draw(rng, [200000.0], 0.0)[0])
    found = fit_segments(photons, edges, response, background / LENGTH)
    pulls = np.log(found.lifetimes / truth) / (found.lifetimes_err / found.lifetimes)
    assert stats.kstest(pulls, "norm").pvalue > 1e-3
    assert found.n_photons == len(photons)
    assert found.shifts[0] == pytest.approx({None: PULSE, "width fitted": PULSE}.get(irf, 0.0), abs=0.3e-9)


def test_simulated_dot_with_two_levels():
    levels = (ps.simulate.Level(1.0, 20e-9), ps.simulate.Level(0.3, 5e-9))
    dot = ps.simulate.Emitter(20e-9, blinking=ps.simulate.Blinking(levels, ps.simulate.Exponential(0.1)))
    photons, truth = ps.simulate.pulsed(
        [dot], duration=3.0, laser_period=200e-9, excitation=0.05, rate=3e4, background=500.0, irf_sigma=150e-12,
        t0=15e-9, delay=4e-9, seed=3,
    )  # fmt: skip
    path = truth.paths[0]
    edges = np.clip(path.edges, 0.0, photons.duration)
    found = fit_segments(photons, edges, ps.GaussianIRF(), 500.0)
    expected = np.where(path.levels == 0, 20e-9, 5e-9)
    many = found.counts > 50
    pulls = (np.log(found.lifetimes / expected) / (found.lifetimes_err / found.lifetimes))[many]
    assert many.sum() > 10
    assert stats.chi2.sf(np.sum(pulls**2), many.sum()) > 1e-3
    assert found.shifts[1] - found.shifts[0] == pytest.approx(4e-9, abs=0.1e-9)


def shares_of_classes(layout, tau):
    """Return the density of each class: an exponential with Gaussian jitter, summed over many periods."""
    n = layout.class_of.shape[1]
    edges = np.minimum(np.arange(n + 1) * UNIT, PERIOD)
    law = stats.exponnorm(tau / SIGMA, loc=PULSE, scale=SIGMA)
    images = np.arange(-1, int(40 * tau / PERIOD) + 2)
    bins = sum(np.diff(law.cdf(edges + image * PERIOD)) for image in images)
    return np.bincount(layout.class_of[0], bins), np.bincount(layout.class_of[0], np.diff(edges) / PERIOD)


@pytest.mark.parametrize(
    ("n", "background"), [(40, 0.0), (400, 0.0), (40, 8.0), (40, 120.0), (400, 60.0), (3000, 10.0)]
)
def test_agrees_with_a_likelihood_in_ten_lines(n, background):
    photons, edges = draw(np.random.default_rng(n), [n, n], 12e-9, background)
    found = fit_segments(photons, edges, IRF, background / LENGTH, shift=0.0)
    entries = collect_entries(photons, edges, None)
    begin, end = entries.ends
    counts = np.bincount(entries.entry_class[begin:end], entries.entry_count[begin:end], entries.layout.n_classes)

    def profile(tau):
        p, q = shares_of_classes(entries.layout, tau)
        if not background:
            return -float(counts @ np.log(np.maximum(p, 1e-300)))
        return minimize_scalar(
            lambda s: s + background - counts @ np.log(s * p + background * q), bounds=(0, 3 * n), method="bounded"
        ).fun

    tau = found.lifetimes[1]
    best = minimize_scalar(lambda x: profile(math.exp(x)), bracket=(math.log(tau) - 0.1, math.log(tau) + 0.1))
    assert math.exp(best.x) == pytest.approx(tau, abs=0.02 * found.lifetimes_err[1])
    # No bound is nearer than 2.5 standard errors: the limit is that of chi-square, a little wider at few photons.
    signal = 1.0 - background / counts.sum()
    limit = stats.chi2.ppf(0.95, 1) * (1.0 + 0.5 / (counts.sum() * signal**2))
    for end_of in found.lifetimes_ci[1]:
        assert 2.0 * (profile(end_of) - best.fun) == pytest.approx(limit, rel=0.03)


def test_time_of_origin_does_not_matter():
    first, edges = draw(np.random.default_rng(1), np.full(20, 60), 10e-9, 6.0)
    late, moved = draw(np.random.default_rng(1), np.full(20, 60), 10e-9, 6.0, start=10**10)
    assert same(fit_segments(first, edges, IRF, 600.0), fit_segments(late, moved, IRF, 600.0))


@pytest.mark.parametrize("background", [None, 600.0])
def test_cuts_anywhere_change_nothing(background):
    rng = np.random.default_rng(2)
    photons, edges = draw(rng, rng.uniform(0, 120, 60), 10e-9, 6.0, delays=(0.0, 7e-9))
    edges = edges[3:-2]
    whole = fit_segments(photons, edges, IRF, background)
    cuts = np.sort(rng.choice(np.arange(1, len(photons)), 200, replace=False))
    for each in (cuts, [1], [len(photons) - 1], cuts[:3], np.repeat(cuts[:2], 3)):
        assert same(whole, fit_segments(pieces_of(photons, each), edges, IRF, background))


def test_cuts_within_the_photons_that_place_the_classes():
    photons, edges = draw(np.random.default_rng(3), np.full(300, 500), 10e-9)
    whole = fit_segments(photons, edges, IRF, shift=0.0)
    assert len(photons) > 140000
    assert same(whole, fit_segments(pieces_of(photons, [100, 120000, 140000]), edges, IRF, shift=0.0))


def test_the_last_segment_takes_a_photon_on_the_very_end_of_the_recording():
    photons = ps.PhotonStream(
        [10, 200, 1000], [0] * 3, [300] * 3, timestamps_unit=PERIOD, tcspc_unit=UNIT, duration=1000 * PERIOD
    )
    edges = np.array([0.0, 200.0, 1000.0]) * PERIOD
    assert fit_segments(photons, edges, IRF, shift=0.0).counts.tolist() == [1, 2]
    assert fit_segments(photons, [0.0, 200 * PERIOD], IRF, shift=0.0).counts.tolist() == [1]


@pytest.mark.parametrize("distance", [0.0, 0.5, 1.0, 1.6, 2.5, 4.0])
@pytest.mark.parametrize("alpha", [0.05, 0.32])
def test_limits_near_a_bound_are_those_of_a_normal_estimate_that_ends_there(distance, alpha):
    root = float(np.sqrt(stats.chi2.isf(alpha, 1)))
    limit = threshold(root, alpha, distance, 20.0)
    assert threshold(root, alpha, 20.0, distance) == pytest.approx(limit)
    z = np.random.default_rng(0).normal(size=400000)
    ends = np.maximum(z, -distance)
    beyond = np.sum(z**2 - (z - ends) ** 2 > limit)
    assert min(stats.binom.cdf(beyond, z.size, alpha), stats.binom.sf(beyond, z.size, alpha)) > 1e-4


def test_many_segments_go_to_threads_and_give_the_same():
    photons, edges = draw(np.random.default_rng(3), np.full(5000, 8), 10e-9, 1.0)
    many = fit_segments(photons, edges, IRF, 100.0, shift=0.0)
    few = fit_segments(photons, edges[:4001], IRF, 100.0, shift=0.0)
    assert np.allclose(many.lifetimes[:4000], few.lifetimes, rtol=2e-3, equal_nan=True)


def test_detectors_have_their_own_delays():
    photons, edges = draw(np.random.default_rng(4), np.full(100, 400), 6e-9, delays=(0.0, 35e-9))
    found = fit_segments(photons, edges, IRF)
    assert found.shifts == pytest.approx({0: 0.0, 1: 35e-9}, abs=50e-12)
    pulls = (found.lifetimes - 6e-9) / found.lifetimes_err
    assert stats.chi2.sf(np.sum(pulls**2), 100) > 1e-3
    one = fit_segments(photons, edges, IRF, detectors=1)
    assert one.detectors == (1,)
    assert one.n_photons == photons.counts_per_detector[1]
    given = fit_segments(photons, edges, IRF, shift={0: 0.0, 1: 35e-9})
    assert np.allclose(given.lifetimes, found.lifetimes, rtol=0.02)


def test_without_photons_or_without_signal_nothing_is_guessed():
    rng = np.random.default_rng(5)
    photons, edges = draw(rng, [0, 300, 0, 0, 300], 10e-9, [0.0, 50.0, 30.0, 50.0, 50.0])
    found = fit_segments(photons, edges, IRF, 50.0 / LENGTH)
    assert found.counts[0] == 0
    assert np.isnan(found.lifetimes[[0, 2, 3]]).all()
    assert np.isnan(found.lifetimes_err[[0, 2, 3]]).all()
    assert np.array_equal(found.lifetimes_ci[[0, 2, 3]], [[0.0, np.inf]] * 3)
    assert np.all(abs(found.lifetimes[[1, 4]] - 10e-9) < 4 * found.lifetimes_err[[1, 4]])
    assert found.rates_ci[0, 0] == 0
    json.dumps(found.to_dict(), allow_nan=False)


def test_no_photons_in_any_segment():
    photons = ps.PhotonStream([5, 10**6], [0, 0], [5, 5], timestamps_unit=PERIOD, tcspc_unit=UNIT, duration=1.0)
    found = fit_segments(photons, [0.01, 0.02, 0.03], IRF)
    assert np.isnan(found.lifetimes).all()
    assert np.array_equal(found.counts, [0, 0])
    with pytest.raises(ValueError, match="holds no photons"):
        fit_segments(photons[:0], [0.01, 0.02], IRF)


@pytest.mark.parametrize("n", [1, 2])
def test_one_and_two_photons(n):
    photons = ps.PhotonStream([5] * n, [0] * n, [400] * n, timestamps_unit=PERIOD, tcspc_unit=UNIT, duration=1.0)
    found = fit_segments(photons, [0.0, 1.0], IRF, shift=0.0)
    delay = 400.5 * UNIT - PULSE
    assert 0 < found.lifetimes_ci[0, 0] < delay < found.lifetimes_ci[0, 1]


def test_a_flat_segment_has_an_open_interval_and_a_prompt_one_goes_to_zero():
    rng = np.random.default_rng(6)
    prompt, edges = draw(rng, [400], 0.0)
    flat, _ = draw(rng, [0], 1e-9, 400.0)
    early = fit_segments(prompt, edges, IRF, shift=0.0)
    late = fit_segments(flat, edges, IRF, shift=0.0)
    assert early.lifetimes_ci[0, 0] == 0 or early.lifetimes[0] < 50e-12
    assert early.lifetimes_ci[0, 1] < 100e-12
    assert late.lifetimes_ci[0, 1] == np.inf
    assert late.lifetimes_ci[0, 0] > 100e-9


@pytest.mark.parametrize("delays", [(0.0,), (0.0, 12e-9)])
def test_shares_of_two_lifetimes(delays):
    rng = np.random.default_rng(8)
    share = rng.uniform(0, 1, 120)
    fast, edges = draw(rng, 200 * share, 2e-9, 5.0, delays=delays)
    slow, _ = draw(rng, 200 * (1 - share), 25e-9, 5.0, delays=delays)
    order = np.argsort(np.concatenate([fast.timestamps, slow.timestamps]), kind="stable")
    joined = [
        np.concatenate([getattr(s, x) for s in (fast, slow)])[order] for x in ("timestamps", "detectors", "nanotimes")
    ]
    photons = ps.PhotonStream(*joined, timestamps_unit=PERIOD, tcspc_unit=UNIT, duration=fast.duration)
    rate = 10.0 / LENGTH / len(delays)
    found = fit_segments(photons, edges, IRF, rate, lifetimes=(2e-9, 25e-9))
    shared = fit_segments(photons, edges, IRF, rate, lifetimes="shared")
    held = np.mean((found.fractions_ci[:, 0] <= share) & (share <= found.fractions_ci[:, 1]))
    assert stats.binom.cdf(held * 120, 120, 0.95) > 1e-3
    assert np.allclose(found.lifetimes, 2e-9 * found.fractions + 25e-9 * (1 - found.fractions))
    assert shared.shared == pytest.approx((2e-9, 25e-9), rel=0.1)
    assert np.allclose(shared.fractions, found.fractions, atol=0.15)
    assert "median share of the first" in shared.summary()


def test_segments_in_give_segments_out():
    photons, edges = draw(np.random.default_rng(9), np.full(10, 50), 10e-9)
    given = Segments(edges, np.zeros(10, int), times_ci=np.stack([edges, edges], axis=1)[1:-1])
    found = fit_segments(photons, given, IRF)
    assert np.array_equal(found.times_ci, given.times_ci)
    assert found.counts.sum() == len(photons)
    assert given.lifetimes is None
    assert not found.edges.flags.writeable


def test_plots_show_what_was_found():
    photons, edges = draw(np.random.default_rng(9), [50, 80, 0, 40], 10e-9)
    found = fit_segments(photons, edges, IRF)
    import matplotlib.pyplot as plt

    trace, against = found.plot(), found.plot(against="rate")
    assert trace.collections[-1].get_array().size == 3
    assert against.lines[0].get_xdata().size == 3
    assert "lifetime" in against.get_ylabel()
    Segments(edges, found.counts).plot()
    with pytest.raises(ValueError, match="no lifetimes yet"):
        Segments(edges, found.counts).plot(against="rate")
    plt.close("all")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"segments": [0.0, 2e-2, 1e-2]}, "edges of segments must rise: edge 2 at 0.01 s follows 0.02 s"),
        ({"segments": [0.0]}, "at least two edges"),
        ({"segments": [0.0, 1.0]}, "reach beyond the recording, 0 s to 0.04 s"),
        ({"segments": [-1.0, 0.01]}, "reach beyond the recording"),
        ({"background": {3: 5.0}}, "no rate for detector 0"),
        ({"background": -5.0}, "must be a rate >= 0"),
        ({"shift": {3: 1e-9}}, "shift has no time for detectors"),
        ({"level": 1.0}, "level must lie between 0 and 1"),
        ({"lifetimes": (1e-9,)}, "two different times"),
        ({"lifetimes": "auto"}, "two different times"),
        ({"irf": ps.GaussianIRF(tail="fit")}, "without tail"),
    ],
)
def test_messages(change, message):
    photons, edges = draw(np.random.default_rng(9), [50, 80, 10, 40], 10e-9)
    with pytest.raises(ValueError, match=message):
        fit_segments(photons, **{"segments": edges, "irf": IRF, **change})


def test_messages_of_the_photons():
    photons, edges = draw(np.random.default_rng(9), [50, 80, 10, 40], 10e-9)
    bare = ps.PhotonStream(photons.timestamps, photons.detectors, timestamps_unit=PERIOD, duration=photons.duration)
    with pytest.raises(ValueError, match="no nanotimes"):
        fit_segments(bare, edges, IRF)
    with pytest.raises(ValueError, match="no pieces"):
        fit_segments([], edges, IRF)
    with pytest.raises(TypeError, match="irf must be"):
        fit_segments(photons, edges, 3.0)


def test_a_detector_that_wakes_up_late_is_named():
    photons, edges = draw(np.random.default_rng(3), np.full(300, 500), 10e-9)
    late = np.array(photons.detectors)
    late[135000:] = 3
    other = ps.PhotonStream(
        photons.timestamps, late, photons.nanotimes, timestamps_unit=PERIOD, tcspc_unit=UNIT, duration=photons.duration
    )
    with pytest.raises(ValueError, match=r"detectors \[3\] have no photons among the first"):
        fit_segments(other, edges, IRF, shift=0.0)
    with pytest.raises(ValueError, match=r"detectors \[3\] have no photons among the first"):
        fit_segments(pieces_of(other, [100, 120000, 140000]), edges, IRF, shift=0.0)
    assert fit_segments(other, edges, IRF, shift=0.0, detectors=[0, 3]).n_photons == len(photons)
