"""The one base of every error that is a user's business: a clear line, and an exit code."""

from __future__ import annotations

import errno
import os


class UserError(Exception):
    """Something that the person at the keyboard can mend; the message says what is wrong, where, and what to do.

    Attributes:
        exit_code: 2 where a command was asked for something that is not there, 1 where its work failed.
    """

    exit_code = 1


def disk_is_full(problem: BaseException) -> bool:
    """Tell whether an error says that a disk or a quota is full; TensorFlow and HDF5 keep only the system's words."""
    codes = (errno.ENOSPC, errno.EDQUOT)
    return getattr(problem, "errno", None) in codes or any(os.strerror(code) in str(problem) for code in codes)


class UsageError(UserError):
    """The command asks for something that is not there: a source, a folder, an extra."""

    exit_code = 2


class ImageError(UserError):
    """One picture that cannot be read; in a folder it is reported, counted and skipped."""

    exit_code = 2

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


class MissingExtra(UserError):
    """An extra of this package that is needed and not installed."""

    exit_code = 2


def require_extra(module: str, extra: str) -> None:
    """Raise `MissingExtra` unless a module, which an extra of this package installs, can be imported."""
    import importlib.util

    if importlib.util.find_spec(module) is None:
        raise MissingExtra(f"this command needs the extra [{extra}]: pip install 'galaxy-edge[{extra}]'")
