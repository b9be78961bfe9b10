"""95 % intervals of pulsed g2 hold the truth: steady and blinking dots, clusters, few pairs, backgrounds."""

import math
from dataclasses import replace

import numpy as np
import pytest

import photonstats as ps
from blinking_blocks import Light, coverage
from photonstats.simulate import Blinking, Emitter, Exponential, Level, poisson, pulsed

pytestmark = pytest.mark.slow

LIGHTS = {
    "steady": Light(),
    "telegraph ms": Light(on=0.001, off=0.001),
    "telegraph s": Light(on=1.0, off=1.0, seconds=60.0),
    "cluster ms": Light(on=0.001, off=0.0015, emitters=3),
    "cluster s": Light(on=0.4, off=0.6, emitters=3, seconds=60.0),
}


def with_centre(light, pairs):
    """Return the light with so many expected pairs in the centre."""
    if light.emitters > 1:
        return replace(light, rate=light.rate * math.sqrt(pairs / light.centre_pairs))
    light = replace(light, rate=3e4 if pairs >= 100 else 1e4, same=1.0)
    return replace(light, same=pairs / light.centre_pairs)


def check(held, n_runs, lowest, highest):
    noise = 3 * math.sqrt(0.95 * 0.05 / n_runs)
    assert np.all(held > lowest - noise), held
    assert np.all(held < highest + noise), held


@pytest.mark.parametrize("kind", LIGHTS)
@pytest.mark.parametrize("pairs", [0, 3, 30, 1000])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.3])
def test_table(kind, pairs, share):
    """At 3 pairs and at none the exact limits hold more than 95 %, as discrete counts must."""
    light = LIGHTS[kind]
    if light.emitters > 1 and pairs == 0:
        pytest.skip("a cluster has pairs in the centre")
    light = with_centre(light, pairs)
    light = replace(light, background=share * light.rate * light.emitters * (0.5 if light.on else 1.0))
    n_runs = 300
    held = coverage(light, n_runs, 1000 * pairs + round(100 * share), 0.1)
    check(held[:2], n_runs, 0.94, 0.975 if pairs >= 30 else 1.0)
    check(held[2:], n_runs, 0.94, 0.975)


@pytest.mark.parametrize(("dwell", "seconds"), [(0.001, 20.0), (0.05, 20.0), (0.4, 20.0), (0.4, 60.0), (1.0, 60.0)])
def test_three_emitters_that_are_on_for_two_fifths_of_the_time(dwell, seconds):
    light = Light(on=dwell, off=1.5 * dwell, emitters=3, seconds=seconds)
    near, far, bunching = light.truth
    assert near == pytest.approx(0.8 / 1.8)
    assert far == pytest.approx(2 / 3)
    assert bunching == pytest.approx(1.5)
    n_runs = 400
    check(coverage(light, n_runs, 5), n_runs, 0.93, 0.975)


@pytest.mark.parametrize(("on", "off"), [(1.0, 1.0), (0.2, 1.8), (1.5, 0.3)])
def test_ten_blinking_periods(on, off):
    light = Light(on=on, off=off, seconds=20.0, same=0.1)
    n_runs = 400
    check(coverage(light, n_runs, 6), n_runs, 0.92, 0.99)


def dots(n_runs, seed, background, **settings):
    """Yield streams of single dots whose biexcitons emit a little, with the truth of g2(0) near."""
    for run in range(n_runs):
        blinking = None
        if settings.get("dwell"):
            laws = (Exponential(settings["dwell"]), Exponential(settings["dwell"]))
            blinking = Blinking(levels=(Level(1.0), Level(0.0)), dwells=laws)
        dot = Emitter(lifetime=15e-9, biexciton_lifetime=2e-9, biexciton_yield=0.1, blinking=blinking)
        yield pulsed(
            dot, duration=settings.get("seconds", 10.0), rate=settings.get("rate", 2e4), background=background,
            excitation=0.1, tcspc_unit=256e-12, t0=20e-9, irf_sigma=0.2e-9, seed=[seed, run],
        )  # fmt: skip


def share_of_nears(n_runs, seed, background, how, gate=None, **settings):
    held = 0
    for run, (photons, truth) in enumerate(dots(n_runs, seed, background, **settings)):
        rates = how(photons, background, [seed, run, 1])
        found = ps.g2_pulsed(photons, detectors=(0, 1), delay=0.0, gate=gate, background=rates)
        true = truth.g2_zero if gate is None else float(truth.gated_g2_zero(gate))
        held += found.g2_zero_ci[0] <= true <= found.g2_zero_ci[1]
    return held / n_runs


def second_file(_, background, seed):
    dark, _ = poisson((background, background), 20.0, seed=seed)
    return ps.measure_background(dark)


def estimated(photons, *_):
    return ps.estimate_background(photons)


def given(_, background, __):
    return background


@pytest.mark.parametrize("how", [second_file, estimated, given])
@pytest.mark.parametrize("background", [200.0, 1000.0, 5000.0])
def test_background_from_everywhere(how, background):
    n_runs = 60
    held = share_of_nears(n_runs, 7, background, how, dwell=0.3)
    check(np.array([held]), n_runs, 0.95, 1.0)


@pytest.mark.parametrize("how", [second_file, estimated])
@pytest.mark.parametrize("gate", [2e-9, 20e-9])
def test_background_behind_a_gate(how, gate):
    n_runs = 60
    held = share_of_nears(n_runs, 8, 1000.0, how, gate=gate, dwell=0.3)
    check(np.array([held]), n_runs, 0.95, 1.0)


@pytest.mark.parametrize("method", ["decay", "darkest"])
@pytest.mark.parametrize("background", [50.0, 1000.0])
def test_estimated_rates_cover(method, background):
    held, n_runs = [], 60
    for photons, _ in dots(n_runs, 9, background, dwell=0.2):
        found = ps.estimate_background(photons, method)
        held += [abs(found.rate[d] - background) < 1.96 * found.rate_err[d] for d in (0, 1)]
    check(np.array([np.mean(held)]), 2 * n_runs, 0.93, 1.0)


@pytest.mark.parametrize(("dwell", "seconds"), [(0.05, 15.0), (0.3, 20.0)])
def test_photons_of_a_cluster(dwell, seconds):
    """The same from single photons through g2_pulsed, against the mean over blinking."""
    law = Blinking(levels=(Level(1.0), Level(0.0)), dwells=(Exponential(dwell), Exponential(1.5 * dwell)))
    n_runs, held = 80, np.zeros(3)
    for run in range(n_runs):
        photons, _ = pulsed(
            [Emitter(lifetime=5e-9, biexciton_yield=0.0, blinking=law)] * 3, duration=seconds, rate=9e4,
            excitation=0.05, tcspc_unit=256e-12, t0=20e-9, seed=[10, run],
        )  # fmt: skip
        found = ps.g2_pulsed(photons, detectors=(0, 1), delay=0.0)
        intervals = (found.g2_zero_ci, found.g2_zero_far_ci, found.bunching_ci)
        held += [low <= truth <= high for (low, high), truth in zip(intervals, (0.8 / 1.8, 2 / 3, 1.5), strict=True)]
    check(held / n_runs, n_runs, 0.94, 1.0)
