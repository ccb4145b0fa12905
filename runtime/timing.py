"""Where the time of a frame goes: one list of milliseconds a stage, and the table made of it."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

STAGES = ("read", "preprocess", "detect", "decode", "classify", "track", "write")


class StageClock:
    """Adds up the time spent in each stage of a frame; always on, two clock readings a stage."""

    def __init__(self) -> None:
        self._spent: dict[str, list[float]] = {stage: [] for stage in STAGES}
        self._frame: dict[str, float] = {}
        self.started = time.perf_counter()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a part of the current frame's work; a stage entered twice in a frame adds up."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self._frame[name] = self._frame.get(name, 0.0) + (time.perf_counter() - begin) * 1e3

    @property
    def frame_ms(self) -> dict[str, float]:
        """Milliseconds spent on the current frame so far, by stage."""
        return {stage: round(self._frame[stage], 3) for stage in STAGES if stage in self._frame}

    def end_frame(self) -> None:
        """Close the current frame's account."""
        for name, spent in self._frame.items():
            self._spent[name].append(spent)
        self._frame = {}

    def table(self) -> dict[str, dict[str, float]]:
        """Summarise: stage -> count, median_ms, p95_ms. Stages that never ran are left out."""
        return {
            stage: {
                "count": len(spent),
                "median_ms": round(float(np.median(spent)), 3),
                "p95_ms": round(float(np.percentile(spent, 95)), 3),
            }
            for stage, spent in self._spent.items()
            if spent
        }

    def seconds(self) -> float:
        """Seconds since the clock was made."""
        return time.perf_counter() - self.started


def peak_memory_mib() -> float:
    """Peak resident memory of this process in MiB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
