"""The live view's server, asked as a script, an attacker and a monitor ask it."""

import contextlib
import datetime
import json
import os
import re
import socket
import stat
import subprocess
import sys
import threading
import time

import cv2
import numpy as np
import pytest
from conftest import galaxy_edge as command_line

pytest.importorskip("fastapi", reason="needs the serve extra")
from galaxy_edge.runtime.errors import UsageError
from galaxy_edge.runtime.frame import Detections, Frame
from galaxy_edge.runtime.serve import door, guard, streams
from galaxy_edge.runtime.serve.preview import Preview
from galaxy_edge.runtime.serve.server import listen
from galaxy_edge.runtime.serve.token import Token, settle_token
from live_run import running
from prometheus_client.parser import text_string_to_metric_families


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """A run with its live view on loopback."""
    with running(tmp_path_factory.mktemp("live")) as one:
        one.until(lambda: one.json("/api/events"))
        yield one


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A run that wants a token."""
    folder = tmp_path_factory.mktemp("guarded")
    with running(folder, token_file=folder / "token") as one:
        one.token = (folder / "token").read_text().strip()
        yield one


def wire_to(live):
    host, port = live.address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def raw(live, request):
    """Send bytes; return all that comes until the server hangs up."""
    with wire_to(live) as wire:
        wire.sendall(request)
        return b"".join(iter(lambda: wire.recv(65536), b""))


def is_open(wire):
    wire.setblocking(False)
    try:
        return wire.recv(65536) != b""
    except BlockingIOError:
        return True
    except ConnectionError:
        return False


def test_figures_events_and_crops(live):
    before = live.json("/api/status")
    live.until(lambda: live.json("/api/status")["frames"] > before["frames"])
    assert before["state"] == "running" and before["source"] == "demo" and before["stages"]["detect"] > 0 and before["stages"]["write"] > 0
    event = live.json("/api/events?limit=1")[0]
    assert live.json(f"/api/events/{event['id']}")["id"] == event["id"]
    with_crop = next(one for one in live.json("/api/events") if one["crop"])
    _, headers, content = live.ask(f"/{with_crop['crop']}")
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert headers["Content-Type"] == "image/png" and min(picture.shape[:2]) > 4
    live.until(lambda: live.json("/api/history"))
    assert live.json("/api/events?class=no_such") == []


def test_controls_turn_the_run(live):
    before = live.json("/api/controls")
    assert before == {"paused": False, "min_score": pytest.approx(0.47, abs=0.1), "stack": None}
    assert live.json("/api/controls", {"paused": True, "min_score": 0.9})["paused"]
    time.sleep(1.0)  # what was under way is through
    frames, found = live.pulse.frames, live.pulse.summary.detections
    live.until(lambda: live.pulse.frames > frames + 3)  # frames are shown, and not searched
    assert live.json("/api/status")["state"] == "paused" and live.pulse.summary.detections == found
    assert live.ask("/healthz")[0] == 200, "a pause is no fault"
    assert live.json("/api/controls", {"paused": False, "min_score": before["min_score"]}) == before
    live.until(lambda: live.pulse.summary.detections > found)
    assert live.ask("/api/controls", {"stack": 4})[0] == 409  # this run does not stack


def test_a_frame_is_kept(live):
    name = live.json("/api/frames", {})["name"]
    live.until(lambda: live.ask(f"/{name}")[0] == 200)
    picture = cv2.imdecode(np.frombuffer(live.ask(f"/{name}")[2], np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (480, 640, 3)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'"on"', b'{"paused": "yes"}', b'{"min_score": 2}', b'{"min_score": "0.5"}', b'{"colour": 1}',
     b'{"stack": 0}', b'{"paused": 1}', b'{"min_score": NaN}', b"\xff\xfe"],
)
def test_a_wrong_wish_changes_nothing(live, body):
    before = live.json("/api/controls")
    assert live.ask("/api/controls", body)[0] == 422
    assert live.json("/api/controls") == before


@pytest.mark.parametrize(
    "path",
    ["/crops/1/../../events.sqlite", "/crops/1/..%2f..%2fevents.sqlite", "/crops/1/%2e%2e/%2e%2e/events.sqlite",
     "/crops/..%5c..%5cevents.sqlite", "/crops/1/....//....//events.sqlite", "/crops//etc/passwd", "/crops/1/00001.png%00",
     "/crops/1/.00001.png", "/crops/0/00001.png", "/crops/-1/00001.png", "/crops/1/00001.png/..", "/saved/../token",
     "/saved/..%2ftoken", "/saved/%2e%2e%2fevents.sqlite", "/crops/1/00001.PNG", "/crops/1/99999999.png",
     "/api/events/..%2f..%2fetc", "/events.sqlite", "/token", "/page/index.html", "//etc/passwd"],
)
def test_no_path_leads_out(live, path):
    """As raw bytes: a client that is well-behaved would tidy up the path itself."""
    answer = raw(live, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert answer.split()[1] in (b"404", b"422"), answer[:200]
    assert b"SQLite" not in answer and b"root:" not in answer


def test_a_link_in_the_crops_folder_leads_nowhere(live):
    link = live.output.crops / "77777.png"
    link.symlink_to("/etc/passwd")
    assert live.ask("/crops/1/77777.png")[0] == 404
    link.unlink()


def test_every_answer_has_the_security_headers(live):
    for path in ("/", "/page.js", "/api/status", "/crops/1/99999.png", "/nowhere", "/healthz"):
        _, headers, _ = live.ask(path)
        for name, value in door.HEADERS.items():
            assert headers.get_all(name) == [value], path
        assert "server" not in {name.lower() for name in headers}
    assert "unsafe" not in door.HEADERS["Content-Security-Policy"]
    answer = raw(live, b"GET / HTTP/1.1\r\nno header\r\n\r\n")  # it never reaches the application
    assert answer.startswith(b"HTTP/1.1 400 ")
    for name, value in door.HEADERS.items():
        assert f"\r\n{name.lower()}: {value}\r\n".encode() in answer.replace(name.encode(), name.lower().encode())


def test_the_page_needs_nothing_from_outside(live):
    for path in ("/", "/page.js", "/page.css", "/login", "/login.js"):
        status, _, content = live.ask(path)
        assert status == 200 and not re.search(rb"(?:https?:)?//[a-z]", content.replace(b"//!", b"")), path
        assert not re.search(rb"\son\w+=|<style|style=|<script>", content), "an inline script or style"


def test_another_page_and_another_name_are_refused(live):
    """A page elsewhere could let its visitor's browser ask, or give itself this server's address (DNS rebinding)."""
    assert live.ask("/api/controls", {"paused": True}, {"Origin": "http://evil.example"})[0] == 403
    assert live.ask("/api/status", headers={"Host": "evil.example"})[0] == 403
    assert live.ask("/api/controls", b'{"paused": true}', {"Content-Type": "text/plain"})[0] == 422
    assert live.ask("/api/controls", {}, {"Origin": live.address})[0] == 200
    assert not live.json("/api/controls")["paused"]


def test_large_requests_are_refused(live):
    assert live.ask("/api/controls", b"x" * (guard.MOST_BYTES + 1))[0] == 413
    host, port = live.address.removeprefix("http://").split(":")
    chunk = b"400\r\n" + b"x" * 1024 + b"\r\n"
    for head, body in ((b"Transfer-Encoding: chunked", chunk * 8), (b"Content-Length: -1", b""), (b"Content-Length: 1e9", b"")):
        with socket.create_connection((host, int(port)), timeout=10) as wire:
            wire.sendall(b"POST /api/controls HTTP/1.1\r\nHost: localhost\r\n" + head + b"\r\n\r\n" + body)
            assert wire.recv(65536).split()[1] in (b"413", b"400")
    with socket.create_connection((host, int(port)), timeout=10) as wire, contextlib.suppress(ConnectionError):
        wire.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ")
        for _ in range(100):
            wire.sendall(b"x" * 10_000)  # a header without an end: the server hangs up
        assert wire.recv(65536).split()[1] in (b"400", b"431")


def pictures(wire, count):
    """Read so many JPEGs of a stream."""
    content, found = b"", 0
    while found < count:
        part = wire.recv(65536)
        assert part, "the stream ended"
        content += part
        found = len(re.findall(rb"\xff\xd8.*?\xff\xd9\r\n--frame", content, re.S))
    return content


def viewer(live):
    """Watch, as soon as the viewers of earlier tests have left a place."""
    wires = []

    def let_in():
        wires.append(wire_to(live))
        wires[-1].sendall(b"GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        if wires[-1].recv(65536).split()[1] == b"200":
            return True
        wires[-1].close()
        return False

    live.until(let_in)
    return wires[-1]


def test_streams_are_counted_and_their_places_given_back(live):
    host, port = live.address.removeprefix("http://").split(":")

    def watch():
        wire = socket.create_connection((host, int(port)), timeout=30)
        wire.sendall(b"GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return wire

    wires = [watch() for _ in range(streams.MOST)]
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
    monkeypatch.setattr(door, "PATIENCE", 0.5)
    host, port = live.address.removeprefix("http://").split(":")
    wires = []
    for _ in range(streams.MOST):
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
    monkeypatch.setattr(door, "PATIENCE", 1.0)
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
            live.until(lambda: sum(map(is_open, silent)) < door.MOST, 20)
            pictures(viewer, 2)
        assert [line for line in live.told if f"more than {door.MOST} connections" in line] == live.told
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
    process = subprocess.Popen([sys.executable, "-c", OUT_OF_FILES], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
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


def test_the_document_tells_of_the_token_and_of_the_stream(live, guarded):
    bearer = {"Authorization": f"Bearer {guarded.token}"}
    document = json.loads(guarded.ask("/openapi.json", headers=bearer)[2])
    assert set(document["components"]["securitySchemes"]) == {"bearer", "cookie"}
    assert document["security"] == [{"bearer": []}, {"cookie": []}]
    free = {path for path, one in document["paths"].items() for operation in one.values() if operation.get("security") == []}
    assert free == {"/healthz", "/login"} == guard.OPEN & document["paths"].keys()
    assert {"200", "429"} < document["paths"]["/stream.mjpg"]["get"]["responses"].keys()
    assert "security" not in live.json("/openapi.json")  # on loopback none is wanted


def test_a_monitor_may_ask_for_the_head_alone(live):
    for path in ("/healthz", "/"):
        status, headers, content = live.ask(path, method="HEAD")
        assert (status, content) == (200, b"") and int(headers["Content-Length"]) > 0


def test_prometheus_can_read_the_metrics(live):
    _, headers, content = live.ask("/metrics")
    assert headers["Content-Type"].startswith("text/plain")
    families = {family.name: family for family in text_string_to_metric_families(content.decode())}
    assert families["galaxy_edge_frames"].samples[0].value > 0 and families["galaxy_edge_frames"].type == "counter"
    assert families["galaxy_edge_up"].samples[0].value == 1
    stages = {(one.name, one.labels["stage"]): one.value for one in families["galaxy_edge_stage_seconds"].samples}
    mean = stages["galaxy_edge_stage_seconds_sum", "detect"] / stages["galaxy_edge_stage_seconds_count", "detect"]
    assert 0 < mean < 5, "seconds, not milliseconds"
    assert families["galaxy_edge_memory_bytes"].samples[0].value > 1e7
    assert families["galaxy_edge_open_files"].samples[0].value > 3


@pytest.mark.parametrize(("abstain", "named"), [(None, True), (0.55, True), (0.7, False)])
def test_a_guess_is_no_class_in_the_live_picture_either(abstain, named):
    """The picture named what the list beside it called uncertain; a class has a colour, a guess is white."""
    preview = Preview(("spiral", "smooth"), abstain)
    frame = Frame(np.zeros((240, 320, 3), np.uint8), datetime.datetime.now(datetime.UTC), "sky", 0)
    box, score, probabilities = [[60, 60, 200, 160]], [0.9], [[0.6, 0.4]]
    preview.frame(frame, Detections(*(np.array(one, np.float32) for one in (box, score, probabilities))))
    shown = cv2.imdecode(np.frombuffer(preview.jpeg(), np.uint8), cv2.IMREAD_COLOR)
    assert (np.ptp(shown, axis=2).max() > 20) == named and shown.max() > 150


def test_health_is_red_when_frames_stop(tmp_path):
    with running(tmp_path, stale=0.5) as one:
        one.controls.paused = True  # a pause does not hide it
        one.source.dead.set()
        one.until(lambda: one.ask("/healthz")[0] == 503)
        assert json.loads(one.ask("/healthz")[2]) == {"state": "stalled"}
        assert b"galaxy_edge_up 0.0" in one.ask("/metrics")[2]
        one.source.dead.clear()
        one.until(lambda: one.ask("/healthz")[0] == 200)


def test_without_the_token_there_is_nothing(guarded):
    for path in ("/", "/api/status", "/api/events", "/stream.mjpg", "/metrics", "/openapi.json", "/crops/1/00001.png", "/x"):
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {guarded.token}"},
                        {"Cookie": "galaxy-edge=wrong"}, {"Cookie": f"galaxy-edge={guarded.token}"}, {"Cookie": "=;;,"},
                        {"Authorization": "Bearer "}, {"Authorization": "Bearer \xff"}):
            status, answer, _ = guarded.ask(path, headers=headers)
            assert status == 401 and answer["WWW-Authenticate"] == "Bearer", (path, headers)
    assert guarded.ask("/api/controls", {"paused": True})[0] == 401
    assert not guarded.controls.paused
    assert guarded.ask("/healthz")[0] == 200  # a monitor learns whether it runs, and no more


def test_with_the_token_there_is_everything(guarded):
    bearer = {"Authorization": f"Bearer {guarded.token}"}
    assert guarded.ask("/api/status", headers=bearer)[0] == 200
    assert guarded.ask("/metrics", headers=bearer)[0] == 200
    assert guarded.ask("/login", {"token": "wrong"})[0] == 401
    status, headers, _ = guarded.ask("/login", {"token": guarded.token})
    cookie = headers["Set-Cookie"]
    assert status == 204 and "HttpOnly" in cookie and "SameSite=strict" in cookie and guarded.token not in cookie
    assert guarded.ask("/api/status", headers={"Cookie": cookie.split(";")[0]})[0] == 200


def test_the_token_is_printed_once_and_kept_from_others(tmp_path):
    token, new = settle_token(tmp_path / "token")
    assert new and len(token) >= 32
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600
    assert settle_token(tmp_path / "token") == (token, False)
    assert Token(token).fits(token) and not Token(token).fits(token[:-1]) and not Token(token).fits("")
    (tmp_path / "token").chmod(0o644)
    with pytest.raises(UsageError, match="chmod 600"):
        settle_token(tmp_path / "token")
    (tmp_path / "short").write_text("1234")
    (tmp_path / "short").chmod(0o600)
    with pytest.raises(UsageError, match="no token of at least"):
        settle_token(tmp_path / "short")
    with pytest.raises(UsageError, match=r"nowhere/token cannot be used: No such file or directory$"):
        settle_token(tmp_path / "nowhere" / "token")


def test_a_view_that_cannot_be_had_is_not_announced(tmp_path):
    done = command_line("run", "--camera", "demo", "--out", tmp_path / "out", "--serve", 0, "--token-file", tmp_path / "no" / "token")
    assert done.returncode == 2 and "cannot be used" in done.stderr and "live view" not in done.stderr


@pytest.mark.parametrize("where", ["", "x", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999", "no.such.host.invalid:80", "1.2.3.4:80", "a..b:80",
                                   f"{'a' * 64}:80"])
def test_addresses_that_are_none(where):
    with pytest.raises(UsageError, match=r"no address|listened"):
        listen(where)


def test_run_serves_itself_and_says_where(tmp_path):
    """The command, off loopback: the token is in its output the first time only, the second run is refused the port."""
    folder = tmp_path / "sky"
    folder.mkdir()
    picture = np.random.default_rng(1).integers(0, 30, (480, 640, 3), dtype=np.uint8)
    cv2.imwrite(str(folder / "0000.png"), picture)
    for number in range(1, 3000):
        os.link(folder / "0000.png", folder / f"{number:04d}.png")
    with listen("127.0.0.1:0") as taken:
        port = taken.getsockname()[1]
        done = command_line("run", "--camera", folder, "--out", tmp_path / "other", "--serve", str(port), cwd=tmp_path)
        assert done.returncode == 2 and "cannot be listened on" in done.stderr and "Traceback" not in done.stderr
    command = [sys.executable, "-m", "galaxy_edge", "run", "--camera", folder, "--out", tmp_path / "out", "--serve", f"0.0.0.0:{port}"]
    tokens = []
    for _ in range(2):
        process = subprocess.Popen([*map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
        said = [process.stderr.readline(), process.stderr.readline()]
        assert "live view: http://" in said[0]
        tokens.append(re.search(r"its token is ([\w-]{32}) \(kept in", said[1]))
        end = time.monotonic() + 60
        while True:
            with socket.socket() as wire:
                if not wire.connect_ex(("127.0.0.1", port)):
                    wire.sendall(b"GET /api/status HTTP/1.1\r\nHost: x\r\n\r\n")
                    assert b"401" in wire.recv(4096)
                    break
            assert time.monotonic() < end
            time.sleep(0.1)
        watcher = threading.Timer(20, process.kill)  # it would fail below: a run must end when asked to
        watcher.start()
        process.terminate()
        process.communicate()
        watcher.cancel()
        assert process.returncode == 0
    assert tokens[0] and not tokens[1]
    assert (tmp_path / "out" / "token").read_text().strip() == tokens[0][1]
