"""g2_pulsed: truth, coverage, brute force, invariances, real file, messages."""

import math
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import photonstats as ps
from photonstats.correlations.peaks import ratio_interval
from photonstats.kernels.pairs import BLOCK, pulsed_pairs

PERIOD, TICK = 200e-9, 64e-12
TICKS = 3125


def stream(pulses, detectors, nanotimes, duration, start=0.0, **more):
    order = np.lexsort((nanotimes, pulses))
    units = {"timestamps_unit": PERIOD, "tcspc_unit": TICK, "duration": duration, "start": start} | more
    return ps.PhotonStream(
        np.asarray(pulses)[order], np.asarray(detectors)[order], np.asarray(nanotimes)[order], **units
    )


def emitter(rng, seconds, rate, *, emitters=1, on_share=1.0, block=20e-3, biexciton=0.0, background=0.0, delay=0.0,
            lifetime=10e-9, start=0.0, loud=1.0):  # fmt: skip
    """Independent truth: emitters that give one photon per pulse (plus a second with `biexciton`), slow blinking."""
    n_pulses = round(seconds / PERIOD)
    times, dets = [], []
    for _ in range(emitters):
        on = rng.random(math.ceil(seconds / block)) < on_share
        pulses = np.unique(rng.integers(0, n_pulses, rng.poisson(rate * seconds)))
        pulses = pulses[on[np.minimum((pulses * PERIOD / block).astype(int), on.size - 1)]]
        second = pulses[rng.random(pulses.size) < biexciton]
        pulses = np.concatenate([pulses, second])
        times.append(pulses * PERIOD + rng.exponential(lifetime, pulses.size) + 20e-9)
        dets.append((rng.random(pulses.size) < loud / (1 + loud)).astype(np.uint8))
    for d in (0, 1):
        n = rng.poisson(background * seconds)
        times.append(rng.uniform(0, seconds - PERIOD, n))
        dets.append(np.full(n, d, np.uint8))
    time, det = np.concatenate(times), np.concatenate(dets)
    time = time + np.where(det == 1, delay, 0.0)
    keep = (time >= 0) & (time < seconds)
    time, det = time[keep], det[keep]
    pulses = np.floor(time / PERIOD).astype(np.int64)
    nanotimes = np.clip(((time - pulses * PERIOD) / TICK).astype(np.int64), 0, TICKS - 1)
    return stream(pulses + round(start / PERIOD), det, nanotimes, seconds, start)


def brute_force(pulses, nanotimes, detectors, period, delay, n_pulses):
    """Every pair, in whole numbers where a tie could matter."""
    pairs = np.zeros(2 * n_pulses + 1, int)
    for i in np.flatnonzero(detectors == 0):
        for j in np.flatnonzero(detectors == 1):
            lag = (int(pulses[j]) - int(pulses[i])) * period + int(nanotimes[j]) - int(nanotimes[i]) - delay
            peak = math.floor(lag / period + 0.5)
            if abs(peak) <= n_pulses:
                pairs[peak + n_pulses] += 1
    return pairs


photon_lists = st.lists(st.tuples(st.integers(0, 25), st.integers(0, 2), st.integers(0, 15)), min_size=2, max_size=40)


@settings(max_examples=60)
@given(photon_lists, st.integers(-24, 24), st.integers(1, 4))
def test_pairs_are_those_of_brute_force(photons, delay, n_pulses):
    photons = sorted(photons)
    pulses, dets, nanos = (np.array(x) for x in zip(*photons, strict=True))
    dets[0], dets[-1] = 0, 1
    units = {"timestamps_unit": 16e-9, "tcspc_unit": 1e-9, "duration": 1e-6}
    found = ps.g2_pulsed(ps.PhotonStream(pulses, dets, nanos, **units), n_pulses, detectors=(0, 1), delay=delay * 1e-9)
    np.testing.assert_array_equal(found.pairs, brute_force(pulses, nanos, dets, 16, delay, n_pulses))


def test_kernel_over_many_blocks_is_that_of_shifted_arrays():
    rng = np.random.default_rng(5)
    times = np.sort(rng.integers(0, 20_000, 3 * BLOCK))
    det = rng.integers(0, 2, times.size).astype(np.uint8)
    pairs, counts = np.zeros(8, np.int64), np.zeros(2, np.int64)
    pulsed_pairs(
        times, np.zeros(times.size, np.uint16), det, 0, 1, 0, times.size, 4, np.array([-5, 6]), -3, pairs, counts
    )
    a, b = (np.bincount(times[det == d], minlength=20_000) for d in (0, 1))
    expected = [
        int(np.sum(a[max(-k, 0) : 20_000 - max(k, 0)] * b[max(k, 0) : 20_000 - max(-k, 0)])) for k in range(-3, 4)
    ]
    assert pairs[:-1].tolist() == expected
    assert counts.tolist() == [a.sum(), b.sum()]


