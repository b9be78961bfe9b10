"""Laws of dwell times: mass between two times, log-likelihood, its maximum, distribution tables, KS distance.

Laws by number, with two parameters p, q:
0 t^-p;  1 t^-p exp(-t exp(q));  2 exp(-t exp(-p));  3 stretched, survival exp(-(t exp(-p))^exp(q));
4 lognormal, median exp(p), width exp(q) of ln t.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np
from numpy.typing import NDArray

POWER, TRUNCATED, EXPONENTIAL, STRETCHED, LOGNORMAL = range(5)
STEP = 2e-4  # of differences
ENOUGH = 1e-7  # gain in log-likelihood that ends the search: a thousandth of an error

_X8 = np.array([0.18343464249564980, 0.52553240991632899, 0.79666647741362674, 0.96028985649753623])
_W8 = np.array([0.36268378337836198, 0.31370664587788729, 0.22238103445337447, 0.10122853629037626])


@nb.njit(cache=True, nogil=True)
def upper_gamma_scaled(s: float, x: float) -> float:
    """Return Gamma(s, x) exp(x) x^-s for x >= 2 and any s < x, negative ones too: a continued fraction by Lentz.

    Gautschi, ACM Trans. Math. Softw. 5, 466 (1979).
    """
    b = x + 1.0 - s
    c, d = 1e300, 1.0 / b
    h = d
    for i in range(1, 400):
        a = -i * (i - s)
        b += 2.0
        d = a * d + b
        d = 1.0 / (d if abs(d) > 1e-300 else 1e-300)
        c = b + a / c
        c = c if abs(c) > 1e-300 else 1e-300
        h *= c * d
        if abs(c * d - 1.0) < 1e-15:
            break
    return h


@nb.njit(cache=True, nogil=True)
def _log_power(s: float, a: float, b: float) -> float:
    """Return ln of the integral of t^(s-1) from a to b; inf where it diverges."""
    if b == np.inf:
        return s * math.log(a) - math.log(-s) if s < 0.0 else np.inf
    wide = math.log(b / a)
    if abs(s * wide) < 1e-9:
        return s * math.log(a) + math.log(wide)
    if s * wide > 30.0:
        return s * math.log(b) - math.log(s)
    return s * math.log(a) + math.log(math.expm1(s * wide) / s)


@nb.njit(cache=True, nogil=True)
def _series(s: float, x: float, z: float) -> float:
    """Return the integral of t^(s-1) exp(-t) from x to z, z of a few, term by term in powers: no pole at whole s."""
    wide = math.log(z / x)
    low, high, sign, total = x**s, z**s, 1.0, 0.0
    for j in range(120):
        order = s + j
        if abs(order * wide) < 0.5:
            part = low * (math.expm1(order * wide) / order if order != 0.0 else wide)
        else:
            part = (high - low) / order
        total += sign * part
        if j > z and abs(part) < 1e-17 * abs(total):
            break
        low *= x / (j + 1.0)
        high *= z / (j + 1.0)
        sign = -sign
    return total


@nb.njit(cache=True, nogil=True)
def _narrow(alpha: float, k: float, a: float, b: float) -> float:
    """Return ln of the integral of t^-alpha exp(-k t) over a short stretch: Gauss's eight points in ln t."""
    middle, half = 0.5 * math.log(a * b), 0.5 * math.log(b / a)
    top = (1.0 - alpha) * middle - k * math.exp(middle)
    total = 0.0
    for i in range(4):
        for side in (-1.0, 1.0):
            y = middle + side * half * _X8[i]
            total += _W8[i] * math.exp((1.0 - alpha) * y - k * math.exp(y) - top)
    return top + math.log(total * half)


