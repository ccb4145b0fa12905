"""YOLO text labels of Darknet, Ultralytics and labelImg.

There is one line per box, ``class cx cy w h``, relative to the image size.

Written: ``images/``, ``labels/``, ``labels/classes.txt`` (labelImg), ``data.yaml`` (Ultralytics), and
``galaxy-edge.json``, which holds what the lines cannot hold: sizes, difficult flags, exact pixels. A line that another
program has changed takes precedence over it.
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
from .images import BrokenImageError, image_size, is_image_file, list_files, read_text, to_label_error
from .rounding import restore_from_record, round_to_shortest
from .writing import ensure_unique, format_json, place_images, write_text

RECORD = "galaxy-edge.json"
IMAGES, LABELS, CLASSES = "images", "labels", "classes.txt"
_Row = tuple[list[float], float]
"""The five numbers of a line, and the rounding error of the last four."""


def label_path(image: str) -> str:
    """Return the path of an image's label file, as Ultralytics derives it.

    The last folder ``images`` becomes ``labels``.
    """
    parts = list(PurePosixPath(image).with_suffix(".txt").parts)
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] == IMAGES:
            parts[index] = LABELS
            break
    return "/".join(parts)


def _image_name(path: str) -> str:
    """Return an image's name in the set: its path without a leading ``images/``."""
    return path.removeprefix(IMAGES + "/")


def encode_boxes(boxes: np.ndarray, width: int, height: int) -> np.ndarray:
    """Convert boxes (N, 4) in pixels to relative centres and sizes (N, 4)."""
    scale = np.array([width, height], np.float64)
    return np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2 / scale, (boxes[:, 2:] - boxes[:, :2]) / scale], axis=1)


def decode_boxes(shares: np.ndarray, width: int, height: int, error: np.ndarray) -> np.ndarray:
    """Convert relative centres and sizes (N, 4) to boxes in pixels.

    Of the coordinates that would be written alike, those with the fewest decimals are returned.

    Args:
        error: (N, 1) rounding error of `shares`.
    """
    centre, half, scale = shares[:, :2], shares[:, 2:] / 2, np.array([width, height], np.float64)
    boxes = np.concatenate([(centre - half) * scale, (centre + half) * scale], axis=1)

    def agrees(candidate: np.ndarray) -> np.ndarray:
        matches = np.abs(encode_boxes(candidate, width, height) - shares) <= error
        both = matches[:, :2] & matches[:, 2:]
        return np.concatenate([both, both], axis=1)

    return round_to_shortest(boxes, agrees)


def read(folder: Path, on_error: ErrorHandler, progress: Progress) -> AnnotatedDataset:
    """Read the label files of the images in a folder and its subfolders.

    As in Ultralytics, an image without a label file is an image without objects.
    """
    names, record = read_class_names(folder), _read_record(folder)
    files = {path.relative_to(folder).as_posix(): path for path in list_files(folder)}
    # If the images are elsewhere, the record has their names; one without a label file was deleted.
    recorded = [f"{IMAGES}/{file}" for file in record]
    images = {name for name in files if is_image_file(files[name])}
    images |= {name for name in recorded if name in files or label_path(name) in files}
    annotations, unlabelled, used = [], 0, set()
    for done, name in enumerate(sorted(images)):
        progress(done, len(images))
        label = label_path(name)
        used.add(label)
        unlabelled += label not in files
        try:
            rows = _read_rows(files.get(label), label, len(names), on_error)
            if rows is not None:
                annotations.append(_read_one(folder, name, name in files, rows, names, record.get(_image_name(name))))
        except (LabelError, ValueError, OSError) as error:
            on_error(to_label_error(error, name if isinstance(error, BrokenImageError) else label))
    for name, path in files.items():
        if name not in used and sniff(path, folder):
            on_error(LabelError("missing picture", name, "there is no image for this label file"))
    notes = [f"images without a label file, read as images without objects, as in Ultralytics: {unlabelled}"]
    return build_dataset("yolo", annotations, on_error, names, notes if unlabelled else ())


def _read_record(folder: Path) -> dict[str, ImageAnnotation]:
    """Read what the lines cannot hold, by image name; empty if there is no record."""
    path = folder / RECORD
    try:
        images = json.loads(read_text(path))["pictures"]
        return {image.file: image for image in (annotation_from_json(values) for values in images)}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, RecursionError, OSError, LabelError) as error:
        raise LabelError(
            "unreadable label",
            RECORD,
            f"is damaged ({error}); without it the label files can be read, but difficult flags are lost",
        ) from None


