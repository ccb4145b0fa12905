"""Find the Edge TPU's library and device, and say why they cannot be used.

Nothing here imports an engine.

The library itself gives no reason: without a device it returns a null pointer. Sources: coral.ai/docs/accelerator
(packages, the group plugdev) and the ids in Google's udev rules. Not verified on hardware.
"""

from __future__ import annotations

import os
from pathlib import Path

LIBRARY = "libedgetpu.so.1"
LIBRARY_VARIABLE = "GALAXY_EDGE_EDGETPU_LIBRARY"
"""Environment variable with the path of a library in another place."""

USB_IDS = ("1a6e:089a", "18d1:9302")
"""Vendor and product before and after the device has received its firmware."""
PCI_ID = "1ac1:089a"

_LIBRARY_FOLDERS = ("usr/lib", "usr/lib/*-linux-gnu*", "usr/local/lib", "lib", "lib/*-linux-gnu*", "opt/*/lib")


def find_library(root: Path = Path("/")) -> str | None:
    """Return the path of the Edge TPU's library; None if it is not installed.

    Args:
        root: folder that holds ``usr`` and ``lib``.
    """
    named = os.environ.get(LIBRARY_VARIABLE)
    if named:
        return named if Path(named).is_file() else None
    found = (path for folder in _LIBRARY_FOLDERS for path in sorted(root.glob(f"{folder}/{LIBRARY}")))
    return next(map(str, found), None)


def attached_device(root: Path = Path("/")) -> Path | None:
    """Return the device file of an Edge TPU on USB or PCIe; None if none is attached.

    Args:
        root: folder that holds ``sys`` and ``dev``.
    """
    for device in sorted((root / "sys/bus/usb/devices").glob("*")):
        if f"{_word(device / 'idVendor')}:{_word(device / 'idProduct')}" in USB_IDS:
            bus, number = _word(device / "busnum"), _word(device / "devnum")
            if bus.isdecimal() and number.isdecimal():
                return root / f"dev/bus/usb/{int(bus):03d}/{int(number):03d}"
    for device in sorted((root / "sys/bus/pci/devices").glob("*")):
        if ":".join(_word(device / name).removeprefix("0x") for name in ("vendor", "device")) == PCI_ID:
            return root / "dev/apex_0"
    return None


def missing_requirement(root: Path = Path("/")) -> str:
    """Return what an Edge TPU lacks to be used here, and what to do.

    Empty if nothing is missing.

    Args:
        root: folder that holds ``usr``, ``lib``, ``sys`` and ``dev``.
    """
    if find_library(root) is None:
        named = os.environ.get(LIBRARY_VARIABLE)
        if named:
            return f"{LIBRARY_VARIABLE} names {named}, which is not a file"
        return f"the library {LIBRARY} is not installed (package libedgetpu1-std)"
    device = attached_device(root)
    if device is None:
        return f"no Edge TPU is attached (no USB device {' or '.join(USB_IDS)}, no PCI device {PCI_ID})"
    if not device.exists():
        return f"the Edge TPU's device file {device} does not exist: unplug it and plug it in again"
    if not os.access(device, os.R_OK | os.W_OK):
        group = "apex" if device.name.startswith("apex") else "plugdev"
        return f"{device} may not be opened by this user: sudo usermod -aG {group} $USER, then log in again"
    return ""


def _word(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
