"""Least squares on histograms of dwell times, as older papers have it; only to reproduce them."""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from photonstats.blinking.dwell_likelihood import DwellData, Floats

BINS_PER_DECADE = 10
FEWEST_POINTS = 4


def fit_histogram(
    data: DwellData, model: str, method: str
) -> tuple[dict[str, float], dict[str, tuple[float, float]], str]:
    """Return alpha (and the cutoff) of a straight line through ln density, with the intervals that papers give.

    Notes
    -----
    ``ln P = c - alpha ln t - t/t_c`` by unweighted least squares; intervals from the scatter by Student's t. The
    points scatter unevenly and empty bins are left out, so that neither estimate nor interval can be trusted.
    """
    t, density = histogram_density(data, method)
    columns = [np.ones(t.size), -np.log(t)] + ([-t] if model == "truncated" else [])
    design = np.column_stack(columns)
    names = ("alpha", "cutoff")[: design.shape[1] - 1]
    free = t.size - design.shape[1]
    if t.size < FEWEST_POINTS or free < 1:
        nan = dict.fromkeys(names, math.nan)
        return nan, dict.fromkeys(names, (math.nan, math.nan)), f"{t.size} filled bins are too few for a line"
    scale = np.abs(design).max(axis=0)
    solution, *_ = np.linalg.lstsq(design / scale, np.log(density), rcond=None)
    rest = np.log(density) - design / scale @ solution
    covariance = np.linalg.pinv((design / scale).T @ (design / scale)) * float(rest @ rest) / free
    student = float(special.stdtrit(free, 0.975))
    values, errors = solution / scale, np.sqrt(np.diag(covariance)) / scale
    low, high = values - student * errors, values + student * errors
    found, intervals = {"alpha": float(values[1])}, {"alpha": (float(low[1]), float(high[1]))}
    note = ""
    if model == "truncated":
        found["cutoff"] = 1.0 / float(values[2]) if values[2] > 0 else math.nan
        slowest = 1.0 / float(low[2]) if low[2] > 0 else math.inf
        intervals["cutoff"] = (1.0 / float(high[2]) if high[2] > 0 else math.inf, slowest)
        if not values[2] > 0:
            note = "the line bends upward: there is no cutoff in this histogram"
    return found, intervals, note


def histogram_density(data: DwellData, method: str) -> tuple[Floats, Floats]:
    """Return times (s) and densities (1/s) of the dwells that ended: log bins, or each length with its neighbours' gap.

    References
    ----------
    Kuno, Fromm, Hamann, Gallagher, Nesbitt, J. Chem. Phys. 115, 1028 (2001), section III: the weight of a length is
    the mean distance to the next shorter and the next longer length seen.
    """
    times = data.times[data.ended]
    if method == "weighted":
        values, number = np.unique(times, return_counts=True)
        if values.size < 3:
            return values, number.astype(np.float64)
        gaps = np.diff(values)
        around = 0.5 * (np.concatenate([gaps[:1], gaps]) + np.concatenate([gaps, gaps[-1:]]))
        return values, number / (around * times.size)
    low, high = float(times[0]), float(times[-1])
    if data.bin_width:
        # edges halfway between whole bins, so that each log bin holds at least one of them
        edges = np.geomspace(low, high + data.bin_width, _n_bins(low, high) + 1)
        edges = np.unique(np.floor(edges / data.bin_width + 1e-9)) * data.bin_width - 0.5 * data.bin_width
    else:
        edges = np.geomspace(low, high * (1.0 + 1e-9), _n_bins(low, high) + 1)
    number, _ = np.histogram(times, edges)
    filled = number > 0
    density = number / (np.diff(edges) * times.size)
    centre = np.sqrt(edges[1:] * edges[:-1])
    return centre[filled], density[filled]


def _n_bins(low: float, high: float) -> int:
    return max(int(BINS_PER_DECADE * math.log10(max(high / low, 1.0 + 1e-9))), FEWEST_POINTS)
