"""Augment galaxies by one affine warp and one level table per image.

The training images come from two surveys whose framing and sky differ; without augmentation a classifier learns to
recognise the survey instead of the galaxy. Therefore the sky is subtracted by a random share and added again at a
random level, colours, gains and sharpness vary, and the frame moves as the box of a detector does. Only numpy and
OpenCV are used.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ...models.levels import sky_and_peak
from ...models.preprocess import crop, resize

FIELD = 88
"""Side in pixels at which a network's field of view is kept: enough for inputs of up to this size."""

REACH = 1.6
"""Side of the kept surroundings of a boxed galaxy in sides of its field, for rotating, moving and widening views."""


@dataclass(frozen=True)
class Canvas:
    """A galaxy, prepared for augmentation.

    Attributes:
        pixels: (H, W, 3) uint8 RGB, with the galaxy's field in the middle.
        side: side of that field in pixels of the canvas.
        sky: (3,) float32 median level of the field's rim, 0..255.
        peak: 99.5th percentile of the field's level above the sky, 0..255.
    """

    pixels: np.ndarray
    side: float
    sky: np.ndarray
    peak: float


@dataclass(frozen=True)
class SkyAugmentation:
    """Ranges within which views of one galaxy differ.

    The shipped detector's boxes are displaced by less than 0.045 of the longer side in 95 % of Galaxy Zoo frames, and
    their size is 0.84 to 1.15 of the true one in 90 %, 0.72 to 1.22 in 98 %: the frame varies slightly more than that.

    Attributes:
        shift: maximum offset of the frame, as a share of its side, each axis.
        scale: minimum and maximum side of the frame, over the true one.
        anisotropy: maximum stretch of one axis relative to the other.
        gain, channel_gain: spread (sigma of the logarithm) of the brightness, and of each channel's.
        gamma: minimum and maximum exponent of the levels.
        offset: maximum level added as sky, 0..255, in half of the views.
        colourless, blurred: shares of views that are made grey, and blurred.
        levelled: share of views with the sky subtracted and stretched to the full range, as by a camera's own stretch.
        noise: maximum sigma of the noise added to half of the views, in levels.
    """

    shift: float = 0.06
    scale: tuple[float, float] = (0.8, 1.2)
    anisotropy: float = 0.06
    gain: float = 0.2
    channel_gain: float = 0.08
    gamma: tuple[float, float] = (0.8, 1.25)
    offset: float = 30.0
    colourless: float = 0.1
    blurred: float = 0.2
    levelled: float = 0.15
    noise: float = 5.0


def prepare(image: np.ndarray, box: np.ndarray | None, margin: float) -> Canvas:
    """Return the part of an image that augmentation needs.

    Args:
        image: (H, W, 3) uint8 RGB.
        box: (4,) the galaxy in pixels, or None when it fills the image.
        margin: total share of the box's longer side that is added, as in `models.preprocess.crop`.
    """
    if box is None:
        pixels = resize(image, FIELD, FIELD)
        field = pixels
    else:
        pixels = crop(image, box, (1.0 + margin) * REACH - 1.0, round(FIELD * REACH))
        edge = (pixels.shape[0] - FIELD) // 2
        field = pixels[edge : edge + FIELD, edge : edge + FIELD]
    sky, peak = sky_and_peak(field)
    return Canvas(pixels, float(FIELD), sky, peak)


def view_matrix(canvas: Canvas, size: int, rng: np.random.Generator, variation: SkyAugmentation) -> np.ndarray:
    """Draw the (2, 3) affine matrix from pixels of the view to pixels of the canvas."""
    angle = rng.uniform(0, 2 * np.pi)
    zoom = canvas.side / size * np.exp(rng.uniform(*np.log(variation.scale)))
    stretch = np.exp(rng.uniform(-variation.anisotropy, variation.anisotropy) / 2)
    flip = rng.choice((-1.0, 1.0))
    cosine, sine = np.cos(angle), np.sin(angle)
    linear = zoom * np.array([[cosine, -sine], [sine, cosine]]) @ np.diag([flip * stretch, 1.0 / stretch])
    height, width = canvas.pixels.shape[:2]
    middle = (np.array([width, height]) - 1) / 2 + rng.uniform(-1, 1, 2) * variation.shift * canvas.side
    return np.column_stack([linear, middle - linear @ np.full(2, (size - 1) / 2)])


def level_table(canvas: Canvas, rng: np.random.Generator, variation: SkyAugmentation) -> np.ndarray:
    """Draw the (256, 3) uint8 table from levels of the canvas to levels of the view."""
    levels = np.arange(256, dtype=np.float32)[:, None]
    if rng.random() < variation.levelled:
        mapped = (levels - canvas.sky) * (rng.uniform(150, 255) / canvas.peak)
        result: np.ndarray = np.clip(np.round(mapped), 0, 255).astype(np.uint8)
        return result
    levels = (levels - rng.uniform(0, 1) * canvas.sky).astype(np.float32)
    gain = np.exp(rng.normal(0, variation.gain) + rng.normal(0, variation.channel_gain, 3))
    mapped = 255.0 * (np.clip(levels, 0, 255) / 255.0) ** rng.uniform(*variation.gamma) * gain
    if rng.random() < 0.5:
        mapped = mapped + rng.uniform(0, variation.offset) * np.exp(rng.normal(0, 0.2, 3))
    result = np.clip(np.round(mapped), 0, 255).astype(np.uint8)
    return result


def draw_view(
    canvas: Canvas, size: int, rng: np.random.Generator, variation: SkyAugmentation = SkyAugmentation()
) -> np.ndarray:
    """Draw one augmented view of a galaxy.

    The same state of `rng` gives the same view.

    Returns:
        (size, size, 3) uint8.
    """
    matrix = view_matrix(canvas, size, rng, variation)
    # Pixels outside the canvas are mirrored: a flat or black corner would reveal a rotated image.
    view = cv2.warpAffine(
        canvas.pixels,
        matrix,
        (size, size),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    view = cv2.LUT(view, level_table(canvas, rng, variation)[:, None, :])
    if rng.random() < variation.blurred:
        view = cv2.GaussianBlur(view, (0, 0), rng.uniform(0.4, 1.0))
    if rng.random() < variation.colourless:
        view = np.repeat(cv2.cvtColor(view, cv2.COLOR_RGB2GRAY)[:, :, None], 3, axis=2)
    sigma = rng.uniform(-variation.noise, variation.noise)
    if sigma > 0.5:
        grains = rng.standard_normal(view.shape, dtype=np.float32) * np.float32(sigma)
        view = np.clip(view + grains, 0, 255).astype(np.uint8)
    return view
