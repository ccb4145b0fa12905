"""The threads of the pipeline: a reader of the source, and a worker per stage."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from contextlib import ExitStack, closing

from .queues import EndOfStream, FrameQueue
from .tasks import FrameTask, Stage


class PipelineThread(threading.Thread):
    """A thread that fills a queue.

    Its exception ends the queue, and is raised at the queue's other end.
    """

    def __init__(self, name: str, target: FrameQueue) -> None:
        super().__init__(name=name, daemon=True)
        self.target = target

    def run(self) -> None:
        """Fill the queue, then end it."""
        with ExitStack() as stack:
            stack.push(lambda _, error, __: self.end(error))
            self.fill()

    def fill(self) -> None:
        """Fill the queue until there is nothing left."""
        raise NotImplementedError

    def end(self, error: BaseException | None) -> bool:
        """End the queue, with the error if there was one.

        Return True, since it is handled at the other end.
        """
        self.target.end(error.error if isinstance(error, EndOfStream) else error)
        return True


class Reader(PipelineThread):
    """The thread that reads frames from the source and then releases the source.

    Args:
        tasks: the frames.
        target: the queue to fill.
        slots: acquired before each frame is read, where the number of frames in flight is limited.
    """

    def __init__(self, tasks: Generator[FrameTask], target: FrameQueue, slots: threading.Semaphore | None) -> None:
        super().__init__("read", target)
        self._tasks = tasks
        self._slots = slots

    def fill(self) -> None:
        """Read until the source is exhausted or no more frames are wanted."""
        with closing(self._tasks):
            while True:
                if self._slots:
                    self._slots.acquire()
                self.target.check()
                task = next(self._tasks, None)
                if task is None:
                    return
                self.target.put(task)
                del task


class Worker(PipelineThread):
    """The thread of one stage, from the queue `origin` to the queue `target`."""

    def __init__(self, stage: Stage, origin: FrameQueue, target: FrameQueue) -> None:
        super().__init__(stage.name, target)
        self.stage = stage
        self.origin = origin
        self._current: FrameTask | None = None
        self._is_abandoned = False
        self._lock = threading.Lock()

    def fill(self) -> None:
        """Process frames until the queue ends or this thread is abandoned."""
        while True:
            task = self.origin.get()
            assert task is not None
            task.stopwatch.touched = time.monotonic()
            self._current = task
            self.stage.process(task)
            with self._lock:
                if self._is_abandoned:
                    return
                self._current = None
            self.target.put(task)
            del task

    def end(self, error: BaseException | None) -> bool:
        """End the queue unless this thread was abandoned and another fills the queue."""
        with self._lock:
            return True if self._is_abandoned else super().end(error)

    def abandon_if_hung(self, seconds: float) -> bool:
        """Abandon this thread if its frame has made no progress for `seconds`.

        A later result is dropped.
        """
        with self._lock:
            task = self._current
            self._is_abandoned = task is not None and time.monotonic() - task.stopwatch.touched > seconds
            return self._is_abandoned
