"""Where the search for two lifetimes begins: a grid of pairs, where it leaves no doubt."""

from __future__ import annotations

import math

import numpy as np

from photonstats.decays.decay_model import CLEAR_RISE, Floats, Problem
from photonstats.kernels.decay_fit import Curves
from photonstats.kernels.decay_grid import grid_of_pairs

GRID = 13  # lifetimes
BASIN = 2  # steps of the grid from the best pair, within which others may be nearly as good
DEPTH = 30.0  # least chi-square by which all other pairs must be worse
UNPLACED = 0.5  # bins by which the start may miss the shift: what counts change within them is not held against a pair
SEPARATE = 2.0  # ratio of two lifetimes from which on they are two
SHARP = 2.0  # bins: of a shorter lifetime, or response, there is more than one place within a bin
WEAK = 10.0  # root photons: what a weaker component describes, one within a bin and another shift may as well
UNLIKELY = 3.0  # standard deviations of the deviance above its mean that speak against a maximum


def pair_start(problem: Problem, curves: Curves) -> Floats | None:
    """Return parameters near the only maximum with two lifetimes; None where a grid of pairs does not prove it.

    With lifetimes, shift and width given the model is a sum of known columns, and least squares with the variance of
    the smoothed counts has its photon numbers in one step. Where each pair outside of one basin is worse by far, no
    other start can end higher.
    """
    if problem.n_photons < CLEAR_RISE or problem.pulses > 0 or problem.span < 24 or jagged(problem):
        return None
    shortest, longest = math.log(max(0.15, 0.0007 * problem.span)), math.log(1.2 * problem.span)
    logs = np.array([shortest + (longest - shortest) * i / (GRID - 1) for i in range(GRID)])
    dark = math.nan if problem.background is None else problem.background
    unplaced, lines = UNPLACED if problem.free_shift else 0.0, int(problem.background is None)
    least, start = math.inf, None
    for shift in dict.fromkeys(problem.start_shifts):
        amount = np.empty((GRID, GRID, 2 + lines))
        i, j, cost, rival = grid_of_pairs(curves, 0, logs, shift, problem.sigma, dark, unplaced, BASIN, amount)
        if cost < least:
            least = cost
            clear = rival > cost + DEPTH
            start = _parameters(problem, float(logs[i]), float(logs[j]), shift, amount[i, j]) if clear else None
    return start


def jagged(problem: Problem) -> bool:
    """Say whether the likelihood may have several maxima along the shift: a response within a bin, or stray light."""
    return problem.free_scatter or (problem.free_shift and narrow(problem))


def narrow(problem: Problem) -> bool:
    """Say whether a response that is no Gaussian lies within about one bin, so that its shape there is not known."""
    return not problem.gaussian and (problem.at.size < 2 or float(problem.at[1] - problem.at[0]) > 0.5)


def _parameters(problem: Problem, first: float, second: float, shift: float, amount: Floats) -> Floats:
    """Return them in the order of `kernels.evaluate`."""
    dark = amount[-1] if problem.background is None else problem.background
    return np.array([first, second, shift, math.log(problem.sigma), amount[0], amount[1], 0.0, dark])


def is_maximum(problem: Problem, theta: Floats, start: Floats, deviance: float, n_free: int) -> bool:
    """Say whether a search from `start` has surely ended on the maximum: near it, on no bound, the model likely."""
    *taus, _, sigma, one, other, _, background = theta.tolist()
    first, second = sorted(taus)
    dof = problem.n_used - n_free
    return (
        first > math.log(SHARP)
        and second - first > math.log(SEPARATE)
        and second < math.log(3.0 * problem.span)
        and all(abs(a - b) < 1.7 for a, b in zip(taus, start[:2].tolist(), strict=True))
        and min(one, other) > WEAK * math.sqrt(problem.n_photons)
        and (problem.background is not None or background * problem.span > 1.0)
        and not (problem.free_sigma and sigma < 0.0)
        and deviance < dof + UNLIKELY * math.sqrt(2.0 * dof)
    )
