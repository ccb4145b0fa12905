"""The child process of a Raspberry Pi's camera, its messages and shared memory."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import signal
import subprocess
import sys
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import numpy as np

from ..capture import CaptureError

CHILD = Path(__file__).with_name("child.py")
SYSTEM_PYTHON = "/usr/bin/python3"
"""The interpreter of apt's python3-picamera2: with the newer numpy of an environment, its import may fail."""
STOP_SECONDS = 3.0
"""Seconds for stopping the camera, after which its process is killed: `stop` may block forever after a cable fault."""
KILL_SECONDS = 2.0
"""Seconds to wait for a killed process; in a call of the kernel that hangs, it cannot end."""


class CameraProcess:
    """A process that runs a camera.

    Args:
        python: the interpreter.
        settings: see `child.main`.
    """

    def __init__(self, python: str, settings: dict[str, Any]) -> None:
        environment = {**os.environ, "LIBCAMERA_LOG_LEVELS": os.environ.get("LIBCAMERA_LOG_LEVELS", "*:ERROR")}
        # Modules of this environment are not for another interpreter, and those next to the program for none.
        isolation = "-P" if python == sys.executable else "-I"
        self._connection, remote = Pipe()
        self._memory_file = os.memfd_create("galaxy-edge-camera")
        self._memory: mmap.mmap | None = None
        files = (remote.fileno(), self._memory_file)
        try:
            self._process = subprocess.Popen(
                [python, isolation, CHILD, *map(str, files), json.dumps(settings)],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=files,
                env=environment, start_new_session=True,  # Ctrl-C is for this process only
            )  # fmt: skip
        except OSError:
            os.close(self._memory_file)
            self._connection.close()
            raise
        finally:
            remote.close()

    def request_image(self) -> None:
        """Ask for the next image."""
        with contextlib.suppress(OSError):  # that the process has ended is found by `receive`
            self._connection.send_bytes(b"next")

    def receive(self, seconds: float) -> dict[str, Any]:
        """Return the next message.

        Raises:
            CaptureError: none arrives in time, or the process has ended.
        """
        try:
            if not self._connection.poll(seconds):
                raise CaptureError(f"it did not answer within {seconds:.0f} s: its process is ended")
            message: dict[str, Any] = json.loads(self._connection.recv_bytes())
        except (EOFError, OSError):
            raise CaptureError(f"its process {self._end()}") from None
        if message["kind"] == "ready":
            self._memory = mmap.mmap(self._memory_file, 0, prot=mmap.PROT_READ)
        return message

    def content(self, slot: int, length: int) -> np.ndarray:
        """Return the bytes of an image in the shared memory, uint8.

        Not to be kept after `close`.
        """
        assert self._memory is not None
        return np.frombuffer(self._memory, np.uint8, length, slot * length)

    def close(self) -> None:
        """Stop the camera and end the process, by force if it hangs."""
        with contextlib.suppress(OSError):
            self._connection.send_bytes(b"stop")
        for seconds, end in ((STOP_SECONDS, self._process.kill), (KILL_SECONDS, None)):
            try:
                self._process.wait(seconds)
                break
            except subprocess.TimeoutExpired:
                if end is not None:
                    end()
        self._connection.close()
        os.close(self._memory_file)
        if self._memory is not None:
            with contextlib.suppress(BufferError):  # an image is still being read; it is freed with it
                self._memory.close()

    def _end(self) -> str:
        try:
            code = self._process.wait(KILL_SECONDS)
        except subprocess.TimeoutExpired:
            return "closed its connection"
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
