"""Hidden Markov chains with one table of emission for all bins."""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@nb.njit(cache=True, nogil=True)
def forward(values: Ints, emission: Floats, first: Floats, moves: Floats, alpha: Floats, scale: Floats) -> float:
    """alpha[t, j] = P(state j at t | values up to t), scale[t] = P(value t | those before); return sum ln scale.

    values[n] rows of emission[u, m], first[m], moves[m, m] from row to column; O(n m^2). Rabiner, Proc. IEEE 77, 257
    (1989).
    """
    n, m = values.size, first.size
    total = 0.0
    for t in range(n):
        norm = 0.0
        for j in range(m):
            here = first[j]
            if t > 0:
                here = 0.0
                for i in range(m):
                    here += alpha[t - 1, i] * moves[i, j]
            alpha[t, j] = here * emission[values[t], j]
            norm += alpha[t, j]
        scale[t] = norm
        for j in range(m):
            alpha[t, j] /= norm
        total += np.log(norm)
    return total


@nb.njit(cache=True, nogil=True)
def backward(
    values: Ints, emission: Floats, moves: Floats, alpha: Floats, scale: Floats, seen: Floats, switches: Floats
) -> None:
    """seen[u, j] = expected bins of value u in state j, switches[i, j] = expected moves; alpha becomes P(state | all).

    Arguments as in `forward`, after it; O(n m^2).
    """
    n, m = values.size, moves.shape[0]
    beta, ahead = np.ones(m), np.empty(m)
    seen[:] = 0.0
    switches[:] = 0.0
    for j in range(m):
        seen[values[n - 1], j] += alpha[n - 1, j]
    for t in range(n - 2, -1, -1):
        for j in range(m):
            ahead[j] = beta[j] * emission[values[t + 1], j] / scale[t + 1]
        for i in range(m):
            behind = 0.0
            for j in range(m):
                step = moves[i, j] * ahead[j]
                switches[i, j] += alpha[t, i] * step
                behind += step
            beta[i] = behind
        for j in range(m):
            alpha[t, j] *= beta[j]
            seen[values[t], j] += alpha[t, j]


@nb.njit(cache=True, nogil=True)
def likeliest_path(values: Ints, log_emission: Floats, log_first: Floats, log_moves: Floats, path: Ints) -> None:
    """path[t] = state at t of the likeliest sequence; O(n m^2). Viterbi, IEEE Trans. Inf. Theory 13, 260 (1967)."""
    n, m = values.size, log_first.size
    came = np.zeros((n, m), np.uint8)
    best, new = np.empty(m), np.empty(m)
    for j in range(m):
        best[j] = log_first[j] + log_emission[values[0], j]
    for t in range(1, n):
        for j in range(m):
            top, who = best[0] + log_moves[0, j], 0
            for i in range(1, m):
                if best[i] + log_moves[i, j] > top:
                    top, who = best[i] + log_moves[i, j], i
            new[j] = top + log_emission[values[t], j]
            came[t, j] = who
        best, new = new, best
    path[n - 1] = np.argmax(best)
    for t in range(n - 1, 0, -1):
        path[t - 1] = came[t, path[t]]
