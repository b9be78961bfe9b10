"""Maximum likelihood of hidden Markov chains with Poisson counts per bin: climb, starts, errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from photonstats.kernels.markov import backward, forward, likeliest_path
from photonstats.likelihood import covariance_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MOST_STEPS, GAIN = 1000, 1e-5
SHORT_STEPS = 15  # of each start, before the best of them goes on
LEAST_MEAN = 1e-9  # counts per bin


class Bins:
    """Counts per bin as rows of a table of different values, with room for the passes over them."""

    def __init__(self, counts: Ints) -> None:
        self.values, self.rows = np.unique(counts, return_inverse=True)
        self.log_factorial = special.gammaln(self.values + 1.0)
        self.scale = np.empty(counts.size)

    def __len__(self) -> int:
        return int(self.rows.size)

    def log_emission(self, means: Floats) -> Floats:
        """Return ln P(value | state), float64[u, m]."""
        found = special.xlogy(self.values[:, None], means) - means - self.log_factorial[:, None]
        return np.asarray(found, dtype=np.float64)


@dataclass(frozen=True)
class Chain:
    """Mean counts per bin of each state, chances to move from row to column in one bin, and the log-likelihood."""

    means: Floats
    moves: Floats
    value: float

    @property
    def stationary(self) -> Floats:
        """Share of time in each state in the long run, float64[m]."""
        return stationary(self.moves)


def stationary(moves: Floats) -> Floats:
    """Return the shares that a step leaves as they are."""
    m = moves.shape[0]
    equations = np.vstack([moves.T - np.eye(m), np.ones(m)])
    found = np.linalg.lstsq(equations, np.append(np.zeros(m), 1.0), rcond=None)[0]
    shares = np.clip(found, 0.0, None)
    return np.asarray(shares / shares.sum())


def expectations(bins: Bins, means: Floats, moves: Floats) -> tuple[float, Floats, Floats, Floats]:
    """Return the log-likelihood, P(state of bin | all) [n, m], bins of each value in each state, and expected moves."""
    m = means.size
    log_emission = bins.log_emission(means)
    highest = log_emission.max(axis=1)
    # A chance of zero in every state would end the pass; so small a floor tells nothing.
    emission = np.maximum(np.exp(log_emission - highest[:, None]), 1e-290)
    alpha, seen, switches = np.empty((len(bins), m)), np.empty(log_emission.shape), np.empty((m, m))
    value = forward(bins.rows, emission, np.full(m, 1.0 / m), moves, alpha, bins.scale)
    backward(bins.rows, emission, moves, alpha, bins.scale, seen, switches)
    return float(value) + float(highest @ np.bincount(bins.rows)), alpha, seen, switches


def climb(bins: Bins, means: Floats, moves: Floats, steps: int) -> Chain:
    """Return the chain that expectation and maximisation reach (Baum and Welch)."""
    before = -np.inf
    for _ in range(steps):
        value, _, seen, switches = expectations(bins, means, moves)
        if value - before < GAIN:
            break
        before = value
        times = seen.sum(axis=0)
        means = np.maximum((bins.values @ seen) / np.maximum(times, 1e-300), LEAST_MEAN)
        moves = np.maximum(switches / np.maximum(switches.sum(axis=1, keepdims=True), 1e-300), 1e-12)
        moves /= moves.sum(axis=1, keepdims=True)
    value = expectations(bins, means, moves)[0]
    order = np.argsort(means)
    return Chain(means[order], moves[np.ix_(order, order)], value)


def fit_chain(bins: Bins, m: int, before: Chain | None, n_starts: int, rng: np.random.Generator) -> Chain:
    """Return the best chain of m states from several starts: quantiles, a state of the smaller chain split, chance."""
    short = [climb(bins, *start, SHORT_STEPS) for start in _starts(bins, m, before, n_starts, rng)]
    best = max(short, key=lambda chain: chain.value)
    return climb(bins, best.means, best.moves, MOST_STEPS)


def _starts(
    bins: Bins, m: int, before: Chain | None, n_starts: int, rng: np.random.Generator
) -> list[tuple[Floats, Floats]]:
    counts = np.sort(bins.values[bins.rows])
    mean = float(counts.mean())
    if m == 1:
        return [(np.array([max(mean, LEAST_MEAN)]), np.ones((1, 1)))]
    # Means over a few bins show the levels where single bins are noise.
    width = max(1, int(np.ceil(10.0 / max(mean, 0.1))))
    smooth = bins.values[bins.rows][: len(bins) // width * width].reshape(-1, width).mean(axis=1)
    smooth = smooth if smooth.size >= 2 * m else counts.astype(np.float64)
    found = [(np.quantile(smooth, (np.arange(m) + 0.5) / m), 0.05), (np.linspace(smooth.min(), smooth.max(), m), 0.02)]
    if before is not None:
        for j in range(m - 1):
            pair = before.means[j] + np.array([-0.5, 0.5]) * max(np.sqrt(before.means[j]), 0.2 * before.means[j])
            found.append((np.append(np.delete(before.means, j), pair), 0.05))
    while len(found) < n_starts:
        found.append((rng.choice(smooth, m), 10.0 ** rng.uniform(-3, -0.5)))
    rounded = [(np.maximum(np.sort(means), 1e-3 * mean + LEAST_MEAN), leave) for means, leave in found]
    return [
        (means, np.full((m, m), leave / (m - 1)) + np.eye(m) * (1 - leave - leave / (m - 1)))
        for means, leave in rounded
    ]


def n_parameters(m: int) -> int:
    """Return how many numbers a chain of m states has: means and chances to move."""
    return m * m


def path_of(bins: Bins, chain: Chain) -> Ints:
    """Return the likeliest sequence of states, int64[n] (Viterbi)."""
    path = np.empty(len(bins), np.int64)
    first = np.full(chain.means.size, -np.log(chain.means.size))
    with np.errstate(divide="ignore"):
        likeliest_path(bins.rows, bins.log_emission(chain.means), first, np.log(chain.moves), path)
    return path


def _pack(chain: Chain) -> Floats:
    off = ~np.eye(chain.means.size, dtype=np.bool_)
    log_ratio = np.log(chain.moves) - np.log(np.diag(chain.moves))[:, None]
    return np.concatenate([np.log(chain.means), log_ratio[off]])


def _unpack(point: Floats, m: int) -> tuple[Floats, Floats]:
    ratio = np.zeros((m, m))
    ratio[~np.eye(m, dtype=np.bool_)] = point[m:]
    return np.exp(point[:m]), special.softmax(ratio, axis=1)


def _score(bins: Bins, point: Floats, m: int) -> Floats:
    """Return the slope of the log-likelihood, from expected bins and moves (Fisher's identity)."""
    means, moves = _unpack(point, m)
    _, _, seen, switches = expectations(bins, means, moves)
    slope = switches - moves * switches.sum(axis=1, keepdims=True)
    return np.concatenate([bins.values @ seen - means * seen.sum(axis=0), slope[~np.eye(m, dtype=np.bool_)]])


def log_errors(bins: Bins, chain: Chain) -> tuple[Floats, Floats, Floats]:
    """Return standard errors of ln means [m], of ln P_ij with ln(1 - P_ii) on the diagonal [m, m], of logit shares [m].

    From the inverse of the observed information, the numerical slope of the score, and linear propagation.
    """
    m = chain.means.size
    point = _pack(chain)
    information = np.empty((point.size, point.size))
    for i in range(point.size):
        step = np.zeros(point.size)
        step[i] = 1e-3
        information[i] = (_score(bins, point - step, m) - _score(bins, point + step, m)) / 2e-3
    information = (information + information.T) / 2.0
    # What no photon and no switch speaks of stays at its bound, and tells nothing of the others.
    bound = np.concatenate([np.zeros(m), chain.moves[~np.eye(m, dtype=np.bool_)] <= 1e-9]) > 0
    information[bound] = information[:, bound] = 0.0
    spread = covariance_of(information)
    slopes = np.empty((m * m + m, point.size))
    for i in range(point.size):
        step = np.zeros(point.size)
        step[i] = 1e-4
        slopes[:, i] = (_propagated(point + step, m) - _propagated(point - step, m)) / 2e-4
    slopes[np.abs(slopes) < 1e-6] = 0.0
    slopes[:, bound] = 0.0
    known = np.isfinite(np.diag(spread))
    variance = np.einsum("ij,jk,ik->i", slopes[:, known], spread[np.ix_(known, known)], slopes[:, known])
    variance[np.any(slopes[:, ~known] != 0.0, axis=1)] = np.inf
    errors = np.sqrt(np.maximum(variance, 0.0))
    return np.sqrt(np.maximum(np.diag(spread)[:m], 0.0)), errors[: m * m].reshape(m, m), errors[m * m :]


def _propagated(point: Floats, m: int) -> Floats:
    _, moves = _unpack(point, m)
    leave = moves.copy()
    np.fill_diagonal(leave, np.maximum(moves.sum(axis=1) - np.diag(moves), 1e-300))
    shares = np.clip(stationary(moves), 1e-300, 1 - 1e-16)
    return np.asarray(np.concatenate([np.log(np.maximum(leave, 1e-300)).ravel(), special.logit(shares)]))
