"""Type of blinking: what makes an emitter dim, told by its lifetimes, levels and dwells together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from photonstats.background import Background
from photonstats.blinking import blinking_evidence as judge
from photonstats.blinking.blinking_evidence import TYPES, Finding
from photonstats.blinking.blinking_groups import Darkness, Groups, find_background, head_of, measure_groups
from photonstats.result import Result
from photonstats.stream import PhotonStream, pieces
from photonstats.switching.changepoints import change_points
from photonstats.switching.continuum import Flickering, flickering
from photonstats.switching.level_clustering import Levels
from photonstats.switching.level_clustering import levels as find_levels
from photonstats.traces.intensity import IntensityTrace, intensity_trace

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from photonstats.curve import Decay
    from photonstats.decays.decay_model import GaussianIRF
    from photonstats.decays.segments import Segments
    from photonstats.switching.lifetime_intensity import Flid

Floats = NDArray[np.float64]

CALLED = 0.9  # probability from which a type is named
AGAINST = 2.0  # nats of one piece of evidence against the likeliest type that make a conflict
SETTLED = 0.97  # probability from which the trace need not be asked for a continuum
MOST_BINS, FINEST = 4000, 1e-3  # of a trace that is made here; s
FEWEST_PHOTONS = 100
STEPS = "the light rises and falls in steps at one lifetime: a focus that comes and goes looks the same"
DRIFT = "there are many levels, but no lifetimes that tell flickering from a drift"
WEIGHTS = {"modulation": 1.0, "flid": 1.0, "events": 1.0, "levels": 1.0, "continuum": 1.0, "on_law": 1.0}


def _none() -> Floats:
    return np.zeros(0)


@dataclass(frozen=True, eq=False, repr=False)
class Evidence(Result):
    """One piece of evidence for the type of blinking.

    Parameters
    ----------
    name : str
        "modulation", "flid", "events", "levels", "continuum" or "on_law".
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

    def summary(self) -> str:
        """Return one line: the finding, and which type it speaks for and against, in nats."""
        low, high = min(self.log_odds.values()), max(self.log_odds.values())
        if high - low < 0.05:
            return f"{self.name}: {self.finding} (says nothing)"
        odds = ", ".join(f"{name} {value - high:+.1f}" for name, value in self.log_odds.items())
        return f"{self.name}: {self.finding} (ln odds: {odds})"


@dataclass(frozen=True, eq=False, repr=False)
class BlinkingType(Result):
    """Type of blinking of an emitter with the evidence.

    Parameters
    ----------
    verdict : str
        "A", "B", "flickering", "steady" or "undetermined".
    probability : dict of str to float
        Of the four types, should it be one of them: where `note` doubts that, as of drift, it says little.
    evidence : tuple of Evidence
        Each with its log odds.
    note : str
        Why the type is undetermined, or what is doubtful.
    rates, rates_err : ndarray of float, shape (g,)
        Signal of groups of segments without background, Hz.
    lifetimes, lifetimes_err : ndarray of float, shape (g,)
        Their lifetimes, s; nan where the photons do not tell one.
    background : dict of int to float
        Of each detector that was subtracted, Hz; 0 where it is not known, which `note` then says.
    reference : int or None
        The group that stands for the bright state.
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
    reference: int | None = None

    def summary(self) -> str:
        """Return the verdict, the probabilities, and a line for each piece of evidence."""
        odds = ", ".join(f"{name}: {p:.3f}" for name, p in self.probability.items())
        lines = [f"BlinkingType: {self.verdict}; probability {odds}"]
        lines += [f"  {e.summary()}" for e in self.evidence]
        return "\n".join(lines + ([f"  {self.note}"] if self.note else []))

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw lifetimes against intensity with the three curves, beside the log odds of the evidence."""
        from photonstats.plots import blinking_type

        return blinking_type.plot_type(self, ax)


