"""Describe this computer from system files.

This is quick, needs no special rights and imports no engine.
"""

from __future__ import annotations

import dataclasses
import os
import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .engines import ENGINE_NAMES, installed_version
from .profile import Profile, all_profiles, load_profile

_IDS = {"usb": ("idVendor", "idProduct"), "pci": ("vendor", "device"), "i2c": ("name",)}
"""Files in /sys that identify a device, by bus."""


@dataclass(frozen=True)
class Machine:
    """Properties of a computer.

    Attributes:
        machine: processor architecture as ``platform.machine()`` names it, e.g. ``aarch64``.
        model: the board's model string, or "" if there is none, as on a PC.
        cores: processor cores that this process may use.
        memory: memory in MiB, or None.
        temperature: of the processor in degrees Celsius, or None.
        python: version of Python.
        engines: installed version by engine name, see `devices.engines`.
        cameras: video devices, e.g. ``/dev/video0``. On a Raspberry Pi some of them are decoders, not cameras.
        attached: other devices that profiles ask for: ``usb:VENDOR:PRODUCT``, ``pci:VENDOR:DEVICE``, ``i2c:NAME``.
    """

    machine: str
    model: str
    cores: int
    memory: int | None
    temperature: float | None
    python: str
    engines: dict[str, str]
    cameras: tuple[str, ...]
    attached: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return a dictionary that can be written as JSON."""
        return {**dataclasses.asdict(self), "cameras": list(self.cameras), "attached": list(self.attached)}


def probe(root: Path = Path("/"), engines: bool = True) -> Machine:
    """Describe this computer.

    Args:
        root: folder that holds ``proc``, ``sys`` and ``dev``. Architecture, cores, Python and engines are always those
            of the running process.
        engines: whether to look for installed engines too, which takes a while.

    Returns:
        Its properties; those that cannot be read are empty or None.
    """
    return Machine(
        machine=platform.machine(),
        model=read_file(root / "proc/device-tree/model").rstrip("\0").strip(),
        cores=_cores(),
        memory=_memory(read_file(root / "proc/meminfo")),
        temperature=temperature(root),
        python=platform.python_version(),
        engines=_engines() if engines else {},
        cameras=_cameras(root / "dev"),
        attached=tuple(sorted({identifier for identifier, _ in attached_devices(root)})),
    )


def temperature(root: Path = Path("/")) -> float | None:
    """Return the processor's temperature in degrees Celsius.

    The result is None if it cannot be read.
    """
    return _temperature(read_file(root / "sys/class/thermal/thermal_zone0/temp"))


def select_profile(machine: Machine) -> Profile:
    """Select the profile for a machine.

    Among the profiles of its architecture whose `model_contains` is part of its model string and whose accelerator is
    attached, the most specific one: first those with an accelerator, then the longest `model_contains`. Anything that
    is neither x86-64 nor 64-bit ARM gets ``desktop-x86``.

    Returns:
        The profile, with its threads limited to the cores that this process may use: more would not be faster.
    """
    matching = [
        profile
        for profile in all_profiles()
        if machine.machine in profile.machine
        and profile.model_contains in machine.model
        and (not profile.accelerator or set(profile.accelerator) & set(machine.attached))
    ]
    best = max(
        matching,
        key=lambda profile: (bool(profile.accelerator), len(profile.model_contains)),
        default=None,
    ) or load_profile("desktop-x86")
    return dataclasses.replace(best, threads=max(1, min(best.threads, machine.cores)))


def attached_devices(root: Path = Path("/")) -> Iterator[tuple[str, Path]]:
    """Yield each attached device's identifier and its folder in /sys.

    An identifier is ``usb:VENDOR:PRODUCT``, ``pci:VENDOR:DEVICE`` or ``i2c:NAME``.

    Args:
        root: folder that holds ``sys``.
    """
    for bus, names in _IDS.items():
        for folder in sorted((root / "sys/bus" / bus / "devices").glob("*")):
            words = [read_file(folder / name).strip().removeprefix("0x") for name in names]
            if all(words):
                yield ":".join((bus, *words)), folder


def profile_for(device: str | None) -> Profile:
    """Return the profile of a name or TOML file.

    With None, it is the profile that fits this machine.

    Raises:
        ProfileError: there is no such profile.
    """
    return load_profile(device) if device else select_profile(probe(engines=False))


def read_file(path: Path) -> str:
    """Return the content of a system file; "" if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _cores() -> int:
    # Fewer than os.cpu_count() in a container or under taskset. Not available on macOS.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory(meminfo: str) -> int | None:
    match = re.search(r"^MemTotal:\s+(\d+) kB", meminfo, re.MULTILINE)
    return int(match[1]) // 1024 if match else None


def _temperature(millidegrees: str) -> float | None:
    try:
        return int(millidegrees) / 1000.0
    except ValueError:
        return None


def _engines() -> dict[str, str]:
    return {name: version for name in ENGINE_NAMES if (version := installed_version(name))}


def _cameras(dev: Path) -> tuple[str, ...]:
    try:
        numbers = sorted(int(path.name[5:]) for path in dev.glob("video*") if path.name[5:].isdecimal())
    except OSError:
        return ()
    return tuple(f"/dev/video{number}" for number in numbers)
