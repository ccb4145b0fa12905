"""Output of `galaxy-edge run` with failing threads and narrow or closed streams.

A stream is narrow if its encoding cannot represent every character.
"""

import json
import subprocess
import sys

import pytest
from helpers.command_line import galaxy_edge as command_line
from helpers.images import encode, render
from helpers.runs import run


def test_a_thread_that_fails_is_reported_in_one_line(tiny_models, tmp_path):
    """A traceback of a background thread helps no user, and would not end the run."""
    program = (
        "import sys; from galaxy_edge.cli.main import main; from galaxy_edge.runtime.recording.frame_log import FrameLog; "
        "FrameLog.write = lambda *_: 1 / 0; main()"
    )
    command = [sys.executable, "-c", program, "run", "--camera", "demo", "--models", tiny_models, "--max-frames", "2"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert "unexpected ZeroDivisionError in the thread writer" in done.stderr and "Traceback" not in done.stderr
    # The exit code says that output is missing, and the last line how much.
    assert done.returncode == 1 and len(done.stdout.splitlines()) > 2
    assert done.stderr.splitlines()[-1].startswith("galaxy-edge: output was lost: ")


def test_output_that_the_encoding_cannot_hold_is_escaped_as_in_json(tiny_models, tmp_path):
    """Terminals and services with the C locale have such an encoding.

    A character beyond 16 bits is two escapes in JSON.
    """
    for name in ("é.png", "\N{MILKY WAY}.png"):
        (tmp_path / name).write_bytes(encode(render([(60, 40, 12)], 160, 120)))
    ascii_only, out = {"PYTHONIOENCODING": "ascii"}, tmp_path / "out"
    done = run(tmp_path, tiny_models, out, "--json", env=ascii_only)
    assert done.returncode == 0 and done.stdout.isascii(), done.stderr
    assert [json.loads(line)["source"] for line in done.stdout.splitlines()] == ["é.png", "\N{MILKY WAY}.png"]
    assert [json.loads(line)["source"] for line in (out / "frames-0001.jsonl").read_text().splitlines()] == [
        "é.png",
        "\N{MILKY WAY}.png",
    ]
    done = command_line("events", "list", "--in", out, "--format", "csv", env=ascii_only)
    assert done.returncode == 0 and "\\u00e9.png" in done.stdout, done.stderr
    done = run(tmp_path / "é.png", tiny_models, tmp_path / "é", env=ascii_only)
    assert done.returncode == 0 and "/\\u00e9/events.sqlite" in done.stdout, done.stderr


def test_lost_output_is_reported_when_the_run_is_interrupted_too(tiny_models, tmp_path):
    """The message must not depend on how the run ends."""
    program = (
        "import signal; from galaxy_edge.cli.main import main; from galaxy_edge.runtime.recording.frame_log import FrameLog; "
        "from galaxy_edge.runtime.monitoring.progress_line import StatusLine; FrameLog.write = lambda *_: 1 / 0; "
        "StatusLine.update = lambda *_: signal.default_int_handler(2, None); main()"
    )
    command = [sys.executable, "-c", program, "run", "--camera", "demo", "--models", tiny_models]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 130 and done.stderr.splitlines()[-1] == "galaxy-edge: interrupted"
    assert done.stderr.count("galaxy-edge: output was lost: ") == 1


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_not_an_error(tiny_models, tmp_path, closed):
    """A service may be started with none; our files must not get their descriptors."""
    command = f"{sys.executable} -m galaxy_edge run --camera demo --models {tiny_models} --out {tmp_path}/out --max-frames 3 --json"
    done = subprocess.run(f"{command} {closed}", shell=True, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "out" / "frames-0001.jsonl").read_text().splitlines()) == 3
