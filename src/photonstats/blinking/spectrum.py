"""Power spectral density of an intensity: tapered periodograms of a trace, or of photons over many decades."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from photonstats.blinking.spectrum_fit import Model, PsdFit, fit_spectrum
from photonstats.blinking.spectrum_ordinates import Blocks, Ordinates, blocks_of, grouped, periodogram, welch_length
from photonstats.blinking.spectrum_photons import photon_ordinates
from photonstats.result import Result
from photonstats.stream import PhotonStream
from photonstats.traces.intensity import IntensityTrace, intensity_trace

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]
Method = Literal["whole", "welch", "multitaper", "photons"]

MOST_BINS = 2**24
FEWEST_BINS = 32
FEWEST_PHOTONS = 100  # below, the power of every frequency is that of the same few photons
FINE = 60  # groups in a decade that a fit sees: 4 % wide, over which no spectrum changes
TAPERS: dict[str, int] = {"whole": 1, "welch": 1, "multitaper": 5, "photons": 1}


@dataclass(frozen=True, eq=False, repr=False)
class Psd(Result):
    """Power spectral density of a relative intensity.

    Parameters
    ----------
    frequency : ndarray of float, shape (n,)
        Hz, rising; without zero and the Nyquist frequency.
    power : ndarray of float, shape (n,)
        One-sided density of the intensity over its mean, 1/Hz; shot noise is in it.
    power_ci : ndarray of float, shape (n, 2)
        95 % interval of the density, were the light Gaussian noise, 1/Hz.
    shot_noise : float
        Floor ``2 r / (r - b)^2`` of Poisson counting at rate r with background b, 1/Hz; nan for a trace that is no
        photon count.
    mean_rate : float
        Mean count rate r, Hz; for an array its mean over `bin_width`.
    duration : float
        Length of the recording, s.
    bin_width : float
        Width of the finest bins, s.
    method : str
        "whole", "welch", "multitaper" or "photons".
    n_tapers : int
        Sine tapers; 0 for none (rectangular window).
    background : float
        Rate taken off the mean, Hz.
    ordinates : Ordinates
        What `fit` reads: the spectrum in groups 4 % wide, with the number of independent ordinates in each.
    blocks : Blocks, optional
        Spectra of 12 parts of the recording, from which `fit` learns how far the light is from Gaussian noise; None
        where they would be too short.
    """

    frequency: Floats
    power: Floats
    power_ci: Floats
    shot_noise: float
    mean_rate: float
    duration: float
    bin_width: float
    method: str
    n_tapers: int
    background: float = 0.0
    ordinates: Ordinates = field(repr=False, kw_only=True)
    blocks: Blocks | None = field(default=None, repr=False, kw_only=True)

    @property
    def excess(self) -> Floats:
        """Density above the shot noise of Poisson counting, 1/Hz, float64[n]; below zero by chance."""
        above: Floats = self.power - self.shot_noise
        return above

    def fit(
        self,
        model: Model = "auto",
        *,
        floor: float | Literal["fit", "shot"] = "fit",
        frequency_range: tuple[float, float] | None = None,
        bootstrap: int = 0,
        seed: int | np.random.Generator | None = None,
    ) -> PsdFit:
        """Fit laws of blinking by the Whittle likelihood and choose one by BIC.

        Parameters
        ----------
        model : {"auto", "white", "lorentzian", "power_law", "both"}
            "lorentzian": ``A / (1 + (f/f0)^beta)``, ``f0 = 1/(2 pi time)``; "power_law": ``A / f^beta``, A at 1 Hz;
            "both": a Lorentzian of exponent 2 and a power law; "white": the floor alone. "auto" chooses among them.
        floor : "fit", "shot" or float
            Shot noise: free, but drawn to that of Poisson counting (where it is known) with an error of 10 %; exactly
            that of Poisson counting; or a given density, 1/Hz. Dead times lower it, afterpulses raise it.
        frequency_range : (float, float), optional
            Frequencies to fit, Hz.
        bootstrap : int
            Simulated spectra of the fitted law from which intervals are taken; 0: from the information matrix.
        seed : int or Generator, optional
            Seed of the bootstrap.

        Returns
        -------
        PsdFit

        Raises
        ------
        ValueError
            If fewer than ten groups of frequencies are in the range, or an argument is not known.

        Notes
        -----
        An ordinate P of a periodogram of spectrum S is exponential: ``-ln L = sum w (ln S + P/S)``, with w < 1 where
        tapers make neighbours alike. S is folded through the bins: ``sinc^2(f dt) S(f)`` plus what lies above the
        Nyquist frequency.
        The light of a few switching emitters is no Gaussian noise: powers at different frequencies move together.
        Errors are widened by what the scatter between 12 parts of the recording has above that of Gaussian noise, never
        narrowed; fluctuations slower than a part are taken as Gaussian. The bootstrap draws Gaussian noise and does
        not know of it.

        References
        ----------
        Whittle, J. R. Stat. Soc. B 15, 125 (1953). Frantsuzov, Volkan-Kacso, Janko, Nano Lett. 13, 402 (2013).
        """
        return fit_spectrum(
            self.ordinates, self.blocks, model, floor=floor, shot_noise=self.shot_noise,
            frequency_range=frequency_range, bootstrap=bootstrap, seed=seed,
            curve=(self.frequency, self.power, self.power_ci),
        )  # fmt: skip

    def summary(self) -> str:
        """Return the method, the range and the noise floor."""
        taper = f"{self.n_tapers} sine taper" + ("s" if self.n_tapers > 1 else "") if self.n_tapers else "no taper"
        shot = "not known" if math.isnan(self.shot_noise) else f"{self.shot_noise:.4g} 1/Hz"
        low, high = (self.frequency[0], self.frequency[-1]) if self.frequency.size else (math.nan, math.nan)
        return (
            f"Psd ({self.method}, {taper}): {low:.4g} to {high:.4g} Hz in {self.frequency.size} points, mean rate "
            f"{self.mean_rate:.5g} Hz over {self.duration:.5g} s, shot noise {shot}"
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the density with its intervals and the shot noise, both axes logarithmic."""
        from photonstats.plots.spectrum import plot_psd

        return plot_psd(self, ax)


