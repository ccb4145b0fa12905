"""Watch a field during a night: which new stars do its stacks agree on?"""

from __future__ import annotations

import datetime
import math
from dataclasses import dataclass

import numpy as np

from ..tycho2 import Tycho2
from .artificial import ArtificialStars
from .calibration import Calibration, calibrate
from .candidate import CUTOUT, Candidate, Cutouts, Sighting, Spot
from .detection import THRESHOLD, Detection, find_new
from .difference import Difference, Image, NotComparable, subtract
from .search_area import SearchArea

NEEDED = 3
"""Number of stacks that must show a candidate."""
MIN_SHARE = 0.5
"""Minimum share of the stacks of its position since its first sighting that must show it."""
MAX_SPOTS = 200
"""Maximum number of positions that are followed."""
_MARGIN = 40
_POSITION_FLOOR = 0.1
"""Minimum standard error of a position in pixels: that of the alignment."""
_KNOWN_STAR = 2.0
"""Distance from a star of Tycho-2 in widths of a star within which a change is that star's."""


@dataclass(frozen=True, eq=False)
class StackResult:
    """What a stack showed.

    Attributes:
        detections: number of new things in the area, before other stacks confirm them.
        candidates: that are new, or that this stack shows again.
        limit: limiting magnitude of the stack.
        difference: the part of it around the galaxies; calibration: its magnitudes.
    """

    detections: int
    candidates: list[Candidate]
    limit: float
    difference: Difference
    calibration: Calibration


