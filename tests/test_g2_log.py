"""g2 at log-spaced lags: brute force, another program, invariances, truth, messages."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import photonstats as ps


def poisson_stream(rng, rate, seconds, start=0, unit=1e-9):
    n = rng.poisson(2 * rate * seconds)
    times = np.sort(rng.integers(0, round(seconds / unit), n)) + start
    return ps.PhotonStream(times, rng.integers(0, 2, n), timestamps_unit=unit, duration=seconds, start=start * unit)


def pieces_of(photons, borders):
    """Cut a stream at times in s."""
    ends = [photons.start, *borders, photons.start + photons.duration]
    return [photons.between(i, j) for i, j in pairwise(ends)]


def differences(photons, sign, delay_ticks=0):
    a, b = (photons.timestamps[photons.detectors == d] for d in (0, 1))
    return sign * ((b[:, None] - a[None, :]).ravel() - delay_ticks)


times_and_detectors = st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 2)), min_size=2, max_size=60)


@settings(max_examples=60)
@given(times_and_detectors, st.integers(1, 12), st.integers(-20, 20), st.sampled_from([0, 10**14]))
def test_pairs_are_those_of_brute_force(photons, per_decade, delay, start):
    photons = sorted(photons)
    times, dets = (np.array(x) for x in zip(*photons, strict=True))
    dets[0], dets[-1] = 0, 1
    recorded = ps.PhotonStream(times + start, dets, timestamps_unit=1e-9, duration=2001e-9, start=start * 1e-9)
    for sign, side in (("positive", 1), ("negative", -1)):
        found = ps.g2_log(recorded, 1e-9, 1e-6, per_decade, detectors=(0, 1), delay=delay * 1e-9, sign=sign)
        edges = found.lag_edges / 1e-9 * side
        lag = differences(recorded, side, delay)
        counted = np.histogram(lag, np.sort(edges))[0]
        assert np.array_equal(found.pairs, counted[::side])


def test_both_sides_are_the_two_with_one_bin_between():
    photons = poisson_stream(np.random.default_rng(3), 2e4, 0.5)
    one = {sign: ps.g2_log(photons, 1e-6, 1e-2, delay=0.0, sign=sign) for sign in ("positive", "negative", "both")}
    n = one["positive"].pairs.size
    assert one["both"].pairs.size == 2 * n + 1
    assert np.array_equal(one["both"].pairs[n + 1 :], one["positive"].pairs)
    assert np.array_equal(one["both"].pairs[:n], one["negative"].pairs)
    middle = np.abs(differences(photons, 1))
    assert one["both"].pairs[n] == np.count_nonzero(middle * 1e-9 < one["both"].lag_edges[n + 1])


@pytest.mark.parametrize("method", ["exact", "multitau"])
def test_swapped_detectors_mirror(method):
    photons = poisson_stream(np.random.default_rng(4), 3e4, 1.0)
    ab, ba = (
        ps.g2_log(photons, 1e-7, 0.1, detectors=d, delay=0.0, sign="both", method=method) for d in ((0, 1), (1, 0))
    )
    assert np.array_equal(ab.pairs, ba.pairs[::-1])
    assert np.allclose(ab.expected, ba.expected[::-1], rtol=1e-12)


@pytest.mark.parametrize("method", ["exact", "multitau"])
def test_shift_and_cuts_change_nothing(method):
    rng = np.random.default_rng(5)
    whole = poisson_stream(rng, 3e4, 1.0)
    moved = ps.PhotonStream(whole.timestamps + 10**13, whole.detectors, timestamps_unit=1e-9, duration=1.0, start=10**4)
    given_ = ps.g2_log(whole, 1e-7, 0.3, delay=0.0, method=method)
    for other in (moved, pieces_of(whole, [0.1, 0.100001, 0.5, 0.9])):
        again = ps.g2_log(other, 1e-7, 0.3, delay=0.0, method=method)
        assert np.array_equal(given_.pairs, again.pairs)
        assert np.allclose(given_.g2, again.g2, rtol=1e-9)
        assert np.allclose(given_.g2_err, again.g2_err, rtol=1e-6)


@pytest.mark.parametrize("method", ["exact", "multitau"])
@pytest.mark.parametrize("seed", [11, 12])
def test_independent_light_gives_one_up_to_half_the_recording(method, seed):
    photons = poisson_stream(np.random.default_rng(seed), 4e3, 5.0, start=10**12)
    found = ps.g2_log(photons, 1e-5, 2.5, delay=0.0, method=method)
    assert stats.chi2.sf(np.sum((found.pairs - found.expected) ** 2 / found.expected), found.pairs.size) > 1e-3


def test_pairs_equal_those_of_pycorrelate():
    pycorrelate = pytest.importorskip("pycorrelate")
    photons = poisson_stream(np.random.default_rng(6), 4e4, 2.0)
    found = ps.g2_log(photons, 1e-7, 0.5, delay=0.0)
    edges = np.ceil(found.lag_edges / 1e-9 - 1e-6).astype(np.int64)
    a, b = (photons.timestamps[photons.detectors == d] for d in (0, 1))
    per_tick = pycorrelate.pcorrelate(a, b, edges, normalize=False)
    assert np.array_equal(found.pairs, np.rint(per_tick * np.diff(edges)).astype(np.int64))


def telegraph(rng, seconds, rate, switching):
    """Independent truth: on and off with equal rates; g2 = 1 + exp(-2 k lag)."""
    borders = np.cumsum(rng.exponential(1 / switching, int(seconds * switching * 2 + 100)))
    times = np.sort(rng.integers(0, round(seconds * 1e9), rng.poisson(2 * rate * seconds)))
    times = times[np.searchsorted(borders, times * 1e-9) % 2 == 0]
    return ps.PhotonStream(times, rng.integers(0, 2, times.size), timestamps_unit=1e-9, duration=seconds)


@pytest.mark.parametrize("seed", [21, 22])
def test_blinking_follows_its_law_within_the_errors(seed):
    photons = telegraph(np.random.default_rng(seed), 20.0, 2e4, 100.0)
    exact, fast = (ps.g2_log(photons, 1e-6, 0.5, delay=0.0, method=m) for m in ("exact", "multitau"))
    for found in (exact, fast):
        z = (found.g2 - 1 - np.exp(-200 * found.lag)) / found.g2_err
        assert np.mean(np.abs(z) < 2.5) > 0.8
        assert np.abs(z).max() < 6


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"lag_min": 0.0}, "lag_min"), ({"lag_max": 1e-9}, "lag_max"), ({"method": "fast"}, "method"),
        ({"sign": "up"}, "sign"), ({"per_decade": 0}, "per_decade"), ({"detectors": (0, 0)}, "different"),
        ({"gate": 1e-9}, "nanotimes"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_named(arguments, words):
    photons = poisson_stream(np.random.default_rng(7), 1e3, 0.1)
    with pytest.raises(ValueError, match=words):
        ps.g2_log(photons, **({"lag_min": 1e-7, "lag_max": 1e-3} | arguments))
