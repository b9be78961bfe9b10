"""What tests against other programs share."""

from importlib.metadata import version

import pytest

MEASURED = {
    "flimlib": "2.2.5",
    "lmfit": "1.3.4",
    "phconvert": "0.10.2",
    "powerlaw": "2.0.0",
    "ptufile": "2026.2.6",
    "pycorrelate": "0.3",
    "tttrlib": "0.26.2",
}  # versions in which the faults that the tests show were seen


def peer(module):
    """Import a peer, or skip the test."""
    extra = "pip install " + ("flimlib" if module == "flimlib" else "-e '.[peers]'")
    return pytest.importorskip(module, reason=f"{module.partition('.')[0]} is not installed: {extra}")


def still_wrong(package, fault, what):
    """Assert that a peer errs as it did in the version measured; another version may have mended it: skip, and say so.

    To be called last: what is asserted of this package must hold with any version.
    """
    present = version(package)
    if present != MEASURED[package] and not fault:
        pytest.skip(f"{package} {present} no longer {what}, as {MEASURED[package]} did: correct this test")
    assert fault, f"{package} {present} no longer {what}: correct this test"
