"""The inside of a Photon-HDF5 file, with every size checked against what is stored before memory is taken for it."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photonstats.errors import PhotonFileError
from photonstats.io.header import refuse_pipe
from photonstats.stream import FileInfo

BLOCK = 1 << 20  # values converted at a time
_MOST_EXPANDED = 1100  # bytes from one stored byte; zlib reaches 1032
_SMALL_CHUNK = 1 << 24
_GROUP = re.compile(r"photon_data(\d*)")
_BLOSC = 32001
_HDF5_ERRORS = (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError, OverflowError, MemoryError)


@contextlib.contextmanager
def opened(path: str, spot: int | None, *, any_spot: bool = False) -> Iterator[Source]:
    """Open a Photon-HDF5 file; whatever goes wrong in it is a `PhotonFileError`."""
    refuse_pipe(path)
    with Path(path).open("rb"):  # a missing file is no damaged one
        pass
    with contextlib.ExitStack() as stack:
        with _errors(path, "an HDF5 file"):
            file = stack.enter_context(_h5py().File(path, "r"))
        with _errors(path, "the fields of Photon-HDF5"):
            source = Source(path, file, _spot(path, file, spot, any_spot=any_spot), stack)
        yield source


def _h5py() -> Any:
    import h5py

    return h5py


@contextlib.contextmanager
def _errors(path: str, expected: str) -> Iterator[None]:
    try:
        yield
    except PhotonFileError:
        raise
    except _HDF5_ERRORS as error:
        said = " ".join(str(error).split())[:200]
        raise PhotonFileError(f"{path}: expected {expected}, found damage: {said}") from error


def _spot(path: str, file: Any, spot: int | None, *, any_spot: bool) -> str:
    """Return the name of the group that holds the photons."""
    names = sorted((m[0] for m in map(_GROUP.fullmatch, file) if m), key=lambda name: int(name[11:] or -1))
    if not names:
        there = ", ".join(list(file)[:10]) or "nothing"
        raise PhotonFileError(
            f"{path}: expected Photon-HDF5 with the group photon_data, found an HDF5 file with {there}"
        )
    if spot is not None:
        if spot not in (numbers := [int(name[11:] or 0) for name in names]):
            raise PhotonFileError(f"{path}: there is no spot {spot}; spots are {', '.join(map(str, numbers))}")
        return names[numbers.index(spot)]
    if len(names) > 1 and not any_spot:
        raise PhotonFileError(
            f"{path}: expected one spot, found {len(names)} ({', '.join(names)}): read one of them with "
            f"photonstats.io.photon_hdf5.read_photon_hdf5(path, spot={names[0][11:]})"
        )
    return names[0]


class Source:
    """Photons of one spot and their units.

    Attributes
    ----------
    n, n_syncs : int
        Number of events, and of recorded laser pulses.
    unit, tcspc_unit, laser_period, duration, start : float
        In s; None where the file does not say.
    pulse_clock : bool
        Whether timestamps count laser pulses.
    marker_ids : list of int
        Detectors that stand for no photons.
    """

    def __init__(self, path: str, file: Any, name: str, stack: contextlib.ExitStack) -> None:
        self.path, self._file, self._stack, self._name = path, file, stack, name
        self._tables: Any = None
        self._times = self._array(f"{name}/timestamps", None)
        self.n = int(self._times.shape[0])
        self._detectors = self._array(f"{name}/detectors", self.n) if "detectors" in file[name] else None
        self._nanotimes = self._array(f"{name}/nanotimes", self.n) if "nanotimes" in file[name] else None
        user = "user/photonstats"
        self._syncs = self._array(f"{user}/syncs", None) if f"{user}/syncs" in file else None
        self.n_syncs = 0 if self._syncs is None else int(self._syncs.shape[0])
        unit = self._number(f"{name}/timestamps_specs/timestamps_unit")
        if unit is None or not 0 < unit < math.inf:
            raise PhotonFileError(f"{path}: expected {name}/timestamps_specs/timestamps_unit in s, found {unit}")
        self.unit = unit
        self.tcspc_unit = self._tcspc_unit()
        self.laser_period = self._laser_period(own=user in file)
        self.pulse_clock = self._pulse_clock()
        self.duration = self._number("acquisition_duration")
        self.start = self._number(f"{user}/start") or 0.0
        self.marker_ids = self._marker_ids()
        self.info = FileInfo(
            path, "Photon-HDF5", "Photon-HDF5", 2 if self._nanotimes is None else 3, self.n, self._tags()
        )

    @property
    def ends(self) -> tuple[int, int]:
        """First and last timestamp; (0, 0) without photons."""
        return (self.time_of(0), self.time_of(self.n - 1)) if self.n else (0, 0)

    def time_of(self, i: int) -> int:
        """Return timestamp `i`."""
        return int(self._values(self._times, i, i + 1, np.int64, "timestamps")[0])

    def read(
        self, start: int, stop: int
    ) -> tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.uint16] | None]:  # fmt: skip
        """Return timestamps, detectors and nanotimes of events `start` to `stop`, checked for the order of time."""
        times = self._values(self._times, start, stop, np.int64, "timestamps")
        if times.size and start and times[0] < (before := self.time_of(start - 1)):
            raise PhotonFileError(
                f"{self.path}: {self._name}/timestamps: time runs backwards at photon {start}: {times[0]} after "
                f"{before} ticks. The file is damaged, or its timestamps were never sorted"
            )
        for i in range(0, times.size, BLOCK):
            back = np.flatnonzero(times[i + 1 : i + BLOCK + 1] < times[i : i + BLOCK][: times.size - i - 1])
            if back.size:
                k = i + int(back[0]) + 1
                raise PhotonFileError(
                    f"{self.path}: {self._name}/timestamps: time runs backwards at photon {start + k}: {times[k]} "
                    f"after {times[k - 1]} ticks. The file is damaged, or its timestamps were never sorted"
                )
        if self._detectors is None:
            detectors = np.zeros(times.size, np.uint8)
        else:
            detectors = self._values(self._detectors, start, stop, np.uint8, "detectors")
        if self._nanotimes is None:
            return times, detectors, None
        return times, detectors, self._values(self._nanotimes, start, stop, np.uint16, "nanotimes")

    def syncs(self, start: int, stop: int) -> NDArray[np.int64]:
        """Return recorded laser pulses `start` to `stop`."""
        if self._syncs is None:
            return np.empty(0, np.int64)
        return self._values(self._syncs, start, stop, np.int64, "syncs")

    def syncs_before(self, tick: int, start: int) -> int:
        """Return the index of the first recorded laser pulse at or after `tick`, searching from `start`."""
        while start < self.n_syncs:
            block = self.syncs(start, min(start + BLOCK, self.n_syncs))
            past = int(np.searchsorted(block, tick))
            start += past
            if past < block.size:
                break
        return start

    def user_markers(self) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """Return times and bits of the markers that this package wrote."""
        group = "user/photonstats/markers_"
        if f"{group}timestamps" not in self._file:
            return np.empty(0, np.int64), np.empty(0, np.uint8)
        with _errors(self.path, "markers"):
            times = self._array(f"{group}timestamps", None)
            n = int(times.shape[0])
            bits = self._array(f"{group}bits", n)
            return self._values(times, 0, n, np.int64, "markers"), self._values(bits, 0, n, np.uint8, "marker bits")

    def _array(self, name: str, n: int | None) -> Any:
        """Return the dataset `name`, once what it declares is found to be stored."""
        data = self._file.get(name)
        where = f"{self.path}: {name}"
        if not isinstance(data, _h5py().Dataset):
            raise PhotonFileError(f"{where}: expected an array, found {'nothing' if data is None else 'a group'}")
        if data.ndim != 1 or data.dtype.kind not in "iu":
            raise PhotonFileError(f"{where}: expected whole numbers in one dimension, found {data.dtype}{data.shape}")
        if n is not None and data.shape[0] != n:
            raise PhotonFileError(f"{where}: expected {n} values, one for each timestamp, found {data.shape[0]}")
        if data.is_virtual or data.external:
            raise PhotonFileError(f"{where}: expected the values in this file, found a reference to other files")
        self._check_stored(where, data)
        if data.shape[0] and _BLOSC in _filters(data) and not _h5py().h5z.filter_avail(_BLOSC):
            return self._by_tables(name)
        return data

    def _check_stored(self, where: str, data: Any) -> None:
        """Compare the declared shape with what lies in the file, before anything of that size is allocated."""
        needed = data.shape[0] * data.dtype.itemsize
        stored = data.id.get_storage_size()
        if data.chunks is None:
            if needed > stored:
                raise PhotonFileError(f"{where}: expected {needed} bytes for {data.shape[0]} values, found {stored}")
            return
        chunk = data.chunks[0] * data.dtype.itemsize
        n_chunks, found = -(-data.shape[0] // data.chunks[0]), data.id.get_num_chunks()
        if found < n_chunks:
            raise PhotonFileError(
                f"{where}: expected {n_chunks} chunks for {data.shape[0]} values, found {found}. The file was not "
                f"written to its end"
            )
        most = _MOST_EXPANDED * stored + _SMALL_CHUNK
        if max(needed, chunk) > most:
            raise PhotonFileError(
                f"{where}: expected at most {most} bytes from {stored} stored ones, found {data.shape[0]} values in "
                f"chunks of {chunk} bytes"
            )

    def _by_tables(self, name: str) -> Any:
        """Return an array that h5py has no filter for."""
        import tables

        if self._tables is None:
            self._tables = self._stack.enter_context(tables.open_file(self.path, "r"))
        return self._tables.get_node(f"/{name}")

    def _values(self, data: Any, start: int, stop: int, dtype: Any, what: str) -> NDArray[Any]:
        """Return part of an array as `dtype`, checked for values that do not fit it."""
        out = np.empty(max(stop - start, 0), dtype)
        limits = np.iinfo(dtype)
        fits = np.can_cast(data.dtype, dtype)
        with _errors(self.path, f"{what} {start} to {stop}"):
            if data.dtype == out.dtype and out.size and hasattr(data, "read_direct"):
                data.read_direct(out, np.s_[start:stop])
                return out
            for i in range(start, stop, BLOCK):
                part = np.asarray(data[i : min(i + BLOCK, stop)])
                if not fits and part.size and not (limits.min <= part.min() and part.max() <= limits.max):
                    k = int(np.flatnonzero((part < limits.min) | (part > limits.max))[0])
                    raise PhotonFileError(
                        f"{self.path}: {self._name}: expected {what} of {limits.min} to {limits.max}, found {part[k]} "
                        f"at photon {i + k}"
                    )
                out[i - start : i - start + part.size] = part
        return out

    def _number(self, name: str) -> float | None:
        """Return a finite number, or None where there is none."""
        values = self._numbers(name)
        return values[0] if len(values) == 1 and math.isfinite(values[0]) else None

    def _numbers(self, name: str) -> list[float]:
        data = self._file.get(name)
        if not isinstance(data, _h5py().Dataset) or data.dtype.kind not in "iufb" or not _is_small(data):
            return []
        return [float(value) for value in np.ravel(data[()])]

    def _tcspc_unit(self) -> float | None:
        names = ["user/photonstats/tcspc_unit"]
        if self._nanotimes is not None:
            names = [f"{self._name}/nanotimes_specs/tcspc_unit"]
            names += ["setup/detectors/tcspc_units", "setup/detectors/tcspc_unit"]
        found = next((values for values in map(self._numbers, names) if values), [])
        if self._nanotimes is None and not found:
            return None
        if len(set(found)) != 1 or not 0 < found[0] < math.inf:
            raise PhotonFileError(
                f"{self.path}: expected {self._name}/nanotimes_specs/tcspc_unit in s, one for all detectors, found "
                f"{found or 'nothing'}"
            )
        return found[0]

    def _laser_period(self, *, own: bool) -> float | None:
        if own:
            return self._number("user/photonstats/laser_period")
        rate = self._number(f"{self._name}/measurement_specs/laser_repetition_rate")
        if rate is None:
            rates = {value for value in self._numbers("setup/laser_repetition_rates") if value > 0}
            rate = rates.pop() if len(rates) == 1 else None
        return 1 / rate if rate is not None and rate > 0 else None

    def _pulse_clock(self) -> bool:
        own = self._number("user/photonstats/pulse_clock")
        if own is not None:
            return own != 0
        return self._nanotimes is not None and (
            self.laser_period is None or math.isclose(self.laser_period, self.unit, rel_tol=0.01)
        )

    def _marker_ids(self) -> list[int]:
        """Return detectors that the file declares as no photons, in the order of their bits."""
        specs = f"{self._name}/measurement_specs/detectors_specs"
        if specs not in self._file:
            return []
        names = [n for n in self._file[specs] if n in {"markers", "marker"} or n.startswith("non_photon_id")]
        ids = [int(value) for name in sorted(names) for value in self._numbers(f"{specs}/{name}")]
        if len(ids) > 8 or not all(0 <= i < 256 for i in ids):
            raise PhotonFileError(f"{self.path}: {specs}: expected up to 8 detectors that are markers, found {ids}")
        return ids

    def _tags(self) -> dict[str, Any]:
        """Return all scalars and short arrays by their path."""
        tags: dict[str, Any] = {}

        def keep(name: str, node: Any) -> None:
            if isinstance(node, _h5py().Dataset) and _is_small(node) and len(tags) < 4096:
                tags[name] = _plain(node[()])

        self._file.visititems(keep)
        return tags


def _is_small(data: Any) -> bool:
    """Return whether reading a field takes no memory worth counting, whatever its header says."""
    if data.size is None or data.is_virtual or data.external:
        return False
    stored = math.prod(data.chunks) if data.chunks else 0
    return bool(max(data.size, stored) * data.dtype.itemsize <= 1 << 16 and not _filters(data) - {1, 2, 3})


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if isinstance(value, np.generic | np.ndarray):
        return _plain(value.item()) if value.ndim == 0 else [_plain(v) for v in value.tolist()]
    return value


def _filters(data: Any) -> set[int]:
    plist = data.id.get_create_plist()
    return {plist.get_filter(i)[0] for i in range(plist.get_nfilters())}
