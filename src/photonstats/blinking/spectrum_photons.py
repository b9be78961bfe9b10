"""The spectrum of photons over many decades: fine bins in short segments, coarser ones in longer, in one pass."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from photonstats.blinking.spectrum_ordinates import (
    BANDS,
    N_BLOCKS,
    Blocks,
    Ordinates,
    blocks_of,
    grouped,
    one_sided,
    periodogram,
    segment_power,
    sine_tapers,
)
from photonstats.stream import PhotonStream, check_detectors, pieces

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LENGTH = 1024  # bins in a segment
STEP = 8  # a bin over the next finer one
STRIDES = (16, 4, 1, 1)  # every so many segments of each width are transformed
BLOCK = LENGTH * STEP ** (len(STRIDES) - 1)  # finest bins in a segment of the coarsest
COARSE = STEP ** len(STRIDES)  # finest bins in a bin of the trace behind the lowest frequencies
FINE = 120  # groups in a decade that are kept of each block
TOP = 1.0 / 8.0  # highest frequency that a width serves, where a finer one follows, times the width
MOST_COARSE = 2**24


def photon_ordinates(
    photons: PhotonStream | Iterable[PhotonStream],
    bin_width: float,
    n_tapers: int,
    detectors: int | Sequence[int] | None,
) -> tuple[list[Ordinates], Blocks | None, float, float, float]:
    """Return ordinates of each width of bins, spectra of parts, the mean rate, the duration, the finest width of bins.

    Raises
    ------
    ValueError
        If the recording is shorter than a block of 2^19 bins, or would fill the memory.
    """
    if not (math.isfinite(bin_width) and bin_width > 0):
        raise ValueError(f"bin_width must be a positive time in seconds, it is {bin_width}")
    tapers = sine_tapers(LENGTH, n_tapers)
    parts: list[list[Ordinates]] = []
    seen: list[list[int]] = []  # photons of each block, and those looked at for each width
    trace: list[Floats] = []
    width = math.nan
    n_coarse = 0
    for width, counts in _blocks(photons, bin_width, detectors):
        if counts.size == BLOCK:
            parts.append(_fine_spectra(counts, width, tapers, n_tapers))
            seen.append(
                [int(counts.sum())]
                + [int(counts.reshape(-1, LENGTH * STEP**i)[::k].sum()) for i, k in enumerate(STRIDES)]
            )
        trace.append(counts[: counts.size // COARSE * COARSE].reshape(-1, COARSE).sum(axis=1).astype(np.float64))
        n_coarse += trace[-1].size
        if n_coarse > MOST_COARSE:
            raise ValueError(
                f"bin_width {width:g} s makes more than {MOST_COARSE} bins of {COARSE * width:g} s: take a wider one"
            )
    if not parts:
        raise ValueError(
            f"the recording is shorter than {BLOCK * width:g} s, {BLOCK} bins of {width:g} s: take a narrower "
            f'bin_width, or method="whole"'
        )
    values = np.concatenate(trace)
    slow = periodogram(values, COARSE * width, values.size, n_tapers).within(0.0, TOP / (COARSE * width))
    fine = _means(parts, seen)
    duration = values.size * COARSE * width
    return [*fine, slow], _parts(values, parts, seen, width), float(values.sum()) / duration, duration, width


def _fine_spectra(counts: Ints, width: float, tapers: Floats, n_tapers: int) -> list[Ordinates]:
    """Return the spectrum of a block from segments of each width of bins."""
    share = float(np.sum(np.mean(tapers**2, axis=0) ** 2)) * LENGTH
    spectra, values = [], counts.astype(np.float64)
    for level, stride in enumerate(STRIDES):
        segments = values.reshape(-1, LENGTH)[::stride]
        power, n = segment_power(segments, tapers), segments.shape[0]
        found = one_sided(power / (n * len(tapers)), width, LENGTH, n / share, n_tapers)
        spectra.append(grouped(found.within(TOP / (STEP * width), TOP / width if level else math.inf), FINE))
        values, width = values.reshape(-1, STEP) @ np.ones(STEP), width * STEP  # four times as fast as sum
    return spectra


def _means(parts: list[list[Ordinates]], seen: list[list[int]]) -> list[Ordinates]:
    """Return the mean spectrum of blocks for each width of bins.

    Shot noise goes with the photons that were looked at; so that it becomes that of all photons, a spectrum from every
    sixteenth segment is multiplied by the ratio of the rates.
    """
    photons = np.array(seen, dtype=np.float64).sum(axis=0)
    means = []
    for i, each in enumerate(zip(*parts, strict=True)):
        ratio = photons[0] / (photons[i + 1] * STRIDES[i]) if photons[i + 1] else 1.0
        power = ratio * np.mean([one.power for one in each], axis=0)
        means.append(replace(each[0], power=power, weight=each[0].weight * len(each)))
    return means


def _parts(values: Floats, parts: list[list[Ordinates]], seen: list[list[int]], width: float) -> Blocks | None:
    """Return the spectra of equal parts of the recording over all widths of bins."""
    m = len(parts) // N_BLOCKS
    slow = blocks_of(values[: m * N_BLOCKS * (BLOCK // COARSE)], COARSE * width, highest=TOP / (COARSE * width))
    if slow is None:
        return None
    rows = []
    for b in range(N_BLOCKS):
        own = slice(b * m, (b + 1) * m)
        rows.append(Ordinates.joined([grouped(run, BANDS) for run in _means(parts[own], seen[own])]))
    joined = Ordinates.joined([slow.bands, rows[0]])
    order = np.argsort(np.concatenate([slow.bands.frequency, rows[0].frequency]), kind="stable")
    power = np.concatenate([slow.power, np.array([row.power for row in rows])], axis=1)[:, order]
    return Blocks(joined, power)


def _blocks(
    photons: PhotonStream | Iterable[PhotonStream], bin_width: float, detectors: int | Sequence[int] | None
) -> Iterator[tuple[float, Ints]]:
    """Yield counts in blocks of fine bins on one grid from the start of the recording; the last one is shorter."""
    which = None if detectors is None else check_detectors(detectors)
    origin, next_block, ticks, per_bin, unit = 0, 0, 1, 1, 1.0
    kept = np.zeros(0, np.int64)
    end = 0
    found = False
    for piece in pieces(photons):
        if not found:
            unit, found = piece.timestamps_unit, True
            per_bin = max(1, round(bin_width / unit))
            ticks = per_bin * BLOCK
            origin = math.ceil(piece.start / unit - 1e-6)
        chosen = piece if which is None else piece.select(detectors=which)
        end = math.floor((piece.start + piece.duration) / unit + 1e-6) - origin
        times = chosen.timestamps - origin
        times = np.concatenate([kept, times]) if kept.size else times
        # A photon of the next piece can still share the last tick of this one.
        n_whole = max((end - 1) // ticks - next_block, 0)
        edges = np.searchsorted(times, (next_block + np.arange(n_whole + 1)) * ticks)
        for i in range(n_whole):
            inside = times[edges[i] : edges[i + 1]] - (next_block + i) * ticks
            yield per_bin * unit, np.bincount(inside // per_bin, minlength=BLOCK)
        kept, next_block = times[edges[-1] :], next_block + n_whole
    if not found:
        raise ValueError("there is no recording: scan gave no pieces")
    while next_block * ticks < end:  # what is left, at most two blocks
        begin, stop = next_block * ticks, min((next_block + 1) * ticks, end)
        n = (stop - begin) // per_bin
        inside = kept[(kept >= begin) & (kept < begin + n * per_bin)] - begin
        yield per_bin * unit, np.bincount(inside // per_bin, minlength=n).astype(np.int64)
        next_block += 1
