"""Positions of detections on the sky, and the catalogued objects that they are.

A detection is an object if the box holds the object's centre, or lies on a large part of the object: within its
ellipse, widened by the error of the solution, and not much smaller than it. Of several candidates, the one wins that
is nearest to the box's centre in units of the box or its own ellipse, fits the box's size, and is brightest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from .angles import direction, separation
from .catalogue.objects import Catalogue, CatalogueObject
from .kinds import CLUSTERS, GROUPS
from .position import NOTHING_CATALOGUED, SkyPosition
from .solution import Solution
from .wcs import Wcs

CENTRE_ERROR = 0.035
"""Error of a box's centre that 68 % of simulated galaxies have at most, as a share of the box's size.

Fitted by `benchmarks.sky.simulated_fields`.
"""
MIN_SOLUTION_ERROR = 1.0
"""Standard error of a solution in arcsec where its own is not measured or smaller."""
SIGMAS = 3.0
"""Standard errors by which a position may be off."""
UNKNOWN_MAJOR = 40.0
"""Major axis of an object without one, in arcsec: about the median of the catalogue."""
PART = 0.15
"""Minimum size of a box that is a part of a large object, as a share of the object's major axis."""
PART_OF_CLUSTER = 0.4
"""The same for open clusters, behind which there may be galaxies."""
SMALL = 0.25
"""Objects smaller than this share of the box must be near its centre, or are neighbours only."""
ROUND = 0.88
"""Axis ratio from which light has no position angle."""


@dataclass(frozen=True, eq=False)
class _Field:
    """Catalogued objects around a field, read from the catalogue once."""

    ra: float
    dec: float
    radius: float
    objects: list[CatalogueObject]

    def covers(self, ra: float, dec: float, radius: float) -> bool:
        return float(separation(self.ra, self.dec, ra, dec)) + radius <= self.radius


class SkyMatcher:
    """Finds the positions of boxes, and names the objects in them.

    Args:
        catalogue: of objects; None for positions without names.
        note: why there is no catalogue, for `SkyPosition.sky_note`.
    """

    def __init__(self, catalogue: Catalogue | None, note: str = "") -> None:
        self._catalogue = catalogue
        self._note = note
        self._field = _Field(0.0, 0.0, -1.0, [])

    def identify(self, solution: Solution, boxes: np.ndarray, angles: Sequence[float | None] = ()) -> list[SkyPosition]:
        """Return the position of each box, and the object that it is.

        Args:
            solution: of the source's own frame.
            boxes: (N, 4) x0, y0, x1, y1 in pixels of that frame.
            angles: direction of each box's light in the frame, see `light_angle`; empty if not measured.
        """
        if not len(boxes):
            return []
        wcs = solution.wcs
        objects = self._objects(wcs)
        spots = wcs.to_pixels(np.array([(item.ra, item.dec) for item in objects])) if objects else np.zeros((0, 2))
        error = max(solution.residual_arcsec, MIN_SOLUTION_ERROR)
        centres = wcs.to_sky((boxes[:, :2] + boxes[:, 2:]) / 2)
        positions = []
        for index, (box, (ra, dec)) in enumerate(zip(boxes.astype(float), centres.tolist(), strict=True)):
            size = math.sqrt(max(1.0, (box[2] - box[0]) * (box[3] - box[1]))) * wcs.scale
            angle = angles[index] if len(angles) else None
            found = _Match.select(_candidates(objects, spots, box, (ra, dec), size, error, wcs.scale))
            position = SkyPosition(
                round(ra, 6), round(dec, 6), round(math.hypot(error, CENTRE_ERROR * size), 2), round(size, 1),
                None if angle is None else _on_sky(wcs, box, angle), sky_note=self._why(found, size),
            )  # fmt: skip
            positions.append(replace(position, **found.fields()))
        return positions

    def _why(self, found: _Selected, size: float) -> str | None:
        if found.match:
            return None
        if self._catalogue is None:
            return self._note or None
        return f"{NOTHING_CATALOGUED} within {_rounded(size / 2)}"

    def _objects(self, wcs: Wcs) -> list[CatalogueObject]:
        """Return the catalogued objects in and around a frame."""
        if self._catalogue is None:
            return []
        if not self._field.covers(*wcs.centre, wcs.radius):
            radius = min(1.3 * wcs.radius, 90.0)
            found = self._catalogue.within(*wcs.centre, radius, extent=True)
            self._field = _Field(*wcs.centre, radius, found)
        return self._field.objects


