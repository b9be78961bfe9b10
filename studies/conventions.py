"""Analyse the same simulated light in ways that are in use elsewhere and in the way of the package; write a page.

    python studies/conventions.py              under a minute; writes docs/conventions.md
    python studies/conventions.py --out FILE   writes elsewhere

Each figure is a mean over the sets of a row with the standard error of the mean. The other ways are written out here,
in a few lines each; they are the textbook forms, not the code of another program.
"""

from __future__ import annotations

import argparse
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import optimize, special

sys.path.insert(0, str(Path(__file__).parent))
from validation_light import IRF, PULSE, SIGMA, Rng, decay, power_law, pulsed_pairs

import photonstats as ps

OUT = Path(__file__).parents[1] / "docs" / "conventions.md"
SEED = 1
TOP = """# What conventions do

The same simulated light, analysed in a way that is in use elsewhere and in the way of this package. This page is made
by `python studies/conventions.py` (seed {seed}): light of `studies/validation_light.py`, means over the sets of a row
with their standard errors.

| what, and its truth | sets | the other way | gives | photonstats gives | call |
|---|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Row:
    """One line of the page: `draw` gives what the other way and the package find in one set, in units of `unit`."""

    what: str
    sets: int
    other: str
    call: str
    draw: Callable[[Rng], tuple[float, float]]
    unit: float = 1.0
    unit_name: str = ""
    digits: int = 3

    def line(self, seed: int) -> str:
        """Return the line of the table; the name of the row chooses its sets."""
        name = zlib.crc32(f"{self.what}: {self.other}".encode())
        found = np.array([self.draw(np.random.default_rng([seed, name, i])) for i in range(self.sets)]) / self.unit
        other, ours = zip(found.mean(axis=0), found.std(axis=0, ddof=1) / np.sqrt(self.sets), strict=True)
        cells = [f"{value:.{self.digits}f} ± {err:.{self.digits}f}{self.unit_name}" for value, err in (other, ours)]
        return f"| {self.what} | {self.sets} | {self.other} | {cells[0]} | {cells[1]} | `{self.call}` |\n"


def least(cost: Callable[[np.ndarray], float], start: list[float]) -> float:
    """Return the first parameter at the minimum, found by simplex: the other ways need no speed."""
    return float(optimize.minimize(cost, start, method="Nelder-Mead", options={"maxiter": 2000}).x[0])


def sampled(rng: Rng, bin_width: float) -> tuple[float, float]:
    """Return 4 ns from a model that is sampled at the bins, and from one that is integrated over them."""
    curve = decay(rng, 1e5, [4e-9], [1.0], 0.02, bin_width)
    n = curve.counts.size
    response = np.diff(special.ndtr((np.arange(n + 1) * bin_width - PULSE) / SIGMA))

    def model(tau: float, share: float) -> np.ndarray:
        shape = np.convolve(response, np.exp(-np.arange(n) * bin_width / tau))[:n]
        return curve.n_photons * ((1 - share) * shape / shape.sum() + share / n)

    def cost(p: np.ndarray) -> float:
        expected = model(p[0] * 1e-9, np.clip(p[1], 1e-4, 1))
        return float(np.sum(expected - curve.counts * np.log(expected)))

    return least(cost, [4.0, 0.02]) * 1e-9, ps.fit_decay(curve, 1, irf=IRF, shift=0.0).lifetimes[0]


def few_counts(rng: Rng) -> tuple[float, float]:
    """Return 4 ns from the tail of 1000 photons by least squares with weights 1/n, empty bins with weight 1."""
    curve = decay(rng, 1e3, [4e-9], [1.0], 0.02)
    late = curve.time > PULSE + 1e-9
    time, counts = (curve.time[late] - PULSE) * 1e9, curve.counts[late]

    def cost(p: np.ndarray) -> float:
        return float(np.sum((counts - p[1] * np.exp(-time / p[0]) - p[2]) ** 2 / np.maximum(counts, 1)))

    return least(cost, [4.0, 50.0, 0.0]) * 1e-9, ps.fit_decay(curve, 1, irf=IRF, shift=0.0).lifetimes[0]


def before_the_pulse(rng: Rng) -> tuple[float, float]:
    """Return 30 ns in a period of 100 ns, with the mean of the bins before the pulse taken for background."""
    curve = decay(rng, 1e5, [30e-9], [1.0], 0.02)
    early, late = curve.time < PULSE - 2e-9, curve.time > PULSE + 1e-9
    flat = curve.counts[early].mean()
    time, counts = (curve.time[late] - PULSE) * 1e9, curve.counts[late]

    def cost(p: np.ndarray) -> float:
        expected = np.maximum(p[1] * np.exp(-time / p[0]) + flat, 1e-9)
        return float(np.sum(expected - counts * np.log(expected)))

    return least(cost, [30.0, float(counts[0])]) * 1e-9, ps.fit_decay(curve, 1, irf=IRF, shift=0.0).lifetimes[0]


def two_means(rng: Rng) -> tuple[float, float]:
    """Return the intensity-weighted and the amplitude-weighted mean of 2 ns (40 % of the photons) and 15 ns."""
    fit = ps.fit_decay(decay(rng, 1e5, [2e-9, 15e-9], [0.4, 0.6], 0.02), 2, irf=IRF, shift=0.0)
    return fit.intensity_average, fit.amplitude_average


def blinking_dot(rng: Rng, background: float) -> ps.PhotonStream:
    return pulsed_pairs(rng, 1, 10.0, rate=4e4, biexciton=0.1, blink=(0.2, 0.3), background=background)


def far_peaks(rng: Rng) -> tuple[float, float]:
    """Return the centre over independent light of the same mean rates, and over the peaks beside it."""
    found = ps.g2_pulsed(blinking_dot(rng, 0.0), detectors=(0, 1), delay=0.0)
    return found.g2_zero_far, found.g2_zero


def mean_fraction(rng: Rng) -> tuple[float, float]:
    """Return g2(0) with the background taken off by the mean share of the signal, and as pairs."""
    dark = 4e3
    light = blinking_dot(rng, dark)
    raw = ps.g2_pulsed(light, detectors=(0, 1), delay=0.0)
    signal = [1 - dark * light.duration / light.counts_per_detector[d] for d in (0, 1)]
    return 1 + (raw.g2_zero - 1) / (signal[0] * signal[1]), raw.corrected(dark).g2_zero


def log_log(rng: Rng) -> tuple[float, float]:
    times = power_law(rng, 300, 1.5, 10e-3)
    line = ps.fit_dwell_times(times, "power_law", t_min=10e-3, method="log_log", n_bootstrap=0)
    return line.alpha, ps.fit_dwell_times(times, "power_law", t_min=10e-3, n_bootstrap=0).alpha


ROWS = [
    Row("lifetime 4 ns, 1e5 photons, bins of 0.2 ns", 60, "response and exponential sampled at the bins, no shift",
        "fit_decay", lambda rng: sampled(rng, 0.2e-9), 1e-9, " ns"),
    Row("lifetime 4 ns, 1e5 photons, bins of 0.8 ns", 60, "the same", "fit_decay",
        lambda rng: sampled(rng, 0.8e-9), 1e-9, " ns"),
    Row("lifetime 4 ns, 1000 photons, 2 % background", 60, "tail by least squares with weights 1/n", "fit_decay",
        few_counts, 1e-9, " ns"),
    Row("lifetime 30 ns in a period of 100 ns, 2 % background", 60, "tail, background read off before the pulse",
        "fit_decay", before_the_pulse, 1e-9, " ns", 2),
    Row("mean lifetime, 2 ns (40 % of the photons) beside 15 ns: 4.17 ns by amplitude, 9.80 ns by intensity", 60,
        "intensity-weighted, `intensity_average`", "amplitude_average", two_means, 1e-9, " ns"),
    Row("g2(0) of one dot that is on for two fifths of the time, biexciton yield 0.1: near 0.106, far 0.265",
        60, "independent light of the same mean rates, `g2_zero_far`", "g2_zero", far_peaks),
    Row("the same, a third of the counts background: near 0.106", 60,
        "1 + (g2(0) - 1)/(ρ_a ρ_b), ρ the mean shares of the signal", "corrected", mean_fraction),
    Row("exponent 1.5 of 300 dwells", 100, "straight line through the log-log histogram", "fit_dwell_times", log_log),
]  # fmt: skip


def page(seed: int = SEED) -> str:
    """Return the page in Markdown."""
    return TOP.format(seed=seed) + "".join(row.line(seed) for row in ROWS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=OUT)
    parser.parse_args().out.write_text(page())


if __name__ == "__main__":
    main()
