"""From a file of records to streams: the whole at once, or piece by piece with bounded memory."""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from photonstats.errors import PhotonFileError, PhotonFileWarning
from photonstats.io import clock
from photonstats.io.clock import Survey, Units
from photonstats.io.recording import Recording
from photonstats.stream import Markers, PhotonStream

_BLOCK = 2**18  # records read at a time: 1 MiB stays in the cache between reading, counting and decoding
_LATEST = 2**62  # ticks; a time beyond it can only come from damage


@dataclass
class Columns:
    """Arrays that decoding fills, and how far they are filled."""

    timestamps: NDArray[np.int64]
    detectors: NDArray[np.uint8]
    nanotimes: NDArray[np.uint16]
    syncs: NDArray[np.int64]
    n_photons: int = 0
    n_syncs: int = 0

    @classmethod
    def empty(cls, recording: Recording, n: int, n_syncs: int) -> Columns:
        """Allocate room; pages that nothing is written to cost no memory."""
        return cls(
            np.empty(n, np.int64),
            np.empty(n, np.uint8),
            np.empty(n if recording.is_t3 else 0, np.uint16),
            np.empty(n_syncs, np.int64),
        )

    def trim(self) -> None:
        """Give back what was not filled; shrinking in place copies nothing."""
        self.timestamps.resize(self.n_photons, refcheck=False)
        self.detectors.resize(self.n_photons, refcheck=False)
        self.nanotimes.resize(min(self.n_photons, self.nanotimes.size), refcheck=False)
        self.syncs.resize(self.n_syncs, refcheck=False)


@dataclass
class Block:
    """Records that lie together in the file, what they hold and where that goes."""

    first: int  # record
    records: NDArray[np.uint32]  # a view of a buffer that the next block overwrites
    overflow: int  # ticks before the block
    photons: slice
    syncs: slice
    marker_times: NDArray[np.int64]
    marker_bits: NDArray[np.uint8]
    bad: int = -1  # record in the block at which time runs backwards


