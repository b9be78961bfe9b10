"""Excitation: excitons per pulse, and saturation of the intensity."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import constants, optimize, stats

from photonstats.result import Result, quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]
Interval = tuple[float, float]

CHI2_95 = 3.841459


def excitation_per_pulse(
    power: ArrayLike,
    repetition_rate: float,
    *,
    wavelength: float,
    cross_section: float,
    spot_fwhm: float | None = None,
    area: float | None = None,
) -> Floats:
    """Return the mean number of excitons that a pulse makes in a nanocrystal at the centre of the spot.

    Parameters
    ----------
    power : array_like of float, shape (...)
        Mean power in the plane of the sample, W, >= 0.
    repetition_rate : float
        Pulses per second, Hz.
    wavelength : float
        Of the excitation, m.
    cross_section : float
        Absorption cross-section, m^2; 1 gives photons per m^2 and pulse, the abscissa of `fit_saturation`.
    spot_fwhm : float, optional
        Full width at half maximum of a Gaussian spot, m.
    area : float, optional
        Area of an evenly lit spot, m^2, in place of `spot_fwhm`.

    Returns
    -------
    ndarray of float, shape (...)

    Raises
    ------
    ValueError
        If a number is not positive, or not exactly one of `spot_fwhm` and `area` is given.

    Notes
    -----
    ``<N> = sigma P lambda / (h c f_rep A)``; of a Gaussian spot ``A = pi FWHM^2 / (4 ln 2)``, which makes it the peak
    fluence. A dot off the centre by half the FWHM sees half of it. Excitons of one pulse are Poisson distributed as
    long as absorption does not saturate; with a pulse shorter than their life.

    References
    ----------
    Klimov, J. Phys. Chem. B 104, 6112 (2000).

    Examples
    --------
    >>> n = excitation_per_pulse(20e-9, 1e6, wavelength=450e-9, cross_section=1e-18, spot_fwhm=300e-9)
    >>> round(float(n), 3)
    0.444
    """
    given = np.asarray(power, dtype=np.float64)
    if np.any(~(given >= 0)) or not np.all(np.isfinite(given)):
        raise ValueError(f"power must be >= 0 in watts, it is {power!r}")
    if (spot_fwhm is None) == (area is None):
        raise ValueError("give spot_fwhm (a Gaussian spot) or area (an even one), one of the two")
    surface = math.pi * spot_fwhm**2 / (4.0 * math.log(2.0)) if spot_fwhm is not None else area
    for name, value in (
        ("repetition_rate", repetition_rate), ("wavelength", wavelength), ("cross_section", cross_section),
        ("spot_fwhm" if area is None else "area", surface),
    ):  # fmt: skip
        if value is None or not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be positive and in SI units, it is {value}")
    assert surface is not None
    photons = given * wavelength / (constants.h * constants.c * repetition_rate * surface)
    return np.asarray(cross_section * photons)


@dataclass(frozen=True, eq=False, repr=False)
class SaturationFit(Result):
    """Saturation of the intensity with excitation.

    Parameters
    ----------
    cross_section, cross_section_err, cross_section_ci : float, float, (float, float)
        Sigma, the inverse of the unit of `excitation` (m^2 for photons per m^2). The interval begins at 0 where the
        data do not bend, and ends at inf where they are flat.
    saturation, saturation_err : float
        Intensity of one exciton in every pulse.
    yield_ratio, yield_ratio_ci : float, (float, float)
        Quantum yield of the biexciton over that of the exciton; nan where it was not fitted.
    saturates : bool or None
        Whether the data bend: True if the interval excludes a straight line; None if not.
    chi_square, dof, p_value : float, int, float
        Goodness of fit; nan without errors.
    excitation, intensity, intensity_err : ndarray of float, shape (n,)
        The data; errors None where none were given.
    note : str
        What weakens the answer; mostly empty.
    """

    cross_section: float
    cross_section_err: float
    cross_section_ci: Interval
    saturation: float
    saturation_err: float
    yield_ratio: float
    yield_ratio_ci: Interval
    saturates: bool | None
    chi_square: float
    dof: int
    p_value: float
    excitation: Floats
    intensity: Floats
    intensity_err: Floats | None
    note: str = ""

    def curve(self, excitation: ArrayLike) -> Floats:
        """Return the fitted intensity at `excitation`, float64[...]."""
        x = self.cross_section * np.asarray(excitation, dtype=np.float64)
        ratio = self.yield_ratio if math.isfinite(self.yield_ratio) else 0.0
        value: Floats = self.saturation * (-np.expm1(-x) + ratio * (-np.expm1(-x) - x * np.exp(-x)))
        return value

    def summary(self) -> str:
        """Return the cross-section, the saturated intensity and the yield ratio."""
        low, high = self.cross_section_ci
        lines = [
            f"SaturationFit: cross-section {self.cross_section:.4g} ({low:.4g} to {high:.4g})",
            f"  saturated intensity {quantity(self.saturation, self.saturation_err)}, p {self.p_value:.3g}",
        ]
        if math.isfinite(self.yield_ratio):
            low, high = self.yield_ratio_ci
            lines.append(f"  biexciton over exciton yield {self.yield_ratio:.3g} ({low:.3g} to {high:.3g})")
        return "\n".join(lines + ([f"  {self.note}"] if self.note else []))

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the data and the curve."""
        from photonstats.plots.spectrum import plot_saturation

        return plot_saturation(self, ax)


