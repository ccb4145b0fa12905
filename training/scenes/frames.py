"""A cache of the frames that scenes are drawn from and of their ignored boxes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..data.sample import Sample
from .cutouts import Segments, segment_sources, unboxed_sources

MAX_CACHED_FRAMES = 1500


class FrameCache:
    """A cache of frames and of the boxes to ignore in them.

    Args:
        samples: the frames that may be requested.
    """

    def __init__(self, samples: Sequence[Sample]) -> None:
        by_key = {sample.location: sample for sample in samples}
        self._cached = lru_cache(maxsize=MAX_CACHED_FRAMES)(lambda key: by_key[key].load())
        self._ignored: dict[tuple[Path, str], np.ndarray] = {}

    def load(self, sample: Sample) -> np.ndarray:
        """Return a frame: (H, W, 3) uint8 RGB."""
        # Survey frames are many and decode quickly; the others are few, large, and used repeatedly.
        image: np.ndarray = sample.load() if sample.set == "gz_frames" else self._cached(sample.location)
        return image

    def ignored(self, sample: Sample, image: np.ndarray) -> np.ndarray:
        """Return the boxes to ignore in a frame, (M, 4) float32.

        In a survey frame they include neighbours without a box.
        """
        key = sample.location
        if key not in self._ignored:
            if sample.complete:
                self._ignored[key] = np.concatenate([sample.ignore, np.zeros((0, 4), np.float32)])
            else:
                self.add_segments(sample, segment_sources(image))
        return self._ignored[key]

    def add_segments(self, sample: Sample, segments: Segments) -> None:
        """Store the unboxed sources of a segmented frame, unless they are known already."""
        extra = unboxed_sources(segments, sample.boxes)
        self._ignored.setdefault(sample.location, np.concatenate([sample.ignore, extra]))
