"""Ordinates of periodograms: tapers, segments, and groups of neighbouring frequencies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from photonstats.result import Result

Floats = NDArray[np.float64]

N_BLOCKS = 12  # parts of the recording whose scatter is looked at
BANDS = 10  # bands in a decade there
BATCH = 2**21  # values transformed at a time


@dataclass(frozen=True, eq=False, repr=False)
class Ordinates(Result):
    """Estimates of a spectrum, by rising frequency.

    Parameters
    ----------
    frequency, power : ndarray of float, shape (n,)
        Hz, and density.
    weight : ndarray of float, shape (n,)
        Independent exponential ordinates that each is the mean of; below 1 where neighbours are alike.
    bin_width : ndarray of float, shape (n,)
        Width of the bins that each was made from, s.
    """

    frequency: Floats
    power: Floats
    weight: Floats
    bin_width: Floats

    @classmethod
    def joined(cls, parts: Sequence[Ordinates]) -> Ordinates:
        """Return the ordinates of all parts, sorted."""
        frequency = np.concatenate([p.frequency for p in parts])
        order = np.argsort(frequency, kind="stable")
        rest = [np.concatenate([getattr(p, name) for p in parts])[order] for name in ("power", "weight", "bin_width")]
        return cls(frequency[order], rest[0], rest[1], rest[2])

    def scaled(self, factor: float) -> Ordinates:
        """Return them with the density times a factor."""
        return Ordinates(self.frequency, self.power * factor, self.weight, self.bin_width)

    def within(self, low: float, high: float) -> Ordinates:
        """Return those with a frequency from `low` to `high`, Hz."""
        inside = (self.frequency >= low) & (self.frequency <= high)
        return Ordinates(self.frequency[inside], self.power[inside], self.weight[inside], self.bin_width[inside])

    def summary(self) -> str:
        """Return their number."""
        return f"Ordinates: {self.frequency.size}"


def grouped(every: Ordinates, per_decade: int | None) -> Ordinates:
    """Return the means over groups 1/per_decade of a decade wide; bins of different width never share a group."""
    if per_decade is None or every.frequency.size == 0:
        return every
    log_f = np.log10(every.frequency)
    number = np.floor((log_f - log_f[0]) * per_decade + 0.5)
    new = (np.diff(number, prepend=np.nan) != 0) | (np.diff(every.bin_width, prepend=np.nan) != 0)
    starts = np.flatnonzero(new)
    weight = np.add.reduceat(every.weight, starts)

    def mean(values: Floats) -> Floats:
        total: Floats = np.add.reduceat(values * every.weight, starts) / weight
        return total

    return Ordinates(10.0 ** mean(log_f), mean(every.power), weight, every.bin_width[starts])


@dataclass(frozen=True, eq=False, repr=False)
class Blocks(Result):
    """Spectra of equal parts of the recording, one after the other, in bands: they show what is no Gaussian noise.

    Parameters
    ----------
    bands : Ordinates
        Mean over the parts, with the weight of one part.
    power : ndarray of float, shape (n_parts, n_bands)
        Density of each part.
    """

    bands: Ordinates
    power: Floats

    def scaled(self, factor: float) -> Blocks:
        """Return them with the density times a factor."""
        return Blocks(self.bands.scaled(factor), self.power * factor)

    def within(self, low: float, high: float) -> Blocks:
        """Return the bands with a frequency from `low` to `high`, Hz."""
        inside = (self.bands.frequency >= low) & (self.bands.frequency <= high)
        return Blocks(self.bands.within(low, high), self.power[:, inside])

    def summary(self) -> str:
        """Return the numbers of parts and bands."""
        return f"Blocks: {self.power.shape[0]} parts, {self.power.shape[1]} bands"


def blocks_of(values: Floats, bin_width: float, number: int = N_BLOCKS, highest: float = np.inf) -> Blocks | None:
    """Return the spectra of `number` equal parts of a trace up to `highest` Hz, or None for parts under 32 bins."""
    length = values.size // number
    if length < 32:
        return None
    tapers = sine_tapers(length, 1)
    each = []
    for part in values[: length * number].reshape(number, length):
        found = one_sided(segment_power(part[None, :], tapers), bin_width, length, 2.0 / 3.0, 1)
        each.append(grouped(found.within(0.0, highest), BANDS))
    if each[0].frequency.size == 0:
        return None
    power = np.array([part.power for part in each])
    return Blocks(replace(each[0], power=power.mean(axis=0)), power)


def sine_tapers(n: int, number: int) -> Floats:
    """Return tapers of unit energy, float64[number, n]; a constant one where `number` is 0."""
    if number == 0:
        return np.full((1, n), n**-0.5)
    phase = np.pi * np.arange(1, n + 1) / (n + 1)
    tapers: Floats = np.sqrt(2.0 / (n + 1)) * np.sin(np.arange(1, number + 1)[:, None] * phase)
    return tapers


def welch_length(n_bins: int, wanted: float) -> int:
    """Return the number of bins in a segment.

    Raises
    ------
    ValueError
        If a segment has fewer than 32 bins or is longer than the trace.
    """
    length = round(wanted)
    if not 32 <= length <= n_bins:
        raise ValueError(
            f"a segment would have {length} bins; it takes 32 to the {n_bins} of the trace: change segment"
        )
    return length


def segment_power(segments: Floats, tapers: Floats) -> Floats:
    """Return the sum over segments and tapers of ``|sum h x exp(2 pi i k t / L)|^2``, float64[L // 2 + 1].

    Each segment is taken without its mean.
    """
    length = segments.shape[1]
    total = np.zeros(length // 2 + 1)
    step = max(1, BATCH // length)
    for first in range(0, segments.shape[0], step):
        part = segments[first : first + step]
        part = part - part.mean(axis=1, keepdims=True)
        for taper in tapers:
            transform = np.fft.rfft(part * taper, axis=1)
            total += np.sum(transform.real**2 + transform.imag**2, axis=0)
    return total


def periodogram(values: Floats, bin_width: float, length: int, n_tapers: int) -> Ordinates:
    """Return the mean tapered periodogram over half-overlapping segments of `length` bins, density not yet relative.

    Notes
    -----
    With q(t) the mean squared taper over all segments, ``sum q = 1``, the mean of white noise over all ordinates has
    the variance ``2 sum q^2``; so an ordinate counts for ``1 / (L sum q^2)`` independent ones.
    """
    starts = np.arange(0, values.size - length + 1, max(length // 2, 1))
    tapers = sine_tapers(length, n_tapers)
    segments = np.lib.stride_tricks.sliding_window_view(values, length)[starts]
    power = segment_power(segments, tapers) / (starts.size * len(tapers))
    energy = np.zeros(values.size)
    for start in starts:
        energy[start : start + length] += np.mean(tapers**2, axis=0)
    energy /= starts.size
    return one_sided(power, bin_width, length, 1.0 / (length * float(energy @ energy)), n_tapers)


def one_sided(power: Floats, bin_width: float, length: int, weight: float, n_tapers: int) -> Ordinates:
    """Return the one-sided density in Hz at the ordinates that are clear of zero and of the Nyquist frequency."""
    k = np.arange(first_ordinate(n_tapers), (length - 1) // 2 + 1)
    n = k.size
    # counts per bin over its width are a rate: dt * |.|^2 / dt^2
    return Ordinates(
        k / (length * bin_width), 2.0 * power[k] / bin_width, np.full(n, weight), np.full(n, bin_width)
    )  # fmt: skip


def first_ordinate(n_tapers: int) -> int:
    """Return the lowest ordinate that the lobe of the tapers keeps away from the mean, which was taken off."""
    return 1 if n_tapers == 0 else (n_tapers + 1) // 2 + 1
