"""The time by which a run must end after a request, shared by all its parts."""

from __future__ import annotations

import time
from collections.abc import Callable

END_SECONDS = 2.0
"""Seconds from the request to the end of the process: service managers and users expect no more."""
ABANDON_SECONDS = 1.3
"""Seconds after which what still waits for a disk is abandoned."""
KEEP_FOR_SINKS, KEEP_FOR_EXIT = 1.1, 0.5
"""Seconds before the end that only the sinks may use, and that nothing may use."""


class StopDeadline:
    """A thread-safe time budget, shared by parts that end one after another.

    Args:
        clock: returns monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end: float | None = None

    def start(self) -> None:
        """Note that the run was asked to stop; later calls change nothing."""
        if self._end is None:
            self._end = self._clock() + END_SECONDS

    @property
    def is_set(self) -> bool:
        """Whether the run was asked to stop."""
        return self._end is not None

    def limit(self, seconds: float, keep: float = KEEP_FOR_EXIT, minimum: float = 0.0) -> float:
        """Return for how many of these seconds a part may wait.

        Args:
            seconds: for which it waits in a run that ends by itself.
            keep: seconds before the end that are for other parts.
            minimum: seconds that it gets in any case.
        """
        if self._end is None:
            return seconds
        return max(minimum, min(seconds, self._end - keep - self._clock()))

    def sleep_until_abandoned(self) -> None:
        """Wait until what still waits for a disk is to be abandoned.

        The request must have come.
        """
        time.sleep(self.limit(ABANDON_SECONDS, keep=END_SECONDS - ABANDON_SECONDS))
