"""Find galaxies in a frame: letterbox, run the detector, decode, suppress doubles."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np

from ..models.bundle import Bundle
from ..models.decode import anchor_grid, decode_boxes, non_maximum_suppression, sigmoid
from ..models.preprocess import letterbox
from .buffers import Buffers
from .engine import Engine, Output, load
from .frame import Detections, nothing
from .tiles import merge

CANDIDATES = 300


class Fitted(NamedTuple):
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
        self, bundle: Bundle, variant: str = "int8", engine: str = "litert", threads: int = 1,
        min_score: float | None = None,
    ) -> None:
        settings = bundle.manifest["decode"]
        self.bundle = bundle
        self._load = partial(load, bundle, variant, engine, threads)
        self._buffers = Buffers()
        self.engine: Engine = self._load()
        self.min_score = settings["score_threshold"] if min_score is None else min_score
        self._fill = bundle.manifest["preprocess"]["fill"]
        self._nms_iou = settings["nms_iou"]
        self._limit = settings["max_detections"]
        self._anchors = anchor_grid(
            *bundle.input_size, settings["min_level"], settings["max_level"], settings["anchor_size"],
            settings["scales_per_octave"], settings["aspect_ratios"],
        )

    def preprocess(self, pixels: np.ndarray, halved: np.ndarray | None = None) -> Fitted:
        """Fit (H, W, 3) uint8 RGB into the network's input.

        Args:
            halved: the same as means of 2x2 pixels, where that is there already: the result is the same to the bit,
                since `models.preprocess.resize` begins with it, and the time is saved.
        """
        width, height = self.bundle.input_size
        canvas = self._buffers.take((height, width, 3))
        rows, columns = pixels.shape[:2]
        if halved is not None and rows % 2 == columns % 2 == 0 and columns >= 2 * width and rows >= 2 * height:
            scale = letterbox(halved, width, height, self._fill, canvas)[1]
            return Fitted(canvas[None], (scale[0] / 2, scale[1] / 2), columns, rows)
        scale = letterbox(pixels, width, height, self._fill, canvas)[1]
        return Fitted(canvas[None], scale, pixels.shape[1], pixels.shape[0])

    def renew(self) -> None:
        """Load the network into a new engine; the old one is left to what it is doing."""
        self.engine = self._load()

    def infer(self, fitted: Fitted) -> dict[str, Output]:
        """Run the network; return its raw outputs ``boxes`` and ``scores``."""
        return self.engine(fitted.batch)

    def decode(self, raw: dict[str, Output], fitted: Fitted) -> Detections:
        """Turn raw outputs into detections in pixels of the frame, clipped to it, best first."""
        scores = raw["scores"]
        values = scores.values.reshape(-1)
        # Scores are compared as the network gave them, so that only the few candidates are ever dequantised.
        floor = min(max(self.min_score, 1e-6), 1.0 - 1e-6)
        chosen = np.flatnonzero(values >= scores.floor(float(np.log(floor / (1.0 - floor)))))
        if len(chosen) == 0:
            return nothing()
        if len(chosen) > CANDIDATES:
            chosen = chosen[np.argsort(-values[chosen].astype(np.float32), kind="stable")[:CANDIDATES]]
        score = sigmoid(Output(values, scores.scale, scores.zero_point).real(chosen))
        boxes = decode_boxes(raw["boxes"].real(chosen), self._anchors[chosen])
        boxes /= np.asarray([*fitted.scale, *fitted.scale], np.float32)
        boxes[:, 0::2] = np.clip(boxes[:, 0::2], 0, fitted.width)
        boxes[:, 1::2] = np.clip(boxes[:, 1::2], 0, fitted.height)
        inside = (boxes[:, 2] - boxes[:, 0] >= 1) & (boxes[:, 3] - boxes[:, 1] >= 1)
        boxes, score = boxes[inside], score[inside]
        kept = non_maximum_suppression(boxes, score, self._nms_iou, self._limit)
        return Detections(boxes[kept], score[kept])

    def merge(self, views: np.ndarray, found: list[Detections]) -> Detections:
        """Make one list of what was found in several views of a frame, see `tiles.merge`."""
        return merge(views, found, self._nms_iou, self._limit)

    def __call__(self, pixels: np.ndarray) -> Detections:
        """Find galaxies in (H, W, 3) uint8 RGB pixels."""
        fitted = self.preprocess(pixels)
        return self.decode(self.infer(fitted), fitted)
