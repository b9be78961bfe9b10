"""The laws of decay_shapes against sums without short cuts."""

import math

import numpy as np
import pytest
from scipy import special

from photonstats import Decay, GaussianIRF, fit_decay
from photonstats.decays.decay_model import set_up
from photonstats.decays.decay_shapes import _lognormal, _mixed, alive_at, columns, stretched_law
from photonstats.decays.decay_solver import evaluate
from photonstats.kernels.decay import alive_after_gaussian, alive_after_impulses


def summed(tau, beta, period, edges, at, weight):
    """Return the sum over impulses, and pulses long ago, one by one."""
    alive = np.zeros(edges.size)
    for x, w in zip(at, weight, strict=True):
        t = edges - x if math.isinf(period) else np.mod(edges - x, period)
        for ago in range(1 if math.isinf(period) else 300):
            s = t + (ago * period if ago else 0.0)
            left = special.gammaincc(1 / beta, (np.maximum(s, 0.0) / tau) ** beta)
            alive += w * np.where(s >= 0, left, 0.0)
    return alive


@pytest.mark.parametrize("seed", range(24))
def test_a_law_in_panels_is_the_sum_over_impulses(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.choice([12, 200, 1500]))
    period = [math.inf, float(n), n - 0.4, 1.5 * n][seed % 4]
    tau, beta = 10 ** rng.uniform(0.3, math.log10(n)), rng.uniform(0.45, 1.0)
    at = rng.uniform(0, n) + np.sort(rng.uniform(0, [0.0, 0.5, n / 5, 0.7 * n][seed // 4 % 4], 15))
    weight = rng.dirichlet(np.ones(15))
    edges = np.minimum(np.arange(n + 1.0), period)
    found = alive_at(stretched_law(tau, beta, period), edges, period, at, weight)
    # between points of the table an eighth of a bin apart the law is a line
    np.testing.assert_allclose(found, summed(tau, beta, period, edges, at, weight), atol=2e-3 / 8 / tau**beta + 1e-7)
    since = edges - at.max() if math.isinf(period) else np.mod(edges - at.max(), period)
    far = (since > max(np.ptp(at), 2.0)) & (since < period - np.ptp(at))
    np.testing.assert_allclose(found[far], summed(tau, beta, period, edges[far], at, weight), rtol=1e-6, atol=3e-9)


@pytest.mark.parametrize("period", [None, 400.0, 399.7, 700.0])
@pytest.mark.parametrize("gaussian", [True, False])
def test_a_mixture_is_its_exponentials_one_by_one(period, gaussian):
    rng = np.random.default_rng(1)
    counts = np.bincount((50 + rng.normal(0, 3, 5000) + rng.exponential(30, 5000)).astype(int) % 400, minlength=400)
    response = np.bincount((50 + rng.normal(0, 3, 50_000)).astype(int), minlength=400)
    irf = GaussianIRF() if gaussian else Decay(response, 1.0, period)
    problem = set_up(Decay(counts, 1.0, period), irf, None, None, None, False)
    shift = 50.0 if gaussian else 0.4
    rates, shares = _lognormal(25.0, 0.9, problem)
    each = np.array([
        evaluate(problem, np.array([-math.log(r), shift, math.log(3.0), 1.0, 1.0, 0.0]))[1][3] for r in rates
    ])  # fmt: skip
    found, _ = _mixed(problem, rates, shares, shift, 3.0)
    np.testing.assert_allclose(found[0], shares @ each, atol=1e-13)
    same, _ = columns(problem, np.array([25.0]), shift, 3.0, "lognormal", 0.9, (0.0, 1.0))
    np.testing.assert_array_equal(same, found)


@pytest.mark.parametrize(
    ("model", "measured"), [pytest.param("stretched", False, marks=pytest.mark.slow), ("lognormal", True)]
)
def test_a_distribution_is_found_on_65536_bins(model, measured):
    rng = np.random.default_rng(2)
    n, period, photons = 65_536, 262.144e-9, 200_000
    centre, sigma, tau = 10e-9, 0.15e-9, 20e-9

    def curve(t):
        return Decay(np.bincount((t % period / period * n).astype(int), minlength=n)[:n], period / n, period)

    jitter = rng.normal(centre, sigma, photons)
    if model == "stretched":
        truth, light = 0.7, tau * rng.gamma(1 / 0.7, size=photons) ** (1 / 0.7)
    else:
        # photons of a rate are its amplitude over the rate: their lifetimes lie higher by spread^2
        truth, light = 0.6, rng.exponential(tau * np.exp(0.6 * rng.normal(0.6, 1.0, photons)))
    irf = curve(rng.normal(centre, sigma, 10**6)) if measured else GaussianIRF()
    fit = fit_decay(curve(light + jitter), irf=irf, model=model)
    assert abs(fit.lifetimes[0] - tau) < 4 * fit.lifetimes_err[0]
    assert abs(fit.shape - truth) < 4 * fit.shape_err
    assert fit.p_value > 1e-3


@pytest.mark.parametrize("gaussian", [True, False])
def test_light_that_is_gone_leaves_no_denormal_numbers(gaussian):
    n = 65_536  # after 708 lifetimes numbers would be denormal, slow, until nothing is left after 745
    alive, slope = np.empty(n + 1), np.empty(n + 1)
    for tau in (30.0, 60.0, 90.0):
        if gaussian:
            alive_after_gaussian(tau, 2500.0, 40.0, float(n), alive, slope)
        else:
            alive_after_impulses(tau, 2500.0, float(n), np.zeros(1), np.ones(1), alive, slope)
        assert alive.min() >= 0.0
        assert alive.max() > 0.1
        assert not np.any((alive > 0.0) & (alive < np.finfo(float).tiny))
