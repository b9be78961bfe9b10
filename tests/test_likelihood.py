"""Counting statistics: intervals, deviance at few counts, profile likelihood."""

import math

import numpy as np
import pytest
from scipy import stats

from photonstats.likelihood import (
    bic,
    chi_square_p_value,
    covariance_of,
    deviance_moments,
    deviance_p_value,
    poisson_deviance,
    poisson_error,
    poisson_interval,
    profile_interval,
)


def test_garwood_interval_has_the_tabulated_limits():
    # Garwood 1936, also Pearson and Hartley, Biometrika Tables, table 40: 95 %.
    assert poisson_interval([0, 1, 10]) == pytest.approx(
        np.array([[0, 3.689], [0.0253, 5.572], [4.795, 18.39]]), abs=5e-3
    )


def test_garwood_interval_covers_at_least_its_level():
    for mean in (0.3, 1.7, 6.2, 40.0):
        n = np.arange(200)
        inside = (poisson_interval(n)[:, 0] <= mean) & (mean <= poisson_interval(n)[:, 1])
        assert stats.poisson.pmf(n, mean) @ inside >= 0.95
    with pytest.raises(ValueError, match="must not be negative"):
        poisson_interval(-1)


def test_error_of_a_count_is_finite_at_none_and_the_root_at_many():
    assert poisson_error(0) == pytest.approx(0.92, abs=0.01)
    assert poisson_error(10**6) == pytest.approx(1000, rel=2e-3)


@pytest.mark.parametrize("mean", [3e-9, 1e-3, 0.037, 0.5, 3.3, 77.0, 2500.0])
def test_moments_of_the_deviance_are_the_sums_over_poisson(mean):
    n = np.arange(int(mean + 12 * math.sqrt(mean) + 40), dtype=float)
    weight = stats.poisson.pmf(n, mean)
    deviance = np.array([poisson_deviance([k], [mean]) for k in n])
    expected = weight @ deviance
    variance, covariance = weight @ (deviance - expected) ** 2, weight @ ((deviance - expected) * (n - mean))
    found = deviance_moments(mean)
    assert found[0] == pytest.approx(expected, rel=2e-3)
    assert found[1] == pytest.approx(variance, rel=2e-3)
    assert found[2] == pytest.approx(covariance, rel=2e-3, abs=2e-4)


@pytest.mark.parametrize(("per_bin", "bins"), [(0.05, 2000), (0.5, 400), (5.0, 60), (300.0, 12)])
def test_p_value_is_uniform_at_few_and_many_counts(per_bin, bins):
    rng = np.random.default_rng(3)
    x = np.arange(bins) / bins
    shapes = np.stack([np.exp(-3 * x), np.ones(bins)])
    shapes /= shapes.mean(axis=1)[:, None]
    truth = per_bin * (0.8 * shapes[0] + 0.2 * shapes[1])
    found, plain = [], []
    for _ in range(600):
        counts = rng.poisson(truth)
        amount = np.array([per_bin, per_bin]) / 2
        for _ in range(200):
            amount = amount * (shapes @ (counts / (amount @ shapes))) / bins
        model = amount @ shapes
        found.append(deviance_p_value(counts, model, shapes))
        plain.append(chi_square_p_value(poisson_deviance(counts, model), bins - 2))
    for level in (0.01, 0.05, 0.2):
        assert stats.binomtest(int(np.sum(np.array(found) < level)), len(found), level, "greater").pvalue > 1e-3
    if per_bin > 0.1:  # below, p takes few values: those of the number of bins with two photons
        assert stats.kstest(found, "uniform").pvalue > 1e-3
    if per_bin < 1:
        assert stats.kstest(plain, "uniform").pvalue < 1e-10


def test_p_value_needs_a_degree_of_freedom():
    assert math.isnan(deviance_p_value([3, 4], [3.0, 4.0], np.eye(2)))


@pytest.mark.parametrize("apart", [1.0, 1e-3, 1e-5, 1e-9, 0.0])
def test_p_value_takes_the_variance_of_directions_not_of_parameters(apart):
    # rows that are nearly one another hold no more of the variance than the plane that they span
    rng = np.random.default_rng(5)
    model = np.full(150, 1.0)  # bins that expect the same are not merged
    counts = rng.poisson(model)
    first, second = rng.normal(1.0, 1.0, (2, 150))
    expected, variance, covariance = deviance_moments(model)
    basis = np.linalg.qr((np.stack([first, second]) / np.sqrt(model)).T)[0]
    taken = (covariance / np.sqrt(model)) @ basis
    left = (variance.sum() - (taken @ taken if apart > 1e-8 else taken[0] ** 2)) * 148 / 150
    mean = expected.sum() - 2
    wanted = stats.gamma.sf(poisson_deviance(counts, model), mean**2 / left, scale=left / mean)
    rows = np.stack([first, first + apart * second])
    assert deviance_p_value(counts, model, rows) == pytest.approx(wanted, rel=1e-5)
    assert deviance_p_value(counts, model, [*rows, np.zeros(150)]) == pytest.approx(wanted, rel=1e-5)


def test_p_value_sees_a_wrong_model():
    counts = np.random.default_rng(1).poisson(np.linspace(5, 15, 200))
    assert deviance_p_value(counts, np.full(200, counts.mean()), np.ones((1, 200))) < 1e-6


def test_bic_counts_parameters_by_the_logarithm_of_the_photons():
    assert bic(100.0, 3, 1000) == pytest.approx(100 + 3 * math.log(1000))


def test_covariance_is_the_inverse_and_infinite_where_nothing_is_known():
    information = np.array([[4.0, 1.0, 0.0], [1.0, 2.0, 0.0], [0.0, 0.0, 0.0]])
    covariance = covariance_of(information)
    assert covariance[:2, :2] == pytest.approx(np.linalg.inv(information[:2, :2]))
    assert np.isinf(covariance[2, 2])
    assert covariance[2, :2] == pytest.approx(0.0)


def test_profile_interval_of_a_poisson_mean_is_the_likelihood_one():
    low, high = profile_interval(lambda m: poisson_deviance([4], [m]), 4.0, 2.0, (1e-9, 1e3))
    assert poisson_deviance([4], [low]) == pytest.approx(stats.chi2.ppf(0.95, 1), rel=0.01)
    assert poisson_deviance([4], [high]) == pytest.approx(stats.chi2.ppf(0.95, 1), rel=0.01)
    assert low < 4 < high


def test_profile_interval_ends_at_the_limit_where_the_data_set_none():
    low, high = profile_interval(lambda x: min(x, 0.0) ** 2, 0.5, 1.0, (-10.0, 20.0))
    assert low == pytest.approx(-1.96, abs=0.02)
    assert high == 20.0


@pytest.mark.parametrize("apart", [1.0, 1e-2, 1e-4, 1e-6])
def test_covariance_of_parameters_that_are_nearly_one(apart):
    # by hand: with J = (x, x + apart y), x and y orthonormal, the inverse of J^T J
    exact = np.array([[1 + 1 / apart**2, -1 / apart**2], [-1 / apart**2, 1 / apart**2]])
    information = np.array([[1.0, 1.0], [1.0, 1.0 + apart**2]])
    scale = np.array([1e-9, 1e6])
    found = covariance_of(information * np.outer(scale, scale)) * np.outer(scale, scale)
    np.testing.assert_allclose(found, exact, rtol=1e-14 / apart**2)


def test_covariance_of_parameters_that_are_one_is_that_of_their_sum():
    np.testing.assert_allclose(covariance_of(np.full((2, 2), 4.0)), np.full((2, 2), 1 / 16), rtol=1e-9)
