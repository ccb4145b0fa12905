"""Track objects from frame to frame, one event per object.

The sky's motion (see `imaging.sky_motion`) predicts an object's next position. An object that keeps its position on
the sensor while the sky drifts is a hot pixel; one that moves across the sky is a plane or a satellite; neither
becomes an event.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..frame import Detections, Frame
from ..imaging.sky_motion import IDENTITY
from .association import Observation, associate
from .track import CONFIRMED, Track

if TYPE_CHECKING:
    from ...sky.position import SkyPosition
    from .identity import ObjectIdentity

MAX_MISSED_FRAMES = 5
"""Frames for which a tentative object may be unseen before it ends, or any object after the telescope left its
field."""
TRACK_LIFETIME = 300.0
"""Seconds of the frames' own time for which a confirmed object may be unseen."""
MIN_LIFETIME_FRAMES = 50
"""The same in frames: each counts for at most its share of `TRACK_LIFETIME`, even after a long exposure or a pause."""
MIN_FRAME_SECONDS = 0.01
"""Minimum time that a frame counts for, e.g. if a clock is set back or a video's times do not advance."""
CLOUD_TIME_FACTOR = 1 / 12
"""Factor of the time while no sky is visible, in a cloud or under a cover."""
MAX_UNSEEN_TRACKS = 200
"""Maximum number of unseen objects that are remembered; the one unseen for longest ends first."""
UPDATE_INTERVAL = 10.0
"""Seconds after which an object in sight is reported again, with nothing new but its last observation."""


