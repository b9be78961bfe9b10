"""Make the sample files of this folder: python data_samples/make_samples.py [FOLDER]."""

from __future__ import annotations

import sys
from pathlib import Path

import photonstats as ps

SAMPLES = {
    "blinking_dot": (9, "HydraHarp2T3"),
    "two_emitters": (3, "HydraHarp2T3"),
    "biexciton_dot": (4, "HydraHarp2T3"),
    "continuous": (1, "HydraHarp2T2"),
}


def make(name: str) -> tuple[ps.PhotonStream, ps.simulate.Truth]:
    """Simulate a sample; the seed is fixed."""
    return ps.simulate.recipe(name, seed=SAMPLES[name][0])


def main(folder: Path) -> None:
    """Write all samples into a folder."""
    for name, (_, record_type) in SAMPLES.items():
        photons, _ = make(name)
        path = folder / f"{name}.ptu"
        ps.write_ptu(photons, path, record_type=record_type)
        print(f"{path}: {len(photons)} photons, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent)
