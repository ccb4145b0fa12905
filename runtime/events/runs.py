"""The runs of an output folder, as the event file describes them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .reader import open_for_reading, running_run


@dataclass(frozen=True)
class RunRow:
    """A run as stored.

    Attributes:
        number: of the run in its output folder, from 1.
        started, ended: UTC, ISO 8601; ``ended`` is None while it runs, and for a run that was killed.
        source: name of its source.
        version, device, engine: with which it ran.
        frames, bad_pictures: counts, None until it has ended.
        interrupted: whether it was killed.
    """

    number: int
    started: str
    ended: str | None
    source: str
    version: str
    device: str
    engine: str
    frames: int | None
    bad_pictures: int | None
    interrupted: bool


def query_runs(folder: Path) -> list[RunRow]:
    """Return all runs of an output folder, in their order.

    Raises:
        UsageError: the folder has no event file, or it cannot be read.
    """
    with open_for_reading(folder) as database:
        running = running_run(folder, database)
        rows = database.execute("SELECT * FROM run ORDER BY id").fetchall()
    return [
        RunRow(
            number=row["id"],
            started=row["started"],
            ended=row["ended"],
            source=row["source"],
            version=row["version"],
            device=row["device"],
            engine=row["engine"],
            frames=row["frames"],
            bad_pictures=row["bad_pictures"],
            interrupted=bool(row["interrupted"]) or (row["ended"] is None and row["id"] < running),
        )
        for row in rows
    ]
