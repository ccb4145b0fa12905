"""Stacking: the mean of the last frames, aligned by their stars to lower noise.

The linear channels of raw frames are averaged, and the mean is developed like a frame; images of 8 bits are averaged
directly. Frames are registered on the first of the stack (see `registration`). Planes, satellites, cosmic rays and hot
pixels are excluded, by deviations in units of the frames' own noise: the unit of their values does not matter.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from ...models.images.development import develop_planes
from ...models.raw.bayer import true_places
from ...models.raw.working_values import working_scale
from ..frame import Frame
from .developed import development_of
from .registration import Registration
from .statistics import mad_std, median

MAX_SIGMAS = 5.0
"""Standard deviations of the noise by which a pixel must differ from the stack to be excluded."""
SCINTILLATION = 0.5
"""Share of its light by which a star may differ, due to seeing and inexact registration."""
MIN_NOISE_OF_8_BITS = 0.5
MAX_DISAGREEING = 0.2
"""Maximum share of disagreeing pixels; beyond it, the frame shows another field."""
MAX_DISAGREEING_STARS = 0.6
"""The same for the peaks of the stack's stars, of which nearly all disagree after a slew or in a cloud."""
MIN_STAR_SPREAD = 0.1
"""Minimum level of the pixels around a star as a share of its peak; a hot pixel does not reach it."""
MIN_OVERLAP = 0.6
_SAMPLE = 6
_BORDER = 1.0
"""Width in pixels of the edge that is not used, as interpolation mixes it with values outside of the frame."""
_GREY = (0.299, 0.587, 0.114)
_BLOCK = np.ones((3, 3), np.uint8)
_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
_IDENTITY = np.eye(3)[:2]

Planes = list[np.ndarray]
"""One or three arrays (H, W), all uint8 or all float32."""


@dataclass(eq=False)
class _Layer:
    """An aligned frame: planes, 0 where invalid, and a valid mask, uint8 0 or 255."""

    planes: Planes
    counts: np.ndarray


