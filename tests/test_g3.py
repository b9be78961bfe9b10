"""g3: truth, coverage, brute force, invariances, background, messages."""

import math
from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import photonstats as ps
from photonstats import simulate
from photonstats.kernels.triples import add_triples

PERIOD = 200e-9
TICKS = 3125
UNITS = {"timestamps_unit": PERIOD, "tcspc_unit": 64e-12}


def pulsed_light(
    rng, *, emitters=0, share=0.3, n_pulses=400_000, on_share=1.0, background=0.0, poisson=0.0, delays=(0, 0, 0)
):
    """Independent truth: each emitter gives one photon to one of three detectors, or none, in each pulse.

    `poisson`: photons per pulse and detector of independent light; `background`: without a decay; delays in pulses.
    """
    pulses, dets, flat = [], [], []
    for _ in range(emitters):
        on = np.repeat(rng.random(n_pulses // 500 + 1) < on_share, 500)[:n_pulses]
        hit = np.flatnonzero((rng.random(n_pulses) < share) & on)
        pulses.append(hit)
        dets.append(rng.integers(0, 3, hit.size))
        flat.append(np.zeros(hit.size, bool))
    for mean, even in ((poisson, False), (background, True)):
        for d in range(3):
            counts = rng.poisson(mean * n_pulses)
            pulses.append(rng.integers(0, n_pulses, counts))
            dets.append(np.full(counts, d))
            flat.append(np.full(counts, even))
    pulse, det, even = np.concatenate(pulses), np.concatenate(dets), np.concatenate(flat)
    nano = np.where(even, rng.integers(0, TICKS, pulse.size), 300 + rng.exponential(150, pulse.size)).astype(np.int64)
    pulse = pulse + np.array(delays)[det]
    kept = (pulse >= 0) & (pulse < n_pulses) & (nano < TICKS)
    pulse, det, nano = pulse[kept], det[kept], nano[kept]
    order = np.lexsort((nano, pulse))
    return ps.PhotonStream(pulse[order], det[order].astype(np.uint8), nano[order], duration=n_pulses * PERIOD, **UNITS)


def poisson_t2(rng, rates, seconds, tick=1e-12):
    times = [rng.integers(0, round(seconds / tick), rng.poisson(r * seconds)) for r in rates]
    time, det = np.concatenate(times), np.repeat(np.arange(len(rates)), [t.size for t in times])
    order = np.argsort(time, kind="stable")
    return ps.PhotonStream(time[order], det[order].astype(np.uint8), timestamps_unit=tick, duration=seconds)


def chi_square(result):
    """p-value of triples against independent light; sparse enough that triples hardly share photons."""
    z = (result.triples - result.expected_far) ** 2 / result.expected_far
    return stats.chi2.sf(z.sum(), z.size)


def test_independent_pulsed_light_gives_one():
    result = ps.g3(pulsed_light(np.random.default_rng(1), poisson=0.02, n_pulses=4_000_000))
    assert result.expected_far.min() > 20
    assert chi_square(result) > 1e-3
    assert abs(result.g3_zero - 1) < 4 * result.g3_zero_err
    assert abs(result.bunching - 1) < 4 * result.bunching_err
    assert all(abs(v - 1) < 4 * result.g2_lines_err[name] for name, v in result.g2_lines.items())


@pytest.mark.parametrize("width", [60e-9, 61.3e-9, 2.5e-6])
def test_independent_continuous_light_gives_one(width):
    """The last width is 1 % of the window at the farthest bins: its ends count."""
    rng, seconds = np.random.default_rng(2), 8.0 if width < 1e-6 else 2e-3
    rates = (100e3, 150e3, 200e3) if width < 1e-6 else (4e4, 5e4, 6e4)
    if width < 1e-6:
        result = ps.g3(poisson_t2(rng, rates, seconds), bin_width=width, delay=0.0)
        assert chi_square(result) > 1e-3
        assert abs(result.g3_zero - 1) < 4 * result.g3_zero_err
        return
    results = [ps.g3(poisson_t2(rng, rates, seconds), 8, bin_width=width * 10, delay=0.0) for _ in range(300)]
    seen = sum(r.triples for r in results)
    expected = sum(r.expected_far for r in results)
    corner = (seen[0, -1] + seen[-1, 0]) / (expected[0, -1] + expected[-1, 0])
    centre = seen[8, 8] / expected[8, 8]
    assert corner / centre == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize("emitters", [1, 2, 3, 4])
@pytest.mark.parametrize("blinking", [False, True])
def test_equal_emitters(emitters, blinking):
    rng = np.random.default_rng(10 * emitters + blinking)
    result = ps.g3(pulsed_light(rng, emitters=emitters, on_share=0.5 if blinking else 1.0))
    if not blinking:
        truth, pair = (1 - 1 / emitters) * (1 - 2 / emitters), 1 - 1 / emitters
    else:  # each is on half of the time on its own: binomial moments of how many are on
        on = stats.binom.pmf(np.arange(emitters + 1), emitters, 0.5)
        n = np.arange(emitters + 1)
        truth = (on * n * (n - 1) * (n - 2)).sum() / (on * n**3).sum()
        # a pair beside a third photon: n (n - 1) n of n^3
        pair = (on * n**2 * (n - 1)).sum() / (on * n**3).sum()
    assert result.g3_zero_ci[0] <= truth <= result.g3_zero_ci[1] or abs(result.g3_zero - truth) < 4 * result.g3_zero_err
    assert result.g3_zero_err < 0.1
    for name, value in result.g2_lines.items():
        assert abs(value - pair) < 4 * result.g2_lines_err[name] + 1e-9
    if blinking and emitters == 1:
        assert result.bunching == pytest.approx(4, rel=0.25)  # <I^3>/<I>^3 = 1 / 0.5^2


@pytest.mark.parametrize("emitters", [1, 3])
def test_continuous_emitters(emitters):
    photons, _ = simulate.continuous(
        [simulate.Emitter(lifetime=100e-9)] * emitters, duration=1.0, rate=3e6, excitation_rate=1e7,
        split=(0.3, 0.3, 0.4), delay={1: 12e-9, 2: -30e-9}, seed=emitters,
    )  # fmt: skip
    result = ps.g3(photons, 60, bin_width=4e-9, delay={1: 12e-9, 2: -30e-9})
    truth = (1 - 1 / emitters) * (1 - 2 / emitters)
    # within a bin of 4 ns the dip of 50 ns has risen a little
    assert result.g3_zero < truth + 0.15 + 4 * result.g3_zero_err
    assert result.g3_zero > truth - 4 * result.g3_zero_err
    assert not result.pulsed


def test_delays_are_found():
    for delays in ((0, 0, 0), (0, 1, 0)):
        photons = pulsed_light(np.random.default_rng(4), emitters=1, delays=delays)
        result = ps.g3(photons)
        assert result.delay[1] == pytest.approx(delays[1] * PERIOD, abs=1e-9)
        assert result.g3_zero == 0
        assert result.g2_lines["0-1"] == 0


@pytest.mark.parametrize("emitters", [1, 2, 3])
@pytest.mark.parametrize("on_share", [1.0, 0.5])
def test_background_is_taken_off(emitters, on_share):
    rng = np.random.default_rng(7)
    per_pulse = 0.06
    photons = pulsed_light(rng, emitters=emitters, on_share=on_share, background=per_pulse)
    bare = ps.g3(photons)
    dark = per_pulse / PERIOD
    result = ps.g3(photons, background=dark, background_err=0.02 * dark)
    on, n = stats.binom.pmf(np.arange(emitters + 1), emitters, on_share), np.arange(emitters + 1)
    truth = (on * n * (n - 1) * (n - 2)).sum() / (on * n**3).sum()
    assert abs(result.g3_zero - truth) < 4 * result.g3_zero_err
    assert bare.g3_zero - truth > 4 * bare.g3_zero_err
    assert result.g3_zero_err < 0.25
    assert result.triples.tolist() == bare.triples.tolist()


def test_background_of_continuous_light_is_taken_off():
    """A third of steady light is called background: the rest is steady, 1 everywhere."""
    photons = poisson_t2(np.random.default_rng(3), (3e5, 3e5, 3e5), 3.0)
    result = ps.g3(photons, bin_width=100e-9, delay=0.0, background=1e5)
    light, noise = result.expected_far, result.triples_background
    assert light.mean() == pytest.approx(3 * 2e5**3 * 100e-9**2, rel=0.02)
    assert (noise + light).mean() == pytest.approx(3 * 3e5**3 * 100e-9**2, rel=0.02)
    assert abs(result.bunching - 1) < 4 * result.bunching_err


def test_gate_keeps_what_comes_late():
    photons = pulsed_light(np.random.default_rng(4), emitters=3)
    result = ps.g3(photons, gate=10e-9)
    assert 0 < sum(result.rates.values()) < 0.6 * len(photons) / photons.duration
    assert abs(result.g3_zero - 2 / 9) < 4 * result.g3_zero_err


def brute_force(times, detectors, n):
    table = np.zeros((2 * n + 1, 2 * n + 1), int)
    for a in times[detectors == 0]:
        for b in times[detectors == 1]:
            for c in times[detectors == 2]:
                k, m = math.floor((b - a) / 4 + 0.5), math.floor((c - a) / 4 + 0.5)
                if max(abs(k), abs(m)) <= n:
                    table[k + n, m + n] += 1
    return table


@settings(max_examples=80)
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 2)), max_size=30))
def test_kernel_counts_what_ten_lines_count(photons):
    photons = sorted(photons)
    times, detectors = (np.array([p[i] for p in photons], np.int64) for i in (0, 1))
    n = 2
    table, pairs = np.zeros((2 * n + 1, 2 * n + 1), np.int64), np.zeros((3, 4 * n + 3), np.int64)
    keys = times.astype(float)
    add_triples(
        times, np.zeros(times.size), detectors.astype(np.uint8), keys, 0, times.size, 4.0 * (2 * n + 2), 1.0, 4.0,
        table, pairs,
    )  # fmt: skip
    assert table.tolist() == brute_force(times, detectors, n).tolist()
    for row, (a, b) in enumerate([(0, 1), (0, 2), (1, 2)]):
        steps = [math.floor((y - x) / 4 + 0.5) for x in times[detectors == a] for y in times[detectors == b]]
        expected = [steps.count(k) for k in range(-2 * n - 1, 2 * n + 2)]
        assert pairs[row].tolist() == expected


