"""The general path of a decay fit through lmfit: any law, bound and expression, at the price of speed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from photonstats.curve import Decay
from photonstats.decays.decay_estimates import (
    Estimates,
    amplitude_average,
    fraction_of,
    intensity_average,
    log_interval,
    scatter_of,
    share_interval,
    trouble_with,
)
from photonstats.decays.decay_limits import check_names
from photonstats.decays.decay_model import Problem
from photonstats.decays.decay_result import DecayFit
from photonstats.decays.decay_shapes import averages, columns, corrected
from photonstats.decays.decay_solver import SHORTEST, Limit, Ridge, System, rough
from photonstats.likelihood import bic, covariance_of, deviance_p_value, poisson_deviance, profile_interval

if TYPE_CHECKING:
    from lmfit.parameter import Parameters

Floats = NDArray[np.float64]

SHAPES = {"stretched": ("stretching", 0.1, 1.0, (0.5, 0.8)), "lognormal": ("spread", 0.01, 4.0, (0.3, 1.0))}
LARGEST_TAIL = 0.95
LONGEST_TAIL = 0.8  # of the shortest lifetime without a tail
MOST_SEARCHES = 5
KEPT = 2  # columns: those of the last steps


@dataclass(frozen=True)
class Law:
    """Which parameters a decay has and how they make its counts."""

    problem: Problem
    kind: str
    c: int
    unit: float
    tail: bool
    _last: dict[bytes, tuple[Floats, Floats]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def names(self) -> tuple[str, ...]:
        """Names in the order of `Estimates`, those of the shape and the tail last."""
        c = self.c
        extra = [SHAPES[self.kind][0]] if self.kind in SHAPES else []
        extra += ["irf_tail", "irf_tail_lifetime"] if self.tail else []
        return (
            *(f"lifetime_{i + 1}" for i in range(c)), *(f"photons_{i + 1}" for i in range(c)),
            "scatter_photons", "background", "shift", "irf_sigma", *extra,
        )  # fmt: skip

    def parts(self, values: Floats) -> tuple[Floats, Floats]:
        """Return expected counts per bin [n] and those of each component [c, n]."""
        v, c = dict(zip(self.names, values.tolist(), strict=True)), self.c
        shape = v[SHAPES[self.kind][0]] if self.kind in SHAPES else math.nan
        tail = (v["irf_tail"], v["irf_tail_lifetime"] / self.unit) if self.tail else (0.0, 1.0)
        each, stray = self._columns(
            values[:c] / self.unit, v["shift"] / self.unit, v["irf_sigma"] / self.unit, shape, tail
        )
        rows = np.concatenate(
            [values[c : 2 * c, None] * each, [v["scatter_photons"] * stray, v["background"] * self.problem.width]]
        )
        model, made = corrected(self.problem, rows)
        return model, made[:c]

    def _columns(
        self, taus: Floats, shift: float, sigma: float, shape: float, tail: tuple[float, float]
    ) -> tuple[Floats, Floats]:
        """Return `columns`, made anew only where its arguments changed: slopes to photon numbers need none."""
        key = np.array([*taus, shift, sigma, shape, *tail]).tobytes()
        if key not in self._last:
            if len(self._last) >= KEPT:
                del self._last[next(iter(self._last))]
            self._last[key] = columns(self.problem, taus, shift, sigma, self.kind, shape, tail)
        return self._last[key]

    def residuals(self, values: Floats) -> Floats:
        """Return the signed roots of the deviance of each fitted bin."""
        use = self.problem.use
        m, n = self.parts(values)[0][use], self.problem.counts[use]
        with np.errstate(divide="ignore", invalid="ignore"):
            part = np.where(n > 0, n * np.log(n / m), 0.0)
        return np.asarray(np.sign(m - n) * np.sqrt(np.maximum(2.0 * (m - n + part), 0.0)), np.float64)


@dataclass(frozen=True)
class Found:
    """Where lmfit ended: the parameters, and whether it says that it converged."""

    law: Law
    params: Parameters
    deviance: float
    success: bool
    message: str

    @property
    def values(self) -> Floats:
        """Values of all named parameters."""
        return values_of(self.law, self.params)

    @property
    def bic(self) -> float:
        """Deviance + parameters ln(photons)."""
        return bic(self.deviance, len(self.free), self.law.problem.n_photons)

    @property
    def free(self) -> list[str]:
        """Names of the parameters that vary."""
        return [name for name in self.params if self.params[name].vary and not self.params[name].expr]


def copied(params: Parameters) -> Parameters:
    """Return a copy of an lmfit parameter set."""
    found: Parameters = params.copy()  # type: ignore[no-untyped-call]
    return found


def values_of(law: Law, params: Parameters) -> Floats:
    """Return the values of an lmfit parameter set in the order of the law."""
    return np.array([float(params[name].value) for name in law.names])


def fit_general(
    decay: Decay,
    problem: Problem,
    kind: str,
    tried: list[int],
    limits: dict[str, Limit],
    expressions: dict[str, str],
    errors: str,
) -> DecayFit:
    """Fit by lmfit each number of components (and with and without a tail, where asked), and return the best by BIC."""
    if kind != "exponential" and tried != [1]:
        raise ValueError(f'model="{kind}" is one distribution: leave n_components at 1')
    tails = [False] if problem.tail is None else [False, True] if problem.tail.tail == "auto" else [True]
    found: list[Found] = []
    table: dict[int, float] = {}
    for n in tried:
        for tail in tails:
            law = Law(problem, kind, n, decay.bin_width, tail)
            check_names([*limits, *expressions], law.names)
            found.append(_best(law, limits, expressions))
            table[n] = min(table.get(n, math.inf), found[-1].bic)
        if table[n] > min(table.values()):
            break
    return _result(decay, min(found, key=lambda f: f.bic), errors, table)


def fit_with_tail(decay: Decay, problem: Problem, plain: DecayFit, limits: dict[str, Limit], errors: str) -> DecayFit:
    """Return the fit without a tail of the response, or one with a tail if its BIC is lower.

    A shorter lifetime may have stood for the tail, so that one lifetime less is tried too.
    """
    if not plain.converged:
        return plain
    n = len(plain.lifetimes)
    found = [
        _best(Law(problem, "exponential", k, decay.bin_width, True), limits, {}) for k in range(max(n - 1, 1), n + 1)
    ]
    best = min(found, key=lambda f: f.bic)
    if best.bic >= plain.bic:
        return plain
    return _result(decay, best, errors, plain.table | {best.law.c: best.bic})


def _best(law: Law, limits: dict[str, Limit], expressions: dict[str, str]) -> Found:
    """Return the lowest of the minima that the starts lead to."""
    return min((_minimised(law, p) for p in _starts(law, limits, expressions)), key=lambda f: f.deviance)


def _starts(law: Law, limits: dict[str, Limit], expressions: dict[str, str]) -> list[Parameters]:
    """Return parameter sets to start from: a rough fit of exponentials, and the shapes of the law."""
    solution = rough(System((law.problem,), law.unit), law.c)
    local = solution.local(0)
    c, unit = law.c, law.unit
    order = np.argsort(local[:c])
    start = {f"lifetime_{i + 1}": math.exp(local[k]) * unit for i, k in enumerate(order)}
    start |= {f"photons_{i + 1}": max(local[c + 2 + k], 1.0) for i, k in enumerate(order)}
    start |= {
        "shift": local[c] * unit, "irf_sigma": math.exp(local[c + 1]) * unit,
        "scatter_photons": local[2 * c + 2], "background": local[2 * c + 3],
    }  # fmt: skip
    shapes: list[dict[str, float]] = [{}]
    if law.kind in SHAPES:
        name, _, _, values = SHAPES[law.kind]
        shapes = [{name: x} for x in values]
    if law.tail:
        assert law.problem.tail is not None
        asked = law.problem.tail
        share = asked.tail if isinstance(asked.tail, int | float) else 0.1
        times = [asked.tail_lifetime] if asked.tail_lifetime else [x * start["irf_sigma"] for x in (2.0, 8.0)]
        shapes = [s | {"irf_tail": float(share), "irf_tail_lifetime": t} for s in shapes for t in times]
    return [_parameters(law, start | s, limits, expressions) for s in shapes]


def _parameters(law: Law, start: dict[str, float], limits: dict[str, Limit], expressions: dict[str, str]) -> Parameters:
    from lmfit.parameter import Parameters

    problem = law.problem
    params: Any = Parameters()  # type: ignore[no-untyped-call]
    held = {"scatter_photons": not problem.free_scatter, "background": problem.background is not None,
            "shift": not problem.free_shift, "irf_sigma": not problem.free_sigma}  # fmt: skip
    if problem.tail is not None:
        held |= {"irf_tail": isinstance(problem.tail.tail, int | float),
                 "irf_tail_lifetime": problem.tail.tail_lifetime is not None}  # fmt: skip
    for name in law.names:
        low, high = _range(name, law)
        if law.tail and name.startswith(("lifetime", "irf_tail_l")):
            # a tail that outlives the light, and a lifetime shorter than it, would change places
            shortest = min(v for k, v in start.items() if k.startswith("lifetime"))
            border = max(LONGEST_TAIL * shortest, 5 * SHORTEST * law.unit)
            low, high = (border, high) if name.startswith("lifetime") else (low, border)
        limit = limits.get(name, Limit())
        vary = limit.vary and (not held.get(name, False) or limit.value is not None)
        value = start[name] if limit.value is None else limit.value
        if vary:
            low, high = max(low, limit.low), min(high, limit.high)
            params.add(name, value=min(max(value, low), high), min=low, max=high)
        else:
            params.add(name, value=value, vary=False)
    for name, expr in expressions.items():
        try:
            params[name].set(expr=expr)
            float(params[name].value)
        except (NameError, SyntaxError, RecursionError, TypeError, ValueError) as problem_of_expr:
            raise ValueError(
                f"params: the expression {expr!r} of {name} cannot be evaluated: {problem_of_expr}"
            ) from None
    return params  # type: ignore[no-any-return]


def _range(name: str, law: Law) -> tuple[float, float]:
    unit = law.unit
    if name.startswith("lifetime"):
        return SHORTEST * unit, math.inf
    if name in {SHAPES[k][0] for k in SHAPES}:
        return SHAPES[law.kind][1:3]
    if name == "irf_sigma":
        return 0.02 * unit, math.inf
    if name == "irf_tail":
        return 0.0, LARGEST_TAIL
    if name == "irf_tail_lifetime":
        return SHORTEST * unit, math.inf
    return (-math.inf, math.inf) if name == "shift" else (0.0, math.inf)


def _minimised(law: Law, params: Parameters) -> Found:
    """Minimise the deviance with lmfit, again from where it ended until nothing is gained."""
    import lmfit

    def residual(p: Parameters) -> Floats:
        return law.residuals(values_of(law, p))

    deviance = float(np.sum(residual(params) ** 2))
    if not any(params[name].vary and not params[name].expr for name in params):
        return Found(law, params, deviance, True, "nothing was free")
    success, message = False, "the search ran out of steps"
    for _ in range(MOST_SEARCHES):
        out: Any = lmfit.minimize(  # type: ignore[attr-defined, no-untyped-call]
            residual, _off_the_bounds(law, params), method="leastsq", scale_covar=False, calc_covar=False,
            epsfcn=1e-9, ftol=1e-10, xtol=1e-9, max_nfev=3000,
        )  # fmt: skip
        found = float(np.sum(residual(out.params) ** 2))
        gained = deviance - found
        if gained > 0:
            params, deviance = out.params, found
        success, message = bool(out.success), str(out.message)
        if gained < 1e-4:
            break
    return Found(law, params, deviance, success, message)


def _off_the_bounds(law: Law, params: Parameters) -> Parameters:
    """Return a copy with no parameter at a bound: there lmfit's transformation has no slope, and MINPACK stays."""
    moved: Any = copied(params)
    use = law.problem.use
    for name, p in moved.items():
        if not p.vary or p.expr:
            continue
        room = law.unit if name != "background" else float(law.problem.counts[use].mean())
        room = law.problem.n_photons if "photons" in name else room
        room = 0.02 * min(room, p.max - p.min)
        p.set(value=min(max(p.value, p.min + room), p.max - room))
    found: Parameters = moved
    return found


