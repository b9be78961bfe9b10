"""The main job: from one file to every answer that it can give."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from photonstats import __version__
from photonstats.background import Background, given_background
from photonstats.background_sources import estimate_background
from photonstats.blinking.blinking_type import BlinkingType
from photonstats.blinking.dwell import DwellTimes, dwell_times
from photonstats.blinking.dwell_laws import DwellFit
from photonstats.blinking.spectrum_fit import PsdFit
from photonstats.blinking.switching_statistics import BlinkingStatistics
from photonstats.correlations.antibunching import G2Fit
from photonstats.correlations.correlation import G2, PulsedG2
from photonstats.correlations.emitters import EmitterEstimate
from photonstats.correlations.gate_fit import GateFit
from photonstats.correlations.gates import GateSeries
from photonstats.curve import Decay
from photonstats.decays.lifetime import DecayFit, GaussianIRF, decay, fit_decay
from photonstats.decays.segments import Segments, fit_segments
from photonstats.job.ahead import compiled_ahead
from photonstats.job.answers import answer_parts, explain_nulls, stream_part
from photonstats.job.blinking_answers import blinking, doubt_type
from photonstats.job.correlation_answers import Delay, pairs_and_emitters
from photonstats.job.replay import Replay, open_replay
from photonstats.job.switching_answers import switching
from photonstats.result import Result, to_plain
from photonstats.stream import PhotonStream
from photonstats.switching.continuum import Flickering
from photonstats.switching.level_clustering import Levels
from photonstats.switching.lifetime_intensity import Flid
from photonstats.traces.intensity import IntensityTrace, intensity_trace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCHEMA = "photonstats/1"
FEWEST_COUNTS_TO_FIT = 200
MOST_DECAY_BINS = 8192
PHOTONS_OF_STRETCH, MOST_STRETCHES = 300, 2000


@dataclass(frozen=True, eq=False, repr=False)
class Analysis(Result):
    """Everything that was found about one dot.

    Parameters
    ----------
    results : dict
        The content of results.json: plain types, None with a reason in ``results["notes"]`` where the data cannot say.
    trace, dwells, background, g2, g2_corrected, g2_curve, g2_fit, g2_fit_corrected, emitters, gates, gate_fit
        The results behind it; None where there is none.
    decays, decay_fits : dict of int
        Decay and fit of each detector.
    stretches : Segments or None
        Lifetimes of equal stretches of time, of about 300 photons each.
    segments, levels : Segments, Levels or None
        Stretches between change points, and the levels they belong to.
    flid : Flid or None
        Lifetime against intensity of each bin.
    flickering : Flickering or None
        Whether a few levels or a continuum describe the trace better.
    dwell_fits : dict of str
        Laws of the "on" and "off" dwells.
    statistics : BlinkingStatistics or None
        Rates, memory, aging, bleaching, drift of the bright level.
    psd_fit : PsdFit or None
        Law of the power spectrum.
    blinking_type : BlinkingType or None
        What makes the dot blink.
    """

    results: dict[str, Any]
    trace: IntensityTrace | None = None
    dwells: DwellTimes | None = None
    decays: dict[int, Decay] = field(default_factory=dict)
    decay_fits: dict[int, DecayFit] = field(default_factory=dict)
    stretches: Segments | None = None
    segments: Segments | None = None
    levels: Levels | None = None
    flid: Flid | None = None
    flickering: Flickering | None = None
    background: Background | None = None
    g2: PulsedG2 | None = None
    g2_corrected: PulsedG2 | None = None
    g2_curve: G2 | None = None
    g2_fit: G2Fit | None = None
    g2_fit_corrected: G2Fit | None = None
    emitters: EmitterEstimate | None = None
    gates: GateSeries | None = None
    gate_fit: GateFit | None = None
    dwell_fits: dict[str, DwellFit] = field(default_factory=dict)
    statistics: BlinkingStatistics | None = None
    psd_fit: PsdFit | None = None
    blinking_type: BlinkingType | None = None

    @property
    def main_detector(self) -> int | None:
        """The detector whose decay stands in the results: the brightest with a fit, or with a decay."""
        counts = {d: self.decays[d].n_photons for d in (self.decay_fits or self.decays)}
        return max(counts, key=lambda d: counts[d]) if counts else None

    def to_dict(self) -> dict[str, Any]:
        """Return the content of results.json, a copy."""
        return copy.deepcopy(self.results)

    def summary(self) -> str:
        """Return the one-screen summary of the command line."""
        from photonstats.reports import findings

        return findings.text_summary(self)

    def plot(self) -> Figure:  # type: ignore[override]
        """Draw trace, decay, correlation and dwell times as one figure and return it."""
        from photonstats.reports import report

        return report.overview_figure(self)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write report.html, results.json, figures/*.png and tables/*.csv into `folder` (made if absent); return it."""
        from photonstats.reports import report

        return report.save(self, Path(folder))

    def _repr_html_(self) -> str:
        from photonstats.reports import report

        return report.notebook_html(self)


