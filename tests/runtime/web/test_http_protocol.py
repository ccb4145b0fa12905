"""The live page's answers, its security headers, and what it needs of uvicorn."""

import inspect
import re

import pytest

pytest.importorskip("fastapi", reason="needs the serve extra")
from galaxy_edge.runtime.web import http_protocol as protocol
from helpers.sockets import exchange
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle


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
def test_no_path_leaves_the_served_folders(live, path):
    """Paths that try to escape are not found.

    Sent as raw bytes, for HTTP clients normalise paths.
    """
    answer = exchange(live, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert answer.split()[1] in (b"404", b"422"), answer[:200]
    assert b"SQLite" not in answer and b"root:" not in answer


def test_symbolic_link_out_of_the_crops_folder_is_not_followed(live):
    """A link in the output folder must not publish files outside of it."""
    link = live.output.crops / "77777.png"
    link.symlink_to("/etc/passwd")
    assert live.ask("/crops/1/77777.png")[0] == 404
    link.unlink()


def test_every_answer_has_the_security_headers(live):
    """Errors have them too, even if a request never reaches the application."""
    for path in ("/", "/page.js", "/api/status", "/crops/1/99999.png", "/nowhere", "/healthz"):
        _, headers, _ = live.ask(path)
        for name, value in protocol.SECURITY_HEADERS.items():
            assert headers.get_all(name) == [value], path
        assert "server" not in {name.lower() for name in headers}
    assert "unsafe" not in protocol.SECURITY_HEADERS["Content-Security-Policy"]
    answer = exchange(live, b"GET / HTTP/1.1\r\nno header\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    for name, value in protocol.SECURITY_HEADERS.items():
        assert f"\r\n{name.lower()}: {value}\r\n".encode() in answer.replace(name.encode(), name.lower().encode())


def test_page_loads_nothing_from_elsewhere(live):
    """A telescope may be offline, and the security policy allows no inline code."""
    for path in ("/", "/page.js", "/page.css", "/login", "/login.js"):
        status, _, content = live.ask(path)
        assert status == 200 and not re.search(rb"(?:https?:)?//[a-z]", content.replace(b"//!", b"")), path
        assert not re.search(rb"\son\w+=|<style|style=|<script>", content), "an inline script or style"


def test_other_sites_and_host_names_are_rejected(live):
    """Another site could use its visitor's browser, or DNS rebinding.

    In DNS rebinding, the site's name resolves to this server.
    """
    assert live.ask("/api/controls", {"paused": True}, {"Origin": "http://evil.example"})[0] == 403
    assert live.ask("/api/status", headers={"Host": "evil.example"})[0] == 403
    assert live.ask("/api/controls", b'{"paused": true}', {"Content-Type": "text/plain"})[0] == 422
    assert live.ask("/api/controls", {"paused": True}, {"Origin": "http://["})[0] == 403
    assert live.ask("/api/controls", {}, {"Origin": live.address})[0] == 200
    assert not live.json("/api/controls")["paused"]


def test_uvicorn_has_the_internals_that_the_protocol_uses():
    """They are not documented.

    A version of uvicorn that changes them must fail here and not at a telescope.
    """
    for method, parameters in {
        "connection_made": ["self", "transport"], "connection_lost": ["self", "exc"], "resume_writing": ["self"],
        "send_400_response": ["self", "msg"],
    }.items():  # fmt: skip
        found = getattr(H11Protocol, method, None)
        assert found is not None, f"uvicorn's H11Protocol has no method {method} any more"
        assert list(inspect.signature(found).parameters) == parameters, f"H11Protocol.{method} has other parameters"
    source = inspect.getsource(H11Protocol)
    for attribute in ("loop", "connections", "logger", "cycle", "conn", "flow", "transport"):
        assert f"self.{attribute}: " in source or f"self.{attribute} = " in source, f"H11Protocol sets no {attribute}"
    assert "send_400_response(" in inspect.getsource(H11Protocol.handle_events), (
        "invalid requests are answered elsewhere"
    )
    cycle = inspect.getsource(RequestResponseCycle.__init__)
    for attribute in ("more_body", "response_complete"):
        assert f"self.{attribute} = " in cycle, f"uvicorn's RequestResponseCycle sets no {attribute}"
