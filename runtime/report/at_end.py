"""Write the report of the night at the end of a run."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from ...files import write_atomic
from ..recording.retention import free_bytes
from .frame_logs import last_logged_time
from .night import Place, night_of, place_of
from .page import night_report

logger = logging.getLogger(__name__)

REPORT_SECONDS = 20.0
"""Seconds that a run which ended by itself waits for its report."""
MIN_SECONDS = 0.2
"""Minimum time for which it is worth beginning."""


def write_report(folder: Path, seconds: float, place: Place | None = None, keep_free: int = 0) -> Path | None:
    """Write the report of the latest night of a run, for at most a time.

    A failure is logged, and never raised. What has not returned in time, e.g. because the disk does not respond, is
    abandoned.

    Args:
        folder: output folder of a run that has ended.
        seconds: maximum time.
        place: of the telescope, None if unknown.
        keep_free: bytes of the disk that must stay free.

    Returns:
        The path of the page, None if it was not written.
    """
    if seconds < MIN_SECONDS:
        logger.info("the report of the night is not written: galaxy-edge report writes it")
        return None
    written: list[Path] = []
    worker = threading.Thread(target=_write, args=(folder, place, keep_free, written), name="report", daemon=True)
    worker.start()
    worker.join(seconds)
    if worker.is_alive():
        logger.warning("the report of the night was not ready in %.1f s: galaxy-edge report writes it", seconds)
    return written[0] if written else None


def _write(folder: Path, place: Place | None, keep_free: int, written: list[Path]) -> None:
    try:
        last = last_logged_time(folder)
        if last is None:
            return  # a run without frames
        place = place or place_of(folder)
        night, page = night_report(folder, night_of(last, place).name, place)
        content = page.encode()
        if len(content) > free_bytes(folder) - keep_free:
            logger.warning("the report of the night is not written: the disk is full")
            return
        path = folder / f"report-{night.name}.html"
        write_atomic(path, content)
        written.append(path)
    except Exception as error:  # noqa: BLE001 - a report never breaks a run
        logger.warning("the report of the night is not written: %s", error)
