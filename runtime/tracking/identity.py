"""One event for an object: tracks that end and come back are joined.

The object's id is found from its position on the sky, so that this works across slews and meridian flips, and for
images that do not follow from each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from .track import Track

if TYPE_CHECKING:
    from ...sky.position import SkyPosition

MAX_OBJECTS = 1000
"""Objects that a run remembers; the one confirmed longest ago is forgotten first, and gets a new event later."""


class ObjectIdentity:
    """The last track of each object in a run.

    Args:
        identify: returns the id of the object at a position, see `events.objects`.
    """

    def __init__(self, identify: Callable[[SkyPosition], str]) -> None:
        self._identify = identify
        self._tracks: dict[str, Track] = {}
        self._reported: list[Track] = []

    def update(self, track: Track) -> None:
        """Give a confirmed track the id of its object, after its position has changed.

        The id stays unless the track turns out to be a catalogued object, or another one.
        """
        sky = track.sky
        if sky is None or not sky.is_known or sky.object_id:
            return
        known = self._id_of(track)
        if known is None or sky.object_name:
            known = self._identify(sky)
        track.sky = replace(sky, object_id=known)

    def resume(self, track: Track, update: int) -> Track | None:
        """Let a track that was just confirmed continue the earlier track of its object.

        Args:
            track: a track with its first position.
            update: number of the present frame; two tracks that are seen in it are not joined.

        Returns:
            The earlier track, which has ended; None if there was none.
        """
        self.update(track)
        if track.sky is None or track.sky.object_id is None:
            return None
        earlier = self._tracks.pop(track.sky.object_id, None)
        is_seen_too = earlier is not None and earlier.latest is not None and earlier.latest.update == update
        self._tracks[track.sky.object_id] = track
        while len(self._tracks) > MAX_OBJECTS:
            del self._tracks[next(iter(self._tracks))]
        if earlier is None or earlier is track or is_seen_too:
            return None
        track.resume(earlier)
        earlier.end()
        return earlier

    def drop_cutouts(self) -> None:
        """Forget the pixels of tracks that had ended when they were last reported."""
        for track in self._reported:
            if track.ended:
                track.drop_cutout()
        self._reported = [track for track in self._tracks.values() if track.ended and track.cutout.size]

    def _id_of(self, track: Track) -> str | None:
        return next((object_id for object_id, other in self._tracks.items() if other is track), None)
