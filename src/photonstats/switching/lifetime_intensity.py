"""Lifetime against intensity (FLID): both for each bin or segment, and how they go together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from photonstats.background import Background
from photonstats.curve import Decay
from photonstats.decays.decay_model import GaussianIRF
from photonstats.decays.resolved import decays_of_stretches
from photonstats.decays.segments import Segments, fit_segments
from photonstats.result import Result, quantity
from photonstats.stream import PhotonStream
from photonstats.switching import flid_grid as grid
from photonstats.switching.flid_statistics import (
    Bins,
    Estimate,
    blocks_for,
    coefficient,
    memory_of,
    rank_correlation,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]
Pair = tuple[float, float]
UNKNOWN = (math.nan, math.nan)


@dataclass(frozen=True, eq=False, repr=False)
class Flid(Result):
    """Intensity and lifetime of each bin or segment, and their distribution over time.

    Parameters
    ----------
    edges : ndarray of float, shape (k + 1,)
        Of the bins or segments, s.
    counts : ndarray of int, shape (k,)
        Photons, background in them.
    intensity, intensity_ci : ndarray of float, shape (k,), (k, 2)
        Rate without background, Hz, and its exact interval, cut at 0; the rate itself may fall below 0 by chance.
    lifetime, lifetime_err, lifetime_ci : ndarray of float, shape (k,), (k,), (k, 2)
        Maximum of the likelihood, s, and its intervals, as in `Segments`; nan where the bin is not told from
        background, 0 or inf at a bound.
    weight : ndarray of float, shape (k,)
        Length of each bin, s.
    histogram : ndarray of float, shape (n, m)
        Time in each cell of intensity (first axis) and lifetime, s.
    intensity_edges, lifetime_edges : ndarray of float, shape (n + 1,), (m + 1,)
        Edges of the cells, Hz and s.
    rank_correlation, rank_correlation_err, rank_correlation_ci : float, float, (float, float)
        Spearman's, of the bins as binned, weighted by time.
    slope, slope_err, slope_ci : float, float, (float, float)
        Straight line of lifetime in intensity, weighted by photons, without the attenuation by shot noise, s/Hz.
    curvature, curvature_err, curvature_ci : float, float, (float, float)
        Coefficient of the square in a parabola of lifetime in intensity, s/Hz^2; below 0 the curve is concave.
    memory : float
        Time in which the autocovariance of the intensity falls to 1/e, s; 0 where it does not remember.
    n_blocks : int
        Blocks of equal time that the errors rest on.
    background : dict of int to float
        Of each detector, Hz.
    detectors : tuple of int
        Those that were counted.
    level : float
        Confidence level of the intervals of the bins; those of the three numbers above are at 95 %.
    notes : dict of str to str
        Why a number is nan or its interval doubtful, by its name.
    """

    edges: Floats
    counts: NDArray[np.int64]
    intensity: Floats
    intensity_ci: Floats
    lifetime: Floats
    lifetime_err: Floats
    lifetime_ci: Floats
    weight: Floats
    histogram: Floats
    intensity_edges: Floats
    lifetime_edges: Floats
    rank_correlation: float
    rank_correlation_err: float
    rank_correlation_ci: Pair
    slope: float
    slope_err: float
    slope_ci: Pair
    curvature: float
    curvature_err: float
    curvature_ci: Pair
    memory: float
    n_blocks: int
    background: dict[int, float]
    detectors: tuple[int, ...]
    level: float = 0.95
    notes: dict[str, str] = field(default_factory=dict)
    _photons: PhotonStream | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for value in vars(self).values():
            if isinstance(value, np.ndarray) and value.base is None:
                value.flags.writeable = False

    def __len__(self) -> int:
        return int(self.counts.size)

    @property
    def dark_time(self) -> float:
        """Time of the bins that are not told from background and have no lifetime, s."""
        return float(self.weight[np.isnan(self.lifetime)].sum())

    @property
    def outside_time(self) -> float:
        """Time of the bins that have a lifetime but lie outside of the cells of the histogram, s."""
        return float(self.weight[~np.isnan(self.lifetime)].sum() - self.histogram.sum())

    @property
    def intensity_marginal(self) -> Floats:
        """Time in each cell of intensity, of the bins in the histogram, s."""
        return np.asarray(self.histogram.sum(axis=1))

    @property
    def lifetime_marginal(self) -> Floats:
        """Time in each cell of lifetime, of the bins in the histogram, s."""
        return np.asarray(self.histogram.sum(axis=0))

    def density(self, bandwidth: Pair | None = None) -> tuple[Floats, Floats, Floats]:
        """Return the density of time over the plane by Gaussian kernels.

        Parameters
        ----------
        bandwidth : (float, float), optional
            Standard deviation of the kernel, Hz and s. By default Scott's for the effective number of bins, at most
            half of the standard error of bins with such a lifetime.

        Returns
        -------
        intensity, lifetime : ndarray of float, shape (256,)
            Hz and s.
        density : ndarray of float, shape (256, 256)
            1/(Hz s), of the bins with a finite lifetime up to the last edge of the histogram; its integral is 1.

        Raises
        ------
        ValueError
            If no bin has a lifetime, or a bandwidth is not positive.
        """
        use = np.isfinite(self.lifetime) & (self.lifetime <= self.lifetime_edges[-1])
        if not use.any():
            raise ValueError("no bin has a lifetime in the histogram, so there is no density; take wider bins")
        x, y, weight = self.intensity[use], self.lifetime[use], self.weight[use]
        if bandwidth is None:
            errors = (np.sqrt(self.counts[use]) / weight, self.lifetime_err[use])
            widths, group = grid.kernel_widths((x, y), weight, errors)
        else:
            widths, group = np.array([bandwidth], np.float64), np.zeros(x.size, np.int64)
            if widths.shape != (1, 2) or not np.all(np.isfinite(widths) & (widths > 0)):
                raise ValueError(f"bandwidth must be two positive numbers, Hz and s, it is {bandwidth}")
        return grid.smooth_density((x, y), weight, widths, group, float(self.lifetime_edges[-1]))

    def decay_of(
        self,
        low: float = -math.inf,
        high: float = math.inf,
        *,
        by: Literal["intensity", "lifetime"] = "intensity",
        detectors: int | Sequence[int] | None = None,
        bin_width: float | None = None,
    ) -> Decay:
        """Return the decay of all photons in the bins of a window.

        Parameters
        ----------
        low, high : float
            Limits, half-open, of the intensity without background (Hz) or of the lifetime (s).
        by : {"intensity", "lifetime"}
            What the limits are of. A bin without lifetime is in no window of lifetimes.
        detectors : int or sequence of int, optional
            Whose photons; by default those of the FLID. Cables delay detectors differently: fit one at a time.
        bin_width : float, optional
            Bins of the decay, s.

        Returns
        -------
        Decay
            Its `duration` is the time of the bins; background is in it.

        Raises
        ------
        ValueError
            If no bin lies in the window, or the FLID was made from the pieces of a scan, which passed by once.

        Notes
        -----
        Bins chosen by their own lifetime have it by chance too: a window amid the bins of one level selects early or
        late photons, and its decay is no decay of that level. Limits belong between levels; windows of intensity do not
        bias the nanotimes.
        """
        if self._photons is None:
            raise ValueError(
                "the pieces of a scan passed by once, so their photons are gone: make the FLID from the stream, "
                "flid(read(path)), or give the bins' stretches to decays_of_stretches with another scan"
            )
        if by not in ("intensity", "lifetime"):
            raise ValueError(f'by must be "intensity" or "lifetime", it is {by!r}')
        if not low < high:
            raise ValueError(f"decay_of(low={low}, high={high}): the limits need low < high")
        values = self.intensity if by == "intensity" else self.lifetime
        inside = (values >= low) & (values < high)
        if not inside.any():
            raise ValueError(f"no bin has {_article(by)} from {low:g} to {high:g}; {_range(by, values)}")
        stretches = np.stack([self.edges[:-1], self.edges[1:]], axis=1)[inside]
        which = self.detectors if detectors is None else detectors
        return decays_of_stretches(self._photons, stretches, detectors=which, bin_width=bin_width)[0]

    def summary(self) -> str:
        """Return what was binned, the time without lifetime, and the three numbers with errors."""
        lengths = self.weight
        each = (
            f"{lengths[0] * 1e3:.4g} ms"
            if np.ptp(lengths) <= 1e-6 * lengths[0]
            else f"{lengths.min() * 1e3:.4g} ms to {lengths.max():.4g} s"
        )
        total = float(lengths.sum())
        time = f"{self.dark_time:.4g} s of {total:.4g} s not told from background"
        head = f"Flid: {len(self)} bins of {each}, {int(self.counts.sum())} photons; {time}"
        lines = [f"{head}, {self.outside_time:.4g} s outside of the histogram"]
        ends = "95 %: {:.3g} to {:.3g}"
        lines.append(
            _line("rank correlation", self.rank_correlation, self.rank_correlation_err, "", 1.0)
            + self._tail("rank_correlation", ends.format(*self.rank_correlation_ci))
        )
        for name, unit, scale in (("slope", "ns/kcps", 1e12), ("curvature", "ns/kcps²", 1e15)):
            value, error, ci = (getattr(self, name + end) for end in ("", "_err", "_ci"))
            lines.append(
                _line(name, value, error, unit, scale) + self._tail(name, ends.format(ci[0] * scale, ci[1] * scale))
            )
        if "blocks" in self.notes:
            lines.append("  " + self.notes["blocks"])
        return "\n".join(lines)

    def _tail(self, name: str, interval: str) -> str:
        return f": {self.notes[name]}" if name in self.notes else f" ({interval})"

    def to_dict(self) -> dict[str, Any]:
        """Return the fields and the time without lifetime as plain JSON types."""
        return {**super().to_dict(), "dark_time": self.dark_time, "outside_time": self.outside_time}

    def plot(self, ax: Axes | None = None, *, levels: Any = None) -> Axes:
        """Draw the histogram with contours of the density; in a new figure with the marginals beside it.

        Parameters
        ----------
        ax : Axes, optional
            For the plane alone.
        levels : object, optional
            With `rates` (Hz, background in them as in `Segments`), `lifetimes` and `occupancy` of each level, and their
            intervals `rates_ci`, `lifetimes_ci`: drawn as ellipses.

        Returns
        -------
        Axes
            Of the plane.
        """
        from photonstats.plots import flid as drawing

        return drawing.plot_flid(self, ax, levels=levels)


def _article(by: str) -> str:
    return "an intensity" if by == "intensity" else "a lifetime"


def _range(by: str, values: Floats) -> str:
    known = values[~np.isnan(values)]
    unit = "Hz" if by == "intensity" else "s"
    return f"they run from {known.min():.4g} to {known.max():.4g} {unit}" if known.size else "no bin has any"


def _line(name: str, value: float, error: float, unit: str, scale: float) -> str:
    return f"  {name} {quantity(value, error, unit, scale)}"


def flid(
    photons: PhotonStream | Iterable[PhotonStream],
    bin_width: float = 10e-3,
    *,
    segments: Segments | ArrayLike | None = None,
    background: float | Mapping[int, float] | Background | None = None,
    irf: Decay | GaussianIRF | None = None,
    detectors: int | Sequence[int] | None = None,
    shift: float | Mapping[int, float] | None = None,
    level: float = 0.95,
    intensity_edges: ArrayLike | None = None,
    lifetime_edges: ArrayLike | None = None,
    n_blocks: int | None = None,
    seed: int = 0,
) -> Flid:
    """Find the fluorescence lifetime-intensity distribution of bins or segments.

    Parameters
    ----------
    photons : PhotonStream or iterable of PhotonStream
        T3 photons, or the pieces of `scan` (one pass; then without `Flid.decay_of`).
    bin_width : float
        Width of the bins, s, 10 to 100 ms as a rule; a last one that the recording does not fill is left out.
    segments : Segments or array_like of float, shape (k + 1,), optional
        In place of equal bins: segments, or their rising edges, s.
    background : float, mapping or Background, optional
        Known background, Hz: of each detector (a single number is that of every one); None: there is none.
    irf, detectors, shift, level
        As in `fit_segments`.
    intensity_edges, lifetime_edges : array_like of float, optional
        Edges of the cells of the histogram, Hz and s; by default up to 60 cells each, up to the brightest bin and to
        beyond 99 % of the time.
    n_blocks : int, optional
        Blocks of equal time for errors, at least 8; by default 20, or as many as are four times as long as the memory
        of the intensity.
    seed : int
        Of the resampling of blocks.

    Returns
    -------
    Flid

    Raises
    ------
    ValueError
        If there are no nanotimes, no laser period or no photons, bins are longer than the recording, or an argument is
        out of its range.

    Notes
    -----
    Lifetimes are those of `fit_segments`: the likelihood of one exponential with IRF, background and wrap-around for
    each bin. A bin in which the light switches has one in between, which depends on how long it is: levels belong to
    segments, bins show the way between them.

    The rank correlation is Spearman's of the bins that have a lifetime, weighted by their length. It is that of the
    bins as binned: noise of both attenuates it, so that wider bins give another number, and the skewed lifetimes of
    dim bins bend it: at constant lifetime, levels of 200 and 30 photons give 0.03 in place of 0. Its error is the
    deviation over 400 resamples of blocks of time, its interval symmetric in Fisher's z with Student's t of the blocks.

    The slope is that of a straight line, weighted by the photons without background: bins of few photons, whose
    lifetimes scatter most, count least. In place of powers of the noisy intensity stand Charlier's polynomials of the
    counts, whose means are the powers of the true intensity, so that shot noise does not attenuate the slope. Lifetimes
    enter less their bias of first order in 1/photons and their covariance with the counts (Cox and Snell). Lifetimes
    beyond the laser period count as the period; with more than 5 % of the light in such bins, or at 0, there is no
    slope. The curvature is found alike with a square. Intervals are Fieller's with the covariance over resampled
    blocks: where the intensity does not vary enough beyond shot noise there is none, and no slope.

    Errors hold if blocks are longer than the memory of the intensity. The memory is measured; where even eight blocks
    are shorter than four times of it, `notes["blocks"]` says so and intervals are too narrow. Dwell times by a power
    law have no finite memory: errors are then of this recording, not of the dot. Errors of the background are not in
    them.

    References
    ----------
    Galland et al., Nature 479, 203 (2011); Politis, Romano, Wolf, Subsampling, Springer (1999); Fuller, Measurement
    Error Models, Wiley (1987); Cox and Snell, J. R. Stat. Soc. B 30, 248 (1968); Fieller, J. R. Stat. Soc. B 16,
    175 (1954).

    Examples
    --------
    >>> from photonstats.simulate import Emitter, pulsed
    >>> photons, _ = pulsed(Emitter(lifetime=10e-9), duration=2.0, rate=20e3, seed=1)
    >>> bool(abs(np.median(flid(photons).lifetime) - 10e-9) < 0.2e-9)
    True
    """
    if n_blocks is not None and n_blocks < 8:
        raise ValueError(f"n_blocks={n_blocks}: errors need at least 8 blocks of time")
    if segments is None and not (math.isfinite(bin_width) and bin_width > 0):
        raise ValueError(f"bin_width must be a positive time in seconds, it is {bin_width}")
    fitted = fit_segments(
        photons, float(bin_width) if segments is None else segments, irf, 0.0 if background is None else background,
        detectors=detectors, shift=shift, level=level,
    )  # fmt: skip
    stream = photons if isinstance(photons, PhotonStream) else None
    cells = [
        None if given is None else grid.check_cells(np.asarray(given, np.float64), name)
        for given, name in ((intensity_edges, "intensity_edges"), (lifetime_edges, "lifetime_edges"))
    ]
    return _flid_of(fitted, stream, cells, n_blocks, np.random.default_rng(seed))


def _flid_of(
    fitted: Segments,
    stream: PhotonStream | None,
    cells: list[Floats | None],
    n_blocks: int | None,
    rng: np.random.Generator,
) -> Flid:
    assert fitted.lifetimes is not None
    assert fitted.lifetimes_err is not None
    assert fitted.lifetimes_ci is not None
    assert fitted.background is not None
    total = sum(fitted.background.values())
    weight, lifetime = fitted.durations, fitted.lifetimes
    intensity = fitted.rates - total
    lit = ~np.isnan(lifetime)
    x = grid.intensity_edges(intensity[lit], weight[lit], total) if cells[0] is None else cells[0]
    y = grid.lifetime_edges(lifetime[lit], weight[lit]) if cells[1] is None else cells[1]
    memory = memory_of(fitted.rates, fitted.edges)
    duration = float(fitted.edges[-1] - fitted.edges[0])
    blocks = blocks_for(duration, memory) if n_blocks is None else n_blocks
    notes = {}
    if memory * 4.0 * blocks > duration * 1.01:
        notes["blocks"] = (
            f"the intensity remembers for {memory:.3g} s, too long for {blocks} blocks of {duration / blocks:.3g} s: "
            f"errors of correlation, slope and curvature are too small"
        )
    numbers = _numbers(fitted, lit, total, blocks, rng)
    values: dict[str, Any] = {}
    for name, found in numbers.items():
        values |= {name: found.value, f"{name}_err": found.error, f"{name}_ci": found.interval}
        if found.reason:
            notes[name] = found.reason
    return Flid(
        edges=fitted.edges, counts=fitted.counts, intensity=intensity,
        intensity_ci=np.maximum(fitted.rates_ci - total, 0.0), lifetime=lifetime, lifetime_err=fitted.lifetimes_err,
        lifetime_ci=fitted.lifetimes_ci, weight=weight,
        histogram=grid.time_in_cells(intensity, lifetime, weight, x, y), intensity_edges=x, lifetime_edges=y,
        memory=memory, n_blocks=blocks, background=dict(fitted.background), detectors=fitted.detectors or (),
        level=fitted.level, notes=notes, _photons=stream, **values,
    )  # fmt: skip


def _numbers(
    fitted: Segments, lit: NDArray[np.bool_], total: float, n_blocks: int, rng: np.random.Generator
) -> dict[str, Estimate]:
    """Return rank correlation, slope and curvature of the bins that have a lifetime."""
    assert fitted.lifetimes is not None
    middles = 0.5 * (fitted.edges[1:] + fitted.edges[:-1])
    durations = fitted.durations[lit]
    bins = Bins(
        fitted.counts[lit].astype(np.float64), total * durations, durations, fitted.lifetimes[lit], middles[lit],
        float(fitted.edges[0]), float(fitted.edges[-1]),
    )  # fmt: skip
    period = fitted.period if fitted.period is not None else math.inf
    return {
        "rank_correlation": rank_correlation(bins, n_blocks, rng),
        "slope": coefficient(bins, 1, n_blocks, period, rng),
        "curvature": coefficient(bins, 2, n_blocks, period, rng),
    }
