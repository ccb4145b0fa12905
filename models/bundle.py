"""The bundle: a trained model as a folder that says what it is and proves that nothing in it was changed.

::

    galaxy-detector/
        bundle.toml     the manifest: task, input, preprocessing, decoding, classes, metrics, SHA-256 of every file
        int8.tflite     a variant: what a device runs
        fp32.tflite     the same network in float
        golden.npz      inputs and the exact outputs expected
        bundle.sig      optional: an Ed25519 signature of the manifest, see `signature`
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
import struct
import tomllib
import zipfile
import zlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from .manifest import GOLDEN, MANIFEST, BundleError, check_manifest

UNPACK_ERRORS = (
    ValueError,
    OSError,
    EOFError,
    MemoryError,
    NotImplementedError,
    RuntimeError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""What reading a damaged or hostile zip or .npz raises."""
MAX_MANIFEST_BYTES, MAX_FILE_BYTES = 2**24, 2**31
"""Bytes; what is greater is not read at all."""


@dataclass(frozen=True)
class OutputSpec:
    """One output of a variant: its name in the manifest, its tensor in the file, shape and dtype."""

    name: str
    tensor: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Variant:
    """One form of the network: the file, what runs it (one of `RUNTIMES`), and its outputs in the manifest's order."""

    name: str
    file: str
    runtime: str
    outputs: tuple[OutputSpec, ...]


@dataclass(frozen=True)
class Bundle:
    """A verified bundle.

    Attributes:
        path: the folder.
        manifest: the whole manifest, as read.
        hash: SHA-256 (hex) of the manifest, which itself holds the hash of every file: it names the bundle.
    """

    path: Path
    manifest: dict[str, Any]
    hash: str

    @property
    def task(self) -> str:
        """``classify`` or ``detect``."""
        return self.manifest["task"]

    @property
    def name(self) -> str:
        """The bundle's name, e.g. ``galaxy-detector``."""
        return self.manifest["name"]

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the outputs."""
        return tuple(self.manifest["classes"])

    @property
    def input_size(self) -> tuple[int, int]:
        """Width and height of the network's input in pixels."""
        return self.manifest["input"]["width"], self.manifest["input"]["height"]

    @property
    def failed(self) -> list[str]:
        """Names of the gates that did not pass: the bundle was written by force. Empty where it is as it should be."""
        failed = [gate["name"] for gate in self.manifest["gates"] if not gate["passed"]]
        return failed or ["a gate that it does not name"] * bool(self.manifest.get("ungated"))

    @property
    def variants(self) -> dict[str, Variant]:
        """The forms of the network that the bundle holds, by name (``int8``, ``fp32``)."""
        return {
            name: Variant(
                name,
                table["file"],
                table["runtime"],
                tuple(OutputSpec(o["name"], o["tensor"], tuple(o["shape"]), o["dtype"]) for o in table["outputs"]),
            )
            for name, table in self.manifest["variants"].items()
        }

    @property
    def usual(self) -> str:
        """The variant that a device runs: int8, or the first of a network that came in another form."""
        return "int8" if "int8" in self.manifest["variants"] else next(iter(self.manifest["variants"]))

    def variant(self, name: str) -> Variant:
        """Pick a variant by name, or say which there are."""
        try:
            return self.variants[name]
        except KeyError:
            known = ", ".join(self.variants)
            raise BundleError(f"{self.path} has no variant '{name}'; it has {known}") from None

    def read(self, file: str) -> bytes:
        """Read a file of the bundle and check its hash again, so that what was checked is what is used."""
        return _read_verified(self.path, file, self.manifest["files"][file])

    def golden(self) -> dict[str, np.ndarray]:
        """Read the golden vectors: ``inputs`` (n, H, W, 3) uint8 and ``<variant>.<output>`` with the exact outputs."""
        where = str(self.path / GOLDEN)
        vectors = _unpacked(self.read(GOLDEN), where)
        width, height = self.input_size
        inputs = vectors.get("inputs")
        if inputs is None or inputs.dtype != np.uint8 or inputs.shape[1:] != (height, width, 3) or not len(inputs):
            raise BundleError(f"{where} has no inputs of uint8 (n, {height}, {width}, 3)")
        if any(array.shape[:1] != inputs.shape[:1] for array in vectors.values()):
            raise BundleError(f"{where} has not as many outputs as inputs")
        return vectors

    @classmethod
    def load(cls, path: str | Path, task: str | None = None) -> Bundle:
        """Load a bundle: check the manifest, then the hash of every file, before any of it is used.

        Args:
            path: the bundle's folder.
            task: the task it must be for, if that matters.

        Raises:
            BundleError: anything is missing, unknown, changed or for another task.
        """
        path = Path(path)
        if not path.is_dir():
            raise BundleError(f"{path} is not a folder, so it holds no model bundle")
        try:
            raw = read_plain(path / MANIFEST, MAX_MANIFEST_BYTES)
        except FileNotFoundError:
            raise BundleError(f"{path} has no {MANIFEST}, so it is not a model bundle") from None
        try:
            text = raw.decode("utf-8")
            manifest = tomllib.loads(text)
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
            raise BundleError(f"{path / MANIFEST} is not valid TOML: {problem}") from None
        except RecursionError:
            raise BundleError(f"{path / MANIFEST} is no manifest: it is nested too deeply") from None
        check_manifest(path / MANIFEST, text, manifest)
        if task is not None and manifest["task"] != task:
            raise BundleError(f"{path} is a model for the task '{manifest['task']}', where '{task}' is wanted")
        for file, digest in manifest["files"].items():
            _read_verified(path, file, digest)
        return cls(path, manifest, hashlib.sha256(raw).hexdigest())


