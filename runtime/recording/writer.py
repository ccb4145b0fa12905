"""Write events, crops and the frame log from a thread of their own, in batches; retry while the disk is full."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..errors import RunFailure
from ..events.event import Event
from ..events.store import EventStore
from ..frame import Frame
from ..imaging.encoding import encode_image
from .crop_writer import CropWriter
from .fits_writer import fits_bytes, frame_cards
from .frame_log import FrameLog
from .pending import Batch, PendingImage, PendingOutput, WriterLimits
from .retention import RetainedFiles

logger = logging.getLogger(__name__)


class OutputWriter:
    """Writes what the frame loop hands over, from a thread of its own.

    A batch is written in this order: the oldest files are deleted, new crops are written, one transaction stores all
    rows, the lines are appended to the log. So a row never names a crop that is not whole. While the disk is full or
    below its floor of free space, crops and lines are dropped and counted, and rows wait; one warning reports this,
    and one message its end.

    Args:
        store, files, log: where to write; used by the thread only until `close`.
        crops: folder of the run's crops, by its name in the output folder.
        fits: whether crops and saved frames are written as FITS too.
        limits: of batches and of what may wait.

    Attributes:
        wanted: name of the frame that is to be saved, or None; set by `want`.
        stopped: why nothing is written at the moment; "" while writing succeeds.
        failure: after `close`: how much was lost and why, if events were lost or the writer failed; else None.
    """

    def __init__(
        self, store: EventStore, files: RetainedFiles, log: FrameLog, crops: str, fits: bool, limits: WriterLimits
    ) -> None:
        self._store, self._files, self._log, self._fits, self._limits = store, files, log, fits, limits
        self._crops = CropWriter(files, crops, fits)
        self._queue = PendingOutput(limits)
        self._wake = threading.Event()
        self._ending = self._failed = False
        self._deleted: list[str] = []  # files that were deleted, and that rows may still name
        self._stopped_at = 0.0
        self.wanted: str | None = None
        self.stopped = ""
        self.failure: RunFailure | None = None
        missing = [name for name in store.crops() if name not in files]
        store.save([], missing)  # crops that were deleted between runs, or as the last run was killed
        self._thread = threading.Thread(target=self._work, name="writer", daemon=True)
        self._thread.start()

    @property
    def pending(self) -> int:
        """Number of events that are not in the store yet."""
        return self._queue.events

    @property
    def events_lost(self) -> int:
        """Number of events that were dropped."""
        return self._queue.events_lost

    @property
    def images_lost(self) -> int:
        """Number of images that were dropped, crops included."""
        return self._queue.images_lost

    @property
    def lines_lost(self) -> int:
        """Number of lines of the frame log that were dropped."""
        return self._queue.lines_lost

    @property
    def has_lost(self) -> bool:
        """Whether anything was dropped."""
        return bool(self.images_lost or self.lines_lost or self.events_lost)

    @property
    def evidence_bytes(self) -> int:
        """Size of all crops, saved frames, logs, sheets and videos in the folder, in bytes."""
        return self._files.size

    def line(self, text: str) -> None:
        """Take a line of the frame log."""
        self._queue.add_line(text)

    def events(self, events: list[Event]) -> None:
        """Take events; one that still waits is replaced by its later state."""
        self._queue.add_events(events)
        if self._queue.is_batch_full and not self.stopped:
            self._wake.set()

    def want(self, name: str) -> None:
        """Request that the next frame is saved as a PNG of this name in the output folder."""
        self.wanted = name

    def save_frame(self, frame: Frame) -> None:
        """Take the frame that was requested by `want`: as processed, and at full depth if it has more than 8 bits.

        The frame or stack at full depth is a 16-bit PNG (``NAME-16bit.png``; a mean is rounded, and values outside
        0..65535 are not written), and a FITS file if FITS is wanted.
        """
        name, self.wanted = self.wanted, None
        if not name:
            return
        pixels = frame.pixels.copy()
        self.image(name, pixels)
        if frame.raw is not None and frame.raw.min() >= 0.0 and 1.0 < frame.raw.max() <= 65535.0:
            self.image(f"{name.removesuffix('.png')}-16bit.png", np.rint(frame.raw).astype(np.uint16))
        if self._fits:
            deep = pixels if frame.raw is None else frame.raw.copy()
            self._queue.add_image(PendingImage(str(Path(name).with_suffix(".fits")), deep, frame_cards(frame)))

    def image(self, name: str, content: bytes | np.ndarray) -> None:
        """Take an image, encoded or as pixels for a PNG, by its name in the output folder."""
        self._queue.add_image(PendingImage(name, content))

    def close(self, ended: str, frames: int, bad: int) -> None:
        """Write what waits, record the end of the run and close everything; losses are then in `failure`."""
        self._ending = True
        self._wake.set()
        self._thread.join(self._limits.close_seconds)
        if self._thread.is_alive():
            self.failure = RunFailure(
                "output was lost: the disk does not respond, and the last results may not be written"
            )
            return
        error = ""
        try:
            self._store.end(ended, frames, bad)
            self._store.close()
            self._log.close()
        except (OSError, sqlite3.Error) as cause:
            error = _reason(cause)
            logger.warning("the end of the run could not be recorded: %s", error)
        self._queue.drop_all()
        lost = f"{self.images_lost} images and {self.lines_lost} lines of the log"
        if self.events_lost or self._failed:
            reason = self.stopped or error or "more than the disk could take"
            self.failure = RunFailure(f"output was lost: {self.events_lost} events, {lost} ({reason})")
        elif self.has_lost:
            logger.warning("more than the disk could take: %s were dropped; every event is written", lost)

    def _work(self) -> None:
        try:
            while not self._ending:
                self._wake.wait(self._limits.batch_seconds)
                self._wake.clear()
                self._write_batch()
            self._write_batch()
        except BaseException:
            self._failed, self.stopped = True, "the writer failed"
            if not self._ending:
                logger.error("output has ended: the writer failed; detection continues")
            raise

    def _write_batch(self) -> None:
        batch = self._queue.take_batch()
        try:
            self._report(self._save(batch))
        except BaseException:
            self._queue.put_back(batch)  # nobody writes it any more: `close` counts it
            self._queue.drop(len(batch.lines), len(batch.images))
            raise

    def _save(self, batch: Batch) -> str:
        """Write a batch; return why a part of it could not be written, or ""."""
        error = _attempt(self._make_space)
        rows, error = self._write_crops(batch, error)
        for image in batch.images:
            error = error or _attempt(self._write_image, image)
            self._queue.drop(images=bool(error))
        batch.images.clear()
        try:
            if rows or self._deleted:
                self._store.save(rows, self._deleted)
                self._deleted = []
            self._queue.events_written(batch)
        except sqlite3.Error as cause:
            error = error or _reason(cause)
            self._queue.put_back(batch)
        if batch.lines:
            error = error or _attempt(self._log.write, batch.lines)
            self._queue.drop(lines=len(batch.lines) if error else 0)
            batch.lines.clear()
        return error

    def _make_space(self) -> None:
        """Delete the oldest files as the quota demands.

        Raises:
            OSError: a file cannot be deleted, or the disk stays below its floor of free space.
        """
        self._deleted += self._files.delete_oldest()
        if not self._files.has_space():
            raise OSError("the disk is below its floor of free space")

    def _write_crops(self, batch: Batch, error: str) -> tuple[list[tuple[Event, str | None]], str]:
        """Write the crops of a batch; return its events with the names of their crops, and the error or ""."""
        rows = []
        for event in batch.events.values():
            if self._crops.is_new_view(event):
                error = error or _attempt(self._crops.write, event)
                self._queue.drop(images=bool(error))
            rows.append((event, self._crops.stored_name(event)))
        sync_error = _attempt(self._files.sync)
        return rows, error or sync_error

    def _write_image(self, image: PendingImage) -> None:
        content = image.content
        if not isinstance(content, bytes):
            content = fits_bytes(content, image.cards) if image.name.endswith(".fits") else encode_image(content)
        self._files.write(image.name, content)

    def _report(self, error: str) -> None:
        """Log once that writing stops, and once that it works again."""
        if error and not self.stopped:
            self._stopped_at = time.monotonic()
            logger.warning("output has stopped: %s; detection continues and writing is retried", error)
        elif self.stopped and not error:
            logger.info("output is written again, after %.0f s", time.monotonic() - self._stopped_at)
        self.stopped = error


def _attempt(function: Callable[..., object], *arguments: object) -> str:
    """Call a function; return the reason if it raises OSError, else ""."""
    try:
        function(*arguments)
    except OSError as error:
        return _reason(error)
    return ""


def _reason(error: Exception) -> str:
    """Return in a few words what the disk or the event file reported."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error)
