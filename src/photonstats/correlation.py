"""Second-order correlation by lag: g2 of two detectors, normalised edge by edge, and the antibunching fit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from photonstats.antibunching import G2Fit, fit_antibunching
from photonstats.background import Background
from photonstats.delay import decay_offset
from photonstats.lags import Counter, Grid, independent_pairs
from photonstats.likelihood import poisson_error, poisson_interval
from photonstats.pairing import (
    Floats,
    Ints,
    check_background,
    choose_pair,
    make_gate,
    open_recording,
    pair_background,
)
from photonstats.pulsed import CABLE, PulsedG2, g2_pulsed
from photonstats.result import Result
from photonstats.stream import PhotonStream

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
    detectors : (int, int)
        The pair (a, b).
    window, bin_width, duration : float
        As asked for, and the recorded time, s.
    pulsed : bool
        Whether the light follows the laser pulses, so that g2 is a comb.
    rates, background, background_err : dict of int to float
        Measured rates (after the gate), the subtracted background and its error (ungated), Hz.
    open_fraction : dict of int to float
        Part of the laser period that the gate leaves open on each detector.
    method : str
        How the pairs were counted: "exact", or "multitau" (coarse-grained).
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
    detectors: tuple[int, int]
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
        return normalised_g2(self, background, background_err)

    def fit(self, irf_sigma: float = 0.0) -> G2Fit:
        """Fit `level * (1 - A exp(-|lag| / t_a))` to the pair counts by maximum Poisson likelihood.

        Parameters
        ----------
        irf_sigma : float
            Standard deviation of the Gaussian response of the detector pair (root of the sum of both squares), s.

        Returns
        -------
        G2Fit

        Raises
        ------
        ValueError
            If the light is pulsed (use `g2_pulsed`), there are fewer than 8 bins or no pairs.

        Notes
        -----
        The model is integrated over the bins (in closed form, with the response), times `expected`, plus
        `pairs_background`. Starts: a grid of time constants from a bin to the window. Where the window is not several
        time constants long, level and amplitude cannot be told apart; the errors then say so.
        """
        return fit_antibunching(self, irf_sigma)

    def summary(self) -> str:
        """Return a text of a few lines with the bins, the central value and the delay."""
        a, b = self.detectors
        i = int(np.argmin(np.abs(self.lag)))
        low, high = self.g2_ci[i]
        return (
            f"g2 of detectors {a} and {b}: {self.pairs.size} bins of {self.bin_width * 1e9:.4g} ns, "
            f"{int(self.pairs.sum())} pairs, {float((self.expected + self.pairs_background).sum()):.6g} expected\n"
            f"  g2 in the central bin {self.g2[i]:.4g} ± {self.g2_err[i]:.2g} (95 %: {low:.3g} to {high:.3g})\n"
            f"  delay {self.delay * 1e9:.4g} ns: {self.delay_note}"
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
    detectors: tuple[int, int] | None = None,
    delay: float | Literal["auto"] = "auto",
    gate: float | tuple[float, float] | None = None,
    background: Background | float | Mapping[int, float] | None = None,
    background_err: float | Mapping[int, float] | None = None,
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
    detectors : (int, int), optional
        The pair (a, b); by default the two live detectors (at least 2 % of the photons of the brightest).
    delay : float or "auto"
        How much later b is than a, s. "auto": T2, from the dip or excess within 150 ns, in steps of a fraction of a
        bin; pulsed T3, from the decays and the peak that differs from its neighbours. 0, with a note, where none does.
    gate : float or (float, float), optional
        Seconds after each detector's own pulse, or a window (from, to) of nanotimes in s.
    background : Background, float or mapping of int to float, optional
        Rate of counts unrelated to the light, Hz, ungated; its pairs are taken off. None: as measured.
    background_err : float or mapping of int to float, optional
        Standard error of `background`, Hz.

    Returns
    -------
    G2

    Raises
    ------
    ValueError
        If there are not two live detectors, the bins do not fit window or ticks, or an argument is out of range.

    Notes
    -----
    `g2 = n_ab (T - |tau|) / (N_a(tau) N_b(tau) w)`; N_a(tau) and N_b(tau) count the photons whose partner at the lag
    tau lies inside the recorded window, tau with the delay. Time differences are exact integers (T3: of pulses and of
    nanotimes separately), so the answer does not depend on the origin of time. A lag on an edge belongs to the bin
    farther from zero: swapping the detectors mirrors the result exactly. w is the number of ticks that the
    bin really holds, which need not be the same for all bins where `bin_width` is not an odd number of ticks (T3: the
    number of combinations of pulses and nanotimes, weighted as steady light meets them).

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
    first, period = head.first, head.ticks_per_pulse
    unit = first.timestamps_unit if period is None or first.tcspc_unit is None else first.tcspc_unit
    _check_bins(window, bin_width, unit)
    pair = choose_pair(head, detectors)
    opening = make_gate(head, pair, gate)
    offset = None if period is None else decay_offset(head.decay(pair[0]), head.decay(pair[1]), period)
    cable = max(CABLE / unit, 2.5 * period if period is not None and offset else 0.0)
    grid = Grid.make(window / unit, bin_width / unit, cable, delay, unit, offset)
    counter = Counter(head, pair, period, grid)
    counter.run(parts, opening)
    counter.edges.check_photons(head, gate)
    moved, error, note = (
        grid.decide(counter, period, offset, unit) if grid.search or delay == "auto" else (0, math.nan, "as given")
    )
    edges, width, pairs = grid.coarse(counter.pairs[:-1], moved, period)
    shift = grid.base + moved * grid.fine
    ticks = counter.edges.ticks
    every, rates = independent_pairs(counter.edges, edges + shift, width, ticks)
    raw = G2(
        lag=(edges[1:] + edges[:-1]) / 2 * unit, lag_edges=edges * unit, pairs=pairs,
        expected=every, pairs_background=np.zeros(0), g2=np.zeros(0), g2_err=np.zeros(0), g2_ci=np.zeros(0),
        delay=shift * unit, delay_err=error * unit, delay_note=note, detectors=pair,
        window=float(window), bin_width=float(bin_width), duration=counter.edges.duration, pulsed=offset is not None,
        rates={d: float(n) / counter.edges.duration if counter.edges.duration > 0 else math.nan
               for d, n in zip(pair, counter.edges.totals, strict=True)},
        background={}, background_err={},
        open_fraction=dict(zip(pair, opening.open_fraction if opening else (1.0, 1.0), strict=True)),
        _every=every, _rates_at=rates / unit,
    )  # fmt: skip
    return normalised_g2(raw, background, background_err)


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
    pair = raw.detectors
    dark, dark_err = pair_background(background, background_err, pair)
    share = np.array([raw.open_fraction[d] for d in pair])
    check_background(dark * share, np.array([raw.rates[d] for d in pair]), pair)
    with np.errstate(divide="ignore", invalid="ignore"):
        signal = 1.0 - np.nan_to_num(dark * share / raw._rates_at)
        light = raw._every * signal.prod(axis=1)
        value = (raw.pairs - (raw._every - light)) / light
        error = poisson_error(raw.pairs) / light
        interval = (poisson_interval(raw.pairs) - (raw._every - light)[:, None]) / light[:, None]
        slope = raw._every[:, None] * signal[:, ::-1] / raw._rates_at * share * dark_err
    if dark_err.any():
        error = np.hypot(error, np.abs(value - 1.0) / light * np.sqrt(np.sum(slope**2, axis=1)))
    return replace(
        raw, expected=light, pairs_background=raw._every - light, g2=value, g2_err=error,
        g2_ci=np.maximum(interval, 0.0),
        background={d: float(b) for d, b in zip(pair, dark, strict=True)},
        background_err={d: float(b) for d, b in zip(pair, dark_err, strict=True)},
    )  # fmt: skip
