"""Stars and galaxies in linear light, in units of a pixel's noise.

Numpy and OpenCV only.
"""

from __future__ import annotations

import cv2
import numpy as np

from .camera_effects import Rng
from .cutouts import Cutout

WINGS = ((0.80, 1.0), (0.16, 2.0), (0.04, 4.5))
"""A star's profile as Gaussians: shares of light, and widths relative to the first; close to a Moffat profile of
2.5."""

FLUX_SLOPES = (0.75, 1.15)
"""Slopes of the cumulative counts of stars against flux: 2.5 times those per magnitude, 0.3 to 0.46."""


def stars(rng: Rng, height: int, width: int) -> np.ndarray:
    """Draw a star field: (height, width, 3) float32 in sigma.

    Counts rise towards faint stars by a power law with the slopes of high and low galactic latitudes: 0.39 per
    magnitude in Tycho-2 (Hog et al. 2000, A&A 355, L27; V_T 6 to 11.5) above 40 degrees and 0.44 near the plane, 0.3
    for fainter stars (Bahcall and Soneira 1980, ApJS 44, 73). Densities range from a few stars per field to the Milky
    Way.
    """
    area = height * width / 224**2
    count = int(rng.poisson(area * np.exp(rng.uniform(np.log(8), np.log(900)))))
    slope = rng.uniform(*FLUX_SLOPES)
    flux = 8 * rng.uniform(0.3, 1.5) * (1 - rng.random(count)) ** (-1 / slope)  # the faintest is lost in the noise
    flux = np.minimum(flux, 60_000)
    colour = np.exp(rng.normal(0, 0.3, count))
    tints = np.stack([np.sqrt(colour), np.ones(count), 1 / np.sqrt(colour)], axis=1).astype(np.float32)
    canvas: np.ndarray = np.zeros((height, width, 3), np.float32)
    x, y = rng.uniform(0, width - 1.001, count), rng.uniform(0, height - 1.001, count)
    left, top = x.astype(int), y.astype(int)
    for right in (0, 1):
        for down in (0, 1):
            part = np.where(right, x - left, 1 - x + left) * np.where(down, y - top, 1 - y + top)
            np.add.at(canvas, (top + down, left + right), (flux * part)[:, None].astype(np.float32) * tints)
    return point_spread(canvas, np.exp(rng.uniform(np.log(0.4), np.log(1.7))), _trail(rng))


