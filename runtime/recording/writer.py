"""Write events, crops and log lines from threads; retry while the disk is full."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from ..errors import RunFailure
from ..events.event import Event
from ..frame import Frame
from ..system.stop_deadline import KEEP_FOR_EXIT, StopDeadline
from .heartbeat import Heartbeat
from .image_writer import ImageWriter
from .integrity import IntegrityChecker
from .open_folder import FolderOptions, OpenFolder
from .pending import PendingRows
from .pending_images import PendingImage, PendingImages, frame_images
from .row_writer import RowWriter

logger = logging.getLogger(__name__)

OVERLOAD = "more than the disk could take"
HUNG = "the disk does not respond"
IMAGE_SHARE = 0.6
"""Share of the time for closing after which images that still wait are dropped, so that rows are written."""
MIN_CLOSE_SECONDS = 0.25
"""Seconds that closing takes in any case, for a last commit: the rest of a stop may have taken all the time."""
LAST_MESSAGES_SECONDS = 0.3
"""Seconds that the broker's messages may take after the last commit of a run that was asked to stop."""
ABANDONED_CALL_SECONDS = 0.5
"""A call to the disk that took this long when a stop should be over is not waited for."""
SETTLE_SECONDS = 5.0
"""Time for which writing must succeed before that is reported, since a nearly full disk alternates."""


