"""Where the time of a frame goes: the spans of one frame, and the table made of those of the last few thousand."""

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

STAGES = ("read", "glance", "stack", "tiles", "preprocess", "detect", "decode", "classify", "track", "write")
WINDOW = 4096
"""Frames that medians are made of, so that a night costs no more memory than a minute."""


class Span(NamedTuple):
    """A piece of work: its stage, begin and end in seconds of `time.perf_counter`, and the thread that did it."""

    stage: str
    begin: float
    end: float
    thread: int


class Stopwatch:
    """The time that one frame spends in each stage; always on, two clock readings a span.

    Attributes:
        spans: what was timed so far.
        touched: when the last span began, in seconds of `time.monotonic`; what hangs has not been touched for long.
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
    """Keeps what the last `WINDOW` frames spent in each stage; may be read from any thread at any moment."""

    def __init__(self) -> None:
        self._spent: dict[str, deque[float]] = {stage: deque(maxlen=WINDOW) for stage in STAGES}
        self._counts: Counter[str] = Counter()
        self._seconds: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.started = time.perf_counter()

    def add(self, ms: dict[str, float]) -> None:
        """Take a frame's milliseconds by stage."""
        with self._lock:
            self._counts.update(ms.keys())
            for name, spent in ms.items():
                self._spent[name].append(spent)
                self._seconds[name] += spent / 1e3  # type: ignore[assignment]

    def table(self) -> dict[str, dict[str, float]]:
        """Summarise: stage -> count, median_ms, p95_ms. Stages that never ran are left out."""
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
        """Median milliseconds by stage, of the last so many frames."""
        with self._lock:
            last = {stage: list(islice(reversed(spent), frames)) for stage, spent in self._spent.items() if spent}
        return {stage: round(float(np.median(spent)), 3) for stage, spent in last.items()}

    def totals(self) -> dict[str, tuple[int, float]]:
        """How often each stage ran, and the seconds that it took altogether."""
        with self._lock:
            return {stage: (count, self._seconds[stage]) for stage, count in self._counts.items()}

    def seconds(self) -> float:
        """Seconds since the clock was made."""
        return time.perf_counter() - self.started


def peak_memory_mib() -> float:
    """Peak resident memory of this process in MiB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
