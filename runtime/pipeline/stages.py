"""The stages of the pipeline: preprocess, detect and classify each frame.

Each stage works on a frame's task and can be called alone; an executor (`serial`, `threads`) decides in which thread.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import cached_property
from itertools import count, islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...models.preprocess import ImagePyramid
from ..frame import Detections
from ..imaging.change_gate import ChangeGate
from ..imaging.developed import stretch_of
from ..imaging.field_motion import FieldMotion
from ..imaging.sky_motion import grey_thumbnail
from ..imaging.tiling import TileSelector
from ..inference.classifier import Classifier
from ..inference.detector import Detector, ModelInput
from ..monitoring.controls import Controls
from ..sources.source import Source
from ..timing import Stopwatch
from .tasks import FrameTask, Stage

if TYPE_CHECKING:
    from ..astrometry import FramePositions
    from ..imaging.exposures import StackedExposures
    from ..imaging.stacking import Stack
    from ..inference.raw_detector import RawDetector


class ViewOptions(NamedTuple):
    """Which parts of which frames the detector sees.

    Attributes:
        tiles: ``auto``, ``off`` or columns x rows, see `imaging.tiling.TileSelector`.
        gate: maximum time in seconds for which a frame that is like the last may share its result; 0 for never.
        stack: number of frames that are aligned and averaged; 1 for none. A stack improves with every frame, so there
            is no gate then.
    """

    tiles: str = "auto"
    gate: float = 0.0
    stack: int = 1

    def why_no_gate(self, continuous: bool) -> str:
        """Return why the gate has no effect.

        "" if frames are consecutive and not stacked.
        """
        if not continuous:
            return "the images are not consecutive"
        return "frames are stacked" if self.stack > 1 else ""


class FrameProcessor:
    """The stages before a frame is reported: preprocess, detect, classify.

    Args:
        detector, classifier: the two networks.
        continuous: whether frames are consecutive; if not, there is nothing to stack, and no gate.
        views: which parts of which frames the detector sees.
        controls: settings that may be changed during the run.
        save_input: called with the numbers of the frame and the view, and the pixels that the detector is given; they
            are only lent for the call.
        show_inputs: called with the views of a frame, the inputs made of them, and the detections; as `save_input`.
        load_raw_detector: called at the first frame in linear light; None if `detector` is for those too.
        positions: finds where frames are on the sky; None to leave that out.

    Attributes:
        raw_detector: the detector of frames in linear light, once there was one.
    """

    def __init__(  # Many parameters because each is a part of the run that is made elsewhere
        self,
        detector: Detector,
        classifier: Classifier,
        continuous: bool,
        views: ViewOptions,
        controls: Controls | None = None,
        save_input: Callable[[int, int, np.ndarray], None] | None = None,
        load_raw_detector: Callable[[], RawDetector] | None = None,
        show_inputs: Callable[[np.ndarray, Sequence[ModelInput], Detections], None] | None = None,
        positions: FramePositions | None = None,
    ) -> None:
        self.detector = detector
        self.raw_detector: RawDetector | None = None
        self._load_raw_detector = load_raw_detector
        self.classifier = classifier
        self._tiles = TileSelector(views.tiles)
        self._motion = FieldMotion() if continuous else None
        self._gate = ChangeGate(views.gate) if continuous and views.gate else None
        self._controls = controls or Controls()
        if self._controls.default_min_score is None:
            self._controls.default_min_score = getattr(detector, "default_min_score", None)
        self._min_score = detector.min_score  # a change of the control counts for both detectors
        self._save_input = save_input
        self._show_inputs = show_inputs
        self._positions = positions
        self._depth = views.stack
        self._last_shape: tuple[int, ...] = ()
        self._empty = Detections.empty().with_probabilities(np.zeros((0, len(classifier.classes)), np.float32))
        self._last_detections = self._empty

    @property
    def stages(self) -> list[Stage]:
        """The stages in their order."""
        return [
            Stage(self.preprocess),
            Stage(self.detect, self._reload_detectors),
            Stage(self.classify, self.classifier.reload_engine),
        ]

    @cached_property
    def _exposures(self) -> StackedExposures:
        from ..imaging.exposures import StackedExposures

        return StackedExposures()

    @cached_property
    def _stack(self) -> Stack:
        from ..imaging.stacking import Stack  # most runs have no stack

        return Stack(self._depth)

    def preprocess(self, task: FrameTask) -> None:
        """Register and stack the frame, select its views, fit them to the detector."""
        depth = self._controls.stack or self._depth
        task.is_searched = not self._controls.paused
        with task.stopwatch.stage("glance"):
            pyramid = ImagePyramid(task.frame.pixels)
            stacking = self._motion is not None and depth > 1
            thumbnail = self._register(task, pyramid, stacking)
        if stacking:
            assert thumbnail is not None
            with task.stopwatch.stage("stack"):
                self._stack.depth = depth
                stack = self._stack.add(task.frame, thumbnail, task.sky)
                task.frame = self._exposures.add(task.frame, stack)
                pyramid = ImagePyramid(task.frame.pixels)
        if self._positions:
            with task.stopwatch.stage("sky"):
                task.solution, task.sky_note = self._positions.locate(
                    task.frame, task.sky, task.sky_seen, task.star_field
                )
        if task.is_new and task.is_searched:
            with task.stopwatch.stage("tiles"):
                side = min(self._detector_of(task).bundle.input_size)
                task.views = self._tiles.select(task.frame.pixels, side, stretch_of(task.frame))
        with task.stopwatch.stage("preprocess"):
            self._fit_views(task, pyramid)
        if self._save_input:
            for number, model_input in enumerate(task.inputs):
                self._save_input(task.frame.number, number, model_input.batch[0])

    def _register(self, task: FrameTask, pyramid: ImagePyramid, stacking: bool) -> np.ndarray | None:
        """Measure how the sky has moved and whether the frame is new.

        Return its thumbnail where one was made.
        """
        if self._motion is None:
            return None
        gate = self._gate if task.is_searched and not stacking else None
        needs_update = stacking or self._motion.needs_update or pyramid.shape != self._last_shape
        needs_update = needs_update or self._motion.has_jumped(task.frame.pixels)
        thumbnail = grey_thumbnail(pyramid) if needs_update or gate else None
        self._last_shape = pyramid.shape
        task.is_new = gate is None or thumbnail is None or gate.has_changed(thumbnail, task.frame.time)
        if thumbnail is not None and needs_update and task.is_new:  # if nothing is new, the sky has not moved
            self._motion.update(thumbnail, task.frame.width // thumbnail.shape[1])
            self._motion.watch_stars(task.frame.pixels)
        elif task.is_new:
            self._motion.extrapolate()
        task.sky, task.sky_seen, task.star_field = self._motion.sky, self._motion.seen, self._motion.field
        task.is_trailed = self._motion.is_trailed
        return thumbnail

    def _fit_views(self, task: FrameTask, pyramid: ImagePyramid) -> None:
        """Fit each view into the detector's input.

        The first is the whole frame, which shares the pyramid.
        """
        pixels, detector = task.frame.pixels, self._detector_of(task)
        task.inputs = [
            detector.preprocess(pixels[y0:y1, x0:x1] if number else pyramid)
            for number, (x0, y0, x1, y1) in enumerate(task.views)
        ]

    def detect(self, task: FrameTask) -> None:
        """Run the detector on every view."""
        detector = self._detector_of(task)
        for model_input in task.inputs:
            with task.stopwatch.stage("detect"):
                task.raw.append(detector.infer(model_input))

    def _detector_of(self, task: FrameTask) -> Detector:
        """Return the detector for a frame; linear frames may have another one."""
        if task.frame.planes is None or self._load_raw_detector is None:
            return self.detector
        if self.raw_detector is None:
            self.raw_detector = self._load_raw_detector()
        return self.raw_detector

    def _apply_min_score(self) -> None:
        """Give the detectors the control's minimum score once it was changed."""
        if self._controls.min_score not in (None, self._min_score):
            self._min_score = self._controls.min_score
            for detector in filter(None, (self.detector, self.raw_detector)):
                detector.set_min_score(self._min_score)

    def _reload_detectors(self) -> None:
        """Load the engines of both detectors again."""
        self.detector.reload_engine()
        if self.raw_detector is not None:
            self.raw_detector.reload_engine()

    def classify(self, task: FrameTask) -> None:
        """Decode the detector's output and classify it.

        A frame that is not new gets the last result.
        """
        if task.inputs:
            self._apply_min_score()
            detector = self._detector_of(task)
            with task.stopwatch.stage("decode"):
                found = [
                    detector.decode(raw, view, number > 0)
                    for number, (raw, view) in enumerate(zip(task.raw, task.inputs, strict=True))
                ]
                merged = detector.fuse(task.frame.pixels, task.views, found, stretch_of(task.frame))
            with task.stopwatch.stage("classify"):
                self._last_detections = self.classifier(task.frame.pixels, merged)
            if self._show_inputs:
                self._show_inputs(task.views, task.inputs, self._last_detections)
        task.detections = self._empty if task.is_new and not task.inputs else self._last_detections


def read_frames(source: Source, limit: int | None) -> Generator[FrameTask]:
    """Read up to `limit` frames, timed.

    Closing the generator releases the source at once.
    """
    frames = iter(source)
    try:
        for _ in islice(count(), limit):
            stopwatch = Stopwatch()
            with stopwatch.stage("read"):
                frame = next(frames, None)
            if frame is None:
                return
            yield FrameTask(frame, stopwatch)
            del frame, stopwatch  # nothing is held while the next frame is read
    finally:
        close = getattr(frames, "close", None)
        if close is not None:
            close()  # ends the source's generator, which releases the camera
