"""All pairs of several detectors in one pass; what must not change g2 and g2_pulsed with gate, stretches, detectors."""

import math
from functools import partial
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import photonstats as ps

PERIOD, TICK, TICKS = 200e-9, 64e-12, 3125
DELAYS = (0.0, 7e-9, -430e-9)


def dots(rng, seconds, rate, *, emitters=1, background=0.0, delays=DELAYS, on_share=1.0, block=10e-3, start=0.0):
    """Emitters of one photon per pulse on a splitter of three arms with cables of their own."""
    n_pulses, n_det = round(seconds / PERIOD), len(delays)
    times = []
    for _ in range(emitters):
        on = rng.random(math.ceil(seconds / block)) < on_share
        pulses = np.unique(rng.integers(0, n_pulses, rng.poisson(rate * seconds)))
        pulses = pulses[on[np.minimum((pulses * PERIOD / block).astype(int), on.size - 1)]]
        times.append(pulses * PERIOD + 40e-9 + rng.exponential(6e-9, pulses.size))
    time = np.concatenate(times)
    det = rng.integers(0, n_det, time.size)
    time = time + np.array(delays)[det]
    n_dark = rng.poisson(background * seconds, n_det)
    time = np.concatenate([time, rng.uniform(0, seconds, n_dark.sum())])
    det = np.concatenate([det, np.repeat(np.arange(n_det), n_dark)])
    keep = (time >= 0) & (time < seconds)
    order = np.argsort(time[keep])
    time, det = time[keep][order], det[keep][order]
    pulses = np.floor(time / PERIOD).astype(np.int64)
    nanotimes = np.clip((time - pulses * PERIOD) / TICK, 0, TICKS - 1).astype(np.int64)
    return ps.PhotonStream(
        pulses + round(start / PERIOD), det, nanotimes, timestamps_unit=PERIOD, tcspc_unit=TICK, duration=seconds,
        start=start,
    )  # fmt: skip


def continuous(rng, rate, seconds, n_det=3):
    n = rng.poisson(n_det * rate * seconds)
    times = np.sort(rng.integers(0, round(seconds / 1e-12), n))
    return ps.PhotonStream(times, rng.integers(0, n_det, n), timestamps_unit=1e-12, duration=seconds)


def once(photons, n=7):
    """Yield the pieces of a recording; a second walk would find none."""
    bounds = np.linspace(photons.start, photons.start + photons.duration, n + 1)
    return (photons.between(a, b) for a, b in pairwise(bounds))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"background": {0: 300.0, 1: 500.0, 2: 100.0}, "background_err": 50.0},
        {"gate": 3e-9, "background": 200.0},
        {"stretches": [(0.1, 0.35), (0.5, 0.8)], "background": 200.0},
    ],
)
def test_sums_are_those_of_the_pairs(options):
    photons = dots(np.random.default_rng(1), 1.0, 8e4, emitters=2, background=500.0)
    found = ps.g2_pulsed(once(photons), detectors=(0, 1, 2), **options)
    alone = [ps.g2_pulsed(photons, detectors=pair, **options) for pair in ((0, 1), (0, 2), (1, 2))]
    assert found.detectors == (0, 1, 2)
    assert [part.detectors for part in found.parts] == [(0, 1), (0, 2), (1, 2)]
    for part, one in zip(found.parts, alone, strict=True):
        a, b = part.to_dict(), one.to_dict()
        assert a.keys() == b.keys()
        np.testing.assert_array_equal(part.pairs, one.pairs)
        assert part.g2_zero_err == pytest.approx(one.g2_zero_err)
        assert part.delay == one.delay
    for name in ("pairs", "pairs_background", "expected_far"):
        np.testing.assert_allclose(getattr(found, name), sum(getattr(one, name) for one in alone), rtol=1e-9)
    side = np.delete(found.pairs - found.pairs_background, 10).mean()
    assert found.g2_zero == pytest.approx((found.pairs[10] - found.pairs_background[10]) / side)
    assert found.g2_zero_err < 0.8 * min(one.g2_zero_err for one in alone)
    light = [part.expected_far.sum() for part in alone]
    assert found.bunching == pytest.approx(np.average([part.bunching for part in alone], weights=light), rel=1e-3)
    assert math.isnan(found.delay)
    assert "2 after 1: -437" in found.delay_note
    for part, delay in zip(found.parts, (7e-9, -430e-9, -437e-9), strict=True):
        assert part.delay == pytest.approx(delay, abs=1e-9)
    again = ps.g2_pulsed(photons, detectors=(0, 1, 2), **(options | {"background": None, "background_err": None}))
    if "background" in options:
        again = again.corrected(options["background"], options.get("background_err"))
    assert again.to_dict() == found.to_dict()
    assert "0, 1 and 2 (all pairs)" in found.summary()
    assert "delays differ" in found.summary()


