"""Deployments to a real sshd: switch, health, automatic rollback, every refusal."""

import hashlib
import json
import os
import shutil
import subprocess
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from galaxy_edge.devices.deploy import deploy as deploy_module
from galaxy_edge.devices.deploy.connection import Connection, DeployError
from galaxy_edge.devices.deploy.deploy import deploy, for_each_host, roll_back, status
from galaxy_edge.devices.deploy.release import ReleaseFile
from galaxy_edge.models.bundle import Bundle, shipped_bundle_path
from galaxy_edge.models.signature import generate_keypair, sign
from helpers.command_line import galaxy_edge
from helpers.tracks import until

pytestmark = pytest.mark.lab


def test_a_release_is_installed_switched_to_and_rolled_back_if_it_fails(device):
    device.with_real_pip = True
    first = device.deploy("1.0")
    device.with_real_pip = False
    assert first.ok and device.serving() == "1.0"
    assert first.serving_seconds <= first.deploy_seconds
    with pytest.raises(DeployError, match="doctor: golden vectors: sample 3 differs"):
        device.deploy("1.1", "sick")
    assert len(list((device.root / "releases").iterdir())) == 1, "what failed is deleted"
    assert device.serving() == "1.0"

    failed = device.deploy("1.2", "unhealthy")
    assert not failed.ok and "answers 503" in failed.detail
    assert failed.detail.endswith(f"rolled back in {failed.rollback_seconds:.1f} s")
    assert failed.release == first.release and device.serving() == "1.0"
    assert failed.rollback_seconds >= 0

    second = device.deploy("2.0")
    assert second.ok and device.serving() == "2.0"
    found = status("device", device.target)
    assert [record["state"] for record in found.releases] == ["failed", "healthy"], "keep = 2"
    assert found.release == second.release and found.detail == "version 2.0, healthy"
    with pytest.raises(DeployError, match="no earlier release that was healthy"):
        roll_back("device", device.target)


def test_without_a_url_nothing_is_said_about_the_service(device):
    """The first deployment, before there is a service."""
    first = deploy("device", device.release("1.0"), replace(device.target, restart="", health=""))
    assert first.ok and first.detail == "switched, not checked whether it serves"
    assert first.serving_seconds is None and first.deploy_seconds is None and device.serving() is None
    assert os.readlink(device.root / "current") == f"releases/{first.release}"


def test_a_cut_connection_leaves_the_old_release_running(device):
    first = device.deploy("1.0")
    with Connection("device", device.target.config) as agent:  # cut while files are copied
        agent.ask("begin", root=str(device.root), python="", write=True)
        agent.ask("prepare", name="20990101T000000", files=[{"path": "wheels/a.whl", "sha256": "0" * 64}])
        with pytest.raises(DeployError, match=r"another deployment to .* is under way"):
            device.deploy("1.1")
    until(lambda: len(list((device.root / "releases").iterdir())) == 1)
    assert device.serving() == "1.0"

    release = device.release("2.0", "dies")  # cut while the new release is watched
    target = replace(device.target, health_seconds=600)
    worker = threading.Thread(target=for_each_host, args=(("device",), lambda host: deploy(host, release, target)))
    worker.start()
    until(lambda: device.serving() == "2.0")
    until(lambda: (device.root / "answers-2.0").stat().st_size > 1)  # the second answer is the agent's: it watches
    for process in Path("/proc").glob("[0-9]*/stat"):
        name, _, rest = process.read_text().partition("(")[2].rpartition(")")
        if name == "ssh" and int(rest.split()[1]) == os.getpid():
            os.kill(int(process.parent.name), 9)
    worker.join()
    (device.root / "die").touch()
    until(lambda: device.serving() == "1.0")
    assert os.readlink(device.root / "current") == f"releases/{first.release}"


@pytest.fixture
def device_disk(device):
    """The device's folder, as a disk of its own, which `resize` fills."""
    folder = device.root.parent
    account = device.server.account
    options = f"size=256m,mode=755,uid={account.pw_uid},gid={account.pw_gid}"
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", folder], capture_output=True).returncode:
        pytest.skip("needs the right to mount a tmpfs (root)")
    yield folder
    device.stop()
    subprocess.run(["umount", "--lazy", folder], check=True)


def resize(disk, left):
    """Give the disk as many free bytes."""
    usage = shutil.disk_usage(disk)
    subprocess.run(["mount", "-o", f"remount,size={usage.used + left}", disk], check=True)


