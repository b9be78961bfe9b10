"""Decays of parts of a recording: chosen stretches, windows of intensity, bursts; and what two levels tell together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from photonstats.curve import Decay
from photonstats.decays.decay_result import DecayFit
from photonstats.decays.lifetime import NANOTIMES, binned_decay, checked_piece
from photonstats.kernels.decay import count_nanotimes_between
from photonstats.likelihood import Z95
from photonstats.result import Result, quantity
from photonstats.stream import PhotonStream, check_detectors, first_ticks, pieces
from photonstats.traces.intensity import IntensityTrace, intensity_trace
from photonstats.traces.stretches import check_stretches

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]


def decays_of_stretches(
    photons: PhotonStream | Iterable[PhotonStream],
    stretches: ArrayLike,
    labels: ArrayLike | None = None,
    *,
    detectors: int | Sequence[int] | None = None,
    bin_width: float | None = None,
) -> list[Decay]:
    """Sum the nanotimes of all photons in stretches of the same label.

    Parameters
    ----------
    photons : PhotonStream or iterable of PhotonStream
        A stream with nanotimes, or the pieces of `scan` (one pass, bounded memory).
    stretches : array_like of float, shape (k, 2)
        Begin and end of each stretch, s, rising and apart, half-open; `Segments.edges[:-1]` and `[1:]` side by side,
        or what `IntensityTrace.stretches` returns.
    labels : array_like of int, shape (k,), optional
        Number of the decay that each stretch belongs to, from 0; -1 leaves it out. By default all belong to one.
    detectors, bin_width
        As in `decay`.

    Returns
    -------
    list of Decay
        One for each label from 0 to the largest; `duration` is the time inside its stretches that was recorded.

    Raises
    ------
    ValueError
        If the photons have no nanotimes, stretches do not rise or overlap, or labels do not fit to them.

    Examples
    --------
    >>> photons = PhotonStream([0, 1, 2], [0, 0, 0], [1, 2, 2], timestamps_unit=4e-9, tcspc_unit=1e-9, duration=12e-9)
    >>> dim, bright = decays_of_stretches(photons, [(0.0, 4e-9), (4e-9, 12e-9)], [0, 1])
    >>> bright.counts.tolist()
    [0, 0, 2, 0]
    """
    given = check_stretches(stretches)
    which = np.zeros(len(given), np.int64) if labels is None else np.asarray(labels)
    whole = np.isfinite(which) & (which == np.floor(which)) & (which >= -1)
    if which.shape != (len(given),) or not whole.all():
        raise ValueError(f"labels must be a whole number from -1 on for each of the {len(given)} stretches")
    groups = [given[which == k] for k in range(int(which.max(initial=0)) + 1)]
    return _decays(photons, groups, detectors, bin_width)


def decays_of_intensity(
    photons: PhotonStream | Iterable[PhotonStream],
    windows: Sequence[tuple[float, float]],
    bin_width: float = 10e-3,
    *,
    trace: IntensityTrace | None = None,
    detectors: int | Sequence[int] | None = None,
    decay_bin_width: float | None = None,
) -> list[Decay]:
    """Sum the nanotimes of the photons in all time bins whose count rate lies in each window of intensity.

    Parameters
    ----------
    photons : PhotonStream or iterable of PhotonStream
        A stream, or the pieces of `scan` with a `trace` of an earlier pass.
    windows : sequence of (float, float)
        Limits (low, high) of the count rate, Hz, half-open; they may overlap.
    bin_width : float
        Time bins of the intensity, s, where no `trace` is given.
    trace : IntensityTrace, optional
        Where the rates come from; by default those of all detectors.
    detectors : int or sequence of int, optional
        Whose nanotimes are summed.
    decay_bin_width : float, optional
        Bins of the decays, s.

    Returns
    -------
    list of Decay
        One for each window, with the time that its bins cover as `duration`.

    Notes
    -----
    Bins that the light leaves midway hold photons of two levels: narrow bins and windows that keep clear of the
    borders hold fewer of them. Choosing bins by their own counts does not bias the nanotimes of a single level, but it
    does bias its rate: a limit amid the counts of a level makes it brighter above and dimmer below. A last bin that the
    recording does not fill is left out, from photons and duration alike.

    Examples
    --------
    >>> photons = PhotonStream(
    ...     [0, 1, 2, 6], [0] * 4, [1, 2, 2, 3], timestamps_unit=5e-9, tcspc_unit=1e-9, duration=40e-9
    ... )
    >>> dim, bright = decays_of_intensity(photons, [(0.0, 1e8), (1e8, 1e9)], bin_width=20e-9)
    >>> dim.n_photons, bright.n_photons
    (1, 3)
    """
    if trace is None:
        if not isinstance(photons, PhotonStream):
            raise ValueError("pieces of a scan pass by once: give trace=intensity_trace(...) of an earlier scan")
        trace = intensity_trace(photons, bin_width)
    return _decays(photons, [trace.stretches(low, high) for low, high in windows], detectors, decay_bin_width)


def bursts(trace: IntensityTrace, threshold: float, *, min_duration: float = 0.0, max_gap: float = 0.0) -> Floats:
    """Return the stretches of time in which the light is brighter than a threshold.

    Parameters
    ----------
    trace : IntensityTrace
        Counts per bin.
    threshold : float
        Count rate from which a bin is bright, Hz.
    min_duration : float
        Shorter bursts are left out, s.
    max_gap : float
        Bursts with a darker gap of at most this length are one, s.

    Returns
    -------
    ndarray of float64, shape (k, 2)
        Begin and end, s; for `decays_of_stretches`, `g2` and others.

    Examples
    --------
    >>> bursts(IntensityTrace([9, 1, 9, 9, 0, 0, 9], 0.01), 500.0, min_duration=0.015, max_gap=0.011).tolist()
    [[0.0, 0.04]]
    """
    found = trace.stretches(threshold, math.inf)
    if not len(found):
        return found
    slack = 1e-6 * trace.bin_width
    apart = np.flatnonzero(found[1:, 0] - found[:-1, 1] > max_gap + slack) + 1
    joined = np.stack([found[np.append(0, apart), 0], found[np.append(apart - 1, len(found) - 1), 1]], axis=1)
    return np.asarray(joined[joined[:, 1] - joined[:, 0] >= min_duration - slack], np.float64)


def _decays(
    photons: PhotonStream | Iterable[PhotonStream],
    groups: list[Floats],
    detectors: int | Sequence[int] | None,
    bin_width: float | None,
) -> list[Decay]:
    keep = np.ones(256, np.uint32)
    if detectors is not None:
        keep[:] = 0
        keep[list(check_detectors(detectors))] = 1
    totals = np.zeros((len(groups), 1), np.int64)
    inside = np.zeros(len(groups))
    first: PhotonStream | None = None
    for piece in pieces(photons):
        first = checked_piece(piece, first)
        assert piece.nanotimes is not None
        # rows as long as the nanotimes that occur: full ones of 65536 for each of many labels would fill the memory
        top = int(piece.nanotimes.max(initial=0)) + 1
        totals = np.pad(totals, ((0, 0), (0, max(top - totals.shape[1], 0))))
        for k, group in enumerate(groups):
            near, seconds = _in_piece(group, piece)
            inside[k] += seconds
            count_nanotimes_between(piece.nanotimes, piece.detectors, keep, near, totals[k])
    if first is None:
        raise ValueError("there is no recording: scan gave no pieces")
    return [_whole_row(row, first, bin_width, float(s)) for row, s in zip(totals, inside, strict=True)]


def _in_piece(group: Floats, piece: PhotonStream) -> tuple[NDArray[np.int64], float]:
    """Return the photons of a piece in each stretch as indices int64[m, 2], and the time inside of them, s."""
    opens, ends = piece.start, piece.start + piece.duration
    # a tick more on both sides: photons may lie that far beyond the window
    unit = piece.timestamps_unit
    low, high = np.searchsorted(group[:, 1], opens - unit), np.searchsorted(group[:, 0], ends + unit, side="right")
    near = group[low:high]
    at = np.searchsorted(piece.timestamps, first_ticks(near, unit)).astype(np.int64)
    # a stretch that holds a border of the window holds the photons that rounding puts just beyond it, as `decay` does
    at[(near[:, 0] <= opens) & (near[:, 1] > opens), 0] = 0
    at[(near[:, 0] < ends) & (near[:, 1] >= ends), 1] = len(piece)
    seconds = np.maximum(np.minimum(near[:, 1], ends) - np.maximum(near[:, 0], opens), 0.0).sum()
    return np.ascontiguousarray(at), float(seconds)


def _whole_row(row: NDArray[np.int64], first: PhotonStream, bin_width: float | None, seconds: float) -> Decay:
    return binned_decay(np.pad(row, (0, NANOTIMES - row.size)), first, bin_width, seconds)


@dataclass(frozen=True, eq=False, repr=False)
class YieldRatio(Result):
    """Quantum yield of one level over that of another, in two ways that need not agree.

    Parameters
    ----------
    from_lifetimes, from_lifetimes_err : float
        Ratio of amplitude-weighted average lifetimes: the ratio of yields if both levels have the same radiative rate.
    from_lifetimes_ci : (float, float)
        95 % interval.
    from_rates, from_rates_err : float
        Ratio of count rates without background: the ratio of yields if both levels absorb alike. nan without durations.
    from_rates_ci : (float, float)
        95 % interval.
    """

    from_lifetimes: float
    from_lifetimes_err: float
    from_lifetimes_ci: tuple[float, float]
    from_rates: float
    from_rates_err: float
    from_rates_ci: tuple[float, float]

    def summary(self) -> str:
        """Return both ratios, and how far they are apart."""
        lines = [
            f"YieldRatio: {quantity(self.from_lifetimes, self.from_lifetimes_err)} from lifetimes (same radiative rate)"
        ]
        if math.isfinite(self.from_rates):
            apart = abs(self.from_rates - self.from_lifetimes) / math.hypot(
                self.from_rates_err, self.from_lifetimes_err
            )
            lines.append(
                f"  {quantity(self.from_rates, self.from_rates_err)} from count rates (same absorption); "
                f"{apart:.1f} standard errors apart"
            )
        return "\n".join(lines)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw both ratios with their intervals."""
        from photonstats import plots

        return plots.plot_yield_ratio(self, ax)


