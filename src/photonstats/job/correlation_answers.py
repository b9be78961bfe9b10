"""The correlation step of the main job: pairs of photons, and what they say of the number of emitters."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

import numpy as np

from photonstats.background import GIVEN, Background
from photonstats.correlations.antibunching import G2Fit
from photonstats.correlations.correlation import G2, PulsedG2, g2, g2_pulsed
from photonstats.correlations.emitters import EmitterEstimate, estimate_emitters
from photonstats.correlations.gate_fit import GateFit
from photonstats.correlations.gates import GateSeries, gate_series
from photonstats.correlations.pairing import choose_pair, open_recording
from photonstats.correlations.pulsed import peak_overlap
from photonstats.curve import Decay
from photonstats.decays.lifetime import DecayFit, GaussianIRF
from photonstats.errors import AnalysisWarning
from photonstats.job.replay import Replay
from photonstats.likelihood import chi_square_p_value

Delay = float | Literal["auto"]
Gate = float | tuple[float, float] | None
Response = Decay | GaussianIRF | Mapping[int, Decay] | None
T = TypeVar("T")
MOST_GATES = 16


def pairs_and_emitters(
    replay: Replay,
    known: Mapping[str, Any],
    *,
    detectors: tuple[int, int] | None,
    delay: Delay,
    gate: Gate,
    n_pulses: int,
    window: float,
    bin_width: float,
    max_emitters: int,
    irf: Response,
    notes: dict[str, str],
) -> dict[str, Any]:
    """Return g2 of two detectors and the number of emitters, and a reason in `notes` for what there is not.

    `known` holds what came before: decay_fits, background.
    """
    found: dict[str, Any] = {}
    dark = known["background"]
    with replay.step("correlation"):
        pair = live_pair(replay, detectors, notes)
        if pair is not None and replay.is_pulsed:
            found |= correlate_pulses(replay, pair, delay, gate, n_pulses, dark, notes)
            doubts_of_peaks(found.get("g2"), known["decay_fits"], notes)
        elif pair is not None:
            found |= correlate_times(replay, pair, delay, gate, window, bin_width, dark, irf, notes)
    with replay.step("emitters"):
        if pair is not None and "emitters" not in notes:
            estimate = count_emitters(replay, pair, delay, gate, dark, max_emitters, notes)
            found["emitters"] = estimate
            if estimate is not None and estimate.mode == "pulsed":
                found["gates"], found["gate_fit"] = gates_of(replay, pair, delay, estimate, notes)
    return found


def live_pair(replay: Replay, detectors: tuple[int, int] | None, notes: dict[str, str]) -> tuple[int, int] | None:
    """Return the two detectors to correlate, or None with a note where there are not two live ones."""
    try:
        return choose_pair(open_recording(replay.pieces())[0], detectors)
    except ValueError as error:
        if detectors is not None:
            raise
        notes["g2"] = notes["emitters"] = str(error)
        return None


def correlate_pulses(
    replay: Replay,
    pair: tuple[int, int],
    delay: Delay,
    gate: Gate,
    n_pulses: int,
    background: Background | None,
    notes: dict[str, str],
) -> dict[str, Any]:
    """Return the peaks, the curve beside them and what they are without the background."""
    peaks = g2_pulsed(replay.pieces(), n_pulses, detectors=pair, delay=delay, gate=gate)
    if not peaks.pairs.any():
        notes["g2"] = notes["emitters"] = f"there are no pairs of photons within {n_pulses} laser pulses"
        return {}
    period = peaks.laser_period
    assert replay.first is not None
    curve = g2(
        replay.pieces(),
        window=(min(n_pulses, 5) + 0.5) * period,
        bin_width=max(period / 50, replay.first.tcspc_unit or 0.0),
        detectors=pair,
        delay=peaks.delay,
        gate=gate,
    )
    corrected = without_background(peaks.corrected, pair, background, notes)
    return {"g2": peaks, "g2_curve": curve, "g2_corrected": corrected}


def doubts_of_peaks(pulsed: PulsedG2 | None, fits: dict[int, DecayFit], notes: dict[str, str]) -> None:
    """Say where the numbers of pulsed light mean less than they seem to: overlapping or unequal peaks."""
    if pulsed is None:
        return
    of_pair = [fits[d] for d in pulsed.detectors if d in fits]
    if len(of_pair) == 2:
        a, b = of_pair
        overlap = peak_overlap((a.lifetimes, b.lifetimes), (a.fractions, b.fractions), pulsed.laser_period)
        if overlap > 0.01:
            notes["g2.overlap"] = (
                f"the light outlasts half of the laser period, so peaks overlap: about {overlap:.2g} of g2_zero would "
                "be there for a lone emitter too"
            )
    side = pulsed.pairs[pulsed.pulse_lag != 0]
    p_value = chi_square_p_value(float(np.sum((side - side.mean()) ** 2) / max(side.mean(), 1e-9)), side.size - 1)
    if side.mean() >= 5 and p_value < 1e-4:
        notes["g2.side_peaks"] = (
            f"the side peaks differ among themselves (p = {p_value:.1g}): blinking or a scan faster than they span; "
            "take fewer n_pulses"
        )


def correlate_times(
    replay: Replay,
    pair: tuple[int, int],
    delay: Delay,
    gate: Gate,
    window: float,
    bin_width: float,
    background: Background | None,
    irf: Response,
    notes: dict[str, str],
) -> dict[str, Any]:
    """Return the curve of continuous light, its fit, and the fit without the background."""
    if gate is not None:
        raise ValueError(f"gate={gate!r} needs laser pulses and nanotimes, and this recording has none")
    why = _why_no_curve(replay, bin_width)
    if why:
        notes["g2"] = notes["emitters"] = why
        return {}
    curve = g2(replay.pieces(), window=window, bin_width=bin_width, detectors=pair, delay=delay)

    def fitted(light: G2) -> G2Fit:
        return light.fit(model="auto", irf=irf)

    try:
        fit = fitted(curve)
    except ValueError as error:
        notes["g2"] = str(error)
        return {"g2_curve": curve}
    corrected = without_background(lambda rate: fitted(curve.corrected(rate)), pair, background, notes)
    return {"g2_curve": curve, "g2_fit": fit, "g2_fit_corrected": corrected}


def _why_no_curve(replay: Replay, bin_width: float) -> str:
    assert replay.first is not None
    if replay.sync_note:
        return replay.sync_note
    tick = replay.first.timestamps_unit
    if bin_width < tick * (1 - 1e-9):
        return f"times are known to {tick:.3g} s only, too coarse for lag bins of {bin_width:.3g} s (g2_bin_width)"
    return ""


def count_emitters(
    replay: Replay,
    pair: tuple[int, int],
    delay: Delay,
    gate: Gate,
    background: Background | None,
    max_emitters: int,
    notes: dict[str, str],
) -> EmitterEstimate | None:
    """Return the posterior over the number of emitters, or None with a note where there is nothing to count."""
    usable = background if background is not None and background.covers(pair) else None
    try:
        return estimate_emitters(replay.pieces(), usable, gate, max_emitters, detectors=pair, delay=delay)
    except ValueError as error:
        notes["emitters"] = str(error)
        return None


def gates_of(
    replay: Replay, pair: tuple[int, int], delay: Delay, estimate: EmitterEstimate, notes: dict[str, str]
) -> tuple[GateSeries | None, GateFit | None]:
    """Return the series of gates by which the emitters were counted, and its fit; None with a note where there is none.

    With the background that the estimate came to, so that all numbers of a report rest on the same one.
    """
    if not estimate.gates.size:
        notes.setdefault("g2.gates", estimate.reason or "a gate needs laser pulses and a decay")
        return None, None
    every = max(1, -(-estimate.gates.size // MOST_GATES))
    try:
        series = gate_series(
            replay.pieces(), estimate.gates[::every], detectors=pair, delay=delay, background=estimate.background
        )
    except ValueError as error:
        notes["g2.gates"] = str(error)
        return None, None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AnalysisWarning)  # it stands in the reason, which the notes hold
            return series, series.fit()
    except ValueError as error:
        notes["g2.gate_fit"] = str(error)
        return series, None


def without_background(
    correct: Callable[[Background], T], pair: tuple[int, int], background: Background | None, notes: dict[str, str]
) -> T | None:
    """Return what `correct` makes of the background, or None with a note where it is unknown or too large."""
    if background is None or not background.covers(pair):
        notes["g2.g2_zero_corrected"] = "the background of the two detectors is not known"
        return None
    try:
        return correct(background)
    except ValueError as error:
        if background.method == GIVEN:
            raise
        notes["g2.g2_zero_corrected"] = str(error)
        return None
