"""The numbers behind each figure, as CSV text with one header line that names the units."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from photonstats.blinking.blinking_type import BlinkingType
    from photonstats.blinking.dwell import DwellTimes
    from photonstats.blinking.spectrum_fit import PsdFit
    from photonstats.decays.segments import Segments
    from photonstats.job.pipeline import Analysis
    from photonstats.switching.level_clustering import Levels
    from photonstats.switching.lifetime_intensity import Flid


def csv_tables(analysis: Analysis) -> dict[str, str]:
    """Return the CSV text of each table by its name, such as trace, decay, g2_peaks or emitters."""
    tables = {
        "trace": _trace(analysis),
        "decay": _decay(analysis),
        "lifetimes": _lifetimes(analysis),
        "stretches": _stretches(analysis),
        "segments": {} if analysis.segments is None else segment_columns(analysis.segments, analysis.levels),
        "levels": {} if analysis.levels is None else level_columns(analysis.levels),
        "flid": {} if analysis.flid is None else flid_columns(analysis.flid),
        "g2_peaks": _g2_peaks(analysis),
        "g2": _g2(analysis),
        "gates": _gates(analysis),
        "emitters": _emitters(analysis),
        "dwell_times": _dwell_times(analysis),
        "dwells": {} if analysis.dwells is None else dwell_columns(analysis.dwells),
        "psd": {} if analysis.psd_fit is None else psd_columns(analysis.psd_fit),
        "type": {} if analysis.blinking_type is None else type_columns(analysis.blinking_type),
    }
    return {name: csv_text(columns) for name, columns in tables.items() if columns}


def csv_text(columns: Mapping[str, Any]) -> str:
    r"""Return columns of possibly different lengths as CSV; short columns end in empty cells.

    Examples
    --------
    >>> csv_text({"time_s": [0.5, 1.5], "counts": [3]})
    'time_s,counts\n0.5,3\n1.5,\n'
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip_longest(*(_cells(column) for column in columns.values()), fillvalue=""))
    return out.getvalue()


def _cells(column: Any) -> list[Any]:
    values = np.asarray(column)
    if values.dtype.kind == "f":
        return ["" if np.isnan(v) else f"{v:.9g}" for v in values]
    return list(values.tolist())


def segment_columns(segments: Segments, levels: Levels | None = None) -> dict[str, Any]:
    """Return one row for each segment: where it lies, how bright it is, how its change began."""
    columns: dict[str, Any] = {"start_s": segments.edges[:-1], "stop_s": segments.edges[1:]}
    inner = np.full((len(segments), 2), np.nan)
    if segments.times_ci is not None:
        inner[1:] = segments.times_ci[-len(segments) + 1 :] if len(segments) > 1 else inner[1:]
    rates = segments.rates_ci
    columns |= {"start_low_s": inner[:, 0], "start_high_s": inner[:, 1], "counts": segments.counts}
    columns |= {"rate_hz": segments.rates, "rate_low_hz": rates[:, 0], "rate_high_hz": rates[:, 1]}
    if segments.lifetimes is not None and segments.lifetimes_ci is not None:
        ends = segments.lifetimes_ci
        columns |= {"lifetime_s": segments.lifetimes, "lifetime_low_s": ends[:, 0], "lifetime_high_s": ends[:, 1]}
    if segments.change_kinds is not None and segments.p_rate is not None and segments.p_lifetime is not None:
        columns["change"] = ["", *segments.change_kinds]
        columns["p_rate"] = np.concatenate([[np.nan], segments.p_rate])
        columns["p_lifetime"] = np.concatenate([[np.nan], segments.p_lifetime])
    if levels is not None:
        columns["level"] = levels.assignment
    return columns


def level_columns(levels: Levels) -> dict[str, Any]:
    """Return one row for each level."""
    columns: dict[str, Any] = {"rate_hz": levels.rates}
    columns |= {"rate_low_hz": levels.rates_ci[:, 0], "rate_high_hz": levels.rates_ci[:, 1]}
    if levels.lifetimes is not None and levels.lifetimes_ci is not None:
        ends = levels.lifetimes_ci
        columns |= {"lifetime_s": levels.lifetimes, "lifetime_low_s": ends[:, 0], "lifetime_high_s": ends[:, 1]}
    columns |= {"occupancy": levels.occupancy, "occupancy_low": levels.occupancy_ci[:, 0]}
    columns["occupancy_high"] = levels.occupancy_ci[:, 1]
    return columns | {f"to_{j}": levels.transitions[:, j] for j in range(levels.n)}


def flid_columns(flid: Flid) -> dict[str, Any]:
    """Return one row for each bin or segment of a FLID."""
    columns: dict[str, Any] = {
        "start_s": flid.edges[:-1], "weight_s": flid.weight, "counts": flid.counts,
        "intensity_hz": flid.intensity, "lifetime_s": flid.lifetime, "lifetime_err_s": flid.lifetime_err,
    }  # fmt: skip
    for name, unit in (("intensity", "hz"), ("lifetime", "s")):
        ends = getattr(flid, f"{name}_ci")
        columns |= {f"{name}_low_{unit}": ends[:, 0], f"{name}_high_{unit}": ends[:, 1]}
    return columns


