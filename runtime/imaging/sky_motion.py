"""Estimate how the sky moves across the sensor: drift, field rotation, zoom.

Phase correlation (Kuglin & Hines 1975) finds a drift of any length. From there, optical flow (Lucas & Kanade 1981) and
a similarity by RANSAC find rotation and scale; objects that move on their own, or not at all, are outliers. While the
motion is constant, optical flow of the stars that moved with the sky is sufficient, in a third of the time. Once the
motion is steady, three frames in four are extrapolated, and the next one verifies the prediction.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from ...models.preprocess import ImagePyramid
from .statistics import mad_std

SIDE = 480
"""Maximum side in pixels of a frame's grey thumbnail, used to find the motion of the sky and extended light."""
MOTION_SIDE = 320
"""Maximum side if only the motion is needed: half the side takes a quarter of the time."""
MIN_RESPONSE = 0.2
"""Minimum response of phase correlation: images of noise alone reach 0.1, fields of six or more stars 0.4 to 1.3."""
MIN_STARS, MAX_STARS = 5, 60
MIN_AGREEING = 0.5
MIN_CERTAIN = 0.8
"""Minimum share of the stars with unchanged motion; below it, the motion is estimated by phase correlation."""
MAX_ZOOM = 1000.0
"""Maximum factor by which the sky may grow or shrink relative to the first frame."""
STAR_REFRESH_INTERVAL = 8
"""Updates after which stars are detected again; until then, those that moved with the sky are followed."""
MIN_STEADY_UPDATES, MAX_PREDICTION_ERROR = 4, 1.0
"""A sky is steady after this number of successive updates whose prediction error, in thumbnail pixels, is small."""
MAX_EXTRAPOLATED = 3
"""Maximum number of extrapolated frames between two updates of a steady sky."""
IDENTITY = np.eye(3)
NO_STARS = np.zeros((0, 1, 2), np.float32)


class Thumbnail(NamedTuple):
    """A frame's stars (h, w) float32, and a blurred uint8 copy of them."""

    stars: np.ndarray
    blurred: np.ndarray


def grey_thumbnail(pixels: np.ndarray | ImagePyramid) -> np.ndarray:
    """Make a grey thumbnail (h, w) uint8 of (H, W, 3) uint8 RGB.

    It is halved until it has at most `SIDE` pixels a side.
    """
    pyramid, level = pixels if isinstance(pixels, ImagePyramid) else ImagePyramid(pixels), 0
    while max(pyramid[level].shape[:2]) > SIDE and min(pyramid[level].shape[:2]) >= 2:
        level += 1
    return cv2.cvtColor(pyramid[level], cv2.COLOR_RGB2GRAY)


def subtract_background(grey: np.ndarray) -> np.ndarray:
    """Subtract sky background and noise from a grey image (h, w).

    Return the square root, float32 >= 0.
    """
    sky = cv2.boxFilter(grey, cv2.CV_32F, (31, 31), borderType=cv2.BORDER_REFLECT)
    level = np.asarray(cv2.subtract(grey, sky, sky, dtype=cv2.CV_32F), dtype=np.float32)
    level -= 2.0 * max(0.5, mad_std(level[::3, ::3], 0.0))
    np.maximum(level, 0.0, out=level)
    return np.sqrt(level, out=level)


def estimate_shift(before: np.ndarray, now: np.ndarray) -> tuple[float, float] | None:
    """Return the shift (x, y) in pixels between two results of `subtract_background`.

    None without a common field.
    """
    window = cv2.createHanningWindow(before.shape[::-1], cv2.CV_32F)
    (x, y), response = cv2.phaseCorrelate(before, now, window)
    return (x, y) if response >= MIN_RESPONSE and np.isfinite(x + y) else None


