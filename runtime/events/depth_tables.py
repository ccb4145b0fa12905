"""The tables of an output folder about the depth of its frames."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...sky.depth import FieldGalaxy

DEPTH_FILE = "depth.csv"
"""Rows are `DepthRow`."""
COMPLETENESS_FILE = "completeness.csv"
"""Rows are catalogued galaxies of a field, see `galaxy_columns`."""


@dataclass(frozen=True)
class DepthRow:
    """A measurement, which is a row of the table; None where unknown.

    Attributes:
        time: UTC of the frame; run, frame: their numbers; stacked: number of frames in the stack.
        ra, dec: of its centre in degrees.
        stars: number of stars that the zero point rests on.
        zero_point: magnitude of a star whose light is one unit; limiting_magnitude: of a star of 5 sigma (VT).
        star_fwhm: arcsec; star_elongation: at least 1; sky_brightness: mag/arcsec2.
        transparency: 0 to 1, relative to the best frame of the run.
        galaxies_expected, galaxies_found: catalogued galaxies in the frame that should be and are detected.
        missed: names of those that are not, separated by semicolons.
    """

    time: str
    run: int
    frame: int
    stacked: int
    ra: float
    dec: float
    stars: int
    zero_point: float | None
    limiting_magnitude: float | None
    star_fwhm: float | None
    star_elongation: float | None
    sky_brightness: float | None
    transparency: float | None
    galaxies_expected: int | None
    galaxies_found: int | None
    missed: str


def galaxy_columns(galaxy: FieldGalaxy) -> dict[str, str | float]:
    """Return the columns of a galaxy; truths are 0 and 1."""
    return {
        "name": galaxy.name, "magnitude": round(galaxy.magnitude, 3),
        "surface_brightness": round(galaxy.surface_brightness, 3), "sigmas": round(galaxy.sigmas, 1),
        "expected": int(galaxy.expected), "found": int(galaxy.found),
    }  # fmt: skip


def galaxy_from_columns(row: Mapping[str, str]) -> FieldGalaxy:
    """Return the galaxy of a row.

    Raises:
        KeyError, TypeError, ValueError: the row is damaged.
    """
    from ...sky.depth import FieldGalaxy  # runs, which only write, need it for solved frames alone

    columns = ("magnitude", "surface_brightness", "sigmas")
    magnitude, surface_brightness, sigmas = (finite_number(row[name]) for name in columns)
    expected, found = bool(int(row["expected"])), bool(int(row["found"]))
    return FieldGalaxy(row["name"], magnitude, surface_brightness, sigmas, expected, found)


def finite_number(text: str) -> float:
    """Return the number in a column.

    Raises:
        ValueError: it is none, or not finite.
    """
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number
