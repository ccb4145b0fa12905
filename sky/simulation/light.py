"""Light of stars, galaxies and satellites on a sensor, before any noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

_BETA = 3.5
"""Exponent of the Moffat profile of stars: wings like those of the telescopes that were measured."""
_FINE = 3
"""Samples along each side of a pixel next to a star's centre."""


@dataclass(frozen=True)
class Sensor:
    """What a pixel's colour does to light.

    Attributes:
        channel: (H, W) uint8: 0 red, 1 green, 2 blue.
    """

    channel: np.ndarray

    @classmethod
    def of(cls, width: int, height: int, pattern: str | None) -> Sensor:
        """Return that of a mosaic, or of a mono camera, all of whose pixels are green."""
        channel = np.ones((height, width), np.uint8)
        for position, letter in enumerate(pattern or ""):
            y, x = divmod(position, 2)
            channel[y::2, x::2] = "RGB".index(letter)
        return cls(channel)

    def add(self, light: np.ndarray, stamp: np.ndarray, x0: int, y0: int, electrons: np.ndarray) -> None:
        """Add a stamp whose upper left pixel is (x0, y0), in place.

        It has `electrons` (3,) in red, green and blue.
        """
        height, width = light.shape
        left, top = max(0, x0), max(0, y0)
        right, bottom = min(width, x0 + stamp.shape[1]), min(height, y0 + stamp.shape[0])
        if left < right and top < bottom:
            part = stamp[top - y0 : bottom - y0, left - x0 : right - x0]
            colours = electrons.astype(np.float32)[self.channel[top:bottom, left:right]]
            light[top:bottom, left:right] += part * colours


def star_stamp(x: float, y: float, fwhm: float, trail: tuple[float, float], radius: int) -> tuple[np.ndarray, int, int]:
    """Return the image of a star whose sum is 1, and its upper left pixel x, y.

    Args:
        x, y: centre in pixels, edges at whole numbers.
        fwhm: full width at half maximum in pixels.
        trail: movement during the exposure in pixels.
        radius: of the stamp in pixels.
    """
    alpha = fwhm / (2 * math.sqrt(2 ** (1 / _BETA) - 1))
    x0, y0 = math.floor(x) - radius, math.floor(y) - radius
    side = (2 * radius + 1) * _FINE
    grid = (np.arange(side, dtype=np.float32) + 0.5) / _FINE
    steps = max(1, math.ceil(math.hypot(*trail) * 2))
    fine: np.ndarray = np.zeros((side, side), np.float32)
    for step in range(steps):
        along = (step + 0.5) / steps - 0.5
        dx, dy = grid - np.float32(x - x0 + along * trail[0]), grid - np.float32(y - y0 + along * trail[1])
        fine += (1 + (dx[None] ** 2 + dy[:, None] ** 2) / np.float32(alpha**2)) ** np.float32(-_BETA)
    stamp = fine.reshape(2 * radius + 1, _FINE, 2 * radius + 1, _FINE).sum(axis=(1, 3))
    norm = math.pi * alpha**2 / (_BETA - 1) * _FINE**2 * steps
    return stamp / np.float32(norm), x0, y0


@dataclass(frozen=True)
class Galaxy:
    """The shape of a galaxy in pixels: an exponential disk with a bulge.

    Attributes:
        x, y: centre; radius: semi-major axis of the 25 mag isophote; ratio: minor over major axis.
        angle: of the major axis in the frame, degrees from the x axis towards y.
        scale_lengths: of the disk in `radius`; bulge: its share of the light, 0 to 1.
    """

    x: float
    y: float
    radius: float
    ratio: float
    angle: float
    scale_lengths: float
    bulge: float


def galaxy_stamp(galaxy: Galaxy, fwhm: float, width: int, height: int) -> tuple[np.ndarray, int, int]:
    """Return the image of a galaxy, and its upper left pixel x, y.

    Its sum is 1 if it is completely inside the frame.
    """
    reach = max(6.0, 2.0 * galaxy.radius) + 4 * fwhm
    x0, y0 = max(0, math.floor(galaxy.x - reach)), max(0, math.floor(galaxy.y - reach))
    x1, y1 = min(width, math.ceil(galaxy.x + reach)), min(height, math.ceil(galaxy.y + reach))
    if x0 >= x1 or y0 >= y1:
        return np.zeros((0, 0), np.float32), 0, 0
    dx = np.arange(x0, x1, dtype=np.float32)[None] + np.float32(0.5 - galaxy.x)
    dy = np.arange(y0, y1, dtype=np.float32)[:, None] + np.float32(0.5 - galaxy.y)
    cosine, sine = math.cos(math.radians(galaxy.angle)), math.sin(math.radians(galaxy.angle))
    ratio = max(galaxy.ratio, 0.1)
    along, across = dx * cosine + dy * sine, (dy * cosine - dx * sine) / ratio
    r = np.sqrt(along**2 + across**2 + np.float32(0.2))  # the peak of a bulge is narrower than a pixel
    h = max(galaxy.radius / galaxy.scale_lengths, 0.3)
    light = (1 - galaxy.bulge) * np.exp(-r / np.float32(h)) / np.float32(2 * math.pi * ratio * h**2)
    if galaxy.bulge:
        light += np.float32(galaxy.bulge) * _sersic(r, max(0.08 * galaxy.radius, 0.5), ratio)
    return cv2.GaussianBlur(light.astype(np.float32), (0, 0), max(fwhm / 2.3548, 0.3)), x0, y0


def _sersic(r: np.ndarray, effective: float, ratio: float, n: float = 2.0) -> np.ndarray:
    """Return a Sersic profile whose integral is 1."""
    b = 2 * n - 1 / 3 + 4 / (405 * n)
    total = 2 * math.pi * n * effective**2 * ratio * b ** (-2 * n) * math.gamma(2 * n)
    return np.asarray(np.exp(-b * (r / np.float32(effective)) ** np.float32(1 / n)) / np.float32(total))


def disk_scale_lengths(magnitude: float, major_arcsec: float, ratio: float, isophote: float = 24.3) -> float:
    """Return the radius of a disk's 25 mag isophote in scale lengths.

    Args:
        magnitude: total, V; major_arcsec: diameter of the isophote; ratio: of its axes.
        isophote: its brightness in V, mag/arcsec2.
    """
    level = 10 ** (-0.4 * (isophote - magnitude)) * 2 * math.pi * ratio * (major_arcsec / 2) ** 2
    low, high = 2.0, 12.0  # x^2 exp(-x) falls from its maximum at 2
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if middle**2 * math.exp(-middle) > level else (low, middle)
    return low


def add_satellite(light: np.ndarray, ends: np.ndarray, fwhm: float, electrons: float) -> None:
    """Add a trail between two points (2, 2) in pixels, in place.

    A pixel of its middle gets `electrons`.
    """
    line: np.ndarray = np.zeros(light.shape, np.float32)
    points = [(round(16 * float(x)), round(16 * float(y))) for x, y in ends]
    cv2.line(line, points[0], points[1], 1.0, 1, cv2.LINE_AA, 4)
    line = cv2.GaussianBlur(line, (0, 0), max(fwhm / 2.3548, 0.3))
    light += line * np.float32(electrons / max(float(line.max()), 1e-9))
