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

FINE, SHORT = 16, 4  # events of the finer blocks that are skipped as a whole, in long and in short parts
SHORTEST = 64  # events of the shortest window that is scanned for flashes
SCANNED = 0.3  # of the false positive rate that the scan gets
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
def decay_gain(k: float, n: float, part: float, total: float, cost: Floats) -> float:
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
    return rate, max(0.0, decay_gain(k, n, scores[at] - scores[first], total, cost) - whole)


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
        far = max(decay_gain(ka, n, sb, total, cost), decay_gain(kb, n, sa, total, cost))
        near = max(decay_gain(ka, n, sa, total, cost), decay_gain(kb, n, sb, total, cost))
        ratio += max(far, near) - whole + 1e-6 * n  # the cubic between nodes is convex to this
    inmost = min(max(0.5 * n, ka), kb)  # moments fall and the weight rises towards the middle
    mean, variance = _moments(np.floor(inmost), n, table)
    weight = 0.5 * math.log(4.0 * inmost * (n - inmost) / (n * n))
    return max(0.0, ratio - channels * mean * (1.0 - 1e-9)) / math.sqrt(channels * variance) + weight + 1e-9


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _below(
    times: Floats, scores: Floats, cost: Floats, first: int, a: int, b: int, last: int, whole: float, ratio: float
) -> bool:
    """Return whether the summed ratios after the events a ... b are surely below `ratio`; without a logarithm.

    Twice the log likelihood ratio is n d^2 / (x (1 - x)) for the difference d of the shares of events and of time, at
    some x between them: at most the largest d over the least of x (1 - x).
    """
    n = float(last - first)
    length = times[last] - times[first]
    va, vb = (times[a] - times[first]) / length, (times[b] - times[first]) / length
    pa, pb = (a - first) / n, (b - first) / n
    d = max(vb - pa, pb - va)
    least = min(min(pa, va) * (1.0 - min(pa, va)), max(pb, vb) * (1.0 - max(pb, vb)))
    most = n * d * d
    if not most < ratio * least:
        return False
    if scores.size == 0:
        return True
    total, sa, sb = scores[last] - scores[first], scores[a] - scores[first], scores[b] - scores[first]
    far = max(decay_gain(pa * n, n, sb, total, cost), decay_gain(pb * n, n, sa, total, cost))
    near = max(decay_gain(pa * n, n, sa, total, cost), decay_gain(pb * n, n, sb, total, cost))
    return bool(most / least + max(far, near) - whole + 1e-6 * n < ratio)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def best_change(
    times: Floats, scores: Floats, cost: Floats, first: int, last: int, table: Floats, floor: float = -np.inf
) -> tuple[int, float]:
    """Return the event after which a change is most likely, and its scaled ratio; -1 where none is above `floor`.

    n = last - first events follow the one at `first`, where time starts. Exact: blocks of events are skipped only
    where none of them can hold the maximum, by a bound without logarithms, then by a closer one. O(n).
    """
    n = last - first
    best, at = floor, -1
    if n < 2 or not times[last] > times[first]:
        return at, best
    whole, channels = 0.0, 1.0
    if scores.size:
        whole, channels = 2.0 * n * score_cost((scores[last] - scores[first]) / n, cost), 2.0
    spread = math.sqrt(2.0 * channels)  # the least deviation of the ratios, as `channels` is their least mean
    coarse = FINE * max(1, int(0.25 * math.sqrt(n) / FINE))
    for turn in range(2):  # first one event of each block, so that most blocks need no closer look
        for left in range(first + 1, last, coarse):
            right = left if turn == 0 else min(left + coarse - 1, last - 1)
            sure = best > 0.0 and _below(times, scores, cost, first, left, right, last, whole, channels + best * spread)
            if sure or (
                turn == 1
                and coarse > FINE
                and _at_most(times, scores, cost, first, left, right, last, whole, table) <= best
            ):
                continue
            step = FINE if coarse > FINE else SHORT
            for a in range(left, right + 1, step):
                b = min(a + step - 1, right)
                if best > 0.0 and _below(times, scores, cost, first, a, b, last, whole, channels + best * spread):
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
    rest = 1.0 - part
    least = rest * critical[4, i] + part * critical[4, i + 1]
    if level <= 0.05:
        return float(least + math.log(0.05 / level) / (rest * critical[5, i] + part * critical[5, i + 1]))
    row, upper, lower = 3, 0.1, 0.05
    if level >= 0.2:
        row, upper, lower = 1, 0.5, 0.2
    elif level >= 0.1:
        row, upper, lower = 2, 0.2, 0.1
    high = rest * critical[row, i] + part * critical[row, i + 1]
    low = rest * critical[row + 1, i] + part * critical[row + 1, i + 1]
    return float(high + (low - high) * math.log(upper / level) / math.log(upper / lower))


