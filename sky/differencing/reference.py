"""The reference of a field: the mean of several aligned stacks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .alignment import align
from .difference import Image

MAX_SIGMAS = 5.0
_SCINTILLATION = 0.5
"""Share of its light by which a pixel may differ from the mean of the others, in addition to the noise."""


class ReferenceBuilder:
    """Adds stacks to a reference.

    Args:
        first: gives the pixels.
        total, count: (h, w) float32 sums above the sky and numbers of stacks, of a reference that is continued.
        sky: level of the first stack's sky.
    """

    def __init__(
        self, first: Image, total: np.ndarray | None = None, count: np.ndarray | None = None, sky: float | None = None
    ) -> None:
        self.wcs = first.wcs
        self.sky = _level(first.light) if sky is None else sky
        self._first = np.where(np.isfinite(first.light), first.light, np.float32(self.sky)).astype(np.float32)
        if total is None or count is None:
            valid = np.isfinite(first.light)
            total, count = np.where(valid, first.light - self.sky, 0), valid
        self.total = total.astype(np.float32)
        self.count = count.astype(np.float32)

    @property
    def image(self) -> Image:
        """The mean; NaN where no stack has a value."""
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(self.count > 0, self.total / self.count + np.float32(self.sky), np.nan)
        return Image(mean.astype(np.float32), self.wcs)

    def add(self, new: Image) -> None:
        """Add a stack; what differs much from the mean, such as a satellite, is left out."""
        aligned, valid = align(self._first, self.wcs, new.light, new.wcs)
        aligned -= np.float32(_level(aligned[valid]) if valid.any() else 0.0)
        mean = self.total / np.maximum(self.count, 1)
        change = aligned - mean
        known = valid & (self.count > 0)
        if known.any():
            noise = 1.4826 * float(np.median(np.abs(change[known])))
            wrong = known & (np.abs(change) > MAX_SIGMAS * noise + _SCINTILLATION * np.abs(mean))
            wrong_before = wrong & (change < 0) & (self.count <= 1)  # the brighter one of two is left out
            self.total[wrong_before] = self.count[wrong_before] = 0
            valid &= ~wrong | wrong_before
        self.total += np.where(valid, aligned, 0)
        self.count += valid


def mean_image(images: Sequence[Image]) -> Image:
    """Return the mean of images of a field on the pixels of the first one."""
    builder = ReferenceBuilder(images[0])
    for image in images[1:]:
        builder.add(image)
    return builder.image


def _level(light: np.ndarray) -> float:
    finite = light[np.isfinite(light)]
    return float(np.median(finite[::5])) if finite.size else 0.0
