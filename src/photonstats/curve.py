"""A decay curve: photons per bin of time after the laser pulse, from a stream or from a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from photonstats.result import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False, repr=False)
class Decay(Result):
    """A histogram of photon delays after the laser pulse.

    Parameters
    ----------
    counts : array_like of int, shape (n,)
        Photons per bin.
    bin_width : float
        Width of a bin, s.
    period : float or None
        Laser period, s; None where it is not known (the fit then has no wrap-around).
    duration : float or None
        Time over which the counts were taken, s, where known.
    """

    counts: NDArray[np.int64]
    bin_width: float
    period: float | None = None
    duration: float | None = None

    def __post_init__(self) -> None:
        given = np.asarray(self.counts)
        if given.ndim != 1 or given.size == 0:
            raise ValueError(
                f"counts must be a one-dimensional array with at least one bin, its shape is {given.shape}"
            )
        if given.dtype.kind not in "biuf" or not np.all(np.isfinite(given)):
            raise ValueError("counts must be whole numbers >= 0, without nan or inf")
        counts = given.astype(np.int64)
        if not np.array_equal(counts, given) or counts.min() < 0:
            raise ValueError("counts must be whole numbers >= 0: a decay is a histogram of photons, not a rate")
        if not (np.isfinite(self.bin_width) and self.bin_width > 0):
            raise ValueError(f"bin_width must be a positive time in seconds, it is {self.bin_width}")
        if self.period is not None and not (np.isfinite(self.period) and self.period > 0):
            raise ValueError(f"period must be a positive time in seconds or None, it is {self.period}")
        if self.period is not None and self.period < 0.5 * self.bin_width:
            raise ValueError(f"period {self.period:.6g} s is shorter than half a bin of {self.bin_width:.6g} s")
        counts.flags.writeable = False
        object.__setattr__(self, "counts", counts)

    @property
    def time(self) -> NDArray[np.float64]:
        """Centres of the bins, s, shape (n,)."""
        return (np.arange(self.counts.size) + 0.5).astype(np.float64) * self.bin_width

    @property
    def n_photons(self) -> int:
        """Number of photons in the curve."""
        return int(self.counts.sum())

    def summary(self) -> str:
        """Return one line: photons, bins and their width, period."""
        period = "unknown period" if self.period is None else f"period {self.period * 1e9:.4g} ns"
        return f"Decay: {self.n_photons} photons in {self.counts.size} bins of {self.bin_width * 1e12:.4g} ps, {period}"

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the counts on a logarithmic axis."""
        from photonstats import plots

        return plots.plot_decay(self, ax)
