"""Errors of a run."""

from __future__ import annotations

from ..errors import UserError


class RunFailure(UserError):
    """A run that started and could not continue, or whose input was all unusable."""
