"""Limit the memory of an image.

It is computed in bytes before anything of the image is decoded.

A file of some hundred kilobytes can expand to gigabytes of pixels. On a small computer the kernel would then kill the
process, so an image that needs more than `budget` is refused with a message that names it.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np

from ...errors import ImageError

MAX_BUDGET = 640 * 2**20
"""Maximum number of bytes for one image on any machine; with the engine and its buffers a run stays below 1 GiB."""
SHARE = 0.25
"""Share of the memory of the machine or of its control group that one image may use."""
WAIT_SECONDS = 5.0
"""Maximum time that an image waits for the memory of earlier ones."""
_UNLIMITED = 2**60
_run_limit = _UNLIMITED
_PAGE = os.sysconf("SC_PAGE_SIZE")


def memory_limit(root: Path = Path("/")) -> int:
    """Return the bytes of memory that this process may have.

    They are the machine's, or less if control groups limit them.

    Args:
        root: folder that holds ``proc`` and ``sys``.
    """
    limits = [_UNLIMITED]
    for line in _lines(root / "proc/meminfo"):
        if line.startswith("MemTotal:"):
            limits.append(int(line.split()[1]) * 1024)
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, group = line.split(":", 2)
        if controllers == "":  # version 2
            base, file = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            base, file = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        folder = base / group.lstrip("/")
        for parent in (folder, *folder.parents):
            limits += [int(text) for text in _lines(parent / file)[:1] if text.strip().isdigit()]
            if parent == base:
                break
    return min(limits)


def resident_bytes() -> int:
    """Return the resident memory of this process in bytes.

    The result is 0 if the system does not report it.
    """
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE
    except (OSError, IndexError, ValueError):
        return 0


def limit_run(size: int) -> None:
    """Set how many bytes this process may use, in addition to the system's limits.

    0 is no limit of its own.
    """
    global _run_limit
    _run_limit = size or _UNLIMITED


def budget() -> int:
    """Return the number of bytes that one image may take, all its copies included."""
    return min(MAX_BUDGET, int(SHARE * min(_system_limit(), _run_limit)))


@cache
def _system_limit() -> int:
    return memory_limit()


def check_memory(needed: int, name: str) -> None:
    """Refuse an image that needs more than the budget.

    Raises:
        ImageError: it does.
    """
    if needed > budget():
        raise ImageError(
            name,
            f"it is too large: it needs {needed / 2**20:,.0f} MiB of memory, and an image may take {budget() >> 20:,} "
            f"MiB here (a quarter of the memory of this machine or of its profile, at most {MAX_BUDGET >> 20:,} MiB)",
        )


class MemoryGate:
    """Budget that images share while they are decoded or still in use.

    An image waits until the others leave it enough memory, at most `WAIT_SECONDS`. Thread-safe.
    """

    def __init__(self) -> None:
        self._held = 0
        self._changed = threading.Condition()

    @contextmanager
    def reservation(self) -> Iterator[Reservation]:
        """Reserve memory for one image.

        What is not kept for its frame is freed at the end.
        """
        reservation = Reservation(self)
        try:
            yield reservation
        finally:
            reservation.grow(0)

    def change(self, before: int, after: int, wait: bool) -> None:
        """Replace a reservation of `before` bytes by one of `after`.

        With `wait`, wait until there is room.
        """
        with self._changed:
            if wait:
                self._changed.wait_for(
                    lambda: self._held == before or self._held - before + after <= budget(), WAIT_SECONDS
                )
            self._held += after - before
            self._changed.notify_all()


class Reservation:
    """Memory that one image takes."""

    def __init__(self, gate: MemoryGate) -> None:
        self._gate, self._bytes = gate, 0

    def grow(self, needed: int) -> None:
        """Reserve `needed` bytes in total; wait for them if they are more than before."""
        self._gate.change(self._bytes, needed, needed > self._bytes)
        self._bytes = needed

    def keep(self, pixels: np.ndarray, size: int) -> None:
        """Keep `size` bytes reserved for as long as `pixels` exists."""
        self._gate.change(0, size, False)
        weakref.finalize(pixels, self._gate.change, size, 0, False).atexit = False


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []
