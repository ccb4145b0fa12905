"""Assign boxes to anchors for training, and decode a network's raw outputs.

Numpy only.
"""

from __future__ import annotations

import numpy as np

from ...models.boxes import intersection_areas, iou_matrix
from ...models.decode import average_boxes, decode_boxes, non_maximum_suppression, sigmoid

NMS_IOU = 0.5
"""IoU with a better box above which a box is dropped, as in exported bundles."""


def anchor_corners(anchors: np.ndarray) -> np.ndarray:
    """Convert anchors (N, 4) from centre and size to corners.

    Anchors are (centre y, centre x, height, width), the result is (x0, y0, x1, y1).
    """
    centre, half = anchors[:, 1::-1], anchors[:, :1:-1] / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def encode_boxes(boxes: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Encode boxes (N, 4) relative to their anchors (N, 4), as float32 deltas.

    It is the inverse of `models.decode.decode_boxes`.
    """
    centre, extent = (boxes[:, :2] + boxes[:, 2:]) / 2, np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-3)
    shift = (centre[:, ::-1] - anchors[:, :2]) / anchors[:, 2:] * 10.0
    return np.concatenate([shift, np.log(extent[:, ::-1] / anchors[:, 2:]) * 5.0], axis=1).astype(np.float32)


def assign_targets(anchors: np.ndarray, boxes: np.ndarray, ignore: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Assign a target to every anchor.

    An anchor is positive if its IoU with a box is at least 0.5, or nearly that of the best anchor of the box, so that
    galaxies smaller than every anchor are learnt too. Anchors with an IoU between 0.4 and 0.5, and those on ignored
    boxes, are not counted unless they are positive.

    Args:
        anchors: (N, 4) from `models.decode.anchor_grid`.
        boxes: (G, 4) in input pixels.
        ignore: (M, 4) in input pixels.

    Returns:
        (N,) int8: 1 positive, 0 negative, -1 not counted; and (N, 4) float32 deltas of the positive ones, else 0.
    """
    grid = anchor_corners(anchors)
    target = np.zeros(len(anchors), np.int8)
    deltas = np.zeros((len(anchors), 4), np.float32)
    if len(ignore):
        covered = (intersection_areas(grid, ignore) > 0.5 * np.prod(anchors[:, 2:], axis=1)[:, None]).any(axis=1)
        target[covered | (iou_matrix(grid, ignore) > 0.25).any(axis=1)] = -1
    if len(boxes):
        overlap = iou_matrix(grid, boxes)
        best = overlap.max(axis=1)
        owner = overlap.argmax(axis=1)
        target[(best >= 0.4) & (target == 0)] = -1
        positive = best >= 0.5
        near = overlap >= np.maximum(0.9 * overlap.max(axis=0), 0.05)
        near &= overlap.max(axis=0) < 0.6  # boxes with well-fitting anchors have enough of them
        forced = near.any(axis=1) & ~positive
        owner[forced] = np.where(near[forced], overlap[forced], -1).argmax(axis=1)
        positive |= forced
        target[positive] = 1
        deltas[positive] = encode_boxes(boxes[owner[positive]], anchors[positive])
    return target, deltas


def decode_detections(
    deltas: np.ndarray, logits: np.ndarray, anchors: np.ndarray, min_score: float = 0.02, limit: int = 100
) -> tuple[np.ndarray, np.ndarray]:
    """Decode an image's raw outputs to boxes (K, 4) and scores (K,), best first.

    `deltas` are (N, 4) and `logits` (N,), in the order of the anchors.
    """
    scores = sigmoid(logits)
    top = np.argsort(-scores, kind="stable")[:400]
    top = top[scores[top] >= min_score]
    boxes = decode_boxes(deltas[top], anchors[top])
    keep = non_maximum_suppression(boxes, scores[top], NMS_IOU, limit)
    return average_boxes(boxes, scores[top], keep, NMS_IOU), scores[top][keep]
