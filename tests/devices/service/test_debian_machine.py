"""The Debian package in a fresh Debian, and its service in a virtual machine.

The machine loses its power.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from galaxy_edge.devices.deploy.debian import make_deb
from galaxy_edge.devices.deploy.download import make_wheelhouse
from galaxy_edge.devices.profile import load_profile
from helpers import systemd_machine, virtual_machine

pytestmark = [pytest.mark.lab, pytest.mark.slow]

PACKAGES = "systemd-sysv,udev,kmod,python3,libstdc++6"
FASTER = """[Service]
WatchdogSec=20
TimeoutAbortSec=1
RestartSec=1
"""
EVENTS = """
import json, sqlite3, sys
base = sqlite3.connect("file:/var/lib/galaxy-edge/galaxy-edge-out/events.sqlite?mode=ro", uri=True)
rows = lambda query: base.execute(query).fetchall()
runs = rows("SELECT id, interrupted FROM run ORDER BY id")
events = rows("SELECT run, number, first_frame FROM event ORDER BY run, number")
print(json.dumps({"runs": runs, "events": events, "check": rows("PRAGMA integrity_check")[0][0]}))
sys.exit(len(sys.argv) > 1 and not [run for run, *_ in events if run >= int(sys.argv[1])])
"""
ACTIVE = '[ "$(systemctl is-active galaxy-edge)" = active ]'
RESTARTS = '[ "$(systemctl show --value -p NRestarts galaxy-edge)" = {} ]'
MAIN_PROCESS = "systemctl show --value -p MainPID galaxy-edge"


def run(*command):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A small Debian of the Python that runs this, with the package installed."""
    missing = [name for name in ("mmdebstrap", "dpkg-deb") if shutil.which(name) is None]
    if missing or os.geteuid() != 0 or sys.version_info[:2] != (3, 11) or os.uname().machine != "x86_64":
        pytest.skip("needs mmdebstrap, dpkg-deb, root, an x86-64 processor and Python 3.11 to install a Debian 12")
    folder = tmp_path_factory.mktemp("debian")
    root = folder / "root"
    options = ("--quiet", "--variant=minbase", "--mode=root", "--dpkgopt=force-unsafe-io", f"--include={PACKAGES}")
    run("mmdebstrap", *options, "bookworm", root)
    wheels = make_wheelhouse(load_profile("desktop-x86"), "3.11", folder / "wheels")
    package = make_deb(wheels, folder, compression="none")
    shutil.copy(package, root / "root/package.deb")
    run("chroot", root, "dpkg", "--install", "/root/package.deb")
    (root / "root/package.deb").unlink()
    return root


@pytest.fixture(scope="module")
def station(root, tmp_path_factory):
    """What a station reports: without power, hung, killed, without camera."""
    missing = systemd_machine.missing()
    if missing:
        pytest.skip(f"needs {', '.join(missing)} for a virtual machine that systemd starts")
    folder = tmp_path_factory.mktemp("station")
    kernel = virtual_machine.kernel(folder)
    systemd_machine.prepare_root(root, kernel)
    (root / "root/events.py").write_text(EVENTS)
    settings = root / "etc/systemd/system/galaxy-edge.service.d/test.conf"
    settings.parent.mkdir()
    settings.write_text(FASTER)
    machine = systemd_machine.Machine(root, kernel, folder)
    try:
        yield scenario(machine)
    finally:
        machine.cut_power()


def wait_for_event(machine, run):
    """Wait for an event of a run, or of a later one."""
    machine.wait(f"python3 /root/events.py {run} >/dev/null 2>&1", 300)


