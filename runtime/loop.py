"""The loop, as one sentence: a frame is prepared, searched, named, followed and told of.

Each stage is a function of the frame's work and can be called alone; `pipeline` decides in which thread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from .classify import Classifier
from .detect import Detector, Fitted
from .engine import Output as RawOutput
from .frame import Detections, Frame, nothing
from .output import Output
from .report import frame_record
from .summary import Summary
from .timing import Stopwatch
from .trace import TraceFile
from .track import Track, Tracker


@dataclass
class Work:
    """A frame on its way, and what each stage made of it."""

    frame: Frame
    watch: Stopwatch = field(default_factory=Stopwatch)
    fitted: Fitted | None = None
    raw: dict[str, RawOutput] = field(default_factory=dict)
    named: Detections = field(default_factory=nothing)


class Stage(NamedTuple):
    """One stage: what it does to a frame's work, and how to get over an inference in it that hangs."""

    do: Callable[[Work], None]
    renew: Callable[[], None] | None = None


Watcher = Callable[[Frame, Detections, dict[str, Any], Summary], None]


class Loop:
    """What is done to every frame before it is told of: prepare, search, name."""

    def __init__(self, detector: Detector, classifier: Classifier) -> None:
        self.detector = detector
        self.classifier = classifier

    @property
    def stages(self) -> list[Stage]:
        """The stages in their order."""
        return [Stage(self.prepare), Stage(self.search, self.detector.renew), Stage(self.name, self.classifier.renew)]

    def prepare(self, work: Work) -> None:
        """Fit the frame into the detector's input."""
        with work.watch.stage("preprocess"):
            work.fitted = self.detector.preprocess(work.frame.pixels)

    def search(self, work: Work) -> None:
        """Run the detector."""
        assert work.fitted is not None
        with work.watch.stage("detect"):
            work.raw = self.detector.infer(work.fitted)

    def name(self, work: Work) -> None:
        """Decode what the detector said and classify it."""
        assert work.fitted is not None
        with work.watch.stage("decode"):
            found = self.detector.decode(work.raw, work.fitted)
        with work.watch.stage("classify"):
            work.named = self.classifier(work.frame.pixels, found)


class Teller:
    """The end of the loop: objects are followed, written and shown. Everything in it is called from one thread."""

    def __init__(
        self, tracker: Tracker, classifier: Classifier, output: Output, watch: Watcher, summary: Summary,
        trace: TraceFile | None = None,
    ) -> None:
        self._tracker = tracker
        self._classes = classifier.classes
        self._abstain = classifier.abstain
        self._output = output
        self._watch = watch
        self._summary = summary
        self._trace = trace

    def tell(self, work: Work) -> None:
        """Follow the frame's objects, write the frame, count it and show it."""
        with work.watch.stage("track"):
            changed = self._tracker.update(work.frame, work.named)
        record = frame_record(work.frame, work.named, self._classes, work.watch.ms, self._abstain)
        with work.watch.stage("write"):
            self._output.frame(work.frame, work.named, record)
            self._output.events(changed)
        if self._trace:
            self._trace.frame(work.frame.number, work.watch.spans)
        self._summary.clock.add(work.watch.ms)
        self._summary.frames += 1
        self._summary.detections += len(work.named)
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
        self._summary.classes.update(
            self._classes[int(np.argmax(track.probabilities))] for track in changed if track.ended
        )
