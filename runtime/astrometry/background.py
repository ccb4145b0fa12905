"""Solve fields in the background, one at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress

import numpy as np

from ...sky.hints import Hints
from ...sky.solution import Solution
from ...sky.solve_child import pack, unpack_answer
from ...sky.solvers.solver import Field
from ...sky.stars import find_stars
from ...sky.wcs import Wcs

GRACE = 15.0
"""Seconds in addition to the solver's, for the start of the process."""
_COMMAND = f"from {__name__.rpartition('.runtime.')[0]}.sky.solve_child import main; main()"


class BackgroundSolver:
    """A thread and a process for each solve.

    What does not end in time is killed, with all its children.
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._answer: Solution | str | None = None
        self._is_closed = False

    @property
    def is_busy(self) -> bool:
        """Whether a solve runs, or its result was not taken yet."""
        return self._thread is not None

    def start(
        self, light: np.ndarray, size: tuple[int, int], binning: int, hints: Hints, seconds: float, followed: Wcs | None
    ) -> None:
        """Begin to solve a frame; `is_busy` must be false.

        Args:
            light: (h, w) float32, its channels joined; not changed later.
            size: width and height of the source's own frame.
            binning: pixels of that frame along a side of one pixel of `light`.
            hints, seconds, followed: see `sky.solve_child.pack`.
        """

        def work() -> None:
            field = Field(find_stars(light, binning), *size, light)
            self._answer = self._solve(pack(field, hints, seconds, followed), seconds)

        self._answer = None
        self._thread = threading.Thread(target=work, name="solve", daemon=True)
        self._thread.start()

    def take(self, wait: float = 0.0) -> Solution | str | None:
        """Return the result of a solve; None if there is none after `wait` seconds."""
        if self._thread is None:
            return None
        self._thread.join(wait)
        if self._thread.is_alive():
            return None
        self._thread = None
        return self._answer if self._answer is not None else "the solver was interrupted"

    def close(self) -> None:
        """End a solve that runs."""
        self._is_closed = True
        process = self._process
        if process is not None:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)

    def _solve(self, task: bytes, seconds: float) -> Solution | str:
        path = os.pathsep.join(filter(None, sys.path))
        try:
            process = subprocess.Popen(
                [sys.executable, "-c", _COMMAND], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, start_new_session=True, env={**os.environ, "PYTHONPATH": path},
            )  # fmt: skip
        except OSError as error:
            return f"the process of the solver cannot be started: {error.strerror}"
        self._process = process
        if self._is_closed:
            self.close()
        try:
            output, errors = process.communicate(task, seconds + GRACE)
        except subprocess.TimeoutExpired:
            return f"no solution within {seconds:.0f} s"
        finally:
            self._process = None
            _end(process)
        if process.returncode:
            last = errors.decode("utf-8", "replace").strip().rpartition("\n")[2]
            return f"the process of the solver failed: {last[:200] or f'exit code {process.returncode}'}"
        return unpack_answer(output.decode("utf-8", "replace"))


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process that still runs, and the programs that it started."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            with suppress(OSError):
                stream.close()
