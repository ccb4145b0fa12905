"""`galaxy-edge doctor` with real parts, or else a folder in place of /sys."""

import datetime
import json
import os

import numpy as np
import pytest
from galaxy_edge.devices.probe import probe, profile_for
from galaxy_edge.models.bundle import Bundle, shipped_bundle_path
from galaxy_edge.runtime.doctor import cameras, clock, networks, packages, storage
from galaxy_edge.runtime.doctor.checks import DoctorConfig, run_checks
from galaxy_edge.runtime.doctor.engines import check_engines
from galaxy_edge.runtime.doctor.result import CheckResult, report
from galaxy_edge.runtime.doctor.system import check_groups, check_temperature
from galaxy_edge.runtime.system.isolated import IsolatedError
from helpers import raspberry_pi
from helpers.command_line import galaxy_edge_in_process
from helpers.delegate import attach_device

BUNDLE = shipped_bundle_path("galaxy-classifier")
PI = profile_for("raspberry-pi-5")


def by_name(results):
    return {result.name: result for result in results}


def test_only_exercised_checks_decide():
    seen = CheckResult("a", "fail", "looked for only")
    used = CheckResult("b", "fail", "used", exercised=True)
    warning = CheckResult("c", "warn", "used", exercised=True)
    assert report([seen, warning])["ok"] and not report([seen, used])["ok"]
    fields = {"name": "b", "status": "fail", "detail": "used", "hint": "", "exercised": True}
    assert report([used]) == {"checks": [fields], "ok": False}


def test_the_command_reports_every_subject_as_json(tmp_path):
    done = galaxy_edge_in_process("doctor", "--json", "--seconds", "0", "--out", tmp_path / "out", "--bundle", BUNDLE)
    answer = json.loads(done.stdout)
    found = {check["name"]: check for check in answer["checks"]}
    assert done.returncode == 0 and answer["ok"], answer
    subjects = {name.partition(".")[0] for name in found}
    assert subjects >= {"python", "packages", "engine", "cameras", "storage", "clock", "groups", "golden", "latency"}
    assert "8 samples identical to the bit" in found["golden.galaxy-classifier"]["detail"]
    assert "median" in found["latency.galaxy-classifier"]["detail"]
    assert not (tmp_path / "out").exists() and list(tmp_path.iterdir()) == []


def test_a_broken_bundle_fails_without_a_traceback(tmp_path, monkeypatch):
    monkeypatch.setattr("galaxy_edge.runtime.doctor.checks.check_packages", lambda: iter(()))
    results = by_name(run_checks(DoctorConfig(tmp_path, bundles=[tmp_path / "none"])))
    assert results["golden.none"].status == "fail" and results["golden.none"].exercised


def test_another_output_names_the_sample_and_the_difference(monkeypatch):
    from galaxy_edge.runtime.inference.golden import Difference

    other = Difference("logits", 3, 60, 2, 9, is_minor=False)
    minor = Difference("logits", 1, 1, 1, 9, is_minor=True)
    for found, status in (([minor, other], "fail"), ([minor], "warn")):
        monkeypatch.setattr(networks, "differences", lambda *_, found=found: list(found))
        answer = json.loads(networks.replay(BUNDLE, "litert", 1, 0.0))
        result = networks._golden_result("golden.x", answer, "litert")
        assert result.status == status and result.exercised
        assert result.detail.startswith(str(found[-1]))


def test_an_engine_that_crashes_is_a_failed_check(monkeypatch):
    def crash(*_, **__):
        raise IsolatedError("the engine crashed on it (exit code -4)")

    monkeypatch.setattr(networks, "isolated", crash)
    (result,) = networks.check_networks([Bundle.load(BUNDLE)], PI, "litert", 0.0)
    assert (result.status, result.exercised) == ("fail", True) and "exit code -4" in result.detail


