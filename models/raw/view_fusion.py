"""Fuse the detections of a whole frame and of its windows into one list.

Views of the same galaxy agree on its middle, but the whole frame shows small galaxies coarsely: their box is the mean
of the windows' boxes, weighted by score (Solovyev et al. 2021, Image Vis. Comput. 107, 104117), and their score is the
maximum over the views. numpy only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..boxes import box_areas, intersection_areas, iou_matrix

FAINTEST = 0.1
"""Minimum score of a box whose position is used."""
EDGE = 2.0
"""Maximum distance in pixels of a cut-off box from the edge of its window."""
SAME_MIDDLE, SAME_SIZE, SAME_BOX, SAME_PART = 0.35, 2.2, 0.5, 0.3
"""Two boxes are of one object if their sizes differ at most by the second value as a factor, and either their middles
are closer than the first value times the smaller side, or they share more than the last value of the smaller area; or
if their IoU exceeds the third value."""
TRUSTED = 0.4
"""Minimum score of a window's box that is used, as a share of the best score."""
MIN_SIDE = 11.0
"""Minimum longer side of a box in pixels: smaller ones are close pairs of stars more often than galaxies."""


def fuse_views(
    views: np.ndarray, found: Sequence[tuple[np.ndarray, np.ndarray]], side: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Merge detections of several views, before any threshold.

    Args:
        views: (V, 4) x0, y0, x1, y1 in frame pixels, the whole frame first.
        found: for each view, boxes (N, 4) in its own pixels and scores (N,), including all from `FAINTEST`.
        side: of the network's input; for objects below half of it, windows give better boxes than the whole frame.

    Returns:
        boxes (M, 4) float32 in frame pixels, scores (M,) float32, best first, and the view with the best score, (M,)
        int.
    """
    boxes, scores, origin = _in_frame(views, found)
    middle, extent = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    size = np.sqrt(np.prod(extent, axis=1))
    used = np.zeros(len(boxes), bool)
    kept: list[int] = []
    fused: list[np.ndarray] = []
    for best in range(len(boxes)):
        if used[best]:
            continue
        ratio = size / size[best]
        same = (np.abs(middle - middle[best]) < SAME_MIDDLE * np.minimum(extent, extent[best])).all(axis=1)
        same |= _shared_part(boxes[best], boxes) > SAME_PART
        same &= (ratio < SAME_SIZE) & (ratio > 1 / SAME_SIZE)
        same |= iou_matrix(boxes[best : best + 1], boxes)[0] > SAME_BOX
        same &= ~used
        used |= same
        closer = np.flatnonzero(same & (origin > 0) & (scores >= TRUSTED * scores[best]))
        by_windows = len(closer) > 0 and extent[best].max() < side / 2
        box = np.average(boxes[closer], axis=0, weights=scores[closer]) if by_windows else boxes[best]
        if (box[2:] - box[:2]).max() >= MIN_SIDE:
            kept.append(best)
            fused.append(box)
    return np.array(fused, np.float32).reshape(-1, 4), scores[kept], origin[kept]


def _shared_part(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Return the overlap of a box (4,) with each of (N, 4).

    It is a share of the smaller area.
    """
    smaller = np.minimum(box_areas(boxes), box_areas(box[None]))
    return np.asarray(intersection_areas(box[None], boxes)[0] / np.maximum(smaller, 1e-6))


def _in_frame(
    views: np.ndarray, found: Sequence[tuple[np.ndarray, np.ndarray]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Convert boxes that are not cut off to frame pixels, best first.

    Return boxes, scores and view numbers.
    """
    boxes, scores, origin = [np.zeros((0, 4), np.float32)], [np.zeros(0, np.float32)], [np.zeros(0, int)]
    for number, (view, (view_boxes, score)) in enumerate(zip(views, found, strict=True)):
        inner = np.array([view[0] > views[0][0], view[1] > views[0][1], view[2] < views[0][2], view[3] < views[0][3]])
        gap = np.concatenate([view_boxes[:, :2], view[2:] - view[:2] - view_boxes[:, 2:]], axis=1)
        complete = (score >= FAINTEST) & ~((gap < EDGE) & inner).any(axis=1)
        boxes.append((view_boxes[complete] + np.tile(view[:2], 2)).astype(np.float32))
        scores.append(score[complete].astype(np.float32))
        origin.append(np.full(int(complete.sum()), number))
    score = np.concatenate(scores)
    order = np.argsort(-score, kind="stable")
    return np.concatenate(boxes)[order], score[order], np.concatenate(origin)[order]
