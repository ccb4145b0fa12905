"""The token of the live page: what it protects, and how it is stored."""

import os
import stat

import pytest

pytest.importorskip("fastapi", reason="needs the serve extra")
from galaxy_edge.errors import UsageError
from galaxy_edge.runtime.web.token import Token, load_or_create_token


def test_nothing_is_served_without_the_token(guarded):
    """Only the health check is public, for any path and malformed credentials."""
    for path in (
        "/",
        "/api/status",
        "/api/events",
        "/stream.mjpg",
        "/metrics",
        "/openapi.json",
        "/crops/1/00001.png",
        "/x",
    ):
        for headers in (
            {},
            {"Authorization": "Bearer wrong"},
            {"Authorization": f"Basic {guarded.token}"},
            {"Cookie": "galaxy-edge=wrong"},
            {"Cookie": f"galaxy-edge={guarded.token}"},
            {"Cookie": "=;;,"},
            {"Authorization": "Bearer "},
            {"Authorization": "Bearer \xff"},
        ):
            status, answer, _ = guarded.ask(path, headers=headers)
            assert status == 429 or (status == 401 and answer["WWW-Authenticate"] == "Bearer"), (path, headers)
    assert guarded.ask("/api/controls", {"paused": True})[0] == 401
    assert not guarded.controls.paused
    assert guarded.ask("/healthz")[0] == 200


def test_token_and_cookie_give_access(guarded):
    """Scripts send the token.

    Browsers exchange it for a cookie that scripts of a page cannot read.
    """
    bearer = {"Authorization": f"Bearer {guarded.token}"}
    guarded.until(lambda: guarded.ask("/api/status", headers=bearer)[0] == 200)  # after the wait for wrong tokens
    assert guarded.ask("/metrics", headers=bearer)[0] == 200
    assert guarded.ask("/login", {"token": "wrong"})[0] == 401
    status, headers, _ = guarded.ask("/login", {"token": guarded.token})
    cookie = headers["Set-Cookie"]
    assert status == 204 and "HttpOnly" in cookie and "SameSite=strict" in cookie and guarded.token not in cookie
    assert guarded.ask("/api/status", headers={"Cookie": cookie.split(";")[0]})[0] == 200


def test_token_is_new_once_and_other_users_cannot_read_it(tmp_path):
    """A file without a token, or readable by others, is refused with advice."""
    token, new = load_or_create_token(tmp_path / "token")
    assert new and len(token) >= 32
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600
    assert load_or_create_token(tmp_path / "token") == (token, False)
    assert Token(token).matches(token) and not Token(token).matches(token[:-1]) and not Token(token).matches("")
    (tmp_path / "token").chmod(0o644)
    with pytest.raises(UsageError, match="chmod 600"):
        load_or_create_token(tmp_path / "token")
    (tmp_path / "short").write_text("1234")
    (tmp_path / "short").chmod(0o600)
    with pytest.raises(UsageError, match="does not hold a token of at least"):
        load_or_create_token(tmp_path / "short")
    with pytest.raises(UsageError, match=r"nowhere/token cannot be used: No such file or directory$"):
        load_or_create_token(tmp_path / "nowhere" / "token")


def test_a_token_file_is_created_new_and_no_link_is_followed(tmp_path):
    """Another user of the folder may put links or files at the token's path.

    They may also be at the path of its temporary file.
    """
    victim = tmp_path / "victim"
    victim.write_text("known to the attacker, long enough")
    victim.chmod(0o600)
    planted = tmp_path / "token"
    planted.symlink_to(victim)
    with pytest.raises(UsageError, match="it is a link"):
        load_or_create_token(planted)
    planted.unlink()
    planted.symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="it is a link"):
        load_or_create_token(planted)
    planted.unlink()
    os.mkfifo(planted, 0o600)
    with pytest.raises(UsageError, match="not a regular file"):
        load_or_create_token(planted)
    planted.unlink()
    for make in (lambda path: path.symlink_to(victim), lambda path: path.touch(0o666)):
        staged = tmp_path / ".token"
        make(staged)
        load_or_create_token(planted)
        assert stat.S_IMODE(planted.lstat().st_mode) == 0o600 and stat.S_ISREG(planted.lstat().st_mode)
        assert victim.read_text().startswith("known")
        planted.unlink()
