"""The thread that commits events and log lines at fixed intervals."""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import time
from collections.abc import Callable

from ...errors import UsageError
from ..errors import RunFailure
from ..events.database import quarantine
from ..events.event import Event
from .heartbeat import Heartbeat
from .open_folder import EVENT_FILE, FolderOptions, OpenFolder, reopen
from .pending import Batch, PendingRows

logger = logging.getLogger(__name__)

LAST_BUSY_SECONDS = 0.05
"""Time to wait for a locked event file in each attempt at the end of the run."""
REFUSED_FILE = "events-refused.jsonl"


class RowWriter:
    """The writer of events and log lines, which never waits for an image.

    It commits what waits at least every `WriterLimits.batch_seconds`, in one transaction.

    A row names its crop only if that is on the disk; a crop that comes later is entered with the next transaction.

    Args:
        folder: where to write.
        queue: what waits.
        options: the folder was opened with.
        on_error: called after each batch with why it could not be written, or "".

    Attributes:
        folder: where it writes at the moment; another after the folder was removed.
        heartbeat: of the calls to the disk.
        on_commit: called with events that are in the event file now, from this thread.
        on_clock_step: called with the seconds by which the times of all events in the event file were moved.
        moved: what happened to the folder during the run; "" if nothing did.
        damaged: what is wrong with the event file, which is then replaced; "" if nothing is.
        must_end: why the run cannot continue; None while it can.
        wake: set to write at once.
        ended: set at the end of the run.
        end_error: why the end of the run could not be recorded, or "".
    """

    def __init__(
        self, folder: OpenFolder, queue: PendingRows, options: FolderOptions, on_error: Callable[[str], None]
    ) -> None:
        self.folder, self._queue, self._options, self._on_error = folder, queue, options, on_error
        self.heartbeat = Heartbeat()
        self.on_commit: list[Callable[[list[Event]], None]] = []
        self.on_clock_step: list[Callable[[float], None]] = []
        self.moved = ""
        self.damaged = ""
        self.must_end: RunFailure | None = None
        self.wake = threading.Event()
        self.ended = threading.Event()
        self._lock = threading.Lock()
        self._entered: list[tuple[OpenFolder, int, str]] = []
        self._unnamed: list[str] = []  # names of deleted crops that rows may still have
        self._ending: tuple[str, int, int] | None = None
        self._deadline = 0.0
        self._log_synced = time.monotonic()
        self.end_error = ""
        self._has_refused = False
        self._named_checked: OpenFolder | None = None
        self._clock_offset = 0.0  # of the times in the event file

    def enter_crop(self, folder: OpenFolder, number: int, name: str) -> None:
        """Let an event's row name its crop, which is on the disk now."""
        with self._lock:
            self._entered.append((folder, number, name))

    def end(self, deadline: float, ended: str, frames: int, bad: int) -> None:
        """Write what waits, record the end of the run and close.

        Writing ends at `deadline`, a time of the monotonic clock.
        """
        self._deadline = deadline
        self._ending = (ended, frames, bad)
        self.ended.set()
        self.wake.set()

    def work(self) -> None:
        """Write until the end; runs in the thread."""
        while self._ending is None:
            self.wake.wait(self._options.limits.batch_seconds)
            self.wake.clear()
            while not self._write_batch() and self._queue.is_batch_full and self._ending is None:
                pass
        if not self.must_end:
            self.folder.store.set_busy_timeout(LAST_BUSY_SECONDS)
        while "locked" in (error := self._write_batch()) and time.monotonic() < self._deadline:
            time.sleep(LAST_BUSY_SECONDS)
        while not error and self._queue.events:
            error = self._write_batch()
        self._close()

    def _write_batch(self) -> str:
        """Write a batch; return why a part of it could not be written, or ""."""
        batch = self._queue.take_batch()
        try:
            with self.heartbeat:
                self._check_folder()
                error = self._save(batch)
                error = self._write_lines(batch) or error
        except BaseException:
            self._queue.put_back(batch)  # it will not be written; closing counts it as lost
            self._queue.drop_lines(len(batch.lines))
            raise
        self._on_error(error)
        return error

    def _save(self, batch: Batch) -> str:
        folder = self.folder
        with self._lock:
            entered, self._entered = self._entered, []
        self._unnamed += folder.files.take_deleted()
        rows = [(event, folder.stored_crop(event.number)) for event in batch.events.values()]
        crops = [(number, name) for entered_folder, number, name in entered if entered_folder is folder]
        try:
            if folder.files.is_scanned and self._named_checked is not folder:  # crops that were deleted between runs
                self._unnamed += [name for name in folder.store.crops() if name not in folder.files]
                self._named_checked = folder
            step = batch.clock_offset - self._clock_offset
            if rows or crops or self._unnamed or step:
                for event, reason in folder.store.save(rows, self._unnamed, crops, step):
                    self._set_aside(event, reason)
                    del batch.events[event.number]
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorname", "").startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
                self.damaged = f"{EVENT_FILE} was damaged ({error})"
            self._queue.put_back(batch)
            with self._lock:
                self._entered = entered + self._entered
            return str(error)
        self._unnamed = []
        self._clock_offset = batch.clock_offset
        for inform_step in self.on_clock_step if step else ():
            inform_step(step)
        events = list(batch.events.values())
        self._queue.events_written(batch)
        for inform in self.on_commit if events else ():
            inform(events)
        return ""

    def _set_aside(self, event: Event, reason: str) -> None:
        """Keep an event that the event file refuses, so that others are not held up."""
        self._queue.refuse(event.number)
        level = logging.DEBUG if self._has_refused else logging.ERROR
        self._has_refused = True
        logger.log(level, "event %s cannot be stored (%s): such events are in %s", event.id, reason, REFUSED_FILE)
        try:
            with (self.folder.path / REFUSED_FILE).open("a", encoding="utf-8", errors="backslashreplace") as stream:
                stream.write(json.dumps(event.to_dict(), default=str) + "\n")
        except OSError as error:
            logger.error("%s cannot be written: %s", REFUSED_FILE, error.strerror)

    def _write_lines(self, batch: Batch) -> str:
        log = self.folder.log
        try:
            log.write(batch.lines)
            if time.monotonic() - self._log_synced >= self._options.limits.log_sync_seconds:
                self._log_synced = time.monotonic()
                log.sync()
        except OSError as error:
            self._queue.drop_lines(len(batch.lines))
            return error.strerror or str(error)
        finally:
            batch.lines.clear()
        return ""

    def _check_folder(self) -> None:
        """Open the folder again if it was removed, replaced or damaged.

        If that is not possible, the run must end.
        """
        if self.must_end or not (reason := self.folder.why_moved() or self.damaged):
            return
        path = self.folder.path
        try:
            try:
                self.folder.close()
            except (OSError, sqlite3.Error) as error:
                logger.debug("closing the old folder: %s", error)
            if self.damaged:
                logger.error("the damaged event file is now %s", quarantine(path / EVENT_FILE))
                self.damaged = ""
            self.folder = reopen(self.folder, self._options, self.folder.store.uid)
            self._clock_offset = 0.0
            logger.error("%s: %s during the run; writing continues in a new one, without what was written before",
                         path, reason)  # fmt: skip
        except (OSError, UsageError) as error:
            self.must_end = RunFailure(f"the run has ended, because {reason}: {error}")
        self.moved = reason  # last, so that it is known by then whether the run must end

    def _close(self) -> None:
        assert self._ending is not None
        ended, frames, bad = self._ending
        try:
            with self.heartbeat:
                self.folder.close(lambda: self.folder.store.end(ended, frames, bad))
        except (OSError, sqlite3.Error) as error:
            self.end_error = (error.strerror if isinstance(error, OSError) else None) or str(error)
            logger.warning("the end of the run could not be recorded: %s", self.end_error)
