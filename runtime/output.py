"""What a run leaves behind in its output folder.

::

    OUT/events.sqlite        events of all runs into this folder (WAL)
    OUT/frames-0001.jsonl    one JSON line a frame, as --json prints
    OUT/sheet-0001.jpg       annotated frames, evenly spread over the run
    OUT/annotated-0001.mp4   the annotated run, for the demo and for video files
    OUT/crops/0001/          the best view of every object

The number is the run's; a later run into the same folder takes the next one, so nothing is overwritten.
"""

from __future__ import annotations

import datetime
import json
import os
import time
from pathlib import Path
from typing import Any, TextIO

import cv2
import numpy as np

from .draw import Sheet, annotate, fit
from .errors import RunFailure, UsageError
from .frame import Detections, Frame
from .store import EventStore
from .track import Track

VIDEO_RATE = 12.0
SHOWN = 960
"""Longer side, at most, of annotated frames: a run of 1080p or 4K is not kept at full size."""
COMMIT_SECONDS = 1.0


def utc_now() -> str:
    """The time now, UTC, ISO 8601 with milliseconds."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Output:
    """The output folder of one run.

    Args:
        folder: made if it is not there; checked for writing at once, before the first frame.
        run: what to note of the run (see `EventStore`).
        classes: class names.
        video: whether to write the annotated video.
        abstain: probability below which no class is drawn.

    Raises:
        UsageError: the folder cannot be made or written to.
    """

    def __init__(
        self, folder: Path, run: dict[str, str], classes: tuple[str, ...], video: bool, abstain: float | None = None
    ) -> None:
        self.folder = folder
        self.classes = classes
        self._abstain = abstain
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / ".writable"
            probe.write_bytes(b"galaxy-edge")
            probe.unlink()
            self.store = EventStore(folder / "events.sqlite", run, classes)
            number = f"{self.store.run:04d}"
            self.crops = folder / "crops" / number
            self.crops.mkdir(parents=True, exist_ok=True)
            self.log_path = folder / f"frames-{number}.jsonl"
            self._log: TextIO = self.log_path.open("w", encoding="utf-8")
        except OSError as problem:
            raise UsageError(f"the output folder '{folder}' cannot be written to: {problem.strerror}") from None
        self.sheet_path = folder / f"sheet-{number}.jpg"
        self.video_path = folder / f"annotated-{number}.mp4" if video else None
        self._writer: cv2.VideoWriter | None = None
        self._video_size = (0, 0)
        self._sheet = Sheet()
        self._committed = time.monotonic()

    def frame(self, frame: Frame, named: Detections, record: dict[str, Any]) -> None:
        """Write a frame's line, and its annotated picture where one is wanted."""
        try:
            self._log.write(json.dumps(record, ensure_ascii=False) + "\n")
        except OSError as problem:
            raise RunFailure(f"{self.log_path} cannot be written: {problem.strerror}") from None
        on_sheet = self._sheet.wants()
        if on_sheet or self.video_path:
            picture = annotate(frame.pixels, named, self.classes, self._abstain, SHOWN)
            if on_sheet:
                self._sheet.add(picture)
            if self.video_path:
                self._video(picture)

    def events(self, tracks: list[Track]) -> None:
        """Write those of the changed tracks that are events: their row, and their best view."""
        for track in tracks:
            if not track.confirmed or track.kind != "object":
                continue
            name = f"{track.number:05d}.png"
            self._picture(self.crops / name, track.cutout)
            self.store.save(track, (self.crops / name).relative_to(self.folder).as_posix())
        if time.monotonic() - self._committed > COMMIT_SECONDS:
            self._committed = time.monotonic()
            self.store.commit()
            self._log.flush()

    def close(self, frames: int, bad_pictures: int) -> None:
        """Write the sheet, end the video, commit and close."""
        self._log.close()
        if self._writer is not None:
            self._writer.release()
        sheet = self._sheet.picture()
        if sheet is not None:
            self._picture(self.sheet_path, sheet)
        self.store.close(utc_now(), frames, bad_pictures)

    def places(self) -> dict[str, Path]:
        """Where everything is: events, frames, crops, and sheet and video where they were written."""
        places = {"events": self.folder / "events.sqlite", "frames": self.log_path, "crops": self.crops}
        if self.sheet_path.exists():
            places["sheet"] = self.sheet_path
        if self.video_path and self.video_path.exists():
            places["video"] = self.video_path
        return places

    def _video(self, picture: np.ndarray) -> None:
        if self._writer is None:
            # MPEG-4 wants even sides.
            self._video_size = picture.shape[1] // 2 * 2, picture.shape[0] // 2 * 2
            self._writer = cv2.VideoWriter(
                str(self.video_path), cv2.VideoWriter.fourcc(*"mp4v"), VIDEO_RATE, self._video_size
            )
            if not self._writer.isOpened():
                raise RunFailure(f"{self.video_path} cannot be written as a video")
        fitting = picture.shape[1::-1] == self._video_size
        self._writer.write(cv2.cvtColor(picture if fitting else fit(picture, *self._video_size), cv2.COLOR_RGB2BGR))

    def _picture(self, path: Path, picture: np.ndarray) -> None:
        """Write a picture beside its place, then rename it there: no half-written picture is ever seen."""
        done, content = cv2.imencode(path.suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        if not done:
            raise RunFailure(f"{path} cannot be encoded")
        beside = path.with_name("." + path.name)
        try:
            beside.write_bytes(content.tobytes())
            os.replace(beside, path)
        except OSError as problem:
            raise RunFailure(f"{path} cannot be written: {problem.strerror}") from None