def estimate_similarity(
    before: np.ndarray, now: np.ndarray, stars: np.ndarray, guess: np.ndarray, agree: float
) -> tuple[np.ndarray, np.ndarray] | None:
    """Estimate the motion that the stars have in common.

    Args:
        before, now: (h, w) uint8, stars on black, blurred.
        stars: (N, 1, 2) float32, positions of stars in `before`.
        guess: (2, 3) approximate motion from pixels of `before` to pixels of `now`.
        agree: share of the stars that must agree with the motion.

    Returns:
        (2, 3) from pixels of `before` to pixels of `now`, and the positions (M, 1, 2) in `now` of the stars that
        agree; None where too few do.
    """
    if len(stars) < MIN_STARS:
        return None
    start = (stars @ guess[:, :2].T + guess[:, 2]).astype(np.float32)
    found, tracked, _ = cv2.calcOpticalFlowPyrLK(
        before, now, stars, start, winSize=(15, 15), maxLevel=1, flags=cv2.OPTFLOW_USE_INITIAL_FLOW
    )
    seen = (tracked[:, 0] == 1) & _is_bright(before, now, stars[:, 0], found[:, 0])
    if seen.sum() < MIN_STARS:
        return None
    matrix, agreeing = cv2.estimateAffinePartial2D(stars[seen], found[seen], ransacReprojThreshold=1.0)
    # Stars that left the image are ignored, unless the motion must be certain: then they count against it.
    count = len(stars) if agree > MIN_AGREEING else seen.sum()
    if matrix is None or agreeing.sum() < max(MIN_STARS, agree * count):
        return None
    return matrix, found[seen][agreeing[:, 0] == 1]


