"""What faults do to an output folder: killed at random moments under load, and a disk that is full for a while.

``python -m galaxy_edge.benchmarks.robustness.crash_recovery --kills 200 --out benchmarks/reference/faults-store.json``
writes the figures.
The full disk is a small one in memory, which only root may mount; others get the figures of the kills alone.
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
"""Frames an object of the load is in sight."""
QUOTA = 4 << 20
"""Small, so that old crops are deleted under load as well."""


def write_load(folder: Path, seed: int) -> None:
    """Write events, crops and lines into a folder as fast as it takes them, until killed."""
    output = _output_folder(folder, WriterLimits(batch_seconds=0.02))
    for frame, tracks in _synthetic_frames(seed):
        output.frame(frame, Detections.empty(), frame_record(frame, Detections.empty(), CLASSES, {}))
        output.events(tracks)
        if output.writer.pending > 100:
            time.sleep(0.01)  # the load is what the disk takes, not what the queue gives up


def _output_folder(folder: Path, limits: WriterLimits | None = None) -> OutputFolder:
    about = {key: "load" for key in ("started", "source", "version", "engine", "device", "detector", "classifier")}
    return OutputFolder(folder, about, CLASSES, video=False, quota=QUOTA, floor=0, limits=limits)


def _synthetic_frames(seed: int) -> Iterator[tuple[Frame, list[Track]]]:
    """Frames without end, in each of which an object begins, and one that was seen for `VISIBLE_FRAMES` frames ends."""
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    alive: list[Track] = []
    number = 0
    while True:
        now = datetime.datetime.now(datetime.UTC)
        when = (number, utc_text(now))
        begun = Track(
            number + 1, when, when, "load", np.array([0, 0, SIDE, SIDE], np.float32), float(random.random()), number,
            np.roll(pixels, number, axis=0), random.dirichlet(np.ones(len(CLASSES))), state="confirmed", confirmed=True,
        )  # fmt: skip
        alive.append(begun)
        ended = [track for track in alive if number - track.first[0] >= VISIBLE_FRAMES]
        alive = [track for track in alive if number - track.first[0] < VISIBLE_FRAMES]
        for track in ended:
            track.state, track.last, track.frames = "ended", when, VISIBLE_FRAMES
            track.seen = track.seen * VISIBLE_FRAMES
        yield Frame(pixels, now, "load", number), [begun, *ended]
        number += 1


def kill_repeatedly(folder: Path, kills: int, seed: int = 1) -> dict[str, Any]:
    """Start the load in a folder and kill it at a random moment, so many times over; look after each.

    Returns:
        Counts: kills, events that a reader had seen committed before a kill, of them lost (0 is right), crops looked
        at, of them damaged (0 is right), integrity checks that failed (0 is right), unfinished files left behind by a
        kill and cleared by the next start.
    """
    random = np.random.default_rng(seed)
    told: dict[str, Any] = {
        "kills": 0, "seen": 0, "lost": 0, "events": 0, "crops": 0, "crops_damaged": 0, "integrity_failed": 0,
        "unfinished": 0, "set_aside": 0,
    }  # fmt: skip
    for turn in range(kills):
        command = [sys.executable, "-m", f"{__package__}.crash_recovery", "--load", str(folder), "--seed", str(turn)]
        process = subprocess.Popen(command)
        seen = _wait_for_events(folder / "events.sqlite", process, turn + 1, float(random.uniform(0.0, 0.6)))
        process.send_signal(signal.SIGKILL)
        process.wait()
        _count_remains(folder, turn + 1, seen, told)
    told["set_aside"] = len(list(folder.glob("events-unreadable-*")))
    return told


class _MessageCounter(logging.Handler):
    """Counts what the output folder logs, until `stop`."""

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
    """Fill a small disk while a run writes to it, at 100 frames a second, and make room again.

    Args:
        disk: where it is mounted.
        seconds: how long it stays full.

    Returns:
        Counts: frames before, while it was full, and after; the longest that the loop waited in one of them; alerts
        (2 is right: that writing stops, and that it works again); events that are not in the store (0 is right);
        crops that are damaged (0 is right); seconds from space on the disk to the next crop.
    """
    messages = _MessageCounter()
    output = _output_folder(disk)
    sky, waits, frames = _synthetic_frames(seed), [0.0], {"before": 0, "full": 0, "after": 0}

    def play(phase: str, until: Callable[[], bool]) -> None:
        while not until():
            frame, tracks = next(sky)
            begin = time.perf_counter()
            output.frame(frame, Detections.empty(), frame_record(frame, Detections.empty(), CLASSES, {}))
            output.events(tracks)
            waits.append(time.perf_counter() - begin)
            frames[phase] += 1
            time.sleep(0.01)

    play("before", lambda: output.writer.evidence_bytes > 100_000)
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as stream, suppress(OSError):
        while True:
            stream.write(b"\0" * 4096)
    play("full", lambda: bool(output.writer.stopped))
    until = time.monotonic() + seconds
    play("full", lambda: time.monotonic() > until)
    ballast.unlink()
    begin = time.monotonic()
    play("after", lambda: not output.writer.stopped)
    recovered = time.monotonic() - begin
    output.close(sum(frames.values()), 0)
    with closing(sqlite3.connect(disk / "events.sqlite")) as base:
        stored = base.execute("SELECT count(*) FROM event").fetchone()[0]
    damaged = sum(cv2.imread(str(path)) is None for path in disk.glob("crops/*/*"))
    return {
        "frames": frames, "longest_wait_ms": round(max(waits) * 1e3, 2),
        "alerts": messages.stop() - output.writer.has_lost,  # the last one reports what was dropped
        "events_lost": sum(frames.values()) - stored, "crops_damaged": damaged,
        "recovered_seconds": round(recovered, 2),
    }  # fmt: skip


def _wait_for_events(path: Path, process: subprocess.Popen[bytes], run: int, seconds: float) -> dict[int, str]:
    """Wait for the run's first committed event and some seconds more; return state by number, as a reader sees it."""
    seen: dict[int, str] = {}
    until = None
    while until is None or time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError("the load ended by itself")
        time.sleep(0.005)
        seen = _states(path, run)
        if seen and until is None:
            until = time.monotonic() + seconds
    return seen