@nb.njit(cache=True, nogil=True)
def log_mass_truncated(alpha: float, k: float, a: float, b: float) -> float:
    """Return ln of the integral of t^-alpha exp(-k t) from a to b (inf allowed): k^(alpha-1) (G(s, ka) - G(s, kb)).

    s = 1 - alpha; a series up to kt of a few, a continued fraction beyond it, quadrature of narrow stretches where
    both would lose digits.
    """
    s = 1.0 - alpha
    if k <= 0.0 or k * b < 1e-14:
        bare: float = _log_power(s, a, b)
        return bare
    if b < np.inf and b < 1.8 * a and k * (b - a) < 1.0:
        narrow: float = _narrow(alpha, k, a, b)
        return narrow
    x, z = k * a, k * b
    split = max(2.0, s + 1.0)
    near = _series(s, x, min(z, split)) if x < split else 0.0
    far = 0.0
    if z > split:
        begin = max(x, split)
        # exp(begin) is taken out, so that a stretch far beyond the cutoff keeps its logarithm
        far = upper_gamma_scaled(s, begin) * begin**s
        if z - begin < 700.0:
            far -= upper_gamma_scaled(s, z) * z**s * math.exp(begin - z)
        if x >= split:
            return -begin + math.log(max(far, 1e-300)) - s * math.log(k)
        far *= math.exp(-begin)
    return math.log(max(near + far, 1e-300)) - s * math.log(k)


@nb.njit(cache=True, nogil=True)
def _log_normal_tail(z: float) -> float:
    """Return ln of the probability of a normal variable above z."""
    if z < 8.0:
        return math.log(0.5 * math.erfc(z * 0.7071067811865476))
    r = 1.0 / (z * z)
    tail = 1.0 - r * (1.0 - 3.0 * r * (1.0 - 5.0 * r * (1.0 - 7.0 * r)))
    return -0.5 * z * z - math.log(z * 2.5066282746310002) + math.log(tail)


@nb.njit(cache=True, nogil=True)
def _log_normal_mass(low: float, high: float) -> float:
    if high <= 0.0:
        low, high = -high, -low
    first: float = _log_normal_tail(low)
    if high == np.inf:
        return first
    return first + math.log(max(-math.expm1(_log_normal_tail(high) - first), 1e-300))


@nb.njit(cache=True, nogil=True)
def log_mass(law: int, p: float, q: float, a: float, b: float) -> float:
    """Return ln of the integral of the law's density (laws 0 to 2: without their constant) from a to b."""
    if law == POWER:
        mass: float = _log_power(1.0 - p, a, b)
    elif law == TRUNCATED:
        mass = log_mass_truncated(p, math.exp(q), a, b)
    elif law == EXPONENTIAL:
        rate = math.exp(-p)
        mass = -rate * a + math.log(max(-math.expm1(-rate * (b - a)), 1e-300)) + p
    elif law == STRETCHED:
        beta = math.exp(q)
        low, high = math.exp(beta * (math.log(a) - p)), math.exp(beta * (math.log(b) - p))
        mass = -low + (math.log(max(-math.expm1(low - high), 1e-300)) if high < np.inf else 0.0)
    else:
        width = math.exp(-q)
        mass = _log_normal_mass((math.log(a) - p) * width, (math.log(b) - p) * width)
    return mass


@nb.njit(cache=True, nogil=True)
def _log_density(law: int, p: float, q: float, sums: NDArray[np.float64], nodes: NDArray[np.float64]) -> float:
    """Return the sum of ln density over dwells, from n, sum ln t, sum t, sum (ln t)^2 and groups of ln t."""
    n, logs, times, squares = float(sums[0]), float(sums[1]), float(sums[2]), float(sums[3])
    if n == 0.0:
        return 0.0
    if law == POWER:
        return -p * logs
    if law == TRUNCATED:
        return -p * logs - math.exp(q) * times
    if law == EXPONENTIAL:
        return -math.exp(-p) * times
    if law == STRETCHED:
        beta, total = math.exp(q), 0.0
        for i in range(nodes.shape[0]):
            total += nodes[i, 1] * math.exp(beta * (nodes[i, 0] - p)) * (1.0 + 0.5 * beta * beta * nodes[i, 2])
        return n * (q - beta * p) + (beta - 1.0) * logs - total
    width = math.exp(-q)
    square = squares - 2.0 * p * logs + n * p * p
    return -logs - n * (q + 0.9189385332046727) - 0.5 * square * width * width