def _is_bright(before: np.ndarray, now: np.ndarray, stars: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Return whether the light at found positions is at least half the stars'.

    The result is (N,) bool for `stars` and `found` (N, 2).
    """
    (x, y), (to_x, to_y) = np.rint(stars).astype(int).T, np.rint(found).astype(int).T
    inside = (to_x >= 0) & (to_x < now.shape[1]) & (to_y >= 0) & (to_y < now.shape[0])
    is_bright: np.ndarray = inside & (2 * now[to_y * inside, to_x * inside].astype(int) >= before[y, x])
    return is_bright


def to_frame_pixels(matrix: np.ndarray, factor: float) -> np.ndarray:
    """Convert a motion (2, 3) in thumbnail pixels to (3, 3) in frame pixels.

    The frame is `factor` times as large.
    """
    # Pixel centres: position x of the frame is at (x + 1/2) / factor - 1/2 of the thumbnail.
    half = (factor - 1.0) / 2.0
    larger = np.array([[factor, 0.0, half], [0.0, factor, half], [0.0, 0.0, 1.0]])
    motion: np.ndarray = larger @ np.vstack([matrix, [0.0, 0.0, 1.0]]) @ np.linalg.inv(larger)
    return motion


def to_thumbnail_pixels(matrix: np.ndarray, factor: float) -> np.ndarray:
    """Convert a motion (3, 3) in frame pixels to one in thumbnail pixels.

    The thumbnail is `factor` times smaller.
    """
    return to_frame_pixels(matrix[:2], 1.0 / factor)


def repeat_motion(step: np.ndarray, times: float) -> np.ndarray:
    """Apply a similarity (2, 3) `times` times; a fraction of it, for less than 1."""
    turn, shift = complex(step[0, 0], step[1, 0]), complex(step[0, 2], step[1, 2])
    total_turn = turn**times
    # The sum of a geometric series, whose terms are all 1 if there is no rotation.
    shift *= times if abs(turn - 1) < 1e-9 else (total_turn - 1) / (turn - 1)
    return np.array([[total_turn.real, -total_turn.imag, shift.real], [total_turn.imag, total_turn.real, shift.imag]])


class SkyMotion:
    """Tracks the motion of the sky over successive frames.

    If two frames have nothing in common (a slew, clouds, a frame without stars), the sky is taken not to move.

    Attributes:
        sky: (3, 3) float64: from positions in the first frame to positions in the current one, in frame pixels,
            homogeneous.
        seen: whether the last frame has anything in common with the previous one.
    """

    def __init__(self) -> None:
        self._last: Thumbnail | None = None
        self._pace: np.ndarray | None = None
        self._factor, self._base = 1.0, IDENTITY
        self._stars, self._followed = NO_STARS, 0
        self._steady = self._unseen = 0
        self._unconfirmed: np.ndarray | None = None  # a shift on which the stars do not agree
        self.sky = IDENTITY
        self.seen = True

    @property
    def needs_update(self) -> bool:
        """Return whether the next frame needs `update`.

        It does if the sky is not steady, or `MAX_EXTRAPOLATED` frames were skipped.
        """
        return self._pace is None or self._steady < MIN_STEADY_UPDATES or self._unseen >= MAX_EXTRAPOLATED

    def extrapolate(self) -> np.ndarray:
        """Predict a steady sky for a frame without `update`; return `sky`."""
        assert self._pace is not None
        self._unseen += 1
        self.sky = to_frame_pixels(self._pace, self._factor) @ self.sky
        return self.sky

    def update(self, small: np.ndarray, factor: float) -> np.ndarray:
        """Estimate the motion to a frame; return `sky`.

        Args:
            small: the frame's `grey_thumbnail`, `factor` times smaller than the frame.
        """
        if max(small.shape) > MOTION_SIDE:
            small, factor = ImagePyramid(small)[1], 2 * factor
        stars = subtract_background(small)
        blurred = cv2.convertScaleAbs(cv2.GaussianBlur(stars, (5, 5), 1.0), alpha=24.0)
        now, before = Thumbnail(stars, blurred), self._last
        frames, self._unseen = self._unseen + 1, 0
        self._last, self._factor = now, factor
        step = None
        if before is not None and before.blurred.shape == now.blurred.shape:
            self._unconfirmed = None
            step = self._motion_between(before, now, frames)
            if step is None and self._unconfirmed is not None and self._trusts_shift(small):
                step = self._unconfirmed
        self.seen = before is None or step is not None
        pace = None if step is None else repeat_motion(step, 1 / frames)
        # The motions of a steady sky differ by measurement error only: their mean predicts better than a single one.
        self._pace = (self._pace + pace) / 2 if self._steady and self._pace is not None and pace is not None else pace
        sky = self._relocate(now, small) if step is None else to_frame_pixels(step, factor) @ self._base
        # An unbounded zoom would lead to numbers that are not finite: restart from the current frame instead.
        self.sky = sky if 1 / MAX_ZOOM < np.linalg.det(sky[:2, :2]) ** 0.5 < MAX_ZOOM else IDENTITY
        self._base = self.sky
        return self.sky

    def _trusts_shift(self, small: np.ndarray) -> bool:
        """Return whether to accept a shift that too few stars could confirm."""
        return True

    def _relocate(self, now: Thumbnail, small: np.ndarray) -> np.ndarray:
        """Return no motion for a frame that has nothing in common with the previous one."""
        return self._base

    def _motion_between(self, before: Thumbnail, now: Thumbnail, frames: int) -> np.ndarray | None:
        """Return the motion (2, 3) between thumbnails that are `frames` frames apart.

        None without a common field.
        """
        stars, steady, self._steady = self._stars, self._steady, 0
        if self._followed % STAR_REFRESH_INTERVAL == 0 or self._pace is None or len(stars) < MIN_STARS:
            stars = brightest_stars(before)
            self._followed = 0
        if self._pace is not None:
            guess = repeat_motion(self._pace, frames)
            found = estimate_similarity(before.blurred, now.blurred, stars, guess, MIN_CERTAIN)
            if found is not None:
                self._followed += 1
                matrix, self._stars = found
                error = _max_distance(guess, matrix, now.blurred.shape)
                self._steady = steady + 1 if error < MAX_PREDICTION_ERROR else 0
                return matrix
            if self._followed:
                stars = brightest_stars(before)
        self._followed = 0
        shift = estimate_shift(before.stars, now.stars)
        if shift is None:
            return None
        guess = np.array([[1.0, 0.0, shift[0]], [0.0, 1.0, shift[1]]])
        found = estimate_similarity(before.blurred, now.blurred, stars, guess, MIN_AGREEING)
        self._unconfirmed = guess if found is None else None
        return None if found is None else found[0]


def _max_distance(first: np.ndarray, second: np.ndarray, shape: tuple[int, ...]) -> float:
    """Return the maximum distance in pixels of a corner (h, w) after two motions."""
    corners = np.array([[0, 0, 1], [shape[1], 0, 1], [0, shape[0], 1], [shape[1], shape[0], 1]])
    return float(np.hypot(*((first - second) @ corners.T)).max())


def brightest_stars(thumbnail: Thumbnail) -> np.ndarray:
    """Return the positions (N, 1, 2) float32 of the brightest stars."""
    stars = cv2.goodFeaturesToTrack(thumbnail.blurred, MAX_STARS, 0.02, 6)
    return NO_STARS if stars is None else stars
