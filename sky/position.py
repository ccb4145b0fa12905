"""Where an object is on the sky, and which catalogued object it is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from .kinds import NOT_GALAXIES

NOTHING_CATALOGUED = "nothing catalogued"
"""Beginning of the note on a position where the catalogue has no object."""


@dataclass(frozen=True)
class SkyPosition:
    """Position and identity of a detected object; None where something is unknown.

    Its fields are the columns of the event file and the keys of ``sky`` in JSON.

    Attributes:
        ra, dec: of the box's centre in degrees, J2000.
        position_error: of that position in arcsec: about 68 % are nearer to the truth.
        size_arcsec: square root of the box's area.
        position_angle: of the light's long axis, degrees east of north, 0 to 180; None for round light.
        object_name: the catalogued object, e.g. ``M 94``.
        object_kind: what that is, e.g. ``galaxy`` or ``reflection nebula``.
        object_type: its Hubble type.
        object_separation: of the position from the catalogue's, in arcsec.
        object_id: identifies the object in all runs of an output folder: see `runtime.events.objects`.
        object_neighbours: names of other catalogued objects in the box.
        sky_note: why there is no position, or what is known of it otherwise.
    """

    ra: float | None = None
    dec: float | None = None
    position_error: float | None = None
    size_arcsec: float | None = None
    position_angle: float | None = None
    object_name: str | None = None
    object_kind: str | None = None
    object_type: str | None = None
    object_separation: float | None = None
    object_id: str | None = None
    object_neighbours: tuple[str, ...] = ()
    sky_note: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: what is known."""
        known = {key: value for key, value in vars(self).items() if value not in (None, (), "")}
        if self.object_neighbours:
            known["object_neighbours"] = list(self.object_neighbours)
        return known

    def to_row(self) -> tuple[str | float | None, ...]:
        """Return the values of `COLUMNS`; neighbours are a JSON list, or None."""
        values = [getattr(self, name) for name in COLUMNS]
        values[_NEIGHBOURS] = json.dumps(self.object_neighbours) if self.object_neighbours else None
        return tuple(values)

    @classmethod
    def from_row(cls, values: Sequence[Any]) -> SkyPosition | None:
        """Return a position of a row's `COLUMNS`; None if nothing is known."""
        if all(value is None for value in values):
            return None
        fields = dict(zip(COLUMNS, values, strict=True))
        fields["object_neighbours"] = tuple(json.loads(fields["object_neighbours"] or "[]"))
        return cls(**fields)

    @property
    def is_galaxy(self) -> bool:
        """Whether it counts as a galaxy: all that is not known to be something else."""
        return self.object_kind not in NOT_GALAXIES

    @property
    def is_new(self) -> bool:
        """Whether the position is known, and a catalogue has no object there."""
        is_searched = (self.sky_note or "").startswith(NOTHING_CATALOGUED)
        return self.ra is not None and is_searched and not self.object_name and not self.object_neighbours

    @property
    def label(self) -> str:
        """Name for display, with the kind if it is not a galaxy; "" if it has none."""
        if not self.object_name:
            return ""
        return self.object_name if self.is_galaxy else f"{self.object_name}, {self.object_kind}"

    @property
    def is_known(self) -> bool:
        """Whether there is a position."""
        return self.ra is not None and self.dec is not None


COLUMNS = tuple(field.name for field in fields(SkyPosition))
"""Names of the fields, in their order."""
_NEIGHBOURS = COLUMNS.index("object_neighbours")
UNKNOWN = SkyPosition()
"""Nothing is known, not even why."""
