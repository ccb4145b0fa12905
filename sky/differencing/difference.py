"""Subtract a reference from a stack of the same field.

The stack is smoothed by the width of its stars, which is the best filter for faint ones, and the reference is convolved
with a kernel that makes its stars equal to the smoothed ones. So each pixel of the difference is the light of a star
that would be there and is not in the reference.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

from ..stars import ImageStars, find_stars, sky_background
from ..wcs import Wcs
from .alignment import align
from .kernel import fit_kernel, gaussian_kernel

_FWHM = 2.3548
MIN_STARS = 5
"""Minimum number of stars by which a reference can be matched."""
_TILE = 40
"""Side in pixels of the tiles in which the noise is measured."""
_EDGE = 21
"""Twice the width in pixels of the edge that is not searched: its background is not known well."""
_SYSTEMATIC_RANGE = (0.02, 0.3)
"""Range of the share of a star's light that is not subtracted well."""


class NotComparable(ValueError):
    """A stack and a reference cannot be compared; the message says why."""


@dataclass(frozen=True, eq=False)
class Image:
    """A linear image: (h, w) float32 light above 0, NaN where unknown, and its WCS."""

    light: np.ndarray
    wcs: Wcs


@dataclass(frozen=True, eq=False)
class Difference:
    """What a stack has and its reference has not, on the reference's pixels.

    Attributes:
        wcs: of the reference.
        new: float32, the aligned stack without its background; reference: as it was subtracted.
        smoothed: float32, `new` after the filter for stars; values float32: the difference.
        noise: float32, standard deviation of `values`, errors of the subtraction included.
        valid: bool.
        sigma: width of a new star in `values`, a standard deviation in pixels.
        stars: of the reference.
        flux_ratio: light of a star in the stack over that in the reference.
        saturated: bool, pixels on or next to stars that are cut.
    """

    wcs: Wcs
    new: np.ndarray
    reference: np.ndarray
    smoothed: np.ndarray
    values: np.ndarray
    noise: np.ndarray
    valid: np.ndarray
    sigma: float
    stars: ImageStars
    flux_ratio: float
    saturated: np.ndarray

    def cropped(self, bounds: tuple[int, int, int, int]) -> Difference:
        """Return the part within x0, y0, x1, y1, in pixels of the reference."""
        x0, y0, x1, y1 = bounds
        names = ("new", "reference", "smoothed", "values", "noise", "valid", "saturated")
        parts = {name: getattr(self, name)[y0:y1, x0:x1] for name in names}
        moved = replace(self.stars, xy=self.stars.xy - [x0, y0])
        inside = np.all((moved.xy >= 0) & (moved.xy < [x1 - x0, y1 - y0]), axis=1)
        stars = ImageStars(moved.xy[inside], moved.flux[inside], moved.fwhm[inside], moved.elongation[inside])
        return replace(self, wcs=self.wcs.cropped(x0, y0, x1 - x0, y1 - y0), stars=stars, **parts)


def subtract(reference: Image, new: Image) -> Difference:
    """Subtract a reference from a new image of its field.

    Raises:
        NotComparable: there are too few common stars or pixels.
    """
    ratio = new.wcs.scale / reference.wcs.scale
    if not 0.9 < ratio < 1.1:
        raise NotComparable(f"its pixels are {ratio:.2f} times as large as those of the reference")
    old = np.where(np.isfinite(reference.light), reference.light, np.nanmedian(reference.light)).astype(np.float32)
    aligned, valid = align(old, reference.wcs, new.light, new.wcs)
    valid &= np.isfinite(reference.light)
    valid = cv2.erode(valid.astype(np.uint8), np.ones((_EDGE, _EDGE), np.uint8), borderValue=0) > 0
    share = float(valid.mean())
    if share < 0.1:
        raise NotComparable(f"it shows only {share:.0%} of the field of the reference")
    old_stars, new_stars = find_stars(old, limit=300), find_stars(aligned, limit=300)
    if min(len(old_stars), len(new_stars)) < MIN_STARS:
        where = "the reference" if len(old_stars) < len(new_stars) else "it, perhaps because of clouds"
        raise NotComparable(f"too few stars are seen in {where}")
    widths = [max(0.7071, float(np.median(stars.fwhm[:60])) / _FWHM) for stars in (old_stars, new_stars)]
    sigma = max(widths)
    side = max(_TILE, round(8 * sigma * _FWHM))
    old_flat, new_flat = old - sky_background(old, side), aligned - sky_background(aligned, side)
    smoothed = cv2.filter2D(new_flat, -1, gaussian_kernel(sigma))
    saturated = _saturated(old, old_stars, sigma) | _saturated(aligned, new_stars, sigma)
    spread = 1.4826 * float(np.median(np.abs(smoothed[valid])))
    fitted = _star_pixels(old_stars, valid & ~saturated, radius=2.5 * sigma * _FWHM)
    kernel = fit_kernel(old_flat, smoothed, fitted, sigma, max(spread, 1e-6))
    if kernel is None or not kernel[0].sum() > 0:
        raise NotComparable("the shapes of its stars cannot be matched to those of the reference")
    model = cv2.filter2D(old_flat, -1, kernel[0]) + np.float32(kernel[1])
    values = smoothed - model
    values -= sky_background(values, side)
    width = math.hypot(widths[1], sigma)
    noise = _noise(values, model, valid, old_stars, width, saturated)
    return Difference(
        reference.wcs, new_flat, model, smoothed, values, noise, valid, width, old_stars, float(kernel[0].sum()),
        saturated,
    )  # fmt: skip