def psd(
    light: IntensityTrace | PhotonStream | Iterable[PhotonStream] | ArrayLike,
    *,
    method: Method = "whole",
    bin_width: float | None = None,
    per_decade: int | None = 10,
    n_tapers: int | None = None,
    segment: float | None = None,
    background: float = 0.0,
    detectors: int | Sequence[int] | None = None,
) -> Psd:
    """Estimate the power spectral density of the intensity, relative to its mean.

    Parameters
    ----------
    light : IntensityTrace, PhotonStream, iterable of PhotonStream or array_like of float, shape (n,)
        Counts per bin, photons, the pieces of `scan` (one pass, bounded memory), or a trace of another make (a
        cluster of a movie) with its `bin_width`; such a trace has no known shot noise.
    method : {"whole", "welch", "multitaper", "photons"}
        "whole": one tapered periodogram. "welch": mean over half-overlapping segments. "multitaper": mean over
        orthogonal tapers of the whole trace. "photons": photons in bins of 1 us, each decade of frequency from
        segments of its own length, the lowest ones from the whole recording.
    bin_width : float, optional
        Width of the (finest) bins, s; by default 1 ms, or 1 us for "photons". A trace has its own.
    per_decade : int or None
        Points in a decade of frequency, each the mean of its ordinates; None: every ordinate.
    n_tapers : int, optional
        Sine tapers; by default 1, for "multitaper" 5. 0: none.
    segment : float, optional
        Length of a segment of "welch", s; by default an eighth of the recording.
    background : float
        Rate of counts unrelated to the light, Hz, taken off the mean; it stays in the shot noise.
    detectors : int or sequence of int, optional
        Detectors to count; None for all. For photons only.

    Returns
    -------
    Psd

    Raises
    ------
    ValueError
        If there are fewer than 32 bins or 100 photons, too many bins, or no light, or an argument does not fit.

    Notes
    -----
    ``P(f) = 2 dt |sum h x exp(2 pi i f t)|^2 / m^2`` with x the trace less its mean, m the mean less the background
    and h a taper of ``sum h^2 = 1``. Parseval: without taper the sum of ``P df`` over all ordinates (the Nyquist
    ordinate, left out here, at half weight) is the variance of the trace over m^2.

    A rectangular window leaks: every spectrum steeper than 1/f^2 then looks like 1/f^2, and one of 1/f^1.5 whose
    power lies below 1/duration comes out too steep. The k-th sine taper leaks as f^-4; hence it is the default, at
    the price of the lowest (K + 1)/2 ordinates and of errors larger by (1 + 1/2K)^1/2.

    "photons" looks at every sixteenth segment of the shortest and every fourth of the next bins, which leaves far more
    ordinates there than any law needs. It rounds the bins to whole ticks of the timestamps.

    References
    ----------
    Riedel, Sidorenko, IEEE Trans. Signal Process. 43, 188 (1995). Welch, IEEE Trans. Audio 15, 70 (1967).

    Examples
    --------
    >>> trace = IntensityTrace(np.random.default_rng(1).poisson(20.0, 4096), 1e-3)
    >>> psd(trace).fit().model
    'white'
    """
    if method not in TAPERS:
        raise ValueError(f'method must be "whole", "welch", "multitaper" or "photons", it is {method!r}')
    tapers = TAPERS[method] if n_tapers is None else n_tapers
    _check(tapers, per_decade, segment, method, background, bin_width)
    if method == "photons":
        if isinstance(light, IntensityTrace | np.ndarray):
            raise ValueError(
                'method="photons" needs photons, a trace has lost their times: use "whole" or "multitaper"'
            )
        parts, blocks, rate, duration, width = photon_ordinates(light, bin_width or 1e-6, tapers, detectors)  # type: ignore[arg-type]
        counted = True
    else:
        values, width, counted = _trace(light, bin_width, detectors)
        duration, rate = values.size * width, float(values.mean()) / width
        length = values.size
        if method == "welch":
            length = welch_length(values.size, segment / width if segment else values.size / 8)
        parts, blocks = [periodogram(values, width, length, tapers)], blocks_of(values, width)
    if not rate > background:
        raise ValueError(
            f"the mean rate is {rate:g} Hz and the background {background:g} Hz: there is no light to analyse"
        )
    if counted and rate * duration < FEWEST_PHOTONS:
        raise ValueError(f"there are {rate * duration:.0f} photons; a spectrum takes {FEWEST_PHOTONS}: record longer")
    unit = (rate - background) ** -2
    every = Ordinates.joined(parts).scaled(unit)
    shown = grouped(every, per_decade)
    # the mean of m exponential ordinates is a gamma variable of shape m
    shape = shown.weight
    interval = (shown.power * shape)[:, None] / special.gammaincinv(shape[:, None], [0.975, 0.025])
    shot = 2.0 * rate / (rate - background) ** 2 if counted else math.nan
    return Psd(
        shown.frequency, shown.power, interval, shot, rate, duration, width, method, tapers, background,
        ordinates=grouped(every, FINE), blocks=None if blocks is None else blocks.scaled(unit),
    )  # fmt: skip


