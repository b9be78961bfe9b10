"""How the law of dwell times depends on the threshold that cuts the trace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from photonstats.blinking.dwell import dwell_times
from photonstats.blinking.dwell_laws import fit_dwell_times
from photonstats.result import Result
from photonstats.traces.intensity import IntensityTrace

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class ThresholdScan(Result):
    """Laws of on or off dwells at several thresholds.

    Parameters
    ----------
    state : str
        "on" or "off".
    threshold : ndarray of float64, shape (k,)
        Thresholds, Hz.
    n_dwells : ndarray of int64, shape (k,)
        Dwells in each fit.
    on_fraction, alpha, cutoff, p_truncated : ndarray of float64, shape (k,)
        See `DwellTimes` and `DwellFit`; nan where undetermined.
    alpha_ci, cutoff_ci : ndarray of float64, shape (k, 2)
        95 % intervals.
    """

    state: str
    threshold: Floats
    n_dwells: NDArray[np.int64]
    on_fraction: Floats
    alpha: Floats
    alpha_ci: Floats
    cutoff: Floats
    cutoff_ci: Floats
    p_truncated: Floats

    def summary(self) -> str:
        """Return a line for each threshold: dwells, on-fraction, exponent with its interval."""
        lines = [f"ThresholdScan: {self.state} dwells at {self.threshold.size} thresholds"]
        for i, threshold in enumerate(self.threshold):
            low, high = self.alpha_ci[i]
            lines.append(
                f"  {threshold:8.5g} Hz: {self.n_dwells[i]} dwells, on-fraction {self.on_fraction[i]:.3f}, "
                f"alpha {self.alpha[i]:.3f} [{low:.3f}, {high:.3f}]"
            )
        return "\n".join(lines)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the exponent with its interval against the threshold."""
        from photonstats import plots

        return plots.plot_threshold_scan(self, ax)


def scan_threshold(
    trace: IntensityTrace, thresholds: ArrayLike, *, state: str = "on", **settings: Any
) -> ThresholdScan:
    """Fit the law of dwells at several thresholds.

    Parameters
    ----------
    trace : IntensityTrace
        Counts per bin.
    thresholds : array_like of float, shape (k,)
        Hz, > 0.
    state : "on" or "off"
        Which dwells.
    **settings
        Passed to `fit_dwell_times`; without `t_min` all dwells from one bin on, without `n_bootstrap` none.

    Returns
    -------
    ThresholdScan

    Raises
    ------
    ValueError
        If a threshold is not positive, or a setting is wrong.

    Notes
    -----
    An exponent that moves with the threshold by more than its interval is one of the analysis, not of the emitter:
    noise crosses a threshold near a level, and grey states change sides. The intervals share their photons, so that
    they move together.

    References
    ----------
    Crouch et al., Nano Lett. 10, 1692 (2010).

    Examples
    --------
    >>> scan_threshold(IntensityTrace([9, 0, 8, 7, 0, 1, 9] * 9, 0.01), [300.0, 500.0]).n_dwells.tolist()
    [19, 19]
    """
    given = np.atleast_1d(np.asarray(thresholds, np.float64))
    settings = {"t_min": trace.bin_width, "n_bootstrap": 0} | settings
    cuts = [dwell_times(trace, float(threshold)) for threshold in given]
    fits = [fit_dwell_times(cut, state=state, **settings) for cut in cuts]
    return ThresholdScan(
        state,
        given,
        np.array([fit.n_dwells for fit in fits], np.int64),
        np.array([cut.on_fraction for cut in cuts]),
        np.array([fit.alpha for fit in fits]),
        np.array([fit.alpha_ci for fit in fits]).reshape(-1, 2),
        np.array([fit.cutoff for fit in fits]),
        np.array([fit.cutoff_ci for fit in fits]).reshape(-1, 2),
        np.array([fit.p_truncated for fit in fits]),
    )
