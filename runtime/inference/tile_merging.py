"""Merge the detections of overlapping tiles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...models.boxes import box_areas, intersection_areas, iou_matrix
from ..frame import Detections

EDGE = 2.0
"""Maximum distance in pixels of a cut-off box from its tile's edge."""
INSIDE = 0.7
"""Minimum share of the smaller of two boxes that lies inside the other, if both are the same object."""


def merge(views: np.ndarray, found: Sequence[Detections], iou: float, limit: int) -> Detections:
    """Merge the detections of several views of a frame into one list.

    A box that touches the edge of a tile inside the frame is cut off and dropped: another view shows the whole object.
    Between views, a box that mostly lies inside a better one, or around it, is the same object.

    Args:
        views: (V, 4) int x0, y0, x1, y1 in frame pixels, the whole frame first.
        found: detections of each view, in its own pixels.
        iou: overlap above which two boxes are one object.
        limit: maximum number of detections; the best are kept.
    """
    frame = views[0]
    boxes, scores, origin = [], [], []
    for number, (view, detections) in enumerate(zip(views, found, strict=True)):
        size = np.concatenate([view[2:] - view[:2]] * 2)
        inner = view != frame
        gap = np.where([True, True, False, False], detections.boxes, size - detections.boxes)
        complete = ~((gap < EDGE) & inner).any(axis=1)
        boxes.append(detections.boxes[complete] + np.concatenate([view[:2]] * 2).astype(np.float32))
        scores.append(detections.scores[complete])
        origin.append(np.full(int(complete.sum()), number))
    every, score, view_of = np.concatenate(boxes), np.concatenate(scores), np.concatenate(origin)
    if not len(score):
        return Detections.empty()
    order = np.argsort(-score, kind="stable")
    every, score, view_of = every[order], score[order], view_of[order]
    same = iou_matrix(every, every) > iou
    same |= (_overlap_share(every) > INSIDE) & (view_of[:, None] != view_of[None])
    kept: list[int] = []
    for rank in range(len(every)):
        if not same[rank, kept].any():
            kept.append(rank)
    return Detections(every[kept[:limit]], score[kept[:limit]])


def _overlap_share(boxes: np.ndarray) -> np.ndarray:
    """Return each pair's intersection as a share of the smaller box, (N, N)."""
    areas = box_areas(boxes)
    shares: np.ndarray = intersection_areas(boxes, boxes) / np.minimum.outer(areas, areas)
    return shares
