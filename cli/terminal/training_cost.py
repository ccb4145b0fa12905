"""Measure how long a training will take and how much memory it uses."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

WARM_UP_STEPS = 2
"""First steps that are not measured, because TensorFlow builds its graph in them."""
MIN_STEPS, MIN_SECONDS = 5, 3.0
"""Steps and seconds that are measured at least before an estimate is given."""


class TrainingCost:
    """Estimates the time that is left from the steps that were made.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen, self._first, self._done, self._total = 0, 0, 0, 0
        self._started, self._said = 0.0, False

    def update(self, done: int, total: int) -> None:
        """Take the number of steps that are done, of a total.

        A resumed run begins with some.
        """
        self._seen += 1
        if self._seen <= WARM_UP_STEPS:
            self._first, self._started = done, self._clock()
        self._done, self._total = done, total

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the last step; None if too few were made to know."""
        elapsed, made = self._clock() - self._started, self._done - self._first
        if self._seen <= WARM_UP_STEPS or made < MIN_STEPS or elapsed < MIN_SECONDS:
            return None
        return elapsed / made * (self._total - self._done)

    def forecast(self, epochs: int) -> str | None:
        """Return the expected time and memory in words, once, as soon as enough is known."""
        if self._said or (left := self.seconds_left) is None:
            return None
        self._said = True
        memory = peak_memory()
        used = f"; memory used so far: {memory / 2**30:.1f} GiB, expect up to half as much again" if memory else ""
        return (
            f"expected: about {duration(left)} for {epochs} {'epoch' if epochs == 1 else 'epochs'}, measured over the "
            f"first {self._done - self._first} steps (other programs and the evaluations add to it){used}"
        )


def peak_memory() -> int | None:
    """Return the largest resident memory of this process in bytes.

    None where the system does not report it.
    """
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return None
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else size * 1024


def duration(seconds: float) -> str:
    """Return a rounded duration: ``40 seconds``, ``12 minutes``, ``3.5 hours``."""
    if seconds < 90:
        return f"{max(1, round(seconds))} seconds"
    return f"{round(seconds / 60)} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def numbers_text(state: dict[str, Any]) -> str:
    """Return the figures of a progress state: ``loss 0.5213  macro_f1 0.6100``."""
    return "  ".join(f"{key} {value:.4f}" for key, value in state.items() if isinstance(value, float))
