"""Commands that install missing packages for the Python that runs this."""

from __future__ import annotations

import importlib.util
import os
import shlex
import sys
import sysconfig
from pathlib import Path

ENVIRONMENT = "~/galaxy-edge-env"
"""The environment that a message suggests where packages cannot be added to Python itself."""
EXTRA_OF_MODULE = {
    "astropy": "fits",
    "rawpy": "raw",
    "paho": "mqtt",
    "apprise": "notify",
    "fastapi": "serve",
    "uvicorn": "serve",
    "prometheus_client": "serve",
    "onnxruntime": "onnx",
    "cryptography": "sign",
    "pyongc": "catalogue",
    "pycocotools": "bench",
    "sep": "bench",
    "sklearn": "bench",
    "yaml": "train",
    "tensorflow": "train",
    "keras": "train",
    "matplotlib": "train",
    "scipy": "train",
    "h5py": "train",
    "optuna": "study",
    "keras_tuner": "study",
    "tf_keras": "detector",
    "official": "detector",
    "onnx": "export",
    "tf2onnx": "export",
    "tomli_w": "export",
    "flatbuffers": "export",
    "ai_edge_quantizer": "export",
}
"""The smallest extra that installs a module."""
DEBIAN_PACKAGES = {
    "galaxy-edge[fits]": "python3-astropy",
    "galaxy-edge[mqtt]": "python3-paho-mqtt",
    "galaxy-edge[serve]": "python3-fastapi python3-uvicorn python3-prometheus-client",
    "galaxy-edge[sign]": "python3-cryptography",
}
"""Debian's packages of an extra, for Debian's own Python."""


def extra_command(extra: str) -> str:
    """Return the command that installs an extra of this package for this Python."""
    return install_command(f"galaxy-edge[{extra}]")


def install_command(requirement: str) -> str:
    """Return the command that installs a package for this Python.

    Environments of pipx, of uv and of venv are recognised, and Python installations that belong to the system.
    """
    quoted, python = shlex.quote(requirement), shlex.quote(sys.executable)
    prefix = "" if os.access(sysconfig.get_path("purelib"), os.W_OK) else "sudo "
    if (Path(sys.prefix) / "pipx_metadata.json").exists():
        return f"pipx inject galaxy-edge {quoted}"
    if sys.prefix == sys.base_prefix and Path(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED").exists():
        if packages := DEBIAN_PACKAGES.get(requirement):
            return f"sudo apt install {packages}"
        return f"python3 -m venv {ENVIRONMENT} && {ENVIRONMENT}/bin/pip install {quoted}"
    if importlib.util.find_spec("pip") is None:
        return f"{prefix}uv pip install --python {python} {quoted}"
    return f"{prefix}{python} -m pip install {quoted}"