@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.integers(0, 150), st.integers(0, 2)), min_size=10, max_size=60),
    st.lists(st.integers(1, 150), max_size=8, unique=True),
    st.tuples(st.integers(-60, 60), st.integers(-60, 60)),
)
def test_continuous_triples_of_pieces_with_delays(photons, cuts, delays):
    photons = sorted(photons)
    times, detectors = (np.array([p[i] for p in photons], np.int64) for i in (0, 1))
    stream = ps.PhotonStream(times, detectors.astype(np.uint8), timestamps_unit=1e-9, duration=151e-9)
    if set(range(3)) - set(detectors.tolist()):
        return
    delay = {0: 0.0, 1: delays[0] * 1e-9, 2: delays[1] * 1e-9}
    borders = [0, *sorted(cuts), 151]
    parts = [stream.between(x * 1e-9, y * 1e-9) for x, y in pairwise(borders)]
    result = ps.g3(parts, 2, bin_width=4e-9, detectors=(0, 1, 2), delay=delay)
    moved = times - np.array([0, *delays])[detectors]
    assert result.triples.tolist() == brute_force(moved, detectors, 2).tolist()


def pieces_of(photons, cuts):
    borders = [photons.start, *cuts, photons.start + photons.duration]
    return [photons.between(x, y) for x, y in pairwise(borders)]


