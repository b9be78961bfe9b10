"""Segments of a recording between change points: rates, and one lifetime for each by maximum likelihood."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from photonstats.background import Background, given_background
from photonstats.curve import Decay
from photonstats.decays.decay_model import GaussianIRF
from photonstats.decays.segment_fit import (
    Entries,
    Response,
    collect_entries,
    fit_table,
    make_table,
    response_of,
    shared_lifetimes,
)
from photonstats.likelihood import poisson_interval
from photonstats.result import Result
from photonstats.stream import PhotonStream, check_detectors

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class Segments(Result):
    """Stretches of a recording between consecutive edges, with their rates and lifetimes.

    Parameters
    ----------
    edges : array_like of float, shape (k + 1,)
        Rising, s.
    counts : array_like of int, shape (k,)
        Photons of each segment.
    times_ci : array_like of float, shape (k - 1, 2) or (k + 1, 2), optional
        Intervals of the inner edges, or of all, s, where they were found from the data.
    lifetimes, lifetimes_err : ndarray of float, shape (k,), optional
        Maximum of the likelihood, s, and half the width of its 68 % interval; None before `fit_segments`. 0 and inf
        are maxima at the bounds; nan where the segment has no photons or may hold nothing but background. With two
        shared lifetimes, their mean weighted by the photons of each.
    lifetimes_ci : ndarray of float, shape (k, 2), optional
        Interval at `level`, s. An end that the photons do not limit is 0 or inf.
    fractions, fractions_err, fractions_ci : ndarray of float, shape (k,), (k,), (k, 2), optional
        Share of the first of two shared lifetimes in the photons that are not background; None without them.
    shared : tuple of float, optional
        The two lifetimes that all segments share, s.
    shifts : dict of int to float
        Shift of the IRF of each detector, s; without an IRF the time of the pulse.
    background : dict of int to float, optional
        Background of each detector that the fit took into account, Hz.
    detectors : tuple of int, optional
        The detectors that were counted.
    change_kinds : tuple of str, optional
        What changes at each inner edge: "rate", "lifetime", "both", or "undetermined".
    p_rate, p_lifetime : ndarray of float, shape (k - 1,), optional
        p-value of a change of the rate, and of the decay, at each inner edge.
    false_positive_rate : float, optional
        Probability at which steady light would have shown a change, where the edges were found from the data.
    level : float
        Confidence level of the intervals, 0 to 1.
    period : float, optional
        Laser period of the photons, s.
    """

    edges: Floats
    counts: NDArray[np.int64]
    times_ci: Floats | None = None
    lifetimes: Floats | None = None
    lifetimes_err: Floats | None = None
    lifetimes_ci: Floats | None = None
    fractions: Floats | None = None
    fractions_err: Floats | None = None
    fractions_ci: Floats | None = None
    shared: tuple[float, float] | None = None
    shifts: dict[int, float] = field(default_factory=dict)
    background: dict[int, float] | None = None
    detectors: tuple[int, ...] | None = None
    level: float = 0.95
    change_kinds: tuple[str, ...] | None = None
    p_rate: Floats | None = None
    p_lifetime: Floats | None = None
    false_positive_rate: float | None = None
    period: float | None = None

    def __post_init__(self) -> None:
        edges = check_edges(self.edges)
        given = np.asarray(self.counts)
        counts = given.astype(np.int64)
        if counts.shape != (edges.size - 1,) or not np.array_equal(counts, given) or counts.min() < 0:
            raise ValueError(
                f"counts must be a whole number >= 0 for each of {edges.size - 1} segments, its shape is {given.shape}"
            )
        if self.times_ci is not None:
            times = np.asarray(self.times_ci, dtype=np.float64)
            if times.shape not in ((edges.size - 2, 2), (edges.size, 2)):
                raise ValueError(
                    f"times_ci must be a pair for each of {edges.size - 2} inner edges or of all {edges.size}, its "
                    f"shape is {times.shape}"
                )
            object.__setattr__(self, "times_ci", _frozen(times))
        object.__setattr__(self, "edges", _frozen(edges))
        object.__setattr__(self, "counts", _frozen(counts))

    @property
    def durations(self) -> Floats:
        """Length of each segment, s, float64[k]."""
        return np.diff(self.edges)

    @property
    def rates(self) -> Floats:
        """Photons per second of each segment, background in it, Hz, float64[k]."""
        return np.asarray(self.counts / self.durations)

    @property
    def rates_ci(self) -> Floats:
        """Exact interval (Garwood) of the rates at `level`, Hz, float64[k, 2]."""
        return np.asarray(poisson_interval(self.counts, self.level) / self.durations[:, None])

    @property
    def n_photons(self) -> int:
        """Photons in all segments."""
        return int(self.counts.sum())

    def __len__(self) -> int:
        return int(self.counts.size)

    def to_dict(self) -> dict[str, Any]:
        """Return fields, rates and number of photons as plain JSON types."""
        rates: dict[str, Any] = {"rates": self.rates.tolist(), "rates_ci": self.rates_ci.tolist()}
        return {**super().to_dict(), **rates, "n_photons": self.n_photons}

    def summary(self) -> str:
        """Return the number of segments, their rates, and the range of lifetimes."""
        rates = self.rates
        extent = f"{len(self)} from {self.edges[0]:.6g} s to {self.edges[-1]:.6g} s"
        lines = [f"Segments: {extent}, {self.n_photons} photons, rates {rates.min():.4g} to {rates.max():.4g} Hz"]
        if self.change_kinds:
            kinds = ", ".join(f"{self.change_kinds.count(kind)} {kind}" for kind in sorted(set(self.change_kinds)))
            lines.append(f"  changes: {kinds}")
        if self.lifetimes is not None:
            known = self.lifetimes[np.isfinite(self.lifetimes) & (self.lifetimes > 0)] * 1e9
            middle = "–" if not known.size else "{:.4g} ns ({:.4g} to {:.4g})".format(
                *np.quantile(known, [0.5, 0.05, 0.95])
            )  # fmt: skip
            lines.append(
                f"  median lifetime and 5 to 95 % of the segments: {middle}; {np.isnan(self.lifetimes).sum()} "
                f"undetermined, {np.isinf(self.lifetimes).sum() + np.sum(self.lifetimes == 0)} at a bound"
            )
        if self.shared is not None and self.fractions is not None:
            seen = self.fractions[np.isfinite(self.fractions)]
            share = f"{np.median(seen):.1%}" if seen.size else "–"
            lines.append(
                f"  shared lifetimes {self.shared[0] * 1e9:.4g} ns and {self.shared[1] * 1e9:.4g} ns; median share of "
                f"the first {share}"
            )
        return "\n".join(lines)

    def plot(self, ax: Axes | None = None, *, against: Literal["time", "rate"] = "time") -> Axes:
        """Draw the rate against time, coloured by lifetime, or the lifetimes with their intervals against the rate."""
        from photonstats.plots import segments

        if against not in ("time", "rate"):
            raise ValueError(f'against must be "time" or "rate", it is {against!r}')
        return segments.plot_segments(self, ax) if against == "time" else segments.plot_lifetimes(self, ax)


def _frozen(values: NDArray[Any]) -> NDArray[Any]:
    own = np.array(values)
    own.flags.writeable = False
    return own


def check_edges(edges: ArrayLike) -> Floats:
    """Return edges as float64[k + 1].

    Raises
    ------
    ValueError
        If they are fewer than two, not finite, or do not rise.
    """
    given = np.asarray(edges, dtype=np.float64)
    if given.ndim != 1 or given.size < 2:
        raise ValueError(f"segments must be at least two edges in seconds, their shape is {given.shape}")
    if not np.all(np.isfinite(given)):
        raise ValueError(f"edges of segments must be finite times in seconds, {given[~np.isfinite(given)][0]} is none")
    back = np.flatnonzero(np.diff(given) <= 0)
    if back.size:
        i = int(back[0])
        raise ValueError(f"the edges of segments must rise: edge {i + 1} at {given[i + 1]} s follows {given[i]} s")
    return given


def fit_segments(
    photons: PhotonStream | Iterable[PhotonStream],
    segments: Segments | ArrayLike | float,
    irf: Decay | GaussianIRF | None = None,
    background: float | Mapping[int, float] | Background | None = None,
    *,
    detectors: int | Sequence[int] | None = None,
    shift: float | Mapping[int, float] | None = None,
    lifetimes: Sequence[float] | Literal["shared"] | None = None,
    level: float = 0.95,
) -> Segments:
    """Fit a lifetime, or the share of one of two lifetimes, to the photons of each segment.

    Parameters
    ----------
    photons : PhotonStream or iterable of PhotonStream
        T3 photons, or the pieces of `scan`: one pass; memory grows with the segments, not with the recording.
    segments : Segments, array_like of float, shape (k + 1,), or float
        Segments, or their rising edges in s on the axis of the timestamps, inside of the recording. A single number is
        the width of equal bins from the start on, s; a last one that the recording does not fill is left out.
    irf : Decay, GaussianIRF or None
        Measured or Gaussian response, of all detectors. None: the pulse is a sharp rise, found from the summed decay of
        each detector, and what arrives during the rise is left out.
    background : float, mapping or Background, optional
        Known background, Hz: of each detector (a single number is that of every one); None: there is none.
    detectors : int or sequence of int, optional
        Detectors to use; None for all that have photons.
    shift : float or mapping of int to float, optional
        Shift of the IRF, s, of all detectors or of each; None: fitted to the summed decay of each detector.
    lifetimes : (float, float) or "shared", optional
        Two lifetimes that all segments share, s, or "shared" to fit them to the summed decays; each segment then gets
        the share of the first in its photons.
    level : float
        Confidence level of the intervals, 0 to 1.

    Returns
    -------
    Segments
        With lifetimes (and fractions), their errors and intervals. The lifetime of a segment whose photons may all be
        background at this level is nan with the interval 0 to inf.

    Raises
    ------
    ValueError
        If there are no nanotimes or no laser period, the edges do not rise or reach beyond the recording, or a
        detector has no background or shift in a mapping.

    Notes
    -----
    The likelihood of a segment of length T with N photons, bins u, is
    ``-(S + B) + sum_i ln(S w_d f_d(u_i; tau) + b_d T / n)``: B = sum b_d T is known, the number S of other photons is
    profiled, w_d is the share of each detector in the whole recording, and f_d the decay of one lifetime, convolved
    with the IRF periodically and integrated over bins, from a table. Bins are merged to a tenth of the time after the
    rise. Intervals are those of the profile likelihood ratio (frequentist). Near lifetimes 0 and inf (fractions 0 and
    1) its limit is lowered to the quantile for a normal estimate that ends at the bound, since chi-square would cover
    too much; of N photons it is raised by 1/(2 N (S/N)^2), found by simulation. What they cover is in the
    documentation's page of validation ("Lifetimes of segments"); below 5 photons, and at a fraction of exactly 0 or 1,
    it is more than asked for. Errors of the shift, of the background rates, of the shares of the detectors and of
    shared lifetimes are not in the intervals.

    References
    ----------
    Maus et al., Anal. Chem. 73, 2078 (2001); Feldman and Cousins, Phys. Rev. D 57, 3873 (1998).

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> delays = (10 + rng.exponential(20, 4000)).astype(int) % 100
    >>> photons = PhotonStream(
    ...     np.arange(4000) * 10, np.zeros(4000, int), delays, timestamps_unit=1e-7, tcspc_unit=1e-9, duration=4e-3
    ... )
    >>> found = fit_segments(photons, [0.0, 2e-3, 4e-3])
    >>> bool(np.all(abs(found.lifetimes - 20e-9) < 4 * found.lifetimes_err))
    True
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, it is {level}")
    before = segments if isinstance(segments, Segments) else None
    given = segments.edges if isinstance(segments, Segments) else segments
    wanted = float(given) if isinstance(given, int | float) else check_edges(given)
    two = _two_lifetimes(lifetimes)
    entries = collect_entries(photons, wanted, None if detectors is None else check_detectors(detectors))
    edges = entries.edges
    which = entries.layout.detectors
    durations = np.diff(edges)
    rates = _rates(background, which)
    shifts = _shifts(shift, which)
    if lifetimes == "shared" and entries.sums.any():
        two, fitted = shared_lifetimes(entries, irf, float(durations.sum()))
        shifts = {d: fitted.get(d) if s is None else s for d, s in shifts.items()} if irf is not None else shifts
    start = Segments(edges, entries.counts) if before is None else replace(before, counts=entries.counts)
    plain = replace(
        start, background=None if background is None else rates, detectors=which, level=level, shared=two,
        period=entries.layout.period, fractions=None, fractions_err=None, fractions_ci=None,
    )  # fmt: skip
    responses = _responses(entries, irf, shifts, float(durations.sum()))
    if not responses:
        return _fitted(plain, np.full((len(plain), 5), np.nan), np.ones(len(plain), np.bool_))
    table = make_table(entries, responses, np.array([rates[d] for d in which]), durations, two)
    unit = entries.layout.merge * entries.layout.unit
    places = {which[d]: r.shift * unit + (float(r.at[0]) * unit if irf is None else 0.0) for d, r in responses.items()}
    return _fitted(replace(plain, shifts=places), *fit_table(entries, table, level))


