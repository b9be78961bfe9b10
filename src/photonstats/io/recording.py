"""What a header says of a file of time-tag records, before any of them is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from photonstats.io.formats import RecordType
from photonstats.stream import FileInfo, PhotonStream


@dataclass(frozen=True)
class Source:
    """A file that has been recognised, and how to read it.

    Parameters
    ----------
    info : FileInfo
        What the header says.
    read : callable
        ``read(until)`` gives the whole stream, or that of the first `until` records.
    scan : callable
        ``scan(chunk_size)`` gives the pieces of the stream.
    """

    info: FileInfo
    read: Callable[[int | None], PhotonStream]
    scan: Callable[[int], Iterator[PhotonStream]]


@dataclass(frozen=True)
class Layout:
    """How the 32 bits of a record are used; see `photonstats.kernels.records`.

    Parameters
    ----------
    count, decode : str
        Names of the kernels.
    wrap : int
        Macro ticks that one overflow adds.
    mask : int
        Bits of an overflow record that hold the number of overflows; 0: each record is one overflow.
    t2_unit : float, optional
        Tick of the hardware in T2 mode where it is always the same, s.
    """

    count: str
    decode: str
    wrap: int
    mask: int = 0
    t2_unit: float | None = None


_HYDRA_T3 = Layout("count_hydra", "decode_hydra_t3", 1024, 1023)
_HYDRA_T2 = ("count_hydra", "decode_hydra_t2", 33554432, 33554431)

LAYOUTS: dict[RecordType, Layout] = {
    RecordType.PicoHarp300T3: Layout("count_pico_t3", "decode_pico_t3", 65536),
    RecordType.PicoHarp300T2: Layout("count_pico_t2", "decode_pico_t2", 210698240, t2_unit=4e-12),
    RecordType.HydraHarpT3: Layout("count_hydra", "decode_hydra_t3", 1024),
    RecordType.HydraHarpT2: Layout("count_hydra", "decode_hydra_t2", 33552000),
    RecordType.HydraHarp2T3: _HYDRA_T3,
    RecordType.HydraHarp2T2: Layout(*_HYDRA_T2, t2_unit=1e-12),
    RecordType.TimeHarp260NT3: _HYDRA_T3,
    RecordType.TimeHarp260NT2: Layout(*_HYDRA_T2),
    RecordType.TimeHarp260PT3: _HYDRA_T3,
    RecordType.TimeHarp260PT2: Layout(*_HYDRA_T2),
    RecordType.GenericT3: _HYDRA_T3,
    RecordType.GenericT2: Layout(*_HYDRA_T2),
}
TIMEHARP200 = Layout("count_timeharp200", "decode_timeharp200", 65536)


@dataclass(frozen=True)
class HeaderClock:
    """Times and rates as the header gives them, in SI units, each None where it is absent or no number.

    Parameters
    ----------
    resolution : float, optional
        Length of a macro tick, s.
    sync_rate : float, optional
        Laser pulses per second, Hz.
    base : float, optional
        Finest tick of the hardware, s.
    tcspc : float, optional
        Length of a nanotime tick, s.
    binning : float, optional
        Hardware ticks in a nanotime tick.
    stop : float, optional
        Time after which the measurement ended, s.
    requested : float, optional
        Time for which it was set up, s.
    """

    resolution: float | None = None
    sync_rate: float | None = None
    base: float | None = None
    tcspc: float | None = None
    binning: float | None = None
    stop: float | None = None
    requested: float | None = None


@dataclass(frozen=True)
class Recording:
    """A file of records whose header has been read.

    Parameters
    ----------
    info : FileInfo
        What the user sees of the header.
    layout : Layout
        How to take the records apart.
    clock : HeaderClock
        Times that the header states.
    offset : int
        Byte of the first record.
    file_size : int
        Bytes in the file.
    announced : int, optional
        Records that the header announces.
    """

    info: FileInfo
    layout: Layout
    clock: HeaderClock
    offset: int
    file_size: int
    announced: int | None

    @property
    def path(self) -> str:
        """File as the user named it."""
        return self.info.path

    @property
    def n_records(self) -> int:
        """Whole records in the file."""
        return max(self.file_size - self.offset, 0) // 4

    @property
    def is_t3(self) -> bool:
        """Whether records carry nanotimes."""
        return self.info.measurement_mode == 3

    @property
    def counts_pulses(self) -> bool:
        """Whether the macro clock is the laser."""
        return self.is_t3 and self.layout is not TIMEHARP200
