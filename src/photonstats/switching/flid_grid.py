"""The plane of intensity and lifetime: edges of cells, time in each cell, smooth density, contours."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MOST_CELLS, FEWEST_CELLS = 60, 20
FINE = 256  # steps of the grid of the density along each axis
MARGIN = 3.0  # bandwidths of the density around the outermost bins
GROUPS = 8  # of bins by the error of their lifetime, each with kernels of its own


def intensity_edges(intensity: Floats, weight: Floats, background: float) -> Floats:
    """Return edges of cells from the dimmest to the brightest of the bins, Hz.

    Bins of one length can only have whole numbers of photons: cells are then as wide as a whole number of photons and
    end between two, or stripes would appear.
    """
    n = _cells(intensity.size)
    low, high = (float(intensity.min()), float(intensity.max())) if intensity.size else (0.0, 1.0)
    if intensity.size and np.ptp(weight) <= 1e-9 * weight.max():
        length = float(weight[0])
        first, last = round((low + background) * length), round((high + background) * length)
        step = max(1, math.ceil((last - first + 1) / n))
        count = math.ceil((last - first + 1) / step)
        return np.asarray((first - 0.5 + step * np.arange(count + 1)) / length - background)
    low = min(low, 0.0)
    return np.linspace(low, high + 1e-3 * max(high - low, 1e-9), n + 1)


def lifetime_edges(lifetime: Floats, weight: Floats) -> Floats:
    """Return edges of cells from 0 to beyond 99 % of the time, s."""
    known = np.isfinite(lifetime)
    if not known.any():
        return np.linspace(0.0, 1e-9, _cells(0) + 1)
    values, weights = lifetime[known], weight[known]
    order = np.argsort(values)
    reached = np.searchsorted(np.cumsum(weights[order]), 0.99 * weights.sum())
    top = float(values[order][min(int(reached), values.size - 1)])
    return np.linspace(0.0, 1.15 * max(top, 1e-15), _cells(values.size) + 1)


def _cells(n_bins: int) -> int:
    return int(np.clip(2.0 * math.sqrt(n_bins), FEWEST_CELLS, MOST_CELLS))


def check_cells(edges: Floats, name: str) -> Floats:
    """Return edges given by a user."""
    found = np.asarray(edges, dtype=np.float64)
    if found.ndim != 1 or found.size < 2 or not np.all(np.isfinite(found)) or np.any(np.diff(found) <= 0):
        raise ValueError(f"{name} must be at least two rising numbers, its shape is {found.shape}")
    return found


def time_in_cells(intensity: Floats, lifetime: Floats, weight: Floats, x: Floats, y: Floats) -> Floats:
    """Return the time in each cell, s, float64[len(x) - 1, len(y) - 1]; bins outside do not count."""
    known = np.isfinite(lifetime)
    return np.asarray(np.histogram2d(intensity[known], lifetime[known], bins=(x, y), weights=weight[known])[0])


def scott_bandwidth(values: Floats, weight: Floats) -> float:
    """Return Scott's bandwidth for two dimensions, by the effective number of bins."""
    total = float(weight.sum())
    mean = float(weight @ values) / total
    spread = math.sqrt(max(float(weight @ (values - mean) ** 2) / total, 0.0))
    return float(spread * (total * total / float(weight @ weight)) ** (-1.0 / 6.0))


def smooth_density(
    at: tuple[Floats, Floats], weight: Floats, widths: Floats, group: NDArray[np.int64], top: float
) -> tuple[Floats, Floats, Floats]:
    """Return intensity, lifetime and the density of time by Gaussian kernels, normalised to 1 over the plane.

    group[n]: which of the widths[g, 2] each bin has. Kernels reflect at lifetime 0, below which there is none. `top`:
    largest lifetime.
    """
    from scipy.ndimage import gaussian_filter

    widest = widths.max(axis=0)
    x = np.linspace(at[0].min() - MARGIN * widest[0], at[0].max() + MARGIN * widest[0], FINE + 1)
    y = np.linspace(0.0, top + MARGIN * widest[1], FINE + 1)
    steps = x[1] - x[0], y[1] - y[0]
    total = np.zeros((FINE, FINE))
    for g, width in enumerate(widths):
        mine = group == g
        cells = np.histogram2d(at[0][mine], at[1][mine], bins=(x, y), weights=weight[mine])[0]
        total += gaussian_filter(cells, width / steps, mode=("constant", "reflect"))
    total /= max(float(weight.sum() * steps[0] * steps[1]), 1e-300)
    return 0.5 * (x[1:] + x[:-1]), 0.5 * (y[1:] + y[:-1]), total


def kernel_widths(
    at: tuple[Floats, Floats], weight: Floats, errors: tuple[Floats, Floats]
) -> tuple[Floats, NDArray[np.int64]]:
    """Return widths[g, 2] of the kernels and the group of each bin: Scott's, at most half of the error of a bin.

    Scott's rule takes the whole spread, which would blur two levels into one; what is finer than the errors of the
    bins is noise. Errors differ along the plane, so that bins are grouped by that of their lifetime; half of it widens
    a level by an eighth.
    """
    limits = np.quantile(errors[1], np.arange(1, GROUPS) / GROUPS)
    _, group = np.unique(np.searchsorted(limits, errors[1]), return_inverse=True)
    widths = np.empty((int(group.max()) + 1, 2))
    for k in range(2):
        least = 1e-3 * float(np.abs(at[k]).max(initial=0.0)) + 1e-300
        scott = scott_bandwidth(at[k], weight)
        for g in range(len(widths)):
            widths[g, k] = max(min(scott, 0.5 * float(np.median(errors[k][group == g]))), least)
    return widths, group.astype(np.int64)


def contour_levels(density: Floats, shares: tuple[float, ...]) -> Floats:
    """Return the heights above which lie these shares of the density, rising."""
    heights = np.sort(density.ravel())[::-1]
    reached = np.cumsum(heights)
    at = np.searchsorted(reached, np.array(sorted(shares, reverse=True)) * reached[-1])
    return np.asarray(heights[np.minimum(at, heights.size - 1)], np.float64)
