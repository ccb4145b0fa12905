"""Time per stage: spans of a frame, and statistics of the last frames."""

from __future__ import annotations

import resource
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import NamedTuple

import numpy as np

STAGES = ("read", "glance", "stack", "sky", "tiles", "preprocess", "detect", "decode", "classify", "track", "write")
WINDOW = 4096
"""Frames over which medians are computed, so that memory does not grow over a night."""


class Span(NamedTuple):
    """A timed stage: its name, begin and end in seconds, and native thread id.

    The seconds are those of `time.perf_counter`.
    """

    stage: str
    begin: float
    end: float
    thread: int


class Stopwatch:
    """Measures the time that one frame spends in each stage.

    Two clock readings per span.

    Attributes:
        spans: the spans timed so far.
        touched: when the last span began, in seconds of `time.monotonic`; long ago if the frame hangs.
    """

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.touched = time.monotonic()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a part of the frame's work; a stage entered twice adds up."""
        self.touched = time.monotonic()
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.spans.append(Span(name, begin, time.perf_counter(), threading.get_native_id()))

    @property
    def ms(self) -> dict[str, float]:
        """Milliseconds spent so far, by stage."""
        spent: Counter[str] = Counter()
        for span in self.spans:
            spent[span.stage] += (span.end - span.begin) * 1e3  # type: ignore[assignment]
        return {stage: round(spent[stage], 3) for stage in STAGES if stage in spent}


class StageClock:
    """Collects the stage times of the last `WINDOW` frames. Thread-safe."""

    def __init__(self) -> None:
        self._spent: dict[str, deque[float]] = {stage: deque(maxlen=WINDOW) for stage in STAGES}
        self._counts: Counter[str] = Counter()
        self._seconds: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.started = time.perf_counter()

    def add(self, ms: dict[str, float]) -> None:
        """Add a frame's milliseconds by stage."""
        with self._lock:
            self._counts.update(ms.keys())
            for name, spent in ms.items():
                self._spent[name].append(spent)
                self._seconds[name] += spent / 1e3  # type: ignore[assignment]

    def table(self) -> dict[str, dict[str, float]]:
        """Summarise: stage -> count, median_ms, p95_ms.

        Stages that never ran are left out.
        """
        with self._lock:
            recent = {stage: (self._counts[stage], np.array(spent)) for stage, spent in self._spent.items() if spent}
        return {
            stage: {
                "count": count,
                "median_ms": round(float(np.median(spent)), 3),
                "p95_ms": round(float(np.percentile(spent, 95)), 3),
            }
            for stage, (count, spent) in recent.items()
        }

    def recent(self, frames: int) -> dict[str, float]:
        """Return the median milliseconds by stage of the last `frames` frames."""
        with self._lock:
            last = {stage: list(islice(reversed(spent), frames)) for stage, spent in self._spent.items() if spent}
        return {stage: round(float(np.median(spent)), 3) for stage, spent in last.items()}

    def totals(self) -> dict[str, tuple[int, float]]:
        """Return how often each stage ran and its total seconds."""
        with self._lock:
            return {stage: (count, self._seconds[stage]) for stage, count in self._counts.items()}

    def seconds(self) -> float:
        """Return the seconds since creation."""
        return time.perf_counter() - self.started


def peak_memory_mib() -> float:
    """Return the peak resident memory of this process in MiB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
