"""Find galaxies: letterbox, run the detector, decode, suppress duplicates."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...models.bundle import Bundle
from ...models.decode import anchors_from_manifest, average_boxes, decode_boxes, non_maximum_suppression, sigmoid
from ...models.manifest import BundleError
from ...models.preprocess import ImagePyramid, letterbox
from ..frame import Detections
from ..system.buffer_pool import FrameBufferPool
from .bundles import DETECTOR, bundle_or_shipped
from .engine import Engine, RawTensor
from .load import load_engine, select_variant
from .tile_merging import merge

if TYPE_CHECKING:
    from ...models.raw.stretch import Stretch

CANDIDATES = 300
"""Maximum number of boxes that are decoded; the best are taken."""
POSTPROCESSED = ("detection_boxes", "detection_classes", "detection_scores", "num_detections")
"""Outputs of a network that decodes its boxes itself (TFLite_Detection_PostProcess): boxes y0, x0, y1, x1 as fractions
of the input, class numbers, scores, best first, and the number of valid rows."""

logger = logging.getLogger(__name__)


class ModelInput(NamedTuple):
    """An image in the format of the network's input.

    Attributes:
        batch: (1, H, W, 3) uint8.
        scale: input pixels per image pixel, x and y.
        width, height: of the image.
    """

    batch: np.ndarray
    scale: tuple[float, float]
    width: int
    height: int


class Detector:
    """A galaxy detector: a bundle in an engine.

    Args:
        bundle: a bundle for the task ``detect``, or its folder; None for the shipped one.
        variant: of the network, e.g. ``int8`` or ``fp32``.
        engine: one of `ENGINE_NAMES`; None for the preferred one of the variant.
        threads: threads of an inference, at least 1.
        min_score: minimum score of a detection, 0..1; None for the operating thresholds of the bundle.

    Attributes:
        bundle: as given, or loaded.
        engine: runs the network.
        min_score: minimum score in a whole frame.
        default_min_score: the bundle's own minimum score in a whole frame.
        tile_min_score: minimum score in a tile of a large frame.
    """

    def __init__(
        self,
        bundle: Bundle | str | Path | None = None,
        variant: str = "int8",
        engine: str | None = None,
        threads: int = 1,
        min_score: float | None = None,
    ) -> None:
        bundle = bundle_or_shipped(bundle, DETECTOR)
        settings = bundle.manifest.detector_decode
        self.bundle = bundle
        self._load = partial(load_engine, bundle, variant, engine, threads)
        self._buffers = FrameBufferPool()
        self.engine: Engine = self._load()
        self.min_score = settings.score_threshold
        self.default_min_score = self.min_score
        self.tile_min_score = self.min_score if settings.tile_threshold is None else settings.tile_threshold
        if min_score is not None:
            self.set_min_score(min_score)
        self._has_warned = False
        self._fill = bundle.manifest.preprocess.fill
        self._nms_iou = settings.nms_iou
        self._limit = settings.max_detections
        outputs = {spec.name: spec.shape for spec in select_variant(bundle, variant, engine)[0].outputs}
        self._is_decoded = POSTPROCESSED[0] in outputs
        self._anchors = np.zeros((0, 4), np.float32)
        if settings.anchors is not None and not self._is_decoded:
            self._anchors = anchors_from_manifest(settings.anchors, *bundle.input_size)
        self._galaxy_class = _galaxy_class(bundle)
        if not self._is_decoded:
            columns = outputs["scores"][2] if len(outputs["scores"]) == 3 else 1
            if columns != len(bundle.classes):
                raise BundleError(
                    f"{bundle.path} gives scores of {columns} classes, and its manifest has {len(bundle.classes)}"
                )

    def preprocess(self, pixels: np.ndarray | ImagePyramid) -> ModelInput:
        """Fit (H, W, 3) uint8 RGB, or its `ImagePyramid`, into the network's input."""
        width, height = self.bundle.input_size
        canvas, scale = letterbox(pixels, width, height, self._fill, self._buffers.acquire((height, width, 3)))
        return ModelInput(canvas[None], scale, pixels.shape[1], pixels.shape[0])

    def set_min_score(self, min_score: float) -> None:
        """Set the thresholds of whole frames and tiles from the next `decode` on."""
        self.min_score = self.tile_min_score = min_score

    def reload_engine(self) -> None:
        """Abandon the engine, which may hang, and load a new one."""
        self.engine = self._load()

    def infer(self, model_input: ModelInput) -> dict[str, RawTensor]:
        """Run the network; return raw ``boxes`` and ``scores``, or `POSTPROCESSED`."""
        return self.engine(model_input.batch)

    def decode(self, raw: dict[str, RawTensor], model_input: ModelInput, is_tile: bool = False) -> Detections:
        """Return detections in pixels of the image, clipped to it, best first.

        Boxes and scores that are not finite are dropped; the first such case is logged.

        Args:
            raw: outputs of `infer`.
            model_input: the image that they belong to.
            is_tile: whether the image is a tile of a frame, to which `tile_min_score` applies.
        """
        min_score = self.tile_min_score if is_tile else self.min_score
        if self._is_decoded:
            boxes, score = self._read_postprocessed(raw, min_score)
            boxes, score = _to_image(boxes, score, model_input)
            return Detections(boxes[: self._limit], score[: self._limit])
        scores = raw["scores"]
        values = scores.values.reshape(-1, len(self.bundle.classes))[:, self._galaxy_class or 0]
        if values.dtype.kind == "f" and np.isnan(values).any():
            self._finite(values, np.zeros((len(values), 4)))  # only logged: NaN is below any threshold
        # Scores are compared in raw values, so that only the few candidates are dequantised.
        minimum = min(max(min_score, 1e-6), 1.0 - 1e-6)
        chosen = np.flatnonzero(values >= scores.threshold(float(np.log(minimum / (1.0 - minimum)))))
        if len(chosen) == 0:
            return Detections.empty()
        if len(chosen) > CANDIDATES:
            chosen = chosen[np.argsort(-values[chosen].astype(np.float32), kind="stable")[:CANDIDATES]]
        score = RawTensor(values, scores.scale, scores.zero_point).dequantize(chosen)
        deltas = raw["boxes"].dequantize(chosen)
        kept = self._finite(score, deltas)
        boxes = decode_boxes(deltas[kept], self._anchors[chosen[kept]])
        boxes, score = _to_image(boxes, sigmoid(score[kept]), model_input)
        kept = non_maximum_suppression(boxes, score, self._nms_iou, self._limit)
        return Detections(average_boxes(boxes, score, kept, self._nms_iou), score[kept])

    def _read_postprocessed(self, raw: dict[str, RawTensor], min_score: float) -> tuple[np.ndarray, np.ndarray]:
        """Read boxes that the network itself decoded.

        Return (N, 4) in input pixels and (N,) scores.
        """
        given = np.nan_to_num(raw["num_detections"].dequantize())
        count = int(np.clip(given, 0, len(raw["detection_scores"].values)))
        score = raw["detection_scores"].dequantize()[:count]
        width, height = self.bundle.input_size
        size = np.asarray([width, height] * 2, np.float32)
        boxes = raw["detection_boxes"].dequantize()[:count, [1, 0, 3, 2]] * size
        chosen = self._finite(score, boxes) & (score >= min_score)
        if self._galaxy_class is not None:
            classes = np.nan_to_num(raw["detection_classes"].dequantize()[:count], nan=-1.0)
            chosen &= np.rint(classes) == self._galaxy_class
        kept = np.flatnonzero(chosen)
        return boxes[kept], score[kept]

    def _finite(self, score: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """Return which rows are finite, (N,) bool; log the first that are not."""
        finite: np.ndarray = np.isfinite(score) & np.isfinite(boxes).all(axis=1)
        if not (self._has_warned or finite.all()):
            self._has_warned = True
            logger.warning(
                "%s returned values that are not finite for %d of %d boxes: such boxes are left out",
                self.bundle.path, int((~finite).sum()), len(finite),
            )  # fmt: skip
        return finite

    def fuse(
        self, pixels: np.ndarray, views: np.ndarray, found: list[Detections], stretch: Stretch | None
    ) -> Detections:
        """Merge the detections of a frame's views into one list.

        See `tile_merging.merge`.

        Args:
            pixels: (H, W, 3) uint8 RGB, the frame.
            views: (V, 4) int x0, y0, x1, y1 in frame pixels, the whole frame first.
            found: results of `decode` for each view, in its own pixels.
            stretch: with which the frame was developed; None for images of 8 bits.
        """
        return found[0] if len(found) == 1 else merge(views, found, self._nms_iou, self._limit)

    def __call__(self, pixels: np.ndarray) -> Detections:
        """Find galaxies in (H, W, 3) uint8 RGB pixels."""
        model_input = self.preprocess(pixels)
        return self.decode(self.infer(model_input), model_input)


def _galaxy_class(bundle: Bundle) -> int | None:
    """Return the index of the class of galaxies.

    None if the network has only one class.

    Raises:
        BundleError: it has several, and the manifest does not say which.
    """
    index = bundle.manifest.detector_decode.galaxy_class
    if index is None and len(bundle.classes) > 1:
        names = [name.casefold() for name in bundle.classes]
        if names.count("galaxy") != 1:
            raise BundleError(
                f"{bundle.path} detects {len(names)} classes and does not state which are galaxies: import the network "
                "again, with export --from and --galaxy-class"
            )
        return names.index("galaxy")
    return index


def _to_image(boxes: np.ndarray, score: np.ndarray, model_input: ModelInput) -> tuple[np.ndarray, np.ndarray]:
    """Convert boxes to image pixels, clip them, and drop those below a pixel."""
    boxes = boxes / np.asarray([*model_input.scale, *model_input.scale], np.float32)
    boxes[:, 0::2] = np.clip(boxes[:, 0::2], 0, model_input.width)
    boxes[:, 1::2] = np.clip(boxes[:, 1::2], 0, model_input.height)
    inside = (boxes[:, 2] - boxes[:, 0] >= 1) & (boxes[:, 3] - boxes[:, 1] >= 1)
    return boxes[inside], score[inside]
