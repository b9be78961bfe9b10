"""The plane of intensity and lifetime: edges of cells, time in each cell, smooth density, contours."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Floats = NDArray[np.float64]

MOST_CELLS, FEWEST_CELLS = 60, 20
FINE = 256  # steps of the grid of the density along each axis
MARGIN = 3.0  # bandwidths of the density around the outermost bins


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


def bandwidth(values: Floats, weight: Floats, errors: Floats) -> float:
    """Return Scott's bandwidth for two dimensions, at most half of the median error of a bin.

    Scott's rule takes the whole spread, which would blur two levels into one; what is finer than the errors of the
    bins is noise. Both stay below the errors, so that smoothing widens a level by an eighth at most.
    """
    total = weight.sum()
    mean = (weight @ values) / total
    spread = math.sqrt(max(float(weight @ (values - mean) ** 2 / total), 0.0))
    effective = total * total / float(weight @ weight)
    limit = 0.5 * float(np.median(errors[np.isfinite(errors)])) if np.isfinite(errors).any() else math.inf
    return max(min(spread * effective ** (-1.0 / 6.0), limit), 1e-3 * float(np.abs(values).max(initial=0.0)), 1e-300)


def smooth_density(
    at: tuple[Floats, Floats], weight: Floats, widths: tuple[float, float], reach: tuple[float, float]
) -> tuple[Floats, Floats, Floats]:
    """Return x, y and the density of time by Gaussian kernels of these widths, normalised to 1 over the plane.

    Kernels reflect at lifetime 0, below which there is none. `reach`: largest intensity and lifetime.
    """
    axes = []
    for k, values in enumerate(at):
        low = 0.0 if k == 1 else float(values.min()) - MARGIN * widths[k]
        axes.append(np.linspace(low, max(reach[k] + MARGIN * widths[k], low + 8.0 * widths[k]), FINE + 1))
    cells = np.histogram2d(*at, bins=axes, weights=weight)[0]
    steps = [float(edges[1] - edges[0]) for edges in axes]
    sigma = [w / step for w, step in zip(widths, steps, strict=True)]
    smooth = gaussian_filter(cells, sigma, mode=("constant", "reflect"))
    density = smooth / max(float(weight.sum()) * steps[0] * steps[1], 1e-300)
    return 0.5 * (axes[0][1:] + axes[0][:-1]), 0.5 * (axes[1][1:] + axes[1][:-1]), density


def contour_levels(density: Floats, shares: tuple[float, ...]) -> Floats:
    """Return the heights above which lie these shares of the density, rising."""
    heights = np.sort(density.ravel())[::-1]
    reached = np.cumsum(heights)
    at = np.searchsorted(reached, np.array(sorted(shares, reverse=True)) * reached[-1])
    return heights[np.minimum(at, heights.size - 1)]
