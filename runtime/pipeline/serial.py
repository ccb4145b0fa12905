"""Run the stages one after another in a single thread."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from ..sources.source import Source
from ..system.stop_deadline import StopDeadline
from .stages import read_frames
from .tasks import FrameTask, Stage


class Executor(Protocol):
    """Runs the stages on every frame of a source."""

    @property
    def dropped(self) -> int:
        """Frames that a newer one replaced."""
        ...

    @property
    def hung(self) -> int:
        """Frames that were abandoned because their inference did not return."""
        ...

    def __iter__(self) -> Iterator[FrameTask | None]:
        """Yield each frame's task when all stages are done; at times None without one."""
        ...

    def close(self, deadline: StopDeadline) -> None:
        """Release the source, within the deadline of a run that was asked to stop."""
        ...


class SerialExecutor:
    """Runs the stages one after another in the calling thread.

    The results are those of `ThreadedExecutor`.

    Args:
        source: delivers the frames.
        stages: in their order.
        limit: maximum number of frames to read; None for all.
    """

    dropped = 0
    hung = 0

    def __init__(self, source: Source, stages: list[Stage], limit: int | None) -> None:
        self._tasks = read_frames(source, limit)
        self._stages = stages

    def __iter__(self) -> Iterator[FrameTask | None]:
        for task in self._tasks:
            for stage in self._stages:
                stage.process(task)
            yield task

    def close(self, deadline: StopDeadline) -> None:
        """Release the source."""
        self._tasks.close()
