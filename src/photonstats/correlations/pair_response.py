"""The response of a pair of detectors to one lag, and a cusp exp(-|x| / t) smeared by it, averaged over bins."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import special

from photonstats.curve import Decay
from photonstats.decays.decay_model import GaussianIRF, measured_impulses

Floats = NDArray[np.float64]
Response: TypeAlias = Decay | GaussianIRF
FINEST = 4.0  # parts of a standard deviation into which a Gaussian beside a measured response is cut
MOST_POINTS = 200_000
ENOUGH = 40.0  # counts in the highest bin from which on a measured response is taken as it is


@dataclass(frozen=True, eq=False)
class PairResponse:
    """Distribution of the measured lag of two photons that came together.

    Parameters
    ----------
    sigma, sigma_err : float
        Standard deviation, s, and its error (0 where it was given as a number).
    weight : ndarray of float64, shape (n,)
        Sum 1, at equal steps; empty: a Gaussian, or none for a `sigma` of 0.
    first, step : float
        Lag of the first weight and the step, s; the mean lag is 0.
    """

    sigma: float = 0.0
    sigma_err: float = 0.0
    weight: Floats | None = None
    first: float = 0.0
    step: float = 1.0

    def stretched(self, factor: float) -> PairResponse:
        """Return the same shape, `factor` times as wide."""
        return replace(
            self, sigma=self.sigma * factor, sigma_err=self.sigma_err * factor, first=self.first * factor,
            step=self.step * factor,
        )  # fmt: skip

    def cusp(self, edges: Floats, time: float, centre: float = 0.0) -> tuple[Floats, Floats, Floats]:
        """Return the smeared cusp averaged over each bin, and its derivatives to ln(time) and to the centre.

        Parameters
        ----------
        edges : ndarray of float64, shape (n+1,)
            Edges of the bins, s.
        time, centre : float
            Time constant and place of the cusp, s.

        Returns
        -------
        mean, to_log_time, to_centre : ndarray of float64, shape (n,)

        Notes
        -----
        With F(x), the integral of the smeared cusp k from 0 to x, the mean is the difference of F over the bin. All
        three are in closed form: for no response `F = t sign(x) (1 - e^(-|x|/t))`; for a Gaussian, with s = sigma / t,
        `k = e^(s^2/2 - x/t) Phi(x/sigma - s) + e^(s^2/2 + x/t) Phi(-x/sigma - s)`; for a measured one, sums over its
        points that a recursion gives at a cost of points + bins.
        """
        x = np.asarray(edges, dtype=np.float64) - centre
        if self.weight is not None:
            area, height, by_time = self._measured(x, time)
        elif self.sigma > 0.0:
            area, height, by_time = _gaussian(x, time, self.sigma)
        else:
            size = np.abs(x) / time
            height = np.exp(-size)
            # zero at x = 0: no cancellation in the tails of a dip far from its centre
            area = np.copysign(-np.expm1(-size) * time, x)
            by_time = area - x * height
        width = np.diff(x)
        return np.diff(area) / width, np.diff(by_time) / width, -np.diff(height) / width

    def _measured(self, x: Floats, time: float) -> tuple[Floats, Floats, Floats]:
        weight = self.weight
        assert weight is not None
        # sums over the points below x run upward, those over the points above it downward
        below, moment_below, mass = _one_side(x, time, weight, self.first, self.step)
        last = self.first + (weight.size - 1) * self.step
        above, moment_above, rest = _one_side(-x, time, weight[::-1], -last, self.step)
        area = time * (mass - below - rest + above)
        return area, below + above, area - moment_below + moment_above


def _one_side(x: Floats, time: float, weight: Floats, first: float, step: float) -> tuple[Floats, Floats, Floats]:
    """Return sum h e^(-y/t), sum h y e^(-y/t) and sum h over the points d < x, with y = x - d."""
    from scipy import signal

    r = math.exp(-step / time)
    sums = signal.lfilter([1.0], [1.0, -r], weight)
    moments = signal.lfilter([0.0, r * step], [1.0, -r], sums)
    k = np.clip(np.floor((x - first) / step).astype(np.int64), -1, weight.size - 1)
    y = x - first - k * step
    inside = k >= 0
    k = np.maximum(k, 0)
    fall = np.where(inside, np.exp(-np.maximum(y, 0.0) / time), 0.0)
    mass = np.where(inside, np.cumsum(weight)[k], 0.0)
    return sums[k] * fall, (moments[k] + y * sums[k]) * fall, mass


def _gaussian(x: Floats, time: float, sigma: float) -> tuple[Floats, Floats, Floats]:
    s, u = sigma / time, x / sigma
    right = np.exp(s**2 / 2 - x / time + special.log_ndtr(u - s))
    left = np.exp(s**2 / 2 + x / time + special.log_ndtr(-u - s))
    # 2 Phi(u) - 1, odd in u: no cancellation at large u on either side
    area = time * (special.erf(u / math.sqrt(2.0)) - (right - left))
    return area, right + left, area - x * (right + left) + time * s**2 * (right - left)


def cusp(edges: Floats, time: float, sigma: float) -> Floats:
    """Return the mean of exp(-|x| / time), smeared by a Gaussian of `sigma`, over each bin."""
    return PairResponse(sigma=sigma).cusp(edges, time)[0]


def pair_response(irf: object, irf_sigma: float, detectors: tuple[int, ...]) -> PairResponse:
    """Return the response of a pair of detectors to a lag.

    Parameters
    ----------
    irf : Decay, GaussianIRF, mapping of int to one of them, or None
        Response of each detector; one for both, or one for each.
    irf_sigma : float
        In its place: standard deviation of a Gaussian response of the pair, s, >= 0.
    detectors : (int, int)
        The pair (a, b).

    Returns
    -------
    PairResponse

    Raises
    ------
    ValueError
        If both are given, a detector has no response, or a response is no peak.

    Notes
    -----
    The lag of b after a is distributed as the cross-correlation of the two responses. Measured ones are points on a
    common grid, each count shared by two grid points so that its mean is kept; background and the width of the bins
    are taken off. The difference of their means belongs to the delay.
    """
    if not (math.isfinite(irf_sigma) and irf_sigma >= 0):
        raise ValueError(f"irf_sigma={irf_sigma}: must be a time in seconds >= 0")
    if irf is None:
        return PairResponse(sigma=float(irf_sigma))
    if irf_sigma > 0:
        raise ValueError("give irf or irf_sigma, not both: irf is that of one detector, irf_sigma that of the pair")
    if len(detectors) != 2:
        raise ValueError(
            f"irf= needs one pair of detectors, this g2 is the sum over the pairs of {detectors}: give irf_sigma"
        )
    first, second = (_of_detector(irf, d) for d in detectors)
    if isinstance(first, GaussianIRF) and isinstance(second, GaussianIRF):
        return PairResponse(sigma=math.hypot(_sigma_of(first), _sigma_of(second)))
    return _correlated(first, second)


def _of_detector(irf: object, detector: int) -> Response:
    one = irf
    if isinstance(irf, Mapping):
        if detector not in irf:
            raise ValueError(f"irf names detectors {sorted(irf)}, but not {detector}")
        one = irf[detector]
    if not isinstance(one, Decay | GaussianIRF):
        raise TypeError(f"irf must be a Decay, a GaussianIRF, a mapping of detectors to these, or None, it is {one!r}")
    return one


def _sigma_of(irf: GaussianIRF) -> float:
    if irf.sigma is None:
        raise ValueError("irf=GaussianIRF() has no sigma: a dip cannot tell its width from the lifetime, give sigma")
    return irf.sigma


def _correlated(first: Response, second: Response) -> PairResponse:
    """Cross-correlate two responses, of which one at least is measured."""
    from scipy import signal

    points = [_points(r) if isinstance(r, Decay) else None for r in (first, second)]
    steps = [float(np.diff(p[0]).min()) for p in points if p is not None and p[0].size > 1]
    sigmas = [_sigma_of(r) for r in (first, second) if isinstance(r, GaussianIRF)]
    step = min(steps + [s / FINEST for s in sigmas], default=1e-12)
    on_grid = []
    variance_err = 0.0
    for response, place in zip((first, second), points, strict=True):
        if place is None:
            assert isinstance(response, GaussianIRF)
            at, weight = _cut(_sigma_of(response), step)
        else:
            at, weight, error = place
            variance_err = math.hypot(variance_err, error)
        on_grid.append(_laid(at - at[0], weight, step))  # the mean lag is taken off at the end
    (begin_a, a), (begin_b, b) = on_grid
    weight = signal.convolve(b, a[::-1])
    lag = (begin_b - begin_a - a.size + 1 + np.arange(weight.size)) * step
    mean = float(weight @ lag)
    sigma = math.sqrt(max(float(weight @ (lag - mean) ** 2), 0.0))
    return PairResponse(
        sigma=sigma, sigma_err=variance_err / (2.0 * sigma) if sigma > 0 else 0.0,
        weight=np.ascontiguousarray(weight), first=float(lag[0]) - mean, step=step,
    )  # fmt: skip


def _points(irf: Decay) -> tuple[Floats, Floats, float]:
    """Return places, s, and weights of a measured response, and the error of its variance, s^2."""
    counts, width = irf.counts, irf.bin_width
    # sparse bins would end the response at its first gaps: merge them as long as the peak is many bins wide
    while counts.max() < ENOUGH and _bins_of_half(counts) > 12:
        counts = np.pad(counts, (0, counts.size % 2)).reshape(-1, 2).sum(axis=1)
        width *= 2.0
    merged = Decay(counts, width, irf.period)
    at, weight, _ = measured_impulses(merged, merged)
    order = np.argsort(at, kind="stable")
    at, weight = at[order] * width, weight[order] / weight.sum()
    middle = at - float(weight @ at)
    second, fourth = float(weight @ middle**2), float(weight @ middle**4)
    return at, weight, math.sqrt(max(fourth - second**2, 0.0) / max(irf.n_photons, 1))


def _bins_of_half(counts: NDArray[np.int64]) -> int:
    """Return how many bins around the peak hold half of the counts above the median."""
    above = np.maximum(counts - np.median(counts), 0.0)
    total = np.cumsum(above)
    low, high = np.searchsorted(total, [total[-1] / 4, total[-1] * 3 / 4])
    return int(high - low) + 1


def _cut(sigma: float, step: float) -> tuple[Floats, Floats]:
    n = math.ceil(7.0 * sigma / step)
    if n > MOST_POINTS:
        raise ValueError(f"a Gaussian of {sigma:.4g} s beside a response in steps of {step:.4g} s: rebin the latter")
    at = np.arange(-n, n + 1, dtype=np.float64) * step
    # parts of a width add its square over 12 to the variance
    narrow = math.sqrt(sigma**2 - step**2 / 12.0) if sigma > step else sigma
    weight = np.diff(special.ndtr((np.arange(-n, n + 2) - 0.5) * step / narrow))
    return at, weight / weight.sum()


def _laid(at: Floats, weight: Floats, step: float) -> tuple[int, Floats]:
    """Lay points on a grid, each shared by its two neighbours; return the number of the first grid point."""
    place = at / step
    lower = np.floor(place + 1e-9).astype(np.int64)
    share = np.maximum(place - lower, 0.0)
    begin, size = int(lower.min()), int(lower.max() - lower.min()) + 2
    if size > MOST_POINTS:
        raise ValueError(f"the response spans {size} steps of {step:.4g} s, more than {MOST_POINTS}: rebin it")
    out = np.zeros(size)
    np.add.at(out, lower - begin, weight * (1.0 - share))
    np.add.at(out, lower - begin + 1, weight * share)
    return begin, out
