"""Numba kernels: plain loops over arrays in hardware units; they import nothing of this package."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numba


def _keep_compiled_kernels() -> None:
    """Give numba a place where neither the package nor the home can be written, as on a cluster.

    It would stop at the first kernel otherwise. The place must be ours alone, since compiled code is run from it.
    """
    config: Any = numba.config
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 (Path.home raises where there is none)
    if config.CACHE_DIR or os.access(Path(__file__).parent, os.W_OK) or os.access(home, os.W_OK):
        return
    user = os.getuid() if hasattr(os, "getuid") else 0
    place = Path(tempfile.gettempdir()) / f"photonstats-{user}"
    with suppress(FileExistsError):
        place.mkdir(mode=0o700)
    about = place.lstat()
    ours = place.is_dir() and not place.is_symlink() and about.st_uid == user and not about.st_mode & 0o022
    config.CACHE_DIR = str(place if ours else tempfile.mkdtemp(prefix="photonstats-"))


_keep_compiled_kernels()