def test_sums_by_lag_are_those_of_the_pairs():
    photons = continuous(np.random.default_rng(2), 3e4, 1.0)
    options = {"window": 5e-6, "bin_width": 50e-9, "delay": {1: 3e-9, 2: -2e-9}, "background": 2000.0}
    found = ps.g2(once(photons), detectors=(0, 1, 2), background_err={0: 100.0, 1: 0.0, 2: 0.0}, **options)
    options.pop("delay")
    alone = [
        ps.g2(photons, detectors=pair, delay=delay, **options)
        for pair, delay in (((0, 1), 3e-9), ((0, 2), -2e-9), ((1, 2), -5e-9))
    ]
    for name in ("pairs", "pairs_background", "expected"):
        np.testing.assert_allclose(getattr(found, name), sum(getattr(one, name) for one in alone), rtol=1e-9)
    np.testing.assert_allclose(found.g2, (found.pairs - found.pairs_background) / found.expected)
    chi2 = np.sum((found.pairs - found.expected - found.pairs_background) ** 2 / found.pairs)
    assert stats.chi2.sf(chi2, found.pairs.size) > 1e-3
    # detector 0 is in two of the pairs: what its background does to them adds, not in quadrature
    plain = found.corrected(2000.0)
    slope = found.corrected({0: 2001.0, 1: 2000.0, 2: 2000.0}).pairs_background - found.pairs_background
    added = np.sqrt(found.g2_err**2 - plain.g2_err**2) * found.expected / np.abs(found.g2 - 1)
    np.testing.assert_allclose(added, 100.0 * slope, rtol=1e-3)
    assert found.corrected(2000.0).parts[1].detectors == (0, 2)
    same = ps.g2(photons, 5e-6, 50e-9, detectors=(0, 1, 2), delay=0.0)
    assert same.delay == 0.0
    assert same.delay_note == "as given"
    assert same.to_dict()["detectors"] == [0, 1, 2]


def test_error_of_a_common_background_adds_over_the_pairs_of_its_detector():
    photons = dots(np.random.default_rng(6), 1.0, 8e4, emitters=2, background=2000.0)
    sure = ps.g2_pulsed(photons, detectors=(0, 1, 2), background=2000.0)
    doubtful = sure.corrected(2000.0, {0: 300.0, 1: 100.0, 2: 0.0})
    dark = [{0: 2000.0 + (d == 0), 1: 2000.0 + (d == 1), 2: 2000.0} for d in (0, 1)]
    slopes = [sure.corrected(d).g2_zero - sure.g2_zero for d in dark]
    added = math.sqrt(doubtful.g2_zero_err**2 - sure.g2_zero_err**2)
    assert added == pytest.approx(math.hypot(300.0 * slopes[0], 100.0 * slopes[1]), rel=0.02)


def test_three_arms_see_what_three_emitters_are():
    photons = dots(np.random.default_rng(3), 4.0, 5e4, emitters=3, background=1000.0)
    found = ps.g2_pulsed(photons, detectors=(0, 1, 2), background=1000.0)
    per_pulse = 1 - math.exp(-5e4 * PERIOD)
    assert per_pulse < 0.011
    assert abs(found.g2_zero - 2 / 3) < 4 * found.g2_zero_err
    assert abs(found.g2_zero_far - 2 / 3) < 4 * found.g2_zero_far_err
    assert found.g2_zero_err == pytest.approx(min(p.g2_zero_err for p in found.parts) / math.sqrt(3), rel=0.1)