@pytest.mark.parametrize("start", [0.0, 1e6])
def test_independent_light_gives_one(start):
    rng = np.random.default_rng(1)
    seconds, n = 2.0, 200_000
    light = stream(
        np.sort(rng.integers(0, round(seconds / PERIOD), n)) + round(start / PERIOD), rng.integers(0, 2, n),
        rng.integers(0, TICKS, n), seconds, start,
    )  # fmt: skip
    found = ps.g2_pulsed(light)
    assert found.delay == 0.0
    chi2 = np.sum((found.pairs - found.expected_far) ** 2 / found.expected_far)
    assert stats.chi2.sf(chi2, found.pairs.size) > 1e-3
    assert found.g2_zero_ci[0] < 1 < found.g2_zero_ci[1]
    assert found.g2_zero_far_ci[0] < 1 < found.g2_zero_far_ci[1]
    assert abs(found.bunching - 1) < 4 * found.bunching_err


def test_expected_pairs_hold_in_a_short_window_of_few_pulses():
    rng = np.random.default_rng(8)
    n_pulses, pulls = 60, np.zeros(41)
    for _ in range(300):
        n = rng.poisson(80)
        light = stream(rng.integers(0, n_pulses, n), rng.integers(0, 2, n), np.zeros(n, int), n_pulses * PERIOD)
        found = ps.g2_pulsed(light, 20, detectors=(0, 1), delay=0.0)
        pulls += found.pairs - found.expected_far
    # pairs of one stream share photons: their variance is a few times Poisson's
    assert np.abs(pulls.sum()) < 5 * math.sqrt(300 * 41 * 80**2 / 4 / n_pulses) * 3


def test_shift_of_time_changes_nothing():
    here = emitter(np.random.default_rng(2), 1.0, 4e4, background=500, delay=7e-9)
    late = emitter(np.random.default_rng(2), 1.0, 4e4, background=500, delay=7e-9, start=1e6)
    one, two = ps.g2_pulsed(here), ps.g2_pulsed(late)
    np.testing.assert_array_equal(one.pairs, two.pairs)
    np.testing.assert_allclose(one.expected_far, two.expected_far, rtol=1e-12)
    assert one.bunching_err == pytest.approx(two.bunching_err)


def test_swap_of_detectors_mirrors():
    photons = emitter(np.random.default_rng(3), 1.0, 4e4, background=500)
    one, two = (ps.g2_pulsed(photons, detectors=pair, delay=0.0) for pair in ((0, 1), (1, 0)))
    np.testing.assert_array_equal(one.pairs, two.pairs[::-1])
    np.testing.assert_allclose(one.expected_far, two.expected_far[::-1])


@pytest.mark.parametrize("n_cuts", [1, 7, 300])
@pytest.mark.parametrize("gate", [None, 2e-9])
def test_pieces_cut_anywhere_give_the_same(n_cuts, gate):
    rng = np.random.default_rng(4)
    photons = emitter(rng, 1.0, 6e4, on_share=0.6, background=2000, delay=-420e-9)
    whole = ps.g2_pulsed(photons, gate=gate, background=1000.0)
    bounds = [0.0, *np.sort(rng.uniform(0, 1, n_cuts)), 1.0]
    cut = (photons.between(a, b) for a, b in pairwise(bounds))
    parts = ps.g2_pulsed(cut, gate=gate, background=1000.0)
    assert whole.delay == pytest.approx(-420e-9, abs=2e-9)
    np.testing.assert_array_equal(whole.pairs, parts.pairs)
    np.testing.assert_allclose(whole.expected_far, parts.expected_far, rtol=1e-9)
    for name in ("g2_zero", "g2_zero_err", "g2_zero_far_err", "bunching", "bunching_err", "delay"):
        assert getattr(parts, name) == pytest.approx(getattr(whole, name), rel=1e-9), name


