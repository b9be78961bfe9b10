"""Third-order correlation of three detectors: triples by two lags, and g3 at zero with its errors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from photonstats.background import Background
from photonstats.correlations.pairing import (
    check_background,
    open_recording,
    pair_background,
)
from photonstats.correlations.peaks import ratio_interval
from photonstats.correlations.triple_counter import TripleCounter, choose_three, find_delays, opening_of
from photonstats.likelihood import Z95, covering_error, poisson_error, poisson_interval
from photonstats.result import Result, quantity
from photonstats.stream import PhotonStream
from photonstats.traces.stretches import check_stretches

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

MOST_BINS = 100


@dataclass(frozen=True, eq=False, repr=False)
class G3(Result):
    """Triples of three detectors (a, b, c) by the lags of b and of c after a.

    Parameters
    ----------
    lag_index : ndarray of int64, shape (2K+1,)
        Axis of both lags, -K to K: laser pulses, or bins of `bin_width`.
    lag : ndarray of float64, shape (2K+1,)
        The same in seconds, after the delays are taken off.
    triples : ndarray of int64, shape (2K+1, 2K+1)
        Counted triples; row: lag of b after a, column: lag of c after a.
    triples_background, expected_far : ndarray of float64, shape (2K+1, 2K+1)
        Triples in which at least one count is background, and those of independent light of the measured rates,
        background taken off.
    g3, g3_err : ndarray of float64, shape (2K+1, 2K+1)
        `triples - triples_background` over the mean of the bins in which a, b and c all differ, and the error.
    g3_zero, g3_zero_err, g3_zero_ci : float, float, ndarray of float64, shape (2,)
        The central bin of that (near normalisation); the interval is an upper limit where there are no triples.
    g3_zero_far, g3_zero_far_err, g3_zero_far_ci : float, float, ndarray of float64, shape (2,)
        Central bin over independent light; carries the bunching of blinking light.
    bunching, bunching_err : float
        Mean of the bins in which a, b and c all differ over independent light: <I^3>/<I>^3 of slow blinking.
    pairs : dict of str to ndarray of int64, shape (2K+1,)
        Pairs "a-b", "a-c", "b-c" by the lag of the second after the first.
    g2_lines, g2_lines_err : dict of str to float
        g2(0) of each pair from the triples whose third photon comes at another time: a check.
    detectors : (int, int, int)
        The detectors a, b and c.
    delay : dict of int to float
        How much later each detector is than a, s.
    delay_note : str
        How the delays were found and what is doubtful about them.
    pulsed : bool
        Whether lags are counted in laser pulses.
    bin_width, duration : float
        Laser period or width of a bin, and the time analysed, s.
    rates, background, background_err : dict of int to float
        Measured rates (after the gate), the subtracted background and its error (ungated), Hz.
    open_fraction : dict of int to float
        Part of the laser period that the gate leaves open on each detector.
    reason : str
        Why a value is NaN; empty if none is.
    """

    lag_index: Ints
    lag: Floats
    triples: Ints
    triples_background: Floats
    expected_far: Floats
    g3: Floats
    g3_err: Floats
    g3_zero: float
    g3_zero_err: float
    g3_zero_ci: Floats
    g3_zero_far: float
    g3_zero_far_err: float
    g3_zero_far_ci: Floats
    bunching: float
    bunching_err: float
    pairs: dict[str, Ints]
    g2_lines: dict[str, float]
    g2_lines_err: dict[str, float]
    detectors: tuple[int, int, int]
    delay: dict[int, float]
    delay_note: str
    pulsed: bool
    bin_width: float
    duration: float
    rates: dict[int, float]
    background: dict[int, float]
    background_err: dict[int, float]
    open_fraction: dict[int, float]
    reason: str = ""
    stretches: Floats | None = field(default=None, repr=False)

    def summary(self) -> str:
        """Return a text of a few lines with g3(0), the counts behind it, and the pairs."""
        k = self.lag_index.size // 2
        low, high = self.g3_zero_ci
        unit = "pulses" if self.pulsed else f"bins of {self.bin_width * 1e9:.4g} ns"
        lines = ", ".join(f"{name}: {quantity(v, self.g2_lines_err[name])}" for name, v in self.g2_lines.items())
        text = (
            f"g3 of detectors {self.detectors}: {int(self.triples.sum())} triples within {k} {unit}, "
            f"{int(self.triples[k, k])} in the centre\n"
            f"  g3(0) {quantity(self.g3_zero, self.g3_zero_err)} (95 %: {low:.3g} to {high:.3g}), over independent "
            f"light {quantity(self.g3_zero_far, self.g3_zero_far_err)}\n"
            f"  g2(0) of the pairs beside a third photon: {lines}\n"
            f"  delays {', '.join(f'{d}: {t * 1e9:.4g} ns' for d, t in self.delay.items())} ({self.delay_note})"
        )
        return text + (f"\n  {self.reason}" if self.reason else "")

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw g3 against both lags into `ax` and return it."""
        from photonstats import plots

        return plots.plot_g3(self, ax)


