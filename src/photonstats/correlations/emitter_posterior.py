"""Probability of each number of emitters from pairs of photons later than a rising gate: the statistics only.

Shares p_i of the mean light, S = sum p_i^2. Pairs of different emitters are F = 1 - S of those of independent light of
the same mean rates where they blink independently. Divided by the bunching B, they count those on at the same time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

BRIGHTNESS_SPREAD = 0.2  # scale of the half-normal prior of the coefficient of variation of brightness
UNEQUAL, UNEQUAL_SPREAD = 0.1, 0.6  # weight and scale of emitters of very different brightness: a dim partner
LEAK = 0.005  # mean of the exponential prior of further centre pairs of one emitter: afterglow, crosstalk
OVERLAP_SPREAD = 0.15  # relative uncertainty of the share of pairs in which a photon came a period late
COMMON = 0.01  # mean of the exponential prior of the variance of fluctuations that all emitters share
COMMON_UNKNOWN = 0.05  # weight of such fluctuations of any size up to the bunching seen
DARK_BIEXCITONS = 0.15  # weight of emitters without biexciton light
NOT_CLEARED = 0.05  # weight of biexcitons that a gate cannot clear
SLOWEST, FASTEST = 0.1, 400.0  # of the others: k_BX - 2 k_X, in k_X
STATISTICAL, BELOW = 2.0, 0.1  # k_BX >= 4 k_X is what two excitons make of one another's rates; weight of slower ones
NORMALISATION = 0.004  # relative systematic uncertainty of the far normalisation
DRAWS = 16384
_POINTS = 17
_TINY = 1e-9


@dataclass(frozen=True, eq=False)
class GatedPairs:
    """Pairs of photons both later than each gate, and what they are compared with.

    Parameters
    ----------
    gate : ndarray of float64, shape (n,)
        Rising, s.
    centre, sides : ndarray of float64, shape (n,)
        Pairs in the centre and in all side peaks together.
    n_sides : int
        Number of side peaks.
    photons : ndarray of float64, shape (n, 2)
        Photons on a and b.
    share : ndarray of float64, shape (n, 2)
        Part of the period that the gate leaves open.
    duration, period : float
        In s.
    exciton_rate : float
        Rate at which the light falls, 1/s.
    overlap : float
        Share of the centre pairs of a lone emitter that late photons of earlier pulses make.
    far_value, far_variance, far_dof : float
        Centre over independent light, its relative variance by blinking, as the stretches show, and the degrees of
        freedom of that.
    overlaps : float
        Squared relative variance of the light by blinking over the number of blinking periods.
    periods : float
        Blinking periods in the recording; inf for steady light.
    first : int
        First gate whose pairs count: earlier ones may be cut by the response of the detectors.
    """

    gate: Floats
    centre: Floats
    sides: Floats
    n_sides: int
    photons: Floats
    share: Floats
    duration: float
    period: float
    exciton_rate: float
    overlap: float = 0.0
    far_value: float = math.nan
    far_variance: float = 0.0
    far_dof: float = math.inf
    overlaps: float = 0.0
    periods: float = math.inf
    first: int = 0

    def light(self, dark: Floats) -> tuple[Floats, Floats]:
        """Return pairs per peak of independent light and those with background, for background rates in Hz."""
        every = self.photons.prod(axis=1) * self.period / self.duration
        kept = np.maximum(self.photons - self.share * dark * self.duration, 0.0)
        # later gates hold no more light than earlier ones, which a background too large would contradict
        kept = np.maximum.accumulate(kept[::-1], axis=0)[::-1]
        light = kept.prod(axis=1) * self.period / self.duration
        return light, every - light

    def bunching(self, dark: Floats) -> float:
        """Return side peaks over independent light at the first gate."""
        light, other = self.light(dark)
        return float((self.sides[0] / self.n_sides - other[0]) / light[0]) if light[0] > 0 else math.nan


@dataclass(frozen=True, eq=False)
class Background2:
    """Background rates on a and b (Hz) that are summed over, float64[k, 2], with their weights."""

    rates: Floats
    weights: Floats

    def moments(self) -> tuple[Floats, Floats]:
        """Return mean and standard deviation of both rates, Hz."""
        mean = self.weights @ self.rates
        return mean, np.sqrt(np.maximum(self.weights @ (self.rates - mean) ** 2, 0.0))


@dataclass(frozen=True, eq=False)
class Likelihood:
    """Likelihood of the plateau Q (centre over independent light after all biexcitons), all else summed over.

    Parameters
    ----------
    plateau, log : ndarray of float64, shape (m,)
        Q and the logarithm of its likelihood.
    bunching : float
        At the most probable background.
    yield_ratio, rate : float
        Biexciton over exciton yield and k_BX - 2 k_X (1/s), posterior medians.
    yield_ratio_ci, rate_ci : ndarray of float64, shape (2,)
        Central 95 % of their posteriors.
    rates : ndarray of float64, shape (2,)
        Posterior mean of the background, Hz.
    rates_err : ndarray of float64, shape (2,)
        Its standard deviation.
    """

    plateau: Floats
    log: Floats
    bunching: float
    yield_ratio: float
    yield_ratio_ci: Floats
    rate: float
    rate_ci: Floats
    rates: Floats
    rates_err: Floats

    def at(self, plateau: Floats) -> Floats:
        """Return the likelihood over its largest value."""
        values: Floats = np.exp(np.interp(plateau, self.plateau, self.log) - self.log.max())
        return values


def prior_settings() -> dict[str, Any]:
    """Return what was assumed before the data, for results that say so."""
    return {
        "brightness_spread": BRIGHTNESS_SPREAD,
        "unequal": [UNEQUAL, UNEQUAL_SPREAD],
        "leak_mean": LEAK,
        "common_fluctuation_mean": COMMON,
        "dark_biexcitons": DARK_BIEXCITONS,
        "not_cleared": NOT_CLEARED,
        "slow": BELOW,
        "rate_range": [SLOWEST, STATISTICAL, FASTEST],
    }


def normal_background(rates: Floats, errors: Floats, measured: Floats, n: int = 9) -> Background2:
    """Return background rates of normal distribution above zero; errors of both detectors as one of the same pairs."""
    slope = measured[::-1] * errors  # d pairs
    total = float(slope.sum())
    if total <= 0:
        return Background2(rates[None, :], np.ones(1))
    z = np.linspace(-3.0, 3.0, n)
    scale = math.hypot(*slope) / total
    drawn = rates + z[:, None] * errors * scale
    weights = np.exp(-(z**2) / 2.0) * np.all(drawn >= 0, axis=1)
    if not weights.any():
        return Background2(rates[None, :], np.ones(1))
    kept = weights > 0
    return Background2(np.minimum(drawn[kept], 0.999 * measured), weights[kept] / weights[kept].sum())


def broad_background(measured: Floats, mean_share: float, n: int = 13) -> Background2:
    """Return background of an unknown share of the measured rates, exponential with the given mean."""
    share = -mean_share * np.log1p(-(np.arange(n) + 0.5) / n)
    return Background2(np.minimum(share, 0.8)[:, None] * measured, np.full(n, 1.0 / n))


def plateau_likelihood(pairs: GatedPairs, background: Background2) -> Likelihood:
    """Sum the Poisson likelihood of disjoint pairs over biexcitons and background.

    Notes
    -----
    Between two gates `X_i Q + A X_0 (exp(-k t_i) - exp(-k t_i+1)) + D_i` pairs are expected in the centre, with pairs
    of independent light X, pairs with background D, and biexcitons of rate k and amplitude A = beta (B - Q), beta
    uniform in 0 ... 1. The pairs between two gates are independent Poisson counts, those after each gate are not.
    """
    counts = -np.diff(pairs.centre, append=0.0)[pairs.first :]
    per_light = pairs.light((background.weights[:, None] * background.rates).sum(axis=0))[0][0]
    top = max(1.3, 1.5 * pairs.centre[0] / max(per_light, _TINY)) if per_light > 0 else 1.3
    q = np.unique(np.concatenate([np.linspace(0.0, min(top, 30.0), 41), np.geomspace(1e-4, 0.1, 16)]))
    kappa = np.concatenate([_SLOW, np.geomspace(SLOWEST, FASTEST, 20)])
    for _ in range(3):
        log = _nodes(pairs, counts, background, q, kappa)[0]
        # the peak of what a gate clears is narrow beside the plateau that slow biexcitons make
        cleared = log[:, kappa >= STATISTICAL].max(axis=(0, 1))
        q = np.union1d(_refined(q, log.max(axis=(0, 1)), 10), _refined(q, cleared, 20))
        fast = kappa >= SLOWEST
        profile = log.max(axis=(0, 2))[fast]
        kappa = np.concatenate([_SLOW, np.exp(_refined(np.log(kappa[fast]), profile, 10))])
    log, amount, spread = _nodes(pairs, counts, background, q, kappa)
    prior = np.log(background.weights)[:, None] + np.log(_rate_weights(kappa))[None, :]
    joint = log + prior[:, :, None]
    return _summarised(pairs, background, q, kappa, joint, amount, spread)


_SLOW = np.array([-0.8, -0.4, -0.1, 0.05])  # biexcitons that no gate clears


def _rate_weights(kappa: Floats) -> Floats:
    fast = kappa[_SLOW.size :]
    slower = fast < STATISTICAL
    density = np.where(
        slower,
        BELOW / math.log(STATISTICAL / SLOWEST),
        (1.0 - NOT_CLEARED - BELOW) / math.log(FASTEST / STATISTICAL),
    )
    return np.concatenate([np.full(_SLOW.size, NOT_CLEARED / _SLOW.size), density * _trapezoids(np.log(fast))])


def _trapezoids(x: Floats) -> Floats:
    step = np.diff(x)
    return np.concatenate([step, [0.0]]) / 2.0 + np.concatenate([[0.0], step]) / 2.0


def _refined(x: Floats, profile: Floats, n: int) -> Floats:
    """Add `n` nodes where the profile likelihood is within exp(-18) of its maximum."""
    good = np.flatnonzero(profile > profile.max() - 18.0)
    low, high = max(good[0] - 1, 0), min(good[-1] + 1, x.size - 1)
    return np.unique(np.concatenate([x, np.linspace(x[low], x[high], n)]))


def _nodes(
    pairs: GatedPairs, counts: Floats, background: Background2, q: Floats, kappa: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return log-likelihood, amplitude of biexcitons over its bound, and its spread: float64[backgrounds, rates, q]."""
    found = [_of_background(pairs, counts, dark, q, kappa) for dark in background.rates]
    log, amount, spread = (np.stack(each) for each in zip(*found, strict=True))
    return log, amount, spread


