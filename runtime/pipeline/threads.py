"""Run the stages at the same time, each in its own thread.

::

    read -> preprocess -> detect -> classify -> report
    each arrow hands over one frame; the last stage runs in the thread that called `run_loop`

The native calls release the interpreter's lock, so the stages overlap; frames stay in order, since each stage has one
thread. The queue behind a live camera keeps the newest frame and counts the frames that it drops (``latest``), and a
stage then waits until its frame is taken, so that no frame grows old in a queue. For a file, every frame is processed
(``all``), with the same results as a serial loop; the next frame is read only when fewer than `max_in_flight` are in
the pipeline, which bounds the memory, and no stage waits for the next one to take its result. The images of a folder
are decoded by several threads (`decoder_threads`), since a large JPEG takes longer than everything else.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator

from ..errors import RunFailure
from ..sources.source import Source
from ..system.stop_deadline import KEEP_FOR_SINKS, StopDeadline
from .queues import EndOfStream, FrameQueue
from .stages import read_frames
from .tasks import FrameTask, Stage
from .workers import PipelineThread, Reader, Worker

IDLE_SECONDS = 0.1
"""Interval at which the caller is asked whether to stop while no frame comes."""
PARTING_SECONDS = 0.5
"""Maximum time that the end of a run waits for the threads."""
HANG_SECONDS = 10.0
"""Time after which an inference is considered hung: a detector on a slow board takes half a second."""
MAX_HANGS = 3
"""Number of successive inferences that may hang before the run ends, so that a service manager restarts it."""


def core_count() -> int:
    """Return the number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0))


def max_in_flight() -> int:
    """Return the maximum number of a file's frames in the pipeline.

    It is one per core plus one, and at most one per thread.
    """
    return min(5, core_count() + 1)


def decoder_threads() -> int:
    """Return the number of threads that decode a folder's images.

    Two are as fast as the detector, if there are cores for them.
    """
    return min(2, core_count())


class ThreadedExecutor:
    """Runs the stages at the same time.

    Args:
        source: delivers the frames.
        stages: in their order.
        limit: maximum number of frames to process; None for all. More may be read of a live source.

    Attributes:
        hung: frames that were abandoned because their inference did not return.
    """

    def __init__(self, source: Source, stages: list[Stage], limit: int | None) -> None:
        self.hung = 0
        self._hung_in_a_row = 0
        first = FrameQueue(newest_only=source.live)
        self._queues = [first, *(FrameQueue(wait_until_taken=source.live) for _ in stages)]
        self._slots = None if source.live else threading.Semaphore(max_in_flight())
        # More frames of a live camera are read than processed.
        tasks = read_frames(source, None if source.live else limit)
        self._threads: list[PipelineThread] = [Reader(tasks, first, self._slots)]
        self._threads += [Worker(stage, *self._queues[index : index + 2]) for index, stage in enumerate(stages)]

    @property
    def dropped(self) -> int:
        """Frames that a newer one replaced."""
        return self._queues[0].dropped

    def __iter__(self) -> Iterator[FrameTask | None]:
        """Yield each frame's task when all stages are done, or None while idle.

        None is yielded every `IDLE_SECONDS` while no task is done.
        """
        for thread in self._threads:
            thread.start()
        try:
            while True:
                task = self._queues[-1].get(IDLE_SECONDS)
                if task is None:
                    self._replace_hung()
                    yield None
                    continue
                self._hung_in_a_row = 0
                yield task
                del task
                self._free_slot()
        except EndOfStream as end:
            if end.error is not None:
                raise end.error from None

    def close(self, deadline: StopDeadline) -> None:
        """Drop the frames in flight and wait `PARTING_SECONDS` for the threads.

        A hung thread is abandoned.
        """
        for queue in self._queues:
            queue.abort()
        self._free_slot()  # the reader may wait for one
        end = time.monotonic() + deadline.limit(PARTING_SECONDS, keep=KEEP_FOR_SINKS)
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, end - time.monotonic()))

    def _free_slot(self) -> None:
        if self._slots:
            self._slots.release()

    def _replace_hung(self) -> None:
        """Replace each thread whose inference hangs by a new one with a new engine.

        Raises:
            RunFailure: this was the last of `MAX_HANGS` in a row.
        """
        for index, thread in enumerate(self._threads):
            if not isinstance(thread, Worker) or thread.stage.reload_engine is None:
                continue
            if not thread.abandon_if_hung(HANG_SECONDS):
                continue
            self.hung += 1
            self._hung_in_a_row += 1
            if self._hung_in_a_row == MAX_HANGS:
                raise RunFailure(f"the stage {thread.name} hung {MAX_HANGS} times in a row, {HANG_SECONDS:.0f} s each")
            thread.stage.reload_engine()
            self._free_slot()
            self._threads[index] = Worker(thread.stage, thread.origin, thread.target)
            self._threads[index].start()
