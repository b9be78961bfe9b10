"""Write PicoQuant PTU files: a complete header, and records as each kind of hardware makes them."""

from __future__ import annotations

import math
import os
import struct
import uuid
import warnings
from datetime import UTC, datetime
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from photonstats.errors import PhotonFileWarning
from photonstats.io.atomic import atomic_path
from photonstats.io.formats import RecordType, TagType
from photonstats.stream import PhotonStream, first_ticks

CHUNK = 1 << 18  # records encoded at a time: 1 MiB
_MOST_OVERFLOWS = 1 << 31

Tag = tuple[str, int, TagType, int | float | str]
Events = tuple[
    NDArray[np.int64], NDArray[np.uint8], NDArray[np.uint16], NDArray[np.int64], NDArray[np.uint8], NDArray[np.int64]
]


class _Layout(NamedTuple):
    """Where a record keeps its parts (see `kernels.encode`) and what fits into it."""

    wrap: int
    most: int  # largest count of an overflow record, 0 where it has none
    overflow: int
    channel_shift: int
    first_channel: int
    nano_shift: int
    marker_code: int
    marker_shift: int
    marker_mask: int
    sync_code: int  # -1: the hardware records no sync pulses
    detectors: int
    nanotimes: int
    hardware: str


_ALL = (1 << 32) - 1
_SPECIAL, _OVERFLOW = 1 << 31, 0xFE000000


def _hydraharp(measurement_mode: int, *, counted: bool, hardware: str) -> _Layout:
    bits = 10 if measurement_mode == 3 else 25
    wrap = 1 << bits if counted or measurement_mode == 3 else 33552000
    return _Layout(
        wrap=wrap,
        most=(1 << bits) - 1 if counted else 0,
        overflow=_OVERFLOW,
        channel_shift=25,
        first_channel=0,
        nano_shift=10,
        marker_code=_SPECIAL,
        marker_shift=25,
        marker_mask=_ALL,
        sync_code=_SPECIAL if measurement_mode == 2 else -1,
        detectors=63,
        nanotimes=1 << 15,
        hardware=hardware,
    )


def _picoharp(measurement_mode: int) -> _Layout:
    t3 = measurement_mode == 3
    return _Layout(
        wrap=65536 if t3 else 210698240,
        most=0,
        overflow=0xF0000000,
        channel_shift=28,
        first_channel=1 if t3 else 0,
        nano_shift=16,
        marker_code=0xF0000000,
        marker_shift=16 if t3 else 0,
        marker_mask=_ALL if t3 else ~0xF,  # in T2 the marker bits take the place of the lowest bits of time
        sync_code=-1,
        detectors=4 if t3 else 5,
        nanotimes=1 << 12,
        hardware="PicoHarp 300",
    )


def _layout(record_type: RecordType) -> _Layout:
    mode = record_type.measurement_mode
    family = record_type.name[:-2]
    if family == "PicoHarp300":
        return _picoharp(mode)
    hardware = {
        "HydraHarp": "HydraHarp 400",
        "HydraHarp2": "HydraHarp 400",
        "TimeHarp260N": "TimeHarp 260 N",
        "TimeHarp260P": "TimeHarp 260 P",
        "Generic": "MultiHarp 150",
    }[family]
    return _hydraharp(mode, counted=family != "HydraHarp", hardware=hardware)