def _of_background(
    pairs: GatedPairs, counts: Floats, dark: Floats, q: Floats, kappa: Floats
) -> tuple[Floats, Floats, Floats]:
    light, other = pairs.light(dark)
    rate = (kappa + 2.0) * pairs.exciton_rate
    x, d = (-np.diff(each, append=0.0)[pairs.first :] for each in (light, other))
    after = np.exp(-rate[:, None] * pairs.gate[pairs.first :])
    shape = (light[0] * -np.diff(after, append=0.0, axis=1))[:, None, :]
    base = np.maximum(q[:, None] * x + d, _TINY)[None, :, :]
    bound = np.maximum(pairs.bunching(dark) - q, 1e-3)[None, :]
    best, slope, bend = _best_amount(counts, base, shape, bound)
    scale = 1.0 / (np.abs(slope) + np.sqrt(bend) + 1e-300)
    low, high = np.maximum(best - 5.0 * scale, 0.0), np.minimum(best + 7.0 * scale, bound)
    logs = np.empty((_POINTS, *best.shape))
    steps = np.linspace(0.0, 1.0, _POINTS)
    for i, step in enumerate(steps):
        mean = base + (low + step * (high - low))[:, :, None] * shape
        logs[i] = np.log(mean) @ counts - mean.sum(axis=2)
    peak = logs.max(axis=0)
    weight = np.exp(logs - peak) * (_trapezoids(steps))[:, None, None]
    total = weight.sum(axis=0)
    middle = np.tensordot(steps, weight, 1) / total
    square = np.tensordot(steps**2, weight, 1) / total
    width = high - low
    some = peak + np.log(total * width / bound + 1e-300) + math.log1p(-DARK_BIEXCITONS)
    none = (np.log(base) @ counts - base.sum(axis=2)) + math.log(DARK_BIEXCITONS)
    log = np.logaddexp(some, none)
    share, amount = np.exp(some - log), (low + middle * width) / bound
    variance = np.maximum(square - middle**2, 0.0) * (width / bound) ** 2
    return log, share * amount, np.sqrt(share * (variance + (1.0 - share) * amount**2))


