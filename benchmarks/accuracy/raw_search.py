"""Search developed raw frames as a run does.

The detections are matched with known galaxies.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...models.boxes import iou_matrix, share_inside
from ...models.images.development import Development, develop_image
from ...runtime.imaging.tiling import TileSelector
from ...runtime.inference.raw_detector import RawDetector
from ...training.scenes.raw_frames import RawFrame

MIN_IOU = 0.4
"""Minimum overlap of a detection with a galaxy that it finds."""
IGNORED_SHARE = 0.3
"""A detection with more than this share of its area inside an ignored box is not counted."""


class SearchedFrame(NamedTuple):
    """A frame that was searched, all boxes in pixels of the developed frame.

    Attributes:
        truth: (M, 4) galaxies; signals: (M,) their mean light in sigma.
        ignore: (K, 4) other objects, whose detections are not counted.
        boxes: (N, 4) detections, best first; scores: (N,).
    """

    truth: np.ndarray
    signals: np.ndarray
    ignore: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray


def search(detector: RawDetector, tiles: TileSelector, frame: RawFrame) -> tuple[np.ndarray, np.ndarray]:
    """Search a frame as a run does.

    Returns boxes (N, 4) in pixels of the developed frame, and scores (N,), best first.
    """
    stretch = detector.bundle.stretch
    pixels = develop_image(frame.mosaic, frame.pattern, Development(stretch=stretch)).pixels
    views = tiles.select(pixels, min(detector.bundle.input_size), stretch)
    found = []
    for number, (x0, y0, x1, y1) in enumerate(views):
        model_input = detector.preprocess(pixels[y0:y1, x0:x1])
        found.append(detector.decode(detector.infer(model_input), model_input, number > 0))
    detections = detector.fuse(pixels, views, found, stretch)
    return detections.boxes, detections.scores


def match(frame: SearchedFrame) -> tuple[np.ndarray, np.ndarray]:
    """Match detections with galaxies, best first.

    Returns which galaxies are found (M,), and which detections are false (N,).

    A second box of the same galaxy is not a false detection, nor is one that lies mostly in an ignored box.
    """
    found, false = np.zeros(len(frame.truth), bool), np.ones(len(frame.boxes), bool)
    overlap = iou_matrix(frame.boxes, frame.truth)
    for number, row in enumerate(overlap if len(frame.truth) else ()):
        best = int(np.where(found, -1, row).argmax())
        if not found[best] and row[best] >= MIN_IOU:
            found[best] = True
            false[number] = False
        elif row.max() >= MIN_IOU:
            false[number] = False
    unmatched = np.flatnonzero(false)
    false[unmatched] = share_inside(frame.boxes[unmatched], frame.ignore) <= IGNORED_SHARE
    return found, false


def signals_at(frame: SearchedFrame, detections: np.ndarray) -> np.ndarray:
    """Return the signal of the galaxy that each detection overlaps most, (N,).

    0 if it overlaps none.
    """
    overlap = iou_matrix(frame.boxes[detections], frame.truth)
    if not overlap.size:
        return np.zeros(len(overlap))
    return np.where(overlap.max(axis=1) > 0, frame.signals[overlap.argmax(axis=1)], 0.0)
