"""Decay laws that a fit may choose from, as photons per bin for one photon: what the compiled model does not have."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special

from photonstats.decay_model import Problem
from photonstats.decay_solver import LONGEST, SHORTEST, evaluate
from photonstats.kernels.decay import alive_from_table
from photonstats.kernels.pileup import pile_up

Floats = NDArray[np.float64]

FINER = 8  # points of a tabulated law in a bin
NODES = 32  # rates of a log-normal distribution
EARLIER = 12  # points between which light of earlier pulses is interpolated


def columns(
    problem: Problem, taus: Floats, shift: float, sigma: float, kind: str, shape: float, tail: tuple[float, float]
) -> tuple[Floats, Floats]:
    """Return photons per bin [c, n] of each component and of stray light [n], for one photon; times in bins.

    tail: share and decay time of an exponential tail of the response.
    """
    share, tail_tau = tail
    if kind == "stretched":
        return _stretched(problem, float(taus[0]), shape, shift, sigma)
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
    n = problem.counts.size
    at, weight = _impulses(problem, sigma)
    table = stretched_alive(tau, beta, problem.period, n)
    alive, injected = np.empty(n + 1), np.empty(n)
    alive_from_table(table, FINER, shift, problem.period, at, weight, alive, injected)
    q = np.array([0.0, shift, math.log(sigma), 1.0, 1.0, 0.0])
    scatter = evaluate(_bare(problem), q)[1][4]
    return np.maximum(alive[:-1] - alive[1:] + injected, 0.0)[None, :], scatter


def _impulses(problem: Problem, sigma: float) -> tuple[Floats, Floats]:
    """Return the impulses of the response; a Gaussian as points no further apart than an eighth of its width or bin."""
    if not problem.gaussian:
        return problem.at, problem.weight
    step = min(sigma, 1.0) / 8.0 if sigma < 16.0 else sigma / 16.0
    reach = math.ceil(5.0 * sigma / step)
    x = np.arange(-reach, reach + 1) * step
    weight = np.exp(-0.5 * (x / sigma) ** 2)
    return problem.at[0] + x, weight / weight.sum()


def stretched_alive(tau: float, beta: float, period: float, n: int) -> Floats:
    """Return what exp(-(t/tau)^beta) leaves to be emitted, 1 at first, every 1/8 bin, with that of earlier pulses."""
    end = min(period, float(n) + 1.0)
    t = np.arange(math.ceil(end * FINER) + 2) / FINER
    alive = _left(t, tau, beta)
    if math.isinf(period):
        return alive
    # earlier pulses are far from the edge at 0, where alone the law is not smooth: a polynomial joins a few points
    nodes = 0.5 * period * (1.0 - np.cos(np.pi * (np.arange(EARLIER) + 0.5) / EARLIER))
    most = int(np.clip(tau * 40.0 ** (1.0 / beta) / period, 1, 4000))
    many = np.concatenate([np.arange(1, min(most, 40) + 1), _blocks(41, most)[0]])
    times = np.concatenate([np.ones(min(most, 40)), _blocks(41, most)[1]])
    late = (times[:, None] * _left(nodes[None, :] + many[:, None] * period, tau, beta)).sum(axis=0)
    shape = np.polynomial.chebyshev.chebfit(2.0 * nodes / period - 1.0, late, EARLIER - 1)
    return np.asarray(alive + np.polynomial.chebyshev.chebval(2.0 * np.minimum(t, period) / period - 1.0, shape))


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
