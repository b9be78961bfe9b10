"""Centre and side peaks of a pulsed correlation: their ratios, with the errors of counting, blinking and background."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from photonstats.likelihood import Z95, covering_error, poisson_interval

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Blocks:
    """Sums over equal stretches of time, for the scatter that comes from blinking: one row each.

    Parameters
    ----------
    centres, sides : ndarray of int64, shape (n,)
        Pairs in the centre and in the side peaks.
    photons : ndarray of int64, shape (n, 2)
        Photons on a and b.
    seconds : ndarray of float64, shape (n,)
        Length of each stretch; the last may be shorter.
    width : float
        Width of all side peaks together on the lag axis, s.
    n_sides : int
        Number of side peaks.
    """

    centres: Ints
    sides: Ints
    photons: Ints
    seconds: Floats
    width: float
    n_sides: int

    def scatter(self, background: tuple[float, float]) -> tuple[float, float]:
        """Return the relative variance of the bunching, and that of blinking alone in centre over independent light.

        The second takes off what counting adds. Below thirty centre pairs nothing of the centre's own scatter can be
        seen, and that of the bunching stands for it.
        """
        sides, shot = self._jackknife(self.sides, self.width, background)
        excess = max(sides - shot, 0.0) if math.isfinite(sides) else 0.0
        n0 = int(self.centres.sum())
        if n0 >= 30 and n0 < self.sides.sum():
            centre, shot = self._jackknife(self.centres, self.width / self.n_sides, background)
            if math.isfinite(centre):
                excess = max(excess, centre - shot)
        return sides, excess

    def _jackknife(self, pairs: Ints, width: float, background: tuple[float, float]) -> tuple[float, float]:
        """Return the relative variance of pairs over independent light, leaving out one stretch at a time, and how much
        of it is counting: n / (n - background pairs)^2.
        """  # noqa: D205
        used = self.seconds > 0
        n = int(used.sum())
        if n < 5:
            return math.nan, math.nan
        seconds = self.seconds.sum() - self.seconds[used]
        rates = (self.photons.sum(axis=0) - self.photons[used]) / seconds[:, None]
        signal = rates - np.asarray(background)
        if np.any(signal <= 0):
            return math.nan, math.nan
        light, every = np.prod(signal, axis=1), np.prod(rates, axis=1)
        rate = (pairs.sum() - pairs[used]) / (seconds * width)
        ratio = (rate - (every - light)) / light
        mean = float(ratio.mean())
        if mean <= 0:
            return math.nan, math.nan
        of_light = mean * float(light.mean()) * float(self.seconds.sum()) * width
        return float((n - 1) / n * np.sum((ratio - mean) ** 2) / mean**2), int(pairs.sum()) / of_light**2


@dataclass(frozen=True, eq=False)
class Peaks:
    """Centre and side peaks with what is expected in them."""

    pairs: Ints
    dark: Floats
    light: Floats

    @property
    def _centre(self) -> int:
        return self.pairs.size // 2

    @property
    def _n0(self) -> int:
        return int(self.pairs[self._centre])

    @property
    def _side(self) -> int:
        return int(self.pairs.sum()) - self._n0

    def near(self, noise: float) -> tuple[float, float, Floats]:
        """Return centre over mean side peak, its error and 95 % interval; `noise` is the variance of the background."""
        n0, side, n_sides = self._n0, self._side, self.pairs.size - 1
        dark_0 = float(self.dark[self._centre])
        dark_side = (float(self.dark.sum()) - dark_0) / n_sides
        mean = side / n_sides - dark_side
        if side == 0 or mean <= 0:
            return math.nan, math.nan, np.array([0.0, math.inf])
        value = (n0 - dark_0) / mean
        at = max((n0 + 0.5 - dark_0) / mean, 0.0)
        rest = (at**2 * side / n_sides**2 + (value - 1.0) ** 2 * noise) / mean**2
        error = math.sqrt((n0 + 0.5) / mean**2 + rest)
        if dark_0 == 0.0 and noise == 0.0:
            interval = ratio_interval(n0, side) * n_sides
        else:
            interval = _widened(value, (poisson_interval(n0) - dark_0) / mean, rest)
        return value, covering_error(error, interval), interval

    def far(self, noise: float, blinking: float) -> tuple[float, float, Floats]:
        """Return centre over independent light; `blinking` is the relative variance that it adds."""
        light = float(self.light[self._centre])
        if light <= 0:
            return math.nan, math.nan, np.array([0.0, math.inf])
        dark = float(self.dark[self._centre])
        value = (self._n0 - dark) / light
        at = max((self._n0 + 0.5 - dark) / light, 0.0)
        rest = at**2 * blinking + (value - 1.0) ** 2 * noise / light**2
        error = math.sqrt((self._n0 + 0.5) / light**2 + rest)
        interval = _widened(value, (poisson_interval(self._n0) - dark) / light, rest)
        return value, covering_error(error, interval), interval

    def with_centre(self, n0: int) -> Peaks:
        """Return the same peaks with another number of pairs in the centre."""
        pairs = self.pairs.copy()
        pairs[self._centre] = n0
        return Peaks(pairs, self.dark, self.light)

    def bunching(self, noise: float, scatter: float) -> tuple[float, float]:
        """Return mean side peak over independent light."""
        light = float(self.light.sum() - self.light[self._centre])
        if light <= 0:
            return math.nan, math.nan
        dark = float(self.dark.sum() - self.dark[self._centre])
        value = (self._side - dark) / light
        variance = (self._side + 0.5) / light**2
        if math.isfinite(scatter):
            variance = max(variance, scatter * value**2)
        per_peak = light / (self.pairs.size - 1)
        return value, math.sqrt(variance + (value - 1.0) ** 2 * noise / per_peak**2)


def ratio_interval(n: int, m: int, level: float = 0.95) -> Floats:
    """Return the exact central interval of the ratio of two Poisson means from their counts n and m.

    Notes
    -----
    Given n + m, n is binomial; these are the limits of Clopper and Pearson as ratios, quantiles of the beta-prime (F)
    distribution. The lower limit is 0 at n = 0, the upper one infinite at m = 0.
    """
    tail = (1.0 - level) / 2.0
    low = float(special.betaincinv(n, m + 1, tail)) if n > 0 else 0.0
    high = float(special.betaincinv(n + 1, m, 1.0 - tail)) if m > 0 else 1.0
    return np.array([low / (1.0 - low), high / (1.0 - high) if high < 1.0 else math.inf])


def _widened(value: float, interval: Floats, variance: float) -> Floats:
    """Add a further independent variance to an interval, side by side; no limit below zero."""
    down, up = value - interval[0], interval[1] - value
    extra = Z95**2 * variance
    return np.maximum([value - math.hypot(down, math.sqrt(extra)), value + math.hypot(up, math.sqrt(extra))], 0.0)
