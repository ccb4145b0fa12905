"""End the process without the interpreter's own clean-up.

This is done once a run that was asked to stop has closed everything.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

_requested = False


def request_quick_exit() -> None:
    """Let the command end quickly.

    Destroying networks and libraries takes a second on a busy machine.
    """
    global _requested
    _requested = True


def exit_if_requested(code: int) -> None:
    """End the process with this exit code if `request_quick_exit` was called."""
    if _requested:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):  # it was closed
                stream.flush()
        os._exit(code)
