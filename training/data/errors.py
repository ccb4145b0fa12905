"""Errors of labelled image sets."""

from __future__ import annotations

from ...errors import UserError


class DataError(UserError):
    """A data set that is missing, incomplete or not in a known layout.

    The message says which and where.
    """

    exit_code = 2
