"""Catalogued objects in a frame, in words: which of them were detected."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..angles import separation
from ..kinds import GALAXIES, NOT_GALAXIES
from ..wcs import Wcs
from .objects import Catalogue, CatalogueObject

BRIGHT = 13.0
"""Magnitude to which objects that were not detected are named in a sentence."""
LARGE_ARCSEC = 60.0
"""Size from which a nebula or cluster without a magnitude is named too."""


@dataclass(frozen=True)
class FieldObject:
    """A catalogued object in the frames of a run; None where a value is unknown.

    Attributes:
        name: of the catalogue.
        kind: what it is, e.g. ``galaxy`` or ``reflection nebula``.
        ra, dec: degrees, J2000.
        magnitude: total; size_arcsec: its major axis.
        detected: whether a detection was of it.
    """

    name: str
    kind: str
    ra: float
    dec: float
    magnitude: float | None = None
    size_arcsec: float | None = None
    detected: bool = False

    @classmethod
    def from_catalogue(cls, item: CatalogueObject, detected: bool = False) -> FieldObject:
        """Return the entry of an object."""
        size = None if item.major_arcsec is None else round(item.major_arcsec, 1)
        return cls(item.name, item.kind, round(item.ra, 5), round(item.dec, 5), item.magnitude, size, detected)

    @property
    def is_bright(self) -> bool:
        """Whether an observer looks for it."""
        if self.magnitude is not None:
            return self.magnitude <= BRIGHT
        return self.kind in NOT_GALAXIES and (self.size_arcsec or 0.0) >= LARGE_ARCSEC

    @property
    def label(self) -> str:
        """Name for display, with the kind if it is not a galaxy."""
        return self.name if self.kind in GALAXIES else f"{self.name}, {self.kind}"

    @property
    def text(self) -> str:
        """The label, and whether it was not detected."""
        return self.label if self.detected else f"{self.label} (not detected)"


def objects_in_frame(catalogue: Catalogue, wcs: Wcs) -> list[CatalogueObject]:
    """Return the objects in a frame, or around its centre, brightest first."""
    found = catalogue.within(*wcs.centre, min(wcs.radius, 90.0), extent=True)
    if not found:
        return []
    positions = np.array([(item.ra, item.dec) for item in found])
    x, y = wcs.to_pixels(positions).T
    inside = (x >= 0) & (x < wcs.width) & (y >= 0) & (y < wcs.height)  # NaN, beyond the projection, is not
    reach = np.array([(item.major_arcsec or 0.0) / 7200 for item in found])
    inside |= separation(*wcs.centre, positions[:, 0], positions[:, 1]) <= reach
    chosen = [item for item, is_inside in zip(found, inside.tolist(), strict=True) if is_inside]
    return sorted(chosen, key=lambda item: math.inf if item.magnitude is None else item.magnitude)


def ranked(objects: Iterable[FieldObject]) -> list[FieldObject]:
    """Return detected objects, bright ones that were not detected, and others."""
    return sorted(objects, key=lambda item: (not item.detected, not item.is_bright))


def field_text(objects: Iterable[FieldObject], limit: int = 8) -> str:
    """Return the objects of a field as a sentence; "" without any.

    Those that were detected come first, then bright ones that were not; of others, only their number.
    """
    order = ranked(objects)
    named = [item for item in order if item.detected or item.is_bright][:limit] or order[:1]
    parts = [item.text for item in named]
    if more := len(order) - len(named):
        parts.append(f"and {more} more")
    return "; ".join(parts)
