"""The biexciton from pulses that gave two photons: the first is the biexciton's, the second the exciton's."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft

from photonstats.background import Background
from photonstats.correlations.cascade_fit import fit_pairs
from photonstats.correlations.edges import Edges
from photonstats.correlations.gates import check_pulses, find_centre, rises_of, turned
from photonstats.correlations.pairing import Head, Walk, choose_pair, open_recording, pair_background
from photonstats.correlations.peak_counter import Start
from photonstats.kernels.cascade import pair_decays
from photonstats.result import Result
from photonstats.stream import PhotonStream
from photonstats.traces.stretches import Stretches

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
SIDE_PEAKS = 10
MOST_BINS = 600


@dataclass(frozen=True, eq=False, repr=False)
class Biexciton(Result):
    """Photon-number-resolved decays, and what they say of the biexciton.

    Parameters
    ----------
    biexciton_lifetime, biexciton_lifetime_err, biexciton_lifetime_ci : float, float, ndarray of shape (2,)
        1/k_BX, s, from the first photons of pairs; 95 % profile interval.
    exciton_lifetime, exciton_lifetime_err, exciton_lifetime_ci : float, float, ndarray of shape (2,)
        1/k_X, s, from the time between the two photons.
    yield_ratio, yield_ratio_err, yield_ratio_ci : float, float, ndarray of shape (2,)
        Quantum yield of the biexciton over that of the exciton, weak excitation: pairs of one emitter in a pulse over
        those in neighbouring pulses.
    accidental, accidental_err : float
        Pairs of a pulse that are no cascade (other emitters, background), over a mean side peak.
    n_pairs : int
        Pairs of a pulse.
    time : ndarray of float64, shape (m,)
        Centres of the bins of all histograms, s.
    first, second : ndarray of int64, shape (m,)
        Pairs of a pulse by when the first photon came, and by how much later the second came.
    first_side, second_side : ndarray of float64, shape (m,)
        The same of photons of neighbouring pulses, which belong to no cascade, a mean side peak.
    first_model, second_model : ndarray of float64, shape (m,)
        Fitted pairs; NaN outside of the fitted range.
    p_value : float
        Probability of a worse fit of the first photons.
    detectors : (int, int)
        The pair (a, b).
    delay : float
        How much later b is than a, s.
    delay_note : str
        How it was found.
    converged : bool
        Whether the fit can be used.
    reason : str
        Why not, or what is doubtful; empty if nothing.
    """

    biexciton_lifetime: float
    biexciton_lifetime_err: float
    biexciton_lifetime_ci: Floats
    exciton_lifetime: float
    exciton_lifetime_err: float
    exciton_lifetime_ci: Floats
    yield_ratio: float
    yield_ratio_err: float
    yield_ratio_ci: Floats
    accidental: float
    accidental_err: float
    n_pairs: int
    time: Floats
    first: Ints
    second: Ints
    first_side: Floats
    second_side: Floats
    first_model: Floats
    second_model: Floats
    p_value: float
    detectors: tuple[int, int]
    delay: float
    delay_note: str
    converged: bool
    reason: str

    def summary(self) -> str:
        """Return a text of a few lines with both lifetimes and the yield ratio."""
        low, high = self.biexciton_lifetime_ci * 1e9
        text = (
            f"Biexciton from {self.n_pairs} pairs of detectors {self.detectors[0]} and {self.detectors[1]}: "
            f"lifetime {self.biexciton_lifetime * 1e9:.4g} ± {self.biexciton_lifetime_err * 1e9:.2g} ns "
            f"(95 %: {low:.3g} to {high:.3g})\n"
            f"  yield over the exciton's {self.yield_ratio:.4g} ± {self.yield_ratio_err:.2g}, exciton lifetime "
            f"{self.exciton_lifetime * 1e9:.4g} ± {self.exciton_lifetime_err * 1e9:.2g} ns, accidental pairs "
            f"{self.accidental:.3g} ± {self.accidental_err:.2g} of a side peak"
        )
        return text if not self.reason else f"{text}\n  {'note' if self.converged else 'not usable'}: {self.reason}"

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw both histograms with their fits into `ax` and return it."""
        from photonstats import plots

        return plots.plot_biexciton(self, ax)


