"""The versions of everything that takes part in a detection."""

from __future__ import annotations

import platform
import sys
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from ... import __version__
from ...devices.probe import probe, profile_for
from ...errors import UserError
from ..inference.bundles import CLASSIFIER, DETECTOR, load_bundle

PACKAGES = (
    "numpy", "opencv-python-headless", "opencv-python", "ai-edge-litert", "tflite-runtime", "onnxruntime", "astropy",
    "rawpy", "picamera2", "click", "rich", "fastapi", "paho-mqtt", "apprise",
)  # fmt: skip


def versions(models: Path | None) -> dict[str, Any]:
    """Return the versions of the package, its libraries, the system and the networks.

    Args:
        models: folder of the bundles; None for the shipped ones.
    """
    found: dict[str, str] = {}
    for package in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    system = ""
    with suppress(OSError):
        system = platform.freedesktop_os_release().get("PRETTY_NAME", "")
    machine = probe(engines=False)
    bundles: dict[str, Any] = {}
    for name in (DETECTOR, CLASSIFIER):
        try:
            bundle = load_bundle(models, name)
            bundles[name] = {"hash": bundle.hash, "variant": bundle.default_variant}
        except UserError as error:
            bundles[name] = {"error": type(error).__name__}
    return {
        "galaxy-edge": __version__,
        "python": ".".join(map(str, sys.version_info[:3])),
        "system": system,
        "kernel": platform.release().partition("-")[0],
        "machine": machine.machine,
        "model": machine.model if "Raspberry Pi" in machine.model else "",
        "profile": profile_for(None).name,
        "packages": found,
        "bundles": bundles,
    }
