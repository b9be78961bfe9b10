"""How many emitters: a probability for each number, from pairs of photons later than a rising gate."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from photonstats.background import GIVEN, Background
from photonstats.correlations.correlation import G2, g2
from photonstats.correlations.delay import rise_of
from photonstats.correlations.emitter_gates import (
    BACKGROUND_SHARE,
    UNKNOWN,
    Noted,
    choose_gates,
    estimated_background,
    gated_pairs,
    lifetime_and_guard,
    with_scatter,
)
from photonstats.correlations.emitter_posterior import (
    SLOWEST,
    Background2,
    GatedPairs,
    Likelihood,
    broad_background,
    different_likelihood,
    far_error,
    highest,
    normal_background,
    number_posterior,
    plateau_likelihood,
    prior_settings,
    ratio_posterior,
)
from photonstats.correlations.gates import gate_series
from photonstats.correlations.pairing import Head, check_background, choose_pair, open_recording, pair_background
from photonstats.likelihood import Z95
from photonstats.result import Result, quantity
from photonstats.stream import PhotonStream

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]
Gate = float | tuple[float, float] | None

FEW = 2000  # photons below which a decay without a rise may just be one of too few
NO_DIP = 2.0  # standard errors
SPREAD = 0.9  # best probability below which the note says that the data do not tell
SURE = 0.99  # below this, one emitter that looks like more gets a note
MANY = 0.999  # F above which the effective number is not limited


@dataclass(frozen=True, eq=False, repr=False)
class EmitterEstimate(Result):
    """Number of emitters, with a probability for each.

    Parameters
    ----------
    best : int or None
        Most probable number; None where the data say nothing.
    probability : dict of int to float
        Posterior probability of 1 ... max_emitters; sums to 1.
    effective, effective_err, effective_ci : float, float, ndarray of shape (2,)
        `1 / sum p_i^2` of the shares p_i in the mean light, from the far plateau (continuous light: the near one); 95 %
        interval, inf above 1000.
    effective_near, effective_near_ci : float, ndarray of shape (2,)
        `1 / (1 - plateau)`: emitters that are on at the same time.
    effective_far, effective_far_ci : float, ndarray of shape (2,)
        `1 / (1 - plateau * bunching)`: all emitters, where they blink independently of each other.
    plateau, plateau_err, plateau_ci : float, float, ndarray of shape (2,)
        Centre over near side peaks with biexcitons gated away and pairs from overlapping pulses taken off.
    yield_ratio, yield_ratio_ci : float, ndarray of shape (2,)
        Biexciton over exciton quantum yield: posterior median and central 95 %.
    bunching, bunching_err : float
        `<I^2>/<I>^2`: near side peaks over independent light.
    mode : str
        "pulsed" or "cw".
    background : Background
        Rates that were used, after the pair counts have had their say, Hz; `method` says where they come from.
    gates : ndarray of float64, shape (n,)
        Gates after the rise, s; empty for continuous light.
    centre, side : ndarray of float64, shape (n,)
        Pairs in the centre peak and in the mean side peak after each gate.
    detectors : (int, int)
        The pair (a, b).
    lifetime : float
        Lifetime by which the gates were chosen, s; nan for continuous light.
    prior : dict
        Prior of the numbers and the scales of the nuisance parameters.
    reason : str
        Why nothing can be said; empty if something can.
    note : str
        What is doubtful; empty if nothing.
    """

    best: int | None
    probability: dict[int, float]
    effective: float
    effective_err: float
    effective_ci: Floats
    effective_near: float
    effective_near_ci: Floats
    effective_far: float
    effective_far_ci: Floats
    plateau: float
    plateau_err: float
    plateau_ci: Floats
    yield_ratio: float
    yield_ratio_ci: Floats
    bunching: float
    bunching_err: float
    mode: str
    background: Background
    gates: Floats
    centre: Floats
    side: Floats
    detectors: tuple[int, int]
    lifetime: float
    prior: dict[str, Any]
    reason: str
    note: str

    def summary(self) -> str:
        """Return a text of about ten lines: probabilities, effective numbers and what each counts, what is doubtful."""
        likely = sorted(self.probability.items(), key=lambda item: -item[1])[:4]
        odds = ", ".join(f"{m}: {_percent(p)}" for m, p in sorted(likely) if p >= 5e-4)
        head = "not known" if self.best is None else f"{self.best} ({_percent(self.probability[self.best])})"
        lines = [
            (
                f"Emitters: {head}, {'pulsed' if self.mode == 'pulsed' else 'continuous'} light, "
                f"detectors {self.detectors[0]} and {self.detectors[1]}"
            ),
            f"  probability of {odds}",
            f"  effective number {quantity(self.effective, self.effective_err)} (95 %: {_span(self.effective_ci)})",
            (
                f"  near {quantity(self.effective_near)} (95 %: {_span(self.effective_near_ci)}): "
                "emitters on at the same time"
            ),
        ]
        if self.mode == "pulsed":
            lines += [
                (
                    f"  far {quantity(self.effective_far)} (95 %: {_span(self.effective_far_ci)}): "
                    "all emitters, if they blink independently"
                ),
                (
                    f"  plateau {quantity(self.plateau, self.plateau_err)} without biexcitons, "
                    f"biexciton/exciton yield {self.yield_ratio:.2g} (95 %: {_span(self.yield_ratio_ci)})"
                ),
                (
                    f"  bunching {quantity(self.bunching, self.bunching_err)}, {self.gates.size} gates up to "
                    f"{(self.gates[-1] if self.gates.size else 0.0) * 1e9:.3g} ns"
                ),
            ]
        else:
            lines.append(f"  g2(0) of different emitters {quantity(self.plateau, self.plateau_err)}")
        lines.append(f"  {self.background.summary()}")
        lines += [f"  {kind}: {text}" for kind, text in (("reason", self.reason), ("note", self.note)) if text]
        return "\n".join(lines)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the probability of each number into `ax` and return it."""
        from photonstats import plots

        return plots.plot_emitters(self, ax)


