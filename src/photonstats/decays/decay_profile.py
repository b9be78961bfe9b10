"""Profile likelihood of any quantity of a decay fit, on request."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from photonstats.decays.decay_estimates import amplitude_average, fraction_of, intensity_average, scatter_of
from photonstats.decays.decay_general import Found, general_interval
from photonstats.decays.decay_result import DecayFit
from photonstats.decays.decay_shapes import columns
from photonstats.decays.decay_solver import LONGEST, SHORTEST, Solution, evaluate, parameter_interval, tied_interval
from photonstats.kernels import decay_fit as kernels

Floats = NDArray[np.float64]


def profiled(fit: DecayFit, name: str, level: float) -> tuple[float, float]:
    """Return the interval of a parameter, a fraction, an average or the scatter in SI units."""
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, it is {level}")
    source = fit._solution
    if isinstance(source, Found):
        if name not in source.free:
            raise ValueError(f"{name} was not fitted; of this fit there are intervals for {', '.join(source.free)}")
        i = fit.parameter_names.index(name)
        return general_interval(source, name, level, math.sqrt(fit.covariance[i, i]))
    solution, d = _of(source)
    order = np.argsort(solution.local(d)[: solution.n_components])
    if name in fit.parameter_names:
        return _parameter(fit, solution, d, order, name, level)
    return _derived(fit, solution, d, order, name, level)


def _parameter(
    fit: DecayFit, solution: Solution, d: int, order: NDArray[np.intp], name: str, level: float
) -> tuple[float, float]:
    c, unit = solution.n_components, solution.system.unit
    i = fit.parameter_names.index(name)
    rows = np.concatenate([order, c + 2 + order, [2 * c + 2, 2 * c + 3, c, c + 1]])
    index = int(solution.layout.place[d, rows[i]])
    if index not in solution.free:
        raise ValueError(f"{name} was not fitted, so it has no interval")
    value, error = float(fit.parameter_values[i]), math.sqrt(fit.covariance[i, i])
    log = name.startswith("lifetime") or name == "irf_sigma"
    scale = value if log else unit if name == "shift" else 1.0
    step = error / scale if math.isfinite(error) and error > 0 else 1.0
    low, high = parameter_interval(solution, index, min(step, 1.0) if log else step, level)
    if log:
        return math.exp(low) * unit, math.exp(high) * unit
    return (low * unit, high * unit) if name == "shift" else (low, high)


def _derived(
    fit: DecayFit, solution: Solution, d: int, order: NDArray[np.intp], name: str, level: float
) -> tuple[float, float]:
    c, unit = solution.n_components, solution.system.unit
    values = fit.parameter_values
    top = LONGEST * max(p.span for p in solution.system.problems)
    if name in {f"fraction_{i + 1}" for i in range(c)}:
        i = int(name.removeprefix("fraction_")) - 1
        start = min(max(float(fit.fractions_err[i]), 1e-6), 0.3)
        return tied_interval(
            solution, d, kernels.FRACTION, int(order[i]), fraction_of(values, c, i), start, (0.0, 1.0), level
        )
    if name == "scatter":
        start = min(max(fit.scatter_err, 1e-6), 0.3) if math.isfinite(fit.scatter_err) else 0.3
        return tied_interval(solution, d, kernels.SCATTER, 0, scatter_of(values, c), start, (0.0, 1.0), level)
    kinds = {
        "amplitude_average": (kernels.AMPLITUDE_AVERAGE, amplitude_average(values, c), fit.amplitude_average_err),
        "intensity_average": (kernels.INTENSITY_AVERAGE, intensity_average(values, c), fit.intensity_average_err),
    }
    if name not in kinds:
        raise ValueError(
            f"there is no {name} in this fit; known are {', '.join(fit.parameter_names)}, fraction_1 ..., "
            "amplitude_average, intensity_average, scatter"
        )
    kind, best, error = kinds[name]
    start = min(error, 0.5 * best) if math.isfinite(error) else 0.5 * best
    low, high = tied_interval(solution, d, kind, 0, best / unit, start / unit, (SHORTEST, top), level)
    return low * unit, high * unit


def response_of(fit: DecayFit) -> Floats:
    """Return the share of the response in each bin of the decay; 0 beyond the period."""
    source = fit._solution
    shape = np.zeros(fit.decay.counts.size)
    if isinstance(source, Found):
        law, v = source.law, dict(zip(source.law.names, source.values.tolist(), strict=True))
        tail = (v["irf_tail"], v["irf_tail_lifetime"] / law.unit) if law.tail else (0.0, 1.0)
        stray = columns(
            law.problem, np.array([1.0]), v["shift"] / law.unit, v["irf_sigma"] / law.unit, "exponential", 0.0, tail
        )[1]
    else:
        solution, d = _of(source)
        stray = evaluate(solution.system.problems[d], solution.local(d))[1][2 * solution.n_components + 2]
    shape[: stray.size] = stray
    return shape


def _of(source: Solution | tuple[Solution, int]) -> tuple[Solution, int]:
    return source if isinstance(source, tuple) else (source, 0)
