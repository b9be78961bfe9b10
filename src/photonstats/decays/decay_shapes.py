"""Decay laws that a fit may choose from, as photons per bin for one photon: what the compiled model does not have."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray
from scipy import special

from photonstats.decays.decay_model import Problem
from photonstats.decays.decay_solver import LONGEST, SHORTEST, evaluate
from photonstats.kernels.decay import alive_from_tables, alive_of_mixture, chebyshev_panels
from photonstats.kernels.pileup import pile_up

Floats = NDArray[np.float64]

FINER = 8  # points of a tabulated law in a bin
NODES = 32  # rates of a log-normal distribution
EARLIER = 12  # points between which light of earlier pulses is interpolated
PANEL = 16  # points of a stretch of the smooth part of a law, and impulses that stand for all there
NODES_OF_PANEL = np.cos(np.pi * (np.arange(PANEL) + 0.5) / PANEL)


def columns(
    problem: Problem, taus: Floats, shift: float, sigma: float, kind: str, shape: float, tail: tuple[float, float]
) -> tuple[Floats, Floats]:
    """Return photons per bin [c, n] of each component and of stray light [n], for one photon; times in bins.

    tail: share and decay time of an exponential tail of the response.
    """
    share, tail_tau = tail
    if kind == "stretched":
        return _stretched(problem, float(taus[0]), shape, shift, sigma)
    if kind == "lognormal" and share == 0:
        return _mixed(problem, *_lognormal(float(taus[0]), shape, problem), shift, sigma)
    rates, weights = _lognormal(float(taus[0]), shape, problem) if kind == "lognormal" else (1.0 / taus, np.ones(0))
    each = 1.0 / rates
    # a tail as long as a lifetime has no difference to divide by: it is moved aside by a thousandth
    if share > 0 and np.any(np.abs(each / tail_tau - 1.0) < 1e-3):
        tail_tau *= 1.002
    c = each.size
    asked = np.append(each, tail_tau) if share > 0 else each
    q = np.concatenate([np.log(asked), [shift, math.log(sigma)], np.ones(asked.size), [1.0, 0.0]])
    _, jacobian = evaluate(_bare(problem), q)
    found = jacobian[asked.size + 2 : 2 * asked.size + 2]
    scatter = jacobian[2 * asked.size + 2]
    if share > 0:
        late = found[-1]
        through = (each[:, None] * found[:c] - tail_tau * late) / (each - tail_tau)[:, None]
        found = (1.0 - share) * found[:c] + share * through
        scatter = (1.0 - share) * scatter + share * late
    return (weights @ found)[None, :] if weights.size else found, scatter


def corrected(problem: Problem, parts: Floats) -> tuple[Floats, Floats]:
    """Return the expected counts of all parts [m, n] together, and each part, with nonlinearity and pile-up."""
    parts = parts.copy()
    if problem.gain is not None:
        parts *= problem.gain
    model = np.maximum(parts.sum(axis=0), 1e-12)
    if problem.pulses > 0:
        pile_up(model, parts, problem.pulses)
    return model, parts


def _bare(problem: Problem) -> Problem:
    """Return the problem without corrections, which are made on the sum."""
    from dataclasses import replace

    return replace(problem, gain=None, pulses=0.0) if problem.gain is not None or problem.pulses else problem


def _lognormal(tau: float, spread: float, problem: Problem) -> tuple[Floats, Floats]:
    """Return rates per bin and their shares of the photons: amplitudes are log-normal, photons amplitude over rate."""
    at, weight = np.polynomial.hermite_e.hermegauss(NODES)
    log_tau = np.clip(math.log(tau) - spread * at, math.log(SHORTEST / 10), math.log(10 * LONGEST * problem.span))
    # photons = amplitude x lifetime, relative to the largest so that nothing overflows
    photons = weight * np.exp(log_tau - log_tau.max())
    return np.exp(-log_tau), np.asarray(photons / photons.sum(), np.float64)


def _stretched(problem: Problem, tau: float, beta: float, shift: float, sigma: float) -> tuple[Floats, Floats]:
    n, period = problem.counts.size, problem.period
    at, weight = _impulses(problem, sigma)
    at = at + shift
    alive = alive_at(stretched_law(tau, beta, period), np.minimum(np.arange(n + 1.0), period), period, at, weight)
    scatter = _stray(problem, shift, sigma)
    injected = _injected(at, weight, period, n)
    return np.maximum(alive[:-1] - alive[1:] + injected, 0.0)[None, :], scatter


def _mixed(problem: Problem, rates: Floats, shares: Floats, shift: float, sigma: float) -> tuple[Floats, Floats]:
    """Return photons per bin of many exponentials together, without the slopes that a search of each would need."""
    n, p = problem.counts.size, problem
    alive = np.empty(n + 1)
    alive_of_mixture(
        1.0 / rates, shares, p.gaussian, shift, sigma, p.period, p.at, p.weight, np.empty((2, n + 1)), alive
    )
    scatter = _stray(problem, shift, sigma)
    injected = scatter if p.gaussian else _injected(p.at + shift, p.weight, p.period, n)
    return np.maximum(alive[:-1] - alive[1:] + injected, 0.0)[None, :], scatter


def _stray(problem: Problem, shift: float, sigma: float) -> Floats:
    """Return photons per bin of the response itself, for one photon."""
    q = np.array([0.0, shift, math.log(sigma), 1.0, 1.0, 0.0])
    return np.asarray(evaluate(_bare(problem), q)[1][4], np.float64)


def _injected(at: Floats, weight: Floats, period: float, n: int) -> Floats:
    """Return the weight of the impulses that fall into each of n bins."""
    place = at if math.isinf(period) else np.mod(at, period)
    inside = (place >= 0) & (place < n)
    return np.asarray(np.bincount(place[inside].astype(np.int64), weight[inside], n)[:n], np.float64)


def alive_at(law: Callable[[Floats], Floats], edges: Floats, period: float, at: Floats, weight: Floats) -> Floats:
    """Return what is still excited at rising edges[e]: the sum of weight[j] law(edges - at[j]), times in bins.

    During the response and as long again after it each impulse is looked up in a table. Later the sum is smooth:
    polynomials on stretches that double in length give it to 1e-10, as the law is analytic but where it starts.
    """
    finite = math.isfinite(period)
    places = at - at.max()
    span = float(-places.min())
    begin = max(span, 2.0)
    after = np.mod(edges - at.max(), period) if finite else edges - at.max()
    last = period - span if finite else math.inf
    near = (after < begin) | (after >= last)
    alive = np.empty(edges.size)
    early = law(np.arange(math.ceil(min(span + begin, period) * FINER) + 2) / FINER)
    start = max(period - span - 1.0, 0.0) if finite else 0.0
    late = law(start + np.arange(math.ceil((span + 1.0) * FINER) + 2) / FINER) if finite else np.zeros(2)
    found = np.empty(int(near.sum()))
    asked = np.where(after >= last, after - period, after)[near] if finite else after[near]
    alive_from_tables(early, late, start, FINER, asked, period, places, weight, found)
    alive[near] = found
    far = np.flatnonzero(~near)
    if far.size:
        far = far[np.argsort(after[far], kind="stable")]
        borders, shapes = _panels(law, begin, float(after[far[-1]]), places, weight)
        found = np.empty(far.size)
        chebyshev_panels(borders, shapes, after[far], found)
        alive[far] = found
    return alive


def _panels(
    law: Callable[[Floats], Floats], begin: float, end: float, places: Floats, weight: Floats
) -> tuple[Floats, Floats]:
    """Return borders and Chebyshev coefficients of the sum of weight[j] law(t - places[j]) from begin to end."""
    borders = begin * 2.0 ** np.arange(max(math.ceil(math.log2(max(end / begin, 1.0))), 1) + 1)
    borders[-1] = max(min(borders[-1], end), 1.01 * borders[-2])
    # many impulses act on a smooth law as a few with the same moments
    middle, half = 0.5 * places.min(), max(-0.5 * places.min(), 1e-9)
    moments = weight @ chebyshev.chebvander((places - middle) / half, PANEL - 1)
    few = np.linalg.solve(chebyshev.chebvander(NODES_OF_PANEL, PANEL - 1).T, moments)
    times = borders[:-1, None] + 0.5 * (NODES_OF_PANEL + 1.0) * np.diff(borders)[:, None]
    values = law((times[:, :, None] - middle - half * NODES_OF_PANEL).ravel()).reshape(*times.shape, PANEL) @ few
    shapes = np.linalg.solve(chebyshev.chebvander(NODES_OF_PANEL, PANEL - 1), values.T).T
    return np.asarray(borders, np.float64), np.ascontiguousarray(shapes, np.float64)


def _impulses(problem: Problem, sigma: float) -> tuple[Floats, Floats]:
    """Return the impulses of the response; a Gaussian as points no further apart than an eighth of its width or bin."""
    if not problem.gaussian:
        return problem.at, problem.weight
    step = min(sigma, 1.0) / 8.0 if sigma < 16.0 else sigma / 16.0
    reach = math.ceil(5.0 * sigma / step)
    x = np.arange(-reach, reach + 1) * step
    weight = np.exp(-0.5 * (x / sigma) ** 2)
    return problem.at[0] + x, weight / weight.sum()


def stretched_law(tau: float, beta: float, period: float) -> Callable[[Floats], Floats]:
    """Return the function of time that exp(-(t/tau)^beta) leaves to be emitted, 1 at first, with earlier pulses."""
    if math.isinf(period):
        return partial(_left, tau=tau, beta=beta)
    # earlier pulses are far from the edge at 0, where alone the law is not smooth: a polynomial joins a few points
    nodes = 0.5 * period * (1.0 - np.cos(np.pi * (np.arange(EARLIER) + 0.5) / EARLIER))
    most = int(np.clip(tau * 40.0 ** (1.0 / beta) / period, 1, 4000))
    many = np.concatenate([np.arange(1, min(most, 40) + 1), _blocks(41, most)[0]])
    times = np.concatenate([np.ones(min(most, 40)), _blocks(41, most)[1]])
    late = (times[:, None] * _left(nodes[None, :] + many[:, None] * period, tau, beta)).sum(axis=0)
    shape = chebyshev.chebfit(2.0 * nodes / period - 1.0, late, EARLIER - 1)

    def law(t: Floats) -> Floats:
        return np.asarray(_left(t, tau, beta) + chebyshev.chebval(2.0 * np.minimum(t, period) / period - 1.0, shape))

    return law


def _blocks(first: int, last: int) -> tuple[Floats, Floats]:
    """Return middles and sizes of ever longer blocks of the pulses from first to last, for a slow sum."""
    if last < first:
        return np.zeros(0), np.zeros(0)
    ends = [first]
    while ends[-1] <= last:
        ends.append(ends[-1] + max(1, ends[-1] // 40))
    edges = np.array(ends, np.float64)
    return (edges[1:] + edges[:-1] - 1.0) / 2.0, np.diff(edges)


def _left(t: Floats, tau: float, beta: float) -> Floats:
    return np.asarray(special.gammaincc(1.0 / beta, (t / tau) ** beta), np.float64)


def averages(kind: str, tau: float, shape: float) -> tuple[float, float]:
    """Return amplitude- and intensity-weighted average lifetime of a distribution.

    Stretched exponential: tau/beta G(1/beta) and tau G(2/beta)/G(1/beta), G the gamma function; log-normal rates of
    inverse median tau and width s: tau exp(s^2/2) and tau exp(3 s^2/2).
    """
    if kind == "stretched":
        first, second = special.gammaln(1.0 / shape), special.gammaln(2.0 / shape)
        return tau / shape * math.exp(first), tau * math.exp(second - first)
    return tau * math.exp(0.5 * shape**2), tau * math.exp(1.5 * shape**2)