@nb.njit(cache=True, nogil=True)
def log_likelihood(
    law: int,
    p: float,
    q: float,
    sums: NDArray[np.float64],
    nodes: NDArray[np.float64],
    rows: NDArray[np.float64],
    ends: NDArray[np.float64],
) -> float:
    """Return sum ln f + sum_rows w ln F(a, b) - N ln F(t_min, t_max); -inf where it is not defined. O(rows).

    sums[4], nodes[m, 3] = mean, number and variance of groups of ln t, rows[r, 3] = a, b, w of censored and binned
    dwells, ends = t_min, t_max.
    """
    norm = log_mass(law, p, q, ends[0], ends[1])
    if not abs(norm) < 1e300:
        return -np.inf
    total, n = _log_density(law, p, q, sums, nodes), sums[0]
    for i in range(rows.shape[0]):
        total += rows[i, 2] * log_mass(law, p, q, rows[i, 0], rows[i, 1])
        n += rows[i, 2]
    total -= n * norm
    return total if abs(total) < 1e300 else -np.inf


@nb.njit(cache=True, nogil=True)
def _slopes(
    law: int,
    p: float,
    q: float,
    best: float,
    free: NDArray[np.bool_],
    sums: NDArray[np.float64],
    nodes: NDArray[np.float64],
    rows: NDArray[np.float64],
    ends: NDArray[np.float64],
    d: NDArray[np.float64],
) -> None:
    """d[5] = first derivatives to p and q, second ones to pp, qq and pq, by central differences; up to 8 calls."""
    d[:] = 0.0
    corner = 0.0
    for i in range(2):
        if free[i]:
            hp, hq = (STEP, 0.0) if i == 0 else (0.0, STEP)
            up = log_likelihood(law, p + hp, q + hq, sums, nodes, rows, ends)
            down = log_likelihood(law, p - hp, q - hq, sums, nodes, rows, ends)
            if not np.isfinite(down):  # alpha at the end of its range
                down = 2.0 * best - up
            d[i], d[2 + i] = (up - down) / (2.0 * STEP), (up + down - 2.0 * best) / (STEP * STEP)
    if free[0] and free[1]:
        for a in (-1.0, 1.0):
            for b in (-1.0, 1.0):
                corner += a * b * log_likelihood(law, p + a * STEP, q + b * STEP, sums, nodes, rows, ends)
        d[4] = corner / (4.0 * STEP * STEP) if np.isfinite(corner) else 0.0


@nb.njit(cache=True, nogil=True)
def _step(d: NDArray[np.float64], open0: bool, open1: bool, damping: float) -> tuple[float, float, bool]:
    """Return the damped Newton step of p and q, and whether there is one."""
    if open0 and open1:
        a = max(-d[2], 0.0) * (1.0 + damping) + damping * abs(d[2]) + 1e-12
        c = max(-d[3], 0.0) * (1.0 + damping) + damping * abs(d[3]) + 1e-12
        det = a * c - d[4] * d[4]
        if det <= 1e-10 * a * c:
            return 0.0, 0.0, False
        first, second = (c * d[0] + d[4] * d[1]) / det, (a * d[1] + d[4] * d[0]) / det
    else:
        first = d[0] / (max(-d[2], 0.0) * (1.0 + damping) + damping * abs(d[2]) + 1e-12) if open0 else 0.0
        second = d[1] / (max(-d[3], 0.0) * (1.0 + damping) + damping * abs(d[3]) + 1e-12) if open1 else 0.0
    return min(max(first, -2.0), 2.0), min(max(second, -3.0), 3.0), True


