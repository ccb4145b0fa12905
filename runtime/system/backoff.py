"""Waits between attempts to reach a camera or a broker."""

from __future__ import annotations

import time
from collections.abc import Callable

STABLE_SECONDS = 60.0
"""Time that a connection must last before the waits start again with the shortest."""


class Backoff:
    """A wait that doubles per attempt, until a connection lasts `STABLE_SECONDS`.

    A connection that is lost at once counts as a failed attempt: a camera that delivers one frame and is gone, or a
    broker that drops every client, is not contacted more often than one that does not answer.

    Args:
        shortest, longest: seconds to wait after the first and after many attempts.
        clock: returns monotonic seconds.

    Attributes:
        losses: connections lost since one has lasted for `STABLE_SECONDS`.
    """

    def __init__(self, shortest: float, longest: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._shortest, self._longest, self._clock = shortest, longest, clock
        self._wait = shortest
        self._since: float | None = None
        self._lost_at = 0.0
        self.losses = 0

    def connected(self) -> None:
        """Note that there is a connection."""
        self._since = self._clock()

    def lost(self) -> None:
        """Note that the connection was lost."""
        now = self._clock()
        if self._since is not None and now - self._since >= STABLE_SECONDS:
            self._wait, self.losses = self._shortest, 0
        self._since, self._lost_at = None, now
        self.losses += 1

    @property
    def is_worth_a_message(self) -> bool:
        """Return whether to log the last loss: the first, second, fourth ... in a row.

        A loss that lasts for `STABLE_SECONDS` is logged too.
        """
        is_power_of_two = self.losses & (self.losses - 1) == 0
        return is_power_of_two or self._clock() - self._lost_at >= STABLE_SECONDS

    def next_wait(self) -> float:
        """Return the seconds to wait before the next attempt."""
        wait, self._wait = self._wait, min(2 * self._wait, self._longest)
        return wait
