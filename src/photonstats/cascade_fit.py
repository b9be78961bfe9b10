"""Fits of the photons of cascades above accidental pairs: an exponential and a template, by Poisson likelihood."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from photonstats.likelihood import Z95, covariance_of, deviance_p_value, profile_interval

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

FEWEST_PAIRS = 20
STANDS_OUT = 10.0  # gain of twice the log likelihood by a cascade
NOT_KNOWN = np.array([0.0, np.inf])


@dataclass(frozen=True, eq=False)
class PairFit:
    """What `fit_pairs` finds; the fields are those of `Biexciton`."""

    biexciton_lifetime: float
    biexciton_lifetime_err: float
    biexciton_lifetime_ci: Floats
    exciton_lifetime: float
    exciton_lifetime_err: float
    exciton_lifetime_ci: Floats
    yield_ratio: float
    yield_ratio_err: float
    yield_ratio_ci: Floats
    accidental: float
    accidental_err: float
    first_model: Floats
    second_model: Floats
    p_value: float
    converged: bool
    reason: str


class _Above:
    """Counts n of bins, an exponential above `rho` times a template; parameters (A, rho, log lifetime).

    A is the number of pairs of the whole exponential, from time zero on, so that what the fitted range leaves out is in
    it. The template's own noise adds to that of the counts: it is a mean of `n_sides` peaks. `rho` may be given.
    """

    def __init__(
        self, counts: Ints, template: Floats, width: float, begin: float, n_sides: int, rho: float | None = None
    ) -> None:
        self.rho = rho
        skip = math.ceil(begin / width)
        self.n = counts[skip:].astype(np.float64)
        self.side = template[skip:]
        self.edges = (np.arange(self.n.size + 1) + skip) * width
        self.width, self.skip, self.n_sides = width, skip, n_sides

    def shape(self, log_time: float) -> Floats:
        below = -np.exp(-self.edges / math.exp(log_time))
        found: Floats = np.diff(below)
        return found

    def model(self, p: Floats) -> Floats:
        found: Floats = np.maximum(p[0] * self.shape(p[2]) + p[1] * self.side, 1e-9)
        return found

    def deviance(self, p: Floats) -> float:
        m = self.model(p)
        return float(2.0 * np.sum(m - self.n + special.xlogy(self.n, np.maximum(self.n, 1.0) / m)))

    def linear(self, log_time: float) -> tuple[float, Floats]:
        """Return the least deviance at a lifetime and its parameters: a convex problem in A and rho >= 0."""
        basis = np.stack([self.shape(log_time), self.side])
        free = np.array([True, self.rho is None])
        p = np.array([max(self.n.sum(), 1.0) / 2.0 / max(float(basis[0].sum()), 1e-12), self.rho or 0.5])
        for _ in range(60):
            m = np.maximum(p @ basis, 1e-9)
            gradient = (basis @ (1.0 - self.n / m))[free]
            bend = (basis[free] * (self.n / m**2)) @ basis[free].T
            bend += np.diag(1e-9 * np.diag(bend) + 1e-12)
            step = np.zeros(2)
            step[free] = np.linalg.solve(bend, gradient)
            new = np.where(p - step > 0, p - step, p / 10.0)
            moved = np.abs(new - p)
            p = new
            if np.all(moved <= 1e-9 * (1.0 + p)):
                break
        found = np.array([p[0], p[1], log_time])
        return self.deviance(found), found

    def flat(self) -> float:
        """Return the least deviance without a cascade."""
        rho = self.n.sum() / max(float(self.side.sum()), 1e-12)
        return self.deviance(np.array([0.0, rho, 0.0]))

    def best(self) -> tuple[Floats, float, tuple[float, float]]:
        """Return the parameters of the least deviance, that deviance, and the range of log lifetimes searched."""
        limits = math.log(self.width / 10.0), math.log(self.edges[-1])
        grid = np.linspace(*limits, 49)
        values = [self.linear(x)[0] for x in grid]
        i = int(np.argmin(values))
        near = grid[max(i - 1, 0)], grid[min(i + 1, grid.size - 1)]
        found = optimize.minimize_scalar(lambda x: self.linear(x)[0], bounds=near, method="bounded")
        deviance, p = self.linear(float(found.x))
        return p, deviance, limits

    def lifetime(self, p: Floats, limits: tuple[float, float]) -> tuple[float, float, Floats]:
        """Return lifetime, error and profile interval."""
        low, high = profile_interval(lambda x: self.linear(x)[0], float(p[2]), 0.1, limits)
        ends = np.exp([low, high])
        return math.exp(p[2]), float(ends[1] - ends[0]) / (2.0 * Z95), ends

    def gradient(self, p: Floats) -> Floats:
        """Return d model / d (A, rho, log lifetime), float64[3, n]."""
        step = 1e-4
        up, down = (self.shape(p[2] + h) for h in (step, -step))
        return np.stack([self.shape(p[2]), self.side, p[0] * (up - down) / (2.0 * step)])

    def covariance(self, p: Floats) -> Floats:
        """Return the covariance of (A, rho, log lifetime), with the noise of the template."""
        gradient = self.gradient(p)
        noise = self.model(p) + p[1] ** 2 * self.side / self.n_sides
        return covariance_of((gradient / noise) @ gradient.T)

    def p_value(self, p: Floats) -> float:
        """Return the probability of a worse fit."""
        return deviance_p_value(self.n, self.model(p), self.gradient(p))

    def whole(self, p: Floats) -> Floats:
        """Return the model for all bins, NaN before the fitted range."""
        return np.concatenate([np.full(self.skip, math.nan), self.model(p)])


def fit_pairs(
    *,
    first: Ints,
    second: Ints,
    n_pairs: int,
    first_side: Floats,
    second_side: Floats,
    n_sides: int,
    side_pairs: float,
    width: float,
    begin: float,
) -> PairFit:
    """Fit lifetimes and yield ratio to the histograms of `biexciton`; see there.

    Parameters
    ----------
    first, second : ndarray of int64, shape (m,)
        Pairs of a pulse by the first photon and by how much later the second was.
    first_side, second_side : ndarray of float64, shape (m,)
        The same in a mean side peak.
    n_pairs, side_pairs : int, float
        Pairs of a pulse, and in a mean side peak.
    n_sides : int
        Number of side peaks.
    width, begin : float
        Bin width, and where the fit begins, s.
    """
    early = _Above(first, first_side, width, begin, n_sides)
    if n_pairs < FEWEST_PAIRS or early.n.sum() < FEWEST_PAIRS or not early.side.any():
        return _nothing(first.size, f"{n_pairs} pairs of one pulse are too few (at least {FEWEST_PAIRS})")
    p, deviance, limits = early.best()
    if early.flat() - deviance < STANDS_OUT:
        return _nothing(first.size, "no cascade stands out: the first photons come as in pairs of different pulses")
    of_pair = early.lifetime(p, limits)
    # the time between two photons of different pulses falls like that of a cascade: their share is known from the first
    gap = _Above(second, second_side, width, begin, n_sides, float(p[1]))
    q, _, gap_limits = gap.best()
    of_exciton = gap.lifetime(q, gap_limits)
    covariance = early.covariance(p)
    # pairs of one emitter: what a side peak has above pairs of different ones and of background
    accidental = float(p[1])
    own = (1.0 - accidental) * side_pairs
    ratio, ratio_err = _ratio(p, covariance, own, side_pairs, n_sides)
    reason = ""
    if own <= 0.05 * side_pairs:
        reason, ratio, ratio_err = "nearly all pairs are accidental: the yield ratio is not known", math.nan, math.nan
    elif of_pair[2][1] >= math.exp(limits[1]) * 0.99 or of_pair[0] > 0.45 * of_exciton[0]:
        reason = "k_BX is near 2 k_X or below: the cascade is hard to tell from accidental pairs"
    known = math.isfinite(ratio)
    return PairFit(
        *of_pair, *of_exciton, ratio, ratio_err,
        np.maximum([ratio - Z95 * ratio_err, ratio + Z95 * ratio_err], 0.0) if known else NOT_KNOWN,
        accidental, math.sqrt(max(float(covariance[1, 1]), 0.0)), early.whole(p), gap.whole(q),
        early.p_value(p), True, reason,
    )  # fmt: skip


def _ratio(p: Floats, covariance: Floats, own: float, side_pairs: float, n_sides: int) -> tuple[float, float]:
    """Return A over the pairs of one emitter in a side peak, and its error."""
    if own <= 0:
        return math.nan, math.nan
    ratio = float(p[0]) / own
    gradient = np.array([1.0 / own, ratio * side_pairs / own])
    variance = float(gradient @ covariance[:2, :2] @ gradient)
    variance += (ratio / own) ** 2 * ((1.0 - p[1]) ** 2 * side_pairs / n_sides)
    return ratio, math.sqrt(max(variance, 0.0))


def _nothing(n: int, reason: str) -> PairFit:
    lost = (math.nan, math.nan, NOT_KNOWN)
    empty = np.full(n, math.nan)
    return PairFit(*lost, *lost, *lost, math.nan, math.nan, empty, empty, math.nan, False, reason)
