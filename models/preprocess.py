"""Resize, letterbox and crop images for the networks.

This is the only implementation in the project.

Training, export and runtime call the same functions. They use only OpenCV operations whose results are bit-identical
on x86-64 and arm64 (INTER_LINEAR_EXACT and exact 2x INTER_AREA), so that a golden vector made on a workstation holds
on a Raspberry Pi.
"""

from __future__ import annotations

import cv2
import numpy as np

FloatBoxes = np.ndarray
"""(N, 4) float32, x0, y0, x1, y1 in pixels of the image; x1 and y1 are exclusive edges."""


class ImagePyramid:
    """An image and its copies at 1/2, 1/4 and so on of its size.

    Each copy is computed on first use.

    Code that needs a frame in several sizes shares them, so that the large ones are read only once.

    Args:
        pixels: (H, W, 3) or (H, W) uint8.
    """

    def __init__(self, pixels: np.ndarray) -> None:
        self._levels = [pixels]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the image itself."""
        return self._levels[0].shape

    def __getitem__(self, level: int) -> np.ndarray:
        """Return the image halved `level` times; an odd last row or column is dropped.

        Raises:
            ValueError: the image is too small to be halved that often.
        """
        while len(self._levels) <= level:
            last = self._levels[-1]
            rows, columns = last.shape[0] // 2, last.shape[1] // 2
            if min(rows, columns) < 1:
                raise ValueError(f"an image of {self.shape[1]}x{self.shape[0]} pixels cannot be halved {level} times")
            half = cv2.resize(last[: 2 * rows, : 2 * columns], (columns, rows), interpolation=cv2.INTER_AREA)
            self._levels.append(half)
        return self._levels[level]


def resize(image: np.ndarray | ImagePyramid, width: int, height: int) -> np.ndarray:
    """Resize a uint8 image without aliasing.

    The result is bit-identical on every machine.

    The image is halved by exact 2x2 averages while it is at least twice too large, then interpolated linearly.

    Args:
        image: (H, W, 3) or (H, W) uint8, or an `ImagePyramid` of it.
        width, height: size of the result in pixels, at least 1.
    """
    pyramid = image if isinstance(image, ImagePyramid) else ImagePyramid(image)
    level = 0
    while pyramid[level].shape[1] >= 2 * width and pyramid[level].shape[0] >= 2 * height:
        level += 1
    halved = pyramid[level]
    if halved.shape[1] == width and halved.shape[0] == height:
        return np.ascontiguousarray(halved)
    return cv2.resize(halved, (width, height), interpolation=cv2.INTER_LINEAR_EXACT)


def letterbox(
    image: np.ndarray | ImagePyramid, width: int, height: int, fill: int = 0, canvas: np.ndarray | None = None
) -> tuple[np.ndarray, tuple[float, float]]:
    """Fit an image into a network's input, keeping its aspect ratio.

    Pad right and below with `fill`.

    Args:
        image: (H, W, 3) uint8, or an `ImagePyramid` of it.
        width, height: size of the network's input in pixels.
        fill: level of the padding, 0..255; by default black, like the sky.
        canvas: (height, width, 3) uint8 that is overwritten with the result; None allocates one.

    Returns:
        (height, width, 3) uint8 and the scales (x, y): input pixel = image pixel * scale.
    """
    scale = min(width / image.shape[1], height / image.shape[0])
    inner_w = max(1, min(width, round(image.shape[1] * scale)))
    inner_h = max(1, min(height, round(image.shape[0] * scale)))
    if canvas is None:
        canvas = np.empty((height, width, 3), np.uint8)
    canvas[inner_h:], canvas[:inner_h, inner_w:] = fill, fill
    canvas[:inner_h, :inner_w] = resize(image, inner_w, inner_h)
    return canvas, (inner_w / image.shape[1], inner_h / image.shape[0])


def crop(image: np.ndarray, box: np.ndarray, margin: float, size: int) -> np.ndarray:
    """Crop the classifier's input, a square around a box.

    The square is centred on the box; its side is the longer side of the box times (1 + margin). Pixels outside the
    image take the value of the nearest pixel inside.

    Args:
        image: (H, W, 3) uint8.
        box: (4,) x0, y0, x1, y1 in pixels.
        margin: total margin as a share of the longer side, e.g. 0.2.
        size: side of the result in pixels.

    Returns:
        (size, size, 3) uint8.

    Raises:
        ValueError: the box lies outside the image.
    """
    height, width = image.shape[:2]
    x0, y0, x1, y1 = (float(value) for value in box)
    side = max(2, round(max(x1 - x0, y1 - y0) * (1.0 + margin)))
    left = round((x0 + x1) / 2 - side / 2)
    top = round((y0 + y1) / 2 - side / 2)
    inside = image[max(0, top) : max(0, top + side), max(0, left) : max(0, left + side)]
    if inside.size == 0:
        raise ValueError(f"the box {[x0, y0, x1, y1]} lies outside the image of {width}x{height} pixels")
    pad = (
        max(0, -top),
        max(0, top + side - height),
        max(0, -left),
        max(0, left + side - width),
    )
    if any(pad):
        inside = cv2.copyMakeBorder(inside, *pad, borderType=cv2.BORDER_REPLICATE)
    return resize(inside, size, size)