def test_threads_lose_no_pairs(monkeypatch):
    rng = np.random.default_rng(15)
    n = 200_000
    light = stream(np.sort(rng.integers(0, 10**6, n)), rng.integers(0, 2, n), rng.integers(0, TICKS, n), 10**6 * PERIOD)
    alone = ps.g2_pulsed(light, delay=0.0), ps.g2(light, window=1e-6, bin_width=2e-9, delay=0.0)
    monkeypatch.setattr("photonstats.correlations.pairing._THREADED", 10)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    together = ps.g2_pulsed(light, delay=0.0), ps.g2(light, window=1e-6, bin_width=2e-9, delay=0.0)
    for one, two in zip(alone, together, strict=True):
        assert one.pairs.sum() > 1e5
        np.testing.assert_array_equal(one.pairs, two.pairs)


def test_pieces_cut_within_a_pulse_give_the_same():
    photons = emitter(np.random.default_rng(6), 0.01, 2e6, emitters=3)
    whole = ps.g2_pulsed(photons, delay=0.0)
    pieces, edge = [], 0.0
    for i in range(0, len(photons), 1000):
        part = photons[i : i + 1000]
        end = float(part.timestamps[-1] + 1) * PERIOD if i + 1000 < len(photons) else 0.01
        end = max(end, edge)
        pieces.append(
            ps.PhotonStream(
                part.timestamps, part.detectors, part.nanotimes, timestamps_unit=PERIOD, tcspc_unit=TICK,
                start=edge, duration=end - edge,
            )
        )  # fmt: skip
        edge = end
    found = ps.g2_pulsed(pieces, delay=0.0)
    np.testing.assert_array_equal(found.pairs, whole.pairs)


def test_three_blinking_emitters_near_and_far():
    found = ps.g2_pulsed(
        emitter(np.random.default_rng(7), 8.0, 8e4, emitters=3, on_share=0.4, lifetime=5e-9), delay=0.0
    )
    # all emitters: 1 - 1/3 against far peaks; those on at the same time: (1-1/M) weighted by pairs, 1/(1-g) = 1.8
    near = 6 * 0.16 / (3 * 0.4 + 6 * 0.16)
    assert abs(found.g2_zero - near) < 4 * found.g2_zero_err
    assert abs(found.g2_zero_far - 2 / 3) < 4 * found.g2_zero_far_err
    assert abs(found.bunching - 1.5) < 4 * found.bunching_err
    assert 1 / (1 - near) == pytest.approx(1.8)


def centre_coverage(rng, mean_centre, mean_side, n_runs, n_sides=20):
    truth = mean_centre / mean_side
    n0 = rng.poisson(mean_centre, n_runs)
    side = rng.poisson(mean_side * n_sides, n_runs)
    limits = np.array([ratio_interval(int(n), int(s)) * n_sides for n, s in zip(n0, side, strict=True)])
    return np.mean((limits[:, 0] <= truth) & (truth <= limits[:, 1]))


@pytest.mark.parametrize(("mean_centre", "mean_side"), [(0.2, 2.0), (1.0, 1.5), (3.0, 10.0), (40.0, 100.0)])
def test_interval_of_a_ratio_covers(mean_centre, mean_side):
    covered = centre_coverage(np.random.default_rng(11), mean_centre, mean_side, 1000)
    assert covered > 0.95 - 3 * math.sqrt(0.95 * 0.05 / 1000)


def biexciton_truth(rate, biexciton):
    # two photons of a pulse on different detectors (either order) over pairs of different pulses
    per_pulse = 1 - math.exp(-rate * PERIOD)
    return 2 * biexciton / (per_pulse * (1 + biexciton) ** 2)


def check_background_coverage(n_runs, seed):
    rate, biexciton = 2.5e4, 0.0005
    truth = biexciton_truth(rate, biexciton)
    rng = np.random.default_rng(seed)
    value, error, covered, raw = [], [], [], []
    for _ in range(n_runs):
        photons = emitter(rng, 0.5, rate, on_share=0.5, biexciton=biexciton, background=3000.0, lifetime=5e-9)
        found = ps.g2_pulsed(photons, detectors=(0, 1), delay=0.0, background={0: 3000.0, 1: 3000.0})
        value.append(found.g2_zero)
        error.append(found.g2_zero_err)
        covered.append(found.g2_zero_ci[0] <= truth <= found.g2_zero_ci[1])
        raw.append(found.corrected(0.0).g2_zero)
    mean_error = np.std(value, ddof=1) / math.sqrt(n_runs)
    assert abs(np.mean(value) - truth) < 4 * mean_error
    assert np.mean(raw) - truth > 4 * mean_error  # the correction does something
    assert np.mean(covered) > 0.95 - 3 * math.sqrt(0.95 * 0.05 / n_runs)
    assert np.sqrt(np.mean(np.square(error))) == pytest.approx(np.std(value, ddof=1), rel=4 / math.sqrt(2 * n_runs))


