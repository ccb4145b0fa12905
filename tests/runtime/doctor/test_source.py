"""`galaxy-edge doctor --camera` opens a source in a child process."""

import json

import pytest
from galaxy_edge.models.bundle import shipped_bundle_path
from galaxy_edge.runtime.doctor import source
from helpers import raspberry_pi
from helpers.command_line import galaxy_edge_in_process


def test_size_format_and_rate_of_a_camera_are_reported(tmp_path, monkeypatch):
    raspberry_pi.install(monkeypatch, tmp_path, {})
    result = source.check_source("picamera2?size=64x48", tmp_path / "out")
    assert (result.status, result.exercised) == ("ok", True)
    assert result.detail.startswith("picamera2?size=64x48: 64 x 48, 8 bits, ")
    assert " frames per second; first frame in " in result.detail


@pytest.mark.parametrize(("camera", "seconds", "reason"), [
    ("rtsp://user:secret@127.0.0.1:9/sky", 30.0, "rtsp://***@127.0.0.1:9/*** cannot be opened as a camera: it does not answer"),
    ("watch:{folder}", 1.0, "watch:{folder}: no frame within 1 s"),
])  # fmt: skip
def test_the_reason_without_a_frame_is_given(tmp_path, camera, seconds, reason):
    """A folder without images stands for a driver that never returns."""
    result = source.check_source(camera.format(folder=tmp_path), tmp_path / "out", seconds)
    assert (result.status, result.exercised) == ("fail", True)
    assert result.detail.startswith(reason.format(folder=tmp_path))
    assert "--wait" not in result.detail and "secret" not in result.detail


def test_a_source_that_cannot_be_opened_decides_the_exit_code(tmp_path, monkeypatch):
    monkeypatch.setattr("galaxy_edge.runtime.doctor.checks.check_packages", lambda: iter(()))
    options = ("--json", "--seconds", "0", "--out", tmp_path, "--bundle", shipped_bundle_path("galaxy-classifier"))
    done = galaxy_edge_in_process("doctor", *options, "--camera", "/dev/video97")
    failed = [check for check in json.loads(done.stdout)["checks"] if check["exercised"] and check["status"] == "fail"]
    assert done.returncode == 1 and [check["name"] for check in failed] == ["camera"]
    assert failed[0]["detail"].startswith("/dev/video97 cannot be opened as a camera: it does not exist; ")


def test_a_driver_that_crashes_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "_ask", lambda *_: ([], "a bad pointer", -11))
    result = source.check_source("0", tmp_path)
    assert result.detail == "0: the process ended with SIGSEGV: a bad pointer" and result.status == "fail"