class FieldWatch:
    """Compares the stacks of a night with the reference of their field.

    Args:
        reference: of the field.
        area: where to search in it.
        stars: catalogue of stars.
        needed: number of independent stacks that must show a candidate.
        threshold: minimum signal over noise in each of them.
        seed: of the positions of artificial stars; None to leave these out.
    """

    # Many parameters because a field, its catalogues and the rules are made elsewhere.
    def __init__(
        self, reference: Image, area: SearchArea, stars: Tycho2, needed: int = NEEDED, threshold: float = THRESHOLD,
        seed: int | None = 0,
    ) -> None:  # fmt: skip
        self.reference, self.area, self.stacks = reference, area, 0
        self._stars, self._needed, self._threshold = stars, needed, threshold
        self._bounds = x0, y0, x1, y1 = area.bounds(_MARGIN)
        self._region = area.region[y0:y1, x0:x1]
        self._wcs = reference.wcs.cropped(x0, y0, x1 - x0, y1 - y0) if x1 > x0 else reference.wcs
        self._spots: list[Spot] = []
        self._numbers = 0
        self._artificial = None if seed is None else ArtificialStars(self._region, seed)
        self._known = self._known_stars()

    def add(self, new: Image, time: datetime.datetime) -> StackResult:
        """Compare a stack that has no frame in common with those before.

        Raises:
            NotComparable: it does not fit the reference; the message says why.
        """
        whole = subtract(self.reference, new)
        calibration = calibrate(whole, self._stars)
        if calibration is None:
            raise NotComparable("too few catalogued stars for magnitudes are in it")
        part = whole.cropped(self._bounds)
        self.stacks += 1
        found = [item for item in find_new(part, self._region, self._threshold) if not self._is_known(item, part)]
        if self._artificial is not None:
            self._artificial.add(part, calibration, self._threshold)
        for spot in self._spots:  # fields turn and drift: a stack that has no pixels there contradicts nothing
            if not _reaches(part, *spot.position):
                spot.outside.add(self.stacks)
        changed = [self._follow(item, part, calibration, time) for item in found]
        candidates = [
            candidate for spot in dict.fromkeys(changed) if (candidate := self._candidate(spot, part, calibration))
        ]
        return StackResult(len(found), candidates, calibration.limit, part, calibration)

    def recovered(self, magnitude: float) -> float:
        """Return the share of artificial stars that are found; NaN if unknown."""
        return self._artificial.share(magnitude, self._needed) if self._artificial else math.nan

    def _known_stars(self) -> np.ndarray:
        """Return the pixels (N, 2) of Tycho-2's stars in the part that is searched."""
        stars = self._stars.within(*self._wcs.centre, self._wcs.radius)
        return self._wcs.to_pixels(np.stack([stars.ra, stars.dec], axis=1))

    def _is_known(self, item: Detection, part: Difference) -> bool:
        if not len(self._known):
            return False
        distance = np.hypot(self._known[:, 0] - item.x, self._known[:, 1] - item.y)
        return bool((distance < _KNOWN_STAR * part.sigma).any())

    def _follow(self, item: Detection, part: Difference, calibration: Calibration, time: datetime.datetime) -> Spot:
        """Add a detection to the spot that it belongs to, or begin one; return it."""
        error = math.hypot(1.2 * part.sigma / item.signal, _POSITION_FLOOR)
        sighting = Sighting(
            self.stacks, time, item.x, item.y, error, calibration.magnitude(item.light),
            math.hypot(1.0857 / item.signal, calibration.error), item.signal,
        )  # fmt: skip
        for spot in self._spots:
            x, y = spot.position
            reach = min(4 * math.hypot(error, spot.error), 1.3 * part.sigma)
            if math.hypot(x - item.x, y - item.y) <= reach and spot.sightings[-1].stack != self.stacks:
                spot.sightings.append(sighting)
                return spot
        self._make_space()
        self._spots.append(Spot([sighting]))
        return self._spots[-1]

    def _make_space(self) -> None:
        """Forget the spot that the fewest stacks showed, the oldest first.

        Satellites of a long night must not fill the list.
        """
        if len(self._spots) >= MAX_SPOTS:
            del self._spots[
                min(
                    range(len(self._spots)),
                    key=lambda index: (len(self._spots[index].sightings), self._spots[index].sightings[-1].stack),
                )
            ]

    def _candidate(self, spot: Spot, part: Difference, calibration: Calibration) -> Candidate | None:
        """Return the candidate at a spot; None if it is not one."""
        first, last = spot.sightings[0], spot.sightings[-1]
        stacks, count = spot.stacks, len(spot.sightings)
        if count < self._needed or count < MIN_SHARE * stacks or spot.is_moving():
            return None
        x, y = spot.position
        ra, dec = self._wcs.to_sky(np.array([[x, y]]))[0].tolist()
        offset = self.area.offset(ra, dec)
        if offset is None:
            return None
        if not spot.number:
            self._numbers += 1
            spot.number = self._numbers
        magnitude, magnitude_error = spot.magnitude
        return Candidate(
            spot.number, ra, dec, spot.error * self._wcs.scale, magnitude, max(magnitude_error, calibration.error),
            offset, count, stacks, max(item.signal for item in spot.sightings), first.time, last.time,
            calibration.limit, self.recovered(magnitude), _cutouts(part, x, y),
        )  # fmt: skip


def _reaches(part: Difference, x: float, y: float) -> bool:
    """Return whether a stack has pixels at a position.

    Saturated ones count: what is next to a bright star is rather an error of it.
    """
    height, width = part.valid.shape
    column, row = math.floor(x), math.floor(y)
    return 0 <= column < width and 0 <= row < height and bool(part.valid[row, column])


def _cutouts(part: Difference, x: float, y: float) -> Cutouts:
    height, width = part.values.shape
    x0 = max(0, min(width - CUTOUT, math.floor(x) - CUTOUT // 2))
    y0 = max(0, min(height - CUTOUT, math.floor(y) - CUTOUT // 2))
    area = np.s_[y0 : y0 + CUTOUT, x0 : x0 + CUTOUT]
    size = part.values[area].shape
    return Cutouts(
        part.reference[area].copy(), part.smoothed[area].copy(), part.values[area].copy(),
        part.wcs.cropped(x0, y0, size[1], size[0]),
    )  # fmt: skip
