"""Crops, saved frames and logs: files under a byte quota and above a floor of free space, the oldest go first."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from ..system.atomic_files import fsync_directory, write_atomic

MIB = 1 << 20
QUOTA, FLOOR = 2048 * MIB, 256 * MIB
MARGIN = 4 * MIB
"""Above the floor, what is worth less than crops may no longer grow; a file needs some room to be completed, too."""
_KEPT = re.compile(r"(crops/\d+|saved)/[^/.][^/]*\.(png|fits)|(frames-[\d-]+\.jsonl|sheet-\d+\.jpg|annotated-\d+\.mp4)")


def free_bytes(folder: Path) -> int:
    """Tell how many bytes a user may still write to a folder's disk."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


class RetainedFiles:
    """The files of an output folder that may be given up.

    Args:
        folder: the output folder.
        quota: most bytes of all such files together; 0 for none.
        floor: bytes of the disk that stay free.
        free: tells the free bytes of the disk.

    Attributes:
        growing: tell the bytes of files that are still being written; they count, and cannot go.
    """

    def __init__(
        self, folder: Path, quota: int = QUOTA, floor: int = FLOOR, free: Callable[[Path], int] = free_bytes
    ) -> None:
        self._folder, self._quota, self._floor, self._free = folder, quota, floor, free
        self._sizes: dict[str, int] = {}  # the oldest first
        self._unsynced: set[Path] = set()
        self._bytes = 0
        self.growing: list[Callable[[], int]] = []
        found = []
        listed = (path for pattern in ("crops/*/*", "saved/*", "*") for path in folder.glob(pattern))
        for path in (path for path in listed if path.is_file() and not path.is_symlink()):
            name = path.relative_to(folder).as_posix()
            if _KEPT.fullmatch(name):
                found.append((path.stat().st_mtime_ns, name, path.stat().st_size))
            elif _KEPT.fullmatch(path.with_name(path.name[1:]).relative_to(folder).as_posix()):
                path.unlink(missing_ok=True)  # what a run that was cut off had not finished
        for _, name, size in sorted(found):
            self.add(name, size)
        self._older, self._older_bytes = set(self._sizes), self._bytes  # what earlier runs left

    @property
    def size(self) -> int:
        """Bytes of all such files now, those that still grow included."""
        return self._bytes + sum(size() for size in self.growing)

    def __contains__(self, name: str) -> bool:
        return name in self._sizes

    def add(self, name: str, size: int) -> None:
        """Take a file, by its name in the folder, that was just written: it is the youngest now."""
        self._bytes += size - self._sizes.pop(name, 0)
        self._sizes[name] = size

    def write(self, name: str, content: bytes) -> None:
        """Write a file, whole or not at all.

        Raises:
            OSError: it cannot be written.
        """
        path = self._folder / name
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._unsynced.add(path.parent.parent)
        write_atomic(path, content)
        self._unsynced.add(path.parent)
        self.add(name, len(content))

    def sync(self) -> None:
        """Bring the folder entries of what was written to the disk."""
        while self._unsynced:
            fsync_directory(self._unsynced.pop())

    def retire(self) -> list[str]:
        """Delete the oldest files until quota and floor are kept.

        Returns:
            Names of the files that are gone.
        """
        gone = []
        while self._sizes and (self.size > self._quota > 0 or self._free(self._folder) < self._floor):
            name = next(iter(self._sizes))
            size = self._sizes.pop(name)
            self._bytes -= size
            if name in self._older:
                self._older.remove(name)
                self._older_bytes -= size
            (self._folder / name).unlink(missing_ok=True)
            gone.append(name)
        return gone

    def room(self) -> bool:
        """Tell whether the disk has more free than the floor."""
        return self._free(self._folder) >= self._floor

    def ample(self, size: int) -> bool:
        """Tell whether a growing file of so many bytes, worth less than crops, may go on.

        It may within a third of the quota, and while nothing but what earlier runs left would have to go for it soon.
        """
        older = self._older_bytes
        within = self._quota <= 0 or (size <= self._quota / 3 and self.size - older <= 0.9 * self._quota)
        return within and self._free(self._folder) + older >= self._floor + MARGIN