@nb.njit(cache=True, nogil=True)
def _split(
    times: Floats, scores: Floats, cost: Floats, level: float, critical: Floats, table: Floats, stack: Ints,
    begin: int, end: int, found: Ints,
) -> int:  # fmt: skip
    """found[...] = the changes between events begin and end: each part is split until nothing more is found."""
    total = times.size - 1
    stack[0, 0], stack[0, 1] = begin, end
    depth, count = 1, 0
    while depth > 0:
        depth -= 1
        first, last = stack[depth, 0], stack[depth, 1]
        n = last - first
        if n < 2:
            continue
        floor = critical_value(n, level * n / total, critical)
        at = best_change(times, scores, cost, first, last, table, floor)[0]
        if at < 0:
            continue
        found[count] = at
        count += 1
        stack[depth, 0], stack[depth, 1] = first, at
        stack[depth + 1, 0], stack[depth + 1, 1] = at, last
        depth += 2
    return count


@nb.njit(cache=True, nogil=True, inline="always")
def _scan(
    times: Floats, scores: Floats, cost: Floats, level: float, critical: Floats, table: Floats, begin: int, end: int,
    found: Ints,
) -> int:  # fmt: skip
    """found[...] = changes within short windows between events begin and end, narrow windows first.

    A short flash changes a long part twice and by little, so that splitting it once shows nothing. Windows of 64, 128
    ... events overlap by half; all of one length together are tested at `level` over the number of lengths.
    """
    total = times.size - 1
    lengths = max(1.0, math.floor(math.log2(total / SHORTEST)))
    count, n = 0, SHORTEST + 0 * total  # no constant: `critical_value` would be compiled once more
    while 2 * n <= end - begin:
        floor = critical_value(n, level / lengths * n / (2.0 * total), critical)
        known = count
        first = begin
        while first < end:
            last = min(first + n, end)
            taken = False
            for i in range(known):
                taken |= first - n < found[i] < last + n
            if not taken and last - first >= SHORTEST:
                at = best_change(times, scores, cost, first, last, table, floor)[0]
                if at >= 0 and (count == known or at > found[count - 1] + n):
                    found[count] = at
                    count += 1
            first += n // 2
        n *= 2
    return count


@nb.njit(cache=True, nogil=True)
def find_changes(times: Floats, scores: Floats, cost: Floats, level: float, critical: Floats, table: Floats) -> Ints:
    """Return the events after which the light changes, rising.

    Each half is searched again until nothing more is found, then what is left is scanned for short flashes. A part of
    n of the N events is tested at a level of n / N of the whole: steady light shows any change with probability
    `level`, and all last parts together a false one. Each change is then looked for again between its neighbours,
    moved to where it is likeliest, and dropped where it does not stand.
    """
    total = times.size - 1
    found = np.empty(total + 1, np.int64)
    stack = np.empty((total + 2, 2), np.int64)
    count = _split(times, scores, cost, (1.0 - SCANNED) * level, critical, table, stack, 0 * total, total, found)
    _sort(found, count)
    changes = found[:count].copy()
    if total >= 2 * SHORTEST:
        changes = _with_flashes(times, scores, cost, level, critical, table, stack, changes, found)
    moved = np.empty(changes.size, np.bool_)
    for i in range(moved.size):
        moved[i] = True
    for _ in range(WALKS):
        waiting = False
        for due in moved:
            waiting = waiting or bool(due)
        if not waiting:
            break
        changes, moved = _check(times, scores, cost, level, critical, table, changes, moved)
    return changes


