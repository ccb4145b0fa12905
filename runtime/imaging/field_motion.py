"""The motion of the sky through jumps: dither, slew, meridian flip, cloud.

A frame that does not continue the previous one is compared with the last frame of each recent star field, unchanged
and turned by 180 degrees. If the stars agree, the motion continues through the jump; if both show stars that do not
agree, the telescope points at another field. Between the updates of a steady sky, the brightness at the predicted
positions of the stars reveals a jump in the frame where it occurs.
"""

from __future__ import annotations

import cv2
import numpy as np

from .sky_motion import (
    MIN_AGREEING,
    MIN_STARS,
    SkyMotion,
    Thumbnail,
    brightest_stars,
    estimate_shift,
    estimate_similarity,
    repeat_motion,
    to_frame_pixels,
)
from .statistics import mad_std

MAX_FIELDS = 3
"""Number of star fields that are remembered, the current one included."""
MIN_VISIBLE = 12
"""Minimum number of stars above the noise in a frame that shows another field: in a cloud there are fewer."""
VISIBLE_SIGMAS = 8.0
MIN_KEPT = 0.5
"""Minimum share of the stars that must be bright where the sky's motion predicts them; otherwise the field has
jumped."""
MIN_TRAIL = 1 / 20
"""Minimum motion of a trailed frame's centre since the previous frame, in its longer sides."""


class FieldMotion(SkyMotion):
    """Tracks the motion of the sky, and the star field that it shows.

    Attributes:
        field: number of the star field, from 0; frames of one field share the coordinates of `sky`.
        is_trailed: whether the stars of the last frame are trailed by a slew.
    """

    def __init__(self) -> None:
        super().__init__()
        self.field = 0
        self.is_trailed = False
        self._count = 1
        self._unconfirmed_fields: set[int] = set()  # seen in one frame, which may be a bad one
        self._fields: dict[int, tuple[Thumbnail, np.ndarray, float]] = {}
        self._expected: np.ndarray | None = None  # the motion (2, 3) from the last update to this one
        self._watched = np.zeros((0, 2))
        self._levels = np.zeros(0)

    def update(self, small: np.ndarray, factor: float) -> np.ndarray:
        """Estimate the motion to a frame; return `sky`.

        Arguments as in `SkyMotion.update`.
        """
        self._expected = None if self._pace is None else repeat_motion(self._pace, self._unseen + 1)
        super().update(small, factor)
        self.is_trailed = self._last is not None and self._pace is not None and has_trails(self._last, self._pace)
        if self.seen and self.field in self._unconfirmed_fields:
            self._confirm_field()
        if self.seen and self._last is not None:
            self._fields.pop(self.field, None)  # the field seen last is the last of the dictionary
            self._fields[self.field] = (self._last, self.sky, self._factor)
            while len(self._fields) > MAX_FIELDS:
                del self._fields[next(iter(self._fields))]
        return self.sky

    def watch_stars(self, pixels: np.ndarray) -> None:
        """Record how bright the stars of a frame (H, W, 3) are, for `has_jumped`.

        To be called after `update`.
        """
        self._levels = np.zeros(0)
        if not self.needs_update:
            self._watched = self._stars[:, 0].astype(np.float64)
            self._levels = _levels_at(pixels, self._to_frame(self._watched), self._factor)

    def has_jumped(self, pixels: np.ndarray) -> bool:
        """Return whether stars are missing from their predicted positions in a frame."""
        if self._pace is None or not len(self._levels):
            return False
        motion = repeat_motion(self._pace, self._unseen + 1)
        expected = self._to_frame(self._watched @ motion[:, :2].T + motion[:, 2])
        size = np.array(pixels.shape[1::-1])
        inside = ((expected >= 0) & (expected < size)).all(axis=1)
        if inside.sum() < MIN_STARS:
            return True
        levels = _levels_at(pixels, expected[inside], self._factor)
        return bool(np.mean(levels > 0.5 * self._levels[inside]) < MIN_KEPT)

    def _to_frame(self, positions: np.ndarray) -> np.ndarray:
        """Convert positions (N, 2) in the thumbnail to pixels of the frame."""
        return (positions + 0.5) * self._factor - 0.5

    def _trusts_shift(self, small: np.ndarray) -> bool:
        """Return whether to accept a shift without confirmation: if there are few stars."""
        return not _shows_stars(small)

    def _relocate(self, now: Thumbnail, small: np.ndarray) -> np.ndarray:
        """Find the field of a frame that does not continue the previous one.

        Return the motion of the sky.
        """
        if not _shows_stars(small):
            return self._base
        found = self._find(now, set(self._fields))
        if found is not None:
            self.seen = True
            return found
        if not self._fields:
            self._fields[self.field] = (now, self._base, self._factor)
        elif any(self._is_comparable(field, now) for field in self._fields):
            for field in self._unconfirmed_fields:
                self._fields.pop(field, None)
            self.field, self._count = self._count, self._count + 1
            self._unconfirmed_fields = {self.field}
            self._fields[self.field] = (now, self._base, self._factor)
        return self._base

    def _confirm_field(self) -> None:
        """Keep a new field once two frames agree on it, or return to an earlier field."""
        assert self._last is not None
        found = self._find(self._last, set(self._fields) - self._unconfirmed_fields)
        if found is not None:
            self.sky = self._base = found
            for field in self._unconfirmed_fields:
                self._fields.pop(field, None)
        self._unconfirmed_fields = set()

    def _find(self, now: Thumbnail, fields: set[int]) -> np.ndarray | None:
        """Match a frame with the known fields, confirmed ones first.

        Set `field` and return the motion of the sky.
        """
        order = [field for field in reversed(self._fields) if field in fields and self._is_comparable(field, now)]
        for field in sorted(order, key=lambda field: field in self._unconfirmed_fields):
            thumbnail, sky, _ = self._fields[field]
            motion = match_fields(thumbnail, now, self._expected if field == self.field else None)
            if motion is not None:
                self.field = field
                found: np.ndarray = to_frame_pixels(motion, self._factor) @ sky
                return found
        return None

    def _is_comparable(self, field: int, now: Thumbnail) -> bool:
        thumbnail, _, factor = self._fields[field]
        return thumbnail.blurred.shape == now.blurred.shape and factor == self._factor


