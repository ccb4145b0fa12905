"""Follow the README in a fresh Debian 12, from nothing to a page with a find.

``python tests/helpers/fresh_debian.py`` prints the time of each step. It needs root, mmdebstrap and a package index. How
pip reaches the index is read from the environment (``PIP_*``, proxies, certificates).
"""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
USER = "astronomer"
CERTIFICATES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
PASSED_ON = re.compile(r"PIP_(?!FIND_LINKS).*|(https?|no)_proxy|" + "|".join(CERTIFICATES), re.IGNORECASE)
"""Variables that say how a package index is reached."""
DOWNLOAD = "git clone --quiet /srv/galaxy-edge.git galaxy-edge"
"""What "a clone of this repository" is here."""


def missing():
    """Return what this machine lacks for a fresh Debian, or None."""
    if os.geteuid() != 0 or os.uname().machine != "x86_64":
        return "needs root and an x86-64 processor"
    programs = [name for name in ("mmdebstrap", "unshare", "chroot") if shutil.which(name) is None]
    return f"needs {', '.join(programs)}" if programs else None


def readme_commands():
    """Return the README's commands that install, and the first run after them."""
    sections = re.split(r"^## ", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.M)
    blocks = {
        section.partition("\n")[0]: re.findall(r"^```(?:sh)?\n(.*?)^```", section, re.M | re.S) for section in sections
    }
    return blocks["Install"][0].splitlines(), blocks["Five minutes"][0].strip()


def make_root(root):
    """Install a Debian 12 with a user who may use sudo, and a copy of this tree."""
    options = ("--quiet", "--variant=important", "--mode=root", "--dpkgopt=force-unsafe-io", "--include=sudo")
    subprocess.run(["mmdebstrap", *options, "bookworm", root], check=True)
    subprocess.run(["chroot", root, "useradd", "--create-home", "--shell", "/bin/bash", USER], check=True)
    (root / "etc/sudoers.d/fresh").write_text(f"{USER} ALL=(ALL) NOPASSWD: ALL\n")
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    for path in {os.environ[name] for name in CERTIFICATES if name in os.environ}:
        (root / path.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, root / path.lstrip("/"))
    repository = root / "srv/galaxy-edge.git"
    subprocess.run(["git", "clone", "--quiet", "--bare", "--depth=1", f"file://{ROOT}", repository], check=True)
    subprocess.run(["chroot", root, "chown", "--recursive", USER, "/srv/galaxy-edge.git"], check=True)


def as_user(root, line):
    """Return the command that runs a line in a login shell of the user.

    It runs in the clone if there is one. All processes of it end with it.
    """
    settings = [f"{name}={value}" for name, value in os.environ.items() if PASSED_ON.fullmatch(name)]
    line = f"cd galaxy-edge 2>/dev/null; {line}"
    home = f"/home/{USER}"
    return [
        *("unshare", "--mount", "--pid", "--fork", "--kill-child", f"--mount-proc={root}/proc", "chroot", str(root)),
        *("runuser", "-u", USER, "--", "env", "-i", f"--chdir={home}", f"HOME={home}", "TERM=dumb", *settings),
        *("bash", "-lc", line),
    ]


def follow(root, report=print):
    """Run the README's commands until its page shows a find.

    Args:
        root: of `make_root`.
        report: called with a line of text per step.

    Returns:
        Seconds by step, and the first events that the page lists.

    Raises:
        RuntimeError: a command failed, or no find was seen in ten minutes.
    """
    seconds = {}

    @contextlib.contextmanager
    def timed(step):
        start = time.monotonic()
        yield
        seconds[step] = time.monotonic() - start
        report(f"{seconds[step]:7.1f} s  {step}")

    install, run = readme_commands()
    packages, *rest = install
    for line in ("sudo apt-get update", packages, DOWNLOAD, *rest):
        with timed(line):
            shown = line.replace("apt install", "apt install --yes")
            done = subprocess.run(as_user(root, shown), capture_output=True, text=True, timeout=1800)
            if done.returncode:
                raise RuntimeError(f"{line}: {done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryFile("w+") as log:
        server = subprocess.Popen(
            as_user(root, run.replace("8080", str(port))), stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
        try:
            with timed(f"{run}: the page answers"):
                _wait_for(f"http://127.0.0.1:{port}/", server, log)
            with timed("the page lists a find"):
                events = json.loads(_wait_for(f"http://127.0.0.1:{port}/api/events", server, log, minimum=3))
        finally:
            server.kill()
            server.wait()
    return seconds, events


def _wait_for(address, server, log, minimum=1, patience=600):
    """Return the body at an address, once it has the minimum of bytes.

    A list of events without any is ``[]``.
    """
    end = time.monotonic() + patience
    while time.monotonic() < end and server.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=30) as answer:
            if len(body := answer.read()) >= minimum:
                return body
        time.sleep(0.2)
    log.seek(0)
    raise RuntimeError(f"{address} shows nothing: {log.read()[-2000:]}")


def main():
    """Print the time of each step, and the sum."""
    if reason := missing():
        sys.exit(f"this {reason}")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        make_root(root)
        seconds, events = follow(root, lambda line: print(line, flush=True))
    print(f"{sum(seconds.values()):7.1f} s  in all; found: {events[0]['label']}")


if __name__ == "__main__":
    main()