def fit_saturation(
    excitation: ArrayLike, intensity: ArrayLike, intensity_err: ArrayLike | None = None, *, biexciton: bool = False
) -> SaturationFit:
    """Fit the saturation of the intensity, which gives the absorption cross-section.

    Parameters
    ----------
    excitation : array_like of float, shape (n,)
        Photons per area and pulse, >= 0; see `excitation_per_pulse` with a cross-section of 1.
    intensity : array_like of float, shape (n,)
        Count rate or any other measure of the light, background taken off.
    intensity_err : array_like of float, shape (n,), optional
        Standard errors; None: equal relative errors, judged by the scatter about the curve.
    biexciton : bool
        Whether the biexciton emits too.

    Returns
    -------
    SaturationFit

    Raises
    ------
    ValueError
        If there are too few points, or lengths or signs do not fit.

    Notes
    -----
    ``I = I_inf [1 - exp(-x) + q (1 - (1 + x) exp(-x))]``, ``x = sigma j``: an exciton is left after every pulse that
    made one or more, and a biexciton of relative yield q precedes it where there were two or more; q = 0 without
    biexciton. Higher excitons are dark. Intervals are profiles of chi-square over sigma (and over q), with Student's
    factor where the scatter gives the errors. At sigma j << 1 the line is straight and tells ``I_inf sigma`` alone.
    With a biexciton, sigma and q trade against each other unless j reaches well beyond 1/sigma.

    References
    ----------
    Klimov, J. Phys. Chem. B 104, 6112 (2000). Nair, Zhao, Bawendi, Nano Lett. 11, 1136 (2011).

    Examples
    --------
    >>> j = np.array([0.1, 0.3, 1.0, 2.0, 4.0])
    >>> round(fit_saturation(j, 5.0 * (1 - np.exp(-0.7 * j)), 0.01 * np.ones(5)).cross_section, 6)
    0.7
    """
    j, light = np.asarray(excitation, dtype=np.float64), np.asarray(intensity, dtype=np.float64)
    error = None if intensity_err is None else np.asarray(intensity_err, dtype=np.float64)
    _check_data(j, light, error, 3 if biexciton else 2)
    fit = _Profile(j, light, error, biexciton)
    best = fit.best()
    scale, step = fit.scale(best)
    interval = fit.interval(best, step)
    error_of = (interval[1] - interval[0]) / (2.0 * math.sqrt(step / scale)) if math.isfinite(interval[1]) else math.nan
    amplitudes, covariance = fit.linear(best)
    total_err = math.sqrt(
        scale * covariance[0, 0] + fit.slope(best) ** 2 * (0.0 if math.isnan(error_of) else error_of**2)
    )
    bends = interval[0] > 0
    ratio, ratio_ci = math.nan, (math.nan, math.nan)
    if biexciton:
        ratio, ratio_ci = float(amplitudes[1] / amplitudes[0]), fit.ratio_interval(best, step)
    note = "" if bends else "the intensity does not bend: a straight line fits, and the cross-section has no upper hold"
    if interval[1] == math.inf:
        note = "the intensity is flat: excitation is saturated throughout, and the cross-section has no upper limit"
    dof = j.size - (3 if biexciton else 2)
    chi2 = fit.chi2(best)
    return SaturationFit(
        best, error_of if bends else math.nan, interval, float(amplitudes[0]), total_err if bends else math.nan, ratio,
        ratio_ci, True if bends else None, chi2 if error is not None else math.nan, dof,
        float(stats.chi2.sf(chi2, dof)) if error is not None and dof > 0 else math.nan, j, light, error, note,
    )  # fmt: skip


