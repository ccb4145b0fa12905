"""One fused warp and one table of levels a picture: how a galaxy may look to another telescope. numpy and OpenCV only.

A classifier learns from two surveys' cut-outs, whose framing and sky differ; left alone it learns to tell the
surveys apart, not the galaxies. So the sky is taken away by a random share and put back at a random level, colours,
gains and sharpness vary, and the frame moves as the box of a detector does.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ...models.preprocess import crop, resize

FIELD = 88
"""Side in pixels at which the field that a network will see is kept: fine enough for inputs of up to this size."""

REACH = 1.6
"""Side of what is kept around a boxed galaxy over the side of its field, for turning, moving and widening the view."""


@dataclass(frozen=True)
class Canvas:
    """A galaxy kept ready for augmentation.

    Attributes:
        pixels: (H, W, 3) uint8 RGB, with the galaxy's field in the middle.
        side: side of that field in pixels of the canvas.
        sky: (3,) float32 median level of the field's rim, 0..255.
        peak: level over the sky that all but 0.5 % of the field stay below, 0..255.
    """

    pixels: np.ndarray
    side: float
    sky: np.ndarray
    peak: float


@dataclass(frozen=True)
class SkyAugmentation:
    """How far views of one galaxy may differ.

    The shipped detector's boxes are off their galaxy by less than 0.045 of the longer side in 95 % of Galaxy Zoo frames
    and of 0.84 to 1.15 of its size in 90 %, of 0.72 to 1.22 in 98 %: the frame moves and grows a little more than that.

    Attributes:
        shift: largest offset of the frame, as a share of its side, each axis.
        scale: smallest and largest side of the frame, over the true one.
        anisotropy: largest stretch of one axis against the other.
        gain, channel_gain: spread (sigma of the logarithm) of the brightness, and of each channel's.
        gamma: smallest and largest exponent of the levels.
        offset: largest level added as sky, 0..255, in half of the views.
        colourless, blurred: share of views in grey, and unsharp.
        levelled: share of views without sky and over the full range of levels, as a camera's own stretch leaves them.
        noise: largest sigma of the noise added to half of the views, in levels.
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
    """Keep what augmentation needs of a picture.

    Args:
        image: (H, W, 3) uint8 RGB.
        box: (4,) the galaxy in pixels, or None when it fills the picture.
        margin: share of the box's longer side added in all, as in `models.preprocess.crop`.
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


def sky_and_peak(field: np.ndarray) -> tuple[np.ndarray, float]:
    """Measure a picture (H, W, 3) uint8: the (3,) median of its rim, and what 99.5 % of it stay below over that."""
    rim = np.concatenate([field[:2], field[-2:], field[:, :2].swapaxes(0, 1), field[:, -2:].swapaxes(0, 1)])
    sky = np.median(rim, axis=(0, 1)).astype(np.float32)
    return sky, max(1.0, float(np.percentile((field - sky).max(axis=2), 99.5)))


def normalise_levels(image: np.ndarray, top: float = 230.0) -> np.ndarray:
    """Take the sky away from a picture (H, W, 3) uint8 and scale what is left to the full range.

    A network that tells surveys apart by their sky or stretch, not galaxies by their shape, fails on such pictures.
    """
    sky, peak = sky_and_peak(image)
    return np.clip(np.round((image - sky) * (top / peak)), 0, 255).astype(np.uint8)


def view_matrix(canvas: Canvas, size: int, rng: np.random.Generator, variation: SkyAugmentation) -> np.ndarray:
    """Draw the (2, 3) affine map from pixels of the view to pixels of the canvas."""
    turn = rng.uniform(0, 2 * np.pi)
    zoom = canvas.side / size * np.exp(rng.uniform(*np.log(variation.scale)))
    stretch = np.exp(rng.uniform(-variation.anisotropy, variation.anisotropy) / 2)
    flip = rng.choice((-1.0, 1.0))
    cosine, sine = np.cos(turn), np.sin(turn)
    linear = zoom * np.array([[cosine, -sine], [sine, cosine]]) @ np.diag([flip * stretch, 1.0 / stretch])
    height, width = canvas.pixels.shape[:2]
    middle = (np.array([width, height]) - 1) / 2 + rng.uniform(-1, 1, 2) * variation.shift * canvas.side
    return np.column_stack([linear, middle - linear @ np.full(2, (size - 1) / 2)])


def level_table(canvas: Canvas, rng: np.random.Generator, variation: SkyAugmentation) -> np.ndarray:
    """Draw the (256, 3) uint8 table from levels of the canvas to levels of the view."""
    levels = np.arange(256, dtype=np.float32)[:, None]
    if rng.random() < variation.levelled:
        bent = (levels - canvas.sky) * (rng.uniform(150, 255) / canvas.peak)
        return np.clip(np.round(bent), 0, 255).astype(np.uint8)
    levels = (levels - rng.uniform(0, 1) * canvas.sky).astype(np.float32)
    gain = np.exp(rng.normal(0, variation.gain) + rng.normal(0, variation.channel_gain, 3))
    bent = 255.0 * (np.clip(levels, 0, 255) / 255.0) ** rng.uniform(*variation.gamma) * gain
    if rng.random() < 0.5:
        bent = bent + rng.uniform(0, variation.offset) * np.exp(rng.normal(0, 0.2, 3))
    return np.clip(np.round(bent), 0, 255).astype(np.uint8)


def draw_view(
    canvas: Canvas, size: int, rng: np.random.Generator, variation: SkyAugmentation = SkyAugmentation()
) -> np.ndarray:
    """Draw one view of a galaxy: the same state of `rng` gives the same view.

    Returns:
        (size, size, 3) uint8.
    """
    matrix = view_matrix(canvas, size, rng, variation)
    # Past the rim the sky is mirrored: a flat or black corner would betray a turned picture.
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