def _read_rows(path: Path | None, label: str, classes: int, on_error: ErrorHandler) -> list[_Row] | None:
    """Read the lines of a label file, or report the invalid ones and return None."""
    rows, is_complete = [], True
    text = read_text(path) if path else ""
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                rows.append(_parse_line(line.split(), classes))
            except ValueError as error:
                is_complete = False
                on_error(LabelError("unreadable label", label, f"line {number} {error}"))
    return rows if is_complete else None


def _read_one(
    folder: Path, name: str, exists: bool, lines: list[_Row], names: list[str], record: ImageAnnotation | None
) -> ImageAnnotation:
    rows, errors = [row for row, _ in lines], [[error] for _, error in lines]
    if record is not None:
        width, height = record.width, record.height
    elif exists:
        width, height = image_size((folder / name).read_bytes(), name)
    else:
        raise LabelError("missing picture", name, "the image does not exist, and its size is not recorded")
    shares = np.array([row[1:] for row in rows], np.float64).reshape(-1, 4)
    boxes = decode_boxes(shares, width, height, np.array(errors, np.float64).reshape(-1, 1))
    classes = tuple(names[int(row[0])] for row in rows)
    annotation = ImageAnnotation(
        _image_name(name),
        width,
        height,
        boxes,
        classes,
        np.zeros(len(rows), bool),
        archive=folder if exists else None,
        member=name if exists else "",
    )
    return restore_from_record(
        annotation, [_row_key(*row) for row in zip(classes, shares, strict=True)], record, _row_keys
    )


def _parse_line(words: list[str], classes: int) -> _Row:
    """Return the five numbers of a line, and the rounding error of the last four."""
    if len(words) != 5:
        hint = ": outlines and scores are not supported" if len(words) > 5 else ""
        raise ValueError(f"has {len(words)} numbers, not the 5 of a box{hint}")
    row = [parse_finite(word) for word in words]
    if not row[0].is_integer() or not 0 <= row[0] < classes:
        raise ValueError(f"names class {words[0]}, and there are classes 0 to {classes - 1}")
    decimals = {len(word.partition(".")[2]) if "e" not in word.lower() else 0 for word in words[1:]}
    # Equal numbers of decimals mean a fixed format such as %.6f; shortest representations rarely have equal lengths.
    fixed = decimals.pop() if len(decimals) == 1 else 0
    return row, 0.501 * 10.0**-fixed if 5 <= fixed <= 11 else 1e-12


def _row_key(name: str, shares: np.ndarray) -> Hashable:
    return name, *(round(value, 6) + 0.0 for value in shares.tolist())


def _row_keys(image: ImageAnnotation) -> list[Hashable]:
    shares = encode_boxes(image.boxes, image.width, image.height)
    return [_row_key(*row) for row in zip(image.classes, shares, strict=True)]


def sniff(path: Path, folder: Path) -> bool:
    """Return whether a text file looks like a YOLO label.

    It is in a folder ``labels``, or begins with the line of a box.
    """
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
    """Write images, labels, class lists, and a record of what labels cannot hold.

    Raises:
        DataError: two images would have the same label file.
    """
    paths = [label_path(f"{IMAGES}/{image.file}") for image in labels.images]
    ensure_unique([*paths, f"{LABELS}/{CLASSES}", *(f"{IMAGES}/{image.file}" for image in labels.images)], "label")
    number = {name: index for index, name in enumerate(labels.classes)}
    place_images(labels.images, folder / IMAGES, images, progress)
    for image, path in zip(labels.images, paths, strict=True):
        lines = [
            " ".join([str(number[name]), *map(repr, row)]) + "\n"
            for name, row in zip(
                image.classes, encode_boxes(image.boxes, image.width, image.height).tolist(), strict=True
            )
        ]
        write_text(folder / path, "".join(lines))
    write_text(folder / LABELS / CLASSES, "".join(f"{name}\n" for name in labels.classes))
    listed = "".join(f"  {index}: {json.dumps(name)}\n" for index, name in enumerate(labels.classes))
    write_text(folder / "data.yaml", f"path: .\ntrain: {IMAGES}\nval: {IMAGES}\nnames:\n{listed}")
    write_text(
        folder / RECORD,
        format_json(
            {
                "about": "what YOLO's lines cannot hold, kept by galaxy-edge; a line that was changed wins over it",
                "classes": list(labels.classes),
                "pictures": [image.plain() for image in labels.images],
            }
        ),
    )
