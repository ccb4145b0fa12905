"""Find out why a stream cannot be opened, which OpenCV does not return.

FFmpeg reports it.
"""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from http.client import responses
from urllib.parse import urlsplit

NOT_A_STREAM = "it answers, but not with a video stream"
CONNECT_SECONDS, PROBE_SECONDS = 5.0, 15.0
HINTS = {
    401: "the user name or the password is missing or wrong",
    403: "this user may not see it",
    404: "the path of the address is wrong",
    453: "the camera serves no further viewer",
    503: "the camera is busy, or serves no further viewer",
}
DEFAULT_PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
_PROBE = """
import os, sys
os.environ.update(OPENCV_FFMPEG_DEBUG="1", OPENCV_FFMPEG_LOGLEVEL="24", OPENCV_LOG_LEVEL="SILENT")
import cv2
limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, 5000, cv2.CAP_PROP_READ_TIMEOUT_MSEC, 5000]
cv2.VideoCapture(sys.stdin.read(), cv2.CAP_FFMPEG, limits)
"""


def describe_status(code: int, phrase: str = "") -> str:
    """Return what a status of HTTP or RTSP means.

    An example is ``it answers 404 Not Found: the path of ...``.
    """
    hint = HINTS.get(code, "")
    return f"it answers {code} {phrase or responses.get(code, '')}".rstrip() + (f": {hint}" if hint else "")


def why_unreachable(url: str) -> str:
    """Return why an address does not answer; "" if it does."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return "its address cannot be parsed; write # / @ in a password as %23 %2F %40"
    if not host or not port:
        return "its address has no host"
    try:
        socket.create_connection((host, port), CONNECT_SECONDS).close()
    except (socket.gaierror, UnicodeError):
        return "its host name is not known"  # which may be a part of a password with an @
    except TimeoutError:
        return "it does not answer"
    except OSError as error:
        return f"it does not answer ({(error.strerror or str(error)).lower()})"
    return ""


def why_not_opened(url: str) -> str:
    """Return why FFmpeg does not open a stream, by its messages in a child process.

    Their text is not passed on, as it may hold the address with its password; the address is passed on stdin, as
    other users see the arguments of a command.
    """
    if reason := why_unreachable(url):
        return reason
    try:
        child = subprocess.run(
            [sys.executable, "-c", _PROBE],
            input=url,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return NOT_A_STREAM
    status = re.search(r"\b([45]\d\d)\b[ (]+([A-Z][A-Za-z -]*)", child.stdout)
    if status:
        return describe_status(int(status[1]), status[2].strip())
    return "it does not answer in time" if "timed out" in child.stdout else NOT_A_STREAM
