"""Read the whole event file in the background, to find damage.

This happens at the start of a run, and after the file has changed on the disk.
"""

from __future__ import annotations

import logging
import threading
import time

from ...errors import UsageError
from ..events.database import damage
from .open_folder import EVENT_FILE
from .row_writer import RowWriter

logger = logging.getLogger(__name__)

CHECK_SECONDS = 60.0
"""Minimum interval between two checks."""
FIRST_SECONDS = 5.0
"""Time from the start of a run to the first check, so that it does not delay the end of a short run."""
MAX_SHARE = 0.05
"""Maximum share of the time that checks take: those of a large file take minutes."""


class IntegrityChecker:
    """A check of the event file for damage.

    The cause may be an earlier power loss, a bad card, or another program that wrote to the file.

    Args:
        rows: replaces a damaged file.
        interval: seconds, see `CHECK_SECONDS`.
    """

    def __init__(self, rows: RowWriter, interval: float = CHECK_SECONDS) -> None:
        self._rows, self._interval = rows, interval

    def start(self) -> None:
        """Begin, in a daemon thread that ends with the run."""
        threading.Thread(target=self._work, name="integrity", daemon=True).start()

    def _work(self) -> None:
        checked = 0
        pause = min(self._interval, FIRST_SECONDS)
        while not self._rows.ended.wait(pause):
            path = self._rows.folder.path / EVENT_FILE
            started = time.monotonic()
            try:
                changed = path.stat().st_mtime_ns
                defect = damage(path) if changed != checked else None
            except (OSError, UsageError) as error:  # it is moved, locked or not readable: its writer reports that
                logger.debug("%s was not checked: %s", path, error)
            else:
                checked = changed
                if defect:
                    self._rows.damaged = f"{EVENT_FILE} was damaged ({defect})"
            pause = max(self._interval, (time.monotonic() - started) / MAX_SHARE)
