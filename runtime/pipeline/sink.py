"""Where results go: what the loop calls, and the fan-out to several of it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from ..frame import Detections, Frame
from ..tracking.track import Track


class Sink(Protocol):
    """Takes the results of the loop, from one thread.

    A sink never makes the loop wait for a disk, a broker or a browser, and never ends it: it hands over to a thread of
    its own, and what it cannot do it tells and counts.
    """

    def frame(self, frame: Frame, named: Detections, record: dict[str, Any]) -> None:
        """Take a frame, its named detections and its record; the frame's pixels are only lent for this call."""
        ...

    def events(self, changed: list[Track]) -> None:
        """Take the tracks that began, changed or ended with it; they are only lent for this call."""
        ...

    def close(self, frames: int, bad: int) -> None:
        """Finish: `frames` were done, `bad` pictures could not be read. From any thread, and the last call."""
        ...


class SinkGroup:
    """Several sinks as one, in their order."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = tuple(sinks)

    def frame(self, frame: Frame, named: Detections, record: dict[str, Any]) -> None:
        """Give a frame to every sink."""
        for sink in self._sinks:
            sink.frame(frame, named, record)

    def events(self, changed: list[Track]) -> None:
        """Give changed tracks to every sink."""
        for sink in self._sinks:
            sink.events(changed)

    def close(self, frames: int, bad: int) -> None:
        """Close every sink, all at once: each waits for something else, a disk, a broker or a browser."""
        with ThreadPoolExecutor(max(1, len(self._sinks)), "close") as pool:
            closing = [pool.submit(sink.close, frames, bad) for sink in self._sinks]
        for done in closing:
            done.result()
