"""An HTTP server with cameras that misbehave, each at its own path.

There is an RTSP server that refuses too.
"""

from __future__ import annotations

import base64
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import cv2
import numpy as np

MULTIPART = "multipart/x-mixed-replace; boundary=edge"


def jpeg(number: int = 0) -> bytes:
    """Return a small JPEG whose brightness depends on `number`."""
    image = np.full((48, 64, 3), 40 + 20 * (number % 10), np.uint8)
    return cv2.imencode(".jpg", image)[1].tobytes()


def stating(image: bytes, side: int) -> bytes:
    """Return a baseline JPEG of zeros whose header states a large size.

    It is long enough for FFmpeg to accept it.
    """
    at = image.index(b"\xff\xc0") + 5
    return image[:at] + struct.pack(">HH", side, side) + image[at + 4 : -2] + bytes(side * side // 250) + image[-2:]


class HttpCameras:
    """Cameras at ``url`` that misbehave, each at its own path.

    ``/snapshot`` gives one image per request, ``/short`` a stream that ends after five, ``/text``, ``/png`` a stream
    whose parts are not JPEG, ``/huge`` a stream whose images state 15,000 x 15,000 pixels; ``/private`` is for
    scope:p@ss only; ``/401``, ``/404`` and ``/503`` answer so.

    Attributes:
        url: without a path.
        requests: number of requests by path.
    """

    def __init__(self, port: int = 0) -> None:
        self.requests: Counter[str] = Counter()
        cameras = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                """Print nothing."""

            def do_GET(self) -> None:
                """Answer."""
                cameras.requests[self.path] += 1
                try:
                    cameras.answer(self)
                except OSError:
                    return  # the viewer has gone

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        path, number = request.path, self.requests[request.path]
        if path == "/private":
            expected = "Basic " + base64.b64encode(b"scope:p@ss").decode()
            if request.headers.get("Authorization") != expected:
                path = "/401"
        if path in ("/snapshot", "/private"):
            _send(request, "image/jpeg", jpeg(number))
        elif path == "/short":
            parts = (b"--edge\r\nContent-Type: image/jpeg\r\n\r\n" + jpeg(image) + b"\r\n" for image in range(5))
            _send(request, MULTIPART, b"".join(parts))
        elif path == "/huge":
            part = b"--edge\r\nContent-Type: image/jpeg\r\n\r\n" + stating(jpeg(), 15_000) + b"\r\n"
            _send(request, MULTIPART, part * 3)
        elif path == "/text":
            _send(request, "text/html", b"<html>Welcome to your camera</html>")
        elif path == "/png":
            png = cv2.imencode(".png", np.zeros((48, 64, 3), np.uint8))[1].tobytes()
            _send(request, MULTIPART, (b"--edge\r\nContent-Type: image/png\r\n\r\n" + png + b"\r\n") * 20)
        else:
            request.send_response(int(path[1:]) if path[1:].isdecimal() else 404)
            request.send_header("WWW-Authenticate", 'Basic realm="camera"')
            request.end_headers()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()


def _send(request: BaseHTTPRequestHandler, content_type: str, body: bytes) -> None:
    request.send_response(200)
    request.send_header("Content-Type", content_type)
    request.end_headers()
    request.wfile.write(body)
    time.sleep(0.01)


@contextmanager
def refusing_rtsp(status: str) -> Iterator[str]:
    """Yield the address of an RTSP server that refuses every DESCRIBE.

    It answers with `status`, e.g. ``404 Not Found``.
    """

    def serve(connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as lines:
            while line := lines.readline():
                headers = dict(header.strip().split(b": ", 1) for header in iter(lines.readline, b"\r\n") if header)
                answer = b"200 OK" if line.startswith(b"OPTIONS") else status.encode()
                connection.sendall(b"RTSP/1.0 " + answer + b"\r\nCSeq: " + headers[b"CSeq"] + b"\r\n\r\n")

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return  # closed
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"rtsp://127.0.0.1:{listener.getsockname()[1]}/stream"
        listener.shutdown(socket.SHUT_RDWR)
