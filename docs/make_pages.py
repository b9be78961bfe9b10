"""Write `command_line.md` and `results.md` from the package itself: python docs/make_pages.py.

The first is what `photonstats COMMAND --help` prints, the second comes from the JSON schema of results.json. Neither
is kept in the repository.
"""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SOURCES = {  # a part of the schema without an entry is an error: say where it comes from
    "schema": "Name and version of this layout",
    "version": "Version of photonstats that wrote the file",
    "source": "The file that was analysed; null for photons in memory",
    "settings": "Arguments of [`analyze`](generated/photonstats.analyze), those that were not given too",
    "stream": "The recording, as [`read`](generated/photonstats.read) sees it",
    "background": "From [`estimate_background`](generated/photonstats.estimate_background), or as given",
    "g2": "From [`g2_pulsed`](generated/photonstats.g2_pulsed), or [`g2`](generated/photonstats.g2) and its fit",
    "emitters": "From [`estimate_emitters`](generated/photonstats.estimate_emitters)",
    "decay": "From [`fit_decay`](generated/photonstats.fit_decay)",
    "segments": (
        "From [`change_points`](generated/photonstats.change_points) and [`levels`](generated/photonstats.levels)"
    ),
    "flid": "From [`flid`](generated/photonstats.flid)",
    "flickering": "From [`flickering`](generated/photonstats.flickering)",
    "blinking": "From [`dwell_times`](generated/photonstats.dwell_times), the laws of its dwells and their statistics",
    "psd": "From [`psd`](generated/photonstats.psd) and its fit",
    "type": "From [`classify_blinking`](generated/photonstats.classify_blinking)",
    "notes": "Why a part is null or doubtful, under the name of the part",
}


def plain(text: str | None) -> str:
    """Return a text that fits a cell of a Markdown table."""
    words = re.sub(r"\s+", " ", re.sub(r"\[/?[a-z ]+\]", "", text or "")).strip()
    return words.replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;")


def help_of(*command: str) -> str:
    """Return the text of --help without its frames."""
    from typer.testing import CliRunner

    from photonstats.cli.commands import app

    size = {"COLUMNS": "92", "TERMINAL_WIDTH": "92", "NO_COLOR": "1", "TERM": "dumb"}
    text = CliRunner().invoke(app, [*command, "--help"], env=size, prog_name="photonstats").stdout
    lines = [re.sub(r"^╭─ (\w+) ─*╮$", r"\1:", line.strip()).strip("│") for line in text.splitlines()]
    lines = [line.rstrip() for line in lines if not line.startswith("╰")]
    return "\n".join(lines).strip("\n")


def command_line() -> str:
    """Return the page of the command line."""
    text = help_of()
    names = re.findall(r"^ {1,2}(\w+)  ", text.partition("Commands:")[2], re.MULTILINE)
    lines = ["# Command line", "", "This page is what `--help` prints.", "", "```text", text, "```"]
    for name in names:
        lines += ["", f"## {name}", "", "```text", help_of(name), "```"]
    return "\n".join([*lines, "", "Exit codes: 0 done, 2 wrong usage, 3 the file cannot be read.", ""])


def kind_of(part: dict[str, Any]) -> str:
    """Return the JSON type of a part of the schema in words."""
    if "const" in part:
        return f"`{json.dumps(part['const'])}`"
    if "enum" in part:
        return ", ".join(f"`{json.dumps(each)}`" for each in part["enum"])
    if "anyOf" in part:
        return " or ".join(kind_of(each) for each in part["anyOf"])
    kinds = part.get("type", "any")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    words = [f"array of {kind_of(part['items'])}" if k == "array" and "items" in part else k for k in kinds]
    return " or ".join(words)


def rows_of(name: str, part: dict[str, Any], required: bool) -> list[str]:
    """Return the table rows of a key and of what lies in it."""
    rows = [f"| `{name}` | {kind_of(part)} | {'yes' if required else ''} |"]
    inner = part.get("items", {}) if "items" in part and "properties" in part["items"] else part
    deeper = f"{name}[]" if inner is not part else name
    for key, each in inner.get("properties", {}).items():
        rows += rows_of(f"{deeper}.{key}", each, key in inner.get("required", ()))
    return rows


def results() -> str:
    """Return the page of the keys of results.json."""
    schema = json.loads((files("photonstats") / "schema" / "results.schema.json").read_text())
    lines = ["# results.json", "", plain(schema["description"]), ""]
    lines += ["This page is made from `photonstats/schema/results.schema.json`, which every results.json obeys."]
    for key, part in schema["properties"].items():
        lines += ["", f"## {key}", "", f"{SOURCES[key]}.", "", "| key | JSON type | always there |", "|---|---|---|"]
        lines += rows_of(key, part, key in schema["required"])
    return "\n".join([*lines, ""])


def main() -> None:
    """Write both pages."""
    (HERE / "command_line.md").write_text(command_line())
    (HERE / "results.md").write_text(results())


if __name__ == "__main__":
    main()
