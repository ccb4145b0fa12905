"""Errors of an export; each message is one line."""

from __future__ import annotations

from ..errors import UserError


class ExportError(UserError):
    """An export failed; the message gives the reason and what to do."""


class ExportUsage(ExportError):
    """An export was called with invalid arguments."""

    exit_code = 2
