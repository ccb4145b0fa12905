"""Draw random objects that resemble galaxies: nebulae, clusters, hazy stars.

Real frames of such objects are few, and a network memorises them; these are never the same twice. Each drawing is
light to add to a sky: (side, side, 3) float32 levels, 0 at the rim. numpy and OpenCV only.
"""

from __future__ import annotations

import cv2
import numpy as np

from .camera_effects import Rng

TEAL, RED, GREEN, BLUE, WHITE = (0.55, 1.0, 0.95), (1.0, 0.45, 0.5), (0.6, 1.0, 0.6), (0.6, 0.75, 1.0), (1.0, 1.0, 1.0)
"""Hues of doubly ionised oxygen, hydrogen, both in amateurs' palettes, reflected starlight; and neutral."""


def _axes(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return x (1, side) and y (side, 1), -1 to 1 from edge to edge."""
    axis = np.linspace(-1, 1, side, dtype=np.float32)
    return axis[None, :], axis[:, None]


def turbulence(rng: Rng, side: int, steepness: float) -> np.ndarray:
    """Draw turbulence (side, side) float32 in 0..1, as octaves of noise.

    The weight of each octave is `steepness` times that of the previous, coarser one.
    """
    field = np.zeros((side, side), np.float32)
    weight, cells = 1.0, 2
    while cells < side:
        coarse = rng.standard_normal((cells + 2, cells + 2)).astype(np.float32)
        field += np.float32(weight) * cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
        weight, cells = weight * steepness, cells * 2
    field -= field.min()
    scaled: np.ndarray = field / max(float(field.max()), 1e-6)
    return scaled


def _random_hue(rng: Rng, *hues: tuple[float, float, float]) -> np.ndarray:
    """Draw a colour between white and one of the hues: (3,) float32."""
    colour = np.asarray(hues[int(rng.integers(len(hues)))], np.float32)
    return 1 + np.float32(rng.uniform(0.2, 1.0)) * (colour - 1)


def _fade_at_rim(light: np.ndarray) -> np.ndarray:
    """Fade light to zero before its rim."""
    x, y = _axes(light.shape[0])
    return np.asarray(light * np.clip(4 - 4 * np.hypot(x, y), 0, 1)[..., None])


def _neighbourhood(light: np.ndarray, position: np.ndarray, reach: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pixels around a position as a view, and their distances from it.

    The pixels are those within `reach` of (x, y), the distances x (1, w) and y (h, 1).
    """
    side, (x0, y0) = light.shape[0], position
    left, right = max(0, int(x0) - reach), max(0, min(side, int(x0) + reach + 1))
    top, bottom = max(0, int(y0) - reach), max(0, min(side, int(y0) + reach + 1))
    x = np.arange(left, right, dtype=np.float32)[None, :] - np.float32(x0)
    y = np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(y0)
    return light[top:bottom, left:right], x, y


def _add_star(light: np.ndarray, position: np.ndarray, width: float, colour: np.ndarray) -> None:
    """Add a star with a Moffat profile at (x, y) pixels, in place.

    `width` is in pixels. See Moffat 1969, A&A 3, 455.
    """
    part, x, y = _neighbourhood(light, position, int(8 * width) + 3)
    part += (1 + (x * x + y * y) / np.float32(width * width))[..., None] ** -2.5 * colour


def add_spikes(
    light: np.ndarray,
    position: np.ndarray,
    length: float,
    thickness: float,
    angle: float,
    count: int,
    colour: np.ndarray,
) -> None:
    """Add diffraction spikes to a star at (x, y) pixels, in place.

    There are `count` spikes of `length` pixels, the first at `angle` radians.
    """
    part, x, y = _neighbourhood(light, position, int(length) + 1)
    for spike in range(count // 2):
        spike_angle = angle + spike * 2 * np.pi / count
        along, across = (
            x * np.cos(spike_angle) + y * np.sin(spike_angle),
            y * np.cos(spike_angle) - x * np.sin(spike_angle),
        )
        fall = np.maximum(1 - np.abs(along) / np.float32(length), 0) ** 2
        part += (fall * np.exp(-((across / np.float32(thickness)) ** 2)))[..., None] * colour


def planetary_nebula(rng: Rng, side: int) -> np.ndarray:
    """Draw a planetary nebula: a shell of gas around a star.

    It is a disc or a ring with a clear edge, round, oval or with two lobes.
    """
    x, y = _axes(side)
    angle, axis = rng.uniform(0, np.pi), rng.uniform(0.55, 1.0)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    radius = np.hypot(along, across / axis) / rng.uniform(0.45, 0.8)
    turn = np.arctan2(across, along)
    radius = radius * (1 + rng.uniform(0, 0.12) * np.cos(2 * turn) + rng.uniform(0, 0.05) * np.cos(3 * turn))
    soft = max(rng.uniform(0.03, 0.15), 3 / side)
    edge = 1 / (1 + np.exp(np.clip((radius - 1) / soft, -40, 40)))
    hollow = 1 - rng.uniform(0.0, 0.95) / (1 + np.exp(np.clip((radius - rng.uniform(0.4, 0.75)) / (2 * soft), -40, 40)))
    uneven = rng.uniform(0, 0.5) * np.clip(2 * radius, 0, 1)  # uniform in the middle, where all angles meet
    body = edge * hollow * (1 + uneven * np.cos(2 * turn + rng.uniform(0, 6.3)))
    body *= 0.5 + turbulence(rng, side, 0.6) if rng.random() < 0.7 else 1.0
    rim = np.exp(-(((radius - 1) / 0.2) ** 2)) * hollow
    light = body[..., None] * _random_hue(rng, TEAL, GREEN, BLUE, WHITE, RED)
    light += rng.uniform(0, 0.6) * rim[..., None] * _random_hue(rng, RED, TEAL)
    if rng.random() < 0.3:  # a faint outer shell
        light += (rng.uniform(0.05, 0.2) * np.exp(-((radius / 1.6) ** 4)))[..., None] * _random_hue(rng, RED, BLUE)
    light *= np.float32(np.exp(rng.uniform(np.log(40), np.log(300))))
    if rng.random() < 0.6:
        middle = side / 2 + rng.uniform(-1, 1, 2)
        _add_star(
            light, middle, max(0.7, side * rng.uniform(0.01, 0.03)), rng.uniform(60, 300) * _random_hue(rng, BLUE)
        )
    return _fade_at_rim(light).astype(np.float32)


def diffuse_nebula(rng: Rng, side: int) -> np.ndarray:
    """Draw a diffuse nebula: a cloud with filaments, dark lanes and stars.

    A part of the cloud is bright, and the stars light it.
    """
    x, y = _axes(side)
    clouds = turbulence(rng, side, rng.uniform(0.45, 0.7))
    dx, dy = rng.uniform(-0.35, 0.35, 2)
    reach = np.exp(-(((x - dx) ** 2 + (y - dy) ** 2) / rng.uniform(0.05, 0.5)))
    body = reach * np.clip(clouds - rng.uniform(0.0, 0.45), 0, 1) ** rng.uniform(0.7, 2.0)
    lanes = np.clip(3 * np.abs(turbulence(rng, side, 0.55) - 0.5), rng.uniform(0.1, 0.9), 1)
    body = body * lanes / max(float((body * lanes).max()), 1e-6)
    light = body[..., None] * _random_hue(rng, RED, BLUE, TEAL, WHITE)
    light += (body**3)[..., None] * rng.uniform(0, 1) * _random_hue(rng, WHITE, TEAL)
    light *= np.float32(np.exp(rng.uniform(np.log(40), np.log(350))))
    for _ in range(int(rng.integers(0, 6))):
        position = side / 2 * (1 + np.array([dx, dy])) + rng.normal(0, 0.15 * side, 2)
        _add_star(
            light, position, max(0.7, side * rng.uniform(0.005, 0.02)), rng.uniform(100, 600) * _random_hue(rng, BLUE)
        )
    return _fade_at_rim(light).astype(np.float32)


def hazy_stars(rng: Rng, side: int) -> np.ndarray:
    """Draw one to six bright stars in wide glows.

    Dew, thin cloud, a lens or dust cause such glows.
    """
    light = np.zeros((side, side, 3), np.float32)
    x, y = _axes(side)
    spread, narrow, vane_angle = rng.uniform(0.0, 0.3), side * rng.uniform(0.008, 0.03), rng.uniform(0, np.pi)
    for _ in range(int(rng.integers(1, 7))):
        dx, dy = rng.normal(0, spread, 2) if spread > 0.05 else rng.normal(0, 0.02, 2)
        radius2 = (x - dx) ** 2 + (y - dy) ** 2
        level, wide = np.exp(rng.uniform(np.log(250), np.log(900))), rng.uniform(0.08, 0.5)
        colour = _random_hue(rng, BLUE, WHITE, (1.0, 0.8, 0.6))
        glow = np.exp(-radius2 / wide**2) if rng.random() < 0.5 else 0.6 / (1 + radius2 / (0.4 * wide) ** 2)
        light += (level * rng.uniform(0.05, 0.45) * glow)[..., None] * colour
        _add_star(light, side / 2 * (1 + np.array([dx, dy])), max(0.8, narrow), level * colour)
        if rng.random() < 0.5:  # diffraction by the secondary mirror's vanes
            thin, length = rng.uniform(0.008, 0.02), rng.uniform(0.1, 0.5)
            first = (x - dx) * np.cos(vane_angle) + (y - dy) * np.sin(vane_angle)
            second = (y - dy) * np.cos(vane_angle) - (x - dx) * np.sin(vane_angle)
            for along, across in ((first, second), (second, first)):
                light += (0.5 * level * np.exp(-np.abs(along) / length - (across / thin) ** 2))[..., None] * colour
        narrow *= rng.uniform(0.5, 1.0)
    return _fade_at_rim(light)


def cluster(rng: Rng, side: int) -> np.ndarray:
    """Draw a cluster of 8 to 600 stars with a Plummer profile.

    See Plummer 1911, MNRAS 71, 460.
    """
    count = int(np.exp(rng.uniform(np.log(8), np.log(600))))
    core = side * rng.uniform(0.05, 0.2)
    radius = core / np.sqrt(np.maximum(rng.random(count), 1e-3) ** -1 - 1 + 1e-6)
    angle = rng.uniform(0, 2 * np.pi, count)
    light = np.zeros((side, side, 3), np.float32)
    seeing, faintest = rng.uniform(0.6, 1.4), rng.uniform(3, 40)
    levels = np.minimum(faintest * (rng.pareto(1.2, count) + 1), 500)
    for index in range(count):
        position = side / 2 + radius[index] * np.array([np.cos(angle[index]), np.sin(angle[index])])
        _add_star(light, position, seeing, levels[index] * _random_hue(rng, BLUE, (1.0, 0.8, 0.6)))
    if count > 150:  # unresolved faint stars
        x, y = _axes(side)
        glow = (1 + (x * x + y * y) / np.float32(2 * core / side) ** 2) ** -2
        grain = 0.6 + 0.8 * rng.random((side, side)).astype(np.float32)
        light += (rng.uniform(10, 120) * glow * grain)[..., None] * _random_hue(rng, (1.0, 0.85, 0.7))
    return _fade_at_rim(light)


def open_cluster(rng: Rng, side: int) -> np.ndarray:
    """Draw overexposed bright stars, all with the halos and spikes of one telescope."""
    light = np.zeros((side, side, 3), np.float32)
    spikes, angle = int(rng.choice([0, 4, 4, 4, 6])), rng.uniform(0, np.pi)
    finest, fringe, spread = rng.uniform(0.5, 1.2), _random_hue(rng, BLUE, RED, (1.0, 0.8, 0.6)), rng.uniform(0.1, 0.35)
    halo, length = rng.uniform(0.05, 0.4), rng.uniform(4, 12)
    for _ in range(int(np.exp(rng.uniform(np.log(4), np.log(60))))):
        position = side / 2 + rng.normal(0, spread * side, 2)
        width = min(finest * (1 + rng.pareto(1.3)), 0.03 * side)
        colour = _random_hue(rng, BLUE, WHITE, (1.0, 0.8, 0.6))
        _add_star(light, position, width, rng.uniform(300, 1200) * colour)
        _add_star(light, position, 3 * width, halo * 255 * colour * fringe)
        if width > 1.5 * finest:
            add_spikes(
                light, position, length * width, 0.25 * width + 0.4, angle, spikes, rng.uniform(80, 300) * colour
            )
    return _fade_at_rim(light)


def globular(rng: Rng, side: int) -> np.ndarray:
    """Draw a globular cluster: hundreds to thousands of stars with a Plummer profile."""
    count = int(np.exp(rng.uniform(np.log(400), np.log(8000))))
    core, seeing = side * np.exp(rng.uniform(np.log(0.015), np.log(0.15))), rng.uniform(0.5, 1.1)
    radius = core / np.sqrt(np.maximum(rng.random(count), 2e-3) ** (-2 / 3) - 1 + 1e-6)
    angle = rng.uniform(0, 2 * np.pi, count)
    pixels = (side / 2 + radius * np.stack([np.sin(angle), np.cos(angle)])).astype(int)
    inside = ((pixels >= 0) & (pixels < side)).all(axis=0)
    levels = np.minimum(rng.uniform(4, 40) * (rng.pareto(1.3, count) + 1), 900) * 2 * np.pi * seeing**2
    light = np.zeros((side, side, 3), np.float32)
    blue = rng.random(count) < rng.uniform(0.1, 0.6)
    for group, colour in ((blue, _random_hue(rng, BLUE)), (~blue, _random_hue(rng, (1.0, 0.8, 0.6)))):
        plane = np.zeros((side, side), np.float32)
        np.add.at(plane, tuple(pixels[:, group & inside]), levels[group & inside])
        light += cv2.GaussianBlur(plane, (0, 0), seeing)[..., None] * colour
    if rng.random() < 0.8:  # unresolved faint stars
        x, y = _axes(side)
        glow = (1 + (x * x + y * y) / np.float32(2 * core / side) ** 2) ** -rng.uniform(1.2, 2.0)
        light += (np.exp(rng.uniform(np.log(10), np.log(400))) * glow)[..., None] * _random_hue(rng, (1.0, 0.85, 0.7))
    return _fade_at_rim(light).astype(np.float32)


MIN_SIDES = {planetary_nebula: 20, diffuse_nebula: 48, hazy_stars: 40, cluster: 48, open_cluster: 48, globular: 48}
"""Drawing functions and their minimum side in pixels; smaller drawings could be galaxies."""


def draw_nebula(rng: Rng, side: int) -> np.ndarray:
    """Draw an object of a random kind, at least as large as its minimum side.

    Returns (S, S, 3) float32 levels to add to a sky.
    """
    kind = list(MIN_SIDES)[int(rng.integers(len(MIN_SIDES)))]
    return kind(rng, max(MIN_SIDES[kind], side))
