"""One object followed over frames."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .association import Observation, moves_across_sky


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
        deep: (H, W) or (H, W, 3) uint16 or float32, the same as the source gave it, where that is more than 8 bits.
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
    deep: np.ndarray | None = None
    _places: list[Observation] = field(default_factory=list)  # the first and the last
    _seen_at: float = 0.0  # by the tracker's clock
    _told_at: float = 0.0
    _follows: int = 1  # sightings where the sky took it
    _runs: int = 0  # sightings elsewhere

    @property
    def ended(self) -> bool:
        """Whether it is over, so that nothing of it will change."""
        return self.state == "ended"

    @property
    def probabilities(self) -> np.ndarray:
        """(C,) class probabilities, the mean over its frames."""
        return self.seen / self.frames

    def is_false_join(self, now: Observation) -> bool:
        """Tell whether it was joined from two objects: what ran to a place and stays there had never been elsewhere."""
        return self._runs == 1 and self._follows == 1 and not moves_across_sky(self._places[-1], now)
