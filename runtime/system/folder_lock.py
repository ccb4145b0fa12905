"""The lock of an output folder: one run at a time writes into it, and the system lets it go however a run ends."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from ...errors import UsageError

NAME = ".lock"
MAX_ATTEMPTS, BETWEEN_SECONDS = 10, 0.05
"""Who only asks whether a run is there holds the lock for a moment."""


def acquire_lock(folder: Path) -> int:
    """Take a folder for this process; return the handle, whose closing lets it go.

    Raises:
        UsageError: another run has it.
        OSError: the folder cannot be written to.
    """
    handle = os.open(folder / NAME, os.O_RDWR | os.O_CREAT, 0o644)
    for attempt in range(MAX_ATTEMPTS):
        time.sleep(BETWEEN_SECONDS * (attempt > 0))
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return handle
        except BlockingIOError:
            continue
    os.close(handle)
    raise UsageError(f"another run writes to '{folder}': end it, or name another --out")


def is_locked(folder: Path) -> bool:
    """Tell whether a run writes into a folder now; where that cannot be told, it may."""
    try:
        handle = os.open(folder / NAME, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False
