"""Simulate a sensor's noise and saturation in linear light.

Light is in units of a pixel's noise, which consists of shot, read and pattern noise.

An image that is scaled by its own noise depends neither on gain nor on exposure. A sensor is then described by its
noise in electrons (bright light is noisier than sky), the ratio of its channels' noises, and noise that is not white.
Every superpixel has its own samples of each colour, so that noise is drawn on superpixels as on a mosaic.
numpy and OpenCV only.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from .camera_effects import Rng

_BANK: list[np.ndarray] = []
_BANK_SIDE = 2048


@dataclass(frozen=True)
class SensorModel:
    """A camera's noise in a developed image, before the stretch.

    Attributes:
        electrons: noise of a pixel of green in electrons; light of x sigma adds x / electrons to the variance.
        channels: (3,) noise of red, green and blue in sigma; green is 1.
        rows, columns: banding: standard deviation of a row's and a column's own offset, in sigma.
        smooth: width in pixels over which noise is smeared by interpolation; 0: white.
        walking: standard deviation of the pattern left by hot and warm pixels under a drifting sky, in sigma.
        drift: (2,) pixels by which that pattern is smeared.
        hot: hot pixels per million that were not replaced.
        full: level of saturation in sigma.
        mono: whether all channels are equal.
    """

    electrons: float = 30.0
    channels: tuple[float, float, float] = (1.2, 1.0, 1.2)
    rows: float = 0.0
    columns: float = 0.0
    smooth: float = 0.0
    walking: float = 0.0
    drift: tuple[float, float] = field(default=(0.0, 0.0))
    hot: float = 0.0
    full: float = 1000.0
    mono: bool = False

    def expose(self, rng: Rng, light: np.ndarray, share: float = 1.0) -> np.ndarray:
        """Add noise to light and clip it at saturation.

        Args:
            light: (H, W, 3) float32 in sigma above the sky.
            share: standard deviation (0..1) of the noise to draw; 0 for a real sky, which has its own.

        Returns:
            (H, W, 3) float32.
        """
        height, width = light.shape[:2]
        if self.mono:
            light = np.repeat(light.mean(axis=2, keepdims=True), 3, axis=2)
        noise = self._white(rng, height, width)
        spread = share**2 + np.maximum(light, 0) / np.float32(self.electrons)
        result = light + np.sqrt(spread, out=spread) * noise
        if share:
            result += np.float32(share) * self._pattern(rng, height, width)
        return np.asarray(np.minimum(result, np.float32(self.full)))

    def _white(self, rng: Rng, height: int, width: int) -> np.ndarray:
        planes = [bank(rng, height, width) for _ in range(1 if self.mono else 3)] * (3 if self.mono else 1)
        if self.smooth:
            rms = 0.5 / (np.sqrt(np.pi) * self.smooth)  # rms of white noise behind a Gaussian filter
            factor = 1 / max(min(rms, 1.0), 0.05)
            planes = [cv2.GaussianBlur(plane, (0, 0), self.smooth) * np.float32(factor) for plane in planes]
        channels = (1.0, 1.0, 1.0) if self.mono else self.channels
        return cv2.merge([plane * np.float32(noise) for plane, noise in zip(planes, channels, strict=True)])

    def _pattern(self, rng: Rng, height: int, width: int) -> np.ndarray:
        """Draw banding, walking noise and hot pixels: (height, width, 1 or 3) float32."""
        pattern: np.ndarray = np.zeros((height, width, 1), np.float32)
        if self.rows:
            pattern += rng.normal(0, self.rows, (height, 1, 1)).astype(np.float32)
        if self.columns:
            pattern += rng.normal(0, self.columns, (1, width, 1)).astype(np.float32)
        if self.walking:
            kernel = _streak(self.drift)
            grain = cv2.filter2D(bank(rng, height, width), -1, kernel)
            pattern = pattern + np.float32(self.walking / np.sqrt((kernel**2).sum())) * grain[..., None]
        if not self.hot:
            return pattern
        pattern = np.repeat(pattern, 3, axis=2)
        count = rng.poisson(self.hot * height * width / 1e6)
        at = rng.integers(0, height, count), rng.integers(0, width, count), rng.integers(0, 3, count)
        pattern[at] += rng.uniform(5, 60, count).astype(np.float32)
        return pattern.mean(axis=2, keepdims=True) * np.ones(3, np.float32) if self.mono else pattern


def draw_sensor(rng: Rng) -> SensorModel:
    """Draw a random camera.

    It may be a small smart telescope, a cooled colour or mono camera, or a stack of frames of any of them.
    """

    def sometimes(chance: float, low: float, high: float) -> float:
        return float(rng.uniform(low, high)) if rng.random() < chance else 0.0

    angle, length = rng.uniform(0, np.pi), rng.uniform(2, 12)
    red, blue = np.exp(rng.normal(0.2, 0.2, 2))
    return SensorModel(
        electrons=float(np.exp(rng.uniform(np.log(4), np.log(150)))),
        channels=(float(np.clip(red, 0.7, 1.7)), 1.0, float(np.clip(blue, 0.7, 1.7))),
        rows=sometimes(0.25, 0.03, 0.3),
        columns=sometimes(0.2, 0.03, 0.25),
        smooth=sometimes(0.2, 0.35, 1.0),
        walking=sometimes(0.15, 0.1, 0.5),
        drift=(float(length * np.cos(angle)), float(length * np.sin(angle))),
        hot=sometimes(0.3, 5, 150),
        full=float(np.exp(rng.uniform(np.log(60), np.log(5000)))),
        mono=bool(rng.random() < 0.2),
    )


def bank(rng: Rng, height: int, width: int) -> np.ndarray:
    """Draw white noise (height, width) float32 as a part of a precomputed array.

    Its standard deviation is 1, and the part is mirrored at random. Both sides must be below `_BANK_SIDE`.
    """
    if not _BANK:
        _BANK.append(np.random.default_rng(0).standard_normal((_BANK_SIDE, _BANK_SIDE), np.float32))
    y, x = int(rng.integers(_BANK_SIDE - height)), int(rng.integers(_BANK_SIDE - width))
    part = _BANK[0][y : y + height, x : x + width]
    turn = int(rng.integers(4))
    return np.ascontiguousarray(part[:: -1 if turn & 1 else 1, :: -1 if turn & 2 else 1])


def _streak(drift: tuple[float, float]) -> np.ndarray:
    """Draw a line of the drift's length as a kernel whose sum is 1."""
    reach = int(max(map(abs, drift)) / 2) + 1
    kernel: np.ndarray = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    for step in np.linspace(-0.5, 0.5, 4 * reach + 1):
        kernel[round(reach + step * drift[1]), round(reach + step * drift[0])] += 1
    return np.asarray(kernel / kernel.sum())


def mosaic_of(rgb: np.ndarray, pattern: str) -> np.ndarray:
    """Sample an image like a colour filter array.

    The image is (H, W, 3) with even sides, the result (H, W) of the same type.
    """
    result = np.empty(rgb.shape[:2], rgb.dtype)
    for position, letter in enumerate(pattern):
        y, x = divmod(position, 2)
        result[y::2, x::2] = rgb[y::2, x::2, "RGB".index(letter)]
    return result
