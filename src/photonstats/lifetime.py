"""Decays and lifetimes: nanotime histograms, and their Poisson maximum likelihood fit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from photonstats.curve import Decay
from photonstats.decay_model import GaussianIRF, doubt_of_pulse_time, set_up
from photonstats.decay_solver import (
    LONGEST,
    SHORTEST,
    Solution,
    add_component,
    covariance,
    lifetime_intervals,
    solve,
)
from photonstats.kernels.decay import EXHAUSTED, count_nanotimes, count_nanotimes_of
from photonstats.likelihood import Z95, bic, covering_error, deviance_p_value, poisson_deviance
from photonstats.result import Result
from photonstats.stream import PhotonStream, pieces

if TYPE_CHECKING:
    from lmfit.parameter import Parameters
    from matplotlib.axes import Axes

__all__ = ["DecayFit", "GaussianIRF", "decay", "fit_decay"]

Floats = NDArray[np.float64]
NANOTIMES = 65536


@dataclass(frozen=True, eq=False, repr=False)
class DecayFit(Result):
    """Lifetimes of a decay, with errors and goodness of fit.

    Parameters
    ----------
    decay : Decay
        The data.
    lifetimes, lifetimes_err : ndarray of float, shape (c,)
        Rising, s, and their standard errors.
    lifetimes_ci : ndarray of float, shape (c, 2)
        95 % intervals, s: from the profile likelihood, or log-normal from the standard errors (`errors="hessian"`).
        An end that the data do not limit is 0 or inf.
    fractions, fractions_err : ndarray of float, shape (c,)
        Share of each component in the photons of the emitter (not background, not stray light), sum 1.
    amplitudes : ndarray of float, shape (c,)
        Share of each component in the amplitude right after the pulse: fraction over lifetime, sum 1.
    background, background_err : float
        Expected background counts per bin.
    shift, shift_err : float
        Shift of the IRF to the decay, s (for a Gaussian without a centre: the time of the pulse). 0 and nan for a
        tail fit.
    irf_sigma, irf_sigma_err : float
        Width of a Gaussian IRF, s; nan for others.
    scatter, scatter_err : float
        Share of stray light in the photons that follow the pulse.
    amplitude_average, amplitude_average_err : float
        sum A_i tau_i / sum A_i with amplitudes A_i, s.
    intensity_average, intensity_average_err : float
        sum A_i tau_i^2 / sum A_i tau_i, s.
    deviance : float
        2 sum [m - n + n ln(n/m)] over the fitted bins.
    dof : int
        Fitted bins less fitted parameters.
    p_value : float
        Probability of a worse fit if the model is true; holds at few counts per bin.
    bic : float
        deviance + parameters ln(photons).
    model, residuals : ndarray of float, shape (n,)
        Expected counts per bin, and (counts - model)/sqrt(model); nan where the fit says nothing.
    components : ndarray of float, shape (c, n)
        Expected counts of each exponential.
    fit_range : tuple of float
        Begin and end of the fitted bins, s; an end beyond the period means that the range wraps to the begin of the
        curve.
    irf_kind : str
        "measured", "gaussian" or "none (tail fit)".
    converged : bool
        Whether the numbers are the maximum of the likelihood and the data determine each component.
    reason : str
        Why not, or how the search ended.
    n_photons : int
        Photons in the fitted bins.
    parameter_names : tuple of str
        Names of the rows of `covariance`.
    covariance : ndarray of float, shape (p, p)
        Of lifetimes (s), photons of each component per recording, stray photons, background per bin, shift (s) and
        sigma (s); rows of what was not fitted are 0.
    table : dict of int to float
        BIC of each number of components that was tried.
    """

    decay: Decay
    lifetimes: Floats
    lifetimes_err: Floats
    lifetimes_ci: Floats
    fractions: Floats
    fractions_err: Floats
    amplitudes: Floats
    background: float
    background_err: float
    shift: float
    shift_err: float
    irf_sigma: float
    irf_sigma_err: float
    scatter: float
    scatter_err: float
    amplitude_average: float
    amplitude_average_err: float
    intensity_average: float
    intensity_average_err: float
    deviance: float
    dof: int
    p_value: float
    bic: float
    model: Floats
    residuals: Floats
    components: Floats
    fit_range: tuple[float, float]
    irf_kind: str
    converged: bool
    reason: str
    n_photons: int
    parameter_names: tuple[str, ...]
    parameter_values: Floats
    covariance: Floats
    table: dict[int, float]

    @property
    def background_rate(self) -> float:
        """Background, Hz; nan where the decay has no duration."""
        return self.background * self._rate_of_bin

    @property
    def background_rate_err(self) -> float:
        """Standard error of the background rate, Hz; nan where the decay has no duration."""
        return self.background_err * self._rate_of_bin

    @property
    def _rate_of_bin(self) -> float:
        if not self.decay.duration:
            return math.nan
        covered = self.decay.period or self.decay.counts.size * self.decay.bin_width
        return covered / self.decay.bin_width / self.decay.duration

    @property
    def params(self) -> Parameters:
        """The fitted parameters in lmfit's vocabulary; errors are never scaled by chi-square."""
        from lmfit.parameter import Parameters

        params = Parameters()  # type: ignore[no-untyped-call]
        for i, (name, value) in enumerate(zip(self.parameter_names, self.parameter_values, strict=True)):
            varied = bool(self.covariance[i, i] != 0)
            params.add(  # type: ignore[no-untyped-call]
                name, value=float(value), vary=varied, min=-np.inf if name == "shift" else 0.0
            )
            params[name].stderr = math.sqrt(self.covariance[i, i]) if varied else None
        return params

    def to_dict(self) -> dict[str, Any]:
        """Return the fields and the background rate as plain JSON types."""
        rate, error = self.background_rate, self.background_rate_err
        known = math.isfinite(rate)
        return {
            **super().to_dict(),
            "background_rate": rate if known else None,
            "background_rate_err": error if known else None,
        }

    def summary(self) -> str:
        """Return a few lines: lifetimes with errors and fractions, averages, background, goodness of fit."""
        lines = [f"DecayFit: {len(self.lifetimes)} component(s), IRF: {self.irf_kind}, {self.n_photons} photons"]
        for tau, err, (low, high), share, share_err in zip(
            self.lifetimes, self.lifetimes_err, self.lifetimes_ci, self.fractions, self.fractions_err, strict=True
        ):
            of_photons = f", {share:.1%} ± {share_err:.1%} of the photons" if len(self.lifetimes) > 1 else ""
            lines.append(
                f"  lifetime {tau * 1e9:.4g} ± {err * 1e9:.2g} ns "
                f"(95 %: {low * 1e9:.4g} to {high * 1e9:.4g}){of_photons}"
            )
        if len(self.lifetimes) > 1:
            lines.append(
                f"  amplitude-weighted {self.amplitude_average * 1e9:.4g} ± {self.amplitude_average_err * 1e9:.2g} ns, "
                f"intensity-weighted {self.intensity_average * 1e9:.4g} ± {self.intensity_average_err * 1e9:.2g} ns"
            )
        lines.append(f"  background {self.background:.4g} ± {self.background_err:.2g} counts per bin")
        lines.append(f"  deviance {self.deviance:.1f} with {self.dof} degrees of freedom, p = {self.p_value:.3g}")
        if not self.converged:
            lines.append(f"  not converged: {self.reason}")
        return "\n".join(lines)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the decay with the fitted model."""
        from photonstats import plots

        return plots.plot_decay_fit(self, ax)


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
    if bin_width is not None and not (math.isfinite(bin_width) and bin_width > 0):
        raise ValueError(f"bin_width must be a positive time in seconds or None, it is {bin_width}")
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
        first = _checked(piece, first)
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
    assert first.tcspc_unit is not None
    merge = 1 if bin_width is None else max(1, round(bin_width / first.tcspc_unit))
    period = first.laser_period
    if period is None and first.pulse_clock:
        period = first.timestamps_unit
    return _binned(total, merge, first.tcspc_unit, period, duration)


def _checked(piece: PhotonStream, first: PhotonStream | None) -> PhotonStream:
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


def _binned(total: NDArray[np.int64], merge: int, unit: float, period: float | None, duration: float) -> Decay:
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
    irf: Decay | GaussianIRF | None = None,
    fit_range: tuple[float, float] | None = None,
    background: float | None = None,
    shift: float | None = None,
    scatter: bool = False,
    errors: Literal["profile", "hessian"] = "profile",
    max_components: int = 2,
) -> DecayFit:
    """Fit one or more exponentials to a decay by Poisson maximum likelihood.

    Parameters
    ----------
    decay : Decay
        The data.
    n_components : int or "auto"
        Number of exponentials, 1 to 4; "auto" takes the number of the lowest BIC, 1 to `max_components`.
    irf : Decay, GaussianIRF or None
        Measured response (its background is subtracted), a Gaussian one, or None: the fit then begins after the rise,
        and includes what lies before it as the end of the tail of the pulse before.
    fit_range : tuple of float, optional
        Begin and end of the fitted bins, s; by default all recorded bins, without an IRF those from twice the 10-90 %
        width of the rise after its middle. An end beyond the period wraps to the begin of the curve.
    background : float, optional
        Background, counts per bin, held there; None: fitted, >= 0.
    shift : float, optional
        Shift of the IRF, s, held there; None: fitted.
    scatter : bool
        Whether stray light in the shape of the IRF is in the model.
    errors : {"profile", "hessian"}
        How `lifetimes_ci` is made.
    max_components : int
        Most exponentials that "auto" tries, 1 to 4.

    Returns
    -------
    DecayFit
        Look at `converged` and `p_value` before the lifetimes.

    Raises
    ------
    ValueError
        If there are no photons, `fit_range` lies outside of the decay, or the bins of the IRF do not divide those of
        the decay.

    Warns
    -----
    AnalysisWarning
        Above 5 % detections per pulse (pile-up); where photons lie beyond the period.

    Notes
    -----
    The model in bin k is the integral over the bin of
    ``IRF(u - shift) * sum_i a_i/tau_i exp(-u/tau_i) / (1 - exp(-P/tau_i)) + scatter IRF + background``, convolved
    periodically over the laser period P, so that light of earlier pulses is included and a_i are photon numbers. A
    measured IRF is shifted by moving the begin of its exponentials, which does not broaden it. Standard errors come
    from the expected information. Without an IRF the components' fractions are those at the middle of the rise.

    References
    ----------
    Maus et al., Anal. Chem. 73, 2078 (2001); Laurence and Chromy, Nat. Methods 7, 338 (2010).

    Examples
    --------
    >>> counts = np.random.default_rng(1).poisson(1000 * np.exp(-np.arange(100) / 20.0))
    >>> fit = fit_decay(Decay(counts, 1e-9), fit_range=(0, 100e-9))
    >>> bool(abs(fit.lifetimes[0] - 20e-9) < 4 * fit.lifetimes_err[0])
    True
    """
    tried = _numbers(n_components, max_components)
    if errors not in ("profile", "hessian"):
        raise ValueError(f'errors must be "profile" or "hessian", it is {errors!r}')
    problem = set_up(decay, irf, fit_range, background, shift, scatter)
    solutions = [solve(problem, tried[0])]
    for _ in tried[1:]:
        solutions.append(add_component(solutions[-1]))
    table = {s.n_components: bic(s.deviance, s.free.size, problem.n_photons) for s in solutions}
    best = min(solutions, key=lambda s: table[s.n_components])
    return _result(decay, best, errors, table)


def _numbers(n_components: int | str, most: int) -> list[int]:
    if n_components == "auto":
        if not 1 <= most <= 4:
            raise ValueError(f"max_components must be 1 to 4, it is {most}")
        return [*range(1, most + 1)]
    if isinstance(n_components, str) or int(n_components) != n_components or not 1 <= n_components <= 4:
        raise ValueError(f'n_components must be 1 to 4 or "auto", it is {n_components!r}')
    return [int(n_components)]


def _result(decay: Decay, solution: Solution, errors: str, table: dict[int, float]) -> DecayFit:
    problem, c = solution.problem, solution.n_components
    unit = decay.bin_width
    order = np.argsort(solution.q[:c])
    values, cov, names = _in_seconds(solution, order, unit)
    tau, photons = values[:c], values[c : 2 * c]
    if problem.kind.startswith("none"):
        cov[c : 2 * c, c : 2 * c] += doubt_of_pulse_time(problem, tau / unit, photons)
    err = np.sqrt(np.diag(cov))
    lifetimes_err = err[:c]
    if errors == "profile":
        ci = lifetime_intervals(solution, np.sqrt(np.diag(covariance(solution))))[order] * unit
        lifetimes_err = np.array([covering_error(e, i) for e, i in zip(lifetimes_err, ci, strict=True)])
    else:
        with np.errstate(over="ignore"):
            ci = tau[:, None] * np.exp(np.outer(err[:c] / tau, [-Z95, Z95]))
    total = photons.sum() if photons.sum() > 0 else np.nan
    fractions = photons / total
    slopes = np.zeros((c, values.size))
    slopes[:, c : 2 * c] = (np.eye(c) - fractions[:, None]) / total
    amplitude = 1.0 / np.sum(fractions / tau)
    of_amplitude, of_intensity = np.zeros(values.size), np.zeros(values.size)
    of_amplitude[:c] = amplitude**2 * fractions / tau**2
    of_amplitude[c : 2 * c] = amplitude * (1.0 - amplitude / tau) / total
    intensity = float(np.sum(fractions * tau))
    of_intensity[:c] = fractions
    of_intensity[c : 2 * c] = (tau - intensity) / total
    stray = values[2 * c]
    of_scatter = np.zeros(values.size)
    of_scatter[2 * c] = total / (total + stray) ** 2
    of_scatter[c : 2 * c] = -stray / (total + stray) ** 2
    model, residuals, components, p_value = _curves(decay, solution, order)
    converged, reason = _verdict(solution, fractions, ci)
    tail, gaussian = problem.kind.startswith("none"), problem.gaussian
    return DecayFit(
        decay=decay, lifetimes=tau, lifetimes_err=lifetimes_err, lifetimes_ci=ci,
        fractions=fractions, fractions_err=_errors_of(slopes, cov), amplitudes=fractions / tau * amplitude,
        background=float(values[2 * c + 1]), background_err=float(err[2 * c + 1]),
        shift=float(values[2 * c + 2]), shift_err=math.nan if tail else float(err[2 * c + 2]),
        irf_sigma=float(values[2 * c + 3]) if gaussian else math.nan,
        irf_sigma_err=float(err[2 * c + 3]) if gaussian else math.nan,
        scatter=float(stray / (total + stray)), scatter_err=float(_errors_of(of_scatter, cov)),
        amplitude_average=float(amplitude), amplitude_average_err=float(_errors_of(of_amplitude, cov)),
        intensity_average=intensity, intensity_average_err=float(_errors_of(of_intensity, cov)),
        deviance=poisson_deviance(problem.counts[problem.use], model[: problem.counts.size][problem.use]),
        dof=int(problem.use.sum()) - solution.free.size, p_value=p_value, bic=table[c],
        model=model, residuals=residuals, components=components, fit_range=problem.fit_range, irf_kind=problem.kind,
        converged=converged, reason=reason, n_photons=problem.n_photons,
        parameter_names=names, parameter_values=values, covariance=cov, table=table,
    )  # fmt: skip


def _in_seconds(solution: Solution, order: NDArray[np.intp], unit: float) -> tuple[Floats, Floats, tuple[str, ...]]:
    """Return values and covariance of lifetimes, photons, stray photons, background, shift, sigma, and their names."""
    q, c = solution.q, solution.n_components
    rows = np.concatenate([order, c + 2 + order, [2 * c + 2, 2 * c + 3, c, c + 1]])
    values = q[rows].copy()
    scale = np.ones(rows.size)
    values[:c] = np.exp(values[:c]) * unit
    scale[:c] = values[:c]
    values[-2] *= unit
    scale[-2] = unit
    values[-1] = math.exp(values[-1]) * unit
    scale[-1] = values[-1]
    cov = covariance(solution)[np.ix_(rows, rows)] * np.outer(scale, scale)
    names = [f"lifetime_{i + 1}" for i in range(c)] + [f"photons_{i + 1}" for i in range(c)]
    return values, cov, (*names, "scatter_photons", "background", "shift", "irf_sigma")


def _errors_of(slopes: Floats, cov: Floats) -> Floats:
    """Return the errors of functions with these derivatives; infinite where they lean on an unknown parameter."""
    rows = np.atleast_2d(slopes)
    unknown = np.isinf(np.diag(cov))
    finite = np.where(unknown[:, None] | unknown[None, :], 0.0, cov)
    variance = np.einsum("ij,jk,ik->i", rows, finite, rows)
    variance[np.any(rows[:, unknown] != 0.0, axis=1)] = np.inf
    errors = np.sqrt(np.maximum(variance, 0.0))
    found: Floats = errors if slopes.ndim == 2 else errors[0]
    return found


def _curves(decay: Decay, solution: Solution, order: NDArray[np.intp]) -> tuple[Floats, Floats, Floats, float]:
    problem, c, q = solution.problem, solution.n_components, solution.q
    fitted, jacobian = solution.evaluate()
    use, n = problem.use, problem.counts.size
    p_value = deviance_p_value(problem.counts[use], fitted[use], jacobian[solution.free][:, use])
    # A tail fit describes the tail alone; a full one every bin of the period.
    shown = use if problem.kind.startswith("none") else np.ones(n, bool)
    model, residuals = np.full(decay.counts.size, np.nan), np.full(decay.counts.size, np.nan)
    model[:n][shown] = fitted[shown]
    residuals[:n][use] = (problem.counts[use] - fitted[use]) / np.sqrt(fitted[use])
    components = np.full((c, decay.counts.size), np.nan)
    parts = q[c + 2 : 2 * c + 2, None] * jacobian[c + 2 : 2 * c + 2]
    components[:, :n][:, shown] = parts[order][:, shown]
    return model, residuals, components, p_value


def _verdict(solution: Solution, fractions: Floats, intervals: Floats) -> tuple[bool, str]:
    problem, c = solution.problem, solution.n_components
    tau = np.exp(solution.q[:c])
    if solution.status == EXHAUSTED:
        return False, "the search ran out of steps; fewer components or another fit_range may help"
    if np.any(tau <= SHORTEST * 1.01):
        return False, "a lifetime fell below a fiftieth of a bin: the light is as short as the IRF or a single bin"
    if np.any(tau >= LONGEST * problem.span * 0.99):
        return False, "a lifetime grew beyond a hundred periods: within the data it is the same as background"
    if not np.all(fractions > 0):
        return False, f"the data do not hold {c} lifetime(s): a component has no photons"
    if c > 1 and np.any(np.diff(np.sort(tau)) < 1e-4 * np.sort(tau)[1:]):
        return False, f"the data do not hold {c} lifetimes: two of them are the same"
    if np.any((intervals[:, 0] == 0) & np.isinf(intervals[:, 1])):
        return False, "the data set no limit to a lifetime: no decay stands out of the background"
    return True, "maximum of the likelihood found"
