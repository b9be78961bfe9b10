"""Counting statistics of afterpulses: the part of the light, the excess over it, its decay, and the dead time."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from photonstats.likelihood import Z95, covering_error, poisson_interval

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

STRAIGHT = 0.75  # share of intervals that must outlast the longer lags for a straight trend
SEEN = 4.0  # standard errors of an excess whose decay can be fitted


def scaled(own: Ints, other: Ints, n: int) -> tuple[Floats, float, Floats]:
    """Return what the reference makes of each bin, the worth of one of its photons, and shared errors float64[1, n]."""
    n_far, m_far = float(own[n:].sum()), float(other[n:].sum())
    if n_far == 0 or m_far == 0:
        return np.full(n, math.nan), 0.0, np.zeros((1, n))
    scale = n_far / m_far
    light: Floats = scale * other[:n].astype(np.float64)
    return light, scale, light[None, :] * math.sqrt(1.0 / n_far + 1.0 / m_far)


def level(own: Floats, waiting: Floats, n: int, m: int) -> tuple[Floats, float, Floats]:
    """Return the level of longer lags carried on to the window, no scatter of each bin, shared errors float64[m, n].

    Where the light blinks, bright stretches end their intervals soon, and the rate of the others falls with the lag: a
    log-linear trend by Poisson likelihood, on whole laser periods; a log-parabola where so many intervals have ended
    that the fall bends.
    """
    far, risk = own[n:].reshape(-1, m), waiting[n:].reshape(-1, m)
    if far.sum() == 0:
        return np.full(n, math.nan), 0.0, np.zeros((1, n))
    x = np.arange(own.size, dtype=np.float64) / own.size
    trend, spread = _trend(far.sum(axis=1), risk.mean(axis=1), x[n:].reshape(-1, m).mean(axis=1), x)
    weight = waiting * np.exp(trend)
    counts = far.sum(axis=0)  # its columns are the phases from bin n on
    rate = counts / weight[n:].reshape(-1, m).sum(axis=0)
    phase = (np.arange(n) - n) % m
    light = weight[:n] * rate[phase]
    each = np.zeros((m, n))
    each[phase, np.arange(n)] = light / np.sqrt(np.maximum(counts, 1.0))[phase]
    return light, 0.0, np.concatenate([each, light * spread[:, :n]])


def _trend(counts: Floats, risk: Floats, x: Floats, at: Floats) -> tuple[Floats, Floats]:
    """Return the trend of ln(counts / risk) over x at other places, and its errors float64[degree, size of at].

    The errors are independent of each other and of the level; the squares add up to the variance.
    """
    used = risk > 0
    counts, risk, x = counts[used], risk[used], x[used]
    if counts.sum() < 50 or x.size < 3:
        return np.zeros(at.size), np.zeros((0, at.size))
    bent = risk[-1] < STRAIGHT * risk[0] and counts.sum() > 1000 and x.size > 3
    powers = np.array([[1.0], [2.0]])[: 2 if bent else 1]
    shape = (x - x.mean()) ** powers
    slopes = np.zeros(len(powers))
    for _ in range(30):
        weight = risk * np.exp(slopes @ shape)
        model = weight * counts.sum() / weight.sum()
        away = shape - (shape @ model / model.sum())[:, None]  # by which the level stays what it is
        information = (away * model) @ away.T
        step = np.linalg.solve(information, away @ (counts - model))
        slopes += step
        if np.all(np.abs(step) < 1e-9):
            break
    middle = (shape @ model / model.sum())[:, None]
    asked = (at - x.mean()) ** powers - middle
    return slopes @ asked, np.linalg.cholesky(np.linalg.inv(information)).T @ asked


def probability(
    pairs: Ints, light: Floats, scale: float, shared: Floats, waiting: Floats, known: NDArray[np.bool_]
) -> tuple[float, float, Floats, str]:
    """Return probability, error, 95 % interval, and why there is none."""
    known = known & (waiting > 0)
    if not known.any():
        why = "no pairs at longer lags to tell what the light makes: a longer recording or window"
        return math.nan, math.nan, np.array([0.0, 1.0]), why
    n, risk = pairs[known], waiting[known]
    total = float(np.sum((n - light[known]) / risk))
    mean = float(risk.mean())
    # half a photon of the reference stands for the chance of one where there is none
    rest = float(np.sum(scale * light[known] / risk**2)) + 0.5 * (scale / mean) ** 2
    rest += float(np.sum((shared[:, known] / risk).sum(axis=1) ** 2))
    count = int(n.sum())
    low, high = (poisson_interval(count) - count) / mean
    more = Z95 * math.sqrt(rest)
    # fewer pairs than the light makes say no more than as many
    interval = np.maximum([total - math.hypot(low, more), max(total, 0.0) + math.hypot(high, more)], 0.0)
    error = covering_error(math.sqrt((count + 0.5) / mean**2 + rest), np.array([total + low, total + high]))
    return -math.expm1(-total), error * math.exp(-total), -np.expm1(-interval), ""


def decay_time(
    pairs: Ints,
    light: Floats,
    scale: float,
    shared: Floats,
    waiting: Floats,
    known: NDArray[np.bool_],
    edges: Floats,
    first: float,
    found: tuple[float, float],
) -> tuple[tuple[float, float, Floats], str]:
    """Return the decay constant (ticks) with error and interval, and why there is none.

    Poisson likelihood of `light + R p (exp(-lo/t) - exp(-hi/t))`. Photons of the reference are few in a bin: the light
    of each bin is then the one that is most likely from both detectors (a quadratic equation).
    """
    nothing = (math.nan, math.nan, np.array([math.nan, math.nan]))
    if not found[0] > SEEN * found[1]:
        return nothing, "too few afterpulses to fit their decay"
    use = known & (edges[1:] > first)
    n, base, risk = pairs[use], np.maximum(light[use], 1e-9), waiting[use]
    low = np.maximum(edges[:-1][use] - first, 0.0)
    high = edges[1:][use] - first

    def parts(ln: Floats) -> tuple[Floats, Floats, Floats]:
        size, t = np.exp(ln)
        soon, late = np.exp(-low / t), np.exp(-high / t)
        rise = size * risk * (soon - late)
        fit = base
        if scale > 0:
            k, m = 1.0 + 1.0 / scale, base / scale
            middle = n + m - k * rise
            fit = (middle + np.sqrt(middle**2 + 4.0 * k * m * rise)) / (2.0 * k)
        return rise, np.maximum(fit, 1e-12), np.stack([rise, size * risk * (soon * low - late * high) / t])

    def misfit(ln: Floats) -> float:
        rise, fit, _ = parts(ln)
        value = float(np.sum(rise + fit - special.xlogy(n, rise + fit)))
        return value if scale == 0 else value + float(np.sum(fit - special.xlogy(base, fit))) / scale

    window = float(edges[-1] - first)
    limits = [(math.log(found[0]) - 5.0, math.log(found[0]) + 5.0), (math.log(edges[1] / 20), math.log(window * 2))]
    starts = [np.array([math.log(found[0]), math.log(window / q)]) for q in (3.0, 10.0, 30.0)]
    best = min((optimize.minimize(misfit, s, method="Nelder-Mead", bounds=limits) for s in starts), key=lambda r: r.fun)
    if not limits[1][0] + 0.1 < best.x[1] < math.log(window / 1.5):
        return nothing, "the decay of the afterpulses is shorter than a bin or as long as the window"
    rise, fit, slopes = parts(best.x)
    scores = slopes / (rise + fit * (1.0 + scale))
    inverse = np.linalg.pinv(scores @ slopes.T)
    along = inverse @ scores @ shared[:, use].T
    covariance = inverse + along @ along.T
    error = math.sqrt(covariance[1, 1])
    t = math.exp(best.x[1])
    return (t, t * error, t * np.exp(np.array([-Z95, Z95]) * error)), ""


def dead_time(shortest: Floats, unit: float) -> tuple[float, Floats]:
    """Return the dead time and its interval, s, from the shortest intervals (ticks)."""
    seen = shortest[np.isfinite(shortest)]
    if seen.size == 0:
        return math.nan, np.array([0.0, math.inf])
    first, last, n = float(seen[0]), float(seen[-1]), seen.size
    if n < 3:
        return math.nan, np.array([0.0, (first + 1.0) * unit])
    # Of n - 1 intervals up to the longest of them, the first lies within this part of the way, or of its square.
    share = math.sqrt(1.0 - 0.05 ** (1.0 / (n - 1)))
    low = (first - share * last) / (1.0 - share) - 1.0
    best = first - (last - first) / (n - 1)
    return max(best, 0.0) * unit, np.array([max(low, 0.0), first + 1.0]) * unit
