"""Check the output folder's disk: free space, and the time of a durable write."""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from ..recording.retention import FLOOR
from .result import CheckResult

WRITES, BYTES = 8, 4096
SLOW_SECONDS = 1.0
"""Time of a write above which a card is reported as slow: events are written every second."""
HANG_SECONDS = 30.0


def check_storage(folder: Path, quota: int) -> Iterator[CheckResult]:
    """Check the disk of a folder, which need not exist.

    Small files are written to the folder, or to its nearest parent.

    Args:
        folder: the output folder of a run.
        quota: bytes that a run keeps in it.
    """
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.is_dir())
    free = shutil.disk_usage(existing).free
    hint = f"galaxy-edge events prune --before 30d --in {folder}, or another --out"
    detail = f"{free // 2**20} MiB free on the disk of {existing}"
    if free < FLOOR:
        detail += f"; a run leaves {FLOOR // 2**20} MiB free, and would write no images"
        yield CheckResult("storage.space", "fail", detail, hint, exercised=True)
    elif free < quota + FLOOR:
        detail += f"; a run keeps up to {quota // 2**20} MiB of images"
        yield CheckResult("storage.space", "warn", detail, "", exercised=True)
    else:
        yield CheckResult("storage.space", "ok", detail, exercised=True)
    yield _sync_time(existing)


def _sync_time(folder: Path) -> CheckResult:
    """Write and sync small files in a thread, since a broken disk may never answer."""
    times: list[float] = []
    errors: list[OSError] = []

    def write() -> None:
        try:
            times.extend(sync_times(folder))
        except OSError as error:
            errors.append(error)

    thread = threading.Thread(target=write, name="sync", daemon=True)
    thread.start()
    thread.join(HANG_SECONDS)
    name = "storage.sync"
    if thread.is_alive():
        return CheckResult(name, "fail", f"{folder} did not answer within {HANG_SECONDS:g} s", exercised=True)
    if errors:
        detail = f"{folder} cannot be written: {errors[0].strerror}"
        return CheckResult(name, "fail", detail, f"sudo chown $USER {folder}, or another --out", exercised=True)
    median, worst = statistics.median(times) * 1000, max(times) * 1000
    detail = f"{WRITES} files of {BYTES} bytes: median {median:.1f} ms, worst {worst:.1f} ms"
    slow = worst > SLOW_SECONDS * 1000
    hint = "use a card of class A1 or better, or a USB disk" if slow else ""
    return CheckResult(name, "warn" if slow else "ok", detail, hint, exercised=True)


def sync_times(folder: Path) -> list[float]:
    """Return the seconds to write and sync each of `WRITES` small files.

    The files are removed.
    """
    found = []
    for _ in range(WRITES):
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".galaxy-edge-doctor-") as file:
            start = time.perf_counter()
            file.write(b"\0" * BYTES)
            file.flush()
            os.fsync(file.fileno())
            found.append(time.perf_counter() - start)
    return found
