"""What `analyze` finds in the switching of a dot: change points, levels, FLID, and whether it flickers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from photonstats.background import Background
from photonstats.curve import Decay
from photonstats.decays.decay_model import GaussianIRF
from photonstats.decays.segments import Segments
from photonstats.switching.changepoints import change_points
from photonstats.switching.continuum import Flickering, flickering
from photonstats.switching.level_clustering import Levels, levels
from photonstats.switching.lifetime_intensity import Flid, flid

if TYPE_CHECKING:
    from photonstats.job.replay import Replay
    from photonstats.traces.intensity import IntensityTrace

MOST_PHOTONS = 50_000_000  # of which change points fit into memory
FEWEST_PHOTONS = 20
Response = Decay | GaussianIRF | None


def response_of_all(
    irf: Decay | GaussianIRF | Mapping[int, Decay] | None, counts: Mapping[int, int]
) -> tuple[Response, int | None]:
    """Return the one response that fits of segments take, and the detector it belongs to; None for all of them."""
    if not isinstance(irf, Mapping):
        return irf, None
    known = {d: n for d, n in counts.items() if d in irf}
    if not known:
        return None, None
    brightest = max(known, key=lambda d: known[d])
    return irf[brightest], brightest


def switching(
    replay: Replay,
    trace: IntensityTrace | None,
    *,
    with_lifetimes: bool,
    irf: Decay | GaussianIRF | Mapping[int, Decay] | None,
    background: Background | None,
    bin_width: float,
    false_positive_rate: float,
    max_levels: int,
    notes: dict[str, str],
) -> dict[str, Any]:
    """Return segments, levels, flid and flickering of a recording, and a reason in `notes` for what there is not."""
    response, detector = response_of_all(irf, replay.counts)
    dark = background if background is not None and background.covers(replay.counts) else None
    found: dict[str, Any] = {"segments": None, "levels": None, "flid": None, "flickering": None}
    segments = _segments(replay, response, detector, dark, false_positive_rate, with_lifetimes, notes)
    if segments is not None:
        found |= {"segments": segments, "levels": _levels(segments, max_levels, notes)}
    if with_lifetimes:
        found["flid"] = _flid(replay, response, detector, dark, bin_width, notes)
    else:
        notes["flid"] = notes.get("decay", "there is no decay")
    if trace is not None:
        found["flickering"] = _flickering(trace, notes)
    return found


def _segments(
    replay: Replay,
    irf: Response,
    detector: int | None,
    background: Background | None,
    rate: float,
    with_lifetimes: bool,
    notes: dict[str, str],
) -> Segments | None:
    if replay.n_photons > MOST_PHOTONS:
        notes["segments"] = (
            f"more than {MOST_PHOTONS:.0e} photons: change points need them in memory; analyse a part of the recording"
        )
        return None
    if replay.n_photons < FEWEST_PHOTONS or not replay.duration > 0:
        notes["segments"] = f"fewer than {FEWEST_PHOTONS} photons"
        return None
    settings: dict[str, Any] = {"detectors": detector, "background": background, "irf": irf}
    try:
        return change_points(replay.pieces(), rate, with_lifetimes, **settings)
    except ValueError as error:
        notes["segments.level_lifetimes_s"] = str(error)
    return change_points(replay.pieces(), rate, **settings)


def _levels(segments: Segments, most: int, notes: dict[str, str]) -> Levels:
    found = levels(segments, most)
    if found.note:
        notes["segments.doubts"] = found.note
    return found


def _flid(
    replay: Replay,
    irf: Response,
    detector: int | None,
    background: Background | None,
    bin_width: float,
    notes: dict[str, str],
) -> Flid | None:
    try:
        found = flid(replay.pieces(), bin_width, background=background, irf=irf, detectors=detector)
    except ValueError as error:
        notes["flid"] = str(error)
        return None
    notes |= {f"flid.{name}": reason for name, reason in found.notes.items()}
    return found


def _flickering(trace: IntensityTrace, notes: dict[str, str]) -> Flickering | None:
    try:
        return flickering(trace)
    except ValueError as error:
        notes["flickering"] = str(error)
        return None
