"""One event an object: follow detections from frame to frame and fuse what the classifier said of them.

The sky's own motion (see `motion`) says where an object must be next. What keeps its place on the sensor while the sky
drifts is a hot pixel; what runs across the sky is a plane or a satellite; neither becomes an event.
"""

from __future__ import annotations

import datetime

import numpy as np

from ..frame import Detections, Frame
from ..imaging.sky_motion import IDENTITY
from ..system.utc_time import utc_text
from .association import Observation, associate, cut, is_fixed_on_sensor, is_streak, moves_across_sky
from .track import Track

MIN_CONFIRMATIONS = 3
"""Sightings that follow the sky before a tentative object is one."""
MAX_MISSED_FRAMES = 5
"""Frames that a tentative object may be unseen before it has ended."""
TRACK_LIFETIME = 300.0
"""Seconds of the frames' own time that a confirmed one may be."""
LEAST_FRAMES = 50
"""The same in frames: each counts for at most its share of `TRACK_LIFETIME`, after a long exposure or a pause too."""
LEAST_SECONDS = 0.01
"""What a frame counts for at least, where a clock is set back or a video's times stand still."""
CLOUD_TIME_FACTOR = 1 / 12
"""What time counts for while no sky is to be seen, in a cloud or under a cover."""
MOST_UNSEEN = 200
"""Objects that are remembered; the one that was not seen for longest ends first."""
UPDATE_INTERVAL = 10.0
"""Seconds after which an object in sight is told of again, with nothing new but its last sighting."""


class Tracker:
    """Joins detections of successive frames by their place on the sky.

    Args:
        continuous: whether frames follow from each other; if not, every detection is an object of its own.

    Attributes:
        count: objects that were confirmed.
    """

    def __init__(self, continuous: bool) -> None:
        self.count = 0
        self._begun = 0
        self._updates = 0
        self._clock = 0.0  # seconds, as they count for the memory
        self._time: datetime.datetime | None = None
        self._alive: list[Track] = []
        self._continuous = continuous

    def update(self, frame: Frame, named: Detections, sky: np.ndarray = IDENTITY, sky_seen: bool = True) -> list[Track]:
        """Take a frame's classified detections; a frame that was not searched is none to be given.

        Args:
            sky: (3, 3) where the sky has moved to, see `motion.SkyMotion.update`.
            sky_seen: whether there was sky to be seen in it.

        Returns:
            The tracks that changed: began, were confirmed, turned out to be something else, or ended. Of those that
            are confirmed and in sight also what has a better view or another class, and each every `UPDATE_INTERVAL`.
        """
        if not self._continuous:
            self._alive = [self._begin(frame, named, index, sky) for index in range(len(named))]
            for track in self._alive:
                self._confirm(track)
            return self.finish()
        self._updates += 1
        self._advance(frame.time, sky_seen or len(named) > 0)
        changed = self._over()
        for track in changed:
            track.state = "ended"
        self._alive = [track for track in self._alive if not track.ended]
        pairs = associate([track._places[-1] for track in self._alive], named.boxes, sky, self._updates)
        known = {index: row for row, index in pairs}
        for index in range(len(named)):
            one = self._alive[known[index]] if index in known else None
            if one is None:
                changed.append(self._begin(frame, named, index, sky))
                self._alive.append(changed[-1])
            elif one.is_false_join(Observation(named.boxes[index], sky, self._updates)):
                one.state = "ended"
                self._alive[known[index]] = self._begin(frame, named, index, sky)
                changed += [one, self._alive[known[index]]]
            elif self._sight(one, frame, named, index, sky):
                one._told_at = self._clock
                changed.append(one)
        return changed

    def finish(self) -> list[Track]:
        """End every track that is still alive; return them."""
        ended, self._alive = self._alive, []
        for track in ended:
            track.state = "ended"
        return ended

    def _advance(self, time: datetime.datetime, seen: bool) -> None:
        """Let the clock go on to a frame's time."""
        passed = 0.0 if self._time is None else (time - self._time).total_seconds()
        self._time = time
        self._clock += min(max(passed, LEAST_SECONDS), TRACK_LIFETIME / LEAST_FRAMES) * (
            1.0 if seen else CLOUD_TIME_FACTOR
        )

    def _over(self) -> list[Track]:
        """Find what was not seen for too long."""
        kept: list[Track] = []
        over: list[Track] = []
        for track in self._alive:
            unseen = self._updates - track._places[-1].update
            is_over = self._clock - track._seen_at > TRACK_LIFETIME if track.confirmed else unseen > MAX_MISSED_FRAMES
            (over if is_over else kept).append(track)
        remembered = [track for track in kept if track._places[-1].update < self._updates - 1]
        return over + sorted(remembered, key=lambda track: track._places[-1].update)[:-MOST_UNSEEN]

    def _confirm(self, track: Track) -> None:
        self.count += 1
        track.state, track.confirmed = "confirmed", True

    def _begin(self, frame: Frame, named: Detections, index: int, sky: np.ndarray) -> Track:
        self._begun += 1
        assert named.probabilities is not None
        when, box = (frame.number, utc_text(frame.time)), named.boxes[index]
        place = Observation(box, sky, self._updates)
        return Track(
            self._begun,
            when,
            when,
            frame.source,
            box,
            float(named.scores[index]),
            frame.number,
            cut(frame.pixels, box),
            named.probabilities[index].astype(np.float64),
            deep=_deep(frame, box),
            _places=[place, place],
            _seen_at=self._clock,
            _told_at=self._clock,
        )

    def _sight(self, track: Track, frame: Frame, named: Detections, index: int, sky: np.ndarray) -> bool:
        """Add a sighting; tell whether it is worth telling."""
        assert named.probabilities is not None
        was, looked, box = (track.state, track.kind), _look(track), named.boxes[index]
        place = track._places[-1].then(box, sky, self._updates)
        if moves_across_sky(track._places[-1], place):
            track._runs += 1
        else:
            track._follows += 1
        track._places[-1], track._seen_at = place, self._clock
        track.last = (frame.number, utc_text(frame.time))
        track.frames += 1
        track.seen = track.seen + named.probabilities[index]
        if float(named.scores[index]) > track.score:
            track.box, track.score, track.best_frame = box, float(named.scores[index]), frame.number
            track.source = frame.source
            track.cutout, track.deep = cut(frame.pixels, box), _deep(frame, box)
        self._judge(track)
        news = _look(track) != looked or self._clock - track._told_at >= UPDATE_INTERVAL
        return (track.state, track.kind) != was or (track.confirmed and news)

    def _judge(self, track: Track) -> None:
        """Tell objects from trails and hot pixels; confirm what has followed the sky for long enough."""
        if is_fixed_on_sensor(*track._places):
            if track.kind == "object" and track.confirmed:
                self.count -= 1  # it was taken for one while the sky had hardly moved
            track.kind = "hot pixel"
        elif not track.confirmed:
            ran = track._runs >= max(2, track._follows - 1) or (track._runs and is_streak(track.cutout))
            track.kind = "trail" if ran else "object"
            if track.kind == "object" and track._follows >= MIN_CONFIRMATIONS:
                self._confirm(track)


def _look(track: Track) -> tuple[int, int]:
    """Tell a track's best view and its class."""
    return track.best_frame, int(track.seen.argmax())


def _deep(frame: Frame, box: np.ndarray) -> np.ndarray | None:
    return None if frame.raw is None else cut(frame.raw, box)
