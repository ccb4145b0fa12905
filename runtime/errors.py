"""What can go wrong at run time, as one clear line for the person at the telescope."""

from __future__ import annotations

from ..errors import UserError


class UsageError(UserError):
    """The command asks for something that is not there: a source, a folder, an extra."""

    exit_code = 2


class RunFailure(UserError):
    """The run began and could not go on, or nothing in it could be used."""


class BadPicture(UserError):
    """One picture that cannot be read; in a folder it is reported, counted and skipped."""

    exit_code = 2

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason
