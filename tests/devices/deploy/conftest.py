"""A device that is reached through a real sshd, and a service on it."""

import http.client
import urllib.request
from dataclasses import replace

import pytest
from galaxy_edge.devices.deploy.deploy import Target
from galaxy_edge.devices.deploy.deploy import deploy as deploy_to
from galaxy_edge.devices.deploy.release import make_release
from galaxy_edge.devices.deploy.wheelhouse import load_wheelhouse
from helpers.sshd import Sshd, free_port
from helpers.stub_release import stub_wheelhouse

RESTART = """
if [ -f {folder}/pid ]; then kill "$(cat {folder}/pid)"; while kill -0 "$(cat {folder}/pid)" 2>&-; do sleep 0.05; done; fi
./current/venv/bin/galaxy-edge serve {port} >&- 2>&- & echo $! >{folder}/pid
"""


class Device:
    """A device under a real sshd; its restart command starts the current release."""

    def __init__(self, server, tmp_path):
        self.server, self.tmp_path, self.with_real_pip = server, tmp_path, False
        self.root, self.port = server.root, free_port()
        self.machine, self.python = server.run(
            "python3 -c 'import platform; print(platform.machine(), *platform.python_version_tuple()[:2])'"
        ).split(" ", 1)
        self.python = self.python.replace(" ", ".")
        folder = server.root.parent
        (server.folder / "restart.sh").write_text(RESTART.format(folder=folder, port=self.port))
        self.url = f"http://127.0.0.1:{self.port}/healthz"
        self.target = Target(
            str(self.root), f"sh {server.folder}/restart.sh", self.url, start_seconds=60, health_seconds=0.4, keep=2,
            config=server.config,
        )  # fmt: skip

    def wheelhouse(self, version="1.0", behaviour="good"):
        """Return a wheelhouse with a stub of the package."""
        stub_wheelhouse(
            self.tmp_path / "wheels", version, behaviour, self.machine, self.python, self.with_real_pip
        )  # fmt: skip
        return load_wheelhouse(self.tmp_path / "wheels")

    def release(self, version="1.0", behaviour="good", models=None, key=None):
        """Return a release with a stub of the package."""
        return make_release(self.wheelhouse(version, behaviour), models, key)

    def deploy(self, version="1.0", behaviour="good", allow_older=False, **fields):
        """Deploy such a release; an unhealthy one gets less time."""
        target = replace(self.target, start_seconds=3) if behaviour == "unhealthy" else self.target
        return deploy_to("device", self.release(version, behaviour, **fields), target, allow_older)

    def serving(self):
        """Return the version that the service reports, or None if it is not healthy."""
        try:
            with urllib.request.urlopen(self.url, timeout=5) as answer:
                return answer.read().decode()
        except (OSError, http.client.HTTPException):  # it is starting or ending: nobody listens, or it hangs up
            return None

    def stop(self):
        """End the service."""
        pid = self.root.parent / "pid"
        if pid.exists():
            self.server.run(f"kill $(cat {pid}) || true")


@pytest.fixture
def device(tmp_path):
    """A device on which nothing is deployed yet."""
    server = Sshd()
    device = Device(server, tmp_path)
    yield device
    device.stop()
    server.close()
