"""End the process without the interpreter's clean-up or waits for readers.

This is done once a run that was asked to stop has closed everything.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import suppress

STREAMS = {1: "standard output", 2: "standard error"}
WAIT_SECONDS = 0.7
"""Time in which a reader must take something of a full pipe."""

discarded: list[str] = []
"""Names of the streams that were given up in this process."""
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


def discard_unread_output(seconds: float = WAIT_SECONDS) -> None:
    """Redirect unread output to /dev/null, and end the calls that wait for readers.

    Called from a thread other than those that may wait.

    Args:
        seconds: time to observe the streams.
    """
    before = {number: _unread_bytes(number) for number in STREAMS if _is_full(number)}
    if not before:
        return
    time.sleep(seconds)
    hung = [number for number, unread in before.items() if _is_full(number) and _unread_bytes(number) == unread]
    if not hung:
        return
    null = os.open(os.devnull, os.O_WRONLY)
    for number in hung:
        os.dup2(null, number)
        discarded.append(STREAMS[number])
    os.close(null)
    # A call that waits has the old file; a signal ends it, and Python repeats it with the new one.
    for thread in threading.enumerate():
        if thread.ident is not None and thread is not threading.current_thread():
            with suppress(ProcessLookupError):  # it has just ended
                signal.pthread_kill(thread.ident, signal.SIGTERM)


def _is_full(number: int) -> bool:
    """Return whether the pipe or terminal of a stream takes nothing more."""
    import select  # with `array`, `fcntl` and `termios`, not needed unless a run is ended

    poll = select.poll()
    try:
        poll.register(number, select.POLLOUT)
        return not poll.poll(0)
    except OSError:
        return False


def _unread_bytes(number: int) -> int:
    """Return how many bytes wait for the reader, 0 where that is not known."""
    import array
    import fcntl
    import termios

    count = array.array("i", [0])
    try:
        fcntl.ioctl(number, termios.FIONREAD, count)
    except OSError:
        return 0
    return count[0]
