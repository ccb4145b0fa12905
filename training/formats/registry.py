"""Any format in, any format out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from ..data.sample import DataError, set_folders
from . import coco, tfrecord, voc, yolo
from . import csv_tables as tables
from .annotation import AnnotatedDataset, Complain, LabelError, Progress, refuse, silent
from .images import files_in
from .writing import staged

FORMATS: dict[str, ModuleType] = {"voc": voc, "yolo": yolo, "coco": coco, "tfrecord": tfrecord, "csv": tables}
"""Name -> its module, with ``read(path, complain, progress)`` and ``write(labels, target, images, progress)``."""


def formats_in(path: Path) -> list[str]:
    """Tell which formats a file or folder holds, by what is in it.

    Raises:
        DataError: it does not exist, or holds the parts of a split, which must not be read together.
    """
    if path.is_file():
        # Of a JSON file that is named and broken, it shall be told what is wrong with it.
        return ["tfrecord"] if tfrecord.find([path]) else ["coco"] if path.suffix.lower() == ".json" else []
    if not path.is_dir():
        raise DataError(f"{path} does not exist")
    if set_folders(path):
        return ["csv"]
    files = list(files_in(path))
    signs: dict[str, Callable[[], bool]] = {
        "voc": lambda: any(map(voc.sniff, files)),
        "yolo": lambda: any(yolo.sniff(file, path) for file in files),
        "coco": lambda: any(map(coco.sniff, files)),
        "tfrecord": lambda: bool(tfrecord.find(files)),
    }
    return [name for name, sign in signs.items() if sign()]


def format_of(path: Path) -> str | None:
    """Tell the one format of a file or folder; None where there is none.

    Raises:
        DataError: there are several.
    """
    found = formats_in(path)
    if len(found) > 1:
        raise DataError(
            f"{path} holds labels in several formats ({', '.join(found)}): say which with --from, or move "
            "the others away"
        )
    return found[0] if found else None


def read_labels(
    path: Path, kind: str | None = None, complain: Complain = refuse, progress: Progress = silent
) -> AnnotatedDataset:
    """Read a data set.

    Args:
        path: a file or folder.
        kind: its format, one of `FORMATS`; told by what is in it if not given.
        complain: told of every label that cannot be taken; by default the first ends the work.
        progress: told how far it is.

    Raises:
        DataError: there are no labels there, or none that can be taken.
    """
    kind = kind or format_of(path)
    if kind is None:
        raise DataError(f"{path} holds no labels in a known format ({', '.join(FORMATS)}); say which it is with --from")
    if path.is_file() and kind not in ("coco", "tfrecord"):
        raise DataError(f"{path} is a file, and labels in {kind} are a folder: name the folder")
    try:
        labels: AnnotatedDataset = FORMATS[kind].read(path, complain, progress)
    except LabelError as problem:
        if complain is not refuse:
            raise
        advice = f"{problem.fault}; 'galaxy-edge data check {path}' lists all that is wrong"
        raise LabelError(problem.kind, problem.file, advice) from None
    if not labels.pictures and complain is refuse:
        raise DataError(f"{path} holds no labelled picture ({kind})" + "".join(f"; {note}" for note in labels.notes))
    return labels


def write_labels(
    labels: AnnotatedDataset, out: Path, kind: str, images: str = "copy", progress: Progress = silent
) -> None:
    """Write a data set, whole or not at all.

    Args:
        out: folder to make; for coco and tfrecord also a file, by its ending.
        kind: one of `FORMATS`; images: one of `writing.IMAGES`.

    Raises:
        DataError: a picture is not there, or the format cannot hold the set. WriteError: the disk refuses.
    """
    with staged(out) as place:
        FORMATS[kind].write(labels, place, images, progress)


def newly_listed(labels: AnnotatedDataset, kind: str) -> list[str]:
    """Tell which classes, misspelt perhaps, a format takes into its list, for their numbers are places in it."""
    unknown = sorted(labels.unknown) if kind in ("yolo", "coco", "tfrecord") else []
    return [f"classes of no list, that are in that of {kind} from now on: {', '.join(unknown)}"] if unknown else []


def cautions(labels: AnnotatedDataset, kind: str, images: str = "copy") -> list[str]:
    """Tell what other programs will not understand of a set in a format; read back by us, nothing of it is lost."""
    difficult = sum(int(one.difficult.sum()) for one in labels.pictures)
    unboxed = sum(one.about.get("kind") == "galaxy" and not len(one.boxes) for one in labels.pictures)
    partly = sum(one.about.get("boxes_complete") == "0" and len(one.boxes) > 0 for one in labels.pictures)
    decimals = sum(bool((one.boxes % 1).any()) for one in labels.pictures)
    said = newly_listed(labels, kind)
    if difficult and kind == "yolo":
        said.append(f"difficult boxes, which other programs take for plain ones, as YOLO has no flag: {difficult}")
    if unboxed and kind != "csv":
        said.append(f"pictures of galaxies without a box, which other programs take for empty sky: {unboxed}")
    if partly and kind != "csv":
        said.append(f"pictures with some galaxies boxed, of which other programs take the rest for sky: {partly}")
    if decimals and kind == "voc":
        said.append(f"pictures with decimals in their boxes, which labelImg cuts off when it saves: {decimals}")
    if kind == "tfrecord" and (tiff := sum(one.file.lower().endswith((".tif", ".tiff")) for one in labels.pictures)):
        said.append(f"TIFF pictures, which TensorFlow does not decode: {tiff}")
    if images == "none" and kind != "tfrecord":
        said.append("pictures were left where they are: labels alone cannot be trained on")
    return said
