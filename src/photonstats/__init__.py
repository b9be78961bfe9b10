"""Time-tag analysis of single nanocrystals: antibunching, blinking and lifetimes with honest error bars.

The public names load on first use, so that ``import photonstats`` is immediate.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version as _version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from photonstats import simulate
    from photonstats.afterpulses import Afterpulsing, afterpulsing
    from photonstats.antibunching import G2Fit
    from photonstats.background import Background
    from photonstats.background_sources import estimate_background, measure_background
    from photonstats.bleaching import Bleaching
    from photonstats.blinking_type import BlinkingType, Evidence, classify_blinking
    from photonstats.cascade import Biexciton, biexciton
    from photonstats.changepoints import change_points
    from photonstats.continuum import Flickering, flickering
    from photonstats.corrections import CoatesDecay, Nonlinearity, coates, expected_offset, nonlinearity
    from photonstats.correlation import G2, PulsedG2, g2, g2_pulsed
    from photonstats.curve import Decay
    from photonstats.decay_bootstrap import DecayBootstrap
    from photonstats.decay_fit import DecayFit
    from photonstats.decay_global import GlobalDecayFit, fit_decays
    from photonstats.decay_model import GaussianIRF
    from photonstats.dwell import DwellTimes, dwell_times
    from photonstats.dwell_calibration import CalibratedDwellFit, calibrate_dwell_fit
    from photonstats.dwell_laws import DwellFit, fit_dwell_times
    from photonstats.dwell_thresholds import ThresholdScan, scan_threshold
    from photonstats.emitters import EmitterEstimate, estimate_emitters
    from photonstats.errors import AnalysisWarning, PhotonFileError, PhotonFileWarning
    from photonstats.excitation import SaturationFit, excitation_per_pulse, fit_saturation
    from photonstats.gate_fit import GateFit
    from photonstats.gates import GateSeries, gate_series
    from photonstats.intensity import IntensityTrace, intensity_trace
    from photonstats.intensity_jumps import JumpStatistics, jump_statistics
    from photonstats.io import fold, info, read, read_decay, scan, write_photon_hdf5, write_ptu
    from photonstats.level_clustering import Levels, levels
    from photonstats.lifetime import decay, fit_decay
    from photonstats.lifetime_intensity import Flid, flid
    from photonstats.loglags import g2_log
    from photonstats.markov_chain import HiddenMarkov, hidden_markov
    from photonstats.pair_histogram import HistogramG2, g2_of_histogram
    from photonstats.pipeline import Analysis, analyze
    from photonstats.power_sweep import PowerSeries, power_series
    from photonstats.resolved import (
        Rates,
        YieldRatio,
        bursts,
        decay_rates,
        decays_of_intensity,
        decays_of_stretches,
        quantum_yield_ratio,
    )
    from photonstats.responses import read_irf
    from photonstats.segments import Segments, fit_segments
    from photonstats.spectrum import Psd, psd
    from photonstats.spectrum_fit import PsdFit
    from photonstats.stream import FileInfo, Markers, PhotonStream
    from photonstats.switching_statistics import BlinkingStatistics, blinking_statistics
    from photonstats.third_order import G3, g3

__version__ = _version("photonstats")

_HOMES = {
    "afterpulses": ("Afterpulsing", "afterpulsing"),
    "antibunching": ("G2Fit",),
    "background": ("Background",),
    "background_sources": ("estimate_background", "measure_background"),
    "bleaching": ("Bleaching",),
    "blinking_type": ("BlinkingType", "Evidence", "classify_blinking"),
    "cascade": ("Biexciton", "biexciton"),
    "changepoints": ("change_points",),
    "continuum": ("Flickering", "flickering"),
    "corrections": ("CoatesDecay", "Nonlinearity", "coates", "expected_offset", "nonlinearity"),
    "correlation": ("G2", "PulsedG2", "g2", "g2_pulsed"),
    "curve": ("Decay",),
    "dwell": ("DwellTimes", "dwell_times"),
    "dwell_calibration": ("CalibratedDwellFit", "calibrate_dwell_fit"),
    "dwell_laws": ("DwellFit", "fit_dwell_times"),
    "dwell_thresholds": ("ThresholdScan", "scan_threshold"),
    "emitters": ("EmitterEstimate", "estimate_emitters"),
    "errors": ("AnalysisWarning", "PhotonFileError", "PhotonFileWarning"),
    "excitation": ("SaturationFit", "excitation_per_pulse", "fit_saturation"),
    "gate_fit": ("GateFit",),
    "gates": ("GateSeries", "gate_series"),
    "markov_chain": ("HiddenMarkov", "hidden_markov"),
    "intensity": ("IntensityTrace", "intensity_trace"),
    "intensity_jumps": ("JumpStatistics", "jump_statistics"),
    "io": ("fold", "info", "read", "read_decay", "scan", "write_photon_hdf5", "write_ptu"),
    "decay_bootstrap": ("DecayBootstrap",),
    "decay_fit": ("DecayFit",),
    "decay_global": ("GlobalDecayFit", "fit_decays"),
    "decay_model": ("GaussianIRF",),
    "level_clustering": ("Levels", "levels"),
    "lifetime": ("decay", "fit_decay"),
    "lifetime_intensity": ("Flid", "flid"),
    "loglags": ("g2_log",),
    "pair_histogram": ("HistogramG2", "g2_of_histogram"),
    "pipeline": ("Analysis", "analyze"),
    "power_sweep": ("PowerSeries", "power_series"),
    "resolved": (
        "Rates",
        "YieldRatio",
        "bursts",
        "decay_rates",
        "decays_of_intensity",
        "decays_of_stretches",
        "quantum_yield_ratio",
    ),
    "responses": ("read_irf",),
    "segments": ("Segments", "fit_segments"),
    "spectrum": ("Psd", "psd"),
    "spectrum_fit": ("PsdFit",),
    "stream": ("FileInfo", "Markers", "PhotonStream"),
    "switching_statistics": ("BlinkingStatistics", "blinking_statistics"),
    "third_order": ("G3", "g3"),
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
