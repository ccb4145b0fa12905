"""YOLO txt, as Darknet, Ultralytics and labelImg have it: a line a box, ``class cx cy w h``, in shares of the picture.

Written: ``images/``, ``labels/``, ``labels/classes.txt`` (labelImg), ``data.yaml`` (Ultralytics), and
``galaxy-edge.json``, which keeps what the lines cannot: sizes, difficult flags, exact pixels. A line that another
program has changed wins over it.
"""

from __future__ import annotations

import json
from collections.abc import Hashable
from pathlib import Path, PurePosixPath

import numpy as np

from .annotation import AnnotatedDataset, Complain, ImageAnnotation, LabelError, Progress, finite, gather, of_plain
from .class_names import read_names
from .images import BrokenPicture, fault_of, files_in, is_picture, size_of
from .rounding import recalled, simplest
from .writing import json_text, only_once, put_pictures, write_text

RECORD = "galaxy-edge.json"
IMAGES, LABELS, CLASSES = "images", "labels", "classes.txt"
_Row = tuple[list[float], float]
"""A line's five numbers, and by how much the last four may be rounded."""


def label_of(picture: str) -> str:
    """Name a picture's label file: the last folder ``images`` becomes ``labels``, as Ultralytics has it."""
    parts = list(PurePosixPath(picture).with_suffix(".txt").parts)
    for place in range(len(parts) - 2, -1, -1):
        if parts[place] == IMAGES:
            parts[place] = LABELS
            break
    return "/".join(parts)


def _name_of(picture: str) -> str:
    """Name a picture in the set: its path in the folder, without ``images/`` at its front."""
    return picture.removeprefix(IMAGES + "/")


def encode(boxes: np.ndarray, width: int, height: int) -> np.ndarray:
    """Turn boxes (N, 4), pixels, into centres and sizes (N, 4), shares of the picture."""
    scale = np.array([width, height], np.float64)
    return np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2 / scale, (boxes[:, 2:] - boxes[:, :2]) / scale], axis=1)


def decode(shares: np.ndarray, width: int, height: int, error: np.ndarray) -> np.ndarray:
    """Turn centres and sizes (N, 4) into boxes in pixels: the roundest that are written so.

    Args:
        error: (N, 1) by how much the shares may be rounded.
    """
    centre, half, scale = shares[:, :2], shares[:, 2:] / 2, np.array([width, height], np.float64)
    boxes = np.concatenate([(centre - half) * scale, (centre + half) * scale], axis=1)

    def agrees(tried: np.ndarray) -> np.ndarray:
        same = np.abs(encode(tried, width, height) - shares) <= error
        both = same[:, :2] & same[:, 2:]
        return np.concatenate([both, both], axis=1)

    return simplest(boxes, agrees)


def read(folder: Path, complain: Complain, progress: Progress) -> AnnotatedDataset:
    """Read the label files of the pictures in a folder and its folders.

    As Ultralytics has it, a picture without a label file is one without an object.
    """
    names, record = read_names(folder), _read_record(folder)
    files = {path.relative_to(folder).as_posix(): path for path in files_in(folder)}
    # Where the pictures were left elsewhere, the record tells their names; one without a label either was deleted.
    recorded = [f"{IMAGES}/{file}" for file in record]
    pictures = {name for name in files if is_picture(files[name])}
    pictures |= {name for name in recorded if name in files or label_of(name) in files}
    found, unlabelled, used = [], 0, set()
    for done, name in enumerate(sorted(pictures)):
        progress(done, len(pictures))
        label = label_of(name)
        used.add(label)
        unlabelled += label not in files
        try:
            rows = _read_rows(files.get(label), label, len(names), complain)
            if rows is not None:
                found.append(_read_one(folder, name, name in files, rows, names, record.get(_name_of(name))))
        except (LabelError, ValueError, OSError) as problem:
            complain(fault_of(problem, name if isinstance(problem, BrokenPicture) else label))
    for name, path in files.items():
        if name not in used and sniff(path, folder):
            complain(LabelError("missing picture", name, "there is no picture to this label file"))
    notes = [f"pictures without a label file, taken for empty as Ultralytics does: {unlabelled}"]
    return gather("yolo", found, complain, names, notes if unlabelled else ())


def _read_record(folder: Path) -> dict[str, ImageAnnotation]:
    path = folder / RECORD
    try:
        pictures = json.loads(path.read_text(encoding="utf-8"))["pictures"]
        return {one.file: one for one in (of_plain(values) for values in pictures)}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, RecursionError, OSError, LabelError) as problem:
        raise LabelError(
            "unreadable label",
            RECORD,
            f"is damaged ({problem}); without it the label files can be read, but difficult flags are lost",
        ) from None


