"""Long runs: lost cameras, damaged images, service managers, stopping on request."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from galaxy_edge.benchmarks.performance.synthetic_sources import NetworkCamera
from galaxy_edge.benchmarks.robustness.endurance import camera_disconnects, corrupt_inputs, run_long
from galaxy_edge.runtime.run_config import RunConfig
from galaxy_edge.runtime.system import systemd
from galaxy_edge.runtime.system.systemd import SystemdNotifier
from helpers.command_line import rest_of
from helpers.paths import HELPERS

SYSTEM_PYTHON = "/usr/bin/python3"


def start(camera, out, *more, **environment):
    command = [sys.executable, "-m", "galaxy_edge", "run", "--camera", camera, "--out", out, "--json", *more]
    return subprocess.Popen(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )


def rows(out, query):
    with sqlite3.connect(out / "events.sqlite") as base:
        return base.execute(query).fetchall()


def test_a_network_camera_that_is_pulled_out_comes_back_every_time():
    result = camera_disconnects(3)
    assert result["reopened"] == result["drops"] == 3 and result["frames"] > 9
    assert 0 < result["median_s"] <= result["worst_s"]


def test_poisoned_images_do_not_end_a_run():
    pytest.importorskip("astropy", reason="some of the poison is FITS")
    result = corrupt_inputs(150, seed=2)
    assert result["frames"] + result["bad"] == result["pictures"] == 150
    assert result["frames"] > 20 and result["bad"] > 20  # both kinds were among them


def test_a_long_run_leaves_no_file_open():
    result = run_long(60)
    assert result["frames"] == 60 and result["open_files"] == result["open_files_end"]


@pytest.fixture
def rtsp(tmp_path):
    """Start and kill an RTSP server, always at the same address."""
    probe = [
        SYSTEM_PYTHON,
        "-c",
        "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import Gst; "
        "Gst.init(None); assert Gst.ElementFactory.find('x264enc')",
    ]
    if not Path(SYSTEM_PYTHON).exists() or subprocess.run(probe, capture_output=True).returncode:
        pytest.skip("needs GStreamer's RTSP server (gir1.2-gst-rtsp-server-1.0, python3-gi, gstreamer1.0-plugins-ugly)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = []

    def begin():
        server = subprocess.Popen(
            [SYSTEM_PYTHON, str(HELPERS / "rtsp_server.py"), str(port)], stdout=subprocess.PIPE, text=True
        )
        running.append(server)
        assert server.stdout.readline() == "ready\n"
        return server

    yield f"rtsp://127.0.0.1:{port}/stream", begin
    for server in running:
        server.kill()
        server.wait()
        server.stdout.close()


def test_lost_rtsp_camera_is_reopened_and_the_run_ends_on_sigterm(rtsp, tmp_path):
    url, begin = rtsp
    server = begin()
    process = start(url, tmp_path / "out")
    frames = [json.loads(process.stdout.readline())["frame"] for _ in range(5)]
    server.kill()
    server.wait()
    while "is being reopened" not in (line := process.stderr.readline()):
        assert line
    begin()
    while "is back" not in (line := process.stderr.readline()):
        assert line
    while frames[-1] < frames[4] + 20:  # read on: what had been printed before it was lost may still be in the pipe
        frames.append(json.loads(process.stdout.readline())["frame"])
    process.send_signal(signal.SIGTERM)
    rest, errors = rest_of(process)
    frames += [json.loads(line)["frame"] for line in rest.splitlines()]
    assert process.returncode == 0 and "stopped on request" in errors and "Traceback" not in errors
    assert frames == sorted(set(frames))
    assert rows(tmp_path / "out", "SELECT frames FROM run WHERE ended IS NOT NULL") == [(len(frames),)]


@pytest.mark.parametrize("word", [signal.SIGTERM, signal.SIGHUP])
def test_run_with_a_lost_camera_ends_on_sigterm(tmp_path, word):
    """The reader waits for the camera when the signal comes.

    Nothing that was committed waits with it.
    """
    camera = NetworkCamera()
    inherited = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # a run ignores it where it was ignored, as under nohup
    process = start(camera.url, tmp_path / "out")
    signal.signal(signal.SIGHUP, inherited)
    for _ in range(3):
        assert process.stdout.readline()
    camera.disconnect()
    while "is being reopened" not in (line := process.stderr.readline()):
        assert line
    process.send_signal(word)
    rest, errors = process.stdout.read(), process.stderr.read()  # `communicate` would miss lines that are buffered
    assert process.wait(60) == 0 and "stopped on request" in errors
    assert rows(tmp_path / "out", "SELECT frames FROM run WHERE ended IS NOT NULL") == [(3 + len(rest.splitlines()),)]
    process.stdout.close()
    process.stderr.close()
    assert rows(tmp_path / "out", "PRAGMA integrity_check") == [("ok",)]


@pytest.fixture
def manager(tmp_path):
    """What a service manager hears on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(tmp_path / "notify"))
        ear.settimeout(60)
        yield ear


def test_watchdog_messages_follow_the_frames(manager, tmp_path):
    process = start(
        "demo", tmp_path / "out", "--max-frames", "30", NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="40000"
    )
    assert manager.recv(100) == b"READY=1\nWATCHDOG=1"  # only after a frame was processed and written
    heard = [manager.recv(100)]
    while heard[-1] != b"STOPPING=1":
        heard.append(manager.recv(100))
    assert set(heard[:-1]) == {b"WATCHDOG=1"} and 1 <= len(heard) - 1 < 30
    assert process.wait(60) == 0
    process.stdout.close()
    process.stderr.close()


def test_a_service_waits_for_its_camera_and_extends_its_start(manager, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(systemd, "EXTEND_SECONDS", 0)
    service = SystemdNotifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
    service.waiting("/dev/video0")
    service.frame_done()
    service.waiting("/dev/video0")
    service.stopping()
    heard = [manager.recv(100) for _ in range(3)]
    assert heard == [b"EXTEND_TIMEOUT_USEC=0\nSTATUS=waiting for /dev/video0", b"READY=1\nWATCHDOG=1", b"STOPPING=1"]
    assert not RunConfig().waits and not RunConfig(wait=False).waits
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    assert RunConfig().waits and not RunConfig(wait=False).waits


def test_without_a_watchdog_only_the_start_and_the_end_are_notified(manager, tmp_path, caplog):
    service = SystemdNotifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
    service.frame_done()
    service.frame_done()
    service.stopping()
    assert caplog.messages == []
    assert [manager.recv(100), manager.recv(100)] == [b"READY=1\nWATCHDOG=1", b"STOPPING=1"]


def test_an_abstract_socket_name_is_understood(caplog):
    name = f"galaxy-edge-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind("\0" + name)
        SystemdNotifier({"NOTIFY_SOCKET": "@" + name}).frame_done()
        assert ear.recv(100).startswith(b"READY=1")
    assert caplog.messages == []


def test_without_a_service_manager_nothing_is_sent(caplog):
    SystemdNotifier({}).frame_done()
    assert caplog.messages == []


def test_unreachable_service_manager_is_reported_once_and_the_run_continues(tmp_path):
    process = start(
        "demo", tmp_path / "out", "--max-frames", "5", NOTIFY_SOCKET=str(tmp_path / "nobody"), WATCHDOG_USEC="abc"
    )
    lines, errors = process.communicate(timeout=120)
    assert process.returncode == 0 and len(lines.splitlines()) == 5
    assert errors.count("does not listen") == errors.count("WATCHDOG_USEC=abc") == 1 and "Traceback" not in errors