def check_errors_of_sums(n_runs, seed):
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(n_runs):
        photons = dots(rng, 1.0, 8e4, emitters=3, on_share=0.4, delays=(0.0, 0.0, 0.0), background=2000.0)
        found = ps.g2_pulsed(photons, 5, detectors=(0, 1, 2), delay=0.0, background=2000.0)
        rows.append((found.g2_zero, found.g2_zero_far, found.bunching))
        near, far = 6 * 0.16 / (3 * 0.4 + 6 * 0.16), 2 / 3
        rows[-1] += tuple(
            low <= truth <= high
            for truth, (low, high) in (
                (near, found.g2_zero_ci), (far, found.g2_zero_far_ci), (1.5, found.bunching_ci),
            )
        )  # fmt: skip
    rows = np.array(rows)
    lowest = 0.95 - 3 * math.sqrt(0.95 * 0.05 / n_runs)
    assert np.all(rows[:, 3:].mean(axis=0) > lowest - 0.015)
    return rows


def test_intervals_of_sums_hold_the_truth():
    check_errors_of_sums(12, 51)


@pytest.mark.slow
def test_intervals_of_sums_hold_the_truth_many():
    rows = check_errors_of_sums(300, 52)
    assert np.all(rows[:, 3:].mean(axis=0) < 0.995)


photon_lists = st.lists(st.tuples(st.integers(0, 99), st.integers(0, 2), st.integers(0, 14)), min_size=3, max_size=60)
choices = {
    "group": st.sampled_from([(0, 1), (2, 0), (0, 1, 2), (2, 0, 1)]),
    "gate": st.sampled_from([None, (2.0, 12.0)]),
    "stretches": st.sampled_from([None, [(0, 40), (47, 99)], [(3, 5), (5, 30), (60, 61), (70, 99)]]),
    "background": st.sampled_from([None, 1e-3]),
}
UNIT = 15 * 2.0**-30  # a power of two: times are exact for any start


def tagged(photons, group, start=0):
    rows = sorted([*photons, *((4, d, 5) for d in group)])
    pulses, dets, nanos = (np.array(x) for x in zip(*rows, strict=True))
    return ps.PhotonStream(
        pulses + start, dets, nanos, timestamps_unit=UNIT, tcspc_unit=UNIT / 15, duration=100 * UNIT,
        start=start * UNIT,
    )  # fmt: skip


def both(photons, group, gate, stretches, background, *, start=0, **more):
    options = {
        "detectors": group, "gate": None if gate is None else (gate[0] * UNIT / 15, gate[1] * UNIT / 15),
        "stretches": None if stretches is None else (np.array(stretches) + start) * UNIT, "background": background,
        "background_err": background, "delay": 0.0,
    } | more  # fmt: skip
    by_lag = {"window": 40 * UNIT / 15, "bin_width": 3 * UNIT / 15}
    return ps.g2_pulsed(photons() if callable(photons) else photons, 3, **options), ps.g2(
        photons() if callable(photons) else photons, **by_lag, **options
    )


def assert_same(one, two, rtol=1e-9):
    for a, b in zip(one, two, strict=True):
        x, y = a.to_dict(), b.to_dict()
        assert x.keys() == y.keys()
        np.testing.assert_array_equal(a.pairs, b.pairs)
        for name, value in x.items():
            if isinstance(value, int | float | list) and name != "detectors":
                u, v = (np.array(z, dtype=float) for z in (value, y[name]))
                np.testing.assert_allclose(u, v, rtol=rtol, atol=1e-12, err_msg=name)
        assert len(a.parts) == len(b.parts)
        for part, other in zip(a.parts, b.parts, strict=True):
            np.testing.assert_array_equal(part.pairs, other.pairs)


@settings(max_examples=25)
@given(photons=photon_lists, start=st.sampled_from([1, 777, 10**12]), **choices)
def test_a_shift_of_all_times_changes_nothing(photons, start, **options):
    here = both(tagged(photons, options["group"]), **options)
    assert_same(here, both(tagged(photons, options["group"], start), start=start, **options))


@settings(max_examples=25)
@given(photons=photon_lists, cuts=st.lists(st.integers(1, 99), max_size=6, unique=True), **choices)
def test_cuts_change_nothing(photons, cuts, **options):
    whole = tagged(photons, options["group"])
    bounds = np.array([0, *sorted(cuts), 100]) * UNIT
    pieces = [whole.between(a, b) for a, b in pairwise(bounds)]
    assert_same(both(whole, **options), both(lambda: iter(pieces), **options))


