"""Photon-HDF5: read any valid file without trusting its header, write valid files through phconvert."""

from __future__ import annotations

import contextlib
import io
import math
import os
import warnings
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photonstats.errors import PhotonFileError, PhotonFileWarning
from photonstats.io.atomic import atomic_path
from photonstats.io.hdf5_source import BLOCK, Source, opened
from photonstats.stream import FileInfo, Markers, PhotonStream

_ROUNDING = 0.1  # s; phconvert rounds the acquisition duration to it, and means last photon minus first


def info_photon_hdf5(path: str | os.PathLike[str], *, spot: int | None = None) -> FileInfo:
    """Read what a Photon-HDF5 file says of itself.

    Parameters
    ----------
    path : str or path
        A Photon-HDF5 file.
    spot : int, optional
        Which spot of a multi-spot file; by default the first one.

    Raises
    ------
    PhotonFileError
        If the file is no Photon-HDF5, or damaged.
    """
    with opened(os.fspath(path), spot, any_spot=True) as source:
        return source.info


def read_photon_hdf5(path: str | os.PathLike[str], *, spot: int | None = None) -> PhotonStream:
    """Read the photons of a Photon-HDF5 file.

    Parameters
    ----------
    path : str or path
        A Photon-HDF5 file (0.4, 0.5); zlib, lzf or blosc.
    spot : int, optional
        Which spot, where the file holds several (``photon_data0``, ``photon_data1``, ...).

    Returns
    -------
    PhotonStream
        Without nanotimes where the file has none, with all detectors 0 where it names none. Detectors that the file
        declares as no photons (``detectors_specs/markers`` or ``non_photon_id1``, ...) become markers, bit 0 for the
        first of them.

    Raises
    ------
    PhotonFileError
        If the file is no Photon-HDF5 or damaged, holds several spots and none is chosen, or time runs backwards.

    Warns
    -----
    PhotonFileWarning
        If the acquisition duration is missing or does not cover the photons.
    """
    with opened(os.fspath(path), spot) as source:
        start, duration = _window(source)
        photons = source.read(0, source.n)
        markers = Markers(*source.user_markers())
        photons, extra = _split(source, *photons)
        return _stream(source, photons, _merged(markers, extra), source.syncs(0, source.n_syncs), start, duration)


def scan_photon_hdf5(
    path: str | os.PathLike[str], chunk_size: int = 2**22, *, spot: int | None = None
) -> Iterator[PhotonStream]:  # fmt: skip
    """Read a Photon-HDF5 file piece by piece: bounded memory, the same photons in the same order.

    Parameters
    ----------
    path : str or path
        A Photon-HDF5 file.
    chunk_size : int
        Photons read at a time.
    spot : int, optional
        Which spot, where the file holds several.

    Yields
    ------
    PhotonStream
        Pieces whose windows [start, start + duration) tile the recording; at least one.

    Raises
    ------
    PhotonFileError
        As for `read_photon_hdf5`; what is wrong with the header is raised at once.
    """
    if chunk_size < 1:
        raise ValueError(f"chunk_size must be a number of photons >= 1, it is {chunk_size}")
    with opened(os.fspath(path), spot) as source:
        window = _window(source)
    return _pieces(os.fspath(path), spot, chunk_size, window)


def _pieces(path: str, spot: int | None, chunk_size: int, window: tuple[float, float]) -> Iterator[PhotonStream]:
    begin, end = window[0], window[0] + window[1]
    with opened(path, spot) as source:
        markers = Markers(*source.user_markers())
        at = n_syncs = n_markers = 0
        while True:
            photons = source.read(at, min(at + chunk_size, source.n))
            at += photons[0].size
            last = at >= source.n
            if not last:  # photons of one tick stay together: windows are half-open
                keep = int(np.searchsorted(photons[0], photons[0][-1]))
                if keep and photons[0][keep] * source.unit > begin:
                    at -= photons[0].size - keep
                    photons = (photons[0][:keep], photons[1][:keep], None if photons[2] is None else photons[2][:keep])
                cut = source.time_of(at)
            else:
                cut = np.iinfo(np.int64).max
            stop = end if last else min(max(cut * source.unit, begin), end)
            to_marker = int(np.searchsorted(markers.timestamps, cut)) if not last else len(markers)
            to_sync = source.syncs_before(cut, n_syncs) if not last else source.n_syncs
            own = Markers(markers.timestamps[n_markers:to_marker], markers.bits[n_markers:to_marker])
            kept, extra = _split(source, *photons)
            yield _stream(source, kept, _merged(own, extra), source.syncs(n_syncs, to_sync), begin, stop - begin)
            begin, n_markers, n_syncs = stop, to_marker, to_sync
            if last:
                return


Columns = tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.uint16] | None]


