"""On a first run a second process compiles the kernels of the later steps, while this one does the earlier ones."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from typing import Any

import numpy as np

from photonstats.background import given_background
from photonstats.blinking.dwell import dwell_times
from photonstats.job.blinking_answers import blinking
from photonstats.job.correlation_answers import pairs_and_emitters
from photonstats.job.replay import open_replay
from photonstats.job.switching_answers import switching
from photonstats.kernels.counts import count_detector
from photonstats.simulate import recipe
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
    """Take the later steps of `analyze` on few photons, those first that this process can reach before `analyze`."""
    photons, _ = recipe("blinking_dot", seed=1, duration=10.0)
    trace, dark, notes = intensity_trace(photons, 10e-3), given_background(160.0, [0, 1]), dict[str, str]()
    found: dict[str, Any] = {"trace": trace, "dwells": dwell_times(trace), "background": dark, "decay_fits": {}}
    with closing(open_replay(photons)) as replay:
        found |= switching(
            replay, trace, with_lifetimes=True, irf=None, background=dark, bin_width=10e-3, false_positive_rate=0.05,
            max_levels=10, notes=notes,
        )  # fmt: skip
        pairs_and_emitters(
            replay, found, detectors=None, delay="auto", gate=None, n_pulses=10, window=1e-6, bin_width=1e-9,
            max_emitters=10, irf=None, notes=notes,
        )  # fmt: skip
        blinking(replay, found, irf=None, notes=notes)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    compile_later_steps()
