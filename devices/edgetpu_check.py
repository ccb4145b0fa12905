"""Say why an Edge TPU cannot be used here, and what to do.

The library itself gives no reason: without a device it returns a null pointer. Sources: coral.ai/docs/accelerator
(packages, the group plugdev) and the ids in Google's udev rules. Not verified on hardware.
"""

from __future__ import annotations

import os
from pathlib import Path

from .edgetpu import LIBRARY, LIBRARY_VARIABLE, find_library
from .probe import attached_devices, read_file

USB_IDS = ("usb:1a6e:089a", "usb:18d1:9302")
"""Vendor and product before and after the device has received its firmware."""
PCI_ID = "pci:1ac1:089a"


def attached_device(root: Path = Path("/")) -> Path | None:
    """Return the device file of an Edge TPU on USB or PCIe; None if none is attached.

    Args:
        root: folder that holds ``sys`` and ``dev``.
    """
    for identifier, folder in attached_devices(root):
        if identifier in USB_IDS:
            bus, number = (read_file(folder / name).strip() for name in ("busnum", "devnum"))
            if bus.isdecimal() and number.isdecimal():
                return root / f"dev/bus/usb/{int(bus):03d}/{int(number):03d}"
        elif identifier == PCI_ID:
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
        return f"no Edge TPU is attached (none of {', '.join((*USB_IDS, PCI_ID))})"
    if not device.exists():
        return f"the Edge TPU's device file {device} does not exist: unplug it and plug it in again"
    if not os.access(device, os.R_OK | os.W_OK):
        group = "apex" if device.name.startswith("apex") else "plugdev"
        return f"{device} may not be opened by this user: sudo usermod -aG {group} $USER, then log in again"
    return ""
