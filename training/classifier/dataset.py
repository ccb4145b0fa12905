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

ELONGATED = "elongated"
"""Coarse group of galaxies that are edge-on or cigar-shaped: of folders that were sorted by other volunteers, who drew
this boundary elsewhere, see `dataset_files`."""

ImageReader = Callable[[], tuple[np.ndarray, np.ndarray | None]]
"""Returns an image, (H, W, 3) uint8 RGB, and its galaxy's box (4,) in pixels, or None where it fills the image."""


@dataclass(frozen=True)
class GalaxyDataset:
    """Labelled galaxies.

    Attributes:
        classes: names of the classes, in label order.
        labels: (N,) int, index into `classes`, -1 where at most the coarse group is known.
        groups: N coarse groups or `ELONGATED`, "" where unknown.
        ids: N hashes (hex) of the images' content.
        sources: N names of the sets that the images come from.
        readers: N functions that read the images.
        margin: total share of a box's longer side that is added, as in `models.preprocess.crop`.
        credits: sources to be credited.
        attributes: (N, A) float32 in 0..1, NaN where not known, see `attributes`; None if no image has any.
        votes: (N, C) float32 shares of votes for each class, rows adding up to 1, or 0 where there are none; None if
            they were not read.
        boxes: N boxes (4,) in pixels or None, as of `readers`; empty if no image has a box.
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
    votes: np.ndarray | None = None
    boxes: tuple[np.ndarray | None, ...] = ()

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
            votes=None if self.votes is None else self.votes[indices],
            boxes=tuple(self.boxes[index] for index in indices) if self.boxes else (),
        )

    @property
    def crop_ids(self) -> tuple[str, ...]:
        """N identifiers of images and their boxes.

        They are keys of what is computed from the crops, which a corrected box changes.
        """
        return tuple(
            image_id if box is None else f"{image_id}:{box.tolist()}"
            for image_id, box in zip(self.ids, self.boxes or (None,) * len(self), strict=True)
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
        """Indices (n,) of images with a class, a coarse group, an attribute or votes."""
        found = np.zeros(len(self), bool)
        found[self.grouped] = True
        if self.attributes is not None:
            found |= np.isfinite(self.attributes).any(axis=1)
        return np.flatnonzero(found | self.voted)

    @property
    def voted(self) -> np.ndarray:
        """Whether an image has votes, (N,) bool."""
        return np.zeros(len(self), bool) if self.votes is None else np.asarray(self.votes.sum(axis=1) > 0)

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

    def targets(self, by_votes: bool = False) -> np.ndarray:
        """Return the classes that each label allows, (N, C) float32 of 0 and 1.

        A class allows itself, a coarse group all its classes, and an image without either allows all classes. With
        `by_votes`, images with votes have these instead, in 0..1.
        """
        groups = np.array([coarse_group(name) for name in self.classes])
        elongated = (groups == "edge_on") | (np.array(self.classes) == "smooth_cigar")
        allowed = np.array([elongated if g == ELONGATED else (groups == g) | (not g) for g in self.groups], bool)
        allowed = allowed.reshape(len(self), len(groups))
        known = self.labels >= 0
        allowed[known] = np.eye(len(self.classes), dtype=bool)[self.labels[known]]
        targets = allowed.astype(np.float32)
        if by_votes and self.votes is not None:
            targets[self.voted] = self.votes[self.voted]
        return targets


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
