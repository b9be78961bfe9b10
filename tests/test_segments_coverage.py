"""Intervals of the lifetimes of segments hold the truth as often as they say, at few photons and with background."""

import numpy as np
import pytest

import photonstats as ps
from photonstats.decays.segments import fit_segments
from test_segments import IRF, LENGTH, PERIOD, UNIT, draw, inside

SETS = 4000
LIFETIMES = (0.03, 0.1, 0.3, 0.6)  # of the period


@pytest.mark.slow
@pytest.mark.parametrize("n", [5, 10, 20, 50, 200, 500])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.2])
@pytest.mark.parametrize("lifetime", LIFETIMES)
def test_intervals_of_lifetimes(n, share, lifetime):
    rng = np.random.default_rng([n, round(100 * share), round(100 * lifetime)])
    photons, edges = draw(rng, np.full(SETS, n * (1 - share)), lifetime * PERIOD, n * share)
    found = fit_segments(photons, edges, IRF, n * share / LENGTH, shift=0.0)
    assert 0.93 <= inside(found.lifetimes_ci, lifetime * PERIOD) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize(("n", "background"), [(5, 5), (10, 10), (20, 60), (100, 300)])
@pytest.mark.parametrize("lifetime", [0.003, *LIFETIMES])
def test_intervals_of_dim_segments(n, background, lifetime):
    rng = np.random.default_rng([n, background])
    photons, edges = draw(rng, np.full(SETS, n), lifetime * PERIOD, background)
    found = fit_segments(photons, edges, IRF, background / LENGTH, shift=0.0)
    assert 0.92 <= inside(found.lifetimes_ci, lifetime * PERIOD) <= 0.98


@pytest.mark.slow
def test_intervals_of_a_blinking_emitter_on_two_unequal_detectors():
    rng = np.random.default_rng(11)
    means = rng.choice([3, 10, 40, 300], 8000)
    photons, edges = draw(rng, means, 10e-9, 6.0, delays=(0.0, 30e-9))
    photons = photons[(photons.detectors == 0) | (rng.uniform(size=len(photons)) < 0.3)]
    found = fit_segments(photons, edges, IRF, {0: 3.0 / LENGTH, 1: 0.9 / LENGTH})
    for mean in (3, 10, 40, 300):
        assert 0.93 <= inside(found.lifetimes_ci[means == mean], 10e-9) <= 0.98


@pytest.mark.slow
@pytest.mark.parametrize("n", [5, 20, 200])
@pytest.mark.parametrize("lifetime", LIFETIMES)
def test_intervals_at_68_percent(n, lifetime):
    photons, edges = draw(np.random.default_rng(n), np.full(SETS, n), lifetime * PERIOD)
    found = fit_segments(photons, edges, IRF, shift=0.0, level=0.68)
    assert 0.65 <= inside(found.lifetimes_ci, lifetime * PERIOD) <= 0.73


@pytest.mark.slow
@pytest.mark.parametrize("n", [20, 200])
@pytest.mark.parametrize("lifetime", LIFETIMES)
def test_intervals_without_irf(n, lifetime):
    rng = np.random.default_rng(n)
    photons, edges = draw(rng, np.full(SETS, n), lifetime * PERIOD, 0.1 * n)
    found = fit_segments(photons, edges, None, 0.1 * n / LENGTH)
    assert 0.93 <= inside(found.lifetimes_ci, lifetime * PERIOD) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("n", [5, 20, 50, 500])
@pytest.mark.parametrize("fraction", [0.05, 0.3, 0.7])
def test_intervals_of_fractions(n, fraction):
    rng = np.random.default_rng([n, round(100 * fraction)])
    segments = np.full(SETS, float(n))
    fast, edges = draw(rng, segments * fraction, 2e-9, 0.1 * n)
    slow, _ = draw(rng, segments * (1 - fraction), 20e-9)
    order = np.argsort(np.concatenate([fast.timestamps, slow.timestamps]), kind="stable")
    names = ("timestamps", "detectors", "nanotimes")
    columns = [np.concatenate([getattr(s, name) for s in (fast, slow)])[order] for name in names]
    photons = ps.PhotonStream(*columns, timestamps_unit=PERIOD, tcspc_unit=UNIT, duration=fast.duration)
    found = fit_segments(photons, edges, IRF, 0.1 * n / LENGTH, shift=0.0, lifetimes=(2e-9, 20e-9))
    assert 0.93 <= inside(found.fractions_ci, fraction) <= 0.985
