"""Find the library of an Edge TPU. Nothing here imports an engine."""

from __future__ import annotations

import os
from pathlib import Path

LIBRARY = "libedgetpu.so.1"
LIBRARY_VARIABLE = "GALAXY_EDGE_EDGETPU_LIBRARY"
"""Environment variable with the path of a library in another place."""

_LIBRARY_FOLDERS = ("usr/lib", "usr/lib/*-linux-gnu*", "usr/local/lib", "lib", "lib/*-linux-gnu*", "opt/*/lib")


def find_library(root: Path = Path("/")) -> str | None:
    """Return the path of the Edge TPU's library; None if it is not installed.

    Args:
        root: folder that holds ``usr`` and ``lib``.
    """
    named = os.environ.get(LIBRARY_VARIABLE)
    if named:
        return named if Path(named).is_file() else None
    found = (path for folder in _LIBRARY_FOLDERS for path in sorted(root.glob(f"{folder}/{LIBRARY}")))
    return next(map(str, found), None)
