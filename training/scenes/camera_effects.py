"""Random effects of cameras, skies and optics on images. numpy and OpenCV only."""

from __future__ import annotations

import cv2
import numpy as np

Rng = np.random.Generator


def rotate_randomly(rng: Rng, image: np.ndarray, *box_sets: np.ndarray) -> tuple[np.ndarray, ...]:
    """Rotate an image and its boxes by random right angles, mirrored or not.

    Args:
        image: (H, W, 3).
        box_sets: (N, 4) each.

    Returns:
        the image and the boxes, in new arrays.
    """
    boxes = [box.copy() for box in box_sets]
    if rng.random() < 0.5:
        image = image[:, ::-1]
        width = image.shape[1]
        boxes = [np.stack([width - b[:, 2], b[:, 1], width - b[:, 0], b[:, 3]], axis=1) for b in boxes]
    for _ in range(int(rng.integers(4))):
        width = image.shape[1]
        image = np.rot90(image)  # counter-clockwise: (x, y) -> (y, width - x)
        boxes = [np.stack([b[:, 1], width - b[:, 2], b[:, 3], width - b[:, 0]], axis=1) for b in boxes]
    return np.ascontiguousarray(image), *boxes


def add_saturated_stars(
    rng: Rng, canvas: np.ndarray, reach: float, count: int = 1, max_distance: float | None = None
) -> None:
    """Add overexposed stars with halos and diffraction spikes, in place.

    Halos and spikes of all stars are those of one telescope.

    Args:
        canvas: (H, W, 3) float32 levels.
        reach: length of the first star's spikes in pixels; the others are fainter.
        count: number of stars.
        max_distance: maximum distance of the others from the first in x and in y, in pixels; None: anywhere.
    """
    height, width = canvas.shape[:2]
    core, power = rng.uniform(0.04, 0.22), rng.uniform(1.1, 3.0)
    ring = (rng.uniform(5, 30), rng.uniform(0.3, 0.8)) if rng.random() < 0.4 else (0.0, 0.0)
    spikes, angle, thick = int(rng.choice([0, 4, 4, 4, 6, 8])), rng.uniform(0, np.pi), core * rng.uniform(0.1, 0.6)
    tint = rng.uniform(-0.25, 0.25)
    first = rng.uniform(0, (width, height))
    for number in range(count):
        x0, y0 = first
        if number:
            low = np.zeros(2) if max_distance is None else first - max_distance
            high = np.array([width, height], float) if max_distance is None else first + max_distance
            x0, y0 = rng.uniform(low, high)
        colour = 1 + (tint + rng.uniform(-0.15, 0.15)) * np.array([1.0, 0.0, -1.0], np.float32)
        length = max(3.0, reach * (rng.uniform(0.3, 1.0) if number else 1.0))
        left, right = int(max(0, x0 - 1.3 * length)), int(min(width, x0 + 1.3 * length + 1))
        top, bottom = int(max(0, y0 - 1.3 * length)), int(min(height, y0 + 1.3 * length + 1))
        if right <= left or bottom <= top:
            continue
        x = (np.arange(left, right, dtype=np.float32)[None, :] - np.float32(x0)) / np.float32(length)
        y = (np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(y0)) / np.float32(length)
        radius2, narrow = x**2 + y**2, max(core, 0.8 / length)
        profile = rng.uniform(250, 900) / (1 + radius2 / narrow**2) ** power
        profile += ring[0] * (radius2 < ring[1] ** 2)  # reflection of a refractor or corrector
        for spike in range(spikes // 2):
            spike_angle = angle + spike * 2 * np.pi / spikes
            along, across = (
                x * np.cos(spike_angle) + y * np.sin(spike_angle),
                y * np.cos(spike_angle) - x * np.sin(spike_angle),
            )
            wide = max(thick, 0.6 / length)
            profile += rng.uniform(60, 350) * np.exp(-np.abs(along) / 0.4 - (across / wide) ** 2 / 2)
        edge = np.clip(1.3 - np.sqrt(radius2), 0, 0.3) / 0.3  # fades before the patch ends
        canvas[top:bottom, left:right] += (profile * edge)[..., None] * colour


def add_small_stars(rng: Rng, canvas: np.ndarray, count: int) -> None:
    """Add point sources of one seeing to a canvas in place: (H, W, 3) float32 levels."""
    height, width = canvas.shape[:2]
    seeing = rng.uniform(0.6, 1.8)
    reach = int(4 * seeing) + 2
    grid = np.arange(-reach, reach + 1, dtype=np.float32)
    for _ in range(count):
        x0, y0 = rng.uniform(reach + 1, width - reach - 1), rng.uniform(reach + 1, height - reach - 1)
        column, row = int(x0), int(y0)
        across = np.exp(-((grid - x0 + column) ** 2) / (2 * seeing**2))
        down = np.exp(-((grid - y0 + row) ** 2) / (2 * seeing**2))
        spread = down[:, None] * across
        level = min(400.0, 12 * rng.pareto(0.9) + 10)
        tint = 1 + rng.uniform(-0.35, 0.35) * np.array([1.0, 0.0, -1.0], np.float32)
        canvas[row - reach : row + reach + 1, column - reach : column + reach + 1] += level * spread[..., None] * tint


_NOISE: list[np.ndarray] = []


def _noise(rng: Rng, height: int, width: int) -> np.ndarray:
    if not _NOISE:
        _NOISE.append(np.random.default_rng(0).standard_normal((1024, 1024, 3)).astype(np.float32))
    y, x = int(rng.integers(1024 - height + 1)), int(rng.integers(1024 - width + 1))
    return _NOISE[0][y : y + height, x : x + width]


def restretch(rng: Rng, x: np.ndarray) -> np.ndarray:
    """Replace an image's stretch by a random other one.

    The new stretch may be nearly linear, as in a raw frame. Levels are (H, W, 3) float32.
    """
    light = np.sinh(4.0 * x / 255) / np.sinh(4.0)  # as if the image had been stretched by an arcsinh
    softening = np.exp(rng.uniform(np.log(0.01), np.log(0.2)))
    stretched = np.arcsinh(light / softening) / np.arcsinh(1 / softening)  # Lupton et al. 2004, PASP 116, 133
    result: np.ndarray = (255 * stretched).astype(np.float32)
    return result


def mix_channels(rng: Rng, image: np.ndarray) -> np.ndarray:
    """Mix an image's channels, to show gas in other hues.

    Filters and colour palettes differ in this way between photographs.

    Args:
        image: (H, W, 3) uint8.

    Returns:
        (H, W, 3) uint8: each channel a mean of itself and another, or itself.
    """
    amount, order = np.float32(rng.uniform(0.2, 1.0)), rng.permutation(3)
    return cv2.addWeighted(image, 1 - float(amount), np.ascontiguousarray(image[..., order]), float(amount), 0.0)


def vignette(rng: Rng, height: int, width: int) -> np.ndarray:
    """Draw a random vignette: (H, W, 1) float32 factors.

    They are 1 near the middle and at least 0.4 in the corners.
    """
    x = (np.arange(width, dtype=np.float32) - rng.uniform(0.4, 0.6) * width) / width
    y = (np.arange(height, dtype=np.float32) - rng.uniform(0.4, 0.6) * height) / height
    depth = rng.uniform(0.1, 1.0)
    factors: np.ndarray = 1 - depth * np.minimum(x[None, :] ** 2 + y[:, None] ** 2, 0.6)
    return factors[..., None].astype(np.float32)


def apply_camera_effects(rng: Rng, image: np.ndarray) -> np.ndarray:
    """Apply random gain, stretch, colours, sky, seeing, noise, trails and hot pixels.

    Args:
        image: (H, W, 3) uint8 or float32 levels, at most 1024 on a side.

    Returns:
        (H, W, 3) uint8.
    """
    x = np.clip(image, 0, 255).astype(np.float32)
    height, width = x.shape[:2]
    if rng.random() < 0.25:
        x = cv2.GaussianBlur(x, (0, 0), rng.uniform(0.4, 1.4))
    if rng.random() < 0.15:
        x = np.repeat((x @ np.array([0.3, 0.5, 0.2], np.float32))[..., None], 3, axis=2)
    elif rng.random() < 0.1:
        x = x[..., ::-1]
    draw = rng.random()
    if draw < 0.5:
        x = 255 * (x / 255) ** np.float32(np.exp(rng.normal(0, 0.22)))
    elif draw < 0.6:
        x = restretch(rng, x)
    x = x * np.float32(np.exp(rng.normal(0, 0.2))) * np.exp(rng.normal(0, 0.08, 3)).astype(np.float32)
    if rng.random() < 0.15:
        x = x * vignette(rng, height, width)
    if rng.random() < 0.5:
        x += np.float32(rng.uniform(-8, 25)) + rng.normal(0, 2, 3).astype(np.float32)
    if rng.random() < 0.25:  # a bright sky: a town, dusk, or too strong a stretch
        x += np.float32(rng.uniform(10, 70)) * rng.uniform(0.2, 1.0, 3).astype(np.float32)
    if rng.random() < 0.2:
        slope = rng.normal(0, 12, 2).astype(np.float32)
        x += (
            slope[0] * np.linspace(-1, 1, width, dtype=np.float32)[None, :, None]
            + slope[1] * np.linspace(-1, 1, height, dtype=np.float32)[:, None, None]
        )
    if rng.random() < 0.05:
        x0, y0, x1, y1 = (int(end) for end in rng.uniform(-0.2, 1.2, 4) * [width, height, width, height])
        trail = np.zeros((height, width), np.float32)
        cv2.line(trail, (x0, y0), (x1, y1), rng.uniform(30, 160), 1, cv2.LINE_AA)
        x += cv2.GaussianBlur(trail, (0, 0), rng.uniform(0.5, 1.2))[..., None]
    if rng.random() < 0.5:
        x += np.float32(rng.gamma(1.5, 2.5)) * _noise(rng, height, width)
    if rng.random() < 0.05:
        count = int(rng.integers(1, 12))
        x[rng.integers(0, height, count), rng.integers(0, width, count)] = rng.uniform(150, 255)
    result: np.ndarray = np.clip(x, 0, 255).astype(np.uint8)
    if rng.random() < 0.1:
        _, encoded = cv2.imencode(".jpg", result, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 95))])
        result = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))
    return result