def _estimates(found: Found) -> tuple[Estimates, Floats, int]:
    """Return values with covariance from the expected information, the model's derivatives, and what varied."""
    law, names = found.law, found.free
    best = found.values
    model = law.parts(best)[0]
    slopes = np.empty((len(names), model.size))
    moves = np.zeros((best.size, len(names)))
    for i, name in enumerate(names):
        step = 1e-4 * max(abs(found.params[name].value), 1e-3 * law.unit if "photons" not in name else 1.0)
        if name == "background":
            step = 1e-4 * max(found.params[name].value, 1e-3 * law.problem.counts.mean(), 1e-9)
        low, high = copied(found.params), copied(found.params)
        for params, sign in ((low, -1.0), (high, 1.0)):
            params[name].set(value=found.params[name].value + sign * step, min=-np.inf, max=np.inf)
        a, b = values_of(law, low), values_of(law, high)
        moves[:, i] = (b - a) / (2 * step)
        slopes[i] = (law.parts(b)[0] - law.parts(a)[0]) / (2 * step)
    use = law.problem.use
    information = (slopes[:, use] / model[use]) @ slopes[:, use].T if names else np.zeros((0, 0))
    inner = covariance_of(information) if names else information
    unknown = np.isinf(np.diag(inner))
    cov = moves @ np.where(np.isfinite(inner), inner, 0.0) @ moves.T
    for i in np.flatnonzero(unknown).tolist():
        rows = moves[:, i] != 0
        cov[rows, rows] = np.inf
    return Estimates(law.names, best, cov, law.c), slopes, len(names)


