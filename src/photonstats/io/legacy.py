"""The formats before PTU: HydraHarp HT2/HT3, PicoHarp PT2/PT3 (v2.0) and TimeHarp 200 T3R (v5.0, v6.0).

Their headers are fixed sequences of little-endian fields, given here as tables of (names, struct codes).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO

from photonstats.errors import PhotonFileError
from photonstats.io.formats import RecordType
from photonstats.io.header import damaged, number, take, take_long, text
from photonstats.io.recording import LAYOUTS, TIMEHARP200, HeaderClock, Layout, Recording
from photonstats.stream import FileInfo

_IDENT = "Ident:16s FormatVersion:6s"
_CREATOR = "CreatorName:18s CreatorVersion:12s FileTime:18s CRLF:2s Comment:256s"
_STOPS = "StopAt:I StopOnOvfl:i Restart:i DispLinLog:i "
_DISPLAY = _STOPS + "DispTimeFrom:i DispTimeTo:i DispCountFrom:i DispCountTo:i"
_CURVES = " ".join(f"DispCurve{i}_MapTo:i DispCurve{i}_Show:i" for i in range(8))
_PARAMS = " ".join(f"Param{i}_Start:f Param{i}_Step:f Param{i}_End:f" for i in range(3))
_REPEAT = "RepeatMode:i RepeatsPerCurve:i RepeatTime:i RepeatWaitTime:i ScriptName:20s"
_TAIL = f"{_DISPLAY} {_CURVES} {_PARAMS} {_REPEAT}"

_HYDRA = (
    f"{_CREATOR} NumberOfCurves:i BitsPerRecord:i ActiveCurve:i MeasurementMode:i SubMode:i Binning:i Resolution:d "
    f"Offset:i AcquisitionTime:i {_TAIL} HardwareIdent:16s HardwarePartNo:8s HardwareSerial:i ModulesPresent:i "
    + " ".join(f"Module{i}_ModelCode:i Module{i}_VersionCode:i" for i in range(10))
    + " BaseResolution:d InputsEnabled:Q InputChannelsPresent:i RefClockSource:i ExtDevices:i MarkerSettings:i "
    "SyncDivider:i SyncCFDLevel:i SyncCFDZeroCross:i SyncOffset:i"
)
_HYDRA_INPUT = "ModuleIndex:i CFDLevel:i CFDZeroCross:i Offset:i"
_HYDRA_END = "SyncRate:i StopAfter:i StopReason:i ImgHdrSize:i NumberOfRecords:q"

_PICO = (
    f"{_CREATOR} NumberOfCurves:i BitsPerRecord:i RoutingChannels:i NumberOfBoards:i ActiveCurve:i MeasurementMode:i "
    f"SubMode:i RangeNo:i Offset:i AcquisitionTime:i {_TAIL} HardwareIdent:16s HardwareVersion:8s HardwareSerial:i "
    "SyncDivider:i CFDZeroCross0:i CFDLevel0:i CFDZeroCross1:i CFDLevel1:i Resolution:f RouterModelCode:i "
    "RouterEnabled:i"
)
_PICO_ROUTER = " ".join(
    f"Router{i}_InputType:i Router{i}_InputLevel:i Router{i}_InputEdge:i Router{i}_CFDPresent:i "
    f"Router{i}_CFDLevel:i Router{i}_CFDZeroCross:i"
    for i in range(1, 5)
)
_PICO_END = (
    "ExtDevices:i Reserved1:i Reserved2:i InpRate0:i InpRate1:i StopAfter:i StopReason:i NumberOfRecords:i ImgHdrSize:i"
)

_TIME_MIDDLE = (
    "NumberOfChannels:i NumberOfCurves:i BitsPerRecord:i RoutingChannels:i NumberOfBoards:i ActiveCurve:i "
    f"MeasurementMode:i SubMode:i RangeNo:i Offset:i AcquisitionTime:i {_TAIL}"
)
_TIME_5 = f"HardwareVersion:6s FileTime:18s CRLF:2s Comment:256s {_TIME_MIDDLE}"
_TIME_6 = f"{_CREATOR} {_TIME_MIDDLE} HardwareIdent:16s HardwareVersion:8s"
_TIME_END = (
    "BoardSerial:i CFDZeroCross:i CFDDiscriminatorMin:i SyncLevel:i CurveOffset:i Resolution:f Globclock:i "
    "ExtDevices:i Reserved1:i Reserved2:i Reserved3:i Reserved4:i Reserved5:i SyncRate:i AverageCFDRate:i "
    "StopAfter:i StopReason:i NumberOfRecords:i ImgHdrSize:i"
)

_Fields = dict[str, Any]


class _Reader:
    """Walk through a header field by field, collecting tags."""

    def __init__(self, file: BinaryIO, path: str) -> None:
        self.file, self.path, self.tags = file, path, _Fields()

    def fields(self, table: str, what: str = "the header", prefix: str = "") -> _Fields:
        names, codes = zip(*(entry.split(":") for entry in table.split()), strict=True)
        layout = struct.Struct("<" + "".join(codes))
        values = layout.unpack(take(self.file, self.path, layout.size, what))
        found = {
            prefix + name: text(value) if isinstance(value, bytes) else value
            for name, value in zip(names, values, strict=True)
        }
        self.tags.update(found)
        return found

    def refuse(self, expected: str, found: str, advice: str = "") -> PhotonFileError:
        return damaged(self.path, self.file.tell(), expected, found, advice)

    def image_header(self, file_size: int) -> None:
        size = self.tags["ImgHdrSize"]
        if data := take_long(self.file, self.path, file_size, 4 * size):
            self.tags["ImgHdr"] = list(struct.unpack(f"<{size}i", data))


def _histogram(reader: _Reader, device: str) -> PhotonFileError:
    return reader.refuse(
        "time-tag records (measurement mode 2 or 3)",
        f"a {device} histogram file (measurement mode {reader.tags['MeasurementMode']})",
        "It holds curves, not photons; open it with photonstats.read_decay(path).",
    )


def _hydra(reader: _Reader, _file_size: int) -> tuple[str, str, Layout, HeaderClock]:
    version = reader.tags["FormatVersion"]
    if version not in ("1.0", "2.0"):
        raise reader.refuse("HydraHarp format version 1.0 or 2.0", repr(version))
    tags = reader.fields(_HYDRA)
    mode = tags["MeasurementMode"]
    if mode not in (2, 3):
        raise _histogram(reader, "HydraHarp")
    n_inputs = tags["InputChannelsPresent"]
    if not 0 <= n_inputs <= 64:
        raise reader.refuse("0 to 64 input channels", str(n_inputs), "The header is damaged.")
    for i in range(n_inputs):
        reader.fields(_HYDRA_INPUT, prefix=f"Input{i}_")
    for i in range(n_inputs):
        reader.fields("Rate:i", prefix=f"Input{i}_")
    end = reader.fields(_HYDRA_END)
    kind = RecordType[f"HydraHarp{'' if version == '1.0' else '2'}T{mode}"]
    resolution = _picoseconds(tags, "Resolution")
    return f"HT{mode}", kind.name, LAYOUTS[kind], HeaderClock(
        # T2 of the first firmware counts half picoseconds, and Resolution says so
        resolution=resolution if mode == 2 else None,
        sync_rate=number(end, "SyncRate"),
        base=resolution if mode == 2 else _picoseconds(tags, "BaseResolution"),
        tcspc=resolution if mode == 3 else None,
    )  # fmt: skip


def _pico(reader: _Reader, _file_size: int) -> tuple[str, str, Layout, HeaderClock]:
    version = reader.tags["FormatVersion"]
    if version != "2.0":
        raise reader.refuse("PicoHarp format version 2.0", repr(version))
    tags = reader.fields(_PICO)
    mode = tags["MeasurementMode"]
    if mode not in (2, 3):
        raise _histogram(reader, "PicoHarp")
    reader.fields(_PICO_ROUTER)
    end = reader.fields(_PICO_END)
    kind = RecordType[f"PicoHarp300T{mode}"]
    resolution = _nanoseconds(tags, "Resolution")
    return f"PT{mode}", kind.name, LAYOUTS[kind], HeaderClock(
        # PicoHarp T2 always counts 4 ps; the field Resolution is that of the histogram
        resolution=LAYOUTS[kind].t2_unit if mode == 2 else None,
        sync_rate=number(end, "InpRate0") if mode == 3 else None,
        base=4e-12,
        tcspc=resolution if mode == 3 else None,
    )  # fmt: skip


def _time(reader: _Reader, _file_size: int) -> tuple[str, str, Layout, HeaderClock]:
    version = reader.tags["FormatVersion"]
    if version not in ("5.0", "6.0"):
        raise reader.refuse("TimeHarp 200 format version 5.0 or 6.0", repr(version))
    tags = reader.fields(_TIME_5 if version == "5.0" else _TIME_6)
    if tags["MeasurementMode"] != 2:
        raise _histogram(reader, "TimeHarp 200")
    end = reader.fields(_TIME_END)
    return "T3R", "TimeHarp200T3", TIMEHARP200, HeaderClock(
        resolution=_scaled(end["Globclock"], -9),
        sync_rate=number(end, "SyncRate"),
        tcspc=_nanoseconds(end, "Resolution"),
    )  # fmt: skip


def _nanoseconds(tags: _Fields, name: str) -> float | None:
    value = number(tags, name)
    return None if value is None else _scaled(value, -9)


def _picoseconds(tags: _Fields, name: str) -> float | None:
    value = number(tags, name)
    return None if value is None else _scaled(value, -12)


def _scaled(value: float, power: int) -> float:
    """Return value * 10**power as it would be written: 4e-12, not 4.000000000000001e-12; seven digits fit 32 bits."""
    return float(Decimal(f"{value:.7g}").scaleb(power))


_Parser = Callable[[_Reader, int], tuple[str, str, Layout, HeaderClock]]


def open_hydraharp(path: str) -> Recording:
    """Read the header of an HT2 or HT3 file; raises PhotonFileError for histograms and damage."""
    return _open(path, _hydra)


def open_picoharp(path: str) -> Recording:
    """Read the header of a PT2 or PT3 file; raises PhotonFileError for histograms and damage."""
    return _open(path, _pico)


def open_timeharp(path: str) -> Recording:
    """Read the header of a T3R file; raises PhotonFileError for histograms and damage.

    Notes
    -----
    The macro clock is a quartz of 100 ns, not the laser: the stream has `pulse_clock` False.
    """
    return _open(path, _time)


def _open(path: str, parse: _Parser) -> Recording:
    with Path(path).open("rb") as file:
        file_size = os.fstat(file.fileno()).st_size
        reader = _Reader(file, path)
        reader.fields(_IDENT)
        name, record_type, layout, clock = parse(reader, file_size)
        tags = reader.tags
        bits = tags["BitsPerRecord"]
        if bits not in (0, 32):
            raise reader.refuse("records of 32 bits", f"BitsPerRecord = {bits}")
        reader.image_header(file_size)
        offset = file.tell()
    stop, requested = (tags[key] / 1000 for key in ("StopAfter", "AcquisitionTime"))
    mode = 2 if name.endswith("2") else 3
    return Recording(
        info=FileInfo(path, name, record_type, mode, max(file_size - offset, 0) // 4, _grouped(tags)),
        layout=layout,
        clock=HeaderClock(**{**vars(clock), "stop": stop, "requested": requested}),
        offset=offset,
        file_size=file_size,
        announced=tags["NumberOfRecords"],
    )


def _grouped(tags: _Fields) -> _Fields:
    """Return the tags without the noise of display settings."""
    return dict(_kept(tags))


def _kept(tags: _Fields) -> Iterator[tuple[str, Any]]:
    for name, value in tags.items():
        if not name.startswith(("Disp", "Reserved", "CRLF")):
            yield name, value
