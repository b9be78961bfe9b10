"""Levels of photon-poor traces by a hidden Markov chain: counts per bin, no change points."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from photonstats.likelihood import poisson_interval
from photonstats.result import Result
from photonstats.stream import PhotonStream
from photonstats.switching.level_mixture import probabilities
from photonstats.switching.markov_fit import Bins, Chain, expectations, fit_chain, log_errors, n_parameters, path_of
from photonstats.traces.intensity import IntensityTrace, intensity_trace, refuse_other_bins

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MOST_LEVELS = 6
PHOTONS_OF_A_BIN, MOST_BINS = 0.5, 60_000  # bins that are chosen here
CROWDED = 30.0  # photons per bin of the brightest level from which bins with a switch look like levels
HOPELESS = 20.0  # excess of BIC beyond which larger numbers are not tried
FEW_SWITCHES = 0.1


@dataclass(frozen=True, eq=False, repr=False)
class HiddenMarkov(Result):
    """Chain of hidden levels whose photons per bin are Poisson counts.

    Parameters
    ----------
    n : int
        Number of levels.
    rates, rates_ci : ndarray of float, shape (n,), (n, 2)
        Photons per second of each level, rising, and interval, Hz.
    transitions, transitions_ci : ndarray of float, shape (n, n), (n, n, 2)
        Probability to be in the level of the column one bin after that of the row.
    occupancy, occupancy_ci : ndarray of float, shape (n,), (n, 2)
        Share of time in each level in this recording, and interval of its long-time mean; nan where no switch
        limits it.
    path : ndarray of int, shape (bins,)
        Likeliest sequence of levels.
    path_probability : ndarray of float, shape (bins,)
        Probability of the level of the path in each bin.
    probability, bic : dict of int to float
        Probability of each number of levels that was tried, and its Bayesian information criterion.
    trace : IntensityTrace
        What was fitted.
    level : float
        Confidence level of the intervals, 0 to 1.
    note : str
        What makes the levels doubtful; mostly empty.
    """

    n: int
    rates: Floats
    rates_ci: Floats
    transitions: Floats
    transitions_ci: Floats
    occupancy: Floats
    occupancy_ci: Floats
    path: Ints
    path_probability: Floats
    probability: dict[int, float]
    bic: dict[int, float]
    trace: IntensityTrace
    level: float = 0.95
    note: str = ""

    @property
    def dwell_times_mean(self) -> Floats:
        """Mean length of a visit to each level, s, float64[n]; inf where it is never left."""
        leave = 1.0 - np.diag(self.transitions)
        return np.asarray(np.divide(self.trace.bin_width, leave, out=np.full(self.n, np.inf), where=leave > 0))

    def summary(self) -> str:
        """Return the number of levels with its probability, and a line for each of them."""
        near = ", ".join(f"{m}: {p:.3f}" for m, p in self.probability.items() if p >= 5e-4)
        width = self.trace.bin_width
        lines = [f"HiddenMarkov: {self.n} in {self.path.size} bins of {width * 1e3:.4g} ms; probability {near or '–'}"]
        for j, mean in enumerate(self.dwell_times_mean):
            low, high = self.rates_ci[j]
            stay = f", visits of {mean:.3g} s" if math.isfinite(mean) else ""
            lines.append(
                f"  {j}: {self.rates[j]:.5g} Hz ({low:.5g} to {high:.5g}), {self.occupancy[j]:.1%} of the time{stay}"
            )
        return "\n".join(lines + ([f"  {self.note}"] if self.note else []))

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the trace with the likeliest path, beside the histogram of its bins and what the levels make of it."""
        from photonstats.plots import levels

        return levels.plot_hidden_markov(self, ax)