def _result(decay: Decay, found: Found, errors: str, table: dict[int, float]) -> DecayFit:
    law, problem = found.law, found.law.problem
    est, slopes, n_free = _estimates(found)
    c, values = law.c, est.values
    err = np.sqrt(np.diag(est.covariance))
    model, parts = law.parts(values)
    use, n = problem.use, problem.counts.size
    profile = errors == "profile"
    ends = np.array([
        general_interval(found, f"lifetime_{i + 1}", 0.95, err[i])
        if profile and f"lifetime_{i + 1}" in found.free else log_interval(est.tau[i], err[i]) for i in range(c)
    ])  # fmt: skip
    shape = _shape_of(law, est, found, profile)
    amplitude, intensity = _averages(law, est)
    fractions = np.array([fraction_of(values, c, i) for i in range(c)])
    fractions_err = np.array([est.error(partial(fraction_of, c=c, i=i)) for i in range(c)])
    shown = use if problem.kind.startswith("none") else np.ones(n, bool)
    curve, residuals = np.full(decay.counts.size, np.nan), np.full(decay.counts.size, np.nan)
    curve[:n][shown] = model[shown]
    residuals[:n][use] = (problem.counts[use] - model[use]) / np.sqrt(model[use])
    each = np.full((c, decay.counts.size), np.nan)
    each[:, :n][:, shown] = parts[:, shown]
    tail, gaussian = problem.kind.startswith("none"), problem.gaussian
    amplitudes = fractions / est.tau
    varied = np.array([f"lifetime_{i + 1}" in found.free for i in range(c)])
    trouble = "" if found.success else found.message
    trouble = trouble or trouble_with(
        est.tau[varied] / law.unit, problem.span, fractions, ends / law.unit, int(use.sum()) - n_free, problem.n_photons
    )
    return DecayFit(
        decay=decay, lifetimes=est.tau.copy(), lifetimes_err=err[:c], lifetimes_ci=ends, fractions=fractions,
        fractions_err=fractions_err,
        fractions_ci=np.array([share_interval(f, e) for f, e in zip(fractions, fractions_err, strict=True)]),
        amplitudes=amplitudes / amplitudes.sum(), background=float(values[2 * c + 1]),
        background_err=float(err[2 * c + 1]), shift=float(values[2 * c + 2]),
        shift_err=math.nan if tail else float(err[2 * c + 2]),
        irf_sigma=float(values[2 * c + 3]) if gaussian else math.nan,
        irf_sigma_err=float(err[2 * c + 3]) if gaussian else math.nan,
        scatter=scatter_of(values, c), scatter_err=est.error(lambda v: scatter_of(v, c)),
        amplitude_average=amplitude[0], amplitude_average_err=amplitude[1],
        amplitude_average_ci=log_interval(*amplitude), intensity_average=intensity[0],
        intensity_average_err=intensity[1], intensity_average_ci=log_interval(*intensity),
        deviance=poisson_deviance(problem.counts[use], model[use]), dof=int(use.sum()) - n_free,
        p_value=deviance_p_value(problem.counts[use], model[use], slopes[:, use]), bic=table[c], model=curve,
        residuals=residuals, components=each, fit_range=problem.fit_range,
        irf_kind=problem.kind + (" with tail" if law.tail else ""),
        converged=not trouble, reason=trouble or "maximum of the likelihood found", n_photons=problem.n_photons,
        parameter_names=law.names, parameter_values=values, covariance=est.covariance, table=table,
        intervals_from="profile" if profile else "hessian", kind=law.kind, engine="lmfit", _solution=found, **shape,
    )  # fmt: skip


