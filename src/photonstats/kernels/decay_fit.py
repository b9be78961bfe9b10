"""Poisson maximum likelihood of one decay or of several that share parameters: Fisher scoring with bounds."""

from __future__ import annotations

import math
from typing import NamedTuple

import numba as nb
import numpy as np
from numpy.typing import NDArray

from photonstats.kernels.decay import evaluate
from photonstats.kernels.pileup import pile_up

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CONVERGED, STALLED, EXHAUSTED = 0, 1, 2
FREE, FRACTION, AMPLITUDE_AVERAGE, INTENSITY_AVERAGE, SCATTER = 0, 1, 2, 3, 4


class Curves(NamedTuple):
    """D decays end to end: bins ``bins[d]`` to ``bins[d + 1]``, impulses ``impulses[d]`` to ``impulses[d + 1]``.

    gain has an entry for each bin, or none (no correction); pulses[D]: laser pulses of the recording where pile-up is
    in the model, else 0.
    """

    gaussian: bool
    bins: Ints
    impulses: Ints
    period: Floats
    width: Floats
    at: Floats
    weight: Floats
    counts: Floats
    use: NDArray[np.bool_]
    gain: Floats
    pulses: Floats


class Tie(NamedTuple):
    """A function of the parameters of one curve that is held at a value by a steep penalty."""

    curve: int
    kind: int
    which: int
    value: float
    strength: float


@nb.njit(cache=True, nogil=True, error_model="numpy")
def modelled(q: Floats, curves: Curves, d: int, work: Floats, jacobian: Floats, model: Floats) -> None:
    """`evaluate` for curve d with the nonlinearity of its bins and its pile-up; q[p], jacobian[p, n], model[n]."""
    first, last = curves.bins[d], curves.bins[d + 1]
    j0, j1 = curves.impulses[d], curves.impulses[d + 1]
    evaluate(
        q, curves.gaussian, curves.period[d], curves.width[first:last], curves.at[j0:j1], curves.weight[j0:j1], work,
        jacobian, model,
    )  # fmt: skip
    if curves.gain.size > 0:
        gain = curves.gain[first:last]
        for k in range(model.size):
            model[k] *= gain[k]
        for a in range(q.size):
            row = jacobian[a]
            for k in range(model.size):
                row[k] *= gain[k]
    if curves.pulses[d] > 0:
        pile_up(model, jacobian, curves.pulses[d])


@nb.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def deviance_of(counts: Floats, use: NDArray[np.bool_], model: Floats) -> float:
    """2 sum_k [m - n + n ln(n/m)] over the bins in use; counts[n], use[n], model[n]; O(n)."""
    total = 0.0
    for k in range(counts.size):
        if use[k]:
            total += model[k] - counts[k]
            if counts[k] > 0:
                total += counts[k] * math.log(counts[k] / model[k])
    return 2.0 * total


@nb.njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def score(
    counts: Floats,
    use: NDArray[np.bool_],
    model: Floats,
    jacobian: Floats,
    rows: Ints,
    place: Ints,
    scratch: Floats,
    gradient: Floats,
    information: Floats,
) -> None:
    """g_a += sum J_a (n/m - 1), I_ab += sum J_a J_b / m over the bins in use; O(n f^2).

    counts[n], use[n], model[n], jacobian[p, n]; rows[f]: free rows of the jacobian, place[f]: where they stand in
    gradient and information; scratch[3, n]. The sums may be reordered, so that they run several at a time. Of
    information only what lies below the diagonal is added to.
    """
    n = counts.size
    inverse, excess, row = scratch[0], scratch[1], scratch[2]
    for k in range(n):
        inverse[k] = 1.0 / model[k] if use[k] else 0.0
        excess[k] = counts[k] * inverse[k] - (1.0 if use[k] else 0.0)
    for a in range(rows.size):
        ja = jacobian[rows[a]]
        total = 0.0
        for k in range(n):
            total += ja[k] * excess[k]
            row[k] = ja[k] * inverse[k]
        gradient[place[a]] += total
        for b in range(a + 1):
            jb = jacobian[rows[b]]
            total = 0.0
            for k in range(n):
                total += row[k] * jb[k]
            information[max(place[a], place[b]), min(place[a], place[b])] += total


