"""The interface of a source of frames."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from ..frame import Frame


class Source(Protocol):
    """Frames, one after another.

    Attributes:
        name: how it was asked for.
        continuous: whether one frame follows from the last (video, camera), so that objects can be followed.
        live: whether frames come when they like (camera), so that only the newest is worth looking at.
        length: number of frames if known.
        bad: number of pictures or frames that could not be read and were skipped.
        reopened: how often it was lost and came back.
    """

    name: str
    continuous: bool
    live: bool
    length: int | None
    bad: int
    reopened: int

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames, numbered from 0."""
        ...
