"""Decode a network's raw outputs into boxes, scores and probabilities.

Only numpy is needed, and the work is vectorised over anchors.

The anchor grid and the box code are those of RetinaNet in tf-models-official (``official.vision``): levels of
stride 2**level, ``scales_per_octave`` sizes an octave, box deltas (ty, tx, th, tw) weighted by [10, 10, 5, 5]
(Lin et al. 2017, arXiv:1708.02002; Liu et al. 2016, arXiv:1512.02325).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .boxes import iou_matrix

if TYPE_CHECKING:
    from .manifest import Anchors


def anchor_grid(
    width: int,
    height: int,
    min_level: int,
    max_level: int,
    anchor_size: float,
    scales_per_octave: int,
    aspect_ratios: Sequence[float],
) -> np.ndarray:
    """Compute the anchors of an SSD / RetinaNet head.

    Args:
        width, height: network input in pixels. If it is not a multiple of ``2**L``, level L has as many cells as
            convolutions with 'same' padding produce, evenly spaced.
        min_level, max_level: pyramid levels; level L has stride ``2**L``.
        anchor_size: side of the smallest anchor of a level, in strides.
        scales_per_octave: sizes per level, at ``2**(i / n)``.
        aspect_ratios: width over height.

    Returns:
        (N, 4) float32 centre y, centre x, height, width in input pixels, ordered as the head's outputs: level, row,
        column, scale, aspect.
    """
    levels = []
    for level in range(min_level, max_level + 1):
        sides = [anchor_size * 2**level * 2 ** (scale / scales_per_octave) for scale in range(scales_per_octave)]
        shapes = [(side / np.sqrt(aspect), side * np.sqrt(aspect)) for side in sides for aspect in aspect_ratios]
        rows, columns = -(-height // 2**level), -(-width // 2**level)
        centres_y = (np.arange(rows) + 0.5) * height / rows
        centres_x = (np.arange(columns) + 0.5) * width / columns
        grid_y, grid_x = np.meshgrid(centres_y, centres_x, indexing="ij")
        centres = np.stack([grid_y, grid_x], axis=-1)[:, :, None, :]
        sizes = np.broadcast_to(np.asarray(shapes), (*grid_y.shape, len(shapes), 2))
        centres = np.broadcast_to(centres, sizes.shape)
        levels.append(np.concatenate([centres, sizes], axis=-1).reshape(-1, 4))
    return np.concatenate(levels).astype(np.float32)


def anchors_from_manifest(anchors: Anchors, width: int, height: int) -> np.ndarray:
    """Compute the anchors described by a manifest.

    The input has `width` x `height` pixels. See `anchor_grid`.
    """
    return anchor_grid(
        width,
        height,
        anchors.min_level,
        anchors.max_level,
        anchors.anchor_size,
        anchors.scales_per_octave,
        anchors.aspect_ratios,
    )


def decode_boxes(deltas: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Decode box deltas into boxes.

    Args:
        deltas: (N, 4) float32 ty, tx, th, tw, with the weights [10, 10, 5, 5].
        anchors: (N, 4) float32 from `anchor_grid`.

    Returns:
        (N, 4) float32 x0, y0, x1, y1 in input pixels, not clipped.
    """
    centre = deltas[:, :2] / 10.0 * anchors[:, 2:] + anchors[:, :2]
    # The bound keeps large deltas from overflowing exp; official.vision uses the same bound.
    half = np.exp(np.minimum(deltas[:, 2:] / 5.0, np.log(1000.0 / 16.0))) * anchors[:, 2:] / 2.0
    return np.concatenate([(centre - half)[:, ::-1], (centre + half)[:, ::-1]], axis=1).astype(np.float32)


def non_maximum_suppression(boxes: np.ndarray, scores: np.ndarray, iou: float, limit: int) -> np.ndarray:
    """Keep the best of overlapping boxes, greedily.

    Args:
        boxes: (N, 4) float32; at most a few hundred, because every pair is compared.
        scores: (N,) float32.
        iou: a box is dropped when its IoU with a better one exceeds this.
        limit: maximum number of boxes kept.

    Returns:
        Indices of the kept boxes, best first. Equal scores keep their order, so the result is deterministic.
    """
    order = np.argsort(-scores, kind="stable")
    overlaps = iou_matrix(boxes[order], boxes[order]) > iou
    crowded = (overlaps.sum(axis=1) > 1).tolist()  # a box overlaps itself
    alive = np.ones(len(order), bool)
    kept = []
    for rank in range(len(order)):
        if alive[rank]:
            kept.append(order[rank])
            if len(kept) == limit:
                break
            if crowded[rank]:
                alive[rank + 1 :] &= ~overlaps[rank, rank + 1 :]
    return np.asarray(kept, dtype=np.intp)


def average_boxes(boxes: np.ndarray, scores: np.ndarray, kept: np.ndarray, iou: float) -> np.ndarray:
    """Average each kept box with the boxes that overlap it.

    Several anchors give a box for the same object, with independent errors, so that the mean is more exact than the one
    with the best score (Gidaris and Komodakis 2015, arXiv:1505.01749). A box counts by the square of its score and the
    fourth power of its IoU with the kept one, so that those around another part of a large object count little.

    Args:
        boxes: (N, 4) float32, before suppression.
        scores: (N,) float32, over 0.
        kept: (K,) indices from `non_maximum_suppression`.
        iou: a box counts if its IoU with the kept one exceeds this, 0..1.

    Returns:
        (K, 4) float32, in the order of `kept`.
    """
    overlap = iou_matrix(boxes[kept], boxes)
    overlap[np.arange(len(kept)), kept] = 1.0  # an empty box does not overlap itself
    weights = np.where(overlap > iou, overlap**4 * scores**2, 0)
    means: np.ndarray = (weights @ boxes / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return means


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Map logits to scores in 0..1, without overflow."""
    scores: np.ndarray = (0.5 * (1.0 + np.tanh(0.5 * logits.astype(np.float32)))).astype(np.float32)
    return scores


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Map (N, C) logits to probabilities that sum to 1.

    `temperature` is the calibration fitted on validation data.
    """
    scaled = logits.astype(np.float32) / temperature
    powers = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    probabilities: np.ndarray = powers / powers.sum(axis=-1, keepdims=True)
    return probabilities
