"""The log of frames: JSON lines, in files that are closed at a size, so that old ones can be given up."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

SEGMENT = 64 << 20


class FrameLog:
    """Appends lines to ``frames-0001.jsonl``, then ``frames-0001-02.jsonl`` and so on.

    Args:
        folder: where the files are.
        number: the run's, as in the names.
        closed: told of each file that is complete: its name and size.
        segment: bytes at which a file is closed.

    Attributes:
        size: bytes of the file that is open.

    Raises:
        OSError: the first file cannot be made.
    """

    def __init__(self, folder: Path, number: str, closed: Callable[[str, int], None], segment: int = SEGMENT) -> None:
        self.path = folder / f"frames-{number}.jsonl"
        self._folder, self._number, self._closed, self._segment = folder, number, closed, segment
        self._count = 1
        self.size = 0
        self._file = self.path.open("wb", buffering=0)

    def write(self, lines: list[str]) -> None:
        """Append lines, all or none.

        Raises:
            OSError: they cannot be written; no part of them is left.
        """
        content = "".join(f"{line}\n" for line in lines).encode()
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
            self._next()

    def close(self) -> None:
        """Close the last file, its content on the disk.

        Raises:
            OSError: the disk does not take it.
        """
        try:
            os.fsync(self._file.fileno())
        finally:
            self._file.close()

    def _next(self) -> None:
        following = (self._folder / f"frames-{self._number}-{self._count + 1:02d}.jsonl").open("wb", buffering=0)
        self.close()
        closed, size = Path(self._file.name).name, self.size
        self._file, self.size = following, 0
        self._closed(closed, size)
        self._count += 1
