"""The state of a run: counts, rate, stage timings, temperature.

Shown by the live view, Prometheus and MQTT.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from ...devices.probe import temperature
from ...models.images.memory import resident_bytes
from ..events.frame_record import FrameRecord
from ..frame import Detections, Frame
from ..tracking.track import Track

if TYPE_CHECKING:
    from ...sky.catalogue.in_field import FieldObject
    from ..recording.writer import OutputWriter
    from .run_stats import RunStats

State = Literal["starting", "running", "paused", "stalled", "ended"]
STARTING: Final = "starting"
RUNNING: Final = "running"
PAUSED: Final = "paused"
STALLED: Final = "stalled"
ENDED: Final = "ended"
RECENT = 64
"""Number of frames over which the median of timings is computed."""
RATE_SECONDS = 10.0
SAMPLES = 600
"""Maximum number of samples in the history, one per second."""
COUNTS = ("dropped", "gated", "reopened", "hung")
"""Further counts of `RunStats` that are published."""

DEPTH = (
    "limiting_magnitude", "star_fwhm", "star_elongation", "sky_brightness", "transparency", "galaxies_expected",
    "galaxies_found",
)  # fmt: skip
"""Figures of the last solved frame, see `depth_sink.DepthRow`."""
MAX_KNOWN = 20
"""Number of catalogued objects of the field that the live page is given."""
NO_DEPTH: dict[str, Any] = {"rows": [], "missed": [], "by_magnitude": [], "by_surface_brightness": []}


class RunMonitor:
    """A sink that counts; thread-safe.

    Args:
        stale: seconds without a frame after which a run counts as stalled.
        writer: of the output folder, which reports whether files can be written; None without one.
        paused: returns whether the run is paused.
        root: folder that contains ``sys``, for the temperature.
        clock: returns monotonic seconds.

    Attributes:
        run_stats: of the run, once it has started; its clock has the timings of the stages.
        frames, detections, events_begun: counts so far.
        about: further entries of the figures that do not change: ``version`` and ``bundles``.
        depth_report: returns the depth of the run's solved frames, see `depth_sink`.
        field_report: returns the catalogued objects in these frames, see `field_sink`.
    """

    def __init__(
        self, stale: float = 20.0, writer: OutputWriter | None = None, paused: Callable[[], bool] = lambda: False,
        root: Path = Path("/"), clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._stale, self._writer, self._paused, self._root, self._clock = stale, writer, paused, root, clock
        self._lock = threading.Lock()
        self._started = clock()
        self._last_frame: float | None = None
        self._last_frame_time: str | None = None
        self._frame_times: deque[float] = deque(maxlen=2048)
        self._sampled = clock()
        self._history: deque[dict[str, Any]] = deque(maxlen=SAMPLES)
        self._ended = False
        self.run_stats: RunStats | None = None
        self.about: dict[str, Any] = {}
        self.depth_report: Callable[[], dict[str, Any]] = lambda: NO_DEPTH
        self.field_report: Callable[[], list[FieldObject]] = list
        self.frames = self.detections = self.events_begun = 0
        self._seen: set[int] = set()

    def frame(self, frame: Frame, detections: Detections, record: FrameRecord) -> None:
        """Count a frame."""
        now = self._clock()
        with self._lock:
            self.frames += 1
            self.detections += len(detections)
            self._last_frame, self._last_frame_time = now, record.time
            self._frame_times.append(now)
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
        """Count confirmed objects."""
        with self._lock:
            for track in (track for track in changed if track.confirmed):
                if track.number not in self._seen:
                    self._seen.add(track.number)
                    self.events_begun += 1
                if track.ended:
                    self._seen.discard(track.number)

    def close(self, frames: int, bad: int) -> None:
        """Record the end of the run."""
        self._ended = True

    def state(self) -> State:
        """Return the state; a run that lacks frames or cannot write has stalled.

        Frames are lacking after too long a time without any; a paused run can have stalled too.
        """
        if self._ended:
            return ENDED
        if self._writer and not self._writer.is_alive:
            return STALLED
        since = self._clock() - (self._started if self._last_frame is None else self._last_frame)
        if since > self._stale:
            return STALLED
        if self._paused():  # frames still arrive
            return PAUSED
        return STARTING if self._last_frame is None else RUNNING

    def last_frame_age(self) -> float | None:
        """Return the seconds since the last frame; None before the first."""
        last = self._last_frame
        return None if last is None else round(self._clock() - last, 2)

    @property
    def writer_failed(self) -> bool:
        """Whether the output folder can no longer be written."""
        return self._writer is not None and not self._writer.is_alive

    def rate(self) -> float:
        """Return frames per second over the last `RATE_SECONDS`.

        For a slower camera, since the second-last frame.
        """
        now = self._clock()
        with self._lock:
            times = list(self._frame_times)
        recent = [at for at in times if now - at <= RATE_SECONDS]
        recent = recent if len(recent) > 1 else times[-2:]
        return round((len(recent) - 1) / max(now - recent[0], 1e-3), 3) if len(recent) > 1 else 0.0

    def stages(self) -> dict[str, float]:
        """Return median milliseconds by stage, of the last `RECENT` frames."""
        return self.run_stats.clock.recent(RECENT) if self.run_stats else {}

    def totals(self) -> dict[str, tuple[int, float]]:
        """Return how often each stage ran, and its total seconds."""
        return self.run_stats.clock.totals() if self.run_stats else {}

    def counts(self) -> dict[str, int]:
        """Return the further counts of the pipeline, see `COUNTS`."""
        return {name: int(getattr(self.run_stats, name, 0)) for name in COUNTS}

    def stats(self) -> dict[str, Any]:
        """Return all current figures as plain values for JSON."""
        writer = self._writer
        return {
            "state": self.state(),
            "frames": self.frames,
            "frames_per_second": self.rate(),
            "detections": self.detections,
            "events": self.events_begun,
            "last_frame": self._last_frame_time,
            "uptime_seconds": round(self._clock() - self._started, 1),
            "stages": self.stages(),
            "temperature": temperature(self._root),
            "memory_bytes": resident_bytes(),
            "evidence_bytes": writer.evidence_bytes if writer else 0,
            "evidence_stopped": writer.stopped if writer else "",
            "events_lost": writer.events_lost if writer else 0,
            "images_lost": writer.images_lost if writer else 0,
            "lines_lost": writer.lines_lost if writer else 0,
            "events_waiting": writer.pending if writer else 0,
            "events_waiting_seconds": round(writer.pending_seconds, 3) if writer else 0.0,
            **self.counts(),
            **self.depth(),
            **self.about,
        }

    def depth(self) -> dict[str, float | None]:
        """Return the latest figures of `DEPTH`; None where they are unknown."""
        rows = self.depth_report()["rows"]
        return {name: rows[-1][name] if rows else None for name in DEPTH}

    def known_objects(self) -> list[str]:
        """Return texts of at most `MAX_KNOWN` catalogued objects in the frames."""
        objects = self.field_report()
        if not objects:
            return []
        from ...sky.catalogue.in_field import ranked

        return [item.text for item in ranked(objects)[:MAX_KNOWN]]

    def history(self) -> list[dict[str, Any]]:
        """Return samples of the last minutes, one per second, oldest first."""
        with self._lock:
            return list(self._history)
