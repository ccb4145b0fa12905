"""The tracked objects of the latest frame, as the live page draws them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...models.naming import plain_name
from ..events.event import RunInfo, events_from_tracks
from ..tracking.track import OBJECT, Track

KEPT_FRAMES, KEPT_SECONDS = 5, 3.0
"""An object that is missed for longer than both is not drawn; shorter gaps would make its box blink."""


@dataclass(frozen=True)
class ObjectBox:
    """A tracked object.

    Attributes:
        id, name: of its event; the name is the same as in the list of events.
        label: its name in plain words.
        box: x0, y0, x1, y1 as shares of the image's width and height, 0..1.
        seen: whether it was detected in this very frame.
    """

    id: str
    name: str
    label: str
    box: tuple[float, float, float, float]
    seen: bool


class TrackedObjects:
    """Keeps the confirmed objects in sight; used by the thread that reports frames.

    Args:
        run: that the objects belong to.
        clock: returns monotonic seconds.
    """

    def __init__(self, run: RunInfo, clock: Callable[[], float] = time.monotonic) -> None:
        self._run, self._clock = run, clock
        self._tracks: dict[int, Track] = {}
        self._seen_at: dict[int, tuple[int, float]] = {}

    def update(self, changed: list[Track], frame: int, width: int, height: int) -> list[ObjectBox]:
        """Return the objects to draw in a frame.

        Tracks belong to the thread that calls this, so that the positions of those that did not change are current.

        Args:
            changed: the tracks that began, changed or ended with the frame.
            frame: its number.
            width, height: of the pixels that the tracker works in.
        """
        for track in changed:
            is_object = track.confirmed and track.kind == OBJECT  # nebulae and clusters are drawn with their names
            # Each object of unrelated images ends with its only frame, in which it is shown.
            if is_object and (not track.ended or (track.frames == 1 and track.last[0] == frame)):
                self._tracks[track.number] = track
            else:
                self._tracks.pop(track.number, None)
                self._seen_at.pop(track.number, None)
        size = np.array([width, height, width, height], float)
        boxes = [
            self._object_box(track, box / size, frame)
            for track in self._tracks.values()
            if self._is_in_sight(track, frame) and (box := track.present_box) is not None and _is_inside(box / size)
        ]
        self._tracks = {number: track for number, track in self._tracks.items() if not track.ended}
        return boxes

    def _is_in_sight(self, track: Track, frame: int) -> bool:
        last, _ = self._seen_at.get(track.number, (-1, 0.0))
        if track.last[0] != last:
            self._seen_at[track.number] = track.last[0], self._clock()
        last, at = self._seen_at[track.number]
        return frame - last <= KEPT_FRAMES or self._clock() - at <= KEPT_SECONDS

    def _object_box(self, track: Track, box: np.ndarray, frame: int) -> ObjectBox:
        (event,) = events_from_tracks([track], self._run)
        x0, y0, x1, y1 = (round(float(value), 4) for value in np.clip(box, 0.0, 1.0))
        name = event.display_name
        return ObjectBox(event.id, name, plain_name(name), (x0, y0, x1, y1), track.last[0] == frame)


def _is_inside(box: np.ndarray) -> bool:
    """Return whether a box, in shares of the frame, has its centre in the frame."""
    centre = (box[:2] + box[2:]) / 2
    return bool((centre > 0).all() and (centre < 1).all())
