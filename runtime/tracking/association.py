"""Where an object was seen, on the sensor and under the sky, and what two such places say of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

NEAR = 0.5
"""How far, in sizes of the object, a detection may be from where the object must be."""
FAR = 6.0
"""How far, in its sizes a frame, something new may run and still be followed."""
SAME_SIZE = 2.5
STEP = 0.35
"""What moves by more than this share of its size across the sky, from frame to frame, is no part of the sky."""
STEP_PIXELS = 3.0
LONG = 50
"""Frames after which an object is looked for where the sky took it, and nowhere else."""
STREAK = 0.15
"""Short over long axis of the light of a line."""


@dataclass(frozen=True)
class Observation:
    """A place.

    Attributes:
        box: (4,) in frame pixels.
        sky: (3, 3) where the sky was, see `motion.SkyMotion.update`.
        update: number of the frame among those that were followed.
        velocity: (2,) frame pixels a frame across the sensor since the sighting before; None for the first.
    """

    box: np.ndarray
    sky: np.ndarray
    update: int
    velocity: np.ndarray | None = None

    @property
    def centre(self) -> np.ndarray:
        """(2,) x, y."""
        return (self.box[:2] + self.box[2:]) / 2

    @property
    def size(self) -> float:
        """Root of the box's area, in pixels."""
        return float(_sizes(self.box[None])[0])

    def predicted_position(self, sky: np.ndarray) -> np.ndarray:
        """(2,) where this place is when the sky has moved to `sky`."""
        return _moved(self.centre[None], sky @ np.linalg.inv(self.sky))[0]

    def then(self, box: np.ndarray, sky: np.ndarray, update: int) -> Observation:
        """Return the next place of the same object."""
        velocity = ((box[:2] + box[2:]) / 2 - self.centre) / (update - self.update)
        return Observation(box, sky, update, velocity)


def associate(places: Sequence[Observation], boxes: np.ndarray, sky: np.ndarray, update: int) -> list[tuple[int, int]]:
    """Pair known objects with a frame's boxes, nearest first.

    An object is looked for where the sky took it, where it was on the sensor, and where its own way leads; one that
    was seen only once is then looked for farther away. What was not seen for `LONG` is looked for under the sky only.

    Args:
        places: where the objects were last.
        boxes: (N, 4) in frame pixels.
        sky, update: of the frame.

    Returns:
        (object, box) indices.
    """
    if not places or not len(boxes):
        return []
    known = np.stack([place.box for place in places])
    centres, sizes = (known[:, :2] + known[:, 2:]) / 2, _sizes(known)
    frames = np.array([update - place.update for place in places])
    still = np.zeros(2)
    ways = np.stack([still if place.velocity is None else place.velocity for place in places]) * frames[:, None]
    steps = sky @ np.linalg.inv(np.stack([place.sky for place in places]))
    followed = np.einsum("tij,tj->ti", steps[:, :2, :2], centres) + steps[:, :2, 2]
    found, found_sizes = (boxes[:, :2] + boxes[:, 2:]) / 2, _sizes(boxes)
    expected = np.stack([followed, centres, centres + ways])  # (3, T, 2)
    distances = np.linalg.norm(expected[:, :, None] - found[None, None], axis=3) / sizes[:, None]
    distances[1:, frames > LONG] = np.inf
    ratio = found_sizes[None] / sizes[:, None]
    unlike = np.maximum(ratio, 1 / ratio) > SAME_SIZE
    near = np.where(unlike, np.inf, distances.min(axis=0) / NEAR)
    pairs = _nearest(near)
    new = np.array([place.velocity is None for place in places])
    far = np.where(unlike | ~new[:, None], np.inf, distances[0] / (FAR * frames[:, None]))
    for row, column in pairs:
        far[row, :] = far[:, column] = np.inf
    return pairs + _nearest(far)


def moves_across_sky(before: Observation, now: Observation) -> bool:
    """Tell whether an object ran across the sky between two sightings, and across the sensor too."""
    least = max(STEP_PIXELS, STEP * before.size) * min(3, now.update - before.update)
    across_sky = np.linalg.norm(now.centre - before.predicted_position(now.sky))
    return bool(across_sky > least and np.linalg.norm(now.centre - before.centre) > least)


def is_fixed_on_sensor(start: Observation, now: Observation) -> bool:
    """Tell whether an object kept its place on the sensor while the sky moved on."""
    sky_moved = float(np.linalg.norm(start.predicted_position(now.sky) - start.centre))
    moved = float(np.linalg.norm(now.centre - start.centre))
    return sky_moved > max(4.0, 0.5 * start.size) and moved < min(0.25 * sky_moved, max(1.5, 0.15 * start.size))


def is_streak(cutout: np.ndarray) -> bool:
    """Tell whether the light in (H, W, 3) uint8 is a line, by its second moments above half its height."""
    grey = cv2.cvtColor(cutout, cv2.COLOR_RGB2GRAY).astype(np.float32)
    sky = float(np.median(grey))
    light = cv2.moments(((grey - sky) > 0.5 * (grey.max() - sky)).astype(np.uint8), binaryImage=True)
    if light["m00"] < 4:
        return False
    across, down, both = (light[key] / light["m00"] for key in ("mu20", "mu02", "mu11"))
    middle, spread = (across + down) / 2, np.hypot((across - down) / 2, both)
    return bool(np.sqrt(max(middle - spread, 0.0) / (middle + spread)) < STREAK)


def cut(pixels: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Copy a box with a fifth of its longer side around it, as far as the frame goes."""
    x0, y0, x1, y1 = (float(value) for value in box)
    around = 0.2 * max(x1 - x0, y1 - y0)
    top, left = max(0, int(y0 - around)), max(0, int(x0 - around))
    return pixels[top : max(top + 1, int(y1 + around)), left : max(left + 1, int(x1 + around))].copy()


def _nearest(distances: np.ndarray) -> list[tuple[int, int]]:
    """Take the nearest pair, then the nearest of the rest, while they are within 1."""
    left, pairs = distances.copy(), []
    for _ in range(min(left.shape)):
        row, column = np.unravel_index(int(left.argmin()), left.shape)
        if not left[row, column] <= 1.0:
            break
        pairs.append((int(row), int(column)))
        left[row, :] = left[:, column] = np.inf
    return pairs


def _sizes(boxes: np.ndarray) -> np.ndarray:
    return np.sqrt(np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 1.0), axis=1))


def _moved(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return points @ matrix[:2, :2].T + matrix[:2, 2]