def hidden_markov(
    photons: PhotonStream | Iterable[PhotonStream] | IntensityTrace,
    n_levels: int | Literal["auto"] = "auto",
    *,
    bin_width: float | None = None,
    max_levels: int = MOST_LEVELS,
    n_starts: int = 6,
    level: float = 0.95,
    seed: int = 0,
) -> HiddenMarkov:
    """Fit a chain of hidden levels to counts per bin.

    Parameters
    ----------
    photons : PhotonStream, iterable of PhotonStream, or IntensityTrace
        Photons (with the pieces of `scan` give `bin_width`), or their counts per bin.
    n_levels : int or "auto"
        Number of levels; "auto" takes the least BIC of 1 to `max_levels`.
    bin_width : float, optional
        Width of a bin, s, not with a trace. None: three photons in a bin on average, and at most 30 000 bins.
    max_levels : int
        Largest number that "auto" tries, at least 1.
    n_starts : int
        Starts of each fit, at least 1; chance makes those beyond the planned ones, with `seed`.
    level : float
        Confidence level of the intervals, 0 to 1.
    seed : int
        Seed of the starts.

    Returns
    -------
    HiddenMarkov

    Raises
    ------
    ValueError
        If there are fewer bins than levels or fewer than two, a number is out of range, or `bin_width` is given with
        a trace.

    Notes
    -----
    Maximum of ``sum over paths of prod_t P(s_t | s_t-1) Poisson(n_t; mean of s_t)`` by expectation and maximisation
    (Baum, Welch), the first bin in any level with equal chance, from several starts. Intervals come from the inverse
    of the observed information, the slope of the score; those of rates and of chances to move are the exact Poisson
    intervals of as many counts as have that relative error, so they hold at few photons and few switches. BIC counts
    n^2 numbers and all bins. The chain supposes exponential dwells, whole bins in one level, and counts of Poisson's
    law: dwells of a power law, or bins of many photons with a switch in them (`note`), bring levels that are not
    there. Use it where change points fail, at a few photons in a dwell; `levels` is the better answer for bright dots.

    References
    ----------
    Rabiner, Proc. IEEE 77, 257 (1989); Louis, J. R. Stat. Soc. B 44, 226 (1982).

    Examples
    --------
    >>> counts = np.random.default_rng(1).poisson(np.repeat([0.2, 4.0, 0.2, 4.0], 50))
    >>> hidden_markov(IntensityTrace(counts, 0.01)).n
    2
    """
    trace = _trace(photons, bin_width)
    tried = _numbers(n_levels, max_levels, trace.counts.size)
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, it is {level}")
    if n_starts < 1:
        raise ValueError(f"n_starts must be at least 1, it is {n_starts}")
    rng = np.random.default_rng(seed)
    bins = Bins(trace.counts)
    chains: dict[int, Chain] = {}
    bic: dict[int, float] = {}
    for m in tried:
        chains[m] = fit_chain(bins, m, chains.get(m - 1), n_starts, rng)
        bic[m] = n_parameters(m) * math.log(len(bins)) - 2.0 * chains[m].value
        if bic[m] > min(bic.values()) + HOPELESS:
            break
    best = min(bic, key=lambda m: bic[m])
    return _result(trace, bins, chains[best], bic, level, best == tried[-1] and len(tried) > 1)


def _trace(photons: PhotonStream | Iterable[PhotonStream] | IntensityTrace, bin_width: float | None) -> IntensityTrace:
    if isinstance(photons, IntensityTrace):
        refuse_other_bins(photons, bin_width)
        trace = photons
    elif bin_width is not None:
        trace = intensity_trace(photons, bin_width)
    elif isinstance(photons, PhotonStream):
        n = max(photons.timestamps.size, 1)
        bins = min(max(n / PHOTONS_OF_A_BIN, 100.0), MOST_BINS)
        trace = intensity_trace(photons, photons.duration / bins)
    else:
        raise ValueError("give bin_width in seconds: pieces of a recording are read once, and no width can be chosen")
    if trace.counts.size < 2:
        raise ValueError(f"the trace has {trace.counts.size} bins of {trace.bin_width} s; at least two are needed")
    return trace


