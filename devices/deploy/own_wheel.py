"""The wheel of this package, made from the running installation."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from .wheelhouse import OWN_NAME, WheelhouseError

ROOT = Path(__file__).resolve().parents[2]
_NOT_PACKED = ("INSTALLER", "RECORD", "REQUESTED", "direct_url.json")
_NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "build", "*.egg-info", "tests")


def make_own_wheel(out: Path) -> Path:
    """Write the wheel of the running version into `out`; return its path.

    It is built from a checkout, or packed again from the files of an installation.

    Raises:
        WheelhouseError: it cannot be built, or the installation is not complete.
    """
    if (ROOT / "pyproject.toml").is_file():
        return _build(out)
    try:
        return repack(distribution(OWN_NAME), out)
    except (PackageNotFoundError, OSError) as error:
        raise WheelhouseError(
            f"the running installation cannot be packed ({error}): give a wheel with --wheel"
        ) from None


def _build(out: Path) -> Path:
    with tempfile.TemporaryDirectory() as folder:  # setuptools leaves its build folder next to the sources
        copy = Path(folder) / OWN_NAME
        shutil.copytree(ROOT, copy, ignore=_NOT_COPIED)
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(out), str(copy)]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise WheelhouseError(f"the wheel of {ROOT} cannot be built: {reason}; give one with --wheel")
    return next(out.glob("galaxy_edge-*.whl"))


def repack(installed: Distribution, out: Path) -> Path:
    """Write an installed package's wheel into `out` from its files; return its path."""
    path = out / f"galaxy_edge-{installed.version}-py3-none-any.whl"
    rows: list[str] = []
    record = ""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(installed.files or [], key=str):
            name = file.as_posix()
            if file.name == "RECORD":
                record = name
            if name.startswith("..") or file.suffix == ".pyc" or file.name in _NOT_PACKED:
                continue  # scripts, which the device's pip writes, and what belongs to this installation
            content = Path(str(file.locate())).read_bytes()
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            archive.writestr(name, content)
            rows.append(f"{name},sha256={digest},{len(content)}")
        if not record:
            raise WheelhouseError("the running installation has no list of its files: give a wheel with --wheel")
        archive.writestr(record, "\n".join([*rows, f"{record},,", ""]))
    return path
