"""Report each processed frame: track objects, write to sinks, count, call back."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from ..events.frame_record import display_label, frame_record
from ..inference.classifier import Classifier
from ..monitoring.run_stats import RunStats
from ..tracking.track import Track
from ..tracking.tracker import Tracker
from .sink import Sink
from .tasks import FrameCallback, FrameTask

if TYPE_CHECKING:
    from ...sky.position import SkyPosition
    from ..system.utc_time import ClockSteps
    from .sky_names import SkyNames
    from .trace import TraceFile

logger = logging.getLogger(__name__)


class Reporter:
    """The last stage of the pipeline; all of it is called from one thread.

    Args:
        tracker: joins the detections of successive frames.
        classifier: names the classes.
        sink: takes frames and events.
        on_frame: called after each frame.
        stats: counts of the run, updated here.
        trace: where the spans of every frame are written.
        clock_steps: of a live source, whose frames have the time of the machine's clock; None for others.
        open_sky_names: opens the catalogue, at the first frame with a position on the sky.
    """

    def __init__(
        self,
        tracker: Tracker,
        classifier: Classifier,
        sink: Sink,
        on_frame: FrameCallback,
        stats: RunStats,
        trace: TraceFile | None = None,
        clock_steps: ClockSteps | None = None,
        open_sky_names: Callable[[], SkyNames] | None = None,
    ) -> None:
        # Many parameters because each is a part of the run that is made before, and only used here.
        self._tracker = tracker
        self._classes = classifier.classes
        self._abstain_below = classifier.abstain_below
        self._sink = sink
        self._on_frame = on_frame
        self._stats = stats
        self._trace = trace
        self._clock_steps = clock_steps
        self._open_sky_names = open_sky_names
        self._sky_names: SkyNames | None = None
        self._ended_as: dict[int, str] = {}  # names that ended events are counted by

    def report(self, task: FrameTask) -> None:
        """Track the frame's objects, write the frame, count it and call back."""
        if task.solution is not None:
            task.frame = replace(task.frame, wcs=task.solution.wcs)
        with task.stopwatch.stage("track"):
            step = self._correct_time(task)
            corrected = self._tracker.move_times(step) if step else []
            changed: list[Track] = []
            positions = self._positions(task)
            if task.is_searched:  # without a search, objects do not count as unseen
                changed = self._tracker.update(
                    task.frame,
                    task.detections,
                    task.sky,
                    task.sky_seen,
                    task.star_field,
                    task.is_trailed,
                    positions,
                )
        reused, ms = not task.is_new, task.stopwatch.ms
        record = frame_record(task.frame, task.detections, self._classes, ms, self._abstain_below, reused, positions)
        if step:
            record = replace(record, clock_step=step)
        changed += [track for track in corrected if all(track is not other for other in changed)]
        with task.stopwatch.stage("write"):
            self._sink.frame(task.frame, task.detections, record)
            self._sink.events(changed)
        if self._trace:
            self._trace.frame(task.frame.number, task.stopwatch.spans)
        self._count_frame(task)
        self._count_events(changed)
        self._on_frame(task.frame, task.detections, record, self._stats)

    def close(self, bad: int) -> None:
        """End every object, write the remaining events, close the sink and the trace."""
        remaining = self._tracker.finish()
        self._sink.events(remaining)
        self._count_events(remaining)
        self._sink.close(self._stats.frames, bad)
        if self._trace:
            self._trace.close()

    def _positions(self, task: FrameTask) -> list[SkyPosition]:
        """Return the positions of a frame's detections on the sky, and name these."""
        if task.solution is None and task.sky_note and self._sky_names is None:  # needs no catalogue
            from ...sky.position import SkyPosition

            return [SkyPosition(sky_note=task.sky_note)] * len(task.detections)
        if self._open_sky_names is None or not (task.solution or task.sky_note):
            return []
        if self._sky_names is None:
            self._sky_names = self._open_sky_names()
            self._tracker.identity = self._sky_names.identity
        positions = self._sky_names.positions(task)
        if any(position.object_name for position in positions):
            task.detections = replace(task.detections, names=tuple(position.label for position in positions))
        return positions

    def _correct_time(self, task: FrameTask) -> float:
        """Return by how many seconds the clock was set since the last frame, or 0.

        The time of a frame that was read before and is processed after it is corrected.
        """
        if self._clock_steps is None:
            return 0.0
        step = self._clock_steps.step()
        if step:
            logger.warning("the clock was set by %+.0f s; the times of this run's events are corrected", step)
        time = self._clock_steps.corrected(task.frame.time)
        if time != task.frame.time:
            task.frame = replace(task.frame, time=time)
        return step

    def _count_frame(self, task: FrameTask) -> None:
        self._stats.clock.add(task.stopwatch.ms)
        self._stats.frames += 1
        self._stats.gated += not task.is_new
        self._stats.views += len(task.views)
        self._stats.detections += len(task.detections)

    def _count_events(self, changed: list[Track]) -> None:
        """Count objects; those that have ended are counted by their final name as well.

        An event that is resumed and ends again is counted once.
        """
        self._stats.events = self._tracker.count
        for track in changed:
            if not (track.ended and track.confirmed):
                continue
            name = track.sky.label if track.sky else ""
            if not track.is_galaxy:
                if track.sky and not track.sky.is_galaxy:
                    self._stats.not_galaxies.add(name)
                continue
            name = name or display_label(track.probabilities, self._classes, self._abstain_below)
            if before := self._ended_as.get(track.number):
                self._stats.classes.subtract([before])
                self._stats.classes += Counter()  # drops what is at 0
            self._stats.classes[name] += 1
            if track.sky and track.sky.object_id:
                self._ended_as[track.number] = name
                self._stats.catalogued.add(track.sky.label)
