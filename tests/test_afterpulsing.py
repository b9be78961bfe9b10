"""afterpulsing: truth, coverage, brute force, invariances, a real file, messages."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import photonstats as ps
from photonstats import simulate
from photonstats.kernels.afterpulses import next_detections

DEAD, TAU = 80e-9, 60e-9


def detected(rng, rate, seconds, *, probability=0.01, dead=DEAD, tau=TAU, tick=1e-12, start=0):
    """Independent truth: Poisson light on one detector, each detection with at most one echo; T2."""
    light = list(np.sort(rng.uniform(0, seconds, rng.poisson(rate * seconds))))[::-1]
    echoes, times, last = [], [], -1.0
    while light or echoes:
        if echoes and (not light or min(echoes) < light[-1]):
            now = min(echoes)
            echoes.remove(now)
        else:
            now = light.pop()
        if now - last < dead:
            continue
        times.append(now)
        last = now
        if rng.random() < probability:
            echoes.append(now + dead + rng.exponential(tau))
    kept = np.array([t for t in times if t < seconds])
    return ps.PhotonStream(
        start + (kept / tick).astype(np.int64), np.zeros(kept.size, np.uint8), timestamps_unit=tick, duration=seconds,
        start=start * tick,
    )  # fmt: skip


def dot(*, pulsed, both, seed, rate=60e3, seconds=3.0, blinking=False, probability=0.01, lifetime=20e-9):
    levels = (simulate.Level(1.0), simulate.Level(0.4), simulate.Level(0.1))
    laws = (simulate.Exponential(20e-3), simulate.Exponential(20e-3), simulate.Exponential(20e-3))
    emitter = simulate.Emitter(lifetime=lifetime, blinking=simulate.Blinking(levels, laws) if blinking else None)
    more = {"laser_period": 100e-9} if pulsed else {}
    source = simulate.pulsed if pulsed else simulate.continuous
    return source(
        emitter, duration=seconds, rate=rate, split=[0.5, 0.5] if both else [1.0], dead_time=DEAD,
        afterpulsing=probability, afterpulse_time=TAU, seed=seed, **more,
    )[0]  # fmt: skip


@pytest.mark.parametrize("start", [0, 10**15])
def test_poisson_light_with_afterpulses_gives_them_back(start):
    result = ps.afterpulsing(detected(np.random.default_rng(3), 5e4, 6.0, start=start))
    assert abs(result.probability - 0.01) < 4 * result.probability_err
    assert result.probability_err < 1e-3
    assert abs(result.time - TAU) < 4 * result.time_err
    assert result.dead_time_ci[0] <= DEAD <= result.dead_time_ci[1]
    assert np.ptp(result.dead_time_ci) < 3e-9
    assert result.expected[:7] == pytest.approx(0)
    assert result.excess == pytest.approx(result.pairs - result.expected)


def test_bright_light_with_a_long_dead_time_has_no_afterpulses_and_loses_none():
    """At 1 Mcps and 200 ns the pairs of all orders would show an excess of (r D)^2 / 2 = 1.4 %."""
    for probability in (0.0, 0.03):
        photons = detected(np.random.default_rng(8), 1e6, 0.4, probability=probability, dead=200e-9)
        result = ps.afterpulsing(photons, window=600e-9)
        assert abs(result.probability - probability) < 4 * result.probability_err
        assert result.probability_err < 4e-3


@pytest.mark.parametrize("pulsed", [False, True])
@pytest.mark.parametrize("blinking", [False, True])
def test_a_second_detector_shows_what_the_light_does(pulsed, blinking):
    photons = dot(pulsed=pulsed, both=True, blinking=blinking, seed=11, lifetime=60e-9)
    result = ps.afterpulsing(photons, 0)
    assert result.reference == 1
    assert abs(result.probability - 0.01) < 4 * result.probability_err
    assert "detector 1" in result.method


def test_antibunching_alone_hides_afterpulses_without_a_reference_and_not_with_one():
    photons = dot(pulsed=False, both=True, seed=5, rate=200e3, lifetime=500e-9, probability=0.0)
    alone = ps.afterpulsing(photons, 0, reference=None)
    assert alone.probability < -4 * alone.probability_err
    both = ps.afterpulsing(photons, 0)
    assert abs(both.probability) < 4 * both.probability_err
    assert math.isnan(both.time)
    assert "too few afterpulses" in both.reason


def test_blinking_between_three_levels_is_no_afterpulse():
    """The bright stretches end their intervals soon: the rate of the others falls with the lag."""
    photons = dot(pulsed=False, both=False, blinking=True, seed=13, rate=400e3, seconds=6.0, probability=0.0)
    result = ps.afterpulsing(photons)
    assert abs(result.probability) < 4 * result.probability_err
    assert result.probability_err < 2e-3


def test_the_comb_of_the_laser_is_no_afterpulse():
    result = ps.afterpulsing(dot(pulsed=True, both=False, seed=2, probability=0.0, lifetime=5e-9))
    assert abs(result.probability) < 4 * result.probability_err
    assert np.isnan(result.expected[: result.lag.size // 20]).all()
    known = np.isfinite(result.expected)
    assert result.expected[known].max() > 5 * np.median(result.expected[known]) > 0
    z = (result.excess / result.excess_err)[known]
    assert np.abs(z).max() < 5


def test_pulsed_light_alone_gives_a_lower_bound_that_says_so():
    photons, _ = simulate.pulsed(
        simulate.Emitter(lifetime=5e-9), duration=3.0, rate=60e3, split=[1.0], dead_time=20e-9, afterpulsing=0.02,
        afterpulse_time=TAU, seed=4, laser_period=200e-9,
    )  # fmt: skip
    result = ps.afterpulsing(photons)
    seen = 0.02 * math.exp(-(100e-9 - 20e-9) / TAU)
    assert abs(result.probability - seen) < 4 * result.probability_err + 3e-4
    assert "lower bound" in result.reason


lists = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 1), st.integers(0, 9)), min_size=0, max_size=40)


@settings(max_examples=80)
@given(lists, st.integers(-25, 25))
def test_kernel_counts_what_ten_lines_count(photons, delay):
    period, width = 10.0, 3.0
    a, b = (sorted((t, n) for t, d, n in photons if d == k) for k in (0, 1))
    own, other = np.zeros(9, np.int64), np.zeros(9, np.int64)
    shortest = np.full(3, math.inf)
    arrays = [np.array([p[i] for p in x], np.int64) for x in (a, b) for i in (0, 1)]
    next_detections(*arrays, max(len(a) - 1, 0), period, float(delay), width, own, other, shortest)
    at_a, at_b = ([t * 10 + n for t, n in x] for x in (a, b))
    gaps = [int(y - x) for x, y in pairwise(at_a)]
    expected, inside = np.zeros(9, int), np.zeros(9, int)
    for x, gap in zip(at_a[:-1], gaps, strict=True):
        expected[min(gap // 3, 8)] += 1
        for y in at_b:
            if 0 <= y - delay - x < gap:
                inside[min((y - delay - x) // 3, 8)] += 1
    assert own.tolist() == expected.tolist()
    assert other.tolist() == inside.tolist()
    assert shortest[: len(gaps)].tolist() == sorted(gaps)[:3]


@settings(max_examples=60)
@given(lists, st.integers(-25, 25), st.lists(st.integers(1, 60), max_size=6, unique=True))
def test_dense_photons_in_pieces_are_counted_as_in_one(photons, delay, cuts):
    photons = sorted((10 * t + n, d) for t, d, n in photons)
    times, detectors = (np.array([p[i] for p in photons], np.int64) for i in (0, 1))
    stream = ps.PhotonStream(times, detectors.astype(np.uint8), timestamps_unit=1e-9, duration=650e-9)
    if set(detectors.tolist()) != {0, 1}:
        return
    settings = {"window": 20e-9, "bin_width": 4e-9, "delay": delay * 1e-9, "reference": 1}
    whole = ps.afterpulsing(stream, 0, **settings)
    parts = ps.afterpulsing(pieces_of(stream, [c * 1e-8 for c in sorted(cuts)]), 0, **settings)
    assert parts.pairs.tolist() == whole.pairs.tolist()
    assert parts.expected.tolist() == pytest.approx(whole.expected.tolist(), nan_ok=True)


def pieces_of(photons, cuts):
    borders = [photons.start, *cuts, photons.start + photons.duration]
    return [photons.between(x, y) for x, y in pairwise(borders)]


@pytest.mark.parametrize("pulsed", [False, True])
@pytest.mark.parametrize("delay", ["auto", 37e-9, -210e-9])
def test_cuts_and_shifts_change_nothing(pulsed, delay):
    photons = dot(pulsed=pulsed, both=True, seed=6, seconds=0.3)
    whole = ps.afterpulsing(photons, 1, delay=delay)
    rng = np.random.default_rng(1)
    cuts = np.sort(np.concatenate([rng.uniform(0, 0.3, 40), photons.arrival_times[500:520] + 20e-9]))
    unit = photons.timestamps_unit
    cuts = np.unique(np.floor(cuts / unit)) * unit
    cut = ps.afterpulsing(iter(pieces_of(photons, cuts)), 1, delay=delay)
    values = {name: getattr(photons, name) for name in ("tcspc_unit", "laser_period", "duration", "nanotimes")}
    shifted = ps.PhotonStream(
        photons.timestamps + 10**9, photons.detectors, timestamps_unit=unit, start=1e9 * unit, **values
    )
    moved = ps.afterpulsing(shifted, 1, delay=delay)
    for other in (cut, moved):
        assert other.pairs.tolist() == whole.pairs.tolist()
        assert other.expected == pytest.approx(whole.expected, nan_ok=True)
        assert other.dead_time == whole.dead_time
        assert other.probability == pytest.approx(whole.probability, rel=1e-12)


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_few_photons_say_little_and_why(n):
    times = np.array([10, 150, 400, 420, 900])[:n]
    photons = ps.PhotonStream(times, np.zeros(n, np.uint8), timestamps_unit=1e-9, duration=1e-6)
    result = ps.afterpulsing(photons, 0, window=100e-9)
    assert math.isnan(result.probability) == (n < 2)
    assert ("longer lags" in result.reason) == (n < 2)
    assert result.probability_ci[0] <= max(result.probability, 0.0) if n > 1 else result.probability_ci[1] == 1
    assert result.probability_ci[1] > 0.6
    assert math.isnan(result.dead_time) == (n < 4)
    assert result.to_dict()["n_photons"] == n
    assert "Afterpulsing of detector 0" in result.summary()


def test_few_afterpulses_give_an_upper_limit():
    photons = detected(np.random.default_rng(2), 200.0, 20.0, probability=0.0)
    result = ps.afterpulsing(photons)
    assert result.probability_ci[0] == 0
    # no pair in the window of 4000 photons: 3.7 of them at most
    assert 0.5 < result.probability_ci[1] / (3.7 / 4000) < 3


def test_real_detector_with_a_dead_time_of_81_ns(shared_data):
    result = ps.afterpulsing(ps.scan(shared_data / "formats" / "v30_t2.ptu", chunk_size=50_000))
    assert result.n_photons == 305_565
    assert result.dead_time == pytest.approx(81e-9, abs=0.5e-9)
    assert 0.005 < result.probability_ci[0] < result.probability_ci[1] < 0.02
    assert 50e-9 < result.time < 80e-9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, r"2 detectors are live \(0: .* Hz, 1: .* Hz\): say which one with detector="),
        ({"detector": 7}, "detector 7 has no photons; there are 0: "),
        ({"detector": (0, 1)}, "one detector at a time"),
        ({"detector": 0, "reference": 0}, "reference=0: must be one detector other than 0"),
        ({"detector": 0, "reference": 9}, "reference=9 has no photons"),
        ({"detector": 0, "reference": "b"}, 'give a detector, None, or "auto"'),
        ({"detector": 0, "window": 0.0}, "window=0.0: must be a time in seconds > 0"),
        ({"detector": 0, "bin_width": -1.0}, "bin_width=-1.0: must be a time"),
        ({"detector": 0, "bin_width": 1e-12, "window": 1e-3}, "give a wider bin_width"),
        ({"detector": 0, "delay": 5.0}, "delay=5.0"),
    ],
)
def test_messages(arguments, message):
    photons = dot(pulsed=False, both=True, seed=1, seconds=0.02)
    with pytest.raises(ValueError, match=message):
        ps.afterpulsing(photons, **arguments)


def test_pieces_out_of_order_are_refused():
    one, two = pieces_of(dot(pulsed=False, both=False, seed=1, seconds=0.02), [0.01])
    with pytest.raises(ValueError, match="do not follow each other"):
        ps.afterpulsing([two, one])


def coverage(runs, **settings):
    inside = np.zeros(3, int)
    for seed in range(runs):
        result = ps.afterpulsing(dot(seed=70_000 + seed, **settings), 0)
        p = settings.get("probability", 0.01)
        ends = [(result.probability_ci, p), (result.dead_time_ci, DEAD), (result.time_ci, TAU)]
        inside += [not (ci[1] < truth or truth < ci[0]) for ci, truth in ends]
    return inside / runs


def test_intervals_hold_the_truth_with_few_afterpulses():
    """80 runs of about 25 afterpulses each: 95 % intervals miss 0 to 10 of them (p < 1e-3 beyond)."""
    found = coverage(80, pulsed=False, both=False, rate=20e3, seconds=0.12)
    assert found.min() > 0.86


@pytest.mark.slow
@pytest.mark.parametrize("pulsed", [False, True])
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("blinking", [False, True])
def test_coverage(pulsed, both, blinking):
    found = coverage(250, pulsed=pulsed, both=both, blinking=blinking, rate=50e3, seconds=1.5)
    # four standard errors of 250 runs below the least that is asked for
    assert found[0] > 0.93 - 4 * math.sqrt(0.95 * 0.05 / 250)
    assert found[1] > 0.93 - 4 * math.sqrt(0.95 * 0.05 / 250)
    assert found[2] > 0.93 - 4 * math.sqrt(0.95 * 0.05 / 250)
