"""Measure whether the disk still responds to a thread that writes to it."""

from __future__ import annotations

import time
from types import TracebackType


class Heartbeat:
    """A context manager that times the current call to the disk.

    One thread uses it; others read it.
    """

    def __init__(self) -> None:
        self._since: float | None = None

    def __enter__(self) -> Heartbeat:
        self._since = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._since = None

    @property
    def seconds(self) -> float:
        """Seconds since the current call began; 0 between calls."""
        since = self._since
        return 0.0 if since is None else time.monotonic() - since
