"""A camera that redirects, or answers with playlists, to another host.

A video file that is a playlist is tried too.
"""

from __future__ import annotations

import http.server
import socketserver
import threading
from contextlib import suppress
from functools import partial
from pathlib import Path

from .....errors import UserError
from .....runtime.sources.camera import stream
from .....runtime.sources.video import VideoSource
from ...attack import Attack, Outcome

PLAYLISTS = {
    "hls": ("application/vnd.apple.mpegurl", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}/seg.ts\n"),
    "dash": ("application/dash+xml", '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static">'
             '<Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>{}/a.mp4'
             "</BaseURL></Representation></AdaptationSet></Period></MPD>"),
    "concat": ("text/plain", "ffconcat version 1.0\nfile {}/x.mjpg\n"),
    "asx": ("video/x-ms-asf", '<asx version="3.0"><entry><ref href="{}/x"/></entry></asx>'),
}  # fmt: skip


class _Other(socketserver.StreamRequestHandler):
    """Counts connections."""

    def handle(self) -> None:
        self.server.hits += 1  # type: ignore[attr-defined]


class _Http(http.server.BaseHTTPRequestHandler):
    def __init__(self, target: str, *arguments: object) -> None:
        self._target = target
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        """Redirect, or answer with a playlist."""
        kind, text = PLAYLISTS.get(self.path[1:], ("", ""))
        body = text.format(self._target).encode()
        self.send_response(200 if body else 302)
        self.send_header("Content-Type", kind) if body else self.send_header("Location", f"{self._target}/secret")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Print nothing."""


class _Rtsp(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        """Answer OPTIONS, and redirect the request after it."""
        while line := self.rfile.readline():
            number = b"1"
            while (header := self.rfile.readline().strip()) != b"":
                number = header.partition(b":")[2].strip() if header.lower().startswith(b"cseq") else number
            target = f"rtsp://127.0.0.2:{self.server.target}/secret"  # type: ignore[attr-defined]
            first = b"RTSP/1.0 200 OK" if line.startswith(b"OPTIONS") else b"RTSP/1.0 302 Found"
            self.wfile.write(first + b"\r\nCSeq: " + number + b"\r\nLocation: " + target.encode() + b"\r\n\r\n")


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    hits = target = 0


def run(count: int, folder: Path) -> Outcome:
    """Open every kind of address `count` times; count connections to the other host."""
    other = _Server(("127.0.0.2", 0), _Other)
    target = f"http://127.0.0.2:{other.server_address[1]}"
    camera, rtsp = _Server(("127.0.0.1", 0), partial(_Http, target)), _Server(("127.0.0.1", 0), _Rtsp)
    rtsp.target = other.server_address[1]
    servers = (other, camera, rtsp)
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{camera.server_address[1]}"
    addresses = [f"{base}/{name}" for name in ("redirect", *PLAYLISTS)]
    addresses.append(f"rtsp://127.0.0.1:{rtsp.server_address[1]}/live")
    (folder / "playlist.mpg").write_text(PLAYLISTS["hls"][1].format(target), encoding="ascii")
    for _ in range(count):
        for address in addresses:
            with suppress(UserError):
                stream(address)
        with suppress(UserError):
            list(VideoSource(folder / "playlist.mpg"))
    for server in servers:
        server.shutdown()
        server.server_close()
    figures: dict[str, int | float | str] = {
        "addresses": count * (len(addresses) + 1),
        "requests_to_another_host": other.hits,
    }
    return Outcome(figures, other.hits == 0)


ATTACK = Attack(
    promise="A camera's redirects and playlists reach no other host.",
    method="{count} times: redirects of HTTP and RTSP, playlists of four kinds, and a video file that is a playlist",
    run=run,
    count=10,
    small_count=1,
)
