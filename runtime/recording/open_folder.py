"""The open files of an output folder, and whether its path still leads to them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ...errors import UsageError
from ...files import fsync_directory
from ..events.store import EventStore
from ..system.folder_lock import NAME, acquire_lock
from .frame_log import SEGMENT, FrameLog
from .pending import WriterLimits
from .retention import FLOOR, QUOTA, RetainedFiles

EVENT_FILE = "events.sqlite"


class FolderOptions(NamedTuple):
    """Options with which an output folder is opened.

    Attributes:
        about: description of the run, see `EventStore`.
        quota, floor: see `RetainedFiles`.
        fits: whether crops and saved frames are written as FITS too.
        limits: of the writer.
    """

    about: dict[str, str]
    quota: int = QUOTA
    floor: int = FLOOR
    fits: bool = False
    limits: WriterLimits = WriterLimits()


class OpenFolder:
    """The lock, event file, frame log and retained files of an output folder.

    Args:
        folder: created if missing.
        options: what it is opened with.
        after: the run's number is higher than this, and than those of all runs in the folder.
        uid: of the run, where it has one already.

    Attributes:
        store, log, files: its parts.
        number: of the run, four digits as in file names.
        crops: folder of the run's crops, by its name in the output folder.

    Raises:
        UsageError: another run writes to it, or its event file cannot be used.
        OSError: it cannot be written to.
    """

    def __init__(self, folder: Path, options: FolderOptions, after: int, uid: str | None = None) -> None:
        self.path = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = acquire_lock(folder)
        try:
            self.store = EventStore(folder / EVENT_FILE, options.about, after, options.limits.busy_timeout, uid)
            self.number = f"{self.store.run:04d}"
            self.crops = f"crops/{self.number}"
            (folder / self.crops).mkdir(parents=True, exist_ok=True)
            for parent in (folder / "crops", folder):  # a file survives a power loss only if its folder is flushed too
                fsync_directory(parent)
            self.files = RetainedFiles(folder, options.quota, options.floor)
            # The files of the log are a small part of the quota each, because an open file cannot be deleted.
            segment = min(SEGMENT, max(4096, options.quota // 8)) if options.quota else SEGMENT
            self.log = FrameLog(folder, self.number, self.files, segment)
            self.files.growing.append(lambda: self.log.size)
            self._opened = {path: os.stat(path) for path in (folder, folder / NAME, folder / EVENT_FILE)}
        except BaseException:
            os.close(self._lock)
            raise

    def crop_name(self, number: int) -> str:
        """Return the name of an event's crop in the output folder."""
        return f"{self.crops}/{number:05d}.png"

    def stored_crop(self, number: int) -> str | None:
        """Return the name of an event's crop if it is on the disk."""
        name = self.crop_name(number)
        return name if name in self.files else None

    def why_moved(self) -> str:
        """Return why the path no longer leads to the folder; else an empty string.

        It checks the folder, its lock and its event file.
        """
        for path, opened in self._opened.items():
            subject = "the output folder" if path == self.path else path.name
            try:
                now = os.stat(path)
            except FileNotFoundError:
                return f"{subject} was removed or renamed"
            if (now.st_dev, now.st_ino) != (opened.st_dev, opened.st_ino):
                return f"{subject} was replaced by another"
        return ""

    def close(self, before: Callable[[], None] = lambda: None) -> None:
        """Call a function, then close the event file and the log, and release the lock.

        Raises:
            OSError, sqlite3.Error: something could not be written.
        """
        try:
            before()
        finally:
            try:
                self.store.close()
            finally:
                try:
                    self.log.close()
                finally:
                    lock, self._lock = self._lock, -1
                    if lock >= 0:
                        os.close(lock)


def reopen(old: OpenFolder, options: FolderOptions, uid: str) -> OpenFolder:
    """Open a folder again that was removed or replaced, for the same run.

    Raises:
        UsageError: the folder there has an event file of its own, or another run writes to it.
        OSError: it cannot be written to.
    """
    if (old.path / EVENT_FILE).exists():
        raise UsageError(f"'{old.path}' now has an event file of another run")
    for end in ("-wal", "-shm"):  # of the event file that was removed: SQLite would apply it to the new one
        (old.path / f"{EVENT_FILE}{end}").unlink(missing_ok=True)
    run = int(old.number)
    folder = OpenFolder(old.path, options, run - 1, uid)
    if int(folder.number) != run:
        folder.close()
        raise UsageError(f"'{old.path}' now has files of other runs")
    return folder
