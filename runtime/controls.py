"""What a person may change while a run goes on."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable

from .detect import Detector
from .keeper import Keeper

IDLE_SECONDS = 0.1


class Controls:
    """The handles of a run, for the live view; any thread may turn them.

    Args:
        detector: whose threshold can be changed.
        keeper: writes the frame that is to be kept.
        stack: takes the number of frames to stack, where the run stacks; None where it does not.
        stacked: how many it stacks now.
    """

    def __init__(
        self, detector: Detector, keeper: Keeper, stack: Callable[[int], None] | None = None, stacked: int = 1
    ) -> None:
        self._detector, self._keeper, self._stack = detector, keeper, stack
        self._stacked = stacked
        self._go = threading.Event()
        self._go.set()

    @property
    def paused(self) -> bool:
        """Whether the loop stands still."""
        return not self._go.is_set()

    @paused.setter
    def paused(self, wanted: bool) -> None:
        if wanted:
            self._go.clear()
        else:
            self._go.set()

    @property
    def min_score(self) -> float:
        """Detections below it are dropped, 0..1."""
        return float(self._detector.min_score)

    @min_score.setter
    def min_score(self, wanted: float) -> None:
        self._detector.min_score = wanted

    @property
    def stack(self) -> int | None:
        """Frames that are stacked; None where the run does not stack."""
        return self._stacked if self._stack else None

    @stack.setter
    def stack(self, wanted: int) -> None:
        if self._stack:
            self._stack(wanted)
            self._stacked = wanted

    def save_frame(self) -> str | None:
        """Ask for the next frame to be kept; return its name in the output folder, or None where the disk is full."""
        if self._keeper.stopped:
            return None
        if self._keeper.wanted is None:
            now = datetime.datetime.now(datetime.UTC)
            self._keeper.want(f"saved/{now:%Y%m%dT%H%M%S}{now.microsecond // 1000:03d}Z.png")
        return self._keeper.wanted

    def hold(self, stop: Callable[[], bool], meanwhile: Callable[[], None] = lambda: None) -> bool:
        """Wait while the run is paused; return what `stop` says then. Called by the loop once a frame.

        Args:
            meanwhile: called again and again while it waits, e.g. to tell a watchdog that this is no fault.
        """
        while not (wish := stop()) and not self._go.wait(IDLE_SECONDS):
            meanwhile()
        return wish