def _best_amount(counts: Floats, base: Floats, shape: Floats, bound: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the amplitude >= 0 of largest likelihood, with slope and curvature there.

    The slope is convex and falls, so that Newton steps from below never pass its root.
    """
    area = np.maximum(shape.sum(axis=2), _TINY)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        each = np.where(shape > 1e-12 * area[:, :, None], counts / area[:, :, None] - base / shape, 0.0)
    best = np.clip(each.max(axis=2), 0.0, bound)
    for _ in range(8):
        mean = base + best[:, :, None] * shape
        slope = (shape * (counts / mean - 1.0)).sum(axis=2)
        bend = (shape**2 * counts / mean**2).sum(axis=2)
        best = np.clip(best + slope / np.maximum(bend, 1e-300), 0.0, bound)
    mean = base + best[:, :, None] * shape
    slope = (shape * (counts / mean - 1.0)).sum(axis=2)
    inside = (best > 0) & (best < bound)
    return best, np.where(inside, 0.0, slope), (shape**2 * counts / mean**2).sum(axis=2)


def _summarised(
    pairs: GatedPairs,
    background: Background2,
    q: Floats,
    kappa: Floats,
    joint: Floats,
    amount: Floats,
    spread: Floats,
) -> Likelihood:
    weight = np.exp(joint - joint.max())
    log = np.log(weight.sum(axis=(0, 1)) + 1e-300) + joint.max()
    # far from the maximum the sum underflows: the largest term stands for it
    log = np.maximum(log, joint.max(axis=(0, 1)))
    weight = weight * _trapezoids(q)
    weight /= weight.sum()
    of_dark = weight.sum(axis=(1, 2))
    mean = of_dark @ background.rates
    error = np.sqrt(np.maximum(of_dark @ (background.rates - mean) ** 2, 0.0))
    beta = _mixture_quantiles(amount.ravel(), spread.ravel(), weight.ravel())
    rate = _quantiles(kappa * pairs.exciton_rate, weight.sum(axis=(0, 2)))
    return Likelihood(
        q, log, pairs.bunching(mean), float(beta[1]), beta[[0, 2]], float(rate[1]), rate[[0, 2]], mean, error
    )


def _mixture_quantiles(mean: Floats, spread: Floats, weight: Floats) -> Floats:
    kept = weight > 1e-6 * weight.max()
    z = special.ndtri((np.arange(20) + 0.5) / 20.0)
    values = np.clip(mean[kept, None] + spread[kept, None] * z, 0.0, 1.0)
    return _quantiles(values.ravel(), np.repeat(weight[kept], z.size))


def _quantiles(values: Floats, weight: Floats) -> Floats:
    order = np.argsort(values)
    total = np.cumsum(weight[order])
    at = np.searchsorted(total, np.array([0.025, 0.5, 0.975]) * total[-1])
    found: Floats = values[order][np.minimum(at, values.size - 1)]
    return found


@lru_cache(maxsize=8)
def _shares(most: int) -> Floats:
    """Return draws of S = sum p_i^2 for 1 ... most emitters of unequal brightness, float64[most, draws]."""
    rng = np.random.default_rng(20240229)
    spread = np.abs(rng.normal(0.0, BRIGHTNESS_SPREAD, DRAWS))
    spread[: round(UNEQUAL * DRAWS)] *= UNEQUAL_SPREAD / BRIGHTNESS_SPREAD
    table = np.empty((most, DRAWS))
    table[0] = 1.0
    sums, squares = np.zeros(DRAWS), np.zeros(DRAWS)
    for m in range(most):
        # gamma variables: brightness is positive
        shape = 1.0 / np.maximum(spread, 1e-3) ** 2
        brightness = rng.gamma(shape) / shape
        sums, squares = sums + brightness, squares + brightness**2
        table[m] = squares / sums**2
    return table


@lru_cache(maxsize=1)
def _uniforms() -> Floats:
    return np.random.default_rng(7).uniform(1e-6, 1.0 - 1e-6, (6, DRAWS))


def far_error(pairs: GatedPairs, m: float) -> float:
    """Return the relative error of a far value by the few blinking periods of `m` >= 2 emitters.

    Notes
    -----
    The larger of what the stretches of the recording show, and what m equal emitters make: their covariances have the
    variance (b - 1)^2 / 4 n for n periods, with b - 1 = m v, and there are m (m - 1) / 2 of them.
    """
    # what scatters is the value seen: of m emitters, whose value would be larger, it is a smaller share
    seen = pairs.far_value / (1.0 - 1.0 / m)
    share = min(max(seen, 0.0), 1.0) ** 2 if math.isfinite(seen) else 1.0
    return min(math.sqrt(max(pairs.far_variance * share, pairs.overlaps * m / (2.0 * (m - 1.0)))), 1.5)


def _blinking(error: float, dof: float, u: Floats, of_error: Floats) -> Floats:
    """Return draws of the factor by which few blinking periods change a far value: gamma of mean 1, down to no overlap.

    The error itself is known to `dof` degrees of freedom only; it is taken at eight quantiles.
    """
    if error <= 0.0:
        return np.ones(u.size)
    at = (np.arange(8) + 0.5) / 8.0
    sizes = error * np.sqrt(dof / special.chdtri(dof, at)) if dof < 1e4 else np.full(8, error)
    which = np.minimum((of_error * 8.0).astype(np.int64), 7)
    nodes = special.ndtr(np.linspace(-4.5, 4.5, 181))
    factors = np.empty(u.size)
    for i, size in enumerate(np.clip(sizes, 1e-3, 3.0)):
        shape = 1.0 / size**2
        chosen = which == i
        factors[chosen] = np.interp(u[chosen], nodes, special.gammaincinv(shape, nodes) / shape)
    return factors


@dataclass(frozen=True, eq=False)
class _Draws:
    """Draws of what comes between F and the plateau Q: factors of blinking and common light, share of leaks."""

    bunching: float
    factor: Floats
    leak: Floats

    def plateau(self, different: Floats | float) -> Floats:
        value = different * self.factor
        plateaus: Floats = value + np.maximum(self.bunching - value, 0.0) * self.leak
        return plateaus


def _draws(pairs: GatedPairs, bunching: float, error: float, n: int = DRAWS) -> _Draws:
    u = _uniforms()[:, :n]
    above = max(bunching - 1.0, 0.0)
    common = np.minimum(-COMMON * np.log1p(-u[0]), above)
    common = np.where(u[1] < COMMON_UNKNOWN, above * u[0], common)
    factor = (1.0 + common) * _blinking(error, pairs.far_dof, u[2], u[5])
    factor *= np.exp(NORMALISATION * special.ndtri(u[3]))
    of_overlap = np.clip(1.0 + OVERLAP_SPREAD * special.ndtri(u[3]), 0.0, 3.0) * pairs.overlap
    return _Draws(bunching, factor, np.minimum(of_overlap - LEAK * np.log1p(-u[4]), 1.0))


def number_posterior(pairs: GatedPairs, found: Likelihood, prior: Floats) -> Floats:
    """Return the probability of 1 ... prior.size emitters."""
    bunching = found.bunching if math.isfinite(found.bunching) else 1.0
    table = _shares(prior.size)
    evidence = np.empty(prior.size)
    for i in range(prior.size):
        error = far_error(pairs, i + 1.0) if i else 0.0
        evidence[i] = found.at(_draws(pairs, bunching, error).plateau(1.0 - table[i])).mean()
    weight = evidence * prior
    posterior: Floats = weight / weight.sum() if weight.sum() > 0 else prior / prior.sum()
    return posterior


def different_likelihood(pairs: GatedPairs, found: Likelihood) -> tuple[Floats, Floats, Floats]:
    """Return F = 1 - S with its likelihood, and that of the near plateau on the same grid."""
    bunching = found.bunching if math.isfinite(found.bunching) else 1.0
    spread = found.at(found.plateau) * _trapezoids(found.plateau)
    centre = float(spread @ found.plateau / spread.sum())
    width = math.sqrt(max(float(spread @ (found.plateau - centre) ** 2 / spread.sum()), 1e-10))
    likely = min(max(centre, 0.0), 0.95)
    error = far_error(pairs, max(2.0, 1.0 / (1.0 - likely)))
    wide = math.hypot(width, likely * error + NORMALISATION + LEAK)
    near = np.linspace(max(centre - 6.0 * wide, 0.0), min(centre + 6.0 * wide, 1.0), 240)
    grid = np.unique(np.concatenate([np.linspace(0.0, 1.0, 101), near]))
    drawn = _draws(pairs, bunching, error, 512)
    far = np.array([found.at(drawn.plateau(f)).mean() for f in grid])
    scale = bunching * np.exp(special.ndtri(_uniforms()[3, :512]) / math.sqrt(max(pairs.sides[0], 1.0)))
    beside = np.array([found.at((p + (1.0 - p) * drawn.leak) * scale).mean() for p in grid])
    return grid, far, beside


def highest(grid: Floats, likelihood: Floats) -> tuple[float, float, Floats]:
    """Return the mode, half the 68 % interval and the 95 % interval of highest density."""
    total = likelihood * _trapezoids(grid)
    if not total.sum() > 0:
        return math.nan, math.nan, np.array([grid[0], grid[-1]])
    order = np.argsort(-likelihood)
    reached = np.cumsum(total[order]) / total.sum()

    def interval(level: float) -> tuple[float, float]:
        inside = order[: int(np.searchsorted(reached, level)) + 1]
        return float(grid[inside.min()]), float(grid[inside.max()])

    low, high = interval(0.6827)
    return float(grid[order[0]]), (high - low) / 2.0, np.array(interval(0.95))


def ratio_posterior(likelihood: Callable[[Floats], Floats], prior: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the probabilities of 1 ... prior.size emitters from g2(0) of continuous light, and P with its likelihood.

    Parameters
    ----------
    likelihood : callable
        Of the value at zero lag over the level around the dip.

    Notes
    -----
    g2(0) = P + (1 - P) beta with beta uniform in 0 ... 1: no gate can clear biexcitons of continuous light.
    """
    table = _shares(prior.size)
    u = _uniforms()
    leak = np.minimum(-LEAK * np.log1p(-u[4]), 1.0)
    evidence = np.empty(prior.size)
    for i in range(prior.size):
        different = 1.0 - table[i]
        evidence[i] = likelihood(different + table[i] * np.minimum(u[0] + leak, 1.0)).mean()
    weight = evidence * prior
    grid = np.linspace(0.0, 1.0, 401)
    beta = (np.arange(400) + 0.5) / 400
    of_grid = np.array([likelihood(p + (1.0 - p) * beta).mean() for p in grid])
    return (weight / weight.sum() if weight.sum() > 0 else prior / prior.sum()), grid, of_grid
