"""How time and memory grow with the number of photons: one analysis, one size, one process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from light import OUT

SIZES = (10**5, 10**6, 10**7, 10**8)
SMOKE_SIZES = (10**4, 10**5)
CALLS = {
    "trace": "ps.intensity_trace(pieces())",
    "decay": "ps.decay(pieces())",
    "g2": "ps.g2(pieces(), 2e-6, 256e-12, detectors=(0, 1), delay=0.0)",
    "g2_pulsed": "ps.g2_pulsed(pieces(), 10, detectors=(0, 1))",
    "g2_log, multi-tau": "ps.g2_log(pieces(), 1e-7, 1.0, detectors=(0, 1), delay=0.0, method='multitau')",
    "flid": "ps.flid(pieces(), 10e-3)",
    "change_points": "ps.change_points(pieces())",
}
IN_MEMORY = {"change_points": 10**7}  # photons up to which an analysis that holds them all is shown
SCRIPT = """
import re, sys, time
from dataclasses import replace
from pathlib import Path
import photonstats as ps
path, n, call = sys.argv[1], int(sys.argv[2]), sys.argv[3]
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
whole = ps.read(path)
unit = whole.timestamps_unit
length = round(whole.duration / unit)
size = min(1 << 20, n)

def pieces():
    # the recording again and again, each time later by its length
    left, turn = n, 0
    while left > 0:
        for begin in range(0, len(whole), size):
            part = whole[begin : min(begin + size, begin + left, len(whole))]
            end = begin + len(part)
            start = float(whole.timestamps[begin]) * unit if begin else whole.start
            stop = float(whole.timestamps[end]) * unit if end < len(whole) else whole.start + whole.duration
            times = part.timestamps + turn * length
            yield replace(part, timestamps=times, start=start + turn * whole.duration, duration=stop - start)
            left -= len(part)
            if left <= 0:
                return
        turn += 1

full, n, size = (n, size), 60_000, 20_000  # several pieces, so that all that joins them is compiled
eval(call)
(n, size), before, begin = full, peak(), time.perf_counter()
eval(call)
print(time.perf_counter() - begin, peak() - before)
"""


def growth(path: Path, *, smoke: bool) -> list[dict[str, float | str]]:
    """Return seconds and megabytes above the recording of each analysis at each size; kernels are compiled before."""
    rows: list[dict[str, float | str]] = []
    for name, call in CALLS.items():
        sizes = [n for n in (SMOKE_SIZES if smoke else SIZES) if n <= IN_MEMORY.get(name, n)]
        _measured(path, min(sizes[-1], 10**7), call)  # many photons may take another kernel: all are compiled here
        for n in sizes:
            seconds, megabytes = _measured(path, n, call)
            rows.append({"work": name, "photons": n, "seconds": seconds, "megabytes": megabytes})
            print(f"{name:<20} {n:9.0e} photons {seconds:9.4f} s {n / seconds / 1e6:9.3g} M/s {megabytes:7.0f} MB more")
    (OUT / "growth.json").write_text(json.dumps(rows, indent=1) + "\n")
    return rows


def _measured(path: Path, n: int, call: str) -> tuple[float, float]:
    """Return seconds and megabytes of one analysis in a process of its own."""
    command = [sys.executable, "-c", SCRIPT, str(path), str(n), call]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seconds, megabytes = (float(word) for word in out.split())
    return seconds, megabytes