def write_ptu(
    photons: PhotonStream,
    path: str | os.PathLike[str],
    record_type: str | RecordType = "HydraHarp2T3",
    *,
    comment: str = "",
) -> None:
    """Write photons, markers and sync pulses to a PTU file.

    Parameters
    ----------
    photons : PhotonStream
        What to write; with nanotimes for a T3 type, without for a T2 type.
    path : str or path
        File to make; an existing one is replaced once the new one is complete.
    record_type : str
        PicoHarp300T2/T3, HydraHarpT2/T3, HydraHarp2T2/T3, TimeHarp260NT2/T3, TimeHarp260PT2/T3 or GenericT2/T3.
    comment : str
        Text for the header entry File_Comment.

    Raises
    ------
    ValueError
        If the record type is unknown or cannot hold the stream: a detector or nanotime too large for it, T2 photons in
        a T3 type or the reverse, timestamps that do not count laser pulses in a T3 type, sync pulses where it has none.

    Notes
    -----
    Time stamps, detectors, nanotimes, markers, sync pulses and units come back exactly. The header holds the duration
    in whole milliseconds: another one is rounded up, with a warning where that changes it by more than 1 %. A PTU file
    begins at 0, so that times are counted from the begin of the window (`photons.start`). A period that differs from
    `timestamps_unit` is not kept in T3, nor, except as a whole number of hertz, in T2. PicoHarp300T2 keeps the time
    of a marker to 16 ticks only.

    Examples
    --------
    >>> import tempfile, photonstats as ps
    >>> photons = ps.PhotonStream([1, 5], [0, 1], [9, 80], timestamps_unit=1e-7, tcspc_unit=1e-11, duration=1.0)
    >>> ps.write_ptu(photons, tempfile.mkdtemp() + "/two.ptu", "GenericT3")
    """
    kind = _record_type(record_type)
    layout = _layout(kind)
    _check_mode(photons, kind)
    _check_fits(photons, kind, layout)
    times, marker_times, syncs, stop = _from_zero(photons)
    _check_span(stop, photons.timestamps_unit, kind, layout)
    _warn_of_markers(marker_times, photons.markers.bits, kind, layout)
    milliseconds = _milliseconds(photons.duration)
    header, count_at = _pack(_tags(photons, kind, layout, milliseconds, comment))
    events: Events = (
        times,
        photons.detectors,
        np.empty(0, np.uint16) if photons.nanotimes is None else photons.nanotimes,
        marker_times,
        photons.markers.bits,
        syncs,
    )
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(header)
        n_records = _write_records(file, events, stop, layout)
        file.seek(count_at)
        file.write(struct.pack("<q", n_records))


def _record_type(name: str | RecordType) -> RecordType:
    try:
        return RecordType[name] if isinstance(name, str) else RecordType(name)
    except (KeyError, ValueError):
        known = ", ".join(sorted(kind.name for kind in RecordType))
        raise ValueError(f"record_type {name!r} is none of {known}") from None


def _check_mode(photons: PhotonStream, kind: RecordType) -> None:
    other = kind.name[:-1] + ("2" if kind.measurement_mode == 3 else "3")
    if kind.measurement_mode == 2:
        if photons.nanotimes is not None:
            raise ValueError(
                f"record_type {kind.name} holds absolute times and no nanotimes, but these photons have nanotimes: "
                f"write them as {other}"
            )
        return
    if photons.nanotimes is None:
        raise ValueError(
            f"record_type {kind.name} needs nanotimes, and these photons (T2) have none: write them as {other}, or, "
            f"where laser pulses were recorded, as fold(photons)"
        )
    if not photons.pulse_clock:
        raise ValueError(
            f"record_type {kind.name} counts laser pulses, but these timestamps are ticks of "
            f"{photons.timestamps_unit:.6g} s beside a laser period of {photons.laser_period:.6g} s: write Photon-HDF5 "
            f"with write_photon_hdf5"
        )


