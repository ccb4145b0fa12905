"""The addresses that the live page listens on, and what `run --serve` logs."""

import os
import re
import socket
import subprocess
import sys
import threading
import time

import cv2
import numpy as np
import pytest
from helpers.command_line import galaxy_edge as command_line

pytest.importorskip("fastapi", reason="needs the serve extra")
from galaxy_edge.errors import UsageError
from galaxy_edge.runtime.web.server import listen


@pytest.mark.parametrize(
    "address",
    [
        "",
        "x",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:99999",
        "no.such.host.invalid:80",
        "1.2.3.4:80",
        "a..b:80",
        f"{'a' * 64}:80",
    ],
)
def test_invalid_addresses_are_refused(address):
    """Malformed ones, and those of other computers."""
    with pytest.raises(UsageError, match=r"not an address|listened"):
        listen(address)


def test_page_that_cannot_be_served_is_not_announced(tmp_path):
    """The token file is checked before the address is logged."""
    done = command_line(
        "run", "--camera", "demo", "--out", tmp_path / "out", "--serve", 0, "--token-file", tmp_path / "no" / "token"
    )
    assert done.returncode == 2 and "cannot be used" in done.stderr and "live view" not in done.stderr


def start_run(folder, out, address):
    command = [sys.executable, "-m", "galaxy_edge", "run", "--camera", folder, "--out", out, "--serve", address]
    return subprocess.Popen(
        [*map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=folder.parent
    )


def test_run_serves_off_loopback_with_a_token_and_refuses_a_port_in_use(tmp_path):
    """The token is in the output of the first run only.

    The second uses the same file. A run ends when asked to.
    """
    folder = tmp_path / "sky"
    folder.mkdir()
    image = np.random.default_rng(1).integers(0, 30, (480, 640, 3), dtype=np.uint8)
    cv2.imwrite(str(folder / "0000.png"), image)
    for number in range(1, 3000):
        os.link(folder / "0000.png", folder / f"{number:04d}.png")
    with listen("127.0.0.1:0") as free:
        port = free.getsockname()[1]
    with listen("127.0.0.1:0") as taken:
        refused = start_run(folder, tmp_path / "other", str(taken.getsockname()[1]))
        tokens = []
        for _ in range(2):
            process = start_run(folder, tmp_path / "out", f"0.0.0.0:{port}")
            messages = [process.stderr.readline(), process.stderr.readline()]
            assert "live view: http://" in messages[0]
            tokens.append(re.search(r"its token is ([\w-]{32}) \(kept in", messages[1]))
            end = time.monotonic() + 60
            while True:
                with socket.socket() as connection:
                    if not connection.connect_ex(("127.0.0.1", port)):
                        connection.sendall(b"GET /api/status HTTP/1.1\r\nHost: x\r\n\r\n")
                        assert b"401" in connection.recv(4096)
                        break
                assert time.monotonic() < end
                time.sleep(0.02)
            killer = threading.Timer(20, process.kill)  # a run that does not end when asked to fails below
            killer.start()
            process.terminate()
            process.communicate()
            killer.cancel()
            assert process.returncode == 0
        errors = refused.communicate(timeout=60)[1]
        assert refused.returncode == 2 and "cannot be listened on" in errors and "Traceback" not in errors
    assert tokens[0] and not tokens[1]
    assert (tmp_path / "out" / "token").read_text().strip() == tokens[0][1]


def test_report_of_the_night_is_served(live):
    """Crops and style are links: the policy allows no inline styles or data."""
    status, headers, page = live.ask("/report")
    assert status == 200 and headers["Content-Type"].startswith("text/html")
    text = page.decode()
    assert "Night of" in text and "data:" not in text and "style=" not in text and "<style" not in text
    assert live.ask("/report.css")[0] == 200
    assert live.ask("/report?night=2001-01-01")[0] == 404 and live.ask("/report?night=x")[0] == 422
