"""Centre and side peaks: exact intervals, the block bootstrap against ten lines, coverage with blinking."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from blinking_blocks import Light, coverage, estimates
from photonstats.correlations import peaks
from photonstats.correlations.peaks import Blocks, Peaks, correlation_length, ratio_above_background, ratio_interval


@settings(max_examples=60)
@given(st.floats(0, 1), st.integers(5, 5000), st.integers(1, 40))
def test_ratio_above_no_background_is_the_exact_one(share, m, n_sides):
    n = round(share * m)
    exact = ratio_interval(n, m) * n_sides
    found = ratio_above_background(n, m, (0.0, 0.0), n_sides, 0.0)
    np.testing.assert_allclose(found, exact, rtol=3e-3, atol=1e-9)


@pytest.mark.parametrize(("n", "m", "dark"), [(12, 300, 5.0), (40, 90, 2.0), (3, 4000, 1.0), (160, 5000, 100.0)])
def test_ratio_above_background_holds_the_quantiles_of_gamma_variables(n, m, dark):
    rng, n_sides, error = np.random.default_rng(1), 20, 0.1 * dark
    shift = rng.normal(0, error, 400_000)

    def ratio(top, bottom):
        side = rng.gamma(bottom, size=shift.size) / n_sides - dark - shift
        return np.where(side > 0, (rng.gamma(top, size=shift.size) - dark - shift) / side, np.inf)

    low, high = ratio_above_background(n, m, (dark, dark), n_sides, error)
    assert np.mean(ratio(n, m + 1) < low) == pytest.approx(0.025 if low > 0 else 0.0, abs=0.004 if low > 0 else 1.0)
    assert np.mean(ratio(n + 1, m) > high) == pytest.approx(0.025, abs=0.004)


@pytest.mark.parametrize("share", [0.0, 0.1])
def test_ratio_above_background_covers_at_few_counts(share):
    rng, n_runs, n_sides = np.random.default_rng(2), 400, 20
    for centre, side, dark in ((4.0, 12.0, 3.0), (2.0, 40.0, 10.0)):
        error, held = share * dark, 0
        for _ in range(n_runs):
            known = dark + rng.normal(0, error)
            n, m = rng.poisson(centre + dark), rng.poisson(n_sides * (side + dark))
            low, high = ratio_above_background(n, m, (known, known), n_sides, error)
            held += low <= centre / side <= high
        assert held / n_runs > 0.95 - 3 * math.sqrt(0.95 * 0.05 / n_runs)


def test_fewer_pairs_than_background_leave_an_interval_of_some_width():
    low, high = ratio_above_background(2, 4000, (15.0, 15.0), 20, 0.0)
    assert low == 0.0
    # what 15 - sqrt(15) counts in place of 2 would give
    expected = (stats.gamma.ppf(0.975, 15 - math.sqrt(15) + 1) - 15.0) / (200.0 - 15.0)
    assert high == pytest.approx(expected, rel=0.1)
    assert ratio_above_background(2, 3, (0.0, 5.0), 20, 0.0)[1] == math.inf


def resampled_by_hand(rows, length, rng):
    n, size = len(rows), round(len(rows) / length)
    total = np.zeros(rows.shape[1])
    for start in rng.integers(0, n, size, dtype=np.int32):
        for i in range(length):
            total += rows[(start + i) % n]
    return total


@settings(max_examples=20)
@given(st.integers(5, 30), st.integers(1, 4), st.integers(0, 100))
def test_resampled_sums_are_those_of_stretches(n, length, seed):
    rows = np.random.default_rng(seed).integers(0, 50, (n, 5)).astype(float)
    length = min(length, n // 2)
    found = peaks._resampled(rows, length, seed)
    rng = np.random.default_rng(seed)
    for row in found[:20]:
        np.testing.assert_allclose(row, resampled_by_hand(rows, length, rng))


@pytest.mark.parametrize("dwell", [0.4, 1.0, 3.0])
def test_correlation_length_of_a_telegraph(dwell):
    rng, light = np.random.default_rng(3), Light(on=dwell, off=dwell, seconds=400.0, n_blocks=800)
    found = [correlation_length(light.draw(rng).photons.sum(axis=1).astype(float)) * 0.5 for _ in range(40)]
    error = np.std(found, ddof=1) / math.sqrt(len(found))
    assert abs(np.mean(found) - dwell / 2) < 4 * error + 0.03 * dwell  # the bias of short records is taken off in part


def test_steady_light_has_no_correlation_length():
    rng = np.random.default_rng(4)
    assert np.mean([correlation_length(rng.poisson(1000, 60).astype(float)) > 0 for _ in range(500)]) < 0.01
    assert correlation_length(np.zeros(60)) == 0.0
    assert correlation_length(np.zeros(0)) == 0.0


def test_steady_light_has_the_errors_of_counting():
    rng, light, ratios = np.random.default_rng(5), Light(same=0.05), []
    for _ in range(60):
        blocks = light.draw(rng)
        ((near, near_err, _), _, _), _ = estimates(blocks, np.zeros(2))
        ratios.append(near_err / (near * math.sqrt(1 / blocks.centres.sum() + 1 / blocks.sides.sum())))
    assert 1.0 <= np.mean(ratios) < 1.12


def check_scatter(light, n_runs, seed):
    """Check that root mean squared errors are the scatter of the values."""
    rng = np.random.default_rng(seed)
    found = np.array(
        [[x[:2] for x in estimates(light.draw(rng), np.full(2, light.background))[0]] for _ in range(n_runs)]
    )
    ratio = np.sqrt(np.mean(found[:, :, 1] ** 2, axis=0)) / np.std(found[:, :, 0], axis=0, ddof=1)
    assert np.all(np.abs(ratio - 1.0) < 0.12 + 3 / math.sqrt(2 * n_runs)), ratio
    pulls = (found[:, :, 0].mean(axis=0) - light.truth) / (np.std(found[:, :, 0], axis=0) / math.sqrt(n_runs))
    assert np.all(np.abs(pulls) < 4.5), pulls


@pytest.mark.parametrize("dwell", [0.002, 0.1])
def test_errors_are_the_scatter_of_a_cluster(dwell):
    check_scatter(Light(on=dwell, off=1.5 * dwell, emitters=3, seconds=60.0), 100, 6)


def test_near_error_of_a_cluster_exceeds_counting_by_far():
    blocks = Light(on=0.4, off=0.6, emitters=3, seconds=60.0).draw(np.random.default_rng(7))
    ((near, near_err, _), _, _), scatter = estimates(blocks, np.zeros(2))
    assert near_err > 2 * near * math.sqrt(1 / blocks.centres.sum() + 1 / blocks.sides.sum())
    assert 10 < scatter.periods < 200
    assert scatter.note == ""


def check_coverage(light, n_runs, seed, lowest, background_err=0.0):
    found = coverage(light, n_runs, seed, background_err)
    assert np.all(found > lowest - 3 * math.sqrt(lowest * (1 - lowest) / n_runs)), found


@pytest.mark.parametrize(
    "light",
    [
        Light(same=0.01),
        Light(on=0.001, off=0.001, same=0.01),
        Light(on=1.0, off=1.0, same=0.02, seconds=60.0),
        Light(on=0.2, off=1.8, same=0.1, seconds=60.0),
        Light(on=0.05, off=0.075, emitters=3),
    ],
    ids=["steady", "ms", "s", "mostly off", "cluster"],
)
@pytest.mark.parametrize("background", [0.0, 0.3])
def test_intervals_cover(light, background):
    check_coverage(replace(light, background=background * light.rate), 120, 8, 0.95, 0.05)


def test_bootstrap_is_the_same_each_time_and_mirrors():
    blocks = Light(on=0.1, off=0.2, emitters=2).draw(np.random.default_rng(9))
    one, again, other = blocks.scatter((50.0, 80.0)), blocks.scatter((50.0, 80.0)), blocks.scatter((50.0, 80.0), seed=1)
    assert one == again
    assert one != other
    assert math.sqrt(other.bunching) == pytest.approx(math.sqrt(one.bunching), rel=0.15)
    mirrored = Blocks(
        blocks.centres, blocks.sides, blocks.photons[:, ::-1], blocks.seconds, blocks.width, blocks.n_sides
    )
    assert mirrored.scatter((80.0, 50.0)).near == pytest.approx(one.near, rel=1e-9)


def test_a_short_last_block_is_no_dim_state():
    rng, n = np.random.default_rng(10), 40
    seconds = np.ones(n)
    seconds[-1] = 0.2
    draw = [rng.poisson(seconds * mean) for mean in (20.0, 4000.0, 3e4, 3e4)]
    blocks = Blocks(draw[0], draw[1], np.stack(draw[2:], axis=1), seconds, 4e-6, 20)
    assert blocks.scatter((0.0, 0.0)).periods == math.inf


def test_slow_blinking_leaves_fewer_stretches_to_learn_from():
    rng = np.random.default_rng(13)
    fast, slow = (Light(on=t, off=t, same=0.02).draw(rng).scatter((0.0, 0.0)) for t in (0.001, 1.0))
    assert fast.dof == 43
    assert slow.dof < 30
    assert slow.reach(0.0, 1.0) > fast.reach(0.0, 1.0) > 1.96
    assert slow.reach(1.0, 1e-6) == pytest.approx(1.96, abs=1e-3)


def test_few_blinking_periods_are_noted():
    rng, light = np.random.default_rng(11), Light(on=4.0, off=4.0, seconds=20.0, same=0.02)
    notes = [light.draw(rng).scatter((0.0, 0.0)).note for _ in range(40)]
    noted = [note for note in notes if "lower bounds: the recording holds only about" in note]
    # a recording that lies within one dwell cannot show that it blinks
    assert len(noted) > 30


def test_what_cannot_be_seen_is_said():
    blocks = Light(seconds=1.0, n_blocks=4).draw(np.random.default_rng(12))
    assert "only 4 stretches" in blocks.scatter((0.0, 0.0)).note
    empty = Blocks(np.zeros(40, int), np.zeros(40, int), np.zeros((40, 2), int), np.ones(40), 4e-6, 20)
    assert "too few pairs" in empty.scatter((0.0, 0.0)).note
    none = np.zeros(21)
    for found in (Peaks(none.astype(int), none, none).near(0.0), Peaks(none.astype(int), none, none).far(0.0)):
        assert math.isnan(found[0])
        assert found[2].tolist() == [0.0, math.inf]
    assert math.isnan(Peaks(none.astype(int), none, none).bunching(0.0)[0])


def test_no_pairs_in_the_centre_give_an_upper_limit():
    pairs = np.full(21, 50)
    pairs[10] = 0
    value, error, interval = Peaks(pairs, np.zeros(21), np.full(21, 50.0)).far(0.0)
    assert value == 0.0
    assert error > 0
    assert interval[0] == 0.0
    assert interval[1] == pytest.approx(3.69 / 50, rel=1e-2)
