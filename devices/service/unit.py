"""Write the unit of the service: hardened, restarted forever, with its own user."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...errors import UsageError
from ..profile import Profile

NAME = "galaxy-edge"
USER = "galaxy-edge"
STATE = Path("/var/lib/galaxy-edge")
"""The working folder of the service: its output folder, ``galaxy-edge-out``, is in it."""

_TEMPLATE = """\
# Made by galaxy-edge service install, which replaces it: add changes with systemctl edit {name}.
[Unit]
Description=galaxy-edge: find galaxies in what the telescope sees
Wants={modules}
After=network.target time-sync.target {modules}
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart={command}
WatchdogSec=120
TimeoutStartSec=300
Restart=always
RestartSec=10
KillSignal=SIGTERM
User={user}
Group={user}
SupplementaryGroups={groups}
StateDirectory={name}
StateDirectoryMode=0750
WorkingDirectory={state}
Environment=HOME={state} PYTHONUNBUFFERED=1
UMask=0027
{limits}NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome={home}
PrivateTmp=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
ProtectProc=invisible
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
LockPersonality=yes
CapabilityBoundingSet=
AmbientCapabilities=
RemoveIPC=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service landlock_create_ruleset landlock_add_rule landlock_restrict_self
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM
DevicePolicy=closed
{devices}
[Install]
WantedBy=multi-user.target
"""
_DEVICES = ("char-video4linux", "char-media", "char-dma_heap", "char-usb_device", "char-apex", "char-drm")
"""Cameras, libcamera's memory, and the Edge TPU on USB and PCIe, by the names of /proc/devices."""

_MODULES = ("videodev", "usbcore", "drm", "apex")
"""Kernel modules that give these devices their numbers.

systemd ignores a ``DeviceAllow`` whose name has no number yet when the service starts: a camera that is plugged in
later would always be refused.
"""

_HOMES = (Path("/", "home"), Path("/", "root"), Path("/", "run", "user"))
"""The folders that ``ProtectHome`` hides."""


def unit_text(
    arguments: Sequence[str], profile: Profile, credentials: Mapping[str, Path], groups: Sequence[str]
) -> str:
    """Return the unit file.

    Args:
        arguments: of ``galaxy-edge run``, checked.
        profile: of the device: its memory limit.
        credentials: file by the name of the environment variable of an option, e.g. ``GALAXY_EDGE_RUN_MQTT``.
        groups: supplementary groups that exist here.

    Raises:
        UsageError: an argument or a path has a line break or another control character.
    """
    command = [str(program()), "run", *arguments]
    limits = f"MemoryMax={profile.memory}M\n" if profile.memory else ""
    limits += "".join(f"LoadCredential={name}:{_escape(str(path))}\n" for name, path in credentials.items())
    return _TEMPLATE.format(
        name=NAME, user=USER, state=STATE, groups=" ".join(groups), limits=limits,
        modules=" ".join(f"modprobe@{module}.service" for module in _MODULES),
        command=" ".join(map(quote, command)), home=_protect_home(sys.prefix),
        devices="".join(f"DeviceAllow={device} rw\n" for device in _DEVICES),
    )  # fmt: skip


def program() -> Path:
    """Return the program that the service starts.

    In a release of ``galaxy-edge deploy`` it is reached by the link ``current``, which the next deployment switches.
    """
    environment = Path(sys.prefix)
    releases = environment.parent.parent
    link = releases.parent / "current"
    if environment.name == "venv" and releases.name == "releases" and link.is_symlink():
        environment = link / "venv"
    return environment / "bin/galaxy-edge"


def quote(argument: str) -> str:
    """Return an argument as ``ExecStart=`` reads it back: nothing is expanded.

    Raises:
        UsageError: it has a line break or another control character.
    """
    text = _escape(argument).replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{text}"'


def _escape(text: str) -> str:
    if not text.isprintable():
        raise UsageError(f"{text!r} cannot be part of a service: it has a line break or another control character")
    return text.replace("%", "%%")


def _protect_home(prefix: str) -> str:
    """Return the value of ``ProtectHome``.

    The service may read home folders, those of systemd.exec(5), only if its environment is in one of them.
    """
    return "read-only" if any(Path(prefix).is_relative_to(folder) for folder in _HOMES) else "yes"