def _check_fits(photons: PhotonStream, kind: RecordType, layout: _Layout) -> None:
    name = kind.name
    if len(photons) and (worst := int(photons.detectors.max())) >= layout.detectors:
        raise ValueError(
            f"record_type {name} holds detectors 0 to {layout.detectors - 1}; photon "
            f"{int(photons.detectors.argmax())} has detector {worst}: "
            + ("renumber the detectors" if layout.detectors > 5 else "use a HydraHarp2 or Generic type")
        )
    if photons.nanotimes is not None and len(photons) and (late := int(photons.nanotimes.max())) >= layout.nanotimes:
        raise ValueError(
            f"record_type {name} holds nanotimes 0 to {layout.nanotimes - 1}; photon "
            f"{int(photons.nanotimes.argmax())} has {late} of {photons.tcspc_unit:.4g} s: "
            + ("use HydraHarp2T3 or a coarser tcspc_unit" if layout.nanotimes < 1 << 15 else "use a coarser tcspc_unit")
        )
    if photons.syncs.size and layout.sync_code < 0:
        raise ValueError(
            f"record_type {name} has no sync records, and these photons come with {photons.syncs.size} sync pulses: "
            + ("use fold(photons)" if kind.measurement_mode == 3 else "use HydraHarp2T2")
        )
    bits = photons.markers.bits
    if bits.size and (bits.min() < 1 or bits.max() > 15):
        which = int(np.flatnonzero((bits < 1) | (bits > 15))[0])
        raise ValueError(f"record_type {name} holds marker bits 1 to 15; marker {which} has {bits[which]}")


def _from_zero(photons: PhotonStream) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], int]:
    """Return times of photons, markers and syncs counted from the begin of the window, and the end of the window."""
    ends = [photons.start, photons.start + photons.duration]
    begin, stop = first_ticks(ends, photons.timestamps_unit).tolist()
    arrays = (photons.timestamps, photons.markers.timestamps, photons.syncs)
    for name, times in zip(("markers.timestamps", "syncs"), arrays[1:], strict=True):
        back = np.flatnonzero(times[1:] < times[:-1])
        if back.size:
            raise ValueError(f"{name} run backwards at element {int(back[0]) + 1}: sort them")
    # a photon may lie up to one tick before a window that does not begin on a tick
    begin = min([begin, *(int(times[0]) for times in arrays if times.size)])
    if begin == 0:
        return *arrays, stop
    return photons.timestamps - begin, photons.markers.timestamps - begin, photons.syncs - begin, stop - begin


def _check_span(stop: int, unit: float, kind: RecordType, layout: _Layout) -> None:
    n_overflows = stop // (layout.wrap * max(layout.most, 1))
    if n_overflows > _MOST_OVERFLOWS:
        raise ValueError(
            f"record_type {kind.name} would need {n_overflows} overflow records to reach {stop} ticks of "
            f"{unit:.4g} s: check timestamps_unit, or use HydraHarp2T{kind.measurement_mode} (counted overflows)"
        )


def _warn_of_markers(
    times: NDArray[np.int64], bits: NDArray[np.uint8], kind: RecordType, layout: _Layout
) -> None:  # fmt: skip
    low = times & ~layout.marker_mask & 0xF
    inexact = int(np.count_nonzero((low != 0) & (low != bits)))  # a reader may give the bits as part of the time
    if inexact:
        warnings.warn(
            f"{kind.name} keeps the time of a marker to 16 ticks: {inexact} of {times.size} are rounded down",
            PhotonFileWarning,
            stacklevel=3,
        )


def _milliseconds(duration: float) -> int:
    exact = duration * 1e3
    whole = round(exact) if math.isclose(exact, round(exact), rel_tol=1e-9, abs_tol=1e-6) else math.ceil(exact)
    if exact > 0 and abs(whole - exact) > 0.01 * exact:
        warnings.warn(
            f"a PTU file holds the duration in whole milliseconds: {duration:.6g} s becomes {whole * 1e-3:.6g} s, and "
            f"rates change with it; Photon-HDF5 (write_photon_hdf5) keeps it exactly",
            PhotonFileWarning,
            stacklevel=3,
        )
    return whole


