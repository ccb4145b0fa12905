"""Serve what runs left in an output folder, to browsers on this machine."""

from __future__ import annotations

import io
import logging
import os
import re
import sys
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from ...errors import UsageError, UserError
from .byte_range import RangeNotSatisfiable, copy_bytes, parse_range
from .markup import section, text
from .night import Place
from .page import night_report

logger = logging.getLogger(__name__)

FILES = {
    r"sheet-\d+\.jpg": ("contact sheet", "image/jpeg"),
    r"annotated-\d+\.(mp4|avi|webm|webp|png)": ("annotated video", ""),
    r"frames-\d+\.jsonl": ("log, one line per frame", "application/x-ndjson"),
}
"""Files of an output folder that are served: their names, what they are, and their type."""
VIDEO_TYPES = {".mp4": "video/mp4", ".avi": "video/x-msvideo", ".webm": "video/webm", ".webp": "image/webp"}
LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost"})
POLICY = "default-src 'none'; img-src 'self' data:; media-src 'self'; style-src 'unsafe-inline'"


class _Server(ThreadingHTTPServer):
    """A server whose failed requests are a line of the log."""

    def handle_error(self, request: object, client_address: object) -> None:
        """Log a failed request; a browser that left, e.g. a video, is no failure."""
        error = sys.exception()
        level = logging.DEBUG if isinstance(error, ConnectionError) else logging.WARNING
        logger.log(level, "a request failed: %s", error or "unknown")


class Viewer:
    """A server of one output folder, on the loopback interface.

    Args:
        folder: the output folder.
        port: 0 for a free one.
        night: date of the evening, e.g. 2026-11-28; None for the latest night.
        place: where the telescope stands, if known.

    Attributes:
        url: of the page.

    Raises:
        UsageError: the folder has no events, or the port is taken.
    """

    def __init__(self, folder: Path, port: int, night: str | None = None, place: Place | None = None) -> None:
        def page() -> str:
            return page_with_files(folder, night, place)

        page()  # a folder without events is an error now, not in the browser
        try:
            self._server = _Server(("127.0.0.1", port), _handler(folder, page))
        except OSError as error:
            raise UsageError(f"port {port} cannot be used: {error.strerror}; give another with --port") from None
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    def serve(self) -> None:
        """Serve until `close` is called from another thread, or Ctrl-C."""
        try:
            self._server.serve_forever(poll_interval=0.2)
        finally:
            self._server.server_close()

    def close(self) -> None:
        """End `serve`."""
        self._server.shutdown()


def page_with_files(folder: Path, night: str | None, place: Place | None) -> str:
    """Return the report of a night, with links to the files of all runs."""
    _, page = night_report(folder, night, place)
    links = [f'<li><a href="files/{text(name)}">{text(name)}</a>: {text(what)}</li>' for name, what in _files(folder)]
    files = section("Files", f"<ul>{''.join(links)}</ul>", "files") if links else ""
    head, end, tail = page.rpartition("</main>")
    return head + files + end + tail if end else page.replace("</body>", files + "</body>")


def _files(folder: Path) -> list[tuple[str, str]]:
    """Return the files that are served and their kinds, the latest first."""
    names = sorted((path.name for path in folder.iterdir() if path.is_file()), reverse=True)
    kinds = [(name, pattern) for name in names for pattern in FILES if re.fullmatch(pattern, name)]
    return [(name, FILES[pattern][0]) for name, pattern in kinds]


def _handler(folder: Path, page: Callable[[], str]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Answers with the page, and with files of known names."""

        server_version, sys_version = "galaxy-edge", ""

        def do_GET(self) -> None:
            """Answer a request."""
            # A page of another site, whose name leads here, must not read the events.
            if self.headers.get("Host", "").rpartition(":")[0] not in LOCAL_HOSTS:
                self.send_error(HTTPStatus.FORBIDDEN, "give the address that galaxy-edge printed")
                return
            path = unquote(urlsplit(self.path).path)
            if path == "/":
                try:
                    shown = page().encode()
                    self._send(io.BytesIO(shown), len(shown), "text/html; charset=utf-8")
                except UserError as error:
                    # In the body: the status line takes no names of other scripts than Latin.
                    self.send_error(HTTPStatus.NOT_FOUND, explain=str(error).splitlines()[0])
                return
            name = path.removeprefix("/files/")
            kind = next((kind for pattern, (_, kind) in FILES.items() if re.fullmatch(pattern, name)), None)
            file = folder / name
            if kind is None or not path.startswith("/files/") or file.is_symlink() or not file.is_file():
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            with file.open("rb") as content:
                self._send_file(content, kind or VIDEO_TYPES.get(file.suffix, "application/octet-stream"))

        def _send_file(self, content: BinaryIO, kind: str) -> None:
            """Send a file, or the bytes of it that the browser asks for."""
            size = os.fstat(content.fileno()).st_size
            # If-Range names a version of the file, and versions are not sent: none can be meant.
            wanted = None if "If-Range" in self.headers else self.headers.get("Range")
            try:
                part = parse_range(wanted, size)
            except RangeNotSatisfiable:
                self._send(io.BytesIO(), 0, kind, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, f"bytes */{size}")
                return
            if part is None:
                self._send(content, size, kind, accepts="bytes")
                return
            first, end = part
            content.seek(first)
            self._send(content, end - first, kind, HTTPStatus.PARTIAL_CONTENT, f"bytes {first}-{end - 1}/{size}")

        # Many parameters because these are the parts of an answer.
        def _send(
            self, content: BinaryIO, size: int, kind: str, status: HTTPStatus = HTTPStatus.OK, part: str = "",
            accepts: str = "",
        ) -> None:  # fmt: skip
            self.send_response(status)
            for name, value in (
                ("Content-Type", kind), ("Content-Length", str(size)), ("Content-Security-Policy", POLICY),
                ("X-Content-Type-Options", "nosniff"), ("Cache-Control", "no-store"), ("Content-Range", part),
                ("Accept-Ranges", "bytes" if part else accepts),
            ):  # fmt: skip
                if value:
                    self.send_header(name, value)
            self.end_headers()
            copy_bytes(content, self.wfile, size)

        def log_message(self, format: str, *arguments: object) -> None:
            """Log a request for debugging only."""
            logger.debug(format, *arguments)

    return Handler
