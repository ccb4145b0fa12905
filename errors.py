"""The one base of every error that is a user's business: a clear line, and an exit code."""

from __future__ import annotations


class UserError(Exception):
    """Something that the person at the keyboard can mend; the message says what is wrong, where, and what to do.

    Attributes:
        exit_code: 2 where a command was asked for something that is not there, 1 where its work failed.
    """

    exit_code = 1
