"""Photons of segments by class of nanotime, and the profile likelihood of one number for each segment."""

from __future__ import annotations

import math

import numba as nb
import numpy as np
from numpy.typing import NDArray

from photonstats.kernels.decay import alive_after_gaussian, alive_after_impulses, gaussian_edges

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SEGMENT, ENTRIES, PHOTONS = 0, 1, 2  # places in the state of `collect`
MARGIN = 20.0  # fall of the log-likelihood beyond which nothing is looked at
STEPS = 18
FEW = 0.5  # excess of the mean likelihood ratio over that of chi-square, times photons (1/6 for a bare exponential)


@nb.njit(cache=True, nogil=True)
def collect(
    detectors: NDArray[np.uint8],
    nanotimes: NDArray[np.uint16],
    bounds: Ints,
    slot_of: NDArray[np.uint8],
    classes: NDArray[np.uint16],
    row: NDArray[np.uint32],
    state: Ints,
    sums: Ints,
    counts: Ints,
    ends: Ints,
    entry_class: NDArray[np.uint16],
    entry_count: NDArray[np.uint32],
) -> None:
    """row[class of photon] += 1 in each segment, whose filled classes become entries when it ends; O(n + k C).

    detectors[n], nanotimes[n]; bounds[k+1]: indices of the photons at the edges; slot_of[256]; classes[s, 65536], the
    last of them for photons that are left out; row[C+1], sums[s, 65536], counts[k]; ends[k]: entries up to the end of
    each segment. The segment that is open when the photons end stays in `row`; state[3] remembers it.
    """
    n = detectors.size
    k, used, open_photons = state[SEGMENT], state[ENTRIES], state[PHOTONS]
    outside = row.size - 1
    while k < counts.size:
        for i in range(bounds[k], bounds[k + 1]):
            slot = slot_of[detectors[i]]
            if slot < classes.shape[0]:
                row[classes[slot, nanotimes[i]]] += np.uint32(1)
                sums[slot, nanotimes[i]] += 1
                open_photons += 1
        if bounds[k + 1] >= n:
            break
        used = close(row, outside, used, entry_class, entry_count)
        counts[k], ends[k] = open_photons, used
        open_photons = 0
        k += 1
    state[SEGMENT], state[ENTRIES], state[PHOTONS] = k, used, open_photons


@nb.njit(cache=True, nogil=True)
def close(
    row: NDArray[np.uint32], outside: int, used: int, entry_class: NDArray[np.uint16], entry_count: NDArray[np.uint32]
) -> int:
    """Move the filled classes of row[C+1] to the entries from `used` on, and clear them; returns the new end; O(C)."""
    for c in range(outside):
        if row[c]:
            entry_class[used] = c
            entry_count[used] = row[c]
            row[c] = 0
            used += 1
    return used


@nb.njit(cache=True, nogil=True)
def class_shares(
    tau: Floats,
    shift: float,
    period: float,
    sigma: float,
    at: Floats,
    weight: Floats,
    class_of: Ints,
    first: int,
    work: Floats,
    shares: Floats,
) -> None:
    """shares[c, g] = sum over bins k of class c of alive[k] + injected[k] - alive[k+1] at tau[g]; O(n G).

    tau[G], shares[C, G] added to; class_of[n] less `first`, -1 for bins that are left out; at[j], weight[j]: impulses,
    or with sigma > 0 the centre of a Gaussian; work[4, n+1]; times in bins.
    """
    n = class_of.size
    alive, slope, injected, other = work[0], work[1], work[2], work[3]
    centre = (at[0] + shift) - math.floor((at[0] + shift) / period) * period
    if sigma > 0:
        gaussian_edges(centre, sigma, period, slope, alive, other)
        for k in range(n):
            injected[k] = slope[k + 1] - slope[k]
    else:
        injected[:] = 0.0
        for j in range(at.size):
            x = at[j] + shift
            x -= math.floor(x / period) * period
            injected[min(int(x), n - 1)] += weight[j]
    for g in range(tau.size):
        if sigma > 0:
            alive_after_gaussian(tau[g], centre, sigma, period, alive, slope)
        else:
            alive_after_impulses(tau[g], shift, period, at, weight, alive, slope)
        for k in range(n):
            if class_of[k] >= 0:
                shares[class_of[k] - first, g] += max(alive[k] + injected[k] - alive[k + 1], 0.0)


@nb.njit(cache=True, nogil=True)
def fill_logs(signal: Floats, flat: Floats, shares: Floats, logs: Floats) -> None:
    """logs[c, r, g] = ln((1 - s_r) p[c, g] + s_r q[c]); signal p[C, G], flat q[C], shares s[R]; O(C R G)."""
    for c in range(signal.shape[0]):
        for r in range(shares.size):
            for g in range(signal.shape[1]):
                logs[c, r, g] = math.log(max((1.0 - shares[r]) * signal[c, g] + shares[r] * flat[c], 1e-30))


