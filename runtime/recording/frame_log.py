"""The frame log: JSON lines in files of limited size.

Old files can thus be deleted.
"""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path

from .retention import RetainedFiles

logger = logging.getLogger(__name__)

SEGMENT = 64 << 20
"""Bytes at which a file is closed and the next is opened."""
TAIL = 1 << 20
"""Bytes at the end of a log that a crash may have damaged: what was not yet flushed to the disk."""
_LOG = re.compile(r"frames-(\d+)(?:-(\d+))?\.jsonl")


class FrameLog:
    """A log in files ``frames-0001.jsonl``, ``frames-0001-02.jsonl`` and so on.

    Args:
        folder: where the files are.
        number: of the run, as in the file names.
        files: provides space for lines, and manages each complete file.
        segment: bytes at which a file is closed.

    Attributes:
        path: the first file.
        size: bytes of the open file.

    Raises:
        OSError: the first file cannot be created.
    """

    def __init__(self, folder: Path, number: str, files: RetainedFiles, segment: int = SEGMENT) -> None:
        self.path = folder / f"frames-{number}.jsonl"
        self._folder, self._number, self._files, self._segment = folder, number, files, segment
        self._count = 1
        self._synced = 0
        repair_last_log(folder, int(number))
        # A run that opens its folder again after its event file was removed continues its log.
        self._file = self.path.open("ab", buffering=0)
        self.size = self._file.tell()

    def write(self, lines: list[str]) -> None:
        """Append lines, and remove those that were written from the list.

        Raises:
            OSError: the remaining lines cannot be written; a partly written line is removed.
        """
        while lines:
            size = count = 0
            chunk = b""
            while count < len(lines) and (not count or size < self._segment // 4):
                chunk += f"{lines[count]}\n".encode()
                size, count = len(chunk), count + 1
            with self._files.room(size):
                self._append(chunk)
            del lines[:count]

    def sync(self) -> None:
        """Flush the open file to the disk, if it has grown.

        Raises:
            OSError: the disk does not take it.
        """
        if self._synced != self.size:
            os.fsync(self._file.fileno())
            self._synced = self.size

    def close(self) -> None:
        """Flush the open file to the disk and close it.

        Raises:
            OSError: the disk does not take it.
        """
        try:
            self.sync()
        finally:
            self._file.close()

    def _append(self, content: bytes) -> None:
        try:
            written = 0
            while written < len(content):
                written += self._file.write(content[written:]) or 0
        except OSError:
            self._file.truncate(self.size)
            self._file.seek(self.size)
            raise
        self.size += len(content)
        if self.size >= self._segment:
            self._open_next()

    def _open_next(self) -> None:
        while (path := self._folder / f"frames-{self._number}-{self._count + 1:02d}.jsonl").exists():
            self._count += 1  # of the same run, before it opened its folder again
        following = path.open("wb", buffering=0)
        self.close()
        closed, size = Path(self._file.name).name, self.size
        self._file, self.size, self._synced = following, 0, 0
        self._files.add(closed, size)
        self._count += 1


def repair_last_log(folder: Path, run: int) -> None:
    """Cut off what a crash left incomplete at the end of the last log in a folder.

    Report it.

    A killed run leaves a part of a line, a power loss zeros.

    Args:
        folder: the output folder.
        run: number of the present run, whose log is left alone.
    """
    logs = ((_LOG.fullmatch(path.name), path) for path in folder.glob("frames-*.jsonl"))
    numbered = [(int(match[1]), int(match[2] or 1), path) for match, path in logs if match and int(match[1]) != run]
    if not numbered:
        return
    path = max(numbered)[2]
    try:
        with path.open("r+b") as log:
            size = log.seek(0, os.SEEK_END)
            start = log.seek(max(0, size - TAIL))
            tail = log.read()
            whole = len(tail)
            while whole and not _is_line(tail[tail.rfind(b"\n", 0, whole - 1) + 1 : whole]):
                whole = tail.rfind(b"\n", 0, whole - 1) + 1
            if whole < len(tail):
                log.truncate(start + whole)
                logger.warning(
                    "%s ended with %d damaged bytes after a crash: they were cut off", path, len(tail) - whole
                )
    except OSError as error:
        logger.warning("%s was not checked: %s", path, error.strerror)


def _is_line(content: bytes) -> bool:
    return content.startswith(b"{") and content.endswith(b"}\n")
