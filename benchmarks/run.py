"""Time this package and its peers side by side, on the same simulated photons, in one run.

    python benchmarks/run.py             the full file (1.9e7 photons), a few minutes
    python benchmarks/run.py --smoke     a small file, to see that everything runs

Ours and the peer's call alternate; the table gives the median of each and the median, lowest and highest of the ratios
of neighbouring calls (above 1, ours is faster). Both run warm; compilation and import are rows of
their own. Absolute figures depend on the machine, the ratios much less. Peers that are not installed are left out by
name. The table is written to benchmarks/out/ as text, Markdown and JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import photonstats as ps

OUT = Path(__file__).parent / "out"
FULL_SECONDS, SMOKE_SECONDS = 116.0, 2.0


@dataclass
class Row:
    work: str
    ours: str
    peer: str
    photons: int
    ours_s: float
    peer_s: float | None
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None
    goal: float | None

    @property
    def text(self) -> str:
        rate = self.photons / self.ours_s / 1e6 if self.photons else None
        ours = f"{self.ours_s * 1e3:10.1f} ms" + (f" {rate:8.0f} M/s" if rate else " " * 13)
        if self.peer_s is None:
            return f"{self.work:<34} {ours}"
        goal = f"goal {self.goal:g}" if self.goal else ""
        return (
            f"{self.work:<34} {ours}   {self.peer:<24} {self.peer_s * 1e3:9.1f} ms   ratio {self.ratio:7.2f} "
            f"({self.ratio_low:.2f} to {self.ratio_high:.2f})  {goal}"
        )

    @property
    def markdown(self) -> str:
        rate = f"{self.photons / self.ours_s / 1e6:.0f} M photons/s" if self.photons else f"{self.ours_s:.2f} s"
        if self.peer_s is None:
            return f"| {self.work} | {rate} | | |"
        return (
            f"| {self.work} | {rate} | {self.peer} | {self.ratio:.1f} ({self.ratio_low:.1f} to {self.ratio_high:.1f}) |"
        )


def alternate(
    work: str,
    ours: Callable[[], Any],
    peer: Callable[[], Any] | None,
    *,
    name: str = "",
    photons: int = 0,
    goal: float | None = None,
    runs: int = 7,
) -> Row:
    """Time two calls in turn after one warm call of each."""
    times: dict[str, list[float]] = {"ours": [], "peer": []}
    calls = {"ours": ours} | ({"peer": peer} if peer else {})
    for call in calls.values():
        call()
    for _ in range(runs):
        for who, call in calls.items():
            begin = time.perf_counter()
            result = call()
            times[who].append(time.perf_counter() - begin)
            del result
    ratios = [p / o for o, p in zip(times["ours"], times["peer"], strict=False)]
    median = statistics.median
    row = Row(
        work,
        "photonstats",
        name,
        photons,
        median(times["ours"]),
        median(times["peer"]) if peer else None,
        median(ratios) if ratios else None,
        min(ratios, default=None),
        max(ratios, default=None),
        goal,
    )
    print(row.text, flush=True)
    return row


def make_file(seconds: float) -> tuple[Path, int]:
    """Write the common file: 5 MHz, two detectors, about 166 kcps, one blinking dot."""
    OUT.mkdir(exist_ok=True)
    path = OUT / f"dot_{seconds:g}s.ptu"
    if not path.exists():
        emitter = ps.simulate.Emitter(
            lifetime=20e-9,
            blinking=ps.simulate.Blinking(
                levels=(ps.simulate.Level(1.0, 20e-9), ps.simulate.Level(0.1, 2e-9)),
                dwells=(ps.simulate.Exponential(0.5), ps.simulate.Exponential(0.1)),
            ),
        )
        photons, _ = ps.simulate.pulsed(
            [emitter],
            duration=seconds,
            laser_period=200e-9,
            excitation=0.1,
            rate=200e3,
            background=300.0,
            tcspc_unit=64e-12,
            seed=1,
        )
        ps.write_ptu(photons, path)
    return path, len(ps.read(path))


def reading(path: Path, photons: int, runs: int) -> list[Row]:
    rows = []
    name = str(path)
    if find_spec("tttrlib"):
        import tttrlib

        def arrays() -> Any:
            data = tttrlib.TTTR(name, "PTU")
            return data.macro_times, data.micro_times, data.routing_channels

        rows += [
            alternate(
                "read + decode T3",
                lambda: ps.read(path),
                arrays,
                name="tttrlib, three arrays",
                photons=photons,
                goal=5.0,
                runs=runs,
            ),
            alternate(
                "read + decode T3",
                lambda: ps.read(path),
                lambda: tttrlib.TTTR(name, "PTU"),
                name="tttrlib, its records",
                photons=photons,
                runs=runs,
            ),
        ]
    if find_spec("ptufile"):
        import ptufile

        def raw() -> Any:
            with ptufile.PtuFile(name) as file:
                return file.read_records()

        def decoded() -> Any:
            with ptufile.PtuFile(name) as file:
                return file.decode_records()

        rows += [
            alternate(
                "read + decode T3",
                lambda: ps.read(path),
                decoded,
                name="ptufile, its records",
                photons=photons,
                goal=1.5,
                runs=runs,
            ),
            alternate(
                "read + decode T3", lambda: ps.read(path), raw, name="ptufile, undecoded", photons=photons, runs=runs
            ),
        ]
    if find_spec("phconvert"):
        from phconvert import pqreader

        rows.append(
            alternate(
                "read + decode T3",
                lambda: ps.read(path),
                lambda: pqreader.load_ptu(name),
                name="phconvert",
                photons=photons,
                runs=runs,
            )
        )
    return rows


def pulsed_g2(path: Path, runs: int) -> list[Row]:
    stream = ps.read(path)
    if not find_spec("pycorrelate"):
        return []
    import pycorrelate

    ticks = round(stream.laser_period / stream.tcspc_unit)
    times = stream.timestamps * ticks + stream.nanotimes
    a, b = (times[stream.detectors == d] for d in (0, 1))
    edges = (np.arange(-10, 12) - 0.5) * ticks
    rows = []
    for what, delay in (("pulsed g2, +-10 pulses", 0.0), ("pulsed g2, delay found", "auto")):
        rows.append(
            alternate(
                what,
                lambda delay=delay: ps.g2_pulsed(stream, 10, detectors=(0, 1), delay=delay),
                lambda: pycorrelate.pcorrelate(a, b, edges, normalize=False),
                name="pycorrelate, arrays given",
                photons=len(stream),
                goal=6.0,
                runs=runs,
            )
        )
    return rows


def traces(path: Path, runs: int) -> list[Row]:
    stream = ps.read(path)
    seconds = stream.timestamps * stream.timestamps_unit
    n_bins = int(stream.duration / 10e-3)
    rows = [
        alternate(
            "trace, 10 ms",
            lambda: ps.intensity_trace(stream, 10e-3),
            lambda: np.histogram(seconds, bins=n_bins, range=(0, n_bins * 10e-3)),
            name="numpy.histogram",
            photons=len(stream),
            runs=runs,
        )
    ]
    if find_spec("tttrlib"):
        import tttrlib

        theirs = tttrlib.TTTR(str(path), "PTU")
        rows.append(
            alternate(
                "trace, 10 ms",
                lambda: ps.intensity_trace(stream, 10e-3),
                lambda: theirs.get_intensity_trace(10e-3),
                name="tttrlib",
                photons=len(stream),
                runs=runs,
            )
        )
    rows += [
        alternate(
            "trace, 10 ms, one detector",
            lambda: ps.intensity_trace(stream, 10e-3, 0),
            None,
            photons=len(stream),
            runs=runs,
        ),
        alternate("decay histogram", lambda: ps.decay(stream), None, photons=len(stream), runs=runs),
    ]
    return rows


def simulation(photons: int, runs: int) -> list[Row]:
    """Time the simulator: one blinking-free emitter with background, as many photons as in the file."""
    emitter = ps.simulate.Emitter(lifetime=20e-9)
    seconds = photons / 166e3

    def simulate() -> Any:
        return ps.simulate.pulsed([emitter], duration=seconds, rate=166e3, background=300.0, seed=1)

    return [alternate("simulate pulsed light", simulate, None, photons=photons, runs=max(1, runs // 3))]


def processes(path: Path, runs: int) -> list[Row]:
    """Time whole processes: import, and the main job on the sample with and without compiled kernels."""
    sample = Path(__file__).parents[1] / "data_samples" / "blinking_dot.ptu"
    cache = OUT / "numba_cache"

    def run(*args: str, **environment: str) -> Callable[[], None]:
        return lambda: (
            subprocess.run([sys.executable, *args], check=True, capture_output=True, env=os.environ | environment)
            and None
        )

    def cold() -> None:
        subprocess.run(["rm", "-rf", str(cache)], check=True)
        run("-m", "photonstats", "analyze", str(sample), "-q", "-o", str(OUT / "report"), NUMBA_CACHE_DIR=str(cache))()

    warm = run("-m", "photonstats", "analyze", str(sample), "-q", "-o", str(OUT / "report"), NUMBA_CACHE_DIR=str(cache))
    few = max(1, runs // 3)
    rows = [alternate("process: import photonstats", run("-c", "import photonstats"), None, runs=runs)]
    rows.append(alternate("process: analyze sample, compiling", cold, None, runs=few))
    rows.append(alternate("process: analyze sample, warm", warm, None, runs=runs))
    large = run("-m", "photonstats", "analyze", str(path), "-q", "-o", str(OUT / "report"), NUMBA_CACHE_DIR=str(cache))
    rows.append(alternate("process: analyze this file, warm", large, None, runs=few))
    return rows


def memory(path: Path, photons: int) -> dict[str, float]:
    """Return peak memory above the import, MB, of reading at once and of walking in pieces."""
    code = """
