"""Named augmentations: the report's, any orientation, other telescopes.

`AUGMENTATIONS` holds the university report's augmentation, the same with any orientation, this project's own for survey
images, and imitations of other telescopes.

The report's parameters (section 2.3) are those of Keras' ImageDataGenerator: rotation 40 degrees, width shift 0.2,
height shift 0.1, shear 0.2 (degrees, in Keras), zoom 0.2, horizontal flip, nearest fill. They are combined into one
affine matrix here, so that an image is resampled once. Only numpy and OpenCV are used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from ...models.preprocess import resize
from .telescope_views import draw_mixed_view
from .views import Canvas, draw_view


@dataclass(frozen=True)
class AffineAugmentation:
    """Ranges of an affine augmentation.

    Attributes:
        rotation: maximum angle in degrees, either way.
        shift: maximum shift of columns and rows as shares of the side, either way.
        shear: maximum angle of shear in degrees, either way.
        zoom: maximum change of scale of each axis, either way.
        mirror: whether columns and rows are flipped in half of the views.
    """

    rotation: float = 40.0
    shift: tuple[float, float] = (0.2, 0.1)
    shear: float = 0.2
    zoom: float = 0.2
    mirror: tuple[bool, bool] = (True, False)


TELESCOPES = "telescopes"
"""The augmentation that imitates other telescopes; networks trained with it are also calibrated on such views."""
REPORT = AffineAugmentation()
TURNED = AffineAugmentation(rotation=180.0, mirror=(True, True))
"""The report's augmentation with any orientation, as the sky has no preferred one."""


def warp_matrix(size: int, warp: AffineAugmentation, rng: np.random.Generator) -> np.ndarray:
    """Draw a random (2, 3) affine matrix from view pixels to image pixels."""
    angle = np.deg2rad(rng.uniform(-warp.rotation, warp.rotation))
    columns, rows = (rng.uniform(-part, part) * size for part in warp.shift)
    shear = np.deg2rad(rng.uniform(-warp.shear, warp.shear))
    across, down = rng.uniform(1 - warp.zoom, 1 + warp.zoom, 2)
    flips = [-1.0 if allowed and rng.random() < 0.5 else 1.0 for allowed in warp.mirror]
    cosine, sine = np.cos(angle), np.sin(angle)
    linear = (
        np.array([[cosine, sine], [-sine, cosine]])
        @ np.array([[np.cos(shear), 0.0], [-np.sin(shear), 1.0]])
        @ np.diag([across, down])
        @ np.diag(flips)
    )
    middle = np.full(2, (size - 1) / 2)
    return np.column_stack([linear, middle + np.array([columns, rows]) - linear @ middle])


def _field(canvas: Canvas, size: int) -> np.ndarray:
    """Crop the galaxy's field from a canvas: (size, size, 3) uint8."""
    side = round(canvas.side)
    top, left = ((length - side) // 2 for length in canvas.pixels.shape[:2])
    return resize(canvas.pixels[top : top + side, left : left + side], size, size)


def _affine_view(warp: AffineAugmentation) -> Callable[[Canvas, int, np.random.Generator], np.ndarray]:
    """Return a function that draws a view by an affine augmentation."""

    def draw(canvas: Canvas, size: int, rng: np.random.Generator) -> np.ndarray:
        return cv2.warpAffine(
            _field(canvas, size),
            warp_matrix(size, warp, rng),
            (size, size),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )

    return draw


AUGMENTATIONS: dict[str, Callable[[Canvas, int, np.random.Generator], np.ndarray]] = {
    "none": lambda canvas, size, rng: _field(canvas, size),
    "report": _affine_view(REPORT),
    "turned": _affine_view(TURNED),
    "sky": draw_view,
    TELESCOPES: draw_mixed_view,
}
"""Name -> function of canvas, side in pixels and random generator that returns a view, (size, size, 3) uint8."""