def _states(path: Path, run: int) -> dict[int, str]:
    if not path.exists():
        return {}
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=5)) as base:
            return dict(base.execute("SELECT number, state FROM event WHERE run = ?", (run,)))
    except sqlite3.OperationalError:
        return {}  # it is being made: its tables are not there yet


def _count_remains(folder: Path, run: int, seen: dict[int, str], told: dict[str, Any]) -> None:
    """Add up what is left after a kill."""
    with closing(sqlite3.connect(folder / "events.sqlite")) as base:
        whole = base.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        left = dict(base.execute("SELECT number, state FROM event WHERE run = ?", (run,)))
    told["kills"] += 1
    told["seen"] += len(seen)
    told["events"] += len(left)
    told["integrity_failed"] += not whole
    told["lost"] += sum(left.get(number) not in (state, "ended") for number, state in seen.items())
    for path in (folder / "crops" / f"{run:04d}").glob("*"):
        if path.name.startswith("."):
            told["unfinished"] += 1
            continue
        picture = cv2.imread(str(path))
        told["crops"] += 1
        told["crops_damaged"] += picture is None or picture.shape != (SIDE, SIDE, 3)


@contextmanager
def mount_small_disk() -> Iterator[Path | None]:
    """Mount a disk of 8 MB in memory; None where that is not allowed."""
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
    parser.add_argument("--full", type=float, default=10.0, help="Seconds for which the disk is full.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--load", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.load:
        write_load(given.load, given.seed)
        return
    with tempfile.TemporaryDirectory() as folder:
        begin = time.monotonic()
        told = kill_repeatedly(Path(folder), given.kills, given.seed) | {"seed": given.seed}
        told["seconds"] = round(time.monotonic() - begin, 1)
        told["machine"] = os.uname().machine
    with mount_small_disk() as disk:
        if disk:
            told["full_disk"] = fill_disk(disk, given.full, given.seed)
    text = json.dumps(told, indent=1) + "\n"
    print(text, end="")
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
