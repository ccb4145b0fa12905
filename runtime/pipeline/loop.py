"""Run a source through the pipeline and report every frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import cv2

from ..errors import RunFailure
from ..monitoring.run_stats import RunStats
from ..sources.source import Source
from ..system.stop_deadline import StopDeadline
from ..system.utc_time import ClockSteps
from ..timing import peak_memory_mib
from ..tracking.tracker import Tracker
from .reporter import Reporter
from .sink import Sink
from .stages import FrameProcessor
from .tasks import FrameCallback, Stage
from .threads import ThreadedExecutor, core_count

if TYPE_CHECKING:
    from .serial import Executor
    from .sky_names import SkyNames
    from .trace import TraceFile


def _executor(overlap: bool) -> Callable[[Source, list[Stage], int | None], Executor]:
    if overlap:
        return ThreadedExecutor
    from .serial import SerialExecutor

    return SerialExecutor


def run_loop(
    source: Source,
    processor: FrameProcessor,
    sink: Sink,
    on_frame: FrameCallback = lambda *_: None,
    should_stop: Callable[[], bool] = lambda: False,
    max_frames: int | None = None,
    *,
    trace: TraceFile | None = None,
    overlap: bool = True,
    deadline: StopDeadline | None = None,
    open_sky_names: Callable[[], SkyNames] | None = None,
) -> RunStats:
    """Process frames until the source ends, a stop is requested or `max_frames` done.

    However the run ends, everything is written and closed; a `RunFailure` is returned in the statistics.

    Args:
        source: delivers the frames.
        processor: preprocesses, detects and classifies.
        sink: takes frames and events; like `on_frame`, called from this thread only.
        on_frame: called after each frame.
        should_stop: called once per frame, and every `threads.IDLE_SECONDS` while there is none.
        max_frames: maximum number of frames; None for all.
        trace: where the spans of every frame are written.
        overlap: whether the stages run at the same time; a serial loop gives the same results in more time.
        deadline: of a run that is asked to stop; None for one of its own.
        open_sky_names: opens the catalogue that names objects; None for no names.
    """
    # Long because the order in which a run starts, fails and closes must be read in one place; many parameters because
    # each is an option of a run that only its loop knows.
    stats = RunStats()
    clock_steps = ClockSteps() if source.live else None
    tracker = Tracker(source.continuous)
    reporter = Reporter(tracker, processor.classifier, sink, on_frame, stats, trace, clock_steps, open_sky_names)
    executor = _executor(overlap)(source, processor.stages, max_frames)

    def update_counts() -> None:
        stats.dropped, stats.hung, stats.reopened = executor.dropped, executor.hung, source.reopened
        stats.seconds = stats.clock.seconds()

    opencv_threads = cv2.getNumThreads()
    if overlap:
        cv2.setNumThreads(max(1, core_count() // 2))  # the stages share the cores; OpenCV's own threads compete
    try:
        for task in executor:
            if should_stop():
                stats.stopped = True
                break
            update_counts()
            if task is None:
                continue
            reporter.report(task)
            del task  # no frame is held while the next is waited for
            if stats.frames == max_frames:
                break
    except RunFailure as failure:
        stats.failure = failure
    finally:
        cv2.setNumThreads(opencv_threads)
        executor.close(deadline or StopDeadline())
        update_counts()
        stats.bad_pictures = source.bad
        stats.peak_memory_mib = peak_memory_mib()
        reporter.close(source.bad)
    return stats
