"""An output folder that is removed, renamed or replaced while a run writes to it."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path

from .....runtime.errors import RunFailure
from .....runtime.frame import Frame
from .....runtime.recording.output_folder import OutputFolder
from .....runtime.tracking.track import Track
from ...attack import Attack, Outcome
from ...crash_recovery import open_output, synthetic_frames

EVENTS = 20
WAIT = 10.0
"""Seconds in which a run must notice."""
WAYS = ("removed", "renamed", "replaced", "event file removed")


def run(count: int, folder: Path) -> Outcome:
    """Remove or replace the folder during `count` runs.

    Each must notice, fail and lock its new folder.
    """
    unnoticed = unreported = unstored = 0
    for number in range(count):
        run_folder = folder / f"run-{number}"
        output = open_output(run_folder)
        frames = synthetic_frames(number)
        _write(output, frames, EVENTS)
        way = WAYS[number % len(WAYS)]
        _take_away(run_folder, way)
        noticed, ended = _wait(output)
        _write(output, frames, EVENTS)
        with suppress(RunFailure):
            output.writer.check()
        output.close(2 * EVENTS, 0)
        unnoticed += not noticed
        unreported += output.writer.failure is None
        stored = _stored(run_folder)
        unstored += 0 if ended else max(0, EVENTS - stored)
    held = not (unnoticed or unreported or unstored)
    return Outcome(
        {"runs": count, "unnoticed": unnoticed, "unreported": unreported, "later_events_lost": unstored}, held
    )


def _write(output: OutputFolder, frames: Iterator[tuple[Frame, list[Track]]], count: int) -> None:
    for _, tracks in islice(frames, count):
        output.events(tracks)
    until = time.monotonic() + WAIT
    while output.writer.pending and time.monotonic() < until:
        time.sleep(0.01)


def _take_away(run_folder: Path, way: str) -> None:
    if way == "removed":
        shutil.rmtree(
            run_folder.rename(run_folder.with_name(f"{run_folder.name}-gone")), ignore_errors=True
        )  # the run adds files
    elif way == "event file removed":
        (run_folder / "events.sqlite").unlink()
    else:
        run_folder.rename(run_folder.with_name(f"{run_folder.name}-before"))
    if way == "replaced":
        open_output(run_folder).close(0, 0)


def _wait(output: OutputFolder) -> tuple[bool, bool]:
    """Return whether the run noticed in time, and whether it has to end.

    It has to end if the folder is another run's.
    """
    until = time.monotonic() + WAIT
    while time.monotonic() < until:
        moved = output.writer.moved  # read first: a run that must end has failed by then
        try:
            output.writer.check()
        except RunFailure:
            return True, True
        if moved:
            return True, False
        time.sleep(0.02)
    return False, False


def _stored(run_folder: Path) -> int:
    with closing(sqlite3.connect(run_folder / "events.sqlite")) as database:
        return int(database.execute("SELECT count(*) FROM event").fetchone()[0])


ATTACK = Attack(
    promise="An output folder that is removed, renamed or replaced during a run is noticed and reported, "
    "and no two runs write into one.",
    method="{count} runs whose folder or event file is removed, renamed, or replaced by that of another run",
    run=run,
    count=12,
    small_count=4,
)
