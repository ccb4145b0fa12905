"""Objects of a catalogue: what they are called, where they are, and their kinds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

from ..kinds import NOT_GALAXIES


@dataclass(frozen=True)
class CatalogueObject:
    """An object of a catalogue; None where the catalogue says nothing.

    Attributes:
        name: for display, e.g. ``M 94`` or ``NGC 5195``; unique in its catalogue.
        aliases: other names, e.g. ``NGC 4736``.
        kind: one of `kinds.GALAXIES` or `kinds.NOT_GALAXIES`, or a user's own word.
        ra, dec: degrees, J2000.
        major_arcsec, minor_arcsec: full axes in arcsec.
        position_angle: of the major axis, degrees east of north.
        magnitude: total, V where there is one, else B.
        surface_brightness: mean B within the 25 mag isophote, mag/arcsec2.
        hubble_type: e.g. ``SABa``.
    """

    name: str
    aliases: tuple[str, ...]
    kind: str
    ra: float
    dec: float
    major_arcsec: float | None = None
    minor_arcsec: float | None = None
    position_angle: float | None = None
    magnitude: float | None = None
    surface_brightness: float | None = None
    hubble_type: str | None = None

    @property
    def is_galaxy(self) -> bool:
        """Whether it counts as a galaxy: all that is not known to be something else."""
        return self.kind not in NOT_GALAXIES


class Catalogue(Protocol):
    """A catalogue that can be searched by position and by name."""

    def within(self, ra: float, dec: float, radius: float, *, extent: bool = False) -> list[CatalogueObject]:
        """Return the objects within a radius of a position, all in degrees.

        Args:
            ra, dec, radius: the circle.
            extent: whether objects are included whose centre is outside but whose extent reaches inside.
        """
        ...

    def find(self, name: str) -> CatalogueObject | None:
        """Return the object with a name or alias, in any spelling; None if there is none."""
        ...


def compact_name(name: str) -> str:
    """Return a name in a spelling that compares equal: NGC224 for ngc 0224.

    >>> compact_name("ngc 0224"), compact_name("Messier 031")
    ('NGC224', 'M31')
    """
    text = re.sub(r"[\s_]+", "", name).upper()
    text = re.sub(r"^MESSIER(?=\d)", "M", text)
    return re.sub(r"(?<![\d.])0+(?=\d)", "", text)
