"""The search for the most likely decay, its errors and intervals; times in bins."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from photonstats.decay_model import Floats, Problem
from photonstats.kernels import decay as kernels
from photonstats.likelihood import covariance_of, profile_interval

MOST_STEPS = 300
SHORTEST, LONGEST = 0.02, 100.0  # lifetimes searched: in bins, and in spans of the data


@dataclass(frozen=True)
class Solution:
    """Parameters q = log tau_i, shift, log sigma, A_i, A_scatter, B at the maximum, and what was free."""

    problem: Problem
    q: Floats
    deviance: float
    status: int
    free: NDArray[np.int64]
    low: Floats
    high: Floats

    @property
    def n_components(self) -> int:
        """Number of exponentials."""
        return (self.q.size - 4) // 2

    def evaluate(self, q: Floats | None = None) -> tuple[Floats, Floats]:
        """Return expected counts per bin and their derivatives to q."""
        return evaluate(self.problem, self.q if q is None else q)


def evaluate(problem: Problem, q: Floats) -> tuple[Floats, Floats]:
    """Return model [n] and jacobian [p, n] at q."""
    n = problem.counts.size
    work, jacobian, model = np.empty((6, n + 1)), np.empty((q.size, n)), np.empty(n)
    kernels.evaluate(
        q, problem.gaussian, problem.period, problem.width, problem.at, problem.weight, work, jacobian, model
    )
    return model, jacobian


def solve(problem: Problem, n_components: int) -> Solution:
    """Find the maximum with one component, then add the others one at a time from several starts."""
    # Fewer components than asked for only lend their starting values.
    solution = _search(problem, 1, _first_starts(problem), MOST_STEPS if n_components == 1 else 10)
    for n in range(2, n_components + 1):
        solution = _search(problem, n, _starts_from(solution), MOST_STEPS if n == n_components else 10)
    return solution


def add_component(solution: Solution) -> Solution:
    """Find the maximum with one component more."""
    return _search(solution.problem, solution.n_components + 1, _starts_from(solution))


def _first_starts(problem: Problem) -> list[Floats]:
    starts = []
    for shift in dict.fromkeys(round(s, 3) for s in problem.start_shifts):
        for share in (0.003, 0.01, 0.03, 0.1, 0.3, 1.0):
            tau = max(share * problem.span, 0.3)
            starts.append(_start(problem, [tau], shift, problem.sigma))
    return starts


def _starts_from(solution: Solution) -> list[Floats]:
    n = solution.n_components
    taus = np.sort(np.exp(solution.q[:n]))
    shift, sigma = float(solution.q[n]), math.exp(solution.q[n + 1])
    more = [[*taus, 0.1 * taus[0]], [*taus, 0.35 * taus[0]], [*taus, 4.0 * taus[-1]]]
    for i, tau in enumerate(taus):
        more.append([*np.delete(taus, i), 0.4 * tau, 1.5 * tau])
    return [_start(solution.problem, each, shift, sigma) for each in more]


def _start(problem: Problem, taus: Iterable[float], shift: float, sigma: float) -> Floats:
    tau = np.clip(np.asarray(list(taus)), 2 * SHORTEST, 0.5 * LONGEST * problem.span)
    c, photons = tau.size, problem.n_photons
    q = np.zeros(2 * c + 4)
    q[:c] = np.log(tau)
    q[c], q[c + 1] = shift, math.log(sigma)
    q[c + 2 : 2 * c + 2] = 0.9 * photons / c
    q[2 * c + 2] = 0.02 * photons if problem.free_scatter else 0.0
    fitted = problem.background is None
    q[2 * c + 3] = 0.1 * photons / float(problem.use.sum()) if fitted else problem.background
    return q


def _bounds(problem: Problem, c: int) -> tuple[Floats, Floats, Floats]:
    low, high = np.full(2 * c + 4, -np.inf), np.full(2 * c + 4, np.inf)
    longest = np.full(2 * c + 4, np.inf)
    low[:c], high[:c], longest[:c] = math.log(SHORTEST), math.log(LONGEST * problem.span), 1.0
    longest[c] = max(1.0, 0.02 * problem.span)
    low[c + 1], high[c + 1] = math.log(0.02), math.log(problem.span / 8.0)
    longest[c + 1] = 0.5
    low[c + 2 :] = 0.0
    return low, high, longest


def _free(problem: Problem, c: int) -> NDArray[np.int64]:
    free = [*range(c)]
    free += [c] if problem.free_shift else []
    free += [c + 1] if problem.free_sigma else []
    free += [*range(c + 2, 2 * c + 2)]
    free += [2 * c + 2] if problem.free_scatter else []
    free += [2 * c + 3] if problem.background is None else []
    return np.array(free, np.int64)


def _maximise(
    problem: Problem, q: Floats, free: NDArray[np.int64], bounds: tuple[Floats, Floats, Floats], steps: int
) -> tuple[float, int]:
    n = problem.counts.size
    work, jacobian, model = np.empty((6, n + 1)), np.empty((q.size, n)), np.empty(n)
    deviance, status = kernels.maximise(
        q, *bounds, free, problem.gaussian, problem.period, problem.width, problem.at, problem.weight, problem.counts,
        problem.use, steps, work, jacobian, model,
    )  # fmt: skip
    return deviance, status


def _search(problem: Problem, c: int, starts: list[Floats], steps: int = MOST_STEPS) -> Solution:
    """Screen the starts by their best photon numbers alone, walk a few steps from the best two, finish the best."""
    bounds, free = _bounds(problem, c), _free(problem, c)
    linear = free[free >= c + 2]
    screened = [(_maximise(problem, q, linear, bounds, 3)[0], i) for i, q in enumerate(starts)]
    walked = []
    for _, i in sorted(screened)[:2]:
        walked.append((_maximise(problem, starts[i], free, bounds, 8)[0], i))
    q = starts[min(walked)[1]]
    deviance, status = _maximise(problem, q, free, bounds, steps)
    return Solution(problem, q, deviance, status, free, bounds[0], bounds[1])


def covariance(solution: Solution) -> Floats:
    """Return the covariance of q from the expected information, zero for what was fixed.

    Where a photon number is zero the information is taken half a count inside of the bound: at the bound itself bins
    without expected light would seem to know it without error.
    """
    q, problem, c = solution.q.copy(), solution.problem, solution.n_components
    free = solution.free
    bins = float(problem.width[problem.use].sum())
    for i in free[free >= c + 2]:
        q[i] = max(q[i], 0.5 / bins if i == 2 * c + 3 else 0.5)
    model, jacobian = solution.evaluate(q)
    rows = jacobian[free][:, problem.use]
    information = (rows / model[problem.use]) @ rows.T
    full = np.zeros((q.size, q.size))
    full[np.ix_(free, free)] = covariance_of(information)
    return full


def lifetime_intervals(solution: Solution, errors: Floats, level: float = 0.95) -> Floats:
    """Return profile-likelihood intervals of the lifetimes in bins [c, 2]; 0 or inf where the data set no limit."""
    c = solution.n_components
    intervals = np.empty((c, 2))
    bounds = _bounds(solution.problem, c)
    for i in range(c):
        others = solution.free[solution.free != i]
        # Each side starts anew from the maximum and then follows its own ridge outward.
        trails: dict[bool, Floats] = {}

        def profile(x: float, i: int = i, others: NDArray[np.int64] = others) -> float:
            trail = trails.setdefault(x >= solution.q[i], solution.q.copy())  # noqa: B023
            trail[i] = x
            return _maximise(solution.problem, trail, others, bounds, 60)[0]

        error = float(np.clip(errors[i], 1e-6, 1.0)) if math.isfinite(errors[i]) else 1.0
        ends = profile_interval(profile, float(solution.q[i]), error, (bounds[0][i], bounds[1][i]), level)
        intervals[i, 0] = 0.0 if ends[0] <= bounds[0][i] else math.exp(ends[0])
        intervals[i, 1] = math.inf if ends[1] >= bounds[1][i] else math.exp(ends[1])
    return intervals
