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

from .annotation import (
    AnnotatedDataset,
    ErrorHandler,
    ImageAnnotation,
    LabelError,
    Progress,
    annotation_from_json,
    build_dataset,
    parse_finite,
)
from .class_names import read_class_names
from .images import BrokenImageError, image_size, is_image_file, list_files, to_label_error
from .rounding import restore_from_record, round_to_shortest
from .writing import ensure_unique, format_json, place_images, write_text

RECORD = "galaxy-edge.json"
IMAGES, LABELS, CLASSES = "images", "labels", "classes.txt"
_Row = tuple[list[float], float]
"""A line's five numbers, and by how much the last four may be rounded."""


def label_path(picture: str) -> str:
    """Name a picture's label file: the last folder ``images`` becomes ``labels``, as Ultralytics has it."""
    parts = list(PurePosixPath(picture).with_suffix(".txt").parts)
    for place in range(len(parts) - 2, -1, -1):
        if parts[place] == IMAGES:
            parts[place] = LABELS
            break
    return "/".join(parts)


def _image_name(picture: str) -> str:
    """Name a picture in the set: its path in the folder, without ``images/`` at its front."""
    return picture.removeprefix(IMAGES + "/")


def encode_boxes(boxes: np.ndarray, width: int, height: int) -> np.ndarray:
    """Turn boxes (N, 4), pixels, into centres and sizes (N, 4), shares of the picture."""
    scale = np.array([width, height], np.float64)
    return np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2 / scale, (boxes[:, 2:] - boxes[:, :2]) / scale], axis=1)


def decode_boxes(shares: np.ndarray, width: int, height: int, error: np.ndarray) -> np.ndarray:
    """Turn centres and sizes (N, 4) into boxes in pixels: the roundest that are written so.

    Args:
        error: (N, 1) by how much the shares may be rounded.
    """
    centre, half, scale = shares[:, :2], shares[:, 2:] / 2, np.array([width, height], np.float64)
    boxes = np.concatenate([(centre - half) * scale, (centre + half) * scale], axis=1)

    def agrees(tried: np.ndarray) -> np.ndarray:
        same = np.abs(encode_boxes(tried, width, height) - shares) <= error
        both = same[:, :2] & same[:, 2:]
        return np.concatenate([both, both], axis=1)

    return round_to_shortest(boxes, agrees)


def read(folder: Path, on_error: ErrorHandler, progress: Progress) -> AnnotatedDataset:
    """Read the label files of the pictures in a folder and its folders.

    As Ultralytics has it, a picture without a label file is one without an object.
    """
    names, record = read_class_names(folder), _read_record(folder)
    files = {path.relative_to(folder).as_posix(): path for path in list_files(folder)}
    # Where the pictures were left elsewhere, the record tells their names; one without a label either was deleted.
    recorded = [f"{IMAGES}/{file}" for file in record]
    pictures = {name for name in files if is_image_file(files[name])}
    pictures |= {name for name in recorded if name in files or label_path(name) in files}
    found, unlabelled, used = [], 0, set()
    for done, name in enumerate(sorted(pictures)):
        progress(done, len(pictures))
        label = label_path(name)
        used.add(label)
        unlabelled += label not in files
        try:
            rows = _read_rows(files.get(label), label, len(names), on_error)
            if rows is not None:
                found.append(_read_one(folder, name, name in files, rows, names, record.get(_image_name(name))))
        except (LabelError, ValueError, OSError) as error:
            on_error(to_label_error(error, name if isinstance(error, BrokenImageError) else label))
    for name, path in files.items():
        if name not in used and sniff(path, folder):
            on_error(LabelError("missing picture", name, "there is no picture to this label file"))
    notes = [f"pictures without a label file, taken for empty as Ultralytics does: {unlabelled}"]
    return build_dataset("yolo", found, on_error, names, notes if unlabelled else ())


def _read_record(folder: Path) -> dict[str, ImageAnnotation]:
    path = folder / RECORD
    try:
        pictures = json.loads(path.read_text(encoding="utf-8"))["pictures"]
        return {one.file: one for one in (annotation_from_json(values) for values in pictures)}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, RecursionError, OSError, LabelError) as error:
        raise LabelError(
            "unreadable label",
            RECORD,
            f"is damaged ({error}); without it the label files can be read, but difficult flags are lost",
        ) from None


