"""Background rates of each detector, as given or measured: what every analysis takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from photonstats.result import Result

GIVEN = "given"


@dataclass(frozen=True, eq=False, repr=False)
class Background(Result):
    """Rates of counts that are unrelated to the emitter.

    Parameters
    ----------
    rate : dict of int to float
        Background of each detector, Hz.
    rate_err : dict of int to float
        Its standard error, Hz; 0 where the rate was given without one.
    method : str
        Where the rates come from.
    note : str
        What is doubtful about them; empty if nothing.
    """

    rate: dict[int, float]
    rate_err: dict[int, float]
    method: str
    note: str = ""

    def summary(self) -> str:
        """Return one line: the rate of each detector and the method; a second one with what is doubtful."""
        rates = ", ".join(f"{d}: {r:.4g} ± {self.rate_err[d]:.2g} Hz" for d, r in self.rate.items())
        return f"Background: {rates} ({self.method})" + (f"\n  {self.note}" if self.note else "")

    def covers(self, detectors: Iterable[int]) -> bool:
        """Say whether the rate of each of these detectors is known."""
        return set(detectors) <= set(self.rate)


def given_background(rates: float | Mapping[int, float], detectors: list[int]) -> Background:
    """Return the background that a user names: one rate for all `detectors`, or one for each, Hz.

    Raises
    ------
    ValueError
        If a rate is missing, negative, or not finite.
    """
    each = (
        {d: float(rates) for d in detectors}
        if not isinstance(rates, Mapping)
        else {int(d): float(r) for d, r in rates.items()}
    )
    for detector in detectors:
        if detector not in each:
            raise ValueError(f"background has no rate for detector {detector}; it names {sorted(each)}")
    for detector, rate in each.items():
        if not (np.isfinite(rate) and rate >= 0):
            raise ValueError(f"background of detector {detector} must be a rate >= 0 Hz, it is {rate}")
    return Background(each, dict.fromkeys(each, 0.0), GIVEN)
