"""Learn from an exported detector whose outputs are averaged over flips.

A network gives slightly different boxes for a scene and its mirror images. Their mean is better than each of them but
costs four inferences; a network that is trained on the mean can have part of the gain in one (Radosavovic et al. 2018,
arXiv:1712.04440).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from ...models.bundle import Bundle
from ...models.decode import anchors_from_manifest, sigmoid
from ...models.manifest import BundleError, TrainingData
from ...runtime.inference.load import load_engine
from ..run import RunError
from .anchor_matching import decode_detections

if TYPE_CHECKING:
    from .settings import DetectorSettings

FLIPS = ((1, 1), (1, -1), (-1, 1), (-1, -1))
"""Steps along rows and columns: as it is, mirrored, upside down, both."""

RawOutputs = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Of an image (size, size, 3) uint8: deltas (N, 4) and logits (N,), float32, in the order of the anchors."""


class DetectorTeacher:
    """A detector that is run on the four flips of a scene.

    Thread-safe.

    Args:
        outputs: runs the network.
        anchors: (N, 4) from `models.decode.anchor_grid`.
        identity: of the network, e.g. the bundle's hash.
        data: what it was trained on; None: not known.
    """

    def __init__(
        self, outputs: RawOutputs, anchors: np.ndarray, identity: str, data: TrainingData | None = None
    ) -> None:
        self._outputs, self.anchors, self.identity, self.data = outputs, anchors, identity, data
        self._order = [flipped_order(anchors, *flip) for flip in FLIPS]
        self._lock = Lock()

    def soft_targets(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean outputs for scenes (B, size, size, 3) uint8.

        Returns:
            scores (B, N) in 0..1 and deltas (B, N, 4), float32.
        """
        deltas, logits = zip(*(self.mean_outputs(image) for image in images), strict=True)
        return sigmoid(np.stack(logits)), np.stack(deltas)

    def mean_outputs(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean deltas (N, 4) and logits (N,) over the flips of an image."""
        every_deltas, every_logits = [], []
        for (down, right), order in zip(FLIPS, self._order, strict=True):
            deltas, logits = self.outputs(np.ascontiguousarray(image[::down, ::right]))
            # The shifts of a flipped box have the other sign, its sides do not.
            every_deltas.append(deltas[order] * np.array([down, right, 1, 1], np.float32))
            every_logits.append(logits[order])
        return np.mean(every_deltas, axis=0), np.mean(every_logits, axis=0)

    def outputs(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the deltas (N, 4) and logits (N,) of an image as it is."""
        with self._lock:
            return self._outputs(image)

    def detect(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the boxes (K, 4) and scores (K,) of an image as it is, best first."""
        return decode_detections(*self.outputs(image), self.anchors)


def recorded_settings(settings: DetectorSettings, teacher: DetectorTeacher | None) -> dict[str, Any]:
    """Return the settings as a run records them.

    Networks are named by their hash: a file of the same name may have another content.
    """
    return settings.plain() | settings.file_hashes() | ({"teacher": teacher.identity} if teacher else {})


def flipped_order(anchors: np.ndarray, down: int, right: int) -> np.ndarray:
    """Return the index of each anchor's mirror image, (N,) int.

    Args:
        anchors: (N, 4) from `models.decode.anchor_grid`.
        down, right: -1 where rows or columns are reversed, else 1.
    """
    middle = (anchors[:, :2].min(axis=0) + anchors[:, :2].max(axis=0)) / 2
    mirrored = anchors.copy()
    mirrored[:, :2] = middle + (anchors[:, :2] - middle) * np.array([down, right], np.float32)
    # Of anchors at the same centre the sides decide, so that equal rows are mirror images.
    order, image_order = (np.lexsort(np.round(grid.T, 2)) for grid in (anchors, mirrored))
    result = np.empty(len(anchors), np.intp)
    result[image_order] = order
    return result


def load_teacher(folder: Path, settings: DetectorSettings) -> DetectorTeacher:
    """Load a bundle as the teacher of a network with the same input and anchors.

    Its float32 variant is used if it has one.

    Raises:
        RunError: it is of another input size, has other anchors or classes, or decodes its boxes itself.
        BundleError: it cannot be loaded.
    """
    size = settings.size
    try:
        bundle = Bundle.load(folder, "detect")
    except BundleError as error:
        raise RunError(f"--teacher must be the bundle of an exported detector: {error}") from None
    described = bundle.manifest.detector_decode.anchors
    own = settings.grid | {"aspect_ratios": tuple(settings.aspect_ratios)}
    if (
        described is None
        or bundle.input_size != (size, size)
        or own != {name: getattr(described, name) for name in own}
        or len(bundle.classes) != 1
    ):
        raise RunError(
            f"{folder} cannot teach this network: it must have the same input ({size} px), anchors and class"
        )
    engine = load_engine(bundle, "fp32" if "fp32" in bundle.variants else "int8")

    def outputs(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        raw = engine(image[None])
        return raw["boxes"].dequantize().reshape(-1, 4), raw["scores"].dequantize().reshape(-1)

    return DetectorTeacher(outputs, anchors_from_manifest(described, size, size), bundle.hash, bundle.manifest.data)
