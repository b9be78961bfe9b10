"""Centre and side peaks of a pulsed correlation: their ratios, with the errors of counting, blinking and background."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from photonstats.likelihood import ONE_SIGMA, Z95, covering_error, poisson_interval

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

RESAMPLES = 1000
FEWEST_BLOCKS = 5
FEWEST_PERIODS = 10
ENOUGH_IN_CENTRE = 30  # centre pairs from which on their own scatter shows
REACH = 3.0  # blocks are merged until one is as long as this many correlation times


@dataclass(frozen=True)
class Scatter:
    """What the stretches of a recording say on the scatter beyond counting: relative variances, their 95 % reach.

    Parameters
    ----------
    near, far, bunching : float
        Relative variance of centre over side peaks, centre over independent light, side peaks over independent light,
        less what counting makes of it; not below 0.
    down, up : float
        How far below and above the bunching its 95 % interval reaches for blinking alone, relative to the bunching.
    dof : float
        Degrees of freedom of the variances.
    periods : float
        Blinking periods in the recording, roughly; inf where it does not blink.
    note : str
        What is doubtful; empty if nothing.
    """

    near: float = 0.0
    far: float = 0.0
    bunching: float = 0.0
    down: float = 0.0
    up: float = 0.0
    dof: float = math.inf
    periods: float = math.inf
    note: str = ""

    def reach(self, counting: float, excess: float) -> float:
        """Return half a 95 % interval of the added scatter in its standard deviations.

        The t quantile of the degrees of freedom that the sum of both variances has (Welch, Satterthwaite).
        """
        if excess <= 0:
            return Z95
        return float(special.stdtrit(min(self.dof * (1.0 + counting / excess) ** 2, 1e9), 0.975))


NO_SCATTER = Scatter()


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

    def scatter(self, background: tuple[float, float], *, seed: int = 0) -> Scatter:
        """Return how much more than counting the three ratios scatter, by a block bootstrap.

        Parameters
        ----------
        background : (float, float)
            Rates of uncorrelated counts on a and b, Hz.
        seed : int
            Of the resampling; the same for the same answer.

        Notes
        -----
        Stretches of so many blocks that they last three correlation times of the intensity are drawn with replacement
        from all starts (the recording closed to a circle). Variances are divided by what stretches of finite length
        miss of exponentially correlated light. The interval of the bunching B is that of ln(B - 1) where blinking
        stands out: for a dot that is on or off, B - 1 is the ratio of off to on time, a ratio of two sums of dwells.

        References
        ----------
        Kunsch, Ann. Stat. 17, 1217 (1989).
        """
        used = self.seconds > 0
        rows = np.column_stack([self.centres, self.sides, self.photons, self.seconds])[used].astype(np.float64)
        n = len(rows)
        if n < FEWEST_BLOCKS:
            return Scatter(note=f"errors are of counting alone: only {n} stretches of time to see blinking in")
        whole = rows[rows[:, 4] > 0.999 * rows[:, 4].max()]  # a short last block would look dim
        memory = correlation_length(whole[:, 2] + whole[:, 3])
        length = max(1, min(math.ceil(REACH * memory), n // FEWEST_BLOCKS))
        drawn = self._ratios(_resampled(rows, length, seed), background)
        drawn = drawn[:, np.all(np.isfinite(drawn), axis=0)]
        total, counting = self._counting(rows.sum(axis=0), background)
        if drawn.shape[1] < 0.95 * RESAMPLES or not np.all(np.isfinite(total)):
            return Scatter(note="errors are of counting alone: too few pairs above background to see blinking in")
        n_drawn = max(round(n / length), 2)
        seen = 1.0 if memory == 0 else max(1.0 + memory / length * math.expm1(-length / memory), 0.05)
        scale = n_drawn / (n_drawn - 1.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            excess = np.fmax(_variance(drawn) * scale / total**2 - counting, 0.0) / seen
        if rows[:, 0].sum() < ENOUGH_IN_CENTRE or total[0] <= 0:
            excess[:2] = 0.0, excess[2]
        dof = n_drawn - 1.0 if length == 1 else max(1.5 * n_drawn - 1.0, 1.0)  # overlapping stretches know more
        near, far, bunching = (float(x) for x in excess)
        periods = n / (4.0 * memory) if memory > 0 else math.inf
        found = Scatter(near, far, bunching, dof=dof, periods=periods)
        return _shaped(found, drawn[2], float(total[2]), float(counting[2]), scale, seen)

    def _ratios(self, sums: Floats, background: tuple[float, float]) -> Floats:
        """Return near, far and bunching, float64[3, m], of m rows of centre, side, photons on a and b, seconds."""
        centre, side, light, dark = self._pairs(sums, background)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = np.stack([(centre - dark) / (side - dark), (centre - dark) / light, (side - dark) / light])
        ratios[:, (light <= 0) | (side <= dark)] = math.nan
        return ratios

    def _counting(self, sums: Floats, background: tuple[float, float]) -> tuple[Floats, Floats]:
        """Return the three ratios, and their relative variances from counting: n / (n - background pairs)^2."""
        centre, side, _, dark = (float(x[0]) for x in self._pairs(sums[None, :], background))
        pairs = sums[4] * self.width * np.array([1.0 / self.n_sides, 1.0])
        with np.errstate(divide="ignore", invalid="ignore"):
            of_centre, of_side = sums[:2] / (pairs * np.array([centre - dark, side - dark])) ** 2
        return self._ratios(sums[None, :], background)[:, 0], np.array([of_centre + of_side, of_centre, of_side])

    def _pairs(self, sums: Floats, background: tuple[float, float]) -> tuple[Floats, Floats, Floats, Floats]:
        """Return pairs per second and second of lag: centre, side peaks, independent light, background."""
        centre, side, a, b, seconds = sums.T
        light = (a / seconds - background[0]) * (b / seconds - background[1])
        dark = a * b / seconds**2 - light
        area = seconds * self.width
        return centre * self.n_sides / area, side / area, light, dark


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

    def near(self, noise: float, scatter: Scatter = NO_SCATTER) -> tuple[float, float, Floats]:
        """Return centre over mean side peak, its error and 95 % interval; `noise` is the variance of the background."""
        n0, side, n_sides = self._n0, self._side, self.pairs.size - 1
        dark_0 = float(self.dark[self._centre])
        dark_side = (float(self.dark.sum()) - dark_0) / n_sides
        mean = side / n_sides - dark_side
        if side == 0 or mean <= 0:
            return math.nan, math.nan, np.array([0.0, math.inf])
        value = (n0 - dark_0) / mean
        at = max((n0 + 0.5 - dark_0) / mean, 0.0)
        counting = (n0 + 0.5 + at**2 * side / n_sides**2 + (value - 1.0) ** 2 * noise) / mean**2
        if dark_0 == 0.0 and noise == 0.0:
            interval = ratio_interval(n0, side) * n_sides
        else:
            interval = ratio_above_background(n0, side, (dark_0, dark_side), n_sides, math.sqrt(noise))
        added = value**2 * scatter.near
        reach = scatter.reach(counting, added) * math.sqrt(added)
        error = math.hypot(covering_error(math.sqrt(counting), interval), math.sqrt(added))
        return value, error, _widened(value, interval, reach, reach)

    def far(self, noise: float, scatter: Scatter = NO_SCATTER) -> tuple[float, float, Floats]:
        """Return centre over independent light, its error and 95 % interval."""
        light = float(self.light[self._centre])
        if light <= 0:
            return math.nan, math.nan, np.array([0.0, math.inf])
        dark = float(self.dark[self._centre])
        value = (self._n0 - dark) / light
        at = max((self._n0 + 0.5 - dark) / light, 0.0)
        counting = (self._n0 + 0.5) / light**2 + (value - 1.0) ** 2 * noise / light**2
        added = at**2 * scatter.far
        reach = scatter.reach(counting, added) * math.sqrt(added)
        # The bunching, a factor of the far value, gives its interval the shape.
        down, up = _shape(scatter)
        extra = Z95 * abs(value - 1.0) * math.sqrt(noise) / light
        limits = np.array(
            [poisson_interval(self._n0)[0], poisson_interval(_least(self._n0, dark, math.sqrt(noise)))[1]]
        )
        interval = _widened(value, (limits - dark) / light, extra, extra)
        error = math.hypot(covering_error(math.sqrt(counting), interval), math.sqrt(added))
        return value, error, _widened(value, interval, reach * down, reach * up)

    def with_centre(self, n0: int) -> Peaks:
        """Return the same peaks with another number of pairs in the centre."""
        pairs = self.pairs.copy()
        pairs[self._centre] = n0
        return Peaks(pairs, self.dark, self.light)

    def bunching(self, noise: float, scatter: Scatter = NO_SCATTER) -> tuple[float, float, Floats]:
        """Return mean side peak over independent light, its error and 95 % interval."""
        light = float(self.light.sum() - self.light[self._centre])
        if light <= 0:
            return math.nan, math.nan, np.array([0.0, math.inf])
        dark = float(self.dark.sum() - self.dark[self._centre])
        value = (self._side - dark) / light
        of_dark = abs(value - 1.0) * math.sqrt(noise) / light * (self.pairs.size - 1)
        counting = (self._side + 0.5) / light**2 + of_dark**2
        interval = _widened(value, (poisson_interval(self._side) - dark) / light, Z95 * of_dark, Z95 * of_dark)
        error = math.hypot(covering_error(math.sqrt(counting), interval), value * math.sqrt(scatter.bunching))
        return value, error, _widened(value, interval, abs(value) * scatter.down, abs(value) * scatter.up)


def correlation_length(counts: Floats) -> float:
    """Return the correlation time of an intensity in bins, from counts per bin; 0 where none shows.

    Notes
    -----
    For correlations exp(-t/tau), neighbouring bins of length d = x tau correlate as (1 - e^-x)^2 / 2(x - 1 + e^-x).
    Shot noise is taken off the variance, and the bias (1 + 4r)/n of a correlation r of n bins from few of them.
    """
    n, mean = counts.size, float(counts.mean()) if counts.size else 0.0
    if n < FEWEST_BLOCKS:
        return 0.0
    deviation = counts - mean
    variance = float(deviation @ deviation) / (n - 1)
    if mean <= 0 or variance < mean * special.chdtri(n - 1, 1e-3) / (n - 1):
        return 0.0
    r = float(deviation[1:] @ deviation[:-1]) / (n - 1) / (variance - mean)
    r += (1.0 + 4.0 * r) / n
    if r <= 0:
        return 0.0
    x = np.geomspace(1e-3, 1e3, 1201)
    expected = np.expm1(-x) ** 2 / (2.0 * (x + np.expm1(-x)))
    return float(1.0 / np.interp(-min(r, 0.98), -expected, x))


def _resampled(rows: Floats, length: int, seed: int) -> Floats:
    """Return the sums of as many rows as there are, drawn in circular stretches of `length`: one row a resample."""
    n = len(rows)
    running = np.concatenate([np.zeros((1, rows.shape[1])), np.cumsum(np.concatenate([rows, rows[:length]]), axis=0)])
    stretches = running[length : length + n] - running[:n]
    size = max(round(n / length), 2)
    drawn = np.random.default_rng(seed).integers(0, n, (RESAMPLES, size), dtype=np.int32)
    drawn += np.arange(0, RESAMPLES * n, n, dtype=np.int32)[:, None]
    times = np.bincount(drawn.ravel(), minlength=RESAMPLES * n).reshape(RESAMPLES, n)
    sums: Floats = times.astype(np.float64) @ stretches
    return sums


def _shaped(found: Scatter, drawn: Floats, value: float, counting: float, scale: float, seen: float) -> Scatter:
    """Add the interval of the bunching and the number of blinking periods to the variances."""
    above, share, spread = value - 1.0, 1.0, found.bunching
    periods = found.periods
    if above > 2.0 * value * math.sqrt(found.bunching + counting):
        share = above / value
        of_log = float(_variance(np.log(np.maximum(drawn - 1.0, 0.01 * above))))
        spread = max(of_log * scale - counting / share**2, 0.0) / seen
        if found.bunching > counting:
            periods = min(periods, 2.0 / spread if spread > 0 else math.inf)
    away = min(found.reach(counting, found.bunching) * math.sqrt(spread), 7.0)
    note = ""
    if periods < FEWEST_PERIODS and found.bunching > counting:
        note = f"errors are lower bounds: the recording holds only about {periods:.0f} blinking periods"
    return replace(found, down=-math.expm1(-away) * share, up=math.expm1(away) * share, periods=periods, note=note)


def _variance(drawn: Floats) -> Floats:
    """Return the square of half the central 68 %: of the last axis, unmoved by far tails."""
    low, high = np.quantile(drawn, [0.5 - ONE_SIGMA / 2.0, 0.5 + ONE_SIGMA / 2.0], axis=-1)
    variance: Floats = ((high - low) / 2.0) ** 2
    return variance


def _shape(scatter: Scatter) -> tuple[float, float]:
    """Return how much further an interval reaches down and up than one of the same variance that is even."""
    even = scatter.reach(0.0, scatter.bunching) * math.sqrt(scatter.bunching)
    return (scatter.down / even, scatter.up / even) if even > 0 else (1.0, 1.0)


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


def ratio_above_background(
    n: int, m: int, dark: tuple[float, float], n_sides: int, dark_err: float, level: float = 0.95
) -> Floats:
    """Return the interval of the ratio of two Poisson means less their background, limits below zero taken as zero.

    Parameters
    ----------
    n, m : int
        Pairs in the centre and in all side peaks.
    dark : (float, float)
        Background pairs in the centre and in one side peak.
    n_sides : int
        Number of side peaks.
    dark_err : float
        Standard error of the background pairs of a peak, common to all.

    Notes
    -----
    The lower limit is the quantile of (G(n) - d_0) / (G(m + 1)/n_sides - d_k) with gamma variables G, the upper one
    that of n + 1 and m. Without background these are the limits of `ratio_interval`. The denominator and a normal
    background are integrated over by the Gauss-Legendre rule in their probabilities: to 0.2 % where n <= m.
    """
    tail = (1.0 - level) / 2.0
    nodes, weights = special.roots_legendre(24)
    at, of_side = (nodes + 1.0) / 2.0, weights / 2.0
    shift, of_shift = (dark_err * special.ndtri(at), of_side) if dark_err > 0 else (np.zeros(1), np.ones(1))

    def below(top: float, bottom: float) -> Callable[[float], float]:
        side = special.gammaincinv(max(bottom, 1e-9), at)[None, :] / n_sides - dark[1] - shift[:, None]

        def chance(x: float) -> float:
            limit = np.maximum(dark[0] + shift[:, None] + x * side, 0.0)
            return float(of_shift @ np.where(side > 0, special.gammainc(top, limit), 0.0) @ of_side)

        return chance

    low = _crossing(below(n, m + 1.0), tail) if n > 0 else 0.0
    return np.array([low, _crossing(below(_least(n, dark[0], dark_err) + 1.0, m), 1.0 - tail)])


def _least(n: int, dark: float, dark_err: float) -> float:
    """Return counts for an upper limit: not less than background alone gives, less one standard deviation.

    Fewer counts than that, by chance, would give an interval of no width at zero (power constraint: Cowan, Cranmer,
    Gross, Vitells, arXiv:1105.3166 (2011)).
    """
    return max(float(n), dark - math.sqrt(dark + dark_err**2))


def _crossing(rising: Callable[[float], float], level: float) -> float:
    """Return where a rising function of x >= 0 passes a level: 0 if it starts above, inf if it stays below."""
    if rising(0.0) >= level:
        return 0.0
    high = 1.0
    while rising(high) < level:
        high *= 4.0
        if high > 1e9:
            return math.inf
    return float(optimize.brentq(lambda x: rising(x) - level, 0.0, high, rtol=1e-6, xtol=1e-12))


def _widened(value: float, interval: Floats, down: float, up: float) -> Floats:
    """Add further independent reaches to an interval, side by side; no limit below zero."""
    low, high = math.hypot(value - interval[0], down), math.hypot(interval[1] - value, up)
    return np.maximum([value - low, value + high], 0.0)
