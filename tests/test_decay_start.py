"""The grid from which the search for two lifetimes begins, and what it rests on."""

import numpy as np
import pytest
from scipy.optimize import nnls

import photonstats as ps
from photonstats.decays import decay_solver
from photonstats.decays.decay_model import measured_impulses, set_up
from photonstats.decays.decay_solver import System, solve
from photonstats.kernels import decay_fit
from photonstats.kernels.decay import alive_after_impulses, evaluate
from photonstats.kernels.decay_grid import grid_of_pairs, pair_costs
from photonstats.kernels.goodness import deviance_sums
from photonstats.likelihood import _deviance_table, deviance_moments, poisson_deviance

PERIOD = 50e-9


def curves(seed, *, bins=256, photons=100_000, taus=(2e-9, 8e-9), share=0.4, dark=0.02, jitter=0.15e-9, pulse=3e-9):
    rng = np.random.default_rng(seed)
    flat, *each = rng.multinomial(photons, [dark, (1 - dark) * share, (1 - dark) * (1 - share)])
    after = np.concatenate([rng.exponential(tau, n) for tau, n in zip(taus, each, strict=True)])
    times = np.concatenate([after + rng.normal(pulse, jitter, after.size), rng.uniform(0, PERIOD, flat)])

    def histogram(t):
        at = (t % PERIOD / PERIOD * bins).astype(int)
        return ps.Decay(np.bincount(at, minlength=bins)[:bins], PERIOD / bins, PERIOD)

    return histogram(times), histogram(rng.normal(pulse, jitter, 1_000_000))


def any_curves(seed):
    """Draw curves of all kinds: clear and hopeless ones, wide and narrow responses, with one and without."""
    rng = np.random.default_rng(seed)
    first = 10 ** rng.uniform(-9.7, -8.3)
    decay, response = curves(
        seed, bins=int(rng.choice([64, 256, 512])), photons=int(10 ** rng.uniform(3.5, 5.5)),
        taus=(first, first * 10 ** rng.uniform(0.1, 1.3)), share=rng.uniform(0.05, 0.95),
        dark=rng.choice([0.0, 0.02, 0.2]), jitter=10 ** rng.uniform(-10, -9.2), pulse=rng.choice([1e-9, 3e-9, 45e-9]),
    )  # fmt: skip
    irf = [response, response, response, ps.GaussianIRF(), None][rng.integers(5)]
    return decay, set_up(decay, irf, None, None, None, False)


def compare_searches(seeds, monkeypatch):
    quick = 0
    for seed in seeds:
        decay, problem = any_curves(seed)
        system = System((problem,), decay.bin_width)
        quick += decay_solver._solve_pair(system) is not None
        found = solve(system, 2)
        with monkeypatch.context() as patch:
            patch.setattr(decay_solver, "_solve_pair", lambda _: None)
            patient = solve(System((problem,), decay.bin_width), 2)
        assert found.deviance < patient.deviance + 2e-3, seed
    return quick


def test_the_quick_search_ends_on_the_maximum_of_the_patient_one(monkeypatch):
    assert compare_searches(range(45), monkeypatch) > 5


@pytest.mark.slow
def test_the_quick_search_never_ends_lower_in_many_sets(monkeypatch):
    assert compare_searches(range(1000, 1700), monkeypatch) > 110


def test_where_a_grid_is_in_doubt_the_patient_search_is_asked():
    unclear = {"photons": 2000}, {"taus": (4e-9, 4.2e-9)}, {"share": 0.999}, {"jitter": 1e-11}, {"taus": (1e-10, 8e-9)}
    for settings in unclear:
        decay, response = curves(3, **settings)
        system = System((set_up(decay, response, None, None, None, False),), decay.bin_width)
        assert decay_solver._solve_pair(system) is None