def quantum_yield_ratio(level: DecayFit, reference: DecayFit) -> YieldRatio:
    """Compare the quantum yields of two levels by their lifetimes and by their brightness.

    Parameters
    ----------
    level, reference : DecayFit
        Fits of the decays of both levels on the same detector; background must have been fitted or held.

    Returns
    -------
    YieldRatio
        Of `level` over `reference`.

    Notes
    -----
    Lifetime and brightness fall together where a nonradiative channel opens (Auger, trapping from the band edge). A
    level that is dim at an unchanged lifetime loses its carriers before they reach the band edge: the two ratios
    differ then, and only the one from rates is a ratio of yields (Galland et al., Nature 479, 203 (2011)). A charged
    level radiates faster than the neutral one, a trion about twice: its ratio of yields is its ratio of lifetimes times
    that of radiative rates. A component of short-lived biexcitons lowers the amplitude-weighted average though it says
    nothing of the level: excite weakly, or compare fits of the tail.

    Decays chosen by their own intensity have biased rates where a limit lies amid the counts of a level: the bins of a
    steady dot of 100 counts each, cut at their mean, give 0.85 from rates. Limits between the levels, or stretches
    of change points, avoid that.
    """
    value = level.amplitude_average / reference.amplitude_average
    relative = math.hypot(
        level.amplitude_average_err / level.amplitude_average,
        reference.amplitude_average_err / reference.amplitude_average,
    )
    bright = [_light(fit) for fit in (level, reference)]
    rates = bright[0][0] / bright[1][0] if bright[1][0] > 0 else math.nan
    rates_error = math.hypot(*(error / rate if rate > 0 else math.nan for rate, error in bright))
    return YieldRatio(
        value, value * relative, _log_interval(value, relative), rates, rates * rates_error,
        _log_interval(rates, rates_error),
    )  # fmt: skip


