"""Second-order correlation by lag: g2 of two detectors, normalised edge by edge, and the antibunching fit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from photonstats.background import Background
from photonstats.correlations.antibunching import G2Fit, Model, fit_antibunching
from photonstats.correlations.delay import decay_offset, delay_of_pair, shared_delay
from photonstats.correlations.dip_data import Centre, Exclude, Irf
from photonstats.correlations.edges import expected_pairs
from photonstats.correlations.lags import Counter, Grid
from photonstats.correlations.pairing import (
    Floats,
    Head,
    Ints,
    check_background,
    choose_detectors,
    make_gate,
    named,
    open_recording,
    pair_background,
)
from photonstats.correlations.peak_counter import CABLE
from photonstats.correlations.pulsed import PulsedG2, g2_pulsed
from photonstats.likelihood import poisson_error, poisson_interval
from photonstats.result import Result
from photonstats.stream import PhotonStream
from photonstats.traces.stretches import Stretches, check_stretches, within

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["G2", "G2Fit", "PulsedG2", "g2", "g2_pulsed"]

MOST_BINS = 2**26


@dataclass(frozen=True, eq=False, repr=False)
class G2(Result):
    """Pairs of two detectors by lag, compared with independent light.

    Parameters
    ----------
    lag : ndarray of float64, shape (n,)
        Bin centres, s; positive: b after a, after the delay is taken off.
    lag_edges : ndarray of float64, shape (n+1,)
        Bin edges, s; with whole-tick times (T2) midway between two ticks.
    pairs : ndarray of int64, shape (n,)
        Counted pairs, background included.
    expected : ndarray of float64, shape (n,)
        Pairs of independent light of the same rates, background taken off.
    pairs_background : ndarray of float64, shape (n,)
        Pairs in which at least one count is background.
    g2, g2_err : ndarray of float64, shape (n,)
        `(pairs - pairs_background) / expected` and its error.
    g2_ci : ndarray of float64, shape (n, 2)
        Exact 95 % Poisson interval; an upper limit where there are no pairs.
    delay, delay_err : float
        How much later b is than a, s; the error is NaN for a given delay.
    delay_note : str
        How the delay was found and what is doubtful about it.
    detectors : tuple of int
        The pair (a, b), or all detectors whose pairs were summed.
    window, bin_width, duration : float
        As asked for, and the recorded time, s; that inside `stretches` where they were given.
    pulsed : bool
        Whether the light follows the laser pulses, so that g2 is a comb.
    rates, background, background_err : dict of int to float
        Measured rates (after the gate), the subtracted background and its error (ungated), Hz.
    open_fraction : dict of int to float
        Part of the laser period that the gate leaves open on each detector.
    method : str
        How the pairs were counted: "exact", or "multitau" (coarse-grained).
    stretches : ndarray of float64, shape (k, 2), or None
        Begin and end (s) of the parts of the recording that were correlated, each on its own; None: all of it.
    parts : tuple of G2
        The result of each pair of detectors where there are more than two; this one holds their sums.
    """

    lag: Floats
    lag_edges: Floats
    pairs: Ints
    expected: Floats
    pairs_background: Floats
    g2: Floats
    g2_err: Floats
    g2_ci: Floats
    delay: float
    delay_err: float
    delay_note: str
    detectors: tuple[int, ...]
    window: float
    bin_width: float
    duration: float
    pulsed: bool
    rates: dict[int, float]
    background: dict[int, float]
    background_err: dict[int, float]
    open_fraction: dict[int, float]
    _every: Floats = field(repr=False)
    _rates_at: Floats = field(repr=False)
    method: str = "exact"
    stretches: Floats | None = field(default=None, repr=False)
    parts: tuple[G2, ...] = field(default=(), repr=False)
    _steady: Floats | None = field(default=None, repr=False)

    def corrected(
        self,
        background: Background | float | Mapping[int, float],
        background_err: float | Mapping[int, float] | None = None,
    ) -> G2:
        """Return the same pairs with another background taken off, without correlating again.

        Parameters
        ----------
        background : Background, float or mapping of int to float
            Rate of counts unrelated to the light on each detector without a gate, Hz.
        background_err : float or mapping of int to float, optional
            Its standard error, Hz.
        """
        if self.parts:
            return summed_g2([part.corrected(background, background_err) for part in self.parts], self.detectors)
        return normalised_g2(self, background, background_err)

    def fit(
        self,
        model: Model = "antibunching",
        irf: Irf = None,
        *,
        irf_sigma: float = 0.0,
        centre: Centre = "auto",
        exclude: Exclude = None,
    ) -> G2Fit:
        """Fit a dip, or a dip with a shoulder, to the pair counts by maximum Poisson likelihood.

        Parameters
        ----------
        model : {"antibunching", "shelving", "auto"}
            `level (1 - A exp(-|x| / t_a))`; the same with a shoulder from a dark state; or the one of the lower BIC.
        irf : Decay, GaussianIRF or mapping of int to one of them, optional
            Response of one detector, the same for both or one for each. What is measured is the lag of two photons:
            the model is convolved with the cross-correlation of both, g2(0) is that of the light itself.
        irf_sigma : float
            In its place: standard deviation of a Gaussian response of the detector pair (root of the sum of both
            squares), s.
        centre : float, "auto" or "free"
            Lag of the centre, s, on the axis of `lag`. "auto": fitted within a few bins where the delay was found from
            the data, 0 where it was given or not found; "free": fitted in any case.
        exclude : (float, float) or sequence of these, optional
            Lags (from, to), s, to leave out, such as crosstalk of the detectors by light of their avalanches.

        Returns
        -------
        G2Fit

        Raises
        ------
        ValueError
            If the light is pulsed (use `g2_pulsed`), there are fewer than 8 bins or 10 pairs, or an argument is out of
            range.

        Notes
        -----
        The model is integrated over the bins (in closed form, with the response), times `expected`, plus
        `pairs_background`; the error of the background is a parameter with a Gaussian prior. Starts: a grid of time
        constants from a bin to the window. Where the window is not several time constants long, level and amplitude
        cannot be told apart; the errors then say so.
        """
        return fit_antibunching(self, model, irf, irf_sigma=irf_sigma, centre=centre, exclude=exclude)

    def summary(self) -> str:
        """Return a text of a few lines with the bins, the central value and the delay."""
        i = int(np.argmin(np.abs(self.lag)))
        low, high = self.g2_ci[i]
        delay = "delays differ" if math.isnan(self.delay) else f"delay {self.delay * 1e9:.4g} ns"
        bins, first = f"bins of {self.bin_width * 1e9:.4g} ns", "in the central bin"
        if math.isnan(self.bin_width):  # log-spaced
            bins = f"log-spaced bins from {self.lag_edges[0]:.3g} to {self.lag_edges[-1]:.3g} s ({self.method})"
            first = f"at {self.lag[i]:.3g} s"
        return (
            f"g2 of detectors {named(self.detectors)}{within(self.stretches, self.duration)}: "
            f"{self.pairs.size} {bins}, "
            f"{int(self.pairs.sum())} pairs, {float((self.expected + self.pairs_background).sum()):.6g} expected\n"
            f"  g2 {first} {self.g2[i]:.4g} ± {self.g2_err[i]:.2g} (95 %: {low:.3g} to {high:.3g})\n"
            f"  {delay}: {self.delay_note}"
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw g2 against the lag into `ax` and return it."""
        from photonstats import plots

        return plots.plot_g2(self, ax)