@settings(max_examples=25)
@given(photons=photon_lists, delay=st.integers(-40, 40), **choices)
def test_swapped_detectors_mirror(photons, delay, group, **options):
    light, shift = tagged(photons, group), delay * UNIT / 15
    pair = group[:2]
    for one, two in zip(
        both(light, group=pair, **options, delay=shift), both(light, group=pair[::-1], **options, delay=-shift),
        strict=True,
    ):  # fmt: skip
        np.testing.assert_array_equal(one.pairs, two.pairs[::-1])
        name = "expected" if isinstance(one, ps.G2) else "expected_far"
        np.testing.assert_allclose(getattr(one, name), getattr(two, name)[::-1], rtol=1e-9)
        np.testing.assert_allclose(one.pairs_background, two.pairs_background[::-1], rtol=1e-9)
    if len(group) == 3:
        for one, two in zip(
            both(light, group=group, **options), both(light, group=group[::-1], **options), strict=True
        ):
            np.testing.assert_array_equal(one.pairs, two.pairs[::-1])


@settings(max_examples=15)
@given(photons=photon_lists, **choices)
def test_threads_change_nothing(photons, **options):
    light = tagged(photons, options["group"])
    alone = both(light, **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("photonstats.correlations.pairing._THREADED", 1)
        patch.setattr("os.cpu_count", lambda: 2)
        assert_same(alone, both(light, **options), rtol=1e-12)


@settings(max_examples=25)
@given(photons=photon_lists, group=choices["group"], stretches=choices["stretches"])
def test_all_pairs_are_those_of_brute_force(photons, group, stretches):
    light = tagged(photons, group)
    times = light.timestamps * 15 + light.nanotimes.astype(int)
    number = np.zeros(len(light), int)
    if stretches is not None:
        number[:] = -1
        for k, (low, high) in enumerate(stretches):
            number[(light.timestamps >= low) & (light.timestamps < high)] = k
    expected = np.zeros(7, int)
    for a, b in combinations(group, 2):
        for i in np.flatnonzero(light.detectors == a):
            for j in np.flatnonzero(light.detectors == b):
                peak = math.floor((times[j] - times[i]) / 15 + 0.5)
                if number[i] == number[j] >= 0 and abs(peak) <= 3:
                    expected[peak + 3] += 1
    found, _ = both(light, group, None, stretches, None)
    np.testing.assert_array_equal(found.pairs, expected)


def test_other_detectors_do_not_count():
    photons = dots(np.random.default_rng(4), 0.5, 8e4, emitters=2)
    pair = photons.select(detectors=(0, 2))
    for name in ("pairs", "expected_far"):
        np.testing.assert_array_equal(
            getattr(ps.g2_pulsed(photons, detectors=(0, 2)), name), getattr(ps.g2_pulsed(pair), name)
        )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (partial(ps.g2), r"choose two with detectors=\(a, b\), or give several .* detectors=\(0, 1, 2\)"),
        (partial(ps.g2_pulsed), r"or give several to g2 or g2_pulsed, detectors=\(0, 1, 2\)"),
        (partial(ps.g2, detectors=(0, 1, 0)), r"Detector 0 with itself .* ps.afterpulsing\(photons, 0\)"),
        (partial(ps.g2_pulsed, detectors=(2, 2)), r"Detector 2 with itself .* ps.afterpulsing\(photons, 2\)"),
        (partial(ps.g2, detectors=(1,)), "two different detectors"),
        (partial(ps.g2_pulsed, detectors=(0, 1, 5)), "detector 5 has no photons"),
        (partial(ps.g2, detectors=(0, 1, 300)), "detectors are numbered 0 to 255"),
        (partial(ps.g2, detectors=(0, 1, 2), delay={1: 1e-9}), "has no time for detector 2"),
        (partial(ps.g2, detectors=(0, 1, 2), delay={1: 1.0, 2: 0.0}), "time in seconds"),
        (partial(ps.g2, detectors=(0, 1, 2), delay="now"), "delay='now'"),
        (partial(ps.g2_pulsed, detectors=(0, 1, 2), background={0: 1.0, 1: 1.0}), "no rate for detector 2"),
    ],
)
def test_messages(call, message):
    photons = dots(np.random.default_rng(5), 0.1, 8e4)
    with pytest.raises(ValueError, match=message):
        call(photons)
