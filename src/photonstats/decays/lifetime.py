"""Decays and lifetimes: nanotime histograms, and their Poisson maximum likelihood fit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from photonstats.curve import Decay
from photonstats.decays.decay_estimates import result_of
from photonstats.decays.decay_limits import check_names, check_twice, limits_of
from photonstats.decays.decay_model import GaussianIRF, Problem, set_up
from photonstats.decays.decay_result import DecayFit
from photonstats.decays.decay_solver import Limit, Solution, System, add_component, solve
from photonstats.kernels.decay import count_nanotimes, count_nanotimes_of
from photonstats.likelihood import bic
from photonstats.stream import PhotonStream, pieces

if TYPE_CHECKING:
    from lmfit.parameter import Parameters

__all__ = ["DecayFit", "GaussianIRF", "decay", "fit_decay"]

NANOTIMES = 65536


def decay(
    photons: PhotonStream | Iterable[PhotonStream],
    detectors: int | Sequence[int] | None = None,
    bin_width: float | None = None,
) -> Decay:
    """Histogram the nanotimes of photons over one laser period.

    Parameters
    ----------
    photons : PhotonStream or iterable of PhotonStream
        A stream with nanotimes, or the pieces of `scan` (one pass, bounded memory).
    detectors : int or sequence of int, optional
        Detectors to count; None for all of them. Cables delay detectors differently: the decay of several is the sum of
        shifted curves, which no single IRF shift describes. For lifetimes take one detector at a time.
    bin_width : float, optional
        Width of a bin, s; rounded to the nearest whole number of `tcspc_unit`, at least one. The result carries the
        width really used. By default `tcspc_unit`.

    Returns
    -------
    Decay
        Bins from 0 to the laser period; the last one is cut by the period where that is not a whole number of bins,
        which `fit_decay` takes into account. Photons beyond the period (clock jitter lets a few in) are left out.
        Without a known period the bins reach to the last photon.

    Raises
    ------
    ValueError
        If the photons have no nanotimes, or a piece has other units than the first.

    Examples
    --------
    >>> photons = PhotonStream([0, 1, 1], [0, 0, 0], [0, 2, 3], timestamps_unit=4e-9, tcspc_unit=1e-9, duration=8e-9)
    >>> decay(photons).counts.tolist()
    [1, 0, 1, 1]
    """
    _check_bin_width(bin_width)
    keep = None
    if detectors is not None:
        which = [int(d) for d in np.atleast_1d(np.asarray(detectors))]
        if any(not 0 <= d <= 255 for d in which):
            raise ValueError(f"detectors are numbered 0 to 255, not {which}")
        keep = np.zeros(256, np.uint32)
        keep[which] = 1
    total = np.zeros(NANOTIMES, np.int64)
    scratch = np.zeros((4, NANOTIMES), np.uint32)
    first: PhotonStream | None = None
    duration = 0.0
    for piece in pieces(photons):
        first = checked_piece(piece, first)
        duration += piece.duration
        assert piece.nanotimes is not None
        if keep is None:
            count_nanotimes(piece.nanotimes, scratch)
        else:
            count_nanotimes_of(piece.nanotimes, piece.detectors, keep, scratch)
        top = int(np.flatnonzero(scratch.any(axis=0))[-1]) + 1 if scratch.any() else 0
        total[:top] += scratch[:, :top].sum(axis=0, dtype=np.int64)
        scratch[:, :top] = 0
    if first is None:
        raise ValueError("there is no recording: scan gave no pieces")
    return binned_decay(total, first, bin_width, duration)


def checked_piece(piece: PhotonStream, first: PhotonStream | None) -> PhotonStream:
    """Return the first piece of a recording after checking that this one has nanotimes and is of the same recording."""
    if piece.nanotimes is None or piece.tcspc_unit is None:
        raise ValueError(
            "the photons have no nanotimes, so there is no decay; a T2 recording with laser pulses on its sync input "
            "gets them from ps.fold(photons)"
        )
    if first is not None and (piece.tcspc_unit, piece.laser_period) != (first.tcspc_unit, first.laser_period):
        raise ValueError(
            f"a piece has tcspc_unit {piece.tcspc_unit} and laser_period {piece.laser_period}, the first one "
            f"{first.tcspc_unit} and {first.laser_period}: they are not of one recording"
        )
    return piece if first is None else first


def _check_bin_width(bin_width: float | None) -> None:
    if bin_width is not None and not (math.isfinite(bin_width) and bin_width > 0):
        raise ValueError(f"bin_width must be a positive time in seconds or None, it is {bin_width}")


def binned_decay(total: NDArray[np.int64], first: PhotonStream, bin_width: float | None, duration: float) -> Decay:
    """Return counts per nanotime int64[65536] as the decay of a recording, in bins of about `bin_width` s."""
    _check_bin_width(bin_width)
    unit, period = first.tcspc_unit, first.laser_period
    assert unit is not None
    if period is None and first.pulse_clock:
        period = first.timestamps_unit
    longest = NANOTIMES * unit if period is None else period
    if bin_width is not None and bin_width > longest:
        raise ValueError(f"bin_width {bin_width:.4g} s is longer than the decay, {longest:.4g} s")
    merge = 1 if bin_width is None else max(1, round(bin_width / unit))
    if period is None:
        seen = np.flatnonzero(total)
        ticks = int(seen[-1]) + 1 if seen.size else 1
    else:
        ticks = max(1, math.ceil(period / unit - 1e-6))
    n_bins = min(-(-ticks // merge), -(-NANOTIMES // merge))
    padded = np.zeros(n_bins * merge, np.int64)
    taken = min(ticks, NANOTIMES, padded.size)
    padded[:taken] = total[:taken]
    return Decay(padded.reshape(n_bins, merge).sum(axis=1), merge * unit, period, duration or None)


def fit_decay(
    decay: Decay,
    n_components: int | Literal["auto"] | str = 1,
    *,
    irf: Decay | GaussianIRF | Literal["estimate"] | None = None,
    fit_range: tuple[float, float] | None = None,
    exclude: Sequence[tuple[float, float]] = (),
    background: float | None = None,
    shift: float | None = None,
    scatter: bool = False,
    model: Literal["exponential", "stretched", "lognormal"] = "exponential",
    params: Parameters | Mapping[str, Any] | None = None,
    pile_up: bool = False,
    nonlinearity: ArrayLike | None = None,
    errors: Literal["auto", "profile", "hessian"] = "auto",
    max_components: int = 3,
    engine: Literal["auto", "scoring", "lmfit"] = "auto",
) -> DecayFit:
    """Fit exponentials, or a distribution of them, to a decay by Poisson maximum likelihood.

    Parameters
    ----------
    decay : Decay
        The data.
    n_components : int or "auto"
        Number of exponentials, 1 to 4; "auto" adds one at a time, up to `max_components`, while BIC falls.
    irf : Decay, GaussianIRF, "estimate" or None
        Measured response (its background is subtracted; finer bins than those of the decay are kept, and needed where
        the response is narrower than a bin); a Gaussian one, with or without tail; "estimate": a Gaussian
        or one with a tail fitted to the rise, whichever has the lower BIC; None: the fit begins after the rise, and
        includes what lies before it as the end of the tail of the pulse before.
    fit_range : tuple of float, optional
        Begin and end of the fitted bins, s; by default all recorded bins, without an IRF those from twice the 10-90 %
        width of the rise after its middle. An end beyond the period wraps to the begin of the curve.
    exclude : sequence of (float, float)
        Bands (begin, end) in s whose bins are left out, as reflections are.
    background : float, optional
        Background, counts per bin, held there; None: fitted, >= 0.
    shift : float, optional
        Shift of the IRF, s, held there; None: fitted.
    scatter : bool
        Whether stray light in the shape of the IRF is in the model.
    model : {"exponential", "stretched", "lognormal"}
        Sum of exponentials; exp(-(t/tau)^beta), 0.1 <= beta <= 1; or a log-normal distribution of decay rates.
    params : lmfit.Parameters or mapping, optional
        Start, bounds and fixed values by name: `{"lifetime_1": {"value": 4e-9, "vary": False}}`, or a bare number to
        hold a parameter. Names are those of `DecayFit.params`; units s and counts. An `expr` ties one to others.
        Lifetimes then keep their numbers instead of being sorted.
    pile_up : bool
        Whether the loss of all but the first photon of a pulse is in the model; for one detector, and a decay with
        duration and period.
    nonlinearity : array_like of float, shape (n,), optional
        Relative width of each TCSPC bin, mean 1: differential nonlinearity.
    errors : {"auto", "profile", "hessian"}
        How intervals are made: "auto" takes the profile likelihood where a lifetime is known to less than 8 % or a
        parameter lies near its bound, and the standard errors (log-normal) elsewhere.
    max_components : int
        Most exponentials that "auto" tries, 1 to 4.
    engine : {"auto", "scoring", "lmfit"}
        "scoring": compiled Fisher scoring, for exponentials without `expr`; "lmfit": its least squares on the roots of
        the deviance, for anything; "auto": the first where it can.

    Returns
    -------
    DecayFit
        Look at `converged` and `p_value` before the lifetimes.

    Raises
    ------
    ValueError
        If there are no photons, `fit_range` lies outside of the decay, the bins of the IRF do not divide those of
        the decay, or an argument or a name in `params` is not known.

    Warns
    -----
    AnalysisWarning
        Above 5 % detections per pulse (pile-up) unless that is in the model; where photons lie beyond the period.

    Notes
    -----
    The model in bin k is the integral over the bin of
    ``IRF(u - shift) * sum_i a_i/tau_i exp(-u/tau_i) / (1 - exp(-P/tau_i)) + scatter IRF + background``, convolved
    periodically over the laser period P, so that light of earlier pulses is included and a_i are photon numbers. A
    measured IRF is shifted by moving the begin of its exponentials, which does not broaden it. Standard errors come
    from the expected information. Without an IRF the components' fractions are those at the middle of the rise.

    References
    ----------
    Maus et al., Anal. Chem. 73, 2078 (2001); Laurence and Chromy, Nat. Methods 7, 338 (2010). Distributions: van Driel
    et al., Phys. Rev. B 75, 035329 (2007). Pile-up: Coates, J. Phys. E 1, 878 (1968).

    Examples
    --------
    >>> counts = np.random.default_rng(1).poisson(1000 * np.exp(-np.arange(100) / 20.0))
    >>> fit = fit_decay(Decay(counts, 1e-9), fit_range=(0, 100e-9))
    >>> bool(abs(fit.lifetimes[0] - 20e-9) < 4 * fit.lifetimes_err[0])
    True
    """
    tried = numbers_of(n_components, max_components)
    _check_choices(model, errors, engine)
    limits, expressions = limits_of(params)
    check_twice(limits, background=background, shift=shift)
    response = GaussianIRF(tail="auto") if isinstance(irf, str) and irf == "estimate" else irf
    problem = set_up(
        decay, response, fit_range, background, shift, scatter, exclude=exclude, pile_up=pile_up,
        gain=None if nonlinearity is None else np.asarray(nonlinearity, np.float64),
    )  # fmt: skip
    if "irf_sigma" in limits and not problem.gaussian:
        raise ValueError("params: irf_sigma belongs to a GaussianIRF, and the response here is " + problem.kind)
    tail = None if problem.tail is None else problem.tail.tail
    general = model != "exponential" or bool(expressions) or tail not in (None, "auto")
    if engine == "scoring" and (general or tail is not None):
        raise ValueError(
            'engine="scoring" fits sums of exponentials without expressions and without a tail of the IRF; take "auto"'
        )
    if general or engine == "lmfit":
        from photonstats.decays.decay_general import fit_general

        return fit_general(decay, problem, model, tried, limits, expressions, errors)
    if tail == "auto":
        from photonstats.decays.decay_general import fit_with_tail

        plain = _fit_exponentials(decay, replace(problem, tail=None), tried, limits, errors)
        return fit_with_tail(decay, problem, plain, limits, errors)
    return _fit_exponentials(decay, problem, tried, limits, errors)


def _fit_exponentials(
    decay: Decay, problem: Problem, tried: list[int], limits: dict[str, Limit], errors: str
) -> DecayFit:
    """Fit each number of exponentials by the compiled search, and return the best by BIC."""
    system = System((problem,), decay.bin_width, limits=limits)
    solutions = tried_solutions(system, tried)
    check_names(limits, solutions[-1].layout.names)
    table = {s.n_components: bic(s.deviance, s.free.size, problem.n_photons) for s in solutions}
    ordered = sorted(solutions, key=lambda s: table[s.n_components])
    best = result_of(decay, ordered[0], errors, table)
    if best.converged:
        return best
    for fewer in (s for s in ordered if s.n_components < ordered[0].n_components):
        # a component without width, or the same as background, is not one more lifetime
        found = result_of(decay, fewer, errors, table)
        if found.converged:
            return replace(found, reason=f"with {ordered[0].n_components} lifetimes: {best.reason}")
    return best


def tried_solutions(system: System, tried: list[int]) -> list[Solution]:
    """Return the maximum for each number of components, one more at a time while BIC falls."""
    solutions = [solve(system, tried[0])]
    least = math.inf
    for n in tried:
        if n > tried[0]:
            solutions.append(add_component(solutions[-1]))
        criterion = bic(solutions[-1].deviance, solutions[-1].free.size, system.n_photons)
        if criterion > least:
            break
        least = criterion
    return solutions


def numbers_of(n_components: int | str, most: int) -> list[int]:
    """Return the numbers of components to try."""
    if n_components == "auto":
        if not 1 <= most <= 4:
            raise ValueError(f"max_components must be 1 to 4, it is {most}")
        return [*range(1, most + 1)]
    if isinstance(n_components, str) or int(n_components) != n_components or not 1 <= n_components <= 4:
        raise ValueError(f'n_components must be 1 to 4 or "auto", it is {n_components!r}')
    return [int(n_components)]


def _check_choices(model: str, errors: str, engine: str) -> None:
    if errors not in ("auto", "profile", "hessian"):
        raise ValueError(f'errors must be "auto", "profile" or "hessian", it is {errors!r}')
    if model not in ("exponential", "stretched", "lognormal"):
        raise ValueError(f'model must be "exponential", "stretched" or "lognormal", it is {model!r}')
    if engine not in ("auto", "scoring", "lmfit"):
        raise ValueError(f'engine must be "auto", "scoring" or "lmfit", it is {engine!r}')
