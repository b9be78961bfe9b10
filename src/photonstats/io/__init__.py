"""Files in and out: `read`, `scan`, `info`, `read_decay`, `fold` and the writers.

`READERS` lists what can be read: a name, the bytes that such a file begins with, and the function that opens it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from photonstats.errors import PhotonFileError
from photonstats.io.header import refuse_pipe
from photonstats.io.recording import Recording, Source
from photonstats.stream import FileInfo, PhotonStream

if TYPE_CHECKING:
    from photonstats.io.folding import fold
    from photonstats.io.photon_hdf5 import write_photon_hdf5
    from photonstats.io.phu import read_decay
    from photonstats.io.writers import write_ptu

__all__ = ["READERS", "fold", "info", "read", "read_decay", "scan", "write_photon_hdf5", "write_ptu"]

_ELSEWHERE = {
    "fold": "folding",
    "read_decay": "phu",
    "write_photon_hdf5": "photon_hdf5",
    "write_ptu": "writers",
}


def __getattr__(name: str) -> Any:
    if name not in _ELSEWHERE:
        raise AttributeError(f"module 'photonstats.io' has no attribute {name!r}")
    return getattr(import_module(f"photonstats.io.{_ELSEWHERE[name]}"), name)


def _records(recording: Recording) -> Source:
    def read_records(until: int | None) -> PhotonStream:
        from photonstats.io.decode import read_stream

        return read_stream(recording, until)

    def scan_records(chunk_size: int) -> Iterator[PhotonStream]:
        from photonstats.io.decode import scan_stream

        return scan_stream(recording, chunk_size)

    return Source(recording.info, read_records, scan_records)


def _open_ptu(path: str) -> Source:
    from photonstats.io.picoquant import open_ptu

    return _records(open_ptu(path))


def _open_hydraharp(path: str) -> Source:
    from photonstats.io.legacy import open_hydraharp

    return _records(open_hydraharp(path))


def _open_picoharp(path: str) -> Source:
    from photonstats.io.legacy import open_picoharp

    return _records(open_picoharp(path))


def _open_timeharp(path: str) -> Source:
    from photonstats.io.legacy import open_timeharp

    return _records(open_timeharp(path))


def _open_photon_hdf5(path: str) -> Source:
    from photonstats.io import photon_hdf5

    def read_all(until: int | None) -> PhotonStream:
        if until is not None:
            raise ValueError("until counts records of a time tagger's own file; for Photon-HDF5 slice the stream")
        return photon_hdf5.read_photon_hdf5(path)

    def scan_all(chunk_size: int) -> Iterator[PhotonStream]:
        return iter(photon_hdf5.scan_photon_hdf5(path, chunk_size))

    return Source(photon_hdf5.info_photon_hdf5(path), read_all, scan_all)


def _refuse(what: str, advice: str) -> Callable[[str], Source]:
    def refuse(path: str) -> Source:
        raise PhotonFileError(
            f"{path}: byte 0: expected a file of time-tagged photons, found {what}. {advice}", offset=0
        )

    return refuse


_CURVES = "Open it with photonstats.read_decay(path)."
_PACKED = "Unpack it and read the file inside."

READERS: tuple[tuple[str, bytes, Callable[[str], Source]], ...] = (
    ("PTU", b"PQTTTR", _open_ptu),
    ("HydraHarp HT2, HT3", b"HydraHarp", _open_hydraharp),
    ("PicoHarp PT2, PT3", b"PicoHarp 300", _open_picoharp),
    ("TimeHarp 200 T3R", b"TimeHarp 200", _open_timeharp),
    ("Photon-HDF5", b"\x89HDF\r\n\x1a\n", _open_photon_hdf5),
    ("PHU", b"PQHISTO", _refuse("a PHU histogram file (curves, not photons)", _CURVES)),
    ("PCK", b"PQCHECK", _refuse("a PCK check file of PicoQuant", "It holds no photons.")),
    ("PQRES", b"PQRESLT", _refuse("a PQRES file of results from SymPhoTime", "Read the PTU file that it came from.")),
    ("PUS", b"PQUNI", _refuse("a PicoQuant settings file", "It holds no photons.")),
    ("gzip", b"\x1f\x8b", _refuse("a gzip archive", _PACKED)),
    ("zip", b"PK\x03\x04", _refuse("a zip archive", _PACKED)),
)


def read(path: str | os.PathLike[str], *, until: int | None = None) -> PhotonStream:
    """Read the photons of a file, recognised by its content.

    Parameters
    ----------
    path : path
        PTU (any of PicoQuant's record types), HT2, HT3, PT2, PT3, T3R or Photon-HDF5; the extension does not matter.
    until : int, optional
        Read only so many records of a time tagger's own file, such as those before damage. The duration is then the
        time of the last of them.

    Returns
    -------
    PhotonStream
        Photons, markers and T2 syncs, with the measured window and the header in `info`.

    Raises
    ------
    PhotonFileError
        If the file is of no known kind, damaged, or does not tell its units.
    FileNotFoundError
        If there is no such file.

    Warns
    -----
    PhotonFileWarning
        If the file is truncated (whole records are kept) or contradicts itself.

    Notes
    -----
    Detectors are numbered from 0 by hardware input: PicoHarp's router channels 1-4 are 0-3. T3 timestamps count laser
    pulses, and the header's own resolution is the laser period. The nanotimes of TimeHarp 200, which measures towards
    the next pulse, are turned round so that they grow after the pulse; its timestamps count 100 ns.
    """
    if until is not None and until < 0:
        raise ValueError(f"until must be a number of records >= 0, it is {until}")
    return _open(path).read(until)


def scan(path: str | os.PathLike[str], chunk_size: int = 2**22) -> Iterator[PhotonStream]:
    """Read a file piece by piece: bounded memory, the same photons in the same order.

    Parameters
    ----------
    path : path
        As for `read`.
    chunk_size : int
        Records read at a time.

    Yields
    ------
    PhotonStream
        Pieces whose windows [start, start + duration) tile the recording; at least one.

    Raises
    ------
    PhotonFileError
        As for `read`; what is wrong with the header is raised at once, damage among the records when it is reached.
    """
    if chunk_size < 1:
        raise ValueError(f"chunk_size must be a number of records >= 1, it is {chunk_size}")
    return _open(path).scan(chunk_size)


def info(path: str | os.PathLike[str]) -> FileInfo:
    """Read the header of a file and nothing else.

    Parameters
    ----------
    path : path
        As for `read`.

    Returns
    -------
    FileInfo
        Format, record type, number of records that the file really holds, and all entries of the header. Entries with
        an index are lists.

    Raises
    ------
    PhotonFileError
        If the file is of no known kind or its header is damaged.
    """
    return _open(path).info


def _open(path: str | os.PathLike[str]) -> Source:
    name = os.fspath(path)
    refuse_pipe(name)
    with Path(name).open("rb") as file:
        head = file.read(512)
    for _, magic, opener in READERS:
        if head.startswith(magic):
            return opener(name)
    raise PhotonFileError(f"{name}: byte 0: expected {_known()}, found {_what(head)}.", offset=0)


def _known() -> str:
    names = [name for name, _, opener in READERS if opener.__name__ != "refuse"]
    return f"the signature of a photon file ({'; '.join(names)})"


def _what(head: bytes) -> str:
    if not head:
        return "an empty file"
    if all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in head):
        return f"text beginning with {head[:24].decode()!r}"
    return f"bytes beginning with {head[:12].hex(' ')}"
