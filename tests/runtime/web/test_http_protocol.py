"""The live view's door: which paths, names, headers and pages of others get through."""

import re

import pytest

pytest.importorskip("fastapi", reason="needs the serve extra")
from galaxy_edge.runtime.web import http_protocol as door
from helpers.sockets import raw


@pytest.mark.parametrize(
    "path",
    [
        "/crops/1/../../events.sqlite",
        "/crops/1/..%2f..%2fevents.sqlite",
        "/crops/1/%2e%2e/%2e%2e/events.sqlite",
        "/crops/..%5c..%5cevents.sqlite",
        "/crops/1/....//....//events.sqlite",
        "/crops//etc/passwd",
        "/crops/1/00001.png%00",
        "/crops/1/.00001.png",
        "/crops/0/00001.png",
        "/crops/-1/00001.png",
        "/crops/1/00001.png/..",
        "/saved/../token",
        "/saved/..%2ftoken",
        "/saved/%2e%2e%2fevents.sqlite",
        "/crops/1/00001.PNG",
        "/crops/1/99999999.png",
        "/api/events/..%2f..%2fetc",
        "/events.sqlite",
        "/token",
        "/page/index.html",
        "//etc/passwd",
    ],
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
        for name, value in door.SECURITY_HEADERS.items():
            assert headers.get_all(name) == [value], path
        assert "server" not in {name.lower() for name in headers}
    assert "unsafe" not in door.SECURITY_HEADERS["Content-Security-Policy"]
    answer = raw(live, b"GET / HTTP/1.1\r\nno header\r\n\r\n")  # it never reaches the application
    assert answer.startswith(b"HTTP/1.1 400 ")
    for name, value in door.SECURITY_HEADERS.items():
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
