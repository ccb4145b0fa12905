"""Events: the state of a tracked object at one moment, as every sink reports it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ...models.naming import display_name, sure_group
from ..system.utc_time import move_utc_text
from ..tracking.association import CropView
from ..tracking.track import Track

if TYPE_CHECKING:
    from ...sky.position import SkyPosition

OBJECT = "object"


class RunInfo(NamedTuple):
    """The run that events belong to.

    Attributes:
        number: of the run within its output folder, from 1.
        uid: 8 hexadecimal digits, unique to the run.
        classes: class names in the order of probabilities.
        abstain: probability below which a class is a guess, or None.
    """

    number: int
    uid: str
    classes: tuple[str, ...]
    abstain: float | None = None


@dataclass(frozen=True, eq=False)
class Event:
    """A copy of a track's state that other threads can read while the track changes.

    Attributes:
        id: stable and unique: the run's uid and the number, e.g. ``1f0c22aa-00012``.
        number: of its track within the run, from 1.
        state: confirmed or ended.
        kind: object, the artefact it was recognised as (see `Track`), or the catalogue's kind of what is not a galaxy.
        first_frame, last_frame, first_time, last_time, frames: its observations; times are UTC, ISO 8601.
        source, best_frame, box, score: its best view; the box is x0, y0, x1, y1 in pixels of the source's own frame.
        name, probability, probabilities: its class, over all its frames.
        sure: whether the probability reaches the classifier's threshold; None where it has none.
        cutout: (H, W, 3) uint8 RGB, the best view.
        raw_cutout: the same with more than 8 bits, see `Track`; None where the source has 8 bits.
        cfa: Bayer pattern of `raw_cutout`, where that is a mosaic.
        view: where and when the best view was taken; None if unknown.
        sky: where it is on the sky, and which catalogued object it is; None where nothing is known.
    """

    id: str
    number: int
    state: str
    kind: str
    first_frame: int
    last_frame: int
    first_time: str
    last_time: str
    frames: int
    source: str
    best_frame: int
    box: tuple[float, float, float, float]
    score: float
    name: str
    probability: float
    probabilities: dict[str, float]
    sure: bool | None
    cutout: np.ndarray
    raw_cutout: np.ndarray | None = None
    cfa: str | None = None
    view: CropView | None = None
    sky: SkyPosition | None = None

    @property
    def ended(self) -> bool:
        """Whether the event has ended and will not change any more."""
        return self.state == "ended"

    @property
    def is_object(self) -> bool:
        """Whether it counts as an object of the sky, and not as an artefact."""
        return self.kind == OBJECT

    @property
    def display_name(self) -> str:
        """Name for display: its class, its coarse group, or that neither is sure.

        See `models.naming`. A catalogued object has its own name.
        """
        if self.sky is not None and self.sky.object_name:
            return self.sky.label
        return display_name(self.name, self.probabilities, self.sure)

    def moved(self, seconds: float) -> Event:
        """Return a copy with other times."""
        first, last = move_utc_text(self.first_time, seconds), move_utc_text(self.last_time, seconds)
        return replace(self, first_time=first, last_time=last)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, without the image."""
        sure: dict[str, Any] = {} if self.sure is None else {"sure": self.sure}
        if self.sure is False and (group := sure_group(self.probabilities)):
            sure["group"] = group
        return {
            "id": self.id,
            "state": self.state,
            "kind": self.kind,
            "class": self.name,
            "probability": self.probability,
            **sure,
            "score": self.score,
            "box": list(self.box),
            "frames": self.frames,
            "source": self.source,
            "first_frame": self.first_frame,
            "last_frame": self.last_frame,
            "first_time": self.first_time,
            "last_time": self.last_time,
            "best_frame": self.best_frame,
            "probabilities": self.probabilities,
            **({} if self.sky is None else {"sky": self.sky.to_dict()}),
        }


def events_from_tracks(tracks: list[Track], run: RunInfo) -> list[Event]:
    """Return an event for each confirmed track, with a copy of its current state."""
    return [_event(track, run) for track in tracks if track.confirmed]


def _event(track: Track, run: RunInfo) -> Event:
    probabilities = track.probabilities
    best = int(np.argmax(probabilities))
    x0, y0, x1, y1 = (round(float(value), 2) for value in track.box)
    probability = float(probabilities[best])
    return Event(
        id=f"{run.uid}-{track.number:05d}",
        number=track.number,
        state=track.state,
        kind=track.reported_kind,
        first_frame=track.first[0],
        last_frame=track.last[0],
        first_time=track.first[1],
        last_time=track.last[1],
        frames=track.frames,
        source=track.source,
        best_frame=track.best_frame,
        box=(x0, y0, x1, y1),
        score=round(track.score, 4),
        name=run.classes[best],
        probability=round(probability, 4),
        probabilities={name: round(float(value), 4) for name, value in zip(run.classes, probabilities, strict=True)},
        sure=None if run.abstain is None else probability >= run.abstain,
        cutout=track.cutout,
        raw_cutout=track.raw_cutout,
        cfa=track.cfa,
        view=track.view,
        sky=track.sky,
    )