def estimate_emitters(
    photons: PhotonStream | Iterable[PhotonStream],
    background: Background | float | Mapping[int, float] | None = None,
    gate: Gate = None,
    max_emitters: int = 10,
    *,
    background_err: float | Mapping[int, float] | None = None,
    detectors: tuple[int, int] | None = None,
    delay: float | Literal["auto"] = "auto",
    stretches: ArrayLike | None = None,
    gates: Sequence[float] | None = None,
    n_pulses: int = 10,
    prior: Sequence[float] | None = None,
    window: float = 200e-9,
    bin_width: float = 0.5e-9,
    irf_sigma: float = 0.0,
) -> EmitterEstimate:
    """Say how many emitters there are, with a probability for each number.

    Parameters
    ----------
    photons : PhotonStream or iterable of PhotonStream
        A stream, or the pieces of `scan`; one pass.
    background : Background, float or mapping of int to float, optional
        Rate of counts unrelated to the light on each detector, Hz. None: from the flat part of the decays, else it is
        unknown.
    gate : float or (float, float), optional
        Take photons only from that long after the rise on, s (pulsed light).
    max_emitters : int
        Largest number considered, 1 to 50.
    background_err : float or mapping of int to float, optional
        Standard error of `background`, Hz.
    detectors : (int, int), optional
        The pair (a, b); by default the two live detectors.
    delay : float or "auto"
        How much later b is than a, s.
    stretches : array_like of shape (k, 2), optional
        Times (start, stop) that are used, s.
    gates : sequence of float, optional
        Gates after the rise, s; by default 0 and twelve up to 2.5 lifetimes.
    n_pulses : int
        Side peaks on each side.
    prior : sequence of float, optional
        Prior weight of each number, max_emitters of them; by default equal.
    window, bin_width, irf_sigma : float
        Of the correlation of continuous light and its fit, s; see `g2`.

    Returns
    -------
    EmitterEstimate

    Raises
    ------
    ValueError
        If there are not two live detectors, the background leaves no signal, or an argument is out of range.

    Notes
    -----
    Emitter i has the share p_i of the mean light and the bunching b_i; S = sum p_i^2. After a gate t the centre holds
    `F + (B - F)(beta exp(-(k_BX - 2 k_X) t) + leak)` of independent light, F = (1 - S)(1 + v), and the side peaks hold
    B = (sum p_i^2 b_i + 1 - S)(1 + v), with v the variance of fluctuations that all emitters share. So `1/(1 - F)`
    counts all emitters that blink independently, and `1/(1 - F/B)`, of the near plateau F/B, those on at the same time.
    The likelihood is Poisson in the pairs between successive gates, which are disjoint. Summed over: beta, uniform in
    0 ... 1, and none with 15 %; k_BX - 2 k_X, uniform in its logarithm from 2 to 400 k_X, 10 % for 0.1 to 2 k_X, 5 %
    for less, which no gate clears; background, within its error; brightness, whose coefficient of variation has a
    half-normal prior of scale 0.2, and with 10 % of scale 0.6; v, exponential of mean 1 % and with 5 % anything up to
    B - 1; the leak, `2w/(1 + w)` with w = exp(-T_p k_X) of overlapping pulses and an exponential of mean 0.5 % for
    afterglow and crosstalk; the scatter of F by few blinking periods, from the stretches of the recording and not
    below that of M equal emitters.

    Emitters that blink together look fewer or more, as far as v allows. Emitters of very different lifetimes look fewer
    after a late gate. An emitter that was never on is not counted. Continuous light has no gate: g2(0) = P + (1 - P)
    beta leaves the number open where g2(0) is not near 0.

    References
    ----------
    Nair, Zhao, Bawendi, Nano Lett. 11, 1136 (2011). Mangum et al., Opt. Express 21, 7419 (2013).
    """
    weights = _checked_prior(max_emitters, prior)
    head, parts = open_recording(photons)
    pair = choose_pair(head, detectors)
    dark = None if background is None else pair_background(background, background_err, pair)
    if head.first.syncs.size and head.nanotimes is None:
        raise ValueError("this T2 recording has its laser pulses as syncs: use fold first")
    method = background.method if isinstance(background, Background) else GIVEN
    rises = head.ticks_per_pulse is not None and _rises(head, pair)
    if head.ticks_per_pulse is not None and not rises and head.detectors.size < FEW:
        used = Background2(np.zeros((1, 2)) if dark is None else dark[0][None, :], np.ones(1))
        text = f"the decays of {head.detectors.size} photons show no rise: too few photons"
        return _nothing(text, None, pair, UNKNOWN if dark is None else method, used, weights)
    if rises:
        return _pulsed(head, parts, pair, dark, method, gate, delay, stretches, gates, n_pulses, weights)
    if gate is not None or gates is not None:
        raise ValueError("gate needs a decay that rises after a laser pulse: this light is continuous")
    options: dict[str, Any] = {} if stretches is None else {"stretches": stretches}
    curve = g2(parts, window, bin_width, detectors=pair, delay=delay, **options)
    return _continuous(curve, pair, dark, method, irf_sigma, weights)


