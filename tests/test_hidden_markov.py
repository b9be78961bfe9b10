"""Hidden Markov chains of counts per bin: number, intervals, passes against brute force."""

from itertools import pairwise, product

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy import stats

import photonstats as ps
from photonstats.switching.markov_fit import Bins, Chain, expectations, path_of

mpl.use("Agg")


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def draw(rng, means, leave, n):
    """Return counts of a chain that leaves each level with one chance for all others."""
    m = len(means)
    state, states = int(rng.integers(m)), np.empty(n, int)
    for t, u in enumerate(rng.random(n)):
        state = (state + 1 + int(rng.integers(m - 1))) % m if u < leave else state
        states[t] = state
    return rng.poisson(np.array(means)[states]), states


def test_passes_are_the_sums_over_all_paths():
    counts, means = np.array([0, 3, 1, 5]), np.array([0.5, 4.0])
    moves = np.array([[0.9, 0.1], [0.3, 0.7]])
    weights = {}
    for path in product(range(2), repeat=4):
        chance = 0.5 * np.prod([moves[i, j] for i, j in pairwise(path)])
        weights[path] = chance * np.prod(stats.poisson.pmf(counts, means[list(path)]))
    total = sum(weights.values())
    bins = Bins(counts)
    value, chance, _, switches = expectations(bins, means, moves)
    assert value == pytest.approx(np.log(total))
    for t in range(4):
        assert chance[t, 1] == pytest.approx(sum(w for p, w in weights.items() if p[t] == 1) / total)
    up = sum(w * sum(p[t] < p[t + 1] for t in range(3)) for p, w in weights.items()) / total
    assert switches[0, 1] == pytest.approx(up)
    assert tuple(path_of(bins, Chain(means, moves, value))) == max(weights, key=weights.get)


@pytest.mark.parametrize(("means", "leave"), [([0.3, 2.0], 0.02), ([1.0, 4.0], 0.05), ([0.5, 3.0, 8.0], 0.02)])
def test_number_and_intervals(means, leave):
    m, runs = len(means), 40
    right, rates, moves, shares = 0, 0, 0, 0
    truth = np.full((m, m), leave / (m - 1)) + np.eye(m) * (1 - leave - leave / (m - 1))
    for s in range(runs):
        counts, _ = draw(np.random.default_rng(s), means, leave, 1500)
        found = ps.hidden_markov(ps.IntensityTrace(counts, 0.01), max_levels=m + 1)
        right += found.n == m
        if found.n == m:
            rates += np.sum((found.rates_ci[:, 0] * 0.01 <= means) & (means <= found.rates_ci[:, 1] * 0.01))
            moves += np.sum((found.transitions_ci[..., 0] <= truth) & (truth <= found.transitions_ci[..., 1]))
            shares += np.sum((found.occupancy_ci[:, 0] <= 1 / m) & (1 / m <= found.occupancy_ci[:, 1]))
    assert right >= stats.binom.ppf(1e-3, runs, 0.97)
    assert stats.binomtest(int(rates), right * m, 0.95).pvalue > 1e-3
    assert stats.binomtest(int(moves), right * m * m, 0.95, alternative="less").pvalue > 1e-4
    assert stats.binomtest(int(shares), right * m, 0.95, alternative="less").pvalue > 1e-4


@pytest.mark.parametrize("mean", [0.02, 2.0, 200.0])
def test_steady_light_is_one_level(mean):
    rng = np.random.default_rng(2)
    for _ in range(10):
        assert ps.hidden_markov(ps.IntensityTrace(rng.poisson(mean, 1000), 0.01)).n == 1


def test_path_follows_the_levels():
    counts, states = draw(np.random.default_rng(3), [0.2, 5.0], 0.01, 3000)
    found = ps.hidden_markov(ps.IntensityTrace(counts, 0.01))
    assert np.mean(found.path == states) > 0.98
    wrong = np.sum(found.path != states)
    assert wrong <= stats.poisson.ppf(0.999, np.sum(1 - found.path_probability) * 1.5 + 5)
    found.plot()
    assert "visits" in found.summary()


@pytest.mark.parametrize("counts", [[0, 0], [0] * 100, [0, 1], [5] * 50, [0] * 50 + [100000] * 50, [10**6, 0] * 4])
def test_odd_traces(counts):
    found = ps.hidden_markov(ps.IntensityTrace(counts, 0.01))
    assert np.all(found.rates_ci[:, 0] <= found.rates * (1 + 1e-9))
    assert np.all(found.rates_ci[:, 1] > 0)
    assert np.allclose(found.transitions.sum(axis=1), 1)
    assert np.all((found.transitions_ci >= 0) & (found.transitions_ci <= 1))
    found.plot()
    found.to_dict()


def test_photons_choose_their_bins():
    photons, _ = ps.simulate.poisson({0: 300.0}, 5.0, seed=1)
    found = ps.hidden_markov(photons)
    assert found.n == 1
    assert found.trace.counts.mean() == pytest.approx(0.5, rel=0.05)


def test_messages():
    trace = ps.IntensityTrace([1, 2, 3], 0.01)
    with pytest.raises(ValueError, match=r"a trace has its bins, here of 0\.01 s"):
        ps.hidden_markov(trace, bin_width=0.02)
    with pytest.raises(ValueError, match="n_levels must be"):
        ps.hidden_markov(trace, 0)
    with pytest.raises(ValueError, match="at least two are needed"):
        ps.hidden_markov(ps.IntensityTrace([1], 0.01))
    with pytest.raises(ValueError, match="give bin_width"):
        ps.hidden_markov(iter([]))
