"""PhotonStream: what a time tagger recorded, checked once; selections return new streams, analyses live elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

BoolOrSlice = NDArray[np.bool_] | slice


@dataclass(frozen=True)
class FileInfo:
    """What a file says of itself, from its header alone.

    Parameters
    ----------
    path : str
        File as the user named it.
    format : str
        "PTU", "HT3", "HT2", "PT3", "PT2", "T3R" or "Photon-HDF5".
    record_type : str
        Such as "HydraHarp2T3"; for Photon-HDF5 the name of the format.
    measurement_mode : int
        2 (absolute times) or 3 (laser pulse and delay).
    n_records : int
        Records that the file really holds (whole ones), whatever its header announces.
    tags : mapping
        Header entries by name.
    """

    path: str
    format: str
    record_type: str
    measurement_mode: int
    n_records: int
    tags: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, eq=False, repr=False)
class Markers:
    """External markers (scanner, shutter), kept beside the photons.

    Parameters
    ----------
    timestamps : ndarray of int64, shape (m,)
        In units of the stream's `timestamps_unit`.
    bits : ndarray of uint8, shape (m,)
        The marker lines that were up, as a bit mask (line 1 is bit 0).
    """

    timestamps: NDArray[np.int64]
    bits: NDArray[np.uint8]

    def __post_init__(self) -> None:
        object.__setattr__(self, "timestamps", _frozen(self.timestamps, np.dtype(np.int64), "markers.timestamps"))
        object.__setattr__(self, "bits", _frozen(self.bits, np.dtype(np.uint8), "markers.bits"))
        if self.timestamps.size != self.bits.size:
            raise ValueError(f"markers: {self.timestamps.size} timestamps but {self.bits.size} bit masks")

    def __len__(self) -> int:
        return int(self.timestamps.size)

    def __repr__(self) -> str:
        return f"Markers({len(self)})"


def _no_markers() -> Markers:
    return Markers(np.empty(0, np.int64), np.empty(0, np.uint8))


def _no_syncs() -> NDArray[np.int64]:
    return np.empty(0, np.int64)


@dataclass(frozen=True, eq=False, repr=False)
class PhotonStream:
    """Photons of one recording, in the order of time, with the window in which they were recorded.

    Parameters
    ----------
    timestamps : array_like of int, shape (n,)
        Macro times in units of `timestamps_unit`, never falling. T3: number of the laser pulse; T2: absolute time.
    detectors : array_like of int, shape (n,)
        Hardware input of each photon, 0 to 255.
    nanotimes : array_like of int, shape (n,), optional
        Delay after the laser pulse in units of `tcspc_unit`, 0 to 65535.
    timestamps_unit : float
        Length of a macro tick, s.
    tcspc_unit : float, optional
        Length of a nanotime tick, s; needed with `nanotimes`.
    laser_period : float, optional
        Time between laser pulses, s.
    duration : float
        Length of the recorded window, s; not "last photon minus first".
    start : float
        Begin of the recorded window on the axis of the timestamps, s.
    pulse_clock : bool, optional
        Whether timestamps count laser pulses, so that nanotimes add to them. By default true with nanotimes, unless a
        given `laser_period` differs from `timestamps_unit` by more than 1 %.
    markers : Markers
        External markers.
    syncs : array_like of int, shape (s,)
        T2 only: recorded laser pulses, same unit as timestamps; see `fold`.
    info : FileInfo, optional
        The file that the photons came from.

    Raises
    ------
    ValueError
        If lengths differ, a time runs backwards or lies outside of the window, or a unit is missing.

    Notes
    -----
    Arrays are read-only. Follows the vocabulary of Photon-HDF5 (Ingargiola et al., Biophys. J. 110, 26 (2016)).

    Examples
    --------
    >>> photons = PhotonStream([1, 5, 9], [0, 1, 0], timestamps_unit=1e-9, duration=1e-8)
    >>> len(photons.select(detectors=0))
    2
    """

    timestamps: NDArray[np.int64]
    detectors: NDArray[np.uint8]
    nanotimes: NDArray[np.uint16] | None = None
    timestamps_unit: float = field(kw_only=True)
    tcspc_unit: float | None = field(default=None, kw_only=True)
    laser_period: float | None = field(default=None, kw_only=True)
    duration: float = field(kw_only=True)
    start: float = field(default=0.0, kw_only=True)
    pulse_clock: bool | None = field(default=None, kw_only=True)
    markers: Markers = field(default_factory=_no_markers, kw_only=True)
    syncs: NDArray[np.int64] = field(default_factory=_no_syncs, kw_only=True)
    info: FileInfo | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "timestamps", _frozen(self.timestamps, np.dtype(np.int64), "timestamps"))
        put(self, "detectors", _frozen(self.detectors, np.dtype(np.uint8), "detectors"))
        put(self, "syncs", _frozen(self.syncs, np.dtype(np.int64), "syncs"))
        if self.nanotimes is not None:
            put(self, "nanotimes", _frozen(self.nanotimes, np.dtype(np.uint16), "nanotimes"))
            if self.tcspc_unit is None:
                raise ValueError("nanotimes need tcspc_unit, the length of one of their ticks in seconds")
        _check_units(self)
        _check_times(self)
        if self.pulse_clock is None:
            counts_pulses = self.nanotimes is not None and (
                self.laser_period is None or math.isclose(self.laser_period, self.timestamps_unit, rel_tol=0.01)
            )
            put(self, "pulse_clock", counts_pulses)

    @classmethod
    def _trusted(cls, **values: Any) -> PhotonStream:
        """Build a stream from arrays that the caller has checked and gives away: no copy, no second check."""
        stream = object.__new__(cls)
        values.setdefault("markers", _no_markers())
        values.setdefault("syncs", _no_syncs())
        for name in cls.__dataclass_fields__:
            value = values.pop(name, 0.0 if name == "start" else None)
            if isinstance(value, np.ndarray):
                value.flags.writeable = False
            object.__setattr__(stream, name, value)
        if values:
            raise TypeError(f"PhotonStream has no fields {sorted(values)}")
        return stream

    @property
    def rate(self) -> float:
        """Photons per second of the window, Hz."""
        return len(self) / self.duration if self.duration > 0 else math.nan

    @property
    def arrival_times(self) -> NDArray[np.float64]:
        """Absolute arrival of each photon, s, float64[n]; with pulse-counting timestamps the nanotime is added."""
        times = self.timestamps.astype(np.float64) * self.timestamps_unit
        if self.pulse_clock and self.nanotimes is not None and self.tcspc_unit is not None:
            times += self.nanotimes * self.tcspc_unit
        return times

    @property
    def counts_per_detector(self) -> dict[int, int]:
        """Photons of each detector that has any."""
        counts = np.zeros(256, np.int64)
        for i in range(0, len(self), 1 << 20):  # bincount widens what it is given to 64 bit
            counts += np.bincount(self.detectors[i : i + (1 << 20)], minlength=256)
        return {int(d): int(counts[d]) for d in np.flatnonzero(counts)}

    def select(self, *, detectors: int | Sequence[int]) -> PhotonStream:
        """Return the photons of one or several detectors, in the same window."""
        wanted = np.zeros(256, np.bool_)
        wanted[list(check_detectors(detectors))] = True
        return self[wanted[self.detectors]]

    def between(self, start: float, stop: float) -> PhotonStream:
        """Return the part of the recording from `start` to `stop` (s, half-open, cut to the window).

        The only selection that changes the window: the new `duration` is the length of the part.
        """
        begin, end = max(start, self.start), min(stop, self.start + self.duration)
        if not begin < end:
            raise ValueError(
                f"between({start}, {stop}) holds nothing of the recorded window "
                f"{self.start} s to {self.start + self.duration} s"
            )
        ticks = first_ticks([begin, end], self.timestamps_unit)
        if end == self.start + self.duration:
            ticks[1] = np.iinfo(np.int64).max
        photons = slice(*np.searchsorted(self.timestamps, ticks).tolist())
        syncs = slice(*np.searchsorted(self.syncs, ticks).tolist())
        marks = slice(*np.searchsorted(self.markers.timestamps, ticks).tolist())
        kept = Markers(self.markers.timestamps[marks], self.markers.bits[marks])
        return self._with(photons, start=begin, duration=end - begin, markers=kept, syncs=self.syncs[syncs])

    def gate(self, start: float, stop: float = math.inf) -> PhotonStream:
        """Return the photons whose nanotime lies in [start, stop) seconds, in the same window."""
        if self.nanotimes is None or self.tcspc_unit is None:
            raise ValueError("gate needs nanotimes, and this stream has none (T2, or a file without TCSPC); see fold")
        if math.isnan(start) or math.isnan(stop):
            raise ValueError(f"gate({start}, {stop}): give two times in seconds")
        low, high = first_ticks(np.clip([start, stop], -1.0, 65536 * self.tcspc_unit), self.tcspc_unit)
        return self[(self.nanotimes >= low) & (self.nanotimes < high)]

    def __getitem__(self, which: BoolOrSlice) -> PhotonStream:
        if isinstance(which, slice):
            if which.step is not None and which.step < 1:
                raise ValueError("a slice of photons must go forward in time")
            return self._with(which)
        mask = np.asarray(which)
        if mask.dtype != np.bool_ or mask.shape != self.timestamps.shape:
            raise TypeError(
                f"index photons with a slice or a boolean mask of length {len(self)}, "
                f"not with {mask.dtype} of shape {mask.shape}"
            )
        return self._with(mask)

    def _with(self, photons: BoolOrSlice, **changes: Any) -> PhotonStream:
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        values["timestamps"] = self.timestamps[photons]
        values["detectors"] = self.detectors[photons]
        values["nanotimes"] = None if self.nanotimes is None else self.nanotimes[photons]
        return PhotonStream._trusted(**(values | changes))

    def __len__(self) -> int:
        return int(self.timestamps.size)

    def __repr__(self) -> str:
        kind = "PhotonStream" if self.info is None else f"PhotonStream ({self.info.format} {self.info.record_type})"
        detectors = ", ".join(f"{d}: {n}" for d, n in self.counts_per_detector.items()) or "none"
        return (
            f"{kind}: {len(self)} photons, detectors {{{detectors}}}, duration {self.duration:.6g} s, "
            f"rate {self.rate:.6g} Hz"
        )


def pieces(photons: PhotonStream | Iterable[PhotonStream]) -> Iterator[PhotonStream]:
    """Walk over the pieces of a recording: the stream itself, or what `scan` yields.

    Raises
    ------
    TypeError
        If `photons` is neither a stream nor an iterable of streams.
    """
    if isinstance(photons, PhotonStream):
        yield photons
        return
    for piece in photons:
        if not isinstance(piece, PhotonStream):
            raise TypeError(f"expected a PhotonStream or the pieces of scan(path), found a {type(piece).__name__}")
        yield piece


def check_follows(piece: PhotonStream, latest: int | None) -> int | None:
    """Return the time of the last photon so far, ticks, after checking that the next piece does not begin before it.

    Raises
    ------
    ValueError
        If a photon of the piece comes before `latest`: pieces are not in order, or one came twice.
    """
    if not len(piece):
        return latest
    if latest is not None and piece.timestamps[0] < latest:
        raise ValueError(f"the pieces do not follow each other in time: {piece.timestamps[0]} ticks after {latest}")
    return int(piece.timestamps[-1])


def check_detectors(detectors: int | Sequence[int]) -> tuple[int, ...]:
    """Return detector numbers as a tuple.

    Raises
    ------
    ValueError
        If one is no whole number from 0 to 255.
    """
    given = np.atleast_1d(np.asarray(detectors))
    if given.ndim != 1 or given.dtype.kind not in "iu" or (given.size and not 0 <= given.min() <= given.max() <= 255):
        raise ValueError(f"detectors are numbered 0 to 255, they cannot be {detectors!r}")
    return tuple(int(d) for d in given)


def first_ticks(times: ArrayLike, unit: float) -> NDArray[np.int64]:
    """Return the first tick of `unit` seconds at or after each of `times`.

    A time that is a whole number of ticks up to rounding is that tick.
    """
    ticks = np.asarray(times, dtype=np.float64) / unit
    nearest = np.rint(ticks)
    whole = np.abs(ticks - nearest) < 1e-6 + 4e-16 * np.abs(ticks)
    return np.where(whole, nearest, np.ceil(ticks)).astype(np.int64)


def _frozen(values: ArrayLike, dtype: np.dtype[Any], name: str) -> NDArray[Any]:
    given = np.asarray(values)
    if given.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, its shape is {given.shape}")
    if given.size and given.dtype != dtype:
        if given.dtype.kind not in "iub":
            raise ValueError(f"{name} must be whole numbers in units of the hardware, not {given.dtype}")
        limits = np.iinfo(dtype)
        low, high = int(given.min()), int(given.max())
        if low < limits.min or high > limits.max:
            raise ValueError(f"{name} must lie in {limits.min} to {limits.max}, they run from {low} to {high}")
    # A read-only view of an array that its owner can still change is not ours to keep.
    shared = given.flags.writeable or getattr(given.base, "flags", given.flags).writeable
    own = np.array(given, dtype=dtype, order="C", copy=True if shared else None)
    own.flags.writeable = False
    return own


def _check_units(stream: PhotonStream) -> None:
    for name in ("timestamps_unit", "tcspc_unit", "laser_period"):
        value = getattr(stream, name)
        if value is None and name != "timestamps_unit":
            continue
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be a positive time in seconds, it is {value}")
    if not (math.isfinite(stream.duration) and stream.duration >= 0):
        raise ValueError(f"duration must be a time in seconds >= 0, it is {stream.duration}")
    if not math.isfinite(stream.start):
        raise ValueError(f"start must be a time in seconds, it is {stream.start}")


def _check_times(stream: PhotonStream) -> None:
    times = stream.timestamps
    for name, other in (("detectors", stream.detectors), ("nanotimes", stream.nanotimes)):
        if other is not None and other.size != times.size:
            raise ValueError(f"{times.size} timestamps but {other.size} {name}: each photon needs one of both")
    if times.size == 0:
        return
    back = np.flatnonzero(times[1:] < times[:-1])
    if back.size:
        i = int(back[0]) + 1
        raise ValueError(f"time runs backwards at photon {i}: {times[i]} after {times[i - 1]} ticks")
    unit, end = stream.timestamps_unit, stream.start + stream.duration
    slack = unit + 1e-9 * abs(end)
    if times[0] * unit < stream.start - slack or times[-1] * unit > end + slack:
        raise ValueError(
            f"photons from {times[0] * unit:.9g} s to {times[-1] * unit:.9g} s do not fit the recorded window "
            f"{stream.start:.9g} s to {end:.9g} s; give the start and duration of the measurement"
        )
