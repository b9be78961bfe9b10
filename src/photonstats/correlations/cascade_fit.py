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
    """Counts n of bins: an exponential above two templates; parameters (A, rho, sigma, log lifetime).

    A is the number of pairs of the whole exponential, from time zero on, so that what the fitted range leaves out is in
    it; rho times `side` are pairs of different emitters, sigma times `dark` those with background. `known` (rho, sigma)
    are held. The noise of `side`, a mean of `n_sides` peaks, adds to that of the counts. With a known share `spoiled`
    of pairs with background, sigma is that share in every peak, and `side` is taken without it.
    """

    def __init__(
        self,
        counts: Ints,
        side: Floats,
        dark: Floats,
        width: float,
        begin: float,
        n_sides: int,
        known: tuple[float | None, float | None] = (None, None),
        spoiled: float | None = None,
    ) -> None:
        skip = math.ceil(begin / width)
        self.n = counts[skip:].astype(np.float64)
        self.side, self.dark = side[skip:], dark[skip:]
        if spoiled is not None:
            self.side, known = self.side - spoiled * self.dark, (known[0], spoiled)
        self.edges = (np.arange(self.n.size + 1) + skip) * width
        self.width, self.skip, self.n_sides = width, skip, n_sides
        self.free = np.array([True, known[0] is None, known[1] is None and bool(self.dark.any())])
        self.start = np.array([0.5, 0.5 if known[0] is None else known[0], 0.02 if known[1] is None else known[1]])
        if known[1] is None and not self.free[2]:
            self.start[2] = 0.0

    def shape(self, log_time: float) -> Floats:
        below = -np.exp(-self.edges / math.exp(log_time))
        found: Floats = np.diff(below)
        return found

    def model(self, p: Floats) -> Floats:
        found: Floats = np.maximum(p[0] * self.shape(p[3]) + p[1] * self.side + p[2] * self.dark, 1e-9)
        return found

    def deviance(self, p: Floats) -> float:
        m = self.model(p)
        return float(2.0 * np.sum(m - self.n + special.xlogy(self.n, np.maximum(self.n, 1.0) / m)))

    def linear(self, log_time: float, *, cascade: bool = True) -> tuple[float, Floats]:
        """Return the least deviance at a lifetime and its parameters: a convex problem in amplitudes >= 0."""
        basis = np.stack([self.shape(log_time), self.side, self.dark])
        free, p = self.free & np.array([cascade, True, True]), self.start.copy()
        p[0] = max(self.n.sum(), 1.0) / 2.0 / max(float(basis[0].sum()), 1e-12) if cascade else 0.0
        if not free.any():
            return self.deviance(np.append(p, log_time)), np.append(p, log_time)
        value = self.deviance(np.append(p, log_time))
        for _ in range(100):
            m = np.maximum(p @ basis, 1e-9)
            gradient = basis @ (1.0 - self.n / m)
            moves = free & ((p > 0) | (gradient < 0))  # at zero, and better below: stays there
            # bins without counts have no curvature: any given to them holds amplitudes where the model is nearly zero
            bend = (basis[moves] * (self.n / m**2)) @ basis[moves].T
            step = np.zeros(3)
            step[moves] = np.linalg.lstsq(bend, gradient[moves], rcond=1e-14)[0]
            share, new = 1.0, np.maximum(p - step, 0.0)
            while (after := self.deviance(np.append(new, log_time))) > value and share > 1e-3:
                share /= 2.0
                new = np.maximum(p - share * step, 0.0)
            # expectation maximisation never gets worse, where Newton's step stops at the border of a zero
            mixed = np.where(free, p * (basis @ (self.n / m)) / np.maximum(basis.sum(axis=1), 1e-300), p)
            if (other := self.deviance(np.append(mixed, log_time))) < after:
                new, after = mixed, other
            if after >= value - 1e-9 * (1.0 + abs(value)):
                break
            p, value = new, after
        found = np.append(p, log_time)
        return self.deviance(found), found

    def flat(self) -> float:
        """Return the least deviance without a cascade."""
        return self.linear(0.0, cascade=False)[0]

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
        low, high = profile_interval(lambda x: self.linear(x)[0], float(p[3]), 0.1, limits)
        ends = np.exp([low, high])
        return math.exp(p[3]), float(ends[1] - ends[0]) / (2.0 * Z95), ends

    def slopes(self, p: Floats) -> Floats:
        """Return d model / d (A, rho, sigma, log lifetime), float64[4, n]."""
        step = 1e-4
        up, down = (self.shape(p[3] + h) for h in (step, -step))
        found: Floats = np.stack([self.shape(p[3]), self.side, self.dark, p[0] * (up - down) / (2.0 * step)])
        return found

    def gradient(self, p: Floats) -> Floats:
        """Return the slopes, zero for what is held."""
        found: Floats = self.slopes(p) * np.append(self.free, True)[:, None]
        return found

    def noise_of_held(self, p: Floats, covariance: Floats) -> float:
        """Return the standard error that rho and sigma, held with an error, add to the log lifetime."""
        slopes = self.slopes(p)
        bend = (slopes / self.model(p)) @ slopes.T
        moved = np.linalg.lstsq(bend[np.ix_([0, 3], [0, 3])], bend[np.ix_([0, 3], [1, 2])], rcond=1e-14)[0][1]
        return math.sqrt(max(float(moved @ covariance[1:3, 1:3] @ moved), 0.0))

    def covariance(self, p: Floats) -> Floats:
        """Return the covariance of (A, rho, sigma, log lifetime), with the noise of the template."""
        gradient = self.gradient(p)
        noise: Floats = self.model(p) + p[1] ** 2 * np.maximum(self.side, 0.0) / self.n_sides
        found = covariance_of((gradient / noise) @ gradient.T)
        known: Floats = np.where(np.isfinite(found), found, 0.0)
        return known

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
    first_dark: Floats,
    second_dark: Floats,
    n_sides: int,
    side_pairs: float,
    dark: float | None,
    dark_err: float,
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
    first_dark, second_dark : ndarray of float64, shape (m,)
        Shares of pairs with background, from the decays.
    n_pairs, side_pairs : int, float
        Pairs of a pulse, and in a mean side peak.
    n_sides : int
        Number of side peaks.
    dark : float or None
        Pairs with background in a peak; None: fitted.
    dark_err : float
        Standard error of `dark`.
    width, begin : float
        Bin width, and where the fit begins, s.
    """
    share = None if dark is None else dark / max(side_pairs, 1.0)
    early = _Above(first, first_side, first_dark * side_pairs, width, begin, n_sides, spoiled=share)
    if n_pairs < FEWEST_PAIRS or early.n.sum() < FEWEST_PAIRS or not early.side.any():
        return _nothing(first.size, f"{n_pairs} pairs of one pulse are too few (at least {FEWEST_PAIRS})")
    p, deviance, limits = early.best()
    if early.flat() - deviance < STANDS_OUT:
        return _nothing(first.size, "no cascade stands out: the first photons come as in pairs of different pulses")
    of_pair = early.lifetime(p, limits)
    # the time between two photons of different pulses falls like that of a cascade: their share is known from the first
    held = float(p[1]), float(p[2])
    gap = _Above(second, second_side, second_dark * side_pairs, width, begin, n_sides, held, share)
    q, _, gap_limits = gap.best()
    covariance = early.covariance(p)
    of_exciton = _wider(gap.lifetime(q, gap_limits), gap.noise_of_held(q, covariance))
    ratio, ratio_err, own = _ratio(p, covariance, side_pairs, n_sides, dark)
    if share is not None and dark_err > 0:
        ends = []
        for moved in (max(share - dark_err / side_pairs, 0.0), share + dark_err / side_pairs):
            other = _Above(first, first_side, first_dark * side_pairs, width, begin, n_sides, spoiled=moved).best()[0]
            ends.append((other[3], _ratio(other, covariance, side_pairs, n_sides, moved * side_pairs)[0]))
        of_pair = _wider(of_pair, abs(ends[1][0] - ends[0][0]) / 2.0)
        ratio_err = math.hypot(ratio_err, (ends[1][1] - ends[0][1]) / 2.0)
    reason = ""
    if own <= 0.05 * side_pairs:
        reason, ratio, ratio_err = "nearly all pairs are accidental: the yield ratio is not known", math.nan, math.nan
    elif of_pair[2][1] >= math.exp(limits[1]) * 0.99 or of_pair[0] > 0.45 * of_exciton[0]:
        reason = "k_BX is near 2 k_X or below: the cascade is hard to tell from accidental pairs"
    accidental = p[1] + p[2] * (1.0 if share is None else 1.0 - p[1])
    # one pair more or less is seen at best, also where none are accidental
    accidental_err = math.hypot(
        math.sqrt(max(float(covariance[1:3, 1:3].sum()), 0.0)), 1.0 / max(float(early.side.sum()), 1.0)
    )
    known = math.isfinite(ratio)
    return PairFit(
        *of_pair, *of_exciton, ratio, ratio_err,
        np.maximum([ratio - Z95 * ratio_err, ratio + Z95 * ratio_err], 0.0) if known else NOT_KNOWN,
        float(accidental), accidental_err, early.whole(p), gap.whole(q), early.p_value(p), True, reason,
    )  # fmt: skip


def _wider(found: tuple[float, float, Floats], error: float) -> tuple[float, float, Floats]:
    """Return a lifetime whose logarithm has another independent standard error."""
    value, _, ends = found
    low, high = np.log(value / ends[0]), np.log(ends[1] / value)
    ends = value * np.exp([-math.hypot(low, Z95 * error), math.hypot(high, Z95 * error)])
    return value, float(ends[1] - ends[0]) / (2.0 * Z95), ends


def _ratio(
    p: Floats, covariance: Floats, side_pairs: float, n_sides: int, dark: float | None
) -> tuple[float, float, float]:
    """Return A over the pairs of one emitter in a side peak, its error, and those pairs.

    A side peak holds pairs of one emitter, pairs of different ones (a share rho of both) and pairs with background; of
    the centre, rho of the side peak's background stand in its template and sigma beside it.
    """
    rho, sigma = float(p[1]), float(p[2])
    if rho >= 1.0:
        return math.nan, math.nan, 0.0
    spoiled = sigma / (1.0 - rho) if dark is None else dark / side_pairs
    own = (1.0 - rho) * (1.0 - spoiled) * side_pairs
    if own <= 0:
        return math.nan, math.nan, own
    ratio = float(p[0]) / own
    of_sigma = ratio * side_pairs / own if dark is None else 0.0
    gradient = np.array([1.0 / own, ratio / own * side_pairs * (1.0 if dark is None else 1.0 - spoiled), of_sigma])
    variance = float(gradient @ covariance[:3, :3] @ gradient) + ratio**2 / max(side_pairs * n_sides, 1.0)
    return ratio, math.sqrt(max(variance, 0.0)), own


def _nothing(n: int, reason: str) -> PairFit:
    lost = (math.nan, math.nan, NOT_KNOWN)
    empty = np.full(n, math.nan)
    return PairFit(*lost, *lost, *lost, math.nan, math.nan, empty, empty, math.nan, False, reason)