def _shape_of(law: Law, est: Estimates, found: Found, profile: bool) -> dict[str, Any]:
    if law.kind not in SHAPES:
        return {}
    name, low, high, _ = SHAPES[law.kind]
    i = law.names.index(name)
    value, error = float(est.values[i]), math.sqrt(est.covariance[i, i])
    near = not (low + 4 * error < value < high - 4 * error)
    if name in found.free and (profile or near):
        ends = general_interval(found, name, 0.95, error)
    else:
        ends = value - 1.959964 * error, value + 1.959964 * error
    return {"shape": value, "shape_err": error, "shape_ci": ends}


def _averages(law: Law, est: Estimates) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return amplitude- and intensity-weighted average, each with its error."""
    c = law.c
    if law.kind not in SHAPES:
        first, second = partial(amplitude_average, c=c), partial(intensity_average, c=c)
    else:
        i = law.names.index(SHAPES[law.kind][0])
        first, second = (partial(_average_of, law.kind, i, k) for k in (0, 1))
    return (first(est.values), est.error(first)), (second(est.values), est.error(second))


def _average_of(kind: str, shape: int, which: int, values: Floats) -> float:
    return averages(kind, float(values[0]), float(values[shape]))[which]


def general_interval(found: Found, name: str, level: float, error: float) -> tuple[float, float]:
    """Return the profile-likelihood interval of a parameter that varies; the bound where the data set no end."""
    best = float(found.params[name].value)
    given = found.params[name]
    limits = (float(given.min), float(given.max))
    ridge: Ridge[Parameters] = Ridge(best, found.params)
    step = error if math.isfinite(error) and error > 0 else 0.3 * abs(best)

    def profile(x: float) -> float:
        trail = ridge.start(x)
        trail[name].set(value=x, vary=False)
        moved = _minimised(found.law, trail)
        ridge.keep(x, moved.params)
        return moved.deviance

    return profile_interval(profile, best, min(step, 0.5 * abs(best)), limits, level)
