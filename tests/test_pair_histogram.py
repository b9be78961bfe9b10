"""g2(0) from pair histograms that others made."""

import numpy as np
import pytest
from scipy import special, stats

import photonstats as ps


def comb(rng, period, n_bins, pairs, centre, g2_zero, tau):
    """Return lags (ns) and Poisson counts of a comb of two-sided exponential peaks, integrated over the bins."""
    x = np.arange(n_bins) - n_bins // 2
    edges = np.append(x, x[-1] + 1) - 0.5 - centre
    mean = np.zeros(n_bins)
    for k in range(-int(n_bins / period) - 1, int(n_bins / period) + 2):
        below = stats.laplace.cdf(edges - k * period, scale=tau)
        mean += pairs * (g2_zero if k == 0 else 1.0) * np.diff(below)
    return x, rng.poisson(mean)


def test_period_and_interval_hold_the_truth():
    rng = np.random.default_rng(11)
    pulls, inside = [], []
    for _ in range(120):
        period, n_bins = rng.uniform(5, 60), int(rng.integers(600, 2500))
        lag, pairs = comb(rng, period, n_bins, rng.uniform(3, 200), rng.uniform(-0.4, 0.4) * period, 0.3, 0.06 * period)
        found = ps.g2_of_histogram(lag * 1e-9, pairs, delay=0.0)
        pulls.append((found.laser_period * 1e9 - period) / (found.laser_period_err * 1e9))
        inside.append(found.g2_zero_ci[0] <= 0.3 <= found.g2_zero_ci[1])
    assert stats.binom.cdf(sum(inside), 120, 0.95) > 1e-3
    assert stats.chi2.sf(np.sum(np.square(pulls)) / 1.1**2, 120) > 1e-4


def test_the_centre_is_found_away_from_zero():
    lag, pairs = comb(np.random.default_rng(3), 20.0, 2000, 150, 43.0, 0.1, 1.0)
    found = ps.g2_of_histogram(lag * 1e-9, pairs)
    assert found.delay == pytest.approx(43e-9, abs=0.5e-9)
    assert found.pairs[found.pulse_lag == 0].sum() == pytest.approx(15, abs=20)
    assert found.g2_zero_ci[0] < 0.1 < found.g2_zero_ci[1]


def test_no_centre_pairs_give_an_upper_limit():
    lag = np.arange(-200, 200)
    pairs = np.where((lag % 20 == 0) & (lag != 0), 5, 0)
    found = ps.g2_of_histogram(lag * 1e-9, pairs, laser_period=20e-9, delay=0.0)
    side = int(pairs.sum()) - 5  # the last peak is cut by the end
    assert found.g2_zero == 0.0
    assert found.g2_zero_ci[0] == 0.0
    exact = special.betaincinv(1, side, 0.975)
    assert found.g2_zero_ci[1] == pytest.approx(exact / (1 - exact) * (side / 5))


def test_a_measured_histogram(shared_data):
    lag, pairs = np.loadtxt(shared_data / "pulsed_g2_histogram.txt")
    found = ps.g2_of_histogram(lag * 1e-12, pairs)
    assert found.pairs[found.pulse_lag == 0].sum() == 1723
    assert found.g2_zero == pytest.approx(0.0155, abs=0.0001)
    assert found.laser_period == pytest.approx(12.2e-9, rel=1e-3)
    assert "0.01552" in found.summary()


@pytest.mark.parametrize(
    ("lag", "pairs", "settings", "words"),
    [
        (np.arange(50) * 1e-9, np.ones(49), {}, "must be of one length"),
        (np.array([*range(20), 40]) * 1e-9, np.ones(21), {}, "rise in equal steps"),
        (np.arange(50) * 1e-9, np.full(50, 0.5), {}, "counts, not a normalised curve"),
        (np.arange(50) * 1e-9, np.zeros(50), {}, "all zero"),
        (np.arange(-500, 500) * 1e-9, np.ones(1000), {}, "no laser period shows"),
        (np.arange(-50, 50) * 1e-9, np.ones(100), {"laser_period": 80e-9}, "at least three periods"),
        (np.arange(-50, 50) * 1e-9, np.ones(100), {"laser_period": 10e-9, "delay": 3e-7}, "inside of the histogram"),
    ],
)
def test_what_cannot_be_is_refused(lag, pairs, settings, words):
    with pytest.raises(ValueError, match=words):
        ps.g2_of_histogram(lag, pairs, **settings)


def test_figure_shows_the_peaks():
    lag, pairs = comb(np.random.default_rng(3), 20.0, 400, 50, 0.0, 0.1, 1.0)
    found = ps.g2_of_histogram(lag * 1e-9, pairs)
    ax = found.plot()
    assert [bar.get_height() for bar in ax.containers[0]] == found.pairs.tolist()
