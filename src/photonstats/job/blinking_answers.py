"""What `analyze` finds in the blinking of a dot, and how it stands in results.json: dwells, laws, spectrum, type."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from photonstats.background import Background
from photonstats.blinking.blinking_type import BlinkingType, classify_blinking
from photonstats.blinking.dwell_laws import DwellFit, fit_dwell_times
from photonstats.blinking.spectrum import psd
from photonstats.blinking.switching_statistics import BlinkingStatistics, blinking_statistics
from photonstats.job.switching_answers import MOST_PHOTONS, response_of_all
from photonstats.traces.intensity import IntensityTrace, intensity_trace

if TYPE_CHECKING:
    from photonstats.blinking.dwell_drift import Drift
    from photonstats.curve import Decay
    from photonstats.decays.decay_model import GaussianIRF
    from photonstats.job.pipeline import Analysis
    from photonstats.job.replay import Replay

BINS_OF_SPECTRUM = 1e-3  # s
STATES = ("on", "off")

# Why a number may be missing where the analysis itself left no word, by its place in the results.
REASONS = {
    "blinking.on_fraction": "there is no threshold between an on and an off level",
    "blinking.on_fraction_err": "a trace that is always on or always off, or has no threshold, gives no error",
    "blinking.on.cutoff_s": "a plain power law has no cutoff, or any cutoff is likelier the longer it is",
    "blinking.off.cutoff_s": "a plain power law has no cutoff, or any cutoff is likelier the longer it is",
    "blinking.on.cutoff_ci_s": "the dwells do not tell the cutoff from infinity",
    "blinking.off.cutoff_ci_s": "the dwells do not tell the cutoff from infinity",
    "blinking.statistics.on_fraction_ci": "a trace that is always on or always off gives no interval",
    "blinking.statistics.rate_on_to_off_hz": "it was never on",
    "blinking.statistics.rate_on_to_off_ci_hz": "it was never on",
    "blinking.statistics.rate_off_to_on_hz": "it was never off",
    "blinking.statistics.rate_off_to_on_ci_hz": "it was never off",
    "psd.beta": "white noise has no exponent, or it runs to the end of its range",
    "psd.beta_err": "white noise has no exponent, or it runs to the end of its range",
    "psd.time_s": "a power law and white noise have no time",
    "psd": "the fit does not determine it",
    "type.evidence": "its finding says why",
}


def blinking(
    replay: Replay,
    found: Mapping[str, Any],
    *,
    irf: Decay | GaussianIRF | Mapping[int, Decay] | None,
    notes: dict[str, str],
) -> dict[str, Any]:
    """Return laws of dwells, statistics, spectrum and type of a recording, and a reason in `notes` for what is not.

    `found` holds what came before: trace, dwells, background, segments, levels, flid, flickering.
    """
    trace, dwells, background = found["trace"], found["dwells"], found["background"]
    complete = background is not None and background.covers(replay.counts)
    dark = sum(background.rate[d] for d in replay.counts) if complete else 0.0
    made: dict[str, Any] = {"dwell_fits": {}, "statistics": None, "psd_fit": None, "blinking_type": None}
    if dwells is not None and not math.isnan(dwells.threshold):
        made["dwell_fits"] = {state: fit_dwell_times(dwells, state=state, n_bootstrap=0) for state in STATES}
        made["statistics"] = blinking_statistics(dwells, trace, background=dark)
    if trace is not None:
        made |= _spectrum(replay, trace, dark, notes)
    else:
        notes["psd"] = "the recording is shorter than one bin of the trace"
    made["blinking_type"] = _type(replay, found, irf, background if complete else None, notes)
    return made


def _spectrum(replay: Replay, trace: IntensityTrace, dark: float, notes: dict[str, str]) -> dict[str, Any]:
    width = min(BINS_OF_SPECTRUM, trace.bin_width)
    try:
        fine = trace if width == trace.bin_width else intensity_trace(replay.pieces(), width)
        fit = psd(fine, background=min(dark, 0.99 * fine.mean_rate)).fit()
    except ValueError as error:
        notes["psd"] = str(error)
        return {}
    if fit.note:
        notes["psd.doubts"] = fit.note
    return {"psd_fit": fit}


def _type(
    replay: Replay,
    found: Mapping[str, Any],
    irf: Decay | GaussianIRF | Mapping[int, Decay] | None,
    background: Background | None,
    notes: dict[str, str],
) -> BlinkingType | None:
    if replay.n_photons > MOST_PHOTONS:
        notes["type"] = notes.get("segments", f"more than {MOST_PHOTONS:.0e} photons")
        return None
    if found["segments"] is None or found["levels"] is None:
        notes["type"] = notes.get("segments", "there are no segments")
        return None
    response, _ = response_of_all(irf, replay.counts)
    known = {name: found[name] for name in ("segments", "levels", "flid", "flickering", "trace")}
    try:
        kind = classify_blinking(replay.pieces(), **known, background=background, irf=response)
    except ValueError as error:
        notes["type"] = str(error)
        return None
    if kind.note:
        notes["type.doubts"] = kind.note
    return kind


def doubt_type(found: Mapping[str, Any], notes: dict[str, str]) -> None:
    """Note that a type was named where the correlation shows several emitters: types are those of one."""
    kind, emitters = found.get("blinking_type"), found.get("emitters")
    if kind is None or kind.verdict not in {"A", "B"} or emitters is None or emitters.best in {None, 1}:
        return
    doubt = f"{emitters.best} emitters are likeliest, and several that blink by themselves are of no type"
    notes["type.doubts"] = "; ".join([*filter(None, [notes.get("type.doubts")]), doubt])


def blinking_part(analysis: Analysis, notes: dict[str, str]) -> dict[str, Any] | None:
    """Return the part of results.json on dwells: threshold, on-fraction, laws, statistics."""
    dwells = analysis.dwells
    if dwells is None:
        notes["blinking"] = "the recording is shorter than one bin of the trace"
        return None
    if math.isnan(dwells.threshold):
        notes |= {f"blinking.{key}": dwells.note for key in ("threshold_hz", "on", "off", "statistics")}
    elif dwells.note:
        notes["blinking.short_dwells"] = dwells.note
    return {
        "threshold_hz": dwells.threshold,
        "on_fraction": dwells.on_fraction,
        "on_fraction_err": dwells.on_fraction_err,
        "n_on": dwells.on.size,
        "n_off": dwells.off.size,
        **{state: _law_part(analysis.dwell_fits.get(state), state, notes) for state in STATES},
        "statistics": _statistics_part(analysis.statistics, notes),
    }


def _law_part(fit: DwellFit | None, state: str, notes: dict[str, str]) -> dict[str, Any] | None:
    if fit is None:
        return None
    if fit.model == "undetermined":
        notes[f"blinking.{state}"] = fit.note
        return None
    # the cutoffs that a plain law allows are told in its note; here they would look like a found one
    doubts = [fit.note] if fit.note and not fit.note.startswith("a plain power law has no cutoff") else []
    if not math.isnan(fit.bin_width):
        doubts.append("bins hide short dwells, which biases the exponent; see calibrate_dwell_fit")
    if doubts:
        notes[f"blinking.{state}.doubts"] = "; ".join(doubts)
    return {
        "model": fit.model, "alpha": fit.alpha, "alpha_ci": fit.alpha_ci, "cutoff_s": fit.cutoff,
        "cutoff_ci_s": fit.cutoff_ci, "p_truncated": fit.p_truncated, "t_min_s": fit.t_min,
        "n_dwells": fit.n_dwells,
    }  # fmt: skip


def _statistics_part(found: BlinkingStatistics | None, notes: dict[str, str]) -> dict[str, Any] | None:
    if found is None:
        return None
    place = "blinking.statistics"
    for pair, memory in found.memory.items():
        _note(notes, f"{place}.memory.{pair}", memory.note)
    _note(notes, f"{place}.doubts", found.note)
    step = found.bleaching
    _note(notes, f"{place}.bleaching", "the recording ends on" if step.verdict == "none" else step.note)
    return {
        "n_switches": found.n_switches, "on_fraction_ci": found.on_fraction_ci,
        "rate_on_to_off_hz": found.rate_on_to_off, "rate_on_to_off_ci_hz": found.rate_on_to_off_ci,
        "rate_off_to_on_hz": found.rate_off_to_on, "rate_off_to_on_ci_hz": found.rate_off_to_on_ci,
        "memory": {
            pair: {"correlation": m.correlation, "correlation_ci": m.correlation_ci, "p_value": m.p_value, "n": m.n}
            for pair, m in found.memory.items()
        },
        "aging_on": _drift_part(found.aging_on, f"{place}.aging_on", notes),
        "aging_off": _drift_part(found.aging_off, f"{place}.aging_off", notes),
        "brightness": _drift_part(found.brightness, f"{place}.brightness", notes),
        "bleaching": {
            "verdict": step.verdict, "time_s": step.time, "time_ci_s": step.time_ci, "dark_time_s": step.dark_time,
            "probability": step.probability, "law": step.law,
        },
    }  # fmt: skip


def _drift_part(drift: Drift, place: str, notes: dict[str, str]) -> dict[str, Any]:
    _note(notes, place, drift.note)
    return {"slope_per_s": drift.slope, "slope_ci_per_s": drift.slope_ci, "p_value": drift.p_value, "n": drift.n}


def _note(notes: dict[str, str], place: str, text: str) -> None:
    if text:
        notes[place] = text


def psd_part(analysis: Analysis) -> dict[str, Any] | None:
    """Return the part of results.json on the power spectrum."""
    fit = analysis.psd_fit
    if fit is None:
        return None
    return {
        "model": fit.model, "beta": fit.beta, "beta_err": fit.beta_err, "beta_ci": fit.beta_ci, "time_s": fit.time,
        "time_err_s": fit.time_err, "time_ci_s": fit.time_ci, "delta_bic": fit.delta_bic, "saturates": fit.saturates,
    }  # fmt: skip


def type_part(analysis: Analysis) -> dict[str, Any] | None:
    """Return the part of results.json on the type of blinking, each piece of evidence by its name."""
    kind = analysis.blinking_type
    if kind is None:
        return None
    evidence = {
        e.name: {"finding": e.finding, "value": e.value, "interval": e.interval, "log_odds": e.log_odds}
        for e in kind.evidence
    }
    return {"verdict": kind.verdict, "probability": kind.probability, "evidence": evidence}
