"""The types that pass through the pipeline: a frame and its detections."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Frame:
    """One image from a source.

    Attributes:
        pixels: (H, W, 3) uint8 RGB.
        time: UTC; start of the exposure where the source gives it, otherwise the time of reading.
        source: the image's file name, the device, or ``demo``.
        number: counts from 0 within a run.
        raw: (H, W) or (H, W, 3) uint16 or float32, as delivered, where the source has more than 8 bits.
        stacked: number of frames that `pixels` is the mean of.
        stretch: how more than 8 bits were reduced to 8: ``{"kind", "black", "white", "softening"}``; None if not.
        header: FITS keywords, where the source has them.
    """

    pixels: np.ndarray
    time: datetime.datetime
    source: str
    number: int
    stretch: dict[str, Any] | None = None
    header: dict[str, Any] = field(default_factory=dict)
    raw: np.ndarray | None = None
    stacked: int = 1

    @property
    def width(self) -> int:
        """Width in pixels."""
        return self.pixels.shape[1]

    @property
    def height(self) -> int:
        """Height in pixels."""
        return self.pixels.shape[0]


@dataclass(frozen=True)
class Detections:
    """Detections in a frame, best first, as parallel arrays; validated on creation.

    Attributes:
        boxes: (N, 4) float32 x0, y0, x1, y1 in frame pixels.
        scores: (N,) float32 in 0..1.
        probabilities: (N, C) float32, once classified; None before.
    """

    boxes: np.ndarray
    scores: np.ndarray
    probabilities: np.ndarray | None = None

    def __post_init__(self) -> None:
        count = len(self.scores)
        if self.boxes.shape != (count, 4) or self.scores.shape != (count,):
            raise ValueError(f"boxes {self.boxes.shape} and scores {self.scores.shape} do not belong together")
        if not (np.isfinite(self.boxes).all() and np.isfinite(self.scores).all()):
            raise ValueError("boxes and scores must be finite")
        if count and not (self.boxes[:, 2:] > self.boxes[:, :2]).all():
            raise ValueError("every box needs x1 > x0 and y1 > y0")
        if self.probabilities is not None and self.probabilities.shape[:1] != (count,):
            raise ValueError(f"{self.probabilities.shape[0]} rows of probabilities for {count} boxes")

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def empty(cls) -> Detections:
        """Return detections of length zero."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))

    def with_probabilities(self, probabilities: np.ndarray) -> Detections:
        """Return the same detections with class probabilities (N, C)."""
        return replace(self, probabilities=probabilities)
