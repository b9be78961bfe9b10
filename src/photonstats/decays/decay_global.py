"""Several decays fitted together with shared lifetimes: levels of a dot, detectors with their own delays, a series."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from photonstats.curve import Decay
from photonstats.decays.decay_estimates import result_of
from photonstats.decays.decay_limits import check_names, limits_of
from photonstats.decays.decay_model import GaussianIRF, Problem, set_up
from photonstats.decays.decay_result import DecayFit
from photonstats.decays.decay_solver import Solution, System, add_component, solve
from photonstats.decays.lifetime import numbers_of
from photonstats.likelihood import bic, chi_square_p_value
from photonstats.result import Result, quantity

if TYPE_CHECKING:
    from lmfit.parameter import Parameters
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]

SHARED = {"lifetimes", "shift", "irf_sigma"}


@dataclass(frozen=True, eq=False, repr=False)
class GlobalDecayFit(Result):
    """Decays that share lifetimes.

    Parameters
    ----------
    fits : tuple of DecayFit
        One for each decay, with its own fractions, averages, background and goodness of fit; lifetimes, their errors
        and intervals are those of all decays together.
    lifetimes, lifetimes_err : ndarray of float, shape (c,)
        Shared, rising, s.
    lifetimes_ci : ndarray of float, shape (c, 2)
        95 % intervals, s.
    fractions, fractions_err : ndarray of float, shape (d, c)
        Share of each lifetime in the photons of each decay.
    deviance : float
        Sum over the decays.
    dof : int
        Fitted bins less fitted parameters, of all decays.
    p_value : float
        Probability of a worse fit of all decays if the model is true: Fisher's combination of theirs.
    bic : float
        deviance + parameters ln(photons).
    separate_bic : float
        The same for decays that share nothing; lower than `bic` speaks against shared lifetimes.
    table : dict of int to float
        BIC of each number of components that was tried.
    shared : tuple of str
        What is shared.
    converged : bool
        Whether the search ended at a maximum and each decay is described.
    reason : str
        Why not, or how it ended.
    names : tuple of str
        Of the decays: the keys of a mapping, or "decay 1" ...
    """

    fits: tuple[DecayFit, ...]
    lifetimes: Floats
    lifetimes_err: Floats
    lifetimes_ci: Floats
    fractions: Floats
    fractions_err: Floats
    deviance: float
    dof: int
    p_value: float
    bic: float
    separate_bic: float
    table: dict[int, float]
    shared: tuple[str, ...]
    converged: bool
    reason: str
    names: tuple[str, ...]

    def summary(self) -> str:
        """Return the shared lifetimes and a line for each decay."""
        lines = [f"GlobalDecayFit: {len(self.fits)} decays share {', '.join(self.shared)}"]
        for tau, err, (low, high) in zip(self.lifetimes, self.lifetimes_err, self.lifetimes_ci, strict=True):
            lines.append(f"  lifetime {quantity(tau, err, 'ns', 1e9)} (95 %: {low * 1e9:.4g} to {high * 1e9:.4g})")
        for k, fit in enumerate(self.fits):
            shares = ", ".join(f"{f:.1%} ± {e:.1%}" for f, e in zip(fit.fractions, fit.fractions_err, strict=True))
            average = quantity(fit.amplitude_average, fit.amplitude_average_err, "ns", 1e9)
            lines.append(
                f"  {self.names[k]}: {fit.n_photons} photons, shares {shares}; amplitude-weighted {average}, "
                f"p = {fit.p_value:.2g}"
            )
        lines.append(
            f"  deviance {self.deviance:.1f} with {self.dof} degrees of freedom, p = {self.p_value:.3g}; "
            f"BIC {self.bic - self.separate_bic:+.1f} against decays that share nothing"
        )
        if not self.converged:
            lines.append(f"  not converged: {self.reason}")
        return "\n".join(lines)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the decays with their models, each to its own peak."""
        from photonstats import plots

        return plots.plot_global_fit(self, ax)


