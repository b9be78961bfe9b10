"""Correlation at log-spaced lags: brute force, independent light, blinking, and what must not change the answer."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

import photonstats as ps
from photonstats.correlations import log_counts
from photonstats.kernels import loglags

TICK = 1e-9


def poisson_light(rng, seconds=1.0, n=60_000, start=0):
    times = np.sort(rng.integers(0, round(seconds / TICK), n)) + start
    return ps.PhotonStream(times, rng.integers(0, 2, n), timestamps_unit=TICK, duration=seconds, start=start * TICK)


def telegraph(rng, seconds, rate, on, off):
    """Return a T2 stream of a light that is on or off for exponential times."""
    switches = np.cumsum(rng.exponential(np.tile([on, off], round(3 * seconds / (on + off)))))
    n = rng.poisson(rate * seconds)
    times = np.sort(rng.uniform(0, seconds, n))
    times = times[np.searchsorted(switches, times) % 2 == 0]
    return ps.PhotonStream(
        (times / TICK).astype(np.int64), rng.integers(0, 2, times.size), timestamps_unit=TICK, duration=seconds
    )


def pairs_one_by_one(a, b, edges):
    counts = [0] * (len(edges) - 1)
    for x, y in itertools.product(a, b):
        for k in range(len(counts)):
            counts[k] += edges[k] <= y - x < edges[k + 1]
    return counts


@given(
    times=st.lists(st.integers(0, 3000), max_size=60),
    detectors=st.randoms(use_true_random=False),
    delay=st.integers(-40, 40),
    per_decade=st.integers(1, 30),
)
@settings(deadline=None, derandomize=True, max_examples=60)
def test_exact_is_the_count_of_all_pairs(times, detectors, delay, per_decade):
    times = [0, 0, *sorted(times)]
    which = [0, 1, *(detectors.randint(0, 1) for _ in times[2:])]
    photons = ps.PhotonStream(times, which, timestamps_unit=TICK, duration=3001 * TICK)
    found = ps.g2_log(photons, TICK, 2e-6, per_decade, delay=delay * TICK, sign="both")
    a, b = ([t for t, d in zip(times, which, strict=True) if d == side] for side in (0, 1))
    edges = found.lag_edges / TICK + delay
    assert np.all(np.abs(edges - np.rint(edges)) > 0.4)
    assert found.pairs.tolist() == pairs_one_by_one(a, b, edges)


@pytest.mark.parametrize("method", ["exact", "multitau"])
@pytest.mark.parametrize("start", [0, 10**12])
def test_independent_light_gives_one(method, start):
    photons = poisson_light(np.random.default_rng(4), start=start)
    found = ps.g2_log(photons, 1e-8, 0.5, delay=0.0, method=method, sign="both")
    exact = np.abs(found.lag) < (np.inf if method == "exact" else 7e-4)
    deviation = (found.pairs - found.expected) ** 2 / found.expected
    assert chi2.sf(deviation[exact].sum(), exact.sum()) > 1e-3
    # between bins of time neighbouring lags share pairs, and the ends of the window cut bins
    assert np.all(np.abs(found.g2[~exact] - 1.0) < 5.0 / np.sqrt(found.expected[~exact]) + 1e-3)


@pytest.mark.parametrize("method", ["exact", "multitau"])
def test_nothing_that_should_not_changes_the_answer(method):
    rng = np.random.default_rng(6)
    photons = poisson_light(rng)
    whole = ps.g2_log(photons, 1e-8, 0.1, delay=3e-9, method=method, sign="both")
    cuts = [0.0, 0.013, 0.5, 0.50001, 0.9, 1.0]
    pieces = (photons.between(x, y) for x, y in itertools.pairwise(cuts))
    cut = ps.g2_log(pieces, 1e-8, 0.1, delay=3e-9, method=method, sign="both")
    shifted = ps.PhotonStream(
        photons.timestamps + 10**11, photons.detectors, timestamps_unit=TICK, duration=1.0, start=100.0
    )
    later = ps.g2_log(shifted, 1e-8, 0.1, delay=3e-9, method=method, sign="both")
    for other in (cut, later):
        np.testing.assert_array_equal(other.pairs, whole.pairs)
        np.testing.assert_allclose(other.g2, whole.g2, rtol=1e-9)
        np.testing.assert_allclose(other.g2_err, whole.g2_err, rtol=1e-9)
    swapped = ps.g2_log(photons, 1e-8, 0.1, detectors=(1, 0), delay=-3e-9, method=method, sign="both")
    np.testing.assert_array_equal(swapped.pairs[::-1], whole.pairs)
    np.testing.assert_allclose(swapped.g2[::-1], whole.g2, rtol=1e-9)


def test_threads_do_not_change_the_answer(monkeypatch):
    photons = poisson_light(np.random.default_rng(6))
    one = ps.g2_log(photons, 1e-8, 0.1, delay=0.0)
    monkeypatch.setattr(log_counts, "_THREADED", 10)
    two = ps.g2_log(photons, 1e-8, 0.1, delay=0.0)
    np.testing.assert_array_equal(one.pairs, two.pairs)


def test_pulsed_light_by_absolute_time_agrees_with_g2():
    dot = ps.simulate.Emitter(lifetime=20e-9)
    photons, _ = ps.simulate.pulsed(dot, duration=2.0, laser_period=203.3e-9, rate=40e3, delay=5e-9, seed=8)
    log = ps.g2_log(photons, 1e-8, 1e-5, 4)
    edges = log.lag_edges
    fine = ps.g2(photons, window=1.2e-5, bin_width=photons.tcspc_unit, delay=log.delay)
    assert log.delay == pytest.approx(5e-9, abs=0.3e-9)
    for k in range(8):
        inside = (fine.lag > edges[k]) & (fine.lag < edges[k + 1])
        assert log.pairs[k] == pytest.approx(fine.pairs[inside].sum(), abs=6 + 0.02 * log.pairs[k])


@pytest.mark.parametrize("method", ["exact", "multitau"])
@pytest.mark.parametrize("order", [(0, 0), (1, 0), (0, 1, 0)])
def test_pieces_out_of_order_or_twice_are_refused(method, order):
    first = ps.PhotonStream([0, 10], [0, 1], timestamps_unit=1e-6, duration=1e-3)
    later = ps.PhotonStream([1500, 1600], [0, 1], timestamps_unit=1e-6, start=1e-3, duration=1e-3)
    with pytest.raises(ValueError, match="do not follow each other"):
        ps.g2_log(iter([(first, later)[i] for i in order]), 1e-6, 1e-3, delay=0.0, method=method)


def test_a_peer_counts_the_same_pairs():
    pycorrelate = pytest.importorskip("pycorrelate")
    photons = poisson_light(np.random.default_rng(9))
    found = ps.g2_log(photons, 1e-8, 0.1, delay=0.0)
    edges = np.rint(found.lag_edges / TICK + 0.5).astype(np.int64)
    a, b = (photons.timestamps[photons.detectors == d] for d in (0, 1))
    theirs = pycorrelate.pcorrelate(a, b, edges, normalize=False) * np.diff(edges)
    np.testing.assert_allclose(found.pairs, theirs, atol=0.5)


@pytest.mark.parametrize("method", ["exact", "multitau"])
def test_errors_hold_for_blinking_light(method):
    rng = np.random.default_rng(12)
    on, off = 0.01, 0.015
    fall, height = 1 / on + 1 / off, off / on
    inside = []
    for _ in range(40):
        found = ps.g2_log(telegraph(rng, 20.0, 8e3, on, off), 1e-5, 0.1, 4, delay=0.0, method=method)
        truth = 1.0 + height * np.exp(-fall * found.lag)
        inside.append((found.g2_ci[:, 0] <= truth) & (truth <= found.g2_ci[:, 1]))
    covered = np.mean(inside)
    assert 0.91 < covered < 0.985  # neighbouring lags move together: some forty independent sets


def test_multitau_stays_within_its_stated_error():
    rng = np.random.default_rng(3)
    photons = telegraph(rng, 60.0, 2e4, 0.02, 0.03)
    exact = ps.g2_log(photons, 1e-4, 1.0, 10, delay=0.0)
    coarse = ps.g2_log(photons, 1e-4, 1.0, 10, delay=0.0, method="multitau")
    at = np.searchsorted(exact.lag, coarse.lag).clip(1, exact.lag.size - 1)
    share = (np.log(coarse.lag) - np.log(exact.lag[at - 1])) / (np.log(exact.lag[at]) - np.log(exact.lag[at - 1]))
    between = exact.g2[at - 1] + share * (exact.g2[at] - exact.g2[at - 1])
    counting = 1.0 / np.sqrt(exact.pairs[at])
    assert np.all(np.abs(coarse.g2 - between) < 5 * counting + 0.012)  # the straight line between bins errs more
    assert coarse.method == "multitau"


@pytest.mark.parametrize("until", [[4_000_000], [5, 300, 1_000_000, 1_000_001, 3_999_990]])
@pytest.mark.parametrize("side", [1, -1])
def test_multitau_multiplies_counts_of_all_widths(side, until):
    rng = np.random.default_rng(2)
    a, b = (np.sort(rng.integers(0, 3_900_000, n)) for n in (90_000, 60_000))
    counter = log_counts.Coarse(log_counts.Lags.make(1.0, 1e6, 5, 0), side, 7, rate=0.02)
    for first, last in itertools.pairwise([0, *until]):
        counter.feed(*(x[(first <= x) & (x < last)] for x in (a, b)), last)
    found = counter.finish().pairs.sum(axis=0)[counter.n_exact_bins :]
    early, late = (a + 3, b - 4)[::side]
    for pairs, lags, widths in zip(found, counter.lag, counter.widths, strict=True):
        assert np.all(8 * widths <= lags)
        expected = 0
        for lag, width in zip(lags, widths, strict=True):
            x, y = (np.bincount(np.maximum(t, 0) // width, minlength=4_000_000 // width + 1) for t in (early, late))
            expected += np.dot(x[: -(lag // width)], y[lag // width :])
        assert pairs == expected
    assert found[-1] > 2**24  # more than a sum in float32 holds


@pytest.mark.parametrize("method", ["exact", "multitau"])
@pytest.mark.parametrize(("seconds", "unit"), [(700.0, 1e-12), (3600.0, 1e-12), (20_000.0, 4e-12)])
def test_long_recordings_in_fine_ticks_lose_no_pairs(method, seconds, unit):
    rng, period, n = np.random.default_rng(1), 30e-9, 30_000
    pulses = np.sort(rng.integers(0, round(seconds / period), n))
    nanotimes = rng.integers(0, round(0.9 * period / unit), n)
    photons = ps.PhotonStream(
        pulses, rng.integers(0, 2, n), nanotimes, timestamps_unit=period, tcspc_unit=unit, duration=seconds
    )
    found = ps.g2_log(photons, 1e-3, seconds / 100, 2, delay=0.0, method=method)
    assert abs(found.g2[-1] - 1.0) < 5 * found.g2_err[-1] < 0.1


def test_times_and_lags_beyond_the_integers_are_refused():
    photons = poisson_light(np.random.default_rng(1), n=100)
    stretches = np.array([[0.1, 0.3], [0.4, 0.45]])
    with pytest.raises(ValueError, match="lags beyond the duration of a stretch hold no pairs"):
        ps.g2_log(photons, 1e-6, 1e9, delay=0.0, stretches=stretches)
    late = ps.PhotonStream([0, 2**61, 2**61 + 1], [0, 0, 1], timestamps_unit=TICK, duration=3e9)
    with pytest.raises(ValueError, match="lasts longer than"):
        ps.g2_log(late, 1e-6, 1.0, delay=0.0)


def test_bins_before_the_first_are_in_no_block():
    # levels of bins far wider than the blocks of a short recording: those kept in front lie many blocks before it
    counts, pairs = np.ones(16 + 4096, np.float32), np.zeros((64, 8), np.int64)
    counts[:16] = 0.0
    loglags._add_products.py_func(counts, counts, -16, 20, 1 << 12, np.arange(8), pairs)
    assert pairs[0].tolist() == [1] * 8
    assert not pairs[1:].any()


def test_stretches_are_correlated_alone():
    photons = poisson_light(np.random.default_rng(5))
    stretches = np.array([[0.1, 0.3], [0.4, 0.45]])
    whole = ps.g2_log(photons, 1e-7, 1e-2, 4, delay=0.0, stretches=stretches)
    parts = [ps.g2_log(photons.between(*s), 1e-7, 1e-2, 4, delay=0.0) for s in stretches]
    np.testing.assert_array_equal(whole.pairs, sum(p.pairs for p in parts))
    np.testing.assert_allclose(whole.expected, sum(p.expected for p in parts), rtol=1e-4)


def test_background_leaves_the_light():
    rng = np.random.default_rng(7)
    seconds, rate, dark = 20.0, 8e3, 4e3
    light = telegraph(rng, seconds, rate, 0.01, 0.01)
    flat = np.sort(rng.integers(0, round(seconds / TICK), rng.poisson(2 * dark * seconds)))
    times = np.concatenate([light.timestamps, flat])
    which = np.concatenate([light.detectors, rng.integers(0, 2, flat.size)])
    order = np.argsort(times)
    mixed = ps.PhotonStream(times[order], which[order], timestamps_unit=TICK, duration=seconds)
    found = ps.g2_log(mixed, 1e-4, 2e-3, 4, delay=0.0, background=dark)
    truth = 1.0 + np.exp(-200.0 * found.lag)
    assert np.all(np.abs(found.g2 - truth) < 4 * found.g2_err)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"lag_min": 0.0, "lag_max": 1.0}, "0 < lag_min < lag_max"),
        ({"lag_min": 1e-3, "lag_max": 1e-6}, "0 < lag_min < lag_max"),
        ({"lag_min": 1e-8, "lag_max": 1e-3, "per_decade": 0}, "1 to 100"),
        ({"lag_min": 1e-8, "lag_max": 1e-3, "method": "fast"}, '"exact" or "multitau"'),
        ({"lag_min": 1e-8, "lag_max": 1e-3, "sign": "up"}, '"positive"'),
        ({"lag_min": 1e-10, "lag_max": 1.2e-9}, "within one tick"),
        ({"lag_min": 1e-8, "lag_max": 1e-3, "gate": 1e-9}, "gate needs nanotimes"),
        ({"lag_min": 1e-8, "lag_max": 1e-3, "detectors": (0, 0)}, "afterpulsing"),
    ],
)
def test_what_cannot_be_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        ps.g2_log(poisson_light(np.random.default_rng(1), n=1000), **{"delay": 0.0} | arguments)


def test_no_pairs_give_an_upper_limit():
    photons = ps.PhotonStream([10, 500_000_000], [0, 1], timestamps_unit=TICK, duration=1.0)
    found = ps.g2_log(photons, 1e-6, 1e-3, 1, delay=0.0)
    assert found.pairs.sum() == 0
    assert np.all(found.g2_ci[:, 0] == 0)
    assert np.all(found.g2_ci[:, 1] > 1)


@pytest.mark.parametrize("seed", range(4))
def test_light_of_neighbouring_pulses_is_put_in_order(seed):
    """Nanotimes reach beyond two periods: photons arrive in another order than they are written, across slices too."""
    rng = np.random.default_rng(seed)
    n, period = 3000, 10
    pulses, nanotimes = np.sort(rng.integers(0, 2 * n, n)), rng.integers(0, 25, n)
    detectors = rng.integers(0, 2, n)
    photons = ps.PhotonStream(
        pulses, detectors, nanotimes, timestamps_unit=period * TICK, tcspc_unit=TICK, laser_period=period * TICK,
        duration=(2 * n + 3) * period * TICK, pulse_clock=True,
    )  # fmt: skip
    times = pulses * period + nanotimes
    assert np.any(np.diff(times) < 0)
    found = ps.g2_log(photons, TICK, 200 * TICK, per_decade=5, detectors=(0, 1), delay=0.0)
    lags = np.subtract.outer(times[detectors == 1], times[detectors == 0]).ravel()
    expected, _ = np.histogram(lags, found.lag_edges / TICK)
    np.testing.assert_array_equal(found.pairs, expected)


@pytest.mark.parametrize("at", [1, 1023, 1024, 1025, 2999])
def test_two_photons_in_the_other_order_are_put_right(at):
    times = np.arange(3000) * 7
    times[[at - 1, at]] = times[[at, at - 1]]
    on_a, on_b = np.empty(3001, np.int64), np.empty(3001, np.int64)
    detectors, none = np.zeros(3000, np.uint8), np.zeros(0, np.uint16)
    n_a, n_b = loglags.split_times(times, none, detectors, 0, 1, 0, 3000, 0, 1, 0, on_a, on_b)
    assert (n_a, n_b) == (3000, 0)
    np.testing.assert_array_equal(on_a[:3000], np.arange(3000) * 7)


@pytest.mark.parametrize("task", ["_bin", "_take"])
def test_an_error_beside_the_caller_is_raised(monkeypatch, task):
    def fail(*_, **__):
        raise RuntimeError("no more")

    kind = log_counts.Coarse if task == "_bin" else log_counts.Exact
    works = iter([fail])  # the first time only: nothing that comes later may hide it
    whole = getattr(kind, task)

    def fails_once(*args, **named):
        return next(works, whole)(*args, **named)

    monkeypatch.setattr(kind, task, fails_once)
    with pytest.raises(RuntimeError, match="no more"):
        ps.g2_log(poisson_light(np.random.default_rng(1)), 1e-7, 1e-2, method="multitau", delay=0.0)
