"""Check a source as a run opens it: one frame within a time limit.

The source is opened in a child process, since a camera's driver may crash or never return. Its address goes through
stdin, as it may have a password and the arguments of a process are public.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from ..system.address import printable_name, redact_credentials
from .result import CheckResult

MARK = "galaxy-edge-frame:"
"""Precedes each answer: native libraries may print lines of their own."""
SECONDS = 30.0
"""Default time limit, from the start of the child process to the first frame."""
_KILL_SECONDS = 5.0


def check_source(camera: str, out: Path, seconds: float = SECONDS) -> CheckResult:
    """Open a source and read its first frame.

    Args:
        camera: as in ``--camera`` of a run.
        out: output folder of the runs, which is not read.
        seconds: time limit.
    """
    answers, message, code = _ask(camera, out, seconds)
    shown = printable_name(redact_credentials(camera))
    found: dict[str, Any] = {}
    for answer in answers:
        found |= answer
    if "size" in found:
        return CheckResult("camera", "ok", f"{shown}: {_describe(found)}", exercised=True)
    hint = ""
    if "error" in found:
        reason = str(found["error"]).removesuffix(" (--wait waits for it)")  # doctor has no such option
    elif code is None:
        reason = f"no frame within {seconds:g} s" + (f": {message}" if message else "")
        hint = "an exposure or a start that takes longer needs --camera-seconds"
    else:
        reason = f"the process ended with {signal.Signals(-code).name if code < 0 else f'code {code}'}"
        reason += f": {message}" if message else ""
    is_named = shown and reason.startswith(shown)
    detail = reason if is_named else f"{shown or 'no source'}: {reason}"
    return CheckResult("camera", "fail", detail, hint, exercised=True)


def _describe(found: dict[str, Any]) -> str:
    """Return size, format and rate of the frames in a line."""
    width, height = found["size"]
    parts = [f"{width} x {height}", str(found["format"])]
    if "rate" in found:
        parts.append(f"{found['rate']:.3g} frames per second")
    if found["length"]:
        parts.append(f"{found['length']} frames")
    return f"{', '.join(parts)}; first frame in {found['seconds']:.1f} s"


def _ask(camera: str, out: Path, seconds: float) -> tuple[list[dict[str, Any]], str, int | None]:
    """Return the child's answers, last message and exit code (None: time was up)."""
    package = __name__.partition(".runtime.")[0]
    folder = str(Path(sys.modules[package].__file__ or "").parents[1])
    inherited = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([folder, *inherited])}
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", f"{__package__}.first_frame"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env=environment, start_new_session=True, text=True, errors="replace",
    )  # fmt: skip
    code: int | None = None
    try:
        output, errors = process.communicate(json.dumps({"camera": camera, "out": str(out)}), timeout=seconds)
        code = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        try:
            output, errors = process.communicate(timeout=_KILL_SECONDS)
        except subprocess.TimeoutExpired:  # a call of the kernel that does not return
            output = errors = ""
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    lines = (line.removeprefix(MARK) for line in output.splitlines() if line.startswith(MARK))
    message = next((line.strip() for line in reversed(errors.splitlines()) if line.strip()), "")
    return [json.loads(line) for line in lines], redact_credentials(message), code
