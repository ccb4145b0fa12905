"""The loop: frame -> detect -> classify -> track -> output. The one place where the stages meet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .classify import Classifier
from .detect import Detector
from .errors import RunFailure
from .frame import Detections, Frame
from .report import frame_record
from .sink import Sink
from .sources import Source
from .timing import StageClock, peak_memory_mib
from .track import Track, Tracker


@dataclass
class Summary:
    """What a run did.

    Attributes:
        frames, bad_pictures, detections, events: counts.
        classes: ended events by class name.
        seconds: wall time of the loop.
        stages: see `timing.StageClock.table`.
        peak_memory_mib: of the process.
        stopped: whether it was ended from outside before the source was.
        failure: what ended it, if it could not go on; None otherwise.
    """

    frames: int = 0
    bad_pictures: int = 0
    detections: int = 0
    events: int = 0
    classes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    stages: dict[str, dict[str, float]] = field(default_factory=dict)
    peak_memory_mib: float = 0.0
    stopped: bool = False
    failure: RunFailure | None = None


Watcher = Callable[[Frame, Detections, dict[str, Any], Summary], None]


def run(
    source: Source,
    detector: Detector,
    classifier: Classifier,
    output: Sink,
    watch: Watcher,
    stop: Callable[[], bool],
    max_frames: int | None = None,
) -> Summary:
    """Run the loop until the source ends, `stop` says so, or `max_frames` were done.

    Everything is written and closed however it ends; what made it fail is in the summary.

    Args:
        watch: told of every frame: the frame, its named detections, its record, the summary so far.
        stop: asked once a frame.
    """
    clock, summary = StageClock(), Summary()
    tracker = Tracker(source.continuous)
    frames = iter(source)
    try:
        while max_frames is None or summary.frames < max_frames:
            if stop():
                summary.stopped = True
                break
            with clock.stage("read"):
                frame = next(frames, None)
            if frame is None:
                break
            with clock.stage("preprocess"):
                fitted = detector.preprocess(frame.pixels)
            with clock.stage("detect"):
                raw = detector.infer(fitted)
            with clock.stage("decode"):
                found = detector.decode(raw, fitted)
            with clock.stage("classify"):
                named = classifier(frame.pixels, found)
            with clock.stage("track"):
                changed = tracker.update(frame, named)
            record = frame_record(frame, named, classifier.classes, clock.frame_ms, classifier.abstain)
            with clock.stage("write"):
                output.frame(frame, named, record)
                output.events(changed)
            clock.end_frame()
            summary.frames += 1
            summary.detections += len(named)
            summary.events = tracker.count
            _count_classes(changed, classifier.classes, summary)
            summary.seconds = clock.seconds()
            watch(frame, named, record, summary)
    except RunFailure as problem:
        summary.failure = problem
    finally:
        close = getattr(frames, "close", None)
        if close is not None:
            close()  # ends the generator at once, which lets the camera go
        rest = tracker.finish()
        output.events(rest)
        _count_classes(rest, classifier.classes, summary)
        summary.bad_pictures = source.bad
        summary.stages = clock.table()
        summary.peak_memory_mib = peak_memory_mib()
        output.close(summary.frames, source.bad)
    return summary


def _count_classes(changed: list[Track], classes: tuple[str, ...], summary: Summary) -> None:
    """Count the objects that are over by the class that was found in the end."""
    summary.classes.update(classes[int(np.argmax(track.probabilities))] for track in changed if track.ended)
