"""Logins that fail are slowed, counted and logged; sessions can be ended."""

import json
import stat

import pytest

pytest.importorskip("fastapi", reason="needs the serve extra")
from galaxy_edge.runtime.web.failed_logins import FREE_FAILURES, FailedLogins
from galaxy_edge.runtime.web.sessions import LIFETIME, MAX_SESSIONS, Sessions
from galaxy_edge.runtime.web.token import Token
from helpers.live_run import running
from helpers.log_records import recorded


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def test_a_client_that_guesses_waits_longer_and_longer_and_others_do_not():
    """An hour of guessing at full speed is a few dozen comparisons.

    A wait that is ignored is not longer.
    """
    clock, compared = Clock(), 0
    failures = FailedLogins(clock)
    for _ in range(3600 * 10):
        compared += failures.wait("10.0.0.7") == 0
        failures.record("10.0.0.7")
        clock.now += 0.1
    assert failures.count == 36000 and FREE_FAILURES < compared < 30
    assert failures.wait("10.0.0.7") > 0 and failures.wait("10.0.0.8") == 0
    for number in range(5000):
        failures.record(f"2001:db8:1:2::{number:x}")
    assert failures.wait("2001:db8:1:2::ffff") > 0, "addresses of one network are one client"
    for number in range(5000):
        failures.record(f"10.1.{number // 250}.{number % 250}")
    assert len(failures._clients) <= 1024


def test_no_token_is_compared_during_a_wait():
    """Else the wait would only hide the answer to a right guess."""
    token = Token("x" * 20)
    for _ in range(FREE_FAILURES + 1):
        token.attempt("wrong", "10.0.0.7")
    matched, wait = token.attempt("x" * 20, "10.0.0.7")
    assert not matched and wait > 0
    assert token.attempt("x" * 20, "10.0.0.8") == (True, 0.0)


def test_failed_logins_are_logged_rarely():
    with recorded() as records:
        failures = FailedLogins(Clock())
        for _ in range(100):
            failures.record("10.0.0.7")
    assert [record.getMessage() for record in records] == ["live view: failed login from 10.0.0.7 (1 since the start)"]


def test_sessions_are_kept_over_a_restart_and_end(tmp_path):
    """The file gives no access to who reads it.

    Another token, or an end, holds after a restart too.
    """
    path, clock = tmp_path / "sessions.json", Clock()
    sessions = Sessions(path, "token", clock)
    first, second = sessions.begin("10.0.0.7"), sessions.begin("10.0.0.8")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and first not in path.read_text()
    again = Sessions(path, "token", clock)
    assert again.find(first) and again.find(second) and not again.find("") and not again.find(again.find(first).digest)
    assert again.end(again.find(first).id) == 1 and not again.find(first) and again.find(second)
    assert not Sessions(path, "token", clock).find(first) and not Sessions(path, "another", clock).find(second)
    clock.now += LIFETIME
    assert not again.find(second) and again.active() == []
    newest = [again.begin("10.0.0.7") for _ in range(MAX_SESSIONS + 3)]
    assert len(again.active()) == MAX_SESSIONS and not again.find(newest[0]) and again.find(newest[-1])
    for content in ("", "[]", '{"seal": 1}', json.dumps({"seal": again._seal, "sessions": [{"id": 1}]})):
        path.write_text(content)
        assert Sessions(path, "token", clock).active() == []


def test_the_api_ends_sessions_and_counts_failures(tmp_path):
    """A phone that was lost.

    Its session is ended from another browser, and its stream ends too.
    """
    with running(tmp_path, token_file=tmp_path / "token") as run:
        token = (tmp_path / "token").read_text().strip()
        cookies = []
        for _ in range(3):
            cookie = run.ask("/login", {"token": token})[1]["Set-Cookie"].split(";")[0]
            cookies.append({"Cookie": cookie})
        listed = json.loads(run.ask("/api/sessions", headers=cookies[0])[2])
        assert [entry["current"] for entry in listed] == [True, False, False] and listed[0]["client"] == "127.0.0.1"
        path = f"/api/sessions/{listed[1]['id']}"
        assert run.ask(path, headers=cookies[0], method="DELETE")[0] == 200
        assert run.ask(path, headers=cookies[0], method="DELETE")[0] == 404
        assert [run.ask("/api/status", headers=cookie)[0] for cookie in cookies] == [200, 401, 200]
        assert run.ask("/logout", {}, cookies[2])[0] == 204 and run.ask("/api/status", headers=cookies[2])[0] == 401
        assert run.ask("/api/sessions", headers=cookies[0] | {"Origin": "http://evil"}, method="DELETE")[0] == 403
        assert run.ask("/api/sessions", headers=cookies[0], method="DELETE")[0] == 200
        assert run.ask("/api/status", headers=cookies[0])[0] == 401
        answers = [run.ask("/login", {"token": "wrong"}) for _ in range(FREE_FAILURES + 2)]
        assert [answer[0] for answer in answers] == [401] * (FREE_FAILURES + 1) + [429]
        assert int(answers[-1][1]["Retry-After"]) >= 1
        bearer = {"Authorization": f"Bearer {token}"}
        run.until(lambda: run.ask("/metrics", headers=bearer)[0] == 200)
        assert b"galaxy_edge_failed_logins_total" in run.ask("/metrics", headers=bearer)[2]
        assert any("failed login from 127.0.0.1" in warning for warning in run.warnings)
