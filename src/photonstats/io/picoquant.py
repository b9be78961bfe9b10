"""PTU: PicoQuant's unified format for time-tag records."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from photonstats.io.formats import RecordType
from photonstats.io.header import damaged, number, read_tags
from photonstats.io.recording import LAYOUTS, HeaderClock, Recording
from photonstats.stream import FileInfo

_ALIASES = {  # as printed in an edition of the vendor's documentation
    0x01010305: RecordType.TimeHarp260NT3,
    0x01010205: RecordType.TimeHarp260NT2,
    0x01010306: RecordType.TimeHarp260PT3,
    0x01010206: RecordType.TimeHarp260PT2,
}


def open_ptu(path: str) -> Recording:
    """Read the header of a PTU file.

    Parameters
    ----------
    path : str
        File that begins with "PQTTTR".

    Raises
    ------
    PhotonFileError
        If the header is damaged, lacks the record type or names one that does not exist.
    """
    with Path(path).open("rb") as file:
        file_size = os.fstat(file.fileno()).st_size
        tags = read_tags(file, path, file_size)
        offset = file.tell()
    kind = _record_type(path, offset, tags)
    announced = number(tags, "TTResult_NumberOfRecords")
    n_records = max(file_size - offset, 0) // 4
    return Recording(
        info=FileInfo(path, "PTU", kind.name, kind.measurement_mode, n_records, tags),
        layout=LAYOUTS[kind],
        clock=_clock(tags),
        offset=offset,
        file_size=file_size,
        announced=None if announced is None else int(announced),
    )


def _record_type(path: str, offset: int, tags: Mapping[str, Any]) -> RecordType:
    value = tags.get("TTResultFormat_TTTRRecType")
    known = ", ".join(kind.name for kind in RecordType)
    if not isinstance(value, int) or isinstance(value, bool):
        raise damaged(path, offset, "a header with the tag TTResultFormat_TTTRRecType", repr(value))
    if value not in _ALIASES and value not in set(RecordType):
        raise damaged(path, offset, f"a record type among {known}", f"TTResultFormat_TTTRRecType = {value:#x}")
    bits = tags.get("TTResultFormat_BitsPerRecord", 32)
    if bits not in (0, 32):
        raise damaged(path, offset, "records of 32 bits", f"TTResultFormat_BitsPerRecord = {bits}")
    return _ALIASES.get(value) or RecordType(value)


def _clock(tags: Mapping[str, Any]) -> HeaderClock:
    def seconds(name: str) -> float | None:
        value = number(tags, name)
        return None if value is None else value / 1000

    return HeaderClock(
        resolution=number(tags, "MeasDesc_GlobalResolution"),
        sync_rate=number(tags, "TTResult_SyncRate"),
        base=number(tags, "HW_BaseResolution"),
        tcspc=number(tags, "MeasDesc_Resolution"),
        binning=number(tags, "MeasDesc_BinningFactor"),
        stop=seconds("TTResult_StopAfter"),
        requested=seconds("MeasDesc_AcquisitionTime"),
    )
