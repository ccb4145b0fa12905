"""Observations of objects on sensor and sky, and the motion between two of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np

from ..frame import Frame

NEAR = 0.5
"""Maximum distance of a detection from the object's predicted position, in sizes of the object."""
FAR = 6.0
"""Maximum distance that an object seen only once may have moved per frame, in its sizes."""
SAME_SIZE = 2.5
"""Maximum ratio of the sizes of two observations of one object."""
STEP = 0.35
"""Maximum motion of an object of the sky from frame to frame, across the sky, as a share of its size."""
STEP_PIXELS = 3.0
"""The same in pixels, for small objects."""
LONG = 50
"""Frames after which an object is searched for only at the position predicted by the sky's motion."""
STREAK = 0.15
"""Maximum ratio of the short to the long axis of the light of a line."""


@dataclass(frozen=True, eq=False)
class Observation:
    """An object in one frame.

    Attributes:
        box: (4,) x0, y0, x1, y1 in frame pixels.
        sky: (3, 3) where the sky was, see `imaging.sky_motion.SkyMotion.update`.
        update: number of the frame among those that were tracked.
        velocity: (2,) pixels per frame across the sensor since the last observation; None for the first.
    """

    box: np.ndarray
    sky: np.ndarray
    update: int
    velocity: np.ndarray | None = None

    @property
    def centre(self) -> np.ndarray:
        """(2,) x, y."""
        middle: np.ndarray = (self.box[:2] + self.box[2:]) / 2
        return middle

    @property
    def size(self) -> float:
        """Square root of the box's area, in pixels."""
        return float(_sizes(self.box[None])[0])

    def predicted_position(self, sky: np.ndarray) -> np.ndarray:
        """Return (2,) where the object is when the sky has moved to `sky`."""
        matrix = sky @ np.linalg.inv(self.sky)
        positions: np.ndarray = self.centre[None] @ matrix[:2, :2].T + matrix[:2, 2]
        position: np.ndarray = positions[0]
        return position

    def then(self, box: np.ndarray, sky: np.ndarray, update: int) -> Observation:
        """Return the next observation of the same object."""
        velocity = ((box[:2] + box[2:]) / 2 - self.centre) / (update - self.update)
        return Observation(box, sky, update, velocity)


def associate(
    observations: Sequence[Observation], boxes: np.ndarray, sky: np.ndarray, update: int
) -> list[tuple[int, int]]:
    """Pair known objects with the boxes of a frame, nearest first.

    An object is searched for where the sky's motion took it, where it was on the sensor, and where its own velocity
    leads; one that was seen only once is then searched for farther away. After `LONG` frames without an observation,
    only the sky's motion counts.

    Args:
        observations: the last one of each object.
        boxes: (N, 4) in frame pixels.
        sky, update: of the frame, as in `Observation`.

    Returns:
        Pairs of indices: object, box.
    """
    if not observations or not len(boxes):
        return []
    known = np.stack([observation.box for observation in observations])
    centres, sizes = (known[:, :2] + known[:, 2:]) / 2, _sizes(known)
    frames = np.array([update - observation.update for observation in observations])
    is_new = np.array([observation.velocity is None for observation in observations])
    zero = np.zeros(2)
    velocities = np.stack([zero if seen.velocity is None else seen.velocity for seen in observations])
    steps = sky @ np.linalg.inv(np.stack([observation.sky for observation in observations]))
    with_sky = np.einsum("tij,tj->ti", steps[:, :2, :2], centres) + steps[:, :2, 2]
    found, found_sizes = (boxes[:, :2] + boxes[:, 2:]) / 2, _sizes(boxes)
    expected = np.stack([with_sky, centres, centres + velocities * frames[:, None]])  # (3, T, 2)
    distances = np.linalg.norm(expected[:, :, None] - found[None, None], axis=3) / sizes[:, None]
    distances[1:, frames > LONG] = np.inf
    ratio = found_sizes[None] / sizes[:, None]
    differs_in_size = np.maximum(ratio, 1 / ratio) > SAME_SIZE
    near = np.where(differs_in_size, np.inf, distances.min(axis=0) / NEAR)
    pairs = _nearest_pairs(near)
    far = np.where(differs_in_size | ~is_new[:, None], np.inf, distances[0] / (FAR * frames[:, None]))
    for row, column in pairs:
        far[row, :] = far[:, column] = np.inf
    return pairs + _nearest_pairs(far)