def _trace(light: object, bin_width: float | None, detectors: object) -> tuple[Floats, float, bool]:
    """Return the values of the bins, their width, and whether they are counts of photons."""
    counted = True
    if isinstance(light, IntensityTrace):
        if bin_width is not None and not math.isclose(bin_width, light.bin_width):
            raise ValueError(f"the trace has bins of {light.bin_width:g} s: leave bin_width={bin_width:g} out")
        values, width = light.counts.astype(np.float64), light.bin_width
    elif isinstance(light, PhotonStream) or not _is_numbers(light):
        width = 1e-3 if bin_width is None else bin_width
        values = intensity_trace(light, width, detectors).counts.astype(np.float64)  # type: ignore[arg-type]
    else:
        if bin_width is None:
            raise ValueError("an array needs bin_width, the time from one value to the next in seconds")
        values, width, counted = np.asarray(light, dtype=np.float64), bin_width, False
        if values.ndim != 1 or not np.all(np.isfinite(values)):
            raise ValueError(f"a trace must be one-dimensional without nan or inf; its shape is {values.shape}")
    if not FEWEST_BINS <= values.size <= MOST_BINS:
        raise ValueError(
            f"the trace has {values.size} bins of {width:g} s; a spectrum takes {FEWEST_BINS} to {MOST_BINS}: "
            f'change bin_width, or use method="photons" for many decades'
        )
    if not values.mean() > 0:
        raise ValueError("the trace is dark: its mean is not above zero, so that there is no relative intensity")
    if values.min() == values.max():
        raise ValueError("the trace has no fluctuations, not even shot noise: there is no spectrum")
    return values, width, counted


def _is_numbers(light: object) -> bool:
    if isinstance(light, np.ndarray):
        return True
    return isinstance(light, list | tuple) and bool(light) and not isinstance(light[0], PhotonStream)


def _check(
    tapers: int, per_decade: int | None, segment: float | None, method: str, background: float, bin_width: float | None
) -> None:
    if bin_width is not None and not (math.isfinite(bin_width) and bin_width > 0):
        raise ValueError(f"bin_width must be a positive time in seconds, it is {bin_width}")
    if not 0 <= tapers <= 50:
        raise ValueError(f"n_tapers must be 0 to 50, it is {tapers}")
    if per_decade is not None and not 1 <= per_decade <= 1000:
        raise ValueError(f"per_decade must be 1 to 1000, or None for every ordinate; it is {per_decade}")
    if segment is not None and (method != "welch" or not segment > 0):
        raise ValueError(f'segment is a time in seconds > 0 for method="welch"; it is {segment} for {method!r}')
    if not (math.isfinite(background) and background >= 0):
        raise ValueError(f"background must be a rate in hertz >= 0, it is {background}")
