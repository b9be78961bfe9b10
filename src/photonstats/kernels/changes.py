"""Change of a rate, and of the decay, photon by photon: the likelihood ratio at every photon, and the search.

Events are the photons of a window, with its begin as event 0 and its end as the last one. times[N + 1] rise, s.
scores[N + 1] are summed scores of the nanotimes, likewise rising, or empty; cost[3, G] is then what a mean score costs
(`score_cost`). table[2, K] holds digamma(k) - ln k and trigamma(k).
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FINE = 16  # events of the finest block that is skipped as a whole
FARTHEST = 25.0  # fall of the logarithm of the likelihood beyond which a change is not looked for
WALKS = 20  # rounds of the check between neighbours


@nb.njit(cache=True, nogil=True)
def moments_of_one_side(table: Floats) -> None:
    """table[0, k] = digamma(k) - ln k and table[1, k] = trigamma(k) for k >= 1; O(K)."""
    digamma, trigamma = -0.5772156649015329, 1.6449340668482264
    for k in range(1, table.shape[1]):
        table[0, k] = digamma - math.log(k)
        table[1, k] = trigamma
        digamma += 1.0 / k
        trigamma -= 1.0 / (k * k)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _moments(k: float, n: float, table: Floats) -> tuple[float, float]:
    """Return mean and variance of the ratio of one channel after k of n events of a steady rate (beta distribution)."""
    m = n - k
    sizes = table.shape[1]
    log_n = table[0, int(n)] if n < sizes else -0.5 / n - 1.0 / (12.0 * n * n)
    log_k = table[0, int(k)] if k < sizes else -0.5 / k - 1.0 / (12.0 * k * k)
    log_m = table[0, int(m)] if m < sizes else -0.5 / m - 1.0 / (12.0 * m * m)
    mean = 2.0 * k * (log_n - log_k) + 2.0 * m * (log_n - log_m)
    if n < sizes:
        ends = k * k * (table[1, int(k)] - table[1, int(n)]) + m * m * (table[1, int(m)] - table[1, int(n)])
        return mean, 4.0 * (ends - 2.0 * k * m * table[1, int(n)])
    # the leading terms cancel: only what is left of trigamma(x) = 1/x + 1/(2 x^2) + 1/(6 x^3) - 1/(30 x^5)
    rest_k = k * k * table[1, int(k)] - k if k < sizes else 0.5 + 1.0 / (6.0 * k) - 1.0 / (30.0 * k * k * k)
    rest_m = m * m * table[1, int(m)] - m if m < sizes else 0.5 + 1.0 / (6.0 * m) - 1.0 / (30.0 * m * m * m)
    return mean, 4.0 * (rest_k + rest_m - 0.5 - 1.0 / (6.0 * n))


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _rate_ratio(k: float, n: float, share: float) -> float:
    """Return twice the log likelihood ratio of two rates to one, for k of n events in `share` of the time."""
    share = min(max(share, 1e-15), 1.0 - 1e-15)
    m = n - k
    return 2.0 * (k * math.log(k / (n * share)) + m * math.log(m / (n * (1.0 - share))))


@nb.njit(cache=True, nogil=True, error_model="numpy")
def score_cost(mean: float, cost: Floats) -> float:
    """Return I(x), the log likelihood that a photon gains at mean score x when the decay is tilted to it.

    cost[0] the nodes x, evenly spaced, cost[1] = I(x), cost[2] = I'(x): cubic between them, linear beyond.
    """
    last = cost.shape[1] - 1
    width = cost[0, 1] - cost[0, 0]
    at = (mean - cost[0, 0]) / width
    if at <= 0.0:
        return float(cost[1, 0] + cost[2, 0] * (mean - cost[0, 0]))
    if at >= last:
        return float(cost[1, last] + cost[2, last] * (mean - cost[0, last]))
    i = int(at)
    u = at - i
    v = 1.0 - u
    ends = v * v * (1.0 + 2.0 * u) * cost[1, i] + u * u * (1.0 + 2.0 * v) * cost[1, i + 1]
    return float(ends + width * u * v * (v * cost[2, i] - u * cost[2, i + 1]))


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _decay_gain(k: float, n: float, part: float, total: float, cost: Floats) -> float:
    """Return twice the log likelihood of two decays, `part` of the summed score `total` in the first k of n events."""
    return 2.0 * (k * score_cost(part / k, cost) + (n - k) * score_cost((total - part) / (n - k), cost))


@nb.njit(cache=True, nogil=True, error_model="numpy")
def ratios_at(times: Floats, scores: Floats, cost: Floats, first: int, at: int, last: int) -> tuple[float, float]:
    """Return twice the log likelihood ratio of a change of rate, and of one of the decay, after event `at`."""
    k, n = float(at - first), float(last - first)
    rate = _rate_ratio(k, n, (times[at] - times[first]) / (times[last] - times[first]))
    if scores.size == 0:
        return rate, 0.0
    total = scores[last] - scores[first]
    whole = 2.0 * n * score_cost(total / n, cost)
    return rate, max(0.0, _decay_gain(k, n, scores[at] - scores[first], total, cost) - whole)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _scaled(ratio: float, k: float, n: float, channels: float, table: Floats) -> float:
    """Return the ratio less its mean over its deviation, plus a weight that takes from the ends.

    Watkins and Yang, J. Phys. Chem. B 109, 617 (2005). The ratio of an exponential decay is distributed as that of a
    rate, and independent of it: its moments add.
    """
    mean, variance = _moments(k, n, table)
    spread = math.sqrt(channels * variance)
    return (ratio - channels * mean) / spread + 0.5 * math.log(4.0 * k * (n - k) / (n * n))


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _exact(times: Floats, scores: Floats, cost: Floats, first: int, at: int, last: int, table: Floats) -> float:
    rate, decay = ratios_at(times, scores, cost, first, at, last)
    return _scaled(rate + decay, float(at - first), float(last - first), 2.0 if scores.size else 1.0, table)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _at_most(
    times: Floats, scores: Floats, cost: Floats, first: int, a: int, b: int, last: int, whole: float, table: Floats
) -> float:
    """Return what the scaled ratio after any of the events a ... b does not exceed.

    Both ratios are convex functions of the event and of the share, which rise together: over the box of a block they
    are largest in a corner, and the corners off the path are the far ones.
    """
    n, ka, kb = float(last - first), float(a - first), float(b - first)
    start, length = times[first], times[last] - times[first]
    va, vb = (times[a] - start) / length, (times[b] - start) / length
    ratio = max(_rate_ratio(ka, n, vb), _rate_ratio(kb, n, va), _rate_ratio(ka, n, va), _rate_ratio(kb, n, vb))
    channels = 1.0
    if scores.size:
        channels = 2.0
        total, sa, sb = scores[last] - scores[first], scores[a] - scores[first], scores[b] - scores[first]
        far = max(_decay_gain(ka, n, sb, total, cost), _decay_gain(kb, n, sa, total, cost))
        near = max(_decay_gain(ka, n, sa, total, cost), _decay_gain(kb, n, sb, total, cost))
        ratio += max(far, near) - whole + 1e-6 * n  # the cubic between nodes is convex to this
    inmost = min(max(0.5 * n, ka), kb)  # moments fall and the weight rises towards the middle
    mean, variance = _moments(np.floor(inmost), n, table)
    weight = 0.5 * math.log(4.0 * inmost * (n - inmost) / (n * n))
    return max(0.0, ratio - channels * mean * (1.0 - 1e-9)) / math.sqrt(channels * variance) + weight + 1e-9


@nb.njit(cache=True, nogil=True, error_model="numpy")
def best_change(times: Floats, scores: Floats, cost: Floats, first: int, last: int, table: Floats) -> tuple[int, float]:
    """Return the event after which a change is most likely, and its scaled ratio; -1 where there are too few.

    n = last - first events follow the one at `first`, where time starts. Exact: blocks of events are skipped only
    where none of them can hold the maximum. O(n), with about n / 10 logarithms.
    """
    n = last - first
    best, at = -np.inf, -1
    if n < 2 or not times[last] > times[first]:
        return at, best
    whole = 0.0
    if scores.size:
        whole = 2.0 * n * score_cost((scores[last] - scores[first]) / n, cost)
    coarse = FINE * max(1, int(0.25 * math.sqrt(n) / FINE))
    for event in range(first + coarse, last, coarse):  # a good one to begin with, so that most blocks need no look
        value = _exact(times, scores, cost, first, event, last, table)
        if value > best:
            best, at = value, event
    for left in range(first + 1, last, coarse):
        right = min(left + coarse - 1, last - 1)
        if coarse > FINE and _at_most(times, scores, cost, first, left, right, last, whole, table) <= best:
            continue
        for a in range(left, right + 1, FINE):
            b = min(a + FINE - 1, right)
            if n > 4 * FINE and _at_most(times, scores, cost, first, a, b, last, whole, table) <= best:
                continue
            for event in range(a, b + 1):
                value = _exact(times, scores, cost, first, event, last, table)
                if value > best:
                    best, at = value, event
    return at, best


@nb.njit(cache=True, nogil=True)
def critical_value(n: int, level: float, critical: Floats) -> float:
    """Return the scaled ratio that n events of steady light exceed with probability `level`.

    critical[0] ln n, critical[1 ... 4] the values of 50, 20, 10 and 5 %, critical[5] the fall of ln P for each unit
    beyond that of 5 %; linear between the sizes, and in ln P between the levels.
    """
    at = min(max(math.log(n), critical[0, 0]), critical[0, -1])
    i = 0
    while i < critical.shape[1] - 2 and critical[0, i + 1] < at:
        i += 1
    part = (at - critical[0, i]) / (critical[0, i + 1] - critical[0, i])
    values = critical[1:, i] + part * (critical[1:, i + 1] - critical[1:, i])
    levels = (0.5, 0.2, 0.1, 0.05)
    if level <= levels[3]:
        return float(values[3] + math.log(levels[3] / level) / values[4])
    j = 0
    while j < 2 and level < levels[j + 1]:
        j += 1
    return float(
        values[j] + (values[j + 1] - values[j]) * math.log(levels[j] / level) / math.log(levels[j] / levels[j + 1])
    )


@nb.njit(cache=True, nogil=True)
def _split(
    times: Floats, scores: Floats, cost: Floats, level: float, critical: Floats, table: Floats, stack: Ints, found: Ints
) -> int:
    total = times.size - 1
    stack[0, 0], stack[0, 1] = 0, total
    depth, count = 1, 0
    while depth > 0:
        depth -= 1
        first, last = stack[depth, 0], stack[depth, 1]
        n = last - first
        at, value = best_change(times, scores, cost, first, last, table)
        if at < 0 or value <= critical_value(n, level * n / total, critical):
            continue
        found[count] = at
        count += 1
        stack[depth, 0], stack[depth, 1] = first, at
        stack[depth + 1, 0], stack[depth + 1, 1] = at, last
        depth += 2
    return count


@nb.njit(cache=True, nogil=True)
def find_changes(
    times: Floats, scores: Floats, cost: Floats, level: float, critical: Floats, table: Floats
) -> tuple[Ints, int]:
    """Return the events after which the light changes, rising, and how many the first search had found.

    Each half is searched again until nothing more is found. A part of n of the N events is tested at `level` n / N:
    steady light shows any change with probability `level`, and all last parts together a false one. Each change is
    then looked for again between its neighbours, moved to where it is likeliest, and dropped where it does not stand.
    """
    total = times.size - 1
    found = np.empty(total + 1, np.int64)
    count = _split(times, scores, cost, level, critical, table, np.empty((total + 2, 2), np.int64), found)
    changes = np.sort(found[:count])
    before = changes.size
    moved = np.ones(changes.size, np.bool_)
    for _ in range(WALKS):
        if not np.any(moved):
            break
        changes, moved = _check(times, scores, cost, level, critical, table, changes, moved)
    return changes, before


@nb.njit(cache=True, nogil=True)
def _check(
    times: Floats, scores: Floats, cost: Floats, level: float, critical: Floats, table: Floats, changes: Ints,
    due: NDArray[np.bool_],
) -> tuple[Ints, NDArray[np.bool_]]:  # fmt: skip
    """Look again for each change that is due; those beside one that moved or fell are due in the next round."""
    total = times.size - 1
    kept, next_due = np.empty(changes.size, np.int64), np.zeros(changes.size + 1, np.bool_)
    count, wake = 0, False
    for i in range(changes.size):
        at, stands, shifted = changes[i], True, False
        if due[i] or wake:
            first = kept[count - 1] if count > 0 else 0
            last = changes[i + 1] if i + 1 < changes.size else total
            n = last - first
            at, value = best_change(times, scores, cost, first, last, table)
            stands = at >= 0 and value > critical_value(n, level * n / total, critical)
            shifted = at != changes[i]
        wake = not stands or shifted
        if wake and count > 0:
            next_due[count - 1] = True
        if stands:
            kept[count] = at
            count += 1
        if not stands or shifted:
            next_due[count] = True
    return kept[:count].copy(), next_due[:count].copy()


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
    pieces = min(500, 1 + int((high - low) * math.sqrt(2.0 * curved)))
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
                weight += 0.5 * _decay_gain(float(k), float(n), scores[event] - scores[first], total, cost)
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


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _part_cost(times: Floats, scores: Floats, cost: Floats, first: int, last: int) -> float:
    """Return minus twice the log likelihood of one rate and one decay from event `first` to `last`."""
    n = float(last - first)
    length = max(times[last] - times[first], 1e-15 * (times[-1] - times[0]))
    value = 2.0 * n * math.log(length / n)
    if scores.size:
        value -= 2.0 * n * score_cost((scores[last] - scores[first]) / n, cost)
    return value


@nb.njit(cache=True, nogil=True)
def penalised(times: Floats, scores: Floats, cost: Floats, places: Ints, penalty: float) -> Ints:
    """Return the changes among places[P] that make the summed cost of parts plus `penalty` for each least; PELT.

    places rise from the first event to the last. Killick, Fearnhead and Eckley, J. Am. Stat. Assoc. 107, 1590 (2012).
    O(P) for many changes, O(P^2) for few.
    """
    n = places.size
    least, came_from = np.full(n, np.inf), np.zeros(n, np.int64)
    least[0] = -penalty
    alive, count = np.zeros(n, np.int64), 1
    values = np.empty(n)
    for j in range(1, n):
        for c in range(count):
            i = alive[c]
            values[c] = least[i] + _part_cost(times, scores, cost, places[i], places[j])
            if values[c] + penalty < least[j]:
                least[j], came_from[j] = values[c] + penalty, i
        kept = 0
        for c in range(count):
            if values[c] <= least[j]:
                alive[kept] = alive[c]
                kept += 1
        alive[kept] = j
        count = kept + 1
    found, j = np.empty(n, np.int64), came_from[n - 1]
    size = 0
    while j > 0:
        found[size] = places[j]
        size += 1
        j = came_from[j]
    return found[:size][::-1].copy()


@nb.njit(cache=True, nogil=True)
def refine(times: Floats, scores: Floats, cost: Floats, table: Floats, changes: Ints) -> None:
    """Move each change, in place, to the most likely event between its neighbours."""
    for i in range(changes.size):
        first = changes[i - 1] if i > 0 else 0
        last = changes[i + 1] if i + 1 < changes.size else times.size - 1
        at = best_change(times, scores, cost, first, last, table)[0]
        if at > 0:
            changes[i] = at


@nb.njit(cache=True, nogil=True)
def count_bins(nanotimes: NDArray[np.uint16], detectors: NDArray[np.uint8], merge: int, counts: Ints) -> None:
    """counts[256, B] += photons of each detector and bin of `merge` TCSPC units; what is beyond counts in the last."""
    last = counts.shape[1] - 1
    for i in range(nanotimes.size):
        counts[detectors[i], min(nanotimes[i] // merge, last)] += 1


@nb.njit(cache=True, nogil=True)
def sum_scores(
    nanotimes: NDArray[np.uint16], detectors: NDArray[np.uint8], merge: int, score: Floats, before: float, out: Floats
) -> None:
    """out[N] = before + the summed score[256, B] of the photons up to and with each."""
    last = score.shape[1] - 1
    total = before
    for i in range(nanotimes.size):
        total += score[detectors[i], min(nanotimes[i] // merge, last)]
        out[i] = total


@nb.njit(cache=True, nogil=True)
def spread_ties(times: Floats, unit: float, out: Floats) -> None:
    """out[N + 2] = times[N + 2] with the photons of one tick evenly spaced over it; the ends stay.

    A tick is as fine as the clock reads: a wait of nothing between two photons would be infinitely unlikely.
    """
    stop = times[-1]
    out[0], out[-1] = times[0], stop
    first = 1
    while first < times.size - 1:
        last = first + 1
        while last < times.size - 1 and times[last] - times[first] < 0.5 * unit:
            last += 1
        for i in range(first, last):
            out[i] = min(times[first] + unit * (i - first + 0.5) / (last - first), stop)
        first = last


@nb.njit(cache=True, nogil=True)
def live_times(
    times: Floats, detectors: NDArray[np.uint8], dead: Floats, share: Floats, stop: float, out: Floats
) -> None:
    """out[N + 2] = the time at times[N + 2] less the dead time of each detector before it, weighted by its share.

    dead[256] s, share[256] of the photons; times[0] and times[-1] are the ends of the window. A detector is blind for
    dead[d] after each photon of its own.
    """
    lost, blind_until = np.zeros(256), np.full(256, -np.inf)
    used = np.flatnonzero(share > 0)
    out[0] = times[0]
    for i in range(1, times.size):
        t = times[i]
        missed = 0.0
        for d in used:
            missed += share[d] * (lost[d] - max(0.0, blind_until[d] - t))
        out[i] = max(t - missed, out[i - 1])
        if i < times.size - 1:
            d = detectors[i - 1]
            end = min(t + dead[d], stop)
            lost[d] += end - max(t, min(blind_until[d], end))
            blind_until[d] = max(end, blind_until[d])
