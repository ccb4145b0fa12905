"""Load model bundles.

A bundle is a folder with a trained network, its description and the hash of every file.

::

    galaxy-detector/
        bundle.toml     the manifest: task, input, preprocessing, decoding, classes, metrics, SHA-256 of every file
        int8.tflite     a variant: the one that a device runs
        fp32.tflite     a variant: the same network in float
        golden.npz      golden vectors: inputs and the exact outputs expected
        bundle.sig      optional: an Ed25519 signature of the manifest, see `signature`
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .manifest import GOLDEN, MANIFEST, BundleError, Manifest, NoBundleError, Variant
from .manifest_check import read_manifest
from .raw.stretch import Stretch

if TYPE_CHECKING:
    import numpy as np  # imported where vectors are read: the manifest and the hashes of a bundle need none

MAX_MANIFEST_BYTES, MAX_FILE_BYTES = 2**24, 2**31
"""Maximum size of the manifest and of any other file; larger files are not read."""


@dataclass(frozen=True, eq=False)
class Bundle:
    """A verified bundle.

    Attributes:
        path: the folder.
        manifest: the content of ``bundle.toml``.
        hash: SHA-256 (hex) of the manifest. The manifest holds the hash of every file, so this identifies the bundle.
    """

    path: Path
    manifest: Manifest
    hash: str

    @property
    def task(self) -> str:
        """``classify`` or ``detect``."""
        return self.manifest.task

    @property
    def name(self) -> str:
        """The bundle's name, e.g. ``galaxy-detector``."""
        return self.manifest.name

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the outputs."""
        return self.manifest.classes

    @property
    def input_size(self) -> tuple[int, int]:
        """Width and height of the network's input in pixels."""
        return self.manifest.input.width, self.manifest.input.height

    @property
    def stretch(self) -> Stretch:
        """The stretch of images of more than 8 bits that the network was trained with."""
        return self.manifest.preprocess.stretch or Stretch()

    @property
    def failed_gates(self) -> list[str]:
        """Names of the gates that failed, if the bundle was written with --force.

        The list is empty otherwise.
        """
        failed = [gate.name for gate in self.manifest.gates if not gate.passed]
        return failed or ["a gate that it does not name"] * self.manifest.ungated

    @property
    def variants(self) -> Mapping[str, Variant]:
        """The variants of the network in the bundle, by name (``int8``, ``fp32``)."""
        return self.manifest.variants

    @property
    def default_variant(self) -> str:
        """The variant that a device runs.

        It is int8, or the first one if the bundle has no int8.
        """
        return "int8" if "int8" in self.variants else next(iter(self.variants))

    def variant(self, name: str) -> Variant:
        """Return a variant by name.

        Raises:
            BundleError: there is no such variant; the message lists those there are.
        """
        try:
            return self.variants[name]
        except KeyError:
            known = ", ".join(self.variants)
            raise BundleError(f"{self.path} has no variant '{name}'; it has {known}") from None

    def read(self, file: str) -> bytes:
        """Read a file of the bundle and check its hash again.

        The file may have changed since the bundle was loaded.
        """
        return _read_verified(self.path, file, self.manifest.files[file])

    def golden(self, variant: str | None = None) -> dict[str, np.ndarray]:
        """Read the golden vectors.

        They are ``inputs`` (n, H, W, 3) uint8 and ``<variant>.<output>`` with the exact outputs.

        Args:
            variant: read only the outputs of this variant; None reads all.
        """
        from .npz import NpzError, read_npz

        path = self.path / GOLDEN
        try:
            vectors = read_npz(
                self.read(GOLDEN),
                MAX_FILE_BYTES,
                lambda name: variant is None or name == "inputs" or name.startswith(f"{variant}."),
            )
        except NpzError as error:
            raise BundleError(f"{path} {error}") from None
        width, height = self.input_size
        inputs = vectors.get("inputs")
        if inputs is None or inputs.dtype != "uint8" or inputs.shape[1:] != (height, width, 3) or not len(inputs):
            raise BundleError(f"{path} has no inputs of uint8 (n, {height}, {width}, 3)")
        if any(array.shape[:1] != inputs.shape[:1] for array in vectors.values()):
            raise BundleError(f"{path} does not have one output for each input")
        return vectors

    @classmethod
    def load(cls, path: str | Path, task: str | None = None) -> Bundle:
        """Load a bundle after checking the manifest and the hash of every file.

        Args:
            path: the bundle's folder.
            task: the task that the bundle must be for; None accepts any.

        Raises:
            NoBundleError: there is none at the path.
            BundleError: something is missing, unknown or changed, or the bundle is for another task.
        """
        path = Path(path)
        if not path.is_dir():
            raise NoBundleError(f"{path} is not a folder, so it is not a model bundle")
        try:
            raw = read_plain(path / MANIFEST, MAX_MANIFEST_BYTES)
        except FileNotFoundError:
            raise NoBundleError(f"{path} has no {MANIFEST}, so it is not a model bundle") from None
        manifest = read_manifest(path / MANIFEST, raw)
        if task is not None and manifest.task != task:
            raise BundleError(f"{path} is a model for the task '{manifest.task}', not '{task}'")
        for file, digest in manifest.files.items():
            _read_verified(path, file, digest)
        return cls(path, manifest, hashlib.sha256(raw).hexdigest())


def shipped_bundle_path(name: str) -> Path:
    """Return the folder of a bundle that comes with the package.

    The bundles are ``galaxy-detector`` and ``galaxy-classifier``.
    """
    return Path(__file__).with_name("shipped") / name


def read_plain(path: Path, max_bytes: int) -> bytes:
    """Read a regular file of limited size, without following a symbolic link.

    Its maximum is `max_bytes` bytes.

    Raises:
        FileNotFoundError: it does not exist.
        BundleError: it is a link, a device or a pipe, is too large, or cannot be read.
    """
    try:
        # A link could lead out of the bundle; opening a pipe would block.
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise BundleError(f"{path} is not a regular file")
            if status.st_size > max_bytes:
                raise BundleError(f"{path} has {status.st_size} bytes; the maximum for this file is {max_bytes}")
            # Not max_bytes: Python allocates as much before it reads, and a small computer does not have it.
            return stream.read(status.st_size)
    except FileNotFoundError:
        raise
    except OSError as error:
        link = " (it is a link)" if error.errno == errno.ELOOP else ""
        raise BundleError(f"{path} cannot be read: {error.strerror}{link}") from None


def _read_verified(folder: Path, file: str, digest: str) -> bytes:
    try:
        content = read_plain(folder / file, MAX_FILE_BYTES)
    except FileNotFoundError:
        raise BundleError(f"{folder} lacks the file {file}, which its manifest lists") from None
    if hashlib.sha256(content).hexdigest() != digest:
        raise BundleError(f"{folder / file} was changed: its SHA-256 is not the one in {MANIFEST}")
    return content
