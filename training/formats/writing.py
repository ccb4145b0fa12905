"""Write a data set completely before it gets its name.

It is written next to its target, synced to disk, and only then renamed.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...files import fsync_directory, fsync_tree
from ..data.errors import DataError
from .annotation import ImageAnnotation, Progress

IMAGES = ("copy", "link", "none")
"""Treatment of the images: copy them, link to them, or omit them."""


class WriteError(UserError):
    """A result that cannot be written; the message says where and why.

    Nothing partial is left behind.
    """


@contextmanager
def staged_output(target: Path, replace: bool = False) -> Iterator[Path]:
    """Yield a temporary path for a file or folder, and rename it to `target`.

    It is renamed when it is complete and synced to disk.

    A target that exists is an error, unless it is an empty folder, or a file and `replace` is set.

    Files written next to that path are moved next to the target. On any error, and on Ctrl-C, nothing is left; what a
    killed process leaves is named ``.<target>.part`` and is removed when the same target is written again.

    Raises:
        WriteError: the target exists already, or the disk refuses.
    """
    target = target.absolute()
    if not replace or target.is_dir():
        ensure_free(target)
    stage = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(stage, ignore_errors=True)
        stage.mkdir()
        yield stage / target.name
        fsync_tree(stage)
        # The target itself is renamed last, so that it never exists without its other files.
        ready = sorted(stage.iterdir(), key=lambda path: path.name == target.name)
        for path in ready if not replace else ():
            ensure_free(target.with_name(path.name))
        for path in ready:
            os.replace(path, target.with_name(path.name))
        fsync_directory(target.parent)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise WriteError(f"{target} cannot be written: {reason}; nothing was kept") from None
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def ensure_free(target: Path, source: Path | None = None) -> None:
    """Check that `target` does not exist yet, or is an empty folder.

    Args:
        source: the input; if it is a folder, the target must not be inside it.

    Raises:
        WriteError: it exists, cannot be read, or is inside the source.
    """
    if source and source.is_dir() and source.resolve() in target.resolve().parents:
        raise WriteError(f"{target} is inside {source}, which would then contain both: name a path outside")
    try:
        exists = target.is_symlink() or (target.exists() and not (target.is_dir() and not any(target.iterdir())))
    except OSError as error:
        raise WriteError(f"{target} cannot be read: {error.strerror}") from None
    if exists:
        raise WriteError(f"{target} exists already and is not overwritten: name another path, or remove it")


def write_text(path: Path, content: str) -> None:
    """Write a UTF-8 text file; create missing folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file; create missing folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def format_json(content: Mapping[str, Any]) -> str:
    """Format a JSON object, with each item of its lists on a line of its own."""
    parts = []
    for key, value in content.items():
        text = _dump(value)
        if isinstance(value, list) and value:
            text = "[\n" + ",\n".join(_dump(item) for item in value) + "\n]"
        parts.append(f"{_dump(key)}: {text}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def place_images(annotations: Sequence[ImageAnnotation], folder: Path, images: str, progress: Progress) -> None:
    """Copy or link images into a folder under their names.

    Args:
        images: one of `IMAGES`.

    Raises:
        DataError: an image does not exist, or one inside an archive is to be linked.
    """
    for done, annotation in enumerate(annotations):
        progress(done, len(annotations))
        path = folder / annotation.file
        if images == "copy":
            write_bytes(path, annotation.read_bytes())
        elif images == "link":
            if not can_link(annotation):
                raise DataError(
                    f"{annotation.file} is inside {annotation.archive or 'nothing'} and not a file that can be linked: "
                    "use --images copy"
                )
            assert annotation.archive is not None
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to((annotation.archive / annotation.member).resolve())


def can_link(annotation: ImageAnnotation) -> bool:
    """Return whether an image is a file, and not inside an archive."""
    return annotation.archive is not None and (annotation.archive / annotation.member).is_file()


def ensure_unique(names: Iterable[str], kind: str) -> None:
    """Check that no two files have the same name; `kind` names them in the error.

    Raises:
        DataError: two have.
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DataError(
                f"two images would have the {kind} '{name}', as their names differ in the suffix only: rename one"
            )
        seen.add(name)