@nb.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def solve_damped(  # noqa: PLR0912 (triangular loops with skipped rows)
    information: Floats, gradient: Floats, held: NDArray[np.bool_], damped: Floats, factor: Floats, step: Floats
) -> float:
    """(I + diag damped) x = g by Cholesky on parameters not held; returns g.x, -1 if I is singular; O(f^3).

    The matrix is scaled to a unit diagonal first. held[f], damped[f]; factor[f, f] is scratch; step[f] gets x, 0
    where held.
    """
    f = held.size
    for a in range(f):
        step[a] = 0.0
        if held[a]:
            continue
        for b in range(a + 1):
            if held[b]:
                continue
            scale = math.sqrt(information[a, a]) * math.sqrt(information[b, b])
            total = (information[a, b] + (damped[a] if a == b else 0.0)) / scale
            for k in range(b):
                if not held[k]:
                    total -= factor[a, k] * factor[b, k]
            if a == b:
                if total <= 1e-13:
                    return -1.0
                factor[a, a] = math.sqrt(total)
            else:
                factor[a, b] = total / factor[b, b]
        total = gradient[a] / math.sqrt(information[a, a])
        for k in range(a):
            if not held[k]:
                total -= factor[a, k] * step[k]
        step[a] = total / factor[a, a]
    for a in range(f - 1, -1, -1):
        if held[a]:
            continue
        total = step[a]
        for k in range(a + 1, f):
            if not held[k]:
                total -= factor[k, a] * step[k]
        step[a] = total / factor[a, a]
    gain = 0.0
    for a in range(f):
        if not held[a]:
            step[a] /= math.sqrt(information[a, a])
            gain += step[a] * gradient[a]
    return gain


@nb.njit(cache=True, nogil=True, error_model="numpy")
def tied(q: Floats, tie: Tie, slope: Floats) -> float:
    """h(q), zero where the tied function has its value, and dh/dq; q[p], slope[p].

    With photon numbers N_i and lifetimes t_i: N_w - x sum N (fraction), sum N_i (1 - x/t_i) (amplitude-weighted
    average), sum N_i (t_i - x) (intensity-weighted), S - x (S + sum N) (scatter).
    """
    c = (q.size - 4) // 2
    for a in range(q.size):
        slope[a] = 0.0
    h, x = 0.0, tie.value
    for i in range(c):
        tau, photons = math.exp(q[i]), q[c + 2 + i]
        part, by_log = -x, 0.0
        if tie.kind == FRACTION and i == tie.which:
            part = 1.0 - x
        elif tie.kind == AMPLITUDE_AVERAGE:
            part, by_log = 1.0 - x / tau, x / tau
        elif tie.kind == INTENSITY_AVERAGE:
            part, by_log = tau - x, tau
        h += photons * part
        slope[c + 2 + i] = part
        slope[i] = photons * by_log
    if tie.kind == SCATTER:
        h += q[2 * c + 2] * (1.0 - x)
        slope[2 * c + 2] = 1.0 - x
    return h


@nb.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def mix(q: Floats, jacobian: Floats, model: Floats) -> None:
    """M = sum_i A_i c_i + A_s IRF + B w from the columns of an earlier `modelled` with equal lifetimes; O(n c)."""
    first = (q.size - 4) // 2 + 2
    for k in range(model.size):
        model[k] = 1e-12
    for i in range(first, q.size):
        amount, row = q[i], jacobian[i]
        if amount != 0.0:
            for k in range(model.size):
                model[k] += amount * row[k]


@nb.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _all_curves(
    theta: Floats, place: Ints, curves: Curves, tie: Tie, linear: bool, buffers: tuple[Floats, ...]
) -> float:
    """Deviance of all curves at theta, their models and jacobians; linear: the columns in the buffers hold."""
    work, jacobians, models, local = buffers[0], buffers[1], buffers[2], buffers[3]
    p = place.shape[1]
    total = 0.0
    for d in range(place.shape[0]):
        first, last = curves.bins[d], curves.bins[d + 1]
        n = last - first
        jacobian = jacobians[p * first : p * last].reshape(p, n)
        model = models[first:last]
        q = local[0]
        for a in range(p):
            q[a] = theta[place[d, a]]
        if linear:
            mix(q, jacobian, model)
        else:
            modelled(q, curves, d, work[: 6 * (n + 1)].reshape(6, n + 1), jacobian, model)
        total += deviance_of(curves.counts[first:last], curves.use[first:last], model)
        if tie.kind != FREE and tie.curve == d:
            h = tied(q, tie, local[1])
            total += tie.strength * h * h
    return total


