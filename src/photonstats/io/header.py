"""Read headers of PicoQuant files without trusting a word of them: every length is checked against the file."""

from __future__ import annotations

import datetime as dt
import math
import stat
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from photonstats.errors import PhotonFileError
from photonstats.io.formats import TagType

_TAG = struct.Struct("<32siI8s")
_LONGEST = 2**24  # bytes of one string, array or blob in a header; real ones stay below 1e5
_MOST_TAGS = 100_000
_EPOCH = dt.datetime(1899, 12, 30, tzinfo=dt.UTC)


def damaged(path: str, offset: int, expected: str, found: str, advice: str = "") -> PhotonFileError:
    """Return the error for a file that stops making sense at byte `offset`."""
    message = f"{path}: byte {offset}: expected {expected}, found {found}."
    return PhotonFileError(f"{message} {advice}".rstrip(), offset=offset)


def refuse_pipe(path: str) -> None:
    """Refuse a named pipe: opening one would wait for a writer."""
    if stat.S_ISFIFO(Path(path).stat().st_mode):
        raise PhotonFileError(f"{path}: this is a pipe, a file was expected")


def take(file: BinaryIO, path: str, size: int, what: str) -> bytes:
    """Read exactly `size` bytes of the header, or say where the file ends."""
    offset = file.tell()
    data = file.read(size)
    if len(data) < size:
        raise damaged(
            path, offset, f"{size} bytes of {what}", f"the end of the file after {len(data)}",
            "The header is cut short; the file is incomplete.",
        )  # fmt: skip
    return data


def text(raw: bytes) -> str:
    """Return a string padded with NULs or spaces, in the encoding of the Windows programs that wrote it."""
    return raw.split(b"\0", 1)[0].decode("cp1252", errors="replace").strip()


def number(tags: Mapping[str, Any], name: str) -> float | None:
    """Return a finite number of a header, or None where the entry is absent or no finite number."""
    value = tags.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value


def read_tags(file: BinaryIO, path: str, file_size: int) -> dict[str, Any]:
    """Read the tags of a unified (PTU, PHU) header; the file is left at the first byte after it.

    Parameters
    ----------
    file : binary file
        At byte 0.
    path : str
        Name for messages.
    file_size : int
        Bytes in the file.

    Returns
    -------
    dict
        Values by name. Entries with an index 0, 1, 2, ... are a list under their bare name; entries whose indices have
        gaps stay apart as "Name[3]". Dates are ISO strings (UTC is not implied); a blob is bytes.

    Raises
    ------
    PhotonFileError
        If the header is cut short, or an entry cannot be one.

    Notes
    -----
    Unknown types are kept: those whose low word is 0xFFFF carry `value` bytes after the entry, as all such types do.
    """
    take(file, path, 16, "the signature")
    plain: dict[str, Any] = {}
    indexed: dict[str, dict[int, Any]] = {}
    for _ in range(_MOST_TAGS):
        offset = file.tell()
        raw_name, index, kind, raw = _TAG.unpack(take(file, path, _TAG.size, "a header entry"))
        name = text(raw_name)
        if not name or not name.isprintable():
            raise damaged(path, offset, "the name of a header entry", repr(raw_name[:16]), "The header is damaged.")
        if name == "Header_End":
            break
        value = _value(file, path, file_size, kind, raw)
        if index < 0:
            plain[name] = value
        else:
            indexed.setdefault(name, {})[index] = value
    else:
        raise damaged(path, file.tell(), "the entry Header_End", f"more than {_MOST_TAGS} header entries")
    for name, values in indexed.items():
        if set(values) == set(range(len(values))):
            plain[name] = [values[i] for i in range(len(values))]
        else:
            plain.update({f"{name}[{i}]": values[i] for i in sorted(values)})
    return plain


def _value(file: BinaryIO, path: str, file_size: int, kind: int, raw: bytes) -> Any:
    """Return the value of an entry: eight bytes in it, or as many after it as they say."""
    integer = int.from_bytes(raw, "little", signed=True)
    if kind & 0xFFFF == 0xFFFF:
        return _long_value(take_long(file, path, file_size, integer), kind)
    if kind == TagType.Bool8:
        return integer != 0
    if kind in (TagType.Float8, TagType.TDateTime):
        (real,) = struct.unpack("<d", raw)
        return _date(real) if kind == TagType.TDateTime else real
    if kind == TagType.Empty8:
        return None
    if kind in (TagType.BitSet64, TagType.Color8):
        return int.from_bytes(raw, "little")
    return integer


def take_long(file: BinaryIO, path: str, file_size: int, length: int) -> bytes:
    """Read `length` bytes that a header announces, if the file can hold them."""
    offset = file.tell()
    if not 0 <= length <= min(file_size - offset, _LONGEST):
        raise damaged(
            path, offset - 8, f"a length of 0 to {min(file_size - offset, _LONGEST)} bytes", str(length),
            "The header is damaged or cut short.",
        )  # fmt: skip
    return take(file, path, length, "a header entry")


def _long_value(data: bytes, kind: int) -> Any:
    if kind == TagType.AnsiString:
        return text(data)
    if kind == TagType.WideString:
        return data.decode("utf-16-le", errors="replace").split("\0", 1)[0].strip()
    if kind == TagType.Float8Array:
        return list(struct.unpack(f"<{len(data) // 8}d", data[: len(data) // 8 * 8]))
    return data


def _date(days: float) -> Any:
    """Return Delphi's TDateTime (days since 1899-12-30) as an ISO string, or the bare number if it is no date."""
    try:
        return (_EPOCH + dt.timedelta(days=days)).replace(tzinfo=None).isoformat()
    except (OverflowError, ValueError):
        return days
