"""Develop a linear frame to the 8-bit image that the networks take.

This is the only implementation in the project.

Bayer mosaic -> superpixels -> sky subtracted -> channels balanced -> stretched by the frame's own noise. The image
does not depend on gain, offset or exposure of any channel. Images that were already processed to 8 bits are not
developed. numpy and OpenCV only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from .background import Background, measure_background
from .bayer import debayer, superpixel_planes, true_places
from .stretch import STEPS, Stretch
from .working_values import working_values

STAR_SIGMA = 5.0
"""Minimum light of a star, as the mean of 2 x 2 pixels in standard deviations of a pixel's noise."""
FEW_STARS = 30
"""Number of star pixels with the same weight as the noise, which balances the channels if there are no stars."""
_STANDS_OUT = 0.6
_NOT_SATURATED = 0.8
_OFF_NOISE = 1.6
"""Maximum factor between the gains that stars and noise give a channel, up or down."""
LARGE = 2**24
"""Minimum number of pixels of a frame that is stretched in bands."""
_AROUND = np.ones((5, 5), np.uint8)
_FINE = 24.0
"""Minimum noise in levels for which rounding the sky to integers changes the image by less than half a level."""
_TOLERANCE = 0.03
"""Maximum error of a row's sky, in standard deviations of the noise."""
_LUT_OF_16_BITS = int(cv2.__version__.split(".")[0]) >= 5


@dataclass(frozen=True)
class FrameLevels:
    """The measured levels on which a frame's stretch is based.

    Attributes:
        backgrounds: of each channel, one or three.
        factors: of each channel, from its units to standard deviations of the image's noise.
        balance: ``stars``, ``noise`` or ``mono``: what the balance of the channels is mainly based on.
    """

    backgrounds: tuple[Background, ...]
    factors: tuple[float, ...]
    balance: str


@dataclass(frozen=True)
class Developed:
    """A developed frame.

    Attributes:
        pixels: (H, W, 3) uint8 RGB.
        binning: frame pixels per side of an image pixel: 2 for superpixels, else 1.
        record: plain values: stretch, pattern, binning, sky, noise, balance, factors, hot_pixels.
    """

    pixels: np.ndarray
    binning: int
    record: dict[str, Any]


def develop(
    frame: np.ndarray,
    pattern: str | None = None,
    stretch: Stretch | None = None,
    full_size: bool = False,
    hot_pixels: bool = True,
    levels: FrameLevels | None = None,
) -> Developed:
    """Develop a linear frame to the image that the networks take.

    Args:
        frame: (H, W) mosaic or mono, or (H, W, 3) RGB; any real type; linear, in any units. Values that are not finite
            are ignored.
        pattern: of a mosaic, see `bayer.parse_pattern`; None for mono and RGB.
        stretch: None for the standard one.
        full_size: debayer a mosaic to its full size instead of making superpixels.
        hot_pixels: replace hot pixels of a mosaic.
        levels: as measured by `measure` on another frame in the same units; None to measure this one.

    Raises:
        ValueError: it is not a frame of such a shape, or a pattern is given for one that is not a mosaic.
    """
    stretch = stretch or Stretch()
    planes, replaced = linear_planes(frame, pattern, full_size, hot_pixels)
    levels = levels or measure(planes, stretch)
    binning = 2 if pattern and not full_size else 1
    record = stretch.manifest() | {
        "pattern": pattern,
        "binning": binning,
        "balance": levels.balance,
        "hot_pixels": replaced,
        "sky": [sky.level for sky in levels.backgrounds],
        "noise": [sky.noise for sky in levels.backgrounds],
        "factors": list(levels.factors),
    }
    return Developed(stretch_planes(planes, levels, stretch), binning, record)