@nb.njit(cache=True, nogil=True)
def _lagrange(values: Floats, low: int, high: int, x: float) -> float:
    """Polynomial through the six nodes around x of values[low..high], node k at x = k."""
    first = min(max(math.floor(x) - 2, low), high - 5)
    t = x - first
    t1, t2, t3, t4, t5 = t - 1.0, t - 2.0, t - 3.0, t - 4.0, t - 5.0
    a, b = t * t1, t4 * t5
    left, right = a * t2, t3 * b
    value: float = (
        values[first + 5] * left * t3 * t4 / 120.0
        - values[first] * t1 * t2 * right / 120.0
        + values[first + 1] * t * t2 * right / 24.0
        - values[first + 2] * a * right / 12.0
        + values[first + 3] * left * b / 12.0
        - values[first + 4] * left * t3 * t5 / 24.0
    )
    return value


@nb.njit(cache=True, nogil=True)
def _best_signal(
    mixed: Floats, poisson: Floats, g: int, low: int, high: int, step: float, least: float, n: float, flat: float
) -> tuple[float, float]:
    """Maximise over x: n ln T - T + M(x), T = B (1 + s), s = least (exp(x step) - 1) = S/B, and where it is; O(R).

    mixed[R, G] at column g holds M at the nodes low..high, cubic between them; poisson[R]: the rest at the nodes;
    B = flat. Newton's method in a bracket.
    """
    best, top = low, -math.inf
    for j in range(low, high + 1):
        if poisson[j] + mixed[j, g] > top:
            best, top = j, poisson[j] + mixed[j, g]
    first = min(max(best - 1, low), high - 3)
    f0, f1, f2, f3 = mixed[first, g], mixed[first + 1, g], mixed[first + 2, g], mixed[first + 3, g]
    d1, d2, d3 = f1 - f0, f2 - 2.0 * f1 + f0, f3 - 3.0 * f2 + 3.0 * f1 - f0
    left, right = max(best - 1.0, float(low)), min(best + 1.0, float(high))
    x = float(best)
    for _ in range(12):
        t = x - first
        grown = flat * least * math.exp(x * step)
        total = flat * (1.0 - least) + grown
        excess, rise = n / total - 1.0, grown * step
        slope = excess * rise + d1 + d2 * (2.0 * t - 1.0) / 2.0 + d3 * (3.0 * t * t - 6.0 * t + 2.0) / 6.0
        bend = excess * rise * step - n * (rise / total) ** 2 + d2 + d3 * (t - 1.0)
        if slope > 0:
            left = x
        else:
            right = x
        moved = x - slope / bend if bend < 0 else 0.5 * (left + right)
        if not left <= moved <= right:
            moved = 0.5 * (left + right)
        if abs(moved - x) < 1e-6:
            break
        x = moved
    t = x - first
    total = flat * (1.0 + least * math.expm1(x * step))
    value = f0 + t * d1 + t * (t - 1.0) / 2.0 * d2 + t * (t - 1.0) * (t - 2.0) / 6.0 * d3
    value += n * math.log(total) - total
    return (value, x) if value > top else (top, float(best))


@nb.njit(cache=True, nogil=True)
def _tail(root: float, distance: float) -> float:
    """P(LR > c) on one side of a normal estimate that ends at a bound `distance` standard errors away; root^2 = c."""
    if distance <= 0.0:
        return 0.0
    z = root if root < distance else 0.5 * (root * root / distance + distance)
    return 0.5 * math.erfc(z / math.sqrt(2.0))


@nb.njit(cache=True, nogil=True)
def threshold(root: float, alpha: float, below: float, above: float) -> float:
    """C with P(LR > c) = alpha for bounds `below` and `above` standard errors from the truth; root^2 = c far away.

    Feldman and Cousins, Phys. Rev. D 57, 3873 (1998), for a normal estimate.
    """
    if below > root + 1.0 and above > root + 1.0:
        return root * root
    low, high = 0.0, root
    below, above = (root + 1.0, above) if below > above else (below, root + 1.0)
    for _ in range(20):
        middle = 0.5 * (low + high)
        if _tail(middle, below) + _tail(middle, above) > alpha:
            low = middle
        else:
            high = middle
    return high * high


