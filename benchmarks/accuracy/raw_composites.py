"""Add known galaxies to real raw exposures, in linear light before the mosaic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...models.raw.front_end import FrameLevels, linear_planes, measure
from ...training.scenes.cutouts import Cutout, paste
from ...training.scenes.linear_light import destretched, point_spread
from ...training.scenes.raw_frames import RawFrame
from ...training.scenes.sensor_model import mosaic_of

SIDES = (16.0, 110.0)
"""Longer sides of the boxes, in superpixels."""
SIGNALS = (0.7, 20.0)
"""Mean light inside the box's ellipse, in standard deviations of a superpixel's noise in green."""
STRENGTHS = (1.0, 5.0)
"""Assumed strengths of the stretch that was applied to the galaxies' images."""
SEEING = 0.8
ELECTRONS = 30.0
"""Noise of a superpixel, which determines the noise of the added light."""


@dataclass(frozen=True)
class Composite:
    """A raw exposure with galaxies added to it.

    Attributes:
        frame: with the new mosaic; boxes: (N, 4) in superpixels; signals: (N,) mean light in sigma.
    """

    frame: RawFrame
    boxes: np.ndarray
    signals: np.ndarray


def compose(rng: np.random.Generator, frame: RawFrame, cutouts: Sequence[Cutout], count: int) -> Composite:
    """Add galaxies to a Bayer frame, away from its target and from one another.

    Args:
        cutouts: galaxies to draw from; count: maximum number of galaxies to add; fewer if there is no room.
    """
    planes, _ = linear_planes(frame.mosaic, frame.pattern)
    levels = measure(planes)
    height, width = planes[0].shape
    taken = [(frame.x / 2, frame.y / 2, 75.0)]
    light: np.ndarray = np.zeros((2 * height, 2 * width, 3), np.float32)
    boxes: list[np.ndarray] = []
    signals: list[float] = []
    for _ in range(20 * count):
        if len(boxes) == count:
            break
        side = float(np.exp(rng.uniform(*np.log(SIDES))))
        x = float(rng.uniform(0.55 * side, width - 0.55 * side))
        y = float(rng.uniform(0.55 * side, height - 0.55 * side))
        if any(max(abs(x - at_x), abs(y - at_y)) < 0.6 * side + reach for at_x, at_y, reach in taken):
            continue
        cutout = destretched(cutouts[int(rng.integers(len(cutouts)))], rng.uniform(*STRENGTHS))
        signal = float(np.exp(rng.uniform(*np.log(SIGNALS))))
        boxes.append(_lay(rng, light, cutout, (2 * x, 2 * y), 2 * side, signal) / 2)
        signals.append(signal)
        taken.append((x, y, 0.6 * side))
    mosaic = _add(rng, frame, light, levels)
    return Composite(replace(frame, mosaic=mosaic), np.array(boxes, np.float32).reshape(-1, 4), np.array(signals))


def _lay(
    rng: np.random.Generator, light: np.ndarray, cutout: Cutout, centre: tuple[float, float], side: float, signal: float
) -> np.ndarray:
    """Add a galaxy with a given mean signal inside its box's ellipse, in place.

    The box is in mosaic pixels.
    """
    canvas: np.ndarray = np.zeros_like(light)
    angle, mirror = rng.uniform(0, 2 * np.pi), rng.choice([-1.0, 1.0])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ np.diag([mirror, 1.0])
    matrix = turn * side / max(cutout.box[2:] - cutout.box[:2])
    box = paste(canvas, cutout, centre, matrix, 1.0)
    canvas = point_spread(canvas, 2 * SEEING)
    x0, y0, x1, y1 = (round(float(value)) for value in box)
    part = canvas[max(0, y0) : y1, max(0, x0) : x1].mean(axis=2)
    area = np.pi * np.sqrt(np.linalg.det(matrix @ cutout.ellipse @ matrix.T))
    light += canvas * np.float32(signal * area / max(float(part.sum()), 1e-9))
    return box


def _add(rng: np.random.Generator, frame: RawFrame, light: np.ndarray, levels: FrameLevels) -> np.ndarray:
    """Add light in sigma to a frame's mosaic, with its own shot noise.

    Return (H, W) uint16.
    """
    light = light + np.sqrt(light / np.float32(ELECTRONS / 2)) * rng.standard_normal(light.shape, np.float32)
    units = np.array([1 / factor for factor in levels.factors], np.float32)
    height, width = light.shape[:2]
    mosaic = frame.mosaic[:height, :width].astype(np.float32) + mosaic_of(light * units, frame.pattern or "RGGB")
    result = frame.mosaic.copy()
    result[:height, :width] = np.clip(np.rint(mosaic), 0, 65535)
    return result