def _split(
    source: Source, times: NDArray[np.int64], detectors: NDArray[np.uint8], nanotimes: NDArray[np.uint16] | None
) -> tuple[Columns, Markers]:
    """Take events that are no photons out of the photons."""
    bit_of = np.zeros(256, np.uint8)
    for bit, detector in enumerate(source.marker_ids):
        bit_of[detector] = 1 << bit
    bits = bit_of[detectors] if source.marker_ids else np.zeros(0, np.uint8)
    if not bits.any():
        return (times, detectors, nanotimes), Markers(times[:0], bits[:0])
    is_photon = bits == 0
    kept = (times[is_photon], detectors[is_photon], None if nanotimes is None else nanotimes[is_photon])
    return kept, Markers(times[~is_photon], bits[~is_photon])


def _merged(a: Markers, b: Markers) -> Markers:
    if not len(b):
        return a
    times, bits = np.concatenate([a.timestamps, b.timestamps]), np.concatenate([a.bits, b.bits])
    order = np.argsort(times, kind="stable")
    return Markers(times[order], bits[order])


def _stream(
    source: Source, photons: Columns, markers: Markers, syncs: NDArray[np.int64], start: float, duration: float
) -> PhotonStream:
    return PhotonStream._trusted(
        timestamps=photons[0],
        detectors=photons[1],
        nanotimes=photons[2],
        timestamps_unit=source.unit,
        tcspc_unit=source.tcspc_unit,
        laser_period=source.laser_period,
        pulse_clock=source.pulse_clock,
        duration=duration,
        start=start,
        markers=markers,
        syncs=syncs,
        info=source.info,
    )


def _window(source: Source) -> tuple[float, float]:
    """Return start and duration of the recorded window, s.

    Files of phconvert state "last photon minus first, to 0.1 s", on a clock that need not begin at 0: a duration that
    ends before the last photon is stretched by up to that, or moved to the photons where they fit it.
    """
    first, last = source.ends
    unit, stated = source.unit, source.duration
    end = last * unit
    if stated is None or (stated <= 0 and source.n):
        message = (
            f"expected acquisition_duration in s, found {stated}; the window ends with the last photon, {end:.6g} s"
        )
        warnings.warn(f"{source.path}: {message}", PhotonFileWarning, stacklevel=4)
        return min(first * unit, 0.0), end - min(first * unit, 0.0)
    start = source.start
    if not source.n or (first * unit >= start - unit and end <= (start + stated) * (1 + 1e-9) + unit):
        return start, stated
    if first * unit >= 0 and end <= start + stated + _ROUNDING:
        return start, end - start
    span = (last - first) * unit
    if span <= stated + _ROUNDING:
        return first * unit, max(stated, span)
    warnings.warn(
        f"{source.path}: acquisition_duration is {stated:.6g} s but photons run from {first * unit:.6g} s to "
        f"{end:.6g} s; the photons are believed",
        PhotonFileWarning,
        stacklevel=4,
    )
    return (0.0, end) if first >= 0 else (first * unit, span)


def write_photon_hdf5(photons: PhotonStream, path: str | os.PathLike[str], *, description: str = "") -> None:
    """Write photons to a Photon-HDF5 file, checked by phconvert.

    Parameters
    ----------
    photons : PhotonStream
        What to write.
    path : str or path
        File to make; an existing one is replaced once the new one is complete and valid.
    description : str
        Text for the field ``/description``.

    Notes
    -----
    Everything that `PhotonStream` holds comes back exactly. What the format has no field for (start of the window,
    laser period beside its rate, markers, sync pulses) lies in the group ``/user/photonstats``.

    References
    ----------
    Ingargiola et al., Biophys. J. 110, 26 (2016).

    Examples
    --------
    >>> import tempfile, photonstats as ps
    >>> photons = ps.PhotonStream([1, 5], [0, 1], timestamps_unit=1e-12, duration=1.0)
    >>> ps.write_photon_hdf5(photons, tempfile.mkdtemp() + "/two.h5")
    """
    data = _fields(photons, description)
    with atomic_path(path) as temporary, _quiet():
        import tables
        from phconvert import hdf5

        try:
            file = hdf5.save_photon_hdf5(
                data,
                h5_fname=str(temporary),
                overwrite=True,
                compression={"complevel": 3, "complib": "zlib"},
                close=False,
                validate=False,
            )
            _correct_identity(file, Path(path))
            _write_user(file, photons)
            file.flush()
            hdf5.assert_valid_photon_hdf5(file, warnings=False)
        except (hdf5.Invalid_PhotonHDF5, tables.HDF5ExtError) as error:
            raise OSError(f"{path}: could not be written, is the disk full? ({error})") from None
        finally:
            if "_data_file" in data:
                data["_data_file"].close()
        _check_written(temporary, len(photons), os.fspath(path))


