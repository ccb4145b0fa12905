"""What native libraries do beside their work: write to the terminal, hold memory that nobody uses."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_native() -> Iterator[None]:
    """Send file descriptor 2 nowhere for a moment.

    Interpreters and converters write notes ("Created TensorFlow Lite XNNPACK delegate") past Python to the terminal,
    and have no switch for it. Python's own errors are raised as ever. Not for use while other threads print.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def give_memory_back() -> None:
    """Give the system back what loading has freed; not every C library can (glibc does)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
