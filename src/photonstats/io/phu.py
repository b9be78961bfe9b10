"""Read decay curves: PicoQuant histogram files (PHU), or columns of text."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photonstats.curve import Decay
from photonstats.errors import PhotonFileError
from photonstats.io.header import number, read_tags, refuse_pipe

UNITS = {"ps": 1e-12, "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0}
_UNIT = "|".join(UNITS)
_IN_BRACKETS = re.compile(rf"[(\[/]\s*({_UNIT})\s*(?:[)\]]|$|[\s,;])")
_AS_WORD = re.compile(rf"(?<![^\W_])(?<!')({_UNIT})(?![^\W_])")
_COMMENT = ("#", "%", "//", "!", '"', "'")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+([eE][-+]?\d+)?")
_LARGEST_TEXT = 1 << 28
_OTHER_MAGIC = (
    (b"PQTTTR", "a PicoQuant time-tag file (PTU)"),
    (b"\x89HDF", "an HDF5 file"),
    (b"HydraHarp", "an older HydraHarp file"),
    (b"PicoHarp 300", "an older PicoHarp file"),
    (b"TimeHarp 200", "an older TimeHarp file"),
)


def read_decay(
    path: str | os.PathLike[str],
    *,
    curve: int | None = None,
    time_unit: str | float | None = None,
    bin_width: float | None = None,
    period: float | None = None,
) -> Decay:
    r"""Read a decay curve from a PicoQuant histogram file (PHU) or from text.

    Parameters
    ----------
    path : str or path
        A PHU file, or text with times and counts in two columns (or two rows), or counts alone. Columns are separated
        by commas, semicolons, tabs or spaces; lines before the first number, and comments, are header.
    curve : int, optional
        Which curve, from 0; by default the only one that is not empty.
    time_unit : {"ps", "ns", "us", "ms", "s"} or float, optional
        Unit of the times in a text, s if it is a number; by default the one that its header names.
    bin_width : float, optional
        Width of a bin, s, for a text of counts alone; a PHU file has its own.
    period : float, optional
        Laser period, s; by default 1/sync rate of a PHU file, unknown for text.

    Returns
    -------
    Decay
        Counts from the first bin on; where the first time of a text is not 0, it is taken as the origin. Of columns
        that the header names, those whose names begin with "counts" are the curves, such as in the tables that
        `photonstats decay` writes; others may hold anything, and empty cells.

    Raises
    ------
    PhotonFileError
        If the file is damaged or of another kind, it holds several curves and none is chosen, the unit of its times is
        not stated, time steps differ, or counts are negative or fractional.

    Examples
    --------
    >>> import tempfile, pathlib, photonstats as ps
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "decay.csv"
    >>> _ = file.write_text("time (ns), counts\n0.0, 5\n0.5, 3\n1.0, 2\n")
    >>> ps.read_decay(file)
    Decay: 10 photons in 3 bins of 500 ps, unknown period
    """
    name = os.fspath(path)
    refuse_pipe(name)
    with Path(path).open("rb") as file:
        magic = file.read(16)
    if magic.startswith(b"PQHISTO"):
        if bin_width is not None:
            raise PhotonFileError(f"{name}: a histogram file has bins of its own: leave bin_width= out")
        return _read_phu(name, curve, period)
    for start, what in _OTHER_MAGIC:
        if magic.startswith(start):
            raise PhotonFileError(
                f"{name}: byte 0: expected a histogram file (PHU) or columns of text, found {what}. If it holds "
                f"photons, use decay(read(path))",
                offset=0,
            )
    return _read_text(name, curve, time_unit, bin_width, period)


def _read_phu(path: str, curve: int | None, period: float | None) -> Decay:
    data = Path(path).read_bytes()
    with Path(path).open("rb") as file:
        tags = read_tags(file, path, len(data))
        end = file.tell()
    n_curves = number(tags, "HistoResult_NumberOfCurves")
    bits = number(tags, "HistoResult_BitsPerBin")
    if n_curves is None or not 1 <= n_curves <= 4096:
        raise PhotonFileError(f"{path}: header: expected HistoResult_NumberOfCurves of 1 to 4096, found {n_curves}")
    if bits not in {32, None}:
        raise PhotonFileError(f"{path}: header: expected 32 bits per bin (HistoResult_BitsPerBin), found {bits}")
    curves = [_phu_counts(path, tags, i, data, end) for i in range(int(n_curves))]
    which = _choose(path, [int(counts.sum(dtype=np.int64)) for counts in curves], curve)
    resolution = _curve_number(tags, "HistResDscr_MDescResolution", which) or number(tags, "MeasDesc_Resolution")
    if resolution is None or not 0 < resolution < 1:
        raise PhotonFileError(
            f"{path}: header: expected the width of a bin in s (HistResDscr_MDescResolution[{which}] or "
            f"MeasDesc_Resolution), found {resolution}"
        )
    if period is None:
        rate = _curve_number(tags, "HistResDscr_SyncRate", which) or number(tags, "TTResult_SyncRate")
        period = 1 / rate if rate is not None and rate > 0 else None
    stop = _curve_number(tags, "HistResDscr_MDescStopAfter", which)
    duration = stop * 1e-3 if stop is not None and stop > 0 else None
    return Decay(curves[which].astype(np.int64), float(resolution), period, duration)


def _phu_counts(path: str, tags: Mapping[str, Any], i: int, data: bytes, end: int) -> NDArray[np.uint32]:
    n_bins = _curve_number(tags, "HistResDscr_HistogramBins", i)
    offset = _curve_number(tags, "HistResDscr_DataOffset", i)
    if n_bins is None or n_bins < 1 or offset is None or offset < end:
        raise PhotonFileError(
            f"{path}: header (before byte {end}): expected number of bins and data offset of curve {i} "
            f"(HistResDscr_HistogramBins, HistResDscr_DataOffset), found {n_bins} and {offset}",
            offset=end,
        )
    if offset + 4 * n_bins > len(data):
        raise PhotonFileError(
            f"{path}: byte {int(offset)}: expected {int(n_bins)} bins of curve {i}, found the end of the file at byte "
            f"{len(data)}. The file is cut short.",
            offset=int(offset),
        )
    return np.frombuffer(data, "<u4", count=int(n_bins), offset=int(offset))


def _curve_number(tags: Mapping[str, Any], name: str, i: int) -> float | None:
    values = tags.get(name)
    if isinstance(values, list):
        return number({name: values[i]}, name) if i < len(values) else None
    return number(tags, f"{name}[{i}]")


def _choose(path: str, sums: Sequence[float], curve: int | None) -> int:
    """Return the index of the curve to read."""
    listed = ", ".join(f"{i}: {total:g} counts" for i, total in enumerate(sums))
    if curve is not None:
        if not 0 <= curve < len(sums):
            raise PhotonFileError(f"{path}: curve {curve} is not there; curves are {listed}")
        return curve
    filled = [i for i, total in enumerate(sums) if total > 0]
    if len(filled) > 1:
        raise PhotonFileError(
            f"{path}: holds {len(filled)} curves that are not empty ({listed}): choose one with curve="
        )
    return filled[0] if filled else 0


@dataclass(frozen=True)
class _Table:
    """Numbers of a text, their line numbers, the text of its header, and the last decimal place of the times."""

    values: NDArray[np.float64]
    lines: list[int]
    header: str
    quantum: float


def _read_text(
    path: str, curve: int | None, time_unit: str | float | None, bin_width: float | None, period: float | None
) -> Decay:  # fmt: skip
    table = _table(path)
    n_columns = table.values.shape[1]
    if n_columns == 1:
        if bin_width is None:
            raise PhotonFileError(
                f"{path}: holds one column, counts without times: give the width of a bin in seconds as bin_width="
            )
        counts, width, column = table.values[:, 0], bin_width, 0
    else:
        if bin_width is not None:
            raise PhotonFileError(f"{path}: holds times, bin_width= is for counts without times; see time_unit=")
        curves = _curves(table)
        column = curves[_choose(path, [float(np.nansum(table.values[:, c])) for c in curves], curve)]
        table = _without_empty_end(path, table, column)
        counts = table.values[:, column]
        width = _step(path, table) * _time_unit(path, time_unit, table.header)
    bad = np.flatnonzero((counts < 0) | (counts != np.rint(counts)) | (counts > 2**53))
    if bad.size:
        i = int(bad[0])
        raise PhotonFileError(
            f"{path}: line {table.lines[i]}: expected a whole number of counts >= 0, found {counts[i]:g}. A decay is a "
            f"histogram of photons: export it without normalisation and background subtraction"
        )
    return Decay(counts.astype(np.int64), width, period)


def _curves(table: _Table) -> list[int]:
    """Return which columns are curves: those that the header calls counts, else all after the times."""
    n = table.values.shape[1]
    for line in reversed(table.header.splitlines()):
        names = [word.strip(" \t\"'#%").lower() for word in re.split(r"[,;\t]", line)]
        named = [i for i, name in enumerate(names) if i > 0 and name.startswith("counts")]
        if len(names) == n and named:
            return named
    return list(range(1, n))


def _without_empty_end(path: str, table: _Table, column: int) -> _Table:
    """Return the rows up to the last cell of a column: shorter columns of a table end in empty cells."""
    last = np.flatnonzero(np.isfinite(table.values[:, column]))
    if not last.size:
        raise PhotonFileError(f"{path}: column {column + 1} is empty, counts were expected")
    end = int(last[-1]) + 1
    empty = np.argwhere(np.isnan(table.values[:end][:, [0, column]]))
    if empty.size:
        what = ("a time", "counts")[int(empty[0, 1])]
        raise PhotonFileError(f"{path}: line {table.lines[int(empty[0, 0])]}: expected {what}, found an empty cell")
    return _Table(table.values[:end], table.lines[:end], table.header, table.quantum)


def _table(path: str) -> _Table:
    """Return the numbers of a text, with one row for each bin."""
    size = Path(path).stat().st_size
    if size > _LARGEST_TEXT:
        raise PhotonFileError(f"{path}: expected a histogram of up to {_LARGEST_TEXT} bytes of text, found {size}")
    data = Path(path).read_bytes()
    at = data.find(b"\0")
    utf16 = data[:2] in {b"\xff\xfe", b"\xfe\xff"}
    if at >= 0 and not utf16:
        raise PhotonFileError(
            f"{path}: byte {at}: expected a histogram file (PHU) or columns of text, found binary data of an unknown "
            f"kind, beginning with {data[:8]!r}",
            offset=at,
        )
    try:
        text = data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError:  # a micro sign of Windows must not leave a bare "s" behind
        text = data.decode("cp1252", errors="replace")
    header: list[str] = []
    rows: list[list[str]] = []
    lines: list[int] = []
    for i, line in enumerate(text.splitlines(), 1):
        words = _words(line)
        if not any(words) or not all(_NUMBER.fullmatch(word) for word in words if word):
            if not line.strip() or line.lstrip().startswith(_COMMENT) or not rows:
                header.append(line)
                continue
            raise PhotonFileError(f"{path}: line {i}: expected numbers, found {line.strip()[:60]!r}")
        if rows and len(words) > len(rows[0]) and not any(words[len(rows[0]) :]):
            words = words[: len(rows[0])]  # a separator at the end of the line
        if rows and len(words) != len(rows[0]):
            raise PhotonFileError(f"{path}: line {i}: expected {len(rows[0])} numbers as before, found {len(words)}")
        rows.append(words)
        lines.append(i)
    if not rows:
        raise PhotonFileError(f"{path}: expected a histogram file (PHU) or columns of text, found no line of numbers")
    if len(rows) == 2 < len(rows[0]):
        rows, lines = [list(pair) for pair in zip(*rows, strict=True)], [lines[1]] * len(rows[0])
    quantum = max(_quantum(row[0]) for row in rows)
    values = np.array([[word or "nan" for word in row] for row in rows], np.float64)
    filled = ~np.all(np.isnan(values), axis=0)
    last = int(np.flatnonzero(filled)[-1]) + 1  # a separator at the end of every line makes no column
    return _Table(values[:, :last], lines, "\n".join(header), quantum)


def _words(line: str) -> list[str]:
    """Split a line into numbers; where semicolons or tabs separate them, a comma is a decimal point."""
    line = line.strip()
    if re.search(r"[;\t]", line):
        words = [word.strip() for word in re.split(r"[;\t]+", line) if word.strip()]
        if any(_DECIMAL_COMMA.fullmatch(word) for word in words):
            return [word.replace(",", ".") for word in words]
        line = " ".join(words)
    return re.split(r"\s*,\s*|\s+", line) if line else []


def _quantum(word: str) -> float:
    """Return the value of the last digit of a printed number."""
    mantissa, _, exponent = word.lower().partition("e")
    decimals = len(mantissa.partition(".")[2])
    return float(10.0 ** (int(exponent or 0) - decimals))


def _step(path: str, table: _Table) -> float:
    """Return the step of the times, in their own unit."""
    times = table.values[:, 0]
    if times.size < 2:
        raise PhotonFileError(f"{path}: line {table.lines[0]}: expected two bins or more, found one")
    step = float(times[-1] - times[0]) / (times.size - 1)
    off = np.abs(times - times[0] - step * np.arange(times.size))
    rounding = 1.01 * table.quantum if table.quantum < 0.2 * abs(step) else 0.0  # coarser ones could hide a lost bin
    allowed = max(1e-3 * abs(step), rounding)
    if step <= 0 or off.max() > allowed:
        steps = np.diff(times)
        i = int(np.abs(steps - np.median(steps)).argmax()) if step > 0 else int(steps.argmin())
        raise PhotonFileError(
            f"{path}: line {table.lines[i + 1]}: expected times in equal rising steps (of {np.median(steps):g}), found "
            f"{times[i + 1]:g} after {times[i]:g}. A decay has bins of one width: do not merge or skip any"
        )
    return step


def _time_unit(path: str, given: str | float | None, header: str) -> float:
    """Return the unit of the times, s."""
    if isinstance(given, str):
        if given not in UNITS:
            raise ValueError(f"time_unit must be one of {', '.join(UNITS)} or a number of seconds, it is {given!r}")
        return UNITS[given]
    if given is not None:
        if not (math.isfinite(given) and given > 0):
            raise ValueError(f"time_unit must be a positive number of seconds, it is {given}")
        return given
    for pattern in (_IN_BRACKETS, _AS_WORD):
        found = {UNITS[unit] for unit in pattern.findall(header)}
        if len(found) == 1:
            return found.pop()
        if found:
            break
    said = "names several units" if found else "does not name the unit of its times"
    raise PhotonFileError(f'{path}: the header {said}: give it, as time_unit="ns" or time_unit="ps"')
