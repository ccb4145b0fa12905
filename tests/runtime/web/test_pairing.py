"""A phone is logged in by a link, once and for a short time."""

import json

import cv2
import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs the serve extra")
from galaxy_edge.runtime.web import pairing
from galaxy_edge.runtime.web.server import browser_urls, listen
from galaxy_edge.runtime.web.sink import offer_pairing
from galaxy_edge.runtime.web.token import Token
from helpers.log_records import recorded


def test_code_logs_in_once_and_expires():
    """A used or old link is worth nothing to someone who finds it."""
    now = [0.0]
    codes = pairing.PairingCodes(lambda: now[0])
    code = codes.create()
    assert not codes.redeem("x" * 22) and codes.redeem(code) and not codes.redeem(code)
    late = codes.create()
    now[0] += pairing.LIFETIME + 1
    assert not codes.redeem(late)
    every = [codes.create() for _ in range(pairing.MAX_CODES + 1)]
    assert [codes.redeem(code) for code in every] == [False] + [True] * pairing.MAX_CODES


def test_page_makes_a_link_that_logs_in_one_browser(guarded):
    """The code is accepted by the login only, not in place of the token."""
    bearer = {"Authorization": f"Bearer {guarded.token}"}
    answer = json.loads(guarded.ask("/api/pairing", {}, bearer)[2])
    address, code = answer["link"].split("/login#")
    assert address == guarded.address and {len(row) for row in answer["qr"]} == {len(answer["qr"])}
    assert guarded.ask("/api/status", headers={"Authorization": f"Bearer {code}"})[0] == 401
    assert guarded.ask("/login", {"token": code})[0] == 204
    assert guarded.ask("/login", {"token": code})[0] == 401
    assert guarded.ask("/api/pairing", {})[0] == 401, "only who is logged in may let others in"


def test_code_in_the_terminal_can_be_scanned(capsys):
    """Read back from the printed characters, as a phone sees them on a dark terminal."""
    token = Token("x" * 20)
    with recorded() as records:
        offer_pairing("http://192.168.1.23:8080/", token)
    rows = [row[8:-4] for row in capsys.readouterr().err.splitlines()]  # without the escapes for white on black
    light = {"█": (255, 255), "▀": (255, 0), "▄": (0, 255), " ": (0, 0)}
    modules = np.concatenate([np.array([light[character] for character in row], np.uint8).T for row in rows])
    seen, *_ = cv2.QRCodeDetector().detectAndDecode(
        cv2.resize(modules, None, fx=8, fy=8, interpolation=cv2.INTER_NEAREST)
    )
    assert seen and records[0].getMessage().endswith(seen) and seen.startswith("http://192.168.1.23:8080/login#")
    assert token.attempt(seen.partition("#")[2], "10.0.0.7", codes=True)[0]


def test_addresses_are_those_that_a_phone_can_open(monkeypatch):
    """Not 0.0.0.0, and not a name that only this computer knows."""
    monkeypatch.setattr("galaxy_edge.runtime.web.server.lan_addresses", lambda: ["192.168.1.23"])
    monkeypatch.setattr("socket.gethostname", lambda: "dome1.example.org")
    with listen("0.0.0.0:0") as bound:
        port = bound.getsockname()[1]
        assert browser_urls(bound) == [f"http://192.168.1.23:{port}/", f"http://dome1.local:{port}/"]
    assert all(not address.startswith("127.") for address in pairing.lan_addresses())
