"""Record which image files are being decoded, in the output folder.

A file that ended a run is thus not read by the next.

A run that the kernel kills for lack of memory, or that a decoder crashes, cannot report anything, and a service
manager would start it again with the same file. The record is not flushed to the disk: it outlives the process, and it
is ignored after a restart of the machine, since no file causes a power cut.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...errors import ImageError

logger = logging.getLogger(__name__)

JOURNAL = "images-in-work.json"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

Mark = tuple[str, int, int]
"""Identity of a file: its path, size and time of modification in nanoseconds."""


class WorkJournal:
    """A thread-safe record of images being decoded.

    It refuses those that ended an earlier run.

    Args:
        out: the output folder; None to note nothing.
    """

    def __init__(self, out: Path | None) -> None:
        self._path = out / JOURNAL if out else None
        self._boot = _BOOT_ID.read_text(encoding="ascii").strip() if _BOOT_ID.exists() else ""
        self._lock = threading.Lock()
        self._working: list[Mark] = []
        self._refused = self._read()

    @contextmanager
    def working(self, name: str, mark: Mark) -> Iterator[None]:
        """Record a file while it is decoded.

        Args:
            name: for messages.
            mark: identifies the file.

        Raises:
            ImageError: an earlier run ended while it decoded this file.
        """
        if mark in self._refused:
            raise ImageError(
                name,
                "an earlier run was ended while it was being decoded, so it is not read again; "
                f"delete {self._path} to try",
            )
        self._note(mark, True)
        try:
            yield
        finally:
            self._note(mark, False)

    def _read(self) -> list[Mark]:
        """Return the files that ended earlier runs.

        None if the note is of another boot, or damaged.
        """
        if self._path is None or not self._path.is_file():
            return []
        try:
            record = json.loads(self._path.read_text(encoding="utf-8"))
            marks = [(str(path), int(size), int(time)) for path, size, time in record["ended"] + record["in_work"]]
            if record["boot"] != self._boot:
                marks = marks[: len(record["ended"])]
        except (OSError, ValueError, KeyError, TypeError):
            return []
        return list(dict.fromkeys(marks))

    def _note(self, mark: Mark, begins: bool) -> None:
        if self._path is None:
            return
        with self._lock:
            if begins:
                self._working.append(mark)
            else:
                self._working.remove(mark)
            record = {"boot": self._boot, "ended": self._refused, "in_work": self._working}
            try:
                if not (self._working or self._refused):
                    self._path.unlink(missing_ok=True)
                    return
                self._path.parent.mkdir(parents=True, exist_ok=True)
                temporary = self._path.with_suffix(".tmp")
                temporary.write_text(json.dumps(record), encoding="utf-8")
                # Not flushed to the disk, unlike in `files`: it is written for each image, and outlives the process.
                os.replace(temporary, self._path)
            except OSError as error:
                logger.debug("%s cannot be written: %s", self._path, error.strerror)
