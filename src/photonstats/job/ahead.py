"""On a first run a second process compiles the kernels of the later steps, while this one does the earlier ones."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np

from photonstats.background import given_background
from photonstats.blinking.blinking_type import classify_blinking
from photonstats.blinking.dwell import dwell_times
from photonstats.blinking.dwell_laws import fit_dwell_times
from photonstats.blinking.spectrum import psd
from photonstats.blinking.switching_statistics import blinking_statistics
from photonstats.correlations.correlation import g2_pulsed
from photonstats.correlations.emitters import estimate_emitters
from photonstats.correlations.gates import gate_series
from photonstats.kernels.counts import count_detector
from photonstats.simulate import recipe
from photonstats.switching.changepoints import change_points
from photonstats.switching.continuum import flickering
from photonstats.switching.level_clustering import levels
from photonstats.switching.lifetime_intensity import flid
from photonstats.traces.intensity import intensity_trace


@contextmanager
def compiled_ahead() -> Iterator[None]:
    """Let a second process compile while the block runs, where numba's cache holds nothing yet."""
    helper = _start() if (os.cpu_count() or 1) > 1 and _is_cold() else None
    try:
        yield
    finally:
        if helper is not None and helper.poll() is None:
            helper.terminate()
            helper.communicate()


@cache
def _is_cold() -> bool:
    """Say whether a small kernel had to be compiled; without numba's compiler there is none to wait for."""
    count_detector(np.zeros(0, np.uint8), np.zeros(1, np.int64), np.uint8(0), np.zeros(0, np.int64))
    return hasattr(count_detector, "stats") and bool(count_detector.stats.cache_misses)


@cache
def _start() -> subprocess.Popen[bytes] | None:
    """Start the process, once; where that is not possible nothing is lost but time."""
    if not sys.executable or getattr(sys, "frozen", False):  # a frozen program would start itself
        return None
    try:
        return subprocess.Popen(  # noqa: S603 (this very module)
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    except OSError:
        return None


def _end_with_parent() -> None:
    """End when the other end of the standard input is gone, as it is however the other process ended."""
    sys.stdin.buffer.read()
    os._exit(1)


def compile_later_steps() -> None:
    """Run the later steps of `analyze` on few photons, those first that this process can reach before `analyze`."""
    photons, _ = recipe("blinking_dot", seed=1, duration=10.0)
    dark = given_background(160.0, [0, 1])
    trace = intensity_trace(photons, 10e-3)
    segments = change_points(photons, use_lifetime=True, background=dark)
    found = levels(segments)
    map_of_bins = flid(photons, 10e-3, background=dark)
    continuum = flickering(trace)
    g2_pulsed(photons, 10, background=dark)
    gate_series(photons, [0.0, 1e-9], background=dark)
    estimate_emitters(photons, background=dark)
    dwells = dwell_times(trace)
    fit_dwell_times(dwells, state="on", n_bootstrap=0)
    blinking_statistics(dwells, trace)
    psd(trace).fit()
    classify_blinking(
        photons, segments=segments, levels=found, flid=map_of_bins, flickering=continuum, trace=trace, background=dark
    )


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    compile_later_steps()
