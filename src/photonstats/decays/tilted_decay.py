"""Score of a photon's nanotime, and what a mean score costs: the likelihood of a decay that changes its lifetime."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NODES = 512
CLASSES = 512  # bins of a period are merged to at most these
RUN, GROUP, MOST_GROUPS = 100, 20, 32  # least photons of a run, least runs of a group, groups
EVEN = 10.0  # photons of a run for each square of the skewness: then its mean has a skewness of 0.3
SMOOTH = 1 / 32  # of a period, over which the light is averaged to tell it from the background


@dataclass(frozen=True, eq=False)
class TiltedDecay:
    """Score of each bin of each detector, score[D, B], from 0 to 1, and cost[3, G]: nodes, I, I' (`mean_cost`)."""

    score: Floats
    cost: Floats


def score_bins(counts: Floats, first: int, background: float) -> Floats:
    """Return the score of each bin of one period, 0 to 1: how much it speaks for a long lifetime.

    Parameters
    ----------
    counts : ndarray of float, shape (B,)
        The decay of one detector over one period.
    first : int
        Bin of the rise.
    background : float
        Counts of each bin that are background.

    Returns
    -------
    ndarray of float, shape (B,)

    Notes
    -----
    For a decay with one lifetime and no background, the summed time since the rise holds all that the photons tell
    of the lifetime. With background the score is the derivative of the log likelihood, the time less its mean over the
    signal, times the chance of the photon to be signal: a late photon that may as well be background says nothing.
    """
    since = (np.arange(counts.size) - first) % counts.size
    ordered = np.empty(counts.size)
    ordered[since] = counts
    window = max(1, round(SMOOTH * counts.size))
    padded = np.concatenate([np.repeat(ordered[:1], window // 2), ordered, np.repeat(ordered[-1:], window)])
    level = np.convolve(padded, np.full(window, 1.0 / window))[window - 1 :][: counts.size]
    signal = np.clip(1.0 - background / np.maximum(level, 1e-12), 0.0, 1.0)
    time = (np.arange(counts.size) + 0.5) / counts.size
    shining = ordered * signal
    mean = float(shining @ time / shining.sum()) if shining.any() else 0.5
    score = signal * (time - mean)
    span = float(np.ptp(score))
    scaled: Floats = (score - score.min()) / (span if span > 0 else 1.0)
    return scaled[since]


def mean_cost(scores: Floats, weights: Floats) -> Floats:
    """Return the nodes of the mean score x, the log likelihood I(x) that tilting gains there, and its slope.

    Parameters
    ----------
    scores : ndarray of float, shape (J,)
        Score of each class of photons.
    weights : ndarray of float, shape (J,)
        Photons of each class.

    Returns
    -------
    ndarray of float, shape (3, 512)
        x evenly spaced between the least and the largest score; I(x) >= 0; I'(x).

    Notes
    -----
    The decay p_j becomes p_j exp(theta s_j - K(theta)); theta follows from the mean score x = K'(theta), and
    I(x) = theta x - K(theta). Tilting by the time since the pulse turns one exponential into another.
    """
    seen = weights > 0
    values, share = np.unique(scores[seen], return_inverse=True)
    log_p = np.log(np.bincount(share, weights[seen]) / weights[seen].sum())
    low, high = float(values[0]), float(values[-1])
    if not high > low:
        return np.stack([np.array([low, low + 1.0]), np.zeros(2), np.zeros(2)])
    nodes = np.linspace(low, high, NODES)
    theta = _tilts(values, log_p, nodes[1:-1])
    cost = np.empty((3, NODES))
    cost[0] = nodes
    cost[1, 1:-1] = theta * nodes[1:-1] - _cumulant(values, log_p, theta)[0]
    cost[2, 1:-1] = theta
    cost[1, 0], cost[1, -1] = -log_p[0], -log_p[-1]
    cost[2, 0] = 2.0 * (cost[1, 1] - cost[1, 0]) / (nodes[1] - nodes[0]) - theta[0]
    cost[2, -1] = 2.0 * (cost[1, -1] - cost[1, -2]) / (nodes[1] - nodes[0]) - theta[-1]
    return cost


def _cumulant(values: Floats, log_p: Floats, theta: Floats) -> tuple[Floats, Floats, Floats]:
    """Return K, K' and K'' at each theta."""
    exponents = log_p + theta[:, None] * values
    top = exponents.max(axis=1)
    parts = np.exp(exponents - top[:, None])
    whole = parts.sum(axis=1)
    mean = parts @ values / whole
    variance = np.maximum(parts @ values**2 / whole - mean**2, 1e-300)
    return top + np.log(whole), mean, variance


def _tilts(values: Floats, log_p: Floats, means: Floats) -> Floats:
    """Return theta with K'(theta) = each of the means."""
    reach = 60.0 / float(np.diff(values).min() + 1e-3 * (values[-1] - values[0]))
    grid = np.sinh(np.linspace(-1.0, 1.0, 201) * math.asinh(reach))
    at_grid = _cumulant(values, log_p, grid)[1]
    theta = np.interp(means, at_grid, grid)
    low = grid[np.clip(np.searchsorted(at_grid, means) - 1, 0, grid.size - 1)]
    high = grid[np.clip(np.searchsorted(at_grid, means), 0, grid.size - 1)]
    for _ in range(12):  # Newton's step, halved into the bracket where it leaves it
        _, mean, variance = _cumulant(values, log_p, theta)
        low, high = np.where(mean < means, theta, low), np.where(mean > means, theta, high)
        step = theta + (means - mean) / variance
        theta = np.where((step > low) & (step < high), step, 0.5 * (low + high))
        if np.all(np.abs(mean - means) < 1e-10):
            break
    return theta


def photons_of_run(scores: Floats, weights: Floats) -> int:
    """Return how many photons a run needs so that its mean and variance depend on each other as tilting has it.

    In short runs of skewed scores they do not: a lifetime far below the period leaves a few photons of background to
    make most of the variance, and runs that hold none of them look like a steady level of their own.
    """
    if not weights.any():
        return RUN
    apart = scores - np.average(scores, weights=weights)
    variance = float(np.average(apart**2, weights=weights))
    if not variance > 0:
        return RUN
    skewness = float(np.average(apart**3, weights=weights)) / variance**1.5
    return int(max(RUN, math.ceil(EVEN * skewness**2)))


def observed_cost(cost: Floats, summed: Floats, run: int = RUN) -> Floats:
    """Return `cost` with the scatter of the scores as it is seen at each mean, not as tilting predicts it.

    Parameters
    ----------
    cost : ndarray of float, shape (3, G)
        Of `mean_cost`.
    summed : ndarray of float, shape (N + 1,)
        Summed scores of all photons in order, 0 first.
    run : int
        Photons of a run, of `photons_of_run`.

    Returns
    -------
    ndarray of float, shape (3, G)

    Notes
    -----
    Light of two levels with their own lifetimes has one decay in sum, and tilting that decay gives neither of them: its
    scores would scatter by a third less or more than those of the levels, and the ratio with them. Runs of photons give
    pairs of mean and variance V; groups of runs with like means give V(x) over that of tilting. Then I'' = 1 / V
    (quasi-likelihood). A straight line in I cancels from every ratio.
    """
    n_runs = (summed.size - 1) // run
    if n_runs < 2 * GROUP:
        return cost
    scores = np.diff(summed[: n_runs * run + 1]).reshape(n_runs, run)
    means, variances = scores.mean(axis=1), scores.var(axis=1, ddof=1)
    order = np.argsort(means, kind="stable")
    groups = np.array_split(order, int(min(MOST_GROUPS, n_runs // GROUP)))
    at = np.array([means[g].mean() for g in groups])
    seen = np.array([variances[g].mean() for g in groups])
    bend = np.maximum(np.gradient(cost[2], cost[0]), 1e-12)
    ratio = np.clip(seen * np.interp(at, cost[0], bend), 0.2, 5.0)
    apart = np.concatenate([[True], np.diff(at) > 0])
    bend = bend / np.interp(cost[0], at[apart], ratio[apart])
    width = cost[0, 1] - cost[0, 0]
    middle = cost.shape[1] // 2
    slope = np.concatenate([[0.0], np.cumsum(0.5 * width * (bend[1:] + bend[:-1]))])
    slope -= slope[middle]
    steps = 0.5 * width * (slope[1:] + slope[:-1]) - width**2 / 12.0 * np.diff(bend)
    return np.stack([cost[0], np.concatenate([[0.0], np.cumsum(steps)]), slope])
