"""The live view's limits: large requests, many viewers, silent and slow ones, no more files."""

import contextlib
import socket
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs the serve extra")
from galaxy_edge.runtime.web import access_control as guard
from galaxy_edge.runtime.web import http_protocol as door
from galaxy_edge.runtime.web import mjpeg as streams
from helpers.live_run import running
from helpers.sockets import is_open, pictures, viewer, wire_to


def test_large_requests_are_refused(live):
    assert live.ask("/api/controls", b"x" * (guard.MAX_BODY_BYTES + 1))[0] == 413
    host, port = live.address.removeprefix("http://").split(":")
    chunk = b"400\r\n" + b"x" * 1024 + b"\r\n"
    for head, body in (
        (b"Transfer-Encoding: chunked", chunk * 8),
        (b"Content-Length: -1", b""),
        (b"Content-Length: 1e9", b""),
    ):
        with socket.create_connection((host, int(port)), timeout=10) as wire:
            wire.sendall(b"POST /api/controls HTTP/1.1\r\nHost: localhost\r\n" + head + b"\r\n\r\n" + body)
            assert wire.recv(65536).split()[1] in (b"413", b"400")
    with socket.create_connection((host, int(port)), timeout=10) as wire, contextlib.suppress(ConnectionError):
        wire.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ")
        for _ in range(100):
            wire.sendall(b"x" * 10_000)  # a header without an end: the server hangs up
        assert wire.recv(65536).split()[1] in (b"400", b"431")


def test_streams_are_counted_and_their_places_given_back(live):
    host, port = live.address.removeprefix("http://").split(":")

    def watch():
        wire = socket.create_connection((host, int(port)), timeout=30)
        wire.sendall(b"GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return wire

    wires = [watch() for _ in range(streams.MAX_STREAMS)]
    content = pictures(wires[0], 3)
    start = content.index(b"\xff\xd8")
    picture = cv2.imdecode(np.frombuffer(content[start:], np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (480, 640, 3)
    for wire in wires[1:]:
        pictures(wire, 1)
    with watch() as one_more:
        assert one_more.recv(65536).split()[1] == b"429"
    for wire in wires:
        wire.close()

    def free():
        with watch() as again:
            return again.recv(65536).split()[1] == b"200"

    live.until(free)


def test_a_viewer_that_takes_nothing_loses_its_place_and_slows_nobody(live, monkeypatch):
    monkeypatch.setattr(door, "CLIENT_TIMEOUT", 0.5)
    host, port = live.address.removeprefix("http://").split(":")
    wires = []
    for _ in range(streams.MAX_STREAMS):
        wire = socket.socket()
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        wire.connect((host, int(port)))
        wire.sendall(b"GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wires.append(wire)
    frames = live.json("/api/status")["frames"]

    def free():
        with socket.create_connection((host, int(port)), timeout=30) as again:
            again.sendall(b"GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return again.recv(65536).split()[1] == b"200"

    time.sleep(0.5)
    live.until(free)
    assert live.json("/api/status")["frames"] > frames
    assert live.told == []  # that viewers go is nothing to tell of
    for wire in wires:
        wire.close()


HALVES = {
    "silent": b"", "half a request": b"GET /healthz HTTP/1.1\r\nHost: loc",
    "half a body": b"POST /api/controls HTTP/1.1\r\nHost: localhost\r\nContent-Length: 40\r\n\r\n" + b'{"paused": true}',
    "too large a body": b"POST /api/controls HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\n{",
}  # fmt: skip


@pytest.mark.parametrize("sent", HALVES.values(), ids=HALVES)
def test_who_keeps_the_server_waiting_is_let_go(live, monkeypatch, sent):
    monkeypatch.setattr(door, "CLIENT_TIMEOUT", 1.0)
    with viewer(live) as busy, wire_to(live) as wire:
        wire.sendall(sent)
        for _ in range(20):
            pictures(busy, 1)  # who takes what it is sent stays
        live.until(lambda: not is_open(wire), 20)
        pictures(busy, 1)
    assert not live.controls.paused, "half a request does nothing"
    assert live.told == []


def test_what_follows_an_answer_and_is_no_request_ends_in_silence(live, capfd):
    head = b"POST /api/controls HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    with wire_to(live) as wire:
        wire.sendall(head + b"1400\r\n" + b"x" * 0x1400 + b"\r\n")
        assert wire.recv(65536).split()[1] == b"413"
        wire.sendall(b"no length\r\n")
        live.until(lambda: not is_open(wire), 20)
    assert "Traceback" not in capfd.readouterr().err and live.told == []


def test_silent_connections_shut_nobody_out(tmp_path):
    """More of them than the server lets in: a monitor and a viewer are answered all the same."""
    with running(tmp_path) as live:
        with wire_to(live) as viewer, contextlib.ExitStack() as stack:
            viewer.sendall(b"GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
            pictures(viewer, 1)
            silent = [stack.enter_context(wire_to(live)) for _ in range(300)]
            assert live.ask("/healthz")[0] == 200
            assert live.json("/api/status")["state"] == "running"
            live.until(lambda: sum(map(is_open, silent)) < door.MAX_CONNECTIONS, 20)
            pictures(viewer, 2)
        assert [line for line in live.told if f"more than {door.MAX_CONNECTIONS} connections" in line] == live.told
        assert len(live.told) == 1, "told once, not three hundred times"


OUT_OF_FILES = """
import os, resource, sys, threading
from galaxy_edge.runtime.serve.server import Server, listen
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"here"})
bound = listen("127.0.0.1:0")
server = Server(lambda: app, bound, lambda line: print("told:", line, flush=True))
while not (server._server and server._server.started):
    threading.Event().wait(0.05)
files = len(os.listdir("/proc/self/fd"))
resource.setrlimit(resource.RLIMIT_NOFILE, (files + 5, files + 5))
print(bound.getsockname()[1], flush=True)
sys.stdin.read()
"""


def test_where_files_run_out_it_is_told_in_a_line_and_the_server_goes_on():
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
        told = process.stdout.readline()
    with socket.create_connection(("127.0.0.1", port), timeout=30) as wire:
        wire.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert b"here" in b"".join(iter(lambda: wire.recv(4096), b""))
    rest, errors = process.communicate("", timeout=30)
    assert "told: live view: " in told and "Too many open files" in told
    assert errors == "" and rest.count("\n") <= 1
