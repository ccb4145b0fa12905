"""Stacking: the mean of the last frames, aligned by their stars, which lowers the noise.

Phase correlation and optical flow give the approximate motion of the sky (see `sky_motion`); the enhanced correlation
coefficient (Evangelidis & Psarakis 2008, IEEE TPAMI 30, 1858), through OpenCV, aligns each frame with the first of its
stack, with rotation and to a fraction of a pixel. Pixels that do not agree with the stack are excluded from the mean:
planes, satellites, cosmic rays, hot pixels.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import cv2
import numpy as np

from ...models.images.stretch import to_rgb8
from ..frame import Frame
from .sky_motion import subtract_background, to_frame_pixels, to_thumbnail_pixels
from .statistics import mad_std, median

MAX_SIGMAS = 5.0
"""Standard deviations of the noise by which a pixel must differ from the stack to be excluded."""
SCINTILLATION = 0.5
"""Share of its light by which a star may differ: seeing, and an inexact registration."""
MIN_NOISE = 0.5
MAX_DISAGREEING = 0.2
"""Share of disagreeing pixels above which the frame shows another field."""
MAX_DISAGREEING_STARS = 0.6
"""The same for the peaks of the stack's stars: after a slew or in a cloud nearly all disagree."""
MIN_STAR_SPREAD = 0.1
"""Minimum share of a star's peak in the pixels around it; around a hot pixel there is none."""
MIN_OVERLAP = 0.6
MIN_CORRELATION = 0.2
ECC_CRITERIA = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 25, 1e-4)


@dataclass
class _Layer:
    """A frame in the stack: its values, aligned with the first frame, and which of them count (H, W) bool."""

    values: np.ndarray
    counts: np.ndarray


class Stack:
    """The running mean of the last frames; a slew, a cloud or another frame size starts a new stack.

    Args:
        depth: maximum number of frames in the stack; may be changed at any time.
    """

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self._layers: deque[_Layer] = deque()
        self._sum = self._count = self._stars = np.zeros(0, np.float32)
        self._sky = np.eye(3)

    def add(self, frame: Frame, small: np.ndarray, sky: np.ndarray) -> Frame:
        """Add a frame.

        Args:
            small: its `sky_motion.grey_thumbnail`.
            sky: (3, 3) motion of the sky, see `sky_motion.SkyMotion.update`.

        Returns:
            The frame with its pixels replaced by the mean of the stack, aligned with the frame. Values of more than 8
            bits are averaged first and stretched afterwards.
        """
        values = frame.pixels if frame.raw is None else frame.raw
        factor = frame.width // small.shape[1]
        stars = subtract_background(small)
        transform = self._register(stars, factor, sky) if self._layers and self._sum.shape == values.shape else None
        if transform is None or not self._add_layer(values, transform):
            self._begin(values, stars, sky)
            transform = np.eye(3)[:2]
        while len(self._layers) > max(1, self.depth):
            self._remove(self._layers.popleft())
        return self._warp_back(frame, values, transform)

    def _begin(self, values: np.ndarray, stars: np.ndarray, sky: np.ndarray) -> None:
        self._layers = deque([_Layer(values, np.ones(values.shape[:2], bool))])
        self._sum = values.astype(np.float32)
        self._count = np.ones(values.shape[:2], np.float32)
        self._stars, self._sky = stars, sky

    def _register(self, stars: np.ndarray, factor: int, sky: np.ndarray) -> np.ndarray:
        """Return the (2, 3) transform from the first frame's pixels to this frame's; at worst, that of `sky`."""
        guess = to_thumbnail_pixels(sky @ np.linalg.inv(self._sky), factor)
        try:
            match, matrix = cv2.findTransformECC(
                self._stars,
                stars,
                guess[:2].astype(np.float32),
                cv2.MOTION_EUCLIDEAN,
                ECC_CRITERIA,
                np.ones(stars.shape, np.uint8),
                5,
            )
        except cv2.error:  # it does not converge
            match, matrix = 0.0, guess[:2]
        return to_frame_pixels(matrix if match > MIN_CORRELATION else guess[:2], factor)[:2]

    def _add_layer(self, values: np.ndarray, transform: np.ndarray) -> bool:
        """Add an aligned frame to the stack; return False if it does not agree with it."""
        size = values.shape[1], values.shape[0]
        back = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        aligned = cv2.warpAffine(values, transform, size, flags=back)
        inside = cv2.warpAffine(np.full(values.shape[:2], 255, np.uint8), transform, size, flags=back) == 255
        known = inside & (self._count > 0)
        if known.mean() < MIN_OVERLAP:
            return False
        mean = _grey(self._mean())
        change = _grey(aligned.astype(np.float32)) - mean
        sample = change[::3, ::3][known[::3, ::3]]
        noise = max(MIN_NOISE, mad_std(sample))
        light = np.maximum(mean - median(mean[::3, ::3]), 0.0)
        nearby = cv2.dilate(light, np.ones((3, 3), np.uint8))
        disagreeing = known & (np.abs(change) > MAX_SIGMAS * noise + SCINTILLATION * nearby)
        round_it = cv2.erode(light, cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)))
        stars = (
            known & (light == nearby) & (light > 2 * MAX_SIGMAS * noise) & (round_it > MIN_STAR_SPREAD * light)
        )  # their peaks
        if (
            disagreeing.sum() > MAX_DISAGREEING * known.sum()
            or disagreeing[stars].sum() > MAX_DISAGREEING_STARS * stars.sum()
        ):
            return False
        # Of two frames that disagree, the brighter value is excluded, whichever came first.
        wrong_before = disagreeing & (change < 0) & (self._count <= 1)
        if wrong_before.any():
            for layer in self._layers:
                layer.counts &= ~wrong_before
            self._sum[wrong_before], self._count[wrong_before] = 0.0, 0.0
        layer = _Layer(aligned, inside & (~disagreeing | wrong_before))
        self._layers.append(layer)
        self._sum += aligned * _spread(layer.counts, aligned)
        self._count += layer.counts
        return True

    def _remove(self, layer: _Layer) -> None:
        self._sum -= layer.values * _spread(layer.counts, layer.values)
        self._count -= layer.counts

    def _mean(self) -> np.ndarray:
        return self._sum / _spread(np.maximum(self._count, 1.0), self._sum)

    def _warp_back(self, frame: Frame, values: np.ndarray, transform: np.ndarray) -> Frame:
        """Align the mean with the frame; keep the frame's own values where the stack has none."""
        size = values.shape[1], values.shape[0]
        mean = cv2.warpAffine(self._mean(), transform, size, flags=cv2.INTER_LINEAR)
        held = cv2.warpAffine((self._count > 0).astype(np.uint8) * 255, transform, size, flags=cv2.INTER_LINEAR) == 255
        mean = np.where(_spread(held, mean), mean, values)
        stacked = len(self._layers)
        if frame.raw is None:
            return replace(frame, pixels=np.round(mean).astype(np.uint8), stacked=stacked)
        pixels, stretch = to_rgb8(mean)
        return replace(frame, pixels=pixels, stretch=stretch, stacked=stacked, raw=mean.astype(np.float32, copy=False))


def _grey(values: np.ndarray) -> np.ndarray:
    return values if values.ndim == 2 else cv2.cvtColor(values, cv2.COLOR_RGB2GRAY)


def _spread(per_pixel: np.ndarray, like: np.ndarray) -> np.ndarray:
    return per_pixel if like.ndim == 2 else per_pixel[..., None]
