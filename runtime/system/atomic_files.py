"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path


def staging_path(path: Path) -> Path:
    """Name the place beside a file where it is written first: hidden, with the same suffix."""
    return path.with_name("." + path.name)


def write_atomic(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write a file beside its place, bring it to the disk, then rename it: a reader never sees a part of it.

    The folder's own entry is durable after `fsync_directory`, once for many files.

    Raises:
        OSError: it cannot be written; nothing is left beside, and a file that was there before is as it was.
    """
    part = staging_path(path)
    try:
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def write_user_file(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write to what a person named: a file whole, through a link if it is one; a device or a pipe as it is.

    A rename would put a file in the place of ``/dev/stdout`` for every program.

    Raises:
        OSError: it cannot be written.
    """
    if path.exists() and not path.is_file():
        path.write_bytes(content)
    else:
        write_atomic(path.resolve(), content, mode)


def commit_staged(path: Path) -> None:
    """Bring what was written `beside` a path to the disk and rename it there."""
    part = staging_path(path)
    handle = os.open(part, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    os.replace(part, path)


def fsync_directory(folder: Path) -> None:
    """Bring a folder's entries to the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
