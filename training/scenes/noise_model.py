"""Measure a camera's noise from its own exposures, as input to `sensor_model`.

Frames of one night and one pointing are best: the part that is equal in all frames is pattern, the rest is noise.
Neither gain nor offset needs to be known.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from ...models.raw.front_end import linear_planes, measure
from ..data.errors import DataError
from .sensor_model import SensorModel

_CUT = 4.0
"""Number of standard deviations above which a pixel is not sky."""


@dataclass(frozen=True)
class NoiseModel:
    """A camera's noise, measured from its exposures.

    All values but levels are in units of the noise of a pixel of its channel.

    Attributes:
        frames: number of frames that were measured; channels: red, green, blue, or one of mono.
        sky, noise: (channels) level and standard deviation in the frame's units, of superpixels for a mosaic.
        read_limit: (channels) sky over noise: maximum noise in electrons, if the frames are dark-subtracted.
        temporal: (channels) share of the noise that differs between frames; 1 without a fixed pattern.
        pattern: (channels) share of the noise that is fixed; 0 with a single frame.
        rows, columns: banding: standard deviation of the offset of a row and a column, without the part due to chance.
        neighbours: correlation of a pixel with the next one: 0 for white noise, more after interpolation.
        hot: hot pixels per million, before they are replaced; saturation: largest level in the frames.
    """

    frames: int
    channels: int
    sky: list[float]
    noise: list[float]
    read_limit: list[float]
    temporal: list[float]
    pattern: list[float]
    rows: float
    columns: float
    neighbours: float
    hot: float
    saturation: float

    def plain(self) -> dict[str, Any]:
        """Return plain values, rounded, for JSON."""

        def rounded(value: Any) -> Any:
            return [rounded(part) for part in value] if isinstance(value, list) else float(f"{value:.5g}")

        return {
            name: value if isinstance(value, int) else rounded(value)
            for name, value in dataclasses.asdict(self).items()
        }

    def sensor(self) -> SensorModel:
        """Return a sensor model that draws such noise."""
        width = 0.0 if self.neighbours < 0.02 else float(np.sqrt(-1 / (4 * np.log(min(self.neighbours, 0.95)))))
        middle = self.channels // 2
        return SensorModel(
            electrons=max(2.0, self.read_limit[middle]),
            rows=self.rows,
            columns=self.columns,
            smooth=width,
            walking=self.pattern[middle],
            drift=(0.0, 0.0),
            hot=0.0,
            full=max(20.0, (self.saturation - self.sky[middle]) / self.noise[middle]),
            mono=self.channels == 1,
        )


def measure_noise(frames: Sequence[np.ndarray], pattern: str | None) -> NoiseModel:
    """Measure the noise of a camera.

    Args:
        frames: exposures of one camera and setting, in order of time: (H, W) mosaic or mono, linear; 4 to 20 suffice.
        pattern: see `models.raw.bayer.parse_pattern`; None for mono.

    Raises:
        DataError: there are no frames, they differ in shape, or have no noise.
    """
    if not frames or any(frame.shape != frames[0].shape for frame in frames):
        raise DataError("a noise model needs at least one frame, and all of the same size")
    skies, noises, hot, residuals = [], [], [], []
    for frame in frames:
        planes, replaced = linear_planes(frame, pattern)
        levels = measure(planes)
        if min(sky.noise for sky in levels.backgrounds) <= 0:
            raise DataError("a frame has no noise: it is not a raw exposure")
        height, width = planes[0].shape
        skies.append([sky.level for sky in levels.backgrounds])
        noises.append([sky.noise for sky in levels.backgrounds])
        hot.append(1e6 * replaced / frame.size)
        residuals.append(
            np.stack(
                [
                    (plane.astype(np.float32) - sky.surface(height, width)) / np.float32(sky.noise)
                    for plane, sky in zip(planes, levels.backgrounds, strict=True)
                ]
            )
        )
    temporal, fixed = _in_time(residuals)
    bands = [_bands(residual) for residual in residuals]
    sky, noise = np.median(skies, axis=0), np.median(noises, axis=0)
    return NoiseModel(
        len(frames),
        len(sky),
        sky.tolist(),
        noise.tolist(),
        (sky / noise).tolist(),
        temporal,
        fixed,
        float(np.median([band[0] for band in bands])),
        float(np.median([band[1] for band in bands])),
        float(np.median([_next_pixel(residual) for residual in residuals])),
        float(np.median(hot)),
        float(max(np.nanmax(frame) for frame in frames)),
    )


def _in_time(residuals: Sequence[np.ndarray]) -> tuple[list[float], list[float]]:
    """Separate changing noise from a fixed pattern by comparing frames.

    Consecutive frames are compared. Returns the share of the noise that differs and the share that is fixed, each with
    one value per channel.
    """
    channels = len(residuals[0])
    if len(residuals) < 2:
        return [1.0] * channels, [0.0] * channels
    shared = []
    for first, second in itertools.pairwise(residuals):
        sky = (np.abs(first) < _CUT) & (np.abs(second) < _CUT) & ~_stars(first) & ~_stars(second)
        shared.append(
            [float((before * after)[dark].mean()) for before, after, dark in zip(first, second, sky, strict=True)]
        )
    fixed_variance = np.clip(np.median(shared, axis=0), 0, 1)
    return np.sqrt(1 - fixed_variance).tolist(), np.sqrt(fixed_variance).tolist()


def _stars(residual: np.ndarray) -> np.ndarray:
    smooth = cv2.GaussianBlur(residual.mean(axis=0), (0, 0), 1.5)
    return cv2.dilate((smooth > 1.0).astype(np.uint8), np.ones((7, 7), np.uint8))[None] > 0


def _bands(residual: np.ndarray) -> tuple[float, float]:
    """Measure the banding of rows and of columns in a residual (channels, H, W).

    The part that white noise of as many pixels would cause is subtracted.
    """
    grey = np.clip(residual, -_CUT, _CUT).mean(axis=0)
    spread = 1.4826 * float(np.median(np.abs(grey - np.median(grey))))
    found = []
    for axis in (1, 0):
        offsets = np.median(grey, axis=axis)
        if len(offsets) > 50:  # remaining gradients are not banding
            offsets = offsets - cv2.GaussianBlur(offsets[:, None], (1, 0), 0, sigmaY=8)[:, 0]
        chance = 1.2533 * spread / np.sqrt(grey.shape[axis])
        found.append(float(np.sqrt(max(0.0, offsets.var() - chance**2))))
    return found[0], found[1]


def _next_pixel(residual: np.ndarray) -> float:
    dark = ~_stars(residual) & (np.abs(residual) < _CUT)
    both = dark[:, :, 1:] & dark[:, :, :-1]
    product = residual[:, :, 1:] * residual[:, :, :-1]
    return float(product[both].mean() / max(float((residual[dark] ** 2).mean()), 1e-9))
