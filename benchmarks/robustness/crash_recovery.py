"""Test an output folder under faults.

They are kills at random moments under load, and a temporarily full disk.

``python -m galaxy_edge.benchmarks.robustness.crash_recovery --kills 200 --out benchmarks/reference/faults-store.json``
writes the results.
The full disk is a small tmpfs, which only root may mount; other users get the results of the kills only.
"""

from __future__ import annotations

import argparse
import datetime
import json
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ...runtime.events.frame_record import frame_record
from ...runtime.frame import Detections, Frame
from ...runtime.recording.output_folder import OutputFolder
from ...runtime.recording.pending import WriterLimits
from ...runtime.system.utc_time import utc_text
from ...runtime.tracking.track import Track

CLASSES = ("smooth", "spiral", "edge_on")
SIDE = 48
VISIBLE_FRAMES = 12
"""Number of frames in which an object of the load is visible."""
QUOTA = 4 << 20
"""A small quota, so that old crops are deleted under load too."""


def write_load(folder: Path, seed: int) -> None:
    """Write events, crops and log lines to a folder at maximum speed until killed."""
    output = open_output(folder, WriterLimits(batch_seconds=0.02))
    for frame, tracks in synthetic_frames(seed):
        output.frame(frame, Detections.empty(), frame_record(frame, Detections.empty(), CLASSES, {}))
        output.events(tracks)
        if output.writer.pending > 100:
            time.sleep(0.01)  # limit the load to the disk's speed, so the queue drops nothing


def open_output(folder: Path, limits: WriterLimits | None = None) -> OutputFolder:
    """Open an output folder with a small quota.

    The disk has no floor of free space.
    """
    about = {key: "load" for key in ("started", "source", "version", "engine", "device", "detector", "classifier")}
    return OutputFolder(folder, about, CLASSES, video=False, quota=QUOTA, floor=0, limits=limits)


def synthetic_frames(seed: int) -> Iterator[tuple[Frame, list[Track]]]:
    """Yield frames endlessly.

    In each an object appears, and one visible for `VISIBLE_FRAMES` frames ends.
    """
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    alive: list[Track] = []
    number = 0
    while True:
        now = datetime.datetime.now(datetime.UTC)
        seen_at = (number, utc_text(now))
        started = Track(
            number + 1, seen_at, seen_at, "load", np.array([0, 0, SIDE, SIDE], np.float32), float(random.random()),
            number, np.roll(pixels, number, axis=0), random.dirichlet(np.ones(len(CLASSES))),
            state="confirmed", confirmed=True,
        )  # fmt: skip
        alive.append(started)
        ended = [track for track in alive if number - track.first[0] >= VISIBLE_FRAMES]
        alive = [track for track in alive if number - track.first[0] < VISIBLE_FRAMES]
        for track in ended:
            track.state, track.last, track.frames = "ended", seen_at, VISIBLE_FRAMES
            track.seen = track.seen * VISIBLE_FRAMES
        yield Frame(pixels, now, "load", number), [started, *ended]
        number += 1


def kill_repeatedly(folder: Path, kills: int, seed: int = 1) -> dict[str, Any]:
    """Repeatedly start the load, kill it at a random moment, and check the folder.

    Returns:
        counts: kills; events that a reader had seen committed before a kill, and those lost (expected: 0); crops, and
        those damaged (expected: 0); failed integrity checks (expected: 0); unfinished files left by a kill, which the
        next start deletes.
    """
    random = np.random.default_rng(seed)
    counts: dict[str, Any] = {
        "kills": 0, "seen": 0, "lost": 0, "events": 0, "crops": 0, "crops_damaged": 0, "integrity_failed": 0,
        "unfinished": 0, "set_aside": 0,
    }  # fmt: skip
    for run in range(kills):
        command = [sys.executable, "-m", f"{__package__}.crash_recovery", "--load", str(folder), "--seed", str(run)]
        process = subprocess.Popen(command)
        seen = _wait_for_events(folder / "events.sqlite", process, run + 1, float(random.uniform(0.0, 0.6)))
        process.send_signal(signal.SIGKILL)
        process.wait()
        _count_remains(folder, run + 1, seen, counts)
    counts["set_aside"] = len(list(folder.glob("events-unreadable-*")))
    return counts


