"""Errors that are reported to the user: a one-line message and an exit code."""

from __future__ import annotations

import errno
import os


class UserError(Exception):
    """An error that the user can fix.

    The message says what is wrong, where, and what to do.

    Attributes:
        exit_code: 2 where the command names something that does not exist, 1 where its work failed.
    """

    exit_code = 1


def disk_is_full(error: BaseException) -> bool:
    """Return whether an error means that a disk or quota is full.

    TensorFlow and HDF5 keep only the system's text.
    """
    codes = (errno.ENOSPC, errno.EDQUOT)
    return getattr(error, "errno", None) in codes or any(os.strerror(code) in str(error) for code in codes)


REFUSALS = frozenset(
    {
        errno.EACCES,
        errno.EEXIST,
        errno.EFBIG,
        errno.EIO,
        errno.EISDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.ENOTDIR,
        errno.EPERM,
        errno.EROFS,
    }
)
"""Errors of a disk whose cause the user can remove; they are not reported as bugs."""


def explain_refusal(error: BaseException) -> str | None:
    """Return the message for an error of a disk that the user can remove.

    None for another error.
    """
    if disk_is_full(error):
        return "the disk is full: free some space, then repeat the command, with --resume if it has that option"
    if isinstance(error, OSError) and error.errno in REFUSALS:
        return f"{error.filename or 'a file'} cannot be written or read: {error.strerror}"
    return None


class UsageError(UserError):
    """The command names something that does not exist, e.g. a source or a folder."""

    exit_code = 2


class ImageError(UserError):
    """An image that cannot be read; in a folder, it is reported, counted and skipped."""

    exit_code = 2

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


class MissingExtra(UserError):
    """An extra of this package that is required but not installed."""

    exit_code = 2


def require_extra(module: str, extra: str) -> None:
    """Raise `MissingExtra` unless a module of an extra can be imported."""
    import importlib.util

    if importlib.util.find_spec(module) is None:
        from .extras import extra_command

        raise MissingExtra(f"this command needs the extra [{extra}]: {extra_command(extra)}")