def _checked_prior(max_emitters: int, prior: Sequence[float] | None) -> Floats:
    if isinstance(max_emitters, bool) or max_emitters not in range(1, 51):
        raise ValueError(f"max_emitters={max_emitters!r}: give a whole number from 1 to 50")
    if prior is None:
        return np.full(max_emitters, 1.0 / max_emitters)
    weights = np.asarray(prior, dtype=np.float64)
    if weights.shape != (max_emitters,) or not np.all(np.isfinite(weights) & (weights >= 0)) or not weights.sum() > 0:
        raise ValueError(f"prior must be {max_emitters} weights >= 0, one for each number, not {prior!r}")
    shares: Floats = weights / weights.sum()
    return shares


def _rises(head: Head, pair: tuple[int, int]) -> bool:
    try:
        for detector in pair:
            rise_of(head.decay(detector), float(head.ticks_per_pulse or 1.0))
    except ValueError:
        return False
    return True


def _pulsed(
    head: Head,
    parts: Iterable[PhotonStream],
    pair: tuple[int, int],
    dark: tuple[Floats, Floats] | None,
    method: str,
    gate: Gate,
    delay: float | Literal["auto"],
    stretches: ArrayLike | None,
    gates: Sequence[float] | None,
    n_pulses: int,
    weights: Floats,
) -> EmitterEstimate:
    period, unit = head.ticks_per_pulse, head.first.tcspc_unit
    assert period is not None
    assert unit is not None
    noted = Noted(parts, pair)
    if isinstance(gate, tuple | list):
        raise ValueError(f"gate={gate}: give one time after the rise; a window leaves no later gates")  # noqa: TRY004
    begin = 0.0 if gate is None else float(gate)
    lifetime, guard = lifetime_and_guard(head, pair, period)
    at = choose_gates(begin, gates, lifetime * unit, guard * unit, period * unit)
    options: dict[str, Any] = {} if stretches is None else {"stretches": stretches}
    series = gate_series(noted, at, n_pulses=n_pulses, detectors=pair, delay=delay, **options)
    pairs = gated_pairs(series, lifetime * unit)
    rates = pairs.photons[0] / pairs.duration / np.maximum(pairs.share[0], 1e-9)
    notes = []
    if dark is not None:
        check_background(dark[0] * pairs.share[0], pairs.photons[0] / pairs.duration, pair)
        used = normal_background(*dark, rates)
    else:
        used, method, why = estimated_background(noted.decays(head), head, pair, rates)
        notes += [why] if why else []
    if pairs.sides[0] <= 0:
        return _nothing("there are no pairs in the side peaks: too few photons", pairs, pair, method, used, weights)
    pairs = with_scatter(pairs, series, used)
    found = plateau_likelihood(pairs, used)
    return _of_pulsed(pairs, found, pair, method, notes, weights, lifetime * unit, begin)


