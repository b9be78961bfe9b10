"""Count the levels of the same simulated dots by a published toolbox and by this package; write a page.

    python studies/levels_beside_toolbox.py FOLDER              some minutes; writes docs/levels_beside_toolbox.md
    python studies/levels_beside_toolbox.py FOLDER --dots 10    fewer dots

FOLDER is `Scripts_process_data` of a checkout of github.com/AMOLFResonantNanophotonics/CPA, the program of Palstra and
Koenderink, J. Phys. Chem. C 125, 12050 (2021). It needs pandas. Its code is called where it is, not kept here.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import warnings
from pathlib import Path
from types import ModuleType

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from validation_light import levels_dot

import photonstats as ps

OUT = Path(__file__).parents[1] / "docs" / "levels_beside_toolbox.md"
SEED, SKEPTICISM, MOST = 1, 8, 12  # the skepticism is that of the toolbox's settings for simulated dots
BUDGETS, LEVELS = (3e4, 2e5, 1e6), range(1, 7)
TOP = """# Numbers of levels, beside the toolbox of Palstra and Koenderink

[J. Phys. Chem. C 125, 12050 (2021)](https://doi.org/10.1021/acs.jpcc.1c01670) asks of simulated dots whether change
points and clustering find the number of levels, and comes with a program. Here that program (change points with
skepticism {skepticism}, then the number of groups where its criterion is highest) and this package see the same
photons: {dots} dots for each number m of levels, at 1/m, 2/m ... of 20 kcps, any other level next, dwell times of a
power law of exponent 1.5 from 10 ms to 10 s. A dot of few photons may not visit all of its levels: counted is whether
the number of those visited is found. Figures of the paper itself are not copied.

This page is made by `python studies/levels_beside_toolbox.py FOLDER` (seed {seed}), FOLDER being
`Scripts_process_data` of a checkout of github.com/AMOLFResonantNanophotonics/CPA.

| photons | levels | toolbox: right | too many | too few | photonstats: right | too many | too few |
|---|---|---|---|---|---|---|---|
"""


def toolbox(folder: Path) -> tuple[ModuleType, ModuleType]:
    """Return its modules of change points and of grouping."""
    sys.path.insert(0, str(folder))
    try:
        import CPA_functions
        import grouping_functions
    except ImportError as error:
        raise SystemExit(f"{folder}: {error}; give Scripts_process_data of a checkout, and install pandas") from error
    return CPA_functions, grouping_functions


def levels_of_toolbox(modules: tuple[ModuleType, ModuleType], photons: ps.PhotonStream) -> int:
    """Return the number of groups with the highest criterion."""
    changes, grouping = modules
    ticks = photons.timestamps
    found, _ = changes.FindMultipleJumps(ticks, SKEPTICISM, False)
    inner = [] if found[0] == -1 else np.unique(found)
    places = np.concatenate([[0], inner, [ticks.size]]).astype(np.int64)
    times = np.concatenate([[0], ticks[places[1:-1]], ticks[-1:]]) * photons.timestamps_unit
    counts, seconds = np.diff(places).astype(np.float64), np.diff(times)
    kept = seconds > 0
    table, *_ = grouping.Grouping(seconds[kept], counts[kept], 1, min(MOST, int(kept.sum())))
    criterion = np.nan_to_num(np.asarray(table["Schw0"]), nan=-np.inf)
    return int(np.asarray(table["mlst"])[np.argmax(criterion)])


def row(modules: tuple[ModuleType, ModuleType], photons: float, m: int, dots: int, seed: int) -> str:
    """Return one line of the table."""
    away: list[tuple[int, int]] = []
    for i in range(dots):
        light, seen = levels_dot(np.random.default_rng([seed, int(photons), m, i]), m, photons)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")  # of the toolbox: logarithms of empty groups
            theirs = levels_of_toolbox(modules, light)
        away.append((theirs - seen, ps.levels(ps.change_points(light)).n - seen))
    cells = [f"{100 * np.mean(kind):.0f} %" for off in np.array(away).T for kind in (off == 0, off > 0, off < 0)]
    return f"| {photons:.0e} | {m} | {' | '.join(cells)} |\n".replace("e+0", "e")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--dots", type=int, default=60)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--out", type=Path, default=OUT)
    asked = parser.parse_args()
    modules = toolbox(asked.folder)
    text = TOP.format(skepticism=SKEPTICISM, dots=asked.dots, seed=asked.seed)
    for photons in BUDGETS:
        for m in LEVELS:
            text += row(modules, photons, m, asked.dots, asked.seed)
            print(text.splitlines()[-1], flush=True)
    asked.out.write_text(text)


if __name__ == "__main__":
    main()
