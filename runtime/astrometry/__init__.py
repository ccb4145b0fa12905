"""Where the frames of a run are on the sky, if anything may be known of it.

Solving needs modules that most runs do not: they are imported with the first frame that has a header or comes from a
camera.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..frame import NO_HINTS, NO_POSITION, OFF, Frame

if TYPE_CHECKING:
    import numpy as np

    from ...sky.solution import Solution
    from ..run_config import SkyConfig
    from ..system.stop_deadline import StopDeadline
    from .positioner import SkyPositioner


def frame_positions(config: SkyConfig, is_live: bool, is_continuous: bool, deadline: StopDeadline) -> FramePositions:
    """Return what gives the frames of a run their positions.

    Args:
        config: how they are found.
        is_live: whether frames come from a camera: then they do not wait for a solve.
        is_continuous: whether successive frames show the same field.
        deadline: once it is set, no frame waits any more.
    """

    def make() -> SkyPositioner:
        from ...sky.hints import RADIUS, Hints
        from .positioner import PositionerOptions, SkyPositioner

        hints = Hints(config.ra, config.dec, config.radius or RADIUS, config.scale)
        options = PositionerOptions(hints, config.interval, not is_live, is_continuous, config.solve)
        return SkyPositioner(options, lambda: not deadline.is_set)

    return FramePositions(make, config.solve and (is_live or config.has_hints), "" if config.solve else OFF)


class FramePositions:
    """Positions of the frames of a run.

    Args:
        make: makes the positioner.
        is_hopeful: whether a frame without a header may be solved too.
        why_not: why frames without a WCS in their header are not solved, if so.
    """

    def __init__(self, make: Callable[[], SkyPositioner], is_hopeful: bool, why_not: str = "") -> None:
        self._why_not = why_not or NO_HINTS
        self._make = make
        self._is_hopeful = is_hopeful
        self._positioner: SkyPositioner | None = None

    def locate(self, frame: Frame, sky: np.ndarray, sky_seen: bool, star_field: int) -> tuple[Solution | None, str]:
        """Return the position of a frame, and why there is none.

        Arguments as in `positioner.SkyPositioner.locate`.
        """
        if self._positioner is None:
            if not (self._is_hopeful or frame.header):
                return None, f"{NO_POSITION}: {self._why_not}"
            self._positioner = self._make()
        return self._positioner.locate(frame, sky, sky_seen, star_field)

    def close(self) -> None:
        """End a solve that runs."""
        if self._positioner is not None:
            self._positioner.close()