class OutputWriter:
    """The writer of the frame loop's results: rows at fixed intervals, then images.

    While the disk is full or below its floor of free space, crops and lines are dropped and counted, and rows wait;
    one warning reports this, and one message its end.

    Args:
        folder: where to write; used by the threads only, until `close`.
        options: the folder was opened with.

    Attributes:
        wanted: name of the frame that is to be saved, or None; set by `want`.
        deadline: once it is set, closing must be quick.
        other_calls: heartbeats of calls to the disk in other threads, e.g. of a video.
        closed: set by `close`, when the last row is in the event file or will never be.
        failure: after `close`: how much was lost and why, if something was lost or the writer failed; else None.
    """

    def __init__(self, folder: OpenFolder, options: FolderOptions) -> None:
        self._options, self._limits = options, options.limits
        self._rows = PendingRows(self._limits)
        self._images = PendingImages(self._limits)
        self._row_writer = RowWriter(folder, self._rows, options, partial(self._report, "rows"))
        self._image_writer = ImageWriter(self._row_writer, self._images, options, partial(self._report, "images"))
        self._lock = threading.Lock()
        self._errors = {"rows": "", "images": ""}
        self._last_error = ""
        self._changed_at = self._stopped_at = 0.0
        self._hung_reported = self._drop_reported = self._stop_reported = self._failed = False
        self.wanted: str | None = None
        self.deadline = StopDeadline()
        self.other_calls: list[Heartbeat] = []
        self.closed = threading.Event()
        self.failure: RunFailure | None = None
        self._threads = {
            part: threading.Thread(target=self._work, args=(part.work,), name=name, daemon=True)
            for part, name in ((self._row_writer, "writer"), (self._image_writer, "images"))
        }
        for thread in self._threads.values():
            thread.start()
        IntegrityChecker(self._row_writer).start()

    @property
    def stopped(self) -> str:
        """Why something is not written at the moment; "" while writing succeeds."""
        if self._failed:
            return "the writer failed"
        return HUNG if self.is_hung else self._errors["rows"] or self._errors["images"]

    @property
    def is_hung(self) -> bool:
        """Whether a call to the disk has not returned for so long that it may never."""
        limits = self._limits
        others = (self._image_writer.heartbeat, *self.other_calls)
        return (
            self._row_writer.heartbeat.seconds > limits.hang_seconds
            or max(call.seconds for call in others) > limits.image_hang_seconds
        )

    @property
    def busy_seconds(self) -> float:
        """For how long the current call to the disk has not returned; 0 between calls."""
        calls = (self._row_writer.heartbeat, self._image_writer.heartbeat, *self.other_calls)
        return max(call.seconds for call in calls)

    @property
    def is_alive(self) -> bool:
        """Whether the writer works: the disk responds, and no thread has failed."""
        return not self.is_hung and not self._failed

    @property
    def pending(self) -> int:
        """Number of events that are not in the store yet."""
        return self._rows.events

    @property
    def pending_seconds(self) -> float:
        """For how long the oldest of them waits; 0 if none does."""
        return self._rows.oldest_seconds

    @property
    def events_lost(self) -> int:
        """Number of events that were dropped, or that the event file refused."""
        return self._rows.events_lost

    @property
    def images_lost(self) -> int:
        """Number of images that were dropped, crops included."""
        return self._images.lost

    @property
    def lines_lost(self) -> int:
        """Number of lines of the frame log that were dropped."""
        return self._rows.lines_lost

    @property
    def losses(self) -> dict[str, int]:
        """What was lost so far: ``events``, ``images`` and ``lines``, those above 0."""
        counts = {"events": self.events_lost, "images": self.images_lost, "lines": self.lines_lost}
        return {name: count for name, count in counts.items() if count}

    @property
    def evidence_bytes(self) -> int:
        """Return the size in bytes of crops, saved frames, logs, sheets and videos."""
        return self.folder.files.size

    @property
    def folder(self) -> OpenFolder:
        """The open folder; another one after it was removed during the run."""
        return self._row_writer.folder

    @property
    def moved(self) -> str:
        """Return what happened to the folder or event file in the run; "" if nothing."""
        return self._row_writer.moved

    def on_commit(self, inform: Callable[[list[Event]], None]) -> None:
        """Call a function with events once they are stored, in the writer's thread."""
        self._row_writer.on_commit.append(inform)

    def on_clock_step(self, inform: Callable[[float], None]) -> None:
        """Call a function with a clock step in seconds once the stored times have moved.

        It is called from the writer's thread; events of earlier calls of `on_commit` have the times from before.
        """
        self._row_writer.on_clock_step.append(inform)

    def move_times(self, seconds: float) -> None:
        """Move the times of all the run's events, stored ones too: the clock was set."""
        self._rows.move_times(seconds)

    def line(self, text: str) -> None:
        """Take a line of the frame log."""
        self._rows.add_line(text)

    def events(self, events: list[Event]) -> None:
        """Take events; one that still waits is replaced by its later state."""
        for event in events:
            self._images.add_crop(event, self.folder.crop_name(event.number), self._options.fits)
        self._rows.add_events(events)
        if self._rows.is_batch_full and not self.stopped:
            self._row_writer.wake.set()
        if len(self._images) >= self._limits.batch_events:
            self._image_writer.wake.set()

    def want(self, name: str) -> None:
        """Request a PNG of the next frame, under this name in the output folder."""
        self.wanted = name

    def save_frame(self, frame: Frame) -> None:
        """Take the frame that `want` requested, as `frame_images`."""
        name, self.wanted = self.wanted, None
        for image in frame_images(name, frame, self._options.fits) if name else ():
            self._images.add(image)

    def image(self, name: str, content: bytes | np.ndarray) -> None:
        """Take an image (encoded or pixels for a PNG) by its name in the output folder."""
        self._images.add(PendingImage(name, content))

    def check(self) -> None:
        """Log once that the disk hangs, and that images are dropped; to be called often.

        Raises:
            RunFailure: nothing can be written any more.
        """
        if self.is_hung != self._hung_reported:
            self._hung_reported = not self._hung_reported
            if self._hung_reported:
                logger.error("output has stopped: %s; detection continues", HUNG)
            else:
                logger.warning("the disk responds again")
        self._report_resumed(SETTLE_SECONDS)
        if self.images_lost and not self._drop_reported and not self.stopped:
            self._drop_reported = True
            logger.warning("crops are dropped: %s; they are counted, and events are still written", OVERLOAD)
        if self._row_writer.must_end:
            raise self._row_writer.must_end

    def why_abandoned(self) -> str:
        """Return what is lost if the process ends now; "" if waiting can store more.

        Called when a run that was asked to stop should have ended: neither a call that has not returned since nor a
        file that cannot be written is waited for any longer. `close` ends in time where nothing is lost.
        """
        if self.failure:
            return str(self.failure)
        reason = HUNG if self.busy_seconds >= ABANDONED_CALL_SECONDS else self.stopped
        if self.closed.is_set() or not reason:
            return ""
        counts = {
            "events": self.pending + self.events_lost,
            "images": self._images.unwritten + self.images_lost,
            "lines of the log": self._rows.lines + self.lines_lost,
            "parts of the video": sum(call.seconds > 0 for call in self.other_calls),
        }
        lost = next((f"{count} {name}" for name, count in counts.items() if count), "")
        return f"output was lost: {lost} are not stored ({reason})" if lost else ""

    def close(self, ended: str, frames: int, bad: int) -> None:
        """Write what waits, record the run's end and close; set `failure` on losses."""
        limits = self._limits
        seconds = limits.stop_seconds if self.deadline.is_set else limits.close_seconds
        seconds = self.deadline.limit(seconds, KEEP_FOR_EXIT + LAST_MESSAGES_SECONDS, min(seconds, MIN_CLOSE_SECONDS))
        now = time.monotonic()
        self._row_writer.wake.set()
        self._image_writer.end(now + IMAGE_SHARE * seconds)
        self._threads[self._image_writer].join(IMAGE_SHARE * seconds)
        self._row_writer.end(now + seconds - 0.2 * min(1.0, seconds), ended, frames, bad)
        self._threads[self._row_writer].join(max(0.0, now + seconds - time.monotonic()))
        hangs = self._threads[self._row_writer].is_alive()
        self._report_resumed(settle_seconds=0.0)
        self._rows.drop_all()
        self._images.drop_all()
        reason = HUNG if hangs else self.stopped or self._row_writer.end_error or self._last_error or OVERLOAD
        if self._row_writer.moved:
            reason = f"{self._row_writer.moved}: what was written before is missing"
        if self.losses or self._failed or self._row_writer.moved:
            lost = f"{self.events_lost} events, {self.images_lost} images and {self.lines_lost} lines of the log"
            self.failure = RunFailure(f"output was lost: {lost} ({reason})")
        elif hangs:
            logger.warning("the end of the run could not be recorded: %s; its output is stored", HUNG)
        self.closed.set()

    def _work(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException:
            self._failed = True
            logger.error("output has ended: the writer failed; detection continues")
            raise

    def _report(self, part: str, error: str) -> None:
        """Log once that writing stops; `check` or `close` log that it works again."""
        with self._lock:
            before = any(self._errors.values())
            self._errors[part] = error
            self._last_error = error or self._last_error
            after = any(self._errors.values())
            if before != after:
                self._changed_at = time.monotonic()
            is_first = after and not self._stop_reported
            if is_first:
                self._stop_reported, self._stopped_at = True, self._changed_at
        if is_first:
            logger.warning("output has stopped: %s; detection continues and writing is retried", error)

    def _report_resumed(self, settle_seconds: float) -> None:
        """Log once that writing works again, after it has for so long."""
        with self._lock:
            works = not any(self._errors.values())
            if not (self._stop_reported and works and time.monotonic() - self._changed_at >= settle_seconds):
                return
            self._stop_reported = False
        logger.info("output is written again, after %.0f s", self._changed_at - self._stopped_at)
