"""A pool of reusable arrays, so that frames of the same size need no new memory."""

from __future__ import annotations

import sys

import numpy as np

MAX_ARRAYS = 16
# What `sys.getrefcount` counts of an array that only the list here holds: the list, the loop, the argument.
_ALONE = 3


class FrameBufferPool:
    """A pool of uint8 arrays.

    An array to which no reference is left, nor to a view of it, is reused.

    Only one thread may acquire; any thread may release. A new shape drops the arrays of the old one.
    """

    def __init__(self) -> None:
        self._arrays: list[np.ndarray] = []

    def acquire(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return an array of `shape` with arbitrary content."""
        for array in self._arrays:
            if array.shape == shape and sys.getrefcount(array) == _ALONE:
                return array
        array = np.empty(shape, np.uint8)
        self.adopt(array)
        return array

    def adopt(self, array: np.ndarray) -> None:
        """Add an array that was made elsewhere and owns its memory.

        It is reused once it is released.
        """
        if self._arrays and self._arrays[0].shape != array.shape:
            self._arrays = []
        if len(self._arrays) < MAX_ARRAYS:
            self._arrays.append(array)
