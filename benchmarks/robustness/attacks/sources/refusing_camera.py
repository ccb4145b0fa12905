"""Cameras that refuse, over HTTP and RTSP, and streams without images."""

from __future__ import annotations

from pathlib import Path

from .....errors import UsageError
from .....runtime.sources.camera import stream
from ...attack import Attack, Outcome
from .http_cameras import HttpCameras, refusing_rtsp

HTTP = {"/401": "401", "/403": "403", "/404": "404", "/503": "503", "/text": "text/html", "/png": "no image"}
RTSP = ("401 Unauthorized", "404 Not Found", "453 Not Enough Bandwidth", "503 Service Unavailable")


def run(count: int, _: Path) -> Outcome:
    """Open each of `count` cameras with a password.

    Count the faults reported, and the passwords shown.
    """
    errors = []
    cameras = HttpCameras()
    for path, name in list(HTTP.items())[:count]:
        errors.append((name, _error(cameras.url.replace("//", "//scope:s3cret@") + path)))
    cameras.close()
    for status in RTSP[: max(0, count - len(HTTP))]:
        with refusing_rtsp(status) as url:
            errors.append((status, _error(url.replace("//", "//scope:s3cret@"))))
    named, shown = sum(name in text for name, text in errors), sum("s3cret" in text for _, text in errors)
    return Outcome({"named": named, "passwords_shown": shown}, named == count and shown == 0)


def _error(url: str) -> str:
    try:
        stream(url)
    except UsageError as error:
        return str(error)
    return ""


ATTACK = Attack(
    promise="The answer of a camera that refuses is reported: 401, 404, a page or a stream without images.",
    method="{count} cameras that refuse over HTTP and RTSP",
    run=run,
    count=len(HTTP) + len(RTSP),
    small_count=7,
)
