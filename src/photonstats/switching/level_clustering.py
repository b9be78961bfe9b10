"""Levels of a blinking emitter: segments that share a rate and a lifetime, and how many levels there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from photonstats.decays.segments import Segments
from photonstats.likelihood import poisson_interval
from photonstats.result import Result
from photonstats.switching.level_mixture import Mixture, SegmentTable, fit_numbers, make_table, probabilities, refine

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from photonstats.traces.intensity import IntensityTrace

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

CLEAR = 0.9  # probability from which a number of levels is named without its rivals
FEWEST_ALIKE = 5  # segments for each of two levels from which the scatter of lifetimes can be judged
QUARTILE = 0.3186  # of the absolute value of a standard normal variable
APART = 3.0  # scatter in errors from which on lifetimes at one rate differ by themselves
EVIDENCE = 10.0  # nats of a dwell from which on it is found
MANY_MISSED = 0.05  # share of dwells too short for that, from which on levels are doubtful
MANY_BETWEEN = 0.1  # share of the time between levels from which the levels are doubtful


@dataclass(frozen=True, eq=False, repr=False)
class Levels(Result):
    """Levels that the segments of a recording belong to, by rising rate.

    Parameters
    ----------
    n : int
        Number of levels with the least BIC.
    rates, rates_ci : ndarray of float, shape (n,), (n, 2)
        Photons per second of each level, background in it, and interval, Hz.
    lifetimes, lifetimes_ci : ndarray of float, shape (n,), (n, 2), optional
        Lifetime of each level, s; nan where no segment of it tells one; None where lifetimes were not used.
    assignment : ndarray of int, shape (k,)
        Level of each segment, 0 to n - 1.
    assignment_probability : ndarray of float, shape (k,)
        Probability of that level among the levels.
    between : ndarray of bool, shape (k,)
        Segments that fit no level well: mostly two levels that no edge separates. They count to the likeliest one.
    occupancy, occupancy_ci : ndarray of float, shape (n,), (n, 2)
        Share of the time in each level, and interval of its long-time mean; nan where it was visited once.
    transitions : ndarray of int, shape (n, n)
        Switches from the level of the row to that of the column.
    transition_probability, transition_ci : ndarray of float, shape (n, n), (n, n, 2)
        Share of the switches out of a level that go to each other one, and exact interval; nan without switches.
    probability : dict of int to float
        Probability of each number of levels.
    bic : dict of int to float
        Bayesian information criterion of each number.
    segments : Segments
        What was clustered.
    level : float
        Confidence level of the intervals, 0 to 1.
    note : str
        What makes the levels doubtful; mostly empty.
    """

    n: int
    rates: Floats
    rates_ci: Floats
    lifetimes: Floats | None
    lifetimes_ci: Floats | None
    assignment: Ints
    assignment_probability: Floats
    between: Bools
    occupancy: Floats
    occupancy_ci: Floats
    transitions: Ints
    transition_probability: Floats
    transition_ci: Floats
    probability: dict[int, float]
    bic: dict[int, float]
    segments: Segments
    level: float = 0.95
    note: str = ""

    def dwells(self) -> tuple[Ints, Floats]:
        """Return the level of each dwell, int64[d], and their edges, s, float64[d + 1]; neighbours joined."""
        starts = _starts(self.assignment)
        return self.assignment[starts], self.segments.edges[np.append(starts, self.assignment.size)]

    def dwell_times(self, level: int) -> tuple[Floats, Bools]:
        """Return how long each visit to a level lasted.

        Parameters
        ----------
        level : int
            Level, 0 to n - 1.

        Returns
        -------
        times : ndarray of float, shape (d,)
            In order of time, s; neighbouring segments of one level are one dwell.
        censored : ndarray of bool, shape (d,)
            True for a dwell that an end of the recording cut.

        Raises
        ------
        ValueError
            If there is no such level.
        """
        if not 0 <= level < self.n:
            raise ValueError(f"level must be 0 to {self.n - 1}, the levels by rising rate; it is {level}")
        which, edges = self.dwells()
        ends = np.zeros(which.size, np.bool_)
        ends[[0, -1]] = True
        return np.diff(edges)[which == level], ends[which == level]

    def summary(self) -> str:
        """Return the number of levels with its probability, and a line for each of them."""
        near = ", ".join(f"{m}: {p:.3f}" for m, p in self.probability.items() if p >= 5e-4)
        switches = int(self.transitions.sum())
        lines = [f"Levels: {self.n} in {len(self.segments)} segments, {switches} switches; probability {near}"]
        for j in range(self.n):
            low, high = self.rates_ci[j]
            line = f"  {j}: {self.rates[j]:.5g} Hz ({low:.5g} to {high:.5g}), {self.occupancy[j]:.1%} of the time"
            if self.lifetimes is not None and self.lifetimes_ci is not None:
                low, high = self.lifetimes_ci[j] * 1e9
                line += f", {self.lifetimes[j] * 1e9:.4g} ns ({low:.4g} to {high:.4g})"
            lines.append(line)
        return "\n".join(lines + ([f"  {self.note}"] if self.note else []))

    def plot(
        self,
        ax: Axes | None = None,
        *,
        kind: Literal["time", "transitions"] = "time",
        trace: IntensityTrace | None = None,
    ) -> Axes:
        """Draw the levels against time beside the share of time at each rate, or the switches between them.

        `trace` draws counts per bin beneath the levels, and takes the place of the segments in the histogram.
        """
        from photonstats.plots import levels

        if kind == "time":
            return levels.plot_levels(self, ax, trace=trace)
        if kind == "transitions":
            return levels.plot_transitions(self, ax)
        raise ValueError(f'kind must be "time" or "transitions", it is {kind!r}')


def levels(
    segments: Segments, max_levels: int = 10, *, use_lifetime: bool | None = None, level: float = 0.95
) -> Levels:
    """Cluster segments into levels of one rate, or one rate and lifetime, and find the number of levels.

    Parameters
    ----------
    segments : Segments
        Stretches between change points, k of them; with lifetimes where `fit_segments` was run on them.
    max_levels : int
        Largest number of levels to try, at least 1.
    use_lifetime : bool, optional
        Whether levels differ in lifetime as well; None: if the segments have lifetimes.
    level : float
        Confidence level of the intervals, 0 to 1.

    Returns
    -------
    Levels
        One level where the segments scatter no more than those of one level do.

    Raises
    ------
    ValueError
        If `max_levels` is below 1, `level` is no probability, or lifetimes are asked for and the segments have none.

    Notes
    -----
    N photons in T seconds have the likelihood ``x^N exp(-x T)`` for the rate x; a lifetime t with error s that of
    ``n = (t/s)^2`` photons of an exponential, ``x^n exp(-x n t)`` for x = 1/t, and lifetimes at a bound or nan that of
    none; s is widened by what lifetimes of segments of neighbouring rates scatter beyond it (lower quartile of their
    steps, up to threefold), as background that was not given to `change_points` makes them. Neighbours in the order of
    rates merge where that costs least likelihood (with lifetimes any pair, among the
    400 segments that say most); from each partition a mixture of levels climbs by expectation and maximisation. Edges
    found from data make counts scatter more than Poisson's law: seven segments in ten have the likelihood
    ``exp(-D/v)/sqrt(v)`` with D the log-likelihood lost and v = 1.3, the others v = 20, and up to a fifth of the
    segments may have any rate. BIC counts a share for each level, of which all k segments tell, and a rate and a
    lifetime, of which its own segments tell; exp(-BIC/2) gives the probabilities.

    How often the number is right is in the documentation's page of validation ("Number of levels"). Intervals of rates
    take the larger of counting noise and scatter between segments; they hold the truth where the edges do. Dwells too
    short to be found pull every rate a little to the mean, which no interval here contains, and levels that are hardly
    visited, or differ by little more than the noise of a typical segment, are not found. Where the rate varies
    without steps, levels cut the continuum and their number says nothing, and where many dwells are too short to be
    found, two levels in turns pass for others between them; `note` tells where the number must be doubted.
    The interval of the occupancy is that of its long-time mean, from the scatter of visits, whose law must have
    a mean and a variance: for dwells of a power law it is a lower limit.

    References
    ----------
    Watkins and Yang, J. Phys. Chem. B 109, 617 (2005); Palstra and Koenderink, J. Phys. Chem. C 125, 12050 (2021).
    Sample of each parameter in BIC: Berger, Bayarri, Pericchi, Econom. Rev. 33, 197 (2014).

    Examples
    --------
    >>> counts = [100, 11, 93, 9, 104, 12]
    >>> levels(Segments([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0], counts)).assignment.tolist()
    [1, 0, 1, 0, 1, 0]
    """
    if not isinstance(segments, Segments):
        raise TypeError(f"levels takes Segments, such as change_points(photons) gives, not a {type(segments).__name__}")
    if max_levels < 1:
        raise ValueError(f"max_levels must be at least 1, it is {max_levels}")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, it is {level}")
    table = _table(segments, use_lifetime)
    bic, fits = fit_numbers(table, int(max_levels))
    best = min(bic, key=lambda m: bic[m])
    mixture = refine(table, fits[best])
    probability = probabilities(bic)
    weight = mixture.weight[:, :-1] / np.maximum(mixture.weight[:, :-1].sum(axis=1, keepdims=True), 1e-300)
    assignment = np.argmax(weight, axis=1)
    between = mixture.weight[:, -1] > 0.5
    values, values_ci = _values(table, mixture, level)
    lifetimes, lifetimes_ci = _lifetimes(values[:, 1], values_ci[:, 1]) if values.shape[1] > 1 else (None, None)
    transitions = _transitions(assignment, best)
    share, share_ci = _transition_shares(transitions, level)
    occupancy, occupancy_ci = _occupancy(assignment, segments.durations, best, level)
    return Levels(
        n=best,
        rates=values[:, 0],
        rates_ci=values_ci[:, 0],
        lifetimes=lifetimes,
        lifetimes_ci=lifetimes_ci,
        assignment=assignment,
        assignment_probability=weight[np.arange(assignment.size), assignment],
        between=between,
        occupancy=occupancy,
        occupancy_ci=occupancy_ci,
        transitions=transitions,
        transition_probability=share,
        transition_ci=share_ci,
        probability=probability,
        bic=bic,
        segments=segments,
        level=level,
        note=_note(
            best,
            max_levels,
            probability,
            float(segments.durations[between].sum() / segments.durations.sum()),
            _missed(values, transitions, assignment, segments.durations),
        ),
    )


def _table(segments: Segments, use_lifetime: bool | None) -> SegmentTable:
    lifetimes, errors = segments.lifetimes, segments.lifetimes_err
    if use_lifetime and (lifetimes is None or errors is None):
        raise ValueError("these segments have no lifetimes; get them from fit_segments or say use_lifetime=False")
    if use_lifetime is False:
        lifetimes = errors = None
    if lifetimes is not None and errors is not None:
        errors = errors * _scatter(segments, lifetimes, errors)
    table = make_table(segments.counts, segments.durations, lifetimes, errors)
    if table.a.shape[1] > 1 and not table.a[:, 1].any():
        if use_lifetime:
            raise ValueError("no segment has a lifetime with an error; say use_lifetime=False to cluster the rates")
        return make_table(segments.counts, segments.durations, None, None)
    return table


def _scatter(segments: Segments, lifetimes: Floats, errors: Floats) -> float:
    """Return by how much lifetimes scatter above their errors among segments of like rate, 1 where they do not.

    Where background was not taken off, or a level has two lifetimes, a segment holds no single exponential and its
    error is too small. Levels that differ in lifetime alone lie many errors apart: then the errors stand.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = errors / lifetimes
        usable = (lifetimes > 0) & (relative > 0) & np.isfinite(relative) & (segments.durations > 0)
    if np.count_nonzero(usable) < 2 * FEWEST_ALIKE:
        return 1.0
    order = np.argsort(segments.counts[usable] / segments.durations[usable])
    logs, relative = np.log(lifetimes[usable])[order], relative[usable][order]
    step = (logs[1:] - logs[:-1]) / np.hypot(relative[1:], relative[:-1])  # of neighbours in rate
    ratio = float(np.quantile(np.abs(step), 0.25)) / QUARTILE
    return ratio if 1.0 < ratio < APART else 1.0


