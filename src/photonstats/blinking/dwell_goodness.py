"""Goodness of fit of dwell-time laws: Kolmogorov-Smirnov distance, its bootstrap, and the shortest dwell to fit."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from photonstats.blinking.dwell_likelihood import BOUNDARY, DwellData, Floats, LawFit, fit_law, gather, table_of
from photonstats.kernels import dwells as kernel

MOST_CANDIDATES = 40
FEWEST_LEFT, FEWEST_OF_FEW = 50, 10  # dwells that are longer than t_min


def distance(data: DwellData, fit: LawFit) -> float:
    """Return the Kolmogorov-Smirnov distance between a law and the Kaplan-Meier distribution."""
    return float(kernel.ks_distance(data.compared, data.ended, bool(data.bin_width), table_of(fit, data.ends)))


def bootstrap(
    data: DwellData, fit: LawFit, n: int, rng: np.random.Generator, *, ratios: bool = False
) -> tuple[Floats, Floats]:
    """Return of n sets of dwells, drawn from a law, cut and binned alike and fitted anew, the distances and the ratios.

    The ratio is twice the gain in log-likelihood by a cutoff; only if `ratios` is set, else nan.
    """
    table, limits = table_of(fit, data.ends), _cutting(data)
    far, gain = np.full(n, math.nan), np.full(n, math.nan)
    for i in range(n):
        drawn = draw(data, table, limits, rng)
        if np.count_nonzero(drawn.ended) < 2:
            continue
        again = fit_law(drawn, fit.law, fit)
        far[i] = distance(drawn, again)
        if ratios:
            cut = fit_law(drawn, kernel.TRUNCATED)
            gain[i] = max(2.0 * (cut.log_likelihood - again.log_likelihood), 0.0)
    return far[np.isfinite(far)], gain[np.isfinite(gain)]


def cutoff_p_value(data: DwellData, plain: LawFit, ratio: float) -> float:
    """Return the probability that a plain power law brings a likelihood ratio as large for a cutoff, without bootstrap.

    Notes
    -----
    0.6 of chi-square's where at least ten dwells reach the last decade before t_max: half of it, which holds for very
    many dwells, calls 5.8 % of plain laws truncated at 5 % (100 to 10 000 dwells, t_max of 1 to 100 s). Else the
    longest dwell, not t_max, ends the data; for alpha < 2 the mean is then set by few dwells, the score at 1/t_c = 0 is
    no normal variable, and the ratio is larger: 1000 simulated sets each at alpha from 1.1 to 3 are held by 1 to 2.5
    times the whole of chi-square's.
    """
    if ratio <= 2.0 * BOUNDARY:
        return 1.0
    whole = math.erfc(math.sqrt(0.5 * ratio))
    t_min, t_max = data.ends.tolist()
    low = max(0.1 * t_max, t_min)
    if math.isfinite(t_max):
        inside = kernel.log_mass(plain.law, plain.p, 0.0, low, t_max) - kernel.log_mass(
            plain.law, plain.p, 0.0, t_min, t_max
        )
        if data.n * math.exp(inside) >= 10.0:
            return 0.6 * whole
    return min(1.0, whole * (1.0 + max(2.0 - plain.p, 0.0) ** 2 * 1.6))


def draw(data: DwellData, table: Floats, limits: tuple[Floats, Floats] | None, rng: np.random.Generator) -> DwellData:
    """Return as many dwells of a law, cut and binned like the data."""
    n = data.n
    gaps = np.cumsum(rng.standard_exponential(n + 1))
    y = np.empty(n)
    kernel.draw_sorted(gaps[:-1] / gaps[-1], table, y)
    times, ended = np.exp(y), np.ones(n, np.bool_)
    if limits is not None:
        at, share = limits
        cut = np.append(at, np.inf)[np.searchsorted(share, rng.random(n))]
        ended = times <= cut
        times = np.minimum(times, cut)
        order = np.argsort(times)
        times, ended = times[order], ended[order]
    ends = data.ends
    if data.bin_width:
        # x becomes bin m where m + lower <= x < m + lower + 1; the cut dwells are whole bins already
        bins = np.floor(times / data.bin_width - data.lower + 1e-9)
        times = np.where(ended, bins * data.bin_width, times)
        return gather(times, ended, ends, data.bin_width, data.lower)
    return gather(np.clip(times, ends[0], ends[1]), ended, ends, 0.0, 0.0)


def _cutting(data: DwellData) -> tuple[Floats, Floats] | None:
    """Return the times at which dwells are cut and their distribution, by Kaplan and Meier with the roles exchanged."""
    if data.ended.all():
        return None
    at_risk = np.arange(data.n, 0, -1)
    alive: Floats = np.cumprod(np.where(data.ended, 1.0, 1.0 - 1.0 / at_risk)).astype(np.float64)
    cut = ~data.ended
    return data.times[cut], 1.0 - alive[cut]


def shortest_dwell(
    times: Floats, ended: NDArray[np.bool_], t_max: float, bin_width: float, lower: float, law: int
) -> tuple[float, bool]:
    """Return the t_min at which the law comes nearest to the ascending dwells above it, and whether it is a dwell.

    Clauset, Shalizi, Newman, SIAM Rev. 51, 661 (2009), section 3.3.
    """
    if bin_width:
        candidates = np.unique(times)
    else:
        places = np.geomspace(times[0], times[-1], 3 * MOST_CANDIDATES)
        at = np.minimum(np.searchsorted(times, places * (1 - 1e-12)), times.size - 1)
        candidates = np.unique(times[at])
    left = np.array([np.count_nonzero(ended & (times > t)) for t in candidates])
    # of few dwells half may be left out: no law fits across the gap below the shortest dwell of the emitter
    usable = candidates[left >= min(FEWEST_LEFT, max(np.count_nonzero(ended) // 2, FEWEST_OF_FEW))]
    if usable.size < 2:
        return float(candidates[0]), not bin_width
    usable = usable[np.unique(np.linspace(0, usable.size - 1, MOST_CANDIDATES).astype(int))]
    best, nearest, start = float(usable[0]), math.inf, None
    for candidate in usable.tolist():
        low = candidate + lower * bin_width
        if low <= 0:
            continue
        data = gather(times, ended, np.array([low, t_max]), bin_width, lower, strictly=not bin_width)
        start = fit_law(data, law, start)
        far = distance(data, start)
        if far < nearest:
            best, nearest = candidate, far
    return best, not bin_width
