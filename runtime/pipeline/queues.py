"""The queue between two threads of the pipeline."""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress
from time import monotonic

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
        self._waiting: deque[FrameTask | EndOfStream] = deque()
        # Locked while nothing is new. A condition would hold the interpreter's lock for some hundred microseconds per
        # frame; a lock waits in C. So does a SimpleQueue, but until Python 3.12 it waits forever if a signal's handler
        # is still running when the time is over.
        self._news = threading.Lock()
        self._news.acquire()
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
        self._add(task)
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
        deadline = None if seconds is None else monotonic() + seconds
        while True:
            with suppress(IndexError):
                task = self._waiting.popleft()
                break
            remaining = -1.0 if deadline is None else max(0.0, deadline - monotonic())
            if not self._news.acquire(timeout=remaining):
                return None
        if isinstance(task, EndOfStream):
            self._add(task)  # for the next call
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
        self._add(self._end)

    def abort(self) -> None:
        """End at once: drop what waits, and wake up a thread that waits on either side."""
        self._clear()
        self.end(None)
        self._taken.release()

    def _add(self, task: FrameTask | EndOfStream) -> None:
        self._waiting.append(task)
        with suppress(RuntimeError):  # it is open already: the other thread has not seen the last one yet
            self._news.release()

    def _clear(self) -> int:
        """Drop the frames that wait, but not the end; return how many there were."""
        count = 0
        with suppress(IndexError):
            while not isinstance(task := self._waiting.popleft(), EndOfStream):
                count += 1
            self._add(task)
        return count
