"""Where a change lies: the distribution of its time between its neighbours. Events and scores as in `changes`."""

from __future__ import annotations

import math

import numba as nb
import numpy as np
from numpy.typing import NDArray

from photonstats.kernels.changes import decay_gain, ratios_at, score_cost

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FARTHEST = 25.0  # fall of the logarithm of the likelihood beyond which a change is not looked for


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _slope(t: float, before: float, after: float, length: float) -> float:
    return -before / t + after / (length - t)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _log_weight(low: float, high: float, before: float, after: float, length: float) -> float:
    """Return ln of the integral of t^-before (length - t)^-after from low to high, piece by piece exponential."""
    if not high > low:
        return -np.inf
    left, right = max(low, 0.02 * (high - low)), max(length - high, 0.02 * (high - low))
    curved = before / (left * left) + after / (right * right)
    pieces = min(4000, 1 + int((high - low) * math.sqrt(60.0 * curved)))  # to a part in a thousand
    width = (high - low) / pieces
    top, total = -np.inf, 0.0
    for i in range(pieces):
        t = low + (i + 0.5) * width
        value = -before * math.log(t) - after * math.log(length - t)
        bend = abs(0.5 * width * _slope(t, before, after, length))
        value += math.log(width) + (
            bend - math.log(2.0 * bend) + math.log1p(-math.exp(-2.0 * bend)) if bend > 1e-4 else 0.0
        )
        if value > top:
            total = total * math.exp(top - value) + 1.0
            top = value
        else:
            total += math.exp(value - top)
    return top + math.log(total)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def locate(
    times: Floats, scores: Floats, cost: Floats, first: int, at: int, last: int, levels: Floats, buffer: Floats,
    out: Floats,
) -> None:  # fmt: skip
    """out[L] = the times below which a change between events first and last lies with probability levels[L], rising.

    A change at time t with k events in the t before it and m in the u after has the likelihood, both rates summed over
    with Jeffreys' weight, Gamma(k + 1/2) Gamma(m + 1/2) / (t^(k + 1/2) u^(m + 1/2)), times that of two decays at their
    best; t itself is uniform. buffer[N + 1] is scratch. O(events within reach).
    """
    n = last - first
    start, length = times[first], times[last] - times[first]
    total = scores[last] - scores[first] if scores.size else 0.0
    top, low, high = -np.inf, at, at
    for side in range(2):  # to the left and then to the right of the change, until it is out of the question
        event = at if side == 0 else at + 1
        while first <= event < last:
            k = event - first
            m = n - k
            weight = math.lgamma(k + 0.5) + math.lgamma(m + 0.5)
            weight += _log_weight(times[event] - start, times[event + 1] - start, k + 0.5, m + 0.5, length)
            if scores.size and k > 0:
                weight += 0.5 * decay_gain(float(k), float(n), scores[event] - scores[first], total, cost)
            elif scores.size:
                weight += n * score_cost(total / n, cost)
            buffer[event] = weight
            top = max(top, weight)
            if side == 0:
                low = event
            else:
                high = event
            if weight < top - FARTHEST and weight > -np.inf:
                break
            event += -1 if side == 0 else 1
    whole = 0.0
    for event in range(low, high + 1):
        buffer[event] = math.exp(buffer[event] - top)
        whole += buffer[event]
    seen, event = 0.0, low
    for i in range(levels.size):
        wanted = levels[i] * whole
        while event < high and seen + buffer[event] < wanted:
            seen += buffer[event]
            event += 1
        share = min(max((wanted - seen) / buffer[event], 0.0), 1.0) if buffer[event] > 0 else 0.5
        out[i] = _within_gap(times, start, length, event, event - first, n, share)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _within_gap(times: Floats, start: float, length: float, event: int, k: int, n: int, share: float) -> float:
    """Return the time in the gap after an event before which `share` of its weight lies."""
    low, high = times[event] - start, times[event + 1] - start
    if not high > low:
        return float(times[event])
    whole = _log_weight(low, high, k + 0.5, n - k + 0.5, length)
    left, right = low, high
    for _ in range(30):
        middle = 0.5 * (left + right)
        if math.exp(_log_weight(low, middle, k + 0.5, n - k + 0.5, length) - whole) < share:
            left = middle
        else:
            right = middle
    return float(start + 0.5 * (left + right))


@nb.njit(cache=True, nogil=True)
def locate_all(
    times: Floats, scores: Floats, cost: Floats, changes: Ints, levels: Floats, out: Floats, ratios: Floats
) -> None:
    """out[C, L] of `locate` and ratios[C, 2] of `ratios_at` for each change between its neighbours."""
    buffer = np.empty(times.size)
    for i in range(changes.size):
        first = changes[i - 1] if i > 0 else 0
        last = changes[i + 1] if i + 1 < changes.size else times.size - 1
        locate(times, scores, cost, first, changes[i], last, levels, buffer, out[i])
        ratios[i, 0], ratios[i, 1] = ratios_at(times, scores, cost, first, changes[i], last)
