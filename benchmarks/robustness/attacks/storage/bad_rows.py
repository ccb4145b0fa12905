"""Events that break a constraint of the event file."""

from __future__ import annotations

import math
import sqlite3
from contextlib import closing
from itertools import islice
from pathlib import Path

from ...attack import Attack, Outcome
from ...crash_recovery import open_output, synthetic_frames


def run(count: int, folder: Path) -> Outcome:
    """Write `count` events, every tenth with a score that is not a number."""
    output = open_output(folder)
    bad = 0
    for number, (_, tracks) in enumerate(islice(synthetic_frames(1), count)):
        if number % 10 == 0:
            tracks[0].score = math.nan
            bad += 1
        output.events(tracks)
    output.close(count, 0)
    with closing(sqlite3.connect(folder / "events.sqlite")) as database:
        stored = int(database.execute("SELECT count(*) FROM event").fetchone()[0])
    lost = count - bad - stored
    refused = output.writer.events_lost
    return Outcome({"events": count, "bad": bad, "refused": refused, "others_lost": lost}, not lost and refused == bad)


ATTACK = Attack(
    promise="An event that the event file cannot store is set aside, and no other event is lost.",
    method="{count} events, every tenth of which breaks a constraint",
    run=run,
    count=3000,
    small_count=100,
)
