"""The objects of a night: events, joined where they are the same object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...models.naming import display_name
from ...sky.coordinates import ra_text
from ...sky.position import SkyPosition
from ..events.event import OBJECT
from ..events.event_row import EventRow
from ..tracking.track import DUPLICATE
from .sky_position import angle_text, dec_text


@dataclass(frozen=True)
class NightObject:
    """An object of a night.

    Attributes:
        best: the event with the best score.
        events: number of its events in the night.
        frames: in which it was seen, over all its events.
        first, last: times of its first and last sighting, UTC, ISO 8601.
    """

    best: EventRow
    events: int
    frames: int
    first: str
    last: str

    @property
    def sky(self) -> SkyPosition | None:
        """What is known of its place on the sky; None if nothing is."""
        return self.best.sky

    @property
    def position(self) -> tuple[float, float] | None:
        """Right ascension and declination in degrees, None where they are unknown."""
        return (
            (self.sky.ra, self.sky.dec) if self.sky and self.sky.ra is not None and self.sky.dec is not None else None
        )

    @property
    def size_arcsec(self) -> float | None:
        """Size of its box in arcsec."""
        return self.sky.size_arcsec if self.sky else None

    @property
    def position_angle(self) -> float | None:
        """Position angle in degrees east of north."""
        return self.sky.position_angle if self.sky else None

    @property
    def axis_ratio(self) -> float:
        """Ratio of its axes on a map: round unless it has a position angle."""
        return 1.0 if self.position_angle is None else 0.6

    @property
    def is_named(self) -> bool:
        """Whether a catalogue knows it."""
        return bool(self.sky and self.sky.object_name)

    @property
    def morphology(self) -> str:
        """Its class, its coarse group, or that neither is sure."""
        return display_name(self.best.name, self.best.probabilities, self.best.sure)

    @property
    def title(self) -> str:
        """Its name in the catalogue, else its morphology."""
        return str(self.sky.object_name) if self.sky and self.sky.object_name else self.morphology

    @property
    def lines(self) -> list[str]:
        """What is known of it, in lines."""
        best = self.best
        lines = []
        if self.sky and self.is_named:
            kind = " ".join(filter(None, (self.sky.object_type, self.sky.object_kind)))
            away = self.sky.object_separation
            lines.append(", ".join(filter(None, (kind, "" if away is None else f"{angle_text(away)} off"))))
            if best.kind == OBJECT:
                lines.append(f"looks like: {self.morphology}")
        elif self.position:
            lines.append("not in the catalogue")
        if self.position:
            lines.append(f"{ra_text(self.position[0])} {dec_text(self.position[1])}")
        elif self.sky and self.sky.sky_note:
            lines.append(str(self.sky.sky_note))
        if self.size_arcsec:
            lines.append(f"{angle_text(self.size_arcsec)} across")
        lines.append(f"score {best.score:.2f}, class {best.probability:.0%}")
        lines.append(
            f"{self.frames} {'frame' if self.frames == 1 else 'frames'}, {self.first[11:16]} to {self.last[11:16]} UTC"
        )
        return [line for line in lines if line]


def is_in_sky(event: EventRow) -> bool:
    """Return whether it is a galaxy, nebula or cluster."""
    return event.kind == OBJECT or (event.sky is not None and event.kind == event.sky.object_kind)


def is_artefact(event: EventRow) -> bool:
    """Return whether it is not of the sky; a duplicate is of an object."""
    return not is_in_sky(event) and event.kind != DUPLICATE


def objects_of_night(events: Sequence[EventRow]) -> list[NightObject]:
    """Join events of the same object; those with names first, then by score."""
    groups: dict[str, list[EventRow]] = {}
    for event in events:
        if is_in_sky(event):
            key = (event.sky.object_id or event.sky.object_name) if event.sky else None
            groups.setdefault(key or event.id, []).append(event)
    objects = [
        NightObject(
            best=max(group, key=lambda event: event.score),
            events=len(group),
            frames=sum(event.frames for event in group),
            first=min(event.first_time for event in group),
            last=max(event.last_time for event in group),
        )
        for group in groups.values()
    ]
    return sorted(objects, key=lambda item: (not item.is_named, -item.best.score))
