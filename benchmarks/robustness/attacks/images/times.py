"""Times of exposures in every form that programs write, and clocks that are set.

Some of the times are absurd.
"""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np

from .....models.images.fits_time import observation_time
from .....runtime.system.utc_time import ClockSteps
from ...attack import Attack, Outcome

ABSURD: tuple[dict[str, Any], ...] = (
    {"DATE-OBS": "0000-00-00T00:00:00"}, {"DATE-OBS": "1900-01-01T00:00:00"}, {"DATE-OBS": "2150-03-01T10:00:00"},
    {"DATE-OBS": "2024-02-30T10:00:00"}, {"DATE-OBS": "31/04/24", "UT": "10:00:00"}, {"DATE-OBS": "2024-03-01"},
    {"DATE-OBS": "2024-03-01", "UT": "25:00:00"}, {"DATE-OBS": "2024-03-01", "TIME-OBS": "10:61:00"},
    {"MJD-OBS": 0.0}, {"MJD-OBS": 1e300}, {"MJD-OBS": float("nan")}, {"DATE-OBS": "night"}, {"DATE-OBS": 20240301},
)  # fmt: skip
TOLERANCE = datetime.timedelta(milliseconds=2)
"""A Modified Julian Date in a double is exact to about a microsecond; text has milliseconds."""


def run(count: int, folder: Path) -> Outcome:
    """Read `count` random times in a random form, and some absurd ones.

    Clocks are set between them.
    """
    random = np.random.default_rng(1)
    wrong = absurd = not_corrected = 0
    worst = datetime.timedelta(0)
    for number in range(count):
        time = datetime.datetime(1994, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(
            milliseconds=int(random.integers(0, 35 * 365 * 86_400_000))
        )
        read = observation_time(_header(time, int(random.integers(8))))
        wrong += read is None or abs(read - time) > TOLERANCE
        worst = max(worst, abs(read - time)) if read else worst
        absurd += observation_time(ABSURD[number % len(ABSURD)]) is not None
        not_corrected += not _is_corrected(random)
    figures: dict[str, int | float | str] = {"times": count, "wrong": wrong, "worst_ms": worst.total_seconds() * 1000}
    figures |= {"absurd_accepted": absurd, "clocks_not_corrected": not_corrected}
    return Outcome(figures, not wrong and not absurd and not not_corrected)


def _header(time: datetime.datetime, form: int) -> dict[str, Any]:
    """Write a time in one of eight forms."""
    day, clock = time.strftime("%Y-%m-%d"), f"{time:%H:%M:%S}.{time.microsecond // 1000:03d}"
    short = time.strftime("%d/%m/%y" if time.year < 2000 else "%d/%m/%Y")
    days = (time.replace(tzinfo=None) - datetime.datetime(1858, 11, 17)) / datetime.timedelta(days=1)
    ahead = time + datetime.timedelta(hours=2)
    forms: tuple[dict[str, Any], ...] = (
        {"DATE-OBS": f"{day}T{clock}"},
        {"DATE-OBS": day, "TIME-OBS": clock},
        {"DATE-OBS": day, "UT": clock},
        {"DATE-OBS": short, "UTC": clock},
        {"DATE-OBS": f"{day} {clock}", "MJD-OBS": 0.0},
        {"MJD-OBS": days},
        {"DATE-OBS": f"{day}T{clock}0000Z"},
        {"DATE-OBS": f"{ahead:%Y-%m-%dT%H:%M:%S}.{ahead.microsecond // 1000:03d}+02:00"},
    )
    return forms[form]


def _is_corrected(random: np.random.Generator) -> bool:
    """Return whether a frame's time is corrected if the clock is set meanwhile.

    The clock is set while the frame is processed.
    """
    clock, step = [float(random.uniform(0, 1e9)), 100.0], float(random.choice([-1, 1]) * random.uniform(90, 2e9))
    steps = ClockSteps(lambda: clock[0], lambda: clock[1])
    read = datetime.datetime.fromtimestamp(clock[0], datetime.UTC)
    clock[:] = clock[0] + step + 1, clock[1] + 1
    found = steps.step()
    error = steps.corrected(read).timestamp() - (read.timestamp() + step)
    return abs(found - step) < 1e-3 and abs(error) < 1e-3


ATTACK = Attack(
    promise="The time of an exposure is read in every form that programs write, absurd times are refused, and a clock "
    "that is set during a run is corrected for.",
    method="{count} random times in eight forms, as many absurd ones of 13 kinds, and as many clocks that are set",
    run=run,
    count=50_000,
    small_count=2000,
)
