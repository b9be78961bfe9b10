"""How an emitter blinks: levels, laws of the dwell times, and the path through the levels that they give."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from photonstats.simulate.laws import DwellLaw, Exponential

MOST_SWITCHES = 20_000_000


@dataclass(frozen=True)
class Level:
    """One level of an emitter.

    Parameters
    ----------
    yield_factor : float
        Multiplies the quantum yield of the exciton, and that of the biexciton unless it is given; >= 0.
    lifetime : float, optional
        Lifetime of the exciton in this level, s; None for that of the emitter. A trion is a level with its lifetime.
    biexciton_yield : float, optional
        Yield of the biexciton in this level, 0 to 1.
    biexciton_lifetime : float, optional
        Lifetime of the biexciton in this level, s; None for that of the emitter.
    capture : float
        Share of the excitons that reach the band edge, 0 to 1; the others are lost before (hot-carrier trapping), so
        that the level is dim at an unchanged lifetime.

    Raises
    ------
    ValueError
        If a number lies outside of its range.
    """

    yield_factor: float = 1.0
    lifetime: float | None = None
    biexciton_yield: float | None = None
    biexciton_lifetime: float | None = None
    capture: float = 1.0

    def __post_init__(self) -> None:
        ranges = (
            ("yield_factor", self.yield_factor, 0.0, math.inf),
            ("lifetime", self.lifetime, 1e-15, math.inf),
            ("biexciton_yield", self.biexciton_yield, 0.0, 1.0),
            ("biexciton_lifetime", self.biexciton_lifetime, 0.0, math.inf),
            ("capture", self.capture, 0.0, 1.0),
        )
        for name, value, low, high in ranges:
            if value is not None and not (low <= value <= high and math.isfinite(value)):
                raise ValueError(f"{name} of a level must lie in {low:g} to {high:g}, it is {value}")


@dataclass(frozen=True)
class Blinking:
    """Levels, the law of the time spent in each, and where the emitter goes from there.

    Parameters
    ----------
    levels : sequence of Level
        At least one.
    dwells : sequence of DwellLaw
        Law of the dwell times of each level; a single law serves all.
    transitions : sequence of sequences of float, optional
        Probability to go from level i (row) to level j; rows sum to 1, zero on the diagonal. None: every other level
        is equally likely; two levels alternate.
    start : int, optional
        First level. None: drawn in proportion to the long-run occupancy where mean dwells are finite, else equally.

    Raises
    ------
    ValueError
        If the numbers of levels and laws differ or `transitions` is no matrix of probabilities.

    Notes
    -----
    The first dwell begins at the begin of the recording. With exponential dwells the process is stationary from the
    start; with a power law it ages, as a measurement does whose first photons follow the switching on of the laser.

    Examples
    --------
    >>> Blinking([Level(), Level(0.1, 2e-9)], [Exponential(0.5), Exponential(0.2)]).occupancy().round(3).tolist()
    [0.714, 0.286]
    """

    levels: Sequence[Level]
    dwells: Sequence[DwellLaw] | DwellLaw
    transitions: Sequence[Sequence[float]] | None = None
    start: int | None = None

    def __post_init__(self) -> None:
        levels = tuple(self.levels)
        laws = self.dwells
        laws = (laws,) * len(levels) if isinstance(laws, DwellLaw) else tuple(laws)
        object.__setattr__(self, "levels", levels)
        object.__setattr__(self, "dwells", laws)
        if not levels or len(laws) != len(levels):
            raise ValueError(f"{len(levels)} levels but {len(laws)} dwell laws: each level needs one")
        if self.start is not None and not 0 <= self.start < len(levels):
            raise ValueError(f"start must be one of the levels 0 to {len(levels) - 1}, it is {self.start}")
        if self.transitions is not None:
            rows = tuple(tuple(float(p) for p in row) for row in self.transitions)
            object.__setattr__(self, "transitions", rows)
            _check_transitions(rows, len(levels))

    @property
    def laws(self) -> tuple[DwellLaw, ...]:
        """The dwell law of each level."""
        return tuple(self.dwells)  # type: ignore[arg-type]

    def matrix(self) -> NDArray[np.float64]:
        """Return the transition probabilities, float64[n, n]."""
        n = len(self.levels)
        if self.transitions is not None:
            return np.array(self.transitions, dtype=np.float64)
        return (1.0 - np.eye(n)) / max(n - 1, 1)

    def occupancy(self) -> NDArray[np.float64]:
        """Return the long-run share of time in each level, float64[n]; nan where a mean dwell is infinite."""
        weights = _stationary(self.matrix()) * np.array([law.mean_time for law in self.laws])
        if not np.all(np.isfinite(weights)):
            return np.full(len(self.levels), np.nan)
        share: NDArray[np.float64] = weights / weights.sum()
        return share


@dataclass(frozen=True, eq=False)
class LevelPath:
    """The levels that an emitter went through.

    Parameters
    ----------
    edges : ndarray of float, shape (k+1,)
        Start of each dwell, and the end of the last one, s.
    levels : ndarray of int, shape (k,)
        Level of each dwell.
    """

    edges: NDArray[np.float64]
    levels: NDArray[np.int64]

    @property
    def switch_times(self) -> NDArray[np.float64]:
        """Times of the switches, s, float64[k-1]."""
        return self.edges[1:-1]

    def dwell_times(self, level: int) -> NDArray[np.float64]:
        """Return the dwells in a level that ended by a switch, s; the last of the recording is cut and left out."""
        dwells: NDArray[np.float64] = np.diff(self.edges)[:-1][self.levels[:-1] == level]
        return dwells

    def occupancy(self, n_levels: int) -> NDArray[np.float64]:
        """Return the share of the recording spent in each level, float64[n_levels]."""
        time = np.bincount(self.levels, weights=np.diff(self.edges), minlength=n_levels)
        share: NDArray[np.float64] = time / time.sum()
        return share

    def level_at(self, times: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the level at each of `times` (s); before the begin the first, after the end the last."""
        at = np.searchsorted(self.edges, times, side="right") - 1
        levels: NDArray[np.int64] = self.levels[np.clip(at, 0, self.levels.size - 1)]
        return levels


