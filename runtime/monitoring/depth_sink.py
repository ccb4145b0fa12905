"""Measure the depth of solved frames in a thread of its own.

Rows go to the tables ``depth.csv`` and ``completeness.csv`` of the output folder, and the latest figures to the run's
monitor.
"""

from __future__ import annotations

import dataclasses
import datetime
import logging
import math
import queue
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ...errors import UserError
from ..events.depth_tables import COMPLETENESS_FILE, DEPTH_FILE, DepthRow, galaxy_columns
from ..events.frame_record import FrameRecord
from ..events.run_tables import RunTables
from ..frame import Detections, Frame
from ..tracking.track import Track
from .health import RunMonitor

if TYPE_CHECKING:
    from ...sky.depth import FieldGalaxy
    from ...sky.depth_meter import DepthMeasurement
    from ...sky.wcs import Wcs

logger = logging.getLogger(__name__)

INTERVAL, LONG_INTERVAL = 60.0, 600.0
"""Seconds of frame time between two measurements: at least the first and `MIN_FRAMES`, or the second."""
MIN_FRAMES = 40
"""A measurement takes as many instructions as a frame: this keeps it at a small share of the loop's."""
MAX_ROWS = 2000
"""Number of measurements that are kept for the page: more than a night's at the usual interval."""
CLOSE_SECONDS = 10.0
"""Maximum time that the end of a run waits for a measurement."""


class _Snapshot(NamedTuple):
    """What is measured: a copy of a frame's linear light, and what is known about it."""

    light: np.ndarray
    wcs: Wcs
    boxes: np.ndarray
    names: tuple[str, ...]
    header: dict[str, Any]
    record: FrameRecord
    stacked: int


class DepthSchedule:
    """Decide which frames are measured.

    They are the first one of each field, and one after enough time and frames.
    """

    def __init__(self) -> None:
        self._last: datetime.datetime | None = None
        self._field = (0.0, 0.0)
        self._frames = 0

    def take(self, time: datetime.datetime, wcs: Wcs) -> bool:
        """Return whether a frame is to be measured; intervals begin at it then."""
        from ...sky.angles import separation

        self._frames += 1
        if self._last is not None and float(separation(*self._field, *wcs.centre)) <= wcs.radius:
            seconds = abs((time - self._last).total_seconds())
            if seconds < (INTERVAL if self._frames >= MIN_FRAMES else LONG_INTERVAL):
                return False
        self._last, self._field, self._frames = time, wcs.centre, 0
        return True


