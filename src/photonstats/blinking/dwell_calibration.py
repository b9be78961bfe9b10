"""Dwell-time laws freed of what bins and threshold do to them, by simulating the same measurement."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from photonstats.blinking.dwell import DwellTimes
from photonstats.blinking.dwell_laws import DwellFit, fit_dwell_times
from photonstats.blinking.dwell_likelihood import LAWS, Floats, LawFit, table_of
from photonstats.likelihood import Z95
from photonstats.result import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STATES = ("on", "off")
FEWEST = 30
MOST_DWELLS = 3_000_000
ROUNDS = 5
ALPHA_RANGE = (0.3, 4.0)


@dataclass(frozen=True, eq=False, repr=False)
class CalibratedDwellFit(Result):
    """The law of the dwells of an emitter, without the bias of bins and threshold.

    Parameters
    ----------
    state, model : str
        "on" or "off"; "power_law", "truncated" or "undetermined".
    alpha, alpha_ci : float and pair of float
        Exponent and its 95 % interval.
    cutoff, cutoff_ci : float and pair of float
        ``t_c``, s; nan for a plain law.
    t_min : float
        Shortest dwell of the simulated law, s: an assumption, not a result.
    rates : pair of float
        Off and on rate of the simulation, Hz.
    other : dict
        Parameters of the law of the other state, found along with it.
    raw : DwellFit
        The fit of the dwells as measured.
    n_simulations : int
        Simulated traces of the last round.
    note : str
        Why there is no answer, or what makes it doubtful; mostly empty.
    """

    state: str
    model: str
    alpha: float
    alpha_ci: tuple[float, float]
    cutoff: float
    cutoff_ci: tuple[float, float]
    t_min: float
    rates: tuple[float, float]
    other: dict[str, float]
    raw: DwellFit
    n_simulations: int
    note: str

    def summary(self) -> str:
        """Return a few lines: calibrated and raw parameters with intervals."""
        if self.model == "undetermined":
            return f"CalibratedDwellFit: undetermined; {self.note}"
        low, high = self.alpha_ci
        lines = [
            f"CalibratedDwellFit: {self.state} dwells, {self.model} from {self.t_min:.4g} s",
            f"  alpha    {self.alpha:.4g} [{low:.4g}, {high:.4g}], raw {self.raw.alpha:.4g}",
        ]
        if self.model == "truncated":
            low, high = self.cutoff_ci
            lines.append(f"  cutoff   {self.cutoff:.4g} [{low:.4g}, {high:.4g}] s, raw {self.raw.cutoff:.4g} s")
        return "\n".join(lines + ([f"  {self.note}"] if self.note else []))

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw raw and calibrated parameters with their intervals."""
        from photonstats import plots

        return plots.plot_calibration(self, ax)


@dataclass(frozen=True)
class _Measurement:
    """What all simulated traces share."""

    bin_width: float
    n_bins: int
    threshold: float
    rates: tuple[float, float]
    t_min: float
    models: tuple[str, str]
    starts_on: bool