class _MessageCounter(logging.Handler):
    """Counts the messages that the output folder logs, until `stop`."""

    def __init__(self) -> None:
        super().__init__()
        self._count = 0
        self._logger = logging.getLogger(OutputFolder.__module__.rpartition(".")[0])
        self._level = self._logger.level
        self._logger.setLevel(logging.INFO)
        self._logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Count a message."""
        self._count += 1

    def stop(self) -> int:
        """Return the number of messages."""
        self._logger.removeHandler(self)
        self._logger.setLevel(self._level)
        return self._count


def fill_disk(disk: Path, seconds: float, seed: int = 1) -> dict[str, Any]:
    """Fill a small disk while a run writes to it, and free it again.

    The run writes at 100 frames per second.

    Args:
        disk: mount point.
        seconds: time for which the disk stays full.

    Returns:
        counts: frames before, during and after the full disk; longest wait of the loop in a frame; alerts (expected: 2,
        for writing stopped and resumed); events missing from the database (expected: 0); damaged crops (expected: 0);
        seconds from free space to resumed writing.
    """
    messages = _MessageCounter()
    output = open_output(disk)
    source, waits, frames = synthetic_frames(seed), [0.0], {"before": 0, "full": 0, "after": 0}

    def write_frames(phase: str, until: Callable[[], bool]) -> None:
        while not until():
            frame, tracks = next(source)
            started = time.perf_counter()
            output.frame(frame, Detections.empty(), frame_record(frame, Detections.empty(), CLASSES, {}))
            output.events(tracks)
            waits.append(time.perf_counter() - started)
            frames[phase] += 1
            time.sleep(0.01)

    write_frames("before", lambda: output.writer.evidence_bytes > 100_000)
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as stream, suppress(OSError):
        while True:
            stream.write(b"\0" * 4096)
    write_frames("full", lambda: bool(output.writer.stopped))
    until = time.monotonic() + seconds
    write_frames("full", lambda: time.monotonic() > until)
    ballast.unlink()
    freed = time.monotonic()
    write_frames("after", lambda: not output.writer.stopped)
    recovered = time.monotonic() - freed
    output.close(sum(frames.values()), 0)
    with closing(sqlite3.connect(disk / "events.sqlite")) as database:
        stored = database.execute("SELECT count(*) FROM event").fetchone()[0]
    damaged = sum(cv2.imread(str(path)) is None for path in disk.glob("crops/*/*"))
    return {
        "frames": frames, "longest_wait_ms": round(max(waits) * 1e3, 2),
        "alerts": messages.stop(),
        "events_lost": sum(frames.values()) - stored, "crops_damaged": damaged,
        "recovered_seconds": round(recovered, 2),
    }  # fmt: skip


def _wait_for_events(path: Path, process: subprocess.Popen[bytes], run: int, seconds: float) -> dict[int, str]:
    """Wait for the run's first committed event and `seconds` more.

    Return states by number as a reader sees them.
    """
    seen: dict[int, str] = {}
    until = None
    while until is None or time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError("the load ended on its own")
        time.sleep(0.005)
        seen = _states(path, run)
        if seen and until is None:
            until = time.monotonic() + seconds
    return seen


def _states(path: Path, run: int) -> dict[int, str]:
    if not path.exists():
        return {}
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=5)) as database:
            return dict(database.execute("SELECT number, state FROM event WHERE run = ?", (run,)))
    except sqlite3.OperationalError:
        return {}  # the database is being created: its tables do not exist yet


def _count_remains(folder: Path, run: int, seen: dict[int, str], counts: dict[str, Any]) -> None:
    """Update the counts with the state of the folder after a kill."""
    with closing(sqlite3.connect(folder / "events.sqlite")) as database:
        intact = database.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        remaining = dict(database.execute("SELECT number, state FROM event WHERE run = ?", (run,)))
    counts["kills"] += 1
    counts["seen"] += len(seen)
    counts["events"] += len(remaining)
    counts["integrity_failed"] += not intact
    counts["lost"] += sum(remaining.get(number) not in (state, "ended") for number, state in seen.items())
    for path in (folder / "crops" / f"{run:04d}").glob("*"):
        if path.name.startswith("."):
            counts["unfinished"] += 1
            continue
        image = cv2.imread(str(path))
        counts["crops"] += 1
        counts["crops_damaged"] += image is None or image.shape != (SIDE, SIDE, 3)


@contextmanager
def mount_small_disk() -> Iterator[Path | None]:
    """Mount a tmpfs of 8 MB; yield None if that is not permitted."""
    with tempfile.TemporaryDirectory() as folder:
        mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "none", folder]
        if subprocess.run(mount, capture_output=True).returncode:
            yield None
            return
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--full", type=float, default=10.0, help="Seconds for which the disk stays full.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--load", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.load:
        write_load(arguments.load, arguments.seed)
        return
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        result = kill_repeatedly(Path(folder), arguments.kills, arguments.seed) | {"seed": arguments.seed}
        result["seconds"] = round(time.monotonic() - started, 1)
        result["machine"] = os.uname().machine
    with mount_small_disk() as disk:
        if disk:
            result["full_disk"] = fill_disk(disk, arguments.full, arguments.seed)
    text = json.dumps(result, indent=1) + "\n"
    print(text, end="")
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