def scenario(machine):
    facts = {}
    machine.start()
    facts["installed"] = machine.run("galaxy-edge service install --camera demo --mqtt mqtt://broker.invalid", 200)
    machine.wait(ACTIVE, 300)
    wait_for_event(machine, 1)
    facts["unit"] = machine.run("systemctl show galaxy-edge -p Type,User,UnitFileState,NRestarts")
    facts["before"] = json.loads(machine.run("python3 /root/events.py"))
    machine.cut_power()

    machine.start()
    wait_for_event(machine, 2)
    facts["seconds to the first event"] = float(machine.run("cut -d' ' -f1 /proc/uptime"))
    facts["after"] = json.loads(machine.run("python3 /root/events.py"))
    machine.run(f"kill -STOP $({MAIN_PROCESS})")
    machine.wait("journalctl -b -u galaxy-edge | grep -q 'Watchdog timeout'")
    machine.wait(RESTARTS.format(1))
    machine.run(f"until [ $({MAIN_PROCESS}) != 0 ]; do sleep 0.3; done; kill -KILL $({MAIN_PROCESS})")
    machine.wait(RESTARTS.format(2))

    machine.run("galaxy-edge service install --replace --camera /dev/video0", 200)
    machine.wait("journalctl -b -u galaxy-edge | grep -q 'waiting for it'")
    facts["absent"] = machine.run("systemctl is-active galaxy-edge; ls /dev/video0")
    machine.run("modprobe vivid n_devs=1 node_types=0x1 num_inputs=1 input_types=0x0")
    machine.wait(ACTIVE)
    facts["journal"] = machine.run("journalctl -u galaxy-edge -o cat")
    return facts


def test_the_package_runs_in_a_fresh_debian(root):
    assert run("chroot", root, "galaxy-edge", "--version").startswith("galaxy-edge, version")
    output = run(
        "chroot", root, "galaxy-edge", "run", "--camera", "demo", "--max-frames", "20", "--json", "--out", "/tmp/out"
    )
    assert any(json.loads(line)["detections"] for line in output.splitlines())
    for module in ("astropy.io.fits", "rawpy", "pyongc.ongc", "apprise", "paho.mqtt.client", "uvicorn", "cryptography"):
        run("chroot", root, "/usr/lib/galaxy-edge/bin/python3", "-c", f"import {module}")
    assert not run("chroot", root, "dpkg", "--verify", "galaxy-edge")
    assert list(root.glob("usr/lib/galaxy-edge/lib/python3.11/site-packages/galaxy_edge/__pycache__/*.pyc"))


def test_the_service_reports_ready_and_is_restarted(station):
    """The start ends at the first frame; hung and killed runs are replaced."""
    print(f"\nboot to the first event, emulated: {station['seconds to the first event']:.0f} s")
    assert "the service is installed" in station["installed"]
    for line in ("Type=notify", "User=galaxy-edge", "UnitFileState=enabled", "NRestarts=0"):
        assert line in station["unit"].splitlines()
    assert "Watchdog timeout (limit 20s)!" in station["journal"]
    assert "Main process exited, code=killed, status=9/KILL" in station["journal"]


def test_events_survive_a_power_cut_and_the_service_starts_by_itself(station):
    before, after = station["before"], station["after"]
    assert after["check"] == before["check"] == "ok"
    assert before["events"]
    assert [event for event in before["events"] if event not in after["events"]] == []
    assert [run for run, interrupted in after["runs"] if interrupted] == [run for run, _ in before["runs"]]
    assert len(after["runs"]) == len(before["runs"]) + 1


def test_a_camera_that_is_absent_is_waited_for_and_then_allowed(station):
    """systemd allows only devices whose driver has a number when the service starts."""
    assert station["absent"].splitlines()[0] == "activating" and "No such file" in station["absent"]
    assert "/dev/video0 cannot be opened: it does not exist" in station["journal"]
    assert "permission denied" not in station["journal"]


def test_a_purge_leaves_nothing(root):
    Path(root / "var/lib/galaxy-edge").mkdir(exist_ok=True)
    run("chroot", root, "dpkg", "--purge", "galaxy-edge")
    for path in ("usr/lib/galaxy-edge", "usr/bin/galaxy-edge", "var/lib/galaxy-edge"):
        assert not os.path.lexists(root / path)
    assert not re.search("^galaxy-edge:", (root / "etc/passwd").read_text(), re.M)