def g2(
    photons: PhotonStream | Iterable[PhotonStream],
    window: float = 1e-6,
    bin_width: float = 1e-9,
    *,
    detectors: Sequence[int] | None = None,
    delay: float | Mapping[int, float] | Literal["auto"] = "auto",
    gate: float | tuple[float, float] | None = None,
    background: Background | float | Mapping[int, float] | None = None,
    background_err: float | Mapping[int, float] | None = None,
    stretches: ArrayLike | None = None,
) -> G2:
    """Correlate two detectors by lag, both signs, over absolute time.

    Parameters
    ----------
    photons : PhotonStream or iterable of PhotonStream
        T2 or T3 photons, or the pieces of `scan`; one pass, and where the pieces are cut does not matter.
    window : float
        Longest lag on either side, s.
    bin_width : float
        Width of the bins, s; the central one is symmetric about zero. At least one tick of the times.
    detectors : (int, int) or more, optional
        The pair (a, b); by default the two live detectors (at least 2 % of the photons of the brightest). More than
        two: the sum over all their pairs (a before b in the given order), each with its own delay, gate and
        background.
    delay : float, mapping of int to float, or "auto"
        How much later b is than a, s; or how much later each detector is than the first.
        "auto": T2, from the dip or excess within 150 ns, in steps of a fraction of a
        bin; pulsed T3, from the decays and the peak that differs from its neighbours. 0, with a note, where none does.
    gate : float or (float, float), optional
        Seconds after each detector's own pulse, or a window (from, to) of nanotimes in s.
    background : Background, float or mapping of int to float, optional
        Rate of counts unrelated to the light, Hz, ungated; its pairs are taken off. None: as measured.
    background_err : float or mapping of int to float, optional
        Standard error of `background`, Hz.
    stretches : array_like of float, shape (k, 2), optional
        Begin and end (s, on the axis of the timestamps) of the parts of the recording to correlate, rising, not
        overlapping; such as the bright ones, `IntensityTrace.stretches`. Borders are moved to whole macro ticks.

    Returns
    -------
    G2

    Raises
    ------
    ValueError
        If there are not two live detectors, the bins do not fit window or ticks, gate or stretches leave no photons,
        or an argument is out of range.

    Notes
    -----
    `g2 = n_ab (T - |tau|) / (N_a(tau) N_b(tau) w)`; N_a(tau) and N_b(tau) count the photons whose partner at the lag
    tau lies inside the recorded window, tau with the delay. Time differences are exact integers (T3: of pulses and of
    nanotimes separately), so the answer does not depend on the origin of time. A lag on an edge belongs to the bin
    farther from zero: swapping the detectors mirrors the result exactly. w is the number of ticks that the
    bin really holds, which need not be the same for all bins where `bin_width` is not an odd number of ticks (T3: the
    number of combinations of pulses and nanotimes, weighted as steady light meets them).

    With `stretches`, pairs within one stretch s count only, and `expected` is the sum over them of
    `N_a,s(tau) N_b,s(tau) w / (T_s - |tau|)`: what differs between stretches, such as blinking, does not show as
    bunching. Detectors, gate and decay offset are decided on the head of the whole recording, as without.

    T3 by absolute time under pulsed light is a comb; `g2_pulsed` is the tool there.

    References
    ----------
    Laurence, Fore, Huser, Opt. Lett. 31, 829 (2006).

    Examples
    --------
    >>> photons = PhotonStream([10, 13, 30], [0, 1, 1], timestamps_unit=1e-9, duration=1e-6)
    >>> g2(photons, window=5e-9, bin_width=1e-9, delay=0.0).pairs.tolist()
    [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0]
    """
    head, parts = open_recording(photons)
    period, unit = head.ticks_per_pulse, _unit_of(head)
    _check_bins(window, bin_width, unit)
    group = choose_detectors(head, detectors)
    ticks = None if stretches is None else Stretches.of(stretches, head.first)
    jobs = []
    for pair in combinations(group, 2):
        opening = make_gate(head, pair, gate)
        offset = None if period is None else decay_offset(head.decay(pair[0]), head.decay(pair[1]), period)
        cable = max(CABLE / unit, 2.5 * period if period is not None and offset else 0.0)
        given = delay_of_pair(delay, group, pair)
        grid = Grid.make(window / unit, bin_width / unit, cable, given, unit, offset)
        counter = Counter(head, pair, period, grid, stretches=ticks, gate=opening, alone=len(group) == 2)
        share = opening.open_fraction if opening else (1.0, 1.0)
        jobs.append((counter, grid, offset, dict(zip(pair, share, strict=True))))
    for piece in parts:
        for counter, *_ in jobs:
            counter.feed(piece)
    used = None if stretches is None else check_stretches(stretches)
    results = []
    for counter, grid, offset, open_fraction in jobs:
        counter.edges.check_photons(head, gate)
        raw = _counted(counter, grid, offset, unit, period)
        raw = replace(
            raw, open_fraction=open_fraction, stretches=used, window=float(window), bin_width=float(bin_width)
        )
        results.append(normalised_g2(raw, background, background_err))
    return results[0] if len(results) == 1 else summed_g2(results, group)


