"""Recover exact pixels from the rounded numbers of label formats."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from .annotation import ImageAnnotation

DECIMALS = range(6)
"""Numbers of decimals of a pixel coordinate that are tried, the shortest first."""


def round_to_shortest(values: np.ndarray, agrees: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Round coordinates to the fewest decimals that a format would write alike.

    A normalised or rounded number stands for a small range of pixels. The edge that was drawn is nearly always the
    number of that range with the fewest decimals.

    Args:
        values: pixels, of any shape, as computed from the format's numbers.
        agrees: returns, for each number of such an array, whether the format would write it in the same way.

    Returns:
        Same shape as `values`, and equal to it where no rounded number agrees.
    """
    result, unsettled = values.copy(), np.ones(values.shape, bool)
    for decimals in DECIMALS:
        candidate = np.where(unsettled, np.round(values, decimals) + 0.0, result)
        settled = unsettled & agrees(candidate)
        result, unsettled = np.where(settled, candidate, result), unsettled & ~settled
    return result


def restore_from_record(
    read: ImageAnnotation,
    keys: Sequence[Hashable],
    remembered: ImageAnnotation | None,
    keys_of: Callable[[ImageAnnotation], Iterable[Hashable]],
) -> ImageAnnotation:
    """Restore from a record what the format cannot hold, for unchanged boxes.

    Args:
        read: the annotation as read from the format alone.
        keys: N, the format's values of each box, including its class.
        remembered: the record, if there is one.
        keys_of: returns the keys that the boxes of a record have in the format.

    Returns:
        `read` with the record's coordinates, flags and extras for the boxes that both have, and its values `about` the
        image.
    """
    if remembered is None:
        return read
    boxes, difficult, extras = read.boxes.copy(), read.difficult.copy(), list(read.extras)
    unused: dict[Hashable, list[int]] = {}
    for position, key in enumerate(keys_of(remembered)):
        unused.setdefault(key, []).append(position)
    for index, key in enumerate(keys):
        if unused.get(key):
            position = unused[key].pop(0)
            boxes[index], difficult[index] = remembered.boxes[position], remembered.difficult[position]
            extras[index] = remembered.extras[position]
    return replace(read, boxes=boxes, difficult=difficult, extras=tuple(extras), about=remembered.about)
