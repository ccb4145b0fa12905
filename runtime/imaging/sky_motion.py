"""How the sky moves across the sensor, from one frame to the next: drift, field rotation, zoom.

Phase correlation (Kuglin & Hines 1975) finds the drift, however far; optical flow from there (Lucas & Kanade
1981) and a similarity by RANSAC find rotation and scale, and do not heed what moves on its own or not at all. A sky
that moves on as it did before is found by optical flow alone, by the stars that moved with it, in a third of the time;
where it has done so for some frames, three in four are not looked at, and the next one tells whether that was right.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from ...models.preprocess import ImagePyramid
from .statistics import mad_std

SIDE = 480
"""Longer side, at most, in pixels of the small grey look at a frame: it shows how the sky moves and where light is."""
MOTION_SIDE = 320
"""The same where only the motion is wanted: half the side is a quarter of the time."""
MIN_RESPONSE = 0.2
"""Of phase correlation: pictures of nothing but noise reach 0.1, fields of six stars and more 0.4 to 1.3."""
MIN_STARS, MAX_STARS = 5, 60
MIN_AGREEING = 0.5
MIN_CERTAIN = 0.8
"""Share of the stars that must have moved on as before, for no other motion to be looked for."""
MAX_ZOOM = 1000.0
"""How much larger or smaller the sky may become, counted from the first frame."""
STAR_REFRESH_INTERVAL = 8
"""Frames after which stars are sought anew; until then those that moved with the sky are followed."""
MIN_STEADY_UPDATES, MAX_PREDICTION_ERROR = 4, 1.0
"""Looks in a row that must meet the sky where it was foretold, to so many pixels of the look, for it to be steady."""
MAX_EXTRAPOLATED = 3
"""Frames between two looks at a steady sky."""
IDENTITY = np.eye(3)
NO_STARS = np.zeros((0, 1, 2), np.float32)


class _Look(NamedTuple):
    """A small look at a frame: its stars (h, w) float32, see `subtract_background`, and the same softened, uint8."""

    stars: np.ndarray
    soft: np.ndarray


def grey_thumbnail(pixels: np.ndarray | ImagePyramid) -> np.ndarray:
    """Make the small look: (H, W, 3) uint8 RGB -> (h, w) uint8 grey, halved until it is `SIDE` at most."""
    halves, level = pixels if isinstance(pixels, ImagePyramid) else ImagePyramid(pixels), 0
    while max(halves[level].shape[:2]) > SIDE and min(halves[level].shape[:2]) >= 2:
        level += 1
    return cv2.cvtColor(halves[level], cv2.COLOR_RGB2GRAY)


def subtract_background(grey: np.ndarray) -> np.ndarray:
    """Take sky background and noise from a grey picture (h, w); return float32 >= 0, bright stars tamed."""
    sky = cv2.boxFilter(grey, cv2.CV_32F, (31, 31), borderType=cv2.BORDER_REFLECT)
    level = np.asarray(cv2.subtract(grey, sky, sky, dtype=cv2.CV_32F), dtype=np.float32)
    level -= 2.0 * max(0.5, mad_std(level[::3, ::3], 0.0))
    np.maximum(level, 0.0, out=level)
    return np.sqrt(level, out=level)


def estimate_shift(before: np.ndarray, now: np.ndarray) -> tuple[float, float] | None:
    """Find the shift (x, y) in pixels between two images of `subtract_background`; None where they share nothing."""
    window = cv2.createHanningWindow(before.shape[::-1], cv2.CV_32F)
    (x, y), response = cv2.phaseCorrelate(before, now, window)
    return (x, y) if response >= MIN_RESPONSE and np.isfinite(x + y) else None


def estimate_similarity(
    before: np.ndarray, now: np.ndarray, stars: np.ndarray, guess: np.ndarray, agree: float
) -> tuple[np.ndarray, np.ndarray] | None:
    """Find the motion that the stars have in common.

    Args:
        before, now: (h, w) uint8, stars on black, softened.
        stars: (N, 1, 2) float32, places of stars in `before`.
        guess: (2, 3) about where the pixels of `before` are in `now`.
        agree: share of the stars that must have moved so.

    Returns:
        (2, 3) from pixels of `before` to pixels of `now`, and the places (M, 1, 2) in `now` of the stars that agree;
        None where too few do.
    """
    if len(stars) < MIN_STARS:
        return None
    start = (stars @ guess[:, :2].T + guess[:, 2]).astype(np.float32)
    found, there, _ = cv2.calcOpticalFlowPyrLK(
        before, now, stars, start, winSize=(15, 15), maxLevel=1, flags=cv2.OPTFLOW_USE_INITIAL_FLOW
    )
    seen = (there[:, 0] == 1) & _shines(before, now, stars[:, 0], found[:, 0])
    if seen.sum() < MIN_STARS:
        return None
    matrix, agreeing = cv2.estimateAffinePartial2D(stars[seen], found[seen], ransacReprojThreshold=1.0)
    # Stars that went out of the picture say nothing; where the motion must be certain, each of them counts.
    most = len(stars) if agree > MIN_AGREEING else seen.sum()
    if matrix is None or agreeing.sum() < max(MIN_STARS, agree * most):
        return None
    return matrix, found[seen][agreeing[:, 0] == 1]


def _shines(before: np.ndarray, now: np.ndarray, stars: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Tell, (N,), at which found places (N, 2) there is about the light that was at the stars (N, 2)."""
    (x, y), (to_x, to_y) = np.rint(stars).astype(int).T, np.rint(found).astype(int).T
    inside = (to_x >= 0) & (to_x < now.shape[1]) & (to_y >= 0) & (to_y < now.shape[0])
    return inside & (2 * now[to_y * inside, to_x * inside].astype(int) >= before[y, x])