def _check_written(temporary: Path, n_photons: int, path: str) -> None:
    """Read back what was written: HDF5 says nothing of a disk that fills up while a file is closed."""
    try:
        found = sum(len(piece) for piece in scan_photon_hdf5(temporary))
    except PhotonFileError:
        found = -1
    if found != n_photons:
        raise OSError(f"{path}: could not be written, what arrived on the disk is cut; is it full?")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep phconvert from printing, and from warning of fields that describe a sample we know nothing of."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _fields(photons: PhotonStream, description: str) -> dict[str, Any]:
    """Return the fields of the file, as phconvert takes them."""
    counts = photons.counts_per_detector or {0: 0}
    ids = np.array(list(counts), np.uint8)
    period = photons.laser_period
    if period is None and photons.pulse_clock:
        period = photons.timestamps_unit
    pulsed = photons.nanotimes is not None or period is not None
    rate = 0.0 if period is None else 1 / period
    measurement: dict[str, Any] = {"measurement_type": "generic", "detectors_specs": {"spectral_ch1": ids}}
    setup: dict[str, Any] = {
        "num_pixels": ids.size,
        "num_spots": 1,
        "num_spectral_ch": 1,
        "num_polarization_ch": 1,
        "num_split_ch": 1,
        "modulated_excitation": False,
        "excitation_alternated": [False],
        "excitation_cw": [not pulsed],
        "lifetime": photons.nanotimes is not None,
        "detectors": {"id": ids, "id_hardware": ids, "counts": np.array(list(counts.values()), np.int64)},
    }
    if pulsed:
        measurement["laser_repetition_rate"] = rate
        setup["laser_repetition_rates"] = [rate]
    data: dict[str, Any] = {
        "timestamps": photons.timestamps,
        "detectors": photons.detectors,
        "timestamps_specs": {"timestamps_unit": float(photons.timestamps_unit)},
        "measurement_specs": measurement,
    }
    if photons.nanotimes is not None and photons.tcspc_unit is not None:
        most = int(photons.nanotimes.max(initial=0)) + 1
        n_bins = most if period is None else max(most, min(math.ceil(period / photons.tcspc_unit), 1 << 16))
        data["nanotimes"] = photons.nanotimes
        data["nanotimes_specs"] = {
            "tcspc_unit": float(photons.tcspc_unit),
            "tcspc_num_bins": n_bins,
            "tcspc_range": n_bins * float(photons.tcspc_unit),
        }
    return {
        "description": description or "Time-tagged photons",
        "acquisition_duration": float(photons.duration),
        "photon_data": data,
        "setup": setup,
        "provenance": _provenance(photons.info),
    }


def _provenance(info: FileInfo | None) -> dict[str, str]:
    """Return what is known of the file that the photons came from; made now where they came from none."""
    from photonstats import __version__

    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
    if info is None:
        return {"software": "photonstats", "software_version": __version__, "creation_time": now}
    source = Path(info.path)
    software = _text(info.tags, "CreatorSW_Name", "provenance/software", "identity/software") or "unknown"
    version = _text(info.tags, "CreatorSW_Version", "provenance/software_version", "identity/software_version")
    return {
        "filename": source.name,
        "filename_full": str(source.resolve()),
        "software": software,
        "software_version": version or "unknown",
        "creation_time": _text(info.tags, "File_CreatingTime", "provenance/creation_time") or now,
    }


def _text(tags: Mapping[str, Any], *names: str) -> str | None:
    return next((str(tags[name]) for name in names if isinstance(tags.get(name), str) and tags[name]), None)


def _correct_identity(file: Any, path: Path) -> None:
    """Put the final name of the file and our own in the place of the temporary one and phconvert's."""
    from photonstats import __version__

    identity = file.root.identity
    for name, value in {
        "filename": path.name,
        "filename_full": str(path.resolve()),
        "software": "photonstats",
        "software_version": __version__,
    }.items():
        title = identity._f_get_child(name)._v_title
        file.remove_node(identity, name)
        file.create_array(identity, name, obj=value.encode(), title=title)


def _write_user(file: Any, photons: PhotonStream) -> None:
    """Keep what Photon-HDF5 has no field for."""
    group = file.create_group("/user", "photonstats", createparents=True)
    scalars = {"start": photons.start, "pulse_clock": int(bool(photons.pulse_clock))}
    if photons.laser_period is not None:
        scalars["laser_period"] = photons.laser_period
    if photons.nanotimes is None and photons.tcspc_unit is not None:
        scalars["tcspc_unit"] = photons.tcspc_unit
    for name, value in scalars.items():
        file.create_array(group, name, obj=value)
    if photons.info is not None:
        for name in ("format", "record_type"):
            file.create_array(group, f"source_{name}", obj=(getattr(photons.info, name) or "unknown").encode())
    arrays: dict[str, NDArray[Any]] = {
        "markers_timestamps": photons.markers.timestamps,
        "markers_bits": photons.markers.bits,
        "syncs": photons.syncs,
    }
    for name, values in arrays.items():
        if values.size:
            file.create_carray(group, name, obj=values, chunkshape=(min(values.size, BLOCK // 16),))
