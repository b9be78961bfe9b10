"""Change of blinking over a recording: drift of dwell times, of the bright level, memory between dwells."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from photonstats.blinking.dwell import DwellTimes
from photonstats.kernels.flid import middle_ranks
from photonstats.likelihood import Z95
from photonstats.result import Result
from photonstats.traces.intensity import IntensityTrace

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

NAN2 = (math.nan, math.nan)
FEWEST = 10  # dwells, or pairs of them, below which asymptotic intervals say nothing
MOST_PERMUTED = 400  # longer series have a normal rank correlation
N_PERMUTED = 999
PIECES = 20
FEWEST_BINS = 40
FEWEST_FREE = 5
MOST_ROUNDS = 50


@dataclass(frozen=True, repr=False)
class Drift(Result):
    """Relative change with time.

    Parameters
    ----------
    slope, slope_ci : float and pair of float
        Relative change per second and its 95 % interval, 1/s; nan where undetermined.
    p_value : float
        Probability of a slope as far from zero without any drift.
    n : int
        Dwells, or pieces of bright dwells, that it rests on.
    note : str
        Why there is no answer, or what makes it doubtful; mostly empty.
    """

    slope: float
    slope_ci: tuple[float, float]
    p_value: float
    n: int
    note: str = ""

    def summary(self) -> str:
        """Return the slope in % per minute."""
        if math.isnan(self.slope):
            return f"undetermined; {self.note}"
        low, high = (6000.0 * end for end in self.slope_ci)
        return f"{6000.0 * self.slope:+.3g} %/min [{low:.3g}, {high:.3g}], p = {self.p_value:.2g}"


@dataclass(frozen=True, repr=False)
class Memory(Result):
    """Rank correlation of a dwell with a later one.

    Parameters
    ----------
    correlation, correlation_ci : float and pair of float
        Spearman's coefficient and its 95 % interval; nan where undetermined.
    p_value : float
        Share of random orders of the dwells with a coefficient as far from its mean.
    n : int
        Pairs.
    note : str
        Why there is no answer; mostly empty.
    """

    correlation: float
    correlation_ci: tuple[float, float]
    p_value: float
    n: int
    note: str = ""

    def summary(self) -> str:
        """Return the coefficient with its interval."""
        if math.isnan(self.correlation):
            return f"undetermined; {self.note}"
        low, high = self.correlation_ci
        return f"{self.correlation:+.3f} [{low:.3f}, {high:.3f}], p = {self.p_value:.2g}, {self.n} pairs"


def drift_of_dwells(dwells: DwellTimes, on: bool, with_last: bool = True) -> Drift:
    """Return the relative change per second of the rate at which a state is left.

    Notes
    -----
    Cox's regression of the chance to leave on the time at which the dwell began: a dwell of age a that began at t is
    left at the rate ``h(a) exp(slope t)`` with any h. What the end of the recording cut counts as that long at least,
    so that late dwells, which must be short to end in time, do not look like a drift. Equal times by Efron's rule.
    """
    durations, begins, states = dwells.durations, dwells.edges[:-1], dwells.states
    whole = states == on
    whole[:1] = False  # its age at the begin of the recording is not known
    ended = np.ones(states.size, np.bool_)
    ended[-1:] = False
    whole[-1:] &= with_last
    n = int(np.count_nonzero(whole & ended))
    if n < FEWEST:
        return Drift(math.nan, NAN2, math.nan, n, f"{n} dwells began and ended; a drift takes {FEWEST}")
    span = float(dwells.durations.sum())
    z = (begins[whole] - begins[whole].mean()) / span
    slope, error = _cox(durations[whole], ended[whole], z)
    if not (math.isfinite(error) and error > 0):
        return Drift(math.nan, NAN2, math.nan, n, "the dwells do not limit a drift: all are equal, or all began early")
    ends = (slope - Z95 * error) / span, (slope + Z95 * error) / span
    return Drift(slope / span, ends, math.erfc(abs(slope) / error / math.sqrt(2.0)), n)


def _cox(times: Floats, ended: Bools, z: Floats) -> tuple[float, float]:
    """Return the slope of the log hazard with a covariate and its standard error, by the partial likelihood."""
    order = np.lexsort((~ended, times))
    times, ended, z = times[order], ended[order], z[order]
    _, first = np.unique(times, return_index=True)
    deaths = np.add.reduceat(ended.astype(np.int64), first)
    slope = 0.0
    for _ in range(MOST_ROUNDS):
        score, information = _efron(slope, z, ended, first, deaths)
        if not information > 0:
            return math.nan, math.nan
        step = float(np.clip(score / information, -2.0, 2.0))
        slope += step
        if abs(step) < 1e-8:
            break
    information = _efron(slope, z, ended, first, deaths)[1]
    return slope, 1.0 / math.sqrt(information) if information > 0 and abs(slope) < 50.0 else math.nan


def _efron(
    slope: float, z: Floats, ended: Bools, first: NDArray[np.int64], deaths: NDArray[np.int64]
) -> tuple[float, float]:
    """Return score and information of the partial likelihood; ended dwells stand first among equal times."""
    weight = np.exp(slope * z)
    moments = np.stack([weight, weight * z, weight * z * z])
    at_risk = np.cumsum(moments[:, ::-1], axis=1)[:, ::-1][:, first]
    gone = np.add.reduceat(moments * ended, first, axis=1)
    group = np.repeat(np.arange(first.size), deaths)
    rank = np.arange(group.size) - np.repeat(np.cumsum(deaths) - deaths, deaths)
    share = rank / deaths[group]
    s0, s1, s2 = at_risk[:, group] - share * gone[:, group]
    mean = s1 / s0
    return float(z[ended].sum() - mean.sum()), float((s2 / s0 - mean**2).sum())


def drift_of_brightness(dwells: DwellTimes, trace: IntensityTrace, background: float = 0.0) -> Drift:
    """Return the relative change per second of the rate while the emitter is on, of its level in mid-record.

    Notes
    -----
    Bins that lie whole inside of on dwells, the first and last bin of each left out, make pieces of a twentieth of
    them at most. Rate of piece j of dwell i: ``a + b t_ij + u_i + e_ij``; e is counting noise, widened by the scatter
    within dwells where that is larger, u differs from dwell to dwell (grey states) with a variance found by restricted
    likelihood. b is that of least squares with these weights; Student's t with the number of pieces that set it. A
    bright level that wanders within a dwell for longer than a piece is taken for a drift.
    """
    inside = _bright_bins(dwells, trace)
    n = inside.size
    if n < FEWEST_BINS:
        return Drift(math.nan, NAN2, math.nan, n, f"{n} bins lie whole within on dwells; a drift takes {FEWEST_BINS}")
    dwell: NDArray[np.int64] = np.cumsum(np.diff(inside, prepend=inside[0]) > 1, dtype=np.int64)
    # pieces: each dwell in as many equal parts as keep them below a twentieth of all bins
    size = np.bincount(dwell)
    parts = -(-size * PIECES // n)
    place = np.arange(n) - np.repeat(np.cumsum(size) - size, size)
    starts = np.flatnonzero(np.diff(place * parts[dwell] // size[dwell] + dwell * (n + 1), prepend=-1))
    number = np.diff(np.append(starts, n))
    x = np.add.reduceat(trace.time[inside], starts) / number
    y = np.add.reduceat(trace.rate[inside], starts) / number - background
    middle = trace.start + 0.5 * trace.duration
    # counting noise of a piece: its own counts would give faint pieces more weight
    weight = number * trace.bin_width / max(float(trace.rate[inside].mean()), 1e-300)
    slope, error, level, level_error, freedom = _mixed_slope(x - middle, y, weight, dwell[starts])
    if not level > 0:
        return Drift(math.nan, NAN2, math.nan, n, "the bright level is not above the background")
    if not (math.isfinite(error) and error > 0):
        return Drift(math.nan, NAN2, math.nan, n, "the bright bins do not spread in time")
    half = float(special.stdtrit(freedom, 0.975)) * math.hypot(error, slope * level_error / level)
    p = 2.0 * float(special.stdtr(freedom, -abs(slope) / error))
    return Drift(slope / level, ((slope - half) / level, (slope + half) / level), p, int(starts.size))


def _mixed_slope(x: Floats, y: Floats, weight: Floats, dwell: NDArray[np.int64]) -> tuple[float, ...]:
    """Return slope, its error, level at x = 0, its error, and degrees of freedom; values of a group share an offset.

    With w of the noise, s_i its sum over group i and c_i = s_i / (1 + tau s_i) the weight of a group's mean, sums of
    squares within groups (weights w) and between them (weights c) add up.
    """
    first = np.flatnonzero(np.diff(dwell, prepend=-1))
    k = np.diff(np.append(first, x.size))
    s = np.add.reduceat(weight, first)
    mean_x, mean_y = (np.add.reduceat(weight * v, first) / s for v in (x, y))
    dx, dy = x - np.repeat(mean_x, k), y - np.repeat(mean_y, k)
    xx, xy, yy = (float(weight @ (p * q)) for p, q in ((dx, dx), (dx, dy), (dy, dy)))
    free = x.size - first.size - 1
    wide = max((yy - xy * xy / xx) / free, 1.0) if free >= FEWEST_FREE and xx > 0 else 1.0
    s, xx, xy, yy, weight = s / wide, xx / wide, xy / wide, yy / wide, weight / wide
    tau = np.concatenate([[0.0], np.geomspace(1e-4, 1e4, 81) / float(np.median(s))]) if first.size > 2 else np.zeros(1)
    c = s / (1.0 + tau[:, None] * s)
    total = c.sum(axis=1, keepdims=True)
    bx, by = mean_x - c @ mean_x[:, None] / total, mean_y - c @ mean_y[:, None] / total
    sxx, sxy, syy = xx + (c * bx * bx).sum(axis=1), xy + (c * bx * by).sum(axis=1), yy + (c * by * by).sum(axis=1)
    if not np.all(sxx > 0):
        return math.nan, math.nan, float(mean_y.mean()), math.nan, 1.0
    lost = -np.log(c).sum(axis=1) + np.log(total[:, 0]) + np.log(sxx) + syy - sxy * sxy / sxx
    best = int(np.argmin(lost))
    slope = float(sxy[best] / sxx[best])
    level = float((c[best] @ (mean_y - slope * mean_x)) / total[best, 0])
    level_error = math.sqrt(
        1.0 / float(total[best, 0]) + float(c[best] @ mean_x / total[best, 0]) ** 2 / float(sxx[best])
    )
    # each mean of a group, and each further piece of it, is one measurement
    within = np.add.reduceat(weight * dx * dx, first) / sxx[best]
    between = c[best] * bx[best] ** 2 / sxx[best]
    share = float((between**2).sum() + (within**2 / np.maximum(k - 1, 1)).sum())
    return slope, 1.0 / math.sqrt(float(sxx[best])), level, level_error, max(1.2 / share - 2.0, 1.0)


def _bright_bins(dwells: DwellTimes, trace: IntensityTrace) -> NDArray[np.int64]:
    """Return the bins that lie whole inside of an on dwell and do not touch its ends."""
    edges, states = (dwells.edges - trace.start) / trace.bin_width, dwells.states
    n = trace.counts.size
    begin = np.ceil(edges[:-1][states] - 1e-6).astype(np.int64)
    end = np.floor(edges[1:][states] + 1e-6).astype(np.int64)
    begin = np.clip(begin + (begin > 0), 0, n)
    end = np.clip(end - (end < n), 0, n)
    used = end > begin
    steps = np.bincount(begin[used], minlength=n + 1) - np.bincount(end[used], minlength=n + 1)
    return np.flatnonzero(np.cumsum(steps)[:n] > 0)


def memory_of(dwells: DwellTimes, rng: np.random.Generator) -> dict[str, Memory]:
    """Return the rank correlation of dwells with the next of the same state and with the next of the other state."""
    on, off = dwells.on[~dwells.on_censored], dwells.off[~dwells.off_censored]
    first = bool(dwells.states[1]) if dwells.n > 1 else True  # state of the first whole dwell
    after_on = (on, off) if first else (on, off[1:])
    after_off = (off, on[1:]) if first else (off, on)
    return {
        "on_on": _serial(on, rng),
        "off_off": _serial(off, rng),
        "on_off": _paired(*after_on, rng),
        "off_on": _paired(*after_off, rng),
    }


def _undetermined(n: int, times: tuple[Floats, ...]) -> Memory | None:
    if n < FEWEST:
        return Memory(math.nan, NAN2, math.nan, n, f"{n} pairs of whole dwells; a correlation takes {FEWEST}")
    if any(t.size == 0 or t.min() == t.max() for t in times):
        return Memory(math.nan, NAN2, math.nan, n, "all dwells are equal")
    return None


def _serial(times: Floats, rng: np.random.Generator) -> Memory:
    """Return the correlation of each dwell with the next of its state."""
    n = max(times.size - 1, 0)
    none = _undetermined(n, (times[:-1], times[1:]))
    if none is not None:
        return none
    x = _ranks(times)
    value = float(np.corrcoef(x[:-1], x[1:])[0, 1])
    seen = float(x[1:] @ x[:-1])
    if times.size <= MOST_PERMUTED:
        drawn = rng.permuted(np.tile(x, (N_PERMUTED, 1)), axis=1)
        p = _share((drawn[:, 1:] * drawn[:, :-1]).sum(axis=1) + 1.0, seen + 1.0)
    else:  # Wald and Wolfowitz: mean -1, variance n - 1 and less
        p = math.erfc(abs(seen + 1.0) / math.sqrt(2.0 * n))
    # a series has no more freedom than its innovations: its correlation is better known by 1 - r^2
    return Memory(value, _interval(value, n, 1.0 - value * value), p, n)


def _paired(first: Floats, second: Floats, rng: np.random.Generator) -> Memory:
    n = min(first.size, second.size)
    first, second = first[:n], second[:n]
    none = _undetermined(n, (first, second))
    if none is not None:
        return none
    a, b = _ranks(first), _ranks(second)
    value = float(a @ b) / n
    if n <= MOST_PERMUTED:
        p = _share(rng.permuted(np.tile(b, (N_PERMUTED, 1)), axis=1) @ a, value * n)
    else:
        p = math.erfc(abs(value) * math.sqrt((n - 1) / 2.0))
    return Memory(value, _interval(value, n, 1.0), p, n)


def _ranks(times: Floats) -> Floats:
    """Return the ranks, ties sharing their mean, in standard deviations from their mean."""
    each, group = np.unique(np.round(times, 12), return_inverse=True)
    ranks = np.empty(each.size)
    middle_ranks(group.astype(np.int64), np.ones(times.size), ranks)
    found: Floats = ranks[group] - ranks[group].mean()
    return np.asarray(found / found.std(), np.float64)


def _share(drawn: Floats, seen: float) -> float:
    return float((np.count_nonzero(np.abs(drawn) >= abs(seen) - 1e-9) + 1) / (drawn.size + 1))


def _interval(value: float, n: int, narrower: float) -> tuple[float, float]:
    """Return the interval of a rank correlation on Fisher's scale (Bonett and Wright)."""
    r = float(np.clip(value, -0.9999, 0.9999))
    half = Z95 * math.sqrt((1.0 + r * r / 2.0) / (n - 3) / max(narrower, 0.05))
    return math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half)