def to_frame_pixels(matrix: np.ndarray, factor: float) -> np.ndarray:
    """Turn a motion (2, 3) in pixels of a small look into one (3, 3) in pixels of a frame `factor` times as large."""
    # Pixel centres: a place x of the frame is at (x + 1/2) / factor - 1/2 of the small look.
    half = (factor - 1.0) / 2.0
    larger = np.array([[factor, 0.0, half], [0.0, factor, half], [0.0, 0.0, 1.0]])
    return larger @ np.vstack([matrix, [0.0, 0.0, 1.0]]) @ np.linalg.inv(larger)


def to_thumbnail_pixels(matrix: np.ndarray, factor: float) -> np.ndarray:
    """Turn a motion (3, 3) in frame pixels into one (3, 3) in pixels of a look `factor` times smaller."""
    return to_frame_pixels(matrix[:2], 1.0 / factor)


def repeat_motion(step: np.ndarray, times: float) -> np.ndarray:
    """Repeat a similarity (2, 3) so many times; a part of it, for less than 1."""
    turn, shift = complex(step[0, 0], step[1, 0]), complex(step[0, 2], step[1, 2])
    whole = turn**times
    # The sum of a geometric series, that of 1 + 1 + ... where nothing turns.
    shift *= times if abs(turn - 1) < 1e-9 else (whole - 1) / (turn - 1)
    return np.array([[whole.real, -whole.imag, shift.real], [whole.imag, whole.real, shift.imag]])


