"""A contact sheet of annotated frames."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from ...models.naming import plain_name
from ..events.frame_record import display_label
from ..frame import Detections, Frame
from ..imaging.encoding import encode_image
from .annotate import fit, shrink

QUALITY = 95
SIDE = 640
"""Length of a frame's longer side on the sheet."""
BAR = 34
"""Height of the line under a frame."""
GAP = 2
"""Width of the line at the right of a frame."""
BAR_COLOUR, TEXT_COLOUR = (24, 24, 24), (235, 235, 235)
NAMED = 3
"""Maximum number of names under a frame."""


class _Tile(NamedTuple):
    content: bytes
    caption: str
    value: float


class ContactSheet:
    """The frames with the most finds, evenly spread over a run of unknown length.

    The run is divided into parts of equal numbers of frames. Each part has one frame on the sheet: the one of the
    highest value.

    Args:
        limit: maximum number of frames.
    """

    def __init__(self, limit: int = 12) -> None:
        self._limit = limit
        self._stride = 1
        self._offered = 0
        self._starts_part = True
        self._value = 0.0
        self._only: np.ndarray | None = None
        self._tiles: list[_Tile] = []

    def wants_next(self, value: float) -> bool:
        """Return whether the next frame belongs on the sheet.

        Call once a frame, then `add` if so. Frames of value 0 are only shown if there are no others.
        """
        self._starts_part = self._offered % self._stride == 0
        self._offered += 1
        self._value = value
        return self._starts_part or value > self._tiles[-1].value

    def add(self, image: np.ndarray, caption: str = "") -> None:
        """Add an annotated frame, (H, W, 3) uint8 RGB.

        It replaces the frame that its part of the run had so far. When the sheet is full, pairs of parts are joined.
        """
        self._only = image if self._offered == 1 else None  # a single frame is shown at its own size
        scale = SIDE / max(image.shape[:2])
        small = shrink(image, scale) if scale < 1 else image
        # Kept as JPEG: the sheet is only composed at the end, and the run should not hold the pixels.
        tile = _Tile(encode_image(small, ".jpg", QUALITY), caption, self._value)
        if not self._starts_part:
            self._tiles.pop()
        self._tiles.append(tile)
        if len(self._tiles) > self._limit:
            pairs = [self._tiles[start : start + 2] for start in range(0, len(self._tiles), 2)]
            self._tiles = [max(pair, key=lambda tile: tile.value) for pair in pairs]
            self._stride *= 2

    def compose(self) -> np.ndarray | None:
        """Compose the sheet, (H, W, 3) uint8 RGB; the only frame of a run keeps its size.

        None if there was no frame.
        """
        if self._offered <= 1:
            return self._only
        tiles = [tile for tile in self._tiles if tile.value > 0] or self._tiles
        columns = 1 if len(tiles) == 1 else 2 if len(tiles) <= 4 else 3
        # Cells are as large as the largest frame, so that frames of one shape have no margins.
        sizes = [_fitted(*_decoded(tile.content).shape[1::-1]) for tile in tiles]
        width, height = (max(lengths) for lengths in zip(*sizes, strict=True))
        full = height + BAR
        sheet: np.ndarray = np.full((-(-len(tiles) // columns) * full, columns * width, 3), BAR_COLOUR, np.uint8)
        for index, tile in enumerate(tiles):  # one at a time: all of them decoded are as large as the sheet
            top, left = index // columns * full, index % columns * width
            sheet[top : top + height, left : left + width] = fit(_decoded(tile.content), width, height)
            sheet[top : top + height, left + width - GAP : left + width] = BAR_COLOUR
            _write(sheet[top + height : top + full, left : left + width], tile.caption)
        return sheet


def frame_value(detections: Detections) -> float:
    """Return a frame's value: more for many, sure and catalogued finds."""
    return float(detections.scores.sum()) + sum(map(bool, detections.names))


def frame_caption(frame: Frame, detections: Detections, classes: tuple[str, ...], abstain: float | None) -> str:
    """Return a frame's local time and what was found, e.g. ``21:03  M 94``."""
    names = list(dict.fromkeys(filter(None, detections.names)))
    others = len(detections) - sum(map(bool, detections.names)) + len(names[NAMED:])
    if names:
        found = ", ".join(names[:NAMED]) + (f" and {others} more" if others else "")
    elif len(detections) == 1 and detections.probabilities is not None:
        found = plain_name(display_label(detections.probabilities[0], classes, abstain))
    else:
        found = (
            f"{len(detections)} galax{'y' if len(detections) == 1 else 'ies'}" if len(detections) else "nothing found"
        )
    return f"{frame.time.astimezone():%H:%M}  {found}"


def _fitted(width: int, height: int) -> tuple[int, int]:
    """Return a size scaled so that its longer side is `SIDE`."""
    scale = SIDE / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _decoded(content: bytes) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image[..., ::-1]


def _write(bar: np.ndarray, text: str) -> None:
    """Write a line into a part of the sheet, smaller where it would not fit."""
    (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.6, 1)
    scale = 0.6 * min(1.0, (bar.shape[1] - 20) / max(1, width))
    line = np.ascontiguousarray(bar)
    cv2.putText(line, text, (10, BAR - 11), cv2.FONT_HERSHEY_SIMPLEX, scale, TEXT_COLOUR, 1, cv2.LINE_AA)
    bar[:] = line