class Stack:
    """The running mean of the last frames, restarted by a slew, cloud or new size.

    Args:
        depth: maximum number of frames in the stack; may be changed at any time.
    """

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self._layers: deque[_Layer] = deque()
        self._sums: Planes = []
        self._means: Planes = []
        self._count: np.ndarray = np.zeros((0, 0), np.float32)
        self._ones: np.ndarray = self._count
        self._levels: list[float] = []
        self._reference: Registration | None = None
        self._unused: Planes = []  # reused: allocating memory takes longer than most steps

    def add(self, frame: Frame, thumbnail: np.ndarray, sky: np.ndarray) -> Frame:
        """Add a frame.

        Args:
            thumbnail: its `sky_motion.grey_thumbnail`.
            sky: (3, 3) motion of the sky, see `sky_motion.SkyMotion.update`.

        Returns:
            The frame with the mean of the stack, aligned with it, in place of its own pixels. If the frame has
            `planes`, they are replaced by their means, `raw` by the same values as one array of the size of `pixels`,
            and `pixels` is developed from them.
        """
        planes, valid = _split(frame)
        registration = Registration(thumbnail, sky)
        transform = None
        if self._reference and self._fits(planes):
            transform = self._reference.transform(registration, frame.width // thumbnail.shape[1])
        levels = None if transform is None else self._add_layer(planes, valid, transform)
        if transform is None or levels is None:
            self._begin(planes, valid, registration)
            transform, levels = _IDENTITY, self._levels
        while len(self._layers) > max(1, self.depth):
            self._remove(self._layers.popleft())
        self._update_means()
        return self._developed(frame, self._warp_back(planes, levels, transform))

    def _fits(self, planes: Planes) -> bool:
        """Return whether planes have the number, size and type of the stack's."""
        first = self._layers[0].planes
        return len(first) == len(planes) and (first[0].shape, first[0].dtype) == (planes[0].shape, planes[0].dtype)

    def _begin(self, planes: Planes, valid: np.ndarray | None, registration: Registration) -> None:
        # Sums of values around 0 stay exact, so the sky level is added to the mean at the end.
        self._levels = [median(plane[::_SAMPLE, ::_SAMPLE]) if _is_linear(plane) else 0.0 for plane in planes]
        values = [plane - plane.dtype.type(level) for plane, level in zip(planes, self._levels, strict=True)]
        self._layers, self._unused = deque(), []
        self._means = [np.zeros(plane.shape, np.float32) for plane in planes]
        self._sums = [np.zeros(plane.shape, np.float32) for plane in planes]
        self._count, self._ones = np.zeros(planes[0].shape, np.float32), np.ones(planes[0].shape, np.float32)
        self._reference = registration
        self._push(_Layer(values, np.full(planes[0].shape, 255, np.uint8) if valid is None else valid))

    def _push(self, layer: _Layer) -> None:
        self._layers.append(layer)
        excluded = true_places(layer.counts.reshape(-1) == 0)
        for total, plane in zip(self._sums, layer.planes, strict=True):
            plane.reshape(-1)[excluded] = 0
            cv2.accumulate(plane, total)
        cv2.accumulate(self._ones, self._count, layer.counts)

    def _remove(self, layer: _Layer) -> None:
        for total, plane in zip(self._sums, layer.planes, strict=True):
            cv2.subtract(total, plane, total, dtype=cv2.CV_32F)
        cv2.subtract(self._count, self._ones, self._count, layer.counts)
        self._unused = layer.planes

    def _update_means(self) -> None:
        weight = np.maximum(self._count, np.float32(1))
        np.divide(np.float32(1), weight, out=weight)
        for total, mean in zip(self._sums, self._means, strict=True):
            cv2.multiply(total, weight, mean)

    def _add_layer(self, planes: Planes, valid: np.ndarray | None, transform: np.ndarray) -> list[float] | None:
        """Add an aligned frame to the stack.

        Returns:
            The level of each plane that corresponds to 0 in the stack; None if the frame does not agree with the stack.
        """
        size = planes[0].shape[1], planes[0].shape[0]
        back = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        unused: list[np.ndarray | None] = [*self._unused] or [None] * len(planes)
        aligned: Planes = [
            cv2.warpAffine(plane, transform, size, dst, back) for plane, dst in zip(planes, unused, strict=True)
        ]
        inside = _inside(valid, cv2.invertAffineTransform(transform), size)
        known = inside & _mask(self._count > 0)
        if cv2.countNonZero(known) < MIN_OVERLAP * known.size:
            return None
        levels, weights = self._compare_levels(aligned, known)
        for plane, level in zip(aligned, levels, strict=True):
            if level:
                plane -= np.float32(level)
        change, disagreeing = self._disagreement(aligned, known, weights)
        if disagreeing is None:
            return None
        # If two frames disagree, the brighter value is excluded, in either order.
        wrong_before = disagreeing & _mask((change < 0) & (self._count <= 1))
        if cv2.countNonZero(wrong_before):
            wrong = true_places(wrong_before.reshape(-1) > 0)
            of_layers = (array for layer in self._layers for array in (*layer.planes, layer.counts))
            for array in (*self._sums, self._count, *of_layers):
                array.reshape(-1)[wrong] = 0
        self._unused = []
        self._push(_Layer(aligned, inside & (~disagreeing | wrong_before)))
        return levels

    def _compare_levels(self, aligned: Planes, known: np.ndarray) -> tuple[list[float], list[float]]:
        """Return each plane's level that is 0 in the stack, and its weight."""
        if not _is_linear(aligned[0]):
            return [0.0] * len(aligned), list(_GREY) if len(aligned) == 3 else [1.0]
        sample = known[::_SAMPLE, ::_SAMPLE] > 0
        levels, weights = [], []
        for plane, mean in zip(aligned, self._means, strict=True):
            change = (plane[::_SAMPLE, ::_SAMPLE] - mean[::_SAMPLE, ::_SAMPLE])[sample]
            level = median(change)
            noise = _spread(change - level)
            levels.append(level)
            weights.append(1.0 / noise if noise > 0 else 0.0)
        return levels, weights

    def _disagreement(
        self, aligned: Planes, known: np.ndarray, weights: Sequence[float]
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Compare an aligned frame with the mean.

        Returns:
            The difference of each pixel of the frame to the mean, (H, W) float32, and a mask of those that disagree,
            (H, W) uint8 0 or 255; None if too many disagree, because the frame shows another field.
        """
        mean = _weighted(self._means, weights)
        change = _weighted(aligned, weights)
        change -= mean
        sampled = known[::_SAMPLE, ::_SAMPLE] > 0
        sample = change[::_SAMPLE, ::_SAMPLE][sampled]
        noise = _spread(sample - median(sample))
        if not _is_linear(aligned[0]):
            noise = max(MIN_NOISE_OF_8_BITS, noise)
        light = mean
        light -= median(mean[::_SAMPLE, ::_SAMPLE][sampled])
        np.maximum(light, 0, out=light)
        nearby = cv2.dilate(light, _BLOCK)
        allowed = nearby * np.float32(SCINTILLATION)
        allowed += np.float32(MAX_SIGMAS * noise)
        disagreeing = known & _mask(np.abs(change) > allowed)
        bright = np.flatnonzero((light > 2 * MAX_SIGMAS * noise) & (known > 0))
        peaks = light.reshape(-1)[bright]
        spread = cv2.erode(light, _CROSS).reshape(-1)[bright] > MIN_STAR_SPREAD * peaks
        stars = bright[spread & (peaks == nearby.reshape(-1)[bright])]
        share = cv2.countNonZero(disagreeing) / max(1, cv2.countNonZero(known))
        share_of_stars = np.count_nonzero(disagreeing.reshape(-1)[stars]) / max(1, len(stars))
        if share > MAX_DISAGREEING or share_of_stars > MAX_DISAGREEING_STARS:
            return change, None
        return change, disagreeing

    def _warp_back(self, planes: Planes, levels: Sequence[float], transform: np.ndarray) -> Planes:
        """Align the means with the frame; use its own values where the stack has none."""
        size = planes[0].shape[1], planes[0].shape[0]
        means: Planes = [cv2.warpAffine(mean, transform, size, flags=cv2.INTER_LINEAR) for mean in self._means]
        held = _mask(self._count > 0)
        inside = _inside(None if cv2.countNonZero(held) == held.size else held, transform, size)
        missing = np.flatnonzero(inside == 0)
        for mean, plane, level, sky in zip(means, planes, levels, self._levels, strict=True):
            mean.reshape(-1)[missing] = plane.reshape(-1)[missing] - np.float32(level)
            if sky:
                mean += np.float32(sky)
        return means

    def _developed(self, frame: Frame, planes: Planes) -> Frame:
        stacked = len(self._layers)
        if frame.planes is None:
            return replace(frame, pixels=cv2.convertScaleAbs(cv2.merge(planes)), stacked=stacked)
        pixels, record = develop_planes(planes, development_of(frame))
        values = cv2.merge(planes) if len(planes) == 3 else planes[0]
        scale = 1.0 if frame.raw is None else working_scale(frame.raw)
        return replace(
            frame,
            pixels=pixels,
            stretch=(frame.stretch or {}) | record,
            planes=tuple(planes),
            raw=values if scale in (0, 1) else (values / scale).astype(np.float32),
            cfa=None,
            stacked=stacked,
        )


def _split(frame: Frame) -> tuple[Planes, np.ndarray | None]:
    """Return a frame's planes, and a (H, W) mask of valid pixels; None if all are."""
    if frame.planes is None:
        return list(cv2.split(frame.pixels)), None
    planes: Planes = [plane.astype(np.float32, copy=False) for plane in frame.planes]
    raw = frame.raw
    if raw is None or raw.dtype.kind != "f" or np.isfinite(raw.sum(dtype=np.float64)):
        return planes, None
    finite = np.isfinite(raw if raw.ndim == 2 else raw.sum(axis=2)).astype(np.uint8) * 255
    height, width = planes[0].shape
    cells = finite[: height * frame.binning, : width * frame.binning]
    return planes, cells.reshape(height, frame.binning, width, frame.binning).min(axis=(1, 3))


def _mask(values: np.ndarray) -> np.ndarray:
    """Convert bool to uint8 0 or 255, OpenCV's format of masks."""
    return np.multiply(values.view(np.uint8), 255, dtype=np.uint8)


def _is_linear(plane: np.ndarray) -> bool:
    return plane.dtype != np.uint8


def _weighted(planes: Planes, weights: Sequence[float]) -> np.ndarray:
    """Return the weighted sum of planes, (H, W) float32."""
    if len(planes) == 1:
        return planes[0].astype(np.float32) * np.float32(weights[0])
    total = cv2.addWeighted(planes[0], weights[0], planes[1], weights[1], 0.0, dtype=cv2.CV_32F)
    return cv2.addWeighted(planes[2], weights[2], total, 1.0, 0.0, dtype=cv2.CV_32F)


def _inside(valid: np.ndarray | None, transform: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return a (h, w) uint8 mask, 0 or 255, of pixels from valid pixels only.

    Args:
        valid: (h, w) uint8 0 or 255 before the transform; None if all are.
        transform: (2, 3) from the pixels of `valid` to those of the result.
    """
    if np.array_equal(transform, _IDENTITY):
        return np.full(size[::-1], 255, np.uint8) if valid is None else valid
    if valid is not None:
        return _mask(cv2.warpAffine(valid, transform, size, flags=cv2.INTER_LINEAR) == 255)
    right, below = size[0] - 1 - _BORDER, size[1] - 1 - _BORDER
    corners = np.array([[_BORDER, _BORDER], [right, _BORDER], [right, below], [_BORDER, below]])
    corners_after = corners @ transform[:, :2].T + transform[:, 2]
    return cv2.fillConvexPoly(np.zeros(size[::-1], np.uint8), np.rint(corners_after).astype(np.int32), 255)


def _spread(values: np.ndarray) -> float:
    """Return the noise around 0: by the median, or by all values if most are 0."""
    return mad_std(values, 0.0) or 1.2533 * float(np.abs(values).mean())