def calibrate_dwell_fit(
    dwells: DwellTimes,
    state: str,
    *,
    t_min: float,
    rates: tuple[float, float] | None = None,
    n_simulations: int = 120,
    seed: int | None = 0,
) -> CalibratedDwellFit:
    """Estimate the law of dwells that bins and threshold have changed, by simulating the same measurement.

    Parameters
    ----------
    dwells : DwellTimes
        Dwells of a binned trace.
    state : "on" or "off"
        Which law is asked for; that of the other state is found along with it.
    t_min : float
        Shortest dwell of both laws, s. The data do not tell it where it is below a bin.
    rates : pair of float, optional
        Off and on rate, Hz; None: the levels that `dwell_times` found.
    n_simulations : int
        Simulated traces in each of up to five rounds, >= 30.
    seed : int, optional
        Of the simulations.

    Returns
    -------
    CalibratedDwellFit
        With "undetermined" and a note where a state has fewer than 30 dwells or the rounds do not settle.

    Raises
    ------
    ValueError
        If `state` is neither "on" nor "off", the dwells come from no bins, or rates or `t_min` are missing or wrong.

    Notes
    -----
    Indirect inference. Each state is summed up by its mean ln t and, for a truncated law, ln of the mean t: what is
    sufficient for the law without bins. Traces are simulated with parameters around the estimate (alternating dwells,
    Poisson counts, the same bins, threshold and duration); a plane through their sums gives the parameters at which
    the mean sums are those of the data. Errors follow from the scatter of the sums and the slopes of the plane. Which
    laws are simulated is taken from the raw fits. The result stands and falls with `t_min`, which sets how many dwells
    are hidden, and with two steady rates; grey states are not in it.

    References
    ----------
    Gourieroux, Monfort, Renault, J. Appl. Econometrics 8, S85 (1993).

    Examples
    --------
    >>> from photonstats.traces.intensity import IntensityTrace
    >>> from photonstats.blinking.dwell import dwell_times
    >>> few = dwell_times(IntensityTrace([9, 0] * 9, 0.01), 300.0)
    >>> calibrate_dwell_fit(few, "on", t_min=1e-3, rates=(0, 900)).model
    'undetermined'
    """
    if state not in STATES:
        raise ValueError(f'state must be "on" or "off", it is {state!r}')
    if not (math.isfinite(dwells.bin_width) and math.isfinite(dwells.threshold)):
        raise ValueError("the dwells have no bins or no threshold: calibration needs those of dwell_times(trace, ...)")
    if n_simulations < FEWEST:
        raise ValueError(f"n_simulations must be {FEWEST} or more, it is {n_simulations}")
    if not 0 < t_min <= 10.0 * dwells.bin_width:
        raise ValueError(f"t_min must lie between 0 and ten bins of {dwells.bin_width} s, it is {t_min} s")
    levels = rates if rates is not None else dwells.levels
    if levels is None or not 0 <= levels[0] < dwells.threshold <= levels[1]:
        raise ValueError(
            f"off and on rate must lie on either side of the threshold {dwells.threshold:.5g} Hz, they are "
            f"{levels}; give rates=(off, on) in Hz"
        )
    fits = tuple(fit_dwell_times(dwells, state=s, t_min=dwells.bin_width, n_bootstrap=0) for s in STATES)
    raw = fits[STATES.index(state)]
    if min(dwells.on.size, dwells.off.size) < FEWEST or "undetermined" in {f.model for f in fits}:
        note = f"{dwells.on.size} on and {dwells.off.size} off dwells; at least {FEWEST} of each are needed"
        return _no_answer(state, t_min, levels, raw, note)
    measured = _Measurement(
        dwells.bin_width,
        round((float(dwells.on.sum()) + float(dwells.off.sum())) / dwells.bin_width),
        dwells.threshold,
        (float(levels[0]), float(levels[1])),
        t_min,
        (fits[0].model, fits[1].model),
        bool(dwells.on_censored[0]),
    )
    bins = tuple(np.rint(times / dwells.bin_width) for times in (dwells.on, dwells.off))
    return _solve(measured, _sums(bins, measured.models), fits, state, raw, n_simulations, seed)


def _solve(
    measured: _Measurement,
    target: Floats,
    fits: tuple[DwellFit, ...],
    state: str,
    raw: DwellFit,
    n: int,
    seed: int | None,
) -> CalibratedDwellFit:
    """Move to where the mean sums of the simulations are the target, in boxes that shrink to the errors."""
    rng = np.random.default_rng(seed)
    names = [(s, name) for s, fit in zip(STATES, fits, strict=True) for name in _names(fit.model)]
    centre, duration = _start(fits, measured), measured.n_bins * measured.bin_width
    width = np.array([0.12 if name == "alpha" else 0.5 for _, name in names])
    slow = (math.log(measured.t_min), math.log(10.0 * duration))
    limits = np.array([ALPHA_RANGE if name == "alpha" else slow for _, name in names])
    covariance, settled = np.diag(np.full(len(names), math.nan)), False
    for turn in range(ROUNDS):
        points = np.clip(centre + width * rng.uniform(-1.7, 1.7, (n, len(names))), limits[:, 0], limits[:, 1])
        found = np.array([_simulated(point, measured, rng) for point in points])
        good = np.all(np.isfinite(found), axis=1)
        if np.count_nonzero(good) < 0.7 * n:
            return _no_answer(state, measured.t_min, measured.rates, raw, "simulated traces hold too few dwells")
        centre, covariance, move = _plane(points[good] - centre, found[good], target, centre)
        centre = np.clip(centre, limits[:, 0], limits[:, 1])
        error = np.sqrt(np.diag(covariance))
        settled = bool(np.all(np.abs(move) < 1.7 * width + 0.5 * error))
        if settled and turn >= 2:
            break
        width = np.clip(1.5 * error, 0.02, np.where([m == "alpha" for _, m in names], 0.2, 0.8))
    error = np.sqrt(np.diag(covariance))
    if not settled or np.any((centre <= limits[:, 0]) | (centre >= limits[:, 1])):
        return _no_answer(state, measured.t_min, measured.rates, raw, "no simulated law gives dwells like these")
    return _answer(names, centre, error, state, measured, raw, n)


