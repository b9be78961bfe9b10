"""A recording that can be walked through several times: in memory where it fits, else read again in pieces."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from photonstats.errors import PhotonFileWarning
from photonstats.io import fold, info, read, scan
from photonstats.stream import FileInfo, PhotonStream

MOST_RECORDS_IN_MEMORY = 40_000_000
SLOWEST_LASER = 1e3  # Hz; fewer sync records than that are noise on an open input


@dataclass
class Replay:
    """The photons of one source, with what is known of them as a whole.

    Parameters
    ----------
    photons : PhotonStream or None
        All photons, or None where the file is too large to hold.
    path : path or None
        The file to walk through where `photons` is None.
    about : dict
        Path, checksum, format and record type for the results.
    """

    photons: PhotonStream | None
    path: Path | None
    about: dict[str, Any]
    sync_note: str = ""
    bar: Any = None
    counts: dict[int, int] = field(default_factory=dict)
    duration: float = 0.0
    first: PhotonStream | None = None
    walked: bool = False
    n_markers: int = 0

    def pieces(self) -> Iterator[PhotonStream]:
        """Yield the photons from the start, and move the progress bar."""
        if self.photons is not None:
            yield self.photons
            self._advance(len(self.photons))
            return
        assert self.path is not None
        walk = scan(self.path)
        while (piece := self._next_of(walk)) is not None:
            yield piece
            self._advance(len(piece))

    @property
    def n_photons(self) -> int:
        """Number of photons."""
        return sum(self.counts.values())

    @property
    def is_pulsed(self) -> bool:
        """Whether timestamps count laser pulses and nanotimes are known."""
        return self.first is not None and bool(self.first.pulse_clock) and self.first.nanotimes is not None

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Show `name` at the progress bar."""
        if self.bar is not None:
            self.bar.reset()
            self.bar.set_description_str(name)
        yield

    def close(self) -> None:
        """End the progress bar."""
        if self.bar is not None:
            self.bar.close()

    def _next_of(self, walk: Iterator[PhotonStream]) -> PhotonStream | None:
        with warnings.catch_warnings():
            if self.walked:  # what is wrong with the file was said on the first walk
                warnings.simplefilter("ignore", PhotonFileWarning)
            return next(walk, None)

    def _advance(self, n: int) -> None:
        if self.bar is not None:
            self.bar.update(n)

    def _tally(self) -> None:
        n_syncs = 0
        for piece in self.pieces():
            if self.first is None:
                self.first = piece[:0]
                begin = piece.start
            n_syncs += piece.syncs.size
            self.n_markers += len(piece.markers)
            for detector, count in piece.counts_per_detector.items():
                self.counts[detector] = self.counts.get(detector, 0) + count
            self.duration = piece.start + piece.duration - begin
        self.walked = True
        if self.photons is None and n_syncs > SLOWEST_LASER * self.duration:
            self.sync_note = "the file is too large to fold its laser pulses here; fold a part of it, or write it as T3"


def open_replay(source: str | os.PathLike[str] | PhotonStream, *, progress: bool = False) -> Replay:
    """Open a file or take a stream, fold T2 with laser pulses to T3, and count what is there.

    Raises
    ------
    PhotonFileError
        If the file cannot be read.
    """
    if isinstance(source, PhotonStream):
        about = source.info
        replay = Replay(source, None, _source_of(about, None))
    else:
        path = Path(source)
        about = info(path)
        photons = read(path) if about.n_records <= MOST_RECORDS_IN_MEMORY else None
        replay = Replay(photons, path, _source_of(about, path))
    if replay.photons is not None and replay.photons.syncs.size > SLOWEST_LASER * replay.photons.duration:
        try:
            replay.photons = fold(replay.photons)
        except ValueError as error:
            replay.sync_note = f"the recorded laser pulses cannot be used: {error}"
    if progress:
        from tqdm import tqdm

        replay.bar = tqdm(unit=" photons", unit_scale=True, desc="counting", leave=False, dynamic_ncols=True)
    replay._tally()
    return replay


def _source_of(about: FileInfo | None, path: Path | None) -> dict[str, Any]:
    return {
        "path": None if path is None else str(path),
        "sha256": None if path is None else _sha256(path),
        "format": None if about is None else about.format,
        "record_type": None if about is None else about.record_type,
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
