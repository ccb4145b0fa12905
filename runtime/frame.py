"""The types that pass through the pipeline: a frame and its detections."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import require_extra

if TYPE_CHECKING:
    from ..sky.wcs import Wcs

NO_POSITION = "no sky position"
"""Beginning of the note on a frame whose position on the sky is not known."""
OFF = "solving is switched off (--no-solve)"
NO_HINTS = "neither its header nor --scale says how large a pixel is"


@dataclass(frozen=True, eq=False)
class Frame:
    """One image from a source.

    Inside the pipeline, boxes are in pixels of `pixels`. In everything that leaves it (JSON lines, events, MQTT, FITS
    headers, crops of `raw`) they are in pixels of the source's own frame, see `source_boxes`.

    Attributes:
        pixels: (h, w, 3) uint8 RGB, the image for networks and displays; for a Bayer mosaic, superpixels of half the
            size.
        time: UTC; start of the exposure where the source gives it, otherwise the time of reading.
        source: the image's file name, the device, or ``demo``.
        number: counts from 0 within a run.
        raw: (H, W) mono or mosaic, or (H, W, 3) RGB, uint16 or float32, as delivered, if the source has more than 8
            bits; otherwise None. The mean of a stack may have the size of `pixels` instead.
        stacked: number of frames that were averaged in `pixels`.
        stretch: how more than 8 bits were reduced to 8: ``{"kind", "black", "white", "softening"}``; None if not.
        header: FITS keywords, where the source has them.
        binning: pixels of the source along a side of one pixel of `pixels`: 2 for superpixels, else 1.
        cfa: Bayer pattern of `raw` as it is stored, e.g. ``GRBG``; None where it is not a mosaic.
        source_shape: height and width of the source's own frame; None where they follow from `raw` and `pixels`.
        planes: one or three linear channels (h, w), uint16 or float32, that `pixels` was developed from; None for
            images of 8 bits.
        began: time of the first frame of a stack; None for single frames.
        exposure: total exposure of a stack in seconds; None where it is unknown, and for single frames.
        wcs: where the source's own frame is on the sky, in its pixels; None where that is unknown.
    """

    pixels: np.ndarray
    time: datetime.datetime
    source: str
    number: int
    stretch: dict[str, Any] | None = None
    header: dict[str, Any] = field(default_factory=dict)
    raw: np.ndarray | None = None
    stacked: int = 1
    binning: int = 1
    cfa: str | None = None
    planes: tuple[np.ndarray, ...] | None = None
    source_shape: tuple[int, int] | None = None
    began: datetime.datetime | None = None
    exposure: float | None = None
    wcs: Wcs | None = None

    @property
    def width(self) -> int:
        """Width of `pixels`."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Height of `pixels`."""
        return int(self.pixels.shape[0])

    @property
    def source_size(self) -> tuple[int, int]:
        """Width and height of the source's own frame.

        Odd sides that superpixels cut off are included.
        """
        width, height = self.width * self.binning, self.height * self.binning
        if self.source_shape is not None:
            height, width = self.source_shape
        elif self.raw is not None and self.raw_binning == self.binning:
            height, width = self.raw.shape[:2]
        return width, height

    @property
    def raw_binning(self) -> int:
        """Pixels of `raw` along a side of one pixel of `pixels`."""
        return self.binning if self.raw is not None and self.raw.shape[:2] != self.pixels.shape[:2] else 1

    def source_boxes(self, boxes: np.ndarray) -> np.ndarray:
        """Convert boxes (..., 4) from pixels of `pixels` to pixels of the source's frame."""
        return boxes if self.binning == 1 else np.asarray(boxes * self.binning)


@dataclass(frozen=True, eq=False)
class Detections:
    """Detections in a frame, best first, as parallel arrays; validated on creation.

    Attributes:
        boxes: (N, 4) float32 x0, y0, x1, y1 in pixels of `Frame.pixels`.
        scores: (N,) float32 in 0..1.
        probabilities: (N, C) float32, once classified; None before.
        names: of the catalogued objects that they are, "" for none; empty if they are not known.
    """

    boxes: np.ndarray
    scores: np.ndarray
    probabilities: np.ndarray | None = None
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        count = len(self.scores)
        if self.boxes.shape != (count, 4) or self.scores.shape != (count,):
            raise ValueError(f"boxes {self.boxes.shape} and scores {self.scores.shape} do not have the same length")
        if not (np.isfinite(self.boxes).all() and np.isfinite(self.scores).all()):
            raise ValueError("boxes and scores must be finite")
        if count and not (self.boxes[:, 2:] > self.boxes[:, :2]).all():
            raise ValueError("every box needs x1 > x0 and y1 > y0")
        if self.probabilities is not None and self.probabilities.shape[:1] != (count,):
            raise ValueError(f"{self.probabilities.shape[0]} rows of probabilities for {count} boxes")
        if self.names and len(self.names) != count:
            raise ValueError(f"{len(self.names)} names for {count} boxes")

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def empty(cls) -> Detections:
        """Return detections of length zero."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))

    def with_probabilities(self, probabilities: np.ndarray) -> Detections:
        """Return the same detections with class probabilities (N, C)."""
        return replace(self, probabilities=probabilities)

    def to_supervision(self, classes: Sequence[str] = ()) -> Any:
        """Return the same detections as ``supervision.Detections``.

        Args:
            classes: class names in the order of the probabilities, e.g. `Classifier.classes`.

        Returns:
            Boxes and scores; once classified, ``class_id`` of the most probable class. In ``data``: ``probabilities``
            (N, C), ``class_name`` and ``object_name`` (N,), where they are known.

        Raises:
            MissingExtra: supervision is not installed.
        """
        require_extra("supervision", "supervision")
        import supervision

        data: dict[str, Any] = {}  # supervision takes lists too
        best = None
        if self.probabilities is not None:
            best = self.probabilities.argmax(axis=1) if len(self) else np.zeros(0, np.int64)
            data["probabilities"] = self.probabilities
            if classes:
                data["class_name"] = np.asarray(classes)[best]
        if self.names:
            data["object_name"] = np.asarray(self.names)
        return supervision.Detections(xyxy=self.boxes, confidence=self.scores, class_id=best, data=data)

    @classmethod
    def from_supervision(cls, found: Any) -> Detections:
        """Return detections of a ``supervision.Detections``, best first.

        Args:
            found: its boxes and scores are used (1 where there are none), and what `to_supervision` put into ``data``.

        Raises:
            ValueError: a box is empty or a value is not finite.
        """
        boxes = np.asarray(found.xyxy, np.float32).reshape(-1, 4)
        scores = np.ones(len(boxes), np.float32) if found.confidence is None else np.asarray(found.confidence)
        order = np.argsort(-scores, kind="stable")
        probabilities, names = found.data.get("probabilities"), found.data.get("object_name", ())
        return cls(
            boxes[order],
            scores[order].astype(np.float32),
            None if probabilities is None else np.asarray(probabilities, np.float32)[order],
            tuple(str(names[index]) for index in order) if len(names) else (),
        )
