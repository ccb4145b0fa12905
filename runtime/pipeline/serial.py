"""Run the stages one after another in a single thread."""

from __future__ import annotations

from collections.abc import Iterator

from ..sources.source import Source
from .stages import read
from .tasks import FrameTask, Stage


class SerialExecutor:
    """The stages one after the other, in this thread; `pipeline` has them at once."""

    dropped = hung = 0

    def __init__(self, source: Source, stages: list[Stage], limit: int | None) -> None:
        self._works = read(source, limit)
        self._stages = stages

    def __iter__(self) -> Iterator[FrameTask | None]:
        for work in self._works:
            for stage in self._stages:
                stage.do(work)
            yield work

    def close(self) -> None:
        """Let the source go."""
        self._works.close()