def moves_across_sky(before: Observation, now: Observation) -> bool:
    """Return whether an object moved across both sky and sensor."""
    minimum = max(STEP_PIXELS, STEP * before.size) * min(3, now.update - before.update)
    across_sky = np.linalg.norm(now.centre - before.predicted_position(now.sky))
    return bool(across_sky > minimum and np.linalg.norm(now.centre - before.centre) > minimum)


def is_fixed_on_sensor(start: Observation, now: Observation) -> bool:
    """Return whether an object kept its position on the sensor while the sky moved."""
    sky_moved = float(np.linalg.norm(start.predicted_position(now.sky) - start.centre))
    moved = float(np.linalg.norm(now.centre - start.centre))
    return sky_moved > max(4.0, 0.5 * start.size) and moved < min(0.25 * sky_moved, max(1.5, 0.15 * start.size))


def is_streak(cutout: np.ndarray) -> bool:
    """Return whether the light in (H, W, 3) uint8 is a line.

    Its second moments above half its height decide.
    """
    grey = cv2.cvtColor(cutout, cv2.COLOR_RGB2GRAY).astype(np.float32)
    sky = float(np.median(grey))
    light = cv2.moments(((grey - sky) > 0.5 * (grey.max() - sky)).astype(np.uint8), binaryImage=True)
    if light["m00"] < 4:
        return False
    across, down, both = (light[key] / light["m00"] for key in ("mu20", "mu02", "mu11"))
    middle, spread = (across + down) / 2, np.hypot((across - down) / 2, both)
    return bool(np.sqrt(max(middle - spread, 0.0) / (middle + spread)) < STREAK)


class CropView(NamedTuple):
    """Where and when a crop was taken, for its FITS header.

    Attributes:
        frame: it was cut from, without pixels.
        corner: x, y of its upper left corner in pixels of the source's own frame.
        step: pixels of the source's own frame along a side of its pixels.
    """

    frame: Frame
    corner: tuple[int, int]
    step: int


def crop_view(frame: Frame, box: np.ndarray) -> CropView:
    """Return the view of a crop that `cut_out` makes, at full depth if it has any.

    Args:
        frame: the frame; its pixels are not kept.
        box: in pixels of `frame.pixels`.
    """
    left, top = _corner(box)
    step = frame.binning // frame.raw_binning if frame.raw is not None else frame.binning
    height_width = frame.source_size[::-1]
    without_pixels = replace(
        frame, pixels=np.zeros((0, 0, 3), np.uint8), raw=None, planes=None, source_shape=height_width
    )
    return CropView(without_pixels, (left * frame.binning, top * frame.binning), step)


def _corner(box: np.ndarray) -> tuple[int, int]:
    """Return the left and upper edge of a box's crop."""
    x0, y0, x1, y1 = (float(value) for value in box)
    margin = 0.2 * max(x1 - x0, y1 - y0)
    return max(0, int(x0 - margin)), max(0, int(y0 - margin))


def cut_out(pixels: np.ndarray, box: np.ndarray, binning: int = 1) -> np.ndarray:
    """Copy a box with a margin of a fifth of its longer side, within the frame.

    Args:
        pixels: (H, W) or (H, W, 3).
        box: in units of `binning` pixels; the copy begins and ends at whole units, so that the copy of a Bayer mosaic
            begins with the mosaic's own pattern.
        binning: pixels along a side of the box's unit.
    """
    x0, y0, x1, y1 = (float(value) for value in box)
    margin = 0.2 * max(x1 - x0, y1 - y0)
    left, top = _corner(box)
    bottom, right = max(top + 1, int(y1 + margin)), max(left + 1, int(x1 + margin))
    return pixels[top * binning : bottom * binning, left * binning : right * binning].copy()


def _nearest_pairs(distances: np.ndarray) -> list[tuple[int, int]]:
    """Select the nearest pair, then the nearest remaining ones, up to distance 1."""
    left, pairs = distances.copy(), []
    for _ in range(min(left.shape)):
        row, column = np.unravel_index(int(left.argmin()), left.shape)
        if not left[row, column] <= 1.0:
            break
        pairs.append((int(row), int(column)))
        left[row, :] = left[:, column] = np.inf
    return pairs


def _sizes(boxes: np.ndarray) -> np.ndarray:
    sizes: np.ndarray = np.sqrt(np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 1.0), axis=1))
    return sizes