def draw_path(blinking: Blinking | None, duration: float, rng: np.random.Generator) -> LevelPath:
    """Draw the path of an emitter through its levels.

    Raises
    ------
    ValueError
        If it would switch more than twenty million times.
    """
    if blinking is None or len(blinking.levels) == 1:
        return LevelPath(np.array([0.0, duration]), np.zeros(1, np.int64))
    laws, matrix = blinking.laws, blinking.matrix()
    level = _first_level(blinking, matrix, rng)
    edges, levels = [np.zeros(1)], [np.empty(0, np.int64)]
    end, block, total = 0.0, 256, 0
    while end < duration:
        sequence = _level_sequence(level, matrix, block, rng)
        dwells = np.empty(block)
        for i, law in enumerate(laws):
            there = np.flatnonzero(sequence[:-1] == i)
            dwells[there] = law.sample(there.size, rng)
        edges.append(end + np.cumsum(dwells))
        levels.append(sequence[:-1])
        end, level, total = float(edges[-1][-1]), int(sequence[-1]), total + block
        if total > MOST_SWITCHES:
            raise ValueError(
                f"after {total} switches the blinking has come to {end:.3g} s of {duration:.3g} s: "
                f"lengthen the dwell times or shorten the duration"
            )
        block = min(2 * block, 1_000_000)
    times = np.concatenate(edges)
    n = int(np.searchsorted(times, duration, side="left"))
    times = np.append(times[:n], duration)
    return LevelPath(times, np.concatenate(levels)[:n])


def auger_blinking(
    on: DwellLaw,
    off: DwellLaw,
    *,
    lifetime: float = 20e-9,
    auger_lifetime: float = 1e-9,
    biexciton_lifetime: float | None = None,
) -> Blinking:
    """Make type A blinking: in the dim level the dot is charged, and Auger recombination shortens its life.

    Parameters
    ----------
    on, off : DwellLaw
        Laws of the bright and the dim dwells.
    lifetime : float
        Lifetime of the exciton in the bright level, s.
    auger_lifetime : float
        Lifetime of the trion by Auger recombination alone, s.
    biexciton_lifetime : float, optional
        Lifetime of the biexciton in the charged dot, s; None for that of the emitter.

    Notes
    -----
    A trion radiates twice as fast as an exciton: ``1/tau_dim = 2/tau + 1/tau_Auger``, yield ``2 tau_dim / tau`` of
    the bright one (Galland et al., Nature 479, 203 (2011)).
    """
    dim = 1.0 / (2.0 / lifetime + 1.0 / auger_lifetime)
    level = Level(2.0 * dim / lifetime, dim, biexciton_lifetime=biexciton_lifetime)
    return Blinking((Level(), level), (on, off))


