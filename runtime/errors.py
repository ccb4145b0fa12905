"""What can go wrong at run time, as one clear line for the person at the telescope."""

from __future__ import annotations

from ..errors import UserError


class RunFailure(UserError):
    """The run began and could not go on, or nothing in it could be used."""
