"""Maps of the night's fields as SVG, north up, east to the left."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ...sky.angles import separation
from ...sky.coordinates import ra_text
from .markup import text
from .objects import NightObject
from .sky_position import angle_text, dec_text, mean_position, project

SIDE = 420
"""Width and height of a map in its own units."""
FIELD_DEGREES = 3.0
"""Objects closer than this to the first of a field are in the same map."""
MAX_FIELDS = 6
MIN_DEGREES = 0.1
"""Minimum width of a map."""
_RA_STEPS = tuple(15 / count for count in (900, 360, 180, 60, 30, 12, 4, 2, 1))
_STEPS = (1 / 120, 1 / 60, 1 / 30, 1 / 12, 1 / 6, 0.5, 1.0, 2.0, 5.0)


def fields_of(objects: Sequence[NightObject]) -> list[list[NightObject]]:
    """Group objects with a position into fields, those with most objects first."""
    fields: list[list[NightObject]] = []
    for item in objects:
        if item.position is None:
            continue
        near = (field for field in fields if _distance(field[0], item) < FIELD_DEGREES)
        field = next(near, None)
        if field is None:
            fields.append([item])
        else:
            field.append(item)
    return sorted(fields, key=len, reverse=True)


def _distance(first: NightObject, second: NightObject) -> float:
    assert first.position and second.position
    return float(separation(*first.position, *second.position))


def sky_maps(objects: Sequence[NightObject]) -> str:
    """Return a map of each field, "" where no object has a position."""
    fields = fields_of(objects)
    more = len(fields) - MAX_FIELDS
    maps = "".join(_field_map(field) for field in fields[:MAX_FIELDS])
    note = f"<p>{more} more fields are not drawn.</p>" if more > 0 else ""
    return f'<div class="maps">{maps}</div>{note}' if maps else ""


def _field_map(field: Sequence[NightObject]) -> str:
    positions = np.array([item.position for item in field], float)
    centre = mean_position(positions[:, 0], positions[:, 1])
    offsets = project(positions[:, 0], positions[:, 1], centre)
    sizes = np.array([(item.size_arcsec or 0.0) / 3600 for item in field])
    half = max(MIN_DEGREES / 2, 1.25 * float(np.max(np.abs(offsets) + sizes[:, None] / 2)))
    scale = SIDE / 2 / half

    def at(offset: np.ndarray) -> tuple[float, float]:
        return SIDE / 2 - float(offset[0]) * scale, SIDE / 2 - float(offset[1]) * scale

    parts = [_grid(centre, half, scale)]
    for item, offset in zip(field, offsets, strict=True):
        x, y = at(offset)
        radius = max(5.0, (item.size_arcsec or 0.0) / 7200 * scale)
        minor = max(3.0, radius * item.axis_ratio)
        turn = -(item.position_angle or 0.0)
        parts.append(
            f'<ellipse class="{"known" if item.is_named else "unknown"}" cx="{x:.1f}" cy="{y:.1f}" rx="{minor:.1f}" '
            f'ry="{radius:.1f}" transform="rotate({turn:.0f} {x:.1f} {y:.1f})"/>'
            f'<text x="{min(max(x, 60), SIDE - 60):.1f}" y="{max(14.0, y - radius - 6):.1f}" '
            f'text-anchor="middle">{text(item.title)}</text>'
        )
    caption = f"{ra_text(centre[0])} {dec_text(centre[1])}, {angle_text(2 * half * 3600)} wide, north up, east left"
    return (
        f'<figure><svg viewBox="0 0 {SIDE} {SIDE}" role="img" aria-label="{text(caption)}">{"".join(parts)}</svg>'
        f"<figcaption>{text(caption)}</figcaption></figure>"
    )


def _grid(centre: tuple[float, float], half: float, scale: float) -> str:
    """Return lines of equal declination and right ascension through a field."""
    step = next((step for step in _STEPS if 2 * half / step <= 6), 10.0)
    stretch = max(0.02, math.cos(math.radians(centre[1])))
    ra_step = next((value for value in _RA_STEPS if value * stretch >= step), 30.0)
    span = np.linspace(-1.0, 1.0, 25)
    count = math.ceil(half / step) + 1
    lines = [
        (centre[0] + span * 1.5 * half / stretch, np.full(25, (round(centre[1] / step) + number) * step))
        for number in range(-count, count + 1)
    ]
    count = min(12, math.ceil(half / stretch / ra_step) + 1)
    lines += [
        (np.full(25, (round(centre[0] / ra_step) + number) * ra_step), centre[1] + span * 1.5 * half)
        for number in range(-count, count + 1)
    ]
    paths = []
    for ra, dec in lines:
        offsets = project(ra, np.clip(dec, -90.0, 90.0), centre)
        points = SIDE / 2 - offsets[np.isfinite(offsets).all(axis=1)] * scale
        if len(points) > 1:
            paths.append(f'<path class="grid" d="M{"L".join(f"{x:.1f} {y:.1f}" for x, y in points)}"/>')
    return "".join(paths)
