"""A disk that stops responding during a run.

SIGTERM comes while it hangs, or while the event file is locked.
"""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from ....performance.synthetic_sources import NetworkCamera
from ...attack import Attack, Outcome
from ...slow_disk import HANG_MS, SlowDisk

LIMIT_SECONDS = 2.0
MAX_START_SECONDS = 120.0


def run(count: int, folder: Path) -> Outcome:
    """Stop `count` runs while the disk hangs.

    As many are stopped while another program has locked the event file.
    """
    disk = SlowDisk(folder)
    seconds: dict[str, list[float]] = {"hung": [], "locked": []}
    silent = 0
    for number in range(count):
        for kind, times in seconds.items():
            taken, message = _stop(disk, folder / f"{kind}-{number}", kind)
            times.append(taken)
            silent += not message
    figures: dict[str, int | float | str] = {f"{kind}_worst_s": round(max(times), 2) for kind, times in seconds.items()}
    figures["without_number_of_lost_events"] = silent
    return Outcome(figures, max(map(max, seconds.values())) < LIMIT_SECONDS and not silent)


def _stop(disk: SlowDisk, out: Path, kind: str) -> tuple[float, bool]:
    """Start a run, hang the disk or lock the event file, and stop the run.

    It is stopped after its first event.

    Returns:
        seconds from SIGTERM to the end of the process; whether it reported how many events are lost and exited with 1.
    """
    disk.set_delay(0)
    camera = NetworkCamera(rate=10)
    command = [sys.executable, "-m", "galaxy_edge", "run", "--camera", camera.url, "--out", str(out)]
    process = subprocess.Popen(command, env=disk.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + MAX_START_SECONDS
    while not _count(out) and time.monotonic() < until and process.poll() is None:
        time.sleep(0.05)
    lock = sqlite3.connect(out / "events.sqlite", isolation_level=None, timeout=30)
    if kind == "hung":
        disk.set_delay(HANG_MS)
    else:
        lock.execute("BEGIN IMMEDIATE")
    time.sleep(2.5)  # events wait, and the writer is in a call that does not return
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    try:
        _, errors = process.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        _, errors = process.communicate()
    taken = time.monotonic() - started
    lock.close()
    camera.disconnect()
    return taken, process.returncode == 1 and "events" in errors and "output was lost" in errors


def _count(out: Path) -> int:
    try:
        database = sqlite3.connect(f"{(out / 'events.sqlite').as_uri()}?mode=ro", uri=True)
        try:
            return int(database.execute("SELECT count(*) FROM event").fetchone()[0])
        finally:
            database.close()
    except sqlite3.OperationalError:
        return 0


ATTACK = Attack(
    promise="SIGTERM ends a run within two seconds, and the run reports how many events are lost, "
    "even if the disk hangs or the event file is locked.",
    method="{count} runs stopped while every flush to the disk hangs, and as many while another program has locked the "
    "event file",
    run=run,
    count=4,
    small_count=1,
)
