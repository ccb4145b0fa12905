"""Write a bundle to a staging folder, and publish it by renaming the folder.

A bundle has golden vectors, a manifest, and the hashes of its files.
"""

from __future__ import annotations

import glob
import hashlib
import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..files import fsync_directory, write_atomic
from ..models.bundle import Bundle
from ..models.manifest import GOLDEN, MANIFEST, Manifest
from ..models.manifest_check import parse_manifest
from ..runtime.inference.load import load_engine
from ..runtime.sources.demo import DemoSource
from .errors import ExportError, ExportUsage

GOLDEN_INPUTS = 8
SCALES = (0.7, 2.0)
"""Pixels of the picture per pixel of the input, at least and at most."""


def golden_inputs(width: int, height: int, count: int = GOLDEN_INPUTS) -> np.ndarray:
    """Return parts of the demo's picture, (count, height, width, 3) uint8 RGB.

    They are always the same: a bundle holds no image of the data that it was trained on.
    """
    sky = DemoSource().sky
    rng = np.random.default_rng(1)
    parts = np.empty((count, height, width, 3), np.uint8)
    for part in parts:
        scale = min(rng.uniform(*SCALES), sky.shape[0] / height, sky.shape[1] / width)
        rows, columns = max(1, int(height * scale)), max(1, int(width * scale))
        top, left = rng.integers(0, sky.shape[0] - rows + 1), rng.integers(0, sky.shape[1] - columns + 1)
        part[:] = cv2.resize(
            sky[top : top + rows, left : left + columns], (width, height), interpolation=cv2.INTER_AREA
        )
    return parts


def golden_vectors(bundle: Bundle) -> bytes:
    """Return an .npz with `golden_inputs` and the raw outputs for them.

    They are those of every TFLite variant. Int8 is bit-exact on all machines.
    """
    inputs = golden_inputs(*bundle.input_size)
    arrays = {"inputs": inputs}
    for name, variant in bundle.variants.items():
        if variant.runtime != "tflite":  # ONNX Runtime's results depend on the processor's instructions
            continue
        engine = load_engine(bundle, name)
        results = [engine(image[None]) for image in inputs]
        for output in results[0]:
            arrays[f"{name}.{output}"] = np.stack([result[output].values for result in results])
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
    return stream.getvalue()


def draft_of(tables: dict[str, Any]) -> Manifest:
    """Check the tables of a manifest whose files do not exist yet.

    They get their hashes from `write_bundle`.

    Raises:
        BundleError: a value is missing or invalid.
    """
    files = [GOLDEN, *(table["file"] for table in tables["variants"].values())]
    return parse_manifest(Path(MANIFEST), "", without_none(tables) | {"files": dict.fromkeys(files, "0" * 64)})


def write_bundle(folder: Path, manifest: Manifest, files: dict[str, bytes]) -> Manifest:
    """Write the files and a manifest with their hashes, and flush all to disk.

    Returns:
        The manifest with the hashes.

    Raises:
        ExportError: the disk is full, or cannot be written to.
    """
    import tomli_w

    contents = dict(files)
    contents.setdefault(GOLDEN, b"")
    hashes = {file: hashlib.sha256(content).hexdigest() for file, content in sorted(contents.items())}
    manifest = manifest._replace(files=hashes)
    contents[MANIFEST] = tomli_w.dumps(without_none(manifest.to_dict())).encode()
    try:
        for file, content in contents.items():
            write_atomic(folder / file, content)
        fsync_directory(folder)
    except OSError as error:
        raise ExportError(f"{folder} cannot be written: {error.strerror}") from None
    return manifest


def check_target(target: Path) -> Path:
    """Check that a bundle may be written to `target`.

    It may if nothing exists there, or an empty folder, or a bundle.

    If an export was killed between the two renames of `publish`, restore the old bundle first.

    Returns:
        The absolute path, with links resolved.

    Raises:
        ExportUsage: something else exists there.
    """
    target = target.resolve()
    if not target.name:
        raise ExportUsage(f"{target} cannot be the folder of a bundle: choose another --out")
    backup = _backup_path(target)
    if not target.exists() and (backup / MANIFEST).is_file():
        os.rename(backup, target)
    if target.exists() and not (target / MANIFEST).is_file() and not _is_empty_folder(target):
        raise ExportUsage(f"{target} exists and is not a bundle: choose another --out")
    return target


@contextmanager
def staging_folder(target: Path) -> Iterator[Path]:
    """Make a folder next to `target` to write into.

    Remove it at the end unless it was published.
    """
    # Named by process, so that concurrent exports do not collide; folders of killed processes are removed here.
    folder = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        for path in target.parent.glob(f".{glob.escape(target.name)}.*.part"):
            if _writer_is_gone(path):
                shutil.rmtree(path, ignore_errors=True)
        folder.mkdir(parents=True)
    except OSError as error:
        raise ExportUsage(f"{folder.parent} cannot be written to: {error.strerror}") from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(folder: Path, target: Path) -> None:
    """Replace `target` by the new bundle.

    The old one is deleted only when the new one is in place.
    """
    backup = _backup_path(target)
    shutil.rmtree(backup, ignore_errors=True)
    try:
        if target.exists():
            os.rename(target, backup)
        os.rename(folder, target)
    except OSError as error:
        if backup.exists() and not target.exists():
            os.rename(backup, target)
        raise ExportError(f"{target} cannot be written: {error.strerror}") from None
    fsync_directory(target.parent)
    shutil.rmtree(backup, ignore_errors=True)


def _backup_path(target: Path) -> Path:
    return target.with_name(f".{target.name}.old")


def _is_empty_folder(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


def _writer_is_gone(folder: Path) -> bool:
    """Return whether the process that made a staging folder has ended."""
    pid = folder.name.split(".")[-2]
    return pid.isdecimal() and (int(pid) == os.getpid() or not Path("/proc", pid).exists())


def without_none(values: Any) -> Any:
    """Return tables without keys whose value is None: TOML has no null."""
    if isinstance(values, dict):
        return {key: without_none(value) for key, value in values.items() if value is not None}
    return values
