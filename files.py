"""Write files atomically, so that a reader sees a complete file or none.

Lock files between processes.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue

FLUSHES = 8
"""Number of files that are flushed to the disk at the same time."""


def staging_path(path: Path) -> Path:
    """Return where a file is written before it is renamed to `path`.

    That file is next to it, hidden, and has the same suffix.
    """
    return path.with_name("." + path.name)


def write_atomic(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write a file atomically.

    The file is written under a temporary name, flushed to the disk, then renamed to `path`.

    The rename itself is durable only after `fsync_directory`, which is called once for many files.

    Raises:
        OSError: the file cannot be written; the temporary file is deleted, and a previous file is unchanged.
    """
    staged = staging_path(path)
    try:
        # A file or link of this name may belong to a killed process or another user: neither it nor its mode is used.
        staged.unlink(missing_ok=True)
        handle = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(staged, path)
    except OSError:
        staged.unlink(missing_ok=True)
        raise


def write_user_file(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write to a path that the user named.

    A file is written atomically, following links, and a device or pipe in place.

    Renaming onto ``/dev/stdout`` would replace the device by a file for every program.

    Raises:
        OSError: it cannot be written.
    """
    if path.exists() and not path.is_file():
        path.write_bytes(content)
    else:
        write_atomic(path.resolve(), content, mode)


@contextmanager
def atomic_path(path: Path, shared: bool = False) -> Iterator[Path]:
    """Yield a temporary path next to `path`, for libraries that write by name.

    Rename it to `path` at the end.

    If the block fails, the temporary file is deleted and a previous file is unchanged.

    Args:
        path: the file.
        shared: whether several processes may write it at the same time; the last one to end is kept.
    """
    staged = path.with_name(f".{os.getpid()}.{path.name}") if shared else staging_path(path)
    try:
        yield staged
        commit_staged(path, staged)
    except BaseException:
        staged.unlink(missing_ok=True)  # a partial file would use space on a full disk
        raise


def commit_staged(path: Path, staged: Path | None = None) -> None:
    """Flush a file to the disk and rename it to `path`.

    By default it is the file at `staging_path`.

    Raises:
        OSError: the file does not exist, or the disk does not store it.
    """
    staged = staged or staging_path(path)
    _fsync(staged, os.O_RDONLY)
    os.replace(staged, path)


def fsync_directory(folder: Path) -> None:
    """Flush a folder's entries to the disk.

    Files created or renamed in it then survive a power loss.
    """
    _fsync(folder, os.O_RDONLY | os.O_DIRECTORY)


def file_hash(path: Path) -> str:
    """Return the SHA-256 (hex) of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fsync_files(paths: Sequence[Path]) -> None:
    """Flush files to the disk, several at a time.

    File systems combine simultaneous flushes.

    Raises:
        OSError: the disk does not store one of them.
    """
    waiting = SimpleQueue[Path]()
    for path in paths:
        waiting.put(path)
    errors: list[OSError] = []

    def flush() -> None:
        with suppress(Empty):
            while not errors:
                try:
                    _fsync(waiting.get_nowait(), os.O_RDONLY)
                except OSError as error:
                    errors.append(error)

    # Daemon threads, so that a disk that never responds does not keep the process from ending.
    threads = [threading.Thread(target=flush, name="flush", daemon=True) for _ in range(min(FLUSHES, len(paths)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def fsync_tree(folder: Path) -> None:
    """Flush a folder and everything in it to the disk; links are not followed.

    Raises:
        OSError: the disk does not store one of them.
    """
    for parent, folders, files in os.walk(folder):
        for name in files:
            if not (path := Path(parent, name)).is_symlink():
                _fsync(path, os.O_RDONLY)
        for name in (*folders, "."):
            _fsync(Path(parent, name), os.O_RDONLY)


def try_lock(handle: int) -> bool:
    """Lock an open file exclusively, until it is closed.

    Return whether that succeeded, without waiting.

    The system releases the lock when the process that holds it ends, even if it is killed.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_for_lock(handle: int) -> None:
    """Lock an open file exclusively, until it is closed.

    Wait while another process holds the lock.
    """
    fcntl.flock(handle, fcntl.LOCK_EX)


def is_free(handle: int) -> bool:
    """Return whether no process holds the lock of an open file.

    The result is False if that cannot be determined.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _fsync(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
