"""A real sshd on loopback, run by an unprivileged user with its own keys."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

from helpers.tracks import until

LAB_USER = "galaxy-edge-lab"
"""The account for tests that run as root: .ci/run makes it."""


def free_port():
    """Return a port that is free on loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Sshd:
    """An sshd, and a device folder that its user owns.

    Attributes:
        config: of ssh; it knows the host ``device``, and ``absent``, which nobody answers for.
        root: folder of the releases, which does not exist yet.
    """

    def __init__(self):
        self.program = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:" + os.environ["PATH"])
        if self.program is None or shutil.which("ssh") is None:
            pytest.skip("needs sshd and ssh (apt install openssh-server)")
        self.user = LAB_USER if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
        try:
            self.account = pwd.getpwnam(self.user)
        except KeyError:
            pytest.skip(f"needs the account {LAB_USER} (useradd --create-home {LAB_USER})")
        self.folder = Path(tempfile.mkdtemp(prefix="galaxy-edge-lab-"))  # pytest's folders are closed to other users
        self.folder.chmod(0o755)
        self.root, self.port = self.folder / "device" / "galaxy-edge", free_port()
        self.root.parent.mkdir()
        for name in ("host", "client"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / name], check=True)
        host_key = (self.folder / "host.pub").read_text()
        (self.folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {host_key}")
        shutil.copy(self.folder / "client.pub", self.folder / "authorized_keys")
        self.config = self.folder / "ssh_config"
        self.config.write_text(
            f"Host device\n Port {self.port}\nHost absent\n Port {free_port()}\nHost *\n HostName 127.0.0.1\n"
            f" User {self.user}\n IdentityFile {self.folder}/client\n IdentitiesOnly yes\n"
            f" UserKnownHostsFile {self.folder}/known_hosts\n"
        )
        settings = self.folder / "sshd_config"
        settings.write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {self.folder}/host\nPidFile none\nUsePAM no\n"
            f"AuthorizedKeysFile {self.folder}/authorized_keys\nStrictModes no\nPasswordAuthentication no\n"
        )
        if os.getuid() == 0:
            for path in (self.folder / "host", self.root.parent):
                os.chown(path, self.account.pw_uid, self.account.pw_gid)
        as_user = {"user": self.user, "group": self.account.pw_gid, "extra_groups": []} if os.getuid() == 0 else {}
        with open(self.folder / "sshd.log", "wb") as log:
            command = [self.program, "-D", "-e", "-f", settings]
            self.process = subprocess.Popen(command, stderr=log, **as_user)

        def accepts():
            with socket.socket() as connection:
                return connection.connect_ex(("127.0.0.1", self.port)) == 0

        until(accepts)

    def run(self, command):
        """Run a command there; return its output."""
        call = ["ssh", "-F", self.config, "-oBatchMode=yes", "device", command]
        done = subprocess.run(call, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr + (self.folder / "sshd.log").read_text()
        return done.stdout.strip()

    def close(self):
        """End the server and delete the folder."""
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.folder)
