"""Limits of the live page.

Large requests, many viewers, silent and slow clients, exhausted file descriptors.
"""

import contextlib
import socket
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs the serve extra")
from galaxy_edge.runtime.web import access_control, http_protocol, mjpeg
from helpers.live_run import running
from helpers.sockets import (
    connect,
    is_open,
    open_stream,
    read_images,
    request_stream,
    status_of,
    stream_is_available,
)


def test_large_requests_are_rejected(live):
    """Content-Length, the bytes of chunks and the size of a header are limited."""
    assert live.ask("/api/controls", b"x" * (access_control.MAX_BODY_BYTES + 1))[0] == 413
    chunk = b"400\r\n" + b"x" * 1024 + b"\r\n"
    for header, body in (
        (b"Transfer-Encoding: chunked", chunk * 8),
        (b"Content-Length: -1", b""),
        (b"Content-Length: 1e9", b""),
    ):
        with connect(live) as connection:
            connection.sendall(b"POST /api/controls HTTP/1.1\r\nHost: localhost\r\n" + header + b"\r\n\r\n" + body)
            assert status_of(connection) in (b"413", b"400")
    with connect(live) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ")
        for _ in range(100):
            connection.sendall(b"x" * 10_000)  # a header that does not end: the server closes the connection
        assert status_of(connection) in (b"400", b"431")


def test_streams_are_limited_and_can_be_opened_again_after_viewers_leave(live):
    """Each stream costs the device encoding and bandwidth."""
    connections = [request_stream(live) for _ in range(mjpeg.MAX_STREAMS)]
    content = read_images(connections[0], 3)
    start = content.index(b"\xff\xd8")
    image = cv2.imdecode(np.frombuffer(content[start:], np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == (480, 640, 3)
    for connection in connections[1:]:
        read_images(connection, 1)
    with request_stream(live) as extra:
        assert status_of(extra) == b"429"
    for connection in connections:
        connection.close()
    live.until(lambda: stream_is_available(live))


def test_viewers_that_read_nothing_are_disconnected_and_do_not_slow_the_run(live, monkeypatch):
    """A phone that sleeps keeps its connection open but reads nothing."""
    monkeypatch.setattr(http_protocol, "CLIENT_TIMEOUT", 0.5)
    connections = [request_stream(live, receive_buffer=4096) for _ in range(mjpeg.MAX_STREAMS)]
    frames = live.json("/api/status")["frames"]
    time.sleep(0.5)
    live.until(lambda: stream_is_available(live))
    assert live.json("/api/status")["frames"] > frames
    assert live.warnings == []  # viewers that leave are not worth a message
    for connection in connections:
        connection.close()


INCOMPLETE_REQUESTS = {
    "silent": b"", "half a request": b"GET /healthz HTTP/1.1\r\nHost: loc",
    "half a body": b"POST /api/controls HTTP/1.1\r\nHost: localhost\r\nContent-Length: 40\r\n\r\n" + b'{"paused": true}',
    "too large a body": b"POST /api/controls HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\n{",
}  # fmt: skip


@pytest.mark.parametrize("request_bytes", INCOMPLETE_REQUESTS.values(), ids=INCOMPLETE_REQUESTS)
def test_clients_that_do_not_complete_their_request_are_disconnected(live, monkeypatch, request_bytes):
    """They would hold connections forever.

    A viewer that reads its stream stays connected.
    """
    monkeypatch.setattr(http_protocol, "CLIENT_TIMEOUT", 1.0)
    with open_stream(live) as viewer, connect(live) as connection:
        connection.sendall(request_bytes)
        for _ in range(20):
            read_images(viewer, 1)
        live.until(lambda: not is_open(connection), 20)
        read_images(viewer, 1)
    assert not live.controls.paused, "half a request has no effect"
    assert live.warnings == []


def test_invalid_bytes_after_an_answer_close_the_connection_without_a_message(live, capfd):
    """The rest of a request that was too large is no longer answered.

    An answer has already been sent.
    """
    head = b"POST /api/controls HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    with connect(live) as connection:
        connection.sendall(head + b"1400\r\n" + b"x" * 0x1400 + b"\r\n")
        assert status_of(connection) == b"413"
        connection.sendall(b"no length\r\n")
        live.until(lambda: not is_open(connection), 20)
    assert "Traceback" not in capfd.readouterr().err and live.warnings == []


def test_silent_connections_do_not_lock_out_others(tmp_path):
    """A monitor and a viewer are answered in spite of too many silent connections."""
    with running(tmp_path) as live:
        with request_stream(live) as viewer, contextlib.ExitStack() as stack:
            read_images(viewer, 1)
            silent = [stack.enter_context(connect(live)) for _ in range(300)]
            assert live.ask("/healthz")[0] == 200
            assert live.json("/api/status")["state"] == "running"
            live.until(lambda: sum(map(is_open, silent)) < http_protocol.MAX_CONNECTIONS, 20)
            read_images(viewer, 2)
        limit = f"more than {http_protocol.MAX_CONNECTIONS} connections"
        assert [line for line in live.warnings if limit in line] == live.warnings
        assert len(live.warnings) == 1, "logged once, not three hundred times"


OUT_OF_FILES = """
import logging, os, resource, sys, threading
from galaxy_edge.runtime.web.server import Server, listen
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"here"})
logging.basicConfig(stream=sys.stdout, format="logged: %(message)s", level=logging.WARNING)
bound = listen("127.0.0.1:0")
server = Server(lambda: app, bound)
while not server.started:
    threading.Event().wait(0.05)
files = len(os.listdir("/proc/self/fd"))
resource.setrlimit(resource.RLIMIT_NOFILE, (files + 5, files + 5))
print(bound.getsockname()[1], flush=True)
sys.stdin.read()
"""


def test_running_out_of_file_descriptors_is_logged_once_and_the_server_continues():
    """accept() then fails outside of any request, repeatedly."""
    process = subprocess.Popen(
        [sys.executable, "-c", OUT_OF_FILES],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    port = int(process.stdout.readline())
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
        logged = process.stdout.readline()
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert b"here" in b"".join(iter(lambda: connection.recv(4096), b""))
    rest, errors = process.communicate("", timeout=30)
    assert "logged: live view: " in logged and "Too many open files" in logged
    assert errors == "" and rest.count("\n") <= 1
