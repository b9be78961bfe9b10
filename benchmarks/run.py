"""Time this package and its peers side by side, on the same simulated photons, in one run.

    python benchmarks/run.py                      the full file (2e7 photons), some minutes
    python benchmarks/run.py --smoke              a small file, to see that everything runs
    python benchmarks/run.py --only correlation   one group of rows

Groups, each a file beside this one: reading, traces, correlation, emitters, lifetimes, segments, changes, flid,
dwells, processes. light.py makes the photons, timing.py times and formats a row, growth.py runs one analysis at
1e5 to 1e8 photons, figure.py draws ratios.png and growth.png.

Ours and the peer's call alternate (short calls many times in a row); the table gives the median of each and the median,
lowest and highest of the ratios of neighbouring calls (above 1, ours is faster). Both run warm; compilation and import
are rows of their own. Absolute figures depend on the machine, the ratios much less. Peers that are not installed are
left out by name. The table is written to benchmarks/out/ as text, Markdown and JSON, with the two pictures.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from dataclasses import asdict
from importlib import metadata

import numpy as np

import changes
import correlation
import dwells
import emitters
import figure
import flid
import growth
import lifetimes
import photonstats as ps
import processes
import reading
import segments
import traces
from light import OUT, t3_file
from timing import installed

FULL_SECONDS, SMOKE_SECONDS = 116.0, 2.0
PEERS = ("tttrlib", "ptufile", "phconvert", "pycorrelate", "trattoria", "flimlib", "ruptures", "powerlaw")
GROUPS = {
    "reading": reading.rows,
    "traces": traces.rows,
    "correlation": correlation.rows,
    "emitters": emitters.rows,
    "lifetimes": lifetimes.rows,
    "segments": segments.rows,
    "changes": changes.rows,
    "flid": flid.rows,
    "dwells": dwells.rows,
    "processes": processes.rows,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="small file, few runs")
    parser.add_argument("--runs", type=int, default=None, help="pairs of calls for each row")
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=list(GROUPS), help="groups of rows")
    options = parser.parse_args()
    runs = options.runs or (2 if options.smoke else 7)
    path = t3_file(SMOKE_SECONDS if options.smoke else FULL_SECONDS)
    photons = len(ps.read(path))
    there = {p: metadata.version(p) for p in PEERS if installed(p)}
    about = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, numpy {np.__version__}"
    print(f"{photons} photons; {about}\npeers: {there}; not installed: {sorted(set(PEERS) - set(there))}\n")
    rows = [row for group in options.only for row in GROUPS[group](path, photons, runs)]
    found = {"about": about, "photons": photons, "peers": there, "rows": [asdict(row) for row in rows]}
    if "processes" in options.only:
        found["memory"] = processes.memory(path, photons)
        found["growth"] = growth.growth(path, smoke=options.smoke)
        figure.draw_growth(found["growth"])
    figure.draw_ratios(rows)
    (OUT / "benchmarks.json").write_text(json.dumps(found, indent=1) + "\n")
    (OUT / "benchmarks.txt").write_text("\n".join(r.text for r in rows) + "\n")
    head = "| work | photonstats | peer | peer's time over ours |\n|---|---|---|---|\n"
    (OUT / "benchmarks.md").write_text(head + "\n".join(r.markdown for r in rows) + "\n")


if __name__ == "__main__":
    main()
