"""Write a bundle: golden vectors, manifest and hashes, beside its place, which it takes when all is on the disk."""

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

import numpy as np

from ..models.bundle import Bundle
from ..models.manifest import GOLDEN, MANIFEST
from ..runtime.inference.load import load_engine
from ..runtime.system.atomic_files import fsync_directory
from .errors import ExportError, ExportUsage

GOLDEN_INPUTS = 8


def golden_vectors(bundle: Bundle, inputs: np.ndarray) -> bytes:
    """Run inputs through every TFLite form and keep the raw outputs; those of int8 must match to the bit anywhere."""
    arrays = {"inputs": inputs}
    for name, variant in bundle.variants.items():
        if variant.runtime != "tflite":  # what ONNX Runtime gives depends on the processor's instructions
            continue
        engine = load_engine(bundle, name)
        results = [engine(one[None]) for one in inputs]
        for output in results[0]:
            arrays[f"{name}.{output}"] = np.stack([result[output].values for result in results])
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
    return stream.getvalue()


def pick_evenly(images: np.ndarray, count: int = GOLDEN_INPUTS) -> np.ndarray:
    """Pick `count` images evenly from all; the first ones again where there are fewer."""
    return images[np.linspace(0, len(images) - 1, count).astype(int)]


def write_bundle(folder: Path, manifest: dict[str, Any], files: dict[str, bytes]) -> None:
    """Write the files and a manifest with their hashes, all forced to the disk.

    Raises:
        ExportError: the disk is full, or cannot be written to.
    """
    import tomli_w

    contents = dict(files)
    contents.setdefault(GOLDEN, b"")
    manifest["files"] = {file: hashlib.sha256(content).hexdigest() for file, content in sorted(contents.items())}
    contents[MANIFEST] = tomli_w.dumps(without_none(manifest)).encode()
    try:
        for file, content in contents.items():
            with (folder / file).open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
        fsync_directory(folder)
    except OSError as problem:
        raise ExportError(f"{folder} cannot be written: {problem.strerror}") from None


def check_target(target: Path) -> Path:
    """See that a bundle may be put at a place: nothing is there, an empty folder, or a bundle.

    Where an export was killed between the two renames of `replace`, the old bundle takes its place again first.

    Returns:
        the place itself, where `target` is a link to it or has no name (``.``).

    Raises:
        ExportUsage: something else is there.
    """
    target = target.resolve()
    if not target.name:
        raise ExportUsage(f"{target} can be no bundle's folder: name another --out")
    old = _backup_path(target)
    if not target.exists() and (old / MANIFEST).is_file():
        os.rename(old, target)
    if target.exists() and not (target / MANIFEST).is_file() and not _is_empty_folder(target):
        raise ExportUsage(f"{target} exists and is no bundle: name another --out")
    return target


@contextmanager
def staging_folder(target: Path) -> Iterator[Path]:
    """Give a folder beside a bundle's place to write into; it is removed at the end unless it was renamed."""
    # One a process, so that two exports do not write into each other's; what a killed one left goes when it is met.
    folder = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        for left in target.parent.glob(f".{glob.escape(target.name)}.*.part"):
            if _writer_is_gone(left):
                shutil.rmtree(left, ignore_errors=True)
        folder.mkdir(parents=True)
    except OSError as problem:
        raise ExportUsage(f"{folder.parent} cannot be written to: {problem.strerror}") from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(folder: Path, target: Path) -> None:
    """Put the new bundle in the old one's place; the old one is gone only when the new one is there."""
    old = _backup_path(target)
    shutil.rmtree(old, ignore_errors=True)
    try:
        if target.exists():
            os.rename(target, old)
        os.rename(folder, target)
    except OSError as problem:
        if old.exists() and not target.exists():
            os.rename(old, target)
        raise ExportError(f"{target} cannot be written: {problem.strerror}") from None
    fsync_directory(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def _backup_path(target: Path) -> Path:
    return target.with_name(f".{target.name}.old")


def _is_empty_folder(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


def _writer_is_gone(draft: Path) -> bool:
    """Tell whether a draft is of a process that is no more."""
    number = draft.name.split(".")[-2]
    return number.isdecimal() and (int(number) == os.getpid() or not Path("/proc", number).exists())


def without_none(values: Any) -> Any:
    """Drop what is not defined: TOML has no null."""
    if isinstance(values, dict):
        return {key: without_none(value) for key, value in values.items() if value is not None}
    return values