@dataclass(frozen=True, eq=False)
class _Selected:
    match: _Match | None
    neighbours: tuple[str, ...] = ()

    def fields(self) -> dict[str, Any]:
        if self.match is None:
            return {"object_neighbours": self.neighbours}
        item = self.match.item
        return {
            "object_name": item.name, "object_kind": item.kind, "object_type": item.hubble_type,
            "object_separation": round(self.match.distance, 2), "object_neighbours": self.neighbours,
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Match:
    """A catalogued object that a box may be.

    Attributes:
        item: the object.
        distance: of the box's centre from the object's, in arcsec.
        cost: lowest for the best; infinite for what is in the box, but is too small or too far from its centre.
        in_box: whether its centre is in the box.
    """

    item: CatalogueObject
    distance: float
    cost: float
    in_box: bool

    @staticmethod
    def select(found: list[_Match]) -> _Selected:
        """Return the best match; others in the box are neighbours, brightest first."""
        possible = [match for match in found if math.isfinite(match.cost)]
        magnitudes = [match.item.magnitude for match in possible if match.item.magnitude is not None]
        brightest, faintest = min(magnitudes, default=0.0), max(magnitudes, default=0.0)

        def cost(match: _Match) -> float:
            magnitude = faintest + 1.0 if match.item.magnitude is None else match.item.magnitude
            return match.cost + 0.15 * min(magnitude - brightest, 6.0)

        best = min(possible, key=cost, default=None)
        others = [match for match in found if match.in_box and match is not best and match.item.kind not in GROUPS]
        others.sort(key=lambda match: match.item.magnitude if match.item.magnitude is not None else 99.0)
        return _Selected(best, tuple(match.item.name for match in others[:5]))


# Many parameters because each belongs to the box or to the frame that it is in.
def _candidates(
    objects: list[CatalogueObject], spots: np.ndarray, box: np.ndarray, centre: tuple[float, float], size: float,
    error: float, scale: float,
) -> list[_Match]:  # fmt: skip
    """Return the objects whose centre is in the box, or that the box lies on."""
    if not objects:
        return []
    middle = (box[:2] + box[2:]) / 2
    near = np.hypot(*(spots - middle).T) * scale
    reach = np.array([(item.major_arcsec or UNKNOWN_MAJOR) / 2 for item in objects]) + size + SIGMAS * error
    found = []
    for index in np.flatnonzero(near <= reach).tolist():  # NaN, beyond the projection, is not
        item, spot = objects[index], spots[index]
        margin = SIGMAS * error / scale
        in_box = bool((spot >= box[:2] - margin).all() and (spot <= box[2:] + margin).all())
        distance = float(separation(*centre, item.ra, item.dec)) * 3600.0
        cost = _cost(item, centre, distance, size, error, in_box)
        if in_box or math.isfinite(cost):
            found.append(_Match(item, distance, cost, in_box))
    return found


def _cost(
    item: CatalogueObject, centre: tuple[float, float], distance: float, size: float, error: float, in_box: bool
) -> float:
    """Return how badly an object fits a box; infinite if the box is not of it."""
    major = item.major_arcsec or UNKNOWN_MAJOR
    minor = item.minor_arcsec or major
    share = PART_OF_CLUSTER if item.kind in CLUSTERS else PART
    toward = math.radians(float(direction(item.ra, item.dec, *centre)) - (item.position_angle or 0.0))
    along, across = distance * math.cos(toward), distance * math.sin(toward)
    if item.position_angle is None:
        minor = major
    on_object = math.hypot(along / (major / 2 + SIGMAS * error), across / (minor / 2 + SIGMAS * error))
    in_units_of_box = distance / (size / 2 + SIGMAS * error)
    if size < share * major and (item.kind in CLUSTERS or distance > size / 2 + SIGMAS * error):
        return math.inf  # a part of something much larger, away from its centre: an object of its own
    if major < SMALL * size and in_units_of_box > 0.7:
        return math.inf  # at the edge of a box that something larger fills
    if not in_box and on_object > 1.0:
        return math.inf
    fit = min(abs(math.log2(size / major)), 3.0)
    return min(in_units_of_box, on_object) + 0.3 * fit + 0.5 * (item.kind in GROUPS)


def light_angle(pixels: np.ndarray, box: np.ndarray) -> float | None:
    """Return the direction of the long axis of the light in a box.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        box: (4,) x0, y0, x1, y1 in its pixels.

    Returns:
        Degrees from the x axis towards the y axis, -90 to 90; None for round light, or none.
    """
    x0, y0, x1, y1 = (max(0, round(float(value))) for value in box)
    part = pixels[y0:y1, x0:x1]
    if min(part.shape[:2]) < 4:
        return None
    grey = cv2.cvtColor(part, cv2.COLOR_RGB2GRAY).astype(np.float32)
    sky = float(np.percentile(grey, 20))
    light = cv2.moments(np.clip(grey - sky - 0.2 * (grey.max() - sky), 0.0, None))
    if light["m00"] <= 0.0:
        return None
    across, down, both = (light[key] / light["m00"] for key in ("mu20", "mu02", "mu11"))
    middle, spread = (across + down) / 2, math.hypot((across - down) / 2, both)
    if middle <= 0 or math.sqrt(max(middle - spread, 0.0) / (middle + spread)) > ROUND:
        return None
    return math.degrees(0.5 * math.atan2(2 * both, across - down))


def _on_sky(wcs: Wcs, box: np.ndarray, angle: float) -> float:
    """Return the position angle, 0 to 180 east of north, of a direction in a frame."""
    middle = (box[:2] + box[2:]) / 2
    step = 4.0 * np.array([math.cos(math.radians(angle)), math.sin(math.radians(angle))])
    (ra, dec), (to_ra, to_dec) = wcs.to_sky(np.stack([middle, middle + step])).tolist()
    return round(float(direction(ra, dec, to_ra, to_dec)) % 180.0, 1) % 180.0


def _rounded(arcsec: float) -> str:
    return f"{arcsec:.0f} arcsec" if arcsec < 100 else f"{arcsec / 60:.1f} arcmin"