@pytest.mark.parametrize("lines", [0, 1, 2])
def test_pairs_on_the_grid_have_their_best_photon_numbers(lines):
    rng = np.random.default_rng(lines)
    columns, counts = rng.exponential(1.0, (6 + lines, 40)), rng.normal(0.0, 1.0, 40)
    cost, amount = np.full((6, 6), np.inf), np.zeros((6, 6, 2 + lines))
    pair_costs(columns @ columns.T, columns @ counts, lines, cost, amount)
    for i in range(5):
        for j in range(i + 1, 6):
            best, rest = nnls(columns[[i, j, *range(6, 6 + lines)]].T, counts)
            # taking out the most negative number, one at a time, is nearly always the best set
            assert cost[i, j] >= rest**2 - counts @ counts - 1e-9
            assert np.all(amount[i, j] >= 0)
            if np.all(best > 0):
                np.testing.assert_allclose(amount[i, j], best, rtol=1e-6)
    well = rng.exponential(10.0, 6 + lines) @ columns
    pair_costs(columns @ columns.T, columns @ well, lines, cost, amount)
    assert np.isfinite(cost[np.triu_indices(6, 1)]).all()


@pytest.mark.parametrize("dark", [np.nan, 3.0])
def test_the_best_pair_of_the_grid_is_that_of_weighted_least_squares(dark):
    decay, response = curves(2)
    problem = set_up(decay, response, None, None, None, False)
    logs, shift, unplaced, basin, lines = np.log([2.0, 5.0, 12.0, 25.0, 60.0]), 0.1, 0.5, 1, int(np.isnan(dark))
    amount = np.zeros((5, 5, 2 + lines))
    system = System((problem,), decay.bin_width)
    i, j, cost, rival = grid_of_pairs(system.curves, 0, logs, shift, 1.0, dark, unplaced, basin, amount)
    _, jacobian = decay_solver.evaluate(problem, np.array([*logs, shift, 0.0, *[1.0] * 5, 0.0, 0.0]))
    n, reach = problem.counts, problem.counts.size // 64
    mean = np.convolve(n, np.ones(2 * reach + 1), "same") / (2 * reach + 1)
    variance = mean + 1.0 + np.concatenate([[0.0], unplaced * (n[2:] - n[:-2]) / 2.0, [0.0]]) ** 2
    light = (n if lines else n - dark) / np.sqrt(variance)
    costs = np.full((5, 5), np.inf)
    for a in range(4):
        for b in range(a + 1, 5):
            columns = jacobian[[7 + a, 7 + b, *[13] * lines]] / np.sqrt(variance)
            best, rest = nnls(columns.T, light)
            costs[a, b] = rest**2 - light @ light
            np.testing.assert_allclose(amount[a, b], best, rtol=1e-6, atol=1e-6 * best.max())
    assert (i, j) == np.unravel_index(costs.argmin(), costs.shape)
    far = np.abs(np.arange(5)[:, None] - i) > basin
    far = far | (np.abs(np.arange(5) - j) > basin)
    np.testing.assert_allclose((cost, rival), (costs.min(), costs[far].min()), rtol=1e-9)