def _values(table: SegmentTable, mixture: Mixture, level: float) -> tuple[Floats, Floats]:
    """Return each level's value in each column and its interval, nan where nothing is known.

    The estimate is a weighted sum of counts over one of times; it is given the interval of as many counts as have its
    relative variance, that of Poisson's law or that of the segments about it, whichever is larger.
    """
    weight = mixture.weight[:, :-1] * mixture.pull
    values = np.full_like(mixture.values, np.nan)
    ends = np.full((*values.shape, 2), np.nan)
    for c in range(values.shape[1]):
        a, b = table.a[:, c], table.b[:, c]
        for j in range(values.shape[0]):
            w = np.where((b > 0) & (weight[:, j] > 1e-9 * weight[:, j].max(initial=0.0)), weight[:, j], 0.0)
            if not w.any():
                continue
            time, spread = float(w @ b), float(w**2 @ b)
            value = float(w @ a) / time
            seen = float(w.sum()) ** 2 / float(w @ w)
            scatter = float(w**2 @ (a - value * b) ** 2) * seen / (seen - 1.0) if seen > 2.0 else 0.0
            exposure = time**2 / (spread if value == 0 else max(spread, scatter / value))
            ends[j, c] = poisson_interval(value * exposure, level) / exposure
            values[j, c] = value
    return values, ends