def biexciton(
    photons: PhotonStream | Iterable[PhotonStream],
    *,
    detectors: tuple[int, int] | None = None,
    delay: float | Literal["auto"] = "auto",
    background: Background | float | Mapping[int, float] | None = None,
    background_err: float | Mapping[int, float] | None = None,
    bin_width: float | None = None,
    stretches: ArrayLike | None = None,
) -> Biexciton:
    """Take the biexciton's lifetime and yield from the pulses that gave a photon on both detectors.

    Parameters
    ----------
    photons : PhotonStream or iterable of PhotonStream
        T3 photons, or the pieces of `scan`; one pass.
    detectors : (int, int), optional
        The pair (a, b); by default the two live detectors.
    delay : float or "auto"
        How much later b is than a, s; see `g2_pulsed`.
    background : Background, float or mapping of int to float, optional
        Rate of counts unrelated to the light, Hz; its pairs are fitted if it is not given.
    background_err : float or mapping of int to float, optional
        Standard error of `background`, Hz.
    bin_width : float, optional
        Bins of the histograms, s; by default a fiftieth of the time in which half of the photons come.
    stretches : array_like of float, shape (k, 2), optional
        Begin and end (s) of the parts of the recording to use, each alone; see `g2_pulsed`.

    Returns
    -------
    Biexciton
        Not a number, with the reason, where too few pairs stand out of the accidental ones.

    Raises
    ------
    ValueError
        If there are no nanotimes or laser pulses, not two live detectors, or an argument is out of range.

    Notes
    -----
    The first photon of a cascade comes with exp(-k_BX t), the second exp(-k_X t) later. Pairs of neighbouring pulses
    show what pairs of two emitters look like; the decays show what a photon and a background count do. The histograms
    are fitted by `A exp(-k t) + rho * side peaks + sigma * background`, integrated over the bins, by Poisson
    likelihood, from where the response of the detectors (five standard deviations) is over. All amplitudes are free for
    the first photons; the second ones take rho and sigma from there, since two independent photons of one lifetime are
    as far apart as those of a cascade. Where k_BX is near 2 k_X, first photons of a cascade look like the earlier of
    two independent ones, and the interval says so.

    References
    ----------
    Nair, Zhao, Bawendi, Nano Lett. 11, 1136 (2011).

    Examples
    --------
    >>> from photonstats import simulate
    >>> dot = simulate.Emitter(lifetime=20e-9, biexciton_yield=0.5, biexciton_lifetime=2e-9)
    >>> photons, _ = simulate.pulsed(dot, duration=2.0, laser_period=1e-6, rate=4e4, seed=1)
    >>> low, high = biexciton(photons).biexciton_lifetime_ci
    >>> bool(low < 2e-9 < high)
    True
    """
    head, parts = open_recording(photons)
    period, unit = check_pulses(head, "biexciton")
    pair = choose_pair(head, detectors)
    rises = rises_of(head, pair, period)
    width = _bin_width(bin_width, period, unit) if bin_width is not None else _fitting_width(head, pair, rises, unit)
    start = Start.of(head, pair, period, delay, SIDE_PEAKS)
    between = rises[1][0] - rises[0][0]
    counter = _Counter(
        head, pair, period, round((start.lag - between) / period), start.n_side, rises, width / unit,
        None if stretches is None else Stretches.of(stretches, head.first),
    )  # fmt: skip
    for piece in parts:
        counter.feed(piece)
    counter.edges.check_photons(head, None)
    centre, note = counter.centre(start, between, unit)
    found = counter.histograms(centre)
    dark, dark_err = pair_background(background, background_err, pair)
    seconds, total = counter.edges.duration, counter.photons
    spoiled = period * unit * float(total @ dark[::-1] - dark.prod() * seconds)
    light = np.maximum(total - dark * seconds, 0.0)
    spoiled_err = period * unit * float(np.hypot(*(light[::-1] * dark_err)))
    shapes: dict[str, Any] = _with_background(head, pair, rises, width / unit, found["first"].size)
    fit = fit_pairs(
        **found, **shapes, dark=None if background is None else spoiled, dark_err=spoiled_err, width=width,
        begin=max(guard for _, guard in rises) * unit,
    )  # fmt: skip
    time = (np.arange(found["first"].size) + 0.5) * width
    return Biexciton(
        n_pairs=int(found["n_pairs"]), time=time, first=found["first"], second=found["second"],
        first_side=found["first_side"], second_side=found["second_side"], detectors=pair,
        delay=(between + centre * period) * unit, delay_note=note, **vars(fit),
    )  # fmt: skip


def _bin_width(bin_width: float, period: float, unit: float) -> float:
    if not (math.isfinite(bin_width) and unit * (1 - 1e-9) <= bin_width <= period * unit / 10):
        raise ValueError(
            f"bin_width={bin_width} s: must be from one tick ({unit:.4g} s) to a tenth of the period "
            f"({period * unit / 10:.4g} s)"
        )
    return float(bin_width)