def linear_planes(
    frame: np.ndarray, pattern: str | None = None, full_size: bool = False, hot_pixels: bool = True
) -> tuple[list[np.ndarray], int]:
    """Split a frame into its linear channels, one or three.

    For arguments and errors see `develop`.

    Returns:
        (H, W) uint16 or float32 arrays, finite; and the number of hot pixels replaced.
    """
    if frame.ndim not in (2, 3) or (frame.ndim == 3 and frame.shape[2] != 3) or min(frame.shape) < 1:
        raise ValueError(f"a frame is (H, W) or (H, W, 3), not {frame.shape}")
    if pattern and frame.ndim == 3:
        raise ValueError("a frame of three channels has no Bayer pattern")
    values = working_values(frame)
    if pattern and full_size:
        return list(cv2.split(debayer(values, pattern, hot_pixels))), 0
    if pattern:
        return superpixel_planes(values, pattern, hot_pixels)
    return (channels_of(values) if values.ndim == 3 else [values]), 0


def channels_of(image: np.ndarray) -> list[np.ndarray]:
    """Return the channels of (H, W, 3).

    They are views if it is stored channel by channel, else copies.
    """
    views = [image[..., channel] for channel in range(image.shape[2])]
    return views if views[0].flags.c_contiguous else list(cv2.split(image))


def measure(planes: Sequence[np.ndarray], stretch: Stretch | None = None) -> FrameLevels:
    """Measure sky, noise and balance of the channels of `linear_planes`."""
    white = (stretch or Stretch()).white
    backgrounds = tuple(measure_background(plane) for plane in planes)
    factors = []
    for plane, sky in zip(planes, backgrounds, strict=True):
        if sky.noise > 0:
            factors.append(1 / sky.noise)
        else:  # drawn, or saturated everywhere: the maximum becomes white
            reach = cv2.minMaxLoc(plane)[1] - sky.level
            factors.append(white / reach if reach > 0 else 0.0)
    if len(planes) == 1:
        return FrameLevels(backgrounds, tuple(factors), "mono")
    gains, stars = _star_balance(planes, backgrounds, factors)
    return FrameLevels(
        backgrounds,
        tuple(factor * gain for factor, gain in zip(factors, gains, strict=True)),
        "stars" if stars >= FEW_STARS else "noise",
    )


def stretch_planes(planes: Sequence[np.ndarray], levels: FrameLevels, stretch: Stretch | None = None) -> np.ndarray:
    """Stretch linear channels (H, W), one or three, to (H, W, 3) uint8 RGB."""
    stretch = stretch or Stretch()
    height, width = planes[0].shape
    band = height if height * width <= LARGE else max(1, LARGE // 4 // width)
    result = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, band):  # float copies of a large frame would double its memory
        rows = slice(top, min(height, top + band))
        levels_of_rows = []
        for plane, sky, factor in zip(planes, levels.backgrounds, levels.factors, strict=True):
            part = sky if band == height else sky.of_rows(rows, height)
            work = _levels_of_integers if _is_coarse(plane[rows], part, factor, stretch) else _levels
            levels_of_rows.append(work(plane[rows], part, factor, stretch))
        cv2.merge(levels_of_rows if len(planes) == 3 else levels_of_rows * 3, dst=result[rows])
    return result


def _levels(plane: np.ndarray, sky: Background, factor: float, stretch: Stretch) -> np.ndarray:
    """Stretch one channel (H, W) of any type to uint8."""
    table, alpha = stretch.table(), factor * STEPS
    # Level and surface are subtracted separately, or the steps of float32 would show if the sky is far above the noise.
    shape = Background(np.array([stretch.black * STEPS, *(-alpha * sky.coefficients[1:])]), 1.0)
    surface = shape.surface(plane.shape[0], plane.shape[1], tolerance=_TOLERANCE * STEPS)
    above = np.subtract(plane, np.float32(sky.level), dtype=np.float32)
    if alpha > 0:  # larger numbers would overflow before they are cut off
        np.minimum(above, np.float32(min(2 * len(table) / alpha, 1e30)), out=above)
    steps = cv2.addWeighted(above, alpha, surface, 1.0, 0.0, dtype=cv2.CV_16U)
    return _looked_up(table, steps)