def point_spread(canvas: np.ndarray, seeing: float, trail: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """Spread points of light over the profile of a star.

    The core has a standard deviation of `seeing` pixels; `trail` (x, y) is the drift in pixels during the exposure.
    """
    result: np.ndarray = np.zeros_like(canvas)
    height, width = canvas.shape[:2]
    for share, relative_width in WINGS:
        # Wide profiles are smooth, so a reduced image is enough for them.
        reduction = 1 if relative_width * seeing < 1.5 else 2 if relative_width * seeing < 3 else 4
        part = canvas
        if reduction > 1:
            part = cv2.resize(canvas, (width // reduction, height // reduction), interpolation=cv2.INTER_AREA)
        part = cv2.GaussianBlur(part, (0, 0), max(0.3, relative_width * seeing / reduction))
        if reduction > 1:
            part = cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR)
        result += np.float32(share) * part
    if any(trail):
        ends = [
            cv2.warpAffine(
                result,
                np.array([[1, 0, half * trail[0]], [0, 1, half * trail[1]]], np.float32),
                (canvas.shape[1], canvas.shape[0]),
            )
            for half in (-0.5, 0.5)
        ]
        result = 0.4 * result + 0.3 * ends[0] + 0.3 * ends[1]
    return result


def _trail(rng: Rng) -> tuple[float, float]:
    if rng.random() < 0.75:
        return 0.0, 0.0
    angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 3)
    return float(length * np.cos(angle)), float(length * np.sin(angle))


def destretched(cutout: Cutout, strength: float) -> Cutout:
    """Undo the asinh stretch of a cut-out galaxy: light (H, W, 3) float32, 0..1.

    Args:
        strength: assumed strength of the stretch, 0 (it was linear) to about 7.
    """
    share = cutout.light.astype(np.float32) * np.float32(1 / 255)
    if strength > 0.05:
        grey = share.max(axis=2, keepdims=True)
        share = share * (np.sinh(strength * grey) / np.maximum(np.sinh(strength) * grey, 1e-6))
    return Cutout(share, cutout.box, cutout.tilt)


def sersic(rng: Rng, side: float) -> Cutout:
    """Draw a galaxy of blurred Sersic profiles.

    It is a single profile, or a bulge and a disk, some with arms. See Sersic 1963, BAAA 6, 41.

    Args:
        side: the longer side of its box in pixels; the box holds about 90 % of its light as a stretch displays it.

    Returns:
        light (S, S, 3) float32 with a mean of 1 inside half of the box's sides.
    """
    half = int(np.ceil(0.95 * side)) + 4
    axis = np.arange(-half, half + 1, dtype=np.float32)
    ratio = rng.uniform(0.2, 1.0) ** 0.8
    angle, twist = rng.uniform(0, np.pi), rng.uniform(-0.3, 0.3)
    x = axis[None] * np.float32(np.cos(angle)) + axis[:, None] * np.float32(np.sin(angle))
    y = axis[:, None] * np.float32(np.cos(angle)) - axis[None] * np.float32(np.sin(angle))
    reach = side / 2
    radius = np.hypot(x, y / np.float32(ratio)) / np.float32(reach)
    kind, index = rng.random(), rng.uniform(0.8, 5.0)
    light = _profile(radius, index if kind < 0.5 else 1.0, rng.uniform(0.25, 0.55))
    tint = np.exp(rng.normal(0, 0.15, 2))
    colours: np.ndarray = light[..., None] * np.array([tint[0], 1, tint[1]], np.float32)
    if kind >= 0.5:
        if rng.random() < 0.6 and ratio > 0.35:
            winding = rng.uniform(1.5, 5) * rng.choice([-1, 1])
            turn = np.arctan2(y / np.float32(ratio), x) + winding * np.log(radius + 0.05)
            arms = 1 + np.float32(rng.uniform(0.2, 0.9)) * np.cos(2 * turn + twist) * np.minimum(3 * radius, 1)
            colours = colours * np.maximum(arms, 0.05).astype(np.float32)[..., None]
        inner = np.hypot(x, y / np.float32(max(ratio, rng.uniform(0.5, 1.0)))) / np.float32(reach)
        bulge = _profile(inner, rng.uniform(1.0, 4.0), rng.uniform(0.03, 0.2))
        share = rng.uniform(0.0, 0.6)
        bulge *= np.float32(share / (1 - share + 1e-6) * light.sum() / max(float(bulge.sum()), 1e-6))
        colours += bulge[..., None] * np.array([1.1, 1, 0.85], np.float32)
    colours = cv2.GaussianBlur(colours, (0, 0), rng.uniform(0.5, 2.0))
    fade = np.clip((half - np.maximum(np.abs(axis)[None], np.abs(axis)[:, None])) / (0.3 * half), 0, 1)
    colours = colours * fade.astype(np.float32)[..., None]
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = rotation @ np.diag([reach**2, (ratio * reach) ** 2]) @ rotation.T
    sides = np.sqrt(np.diag(matrix))
    box = np.concatenate([half + 0.5 - sides, half + 0.5 + sides]).astype(np.float32)
    near = radius < 0.5
    colours = colours / np.float32(max(float(colours[near].mean()), 1e-9))
    return Cutout(colours, box, float(np.clip(matrix[0, 1] / np.prod(sides), -0.95, 0.95)))


def _profile(radius: np.ndarray, index: float, effective: float) -> np.ndarray:
    factor = np.float32(2 * index - 1 / 3)
    ratio = np.maximum(radius, np.float32(1e-3)) / np.float32(effective)
    return np.asarray(np.exp(-factor * (ratio ** np.float32(1 / index) - 1)))
