"""The parts of results.json: every answer with its error, and the reason where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from photonstats.job import blinking_answers as blinking
from photonstats.result import to_plain
from photonstats.switching.changepoints import KINDS

if TYPE_CHECKING:
    from photonstats.correlations.antibunching import G2Fit
    from photonstats.correlations.correlation import G2, PulsedG2
    from photonstats.correlations.emitters import EmitterEstimate
    from photonstats.correlations.gate_fit import GateFit
    from photonstats.job.pipeline import Analysis
    from photonstats.job.replay import Replay

# Why a number may be missing where the analysis itself left no word, by its place in the results.
REASONS = {
    "source": "photons in memory have no file",
    "stream.laser_period_s": "the recording has no laser pulses (T2)",
    "stream.tcspc_unit_s": "the recording has no nanotimes",
    "stream.rate_hz": "the recording has no duration",
    "g2.delay_err_s": "the delay was given, or nothing was there to measure its error by",
    "g2.g2_zero_corrected": "the background of the two detectors is not known",
    "g2.g2_zero_corrected_err": "there is no corrected value",
    "g2": "too few pairs",
    "g2.shelving_amplitude": "the fitted model has no shelving",
    "g2.shelving_amplitude_err": "the fitted model has no shelving",
    "g2.shelving_time_s": "the fitted model has no shelving",
    "g2.shelving_time_err_s": "the fitted model has no shelving",
    "emitters.effective_far": "there are no far side peaks (continuous light), or too few pairs in them",
    "emitters.effective_far_ci": "there are no far side peaks (continuous light), or the interval has no upper end",
    "emitters.yield_ratio": "continuous light has no gate by which to tell biexcitons",
    "emitters.effective_ci": "the interval has no upper end",
    "emitters.effective_near_ci": "the interval has no upper end",
    "emitters": "the data do not give it",
    "decay": "the fit does not determine it",
    "segments.changes": "there are no lifetimes of segments, so every change is one of the rate",
    "segments.level_lifetimes_s": "the light of a level is too little beside the background for a lifetime",
    "segments.level_lifetimes_ci_s": "there are no lifetimes of segments, or no limit",
    "segments.level_occupancy_ci": "a level that was visited once gives no error",
    "flickering": "the verdict does not rest on it",
    **blinking.REASONS,
}


def explain_nulls(results: dict[str, Any]) -> None:
    """Add a reason to the notes of results.json for each null that has none; settings may be null without one."""
    notes = results["notes"]
    for part, value in results.items():
        if part in {"settings", "notes"}:
            continue
        for place in _nulls(value, part):
            parents = [place.rsplit(".", n)[0] for n in range(place.count(".") + 1)]
            if not any(p in notes for p in parents):
                notes[place] = next((REASONS[p] for p in parents if p in REASONS), "the data do not give it")
    results["notes"] = {key: notes[key] for key in sorted(notes)}


def _nulls(value: Any, place: str) -> Iterator[str]:
    if value is None or (isinstance(value, list) and None in value):
        yield place
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _nulls(inner, f"{place}.{key}")


def stream_part(replay: Replay) -> dict[str, Any]:
    """Return what was recorded: photons, time, detectors, clocks."""
    first = replay.first
    return {
        "n_photons": replay.n_photons,
        "duration_s": replay.duration,
        "detectors": sorted(replay.counts),
        "counts": {str(d): n for d, n in sorted(replay.counts.items())},
        "n_markers": replay.n_markers,
        "laser_period_s": None if first is None else to_plain(first.laser_period),
        "tcspc_unit_s": None if first is None else to_plain(first.tcspc_unit),
        "rate_hz": replay.n_photons / replay.duration if replay.duration > 0 else None,
    }


def answer_parts(analysis: Analysis, notes: dict[str, str]) -> dict[str, Any]:
    """Return the parts of results.json that are found in the photons, and the reasons for what is not."""
    background = analysis.background
    answers: dict[str, Any] = {
        "background": None
        if background is None
        else {"rate_hz": background.rate, "rate_err_hz": background.rate_err, "method": background.method},
        "g2": _g2_part(analysis, notes),
        "emitters": _emitters_part(analysis.emitters, notes),
        "decay": _decay_part(analysis),
        "segments": _segments_part(analysis, notes),
        "flid": _flid_part(analysis),
        "flickering": _flickering_part(analysis, notes),
        "blinking": blinking.blinking_part(analysis, notes),
        "psd": blinking.psd_part(analysis),
        "type": blinking.type_part(analysis),
    }
    plain: dict[str, Any] = to_plain(answers)
    return plain | {"notes": notes}


def _g2_part(analysis: Analysis, notes: dict[str, str]) -> dict[str, Any] | None:
    pairs: PulsedG2 | G2
    if analysis.g2 is not None:
        pairs, part = analysis.g2, _pulsed_part(analysis.g2, analysis.g2_corrected)
        if analysis.g2.error_note:
            notes["g2.errors"] = analysis.g2.error_note
    elif analysis.g2_fit is not None and analysis.g2_curve is not None:
        pairs, part = analysis.g2_curve, _continuous_part(analysis.g2_fit, analysis.g2_fit_corrected)
        if not analysis.g2_fit.converged:
            part |= dict.fromkeys(OF_THE_FIT)
            notes |= {f"g2.{key}": f"the fit cannot be used: {analysis.g2_fit.reason}" for key in OF_THE_FIT}
    else:
        return None
    return (
        part
        | {
            "detectors": pairs.detectors,
            "delay_s": pairs.delay,
            "delay_err_s": pairs.delay_err,
            "delay_note": pairs.delay_note,
        }
        | _gates_part(analysis, notes)
    )


def _gates_part(analysis: Analysis, notes: dict[str, str]) -> dict[str, Any]:
    series, fit = analysis.gates, analysis.gate_fit
    if series is None:
        pulsed = "too few photons for a series of gates" if analysis.g2 is not None else "a gate needs laser pulses"
        notes.setdefault("g2.gates", pulsed)
        return {"gates": None}
    gates = [
        {"gate_s": gate, "g2_zero": value, "g2_zero_err": error, "g2_zero_ci": interval}
        for gate, value, error, interval in zip(
            series.gate, series.g2_zero, series.g2_zero_err, series.g2_zero_ci, strict=True
        )
    ]
    if fit is None or not fit.converged:
        notes["g2.gate_fit"] = "there are too few pairs" if fit is None else fit.reason
        return {"gates": gates, "gate_fit": None}
    return {"gates": gates, "gate_fit": _gate_fit_part(fit, notes)}


def _gate_fit_part(fit: GateFit, notes: dict[str, str]) -> dict[str, Any]:
    if fit.reason:
        notes["g2.gate_fit"] = fit.reason
    return {
        "plateau": fit.plateau, "plateau_err": fit.plateau_err, "plateau_ci": fit.plateau_ci,
        "yield_ratio": fit.yield_ratio, "yield_ratio_err": fit.yield_ratio_err, "yield_ratio_ci": fit.yield_ratio_ci,
        "rate_hz": fit.rate, "rate_err_hz": fit.rate_err, "biexciton_lifetime_s": fit.biexciton_lifetime,
        "biexciton_lifetime_err_s": fit.biexciton_lifetime_err, "p_value": fit.p_value,
    }  # fmt: skip


def _emitters_part(estimate: EmitterEstimate | None, notes: dict[str, str]) -> dict[str, Any] | None:
    if estimate is None:
        return None
    if estimate.reason:
        notes["emitters"] = estimate.reason
        return None
    if estimate.note:
        notes["emitters.doubts"] = estimate.note
    return {
        "best": estimate.best, "probability": estimate.probability, "effective": estimate.effective,
        "effective_err": estimate.effective_err, "effective_ci": estimate.effective_ci,
        "effective_near": estimate.effective_near, "effective_near_ci": estimate.effective_near_ci,
        "effective_far": estimate.effective_far, "effective_far_ci": estimate.effective_far_ci,
        "plateau": estimate.plateau, "plateau_ci": estimate.plateau_ci, "yield_ratio": estimate.yield_ratio,
        "yield_ratio_ci": estimate.yield_ratio_ci,
    }  # fmt: skip


OF_THE_FIT = ("g2_zero", "g2_zero_err", "g2_zero_corrected", "g2_zero_corrected_err", "lifetime_s", "lifetime_err_s")


def _pulsed_part(pulsed: PulsedG2, corrected: PulsedG2 | None) -> dict[str, Any]:
    centre = pulsed.pulse_lag == 0
    return {
        "mode": "pulsed",
        "g2_zero": pulsed.g2_zero,
        "g2_zero_err": pulsed.g2_zero_err,
        "g2_zero_ci": pulsed.g2_zero_ci,
        "g2_zero_corrected": None if corrected is None else corrected.g2_zero,
        "g2_zero_corrected_err": None if corrected is None else corrected.g2_zero_err,
        "g2_zero_far": pulsed.g2_zero_far,
        "g2_zero_far_err": pulsed.g2_zero_far_err,
        "bunching": pulsed.bunching,
        "bunching_err": pulsed.bunching_err,
        "bunching_ci": pulsed.bunching_ci,
        "pairs_centre": pulsed.pairs[centre].sum(),
        "pairs_side_mean": pulsed.pairs[~centre].mean(),
    }


def _continuous_part(fit: G2Fit, corrected: G2Fit | None) -> dict[str, Any]:
    return {
        "mode": "cw",
        "g2_zero": fit.g2_zero,
        "g2_zero_err": fit.g2_zero_err,
        "g2_zero_corrected": None if corrected is None else corrected.g2_zero,
        "g2_zero_corrected_err": None if corrected is None else corrected.g2_zero_err,
        "lifetime_s": fit.lifetime,
        "lifetime_err_s": fit.lifetime_err,
        "p_value": fit.p_value,
        "model": fit.model_name,
        "shelving_time_s": fit.shelving_time,
        "shelving_time_err_s": fit.shelving_time_err,
        "shelving_amplitude": fit.shelving_amplitude,
        "shelving_amplitude_err": fit.shelving_amplitude_err,
    }


def _decay_part(analysis: Analysis) -> dict[str, Any] | None:
    if not analysis.decay_fits:
        return None
    assert analysis.main_detector is not None
    fit = analysis.decay_fits[analysis.main_detector]
    return {
        "n_components": len(fit.lifetimes), "lifetimes_s": fit.lifetimes, "lifetimes_err_s": fit.lifetimes_err,
        "lifetimes_ci_s": fit.lifetimes_ci, "fractions": fit.fractions, "fractions_err": fit.fractions_err,
        "fractions_ci": fit.fractions_ci,
        "amplitude_average_s": fit.amplitude_average, "amplitude_average_err_s": fit.amplitude_average_err,
        "intensity_average_s": fit.intensity_average, "intensity_average_err_s": fit.intensity_average_err,
        "amplitude_average_ci_s": fit.amplitude_average_ci, "intensity_average_ci_s": fit.intensity_average_ci,
        "bic_by_n_components": fit.table, "residuals_p_value": fit.autocorrelation_p_value,
        "p_value": fit.p_value, "irf": fit.irf_kind, "detector": analysis.main_detector,
        "fit_range_s": fit.fit_range,
    }  # fmt: skip


def _segments_part(analysis: Analysis, notes: dict[str, str]) -> dict[str, Any] | None:
    segments, levels = analysis.segments, analysis.levels
    if segments is None or levels is None:
        return None
    if levels.lifetimes is None:
        notes.setdefault("segments.level_lifetimes_s", "there are no lifetimes of segments")
    kinds = segments.change_kinds
    return {
        "n": len(segments), "false_positive_rate": segments.false_positive_rate,
        "changes": None if kinds is None else {kind: kinds.count(kind) for kind in KINDS},
        "n_levels": levels.n, "n_levels_probability": levels.probability,
        "level_rates_hz": levels.rates, "level_rates_ci_hz": levels.rates_ci,
        "level_lifetimes_s": levels.lifetimes if levels.lifetimes is not None else [None] * levels.n,
        "level_lifetimes_ci_s": levels.lifetimes_ci,
        "level_occupancy": levels.occupancy, "level_occupancy_ci": levels.occupancy_ci,
        "transitions": levels.transitions,
    }  # fmt: skip


def _flid_part(analysis: Analysis) -> dict[str, Any] | None:
    found = analysis.flid
    if found is None:
        return None
    return {
        "rank_correlation": found.rank_correlation, "rank_correlation_err": found.rank_correlation_err,
        "rank_correlation_ci": found.rank_correlation_ci,
        "slope_s_per_hz": found.slope, "slope_err_s_per_hz": found.slope_err, "slope_ci_s_per_hz": found.slope_ci,
        "curvature_s_per_hz2": found.curvature, "curvature_err_s_per_hz2": found.curvature_err,
        "curvature_ci_s_per_hz2": found.curvature_ci, "memory_s": found.memory, "dark_time_s": found.dark_time,
    }  # fmt: skip


def _flickering_part(analysis: Analysis, notes: dict[str, str]) -> dict[str, Any] | None:
    found = analysis.flickering
    if found is None:
        notes.setdefault("flickering", "the recording is shorter than one bin of the trace")
        return None
    return {
        "verdict": found.verdict, "reason": found.reason, "bin_width_s": found.bin_width, "score": found.score,
        "score_ci": found.score_ci, "n_levels": found.n_levels, "correlation_time_s": found.correlation_time,
        "correlation_time_ci_s": found.correlation_time_ci, "deviation": found.deviation,
        "deviation_ci": found.deviation_ci,
    }  # fmt: skip