import re, sys, photonstats as ps
from pathlib import Path
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
small, path, how = sys.argv[1:]
ps.read(small); ps.intensity_trace(ps.scan(small))
before = peak()
if how == "read": photons = ps.read(path)
else: ps.intensity_trace(ps.scan(path))
print(peak() - before)
"""
    sample = Path(__file__).parents[1] / "data_samples" / "blinking_dot.ptu"
    found = {"arrays": photons * 11 / 2**20}
    for how in ("read", "scan"):
        out = subprocess.run(
            [sys.executable, "-c", code, str(sample), str(path), how], check=True, capture_output=True, text=True
        )
        found[how] = float(out.stdout)
    print(
        f"\npeak memory above import: read {found['read']:.0f} MB (of it arrays {found['arrays']:.0f} MB), "
        f"scan {found['scan']:.0f} MB"
    )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="small file, few runs")
    parser.add_argument("--runs", type=int, default=None)
    options = parser.parse_args()
    runs = options.runs or (2 if options.smoke else 7)
    path, photons = make_file(SMOKE_SECONDS if options.smoke else FULL_SECONDS)
    peers = ("tttrlib", "ptufile", "phconvert", "pycorrelate")
    there = {p: metadata.version(p) for p in peers if find_spec(p)}
    about = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, numpy {np.__version__}"
    print(f"{photons} photons; {about}\npeers: {there}; not installed: {sorted(set(peers) - set(there))}\n")
    rows = [*reading(path, photons, runs), *pulsed_g2(path, runs), *traces(path, runs)]
    rows += [*simulation(min(photons, 10_000_000), runs), *processes(path, runs)]
    found = {
        "about": about,
        "photons": photons,
        "peers": there,
        "rows": [asdict(r) for r in rows],
        "memory": memory(path, photons),
    }
    (OUT / "benchmarks.json").write_text(json.dumps(found, indent=1) + "\n")
    (OUT / "benchmarks.txt").write_text("\n".join(r.text for r in rows) + "\n")
    head = "| work | photonstats | peer | peer's time over ours |\n|---|---|---|---|\n"
    (OUT / "benchmarks.md").write_text(head + "\n".join(r.markdown for r in rows) + "\n")


if __name__ == "__main__":
    main()
