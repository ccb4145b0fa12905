"""The loop, as one sentence: a frame is prepared, searched, named, followed and told of.

Each stage is a function of the frame's work and can be called alone; `pipeline` decides in which thread.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from itertools import count, islice

import numpy as np

from ...models.preprocess import ImagePyramid
from ..frame import Detections
from ..imaging.change_gate import ChangeGate
from ..imaging.sky_motion import SkyMotion, grey_thumbnail
from ..imaging.stacking import Stack
from ..imaging.tiling import TileSelector
from ..inference.classifier import Classifier
from ..inference.detector import Detector
from ..monitoring.controls import Controls
from ..sources.source import Source
from ..timing import Stopwatch
from .tasks import FrameTask, Stage


@dataclass(frozen=True)
class ViewOptions:
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


class FrameProcessor:
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
        looks: ViewOptions,
        controls: Controls | None = None,
    ) -> None:
        self.detector = detector
        self.classifier = classifier
        self._tiles = TileSelector(looks.tiles, min(detector.bundle.input_size))
        self._motion = SkyMotion() if continuous else None
        self._shape: tuple[int, ...] = ()
        self._controls = controls or Controls()
        self._depth = looks.stack
        self.stack = Stack(looks.stack)
        self._gate = ChangeGate(looks.gate) if continuous and looks.gate else None
        self._last = self._nothing = Detections.empty().with_probabilities(
            np.zeros((0, len(classifier.classes)), np.float32)
        )

    @property
    def stages(self) -> list[Stage]:
        """The stages in their order."""
        return [
            Stage(self.prepare),
            Stage(self.search, self.detector.reload_engine),
            Stage(self.name, self.classifier.reload_engine),
        ]

    def prepare(self, work: FrameTask) -> None:
        """See how the sky has moved, what is new, and fit what is worth a look into the detector's input."""
        self.stack.depth, paused = self._controls.stack or self._depth, self._controls.paused
        stacking = self._motion is not None and self.stack.depth > 1
        work.searched = not paused
        with work.watch.stage("glance"):
            halves = ImagePyramid(work.frame.pixels)
            if self._motion:
                gate = None if stacking or paused else self._gate
                due = stacking or self._motion.needs_update or halves.shape != self._shape
                small, self._shape = grey_thumbnail(halves) if due or gate else None, halves.shape
                work.new = gate is None or small is None or gate.has_changed(small, work.frame.time)
                if small is not None and due and work.new:  # where nothing is new, the sky has not moved either
                    self._motion.update(small, work.frame.width // small.shape[1])
                elif work.new:
                    self._motion.extrapolate()
                work.sky, work.sky_seen = self._motion.sky, self._motion.seen
        if stacking:
            assert small is not None
            with work.watch.stage("stack"):
                work.frame = self.stack.add(work.frame, small, work.sky)
                halves = ImagePyramid(work.frame.pixels)
        pixels = work.frame.pixels
        if work.new and not paused:
            with work.watch.stage("tiles"):
                work.views = self._tiles.select(pixels)
        with work.watch.stage("preprocess"):
            work.fitted = [
                self.detector.preprocess(pixels[y0:y1, x0:x1] if number else halves)
                for number, (x0, y0, x1, y1) in enumerate(work.views)
            ]

    def search(self, work: FrameTask) -> None:
        """Run the detector on every view."""
        for fitted in work.fitted:
            with work.watch.stage("detect"):
                work.raw.append(self.detector.infer(fitted))

    def name(self, work: FrameTask) -> None:
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


def read(source: Source, limit: int | None) -> Generator[FrameTask]:
    """Read frames, timed; let the source go at once when this is closed."""
    frames = iter(source)
    try:
        for _ in islice(count(), limit):
            watch = Stopwatch()
            with watch.stage("read"):
                frame = next(frames, None)
            if frame is None:
                return
            yield FrameTask(frame, watch)
            del frame, watch  # nothing is held while the next is read
    finally:
        close = getattr(frames, "close", None)
        if close is not None:
            close()  # ends the generator at once, which lets the camera go