def test_cuts_and_shifts_change_nothing():
    photons = pulsed_light(np.random.default_rng(5), emitters=3, n_pulses=50_000, delays=(0, 2, -1))
    whole = ps.g3(photons)
    assert whole.triples.sum() > 1000
    cuts = np.unique(np.random.default_rng(6).integers(1, 50_000, 60)) * PERIOD
    shifted = ps.PhotonStream(
        photons.timestamps + 10**12, photons.detectors, photons.nanotimes, duration=photons.duration,
        start=1e12 * PERIOD, **UNITS,
    )  # fmt: skip
    for other in (ps.g3(iter(pieces_of(photons, cuts))), ps.g3(shifted)):
        assert other.triples.tolist() == whole.triples.tolist()
        assert other.g3_zero == whole.g3_zero
        assert other.g3_zero_far == pytest.approx(whole.g3_zero_far, rel=1e-9)
        assert other.delay == whole.delay


def test_permuted_detectors_permute_the_table():
    photons = pulsed_light(np.random.default_rng(9), emitters=3, n_pulses=50_000)
    base = ps.g3(photons, 3, delay=0.0)
    at = np.arange(-3, 4)
    for order in permutations(range(3)):
        other = ps.g3(photons, 3, detectors=order, delay=0.0)
        for k in at:
            for m in at:
                lag = dict(zip(order, (0, k, m), strict=True))
                i, j = lag[1] - lag[0], lag[2] - lag[0]
                if max(abs(i), abs(j)) <= 3:
                    assert other.triples[k + 3, m + 3] == base.triples[i + 3, j + 3]
        assert other.g3_zero_far == pytest.approx(base.g3_zero_far, rel=1e-12)


