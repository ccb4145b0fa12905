"""Report each processed frame to the sinks and callbacks."""

from __future__ import annotations

import time

from ..events.frame_record import display_label, frame_record
from ..inference.classifier import Classifier
from ..monitoring.run_stats import RunStats
from ..tracking.track import Track
from ..tracking.tracker import Tracker
from .sink import Sink
from .tasks import FrameCallback, FrameTask
from .trace import TraceFile


class Reporter:
    """The end of the loop: objects are followed, written and shown. Everything in it is called from one thread."""

    def __init__(
        self,
        tracker: Tracker,
        classifier: Classifier,
        output: Sink,
        watch: FrameCallback,
        summary: RunStats,
        trace: TraceFile | None = None,
    ) -> None:
        self._tracker = tracker
        self._classes = classifier.classes
        self._abstain = classifier.abstain_below
        self._output = output
        self._watch = watch
        self._summary = summary
        self._trace = trace

    def tell(self, work: FrameTask) -> None:
        """Follow the frame's objects, write the frame, count it and show it."""
        with work.watch.stage("track"):
            changed: list[Track] = []
            if work.searched:  # an object that was not looked for is not unseen
                changed = self._tracker.update(work.frame, work.named, work.sky, work.sky_seen)
        record = frame_record(work.frame, work.named, self._classes, work.watch.ms, self._abstain)
        if not work.new:
            record["reused"] = True
        with work.watch.stage("write"):
            self._output.frame(work.frame, work.named, record)
            self._output.events(changed)
        if self._trace:
            self._trace.frame(work.frame.number, work.watch.spans)
        self._summary.clock.add(work.watch.ms)
        self._summary.frames += 1
        self._summary.gated += not work.new
        self._summary.views += len(work.views)
        self._summary.detections += len(work.named)
        self._summary.last = time.monotonic()
        self._count(changed)
        self._watch(work.frame, work.named, record, self._summary)

    def close(self, bad: int) -> None:
        """End every object, write what is left, close the output."""
        rest = self._tracker.finish()
        self._output.events(rest)
        self._count(rest)
        self._output.close(self._summary.frames, bad)
        if self._trace:
            self._trace.close()

    def _count(self, changed: list[Track]) -> None:
        """Count objects, and those that are over by the class that was found in the end."""
        self._summary.events = self._tracker.count
        over = [track for track in changed if track.ended and track.confirmed and track.kind == "object"]
        self._summary.classes.update(display_label(track.probabilities, self._classes, self._abstain) for track in over)
