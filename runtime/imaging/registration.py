"""Register a frame on the first frame of its stack, by stars in thumbnails.

Optical flow (Lucas & Kanade 1981) follows the stars, starting where the motion of the sky predicts them, and a
rotation with a shift is fitted to those that agree. If there are few stars, the enhanced correlation coefficient
(Evangelidis & Psarakis 2008, IEEE TPAMI 30, 1858) aligns extended light. After a gap or a meridian flip, the rotation
is searched.
"""

from __future__ import annotations

import cv2
import numpy as np

from .sky_motion import (
    MAX_STARS,
    MIN_AGREEING,
    MIN_RESPONSE,
    MIN_STARS,
    NO_STARS,
    estimate_similarity,
    subtract_background,
    to_frame_pixels,
    to_thumbnail_pixels,
)
from .statistics import mad_std

MIN_CORRELATION = 0.2
MIN_VISIBLE_SIGMAS = 6.0
"""Standard deviations of the thumbnail's noise above which its peaks are visible."""
MAX_SCALE_ERROR = 0.02
"""Maximum difference of the scale from 1; a similarity beyond it is a false match, as a telescope does not zoom."""
MAX_UNTURNED = 0.02
"""Rotation in radians above which a frame is rotated before its stars are followed."""
ROTATIONS = (0, 180, 1.5, -1.5, 3, -3, 5, -5, 7.5, -7.5, 178.5, 181.5)
"""Rotations in degrees that are tried after a gap between frames or a meridian flip."""
SEARCH_SIDE = 256
ECC_CRITERIA = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 25, 1e-4)


class Registration:
    """The stars of a frame, to which later frames are registered.

    Args:
        thumbnail: (h, w) uint8, the frame's `sky_motion.grey_thumbnail`.
        sky: (3, 3) motion of the sky at this frame, see `sky_motion.SkyMotion.update`.
    """

    def __init__(self, thumbnail: np.ndarray, sky: np.ndarray) -> None:
        self._thumbnail = thumbnail
        self._sky = sky
        self._light = subtract_background(thumbnail)
        self._soft = _soften(self._light)
        self._stars: np.ndarray | None = None

    def transform(self, other: Registration, factor: int) -> np.ndarray | None:
        """Return the (2, 3) transform from this frame's pixels to those of `other`.

        Args:
            factor: pixels of the frame along a side of a pixel of the thumbnail.

        Returns:
            None if at least one of the frames shows light and they do not show the same field. If neither shows any,
            the transform follows from the motion of the sky.
        """
        if other._thumbnail.shape != self._thumbnail.shape:
            return None
        guess = to_thumbnail_pixels(other._sky @ np.linalg.inv(self._sky), factor)[:2]
        matrix = self._follow_stars(other, guess)
        if matrix is None:
            matrix = self._correlate(other, guess)
        if matrix is None:
            visible = _is_light_visible(self._thumbnail), _is_light_visible(other._thumbnail)
            if not any(visible):
                matrix = guess
            elif all(visible):
                matrix = self._search(other)
        return None if matrix is None else to_frame_pixels(matrix, factor)[:2]

    def _follow_stars(self, other: Registration, guess: np.ndarray) -> np.ndarray | None:
        if self._stars is None:
            stars = cv2.goodFeaturesToTrack(self._soft, MAX_STARS, 0.02, 6)
            self._stars = NO_STARS if stars is None else stars
        if not len(self._stars):
            return None
        size = self._soft.shape[::-1]
        expected = cv2.transform(self._stars, guess)[:, 0]
        stars = self._stars[((expected >= 0) & (expected < np.array(size))).all(axis=1)]
        now, start = other._soft, guess
        turned = abs(float(np.arctan2(guess[1, 0], guess[0, 0]))) > MAX_UNTURNED
        if turned:  # optical flow compares the surroundings of a star without rotating them
            now, start = cv2.warpAffine(now, guess, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP), np.eye(3)[:2]
        found = estimate_similarity(self._soft, now, stars, start, MIN_AGREEING)
        if found is None:
            return None
        matrix = guess @ np.vstack([found[0], [0.0, 0.0, 1.0]]) if turned else found[0]
        return _without_scale(matrix, np.array(size) / 2)

    def _correlate(self, other: Registration, guess: np.ndarray) -> np.ndarray | None:
        start, mask = guess.astype(np.float32), np.full(self._light.shape, 255, np.uint8)
        try:
            match, matrix = cv2.findTransformECC(
                self._light, other._light, start, cv2.MOTION_EUCLIDEAN, ECC_CRITERIA, mask, 5
            )
        except cv2.error:  # it does not converge
            return None
        return matrix if match > MIN_CORRELATION else None

    def _search(self, other: Registration) -> np.ndarray | None:
        """Try `ROTATIONS` around the middle.

        The shift of each is found by phase correlation.
        """
        height, width = self._light.shape
        fold = max(1, -(-max(height, width) // SEARCH_SIDE))
        size = max(1, width // fold), max(1, height // fold)
        before, now = (cv2.resize(light, size, interpolation=cv2.INTER_AREA) for light in (self._light, other._light))
        window = cv2.createHanningWindow(size, cv2.CV_32F) if min(size) > 1 else None
        found: list[tuple[float, np.ndarray]] = []
        for degrees in ROTATIONS:
            turn = cv2.getRotationMatrix2D(((size[0] - 1) / 2, (size[1] - 1) / 2), degrees, 1.0)
            (x, y), response = cv2.phaseCorrelate(cv2.warpAffine(before, turn, size), now, window)
            if response >= MIN_RESPONSE and np.isfinite(x + y):
                turn[:, 2] += np.array([x, y])
                found.append((response, to_frame_pixels(turn, fold)[:2]))
        for _, guess in sorted(found, key=lambda pair: -pair[0])[:2]:
            matrix = self._follow_stars(other, guess)
            if matrix is not None:
                return matrix
        return None


def _soften(light: np.ndarray) -> np.ndarray:
    return cv2.convertScaleAbs(cv2.GaussianBlur(light, (5, 5), 1.0), alpha=24.0)


def _is_light_visible(thumbnail: np.ndarray) -> bool:
    """Return whether `MIN_STARS` pixels of a thumbnail (h, w) are above its noise."""
    light = thumbnail - cv2.boxFilter(thumbnail, cv2.CV_32F, (31, 31), borderType=cv2.BORDER_REFLECT)
    noise = max(0.5, mad_std(light[::3, ::3]))
    return bool(np.count_nonzero(light > MIN_VISIBLE_SIGMAS * noise) >= MIN_STARS)


def _without_scale(matrix: np.ndarray, middle: np.ndarray) -> np.ndarray | None:
    """Convert a similarity (2, 3) to a rotation with a shift.

    None if its scale shows a false match.
    """
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if abs(scale - 1) > MAX_SCALE_ERROR:
        return None
    rigid: np.ndarray = matrix.copy()
    rigid[:, :2] /= scale
    rigid[:, 2] += (matrix[:, :2] - rigid[:, :2]) @ middle
    return rigid