class Tracker:
    """Joins detections of successive frames by their position on the sky.

    Args:
        continuous: whether frames follow from each other; if not, every detection is an object of its own.

    Attributes:
        count: galaxies that were confirmed.
        identity: joins tracks of one object that were apart, see `identity`; None while no position is known.
    """

    def __init__(self, continuous: bool) -> None:
        self.count = 0
        self._begun = 0
        self._updates = 0
        self._clock = 0.0  # seconds, as they count for the lifetime
        self._time: datetime.datetime | None = None
        self._alive: list[Track] = []
        self._field = self._field_began = 0
        self._continuous = continuous
        self.identity: ObjectIdentity | None = None
        self._duplicates: list[Track] = []  # events of this frame that earlier ones continue
        self._positions: Sequence[SkyPosition] = ()  # of the frame's detections on the sky; empty if unknown

    def update(
        self,
        frame: Frame,
        detections: Detections,
        sky: np.ndarray = IDENTITY,
        sky_seen: bool = True,
        star_field: int = 0,
        is_trailed: bool = False,
        positions: Sequence[SkyPosition] = (),
    ) -> list[Track]:
        """Add the classified detections of a frame in which something was searched.

        Args:
            frame: the frame.
            detections: all that was found in it, classified.
            sky: (3, 3) where the sky has moved to, see `imaging.sky_motion.SkyMotion.update`.
            sky_seen: whether any sky was visible in it.
            star_field: number of its star field, see `imaging.field_motion`: objects do not continue in another.
            is_trailed: whether its stars are trailed by a slew: no object begins then, and only events continue.
            positions: of the detections on the sky; empty if nothing is known of any.

        Returns:
            The tracks that changed: began, were confirmed, turned out to be something else, or ended. Also events with
            a better view or another class, and each in sight every `UPDATE_INTERVAL`.
        """
        # Many parameters because each is of the frame, and a type for them would be used here only.
        self._positions = positions
        if self.identity:
            self.identity.drop_cutouts()
        self._updates += 1
        if not self._continuous:
            return self._update_unrelated(frame, detections, sky)
        if star_field != self._field:
            self._field, self._field_began = star_field, self._updates
        self._advance_clock(frame.time, sky_seen or len(detections) > 0)
        changed = self._end_expired()
        elsewhere = self._take_elsewhere(star_field, is_trailed, sky)
        pairs = associate([_latest(track) for track in self._alive], detections.boxes, sky, self._updates)
        rows = {box: row for row, box in pairs}
        for index in range(len(detections)):
            if index not in rows:
                if not is_trailed:
                    changed.append(self._begin(frame, detections, index, sky))
                    self._alive.append(changed[-1])
                continue
            track = self._alive[rows[index]]
            if track.is_false_join(Observation(detections.boxes[index], sky, self._updates)):
                track.end()
                self._alive[rows[index]] = begun = self._begin(frame, detections, index, sky)
                changed += [track, begun]
            elif self._observe(track, frame, detections, index, sky):
                track.reported_at = self._clock
                changed.append(track)
        self._alive += elsewhere
        changed += self._duplicates
        self._duplicates = []
        return changed

    def move_times(self, seconds: float) -> list[Track]:
        """Move the times of all open objects by a clock step, and return the events.

        The machine's clock, which their times are of, was set.
        """
        for track in self._alive:
            track.move_times(seconds)
        return [track for track in self._alive if track.confirmed]

    def finish(self) -> list[Track]:
        """End every track that is still alive; return them."""
        ended, self._alive = [track for track in self._alive if not track.ended], []
        for track in ended:
            track.end()
        return ended

    def _update_unrelated(self, frame: Frame, detections: Detections, sky: np.ndarray) -> list[Track]:
        """Make an event of each detection of a frame that is unrelated to the last one.

        An object that is recognised by its position on the sky has one event.
        """
        self._alive = [self._begin(frame, detections, index, sky) for index in range(len(detections))]
        for track in self._alive:
            track.confirm()
            self.count += self._resumed(track) + track.is_galaxy
        return self.finish()

    def _resumed(self, track: Track) -> int:
        """Let a confirmed track continue its object's earlier one.

        Return the change of `count`: that one does not count any more.
        """
        earlier = self.identity.resume(track, self._updates) if self.identity else None
        return -int(earlier is not None and earlier.is_galaxy)

    def _joined(self, track: Track) -> int:
        """Let an event whose position came late continue its object's earlier one.

        Its own, which was reported, ends as a duplicate. Return the change of `count`.
        """
        duplicate = track.as_duplicate()
        change = self._resumed(track)
        if track.number != duplicate.number:
            self._duplicates.append(duplicate)
        return change

    def _take_elsewhere(self, star_field: int, only_events: bool, sky: np.ndarray) -> list[Track]:
        """Remove and return the tracks that a frame cannot continue.

        Those that have ended are dropped; the others learn where the sky is.
        """
        alive = [track for track in self._alive if not track.ended]
        for track in alive:
            track.sky_motion = sky if track.star_field == star_field else None
        here = [track.star_field == star_field and (track.confirmed or not only_events) for track in alive]
        self._alive = [track for track, is_here in zip(alive, here, strict=True) if is_here]
        return [track for track, is_here in zip(alive, here, strict=True) if not is_here]

    def _advance_clock(self, time: datetime.datetime, sky_seen: bool) -> None:
        """Advance the clock to a frame's time."""
        passed = 0.0 if self._time is None else (time - self._time).total_seconds()
        self._time = time
        counted = min(max(passed, MIN_FRAME_SECONDS), TRACK_LIFETIME / MIN_LIFETIME_FRAMES)
        self._clock += counted * (1.0 if sky_seen else CLOUD_TIME_FACTOR)

    def _end_expired(self) -> list[Track]:
        """End the tracks that were not seen for too long; return them."""
        kept: list[Track] = []
        expired: list[Track] = []
        for track in self._alive:
            if track.ended:  # continued by another
                continue
            missed = self._updates - _latest(track).update
            is_over = self._clock - track.seen_at > TRACK_LIFETIME if track.confirmed else missed > MAX_MISSED_FRAMES
            if track.star_field != self._field:
                is_over = self._updates - self._field_began > MAX_MISSED_FRAMES
            (expired if is_over else kept).append(track)
        unseen = [track for track in kept if _latest(track).update < self._updates - 1]
        expired += sorted(unseen, key=lambda track: _latest(track).update)[:-MAX_UNSEEN_TRACKS]
        for track in expired:
            track.end()
        return expired

    def _begin(self, frame: Frame, detections: Detections, index: int, sky: np.ndarray) -> Track:
        self._begun += 1
        observation = Observation(detections.boxes[index], sky, self._updates)
        position = self._positions[index] if self._positions else None
        return Track.begin(self._begun, frame, detections, index, observation, self._clock, self._field, position)

    def _observe(self, track: Track, frame: Frame, detections: Detections, index: int, sky: np.ndarray) -> bool:
        """Add an observation to a track; return whether the change is worth reporting."""
        state, kind, appearance, counted = track.state, track.reported_kind, track.appearance, track.is_galaxy
        was_identified = track.is_identified
        position = self._positions[index] if self._positions else None
        track.add_observation(frame, detections, index, sky, self._updates, self._clock, position)
        track.classify_motion()
        if track.confirmed and self.identity:
            self.identity.update(track)
            if state != CONFIRMED:
                self.count += self._resumed(track)
            elif track.is_identified and not was_identified:
                self.count += self._joined(track)
        # It may have been taken for a galaxy while the sky had hardly moved, or its position was not known.
        self.count += track.is_galaxy - counted
        is_news = track.appearance != appearance or self._clock - track.reported_at >= UPDATE_INTERVAL
        return (track.state, track.reported_kind) != (state, kind) or (track.confirmed and is_news)


def _latest(track: Track) -> Observation:
    assert track.latest is not None
    return track.latest
