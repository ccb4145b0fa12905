"""Write to an output folder at a given rate, in a separate process.

The delay of the rows is measured.

``python -m galaxy_edge.benchmarks.robustness.load FOLDER RATE SECONDS`` writes it; the last line of its output is JSON.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from ...runtime.events.frame_record import frame_record
from ...runtime.frame import Detections
from .crash_recovery import CLASSES, open_output, synthetic_frames

NUMBER_OF_RUN = 1


def write_load(folder: Path, rate: float, seconds: float) -> dict[str, Any]:
    """Write frames at a rate for some time.

    Each has one new object and up to one that ends.

    Returns:
        ``events``; ``events_lost``, ``images_lost`` and ``lines_lost`` as the writer counts them; ``failure``, its
        message at the end or ""; ``begun``: for each event its number and the time it was handed over, seconds since
        1970.
    """
    output = open_output(folder)
    begun: dict[int, float] = {}
    started = time.monotonic()
    for number, (frame, tracks) in enumerate(synthetic_frames(1)):
        due = started + number / rate
        if max(due, time.monotonic()) > started + seconds:
            break
        time.sleep(max(0.0, due - time.monotonic()))
        begun[tracks[0].number] = time.time()
        output.frame(frame, Detections.empty(), frame_record(frame, Detections.empty(), CLASSES, {}))
        output.events(tracks)
    writer = output.writer
    output.close(len(begun), 0)
    losses = {"events_lost": writer.events_lost, "images_lost": writer.images_lost, "lines_lost": writer.lines_lost}
    return {"events": len(begun), **losses, "failure": str(writer.failure or ""), "begun": begun}


def measure_delays(
    folder: Path, rate: float, seconds: float, environment: Mapping[str, str] | None = None
) -> tuple[dict[str, Any], list[float]]:
    """Run the load in a process, and watch the event file as another program does.

    Returns:
        the result of `write_load`, and for each event the seconds from its hand-over until a reader saw its row;
        infinity for an event that was in no row.
    """
    command = [sys.executable, "-m", f"{__package__}.load", str(folder), str(rate), str(seconds)]
    seen: dict[int, float] = {}
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:  # nobody would read a pipe before it is full
        process = subprocess.Popen(command, stdout=output, env=environment)
        while process.poll() is None:
            _add_new_rows(folder, seen)
            time.sleep(0.02)
        _add_new_rows(folder, seen)
        output.seek(0)
        result = json.loads(output.read().splitlines()[-1])
    begun = result.pop("begun")
    return result, [seen.get(int(number), float("inf")) - at for number, at in begun.items()]


def _add_new_rows(folder: Path, seen: dict[int, float]) -> None:
    path = folder / "events.sqlite"
    if not path.exists():
        return
    after = max(seen, default=0)
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=5)) as database:
            rows = database.execute("SELECT number FROM event WHERE run = ? AND number > ?", (NUMBER_OF_RUN, after))
            now = time.time()
            seen.update({number: now for (number,) in rows})
    except sqlite3.OperationalError:
        return  # its tables do not exist yet


if __name__ == "__main__":
    print(json.dumps(write_load(Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]))))
