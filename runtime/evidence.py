"""Crops, saved frames and logs: files under a byte quota and above a floor of free space, the oldest go first."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from .files import sync_folder, write_whole

MIB = 1 << 20
QUOTA, FLOOR = 2048 * MIB, 256 * MIB
_KEPT = re.compile(r"(crops/\d+|saved)/[^/.][^/]*\.(png|fits)|(frames-[\d-]+\.jsonl|sheet-\d+\.jpg|annotated-\d+\.mp4)")


def free_bytes(folder: Path) -> int:
    """Tell how many bytes a user may still write to a folder's disk."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


class Evidence:
    """The files of an output folder that may be given up.

    Args:
        folder: the output folder.
        quota: most bytes of all such files together; 0 for none.
        floor: bytes of the disk that stay free.
        free: tells the free bytes of the disk.

    Attributes:
        bytes: of all such files now.
    """

    def __init__(
        self, folder: Path, quota: int = QUOTA, floor: int = FLOOR, free: Callable[[Path], int] = free_bytes
    ) -> None:
        self._folder, self._quota, self._floor, self._free = folder, quota, floor, free
        self._sizes: dict[str, int] = {}  # the oldest first
        self._unsynced: set[Path] = set()
        self.bytes = 0
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

    def __contains__(self, name: str) -> bool:
        return name in self._sizes

    def add(self, name: str, size: int) -> None:
        """Take a file, by its name in the folder, that was just written: it is the youngest now."""
        self.bytes += size - self._sizes.pop(name, 0)
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
        write_whole(path, content)
        self._unsynced.add(path.parent)
        self.add(name, len(content))

    def sync(self) -> None:
        """Bring the folder entries of what was written to the disk."""
        while self._unsynced:
            sync_folder(self._unsynced.pop())

    def retire(self) -> list[str]:
        """Delete the oldest files until quota and floor are kept.

        Returns:
            Names of the files that are gone.
        """
        gone = []
        while self._sizes and (self.bytes > self._quota > 0 or self._free(self._folder) < self._floor):
            name = next(iter(self._sizes))
            self.bytes -= self._sizes.pop(name)
            (self._folder / name).unlink(missing_ok=True)
            gone.append(name)
        return gone

    def room(self) -> bool:
        """Tell whether the disk has more free than the floor."""
        return self._free(self._folder) >= self._floor