def _tags(photons: PhotonStream, kind: RecordType, layout: _Layout, milliseconds: int, comment: str) -> list[Tag]:
    from photonstats import __version__

    t3 = kind.measurement_mode == 3
    period = photons.timestamps_unit if t3 else photons.laser_period
    resolution = photons.tcspc_unit if t3 and photons.tcspc_unit is not None else photons.timestamps_unit
    counts = photons.counts_per_detector
    inputs = max(counts, default=0) + 1
    now = datetime.now(UTC) - datetime(1899, 12, 30, tzinfo=UTC)
    text, whole, real = TagType.AnsiString, TagType.Int8, TagType.Float8
    single: list[tuple[str, TagType, int | float | str]] = [
        ("File_GUID", text, f"{{{str(uuid.uuid4()).upper()}}}"),
        ("File_AssuredContent", text, layout.hardware.replace(" ", "")),
        ("CreatorSW_ContentVersion", text, "1.0"),
        ("CreatorSW_Name", text, "photonstats"),
        ("CreatorSW_Version", text, __version__),
        ("File_CreatingTime", TagType.TDateTime, now.total_seconds() / 86400),
        ("File_Comment", text, comment),
        ("Measurement_Mode", whole, kind.measurement_mode),
        ("Measurement_SubMode", whole, 1),  # point measurement
        ("TTResult_StopReason", whole, 0),
        ("TTResultFormat_TTTRRecType", whole, int(kind)),
        ("TTResultFormat_BitsPerRecord", whole, 32),
        ("MeasDesc_BinningFactor", whole, 1),
        ("MeasDesc_Offset", whole, 0),
        ("MeasDesc_AcquisitionTime", whole, milliseconds),
        ("MeasDesc_Resolution", real, resolution),
        ("MeasDesc_GlobalResolution", real, photons.timestamps_unit),
        ("HW_Type", text, layout.hardware),
        ("HW_InpChannels", whole, inputs),
        ("HW_BaseResolution", real, resolution),
        ("HWSync_Divider", whole, 1),
        ("TTResult_SyncRate", whole, 0 if period is None else round(1 / period)),
    ]
    rates: list[Tag] = [
        ("TTResult_InputRate", d, whole, round(counts.get(d, 0) / photons.duration) if photons.duration else 0)
        for d in range(inputs)
    ]
    last: list[Tag] = [
        ("TTResult_StopAfter", -1, whole, milliseconds),
        ("TTResult_NumberOfRecords", -1, whole, 0),
        ("Header_End", -1, TagType.Empty8, 0),
    ]
    return [(name, -1, tag_type, value) for name, tag_type, value in single] + rates + last


def _pack(tags: list[Tag]) -> tuple[bytes, int]:
    """Return the header and the byte at which the number of records goes."""
    header = bytearray(b"PQTTTR\0\0" + b"1.0.00\0\0")
    count_at = 0
    for name, index, given_type, value in tags:
        tag_type = given_type
        if name == "TTResult_NumberOfRecords":
            count_at = len(header) + 40
        if isinstance(value, str):
            try:
                data = value.encode("cp1252") + b"\0"
            except UnicodeEncodeError:
                tag_type, data = TagType.WideString, value.encode("utf-16-le") + b"\0\0"
            data += bytes(-len(data) % 8)
            packed = struct.pack("<q", len(data)) + data
        else:
            packed = (
                struct.pack("<d", value)
                if tag_type in (TagType.Float8, TagType.TDateTime)
                else struct.pack("<q", value)
            )
        header += struct.pack("<32siI", name.encode("ascii"), index, tag_type) + packed
    return bytes(header), count_at


def _write_records(file: BinaryIO, events: Events, stop: int, layout: _Layout) -> int:
    from photonstats.kernels.encode import encode

    places = np.array(layout[:10], np.int64)
    state = np.zeros(4, np.int64)
    buffer = np.empty(CHUNK, np.uint32)
    total = 0
    while count := encode(*events, stop, places, state, buffer):
        file.write(buffer[:count].astype("<u4", copy=False).data)
        total += count
    return total