def match_fields(before: Thumbnail, now: Thumbnail, expected: np.ndarray | None = None) -> np.ndarray | None:
    """Return the motion between two frames of a star field that may have flipped.

    A flip turns the field by 180 degrees.

    Args:
        before, now: the frames' thumbnails.
        expected: (2, 3) further initial guesses for the motion, in addition to no motion and to the measured shift.

    Returns:
        (2, 3) from pixels of `before` to pixels of `now`; None where their stars do not agree.
    """
    height, width = before.blurred.shape
    turn = np.array([[-1.0, 0.0, width - 1.0], [0.0, -1.0, height - 1.0]])
    turned = Thumbnail(cv2.rotate(before.stars, cv2.ROTATE_180), cv2.rotate(before.blurred, cv2.ROTATE_180))
    still = np.eye(3)[:2]
    for thumbnail, first, guesses in ((before, still, [expected, still]), (turned, turn, [])):
        shift = estimate_shift(thumbnail.stars, now.stars)
        if shift is not None:
            guesses.insert(0, np.array([[1.0, 0.0, shift[0]], [0.0, 1.0, shift[1]]]))
        stars = brightest_stars(thumbnail)
        for guess in guesses:
            if guess is None:
                continue
            found = estimate_similarity(thumbnail.blurred, now.blurred, stars, guess, MIN_AGREEING)
            if found is not None:
                motion: np.ndarray = found[0] @ np.vstack([first, [0.0, 0.0, 1.0]])
                return motion
    return None


def has_trails(thumbnail: Thumbnail, pace: np.ndarray) -> bool:
    """Return whether the stars of a frame are trailed along the sky's motion.

    Their light is compared with that at a quarter of the motion before and behind them, and to their sides.

    Args:
        thumbnail: the frame's.
        pace: (2, 3) motion of the sky per frame, in its pixels.
    """
    height, width = thumbnail.blurred.shape
    centre = np.array([width / 2, height / 2])
    motion = pace[:, :2] @ centre + pace[:, 2] - centre
    if np.hypot(*motion) < MIN_TRAIL * max(height, width):
        return False
    stars = brightest_stars(thumbnail)[:, 0]
    if len(stars) < MIN_STARS:
        return False
    along, across = motion / 4, np.array([-motion[1], motion[0]]) / 4

    def light(offset: np.ndarray) -> np.ndarray:
        columns, rows = np.rint(stars + offset).astype(int).T
        inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
        levels: np.ndarray = thumbnail.blurred[rows * inside, columns * inside] * inside
        return levels

    # The brightest positions include the ends of a trail, whose light continues to one side only.
    continued, beside = (np.median(np.maximum(light(offset), light(-offset))) for offset in (along, across))
    return bool(continued > 0.5 * np.median(light(np.zeros(2))) and beside < 0.5 * continued)


def _shows_stars(small: np.ndarray) -> bool:
    """Return whether a thumbnail (h, w) has at least `MIN_VISIBLE` separate peaks."""
    light = small - cv2.boxFilter(small, cv2.CV_32F, (31, 31), borderType=cv2.BORDER_REFLECT)
    noise = max(0.5, mad_std(light[::3, ::3]))
    bright = (light > VISIBLE_SIGMAS * noise).astype(np.uint8)
    return bool(cv2.connectedComponents(bright)[0] - 1 >= MIN_VISIBLE)


def _levels_at(pixels: np.ndarray, positions: np.ndarray, factor: float) -> np.ndarray:
    """Return the light (N,) around positions (N, 2) above the frame's background."""
    radius = max(2, round(factor))
    offsets = np.arange(-radius, radius + 1)
    columns, rows = np.rint(positions).astype(int).T
    rows = np.clip(rows[:, None] + offsets, 0, pixels.shape[0] - 1)
    columns = np.clip(columns[:, None] + offsets, 0, pixels.shape[1] - 1)
    patches = pixels[rows[:, :, None], columns[:, None, :], 1]
    background = float(np.median(pixels[::16, ::16, 1]))
    levels: np.ndarray = patches.max(axis=(1, 2)).astype(float) - background
    return levels