def analyze(
    source: str | os.PathLike[str] | PhotonStream,
    *,
    bin_width: float = 10e-3,
    threshold: float | str = "auto",
    detectors: tuple[int, int] | None = None,
    delay: Delay = "auto",
    gate: float | tuple[float, float] | None = None,
    n_pulses: int = 10,
    window: float = 1e-6,
    g2_bin_width: float = 1e-9,
    background: Background | float | Mapping[int, float] | None = None,
    max_emitters: int = 10,
    n_components: int | str = "auto",
    irf: Decay | GaussianIRF | Mapping[int, Decay] | None = None,
    false_positive_rate: float = 0.05,
    max_levels: int = 10,
    progress: bool = False,
) -> Analysis:
    """Analyse one recording: intensity, blinking, lifetimes, change points, levels, FLID, background and g2.

    Parameters
    ----------
    source : path or PhotonStream
        A time-tag file (large ones are walked through in pieces), or a stream.
    bin_width : float
        Bins of the intensity trace and of the FLID, s.
    threshold : float or "auto"
        On/off threshold, Hz.
    detectors : (int, int), optional
        The pair to correlate; by default the two live ones.
    delay : float or "auto"
        Cable delay of the second detector, s.
    gate : float or (float, float), optional
        Time gate of the pulsed correlation, s; see `g2_pulsed`.
    n_pulses : int
        Side peaks on either side, pulsed light.
    window, g2_bin_width : float
        Longest lag and bin width under continuous light, s.
    background : Background, float or mapping, optional
        Background of each detector, Hz, such as `measure_background` gives. By default estimated from the flat part of
        the decays or the darkest level of the intensity.
    max_emitters : int
        Largest number of emitters to consider.
    n_components : int or "auto"
        Exponentials in the decay.
    irf : Decay, GaussianIRF or mapping of int to Decay, optional
        Instrument response, or one for each detector (their cables differ); without one the tail is fitted.
    false_positive_rate : float
        Probability that steady light shows any change point.
    max_levels : int
        Largest number of levels to consider.
    progress : bool
        Whether to show a progress bar on standard error.

    Returns
    -------
    Analysis

    Raises
    ------
    PhotonFileError
        If the file cannot be read.
    ValueError
        If a setting is impossible. What the data cannot answer is None with a reason, not an error.
    """
    settings = {name: value for name, value in locals().items() if name not in {"source", "progress", "irf"}}
    settings["irf"] = None if irf is None else str(irf)
    times = {"bin_width": bin_width, "window": window, "g2_bin_width": g2_bin_width}
    _check_settings(max_emitters, n_components, times)
    notes: dict[str, str] = {}
    found: dict[str, Any] = {}
    with compiled_ahead(), closing(open_replay(source, progress=progress)) as replay:
        with replay.step("intensity"):
            found["trace"] = intensity_trace(replay.pieces(), bin_width) if not replay.duration < bin_width else None
            found["dwells"] = None if found["trace"] is None else dwell_times(found["trace"], threshold)
        with replay.step("decays"):
            found["decays"] = _decays(replay, notes)
            found["decay_fits"] = _fits(found["decays"], n_components, irf, notes)
        found["background"] = _background(background, replay, found["decays"], notes)
        with replay.step("lifetimes"):
            found["stretches"] = _stretches(replay, found["decay_fits"], irf, found["background"], notes)
        with replay.step("levels"):
            found |= switching(
                replay, found["trace"], with_lifetimes=found["stretches"] is not None, irf=irf,
                background=found["background"], bin_width=bin_width, false_positive_rate=false_positive_rate,
                max_levels=max_levels, notes=notes,
            )  # fmt: skip
        with replay.step("blinking"):
            found |= blinking(replay, found, irf=irf, notes=notes)
        found |= pairs_and_emitters(
            replay, found, detectors=detectors, delay=delay, gate=gate, n_pulses=n_pulses, window=window,
            bin_width=g2_bin_width, max_emitters=max_emitters, irf=irf, notes=notes,
        )  # fmt: skip
        doubt_type(found, notes)
    results: dict[str, Any] = {
        "schema": SCHEMA,
        "version": __version__,
        "source": replay.about,
        "settings": to_plain(settings),
    }
    analysis = Analysis(results=results, **found)
    results |= {"stream": stream_part(replay)} | answer_parts(analysis, notes)
    explain_nulls(results)
    return analysis


