"""Lay out the detector's inputs for a frame, with each view's detections."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..frame import Detections
from ..inference.detector import ModelInput

GAP, GAP_LEVEL = 4, 70
"""Pixels between two views on the sheet, and their grey level."""
MIN_SHOWN = 0.5
"""Share of a detection's box that a view must show for the box to be drawn there."""


def input_sheet(
    views: np.ndarray, inputs: Sequence[ModelInput], detections: Detections
) -> tuple[np.ndarray, Detections]:
    """Lay out the inputs of a frame in rows, the whole frame first.

    Args:
        views: (V, 4) int x0, y0, x1, y1 in frame pixels.
        inputs: the views in the format of the detector's input, at least one.
        detections: of the frame, with class probabilities, in frame pixels.

    Returns:
        (H, W, 3) uint8 RGB, the inputs unchanged; and the detections in its pixels, repeated for each view that shows
        them.
    """
    height, width = inputs[0].batch.shape[1:3]
    columns = math.ceil(math.sqrt(len(inputs)))
    rows = math.ceil(len(inputs) / columns)
    shape = rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3
    sheet: np.ndarray = np.full(shape, GAP_LEVEL, np.uint8)
    boxes, numbers = [np.zeros((0, 4), np.float32)], [np.zeros(0, int)]
    for number, (view, model_input) in enumerate(zip(views, inputs, strict=True)):
        y, x = number // columns * (height + GAP), number % columns * (width + GAP)
        sheet[y : y + height, x : x + width] = model_input.batch[0]
        shown, indices = _boxes_in_view(view, detections.boxes)
        boxes.append(shown * np.tile(model_input.scale, 2).astype(np.float32) + np.array([x, y, x, y], np.float32))
        numbers.append(indices)
    every = np.concatenate(numbers)
    probabilities = None if detections.probabilities is None else detections.probabilities[every]
    return sheet, Detections(np.concatenate(boxes).astype(np.float32), detections.scores[every], probabilities)


def _boxes_in_view(view: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the boxes (M, 4) that a view shows, and their indices (M,).

    They are clipped to the view and in its pixels.
    """
    x0, y0, x1, y1 = view
    clipped = np.clip(boxes, [x0, y0, x0, y0], [x1, y1, x1, y1])
    area, shown = (np.prod(part[:, 2:] - part[:, :2], axis=1) for part in (boxes, clipped))
    indices = np.flatnonzero(shown >= MIN_SHOWN * area)
    return np.asarray(clipped[indices] - np.array([x0, y0, x0, y0])), indices
