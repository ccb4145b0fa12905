"""Delete the oldest files to keep a quota and a floor of free disk space.

The files are crops, saved frames, inputs and logs.
"""

from __future__ import annotations

import errno
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ...files import fsync_directory, fsync_files, staging_path

MIB = 1 << 20
QUOTA, FLOOR = 2048 * MIB, 256 * MIB
MARGIN = 4 * MIB
"""Free bytes above the floor at which low-priority files stop growing; completing a file needs space, too."""
SHARES = {"saved": 0.25, "inputs": 0.5}
"""Maximum share of the quota of a folder: files saved on request must not replace the crops of a night."""
FREE_INODES = 256
"""Minimum number of free inodes on the disk."""
_RETAINED = re.compile(
    r"(crops/\d+|saved|inputs)/[^/.][^/]*\.(png|fits)|(frames-[\d-]+\.jsonl|sheet-\d+\.jpg|annotated-\d+\.(mp4|webm)|report-[\d-]+\.html)"
)


def free_bytes(folder: Path) -> int:
    """Return how many bytes a user may still write to a folder's disk.

    0 if it can hold no more files.
    """
    status = os.statvfs(folder)
    if status.f_files > 0 and status.f_favail < min(FREE_INODES, status.f_files // 20):
        return 0
    return status.f_bavail * status.f_frsize


class RetainedFiles:
    """The files of an output folder that may be deleted when space is short.

    Thread-safe.

    Args:
        folder: the output folder.
        quota: maximum size of all such files together in bytes; 0 for no limit.
        floor: bytes of the disk that must stay free.
        free: returns the free bytes of the disk.

    Attributes:
        growing: return the sizes of files that are still being written; they count, and cannot be deleted.
        is_scanned: whether the files of earlier runs are counted.
    """

    def __init__(
        self, folder: Path, quota: int = QUOTA, floor: int = FLOOR, free: Callable[[Path], int] = free_bytes
    ) -> None:
        self._folder, self._quota, self._floor, self._free = folder, quota, floor, free
        self._lock = threading.RLock()
        self._sizes: dict[str, int] = {}  # by name, the oldest first
        self._staged: dict[str, int] = {}  # written, but not yet flushed to the disk
        self._unsynced: set[Path] = set()
        self._bytes = self._reserved = 0
        self._shares = dict.fromkeys(SHARES, 0)  # bytes by folder
        self._deleted: list[str] = []
        self._older: set[str] = set()
        self._older_bytes = 0
        self.growing: list[Callable[[], int]] = []
        self.is_scanned = False

    def scan(self, run: str = "") -> None:
        """Add the files of earlier runs, and delete unfinished ones of killed runs.

        It is called once, before all other methods.

        Args:
            run: number of the current run as in file names; its log and video are left alone.
        """
        found = []
        current = re.compile(rf"\.?(frames|annotated|sheet)-{run}\b.*") if run else None
        listed = (path for pattern in ("crops/*/*", "saved/*", "inputs/*", "*") for path in self._folder.glob(pattern))
        for path in (path for path in listed if path.is_file() and not path.is_symlink()):
            if current and current.fullmatch(path.name):
                continue
            name = path.relative_to(self._folder).as_posix()
            if _RETAINED.fullmatch(name):
                found.append((path.stat().st_mtime_ns, name, path.stat().st_size))
            elif _RETAINED.fullmatch(path.with_name(path.name[1:]).relative_to(self._folder).as_posix()):
                path.unlink(missing_ok=True)
        with self._lock:
            for _, name, size in sorted(found):
                self.add(name, size)
            self._older, self._older_bytes = set(self._sizes), self._bytes
        self.is_scanned = True

    @property
    def size(self) -> int:
        """Size of all such files in bytes, including those that are still being written."""
        with self._lock:
            staged = sum(self._staged.values())
            return self._bytes + staged + self._reserved + sum(size() for size in self.growing)

    def __contains__(self, name: str) -> bool:
        return name in self._sizes

    def add(self, name: str, size: int) -> None:
        """Add a file that was just written, by its name in the folder, as newest."""
        with self._lock:
            self._count(name, size - self._sizes.pop(name, 0))
            self._sizes[name] = size

    def stage(self, name: str, content: bytes) -> None:
        """Write a file under a temporary name; first delete old files beyond the quota.

        Raises:
            OSError: it cannot be written, or there is no space for it.
        """
        self._make_space(len(content), name.partition("/")[0])
        path = self._folder / name
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._unsynced.add(path.parent.parent)
        staged = staging_path(path)
        try:
            staged.write_bytes(content)
        except OSError:
            staged.unlink(missing_ok=True)
            raise
        with self._lock:
            self._staged[name] = len(content)

    def publish(self) -> list[str]:
        """Flush the staged files to the disk, rename them, and return their names.

        Their folders are flushed too.

        Raises:
            OSError: the disk does not store them; the staged files are deleted.
        """
        with self._lock:
            staged = dict(self._staged)
        published = []
        try:
            fsync_files([staging_path(self._folder / name) for name in staged])
            for name in staged:
                path = self._folder / name
                os.replace(staging_path(path), path)
                published.append(name)
                self._unsynced.add(path.parent)
            while self._unsynced:
                fsync_directory(self._unsynced.pop())
        finally:
            with self._lock:
                for name, size in staged.items():
                    self._staged.pop(name, None)
                    if name in published:
                        self.add(name, size)
                    else:
                        staging_path(self._folder / name).unlink(missing_ok=True)
        return published

    @contextmanager
    def room(self, size: int) -> Iterator[None]:
        """Delete the oldest files so that a file may grow by `size` bytes in the block.

        Raises:
            OSError: there is no space for it.
        """
        self._make_space(size)
        with self._lock:
            self._reserved += size
        try:
            yield
        finally:
            with self._lock:
                self._reserved -= size

    def delete_oldest(self, size: int = 0) -> None:
        """Delete the oldest files until quota and floor leave `size` bytes to spare.

        Raises:
            OSError: there is nothing more to delete, or a file cannot be deleted.
        """
        with self._lock:
            while True:
                if self.size + size > self._quota > 0:
                    error = OSError(errno.EDQUOT, "the quota is taken by files that are still being written")
                elif self._free(self._folder) < self._floor + size:
                    error = OSError(errno.ENOSPC, "the disk is below its floor of free space")
                else:
                    return
                if not self._sizes:
                    raise error
                self._delete(next(iter(self._sizes)))

    def take_deleted(self) -> list[str]:
        """Return the names of the files deleted since the last call."""
        with self._lock:
            deleted, self._deleted = self._deleted, []
        return [name for name in deleted if name not in self._sizes]

    def may_grow(self, size: int) -> bool:
        """Return whether a low-priority file of `size` bytes may keep growing.

        It may grow up to a third of the quota, and while only files of earlier runs would have to be deleted for it.
        """
        older = self._older_bytes
        within = self._quota <= 0 or (size <= self._quota / 3 and self.size - older <= 0.9 * self._quota)
        return within and self._free(self._folder) + older >= self._floor + MARGIN

    def _make_space(self, size: int, folder: str = "") -> None:
        limit = self._quota * SHARES.get(folder, 1.0)
        if size > limit > 0:
            raise OSError(errno.EFBIG, f"it is larger than its share of the quota ({size} bytes)")
        with self._lock:
            if folder in self._shares and limit:
                staged = sum(count for name, count in self._staged.items() if name.startswith(f"{folder}/"))
                while self._shares[folder] and self._shares[folder] + staged + size > limit:
                    self._delete(next(name for name in self._sizes if name.startswith(f"{folder}/")))
            self.delete_oldest(size)

    def _delete(self, name: str) -> None:
        """Delete a file; the lock is held."""
        size = self._sizes.pop(name)
        self._count(name, -size)
        if name in self._older:
            self._older.remove(name)
            self._older_bytes -= size
        self._deleted.append(name)
        (self._folder / name).unlink(missing_ok=True)

    def _count(self, name: str, size: int) -> None:
        self._bytes += size
        folder = name.partition("/")[0]
        if folder in self._shares:
            self._shares[folder] += size
