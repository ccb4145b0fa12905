"""A release: wheels, signed bundles, the public key; and the order of releases.

It is checked whether a release may follow the running one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import UsageError
from ...models.bundle import Bundle
from ...models.signature import verify
from .connection import DeployError
from .wheelhouse import Wheelhouse, file_sha256, manifest_fields


@dataclass(frozen=True)
class ReleaseFile:
    """A file of a release: path there, content or its location, size and SHA-256."""

    path: str
    content: Path | bytes
    size: int
    sha256: str


@dataclass(frozen=True)
class Release:
    """Everything that is sent to a device.

    Attributes:
        wheelhouse: its wheels.
        bundles: name -> hash, key and time of the signature.
        files: all files.
    """

    wheelhouse: Wheelhouse
    bundles: dict[str, dict[str, str]]
    files: tuple[ReleaseFile, ...]

    @property
    def record(self) -> dict[str, Any]:
        """Return what the device records of it."""
        files = [{"path": file.path, "sha256": file.sha256} for file in self.files]
        return {**manifest_fields(self.wheelhouse), "bundles": self.bundles, "files": files}


def make_release(wheelhouse: Wheelhouse, models: Path | None, key: Path | None) -> Release:
    """Collect and check what is sent to devices.

    Args:
        wheelhouse: a checked one.
        models: folder with bundles, which must be signed; None for those in the wheel.
        key: public key of the bundles.

    Raises:
        UsageError: the folder has no bundles, or there is no key for them.
        BundleError, SignatureError: a bundle was changed, is not signed with the key, or its signature has expired.
    """
    files = [_from_path(f"wheels/{wheel.file}", wheelhouse.path / wheel.file) for wheel in wheelhouse.wheels]
    files.append(_from_bytes("requirements.txt", wheelhouse.requirements.encode()))
    bundles: dict[str, dict[str, str]] = {}
    if models:
        if key is None:
            raise UsageError(
                "--models needs --require-signature KEY.pub: only signed bundles are deployed (galaxy-edge bundle sign)"
            )
        folders = sorted(path.parent for path in models.glob("*/bundle.toml"))
        if not folders:
            raise UsageError(f"--models {models} has no bundles")
        for folder in folders:
            bundle = Bundle.load(folder)
            signature = verify(bundle, key)
            bundles[folder.name] = {"hash": bundle.hash, "key": signature.key, "signed": signature.signed}
            paths = [path for path in sorted(folder.iterdir()) if path.is_file()]
            files += [_from_path(f"models/{folder.name}/{path.name}", path) for path in paths]
        files.append(_from_bytes("key.pub", key.read_bytes()))
    return Release(wheelhouse, bundles, tuple(files))


def check_device(release: Release, device: dict[str, Any], allow_older: bool) -> None:
    """Refuse a device that a release does not fit, and bundles older than its own.

    Raises:
        DeployError: with what does not fit and what to do.
    """
    wheelhouse = release.wheelhouse
    if device["machine"] != wheelhouse.machine:
        raise DeployError(
            f"its processor is {device['machine']}, and the wheelhouse {wheelhouse.path} is for {wheelhouse.machine}: "
            "make one for its profile"
        )
    if not device["python"]:
        raise DeployError(
            f"it has Python {device['pythons']}, and the wheelhouse {wheelhouse.path} is for Python "
            f"{wheelhouse.python}: make one with --python {'.'.join(device['pythons'].split('.')[:2])}"
        )
    if wheelhouse.glibc and device["glibc"] and _numbers(device["glibc"]) < _numbers(wheelhouse.glibc):
        raise DeployError(f"its C library is glibc {device['glibc']}, and the wheels need {wheelhouse.glibc}")
    if not allow_older:
        _check_age(release, device)


def check_space(release: Release, missing: frozenset[str], free: int) -> None:
    """Refuse a device without space for the missing files and the installation.

    Raises:
        DeployError: with both sizes.
    """
    needed = sum(file.size for file in release.files if file.path in missing) + release.wheelhouse.installed_bytes
    if needed > free:
        raise DeployError(
            f"it has {max(0, free) / 1e6:.0f} MB to spare, and the release needs {needed / 1e6:.0f} MB: free some "
            "space, or keep fewer releases with --keep"
        )


def _check_age(release: Release, device: dict[str, Any]) -> None:
    """Compare times of signatures with those of every release that ran there.

    An old signature stays valid, so a valid signature alone is not sufficient.
    """
    for record in device["releases"]:
        if record["state"] == "installed" and record["name"] != device["current"]:
            continue
        for name, seen in record.get("bundles", {}).items():
            new = release.bundles.get(name)
            if new and new["key"] == seen["key"] and new["signed"] < seen["signed"]:
                raise DeployError(
                    f"{name} was signed on {new['signed']}, and one signed on {seen['signed']} was used there before: "
                    "--allow-older deploys it anyway"
                )


def _from_path(path: str, file: Path) -> ReleaseFile:
    return ReleaseFile(path, file, file.stat().st_size, file_sha256(file))


def _from_bytes(path: str, content: bytes) -> ReleaseFile:
    return ReleaseFile(path, content, len(content), hashlib.sha256(content).hexdigest())


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())