def shipped_bundle_path(name: str) -> Path:
    """Find a bundle that comes with the package: ``galaxy-detector`` or ``galaxy-classifier``."""
    return Path(str(resources.files(__package__))) / "shipped" / name


def read_plain(path: Path, most: int) -> bytes:
    """Read a file of a bundle: a plain one of at most so many bytes, no link, no device, no pipe.

    Raises:
        FileNotFoundError: it is not there. BundleError: it is something else, or cannot be read.
    """
    try:
        # A link could lead out of the bundle; opening a pipe would wait for ever.
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as stream:
            about = os.fstat(stream.fileno())
            if not stat.S_ISREG(about.st_mode):
                raise BundleError(f"{path} is no plain file")
            if about.st_size > most:
                raise BundleError(f"{path} has {about.st_size} bytes; no such file of a bundle has more than {most}")
            return stream.read(most)
    except FileNotFoundError:
        raise
    except OSError as problem:
        link = " (it is a link)" if problem.errno == errno.ELOOP else ""
        raise BundleError(f"{path} cannot be read: {problem.strerror}{link}") from None


def _read_verified(folder: Path, file: str, digest: str) -> bytes:
    try:
        content = read_plain(folder / file, MAX_FILE_BYTES)
    except FileNotFoundError:
        raise BundleError(f"{folder} lacks the file {file}, which its manifest lists") from None
    if hashlib.sha256(content).hexdigest() != digest:
        raise BundleError(f"{folder / file} was changed: its SHA-256 is not the one in {MANIFEST}")
    return content


def _unpacked(content: bytes, where: str) -> dict[str, np.ndarray]:
    """Unpack an .npz, unless it would grow beyond what golden vectors are."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            size = sum(entry.file_size for entry in packed.infolist())
        if size > MAX_FILE_BYTES:
            raise BundleError(f"{where} would unpack to {size >> 20} MB: those are no golden vectors")
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files if isinstance(arrays[name], np.ndarray)}
    except UNPACK_ERRORS as problem:
        raise BundleError(f"{where} cannot be unpacked: {problem or type(problem).__name__}") from None