def _of_pulsed(
    pairs: GatedPairs,
    found: Likelihood,
    pair: tuple[int, int],
    method: str,
    notes: list[str],
    weights: Floats,
    lifetime: float,
    begin: float,
) -> EmitterEstimate:
    posterior = number_posterior(pairs, found, weights)
    grid, far, near = different_likelihood(pairs, found)
    mode, half, interval = highest(grid, far)
    beside, beside_err, beside_ci = highest(grid, near)
    effective, effective_ci = _effective(mode), np.array([_effective(f) for f in interval])
    reduced = pairs.sides[0] / pairs.n_sides / found.bunching if found.bunching > 0 else math.nan
    error = math.hypot(
        math.sqrt(pairs.sides[0]) / pairs.n_sides / reduced,
        found.bunching * math.sqrt(pairs.overlaps / max(2.0 * found.bunching - 2.0, 1e-3)),
    )
    notes += _doubts(pairs, found, posterior, beside)
    near_ci = np.array([_effective(p) for p in beside_ci])
    return EmitterEstimate(
        best=int(np.argmax(posterior)) + 1,
        probability={m + 1: float(p) for m, p in enumerate(posterior)},
        effective=effective, effective_err=_effective_err(mode, half, effective_ci), effective_ci=effective_ci,
        effective_near=_effective(beside), effective_near_ci=near_ci,
        effective_far=effective, effective_far_ci=effective_ci,
        plateau=beside, plateau_err=beside_err, plateau_ci=beside_ci,
        yield_ratio=found.yield_ratio, yield_ratio_ci=found.yield_ratio_ci,
        bunching=found.bunching, bunching_err=error, mode="pulsed",
        background=_used(pair, method, found.rates, found.rates_err),
        gates=begin + pairs.gate, centre=pairs.centre, side=pairs.sides / pairs.n_sides, detectors=pair,
        lifetime=lifetime, prior=_prior(weights), reason="", note="; ".join(notes),
    )  # fmt: skip


def _effective(different: float) -> float:
    return 1.0 / (1.0 - different) if different < MANY else math.inf


def _effective_err(mode: float, half: float, interval: Floats) -> float:
    """Return the standard error of 1/(1 - F): half its 95 % interval over 1.96 where that is finite and larger."""
    if not mode < MANY:
        return math.nan
    error = half / (1.0 - mode) ** 2
    wide = float(interval[1] - interval[0]) / (2.0 * Z95)
    return max(error, wide) if math.isfinite(wide) else math.inf


def _doubts(pairs: GatedPairs, found: Likelihood, posterior: Floats, beside: float) -> list[str]:
    notes = []
    best = int(np.argmax(posterior)) + 1
    if posterior.max() < SPREAD:
        notes.append(f"the data do not tell: the best number has {posterior.max():.0%} only")
    if best == posterior.size and best > 1:
        notes.append(f"{best} is the largest number considered: read it as {best} or more")
    if best > 1 and far_error(pairs, float(best)) > 0.1:
        notes.append(f"the recording holds only about {pairs.periods:.0f} blinking periods: the far value scatters")
    near = _effective(beside)
    if best > 1 and math.isfinite(near) and best > near + 1.0:
        notes.append(
            f"{best} counts emitters that blink independently; {near:.2g} are on at the same time: if they blink "
            "together, as many as that"
        )
    if best == 1 and near > 1.1 and posterior.max() < SURE:
        notes.append("one emitter only if its biexciton is too slow for a gate to clear (k_BX <= 2 k_X)")
    if found.yield_ratio_ci[0] > 0.05 and found.rate_ci[0] < SLOWEST * pairs.exciton_rate:
        notes.append("the biexciton may be too slow for a gate to clear (k_BX <= 2 k_X)")
    if pairs.overlap > 0.05:
        notes.append(
            f"pulses overlap: {pairs.overlap:.0%} of a lone emitter's side pairs come in the centre, taken off"
        )
    return notes


