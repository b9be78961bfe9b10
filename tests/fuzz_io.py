"""Mutate small files of every format for a while: python tests/fuzz_io.py --seconds 60 [--seed 0] [--keep FOLDER].

Each mutant must give a PhotonStream or a PhotonFileError within a second and with little memory. Exit code 1, and the
mutant in the folder, if one does not.
"""

import argparse
import random
import resource
import struct
import sys
import tempfile
import time
import warnings
from pathlib import Path

import photonstats as ps
from pq_files import LEGACY, RECORD_TYPES, encode, is_t2, legacy, ptu, wrap_of

MEMORY = 64 * 2**20  # growth of the peak over the whole run, bytes
NUMBERS = [0, 1, -1, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63 - 1, -(2**63)]
REALS = [float("nan"), float("inf"), -1.0, 0.0, 1e-300, 1e300, 12.5]


def seeds():
    """Return a small file of every format."""
    files = {}
    for name in [*RECORD_TYPES, *LEGACY]:
        kind = LEGACY.get(name, name)
        span = 50 * wrap_of(kind)
        events = [("photon", i * span // 300, i % 4, 11 + i) for i in range(300)]
        make = legacy if name in LEGACY else ptu
        stop = max(1, round(1000 * span * (1e-12 if is_t2(kind) else 200e-9)))
        files[name] = make(name, encode(kind, events), stop_ms=stop)
    return files


def photon_hdf5(folder):
    """Return a small Photon-HDF5 file, if that format can be written."""
    try:
        from photonstats import PhotonStream, write_photon_hdf5
    except ImportError:
        return {}
    stream = PhotonStream(
        list(range(0, 2000, 10)), [0, 1] * 100, [7] * 200, timestamps_unit=2e-7, tcspc_unit=64e-12, duration=1.0
    )
    write_photon_hdf5(stream, folder / "seed.h5")
    return {"Photon-HDF5": (folder / "seed.h5").read_bytes()}


def mutate(data, rng):
    """Return a copy with one to five pieces of damage."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 5)):
        if not out:
            break
        at = rng.randrange(min(len(out), 1200)) if rng.random() < 0.7 else rng.randrange(len(out))
        what = rng.randrange(8)
        if what == 0:
            out[at] ^= 1 << rng.randrange(8)
        elif what == 1:
            out[at] = rng.randrange(256)
        elif what == 2:
            out[at : at + 8] = struct.pack("<q", rng.choice(NUMBERS))
        elif what == 3:
            out[at : at + 8] = struct.pack("<d", rng.choice(REALS))
        elif what == 4:
            del out[at : at + rng.randint(1, 64)]
        elif what == 5:
            out[at:at] = rng.randbytes(rng.randint(1, 64))
        elif what == 6:
            out[at:at] = out[rng.randrange(len(out)) :][: rng.randint(1, 400)]
        elif rng.random() < 0.2:
            del out[at:]
    return bytes(out)


def attempt(path):
    """Return what became of a file, or raise what no user should see."""
    try:
        ps.info(path)
        stream = ps.read(path)
        n = sum(len(piece) for piece in ps.scan(path, 64))
    except ps.PhotonFileError:
        return "error"
    if n != len(stream):
        raise AssertionError(f"scan found {n} photons, read {len(stream)}")
    return "stream"


def main():
    """Run until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()) / "photonstats-fuzz")
    args = parser.parse_args()
    warnings.simplefilter("ignore", ps.PhotonFileWarning)
    args.keep.mkdir(parents=True, exist_ok=True)
    rng, path = random.Random(args.seed), args.keep / "mutant.bin"  # noqa: S311
    files = seeds() | photon_hdf5(args.keep)
    for data in files.values():  # compile first
        path.write_bytes(data)
        attempt(path)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tally, slowest, end = {"stream": 0, "error": 0}, 0.0, time.monotonic() + args.seconds
    while time.monotonic() < end:
        name = rng.choice(list(files))
        path.write_bytes(mutate(files[name], rng))
        begin = time.process_time()
        try:
            tally[attempt(path)] += 1
        except BaseException:  # Ctrl-C too: it ends a read that does not end
            print(f"a mutant of {name} is in {path}", file=sys.stderr)  # noqa: T201
            raise
        slowest = max(slowest, time.process_time() - begin)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) * 1024
        if slowest > 1 or grown > MEMORY:
            print(f"a mutant of {name} in {path}: {slowest:.2f} s, {grown} bytes", file=sys.stderr)  # noqa: T201
            return 1
    print(f"{tally['stream']} streams, {tally['error']} errors, slowest {slowest:.3f} s, peak +{grown >> 20} MiB")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
