"""Warn when a run exceeds the memory or temperature of its device profile."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from ...devices.probe import temperature
from ...devices.profile import Profile
from ...models.images.memory import resident_bytes
from ..events.frame_record import FrameRecord
from ..frame import Detections, Frame
from ..tracking.track import Track

CHECK_SECONDS = 5.0
MARGIN = 5.0
"""Degrees below the limit at which the processor has cooled down, so that a new warning can follow."""

logger = logging.getLogger(__name__)


class DeviceLimits:
    """A sink that compares the process and the processor with a profile's limits.

    Nothing is slowed down: a hot processor does that by itself, and frames that a camera delivers meanwhile are
    dropped. One line says why.

    Args:
        profile: of the device; limits of 0 are not checked.
        root: folder that contains ``sys``.
        clock: returns monotonic seconds.
        memory: returns the resident memory of this process in bytes.
    """

    def __init__(
        self, profile: Profile, root: Path = Path("/"), clock: Callable[[], float] = time.monotonic,
        memory: Callable[[], int] = resident_bytes,
    ) -> None:  # fmt: skip
        self._profile, self._root, self._clock, self._memory = profile, root, clock, memory
        self._next = clock()
        self._is_hot = self._is_large = False

    def frame(self, frame: Frame, detections: Detections, record: FrameRecord) -> None:
        """Check the limits, every `CHECK_SECONDS` at most."""
        if self._clock() >= self._next:
            self._next = self._clock() + CHECK_SECONDS
            self._check_temperature()
            self._check_memory()

    def events(self, changed: list[Track]) -> None:
        """Do nothing."""

    def close(self, frames: int, bad: int) -> None:
        """Do nothing."""

    def _check_temperature(self) -> None:
        limit, degrees = self._profile.throttle, temperature(self._root) if self._profile.throttle else None
        if degrees is None:
            return
        if degrees >= limit and not self._is_hot:
            self._is_hot = True
            logger.warning(
                "the processor has %.0f degrees C, and %s slows down at %d: improve the cooling, or use fewer "
                "--threads",
                degrees, self._profile.name, limit,
            )  # fmt: skip
        elif degrees <= limit - MARGIN and self._is_hot:
            self._is_hot = False
            logger.info("the processor has cooled down to %.0f degrees C", degrees)

    def _check_memory(self) -> None:
        limit = self._profile.memory
        used = self._memory() / 2**20 if limit and not self._is_large else 0
        if used > limit:
            self._is_large = True
            logger.warning(
                "the run uses %.0f MiB of memory, and the profile %s allows %d, above which a service is restarted: "
                "use smaller images, --tiles off, a smaller --stack, or a profile of your own",
                used, self._profile.name, limit,
            )  # fmt: skip