class DepthSink:
    """A sink that measures solved frames, at most one at a time.

    A frame without a position costs nothing.

    Args:
        folder: the output folder; None to write no table.
        run: number of the run.
        monitor: gets the figures.
    """

    def __init__(self, folder: Path | None, run: int, monitor: RunMonitor) -> None:
        self._tables, self._run = RunTables(folder), run
        self._waiting: queue.Queue[_Snapshot | None] = queue.Queue(maxsize=1)
        self._thread: threading.Thread | None = None
        self._schedule = DepthSchedule()
        self._rows: deque[DepthRow] = deque(maxlen=MAX_ROWS)
        self._counts: dict[str, Any] = {"missed": [], "by_magnitude": [], "by_surface_brightness": []}
        self._written: dict[str, tuple[str, bool, bool]] = {}  # hour, expected, found of each galaxy's last row
        monitor.depth_report = self.report

    def frame(self, frame: Frame, detections: Detections, record: FrameRecord) -> None:
        """Begin to measure a frame if it is due and no other one is being measured."""
        if frame.wcs is None or frame.planes is None or self._waiting.full():
            return
        if not self._schedule.take(frame.time, frame.wcs):
            return
        light = frame.planes[len(frame.planes) // 2].copy()  # green; a stack uses its arrays again
        wcs = frame.wcs.binned(frame.binning)
        snapshot = _Snapshot(light, wcs, detections.boxes.copy(), detections.names, frame.header, record, frame.stacked)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="depth", daemon=True)
            self._thread.start()
        self._waiting.put(snapshot)

    def events(self, changed: list[Track]) -> None:
        """Do nothing: galaxies are counted by frames."""

    def close(self, frames: int, bad: int) -> None:
        """Finish the measurement that runs, and log what the run could see."""
        if self._thread is None:
            return
        try:
            self._waiting.put(None, timeout=CLOSE_SECONDS)
        except queue.Full:
            logger.warning("the depth of the last frame is not measured: the computer is too slow")
            return
        self._thread.join(CLOSE_SECONDS)
        limits = sorted(row.limiting_magnitude for row in self._rows if row.limiting_magnitude is not None)
        if limits:
            missed = ", ".join(self._counts["missed"][:5])
            logger.info(
                "limiting magnitude %.1f (best %.1f)%s", limits[len(limits) // 2], limits[-1],
                f"; expected but not found: {missed}" if missed else "",
            )  # fmt: skip

    def report(self) -> dict[str, Any]:
        """Return the measurements and the completeness as plain values for JSON."""
        return {"rows": [dataclasses.asdict(row) for row in tuple(self._rows)], **self._counts}

    def _work(self) -> None:
        """Measure snapshots until there is None; a fault does not end the run."""
        from ...sky.depth_meter import DepthMeter

        try:
            meter = DepthMeter()
        except UserError as error:
            logger.warning("the depth of frames is not measured: %s", error)
            self._drain()
            return
        while (snapshot := self._waiting.get()) is not None:
            try:
                found = meter.measure(snapshot.light, snapshot.wcs, snapshot.header, snapshot.boxes, snapshot.names)
            except (ValueError, ArithmeticError, OSError) as error:
                logger.warning("the depth of frame %d is not measured: %s", snapshot.record.frame, error)
                continue
            self._counts = {
                "missed": meter.completeness.missed(),
                "by_magnitude": meter.completeness.bins("magnitude"),
                "by_surface_brightness": meter.completeness.bins("surface_brightness"),
            }
            row = _row(snapshot, found, self._run)
            self._rows.append(row)
            self._tables.append(DEPTH_FILE, [dataclasses.asdict(row)])
            self._tables.append(COMPLETENESS_FILE, self._galaxy_rows(row, found.galaxies or ()))

    def _drain(self) -> None:
        while self._waiting.get() is not None:
            pass

    def _galaxy_rows(self, row: DepthRow, galaxies: Sequence[FieldGalaxy]) -> list[dict[str, Any]]:
        """Return rows of the galaxies about which something is new.

        Everything is new in another hour, so that each night has its own rows.
        """
        rows = []
        for galaxy in galaxies:
            hour, expected, found = self._written.get(galaxy.name, ("", False, False))
            if hour != row.time[:13]:
                expected = found = False
            state = (row.time[:13], expected or galaxy.expected, found or galaxy.found)
            if state != self._written.get(galaxy.name):
                self._written[galaxy.name] = state
                rows.append({"time": row.time, "run": self._run, **galaxy_columns(galaxy)})
        return rows


def _row(snapshot: _Snapshot, found: DepthMeasurement, run: int) -> DepthRow:
    photometry, galaxies = found.photometry, found.galaxies
    expected = None if galaxies is None else [galaxy for galaxy in galaxies if galaxy.expected]
    ra, dec = snapshot.wcs.centre
    return DepthRow(
        time=snapshot.record.time, run=run, frame=snapshot.record.frame, stacked=snapshot.stacked,
        ra=round(ra, 5), dec=round(dec, 5), stars=photometry.stars,
        zero_point=_rounded(photometry.zero_point), limiting_magnitude=_rounded(photometry.limiting_magnitude),
        star_fwhm=_rounded(photometry.fwhm), star_elongation=_rounded(photometry.elongation),
        sky_brightness=_rounded(photometry.sky_brightness), transparency=_rounded(found.transparency),
        galaxies_expected=None if expected is None else len(expected),
        galaxies_found=None if expected is None else sum(galaxy.found for galaxy in expected),
        missed=";".join(galaxy.name for galaxy in expected or () if not galaxy.found),
    )  # fmt: skip


def _rounded(value: float) -> float | None:
    return round(value, 3) if math.isfinite(value) else None
