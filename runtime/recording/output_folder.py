"""The files of a run in its output folder.

::

    OUT/events.sqlite        events of all runs into this folder (WAL)
    OUT/frames-0001.jsonl    one JSON line per frame, as --json prints
    OUT/sheet-0001.jpg       annotated frames with finds, spread over the run, with time and names
    OUT/annotated-0001.webm  the annotated run, for the demo, video files and sequences of images
    OUT/crops/0001/          the best view of each object
    OUT/saved/               frames that a user asked to save
    OUT/inputs/              with --save-input: the detector's input of each view, by run, frame and view

The number is that of the run; each run into the same folder takes the next one, so nothing is overwritten.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import UsageError
from ..events.event import RunInfo, events_from_tracks
from ..events.frame_record import FrameRecord
from ..frame import Detections, Frame
from ..imaging.encoding import encode_image
from ..system.output_text import json_line
from ..system.utc_time import utc_now
from ..tracking.track import Track
from .annotate import annotate
from .contact_sheet import ContactSheet, frame_caption, frame_value
from .heartbeat import Heartbeat
from .open_folder import EVENT_FILE, FolderOptions, OpenFolder
from .pending import WriterLimits
from .retention import FLOOR, QUOTA
from .writer import OutputWriter

if TYPE_CHECKING:
    from .video_writer import VideoWriter

logger = logging.getLogger(__name__)

ANNOTATED_SIDE = 960
"""Maximum longer side of annotated frames in pixels: 1080p and 4K frames are reduced."""


class OutputFolder:
    """The output folder of one run: a sink.

    Events, crops and the frame log are written by a thread (see `writer`), which retries while the disk is full:
    neither a slow nor a full disk delays the frame loop. Only the annotated video of a file, which is not live, is
    written directly.

    Args:
        folder: created if missing; checked for writing at once, before the first frame.
        run: description of the run (see `EventStore`).
        classes: class names.
        video: whether to write the annotated video.
        abstain: probability below which a class is a guess, or None.
        quota, floor: see `RetainedFiles`.
        fits: whether crops and saved frames are written as FITS too.
        limits: of the writer.

    Attributes:
        info: identifies the run to other sinks.
        writer: writes and counts.

    Raises:
        UsageError: the folder cannot be created or written to, or another run writes to it.
    """

    # Many parameters because each is an option of a run that only the output folder knows.
    def __init__(
        self, folder: Path, run: dict[str, str], classes: tuple[str, ...], video: bool, *,
        abstain: float | None = None, quota: int = QUOTA, floor: int = FLOOR, fits: bool = False,
        limits: WriterLimits | None = None,
    ) -> None:  # fmt: skip
        self.folder = folder
        options = FolderOptions(run, quota, floor, fits, limits or WriterLimits())
        try:
            opened = OpenFolder(folder, options, _last_run(folder))
        except OSError as error:
            raise UsageError(f"the output folder '{folder}' cannot be written to: {error.strerror}") from None
        if opened.store.aside:
            path = folder / EVENT_FILE
            logger.warning("%s was damaged; it was renamed to %s and a new file was started", path, opened.store.aside)
        self.info = RunInfo(opened.store.run, opened.store.uid, classes, abstain)
        self.crops = folder / opened.crops
        self._log_path = opened.log.path
        self._sheet = ContactSheet()
        self._sheet_name = f"sheet-{opened.number}.jpg"
        self._video = self._open_video(opened) if video else None
        self.writer = OutputWriter(opened, options)
        self._video_call = Heartbeat()
        self.writer.other_calls.append(self._video_call)

    def _open_video(self, opened: OpenFolder) -> VideoWriter:
        """Return the writer of the annotated video, whose size counts in the quota."""
        from .video_writer import VideoWriter

        video = VideoWriter(self.folder / f"annotated-{opened.number}.webm", opened.files.may_grow)
        opened.files.growing.append(video.size)
        return video

    def frame(self, frame: Frame, detections: Detections, record: FrameRecord) -> None:
        """Write a frame's record, and annotate it for the contact sheet and video."""
        if record.clock_step:
            self.writer.move_times(record.clock_step)
        record.lost.update(self.writer.losses)
        self.writer.line(json_line(record.to_dict()))
        if self.writer.wanted:
            self.writer.save_frame(frame)
        on_sheet = self._sheet.wants_next(frame_value(detections))
        if on_sheet or self._video:
            image = annotate(frame.pixels, detections, self.info.classes, self.info.abstain, ANNOTATED_SIDE)
            if on_sheet:
                caption = frame_caption(frame, detections, self.info.classes, self.info.abstain)
                self._sheet.add(image, caption)
            if self._video:
                with self._video_call:
                    self._video.write(image)

    def save_input(self, frame: int, view: int, pixels: np.ndarray) -> None:
        """Write the detector's input of a view, (H, W, 3) uint8.

        May be called from any thread.

        Args:
            frame: number of the frame.
            view: number of the view, 0 for the whole frame.
            pixels: copied.
        """
        self.writer.image(f"inputs/{self.info.number:04d}-{frame:06d}-{view:02d}.png", pixels.copy())

    def events(self, changed: list[Track]) -> None:
        """Write the changed tracks that are events: their rows and best views."""
        self.writer.events(events_from_tracks(changed, self.info))

    def close(self, frames: int, bad: int) -> None:
        """Complete the video, write the sheet and all remaining output, and close."""
        try:
            if self._video:
                with self._video_call:
                    self._video.close()
            sheet = self._sheet.compose()
            if sheet is not None:
                self.writer.image(self._sheet_name, encode_image(sheet, ".jpg"))
        finally:
            self.writer.close(utc_now(), frames, bad)

    def places(self) -> dict[str, Path]:
        """Return the paths of events, frame log, crops, and any sheet and video.

        Sheet and video are included if they were written.
        """
        places = {"events": self.folder / EVENT_FILE, "frames": self._log_path, "crops": self.crops}
        if self.writer.busy_seconds:
            return places  # looking for the others may not return
        for name, path in (("sheet", self.folder / self._sheet_name), ("video", self._video and self._video.path)):
            if path and path.exists():
                places[name] = path
        return places


def _last_run(folder: Path) -> int:
    """Return the highest run number among the folder's files.

    The event file may have been renamed.
    """
    names = [path.name for pattern in ("frames-*.jsonl", "crops/*") for path in folder.glob(pattern)]
    found = (re.fullmatch(r"(?:frames-)?(\d+)(?:-\d+)?(?:\.jsonl)?", name) for name in names)
    return max((int(match[1]) for match in found if match), default=0)
