"""The interface of a sink for the results of the loop, and a group of sinks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from ..events.frame_record import FrameRecord
from ..frame import Detections, Frame
from ..tracking.track import Track


class Sink(Protocol):
    """Takes the results of the loop, from one thread.

    A sink never makes the loop wait for a disk, a broker or a browser, and never ends it: it passes the results to its
    own thread, and logs and counts failures.
    """

    def frame(self, frame: Frame, detections: Detections, record: FrameRecord, /) -> None:
        """Take a frame, its classified detections and its record.

        The pixels are only lent for this call.
        """
        ...

    def events(self, changed: list[Track], /) -> None:
        """Take the tracks that began, changed or ended with the frame.

        They are only lent for this call.
        """
        ...

    def close(self, frames: int, bad: int, /) -> None:
        """Finish: `frames` were processed, `bad` could not be read.

        The last call; it may come from any thread.
        """
        ...


class ClosedAfter:
    """A sink that is closed only after another one, which gives it messages.

    Args:
        sink: that is closed later.
        wait: returns when it may be closed.
    """

    def __init__(self, sink: Sink, wait: Callable[[], object]) -> None:
        self._sink, self._wait = sink, wait
        self.frame, self.events = sink.frame, sink.events

    def close(self, frames: int, bad: int) -> None:
        """Wait, and close the sink."""
        self._wait()
        self._sink.close(frames, bad)


class SinkGroup:
    """Several sinks as one, in their order."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = tuple(sinks)

    def frame(self, frame: Frame, detections: Detections, record: FrameRecord) -> None:
        """Give a frame to every sink."""
        for sink in self._sinks:
            sink.frame(frame, detections, record)

    def events(self, changed: list[Track]) -> None:
        """Give changed tracks to every sink."""
        for sink in self._sinks:
            sink.events(changed)

    def close(self, frames: int, bad: int) -> None:
        """Close all sinks simultaneously, as each waits for a disk, broker or browser."""
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(max(1, len(self._sinks)), "close") as pool:
            closing = [pool.submit(sink.close, frames, bad) for sink in self._sinks]
        for future in closing:
            future.result()