def dwell_columns(dwells: DwellTimes) -> dict[str, Any]:
    """Return one row for each dwell in order of time."""
    if not dwells.n:
        return {}
    cut = np.zeros(dwells.n, np.int64)
    cut[[0, -1]] = 1
    edges, states = dwells.edges, np.where(dwells.states, "on", "off")
    return {"begin_s": edges[:-1], "dwell_s": dwells.durations, "state": states, "censored": cut}


def psd_columns(fit: PsdFit) -> dict[str, Any]:
    """Return one row for each frequency of a spectrum, with its interval and the fitted law."""
    frequency, power, interval = fit.curve
    return {
        "frequency_hz": frequency, "power_per_hz": power, "low_per_hz": interval[:, 0], "high_per_hz": interval[:, 1],
        "fit_per_hz": fit.density(frequency),
    }  # fmt: skip


def type_columns(kind: BlinkingType) -> dict[str, Any]:
    """Return one row for each piece of evidence: its value and what it says for each type."""
    each = kind.evidence
    columns: dict[str, Any] = {
        "evidence": [e.name for e in each], "value": np.array([e.value for e in each], np.float64),
        "low": np.array([e.interval[0] for e in each], np.float64),
        "high": np.array([e.interval[1] for e in each], np.float64),
    }  # fmt: skip
    columns |= {f"log_odds_{t}": np.array([e.log_odds[t] for e in each], np.float64) for t in kind.probability}
    return columns | {"finding": [e.finding for e in each]}


def _trace(analysis: Analysis) -> dict[str, Any]:
    trace = analysis.trace
    if trace is None:
        return {}
    interval = trace.rate_ci
    return {
        "time_s": trace.time,
        "counts": trace.counts,
        "rate_hz": trace.rate,
        "rate_low_hz": interval[:, 0],
        "rate_high_hz": interval[:, 1],
    }


def _decay(analysis: Analysis) -> dict[str, Any]:
    if not analysis.decays:
        return {}
    longest = max(analysis.decays.values(), key=lambda decay: decay.counts.size)
    columns: dict[str, Any] = {"time_s": longest.time}
    for detector, decay in analysis.decays.items():
        columns[f"counts_{detector}"] = decay.counts
        if detector in analysis.decay_fits:
            columns[f"model_{detector}"] = analysis.decay_fits[detector].model
    return columns


def _lifetimes(analysis: Analysis) -> dict[str, Any]:
    rows = [
        (
            detector, fit.lifetimes[i], fit.lifetimes_err[i], *fit.lifetimes_ci[i], fit.fractions[i],
            fit.fractions_err[i], *fit.fractions_ci[i], fit.p_value,
        )
        for detector, fit in analysis.decay_fits.items()
        for i in range(len(fit.lifetimes))
    ]  # fmt: skip
    names = (
        "detector", "lifetime_s", "lifetime_err_s", "lifetime_low_s", "lifetime_high_s", "fraction", "fraction_err",
        "fraction_low", "fraction_high", "p_value",
    )  # fmt: skip
    return dict(zip(names, zip(*rows, strict=True), strict=True)) if rows else {}


def _stretches(analysis: Analysis) -> dict[str, Any]:
    found = analysis.stretches
    if found is None or found.lifetimes is None or found.lifetimes_ci is None:
        return {}
    return {
        "begin_s": found.edges[:-1],
        "end_s": found.edges[1:],
        "photons": found.counts,
        "rate_hz": found.rates,
        "lifetime_s": found.lifetimes,
        "lifetime_low_s": found.lifetimes_ci[:, 0],
        "lifetime_high_s": found.lifetimes_ci[:, 1],
    }


def _g2_peaks(analysis: Analysis) -> dict[str, Any]:
    if analysis.g2 is None:
        return {}
    columns: dict[str, Any] = {"lag_pulses": analysis.g2.pulse_lag, "pairs": analysis.g2.pairs}
    if analysis.g2_corrected is not None:
        columns["pairs_of_background"] = analysis.g2_corrected.pairs_background
    return columns


def _g2(analysis: Analysis) -> dict[str, Any]:
    curve = analysis.g2_curve
    if curve is None:
        return {}
    return {
        "lag_s": curve.lag,
        "pairs": curve.pairs,
        "expected": curve.expected,
        "g2": curve.g2,
        "g2_err": curve.g2_err,
    }


def _gates(analysis: Analysis) -> dict[str, Any]:
    series = analysis.gates
    if series is None:
        return {}
    centre = series.pulse_lag == 0
    return {
        "gate_s": series.gate,
        "g2_zero": series.g2_zero,
        "g2_zero_err": series.g2_zero_err,
        "g2_zero_low": series.g2_zero_ci[:, 0],
        "g2_zero_high": series.g2_zero_ci[:, 1],
        "pairs_centre": series.pairs[:, centre].sum(axis=1),
        "pairs_side": series.pairs[:, ~centre].sum(axis=1),
    }


def _emitters(analysis: Analysis) -> dict[str, Any]:
    if analysis.emitters is None:
        return {}
    found = analysis.emitters.probability
    return {"emitters": list(found), "probability": list(found.values())}


def _dwell_times(analysis: Analysis) -> dict[str, Any]:
    dwells = analysis.dwells
    if dwells is None or not dwells.on.size + dwells.off.size:
        return {}
    return {
        "on_s": dwells.on,
        "on_censored": dwells.on_censored.astype(int),
        "off_s": dwells.off,
        "off_censored": dwells.off_censored.astype(int),
    }
