"""Rows of reading: PTU file to arrays, against tttrlib, ptufile and phconvert."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import photonstats as ps
from timing import Row, alternate, installed


def rows(path: Path, photons: int, runs: int) -> list[Row]:
    found = []
    for name, peer, goal in _peers(str(path)):
        found.append(
            alternate("read + decode T3", lambda: ps.read(path), peer, name=name, photons=photons, goal=goal, runs=runs)
        )
    return found or [alternate("read + decode T3", lambda: ps.read(path), photons=photons, runs=runs)]


def _peers(name: str) -> Any:
    if installed("tttrlib"):
        import tttrlib

        def arrays() -> Any:
            data = tttrlib.TTTR(name, "PTU")
            return data.macro_times, data.micro_times, data.routing_channels

        yield "tttrlib, three arrays", arrays, 5.0
        yield "tttrlib, its records", lambda: tttrlib.TTTR(name, "PTU"), None
    if installed("ptufile"):
        import ptufile

        def decoded() -> Any:
            with ptufile.PtuFile(name) as file:
                return file.decode_records()

        def raw() -> Any:
            with ptufile.PtuFile(name) as file:
                return file.read_records()

        yield "ptufile, its records", decoded, 1.5
        yield "ptufile, undecoded", raw, None
    if installed("phconvert"):
        from phconvert import pqreader

        yield "phconvert", lambda: pqreader.load_ptu(name), None