def test_background_of_a_blinking_emitter_is_taken_off_without_bias():
    check_background_coverage(40, 21)


@pytest.mark.slow
def test_background_of_a_blinking_emitter_is_taken_off_without_bias_many():
    check_background_coverage(600, 22)


@pytest.mark.slow
@pytest.mark.parametrize("mean_centre", [0.1, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0])
def test_interval_of_a_ratio_covers_everywhere(mean_centre):
    for mean_side in (1.0, 5.0, 100.0):
        assert centre_coverage(np.random.default_rng(12), mean_centre, mean_side, 20_000) > 0.945


def check_far_errors(n_runs, seed):
    rng = np.random.default_rng(seed)
    far, bunching = [], []
    for _ in range(n_runs):
        # three emitters: enough pairs in the centre that blinking, not counting, makes the scatter
        photons = emitter(rng, 2.0, 1e5, emitters=3, on_share=0.4, block=10e-3, lifetime=5e-9)
        found = ps.g2_pulsed(photons, detectors=(0, 1), delay=0.0)
        far.append((found.g2_zero_far, found.g2_zero_far_err))
        bunching.append((found.bunching, found.bunching_err))
    for pairs in (far, bunching):
        value, error = np.array(pairs).T
        assert np.sqrt(np.mean(error**2)) == pytest.approx(np.std(value, ddof=1), rel=0.15 + 2 / math.sqrt(2 * n_runs))


def test_far_errors_hold_the_scatter_of_blinking():
    check_far_errors(20, 31)


@pytest.mark.slow
def test_far_errors_hold_the_scatter_of_blinking_many():
    check_far_errors(150, 32)


def test_error_of_the_background_propagates():
    photons = emitter(np.random.default_rng(9), 2.0, 3e4, background=2000.0)
    sure = ps.g2_pulsed(photons, background=2000.0)
    doubtful = sure.corrected(2000.0, background_err={0: 100.0, 1: 100.0})
    assert doubtful.g2_zero == sure.g2_zero
    step = 1.0
    slopes = [
        (sure.corrected({0: 2000.0 + step * (d == 0), 1: 2000.0 + step * (d == 1)}).g2_zero - sure.g2_zero) / step
        for d in (0, 1)
    ]
    added = math.sqrt(doubtful.g2_zero_err**2 - sure.g2_zero_err**2)
    assert added == pytest.approx(100.0 * math.hypot(*slopes), rel=0.02)


def test_zero_centre_pairs_give_an_upper_limit():
    n = 400
    rng = np.random.default_rng(10)
    pulses = np.unique(rng.integers(0, 10_000, n))
    photons = stream(pulses, rng.integers(0, 2, pulses.size), np.full(pulses.size, 100), 10_000 * PERIOD)
    found = ps.g2_pulsed(photons, delay=0.0)
    side = found.pairs.sum() / 20
    assert found.g2_zero == 0.0
    assert found.g2_zero_ci[0] == 0.0
    assert 3.6 / side < found.g2_zero_ci[1] < 5.0 / side
    assert found.g2_zero_err > 0
    assert found.g2_zero_far_ci[1] > 0


@pytest.mark.parametrize("n", [0, 1, 2])
def test_hardly_any_photons(n):
    photons = stream([5, 5][:n], [0, 1][:n], [3, 4][:n], 1.0)
    pair = (0, 1)
    if n == 1:
        with pytest.raises(ValueError, match="detector 1 has no photons"):
            ps.g2_pulsed(photons, detectors=pair)
        return
    found = ps.g2_pulsed(photons, detectors=pair)
    assert found.pairs.sum() == (n == 2)
    assert math.isnan(found.g2_zero)
    assert found.to_dict()["g2_zero"] is None
    assert "Pulsed g2" in found.summary()


def test_gate_keeps_late_photons_and_scales_the_background():
    rng = np.random.default_rng(13)
    photons = emitter(rng, 2.0, 3e4, background=5000.0, delay=3e-9, lifetime=20e-9)
    found = ps.g2_pulsed(photons, gate=10e-9)
    share = math.exp(-0.5)
    for d in (0, 1):
        # emitter's photons split evenly; a unique pulse each
        rate = 3e4 / 2 * share + 5000.0 * found.open_fraction[d]
        assert found.rates[d] == pytest.approx(rate, rel=0.02)
        assert found.open_fraction[d] == pytest.approx(0.95, abs=0.01)
    corrected = found.corrected(5000.0)
    assert abs(corrected.g2_zero) < 4 * corrected.g2_zero_err
    assert found.g2_zero > 4 * found.g2_zero_err
    window = ps.g2_pulsed(photons, gate=(20e-9, 60e-9))
    assert window.open_fraction[0] == pytest.approx(0.2, abs=1e-3)