def _star_pixels(stars: ImageStars, usable: np.ndarray, radius: float) -> np.ndarray:
    """Return the usable pixels (h, w) around stars."""
    mask = np.zeros(usable.shape, np.uint8)
    for x, y in stars.xy[:150].tolist():
        cv2.circle(mask, (round(x - 0.5), round(y - 0.5)), math.ceil(radius), 1, -1)
    return np.asarray((mask > 0) & usable)


def _saturated(light: np.ndarray, stars: ImageStars, sigma: float) -> np.ndarray:
    """Return the pixels (h, w) of stars whose peaks may be cut, and around them."""
    mask = np.zeros(light.shape, np.uint8)
    level = float(np.median(light[::3, ::3]))
    highest = float(light.max()) - level
    peaks = cv2.dilate(light, np.ones((3, 3), np.uint8)) - level
    for x, y in stars.xy.tolist():
        column, row = int(x), int(y)
        patch = light[max(0, row - 2) : row + 3, max(0, column - 2) : column + 3] - level
        if peaks[row, column] > 0.5 * highest and int((patch > 0.93 * patch.max()).sum()) >= 4:
            cv2.circle(mask, (column, row), math.ceil(8 * sigma), 1, -1)
    return np.asarray(mask > 0)


# Many parameters because the noise has these sources.
def _noise(
    values: np.ndarray, model: np.ndarray, valid: np.ndarray, stars: ImageStars, width: float, saturated: np.ndarray
) -> np.ndarray:
    """Return the standard deviation (h, w) of a difference.

    That of its surroundings, and a share of the sharp light that was subtracted, as large as it is at the stars.
    """
    height, columns = values.shape
    rows, across = max(1, height // _TILE), max(1, columns // _TILE)
    tiles = np.where(valid, values, np.nan)[: height // rows * rows, : columns // across * across]
    tiles = (
        tiles.reshape(rows, height // rows, across, columns // across).transpose(0, 2, 1, 3).reshape(rows, across, -1)
    )
    overall = 1.4826 * float(np.median(np.abs(values[valid])))
    spread = np.full((rows, across), overall, np.float32)
    enough = np.isfinite(tiles).mean(axis=2) > 0.3
    spread[enough] = 1.4826 * np.nanmedian(np.abs(tiles[enough]), axis=1)
    spread = np.maximum(spread, 0.8 * overall)
    local = cv2.resize(spread, (columns, height), interpolation=cv2.INTER_LINEAR)
    sharp = np.abs(model - cv2.GaussianBlur(model, (0, 0), 3 * width))
    sharp = cv2.dilate(sharp, np.ones((5, 5), np.uint8))
    spots = np.floor(stars.xy).astype(int)
    x, y = np.clip(spots[:, 0], 0, columns - 1), np.clip(spots[:, 1], 0, height - 1)
    error = cv2.dilate(np.abs(values), np.ones((3, 3), np.uint8))
    bright = (sharp[y, x] > 20 * local[y, x]) & valid[y, x] & ~saturated[y, x]
    share = float(np.percentile(error[y, x][bright] / sharp[y, x][bright], 70)) if bright.sum() >= 4 else 0.05
    share = min(max(share, _SYSTEMATIC_RANGE[0]), _SYSTEMATIC_RANGE[1])
    return np.asarray(np.hypot(local, np.float32(share) * sharp))