def _is_coarse(plane: np.ndarray, sky: Background, factor: float, stretch: Stretch) -> bool:
    """Return whether a channel's integers are fine enough for its noise.

    Its sky must not be near zero either.
    """
    if plane.dtype != np.uint16 or not 0 < factor * _FINE <= 1:
        return False
    lowest = sky.level - float(np.abs(sky.coefficients[1:]).sum()) - stretch.black / factor
    return lowest >= 0 and 2 * sky.level - lowest < 65_535


def _levels_of_integers(plane: np.ndarray, sky: Background, factor: float, stretch: Stretch) -> np.ndarray:
    """Stretch one channel (H, W) uint16 by a table of its own levels.

    The result is that of `_levels` in half of the time.
    """
    black = Background(sky.coefficients - np.array([stretch.black / factor - 0.5, 0, 0, 0, 0, 0]), 1.0)
    surface = black.surface(plane.shape[0], plane.shape[1], tolerance=_TOLERANCE / factor, dtype=np.uint16)
    above = cv2.subtract(plane, surface)  # 0 below black
    # The first whole number that reaches each level of the image.
    first = np.ceil((stretch.first_steps() - 0.5) / (factor * STEPS)).astype(int)
    bounds = np.concatenate([np.clip(first, 0, 65_536), [65_536]])
    return _looked_up(np.repeat(np.arange(256, dtype=np.uint8), np.diff(bounds)), above)


def _looked_up(table: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Look up (H, W) uint16 in a table (65536,) uint8.

    OpenCV 5 does it in half the time.
    """
    if _LUT_OF_16_BITS:
        return cv2.LUT(steps, table)
    return np.take(table, steps, mode="clip")


def _star_balance(
    planes: Sequence[np.ndarray], backgrounds: Sequence[Background], factors: Sequence[float]
) -> tuple[list[float], int]:
    """Return the gains that make the median star white, and a pixel count.

    The count is that of star pixels; with few of them, gains stay near 1.

    Stars are the peaks of 5 x 5 neighbourhoods in the halved green channel that are not saturated in any channel.
    """
    height, width = planes[0].shape[0] // 2, planes[0].shape[1] // 2
    if min(height, width) < 8 or min(factors) <= 0:
        return [1.0, 1.0, 1.0], 0
    half = cv2.resize(planes[1][: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)
    stands_out = cv2.morphologyEx(half, cv2.MORPH_TOPHAT, _AROUND)
    least = STAR_SIGMA / factors[1]
    if half.dtype == np.uint16:  # of the image's own type, or the whole image would be converted
        least = min(least, 65_535.0)
    y, x = np.divmod(true_places((stands_out > stands_out.dtype.type(least)).reshape(-1)), width)
    if not len(y):
        return [1.0, 1.0, 1.0], 0
    light = np.stack(
        [
            (_quad_means(plane, y, x) - sky.at((x + 0.5) / width * 2 - 1, (y + 0.5) / height * 2 - 1)) * factor
            for plane, sky, factor in zip(planes, backgrounds, factors, strict=True)
        ]
    )
    good = stands_out[y, x] * factors[1] > _STANDS_OUT * light[1]
    good &= (light < _NOT_SATURATED * light.max(axis=1, keepdims=True)).all(axis=0)
    count = int(good.sum())
    if not count:
        return [1.0, 1.0, 1.0], 0
    ratios = np.median(light[:, good] / light[1, good], axis=1)
    trust = count / (count + FEW_STARS)
    gains = [_OFF_NOISE if ratio <= 0 else min(max(1 / float(ratio), 1 / _OFF_NOISE), _OFF_NOISE) for ratio in ratios]
    return [gain**trust for gain in gains], count


def _quad_means(plane: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return the means of the 2 x 2 pixels at (2 y, 2 x), float64."""
    corners = [plane[2 * y + down, 2 * x + right].astype(np.float64) for down in (0, 1) for right in (0, 1)]
    return np.asarray(sum(corners) / 4)
