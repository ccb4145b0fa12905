"""Cut galaxies out of survey frames, and find neighbours without a box.

Numpy, OpenCV and SEP only.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ...errors import MissingExtra
from ...extras import extra_command


@dataclass(frozen=True)
class Cutout:
    """A galaxy without its sky.

    Attributes:
        light: (H, W, 3) uint8 levels that the galaxy adds to the sky.
        box: (4,) float32, its box in pixels of `light`.
        tilt: correlation of x and y in its ellipse, -1..1, from second moments of its light.
    """

    light: np.ndarray
    box: np.ndarray
    tilt: float

    @property
    def ellipse(self) -> np.ndarray:
        """Matrix (2, 2) of the ellipse that the box encloses.

        Its diagonal holds the squared half sides of the box.
        """
        half_w, half_h = (self.box[2] - self.box[0]) / 2, (self.box[3] - self.box[1]) / 2
        cross = self.tilt * half_w * half_h
        return np.array([[half_w**2, cross], [cross, half_h**2]])


@dataclass(frozen=True)
class Segments:
    """Sources of a frame.

    Attributes:
        labels: (H, W) int, 0 for sky, 1..N for the sources.
        boxes: (N, 4) float32 of labels 1..N.
        areas: (N,) pixels of labels 1..N.
        sky: (3,) RGB level of the sky.
    """

    labels: np.ndarray
    boxes: np.ndarray
    areas: np.ndarray
    sky: np.ndarray


def segment_sources(image: np.ndarray) -> Segments:
    """Find the sources of a survey frame with SEP.

    See Barbary 2016, doi:10.21105/joss.00058.

    Args:
        image: (H, W, 3) uint8 RGB, dark sky.
    """
    try:
        import sep
    except ImportError:
        raise MissingExtra(f"cutting galaxies needs sep: {extra_command('bench')}") from None
    grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 1.2)
    sky_level = float(np.median(grey))
    below = grey[grey <= sky_level]
    noise = max(0.7, float(np.sqrt(np.mean((below - sky_level) ** 2))))
    sources, labels = sep.extract(
        grey - sky_level,
        2.3 * noise,
        minarea=20,
        deblend_nthresh=16,
        deblend_cont=0.01,
        filter_kernel=None,
        clean=False,
        segmentation_map=True,
    )
    boxes = np.stack([sources["xmin"], sources["ymin"], sources["xmax"] + 1, sources["ymax"] + 1], axis=1)
    empty = image[::2, ::2][labels[::2, ::2] == 0]  # a quarter of the sky is enough for a median
    sky = np.median(empty if len(empty) else image.reshape(-1, 3), axis=0)
    return Segments(labels, boxes.astype(np.float32), sources["npix"].astype(int), sky)


def unboxed_sources(segments: Segments, boxes: np.ndarray) -> np.ndarray:
    """Return the boxes (M, 4) of sources that could be galaxies but have no box.

    Such a source is large enough, and its centre is in none of `boxes`. The result is float32.
    """
    large = segments.areas >= 90
    if len(boxes):
        centre = (segments.boxes[:, :2] + segments.boxes[:, 2:]) / 2
        inside = [(centre > box[:2]).all(axis=1) & (centre < box[2:]).all(axis=1) for box in boxes]
        large &= ~np.any(inside, axis=0)
    return segments.boxes[large]


def cut_out(image: np.ndarray, box: np.ndarray, segments: Segments) -> Cutout | None:
    """Cut out a galaxy along its segment.

    The segment is dilated and blurred, so that neither neighbours nor edges are included.

    Args:
        image: (H, W, 3) uint8 RGB.
        box: (4,) the galaxy's box.
        segments: of the same image.

    Returns:
        the cutout, or None if segment and box disagree because the galaxy is blended or extends past the frame.
    """
    height, width = segments.labels.shape
    centre = ((box[:2] + box[2:]) / 2).astype(int)
    label = segments.labels[min(centre[1], height - 1), min(centre[0], width - 1)]
    if label == 0:
        return None
    own = segments.boxes[label - 1]
    ratio = np.sqrt(np.prod(own[2:] - own[:2]) / np.prod(box[2:] - box[:2]))
    if not 0.75 < ratio < 1.9 or own.min() < 1 or own[2] >= width or own[3] >= height:
        return None
    reach = max(3, int(0.12 * max(own[2:] - own[:2])))
    mask = (segments.labels == label).astype(np.uint8)
    mask = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1)))
    others = ((segments.labels > 0) & (segments.labels != label)).astype(np.uint8)
    mask[cv2.dilate(others, np.ones((5, 5), np.uint8)) > 0] = 0
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), max(1.0, reach / 3))
    margin = 2 * reach
    x0, y0 = np.maximum(own[:2].astype(int) - margin, 0)
    x1, y1 = np.minimum(own[2:].astype(int) + margin, (width, height))
    light = np.clip(image[y0:y1, x0:x1].astype(np.float32) - segments.sky, 0, 255) * soft[y0:y1, x0:x1, None]
    local_box = (box - [x0, y0, x0, y0]).astype(np.float32)
    return Cutout(light.round().astype(np.uint8), local_box, _tilt(light, local_box))


def _tilt(light: np.ndarray, box: np.ndarray) -> float:
    # Limit bright cores, or the bulge alone would decide.
    weight = np.minimum(light.sum(axis=2), np.percentile(light.sum(axis=2), 90))
    total = float(weight.sum())
    if total <= 0:
        return 0.0
    x = np.arange(light.shape[1]) + 0.5 - (box[0] + box[2]) / 2
    y = np.arange(light.shape[0]) + 0.5 - (box[1] + box[3]) / 2
    xx, yy = (weight.sum(axis=0) * x**2).sum() / total, (weight.sum(axis=1) * y**2).sum() / total
    xy = float(y @ weight @ x) / total
    return float(np.clip(xy / np.sqrt(xx * yy + 1e-9), -0.95, 0.95))


def paste(
    canvas: np.ndarray, cutout: Cutout, centre: tuple[float, float], matrix: np.ndarray, gain: float
) -> np.ndarray:
    """Add a galaxy's light to a canvas, in place.

    Args:
        canvas: (H, W, 3) float32 levels.
        centre: (x, y) of the middle of its box in the canvas.
        matrix: (2, 2) rotation, reflection and scale applied to it.
        gain: factor applied to its light.

    Returns:
        (4,) float32 box of the transformed ellipse in the canvas, not clipped.
    """
    middle = (cutout.box[:2] + cutout.box[2:]) / 2
    target = np.asarray(centre, np.float64)
    scale = float(np.sqrt(abs(np.linalg.det(matrix))))
    light = cutout.light
    while scale < 0.5:  # halve first: bilinear warping would skip pixels
        half_size = (max(1, light.shape[1] // 2), max(1, light.shape[0] // 2))
        light = cv2.resize(light, half_size, interpolation=cv2.INTER_AREA)
        scale *= 2
    factor = np.array([light.shape[1] / cutout.light.shape[1], light.shape[0] / cutout.light.shape[0]])
    # Warp only the part of the canvas that the light can reach.
    corners = (np.array([[0, 0], [1, 0], [0, 1], [1, 1]]) * cutout.light.shape[1::-1] - middle) @ matrix.T + target
    low = np.maximum(np.floor(corners.min(axis=0)).astype(int), 0)
    high = np.minimum(np.ceil(corners.max(axis=0)).astype(int), canvas.shape[1::-1])
    if (high > low).all():
        linear = matrix / factor
        # Pixel centres lie at +0.5 in box coordinates, at integers in OpenCV's.
        shift = target - low - 0.5 - linear @ (middle * factor - 0.5)
        warped = cv2.warpAffine(light, np.hstack([linear, shift[:, None]]), tuple(int(v) for v in high - low))
        canvas[low[1] : high[1], low[0] : high[0]] += gain * warped
    half = np.sqrt(np.diag(matrix @ cutout.ellipse @ matrix.T))
    return np.concatenate([target - half, target + half]).astype(np.float32)