@nb.njit(cache=True, nogil=True)
def maximise(
    law: int,
    start: NDArray[np.float64],
    free: NDArray[np.bool_],
    bounds: NDArray[np.float64],
    sums: NDArray[np.float64],
    nodes: NDArray[np.float64],
    rows: NDArray[np.float64],
    ends: NDArray[np.float64],
    found: NDArray[np.float64],
) -> None:
    """found[3] = p, q, largest log-likelihood within bounds[2, 2]: damped Newton steps, up to 9 calls each.

    Marquardt, J. Soc. Indust. Appl. Math. 11, 431 (1963).
    """
    p, q, damping = start[0], start[1], 1e-4
    best = log_likelihood(law, p, q, sums, nodes, rows, ends)
    d = np.empty(5)
    for _ in range(80):
        _slopes(law, p, q, best, free, sums, nodes, rows, ends, d)
        open0 = free[0] and not ((p <= bounds[0, 0] and d[0] < 0.0) or (p >= bounds[0, 1] and d[0] > 0.0))
        open1 = free[1] and not ((q <= bounds[1, 0] and d[1] < 0.0) or (q >= bounds[1, 1] and d[1] > 0.0))
        gain = 0.0
        for _ in range(20):
            step0, step1, there = _step(d, open0, open1, damping)
            if there:
                new_p = min(max(p + step0, bounds[0, 0]), bounds[0, 1])
                new_q = min(max(q + step1, bounds[1, 0]), bounds[1, 1])
                value = log_likelihood(law, new_p, new_q, sums, nodes, rows, ends)
                if value > best:
                    gain = value - best
                    p, q, best = new_p, new_q, value
                    damping = max(0.1 * damping, 1e-8)
                    break
                if 0.5 * abs(d[0] * step0 + d[1] * step1) < ENOUGH:
                    break
            damping = max(10.0 * damping, 1e-3)
        if gain < ENOUGH:
            break
    found[0], found[1], found[2] = p, q, best


@nb.njit(cache=True, nogil=True)
def best_of_grid(
    law: int,
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    sums: NDArray[np.float64],
    nodes: NDArray[np.float64],
    rows: NDArray[np.float64],
    ends: NDArray[np.float64],
    found: NDArray[np.float64],
) -> None:
    """Found = p, q, log-likelihood of the likeliest pair of two lists."""
    found[2] = -np.inf
    for p in first:
        for q in second:
            value = log_likelihood(law, p, q, sums, nodes, rows, ends)
            if value > found[2]:
                found[0], found[1], found[2] = p, q, value


@nb.njit(cache=True, nogil=True)
def fill_table(law: int, p: float, q: float, low: float, high: float, table: NDArray[np.float64]) -> None:
    """table[m, 3] = ln t, distribution function, its slope in ln t, at even steps of ln t from low to high (ln s)."""
    m = table.shape[0]
    step = (high - low) / (m - 1)
    norm = log_mass(law, p, q, math.exp(low), math.exp(high))
    total = 0.0
    for i in range(m):
        y = low + i * step
        if i:
            total += math.exp(log_mass(law, p, q, math.exp(y - step), math.exp(y)) - norm)
        table[i, 0], table[i, 1] = y, total
        # the slope from a stretch so short that it is even, whatever the law
        tiny = 1e-4 * step
        table[i, 2] = math.exp(log_mass(law, p, q, math.exp(y - tiny), math.exp(y + tiny)) - norm) / (2.0 * tiny)
    for i in range(m):
        table[i, 1] /= total
        table[i, 2] /= total


@nb.njit(cache=True, nogil=True)
def _between(table: NDArray[np.float64], i: int, x: float) -> float:
    """Return the cubic through two rows of a table with their slopes, x from 0 to 1."""
    step = table[i + 1, 0] - table[i, 0]
    f0, f1, d0, d1 = table[i, 1], table[i + 1, 1], table[i, 2] * step, table[i + 1, 2] * step
    rise = f1 - f0
    value: float = f0 + x * (d0 + x * (3.0 * rise - 2.0 * d0 - d1 + x * (d0 + d1 - 2.0 * rise)))
    return value


