"""Make every flush of a child process slow or hang.

An SD card under load or a failed disk does so.

A small library, compiled with the system's ``cc`` and preloaded, delays ``fsync``, ``fdatasync`` and ``syncfs``; SQLite
calls them too.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from .attack import NotPossible

HANG_MS = 10**9
_SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
static void wait_as_set(void) {
    const char *path = getenv("GALAXY_SYNC_DELAY");
    FILE *file = path ? fopen(path, "r") : NULL;
    long ms = 0;
    if (file) { if (fscanf(file, "%ld", &ms) != 1) ms = 0; fclose(file); }
    struct timespec delay = {ms / 1000, (ms % 1000) * 1000000L};
    if (ms > 0) nanosleep(&delay, NULL);
}
#define SLOW(name) \
    int name(int handle) { \
        static int (*next)(int); \
        if (!next) next = (int (*)(int))dlsym(RTLD_NEXT, #name); \
        wait_as_set(); \
        return next(handle); \
    }
SLOW(fsync)
SLOW(fdatasync)
SLOW(syncfs)
"""


class SlowDisk:
    """The delay of a child process's flushes.

    It may be changed while the process runs.

    Args:
        folder: where the library is compiled and the delay is stored.

    Attributes:
        environment: for the child process.

    Raises:
        NotPossible: there is no C compiler.
    """

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc")
        if compiler is None:
            raise NotPossible("needs a C compiler (cc)")
        self._delay = folder / "delay"
        library = folder / "slow_sync.so"
        (folder / "slow_sync.c").write_text(_SOURCE, encoding="ascii")
        subprocess.run([compiler, "-shared", "-fPIC", "-o", library, folder / "slow_sync.c", "-ldl"], check=True)
        self.environment = {**os.environ, "LD_PRELOAD": str(library), "GALAXY_SYNC_DELAY": str(self._delay)}
        self.set_delay(0)

    def set_delay(self, milliseconds: int) -> None:
        """Set the time of every flush that begins from now on.

        `HANG_MS` stands for a flush that never returns.
        """
        staged = self._delay.with_suffix(".new")
        staged.write_text(str(milliseconds), encoding="ascii")
        staged.replace(self._delay)
