"""Find galaxies in a frame: letterbox, run the detector, decode, suppress doubles."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np

from ...models.bundle import Bundle
from ...models.decode import anchors_from_manifest, decode_boxes, non_maximum_suppression, sigmoid
from ...models.preprocess import ImagePyramid, letterbox
from ..frame import Detections, nothing
from ..system.buffer_pool import FrameBufferPool
from .engine import Engine, RawTensor
from .load import load_engine, select_variant
from .tile_merging import merge

CANDIDATES = 300
POSTPROCESSED = ("detection_boxes", "detection_classes", "detection_scores", "num_detections")
"""Outputs of a network that decodes its boxes itself (TFLite_Detection_PostProcess): y0, x0, y1, x1 in shares of the
input, class numbers, scores, best first, and how many of them count."""


class ModelInput(NamedTuple):
    """A picture fitted into the network's input: (1, H, W, 3) uint8, the scales (x, y), the picture's size."""

    batch: np.ndarray
    scale: tuple[float, float]
    width: int
    height: int


class Detector:
    """A galaxy detector: a bundle in an engine.

    Args:
        bundle: a bundle for the task ``detect``.
        min_score: detections below it are dropped, 0..1; None takes the operating threshold of the bundle.
    """

    def __init__(
        self,
        bundle: Bundle,
        variant: str = "int8",
        engine: str | None = None,
        threads: int = 1,
        min_score: float | None = None,
    ) -> None:
        settings = bundle.manifest["decode"]
        self.bundle = bundle
        self._load = partial(load_engine, bundle, variant, engine, threads)
        self._buffers = FrameBufferPool()
        self.engine: Engine = self._load()
        self.min_score = settings["score_threshold"] if min_score is None else min_score
        self._fill = bundle.manifest["preprocess"]["fill"]
        self._nms_iou = settings["nms_iou"]
        self._limit = settings["max_detections"]
        outputs = [spec.name for spec in select_variant(bundle, variant, engine)[0].outputs]
        self._decoded = POSTPROCESSED[0] in outputs
        self._anchors = (
            np.zeros((0, 4), np.float32) if self._decoded else anchors_from_manifest(settings, *bundle.input_size)
        )

    def preprocess(self, pixels: np.ndarray | ImagePyramid) -> ModelInput:
        """Fit (H, W, 3) uint8 RGB, or the same as `Halves`, into the network's input."""
        width, height = self.bundle.input_size
        canvas, scale = letterbox(pixels, width, height, self._fill, self._buffers.take((height, width, 3)))
        return ModelInput(canvas[None], scale, pixels.shape[1], pixels.shape[0])

    def renew(self) -> None:
        """Load the network into a new engine; the old one is left to what it is doing."""
        self.engine = self._load()

    def infer(self, fitted: ModelInput) -> dict[str, RawTensor]:
        """Run the network; return its raw outputs: ``boxes`` and ``scores``, or those in `POSTPROCESSED`."""
        return self.engine(fitted.batch)

    def decode(self, raw: dict[str, RawTensor], fitted: ModelInput) -> Detections:
        """Turn raw outputs into detections in pixels of the frame, clipped to it, best first."""
        if self._decoded:
            boxes, score = self._read(raw)
            boxes, score = _in_frame(boxes, score, fitted)
            return Detections(boxes[: self._limit], score[: self._limit])
        scores = raw["scores"]
        values = scores.values.reshape(-1)
        # Scores are compared as the network gave them, so that only the few candidates are ever dequantised.
        floor = min(max(self.min_score, 1e-6), 1.0 - 1e-6)
        chosen = np.flatnonzero(values >= scores.floor(float(np.log(floor / (1.0 - floor)))))
        if len(chosen) == 0:
            return nothing()
        if len(chosen) > CANDIDATES:
            chosen = chosen[np.argsort(-values[chosen].astype(np.float32), kind="stable")[:CANDIDATES]]
        score = sigmoid(RawTensor(values, scores.scale, scores.zero_point).real(chosen))
        boxes = decode_boxes(raw["boxes"].real(chosen), self._anchors[chosen])
        boxes, score = _in_frame(boxes, score, fitted)
        kept = non_maximum_suppression(boxes, score, self._nms_iou, self._limit)
        return Detections(boxes[kept], score[kept])

    def _read(self, raw: dict[str, RawTensor]) -> tuple[np.ndarray, np.ndarray]:
        """Read boxes that the network decoded itself; return (N, 4) in input pixels and (N,) scores."""
        count = int(np.clip(raw["num_detections"].real(), 0, len(raw["detection_scores"].values)))
        score = raw["detection_scores"].real()[:count]
        width, height = self.bundle.input_size
        boxes = raw["detection_boxes"].real()[:count, [1, 0, 3, 2]] * np.asarray([width, height] * 2, np.float32)
        kept = np.flatnonzero((score >= self.min_score) & np.isfinite(boxes).all(axis=1))
        return boxes[kept], score[kept]

    def merge(self, views: np.ndarray, found: list[Detections]) -> Detections:
        """Make one list of what was found in several views of a frame, see `tiles.merge`."""
        return merge(views, found, self._nms_iou, self._limit)

    def __call__(self, pixels: np.ndarray) -> Detections:
        """Find galaxies in (H, W, 3) uint8 RGB pixels."""
        fitted = self.preprocess(pixels)
        return self.decode(self.infer(fitted), fitted)


def _in_frame(boxes: np.ndarray, score: np.ndarray, fitted: ModelInput) -> tuple[np.ndarray, np.ndarray]:
    """Take boxes from input pixels to the frame's, clip them to it, and drop those of less than a pixel."""
    boxes = boxes / np.asarray([*fitted.scale, *fitted.scale], np.float32)
    boxes[:, 0::2] = np.clip(boxes[:, 0::2], 0, fitted.width)
    boxes[:, 1::2] = np.clip(boxes[:, 1::2], 0, fitted.height)
    inside = (boxes[:, 2] - boxes[:, 0] >= 1) & (boxes[:, 3] - boxes[:, 1] >= 1)
    return boxes[inside], score[inside]
