"""Merge the detections of overlapping tiles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...models.decode import iou_matrix
from ..frame import Detections, nothing


def merge(views: np.ndarray, found: Sequence[Detections], iou: float, limit: int) -> Detections:
    """Make one list of the detections of several views.

    What touches the edge of a tile inside the frame is the part of something: another view shows it whole. Between
    views, a box that mostly lies in a better one, or around it, is the same object.

    Args:
        views: (V, 4) int in frame pixels, the whole frame first.
        found: of each view, in its own pixels.
        iou: above it two boxes are one object.
        limit: at most so many are kept, the best.
    """
    frame = views[0]
    boxes, scores, origin = [], [], []
    for number, (view, one) in enumerate(zip(views, found, strict=True)):
        size = np.concatenate([view[2:] - view[:2]] * 2)
        inner = view != frame
        gap = np.where([True, True, False, False], one.boxes, size - one.boxes)
        whole = ~((gap < EDGE) & inner).any(axis=1)
        boxes.append(one.boxes[whole] + np.concatenate([view[:2]] * 2).astype(np.float32))
        scores.append(one.scores[whole])
        origin.append(np.full(int(whole.sum()), number))
    every, score, view_of = np.concatenate(boxes), np.concatenate(scores), np.concatenate(origin)
    if not len(score):
        return nothing()
    order = np.argsort(-score, kind="stable")
    every, score, view_of = every[order], score[order], view_of[order]
    same = iou_matrix(every, every) > iou
    same |= (_inside(every) > INSIDE) & (view_of[:, None] != view_of[None])
    kept: list[int] = []
    for rank in range(len(every)):
        if not same[rank, kept].any():
            kept.append(rank)
    return Detections(every[kept[:limit]], score[kept[:limit]])


EDGE = 2.0


INSIDE = 0.7


def _inside(boxes: np.ndarray) -> np.ndarray:
    """(N, N) the share of the smaller of two boxes that lies in the other."""
    top_left = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    bottom_right = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return np.prod(np.clip(bottom_right - top_left, 0, None), axis=2) / np.minimum.outer(areas, areas)
