"""The look that all figures share: palette, style, axes, scales of time and rate."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's palette: told apart with any colour vision, and in grey by their lightness.
DATA, FIT, MARK, SECOND, QUIET = "#0072B2", "#D55E00", "#CC79A7", "#009E73", "#8A8A8A"
MOST_POINTS = 4000

STYLE: dict[str, Any] = {
    "font.size": 9.0,
    "axes.titlesize": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.labelcolor": "#222222",
    "xtick.direction": "out",
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "lines.linewidth": 1.2,
    "svg.fonttype": "path",
}


def axes(ax: Axes | None, size: tuple[float, float] = (4.8, 3.2)) -> Axes:
    """Return `ax`, or the axes of a new figure of `size` inches."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    # The figure comes first: where a notebook's backend wakes up inside rc_context, it shows one figure and no more.
    figure = plt.figure(figsize=size, layout="constrained")
    with style():
        return figure.subplots()


def style() -> AbstractContextManager[None]:
    """Return the context in which figures of this package are made and drawn."""
    import matplotlib as mpl

    return mpl.rc_context(STYLE)  # type: ignore[arg-type]


def rate_scale(rate: NDArray[np.float64]) -> tuple[float, str]:
    """Return the factor and the unit in which count rates are written."""
    return (1e3, "kcps") if rate.max(initial=0.0) >= 2000 else (1.0, "cps")


def time_scale(time: NDArray[np.float64]) -> tuple[float, str]:
    """Return the factor and the unit in which times up to the longest of these are written."""
    longest = float(np.abs(time).max(initial=0.0))
    for scale, unit in ((1e9, "ns"), (1e6, "µs"), (1e3, "ms")):
        if longest * scale < 1500:
            return scale, unit
    return 1.0, "s"


def merged_means(values: NDArray[Any], n: int) -> NDArray[np.float64]:
    """Return the means of runs of n values; a shorter run at the end is left out."""
    means: NDArray[np.float64] = values[: values.size // n * n].reshape(-1, n).mean(axis=1)
    return means