def _numbers(n_levels: int | str, max_levels: int, n_bins: int) -> list[int]:
    if n_levels == "auto":
        if max_levels < 1:
            raise ValueError(f"max_levels must be at least 1, it is {max_levels}")
        return list(range(1, min(max_levels, n_bins // 2) + 1))
    if isinstance(n_levels, str) or not 1 <= n_levels <= n_bins:
        raise ValueError(f'n_levels must be "auto" or 1 to the number of bins, {n_bins}; it is {n_levels!r}')
    return [int(n_levels)]


def _result(
    trace: IntensityTrace, bins: Bins, chain: Chain, bic: dict[int, float], level: float, at_end: bool
) -> HiddenMarkov:
    _, chance, seen, switches = expectations(bins, chain.means, chain.moves)
    path = path_of(bins, chain)
    mean_err, move_err, share_err = log_errors(bins, chain)
    in_state = seen.sum(axis=0)
    notes = []
    if at_end:
        notes.append("as many levels as max_levels allows: there may be more, or a rate that varies without steps")
    if chain.means.size > 1 and chain.means[-1] > CROWDED:
        notes.append(
            f"bins hold {chain.means[-1]:.3g} photons of the brightest level: bins with a switch may look like levels; "
            "narrower bins or levels() of change points are safer"
        )
    return HiddenMarkov(
        n=chain.means.size,
        rates=chain.means / trace.bin_width,
        rates_ci=_counted(chain.means, mean_err, in_state, level) / trace.bin_width,
        transitions=chain.moves,
        transitions_ci=_move_intervals(chain, move_err, switches, in_state, level),
        occupancy=in_state / in_state.sum(),
        occupancy_ci=_share_intervals(chain.stationary, share_err, level),
        path=path,
        path_probability=chance[np.arange(path.size), path],
        probability=probabilities(bic) if len(bic) > 1 else {},
        bic=bic,
        trace=trace,
        level=level,
        note="; ".join(notes),
    )


def _counted(values: Floats, log_err: Floats, trials: Floats, level: float) -> Floats:
    """Return the exact interval of as many counts as have the relative error; none is a count of 0 in all trials."""
    counts = np.where(log_err > 0, 1.0 / np.maximum(log_err, 1e-150) ** 2, 0.0)
    counts = np.where(np.isfinite(counts) & (values * trials >= 1e-3), counts, 0.0)
    per_count = np.divide(values, counts, out=1.0 / np.maximum(trials, 1e-300), where=counts > 0)
    return np.asarray(poisson_interval(counts, level) * per_count[..., None])


def _move_intervals(chain: Chain, log_err: Floats, switches: Floats, in_state: Floats, level: float) -> Floats:
    """Return intervals of the chances to move; the diagonal from the chance to leave."""
    m = chain.means.size
    if m == 1:
        return np.ones((1, 1, 2))
    chances, times = chain.moves.copy(), np.broadcast_to(in_state[:, None], (m, m))
    np.fill_diagonal(chances, 1.0 - np.diag(chain.moves))
    moved = switches.copy()
    np.fill_diagonal(moved, switches.sum(axis=1) - np.diag(switches))
    known = np.where(moved >= FEW_SWITCHES, log_err, np.inf)
    ends = np.minimum(_counted(chances, known, times, level), 1.0)
    diagonal = np.arange(m)
    ends[diagonal, diagonal] = 1.0 - ends[diagonal, diagonal, ::-1]
    return ends


def _share_intervals(shares: Floats, logit_err: Floats, level: float) -> Floats:
    if shares.size == 1:
        return np.ones((1, 2))
    step = float(special.ndtri(0.5 + level / 2)) * logit_err
    centre = special.logit(np.clip(shares, 1e-300, 1 - 1e-16))
    ends = special.expit(np.stack([centre - step, centre + step], axis=-1))
    ends[~np.isfinite(logit_err) | (logit_err == 0)] = np.nan
    return np.asarray(ends)
