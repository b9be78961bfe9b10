"""Run the code of the pages and keep what it prints and draws: python docs/make_figures.py [PAGE ...].

The Python blocks of a page run in order in a temporary folder that holds `data_samples`. A block with a `:name:`
leaves `docs/made/<name>.txt`, what it printed, and `docs/made/<name>.png`, the last figure that it drew; the pages
include these. Nothing in `docs/made` is kept in the repository.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
MADE = HERE / "made"
BLOCK = re.compile(r"^```(?:python|\{code-block\} python)\n((?::\w+:[^\n]*\n)*)\n?(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A block of code and its name, empty where it leaves nothing."""

    name: str
    code: str


def pages() -> list[Path]:
    """Return the pages whose code is run."""
    return [HERE / "quickstart.md", *sorted((HERE / "questions").glob("*.md"))]


def blocks(page: Path) -> list[Block]:
    """Return the Python blocks of a page, in order."""
    found = []
    for options, code in BLOCK.findall(page.read_text()):
        name = re.search(r"^:name: (\S+)$", options, re.MULTILINE)
        found.append(Block(name[1] if name else "", code))
    return found


def run(page: Path, made: Path) -> None:
    """Run the blocks of a page in a temporary folder, and write what the named ones print and draw to `made`."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    from photonstats.plots.style import style

    made.mkdir(exist_ok=True)
    names: dict[str, object] = {"__name__": "__page__"}
    back = Path.cwd()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), style():
        warnings.simplefilter("error")
        (Path(folder) / "data_samples").symlink_to(HERE.parent / "data_samples")
        os.chdir(folder)
        try:
            for block in blocks(page):
                printed = io.StringIO()
                with contextlib.redirect_stdout(printed):
                    exec(compile(block.code, f"{page.name}: {block.name}", "exec"), names)  # noqa: S102 - our own pages
                if block.name and printed.getvalue():
                    (made / f"{block.name}.txt").write_text(printed.getvalue())
                if block.name and plt.get_fignums():
                    plt.gcf().savefig(made / f"{block.name}.png", dpi=200, facecolor="white")
                plt.close("all")
        finally:
            os.chdir(back)
            plt.close("all")


def main(wanted: list[str] | None = None) -> None:
    """Run all pages, or those whose names are given."""
    for page in pages():
        if not wanted or page.stem in wanted:
            run(page, MADE)


if __name__ == "__main__":
    main(sys.argv[1:])