def hot_carrier_blinking(on: DwellLaw, off: DwellLaw, *, capture: float = 0.1) -> Blinking:
    """Make type B blinking: in the dim level most excitons are lost hot; those left live as long as ever.

    Parameters
    ----------
    on, off : DwellLaw
        Laws of the bright and the dim dwells.
    capture : float
        Share of the excitons that reach the band edge in the dim level, 0 to 1.
    """
    return Blinking((Level(), Level(capture=capture)), (on, off))


def flickering(
    *, lifetime: float = 20e-9, lowest: float = 0.1, n_levels: int = 30, step_time: float = 5e-3
) -> Blinking:
    """Make flickering: a fluctuating non-radiative rate at the band edge, hence grey levels without gaps.

    Parameters
    ----------
    lifetime : float
        Lifetime at the highest level, s.
    lowest : float
        Yield of the lowest level over that of the highest, 0 to 1.
    n_levels : int
        Levels, evenly spaced in yield, >= 2.
    step_time : float
        Mean time until the rate moves on to a neighbouring level, s.

    Notes
    -----
    With a constant radiative rate ``yield = k_r tau``: intensity and lifetime stay proportional. The yield walks at
    random between reflecting ends; every level is visited equally often, apart from the two ends at half as often.
    """
    if n_levels < 2:
        raise ValueError(f"flickering needs n_levels of 2 or more, not {n_levels}")
    if not 0.0 < lowest < 1.0:
        raise ValueError(f"lowest must lie between 0 and 1, it is {lowest}")
    matrix = 0.5 * (np.eye(n_levels, k=1) + np.eye(n_levels, k=-1))
    matrix[0, 1] = matrix[-1, -2] = 1.0
    levels = [Level(y, y * lifetime) for y in np.linspace(lowest, 1.0, n_levels).tolist()]
    return Blinking(levels, Exponential(step_time), matrix.tolist())


def _first_level(blinking: Blinking, matrix: NDArray[np.float64], rng: np.random.Generator) -> int:
    if blinking.start is not None:
        return blinking.start
    share = blinking.occupancy()
    return int(rng.choice(share.size, p=_stationary(matrix) if np.isnan(share[0]) else share))


def _level_sequence(first: int, matrix: NDArray[np.float64], n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return n+1 levels of the chain that starts with `first`."""
    if matrix.shape[0] == 2:
        return (first + np.arange(n + 1, dtype=np.int64)) % 2
    ladder = np.cumsum(matrix, axis=1)
    ladder /= ladder[:, -1:]
    # Drawing one target from every row for each step leaves a walk through a table, without a search in the loop.
    choices = [np.searchsorted(row, rng.random(n), side="right").tolist() for row in ladder]
    sequence, level = [first], first
    for step in range(n):
        level = choices[level][step]
        sequence.append(level)
    return np.array(sequence, np.int64)


def _stationary(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    n = matrix.shape[0]
    if n == 1:
        return np.ones(1)
    system = np.vstack([matrix.T - np.eye(n), np.ones(n)])
    share = np.clip(np.linalg.lstsq(system, np.append(np.zeros(n), 1.0), rcond=None)[0], 0.0, None)
    share /= share.sum()
    return np.asarray(share, dtype=np.float64)


def _check_transitions(rows: Sequence[Sequence[float]], n: int) -> None:
    if len(rows) != n or any(len(row) != n for row in rows):
        raise ValueError(f"transitions must be a {n} by {n} matrix for {n} levels")
    for i, row in enumerate(rows):
        if min(row) < 0 or abs(sum(row) - 1.0) > 1e-9 or (n > 1 and row[i] != 0):
            raise ValueError(f"row {i} of transitions must be probabilities that sum to 1, with 0 to stay: {list(row)}")
