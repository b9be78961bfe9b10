"""Rows of decay fits: two exponentials with a measured response against flimlib, and what else a fit gives."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import photonstats as ps
from timing import Row, alternate, installed

PERIOD = 50e-9
PULSE, JITTER = 3e-9, 0.15e-9
TAUS, SHARES, BACKGROUND = (2e-9, 8e-9), (0.4, 0.6), 0.02
PHOTONS = 100_000


def rows(path: Path, photons: int, runs: int) -> list[Row]:  # noqa: ARG001 (the curves are drawn here)
    found = []
    for bins in (256, 1024):
        decay, response = curves(bins)
        peer = _flimlib(decay, response) if installed("flimlib") else None
        found += [
            alternate(
                f"two lifetimes, measured IRF, {bins} bins, errors: {errors}",
                partial(ps.fit_decay, decay, 2, irf=response, errors=errors),
                peer,
                name="flimlib",
                goal=5.0 if errors == "hessian" else None,  # the peer gives no interval
                runs=5 * runs,
            )
            for errors in ("hessian", "profile")
        ]
    decay, response = curves(1024)
    levels = [curves(1024, seed)[0] for seed in range(8)]
    return [
        *found,
        alternate(
            "two lifetimes, measured IRF, 1024 bins",
            partial(ps.fit_decay, decay, 2, irf=response, errors="hessian"),
            _lmfit(decay, response),
            name="lmfit, model in numpy",
            runs=runs,
        ),
        alternate(
            "two lifetimes by lmfit, 1024 bins",
            partial(ps.fit_decay, decay, 2, irf=response, errors="hessian", engine="lmfit"),
            runs=runs,
        ),
        alternate("8 decays that share two lifetimes", partial(ps.fit_decays, levels, 2, irf=response), runs=runs),
        alternate(
            "bootstrap of 200 fits, 1024 bins",
            partial(ps.fit_decay(decay, 2, irf=response).bootstrap, 200, seed=1),
            runs=runs,
        ),
    ]


def curves(bins: int, seed: int = 1) -> tuple[ps.Decay, ps.Decay]:
    """Draw a decay of two lifetimes with background, and its response."""
    rng = np.random.default_rng(seed)
    flat, *each = rng.multinomial(PHOTONS, [BACKGROUND, *((1 - BACKGROUND) * np.array(SHARES))])
    after = np.concatenate([rng.exponential(tau, n) for tau, n in zip(TAUS, each, strict=True)])
    times = np.concatenate([after + rng.normal(PULSE, JITTER, after.size), rng.uniform(0, PERIOD, flat)])

    def histogram(t: np.ndarray) -> ps.Decay:
        at = (t % PERIOD / PERIOD * bins).astype(int)
        return ps.Decay(np.bincount(at, minlength=bins)[:bins], PERIOD / bins, PERIOD)

    return histogram(times), histogram(rng.normal(PULSE, JITTER, 1_000_000))


def _lmfit(decay: ps.Decay, response: ps.Decay) -> Callable[[], Any]:
    """Return a least-squares fit as one writes it with lmfit: exponentials folded with the response, near starts."""
    import lmfit

    n, step = decay.counts.size, decay.bin_width
    folded = np.fft.rfft(response.counts / response.counts.sum())
    time = np.arange(n) * step
    weights = 1 / np.sqrt(np.maximum(decay.counts, 1))

    def curve(t: np.ndarray, a: float, b: float, tau1: float, tau2: float, flat: float) -> np.ndarray:
        each = sum(height * np.exp(-t / tau) / (1 - np.exp(-PERIOD / tau)) for height, tau in ((a, tau1), (b, tau2)))
        return np.fft.irfft(np.fft.rfft(each) * folded, n) + flat

    model = lmfit.Model(curve, independent_vars=["t"])
    top = float(decay.counts.max())
    start = model.make_params(a=top, b=top, tau1=1.5e-9, tau2=9e-9, flat=1.0)
    for name in ("tau1", "tau2"):
        start[name].min = 0.1e-9
    return lambda: model.fit(decay.counts, start, t=time, weights=weights)


def _flimlib(decay: ps.Decay, response: ps.Decay) -> Callable[[], Any]:
    """Return its two-exponential fit as its own examples make it: rapid lifetime determination, then Marquardt."""
    import flimlib

    step, counts = decay.bin_width * 1e9, decay.counts.astype(float)
    first = max(int(np.argmax(counts)) - 5, 0)
    instrument = response.counts / response.counts.sum()

    def fit() -> Any:
        rough = flimlib.GCI_triple_integral_fitting_engine(step, counts, fit_start=int(np.argmax(counts)))
        tau, height = float(rough.tau), float(rough.A)
        start = np.array([float(rough.Z), height / 2, tau / 2, height / 2, tau * 2])
        return flimlib.GCI_marquardt_fitting_engine(
            step, counts, start, fit_start=first, fit_end=counts.size, instr=instrument,
            noise_type="NOISE_POISSON_FIT", chisq_target=0.0,
        )  # fmt: skip

    return fit