def _two_lifetimes(lifetimes: Sequence[float] | str | None) -> tuple[float, float] | None:
    if lifetimes is None or lifetimes == "shared":
        return None
    given = [] if isinstance(lifetimes, str) else [float(t) for t in lifetimes]
    if len(given) != 2 or not all(math.isfinite(t) and t > 0 for t in given) or given[0] == given[1]:
        raise ValueError(f'lifetimes must be two different times in seconds or "shared", it is {lifetimes!r}')
    return given[0], given[1]


def _rates(background: float | Mapping[int, float] | Background | None, which: tuple[int, ...]) -> dict[int, float]:
    given = background.rate if isinstance(background, Background) else background
    rate = given_background(0.0 if given is None else given, list(which)).rate
    return {d: rate[d] for d in which}


def _shifts(shift: float | Mapping[int, float] | None, which: tuple[int, ...]) -> dict[int, float | None]:
    if isinstance(shift, Mapping):
        missing = [d for d in which if d not in shift]
        if missing:
            raise ValueError(f"shift has no time for detectors {missing}; it names {sorted(shift)}")
        return {d: float(shift[d]) for d in which}
    return dict.fromkeys(which, None if shift is None else float(shift))


def _responses(
    entries: Entries, irf: Decay | GaussianIRF | None, shifts: Mapping[int, float | None], duration: float
) -> dict[int, Response]:
    """Return the response of each detector that has photons, by its number in the layout."""
    found = {}
    for d, detector in enumerate(entries.layout.detectors):
        if entries.sums[d].any():
            decay = entries.layout.decay(entries.sums, d, duration)
            found[d] = response_of(decay, irf, shifts[detector])
    return found


def _fitted(segments: Segments, values: Floats, dark: NDArray[np.bool_]) -> Segments:
    """Return the segments with what the fit found; values[k, 5]: maximum, 68 % interval, interval."""
    unknown = dark | np.isnan(values[:, 0])
    best = np.where(unknown, np.nan, values[:, 0])
    least, most = (0.0, math.inf) if segments.shared is None else (0.0, 1.0)
    with np.errstate(invalid="ignore"):
        error = np.where(unknown, np.nan, (values[:, 2] - values[:, 1]) / 2.0)
    interval = np.where(unknown[:, None], [least, most], values[:, 3:])
    if segments.shared is None:
        return replace(segments, lifetimes=best, lifetimes_err=error, lifetimes_ci=interval)
    first, second = segments.shared
    return replace(
        segments,
        fractions=best, fractions_err=error, fractions_ci=interval,
        lifetimes=second + (first - second) * best,
        lifetimes_err=abs(first - second) * error,
        lifetimes_ci=np.sort(second + (first - second) * interval, axis=1),
    )  # fmt: skip