def _check_data(j: Floats, light: Floats, error: Floats | None, n_parameters: int) -> None:
    if j.ndim != 1 or j.shape != light.shape or (error is not None and error.shape != j.shape):
        raise ValueError(f"excitation, intensity and intensity_err must have one length: {j.shape} and {light.shape}")
    fewest = n_parameters + (1 if error is None else 0)
    if np.unique(j[j > 0]).size < fewest:
        raise ValueError(
            f"the fit takes {fewest} different excitations above zero, there are {np.unique(j[j > 0]).size}"
        )
    if np.any(~(j >= 0)) or not np.all(np.isfinite(light)):
        raise ValueError("excitation must be >= 0 and intensity finite")
    if error is None and np.any(light <= 0):
        raise ValueError("relative errors take intensities above zero: give intensity_err")
    if error is not None and np.any(~(error > 0)):
        raise ValueError("intensity_err must be above zero throughout")


class _Profile:
    """Chi-square against the cross-section, the amplitudes solved for."""

    def __init__(self, j: Floats, light: Floats, error: Floats | None, biexciton: bool) -> None:
        self.j, self.light, self.biexciton = j, light, biexciton
        self.known = error is not None
        self.weight = 1.0 / (light if error is None else error)
        positive = j[j > 0]
        self.low, self.high = 1e-4 / float(positive.max()), 40.0 / float(positive.min())

    def columns(self, sigma: float) -> Floats:
        x = sigma * self.j
        one = -np.expm1(-x)
        return np.stack([one, one - x * np.exp(-x)] if self.biexciton else [one], axis=1)

    def linear(self, sigma: float) -> tuple[Floats, Floats]:
        matrix = self.columns(sigma) * self.weight[:, None]
        amplitudes = optimize.nnls(matrix / np.linalg.norm(matrix, axis=0), self.light * self.weight)[0]
        amplitudes = amplitudes / np.linalg.norm(matrix, axis=0)
        return np.asarray(amplitudes), np.asarray(np.linalg.pinv(matrix.T @ matrix), dtype=np.float64)

    def chi2(self, sigma: float, ratio: float | None = None) -> float:
        if ratio is None:
            model = self.columns(sigma) @ self.linear(sigma)[0]
        else:
            shape = self.columns(sigma) @ np.array([1.0, ratio])
            model = shape * max(
                float(np.sum(shape * self.light * self.weight**2) / np.sum((shape * self.weight) ** 2)), 0.0
            )
        return float(np.sum(((self.light - model) * self.weight) ** 2))

    def best(self, ratio: float | None = None) -> float:
        grid = np.geomspace(self.low, self.high, 120)
        values = [self.chi2(s, ratio) for s in grid]
        i = int(np.argmin(values))
        ends = np.log([grid[max(i - 1, 0)], grid[min(i + 1, grid.size - 1)]])
        found = optimize.minimize_scalar(
            lambda s: self.chi2(math.exp(s), ratio),
            bounds=(ends[0], ends[1]),
            method="bounded",
            options={"xatol": 1e-9},
        )
        return math.exp(float(found.x))

    def scale(self, best: float) -> tuple[float, float]:
        """Return the variance of a residual, and the rise of chi-square at the ends of the interval."""
        if self.known:
            return 1.0, CHI2_95
        dof = self.j.size - (3 if self.biexciton else 2)
        variance = max(self.chi2(best) / dof, 1e-24)
        return variance, variance * float(stats.t.ppf(0.975, dof)) ** 2

    def interval(self, best: float, step: float) -> Interval:
        level = self.chi2(best) + step

        def above(s: float) -> float:
            return self.chi2(math.exp(s)) - level

        ends = math.log(self.low), math.log(best), math.log(self.high)
        low = math.exp(optimize.brentq(above, ends[0], ends[1])) if above(ends[0]) > 0 else 0.0
        high = math.exp(optimize.brentq(above, ends[1], ends[2])) if above(ends[2]) > 0 else math.inf
        return low, high

    def slope(self, sigma: float) -> float:
        """Return how the saturated intensity moves with the cross-section."""
        step = 1e-4 * sigma
        return float((self.linear(sigma + step)[0][0] - self.linear(sigma - step)[0][0]) / (2.0 * step))

    def ratio_interval(self, best: float, step: float) -> Interval:
        amplitudes = self.linear(best)[0]
        ratio = float(amplitudes[1] / amplitudes[0]) if amplitudes[0] > 0 else math.inf
        level = self.chi2(best) + step

        def above(q: float) -> float:
            return self.chi2(self.best(q), q) - level

        if not math.isfinite(ratio):
            return 0.0, math.inf
        low = optimize.brentq(above, 0.0, ratio, xtol=1e-6) if ratio > 0 and above(0.0) > 0 else 0.0
        top = max(4.0 * ratio, 2.0)
        while above(top) < 0 and top < 100.0:
            top *= 3.0
        high = optimize.brentq(above, ratio, top, xtol=1e-6) if above(top) > 0 else math.inf
        return float(low), float(high)