def test_gate_closes_before_the_next_rise():
    rng = np.random.default_rng(16)
    n = 200_000
    pulses = np.sort(rng.integers(0, 10**7, n))
    nanotimes = 300 + rng.exponential(0.3e-9 / TICK, n) + rng.normal(0, 0.3e-9 / TICK, n)
    dark = rng.random(n) < 0.02
    nanotimes = np.where(dark, rng.uniform(0, TICKS, n), nanotimes).astype(int)
    found = ps.g2_pulsed(stream(pulses, rng.integers(0, 2, n), nanotimes, 2.0), gate=10e-9, delay=0.0)
    for d in (0, 1):
        background = 0.01 * n / 2.0 * found.open_fraction[d]
        assert abs(found.rates[d] - background) < 5 * math.sqrt(background * 2) / 2


def test_real_pulsed_source(shared_data):
    photons = ps.read(shared_data / "hbt_pulsed_80MHz_t3.ptu")
    found = ps.g2_pulsed(photons)
    assert found.delay == pytest.approx(23.7e-9, abs=0.3e-9)
    assert found.pairs[10] == 1
    assert np.delete(found.pairs, 10).mean() == pytest.approx(373, abs=15)
    assert found.g2_zero == pytest.approx(0.0027, abs=0.0005)
    assert found.g2_zero_ci[0] < 0.003 < found.g2_zero_ci[1] < 0.02
    parts = ps.g2_pulsed(ps.scan(shared_data / "hbt_pulsed_80MHz_t3.ptu", chunk_size=50_000))
    np.testing.assert_array_equal(parts.pairs, found.pairs)
    assert parts.delay == found.delay


def test_dark_detector_of_a_real_file_is_not_live(shared_data):
    photons = ps.read(shared_data / "blinking_trace3.pt3")
    with pytest.raises(ValueError, match=r"only detector \d is live"):
        ps.g2_pulsed(photons)


def three_detectors():
    rng = np.random.default_rng(14)
    return stream(np.sort(rng.integers(0, 1000, 300)), np.repeat([0, 1, 3], 100), np.zeros(300, int), 1.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (partial(ps.g2_pulsed, n_pulses=0), "n_pulses=0"),
        (partial(ps.g2_pulsed), r"3 detectors are live \(0: 100 Hz, 1: 100 Hz, 3: 100 Hz\)"),
        (partial(ps.g2_pulsed, detectors=(1, 1)), "two different detectors"),
        (partial(ps.g2_pulsed, detectors=(0, 2)), "detector 2 has no photons; there are 0: 100 Hz"),
        (partial(ps.g2_pulsed, detectors=(0, 1), delay="now"), "delay='now'"),
        (partial(ps.g2_pulsed, detectors=(0, 1), gate=1.0), "laser period"),
        (partial(ps.g2_pulsed, detectors=(0, 1), gate=(5e-9, 1e-9)), "0 <= from < to"),
        (partial(ps.g2_pulsed, detectors=(0, 1), gate=(50e-9, 60e-9)), "leaves no photons"),
        (partial(ps.g2_pulsed, detectors=(0, 1), background={0: 1.0}), "no rate for detector 1"),
        (partial(ps.g2_pulsed, detectors=(0, 1), background=200.0), "no signal is left"),
        (partial(ps.g2_pulsed, detectors=(0, 1), background=-1.0), "hertz >= 0"),
    ],
)
def test_messages(call, message):
    with pytest.raises(ValueError, match=message):
        call(three_detectors())


def test_messages_of_streams_without_pulses():
    t2 = ps.PhotonStream([1, 2], [0, 1], timestamps_unit=1e-9, duration=1.0)
    with pytest.raises(ValueError, match="use g2 for continuous light"):
        ps.g2_pulsed(t2)
    with pytest.raises(ValueError, match="use fold first"):
        ps.g2_pulsed(ps.PhotonStream([1, 2], [0, 1], timestamps_unit=1e-9, duration=1.0, syncs=[0, 2]))
    with pytest.raises(ValueError, match="gate needs nanotimes"):
        ps.g2(t2, gate=1e-9)
    with pytest.raises(ValueError, match="no pieces"):
        ps.g2_pulsed(iter([]))
