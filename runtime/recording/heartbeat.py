"""Whether a thread that writes to a disk still gets its calls back."""

from __future__ import annotations

import time
from types import TracebackType


class Heartbeat:
    """Times the call to the disk that is under way: a context manager of one thread, read by others."""

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
        """For how long the current call has not returned; 0 between calls."""
        since = self._since
        return 0.0 if since is None else time.monotonic() - since
