"""Result of a decay fit: lifetimes, shares, averages, each with error and interval, and goodness of fit."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from photonstats.curve import Decay
from photonstats.result import Result, quantity

if TYPE_CHECKING:
    from lmfit.parameter import Parameters
    from matplotlib.axes import Axes

    from photonstats.decays.decay_bootstrap import DecayBootstrap

Floats = NDArray[np.float64]
Interval = tuple[float, float]
REJECTED = 1e-3  # p-value below which a model is said not to describe the decay


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
        95 % intervals, s. An end that the data do not limit is 0 or inf. See `intervals_from`.
    fractions, fractions_err : ndarray of float, shape (c,)
        Share of each component in the photons of the emitter (not background, not stray light), sum 1.
    fractions_ci : ndarray of float, shape (c, 2)
        95 % intervals of the shares.
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
        sum A_i tau_i / sum A_i with amplitudes A_i, s; `amplitude_average_ci` its 95 % interval. The area of the decay
        over its height: proportional to the quantum yield where the radiative rate stays.
    intensity_average, intensity_average_err : float
        sum A_i tau_i^2 / sum A_i tau_i, s; `intensity_average_ci` its 95 % interval. The mean delay of a photon.
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
    intervals_from : {"profile", "hessian"}
        Whether the intervals are those of the profile likelihood, or log-normal (lifetimes, averages) and logit-normal
        (fractions) from the standard errors.
    kind : {"exponential", "stretched", "lognormal"}
        Law of the decay. Of the last two `lifetimes` holds one time: tau of exp(-(t/tau)^beta), or the inverse of the
        median rate.
    shape, shape_err, shape_ci
        beta of a stretched exponential, or the width of ln(rate) of a log-normal distribution of rates; nan else.
    engine : {"scoring", "lmfit"}
        Which search found the maximum.
    """

    decay: Decay
    lifetimes: Floats
    lifetimes_err: Floats
    lifetimes_ci: Floats
    fractions: Floats
    fractions_err: Floats
    fractions_ci: Floats
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
    amplitude_average_ci: Interval
    intensity_average: float
    intensity_average_err: float
    intensity_average_ci: Interval
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
    intervals_from: str = "profile"
    kind: str = "exponential"
    shape: float = math.nan
    shape_err: float = math.nan
    shape_ci: Interval = (math.nan, math.nan)
    engine: str = "scoring"
    _solution: Any = field(default=None, repr=False)

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
    def response(self) -> Floats | None:
        """Share of the instrument response in each bin, shifted as fitted, shape (n,); None without one."""
        if self._solution is None or self.irf_kind.startswith("none"):
            return None
        from photonstats.decays.decay_profile import response_of

        return response_of(self)

    @property
    def params(self) -> Parameters:
        """The fitted parameters in lmfit's vocabulary, with the correlations; never scaled by chi-square."""
        from lmfit.parameter import Parameters

        params = Parameters()  # type: ignore[no-untyped-call]
        errors = np.sqrt(np.diag(self.covariance))
        for i, (name, value) in enumerate(zip(self.parameter_names, self.parameter_values, strict=True)):
            varied = bool(errors[i] != 0)
            params.add(  # type: ignore[no-untyped-call]
                name, value=float(value), vary=varied, min=-np.inf if name == "shift" else 0.0
            )
            params[name].stderr = float(errors[i]) if varied else None
        known = np.flatnonzero((errors > 0) & np.isfinite(errors)).tolist()
        for i in known:
            params[self.parameter_names[i]].correl = {
                self.parameter_names[j]: float(self.covariance[i, j] / (errors[i] * errors[j])) for j in known if j != i
            }
        return params

    @property
    def residual_autocorrelation(self) -> Floats:
        """Autocorrelation of the residuals at lags 0, 1, ... bins; white noise: 0 +- 1/sqrt(n).

        Neighbouring bins are taken together where they expect fewer than five counts.

        A slow wave in it is what a wrong model or a wrong IRF leaves, and what the p-value, blind to the order of the
        bins, does not see.
        """
        return autocorrelation(self._grouped_residuals)

    @property
    def _grouped_residuals(self) -> Floats:
        """Residuals of neighbouring bins together that expect five counts: those of emptier ones are not normal."""
        inside = np.isfinite(self.residuals)
        model, counts = self.model[inside], self.decay.counts[inside]
        n = int(min(model.sum() / 5.0, model.size))
        if n < 2:
            return np.zeros(0)
        group = np.minimum(np.cumsum(model) / model.sum() * n, n - 1e-9).astype(np.int64)
        begins = np.flatnonzero(np.diff(group, prepend=-1))
        expected, found = np.add.reduceat(model, begins), np.add.reduceat(counts, begins)
        return np.asarray((found - expected) / np.sqrt(expected), np.float64)

    @property
    def autocorrelation_p_value(self) -> float:
        """Probability that white residuals have a larger sum of squared autocorrelations at the first ten lags.

        Ljung and Box, Biometrika 65, 297 (1978).
        """
        from photonstats.likelihood import chi_square_p_value

        rho = self.residual_autocorrelation
        n = self._grouped_residuals.size
        lags = np.arange(1, min(11, rho.size))
        if lags.size == 0:
            return math.nan
        return chi_square_p_value(float(n * (n + 2) * np.sum(rho[lags] ** 2 / (n - lags))), int(lags.size))

    def interval(self, name: str, level: float = 0.95) -> Interval:
        """Return the profile-likelihood interval of a parameter, an average, a fraction or the scatter.

        Parameters
        ----------
        name : str
            One of `parameter_names`, "fraction_1" ..., "amplitude_average", "intensity_average" or "scatter".
        level : float
            Confidence level, 0 to 1.

        Returns
        -------
        (float, float)
            In the unit of the quantity; an end that the data do not set is the bound of the search.

        Raises
        ------
        ValueError
            If there is no such quantity, or it was held fixed.
        """
        from photonstats.decays.decay_profile import profiled

        return profiled(self, name, level)

    def bootstrap(self, n: int = 200, *, seed: int | None = None, progress: bool = False) -> DecayBootstrap:
        """Fit n sets of counts drawn from the fitted model: intervals without any assumption on the likelihood.

        Parameters
        ----------
        n : int
            Number of sets.
        seed : int, optional
            Of the random numbers.
        progress : bool
            Whether to show a bar.

        Returns
        -------
        DecayBootstrap
            Lifetimes, fractions and averages of each set, with their intervals.
        """
        from photonstats.decays.decay_bootstrap import bootstrap

        return bootstrap(self, n, seed=seed, progress=progress)

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
        law = {"exponential": f"{len(self.lifetimes)} component(s)", "stretched": "stretched exponential"}.get(
            self.kind, "log-normal distribution of rates"
        )
        lines = [f"DecayFit: {law}, IRF: {self.irf_kind}, {self.n_photons} photons"]
        for tau, err, (low, high), share, share_err in zip(
            self.lifetimes, self.lifetimes_err, self.lifetimes_ci, self.fractions, self.fractions_err, strict=True
        ):
            of_photons = f", {share:.1%} ± {share_err:.1%} of the photons" if len(self.lifetimes) > 1 else ""
            lines.append(
                f"  lifetime {quantity(tau, err, 'ns', 1e9)} (95 %: {low * 1e9:.4g} to {high * 1e9:.4g}){of_photons}"
            )
        if self.kind != "exponential":
            name = "beta" if self.kind == "stretched" else "width of ln(rate)"
            lines.append(f"  {name} {quantity(self.shape, self.shape_err)}")
        if len(self.lifetimes) > 1 or self.kind != "exponential":
            lines.append(
                f"  amplitude-weighted {quantity(self.amplitude_average, self.amplitude_average_err, 'ns', 1e9)}, "
                f"intensity-weighted {quantity(self.intensity_average, self.intensity_average_err, 'ns', 1e9)}"
            )
        if self.scatter > 0:
            lines.append(f"  stray light {self.scatter:.2%} ± {self.scatter_err:.2%} of the photons after the pulse")
        rate = self.background_rate
        hertz = f" ({quantity(rate, self.background_rate_err, 'Hz')})" if math.isfinite(rate) else ""
        lines.append(f"  background {quantity(self.background, self.background_err)} counts per bin{hertz}")
        lines.append(
            f"  deviance {self.deviance:.1f} with {self.dof} degrees of freedom, p = {self.p_value:.3g} (few counts "
            f"allowed for); residuals in order p = {self.autocorrelation_p_value:.3g}"
        )
        if self.p_value < REJECTED:
            lines.append("  the model does not describe the decay: its errors are too small")
        if len(self.table) > 1:
            least = min(self.table.values())
            each = ", ".join(f"{n}: {value - least:+.1f}" for n, value in sorted(self.table.items()))
            lines.append(f"  BIC by number of components, above the least: {each}")
        if not self.converged:
            lines.append(f"  not converged: {self.reason}")
        elif self.reason != "maximum of the likelihood found":
            lines.append(f"  {self.reason}")
        return "\n".join(lines)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the decay with the fitted model."""
        from photonstats import plots

        return plots.plot_decay_fit(self, ax)


def autocorrelation(values: Floats) -> Floats:
    """Return the autocorrelation of residuals at lags 0 to half their number, 1 at lag 0."""
    n = values.size
    if n < 2 or not np.any(values):
        return np.ones(min(n, 1))
    spectrum = np.fft.rfft(values, 2 * n)
    sums = np.fft.irfft(spectrum * np.conj(spectrum), 2 * n)[: n // 2]
    return np.asarray(sums / sums[0], np.float64)
