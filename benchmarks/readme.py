"""Put the table of the last full run, benchmarks/out/benchmarks.md, between its marks in README.md.

python benchmarks/run.py && python benchmarks/readme.py
"""

from __future__ import annotations

import json
from pathlib import Path

from light import OUT

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- benchmark table -->\n", "<!-- end of the table -->\n"


def main() -> None:
    found = json.loads((OUT / "benchmarks.json").read_text())
    if "growth" not in found or found["photons"] < 10**7:
        raise SystemExit("the last run was not a full one: python benchmarks/run.py")
    peers = ", ".join(f"{name} {version}" for name, version in found["peers"].items())
    memory = found["memory"]
    about = (
        f"{found['photons']:.3g} photons, {found['about']}; {peers}. Peak memory above the import: "
        f"{memory['read']:.0f} MB to read all ({memory['arrays']:.0f} MB of it the arrays), {memory['scan']:.0f} MB "
        f"for a trace and {memory['g2']:.0f} MB for g2 over `scan`.\n"
    )
    text = README.read_text()
    head, rest = text.split(BEGIN)
    tail = rest.split(END)[1]
    README.write_text(f"{head}{BEGIN}\n{about}\n{(OUT / 'benchmarks.md').read_text()}\n{END}{tail}")


if __name__ == "__main__":
    main()