def _plane(moves: Floats, found: Floats, target: Floats, centre: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the centre at which a plane through the sums meets the target, its covariance, and the step."""
    n, k = moves.shape
    design = np.column_stack([np.ones(n), moves])
    plane, *_ = np.linalg.lstsq(design, found, rcond=None)
    rest = found - design @ plane
    scatter = rest.T @ rest / (n - k - 1)
    slopes = plane[1:].T
    inverse = np.linalg.pinv(slopes)
    move = inverse @ (target - plane[0])
    # the plane is known as well as n traces tell it
    covariance: Floats = inverse @ scatter @ inverse.T * (1.0 + (k + 1.0) / n)
    return centre + move, covariance, move


def _answer(
    names: list[tuple[str, str]],
    centre: Floats,
    error: Floats,
    state: str,
    measured: _Measurement,
    raw: DwellFit,
    n: int,
) -> CalibratedDwellFit:
    values, intervals, other = {}, {}, {}
    for (s, name), x, e in zip(names, centre.tolist(), error.tolist(), strict=True):
        back = float if name == "alpha" else math.exp
        if s == state:
            values[name], intervals[name] = back(x), (back(x - Z95 * e), back(x + Z95 * e))
        else:
            other[name] = back(x)
    nan = (math.nan, math.nan)
    note = f"with dwells from {measured.t_min:.4g} s on, which the data do not tell"
    return CalibratedDwellFit(
        state, measured.models[STATES.index(state)], values["alpha"], intervals["alpha"],
        values.get("cutoff", math.nan), intervals.get("cutoff", nan), measured.t_min, measured.rates, other, raw, n,
        note,
    )  # fmt: skip


def _no_answer(state: str, t_min: float, rates: tuple[float, float], raw: DwellFit, note: str) -> CalibratedDwellFit:
    nan = (math.nan, math.nan)
    pair = (float(rates[0]), float(rates[1]))
    return CalibratedDwellFit(state, "undetermined", math.nan, nan, math.nan, nan, t_min, pair, {}, raw, 0, note)


def _names(model: str) -> tuple[str, ...]:
    return ("alpha", "cutoff") if model == "truncated" else ("alpha",)


def _start(fits: tuple[DwellFit, ...], measured: _Measurement) -> Floats:
    start = []
    for fit in fits:
        start.append(min(max(fit.alpha + 0.15, 0.9), 2.5))
        if fit.model == "truncated":
            start.append(math.log(max(fit.cutoff, 2.0 * measured.bin_width)))
    return np.array(start)


def _sums(bins: tuple[Floats, ...], models: tuple[str, str]) -> Floats:
    found: list[float] = []
    for k, model in zip(bins, models, strict=True):
        enough = k.size >= 3
        found.append(float(np.log(k).mean()) if enough else math.nan)
        if model == "truncated":
            found.append(math.log(float(k.mean())) if enough else math.nan)
    return np.array(found)


def _simulated(point: Floats, measured: _Measurement, rng: np.random.Generator) -> Floats:
    """Return the sums of one simulated trace."""
    duration, tables, at = measured.n_bins * measured.bin_width, [], 0
    for model in measured.models:
        q = 0.0
        if model == "truncated":
            q = -float(point[at + 1])
        law = LawFit(LAWS.index(model), float(point[at]), q, math.nan)
        end = duration if model == "power_law" else math.inf
        tables.append(table_of(law, np.array([measured.t_min, end])))
        at += len(_names(model))
    edges = _path(tables, duration, measured.starts_on, rng)
    if edges.size < 3:
        return np.full(point.size, math.nan)
    lasts = np.diff(edges)
    is_on = (np.arange(lasts.size) % 2 == 0) == measured.starts_on
    bright = np.concatenate([[0.0], np.cumsum(lasts * is_on)])
    ticks = np.arange(measured.n_bins + 1) * measured.bin_width
    on_time = np.maximum(np.diff(np.interp(ticks, edges, bright)), 0.0)
    off, on = measured.rates
    counts = rng.poisson(off * measured.bin_width + (on - off) * on_time)
    return _sums(_runs(counts >= measured.threshold * measured.bin_width), measured.models)


def _path(tables: list[Floats], duration: float, starts_on: bool, rng: np.random.Generator) -> Floats:
    """Return the times of the switches, the begin at 0 and one beyond the end."""
    first, second = (tables[0], tables[1]) if starts_on else (tables[1], tables[0])
    parts, end, total, block = [np.zeros(1)], 0.0, 0, 256
    while end < duration and total < MOST_DWELLS:
        drawn = np.empty(2 * block)
        for i, table in enumerate((first, second)):
            drawn[i::2] = np.exp(np.interp(rng.random(block), table[:, 1], table[:, 0]))
        parts.append(end + np.cumsum(drawn))
        end, total, block = float(parts[-1][-1]), total + 2 * block, min(2 * block, 200_000)
    edges = np.concatenate(parts)
    return edges[: int(np.searchsorted(edges, duration)) + 1]


def _runs(is_on: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return how many bins each on and each off stretch lasts."""
    starts = np.flatnonzero(np.diff(is_on, prepend=not is_on[0]))
    lengths, state = np.diff(starts, append=is_on.size).astype(np.float64), is_on[starts]
    return lengths[state], lengths[~state]
