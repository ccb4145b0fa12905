"""The interface of a source of frames."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from ..frame import Frame

KNOWN = "an image, folder, zip, video, camera, stream, watch:FOLDER or demo"
"""Kinds of sources, for messages."""


class Source(Protocol):
    """A sequence of frames.

    Attributes:
        name: the source as the user named it, without a password.
        continuous: whether successive frames show the same field (video, camera), so that objects can be tracked.
        live: whether frames arrive at their own pace (camera), so that only the newest one is worth processing.
        length: number of frames if known.
        bad: number of images or frames that could not be read and were skipped.
        reopened: number of times that it was lost and reopened.
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


@runtime_checkable
class ResumableSource(Protocol):
    """A source that a later run resumes after the frames that were processed."""

    def frame_processed(self, source: str) -> None:
        """Record that the frame of this `Frame.source` was processed and written."""
        ...

    def run_ended(self) -> None:
        """Log what was not read, as no more frames are taken."""
        ...
