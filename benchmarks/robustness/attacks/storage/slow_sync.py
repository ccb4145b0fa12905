"""A disk on which every flush takes 20 ms, like an SD card under load."""

from __future__ import annotations

import math
from pathlib import Path

from ...attack import Attack, Outcome
from ...load import measure_delays
from ...slow_disk import SlowDisk

RATE = 150.0
"""New events per second; each ends 12 frames later, so that its row is written twice."""
SYNC_MS = 20
LIMIT_SECONDS = 2.0


def run(count: int, folder: Path) -> Outcome:
    """Write `count` events to the slow disk."""
    disk = SlowDisk(folder)
    disk.set_delay(SYNC_MS)
    result, delays = measure_delays(folder / "out", RATE, count / RATE, disk.environment)
    worst = max(delays)
    dropped = result["images_lost"]
    figures: dict[str, int | float | str] = {
        "events": result["events"], "worst_s": round(worst, 2) if math.isfinite(worst) else "lost",
        "not_stored": sum(math.isinf(delay) for delay in delays), "crops_dropped": dropped,
    }  # fmt: skip
    return Outcome(figures, worst < LIMIT_SECONDS and (not dropped or bool(result["failure"])))


ATTACK = Attack(
    promise="Events are in the event file within two seconds under any load; crops that are dropped are counted.",
    method=f"{{count}} events at {RATE:.0f} per second on a disk on which every flush takes {SYNC_MS} ms",
    run=run,
    count=4500,
    small_count=450,
)
