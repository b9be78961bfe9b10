"""Type of blinking: what makes an emitter dim, told by its lifetimes, levels and dwells together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from photonstats.background import Background
from photonstats.result import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from photonstats.continuum import Flickering
    from photonstats.curve import Decay
    from photonstats.decay_model import GaussianIRF
    from photonstats.intensity import IntensityTrace
    from photonstats.level_clustering import Levels
    from photonstats.lifetime_intensity import Flid
    from photonstats.segments import Segments
    from photonstats.stream import PhotonStream

Floats = NDArray[np.float64]
TYPES = ("A", "B", "flickering", "steady")


def _none() -> Floats:
    return np.zeros(0)


@dataclass(frozen=True)
class Evidence:
    """One piece of evidence for the type of blinking.

    Parameters
    ----------
    name : str
        "modulation", "complexity", "flid", "events" or "on_law".
    finding : str
        What was found, in words.
    value : float
        The number that it rests on; nan where it could not be had.
    interval : (float, float)
        Its 95 % interval.
    log_odds : dict of str to float
        Log likelihood of each type less that of the likeliest, nats, as it enters the probabilities; all 0 where the
        evidence says nothing.
    """

    name: str
    finding: str
    value: float
    interval: tuple[float, float]
    log_odds: dict[str, float]


@dataclass(frozen=True, eq=False, repr=False)
class BlinkingType(Result):
    """Type of blinking of an emitter with the evidence.

    Parameters
    ----------
    verdict : str
        "A", "B", "flickering", "steady" or "undetermined".
    probability : dict of str to float
        Of the four types.
    evidence : tuple of Evidence
        Each with its log odds.
    note : str
        Why the type is undetermined, or what is doubtful.
    rates, rates_err : ndarray of float, shape (g,)
        Signal of groups of segments without background, Hz.
    lifetimes, lifetimes_err : ndarray of float, shape (g,)
        Their lifetimes, s; nan where the photons do not tell one.
    background : dict of int to float
        Of each detector, Hz.
    """

    verdict: str
    probability: dict[str, float]
    evidence: tuple[Evidence, ...]
    note: str = ""
    rates: Floats = field(default_factory=_none)
    rates_err: Floats = field(default_factory=_none)
    lifetimes: Floats = field(default_factory=_none)
    lifetimes_err: Floats = field(default_factory=_none)
    background: dict[int, float] = field(default_factory=dict)

    def summary(self) -> str:
        """Return the verdict, the probabilities, and a line for each piece of evidence."""
        odds = ", ".join(f"{name}: {p:.3f}" for name, p in self.probability.items())
        lines = [f"BlinkingType: {self.verdict}; probability {odds}"]
        lines += [f"  {e.name}: {e.finding}" for e in self.evidence]
        return "\n".join(lines + ([f"  {self.note}"] if self.note else []))

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw lifetimes against intensity with the three curves, beside the log odds of the evidence."""
        from photonstats.plots import blinking_type

        return blinking_type.plot_type(self, ax)


def classify_blinking(
    photons: PhotonStream,
    *,
    segments: Segments | None = None,
    levels: Levels | None = None,
    flid: Flid | None = None,
    flickering: Flickering | None = None,
    trace: IntensityTrace | None = None,
    background: float | Mapping[int, float] | Background | None = None,
    irf: Decay | GaussianIRF | None = None,
) -> BlinkingType:
    """Say what makes an emitter blink, with a probability for each type."""
    return BlinkingType("undetermined", dict.fromkeys(TYPES, 0.25), (), "nothing was looked at")
