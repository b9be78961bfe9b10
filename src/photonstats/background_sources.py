"""Where background rates come from: light and dark counts that have nothing to do with the emitter."""

from __future__ import annotations

from collections.abc import Mapping

from photonstats.background import Background
from photonstats.lifetime import DecayFit


def background_of_fits(fits: Mapping[int, DecayFit]) -> Background | None:
    """Return the flat part of fitted decays as background rates; None where no fit knows its duration.

    Notes
    -----
    The fit, unlike a mean over bins before the pulse, does not count the wrapped tail of a long lifetime as background.
    It cannot tell a flat background from a lifetime much longer than the laser period.
    """
    rate, error = {}, {}
    for detector, fit in fits.items():
        if not fit.decay.duration:
            continue
        period = fit.decay.period or fit.decay.counts.size * fit.decay.bin_width
        per_bin_to_rate = period / fit.decay.bin_width / fit.decay.duration
        of_fit, its_error = fit.background * per_bin_to_rate, fit.background_err * per_bin_to_rate
        if its_error < fit.decay.n_photons / fit.decay.duration:  # else it says nothing: a decay without a flat part
            rate[detector], error[detector] = of_fit, its_error
    return Background(rate, error, "flat part of the decay") if rate else None
