"""A map of the whole sky with the fields of a night: Hammer's projection."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .markup import text
from .objects import NightObject
from .sky_map import fields_of
from .sky_position import mean_position

WIDTH, HEIGHT = 720, 380
_SCALE = 120.0
"""Units of the drawing for a unit of the projection, which is 4 x sqrt(2) wide."""
MAX_LABELS = 24


def all_sky_map(objects: Sequence[NightObject]) -> str:
    """Return a map of where the fields are on the sky; "" without a position.

    Right ascension 12 h is in the middle, and grows to the left.
    """
    fields = fields_of(objects)
    if not fields:
        return ""
    parts = [_line(np.full(61, ra), np.linspace(-90, 90, 61)) for ra in np.linspace(0.001, 359.999, 13)]
    parts += [_line(np.linspace(0.001, 359.999, 121), np.full(121, dec)) for dec in (-60.0, -30.0, 0.0, 30.0, 60.0)]
    for hour in (3, 6, 9, 12, 15, 18, 21):
        (x, y) = _project(np.array([hour * 15.0]), np.array([0.0]))[0]
        parts.append(f'<text x="{x:.0f}" y="{y + 12:.0f}" text-anchor="middle">{hour}h</text>')
    for number, field in enumerate(fields):
        positions = np.array([item.position for item in field], float)
        centre = mean_position(positions[:, 0], positions[:, 1])
        (x, y) = _project(np.array([centre[0]]), np.array([centre[1]]))[0]
        kind = "known" if field[0].is_named else "unknown"
        parts.append(f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="5"/>')
        if number < MAX_LABELS:
            label = next((item.title for item in field if item.is_named), f"{len(field)} objects")
            parts.append(
                f'<text x="{min(max(x, 50), WIDTH - 50):.1f}" y="{max(14.0, y - 9):.1f}" text-anchor="middle">'
                f"{text(label)}</text>"
            )
    caption = "The fields of the night on the whole sky, by right ascension and declination, north up, east left"
    return (
        f'<figure><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{caption}">{"".join(parts)}</svg>'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _project(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """Return x, y (N, 2) in the drawing of positions in degrees."""
    east, north = np.radians(ra - 180.0) / 2, np.radians(dec)
    root = np.sqrt(2 / (1 + np.cos(north) * np.cos(east)))
    x, y = 2 * root * np.cos(north) * np.sin(east), root * np.sin(north)
    return np.stack([WIDTH / 2 - _SCALE * x, HEIGHT / 2 - _SCALE * y], axis=1)


def _line(ra: np.ndarray, dec: np.ndarray) -> str:
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in _project(ra, dec))
    return f'<path class="grid" d="M{path}"/>'
