"""`--show` on a real X display without a screen.

What is in the window is read back from its memory.
"""

import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from helpers.command_line import galaxy_edge as command_line
from helpers.images import encode, render

pytest.importorskip("tkinter", reason="needs tkinter (python3-tk)")


@pytest.fixture
def screen(tmp_path):
    """A display on Xvfb, and a function that reads its pixels as (H, W, 3) uint8."""
    if shutil.which("Xvfb") is None:
        pytest.skip("needs Xvfb (apt install xvfb)")
    folder = tmp_path / "screen"
    folder.mkdir()
    read_end, write_end = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write_end), "-screen", "0", "800x600x24", "-fbdir", folder],
        pass_fds=(write_end,),
        stderr=subprocess.DEVNULL,
    )
    os.close(write_end)
    with os.fdopen(read_end) as stream:
        display = f":{stream.readline().strip()}"

    def pixels():
        # The XWD format: a header whose first number is its size, then a table of 256 colours of 12 bytes, then BGRX.
        content = (folder / "Xvfb_screen0").read_bytes()
        start = int.from_bytes(content[:4], "big") + 256 * 12
        return np.frombuffer(content[start : start + 800 * 600 * 4], np.uint8).reshape(600, 800, 4)[..., 2::-1]

    yield display, pixels
    server.terminate()
    server.wait(timeout=20)


def test_the_window_shows_the_frames(screen, tiny_models, tmp_path):
    display, pixels = screen
    folder = tmp_path / "night"
    folder.mkdir()
    orange = np.zeros((240, 320, 3), np.uint8)
    orange[:] = (240, 120, 10)
    for number in range(400):
        (folder / f"{number:03d}.png").write_bytes(encode(orange))
    command = [
        "run",
        "--camera",
        folder,
        "--models",
        tiny_models,
        "--out",
        tmp_path / "out",
        "--show",
        "--min-score",
        "1",
    ]

    process = subprocess.Popen(
        [sys.executable, "-m", "galaxy_edge", *map(str, command)],
        env={**os.environ, "DISPLAY": display},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    shown = 0
    while process.poll() is None:
        shown = max(shown, int((np.abs(pixels().astype(int) - (240, 120, 10)).sum(axis=2) < 30).sum()))
        time.sleep(0.05)
    with process.stderr as errors:
        assert process.returncode == 0, errors.read().decode()
    assert shown == 240 * 320


def test_a_display_that_is_not_there(tiny_models, tmp_path):
    (tmp_path / "a.png").write_bytes(encode(render([], 64, 64)))
    done = command_line(
        "run",
        "--camera",
        tmp_path / "a.png",
        "--models",
        tiny_models,
        "--out",
        tmp_path / "out",
        "--show",
        env={"DISPLAY": ":97"},
    )
    assert done.returncode == 2 and "cannot open a window" in done.stderr
