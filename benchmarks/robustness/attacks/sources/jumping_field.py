"""A field that jumps once between two frames.

The jump is a dither, a slew with overlap, a flip, or another target.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from .....runtime.imaging.field_motion import FieldMotion
from .....runtime.imaging.sky_motion import grey_thumbnail
from ...attack import Attack, Outcome

WIDTH, HEIGHT = 640, 480
JUMPS = {"dither": (18, -11, 0), "overlap": (150, 60, 0), "flip": (0, 0, 180), "flip_and_shift": (20, -9, 181)}
"""Shift in pixels and rotation in degrees."""


def star_field(seed: int) -> np.ndarray:
    """Draw a sky (1000, 1300) float32 of 500 stars and two galaxies.

    The galaxies have the same positions in every sky.
    """
    random = np.random.default_rng(seed)
    sky = np.full((1000, 1300), 22.0, np.float32)
    for x, y in random.integers(5, (1295, 995), (500, 2)):
        cv2.circle(sky, (int(x), int(y)), int(random.choice([1, 1, 1, 2])), random.uniform(60, 255), -1, cv2.LINE_AA)
    rows, columns = np.mgrid[:1000, :1300]
    for y, x, size in ((480, 600, 25), (560, 760, 18)):
        sky = np.maximum(sky, 22 + 200 * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 2 / size**2))
    return cv2.GaussianBlur(sky.astype(np.float32), (0, 0), 0.8)


def view(sky: np.ndarray, shift: tuple[float, float], degrees: float, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the image of a sensor and the matrix from the sky to it.

    The sensor has `WIDTH` x `HEIGHT` pixels, with noise; the matrix is (3, 3).
    """
    matrix = cv2.getRotationMatrix2D((650, 500), degrees, 1.0)
    matrix[:, 2] += np.array([WIDTH / 2 - 650 + shift[0], HEIGHT / 2 - 500 + shift[1]])
    frame = cv2.warpAffine(sky, matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)
    frame = np.clip(frame + np.random.default_rng(number).normal(0, 3, frame.shape), 0, 255).astype(np.uint8)
    return np.repeat(frame[..., None], 3, axis=2), np.vstack([matrix, [0, 0, 1]])


def jumping(kind: str, at: int, drift: float, frames: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield frames of a sky that drifts and jumps at a frame.

    "target" jumps to another sky. Each frame comes with its matrix.
    """
    skies = star_field(seed), star_field(seed + 1)
    for number in range(frames):
        x, y, degrees = JUMPS.get(kind, (0, 0, 0)) if number >= at else (0, 0, 0)
        sky = skies[kind == "target" and number >= at]
        yield view(sky, (number * drift + x, y), degrees, number)


def follow(frames: Iterator[tuple[np.ndarray, np.ndarray]]) -> list[tuple[int, float]]:
    """Track the sky as a run does.

    Return for each frame the number of its star field and the error in pixels.
    """
    motion, start, results = FieldMotion(), None, []
    for pixels, matrix in frames:
        if motion.needs_update or motion.has_jumped(pixels):
            thumbnail = grey_thumbnail(pixels)
            motion.update(thumbnail, pixels.shape[1] // thumbnail.shape[1])
            motion.watch_stars(pixels)
        else:
            motion.extrapolate()
        start = matrix if start is None else start
        middle = np.array([WIDTH / 2, HEIGHT / 2, 1.0])
        error = float(np.linalg.norm((matrix @ np.linalg.inv(start) @ middle - motion.sky @ middle)[:2]))
        results.append((motion.field, error))
    return results


def run(count: int, _: Path) -> Outcome:
    """Process `count` skies that jump in different ways.

    They jump at different frames modulo four.
    """
    lost, joined, worst = 0, 0, 0.0
    for number in range(count):
        kind = [*JUMPS, "target"][number % 5]
        at = 24 + number // 5 % 4
        results = follow(jumping(kind, at, 0.3 * (number // 20 % 2), at + 12, 2 * number))
        if kind == "target":
            joined += any(field == results[0][0] for field, _ in results[at:])
        else:
            lost += any(field != results[0][0] for field, _ in results)
            worst = max(worst, *(error for _, error in results))
    figures: dict[str, int | float | str] = {"lost": lost, "joined": joined, "worst_error_px": round(worst, 2)}
    return Outcome(figures, lost == joined == 0 and worst < 3)


ATTACK = Attack(
    promise="An event continues through a dither, a slew or a meridian flip, and ends if the stars do not continue.",
    method="{count} skies that jump: dither, overlap, 180 degrees, with a shift, another target at the same place",
    run=run,
    count=120,
    small_count=10,
)