def _starts(assignment: Ints) -> Ints:
    return np.flatnonzero(np.diff(assignment, prepend=-1))


def _transitions(assignment: Ints, n: int) -> Ints:
    """Return how often each level follows each other one, int64[n, n]."""
    order = assignment[_starts(assignment)]
    return np.bincount(order[:-1] * n + order[1:], minlength=n * n).reshape(n, n).astype(np.int64)


def _transition_shares(transitions: Ints, level: float) -> tuple[Floats, Floats]:
    """Return the share of each switch among those out of its level, and the exact interval of Clopper and Pearson."""
    seen = transitions.astype(np.float64)
    total = np.broadcast_to(seen.sum(axis=1, keepdims=True), seen.shape)
    possible = (total > 0) & ~np.eye(seen.shape[0], dtype=np.bool_)
    share = np.divide(seen, total, out=np.full(seen.shape, np.nan), where=total > 0)
    tail = (1.0 - level) / 2.0
    low = np.where(seen > 0, special.betaincinv(np.maximum(seen, 1.0), total - seen + 1.0, tail), 0.0)
    high = np.where(seen < total, special.betaincinv(seen + 1.0, np.maximum(total - seen, 1.0), 1.0 - tail), 1.0)
    ends = np.where(possible[..., None], np.stack([low, high], axis=-1), np.nan)
    if seen.shape[0] == 2:  # there is nowhere else to go
        ends[possible] = 1.0
    return share, ends


