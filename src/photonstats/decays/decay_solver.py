"""The search for the most likely decay, or several that share lifetimes; its errors and intervals; times in bins."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Generic, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from photonstats.decays.decay_model import Floats, Problem
from photonstats.decays.decay_start import is_maximum, jagged, pair_start
from photonstats.kernels import decay_fit as kernels
from photonstats.kernels.decay_fit import Curves, Tie
from photonstats.likelihood import covariance_of, profile_interval

Ints = NDArray[np.int64]
Value = TypeVar("Value", np.float64, np.bool_)

MOST_STEPS, PROFILE_STEPS, FEW_STEPS = 300, 60, 6
WALK = 6  # steps from each of the best starts
NEARBY = np.concatenate([np.arange(-2.0, 0.0, 0.2), np.arange(0.2, 2.1, 0.2)])  # bins from a shift to other maxima
SHORTEST, LONGEST = 0.02, 100.0  # lifetimes searched: in bins, and in spans of the data
STIFFNESS = 1e4  # of a tie: its function strays by less than a hundredth of what counting lets it
NO_TIE = Tie(0, kernels.FREE, 0, 0.0, 0.0)


@dataclass(frozen=True)
class Limit:
    """What is asked of a parameter, in SI units: where to start, bounds, and whether it may vary."""

    value: float | None = None
    low: float = -math.inf
    high: float = math.inf
    vary: bool = True


@dataclass(frozen=True)
class System:
    """Decays to fit together, what they share, and limits by name."""

    problems: tuple[Problem, ...]
    unit: float
    shared: frozenset[str] = frozenset()
    limits: Mapping[str, Limit] = field(default_factory=dict)

    @cached_property
    def curves(self) -> Curves:
        """The decays end to end, for the kernels."""
        each = self.problems
        gains = [p.gain for p in each]
        return Curves(
            each[0].gaussian, _ends([p.counts.size for p in each]), _ends([p.at.size for p in each]),
            np.array([p.period for p in each]), _joined([p.width for p in each]),
            _joined([p.at for p in each]), _joined([p.weight for p in each]),
            _joined([p.counts for p in each]), _joined([p.use for p in each]),
            _joined([np.ones(p.counts.size) if g is None else g for p, g in zip(each, gains, strict=True)])
            if any(g is not None for g in gains) else np.zeros(0),
            np.array([p.pulses for p in each], np.float64),
        )  # fmt: skip

    @cached_property
    def n_photons(self) -> int:
        """Photons in the fitted bins of all curves."""
        return sum(p.n_photons for p in self.problems)


def _ends(sizes: Sequence[int]) -> Ints:
    return np.array([0, *itertools.accumulate(sizes)], np.int64)


def _joined(parts: Sequence[NDArray[Value]]) -> NDArray[Value]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


@dataclass(frozen=True)
class Layout:
    """Where the parameters of `kernels.evaluate` of each curve stand in one vector, and their names."""

    names: tuple[str, ...]
    place: Ints

    @classmethod
    def of(cls, system: System, c: int) -> Layout:
        """Return the layout for c lifetimes."""
        return _layout(len(system.problems), system.shared, c)

    @classmethod
    def made(cls, curves: int, shared: frozenset[str], c: int) -> Layout:
        """Return the layout for c lifetimes of so many curves."""
        one = curves == 1
        local = [
            *(f"lifetime_{i + 1}" for i in range(c)), "shift", "irf_sigma",
            *(f"photons_{i + 1}" for i in range(c)), "scatter_photons", "background",
        ]  # fmt: skip
        names: list[str] = []
        place = np.empty((curves, len(local)), np.int64)
        for d in range(curves):
            for a, name in enumerate(local):
                alone = one or a < c or name in shared
                full = name if alone else f"curve{d + 1}_{name}"
                if full not in names:
                    names.append(full)
                place[d, a] = names.index(full)
        return cls(tuple(names), place)

    def kind(self, index: int) -> str:
        """Return "lifetime", "shift", "irf_sigma", "photons", "scatter_photons" or "background"."""
        name = self.names[index].removeprefix("curve").lstrip("0123456789").removeprefix("_")
        return name.rstrip("0123456789").removesuffix("_") if name[-1].isdigit() else name

    def curve(self, index: int) -> int:
        """Return the first curve that has this parameter."""
        return int(np.flatnonzero(np.any(self.place == index, axis=1))[0])


@lru_cache(maxsize=32)
def _layout(curves: int, shared: frozenset[str], c: int) -> Layout:
    return Layout.made(curves, shared, c)


@dataclass(frozen=True)
class Solution:
    """The parameters at the maximum, and what was free."""

    system: System
    layout: Layout
    theta: Floats
    deviance: float
    status: int
    free: Ints
    low: Floats
    high: Floats
    longest: Floats

    @property
    def n_components(self) -> int:
        """Number of exponentials."""
        return int(self.layout.place.shape[1] - 4) // 2

    def is_free(self, d: int) -> NDArray[np.bool_]:
        """Return which parameters of a curve were fitted."""
        free = set(self.free.tolist())
        return np.array([i in free for i in self.layout.place[d].tolist()])

    def evaluate(self, d: int) -> tuple[Floats, Floats]:
        """Return model [n] and jacobian [p, n] of a curve."""
        return _evaluated(self.system.curves, d, self.local(d))

    def local(self, d: int) -> Floats:
        """Return the parameters of a curve: log tau_i, shift, log sigma, A_i, A_scatter, B."""
        return np.asarray(self.theta[self.layout.place[d]], np.float64)


def evaluate(problem: Problem, q: Floats) -> tuple[Floats, Floats]:
    """Return model [n] and jacobian [p, n] of one curve at q."""
    return _evaluated(System((problem,), 1.0).curves, 0, q)


def _evaluated(curves: Curves, d: int, q: Floats) -> tuple[Floats, Floats]:
    n = int(curves.bins[d + 1] - curves.bins[d])
    work, jacobian, model = np.empty((6, n + 1)), np.empty((q.size, n)), np.empty(n)
    kernels.modelled(q, curves, d, work, jacobian, model)
    return model, jacobian


def solve(system: System, n_components: int) -> Solution:
    """Find the maximum with one component, then add the others one at a time from several starts."""
    if n_components == 2 and len(system.problems) == 1 and not system.limits:
        pair = _solve_pair(system)
        if pair is not None:
            return pair
    # Fewer components than asked for only lend their starting values.
    shifts, sigmas = _shifts_of_each(system)
    starts = [
        (np.array([max(share * _span(system), 0.3)]), shift, sigmas)
        for shift in shifts
        for share in (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
    ]
    solution = _search(system, 1, starts, MOST_STEPS if n_components == 1 else FEW_STEPS)
    for n in range(2, n_components + 1):
        solution = _search(system, n, _starts_from(solution), MOST_STEPS if n == n_components else FEW_STEPS)
    return solution


def _solve_pair(system: System) -> Solution | None:
    """Find the maximum with two components in one walk; None where that is not sure to end on the highest."""
    problem, curves = system.problems[0], system.curves
    start = pair_start(problem, curves)
    if start is None:
        return None
    layout = Layout.of(system, 2)
    low, high, longest, free = _bounds(system, layout, 2)
    theta, index = np.minimum(np.maximum(start, low), high), np.array(free, np.int64)
    deviance, status = _run(system, layout, theta, index, (low, high, longest), NO_TIE, MOST_STEPS)
    if status != kernels.CONVERGED or not is_maximum(problem, theta, start, deviance, index.size):
        return None
    return Solution(system, layout, theta, deviance, status, index, low, high, longest)


def add_component(solution: Solution) -> Solution:
    """Find the maximum with one component more."""
    return _search(solution.system, solution.n_components + 1, _starts_from(solution), MOST_STEPS)


Start = tuple[Floats, Floats, Floats]  # lifetimes [c], shift [D] and sigma [D] of each curve


def _span(system: System) -> float:
    return max(p.span for p in system.problems)


def _shifts_of_each(system: System) -> tuple[list[Floats], Floats]:
    """Return shifts to start from and widths of a Gaussian; of several curves from a fit to each alone."""
    sigmas = np.array([p.sigma for p in system.problems])
    if len(system.problems) == 1:
        shifts = dict.fromkeys(round(s, 3) for s in system.problems[0].start_shifts)
        return [np.array([s]) for s in shifts], sigmas
    alone = [solve(System((p,), system.unit), 1).local(0) for p in system.problems]
    return [np.array([q[1] for q in alone])], np.exp(np.array([q[2] for q in alone]))


def _starts_from(solution: Solution) -> list[Start]:
    n = solution.n_components
    q = np.stack([solution.local(d) for d in range(len(solution.system.problems))])
    taus = np.sort(np.exp(q[0, :n]))
    more = [[*taus, 0.1 * taus[0]], [*taus, 0.35 * taus[0]], [*taus, 4.0 * taus[-1]]]
    for i, tau in enumerate(taus):
        more.append([*np.delete(taus, i), 0.4 * tau, 1.5 * tau])
    return [(np.array(each), q[:, n], np.exp(q[:, n + 1])) for each in more]


def _vector(system: System, layout: Layout, start: Start) -> Floats:
    """Return the parameters of a start: most photons shared among the lifetimes, a tenth in the background."""
    taus, shifts, sigmas = start
    c = taus.size
    theta = np.zeros(len(layout.names))
    tau = np.clip(taus, 2 * SHORTEST, 0.5 * LONGEST * _span(system))
    for d, problem in enumerate(system.problems):
        place = layout.place[d]
        photons = problem.n_photons
        theta[place[:c]] = np.log(tau)
        theta[place[c]], theta[place[c + 1]] = shifts[d], math.log(sigmas[d])
        theta[place[c + 2 : 2 * c + 2]] = 0.9 * photons / c
        theta[place[2 * c + 2]] = 0.02 * photons if problem.free_scatter else 0.0
        fitted = problem.background is None
        theta[place[2 * c + 3]] = 0.1 * photons / float(problem.use.sum()) if fitted else problem.background
    return theta


def _bounds(system: System, layout: Layout, c: int) -> tuple[Floats, Floats, Floats, list[int]]:
    """Return the range of each parameter, its largest step, and which are free."""
    size, top = len(layout.names), math.log(LONGEST * _span(system))
    low, high, longest = [-math.inf] * size, [math.inf] * size, [math.inf] * size
    free: set[int] = set()
    for place, problem in zip(layout.place.tolist(), system.problems, strict=True):
        taus, (shift, sigma), photons = place[:c], place[c : c + 2], place[c + 2 : -2]
        scatter, background = place[-2:]
        for i in taus:
            low[i], high[i], longest[i] = math.log(SHORTEST), top, 1.0
        longest[shift] = max(1.0, 0.02 * problem.span)
        low[sigma], high[sigma], longest[sigma] = math.log(0.02), math.log(problem.span / 8.0), 0.5
        for i in (*photons, scatter, background):
            low[i] = 0.0
        free.update(taus, photons, [shift] * problem.free_shift, [sigma] * problem.free_sigma)
        free.update([scatter] * problem.free_scatter, [background] * (problem.background is None))
    return np.array(low), np.array(high), np.array(longest), sorted(free)


def _limited(
    system: System, layout: Layout, low: Floats, high: Floats, free: list[int]
) -> tuple[list[int], dict[int, float]]:
    """Narrow the ranges to the limits that were asked for; return what is free and what has a value to start from."""
    given: dict[int, float] = {}
    for i, name in enumerate(layout.names):
        limit = system.limits.get(name)
        if limit is None:
            continue
        kind = layout.kind(i)
        low[i] = max(low[i], scaled(kind, limit.low, system.unit))
        high[i] = min(high[i], scaled(kind, limit.high, system.unit))
        if limit.value is not None:
            value = scaled(kind, limit.value, system.unit)
            given[i] = value if not limit.vary else min(max(value, low[i]), high[i])
        if limit.vary and i not in free and limit.value is not None:
            free = sorted([*free, i])  # said to vary: scatter, a background or shift that is otherwise held
        if not limit.vary:
            free = [k for k in free if k != i]
    return free, given


def scaled(kind: str, value: float, unit: float) -> float:
    """Return a value in SI units as the search has it: lifetimes and widths as logarithms of bins, shifts in bins."""
    if kind in {"lifetime", "irf_sigma"}:
        return math.log(value / unit) if value > 0 else -math.inf
    return value / unit if kind == "shift" else value


def _search(system: System, c: int, starts: list[Start], steps: int) -> Solution:
    """Screen the starts, walk a few steps from the best of them, finish the best."""
    layout = Layout.of(system, c)
    low, high, longest, free = _bounds(system, layout, c)
    free, given = _limited(system, layout, low, high, free)
    rows = np.stack([_vector(system, layout, start) for start in starts])
    if given:
        wanted = rows.copy()
        for i, value in given.items():
            wanted[:, i] = value
            if i not in free:
                rows[:, i] = value
        rows = np.concatenate([wanted, rows])
    rows = np.minimum(np.maximum(rows, low), high)
    for i, value in given.items():
        if i not in free:
            rows[:, i] = value  # a fixed value may lie outside of what is searched
    if not free:
        free_now = np.zeros(0, np.int64)
        deviance = _run(system, layout, rows[0], free_now, (low, high, longest), NO_TIE, 0)[0]
        return Solution(system, layout, rows[0], deviance, kernels.CONVERGED, free_now, low, high, longest)
    lines = [i for i in free if layout.kind(i) in {"photons", "scatter_photons", "background"}]
    index, linear = np.array(free, np.int64), np.array(lines, np.int64)

    def climb(rows: Floats) -> Peak:
        return _climb(system, layout, rows, index, linear, (low, high, longest), steps)

    peak = climb(rows)
    if steps > WALK:
        shifts = {int(layout.place[d, c]) for d, problem in enumerate(system.problems) if jagged(problem)}
        for shift in sorted(shifts.intersection(free)):
            peak = _highest_nearby(peak, shift, (low[shift], high[shift]), climb)
    return Solution(system, layout, *peak, index, low, high, longest)


Peak = tuple[Floats, float, int]  # parameters, deviance, and how the search ended


def _highest_nearby(peak: Peak, shift: int, limits: tuple[float, float], climb: Callable[[Floats], Peak]) -> Peak:
    """Return the best peak that is reached from shifts beside this one, where each bin may end a hill.

    Three strides, each from the best so far, look beyond the neighbouring hills; a short one looks between them.
    """
    for stride in (NEARBY, NEARBY, NEARBY, 0.1 * NEARBY):
        rows = np.tile(peak[0], (stride.size, 1))
        rows[:, shift] = np.clip(peak[0][shift] + stride, *limits)
        peak = min(peak, climb(rows), key=lambda each: each[1])
    return peak


def _climb(
    system: System, layout: Layout, rows: Floats, free: Ints, lines: Ints, bounds: tuple[Floats, Floats, Floats],
    steps: int,
) -> Peak:  # fmt: skip
    """Screen the starts by their best photon numbers alone, walk a few steps from the best of them, finish the best."""
    curves, buffers = system.curves, _buffers(system.curves, layout)
    linear = not np.any(curves.pulses > 0)

    def climbed(row: Floats, of: Ints, linear: bool, most: int) -> tuple[float, int]:
        return kernels.maximise(row, layout.place, *bounds, of, curves, NO_TIE, linear, most, buffers)

    screened = np.array([climbed(row, lines, linear, 3)[0] for row in rows])
    several = 2 if layout.place.shape[1] < 10 else 4  # three lifetimes have more hills to end on
    best = rows[int(np.argmin(screened))]
    if steps > WALK and len(rows) > 1:
        order = np.argsort(screened, kind="stable")[:several]
        best = rows[order[int(np.argmin([climbed(rows[i], free, False, WALK)[0] for i in order]))]]
    return best, *climbed(best, free, False, steps)


def _buffers(curves: Curves, layout: Layout) -> tuple[Floats, ...]:
    n, p = int(curves.bins[-1]), layout.place.shape[1]
    return (
        np.empty(6 * (n + 1)), np.empty((p + 1) * n), np.empty(n), np.empty((2, p)), np.empty(3 * n)
    )  # fmt: skip


def _run(
    system: System, layout: Layout, theta: Floats, free: Ints, bounds: tuple[Floats, Floats, Floats], tie: Tie,
    steps: int,
) -> tuple[float, int]:  # fmt: skip
    curves = system.curves
    return kernels.maximise(theta, layout.place, *bounds, free, curves, tie, False, steps, _buffers(curves, layout))


def refined(solution: Solution, system: System, start: Floats | None = None) -> Solution:
    """Return the maximum for other counts of the same system, from the parameters of this one."""
    theta = (solution.theta if start is None else start).copy()
    bounds = (solution.low, solution.high, solution.longest)
    deviance, status = _run(system, solution.layout, theta, solution.free, bounds, NO_TIE, MOST_STEPS)
    return Solution(system, solution.layout, theta, deviance, status, solution.free, *bounds)


def covariance(solution: Solution, known: tuple[Floats, Floats] | None = None) -> Floats:
    """Return the covariance of all parameters from the expected information, zero for what was fixed.

    Where a photon number is zero the information is taken half a count inside of the bound: at the bound itself bins
    without expected light would seem to know it without error. known: model and jacobian of a single curve.
    """
    theta = solution.theta.tolist()
    free, size, c = set(solution.free.tolist()), len(theta), solution.n_components
    information = np.zeros((size, size))
    for d, (place, problem) in enumerate(zip(solution.layout.place, solution.system.problems, strict=True)):
        found = known if len(solution.system.problems) == 1 else None
        *photons, background = place[c + 2 :].tolist()
        for i, least in [(background, 0.5 / float(problem.fitted(problem.width).sum())), *((i, 0.5) for i in photons)]:
            if i in free and theta[i] < least:
                theta[i], found = least, None
        found = found or _evaluated(solution.system.curves, d, np.array(theta)[place])
        model, rows = map(problem.fitted, found)
        information[place[:, None], place] += (rows / model) @ rows.T  # no parameter stands twice in one curve
    full, chosen = np.zeros((size, size)), (solution.free[:, None], solution.free)
    full[chosen] = covariance_of(information[chosen])
    return full


class Copied(Protocol):
    """What has a copy of its own."""

    def copy(self) -> Self:
        """Return a copy."""
        ...


Point = TypeVar("Point", bound=Copied)


class Ridge(Generic[Point]):
    """Parameters along a profile: each search starts from the solved point that lies next further in."""

    def __init__(self, best: float, point: Point) -> None:
        self.best, self.solved = best, [(best, point)]

    def start(self, x: float) -> Point:
        """Return a copy of the parameters solved nearest to x, between the best value and x."""
        way = x - self.best
        inner = [s for s in self.solved if 0 <= (s[0] - self.best) * way <= way * way]
        return max(inner, key=lambda s: abs(s[0] - self.best))[1].copy()

    def keep(self, x: float, point: Point) -> None:
        """Remember a solved point."""
        self.solved.append((x, point))


def parameter_interval(solution: Solution, index: int, error: float, level: float = 0.95) -> tuple[float, float]:
    """Return the profile-likelihood interval of one parameter; an end that the data do not set is the bound."""
    others = solution.free[solution.free != index]
    bounds = (solution.low, solution.high, solution.longest)
    best = float(solution.theta[index])
    ridge = Ridge(best, solution.theta)

    def profile(x: float) -> float:
        theta = ridge.start(x)
        theta[index] = x
        deviance = _run(solution.system, solution.layout, theta, others, bounds, NO_TIE, PROFILE_STEPS)[0]
        ridge.keep(x, theta)
        return deviance

    return profile_interval(profile, best, error, (float(solution.low[index]), float(solution.high[index])), level)


def tied_interval(
    solution: Solution,
    d: int,
    kind: int,
    which: int,
    best: float,
    error: float,
    limits: tuple[float, float],
    level: float = 0.95,
) -> tuple[float, float]:
    """Return the profile-likelihood interval of a fraction or an average of curve d (averages in bins, > 0)."""
    bounds = (solution.low, solution.high, solution.longest)
    photons = max(solution.system.problems[d].n_photons, 1)
    average = kind in (kernels.AMPLITUDE_AVERAGE, kernels.INTENSITY_AVERAGE)
    # averages are searched as logarithms: they have no sign to lose and long upper ends
    to, back = (math.log, math.exp) if average else (float, float)
    ridge = Ridge(to(best), solution.theta)

    def profile(at: float) -> float:
        theta, x = ridge.start(at), back(at)
        scale = photons * (x * x if kind == kernels.INTENSITY_AVERAGE else 1.0)
        tie = Tie(d, kind, which, x, STIFFNESS / scale)
        deviance = _run(solution.system, solution.layout, theta, solution.free, bounds, tie, PROFILE_STEPS)[0]
        ridge.keep(at, theta)
        return deviance

    step = min(error / best, 0.3) if average else error
    low, high = profile_interval(profile, to(best), step, (to(limits[0]), to(limits[1])), level)
    return back(low), back(high)


def rough(system: System, n_components: int) -> Solution:
    """Return parameters near the maximum, for another search to start from."""
    solution = solve(system, 1) if n_components == 1 else solve(system, n_components - 1)
    return solution if n_components == 1 else _search(system, n_components, _starts_from(solution), FEW_STEPS)
