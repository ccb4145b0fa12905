"""Run a solver's program for a limited time."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .solver import SolverError, SolverTimeoutError

_running: set[int] = set()
"""Process groups that `kill_all` ends."""


def run_limited(command: Sequence[str], seconds: float, folder: Path) -> str:
    """Run a program; return its output, at most the last 64 KiB of it.

    Its whole process group is killed when the wall clock says so: programs count processor time, if any, and their
    children go on alone.

    Raises:
        SolverTimeoutError: it does not end in time.
        SolverError: it cannot be started, or fails.
    """
    with tempfile.TemporaryFile(dir=folder) as output:
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=folder,
                start_new_session=True, env={**os.environ, "LC_ALL": "C", "TMPDIR": str(folder)},
            )  # fmt: skip
        except OSError as error:
            raise SolverError(f"{Path(command[0]).name} cannot be started: {error.strerror}") from None
        _running.add(process.pid)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise SolverTimeoutError(f"{Path(command[0]).name} did not end within {seconds:.0f} s") from None
        finally:
            _kill(process.pid)
            process.wait()
            _running.discard(process.pid)
        output.seek(0, os.SEEK_END)
        output.seek(max(0, output.tell() - 65_536))
        text = output.read().decode("utf-8", "replace")
    if process.returncode < 0:
        raise SolverError(f"{Path(command[0]).name} was ended by {signal.Signals(-process.returncode).name}")
    return text


def kill_all() -> None:
    """Kill the programs that run now, with their children."""
    for group in list(_running):
        _kill(group)


def _kill(group: int) -> None:
    """Kill a process group; what has ended already is ignored."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return
