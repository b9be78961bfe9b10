"""Rows of dwell times: both power laws fitted and compared, against powerlaw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import photonstats as ps
from timing import Row, alternate, installed

N, T_MIN, BIN = 10_000, 1e-3, 1e-3


def rows(_: Path, __: int, runs: int) -> list[Row]:
    dwells = ps.simulate.TruncatedPowerLaw(1.5, 5.0, T_MIN).sample(N, np.random.default_rng(1))
    binned = np.maximum(np.rint(dwells / BIN), 1.0) * BIN
    cut = np.arange(N) % 10 == 0
    common: dict[str, Any] = {"runs": runs}

    def ours(times: np.ndarray = dwells, t_min: float = T_MIN, n_bootstrap: int = 0, **more: Any) -> Any:
        return ps.fit_dwell_times(times, t_min=t_min, n_bootstrap=n_bootstrap, **more)

    label = f"laws of {N} dwells, intervals"
    peer, goal = (by_powerlaw(dwells), 300.0) if installed("powerlaw") else (None, None)
    return [
        alternate(label, ours, peer, name="powerlaw, no intervals", goal=goal, **common),
        alternate(f"{label}, binned", lambda: ours(binned, 2 * BIN, bin_width=BIN), **common),
        alternate(f"{label}, a tenth cut", lambda: ours(censored=cut), **common),
        alternate(f"{label}, bootstrap of 500", lambda: ours(n_bootstrap=500), **common),
    ]


def by_powerlaw(dwells: np.ndarray) -> Any:
    """Return the call that fits a plain and a truncated power law from T_MIN on and compares them."""
    import powerlaw

    def call() -> Any:
        fit = powerlaw.Fit(dwells, xmin=T_MIN, verbose=False)
        return fit.distribution_compare("truncated_power_law", "power_law", nested=True)

    return call
