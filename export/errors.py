"""What can go wrong in an export, as one clear line."""

from __future__ import annotations

from ..errors import UserError


class ExportError(UserError):
    """An export that cannot go on; the message says why and what to do."""


class ExportUsage(ExportError):
    """An export that was asked for something that is not there."""

    exit_code = 2
