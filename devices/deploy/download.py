"""Download wheels for another processor and Python, checked by pinned hashes."""

from __future__ import annotations

import importlib.util
import logging
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from ...errors import UsageError
from ..profile import Profile
from .own_wheel import ROOT, make_own_wheel
from .wheelhouse import MANIFEST, OWN_NAME, Wheelhouse, WheelhouseError, describe_folder, describe_wheel

logger = logging.getLogger(__name__)

PYTHONS = {"3.11": (2, 36), "3.12": (2, 39), "3.13": (2, 41)}
"""Versions of Python, and the C library of the system that has each: Debian 12, Ubuntu 24.04, Debian 13."""
PINS = ROOT / "constraints" / "device-extras.txt"
DEFAULT_EXTRAS = ("mqtt", "notify", "raw", "serve", "sign", "sky")
"""What `run` can use, but for another engine; ``sky`` brings ``fits``."""
_OLDEST_GLIBC = 17


def make_wheelhouse(
    profile: Profile, python: str, out: Path, extras: tuple[str, ...] = DEFAULT_EXTRAS,
    wheel: Path | None = None, find_links: Path | None = None,
) -> Wheelhouse:  # fmt: skip
    """Write a folder of all wheels for an installation without a network.

    Args:
        profile: of the device.
        python: one of `PYTHONS`.
        out: the folder; a wheelhouse that exists there is replaced.
        extras: of this package.
        wheel: of this package; None to make it from the running installation.
        find_links: folder with all wheels to choose from, instead of the package index.

    Raises:
        UsageError: `out` exists and is not a wheelhouse, or a file does not exist.
        WheelhouseError: a wheel is missing for the device, or is not the pinned one.
    """
    if out.exists() and not (out / MANIFEST).is_file() and not (out.is_dir() and not any(out.iterdir())):
        raise UsageError(f"{out} exists and is not a wheelhouse: give another folder")
    if wheel and not wheel.is_file():
        raise UsageError(f"--wheel {wheel} does not exist")
    if find_links and not find_links.is_dir():
        raise UsageError(f"--find-links {find_links} is not a folder")
    machine = profile.machine[0]
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as temporary:
        folder = Path(temporary) / "wheels"
        folder.mkdir()
        own = Path(shutil.copy(wheel, folder)) if wheel else make_own_wheel(folder)
        if describe_wheel(own).name != OWN_NAME:
            raise UsageError(f"--wheel {wheel} is not a wheel of {OWN_NAME}")
        add_pip(folder)
        requirement = f"{own}[{','.join(extras)}]" if extras else str(own)
        _download(requirement, machine, python, folder, find_links)
        result = describe_folder(folder, profile.name, machine, python)
        _check_pins(result)
        result.write_manifest()
        old = Path(temporary) / "old"
        if out.exists():
            out.rename(old)
        folder.rename(out)
    return Wheelhouse(**{**vars(result), "path": out})


def platform_tags(machine: str, python: str) -> list[str]:
    """Return the platform tags of wheels for a device, as pip compares literally."""
    major, minor = PYTHONS[python]
    tags = [f"manylinux_{major}_{number}_{machine}" for number in range(minor, _OLDEST_GLIBC - 1, -1)]
    tags.append(f"manylinux2014_{machine}")
    if machine == "x86_64":
        tags += ["manylinux_2_12_x86_64", "manylinux2010_x86_64", "manylinux_2_5_x86_64", "manylinux1_x86_64"]
    return tags


def pinned_hashes(path: Path = PINS) -> dict[str, tuple[str, frozenset[str]]]:
    """Return version and hashes by package of a requirements file, {} without one."""
    if not path.is_file():
        return {}
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    blocks = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)(.*)$", text, re.MULTILINE)
    return {name: (version, frozenset(re.findall(r"sha256:([0-9a-f]{64})", rest))) for name, version, rest in blocks}


def _download(requirement: str, machine: str, python: str, folder: Path, find_links: Path | None) -> None:
    number = python.replace(".", "")
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check"]
    command += ["--only-binary=:all:", "--implementation", "cp", "--python-version", python, "--dest", str(folder)]
    command += [f"--abi={abi}" for abi in (f"cp{number}", "abi3", "none")]
    command += [f"--platform={tag}" for tag in platform_tags(machine, python)]
    command += ["--no-index", "--find-links", str(find_links)] if find_links else []
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as constraints:
        constraints.writelines(f"{name}=={version}\n" for name, (version, _) in pinned_hashes().items())
        constraints.flush()
        command += ["--constraint", constraints.name, requirement]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        # The second form is that of a package whose version is pinned.
        missing = re.search(
            r"No matching distribution found for (.+)|requested \(constraint\) (\S+)", done.stderr + done.stdout
        )
        if missing:
            name = (missing[1] or missing[2]).strip()
            raise WheelhouseError(
                f"there is no wheel of {name} for {machine}, Python {python}: choose another --python or fewer --extras"
            )
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise WheelhouseError(f"pip could not download wheels for {machine}, Python {python}: {(errors or ['?'])[-1]}")


def add_pip(folder: Path) -> None:
    """Copy the wheel of pip that Python brings with it, or download one."""
    ensurepip = importlib.util.find_spec("ensurepip")
    bundled = Path(ensurepip.origin).with_name("_bundled") if ensurepip and ensurepip.origin else Path()
    found = [*sorted(bundled.glob("pip-*.whl")), *sorted(Path("/usr/share/python-wheels").glob("pip-*.whl"))]
    if found:
        shutil.copy(found[0], folder)
        return
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), "pip"]
    if subprocess.run(command, capture_output=True).returncode:
        raise WheelhouseError("there is no wheel of pip: it can be neither found on this computer nor downloaded")


def _check_pins(wheelhouse: Wheelhouse) -> None:
    """Refuse a wheel that is not the one that the project was tested with."""
    pins = pinned_hashes()
    if not pins:
        logger.warning("the wheels are not compared with pinned hashes: %s is not there", PINS)
        return
    for wheel in wheelhouse.wheels:
        version, hashes = pins.get(wheel.name, ("", frozenset[str]()))
        if wheel.name in (OWN_NAME, "pip"):
            continue
        if not hashes:
            logger.warning("%s is not among the pinned packages: its hash is only recorded", wheel.file)
        elif wheel.sha256 not in hashes:
            raise WheelhouseError(
                f"{wheel.file} ({wheelhouse.platform}) is not a file of {wheel.name} {version} that {PINS.name} lists: "
                f"its SHA-256 is {wheel.sha256}"
            )
