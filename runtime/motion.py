"""How the sky moves across the sensor, from one frame to the next: drift, field rotation, zoom.

Phase correlation (Kuglin & Hines 1975) finds the drift, however far; optical flow from there (Lucas & Kanade
1981) and a similarity by RANSAC find rotation and scale, and do not heed what moves on its own or not at all.
"""

from __future__ import annotations

import cv2
import numpy as np

SIDE = 480
"""Longer side, at most, in pixels of the small grey look at a frame: it shows how the sky moves and where light is."""
MOTION_SIDE = 320
"""The same where only the motion is wanted: half the side is a quarter of the time."""
MIN_RESPONSE = 0.2
"""Of phase correlation: pictures of nothing but noise reach 0.1, fields of six stars and more 0.4 to 1.3."""
MIN_STARS = 5
MIN_AGREEING = 0.5
STILL = np.eye(3)


def glance(pixels: np.ndarray) -> np.ndarray:
    """Make the small look: (H, W, 3) uint8 RGB -> (h, w) uint8 grey, halved until it is `SIDE` at most."""
    while max(pixels.shape[:2]) > SIDE and min(pixels.shape[:2]) >= 2:
        pixels = halve(pixels)
    return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)


def halve(pixels: np.ndarray) -> np.ndarray:
    """Average 2x2 pixels."""
    rows, columns = pixels.shape[0] // 2, pixels.shape[1] // 2
    return cv2.resize(pixels[: 2 * rows, : 2 * columns], (columns, rows), interpolation=cv2.INTER_AREA)


def stars_only(grey: np.ndarray) -> np.ndarray:
    """Take sky background and noise from a grey picture (h, w); return float32 >= 0, bright stars tamed."""
    level = grey.astype(np.float32)
    level -= cv2.blur(level, (31, 31), borderType=cv2.BORDER_REFLECT)
    noise = max(0.5, 1.4826 * float(np.median(np.abs(level[::2, ::2]))))
    return np.sqrt(np.maximum(level - 2.0 * noise, 0.0))


def drift(before: np.ndarray, now: np.ndarray) -> tuple[float, float] | None:
    """Find the shift (x, y) in pixels between two pictures of `stars_only`; None where they have nothing in common."""
    window = cv2.createHanningWindow(before.shape[::-1], cv2.CV_32F)
    (x, y), response = cv2.phaseCorrelate(before, now, window)
    return (x, y) if response >= MIN_RESPONSE and np.isfinite(x + y) else None


def similarity(before: np.ndarray, now: np.ndarray, guess: tuple[float, float]) -> np.ndarray | None:
    """Refine a drift by the stars: (2, 3) from pixels of `before` to pixels of `now`; None where too few agree."""
    first, second = (cv2.convertScaleAbs(cv2.GaussianBlur(one, (0, 0), 1.0), alpha=24.0) for one in (before, now))
    stars = cv2.goodFeaturesToTrack(first, 120, 0.02, 6)
    if stars is None or len(stars) < MIN_STARS:
        return None
    start = (stars + np.asarray(guess)).astype(np.float32)
    found, there, _ = cv2.calcOpticalFlowPyrLK(
        first, second, stars, start, winSize=(15, 15), maxLevel=1, flags=cv2.OPTFLOW_USE_INITIAL_FLOW
    )
    seen = there[:, 0] == 1
    if seen.sum() < MIN_STARS:
        return None
    matrix, agreeing = cv2.estimateAffinePartial2D(stars[seen], found[seen], ransacReprojThreshold=1.0)
    if matrix is None or agreeing.sum() < max(MIN_STARS, MIN_AGREEING * seen.sum()):
        return None
    return matrix


def in_frame(matrix: np.ndarray, factor: float) -> np.ndarray:
    """Turn a motion (2, 3) in pixels of a small look into one (3, 3) in pixels of a frame `factor` times as large."""
    # Pixel centres: a place x of the frame is at (x + 1/2) / factor - 1/2 of the small look.
    half = (factor - 1.0) / 2.0
    larger = np.array([[factor, 0.0, half], [0.0, factor, half], [0.0, 0.0, 1.0]])
    return larger @ np.vstack([matrix, [0.0, 0.0, 1.0]]) @ np.linalg.inv(larger)


def in_glance(matrix: np.ndarray, factor: float) -> np.ndarray:
    """Turn a motion (3, 3) in frame pixels into one (3, 3) in pixels of a look `factor` times smaller."""
    return in_frame(matrix[:2], 1.0 / factor)


class SkyMotion:
    """Follows the sky over successive frames.

    Where two frames have nothing in common (a slew, clouds, a frame without stars), the sky counts as still.
    """

    def __init__(self) -> None:
        self._last: np.ndarray | None = None
        self._sky = STILL

    def update(self, small: np.ndarray, factor: float) -> np.ndarray:
        """Take a frame's `glance`, `factor` times smaller than the frame.

        Returns:
            (3, 3) float64: where a place of the first frame's sky is now, in frame pixels, homogeneous.
        """
        if max(small.shape) > MOTION_SIDE:
            small, factor = halve(small), 2 * factor
        now, before = stars_only(small), self._last
        self._last = now
        if before is None or before.shape != now.shape:
            return self._sky
        shift = drift(before, now)
        if shift is not None:
            matrix = similarity(before, now, shift)
            if matrix is None:
                matrix = np.array([[1.0, 0.0, shift[0]], [0.0, 1.0, shift[1]]])
            self._sky = in_frame(matrix, factor) @ self._sky
        return self._sky