def _continuous(
    curve: G2, pair: tuple[int, int], dark: tuple[Floats, Floats] | None, method: str, sigma: float, weights: Floats
) -> EmitterEstimate:
    rates = np.array([curve.rates[d] for d in pair])
    notes = ["continuous light has no gate: biexcitons and other emitters cannot be told apart where g2(0) is above 0"]
    used = broad_background(rates, BACKGROUND_SHARE) if dark is None else normal_background(*dark, rates)
    if dark is None:
        method = UNKNOWN
    else:
        check_background(dark[0], rates, pair)
    try:
        fit = curve.fit(irf_sigma=sigma)
    except ValueError as problem:
        return _nothing(str(problem), None, pair, method, used, weights)
    low, high = (float(x) for x in fit.g2_zero_ci)
    if not fit.converged or not math.isfinite(fit.g2_zero) or not math.isfinite(high):
        return _nothing(fit.reason or "no dip can be fitted", None, pair, method, used, weights)
    value, least = float(fit.g2_zero), 1e-4
    down, up = max((value - low) / Z95, least), max((high - value) / Z95, least)
    if value <= low:
        down = up
    signal = np.prod(1.0 - used.rates / np.maximum(rates, 1e-300), axis=1)

    def likelihood(ratio: Floats) -> Floats:
        total = np.zeros(ratio.shape)
        for rho, weight in zip(signal, used.weights, strict=True):
            off = 1.0 - rho * (1.0 - ratio) - value
            total += weight * np.exp(-0.5 * (off / np.where(off < 0, down, up)) ** 2)
        return total

    if value + NO_DIP * up > 1.0:
        notes.append("there is no dip at zero lag: many emitters, or a dip narrower than the bins or the response")
    posterior, grid, near = ratio_posterior(likelihood, weights)
    mode, half, interval = highest(grid, near)
    if not posterior.max() > 1.5 / weights.size or not np.any(near > 0):
        notes.append("the data hardly change the prior")
    if posterior.max() < SPREAD:
        notes.append(f"the data do not tell: the best number has {posterior.max():.0%} only")
    effective, ci = _effective(mode), np.array([_effective(p) for p in interval])
    return EmitterEstimate(
        best=int(np.argmax(posterior)) + 1,
        probability={m + 1: float(p) for m, p in enumerate(posterior)},
        effective=effective, effective_err=_effective_err(mode, half, ci), effective_ci=ci,
        effective_near=effective, effective_near_ci=ci, effective_far=math.nan, effective_far_ci=np.full(2, math.nan),
        plateau=mode, plateau_err=half, plateau_ci=interval,
        yield_ratio=math.nan, yield_ratio_ci=np.array([0.0, 1.0]), bunching=float(fit.level),
        bunching_err=float(fit.level_err), mode="cw", background=_used(pair, method, *used.moments()),
        gates=np.zeros(0), centre=np.zeros(0), side=np.zeros(0), detectors=pair, lifetime=math.nan,
        prior=_prior(weights), reason="", note="; ".join(notes),
    )  # fmt: skip


def _nothing(
    reason: str, pairs: GatedPairs | None, pair: tuple[int, int], method: str, used: Background2, weights: Floats
) -> EmitterEstimate:
    """Return the prior, with the reason why the data add nothing to it."""
    none, nowhere = np.zeros(0), np.array([1.0, math.inf])
    return EmitterEstimate(
        best=None,
        probability={m + 1: float(p) for m, p in enumerate(weights)},
        effective=math.nan, effective_err=math.nan, effective_ci=nowhere, effective_near=math.nan,
        effective_near_ci=nowhere, effective_far=math.nan, effective_far_ci=nowhere, plateau=math.nan,
        plateau_err=math.nan, plateau_ci=np.array([0.0, 1.0]), yield_ratio=math.nan,
        yield_ratio_ci=np.array([0.0, 1.0]), bunching=math.nan, bunching_err=math.nan,
        mode="cw" if pairs is None else "pulsed", background=_used(pair, method, *used.moments()),
        gates=none if pairs is None else pairs.gate, centre=none if pairs is None else pairs.centre,
        side=none if pairs is None else pairs.sides / pairs.n_sides, detectors=pair,
        lifetime=math.nan if pairs is None else 1.0 / pairs.exciton_rate, prior=_prior(weights), reason=reason, note="",
    )  # fmt: skip


def _used(pair: tuple[int, int], method: str, rates: Floats, errors: Floats) -> Background:
    errors = np.where(errors > 1e-9 * np.maximum(rates, 1.0), errors, 0.0)
    each, their_err = ({d: float(x) for d, x in zip(pair, values, strict=True)} for values in (rates, errors))
    return Background(each, their_err, method)


def _prior(weights: Floats) -> dict[str, Any]:
    return {"numbers": weights.tolist(), "background_share_mean": BACKGROUND_SHARE} | prior_settings()


def _percent(p: float) -> str:
    return "> 99.9 %" if p > 0.999 else f"{100.0 * p:.3g} %"


def _span(interval: Floats) -> str:
    return f"{interval[0]:.3g} to {interval[1]:.3g}"