def _read_rows(path: Path | None, label: str, classes: int, on_error: ErrorHandler) -> list[_Row] | None:
    """Read the lines of a label file; None if one cannot be read: `on_error` is called with each."""
    rows, whole = [], True
    text = path.read_text(encoding="utf-8-sig") if path else ""
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                rows.append(_parse_line(line.split(), classes))
            except ValueError as fault:
                whole = False
                on_error(LabelError("unreadable label", label, f"line {number} {fault}"))
    return rows if whole else None


def _read_one(
    folder: Path, name: str, there: bool, lines: list[_Row], names: list[str], remembered: ImageAnnotation | None
) -> ImageAnnotation:
    rows, errors = [row for row, _ in lines], [[error] for _, error in lines]
    if remembered is not None:
        width, height = remembered.width, remembered.height
    elif there:
        width, height = image_size((folder / name).read_bytes())
    else:
        raise LabelError("missing picture", name, "the picture is not there, and nothing else tells its size")
    shares = np.array([row[1:] for row in rows], np.float64).reshape(-1, 4)
    boxes = decode_boxes(shares, width, height, np.array(errors, np.float64).reshape(-1, 1))
    classes = tuple(names[int(row[0])] for row in rows)
    read = ImageAnnotation(
        _image_name(name),
        width,
        height,
        boxes,
        classes,
        np.zeros(len(rows), bool),
        archive=folder if there else None,
        member=name if there else "",
    )
    return restore_from_record(
        read, [_row_key(*row) for row in zip(classes, shares, strict=True)], remembered, _row_keys
    )


def _parse_line(words: list[str], classes: int) -> _Row:
    """Read a line's five numbers, and by how much the last four may be rounded."""
    if len(words) != 5:
        more = ": outlines and scores are no boxes" if len(words) > 5 else ""
        raise ValueError(f"has {len(words)} numbers, not the 5 of a box{more}")
    row = [parse_finite(word) for word in words]
    if not row[0].is_integer() or not 0 <= row[0] < classes:
        raise ValueError(f"names class {words[0]}, and there are classes 0 to {classes - 1}")
    decimals = {len(word.partition(".")[2]) if "e" not in word.lower() else 0 for word in words[1:]}
    # All alike is a format such as %.6f; shortest texts of numbers are seldom of one length.
    fixed = decimals.pop() if len(decimals) == 1 else 0
    return row, 0.501 * 10.0**-fixed if 5 <= fixed <= 11 else 1e-12


def _row_key(name: str, shares: np.ndarray) -> Hashable:
    return name, *(round(value, 6) + 0.0 for value in shares.tolist())


def _row_keys(one: ImageAnnotation) -> list[Hashable]:
    shares = encode_boxes(one.boxes, one.width, one.height)
    return [_row_key(*row) for row in zip(one.classes, shares, strict=True)]


def sniff(path: Path, folder: Path) -> bool:
    """Return whether a text file looks like a label: it is in ``labels``, or begins with the line of a box."""
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
    places = [label_path(f"{IMAGES}/{one.file}") for one in labels.images]
    ensure_unique([*places, f"{LABELS}/{CLASSES}", *(f"{IMAGES}/{one.file}" for one in labels.images)], "label")
    number = {name: index for index, name in enumerate(labels.classes)}
    place_images(labels.images, folder / IMAGES, images, progress)
    for one, place in zip(labels.images, places, strict=True):
        lines = [
            " ".join([str(number[name]), *map(repr, row)]) + "\n"
            for name, row in zip(one.classes, encode_boxes(one.boxes, one.width, one.height).tolist(), strict=True)
        ]
        write_text(folder / place, "".join(lines))
    write_text(folder / LABELS / CLASSES, "".join(f"{name}\n" for name in labels.classes))
    listed = "".join(f"  {index}: {json.dumps(name)}\n" for index, name in enumerate(labels.classes))
    write_text(folder / "data.yaml", f"path: .\ntrain: {IMAGES}\nval: {IMAGES}\nnames:\n{listed}")
    write_text(
        folder / RECORD,
        format_json(
            {
                "about": "what YOLO's lines cannot hold, kept by galaxy-edge; a line that was changed wins over it",
                "classes": list(labels.classes),
                "pictures": [one.plain() for one in labels.images],
            }
        ),
    )
