"""Something new near a catalogued galaxy that several stacks of a night show."""

from __future__ import annotations

import datetime
import math
from dataclasses import dataclass, field

import numpy as np

from ..wcs import Wcs
from .search_area import GalaxyOffset

CUTOUT = 41
"""Side of the cut-outs in pixels of the reference."""


@dataclass(frozen=True)
class Sighting:
    """A detection of one stack.

    Attributes:
        stack: number of the stack in its night; time: UTC of it.
        x, y: pixels of the reference; error: standard error of each, in pixels.
        light: peak of the difference; magnitude, magnitude_error: VT; signal: over the noise.
    """

    stack: int
    time: datetime.datetime
    x: float
    y: float
    error: float
    magnitude: float
    magnitude_error: float
    signal: float


@dataclass(frozen=True, eq=False)
class Cutouts:
    """The surroundings of a candidate, all (h, w) float32."""

    reference: np.ndarray
    new: np.ndarray
    difference: np.ndarray
    wcs: Wcs


@dataclass(frozen=True, eq=False)
class Candidate:
    """Something new near a galaxy; a person has to find out what it is.

    Attributes:
        number: of the place in its field and night, from 1; it stays while more stacks come.
        ra, dec: degrees, J2000; position_error: standard error in arcsec.
        magnitude, magnitude_error: VT.
        offset: from the galaxy that it is near to.
        sightings: number of stacks that show it; stacks: number of those that reach it since the first one.
        signal: greatest signal over noise in one stack.
        first_time, last_time: UTC of the first and the last stack that show it.
        limit: limiting magnitude of the latest stack.
        recovered: share of artificial stars of this magnitude that the same stacks show; NaN if unknown.
        cutouts: of the latest stack that shows it.
    """

    number: int
    ra: float
    dec: float
    position_error: float
    magnitude: float
    magnitude_error: float
    offset: GalaxyOffset
    sightings: int
    stacks: int
    signal: float
    first_time: datetime.datetime
    last_time: datetime.datetime
    limit: float
    recovered: float
    cutouts: Cutouts


@dataclass(eq=False)
class Spot:
    """A position at which one or more stacks of a night show something.

    Attributes:
        sightings: in the order of time; number: of the candidate, 0 before it is one.
        outside: stacks that do not reach the position, by their numbers.
    """

    sightings: list[Sighting] = field(default_factory=list)
    number: int = 0
    outside: set[int] = field(default_factory=set)

    @property
    def stacks(self) -> int:
        """Number of stacks that reach the position.

        Counted from the first to the last that show it.
        """
        first, last = self.sightings[0].stack, self.sightings[-1].stack
        return last - first + 1 - sum(first < stack < last for stack in self.outside)

    @property
    def position(self) -> tuple[float, float]:
        """Weighted mean position in pixels of the reference."""
        weights = np.array([1 / item.error**2 for item in self.sightings])
        xy = np.array([(item.x, item.y) for item in self.sightings])
        x, y = (xy * weights[:, None]).sum(axis=0) / weights.sum()
        return float(x), float(y)

    @property
    def error(self) -> float:
        """Standard error of the mean position in pixels."""
        return math.sqrt(1 / sum(1 / item.error**2 for item in self.sightings))

    @property
    def magnitude(self) -> tuple[float, float]:
        """Mean magnitude and its standard error."""
        weights = np.array([1 / item.magnitude_error**2 for item in self.sightings])
        values = np.array([item.magnitude for item in self.sightings])
        return float((values * weights).sum() / weights.sum()), float(1 / math.sqrt(weights.sum()))

    def is_moving(self) -> bool:
        """Return whether the positions move with time, as those of minor planets do."""
        times = np.array([item.time.timestamp() for item in self.sightings])
        span = float(np.ptp(times))
        if span <= 0 or len(times) < 3:
            return False
        errors = np.array([item.error for item in self.sightings])
        centred = times - np.average(times, weights=errors**-2)
        sum_of_squares = float((centred**2 / errors**2).sum())
        xy = np.array([(item.x, item.y) for item in self.sightings])
        slopes = (centred[:, None] * xy / errors[:, None] ** 2).sum(axis=0) / sum_of_squares
        moved = float(np.hypot(*slopes)) * span
        return moved > max(4 * span / math.sqrt(sum_of_squares), 0.6)
