"""The unit of the service, checked by systemd's programs, and wrong commands."""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from galaxy_edge.cli import main
from galaxy_edge.devices.probe import profile_for
from galaxy_edge.devices.service import manage
from galaxy_edge.devices.service.unit import program, quote, unit_text
from galaxy_edge.errors import UsageError
from helpers.command_line import galaxy_edge_in_process

PI = profile_for("raspberry-pi-5")


@pytest.fixture
def unit(tmp_path, monkeypatch):
    program = tmp_path / "bin/galaxy-edge"
    program.parent.mkdir()
    program.symlink_to("/bin/true")
    monkeypatch.setattr("galaxy_edge.devices.service.unit.sys.prefix", str(tmp_path))
    path = tmp_path / "galaxy-edge.service"
    path.write_text(unit_text(["--camera", "0?gain=4&x=50%"], PI, {}, ["video"]))
    return path


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_accepts_the_unit_and_finds_it_hardened(unit):
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=30", "--no-pager", unit]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True)
    faults = [line for line in done.stderr.splitlines() if "galaxy-edge.service" in line]
    assert done.returncode == 0 and not faults, done.stderr


def test_the_unit_has_the_memory_limit_and_credentials():
    text = unit_text(["--camera", "0"], PI, {"GALAXY_EDGE_RUN_MQTT": "/etc/a%b"}, ["video", "plugdev"])
    assert "\nMemoryMax=1024M\nLoadCredential=GALAXY_EDGE_RUN_MQTT:/etc/a%%b\n" in text
    for line in ("Type=notify", "Restart=always", "StartLimitIntervalSec=0", "SupplementaryGroups=video plugdev"):
        assert f"\n{line}\n" in text


def test_the_start_waits_for_drivers_but_not_for_a_network():
    """Without it, a start takes minutes longer, or a camera is refused.

    systemd waits for an absent network for one to two minutes, and allows only devices whose driver is loaded.
    """
    text = unit_text(["--camera", "0"], PI, {}, [])
    assert re.search(
        r"^Wants=(.*modprobe@videodev\.service.*)\nAfter=network\.target time-sync\.target \1$", text, re.M
    )
    assert "network-online" not in text


def test_nothing_in_an_argument_is_expanded():
    assert quote('a b$HOME%n"\\') == '"a b$$HOME%%n\\"\\\\"'
    with pytest.raises(UsageError, match="line break"):
        quote("demo\nExecStartPre=/bin/sh")


def test_credential_with_several_addresses_is_checked_line_by_line(tmp_path):
    (tmp_path / "notify").write_text("tgram://secret/1\nntfys://ntfy.sh/secret\n")
    credential = f"GALAXY_EDGE_RUN_NOTIFY={tmp_path / 'notify'}"
    done = galaxy_edge_in_process("service", "install", "--dry-run", "--camera", "demo", "--credential", credential)
    assert done.returncode == 0 and f"LoadCredential=GALAXY_EDGE_RUN_NOTIFY:{tmp_path}" in done.stdout, done.stderr
    (tmp_path / "notify").write_text("tgram://secret/1\nsecret\n")
    done = galaxy_edge_in_process("service", "install", "--dry-run", "--camera", "demo", "--credential", credential)
    assert done.returncode == 2 and "secret" not in done.stderr


@pytest.mark.parametrize(("arguments", "message"), [
    (["--camera", "demo", "--trehads", "2"], "No such option"), ([], "Missing option '--camera'"),
    (["--camera", "demo", "--credential", "PASSWORD=/x"], "give VARIABLE=FILE"),
    (["--camera", "demo", "--credential", "GALAXY_EDGE_RUN_MQT=/dev/null"], "did you mean 'GALAXY_EDGE_RUN_MQTT'?"),
    (["--camera", "demo", "--credential", "GALAXY_EDGE_RUN_MQTT=/nowhere/x"], "cannot be read: No such file"),
    (["--camera", "demo", "--credential", "GALAXY_EDGE_RUN_MQTT=/dev/null"], "/dev/null is empty"),
    (["--camera", "demo", "--credential", "GALAXY_EDGE_RUN_THREADS=/proc/sys/kernel/ostype"], "'--threads'"),
    (["--camera", "a\nb"], "line break"),
])  # fmt: skip
def test_wrong_options_are_refused_before_anything_is_installed(arguments, message):
    done = galaxy_edge_in_process("service", "install", "--dry-run", *arguments)
    assert done.returncode == 2 and message in done.stderr and not done.stdout
    assert "Usage: galaxy-edge run" not in done.stderr