def g3(
    photons: PhotonStream | Iterable[PhotonStream],
    n_pulses: int = 5,
    *,
    bin_width: float | None = None,
    detectors: Sequence[int] | None = None,
    delay: float | Mapping[int, float] | Literal["auto"] = "auto",
    gate: float | tuple[float, float] | None = None,
    background: Background | float | Mapping[int, float] | None = None,
    background_err: float | Mapping[int, float] | None = None,
    stretches: ArrayLike | None = None,
) -> G3:
    """Correlate three detectors: triples by the lags of b and of c after a, and g3 at zero.

    Parameters
    ----------
    photons : PhotonStream or iterable of PhotonStream
        Photons, or the pieces of `scan`; one pass, and where the pieces are cut does not matter.
    n_pulses : int
        Pulses (or bins) of lag on each side, 1 to 100.
    bin_width : float, optional
        Continuous light: width of a bin of lag, which is the window of a coincidence, s (whole ticks with T2). None:
        pulsed light, by laser pulses.
    detectors : (int, int, int), optional
        Detectors a, b and c. None: the three live ones.
    delay : mapping of int to float, float, or "auto"
        How much later each detector is than a, s; a number holds for both b and c. "auto": as `g2_pulsed` or `g2` find
        it between a and each of them on the first 2^19 photons.
    gate : float or (float, float), optional
        As in `g2_pulsed`.
    background : Background, float or mapping of int to float, optional
        Rate of counts unrelated to the light on each detector without a gate, Hz.
    background_err : float or mapping of int to float, optional
        Its standard error, Hz.
    stretches : array_like of float, shape (n, 2), optional
        Begin and end (s) of the parts of the recording to use, each correlated alone and summed.

    Returns
    -------
    G3

    Raises
    ------
    ValueError
        If there are not three live detectors or two are the same, no laser pulses and no `bin_width`, a background as
        large as the signal, or an argument out of range.

    Notes
    -----
    Pulsed: a photon belongs to the last pulse before it, by the rise of the decay of a, less its cable delay; n(k, l)
    are the triples with b k pulses and c l pulses after a. Late photons beyond a whole period fall to the next pulse.
    Continuous: k and l are the lags over `bin_width`, rounded.

    Near: `g3_zero = n(0, 0) / mean n(k, l)` over k, l and 0 all different, free of slow blinking of one emitter. Its
    interval is that of a ratio of two Poisson means (at least 95 % at few counts); side triples that share photons make
    their sum scatter more than Poisson by `1 + sum S/P + sum S/N` (S of them, P pairs, N photons of each kind), which
    is allowed for. Far: over `N_a N_b N_c / n^2` with n pulses (or bins) of time, less those at the ends of the window;
    the scatter of blinking is not in the error of the far value and of the bunching. For M equal emitters that give one
    photon at a time `g3(0) = (1 - 1/M)(1 - 2/M)`; emitters that blink on their own count in the near value as those
    that are on at the same time, weighted with their triples. Blinking faster than K periods makes side bins unequal.

    Background of b_d per pulse or bin, unrelated to the light, is taken off in moments, exact for blinking light too:
    `n - b_a P_bc - b_b P_ac - b_c P_ab + b_a b_b N_c + b_a b_c N_b + b_b b_c N_a - b_a b_b b_c n`, with the measured
    pairs P at the lags of the bin.

    Where the delays are not known for sure (`delay_note`), another bin may be the centre; the intervals do not hold
    this doubt: give the delays of the cables.

    Cost: photons, and half the square of the photons within (2K + 1) periods of each: narrow bins, few pulses for
    bright light.

    References
    ----------
    Glauber, Phys. Rev. 130, 2529 (1963). Stevens, Glancy, Nam, Mirin, Opt. Express 22, 3244 (2014).

    Examples
    --------
    >>> photons = PhotonStream([10, 11, 30, 50], [0, 1, 2, 0], timestamps_unit=1e-9, duration=1e-6)
    >>> g3(photons, 3, bin_width=10e-9, detectors=(0, 1, 2), delay=0.0).triples.sum()
    np.int64(1)
    """
    if isinstance(n_pulses, bool) or n_pulses not in range(1, MOST_BINS + 1):
        raise ValueError(f"n_pulses={n_pulses!r}: give a whole number of pulses or bins on each side, 1 to {MOST_BINS}")
    if bin_width is not None and not (math.isfinite(bin_width) and bin_width > 0):
        raise ValueError(f"bin_width={bin_width!r}: must be a time in seconds > 0, or None for laser pulses")
    head, parts = open_recording(photons)
    if bin_width is None and head.ticks_per_pulse is None:
        raise ValueError(
            "g3 counts by laser pulses, and this stream has none that timestamps count: give bin_width (s) for "
            "continuous light, or use fold on a T2 recording with syncs"
        )
    three = choose_three(head, detectors)
    opening, parts = opening_of(parts)
    lags, note = find_delays(opening, three, delay, bin_width)
    counter = TripleCounter(head, three, lags, bin_width, int(n_pulses), gate)
    given = None if stretches is None else check_stretches(stretches)
    counter.run(parts, given)
    counter.check_photons(head, gate)
    dark, dark_err = _rates_of_three(background, background_err, three)
    seconds = float(counter.slots.sum()) * counter.slot
    with np.errstate(divide="ignore", invalid="ignore"):
        rates = counter.photons.sum(axis=0) / seconds
    check_background(dark * counter.open_fraction, rates, three)  # type: ignore[arg-type]
    found = _normalised(counter, dark, dark_err)
    return G3(
        detectors=three, delay=dict(zip(three, lags, strict=True)), delay_note=note, pulsed=bin_width is None,
        bin_width=counter.slot, duration=seconds, rates=_by(three, rates), background=_by(three, dark),
        background_err=_by(three, dark_err), open_fraction=_by(three, counter.open_fraction), stretches=given, **found,
    )  # fmt: skip


