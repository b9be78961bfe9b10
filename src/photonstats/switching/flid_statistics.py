"""How lifetime goes with intensity: rank correlation and polynomial of noisy bins, with errors from blocks of time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from photonstats.kernels.flid import rank_correlations
from photonstats.switching.lifetime_bias import lifetime_bias

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RESAMPLES = 400
FEWEST_BLOCKS, MOST_BLOCKS = 8, 20
MEMORIES = 4.0  # length of a block over the memory of the intensity
GRID = 1 << 16  # most times at which the intensity is looked at for its memory
FEWEST_BINS = 16
MOST_CUT = 0.05  # share of the photons in bins whose lifetime is beyond the period


@dataclass(frozen=True)
class Estimate:
    """A number with standard error and 95 % interval, or nan with the reason."""

    value: float = math.nan
    error: float = math.nan
    interval: tuple[float, float] = (math.nan, math.nan)
    reason: str = ""


@dataclass(frozen=True)
class Bins:
    """Bins that have a lifetime; `block[n]` numbers stretches of equal time, of which there are `n_blocks`.

    signal[n]: background expected in each bin is `expected`; durations in s, lifetimes in s.
    """

    counts: Floats
    expected: Floats
    durations: Floats
    lifetimes: Floats
    middles: Floats
    start: float
    end: float

    def block(self, n_blocks: int) -> Ints:
        """Return the number of the block of each bin, by its middle."""
        at = (self.middles - self.start) / (self.end - self.start) * n_blocks
        return np.clip(at.astype(np.int64), 0, n_blocks - 1)


def copies_of(n_blocks: int, rng: np.random.Generator, resamples: int = RESAMPLES) -> NDArray[np.uint32]:
    """Return how often each block is drawn in each resample, uint32[resamples, n_blocks]."""
    drawn = rng.multinomial(n_blocks, np.full(n_blocks, 1.0 / n_blocks), size=resamples)
    return np.asarray(drawn, np.uint32)


def filled_blocks(bins: Bins, n_blocks: int) -> int:
    """Return how many blocks hold bins."""
    return int(np.unique(bins.block(n_blocks)).size)


def too_few(bins: Bins, n_blocks: int) -> str:
    """Return why there are no errors, or nothing."""
    n, filled = bins.counts.size, filled_blocks(bins, n_blocks) if bins.counts.size else 0
    if n < FEWEST_BINS:
        return f"{n} of the bins have a lifetime, at least {FEWEST_BINS} are needed"
    if filled < FEWEST_BLOCKS:
        return f"{filled} of {n_blocks} blocks of time hold bins with a lifetime, at least {FEWEST_BLOCKS} are needed"
    return ""


def rank_correlation(bins: Bins, n_blocks: int, rng: np.random.Generator) -> Estimate:
    """Return the rank correlation weighted by time; the interval is symmetric in Fisher's z."""
    reason = too_few(bins, n_blocks)
    if reason:
        return Estimate(reason=reason)
    x = _groups((bins.counts - bins.expected) / bins.durations)
    y = _groups(bins.lifetimes)
    everything = np.ones((1, 1), np.uint32)
    best = float(_correlations(x, y, bins.durations, np.zeros(x.size, np.int64), everything)[0])
    if math.isnan(best):
        return Estimate(reason="all bins have the same intensity or lifetime, which gives no ranks")
    if abs(best) > 1.0 - 1e-9:
        return Estimate(reason=f"all {x.size} bins are in the same order by both, which gives no error")
    drawn = _correlations(x, y, bins.durations, bins.block(n_blocks), copies_of(n_blocks, rng))
    drawn = np.clip(drawn[np.isfinite(drawn)], -1.0 + 1e-12, 1.0 - 1e-12)
    error = float(np.std(np.arctanh(drawn))) * math.sqrt(n_blocks / (n_blocks - 1))
    half, middle = _quantile(filled_blocks(bins, n_blocks)) * error, math.atanh(best)
    return Estimate(best, error * (1.0 - best * best), (math.tanh(middle - half), math.tanh(middle + half)))


