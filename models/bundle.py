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
import tomllib
import zipfile
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError

FORMAT = 1
TASKS = ("classify", "detect")
RUNTIMES = ("tflite", "onnx", "edgetpu")
MANIFEST = "bundle.toml"
GOLDEN = "golden.npz"

DECODED = "detection_boxes"
"""The output that a network has which decodes its boxes itself, see `runtime.detect`."""
_OUTPUT_KEYS = {"name": str, "tensor": str, "shape": list, "dtype": str}
_SECTIONS: dict[str, dict[str, type | tuple[type, ...]]] = {
    "": {
        "format": int, "name": str, "task": str, "version": str, "created": str, "licence": str, "classes": list,
        "input": dict, "preprocess": dict, "decode": dict, "network": dict, "training": dict, "gates": list,
        "variants": dict, "metrics": dict, "data": dict, "files": dict,
    },
    "input": {"width": int, "height": int, "dtype": str, "colour": str},
    "network": {"parameters": int, "macs": int},
    "data": {"hash": str, "sets": dict, "split": dict, "sources": list},
    "preprocess.letterbox": {"kind": str, "fill": int},
    "preprocess.crop": {"kind": str, "margin": float},
    "decode.classify": {"temperature": float},
    "decode.detect": {
        "min_level": int, "max_level": int, "anchor_size": float, "scales_per_octave": int, "aspect_ratios": list,
        "box_weights": list, "score_threshold": float, "nms_iou": float, "max_detections": int,
    },
    "decode.decoded": {"score_threshold": float, "nms_iou": float, "max_detections": int},
    "variant": {"file": str, "runtime": str, "outputs": list},
    "gate": {"name": str, "measured": str, "passed": bool},
}
_OPTIONAL: dict[str, dict[str, type]] = {
    "": {"export": dict, "ungated": bool}, "decode.classify": {"abstain": float},
}
LARGEST_MANIFEST, LARGEST_FILE = 2**24, 2**31
"""Bytes; what is greater is not read at all."""
_PREPROCESS_OF = {"classify": "crop", "detect": "letterbox"}


class BundleError(UserError):
    """A bundle that must not be used; the message says what is wrong with it and where."""


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
    def variants(self) -> dict[str, Variant]:
        """The forms of the network that the bundle holds, by name (``int8``, ``fp32``)."""
        return {
            name: Variant(
                name, table["file"], table["runtime"],
                tuple(OutputSpec(o["name"], o["tensor"], tuple(o["shape"]), o["dtype"]) for o in table["outputs"]),
            )
            for name, table in self.manifest["variants"].items()
        }

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
        return _unpacked(self.read(GOLDEN), str(self.path / GOLDEN))

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
            raw = read_plain(path / MANIFEST, LARGEST_MANIFEST)
        except FileNotFoundError:
            raise BundleError(f"{path} has no {MANIFEST}, so it is not a model bundle") from None
        try:
            text = raw.decode("utf-8")
            manifest = tomllib.loads(text)
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
            raise BundleError(f"{path / MANIFEST} is not valid TOML: {problem}") from None
        _check_manifest(path / MANIFEST, text, manifest)
        if task is not None and manifest["task"] != task:
            raise BundleError(f"{path} is a model for the task '{manifest['task']}', where '{task}' is wanted")
        for file, digest in manifest["files"].items():
            _read_verified(path, file, digest)
        return cls(path, manifest, hashlib.sha256(raw).hexdigest())


def shipped(name: str) -> Path:
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
        content = read_plain(folder / file, LARGEST_FILE)
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
        if size > LARGEST_FILE:
            raise BundleError(f"{where} would unpack to {size >> 20} MB: those are no golden vectors")
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files if isinstance(arrays[name], np.ndarray)}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, NotImplementedError) as problem:
        raise BundleError(f"{where} cannot be unpacked: {problem}") from None


def _check_manifest(path: Path, text: str, manifest: dict[str, Any]) -> None:
    """Check every key and type of a manifest; the first fault is raised with the line it is on."""

    def fail(message: str, key: str = "") -> None:
        lines = [n for n, line in enumerate(text.splitlines(), 1) if key and key in line.split("=")[0]]
        raise BundleError(f"{path}{f', line {lines[0]}' if lines else ''}: {message}")

    def check(
        table: dict[str, Any], schema: dict[str, Any], where: str, optional: dict[str, Any] | None = None
    ) -> None:
        known = schema | (optional or {})
        for key in table:
            if key not in known:
                fail(f"unknown key '{key}' in {where}; known: {', '.join(known)}", key)
        for key, kind in known.items():
            if key not in table:
                if key in schema:
                    fail(f"{where} lacks the key '{key}'")
                continue
            kinds = (int, float) if kind is float else kind
            if not isinstance(table[key], kinds) or (isinstance(table[key], bool) and kind is not bool):
                fail(f"'{key}' in {where} must be of type {kind.__name__}, not {type(table[key]).__name__}", key)

    if manifest.get("format") != FORMAT:
        fail(f"format {manifest.get('format')!r} is not known; this version reads format {FORMAT}", "format")
    check(manifest, _SECTIONS[""], "the manifest", _OPTIONAL[""])
    task = manifest["task"]
    if task not in TASKS:
        fail(f"unknown task '{task}'; known: {', '.join(TASKS)}", "task")
    check(manifest["input"], _SECTIONS["input"], "[input]")
    check(manifest["network"], _SECTIONS["network"], "[network]")
    check(manifest["data"], _SECTIONS["data"], "[data]")
    kind = _PREPROCESS_OF[task]
    if manifest["preprocess"].get("kind") != kind:
        fail(f"[preprocess] kind must be '{kind}' for the task '{task}'", "kind")
    check(manifest["preprocess"], _SECTIONS[f"preprocess.{kind}"], "[preprocess]")
    if not manifest["variants"]:
        fail("there is no variant in it")
    for name, table in manifest["variants"].items():
        check(table, _SECTIONS["variant"], f"[variants.{name}]")
        if table["runtime"] not in RUNTIMES:
            fail(f"unknown runtime '{table['runtime']}' in [variants.{name}]; known: {', '.join(RUNTIMES)}", "runtime")
        for output in table["outputs"]:
            check(output, _OUTPUT_KEYS, f"an output of [variants.{name}]")
        if table["file"] not in manifest["files"]:
            fail(f"[variants.{name}] names the file '{table['file']}', which has no hash in [files]", "file")
    names = [{output["name"] for output in table["outputs"]} for table in manifest["variants"].values()]
    # A network that decodes its boxes itself has no anchors to tell of.
    kind = "decoded" if task == "detect" and all(DECODED in one for one in names) else task
    check(manifest["decode"], _SECTIONS[f"decode.{kind}"], "[decode]", _OPTIONAL.get(f"decode.{kind}"))
    for gate in manifest["gates"]:
        check(gate, _SECTIONS["gate"], "an entry of [[gates]]")
    if GOLDEN not in manifest["files"]:
        fail(f"[files] lacks {GOLDEN}")
    for file, digest in manifest["files"].items():
        # A name with a folder in it could lead out of the bundle.
        if Path(file).name != file or file in ("", ".", "..", MANIFEST):
            fail(f"'{file}' in [files] is not a plain file name", file)
        if not isinstance(digest, str) or len(digest) != 64:
            fail(f"the hash of '{file}' in [files] is not a SHA-256", file)
