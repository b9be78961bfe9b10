"""Time-tag analysis of single nanocrystals: antibunching, blinking and lifetimes with honest error bars.

The public names load on first use, so that ``import photonstats`` is immediate.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version as _version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from photonstats import simulate
    from photonstats.background import Background
    from photonstats.background_sources import estimate_background, measure_background
    from photonstats.blinking.bleaching import Bleaching
    from photonstats.blinking.blinking_type import BlinkingType, Evidence, classify_blinking
    from photonstats.blinking.dwell import DwellTimes, dwell_times
    from photonstats.blinking.dwell_calibration import CalibratedDwellFit, calibrate_dwell_fit
    from photonstats.blinking.dwell_laws import DwellFit, fit_dwell_times
    from photonstats.blinking.dwell_thresholds import ThresholdScan, scan_threshold
    from photonstats.blinking.spectrum import Psd, psd
    from photonstats.blinking.spectrum_fit import PsdFit
    from photonstats.blinking.switching_statistics import BlinkingStatistics, blinking_statistics
    from photonstats.correlations.afterpulses import Afterpulsing, afterpulsing
    from photonstats.correlations.antibunching import G2Fit
    from photonstats.correlations.cascade import Biexciton, biexciton
    from photonstats.correlations.correlation import G2, PulsedG2, g2, g2_pulsed
    from photonstats.correlations.emitters import EmitterEstimate, estimate_emitters
    from photonstats.correlations.gate_fit import GateFit
    from photonstats.correlations.gates import GateSeries, gate_series
    from photonstats.correlations.loglags import g2_log
    from photonstats.correlations.pair_histogram import HistogramG2, g2_of_histogram
    from photonstats.correlations.third_order import G3, g3
    from photonstats.curve import Decay
    from photonstats.decays.corrections import CoatesDecay, Nonlinearity, coates, expected_offset, nonlinearity
    from photonstats.decays.decay_bootstrap import DecayBootstrap
    from photonstats.decays.decay_global import GlobalDecayFit, fit_decays
    from photonstats.decays.decay_model import GaussianIRF
    from photonstats.decays.decay_result import DecayFit
    from photonstats.decays.lifetime import decay, fit_decay
    from photonstats.decays.resolved import (
        Rates,
        YieldRatio,
        bursts,
        decay_rates,
        decays_of_intensity,
        decays_of_stretches,
        quantum_yield_ratio,
    )
    from photonstats.decays.segments import Segments, fit_segments
    from photonstats.errors import AnalysisWarning, PhotonFileError, PhotonFileWarning
    from photonstats.excitation import SaturationFit, excitation_per_pulse, fit_saturation
    from photonstats.io import fold, info, read, read_decay, scan, write_photon_hdf5, write_ptu
    from photonstats.job.pipeline import Analysis, analyze
    from photonstats.job.responses import read_irf
    from photonstats.power_sweep import PowerSeries, power_series
    from photonstats.stream import FileInfo, Markers, PhotonStream
    from photonstats.switching.changepoints import change_points
    from photonstats.switching.continuum import Flickering, flickering
    from photonstats.switching.intensity_jumps import JumpStatistics, jump_statistics
    from photonstats.switching.level_clustering import Levels, levels
    from photonstats.switching.lifetime_intensity import Flid, flid
    from photonstats.switching.markov_chain import HiddenMarkov, hidden_markov
    from photonstats.traces.intensity import IntensityTrace, intensity_trace

__version__ = _version("photonstats")

_HOMES = {
    "background": ("Background",),
    "background_sources": ("estimate_background", "measure_background"),
    "blinking.bleaching": ("Bleaching",),
    "blinking.blinking_type": ("BlinkingType", "Evidence", "classify_blinking"),
    "blinking.dwell": ("DwellTimes", "dwell_times"),
    "blinking.dwell_calibration": ("CalibratedDwellFit", "calibrate_dwell_fit"),
    "blinking.dwell_laws": ("DwellFit", "fit_dwell_times"),
    "blinking.dwell_thresholds": ("ThresholdScan", "scan_threshold"),
    "blinking.spectrum": ("Psd", "psd"),
    "blinking.spectrum_fit": ("PsdFit",),
    "blinking.switching_statistics": ("BlinkingStatistics", "blinking_statistics"),
    "correlations.afterpulses": ("Afterpulsing", "afterpulsing"),
    "correlations.antibunching": ("G2Fit",),
    "correlations.cascade": ("Biexciton", "biexciton"),
    "correlations.correlation": ("G2", "PulsedG2", "g2", "g2_pulsed"),
    "correlations.emitters": ("EmitterEstimate", "estimate_emitters"),
    "correlations.gate_fit": ("GateFit",),
    "correlations.gates": ("GateSeries", "gate_series"),
    "correlations.loglags": ("g2_log",),
    "correlations.pair_histogram": ("HistogramG2", "g2_of_histogram"),
    "correlations.third_order": ("G3", "g3"),
    "curve": ("Decay",),
    "decays.corrections": ("CoatesDecay", "Nonlinearity", "coates", "expected_offset", "nonlinearity"),
    "decays.decay_bootstrap": ("DecayBootstrap",),
    "decays.decay_global": ("GlobalDecayFit", "fit_decays"),
    "decays.decay_model": ("GaussianIRF",),
    "decays.decay_result": ("DecayFit",),
    "decays.lifetime": ("decay", "fit_decay"),
    "decays.resolved": (
        "Rates",
        "YieldRatio",
        "bursts",
        "decay_rates",
        "decays_of_intensity",
        "decays_of_stretches",
        "quantum_yield_ratio",
    ),
    "decays.segments": ("Segments", "fit_segments"),
    "errors": ("AnalysisWarning", "PhotonFileError", "PhotonFileWarning"),
    "excitation": ("SaturationFit", "excitation_per_pulse", "fit_saturation"),
    "io": ("fold", "info", "read", "read_decay", "scan", "write_photon_hdf5", "write_ptu"),
    "job.pipeline": ("Analysis", "analyze"),
    "job.responses": ("read_irf",),
    "power_sweep": ("PowerSeries", "power_series"),
    "stream": ("FileInfo", "Markers", "PhotonStream"),
    "switching.changepoints": ("change_points",),
    "switching.continuum": ("Flickering", "flickering"),
    "switching.intensity_jumps": ("JumpStatistics", "jump_statistics"),
    "switching.level_clustering": ("Levels", "levels"),
    "switching.lifetime_intensity": ("Flid", "flid"),
    "switching.markov_chain": ("HiddenMarkov", "hidden_markov"),
    "traces.intensity": ("IntensityTrace", "intensity_trace"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "G2",
    "G3",
    "Afterpulsing",
    "Analysis",
    "AnalysisWarning",
    "Background",
    "Biexciton",
    "Bleaching",
    "BlinkingStatistics",
    "BlinkingType",
    "CalibratedDwellFit",
    "CoatesDecay",
    "Decay",
    "DecayBootstrap",
    "DecayFit",
    "DwellFit",
    "DwellTimes",
    "EmitterEstimate",
    "Evidence",
    "FileInfo",
    "Flickering",
    "Flid",
    "G2Fit",
    "GateFit",
    "GateSeries",
    "GaussianIRF",
    "GlobalDecayFit",
    "HiddenMarkov",
    "HistogramG2",
    "IntensityTrace",
    "JumpStatistics",
    "Levels",
    "Markers",
    "Nonlinearity",
    "PhotonFileError",
    "PhotonFileWarning",
    "PhotonStream",
    "PowerSeries",
    "Psd",
    "PsdFit",
    "PulsedG2",
    "Rates",
    "SaturationFit",
    "Segments",
    "ThresholdScan",
    "YieldRatio",
    "afterpulsing",
    "analyze",
    "biexciton",
    "blinking_statistics",
    "bursts",
    "calibrate_dwell_fit",
    "change_points",
    "classify_blinking",
    "coates",
    "decay",
    "decay_rates",
    "decays_of_intensity",
    "decays_of_stretches",
    "dwell_times",
    "estimate_background",
    "estimate_emitters",
    "excitation_per_pulse",
    "expected_offset",
    "fit_decay",
    "fit_decays",
    "fit_dwell_times",
    "fit_saturation",
    "fit_segments",
    "flickering",
    "flid",
    "fold",
    "g2",
    "g2_log",
    "g2_of_histogram",
    "g2_pulsed",
    "g3",
    "gate_series",
    "hidden_markov",
    "info",
    "intensity_trace",
    "jump_statistics",
    "levels",
    "measure_background",
    "nonlinearity",
    "power_series",
    "psd",
    "quantum_yield_ratio",
    "read",
    "read_decay",
    "read_irf",
    "scan",
    "scan_threshold",
    "simulate",
    "write_photon_hdf5",
    "write_ptu",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    # A module must not bear the name of a public function (hence lifetime.py, not decay.py): importing it would
    # put the module in the function's place.
    if name == "simulate":
        return import_module("photonstats.simulate")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'photonstats' has no attribute {name!r}")
    value = getattr(import_module(f"photonstats.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*(name for name in globals() if name.startswith("__") and name.endswith("__")), *__all__})