@dataclass
class Walk:
    """Go through the records of an open file in blocks, carrying the overflows along."""

    recording: Recording
    file: BinaryIO
    n_records: int
    next_record: int = 0
    overflow: int = 0
    unknown: int = 0
    odd: int = 0
    last: int = -1
    last_sync: int = -1
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        from photonstats.kernels import records

        self.file.seek(self.recording.offset)
        self.count: Callable[..., tuple[int, ...]] = getattr(records, self.recording.layout.count)
        self.kernel: Callable[..., int] = getattr(records, self.recording.layout.decode)

    def take(self, buffer: NDArray[np.uint32], columns: Columns | None) -> Block | None:
        """Read and count the next block and give it its place in `columns` (or in new columns of its own size)."""
        n = min(buffer.size, self.n_records - self.next_record)
        if n <= 0:
            return None
        records = buffer[:n]
        self.fill(records)
        layout = self.recording.layout
        photons, markers, syncs, unknown, odd, ticks = self.count(records, layout.wrap, layout.mask)
        if self.recording.is_t3:  # T3 has no sync records
            unknown, syncs = unknown + syncs, 0
        if not 0 <= ticks <= _LATEST - self.overflow:
            raise self._broken(self.next_record, f"the overflow records of this block add {ticks} ticks")
        at = (0, 0) if columns is None else (columns.n_photons, columns.n_syncs)
        block = Block(
            self.next_record,
            records,
            self.overflow,
            slice(at[0], at[0] + photons),
            slice(at[1], at[1] + syncs),
            np.empty(markers, np.int64),
            np.empty(markers, np.uint8),
        )
        if columns is not None:
            columns.n_photons, columns.n_syncs = block.photons.stop, block.syncs.stop
        self.next_record += n
        self.overflow += ticks
        self.unknown += unknown
        self.odd += odd
        return block

    def fill(self, records: NDArray[np.uint32]) -> None:
        """Read records from where the file stands."""
        view, filled = records.view(np.uint8).data, 0
        while filled < len(view):
            got = self.file.readinto(view[filled:])  # type: ignore[attr-defined]
            if not got:
                raise self._broken(self.next_record + filled // 4, "the end: the file shrank while it was read")
            filled += got

    def _broken(self, record: int, found: str) -> PhotonFileError:
        at = self.recording.offset + 4 * record
        return PhotonFileError(
            f"{self.recording.path}: byte {at}: expected records, from record {record} on found {found}. "
            f"Read what comes before with read(path, until={record}).",
            offset=at,
        )

    def decode(self, block: Block, columns: Columns, last: int = -1, last_sync: int = -1) -> int:
        """Decode a block into its place; returns the record in it at which time runs backwards, or -1."""
        layout, photons = self.recording.layout, block.photons
        return self.kernel(
            block.records, layout.wrap, layout.mask, block.overflow, last, last_sync,
            columns.timestamps[photons], columns.detectors[photons],
            columns.nanotimes[photons] if self.recording.is_t3 else columns.nanotimes[:0],
            block.marker_times, block.marker_bits, columns.syncs[block.syncs],
        )  # fmt: skip

    def backwards(self, block: Block, index: int, last: int) -> PhotonFileError:
        """Return the error for record `index` of a block; `last` is the time before the block."""
        layout = self.recording.layout
        head = Block(block.first, block.records[:index], block.overflow, slice(0), slice(0), *_no_markers())
        photons, markers, syncs, _, _, ticks = self.count(head.records, layout.wrap, layout.mask)
        syncs = 0 if self.recording.is_t3 else syncs
        head.photons, head.syncs = slice(photons), slice(syncs)
        head.marker_times, head.marker_bits = np.empty(markers, np.int64), np.empty(markers, np.uint8)
        columns = Columns.empty(self.recording, photons, syncs)
        self.decode(head, columns)
        one = Block(0, block.records[index : index + 1], block.overflow + ticks, slice(1), slice(1), *_no_markers())
        now = Columns.empty(self.recording, 1, 1)
        photon = self.count(one.records, layout.wrap, layout.mask)[0] == 1
        self.decode(one, now)
        before = columns.timestamps if photon else columns.syncs
        t0 = int(before[-1]) if before.size else last
        t1 = int((now.timestamps if photon else now.syncs)[0])
        record = block.first + index
        at = self.recording.offset + 4 * record
        return PhotonFileError(
            f"{self.recording.path}: time runs backwards at record {record} (byte {at}): {t1} after {t0} ticks. The "
            f"file is damaged there; read it up to that point with read(path, until={record}).",
            offset=at,
        )


def _no_markers() -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    return np.empty(0, np.int64), np.empty(0, np.uint8)


def read_stream(recording: Recording, until: int | None = None) -> PhotonStream:
    """Read all records, or the first `until`, into one stream.

    Parameters
    ----------
    recording : Recording
        File whose header has been read.
    until : int, optional
        Number of records to read.

    Raises
    ------
    PhotonFileError
        If time runs backwards or the header cannot tell the units.

    Notes
    -----
    Two threads take blocks in turn: reading and counting a block is serial (it gives the block its place and its
    overflow), decoding is not.
    """
    n = recording.n_records if until is None else min(until, recording.n_records)
    say = _Warnings(recording.path)
    lengths = clock.units(recording, lambda: _survey(recording, n), say)
    columns = Columns.empty(recording, n, 0 if recording.is_t3 else n)
    with Path(recording.path).open("rb", buffering=0) as file:
        walk = Walk(recording, file, n)
        if n <= 2 * _BLOCK:
            blocks = _work(walk, columns, np.empty(min(n, _BLOCK), np.uint32))
        else:
            with ThreadPoolExecutor(2) as pool:
                parts = [pool.submit(_work, walk, columns, np.empty(_BLOCK, np.uint32)) for _ in range(2)]
                blocks = sorted((block for part in parts for block in part.result()), key=lambda block: block.first)
        _check_order(walk, blocks, columns)
    columns.trim()
    markers = _markers([b.marker_times for b in blocks], [b.marker_bits for b in blocks])
    end = _end_ticks(walk.overflow, columns.timestamps, columns.syncs, markers.timestamps) * lengths.timestamps_unit
    _say_what_is_odd(walk, say, partial=n < recording.n_records)
    length = _duration(walk, end, say, partial=n < recording.n_records)
    say.issue(3)
    return _stream(recording, lengths, columns, markers, start=0.0, duration=length)


def scan_stream(recording: Recording, chunk_size: int) -> Iterator[PhotonStream]:
    """Yield the stream of `read_stream` in pieces of about `chunk_size` records.

    Parameters
    ----------
    recording : Recording
        File whose header has been read.
    chunk_size : int
        Records read at a time.

    Notes
    -----
    A piece ends at the last overflow of its chunk: nothing that follows in the file can be earlier. What is later in
    the chunk opens the next piece. A chunk without overflow therefore only adds to the next piece.
    """
    say = _Warnings(recording.path)
    lengths = clock.units(recording, lambda: _survey(recording, recording.n_records), say)
    say.issue(1)
    unit, start = lengths.timestamps_unit, 0.0
    held, held_markers = Columns.empty(recording, 0, 0), Markers(*_no_markers())
    with Path(recording.path).open("rb", buffering=0) as file:
        walk = Walk(recording, file, recording.n_records)
        buffer = np.empty(min(chunk_size, recording.n_records), np.uint32)
        latest = 0
        while (block := walk.take(buffer, None)) is not None:
            columns = _decode_after(walk, block, held)
            markers = _markers([held_markers.timestamps, block.marker_times], [held_markers.bits, block.marker_bits])
            latest = max(latest, _end_ticks(walk.overflow, columns.timestamps, columns.syncs, markers.timestamps))
            if walk.next_record >= walk.n_records:
                held, held_markers = columns, markers
                break
            crowded = columns.n_photons + columns.n_syncs > 2 * chunk_size + 2**16
            cut = latest - 1 if crowded else walk.overflow  # the next chunk may begin in the last tick of this one
            head, held = _split(columns, cut)
            past = int(np.searchsorted(markers.timestamps, cut))
            if (head.n_photons or head.n_syncs or past) and cut * unit > start:
                marks = Markers(markers.timestamps[:past], markers.bits[:past])
                stop = cut * unit
                yield _stream(recording, lengths, head, marks, start=start, duration=_length(start, stop))
                start = stop
                held_markers = Markers(markers.timestamps[past:], markers.bits[past:])
            else:
                held, held_markers = columns, markers
    _say_what_is_odd(walk, say, partial=False)
    length = _duration(walk, latest * unit, say, partial=False)
    say.issue(1)
    yield _stream(recording, lengths, held, held_markers, start=start, duration=_length(start, max(length, start)))


class _Warnings:
    """Collect what is to be said of a file, then say it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.messages: list[str] = []

    def __call__(self, message: str) -> None:
        self.messages.append(message)

    def issue(self, depth: int) -> None:
        """Warn at the line of the user, `depth` calls above the caller."""
        for message in self.messages:
            warnings.warn(f"{self.path}: {message}.", PhotonFileWarning, stacklevel=depth + 2)
        self.messages.clear()


def _work(walk: Walk, columns: Columns, buffer: NDArray[np.uint32]) -> list[Block]:
    """Take and decode blocks until there are none."""
    done: list[Block] = []
    while True:
        with walk.lock:
            block = walk.take(buffer, columns)
        if block is None:
            return done
        block.bad = walk.decode(block, columns)
        block.records = buffer[:0]
        done.append(block)


def _check_order(walk: Walk, blocks: list[Block], columns: Columns) -> None:
    """Raise at the first record at which time runs backwards, in a block or from one block to the next."""
    for block in blocks:
        last, last_sync = (
            int(times[at.start - 1]) if at.start else -1
            for times, at in ((columns.timestamps, block.photons), (columns.syncs, block.syncs))
        )
        first, first_sync = (
            int(times[at.start]) if at.start < at.stop else _LATEST
            for times, at in ((columns.timestamps, block.photons), (columns.syncs, block.syncs))
        )
        if block.bad < 0 and first >= last and first_sync >= last_sync:
            continue
        again = np.empty(min(_BLOCK, walk.n_records - block.first), np.uint32)
        walk.file.seek(walk.recording.offset + 4 * block.first)
        walk.fill(again)
        block.records = again
        raise walk.backwards(block, walk.decode(block, columns, last, last_sync), last)


def _decode_after(walk: Walk, block: Block, held: Columns) -> Columns:
    """Decode a block behind the photons that the previous chunk left over."""
    n_photons, n_syncs = held.n_photons, held.n_syncs
    block.photons = slice(n_photons, n_photons + block.photons.stop)
    block.syncs = slice(n_syncs, n_syncs + block.syncs.stop)
    columns = Columns.empty(walk.recording, block.photons.stop, block.syncs.stop)
    columns.n_photons, columns.n_syncs = block.photons.stop, block.syncs.stop
    columns.timestamps[:n_photons] = held.timestamps
    columns.detectors[:n_photons] = held.detectors
    columns.nanotimes[: held.nanotimes.size] = held.nanotimes
    columns.syncs[:n_syncs] = held.syncs
    last = max(walk.last, int(held.timestamps[-1]) if n_photons else -1)
    last_sync = max(walk.last_sync, int(held.syncs[-1]) if n_syncs else -1)
    bad = walk.decode(block, columns, last, last_sync)
    if bad >= 0:
        raise walk.backwards(block, bad, last)
    walk.last = int(columns.timestamps[-1]) if columns.n_photons else last
    walk.last_sync = int(columns.syncs[-1]) if columns.n_syncs else last_sync
    return columns


def _split(columns: Columns, cut: int) -> tuple[Columns, Columns]:
    """Split before tick `cut`; the first part is a view, the rest its own."""
    k, s = int(np.searchsorted(columns.timestamps, cut)), int(np.searchsorted(columns.syncs, cut))
    head = Columns(columns.timestamps[:k], columns.detectors[:k], columns.nanotimes[:k], columns.syncs[:s], k, s)
    tail = Columns(
        columns.timestamps[k:].copy(),
        columns.detectors[k:].copy(),
        columns.nanotimes[k:].copy(),
        columns.syncs[s:].copy(),
        columns.n_photons - k,
        columns.n_syncs - s,
    )
    return head, tail


def _survey(recording: Recording, n_records: int) -> Survey:
    """Pass over the records for the evidence that a contradictory header needs."""
    buffer, end, longest = np.empty(min(n_records, _BLOCK), np.uint32), 0, 0
    with Path(recording.path).open("rb", buffering=0) as file:
        walk = Walk(recording, file, n_records)
        while (block := walk.take(buffer, None)) is not None:
            columns = Columns.empty(recording, block.photons.stop, block.syncs.stop)
            if walk.decode(block, columns) >= 0:
                break  # reading it in earnest says where and why
            markers = _markers([block.marker_times], [block.marker_bits]).timestamps
            end = max(end, _end_ticks(walk.overflow, columns.timestamps, columns.syncs, markers))
            longest = max(longest, int(columns.nanotimes.max(initial=0)))
    return Survey(end, longest)


def _end_ticks(overflow: int, *times: NDArray[np.int64]) -> int:
    """Return the tick at which the last record is over."""
    return max([overflow, *(int(t[-1]) + 1 for t in times if t.size)])


def _markers(times: list[NDArray[np.int64]], bits: list[NDArray[np.uint8]]) -> Markers:
    """Join markers; they are sorted, since the hardware places them only to some nanoseconds."""
    joined, masks = np.concatenate([_no_markers()[0], *times]), np.concatenate([_no_markers()[1], *bits])
    order = np.argsort(joined, kind="stable")
    return Markers(joined[order], masks[order])


def _length(start: float, stop: float) -> float:
    """Return the duration for which start + duration is exactly `stop`, where a float can do that."""
    length = stop - start
    for candidate in (length, math.nextafter(length, math.inf), math.nextafter(length, 0.0)):
        if start + candidate == stop:
            return candidate
    return length


def _duration(walk: Walk, end: float, say: _Warnings, *, partial: bool) -> float:
    overflows = walk.overflow / walk.recording.layout.wrap
    return clock.duration(walk.recording, end=end, overflows=overflows, n_read=walk.n_records, partial=partial, say=say)


def _stream(
    recording: Recording, lengths: Units, columns: Columns, markers: Markers, *, start: float, duration: float
) -> PhotonStream:
    values: dict[str, Any] = {name: getattr(columns, name) for name in ("timestamps", "detectors", "syncs")}
    return PhotonStream._trusted(
        **values,
        nanotimes=columns.nanotimes if recording.is_t3 else None,
        timestamps_unit=lengths.timestamps_unit,
        tcspc_unit=lengths.tcspc_unit,
        laser_period=lengths.laser_period,
        duration=duration,
        start=start,
        pulse_clock=recording.counts_pulses,
        markers=markers,
        info=recording.info,
    )


def _say_what_is_odd(walk: Walk, say: _Warnings, *, partial: bool) -> None:
    """Warn of everything that the bytes of the file contradict."""
    recording = walk.recording
    rest = max(recording.file_size - recording.offset, 0) % 4
    announced, held = recording.announced, recording.n_records
    if rest and not partial:
        at = recording.file_size - rest
        say(
            f"the last record (byte {at}) is truncated, {rest} of its 4 bytes are there; the {held} whole records count"
        )
    if announced is not None and announced != held and not partial:
        reason = (
            "the file is cut short" if announced > held
            else "the measurement was not closed properly" if announced <= 0
            else "the header is wrong or was written early"
        )  # fmt: skip
        say(f"the header announces {announced} records but the file holds {held}: {reason}. All {held} were read")
    mode, stated_mode = recording.info.measurement_mode, recording.info.tags.get("Measurement_Mode", None)
    if stated_mode is not None and stated_mode != mode:
        say(f"the header says measurement mode {stated_mode} but its record type is one of T{mode}, which is used")
    if walk.unknown:
        say(f"{walk.unknown} special records are of no known kind and were left out; the file may be damaged")
    if walk.odd:
        say(
            f"{walk.odd} photons are on channels that a PicoHarp does not have; they are kept under their own detector "
            "numbers (router channel 0 as detector 15)"
        )