class SkyMotion:
    """Follows the sky over successive frames.

    Where two frames have nothing in common (a slew, clouds, a frame without stars), the sky counts as still.

    Attributes:
        sky: (3, 3) float64: where a place of the first frame's sky is now, in frame pixels, homogeneous.
        seen: whether the last frame has anything in common with the one before it.
    """

    def __init__(self) -> None:
        self._last: _Look | None = None
        self._pace: np.ndarray | None = None
        self._factor, self._base = 1.0, IDENTITY
        self._stars, self._followed = NO_STARS, 0
        self._steady = self._unseen = 0
        self.sky = IDENTITY
        self.seen = True

    @property
    def needs_update(self) -> bool:
        """Whether the next frame must be looked at, because the sky is not steady or has not been seen for a while."""
        return self._pace is None or self._steady < MIN_STEADY_UPDATES or self._unseen >= MAX_EXTRAPOLATED

    def extrapolate(self) -> np.ndarray:
        """Let a steady sky go on for a frame that is not looked at; return `sky`."""
        assert self._pace is not None
        self._unseen += 1
        self.sky = to_frame_pixels(self._pace, self._factor) @ self.sky
        return self.sky

    def update(self, small: np.ndarray, factor: float) -> np.ndarray:
        """Take a frame's `glance`, `factor` times smaller than the frame; return `sky`."""
        if max(small.shape) > MOTION_SIDE:
            small, factor = ImagePyramid(small)[1], 2 * factor
        stars = subtract_background(small)
        now, before = _Look(stars, cv2.convertScaleAbs(cv2.GaussianBlur(stars, (5, 5), 1.0), alpha=24.0)), self._last
        frames, self._unseen = self._unseen + 1, 0
        self._last, self._factor = now, factor
        step = None if before is None or before.soft.shape != now.soft.shape else self._moved(before, now, frames)
        self.seen = before is None or step is not None
        pace = None if step is None else repeat_motion(step, 1 / frames)
        # The motions of a steady sky differ by how well they are measured: their mean foretells better than one.
        self._pace = (self._pace + pace) / 2 if self._steady and self._pace is not None and pace is not None else pace
        sky = self._base if step is None else to_frame_pixels(step, factor) @ self._base
        # Zooming on and on would end in numbers that are none, and with them all following: it begins anew.
        self.sky = sky if 1 / MAX_ZOOM < np.linalg.det(sky[:2, :2]) ** 0.5 < MAX_ZOOM else IDENTITY
        self._base = self.sky
        return self.sky

    def _moved(self, before: _Look, now: _Look, frames: int) -> np.ndarray | None:
        """Find the motion (2, 3) between two looks, so many frames apart; None where they have nothing in common."""
        stars, steady, self._steady = self._stars, self._steady, 0
        if self._followed % STAR_REFRESH_INTERVAL == 0 or self._pace is None or len(stars) < MIN_STARS:
            stars = _bright(before)
            self._followed = 0
        if self._pace is not None:
            guess = repeat_motion(self._pace, frames)
            found = estimate_similarity(before.soft, now.soft, stars, guess, MIN_CERTAIN)
            if found is not None:
                self._followed += 1
                matrix, self._stars = found
                self._steady = steady + 1 if _apart(guess, matrix, now.soft.shape) < MAX_PREDICTION_ERROR else 0
                return matrix
            if self._followed:
                stars = _bright(before)
        self._followed = 0
        shift = estimate_shift(before.stars, now.stars)
        if shift is None:
            return None
        guess = np.array([[1.0, 0.0, shift[0]], [0.0, 1.0, shift[1]]])
        found = estimate_similarity(before.soft, now.soft, stars, guess, MIN_AGREEING)
        return guess if found is None else found[0]


def _apart(one: np.ndarray, other: np.ndarray, shape: tuple[int, ...]) -> float:
    """Tell how far two motions (2, 3) take the corners of a picture (h, w) from each other, at most, in pixels."""
    corners = np.array([[0, 0, 1], [shape[1], 0, 1], [0, shape[0], 1], [shape[1], shape[0], 1]])
    return float(np.hypot(*((one - other) @ corners.T)).max())


def _bright(look: _Look) -> np.ndarray:
    """Find the brightest stars of a look: (N, 1, 2) float32 places."""
    stars = cv2.goodFeaturesToTrack(look.soft, MAX_STARS, 0.02, 6)
    return NO_STARS if stars is None else stars
