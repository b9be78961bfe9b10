"""Measure coverage, false positives and power of the package on light of known truth, and write docs/validation.md.

    python studies/validation.py             ten to twenty minutes on two cores; writes docs/validation.md
    python studies/validation.py --quick     few sets, a minute or two; prints the page and writes nothing
    python studies/validation.py --minutes 5 as many sets as five minutes suffice for, and their page

`--out FILE` writes elsewhere, `--only WORDS` takes the rows that hold these words, `--seed` draws other sets.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from scipy import stats

sys.path.insert(0, str(Path(__file__).parent))
from validation_cases import CASES, NO_GOAL, draw

OUT = Path(__file__).parents[1] / "docs" / "validation.md"
CHUNKS = 20  # parts of a case that are drawn apart, so that two cores share the work

HEAD = """# Validation

What the package says, held against light of known truth. Each row is a set of simulations that are drawn by numpy
alone (`studies/validation_light.py`), not by the models under test; the settings are in `studies/validation_cases.py`.
Goals were written before the figures: coverage of 95 % intervals between 93 and 97 %, or at least 93 % where a
docstring promises "at least"; false positives at most 5 %; power and right choices at least 80 %, or what a docstring
promises. Rows without a goal measure what the pages name as a failure.
Goals of the groups on rejected fits, background, p-values and rates of levels, and of segments of 2 photons, are the
same bounds (10 % for the p-values), but were set after a first look at the figures.

This page is made by `{command}`: seed {seed}, {minutes} in {workers} processes, photonstats {version}.
The last column is yes where the 95 % interval (Clopper and Pearson) of the figure touches the goal, else **no**. Sets
without an answer (a trace in which no change is found, or several, has no interval to compare; a probability below
0.95, or a type that is undetermined, is not asked whether it is wrong) are counted and left out of the share.

"""
TABLE = "| setting | sets | no answer | figure | its 95 % interval | goal | reached |\n|---|---|---|---|---|---|---|\n"


@dataclass(frozen=True)
class Row:
    """Figure of one case."""

    group: str
    setting: str
    asked: int
    answered: int
    hits: int
    goal: tuple[float, float]

    @property
    def interval(self) -> tuple[float, float]:
        """Exact binomial interval, 95 %."""
        found = stats.binomtest(self.hits, self.answered).proportion_ci() if self.answered else (0.0, 1.0)
        return float(found[0]), float(found[1])

    @property
    def reached(self) -> bool:
        """Whether there are answers and the interval touches the goal."""
        low, high = self.interval
        return self.answered > 0 and low <= self.goal[1] and high >= self.goal[0]

    @property
    def inside(self) -> bool:
        """Whether the figure itself lies within the goal."""
        return self.answered > 0 and self.goal[0] <= self.hits / self.answered <= self.goal[1]

    def line(self) -> str:
        low, high = self.interval
        share = f"{100 * self.hits / self.answered:.1f} %" if self.answered else "–"
        a, b = (100 * end for end in self.goal)
        goal = f"≤ {b:g} %" if a == 0 else f"≥ {a:g} %" if b == 100 else f"{a:g} to {b:g} %"
        reached = "yes" if self.reached else "**no**"
        if self.goal == NO_GOAL:
            goal, reached = "–", "–"
        interval = f"{100 * low:.1f} to {100 * high:.1f} %"
        silent = self.asked - self.answered
        return f"| {self.setting} | {self.asked} | {silent} | {share} | {interval} | {goal} | {reached} |"


def measure(indices: list[int], *, quick: bool, seed: int, workers: int, limit: float) -> list[Row]:
    """Draw all sets of the cases in processes, a chunk of each case in turn, until `limit` seconds are over."""
    chunks = 2 if quick else CHUNKS
    sizes = {i: CASES[i].quick if quick else CASES[i].n for i in indices}
    tasks = [(i, chunk, sizes[i] // chunks + (chunk < sizes[i] % chunks)) for chunk in range(chunks) for i in indices]
    answers: dict[int, list[bool | None]] = {index: [] for index in indices}
    pool = ProcessPoolExecutor(workers)
    waiting = {pool.submit(draw, *task, seed): task[0] for task in tasks}
    try:
        for i, each in enumerate(as_completed(waiting, limit if limit < math.inf else None)):
            answers[waiting[each]] += each.result()
            print(f"\r{i + 1} of {len(tasks)} parts", end="", file=sys.stderr, flush=True)
    except TimeoutError:
        print("\ntime is up: the parts that are under way are the last", file=sys.stderr)
    pool.shutdown(cancel_futures=True)
    rows = []
    for index in indices:
        case, given = CASES[index], [a for a in answers[index] if a is not None]
        rows.append(Row(case.group, case.setting, len(answers[index]), len(given), sum(given), case.goal))
    return rows


def page(rows: list[Row], *, command: str, seed: int, seconds: float, workers: int) -> str:
    """Return the page in Markdown."""
    minutes = f"{seconds / 60:.0f} minutes" if seconds > 90 else f"{seconds:.0f} s"
    text = HEAD.format(command=command, seed=seed, minutes=minutes, workers=workers, version=version("photonstats"))
    promised = [row for row in rows if row.goal != NO_GOAL]
    near = sum(row.reached and not row.inside for row in promised)
    text += (
        f"{sum(row.reached for row in promised)} of {len(promised)} rows with a goal reach it; of {near} of them the "
        "figure itself lies outside and its interval touches.\n"
    )
    place = {name: i for i, name in enumerate(dict.fromkeys(row.group for row in rows))}
    group = ""
    for row in sorted(rows, key=lambda row: place[row.group]):
        if row.group != group:
            group = row.group
            text += f"\n## {group}\n\n{TABLE}"
        text += row.line() + "\n"
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    wanted = [i for i, case in enumerate(CASES) if given.only in f"{case.group}: {case.setting}"]
    if not wanted:
        parser.error(f"--only {given.only!r}: no row holds these words")
    start = time.perf_counter()
    rows = measure(wanted, quick=given.quick, seed=given.seed, workers=given.workers, limit=60 * given.minutes)
    seconds = time.perf_counter() - start
    command = "python studies/validation.py" + " --quick" * given.quick
    command += f" --minutes {given.minutes:g}" if given.minutes < math.inf else ""
    text = page(rows, command=command, seed=given.seed, seconds=seconds, workers=given.workers)
    out = given.out or (None if given.quick or given.only else OUT)
    if out is None:
        print(text)
    else:
        out.write_text(text)
    print(f"{seconds:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
