"""Delay between two detectors (cables): from their decays, and from where the missing or extra pairs lie."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import fft, special

FAMILY_LEVEL = 0.01
NEIGHBOURS = 4
BY_CHANCE = 10.0  # a chi-square of four or fewer degrees of freedom seldom exceeds it
LONGEST_DELAY = 1e-3

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def check_delay(delay: float) -> None:
    """Refuse a delay that is no time, or longer than any cable: it was meant in other units than seconds."""
    if not (math.isfinite(delay) and abs(delay) <= LONGEST_DELAY):
        raise ValueError(f"delay={delay!r}: must be a time in seconds, at most {LONGEST_DELAY:g} s either way")


def delay_of_pair(
    delay: float | Mapping[int, float] | str, group: Sequence[int], pair: tuple[int, int]
) -> float | Literal["auto"]:
    """Return the delay of b after a of one pair, s, from the argument `delay`; a mapping counts from the first."""
    if isinstance(delay, str):
        if delay != "auto":
            raise ValueError(f'delay={delay!r}: give seconds (positive: b later than a) or "auto"')
        return "auto"
    if not isinstance(delay, Mapping):
        check_delay(delay)
        return float(delay)
    each = {group[0]: 0.0, **{int(d): float(t) for d, t in delay.items()}}
    missing = [d for d in pair if d not in each]
    if missing:
        raise ValueError(
            f"delay={dict(delay)!r} has no time for detector {missing[0]}: give how much later each of {tuple(group)} "
            f"is than detector {group[0]}, in seconds"
        )
    found = each[pair[1]] - each[pair[0]]
    check_delay(found)
    return found


def shared_delay(found: Sequence[tuple[tuple[int, ...], float, float, str]]) -> tuple[float, float, str]:
    """Return delay, error and note of several pairs, from (detectors, delay, error, note) of each.

    NaN where the delays differ: the note then names each.
    """
    delays = [delay for _, delay, _, _ in found]
    if max(delays) == min(delays):
        notes = dict.fromkeys(note for *_, note in found)
        return delays[0], math.nan, "; ".join(notes)
    each = ", ".join(f"{d[1]} after {d[0]}: {delay * 1e9:.4g} ns" for d, delay, _, _ in found)
    return math.nan, math.nan, f"{each} (how each was found: parts)"


def folded(decay: Ints, period: float) -> Ints:
    """Return a nanotime histogram of round(period) bins; what lies beyond the period is wrapped into it."""
    n = max(round(period), 1)
    out = np.zeros(n, np.int64)
    np.add.at(out, np.arange(decay.size) % n, decay)
    return out


def decay_offset(decay_a: Ints, decay_b: Ints, period: float) -> tuple[float, float] | None:
    """Estimate by how many ticks decay b comes later than decay a, modulo the period.

    Parameters
    ----------
    decay_a, decay_b : ndarray of int
        Nanotime histograms of the two detectors, bins of one tick.
    period : float
        Laser period, ticks.

    Returns
    -------
    (float, float) or None
        Offset in [-period/2, period/2) and its standard error, ticks; None where a decay is flat within its noise.

    Notes
    -----
    Maximum of the circular cross-correlation of the two histograms, kept to the harmonics that stand out of the shot
    noise, interpolated by its own Fourier series; the error is the linear response of the maximum to the Poisson noise
    of every bin. It takes both decays for the same curve up to area, offset and constant background: where the
    detectors respond differently, the offset is that of the curves and not of the cables.
    """
    a, b = folded(decay_a, period), folded(decay_b, period)
    n_a, n_b, m = float(a.sum()), float(b.sum()), a.size
    if min(n_a, n_b) < 10 or m < 4:
        return None
    f_a, f_b = np.fft.rfft(a)[1:] / n_a, np.fft.rfft(b)[1:] / n_b
    if m % 2 == 0:
        f_a, f_b = f_a[:-1], f_b[:-1]
    if abs(f_a[0]) ** 2 * n_a < 12.0 or abs(f_b[0]) ** 2 * n_b < 12.0:
        return None
    above = np.abs(f_a * f_b) > 4.0 / math.sqrt(n_a * n_b)
    stop = above.size if above.all() else int(np.argmin(above))
    f_a, f_b = f_a[: max(stop, 1)], f_b[: max(stop, 1)]
    omega = 2.0 * np.pi * np.arange(1, f_a.size + 1) / m
    cross = f_b * np.conj(f_a)
    coarse = np.fft.irfft(np.concatenate([[0.0], cross]), 8 * max(m, 8))
    shift = float(np.argmax(coarse)) * m / coarse.size
    for _ in range(20):
        turned = cross * np.exp(1j * omega * shift)
        slope, bend = -np.sum(omega * turned.imag), -np.sum(omega**2 * turned.real)
        step = -slope / bend
        shift += float(np.clip(step, -0.5, 0.5))
    bins = np.arange(m)
    at_b = _series(1j * omega * np.conj(f_a) * np.exp(1j * omega * shift), omega, bins)
    at_a = _series(1j * omega * np.conj(f_b) * np.exp(-1j * omega * shift), omega, bins)
    variance = np.sum(b * at_b**2) / n_b**2 + np.sum(a * at_a**2) / n_a**2
    error = math.sqrt(variance) / abs(bend)
    scale = period / m
    shift = (shift * scale + period / 2) % period - period / 2
    # Where the period is no whole number of ticks, folding the histogram moves the end of a decay by a part of a tick.
    return shift, math.hypot(error * scale, period - m)


def _series(coefficients: NDArray[np.complex128], omega: Floats, bins: Ints) -> Floats:
    """Return Re sum_k c_k exp(-i omega_k u) at the bins u."""
    full = np.zeros(bins.size, np.complex128)
    full[1 : omega.size + 1] = coefficients
    values: Floats = np.real(np.fft.fft(full))
    return values


def rise_of(decay: Ints, period: float) -> tuple[float, float]:
    """Find the rise of a decay: nanotime (ticks) of its half height, and how much earlier the rise begins.

    Returns
    -------
    (float, float)
        Nanotime of the half height in [0, period), and the guard before it: four times the way from a tenth to the
        half height, which is five standard deviations of a Gaussian response.

    Raises
    ------
    ValueError
        If the decay is flat.
    """
    from scipy import ndimage

    counts = folded(decay, period).astype(np.float64)
    width = 0.5
    while True:
        smooth = ndimage.gaussian_filter1d(counts, width, mode="wrap")
        peak = int(np.argmax(smooth))
        floor = float(np.quantile(smooth, 0.05))
        height = smooth[peak] - floor
        if height * width * 3.5 > 400 or width > counts.size / 50:
            break
        width *= 1.5
    if counts.sum() < 10 or height * 3.5 * width < 6 * math.sqrt(max(smooth.mean() * 3.5 * width, 1.0)):
        raise ValueError(
            "the decay of a detector is flat: no rise from which the gate could count; give gate=(from, to)"
        )
    before = smooth[(peak - np.arange(counts.size)) % counts.size]
    half, tenth = (_crossing(before, floor + share * height) for share in (0.5, 0.1))
    rise = (peak - half + 0.5) % counts.size
    guard = max(4.0 * (tenth - half), 2.0)
    return rise * period / counts.size, min(guard, counts.size / 4)


def _crossing(falling: Floats, level: float) -> float:
    i = int(np.argmax(falling < level))
    if i == 0:
        return 0.0
    return i - 1 + float((falling[i - 1] - level) / (falling[i - 1] - falling[i]))


def centre_peak(pairs: Ints, lowest: int, search: int) -> tuple[int, float, list[int]]:
    """Find the one peak of a pulsed correlation that differs from its neighbours.

    Parameters
    ----------
    pairs : ndarray of int
        Pairs per peak, from pulse lag `lowest` on.
    search : int
        Peaks with |pulse lag| up to this are candidates.

    Returns
    -------
    (int, float, list of int)
        Pulse lag of the most likely centre; the p-value of the most significant candidate, corrected for their number
        and both directions; the other pulse lags that may as well be the centre (all, where no candidate stands out).

    Notes
    -----
    Exact binomial test of each peak against up to four neighbours on each side: local, since the envelope of fast
    blinking falls off with the lag on both sides. The least of many equal peaks would be a biased centre, hence the
    correction and the caller's threshold. A shallow dip on the cusp of an envelope makes its neighbours stand out more
    than itself. So where any peak does, the one with the largest z^2 is taken, less the chi-square of mirrored pairs
    as far as that is more than chance (10 for four pairs): all is symmetric about the true centre.
    """
    tested = [(*_against_neighbours(pairs, k - lowest), k) for k in range(-search, search + 1)]
    p_values = [min(1.0, len(tested) * p) for p, _, _ in tested]
    p_least = min(p_values)
    if p_least >= FAMILY_LEVEL:
        best = min(range(len(tested)), key=lambda i: (p_values[i], -tested[i][1]))
        rivals = [k for i, (_, _, k) in enumerate(tested) if i != best]
    else:
        scores = [z**2 - max(_asymmetry(pairs, k - lowest) - BY_CHANCE, 0.0) for _, z, k in tested]
        best = int(np.argmax(scores))
        rivals = [k for i, (_, _, k) in enumerate(tested) if i != best and scores[i] > scores[best] - BY_CHANCE]
    return tested[best][2], p_least, rivals


def _against_neighbours(pairs: Ints, i: int) -> tuple[float, float]:
    """Return the two-sided p-value of peak i among its neighbours, and its deviation in standard errors."""
    around = np.concatenate([pairs[max(i - NEIGHBOURS, 0) : i], pairs[i + 1 : i + 1 + NEIGHBOURS]])
    if around.size == 0:
        return 1.0, 0.0
    n, side = int(pairs[i]), int(around.sum())
    share = 1.0 / (1 + around.size)
    total = n + side
    # tails of the binomial distribution as incomplete beta functions: P(N <= n) and P(N >= n)
    low = float(special.betainc(side, n + 1, 1.0 - share)) if side else 1.0
    high = float(special.betainc(n, side + 1, share)) if n else 1.0
    z = abs(n - total * share) / math.sqrt(max(total * share, 1e-9))
    return min(1.0, 2.0 * min(low, high)), z


def _asymmetry(pairs: Ints, i: int) -> float:
    """Return the chi-square of the pairs of peaks that lie mirrored about peak i."""
    reach = min(i, pairs.size - 1 - i, NEIGHBOURS)
    before, after = pairs[i - reach : i][::-1], pairs[i + 1 : i + 1 + reach]
    return float(np.sum((before - after) ** 2 / np.maximum(before + after, 1)))


def find_dip(pairs: Ints, expected: Floats, search: int) -> tuple[int, float, float]:
    """Find a dip or an excess of cusp shape in a finely binned correlation.

    Parameters
    ----------
    pairs, expected : ndarray, shape (2 h,)
        Counted pairs and those of independent light; lag zero lies between the two middle bins.
    search : int
        Shifts up to this many bins are candidates.

    Returns
    -------
    (int, float, float)
        Shift in bins, its standard error in bins, and the p-value corrected for all shifts and widths tried.

    Notes
    -----
    Matched filter: excess of pairs weighted by exp(-|x| / t), mean subtracted, for widths t in steps of 1.6. The number
    of trials is six per width in the search range, summed over the widths: the score has a kink at each arrival and so
    crosses a high threshold more often than a smooth curve would; false centres stay below the level (simulated).
    """
    middle = pairs.size // 2
    h = min(middle, 4 * search)
    pairs, expected = pairs[middle - h : middle + h], expected[middle - h : middle + h]
    level = pairs.sum() / max(expected.sum(), 1e-300)
    base = expected * level
    excess = pairs - base
    n = 2 * h
    widths = np.geomspace(2.0, max(h / 4, 2.0), max(int(math.log(max(h / 8, 1.0)) / math.log(1.6)), 1))
    x = np.arange(-h, h) + 0.5
    best, z_best, width_best, trials = 0, 0.0, float(widths[0]), 0.0
    size = fft.next_fast_len(2 * n, real=True)
    flat = fft.rfft(excess, size)
    for width in widths:
        shape = np.exp(-np.abs(x) / width)
        shape -= shape.mean()
        variance = float(np.sum(shape**2)) * float(base.mean())
        trials += min(12.0 * search / width, 2.0 * search) + 1.0
        if variance <= 0 or base.mean() * width < 10.0:
            continue
        score = fft.irfft(flat * np.conj(fft.rfft(shape, size)), size)
        shifts = np.arange(-search, search + 1)
        z = score[shifts % size] / math.sqrt(variance)
        i = int(np.argmax(np.abs(z)))
        if abs(z[i]) > abs(z_best):
            best, z_best, width_best = int(shifts[i]), float(z[i]), float(width)
    p = min(1.0, 2.0 * trials * float(special.ndtr(-abs(z_best))))
    per_bin = max(float(base.mean()), 1e-300)
    amplitude = abs(z_best) / math.sqrt(per_bin * width_best)
    error = math.sqrt(width_best / per_bin) / max(amplitude, 1e-300)
    return best, max(error, 1.0 / math.sqrt(12.0)), p


def peak_that_differs(found: int, p_value: float) -> str:
    """Say which peak is the centre: the one at the offset of the decays, or one some periods from there."""
    where = "there" if found == 0 else f"{found:+d} {'period' if abs(found) == 1 else 'periods'} from it"
    return f"the peak {where} differs from its neighbours (p = {p_value:.1g})"
