"""What a run says of itself while it goes on: on a terminal a live table, elsewhere a line now and then."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import click

from ..frame import Detections, Frame
from .run_stats import RunStats

if TYPE_CHECKING:
    from .live_table import LiveTable

SECONDS = 5.0


def progress_display(length: int | None, err: bool) -> LiveTable | StatusLine:
    """Give what follows a run.

    Args:
        length: frames to come, if known.
        err: whether to write to stderr.
    """
    if not (sys.stderr if err else sys.stdout).isatty():
        return StatusLine(err)
    from .live_table import LiveTable  # what draws on a terminal takes memory, which a service does without

    return LiveTable(length, err)


class StatusLine:
    """A line now and then."""

    def __init__(self, err: bool) -> None:
        self._err = err
        self._spoken = time.monotonic()

    def __enter__(self) -> StatusLine:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, frame: Frame, named: Detections, record: dict[str, Any], summary: RunStats) -> None:
        """Say how far it is, if that was not said lately."""
        if time.monotonic() - self._spoken > SECONDS:
            self._spoken = time.monotonic()
            rate = summary.frames / summary.seconds if summary.seconds else 0.0
            click.echo(f"{summary.frames} frames, {summary.events} galaxies, {rate:.1f} frames/s", err=self._err)
