"""Where the live view listens, and what `run --serve` says of it."""

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
    "where",
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
def test_addresses_that_are_none(where):
    with pytest.raises(UsageError, match=r"no address|listened"):
        listen(where)


def test_a_view_that_cannot_be_had_is_not_announced(tmp_path):
    done = command_line(
        "run", "--camera", "demo", "--out", tmp_path / "out", "--serve", 0, "--token-file", tmp_path / "no" / "token"
    )
    assert done.returncode == 2 and "cannot be used" in done.stderr and "live view" not in done.stderr


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
    command = [
        sys.executable,
        "-m",
        "galaxy_edge",
        "run",
        "--camera",
        folder,
        "--out",
        tmp_path / "out",
        "--serve",
        f"0.0.0.0:{port}",
    ]
    tokens = []
    for _ in range(2):
        process = subprocess.Popen(
            [*map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=tmp_path
        )
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
