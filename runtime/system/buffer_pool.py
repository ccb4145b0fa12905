"""Arrays that are used again, so that frames of the same size cost no new memory."""

from __future__ import annotations

import sys

import numpy as np

MAX_ARRAYS = 16
# What `sys.getrefcount` counts of an array that only the list here holds: the list, the loop, the argument.
_ALONE = 3


class FrameBufferPool:
    """Gives out uint8 arrays; one that nobody holds any more, not even a view of it, is given out again.

    One thread takes; any thread may let go. A new shape forgets the arrays of the old one.
    """

    def __init__(self) -> None:
        self._arrays: list[np.ndarray] = []

    def acquire(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return an array of `shape` with anything in it."""
        for array in self._arrays:
            if array.shape == shape and sys.getrefcount(array) == _ALONE:
                return array
        array = np.empty(shape, np.uint8)
        self.adopt(array)
        return array

    def adopt(self, array: np.ndarray) -> None:
        """Give out an array, made elsewhere and owning its memory, as one of these when nobody holds it any more."""
        if self._arrays and self._arrays[0].shape != array.shape:
            self._arrays = []
        if len(self._arrays) < MAX_ARRAYS:
            self._arrays.append(array)