def _rates_of_three(
    background: Background | float | Mapping[int, float] | None,
    background_err: float | Mapping[int, float] | None,
    three: tuple[int, int, int],
) -> tuple[Floats, Floats]:
    a_b = pair_background(background, background_err, (three[0], three[1]))
    a_c = pair_background(background, background_err, (three[0], three[2]))
    return np.append(a_b[0], a_c[0][1]), np.append(a_b[1], a_c[1][1])


def _background_triples(counter: TripleCounter, dark: Floats) -> tuple[Floats, Floats]:
    """Return the triples with background among them, and their derivatives to the three backgrounds per slot."""
    index = np.arange(-counter.n, counter.n + 1)
    ab, ac, bc = counter.pairs.astype(np.float64)
    if not counter.pulsed:  # two lags in bins k and l differ by l - k bins, within one bin up or down
        bc = 0.75 * bc + 0.125 * (np.roll(bc, 1) + np.roll(bc, -1))
    middle = bc.size // 2
    p_bc = bc[(index[None, :] - index[:, None]) + middle]
    p_ac = np.broadcast_to(ac[index + middle][None, :], p_bc.shape)
    p_ab = np.broadcast_to(ab[index + middle][:, None], p_bc.shape)
    n_a, n_b, n_c = (float(x) for x in counter.photons.sum(axis=0))
    b_a, b_b, b_c = (float(x) for x in dark)
    slots = float(counter.slots.sum())
    total = b_a * p_bc + b_b * p_ac + b_c * p_ab - b_a * b_b * n_c - b_a * b_c * n_b - b_b * b_c * n_a
    total = total + b_a * b_b * b_c * slots
    slopes = np.stack(
        [
            p_bc - b_b * n_c - b_c * n_b + b_b * b_c * slots,
            p_ac - b_a * n_c - b_c * n_a + b_a * b_c * slots,
            p_ab - b_a * n_b - b_b * n_a + b_a * b_b * slots,
        ]
    )
    return total, slopes