def _unit_of(head: Head) -> float:
    """Return the length of a tick of the lag, s."""
    fine = head.first.tcspc_unit
    return head.first.timestamps_unit if head.ticks_per_pulse is None or fine is None else fine


def _counted(counter: Counter, grid: Grid, offset: tuple[float, float] | None, unit: float, period: float | None) -> G2:
    """Decide the delay, and return the pairs and what independent light makes, not yet divided."""
    moved, error, note = 0, math.nan, "as given"
    if grid.auto:
        moved, error, note = grid.decide(counter, period, offset, unit)
    edges, width, pairs = grid.coarse(counter.pairs[:-1], moved, period)
    shift = grid.base + moved * grid.fine
    every, rates, steady = expected_pairs(counter.edges, edges + shift, width)
    seconds = counter.edges.duration
    nothing = np.zeros(0)
    return G2(
        lag=(edges[1:] + edges[:-1]) / 2 * unit, lag_edges=edges * unit, pairs=pairs,
        expected=every, pairs_background=nothing, g2=nothing, g2_err=nothing, g2_ci=nothing,
        delay=shift * unit, delay_err=error * unit, delay_note=note, detectors=counter.pair,
        window=math.nan, bin_width=math.nan, duration=seconds, pulsed=offset is not None,
        rates={d: float(n) / seconds if seconds > 0 else math.nan
               for d, n in zip(counter.pair, counter.edges.totals, strict=True)},
        background={}, background_err={}, open_fraction={}, _every=every, _rates_at=rates / unit, _steady=steady,
    )  # fmt: skip


