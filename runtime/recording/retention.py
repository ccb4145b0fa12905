"""Keep crops, saved frames, inputs and logs within a quota and above a floor of free disk space: delete the oldest."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from ..system.atomic_files import fsync_directory, write_atomic

MIB = 1 << 20
QUOTA, FLOOR = 2048 * MIB, 256 * MIB
MARGIN = 4 * MIB
"""Free bytes above the floor at which low-priority files stop growing; completing a file needs space, too."""
_RETAINED = re.compile(
    r"(crops/\d+|saved|inputs)/[^/.][^/]*\.(png|fits)|(frames-[\d-]+\.jsonl|sheet-\d+\.jpg|annotated-\d+\.mp4)"
)


def free_bytes(folder: Path) -> int:
    """Return how many bytes a user may still write to a folder's disk."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


class RetainedFiles:
    """The files of an output folder that may be deleted when space is short.

    Args:
        folder: the output folder.
        quota: maximum size of all such files together in bytes; 0 for no limit.
        floor: bytes of the disk that must stay free.
        free: returns the free bytes of the disk.

    Attributes:
        growing: return the sizes of files that are still being written; they count, and cannot be deleted.
    """

    def __init__(
        self, folder: Path, quota: int = QUOTA, floor: int = FLOOR, free: Callable[[Path], int] = free_bytes
    ) -> None:
        self._folder, self._quota, self._floor, self._free = folder, quota, floor, free
        self._sizes: dict[str, int] = {}  # by name, the oldest first
        self._unsynced: set[Path] = set()
        self._bytes = 0
        self.growing: list[Callable[[], int]] = []
        found = []
        listed = (path for pattern in ("crops/*/*", "saved/*", "inputs/*", "*") for path in folder.glob(pattern))
        for path in (path for path in listed if path.is_file() and not path.is_symlink()):
            name = path.relative_to(folder).as_posix()
            if _RETAINED.fullmatch(name):
                found.append((path.stat().st_mtime_ns, name, path.stat().st_size))
            elif _RETAINED.fullmatch(path.with_name(path.name[1:]).relative_to(folder).as_posix()):
                path.unlink(missing_ok=True)  # left unfinished by a run that was killed
        for _, name, size in sorted(found):
            self.add(name, size)
        self._older, self._older_bytes = set(self._sizes), self._bytes  # of earlier runs

    @property
    def size(self) -> int:
        """Size of all such files in bytes, including those that are still being written."""
        return self._bytes + sum(size() for size in self.growing)

    def __contains__(self, name: str) -> bool:
        return name in self._sizes

    def add(self, name: str, size: int) -> None:
        """Add a file that was just written, by its name in the folder: it becomes the newest."""
        self._bytes += size - self._sizes.pop(name, 0)
        self._sizes[name] = size

    def write(self, name: str, content: bytes) -> None:
        """Write a file atomically.

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
        """Flush the folder entries of the files that were written to the disk.

        Raises:
            OSError: the disk does not take them.
        """
        while self._unsynced:
            fsync_directory(self._unsynced.pop())

    def delete_oldest(self) -> list[str]:
        """Delete the oldest files until quota and floor are respected.

        Returns:
            Names of the deleted files.
        """
        deleted = []
        while self._sizes and (self.size > self._quota > 0 or self._free(self._folder) < self._floor):
            name = next(iter(self._sizes))
            size = self._sizes.pop(name)
            self._bytes -= size
            if name in self._older:
                self._older.remove(name)
                self._older_bytes -= size
            (self._folder / name).unlink(missing_ok=True)
            deleted.append(name)
        return deleted

    def has_space(self) -> bool:
        """Return whether the disk has at least the floor free."""
        return self._free(self._folder) >= self._floor

    def may_grow(self, size: int) -> bool:
        """Return whether a low-priority file of `size` bytes may keep growing.

        It may grow up to a third of the quota, and while only files of earlier runs would have to be deleted for it.
        """
        older = self._older_bytes
        within = self._quota <= 0 or (size <= self._quota / 3 and self.size - older <= 0.9 * self._quota)
        return within and self._free(self._folder) + older >= self._floor + MARGIN
