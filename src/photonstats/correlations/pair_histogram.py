"""g2(0) of a histogram of pairs that another program or a correlator card has made."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize

from photonstats.correlations.delay import FAMILY_LEVEL, centre_peak, check_delay
from photonstats.correlations.peaks import ratio_interval
from photonstats.likelihood import covering_error
from photonstats.result import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
CABLE = 150e-9


@dataclass(frozen=True, eq=False, repr=False)
class HistogramG2(Result):
    """Peaks of a pulsed pair histogram, and the centre against its side peaks.

    Parameters
    ----------
    pulse_lag : ndarray of int64, shape (n,)
        Lag of each whole peak in laser periods.
    pairs : ndarray of int64, shape (n,)
        Counted pairs within half a period of each peak.
    g2_zero, g2_zero_err, g2_zero_ci : float, float, ndarray of shape (2,)
        Centre over the mean side peak; exact 95 % interval.
    laser_period, laser_period_err : float
        In s; the error is NaN for a given period.
    delay : float
        Lag of the centre peak, s.
    note : str
        How the centre was found.
    """

    pulse_lag: Ints
    pairs: Ints
    g2_zero: float
    g2_zero_err: float
    g2_zero_ci: Floats
    laser_period: float
    laser_period_err: float
    delay: float
    note: str

    def summary(self) -> str:
        """Return a text of a few lines with g2(0), the period and the centre."""
        side = self.pairs[self.pulse_lag != 0]
        low, high = self.g2_zero_ci
        return (
            f"g2 of a pair histogram: {int(self.pairs[self.pulse_lag == 0].sum())} pairs in the centre, "
            f"{side.mean():.6g} in a side peak ({side.size} peaks of {self.laser_period * 1e9:.6g} ns)\n"
            f"  g2(0) = {self.g2_zero:.4g} ± {self.g2_zero_err:.2g} (95 %: {low:.3g} to {high:.3g}), as measured\n"
            f"  centre at {self.delay * 1e9:.4g} ns: {self.note}"
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the pairs per peak into `ax` and return it."""
        from photonstats import plots

        return plots.plot_peaks(self.pulse_lag, self.pairs, ax, g2_zero=(self.g2_zero, self.g2_zero_err))


def g2_of_histogram(
    lag: ArrayLike, pairs: ArrayLike, *, laser_period: float | None = None, delay: float | None = None
) -> HistogramG2:
    """Return g2(0) of pulsed light from a histogram of pairs against the lag.

    Parameters
    ----------
    lag : array_like of float, shape (n,)
        Centres of equal bins, s.
    pairs : array_like of int, shape (n,)
        Pairs in each bin: all of them, not start-stop intervals.
    laser_period : float, optional
        In s; found from the histogram if not given.
    delay : float, optional
        Lag of the centre peak, s. By default the peak within 150 ns of zero that differs from its neighbours, or else
        the one nearest to zero.

    Returns
    -------
    HistogramG2

    Raises
    ------
    ValueError
        If the bins are not equal, counts are no whole numbers >= 0, or there are no laser peaks to be seen.

    Notes
    -----
    `n_0 / mean(n_k)` over all whole side peaks, with the exact interval of a ratio of two Poisson means. The rates are
    not known from a histogram, so that neither a background can be taken off by pairs nor far peaks be compared with
    independent light. The period maximises the summed power of the first harmonics.

    References
    ----------
    Clopper, Pearson, Biometrika 26, 404 (1934).

    Examples
    --------
    >>> lag = np.arange(-50, 50) * 1e-9
    >>> pairs = np.where(lag % 10e-9 < 0.5e-9, 100, 0) * (np.abs(lag) > 0.5e-9)
    >>> float(g2_of_histogram(lag, pairs, laser_period=10e-9).g2_zero)
    0.0
    """
    at, counts, width = _checked(lag, pairs)
    check_delay(delay or 0.0)
    if laser_period is None:
        period, error = _find_period(counts)
    else:
        period, error = float(laser_period) / width, math.nan
    if not 4 <= period <= counts.size / 3:
        raise ValueError(
            f"a laser period of {period * width:.4g} s does not fit {counts.size} bins of {width:.4g} s: give at least "
            "three periods, of four bins or more"
        )
    phase = float(np.angle(np.sum(counts * np.exp(2j * np.pi * np.arange(counts.size) / period)))) / (2 * np.pi)
    first = (phase % 1.0) * period  # bin of the first peak
    zero = (0.0 if delay is None else delay) / width - at[0] / width
    nearest = round((zero - first) / period)
    number, sums = _peaks(counts, period, first, nearest)
    centre, note = 0, "as given"
    if delay is None:
        centre, note = _centre(number, sums, period * width)
    n0 = int(sums[number == centre].sum())
    side = sums[number != centre]
    value, value_err, interval = _against_side(n0, int(side.sum()), side.size)
    return HistogramG2(
        pulse_lag=number - centre, pairs=sums, g2_zero=value, g2_zero_err=value_err, g2_zero_ci=interval,
        laser_period=period * width, laser_period_err=error * width,
        delay=float(at[0] + (first + (nearest + centre) * period) * width), note=note,
    )  # fmt: skip


