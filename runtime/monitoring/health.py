"""How a run is doing: counts, rate, stage timings, temperature. What the live view, Prometheus and MQTT tell."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from ...devices.probe import temperature
from ..frame import Detections, Frame
from ..tracking.track import Track

if TYPE_CHECKING:
    from ..recording.writer import OutputWriter
    from .run_stats import RunStats

State = Literal["starting", "running", "paused", "stalled", "ended"]
STARTING: Final = "starting"
RUNNING: Final = "running"
PAUSED: Final = "paused"
STALLED: Final = "stalled"
ENDED: Final = "ended"
RECENT = 64
"""Frames that timings are the median of."""
RATE_SECONDS = 10.0
SAMPLES = 600
"""Samples of the history, one a second."""
COUNTS = ("dropped", "gated", "reopened", "hung")
"""What a summary counts beside frames, where the pipeline has it."""
_PAGE = os.sysconf("SC_PAGE_SIZE")


class RunMonitor:
    """A sink that counts; its figures may be read from any thread.

    Args:
        stale: seconds without a frame after which a run has stalled.
        writer: of the output folder, which knows what became of evidence.
        paused: tells whether someone paused the run.
        root: where ``sys`` is, for the temperature.
        clock: seconds that go on evenly.

    Attributes:
        summary: of the run, once there is one; its clock has the stages' timings.
    """

    def __init__(
        self, stale: float = 20.0, writer: OutputWriter | None = None, paused: Callable[[], bool] = lambda: False,
        root: Path = Path("/"), clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._stale, self._writer, self._paused, self._root, self._clock = stale, writer, paused, root, clock
        self._lock = threading.Lock()
        self._begun = clock()
        self._last: float | None = None
        self._last_time: str | None = None
        self._beats: deque[float] = deque(maxlen=2048)
        self._sampled = clock()
        self._history: deque[dict[str, Any]] = deque(maxlen=SAMPLES)
        self._ended = False
        self.summary: RunStats | None = None
        self.frames = self.detections = self.events_begun = 0
        self._seen: set[int] = set()

    def frame(self, frame: Frame, named: Detections, record: dict[str, Any]) -> None:
        """Count a frame."""
        now = self._clock()
        with self._lock:
            self.frames += 1
            self.detections += len(named)
            self._last, self._last_time = now, record.get("time")
            self._beats.append(now)
            due = now - self._sampled >= 1.0
        if due:
            self._sampled = now
            sample = {
                "time": time.time(), "frames_per_second": self.rate(), "temperature": temperature(self._root),
                "stages": self.stages(),
            }  # fmt: skip
            with self._lock:
                self._history.append(sample)

    def events(self, changed: list[Track]) -> None:
        """Count objects that were confirmed."""
        with self._lock:
            for track in (track for track in changed if track.confirmed):
                if track.number not in self._seen:
                    self._seen.add(track.number)
                    self.events_begun += 1
                if track.ended:
                    self._seen.discard(track.number)

    def close(self, frames: int, bad: int) -> None:
        """Note the end."""
        self._ended = True

    def state(self) -> State:
        """Tell whether the run starts, runs, is paused, has stalled (no frame for too long, paused or not) or ended."""
        if self._ended:
            return ENDED
        since = self._clock() - (self._begun if self._last is None else self._last)
        if since > self._stale:
            return STALLED
        if self._paused():  # frames come all the same
            return PAUSED
        return STARTING if self._last is None else RUNNING

    def rate(self) -> float:
        """Frames a second over the last `RATE_SECONDS`, or, where there are fewer, since the last but one."""
        now = self._clock()
        with self._lock:
            beats = list(self._beats)
        recent = [beat for beat in beats if now - beat <= RATE_SECONDS]
        recent = recent if len(recent) > 1 else beats[-2:]
        return round((len(recent) - 1) / max(now - recent[0], 1e-3), 3) if len(recent) > 1 else 0.0

    def stages(self) -> dict[str, float]:
        """Median milliseconds by stage, of the last `RECENT` frames."""
        return self.summary.clock.recent(RECENT) if self.summary else {}

    def totals(self) -> dict[str, tuple[int, float]]:
        """How often each stage ran, and its seconds altogether."""
        return self.summary.clock.totals() if self.summary else {}

    def counts(self) -> dict[str, int]:
        """What the pipeline counts beside frames: dropped, reused, reopened, hung."""
        return {name: int(getattr(self.summary, name, 0)) for name in COUNTS}

    def stats(self) -> dict[str, Any]:
        """All figures of this moment, as plain values."""
        writer = self._writer
        return {
            "state": self.state(),
            "frames": self.frames,
            "frames_per_second": self.rate(),
            "detections": self.detections,
            "events": self.events_begun,
            "last_frame": self._last_time,
            "uptime_seconds": round(self._clock() - self._begun, 1),
            "stages": self.stages(),
            "temperature": temperature(self._root),
            "memory_bytes": memory_bytes(),
            "evidence_bytes": writer.evidence_bytes if writer else 0,
            "evidence_stopped": writer.stopped if writer else "",
            **self.counts(),
        }

    def history(self) -> list[dict[str, Any]]:
        """Samples of the last minutes, one a second, oldest first."""
        with self._lock:
            return list(self._history)


def memory_bytes() -> int:
    """Resident memory of this process in bytes; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError, ValueError):
        return 0