def test_a_response_sharpened_below_zero_keeps_its_light_and_its_derivatives():
    """The correction for bins makes the first impulses negative: their light is missing from the bins that follow."""
    decay, response = curves(1)
    at, weight, _ = measured_impulses(response, decay)
    assert weight.min() < 0
    n, period, q = 256, 256.0, np.array([np.log(10.0), np.log(40.0), 0.03, 0.0, 4e4, 6e4, 0.0, 8.0])
    work = np.empty((6, n + 1))

    def model(q):
        jacobian, found = np.empty((q.size, n)), np.empty(n)
        evaluate(q, False, period, np.ones(n), at, weight, work, jacobian, found)
        return found, jacobian

    _, jacobian = model(q)
    lit = jacobian[4] > 0
    for i in (0, 1, 2):
        step = np.zeros(q.size)
        step[i] = 1e-5
        slope = (model(q + step)[0] - model(q - step)[0]) / 2e-5
        np.testing.assert_allclose(jacobian[i][lit], slope[lit], rtol=1e-4, atol=1e-2 * np.abs(slope).max() * 1e-3)
    dark = ~(jacobian[4] > 0)
    assert dark.any()
    assert np.all(jacobian[0][dark] == 0)
    alive, slope = np.empty(n + 1), np.empty(n + 1)
    alive_after_impulses(10.0, 0.03, period, at, weight, alive, slope)
    edges = np.arange(n + 1.0)
    after = edges[:, None] - at - 0.03
    each = weight * np.exp(-(after % period) / 10.0) / -np.expm1(-period / 10.0)
    np.testing.assert_allclose(alive[:-1], each.sum(axis=1)[:-1], atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_two_lifetimes_of_a_narrow_response_are_found_to_the_top(seed):
    decay, response = curves(seed)
    fit = ps.fit_decay(decay, 2, irf=response, errors="hessian")
    assert fit._solution.status == decay_fit.CONVERGED
    assert np.all(np.abs(fit.lifetimes - (2e-9, 8e-9)) < 4 * fit.lifetimes_err)


def test_the_shift_of_a_response_within_a_few_bins_is_searched_from_one_maximum_to_the_next():
    rng, bins, unit = np.random.default_rng(31), 1024, 0.1e-9

    def response(n, shift):  # a peak within a bin and an echo
        return 153.6 + shift + 0.4 * rng.standard_normal(n) + np.where(rng.random(n) < 0.25, 2.0, 0.0)

    def histogram(at):
        return ps.Decay(np.bincount(at.astype(int) % bins, minlength=bins), unit, period=bins * unit)

    for _ in range(6):
        shift = rng.uniform(-2, 2)
        delay = np.where(rng.random(1000) < 0.1, 0.0, rng.exponential(rng.uniform(10, 200), 1000))
        decay, irf = histogram(response(1000, shift) + delay), histogram(response(300_000, 0.0))
        found = ps.fit_decay(decay, irf=irf, scatter=True, errors="hessian")
        for near in np.arange(shift - 1.0, shift + 1.0, 0.1):
            held = ps.fit_decay(decay, irf=irf, scatter=True, errors="hessian", shift=near * unit)
            assert found.deviance < held.deviance + 0.5, (shift, near)


def test_a_response_is_prepared_once_for_each_kind_of_bins():
    decay, response = curves(5)
    once, again = (set_up(decay, response, None, None, None, False) for _ in range(2))
    assert once.at is again.at
    coarse = ps.Decay(decay.counts.reshape(-1, 2).sum(axis=1), 2 * decay.bin_width, PERIOD)
    other = set_up(coarse, response, None, None, None, False)
    at, weight, _ = measured_impulses(response, coarse)
    np.testing.assert_array_equal(other.at, at)
    np.testing.assert_array_equal(other.weight, weight)


@pytest.mark.parametrize("scale", [1e-9, 0.01, 1.0, 300.0, 1e5])
def test_sums_of_the_deviance_are_those_of_merged_bins(scale):
    rng = np.random.default_rng(7)
    m = scale * rng.exponential(1.0, 90) + 1e-12
    n, rows = rng.poisson(m).astype(float), rng.normal(size=(3, 90)) * m
    _, log_grid, table = _deviance_table()
    sums, products = np.empty(4), np.empty((3, 4))
    groups = deviance_sums(n, m, rows, log_grid, table, sums, products)
    each = max(min(m.sum(), 90), 1.0) * (1 - 1e-12)
    begins = np.flatnonzero(np.diff(np.floor(np.cumsum(m) / m.sum() * each), prepend=-1.0))
    n, m, rows = (np.add.reduceat(x, begins, axis=-1) for x in (n, m, rows))
    expected, variance, covariance = deviance_moments(m)
    assert groups == begins.size
    information, follows = (rows / m) @ rows.T, rows @ (covariance / m)
    # one group does not tell three parameters apart
    taken = follows @ np.linalg.solve(information, follows) if groups > 3 else -1.0
    np.testing.assert_allclose(sums, [poisson_deviance(n, m), expected.sum(), variance.sum(), taken], rtol=1e-9)
    np.testing.assert_allclose(products[:, :3], information, rtol=1e-9, atol=1e-12 * np.abs(products).max())
    np.testing.assert_allclose(products[:, 3], follows, rtol=1e-9, atol=1e-15)