def _normalised(counter: TripleCounter, dark: Floats, dark_err: Floats) -> dict[str, Any]:
    """Turn triples, pairs and photons into both normalisations and the check by pairs."""
    n, table = counter.n, counter.triples
    index = np.arange(-n, n + 1)
    row, column = np.meshgrid(index, index, indexing="ij")
    off = (row != 0) & (column != 0) & (row != column)
    b, b_err = (x * counter.open_fraction * counter.slot for x in (dark, dark_err))
    noise, slopes = _background_triples(counter, b)
    light = _independent(counter, b, row, column)
    mean = (int(table[off].sum()) - float(noise[off].sum())) / int(off.sum())
    reason = ""
    if not mean > 0:
        reason = "no triples above the background at other lags to compare with: record longer, or take wider bins"
        mean = math.nan
    # the pairs that stand in the background have their own Poisson scatter
    seen = float(b**2 @ counter.pairs[::-1, counter.pairs.shape[1] // 2])
    centre = _Centre(int(table[n, n]), float(noise[n, n]), seen, slopes[:, n, n], b_err)
    share = _shared(counter, int(table[off].sum()))
    return {
        "lag_index": index.astype(np.int64), "lag": index * counter.slot, "triples": table, "triples_background": noise,
        "expected_far": light, "g3": (table - noise) / mean, "g3_err": poisson_error(table) / mean, "reason": reason,
        **_lines(counter, table - noise, mean, row, column),
        **centre.near(int(table[off].sum()), mean, int(off.sum()), share, slopes[:, off].mean(axis=1)),
        **centre.far(float(light[n, n])),
        **_bunching(int(table[off].sum()), float(noise[off].sum()), float(light[off].sum()), share),
    }  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Centre:
    """Triples in the centre, those of background, their variance from pairs, slope to the background, and its error."""

    n: int
    dark: float
    seen: float
    slope: Floats
    dark_err: Floats

    def near(self, side: int, mean: float, bins: int, share: float, side_slope: Floats) -> dict[str, Any]:
        """Return the centre over the `mean` of so many `bins` with `side` triples of `share` times Poisson variance."""
        if math.isnan(mean):
            return {"g3_zero": math.nan, "g3_zero_err": math.nan, "g3_zero_ci": np.array([0.0, math.inf])}
        value = (self.n - self.dark) / mean
        at = max((self.n + 0.5 - self.dark) / mean, 0.0)
        noise = float(np.sum(((self.slope - value * side_slope) / mean * self.dark_err) ** 2))
        rest = at**2 * side * share / (bins * mean) ** 2 + self.seen / mean**2 + noise
        interval = _interval(self.n, self.dark, mean, rest)
        if self.dark == 0.0 and noise == 0.0:
            interval = ratio_interval(self.n, side / share) * bins / share  # type: ignore[arg-type]
        error = covering_error(math.sqrt((self.n + 0.5) / mean**2 + rest), interval)
        return {"g3_zero": value, "g3_zero_err": error, "g3_zero_ci": interval}

    def far(self, light: float) -> dict[str, Any]:
        """Return the centre over the triples of independent light."""
        if not light > 0:
            return {"g3_zero_far": math.nan, "g3_zero_far_err": math.nan, "g3_zero_far_ci": np.array([0.0, math.inf])}
        rest = (self.seen + float(np.sum((self.slope * self.dark_err) ** 2))) / light**2
        interval = _interval(self.n, self.dark, light, rest)
        error = covering_error(math.sqrt((self.n + 0.5) / light**2 + rest), interval)
        return {"g3_zero_far": (self.n - self.dark) / light, "g3_zero_far_err": error, "g3_zero_far_ci": interval}


def _bunching(side: int, dark: float, light: float, share: float) -> dict[str, float]:
    if not light > 0:
        return {"bunching": math.nan, "bunching_err": math.nan}
    return {"bunching": (side - dark) / light, "bunching_err": float(poisson_error(side)) * math.sqrt(share) / light}


def _lines(counter: TripleCounter, table: Floats, mean: float, row: Ints, column: Ints) -> dict[str, Any]:
    """Return pairs by lag, and g2(0) of each pair from triples of which two fall together and the third does not."""
    n, middle = counter.n, counter.pairs.shape[1] // 2
    lines = [(row == 0) & (column != 0), (column == 0) & (row != 0), (row == column) & (row != 0)]
    pairs, value, error = {}, {}, {}
    side = max(float(counter.triples[(row != 0) & (column != 0) & (row != column)].sum()), 1.0)
    for i, (line, (a, b)) in enumerate(zip(lines, ((0, 1), (0, 2), (1, 2)), strict=True)):
        name = f"{counter.three[a]}-{counter.three[b]}"
        pairs[name] = counter.pairs[i, middle - n : middle + n + 1].copy()
        value[name] = float(table[line].sum()) / (2 * n) / mean
        own = float(poisson_error(counter.triples[line].sum())) / (2 * n) / mean
        error[name] = math.hypot(own, value[name] * float(poisson_error(side)) / side)
    return {"pairs": pairs, "g2_lines": value, "g2_lines_err": error}


def _independent(counter: TripleCounter, dark: Floats, row: Ints, column: Ints) -> Floats:
    """Return the triples of independent light of the same rates, background taken off, each stretch on its own."""
    span = np.maximum(np.maximum(row, column), 0) - np.minimum(np.minimum(row, column), 0)
    total = np.zeros(row.shape)
    for photons, slots in zip(counter.photons, counter.slots, strict=True):
        if slots > 0:
            light = float(np.prod(photons - dark * slots))
            total += light / slots**3 * np.maximum(slots - span, 0.0)
    return total


def _shared(counter: TripleCounter, side: int) -> float:
    """Return by how much the variance of the side triples exceeds Poisson, since some share a pair or a photon."""
    middle, n = counter.pairs.shape[1] // 2, counter.n
    pairs = counter.pairs[:, middle - n : middle + n + 1].sum(axis=1) - counter.pairs[:, middle]
    others = np.concatenate([pairs, counter.photons.sum(axis=0)])
    return 1.0 + float(np.sum(side / np.maximum(others, 1)))


def _interval(n: int, dark: float, level: float, rest: float) -> Floats:
    """Return the interval of (n - dark) / level: Poisson in n, and a further variance `rest` beside it."""
    value = (n - dark) / level
    low = float(poisson_interval(n)[0] - dark) / level
    # fewer counts than background alone makes say no more than as many
    high = float(poisson_interval(max(n, math.ceil(dark)))[1] - dark) / level
    more = Z95 * math.sqrt(rest)
    return np.maximum([value - math.hypot(value - low, more), value + math.hypot(high - value, more)], 0.0)


def _by(three: tuple[int, int, int], values: Floats) -> dict[int, float]:
    return {d: float(v) for d, v in zip(three, values, strict=True)}