@nb.njit(cache=True, nogil=True)
def draw_sorted(u: NDArray[np.float64], table: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """out[n] = ln t of ascending probabilities u[n]: the table inverted by a walk and Newton steps; O(n)."""
    i, last = 0, table.shape[0] - 2
    for j in range(u.size):
        while i < last and table[i + 1, 1] < u[j]:
            i += 1
        step = table[i + 1, 0] - table[i, 0]
        f0, f1, d0, d1 = table[i, 1], table[i + 1, 1], table[i, 2] * step, table[i + 1, 2] * step
        rise = f1 - f0
        x = min(max((u[j] - f0) / rise, 0.0), 1.0) if rise > 0.0 else 0.0
        c2, c3 = 3.0 * rise - 2.0 * d0 - d1, d0 + d1 - 2.0 * rise
        for _ in range(4):
            slope = d0 + x * (2.0 * c2 + x * 3.0 * c3)
            if slope <= 0.0:
                break
            move = (f0 + x * (d0 + x * (c2 + x * c3)) - u[j]) / slope
            x = min(max(x - move, 0.0), 1.0)
            if abs(move) < 1e-7:
                break
        out[j] = table[i, 0] + x * step


@nb.njit(cache=True, nogil=True)
def ks_distance(y: NDArray[np.float64], ended: NDArray[np.bool_], steps: bool, table: NDArray[np.float64]) -> float:
    """Return the largest distance of the table from the Kaplan-Meier distribution of ascending y[n] = ln t; O(n).

    steps: y are upper edges of bins, compared only where a bin ends. Kaplan, Meier, J. Am. Stat. Assoc. 53, 457 (1958).
    """
    n = y.size
    last = table.shape[0] - 2
    low, scale = table[0, 0], 1.0 / (table[1, 0] - table[0, 0])
    alive, distance = 1.0, 0.0
    for j in range(n):
        if steps and not ended[j]:
            continue
        at = (y[j] - low) * scale
        i = min(max(int(at), 0), last)
        f = _between(table, i, min(max(at - i, 0.0), 1.0))
        if not steps:
            distance = max(distance, abs(f - (1.0 - alive)))
        if ended[j]:
            alive *= 1.0 - 1.0 / (n - j)
        if not steps or j + 1 == n or y[j + 1] > y[j]:
            distance = max(distance, abs(f - (1.0 - alive)))
    return distance


@nb.njit(cache=True, nogil=True)
def sum_dwells(t: NDArray[np.float64], ended: NDArray[np.bool_], sums: NDArray[np.float64]) -> None:
    """sums[4] = n, sum ln t, sum t, sum (ln t)^2 of the dwells that ended; one pass."""
    for i in range(t.size):
        if ended[i]:
            y = math.log(t[i])
            sums[0] += 1.0
            sums[1] += y
            sums[2] += t[i]
            sums[3] += y * y


@nb.njit(cache=True, nogil=True)
def group_dwells(
    t: NDArray[np.float64], ended: NDArray[np.bool_], low: float, high: float, nodes: NDArray[np.float64]
) -> None:
    """nodes[m, 3] = mean, number, variance of ln t in even groups from low to high; two powers of ln t in one pass."""
    m = nodes.shape[0]
    scale = m / max(high - low, 1e-12)
    for i in range(t.size):
        if ended[i]:
            y = math.log(t[i])
            j = min(max(int((y - low) * scale), 0), m - 1)
            away = y - low - (j + 0.5) / scale
            nodes[j, 0] += away
            nodes[j, 1] += 1.0
            nodes[j, 2] += away * away
    for j in range(m):
        if nodes[j, 1] > 0.0:
            nodes[j, 0] /= nodes[j, 1]
            nodes[j, 2] = max(nodes[j, 2] / nodes[j, 1] - nodes[j, 0] ** 2, 0.0)
            nodes[j, 0] += low + (j + 0.5) / scale
