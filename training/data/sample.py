"""A labelled image: the location of its bytes, its class and its boxes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...errors import ImageError
from ...models.images.decoder import decode_image
from ...models.images.development import Development
from ...models.raw.stretch import Stretch
from .archives import read_member
from .errors import DataError

MAX_COORDINATE = 1e9
"""Pixels; larger numbers cannot be positions in an image, and arithmetic with them would not be exact."""


def _empty_boxes() -> np.ndarray:
    return np.zeros((0, 4), np.float32)


@dataclass(frozen=True)
class Sample:
    """One labelled image.

    Attributes:
        set, file: the data set it is from, and its name there.
        archive, member: location of its bytes, see `archives.read_member`.
        kind: ``galaxy`` or ``negative`` (no galaxy in the frame).
        label: index into `models.labels.CLASSES`, -1 if there is none.
        coarse: coarse group, or "" if there is none.
        boxes: (N, 4) float32 galaxies in pixels, by the unified rule (90 % of the displayed light).
        ignore: (M, 4) float32 galaxies that neither training nor evaluation counts: difficult, or boxed by another
            rule.
        complete: whether every visible galaxy is boxed; if not, detections outside the boxes are not counted as errors.
        row, box_rows: the table rows of the frame and of each box, by column.
        stretch: how an image of more than 8 bits is stretched; that of the manifest of the bundle that is measured.
    """

    set: str
    file: str
    archive: Path
    member: str
    kind: str = "galaxy"
    label: int = -1
    coarse: str = ""
    boxes: np.ndarray = field(default_factory=_empty_boxes)
    ignore: np.ndarray = field(default_factory=_empty_boxes)
    complete: bool = True
    row: Mapping[str, str] = field(default_factory=dict)
    box_rows: tuple[Mapping[str, str], ...] = ()
    stretch: Stretch = field(default_factory=Stretch)

    def read_bytes(self) -> bytes:
        """Read the encoded image.

        Raises:
            DataError: it does not exist, or cannot be read.
        """
        return read_member(self.archive, self.member)

    def load(self) -> np.ndarray:
        """Decode the image to (H, W, 3) uint8 RGB, as the runtime does.

        Raises:
            DataError: it cannot be decoded.
        """
        try:
            return decode_image(self.read_bytes(), self.file, Development(stretch=self.stretch)).pixels
        except ImageError as error:
            raise DataError(f"{self.archive}: '{self.member}' cannot be decoded: {error.reason}") from None

    @property
    def location(self) -> tuple[Path, str]:
        """The archive and the member.

        They tell images apart, which names do not: several folders may have the same.
        """
        return self.archive, self.member

    def digest(self) -> str:
        """Return the SHA-256 of the encoded image (hex)."""
        return hashlib.sha256(self.read_bytes()).hexdigest()

    def labels_digest(self) -> str:
        """Return a SHA-256 (hex) of the image and its boxes."""
        content = hashlib.sha256(f"{self.digest()} {self.kind} {self.complete}".encode())
        for boxes in (self.boxes, self.ignore):
            content.update(f" {len(boxes)} ".encode() + np.asarray(boxes, np.float32).tobytes())
        return content.hexdigest()
