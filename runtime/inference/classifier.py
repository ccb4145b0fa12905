"""Classify galaxies: crop detections, run the network, calibrate probabilities."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

import numpy as np

from ...models.bundle import Bundle
from ...models.decode import softmax
from ...models.preprocess import crop, resize
from ..frame import Detections
from .bundles import CLASSIFIER, bundle_or_shipped
from .domain import Domain, doubt, withhold_names
from .engine import Engine
from .load import load_engine

logger = logging.getLogger(__name__)


class Classifier:
    """A morphology classifier: a bundle for the task ``classify`` in an engine.

    Args:
        bundle: a bundle for the task ``classify``, or its folder; None for the shipped one.
        variant: of the network, e.g. ``int8`` or ``fp32``.
        engine: one of `ENGINE_NAMES`; None for the preferred one of the variant.
        threads: threads of an inference, at least 1.

    Attributes:
        abstain_below: probability, 0..1, below which a class is a guess; None if the bundle has no such threshold.
    """

    def __init__(
        self,
        bundle: Bundle | str | Path | None = None,
        variant: str = "int8",
        engine: str | None = None,
        threads: int = 1,
    ) -> None:
        bundle = bundle_or_shipped(bundle, CLASSIFIER)
        self.bundle = bundle
        self._load = partial(load_engine, bundle, variant, engine, threads)
        self.engine: Engine = self._load()
        decode = bundle.manifest.classifier_decode
        self._margin = bundle.manifest.preprocess.margin
        self._temperature = decode.temperature
        self._size = bundle.input_size[0]
        self._has_warned = False
        self.abstain_below = decode.abstain
        self._domain = Domain.from_manifest(decode)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the probabilities."""
        return self.bundle.classes

    def reload_engine(self) -> None:
        """Abandon the engine, which may hang, and load a new one."""
        self.engine = self._load()

    def crop(self, pixels: np.ndarray, box: np.ndarray | None) -> np.ndarray:
        """Cut out the network's input for a box; without a box, for the whole image.

        Returns:
            (size, size, 3) uint8.
        """
        if box is None:
            return resize(pixels, self._size, self._size)
        return crop(pixels, box, self._margin, self._size)

    def probabilities(self, crops: np.ndarray) -> np.ndarray:
        """Classify (N, size, size, 3) uint8 crops.

        Return (N, C) float32 calibrated probabilities.
        """
        if not len(crops):
            return np.zeros((0, len(self.classes)), np.float32)
        return softmax(self._logits(crops), self._temperature)

    def doubted_probabilities(self, crops: np.ndarray) -> np.ndarray:
        """Classify crops; lower the confidence of those unlike all training images.

        The most probable class stays the same; it is no longer sure, see `domain`.
        """
        if not len(crops):
            return np.zeros((0, len(self.classes)), np.float32)
        logits = self._logits(crops)
        probabilities = softmax(logits, self._temperature)
        strange = self._domain.excludes_images(np.asarray(crops), logits, self._temperature)
        unsure = self._domain.excludes_groups(probabilities, self.classes)
        return doubt(withhold_names(probabilities, unsure & ~strange, self.classes, self.abstain_below), strange)

    def box_probabilities(self, pixels: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """Classify the boxes (N, 4) of a frame as a run does.

        The probabilities (N, C) are doubted outside the domain.
        """
        if not len(boxes):
            return np.zeros((0, len(self.classes)), np.float32)
        crops = np.stack([self.crop(pixels, box) for box in boxes])
        strange = self._domain.excludes_boxes(boxes, pixels.shape, self._margin)
        return doubt(self.doubted_probabilities(crops), strange)

    def __call__(self, pixels: np.ndarray, found: Detections) -> Detections:
        """Return a frame's detections with their class probabilities.

        The frame is (H, W, 3) uint8 RGB.

        Detections whose probabilities are not finite are dropped; the first such case is logged.
        """
        probabilities = self.box_probabilities(pixels, found.boxes)
        finite = np.isfinite(probabilities).all(axis=1)
        if finite.all():
            return found.with_probabilities(probabilities)
        if not self._has_warned:
            self._has_warned = True
            logger.warning(
                "%s returned values that are not finite for %d of %d galaxies: such galaxies are left out",
                self.bundle.path, int((~finite).sum()), len(found),
            )  # fmt: skip
        return Detections(found.boxes[finite], found.scores[finite], probabilities[finite])

    def _logits(self, crops: np.ndarray) -> np.ndarray:
        logits = np.stack([self.engine(image[None])["logits"].dequantize() for image in crops])
        return logits.reshape(len(crops), len(self.classes))
