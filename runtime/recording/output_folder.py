"""What a run leaves behind in its output folder.

::

    OUT/events.sqlite        events of all runs into this folder (WAL)
    OUT/frames-0001.jsonl    one JSON line a frame, as --json prints
    OUT/sheet-0001.jpg       annotated frames, evenly spread over the run
    OUT/annotated-0001.mp4   the annotated run, for the demo, video files and stacked pictures
    OUT/crops/0001/          the best view of every object
    OUT/saved/               frames that someone asked to keep

The number is the run's; a later run into the same folder takes the next one, so nothing is overwritten.
"""

from __future__ import annotations

import datetime
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ...errors import UsageError
from ..events.event import RunInfo, events_from_tracks
from ..events.store import EventStore
from ..frame import Detections, Frame
from ..system import folder_lock as lock
from ..system.atomic_files import fsync_directory
from ..tracking.track import Track
from .annotate import annotate
from .contact_sheet import ContactSheet
from .frame_log import SEGMENT, FrameLog
from .retention import FLOOR, QUOTA, RetainedFiles
from .video_writer import VideoWriter
from .writer import OutputWriter

SHOWN = 960
"""Longer side, at most, of annotated frames: a run of 1080p or 4K is not kept at full size."""


def utc_now() -> str:
    """The time now, UTC, ISO 8601 with milliseconds."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class OutputFolder:
    """The output folder of one run: a sink.

    Events, crops and the log of frames are written by a thread of their own (see `writer`), which goes on trying where
    the disk is full: neither a slow disk nor a full one holds up the loop. Only the annotated video of a file, which
    nobody waits for, is written as it comes.

    Args:
        folder: made if it is not there; checked for writing at once, before the first frame.
        run: what to note of the run (see `EventStore`).
        classes: class names.
        video: whether to write the annotated video.
        abstain: probability below which a class is a guess, or None.
        quota, floor: see `Evidence`.
        fits: whether crops are written as FITS too.
        alert: told what a person should know, once, in a line.

    Attributes:
        info: which run this is, for other sinks.
        writer: writes and counts; see there.

    Raises:
        UsageError: the folder cannot be made or written to, or another run writes to it.
    """

    def __init__(
        self, folder: Path, run: dict[str, str], classes: tuple[str, ...], video: bool, *,
        abstain: float | None = None, quota: int = QUOTA, floor: int = FLOOR, fits: bool = False,
        alert: Callable[[str], None] = lambda _: None,
    ) -> None:  # fmt: skip
        self.folder = folder
        self._alert = alert
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = lock.acquire_lock(folder)
            store = EventStore(folder / "events.sqlite", run, _last_run(folder))
            if store.aside:
                alert(f"{folder / 'events.sqlite'} was damaged; it is now {store.aside}, and a new one was begun")
            number = f"{store.run:04d}"
            self.crops = folder / "crops" / number
            self.crops.mkdir(parents=True, exist_ok=True)
            for parent in (self.crops.parent, folder):  # what is in a folder lasts no longer than the folder
                fsync_directory(parent)
            evidence = RetainedFiles(folder, quota, floor)
            # One file of the log is a small part of all evidence: only those that are closed can be given up.
            log = FrameLog(folder, number, evidence.add, min(SEGMENT, max(4096, quota // 8)) if quota else SEGMENT)
        except OSError as problem:
            raise UsageError(f"the output folder '{folder}' cannot be written to: {problem.strerror}") from None
        self.info = RunInfo(store.run, store.uid, classes, abstain)
        self.writer = OutputWriter(store, evidence, log, f"crops/{number}", fits, alert)
        self._log_path = log.path
        self._sheet = ContactSheet()
        self._sheet_name = f"sheet-{number}.jpg"
        self._video = VideoWriter(folder / f"annotated-{number}.mp4", alert, evidence.ample) if video else None
        evidence.growing += [lambda: log.size, *([self._video.size] if self._video else [])]

    def frame(self, frame: Frame, named: Detections, record: dict[str, Any]) -> None:
        """Take a frame's line, and its annotated picture where one is wanted."""
        self.writer.line(json.dumps(record, ensure_ascii=False))
        if self.writer.wanted:
            self.writer.keep(frame)
        on_sheet = self._sheet.wants()
        if on_sheet or self._video:
            picture = annotate(frame.pixels, named, self.info.classes, self.info.abstain, SHOWN)
            if on_sheet:
                self._sheet.add(picture)
            if self._video:
                self._video.write(picture)

    def events(self, changed: list[Track]) -> None:
        """Take those of the changed tracks that are events: their row, and their best view."""
        self.writer.events(events_from_tracks(changed, self.info))

    def close(self, frames: int, bad: int) -> None:
        """Write what waits, the sheet and the end of the video, and close."""
        if self._video:
            self._video.close()
        sheet = self._sheet.picture()
        if sheet is not None:
            self.writer.picture(self._sheet_name, encode(sheet, ".jpg"))
        self.writer.close(utc_now(), frames, bad)
        os.close(self._lock)

    def places(self) -> dict[str, Path]:
        """Where everything is: events, frames, crops, and sheet and video where they were written."""
        places = {"events": self.folder / "events.sqlite", "frames": self._log_path, "crops": self.crops}
        for name, path in (("sheet", self.folder / self._sheet_name), ("video", self._video and self._video.path)):
            if path and path.exists():
                places[name] = path
        return places


def encode(pixels: np.ndarray, suffix: str) -> bytes:
    """Encode (H, W, 3) uint8 RGB as a picture file."""
    done, content = cv2.imencode(suffix, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    if not done:
        raise ValueError(f"{pixels.shape} cannot be encoded as {suffix}")
    return content.tobytes()


def _last_run(folder: Path) -> int:
    """Find the highest run number among the folder's files; the event file may have been set aside."""
    names = [path.name for pattern in ("frames-*.jsonl", "crops/*") for path in folder.glob(pattern)]
    found = (re.fullmatch(r"(?:frames-)?(\d+)(?:-\d+)?(?:\.jsonl)?", name) for name in names)
    return max((int(match[1]) for match in found if match), default=0)