def test_stretches_are_correlated_alone_and_summed():
    photons = pulsed_light(np.random.default_rng(9), emitters=3, n_pulses=50_000)
    stretches = [(0.0, 2e-3), (2e-3, 3e-3), (5e-3, 9e-3)]
    result = ps.g3(photons, stretches=stretches, delay=0.0)
    alone = [ps.g3(photons.between(*s), delay=0.0) for s in stretches]
    assert result.triples.tolist() == sum(r.triples for r in alone).tolist()
    assert result.expected_far == pytest.approx(sum(r.expected_far for r in alone))
    assert result.duration == pytest.approx(7e-3)


def test_no_triples_in_the_centre_give_an_upper_limit():
    result = ps.g3(pulsed_light(np.random.default_rng(4), emitters=1, n_pulses=100_000))
    assert result.g3_zero == 0
    assert result.g3_zero_ci[0] == 0
    mean = result.triples.sum() / 90
    assert result.g3_zero_ci[1] == pytest.approx(3.69 / mean, rel=0.1)
    assert result.g3_zero_err >= result.g3_zero_ci[1] / 3.93


@pytest.mark.parametrize("n", [0, 1, 3])
def test_few_photons_say_nothing_and_why(n):
    photons = ps.PhotonStream(np.arange(n) * 5, np.arange(n), timestamps_unit=1e-9, duration=1e-6)
    if n == 1:
        with pytest.raises(ValueError, match="detector 1 has no photons"):
            ps.g3(photons, bin_width=10e-9, detectors=(0, 1, 2))
        return
    result = ps.g3(photons, bin_width=100e-9, detectors=(0, 1, 2))
    assert math.isnan(result.g3_zero)
    assert "no triples above the background" in result.reason
    assert result.g3_zero_ci.tolist() == [0.0, math.inf]
    assert result.to_dict()["g3_zero"] is None
    assert "g3 of detectors (0, 1, 2)" in result.summary()
    assert result.triples.sum() == (n == 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"detectors": (0, 1)}, "g3 needs three different detectors"),
        ({"detectors": (0, 1, 1)}, "g3 needs three different detectors"),
        ({"detectors": (0, 1, 7)}, r"detectors=\(0, 1, 7\): detector 7 has no photons; there are 0: "),
        ({"n_pulses": 0}, "n_pulses=0: give a whole number"),
        ({"bin_width": -1.0}, "bin_width=-1.0: must be a time"),
        ({"delay": {1: 0.0}}, "has no time for detector 2"),
        ({"delay": 5.0}, "delay=5.0"),
        ({"background": 1e9}, "is not below the measured"),
        ({"gate": (190e-9, 190.01e-9)}, "no photons"),
    ],
)
def test_messages(arguments, message):
    photons = pulsed_light(np.random.default_rng(4), emitters=2, n_pulses=3000)
    with pytest.raises(ValueError, match=message):
        ps.g3(photons, **arguments)


def test_messages_on_what_the_recording_lacks():
    rng = np.random.default_rng(4)
    with pytest.raises(ValueError, match=r"2 detectors are live \(0: .*\): g3 needs three"):
        ps.g3(poisson_t2(rng, (1e4, 1e4), 0.1), bin_width=1e-6)
    with pytest.raises(ValueError, match=r"4 detectors are live .* choose three with detectors=\(a, b, c\)"):
        ps.g3(poisson_t2(rng, (1e4, 1e4, 1e4, 1e4), 0.1), bin_width=1e-6)
    with pytest.raises(ValueError, match="give bin_width"):
        ps.g3(poisson_t2(rng, (1e4, 1e4, 1e4), 0.1))


def covered(runs, seed, **settings):
    """Return in which share of runs the near and the far interval hold the truth of three emitters with background."""
    inside = np.zeros(2, int)
    dark = settings.pop("dark", 0.0)
    for run in range(runs):
        photons = pulsed_light(np.random.default_rng([seed, run]), emitters=3, background=dark, **settings)
        result = ps.g3(photons, delay=0.0, background=dark / PERIOD)
        inside += [ci[0] <= 2 / 9 <= ci[1] for ci in (result.g3_zero_ci, result.g3_zero_far_ci)]
    return inside / runs


def test_intervals_hold_the_truth_at_few_triples():
    assert covered(150, 1, n_pulses=4000, share=0.15).min() > 0.93 - 4 * math.sqrt(0.95 * 0.05 / 150)


@pytest.mark.slow
@pytest.mark.parametrize(("n_pulses", "share", "dark"), [(4000, 0.15, 0.0), (20_000, 0.3, 0.0), (20_000, 0.2, 0.03)])
def test_coverage(n_pulses, share, dark):
    found = covered(1000, 2, n_pulses=n_pulses, share=share, dark=dark)
    assert found.min() > 0.93 - 3 * math.sqrt(0.95 * 0.05 / 1000)
