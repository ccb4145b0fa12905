"""Areas and overlaps of boxes, (N, 4) x0, y0, x1, y1 in pixels.

x1 and y1 are exclusive edges.
"""

from __future__ import annotations

import numpy as np


def box_areas(boxes: np.ndarray) -> np.ndarray:
    """Return the areas (N,) of boxes (N, 4).

    A box whose edges are reversed has area 0.
    """
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    areas: np.ndarray = sides[:, 0] * sides[:, 1]
    return areas


def intersection_areas(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the area that each box of (N, 4) shares with each of (M, 4), as (N, M).

    The area is 0 where they are apart.
    """
    left, top, right, bottom = first.T[:, :, None]
    widths = np.maximum(np.minimum(right, second[:, 2]) - np.maximum(left, second[:, 0]), 0)
    heights = np.maximum(np.minimum(bottom, second[:, 3]) - np.maximum(top, second[:, 1]), 0)
    areas: np.ndarray = widths * heights
    return areas


def iou_matrix(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Compute the intersection over union of every pair of boxes.

    Boxes (N, 4) and (M, 4) give (N, M) in 0..1.
    """
    overlap = intersection_areas(first, second)
    union = box_areas(first)[:, None] + box_areas(second) - overlap
    return np.where(union > 0, overlap / np.maximum(union, 1e-12), 0.0)


def share_inside(boxes: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """Return the share (N,) 0..1 of each box (N, 4) inside a region.

    The region is the one of (M, 4) that covers most of the box.
    """
    if not len(regions):
        return np.zeros(len(boxes))
    areas = box_areas(boxes)
    covered = intersection_areas(boxes, regions).max(axis=1)
    return np.where(areas > 0, covered / np.maximum(areas, 1e-12), 0.0)


def smaller_share(first: np.ndarray, second: np.ndarray, largest: float = np.inf) -> np.ndarray:
    """Return the share of each pair's smaller box that both boxes cover.

    Boxes (N, 4) and (M, 4) give (N, M) in 0..1.

    Args:
        largest: area of a box of `first`, in areas of the other, above which the share of the other does not count.
    """
    overlap, areas, others = intersection_areas(first, second), box_areas(first)[:, None], box_areas(second)[None]
    reference = np.where(areas > largest * others, areas, np.minimum(areas, others))
    return np.where(reference > 0, overlap / np.maximum(reference, 1e-12), 0.0)