@nb.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _score_all(
    theta: Floats, place: Ints, position: Ints, curves: Curves, tie: Tie, buffers: tuple[Floats, ...],
    gradient: Floats, information: Floats, base: Floats,
) -> None:  # fmt: skip
    """Gradient and information of all curves for the free parameters; base: the diagonal without the tie."""
    jacobians, models, local, scratch = buffers[1], buffers[2], buffers[3], buffers[4]
    p = place.shape[1]
    f = gradient.size
    for a in range(f):
        gradient[a] = 0.0
        for b in range(f):
            information[a, b] = 0.0
    rows, where = np.empty(p, np.int64), np.empty(p, np.int64)
    row, column = 0, 0
    for d in range(place.shape[0]):
        first, last = curves.bins[d], curves.bins[d + 1]
        n = last - first
        used = 0
        for a in range(p):
            if position[place[d, a]] >= 0:
                rows[used] = a
                where[used] = position[place[d, a]]
                used += 1
        score(
            curves.counts[first:last], curves.use[first:last], models[first:last],
            jacobians[p * first : p * last].reshape(p, n), rows[:used], where[:used],
            scratch[: 3 * n].reshape(3, n), gradient, information,
        )  # fmt: skip
    for a in range(f):
        base[a] = information[a, a]
    if tie.kind != FREE:
        q, slope = local[0], local[1]
        for a in range(p):
            q[a] = theta[place[tie.curve, a]]
        h = tied(q, tie, slope)
        for a in range(p):
            row = position[place[tie.curve, a]]
            if row < 0:
                continue
            gradient[row] -= tie.strength * h * slope[a]
            for b in range(p):
                column = position[place[tie.curve, b]]
                if 0 <= column <= row:
                    information[row, column] += tie.strength * slope[a] * slope[b]


@nb.njit(cache=True, nogil=True, error_model="numpy")
def maximise(  # noqa: PLR0912 (each call compiled once: the loop has one place for each)
    theta: Floats,
    place: Ints,
    low: Floats,
    high: Floats,
    longest: Floats,
    free: Ints,
    curves: Curves,
    tie: Tie,
    linear: bool,
    most_steps: int,
    buffers: tuple[Floats, ...],
) -> tuple[float, int]:
    """Fisher scoring with damping and bounds, theta in place; returns the deviance and how it ended.

    theta, low, high, longest (largest step) [P]; place[D, p]: where in theta the parameters of `evaluate` of each
    curve stand; free[f] indices into theta; linear: only photon numbers and background are free. A parameter at a
    bound is held while the likelihood pushes it outward. Ends when the expected gain of the next step, g.x, is below
    1e-6 (CONVERGED; 1e-3 at the last step), when no step however small gains (STALLED), or after most_steps
    (EXHAUSTED). O(steps (n f^2 + f^3)).
    """
    f = free.size
    gradient, step, base, damped, trial = np.empty(f), np.empty(f), np.empty(f), np.empty(f), np.empty(theta.size)
    information, factor = np.empty((f, f)), np.empty((f, f))
    held, position = np.empty(f, np.bool_), np.empty(theta.size, np.int64)
    for i in range(theta.size):
        position[i], trial[i] = -1, theta[i]
    for a in range(f):
        position[free[a]] = a
    best, damping, gain = np.inf, 1e-3, 0.0
    stepped, scored = 0, False
    # one place that evaluates, and one that solves: each would be compiled again for every place
    while True:
        deviance = _all_curves(trial, place, curves, tie, linear and scored, buffers)
        better = deviance < best
        if better:
            best = deviance
            for a in range(f):
                theta[free[a]] = trial[free[a]]
            if scored:
                damping *= 0.1 if damping > 1e-12 else 1.0
            if stepped == most_steps:
                # slow at the very top: what is left to gain is less than a thirtieth of a standard error
                return best, CONVERGED if 0 <= gain < 1e-3 and scored else EXHAUSTED
            stepped += 1
            _score_all(theta, place, position, curves, tie, buffers, gradient, information, base)
            for a in range(f):
                x, g = theta[free[a]], gradient[a]
                held[a] = (
                    (x <= low[free[a]] and g <= 0) or (x >= high[free[a]] and g >= 0) or not information[a, a] > 1e-150
                )
        elif not scored:
            return deviance, STALLED  # the start has no finite deviance
        else:
            damping = damping * 8.0 if damping > 1e-6 else 1e-5
        gain = -1.0
        for attempt in range(200):
            # first nearly without damping, to see what is left to gain
            undamped = better and attempt == 0
            for a in range(f):
                damped[a] = (1e-9 if undamped else damping) * base[a]
            gain = solve_damped(information, gradient, held, damped, factor, step)
            if undamped:
                if 0 <= gain < 1e-6:
                    return best, CONVERGED
                continue
            if gain >= 0 or damping > 1e12:
                break
            damping = damping * 8.0 if damping > 1e-6 else 1e-5
        if damping > 1e12:
            return best, STALLED
        scored = True
        for a in range(f):
            i = free[a]
            change = min(max(step[a], -longest[i]), longest[i])
            trial[i] = min(max(theta[i] + change, low[i]), high[i])