def memory_of(rates: Floats, edges: Floats) -> float:
    """Return the time in which the autocovariance of the rates falls to 1/e, s; 0 where they do not remember.

    Rates of unequal segments are looked at on equal steps of time. Shot noise has no part in the autocovariance from
    the first step on.
    """
    n = min(max(rates.size, 1024), GRID)
    step = (edges[-1] - edges[0]) / n
    times = edges[0] + (np.arange(n) + 0.5) * step
    seen = rates[np.clip(np.searchsorted(edges, times, side="right") - 1, 0, rates.size - 1)]
    seen = seen - seen.mean()
    spectrum = np.abs(np.fft.rfft(seen, 2 * n)) ** 2
    covariance = np.fft.irfft(spectrum)[: n // 2] / np.arange(n, n - n // 2, -1)
    if covariance[0] <= 0 or covariance[1] < 4.0 * covariance[0] / math.sqrt(rates.size):
        return 0.0
    below = np.flatnonzero(covariance < covariance[1] / math.e)
    return float((below[0] if below.size else n // 2) * step)


def blocks_for(duration: float, memory: float) -> int:
    """Return the number of blocks, as many as are longer than the memory, between the fewest and the most."""
    longest = math.inf if memory == 0 else duration / (MEMORIES * memory)
    return int(min(max(longest, FEWEST_BLOCKS), MOST_BLOCKS))


def _quantile(n_blocks: int) -> float:
    """Return half of a 95 % interval in errors that are estimated from that many blocks."""
    return -float(special.stdtrit(n_blocks - 1, 0.025))


def _groups(values: Floats) -> Ints:
    found: Ints = np.unique(values, return_inverse=True)[1].astype(np.int64)
    return found


def _correlations(x: Ints, y: Ints, weights: Floats, block: Ints, copies: NDArray[np.uint32]) -> Floats:
    found = np.empty(len(copies))
    rank_correlations(x, y, weights, block, copies, found)
    return found


def signal_powers(counts: Floats, expected: Floats, most: int) -> Floats:
    """Return unbiased estimates of powers 0 to `most` of a Poisson mean less a known part, [most + 1, n].

    Charlier's polynomials: C_0 = 1, C_1 = n - b, C_{k+1} = (n - k - b) C_k - k b C_{k-1}.
    """
    found = np.ones((most + 1, counts.size))
    for k in range(most):
        found[k + 1] = (counts - k - expected) * found[k] - (k * expected * found[k - 1] if k else 0.0)
    return found


def coefficient(bins: Bins, degree: int, n_blocks: int, period: float, rng: np.random.Generator) -> Estimate:
    """Return the highest coefficient of the polynomial of lifetime in intensity, weighted by photons, s/Hz^degree.

    Moments are sums of unbiased powers, so that shot noise of the intensity does not attenuate it. The interval
    (Fieller) holds all values b for which numerator - b denominator is within its error of zero.
    """
    reason = too_few(bins, n_blocks)
    if reason:
        return Estimate(reason=reason)
    signal = bins.counts - bins.expected
    cut = float(signal[(bins.lifetimes > period) | (bins.lifetimes == 0)].sum() / max(signal.sum(), 1e-300))
    if cut > MOST_CUT:
        return Estimate(
            reason=f"{cut:.0%} of the light is in bins whose lifetime the photons do not limit: take wider bins"
        )
    scale = float(signal.sum() / bins.durations.sum())
    if not scale > 0:
        return Estimate(reason="there is no light above background")
    powers = signal_powers(bins.counts, bins.expected, 2 * degree + 1)
    order = np.arange(1, degree + 2)[:, None]
    known = np.minimum(bins.lifetimes, period)
    bias, covariance_with_n = lifetime_bias(known, signal, bins.expected, period)
    with_lifetime = powers[1 : degree + 2] * (known - bias) - order * powers[: degree + 1] * covariance_with_n
    per = (bins.durations * scale) ** np.arange(2 * degree + 1)[:, None]
    terms = np.vstack([powers[1:] / per, with_lifetime / per[: degree + 1]])
    block = bins.block(n_blocks)
    sums = np.stack([np.bincount(block, term, minlength=n_blocks) for term in terms])
    top, bottom = _ratio(sums.sum(axis=1)[None], degree)
    drawn = _ratio(copies_of(n_blocks, rng).astype(np.float64) @ sums.T, degree)
    covariance = np.cov(np.stack(drawn)) * n_blocks / (n_blocks - 1)
    unit = scale**degree
    found = _fieller(float(top[0]), float(bottom[0]), covariance, _quantile(filled_blocks(bins, n_blocks)))
    if found.reason:
        return found
    low, high = found.interval
    return Estimate(found.value / unit, found.error / unit, (low / unit, high / unit))


def _ratio(sums: Floats, degree: int) -> tuple[Floats, Floats]:
    """Return numerator and denominator of the highest coefficient; sums[R, 3 degree + 2] of moments and lifetimes.

    By Cramer's rule both are determinants; over that of the lower powers they are a covariance and a variance.
    """
    moments, with_lifetime = sums[:, : 2 * degree + 1], sums[:, 2 * degree + 1 :]
    total = np.maximum(moments[:, :1], 1e-300)
    moments, with_lifetime = moments / total, with_lifetime / total
    square = np.stack([moments[:, k : k + degree + 1] for k in range(degree + 1)], axis=1)
    replaced = square.copy()
    replaced[:, :, -1] = with_lifetime
    lower = np.linalg.det(square[:, :degree, :degree])
    lower = np.where(lower == 0.0, np.nan, lower)
    return np.linalg.det(replaced) / lower, np.linalg.det(square) / lower


def _fieller(top: float, bottom: float, covariance: Floats, quantile: float) -> Estimate:
    """Return top / bottom with the interval of all ratios that their errors allow, where it is finite."""
    (tt, tb), (_, bb) = covariance.tolist()
    g = quantile * quantile
    if not (np.all(np.isfinite(covariance)) and bottom > 0 and bottom * bottom > g * bb):
        return Estimate(reason="the intensity does not vary enough beyond shot noise")
    value = top / bottom
    error = math.sqrt(max(tt - 2.0 * value * tb + value * value * bb, 0.0)) / bottom
    a, b, c = bottom * bottom - g * bb, top * bottom - g * tb, top * top - g * tt
    spread = math.sqrt(max(b * b - a * c, 0.0))
    return Estimate(value, error, ((b - spread) / a, (b + spread) / a))
