"""All drawing. Each function draws one result into an axes and returns it; no function shows or saves a figure."""

from __future__ import annotations

from photonstats.plots.correlations import plot_g2, plot_g2_fit, plot_pairs, plot_peaks, plot_pulsed_g2
from photonstats.plots.decays import (
    plot_bootstrap,
    plot_coates,
    plot_decay,
    plot_decay_fit,
    plot_global_fit,
    plot_nonlinearity,
    plot_rates,
    plot_residuals,
    plot_yield_ratio,
)
from photonstats.plots.detectors import plot_afterpulsing, plot_g3
from photonstats.plots.dwell_fit import plot_calibration, plot_dwell_fit, plot_dwell_laws, plot_threshold_scan
from photonstats.plots.emitters import plot_biexciton, plot_emitters, plot_gate_fit, plot_gate_series
from photonstats.plots.flickering import plot_flickering, plot_jump_curve, plot_jumps
from photonstats.plots.intensity import plot_dwell_times, plot_trace, plot_trace_histogram
from photonstats.plots.style import style

__all__ = [
    "plot_afterpulsing",
    "plot_biexciton",
    "plot_bootstrap",
    "plot_calibration",
    "plot_coates",
    "plot_decay",
    "plot_decay_fit",
    "plot_dwell_fit",
    "plot_dwell_laws",
    "plot_dwell_times",
    "plot_emitters",
    "plot_flickering",
    "plot_g2",
    "plot_g2_fit",
    "plot_g3",
    "plot_gate_fit",
    "plot_gate_series",
    "plot_global_fit",
    "plot_jump_curve",
    "plot_jumps",
    "plot_nonlinearity",
    "plot_pairs",
    "plot_peaks",
    "plot_pulsed_g2",
    "plot_rates",
    "plot_residuals",
    "plot_threshold_scan",
    "plot_trace",
    "plot_trace_histogram",
    "plot_yield_ratio",
    "style",
]
