"""The queue between two threads of the pipeline."""

from __future__ import annotations

import threading
from contextlib import suppress
from queue import Empty, SimpleQueue

from .tasks import FrameTask


class EndOfStream(Exception):
    """Raised by a queue that has ended.

    Attributes:
        error: what ended it; None if the source is exhausted.
    """

    def __init__(self, error: BaseException | None) -> None:
        super().__init__()
        self.error = error


class FrameQueue:
    """A queue of frames between one thread that puts and one that gets.

    Args:
        newest_only: whether a new frame replaces the one that waits.
        wait_until_taken: whether `put` returns only when its frame was taken.

    Attributes:
        dropped: frames that a newer one replaced.
    """

    def __init__(self, newest_only: bool = False, wait_until_taken: bool = False) -> None:
        self.dropped = 0
        self._newest_only = newest_only
        self._wait_until_taken = wait_until_taken
        # A condition would hold the interpreter's lock for some hundred microseconds per frame; this waits in C.
        self._waiting: SimpleQueue[FrameTask | EndOfStream] = SimpleQueue()
        self._taken = threading.Semaphore(0)
        self._end: EndOfStream | None = None
        self._lock = threading.Lock()

    def put(self, task: FrameTask) -> None:
        """Add a frame.

        Raises:
            EndOfStream: no more frames are wanted.
        """
        if self._newest_only and self._clear():
            self.dropped += 1
        self.check()
        self._waiting.put(task)
        if self._wait_until_taken:
            self._taken.acquire()

    def check(self) -> None:
        """Raise `EndOfStream` if no more frames are wanted."""
        if self._end:
            raise self._end

    def get(self, seconds: float | None = None) -> FrameTask | None:
        """Take the next frame; return None if none came within `seconds`.

        Raises:
            EndOfStream: there will be no more.
        """
        try:
            task = self._waiting.get(timeout=seconds)
        except Empty:
            return None
        if isinstance(task, EndOfStream):
            self._waiting.put(task)  # for the next call
            raise task
        if self._wait_until_taken:
            self._taken.release()
        return task

    def end(self, error: BaseException | None) -> None:
        """End the queue; frames that wait can still be taken."""
        with self._lock:
            if self._end:
                return
            self._end = EndOfStream(error)
        self._waiting.put(self._end)

    def abort(self) -> None:
        """End at once: drop what waits, and wake up a thread that waits on either side."""
        self._clear()
        self.end(None)
        self._taken.release()

    def _clear(self) -> int:
        """Drop the frames that wait, but not the end; return how many there were."""
        count = 0
        with suppress(Empty):
            while not isinstance(task := self._waiting.get_nowait(), EndOfStream):
                count += 1
            self._waiting.put(task)
        return count
