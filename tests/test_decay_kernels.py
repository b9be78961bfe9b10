"""The decay kernels against plain numpy and numerical integration."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from photonstats.kernels import decay as kernels
from photonstats.kernels.decay_fit import solve_damped


def run(q, gaussian, period, n, at, weight):
    work, jacobian, model = np.empty((6, n + 1)), np.empty((len(q), n)), np.empty(n)
    width = np.minimum(np.arange(1.0, n + 1), period) - np.arange(n)
    kernels.evaluate(np.asarray(q, float), gaussian, period, width, np.asarray(at, float), np.asarray(weight, float),
                     work, jacobian, model)  # fmt: skip
    return model, jacobian


def slow_column(tau, places, weights, period, n):
    """Integrate exponentials after impulses over each bin, thousands of pulses back."""
    edges = np.minimum(np.arange(n + 1.0), period)
    pulses = range(-int(40 * tau / period) - 3, 2) if math.isfinite(period) else [0]
    survived = lambda x: np.where(x > 0, 1.0 - np.exp(-np.maximum(x, 0.0) / tau), 0.0)  # noqa: E731
    total = np.zeros(n)
    for place, weight in zip(places, weights, strict=True):
        for p in pulses:
            total += weight * np.diff(survived(edges - place - (p * period if p else 0.0)))
    return total


@settings(max_examples=40)
@given(
    tau=st.floats(0.1, 60), shift=st.floats(-30, 30), cut=st.sampled_from([0.0, 0.3, 0.99, 7.0]),
    places=st.lists(st.integers(0, 15), min_size=1, max_size=4),
)  # fmt: skip
def test_measured_irf_is_the_sum_over_all_earlier_pulses(tau, shift, cut, places):
    n, period = 16, 16 - cut if cut < 1 else 16 + cut
    at = np.minimum(np.array(places) + 0.5, period - 1e-6)
    weight = np.full(at.size, 1.0 / at.size)
    model, _ = run([math.log(tau), shift, 0.0, 100.0, 0.0, 2.0], False, period, n, at, weight)
    moved = np.mod(at + shift, period)
    width = np.minimum(np.arange(1.0, n + 1), period) - np.arange(n)
    assert model == pytest.approx(100 * slow_column(tau, moved, weight, period, n) + 2.0 * width, abs=1e-7)


def test_without_a_period_only_one_pulse_is_seen():
    at, weight = [3.5], [1.0]
    model, _ = run([math.log(5.0), 0.25, 0.0, 1000.0, 0.0, 0.0], False, math.inf, 40, at, weight)
    assert model == pytest.approx(1000 * slow_column(5.0, [3.75], weight, math.inf, 40), abs=1e-9)


@pytest.mark.parametrize("tau", [0.05, 0.6, 4.0, 30.0, 400.0])
@pytest.mark.parametrize("period", [32.0, 31.4, math.inf])
@pytest.mark.parametrize("sigma", [0.1, 1.0, 3.0])
def test_gaussian_irf_is_the_integral_of_the_convolution(tau, period, sigma):
    centre, n = 9.3, 32
    model, _ = run([math.log(tau), 0.0, math.log(sigma), 1.0, 0.0, 0.0], True, period, n, [centre], [1.0])
    back = int(40 * tau / period) + 2 if math.isfinite(period) else 0
    law = stats.exponnorm(tau / sigma, loc=centre, scale=sigma)
    edges = np.minimum(np.arange(n + 1.0), period)
    truth = sum(np.diff(law.cdf(edges + p * period if p else edges)) for p in range(-1 if back else 0, back + 1))
    assert model == pytest.approx(truth, abs=3e-6)
    if math.isfinite(period):
        assert model.sum() == pytest.approx(1.0, abs=1e-9)


def test_gaussian_irf_against_numerical_convolution():
    tau, centre, sigma = 5.0, 10.0, 1.5
    model, _ = run([math.log(tau), 0.0, math.log(sigma), 1.0, 0.0, 0.0], True, math.inf, 32, [centre], [1.0])
    for k in (5, 10, 20):
        value, _ = integrate.dblquad(
            lambda s, u: stats.norm.pdf(u - s, centre, sigma) * math.exp(-s / tau) / tau, k, k + 1, 0, 60
        )
        assert model[k] == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize("gaussian", [True, False])
@pytest.mark.parametrize("period", [31.4, 40.0, math.inf])
def test_derivatives_are_those_of_the_model(gaussian, period):
    n = 32
    at, weight = ([9.3], [1.0]) if gaussian else ([8.5, 9.5, 30.2], [0.3, 0.6, 0.1])
    q = np.array([math.log(0.8), math.log(7.0), 0.21, math.log(1.3), 300.0, 700.0, 50.0, 1.5])
    _, jacobian = run(q, gaussian, period, n, at, weight)
    for i in range(q.size):
        if i == 3 and not gaussian:
            continue
        step = 1e-5
        up, down = q.copy(), q.copy()
        up[i] += step
        down[i] -= step
        slope = (run(up, gaussian, period, n, at, weight)[0] - run(down, gaussian, period, n, at, weight)[0]) / 2 / step
        assert jacobian[i] == pytest.approx(slope, abs=2e-5), i


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 65535), st.integers(0, 3)), max_size=60), st.sets(st.integers(0, 3)))
def test_histograms_count_each_photon_once(photons, which):
    nanotimes = np.array([u for u, _ in photons], np.uint16)
    detectors = np.array([d for _, d in photons], np.uint8)
    counts = np.zeros((4, 65536), np.uint32)
    kernels.count_nanotimes(nanotimes, counts)
    assert np.array_equal(counts.sum(axis=0), np.bincount(nanotimes, minlength=65536))
    keep, counts = np.zeros(256, np.uint32), np.zeros((4, 65536), np.uint32)
    keep[list(which)] = 1
    kernels.count_nanotimes_of(nanotimes, detectors, keep, counts)
    expected = np.bincount(nanotimes[np.isin(detectors, list(which))], minlength=65536)
    assert np.array_equal(counts.sum(axis=0), expected)


def test_solver_of_the_step_inverts_and_skips_what_is_held():
    rng = np.random.default_rng(1)
    root = rng.normal(size=(5, 9))
    matrix, g = root @ root.T, rng.normal(size=5)
    held = np.array([False, True, False, False, True])
    step = np.empty(5)
    gain = solve_damped(matrix, g, held, np.zeros(5), np.zeros((5, 5)), step)
    truth = np.zeros(5)
    truth[~held] = np.linalg.solve(matrix[np.ix_(~held, ~held)], g[~held])
    assert step == pytest.approx(truth)
    assert gain == pytest.approx(truth @ g)
    assert (
        solve_damped(np.ones((2, 2)), np.ones(2), np.zeros(2, bool), np.zeros(2), np.zeros((2, 2)), np.empty(2)) == -1
    )