def test_imports_that_fail_or_end_the_process_are_named(tmp_path, monkeypatch):
    (tmp_path / "bad_wheel.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGILL)\n")
    (tmp_path / "bad_library.py").write_text("raise ImportError('libgomp.so.1: cannot open')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = packages.import_all(["json", "bad_wheel", "bad_library", "csv"])
    assert found["json"] == found["csv"] == ""
    assert "SIGILL" in found["bad_wheel"] and "libgomp" in found["bad_library"]


@pytest.mark.parametrize(("bits", "status", "word"), [
    ("0", "ok", "now: no; since the start: no"), ("50005", "warn", "now: under-voltage, throttled; since the start: under"),
    ("0x80000", "warn", "now: no; since the start: soft temperature limit"),
])  # fmt: skip
def test_heat_and_throttling_are_read_from_sys(tmp_path, bits, status, word):
    zone, firmware = tmp_path / "sys/class/thermal/thermal_zone0", tmp_path / "sys/devices/platform/soc/soc:firmware"
    zone.mkdir(parents=True)
    firmware.mkdir(parents=True)
    (zone / "temp").write_text("78500\n")
    (zone / "type").write_text("cpu-thermal\n")
    (firmware / "get_throttled").write_text(bits + "\n")
    found = by_name(check_temperature(PI, tmp_path))
    assert found["temperature"].status == "warn" and "cpu-thermal 78 degrees C" in found["temperature"].detail
    assert found["throttling"].status == status and word in found["throttling"].detail


def test_a_date_before_the_bundles_fails(tmp_path, monkeypatch):
    early = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    monkeypatch.setattr(clock, "kernel_clock_status", lambda: 0x40)
    found = by_name(clock.check_clock("2026-11-29T01:38:25Z", tmp_path, early))
    assert found["clock.date"].status == "fail" and "sudo date --utc" in found["clock.date"].hint
    assert found["clock.synchronised"].status == "warn"


def test_the_kernel_gives_its_clock_status():
    assert clock.kernel_clock_status() in range(1 << 16)


def test_a_small_or_read_only_disk_fails(tmp_path, monkeypatch):
    usage = storage.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(storage.shutil, "disk_usage", lambda path: usage._replace(free=10 * 2**20))
    monkeypatch.setattr(storage, "sync_times", lambda path: (path / "none/file").read_text())
    found = by_name(storage.check_storage(tmp_path / "a/b", 2**31))
    assert found["storage.space"].status == found["storage.sync"].status == "fail"
    assert "No such file" in found["storage.sync"].detail


def test_cameras_of_libcamera_are_listed_by_a_child(tmp_path, monkeypatch):
    raspberry_pi.install(monkeypatch, tmp_path, {}, {"model": "imx296"})
    (result,) = [entry for entry in cameras.check_cameras(probe(tmp_path), tmp_path) if "libcamera" in entry.name]
    assert result.detail == "picamera2:0 is imx477, picamera2:1 is imx296" and not result.exercised
    assert json.loads(galaxy_edge_in_process("devices", "--json").stdout)["libcamera"] == ["imx477", "imx296"]
    assert "picamera2:1: imx296, by libcamera" in galaxy_edge_in_process("devices").stdout


def test_a_raspberry_pi_without_picamera2_gets_the_apt_line(monkeypatch):
    monkeypatch.setattr(cameras, "libcamera_cameras", lambda: (None, "Picamera2 is not installed"))
    assert cameras._libcamera(True).hint == cameras.INSTALL and cameras._libcamera(False).hint == ""


def test_an_edge_tpu_without_its_library_or_group_is_explained(tmp_path, monkeypatch):
    device = attach_device(tmp_path)
    found = by_name(check_engines(PI, [], tmp_path))["engine.edgetpu"]
    assert found.status == "warn" and "libedgetpu1-std" in found.detail
    (tmp_path / "usr/lib").mkdir(parents=True)
    (tmp_path / "usr/lib/libedgetpu.so.1").touch()
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != device and access(path, mode))
    found = by_name(check_engines(PI, [], tmp_path))["engine.edgetpu"]
    assert found.hint.startswith("sudo usermod -aG plugdev")
    assert by_name(check_groups(probe(tmp_path), tmp_path))["groups.plugdev"].status == "warn"


def test_the_replay_reads_every_golden_input():
    answer = json.loads(networks.replay(BUNDLE, "litert", 1, 0.0))
    assert answer["samples"] == len(np.asarray(Bundle.load(BUNDLE).golden()["inputs"])) and not answer["differences"]
