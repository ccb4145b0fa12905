"""One event an object: follow detections from frame to frame and fuse what the classifier said of them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..models.decode import iou_matrix
from .frame import Detections, Frame


@dataclass
class Track:
    """One object over its frames.

    Attributes:
        number: counts from 1 within a run, tentative ones included.
        state: ``tentative``, ``confirmed`` (it is an event) or ``ended`` (nothing of it will change).
        confirmed: whether it ever was an event; a tentative one may end without.
        kind: ``object``, ``trail`` (plane, satellite) or ``hot pixel``; only an object is confirmed, but a confirmed
            one may turn out to be a hot pixel when the sky has drifted on.
        first, last: (frame number, UTC time as ISO 8601) of its first and last sighting.
        source: where its best view is from.
        box, score: its best view: (4,) box in pixels of that frame, score 0..1.
        best_frame: number of that frame.
        cutout: (H, W, 3) uint8 RGB, the best view with some sky around it.
        seen: (C,) sum of its class probabilities over its frames.
        frames: number of sightings.
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
    state: str = "tentative"
    confirmed: bool = False
    kind: str = "object"
    _position: np.ndarray = field(default_factory=lambda: np.zeros(4, np.float32))

    @property
    def ended(self) -> bool:
        """Whether it is over, so that nothing of it will change."""
        return self.state == "ended"

    @property
    def probabilities(self) -> np.ndarray:
        """(C,) class probabilities, the mean over its frames."""
        return self.seen / self.frames


class Tracker:
    """Joins detections of successive frames by overlap.

    Args:
        continuous: whether frames follow from each other; if not, every detection is an object of its own.
        min_iou: overlap with the last position that makes it the same object.
        patience: frames an object may be unseen before it has ended.
    """

    def __init__(self, continuous: bool, min_iou: float = 0.3, patience: int = 5) -> None:
        self.count = 0
        self._alive: list[Track] = []
        self._continuous = continuous
        self._min_iou = min_iou
        self._patience = patience

    def update(self, frame: Frame, named: Detections) -> list[Track]:
        """Take a frame's classified detections; return the tracks that began or ended with it."""
        assert named.probabilities is not None
        if not self._continuous:
            self._alive = [self._begin(frame, named, index) for index in range(len(named))]
            return self.finish()
        alive = [track for track in self._alive if frame.number - track.last[0] <= self._patience]
        changed = [track for track in self._alive if frame.number - track.last[0] > self._patience]
        for track in changed:
            track.state = "ended"
        pairs: dict[int, Track] = {}
        if alive and len(named):
            overlap = iou_matrix(named.boxes, np.stack([track._position for track in alive]))
            for _ in range(min(overlap.shape)):
                row, column = np.unravel_index(int(overlap.argmax()), overlap.shape)
                if overlap[row, column] < self._min_iou:
                    break
                pairs[int(row)] = alive[int(column)]
                overlap[row, :] = -1
                overlap[:, column] = -1
        for index in range(len(named)):
            known = pairs.get(index)
            if known is None:
                known = self._begin(frame, named, index)
                alive.append(known)
                changed.append(known)
            else:
                self._sight(known, frame, named, index)
        self._alive = alive
        return changed

    def finish(self) -> list[Track]:
        """End every track that is still alive; return them."""
        ended, self._alive = self._alive, []
        for track in ended:
            track.state = "ended"
        return ended

    def _begin(self, frame: Frame, named: Detections, index: int) -> Track:
        self.count += 1
        assert named.probabilities is not None
        when = (frame.number, iso_time(frame))
        return Track(
            self.count, when, when, frame.source, named.boxes[index], float(named.scores[index]), frame.number,
            _cutout(frame.pixels, named.boxes[index]), named.probabilities[index].astype(np.float64),
            state="confirmed", confirmed=True, _position=named.boxes[index],
        )

    def _sight(self, track: Track, frame: Frame, named: Detections, index: int) -> None:
        assert named.probabilities is not None
        track.last = (frame.number, iso_time(frame))
        track.frames += 1
        track.seen = track.seen + named.probabilities[index]
        track._position = named.boxes[index]
        if float(named.scores[index]) > track.score:
            track.box, track.score, track.best_frame = named.boxes[index], float(named.scores[index]), frame.number
            track.source = frame.source
            track.cutout = _cutout(frame.pixels, named.boxes[index])


def iso_time(frame: Frame) -> str:
    """Write a frame's time as ISO 8601 UTC with milliseconds."""
    return frame.time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _cutout(pixels: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Copy a box with a fifth of its longer side around it, as far as the frame goes."""
    x0, y0, x1, y1 = (float(value) for value in box)
    around = 0.2 * max(x1 - x0, y1 - y0)
    top, left = max(0, int(y0 - around)), max(0, int(x0 - around))
    return pixels[top : max(top + 1, int(y1 + around)), left : max(left + 1, int(x1 + around))].copy()
