"""`photonstats versions`: what a bug report needs to say of the machine and of what is installed."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from re import split


def versions() -> None:
    """Print the versions of Python, the package and what it rests on, for a bug report."""
    import typer

    lines = [("photonstats", _version("photonstats")), ("Python", f"{platform.python_version()} ({sys.executable})")]
    lines += [(name, _version(name)) for name in _required()]
    lines += [("machine", f"{platform.platform()}, {os.cpu_count()} processors")]
    cache = os.environ.get("NUMBA_CACHE_DIR")
    lines += [("NUMBA_CACHE_DIR", cache)] if cache else []
    width = max(len(name) for name, _ in lines)
    typer.echo("\n".join(f"{name:<{width}}  {text}" for name, text in lines))


def _required() -> list[str]:
    """Return the names of the packages that an installation needs, without those of its extras."""
    listed = metadata.requires("photonstats") or []
    return sorted(split(r"[^A-Za-z0-9_.-]", each, maxsplit=1)[0] for each in listed if "extra ==" not in each)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
