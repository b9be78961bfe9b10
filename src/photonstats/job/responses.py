"""Instrument responses from files."""

from __future__ import annotations

from pathlib import Path

from photonstats.curve import Decay
from photonstats.decays.lifetime import decay
from photonstats.errors import PhotonFileError
from photonstats.io import fold, read, read_decay


def read_irf(
    path: str | Path, *, bin_width: float | None = None, curve: int | None = None, time_unit: float | None = None
) -> Decay | dict[int, Decay]:
    """Read an instrument response from a PHU or text file, or from a time-tag file of scattered laser light.

    Parameters
    ----------
    path : str or Path
        Any file that `read` or `read_decay` takes.
    bin_width : float, optional
        Bins of a response from time tags, s, by default those of the hardware; or of a text of counts alone.
    curve : int, optional
        Which curve of a PHU file.
    time_unit : float, optional
        Unit of the times in a text file, s.

    Returns
    -------
    Decay or dict of int to Decay
        The curve of a PHU or text file; of a time-tag file one response for each detector, as cables and jitter
        differ.

    Raises
    ------
    PhotonFileError
        If the file is neither.
    ValueError
        If the time tags have no nanotimes.
    """
    try:
        photons = read(path)
    except PhotonFileError as not_time_tags:
        try:
            return read_decay(path, curve=curve, time_unit=time_unit)
        except PhotonFileError as not_a_curve:
            if bin_width is not None and "one column" in str(not_a_curve):
                return read_decay(path, bin_width=bin_width)
            if Path(path).suffix.lower() in {".ptu", ".ht3", ".ht2", ".pt3", ".pt2", ".t3r", ".h5", ".hdf5"}:
                raise not_time_tags from None
            raise
    if photons.syncs.size:
        photons = fold(photons)
    return {d: decay(photons, detectors=d, bin_width=bin_width) for d in sorted(photons.counts_per_detector)}
