"""The frame log: JSON lines in files of limited size, so that old files can be deleted."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

SEGMENT = 64 << 20
"""Bytes at which a file is closed and the next is opened."""


class FrameLog:
    """Appends lines to ``frames-0001.jsonl``, then to ``frames-0001-02.jsonl`` and so on.

    Args:
        folder: where the files are.
        number: of the run, as in the file names.
        on_closed: called with the name and size of each file that is complete.
        segment: bytes at which a file is closed.

    Attributes:
        path: the first file.
        size: bytes of the open file.

    Raises:
        OSError: the first file cannot be created.
    """

    def __init__(
        self, folder: Path, number: str, on_closed: Callable[[str, int], None], segment: int = SEGMENT
    ) -> None:
        self.path = folder / f"frames-{number}.jsonl"
        self._folder, self._number, self._on_closed, self._segment = folder, number, on_closed, segment
        self._count = 1
        self.size = 0
        self._file = self.path.open("wb", buffering=0)

    def write(self, lines: list[str]) -> None:
        """Append all lines, or none.

        Raises:
            OSError: they cannot be written; a part that was written is removed.
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
            self._open_next()

    def close(self) -> None:
        """Flush the open file to the disk and close it.

        Raises:
            OSError: the disk does not take it.
        """
        try:
            os.fsync(self._file.fileno())
        finally:
            self._file.close()

    def _open_next(self) -> None:
        following = (self._folder / f"frames-{self._number}-{self._count + 1:02d}.jsonl").open("wb", buffering=0)
        self.close()
        closed, size = Path(self._file.name).name, self.size
        self._file, self.size = following, 0
        self._on_closed(closed, size)
        self._count += 1
