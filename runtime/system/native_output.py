"""Keep native libraries from writing to the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def suppress_native_stderr() -> Iterator[None]:
    """Redirect file descriptor 2 to /dev/null.

    Interpreters and converters write notes ("Created TensorFlow Lite XNNPACK delegate") to the terminal, past
    Python, and have no switch for it. Python's exceptions are not affected. Not for use while other threads print.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)