def _check_bins(window: float, bin_width: float, unit: float) -> None:
    if not (math.isfinite(bin_width) and bin_width >= unit * (1 - 1e-9)):
        raise ValueError(f"bin_width={bin_width} s: must be at least one tick of the times, {unit:.6g} s")
    if not (math.isfinite(window) and window >= bin_width):
        raise ValueError(f"window={window} s must be a time of at least one bin_width ({bin_width} s)")
    if 2 * window / bin_width > MOST_BINS:
        raise ValueError(
            f"window={window} s in bins of {bin_width} s makes {2 * window / bin_width:.3g} bins, more than "
            f"{MOST_BINS}: take wider bins"
        )


def normalised_g2(
    raw: G2,
    background: Background | float | Mapping[int, float] | None,
    background_err: float | Mapping[int, float] | None,
) -> G2:
    """Take the background off pairs and rates, and divide."""
    pair = raw.detectors[0], raw.detectors[1]
    dark, dark_err = pair_background(background, background_err, pair)
    share = np.array([raw.open_fraction[d] for d in pair])
    check_background(dark * share, np.array([raw.rates[d] for d in pair]), pair)
    spoiled = np.zeros_like(raw._every)
    if dark.any():
        part = _over(dark * share, raw._rates_at)
        # r_a b_b + r_b b_a - b_a b_b, relative to r_a r_b
        spoiled = (part.sum(axis=1) - part.prod(axis=1)) * (raw._every if raw._steady is None else raw._steady)
    whole = replace(
        raw, expected=raw._every - spoiled, pairs_background=spoiled,
        background={d: float(b) for d, b in zip(pair, dark, strict=True)},
        background_err={d: float(b) for d, b in zip(pair, dark_err, strict=True)},
    )  # fmt: skip
    return _divided(whole, _background_slopes(whole) if dark_err.any() else {})


def _background_slopes(g2: G2) -> dict[int, Floats]:
    """Return for each detector by how much the background pairs change with its rate, times the error of the rate."""
    pair = g2.detectors
    share = np.array([g2.open_fraction[d] for d in pair])
    dark, error = (np.array([of[d] for d in pair]) for of in (g2.background, g2.background_err))
    steady = g2._every if g2._steady is None else g2._steady
    light = 1.0 - _over(dark * share, g2._rates_at)
    slope = steady[:, None] * light[:, ::-1] * _over(share * error, g2._rates_at)
    return {d: slope[:, i] for i, d in enumerate(pair)}


def _over(part: Floats, rates: Floats) -> Floats:
    """Return part / rates; 0 at lags where no photon of a detector has its partner inside the window."""
    return np.divide(part, rates, out=np.zeros_like(rates), where=rates > 0)


def _divided(raw: G2, slopes: Mapping[int, Floats]) -> G2:
    """Divide pairs by what is expected, and give errors and intervals."""
    light, dark = raw.expected, raw.pairs_background
    with np.errstate(divide="ignore", invalid="ignore"):
        value = (raw.pairs - dark) / light
        error = poisson_error(raw.pairs) / light
        interval = (poisson_interval(raw.pairs) - dark[:, None]) / light[:, None]
        if any(raw.background_err.values()):
            error = np.hypot(error, np.abs(value - 1.0) / light * np.sqrt(sum(s**2 for s in slopes.values())))
    return replace(raw, g2=value, g2_err=error, g2_ci=np.maximum(interval, 0.0))


def summed_g2(parts: Sequence[G2], detectors: tuple[int, ...]) -> G2:
    """Add the pairs of several pairs of detectors, bin by bin of the lag after the delay, and divide the sums."""
    delay, error, note = shared_delay([(part.detectors, part.delay, part.delay_err, part.delay_note) for part in parts])
    slopes: dict[int, Floats] = {}
    for part in parts:
        for d, slope in _background_slopes(part).items():
            slopes[d] = slopes.get(d, 0.0) + slope
    first = parts[0]
    merged: dict[str, Any] = {
        name: {d: v for part in parts for d, v in getattr(part, name).items()}
        for name in ("rates", "background", "background_err", "open_fraction")
    }
    total = replace(
        first, lag=np.mean([p.lag for p in parts], axis=0), lag_edges=np.mean([p.lag_edges for p in parts], axis=0),
        pairs=np.sum([p.pairs for p in parts], axis=0), expected=np.sum([p.expected for p in parts], axis=0),
        pairs_background=np.sum([p.pairs_background for p in parts], axis=0),
        delay=delay, delay_err=error, delay_note=note, detectors=detectors, pulsed=any(p.pulsed for p in parts),
        parts=tuple(parts), **merged,
    )  # fmt: skip
    return _divided(total, slopes)