def test_a_disk_that_fills_leaves_the_running_release(device, device_disk, monkeypatch):
    """Something else there, such as a run's images, takes the space meanwhile."""
    first = device.deploy("1.0")
    release, check = device.release("1.1"), deploy_module.check_space
    extra = ReleaseFile("wheels/extra", content := os.urandom(2**21), 2**21, hashlib.sha256(content).hexdigest())

    def fill_after_check(*arguments):
        check(*arguments)
        resize(device_disk, 2**20)

    with monkeypatch.context() as patch, pytest.raises(DeployError) as refused:
        patch.setattr(deploy_module, "check_space", fill_after_check)
        deploy("device", replace(release, files=(extra, *release.files)), device.target)
    assert str(refused.value) == "its disk became full: free some space, or keep fewer releases with --keep"
    until(lambda: [path.name for path in (device.root / "releases").iterdir()] == [first.release])
    assert os.readlink(device.root / "current") == f"releases/{first.release}" and device.serving() == "1.0"

    resize(device_disk, 2**28)
    ask = Connection.ask

    def fill_before_switch(agent, command, **fields):
        if command == "activate":
            resize(device_disk, 0)
        return ask(agent, command, **fields)

    monkeypatch.setattr(Connection, "ask", fill_before_switch)
    failed = device.deploy("1.2", "unhealthy")
    assert "rolled back in " in failed.detail and "its state cannot be recorded: its disk became full" in failed.detail
    assert failed.release == first.release and device.serving() == "1.0"


def test_bundles_are_signed_and_never_older(device, tmp_path):
    secret, key = generate_keypair(tmp_path / "fleet")
    models = tmp_path / "models"
    shutil.copytree(shipped_bundle_path("galaxy-classifier"), models / "galaxy-classifier")
    bundle = Bundle.load(models / "galaxy-classifier")
    with pytest.raises(Exception, match="was not signed with the key"):
        device.release(models=models, key=key)
    sign(bundle, secret, expires="2020-01-01T00:00:00Z")
    with pytest.raises(Exception, match="has expired"):
        device.release(models=models, key=key)
    sign(bundle, secret)
    first = device.deploy(models=models, key=key)
    assert (device.root / "current/models/galaxy-classifier/bundle.sig").is_file()
    record = device.root / "current/release.json"
    content = json.loads(record.read_text())
    content["bundles"]["galaxy-classifier"]["signed"] = "2999-01-01T00:00:00Z"
    record.write_text(json.dumps(content))
    with pytest.raises(DeployError, match="--allow-older deploys it anyway"):
        device.deploy("1.1", models=models, key=key)
    assert status("device", device.target).release == first.release
    second = device.deploy("1.1", models=models, key=key, allow_older=True)
    assert second.ok
    assert roll_back("device", device.target).release == first.release


def test_one_line_for_each_bad_input_and_the_running_release_is_untouched(device):
    device.deploy("1.0")
    release = device.release("1.1")
    house = release.wheelhouse
    for wrong, message in (
        ({"machine": "riscv64"}, "its processor is .*, and the wheelhouse .* is for riscv64"),
        ({"python": "2.7"}, "it has Python .*, and the wheelhouse .* is for Python 2.7"),
        ({"glibc": "9.99"}, "its C library is glibc .*, and the wheels need 9.99"),
        ({"installed_bytes": 10**15}, "MB to spare, and the release needs 1000000000 MB"),
    ):
        with pytest.raises(DeployError, match=message):
            deploy("device", replace(release, wheelhouse=replace(house, **wrong)), device.target)
    assert device.serving() == "1.0"
    link = device.root / "current"
    old = os.readlink(link)
    for target, message in (
        ("releases/gone", "points to releases/gone, which is not a release"),
        (None, "not a symbolic link"),
    ):
        link.unlink()
        link.symlink_to(target) if target else link.mkdir()
        with pytest.raises(DeployError, match=message):
            deploy("device", release, device.target)
    link.rmdir()
    link.symlink_to(old)
    assert device.serving() == "1.0"


def test_many_hosts_are_reported_in_one_table(device):
    (device.tmp_path / "out").mkdir()
    device.wheelhouse()
    target = device.target
    done = galaxy_edge(
        "deploy", "device,absent", "--wheelhouse", device.tmp_path / "wheels", "--root", target.root, "--restart",
        target.restart, "--health", target.health, "--health-seconds", "0.1", "--ssh-config", target.config, "--json",
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    good, bad = json.loads(done.stdout)["hosts"]
    assert (good["ok"], good["detail"]) == (True, "serving")
    assert not bad["ok"] and "cannot be reached" in bad["detail"] and "Connection refused" in bad["detail"]
