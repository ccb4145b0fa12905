"""Check the cameras that the kernel and libcamera show."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from ...devices.probe import Machine
from ...devices.v4l2.listing import describe_cameras
from ..sources.picamera.process import SYSTEM_PYTHON
from .result import CheckResult

LIST_SECONDS = 30.0
INSTALL = "sudo apt install python3-picamera2"

_LIST = """
import json, sys
sys.path[:] = [path for path in sys.path if path]
from picamera2 import Picamera2
print("cameras:" + json.dumps([str(camera.get("Model", "unnamed")) for camera in Picamera2.global_camera_info()]))
"""


def check_cameras(machine: Machine, root: Path = Path("/")) -> Iterator[CheckResult]:
    """Check V4L2 cameras by opening them; list those that only libcamera shows."""
    described = {camera.path: camera for camera in describe_cameras(machine.cameras)}
    for path in machine.cameras:
        name = f"cameras.{path}"
        if camera := described.get(path):
            formats = ", ".join(offered.name for offered in camera.formats) or "no formats"
            yield CheckResult(name, "ok", f"{camera.name} ({camera.driver}): {formats}", exercised=True)
        elif not os.access(root / path.lstrip("/"), os.R_OK | os.W_OK):
            yield CheckResult(name, "warn", "this user may not open it", "sudo usermod -aG video $USER")
    if not machine.cameras:
        yield CheckResult("cameras.v4l2", "skipped", "no /dev/video* here")
    yield _libcamera("Raspberry Pi" in machine.model)


def _libcamera(is_raspberry_pi: bool) -> CheckResult:
    cameras, reason = libcamera_cameras()
    name = "cameras.libcamera"
    if cameras:
        return CheckResult(
            name, "ok", ", ".join(f"picamera2:{number} is {model}" for number, model in enumerate(cameras))
        )
    if cameras is not None:
        hint = "rpicam-hello --list-cameras" if is_raspberry_pi else ""
        return CheckResult(name, "skipped", "Picamera2 finds no camera", hint)
    return CheckResult(name, "skipped", reason, INSTALL if is_raspberry_pi else "")


def libcamera_cameras() -> tuple[list[str] | None, str]:
    """Return the models of Picamera2's cameras, or None and why it cannot be asked.

    It is imported in a child process, in this Python or else in the system's.
    """
    environment = {**os.environ, "LIBCAMERA_LOG_LEVELS": os.environ.get("LIBCAMERA_LOG_LEVELS", "*:ERROR")}
    reason = "Picamera2 is not installed"
    for python in dict.fromkeys((sys.executable, SYSTEM_PYTHON)):
        isolation = "-P" if python == sys.executable else "-I"
        command = [python, isolation, "-c", _LIST]
        try:
            done = subprocess.run(command, capture_output=True, timeout=LIST_SECONDS, env=environment, check=False)
        except subprocess.TimeoutExpired:
            return None, f"Picamera2 did not answer within {LIST_SECONDS:g} s"
        except OSError:
            continue
        output = done.stdout.decode("utf-8", "replace")
        found = [line.removeprefix("cameras:") for line in output.splitlines() if line.startswith("cameras:")]
        if done.returncode == 0 and found:
            cameras: list[str] = json.loads(found[-1])
            return cameras, ""
        error = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        if "No module named" not in error:
            reason = f"Picamera2 fails in {python}: {error[:200] or f'exit code {done.returncode}'}"
    return None, reason