def _occupancy(assignment: Ints, durations: Floats, n: int, level: float) -> tuple[Floats, Floats]:
    """Return the share of time in each level, and its interval from the scatter of visits, on a logit scale."""
    total = float(durations.sum())
    share = np.bincount(assignment, durations, n) / total
    ends = np.full((n, 2), np.nan)
    starts = _starts(assignment)
    times, order = np.add.reduceat(durations, starts), assignment[starts]
    for j in range(n):
        visits = np.flatnonzero(order == j)
        if visits.size < 2 or not 0 < share[j] < 1:
            continue
        error = share_error(times, visits, float(share[j]))
        step = special.stdtrit(visits.size - 1, 0.5 + level / 2) * error / (share[j] * (1.0 - share[j]))
        ends[j] = special.expit(special.logit(share[j]) + np.array([-step, step]))
    return share, ends


def share_error(times: Floats, visits: Ints, share: float) -> float:
    """Return the standard error of a share of time from the scatter of its visits; nan below two of them.

    times[d] of all dwells, visits: indices of those that count. A cycle is a visit and the time away after it; what
    precedes the first visit belongs to the last cycle.
    """
    if visits.size < 2:
        return float("nan")
    away = np.add.reduceat(np.roll(times, -visits[0]), visits - visits[0]) - times[visits]
    rest = (1.0 - share) * times[visits] - share * away
    return float(np.sqrt(rest @ rest * visits.size / (visits.size - 1)) / times.sum())


def _lifetimes(decay_rates: Floats, intervals: Floats) -> tuple[Floats, Floats]:
    """Return lifetimes and their intervals, nan where the light of a level is too little beside background for one."""
    # segments without light of their own have decay rates without limit, whose mean lies outside of its interval
    known = (intervals[:, 0] <= decay_rates) & (decay_rates <= intervals[:, 1])
    return np.where(known, 1.0 / decay_rates, np.nan), np.where(known[:, None], 1.0 / intervals[:, ::-1], np.nan)


def _missed(values: Floats, transitions: Ints, assignment: Ints, durations: Floats) -> float:
    """Return the share of dwells that are too short to be found, were those of each level exponential.

    A dwell of t seconds at the rate x beside y brings t (x ln(x/y) - x + y) nats on average, and each of its photons
    ln(k/l) + l/k - 1 from decay rates k and l. values[n, c]: rates, and decay rates where levels have them.
    """
    if not transitions.any():
        return 0.0
    starts = _starts(assignment)
    visits = np.bincount(assignment[starts], minlength=len(values))
    (x, y), *decays = ((column[:, None], column[None, :]) for column in np.maximum(values, 1e-300).T)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        gain = x * np.log(x / y) - x + y
        for k, other in decays:
            gain += np.nan_to_num(x * (np.log(k / other) + other / k - 1.0))
        mean = np.bincount(assignment, durations, len(values)) / visits
        share = np.nan_to_num(-np.expm1(-EVIDENCE / gain / mean[:, None]))
    return float((share * transitions).sum() / transitions.sum())


def _note(best: int, most: int, probability: dict[int, float], between: float, missed: float) -> str:
    notes = []
    if probability[best] < CLEAR:
        rivals = sorted((m for m in probability if m != best), key=lambda m: -probability[m])[:1]
        notes += [
            f"{m} levels have the probability {probability[m]:.2f} beside {probability[best]:.2f}" for m in rivals
        ]
    if best == most and most > 1:
        notes.append("as many levels as max_levels allows: there may be more, or a rate that varies without steps")
    if between > MANY_BETWEEN:
        notes.append(
            f"for {between:.0%} of the time the rate lies between levels: switches that no edge separates, or a rate "
            "that varies without steps"
        )
    if missed > MANY_MISSED:
        notes.append(
            f"about {missed:.0%} of the dwells are too short to be found: a level between two others may be both of "
            "them in turns"
        )
    return "; ".join(notes)
