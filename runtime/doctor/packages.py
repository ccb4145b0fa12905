"""Check Python and the installed packages.

Each package is imported in a child process, which a broken wheel may crash.
"""

from __future__ import annotations

import json
import platform
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata

from ...devices.engines import ENGINES
from ...extras import install_command
from .result import CheckResult

REQUIRED = {"ai_edge_litert.interpreter": "ai-edge-litert", "click": "click", "numpy": "numpy",
            "cv2": "opencv-python-headless", "rich": "rich"}  # fmt: skip
"""Packages of the plain installation by the module that is imported."""
EXTRAS = {
    "fits": ("astropy.io.fits", "astropy", "FITS files"),
    "raw": ("rawpy", "rawpy", "DNG files"),
    "catalogue": ("pyongc", "pyongc", "names of objects on the sky"),
    "mqtt": ("paho.mqtt.client", "paho-mqtt", "--mqtt"),
    "notify": ("apprise", "apprise", "--notify"),
    "serve": ("uvicorn", "fastapi", "--serve"),
    "sign": ("cryptography", "cryptography", "--require-signature"),
    "onnx": ("onnxruntime", "onnxruntime", "--engine onnxruntime"),
}
"""Module, package and purpose of the extras that a device may use."""
IMPORT_SECONDS = 180.0
"""Time limit for all imports; long, since a small computer reads them from a card."""

_IMPORT = """
import importlib, json, sys
for name in sys.argv[1:]:
    print(json.dumps(["begin", name, ""]), flush=True)
    try:
        importlib.import_module(name)
    except Exception as error:  # whatever a package raises is what is reported
        print(json.dumps(["fail", name, f"{type(error).__name__}: {error}".splitlines()[0][:200]]), flush=True)
    else:
        print(json.dumps(["ok", name, ""]), flush=True)
"""


def check_packages() -> Iterator[CheckResult]:
    """Check the version of Python, the required packages and the extras."""
    supported = (3, 11) <= sys.version_info[:2] <= (3, 13)
    yield CheckResult(
        "python.version", "ok" if supported else "fail",
        f"{platform.python_version()} for {platform.machine()}, {sys.executable}",
        "" if supported else "use Python 3.11 to 3.13", exercised=True,
    )  # fmt: skip
    extras = [module for module, package, _ in EXTRAS.values() if _version(package)]
    found = import_all([*REQUIRED, *extras])
    for module, package in REQUIRED.items():
        if module == ENGINES["litert"].module and not _version(package) and _version("tflite-runtime"):
            continue  # the other engine of the same files
        yield _result(f"packages.{package}", module, package, found, package)
    for extra, (module, package, purpose) in EXTRAS.items():
        name, requirement = f"extras.{extra}", f"galaxy-edge[{extra}]"
        if _version(package):
            yield _result(name, module, package, found, requirement)
        else:
            detail = f"{package} is not installed; it is for {purpose}"
            yield CheckResult(name, "skipped", detail, install_command(requirement))


def _result(name: str, module: str, package: str, found: dict[str, str], requirement: str) -> CheckResult:
    version, error = _version(package), found.get(module, "it was not imported, as another package ended the process")
    if version and not error:
        return CheckResult(name, "ok", f"{package} {version}", exercised=True)
    if not version and "No module named" in error:
        return CheckResult(name, "fail", f"{package} is not installed", install_command(requirement), exercised=True)
    detail = f"{package} {version or '(version unknown)'}: {error or 'its version is not recorded'}"
    return CheckResult(name, "fail" if error else "warn", detail, install_command(requirement), exercised=True)


def import_all(modules: list[str]) -> dict[str, str]:
    """Import modules in child processes; return the error of each, "" for none."""
    found: dict[str, str] = {}
    while rest := [module for module in modules if module not in found]:
        command = [sys.executable, "-c", _IMPORT, *rest]
        try:
            done = subprocess.run(command, capture_output=True, timeout=IMPORT_SECONDS, check=False)
            output, end = done.stdout, _end(done.returncode)
        except subprocess.TimeoutExpired as error:
            output, end = error.stdout or b"", f"its import took more than {IMPORT_SECONDS:g} s"
        current = ""
        for line in output.decode("utf-8", "replace").splitlines():
            if line.startswith('["'):
                kind, module, text = json.loads(line)
                current = module if kind == "begin" else ""
                if kind != "begin":
                    found[module] = text
        if not current and len(found) < len(modules) and not set(rest) & set(found):
            current = rest[0]
        if current:
            found[current] = end
    return found


def _end(code: int) -> str:
    if code < 0:
        return f"its import ends the process with {signal.Signals(-code).name}: its wheel does not fit this processor"
    return f"its import ends the process with code {code}"


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
