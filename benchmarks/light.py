"""The simulated photons that all rows share, as PTU files in benchmarks/out/."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import photonstats as ps

OUT = Path(__file__).parent / "out"
SAMPLE = Path(__file__).parents[1] / "data_samples" / "blinking_dot.ptu"


def t3_file(seconds: float, rate: float = 200e3) -> Path:
    """Return a HydraHarp2T3 file: 5 MHz, two detectors, one dot that blinks, of `rate` (Hz) while it is on."""
    OUT.mkdir(exist_ok=True)
    path = OUT / f"dot_{seconds:g}s_{rate:g}.ptu"
    if not path.exists():
        emitter = ps.simulate.Emitter(
            lifetime=20e-9,
            blinking=ps.simulate.Blinking(
                levels=(ps.simulate.Level(1.0, 20e-9), ps.simulate.Level(0.1, 2e-9)),
                dwells=(ps.simulate.Exponential(0.5), ps.simulate.Exponential(0.1)),
            ),
        )
        photons, _ = ps.simulate.pulsed(
            [emitter],
            duration=seconds,
            laser_period=200e-9,
            excitation=0.1,
            rate=rate,
            background=300.0,
            tcspc_unit=64e-12,
            seed=1,
        )
        ps.write_ptu(photons, path)
    return path


def t2_file(t3: Path) -> Path:
    """Return a HydraHarp2T2 file of the same photons: absolute times in picoseconds."""
    path = t3.with_name(f"{t3.stem}_t2.ptu")
    if not path.exists():
        photons = ps.read(t3)
        times = absolute(photons) * round(photons.tcspc_unit / 1e-12)
        order = np.argsort(times, kind="stable")
        ps.write_ptu(
            ps.PhotonStream(times[order], photons.detectors[order], timestamps_unit=1e-12, duration=photons.duration),
            path,
            "HydraHarp2T2",
        )
    return path


def absolute(photons: ps.PhotonStream) -> np.ndarray:
    """Return the times of T3 photons in ticks of the nanotime; the laser period is a whole number of them."""
    return photons.timestamps * round(photons.laser_period / photons.tcspc_unit) + photons.nanotimes