def classify_blinking(
    photons: PhotonStream | Iterable[PhotonStream],
    *,
    segments: Segments | None = None,
    levels: Levels | None = None,
    flid: Flid | None = None,
    flickering: Flickering | None = None,
    trace: IntensityTrace | None = None,
    background: float | Mapping[int, float] | Background | None = None,
    irf: Decay | GaussianIRF | None = None,
) -> BlinkingType:
    """Say what makes an emitter blink, with a probability for each type.

    Parameters
    ----------
    photons : PhotonStream or iterable of PhotonStream
        T3 photons, or the pieces of `scan`, which are kept in memory. Without nanotimes A and B stay undetermined.
    segments, levels, flid, flickering, trace : optional
        What is at hand of `change_points`, `levels` (of these segments), `flid`, `flickering` and `intensity_trace`;
        the first two are made where they are missing. Of the FLID its background serves where `background` is None.
        Without `flickering` the trace (of 4000 bins where there is none) is asked for a continuum only where the rest
        leaves the type below a probability of 0.97.
    background : float, mapping or Background, optional
        Of each detector, Hz (a single number is that of every one); None: from `estimate_background`.
    irf : Decay or GaussianIRF, optional
        Response, as in `fit_segments`.

    Returns
    -------
    BlinkingType
        "A": dim states live short (charging, Auger recombination). "B": they live as long as the bright one (hot
        carriers lost). "flickering": a continuum of grey states, lifetime in proportion to signal. "steady": no
        changes, or none but a last step into the dark. "undetermined" below a probability of 0.9, where one piece of
        evidence speaks against the likeliest type by more than 2 nats, or where no type fits; `note` says which.

    Raises
    ------
    ValueError
        If `background` lacks a detector, a rate is negative, or segments reach beyond the recording.

    Notes
    -----
    The types are equally likely before; ln odds of the pieces of evidence add up, each limited to what its model is
    worth (in nats):

    - modulation (6): likelihood gain of the change points less 14 for each, which chance does not reach; for
      steady light the photons that show no change.
    - flid (8): segments are grouped by rate (nine equal steps of its root); a group gets one lifetime by
      likelihood, with background and wrap-around. ln lifetime y against ln signal x, from the brightest group that
      holds a tenth of the light: y = 0 (B), y = x (flickering), y = q x with q of 0.6 to 2.4, half of that
      lifetime, or the mean of bright and dim photons in segments that mix both (A; half of its weight is on y =
      x). Groups that last less than 2 % of the time count less, and lifetimes known to 40 % or worse not at all.
      The likelihood is averaged over three backgrounds: 1.5 standard errors, of at least 3 % where it was
      estimated, to either side; or 0.2 to 1 of a darkest level, which is an upper limit. Where nothing fits, the
      type is undetermined.
    - events (3): the same power of signal from the changes of lifetime across single change points.
    - levels (5): their number, and the scatter of segments about them, against the number of segments, by a
      logistic regression on simulated dots (`studies/blinking_evidence.py`).
    - continuum (4): the held-out score of `flickering` in its standard errors.
    - on_law (0.7): p-value of a cutoff of the on-times, which speaks for A below 0.2.

    A dim state whose signal is below 5 % of the bright one is not told from flashes of the bright state between missed
    switches. One as dim as the error of the background has no lifetime: then A and B are open. A and flickering are
    one and the same in the FLID where Auger rates leave the radiative rate unchanged; they are told apart by few or
    many levels alone. Drift of the focus is dimming at unchanged lifetime; it is told from B by its many steps in one
    direction alone. Several emitters are neither type.

    References
    ----------
    Galland et al., Nature 479, 203 (2011).

    Examples
    --------
    >>> from photonstats.simulate import RECIPES
    >>> photons, _ = RECIPES["type_b"](seed=1, duration=10.0)
    >>> classify_blinking(photons).verdict
    'B'
    """
    recording = photons if isinstance(photons, PhotonStream) else list(photons)
    n_photons = sum(len(piece) for piece in pieces(recording))
    if n_photons < FEWEST_PHOTONS:
        return _nothing(f"{n_photons} photons are too few, at least {FEWEST_PHOTONS} are needed")
    if segments is None:
        segments = change_points(recording) if levels is None else levels.segments
    _check_reach(segments, recording)
    if levels is None:
        levels = find_levels(segments, use_lifetime=False)
    which = segments.detectors or tuple(sorted({d for piece in pieces(recording) for d in piece.counts_per_detector}))
    given = flid.background if background is None and flid is not None and any(flid.background.values()) else background
    darkness = find_background(recording, given, which)
    total = sum(darkness.rate.values())
    # what follows the last light is the same dark for all types, and would look like one more state
    lit = head_of(segments, judge.lit_part(segments, total)[1])
    tried, fitted = measure_groups(recording, lit, darkness, irf)
    found = {
        "modulation": judge.modulation_evidence(segments, total),
        "flid": judge.flid_evidence(tried),
        "events": judge.event_evidence(fitted, total, faint=judge.too_faint(tried[len(tried) // 2])),
        "levels": judge.level_evidence(levels),
        "on_law": judge.law_evidence(levels),
    }
    open_ = max(_posterior(found).values()) < SETTLED or (_likeliest(found) == "flickering" and not _cause(found))
    if flickering is None and open_:
        flickering = _continuum(recording, trace)
    if flickering is not None:
        found["continuum"] = judge.score_evidence(flickering)
        # lifetimes that are there and tell nothing mean a narrow range of signals, as of a drift
        drift = fitted is not None or flickering.verdict != "continuum"
        if _likeliest(found) == "flickering" and not _cause(found) and drift:
            found["continuum"] = replace(found["continuum"], strange=DRIFT)
    if _likeliest(found) == "B" and not found["modulation"].strange and judge.climbs_in_steps(segments, total):
        found["modulation"] = replace(found["modulation"], strange=STEPS)
    return _result(found, tried[len(tried) // 2], darkness)


def _likeliest(found: Mapping[str, Finding]) -> str:
    odds = _posterior(found)
    return max(TYPES, key=lambda name: odds[name])


def _cause(found: Mapping[str, Finding]) -> bool:
    """Return whether lifetimes tell flickering from changes at one lifetime, such as drift."""
    return sum(found[e].log_odds["flickering"] - found[e].log_odds["B"] for e in ("flid", "events")) > 1.0


def _check_reach(segments: Segments, recording: PhotonStream | list[PhotonStream]) -> None:
    """Refuse segments of another recording."""
    parts = list(pieces(recording))
    start, end = parts[0].start, parts[-1].start + parts[-1].duration
    slack = parts[0].timestamps_unit + 1e-9 * abs(end)
    if segments.edges[0] < start - slack or segments.edges[-1] > end + slack:
        raise ValueError(
            f"segments from {segments.edges[0]:.9g} s to {segments.edges[-1]:.9g} s reach beyond the recording, "
            f"{start:.9g} s to {end:.9g} s: give those of these photons"
        )


def _nothing(note: str) -> BlinkingType:
    return BlinkingType("undetermined", dict.fromkeys(TYPES, 1.0 / len(TYPES)), (), note)


def _continuum(recording: PhotonStream | list[PhotonStream], trace: IntensityTrace | None) -> Flickering | None:
    if trace is None:
        duration = sum(piece.duration for piece in pieces(recording))
        trace = intensity_trace(recording, max(duration / MOST_BINS, FINEST))
    try:
        return flickering(trace)
    except ValueError:
        return None


def _posterior(found: Mapping[str, Finding]) -> dict[str, float]:
    logs = np.array([sum(WEIGHTS[e] * f.log_odds[name] for e, f in found.items()) for name in TYPES])
    share = np.exp(logs - logs.max())
    return dict(zip(TYPES, (share / share.sum()).tolist(), strict=True))


def _result(found: Mapping[str, Finding], groups: Groups, darkness: Darkness) -> BlinkingType:
    probability = _posterior(found)
    evidence = tuple(
        Evidence(e, f.words, f.value, f.interval, {name: WEIGHTS[e] * v for name, v in f.log_odds.items()})
        for e, f in found.items()
    )
    verdict, note = _verdict(probability, evidence, found)
    if darkness.source.startswith("unknown"):
        note = "; ".join(filter(None, (note, f"no background was subtracted, {darkness.source}")))
    return BlinkingType(
        verdict, probability, evidence, note, groups.rate, groups.rate_err, groups.lifetime, groups.lifetime_err,
        darkness.rate, judge.reference_of(groups),
    )  # fmt: skip


def _verdict(
    probability: Mapping[str, float], evidence: tuple[Evidence, ...], found: Mapping[str, Finding]
) -> tuple[str, str]:
    best = max(TYPES, key=lambda name: probability[name])
    strange = [f.strange for f in found.values() if f.strange]
    if strange and best != "steady":
        return "undetermined", "; ".join(strange)
    against = [e.name for e in evidence if e.log_odds[best] < -AGAINST]
    if probability[best] < CALLED:
        second = max((name for name in TYPES if name != best), key=lambda name: probability[name])
        silent = [e.finding for e in evidence if e.name == "flid" and math.isnan(e.value)]
        open_ = f"{best} (probability {probability[best]:.2f}) and {second} ({probability[second]:.2f}) are left open"
        return "undetermined", "; ".join([open_, *silent])
    if against:
        return "undetermined", f"the evidence is in conflict: {', '.join(against)} speaks against {best}"
    return best, ""