def _fitting_width(head: Head, pair: tuple[int, int], rises: list[tuple[float, float]], unit: float) -> float:
    """Return a bin width of whole ticks that is small against the lifetime of most photons."""
    period = head.ticks_per_pulse
    assert period is not None
    late, _ = turned(rises, period)
    spread = []
    for row, detector in enumerate(pair):
        decay = head.decay(detector)
        order = np.argsort(late[row, : decay.size], kind="stable")
        total = np.cumsum(decay[order])
        spread.append(late[row, order[np.searchsorted(total, total[-1] / 2)]])
    return unit * max(1, math.floor(max(float(np.mean(spread)), 0.0) / 50.0))


def _with_background(
    head: Head, pair: tuple[int, int], rises: list[tuple[float, float]], width: float, n: int
) -> dict[str, Floats]:
    """Return how pairs of a photon and a background count are spread over the bins of both histograms, sum about 1."""
    period = head.ticks_per_pulse
    assert period is not None
    late, _ = turned(rises, period)
    whole = max(int(period / width), n)
    flat = np.full(whole, 1.0 / whole)
    first, second = np.zeros(n), np.zeros(n)
    for row, detector in enumerate(pair):
        decay = head.decay(detector)
        at = np.floor(late[row, : decay.size] / width).astype(np.int64)
        inside = (at >= 0) & (at < whole)
        light = np.bincount(at[inside], decay[inside], minlength=whole) / max(float(decay[inside].sum()), 1.0)
        after_light, after_flat = (np.cumsum(x[::-1])[::-1] for x in (light, flat))
        earlier = light * (after_flat - flat / 2.0) + flat * (after_light - light / 2.0)
        size = fft.next_fast_len(2 * whole - 1, real=True)
        lags = fft.irfft(fft.rfft(light, size) * fft.rfft(flat[::-1], size), size)[: 2 * whole - 1]
        later, sooner = lags[whole - 1 :], lags[whole - 1 :: -1]
        apart = np.concatenate([[later[0]], later[1:] + sooner[1:]])
        first += earlier[:n] / 2.0
        # a difference falls with equal chance into the two bins beside it
        second += (apart[:n] + np.concatenate([[apart[0]], apart[: n - 1]])) / 4.0
    return {"first_dark": first, "second_dark": second}


class _Counter:
    """Histograms of pairs for each pulse lag."""

    def __init__(
        self,
        head: Head,
        pair: tuple[int, int],
        period: float,
        base: int,
        n_side: int,
        rises: list[tuple[float, float]],
        width: float,
        stretches: Stretches | None,
    ) -> None:
        self._pair, self._base, self._width, self._period = pair, base, width, period
        self._lowest = base - n_side
        reach = abs(base) + n_side + 2
        self.edges = Edges(head.first, pair, period, (reach + 1) * period, stretches)
        self._walk = Walk(pair, None, self.edges, reach)
        self._reach = reach
        self._late, self._turns = turned(rises, period)
        m, n = 2 * n_side + 1, min(int(0.5 * period / width), MOST_BINS)
        self._earlier, self._gap = np.zeros((m, n), np.int64), np.zeros((m, n), np.int64)
        self._pairs = np.zeros(m, np.int64)
        self.photons = np.zeros(2, np.int64)

    def feed(self, piece: PhotonStream) -> None:
        """Count the pairs whose later photon is in the next piece."""
        for s in self._walk.feed(piece):
            pair_decays(
                s.times, s.nanotimes, s.detectors, *self._pair, s.first, s.last, self._reach, self._late, self._turns,
                self._lowest, self._width, self._earlier, self._gap, self._pairs,
            )  # fmt: skip
            for row, detector in enumerate(self._pair):
                self.photons[row] += np.count_nonzero(s.detectors[s.first : s.last] == detector)
        self.edges.totals[:] = self.photons

    def centre(self, start: Start, between: float, unit: float) -> tuple[int, str]:
        """Return the pulse lag of the centre, and how it was found."""
        return find_centre(self._pairs, self._lowest, start, self._base, between, self._period, unit)

    def histograms(self, centre: int) -> dict[str, Any]:
        """Return the pairs of the centre, and the mean of ten side peaks on either side."""
        at = centre - self._lowest
        away = np.abs(np.arange(self._pairs.size) - at)
        side = (away >= 1) & (away <= SIDE_PEAKS)
        return {
            "first": self._earlier[at], "second": self._gap[at], "n_pairs": int(self._pairs[at]),
            "first_side": self._earlier[side].mean(axis=0), "second_side": self._gap[side].mean(axis=0),
            "n_sides": int(side.sum()), "side_pairs": float(self._pairs[side].mean()),
        }  # fmt: skip
