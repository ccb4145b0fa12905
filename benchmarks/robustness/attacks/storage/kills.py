"""Kill a run at random moments under load."""

from __future__ import annotations

from pathlib import Path

from ...attack import Attack, Outcome
from ...crash_recovery import kill_repeatedly


def run(count: int, folder: Path) -> Outcome:
    """Kill `count` runs into one folder."""
    counts = kill_repeatedly(folder, count)
    figures = {key: counts[key] for key in ("seen", "lost", "crops", "crops_damaged", "integrity_failed")}
    return Outcome(figures, not any(counts[key] for key in ("lost", "crops_damaged", "integrity_failed", "set_aside")))


ATTACK = Attack(
    promise="A run that is killed loses no committed event and damages no crop.",
    method="{count} kills at random moments under full load",
    run=run,
    count=200,
    small_count=3,
)