@nb.njit(cache=True, nogil=True, inline="always")
def _highest(profile: Floats, low: int, high: int) -> float:
    """Place of the maximum of profile[low..high] by golden section around the highest node."""
    best = low
    for g in range(low, high + 1):
        if profile[g] > profile[best]:
            best = g
    left, right = max(best - 1.0, float(low)), min(best + 1.0, float(high))
    golden = 0.5 * (math.sqrt(5.0) - 1.0)
    a, b = right - golden * (right - left), left + golden * (right - left)
    fa, fb = _lagrange(profile, low, high, a), _lagrange(profile, low, high, b)
    for _ in range(STEPS):
        if fa > fb:
            right, b, fb = b, a, fa
            a = right - golden * (right - left)
            fa = _lagrange(profile, low, high, a)
        else:
            left, a, fa = a, b, fb
            b = left + golden * (right - left)
            fb = _lagrange(profile, low, high, b)
    x = 0.5 * (left + right)
    return x if _lagrange(profile, low, high, x) > profile[best] else float(best)


@nb.njit(cache=True, nogil=True)
def _beyond(fall: float, below: float, above: float, root: float, alpha: float, wider: float) -> float:
    """Return by how much twice the fall of the log-likelihood passes its limit at a node, roughly if it surely does."""
    most = wider * root * root
    if fall > most:
        return fall - most
    return fall - wider * threshold(root, alpha, below, above)


@nb.njit(cache=True, nogil=True)
def _end(
    profile: Floats,
    below: Floats,
    above: Floats,
    scale: float,
    root: float,
    alpha: float,
    wider: float,
    low: int,
    high: int,
    best: float,
    top: float,
    way: int,
) -> float:
    """Outermost place in the direction `way` where 2 (top - profile) passes its limit; past the nodes if it never does.

    profile[G], below[G], above[G] between low and high; the limit is linear between nodes.
    """
    g = high if way > 0 else low
    if _beyond(2.0 * (top - profile[g]), scale * below[g], scale * above[g], root, alpha, wider) <= 0.0:
        return g + float(way)
    while (g - way - best) * way > 0:
        near = g - way
        if _beyond(2.0 * (top - profile[near]), scale * below[near], scale * above[near], root, alpha, wider) <= 0.0:
            break
        g = near
    near = min(max(g - way, low), high)
    outside = wider * threshold(root, alpha, scale * below[g], scale * above[g])
    inside = wider * threshold(root, alpha, scale * below[near], scale * above[near])
    outer, inner = float(g), float(near)
    if (inner - best) * way < 0:
        inner = best
    for _ in range(STEPS):
        x = 0.5 * (outer + inner)
        if 2.0 * (top - _lagrange(profile, low, high, x)) > outside + abs(x - g) * (inside - outside):
            outer = x
        else:
            inner = x
    return 0.5 * (outer + inner)


@nb.njit(cache=True, nogil=True)
def _window(values: Floats, low: int, high: int, fall: float) -> tuple[int, int]:
    """First and last node of values[low..high] less than `fall` below the highest, and three more on both sides."""
    top = values[low]
    for g in range(low + 1, high + 1):
        top = max(top, values[g])
    first, last = high, low
    for g in range(low, high + 1):
        if values[g] > top - fall:
            first, last = min(first, g), max(last, g)
    first, last = max(first - 3, low), min(last + 3, high)
    return max(min(first, high - 5), low), min(max(last, low + 5), high)


@nb.njit(cache=True, nogil=True)
def _add_logs(
    entry_class: NDArray[np.uint16],
    entry_count: NDArray[np.uint32],
    logs: Floats,
    first: int,
    last: int,
    begin: int,
    end: int,
    mixed: Floats,
) -> None:
    """mixed[r, g] = sum over entries of count ln(density[class, r, g]) for rows first..last, columns begin..end."""
    for r in range(first, last + 1):
        for g in range(begin, end + 1):
            mixed[r, g] = 0.0
    for e in range(entry_class.size):
        count = float(entry_count[e])
        for r in range(first, last + 1):
            source, target = logs[entry_class[e], r], mixed[r]
            for g in range(begin, end + 1):
                target[g] += count * source[g]


@nb.njit(cache=True, nogil=True)
def _likely_rows(n: float, flat: float, step: float, least: float, rows: int) -> tuple[int, int, int]:
    """Row of the likeliest number of photons n, and the first and last row that n allows, at least four in all."""
    central = 0
    if n > flat:
        central = min(round(math.log1p((n / flat - 1.0) / least) / step), rows - 1)
    floor = n * math.log(n) - n - MARGIN
    low, high = central, central
    while low > 0 and _poisson(n, flat, step, least, low) > floor:
        low -= 1
    while high < rows - 1 and _poisson(n, flat, step, least, high) > floor:
        high += 1
    low, high = max(low - 1, 0), min(high + 1, rows - 1)
    if high - low < 3:
        low, high = max(high - 3, 0), max(high, 3)
    return central, low, high


