"""Start a run with an event file of many nights."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from itertools import islice
from pathlib import Path

from ...attack import Attack, Outcome
from ...crash_recovery import open_output, synthetic_frames

MOST = 2.0
"""Maximum time of a start in seconds."""


def run(count: int, folder: Path) -> Outcome:
    """Measure how long a run waits until it may write a large event file.

    The file is filled with `count` events.
    """
    output = open_output(folder)
    for _, tracks in islice(synthetic_frames(1), 5):
        output.events(tracks)
    output.close(5, 0)
    _multiply(folder / "events.sqlite", count)
    started = time.perf_counter()
    output = open_output(folder)
    seconds = time.perf_counter() - started
    output.close(0, 0)
    size = (folder / "events.sqlite").stat().st_size
    return Outcome({"events": count, "file_mib": size >> 20, "start_s": round(seconds, 3)}, seconds < MOST)


def _multiply(path: Path, count: int) -> None:
    """Copy the first event of the file under other numbers."""
    with closing(sqlite3.connect(path)) as database, database:
        names = [row[1] for row in database.execute("PRAGMA table_info(event)") if row[1] != "number"]
        columns = ", ".join(names)
        database.execute(
            f"WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < {999 + count}) "
            f"INSERT INTO event (number, {columns}) SELECT i, {columns} FROM n, (SELECT * FROM event LIMIT 1)"
        )


ATTACK = Attack(
    promise="The time to start a run does not grow with the event file.",
    method="a start with an event file of {count} events",
    run=run,
    count=1_500_000,
    small_count=2_000,
)
