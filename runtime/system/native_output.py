"""Keep native libraries from writing to the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def suppress_native_stderr() -> Iterator[None]:
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
