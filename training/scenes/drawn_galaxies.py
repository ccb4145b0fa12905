"""Galaxies drawn by formulas, of each class.

They may be shown anywhere; survey images may not.

Profiles of Sersic (1963, BAAA 6, 41) for bulges (index 4) and disks (index 1), logarithmic spiral arms, sky noise and
an asinh stretch. They are cleaner than photographs: what a network makes of them shows how it works, not how well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...models.labels import CLASSES

NOISE = 0.004
"""Standard deviation of the sky, where the brightest pixel of a galaxy is 1."""


@dataclass(frozen=True)
class Shape:
    """The shape of a drawn galaxy.

    Attributes:
        bulge: share of the light in the bulge.
        ratio: minor by major axis of the disk, or of the bulge where there is no disk.
        round: minor by major axis of the bulge of a disk.
        pitch: pitch angle of the arms in degrees, 0 for none.
    """

    bulge: float
    ratio: float
    round: float = 0.9
    pitch: float = 0.0


SHAPES = {
    "disk_no_spiral": Shape(0.35, 0.8),
    "smooth_round": Shape(1.0, 0.97),
    "smooth_in_between": Shape(1.0, 0.6),
    "smooth_cigar": Shape(1.0, 0.3),
    "edge_on_rounded_bulge": Shape(0.4, 0.1, 0.75),
    "edge_on_no_bulge": Shape(0.02, 0.1, 0.5),
    "spiral_tight": Shape(0.2, 0.85, pitch=9),
    "spiral_medium": Shape(0.12, 0.85, pitch=18),
    "spiral_loose": Shape(0.06, 0.85, pitch=30),
}
"""Class -> its shape."""


ANGLE = 25.0


def draw_galaxy(shape: Shape, size: int, seed: int = 1, angle: float = ANGLE) -> np.ndarray:
    """Draw a galaxy that fills about three quarters of the image.

    Args:
        shape: of the galaxy.
        size: side of the image in pixels.
        seed: of the noise.
        angle: position angle of the major axis in degrees.

    Returns (size, size, 3) uint8 RGB.
    """
    rng = np.random.default_rng([8, seed])
    light = galaxy_light(shape, size, angle)
    return stretch_light(light / np.quantile(light, 0.999) + rng.normal(0, NOISE, light.shape))


def galaxy_light(shape: Shape, size: int, angle: float = ANGLE) -> np.ndarray:
    """Return the light of a galaxy that fills about three quarters of the image.

    Returns (size, size, 3) float64 in linear units, total about 1 a channel.
    """
    axis = (np.arange(3 * size, dtype=np.float64) + 0.5) / (1.5 * size) - 1  # three times as fine, against steps
    turned = np.deg2rad(angle)
    x = axis[None] * np.cos(turned) + axis[:, None] * np.sin(turned)
    y = axis[:, None] * np.cos(turned) - axis[None] * np.sin(turned)
    has_disk = shape.bulge < 1
    disk = np.exp(-np.hypot(x, y / shape.ratio) / 0.2)
    if shape.pitch:
        radius = np.hypot(x, y / shape.ratio)
        turn = np.arctan2(y / shape.ratio, x) - np.log(radius + 0.02) / np.tan(np.deg2rad(shape.pitch))
        disk = disk * (1 + 0.9 * np.cos(2 * turn) * np.minimum(4 * radius, 1))
    wide = 0.06 if has_disk else 0.16
    bulge = np.exp(-7.67 * ((np.hypot(x, y / (shape.round if has_disk else shape.ratio)) / wide + 1e-3) ** 0.25 - 1))
    tints = np.array([[0.85, 0.95, 1.1], [1.15, 1.0, 0.75]])  # disks are bluer than bulges
    parts = [(1 - shape.bulge) * disk / disk.sum(), shape.bulge * bulge / bulge.sum()]
    light = sum(part[..., None] * tint for part, tint in zip(parts, tints, strict=True))
    return np.asarray(light.reshape(size, 3, size, 3, 3).mean(axis=(1, 3)))


def stretch_light(light: np.ndarray) -> np.ndarray:
    """Stretch light, of which 1 becomes white, by asinh to uint8 levels."""
    shown = np.arcsinh(np.maximum(light, 0) * 20) / np.arcsinh(20)
    return np.asarray(np.clip(255 * shown, 0, 255).astype(np.uint8))


def draw_classes(size: int) -> tuple[np.ndarray, list[str]]:
    """Draw a galaxy of each class: images (9, size, size, 3) uint8 and their classes."""
    return np.stack([draw_galaxy(SHAPES[name], size) for name in CLASSES]), list(CLASSES)