@nb.njit(cache=True, nogil=True)
def _sort(values: Ints, count: int) -> None:
    """Sort values[:count] by heaps, in place; O(n log n). That of numpy takes longer to compile than all searches."""
    for done in range(count + count // 2):
        root, size = count // 2 - 1 - done, count  # first the heap is made from its middle, then taken down
        if root < 0:
            size = count - 1 - (done - count // 2)
            if size <= 0:
                return
            values[0], values[size] = values[size], values[0]
            root = 0
        while 2 * root + 1 < size:
            child = 2 * root + 1
            if child + 1 < size and values[child + 1] > values[child]:
                child += 1
            if values[root] >= values[child]:
                break
            values[root], values[child] = values[child], values[root]
            root = child


@nb.njit(cache=True, nogil=True, inline="always")
def _with_flashes(
    times: Floats, scores: Floats, cost: Floats, level: float, critical: Floats, table: Floats, stack: Ints,
    changes: Ints, scratch: Ints,
) -> Ints:  # fmt: skip
    """Return changes[C] with those of short flashes between them, and what splitting finds beside those."""
    bounds = np.empty(changes.size + 2, np.int64)
    bounds[0], bounds[-1] = 0, times.size - 1
    for i in range(changes.size):
        bounds[i + 1] = changes[i]
    every = np.empty(times.size, np.int64)
    count = 0 * every.size  # no constant: `_sort` would be compiled once more
    for i in range(bounds.size - 1):
        if bounds[i] > 0:
            every[count] = bounds[i]
            count += 1
        n = _scan(times, scores, cost, SCANNED * level, critical, table, bounds[i], bounds[i + 1], scratch)
        if n == 0:
            continue
        inner = np.empty(n + 2, np.int64)
        inner[0], inner[-1] = bounds[i], bounds[i + 1]
        _sort(scratch, n)
        for j in range(n):
            inner[j + 1] = scratch[j]
        for j in range(n + 1):
            if j > 0:
                every[count] = inner[j]
                count += 1
            count += _split(
                times, scores, cost, (1.0 - SCANNED) * level, critical, table, stack, inner[j], inner[j + 1],
                every[count:],
            )  # fmt: skip
    _sort(every, count)
    kept = 0
    for i in range(count):
        if kept == 0 or every[i] != every[kept - 1]:
            every[kept] = every[i]
            kept += 1
    return every[:kept].copy()


@nb.njit(cache=True, nogil=True, inline="always")
def _check(
    times: Floats, scores: Floats, cost: Floats, level: float, critical: Floats, table: Floats, changes: Ints,
    due: NDArray[np.bool_],
) -> tuple[Ints, NDArray[np.bool_]]:  # fmt: skip
    """Look again for each change that is due; those beside one that moved or fell are due in the next round."""
    total = times.size - 1
    kept, next_due = np.empty(changes.size, np.int64), np.empty(changes.size + 1, np.bool_)
    for i in range(next_due.size):
        next_due[i] = False
    count, wake = 0, False
    for i in range(changes.size):
        at, stands, shifted = changes[i], True, False
        if due[i] or wake:
            first = kept[count - 1] if count > 0 else 0
            last = changes[i + 1] if i + 1 < changes.size else total
            n = last - first
            floor = critical_value(n, level * n / total, critical)
            at = best_change(times, scores, cost, first, last, table, floor)[0]
            stands = at >= 0
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
