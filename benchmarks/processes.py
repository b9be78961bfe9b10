"""Rows of whole processes: import, and the main job with and without compiled kernels. And the memory they take."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import photonstats as ps
from light import OUT, SAMPLE, t3_file
from timing import Row, alternate

CACHE = OUT / "numba_cache"
FIRST = {
    "fit_decay": "ps.fit_decay(ps.decay(photons, 0), 2, irf=ps.GaussianIRF())",
    "fit_segments": "ps.fit_segments(photons, [0.05 * k for k in range(600)])",
}
PEAK = """
import re, sys, photonstats as ps
from pathlib import Path
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
small, path, how = sys.argv[1:]
ps.read(small); ps.intensity_trace(ps.scan(small)); ps.g2(ps.scan(small), 2e-6, 256e-12, detectors=(0, 1))
before = peak()
if how == "read": photons = ps.read(path)
elif how == "scan": ps.intensity_trace(ps.scan(path))
else: ps.g2(ps.scan(path), 2e-6, 256e-12, detectors=(0, 1))
print(peak() - before)
"""


def rows(path: Path, _photons: int, runs: int) -> list[Row]:
    few = max(1, runs // 3)

    def compiling() -> None:
        shutil.rmtree(CACHE, ignore_errors=True)
        _analyze(SAMPLE)()

    return [
        alternate("process: import photonstats", _python("-c", "import photonstats"), runs=runs),
        _one_dot(few),
        alternate("process: analyze sample, compiling", compiling, runs=few, warm=False),
        alternate("process: analyze sample, warm", _analyze(SAMPLE), runs=few),
        alternate("process: analyze this file, warm", _analyze(path), runs=few),
        *(
            alternate(f"process: first {name}, compiling", _first(call), runs=few, warm=False)
            for name, call in FIRST.items()
        ),
    ]


def _one_dot(runs: int) -> Row:
    """Time the main job with its report on a minute of one dot, in this process, after a first call."""
    path = t3_file(60.0, 60e3)
    return alternate(
        "analyze and report, 60 s of 3e6 photons, goal 6 s",
        lambda: ps.analyze(path).save(OUT / "report"),
        photons=len(ps.read(path)),
        runs=runs,
    )


def _first(call: str) -> Callable[[], None]:
    """Return a process that makes one call with no kernel compiled before, and reads the sample for it."""
    script = f"import photonstats as ps; photons = ps.read({str(SAMPLE)!r}); {call}"
    fresh = _python("-c", script, NUMBA_CACHE_DIR=str(CACHE))

    def compiling() -> None:
        shutil.rmtree(CACHE, ignore_errors=True)
        fresh()

    return compiling


def _python(*args: str, **environment: str) -> Callable[[], None]:
    def call() -> None:
        subprocess.run([sys.executable, *args], check=True, capture_output=True, env=os.environ | environment)

    return call


def _analyze(path: Path) -> Callable[[], None]:
    report = str(OUT / "report")
    return _python("-m", "photonstats", "analyze", str(path), "-q", "-o", report, NUMBA_CACHE_DIR=str(CACHE))


def memory(path: Path, photons: int) -> dict[str, float]:
    """Return peak memory above the import, MB, of reading at once, of a trace and of g2 over pieces."""
    found = {"arrays": photons * 11 / 2**20}
    for how in ("read", "scan", "g2"):
        out = subprocess.run(
            [sys.executable, "-c", PEAK, str(SAMPLE), str(path), how], check=True, capture_output=True, text=True
        )
        found[how] = float(out.stdout)
    print(
        f"\npeak memory above import: read {found['read']:.0f} MB (of it arrays {found['arrays']:.0f} MB), "
        f"trace over scan {found['scan']:.0f} MB, g2 over scan {found['g2']:.0f} MB"
    )
    return found