def fit_decays(
    decays: Iterable[Decay] | Mapping[Any, Decay],
    n_components: int | Literal["auto"] = 1,
    *,
    irf: Decay | GaussianIRF | Sequence[Decay | GaussianIRF | None] | None = None,
    shared: Sequence[str] = ("lifetimes",),
    fit_range: tuple[float, float] | None = None,
    exclude: Sequence[tuple[float, float]] = (),
    background: Sequence[float | None] | float | None = None,
    scatter: bool = False,
    params: Parameters | Mapping[str, Any] | None = None,
    pile_up: bool = False,
    errors: Literal["auto", "profile", "hessian"] = "auto",
    max_components: int = 3,
) -> GlobalDecayFit:
    """Fit several decays with the same lifetimes and their own shares, backgrounds and shifts.

    Parameters
    ----------
    decays : iterable or mapping of Decay
        At least one, with bins of the same width: the levels of a dot, detectors with different delays, one sample at
        several times or temperatures.
    n_components : int or "auto"
        Number of exponentials, 1 to 4, the same for all.
    irf : Decay, GaussianIRF, None, or a sequence of one for each decay
        As in `fit_decay`; all measured, all Gaussian or all None.
    shared : sequence of str
        "lifetimes", and where the decays come from one detector "shift" and "irf_sigma".
    fit_range, exclude, scatter, pile_up, errors, max_components
        As in `fit_decay`, for all decays.
    background : float, sequence or None
        Counts per bin to hold, one for all or one for each decay (None in it: fitted).
    params : lmfit.Parameters or mapping, optional
        Start, bounds and fixed values. Shared parameters have the names of `fit_decay`, others begin with ``curve1_``,
        ``curve2_`` ...

    Returns
    -------
    GlobalDecayFit

    Raises
    ------
    ValueError
        If bins differ in width, the responses are of different kinds, or an argument is not known.

    Notes
    -----
    Decays of different delays are fitted side by side and not summed: the sum is no decay of one shift. Compare
    `bic` and `separate_bic` before you quote shared lifetimes: levels of a dot need not share any.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> curves = [Decay(rng.poisson(a * np.exp(-np.arange(200) / 20.0) + 5), 1e-9) for a in (1000, 300)]
    >>> fit = fit_decays(curves, fit_range=(0, 200e-9))
    >>> bool(abs(fit.lifetimes[0] - 20e-9) < 4 * fit.lifetimes_err[0])
    True
    """
    curves = list(decays.values()) if isinstance(decays, Mapping) else list(decays)
    names = [str(k) for k in decays] if isinstance(decays, Mapping) else [f"decay {k + 1}" for k in range(len(curves))]
    tried = numbers_of(n_components, max_components)
    _check(curves, shared)
    if isinstance(irf, str):
        raise TypeError("irf must be a Decay, a GaussianIRF, None, or one of these for each decay, no text")
    responses = list(irf) if isinstance(irf, Sequence) else [irf] * len(curves)
    held = list(background) if isinstance(background, Sequence) else [background] * len(curves)
    if len(responses) != len(curves) or len(held) != len(curves):
        raise ValueError(f"irf and background need one entry for each of the {len(curves)} decays, or one for all")
    if len({type(r) for r in responses}) > 1 or any(isinstance(r, GaussianIRF) and r.tail for r in responses):
        raise ValueError("the responses must all be measured, all Gaussian without tail, or all None")
    limits, expressions = limits_of(params)
    if expressions:
        raise ValueError("fit_decays takes bounds and fixed values, no expressions; tie parameters in fit_decay")
    given = zip(names, curves, responses, held, strict=True)
    problems = _problems(given, fit_range, scatter, exclude=exclude, pile_up=pile_up)
    system = System(problems, curves[0].bin_width, frozenset(shared), limits)
    solutions = [solve(system, tried[0])]
    for n in tried[1:]:
        solutions.append(add_component(solutions[-1]))
        if _bic(solutions[-1]) > _bic(solutions[-2]) or n == tried[-1]:
            break
    check_names(limits, solutions[-1].layout.names)
    best = min(solutions, key=_bic)
    table = {s.n_components: _bic(s) for s in solutions}
    alone = [solve(System((p,), system.unit), best.n_components) for p in problems]
    return _result(curves, names, best, errors, table, sum(_bic(s, system.n_photons) for s in alone))


def _problems(
    given: Iterable[tuple[str, Decay, Decay | GaussianIRF | None, float | None]],
    fit_range: tuple[float, float] | None,
    scatter: bool,
    **settings: Any,
) -> tuple[Problem, ...]:
    """Set up each decay with its response and background; an error says which of them it is about."""
    found = []
    for name, curve, response, background in given:
        try:
            found.append(set_up(curve, response, fit_range, background, None, scatter, **settings))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return tuple(found)


def _check(curves: list[Decay], shared: Sequence[str]) -> None:
    if not curves:
        raise ValueError("there is no decay to fit")
    widths = {round(c.bin_width / curves[0].bin_width, 6) for c in curves}
    if len(widths) > 1:
        raise ValueError(
            f"the decays have bins of {', '.join(f'{c.bin_width:.6g}' for c in curves)} s; bins of equal width are "
            "needed, see bin_width of decay()"
        )
    unknown = set(shared) - SHARED
    if unknown or "lifetimes" not in shared:
        raise ValueError(f'shared must hold "lifetimes" and may hold "shift" and "irf_sigma", it is {tuple(shared)}')


def _bic(solution: Solution, n_photons: int | None = None) -> float:
    return bic(solution.deviance, solution.free.size, n_photons or solution.system.n_photons)


def _result(
    curves: list[Decay], names: list[str], best: Solution, errors: str, table: dict[int, float], separate: float
) -> GlobalDecayFit:
    fits = [result_of(curve, best, errors, table, d) for d, curve in enumerate(curves)]
    # every curve tells of the same lifetimes
    first = fits[0]
    fits = [replace(f, lifetimes_ci=first.lifetimes_ci, lifetimes_err=first.lifetimes_err) for f in fits]
    p_values = np.array([f.p_value for f in fits])
    known = p_values[np.isfinite(p_values)]
    p_value = math.nan
    if known.size:
        p_value = chi_square_p_value(-2.0 * float(np.sum(np.log(np.maximum(known, 1e-300)))), 2 * known.size)
    failed = [k + 1 for k, f in enumerate(fits) if not f.converged]
    # a decay may lack one of the shared lifetimes
    converged = all(f.converged or "no photons" in f.reason for f in fits)
    return GlobalDecayFit(
        fits=tuple(fits), lifetimes=first.lifetimes, lifetimes_err=first.lifetimes_err,
        lifetimes_ci=first.lifetimes_ci, fractions=np.array([f.fractions for f in fits]),
        fractions_err=np.array([f.fractions_err for f in fits]), deviance=best.deviance,
        dof=sum(int(p.use.sum()) for p in best.system.problems) - best.free.size, p_value=p_value,
        bic=table[best.n_components], separate_bic=separate, table=table, shared=tuple(sorted(best.system.shared)),
        converged=converged, names=tuple(names),
        reason=f"decay {failed[0]}: {fits[failed[0] - 1].reason}" if failed else "maximum of the likelihood found",
    )  # fmt: skip
