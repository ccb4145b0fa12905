"""A dataset of labelled galaxies with one interface for all sources."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...models.labels import coarse_group
from ..augmentation.views import Canvas, prepare
from ..data.crops import network_input
from ..data.splits import data_hash

ImageReader = Callable[[], tuple[np.ndarray, np.ndarray | None]]
"""Returns an image, (H, W, 3) uint8 RGB, and its galaxy's box (4,) in pixels, or None where it fills the image."""


@dataclass(frozen=True)
class GalaxyDataset:
    """Labelled galaxies.

    Attributes:
        classes: names of the classes, in label order.
        labels: (N,) int, index into `classes`, -1 where at most the coarse group is known.
        groups: N coarse groups, "" where unknown.
        ids: N hashes (hex) of the images' content.
        sources: N names of the sets that the images come from.
        readers: N functions that read the images.
        margin: total share of a box's longer side that is added, as in `models.preprocess.crop`.
        credits: sources to be credited.
        attributes: (N, A) float32 in 0..1, NaN where not known, see `attributes`; None if no image has any.
    """

    classes: tuple[str, ...]
    labels: np.ndarray
    groups: tuple[str, ...]
    ids: tuple[str, ...]
    sources: tuple[str, ...]
    readers: tuple[ImageReader, ...]
    margin: float
    credits: tuple[str, ...] = ()
    attributes: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray | Sequence[int]) -> GalaxyDataset:
        """Return the images at `indices` (n,), in that order."""
        indices = np.asarray(indices, int)
        return replace(
            self,
            labels=self.labels[indices],
            groups=tuple(self.groups[index] for index in indices),
            ids=tuple(self.ids[index] for index in indices),
            sources=tuple(self.sources[index] for index in indices),
            readers=tuple(self.readers[index] for index in indices),
            attributes=None if self.attributes is None else self.attributes[indices],
        )

    @property
    def labelled(self) -> np.ndarray:
        """Indices (n,) of the images with a class."""
        return np.flatnonzero(self.labels >= 0)

    @property
    def grouped(self) -> np.ndarray:
        """Indices (n,) of the images with a class or at least a coarse group."""
        return np.flatnonzero((self.labels >= 0) | (np.array(self.groups, str) != ""))

    @property
    def informative(self) -> np.ndarray:
        """Indices (n,) of images with a class, a coarse group or an attribute."""
        if self.attributes is None:
            return self.grouped
        return np.union1d(self.grouped, np.flatnonzero(np.isfinite(self.attributes).any(axis=1)))

    def images(self, size: int) -> np.ndarray:
        """Return the network's inputs, (N, size, size, 3) uint8, cropped as at run time."""
        inputs = [
            network_input(image, np.zeros((0, 4)) if box is None else box[None], self.margin, size)
            for image, box in (read() for read in self.readers)
        ]
        return np.stack(inputs) if inputs else np.zeros((0, size, size, 3), np.uint8)

    def canvases(self) -> list[Canvas]:
        """Return each image prepared for augmentation."""
        return [prepare(image, box, self.margin) for image, box in (read() for read in self.readers)]

    @property
    def hash(self) -> str:
        """SHA-256 (hex) of the images and labels, independent of their order."""
        return data_hash(
            f"{image_id}:{label}:{group}"
            for image_id, label, group in zip(self.ids, self.labels.tolist(), self.groups, strict=True)
        )

    def targets(self) -> np.ndarray:
        """Return the classes that each label allows, (N, C) float32 of 0 and 1.

        A class allows itself, a coarse group all its classes, and an image without either allows all classes.
        """
        groups = np.array([coarse_group(name) for name in self.classes])
        allowed = np.array([(groups == group) | (not group) for group in self.groups], bool)
        allowed = allowed.reshape(len(self), len(groups))
        known = self.labels >= 0
        allowed[known] = np.eye(len(self.classes), dtype=bool)[self.labels[known]]
        return allowed.astype(np.float32)


def describe_dataset(dataset: GalaxyDataset) -> dict[str, Any]:
    """Describe a dataset for a run's record.

    Returns its hash, the number of images by source, and the credits.
    """
    names, counts = np.unique(np.array(dataset.sources), return_counts=True)
    return {
        "hash": dataset.hash,
        "sets": dict(zip(names.tolist(), counts.tolist(), strict=True)),
        "sources": list(dataset.credits),
    }
