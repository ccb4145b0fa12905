"""Find galaxies in developed frames: the whole frame and windows around extended light, each through one network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ...models.boxes import iou_matrix
from ...models.raw.extended_sources import extended_sources, star_dominated, windows_around
from ...models.raw.view_fusion import fuse_views

FAINTEST = 0.05
"""Minimum score of a detection to be kept."""
Detect = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""An image (H, W, 3) uint8 -> boxes (N, 4) in its pixels and scores (N,), all above `FAINTEST`."""


@dataclass(frozen=True)
class Looks:
    """Detections of a network in every view of a frame, before any threshold.

    Attributes:
        views: (V, 4) int, the whole frame first; found: boxes and scores of each, in its own pixels.
        side: of the network's input in pixels.
    """

    views: np.ndarray
    found: list[tuple[np.ndarray, np.ndarray]]
    side: int = 224

    def detections(self, whole: float, tiles: float) -> tuple[np.ndarray, np.ndarray]:
        """Fuse the views and apply two thresholds, by the view of the best score: boxes (N, 4), scores."""
        boxes, scores, origin = fuse_views(self.views, self.found, self.side)
        kept = scores >= np.where(origin > 0, tiles, whole)
        return boxes[kept], scores[kept]


def look(pixels: np.ndarray, detect: Detect, side: int, tiles: bool = True) -> Looks:
    """Run a network of an input of `side` pixels on a developed frame (H, W, 3) uint8 and on its windows.

    Detections around a bright star are left out.
    """
    height, width = pixels.shape[:2]
    views = np.array([[0, 0, width, height]])
    if tiles:
        views = np.concatenate([views, windows_around(extended_sources(pixels), width, height, side)])
    found = []
    for x0, y0, x1, y1 in views:
        part = np.ascontiguousarray(pixels[y0:y1, x0:x1])
        boxes, scores = detect(part)
        kept = ~star_dominated(part, boxes)
        found.append((boxes[kept], scores[kept]))
    return Looks(views, found, side)


def holds_target(boxes: np.ndarray, x: float, y: float) -> np.ndarray:
    """Return which boxes (N, 4) have a position within a quarter of their sides from their middle, (N,) bool."""
    middle, side = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    return np.asarray((np.abs(middle - np.array([x, y])) <= side / 4).all(axis=1))


def found_galaxies(boxes: np.ndarray, truth: np.ndarray, iou: float = 0.4) -> tuple[np.ndarray, np.ndarray]:
    """Match detections, best first, to galaxies: which galaxies are found (M,), which detections are right (N,)."""
    found, right = np.zeros(len(truth), bool), np.zeros(len(boxes), bool)
    if len(boxes) and len(truth):
        overlap = iou_matrix(boxes, truth)
        for number in range(len(boxes)):
            best = int(np.where(found, -1, overlap[number]).argmax())
            if not found[best] and overlap[number, best] >= iou:
                found[best] = right[number] = True
            elif overlap[number].max() >= iou:
                right[number] = True  # a second box of the same galaxy is not a false detection
    return found, right


def _inside(box: np.ndarray, truth: np.ndarray) -> np.ndarray:
    low, high = np.maximum(box[:2], truth[:, :2]), np.minimum(box[2:], truth[:, 2:])
    area = max(float(np.prod(box[2:] - box[:2])), 1e-6)
    return np.asarray(np.prod(np.clip(high - low, 0, None), axis=1) / area)


def wilson(found: int, of: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927, J. Am. Stat. Assoc. 22, 209)."""
    if not of:
        return 0.0, 1.0
    z = 1.96
    share, width = found / of, z * np.sqrt(found * (of - found) / of**3 + z * z / (4 * of * of))
    scale = 1 / (1 + z * z / of)
    return float(scale * (share + z * z / (2 * of) - width)), float(scale * (share + z * z / (2 * of) + width))


def poisson(count: int, frames: int) -> tuple[float, float]:
    """Return the 95 % interval of a rate a frame (Garwood 1936, by Wilson and Hilferty's approximation)."""
    low = 0.0 if not count else count * (1 - 1 / (9 * count) - 1.96 / (3 * np.sqrt(count))) ** 3
    more = count + 1
    high = more * (1 - 1 / (9 * more) + 1.96 / (3 * np.sqrt(more))) ** 3
    return low / frames, high / frames


def rates(
    looks: Sequence[Looks], truths: Sequence[np.ndarray], ignores: Sequence[np.ndarray], whole: float, tiles: float
) -> tuple[list[np.ndarray], int]:
    """Return which galaxies of every frame are found, and the number of false detections in all.

    A detection that lies mostly in a box to ignore is not counted.
    """
    every, false = [], 0
    for view, truth, ignore in zip(looks, truths, ignores, strict=True):
        boxes, _ = view.detections(whole, tiles)
        found, right = found_galaxies(boxes, truth)
        every.append(found)
        for box in boxes[~right]:
            false += not (len(ignore) and _inside(box, ignore).max() > 0.3)
    return every, false
