"""What the electronics does to a decay: pile-up, uneven bins, and a flat offset of dark counts and afterpulses."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from photonstats.curve import Decay
from photonstats.decays.decay_model import bins_of_period, pulses_of
from photonstats.likelihood import chi_square_p_value, poisson_error
from photonstats.result import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class CoatesDecay(Result):
    """A decay as it would be if every photon of a pulse were seen.

    Parameters
    ----------
    counts, counts_err : ndarray of float, shape (n,)
        Corrected photons per bin and their standard errors. No whole numbers any more, and not Poisson: fit the
        measured decay with `pile_up=True` rather than this.
    bin_width : float
        Width of a bin, s.
    period : float or None
        Laser period, s.
    n_pulses : float
        Laser pulses of the recording.
    per_pulse : float
        Detections per pulse; above about 0.05 the shape of the measured decay is wrong.
    """

    counts: Floats
    counts_err: Floats
    bin_width: float
    period: float | None
    n_pulses: float
    per_pulse: float

    @property
    def time(self) -> Floats:
        """Centres of the bins, s, shape (n,)."""
        return np.asarray((np.arange(self.counts.size) + 0.5) * self.bin_width, np.float64)

    def summary(self) -> str:
        """Return one line: detections per pulse, and the photons that were lost."""
        seen = self.per_pulse * self.n_pulses
        return (
            f"CoatesDecay: {self.per_pulse:.2%} detections per pulse, {self.counts.sum() - seen:.4g} photons lost to "
            f"pile-up beside {seen:.4g} seen"
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the corrected counts with their errors."""
        from photonstats import plots

        return plots.plot_coates(self, ax)


def coates(decay: Decay, n_pulses: float | None = None) -> CoatesDecay:
    """Correct a decay for the photons that earlier ones of the same pulse hid.

    Parameters
    ----------
    decay : Decay
        Of one detector that sees at most one photon per laser pulse, bin 0 right after its sync.
    n_pulses : float, optional
        Laser pulses of the recording; by default duration over period.

    Returns
    -------
    CoatesDecay

    Raises
    ------
    ValueError
        If the number of pulses is not known or smaller than the photons.

    Notes
    -----
    Of ``E - sum_{j<k} n_j`` pulses without an earlier photon, n_k have one in bin k; the mean number there is
    ``-ln(1 - p_k)`` with p_k their ratio. Its variance is that of the binomial hazard, ``p / ((1 - p) pulses)``; the
    hazards of different bins are not correlated.

    References
    ----------
    Coates, J. Phys. E 1, 878 (1968).

    Examples
    --------
    >>> round(float(coates(Decay([50, 25], 1e-9), n_pulses=100).counts[1]), 2)
    69.31
    """
    n = bins_of_period(decay)
    counts = decay.counts[:n].astype(np.float64)
    if n_pulses is None and not (decay.period and decay.duration):
        raise ValueError("coates needs the number of laser pulses: give n_pulses, or a decay with period and duration")
    pulses = pulses_of(decay) if n_pulses is None else float(n_pulses)
    if not (math.isfinite(pulses) and pulses > counts.sum()):
        raise ValueError(f"n_pulses={pulses:.6g} must exceed the {counts.sum():.0f} photons of the decay")
    waiting = pulses - np.concatenate([[0.0], np.cumsum(counts)[:-1]])
    share = counts / waiting
    found = -pulses * np.log1p(-share)
    # an empty bin is as uncertain as a Poisson count of zero
    error = np.where(
        counts > 0, pulses * np.sqrt(share / ((1.0 - share) * waiting)), poisson_error(0) * pulses / waiting
    )
    return CoatesDecay(found, error, decay.bin_width, decay.period, pulses, float(counts.sum()) / pulses)