def _light(fit: DecayFit) -> tuple[float, float]:
    """Return the rate of the photons of the emitter and its error, Hz."""
    if not fit.decay.duration:
        return math.nan, math.nan
    rows = [i for i, name in enumerate(fit.parameter_names) if name.startswith("photons")]
    photons = float(fit.parameter_values[rows].sum())
    # the number that was found scatters by its fit; that covers the counting
    error = math.sqrt(max(float(fit.covariance[np.ix_(rows, rows)].sum()), photons))
    return photons / fit.decay.duration, error / fit.decay.duration


def _log_interval(value: float, relative: float) -> tuple[float, float]:
    if not (math.isfinite(value) and math.isfinite(relative)):
        return math.nan, math.nan
    spread = min(Z95 * relative, 700.0)
    return value * math.exp(-spread), value * math.exp(spread)


@dataclass(frozen=True, eq=False, repr=False)
class Rates(Result):
    """Decay rates of an emitter, 1/s.

    Parameters
    ----------
    total, total_err : float
        Inverse of the amplitude-weighted average lifetime.
    radiative, radiative_err, nonradiative, nonradiative_err : float
        Its parts; nan without a quantum yield.
    """

    total: float
    total_err: float
    radiative: float
    radiative_err: float
    nonradiative: float
    nonradiative_err: float

    def summary(self) -> str:
        """Return the rates in 1/us."""
        lines = [f"Rates: total {quantity(self.total, self.total_err, '1/µs', 1e-6)}"]
        if math.isfinite(self.radiative):
            lines.append(
                f"  radiative {quantity(self.radiative, self.radiative_err, '1/µs', 1e-6)}, "
                f"nonradiative {quantity(self.nonradiative, self.nonradiative_err, '1/µs', 1e-6)}"
            )
        return "\n".join(lines)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the rates with their errors."""
        from photonstats import plots

        return plots.plot_rates(self, ax)


def decay_rates(fit: DecayFit, quantum_yield: float | None = None, quantum_yield_err: float = 0.0) -> Rates:
    """Return the total decay rate of a fit, and its radiative and nonradiative parts where the quantum yield is known.

    Parameters
    ----------
    fit : DecayFit
        Of the emitter or of one of its levels.
    quantum_yield, quantum_yield_err : float
        Emitted photons per absorbed one, 0 to 1, and its standard error.

    Returns
    -------
    Rates

    Raises
    ------
    ValueError
        If the yield is not within 0 and 1.
    """
    total = 1.0 / fit.amplitude_average
    error = fit.amplitude_average_err / fit.amplitude_average * total
    if quantum_yield is None:
        return Rates(total, error, *[math.nan] * 4)
    if not (0 <= quantum_yield <= 1 and quantum_yield_err >= 0):
        raise ValueError(f"quantum_yield must lie between 0 and 1 and its error be >= 0, it is {quantum_yield}")
    radiative, rest = quantum_yield * total, (1 - quantum_yield) * total
    return Rates(
        total, error, radiative, math.hypot(quantum_yield * error, total * quantum_yield_err),
        rest, math.hypot((1 - quantum_yield) * error, total * quantum_yield_err),
    )  # fmt: skip
