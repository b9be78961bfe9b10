"""Likelihood of dwell times: what of them is kept, the maximum for each law, and profile intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from photonstats.kernels import dwells as kernel
from photonstats.likelihood import profile_interval

Floats = NDArray[np.float64]

LAWS = ("power_law", "truncated", "exponential", "stretched", "lognormal")
PARAMETERS = {
    "power_law": ("alpha",),
    "truncated": ("alpha", "cutoff"),
    "exponential": ("time",),
    "stretched": ("time", "beta"),
    "lognormal": ("median", "sigma"),
}
ROUNDING = {"nearest": -0.5, "up": -1.0, "down": 0.0}  # lower edge of the times that become one bin, in bins
FEWEST_DWELLS = 10
EXACT_BINS = 100  # longer dwells count as continuous: their probability changes by 1e-5 of itself within a bin
GROUPS = 600
CUT_GROUPS = 150
LOWEST_ALPHA, HIGHEST_ALPHA = -3.0, 12.0
BOUNDARY = 1e-6  # gain in log-likelihood below which the cutoff lies at infinity


@dataclass(frozen=True, eq=False)
class DwellData:
    """Dwells within [t_min, t_max] as the kernels take them.

    Parameters
    ----------
    times : ndarray of float64, shape (n,)
        Dwells, s, ascending.
    ended : ndarray of bool, shape (n,)
        False where the dwell was cut by an end of the trace.
    ends : ndarray of float64, shape (2,)
        Range in which the laws are normalised, s; edges of bins where binned.
    bin_width, lower : float
        Bin width, s, 0 for continuous times; lower edge of a bin relative to its number.
    sums, nodes, rows : ndarray of float64
        See `photonstats.kernels.dwells.log_likelihood`.
    """

    times: Floats
    ended: NDArray[np.bool_]
    ends: Floats
    bin_width: float
    lower: float
    sums: Floats
    nodes: Floats
    rows: Floats

    @property
    def n(self) -> int:
        """Number of dwells."""
        return int(self.times.size)

    @property
    def arrays(self) -> tuple[Floats, Floats, Floats, Floats]:
        """What every kernel takes last."""
        return self.sums, self.nodes, self.rows, self.ends

    @property
    def compared(self) -> Floats:
        """Ln t at which the distribution is compared: upper edges of bins where binned."""
        if not self.bin_width:
            return np.log(self.times)
        edges: Floats = np.log(np.minimum(self.times + (self.lower + 1.0) * self.bin_width, self.ends[1]))
        return edges


@dataclass(frozen=True)
class LawFit:
    """Parameters p and q of the kernels at the largest log-likelihood."""

    law: int
    p: float
    q: float
    log_likelihood: float

    @property
    def k(self) -> int:
        """Number of parameters."""
        return len(PARAMETERS[LAWS[self.law]])


def gather(
    times: Floats, ended: NDArray[np.bool_], ends: Floats, bin_width: float, lower: float, *, strictly: bool = False
) -> DwellData:
    """Return the dwells inside of `ends` in the form of the kernels; `strictly`: those at t_min itself are left out."""
    inside = (times > ends[0] if strictly else times >= ends[0]) & (times <= ends[1])
    if not inside.all():
        times, ended = times[inside], ended[inside]
    if np.any(times[1:] < times[:-1]):
        # A cut dwell stands before one of the same length that ended, so that a bin is compared after its last end.
        order = np.lexsort((ended, times))
        times, ended = times[order], ended[order]
    sums, nodes = np.zeros(4), np.zeros((GROUPS, 3))
    rows = [np.empty((0, 3))]
    cut, number = _grouped(times[~ended])
    if cut.size:
        rows.append(np.column_stack([cut, np.full(cut.size, ends[1]), number]))
    smooth = ended
    if bin_width:
        short = ended & (times < (EXACT_BINS + 0.5) * bin_width)
        bins, count = np.unique(np.rint(times[short] / bin_width), return_counts=True)
        low = np.maximum((bins + lower) * bin_width, ends[0])
        high = np.minimum((bins + lower + 1.0) * bin_width, ends[1])
        rows.append(np.column_stack([low, high, count]))
        smooth = ended & ~short
    shift = (lower + 0.5) * bin_width
    middle = times + shift if shift else times
    kernel.sum_dwells(middle, smooth, sums)
    if sums[0]:
        spread = math.log(float(times[-1]) + max(shift, 0.0)) - math.log(float(times[0]))
        start = math.log(float(times[0])) if not shift else math.log(float(times[0]) * 0.5)
        kernel.group_dwells(middle, smooth, start, start + spread + 1e-9 + (0.7 if shift else 0.0), nodes)
        nodes = nodes[nodes[:, 1] > 0]
    else:
        nodes = np.empty((0, 3))
    return DwellData(times, ended, ends, bin_width, lower, sums, nodes, np.ascontiguousarray(np.concatenate(rows)))


def _grouped(cut: Floats) -> tuple[Floats, Floats]:
    """Return cut dwells and their numbers; many are joined at their mean ln t in stretches too short to matter."""
    if cut.size <= CUT_GROUPS:
        return cut, np.ones(cut.size)
    y = np.log(cut)
    group = np.floor((y - y[0]) / max(float(y[-1] - y[0]), 1e-12) * CUT_GROUPS * (1.0 - 1e-12)).astype(np.int64)
    number: Floats = np.bincount(group).astype(np.float64)
    filled = number > 0
    mean: Floats = np.bincount(group, y)[filled] / number[filled]
    return np.exp(mean), number[filled]


def bounds_of(data: DwellData, law: int) -> Floats:
    """Return the range of p and q, shape (2, 2)."""
    low, high = math.log(data.ends[0]), math.log(data.times[-1])
    none = (-1.0, 1.0)
    if law == kernel.POWER:
        return np.array([(1.0 + 1e-6 if math.isinf(data.ends[1]) else LOWEST_ALPHA, HIGHEST_ALPHA), none])
    if law == kernel.TRUNCATED:
        return np.array([(LOWEST_ALPHA, HIGHEST_ALPHA), (-high - 21.0, 5.7 - low)])
    if law == kernel.EXPONENTIAL:
        return np.array([(low - 5.0, high + 25.0), none])
    widths = (-4.0, 3.0) if law == kernel.STRETCHED else (-4.0, 3.5)
    return np.array([(low - 60.0, high + 20.0), widths])


def fit_law(data: DwellData, law: int, start: LawFit | None = None) -> LawFit:
    """Return the most likely parameters of a law; `start` spares the search by a grid."""
    found, bounds = np.empty(3), bounds_of(data, law)
    free = np.array([True, len(PARAMETERS[LAWS[law]]) == 2])
    if start is None:
        first, second = _grid(data, law)
        kernel.best_of_grid(law, first, second, *data.arrays, found)
        begin = found[:2].copy()
    else:
        begin = np.array([start.p, start.q])
    kernel.maximise(law, begin, free, bounds, *data.arrays, found)
    return LawFit(law, float(found[0]), float(found[1]), float(found[2]))


def _grid(data: DwellData, law: int) -> tuple[Floats, Floats]:
    low, high = math.log(data.ends[0]), math.log(data.times[-1])
    excess = max(float(data.times.mean()) - data.ends[0], 1e-3 * data.ends[0])
    if law == kernel.POWER:
        return np.array([1.2, 1.5, 2.0, 3.0, 5.0]), np.zeros(1)
    if law == kernel.TRUNCATED:
        rates = np.linspace(math.log(0.03) - high, math.log(4.0 / excess), 9)
        return np.array([-0.5, 0.3, 0.9, 1.3, 1.7, 2.3, 3.5]), rates
    if law == kernel.EXPONENTIAL:
        return np.log(excess) + np.array([-0.5, 0.0, 0.5]), np.zeros(1)
    middle = float(np.mean(np.log(data.times)))
    places = np.concatenate([[low - 20.0, low - 8.0], np.linspace(low - 2.0, min(high, middle + 3.0), 6)])
    return places, np.log([0.15, 0.3, 0.6, 1.0, 2.0, 4.0])


def alpha_interval(data: DwellData, fit: LawFit) -> tuple[float, float]:
    """Return the 95 % profile-likelihood interval of p."""
    return _interval(data, fit, 0, tuple(bounds_of(data, fit.law)[0].tolist()))


def second_interval(data: DwellData, fit: LawFit) -> tuple[float, float]:
    """Return the 95 % profile-likelihood interval of q."""
    return _interval(data, fit, 1, tuple(bounds_of(data, fit.law)[1].tolist()))


def _interval(data: DwellData, fit: LawFit, which: int, limits: tuple[float, float]) -> tuple[float, float]:
    bounds, found = bounds_of(data, fit.law), np.empty(3)
    best = np.array([fit.p, fit.q])
    free = np.array([which == 1, which == 0 and fit.k == 2])

    def profile(value: float) -> float:
        begin = best.copy()
        begin[which] = value
        kernel.maximise(fit.law, begin, free, bounds, *data.arrays, found)
        return float(2.0 * (fit.log_likelihood - found[2]))

    error = 0.1
    up, down = profile(best[which] + 0.02), profile(best[which] - 0.02)
    curvature = (up + down) / 0.02**2
    if math.isfinite(curvature) and curvature > 0:
        error = min(math.sqrt(2.0 / curvature), 2.0)
    return profile_interval(profile, float(best[which]), error, limits)


def cutoff_interval(data: DwellData, plain: LawFit, fit: LawFit, p_truncated: float) -> tuple[float, float]:
    """Return the 95 % interval of the cutoff, s; its upper end is inf where a plain law is not rejected at 2.5 %."""
    limits = bounds_of(data, fit.law)[1]
    if fit.log_likelihood - plain.log_likelihood < BOUNDARY:
        # The likelihood falls from k = 0 on; the bound is where it has fallen far enough.
        fit = LawFit(fit.law, plain.p, float(limits[0]), plain.log_likelihood)
        low, high = _from_boundary(data, fit, limits)
    else:
        low, high = _interval(data, fit, 1, (float(limits[0]), float(limits[1])))
        if p_truncated > 0.025:
            low = -math.inf
    return math.exp(-high), math.inf if low <= limits[0] else math.exp(-low)


def _from_boundary(data: DwellData, fit: LawFit, limits: Floats) -> tuple[float, float]:
    low, high = float(limits[0]), float(limits[1])
    found, free, bounds = np.empty(3), np.array([True, False]), bounds_of(data, fit.law)
    for _ in range(60):
        middle = 0.5 * (low + high)
        kernel.maximise(fit.law, np.array([fit.p, middle]), free, bounds, *data.arrays, found)
        if 2.0 * (fit.log_likelihood - found[2]) > 3.841459:
            high = middle
        else:
            low = middle
        if high - low < 1e-3:
            break
    return -math.inf, high


def table_of(fit: LawFit, ends: Floats, size: int = 400) -> Floats:
    """Return the law as a table of ln t, distribution function and slope, up to where 1e-19 is left."""
    low = math.log(ends[0])
    table = np.empty((size, 3))
    kernel.fill_table(fit.law, fit.p, fit.q, low, min(_top(fit, low), math.log(ends[1])), table)
    return table


def _top(fit: LawFit, low: float) -> float:
    """Return ln t beyond which nothing is left of a law."""
    p, q = fit.p, fit.q
    if fit.law == kernel.POWER:
        top = low + 21.0 / max(p - 1.0, 0.03)
    elif fit.law == kernel.TRUNCATED:
        top = math.log(math.exp(low) + (45.0 + 10.0 * max(1.0 - p, 0.0)) * math.exp(-q))
    elif fit.law == kernel.EXPONENTIAL:
        top = math.log(math.exp(low) + 45.0 * math.exp(p))
    elif fit.law == kernel.STRETCHED:
        top = p + math.log(math.exp(min(math.exp(q) * (low - p), 600.0)) + 45.0) * math.exp(-q)
    else:
        width = math.exp(q)
        top = p + width * math.sqrt(max((low - p) / width, 0.0) ** 2 + 90.0)
    return min(max(top, low + 1e-3), low + 600.0, 650.0)