def _checked(lag: ArrayLike, pairs: ArrayLike) -> tuple[Floats, Ints, float]:
    at = np.asarray(lag, dtype=np.float64)
    given = np.asarray(pairs)
    if at.ndim != 1 or at.shape != given.shape or at.size < 12:
        raise ValueError(f"lag and pairs must be of one length, 12 or more: they are of {at.shape} and {given.shape}")
    width = float(at[-1] - at[0]) / (at.size - 1)
    if not (math.isfinite(width) and width > 0 and np.allclose(np.diff(at), width, rtol=1e-3, atol=1e-6 * width)):
        raise ValueError("lag must rise in equal steps, in seconds")
    counts = given.astype(np.int64)
    if np.any(counts != given) or counts.min() < 0:
        raise ValueError("pairs must be whole numbers >= 0: counts, not a normalised curve")
    if not counts.any():
        raise ValueError("pairs are all zero: there is nothing to compare")
    return at, counts, width


def _find_period(counts: Ints) -> tuple[float, float]:
    """Return the period in bins and its error: the frequency at which the first harmonics have most power."""
    n = counts.size
    at = np.arange(n) - (n - 1) / 2
    excess = counts - counts.mean()
    power = np.abs(np.fft.rfft(excess)) ** 2 / max(float(counts.sum()), 1.0)
    usable = power[3 : n // 4 + 1]
    if usable.size < 3 or usable.max() < 25.0:
        raise ValueError("no laser period shows in the pairs: give laser_period, or use more pairs")
    # the lowest strong frequency, not the strongest: sharp peaks have harmonics as strong as the first one
    lowest = int(np.argmax(usable > 0.2 * usable.max()))
    k = 3.0 + lowest + int(np.argmax(usable[lowest : lowest + 3]))

    def harmonics(k: float) -> tuple[Ints, NDArray[np.complex128]]:
        orders = np.arange(1, min(5, int(n / 2 / k)) + 1, dtype=np.int64)
        turn = np.exp(-2j * np.pi * k * at / n)
        turned, sums = np.ones_like(turn), np.empty(orders.size, np.complex128)
        for i in range(orders.size):
            turned = turned * turn
            sums[i] = np.sum(turned * excess)
        return orders, sums

    # finer with each harmonic, so that none of them leads to a side lobe
    for most in range(1, 6):
        reach = 0.6 / most

        def comb(k: float, most: int = most) -> float:
            return -float(np.sum(np.abs(harmonics(k)[1][:most]) ** 2))

        found = optimize.minimize_scalar(comb, bounds=(k - reach, k + reach), method="bounded", options={"xatol": 1e-7})
        k = float(found.x)
    orders, sums = harmonics(k)
    turned = np.imag(sums.conj()[:, None] * np.exp(-2j * np.pi * k * np.outer(orders, at) / n))
    score = (orders @ turned) * at
    bend = float(np.sum((orders * np.abs(sums)) ** 2)) * (n**2 / 12.0)
    return n / k, n / k**2 * math.sqrt(float(counts @ score**2)) / bend * n / (2.0 * np.pi)


def _peaks(counts: Ints, period: float, first: float, nearest: int) -> tuple[Ints, Ints]:
    """Return number (0: nearest to lag zero) and pairs of each whole peak; borders halfway between peaks."""
    lowest = math.ceil((-0.5 - first) / period + 0.5)
    highest = math.floor((counts.size - 0.5 - first) / period - 0.5)
    number = np.arange(lowest, highest + 1)
    total = np.concatenate([[0], np.cumsum(counts)])
    borders = np.rint((np.append(number, highest + 1) - 0.5) * period + first + 0.5).astype(np.int64)
    sums = np.diff(total[np.clip(borders, 0, counts.size)])
    if not lowest <= nearest <= highest:
        raise ValueError("the centre does not lie inside of the histogram: check the unit of lag (s), and delay")
    return number - nearest, sums


def _centre(number: Ints, sums: Ints, period: float) -> tuple[int, str]:
    search = min(int(CABLE / period), int(-number[0]) - 1, int(number[-1]) - 1)
    if search < 1:
        return 0, "the peak nearest to zero"
    found, p, _ = centre_peak(sums, int(number[0]), search)
    if p < FAMILY_LEVEL:
        return found, f"the peak within {search} periods that differs from its neighbours (p = {p:.1g})"
    return 0, f"no peak within {search} periods differs from its neighbours (p = {p:.2g}): the one nearest to zero"


def _against_side(n0: int, side: int, n_sides: int) -> tuple[float, float, Floats]:
    mean = side / n_sides if n_sides else 0.0
    interval = ratio_interval(n0, side) * n_sides
    if mean == 0:
        return math.nan, math.nan, np.array([0.0, math.inf])
    error = math.hypot(math.sqrt(n0 + 0.5) / mean, (n0 + 0.5) / mean / math.sqrt(side))
    return n0 / mean, covering_error(error, interval), interval
