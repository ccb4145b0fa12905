"""Augment galaxies to imitate the views of other telescopes.

What varies is the stretch, saturated cores, raw noise, the sky, the framing and foreground stars.

The survey images that classifiers are trained on have one stretch, dark sky, no clipped core and one framing. In
photographs the same galaxy has a burnt-out core in a bright halo, or noise, or tinted sky, or it extends beyond the
frame. An image is converted back to approximately linear light, degraded there, and stretched again. numpy and OpenCV
only.
"""

from __future__ import annotations

import cv2
import numpy as np

from .views import Canvas, SkyAugmentation, draw_view, view_matrix

TELESCOPE_SHARE = 0.55
"""Share of telescope views; the other views are drawn by `views.draw_view`."""
FRAMING = SkyAugmentation(shift=0.1, scale=(0.7, 1.55), anisotropy=0.08)
RIM = 0.12
"""Share of an image's side over which a galaxy that fills the image fades into the sky."""


def draw_mixed_view(canvas: Canvas, size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a survey-like view or one that imitates another telescope.

    The latter with probability `TELESCOPE_SHARE`. Returns (size, size, 3) uint8.
    """
    if rng.random() < TELESCOPE_SHARE:
        return draw_telescope_view(canvas, size, rng)
    return draw_view(canvas, size, rng)


def draw_telescope_view(canvas: Canvas, size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw one view that imitates another telescope.

    The same state of `rng` gives the same view.

    Returns:
        (size, size, 3) uint8.
    """
    light = _linear_light(_framed(canvas, size, rng), canvas.peak, rng)
    if rng.random() < 0.3:
        light = cv2.GaussianBlur(light, (0, 0), rng.uniform(0.4, 1.2))
    if rng.random() < 0.35:
        light = light + _stars(size, rng)
    view = _displayed(*_exposed(light, rng), rng)
    if rng.random() < 0.2:
        view = _coarsened(view, rng)
    if rng.random() < 0.3:
        view = np.repeat(view.mean(axis=2, keepdims=True), 3, axis=2)
    return np.clip(np.round(view), 0, 255).astype(np.uint8)


def _framed(canvas: Canvas, size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw the galaxy's light above the sky, (size, size, 3) float32 levels.

    In some views it is cut by the edge of a frame.
    """
    light = canvas.pixels.astype(np.float32) - canvas.sky * np.float32(rng.uniform(0.7, 1.0))
    matrix = view_matrix(canvas, size, rng, FRAMING)
    border = cv2.BORDER_CONSTANT
    height, width = light.shape[:2]
    if rng.random() < 0.25:  # as `models.preprocess.crop` continues a frame's last row
        border = cv2.BORDER_REPLICATE
        reach = (canvas.side * rng.uniform(0.32, 0.5, 4)).astype(int)
        left, top = max(0, width // 2 - reach[0]), max(0, height // 2 - reach[1])
        light = light[top : height // 2 + reach[2], left : width // 2 + reach[3]]
        matrix[:, 2] -= (left, top)
    elif width == round(canvas.side):
        axis = (np.arange(width) - (width - 1) / 2) / width
        fade = np.clip((0.5 - np.hypot(axis[:, None], axis[None])) / RIM, 0, 1)
        light = light * fade[..., None].astype(np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(np.ascontiguousarray(light), matrix, (size, size), flags=flags, borderMode=border))


def _linear_light(levels: np.ndarray, peak: float, rng: np.random.Generator) -> np.ndarray:
    """Undo an assumed asinh stretch: light with a peak of about 1."""
    light = np.maximum(levels, 0) / np.float32(peak)
    strength = rng.uniform(0.05, 3.5)
    grey = np.clip(light.max(axis=2, keepdims=True), 1e-4, 1.2)
    result: np.ndarray = light * (np.sinh(strength * grey) / (np.sinh(strength) * grey)).astype(np.float32)
    return result


def _stars(size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw foreground stars: (size, size, 3) float32 light."""
    points = np.zeros((size, size, 3), np.float32)
    width = rng.uniform(0.5, 1.3)
    for _ in range(1 + rng.poisson(4)):
        flux = 0.1 * (1 - rng.random()) ** (-1 / 0.9)
        x, y = rng.integers(0, size, 2)
        points[y, x] += min(flux, 20.0) * 2 * np.pi * width**2 * np.exp(rng.normal(0, 0.2, 3))
    return np.asarray(cv2.GaussianBlur(points, (0, 0), width))


def _exposed(light: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Simulate an exposure: saturate bright pixels and add noise.

    In half of the views the full well is below the light of the core. The noise is that of the sky and of the light
    itself.

    Returns:
        light (size, size, 3) float32, 1 at the full well, and the noise of the sky.
    """
    burnt = rng.uniform(0, 0.1) if rng.random() < 0.5 else 0.0
    well = max(float(np.quantile(light.max(axis=2), 1 - burnt)), 0.05)
    exposed, sigma = light / np.float32(well), 0.0
    if rng.random() < 0.6:
        sigma = float(np.exp(rng.uniform(np.log(0.002), np.log(0.08))))
        grains = rng.standard_normal(exposed.shape, dtype=np.float32)
        if rng.random() < 0.5:  # demosaiced and resized frames have coarser grain
            grains = cv2.GaussianBlur(grains, (0, 0), 0.7) * np.float32(2.2)
        exposed = exposed + grains * np.float32(sigma) * np.sqrt(1 + 2 * np.clip(exposed, 0, 2))
    return np.minimum(exposed, np.float32(1)), sigma


def _displayed(light: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Stretch linear light to display levels, as telescope software does.

    The sky is black or tinted. Returns (size, size, 3) float32 levels.
    """
    kind, share = rng.random(), np.clip((light + 2 * sigma) / (1 + 2 * sigma), 0, 1).astype(np.float32)
    if kind < 0.6:
        soft = max(np.exp(rng.uniform(np.log(0.02), np.log(1.0))), 2 * sigma)
        share = np.arcsinh(share / np.float32(soft)) / np.float32(np.arcsinh(1 / soft))
    elif kind < 0.85:
        share = share ** np.float32(rng.uniform(0.6 if sigma > 0.01 else 0.4, 1.0))
    sky: np.ndarray = np.zeros(3)
    if rng.random() < 0.55:
        sky = rng.uniform(5, 60) * np.exp(rng.normal(0, 0.3, 3))
    white = rng.uniform(170, 270) * np.exp(rng.normal(0, 0.1, 3))
    levels = sky + share * np.maximum(white - sky, 60)
    if rng.random() < 0.2:
        ramp = np.linspace(-1, 1, len(levels))
        x, y = rng.uniform(-12, 12, 2)
        levels = levels + (x * ramp[None] + y * ramp[:, None])[..., None]
    return np.asarray(levels, np.float32)


def _coarsened(view: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Coarsen a view to that of a galaxy of few pixels."""
    size, coarse_side = view.shape[0], int(rng.integers(16, 45))
    small = cv2.resize(np.clip(view, 0, 255), (coarse_side, coarse_side), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (size, size), interpolation=cv2.INTER_LINEAR))
