"""Install, remove and show the service of this computer."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import subprocess
from pathlib import Path

from ...errors import UsageError, UserError
from ...files import write_atomic
from .unit import NAME, STATE, USER, program

UNIT = Path("/etc/systemd/system") / f"{NAME}.service"
GROUPS = ("video", "plugdev")


class ServiceError(UserError):
    """systemd, or a program that manages users, failed."""


def check_host(root_needed: bool = True) -> None:
    """Check that systemd runs here and that this is root.

    Raises:
        UsageError: it does not, or it is not.
    """
    if not Path("/run/systemd/system").is_dir():
        raise UsageError("this computer was not started by systemd: start galaxy-edge run in another way")
    if root_needed and os.geteuid() != 0:
        raise UsageError("the service belongs to the system: repeat the command with sudo")


def existing_groups() -> list[str]:
    """Return those of `GROUPS` that exist here."""
    known = {entry.gr_name for entry in grp.getgrall()}
    return [name for name in GROUPS if name in known]


def install(text: str, replace: bool) -> None:
    """Write the unit, make its user, and start it.

    Raises:
        UsageError: a service with other options is installed, and `replace` is off; or the program is in a folder that
            other users may not enter.
        ServiceError: a program failed.
    """
    if UNIT.exists() and UNIT.read_text(encoding="utf-8") != text and not replace:
        raise UsageError(f"{UNIT} is installed with other options: --replace replaces it")
    check_reachable(program())
    try:
        pwd.getpwnam(USER)
    except KeyError:
        command = ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin"]
        _call(*command, "--home-dir", str(STATE), USER)
    write_atomic(UNIT, text.encode(), mode=0o644)
    _call("systemctl", "daemon-reload")
    _call("systemctl", "enable", NAME)
    _call("systemctl", "restart", "--no-block", NAME)


def check_reachable(path: Path) -> None:
    """Check that the service's user can start a program, also through symbolic links.

    Raises:
        UsageError: a folder above it may be entered by its owner only.
    """
    for folder in (*path.resolve().parents, *path.absolute().parents):
        if folder.is_dir() and not folder.stat().st_mode & 0o001:
            raise UsageError(
                f"the service's user {USER} cannot start {path}: only its owner may enter {folder}; "
                f"chmod o+x {folder}, or install galaxy-edge in a folder below /opt"
            )


def uninstall(purge: bool) -> bool:
    """Stop and remove the service; with `purge`, its data and its user too.

    Return whether it was installed.
    """
    installed = UNIT.exists()
    if installed:
        _call("systemctl", "disable", "--now", NAME)
        UNIT.unlink()
        _call("systemctl", "daemon-reload")
    if purge:
        if STATE.is_dir():
            shutil.rmtree(STATE)
        if USER in (entry.pw_name for entry in pwd.getpwall()):
            _call("userdel", USER)
    return installed


def show(*command: str) -> int:
    """Run a program that prints for the user; return its exit code."""
    try:
        return subprocess.run(command, check=False).returncode
    except OSError as error:
        raise ServiceError(f"{command[0]} cannot be run: {error.strerror}") from None


def _call(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise ServiceError(f"{command[0]} cannot be run: {error.strerror}") from None
    if done.returncode:
        reason = done.stderr.strip().rpartition("\n")[2] or f"exit code {done.returncode}"
        raise ServiceError(f"{' '.join(command[:2])} failed: {reason}")