@pytest.mark.parametrize(("prefix", "home"), [
    ("/home/pi/env", "read-only"), ("/root/env", "read-only"), ("/homes/env", "yes"), ("/opt/env", "yes"),
])  # fmt: skip
def test_home_folders_are_hidden_unless_the_program_is_in_one(monkeypatch, prefix, home):
    monkeypatch.setattr("galaxy_edge.devices.service.unit.sys.prefix", prefix)
    assert f"\nProtectHome={home}\n" in unit_text(["--camera", "0"], PI, {}, [])


def test_a_dry_run_prints_the_unit():
    done = galaxy_edge_in_process("service", "install", "--dry-run", "--camera", "0?gain=4", "--serve", "8080")
    assert done.returncode == 0
    assert re.search(
        r'^ExecStart="\S+/bin/galaxy-edge" "run" "--camera" "0\?gain=4" "--serve" "8080"$', done.stdout, re.M
    )


@pytest.mark.parametrize(
    ("arguments", "is_secret"),
    [
        (["--camera", "demo", "--mqtt=mqtt://me:hush@broker"], True), (["--camera", "rtsp://me:hush@10.0.0.2/h"], True),
        (["--camera", "rtsp://10.0.0.2/stream1", "--mqtt", "mqtt://broker"], False),
    ],
)  # fmt: skip
def test_a_password_in_the_unit_is_warned_of(arguments, is_secret):
    """Every user can read a unit."""
    done = galaxy_edge_in_process("service", "install", "--dry-run", *arguments)
    assert ("every user can read the unit" in done.stderr) == is_secret and "hush" not in done.stderr


def test_a_computer_without_systemd_and_other_users_are_refused(monkeypatch):
    monkeypatch.setattr(manage.Path, "is_dir", lambda path: False)
    with pytest.raises(UsageError, match="not started by systemd"):
        manage.check_host()
    monkeypatch.setattr(manage.Path, "is_dir", lambda path: True)
    monkeypatch.setattr(manage.os, "geteuid", lambda: 1000)
    with pytest.raises(UsageError, match="with sudo"):
        manage.check_host()


def test_another_installed_service_is_not_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr(manage, "UNIT", tmp_path / "galaxy-edge.service")
    manage.UNIT.write_text("other")
    with pytest.raises(UsageError, match="--replace"):
        manage.install("text", replace=False)
    assert manage.UNIT.read_text() == "other"


def test_credentials_of_the_service_are_options(tmp_path, monkeypatch):
    (tmp_path / "GALAXY_EDGE_RUN_MQTT").write_text("mqtt://u:p@host\n")
    (tmp_path / "PATH").write_text("/evil")
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path), "PATH": "/bin"}
    main.read_credentials(environment)
    assert environment["GALAXY_EDGE_RUN_MQTT"] == "mqtt://u:p@host" and environment["PATH"] == "/bin"


def test_the_unit_of_a_release_starts_the_link_that_a_deployment_switches(tmp_path, monkeypatch):
    environment = tmp_path / "releases/20261129-1/venv"
    environment.mkdir(parents=True)
    monkeypatch.setattr("galaxy_edge.devices.service.unit.sys.prefix", str(environment))
    assert program() == environment / "bin/galaxy-edge"
    (tmp_path / "current").symlink_to("releases/20261129-1")
    assert program() == tmp_path / "current/venv/bin/galaxy-edge"


def test_a_program_in_a_folder_that_the_service_may_not_enter_is_refused():
    with tempfile.TemporaryDirectory() as folder:  # not tmp_path, whose parents are private
        Path(folder).chmod(0o711)
        private, link = Path(folder) / "home", Path(folder) / "current"
        (private / "bin").mkdir(parents=True)
        private.chmod(0o700)
        link.symlink_to(private)
        with pytest.raises(UsageError, match=rf"may enter {private}; chmod o\+x"):
            manage.check_reachable(link / "bin/galaxy-edge")
        private.chmod(0o711)
        manage.check_reachable(link / "bin/galaxy-edge")
