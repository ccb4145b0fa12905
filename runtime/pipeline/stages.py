"""The loop, as one sentence: a frame is prepared, searched, named, followed and told of.

Each stage is a function of the frame's work and can be called alone; `pipeline` decides in which thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Any, NamedTuple

import numpy as np

from ...models.preprocess import Halves
from ..events.frame_record import frame_record, label
from ..frame import Detections, Frame, nothing
from ..imaging.change_gate import Gate
from ..imaging.sky_motion import STILL, SkyMotion, glance
from ..imaging.stacking import Stack
from ..imaging.tiling import Tiles
from ..inference.classifier import Classifier
from ..inference.detector import Detector, Fitted
from ..inference.engine import Output as RawOutput
from ..monitoring.controls import Controls
from ..monitoring.run_stats import Summary
from ..sources.image_files import Source
from ..timing import Stopwatch
from ..tracking.tracker import Track, Tracker
from .sink import Sink
from .trace import TraceFile


@dataclass
class Work:
    """A frame on its way, and what each stage made of it; `searched` is false where the run is paused."""

    frame: Frame
    watch: Stopwatch = field(default_factory=Stopwatch)
    sky: np.ndarray = field(default_factory=lambda: STILL)
    sky_seen: bool = True
    searched: bool = True
    new: bool = True
    views: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), int))
    fitted: list[Fitted] = field(default_factory=list)
    raw: list[dict[str, RawOutput]] = field(default_factory=list)
    named: Detections = field(default_factory=nothing)


class Stage(NamedTuple):
    """One stage: what it does to a frame's work, and how to get over an inference in it that hangs."""

    do: Callable[[Work], None]
    renew: Callable[[], None] | None = None


Watcher = Callable[[Frame, Detections, dict[str, Any], Summary], None]


@dataclass(frozen=True)
class Looks:
    """How frames are looked at.

    Attributes:
        tiles: ``off``, ``auto`` or columns x rows, see `tiles.Tiles`.
        stack: frames that are laid upon each other; 1 for none. A stack grows deeper with every frame, so there is no
            gate then.
        gate: seconds for which a frame that is like the last may share its result; 0 for never.
    """

    tiles: str = "off"
    gate: float = 0.0
    stack: int = 1

    def why_no_gate(self, continuous: bool) -> str:
        """Say why a gate has nothing to do, if it has not: ``""`` where frames follow from each other, one by one."""
        if not continuous:
            return "the pictures do not follow from each other"
        return "frames are stacked" if self.stack > 1 else ""


class Loop:
    """What is done to every frame before it is told of: prepare, search, name.

    Args:
        continuous: whether frames follow from each other; if not, there is nothing to stack either.

    Attributes:
        stack: the stack, where frames are stacked.
    """

    def __init__(
        self,
        detector: Detector,
        classifier: Classifier,
        continuous: bool,
        looks: Looks,
        controls: Controls | None = None,
    ) -> None:
        self.detector = detector
        self.classifier = classifier
        self._tiles = Tiles(looks.tiles, min(detector.bundle.input_size))
        self._motion = SkyMotion() if continuous else None
        self._shape: tuple[int, ...] = ()
        self._controls = controls or Controls()
        self._depth = looks.stack
        self.stack = Stack(looks.stack)
        self._gate = Gate(looks.gate) if continuous and looks.gate else None
        self._last = self._nothing = nothing().named(np.zeros((0, len(classifier.classes)), np.float32))

    @property
    def stages(self) -> list[Stage]:
        """The stages in their order."""
        return [Stage(self.prepare), Stage(self.search, self.detector.renew), Stage(self.name, self.classifier.renew)]

    def prepare(self, work: Work) -> None:
        """See how the sky has moved, what is new, and fit what is worth a look into the detector's input."""
        self.stack.depth, paused = self._controls.stack or self._depth, self._controls.paused
        stacking = self._motion is not None and self.stack.depth > 1
        work.searched = not paused
        with work.watch.stage("glance"):
            halves = Halves(work.frame.pixels)
            if self._motion:
                gate = None if stacking or paused else self._gate
                due = stacking or self._motion.due or halves.shape != self._shape
                small, self._shape = glance(halves) if due or gate else None, halves.shape
                work.new = gate is None or small is None or gate.is_new(small, work.frame.time)
                if small is not None and due and work.new:  # where nothing is new, the sky has not moved either
                    self._motion.update(small, work.frame.width // small.shape[1])
                elif work.new:
                    self._motion.go_on()
                work.sky, work.sky_seen = self._motion.sky, self._motion.seen
        if stacking:
            assert small is not None
            with work.watch.stage("stack"):
                work.frame = self.stack.add(work.frame, small, work.sky)
                halves = Halves(work.frame.pixels)
        pixels = work.frame.pixels
        if work.new and not paused:
            with work.watch.stage("tiles"):
                work.views = self._tiles.views(pixels)
        with work.watch.stage("preprocess"):
            work.fitted = [
                self.detector.preprocess(pixels[y0:y1, x0:x1] if number else halves)
                for number, (x0, y0, x1, y1) in enumerate(work.views)
            ]

    def search(self, work: Work) -> None:
        """Run the detector on every view."""
        for fitted in work.fitted:
            with work.watch.stage("detect"):
                work.raw.append(self.detector.infer(fitted))

    def name(self, work: Work) -> None:
        """Decode what the detector said and classify it; what is not new is what was last found."""
        if work.fitted:
            if self._controls.min_score is not None:
                self.detector.min_score = self._controls.min_score
            with work.watch.stage("decode"):
                found = [self.detector.decode(raw, fitted) for raw, fitted in zip(work.raw, work.fitted, strict=True)]
                one = found[0] if len(found) == 1 else self.detector.merge(work.views, found)
            with work.watch.stage("classify"):
                self._last = self.classifier(work.frame.pixels, one)
        work.named = self._nothing if work.new and not work.fitted else self._last


def read(source: Source, limit: int | None) -> Generator[Work]:
    """Read frames, timed; let the source go at once when this is closed."""
    frames = iter(source)
    try:
        for _ in islice(count(), limit):
            watch = Stopwatch()
            with watch.stage("read"):
                frame = next(frames, None)
            if frame is None:
                return
            yield Work(frame, watch)
            del frame, watch  # nothing is held while the next is read
    finally:
        close = getattr(frames, "close", None)
        if close is not None:
            close()  # ends the generator at once, which lets the camera go


class InTurn:
    """The stages one after the other, in this thread; `pipeline` has them at once."""

    dropped = hung = 0

    def __init__(self, source: Source, stages: list[Stage], limit: int | None) -> None:
        self._works = read(source, limit)
        self._stages = stages

    def __iter__(self) -> Iterator[Work | None]:
        for work in self._works:
            for stage in self._stages:
                stage.do(work)
            yield work

    def close(self) -> None:
        """Let the source go."""
        self._works.close()


class Teller:
    """The end of the loop: objects are followed, written and shown. Everything in it is called from one thread."""

    def __init__(
        self,
        tracker: Tracker,
        classifier: Classifier,
        output: Sink,
        watch: Watcher,
        summary: Summary,
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
        self._summary.classes.update(label(track.probabilities, self._classes, self._abstain) for track in over)
