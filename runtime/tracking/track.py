"""One object, tracked over frames."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from ..frame import Detections, Frame
from ..system.utc_time import move_utc_text, utc_text
from .association import CropView, Observation, crop_view, cut_out, is_fixed_on_sensor, is_streak, moves_across_sky

if TYPE_CHECKING:
    from ...sky.position import SkyPosition

MIN_CONFIRMATIONS = 3
"""Observations in line with the sky's motion after which a tentative object is confirmed."""

OBJECT, TRAIL, HOT_PIXEL, DUPLICATE = "object", "trail", "hot pixel", "duplicate"
TENTATIVE, CONFIRMED, ENDED = "tentative", "confirmed", "ended"


@dataclass(eq=False)
class Track:
    """One object over its frames.

    Attributes:
        number: counts from 1 within a run, tentative objects included.
        first, last: (frame number, UTC time as ISO 8601) of its first and last observation.
        source: where its best view is from.
        box, score: its best view: (4,) box in pixels of the source's own frame, score 0..1.
        best_frame: number of that frame.
        cutout: (H, W, 3) uint8 RGB, the best view with some sky around it.
        seen: (C,) sum of its class probabilities over its frames.
        frames: number of observations.
        state: ``tentative``, ``confirmed`` (it is an event) or ``ended`` (it will not change any more).
        confirmed: whether it ever was an event; a tentative one may end without.
        kind: ``object``, ``trail`` (plane, satellite) or ``hot pixel``; only an object is confirmed, but a confirmed
            one may turn out to be a hot pixel when the sky has drifted on, or a ``duplicate`` of an earlier event
            when its position becomes known.
        cfa: Bayer pattern of `raw_cutout`, where that is a mosaic.
        raw_cutout: (H, W) or (H, W, 3) uint16 or float32, the cutout as the source delivered it, where that has more
            than 8 bits.
        start, latest: its first and its last observation; None only in tracks that no tracker made.
        star_field: number of its star field.
        view: where and when the best view was taken; None only in tracks that no tracker made.
        sky: where its best view is on the sky, and which object it is; None if nothing is known.
        sky_motion: (3, 3) where the sky is in the latest frame; None while another star field is in view.
        seen_at, reported_at: time of the tracker's clock, in seconds, at which it was last seen and last reported.
    """

    number: int
    first: tuple[int, str]
    last: tuple[int, str]
    source: str
    box: np.ndarray
    score: float
    best_frame: int
    cutout: np.ndarray
    seen: np.ndarray
    frames: int = 1
    state: str = TENTATIVE
    confirmed: bool = False
    kind: str = OBJECT
    raw_cutout: np.ndarray | None = None
    cfa: str | None = None
    start: Observation | None = None
    latest: Observation | None = None
    seen_at: float = 0.0
    reported_at: float = 0.0
    star_field: int = 0
    sky: SkyPosition | None = None
    sky_motion: np.ndarray | None = None
    view: CropView | None = None
    _with_sky: int = field(default=1, repr=False)  # observations where the sky's motion took it
    _across_sky: int = field(default=0, repr=False)  # observations elsewhere

    @classmethod
    def begin(
        cls,
        number: int,
        frame: Frame,
        detections: Detections,
        index: int,
        observation: Observation,
        clock: float,
        star_field: int = 0,
        position: SkyPosition | None = None,
    ) -> Track:
        """Start a track with detection `index` of a frame."""
        assert detections.probabilities is not None
        moment, box = (frame.number, utc_text(frame.time)), observation.box
        return cls(
            number,
            moment,
            moment,
            frame.source,
            frame.source_boxes(box),
            float(detections.scores[index]),
            frame.number,
            cut_out(frame.pixels, box),
            detections.probabilities[index].astype(np.float64),
            raw_cutout=_raw_cutout(frame, box),
            cfa=frame.cfa,
            start=observation,
            latest=observation,
            seen_at=clock,
            reported_at=clock,
            star_field=star_field,
            sky=position,
            sky_motion=observation.sky,
            view=crop_view(frame, box),
        )

    @property
    def ended(self) -> bool:
        """Whether it has ended, so that it will not change any more."""
        return self.state == ENDED

    @property
    def probabilities(self) -> np.ndarray:
        """(C,) class probabilities, the mean over its frames."""
        mean: np.ndarray = self.seen / self.frames
        return mean

    @property
    def present_box(self) -> np.ndarray | None:
        """(4,) box in pixels of the latest frame, where the sky's motion took it.

        None while another star field is in view.
        """
        if self.latest is None or self.sky_motion is None:
            return None
        shifted: np.ndarray = self.latest.box + np.tile(
            self.latest.predicted_position(self.sky_motion) - self.latest.centre, 2
        )
        return shifted

    @property
    def is_identified(self) -> bool:
        """Whether it is known which object of the sky it is."""
        return self.sky is not None and self.sky.object_id is not None

    @property
    def appearance(self) -> tuple[int, int, str | None]:
        """Number of the best frame, index of the best class, id of the object."""
        return self.best_frame, int(self.seen.argmax()), self.sky.object_id if self.sky else None

    @property
    def reported_kind(self) -> str:
        """Kind for reports: that of the catalogue for an object that is not a galaxy."""
        if self.kind == OBJECT and self.sky and self.sky.object_kind and not self.sky.is_galaxy:
            return self.sky.object_kind
        return self.kind

    @property
    def is_galaxy(self) -> bool:
        """Whether it counts among the run's galaxies."""
        return self.confirmed and self.reported_kind == OBJECT

    def move_times(self, seconds: float) -> None:
        """Move the times of the track's observations; their frames stay."""
        (first, began), (last, seen) = self.first, self.last
        self.first, self.last = (first, move_utc_text(began, seconds)), (last, move_utc_text(seen, seconds))

    def end(self) -> None:
        """Mark it as ended."""
        self.state = ENDED

    def confirm(self) -> None:
        """Confirm the track, which makes it an event."""
        self.state, self.confirmed = CONFIRMED, True

    def is_false_join(self, observation: Observation) -> bool:
        """Return whether its two observations are of two objects.

        This is so if it moved to a position, and now stays there.
        """
        assert self.latest is not None
        joined = self._across_sky == 1 and self._with_sky == 1
        return joined and not moves_across_sky(self.latest, observation)

    def add_observation(
        self,
        frame: Frame,
        detections: Detections,
        index: int,
        sky: np.ndarray,
        update: int,
        clock: float,
        position: SkyPosition | None = None,
    ) -> None:
        """Add detection `index` of a frame: position, class probabilities, best view.

        The view is added if the detection has the best score.

        Args:
            frame: the frame.
            detections: all that was found in it, classified.
            index: which of these detections is of this object.
            sky: (3, 3) where the sky was in the frame.
            update: number of the frame among those that were tracked.
            clock: time of the tracker's clock in seconds.
            position: of the detection on the sky; None if nothing is known.
        """
        # Many parameters because each is of the frame, and a type for them would be used here only.
        assert detections.probabilities is not None and self.latest is not None
        box, score = detections.boxes[index], float(detections.scores[index])
        observation = self.latest.then(box, sky, update)
        if moves_across_sky(self.latest, observation):
            self._across_sky += 1
        else:
            self._with_sky += 1
        self.latest, self.seen_at = observation, clock
        self.last = (frame.number, utc_text(frame.time))
        self.frames += 1
        self.seen = self.seen + detections.probabilities[index]
        was_known = self.sky is not None and self.sky.is_known
        if position and ((position.is_known and score > self.score) or not was_known):
            self.sky = position
        if score > self.score:
            self.box, self.score = frame.source_boxes(box), score
            self.best_frame, self.source, self.cfa = frame.number, frame.source, frame.cfa
            self.cutout, self.raw_cutout = cut_out(frame.pixels, box), _raw_cutout(frame, box)
            self.view = crop_view(frame, box)

    def resume(self, earlier: Track) -> None:
        """Continue an earlier track of the same object, which the telescope had left.

        This track takes its number, its first observation and its best view if that is better; where the cutout of
        that view is no longer held, the stored crop stays.
        """
        self.number, self.first = earlier.number, earlier.first
        self.frames += earlier.frames
        self.seen = self.seen + earlier.seen
        if earlier.score >= self.score:
            for name in ("source", "box", "score", "best_frame", "cutout", "raw_cutout", "cfa", "sky"):
                setattr(self, name, getattr(earlier, name))

    def as_duplicate(self) -> Track:
        """Return an ended copy, for the event that another one continues."""
        duplicate = replace(self, kind=DUPLICATE)
        duplicate.end()
        return duplicate

    def drop_cutout(self) -> None:
        """Forget the pixels of the best view, which were reported."""
        self.cutout, self.raw_cutout = np.zeros((0, 0, 3), np.uint8), None

    def classify_motion(self) -> None:
        """Distinguish objects from trails and hot pixels.

        Confirm what has moved with the sky for long enough.

        An object that keeps its position on the sensor while the sky drifts is a hot pixel; one that moves across the
        sky is a trail.
        """
        assert self.start is not None and self.latest is not None
        if is_fixed_on_sensor(self.start, self.latest):
            self.kind = HOT_PIXEL
        elif not self.confirmed:
            across = self._across_sky
            is_trail = across >= max(2, self._with_sky - 1) or (across and is_streak(self.cutout))
            self.kind = TRAIL if is_trail else OBJECT
            if self.kind == OBJECT and self._with_sky >= MIN_CONFIRMATIONS:
                self.confirm()


def _raw_cutout(frame: Frame, box: np.ndarray) -> np.ndarray | None:
    return None if frame.raw is None else cut_out(frame.raw, box, frame.raw_binning)
