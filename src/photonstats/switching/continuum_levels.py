"""A few intensity levels as a hidden Markov model of binned counts, with switches inside of bins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from photonstats.kernels.continuum import few_levels_pass, few_levels_scores

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SHORT_SEARCH, LONG_SEARCH = 8, 60
SEEN = 1.0  # a way between two states counts as a parameter once it was gone about this often
PRIOR = 0.05  # moves of every kind that are taken as seen, so that no held-out move is impossible


@dataclass(frozen=True, eq=False)
class Counts:
    """Counts of a trace, sorted for table look-up.

    Parameters
    ----------
    values : ndarray of float64, shape (U,)
        Counts that occur, rising.
    index : ndarray of int64, shape (n,)
        Which of them each bin holds.
    floor : float
        Probability below which a bin is passed over by every model.
    """

    values: Floats
    index: Ints
    floor: float


def sorted_counts(counts: Ints) -> Counts:
    """Return the table of the counts of a trace; a bin in a thousand may hold any count up to the largest."""
    values, index = np.unique(counts, return_inverse=True)
    return Counts(values.astype(np.float64), index.astype(np.int64), 1e-3 / (1.0 + float(values[-1])))


@dataclass(frozen=True, eq=False)
class LevelModel:
    """A fitted model of few levels.

    Parameters
    ----------
    means : ndarray of float64, shape (L,)
        Counts per bin of each level, rising.
    errors : ndarray of float64, shape (L,)
        Their standard errors.
    level_of : ndarray of int64, shape (K,)
        Level of each hidden state; two states of one level give it short and long dwells.
    matrix : ndarray of float64, shape (K, K)
        Probabilities to be in state j at the end of a bin that began in i.
    log_likelihood : float
        Of the bins that were fitted.
    n_parameters : int
        Levels and the moves that were seen.
    """

    means: Floats
    errors: Floats
    level_of: Ints
    matrix: Floats
    log_likelihood: float
    n_parameters: int

    def scores(self, data: Counts, edges: Ints) -> Floats:
        """Return the log-likelihood of each block of bins, started from the stationary law."""
        found = np.empty(edges.size - 1)
        joint = _joint(_laws(data.values, self.means), self.level_of, self.matrix)
        few_levels_scores(data.index, edges, joint, self.matrix, stationary(self.matrix), data.floor, found)
        return found


def fit_levels(data: Counts, edges: Ints, most: int, known: Sequence[LevelModel] = ()) -> list[LevelModel]:
    """Fit one to `most` levels to blocks of bins.

    Parameters
    ----------
    data : Counts
        The whole trace.
    edges : ndarray of int64, shape (2 m,)
        Begin and end of each block to fit; blocks with a gap between are separate.
    most : int
        Largest number of levels.
    known : sequence of LevelModel
        Fits of 1, 2, ... levels to the same blocks, to go on from.

    Returns
    -------
    list of LevelModel
        With the known ones.

    Notes
    -----
    A bin that begins in level i and ends in j was switched once at a time uniform in it,
    ``p(n | i -> j) = (Q(n + 1, m_i) - Q(n + 1, m_j)) / (m_j - m_i)`` with the regularised gamma function Q; a bin
    that begins and ends in i held a short visit to j with probability ``A_ij A_ji / 2``, whose length has the density
    ``2 (1 - x)``. More switches in a bin are left out: the model fails where dwells are shorter than a bin.
    """
    weights = np.zeros(data.values.size)
    for begin, end in edges.reshape(-1, 2):
        weights += np.bincount(data.index[begin:end], minlength=weights.size)
    fits = list(known)
    for n in range(len(fits) + 1, most + 1):
        starts = [_partition(data.values, weights, n)]
        if fits:
            starts += _one_more(data.values, weights, fits[-1].means)
        one_state = np.arange(n)
        trials = [_improve(data, edges, means, one_state, _sticky(n, 0.95), SHORT_SEARCH) for means in starts]
        best = max(trials, key=lambda model: model.log_likelihood)
        fits.append(_improve(data, edges, best.means, one_state, best.matrix, LONG_SEARCH))
    return fits


def bic(model: LevelModel, n_bins: float) -> float:
    """Return -2 ln L + parameters ln(bins) (Schwarz, Ann. Stat. 6, 461 (1978))."""
    return -2.0 * model.log_likelihood + model.n_parameters * float(np.log(n_bins))


def two_dwells(data: Counts, edges: Ints, model: LevelModel) -> LevelModel:
    """Refit with a state of short and one of long dwells for each level."""
    n = model.means.size
    level_of = np.repeat(np.arange(n), 2)
    leave = 1.0 - np.diag(model.matrix)
    matrix = np.empty((2 * n, 2 * n))
    for i in range(2 * n):
        out = leave[level_of[i]] * (4.0 if i % 2 == 0 else 0.3)
        out = min(max(out, 1e-3), 0.6)
        ways = model.matrix[level_of[i]].copy()
        ways[level_of[i]] = 0.0
        ways = ways / ways.sum() if ways.sum() > 0 else np.full(n, 1.0 / n)
        matrix[i] = out * ways[level_of] / 2.0
        matrix[i, i] += 1.0 - out
        matrix[i] /= matrix[i].sum()
    return _improve(data, edges, model.means, level_of, matrix, LONG_SEARCH)


def _improve(data: Counts, edges: Ints, means: Floats, level_of: Ints, matrix: Floats, rounds: int) -> LevelModel:
    """Climb by expectation and maximisation."""
    n, k = means.size, level_of.size
    blocks = edges.reshape(-1, 2)
    # the gaps between blocks are no blocks: the passes see each block as bins that follow each other
    index = np.concatenate([data.index[begin:end] for begin, end in blocks])
    joined = np.concatenate([[0], np.cumsum(blocks[:, 1] - blocks[:, 0])]).astype(np.int64)
    last = -np.inf
    for turn in range(rounds + 1):
        moves, stays = np.zeros((k, k)), np.zeros((k, data.values.size))
        laws = _laws(data.values, means)
        joint = _joint(laws, level_of, matrix)
        found = few_levels_pass(index, joined, joint, matrix, stationary(matrix), data.floor, moves, stays)
        pure = stays * _pure_share(laws, level_of, matrix)
        weight = np.zeros(n)
        photons = np.zeros(n)
        np.add.at(weight, level_of, pure.sum(axis=1))
        np.add.at(photons, level_of, pure @ data.values)
        if turn == rounds or found - last < 0.01:
            break
        last = found
        means = np.where(weight > 0.5, photons / np.maximum(weight, 1e-9), means)
        means = np.maximum(means, 1e-3)
        matrix = (moves + PRIOR) / (moves + PRIOR).sum(axis=1, keepdims=True)
    order = np.argsort(means)
    rank = np.empty(n, np.int64)
    rank[order] = np.arange(n)
    ways = int(np.count_nonzero(moves - np.diag(np.diag(moves)) > SEEN))
    errors = np.sqrt(means / np.maximum(weight, 1e-9))
    return LevelModel(means[order], errors[order], rank[level_of], matrix, float(found), n + max(ways, k - 1))


def _joint(laws: tuple[Floats, Floats, Floats], level_of: Ints, matrix: Floats) -> Floats:
    """Return p(end state, count | begin state), float64[U, K, K]."""
    pure, crossed, visit = laws
    n = pure.shape[1]
    table: Floats = crossed[:, level_of[:, None], level_of[None, :]] * matrix
    visits, share = _visits(matrix, level_of, n)
    for i, level in enumerate(level_of):
        mixed = (1.0 - share[i]) * pure[:, level] + visit[:, level] @ visits[i]
        table[:, i, i] = matrix[i, i] * mixed
    return np.ascontiguousarray(table)


def _pure_share(laws: tuple[Floats, Floats, Floats], level_of: Ints, matrix: Floats) -> Floats:
    """Return the share of the bins from a state back to it that held no visit elsewhere, float64[K, U]."""
    pure, _, visit = laws
    visits, share = _visits(matrix, level_of, pure.shape[1])
    clean = (1.0 - share)[:, None] * pure[:, level_of].T
    elsewhere = np.einsum("ukl,kl->ku", visit[:, level_of], visits)
    found: Floats = clean / np.maximum(clean + elsewhere, 1e-300)
    return found


def _visits(matrix: Floats, level_of: Ints, n: int) -> tuple[Floats, Floats]:
    """Return the probability of a visit to each level in a bin that begins and ends in a state, and their sum."""
    twice = matrix * matrix.T / (2.0 * np.maximum(np.diag(matrix), 0.05)[:, None])
    visits = np.zeros((level_of.size, n))
    for j, level in enumerate(level_of):
        visits[:, level] += np.where(level_of == level, 0.0, twice[:, j])
    total = visits.sum(axis=1)
    visits *= (np.minimum(total, 0.5) / np.maximum(total, 1e-300))[:, None]
    return visits, visits.sum(axis=1)


def _laws(values: Floats, means: Floats) -> tuple[Floats, Floats, Floats]:
    """Return p(count) of a steady bin [U, L], of a bin with one switch [U, L, L], of one with a visit [U, L, L]."""
    n = values[:, None]
    pure = np.exp(special.xlogy(n, means) - means - special.gammaln(n + 1.0))
    above = special.gammaincc(n + 1.0, means)  # p(Poisson(m) <= n)
    wider = special.gammaincc(n + 2.0, means)
    gap = means[None, :] - means[:, None]
    close = np.abs(gap) < 1e-6 * (means[:, None] + means[None, :])
    safe = np.where(close, 1.0, gap)
    crossed = (above[:, :, None] - above[:, None, :]) / safe
    # mean of the intensity over bins of one switch that hold n counts, times their probability
    moment = (n + 1.0)[:, :, None] * (wider[:, :, None] - wider[:, None, :]) / safe
    visit = 2.0 * (means[None, None, :] * crossed - moment) / safe
    same = np.broadcast_to(pure[:, :, None], crossed.shape)
    crossed = np.where(close, same, np.maximum(crossed, 0.0))
    visit = np.where(close, same, np.maximum(visit, 0.0))
    return pure, crossed, visit


def stationary(matrix: Floats) -> Floats:
    """Return the long-run share of each state."""
    k = matrix.shape[0]
    system = np.vstack([matrix.T - np.eye(k), np.ones(k)])
    share = np.clip(np.linalg.lstsq(system, np.append(np.zeros(k), 1.0), rcond=None)[0], 0.0, None)
    found: Floats = share / share.sum()
    return found


def _sticky(n: int, stay: float) -> Floats:
    return np.eye(n) * stay + (1.0 - stay) * (1.0 - np.eye(n)) / (n - 1) if n > 1 else np.ones((1, 1))


def _partition(values: Floats, weights: Floats, n: int) -> Floats:
    """Return the means of n groups of counts by Lloyd's rule in the square root, where shot noise is even."""
    root = np.sqrt(values)
    kept = weights > 0
    centres = np.linspace(root[kept][0], root[kept][-1], 2 * n + 1)[1::2]
    for _ in range(50):
        nearest = np.argmin(np.abs(root[:, None] - centres[None, :]), axis=1)
        total = np.bincount(nearest, weights, n)
        moved = np.where(total > 0, np.bincount(nearest, weights * root, n) / np.maximum(total, 1e-9), centres)
        if np.allclose(moved, centres):
            break
        centres = moved
    found: Floats = np.maximum(np.sort(centres) ** 2, 1e-2) * (1.0 + 1e-4 * np.arange(n))
    return found


def _one_more(values: Floats, weights: Floats, means: Floats) -> list[Floats]:
    """Return levels with one more where the counts are least expected, and with the widest level split."""
    pure, _, _ = _laws(values, means)
    missed = weights * np.minimum(-np.log(np.maximum(pure.max(axis=1), 1e-30)), 30.0)
    odd = float(values[int(np.argmax(np.convolve(missed, np.ones(5), "same")))])
    nearest = np.argmin(np.abs(np.sqrt(values)[:, None] - np.sqrt(means)[None, :]), axis=1)
    spread = np.bincount(nearest, weights * (values - means[nearest]) ** 2, means.size)
    widest = int(np.argmax(spread / means))
    half = np.sqrt(spread[widest] / max(np.bincount(nearest, weights, means.size)[widest], 1.0))
    split = np.append(np.delete(means, widest), [means[widest] - 0.7 * half, means[widest] + 0.7 * half])
    return [np.append(means, max(odd, 1e-2)), np.maximum(split, 1e-2)]
