"""A load that writes many times the quota, and saves frames at the maximum rate."""

from __future__ import annotations

import time
from itertools import islice
from pathlib import Path

from .....runtime.events.frame_record import frame_record
from .....runtime.frame import Detections
from ...attack import Attack, Outcome
from ...crash_recovery import CLASSES, QUOTA, open_output, synthetic_frames


def run(count: int, folder: Path) -> Outcome:
    """Write `count` events with crops and log lines; measure the folder continuously."""
    output = open_output(folder)
    largest = excess = 0
    for number, (frame, tracks) in enumerate(islice(synthetic_frames(1), count)):
        if number % 5 == 0:
            output.writer.want(f"saved/{number:06d}.png")
        output.frame(frame, Detections.empty(), frame_record(frame, Detections.empty(), CLASSES, {}))
        output.events(tracks)
        if number % 20 == 0:
            sizes = _sizes(folder)
            largest, excess = max(largest, *sizes), max(excess, sum(sizes) - QUOTA)
            time.sleep(0.02)
    output.close(count, 0)
    sizes = _sizes(folder)
    excess = max(excess, sum(sizes) - QUOTA)
    crops = len(list(folder.glob("crops/*/*.png")))
    figures = {"quota_kb": QUOTA // 1000, "excess_bytes": excess, "largest_file_bytes": largest, "crops_left": crops}
    return Outcome(dict(figures), excess <= largest and crops > 0)


def _sizes(folder: Path) -> list[int]:
    """Return the sizes of all files to which the quota applies.

    Unfinished files are included.
    """
    sizes = [0]
    for path in folder.rglob("*"):
        try:
            if path.is_file() and not path.name.startswith(("events", ".lock")):
                sizes.append(path.stat().st_size)
        except FileNotFoundError:  # deleted meanwhile
            continue
    return sizes


ATTACK = Attack(
    promise="Crops, images and logs exceed the quota by less than one file's size.",
    method="{count} events and a fifth as many saved frames, on a quota of 4 MiB",
    run=run,
    count=5000,
    small_count=800,
)
