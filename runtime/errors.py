"""Errors of a run."""

from __future__ import annotations

from ..errors import UserError


class RunFailure(UserError):
    """The run started and could not continue, or none of its input could be used."""