@dataclass(frozen=True, eq=False, repr=False)
class Nonlinearity(Result):
    """Relative widths of the bins of a TCSPC, from light that has nothing to do with its clock.

    Parameters
    ----------
    gain, gain_err : ndarray of float, shape (n,)
        Width of each bin over the mean, and its standard error.
    bin_width : float
        Mean width of a bin, s.
    p_value : float
        Probability that bins of equal width scatter as much: above a percent there is nothing to correct.
    rms : float
        Root mean square deviation of the widths from 1, less what counting adds.
    """

    gain: Floats
    gain_err: Floats
    bin_width: float
    p_value: float
    rms: float

    def of(self, decay: Decay) -> Floats:
        """Return the widths of the bins of a decay, mean 1, for `fit_decay(nonlinearity=...)`.

        Raises
        ------
        ValueError
            If its bins are no whole multiples of these, or reach further.
        """
        merge = max(1, round(decay.bin_width / self.bin_width))
        if abs(decay.bin_width / self.bin_width - merge) > 1e-6 * merge:
            raise ValueError(
                f"bins of {decay.bin_width:.6g} s are no whole multiple of those of the flat measurement, "
                f"{self.bin_width:.6g} s"
            )
        n = bins_of_period(decay)
        if (n - 1) * merge >= self.gain.size:
            raise ValueError(f"the flat measurement ends after {self.gain.size} of {n * merge} bins")
        padded = np.concatenate([self.gain, np.full(max(n * merge - self.gain.size, 0), self.gain[-1])])
        widths = padded[: n * merge].reshape(n, merge).mean(axis=1)
        every = np.ones(decay.counts.size)
        # the flat measurement may reach further than the decay, whose own mean is to be 1
        every[:n] = widths / widths.mean()
        return every

    def summary(self) -> str:
        """Return one line: how uneven the bins are, and whether that is more than counting."""
        return (
            f"Nonlinearity: {self.gain.size} bins of {self.bin_width * 1e12:.4g} ps, uneven by {self.rms:.2%} "
            f"(root mean square), p = {self.p_value:.3g} that they are even"
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the relative widths."""
        from photonstats import plots

        return plots.plot_nonlinearity(self, ax)


def nonlinearity(flat: Decay) -> Nonlinearity:
    """Measure the relative widths of TCSPC bins on a decay of uncorrelated light, such as a lamp.

    Parameters
    ----------
    flat : Decay
        Many counts: 1e4 in each bin give the widths to a percent.

    Returns
    -------
    Nonlinearity

    Raises
    ------
    ValueError
        If there are fewer than 25 counts per bin.

    Notes
    -----
    A last bin that the period cuts is taken as even. Pile-up slopes the curve: keep below a percent per pulse.
    """
    n = bins_of_period(flat)
    counts = flat.counts[:n].astype(np.float64)
    whole = n if flat.period is None or flat.period >= (n - 1e-6) * flat.bin_width else n - 1
    if whole < 2 or counts[:whole].mean() < 25:
        raise ValueError(
            f"the flat measurement holds {counts[:whole].sum() / max(whole, 1):.3g} counts per bin: measure at least 25"
        )
    mean = counts[:whole].mean()
    gain, error = np.ones(n), np.zeros(n)
    gain[:whole], error[:whole] = counts[:whole] / mean, np.sqrt(counts[:whole]) / mean
    statistic = float(np.sum((counts[:whole] - mean) ** 2) / mean)
    excess = float(np.mean((gain[:whole] - 1.0) ** 2) - 1.0 / mean)
    empty = gain <= 0
    gain[empty], error[empty] = 0.5 / mean, poisson_error(0) / mean
    return Nonlinearity(
        gain, error, flat.bin_width, chi_square_p_value(statistic, whole - 1), math.sqrt(max(excess, 0.0))
    )


def expected_offset(
    decay: Decay,
    dark_rate: float,
    *,
    afterpulsing: float = 0.0,
    dark_rate_err: float = 0.0,
    afterpulsing_err: float = 0.0,
) -> tuple[float, float]:
    """Return the flat counts per bin that dark counts and afterpulses put under a decay, and their standard error.

    Parameters
    ----------
    decay : Decay
        With period and duration.
    dark_rate, dark_rate_err : float
        Counts without light, Hz, and its error.
    afterpulsing, afterpulsing_err : float
        Probability that a detection has an afterpulse, 0 to below 1, as `afterpulsing` gives it (afterpulses are
        detections too), and its error. Those later than a few laser periods have forgotten the pulse and are flat;
        earlier ones follow the decay and are in it.

    Returns
    -------
    (float, float)
        Counts per bin; hold it with `fit_decay(background=...)`, or compare it with the fitted background.

    Raises
    ------
    ValueError
        If the decay has no period or duration, a rate is negative, or `afterpulsing` is not below 1.

    Examples
    --------
    >>> round(expected_offset(Decay([990, 10], 1e-8, 2e-8, 10.0), 10.0, afterpulsing=0.01)[0], 2)
    54.5
    """
    if not decay.period or not decay.duration:
        raise ValueError("expected_offset needs a decay with period and duration")
    if min(dark_rate, dark_rate_err, afterpulsing, afterpulsing_err) < 0:
        raise ValueError("dark_rate, afterpulsing and their errors must not be negative")
    if afterpulsing >= 1:
        raise ValueError(f"afterpulsing is a probability below 1, it is {afterpulsing}")
    bins = decay.period / decay.bin_width
    dark = dark_rate * decay.duration
    # A dark rate as measured holds its own afterpulses; each of the other detections may have one.
    rest = max(decay.n_photons - dark, 0.0)
    offset = (dark + afterpulsing * rest) / bins
    by_dark = decay.duration * (1.0 - afterpulsing) / bins
    return float(offset), math.hypot(by_dark * dark_rate_err, rest / bins * afterpulsing_err)
