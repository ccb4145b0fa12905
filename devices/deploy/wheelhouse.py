"""A wheelhouse: a folder of wheels for a device, and a manifest of SHA-256."""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...errors import UsageError, UserError
from ...files import write_atomic

FORMAT = 1
MANIFEST = "wheelhouse.json"
OWN_NAME = "galaxy-edge"


class WheelhouseError(UserError):
    """A wheelhouse cannot be made or used; the message names wheel and platform."""


@dataclass(frozen=True)
class Wheel:
    """A wheel's file name, package, version, SHA-256 and size in bytes."""

    file: str
    name: str
    version: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Wheelhouse:
    """The wheels for one kind of device.

    Attributes:
        path: the folder.
        profile: name of the device profile.
        machine: processor architecture, as ``platform.machine()`` names it.
        python: version of Python, e.g. ``3.11``.
        glibc: the oldest C library that all wheels run on, e.g. ``2.28``; "" if none needs one.
        installed_bytes: size of the installed files.
        wheels: sorted by file name; pip is one of them, so that a device needs no pip of its own.
    """

    path: Path
    profile: str
    machine: str
    python: str
    glibc: str
    installed_bytes: int
    wheels: tuple[Wheel, ...]

    @property
    def version(self) -> str:
        """Version of this package in the wheelhouse."""
        return next((wheel.version for wheel in self.wheels if wheel.name == OWN_NAME), "")

    @property
    def platform(self) -> str:
        """Architecture and version of Python, for messages."""
        return f"{self.machine}, Python {self.python}"

    @property
    def requirements(self) -> str:
        """Return requirements that pin every wheel but pip by its SHA-256.

        pip is not pinned because it only installs the others.
        """
        wheels = [wheel for wheel in self.wheels if wheel.name != "pip"]
        return "".join(f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}\n" for wheel in wheels)

    def write_manifest(self) -> None:
        """Write the manifest.

        Raises:
            OSError: it cannot be written.
        """
        fields = {key: value for key, value in asdict(self).items() if key != "path"}
        text = json.dumps({"format": FORMAT, "version": self.version, **fields}, indent=1) + "\n"
        write_atomic(self.path / MANIFEST, text.encode())


def load_wheelhouse(folder: Path) -> Wheelhouse:
    """Load a wheelhouse and check that all of its wheels are there and unchanged.

    Raises:
        UsageError: the folder is not a wheelhouse.
        WheelhouseError: a wheel is missing or was changed.
    """
    try:
        table = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if table.pop("format") != FORMAT:
            raise UsageError(f"{folder / MANIFEST} has a format that this version does not read: make it again")
        table.pop("version", None)
        wheels = tuple(Wheel(**entry) for entry in table.pop("wheels"))
        wheelhouse = Wheelhouse(path=folder, wheels=wheels, **table)
    except OSError as error:
        raise UsageError(
            f"{folder} is not a wheelhouse ({MANIFEST}: {error.strerror}): make one with galaxy-edge wheelhouse"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(f"{folder / MANIFEST} is not the manifest of a wheelhouse: make it again") from None
    for wheel in wheels:
        path = folder / wheel.file
        if Path(wheel.file).name != wheel.file or not path.is_file():
            raise WheelhouseError(
                f"the wheelhouse {folder} lacks {wheel.file} ({wheelhouse.platform}): make it again with "
                f"galaxy-edge wheelhouse --for {wheelhouse.profile}"
            )
        if file_sha256(path) != wheel.sha256:
            raise WheelhouseError(f"{path} is not the wheel of the manifest: its SHA-256 differs; make it again")
    if not wheelhouse.version:
        raise WheelhouseError(f"the wheelhouse {folder} lacks the wheel of {OWN_NAME} ({wheelhouse.platform})")
    if not any(wheel.name == "pip" for wheel in wheels):
        raise WheelhouseError(f"the wheelhouse {folder} lacks the wheel of pip ({wheelhouse.platform})")
    return wheelhouse


def describe_wheel(path: Path) -> Wheel:
    """Return name, version, hash and size of a wheel's file.

    Raises:
        WheelhouseError: the name is not that of a wheel.
    """
    parts = path.name.removesuffix(".whl").split("-")
    if path.suffix != ".whl" or len(parts) not in (5, 6):
        raise WheelhouseError(f"{path} is not a wheel")
    return Wheel(path.name, normalised_name(parts[0]), parts[1], file_sha256(path), path.stat().st_size)


def describe_folder(folder: Path, profile: str, machine: str, python: str) -> Wheelhouse:
    """Return the wheelhouse of all wheels in a folder."""
    paths = sorted(folder.glob("*.whl"))
    wheels = tuple(describe_wheel(path) for path in paths)
    size = sum(_installed_size(path) for path in paths)
    return Wheelhouse(folder, profile, machine, python, _required_glibc(paths), size, wheels)


def normalised_name(name: str) -> str:
    """Return a package's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _installed_size(path: Path) -> int:
    try:
        with zipfile.ZipFile(path) as archive:
            return sum(entry.file_size for entry in archive.infolist())
    except (OSError, zipfile.BadZipFile):
        raise WheelhouseError(f"{path} is not a wheel: it is not a zip archive") from None


def _required_glibc(paths: list[Path]) -> str:
    """Return the newest C library that any wheel needs, by its oldest tag."""
    needed: list[tuple[int, int]] = []
    for path in paths:
        versions = [(int(major), int(minor)) for major, minor in re.findall(r"manylinux_(\d+)_(\d+)_", path.name)]
        needed += [min(versions)] if versions else [(2, 17)] if "manylinux2014" in path.name else []
    return ".".join(map(str, max(needed))) if needed else ""


def manifest_fields(wheelhouse: Wheelhouse) -> dict[str, Any]:
    """Return what a release on a device records of its wheelhouse."""
    return {"profile": wheelhouse.profile, "python": wheelhouse.python, "version": wheelhouse.version}
