"""The lock of an output folder: only one run at a time writes into it."""

from __future__ import annotations

import os
import time
from pathlib import Path

from ...errors import UsageError
from ...files import is_free, try_lock

NAME = ".lock"
MAX_ATTEMPTS, BETWEEN_SECONDS = 10, 0.05
"""`is_locked` of another process holds the lock for a moment."""


def acquire_lock(folder: Path) -> int:
    """Lock a folder for this process.

    Return the handle, which releases the lock when it is closed.

    Raises:
        UsageError: another run holds the lock.
        OSError: the folder cannot be written to.
    """
    handle = os.open(folder / NAME, os.O_RDWR | os.O_CREAT, 0o644)
    for attempt in range(MAX_ATTEMPTS):
        time.sleep(BETWEEN_SECONDS * (attempt > 0))
        if try_lock(handle):
            return handle
    os.close(handle)
    raise UsageError(f"another run writes to '{folder}': end it, or name another --out")


def is_locked(folder: Path) -> bool:
    """Return whether a run writes into a folder now.

    True if that cannot be determined.
    """
    try:
        handle = os.open(folder / NAME, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        return not is_free(handle)
    finally:
        os.close(handle)