def _check_settings(max_emitters: int, n_components: int | str, times: Mapping[str, float]) -> None:
    for name, value in times.items():
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be a positive time in seconds, it is {value!r}")
    if max_emitters not in range(1, 51):
        raise ValueError(f"max_emitters must be 1 to 50, it is {max_emitters!r}")
    if n_components != "auto" and n_components not in range(1, 5):
        raise ValueError(f'n_components must be 1 to 4 or "auto", it is {n_components!r}')


def _decays(replay: Replay, notes: dict[str, str]) -> dict[int, Decay]:
    if replay.first is None or replay.first.nanotimes is None:
        notes["decay"] = replay.sync_note or "the recording has no nanotimes, so there is no decay"
        return {}
    if not replay.counts:
        notes["decay"] = "there are no photons"
    unit, period = replay.first.tcspc_unit, replay.first.laser_period or replay.first.timestamps_unit
    assert unit is not None
    bin_width = unit * max(1, math.ceil(period / unit / MOST_DECAY_BINS))
    return {d: decay(replay.pieces(), detectors=d, bin_width=bin_width) for d in sorted(replay.counts)}


def _fits(
    decays: dict[int, Decay],
    n_components: int | str,
    irf: Decay | GaussianIRF | Mapping[int, Decay] | None,
    notes: dict[str, str],
) -> dict[int, DecayFit]:
    fits = {}
    for detector, curve in decays.items():
        if curve.n_photons < FEWEST_COUNTS_TO_FIT:
            notes.setdefault("decay", f"fewer than {FEWEST_COUNTS_TO_FIT} photons: too few for a lifetime")
            continue
        response = irf.get(detector) if isinstance(irf, Mapping) else irf
        if irf is not None and response is None:
            notes.setdefault("decay", f"there is no instrument response of detector {detector}")
            continue
        try:
            fit = fit_decay(curve, n_components, irf=response)
        except ValueError as error:
            notes["decay"] = f"detector {detector}: {error}"
            continue
        if fit.converged:
            fits[detector] = fit
        else:
            notes["decay"] = f"the fit of detector {detector} did not converge: {fit.reason}"
    if fits:
        notes.pop("decay", None)
    return fits


def _stretches(
    replay: Replay,
    fits: dict[int, DecayFit],
    irf: Decay | GaussianIRF | Mapping[int, Decay] | None,
    background: Background | None,
    notes: dict[str, str],
) -> Segments | None:
    """Return the lifetime of equal stretches of time, of the brightest detector where each has its own response."""
    if not fits or not replay.duration > 0:
        notes["lifetimes_of_stretches"] = notes.get("decay", "there is no decay")
        return None
    which = max(fits, key=lambda d: fits[d].n_photons) if isinstance(irf, Mapping) else None
    photons = sum(replay.counts.values()) if which is None else replay.counts[which]
    n = int(min(photons / PHOTONS_OF_STRETCH, replay.duration / 10e-3, MOST_STRETCHES))
    if n < 2:
        notes["lifetimes_of_stretches"] = f"fewer than {2 * PHOTONS_OF_STRETCH} photons"
        return None
    assert replay.first is not None
    edges = replay.first.start + np.linspace(0.0, replay.duration, n + 1)
    edges[-1] = min(edges[-1], replay.first.start + replay.duration)
    response = irf[which] if isinstance(irf, Mapping) and which is not None else irf
    dark = background if background is not None and background.covers(replay.counts) else None
    try:
        return fit_segments(replay.pieces(), edges, response, dark, detectors=which)  # type: ignore[arg-type]
    except ValueError as error:
        notes["lifetimes_of_stretches"] = str(error)
        return None


def _background(
    given: Background | float | Mapping[int, float] | None,
    replay: Replay,
    decays: dict[int, Decay],
    notes: dict[str, str],
) -> Background | None:
    if isinstance(given, Background):
        return given
    if given is not None:
        return given_background(given, sorted(replay.counts))
    try:
        found = estimate_background(replay.pieces(), decays=decays or None)
    except ValueError as error:
        notes["background"] = f"{error}; give it in Hz, or measure it in a second file"
        return None
    if found.note:
        notes["background.doubts"] = found.note
    return found
