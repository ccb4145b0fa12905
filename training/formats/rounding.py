"""Numbers that come back: what a format rounds, and how the pixels that were meant are found again."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from .annotation import ImageAnnotation

DECIMALS = range(6)
"""Numbers of decimals, of pixels, that are tried, the roundest first."""


def round_to_shortest(values: np.ndarray, agrees: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Find the roundest pixels that a format would write as it has written them.

    A normalised or rounded number stands for a small range of pixels. The box that was drawn is nearly always the
    number of that range with the fewest decimals.

    Args:
        values: pixels, of any shape, as arithmetic gives them.
        agrees: returns, for each number of such an array, whether the format would write it the same.

    Returns:
        the same shape; where no round number agrees, `values`.
    """
    found, open_ = values.copy(), np.ones(values.shape, bool)
    for decimals in DECIMALS:
        tried = np.where(open_, np.round(values, decimals) + 0.0, found)
        settled = open_ & agrees(tried)
        found, open_ = np.where(settled, tried, found), open_ & ~settled
    return found


def restore_from_record(
    read: ImageAnnotation,
    keys: Sequence[Hashable],
    remembered: ImageAnnotation | None,
    keys_of: Callable[[ImageAnnotation], Iterable[Hashable]],
) -> ImageAnnotation:
    """Take back of a record what the format itself could not hold, for the boxes that are still as they were written.

    Args:
        read: as the format alone tells it; keys: N, what the format says of each box, its class among it.
        remembered: the record, if there is one; keys_of: gives what the format would say of each box of a record.

    Returns:
        `read` with the record's numbers, flags and extras for the boxes that both have, and with what it has `about`
        the picture.
    """
    if remembered is None:
        return read
    boxes, difficult, extras = read.boxes.copy(), read.difficult.copy(), list(read.extras)
    places: dict[Hashable, list[int]] = {}
    for place, key in enumerate(keys_of(remembered)):
        places.setdefault(key, []).append(place)
    for index, key in enumerate(keys):
        if places.get(key):
            place = places[key].pop(0)
            boxes[index], difficult[index] = remembered.boxes[place], remembered.difficult[place]
            extras[index] = remembered.extras[place]
    return replace(read, boxes=boxes, difficult=difficult, extras=tuple(extras), about=remembered.about)