@nb.njit(cache=True, nogil=True)
def _poisson(n: float, flat: float, step: float, least: float, row: int) -> float:
    """Return n ln T - T for the T photons expected at a row."""
    total = flat * (1.0 + least * math.expm1(row * step))
    return n * math.log(total) - total


@nb.njit(cache=True, nogil=True, inline="always")
def _profile_of(
    entry_class: NDArray[np.uint16],
    entry_count: NDArray[np.uint32],
    n: float,
    flat: float,
    step: float,
    least: float,
    logs: Floats,
    narrow: bool,
    mixed: Floats,
    profile: Floats,
    rows_at: Floats,
) -> tuple[int, int, float]:
    """Profile log-likelihood of one segment; returns its first and last node, and the value without any signal.

    Without background (flat = 0) the table has one row. Else only rows are filled that the number of photons n
    allows, and with `narrow` only columns near the maximum. rows_at[G]: where the best signal of each column lies.
    """
    last = logs.shape[2] - 1
    none = 0 * last  # no constant, for which the functions would be compiled once more
    if flat <= 0.0:
        _add_logs(entry_class, entry_count, logs, none, none, none, last, mixed)
        for g in range(last + 1):
            profile[g], rows_at[g] = mixed[0, g], 0.0
        begin, end = _window(profile, none, last, MARGIN)
        return begin, end, -math.inf
    central, low, high = _likely_rows(n, flat, step, least, logs.shape[1])
    begin, end = 0, last
    if narrow:
        _add_logs(entry_class, entry_count, logs, central, central, none, last, mixed)
        begin, end = _window(mixed[central], none, last, MARGIN)
    _add_logs(entry_class, entry_count, logs, low, high, begin, end, mixed)
    poisson = np.empty(high + 1)
    for row in range(low, high + 1):
        poisson[row] = _poisson(n, flat, step, least, row)
    for g in range(begin, end + 1):
        profile[g], rows_at[g] = _best_signal(mixed, poisson, g, low, high, step, least, n, flat)
    nothing = n * math.log(flat) - flat + mixed[0, begin] if low == 0 else -math.inf
    return begin, end, nothing


@nb.njit(cache=True, nogil=True)
def fit_entries(
    begin: int,
    stop: int,
    ends: Ints,
    entry_class: NDArray[np.uint16],
    entry_count: NDArray[np.uint32],
    flat: Floats,
    step: float,
    least: float,
    logs: Floats,
    below: Floats,
    above: Floats,
    roots: Floats,
    alphas: Floats,
    places: Floats,
    nothing_likely: NDArray[np.bool_],
) -> None:
    """Maximum of the profile likelihood of segments begin..stop-1 and ends of its intervals; O(entries R G).

    ends[k], flat[k]: expected background; logs[C, R, G], row j at S/B = least (exp(j step) - 1); below[R, G],
    above[R, G]: standard errors of one photon from each node to the bounds; roots[2], alphas[2] of the two levels;
    places[k, 5]: maximum, low and high of the first, low and high of the second level, in nodes: -1 and G are open
    ends; nan without photons. nothing_likely[k]: whether no signal at all lies within the second level. Two numbers
    vanish with the signal, so that the limit there is that of chi-square with two degrees of freedom.
    """
    mixed = np.empty((logs.shape[1], logs.shape[2]))
    profile, rows_at = np.empty(logs.shape[2]), np.empty(logs.shape[2])
    last = logs.shape[2] - 1
    for k in range(begin, stop):
        start = ends[k - 1] if k else 0
        classes, counts = entry_class[start : ends[k]], entry_count[start : ends[k]]
        n = 0.0
        for count in counts:
            n += count
        for i in range(5):
            places[k, i] = math.nan
        if n == 0.0:
            continue
        for attempt in range(2):  # one call: another would be compiled again
            low, high, nothing = _profile_of(
                classes, counts, n, flat[k], step, least, logs, attempt == 0, mixed, profile, rows_at
            )
            best = _highest(profile, low, high)
            top = _lagrange(profile, low, high, best)
            nothing_likely[k] = top - nothing <= -math.log(alphas[1])
            row = round(rows_at[round(best)])
            signal = 1.0 - 1.0 / (1.0 + least * math.expm1(row * step)) if flat[k] > 0.0 else 1.0
            scale, wider = math.sqrt(n), 1.0 + FEW / (n * max(signal * signal, 0.25))
            places[k, 0] = best
            for i in range(2):
                for way in (-1, 1):
                    places[k, 1 + 2 * i + (way > 0)] = _end(
                        profile, below[row], above[row], scale, roots[i], alphas[i], wider, low, high, best, top, way
                    )
            cut = (places[k, 3] < low and low > 0) or (places[k, 4] > high and high < last)
            if not cut:
                break
