"""Antibunching of continuous light: the fit of a dip to the pair counts of `g2`, and its result."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from photonstats.dip import DipFit, Floats, fit_dip
from photonstats.result import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from photonstats.correlation import G2


@dataclass(frozen=True, eq=False, repr=False)
class G2Fit(Result):
    """Antibunching `level * (1 - amplitude * exp(-|lag| / lifetime))` fitted to pair counts.

    Parameters
    ----------
    g2_zero, g2_zero_err, g2_zero_ci : float, float, ndarray of shape (2,)
        `1 - amplitude`: the value at zero lag against the plateau; 95 % interval from the profile likelihood. The error
        is that of the Hessian, or half the interval over 1.96 where that is larger (few pairs).
    lifetime, lifetime_err : float
        Time constant t_a, s: `1 / (k_excitation + k_decay)` of one emitter.
    amplitude, amplitude_err : float
        Depth of the dip relative to the plateau; negative: bunching.
    level, level_err : float
        Plateau against independent light.
    irf_sigma : float
        Standard deviation of the Gaussian response of the detector pair, s, as given.
    deviance : float
        Poisson deviance of the fit.
    dof : int
        Bins less parameters.
    p_value : float
        Probability of a larger deviance, with the moments of the deviance at the fitted counts, so that bins of few
        pairs do not spoil it.
    converged : bool
        Whether the fit can be used.
    reason : str
        Why not, or what is doubtful; empty if nothing.
    lag, model : ndarray of float64, shape (n,)
        Bin centres, s, and the fitted g2 (background taken off), averaged over each bin.
    """

    g2_zero: float
    g2_zero_err: float
    g2_zero_ci: Floats
    lifetime: float
    lifetime_err: float
    amplitude: float
    amplitude_err: float
    level: float
    level_err: float
    irf_sigma: float
    deviance: float
    dof: int
    p_value: float
    converged: bool
    reason: str
    lag: Floats
    model: Floats

    def summary(self) -> str:
        """Return a text of a few lines with g2(0), the time constant and the goodness of fit."""
        low, high = self.g2_zero_ci
        text = (
            f"g2 fit: g2(0) = {self.g2_zero:.4g} ± {self.g2_zero_err:.2g} (95 %: {low:.3g} to {high:.3g})\n"
            f"  time constant {self.lifetime * 1e9:.4g} ± {self.lifetime_err * 1e9:.2g} ns, "
            f"plateau {self.level:.4g} ± {self.level_err:.2g}\n"
            f"  deviance {self.deviance:.6g} at {self.dof} degrees of freedom, p = {self.p_value:.2g}"
        )
        return text if not self.reason else f"{text}\n  {'note' if self.converged else 'not usable'}: {self.reason}"

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the fitted curve into `ax` and return it."""
        from photonstats import plots

        return plots.plot_g2_fit(self, ax)


def fit_antibunching(g2: G2, irf_sigma: float = 0.0) -> G2Fit:
    """Fit a dip to the pair counts of continuous light; see `G2.fit`."""
    if g2.pulsed:
        raise ValueError("fit is for continuous light: under pulsed excitation g2 is a comb of peaks; use g2_pulsed")
    if not (math.isfinite(irf_sigma) and irf_sigma >= 0):
        raise ValueError(f"irf_sigma={irf_sigma}: must be a time in seconds >= 0")
    if g2.pairs.size < 8 or g2.pairs.sum() < 10 or not np.any(g2.expected > 0):
        raise ValueError(
            f"{int(g2.pairs.sum())} pairs in {g2.pairs.size} bins are too few for a fit (8 bins, 10 pairs)"
        )
    found: DipFit = fit_dip(g2.lag_edges, g2.pairs, g2.expected, g2.pairs_background, irf_sigma)
    return G2Fit(irf_sigma=float(irf_sigma), lag=g2.lag, **vars(found))