def _read_rows(path: Path | None, label: str, classes: int, complain: Complain) -> list[_Row] | None:
    """Read the lines of a label file; None where one cannot be taken: `complain` is told of all such."""
    rows, whole = [], True
    text = path.read_text(encoding="utf-8-sig") if path else ""
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                rows.append(_parse(line.split(), classes))
            except ValueError as fault:
                whole = False
                complain(LabelError("unreadable label", label, f"line {number} {fault}"))
    return rows if whole else None


def _read_one(
    folder: Path, name: str, there: bool, lines: list[_Row], names: list[str], remembered: ImageAnnotation | None
) -> ImageAnnotation:
    rows, errors = [row for row, _ in lines], [[error] for _, error in lines]
    if remembered is not None:
        width, height = remembered.width, remembered.height
    elif there:
        width, height = size_of((folder / name).read_bytes())
    else:
        raise LabelError("missing picture", name, "the picture is not there, and nothing else tells its size")
    shares = np.array([row[1:] for row in rows], np.float64).reshape(-1, 4)
    boxes = decode(shares, width, height, np.array(errors, np.float64).reshape(-1, 1))
    classes = tuple(names[int(row[0])] for row in rows)
    read = ImageAnnotation(
        _name_of(name),
        width,
        height,
        boxes,
        classes,
        np.zeros(len(rows), bool),
        archive=folder if there else None,
        member=name if there else "",
    )
    return recalled(read, [_key(*row) for row in zip(classes, shares, strict=True)], remembered, _keys_of)


def _parse(words: list[str], classes: int) -> _Row:
    """Read a line's five numbers, and by how much the last four may be rounded."""
    if len(words) != 5:
        more = ": outlines and scores are no boxes" if len(words) > 5 else ""
        raise ValueError(f"has {len(words)} numbers, not the 5 of a box{more}")
    row = [finite(word) for word in words]
    if not row[0].is_integer() or not 0 <= row[0] < classes:
        raise ValueError(f"names class {words[0]}, and there are classes 0 to {classes - 1}")
    decimals = {len(word.partition(".")[2]) if "e" not in word.lower() else 0 for word in words[1:]}
    # All alike is a format such as %.6f; shortest texts of numbers are seldom of one length.
    fixed = decimals.pop() if len(decimals) == 1 else 0
    return row, 0.501 * 10.0**-fixed if 5 <= fixed <= 11 else 1e-12


def _key(name: str, shares: np.ndarray) -> Hashable:
    return name, *(round(value, 6) + 0.0 for value in shares.tolist())


def _keys_of(one: ImageAnnotation) -> list[Hashable]:
    shares = encode(one.boxes, one.width, one.height)
    return [_key(*row) for row in zip(one.classes, shares, strict=True)]


def sniff(path: Path, folder: Path) -> bool:
    """Tell whether a txt file of a folder looks like a label: it lies in ``labels``, or begins with a line of a box."""
    if path.suffix.lower() != ".txt" or path.name == CLASSES:
        return False
    if LABELS in path.relative_to(folder).parts[:-1]:
        return True
    try:
        with path.open(encoding="utf-8-sig") as stream:
            number, *shares = stream.readline(4096).split()
            return number.isdigit() and len(shares) == 4 and all(-1 <= float(share) <= 2 for share in shares)
    except (OSError, ValueError):
        return False


def write(labels: AnnotatedDataset, folder: Path, images: str, progress: Progress) -> None:
    """Write pictures, label files, class lists and the record of what the lines cannot hold.

    Raises:
        DataError: two pictures would have one label file.
    """
    places = [label_of(f"{IMAGES}/{one.file}") for one in labels.pictures]
    only_once([*places, f"{LABELS}/{CLASSES}", *(f"{IMAGES}/{one.file}" for one in labels.pictures)], "label")
    number = {name: index for index, name in enumerate(labels.classes)}
    put_pictures(labels.pictures, folder / IMAGES, images, progress)
    for one, place in zip(labels.pictures, places, strict=True):
        lines = [
            " ".join([str(number[name]), *map(repr, row)]) + "\n"
            for name, row in zip(one.classes, encode(one.boxes, one.width, one.height).tolist(), strict=True)
        ]
        write_text(folder / place, "".join(lines))
    write_text(folder / LABELS / CLASSES, "".join(f"{name}\n" for name in labels.classes))
    listed = "".join(f"  {index}: {json.dumps(name)}\n" for index, name in enumerate(labels.classes))
    write_text(folder / "data.yaml", f"path: .\ntrain: {IMAGES}\nval: {IMAGES}\nnames:\n{listed}")
    write_text(
        folder / RECORD,
        json_text(
            {
                "about": "what YOLO's lines cannot hold, kept by galaxy-edge; a line that was changed wins over it",
                "classes": list(labels.classes),
                "pictures": [one.plain() for one in labels.pictures],
            }
        ),
    )
